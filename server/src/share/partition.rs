//! A share partition: a partition of a topic for a share group, and which of its records somebody has. Pure:
//! time is an argument, and what must be durable leaves as a [`StateWrite`].
//!
//! ```text
//!  log     ... done with ... | start ...... records of the window ...... end | not given out yet ...
//!
//!                acquire                  acknowledge            the write has settled
//!  Available ---------------> Acquired ---------------> Settling ----------------> Acknowledged, Archived
//!      ^                        |  ^                       |   |
//!      |   lock expired,        |  |  the write was not    |   |  released, and may be given out again
//!      +---- session closed ----+  +------ taken ----------+   |
//!      ^                                                       |
//!      +-------------------------------------------------------+
//!
//!  Settling, Acquired ---------> Archiving ---------> Archived       where the group has a dead letter queue
//!      rejected; delivered too often     its dead letter is durable
//! ```
//!
//! * Every offset from `start` to `end` is in exactly one of these states. The window is never longer than
//!   `group.share.partition.max.record.locks`, but for offsets without records (a compacted log).
//! * An acknowledgement is answered when it is durable. Until then the records are with nobody else, and when
//!   it is not taken, they are with the member as before.
//! * A delivery that has ended is counted durably; one that was under way when the process died is not. What
//!   the log lacks of deliveries goes with the next write, and is given out again after a crash.
//! * There is one write at a time, with all that came while the one before was on its way.
//! * A record that is to be a dead letter stays in the window until that is durable, whatever becomes of the
//!   record in the log (`letters`).

mod letters;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use strandline_protocol::wire::ErrorCode;

use crate::refusal::Refusal;

use super::batches::{Archive, ReadBatches};
use super::spans::Spans;
use super::state::{Delivery, StateBatch, Stored};

pub(super) use letters::{Cause, Letter};

/// What holds of the records of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a member has a record, in milliseconds.
    pub lock_ms: i64,
    /// How often a record is given out.
    pub deliveries_max: u16,
    /// The most offsets of the window.
    pub locks_max: i64,
    /// Whether a member may keep a record for longer (KIP-1222).
    pub is_renewable: bool,
    /// Whether what is rejected or was delivered too often becomes a dead letter (KIP-1191).
    pub has_dead_letters: bool,
}

/// Who has a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The member.
    pub(super) member: String,
    /// Its share session: what is released when that ends.
    pub(super) session: u64,
}

/// A record that somebody has, until a time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lock {
    owner: Rc<Owner>,
    until: i64,
}

/// How a record ends, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Available,
    Acknowledged,
    Archiving(Cause),
    Archived,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Available,
    Acquired(Lock),
    /// The outcome goes with the write of this number.
    Settling(Outcome, Lock, u64),
    Acknowledged,
    /// Nobody shall have it, and its dead letter is not durable yet; the cause, unless another process knew.
    Archiving(Option<Cause>),
    Archived,
}

/// What is known of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    state: State,
    /// How often it was given out.
    deliveries: u16,
}

impl Slot {
    fn is_done(&self) -> bool {
        matches!(self.state, State::Acknowledged | State::Archived)
    }

    /// Whether it is to be a dead letter, or is about to.
    fn is_letter(&self) -> bool {
        matches!(self.state, State::Archiving(_) | State::Settling(Outcome::Archiving(_), ..))
    }
}

/// Records that a member has from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// The first offset.
    pub first: i64,
    /// The last one.
    pub last: i64,
    /// How often they were given out, with this time.
    pub deliveries: u16,
}

/// What a member says of records that stand behind each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The first offset.
    pub first: i64,
    /// The last one.
    pub last: i64,
    /// One for all, or one for each.
    pub kinds: Vec<Kind>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is none at the offset.
    Gap,
    /// It is done.
    Accept,
    /// Somebody else shall have it.
    Release,
    /// Nobody shall have it.
    Reject,
    /// The member keeps it for longer.
    Renew,
}

/// When an acknowledgement is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// At once: nothing of it is written.
    AtOnce,
    /// When the write of this number has settled.
    With(u64),
}

/// How many records a member wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Records; more where a batch ends behind it, unless `is_strict`.
    pub records_max: i64,
    /// Whether `records_max` is never exceeded.
    pub is_strict: bool,
    /// Records that are best acknowledged together.
    pub batch_size: i64,
}

/// What is to be written of a share partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    /// Everything before it is done with.
    pub start: i64,
    /// What has changed from there on, in order.
    pub batches: Vec<StateBatch>,
    /// Offsets from `start` on that are done with.
    pub done: i64,
}

/// A share partition.
#[derive(Debug)]
pub(super) struct SharePartition {
    start: i64,
    end: i64,
    slots: Spans<Slot>,
    /// What the log lacks, apart from what is settling.
    unsaved: Spans<()>,
    is_start_unsaved: bool,
    /// The write that is on its way: its number, where it starts, and what of `unsaved` it has.
    writing: Option<(u64, i64, Spans<()>)>,
    /// Whether dead letters are on their way.
    is_sending: bool,
    /// The number of the next write.
    next_write: u64,
    /// Counts what may let somebody acquire something.
    changes: u64,
}

impl SharePartition {
    /// A share partition as it was stored, whose log begins at `log_start`.
    pub(super) fn load(stored: &Stored, log_start: i64) -> SharePartition {
        let start = stored.start;
        let mut partition = SharePartition {
            start,
            end: start,
            slots: Spans::default(),
            unsaved: Spans::default(),
            is_start_unsaved: false,
            writing: None,
            is_sending: false,
            next_write: 1,
            changes: 0,
        };
        for batch in stored.batches.iter().filter(|batch| batch.last >= start) {
            let first = batch.first.max(start);
            let state = match batch.state {
                Delivery::Available => State::Available,
                Delivery::Acknowledged => State::Acknowledged,
                Delivery::Archiving => State::Archiving(None),
                Delivery::Archived => State::Archived,
            };
            // What lies in between was never written.
            partition.slots.set(partition.end, first - 1, Slot { state: State::Available, deliveries: 0 });
            partition.slots.set(first, batch.last, Slot { state, deliveries: batch.deliveries });
            partition.end = batch.last.saturating_add(1);
        }
        let open = partition.slots.iter().find(|(_, _, slot)| !slot.is_done());
        let open = open.map_or(partition.end, |(first, ..)| first);
        partition.begin_at(open);
        partition.begin_at(log_start);
        partition
    }

    #[cfg(test)]
    /// Everything before it is done with.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Nothing from here on was given out.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Counts what may let somebody acquire something: whoever left what it saw looks again when that has
    /// changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether somebody has a record, or something is to be written.
    pub(super) fn is_busy(&self) -> bool {
        let is_held = |slot: &Slot| {
            matches!(slot.state, State::Acquired(_) | State::Settling(..) | State::Archiving(_))
        };
        self.writing.is_some()
            || self.is_start_unsaved
            || !self.unsaved.is_empty()
            || self.slots.iter().any(|(_, _, slot)| is_held(slot))
    }

    // ---- acquiring ----------------------------------------------------------------------------------------

    /// Where the next records are to be read that somebody may have; `None` when there is none at the moment.
    pub(super) fn next_fetch(&self, limits: &Limits) -> Option<i64> {
        let available = self.slots.iter().find(|(_, _, slot)| slot.state == State::Available);
        match available {
            Some((first, ..)) => Some(first),
            None => (self.end - self.start < limits.locks_max).then_some(self.end),
        }
    }

    /// The log begins here: what was before is gone, whoever had it, but for what is to be a dead letter.
    pub(super) fn begin_at(&mut self, log_start: i64) {
        if log_start <= self.start {
            return;
        }
        let letter = self.slots.within(self.start, log_start - 1).find(|(_, _, slot)| slot.is_letter());
        if let Some(first) = letter.map(|(first, ..)| first) {
            self.begin_at(first);
            return self.empty_before(log_start);
        }
        self.slots.remove_before(log_start);
        self.unsaved.remove_before(log_start);
        self.start = log_start;
        self.end = self.end.max(log_start);
        self.is_start_unsaved = true;
        self.changes += 1;
    }

    /// Gives a member what there is among the batches of a read that began at `fetched`, in order. Offsets
    /// without a record, and records of aborted transactions, are archived.
    pub(super) fn acquire(
        &mut self,
        now: i64,
        limits: &Limits,
        owner: &Rc<Owner>,
        fetched: i64,
        read: &ReadBatches,
        want: Want,
    ) -> Vec<Acquired> {
        let mut found = Vec::new();
        let lock = Lock { owner: owner.clone(), until: now.saturating_add(limits.lock_ms) };
        let mut left = want.records_max;
        let mut expected = fetched;
        let start = self.start;
        for batch in read.iter().filter(|batch| batch.last >= start) {
            if left <= 0 {
                break;
            }
            self.archive(expected.max(self.start), batch.first - 1);
            expected = batch.last + 1;
            match batch.archive {
                Archive::Yes => self.archive(batch.first.max(self.start), batch.last),
                Archive::No => {
                    let first = batch.first.max(fetched).max(self.start);
                    left -= self.acquire_of_batch(limits, &lock, (first, batch.last), left, want, &mut found);
                    if self.end - self.start >= limits.locks_max && batch.last >= self.end {
                        break;
                    }
                }
            }
        }
        together(found, want, read)
    }

    /// How many were acquired.
    fn acquire_of_batch(
        &mut self,
        limits: &Limits,
        lock: &Lock,
        (first, last): (i64, i64),
        left: i64,
        want: Want,
        found: &mut Vec<Acquired>,
    ) -> i64 {
        let at_most = |last: i64, from: i64, left: i64| match want.is_strict {
            true => last.min(from.saturating_add(left - 1)),
            false => last,
        };
        let available: Vec<_> = self
            .slots
            .within(first, last)
            .filter(|(_, _, slot)| slot.state == State::Available)
            .map(|(first, last, slot)| (first, last, slot.deliveries))
            .collect();
        let mut taken = 0;
        for (first, last, deliveries) in available {
            if left - taken <= 0 {
                return taken;
            }
            let whole = at_most(last, first, left - taken);
            let careful = careful_last(first, whole, deliveries, limits.deliveries_max);
            if careful < whole && !found.is_empty() {
                // It goes by itself, with the next fetch.
                return left;
            }
            let slot =
                Slot { state: State::Acquired(lock.clone()), deliveries: deliveries.saturating_add(1) };
            found.push(Acquired { first, last: careful, deliveries: slot.deliveries });
            self.slots.set(first, careful, slot);
            taken += careful - first + 1;
            if careful < whole {
                return left;
            }
        }
        let first = first.max(self.end);
        let room = self.start.saturating_add(limits.locks_max - 1);
        let last = at_most(last.min(room), first, left - taken);
        if first == self.end && last >= first && left > taken {
            self.slots.set(first, last, Slot { state: State::Acquired(lock.clone()), deliveries: 1 });
            self.end = last + 1;
            found.push(Acquired { first, last, deliveries: 1 });
            taken += last - first + 1;
        }
        taken
    }

    /// Offsets that nobody has, and that hold no record for anybody.
    fn archive(&mut self, first: i64, last: i64) {
        let known: Vec<_> = self
            .slots
            .within(first, last)
            .filter(|(_, _, slot)| slot.state == State::Available)
            .map(|(first, last, slot)| (first, last, slot.deliveries))
            .collect();
        for (first, last, deliveries) in known {
            self.slots.set(first, last, Slot { state: State::Archived, deliveries });
            self.unsaved.set(first, last, ());
        }
        let first = first.max(self.end);
        if first == self.end && last >= first {
            self.slots.set(first, last, Slot { state: State::Archived, deliveries: 0 });
            self.unsaved.set(first, last, ());
            self.end = last + 1;
        }
    }

    // ---- acknowledging ------------------------------------------------------------------------------------

    /// Takes in what a member says of records that it has: all of it, or nothing.
    ///
    /// # Errors
    /// Why nothing of it counts.
    pub(super) fn acknowledge(
        &mut self,
        now: i64,
        limits: &Limits,
        member: &str,
        acknowledgements: &[Acknowledgement],
    ) -> Result<Taken, Refusal> {
        let parts: Vec<_> = acknowledgements.iter().flat_map(Acknowledgement::parts).collect();
        let mut changed = Vec::new();
        for (first, last, kind) in parts {
            // What is before the start is done with, whatever is said of it.
            let first = first.max(self.start);
            if last < first {
                continue;
            }
            if last >= self.end {
                return Err(refused(ErrorCode::InvalidRequest, "the records were not given out"));
            }
            for (first, last, slot) in self.slots.within(first, last) {
                let State::Acquired(lock) = &slot.state else {
                    return Err(refused(ErrorCode::InvalidRecordState, "a record is not acquired"));
                };
                if lock.owner.member != member {
                    return Err(refused(ErrorCode::InvalidRecordState, "another member has a record"));
                }
                if kind == Kind::Renew && !limits.is_renewable {
                    return Err(refused(
                        ErrorCode::InvalidRecordState,
                        "locks are not renewed in this group",
                    ));
                }
                changed.push((first, last, kind, lock.clone(), slot.deliveries));
            }
        }
        let mut taken = Taken::AtOnce;
        for (first, last, kind, lock, deliveries) in changed {
            let state = match kind.outcome(deliveries, limits) {
                None => State::Acquired(Lock { until: now.saturating_add(limits.lock_ms), ..lock }),
                Some(outcome) => {
                    taken = Taken::With(self.next_write);
                    State::Settling(outcome, lock, self.next_write)
                }
            };
            self.slots.set(first, last, Slot { state, deliveries });
        }
        Ok(taken)
    }

    /// A share session has ended: what it has may be given to others.
    pub(super) fn release(&mut self, limits: &Limits, session: u64) {
        self.let_go(limits, |lock| lock.owner.session == session);
    }

    /// Locks whose time is up end.
    pub(super) fn tick(&mut self, now: i64, limits: &Limits) {
        self.let_go(limits, |lock| lock.until <= now);
    }

    fn let_go(&mut self, limits: &Limits, is_over: impl Fn(&Lock) -> bool) {
        let over: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, _, slot)| matches!(&slot.state, State::Acquired(lock) if is_over(lock)))
            .map(|(first, last, slot)| (first, last, slot.deliveries))
            .collect();
        for (first, last, deliveries) in over {
            let state = match (deliveries >= limits.deliveries_max, limits.has_dead_letters) {
                (true, true) => State::Archiving(Some(Cause::Undelivered)),
                (true, false) => State::Archived,
                (false, _) => State::Available,
            };
            self.slots.set(first, last, Slot { state, deliveries });
            self.unsaved.set(first, last, ());
            self.changes += 1;
        }
    }

    /// When [`SharePartition::tick`] must be called, at the latest; `i64::MAX` when nothing is due.
    pub(super) fn wake_at(&self) -> i64 {
        let until = self.slots.iter().filter_map(|(_, _, slot)| match &slot.state {
            State::Acquired(lock) => Some(lock.until),
            _ => None,
        });
        until.min().unwrap_or(i64::MAX)
    }

    // ---- writing ------------------------------------------------------------------------------------------

    /// What is to be written now; [`SharePartition::written`] is told what became of it.
    pub(super) fn next_state_write(&mut self) -> Option<StateWrite> {
        let number = self.next_write;
        let is_settling = |slot: &Slot| matches!(slot.state, State::Settling(_, _, write) if write == number);
        let has_settling = || self.slots.iter().any(|(_, _, slot)| is_settling(slot));
        if self.writing.is_some() || (!self.is_start_unsaved && self.unsaved.is_empty() && !has_settling()) {
            return None;
        }
        self.next_write += 1;
        let start = self.slots.iter().find(|(_, _, slot)| !will_be_done(slot));
        let start = start.map_or(self.end, |(first, ..)| first);
        let saved = std::mem::take(&mut self.unsaved);
        let mut batches = Spans::default();
        for (first, last, ()) in saved.iter() {
            for (first, last, slot) in self.slots.within(first.max(start), last) {
                batches.set(first, last, told(slot));
            }
        }
        for (first, last, slot) in self.slots.iter().filter(|(_, _, slot)| is_settling(slot)) {
            batches.set(first.max(start), last, told(slot));
        }
        let of_rest = self.slots.within(start, i64::MAX).filter(|(_, _, slot)| will_be_done(slot));
        let done = of_rest.map(|(first, last, _)| last - first + 1).sum();
        let batches = batches.iter().map(|(first, last, (state, deliveries))| StateBatch {
            first,
            last,
            state: *state,
            deliveries: *deliveries,
        });
        let batches = batches.collect();
        self.is_start_unsaved = false;
        self.writing = Some((number, start, saved));
        Some(StateWrite { start, batches, done })
    }

    /// What became of the write that was on its way; its number. What it was to say and was not taken goes
    /// with the next one, and acknowledgements in it come to nothing.
    ///
    /// # Panics
    /// When none was.
    pub(super) fn written(&mut self, limits: &Limits, is_stored: bool) -> u64 {
        let (number, start, saved) = self.writing.take().expect("a write was on its way");
        let was_full = self.end - self.start >= limits.locks_max;
        let settling: Vec<_> = self
            .slots
            .iter()
            .filter_map(|(first, last, slot)| match &slot.state {
                State::Settling(outcome, lock, write) if *write == number => {
                    Some((first, last, *outcome, lock.clone(), slot.deliveries))
                }
                _ => None,
            })
            .collect();
        for (first, last, outcome, lock, deliveries) in settling {
            let state = match (is_stored, outcome) {
                (false, _) => State::Acquired(lock),
                (true, Outcome::Available) => {
                    self.changes += 1;
                    State::Available
                }
                (true, Outcome::Acknowledged) => State::Acknowledged,
                (true, Outcome::Archiving(cause)) => State::Archiving(Some(cause)),
                (true, Outcome::Archived) => State::Archived,
            };
            self.slots.set(first, last, Slot { state, deliveries });
        }
        if is_stored {
            self.slots.remove_before(start);
            self.start = self.start.max(start);
            self.end = self.end.max(self.start);
        } else {
            for (first, last, ()) in saved.iter().filter(|(_, last, ())| *last >= self.start) {
                self.unsaved.set(first.max(self.start), last, ());
            }
            self.is_start_unsaved = true;
        }
        self.changes += u64::from(was_full);
        number
    }
}

impl Kind {
    /// What a record is after it; `None` when it stays with its member.
    fn outcome(self, deliveries: u16, limits: &Limits) -> Option<Outcome> {
        match self {
            Kind::Renew => None,
            Kind::Accept => Some(Outcome::Acknowledged),
            Kind::Release if deliveries < limits.deliveries_max => Some(Outcome::Available),
            Kind::Release if limits.has_dead_letters => Some(Outcome::Archiving(Cause::Undelivered)),
            Kind::Reject if limits.has_dead_letters => Some(Outcome::Archiving(Cause::Rejected)),
            Kind::Release | Kind::Reject | Kind::Gap => Some(Outcome::Archived),
        }
    }
}

impl Acknowledgement {
    /// The records of which one thing is said, in order.
    fn parts(&self) -> Vec<(i64, i64, Kind)> {
        if let [kind] = self.kinds[..] {
            return vec![(self.first, self.last, kind)];
        }
        let mut parts: Vec<(i64, i64, Kind)> = Vec::new();
        for (at, kind) in (self.first..=self.last).zip(&self.kinds) {
            match parts.last_mut() {
                Some((_, last, same)) if same == kind => *last = at,
                _ => parts.push((at, at, *kind)),
            }
        }
        parts
    }
}

fn refused(code: ErrorCode, why: &str) -> Refusal {
    Refusal::new(code, why)
}

/// Whether nothing is to be done with it any more once the next write has settled.
fn will_be_done(slot: &Slot) -> bool {
    match &slot.state {
        State::Acknowledged | State::Archived => true,
        State::Settling(outcome, ..) => matches!(outcome, Outcome::Acknowledged | Outcome::Archived),
        State::Available | State::Acquired(_) | State::Archiving(_) => false,
    }
}

/// What the next write says of a record. A delivery that is under way is not counted.
fn told(slot: &Slot) -> (Delivery, u16) {
    let state = match &slot.state {
        State::Acquired(_) => return (Delivery::Available, slot.deliveries.saturating_sub(1)),
        State::Available | State::Settling(Outcome::Available, ..) => Delivery::Available,
        State::Acknowledged | State::Settling(Outcome::Acknowledged, ..) => Delivery::Acknowledged,
        State::Archiving(_) | State::Settling(Outcome::Archiving(_), ..) => Delivery::Archiving,
        State::Archived | State::Settling(Outcome::Archived, ..) => Delivery::Archived,
    };
    (state, slot.deliveries)
}

/// How far records are given out together that were given out before and came back: the nearer the end of
/// their deliveries, the fewer, and one by one at last, so that a record that nobody can do anything with
/// does not take others with it, as in Kafka.
fn careful_last(first: i64, last: i64, deliveries: u16, deliveries_max: u16) -> i64 {
    let from = deliveries_max.div_ceil(2).max(2);
    if deliveries < from {
        return last;
    }
    let length = last - first + 1;
    let together = match deliveries + 1 >= deliveries_max {
        true => 1,
        false => (length >> (deliveries - from + 1).min(62)).max(1),
    };
    last.min(first + together - 1)
}

/// Ranges as the member acknowledges them best: neighbours of one count as one, but records that were not
/// given out before in some `batch_size`, by whole batches.
fn together(found: Vec<Acquired>, want: Want, read: &ReadBatches) -> Vec<Acquired> {
    let mut merged: Vec<Acquired> = Vec::new();
    for acquired in found {
        match merged.last_mut() {
            Some(before)
                if before.last + 1 == acquired.first
                    && before.deliveries == acquired.deliveries
                    && (before.last - before.first + 1 < want.batch_size.max(1)
                        || !read.begins_at(acquired.first)) =>
            {
                before.last = acquired.last;
            }
            _ => merged.push(acquired),
        }
    }
    merged
}
