//! The regular expressions that members of a consumer group describe topics with.
//!
//! The syntax is RE2's, which is the crate's but for a few escapes. An expression matches whole names. What
//! it matches is found out when it is needed ([`super::survey`]) and not kept: a client could fill the memory
//! with it, and the log.
//!
//! Kafka keeps what each expression matches as records. They say nothing that is not found out again, and are
//! read only so that they go with their group.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use regex::bytes::{Regex, RegexBuilder};

/// The longest expression, in bytes.
const REGEX_BYTES_MAX: usize = 4096;
/// What an expression may take of the memory, compiled. It bounds the time of a match as well.
const COMPILED_BYTES_MAX: usize = 1 << 17;
/// The most expressions of a group. Members of a group describe the same topics as a rule.
pub(super) const REGEXES_MAX: usize = 100;

/// The expressions of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    /// Those that members use. One out of the log that another broker took and this one does not is `None`
    /// once it is compiled, and matches nothing.
    used: BTreeMap<String, OnceCell<Option<Rc<Regex>>>>,
    /// Those that the log has records of.
    logged: BTreeSet<String>,
}

/// Compiles an expression.
///
/// # Errors
/// What is wrong with it.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Err(format!("it has {} bytes, {REGEX_BYTES_MAX} are the most", pattern.len()));
    }
    // As in RE2, \w and the like are ASCII; names of topics are. Classes of Unicode need the other mode.
    let build = |pattern: &str| {
        let build = |unicode| {
            let mut builder = RegexBuilder::new(pattern);
            builder.unicode(unicode).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).build()
        };
        build(false).or_else(|_| build(true))
    };
    // On its own first: what closes a group that it has not opened would close ours.
    let compiled = build(pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
    // The lines above the last one draw where it is.
    compiled.map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

impl Patterns {
    /// Takes in that the log has a record of an expression.
    pub(super) fn load(&mut self, pattern: String) {
        self.logged.insert(pattern);
    }

    /// Forgets a record of the log.
    pub(super) fn unload(&mut self, pattern: &str) {
        self.logged.remove(pattern);
    }

    /// Takes in an expression that is used, compiled or not.
    pub(super) fn insert(&mut self, pattern: &str, compiled: Option<Regex>) {
        let cell = self.used.entry(pattern.to_owned()).or_default();
        if let Some(compiled) = compiled {
            // It may have been compiled before.
            let _ = cell.set(Some(Rc::new(compiled)));
        }
    }

    /// Forgets the expressions that nobody uses; those that the log has records of.
    pub(super) fn retain(&mut self, is_used: impl Fn(&str) -> bool) -> Vec<String> {
        self.used.retain(|pattern, _| is_used(pattern));
        let gone: Vec<_> = self.logged.iter().filter(|pattern| !is_used(pattern)).cloned().collect();
        gone.iter().for_each(|pattern| self.unload(pattern));
        gone
    }

    /// Whether nobody uses one.
    pub(super) fn are_none(&self) -> bool {
        self.used.is_empty()
    }

    /// Whether there is room for one more, or it is there.
    pub(super) fn have_room_for(&self, pattern: &str) -> bool {
        self.used.len() < REGEXES_MAX || self.used.contains_key(pattern)
    }

    /// An expression that is used, compiled; `None` for one that is not understood.
    pub(super) fn get(&self, pattern: &str) -> Option<Rc<Regex>> {
        let compile = || compile(pattern).ok().map(Rc::new);
        self.used.get(pattern)?.get_or_init(compile).clone()
    }

    /// Whether an expression matches the topic.
    pub(super) fn match_any(&self, topic: &str) -> bool {
        self.used.keys().any(|pattern| self.matches(pattern, topic))
    }

    /// Whether this expression matches the topic.
    pub(super) fn matches(&self, pattern: &str, topic: &str) -> bool {
        self.get(pattern).is_some_and(|regex| regex.is_match(topic.as_bytes()))
    }

    /// Those that the log has records of.
    pub(super) fn logged(&self) -> impl Iterator<Item = &str> {
        self.logged.iter().map(String::as_str)
    }
}
