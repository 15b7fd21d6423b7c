import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Senders send messages again that they have sent already, and each passes once. Ids that were seen are kept for ten
 * minutes of the messages' own time; then they are forgotten, and the same id is another message.
 *
 * With exactly_once_v2 a message that passes, the note that its id was seen, and the place up to which was read are one
 * transaction. The program shows it: the application is a process of its own, and killed again and again while messages
 * come in, once with all that it keeps on the disk.
 */
final class Deduplication {
    private static final String ID = "deduplication";
    private static final String MESSAGES = "messages";
    private static final String UNIQUE = "messages_unique";
    private static final String SEEN = "seen";
    private static final Duration WINDOW = Duration.ofMinutes(10);

    private static final int IDS = 10_000;
    private static final int KILLS = 3;
    private static final Duration BETWEEN_KILLS = Duration.ofSeconds(5);

    private record Message(String id, long timestamp, String text) { }

    /** Lets a message pass whose id was not seen in the window around it. */
    private static final class FirstOfItsId implements FixedKeyProcessor<String, String, String> {
        private FixedKeyProcessorContext<String, String> context;
        private WindowStore<String, Long> seen;

        @Override
        public void init(FixedKeyProcessorContext<String, String> context) {
            this.context = context;
            seen = context.getStateStore(SEEN);
        }

        @Override
        public void process(FixedKeyRecord<String, String> message) {
            long at = message.timestamp();
            try (var before = seen.fetch(message.key(), at - WINDOW.toMillis(), at + WINDOW.toMillis())) {
                if (before.hasNext()) {
                    return;
                }
            }
            seen.put(message.key(), at, at);
            context.forward(message);
        }
    }

    private Deduplication() { }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("application")) {
            application(new Example(arguments[1], Path.of(arguments[2])));
        } else {
            Example.run(ID, arguments, Deduplication::tell);
        }
    }

    private static Topology topology() {
        var builder = new StreamsBuilder();
        var store = Stores.persistentWindowStore(SEEN, WINDOW.multipliedBy(2), WINDOW, false);
        builder.addStateStore(Stores.windowStoreBuilder(store, Serdes.String(), Serdes.Long()));
        builder.<String, String>stream(MESSAGES)
            .processValues(FirstOfItsId::new, SEEN)
            .to(UNIQUE);
        return builder.build();
    }

    /** The process that is killed; it goes on until its input ends. */
    private static void application(Example example) throws Exception {
        // A member with a name: who comes back under it has its partitions at once.
        var settings = example.application(ID, Map.of("processing.guarantee", "exactly_once_v2", "group.instance.id", "one"));
        try (var streams = new KafkaStreams(topology(), settings)) {
            streams.start();
            System.in.readAllBytes();
        }
    }

    private static Process startApplication(Example example) throws Exception {
        var command = List.of(System.getProperty("java.home") + "/bin/java", "-cp", System.getProperty("java.class.path"),
            "-Djava.io.tmpdir=" + System.getProperty("java.io.tmpdir"), "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "Deduplication", "application", example.bootstrap, example.directory.toString());
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    }

    private static void tell(Example example) throws Exception {
        example.createTopic(MESSAGES, 4);
        example.createTopic(UNIQUE, 4);
        example.owns(ID);
        var messages = messages();
        var expected = firsts(messages);
        var pause = KILLS * BETWEEN_KILLS.toMillis() / (double) messages.size();
        var sender = CompletableFuture.runAsync(() -> send(example, messages, pause));
        var application = startApplication(example);
        try {
            for (int kill = 1; kill <= KILLS; kill++) {
                Thread.sleep(BETWEEN_KILLS.toMillis());
                application.destroyForcibly().waitFor();
                boolean stateToo = kill == KILLS;
                if (stateToo) {
                    Example.deleteTree(example.directory);
                }
                Example.say("killed%s, and started again", stateToo ? " and its state deleted" : "");
                application = startApplication(example);
            }
            sender.get();
            var found = example.read(UNIQUE, expected.size()).stream().map(record -> record.key() + " " + record.value()).toList();
            Example.expectAll(UNIQUE, found, expected);
            application.getOutputStream().close();
            Example.expect(application.waitFor(30, TimeUnit.SECONDS) && application.exitValue() == 0, "the application does not stop");
        } finally {
            application.destroyForcibly().waitFor();
        }
        Example.say("%d messages came in, %d passed", messages.size(), expected.size());
    }

    /** In the order of their times. Each id once or more often within minutes, and some again after an hour. */
    private static List<Message> messages() {
        var chance = new Random(IDS);
        long now = System.currentTimeMillis();
        var messages = new ArrayList<Message>();
        for (int i = 0; i < IDS; i++) {
            String id = "m" + i;
            long first = now - Duration.ofHours(2).toMillis() + chance.nextInt(3_000_000);
            messages.add(new Message(id, first, "first"));
            for (int again = chance.nextInt(3); again > 0; again--) {
                messages.add(new Message(id, first + 1 + chance.nextInt(300_000), "sent again"));
            }
            if (chance.nextInt(10) == 0) {
                messages.add(new Message(id, first + Duration.ofHours(1).toMillis(), "another with the same id"));
            }
        }
        messages.sort(Comparator.comparingLong(Message::timestamp));
        return messages;
    }

    private static List<String> firsts(List<Message> messages) {
        return messages.stream().filter(message -> !message.text().equals("sent again")).map(message -> message.id() + " " + message.text())
            .toList();
    }

    private static void send(Example example, List<Message> messages, double pauseMs) {
        long began = System.nanoTime();
        try (var producer = example.producer()) {
            for (int i = 0; i < messages.size(); i++) {
                long early = (long) (i * pauseMs) - (System.nanoTime() - began) / 1_000_000;
                if (early > 0) {
                    Thread.sleep(early);
                }
                var message = messages.get(i);
                producer.send(new ProducerRecord<>(MESSAGES, null, message.timestamp(), message.id(), message.text()));
            }
        } catch (InterruptedException e) {
            throw new CancellationException();
        }
    }
}
