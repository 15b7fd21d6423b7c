//! The rules as they are asked: which operations a principal at a host may do with a resource.
//!
//! ```text
//! of a type:  every name ("*")          one node
//!             literal names             name > node
//!             prefixes, in order        name, node, and which other one it begins with:
//!                                       those that a name begins with are the last one before it, and its chain
//! node:       (principal, host), in order > operations allowed, operations denied
//! ```
//! A question costs two searches among the names of its type and four in each node that is found: a node for
//! every prefix of the name that has rules, and two more.

use std::collections::HashMap;

use strandline_engine::config::Texts;

use super::kept::{Entry, host_text};
use super::{ANY_NAME, EVERY_USER, Operation, PatternType, Resource, ResourceType};

/// Allowing one of these allows to describe.
const IMPLY_DESCRIBE: u32 =
    Operation::Read.bit() | Operation::Write.bit() | Operation::Delete.bit() | Operation::Alter.bit();

/// Every operation.
const EVERYTHING: u32 = u32::MAX;

/// Rules, ready to be asked.
#[derive(Debug, Default)]
pub struct Index {
    of_types: HashMap<ResourceType, OfType>,
    /// Whether something that is kept could not be read: nobody may do anything then, since it may have been
    /// a rule that denies.
    is_unreadable: bool,
}

#[derive(Debug, Default)]
struct OfType {
    every: Option<Node>,
    literal: HashMap<Box<str>, Node>,
    /// In the order of their names.
    prefixed: Vec<Prefix>,
}

#[derive(Debug)]
struct Prefix {
    name: Box<str>,
    /// The longest other prefix that this one begins with.
    shorter: Option<usize>,
    node: Node,
}

/// The rules of one pattern, in the order of principal and host.
#[derive(Debug, Default)]
struct Node(Vec<(Box<str>, Box<str>, Sets)>);

/// Bits of operations.
#[derive(Clone, Copy, Debug, Default)]
struct Sets {
    allowed: u32,
    denied: u32,
}

impl Index {
    /// Of what is kept. Takes time for each entry.
    pub fn of(permissions: &Texts) -> Index {
        let mut index = Index::default();
        for (name, text) in permissions.entries() {
            match Entry::read(name, text) {
                Some(entry) => index.add(&entry),
                None => {
                    tracing::error!(
                        name,
                        text,
                        "a permission cannot be read: nobody but super users may do anything"
                    );
                    index.is_unreadable = true;
                }
            }
        }
        for of_type in index.of_types.values_mut() {
            of_type.chain();
        }
        index
    }

    fn add(&mut self, entry: &Entry<'_>) {
        let of_type = self.of_types.entry(entry.kind).or_default();
        let node = match entry.pattern {
            PatternType::Literal if entry.name == ANY_NAME => of_type.every.get_or_insert_default(),
            PatternType::Literal => of_type.literal.entry(entry.name.into()).or_default(),
            // What is kept stands in the order of names, and so do the prefixes.
            PatternType::Prefixed => {
                if of_type.prefixed.last().is_none_or(|last| *last.name != *entry.name) {
                    let node = Node::default();
                    of_type.prefixed.push(Prefix { name: entry.name.into(), shorter: None, node });
                }
                &mut of_type.prefixed.last_mut().expect("it was put there").node
            }
        };
        let sets = Sets { allowed: entry.allowed, denied: entry.denied };
        node.0.push((entry.principal.into(), host_text(entry.host).into(), sets));
    }

    /// The operations that are allowed, as bits; `None` when there is no rule about the resource, for
    /// whomever.
    pub fn allowed(&self, principal: &str, host: &str, resource: Resource<'_>) -> Option<u32> {
        if self.is_unreadable {
            return Some(0);
        }
        let of_type = self.of_types.get(&resource.kind)?;
        let mut nodes = of_type.about(resource.name).peekable();
        nodes.peek()?;
        let mut found = Sets::default();
        for node in nodes {
            found.add(node.of(principal, host));
        }
        Some(found.decided())
    }

    /// Whether the operation is allowed on some resource of the type, whose name nobody has said: one of the
    /// patterns that allow it is covered by none that denies it.
    pub fn allows_anywhere(
        &self,
        principal: &str,
        host: &str,
        kind: ResourceType,
        wanted: Operation,
    ) -> bool {
        let Some(of_type) = self.of_types.get(&kind).filter(|_| !self.is_unreadable) else { return false };
        let bits = wanted.bit() | Operation::Every.bit();
        let of = |node: &Node| {
            let Sets { allowed, denied } = node.of(principal, host);
            (allowed & bits != 0, denied & bits != 0)
        };
        let is_denied = |node: &Node| of(node).1;
        if let Some((allowed, denied)) = of_type.every.as_ref().map(of)
            && (allowed || denied)
        {
            return !denied;
        }
        let prefixes = of_type.prefixed.iter().any(|prefix| {
            of(&prefix.node).0 && !of_type.prefixes(&prefix.name).any(|shorter| is_denied(&shorter.node))
        });
        prefixes
            || of_type.literal.iter().any(|(name, node)| {
                let (allowed, denied) = of(node);
                allowed && !denied && !of_type.prefixes(name).any(|prefix| is_denied(&prefix.node))
            })
    }
}

impl OfType {
    /// Links each prefix with the longest one that it begins with.
    fn chain(&mut self) {
        let mut open: Vec<usize> = Vec::new();
        for at in 0..self.prefixed.len() {
            while open
                .last()
                .is_some_and(|last| !self.prefixed[at].name.starts_with(&*self.prefixed[*last].name))
            {
                open.pop();
            }
            self.prefixed[at].shorter = open.last().copied();
            open.push(at);
        }
    }

    /// The prefixes that a name begins with, the longest first. Between one of them and the name, all names
    /// begin with it: so the last prefix before the name has them all in its chain.
    fn prefixes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Prefix> {
        let last = self.prefixed.partition_point(|prefix| *prefix.name <= *name).checked_sub(1);
        let chain = std::iter::successors(last, |at| self.prefixed[*at].shorter);
        chain.map(|at| &self.prefixed[at]).filter(move |prefix| name.starts_with(&*prefix.name))
    }

    /// The nodes whose pattern the name has.
    fn about<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        let whole = self.every.iter().chain(self.literal.get(name));
        whole.chain(self.prefixes(name).map(|prefix| &prefix.node))
    }
}

impl Node {
    /// What its rules say of a principal at a host.
    fn of(&self, principal: &str, host: &str) -> Sets {
        let mut found = Sets::default();
        for principal in [principal, EVERY_USER] {
            for host in [host, ANY_NAME] {
                let at = self.0.binary_search_by(|(of, at, _)| (&**of, &**at).cmp(&(principal, host)));
                if let Ok(at) = at {
                    found.add(self.0[at].2);
                }
            }
        }
        found
    }
}

impl Sets {
    fn add(&mut self, more: Sets) {
        self.allowed |= more.allowed;
        self.denied |= more.denied;
    }

    /// The operations that may be done, with those that others imply.
    fn decided(self) -> u32 {
        let whole = |bits: u32| if bits & Operation::Every.bit() != 0 { EVERYTHING } else { bits };
        let (mut allowed, denied) = (whole(self.allowed), whole(self.denied));
        if allowed & IMPLY_DESCRIBE != 0 {
            allowed |= Operation::Describe.bit();
        }
        if allowed & Operation::AlterConfigs.bit() != 0 {
            allowed |= Operation::DescribeConfigs.bit();
        }
        allowed & !denied
    }
}
