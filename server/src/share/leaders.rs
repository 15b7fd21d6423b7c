//! The share partitions that are served: each by the shard that has the partition's log, beside it.
//!
//! ```text
//!  handler (any shard)
//!    | ShareLeaders::next_fetch, acquire, acknowledge, release, turn
//!    v
//!  mailbox (bounded) > task          one for all share partitions of a shard; waits for none of them
//!                        |
//!                        v
//!                      Table > SharePartition (pure)
//!                        |  |-- StateWrite > ShareStates: durable > the acknowledgements in it are answered
//!                        |  |-- Letter > dead_letters: durable > the records are archived
//!                        |  '-- Queue: fetches that wait; one of them looks at a time
//!                        '----- a share partition that nobody has asked for yet: read from ShareStates
//! ```
//!
//! * A share partition is read when it is asked for, and let go of when nobody has asked for it for a while:
//!   what is here can always be read again.
//! * Where it begins for a group that never fetched is stored before anything is given out. Otherwise records
//!   that came before a crash, and were given out, would be passed over by a group that begins at the end.
//! * One write of a share partition is on its way at a time; what comes meanwhile goes together with the
//!   next. So it is with its dead letters; and those of [`SENDERS_MAX`] share partitions of a shard go at a
//!   time, since each takes a part of the memory. Where a queue takes none, they come again after a pause.

mod queue;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_util::future::LocalBoxFuture;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use std::pin::pin;
use std::rc::Rc;
use strandline_engine::types::PartitionId;
use strandline_protocol::wire::ErrorCode;

use super::asked::Asked;
use super::batches::ReadBatches;
use super::coordinator::ShareKey;
use super::dead_letters::{DeadLetterQueue, LetterCounts, Sent, send};
use super::log::ShareLog;
use super::partition::{Acknowledgement, Acquired, Owner, SharePartition, StateWrite, Want};
use super::state::{Stored, UNINITIALIZED};
use super::states::ShareStates;
use crate::coordination::Reply;
use crate::refusal::Refusal;

pub use queue::{Looked, Turn, TurnNumber, Wait};
use table::{Leader, Order, Table};

/// Requests that wait for a shard's task; a connection has one for each partition of a request at a time.
const MAILBOX_MAX: usize = 1024;

/// How often a coordinator is asked that is loading, or has a write of before on its way, and the pause.
const READS_MAX: u32 = 20;
const READ_PAUSE: Duration = Duration::from_millis(50);

/// Share partitions of a shard whose dead letters are on their way at a time, and records of one of them.
const SENDERS_MAX: usize = 2;
const LETTERS_MAX: i64 = 500;

/// The longest that the task sleeps, in milliseconds.
const PAUSE_MAX_MS: i64 = 60 * 60 * 1000;

/// What is to be fetched of a share partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextFetch {
    /// Where; `None` when nobody may have anything at the moment, or others come first.
    pub offset: Option<i64>,
    /// Counts what may let somebody acquire something.
    pub changes: u64,
}

/// What a fetch has found in the log.
#[derive(Debug)]
pub struct Found {
    /// Where it has read from.
    pub offset: i64,
    /// The batches there.
    pub read: ReadBatches,
    /// The end of what could be read.
    pub log_end: i64,
    /// The turn that it has.
    pub turn: Option<TurnNumber>,
}

/// The dead letter queue that a group has now, as settings say.
pub(super) type Queues = Rc<dyn Fn(&str) -> Option<Rc<DeadLetterQueue>>>;

/// The way to the share partitions that are served.
#[derive(Clone)]
pub struct ShareLeaders(Arc<Vec<Ends>>);

/// Both ends of a shard's mailbox.
type Ends = (Sender<Request>, Receiver<Request>);
type Request = Box<dyn FnOnce(&mut Table) + Send>;

/// A shard's mailbox. Dropped, it takes no more requests, and drops those that wait in it with their replies.
struct Mailbox(Receiver<Request>);

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.0.close();
        while self.0.try_recv().is_ok() {}
    }
}

impl ShareLeaders {
    /// Share partitions of so many shards; [`ShareLeaders::run`] brings each to life.
    pub fn new(shards: usize) -> ShareLeaders {
        let mailboxes = (0..shards).map(|_| async_channel::bounded(MAILBOX_MAX)).collect();
        ShareLeaders(Arc::new(mailboxes))
    }

    /// Where the next records are to be read that a member may have. A fetch that waits leaves them to the
    /// one that has the turn, if there is such a one and it is not the fetch itself.
    ///
    /// # Errors
    /// When the share partition cannot be read, for the moment or because the group does not have it.
    pub async fn next_fetch(
        &self,
        asked: Asked,
        waits: bool,
        turn: Option<TurnNumber>,
    ) -> Result<NextFetch, ErrorCode> {
        self.ask(asked, move |leader, _, reply| reply.send(Ok(leader.next_fetch(waits, turn)))).await
    }

    /// Gives a member what there is in a read; see [`SharePartition::acquire`].
    ///
    /// # Errors
    /// As [`ShareLeaders::next_fetch`].
    pub async fn acquire(
        &self,
        asked: Asked,
        owner: (String, u64),
        found: Found,
        want: Want,
    ) -> Result<Vec<Acquired>, ErrorCode> {
        self.ask(asked, move |leader, now, reply| {
            // Nobody gets what is not told to anybody any more.
            if reply.is_awaited() {
                let owner = Rc::new(Owner { member: owner.0, session: owner.1 });
                reply.send(Ok(leader.acquire(now, &owner, &found, want)));
            }
        })
        .await
    }

    /// Takes in what a member says of records, and is answered when that is durable; see
    /// [`SharePartition::acknowledge`].
    ///
    /// # Errors
    /// Why nothing of it counts.
    pub async fn acknowledge(
        &self,
        asked: Asked,
        member: String,
        acknowledgements: Vec<Acknowledgement>,
    ) -> Result<(), Refusal> {
        let acknowledged = self.ask(asked, move |leader, now, reply| {
            leader.acknowledge(now, &member, &acknowledgements, reply);
        });
        acknowledged.await.unwrap_or_else(|code| Err(Refusal::new(code, "the state was not stored")))
    }

    /// A share session has ended: what it has of these share partitions may be given to others.
    pub async fn release(&self, key: ShareKey, partition: PartitionId, session: u64) {
        let released = self.at(partition, move |table, reply: Reply<()>| {
            table.release(&key, session);
            reply.send(());
        });
        released.await;
    }

    /// The log of a share partition begins here.
    ///
    /// # Errors
    /// As [`ShareLeaders::next_fetch`].
    pub async fn begin_at(&self, asked: Asked, log_start: i64) -> Result<(), ErrorCode> {
        self.ask(asked, move |leader, _, reply| {
            leader.partition.begin_at(log_start);
            reply.send(Ok(()));
        })
        .await
    }

    /// Waits for the turn to look for records, in the order in which fetches came. Dropping the future ends
    /// the wait.
    ///
    /// # Errors
    /// When the share partition is not served any more.
    pub async fn turn(&self, asked: Asked, wait: Wait) -> Result<Turn, ErrorCode> {
        self.ask(asked, move |leader, _, reply| leader.queue.push(wait, reply)).await
    }

    /// Lets go of share partitions whose stored state was changed.
    pub async fn forget(&self, key: ShareKey, partition: PartitionId) {
        self.at(partition, move |table, reply: Reply<()>| {
            table.forget(&key);
            reply.send(());
        })
        .await;
    }

    /// How many share partitions are served.
    pub async fn count(&self) -> usize {
        let mut count = 0;
        for shard in 0..self.0.len() {
            let counted = self.at_shard(shard, |table, reply: Reply<usize>| reply.send(table.count()));
            count += counted.await.unwrap_or(0);
        }
        count
    }

    /// What was counted of dead letters.
    pub async fn letters(&self) -> LetterCounts {
        let mut counts = LetterCounts::default();
        for shard in 0..self.0.len() {
            let counted =
                self.at_shard(shard, |table, reply: Reply<LetterCounts>| reply.send(table.letters()));
            counts.add(counted.await.unwrap_or_default());
        }
        counts
    }

    async fn ask<T: Send + 'static>(
        &self,
        asked: Asked,
        operation: impl FnOnce(&mut Leader, i64, Reply<Result<T, ErrorCode>>) + Send + 'static,
    ) -> Result<T, ErrorCode> {
        let answer = self.at(asked.partition, move |table, reply: Reply<Result<T, ErrorCode>>| {
            table.ask(
                asked,
                Box::new(move |leader| match leader {
                    Ok((leader, now)) => operation(leader, now, reply),
                    Err(code) => reply.send(Err(code)),
                }),
            );
        });
        answer.await.unwrap_or(Err(ErrorCode::NotLeaderOrFollower))
    }

    async fn at<T: Send + 'static>(
        &self,
        partition: PartitionId,
        ask: impl FnOnce(&mut Table, Reply<T>) + Send + 'static,
    ) -> Option<T> {
        self.at_shard(partition.shard(self.0.len()), ask).await
    }

    async fn at_shard<T: Send + 'static>(
        &self,
        shard: usize,
        ask: impl FnOnce(&mut Table, Reply<T>) + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = Reply::new();
        let request: Request = Box::new(move |table| ask(table, reply));
        // A closed mailbox drops the request and the reply in it.
        let _ = self.0[shard].0.send(request).await;
        answer.await.ok()?.ok()
    }

    // ---- the task of a shard ------------------------------------------------------------------------------

    /// Serves the share partitions of a shard, until it is dropped; whoever waits then is told that it is
    /// not the leader.
    pub(super) async fn run<L: ShareLog>(self, log: L, states: ShareStates, queues: Queues) {
        let mailbox = Mailbox(self.0[log.index()].1.clone());
        let clock = log.clock();
        let mut table = Table::new(clock(), queues.clone());
        let mut events: FuturesUnordered<LocalBoxFuture<'static, Event>> = FuturesUnordered::new();
        loop {
            while let Some(order) = table.next_order() {
                events.push(carry_out(log.clone(), states.clone(), queues.clone(), order));
            }
            let pause = table.wake_at().saturating_sub(clock()).clamp(0, PAUSE_MAX_MS);
            let mut pause = pin!(log.sleep(Duration::from_millis(pause as u64)).fuse());
            let mut request = pin!(mailbox.0.recv().fuse());
            let happened = select_biased! {
                event = events.select_next_some() => Some(Ok(event)),
                request = request => request.ok().map(Err),
                _ = pause => None,
            };
            table.tick(clock());
            match happened {
                Some(Ok(Event::Loaded((term, key, asked), result))) => {
                    table.loaded((term, &key, &asked), result);
                }
                Some(Ok(Event::Written(term, key, result))) => table.written(term, &key, result),
                Some(Ok(Event::Sent(term, key, sent))) => table.sent(term, &key, sent),
                Some(Ok(Event::TurnEnded(term, key, turn))) => table.turn_ended(term, &key, turn),
                Some(Ok(Event::Watched(term, key, watch, end))) => table.watched(term, &key, watch, end),
                Some(Ok(Event::WatchEnded)) => {}
                Some(Err(request)) => request(&mut table),
                None => {}
            }
            log.yield_if_needed().await;
        }
    }
}

/// Something that the task waited for.
enum Event {
    Loaded((u64, Rc<ShareKey>, Box<Asked>), Result<(SharePartition, i32), ErrorCode>),
    Written(u64, Rc<ShareKey>, Result<(), ErrorCode>),
    Sent(u64, Rc<ShareKey>, Sent),
    TurnEnded(u64, Rc<ShareKey>, TurnNumber),
    /// With the number of the watch, and where the log ends; `None` when it is not here any more.
    Watched(u64, Rc<ShareKey>, u64, Option<i64>),
    /// Nobody wants to know any more.
    WatchEnded,
}

fn carry_out<L: ShareLog>(
    log: L,
    states: ShareStates,
    queues: Queues,
    order: Order,
) -> LocalBoxFuture<'static, Event> {
    Box::pin(async move {
        match order {
            Order::Load { term, key, asked } => {
                let loaded = load(&log, &states, &asked).await;
                Event::Loaded((term, key, asked), loaded)
            }
            Order::Write { term, key, epochs, write } => {
                let written = states.write(&log, (*key).clone(), epochs, write).await;
                Event::Written(term, key, written)
            }
            Order::Send { term, key, letters } => {
                let queue = queues(&key.group);
                let sent = send(&log, queue.as_deref(), &key, &letters).await;
                Event::Sent(term, key, sent)
            }
            Order::AwaitTurn { term, key, turn, ended } => {
                // It is dropped, never sent.
                let _ = ended.await;
                Event::TurnEnded(term, key, turn)
            }
            Order::Watch { term, key, number, log: (partition, isolation), beyond, ended } => {
                let grown = pin!(log.grown(partition, isolation, beyond));
                match select(grown, ended).await {
                    Either::Left((end, _)) => {
                        Event::Watched(term, key, number, end.filter(|end| *end > beyond))
                    }
                    Either::Right(_) => Event::WatchEnded,
                }
            }
        }
    })
}

/// Reads a share partition as it was stored; with its state epoch.
async fn load<L: ShareLog>(
    log: &L,
    states: &ShareStates,
    asked: &Asked,
) -> Result<(SharePartition, i32), ErrorCode> {
    let mut reads = 0;
    let stored = loop {
        match states.read(log, asked.key.clone(), asked.leader_epoch).await {
            Err(ErrorCode::CoordinatorLoadInProgress) if reads < READS_MAX => {
                reads += 1;
                log.sleep(READ_PAUSE).await;
            }
            read => break read?,
        }
    };
    let log_start = log.log_start(asked.partition).await?;
    if stored.start != UNINITIALIZED {
        return Ok((SharePartition::load(&stored, log_start), stored.state_epoch));
    }
    let start = log.reset(asked.partition, asked.reset).await?.max(log_start);
    let write = StateWrite { start, batches: Vec::new(), done: 0 };
    let epochs = (stored.state_epoch, asked.leader_epoch);
    states.write(log, asked.key.clone(), epochs, write).await?;
    let stored = Stored { start, ..stored };
    Ok((SharePartition::load(&stored, start), stored.state_epoch))
}
