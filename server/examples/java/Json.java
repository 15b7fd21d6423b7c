import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Records of Java as JSON and back. */
final class Json {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private Json() { }

    static String write(Object value) {
        try {
            return MAPPER.writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(e);
        }
    }

    static <T> T read(String text, Class<T> type) {
        try {
            return MAPPER.readValue(text, type);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(text + " is no " + type.getSimpleName(), e);
        }
    }

    static <T> Serde<T> serde(Class<T> type) {
        Serde<String> strings = Serdes.String();
        return Serdes.serdeFrom((topic, value) -> value == null ? null : strings.serializer().serialize(topic, write(value)),
            (topic, bytes) -> bytes == null ? null : read(strings.deserializer().deserialize(topic, bytes), type));
    }
}
