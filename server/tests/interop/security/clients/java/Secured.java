import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Kafka's own client as ../talk.py wants it. Tokens come by its own callback handler, from the endpoint. */
public final class Secured {
    private static final long PAUSE_MS = 200;
    private static final String MODULES = "org.apache.kafka.common.security.";
    private static final ObjectMapper JSON = new ObjectMapper();

    private static JsonNode spec;
    private static Duration patience;

    private interface Act {
        Map<String, Object> run() throws Exception;
    }

    private static void say(Map<String, Object> what) throws Exception {
        System.out.println(JSON.writeValueAsString(what));
    }

    private static void attempt(String act, Act run) throws Exception {
        long began = System.nanoTime();
        try {
            Map<String, Object> told = new LinkedHashMap<>(Map.of("did", act));
            told.putAll(run.run());
            say(told);
        } catch (KafkaException | ExecutionException | TimeoutException e) {
            Throwable why = e;
            while (!(why instanceof ApiException) && why.getCause() != null) {
                why = why.getCause();
            }
            Map<String, Object> told = new LinkedHashMap<>(Map.of("refused", act));
            int code = why instanceof ApiException known ? Errors.forException(known).code() : 0;
            told.put("code", code > 0 ? code : null);
            told.put("name", why.getClass().getSimpleName());
            told.put("text", String.valueOf(why.getMessage()));
            told.put("seconds", (System.nanoTime() - began) / 10_000_000 / 100.0);
            say(told);
            System.out.flush();
            Runtime.getRuntime().halt(0);
        }
    }

    private static Map<String, Object> settings() {
        boolean hasUser = spec.has("user");
        boolean hasToken = spec.has("token_url");
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", spec.get("bootstrap").asText(),
            "ssl.truststore.type", "PEM", "ssl.truststore.location", spec.get("ca").asText(),
            "security.protocol", hasUser || hasToken ? "SASL_SSL" : "SSL"));
        if (spec.has("certificate")) {
            settings.put("ssl.keystore.type", "PEM");
            settings.put("ssl.keystore.location", spec.get("both").asText());
        }
        if (hasUser) {
            settings.put("sasl.mechanism", "SCRAM-SHA-512");
            settings.put("sasl.jaas.config", MODULES + "scram.ScramLoginModule required username=\"" + spec.get("user").asText()
                + "\" password=\"" + spec.get("password").asText() + "\";");
        }
        if (hasToken) {
            System.setProperty("org.apache.kafka.sasl.oauthbearer.allowed.urls", spec.get("token_url").asText());
            settings.put("sasl.mechanism", "OAUTHBEARER");
            settings.put("sasl.jaas.config", MODULES + "oauthbearer.OAuthBearerLoginModule required clientId=\"x\" clientSecret=\"y\";");
            settings.put("sasl.login.callback.handler.class", MODULES + "oauthbearer.OAuthBearerLoginCallbackHandler");
            settings.put("sasl.oauthbearer.token.endpoint.url", spec.get("token_url").asText());
            settings.put("sasl.login.refresh.min.period.seconds", "0");
            settings.put("sasl.login.refresh.buffer.seconds", "0");
        }
        return settings;
    }

    private static KafkaProducer<String, String> producer() {
        return new KafkaProducer<>(settings(), new StringSerializer(), new StringSerializer());
    }

    private static KafkaConsumer<String, String> consumer() {
        Map<String, Object> settings = settings();
        settings.put("group.id", spec.get("group").asText());
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(spec.get("topic").asText()));
        return consumer;
    }

    private static void send(KafkaProducer<String, String> producer, int number) throws Exception {
        producer.send(new ProducerRecord<>(spec.get("topic").asText(), String.valueOf(number))).get(patience.toSeconds(), TimeUnit.SECONDS);
    }

    private static Map<String, Object> produce() throws Exception {
        int count = spec.get("records").asInt();
        try (var producer = producer()) {
            for (int number = 0; number < count; number++) {
                send(producer, number);
            }
        }
        return Map.of("count", count);
    }

    private static Map<String, Object> consume() throws Exception {
        int count = spec.get("records").asInt();
        List<Integer> found = new ArrayList<>();
        long end = System.nanoTime() + patience.toNanos();
        try (var consumer = consumer()) {
            while (found.size() < count) {
                if (System.nanoTime() > end) {
                    throw new TimeoutException("neither done nor refused");
                }
                consumer.poll(Duration.ofMillis(200)).forEach(record -> found.add(Integer.valueOf(record.value())));
            }
            for (int at = 0; at < count; at++) {
                if (found.get(at) != at) {
                    throw new TimeoutException("order: " + found);
                }
            }
            consumer.commitSync();
            var partition = new TopicPartition(spec.get("topic").asText(), 0);
            long committed = consumer.committed(Set.of(partition)).get(partition).offset();
            return Map.of("count", count, "committed", committed);
        }
    }

    private static int total(Map<MetricName, ? extends Metric> metrics) {
        return (int) metrics.entrySet().stream().filter(metric -> metric.getKey().name().equals("successful-reauthentication-total"))
            .mapToDouble(metric -> (Double) metric.getValue().metricValue()).sum();
    }

    private static Map<String, Object> hold() throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(spec.get("seconds").asInt());
        AtomicInteger sent = new AtomicInteger();
        AtomicInteger again = new AtomicInteger();
        CompletableFuture<Void> written = CompletableFuture.runAsync(() -> {
            try (var producer = producer()) {
                while (System.nanoTime() < end) {
                    send(producer, sent.get());
                    sent.incrementAndGet();
                    Thread.sleep(PAUSE_MS);
                }
                again.addAndGet(total(producer.metrics()));
            } catch (Exception e) {
                throw new java.util.concurrent.CompletionException(e);
            }
        });
        Set<Integer> found = new TreeSet<>();
        try (var consumer = consumer()) {
            while (!written.isDone() || found.size() < sent.get()) {
                if (written.isCompletedExceptionally()) {
                    written.get();
                }
                if (System.nanoTime() > end + patience.toNanos()) {
                    throw new TimeoutException(found.size() + " of " + sent + " records came");
                }
                consumer.poll(Duration.ofMillis(200)).forEach(record -> found.add(Integer.valueOf(record.value())));
            }
            written.get();
            again.addAndGet(total(consumer.metrics()));
        }
        return Map.of("count", sent.get(), "again", again.get());
    }

    public static void main(String[] arguments) throws Exception {
        spec = JSON.readTree(arguments[0]);
        patience = Duration.ofSeconds(spec.get("patience").asInt());
        String what = spec.get("do").asText();
        if (what.equals("produce") || what.equals("talk")) {
            attempt("produce", Secured::produce);
        }
        if (what.equals("consume") || what.equals("talk")) {
            attempt("consume", Secured::consume);
        }
        if (what.equals("hold")) {
            attempt("hold", Secured::hold);
        }
        System.exit(0);
    }
}
