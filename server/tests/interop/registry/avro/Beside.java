import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;

/** Schemas from a seed: what the registry stores is what Avro's library writes, and its reasons are the library's. */
public final class Beside {
  private static final int PAIRS = 400;
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Pattern REASON =
      Pattern.compile("\\{errorType:'(\\w+)', description:'.*?', additionalInfo:'(.*)'}", Pattern.DOTALL);
  private static final Pattern PATH = Pattern.compile("path '([^']*)'");
  private final HttpClient client = HttpClient.newHttpClient();
  private final String registry;
  private final Random random = new Random(20);
  private List<String> names = new ArrayList<>();

  private Beside(String registry) {
    this.registry = registry;
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments[0].equals("write")) {
      new Beside(arguments[2]).compare();
    }
  }

  private void compare() throws Exception {
    ask("PUT", "/config/:.beside:", Map.of("compatibility", "NONE"));
    int refused = 0;
    for (int pair = 0; pair < PAIRS; pair++) {
      Schema writer = registered(pair);
      Schema reader = parse(schema(0));
      SchemaCompatibility.SchemaPairCompatibility compared;
      try {
        compared = SchemaCompatibility.checkReaderWriterCompatibility(reader, writer);
      } catch (AvroRuntimeException ambiguous) {
        // An alias and a name mean two fields of the writer: the library has no answer.
        continue;
      }
      String subject = "/subjects/:.beside:s" + pair + "/versions";
      ask("PUT", "/config/:.beside:s" + pair, Map.of("compatibility", "BACKWARD"));
      JsonNode answer = ask("POST", "/compatibility" + subject + "/latest?verbose=true", Map.of("schema", reader.toString()));
      List<String> expected = new ArrayList<>();
      for (var found : compared.getResult().getIncompatibilities()) {
        expected.add(found.getType() + " " + found.getLocation() + " " + found.getMessage());
      }
      List<String> said = new ArrayList<>();
      for (JsonNode message : answer.get("messages")) {
        Matcher reason = REASON.matcher(message.asText());
        if (reason.matches()) {
          Matcher path = PATH.matcher(message.asText());
          String last = "";
          while (path.find()) {
            last = path.group(1);
          }
          said.add(reason.group(1) + " " + last + " " + reason.group(2));
        }
      }
      check(said.equals(expected), "reader " + reader + "\nwriter " + writer + "\nsaid " + said + "\nexpected " + expected);
      check(answer.get("is_compatible").asBoolean() == expected.isEmpty(), "the verdict: " + answer);
      refused += expected.isEmpty() ? 0 : 1;
    }
    check(refused > PAIRS / 10 && refused < PAIRS - PAIRS / 20, refused + " of " + PAIRS + " pairs do not get along");
    System.out.println(PAIRS + " pairs, " + refused + " of them refused");
  }

  private Schema registered(int pair) throws Exception {
    String text = schema(0);
    Schema schema = parse(text);
    JsonNode answer = ask("POST", "/subjects/:.beside:s" + pair + "/versions", Map.of("schema", text));
    check(answer.path("schema").asText().equals(schema.toString()), "sent " + text + "\nstored " + answer + "\nexpected " + schema);
    return schema;
  }

  private static Schema parse(String text) {
    return new Schema.Parser().setValidateDefaults(false).parse(text);
  }

  /** A schema of few names, so that two meet; blanks and members stand in any order. */
  private String schema(int depth) {
    if (depth == 0) {
      names = new ArrayList<>(List.of("A", "B", "C", "n.A", "n.D"));
    }
    switch (random.nextInt(depth > 3 ? 2 : depth == 0 ? 8 : 10)) {
      case 0:
        return object("\"type\": \"bytes\"", "\"logicalType\": \"decimal\"", "\"precision\": 4", "\"p\": {\"z\": 1, \"a\": [true, null]}");
      case 1, 8, 9:
        String[] all = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"};
        return "\"" + all[random.nextInt(all.length)] + "\"";
      case 2:
        return object("\"type\": \"array\"", "\"items\": " + schema(depth + 1));
      case 3:
        return object("\"type\": \"map\"", "\"values\": " + schema(depth + 1), "\"doc\": \"x\"");
      case 4:
        return union(depth);
      case 5:
        return named("\"type\": \"enum\"", "\"symbols\": [\"X\"" + (random.nextBoolean() ? ", \"Y\"" : "") + (random.nextBoolean() ? ", \"Z\"" : "") + "]",
            random.nextBoolean() ? "\"default\": \"X\"" : "\"doc\": \"e\"");
      case 6:
        return named("\"type\": \"fixed\"", "\"size\": " + (1 + random.nextInt(2)));
      default:
        return record(depth);
    }
  }

  private String union(int depth) {
    List<String> branches = new ArrayList<>();
    List<String> kinds = new ArrayList<>();
    for (int count = random.nextInt(3); count >= 0; count--) {
      String branch = schema(depth + 1);
      Schema parsed = parse(branch);
      String kind = parsed.getType() == Schema.Type.UNION ? "" : parsed.getFullName();
      if (!kind.isEmpty() && !kinds.contains(kind)) {
        kinds.add(kind);
        branches.add(branch);
      }
    }
    return branches.isEmpty() ? "\"int\"" : "[" + String.join(", ", branches) + "]";
  }

  private String record(int depth) {
    List<String> fields = new ArrayList<>();
    String name = name();
    if (name == null) {
      return "\"string\"";
    }
    for (String field : List.of("a", "b", "c")) {
      if (random.nextBoolean()) {
        String rest = random.nextInt(3) == 0 ? "\"default\": null" : random.nextBoolean() ? "\"order\": \"ignore\"" : "\"q\": 1.5";
        String alias = random.nextInt(4) == 0 ? "\"aliases\": [\"a\", \"z\"]" : "\"doc\": \"\"";
        fields.add(object("\"name\": \"" + field + "\"", "\"type\": " + schema(depth + 1), rest, alias));
      }
    }
    return object("\"type\": \"record\"", name, "\"fields\": [" + String.join(",", fields) + "]", "\"r\": -7");
  }

  private String named(String... members) {
    String name = name();
    if (name == null) {
      return "\"string\"";
    }
    String[] all = new String[members.length + 1];
    System.arraycopy(members, 0, all, 0, members.length);
    all[members.length] = name;
    return object(all);
  }

  private String name() {
    if (names.isEmpty()) {
      return null;
    }
    String name = names.remove(random.nextInt(names.size()));
    String alias = random.nextInt(3) == 0 ? ", \"aliases\": [\"C\", \"m.A\"]" : "";
    return "\"name\": \"" + name + "\", \"namespace\": \"" + (random.nextBoolean() ? "n" : "m") + random.nextInt(50) + "\"" + alias;
  }

  private String object(String... members) {
    List<String> shuffled = new ArrayList<>(List.of(members));
    java.util.Collections.shuffle(shuffled, random);
    return "{ " + String.join(" ,", shuffled) + " }";
  }

  private JsonNode ask(String method, String path, Map<String, String> body) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(registry + path))
        .header("Content-Type", "application/vnd.schemaregistry.v1+json")
        .method(method, HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)))
        .build();
    HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
    check(answer.statusCode() == 200, path + " " + body + ": " + answer.body());
    return JSON.readTree(answer.body());
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
