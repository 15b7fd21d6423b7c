//! Who may do what: Kafka's access rules, and how they are asked (KIP-11, KIP-290), as its StandardAuthorizer
//! decides. Nothing here knows where rules are kept.
//!
//! ```text
//! rule    = resource pattern   + principal + host + operation + allow or deny
//!           TOPIC LITERAL "*"    User:bob    *      READ        ALLOW
//! kept    = all rules of one (pattern, principal, host) together: a name and two sets of operations
//! index   : (principal, host, resource) > the operations that are allowed
//! ```
//! A rule that denies wins over all that allow. A rule for ALL is one for every operation. Who is allowed to
//! read, write, delete or alter may describe as well, and who may alter settings may describe them; what is
//! denied implies nothing.

mod filter;
mod index;
mod kept;

use std::fmt;

pub use filter::{Filter, PatternFilter};
pub use index::Index;
pub use kept::{BYTES_MAX, ENTRIES_MAX, NAME_BYTES_MAX, RuleSet, UnfitRule};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident $code:literal $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $variant,)*
        }

        impl $name {
            /// All of them, in the order of Kafka's numbers.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// Kafka's number.
            pub const fn code(self) -> i8 {
                match self {
                    $($name::$variant => $code,)*
                }
            }

            /// The one with Kafka's number.
            pub fn of_code(code: i8) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.code() == code)
            }

            /// Kafka's word.
            pub const fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }

            /// The one with Kafka's word.
            pub fn of_word(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.word() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// What a rule is about.
    ResourceType {
        /// A topic.
        Topic 2 "TOPIC",
        /// A group, of whatever protocol.
        Group 3 "GROUP",
        /// The cluster as a whole, whose one name is [`CLUSTER_NAME`].
        Cluster 4 "CLUSTER",
        /// A transactional id.
        TransactionalId 5 "TRANSACTIONAL_ID",
        /// A delegation token.
        DelegationToken 6 "DELEGATION_TOKEN",
        /// A user, as the owner of delegation tokens.
        User 7 "USER",
    }
}

words! {
    /// How a rule names resources.
    PatternType {
        /// By the whole name; `*` is every name.
        Literal 3 "LITERAL",
        /// By what a name begins with.
        Prefixed 4 "PREFIXED",
    }
}

words! {
    /// What may be done with a resource.
    Operation {
        /// Every operation.
        Every 2 "ALL",
        /// Read.
        Read 3 "READ",
        /// Write.
        Write 4 "WRITE",
        /// Create.
        Create 5 "CREATE",
        /// Delete.
        Delete 6 "DELETE",
        /// Change.
        Alter 7 "ALTER",
        /// Know that it is there, and what it is.
        Describe 8 "DESCRIBE",
        /// What brokers ask of each other.
        ClusterAction 9 "CLUSTER_ACTION",
        /// Read settings.
        DescribeConfigs 10 "DESCRIBE_CONFIGS",
        /// Change settings.
        AlterConfigs 11 "ALTER_CONFIGS",
        /// Get a producer id (KIP-98).
        IdempotentWrite 12 "IDEMPOTENT_WRITE",
        /// Create delegation tokens (KIP-373).
        CreateTokens 13 "CREATE_TOKENS",
        /// Describe delegation tokens.
        DescribeTokens 14 "DESCRIBE_TOKENS",
        /// Let a transaction wait for another system (KIP-939).
        TwoPhaseCommit 15 "TWO_PHASE_COMMIT",
    }
}

words! {
    /// Which way a rule decides.
    Permission {
        /// Against.
        Deny 2 "DENY",
        /// In favour.
        Allow 3 "ALLOW",
    }
}

impl Operation {
    /// The operation as a bit: 1, shifted by Kafka's number.
    pub const fn bit(self) -> u32 {
        1 << self.code()
    }
}

/// The one name of the cluster as a resource.
pub const CLUSTER_NAME: &str = "kafka-cluster";

/// The name that stands for all names, and the host that stands for all hosts.
pub const ANY_NAME: &str = "*";

/// The principal that stands for all users.
pub const EVERY_USER: &str = "User:*";

/// A resource that somebody wants to do something with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// What it is.
    pub kind: ResourceType,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    /// The cluster.
    pub const CLUSTER: Resource<'static> = Resource { kind: ResourceType::Cluster, name: CLUSTER_NAME };

    /// A topic.
    pub const fn topic(name: &'a str) -> Resource<'a> {
        Resource { kind: ResourceType::Topic, name }
    }

    /// A group.
    pub const fn group(name: &'a str) -> Resource<'a> {
        Resource { kind: ResourceType::Group, name }
    }

    /// A transactional id.
    pub const fn transactional_id(name: &'a str) -> Resource<'a> {
        Resource { kind: ResourceType::TransactionalId, name }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// Which resources a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// What they are.
    pub kind: ResourceType,
    /// How they are named.
    pub pattern: PatternType,
    /// The name, or what it begins with.
    pub name: String,
}

/// A rule: Kafka's access control entry with its resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Which resources.
    pub resource: Pattern,
    /// Whom it is for, as `TYPE:NAME`; [`EVERY_USER`] for all users.
    pub principal: String,
    /// The address that a client comes from, or `*`.
    pub host: String,
    /// What is done.
    pub operation: Operation,
    /// Whether it may be.
    pub permission: Permission,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { resource: Pattern { kind, pattern, name }, principal, host, operation, permission } = self;
        write!(f, "{permission} {operation} on {kind}:{pattern}:{name} by {principal} from {host}")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use strandline_engine::config::Texts;

    /// What Kafka's StandardAuthorizer says, rule by rule as its documentation has it; `None` where no rule
    /// is about the resource.
    fn naive(
        rules: &[Rule],
        principal: &str,
        host: &str,
        of: Resource<'_>,
        wanted: Operation,
    ) -> Option<bool> {
        let is_about = |rule: &&Rule| {
            rule.resource.kind == of.kind
                && match rule.resource.pattern {
                    PatternType::Literal => rule.resource.name == of.name || rule.resource.name == "*",
                    PatternType::Prefixed => of.name.starts_with(&rule.resource.name),
                }
        };
        let about: Vec<&Rule> = rules.iter().filter(is_about).collect();
        if about.is_empty() {
            return None;
        }
        let is_for = |rule: &Rule| {
            (rule.principal == principal || rule.principal == "User:*")
                && (rule.host == host || rule.host == "*")
        };
        let denies = |rule: &&&Rule| {
            rule.permission == Permission::Deny
                && is_for(rule)
                && [wanted, Operation::Every].contains(&rule.operation)
        };
        let implies = |operation| match wanted {
            Operation::Describe => {
                matches!(operation, Operation::Read | Operation::Write | Operation::Delete | Operation::Alter)
            }
            Operation::DescribeConfigs => operation == Operation::AlterConfigs,
            _ => false,
        };
        let allows = |rule: &&&Rule| {
            rule.permission == Permission::Allow
                && is_for(rule)
                && ([wanted, Operation::Every].contains(&rule.operation) || implies(rule.operation))
        };
        Some(!about.iter().any(|rule| denies(&rule)) && about.iter().any(|rule| allows(&rule)))
    }

    /// A name of few letters, so that many are the beginning of many.
    fn name(rng: &mut fastrand::Rng) -> String {
        match rng.usize(..8) {
            0 => "*".to_owned(),
            _ => (0..rng.usize(1..6)).map(|_| *rng.choice(&['a', 'b', 'é']).unwrap()).collect(),
        }
    }

    /// The rules, as they are kept.
    pub(crate) fn kept(rules: &[Rule]) -> Texts {
        let (mut set, mut kept) = (RuleSet::default(), Texts::default());
        rules.iter().for_each(|rule| assert!(set.insert(rule) || rules.len() > 1));
        set.keep_in(kept.entries_mut());
        kept
    }

    pub(crate) fn rule(rng: &mut fastrand::Rng) -> Rule {
        let kinds = [ResourceType::Topic, ResourceType::Group];
        Rule {
            resource: Pattern {
                kind: *rng.choice(&kinds).unwrap(),
                pattern: *rng.choice(PatternType::ALL).unwrap(),
                name: name(rng),
            },
            principal: (*rng.choice(&["User:a", "User:b", "User:*", "Group:a"]).unwrap()).to_owned(),
            host: (*rng.choice(&["*", "10.0.0.1", "10.0.0.2"]).unwrap()).to_owned(),
            operation: *rng.choice(Operation::ALL).unwrap(),
            permission: if rng.u8(..4) == 0 { Permission::Deny } else { Permission::Allow },
        }
    }

    #[test]
    fn the_index_decides_as_every_rule_read_one_by_one() {
        let mut rng = fastrand::Rng::with_seed(290);
        let (mut allowed, mut denied, mut silent) = (0, 0, 0);
        for _ in 0..300 {
            let rules: Vec<Rule> = (0..rng.usize(0..25)).map(|_| rule(&mut rng)).collect();
            let index = Index::of(&kept(&rules));
            for _ in 0..40 {
                let (principal, host, name) =
                    (*rng.choice(&["User:a", "User:b", "Group:a"]).unwrap(), "10.0.0.1", name(&mut rng));
                let kind = if rng.bool() { ResourceType::Topic } else { ResourceType::Group };
                let resource = Resource { kind, name: &name };
                let found = index.allowed(principal, host, resource);
                for wanted in Operation::ALL.iter().copied().filter(|one| *one != Operation::Every) {
                    let expected = naive(&rules, principal, host, resource, wanted);
                    let decided = found.map(|bits| bits & wanted.bit() != 0);
                    assert_eq!(decided, expected, "{wanted} on {resource} by {principal} of {rules:#?}");
                    match expected {
                        Some(true) => allowed += 1,
                        Some(false) => denied += 1,
                        None => silent += 1,
                    }
                }
            }
        }
        assert!(allowed > 3_000 && denied > 10_000 && silent > 10_000, "{allowed} {denied} {silent}");
    }

    /// Kafka's `authorizeByResourceType`, read one by one: somewhere an allowed pattern is covered by no
    /// denied one.
    fn naive_anywhere(rules: &[Rule], principal: &str, host: &str, wanted: Operation) -> bool {
        let of = |permission| {
            rules.iter().filter(move |rule| {
                rule.resource.kind == ResourceType::Topic
                    && rule.permission == permission
                    && (rule.principal == principal || rule.principal == "User:*")
                    && (rule.host == host || rule.host == "*")
                    && [wanted, Operation::Every].contains(&rule.operation)
            })
        };
        let covers = |denied: &Pattern, allowed: &Pattern| match denied.pattern {
            PatternType::Literal => denied.name == "*" || denied == allowed,
            PatternType::Prefixed => {
                let is_every = allowed.pattern == PatternType::Literal && allowed.name == "*";
                !is_every && allowed.name.starts_with(&denied.name)
            }
        };
        of(Permission::Allow)
            .any(|allowed| !of(Permission::Deny).any(|denied| covers(&denied.resource, &allowed.resource)))
    }

    #[test]
    fn somewhere_is_where_an_allowed_name_is_covered_by_no_denied_one() {
        let mut rng = fastrand::Rng::with_seed(98);
        let mut found = [0, 0];
        for _ in 0..3000 {
            let rules: Vec<Rule> = (0..rng.usize(0..12)).map(|_| rule(&mut rng)).collect();
            let index = Index::of(&kept(&rules));
            for principal in ["User:a", "Group:a"] {
                for wanted in [Operation::Write, Operation::Read] {
                    let expected = naive_anywhere(&rules, principal, "10.0.0.1", wanted);
                    let decided = index.allows_anywhere(principal, "10.0.0.1", ResourceType::Topic, wanted);
                    assert_eq!(decided, expected, "{wanted} by {principal} of {rules:#?}");
                    found[usize::from(expected)] += 1;
                }
            }
        }
        assert!(found.iter().all(|count| *count > 1000), "{found:?}");
    }

    #[test]
    fn every_number_and_word_is_read_as_it_is_written() {
        for operation in Operation::ALL {
            assert_eq!(Operation::of_code(operation.code()), Some(*operation));
            assert_eq!(Operation::of_word(operation.word()), Some(*operation));
        }
        for code in [i8::MIN, -1, 0, 1, 16, i8::MAX] {
            assert_eq!(Operation::of_code(code), None);
        }
        assert_eq!(Operation::of_word("ANY"), None);
    }
}
