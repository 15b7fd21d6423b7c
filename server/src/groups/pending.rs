//! The offsets that open transactions have for one group: they count when the transaction is committed, and
//! never when it is aborted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use strandline_engine::types::ProducerId;

use super::offsets::{Committed, Offsets};

/// The pending offsets of a group, by the producer whose transaction they are of. Several may have one of the
/// same partition.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// None is empty.
    producers: BTreeMap<ProducerId, Offsets>,
    /// How many of them have an offset of each partition; none is 0.
    counts: HashMap<String, BTreeMap<i32, usize>>,
}

impl Pending {
    /// Takes an offset in, in the place of what the producer had of the partition.
    pub fn put(&mut self, producer: ProducerId, topic: String, partition: i32, committed: Committed) {
        let before = self.producers.entry(producer).or_default().put(topic.clone(), partition, committed);
        if before.is_none() {
            *self.counts.entry(topic).or_default().entry(partition).or_default() += 1;
        }
    }

    /// Forgets what is pending of a partition, of every producer.
    pub fn remove(&mut self, topic: &str, partition: i32) {
        if !self.contains(topic, partition) {
            return;
        }
        let counts = self.counts.get_mut(topic).expect("it holds the partition");
        counts.remove(&partition);
        if counts.is_empty() {
            self.counts.remove(topic);
        }
        self.producers.retain(|_, offsets| {
            offsets.remove(topic, partition);
            !offsets.is_empty()
        });
    }

    /// Takes out what a producer has, as its transaction has ended.
    pub fn take(&mut self, producer: ProducerId) -> Option<Offsets> {
        let taken = self.producers.remove(&producer)?;
        for (topic, partitions) in taken.topics() {
            partitions.keys().for_each(|partition| self.uncount(topic, *partition));
        }
        Some(taken)
    }

    /// Counts one offset of a partition out.
    fn uncount(&mut self, topic: &str, partition: i32) {
        let counts = self.counts.get_mut(topic).expect("it was counted in");
        let count = counts.get_mut(&partition).expect("it was counted in");
        *count -= 1;
        if *count == 0 {
            counts.remove(&partition);
        }
        if counts.is_empty() {
            self.counts.remove(topic);
        }
    }

    /// Whether an open transaction has an offset of the partition.
    pub fn contains(&self, topic: &str, partition: i32) -> bool {
        self.counts.get(topic).is_some_and(|counts| counts.contains_key(&partition))
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The partitions of the topics that `chosen` picks, each once.
    pub fn partitions_of(&self, chosen: impl Fn(&str) -> bool) -> BTreeSet<(String, i32)> {
        let topics = self.counts.iter().filter(|(topic, _)| chosen(topic));
        topics.flat_map(|(topic, of)| of.keys().map(|partition| (topic.clone(), *partition))).collect()
    }
}

#[cfg(test)]
mod tests {
    use strandline_engine::types::Offset;

    use super::*;

    fn at(offset: i64) -> Committed {
        Committed { value: Default::default(), record: Offset::new(offset) }
    }

    #[test]
    fn several_producers_have_pending_offsets_of_one_partition_and_each_goes_for_itself() {
        let mut pending = Pending::default();
        for producer in [1, 2] {
            pending.put(ProducerId(producer), "t".to_owned(), 0, at(producer));
        }
        for record in [3, 4] {
            pending.put(ProducerId(2), "u".to_owned(), 7, at(record));
        }
        let all = pending.partitions_of(|_| true).into_iter().collect::<Vec<_>>();
        assert_eq!(all, [("t".to_owned(), 0), ("u".to_owned(), 7)]);
        let taken = pending.take(ProducerId(1)).unwrap();
        assert_eq!(taken.get("t", 0).unwrap().record, Offset::new(1));
        assert!(pending.take(ProducerId(1)).is_none() && pending.contains("t", 0));
        pending.take(ProducerId(2)).unwrap();
        assert!(pending.is_empty() && !pending.contains("u", 7));
    }

    #[test]
    fn a_removed_partition_is_pending_for_nobody() {
        let mut pending = Pending::default();
        for producer in [1, 2] {
            pending.put(ProducerId(producer), "t".to_owned(), 0, at(producer));
        }
        pending.put(ProducerId(2), "t".to_owned(), 1, at(3));
        pending.remove("t", 0);
        assert!(!pending.contains("t", 0) && pending.contains("t", 1));
        pending.remove("t", 1);
        assert!(pending.is_empty());
    }
}
