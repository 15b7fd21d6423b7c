//! Share partitions in random lives, beside a naive model that has one entry for each offset; and single
//! rules.
//!
//! A life has members that fetch, acknowledge, release, reject and renew, fall silent and come back; a log
//! that grows, has gaps and aborted batches, and loses its beginning; a store that does not take something;
//! and ends of the process, after which what was stored is loaded.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::*;
use crate::share::batches::ReadBatch;
use crate::share::state::Batches;

const LIMITS: Limits =
    Limits { lock_ms: 100, deliveries_max: 3, locks_max: 40, is_renewable: true, has_dead_letters: false };

fn stored(start: i64) -> Stored {
    Stored { state_epoch: 1, start, batches: Vec::new() }
}

fn partition() -> SharePartition {
    SharePartition::load(&stored(0), 0)
}

fn owner(member: &str, session: u64) -> Rc<Owner> {
    Rc::new(Owner { member: member.to_owned(), session })
}

fn read(batches: &[(i64, i64)]) -> ReadBatches {
    let mut read = ReadBatches::default();
    batches.iter().for_each(|(first, last)| {
        read.push(ReadBatch { first: *first, last: *last, archive: Archive::No });
    });
    read
}

fn want(records_max: i64) -> Want {
    Want { records_max, is_strict: false, batch_size: 1000 }
}

fn say(first: i64, last: i64, kind: Kind) -> Acknowledgement {
    Acknowledgement { first, last, kinds: vec![kind] }
}

fn got(first: i64, last: i64, deliveries: u16) -> Acquired {
    Acquired { first, last, deliveries }
}

/// Writes what there is to be written, and says that it was taken.
fn store(partition: &mut SharePartition) -> StateWrite {
    let write = partition.next_state_write().expect("there is something to be written");
    partition.written(&LIMITS, true);
    write
}

#[test]
fn what_is_given_out_is_given_to_nobody_else_until_its_lock_expires() {
    let mut partition = partition();
    let (a, b) = (owner("a", 1), owner("b", 2));
    assert_eq!(partition.next_fetch(&LIMITS), Some(0));
    let all = read(&[(0, 4), (5, 9)]);
    assert_eq!(partition.acquire(0, &LIMITS, &a, 0, &all, want(5)), [got(0, 4, 1)]);
    assert_eq!(partition.acquire(0, &LIMITS, &b, 0, &all, want(5)), [got(5, 9, 1)]);
    assert_eq!(partition.acquire(0, &LIMITS, &b, 0, &all, want(5)), []);
    assert_eq!((partition.next_fetch(&LIMITS), partition.wake_at()), (Some(10), 100));
    partition.tick(99, &LIMITS);
    assert_eq!(partition.next_fetch(&LIMITS), Some(10));
    partition.tick(100, &LIMITS);
    assert_eq!(partition.next_fetch(&LIMITS), Some(0));
    assert_eq!(partition.acquire(100, &LIMITS, &b, 0, &all, want(500)), [got(0, 9, 2)]);
}

#[test]
fn an_acknowledgement_counts_when_it_is_stored_and_then_for_good() {
    let mut partition = partition();
    let a = owner("a", 1);
    partition.acquire(0, &LIMITS, &a, 0, &read(&[(0, 9)]), want(10));
    let taken = partition.acknowledge(1, &LIMITS, "a", &[say(0, 3, Kind::Accept), say(5, 5, Kind::Reject)]);
    assert_eq!(taken, Ok(Taken::With(1)));
    let again = partition.acknowledge(1, &LIMITS, "a", &[say(0, 0, Kind::Accept)]);
    assert_eq!(again.unwrap_err().code, ErrorCode::InvalidRecordState, "it is settling");
    let write = partition.next_state_write().unwrap();
    let rejected = StateBatch { first: 5, last: 5, state: Delivery::Archived, deliveries: 1 };
    assert_eq!(write, StateWrite { start: 4, batches: vec![rejected], done: 1 });
    assert_eq!((partition.start(), partition.next_state_write()), (0, None));
    // The lock expires while it is on its way.
    partition.tick(1000, &LIMITS);
    assert_eq!(partition.written(&LIMITS, true), 1);
    assert_eq!((partition.start(), partition.next_fetch(&LIMITS)), (4, Some(4)));
    let late = partition.acknowledge(1000, &LIMITS, "a", &[say(0, 3, Kind::Release)]);
    assert_eq!(late, Ok(Taken::AtOnce), "it is done with, whatever is said of it");
}

#[test]
fn an_acknowledgement_that_is_not_stored_leaves_the_records_where_they_were() {
    let mut partition = partition();
    let a = owner("a", 1);
    partition.acquire(0, &LIMITS, &a, 0, &read(&[(0, 9)]), want(10));
    partition.acknowledge(1, &LIMITS, "a", &[say(0, 9, Kind::Accept)]).unwrap();
    partition.next_state_write().unwrap();
    partition.written(&LIMITS, false);
    assert_eq!(partition.acquire(2, &LIMITS, &owner("b", 2), 0, &read(&[(0, 9)]), want(10)), []);
    assert_eq!(partition.acknowledge(2, &LIMITS, "a", &[say(0, 9, Kind::Accept)]), Ok(Taken::With(2)));
    assert_eq!(store(&mut partition), StateWrite { start: 10, batches: Vec::new(), done: 0 });
    assert_eq!((partition.start(), partition.end()), (10, 10));
}

#[test]
fn only_whoever_has_a_record_says_what_became_of_it_and_all_of_a_request_counts_or_nothing() {
    let mut partition = partition();
    partition.acquire(0, &LIMITS, &owner("a", 1), 0, &read(&[(0, 9)]), want(10));
    let code = |partition: &mut SharePartition, member: &str, said: &[Acknowledgement]| {
        partition.acknowledge(1, &LIMITS, member, said).unwrap_err().code
    };
    assert_eq!(code(&mut partition, "b", &[say(0, 0, Kind::Accept)]), ErrorCode::InvalidRecordState);
    let half = [say(0, 9, Kind::Accept), say(10, 10, Kind::Accept)];
    assert_eq!(code(&mut partition, "a", &half), ErrorCode::InvalidRequest);
    assert_eq!(partition.next_state_write(), None, "nothing of it counts");
    let fixed = Limits { is_renewable: false, ..LIMITS };
    let renewed = partition.acknowledge(1, &fixed, "a", &[say(0, 0, Kind::Renew)]);
    assert_eq!(renewed.unwrap_err().code, ErrorCode::InvalidRecordState);
}

#[test]
fn a_renewed_lock_lasts_longer_and_is_not_written() {
    let mut partition = partition();
    partition.acquire(0, &LIMITS, &owner("a", 1), 0, &read(&[(0, 9)]), want(10));
    assert_eq!(partition.acknowledge(90, &LIMITS, "a", &[say(0, 4, Kind::Renew)]), Ok(Taken::AtOnce));
    assert_eq!(partition.next_state_write(), None);
    partition.tick(100, &LIMITS);
    assert_eq!(partition.next_fetch(&LIMITS), Some(5));
    partition.tick(190, &LIMITS);
    assert_eq!(partition.next_fetch(&LIMITS), Some(0));
}

#[test]
fn a_record_that_was_given_out_too_often_is_archived_and_alone_before() {
    let mut partition = partition();
    let all = read(&[(0, 7)]);
    let mut now = 0;
    let mut given = Vec::new();
    while given.len() < 40 && partition.next_fetch(&LIMITS) == Some(0) {
        let some = partition.acquire(now, &LIMITS, &owner("a", 1), 0, &all, want(100));
        given.push(some.iter().map(|some| some.last - some.first + 1).sum::<i64>());
        now += 100;
        partition.tick(now, &LIMITS);
    }
    // All together twice; then, with their last delivery, one at a time.
    assert_eq!(given[..3], [8, 8, 1]);
    while let Some(offset) = partition.next_fetch(&LIMITS).filter(|offset| *offset < 8) {
        let some = partition.acquire(now, &LIMITS, &owner("a", 1), offset, &all, want(100));
        assert_eq!(some, [got(offset, offset, 3)]);
        now += 100;
        partition.tick(now, &LIMITS);
    }
    assert_eq!(store(&mut partition).start, 8);
}

#[test]
fn the_window_is_bounded_and_moves_with_its_beginning() {
    let mut partition = partition();
    let a = owner("a", 1);
    let all = read(&[(0, 99)]);
    assert_eq!(partition.acquire(0, &LIMITS, &a, 0, &all, want(500)), [got(0, 39, 1)]);
    assert_eq!(partition.next_fetch(&LIMITS), None);
    partition.acknowledge(1, &LIMITS, "a", &[say(1, 39, Kind::Accept)]).unwrap();
    let write = store(&mut partition);
    assert_eq!((write.start, write.done), (0, 39));
    assert_eq!(partition.next_fetch(&LIMITS), None, "the first is still under way");
    let before = partition.changes();
    partition.acknowledge(2, &LIMITS, "a", &[say(0, 0, Kind::Accept)]).unwrap();
    store(&mut partition);
    assert_ne!(partition.changes(), before);
    assert_eq!(partition.next_fetch(&LIMITS), Some(40));
    assert_eq!(partition.acquire(3, &LIMITS, &a, 40, &all, want(500)), [got(40, 79, 1)]);
}

#[test]
fn a_strict_fetch_takes_no_more_than_it_asks_for_and_others_take_whole_batches() {
    let mut partition = partition();
    let a = owner("a", 1);
    let strict = Want { is_strict: true, ..want(3) };
    let all = read(&[(0, 4), (5, 9), (10, 14)]);
    assert_eq!(partition.acquire(0, &LIMITS, &a, 0, &all, strict), [got(0, 2, 1)]);
    assert_eq!(partition.acquire(0, &LIMITS, &a, 3, &all, want(3)), [got(3, 9, 1)]);
    let small = Want { batch_size: 2, ..want(100) };
    let all = read(&[(10, 10), (11, 11), (12, 12), (13, 17), (18, 18)]);
    assert_eq!(
        partition.acquire(0, &LIMITS, &a, 10, &all, small),
        [got(10, 11, 1), got(12, 17, 1), got(18, 18, 1)],
        "ranges that are acknowledged together end where a batch does"
    );
}

#[test]
fn offsets_without_records_and_aborted_records_are_done_with_by_themselves() {
    let mut partition = partition();
    let mut all = read(&[(3, 4)]);
    all.push(ReadBatch { first: 7, last: 8, archive: Archive::Yes });
    all.push(ReadBatch { first: 10, last: 11, archive: Archive::No });
    let found = partition.acquire(0, &LIMITS, &owner("a", 1), 0, &all, want(100));
    assert_eq!(found, [got(3, 4, 1), got(10, 11, 1)]);
    partition.acknowledge(0, &LIMITS, "a", &[say(3, 4, Kind::Accept)]).unwrap();
    let write = store(&mut partition);
    assert_eq!((write.start, partition.start()), (10, 10));
}

#[test]
fn where_a_log_has_lost_its_beginning_a_share_partition_begins_behind_it() {
    let mut partition = partition();
    partition.acquire(0, &LIMITS, &owner("a", 1), 0, &read(&[(0, 9)]), want(100));
    partition.begin_at(5);
    assert_eq!((partition.start(), partition.next_fetch(&LIMITS)), (5, Some(10)));
    assert_eq!(partition.acknowledge(0, &LIMITS, "a", &[say(0, 9, Kind::Accept)]), Ok(Taken::With(1)));
    assert_eq!(store(&mut partition).start, 10);
    partition.begin_at(50);
    assert_eq!((partition.start(), partition.end(), partition.next_fetch(&LIMITS)), (50, 50, Some(50)));
}

#[test]
fn what_was_stored_is_there_again_and_what_was_given_out_is_given_out_again() {
    let mut partition = partition();
    partition.acquire(0, &LIMITS, &owner("a", 1), 0, &read(&[(0, 9)]), want(100));
    let said = [say(2, 3, Kind::Accept), say(5, 5, Kind::Release)];
    partition.acknowledge(0, &LIMITS, "a", &said).unwrap();
    let write = store(&mut partition);
    let after = Stored { state_epoch: 1, start: write.start, batches: write.batches };
    let mut partition = SharePartition::load(&after, write.start);
    let b = owner("b", 1);
    let found = partition.acquire(0, &LIMITS, &b, 0, &read(&[(0, 9)]), want(100));
    assert_eq!(found, [got(0, 1, 1), got(4, 4, 1), got(5, 5, 2), got(6, 9, 1)]);
}

#[test]
fn a_delivery_that_is_under_way_is_not_counted_durably() {
    let mut partition = partition();
    let all = read(&[(0, 0)]);
    partition.acquire(0, &LIMITS, &owner("a", 1), 0, &all, want(1));
    partition.release(&LIMITS, 1);
    partition.acquire(0, &LIMITS, &owner("b", 2), 0, &all, want(1));
    let ended = StateBatch { first: 0, last: 0, state: Delivery::Available, deliveries: 1 };
    assert_eq!(store(&mut partition).batches, [ended]);
}

// ---- lives ------------------------------------------------------------------------------------------------

/// What the model knows of an offset.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Who has it, and until when.
    held: Option<(usize, i64)>,
    /// Deliveries in this life of the process and, durably, before it.
    deliveries: u16,
    /// The session that it was given out in.
    session: u64,
    /// It is not given out any more.
    is_done: bool,
    /// It was answered that it is done.
    is_answered: bool,
}

struct Life {
    rng: Rng,
    now: i64,
    partition: SharePartition,
    /// What is stored.
    start: i64,
    batches: Batches,
    known: BTreeMap<i64, Known>,
    log: Vec<ReadBatch>,
    log_start: i64,
    log_end: i64,
    /// Acknowledgements that wait for a write.
    waiting: Vec<(u64, Vec<(i64, Kind)>)>,
    on_its_way: Option<StateWrite>,
    letters: Option<Vec<Letter>>,
    /// What is to be dead letters, durably or by the member's or the clock's word; and what is in the queue.
    owed: BTreeSet<i64>,
    queue: BTreeSet<i64>,
    limits: Limits,
    /// Sessions of members, which change when one comes anew.
    sessions: [u64; 3],
    given: u64,
}

impl Life {
    fn new(seed: u64) -> Life {
        Life {
            rng: Rng::with_seed(seed),
            now: 0,
            partition: partition(),
            start: 0,
            batches: Batches::default(),
            known: BTreeMap::new(),
            log: Vec::new(),
            log_start: 0,
            log_end: 0,
            waiting: Vec::new(),
            on_its_way: None,
            letters: None,
            owed: BTreeSet::new(),
            queue: BTreeSet::new(),
            limits: Limits { has_dead_letters: seed % 2 == 1, ..LIMITS },
            sessions: [1, 2, 3],
            given: 0,
        }
    }

    fn produce(&mut self) {
        if self.rng.u8(..10) == 0 {
            self.log_end += self.rng.i64(1..6);
        }
        let (first, last) = (self.log_end, self.log_end + self.rng.i64(0..8));
        let archive = if self.rng.u8(..8) == 0 { Archive::Yes } else { Archive::No };
        self.log.push(ReadBatch { first, last, archive });
        self.log_end = last + 1;
    }

    fn fetch(&mut self) {
        let limits = self.limits;
        let Some(offset) = self.partition.next_fetch(&limits) else { return };
        if offset < self.log_start {
            self.partition.begin_at(self.log_start);
            self.known.retain(|at, _| *at >= self.log_start);
            return;
        }
        let mut read = ReadBatches::default();
        let some = self.rng.usize(1..6);
        self.log
            .iter()
            .filter(|batch| batch.last >= offset && batch.last >= self.log_start)
            .take(some)
            .for_each(|batch| read.push(*batch));
        let member = self.rng.usize(..3);
        let owner = owner(&member.to_string(), self.sessions[member]);
        let want = Want {
            records_max: self.rng.i64(0..20),
            is_strict: self.rng.bool(),
            batch_size: self.rng.i64(1..10),
        };
        let found = self.partition.acquire(self.now, &limits, &owner, offset, &read, want);
        let count: i64 = found.iter().map(|found| found.last - found.first + 1).sum();
        assert!(!want.is_strict || count <= want.records_max, "{found:?}");
        for found in found {
            for at in found.first..=found.last {
                let is_there = self
                    .log
                    .iter()
                    .any(|batch| (batch.first..=batch.last).contains(&at) && batch.archive == Archive::No);
                assert!(is_there, "{at} is no record");
                let known = self.known.entry(at).or_default();
                assert!(known.held.is_none(), "{at} is with two members");
                assert!(!known.is_done, "{at} has come back");
                assert!(!self.queue.contains(&at), "{at} is a dead letter, and has come back");
                known.deliveries += 1;
                assert_eq!(found.deliveries, known.deliveries, "{at}");
                known.held = Some((member, self.now + LIMITS.lock_ms));
                known.session = self.sessions[member];
                self.given += 1;
            }
        }
    }

    fn acknowledge(&mut self) {
        let member = self.rng.usize(..3);
        let held = self.known.iter().filter(|(_, known)| known.held.is_some_and(|(by, _)| by == member));
        let settling: BTreeSet<_> =
            self.waiting.iter().flat_map(|(_, said)| said.iter().map(|(at, _)| *at)).collect();
        let held: Vec<_> = held.map(|(at, _)| *at).filter(|at| !settling.contains(at)).collect();
        let Some(first) = held.first().copied() else { return };
        let count = 1 + self.rng.usize(..held.len());
        let run: Vec<_> =
            held[..count].iter().copied().zip(first..).take_while(|(at, next)| at == next).collect();
        let kinds =
            [Kind::Accept, Kind::Accept, Kind::Accept, Kind::Release, Kind::Reject, Kind::Renew, Kind::Gap];
        let said: Vec<_> = run.iter().map(|(at, _)| (*at, self.rng.choice(kinds).unwrap())).collect();
        let last = said.last().unwrap().0;
        let one = Acknowledgement { first, last, kinds: said.iter().map(|(_, kind)| *kind).collect() };
        match self.partition.acknowledge(self.now, &self.limits, &member.to_string(), &[one]).unwrap() {
            Taken::AtOnce => assert!(said.iter().all(|(_, kind)| *kind == Kind::Renew)),
            Taken::With(write) => {
                let kept = said.iter().filter(|(_, kind)| *kind != Kind::Renew).copied();
                self.waiting.push((write, kept.collect()));
            }
        }
        for (at, _) in said.iter().filter(|(_, kind)| *kind == Kind::Renew) {
            self.known.get_mut(at).unwrap().held = Some((member, self.now + LIMITS.lock_ms));
        }
    }

    fn write(&mut self) {
        if self.on_its_way.is_none() {
            self.on_its_way = self.partition.next_state_write();
        }
    }

    fn store(&mut self, write: &StateWrite) {
        assert!(write.start >= self.start, "the start goes back");
        self.start = write.start;
        self.batches.merge(write.start, &write.batches);
        let durable = self.durable();
        for at in self.owed.difference(&self.queue) {
            let is_archived = durable.get(at).is_some_and(|of| of.0 == Delivery::Archived);
            assert!(*at >= self.start && !is_archived, "{at} is archived, and no dead letter");
        }
    }

    /// What is stored of each offset.
    fn durable(&self) -> BTreeMap<i64, (Delivery, u16)> {
        let batches = self.batches.to_vec().into_iter();
        batches
            .flat_map(|batch| (batch.first..=batch.last).map(move |at| (at, (batch.state, batch.deliveries))))
            .collect()
    }

    /// Takes dead letters, or hears what became of those that are on their way.
    fn send(&mut self, are_written: bool) {
        match self.letters.take() {
            None => self.letters = self.partition.next_letters(&self.limits, self.rng.i64(1..6)),
            Some(letters) => {
                let count = if are_written { letters.len() } else { self.rng.usize(..=letters.len()) };
                let written: Vec<_> = letters.iter().map(|of| (of.first, of.last)).take(count).collect();
                for at in written.iter().flat_map(|(first, last)| *first..=*last) {
                    let is_owed = self.owed.contains(&at) || !self.known.contains_key(&at);
                    assert!(is_owed, "{at} is a dead letter, and is none");
                    self.queue.insert(at);
                }
                self.partition.letters_written(&written);
            }
        }
    }

    fn settle(&mut self, is_stored: bool) {
        let Some(write) = self.on_its_way.take() else { return };
        if is_stored {
            self.store(&write);
        }
        let number = self.partition.written(&self.limits, is_stored);
        let settled: Vec<_> = self.waiting.extract_if(.., |(write, _)| *write <= number).collect();
        for (at, kind) in settled.into_iter().flat_map(|(_, said)| said) {
            let Some(known) = self.known.get_mut(&at).filter(|_| is_stored) else { continue };
            let is_last = known.deliveries >= LIMITS.deliveries_max;
            if self.limits.has_dead_letters && (kind == Kind::Reject || kind == Kind::Release && is_last) {
                self.owed.insert(at);
            }
            known.is_done = kind != Kind::Release || is_last;
            known.is_answered = known.is_done;
            known.held = None;
        }
        if !is_stored {
            self.partition.tick(self.now, &self.limits);
            self.expire(|_, until, now| until <= now);
        }
    }

    /// Locks that are over end in the model; those that settle do not.
    fn expire(&mut self, is_over: impl Fn(u64, i64, i64) -> bool) {
        let settling: BTreeSet<_> =
            self.waiting.iter().flat_map(|(_, said)| said.iter().map(|(at, _)| *at)).collect();
        for (at, known) in &mut self.known {
            if known.held.is_some_and(|(_, until)| is_over(known.session, until, self.now))
                && !settling.contains(at)
            {
                known.held = None;
                if known.deliveries >= LIMITS.deliveries_max {
                    known.is_done = true;
                    self.owed.extend(Some(*at).filter(|_| self.limits.has_dead_letters));
                }
            }
        }
    }

    /// The process ends, and what was on its way has arrived or not.
    fn crash(&mut self) {
        let mut has_arrived = false;
        if let Some(write) = self.on_its_way.take()
            && self.rng.bool()
        {
            has_arrived = true;
            self.store(&write);
        }
        self.waiting.clear();
        let mut sent = self.letters.take().unwrap_or_default();
        sent.truncate(self.rng.usize(..=sent.len()));
        self.queue.extend(sent.iter().flat_map(|letter| letter.first..=letter.last));
        let stored = Stored { state_epoch: 1, start: self.start, batches: self.batches.to_vec() };
        self.partition = SharePartition::load(&stored, self.start.max(self.log_start));
        self.sessions = self.sessions.map(|session| session + 3);
        let durable = self.durable();
        // What was not stored of deliveries is given out again; what was is owed, whoever heard of it.
        let start = self.start;
        let is_over = |at: &i64| durable.get(at).is_some_and(|of| of.0 != Delivery::Available);
        self.owed.retain(|at| *at < start || is_over(at));
        let archiving = durable.iter().filter(|(_, of)| of.0 == Delivery::Archiving);
        self.owed.extend(archiving.map(|(at, _)| *at));
        for (at, known) in &mut self.known {
            let is_done = *at < self.start || durable.get(at).is_some_and(|of| of.0 != Delivery::Available);
            assert!(!known.is_answered || is_done, "{at} was answered, and has come back");
            assert!(!is_done || known.is_done || has_arrived, "{at} is lost");
            known.is_done = is_done;
            known.held = None;
            known.deliveries = durable.get(at).map_or(0, |of| of.1);
        }
    }

    fn step(&mut self) {
        match self.rng.u8(..28) {
            24..28 => {
                let are_written = self.rng.u8(..4) > 0;
                self.send(are_written);
            }
            0..4 => self.produce(),
            4..9 => self.fetch(),
            9..14 => self.acknowledge(),
            14..17 => self.write(),
            17..20 => {
                let is_stored = self.rng.u8(..6) > 0;
                self.settle(is_stored);
            }
            20 => {
                self.now += self.rng.i64(0..80);
                self.partition.tick(self.now, &self.limits);
                self.expire(|_, until, now| until <= now);
            }
            21 => {
                let member = self.rng.usize(..3);
                self.partition.release(&self.limits, self.sessions[member]);
                let session = self.sessions[member];
                self.expire(|of, _, _| of == session);
                self.sessions[member] += 3;
            }
            22 if self.rng.u8(..8) == 0 => self.crash(),
            23 if self.rng.u8(..8) == 0 => {
                self.log_start =
                    self.log_start.max(self.partition.start() + self.rng.i64(0..4)).min(self.log_end);
                self.partition.begin_at(self.log_start);
                self.known.retain(|at, _| *at >= self.log_start);
            }
            _ => {}
        }
    }

    /// Everybody acknowledges what it gets, until nothing is left.
    fn finish(&mut self) {
        for _ in 0..2000 {
            self.write();
            self.settle(true);
            self.now += LIMITS.lock_ms;
            self.partition.tick(self.now, &self.limits);
            self.expire(|_, until, now| until <= now);
            self.fetch();
            self.send(true);
            for _ in 0..10 {
                self.acknowledge();
            }
            self.write();
            self.settle(true);
            if self.partition.start() >= self.log_end && !self.partition.is_busy() {
                let missing: Vec<_> = self.owed.difference(&self.queue).collect();
                assert!(missing.is_empty(), "{missing:?} are no dead letters");
                return;
            }
        }
        panic!("it does not end: {:?}", self.partition);
    }

    fn check(&self) {
        let SharePartition { start, end, slots, .. } = &self.partition;
        let covered: i64 = slots.iter().map(|(first, last, _)| last - first + 1).sum();
        assert_eq!(covered, end - start, "every offset of the window is in one state");
        assert!(slots.iter().all(|(first, last, _)| first >= *start && last < *end));
        let held = slots.iter().filter(|(_, _, slot)| !slot.is_done());
        let held: i64 = held.map(|(first, last, _)| last - first + 1).sum();
        assert!(held <= LIMITS.locks_max, "{held} records are under way");
    }
}

#[test]
fn d9_in_random_lives_no_record_is_with_two_and_none_that_is_done_comes_back() {
    let (mut given, mut letters) = (0, 0);
    for seed in 0..200 {
        let mut life = Life::new(seed);
        for _ in 0..400 {
            life.step();
            life.check();
        }
        life.finish();
        life.check();
        given += life.given;
        letters += life.queue.len();
    }
    assert!(given > 14_000, "{given} records were given out");
    assert!(letters > 1000, "{letters} dead letters were written");
}

/// A partition of which the first ten records are with a member.
fn given_out() -> SharePartition {
    let mut partition = partition();
    partition.acquire(0, &LETTERS, &owner("a", 1), 0, &read(&[(0, 9)]), want(10));
    partition
}

const LETTERS: Limits = Limits { has_dead_letters: true, ..LIMITS };

fn letter(first: i64, last: i64, deliveries: u16, cause: Cause) -> Letter {
    Letter { first, last, deliveries, cause }
}

fn batch(first: i64, last: i64, state: Delivery, deliveries: u16) -> StateBatch {
    StateBatch { first, last, state, deliveries }
}

#[test]
fn d9_a_rejected_record_is_archived_when_its_dead_letter_is_durable_and_not_before() {
    let mut partition = given_out();
    let said = [say(0, 1, Kind::Reject), say(2, 2, Kind::Gap), say(3, 9, Kind::Accept)];
    partition.acknowledge(1, &LETTERS, "a", &said).unwrap();
    assert_eq!(partition.next_letters(&LETTERS, 100), None, "it is not durable that nobody shall have it");
    let write = partition.next_state_write().unwrap();
    let archiving = batch(0, 1, Delivery::Archiving, 1);
    assert_eq!((write.start, write.done, write.batches[0]), (0, 8, archiving));
    assert_eq!(partition.next_letters(&LETTERS, 100), None);
    partition.written(&LETTERS, true);
    assert_eq!(partition.next_letters(&LETTERS, 100), Some(vec![letter(0, 1, 1, Cause::Rejected)]));
    assert_eq!(partition.next_letters(&LETTERS, 100), None, "they are on their way");
    assert_eq!((partition.next_state_write(), partition.is_busy(), partition.letters()), (None, true, 2));
    // The queue has taken one of them.
    partition.letters_written(&[(0, 0)]);
    assert_eq!(store(&mut partition), StateWrite { start: 1, batches: Vec::new(), done: 8 });
    assert_eq!(partition.next_letters(&LETTERS, 100), Some(vec![letter(1, 1, 1, Cause::Rejected)]));
    partition.letters_written(&[(1, 1)]);
    assert_eq!(store(&mut partition), StateWrite { start: 10, batches: Vec::new(), done: 0 });
    assert!(!partition.is_busy());
}

#[test]
fn a_record_that_came_back_too_often_is_a_dead_letter_once_that_is_durable() {
    let mut partition = given_out();
    for delivery in 1..LETTERS.deliveries_max {
        partition.tick(1000 * i64::from(delivery), &LETTERS);
        store(&mut partition);
        for at in 0..10 {
            let again = owner("a", u64::from(delivery) * 10 + at as u64);
            partition.acquire(1000 * i64::from(delivery), &LETTERS, &again, at, &read(&[(0, 9)]), want(1));
        }
    }
    partition.acknowledge(2001, &LETTERS, "a", &[say(5, 5, Kind::Release)]).unwrap();
    partition.release(&LETTERS, 20);
    assert_eq!(partition.next_letters(&LETTERS, 100), None, "nothing of it is durable");
    partition.next_state_write().unwrap();
    partition.written(&LETTERS, false);
    assert_eq!(partition.next_letters(&LETTERS, 100), None, "it was not taken");
    partition.acknowledge(2001, &LETTERS, "a", &[say(5, 5, Kind::Release)]).unwrap();
    store(&mut partition);
    let letters = [letter(0, 0, 3, Cause::Undelivered), letter(5, 5, 3, Cause::Undelivered)];
    assert_eq!(partition.next_letters(&LETTERS, 100), Some(letters.to_vec()));
    let late = partition.acknowledge(2002, &LETTERS, "a", &[say(0, 0, Kind::Accept)]);
    assert_eq!(late.unwrap_err().code, ErrorCode::InvalidRecordState);
}

#[test]
fn d9_what_the_log_loses_takes_no_dead_letter_with_it() {
    let mut partition = given_out();
    partition.acknowledge(1, &LETTERS, "a", &[say(3, 4, Kind::Reject)]).unwrap();
    store(&mut partition);
    partition.begin_at(30);
    assert_eq!((partition.start(), partition.end()), (3, 30));
    assert_eq!(store(&mut partition).start, 3);
    let changes = partition.changes();
    partition.begin_at(30);
    assert_eq!(partition.changes(), changes, "whoever waits does not look in vain");
    assert_eq!(partition.next_letters(&LETTERS, 100), Some(vec![letter(3, 4, 1, Cause::Rejected)]));
    partition.letters_written(&[(3, 4)]);
    assert_eq!(store(&mut partition), StateWrite { start: 30, batches: Vec::new(), done: 0 });
    assert_eq!(partition.next_fetch(&LETTERS), Some(30));
}

#[test]
fn d9_dead_letters_of_a_process_before_are_written_again_and_their_cause_is_told_by_the_deliveries() {
    let batches = vec![batch(2, 3, Delivery::Archiving, 1), batch(5, 5, Delivery::Archiving, 3)];
    let stored = Stored { state_epoch: 1, start: 2, batches };
    let expected = vec![letter(2, 3, 1, Cause::Rejected), letter(5, 5, 3, Cause::Undelivered)];
    for log_start in [0, 4, 100] {
        let mut partition = SharePartition::load(&stored, log_start);
        assert_eq!(partition.next_letters(&LETTERS, 100).as_ref(), Some(&expected), "{log_start}");
        partition.letters_written(&[(2, 5)]);
        assert_eq!(store(&mut partition).start, log_start.max(4));
    }
}

#[test]
fn d11_so_many_dead_letters_go_at_a_time_and_they_fill_the_window() {
    let mut partition = partition();
    partition.acquire(0, &LETTERS, &owner("a", 1), 0, &read(&[(0, 99)]), want(100));
    assert_eq!(partition.end(), LETTERS.locks_max);
    partition.acknowledge(1, &LETTERS, "a", &[say(0, 39, Kind::Reject)]).unwrap();
    store(&mut partition);
    assert_eq!(partition.next_letters(&LETTERS, 15), Some(vec![letter(0, 14, 1, Cause::Rejected)]));
    assert_eq!(partition.next_fetch(&LETTERS), None, "nothing is given out while the queue takes nothing");
    partition.letters_written(&[(0, 14)]);
    store(&mut partition);
    assert_eq!(partition.next_fetch(&LETTERS), Some(40));
}
