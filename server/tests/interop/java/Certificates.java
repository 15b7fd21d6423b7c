import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.SslAuthenticationException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Certificates KEYS SSL USERS NUMBER: Kafka's own client at listeners with TLS; ends with 0 when all of it held. KEYS has ours.pem and
 * theirs.pem, two authorities, and truck.java.pem and stranger.java.pem, a key with its certificate of each. alice is known at USERS by
 * SCRAM-SHA-512, with the password {@code wonder land}.
 */
public final class Certificates {
    private static final long SECONDS = 30;
    private static final int RECORDS = 20;

    private static String keys;

    private static Map<String, Object> trusting(String bootstrap, String protocol, String authority) {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("security.protocol", protocol);
        settings.put("ssl.truststore.type", "PEM");
        settings.put("ssl.truststore.location", keys + "/" + authority + ".pem");
        return settings;
    }

    private static Map<String, Object> certificate(String bootstrap, String name, String authority) {
        Map<String, Object> settings = trusting(bootstrap, "SSL", authority);
        settings.put("ssl.keystore.type", "PEM");
        settings.put("ssl.keystore.location", keys + "/" + name + ".java.pem");
        return settings;
    }

    private static Map<String, Object> user(String bootstrap) {
        Map<String, Object> settings = trusting(bootstrap, "SASL_SSL", "ours");
        settings.put("sasl.mechanism", "SCRAM-SHA-512");
        settings.put("sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" password=\"wonder land\";");
        return settings;
    }

    private static void demand(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("FAILED: " + what);
        }
        System.out.println("  " + what);
    }

    private static boolean isLetIn(Map<String, Object> settings) throws Exception {
        try (Admin admin = Admin.create(settings)) {
            admin.listTopics().names().get(SECONDS, TimeUnit.SECONDS);
            return true;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof SslAuthenticationException) {
                return false;
            }
            throw e;
        }
    }

    private static void recordsTravel(String word, Map<String, Object> settings, String topic) throws Exception {
        String value = "x".repeat(500_000);
        List<String> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int at = 0; at < RECORDS; at++) {
                sent.add(at + " " + value);
                producer.send(new ProducerRecord<>(topic, sent.get(at))).get(SECONDS, TimeUnit.SECONDS);
            }
        }
        demand(true, "by " + word + ", 10 MB go in");
        settings.put("group.id", topic);
        settings.put("auto.offset.reset", "earliest");
        List<String> found = new ArrayList<>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);
            while (found.size() < RECORDS && System.nanoTime() < end) {
                consumer.poll(Duration.ofMillis(500)).forEach(record -> found.add(record.value()));
            }
        }
        demand(found.equals(sent), "and come out by a group");
    }

    public static void main(String[] arguments) throws Exception {
        keys = arguments[0];
        String ssl = arguments[1];
        String users = arguments[2];
        String number = arguments[3];
        recordsTravel("certificate", certificate(ssl, "truck", "ours"), "java-certificate-" + number);
        recordsTravel("user", user(users), "java-user-" + number);
        demand(!isLetIn(certificate(ssl, "truck", "theirs")), "a broker of another authority is not trusted");
        demand(!isLetIn(certificate(ssl, "stranger", "ours")), "a certificate of another authority is not let in");
        demand(!isLetIn(trusting(ssl, "SSL", "ours")), "nor is a client without one");
    }
}
