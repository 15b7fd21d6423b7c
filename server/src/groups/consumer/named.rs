//! The names of topics that members of a group are subscribed to: a set that several of them name is kept
//! once.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Sets of names, by their hashes: what a set hashes to is found out once, as it may be long.
#[derive(Debug, Default)]
pub(super) struct Named {
    sets: HashMap<u64, Vec<Arc<BTreeSet<String>>>>,
    hasher: RandomState,
}

impl Named {
    /// The one set that says the same.
    pub(super) fn one_of(&mut self, names: Arc<BTreeSet<String>>) -> Arc<BTreeSet<String>> {
        let sets = self.sets.entry(self.hasher.hash_one(&names)).or_default();
        if let Some(known) = sets.iter().find(|known| ***known == *names) {
            return known.clone();
        }
        sets.push(names.clone());
        names
    }

    /// The sets that somebody has.
    pub(super) fn sets(&self) -> impl Iterator<Item = &Arc<BTreeSet<String>>> {
        let all = self.sets.values().flatten();
        all.filter(|names| Arc::strong_count(names) > 1)
    }

    /// Forgets the sets that nobody has.
    pub(super) fn forget_unused(&mut self) {
        self.sets.retain(|_, sets| {
            sets.retain(|names| Arc::strong_count(names) > 1);
            !sets.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_kept_once_and_as_long_as_somebody_has_it() {
        let set = |names: &[&str]| Arc::new(names.iter().map(|name| (*name).to_owned()).collect());
        let mut named = Named::default();
        let (one, other) = (named.one_of(set(&["a", "b"])), named.one_of(set(&["b", "a"])));
        assert!(Arc::ptr_eq(&one, &other) && !Arc::ptr_eq(&one, &named.one_of(set(&["a"]))));
        named.forget_unused();
        assert_eq!(named.sets.len(), 1);
        drop((one, other));
        named.forget_unused();
        assert!(named.sets.is_empty());
    }
}
