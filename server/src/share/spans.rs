//! Offsets that stand behind each other and have the same to them, as one entry: what share partitions and
//! their stored state are kept in.
//!
//! ```text
//! 10..=14 a | 15..=15 b | 20..=99 a        no two entries overlap, and none could be one with the next
//! ```

use std::collections::BTreeMap;

/// A value for each of some offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spans<T>(BTreeMap<i64, (i64, T)>);

impl<T> Default for Spans<T> {
    fn default() -> Spans<T> {
        Spans(BTreeMap::new())
    }
}

impl<T: Clone + PartialEq> Spans<T> {
    /// Gives these offsets a value, whatever they had. Nothing when `last` is before `first`.
    pub(super) fn set(&mut self, first: i64, last: i64, value: T) {
        if last < first {
            return;
        }
        self.remove(first, last);
        let (mut first, mut last) = (first, last);
        if let Some((before, (end, same))) = self.0.range(..first).next_back()
            && end + 1 == first
            && *same == value
        {
            first = *before;
        }
        if let Some(after) = last.checked_add(1)
            && let Some((end, _)) = self.0.get(&after).filter(|(_, same)| *same == value)
        {
            last = *end;
            self.0.remove(&after);
        }
        self.0.insert(first, (last, value));
    }

    /// Takes the values of these offsets away.
    pub(super) fn remove(&mut self, first: i64, last: i64) {
        if last < first {
            return;
        }
        self.cut(first);
        if let Some(after) = last.checked_add(1) {
            self.cut(after);
        }
        while let Some(at) = self.0.range(first..=last).next().map(|(at, _)| *at) {
            self.0.remove(&at);
        }
    }

    /// Takes the values of all offsets before this one away.
    pub(super) fn remove_before(&mut self, offset: i64) {
        self.cut(offset);
        self.0 = self.0.split_off(&offset);
    }

    /// Has an entry begin at this offset where one covers it.
    fn cut(&mut self, at: i64) {
        let Some((_, entry)) = self.0.range_mut(..at).next_back() else { return };
        if entry.0 >= at {
            let (last, value) = (std::mem::replace(&mut entry.0, at - 1), entry.1.clone());
            self.0.insert(at, (last, value));
        }
    }

    #[cfg(test)]
    /// The value of an offset.
    pub(super) fn get(&self, offset: i64) -> Option<&T> {
        let (_, (last, value)) = self.0.range(..=offset).next_back()?;
        (*last >= offset).then_some(value)
    }

    /// All entries, in their order: first offset, last offset, value.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, i64, &T)> {
        self.0.iter().map(|(first, (last, value))| (*first, *last, value))
    }

    /// What of the entries lies in this range, in their order.
    pub(super) fn within(&self, first: i64, last: i64) -> impl Iterator<Item = (i64, i64, &T)> {
        let before = self.0.range(..first).next_back().filter(|(_, (end, _))| *end >= first);
        let inside = self.0.range(first..=last.max(first));
        let all = before.into_iter().chain(inside).take_while(move |(at, _)| first <= last && **at <= last);
        all.map(move |(at, (end, value))| ((*at).max(first), (*end).min(last), value))
    }

    /// Entries.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn spans_are_what_offsets_with_one_value_each_would_be() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut spans, mut naive) = (Spans::default(), BTreeMap::new());
            for _ in 0..200 {
                let first = rng.i64(0..60);
                let last = first + rng.i64(-1..12);
                match rng.u8(0..8) {
                    0 => {
                        spans.remove(first, last);
                        naive.retain(|at, _| !(first..=last).contains(at));
                    }
                    1 => {
                        spans.remove_before(first / 4);
                        naive.retain(|at, _| *at >= first / 4);
                    }
                    _ => {
                        let value = rng.u8(0..3);
                        spans.set(first, last, value);
                        naive.extend((first..=last).map(|at| (at, value)));
                    }
                }
                let all: Vec<_> = spans
                    .iter()
                    .flat_map(|(first, last, value)| (first..=last).map(move |at| (at, *value)))
                    .collect();
                assert_eq!(all, naive.clone().into_iter().collect::<Vec<_>>(), "seed {seed}");
                let part: Vec<_> = spans
                    .within(first, last)
                    .flat_map(|(first, last, value)| (first..=last).map(move |at| (at, *value)))
                    .collect();
                let expected = naive.iter().filter(|(at, _)| (first..=last).contains(*at));
                let expected: Vec<_> = expected.map(|(at, value)| (*at, *value)).collect();
                assert_eq!(part, expected, "seed {seed}");
                assert_eq!(spans.get(first), naive.get(&first));
                let entries: Vec<_> = spans.iter().collect();
                for pair in entries.windows(2) {
                    let is_one = pair[0].1 + 1 == pair[1].0 && pair[0].2 == pair[1].2;
                    assert!(pair[0].1 < pair[1].0 && !is_one, "seed {seed}: {entries:?}");
                }
            }
        }
    }

    #[test]
    fn the_last_offset_that_there_can_be_is_one() {
        let mut spans = Spans::default();
        spans.set(5, i64::MAX, 1);
        spans.set(7, i64::MAX, 2);
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(5, 6, &1), (7, i64::MAX, &2)]);
        spans.remove(0, i64::MAX);
        assert!(spans.is_empty());
    }
}
