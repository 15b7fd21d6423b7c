//! The regular expressions that members of a consumer group describe topics with, and what they match.
//!
//! The syntax is RE2's, which is the crate's but for a few escapes. An expression matches whole names.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};
use strandline_engine::topics::TopicTable;

/// The longest expression, in bytes.
const REGEX_BYTES_MAX: usize = 4096;
/// What an expression may take of the memory, compiled.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The expressions of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns(BTreeMap<String, Pattern>);

#[derive(Clone, Debug)]
struct Pattern {
    /// `None` when it was read from the log and has not been used.
    regex: Option<Regex>,
    topics: BTreeSet<String>,
}

/// Compiles an expression.
///
/// # Errors
/// What is wrong with it.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Err(format!("it has {} bytes, {REGEX_BYTES_MAX} are the most", pattern.len()));
    }
    // On its own first: what closes a group that it has not opened would close ours.
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build();
    let compiled = build(pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
    // The lines above the last one draw where it is.
    compiled.map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

impl Patterns {
    /// Takes in what the log says that an expression matches.
    pub(super) fn load(&mut self, pattern: String, topics: impl IntoIterator<Item = String>) {
        self.0.insert(pattern, Pattern { regex: None, topics: topics.into_iter().collect() });
    }

    /// Takes in an expression of which the log says nothing.
    pub(super) fn load_missing(&mut self, pattern: String) {
        self.0.entry(pattern).or_insert(Pattern { regex: None, topics: BTreeSet::new() });
    }

    /// Forgets an expression.
    pub(super) fn remove(&mut self, pattern: &str) {
        self.0.remove(pattern);
    }

    /// The topics that an expression matches, as far as has been found out.
    pub(super) fn topics(&self, pattern: &str) -> impl Iterator<Item = &str> {
        self.0.get(pattern).into_iter().flat_map(|found| found.topics.iter().map(String::as_str))
    }

    /// Whether an expression matches the topic.
    pub(super) fn contain(&self, topic: &str) -> bool {
        self.0.values().any(|pattern| pattern.topics.contains(topic))
    }

    /// Goes by these topics, with one more expression; those whose topics are others now.
    pub(super) fn resolve(&mut self, table: &TopicTable, more: Option<(String, Regex)>) -> Vec<String> {
        let mut changed = Vec::new();
        if let Some((pattern, regex)) = more
            && !self.0.contains_key(&pattern)
        {
            changed.push(pattern.clone());
            self.0.insert(pattern, Pattern { regex: Some(regex), topics: BTreeSet::new() });
        }
        for (text, pattern) in &mut self.0 {
            // One out of the log that another broker took and this one does not matches nothing.
            pattern.regex = pattern.regex.take().or_else(|| compile(text).ok());
            let Some(regex) = &pattern.regex else { continue };
            let matching = table.iter().filter(|topic| regex.is_match(&topic.name));
            let topics: BTreeSet<_> = matching.map(|topic| topic.name.clone()).collect();
            if topics != pattern.topics {
                pattern.topics = topics;
                changed.push(text.clone());
            }
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// The expressions.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
