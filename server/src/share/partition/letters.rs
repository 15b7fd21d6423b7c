//! Dead letters of a share partition (KIP-1191): records that were rejected, or delivered too often, on their
//! way from the window to the group's dead letter queue.
//!
//! * A record becomes a dead letter once it is durable that nobody shall have it: none that is given out
//!   again after a crash is in the queue already.
//! * It is archived once its dead letter is durable, and counts as under way until then: so it is written
//!   again after a crash, and never lost. A queue that takes nothing fills the window.
//! * Some go at a time; the next ones when it is known what became of those.

use super::{Limits, SharePartition, Slot, State};
use crate::share::spans::Spans;

/// Why a record is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::share) enum Cause {
    /// A member rejected it.
    Rejected,
    /// It was delivered as often as may be, and not acknowledged.
    Undelivered,
}

/// Records that stand behind each other and are to be dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::share) struct Letter {
    /// The first offset.
    pub(in crate::share) first: i64,
    /// The last one.
    pub(in crate::share) last: i64,
    /// How often they were given out.
    pub(in crate::share) deliveries: u16,
    /// Why.
    pub(in crate::share) cause: Cause,
}

impl SharePartition {
    /// The dead letters that are to be written now, of so many records at the most;
    /// [`SharePartition::letters_written`] is told what became of them.
    pub(in crate::share) fn next_letters(
        &mut self,
        limits: &Limits,
        records_max: i64,
    ) -> Option<Vec<Letter>> {
        let is_archiving = |slot: &Slot| matches!(slot.state, State::Archiving(_));
        if self.is_sending || !self.slots.iter().any(|(_, _, slot)| is_archiving(slot)) {
            return None;
        }
        let mut durable = Spans::default();
        for (first, last, slot) in self.slots.iter() {
            if let State::Archiving(cause) = slot.state {
                durable.set(first, last, (slot.deliveries, cause));
            }
        }
        let saving = self.writing.iter().flat_map(|(_, _, saved)| saved.iter());
        for (first, last, ()) in self.unsaved.iter().chain(saving) {
            durable.remove(first, last);
        }
        let mut left = records_max;
        let mut letters = Vec::new();
        for (first, last, (deliveries, cause)) in durable.iter() {
            let last = last.min(first.saturating_add(left - 1));
            if last < first {
                break;
            }
            // Of what another process stored it is not known: as Kafka does, it is told by the deliveries.
            let cause = cause.unwrap_or(match *deliveries >= limits.deliveries_max {
                true => Cause::Undelivered,
                false => Cause::Rejected,
            });
            letters.push(Letter { first, last, deliveries: *deliveries, cause });
            left -= last - first + 1;
        }
        self.is_sending = !letters.is_empty();
        self.is_sending.then_some(letters)
    }

    /// The dead letters that were on their way are durable as far as `written` goes.
    pub(in crate::share) fn letters_written(&mut self, written: &[(i64, i64)]) {
        self.is_sending = false;
        for (first, last) in written {
            let archiving: Vec<_> = self
                .slots
                .within(*first, *last)
                .filter(|(_, _, slot)| matches!(slot.state, State::Archiving(_)))
                .map(|(first, last, slot)| (first, last, slot.deliveries))
                .collect();
            for (first, last, deliveries) in archiving {
                self.slots.set(first, last, Slot { state: State::Archived, deliveries });
                self.unsaved.set(first, last, ());
            }
        }
    }

    /// How many records are to be dead letters.
    pub(in crate::share) fn letters(&self) -> u64 {
        let letters = self.slots.iter().filter(|(_, _, slot)| matches!(slot.state, State::Archiving(_)));
        letters.map(|(first, last, _)| (last - first + 1) as u64).sum()
    }

    /// Takes from the window what the log has lost before this offset, but for what is to be a dead letter.
    pub(super) fn empty_before(&mut self, log_start: i64) {
        let gone: Vec<_> = self
            .slots
            .within(self.start, log_start - 1)
            .filter(|(_, _, slot)| !slot.is_letter() && !slot.is_done())
            .map(|(first, last, slot)| (first, last, slot.deliveries))
            .collect();
        self.changes += u64::from(!gone.is_empty() || self.end < log_start);
        for (first, last, deliveries) in gone {
            self.slots.set(first, last, Slot { state: State::Archived, deliveries });
            self.unsaved.set(first, last, ());
        }
        if self.end < log_start {
            self.slots.set(self.end, log_start - 1, Slot { state: State::Archived, deliveries: 0 });
            self.unsaved.set(self.end, log_start - 1, ());
            self.end = log_start;
        }
    }
}
