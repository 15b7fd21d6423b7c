import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.KStream;

/**
 * Who drives dangerously? The stream of positions is joined with the table of drivers, as a connector has copied it from a
 * database. It is a left join: a driver whom the table does not know has no name.
 *
 * Once with a KTable, which has the same partitions as the stream: the stream is partitioned by driver first, through a
 * topic. Once with a GlobalKTable, of which each instance has the whole, so that the stream stays where it is.
 */
final class DriversJoin {
    private static final String DRIVERS = "trucking_driver";
    private static final String JOINED = "dangerous_driving_driver";
    private static final String JOINED_GLOBALLY = "dangerous_driving_driver_global";

    private static final List<Driver> KNOWN = List.of(
        driver(11, "Micky", "Isaacson"), driver(12, "Laurence", "Lindsey"), driver(13, "Pam", "Harrington"),
        driver(14, "Brooke", "Ferguson"), driver(15, "Clint", "Hudson"), driver(16, "Ben", "Simpson"), driver(17, "Frank", "Bishop"),
        driver(18, "Trevor", "Hines"), driver(19, "Christy", "Stephens"), driver(20, "Clarence", "Lamb"),
        driver(27, "Walter", "Ward"), driver(28, "Della", "Mcdonald"), driver(29, "Teresa", "Reid"), driver(32, "Ryan", "Bates"));

    private record Driver(int id, String firstName, String lastName, String available, String birthdate, long last_update) { }

    private record Danger(int driverId, String firstName, String lastName, int truckId, long routeId, String eventType) {
        static Danger of(TruckPosition position, Driver driver) {
            return new Danger(position.driverId(), driver == null ? null : driver.firstName(), driver == null ? null : driver.lastName(),
                position.truckId(), position.routeId(), position.eventType());
        }
    }

    private DriversJoin() { }

    public static void main(String[] arguments) {
        Example.run("drivers-join", arguments, DriversJoin::tell);
    }

    private static Driver driver(int id, String firstName, String lastName) {
        return new Driver(id, firstName, lastName, "Y", "24-JUL-85", System.currentTimeMillis() - 3_600_000);
    }

    private static String joined(TruckPosition position, String driver) {
        return Json.write(Danger.of(position, driver == null ? null : Json.read(driver, Driver.class)));
    }

    private static Topology topology() {
        var builder = new StreamsBuilder();
        KStream<String, String> dangerous = builder.<String, String>stream(TruckPosition.TOPIC)
            .filter((truck, line) -> TruckPosition.parse(line).dangerous());

        dangerous.selectKey((truck, line) -> driverOf(line))
            .leftJoin(builder.<String, String>table(DRIVERS), (line, driver) -> joined(TruckPosition.parse(line), driver))
            .to(JOINED);
        return builder.build();
    }

    private static Topology globalTopology() {
        var builder = new StreamsBuilder();
        builder.<String, String>stream(TruckPosition.TOPIC)
            .filter((truck, line) -> TruckPosition.parse(line).dangerous())
            .leftJoin(builder.<String, String>globalTable(DRIVERS), (truck, line) -> driverOf(line),
                (line, driver) -> joined(TruckPosition.parse(line), driver))
            .to(JOINED_GLOBALLY);
        return builder.build();
    }

    private static String driverOf(String line) {
        return String.valueOf(TruckPosition.parse(line).driverId());
    }

    private static void tell(Example example) throws Exception {
        example.createTopic(TruckPosition.TOPIC, TruckPosition.PARTITIONS);
        example.createTopic(DRIVERS, 2, Map.of("cleanup.policy", "compact"));
        example.createTopic(JOINED, 2);
        example.createTopic(JOINED_GLOBALLY, 2);
        example.send(KNOWN.stream().map(driver -> new ProducerRecord<>(DRIVERS, null, driver.last_update(), String.valueOf(driver.id()),
            Json.write(driver))).toList());
        var positions = TruckPosition.drive(2000);
        example.send(positions.stream().map(TruckPosition::toRecord).toList());

        var names = KNOWN.stream().collect(Collectors.toMap(Driver::id, Function.identity()));
        var expected = positions.stream().filter(TruckPosition::dangerous)
            .map(position -> Json.write(Danger.of(position, names.get(position.driverId())))).toList();
        try (var streams = example.start("drivers-join", topology()); var global = example.start("drivers-join-global", globalTopology())) {
            for (String joined : List.of(JOINED, JOINED_GLOBALLY)) {
                var found = example.read(joined, expected.size()).stream().map(record -> record.value()).toList();
                Example.say("%s", joined);
                found.stream().limit(3).forEach(danger -> Example.say("  %s", danger));
                Example.expectAll(joined, found, expected);
            }
        }
        long nameless = expected.stream().filter(danger -> danger.contains("null")).count();
        Example.say("%d dangers, %d of drivers whom the table does not know", expected.size(), nameless);
        Example.expect(nameless > 0 && nameless < expected.size(), "both kinds of drivers are dangerous");
    }
}
