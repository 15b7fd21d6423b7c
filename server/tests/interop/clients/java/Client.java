import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
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
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own Java client as a driver for driven.py, which says what is read and written; and {@code verify}, what
 * walkthrough reads back. It compiles against kafka-clients 3.9 and 4.
 */
public final class Client {
    private static final Duration PATIENCE = Duration.ofSeconds(20);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, KafkaProducer<byte[], byte[]>> PRODUCERS = new HashMap<>();
    private static final Map<String, Member> CONSUMERS = new HashMap<>();
    private static String bootstrap;

    /** A consumer: it does what is asked of it by its name. */
    interface Member {
        Object run(JsonNode a) throws Exception;
    }

    private static final class Failure extends RuntimeException {
        private static final long serialVersionUID = 1;

        Failure(String message) {
            super(message);
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("verify")) {
            bootstrap = arguments[1];
            verify(arguments[2], Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]), Integer.parseInt(arguments[5]));
            return;
        }
        bootstrap = arguments[0];
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        boolean isOld = shareMember() == null;
        say(Map.of("ready", "java", "lacks", isOld ? Map.of("share-groups", "kafka-clients has share groups since 4.2") : Map.of(),
            "has", isOld ? List.of("consumer-protocol") : List.of("consumer-protocol", "share-groups")));
        try (Admin admin = Admin.create(properties(Map.of()))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                Map<String, Object> reply = new HashMap<>();
                try {
                    reply.put("ok", run(admin, JSON.readTree(line)));
                } catch (Exception e) {
                    reply = failure(e);
                }
                say(reply);
            }
        }
        System.exit(0);
    }

    static synchronized void say(Map<String, ?> what) throws Exception {
        System.out.println(JSON.writeValueAsString(what));
        System.out.flush();
    }

    static Map<String, Object> failure(Throwable e) {
        while ((e instanceof ExecutionException || e instanceof CompletionException) && e.getCause() != null) {
            e = e.getCause();
        }
        return new HashMap<>(Map.of("error", error(e), "text", e.toString()));
    }

    /** Kafka's code; 0 when the client has a failure of its own. */
    private static int error(Throwable e) {
        Errors error = e instanceof OffsetOutOfRangeException ? Errors.OFFSET_OUT_OF_RANGE : Errors.forException(e);
        return Math.max(error.code(), 0);
    }

    private static <T> T get(Future<T> future) throws Exception {
        return future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    static Properties properties(Map<String, ?> settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        settings.forEach((name, value) -> properties.put(name, String.valueOf(value)));
        return properties;
    }

    private static Object run(Admin admin, JsonNode a) throws Exception {
        String topic = a.path("topic").asText(null);
        String group = a.path("group").asText(null);
        switch (a.get("do").asText()) {
            case "topics":
                return get(admin.listTopics().names());
            case "describe-topic":
                return get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().stream()
                    .map(p -> Map.of("leader", address(p.leader()), "replicas", p.replicas().size(), "isr", p.isr().size())).toList();
            case "create-topic":
                Optional<Short> replication = Optional.of((short) a.get("replication").asInt()).filter(r -> r > 0);
                NewTopic created = new NewTopic(topic, Optional.of(a.get("partitions").asInt()), replication);
                Map<String, String> configs = new HashMap<>();
                a.get("configs").properties().forEach(c -> configs.put(c.getKey(), c.getValue().asText()));
                return get(admin.createTopics(List.of(created.configs(configs))).all());
            case "delete-topic":
                return get(admin.deleteTopics(List.of(topic)).all());
            case "cluster":
                var cluster = admin.describeCluster();
                return Map.of("id", get(cluster.clusterId()), "controller", address(get(cluster.controller())),
                    "nodes", get(cluster.nodes()).stream().map(Client::address).toList());
            case "configs":
                var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
                Map<String, Object> settings = new HashMap<>();
                for (ConfigEntry entry : get(admin.describeConfigs(List.of(resource)).all()).get(resource).entries()) {
                    settings.put(entry.name(), Arrays.asList(entry.value(), entry.isDefault()));
                }
                return settings;
            case "alter-configs":
                var configured = new ConfigResource(ConfigResource.Type.TOPIC, topic);
                List<AlterConfigOp> changes = new ArrayList<>();
                a.get("changes").forEach(c -> changes.add(new AlterConfigOp(
                    new ConfigEntry(c.get(0).asText(), c.get(2).asText(null)), AlterConfigOp.OpType.valueOf(c.get(1).asText()))));
                return get(admin.incrementalAlterConfigs(Map.of(configured, changes)).all());
            case "create-partitions":
                return get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(a.get("partitions").asInt()))).all());
            case "delete-records":
                var emptied = partition(a);
                var before = RecordsToDelete.beforeOffset(a.get("before").asLong());
                return get(admin.deleteRecords(Map.of(emptied, before)).lowWatermarks().get(emptied)).lowWatermark();
            case "size":
                var sized = partition(a);
                int node = get(admin.describeCluster().controller()).id();
                return get(admin.describeLogDirs(List.of(node)).allDescriptions()).get(node).values().stream()
                    .map(d -> d.replicaInfos().get(sized)).filter(r -> r != null).mapToLong(r -> r.size()).sum();
            case "offset":
                var asked = partition(a);
                var found = get(admin.listOffsets(Map.of(asked, spec(a.get("at")))).partitionResult(asked));
                return found.offset() < 0 ? null : Arrays.asList(found.offset(), found.timestamp() < 0 ? null : found.timestamp());
            case "set-group":
                var named = new ConfigResource(ConfigResource.Type.valueOf("GROUP"), group);
                var set = new ConfigEntry(a.get("name").asText(), a.get("value").asText());
                return get(admin.incrementalAlterConfigs(Map.of(named, List.of(new AlterConfigOp(set, AlterConfigOp.OpType.SET)))).all());
            case "groups":
                return groups(admin);
            case "describe-group":
                return describe(admin, group);
            case "delete-group":
                return get(admin.deleteConsumerGroups(List.of(group)).all());
            case "group-offsets":
                Map<Integer, Long> offsets = new HashMap<>();
                get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).forEach((partition, offset) -> {
                    if (partition.topic().equals(topic) && offset != null) {
                        offsets.put(partition.partition(), offset.offset());
                    }
                });
                return offsets;
            case "alter-group-offsets":
                Map<TopicPartition, OffsetAndMetadata> altered = new HashMap<>();
                a.get("offsets").properties().forEach(o -> altered.put(
                    new TopicPartition(topic, Integer.parseInt(o.getKey())), new OffsetAndMetadata(o.getValue().asLong())));
                return get(admin.alterConsumerGroupOffsets(group, altered).all());
            case "delete-group-offset":
                return get(admin.deleteConsumerGroupOffsets(group, Set.of(partition(a))).all());
            case "producer":
                PRODUCERS.put(a.get("producer").asText(), producer(a));
                return null;
            case "send":
                return send(PRODUCERS.get(a.get("producer").asText()), a.get("how").asText(), a.get("records"));
            case "transaction":
                transaction(PRODUCERS.get(a.get("producer").asText()), a);
                return null;
            case "close-producer":
                PRODUCERS.remove(a.get("producer").asText()).close();
                return null;
            case "assign":
            case "join":
                CONSUMERS.put(a.get("consumer").asText(), new Loop(a));
                return null;
            case "share":
                var constructor = shareMember().getDeclaredConstructor(JsonNode.class);
                CONSUMERS.put(a.get("consumer").asText(), (Member) constructor.newInstance(a));
                return null;
            default:
                return CONSUMERS.get(a.get("consumer").asText()).run(a);
        }
    }

    /** ShareMember, which does not compile against 3.9. */
    private static Class<?> shareMember() {
        try {
            return Class.forName("ShareMember");
        } catch (ClassNotFoundException old) {
            return null;
        }
    }

    private static String address(Node node) {
        return node.host() + ":" + node.port();
    }

    private static TopicPartition partition(JsonNode a) {
        return new TopicPartition(a.get("topic").asText(), a.get("partition").asInt());
    }

    private static OffsetSpec spec(JsonNode at) {
        switch (at.asText()) {
            case "earliest":
                return OffsetSpec.earliest();
            case "latest":
                return OffsetSpec.latest();
            case "max":
                return OffsetSpec.maxTimestamp();
            default:
                return OffsetSpec.forTimestamp(at.get("time").asLong());
        }
    }

    // The calls that 4.x has newer names for, which 3.9 does not know.
    @SuppressWarnings({"deprecation", "removal"})
    private static Object groups(Admin admin) throws Exception {
        Map<String, Object> groups = new HashMap<>();
        for (var group : get(admin.listConsumerGroups().all())) {
            groups.put(group.groupId(), Map.of("state", group.state().map(Object::toString).orElse("?"),
                "type", group.isSimpleConsumerGroup() ? "" : "consumer"));
        }
        return groups;
    }

    @SuppressWarnings({"deprecation", "removal"})
    private static Object describe(Admin admin, String group) throws Exception {
        var found = get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
        List<Object> members = new ArrayList<>();
        for (var member : found.members()) {
            members.add(Map.of("id", member.consumerId(), "client", member.clientId(), "host", member.host(),
                "instance", member.groupInstanceId().orElse(""), "partitions", pairs(member.assignment().topicPartitions())));
        }
        return Map.of("state", found.state().toString(), "protocol", found.partitionAssignor(), "members", members);
    }

    private static List<List<Object>> pairs(Collection<TopicPartition> partitions) {
        return partitions.stream().map(p -> List.<Object>of(p.topic(), p.partition())).toList();
    }

    // Producing.

    private static KafkaProducer<byte[], byte[]> producer(JsonNode a) {
        Map<String, Object> settings = new HashMap<>();
        a.properties().forEach(setting -> {
            switch (setting.getKey()) {
                case "acks" -> settings.put("acks", setting.getValue().asText());
                case "codec" -> settings.put("compression.type", setting.getValue().asText());
                case "idempotent" -> settings.put("enable.idempotence", setting.getValue().asBoolean());
                case "transactional" -> settings.put("transactional.id", setting.getValue().asText());
                case "timeout_ms" -> settings.put("transaction.timeout.ms", setting.getValue().asInt());
                case "request_bytes_max" -> {
                    settings.put("max.request.size", setting.getValue().asInt());
                    settings.put("batch.size", setting.getValue().asInt() / 2);
                }
                default -> { }
            }
        });
        var producer = new KafkaProducer<>(properties(settings), new ByteArraySerializer(), new ByteArraySerializer());
        if (a.has("transactional")) {
            producer.initTransactions();
        }
        return producer;
    }

    // The one way to metadata of a group without a member of it.
    @SuppressWarnings("removal")
    private static void transaction(KafkaProducer<byte[], byte[]> producer, JsonNode a) {
        switch (a.get("step").asText()) {
            case "begin" -> producer.beginTransaction();
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            case "offsets" -> {
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                a.get("offsets").properties().forEach(o -> offsets.put(
                    new TopicPartition(a.get("topic").asText(), Integer.parseInt(o.getKey())),
                    new OffsetAndMetadata(o.getValue().asLong())));
                producer.sendOffsetsToTransaction(offsets, new ConsumerGroupMetadata(a.get("group").asText()));
            }
            default -> throw new Failure("no such step of a transaction: " + a.get("step"));
        }
    }

    private static byte[] bytes(JsonNode node) throws Exception {
        return node.isNull() ? null : node.binaryValue();
    }

    private static ProducerRecord<byte[], byte[]> record(JsonNode r) throws Exception {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : r.get("headers")) {
            headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
        }
        return new ProducerRecord<>(r.get("topic").asText(), r.get("partition").isNull() ? null : r.get("partition").asInt(),
            r.get("timestamp").isNull() ? null : r.get("timestamp").asLong(), bytes(r.get("key")), bytes(r.get("value")), headers);
    }

    private static Object answer(Long offset, Integer error, int calls) {
        Map<String, Object> answer = new HashMap<>();
        answer.put("offset", offset);
        answer.put("error", error);
        answer.put("calls", calls);
        return answer;
    }

    private static Object answer(Future<RecordMetadata> future) throws Exception {
        try {
            RecordMetadata metadata = future.get();
            return answer(metadata.hasOffset() ? metadata.offset() : null, null, 1);
        } catch (ExecutionException e) {
            return answer(null, error(e.getCause()), 1);
        }
    }

    private static List<Object> send(KafkaProducer<byte[], byte[]> producer, String how, JsonNode records) throws Exception {
        List<Object> answers = new ArrayList<>();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        List<AtomicInteger> calls = new ArrayList<>();
        List<CompletableFuture<Object>> called = new ArrayList<>();
        for (JsonNode r : records) {
            switch (how) {
                case "each" -> answers.add(answer(producer.send(record(r))));
                case "stream" -> sent.add(producer.send(record(r)));
                case "forget" -> producer.send(record(r));
                case "callback" -> {
                    AtomicInteger count = new AtomicInteger();
                    CompletableFuture<Object> done = new CompletableFuture<>();
                    producer.send(record(r), (metadata, e) -> {
                        count.incrementAndGet();
                        done.complete(e == null ? (Object) metadata.offset() : e);
                    });
                    calls.add(count);
                    called.add(done);
                }
                default -> throw new Failure("no such way to send: " + how);
            }
        }
        for (var future : sent) {
            answers.add(answer(future));
        }
        producer.flush();
        for (int i = 0; i < called.size(); i++) {
            Object result = get(called.get(i));
            boolean done = result instanceof Long;
            answers.add(answer(done ? (Long) result : null, done ? null : error((Throwable) result), calls.get(i).get()));
        }
        return answers;
    }

    // Consuming: a KafkaConsumer belongs to one thread, which polls and does what it is told in between.

    private static final class Loop implements Member, ConsumerRebalanceListener {
        private final String name;
        private final String commit;
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final ConcurrentLinkedQueue<FutureTask<Object>> tasks = new ConcurrentLinkedQueue<>();
        private final Map<TopicPartition, OffsetAndMetadata> handled = new HashMap<>();
        private boolean open = true;

        Loop(JsonNode a) throws Exception {
            name = a.get("consumer").asText();
            commit = a.path("commit").asText("none");
            Map<String, Object> settings = new HashMap<>(Map.of("auto.offset.reset", "none", "allow.auto.create.topics", false,
                "metadata.max.age.ms", 2000));
            settings.put("enable.auto.commit", commit.equals("auto"));
            a.properties().forEach(setting -> {
                String value = setting.getValue().asText();
                switch (setting.getKey()) {
                    case "group" -> settings.put("group.id", value);
                    case "reset" -> settings.put("auto.offset.reset", value);
                    case "protocol" -> settings.put("group.protocol", value);
                    case "instance" -> settings.put("group.instance.id", value);
                    case "session_ms" -> settings.put("session.timeout.ms", value);
                    case "isolation" -> settings.put("isolation.level", value);
                    case "fetch_wait_ms" -> settings.put("fetch.max.wait.ms", value);
                    case "cooperative" ->
                        settings.put("partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
                    default -> { }
                }
            });
            if (a.has("session_ms")) {
                settings.put("heartbeat.interval.ms", 2000);
            }
            consumer = new KafkaConsumer<>(properties(settings), new ByteArrayDeserializer(), new ByteArrayDeserializer());
            if (a.get("do").asText().equals("assign")) {
                List<TopicPartition> partitions = new ArrayList<>();
                for (int i = 0; i < a.get("partitions").asInt(); i++) {
                    partitions.add(new TopicPartition(a.get("topic").asText(), i));
                }
                consumer.assign(partitions);
                for (TopicPartition partition : partitions) {
                    position(partition, a.get("at"));
                }
            } else if (a.has("pattern") && a.path("protocol").asText().equals("consumer")) {
                subscribeByBroker(a.get("pattern").asText());
            } else if (a.has("pattern")) {
                consumer.subscribe(Pattern.compile(a.get("pattern").asText()), this);
            } else {
                List<String> topics = new ArrayList<>();
                a.get("topics").forEach(t -> topics.add(t.asText()));
                consumer.subscribe(topics, this);
            }
            Thread thread = new Thread(this::loop);
            thread.setDaemon(true);
            thread.start();
        }

        /** The broker says which topics match, where the client has that. */
        private void subscribeByBroker(String pattern) throws Exception {
            try {
                Class<?> type = Class.forName("org.apache.kafka.clients.consumer.SubscriptionPattern");
                KafkaConsumer.class.getMethod("subscribe", type, ConsumerRebalanceListener.class)
                    .invoke(consumer, type.getConstructor(String.class).newInstance(pattern), this);
            } catch (ClassNotFoundException old) {
                consumer.subscribe(Pattern.compile(pattern), this);
            }
        }

        private void position(TopicPartition partition, JsonNode at) {
            if (at.has("time")) {
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, at.get("time").asLong())).get(partition);
                consumer.seek(partition, found.offset());
            } else if (at.isNumber()) {
                consumer.seek(partition, at.asLong());
            } else if (at.asText().equals("earliest")) {
                consumer.seekToBeginning(List.of(partition));
            } else {
                consumer.seekToEnd(List.of(partition));
            }
        }

        @Override
        public Object run(JsonNode a) throws Exception {
            FutureTask<Object> task = new FutureTask<>(command(a));
            tasks.add(task);
            return get(task);
        }

        private Callable<Object> command(JsonNode a) {
            return () -> {
                switch (a.get("do").asText()) {
                    case "seek" -> {
                        position(partition(a), a.get("at"));
                        consumer.position(partition(a));
                    }
                    case "pause" -> consumer.pause(List.of(partition(a)));
                    case "resume" -> consumer.resume(List.of(partition(a)));
                    case "commit" -> consumer.commitSync(Map.of(partition(a),
                        new OffsetAndMetadata(a.get("offset").asLong(), a.get("metadata").asText())));
                    case "committed" -> {
                        OffsetAndMetadata found = consumer.committed(Set.of(partition(a))).get(partition(a));
                        return found == null ? null : List.of(found.offset(), found.metadata());
                    }
                    case "close" -> {
                        open = false;
                        commitHandled();
                        consumer.close();
                    }
                    default -> throw new Failure("no such command: " + a);
                }
                return null;
            };
        }

        private void loop() {
            try {
                while (open) {
                    try {
                        handle(consumer.poll(Duration.ofMillis(100)));
                    } catch (Exception e) {
                        var event = failure(e);
                        event.put("event", "error");
                        event.put("consumer", name);
                        say(event);
                        Thread.sleep(100);
                    }
                    for (var task = tasks.poll(); task != null; task = tasks.poll()) {
                        task.run();
                    }
                }
            } catch (Exception e) {
                e.printStackTrace();
                System.exit(1);
            }
        }

        private void handle(ConsumerRecords<byte[], byte[]> records) throws Exception {
            if (records.isEmpty()) {
                return;
            }
            List<Object> told = new ArrayList<>();
            for (ConsumerRecord<byte[], byte[]> r : records) {
                List<Object> headers = new ArrayList<>();
                r.headers().forEach(h -> headers.add(Arrays.asList(h.key(), h.value())));
                Map<String, Object> fields = new HashMap<>(Map.of("topic", r.topic(), "partition", r.partition(),
                    "offset", r.offset(), "timestamp", r.timestamp(), "headers", headers));
                fields.put("key", r.key());
                fields.put("value", r.value());
                told.add(fields);
                if (commit.equals("each")) {
                    handled.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
            }
            say(Map.of("event", "records", "consumer", name, "records", told));
            commitHandled();
        }

        /** A rebalance that is under way refuses commits until the poll after it; revocation comes before that. */
        private void commitHandled() {
            try {
                if (!handled.isEmpty()) {
                    consumer.commitSync(handled);
                    handled.clear();
                }
            } catch (RebalanceInProgressException e) {
                // Later, then.
            }
        }

        private void tell(String event, Collection<TopicPartition> partitions) {
            try {
                say(Map.of("event", event, "consumer", name, "partitions", pairs(partitions)));
            } catch (Exception e) {
                throw new Failure(e.toString());
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            tell("assigned", partitions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            commitHandled();
            tell("revoked", partitions);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            handled.keySet().removeAll(partitions);
            tell("revoked", partitions);
        }
    }

    private static void check(boolean held, String otherwise) {
        if (!held) {
            throw new Failure(otherwise);
        }
    }

    private static void equal(Object found, Object expected) {
        check(found.equals(expected), found + " instead of " + expected);
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
        try (var consumer = new KafkaConsumer<byte[], byte[]>(
            properties(Map.of("auto.offset.reset", "none")), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
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
                    int key = Integer.parseInt(new String(r.key(), StandardCharsets.US_ASCII).substring(1));
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
