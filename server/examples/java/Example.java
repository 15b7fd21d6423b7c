import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;

/**
 * What each program here needs around itself: topics, records in, results out, and whether they are the expected ones.
 *
 * A program makes its topics anew and removes them when all was well, so that it can run again on the same broker. After a
 * failure they stay, to be looked at.
 */
final class Example {
    interface Story {
        void tell(Example example) throws Exception;
    }

    private static final Duration PATIENCE = Duration.ofSeconds(60);
    /** How long nothing may come before that counts as the end. */
    private static final Duration SILENCE = Duration.ofSeconds(1);

    final String bootstrap;
    /** A folder for the state of Kafka Streams; it goes with the program. */
    final Path directory;
    private final List<String> topics = new ArrayList<>();
    private final List<String> applications = new ArrayList<>();

    Example(String bootstrap, Path directory) {
        this.bootstrap = bootstrap;
        this.directory = directory;
    }

    /** The whole of a program, whose arguments are the broker's address and a folder. */
    static void run(String name, String[] arguments, Story story) {
        var example = new Example(arguments[0], Path.of(arguments[1]));
        try {
            story.tell(example);
            example.removeAll();
        } catch (Throwable e) {
            e.printStackTrace();
            say("%s FAILED: %s", name, e.getMessage());
            System.exit(1);
        }
        say("%s: as expected", name);
        System.exit(0);
    }

    static void say(String text, Object... values) {
        System.out.printf(text + "%n", values);
    }

    Properties settings(Map<String, ?> more) {
        var properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.putAll(more);
        return properties;
    }

    void createTopic(String topic, int partitions, Map<String, String> configs) throws Exception {
        try (var admin = Admin.create(settings(Map.of()))) {
            var created = new NewTopic(topic, Optional.of(partitions), Optional.empty()).configs(configs);
            admin.createTopics(List.of(created)).all().get();
        }
        topics.add(topic);
    }

    void createTopic(String topic, int partitions) throws Exception {
        createTopic(topic, partitions, Map.of());
    }

    KafkaProducer<String, String> producer() {
        return new KafkaProducer<>(settings(Map.of("acks", "all")), new StringSerializer(), new StringSerializer());
    }

    /** Returns when all are acknowledged. */
    void send(List<ProducerRecord<String, String>> records) throws Exception {
        try (var producer = producer()) {
            var sent = records.stream().map(producer::send).toList();
            for (var future : sent) {
                future.get();
            }
        }
    }

    /** An application whose group and topics go with the program. */
    void owns(String id) {
        applications.add(id);
    }

    /** Settings of a Kafka Streams application with strings for keys and values, which reads its topics from the beginning. */
    Properties application(String id, Map<String, ?> more) {
        var properties = settings(Map.of("application.id", id, "state.dir", directory.toString(), "commit.interval.ms", "100",
            "default.key.serde", Serdes.StringSerde.class.getName(), "default.value.serde", Serdes.StringSerde.class.getName()));
        properties.putAll(more);
        return properties;
    }

    KafkaStreams start(String id, Topology topology) {
        owns(id);
        var streams = new KafkaStreams(topology, application(id, Map.of()));
        streams.start();
        return streams;
    }

    private KafkaConsumer<String, String> reader(String topic) {
        var committed = settings(Map.of("isolation.level", "read_committed"));
        var consumer = new KafkaConsumer<>(committed, new StringDeserializer(), new StringDeserializer());
        var partitions = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        return consumer;
    }

    /** The records of a topic that should have `count` of them; it has fewer or more if that is what there is. */
    List<ConsumerRecord<String, String>> read(String topic, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        try (var consumer = reader(topic)) {
            long patience = System.nanoTime() + PATIENCE.toNanos();
            while (records.size() < count && System.nanoTime() < patience) {
                consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            }
            consumer.poll(SILENCE).forEach(records::add);
        }
        return records;
    }

    /** Reads a topic as a table, until the newest value of each key is the expected one. */
    void expectTable(String topic, Map<String, String> expected) {
        Map<String, String> table = new TreeMap<>();
        try (var consumer = reader(topic)) {
            long patience = System.nanoTime() + PATIENCE.toNanos();
            while (!table.equals(expected) && System.nanoTime() < patience) {
                consumer.poll(Duration.ofMillis(100)).forEach(record -> table.put(record.key(), record.value()));
            }
            consumer.poll(SILENCE).forEach(record -> table.put(record.key(), record.value()));
        }
        expect(topic, table, new TreeMap<>(expected));
        table.forEach((key, value) -> say("  %s  %s", key, value));
    }

    /** Holds two collections of results against each other; their order says nothing. */
    static void expectAll(String what, List<String> found, List<String> expected) {
        expect(what, counted(found), counted(expected));
    }

    private static Map<String, Integer> counted(List<String> values) {
        Map<String, Integer> counts = new TreeMap<>();
        values.forEach(value -> counts.merge(value, 1, Integer::sum));
        return counts;
    }

    private static void expect(String what, Map<String, ?> found, Map<String, ?> expected) {
        var differ = new HashMap<String, String>();
        var keys = new TreeSet<>(found.keySet());
        keys.addAll(expected.keySet());
        for (String key : keys) {
            if (!String.valueOf(found.get(key)).equals(String.valueOf(expected.get(key)))) {
                differ.put(key, found.get(key) + " instead of " + expected.get(key));
            }
        }
        if (!differ.isEmpty()) {
            throw new AssertionError(what + " has " + differ.size() + " wrong results: " + differ.entrySet().stream().limit(5).toList());
        }
    }

    static void expect(boolean held, String otherwise) {
        if (!held) {
            throw new AssertionError(otherwise);
        }
    }

    private void removeAll() throws Exception {
        try (var admin = Admin.create(settings(Map.of()))) {
            for (String id : applications) {
                // A closed application is still a member for a while, in case that it comes back soon.
                admin.removeMembersFromConsumerGroup(id, new RemoveMembersFromConsumerGroupOptions()).all().get();
                admin.listTopics().names().get().stream().filter(topic -> topic.startsWith(id + "-")).forEach(topics::add);
            }
            admin.deleteConsumerGroups(applications).all().get();
            admin.deleteTopics(topics).all().get();
        }
        deleteTree(directory);
    }

    static void deleteTree(Path root) throws IOException {
        try (var files = Files.walk(root)) {
            files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
        }
    }
}
