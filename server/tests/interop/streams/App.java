import java.io.BufferedReader;
import java.io.FileWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyQueryMetadata;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * What `run` has of Kafka Streams and around it: `App ROLE BOOTSTRAP ...`.
 *
 * A line of input is `N word word word`, its key a driver. What comes out of it can be told from the set of lines alone:
 * it depends neither on their order nor on the application's instances. Every role prints words with tabs between.
 */
public final class App {
    private static final String NAME = "interop";
    private static final List<String> TOPICS = List.of("lines", "filtered", "joined", "counts", "hourly");
    private static final int PARTITIONS = 4;
    private static final int DRIVERS = 40;
    private static final int WORDS = 150;
    private static final int WORDS_A_LINE = 3;
    private static final int HOURS = 5;
    private static final long HOUR_MS = Duration.ofHours(1).toMillis();
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    public static void main(String[] arguments) throws Exception {
        String role = arguments[0];
        String bootstrap = arguments[1];
        String[] rest = Arrays.copyOfRange(arguments, 2, arguments.length);
        switch (role) {
            case "prepare" -> prepare(bootstrap);
            case "feed" -> feed(bootstrap, rest[0], Long.parseLong(rest[1]), Integer.parseInt(rest[2]));
            case "application" -> application(bootstrap, rest[0], rest[1], rest[2], rest[3]);
            case "read" -> read(bootstrap, rest[0], List.of(rest).subList(1, rest.length));
            case "internal" -> internal(bootstrap);
            default -> throw new IllegalArgumentException("no such role: " + role);
        }
        System.exit(0);
    }

    private static synchronized void say(Object... words) {
        System.out.println(String.join("\t", Arrays.stream(words).map(String::valueOf).toList()));
        System.out.flush();
    }

    private static Properties properties(String bootstrap, Map<String, ?> settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.putAll(settings);
        return properties;
    }

    private static KafkaProducer<String, String> producer(String bootstrap) {
        Map<String, ?> settings = Map.of("acks", "all", "enable.idempotence", "true", "linger.ms", "5");
        return new KafkaProducer<>(properties(bootstrap, settings), new StringSerializer(), new StringSerializer());
    }

    /** The topics, and a table of the drivers with an even number, which is older than every line that is joined with it. */
    private static void prepare(String bootstrap) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (String name : TOPICS) {
            topics.add(new NewTopic(name, Optional.of(PARTITIONS), Optional.empty()));
        }
        NewTopic drivers = new NewTopic("drivers", Optional.of(PARTITIONS), Optional.empty());
        topics.add(drivers.configs(Map.of("cleanup.policy", "compact")));
        try (Admin admin = Admin.create(properties(bootstrap, Map.of())); var producer = producer(bootstrap)) {
            admin.createTopics(topics).all().get();
            for (int i = 0; i < DRIVERS; i += 2) {
                producer.send(new ProducerRecord<>("drivers", null, first() - 1, "d" + i, "driver " + i)).get();
            }
        }
    }

    /** Lines at `rate` a second until the input ends; each that is acknowledged is noted. Fails when one never is. */
    private static void feed(String bootstrap, String notes, long seed, int rate) throws Exception {
        Random chance = new Random(seed);
        long first = first();
        AtomicReference<Exception> failure = new AtomicReference<>();
        Thread input = new Thread(App::drain);
        input.setDaemon(true);
        input.start();
        long began = System.nanoTime();
        try (var producer = producer(bootstrap); var file = new PrintWriter(new FileWriter(notes))) {
            for (long number = 0; input.isAlive() && failure.get() == null; number++) {
                long early = number * 1000 / rate - Duration.ofNanos(System.nanoTime() - began).toMillis();
                if (early > 0) {
                    Thread.sleep(early);
                }
                StringBuilder line = new StringBuilder().append(number);
                for (int i = 0; i < WORDS_A_LINE; i++) {
                    line.append(" w").append(chance.nextInt(WORDS));
                }
                long timestamp = first + (long) (chance.nextDouble() * HOURS * HOUR_MS);
                String driver = "d" + chance.nextInt(DRIVERS);
                producer.send(new ProducerRecord<>("lines", null, timestamp, driver, line.toString()), (metadata, e) -> {
                    if (e == null) {
                        file.println(driver + "\t" + timestamp + "\t" + line);
                    } else {
                        failure.set(e);
                    }
                });
            }
            producer.flush();
        }
        if (failure.get() != null) {
            throw failure.get();
        }
    }

    /** The time of the first line: as many hours ago, on the hour. */
    private static long first() {
        return (System.currentTimeMillis() / HOUR_MS - HOURS) * HOUR_MS;
    }

    private static void drain() {
        try {
            System.in.readAllBytes();
        } catch (IOException e) {
            // That is the end, too.
        }
    }

    private static long number(String line) {
        return Long.parseLong(line.substring(0, line.indexOf(' ')));
    }

    private static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> lines = builder.stream("lines");
        KTable<String, String> drivers = builder.table("drivers", Materialized.as("drivers"));

        lines.filter((driver, line) -> number(line) % 3 == 0).to("filtered");

        lines.leftJoin(drivers, (line, name) -> number(line) + " " + name).to("joined");

        lines.flatMapValues(line -> List.of(line.split(" ")).subList(1, 1 + WORDS_A_LINE))
            .groupBy((driver, word) -> word, Grouped.as("words"))
            .count(Materialized.as("counts"))
            .toStream((word, count) -> word)
            .mapValues(String::valueOf)
            .to("counts");

        lines.groupByKey()
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofHours(1), Duration.ofDays(1)))
            .count(Materialized.as("hourly"))
            .toStream((window, count) -> window.key() + "@" + window.window().start())
            .mapValues(String::valueOf)
            .to("hourly");

        return builder.build();
    }

    /** An instance, which answers a line of its input with what it has, and stops when its input ends. */
    private static void application(String bootstrap, String protocol, String guarantee, String directory, String number)
        throws Exception {
        Properties settings = properties(bootstrap, Map.ofEntries(
            Map.entry("application.id", NAME),
            Map.entry("application.server", "instance:" + number),
            Map.entry("processing.guarantee", guarantee),
            Map.entry("state.dir", directory),
            Map.entry("num.stream.threads", "2"),
            Map.entry("num.standby.replicas", "1"),
            Map.entry("commit.interval.ms", "100"),
            // Every change of a count is told, so that what is told can be counted.
            Map.entry("statestore.cache.max.bytes", "0"),
            Map.entry("repartition.purge.interval.ms", "5000"),
            // The logs of stores are compacted while they are written, and read again to restore them.
            Map.entry("topic.segment.ms", "5000"),
            Map.entry("topic.min.cleanable.dirty.ratio", "0.01"),
            Map.entry("default.key.serde", Serdes.StringSerde.class.getName()),
            Map.entry("default.value.serde", Serdes.StringSerde.class.getName()),
            Map.entry("main.consumer.auto.offset.reset", "earliest")));
        if (protocol.equals("streams")) {
            // How many stand by, and when a killed instance is missed, is the broker's to say.
            settings.put("group.protocol", "streams");
            settings.remove("num.standby.replicas");
        } else {
            settings.put("main.consumer.session.timeout.ms", "6000");
            settings.put("main.consumer.heartbeat.interval.ms", "1500");
        }
        var streams = new KafkaStreams(topology(), settings);
        streams.setStateListener((now, before) -> say("state", now));
        streams.setGlobalStateRestoreListener(new Restores());
        streams.setUncaughtExceptionHandler(e -> {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            say("replaced", (e.getMessage() + ": " + cause).replaceAll("\\s+", " "));
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            tell(streams);
            say("end");
        }
        if (!streams.close(Duration.ofSeconds(30))) {
            throw new IllegalStateException("the application does not stop");
        }
    }

    private static void tell(KafkaStreams streams) {
        int active = 0;
        int standby = 0;
        for (var thread : streams.metadataForLocalThreads()) {
            active += thread.activeTasks().size();
            standby += thread.standbyTasks().size();
        }
        say("tasks", active, standby);
        rows("counts", () -> {
            var store = streams.store(StoreQueryParameters.fromNameAndType("counts", QueryableStoreTypes.<String, Long>keyValueStore()));
            try (var rows = store.all()) {
                rows.forEachRemaining(row -> tell(streams, "counts", row.key, row.key, row.value));
            }
        });
        rows("hourly", () -> {
            var store = streams.store(StoreQueryParameters.fromNameAndType("hourly", QueryableStoreTypes.<String, Long>windowStore()));
            try (var rows = store.all()) {
                rows.forEachRemaining(row ->
                    tell(streams, "hourly", row.key.key(), row.key.key() + "@" + row.key.window().start(), row.value));
            }
        });
    }

    /** A store is not there in the middle of a rebalance, nor on an instance that has no active task with it. */
    private static void rows(String store, Runnable all) {
        try {
            all.run();
        } catch (InvalidStateStoreException e) {
            say("not here", store, e.getMessage());
        }
    }

    private static void tell(KafkaStreams streams, String store, String key, String shown, long value) {
        KeyQueryMetadata where = streams.queryMetadataForKey(store, key, new StringSerializer());
        say("row", store, shown, value, where.activeHost().port(), where.standbyHosts().size());
    }

    private static final class Restores implements StateRestoreListener {
        @Override
        public void onRestoreStart(TopicPartition partition, String store, long from, long to) { }

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long end, long count) { }

        @Override
        public void onRestoreEnd(TopicPartition partition, String store, long count) {
            say("restored", store, count);
        }
    }

    private static KafkaConsumer<String, String> consumer(String bootstrap, String isolation) {
        Properties settings = properties(bootstrap, Map.of("isolation.level", isolation, "auto.offset.reset", "none"));
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private static List<TopicPartition> partitions(KafkaConsumer<?, ?> consumer, Collection<String> topics) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (String topic : topics) {
            consumer.partitionsFor(topic, PATIENCE).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
        }
        return partitions;
    }

    /** All records of the partitions, of each in order, from their beginning up to where they end now. */
    private static void read(KafkaConsumer<String, String> consumer, List<TopicPartition> partitions,
                             Consumer<ConsumerRecord<String, String>> each) {
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, PATIENCE);
        long quiet = System.nanoTime() + PATIENCE.toNanos();
        while (partitions.stream().anyMatch(p -> consumer.position(p, PATIENCE) < ends.get(p))) {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                each.accept(record);
                quiet = System.nanoTime() + PATIENCE.toNanos();
            }
            if (System.nanoTime() > quiet) {
                throw new IllegalStateException("nothing comes up to " + ends);
            }
        }
    }

    private static void read(String bootstrap, String isolation, Collection<String> topics) {
        try (var consumer = consumer(bootstrap, isolation)) {
            read(consumer, partitions(consumer, topics),
                record -> System.out.println(String.join("\t", record.topic(), record.key(), record.value())));
        }
    }

    /** The topics that the application has made for itself: their settings, where they begin in sum, and how many records they have. */
    private static void internal(String bootstrap) throws Exception {
        try (Admin admin = Admin.create(properties(bootstrap, Map.of())); var consumer = consumer(bootstrap, "read_uncommitted")) {
            var names = new TreeSet<>(admin.listTopics().names().get());
            names.removeIf(name -> !name.startsWith(NAME + "-"));
            for (String name : names) {
                var resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
                Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
                var partitions = partitions(consumer, List.of(name));
                long begin = consumer.beginningOffsets(partitions, PATIENCE).values().stream().mapToLong(Long::longValue).sum();
                var records = new AtomicLong();
                read(consumer, partitions, record -> records.incrementAndGet());
                say(name.substring(NAME.length() + 1), partitions.size(), config.get("cleanup.policy").value(),
                    config.get("retention.ms").value(), begin, records);
            }
        }
    }
}
