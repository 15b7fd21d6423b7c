//! Members that are gone and may not be gone from the log: a write that says so can fail, and then the next
//! one has to say it again.
//!
//! A group notes who has gone, numbers its writes, and hears of them in the order of the log. What a write
//! has said that is durable is forgotten, also while others are on their way: a group that is never at rest
//! keeps no more than what its writes on their way say (D11).

use std::collections::{BTreeMap, BTreeSet};

/// Ids of members, by the number of the first write that says that they are gone.
#[derive(Debug, Default)]
pub(super) struct Removed {
    next_write: u64,
    by_write: BTreeMap<u64, BTreeSet<String>>,
}

impl Removed {
    /// A member goes; the next write says so.
    pub(super) fn note(&mut self, id: &str) {
        self.by_write.entry(self.next_write).or_default().insert(id.to_owned());
    }

    /// The number of a write, which says all that was noted until now.
    pub(super) fn begin_write(&mut self) -> u64 {
        self.next_write += 1;
        self.next_write - 1
    }

    /// A write has become durable, and all before it.
    pub(super) fn stored(&mut self, write: u64) {
        self.by_write = self.by_write.split_off(&(write + 1));
    }

    /// All of it is said again, with the next write.
    pub(super) fn say_again(&mut self) {
        let all = std::mem::take(&mut self.by_write).into_values().flatten().collect::<BTreeSet<_>>();
        if !all.is_empty() {
            self.by_write.insert(self.next_write, all);
        }
    }

    /// Whether the member may be in the log still.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_write.values().any(|ids| ids.contains(id))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &String> {
        self.by_write.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_durable_write_has_said_is_forgotten_and_nothing_else() {
        let mut removed = Removed::default();
        removed.note("a");
        let first = removed.begin_write();
        removed.note("b");
        let second = removed.begin_write();
        removed.note("c");
        removed.stored(first);
        assert_eq!(removed.iter().collect::<Vec<_>>(), ["b", "c"]);
        assert!(removed.contains("b") && !removed.contains("a"));
        removed.say_again();
        removed.stored(second);
        assert_eq!(removed.iter().collect::<Vec<_>>(), ["b", "c"], "the next write says it again");
        let third = removed.begin_write();
        removed.stored(third);
        assert_eq!(removed.iter().count(), 0);
    }
}
