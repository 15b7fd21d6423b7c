// Has Kafka's own assignors share partitions out, in small groups that change, and prints what they were given and what came out.
// `generate` runs it; server/src/groups/consumer/assignors/tests/kafka.rs and server/src/groups/share/assignor/kafka.rs hold ours
// against what it printed.
//
// Members are passed in the order of their ids, and topics in that of theirs where Kafka does not bring them into an order of its own.

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.StringJoiner;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.MemberAssignment;
import org.apache.kafka.coordinator.group.api.assignor.PartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.SimpleAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

public class Assign {
    // The bytes of an id are all the same: half of these are numbers below zero for Java.
    private static final int[] TOPICS = {1, 2, 3, 129, 255};

    private record Member(String instance, TreeSet<Integer> topics) {}

    private static Uuid id(int topic) {
        long half = 0;
        for (int i = 0; i < 8; i++) half = half << 8 | topic;
        return new Uuid(half, half);
    }

    public static void main(String[] arguments) {
        System.out.println("# Apache Kafka " + arguments[0] + ", printed by generate");
        System.out.println("# assignor\ttopic:partitions,...\tmember=instance;topic,...;what it had;what it gets|...");
        for (int seed = 0; seed < 60; seed++) {
            play(new Random(seed), seed % 3 == 0 ? new RangeAssignor() : new UniformAssignor(), seed % 2 == 0, 12);
        }
        // Fewer partitions than members, too: then some are shared.
        for (int seed = 60; seed < 100; seed++) play(new Random(seed), new SimpleAssignor(), seed % 2 == 0, seed % 4 < 2 ? 2 : 8);
    }

    private static void play(Random random, PartitionAssignor assignor, boolean even, int most) {
        TreeMap<Integer, Integer> topics = new TreeMap<>();
        for (int topic : TOPICS) if (random.nextInt(4) > 0) topics.put(topic, 1 + random.nextInt(most));
        topics.putIfAbsent(1, 3);
        TreeMap<String, Member> members = new TreeMap<>();
        Map<String, Map<Uuid, Set<Integer>>> had = new HashMap<>();
        for (int step = 0; step < 12; step++) {
            String who = "m" + random.nextInt(6);
            if (random.nextInt(4) == 0 && members.size() > 1) {
                members.remove(who);
                had.remove(who);
            } else if (random.nextInt(5) == 0) {
                topics.computeIfPresent(1, (topic, count) -> count + random.nextInt(4));
            } else {
                TreeSet<Integer> wanted = new TreeSet<>();
                for (int topic : topics.keySet()) if (even || random.nextBoolean()) wanted.add(topic);
                String instance = who.equals("m1") || who.equals("m4") ? "i" + (9 - who.charAt(1) + '0') : null;
                members.put(who, new Member(instance, wanted));
            }
            if (members.isEmpty()) continue;
            had = share(assignor, topics, members, had);
        }
    }

    private static Map<String, Map<Uuid, Set<Integer>>> share(
        PartitionAssignor assignor,
        TreeMap<Integer, Integer> topics,
        TreeMap<String, Member> members,
        Map<String, Map<Uuid, Set<Integer>>> had
    ) {
        Map<String, MemberSubscriptionAndAssignmentImpl> specs = new LinkedHashMap<>();
        Map<Uuid, Map<Integer, String>> owners = new HashMap<>();
        members.forEach((name, member) -> {
            Set<Uuid> wanted = new java.util.LinkedHashSet<>();
            member.topics.forEach(topic -> wanted.add(id(topic)));
            Map<Uuid, Set<Integer>> before = new HashMap<>(had.getOrDefault(name, Map.of()));
            before.forEach((topic, at) -> at.forEach(one -> owners.computeIfAbsent(topic, t -> new HashMap<>()).put(one, name)));
            Assignment assignment = new Assignment(Collections.unmodifiableMap(before));
            specs.put(name, new MemberSubscriptionAndAssignmentImpl(Optional.empty(), Optional.ofNullable(member.instance), wanted, assignment));
        });
        boolean isEven = members.values().stream().map(Member::topics).distinct().count() == 1;
        SubscriptionType type = isEven ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
        Map<Uuid, Integer> counts = new HashMap<>();
        topics.forEach((topic, count) -> counts.put(id(topic), count));
        SubscribedTopicDescriber describer = new SubscribedTopicDescriber() {
            public int numPartitions(Uuid topic) { return counts.getOrDefault(topic, -1); }
            public Set<String> racksForPartition(Uuid topic, int partition) { return Set.of(); }
        };
        var assigned = assignor.assign(new GroupSpecImpl(Collections.unmodifiableMap(specs), type, owners), describer).members();
        StringJoiner row = new StringJoiner("|");
        Map<String, Map<Uuid, Set<Integer>>> gets = new HashMap<>();
        members.forEach((name, member) -> {
            MemberAssignment got = assigned.get(name);
            Map<Uuid, Set<Integer>> copy = new HashMap<>();
            if (got != null) got.partitions().forEach((topic, at) -> copy.put(topic, new TreeSet<>(at)));
            gets.put(name, copy);
            String instance = member.instance == null ? "" : member.instance;
            row.add(name + "=" + instance + ";" + join(new ArrayList<>(member.topics)) + ";" + text(had.getOrDefault(name, Map.of())) + ";" + text(copy));
        });
        StringJoiner sizes = new StringJoiner(",");
        topics.forEach((topic, count) -> sizes.add(topic + ":" + count));
        System.out.println(assignor.name() + "\t" + sizes + "\t" + row);
        return gets;
    }

    private static String join(List<Integer> numbers) {
        StringJoiner joined = new StringJoiner(",");
        numbers.forEach(number -> joined.add(number.toString()));
        return joined.toString();
    }

    private static String text(Map<Uuid, Set<Integer>> assignment) {
        StringJoiner joined = new StringJoiner(",");
        for (int topic : TOPICS) {
            for (int partition : new TreeSet<>(assignment.getOrDefault(id(topic), Set.of()))) joined.add(topic + "-" + partition);
        }
        return joined.toString();
    }
}
