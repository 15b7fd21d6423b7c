//! Who gets the turn to look for records: on the table of a shard, whose orders are carried out by hand.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_channel::oneshot::Receiver;
use strandline_engine::Isolation;
use strandline_engine::types::TopicId;

use super::table::{Leader, Order, Table};
use super::*;
use crate::config::Reset;
use crate::coordination::Unavailable;
use crate::share::batches::{Archive, ReadBatch};
use crate::share::partition::{Kind, Limits};

const LIMITS: Limits = Limits {
    lock_ms: 1000,
    deliveries_max: u16::MAX,
    locks_max: 20,
    is_renewable: true,
    has_dead_letters: false,
};

/// None of the fetches.
const NOBODY: [usize; 0] = [];

fn asked() -> Asked {
    let topic = TopicId::from_bytes([1; 16]);
    Asked {
        key: ShareKey { group: "g".to_owned(), topic, partition: 0 },
        partition: PartitionId::new(topic, 0),
        leader_epoch: 0,
        limits: LIMITS,
        isolation: Isolation::ReadUncommitted,
        reset: Reset::Earliest,
    }
}

/// A fetch that waits, or has the turn.
struct Fetch {
    since: Instant,
    pending: Option<Receiver<Result<Result<Turn, ErrorCode>, Unavailable>>>,
    turn: Option<Turn>,
    looked: Option<Looked>,
}

impl Fetch {
    /// Takes its turn where it was given one.
    fn has_turn(&mut self) -> bool {
        if let Some(pending) = &mut self.pending
            && let Ok(Some(given)) = pending.try_recv()
        {
            self.turn = Some(given.expect("it is served").expect("it is served"));
            self.pending = None;
        }
        self.turn.is_some()
    }
}

/// A share partition on a log of single records, and what its task waits for.
struct Play {
    table: Table,
    begun: Instant,
    term: u64,
    now: i64,
    log_end: i64,
    watches: Vec<(u64, i64, Receiver<()>)>,
    turns: Vec<(TurnNumber, Receiver<()>)>,
    turns_given: usize,
    watches_begun: usize,
    fetches: u64,
}

impl Play {
    fn new() -> Play {
        let table = Table::new(0, Rc::new(|_| None));
        let mut play = Play {
            table,
            begun: Instant::now(),
            term: 0,
            now: 0,
            log_end: 0,
            watches: Vec::new(),
            turns: Vec::new(),
            turns_given: 0,
            watches_begun: 0,
            fetches: 0,
        };
        play.table.ask(asked(), Box::new(|_| {}));
        let Some(Order::Load { term, key, asked }) = play.table.next_order() else { panic!("it is read") };
        play.term = term;
        let stored = Stored { state_epoch: 1, start: 0, batches: Vec::new() };
        play.table.loaded((term, &key, &asked), Ok((SharePartition::load(&stored, 0), 1)));
        play
    }

    /// Does what the table orders, until it orders nothing any more.
    fn settle(&mut self) {
        let key = asked().key;
        loop {
            while let Some(order) = self.table.next_order() {
                match order {
                    Order::Write { term, key, .. } => self.table.written(term, &key, Ok(())),
                    Order::AwaitTurn { turn, ended, .. } => {
                        self.turns_given += 1;
                        self.turns.push((turn, ended));
                    }
                    Order::Watch { number, beyond, ended, .. } => {
                        self.watches_begun += 1;
                        self.watches.push((number, beyond, ended));
                    }
                    Order::Load { .. } | Order::Send { .. } => panic!("nothing is read or sent"),
                }
            }
            self.watches.retain_mut(|(_, _, ended)| matches!(ended.try_recv(), Ok(None)));
            let over = self.turns.extract_if(.., |(_, ended)| ended.try_recv().is_err());
            let over: Vec<_> = over.map(|(turn, _)| turn).collect();
            let grown = self.watches.iter().position(|(_, beyond, _)| *beyond < self.log_end);
            match (over.is_empty(), grown) {
                (true, None) => return,
                (true, Some(at)) => {
                    let (number, ..) = self.watches.remove(at);
                    self.table.watched(self.term, &key, number, Some(self.log_end));
                }
                (false, _) => over.iter().for_each(|turn| self.table.turn_ended(self.term, &key, *turn)),
            }
        }
    }

    fn with<T: 'static>(&mut self, operation: impl FnOnce(&mut Leader, i64) -> T + 'static) -> T {
        let (reply, mut answer) = Reply::new();
        self.table.ask(
            asked(),
            Box::new(move |leader| {
                let (leader, now) = leader.expect("it is served");
                reply.send(operation(leader, now));
            }),
        );
        answer.try_recv().ok().flatten().expect("it is answered at once").expect("it is served")
    }

    /// A fetch that has come, and waits.
    fn fetch(&mut self, looked: Option<Looked>) -> Fetch {
        self.fetches += 1;
        let since = self.begun + Duration::from_nanos(self.fetches);
        let mut fetch = Fetch { since, pending: None, turn: None, looked };
        self.wait(&mut fetch, looked);
        fetch
    }

    fn wait(&mut self, fetch: &mut Fetch, looked: Option<Looked>) {
        let (reply, pending) = Reply::new();
        let turn = fetch.turn.take();
        let wait = Wait { since: fetch.since, looked, turn: turn.as_ref().map(|turn| turn.number) };
        self.with(move |leader, _| leader.queue.push(wait, reply));
        (fetch.pending, fetch.looked) = (Some(pending), looked);
        drop(turn);
        self.settle();
    }

    /// What there is at an offset is offered to a member: the records that it gets.
    fn acquire(&mut self, fetch: &Fetch, offset: i64, records_max: i64, member: u64) -> Vec<i64> {
        let mut read = ReadBatches::default();
        for first in offset..self.log_end {
            read.push(ReadBatch { first, last: first, archive: Archive::No });
        }
        let turn = fetch.turn.as_ref().map(|turn| turn.number);
        let found = Found { offset, read, log_end: self.log_end, turn };
        let want = Want { records_max, is_strict: true, batch_size: 1 };
        let owner = Rc::new(Owner { member: member.to_string(), session: member });
        let acquired = self.with(move |leader, now| leader.acquire(now, &owner, &found, want));
        self.settle();
        acquired.iter().flat_map(|acquired| acquired.first..=acquired.last).collect()
    }

    /// A fetch with the turn takes what it is told of, and is over.
    fn take(&mut self, mut fetch: Fetch, records_max: i64, member: u64) -> Vec<i64> {
        assert!(fetch.has_turn());
        let next = fetch.turn.as_mut().and_then(|turn| turn.next.take()).expect("it is new");
        let records = self.acquire(&fetch, next.offset.expect("there is something"), records_max, member);
        drop(fetch);
        self.settle();
        records
    }

    fn say(&mut self, member: u64, records: &[i64], kind: Kind) {
        let said = records.iter().map(|at| Acknowledgement { first: *at, last: *at, kinds: vec![kind] });
        let said: Vec<_> = said.collect();
        let (reply, _answer) = Reply::new();
        self.with(move |leader, now| leader.acknowledge(now, &member.to_string(), &said, reply));
        self.settle();
    }

    fn produce(&mut self, records: i64) {
        self.log_end += records;
        self.settle();
    }

    fn tick(&mut self, by: i64) {
        self.now += by;
        self.table.tick(self.now);
        self.settle();
    }
}

fn with_turn(fetches: &mut [Fetch]) -> Vec<usize> {
    let with_turn = fetches.iter_mut().enumerate().filter_map(|(at, fetch)| fetch.has_turn().then_some(at));
    with_turn.collect()
}

#[test]
fn d11_each_record_wakes_one_of_a_hundred_fetches_that_wait_and_the_log_is_watched_once_for_all() {
    let mut play = Play::new();
    let mut fetches: Vec<_> = (0..100).map(|_| play.fetch(None)).collect();
    assert_eq!((play.turns_given, play.watches_begun), (0, 1));
    for record in 0..20 {
        play.produce(1);
        assert_eq!(with_turn(&mut fetches), [0], "whoever came first");
        assert_eq!(play.take(fetches.remove(0), 1, 7), [record]);
        assert_eq!(with_turn(&mut fetches), NOBODY, "nothing is left");
    }
    play.produce(1);
    assert_eq!(with_turn(&mut fetches), NOBODY, "there are as many locks as there may be");
    assert_eq!(play.turns_given, 20);
    assert!(play.watches_begun <= 22, "{} watches", play.watches_begun);
}

#[test]
fn fetches_get_records_in_the_order_in_which_they_came_and_none_starves() {
    let mut play = Play::new();
    play.produce(100_000);
    let mut fetches: Vec<_> = (0..30).map(|member| (member, play.fetch(None))).collect();
    let (mut held, mut counts): (VecDeque<(u64, Vec<i64>)>, _) = (VecDeque::new(), [0; 30]);
    for round in 0..900 {
        let had: Vec<_> =
            fetches.iter_mut().filter_map(|(member, fetch)| fetch.has_turn().then_some(*member)).collect();
        match had[..] {
            [] => {
                let (member, records) = held.pop_front().expect("the locks of others are the reason");
                play.say(member, &records, Kind::Accept);
                fetches.push((member, play.fetch(None)));
            }
            [member] => {
                let (first, fetch) = fetches.remove(0);
                assert_eq!(first, member, "round {round}");
                counts[member as usize] += 1;
                let records = play.take(fetch, 5, member);
                held.push_back((member, records));
            }
            _ => panic!("round {round}: {had:?} look at the same time"),
        }
    }
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least > 10 && most - least <= 1, "{counts:?}");
}

#[test]
fn a_turn_goes_on_when_its_fetch_has_gone_or_leaves_something() {
    let mut play = Play::new();
    let mut fetches: Vec<_> = (0..5).map(|_| play.fetch(None)).collect();
    drop(fetches.remove(0));
    play.produce(7);
    assert_eq!(with_turn(&mut fetches), [0], "the one before it has gone");
    drop(fetches.remove(0));
    play.settle();
    // Not received: the turn is in the channel when that is dropped.
    drop(fetches.remove(0));
    play.settle();
    assert_eq!(with_turn(&mut fetches), [0]);
    assert_eq!(play.take(fetches.remove(0), 4, 1), [0, 1, 2, 3]);
    assert_eq!(with_turn(&mut fetches), [0], "it left something");
    assert_eq!(play.take(fetches.remove(0), 4, 2), [4, 5, 6]);
}

#[test]
fn records_that_come_back_or_make_room_give_somebody_the_turn() {
    let mut play = Play::new();
    play.produce(30);
    let mut first = play.fetch(None);
    assert!(first.has_turn());
    let records = play.take(first, 100, 1);
    assert_eq!(records.len(), 20);
    let mut fetches: Vec<_> = (0..4).map(|_| play.fetch(None)).collect();
    assert_eq!(with_turn(&mut fetches), NOBODY);
    play.say(1, &records[3..4], Kind::Release);
    assert_eq!(play.take(fetches.remove(0), 1, 2), [3], "it was released");
    assert_eq!(with_turn(&mut fetches), NOBODY);
    play.say(1, &records[..2], Kind::Accept);
    assert_eq!(play.take(fetches.remove(0), 9, 2), [20, 21], "there is room for others");
    assert_eq!(with_turn(&mut fetches), NOBODY);
    play.table.release(&asked().key, 2);
    play.settle();
    assert_eq!(play.take(fetches.remove(0), 9, 3), [3, 20, 21], "a session has ended");
    assert_eq!(with_turn(&mut fetches), NOBODY);
    play.tick(LIMITS.lock_ms);
    assert_eq!(play.take(fetches.remove(0), 3, 4), [2, 3, 4], "locks have expired");
}

#[test]
fn a_fetch_that_leaves_what_it_saw_holds_up_nobody_and_looks_again_when_there_is_more() {
    let mut play = Play::new();
    let mut choosy = play.fetch(None);
    play.produce(1);
    assert!(choosy.has_turn());
    let saw = |log_end| Some(Looked { changes: 0, log_end });
    play.wait(&mut choosy, saw(1));
    assert!(!choosy.has_turn(), "it has seen that");
    let mut other = play.fetch(None);
    assert!(other.has_turn());
    play.produce(1);
    assert!(!choosy.has_turn(), "the other one has the turn");
    play.wait(&mut other, saw(2));
    assert!(choosy.has_turn(), "there is more than it has seen, and it came before the other");
    play.wait(&mut choosy, saw(2));
    play.produce(1);
    assert!(choosy.has_turn() && !other.has_turn());
}

#[test]
fn a_fetch_that_comes_while_another_has_the_turn_leaves_it_what_there_is_unless_it_waits_no_longer() {
    let mut play = Play::new();
    let mut first = play.fetch(None);
    play.produce(1);
    assert!(first.has_turn());
    let turn = first.turn.as_ref().map(|turn| turn.number);
    assert_eq!(play.with(|leader, _| leader.next_fetch(true, None)).offset, None);
    assert_eq!(play.with(move |leader, _| leader.next_fetch(true, turn)).offset, Some(0), "its own");
    assert_eq!(play.with(|leader, _| leader.next_fetch(false, None)).offset, Some(0), "it waits no longer");
    assert_eq!(play.take(first, 1, 1), [0]);
    assert_eq!(play.with(|leader, _| leader.next_fetch(true, None)).offset, Some(1));
}

#[test]
fn a_log_that_is_shorter_than_it_was_is_watched_from_its_new_end_on() {
    let mut play = Play::new();
    play.produce(5);
    let (mut fetch, _other) = (play.fetch(None), play.fetch(None));
    assert!(fetch.has_turn());
    assert_eq!(play.watches.iter().map(|(_, beyond, _)| *beyond).collect::<Vec<_>>(), [5]);
    play.log_end = 0;
    play.wait(&mut fetch, Some(Looked { changes: 0, log_end: 0 }));
    assert_eq!(play.watches.iter().map(|(_, beyond, _)| *beyond).collect::<Vec<_>>(), [0]);
    play.produce(1);
    assert!(fetch.has_turn());
}

#[test]
fn whoever_waits_is_told_when_the_share_partition_is_not_served_any_more() {
    let mut play = Play::new();
    let mut fetch = play.fetch(None);
    let (number, ..) = play.watches.remove(0);
    play.table.watched(play.term, &asked().key, number, None);
    let told = fetch.pending.as_mut().expect("it waits").try_recv();
    assert!(matches!(told, Err(_) | Ok(Some(Err(_)))));
}

/// Fetches come, go, look, take, leave, give back and are forgotten, as chance has it. In the end nobody
/// waits for what is there.
#[test]
fn no_fetch_waits_while_there_is_something_for_it_whatever_happened_before() {
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let mut play = Play::new();
        let mut fetches: Vec<Fetch> = Vec::new();
        let mut held: Vec<(u64, Vec<i64>)> = Vec::new();
        for _ in 0..200 {
            let at = (!fetches.is_empty()).then(|| rng.usize(..fetches.len()));
            match (rng.u8(..10), at) {
                (0, _) => play.produce(rng.i64(1..8)),
                (1..=3, _) => fetches.push(play.fetch(None)),
                (4, Some(at)) => {
                    drop(fetches.swap_remove(at));
                    play.settle();
                }
                (5, Some(at)) if fetches[at].has_turn() => {
                    let changes = play.with(|leader, _| leader.partition.changes());
                    let looked = Looked { changes, log_end: play.log_end };
                    play.wait(&mut fetches[at], rng.bool().then_some(looked));
                }
                (6, _) => play.tick(rng.i64(0..300)),
                (7, _) if !held.is_empty() => {
                    let (member, records) = held.swap_remove(rng.usize(..held.len()));
                    play.say(member, &records, *rng.choice(&[Kind::Accept, Kind::Release]).expect("two"));
                }
                _ => act(&mut play, &mut fetches, &mut held, &mut rng),
            }
        }
        while fetches.iter_mut().any(Fetch::has_turn) {
            act(&mut play, &mut fetches, &mut held, &mut rng);
        }
        let next = play.with(|leader, _| leader.next_fetch(false, None));
        let now = Some(Looked { changes: next.changes, log_end: play.log_end });
        let is_there = next.offset.is_some_and(|offset| offset < play.log_end);
        let waits = fetches.iter().filter(|fetch| fetch.looked != now).count();
        assert!(!is_there || waits == 0, "seed {seed}: {next:?} of {}, and {waits} wait", play.log_end);
    }
}

/// Whoever has the turn takes something.
fn act(play: &mut Play, fetches: &mut Vec<Fetch>, held: &mut Vec<(u64, Vec<i64>)>, rng: &mut Rng) {
    if let [at] = with_turn(fetches)[..] {
        let member = rng.u64(..1000);
        let mut fetch = fetches.swap_remove(at);
        if let Some(next) = fetch.turn.as_mut().and_then(|turn| turn.next.take()) {
            let offset = next.offset.expect("there is something");
            let records = play.acquire(&fetch, offset, rng.i64(1..6), member);
            held.push((member, records));
        }
        drop(fetch);
        play.settle();
    }
}
