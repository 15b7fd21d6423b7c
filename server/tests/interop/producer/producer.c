/* Sends numbered records through librdkafka: idempotent, acks=all. Creates the topic first.
 *
 * Record i has the key "k" and i % keys in five digits, and the value: i in ten digits, a space, and a piece of a fixed
 * text that begins at i * 1031 % 65536: long enough that lz4 finds hardly anything twice. So every reader can tell from a record alone which one it is and whether it is intact,
 * and from the records of a key whether one is missing, twice or out of order.
 *
 * Each acknowledgement becomes a line "i partition offset" of ACKS as soon as it is known. An offset of -1 means that the
 * broker knew the record already and librdkafka does not know where it is.
 *
 * Exit: 0 all acknowledged, 1 some were not, 2 wrong use or a fatal error.
 */
#define _POSIX_C_SOURCE 200809L
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT_STARTS = 65536, TEXT_STEP = 1031, NUMBER = 11, VALUE_BYTES_MAX = 1 << 20, TIMEOUT_MS = 30000, FLUSH_MS = 120000 };

static FILE *acks;
static long acknowledged, failed;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fatal(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(2);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    (void)rk, (void)opaque;
    long i = (long)(intptr_t)m->_private;
    if (m->err) {
        failed++;
        fprintf(stderr, "record %ld: %s\n", i, rd_kafka_err2str(m->err));
        return;
    }
    acknowledged++;
    if (acks)
        fprintf(acks, "%ld %d %lld\n", i, (int)m->partition, (long long)m->offset);
}

static void on_error(rd_kafka_t *rk, int error, const char *reason, void *opaque) {
    (void)opaque;
    fprintf(stderr, "%s: %s\n", rd_kafka_err2name((rd_kafka_resp_err_t)error), reason);
    if (error == RD_KAFKA_RESP_ERR__FATAL) {
        char why[512];
        rd_kafka_fatal_error(rk, why, sizeof why);
        fatal("fatal", why);
    }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[512];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
        fatal(name, why);
}

static void create_topic(rd_kafka_t *rk, const char *topic, int partitions) {
    char why[512];
    rd_kafka_NewTopic_t *new_topic = rd_kafka_NewTopic_new(topic, partitions, 1, why, sizeof why);
    if (!new_topic)
        fatal(topic, why);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_operation_timeout(options, TIMEOUT_MS, NULL, 0);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &new_topic, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * TIMEOUT_MS);
    if (!event)
        fatal(topic, "no answer to its creation");
    if (rd_kafka_event_error(event))
        fatal(topic, rd_kafka_event_error_string(event));
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    if (count != 1 || rd_kafka_topic_result_error(results[0]))
        fatal(topic, count == 1 ? rd_kafka_err2str(rd_kafka_topic_result_error(results[0])) : "not created");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(new_topic);
}

/* Serves acknowledgements and puts them where another process sees them. */
static void serve(rd_kafka_t *rk, int milliseconds) {
    if (rd_kafka_poll(rk, milliseconds) > 0 && acks)
        fflush(acks);
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        printf("librdkafka %s\n", rd_kafka_version_str());
        return 0;
    }
    if (argc != 10) {
        fprintf(stderr, "producer BOOTSTRAP TOPIC PARTITIONS RECORDS KEYS VALUE_BYTES CODEC RECORDS_PER_SECOND(0: no limit) ACKS(-: none)\n");
        return 2;
    }
    const char *bootstrap = argv[1], *topic = argv[2], *codec = argv[7];
    int partitions = atoi(argv[3]);
    long records = atol(argv[4]), keys = atol(argv[5]), value_bytes = atol(argv[6]);
    double rate = atof(argv[8]);
    if (partitions < 1 || records < 1 || keys < 1 || keys > 100000 || value_bytes < NUMBER || value_bytes > VALUE_BYTES_MAX)
        fatal("arguments", "out of range");
    if (strcmp(argv[9], "-") && !(acks = fopen(argv[9], "w")))
        fatal(argv[9], "cannot be written");

    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "enable.idempotence", "true");
    set(conf, "compression.codec", codec);
    set(conf, "linger.ms", "5");
    /* At a rate, a quarter second's worth: an outage must not leave a flood behind it. */
    char queued[32];
    snprintf(queued, sizeof queued, "%.0f", rate > 0 ? rate / 4 + 1 : 200000);
    set(conf, "queue.buffering.max.messages", queued);
    set(conf, "queue.buffering.max.kbytes", "262144");
    set(conf, "reconnect.backoff.max.ms", "500");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    char why[512];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk)
        fatal("librdkafka", why);
    create_topic(rk, topic, partitions);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);

    size_t text_bytes = TEXT_STARTS + (size_t)value_bytes;
    char *text = malloc(text_bytes), *value = malloc((size_t)value_bytes);
    uint32_t state = 1;
    for (size_t i = 0; i < text_bytes; i++) {
        state = state * 1664525 + 1013904223;
        text[i] = (char)('a' + (state >> 24) % 26);
    }

    double began = now(), next = began;
    for (long i = 0; i < records; i++) {
        for (double ahead; rate > 0 && (ahead = next - now()) > 0;)
            serve(rk, ahead > 0.001 ? (int)(ahead * 1000) : 1);
        if (rate > 0)
            next = (now() > next + 0.1 ? now() : next) + 1 / rate;
        char key[32], number[32];
        int key_bytes = snprintf(key, sizeof key, "k%05ld", i % keys);
        snprintf(number, sizeof number, "%010ld ", i);
        memcpy(value, number, NUMBER);
        memcpy(value + NUMBER, text + i * TEXT_STEP % TEXT_STARTS, (size_t)value_bytes - NUMBER);
        while (rd_kafka_produce(rkt, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, (size_t)value_bytes, key,
                                (size_t)key_bytes, (void *)(intptr_t)i)) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                fatal("produce", rd_kafka_err2str(rd_kafka_last_error()));
            serve(rk, 100);
        }
        if (i % 256 == 0)
            serve(rk, 0);
    }
    for (double deadline = now() + FLUSH_MS / 1000; rd_kafka_outq_len(rk) > 0 && now() < deadline;)
        serve(rk, 100);
    double seconds = now() - began;
    if (acks && fclose(acks))
        fatal(argv[9], "not written");
    printf("%ld acknowledged, %ld failed, %d unknown; %.1f s, %.0f records/s, %.0f MB/s\n", acknowledged, failed,
           rd_kafka_outq_len(rk), seconds, (double)acknowledged / seconds, (double)acknowledged * (double)value_bytes / 1e6 / seconds);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
    free(text);
    free(value);
    return acknowledged == records ? 0 : 1;
}
