import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The writer and the mover of {@code exactly-once} in Java: ROLE BOOTSTRAP NUMBER NOTES SEED. They do and note what those of
 * ../confluent/exactly_once.py do, which says it, and go on until their input ends.
 */
public final class ExactlyOnce {
    private static final int PARTITIONS = 4;
    private static final int ASK_MS = 20_000;
    private static final int OPEN_MS = 10_000;
    private static volatile boolean going = true;
    private static String bootstrap;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[1];
        int number = Integer.parseInt(arguments[2]);
        var reading = new Thread(ExactlyOnce::readInput);
        reading.setDaemon(true);
        reading.start();
        if (arguments[0].equals("write")) {
            write(number, Path.of(arguments[3]), new Random(arguments[4].hashCode() ^ System.nanoTime()));
        } else {
            move(number);
        }
        System.exit(0);
    }

    private static void readInput() {
        try {
            System.in.readAllBytes();
        } catch (IOException e) {
            e.printStackTrace();
        }
        going = false;
    }

    /** The next instance of a transactional producer: the one before is fenced. */
    private static KafkaProducer<byte[], byte[]> producer(String name) throws InterruptedException {
        while (true) {
            var made = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, "transactional.id", name,
                "transaction.timeout.ms", OPEN_MS, "max.block.ms", ASK_MS), new ByteArraySerializer(), new ByteArraySerializer());
            try {
                made.initTransactions();
                return made;
            } catch (KafkaException e) {
                made.close(Duration.ZERO);
                Thread.sleep(200);
            }
        }
    }

    private static void write(int number, Path notes, Random chance) throws Exception {
        // A life that comes behind another has other names.
        long life = System.currentTimeMillis();
        var own = producer("writer-" + number);
        try (var file = Files.newBufferedWriter(notes, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            for (int count = 1; going; count++) {
                String name = number + "." + life + "." + count;
                List<String> values = IntStream.range(0, 1 + chance.nextInt(12)).mapToObj(at -> name + "." + at).toList();
                try {
                    own.beginTransaction();
                    for (String value : values) {
                        byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
                        own.send(new ProducerRecord<>("in", chance.nextInt(PARTITIONS), null, bytes));
                    }
                    if (chance.nextDouble() < 0.3) {
                        own.flush();
                        own.abortTransaction();
                        continue;
                    }
                    note(file, "asked " + name + " " + String.join(" ", values));
                    own.commitTransaction();
                    note(file, "answered " + name);
                } catch (KafkaException e) {
                    own.close(Duration.ZERO);
                    own = producer("writer-" + number);
                }
            }
        }
    }

    private static void note(BufferedWriter file, String line) throws IOException {
        file.write(line + "\n");
        file.flush();
    }

    private static void move(int number) throws Exception {
        var own = producer("mover-" + number);
        var consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap, "group.id", "movers", "isolation.level", "read_committed",
            "auto.offset.reset", "earliest", "enable.auto.commit", false, "session.timeout.ms", 6000, "max.poll.records", 50),
            new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(List.of("in"));
        while (going) {
            var batch = consumer.poll(Duration.ofMillis(200));
            if (batch.isEmpty()) {
                continue;
            }
            try {
                own.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> record : batch) {
                    own.send(new ProducerRecord<>("out", record.partition(), null, record.value()));
                    offsets.put(new TopicPartition("in", record.partition()), new OffsetAndMetadata(record.offset() + 1));
                }
                own.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                own.commitTransaction();
            } catch (KafkaException e) {
                own.close(Duration.ZERO);
                own = producer("mover-" + number);
                rewind(consumer);
            }
        }
    }

    /** Has the consumer read again from what is committed; what it is assigned later it reads from there anyway. */
    private static void rewind(KafkaConsumer<byte[], byte[]> consumer) throws InterruptedException {
        while (true) {
            try {
                var committed = consumer.committed(consumer.assignment());
                for (TopicPartition partition : consumer.assignment()) {
                    var known = committed.get(partition);
                    consumer.seek(partition, known == null ? 0 : known.offset());
                }
                return;
            } catch (KafkaException e) {
                Thread.sleep(200);
            }
        }
    }
}
