//! Settings from the environment, as Kafka's images take them: `KAFKA_LOG_RETENTION_MS` is
//! `log.retention.ms`.
//!
//! ```text
//! KAFKA_A_B      a.b
//! KAFKA_A__B     a_b
//! KAFKA_A___B    a-b
//! ```
//!
//! The rule is that of Kafka's own images. Where the environment says where to listen, what a file says of
//! where clients are told to connect to is not meant for those listeners, and is forgotten.

use std::ffi::OsString;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::error::{SettingError, bad};
use super::settings::Settings;

/// What the names of such variables begin with.
const PREFIX: &str = "KAFKA_";

/// As Java reads them: what does not belong to the 16 bytes is passed over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

impl Settings {
    /// Takes the settings that variables of an environment have, in the place of what they were. The names of
    /// variables that would be settings that nobody knows are returned.
    ///
    /// # Errors
    /// [`SettingError::BadValue`], with the name of the variable.
    pub fn read_environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<String>, SettingError> {
        let mut found: Vec<(String, OsString)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        found.sort();
        let name_of = |variable: &str| setting_of(&variable[PREFIX.len()..]);
        if found.iter().any(|(variable, _)| name_of(variable) == "listeners") {
            self.forget("advertised.listeners");
        }
        let mut unknown = Vec::new();
        for (variable, value) in found {
            let Some(value) = value.to_str() else {
                return Err(bad(variable, &value.to_string_lossy(), "text in UTF-8"));
            };
            match self.set(&name_of(&variable), value) {
                Err(SettingError::Unknown { .. }) => unknown.push(variable),
                Err(SettingError::BadValue { value, expected, .. }) => {
                    return Err(SettingError::BadValue { name: variable.into(), value, expected });
                }
                result => result?,
            }
        }
        Ok(unknown)
    }
}

/// The setting that is meant by what follows the prefix.
fn setting_of(rest: &str) -> String {
    rest.to_ascii_lowercase().replace("___", "-").replace("__", "\0").replace('_', ".").replace('\0', "_")
}

/// The id of a cluster as Kafka writes it: 16 bytes in base64, for addresses and without padding.
///
/// # Errors
/// [`SettingError::BadValue`] for anything else, with the name by which it was given.
pub fn cluster_id(name: &'static str, text: &str) -> Result<[u8; 16], SettingError> {
    let bytes = LENIENT.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| bad(name, text, "16 bytes in base64, as kafka-storage random-uuid prints them"))
}

#[cfg(test)]
mod tests {
    use super::super::resolve::BrokerConfig;
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn read(settings: &mut Settings, variables: &[(&str, &str)]) -> Result<Vec<String>, SettingError> {
        settings.read_environment(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn a_variable_is_the_setting_of_its_name_and_one_that_nobody_knows_is_told() {
        assert_eq!(setting_of("LOG_RETENTION_MS"), "log.retention.ms");
        assert_eq!(setting_of("A__B___C_D"), "a_b-c.d");
        let mut settings = Settings::default();
        settings.set("num.partitions", "2").unwrap();
        let variables = [("KAFKA_NUM_PARTITIONS", "3"), ("KAFKA_OPTS", "-Dx=y"), ("PATH", "/bin")];
        assert_eq!(read(&mut settings, &variables).unwrap(), ["KAFKA_OPTS"]);
        assert_eq!(BrokerConfig::resolve(settings).unwrap().num_partitions, 3);
    }

    #[test]
    fn a_value_that_cannot_be_names_the_variable() {
        let error = read(&mut Settings::default(), &[("KAFKA_NUM_PARTITIONS", "many")]).unwrap_err();
        assert!(error.to_string().starts_with("KAFKA_NUM_PARTITIONS=many: expected "), "{error}");
        let broken = ("KAFKA_LOG_DIRS".into(), OsString::from_vec(b"/a\xff".to_vec()));
        let error = Settings::default().read_environment([broken]).unwrap_err();
        assert!(error.to_string().ends_with("expected text in UTF-8"), "{error}");
    }

    #[test]
    fn what_a_file_advertises_is_for_the_listeners_of_the_file() {
        let mut settings = Settings::default();
        settings.set("listeners", "PLAINTEXT://:9092").unwrap();
        settings.set("advertised.listeners", "PLAINTEXT://localhost:9092").unwrap();
        read(&mut settings, &[("KAFKA_NUM_PARTITIONS", "3")]).unwrap();
        assert_eq!(settings.text("advertised.listeners"), "PLAINTEXT://localhost:9092");
        let listeners = ("KAFKA_LISTENERS", "IN://:1,OUT://:2");
        let map = ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "IN:PLAINTEXT,OUT:PLAINTEXT");
        read(&mut settings, &[listeners, map]).unwrap();
        assert_eq!(settings.text("advertised.listeners"), "");
        assert_eq!(BrokerConfig::resolve(settings).unwrap().listeners.len(), 2);
    }

    #[test]
    fn the_id_of_a_cluster_is_read_as_java_reads_it() {
        let id = cluster_id("CLUSTER_ID", "MkU3OEVBNTcwNTJENDM2Qg").unwrap();
        assert_eq!(&id, b"2E78EA57052D436B");
        assert_eq!(cluster_id("CLUSTER_ID", "MkU3OEVBNTcwNTJENDM2Qk").unwrap(), id);
        for wrong in ["", "short", "MkU3OEVBNTcwNTJENDM2Qg=="] {
            let error = cluster_id("CLUSTER_ID", wrong).unwrap_err().to_string();
            assert!(error.starts_with(&format!("CLUSTER_ID={wrong}: expected 16 bytes")), "{error}");
        }
    }
}
