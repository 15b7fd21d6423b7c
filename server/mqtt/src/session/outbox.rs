//! Messages to a client: how far it has been sent the log, and what it has not acknowledged.
//!
//! ```text
//!                 cursor.next
//!                     v
//!  log  . . . 4 . 6 . | 8 9 ...      4 and 6 are in flight; everything else before 8 is settled:
//!                                    acknowledged, not wanted, or sent with QoS 0
//! ```
//! What a record of a cursor says is the whole truth about its partition after a crash: flights are sent
//! again, what is before `next` and not in flight is not, what is behind has never been sent. For QoS 1 a
//! record may be old, since a message may come twice. For QoS 2 the record comes first:
//!
//! | before this packet leaves | it is durable that |
//! |---|---|
//! | PUBLISH of QoS 2 | this number stands for this offset ([`Stage::Waiting`]) |
//! | PUBREL | the client has it ([`Stage::Received`]): a PUBLISH would be another message to it |
//!
//! A number is used again when no record, durable or on its way, has it any more: records are written in
//! their order, and one that takes a number comes after the one that gave it back.

use std::collections::{BTreeMap, BTreeSet};

use super::values::{CursorValue, FlightValue, Stage};
use super::{CURSORS_MAX, Partition};
use crate::codec::Qos;

/// A message that the client has not acknowledged to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Where it is.
    pub partition: Partition,
    /// Its record.
    pub offset: i64,
    /// How far it is.
    pub stage: Stage,
    /// It is sent as a kept message: another delivery of a record than the one in its turn.
    pub is_kept: bool,
    /// Flights are sent again in this order.
    order: u64,
}

/// The client acknowledges what is not in flight, or not so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message has this number, or it is not so far")]
pub struct UnknownId;

#[derive(Clone, Debug, Default)]
struct Cursor {
    /// Everything before is settled or in flight; `None` where only single records are sent.
    next: Option<i64>,
    /// In flight, as kept messages or in their turn.
    offsets: BTreeMap<(i64, bool), u16>,
    /// The numbers that its last record has.
    listed: Vec<u16>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    cursors: BTreeMap<Partition, Cursor>,
    flights: BTreeMap<u16, Flight>,
    /// Numbers that stand in some record.
    listed: BTreeSet<u16>,
    last_id: u16,
    last_order: u64,
    /// Partitions whose record has to be written before something is sent.
    urgent: BTreeSet<Partition>,
    /// Partitions whose record may be written some time.
    stale: BTreeSet<Partition>,
}

impl Outbox {
    /// What the records say.
    pub fn restore(cursors: &BTreeMap<Partition, CursorValue>) -> Outbox {
        let mut outbox = Outbox::default();
        for (partition, value) in cursors {
            let mut cursor = Cursor { next: value.next, ..Cursor::default() };
            for FlightValue { id, offset, stage, is_kept } in &value.flights {
                outbox.last_order += 1;
                let flight = Flight {
                    partition: *partition,
                    offset: *offset,
                    stage: *stage,
                    is_kept: *is_kept,
                    order: outbox.last_order,
                };
                // Of two records that give one number, which our own never do, the first counts.
                if !outbox.flights.contains_key(id) && !cursor.offsets.contains_key(&(*offset, *is_kept)) {
                    outbox.flights.insert(*id, flight);
                    cursor.offsets.insert((*offset, *is_kept), *id);
                    cursor.listed.push(*id);
                    outbox.listed.insert(*id);
                    outbox.last_id = outbox.last_id.max(*id);
                }
            }
            outbox.cursors.insert(*partition, cursor);
        }
        outbox
    }

    /// Messages in flight.
    pub fn len(&self) -> usize {
        self.flights.len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Reads a partition from this offset on, unless it is read already; false when there are too many.
    pub fn follow(&mut self, partition: Partition, next: i64) -> bool {
        if !self.cursors.contains_key(&partition) && self.cursors.len() >= CURSORS_MAX {
            return false;
        }
        let cursor = self.cursors.entry(partition).or_default();
        if cursor.next.is_none() {
            cursor.next = Some(next);
            self.urgent.insert(partition);
        }
        true
    }

    /// Reads a partition no more. What is in flight is sent to its end.
    pub fn leave(&mut self, partition: Partition) {
        if let Some(cursor) = self.cursors.get_mut(&partition)
            && cursor.next.take().is_some()
        {
            self.urgent.insert(partition);
        }
    }

    /// The partitions that are read, and from which offset on.
    pub fn followed(&self) -> impl Iterator<Item = (Partition, i64)> {
        self.cursors.iter().filter_map(|(partition, cursor)| Some((*partition, cursor.next?)))
    }

    /// From which offset on a partition is read.
    pub fn next(&self, partition: Partition) -> Option<i64> {
        self.cursors.get(&partition)?.next
    }

    /// The records before this offset were looked at: those that are not in flight are settled.
    pub fn pass(&mut self, partition: Partition, next: i64) {
        if let Some(at) = self.cursors.get_mut(&partition).and_then(|cursor| cursor.next.as_mut())
            && next > *at
        {
            *at = next;
            self.stale.insert(partition);
        }
    }

    /// Gives a record a number, with which it is to be sent: at once with QoS 1, when the number is durable
    /// with QoS 2. `None` when it is in flight already, when it has been settled, or when no number is free.
    ///
    /// # Panics
    /// With QoS 0, which has no number.
    pub fn take(&mut self, partition: Partition, offset: i64, qos: Qos) -> Option<u16> {
        if self.cursors.get(&partition).and_then(|cursor| cursor.next).is_some_and(|next| offset < next) {
            return None;
        }
        let id = self.add(partition, offset, qos, false)?;
        self.pass(partition, offset + 1);
        Some(id)
    }

    /// The same for a single record: a message that was kept.
    ///
    /// # Panics
    /// With QoS 0, which has no number.
    pub fn take_kept(&mut self, partition: Partition, offset: i64, qos: Qos) -> Option<u16> {
        self.add(partition, offset, qos, true)
    }

    fn add(&mut self, partition: Partition, offset: i64, qos: Qos, is_kept: bool) -> Option<u16> {
        let stage = match qos {
            Qos::AtMostOnce => panic!("QoS 0 has no number"),
            Qos::AtLeastOnce => Stage::Sent,
            Qos::ExactlyOnce => Stage::Waiting,
        };
        if !self.cursors.contains_key(&partition) && self.cursors.len() >= CURSORS_MAX {
            return None;
        }
        let id = self.free_id()?;
        let cursor = self.cursors.entry(partition).or_default();
        if cursor.offsets.contains_key(&(offset, is_kept)) {
            return None;
        }
        cursor.offsets.insert((offset, is_kept), id);
        self.last_id = id;
        self.last_order += 1;
        self.flights.insert(id, Flight { partition, offset, stage, is_kept, order: self.last_order });
        match stage {
            Stage::Waiting => self.urgent.insert(partition),
            _ => self.stale.insert(partition),
        };
        Some(id)
    }

    fn free_id(&self) -> Option<u16> {
        let ids = (1..=u16::MAX).map(|step| match self.last_id.wrapping_add(step) {
            // The step past the end lands on 0, which is no number: the next one is 1.
            0 => 1,
            id => id,
        });
        // At most so many are taken, so that the search is short.
        ids.take(self.flights.len() + self.listed.len() + 2)
            .find(|id| !self.flights.contains_key(id) && !self.listed.contains(id))
    }

    /// PUBACK.
    ///
    /// # Errors
    /// When no message of QoS 1 has this number.
    pub fn acknowledged(&mut self, id: u16) -> Result<(), UnknownId> {
        match self.flights.get(&id).map(|flight| flight.stage) {
            Some(Stage::Sent) => self.settle(id),
            _ => return Err(UnknownId),
        }
        Ok(())
    }

    /// PUBREC. PUBREL follows when it is durable; at once when this says so, since it was before.
    ///
    /// # Errors
    /// When no message of QoS 2 was sent with this number.
    pub fn received(&mut self, id: u16) -> Result<bool, UnknownId> {
        let flight = self.flights.get_mut(&id).ok_or(UnknownId)?;
        match flight.stage {
            Stage::Numbered => {
                flight.stage = Stage::Received;
                self.urgent.insert(flight.partition);
                Ok(false)
            }
            Stage::Received => Ok(false),
            Stage::Released => Ok(true),
            Stage::Sent | Stage::Waiting => Err(UnknownId),
        }
    }

    /// PUBREC with a failure: the client does not take it.
    ///
    /// # Errors
    /// When no message of QoS 2 was sent with this number.
    pub fn refused(&mut self, id: u16) -> Result<(), UnknownId> {
        match self.flights.get(&id) {
            Some(Flight { stage: Stage::Numbered, partition, .. }) => {
                self.urgent.insert(*partition);
                self.settle(id);
                Ok(())
            }
            _ => Err(UnknownId),
        }
    }

    /// PUBCOMP.
    ///
    /// # Errors
    /// When PUBREL was not sent with this number.
    pub fn completed(&mut self, id: u16) -> Result<(), UnknownId> {
        match self.flights.get(&id).map(|flight| flight.stage) {
            Some(Stage::Released) => self.settle(id),
            _ => return Err(UnknownId),
        }
        Ok(())
    }

    /// It is not sent any more, whatever its stage: its record is gone, or the client may not have it.
    pub fn drop_flight(&mut self, id: u16) {
        if self.flights.contains_key(&id) {
            self.settle(id);
        }
    }

    fn settle(&mut self, id: u16) {
        let flight = self.flights.remove(&id).expect("the caller has looked");
        let cursor = self.cursors.get_mut(&flight.partition).expect("a flight has a cursor");
        cursor.offsets.remove(&(flight.offset, flight.is_kept));
        self.stale.insert(flight.partition);
    }

    /// Flights in the order in which they are sent again.
    pub fn flights(&self) -> Vec<(u16, Flight)> {
        let mut flights: Vec<(u16, Flight)> =
            self.flights.iter().map(|(id, flight)| (*id, *flight)).collect();
        flights.sort_unstable_by_key(|(_, flight)| flight.order);
        flights
    }

    /// The flight with this number.
    pub fn flight(&self, id: u16) -> Option<Flight> {
        self.flights.get(&id).copied()
    }

    // ---- records ------------------------------------------------------------------------------------------

    /// Whether something waits for a record.
    pub fn is_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    /// The records that something waits for, to be written whole; `None` removes one. Everything that waited
    /// goes on when they are durable: [`Outbox::stored`].
    pub fn urgent_records(&mut self) -> Vec<(Partition, Option<CursorValue>)> {
        let urgent = std::mem::take(&mut self.urgent);
        urgent.into_iter().map(|partition| (partition, self.record(partition))).collect()
    }

    /// All records that have changed.
    pub fn all_records(&mut self) -> Vec<(Partition, Option<CursorValue>)> {
        self.urgent.append(&mut self.stale);
        self.urgent_records()
    }

    fn record(&mut self, partition: Partition) -> Option<CursorValue> {
        self.stale.remove(&partition);
        let cursor = self.cursors.get_mut(&partition)?;
        for id in cursor.listed.drain(..) {
            self.listed.remove(&id);
        }
        let mut value = CursorValue { next: cursor.next, flights: Vec::with_capacity(cursor.offsets.len()) };
        for ((offset, is_kept), id) in &cursor.offsets {
            // As it will be when the record is durable.
            let stage = match self.flights[id].stage {
                Stage::Waiting => Stage::Numbered,
                Stage::Received => Stage::Released,
                stage => stage,
            };
            value.flights.push(FlightValue { id: *id, offset: *offset, stage, is_kept: *is_kept });
            cursor.listed.push(*id);
            self.listed.insert(*id);
        }
        if cursor.next.is_none() && value.flights.is_empty() {
            self.cursors.remove(&partition);
            return None;
        }
        Some(value)
    }

    /// A number's record is durable: what is sent now. `None` when it is not in flight any more.
    pub fn stored(&mut self, id: u16) -> Option<Stage> {
        let flight = self.flights.get_mut(&id)?;
        flight.stage = match flight.stage {
            Stage::Waiting => Stage::Numbered,
            Stage::Received => Stage::Released,
            stage => stage,
        };
        Some(flight.stage)
    }
}
