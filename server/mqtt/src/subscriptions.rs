//! Who wants which topics: a tree of filters, level by level, so that a message costs the levels of its topic
//! and not the number of subscriptions.
//!
//! ```text
//!  truck/+/position   truck -- + -- position   {a}
//!  truck/7/#                \- 7 -- #          {b}        truck/7/position > a, b
//! ```
//! The tree has a bounded number of nodes. A topic meets each node once at most, whatever the wildcards.

use std::collections::BTreeMap;

/// There is no room for another filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("subscriptions have {nodes_max} nodes already")]
pub struct Full {
    /// The limit.
    pub nodes_max: usize,
}

/// Values by filter and key.
#[derive(Debug)]
pub struct Subscriptions<K, V> {
    root: Node<K, V>,
    nodes: usize,
    nodes_max: usize,
}

#[derive(Debug)]
struct Node<K, V> {
    levels: BTreeMap<Box<str>, Node<K, V>>,
    here: BTreeMap<K, V>,
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Node<K, V> {
        Node { levels: BTreeMap::new(), here: BTreeMap::new() }
    }
}

impl<K, V> Node<K, V> {
    fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.here.is_empty()
    }
}

impl<K: Ord, V> Subscriptions<K, V> {
    /// A tree of at most so many nodes: a filter has one for each of its levels, and shares those that it has
    /// in common with others.
    pub fn new(nodes_max: usize) -> Subscriptions<K, V> {
        Subscriptions { root: Node::default(), nodes: 0, nodes_max }
    }

    /// Nodes that there are.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Adds a filter without its group, or replaces what stands there for the key.
    ///
    /// # Errors
    /// When its nodes would be too many; nothing has changed then.
    pub fn insert(&mut self, pattern: &str, key: K, value: V) -> Result<Option<V>, Full> {
        let mut node = Some(&self.root);
        let new = pattern.split('/').skip_while(|level| {
            node = node.and_then(|node| node.levels.get(*level));
            node.is_some()
        });
        let new = new.count();
        if self.nodes + new > self.nodes_max {
            return Err(Full { nodes_max: self.nodes_max });
        }
        self.nodes += new;
        let mut node = &mut self.root;
        for level in pattern.split('/') {
            node = node.levels.entry(level.into()).or_default();
        }
        Ok(node.here.insert(key, value))
    }

    /// Removes what stands there for the key.
    pub fn remove(&mut self, pattern: &str, key: &K) -> Option<V> {
        let levels: Vec<&str> = pattern.split('/').collect();
        remove(&mut self.root, &levels, key, &mut self.nodes)
    }

    /// Hands over everything whose filter matches the topic.
    pub fn each<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a K, &'a V)) {
        let levels: Vec<&str> = topic.split('/').collect();
        let wild = !topic.starts_with('$');
        each(&self.root, &levels, wild, &mut found);
    }
}

fn remove<K: Ord, V>(node: &mut Node<K, V>, levels: &[&str], key: &K, nodes: &mut usize) -> Option<V> {
    let Some((level, rest)) = levels.split_first() else { return node.here.remove(key) };
    let below = node.levels.get_mut(*level)?;
    let removed = remove(below, rest, key, nodes);
    if below.is_empty() {
        node.levels.remove(*level);
        *nodes -= 1;
    }
    removed
}

fn each<'a, K, V>(node: &'a Node<K, V>, levels: &[&str], wild: bool, found: &mut impl FnMut(&'a K, &'a V)) {
    if wild && let Some(all) = node.levels.get("#") {
        all.here.iter().for_each(|(key, value)| found(key, value));
    }
    let Some((level, rest)) = levels.split_first() else {
        node.here.iter().for_each(|(key, value)| found(key, value));
        return;
    };
    if wild && let Some(any) = node.levels.get("+") {
        each(any, rest, true, found);
    }
    if let Some(same) = node.levels.get(*level) {
        each(same, rest, true, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic;

    fn found(tree: &Subscriptions<u32, ()>, topic: &str) -> Vec<u32> {
        let mut found = Vec::new();
        tree.each(topic, |key, ()| found.push(*key));
        found.sort_unstable();
        found
    }

    #[test]
    fn a_tree_finds_what_each_filter_matches_alone() {
        let mut random = fastrand::Rng::with_seed(4);
        let level = |random: &mut fastrand::Rng, wild: bool| match random.u8(0..if wild { 6 } else { 4 }) {
            0 => "a",
            1 => "b",
            2 => "",
            3 => "$x",
            _ => "+",
        };
        for _ in 0..300 {
            let mut tree = Subscriptions::new(1000);
            let mut all = BTreeMap::new();
            for key in 0..random.u32(0..25) {
                let mut filter: Vec<&str> =
                    (0..random.usize(1..5)).map(|_| level(&mut random, true)).collect();
                if random.u8(0..3) == 0 {
                    filter.push("#");
                }
                let filter = filter.join("/");
                if topic::Filter::parse(&filter).is_ok() {
                    tree.insert(&filter, key, ()).unwrap();
                    all.insert(key, filter);
                }
            }
            for key in (0..25).filter(|_| random.u8(0..4) == 0) {
                if let Some(filter) = all.remove(&key) {
                    assert_eq!(tree.remove(&filter, &key), Some(()));
                    assert_eq!(tree.remove(&filter, &key), None);
                }
            }
            for _ in 0..20 {
                let name: Vec<&str> = (0..random.usize(1..6)).map(|_| level(&mut random, false)).collect();
                let name = name.join("/");
                if topic::is_name(&name) {
                    let naive = all.iter().filter(|(_, filter)| topic::matches(filter, &name));
                    let naive: Vec<u32> = naive.map(|(key, _)| *key).collect();
                    assert_eq!(found(&tree, &name), naive, "{name} in {all:?}");
                }
            }
            assert!(all.iter().all(|(key, filter)| tree.remove(filter, key).is_some()));
            assert_eq!((tree.nodes(), tree.root.is_empty()), (0, true));
        }
    }

    #[test]
    fn a_full_tree_stays_as_it_is() {
        let mut tree = Subscriptions::new(3);
        tree.insert("a/b/c", 1, ()).unwrap();
        assert_eq!(tree.insert("a/x", 2, ()), Err(Full { nodes_max: 3 }));
        assert_eq!((tree.nodes(), found(&tree, "a/x")), (3, vec![]));
        assert_eq!(tree.insert("a/b", 2, ()), Ok(None));
        assert_eq!(found(&tree, "a/b"), [2]);
    }
}
