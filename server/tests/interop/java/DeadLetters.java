import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Records that a share group rejects or leaves too often, and what its dead letter queue has of them: one line each. */
public final class DeadLetters {
    private static final String TOPIC = "work";
    private static final String QUEUE = "dlq.work";
    private static final String GROUP = "workers";
    private static final TopicPartition WORK = new TopicPartition(TOPIC, 0);

    private static String bootstrap;

    private DeadLetters() {
    }

    private static void set(Admin admin, ConfigResource.Type type, String of, String name, String value) throws Exception {
        var operation = new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(type, of), List.of(operation))).all().get();
    }

    private static void produce(List<ProducerRecord<String, String>> records, String codec) {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap,
                "key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class,
                "compression.type", codec, "linger.ms", 200))) {
            records.forEach(producer::send);
        }
    }

    private static ProducerRecord<String, String> record(String key, String value) {
        return new ProducerRecord<>(TOPIC, 0, key, value);
    }

    /** Takes records until the group is done with all of them; says of each what its offset is for. */
    private static void work(Admin admin) throws Exception {
        try (KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(Map.of("bootstrap.servers", bootstrap,
                "group.id", GROUP, "share.acknowledgement.mode", "explicit",
                "key.deserializer", StringDeserializer.class, "value.deserializer", StringDeserializer.class))) {
            consumer.subscribe(List.of(TOPIC));
            long until = System.currentTimeMillis() + 60_000;
            while (System.currentTimeMillis() < until && lag(admin) > 0) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(300))) {
                    consumer.acknowledge(record, record.offset() == 3 ? AcknowledgeType.ACCEPT
                        : record.offset() == 4 ? AcknowledgeType.RELEASE : AcknowledgeType.REJECT);
                }
                consumer.commitSync();
            }
        }
        if (lag(admin) > 0) {
            throw new IllegalStateException("the group is not done with " + lag(admin) + " records");
        }
    }

    private static long lag(Admin admin) throws Exception {
        try {
            var offsets = admin.listShareGroupOffsets(Map.of(GROUP, new ListShareGroupOffsetsSpec())).all().get().get(GROUP);
            var found = offsets.get(WORK);
            return found == null ? 1 : found.lag().orElse(1L);
        } catch (java.util.concurrent.ExecutionException unavailable) {
            return 1;
        }
    }

    private static String text(byte[] bytes) {
        String text = bytes == null ? "null" : new String(bytes, StandardCharsets.UTF_8);
        return text.length() > 60 ? text.length() + " bytes" : text;
    }

    /** What is in the queue, by the offset of the record that each stands for. */
    private static void show(int count) {
        TreeMap<Long, String> letters = new TreeMap<>();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap,
                "key.deserializer", org.apache.kafka.common.serialization.ByteArrayDeserializer.class,
                "value.deserializer", org.apache.kafka.common.serialization.ByteArrayDeserializer.class))) {
            List<TopicPartition> partitions = List.of(new TopicPartition(QUEUE, 0));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long until = System.currentTimeMillis() + 20_000;
            while (System.currentTimeMillis() < until && letters.size() < count) {
                for (ConsumerRecord<byte[], byte[]> letter : consumer.poll(Duration.ofMillis(300))) {
                    List<String> headers = new ArrayList<>();
                    for (Header header : letter.headers()) {
                        headers.add(header.key() + "=" + text(header.value()));
                    }
                    String offset = new String(letter.headers().lastHeader("__dlq.errors.offset").value(), StandardCharsets.UTF_8);
                    letters.put(Long.parseLong(offset),
                        "key " + text(letter.key()) + ", value " + text(letter.value()) + ", headers " + String.join(" ", headers));
                }
            }
        }
        letters.values().forEach(System.out::println);
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        var features = admin.describeFeatures().featureMetadata().get();
        System.out.println("share.version " + features.finalizedFeatures().get("share.version"));
        admin.createTopics(List.of(new NewTopic(TOPIC, 1, (short) 1), new NewTopic(QUEUE, 1, (short) 1).configs(
            Map.of("errors.deadletterqueue.group.enable", "true", "max.message.bytes", "20000")))).all().get();
        set(admin, ConfigResource.Type.GROUP, GROUP, "share.auto.offset.reset", "earliest");
        set(admin, ConfigResource.Type.GROUP, GROUP, "share.delivery.count.limit", "2");
        set(admin, ConfigResource.Type.GROUP, GROUP, "errors.deadletterqueue.topic.name", QUEUE);
        set(admin, ConfigResource.Type.GROUP, GROUP, "errors.deadletterqueue.copy.record.enable", "true");
        var first = record("k0", "v0");
        first.headers().add("trace", "7".getBytes(StandardCharsets.UTF_8));
        produce(List.of(first, record(null, "v1"), record("k2", null), record("k3", "v3"), record("k4", "v4"),
            record("k5", "x".repeat(50_000))), "gzip");
        work(admin);
        set(admin, ConfigResource.Type.GROUP, GROUP, "errors.deadletterqueue.copy.record.enable", "false");
        produce(List.of(record("k6", "v6")), "none");
        work(admin);
        show(6);
        admin.updateFeatures(Map.of("share.version", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.SAFE_DOWNGRADE)),
            new UpdateFeaturesOptions()).all().get();
        produce(List.of(record("k7", "v7")), "none");
        work(admin);
        System.out.println("with share.version 1");
        show(6);
        System.exit(0);
    }
}
