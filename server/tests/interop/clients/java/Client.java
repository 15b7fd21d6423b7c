import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * One scenario with Kafka's own Java client: {@code Client SCENARIO BOOTSTRAP WORKDIR} exits 0 when the broker did what
 * the scenario says. Consumers assign; they never join a group.
 */
public final class Client {
    private static final Duration PATIENCE = Duration.ofSeconds(20);
    private static final int NOT_WRITTEN = 77;
    private static String bootstrap;

    @FunctionalInterface
    private interface Scenario {
        void run() throws Exception;
    }

    private static final class Failure extends RuntimeException {
        private static final long serialVersionUID = 1;

        Failure(String message) {
            super(message);
        }
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[1];
        if (arguments[0].equals("verify")) {
            verify(arguments[2], Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]), Integer.parseInt(arguments[5]));
            return;
        }
        Map<String, Scenario> scenarios = Map.ofEntries(
            Map.entry("metadata", Client::metadata),
            Map.entry("create-topic", Client::createTopic),
            Map.entry("delete-topic", Client::deleteTopic),
            Map.entry("recreate-topic", Client::recreateTopic),
            Map.entry("describe-cluster", Client::describeCluster),
            Map.entry("describe-configs", Client::describeConfigs),
            Map.entry("auto-create", Client::autoCreate),
            Map.entry("unknown-topic", Client::unknownTopic),
            Map.entry("roundtrip-none", () -> roundtrip("none")),
            Map.entry("roundtrip-gzip", () -> roundtrip("gzip")),
            Map.entry("roundtrip-snappy", () -> roundtrip("snappy")),
            Map.entry("roundtrip-lz4", () -> roundtrip("lz4")),
            Map.entry("roundtrip-zstd", () -> roundtrip("zstd")),
            Map.entry("idempotent", Client::idempotent),
            Map.entry("large-record", Client::largeRecord),
            Map.entry("oversized-record", Client::oversizedRecord),
            Map.entry("seek", Client::seek),
            Map.entry("offset-out-of-range", Client::offsetOutOfRange),
            Map.entry("offsets-for-times", Client::offsetsForTimes),
            Map.entry("max-timestamp", Client::maxTimestamp),
            Map.entry("tail", Client::tail));
        Scenario scenario = scenarios.get(arguments[0]);
        if (scenario == null) {
            System.out.println("not written for this client");
            System.exit(NOT_WRITTEN);
        }
        try {
            scenario.run();
        } catch (Exception e) {
            e.printStackTrace(System.out);
            System.out.println(e);
            System.exit(1);
        }
    }

    // What the scenarios share.

    private static String fresh(String name) {
        return name + "-" + UUID.randomUUID().toString().substring(0, 13);
    }

    private static void check(boolean held, String otherwise) {
        if (!held) {
            throw new Failure(otherwise);
        }
    }

    private static void equal(Object found, Object expected) {
        check(found.equals(expected), found + " instead of " + expected);
    }

    private static <T> T get(Future<T> future) throws Exception {
        return future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    /** The request has to be refused with this error. */
    private static void refused(Class<? extends Exception> error, Future<?> future) throws Exception {
        try {
            get(future);
        } catch (ExecutionException e) {
            check(error.isInstance(e.getCause()), e.getCause() + " instead of " + error);
            return;
        }
        throw new Failure("not refused with " + error);
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void until(String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.holds()) {
            check(System.nanoTime() < deadline, "not in " + PATIENCE + ": " + what);
            Thread.sleep(50);
        }
    }

    private static Properties properties(Object... pairs) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < pairs.length; i += 2) {
            properties.put((String) pairs[i], String.valueOf(pairs[i + 1]));
        }
        return properties;
    }

    private static Admin admin() {
        return Admin.create(properties());
    }

    private static NewTopic topic(String name, int partitions) {
        return new NewTopic(name, Optional.of(partitions), Optional.empty());
    }

    private static String create(String name, int partitions) throws Exception {
        try (Admin admin = admin()) {
            get(admin.createTopics(List.of(topic(name, partitions))).all());
        }
        return name;
    }

    private static KafkaProducer<byte[], byte[]> producer(Object... pairs) {
        return new KafkaProducer<>(properties(pairs), new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Object... pairs) {
        Properties properties = properties(pairs);
        properties.putIfAbsent("auto.offset.reset", "none");
        properties.putIfAbsent("allow.auto.create.topics", "false");
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    private static long send(KafkaProducer<byte[], byte[]> producer, String topic, byte[] value) throws Exception {
        return get(producer.send(new ProducerRecord<>(topic, 0, null, value))).offset();
    }

    private static List<TopicPartition> partitions(String topic, int count) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            partitions.add(new TopicPartition(topic, i));
        }
        return partitions;
    }

    /** {@code count} records from where the consumer stands, and proof that no more of them follow. */
    private static List<ConsumerRecord<byte[], byte[]>> take(KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (records.size() < count && System.nanoTime() < deadline) {
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
        }
        consumer.poll(Duration.ofMillis(300)).forEach(records::add);
        equal(records.size(), count);
        return records;
    }

    private static List<ConsumerRecord<byte[], byte[]>> read(String topic, int partitions, int count) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            Collection<TopicPartition> all = partitions(topic, partitions);
            consumer.assign(all);
            consumer.seekToBeginning(all);
            return take(consumer, count);
        }
    }

    private static List<Long> offsets(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(ConsumerRecord::offset).toList();
    }

    private static List<Long> range(long from, long to) {
        List<Long> range = new ArrayList<>();
        for (long i = from; i < to; i++) {
            range.add(i);
        }
        return range;
    }

    /** A topic with {@code count} records in partition 0, a second apart from {@code base} on. */
    private static String filled(String name, int count, long base) throws Exception {
        String topic = create(fresh(name), 1);
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            Future<RecordMetadata> last = null;
            for (int i = 0; i < count; i++) {
                last = producer.send(new ProducerRecord<>(topic, 0, base + i * 1000L, null, bytes("" + i)));
            }
            equal(get(last).offset(), count - 1L);
        }
        return topic;
    }

    // The scenarios.

    private static void metadata() throws Exception {
        String topic = create(fresh("metadata"), 3);
        try (Admin admin = admin(); KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            until("the topic is listed", () -> get(admin.listTopics().names()).contains(topic));
            check(consumer.listTopics(PATIENCE).containsKey(topic), "the consumer does not see the topic");
            var partitions = get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions();
            equal(partitions.stream().map(p -> p.partition()).toList(), List.of(0, 1, 2));
            for (var partition : partitions) {
                equal(partition.leader().host() + ":" + partition.leader().port(), bootstrap);
                equal(partition.replicas(), List.of(partition.leader()));
                equal(partition.isr(), List.of(partition.leader()));
            }
        }
    }

    private static void createTopic() throws Exception {
        String topic = create(fresh("create"), 8);
        try (Admin admin = admin()) {
            equal(get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size(), 8);
            refused(TopicExistsException.class, admin.createTopics(List.of(topic(topic, 8))).all());
            refused(InvalidTopicException.class, admin.createTopics(List.of(topic("no spaces", 1))).all());
            NewTopic wide = new NewTopic(fresh("rf"), 1, (short) 7);
            refused(InvalidReplicationFactorException.class, admin.createTopics(List.of(wide)).all());
        }
    }

    private static void deleteTopic() throws Exception {
        String topic = create(fresh("delete"), 1);
        try (Admin admin = admin()) {
            get(admin.deleteTopics(List.of(topic)).all());
            until("the topic is gone", () -> !get(admin.listTopics().names()).contains(topic));
            refused(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of(topic)).all());
        }
    }

    private static void recreateTopic() throws Exception {
        String topic = create(fresh("recreate"), 1);
        try (Admin admin = admin(); KafkaProducer<byte[], byte[]> producer = producer()) {
            for (int i = 0; i < 100; i++) {
                send(producer, topic, bytes("old"));
            }
            var old = get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).topicId();
            get(admin.deleteTopics(List.of(topic)).all());
            until("the topic is gone", () -> !get(admin.listTopics().names()).contains(topic));
            create(topic, 1);
            var now = get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).topicId();
            check(!now.equals(old), "the topic id is the old one");
            try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
                equal(consumer.endOffsets(partitions(topic, 1), PATIENCE).get(new TopicPartition(topic, 0)), 0L);
            }
            equal(send(producer, topic, bytes("new")), 0L);
        }
        equal(text(read(topic, 1, 1).get(0).value()), "new");
    }

    private static void describeCluster() throws Exception {
        try (Admin admin = admin()) {
            var cluster = admin.describeCluster();
            Collection<Node> nodes = get(cluster.nodes());
            check(!get(cluster.clusterId()).isEmpty(), "no cluster id");
            check(nodes.contains(get(cluster.controller())), "the controller is no node");
            check(nodes.stream().anyMatch(n -> (n.host() + ":" + n.port()).equals(bootstrap)), nodes.toString());
        }
    }

    private static void describeConfigs() throws Exception {
        String topic = fresh("configs");
        try (Admin admin = admin()) {
            get(admin.createTopics(List.of(topic(topic, 1).configs(Map.of("retention.ms", "123456789")))).all());
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            var config = get(admin.describeConfigs(List.of(resource)).all()).get(resource);
            equal(config.get("retention.ms").value(), "123456789");
            equal(config.get("retention.ms").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
            equal(config.get("cleanup.policy").value(), "delete");
            equal(config.get("cleanup.policy").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG);
            for (String name : List.of("max.message.bytes", "segment.bytes", "min.insync.replicas", "compression.type")) {
                check(config.get(name) != null && config.get(name).value() != null, name + " is missing");
            }
            var missing = new ConfigResource(ConfigResource.Type.TOPIC, fresh("missing"));
            refused(UnknownTopicOrPartitionException.class, admin.describeConfigs(List.of(missing)).all());
        }
    }

    private static void autoCreate() throws Exception {
        String topic = fresh("auto");
        try (KafkaProducer<byte[], byte[]> producer = producer()) {
            equal(send(producer, topic, bytes("first")), 0L);
        }
        equal(text(read(topic, 1, 1).get(0).value()), "first");
    }

    private static void unknownTopic() throws Exception {
        String topic = fresh("unknown");
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(); Admin admin = admin()) {
            equal(consumer.partitionsFor(topic, PATIENCE), List.of());
            refused(UnknownTopicOrPartitionException.class, admin.describeTopics(List.of(topic)).allTopicNames());
            // An assignment alone waits for the topic. It must not call it into being.
            consumer.assign(partitions(topic, 1));
            consumer.seek(new TopicPartition(topic, 0), 0);
            check(consumer.poll(Duration.ofSeconds(1)).isEmpty(), "records from nowhere");
            check(!get(admin.listTopics().names()).contains(topic), "the consumer created the topic");
        }
    }

    /** Every shape a record can have. */
    private static List<ProducerRecord<byte[], byte[]>> sample(String topic, String tag) {
        long base = System.currentTimeMillis() - 60_000;
        String filler = "the mark that high water leaves on a shore ".repeat(20);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            List<Header> headers = i % 2 == 0 ? List.of() : List.of(
                new RecordHeader("seq", bytes("" + i)), new RecordHeader("twice", bytes("a")),
                new RecordHeader("twice", bytes("b")), new RecordHeader("null", (byte[]) null),
                new RecordHeader("empty", new byte[0]));
            byte[] value = bytes(tag + " " + i + " " + filler);
            records.add(new ProducerRecord<>(topic, null, base + i, bytes("key-" + i % 5), value, headers));
        }
        records.add(new ProducerRecord<>(topic, null, base + 100, bytes("key-0"), (byte[]) null));
        records.add(new ProducerRecord<>(topic, null, base + 101, bytes("key-1"), new byte[0]));
        records.add(new ProducerRecord<>(topic, 2, base + 102, null, bytes(tag + " without a key")));
        records.add(new ProducerRecord<>(topic, null, base + 103, new byte[0], bytes(tag + " with an empty key")));
        return records;
    }

    private static String shape(byte[] key, byte[] value, Iterable<Header> headers, long timestamp) {
        StringBuilder shape = new StringBuilder(text(key) + " = " + text(value) + " @ " + timestamp);
        headers.forEach(h -> shape.append(" ").append(h.key()).append(":").append(text(h.value())));
        return shape.toString();
    }

    private static void roundtrip(String codec) throws Exception {
        String topic = create(fresh("roundtrip-" + codec), 3);
        Map<String, List<String>> expected = new HashMap<>();
        int count = 0;
        // acks=0 comes last: nothing would tell that a partition was not ready yet.
        for (String acks : List.of("all", "1", "0")) {
            try (var producer = producer("acks", acks, "enable.idempotence", false, "compression.type", codec, "linger.ms", 100)) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (var r : sample(topic, codec + "-" + acks)) {
                    expected.computeIfAbsent("" + text(r.key()), k -> new ArrayList<>())
                        .add(shape(r.key(), r.value(), r.headers(), r.timestamp()));
                    sent.add(producer.send(r));
                    count++;
                }
                for (var future : sent) {
                    get(future);
                }
            }
        }
        Map<String, List<String>> found = new HashMap<>();
        for (var r : read(topic, 3, count)) {
            equal(r.timestampType(), TimestampType.CREATE_TIME);
            found.computeIfAbsent("" + text(r.key()), k -> new ArrayList<>())
                .add(shape(r.key(), r.value(), r.headers(), r.timestamp()));
        }
        equal(found, expected);
    }

    private static void idempotent() throws Exception {
        String topic = create(fresh("idempotent"), 1);
        int count = 10_000;
        try (var producer = producer("enable.idempotence", true, "acks", "all", "batch.size", 2000, "linger.ms", 1)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, bytes("" + i))));
            }
            for (int i = 0; i < count; i++) {
                equal(get(sent.get(i)).offset(), (long) i);
            }
        }
        var records = read(topic, 1, count);
        equal(offsets(records), range(0, count));
        equal(records.stream().map(r -> Long.valueOf(text(r.value()))).toList(), range(0, count));
    }

    private static byte[] random(int length) {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    private static void largeRecord() throws Exception {
        String topic = create(fresh("large"), 1);
        byte[] value = random(900 * 1024);
        try (var producer = producer()) {
            send(producer, topic, value);
            send(producer, topic, bytes("small"));
        }
        var records = read(topic, 1, 2);
        check(Arrays.equals(records.get(0).value(), value), "the large record is not identical");
        equal(text(records.get(1).value()), "small");
    }

    private static void oversizedRecord() throws Exception {
        String topic = create(fresh("oversized"), 1);
        try (var producer = producer("max.request.size", 8 << 20, "batch.size", 4 << 20)) {
            refused(RecordTooLargeException.class, producer.send(new ProducerRecord<>(topic, random(3 << 20))));
            equal(send(producer, topic, bytes("small")), 0L);
        }
        equal(text(read(topic, 1, 1).get(0).value()), "small");
    }

    private static void seek() throws Exception {
        String topic = filled("seek", 100, System.currentTimeMillis() - 3_600_000);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var consumer = consumer(); var producer = producer()) {
            consumer.assign(List.of(partition));
            equal(consumer.beginningOffsets(List.of(partition), PATIENCE).get(partition), 0L);
            equal(consumer.endOffsets(List.of(partition), PATIENCE).get(partition), 100L);
            consumer.seekToBeginning(List.of(partition));
            equal(offsets(take(consumer, 100)), range(0, 100));
            consumer.seek(partition, 42);
            equal(offsets(take(consumer, 58)), range(42, 100));
            consumer.seekToEnd(List.of(partition));
            take(consumer, 0);
            equal(send(producer, topic, bytes("100")), 100L);
            equal(offsets(take(consumer, 1)), List.of(100L));
        }
    }

    private static void offsetOutOfRange() throws Exception {
        TopicPartition partition = new TopicPartition(filled("range", 10, System.currentTimeMillis()), 0);
        try (var consumer = consumer()) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, 5000);
            try {
                consumer.poll(PATIENCE);
            } catch (OffsetOutOfRangeException e) {
                equal(e.offsetOutOfRangePartitions(), Map.of(partition, 5000L));
                return;
            }
            throw new Failure("no error came");
        }
    }

    private static void offsetsForTimes() throws Exception {
        long base = System.currentTimeMillis() - 3_600_000;
        TopicPartition partition = new TopicPartition(filled("times", 100, base), 0);
        try (var consumer = consumer()) {
            long[][] cases = {{-5, 0}, {0, 0}, {4200, 5}, {99_000, 99}};
            for (long[] c : cases) {
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, base + c[0]), PATIENCE).get(partition);
                equal(List.of(found.offset(), found.timestamp()), List.of(c[1], base + c[1] * 1000));
            }
            check(consumer.offsetsForTimes(Map.of(partition, base + 99_001), PATIENCE).get(partition) == null, "after the last");
        }
    }

    private static void maxTimestamp() throws Exception {
        String topic = create(fresh("max"), 1);
        long base = System.currentTimeMillis() - 3_600_000;
        try (var producer = producer(); Admin admin = admin()) {
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>(topic, 0, base + (i == 6 ? 9_000 : i), null, bytes("" + i)));
            }
            producer.flush();
            TopicPartition partition = new TopicPartition(topic, 0);
            var found = get(admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).partitionResult(partition));
            equal(List.of(found.offset(), found.timestamp()), List.of(6L, base + 9_000));
        }
    }

    private static void tail() throws Exception {
        TopicPartition partition = new TopicPartition(filled("tail", 1, System.currentTimeMillis()), 0);
        try (var consumer = consumer("fetch.max.wait.ms", 5_000); var producer = producer("linger.ms", 0)) {
            consumer.assign(List.of(partition));
            consumer.seekToEnd(List.of(partition));
            check(consumer.poll(Duration.ofSeconds(2)).isEmpty(), "something came before the end moved");
            for (int i = 0; i < 3; i++) {
                send(producer, partition.topic(), bytes("now " + i));
                long sent = System.nanoTime();
                var records = consumer.poll(PATIENCE);
                double late = (System.nanoTime() - sent) / 1e6;
                equal(records.count(), 1);
                equal(text(records.iterator().next().value()), "now " + i);
                System.out.printf("arrived %.1f ms after its acknowledgement%n", late);
                check(late < 1000, late + " ms late");
                Thread.sleep(500);
            }
        }
    }

    // What walkthrough wrote; producer/producer.c says what record i looks like.

    private static void verify(String topic, int records, int keys, int valueBytes) {
        byte[] letters = new byte[65536 + valueBytes];
        int state = 1;
        for (int i = 0; i < letters.length; i++) {
            state = state * 1664525 + 1013904223;
            letters[i] = (byte) ('a' + (state >>> 24) % 26);
        }
        Set<Integer> partitionsSeen = new HashSet<>();
        int[] lastOfKey = new int[keys];
        int[] partitionOfKey = new int[keys];
        Arrays.fill(lastOfKey, -1);
        Arrays.fill(partitionOfKey, -1);
        int count = 0;
        long began = System.nanoTime();
        try (var consumer = consumer()) {
            List<TopicPartition> all = consumer.partitionsFor(topic, PATIENCE).stream()
                .map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            long end = consumer.endOffsets(all, PATIENCE).values().stream().mapToLong(Long::longValue).sum();
            equal(end, (long) records);
            long quiet = System.nanoTime() + PATIENCE.toNanos();
            while (count < records && System.nanoTime() < quiet) {
                for (var r : consumer.poll(Duration.ofMillis(500))) {
                    byte[] value = r.value();
                    equal(value.length, valueBytes);
                    int i = Integer.parseInt(new String(value, 0, 10, StandardCharsets.US_ASCII));
                    int key = Integer.parseInt(text(r.key()).substring(1));
                    equal(key, i % keys);
                    int begin = (int) (i * 1031L % 65536);
                    check(Arrays.equals(value, 11, valueBytes, letters, begin, begin + valueBytes - 11), "value " + i + " is damaged");
                    equal(i, lastOfKey[key] < 0 ? key : lastOfKey[key] + keys);
                    check(partitionOfKey[key] < 0 || partitionOfKey[key] == r.partition(), "key " + key + " is in two partitions");
                    lastOfKey[key] = i;
                    partitionOfKey[key] = r.partition();
                    partitionsSeen.add(r.partition());
                    count++;
                    quiet = System.nanoTime() + PATIENCE.toNanos();
                }
            }
        }
        equal(count, records);
        System.out.printf("%d records in order per key from %d partitions in %.1f s%n", count, partitionsSeen.size(), (System.nanoTime() - began) / 1e9);
    }
}
