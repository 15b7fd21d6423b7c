import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.producer.KafkaProducer;

/**
 * Trucks tell where they are, in the three ways to send a record; a consumer finds all of them, each truck's in order.
 */
final class Trucks {
    private Trucks() { }

    public static void main(String[] arguments) {
        Example.run("trucks", arguments, Trucks::tell);
    }

    private static void tell(Example example) throws Exception {
        example.createTopic(TruckPosition.TOPIC, TruckPosition.PARTITIONS);
        var positions = TruckPosition.drive(4500);
        try (var producer = example.producer()) {
            waiting(producer, positions.subList(0, 500));
            calledBack(producer, positions.subList(500, 2500));
            forgotten(producer, positions.subList(2500, 4500));
            // close() waits for what is on its way; what is forgotten is not lost for that.
        }
        compare(example, positions);
    }

    /** Synchronous: the next record is sent when this one is safe. Slow, and the order is plain. */
    private static void waiting(KafkaProducer<String, String> producer, List<TruckPosition> positions) throws Exception {
        for (var position : positions) {
            producer.send(position.toRecord()).get();
        }
        Example.say("%d positions sent, each waited for", positions.size());
    }

    /** Asynchronous: somebody is told of each, later, in the order of its partition. */
    private static void calledBack(KafkaProducer<String, String> producer, List<TruckPosition> positions) {
        var acknowledged = new AtomicInteger();
        var failed = new AtomicInteger();
        for (var position : positions) {
            producer.send(position.toRecord(), (metadata, failure) -> (failure == null ? acknowledged : failed).incrementAndGet());
        }
        producer.flush();
        Example.say("%d positions sent, %d called back", positions.size(), acknowledged.get());
        Example.expect(acknowledged.get() == positions.size() && failed.get() == 0, failed.get() + " positions failed");
    }

    /** Fire and forget: nobody asks. The client still sends again what has failed. */
    private static void forgotten(KafkaProducer<String, String> producer, List<TruckPosition> positions) {
        for (var position : positions) {
            producer.send(position.toRecord());
        }
        Example.say("%d positions sent and forgotten", positions.size());
    }

    private static void compare(Example example, List<TruckPosition> sent) {
        Map<String, List<String>> expected = new HashMap<>();
        for (var position : sent) {
            expected.computeIfAbsent(String.valueOf(position.truckId()), truck -> new ArrayList<>()).add(position.line());
        }
        Map<String, List<String>> found = new HashMap<>();
        var partitions = new TreeSet<Integer>();
        for (var record : example.read(TruckPosition.TOPIC, sent.size())) {
            found.computeIfAbsent(record.key(), truck -> new ArrayList<>()).add(record.value());
            partitions.add(record.partition());
        }
        Example.expect(found.equals(expected), "the positions of some truck are not as they were sent");
        Example.say("%d trucks, all positions in order, in partitions %s", found.size(), partitions);
    }
}
