//! Messages of QoS 2 from a client: which of them are in the log, so that none is appended twice.
//!
//! ```text
//!  PUBLISH 7 > placed in a partition > record: 7 is sequence 12 there > append as sequence 12 > PUBREC 7
//!  PUBREL 7  > record: 7 is free                                                               > PUBCOMP 7
//! ```
//! The record comes before the append. After a crash it is asked whether the partition has the sequence
//! ([`Inbox::unresolved`]): if so, a PUBLISH that comes again is answered, and kept if it asks for that, but
//! not appended; if not, it is as if it had never come. A sequence counts by its producer and epoch, which
//! each connection has anew, so that an append of an older connection is never mistaken for one of this.
//!
//! That a number is free is durable before PUBCOMP: the client may then use it for another message, which
//! must not be taken for the old one.

use std::collections::BTreeMap;

use super::Partition;
use super::values::{Appended, InboxValue, Once, PENDING_MAX, Pending, Producer};

/// What a PUBLISH of QoS 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It is appended.
    New,
    /// It is on its way already, and answered when it is in the log.
    Underway,
    /// It is in the log since before a crash; whether it is kept is not known.
    Found(Appended),
    /// It is in the log.
    Known,
    /// There are too many.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Underway,
    Found(Appended),
    Done,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    producer: Option<Producer>,
    sequences: BTreeMap<Partition, i32>,
    /// Without a place before it has one.
    pending: BTreeMap<u16, (Option<Pending>, Stage)>,
    is_changed: bool,
}

impl Inbox {
    /// What the record says. What it does not know is asked next: [`Inbox::unresolved`].
    pub fn restore(value: &InboxValue) -> Inbox {
        let stage = |pending: &Pending| if pending.is_done { Stage::Done } else { Stage::Underway };
        let pending = value.pending.iter().map(|(id, pending)| (*id, (Some(*pending), stage(pending))));
        Inbox { pending: pending.collect(), ..Inbox::default() }
    }

    /// Messages of which it has to be found out whether they are in the log.
    pub fn unresolved(&self) -> Vec<(u16, Pending)> {
        let underway = self.pending.iter().filter(|(_, (_, stage))| *stage == Stage::Underway);
        underway.filter_map(|(id, (pending, _))| Some((*id, (*pending)?))).collect()
    }

    /// What was found out.
    pub fn resolve(&mut self, id: u16, found: Option<Appended>) {
        match (self.pending.get_mut(&id), found) {
            (Some((_, stage)), Some(at)) => *stage = Stage::Found(at),
            (Some(_), None) => {
                self.pending.remove(&id);
                self.is_changed = true;
            }
            (None, _) => {}
        }
    }

    /// Messages that wait for their PUBREL.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether a message has this number.
    pub fn has(&self, id: u16) -> bool {
        self.pending.contains_key(&id)
    }

    /// Whether it has a producer.
    pub fn has_producer(&self) -> bool {
        self.producer.is_some()
    }

    /// PUBLISH.
    pub fn arrived(&mut self, id: u16) -> Arrived {
        let is_full = self.pending.len() >= PENDING_MAX;
        match self.pending.get_mut(&id) {
            Some((_, Stage::Done)) => Arrived::Known,
            Some((_, Stage::Underway)) => Arrived::Underway,
            Some((_, stage @ Stage::Found(_))) => match std::mem::replace(stage, Stage::Underway) {
                Stage::Found(at) => Arrived::Found(at),
                _ => unreachable!("it was matched"),
            },
            None if is_full => Arrived::Full,
            None => {
                self.pending.insert(id, (None, Stage::Underway));
                Arrived::New
            }
        }
    }

    /// It has a place. It is appended by what is answered, once [`Inbox::record`] is durable. `producer`
    /// counts when there is none yet.
    ///
    /// # Panics
    /// When there is no producer.
    pub fn placed(&mut self, id: u16, partition: Partition, producer: Option<Producer>) -> Option<Once> {
        let (slot, _) = self.pending.get_mut(&id)?;
        let producer =
            *self.producer.get_or_insert_with(|| producer.expect("the first place comes with one"));
        let next = self.sequences.entry(partition).or_insert(0);
        let once = Once { producer, sequence: *next };
        // As Kafka counts: after the largest comes 0.
        *next = next.checked_add(1).unwrap_or(0);
        *slot = Some(Pending { partition, once, is_done: false });
        self.is_changed = true;
        Some(once)
    }

    /// It is in the log, and kept if it asked for that. The record need not say so before PUBREC: it is found
    /// out again.
    pub fn done(&mut self, id: u16) {
        if let Some((_, stage)) = self.pending.get_mut(&id) {
            *stage = Stage::Done;
        }
    }

    /// It is refused before anything was appended of it: its number is free.
    pub fn refused(&mut self, id: u16) {
        self.is_changed |= matches!(self.pending.remove(&id), Some((Some(_), _)));
    }

    /// PUBREL: whether the number was known. PUBCOMP follows when the record is durable.
    pub fn released(&mut self, id: u16) -> bool {
        match self.pending.get(&id) {
            Some((_, Stage::Done | Stage::Found(_))) => {
                self.pending.remove(&id);
                self.is_changed = true;
                true
            }
            Some((_, Stage::Underway)) | None => false,
        }
    }

    /// Whether something waits for the record.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The record; `None` removes it.
    pub fn record(&mut self) -> Option<InboxValue> {
        self.is_changed = false;
        let pending = self.pending.iter().filter_map(|(id, (pending, stage))| {
            Some((*id, Pending { is_done: *stage == Stage::Done, ..(*pending)? }))
        });
        let pending: Vec<(u16, Pending)> = pending.collect();
        (!pending.is_empty()).then_some(InboxValue { pending })
    }
}
