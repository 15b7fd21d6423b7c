//! Looking through the partitions of a topic: from where, for what, and how far one look goes.
//!
//! A look takes turns: from each partition a piece at a time, until it has as many records as are wanted, has
//! read [`LOOK_BYTES_MAX`], or has taken [`LOOK_TIME_MAX`]. It says how far it has come, and the next one
//! goes on there.

use std::ops::ControlFlow;
use std::time::Duration;

use memchr::memmem;
use serde::Deserialize;
use strandline_engine::Isolation;
use strandline_protocol::messages::MetadataResponseTopic;
use tokio::time::Instant;

use crate::fronts::http::ask::Asker;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::records::{Record, walk};
use crate::fronts::http::topics::{Moment, Wanted, no_partition};

/// Partitions that are looked through together.
pub(super) const PARTITIONS_MAX: usize = 64;

/// Bytes of batches that one look reads at most, and how long it takes at most.
const LOOK_BYTES_MAX: usize = 8 << 20;
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// Bytes of a piece.
const PIECE_BYTES: usize = 128 << 10;

/// With a filter, the end of a partition is that many offsets.
const END_OFFSETS: i64 = 10_000;

/// Longest text of a field, and so of what is looked for.
const FIELD_BYTES_MAX: usize = 256;

/// What is asked for, as it stands behind the question mark.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// A partition, or all of them.
    #[serde(default)]
    pub(super) partition: String,
    /// `end`, `start`, `offset`, `time` or `at`.
    #[serde(default)]
    pub(super) from: String,
    /// The offset, where it is `offset`.
    #[serde(default)]
    pub(super) offset: String,
    /// The time, where it is `time`: milliseconds since 1970, or as RFC 3339 has it.
    #[serde(default)]
    pub(super) time: String,
    /// Where it is `at`: `PARTITION:OFFSET`, with commas.
    #[serde(default)]
    pub(super) at: String,
    /// What keys have in them.
    #[serde(default)]
    pub(super) key: String,
    /// What values have in them.
    #[serde(default)]
    pub(super) text: String,
}

/// What records have to have in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    key: String,
    text: String,
}

impl Filter {
    fn is_any(&self) -> bool {
        self.key.is_empty() && self.text.is_empty()
    }

    fn takes(&self, record: &Record<'_>) -> bool {
        let has = |part: Option<&[u8]>, wanted: &str| {
            wanted.is_empty() || part.is_some_and(|part| memmem::find(part, wanted.as_bytes()).is_some())
        };
        has(record.key, &self.key) && has(record.value, &self.text)
    }
}

/// What becomes of a record that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is taken, and there may be more.
    Taken,
    /// It is taken, and is the last one.
    Last,
    /// It is not taken: the next look begins with it.
    Left,
}

/// Partitions, each with the offset that is next.
pub(super) type Positions = Vec<(i32, i64)>;

/// Where to look, and what for.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) topic: String,
    pub(super) positions: Positions,
    /// Where the partitions end: what has no record is not read. Nothing where a look goes on with what
    /// comes.
    pub(super) ends: Vec<i64>,
    pub(super) filter: Filter,
    /// Whether the newest records come first.
    pub(super) is_newest_first: bool,
    /// Whether there are more partitions than are looked through.
    pub(super) is_part: bool,
}

/// How far a look has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    /// Records that were looked at.
    pub(super) records: u64,
    /// Whether everything was, up to the ends.
    pub(super) is_done: bool,
}

fn wrong(words: impl Into<String>) -> Problem {
    Problem::invalid(9, words)
}

/// Positions as they stand in a link.
pub(super) fn written(positions: &[(i32, i64)]) -> String {
    let each: Vec<String> = positions.iter().map(|(index, offset)| format!("{index}:{offset}")).collect();
    each.join(",")
}

/// The positions that a link has.
///
/// # Errors
/// When it has none, or too many.
pub(super) fn read_positions(text: &str) -> Result<Positions, Problem> {
    let read = |pair: &str| {
        let (index, offset) = pair.split_once(':')?;
        let (index, offset) = (index.parse::<i32>().ok()?, offset.parse::<i64>().ok()?);
        (index >= 0 && offset >= 0).then_some((index, offset))
    };
    let found: Option<Positions> = text.split(',').take(PARTITIONS_MAX + 1).map(read).collect();
    let found = found.ok_or_else(|| wrong("positions are written as PARTITION:OFFSET, with commas"))?;
    if found.len() > PARTITIONS_MAX {
        return Err(wrong(format!("at most {PARTITIONS_MAX} partitions are looked through together")));
    }
    Ok(found)
}

/// A time, in milliseconds since 1970.
///
/// # Errors
/// When it is none.
pub(super) fn time(text: &str) -> Result<i64, Problem> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    // Without a zone it is UTC, as the page says.
    let bare = text.strip_suffix('Z').unwrap_or(text);
    let with_seconds = if bare.matches(':').count() == 1 { format!("{bare}:00") } else { bare.to_owned() };
    let parsed = humantime::parse_rfc3339_weak(&with_seconds);
    let parsed =
        parsed.map_err(|_| wrong("a time is milliseconds since 1970, or like 2026-03-01T12:00:00Z"))?;
    let since = parsed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Asked {
    /// What records have to have in them.
    ///
    /// # Errors
    /// When it, or another field, is too long.
    pub(super) fn filter(&self) -> Result<Filter, Problem> {
        let all = [&self.partition, &self.from, &self.offset, &self.time, &self.key, &self.text];
        if all.iter().any(|field| field.len() > FIELD_BYTES_MAX) {
            return Err(wrong(format!("a field has at most {FIELD_BYTES_MAX} bytes")));
        }
        Ok(Filter { key: self.key.clone(), text: self.text.clone() })
    }

    /// The partitions that are meant, and whether those are not all.
    fn partitions(&self, topic: &MetadataResponseTopic) -> Result<(Vec<i32>, bool), Problem> {
        let count = topic.partitions.len();
        let name = topic.name.as_deref().unwrap_or_default();
        match self.partition.as_str() {
            "" | "all" => Ok(((0..count.min(PARTITIONS_MAX) as i32).collect(), count > PARTITIONS_MAX)),
            index => {
                let index = index.parse::<i32>().map_err(|_| wrong("a partition is a number"))?;
                let has = (0..count as i32).contains(&index);
                has.then_some((vec![index], false)).ok_or_else(|| no_partition(name, index))
            }
        }
    }

    /// Where to look, and what for; `count` records are wanted.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn look(
        &self,
        asker: &Asker,
        topic: &MetadataResponseTopic,
        count: usize,
    ) -> Result<Look, Problem> {
        let name = topic.name.clone().unwrap_or_default();
        let filter = self.filter()?;
        let given = if self.from == "at" { read_positions(&self.at)? } else { Vec::new() };
        let has = |index: i32| topic.partitions.iter().any(|it| it.partition_index == index);
        if let Some((index, _)) = given.iter().find(|(index, _)| !has(*index)) {
            return Err(no_partition(&name, *index));
        }
        let (indexes, is_part) = match given.is_empty() {
            true => self.partitions(topic)?,
            false => (given.iter().map(|(index, _)| *index).collect(), false),
        };
        let of: Vec<(&str, i32)> = indexes.iter().map(|index| (name.as_str(), *index)).collect();
        let read = Isolation::ReadUncommitted;
        let starts = asker.offsets(&of, Moment::Earliest, read).await?;
        let ends = asker.offsets(&of, Moment::Latest, read).await?;
        let begins: Vec<Option<i64>> = match self.from.as_str() {
            "" | "end" => {
                let each = if filter.is_any() { count.div_ceil(of.len().max(1)) as i64 } else { END_OFFSETS };
                ends.iter().map(|end| Some(end.unwrap_or(0) - each)).collect()
            }
            "start" => vec![Some(0); of.len()],
            "at" => given.iter().map(|(_, offset)| Some(*offset)).collect(),
            "offset" => {
                let offset = self.offset.trim().parse::<i64>().map_err(|_| wrong("an offset is a number"))?;
                vec![Some(offset); of.len()]
            }
            "time" => asker.offsets(&of, Moment::Time(time(&self.time)?), read).await?,
            _ => return Err(wrong("from is end, start, offset, time or at")),
        };
        let position = |(at, index): (usize, &i32)| {
            let (start, end) = (starts[at].unwrap_or(0), ends[at].unwrap_or(0));
            // Nothing is as new: what comes next will be.
            (*index, begins[at].unwrap_or(end).clamp(start, end.max(start)))
        };
        let positions = indexes.iter().enumerate().map(position).collect();
        let ends = ends.into_iter().map(|end| end.unwrap_or(0)).collect();
        let is_newest_first = matches!(self.from.as_str(), "" | "end");
        Ok(Look { topic: name, positions, ends, filter, is_newest_first, is_part })
    }
}

impl Look {
    /// Looks on, until it has `wanted` records; each is given to `found`, which says what becomes of it.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn on(
        &mut self,
        asker: &Asker,
        wanted: usize,
        found: &mut (dyn FnMut(&Record<'_>) -> Result<Found, Problem> + Send),
    ) -> Result<Looked, Problem> {
        let give_up = Instant::now() + LOOK_TIME_MAX;
        let (mut looked, mut bytes, mut taken) = (Looked::default(), 0, 0);
        let has_more = |at: &usize| self.ends.get(*at).is_none_or(|end| self.positions[*at].1 < *end);
        let mut open: Vec<usize> = (0..self.positions.len()).filter(has_more).collect();
        let mut is_enough = false;
        while !open.is_empty() {
            let mut still_open = Vec::with_capacity(open.len());
            for at in &open {
                if is_enough || taken >= wanted || bytes >= LOOK_BYTES_MAX || Instant::now() >= give_up {
                    return Ok(looked);
                }
                let (partition, position) = &mut self.positions[*at];
                let like = Wanted {
                    topic: &self.topic,
                    partition: *partition,
                    offset: *position,
                    bytes_max: PIECE_BYTES,
                    isolation: Isolation::ReadUncommitted,
                };
                let (data, _room) = asker.read_now(&like).await?;
                bytes += data.records.len();
                let (before, share) = (*position, (wanted - taken).div_ceil(open.len()));
                let (filter, mut of_piece) = (&self.filter, 0);
                let flow = walk(*partition, &data.records, None, position, &mut |record| {
                    if of_piece >= share || is_enough {
                        return Ok(ControlFlow::Break(()));
                    }
                    if filter.takes(record) {
                        let became = found(record)?;
                        is_enough = became != Found::Taken;
                        if became == Found::Left {
                            return Ok(ControlFlow::Break(()));
                        }
                        of_piece += 1;
                    }
                    looked.records += 1;
                    Ok(ControlFlow::Continue(()))
                })?;
                taken += of_piece;
                if flow.is_break() || *position > before {
                    still_open.push(*at);
                }
            }
            open = still_open;
        }
        looked.is_done = open.is_empty();
        Ok(looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written_and_nothing_else_is() {
        let positions = vec![(0, 7), (12, i64::MAX)];
        assert_eq!(read_positions(&written(&positions)).unwrap(), positions);
        for text in ["", "1", "1:", "-1:0", "0:-1", "0:1,", "0:1;1:2", "x:y"] {
            assert!(read_positions(text).is_err(), "{text}");
        }
        assert!(read_positions(&vec!["0:0"; PARTITIONS_MAX].join(",")).is_ok());
        assert!(read_positions(&vec!["0:0"; PARTITIONS_MAX + 1].join(",")).is_err());
    }

    #[test]
    fn a_time_is_a_number_or_a_date_with_or_without_its_zone() {
        for text in ["1772366400000", "2026-03-01T12:00:00Z", "2026-03-01T12:00", " 2026-03-01T12:00:00 "] {
            assert_eq!(time(text).unwrap(), 1_772_366_400_000, "{text}");
        }
        assert!(time("yesterday").is_err() && time("").is_err());
    }
}
