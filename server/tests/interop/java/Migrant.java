import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Migrant BOOTSTRAP GROUP TOPIC PROTOCOL STRATEGY INSTANCE: a member of a group that speaks one protocol, until its input ends. It says what it is
 * given, what it gives up and what it reads, a line each; what it has read it commits before it gives it up. Without a name it is no static member.
 */
public final class Migrant {
    private static void say(String what, String details) {
        System.out.println(System.currentTimeMillis() + " " + what + " " + details);
    }

    private static String names(Collection<TopicPartition> partitions) {
        return partitions.stream().map(partition -> String.valueOf(partition.partition())).collect(Collectors.joining(","));
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[1]);
        settings.put("group.protocol", arguments[3]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.records", "50");
        if (arguments[3].equals("classic")) {
            String assignor = arguments[4].equals("cooperative") ? "CooperativeStickyAssignor" : "RangeAssignor";
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor);
            settings.put("heartbeat.interval.ms", "500");
            settings.put("session.timeout.ms", "10000");
        }
        if (!arguments[5].isEmpty()) {
            settings.put("group.instance.id", arguments[5]);
        }
        StringDeserializer text = new StringDeserializer();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings, text, text)) {
            consumer.subscribe(List.of(arguments[2]), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    say("assigned", names(partitions));
                }

                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    consumer.commitSync();
                    say("revoked", names(partitions));
                }

                @Override
                public void onPartitionsLost(Collection<TopicPartition> partitions) {
                    say("lost", names(partitions));
                }
            });
            while (System.in.available() == 0) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
                for (ConsumerRecord<String, String> record : records) {
                    say("read", record.partition() + " " + record.value());
                }
                consumer.commitAsync();
            }
        }
        say("closed", "");
    }
}
