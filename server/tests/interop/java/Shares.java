import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Members of a share group for {@code shares}, and what must be true of the records. */
public final class Shares {
    private static final String TOPIC = "work";
    private static final String QUEUE = "dlq.work";
    private static final String GROUP = "workers";
    private static final int MEMBERS = 3;

    private static String bootstrap;
    /** Records of which it was answered that they are done, and by whom. */
    private static final Map<String, Integer> DONE = new ConcurrentHashMap<>();
    private static final Map<String, Integer> DELIVERED = new ConcurrentHashMap<>();
    private static final List<String> WRONG = new java.util.concurrent.CopyOnWriteArrayList<>();
    private static final AtomicBoolean OVER = new AtomicBoolean();

    private Shares() {
    }

    private static KafkaShareConsumer<String, String> consumer(int member) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", GROUP);
        settings.put("key.deserializer", StringDeserializer.class);
        settings.put("value.deserializer", StringDeserializer.class);
        if (member == 0) {
            settings.put("share.acknowledgement.mode", "explicit");
            settings.put("share.acquire.mode", "record_limit");
            settings.put("max.poll.records", 20);
        }
        return new KafkaShareConsumer<>(settings);
    }

    private static void work(int member, CountDownLatch ready) {
        try (KafkaShareConsumer<String, String> consumer = consumer(member)) {
            consumer.setAcknowledgementCommitCallback((offsets, error) -> {
                if (error == null) {
                    offsets.forEach((partition, of) -> of.forEach(offset -> done(partition.partition(), offset, member)));
                }
            });
            consumer.subscribe(List.of(TOPIC));
            Set<String> released = ConcurrentHashMap.newKeySet();
            int polls = 0;
            while (!OVER.get()) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    String at = record.partition() + ":" + record.offset();
                    if (DONE.containsKey(at)) {
                        WRONG.add(at + " has come back");
                    }
                    DELIVERED.merge(record.value(), 1, Integer::sum);
                    if (member == 0) {
                        boolean releases = kind(at) == 0 && record.deliveryCount().orElse((short) 1) == 1 && released.add(at);
                        consumer.acknowledge(record, releases ? AcknowledgeType.RELEASE
                            : kind(at) == 1 ? AcknowledgeType.REJECT : AcknowledgeType.ACCEPT);
                        if (releases) {
                            RELEASED.add(at);
                        } else {
                            RELEASED.remove(at);
                        }
                    }
                }
                if (++polls == 3) {
                    ready.countDown();
                }
            }
        }
    }

    /** Released by member 0, whose callback does not tell a release from the rest. */
    private static final Set<String> RELEASED = ConcurrentHashMap.newKeySet();

    private static void done(int partition, long offset, int member) {
        String at = partition + ":" + offset;
        if (member != 0 || !RELEASED.contains(at)) {
            DONE.put(at, member);
        }
    }

    /** What member 0 does with a record: 0 releases it once, 1 rejects it. */
    private static int kind(String at) {
        return Math.floorMod(at.hashCode(), 7);
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            System.out.println("  FAILED: " + what);
            System.exit(1);
        }
        System.out.println("  " + what);
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        int records = Integer.parseInt(arguments[1]);
        Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        admin.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1), new NewTopic(QUEUE, 2, (short) 1)
            .configs(Map.of("errors.deadletterqueue.group.enable", "true")))).all().get();
        var operations = List.of(
            new AlterConfigOp(new ConfigEntry("errors.deadletterqueue.topic.name", QUEUE), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("errors.deadletterqueue.copy.record.enable", "true"), AlterConfigOp.OpType.SET));
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, GROUP), operations)).all().get();
        CountDownLatch ready = new CountDownLatch(MEMBERS);
        ExecutorService pool = Executors.newFixedThreadPool(MEMBERS);
        List<Future<?>> members = new ArrayList<>();
        for (int member = 0; member < MEMBERS; member++) {
            int number = member;
            members.add(pool.submit(() -> work(number, ready)));
        }
        check(ready.await(60, TimeUnit.SECONDS), "three members have joined");
        Thread.sleep(1000);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap,
                "key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class,
                "delivery.timeout.ms", 120000))) {
            for (int i = 0; i < records; i++) {
                producer.send(new ProducerRecord<>(TOPIC, i % 2, "k", "v" + i));
                if (i % (records / 200 + 1) == 0) {
                    Thread.sleep(100);
                }
            }
            producer.flush();
        }
        long until = System.currentTimeMillis() + 120_000;
        while (System.currentTimeMillis() < until && (DELIVERED.size() < records || lag(admin) > 0)) {
            Thread.sleep(100);
        }
        check(DELIVERED.size() == records, DELIVERED.size() + " of " + records + " records were delivered");
        check(lag(admin) == 0, "all of them are done with");
        OVER.set(true);
        for (Future<?> member : members) {
            member.get(60, TimeUnit.SECONDS);
        }
        check(WRONG.isEmpty(), "of " + DONE.size() + " that were acknowledged none came back " + WRONG);
        long again = DELIVERED.values().stream().filter(count -> count > 1).count();
        System.out.println("  " + again + " were delivered more than once");
        letters();
        administrate(admin);
        System.exit(0);
    }

    /** What member 0 was told is rejected is in the queue, with its value; what was accepted is not. */
    private static void letters() {
        Map<String, Integer> letters = new HashMap<>();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap,
                "key.deserializer", StringDeserializer.class, "value.deserializer", StringDeserializer.class))) {
            List<TopicPartition> partitions = List.of(new TopicPartition(QUEUE, 0), new TopicPartition(QUEUE, 1));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            var ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                for (ConsumerRecord<String, String> letter : consumer.poll(Duration.ofMillis(200))) {
                    String partition = header(letter, "partition");
                    letters.merge(partition + ":" + header(letter, "offset"), 1, Integer::sum);
                    boolean isRight = letter.value() != null && letter.value().startsWith("v") && header(letter, "group").equals(GROUP)
                        && Integer.parseInt(partition) == letter.partition();
                    if (!isRight) {
                        WRONG.add(letter.toString());
                    }
                }
            }
        }
        List<String> lost = DONE.entrySet().stream().filter(done -> done.getValue() == 0 && kind(done.getKey()) == 1)
            .map(Map.Entry::getKey).filter(at -> !letters.containsKey(at)).toList();
        List<String> accepted = letters.keySet().stream().filter(DONE::containsKey)
            .filter(at -> DONE.get(at) != 0 || kind(at) != 1).toList();
        check(lost.isEmpty(), "of what was rejected nothing is missing in the queue " + lost);
        check(accepted.isEmpty() && WRONG.isEmpty(), letters.size() + " records are there, none that was accepted " + accepted + WRONG);
        System.out.println("  " + letters.values().stream().filter(count -> count > 1).count() + " are there more than once");
    }

    private static String header(ConsumerRecord<String, String> letter, String name) {
        return new String(letter.headers().lastHeader("__dlq.errors." + name).value(), StandardCharsets.UTF_8);
    }

    private static long lag(Admin admin) throws Exception {
        try {
            var offsets = admin.listShareGroupOffsets(Map.of(GROUP, new ListShareGroupOffsetsSpec())).all().get().get(GROUP);
            return offsets.values().stream().mapToLong(offset -> offset.lag().orElse(1L)).sum();
        } catch (java.util.concurrent.ExecutionException unavailable) {
            return 1;
        }
    }

    private static void administrate(Admin admin) throws Exception {
        var described = admin.describeShareGroups(List.of(GROUP)).all().get().get(GROUP);
        check(described.members().isEmpty(), "nobody is in the group: " + described.groupState());
        TopicPartition partition = new TopicPartition(TOPIC, 0);
        admin.alterShareGroupOffsets(GROUP, Map.of(partition, 5L)).all().get();
        var offsets = admin.listShareGroupOffsets(Map.of(GROUP, new ListShareGroupOffsetsSpec())).all().get().get(GROUP);
        check(offsets.get(partition).startOffset() == 5, "its offset was set back to 5");
        admin.deleteShareGroupOffsets(GROUP, Set.of(TOPIC)).all().get();
        offsets = admin.listShareGroupOffsets(Map.of(GROUP, new ListShareGroupOffsetsSpec())).all().get().get(GROUP);
        check(offsets.isEmpty(), "its offsets were deleted");
        admin.deleteShareGroups(List.of(GROUP)).all().get();
        check(admin.listGroups().all().get().isEmpty(), "it was deleted");
    }
}
