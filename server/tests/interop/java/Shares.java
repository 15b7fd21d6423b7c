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
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Members of a share group for {@code shares}, and what must be true of the records. */
public final class Shares {
    private static final String TOPIC = "work";
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
                        int kind = Math.floorMod(at.hashCode(), 7);
                        boolean releases = kind == 0 && record.deliveryCount().orElse((short) 1) == 1 && released.add(at);
                        consumer.acknowledge(record, releases ? AcknowledgeType.RELEASE
                            : kind == 1 ? AcknowledgeType.REJECT : AcknowledgeType.ACCEPT);
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
        admin.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1))).all().get();
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
        administrate(admin);
        System.exit(0);
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
