//! The regular expressions that members of a consumer group describe topics with.
//!
//! What an expression matches is found out when it is needed ([`super::survey`]) and not kept: a client could
//! fill the memory with it, and the log. Nor are expressions kept that are ready to be matched, but for those
//! that the shard has used last: each takes a thousand times the room of the request that it came with.
//!
//! Kafka keeps what each expression matches as records. They say nothing that is not found out again, and are
//! read only so that they go with their group.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::expression::{Expression, Letters};

/// What the expressions that are ready take of the memory, for each shard.
const READY_BYTES_MAX: usize = 8 << 20;
/// What each is counted with besides.
const READY_BYTES: usize = 256;
/// The most expressions of a group. Members of a group describe the same topics as a rule.
pub(super) const REGEXES_MAX: usize = 100;

/// The expressions of one group.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    /// Those that members use. One out of the log that another broker took and this one does not matches
    /// nothing.
    used: BTreeSet<Rc<str>>,
    /// Those that the log has records of.
    logged: BTreeSet<String>,
}

/// Those that were used last.
#[derive(Default)]
struct Ready {
    /// Each with the number of its last use.
    all: HashMap<Rc<str>, (Rc<Expression>, u64)>,
    by_use: BTreeMap<u64, Rc<str>>,
    next_use: u64,
    bytes: usize,
}

thread_local! {
    static READY: RefCell<Ready> = RefCell::default();
}

impl Ready {
    fn get(&mut self, pattern: &str) -> Option<Rc<Expression>> {
        let (expression, used) = self.all.get_mut(pattern)?;
        if let Some(text) = self.by_use.remove(used) {
            *used = self.next_use;
            self.by_use.insert(self.next_use, text);
            self.next_use += 1;
        }
        Some(expression.clone())
    }

    fn keep(&mut self, pattern: &str, expression: &Rc<Expression>) {
        let text: Rc<str> = pattern.into();
        self.bytes += bytes(&text, expression);
        self.all.insert(text.clone(), (expression.clone(), self.next_use));
        self.by_use.insert(self.next_use, text);
        self.next_use += 1;
        while self.bytes > READY_BYTES_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
            && let Some((expression, _)) = self.all.remove(&oldest)
        {
            self.bytes -= bytes(&oldest, &expression);
        }
    }
}

fn bytes(pattern: &str, expression: &Expression) -> usize {
    READY_BYTES + pattern.len() + expression.bytes()
}

/// An expression, ready to be matched.
///
/// # Errors
/// What is wrong with it.
pub(super) fn ready(pattern: &str) -> Result<Rc<Expression>, String> {
    if let Some(known) = READY.with_borrow_mut(|ready| ready.get(pattern)) {
        return Ok(known);
    }
    let made = Rc::new(Expression::new(pattern, Letters::Ascii)?);
    READY.with_borrow_mut(|ready| ready.keep(pattern, &made));
    Ok(made)
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

    /// Takes in an expression that is used.
    pub(super) fn insert(&mut self, pattern: &str) {
        if !self.used.contains(pattern) {
            self.used.insert(pattern.into());
        }
    }

    /// Forgets the expressions that nobody uses; those that the log has records of.
    pub(super) fn retain(&mut self, is_used: impl Fn(&str) -> bool) -> Vec<String> {
        self.used.retain(|pattern| is_used(pattern));
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
        self.used.len() < REGEXES_MAX || self.used.contains(pattern)
    }

    /// The text of an expression that is used, which is kept once.
    pub(super) fn get(&self, pattern: &str) -> Option<Rc<str>> {
        self.used.get(pattern).cloned()
    }

    /// Which of these topics an expression matches. Each expression is made ready once.
    pub(super) fn matched<'a>(&self, topics: &[&'a str]) -> Vec<&'a str> {
        let mut matched: Vec<&str> = Vec::new();
        for pattern in &self.used {
            if let Ok(expression) = ready(pattern) {
                matched.extend(topics.iter().filter(|topic| expression.matches(topic)));
            }
        }
        matched
    }

    /// Whether this expression matches the topic.
    pub(super) fn matches(&self, pattern: &str, topic: &str) -> bool {
        self.used.contains(pattern) && ready(pattern).is_ok_and(|expression| expression.matches(topic))
    }

    /// Those that the log has records of.
    pub(super) fn logged(&self) -> impl Iterator<Item = &str> {
        self.logged.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_expressions_that_are_ready_take_a_bounded_room_and_the_newest_stay() {
        let mut ready = Ready::default();
        let text = |at: usize| format!("[a-y]{{30,60}}{at}");
        let made = Rc::new(Expression::new(&text(0), Letters::Ascii).unwrap());
        let each = bytes(&text(1000), &made);
        for at in 0..3 * READY_BYTES_MAX / each {
            ready.keep(&text(at), &made);
            assert!(ready.get(&text(0)).is_some(), "it is used all the time");
            assert!(ready.bytes <= READY_BYTES_MAX);
        }
        assert!(ready.get(&text(1)).is_none());
        let counted: usize = ready.all.iter().map(|(text, (made, _))| bytes(text, made)).sum();
        assert_eq!((counted, ready.all.len()), (ready.bytes, ready.by_use.len()));
    }
}
