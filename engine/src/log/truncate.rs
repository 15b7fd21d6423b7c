//! Cutting a log off on purpose, as a replica does whose last batches are not those of its leader (KIP-101).
//!
//! | step | after a crash before the next step is durable, a start |
//! |---|---|
//! | the log is synced, and the checkpoint has its end as the recovery point | finds the log as it was |
//! | the truncation is in the journal: offset, segment, position, and a number that grows with each | cuts the files there, whatever was cut before |
//! | the files are cut, the index of the one that is left in part is removed; the directory is synced | the same |
//! | the checkpoint has the new end as the recovery point, and the number | finds the shorter log, and passes over the truncation |
//!
//! The number orders what the journals have of a log, whichever files and shards it comes from: what was
//! appended before a truncation counts no more once its number is reached (D4). Nothing is appended before
//! the last step: what no journal has would be cut off again. A start writes the journal again before it cuts
//! anything: what it has read there may be in memory only, since the write may have failed (D3).

use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;

use super::open::{Recovery, list, read_compacted, remove_files, segments_of};
use super::{Log, Producers};
use crate::error::{Fault, io_fault};
use crate::format::checkpoint::PartitionCheckpoint;
use crate::format::compacted::Compacted;
use crate::format::journal::Truncation;
use crate::format::names;
use crate::io::{Disk, OpenMode, replace};
use crate::segment::{HeaderScan, OpenFiles, Segment, SegmentEnd};
use crate::types::{Offset, PartitionId, Position, ProducerId, Timestamp};

/// Where a log is going to end, and what it says then.
pub(crate) struct Cut {
    pub(crate) truncation: Truncation,
    producers: Producers,
}

impl<D: Disk> Log<D> {
    /// How often the log was truncated.
    pub(crate) fn truncations(&self) -> u32 {
        self.truncations.get()
    }

    /// What is to be done so that the log ends at `to`, which lies in it, or before the batch that holds
    /// `to`. Changes nothing.
    pub(crate) async fn plan_cut(&self, to: Offset) -> Result<Cut, Fault> {
        let holding = self.segments.borrow().iter().rfind(|segment| segment.base() <= to).cloned();
        let end = match &holding {
            Some(segment) => segment.end_before(to).await?,
            None => SegmentEnd::empty(self.log_start()),
        };
        let segment_base = holding.map_or(self.log_start(), |segment| segment.base());
        let mut truncation = Truncation {
            partition: self.partition,
            truncations: self.truncations.get() + 1,
            end: end.next_offset,
            segment_base,
            position: end.position,
            max_timestamp: end.max_timestamp,
        };
        if truncation.end <= self.log_start() {
            // Nothing is left of the log. What stands before its start goes, too: no row would tell of its
            // leader epochs, and what is appended next may carry older ones.
            let start = self.log_start();
            (truncation.end, truncation.segment_base, truncation.position) = (start, start, Position::ZERO);
            truncation.max_timestamp = Timestamp::NONE;
        }
        let producers = self.producers_before(truncation.end).await?;
        Ok(Cut { truncation, producers })
    }

    /// The producers as they were when the log ended at `end`.
    async fn producers_before(&self, end: Offset) -> Result<Producers, Fault> {
        let mut producers = self.producers.borrow().clone();
        let mut forgotten = producers.roll_back(end);
        forgotten.extend(self.ended_from(end).await?.into_iter().filter(|id| !producers.knows(*id)));
        self.recall(&mut producers, &forgotten, end).await?;
        Ok(producers)
    }

    /// The producers with markers at or behind `end`: of one that was silent for long nothing else tells that
    /// its transaction is open again. What lies behind damage is not known.
    async fn ended_from(&self, end: Offset) -> Result<HashSet<ProducerId>, Fault> {
        let mut ended = HashSet::new();
        let segments = self.segments.borrow().clone();
        for segment in segments.iter().filter(|segment| segment.end().next_offset > end) {
            match ended_in(segment, end, &mut ended).await {
                Err(fault) if !fault.is_damage() => return Err(fault),
                _ => {}
            }
        }
        Ok(ended)
    }

    /// Has the batches before `end` tell of producers of whom nothing else is known.
    async fn recall(
        &self,
        producers: &mut Producers,
        forgotten: &HashSet<ProducerId>,
        end: Offset,
    ) -> Result<(), Fault> {
        if forgotten.is_empty() {
            return Ok(());
        }
        let segments = self.segments.borrow().clone();
        for segment in segments.iter().filter(|segment| segment.base() < end) {
            let mut scan = HeaderScan::new(segment, Position::ZERO, segment.end().position);
            while let Some((header, marker)) = scan.next_with_marker().await? {
                if header.next_offset() > end {
                    break;
                }
                if forgotten.contains(&header.producer_id()) {
                    // The rows of what was aborted before the end stay.
                    producers.note(&header, marker);
                }
            }
        }
        Ok(())
    }

    /// Has the batches before `end` tell of open transactions of producers that are not known: their markers
    /// may have been cut off.
    async fn recall_open(&self, producers: &mut Producers, end: Offset) -> Result<(), Fault> {
        let mut others = Producers::default();
        let segments = self.segments.borrow().clone();
        for segment in segments.iter().filter(|segment| segment.base() < end) {
            let mut scan = HeaderScan::new(segment, Position::ZERO, segment.end().position);
            loop {
                match scan.next_with_marker().await {
                    Ok(Some((header, marker))) if header.next_offset() <= end => {
                        if header.is_transactional() && !producers.knows(header.producer_id()) {
                            others.note(&header, marker);
                        }
                    }
                    Ok(_) => break,
                    Err(fault) if !fault.is_damage() => return Err(fault),
                    Err(fault) => {
                        tracing::error!(%fault, "what stands behind is not known of transactions");
                        break;
                    }
                }
            }
        }
        producers.take_open(others);
        Ok(())
    }

    /// Moves the end of the log back: from here on nobody reads what goes. The journal has the truncation.
    /// What comes back are segments for [`Log::finish_cut`].
    pub(crate) fn begin_cut(&self, cut: Cut) -> Vec<Rc<Segment<D>>> {
        let Cut { truncation, producers } = cut;
        let removed = {
            let mut segments = self.segments.borrow_mut();
            let stays = |base: Offset| match truncation.position {
                Position::ZERO => base < truncation.segment_base && truncation.end > self.log_start(),
                _ => base <= truncation.segment_base,
            };
            let kept = segments.iter().take_while(|segment| stays(segment.base())).count();
            segments.split_off(kept)
        };
        if let Some(last) = self.active().filter(|_| truncation.position > Position::ZERO) {
            last.shorten_indexed(SegmentEnd {
                position: truncation.position,
                next_offset: truncation.end,
                first_timestamp: None,
                max_timestamp: truncation.max_timestamp,
            });
        }
        self.rolled.set(truncation.position == Position::ZERO && self.active().is_some());
        self.home.epochs.cut(truncation.end);
        *self.producers.borrow_mut() = producers;
        self.aborted.forget_from(truncation.end);
        self.truncations.set(truncation.truncations);
        self.acknowledged_end.set(truncation.end);
        removed
    }

    /// Removes what [`Log::begin_cut`] has taken out of the log, durably. Where this fails, the log takes
    /// nothing more, and the next start does it.
    pub(crate) async fn finish_cut(&self, removed: Vec<Rc<Segment<D>>>) -> Result<(), Fault> {
        let cut = async {
            for segment in removed.iter().rev() {
                segment.note_dropped();
                segment.remove().await?;
            }
            if let Some(last) = self.active().filter(|_| !self.rolled.get()) {
                last.cut_shortened().await?;
                last.remove_index().await?;
            }
            self.note_compacted(lowered(self.compacted(), self.end())).await?;
            self.cut_aborted(self.end()).await?;
            let directory = &self.home.directory;
            let synced = self.home.disk.sync_dir(directory).await;
            synced.map_err(|error| io_fault("sync", &**directory, Position::ZERO, error))
        };
        let done = cut.await;
        if let Err(fault) = &done {
            *self.unfinished.borrow_mut() = Some(fault.clone());
        }
        done
    }

    /// Opens the log of which a journal has a truncation that the checkpoint does not know: cuts the files
    /// first.
    pub(crate) async fn open_truncated(
        disk: D,
        files: Rc<OpenFiles<D>>,
        directory: &Path,
        partition: PartitionId,
        point: &PartitionCheckpoint,
        truncation: &Truncation,
    ) -> Result<Recovery<D>, Fault> {
        tracing::info!(directory = %directory.display(), end = %truncation.end, "finishing a truncation");
        let (point, forgotten) = lowered_point(point, truncation);
        cut_files(&disk, directory, &point, truncation).await?;
        let mut recovery = Log::open(disk, files, directory, partition, Some(&point)).await?;
        if recovery.log.damage().is_none() {
            let mut producers = recovery.log.producers.borrow().clone();
            recovery.log.recall(&mut producers, &forgotten, truncation.end).await?;
            recovery.log.recall_open(&mut producers, truncation.end).await?;
            recovery.set_producers(producers);
        }
        Ok(recovery)
    }
}

/// Adds the producers with markers in a segment, at or behind `end`.
async fn ended_in<D: Disk>(
    segment: &Rc<Segment<D>>,
    end: Offset,
    ended: &mut HashSet<ProducerId>,
) -> Result<(), Fault> {
    let Some((position, first)) = segment.locate(end).await? else { return Ok(()) };
    let mut scan = HeaderScan::at(segment, position, first, segment.end().position);
    while let Some((_, header)) = scan.next().await? {
        ended.extend(header.is_control().then(|| header.producer_id()));
    }
    Ok(())
}

/// The recovery point of a log that was cut off, as far as the one from before tells, and the producers of
/// whom that does not tell enough.
fn lowered_point(
    point: &PartitionCheckpoint,
    truncation: &Truncation,
) -> (PartitionCheckpoint, HashSet<ProducerId>) {
    let end = truncation.end;
    let mut producers = Producers::from_checkpoint(&point.producers);
    let forgotten = producers.roll_back(end);
    let lowered = PartitionCheckpoint {
        partition: point.partition,
        log_start: point.log_start.min(end),
        segment_base: truncation.segment_base,
        position: truncation.position,
        next_offset: end,
        max_timestamp: truncation.max_timestamp,
        high_watermark: point.high_watermark.min(end),
        truncations: truncation.truncations,
        last_aborted: point.last_aborted,
        epochs: point.epochs.iter().copied().filter(|row| row.start < end).collect(),
        producers: producers.to_checkpoint(),
    };
    (lowered, forgotten)
}

fn lowered(compacted: Compacted, end: Offset) -> Compacted {
    Compacted {
        compacted_end: compacted.compacted_end.min(end),
        clean_end: compacted.clean_end.min(end),
        gaps_end: compacted.gaps_end.min(end),
    }
}

/// Brings the files of a log that nobody has open to where the truncation ends them, durably.
async fn cut_files<D: Disk>(
    disk: &D,
    directory: &Path,
    point: &PartitionCheckpoint,
    truncation: &Truncation,
) -> Result<(), Fault> {
    let entries = list(disk, directory).await?.unwrap_or_default();
    let (found, _) = segments_of(&entries);
    for segment in found.iter().rev().take_while(|segment| segment.base >= truncation.segment_base) {
        let path = directory.join(names::segment_log(segment.base));
        if segment.base == truncation.segment_base && truncation.position > Position::ZERO {
            if Position(segment.length) > truncation.position {
                let fault = |error| io_fault("truncate", &*path, truncation.position, error);
                let file = disk.open(&path, OpenMode::Existing).await.map_err(fault)?;
                disk.set_len(&file, truncation.position.0).await.map_err(fault)?;
                disk.sync(&file).await.map_err(fault)?;
            }
            // It has entries of what was cut, which would look right again once as much is there as before.
            let index = directory.join(names::segment_index(segment.base));
            match disk.remove_file(&index).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_fault("remove", index, Position::ZERO, error));
                }
                _ => {}
            }
        } else {
            remove_files(disk, directory, segment.base).await?;
        }
    }
    let known = read_compacted(disk, directory, Some(point)).await?;
    let end = lowered(known, truncation.end);
    if end != known {
        let path = directory.join(names::COMPACTED_FILE);
        let written = replace(disk, &path, end.encode()).await;
        written.map_err(|error| io_fault("write", path, Position::ZERO, error))?;
    }
    match disk.sync_dir(directory).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_fault("sync", directory, Position::ZERO, error))
        }
        _ => Ok(()),
    }
}
