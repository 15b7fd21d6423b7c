//! Rules as they are kept: names and texts in the settings of the broker.
//!
//! ```text
//! name  TYPE:PATTERN:NAME <line feed> PRINCIPAL <line feed> HOST
//! text  allow=READ,WRITE deny=DELETE           either may be missing; operations in the order of their numbers
//! ```
//! None of the three has a control character, so that the order of names is that of resources, then of
//! principals, then of hosts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{ANY_NAME, CLUSTER_NAME, Operation, Pattern, PatternType, Permission, ResourceType, Rule};

/// Most entries that are kept: rules of one resource pattern, principal and host are one.
pub const ENTRIES_MAX: usize = 20_000;

/// Most bytes of all of them.
pub const BYTES_MAX: usize = 8 << 20;

/// Longest name of a resource or of a principal.
pub const NAME_BYTES_MAX: usize = 4096;

/// Why a rule is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitRule {
    /// The resource has no name.
    #[error("Resource name should not be empty")]
    NoName,
    /// The cluster by another name.
    #[error("The only valid name for the CLUSTER resource is {CLUSTER_NAME}")]
    Cluster,
    /// A name that is too long, or has a control character.
    #[error("the name of the resource has control characters, or more than {NAME_BYTES_MAX} bytes")]
    Name,
    /// The same of a principal, or it is not `TYPE:NAME`.
    #[error("a principal is TYPE:NAME, without control characters, and has at most {NAME_BYTES_MAX} bytes")]
    Principal,
    /// No client ever comes from there.
    #[error("a host is * or an IP address: names are not looked up, and networks are not known")]
    Host,
}

/// An entry, read.
pub(super) struct Entry<'a> {
    pub(super) kind: ResourceType,
    pub(super) pattern: PatternType,
    pub(super) name: &'a str,
    pub(super) principal: &'a str,
    pub(super) host: &'a str,
    /// Bits of operations.
    pub(super) allowed: u32,
    pub(super) denied: u32,
}

impl<'a> Entry<'a> {
    /// Reads an entry; `None` for anything that is none.
    pub(super) fn read(name: &'a str, text: &str) -> Option<Entry<'a>> {
        let mut parts = name.split('\n');
        let (resource, principal, host) = (parts.next()?, parts.next()?, parts.next()?);
        let mut resource = resource.splitn(3, ':');
        let kind = ResourceType::of_word(resource.next()?)?;
        let pattern = PatternType::of_word(resource.next()?)?;
        let name = resource.next()?;
        let Sets { allowed, denied } = sets_of(text)?;
        let is_whole =
            parts.next().is_none() && !name.is_empty() && !principal.is_empty() && !host.is_empty();
        is_whole.then_some(Entry { kind, pattern, name, principal, host, allowed, denied })
    }

    /// Its rules, those that allow first, in the order of their operations.
    pub(super) fn rules(&self) -> impl Iterator<Item = Rule> {
        let sets = [(Permission::Allow, self.allowed), (Permission::Deny, self.denied)];
        sets.into_iter().flat_map(move |(permission, bits)| {
            let operations =
                Operation::ALL.iter().copied().filter(move |operation| bits & operation.bit() != 0);
            operations.map(move |operation| Rule {
                resource: Pattern { kind: self.kind, pattern: self.pattern, name: self.name.to_owned() },
                principal: self.principal.to_owned(),
                host: self.host.to_owned(),
                operation,
                permission,
            })
        })
    }
}

impl Rule {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// [`UnfitRule`], with Kafka's words where it refuses the same.
    pub fn check(&self) -> Result<(), UnfitRule> {
        let is_clean = |text: &str| text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control);
        let Rule { resource: Pattern { kind, name, .. }, principal, host, .. } = self;
        if name.is_empty() {
            return Err(UnfitRule::NoName);
        }
        if *kind == ResourceType::Cluster && name != CLUSTER_NAME && name != ANY_NAME {
            return Err(UnfitRule::Cluster);
        }
        if !is_clean(name) {
            return Err(UnfitRule::Name);
        }
        let is_principal =
            principal.split_once(':').is_some_and(|(of, name)| !of.is_empty() && !name.is_empty());
        if !is_principal || !is_clean(principal) {
            return Err(UnfitRule::Principal);
        }
        if host != ANY_NAME && host.parse::<IpAddr>().is_err() {
            return Err(UnfitRule::Host);
        }
        Ok(())
    }

    /// The name of the entry that has it.
    fn place(&self) -> String {
        let Rule { resource: Pattern { kind, pattern, name }, principal, host, .. } = self;
        format!("{kind}:{pattern}:{name}\n{principal}\n{}", host_text(host))
    }

    /// Whether it is kept.
    pub fn is_in(&self, entries: &BTreeMap<String, String>) -> bool {
        let place = self.place();
        let sets = entries.get(&place).and_then(|text| sets_of(text)).unwrap_or_default();
        let set = match self.permission {
            Permission::Allow => sets.allowed,
            Permission::Deny => sets.denied,
        };
        set & self.operation.bit() != 0
    }
}

/// An address in the one form in which it is compared.
pub(super) fn host_text(host: &str) -> String {
    host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |address| address.to_canonical().to_string())
}

/// Rules that are to be kept, or to go.
#[derive(Clone, Debug, Default)]
pub struct RuleSet(BTreeMap<String, Sets>);

/// Bits of operations.
#[derive(Clone, Copy, Debug, Default)]
struct Sets {
    allowed: u32,
    denied: u32,
}

impl RuleSet {
    /// Adds a rule; false when it was in the set.
    pub fn insert(&mut self, rule: &Rule) -> bool {
        let sets = self.0.entry(rule.place()).or_default();
        let set = match rule.permission {
            Permission::Allow => &mut sets.allowed,
            Permission::Deny => &mut sets.denied,
        };
        let before = *set;
        *set |= rule.operation.bit();
        *set != before
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has them kept; those that are there stay.
    pub fn keep_in(&self, entries: &mut BTreeMap<String, String>) {
        self.change(entries, |set, bits| set | bits);
    }

    /// Has them gone.
    pub fn remove_from(&self, entries: &mut BTreeMap<String, String>) {
        self.change(entries, |set, bits| set & !bits);
    }

    fn change(&self, entries: &mut BTreeMap<String, String>, change: impl Fn(u32, u32) -> u32) {
        for (place, sets) in &self.0 {
            let text = entries.get(place).map_or("", String::as_str);
            let before = sets_of(text).unwrap_or_default();
            let after = Sets {
                allowed: change(before.allowed, sets.allowed),
                denied: change(before.denied, sets.denied),
            };
            match after.text() {
                Some(text) => drop(entries.insert(place.clone(), text)),
                None => drop(entries.remove(place)),
            }
        }
    }
}

impl Sets {
    /// As they are kept; `None` when nothing is left.
    fn text(self) -> Option<String> {
        let words = |set: &str, bits: u32| {
            let operations = Operation::ALL.iter().filter(|operation| bits & operation.bit() != 0);
            let operations: Vec<&str> = operations.map(|operation| operation.word()).collect();
            (!operations.is_empty()).then(|| format!("{set}={}", operations.join(",")))
        };
        let sets = [words("allow", self.allowed), words("deny", self.denied)];
        let sets: Vec<String> = sets.into_iter().flatten().collect();
        (!sets.is_empty()).then(|| sets.join(" "))
    }
}

/// Reads a text.
fn sets_of(text: &str) -> Option<Sets> {
    let mut sets = Sets::default();
    for word in text.split(' ') {
        let (set, operations) = word.split_once('=')?;
        let set = match set {
            "allow" => &mut sets.allowed,
            "deny" => &mut sets.denied,
            _ => return None,
        };
        for operation in operations.split(',') {
            *set |= Operation::of_word(operation)?.bit();
        }
    }
    Some(sets)
}

#[cfg(test)]
mod tests {
    use super::super::tests::rule;
    use super::*;

    #[test]
    fn what_is_kept_is_the_set_of_rules_that_came_and_did_not_go() {
        let mut rng = fastrand::Rng::with_seed(11);
        let (mut entries, mut expected) = (BTreeMap::new(), std::collections::BTreeSet::new());
        for _ in 0..5000 {
            let rule = rule(&mut rng);
            assert_eq!(rule.check(), Ok(()));
            let mut set = RuleSet::default();
            assert!(set.insert(&rule) && !set.insert(&rule));
            if rng.bool() {
                set.keep_in(&mut entries);
                expected.insert(rule.clone());
            } else {
                set.remove_from(&mut entries);
                expected.remove(&rule);
            }
            assert_eq!(rule.is_in(&entries), expected.contains(&rule));
        }
        let read = |(name, text): (&String, &String)| -> Vec<Rule> {
            Entry::read(name, text).expect("it was written").rules().collect()
        };
        let found: std::collections::BTreeSet<Rule> = entries.iter().flat_map(read).collect();
        assert!(found.len() > 100);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_entry_is_not_read() {
        assert!(Entry::read("TOPIC:LITERAL:a:b\nUser:a\n*", "allow=READ deny=ALL").is_some());
        for (name, text) in [
            ("", "allow=READ"),
            ("TOPIC:LITERAL:a", "allow=READ"),
            ("TOPIC:LITERAL:\nUser:a\n*", "allow=READ"),
            ("TOPIC:LITERAL:a\n\n*", "allow=READ"),
            ("TOPIC:LITERAL:a\nUser:a\n*\n", "allow=READ"),
            ("TOPIC:ANY:a\nUser:a\n*", "allow=READ"),
            ("PLANET:LITERAL:a\nUser:a\n*", "allow=READ"),
            ("TOPIC:LITERAL:a\nUser:a\n*", ""),
            ("TOPIC:LITERAL:a\nUser:a\n*", "allow="),
            ("TOPIC:LITERAL:a\nUser:a\n*", "allow=READ,"),
            ("TOPIC:LITERAL:a\nUser:a\n*", "may=READ"),
        ] {
            assert!(Entry::read(name, text).is_none(), "{name:?} {text:?}");
        }
    }

    #[test]
    fn a_rule_that_nobody_could_ever_match_is_refused() {
        let good = rule(&mut fastrand::Rng::with_seed(1));
        let with = |change: fn(&mut Rule)| {
            let mut rule = good.clone();
            change(&mut rule);
            rule.check()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|rule| rule.host = "::1".to_owned()), Ok(()));
        assert_eq!(with(|rule| rule.resource.name.clear()), Err(UnfitRule::NoName));
        assert_eq!(with(|rule| rule.resource.name = "a\nb".to_owned()), Err(UnfitRule::Name));
        assert_eq!(with(|rule| rule.resource.name = "a".repeat(4097)), Err(UnfitRule::Name));
        assert_eq!(with(|rule| rule.resource.kind = ResourceType::Cluster), Err(UnfitRule::Cluster));
        for principal in ["", "alice", ":alice", "User:", "User:a\0"] {
            let mut rule = good.clone();
            rule.principal = principal.to_owned();
            assert_eq!(rule.check(), Err(UnfitRule::Principal), "{principal:?}");
        }
        for host in ["", "localhost", "10.0.0.0/8", "* "] {
            let mut rule = good.clone();
            rule.host = host.to_owned();
            assert_eq!(rule.check(), Err(UnfitRule::Host), "{host:?}");
        }
    }
}
