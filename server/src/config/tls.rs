//! What the settings say of TLS for a listener: its own, or everybody's; as they are at this moment, where
//! they change while the broker runs.

use strandline_engine::config::DynamicSettings;
use strandline_tls::{PrincipalMapping, TlsSettings};

use super::error::{Expected, SettingError, bad};
use super::settings::{MAPPING_RULES, Settings, name_of};

/// Whether certificates of clients are asked for.
const CLIENT_AUTH: &str = "ssl.client.auth";

/// What a listener with TLS has of it that does not change while the broker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The rules by which the subject of a certificate becomes the name of a user; they can be parsed.
    pub mapping_rules: String,
}

impl TlsConfig {
    /// What the settings say of a listener.
    ///
    /// # Errors
    /// [`SettingError::BadValue`] for rules that are none.
    pub(super) fn of(settings: &Settings, listener: &str) -> Result<TlsConfig, SettingError> {
        let own = settings.of_listener(listener, None, MAPPING_RULES);
        let rules = own.unwrap_or_else(|| settings.text(MAPPING_RULES));
        PrincipalMapping::parse(rules)
            .map_err(|error| bad(MAPPING_RULES, rules, Expected::MappingRules(error)))?;
        Ok(TlsConfig { mapping_rules: rules.to_owned() })
    }
}

/// Every other setting of TLS that is in force for a listener. As in Kafka (KIP-684), one with SASL asks for
/// certificates only where that was said of this listener.
pub(super) fn settings_of(
    settings: &Settings,
    dynamic: &DynamicSettings,
    listener: &str,
    has_sasl: bool,
) -> TlsSettings {
    TlsSettings::of(|name| {
        let own = name_of(listener, None, name);
        let is_shared = name != CLIENT_AUTH || !has_sasl;
        let of_listener = dynamic.get(&own).or_else(|| settings.of_listener_exactly(&own));
        let found =
            of_listener.or_else(|| dynamic.get(name).or_else(|| settings.value(name)).filter(|_| is_shared));
        found.map(str::to_owned)
    })
}
