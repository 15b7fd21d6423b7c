// Prints what Apache Kafka's artifact declares as settings of topics and brokers: facts, one setting a line, tabs between.
// `generate` runs it; server/tests/scenarios/kafka_settings.rs reads what it printed.

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.ConfigKey;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.DynamicConfig;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.storage.internals.log.LogConfig;

public class Settings {
    public static void main(String[] arguments) {
        System.out.println("# Apache Kafka " + arguments[0] + ", printed by generate");
        System.out.println("# scope\tname\ttype\tdefault\tvalues\twhile it runs\tbroker name");
        Map<String, String> synonyms = ServerTopicConfigSynonyms.TOPIC_CONFIG_SYNONYMS;
        new TreeMap<>(LogConfig.configDefCopy().configKeys())
            .forEach((name, key) -> print("topic", key, "", synonyms.getOrDefault(name, "")));
        Map<String, ConfigKey> broker = new TreeMap<>(DynamicConfig.Broker.configKeys());
        // What only a running broker can be told comes with the keys of those that a file can say, too: the file's say more.
        broker.putAll(AbstractKafkaConfig.CONFIG_DEF.configKeys());
        Map<String, String> modes = DynamicBrokerConfig.dynamicConfigUpdateModes();
        broker.forEach((name, key) -> {
            boolean inFiles = AbstractKafkaConfig.CONFIG_DEF.configKeys().containsKey(name);
            String mode = inFiles ? modes.getOrDefault(name, "read-only") : "only";
            print("broker", key, mode, "");
        });
    }

    private static void print(String scope, ConfigKey key, String mode, String synonym) {
        if (key.internalConfig) {
            return;
        }
        String byDefault = key.hasDefault() ? text(key) : "(required)";
        String values = key.validator == null ? "" : key.validator.toString().replace("\n", " ");
        System.out.println(String.join("\t", scope, key.name, key.type.toString(), byDefault, values, mode, synonym));
    }

    private static String text(ConfigKey key) {
        String text = ConfigDef.convertToString(key.defaultValue, key.type);
        return text == null ? "(null)" : text.replace("\n", " ");
    }
}
