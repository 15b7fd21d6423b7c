import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.HashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sasl LOCAL BOOTSTRAP LIFETIME_MS: Kafka's own client at a listener with SASL; ends with 0 when all of it held. LOCAL asks for no proof;
 * alice is known at the other one by every mechanism, with the password {@code wonder land}.
 */
public final class Sasl {
    private static final long SECONDS = 30;
    private static final List<String> MECHANISMS = List.of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512");

    private static Map<String, Object> of(String bootstrap, String mechanism, String user, String password) {
        String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("security.protocol", "SASL_PLAINTEXT");
        settings.put("sasl.mechanism", mechanism);
        settings.put("sasl.jaas.config", "org.apache.kafka.common.security." + module + " required username=\"" + user + "\" password=\""
            + password + "\";");
        return settings;
    }

    private static void demand(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("FAILED: " + what);
        }
        System.out.println("  " + what);
    }

    private static boolean isLetIn(String bootstrap, String mechanism, String user, String password) throws Exception {
        try (Admin admin = Admin.create(of(bootstrap, mechanism, user, password))) {
            admin.listTopics().names().get(SECONDS, TimeUnit.SECONDS);
            return true;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof SaslAuthenticationException) {
                return false;
            }
            throw e;
        }
    }

    private static String next(KafkaConsumer<String, String> consumer) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);
        while (System.nanoTime() < end) {
            for (var record : consumer.poll(Duration.ofMillis(500))) {
                return record.value();
            }
        }
        return "nothing";
    }

    public static void main(String[] arguments) throws Exception {
        String local = arguments[0];
        String bootstrap = arguments[1];
        long lifetime = Long.parseLong(arguments[2]);
        for (String mechanism : MECHANISMS) {
            Map<String, Object> producing = of(bootstrap, mechanism, "alice", "wonder land");
            Map<String, Object> consuming = of(bootstrap, mechanism, "alice", "wonder land");
            consuming.put("group.id", "java-" + mechanism);
            consuming.put("auto.offset.reset", "earliest");
            String topic = "java-" + mechanism;
            try (var producer = new KafkaProducer<>(producing, new StringSerializer(), new StringSerializer());
                 var consumer = new KafkaConsumer<>(consuming, new StringDeserializer(), new StringDeserializer())) {
                producer.send(new ProducerRecord<>(topic, "early")).get(SECONDS, TimeUnit.SECONDS);
                consumer.subscribe(List.of(topic));
                demand(next(consumer).equals("early"), mechanism + ": a record goes in and comes out, by a group");
                // Longer than what was proven holds: the client proves it again by itself.
                Thread.sleep(lifetime * 3 / 2);
                producer.send(new ProducerRecord<>(topic, "late")).get(SECONDS, TimeUnit.SECONDS);
                demand(next(consumer).equals("late"), mechanism + ": and after the lifetime");
                double again = producer.metrics().entrySet().stream()
                    .filter(metric -> metric.getKey().name().equals("successful-reauthentication-total"))
                    .mapToDouble(metric -> (Double) metric.getValue().metricValue()).sum();
                demand(again > 0, mechanism + ": proven again on the same connection");
            }
            demand(!isLetIn(bootstrap, mechanism, "alice", "wrong"), mechanism + ": a wrong password is turned away");
            demand(!isLetIn(bootstrap, mechanism, "nobody", "wonder land"), mechanism + ": and an unknown user");
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", local))) {
            var info = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192);
            admin.alterUserScramCredentials(List.of(new UserScramCredentialUpsertion("dave", info, "secret"))).all().get(SECONDS, TimeUnit.SECONDS);
            var described = admin.describeUserScramCredentials(List.of("dave")).description("dave").get(SECONDS, TimeUnit.SECONDS);
            demand(described.credentialInfos().equals(List.of(info)), "a user is added and described");
            demand(isLetIn(bootstrap, "SCRAM-SHA-256", "dave", "secret"), "and let in");
            var deletion = new UserScramCredentialDeletion("dave", ScramMechanism.SCRAM_SHA_256);
            admin.alterUserScramCredentials(List.of(deletion)).all().get(SECONDS, TimeUnit.SECONDS);
            demand(!isLetIn(bootstrap, "SCRAM-SHA-256", "dave", "secret"), "and turned away when it is deleted");
        }
    }
}
