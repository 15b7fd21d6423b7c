//! The fetches that wait for records of a share partition, in the order in which they came.
//!
//! ```text
//!  waiting:  a  b  c  d ...        there is something, and nobody has the turn:  a gets it
//!  turn:     -                     a acquires, waits again, or is dropped:       the next one gets it,
//!                                                                                if something is left
//! ```
//!
//! * One of them looks at a time. If all did, most would read what another is given, and wait again: the more
//!   wait, the more each record would cost.
//! * A turn cannot be lost: it ends with its [`Turn`] at the latest, also when that was never received.
//! * A fetch that waits again keeps its place. One that left what it saw, since it wants more at a time,
//!   holds up nobody: it gets no turn until there is something that it has not seen.
//! * A fetch that comes while somebody has the turn waits behind all others. Only one that waits no longer
//!   looks all the same, once, so that a slow turn costs nobody what there is.
//! * The log is watched for all of them together, and only while somebody waits.

use std::collections::VecDeque;
use std::time::Instant;

use futures_channel::oneshot;
use strandline_engine::Isolation;
use strandline_protocol::wire::ErrorCode;

use super::NextFetch;
use crate::coordination::Reply;
use crate::share::partition::{Limits, SharePartition};

/// Fetches that wait, below which nobody looks for those that have gone.
const PRUNE_FROM: usize = 64;

/// The number of a turn.
pub type TurnNumber = u64;

/// The right of a fetch to look for records before others. Dropped, it goes to the next one.
#[derive(Debug)]
pub struct Turn {
    /// For [`super::ShareLeaders::next_fetch`] and the like.
    pub number: TurnNumber,
    /// Where to look, as of the moment when the turn was given; to be taken by the first look.
    pub next: Option<NextFetch>,
    _ends: oneshot::Sender<()>,
}

/// What a fetch has looked at, and has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// See [`NextFetch`].
    pub changes: u64,
    /// The end of what could be read.
    pub log_end: i64,
}

/// How a fetch waits.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When it came.
    pub since: Instant,
    /// What it has looked at; `None` when it could not.
    pub looked: Option<Looked>,
    /// The turn that it had.
    pub turn: Option<TurnNumber>,
}

/// Where a fetch is told that it has the turn, or that the share partition is not served any more.
pub(super) type Waiting = Reply<Result<Turn, ErrorCode>>;

struct Waiter {
    since: Instant,
    looked: Option<Looked>,
    reply: Waiting,
}

/// The watch on the log that is under way.
struct Watch {
    number: u64,
    beyond: i64,
    isolation: Isolation,
    _ends: oneshot::Sender<()>,
}

/// The fetches that wait.
pub(super) struct Queue {
    waiting: VecDeque<Waiter>,
    /// Those that have gone are taken out when there are so many.
    prune_at: usize,
    /// The turn that somebody has.
    turn: Option<TurnNumber>,
    last_turn: TurnNumber,
    /// The end of what can be read, as far as it is known.
    log_end: i64,
    watch: Option<Watch>,
    last_watch: u64,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue {
            waiting: VecDeque::new(),
            prune_at: PRUNE_FROM,
            turn: None,
            last_turn: 0,
            log_end: 0,
            watch: None,
            last_watch: 0,
        }
    }

    /// Whether a fetch that came when this one did has to leave what there is to another.
    pub(super) fn is_turn_of_another(&self, mine: Option<TurnNumber>) -> bool {
        self.turn.is_some() && self.turn != mine
    }

    /// Has a fetch wait, behind those that came before it.
    pub(super) fn push(&mut self, wait: Wait, reply: Waiting) {
        self.end_turn(wait.turn);
        if let Some(looked) = wait.looked {
            self.log_end = looked.log_end;
        }
        if self.waiting.len() >= self.prune_at {
            self.forget_those_who_have_gone();
            self.prune_at = (self.waiting.len() * 2).max(PRUNE_FROM);
        }
        let before = self.waiting.iter().rposition(|waiter| waiter.since <= wait.since);
        let waiter = Waiter { since: wait.since, looked: wait.looked, reply };
        self.waiting.insert(before.map_or(0, |before| before + 1), waiter);
    }

    pub(super) fn forget_those_who_have_gone(&mut self) {
        self.waiting.retain(|waiter| waiter.reply.is_awaited());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Somebody has read up to here, and found the log to end there.
    pub(super) fn note_log_end(&mut self, log_end: i64) {
        self.log_end = log_end;
    }

    /// A turn is over, if it was not already.
    pub(super) fn end_turn(&mut self, turn: Option<TurnNumber>) {
        if turn.is_some() && self.turn == turn {
            self.turn = None;
        }
    }

    /// Gives the turn to the first fetch for which there is something. Its number, and what tells when it is
    /// dropped.
    pub(super) fn give_turn(
        &mut self,
        partition: &SharePartition,
        limits: &Limits,
    ) -> Option<(TurnNumber, oneshot::Receiver<()>)> {
        if self.turn.is_some() || self.waiting.is_empty() {
            return None;
        }
        let offset = partition.next_fetch(limits)?;
        if offset >= partition.end().max(self.log_end) {
            return None;
        }
        let now = Looked { changes: partition.changes(), log_end: self.log_end };
        loop {
            let first = self.waiting.iter().position(|waiter| waiter.looked != Some(now))?;
            let waiter = self.waiting.remove(first)?;
            if !waiter.reply.is_awaited() {
                continue;
            }
            self.last_turn += 1;
            let (sender, ended) = oneshot::channel();
            let number = self.last_turn;
            let next = Some(NextFetch { offset: Some(offset), changes: now.changes });
            waiter.reply.send(Ok(Turn { number, next, _ends: sender }));
            self.turn = Some(number);
            return Some((number, ended));
        }
    }

    /// The watch on the log that must begin now: its number, beyond where, and what tells when it is to end.
    pub(super) fn next_watch(&mut self, isolation: Isolation) -> Option<(u64, i64, oneshot::Receiver<()>)> {
        let is_enough = |watch: &Watch| watch.isolation == isolation && watch.beyond <= self.log_end;
        if self.waiting.is_empty() || self.watch.as_ref().is_some_and(is_enough) {
            return None;
        }
        self.last_watch += 1;
        let (sender, ended) = oneshot::channel();
        let (number, beyond) = (self.last_watch, self.log_end);
        self.watch = Some(Watch { number, beyond, isolation, _ends: sender });
        Some((number, beyond, ended))
    }

    /// A watch has ended, as the log has grown. Whether it was the one that counts.
    pub(super) fn watched(&mut self, number: u64, log_end: i64) -> bool {
        let is_current = self.watch.as_ref().is_some_and(|watch| watch.number == number);
        if is_current {
            self.watch = None;
            self.log_end = log_end;
        }
        is_current
    }
}
