import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A member of a share group (KIP-932) for {@code Client}; kafka-clients has them since 4.2. */
final class ShareMember implements Client.Member {
    private final String name;
    private final boolean isMixed;
    private final KafkaShareConsumer<byte[], byte[]> consumer;
    /** Accepted or rejected, and not confirmed yet. */
    private final Set<List<Object>> done = new HashSet<>();
    private final Thread thread;
    private volatile boolean open = true;

    ShareMember(JsonNode a) {
        name = a.get("consumer").asText();
        isMixed = a.get("how").asText().equals("mixed");
        consumer = new KafkaShareConsumer<>(Client.properties(Map.of("group.id", a.get("group").asText(),
            "share.acknowledgement.mode", "explicit", "max.poll.records", 20)), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.setAcknowledgementCommitCallback((offsets, error) -> {
            List<Object> confirmed = new ArrayList<>();
            offsets.forEach((partition, all) -> all.forEach(offset -> {
                List<Object> at = List.of(partition.partition(), offset);
                if (done.remove(at) && error == null) {
                    confirmed.add(at);
                }
            }));
            say(Map.of("event", "confirmed", "consumer", name, "records", confirmed));
        });
        List<String> topics = new ArrayList<>();
        a.get("topics").forEach(topic -> topics.add(topic.asText()));
        consumer.subscribe(topics);
        thread = new Thread(this::loop);
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public Object run(JsonNode a) throws Exception {
        open = false;
        thread.join();
        return null;
    }

    private void loop() {
        while (open) {
            try {
                List<Object> told = new ArrayList<>();
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    int delivery = r.deliveryCount().orElse((short) 0);
                    Map<String, Object> fields = new HashMap<>(Map.of("topic", r.topic(), "partition", r.partition(), "offset", r.offset(),
                        "timestamp", r.timestamp(), "headers", List.of(), "delivery", delivery));
                    fields.put("key", r.key());
                    fields.put("value", r.value());
                    told.add(fields);
                    AcknowledgeType type = !isMixed || r.offset() % 3 == 0 ? AcknowledgeType.ACCEPT
                        : r.offset() % 3 == 2 ? AcknowledgeType.REJECT : delivery == 1 ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT;
                    consumer.acknowledge(r, type);
                    if (type != AcknowledgeType.RELEASE) {
                        done.add(Arrays.asList(r.partition(), r.offset()));
                    }
                }
                if (!told.isEmpty()) {
                    say(Map.of("event", "records", "consumer", name, "records", told));
                    consumer.commitSync();
                }
            } catch (Exception e) {
                var event = Client.failure(e);
                event.put("event", "error");
                event.put("consumer", name);
                say(event);
            }
        }
        consumer.close();
    }

    private static void say(Map<String, ?> what) {
        try {
            Client.say(what);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}
