//! The committed offsets of one group, and when they expire.

use std::collections::{BTreeMap, HashSet};

use strandline_engine::types::Offset;

use super::records::OffsetValue;

/// The committed offsets of a group, by topic and partition.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, Committed>>,
}

/// An offset, and where the log has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// What was committed.
    pub value: OffsetValue,
    /// The offset of the record that says so: of two, the later counts.
    pub record: Offset,
}

/// From when on the retention of a group's offsets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// The moment that the group became empty.
    EmptySince(i64),
    /// Each offset's commit.
    Commit,
    /// Nothing expires: the group's members may still want it.
    None,
}

impl Offsets {
    /// Takes a committed offset in, and gives back what it takes the place of.
    pub fn put(&mut self, topic: String, partition: i32, committed: Committed) -> Option<Committed> {
        self.topics.entry(topic).or_default().insert(partition, committed)
    }

    /// Takes in the offsets of a transaction that is committed, but for those of which a later record says
    /// something else: it may be all that compaction has left of them (as in Kafka).
    pub fn commit(&mut self, pending: Offsets) {
        for (topic, partitions) in pending.topics {
            let own = self.topics.entry(topic).or_default();
            for (partition, committed) in partitions {
                if own.get(&partition).is_none_or(|there| there.record < committed.record) {
                    own.insert(partition, committed);
                }
            }
        }
    }

    /// Forgets an offset.
    pub fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// The offset of a partition.
    pub fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.topics.get(topic)?.get(&partition)
    }

    /// Whether nothing is committed.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// All offsets, in the order of topics and partitions.
    pub fn topics(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, Committed>)> {
        self.topics.iter().map(|(topic, partitions)| (topic.as_str(), partitions))
    }

    /// The partitions of the topics that `chosen` picks.
    pub fn partitions_of(&self, chosen: impl Fn(&str) -> bool) -> Vec<(String, i32)> {
        let topics = self.topics.iter().filter(|(topic, _)| chosen(topic));
        topics.flat_map(|(topic, of)| of.keys().map(|partition| (topic.clone(), *partition))).collect()
    }

    /// What has expired at `now`: `retention_ms` after what `retention` says, or at the offset's own time
    /// where it has one. Topics that the group is subscribed to are kept.
    pub fn expired(
        &self,
        now: i64,
        retention_ms: i64,
        retention: Retention,
        subscribed: impl for<'a> Fn(&[&'a str]) -> HashSet<&'a str>,
    ) -> Vec<(String, i32)> {
        let is_over = |Committed { value, .. }: &Committed| {
            let base = match retention {
                _ if value.expire_timestamp != -1 => return now >= value.expire_timestamp,
                Retention::EmptySince(since) => since,
                Retention::Commit => value.commit_timestamp,
                Retention::None => return false,
            };
            now.saturating_sub(base) >= retention_ms
        };
        if retention == Retention::None {
            return Vec::new();
        }
        let over = self.topics.iter().map(|(topic, of)| {
            let over = of.iter().filter(|(_, committed)| is_over(committed));
            (topic.as_str(), over.map(|(partition, _)| *partition).collect::<Vec<_>>())
        });
        let over: Vec<_> = over.filter(|(_, partitions)| !partitions.is_empty()).collect();
        // It may be long to find out who reads them.
        let topics: Vec<_> = over.iter().map(|(topic, _)| *topic).collect();
        let kept = if topics.is_empty() { HashSet::new() } else { subscribed(&topics) };
        let gone = over.into_iter().filter(|(topic, _)| !kept.contains(topic));
        let gone = gone.flat_map(|(topic, partitions)| {
            partitions.into_iter().map(move |partition| (topic.to_owned(), partition))
        });
        gone.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(at: i64, expire_timestamp: i64) -> Committed {
        let value = OffsetValue { offset: 1, commit_timestamp: at, expire_timestamp, ..Default::default() };
        Committed { value, record: Offset::ZERO }
    }

    fn recorded(offset: i64, record: i64) -> Committed {
        Committed { value: OffsetValue { offset, ..Default::default() }, record: Offset::new(record) }
    }

    fn offsets() -> Offsets {
        let mut offsets = Offsets::default();
        offsets.put("a".to_owned(), 0, committed(100, -1));
        offsets.put("a".to_owned(), 1, committed(200, -1));
        offsets.put("b".to_owned(), 0, committed(100, 150));
        offsets
    }

    fn expired(now: i64, retention: Retention, subscribed: &str) -> Vec<String> {
        let expired = offsets().expired(now, 1000, retention, |topics| {
            topics.iter().copied().filter(|topic| *topic == subscribed).collect()
        });
        expired.into_iter().map(|(topic, partition)| format!("{topic}{partition}")).collect()
    }

    #[test]
    fn offsets_expire_a_retention_after_their_commit_or_the_end_of_the_group() {
        assert_eq!(expired(1099, Retention::Commit, "b"), [""; 0]);
        assert_eq!(expired(1100, Retention::Commit, "b"), ["a0"]);
        assert_eq!(expired(1200, Retention::Commit, "b"), ["a0", "a1"]);
        assert_eq!(expired(1499, Retention::EmptySince(500), "b"), [""; 0]);
        assert_eq!(expired(1500, Retention::EmptySince(500), "b"), ["a0", "a1"]);
        assert_eq!(expired(i64::MAX, Retention::None, ""), [""; 0]);
    }

    #[test]
    fn an_offset_with_its_own_time_expires_then() {
        assert_eq!(expired(149, Retention::Commit, ""), [""; 0]);
        assert_eq!(expired(150, Retention::EmptySince(149), ""), ["b0"]);
    }

    #[test]
    fn topics_that_are_subscribed_to_are_kept() {
        assert_eq!(expired(5000, Retention::Commit, "a"), ["b0"]);
    }

    #[test]
    fn a_removed_offset_leaves_nothing() {
        let mut offsets = offsets();
        for (topic, partition) in offsets.partitions_of(|topic| topic == "a") {
            offsets.remove(&topic, partition);
        }
        offsets.remove("b", 9);
        assert!(offsets.get("a", 0).is_none() && offsets.get("b", 0).is_some());
        offsets.remove("b", 0);
        assert!(offsets.is_empty());
    }

    #[test]
    fn d10_of_a_commit_and_a_transaction_the_later_record_counts_whichever_is_committed_last() {
        let mut offsets = Offsets::default();
        offsets.put("t".to_owned(), 0, recorded(5, 10));
        offsets.put("t".to_owned(), 1, recorded(6, 20));
        let mut pending = Offsets::default();
        for partition in 0..3 {
            pending.put("t".to_owned(), partition, recorded(7, 15));
        }
        offsets.commit(pending);
        let now = [0, 1, 2].map(|partition| offsets.get("t", partition).unwrap().value.offset);
        assert_eq!(now, [7, 6, 7]);
    }
}
