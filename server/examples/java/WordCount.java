import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;

/**
 * Words are counted, as every introduction to Kafka Streams does it: lines, lower case, split, group by word, count.
 */
final class WordCount {
    private static final String LINES = "lines";
    private static final String COUNTS = "counts";
    private static final List<String> TEXT = List.of(
        "A log is an append only sequence of records",
        "The log keeps what happened and the table keeps what is",
        "A table is a log that forgets and a log is a table that remembers");
    private static final Map<String, String> EXPECTED = Map.ofEntries(
        Map.entry("a", "5"), Map.entry("an", "1"), Map.entry("and", "2"), Map.entry("append", "1"), Map.entry("forgets", "1"),
        Map.entry("happened", "1"), Map.entry("is", "4"), Map.entry("keeps", "2"), Map.entry("log", "4"), Map.entry("of", "1"),
        Map.entry("only", "1"), Map.entry("records", "1"), Map.entry("remembers", "1"), Map.entry("sequence", "1"),
        Map.entry("table", "3"), Map.entry("that", "2"), Map.entry("the", "2"), Map.entry("what", "2"));

    private WordCount() { }

    public static void main(String[] arguments) {
        Example.run("word-count", arguments, WordCount::tell);
    }

    private static Topology topology() {
        var builder = new StreamsBuilder();
        builder.<String, String>stream(LINES)
            .flatMapValues(line -> List.of(line.toLowerCase(Locale.ROOT).split("\\W+")))
            .groupBy((key, word) -> word)
            .count()
            .toStream()
            .mapValues(String::valueOf)
            .to(COUNTS);
        return builder.build();
    }

    private static void tell(Example example) throws Exception {
        example.createTopic(LINES, 2);
        example.createTopic(COUNTS, 1, Map.of("cleanup.policy", "compact"));
        Stream<ProducerRecord<String, String>> lines = TEXT.stream().map(line -> new ProducerRecord<>(LINES, line));
        example.send(lines.toList());
        try (var streams = example.start("word-count", topology())) {
            example.expectTable(COUNTS, EXPECTED);
        }
    }
}
