import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.Stores;

/**
 * A member of a streams group (KIP-1071) for the tools to look at: {@code Application --bootstrap-server ADDRESS GROUP TOPIC}.
 * It counts values over a repartition topic, says "RUNNING", and leaves its group when its process is to end.
 */
public final class Application {
    public static void main(String[] arguments) throws Exception {
        var builder = new StreamsBuilder();
        builder.<String, String>stream(arguments[3]).groupBy((key, value) -> value).count(
            Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()));
        var settings = new Properties();
        settings.put("bootstrap.servers", arguments[1]);
        settings.put("application.id", arguments[2]);
        settings.put("client.id", arguments[2] + "-client");
        settings.put("group.protocol", "streams");
        settings.put("auto.offset.reset", "earliest");
        settings.put("commit.interval.ms", "100");
        settings.put("default.key.serde", Serdes.String().getClass());
        settings.put("default.value.serde", Serdes.String().getClass());
        settings.put("state.dir", java.nio.file.Files.createTempDirectory("application").toString());
        var streams = new KafkaStreams(builder.build(), settings);
        streams.setStateListener((now, before) -> System.out.println(now));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(
            CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP).withTimeout(Duration.ofSeconds(5)))));
        streams.start();
        new CountDownLatch(1).await();
    }
}
