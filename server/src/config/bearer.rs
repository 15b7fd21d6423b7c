//! By whose keys the tokens of a listener's clients are verified, and what has to hold of them.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::error::{Expected, SettingError, bad};
use super::host_port::HostPort;
use super::settings::{Settings, name_of};
use crate::security::{Mechanism, TokenRules};

/// Where keys are, and how often they are looked for; what has to hold of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BearerConfig {
    /// Where the keys are.
    pub keys: KeysPlace,
    /// How long those that are known are kept before it is looked for others.
    pub refresh: Duration,
    /// How long to wait after a look that came to nothing: at first, and at most.
    pub retry: (Duration, Duration),
    /// What has to hold of a token.
    pub rules: TokenRules,
}

/// Where a set of keys is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysPlace {
    /// A file.
    File(PathBuf),
    /// Behind HTTP.
    Http {
        /// Whether with TLS.
        has_tls: bool,
        /// Where to connect to.
        place: HostPort,
        /// What to ask for, from the first slash on.
        path: String,
    },
}

/// What was written names no place of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace;

const FILE: &str = "file://";

impl FromStr for KeysPlace {
    type Err = NoPlace;

    /// `https://HOST[:PORT]/PATH`, `http://...`, or `file:///PATH`.
    fn from_str(text: &str) -> Result<KeysPlace, NoPlace> {
        if text.contains(|letter: char| letter.is_control() || letter == ' ') {
            return Err(NoPlace);
        }
        if let Some(path) = text.strip_prefix(FILE) {
            return if path.starts_with('/') { Ok(KeysPlace::File(path.into())) } else { Err(NoPlace) };
        }
        let (has_tls, rest, port) = match text.split_once("://").ok_or(NoPlace)? {
            ("https", rest) => (true, rest, 443),
            ("http", rest) => (false, rest, 80),
            _ => return Err(NoPlace),
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (place, path) = rest.split_at(at);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let has_port = !place.ends_with(']') && place.contains(':');
        let whole = if has_port { place.to_owned() } else { format!("{place}:{port}") };
        let place: HostPort = whole.parse().map_err(|_| NoPlace)?;
        let is_host = !place.host.is_empty() && !place.host.contains('@');
        if is_host { Ok(KeysPlace::Http { has_tls, place, path }) } else { Err(NoPlace) }
    }
}

impl fmt::Display for KeysPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeysPlace::File(path) => write!(f, "{FILE}{}", path.display()),
            KeysPlace::Http { has_tls, place, path } => {
                write!(f, "{}://{place}{path}", if *has_tls { "https" } else { "http" })
            }
        }
    }
}

const URL: &str = "sasl.oauthbearer.jwks.endpoint.url";
const REFRESH: &str = "sasl.oauthbearer.jwks.endpoint.refresh.ms";
const RETRY: &str = "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms";
const RETRY_MAX: &str = "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms";
const AUDIENCE: &str = "sasl.oauthbearer.expected.audience";
const ANY_AUDIENCE: &str = "sasl.oauthbearer.allow.unverified.audience";
const ISSUER: &str = "sasl.oauthbearer.expected.issuer";
const ANY_ISSUER: &str = "sasl.oauthbearer.allow.unverified.issuer";
const SKEW: &str = "sasl.oauthbearer.clock.skew.seconds";
const SCOPES: &str = "sasl.oauthbearer.scope.claim.name";
const USER: &str = "sasl.oauthbearer.sub.claim.name";

impl BearerConfig {
    /// What the settings say of a listener.
    ///
    /// # Errors
    /// [`SettingError::BadValue`] without a place of keys, and, as in Kafka, without an issuer and an
    /// audience where it is not said that they may be anybody.
    pub(super) fn of(settings: &Settings, listener: &str) -> Result<BearerConfig, SettingError> {
        let own = |name| settings.of_listener(listener, Some(Mechanism::Bearer), name);
        let text = |name| own(name).unwrap_or_else(|| settings.text(name));
        let refused = |name: &'static str, expected: Expected| {
            let whole = name_of(listener, Some(Mechanism::Bearer), name);
            let written: Cow<'static, str> = if own(name).is_some() { whole.into() } else { name.into() };
            bad(written, text(name), expected)
        };
        let whole = |name| text(name).parse::<i64>().unwrap_or(0).max(0) as u64;
        let milliseconds = |name| Duration::from_millis(whole(name).max(1));
        let words = |name| text(name).split(',').map(str::trim).filter(|word| !word.is_empty());
        let keys = text(URL).trim().parse::<KeysPlace>().map_err(|NoPlace| {
            refused(URL, "https://HOST[:PORT]/PATH, http://... or file:///PATH, for OAUTHBEARER".into())
        })?;
        let audiences: Vec<String> = words(AUDIENCE).map(str::to_owned).collect();
        if audiences.is_empty() && text(ANY_AUDIENCE) != "true" {
            let expected = "whom tokens are for, or sasl.oauthbearer.allow.unverified.audience=true";
            return Err(refused(AUDIENCE, expected.into()));
        }
        let issuer = Some(text(ISSUER)).filter(|issuer| !issuer.is_empty()).map(str::to_owned);
        if issuer.is_none() && text(ANY_ISSUER) != "true" {
            let expected = "who issues tokens, or sasl.oauthbearer.allow.unverified.issuer=true";
            return Err(refused(ISSUER, expected.into()));
        }
        Ok(BearerConfig {
            keys,
            refresh: milliseconds(REFRESH),
            retry: (milliseconds(RETRY), milliseconds(RETRY_MAX)),
            rules: TokenRules {
                audiences,
                issuer,
                skew: Duration::from_secs(whole(SKEW)),
                scope_claim: text(SCOPES).to_owned(),
                user_claim: text(USER).to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    #[test]
    fn keys_are_in_a_file_or_behind_http_and_nowhere_else() {
        for (text, shown) in [
            ("https://issuer/keys", "https://issuer:443/keys"),
            ("https://issuer", "https://issuer:443/"),
            ("https://issuer?a=b#c", "https://issuer:443/?a=b"),
            ("http://127.0.0.1:8080/a/b?c=d", "http://127.0.0.1:8080/a/b?c=d"),
            ("http://[::1]:80/", "http://[::1]:80/"),
            ("https://[::1]/x", "https://[::1]:443/x"),
            ("file:///etc/keys.json", "file:///etc/keys.json"),
        ] {
            assert_eq!(text.parse::<KeysPlace>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "keys",
            "/etc/keys.json",
            "file://keys",
            "ftp://issuer/keys",
            "https://",
            "https:///keys",
            "https://user@issuer/keys",
            "https://issuer:x/keys",
            "https://issuer/a b",
            "https://a/\r\nHost: b",
        ] {
            assert_eq!(text.parse::<KeysPlace>(), Err(NoPlace), "{text}");
        }
    }

    /// What a listener is to believe by these settings, each after `sasl.oauthbearer.`.
    fn of(pairs: &[(&str, &str)]) -> Result<BearerConfig, String> {
        let mut settings = Settings::default();
        let common = [
            ("listeners", "IN://:0"),
            ("listener.security.protocol.map", "IN:SASL_PLAINTEXT"),
            ("sasl.enabled.mechanisms", "OAUTHBEARER"),
        ];
        for (name, value) in common {
            settings.set(name, value).unwrap();
        }
        for (name, value) in pairs {
            let name = match name.strip_prefix("own ") {
                Some(own) => format!("listener.name.in.oauthbearer.sasl.oauthbearer.{own}"),
                None => format!("sasl.oauthbearer.{name}"),
            };
            settings.set(&name, value).map_err(|error| error.to_string())?;
        }
        let config = BrokerConfig::resolve(settings).map_err(|error| error.to_string())?;
        assert_eq!(config.without_effect().into_values().flatten().collect::<Vec<_>>(), [""; 0]);
        Ok(config.listener("IN").unwrap().sasl.as_ref().unwrap().bearer.clone().unwrap())
    }

    #[test]
    fn a_listener_has_its_own_issuer_or_that_of_all() {
        let least =
            [("jwks.endpoint.url", "https://i/k"), ("expected.issuer", "i"), ("expected.audience", "a, b")];
        let config = of(&least).unwrap();
        assert_eq!(config.keys.to_string(), "https://i:443/k");
        let [refresh, first, most] = [3600, 0, 10].map(Duration::from_secs);
        assert_eq!((config.refresh, config.retry), (refresh, (first + Duration::from_millis(100), most)));
        let rules = TokenRules {
            audiences: vec!["a".to_owned(), "b".to_owned()],
            issuer: Some("i".to_owned()),
            skew: Duration::from_secs(30),
            scope_claim: "scope".to_owned(),
            user_claim: "sub".to_owned(),
        };
        assert_eq!(config.rules, rules);
        let own = [
            ("own jwks.endpoint.url", "file:///k"),
            ("own jwks.endpoint.refresh.ms", "5"),
            ("own jwks.endpoint.retry.backoff.ms", "6"),
            ("jwks.endpoint.retry.backoff.max.ms", "7"),
            ("own allow.unverified.audience", "true"),
            ("own allow.unverified.issuer", "true"),
            ("own expected.issuer", ""),
            ("own expected.audience", ""),
            ("own clock.skew.seconds", "8"),
            ("own scope.claim.name", "scp"),
            ("own sub.claim.name", "email"),
        ];
        let config = of(&[&least[..], &own].concat()).unwrap();
        assert_eq!(config.keys, KeysPlace::File("/k".into()));
        let [five, six, seven] = [5, 6, 7].map(Duration::from_millis);
        assert_eq!((config.refresh, config.retry), (five, (six, seven)));
        let rules = TokenRules {
            audiences: Vec::new(),
            issuer: None,
            skew: Duration::from_secs(8),
            scope_claim: "scp".to_owned(),
            user_claim: "email".to_owned(),
        };
        assert_eq!(config.rules, rules);
    }

    #[test]
    fn who_may_be_anybody_is_said_and_not_forgotten() {
        let url = (URL.strip_prefix("sasl.oauthbearer.").unwrap(), "file:///k");
        assert!(of(&[]).unwrap_err().starts_with("sasl.oauthbearer.jwks.endpoint.url=: expected https://"));
        let without_audience = of(&[url, ("expected.issuer", "i")]).unwrap_err();
        assert!(
            without_audience.contains("sasl.oauthbearer.allow.unverified.audience=true"),
            "{without_audience}"
        );
        let without_issuer = of(&[url, ("expected.audience", "a")]).unwrap_err();
        assert!(without_issuer.contains("sasl.oauthbearer.allow.unverified.issuer=true"), "{without_issuer}");
        let own = of(&[("own jwks.endpoint.url", "ftp://k")]).unwrap_err();
        assert!(
            own.starts_with("listener.name.in.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=ftp://k"),
            "{own}"
        );
    }
}
