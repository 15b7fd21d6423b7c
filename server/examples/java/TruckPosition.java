import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Where a truck was, and how it was driven. */
record TruckPosition(long ts, int truckId, int driverId, long routeId, String eventType, double latitude, double longitude,
                     long correlationId) {
    static final String TOPIC = "truck_position";
    static final int PARTITIONS = 8;
    private static final int TRUCKS = 40;
    private static final int DRIVER_FIRST = 10;
    private static final int DRIVERS = 25;
    private static final String NORMAL = "Normal";
    private static final String[] DANGERS = {"Lane Departure", "Overspeed", "Unsafe following distance", "Unsafe tail distance"};

    boolean dangerous() {
        return !eventType.equals(NORMAL);
    }

    /** One of a few thousand, of which a fifth is dangerous. */
    private static TruckPosition any(Random chance, long ts) {
        String event = chance.nextInt(5) > 0 ? NORMAL : DANGERS[chance.nextInt(DANGERS.length)];
        return new TruckPosition(ts, 100 + chance.nextInt(TRUCKS), DRIVER_FIRST + chance.nextInt(DRIVERS),
            1_000_000_000L + chance.nextInt(20), event, (3000 + chance.nextInt(1500)) / 100.0, (chance.nextInt(1500) - 10000) / 100.0, chance.nextLong());
    }

    /** The same ones each time, a millisecond apart from each other. */
    static List<TruckPosition> drive(int count) {
        var chance = new Random(count);
        long ts = System.currentTimeMillis() - count;
        var positions = new ArrayList<TruckPosition>();
        for (int i = 0; i < count; i++) {
            positions.add(any(chance, ts + i));
        }
        return positions;
    }

    static TruckPosition parse(String line) {
        String[] f = line.split(",");
        return new TruckPosition(Long.parseLong(f[0]), Integer.parseInt(f[1]), Integer.parseInt(f[2]), Long.parseLong(f[3]), f[4],
            Double.parseDouble(f[5]), Double.parseDouble(f[6]), Long.parseLong(f[7]));
    }

    String line() {
        return String.format(Locale.ROOT, "%d,%d,%d,%d,%s,%.2f,%.2f,%d", ts, truckId, driverId, routeId, eventType, latitude, longitude,
            correlationId);
    }

    /** With the truck as key: one truck is in one partition, in order. */
    ProducerRecord<String, String> toRecord() {
        return new ProducerRecord<>(TOPIC, null, ts, String.valueOf(truckId), line());
    }
}
