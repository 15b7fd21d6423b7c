//! Which rules are meant by a question for rules, as Kafka's `AclBindingFilter` has it.

use std::collections::BTreeMap;

use super::kept::{Entry, host_text};
use super::{ANY_NAME, Operation, Pattern, PatternType, Permission, ResourceType, Rule};

/// A question for rules; what is `None` may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The type of the resource.
    pub kind: Option<ResourceType>,
    /// Its name.
    pub name: Option<String>,
    /// How rules name it.
    pub pattern: PatternFilter,
    /// For whom they are.
    pub principal: Option<String>,
    /// From where.
    pub host: Option<String>,
    /// For which operation; [`Operation::Every`] are those for ALL alone.
    pub operation: Option<Operation>,
    /// Which way they decide.
    pub permission: Option<Permission>,
}

/// How the name of a [`Filter`] is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatternFilter {
    /// As the name in a rule of either type.
    #[default]
    Any,
    /// As the name of a resource: all rules about it.
    Match,
    /// As the name in a rule of this type.
    Only(PatternType),
}

impl PatternFilter {
    /// The one with Kafka's number.
    pub fn of_code(code: i8) -> Option<PatternFilter> {
        match code {
            1 => Some(PatternFilter::Any),
            2 => Some(PatternFilter::Match),
            _ => PatternType::of_code(code).map(PatternFilter::Only),
        }
    }
}

impl Filter {
    /// The rules that are meant among those of one entry of what is kept; none where it cannot be read.
    pub fn rules_of(&self, name: &str, text: &str) -> Vec<Rule> {
        match Entry::read(name, text) {
            Some(entry) if self.is_about(&entry) => {
                let is_meant = |rule: &Rule| {
                    self.operation.is_none_or(|operation| operation == rule.operation)
                        && self.permission.is_none_or(|permission| permission == rule.permission)
                };
                entry.rules().filter(is_meant).collect()
            }
            _ => Vec::new(),
        }
    }

    /// All rules that are meant, in the order in which they are kept.
    pub fn rules(&self, entries: &BTreeMap<String, String>) -> Vec<Rule> {
        entries.iter().flat_map(|(name, text)| self.rules_of(name, text)).collect()
    }

    fn is_about(&self, entry: &Entry<'_>) -> bool {
        self.kind.is_none_or(|kind| kind == entry.kind)
            && self.has_name(entry)
            && self.principal.as_ref().is_none_or(|principal| principal == entry.principal)
            && self.host.as_ref().is_none_or(|host| host_text(host) == entry.host)
    }

    fn has_name(&self, entry: &Entry<'_>) -> bool {
        let name = self.name.as_deref();
        match (self.pattern, entry.pattern) {
            (PatternFilter::Only(pattern), found) if pattern != found => false,
            (PatternFilter::Match, PatternType::Literal) => {
                name.is_none_or(|name| name == entry.name || entry.name == ANY_NAME)
            }
            (PatternFilter::Match, PatternType::Prefixed) => {
                name.is_none_or(|name| name.starts_with(entry.name))
            }
            _ => name.is_none_or(|name| name == entry.name),
        }
    }
}

impl From<&Rule> for Filter {
    /// The question for this rule alone.
    fn from(rule: &Rule) -> Filter {
        let Rule { resource: Pattern { kind, pattern, name }, principal, host, operation, permission } = rule;
        Filter {
            kind: Some(*kind),
            name: Some(name.clone()),
            pattern: PatternFilter::Only(*pattern),
            principal: Some(principal.clone()),
            host: Some(host.clone()),
            operation: Some(*operation),
            permission: Some(*permission),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{kept, rule};
    use super::*;

    #[test]
    fn a_rule_asked_for_by_all_that_it_says_is_found_alone() {
        let mut rng = fastrand::Rng::with_seed(5);
        let rules: Vec<Rule> = (0..500).map(|_| rule(&mut rng)).collect();
        let kept = kept(&rules);
        for rule in &rules {
            assert_eq!(Filter::from(rule).rules(kept.entries()), std::slice::from_ref(rule));
        }
        let all: std::collections::BTreeSet<Rule> =
            Filter::default().rules(kept.entries()).into_iter().collect();
        assert_eq!(all, rules.into_iter().collect());
    }

    #[test]
    fn a_name_is_meant_as_the_pattern_type_says() {
        let of = |pattern, name: &str| Rule {
            resource: Pattern { kind: ResourceType::Topic, pattern, name: name.to_owned() },
            principal: "User:a".to_owned(),
            host: "*".to_owned(),
            operation: Operation::Read,
            permission: Permission::Allow,
        };
        let kept = kept(&[
            of(PatternType::Literal, "*"),
            of(PatternType::Literal, "orders"),
            of(PatternType::Literal, "ord"),
            of(PatternType::Prefixed, "ord"),
            of(PatternType::Prefixed, "orders"),
            of(PatternType::Prefixed, "x"),
        ]);
        let found = |pattern, name: Option<&str>| {
            let filter = Filter { name: name.map(str::to_owned), pattern, ..Filter::default() };
            filter
                .rules(kept.entries())
                .into_iter()
                .map(|rule| (rule.resource.pattern, rule.resource.name))
                .collect::<Vec<_>>()
        };
        let (literal, prefixed) = (PatternType::Literal, PatternType::Prefixed);
        let named = |found: &[(PatternType, &str)]| -> Vec<_> {
            found.iter().map(|(pattern, name)| (*pattern, (*name).to_owned())).collect()
        };
        assert_eq!(
            found(PatternFilter::Match, Some("orders")),
            named(&[(literal, "*"), (literal, "orders"), (prefixed, "ord"), (prefixed, "orders")])
        );
        assert_eq!(found(PatternFilter::Any, Some("ord")), named(&[(literal, "ord"), (prefixed, "ord")]));
        assert_eq!(found(PatternFilter::Only(prefixed), Some("ord")), named(&[(prefixed, "ord")]));
        assert_eq!(found(PatternFilter::Only(prefixed), None).len(), 3);
        assert_eq!(found(PatternFilter::Match, None).len(), 6);
        assert_eq!(PatternFilter::of_code(0), None);
        assert_eq!(PatternFilter::of_code(5), None);
    }
}
