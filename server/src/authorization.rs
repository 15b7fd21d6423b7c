//! What the clients of a shard may do: the rules in force, asked for one principal at one host.
//!
//! ```text
//! Local::settings (no lock) > Texts > the index of them, made anew when they have changed > bits of operations
//! ```
//! Where there is no authorizer, everybody may do everything, which costs one comparison. Super users may,
//! whatever the rules say. What no rule is about is for super users alone, unless a setting says that it is
//! for everybody.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use strandline_engine::config::Texts;

use crate::config::AuthorizerConfig;
use crate::security::acl::{Index, Operation, Resource, ResourceType};
use crate::session::Session;

/// Every operation.
const EVERYTHING: u32 = u32::MAX;

/// Answers about a type of resources that are remembered: a client that asks again costs no search through
/// all rules.
const ANYWHERE_MAX: usize = 1024;

/// Decides for the clients of one shard.
pub struct Authorizer {
    /// `None` where nobody is asked.
    config: Option<AuthorizerConfig>,
    known: RefCell<Known>,
}

/// The rules in force, as they were last seen.
#[derive(Default)]
struct Known {
    permissions: Texts,
    index: Arc<Index>,
    /// What was found for (principal, host, type, operation).
    anywhere: HashMap<(String, String, ResourceType, Operation), bool>,
}

/// A client as rules name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asker {
    principal: String,
    host: String,
    is_super: bool,
}

impl Authorizer {
    /// An authorizer that goes by these settings.
    pub fn new(config: Option<AuthorizerConfig>) -> Authorizer {
        Authorizer { config, known: RefCell::default() }
    }

    /// Whether anybody is asked.
    pub fn is_on(&self) -> bool {
        self.config.is_some()
    }

    /// The client of a session.
    pub fn asker(&self, session: &Session) -> Asker {
        let principal = &session.principal;
        let is = |(kind, name): &(String, String)| *kind == principal.kind && *name == principal.name;
        Asker {
            principal: principal.to_string(),
            host: session.peer.ip().to_canonical().to_string(),
            is_super: self.config.as_ref().is_some_and(|config| config.super_users.iter().any(is)),
        }
    }

    /// The operations that a client may do with a resource, as bits ([`Operation::bit`]).
    pub fn allowed(&self, permissions: &Texts, asker: &Asker, resource: Resource<'_>) -> u32 {
        let Some(config) = self.config.as_ref().filter(|_| !asker.is_super) else { return EVERYTHING };
        let index = self.index(permissions);
        let otherwise = if config.allows_without_rules { EVERYTHING } else { 0 };
        index.allowed(&asker.principal, &asker.host, resource).unwrap_or(otherwise)
    }

    /// Whether a client may do something with some resource of a type, whatever its name.
    pub fn allows_anywhere(
        &self,
        permissions: &Texts,
        asker: &Asker,
        kind: ResourceType,
        operation: Operation,
    ) -> bool {
        // As in Kafka: a name that nobody has thought of tells what all may do without rules.
        let unthought_of = Resource { kind, name: "hardcode" };
        if self.allowed(permissions, asker, unthought_of) & operation.bit() != 0 {
            return true;
        }
        let index = self.index(permissions);
        let (principal, host) = (asker.principal.clone(), asker.host.clone());
        let mut known = self.known.borrow_mut();
        if known.anywhere.len() >= ANYWHERE_MAX {
            known.anywhere.clear();
        }
        let found = known.anywhere.entry((principal, host, kind, operation));
        *found.or_insert_with(|| index.allows_anywhere(&asker.principal, &asker.host, kind, operation))
    }

    /// What the asker may describe by these rules, for whoever asks later and elsewhere; `None` where nobody
    /// is asked.
    pub fn sight(&self, permissions: &Texts, asker: &Asker) -> Option<Sight> {
        let allows_without_rules = self.config.as_ref()?.allows_without_rules;
        let (permissions, index) = (permissions.clone(), self.index(permissions));
        let rules = Rules { permissions, index, allows_without_rules };
        Some(Sight { rules, asker: Arc::new(asker.clone()) })
    }

    fn index(&self, permissions: &Texts) -> Arc<Index> {
        let mut known = self.known.borrow_mut();
        if !known.permissions.are(permissions) {
            let index = Arc::new(Index::of(permissions));
            *known = Known { permissions: permissions.clone(), index, anywhere: HashMap::new() };
        }
        known.index.clone()
    }
}

/// The rules of a moment, for any thread.
#[derive(Clone, Debug)]
pub struct Rules {
    permissions: Texts,
    index: Arc<Index>,
    allows_without_rules: bool,
}

impl Rules {
    /// Whether they are the same, of one moment.
    pub fn are(&self, other: &Rules) -> bool {
        self.permissions.are(&other.permissions)
    }

    /// Whether a client may describe the topic.
    pub fn show(&self, asker: &Asker, topic: &str) -> bool {
        let allowed = self.index.allowed(&asker.principal, &asker.host, Resource::topic(topic));
        let is_allowed = |bits: u32| bits & Operation::Describe.bit() != 0;
        asker.is_super || allowed.map_or(self.allows_without_rules, is_allowed)
    }
}

/// A client, and the rules that it came by.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The rules.
    pub rules: Rules,
    /// The client.
    pub asker: Arc<Asker>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::net::Origin;
    use crate::security::acl::{Pattern, PatternType, Permission, Rule, RuleSet};
    use crate::session::Principal;

    fn asker(authorizer: &Authorizer, user: &str, peer: &str) -> Asker {
        let peer = peer.parse().unwrap();
        let mut session = Session::new(&Origin { peer, listener: "L".into() }, None);
        session.principal = Principal::user(user.to_owned());
        authorizer.asker(&session)
    }

    /// What user `a` may or may not do from then on.
    fn with(mut before: Texts, name: &str, host: &str, permission: Permission) -> Texts {
        let rule = Rule {
            resource: Pattern {
                kind: ResourceType::Topic,
                pattern: PatternType::Literal,
                name: name.to_owned(),
            },
            principal: "User:a".to_owned(),
            host: host.to_owned(),
            operation: Operation::Write,
            permission,
        };
        let mut set = RuleSet::default();
        set.insert(&rule);
        set.keep_in(before.entries_mut());
        before
    }

    /// What a user may describe that may write to these topics alone.
    pub(crate) fn sight(user: &str, topics: &[&str]) -> Sight {
        let authorizer = Authorizer::new(Some(AuthorizerConfig::default()));
        let allow = |texts, topic: &&str| with(texts, topic, "*", Permission::Allow);
        let permissions = topics.iter().fold(Texts::default(), allow);
        authorizer.sight(&permissions, &asker(&authorizer, user, "10.0.0.1:9")).unwrap()
    }

    #[test]
    fn what_is_seen_later_is_what_the_rules_of_the_moment_allow() {
        let of_a = sight("a", &["t"]);
        assert!(of_a.rules.show(&of_a.asker, "t") && !of_a.rules.show(&of_a.asker, "u"));
        let of_b = sight("b", &["t"]);
        assert!(!of_b.rules.show(&of_b.asker, "t") && !of_b.rules.are(&of_a.rules));
        assert!(of_a.rules.are(&of_a.clone().rules));
        let nobody = Authorizer::new(None);
        assert!(nobody.sight(&Texts::default(), &of_a.asker).is_none());
    }

    #[test]
    fn rules_are_in_force_from_the_snapshot_on_that_has_them() {
        let authorizer = Authorizer::new(Some(AuthorizerConfig::default()));
        let a = asker(&authorizer, "a", "[::ffff:10.0.0.1]:9");
        let may = |permissions: &Texts, asker: &Asker, name: &str| {
            authorizer.allowed(permissions, asker, Resource::topic(name)) & Operation::Write.bit() != 0
        };
        let anywhere = |permissions: &Texts| {
            authorizer.allows_anywhere(permissions, &a, ResourceType::Topic, Operation::Write)
        };
        let none = Texts::default();
        assert!(!may(&none, &a, "t") && !anywhere(&none));
        let some = with(none, "t", "10.0.0.1", Permission::Allow);
        assert!(may(&some, &a, "t") && !may(&some, &a, "u") && anywhere(&some));
        assert!(!may(&some, &asker(&authorizer, "a", "10.0.0.2:9"), "t"));
        assert!(!may(&some, &asker(&authorizer, "b", "10.0.0.1:9"), "t"));
        let fewer = with(some.clone(), "t", "*", Permission::Deny);
        assert!(!may(&fewer, &a, "t") && !anywhere(&fewer));
        assert!(may(&some, &a, "t"), "whoever has the older snapshot goes by it");
    }

    #[test]
    fn super_users_may_do_everything_and_others_what_the_settings_leave_them() {
        let denied = with(Texts::default(), "t", "*", Permission::Deny);
        let config = |allows_without_rules| AuthorizerConfig {
            super_users: vec![("User".to_owned(), "a".to_owned())],
            allows_without_rules,
        };
        let bits = |config, user: &str, name: &str| {
            let authorizer = Authorizer::new(config);
            let asker = asker(&authorizer, user, "10.0.0.1:9");
            authorizer.allowed(&denied, &asker, Resource::topic(name))
        };
        assert_eq!(bits(None, "b", "t"), EVERYTHING);
        assert_eq!(bits(Some(config(false)), "a", "t"), EVERYTHING);
        assert_eq!(bits(Some(config(false)), "b", "u"), 0);
        assert_eq!(bits(Some(config(true)), "b", "u"), EVERYTHING);
        assert_eq!(bits(Some(config(true)), "b", "t"), 0, "there is a rule about it, if for others");
    }

    #[test]
    fn what_is_kept_and_cannot_be_read_shuts_everybody_out_but_super_users() {
        let mut permissions = Texts::default();
        permissions.entries_mut().insert("nonsense".to_owned(), "allow=ALL".to_owned());
        let config = AuthorizerConfig {
            super_users: vec![("User".to_owned(), "a".to_owned())],
            allows_without_rules: true,
        };
        let authorizer = Authorizer::new(Some(config));
        let bits = |user: &str| {
            let asker = asker(&authorizer, user, "10.0.0.1:9");
            authorizer.allowed(&permissions, &asker, Resource::topic("t"))
        };
        assert_eq!((bits("a"), bits("b")), (EVERYTHING, 0));
    }
}
