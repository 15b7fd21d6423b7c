//! Shared subscriptions (MQTT 5.0, section 4.8.2): each message of `$share/group/filter` goes to one member.
//!
//! ```text
//!  log > wanted? > give: the next member in turn that has room > in flight with it
//!                    settled: it is done        left, refused: given again, to another, before anything new
//! ```
//! The group has a cursor of its own; what a member has is in flight. What nobody has acknowledged when a
//! member goes is given to the others in the order of the log. One place has a group, so that no message is
//! given twice at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::session::{CursorValue, FlightValue, Partition, Stage};

/// Members of one group: each message is offered to one after the other until one has room.
pub const MEMBERS_MAX: usize = 1000;

/// Messages of a group that are in flight or wait for a member, after which it reads no further.
pub const OPEN_MAX: usize = 4096;

/// A record of the log.
pub type At = (Partition, i64);

/// A group that shares a filter.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// From which offset on each partition is read.
    cursors: BTreeMap<Partition, i64>,
    members: BTreeMap<u64, Member>,
    /// Members, the next in turn first.
    turn: VecDeque<u64>,
    /// Given, and not settled.
    given: BTreeMap<At, u64>,
    /// To be given, before anything new.
    again: BTreeSet<At>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    room: usize,
    has: BTreeSet<At>,
}

impl Group {
    /// Reads a partition from this offset on, unless it is read already.
    pub fn follow(&mut self, partition: Partition, next: i64) {
        self.cursors.entry(partition).or_insert(next);
    }

    /// A member comes that takes so many messages at a time; false when there are too many.
    pub fn join(&mut self, member: u64, room: usize) -> bool {
        let is_full = self.members.len() >= MEMBERS_MAX;
        match self.members.get_mut(&member) {
            Some(known) => known.room = room,
            None if is_full => return false,
            None => {
                self.members.insert(member, Member { room, ..Member::default() });
                self.turn.push_back(member);
            }
        }
        true
    }

    /// A member goes: what it had is given to others.
    pub fn leave(&mut self, member: u64) {
        let Some(gone) = self.members.remove(&member) else { return };
        self.turn.retain(|other| *other != member);
        for at in gone.has {
            self.given.remove(&at);
            self.again.insert(at);
        }
    }

    /// Members that it has.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The record that is to be given next to somebody: one that came back, or one of a partition to be read.
    pub fn again(&self) -> Option<At> {
        self.again.first().copied()
    }

    /// The partitions to read, and from where; nothing while there is enough to do.
    pub fn wanted(&self) -> impl Iterator<Item = At> {
        let is_idle = self.again.is_empty() && self.given.len() < OPEN_MAX && self.has_room();
        self.cursors.iter().filter(move |_| is_idle).map(|(partition, next)| (*partition, *next))
    }

    fn has_room(&self) -> bool {
        self.members.values().any(|member| member.has.len() < member.room)
    }

    /// A record that nobody wants.
    pub fn pass(&mut self, at: At) {
        self.advance(at);
        self.again.remove(&at);
    }

    /// Gives a record to the next member that has room, and says to which; `None` when none has, or when it
    /// is given or settled already.
    pub fn give(&mut self, at: At) -> Option<u64> {
        let is_new = self.cursors.get(&at.0).is_some_and(|next| at.1 >= *next);
        if self.given.contains_key(&at) || !(is_new || self.again.contains(&at)) {
            return None;
        }
        let has_room = |id: &u64| self.members.get(id).is_some_and(|member| member.has.len() < member.room);
        let place = self.turn.iter().position(has_room)?;
        let id = self.turn.remove(place).expect("it was found there");
        self.turn.push_back(id);
        self.members.get_mut(&id).expect("who is in turn is a member").has.insert(at);
        self.given.insert(at, id);
        self.again.remove(&at);
        self.advance(at);
        Some(id)
    }

    fn advance(&mut self, (partition, offset): At) {
        if let Some(next) = self.cursors.get_mut(&partition) {
            *next = (*next).max(offset + 1);
        }
    }

    /// A member has acknowledged a record, or it is gone: it is done. False when the member did not have it.
    pub fn settled(&mut self, member: u64, at: At) -> bool {
        let had = self.members.get_mut(&member).is_some_and(|member| member.has.remove(&at));
        if had {
            self.given.remove(&at);
        }
        had
    }

    /// A member cannot take a record: it is given again. False when the member did not have it.
    pub fn refused(&mut self, member: u64, at: At) -> bool {
        let had = self.settled(member, at);
        if had {
            self.again.insert(at);
        }
        had
    }

    /// What is durable of a partition: open records are given again after a crash, under no member's number.
    pub fn record(&self, partition: Partition) -> Option<CursorValue> {
        let next = *self.cursors.get(&partition)?;
        let of = |at: &At| at.0 == partition;
        let mut offsets: Vec<i64> =
            self.given.keys().chain(&self.again).filter(|at| of(at)).map(|at| at.1).collect();
        offsets.sort_unstable();
        let flight = |(at, offset): (usize, i64)| FlightValue {
            id: at as u16 + 1,
            offset,
            stage: Stage::Sent,
            is_kept: false,
        };
        Some(CursorValue { next: Some(next), flights: offsets.into_iter().enumerate().map(flight).collect() })
    }

    /// What was durable of a partition.
    pub fn restore(&mut self, partition: Partition, value: &CursorValue) {
        if let Some(next) = value.next {
            self.cursors.insert(partition, next);
        }
        self.again.extend(value.flights.iter().map(|flight| (partition, flight.offset)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition { topic: [1; 16], index: 0 };

    #[test]
    fn members_take_turns_and_one_without_room_is_passed_over() {
        let mut group = Group::default();
        group.follow(P, 0);
        assert!(group.join(1, 10) && group.join(2, 1) && group.join(3, 10));
        let given: Vec<u64> = (0..6).map(|offset| group.give((P, offset)).unwrap()).collect();
        assert_eq!(given, [1, 2, 3, 1, 3, 1]);
        assert!(group.settled(2, (P, 1)));
        assert_eq!(group.give((P, 6)), Some(2));
    }

    #[test]
    fn what_a_member_had_goes_to_another_first() {
        let mut group = Group::default();
        group.follow(P, 5);
        group.join(1, 2);
        assert_eq!((group.give((P, 5)), group.give((P, 6)), group.give((P, 7))), (Some(1), Some(1), None));
        group.leave(1);
        group.join(2, 10);
        assert_eq!(group.wanted().count(), 0, "first what came back");
        assert_eq!(group.again(), Some((P, 5)));
        assert_eq!(group.give((P, 5)), Some(2));
        assert!(!group.settled(1, (P, 6)), "who has left has nothing");
        assert_eq!(group.give((P, 6)), Some(2));
        assert_eq!(group.wanted().collect::<Vec<_>>(), [(P, 7)]);
    }

    /// Generated lives: whatever members do, each record is settled once and none is forgotten, over crashes
    /// from what was durable.
    #[test]
    fn no_record_is_lost_or_with_two_members() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut group = Group::default();
            group.follow(P, 0);
            let (mut settled, mut held) = (BTreeMap::<i64, u32>::new(), BTreeMap::<i64, u64>::new());
            for _ in 0..200 {
                match random.u8(0..10) {
                    0 => drop(group.join(random.u64(0..4), random.usize(1..4))),
                    1 => {
                        let member = random.u64(0..4);
                        group.leave(member);
                        held.retain(|_, holder| *holder != member);
                    }
                    2 if random.u8(0..4) == 0 => {
                        let value = group.record(P).unwrap();
                        group = Group::default();
                        group.restore(P, &value);
                        held.clear();
                    }
                    3..6 => {
                        let held_now: Vec<(i64, u64)> =
                            held.iter().map(|(at, member)| (*at, *member)).collect();
                        if let Some((offset, member)) = random.choice(held_now) {
                            assert!(group.settled(member, (P, offset)), "seed {seed}");
                            held.remove(&offset);
                            *settled.entry(offset).or_default() += 1;
                        }
                    }
                    _ => {
                        let next = group.again().or_else(|| group.wanted().next());
                        if let Some(at) = next
                            && let Some(member) = group.give(at)
                        {
                            assert_eq!(held.insert(at.1, member), None, "seed {seed}: it is with one member");
                        }
                    }
                }
                let given: Vec<(i64, u64)> = group.given.iter().map(|(at, member)| (at.1, *member)).collect();
                assert!(held.iter().map(|(at, member)| (*at, *member)).eq(given), "seed {seed}");
            }
            assert!(settled.values().all(|times| *times == 1), "seed {seed}: {settled:?}");
            let next = group.record(P).unwrap();
            let open: BTreeSet<i64> = next.flights.iter().map(|flight| flight.offset).collect();
            for offset in 0..next.next.unwrap() {
                let times = usize::from(settled.contains_key(&offset)) + usize::from(open.contains(&offset));
                assert_eq!(times, 1, "seed {seed}: {offset}");
            }
        }
    }
}
