import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalTime;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * Orders of each product and hour: how many, and how many units. The hour is that of the order, not of its arrival.
 */
final class HourlyOrders {
    private static final String ORDERS = "orders";
    private static final String HOURLY = "orders_hourly";
    private static final Duration LATE_AT_MOST = Duration.ofHours(12);

    private record Order(String time, int units) { }

    private record Total(long orders, long units) {
        Total plus(Order order) {
            return new Total(orders + 1, units + order.units());
        }
    }

    private HourlyOrders() { }

    public static void main(String[] arguments) {
        Example.run("hourly-orders", arguments, HourlyOrders::tell);
    }

    private static Topology topology() {
        var builder = new StreamsBuilder();
        builder.<String, String>stream(ORDERS)
            .groupByKey()
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofHours(1), LATE_AT_MOST))
            .aggregate(() -> new Total(0, 0), (product, order, total) -> total.plus(Json.read(order, Order.class)),
                Materialized.with(Serdes.String(), Json.serde(Total.class)))
            .toStream((window, total) -> hour(window.window().startTime()) + " product " + window.key())
            .mapValues(Json::write)
            .to(HOURLY);
        return builder.build();
    }

    private static LocalTime hour(Instant instant) {
        return instant.atZone(ZoneOffset.UTC).toLocalTime();
    }

    /** An order of yesterday. */
    private static ProducerRecord<String, String> order(String time, int product, int units) {
        long timestamp = LocalDate.now(ZoneOffset.UTC).minusDays(1).atTime(LocalTime.parse(time)).toInstant(ZoneOffset.UTC).toEpochMilli();
        return new ProducerRecord<>(ORDERS, null, timestamp, String.valueOf(product), Json.write(new Order(time, units)));
    }

    private static void tell(Example example) throws Exception {
        example.createTopic(ORDERS, 2);
        example.createTopic(HOURLY, 1, Map.of("cleanup.policy", "compact"));
        // The last one is late, and counts where it belongs.
        example.send(List.of(order("08:05", 10, 2), order("08:20", 20, 8), order("09:00", 10, 5), order("09:10", 40, 45),
            order("09:15", 10, 7), order("09:30", 10, 6), order("09:59", 10, 4), order("08:59", 10, 3)));
        try (var streams = example.start("hourly-orders", topology())) {
            example.expectTable(HOURLY, Map.of(
                "08:00 product 10", Json.write(new Total(2, 5)),
                "08:00 product 20", Json.write(new Total(1, 8)),
                "09:00 product 10", Json.write(new Total(4, 22)),
                "09:00 product 40", Json.write(new Total(1, 45))));
        }
    }
}
