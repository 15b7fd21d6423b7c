//! The share partitions of one shard: which are served, who waits for them, what is on its way, and when they
//! want to be woken. Nothing here waits; the task hands the orders over and brings back what became of them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use futures_channel::oneshot::Receiver;
use strandline_engine::Isolation;
use strandline_engine::types::PartitionId;
use strandline_protocol::wire::ErrorCode;

use super::queue::{Queue, TurnNumber};
use super::{Found, LETTERS_MAX, NextFetch, Queues, SENDERS_MAX};
use crate::coordination::Reply;
use crate::refusal::Refusal;
use crate::share::asked::Asked;
use crate::share::coordinator::ShareKey;
use crate::share::dead_letters::{LetterCounts, Sent};
use crate::share::partition::{
    Acknowledgement, Acquired, Letter, Limits, Owner, SharePartition, StateWrite, Taken, Want,
};

/// How long a share partition is kept that nobody asks for and nobody has a record of, in milliseconds.
const IDLE_MS: i64 = 5 * 60 * 1000;

/// How long it is waited after a write that was not taken, in milliseconds; an acknowledgement does not wait.
const WRITE_PAUSE_MS: i64 = 1000;

/// How long it is waited after dead letters that were not taken, in milliseconds: at first, and at the most.
const SEND_PAUSE_MS: i64 = 1000;
const SEND_PAUSE_MAX_MS: i64 = 30_000;

/// What the task is to do.
pub(super) enum Order {
    /// Read a share partition.
    Load { term: u64, key: Rc<ShareKey>, asked: Box<Asked> },
    /// Store what has changed of it, in these epochs of the state and of the leader.
    Write { term: u64, key: Rc<ShareKey>, epochs: (i32, i32), write: StateWrite },
    /// Write dead letters of it.
    Send { term: u64, key: Rc<ShareKey>, letters: Vec<Letter> },
    /// Tell when a turn is over.
    AwaitTurn { term: u64, key: Rc<ShareKey>, turn: TurnNumber, ended: Receiver<()> },
    /// Tell when its log can be read beyond an offset, unless that is not wanted any more.
    Watch {
        term: u64,
        key: Rc<ShareKey>,
        number: u64,
        log: (PartitionId, Isolation),
        beyond: i64,
        ended: Receiver<()>,
    },
}

/// Where it is told what became of acknowledgements; apart from that, that the share partition is not served.
type Acknowledged = Reply<Result<Result<(), Refusal>, ErrorCode>>;

/// A share partition that is served.
pub(super) struct Leader {
    pub(super) partition: SharePartition,
    epochs: (i32, i32),
    limits: Limits,
    /// Its log, and up to where it is read.
    log: (PartitionId, Isolation),
    /// Whoever waits for a write, with its number.
    tickets: Vec<(u64, Acknowledged)>,
    /// Fetches that wait.
    pub(super) queue: Queue,
    /// Not before this is written what nobody waits for.
    write_at: i64,
    /// Not before this are dead letters written.
    send_at: i64,
    /// The pause after the next ones that are not taken.
    send_pause: i64,
}

impl Leader {
    /// Where the next records are to be read, unless it is for another fetch to look first.
    pub(super) fn next_fetch(&self, waits: bool, turn: Option<TurnNumber>) -> NextFetch {
        let is_for_another = waits && self.queue.is_turn_of_another(turn);
        let offset = if is_for_another { None } else { self.partition.next_fetch(&self.limits) };
        NextFetch { offset, changes: self.partition.changes() }
    }

    /// Gives a member what there is in a read; the turn goes on when it has got something.
    pub(super) fn acquire(
        &mut self,
        now: i64,
        owner: &Rc<Owner>,
        found: &Found,
        want: Want,
    ) -> Vec<Acquired> {
        let limits = self.limits;
        let acquired = self.partition.acquire(now, &limits, owner, found.offset, &found.read, want);
        self.queue.note_log_end(found.log_end);
        if !acquired.is_empty() {
            self.queue.end_turn(found.turn);
        }
        acquired
    }

    /// Takes in what a member says of records; the answer comes when it is durable.
    pub(super) fn acknowledge(
        &mut self,
        now: i64,
        member: &str,
        acknowledgements: &[Acknowledgement],
        reply: Acknowledged,
    ) {
        match self.partition.acknowledge(now, &self.limits, member, acknowledgements) {
            Ok(Taken::AtOnce) => reply.send(Ok(Ok(()))),
            Ok(Taken::With(write)) => {
                self.tickets.push((write, reply));
                self.write_at = i64::MIN;
            }
            Err(refused) => reply.send(Ok(Err(refused))),
        }
    }

    fn settle(&mut self, write: u64, result: Result<(), ErrorCode>) {
        let settled: Vec<_> = self.tickets.extract_if(.., |(number, _)| *number <= write).collect();
        for (_, reply) in settled {
            let refused = |code| Refusal::new(code, "the state was not stored");
            reply.send(Ok(result.map_err(refused)));
        }
    }
}

/// What is asked of a share partition, or of its absence.
type Operation = Box<dyn FnOnce(Result<(&mut Leader, i64), ErrorCode>)>;

enum Stage {
    Loading(Vec<Operation>),
    Ready(Box<Leader>),
}

struct Entry {
    term: u64,
    key: Rc<ShareKey>,
    used: i64,
    stage: Stage,
    /// As it stands in `wakes`.
    wake_at: i64,
}

/// The share partitions of a shard.
pub(super) struct Table {
    now: i64,
    entries: HashMap<Rc<ShareKey>, Entry>,
    wakes: BTreeSet<(i64, Rc<ShareKey>)>,
    orders: VecDeque<Order>,
    /// Dead letters that wait for others to be written, and how many are being.
    to_send: VecDeque<Order>,
    senders: usize,
    letters: LetterCounts,
    queues: Queues,
    next_term: u64,
}

impl Table {
    pub(super) fn new(now: i64, queues: Queues) -> Table {
        Table {
            now,
            entries: HashMap::new(),
            wakes: BTreeSet::new(),
            orders: VecDeque::new(),
            to_send: VecDeque::new(),
            senders: 0,
            letters: LetterCounts::default(),
            queues,
            next_term: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// What was counted of dead letters.
    pub(super) fn letters(&self) -> LetterCounts {
        let waiting = self.entries.values().filter_map(|entry| match &entry.stage {
            Stage::Ready(leader) => Some(leader.partition.letters()),
            Stage::Loading(_) => None,
        });
        LetterCounts { waiting: waiting.sum(), ..self.letters }
    }

    /// What the task is to do next.
    pub(super) fn next_order(&mut self) -> Option<Order> {
        if let Some(order) = self.orders.pop_front() {
            return Some(order);
        }
        let order = self.to_send.pop_front_if(|_| self.senders < SENDERS_MAX)?;
        self.senders += 1;
        Some(order)
    }

    fn in_force(&self, group: &str, limits: Limits) -> Limits {
        Limits { has_dead_letters: (self.queues)(group).is_some(), ..limits }
    }

    /// Asks a share partition something, once it is served.
    pub(super) fn ask(&mut self, mut asked: Asked, operation: Operation) {
        let now = self.now;
        asked.limits = self.in_force(&asked.key.group, asked.limits);
        if let Some(entry) = self.entries.get_mut(&asked.key) {
            entry.used = now;
            match &mut entry.stage {
                Stage::Loading(waiting) => waiting.push(operation),
                Stage::Ready(leader) => {
                    leader.limits = asked.limits;
                    leader.log = (asked.partition, asked.isolation);
                    operation(Ok((leader, now)));
                    self.after(&asked.key);
                }
            }
            return;
        }
        self.next_term += 1;
        let (term, key) = (self.next_term, Rc::new(asked.key.clone()));
        let stage = Stage::Loading(vec![operation]);
        let entry = Entry { term, key: key.clone(), used: now, stage, wake_at: i64::MAX };
        self.entries.insert(key.clone(), entry);
        self.orders.push_back(Order::Load { term, key, asked: Box::new(asked) });
    }

    pub(super) fn release(&mut self, key: &ShareKey, session: u64) {
        self.renew_limits(key);
        if let Some(leader) = self.leader(key) {
            let limits = leader.limits;
            leader.partition.release(&limits, session);
            self.after(key);
        }
    }

    /// What nobody asks for goes by the settings of now as well.
    fn renew_limits(&mut self, key: &ShareKey) {
        let has_dead_letters = (self.queues)(&key.group).is_some();
        if let Some(leader) = self.leader(key) {
            leader.limits.has_dead_letters = has_dead_letters;
        }
    }

    /// Lets go of a share partition; whoever waits is told that it is not served here.
    pub(super) fn forget(&mut self, key: &ShareKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.wakes.remove(&(entry.wake_at, entry.key));
        }
    }

    fn leader(&mut self, key: &ShareKey) -> Option<&mut Leader> {
        match &mut self.entries.get_mut(key)?.stage {
            Stage::Ready(leader) => Some(leader),
            Stage::Loading(_) => None,
        }
    }

    fn is_current(&self, term: u64, key: &ShareKey) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.term == term)
    }

    // ---- what became of orders ----------------------------------------------------------------------------

    /// A share partition was read, with its state epoch, or cannot be.
    pub(super) fn loaded(
        &mut self,
        (term, key, asked): (u64, &ShareKey, &Asked),
        result: Result<(SharePartition, i32), ErrorCode>,
    ) {
        if !self.is_current(term, key) {
            return;
        }
        let (partition, state_epoch) = match result {
            Ok(loaded) => loaded,
            Err(code) => {
                tracing::debug!(group = key.group, partition = key.partition, %code, "a share partition was not read");
                let entry = self.entries.remove(key).expect("it is current");
                if let Stage::Loading(waiting) = entry.stage {
                    waiting.into_iter().for_each(|operation| operation(Err(code)));
                }
                return;
            }
        };
        let leader = Leader {
            partition,
            epochs: (state_epoch, asked.leader_epoch),
            limits: asked.limits,
            log: (asked.partition, asked.isolation),
            tickets: Vec::new(),
            queue: Queue::new(),
            write_at: i64::MIN,
            send_at: i64::MIN,
            send_pause: SEND_PAUSE_MS,
        };
        let entry = self.entries.get_mut(key).expect("it is current");
        let stage = std::mem::replace(&mut entry.stage, Stage::Ready(Box::new(leader)));
        let Stage::Ready(leader) = &mut entry.stage else { unreachable!("it was just put there") };
        if let Stage::Loading(waiting) = stage {
            waiting.into_iter().for_each(|operation| operation(Ok((leader, self.now))));
        }
        self.after(key);
    }

    /// What became of the write of a share partition.
    pub(super) fn written(&mut self, term: u64, key: &ShareKey, result: Result<(), ErrorCode>) {
        if !self.is_current(term, key) {
            return;
        }
        let now = self.now;
        let leader = self.leader(key).expect("it has written");
        let limits = leader.limits;
        let number = leader.partition.written(&limits, result.is_ok());
        leader.settle(number, result.map_err(told));
        if let Err(code) = result {
            tracing::warn!(group = key.group, partition = key.partition, %code, "the state of a share partition was not stored");
            leader.write_at = now.saturating_add(WRITE_PAUSE_MS);
            let is_over = matches!(
                code,
                ErrorCode::FencedStateEpoch
                    | ErrorCode::FencedLeaderEpoch
                    | ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::InvalidRequest
            );
            if is_over {
                return self.forget(key);
            }
        }
        self.after(key);
    }

    /// What became of dead letters of a share partition.
    pub(super) fn sent(&mut self, term: u64, key: &ShareKey, sent: Sent) {
        self.senders -= 1;
        self.letters.add(sent.counts);
        if let Some(error) = &sent.error {
            tracing::warn!(group = key.group, partition = key.partition, %error, "dead letters were not written");
        }
        if !self.is_current(term, key) {
            return;
        }
        let now = self.now;
        let leader = self.leader(key).expect("it has dead letters");
        leader.partition.letters_written(&sent.done);
        match sent.error {
            Some(_) => {
                leader.send_at = now.saturating_add(leader.send_pause);
                leader.send_pause = (leader.send_pause * 2).min(SEND_PAUSE_MAX_MS);
            }
            None => leader.send_pause = SEND_PAUSE_MS,
        }
        self.after(key);
    }

    /// A turn is over.
    pub(super) fn turn_ended(&mut self, term: u64, key: &ShareKey, turn: TurnNumber) {
        if self.is_current(term, key)
            && let Some(leader) = self.leader(key)
        {
            leader.queue.end_turn(Some(turn));
            self.after(key);
        }
    }

    /// The log of a share partition has grown, to this end; or it is not here any more.
    pub(super) fn watched(&mut self, term: u64, key: &ShareKey, watch: u64, log_end: Option<i64>) {
        if !self.is_current(term, key) {
            return;
        }
        let Some(leader) = self.leader(key) else { return };
        if leader.queue.watched(watch, log_end.unwrap_or(0)) {
            match log_end {
                Some(_) => self.after(key),
                None => self.forget(key),
            }
        }
    }

    // ---- what follows -------------------------------------------------------------------------------------

    /// Has stored what has changed, gives the turn to whoever waits for it, and notes when the share
    /// partition wants to be woken.
    fn after(&mut self, key: &ShareKey) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Stage::Ready(leader) = &mut entry.stage else { return };
        if leader.write_at <= now
            && let Some(write) = leader.partition.next_state_write()
        {
            let (term, key, epochs) = (entry.term, entry.key.clone(), leader.epochs);
            self.orders.push_back(Order::Write { term, key, epochs, write });
        }
        if leader.send_at <= now
            && let Some(letters) = leader.partition.next_letters(&leader.limits, LETTERS_MAX)
        {
            let (term, key) = (entry.term, entry.key.clone());
            self.to_send.push_back(Order::Send { term, key, letters });
        }
        let (term, limits) = (entry.term, leader.limits);
        if let Some((turn, ended)) = leader.queue.give_turn(&leader.partition, &limits) {
            self.orders.push_back(Order::AwaitTurn { term, key: entry.key.clone(), turn, ended });
        }
        if let Some((number, beyond, ended)) = leader.queue.next_watch(leader.log.1) {
            let (key, log) = (entry.key.clone(), leader.log);
            self.orders.push_back(Order::Watch { term, key, number, log, beyond, ended });
        }
        let later = |at: i64| if at > now { at } else { i64::MAX };
        let due = match leader.partition.is_busy() {
            true => leader.partition.wake_at().min(later(leader.write_at)).min(later(leader.send_at)),
            false => entry.used.saturating_add(IDLE_MS),
        };
        if due != entry.wake_at {
            self.wakes.remove(&(entry.wake_at, entry.key.clone()));
            self.wakes.insert((due, entry.key.clone()));
            entry.wake_at = due;
        }
    }

    /// When [`Table::tick`] must be called, at the latest.
    pub(super) fn wake_at(&self) -> i64 {
        self.wakes.first().map_or(i64::MAX, |(at, _)| *at)
    }

    /// Moves the clock, and does what is due of the share partition that is due first.
    pub(super) fn tick(&mut self, now: i64) {
        self.now = now;
        let Some((_, key)) = self.wakes.first().filter(|(at, _)| *at <= now).cloned() else { return };
        let is_idle = self.entries.get(&key).is_some_and(|entry| entry.used.saturating_add(IDLE_MS) <= now);
        self.renew_limits(&key);
        let Some(leader) = self.leader(&key) else { return };
        let limits = leader.limits;
        leader.partition.tick(now, &limits);
        leader.queue.forget_those_who_have_gone();
        if is_idle && !leader.partition.is_busy() && leader.queue.is_empty() {
            return self.forget(&key);
        }
        if let Some(entry) = self.entries.get_mut(&key).filter(|_| is_idle) {
            entry.used = now;
        }
        self.after(&key);
    }
}

/// What a client is told of a write that was not taken.
fn told(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::FencedStateEpoch | ErrorCode::FencedLeaderEpoch => ErrorCode::NotLeaderOrFollower,
        ErrorCode::InvalidRequest => ErrorCode::UnknownServerError,
        code => code,
    }
}
