//! How the clients of a listener prove who they are: its own settings, its mechanisms' own, or everybody's.

use std::time::Duration;

use super::bearer::BearerConfig;
use super::error::{Expected, SettingError, bad};
use super::settings::{PLAIN_USERS, Settings};
use crate::security::{Mechanism, PlainUsers, plain_users};

/// The mechanisms of a listener, and its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslConfig {
    /// How its clients may prove who they are, and for how long that holds; `None` for as long as they are
    /// connected. At least one.
    pub mechanisms: Vec<(Mechanism, Option<Duration>)>,
    /// The users of PLAIN.
    pub plain_users: PlainUsers,
    /// Whose tokens are taken; `None` where none are.
    pub bearer: Option<BearerConfig>,
    /// Largest request, without its size, of a client that has not proven it yet.
    pub request_bytes_max: usize,
    /// How long a client waits for the answer that it is not believed.
    pub failure_delay: Duration,
}

/// What a setting says in place of a secret.
const SECRET: &str = "(secret)";

/// A request that a client makes before it has proven who it is has room in so many bytes.
const REQUEST_BYTES_MIN: i64 = 1024;

impl SaslConfig {
    /// What the settings say of a listener.
    ///
    /// # Errors
    /// [`SettingError::BadValue`] for mechanisms that there are not, or none, and for PLAIN without users.
    pub(super) fn of(settings: &Settings, listener: &str) -> Result<SaslConfig, SettingError> {
        const MECHANISMS: &str = "sasl.enabled.mechanisms";
        let written = settings.of_listener(listener, None, MECHANISMS);
        let written = written.unwrap_or_else(|| settings.text(MECHANISMS));
        let names = written.split(',').map(str::trim).filter(|name| !name.is_empty());
        let found: Option<Vec<Mechanism>> = names.map(Mechanism::of_name).collect();
        let found = found.filter(|found| !found.is_empty()).ok_or_else(|| {
            bad(MECHANISMS, written, Expected::Mechanisms { listener: listener.to_owned() })
        })?;
        let lifetime = |mechanism: Mechanism| {
            const LIFETIME: &str = "connections.max.reauth.ms";
            let own = settings.of_listener(listener, Some(mechanism), LIFETIME);
            let ms = own.map_or_else(|| settings.whole(LIFETIME), |own| own.parse().unwrap_or(0));
            u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
        };
        const RECEIVE: &str = "sasl.server.max.receive.size";
        let receive = settings.of_listener(listener, None, RECEIVE);
        let receive = receive.map_or_else(|| settings.whole(RECEIVE), |own| own.parse().unwrap_or(0));
        Ok(SaslConfig {
            plain_users: match found.contains(&Mechanism::Plain) {
                true => users(settings, listener)?,
                false => PlainUsers::default(),
            },
            bearer: match found.contains(&Mechanism::Bearer) {
                true => Some(BearerConfig::of(settings, listener)?),
                false => None,
            },
            mechanisms: found.into_iter().map(|mechanism| (mechanism, lifetime(mechanism))).collect(),
            request_bytes_max: receive.max(REQUEST_BYTES_MIN) as usize,
            failure_delay: Duration::from_millis(
                settings.whole("connection.failed.authentication.delay.ms") as u64
            ),
        })
    }

    /// For how long a mechanism proves who a client is; `None` when the listener does not have the mechanism.
    pub fn lifetime(&self, mechanism: Mechanism) -> Option<Option<Duration>> {
        self.mechanisms.iter().find(|(found, _)| *found == mechanism).map(|(_, lifetime)| *lifetime)
    }
}

fn users(settings: &Settings, listener: &str) -> Result<PlainUsers, SettingError> {
    let name = format!("listener.name.{}.plain.{PLAIN_USERS}", listener.to_ascii_lowercase());
    match settings.of_listener_exactly(&name) {
        Some(text) => plain_users(text).map_err(|error| bad(name, SECRET, Expected::Jaas(error))),
        None => Err(bad(
            name,
            "",
            "the users of PLAIN, as Kafka has them: MODULE required user_NAME=\"PASSWORD\" ...;",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;
    use crate::security::Hash;

    const MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

    fn listener(pairs: &[(&str, &str)]) -> Result<SaslConfig, String> {
        let mut settings = Settings::default();
        let two = [
            ("listeners", "IN://:0,OUT://:0"),
            ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:SASL_PLAINTEXT"),
        ];
        for (name, value) in two.iter().chain(pairs) {
            settings.set(name, value).map_err(|error| error.to_string())?;
        }
        let config = BrokerConfig::resolve(settings).map_err(|error| error.to_string())?;
        assert_eq!(config.without_effect().into_values().flatten().collect::<Vec<_>>(), [""; 0]);
        assert!(config.listener("IN").unwrap().sasl.is_none());
        assert!(!format!("{config:?}").contains("hunter2"), "a secret is shown to nobody");
        Ok((**config.listener("OUT").unwrap().sasl.as_ref().unwrap()).clone())
    }

    #[test]
    fn a_listener_has_its_own_mechanisms_and_lifetimes_or_those_of_all() {
        let scram = Mechanism::Scram(Hash::Sha512);
        let all = listener(&[("sasl.enabled.mechanisms", "SCRAM-SHA-512")]).unwrap();
        assert_eq!(all.mechanisms, [(scram, None)]);
        assert_eq!((all.request_bytes_max, all.failure_delay), (524_288, Duration::from_millis(100)));
        let users = format!("{MODULE} required user_a=\"hunter2\";");
        let own = listener(&[
            ("sasl.enabled.mechanisms", "SCRAM-SHA-256"),
            ("listener.name.out.sasl.enabled.mechanisms", "PLAIN, SCRAM-SHA-512"),
            ("listener.name.out.plain.sasl.jaas.config", &users),
            ("connections.max.reauth.ms", "5000"),
            ("listener.name.out.connections.max.reauth.ms", "4000"),
            ("listener.name.out.scram-sha-512.connections.max.reauth.ms", "3000"),
            ("listener.name.out.sasl.server.max.receive.size", "2000"),
            ("connection.failed.authentication.delay.ms", "7"),
        ])
        .unwrap();
        let [four, three] = [4, 3].map(|seconds| Some(Duration::from_secs(seconds)));
        assert_eq!(own.mechanisms, [(Mechanism::Plain, four), (scram, three)]);
        assert_eq!((own.request_bytes_max, own.failure_delay), (2000, Duration::from_millis(7)));
        assert_ne!(own.plain_users, PlainUsers::default());
        assert_eq!(own.lifetime(scram), Some(three));
        assert_eq!(own.lifetime(Mechanism::Scram(Hash::Sha256)), None);
    }

    #[test]
    fn what_proves_nobody_is_refused_and_the_refusal_tells_no_secret() {
        let of = |mechanisms: &str, users: &str| {
            let name = "listener.name.out.plain.sasl.jaas.config";
            listener(&[("sasl.enabled.mechanisms", mechanisms), (name, users)]).unwrap_err()
        };
        let kafkas = listener(&[]).unwrap_err();
        let expected = "expected mechanisms among PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, for OUT";
        assert_eq!(kafkas, format!("sasl.enabled.mechanisms=GSSAPI: {expected}"));
        for mechanisms in ["", "PLAIN,GSSAPI", "plain"] {
            assert!(of(mechanisms, "").contains(expected), "{mechanisms}");
        }
        let without = listener(&[("sasl.enabled.mechanisms", "PLAIN")]).unwrap_err();
        assert!(
            without.starts_with("listener.name.out.plain.sasl.jaas.config=: expected the users"),
            "{without}"
        );
        let secret = of("PLAIN", &format!("{MODULE} required username=\"hunter2\";"));
        assert_eq!(
            secret,
            "listener.name.out.plain.sasl.jaas.config=(secret): expected user_NAME=\"PASSWORD\" for each user, and \
             it has none"
        );
    }
}
