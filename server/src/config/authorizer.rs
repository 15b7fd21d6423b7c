//! Who is asked whether a client may do something: nobody, or the rules in the settings of the broker.

use super::error::{SettingError, bad};
use super::settings::Settings;

/// The authorizer that there is, by the name of Kafka's whose decisions it takes.
const STANDARD_AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

/// What an authorizer goes by beside the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizerConfig {
    /// Principals that may do everything, as type and name.
    pub super_users: Vec<(String, String)>,
    /// Whether everybody may do everything with a resource that no rule is about.
    pub allows_without_rules: bool,
}

impl AuthorizerConfig {
    /// What the settings say; `None` where everybody may do everything.
    ///
    /// # Errors
    /// [`SettingError::BadValue`] for super users that are no principals, or of no authorizer.
    pub(super) fn of(settings: &Settings) -> Result<Option<AuthorizerConfig>, SettingError> {
        const SUPER_USERS: &str = "super.users";
        let written = settings.text(SUPER_USERS);
        let principals = written.split(';').map(str::trim).filter(|principal| !principal.is_empty());
        let principal = |text: &str| {
            let (kind, name) = text.split_once(':')?;
            (!kind.is_empty() && !name.is_empty()).then(|| (kind.to_owned(), name.to_owned()))
        };
        let super_users: Option<Vec<_>> = principals.map(principal).collect();
        let super_users = super_users.ok_or_else(|| {
            bad(SUPER_USERS, written, "TYPE:NAME;TYPE:NAME;..., and User is the one type that clients have")
        })?;
        match settings.text("authorizer.class.name") {
            "" => return Ok(None),
            STANDARD_AUTHORIZER => {}
            other => {
                let expected = "org.apache.kafka.metadata.authorizer.StandardAuthorizer, or nothing";
                return Err(bad("authorizer.class.name", other, expected));
            }
        }
        let allows_without_rules = settings.is_true("allow.everyone.if.no.acl.found");
        Ok(Some(AuthorizerConfig { super_users, allows_without_rules }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    fn authorizer(pairs: &[(&str, &str)]) -> Result<Option<AuthorizerConfig>, String> {
        let mut settings = Settings::default();
        for (name, value) in pairs {
            settings.set(name, value).map_err(|error| error.to_string())?;
        }
        BrokerConfig::resolve(settings).map(|config| config.authorizer).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_is_asked_unless_an_authorizer_is_named() {
        let on = ("authorizer.class.name", STANDARD_AUTHORIZER);
        assert_eq!(authorizer(&[]), Ok(None));
        assert_eq!(
            authorizer(&[("super.users", "User:a"), ("allow.everyone.if.no.acl.found", "true")]),
            Ok(None)
        );
        assert_eq!(authorizer(&[on]), Ok(Some(AuthorizerConfig::default())));
        let users = ("super.users", " User:CN=a,OU=b ;; User:c:d ");
        let found = authorizer(&[on, users, ("allow.everyone.if.no.acl.found", "TRUE")]).unwrap().unwrap();
        let user = |name: &str| ("User".to_owned(), name.to_owned());
        assert_eq!(found.super_users, [user("CN=a,OU=b"), user("c:d")]);
        assert!(found.allows_without_rules);
        let other = authorizer(&[("authorizer.class.name", "com.example.Authorizer")]).unwrap_err();
        assert!(other.contains(STANDARD_AUTHORIZER), "{other}");
        for wrong in ["a", "User:", ":a", "User:a;b"] {
            assert!(authorizer(&[("super.users", wrong)]).unwrap_err().contains("TYPE:NAME"), "{wrong}");
        }
    }
}
