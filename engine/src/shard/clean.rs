//! Compacting logs: a round of [compaction](crate::compaction) after the other, the dirtiest log first.
//!
//! A round reads, decides and writes beside the log, a batch at a time, in the background queue and within a
//! byte rate; nothing waits for it. What touches the log or its directory is done under the lock of the
//! background, in steps: making a file, and putting it in the place of the segments that it was made of
//! (`log/replace.rs` has the order). Between two steps a topic may be deleted, segments may be dropped and
//! the shard may stop: a round looks, and ends.
//!
//! Only what the checkpoint on the disk has as durable and closed is compacted, so that no recovery and no
//! journal looks at it again; and only what lies before the last stable offset: what is undecided, or may be
//! cut off, stays as it is. The markers that have decided are durable as well, or a crash could open a
//! transaction again of which records are gone.
//!
//! The rows of aborted transactions go once all of their records are gone for good, which is before their
//! markers may go: a round begins with those that the round before could not remove.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;

use super::Shard;
use super::rate::Rate;
use crate::compaction::{
    Behind, Cleaned, Cleaner, HashKeys, OffsetMap, Pace, Part, Round, Row, SealedSegment, Transactions,
    group, plan,
};
use crate::config::{CleanerConfig, TopicConfig};
use crate::error::{Fault, FaultKind};
use crate::format::batch::BatchHeader;
use crate::format::compacted::Compacted;
use crate::io::{Disk, is_no_space, yield_now};
use crate::log::Replacement;
use crate::partition::Partition;
use crate::segment::{BatchScan, Segment};
use crate::sync::Signal;
use crate::types::{Offset, PartitionId, Timestamp};

/// When a shard compacts, and how much of it.
pub(super) struct Cleaning {
    look: Signal,
    shards: usize,
    backoff: Cell<i64>,
    next_look: Cell<Timestamp>,
    map_bytes: Cell<usize>,
    /// What the maps' hashes are keyed with: random, and the number of the map.
    key: u64,
    maps: Cell<u64>,
    rate: Rate,
    /// Since when each log is due that waits for its round, and whether `max.compaction.lag.ms` asks for
    /// that.
    due: RefCell<BTreeMap<PartitionId, (Timestamp, bool)>>,
    pace: Cell<Pace>,
}

/// Why a round has ended early.
enum Stop {
    /// The shard stops, the topic is gone, or a segment was deleted meanwhile: nothing is wrong.
    Overtaken,
    /// A segment would become larger than positions can tell.
    TooLarge,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

impl Cleaning {
    /// `share` is the part of the thread's time that background tasks may take at least.
    pub(super) fn new(
        config: &CleanerConfig,
        shards: usize,
        key: u64,
        share: f64,
        now: Timestamp,
    ) -> Cleaning {
        let cleaning = Cleaning {
            look: Signal::new(),
            shards,
            backoff: Cell::default(),
            next_look: Cell::default(),
            map_bytes: Cell::default(),
            key,
            maps: Cell::new(0),
            rate: Rate::new(config.bytes_per_second / shards as f64, now),
            due: RefCell::default(),
            pace: Cell::new(Pace::new(share, now)),
        };
        cleaning.configure(config, now);
        cleaning
    }

    /// Goes on with other settings; a round that runs keeps its map.
    pub(super) fn configure(&self, config: &CleanerConfig, now: Timestamp) {
        let backoff = i64::try_from(config.backoff.as_millis()).unwrap_or(i64::MAX).max(1);
        self.backoff.set(backoff);
        self.next_look.set(now.plus(backoff));
        self.map_bytes.set(config.map_bytes / self.shards);
        self.rate.change(config.bytes_per_second / self.shards as f64);
    }

    /// Lets more bytes be moved, and logs be looked at when it is time.
    pub(super) fn tick(&self, now: Timestamp) {
        self.rate.tick(now);
        let mut pace = self.pace.get();
        pace.step(self.behind(now), self.backoff.get(), now);
        self.pace.set(pace);
        if now >= self.next_look.get() {
            self.next_look.set(now.plus(self.backoff.get()));
            self.look.notify();
        }
    }

    /// The part of the thread's time that background tasks may take now.
    pub(super) fn share(&self) -> f64 {
        self.pace.get().share()
    }

    /// What waits for its round, also the one that runs.
    pub(super) fn behind(&self, now: Timestamp) -> Behind {
        let due = self.due.borrow();
        let oldest = due.values().map(|(since, _)| *since).min();
        Behind {
            due_ms: oldest.map(|since| now.since(since).max(0)),
            is_overdue: due.values().any(|(_, is_overdue)| *is_overdue),
        }
    }

    /// Takes note of what a look at a log has found.
    fn note_look(&self, id: PartitionId, round: Option<&Round>, now: Timestamp) {
        let mut due = self.due.borrow_mut();
        match round {
            Some(round) => due.entry(id).or_insert((now, false)).1 = round.is_overdue,
            None => drop(due.remove(&id)),
        }
    }

    /// A round has reached its end: what is dirty now has become so since it began.
    fn note_round(&self, id: PartitionId, began: Timestamp) {
        if let Some(due) = self.due.borrow_mut().get_mut(&id) {
            *due = (began, false);
        }
    }

    /// Only what is there waits.
    fn retain_due(&self, is_there: impl Fn(PartitionId) -> bool) {
        self.due.borrow_mut().retain(|id, _| is_there(*id));
    }

    pub(super) fn end(&self) {
        self.look.notify();
        self.rate.end();
    }

    fn new_map(&self, round: &Round) -> OffsetMap {
        let number = self.maps.replace(self.maps.get() + 1);
        let records = (round.end.get() - round.first_dirty.get()) as u64;
        OffsetMap::new(round.first_dirty, records, self.map_bytes.get(), HashKeys(self.key, number))
    }
}

impl<D: Disk> Shard<D> {
    /// Compacts whatever is due, until [`Shard::end_background`].
    pub(super) async fn run_cleaning(&self) {
        while !self.background_ended.get() {
            self.cleaning.look.wait().await;
            // A round that was done may have left more to do: its map was full, or much was appended
            // meanwhile.
            let mut goes_on = true;
            while goes_on {
                goes_on = false;
                for (id, _) in self.due_rounds().await {
                    let began = (self.clock)();
                    let is_done = self.clean(id).await;
                    if is_done {
                        self.cleaning.note_round(id, began);
                    }
                    goes_on |= is_done;
                }
            }
        }
    }

    /// The partitions that are due, the dirtiest first.
    async fn due_rounds(&self) -> Vec<(PartitionId, f64)> {
        let topics = self.topics.get();
        let mut due = Vec::new();
        for topic in topics.iter().filter(|topic| topic.config.compacted) {
            for id in topic.partitions_here().filter(|id| id.shard(self.shards) == self.index) {
                if self.background_ended.get() {
                    return Vec::new();
                }
                match self.due_round(id).await {
                    Ok(round) => {
                        self.cleaning.note_look(id, round.as_ref(), (self.clock)());
                        due.extend(round.map(|round| (id, round.dirty_ratio)));
                    }
                    Err(fault) => {
                        tracing::error!(partition = %id, %fault, "compaction can not read the partition")
                    }
                }
                yield_now().await;
            }
        }
        self.cleaning.retain_due(|id| topics.by_id(id.topic).is_some_and(|topic| topic.config.compacted));
        due.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        due
    }

    /// The round that a partition would be due if all of it were durable.
    async fn due_round(&self, id: PartitionId) -> Result<Option<Round>, Fault> {
        let is_open = self.partitions.borrow().contains_key(&id);
        // A log of one segment has none that is closed: idle partitions stay so.
        if !is_open && self.closed_segments(id).await.len() < 2 {
            return Ok(None);
        }
        let Some(partition) = self.partition(id).await? else { return Ok(None) };
        if partition.check_fence().is_err()
            || partition.log.has_open_replacement()
            || partition.is_uncleanable()
        {
            return Ok(None);
        }
        let end = partition.watermarks().last_stable;
        let config = partition.config();
        let facts = facts(&partition.log.sealed_segments(end), &config).await?;
        let clean_end = partition.log.compacted().clean_end;
        Ok(plan(&facts, clean_end, end, config.compaction, (self.clock)()))
    }

    /// One round of a partition; true when it has reached its end.
    async fn clean(&self, id: PartitionId) -> bool {
        let Some(partition) = self.partitions.borrow().get(&id).cloned() else { return false };
        let truncations = partition.log.truncations();
        match self.clean_round(&partition).await {
            Ok(done) => return done,
            Err(Stop::Overtaken) => {}
            Err(Stop::Fault(fault)) if is_full(&fault) => {
                self.counters.add(|stats| stats.failed_compactions += 1);
                tracing::warn!(partition = %id, %fault, "the disk is full; the log is compacted later");
            }
            Err(Stop::Fault(fault)) if fault.is_shortage() && !partition.log.has_open_replacement() => {
                self.note_shortage(&fault);
            }
            // What is read by name may be another topic's by now.
            Err(_) if partition.is_closed() => {}
            // What was read is not there any more.
            Err(_) if partition.log.truncations() != truncations => {}
            Err(stop) => {
                let why = match &stop {
                    Stop::Fault(fault) => fault.to_string(),
                    _ => "a segment would pass 4 GiB".to_owned(),
                };
                tracing::error!(partition = %id, why, "the log is not compacted until the next start");
                partition.set_uncleanable();
                self.counters.add(|stats| stats.failed_compactions += 1);
            }
        }
        false
    }

    async fn clean_round(&self, partition: &Rc<Partition<D>>) -> Result<bool, Stop> {
        let config = partition.config();
        let last_stable = partition.watermarks().last_stable;
        self.make_cleanable(partition, last_stable).await?;
        let truncations = partition.log.truncations();
        let stable_end =
            partition.checkpointed_base().min(last_stable).min(partition.watermarks().last_stable);
        let segments = partition.log.sealed_segments(stable_end);
        let facts = facts(&segments, &config).await?;
        let clean_end = partition.log.compacted().clean_end;
        let now = (self.clock)();
        let Some(round) = plan(&facts, clean_end, stable_end, config.compaction, now) else {
            return Ok(false);
        };

        self.remove_aborted(partition, clean_end).await?;
        let map = self.read_dirty(partition, &segments, &round).await?;
        let producers = partition.log.last_of_producers();
        let cleaner = Cleaner {
            map: &map,
            producers: &producers,
            now,
            delete_retention_ms: config.delete_retention_ms,
            levels: config.levels,
        };
        let mut transactions = Transactions::default();
        let mut cleaned_end = Offset::ZERO;
        for group in group(&facts, map.end(), config.segment_bytes) {
            let group = &segments[group];
            self.clean_group(partition, group, &cleaner, &mut transactions, &config).await?;
            cleaned_end = group[group.len() - 1].end().next_offset;
        }
        let step = self.step(partition).await?;
        if partition.log.truncations() != truncations {
            return Err(Stop::Overtaken);
        }
        let mut compacted = Compacted { clean_end: map.end(), ..partition.log.compacted() };
        if cleaned_end >= compacted.gaps_end {
            // Those that an older release has left were closed.
            compacted.gaps_end = Offset::ZERO;
        }
        partition.log.note_compacted(compacted).await?;
        drop(step);
        self.remove_aborted(partition, map.end()).await?;
        let now = (self.clock)();
        self.counters.add(|stats| {
            stats.compactions += 1;
            stats.compacted_at = now;
        });
        tracing::debug!(partition = %partition.id, from = %round.first_dirty, to = %map.end(), keys = map.keys(), "compacted");
        Ok(true)
    }

    /// Makes the closed segments before `last_stable` durable, and the checkpoint say so. What has decided
    /// the transactions in them is durable, however relaxed the topic is.
    async fn make_cleanable(&self, partition: &Rc<Partition<D>>, last_stable: Offset) -> Result<(), Stop> {
        let closed = partition.log.sealed_segments(last_stable);
        let wanted = closed.last().map_or(Offset::ZERO, |segment| segment.end().next_offset);
        if wanted <= partition.checkpointed_base() {
            return Ok(());
        }
        let _step = self.step(partition).await?;
        if partition.sync().await.is_err() {
            return Err(Stop::Overtaken);
        }
        // Whoever needs the checkpoint more reports that it can not be written.
        self.write_checkpoint().await.map_err(|_| Stop::Overtaken)
    }

    /// The newest offsets of what is dirty.
    async fn read_dirty(
        &self,
        partition: &Partition<D>,
        segments: &[Rc<Segment<D>>],
        round: &Round,
    ) -> Result<OffsetMap, Stop> {
        let mut map = self.cleaning.new_map(round);
        let mut transactions = Transactions::default();
        let dirty = |segment: &&Rc<Segment<D>>| {
            segment.end().next_offset > round.first_dirty && segment.base() < round.end
        };
        for segment in segments.iter().filter(dirty) {
            let mut scan = BatchScan::new(segment.clone());
            while let Some((position, batch)) = scan.next().await? {
                self.pay_cleaning(batch.len()).await?;
                let noted = match part_of(partition, &mut transactions, &batch).await? {
                    Part::Aborted => map.skip_batch(&batch).map(|()| true),
                    Part::Data | Part::Marker | Part::SpentMarker => map.note_batch(&batch),
                };
                if !noted.map_err(|error| segment.damage(position, error))? {
                    return Ok(map);
                }
            }
        }
        Ok(map)
    }

    /// Puts one segment in the place of several, with what is left of their records.
    async fn clean_group(
        &self,
        partition: &Rc<Partition<D>>,
        segments: &[Rc<Segment<D>>],
        cleaner: &Cleaner<'_>,
        transactions: &mut Transactions,
        config: &TopicConfig,
    ) -> Result<(), Stop> {
        let mut replacement = {
            let _step = self.step(partition).await?;
            partition.log.begin_replacement(segments.to_vec(), config.index_interval_bytes).await?
        };
        let rewritten = self.rewrite(partition, segments, cleaner, transactions, &mut replacement).await;
        let step = self.step(partition).await;
        let counts = match (&rewritten, &step) {
            (Ok(counts), Ok(_)) => *counts,
            _ => None,
        };
        let Some((records, records_left)) = counts else {
            if !partition.is_closed() {
                partition.log.discard_replacement(replacement).await;
            }
            rewritten?;
            return step.map(drop);
        };
        let end = segments[segments.len() - 1].end().next_offset;
        let known = partition.log.compacted();
        let compacted_end = known.compacted_end.max(end);
        if let Err(fault) = partition.log.note_compacted(Compacted { compacted_end, ..known }).await {
            partition.log.discard_replacement(replacement).await;
            return Err(fault.into());
        }
        let bytes = replacement.bytes();
        if !partition.log.replace_segments(replacement).await? {
            return Err(Stop::Overtaken);
        }
        self.counters.add(|stats| {
            stats.compacted_bytes += segments.iter().map(|segment| segment.end().position.0).sum::<u64>();
            stats.compacted_bytes_left += bytes;
            stats.compacted_records += records;
            stats.compacted_records_left += records_left;
        });
        Ok(())
    }

    /// Writes what is left, and gives the records that were read and are left; `None` when that is the same
    /// segment again.
    async fn rewrite(
        &self,
        partition: &Partition<D>,
        segments: &[Rc<Segment<D>>],
        cleaner: &Cleaner<'_>,
        transactions: &mut Transactions,
        replacement: &mut Replacement<D>,
    ) -> Result<Option<(u64, u64)>, Stop> {
        let mut changed = segments.len() > 1;
        let (mut records, mut records_left) = (0, 0);
        let mut row = Row::new(segments[0].base(), cleaner);
        let mut next = segments[0].base();
        for segment in segments {
            let mut scan = BatchScan::new(segment.clone());
            while let Some((position, batch)) = scan.next().await? {
                let part = part_of(partition, transactions, &batch).await?;
                let cleaned = cleaner.clean(&batch, part);
                let cleaned = cleaned.map_err(|error| segment.damage(position, error))?;
                let header = BatchHeader::peek(&batch).expect("the cleaner has verified it");
                // An older release has left a gap: it is closed.
                changed |= header.base_offset() > next;
                next = header.next_offset();
                let left = match cleaned {
                    Cleaned::Same => batch.clone(),
                    Cleaned::Rewritten(left) => {
                        changed = true;
                        left.freeze()
                    }
                    Cleaned::Removed => {
                        changed |= !header.is_filler();
                        row.skip(header);
                        Default::default()
                    }
                };
                records += record_count(&batch);
                records_left += record_count(&left);
                self.pay_cleaning(batch.len() + left.len()).await?;
                if !left.is_empty() {
                    self.write_row(&row.push(left), replacement).await?;
                }
            }
        }
        self.write_row(&row.finish(segments[segments.len() - 1].end().next_offset), replacement).await?;
        Ok(changed.then_some((records, records_left)))
    }

    /// Removes the rows of aborted transactions with a marker before `end`, of which no record is left.
    async fn remove_aborted(&self, partition: &Rc<Partition<D>>, end: Offset) -> Result<(), Stop> {
        let _step = self.step(partition).await?;
        match partition.log.purge_cleaned(end).await {
            // As long as a row is there, its marker is: the next round tries again.
            Err(fault) if is_full(&fault) || fault.is_shortage() => {
                tracing::warn!(partition = %partition.id, %fault, "the rows of aborted transactions stay for the moment");
                Ok(())
            }
            removed => Ok(removed?),
        }
    }

    async fn write_row(&self, row: &[Bytes], replacement: &mut Replacement<D>) -> Result<(), Stop> {
        for batch in row {
            if !replacement.has_room(batch.len()) {
                return Err(Stop::TooLarge);
            }
            replacement.push(&self.disk, batch).await?;
        }
        Ok(())
    }

    /// The lock of the background, unless the round is to end.
    async fn step(&self, partition: &Partition<D>) -> Result<futures_util::lock::MutexGuard<'_, ()>, Stop> {
        let guard = self.background.lock().await;
        let is_over =
            self.background_ended.get() || partition.is_closed() || partition.check_fence().is_err();
        if is_over { Err(Stop::Overtaken) } else { Ok(guard) }
    }

    /// Gives way, and waits until so many bytes may be moved.
    async fn pay_cleaning(&self, bytes: usize) -> Result<(), Stop> {
        if self.cleaning.rate.pay(bytes).await { Ok(()) } else { Err(Stop::Overtaken) }
    }
}

/// What a batch is to a pass over the log.
async fn part_of<D: Disk>(
    partition: &Partition<D>,
    transactions: &mut Transactions,
    batch: &[u8],
) -> Result<Part, Fault> {
    let header = BatchHeader::peek(batch).expect("a scan gives whole batches");
    if let Some((start, end)) = transactions.wants(header) {
        transactions.give(end, partition.log.aborted_rows(start, end).await?);
    }
    Ok(transactions.pass(header))
}

/// What a plan needs to know. Timestamps are looked up only where a lag asks for them.
async fn facts<D: Disk>(
    segments: &[Rc<Segment<D>>],
    config: &TopicConfig,
) -> Result<Vec<SealedSegment>, Fault> {
    let ages_matter = config.compaction.lag_min_ms > 0 || config.compaction.lag_max_ms < i64::MAX;
    let mut facts = Vec::with_capacity(segments.len());
    for segment in segments {
        let max_timestamp = if ages_matter { segment.max_timestamp().await? } else { Timestamp::NONE };
        let end = segment.end();
        facts.push(SealedSegment {
            base: segment.base(),
            next_offset: end.next_offset,
            bytes: end.position.0,
            first_timestamp: end.first_timestamp.unwrap_or(Timestamp::NONE),
            max_timestamp,
        });
    }
    Ok(facts)
}

/// Records of a batch; 0 where there is none.
fn record_count(batch: &[u8]) -> u64 {
    BatchHeader::peek(batch).map_or(0, |header| header.record_count().max(0) as u64)
}

fn is_full(fault: &Fault) -> bool {
    matches!(&**fault, FaultKind::Io { source, .. } if is_no_space(source))
}
