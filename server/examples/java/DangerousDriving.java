import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;

/**
 * Positions that are not normal go into a topic of their own, as JSON: map, filter, map, to.
 */
final class DangerousDriving {
    private static final String DANGEROUS = "dangerous_driving";

    private DangerousDriving() { }

    public static void main(String[] arguments) {
        Example.run("dangerous-driving", arguments, DangerousDriving::tell);
    }

    private static Topology topology() {
        var builder = new StreamsBuilder();
        builder.<String, String>stream(TruckPosition.TOPIC)
            .map((truck, line) -> KeyValue.pair(truck, TruckPosition.parse(line)))
            .filter((truck, position) -> position.dangerous())
            .map((truck, position) -> KeyValue.pair(truck, Json.write(position)))
            .to(DANGEROUS);
        return builder.build();
    }

    private static void tell(Example example) throws Exception {
        example.createTopic(TruckPosition.TOPIC, TruckPosition.PARTITIONS);
        example.createTopic(DANGEROUS, TruckPosition.PARTITIONS);
        var positions = TruckPosition.drive(3000);
        example.send(positions.stream().map(TruckPosition::toRecord).toList());
        var expected = positions.stream().filter(TruckPosition::dangerous).map(Json::write).toList();
        try (var streams = example.start("dangerous-driving", topology())) {
            var found = example.read(DANGEROUS, expected.size());
            found.stream().limit(3).forEach(record -> Example.say("  %s  %s", record.key(), record.value()));
            Example.expectAll(DANGEROUS, found.stream().map(record -> record.value()).toList(), expected);
        }
        Example.say("%d of %d positions are dangerous", expected.size(), positions.size());
    }
}
