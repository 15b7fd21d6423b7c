//! Producers that send in transactions and commit by the clock, all on one thread.
//!
//! ```text
//!         commit is called       all that was sent is answered      EndTxn is answered
//! Open ----------------> Flushing ----------------------> Ending ------------------> Open, in the next epoch
//!                        |<-------- what the caller of a commit waits ------------->|
//!                                                         |<---- its EndTxn ------->|
//! ```
//! It speaks as Java 4.x and librdkafka do at `transaction.version` 2: Produce adds the partition to the
//! transaction by itself, EndTxn raises the producer's epoch, and sequences begin anew with each epoch. What
//! a broker refuses for a while, such as a batch that comes before the markers of the transaction before, is
//! sent again after the clients' pause; every other refusal ends the run.

use crate::client::{ANSWER_TIMEOUT, CLIENT_ID, Client, ClientError, Topic, open, refuse};
use crate::clock::{SECOND, nanos, now, wall_ms};
use crate::load::{Live, LoadError};
use crate::samples::{Samples, Window};
use crate::schedule::Schedule;
use crate::stamp::{Stamp, Stream};
use crate::template::{Identity, Template};
use crate::workload::Workload;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use strandline_protocol::messages::{
    ApiVersionsRequest, EndTxnRequest, EndTxnResponse, ProduceRequest, ProduceResponse, decode_response,
    encode_request,
};
use strandline_protocol::wire::ErrorCode;

/// Set in the number of a producer: its streams of aborted records. They are streams of their own, so that
/// those of the committed ones have no gaps.
const ABORTED: u32 = 1 << 31;
/// How long a refused request rests before it is sent again: `retry.backoff.ms` of the clients.
const RETRY_PAUSE: u64 = SECOND / 10;
/// How much of an answer is read at a time.
const READ_BYTES: usize = 64 << 10;
/// The feature that says how transactions go, and the level that is spoken here.
const FEATURE: (&str, i16) = ("transaction.version", 2);
/// The versions of Produce and of EndTxn at that level.
const PRODUCE_FROM: i16 = 12;
const END_TXN: i16 = 5;

/// What the producers do.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Who they are and what they send.
    pub(crate) workload: &'a Workload,
    /// How long a transaction is open before its commit is called.
    pub(crate) every: Duration,
    /// Of so many transactions of a producer the first is aborted; none without.
    pub(crate) aborted_of: Option<u64>,
    /// After so many records of all together they commit what they have and end; without, with the window.
    pub(crate) records: Option<u64>,
}

/// What they have seen.
#[derive(Debug)]
pub(crate) struct Transacted {
    /// Commits: what their callers waited, and how many were done.
    pub(crate) commits: Samples,
    /// Of that, the EndTxn alone: without the answers that a commit waits for first.
    pub(crate) ends: Samples,
    /// Records of committed transactions, at the answer to their commit.
    pub(crate) records: Samples,
    /// What those who read committed records must find, by stream.
    pub(crate) committed: HashMap<Stream, u64>,
    /// What the others must find beside it.
    pub(crate) aborted: HashMap<Stream, u64>,
    /// Requests that were refused for a while and sent again.
    pub(crate) retries: u64,
}

/// Drives the producers from `start` (nanoseconds) until the last of them has ended its last transaction.
pub(crate) fn run(
    plan: &Plan<'_>,
    bootstrap: &str,
    topic: &Topic,
    start: u64,
    live: &Live,
) -> Result<Transacted, LoadError> {
    let mut client = Client::connect(bootstrap)?;
    let produce_version = agree(&mut client, bootstrap)?;
    let window = plan.workload.window(start);
    let mut producers = Vec::new();
    for number in 0..plan.workload.producers {
        let id = format!("{}-{number}", topic.name);
        let (producer, epoch) = client.transactional_producer(&id)?;
        producers.push(Producer::new(plan, topic, start, number, id, Identity { id: producer, epoch })?);
    }
    let driver = Driver {
        plan,
        topic,
        produce_version,
        window,
        producers,
        live,
        transacted: Transacted {
            commits: Samples::new(window),
            ends: Samples::new(window),
            records: Samples::new(window),
            committed: HashMap::new(),
            aborted: HashMap::new(),
            retries: 0,
        },
    };
    driver.run()
}

/// The version of Produce to send, when the broker has transactions as they are spoken here.
fn agree(client: &mut Client, address: &str) -> Result<i16, LoadError> {
    let answer = client.call(&ApiVersionsRequest {
        client_software_name: CLIENT_ID.to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    })?;
    let (name, wanted) = FEATURE;
    let found = answer.finalized_features.iter().find(|feature| feature.name == name);
    let level = found.map_or(0, |feature| feature.max_version_level);
    let (produce, end) = (client.version::<ProduceRequest>()?, client.version::<EndTxnRequest>()?);
    if level < wanted || produce < PRODUCE_FROM || end < END_TXN {
        return Err(LoadError::TransactionLevel { address: address.to_owned(), name, level, wanted });
    }
    Ok(produce)
}

struct Driver<'a> {
    plan: &'a Plan<'a>,
    topic: &'a Topic,
    produce_version: i16,
    window: Window,
    producers: Vec<Producer>,
    live: &'a Live,
    transacted: Transacted,
}

/// A producer and its connection.
struct Producer {
    number: u32,
    id: String,
    stream: TcpStream,
    identity: Identity,
    schedule: Option<Schedule>,
    templates: HashMap<(usize, usize), Template>,
    partitions: Vec<Sent>,
    /// The next partition to send to, by place.
    cursor: usize,
    /// Records sent so far; in an open loop the number of the next arrival.
    arrival: u64,
    correlation_id: i32,
    state: State,
    /// Transactions that were ended.
    ended: u64,
    /// Records of this one.
    in_transaction: u64,
    in_flight: VecDeque<Flight>,
    /// How many of the last requests in flight are not wholly written, and how much of the first of them is.
    unwritten: usize,
    written: usize,
    /// Refused for a while, to be sent again in this order when nothing is in flight.
    refused: VecDeque<Flight>,
    /// When that may be.
    rests_until: u64,
    unread: Vec<u8>,
    /// Memory of requests that are over.
    spare: Vec<Vec<u8>>,
}

/// What was sent to a partition.
struct Sent {
    index: i32,
    /// The next sequence in the producer's epoch.
    base_sequence: u64,
    /// What was sent in transactions that are committed, and in those that are aborted.
    committed: Records,
    aborted: Records,
}

/// A stream of records so far.
#[derive(Clone, Copy, Default)]
struct Records {
    count: u64,
    chain: u64,
}

/// Where a producer is; times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It sends. The commit is called at this time.
    Open { until: u64 },
    /// The commit was called; what was sent before is waited for.
    Flushing { called: u64 },
    /// EndTxn was asked.
    Ending { called: u64, asked: u64 },
    /// It has ended its last transaction.
    Done,
}

/// A request that is not answered yet.
struct Flight {
    correlation_id: i32,
    what: What,
    frame: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Produce,
    EndTxn,
}

/// What a producer may send now.
enum Next {
    /// So many batches of so many records each.
    Send(usize, usize),
    /// Nothing before this time.
    At(u64),
    /// Nothing before an answer.
    Full,
}

impl Driver<'_> {
    fn run(mut self) -> Result<Transacted, LoadError> {
        let deadline = self.window.end + nanos(ANSWER_TIMEOUT);
        let mut scratch = vec![0; READ_BYTES];
        loop {
            let mut next = deadline;
            for index in 0..self.producers.len() {
                next = next.min(self.step(index)?);
            }
            let mut left = self.producers.iter().filter(|producer| producer.state != State::Done);
            let Some(producer) = left.next().map(|producer| producer.number) else { break };
            let time = now();
            if time > deadline {
                return Err(LoadError::Unanswered { producer });
            }
            for index in self.wait(next.saturating_sub(time))? {
                self.receive(index, &mut scratch)?;
            }
        }
        for producer in &self.producers {
            for sent in &producer.partitions {
                let partition = sent.index as u32;
                for (number, records, all) in [
                    (producer.number, sent.committed, &mut self.transacted.committed),
                    (producer.number | ABORTED, sent.aborted, &mut self.transacted.aborted),
                ] {
                    if records.count > 0 {
                        all.insert(Stream { producer: number, partition }, records.count);
                    }
                }
            }
        }
        Ok(self.transacted)
    }

    /// Sleeps until something can be read, or be written that waits for it; at most `nanoseconds`.
    fn wait(&self, nanoseconds: u64) -> Result<Vec<usize>, LoadError> {
        let mut interests: Vec<PollFd<'_>> = (self.producers.iter())
            .map(|producer| {
                let out = if producer.unwritten > 0 { PollFlags::OUT } else { PollFlags::empty() };
                PollFd::new(&producer.stream, PollFlags::IN | out)
            })
            .collect();
        let timeout =
            Timespec { tv_sec: (nanoseconds / SECOND) as i64, tv_nsec: (nanoseconds % SECOND) as i64 };
        match poll(&mut interests, Some(&timeout)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let ready = interests.iter().enumerate();
        Ok(ready.filter(|(_, fd)| fd.revents().intersects(readable)).map(|(index, _)| index).collect())
    }

    /// Does what a producer has to do now; when it wants to look again.
    fn step(&mut self, index: usize) -> Result<u64, LoadError> {
        let every = nanos(self.plan.every);
        loop {
            let time = now();
            let is_last = self.is_last(index, time);
            let producer = &mut self.producers[index];
            producer.write()?;
            if !producer.refused.is_empty() {
                if !producer.in_flight.is_empty() {
                    return Ok(u64::MAX);
                }
                if time < producer.rests_until {
                    return Ok(producer.rests_until);
                }
                self.transacted.retries += producer.refused.len() as u64;
                producer.in_flight = std::mem::take(&mut producer.refused);
                producer.unwritten = producer.in_flight.len();
                continue;
            }
            match producer.state {
                State::Open { until } if time >= until || is_last => match producer.in_transaction {
                    0 if is_last => producer.state = State::Done,
                    0 => producer.state = State::Open { until: until + every },
                    _ => producer.state = State::Flushing { called: until.min(time) },
                },
                State::Open { until } => match self.next(index, time, false) {
                    Next::Send(batches, records) => self.produce(index, batches, records)?,
                    Next::At(at) => return Ok(at.min(until)),
                    Next::Full => return Ok(until),
                },
                State::Flushing { called } => match self.next(index, called, true) {
                    Next::Send(batches, records) => self.produce(index, batches, records)?,
                    _ if !self.producers[index].in_flight.is_empty() => return Ok(u64::MAX),
                    _ => {
                        let commits = !self.is_aborted(index);
                        let producer = &mut self.producers[index];
                        producer.end(commits)?;
                        producer.state = State::Ending { called, asked: now() };
                    }
                },
                State::Ending { .. } | State::Done => return Ok(u64::MAX),
            }
        }
    }

    /// Whether a producer is to send nothing more.
    fn is_last(&self, index: usize, time: u64) -> bool {
        let share = self.plan.records.map(|records| records / self.producers.len() as u64);
        time >= self.window.end || share.is_some_and(|share| self.producers[index].arrival >= share)
    }

    /// Whether the transaction of a producer is one of those that are aborted.
    fn is_aborted(&self, index: usize) -> bool {
        self.plan.aborted_of.is_some_and(|of| self.producers[index].ended.is_multiple_of(of))
    }

    /// What a producer may send of that which is due by `time`; when it flushes, nothing waits to be filled.
    fn next(&self, index: usize, time: u64, flushes: bool) -> Next {
        let (workload, producer) = (self.plan.workload, &self.producers[index]);
        let full = workload.records_per_batch as usize;
        let batches = (workload.batches_per_request as usize).min(producer.partitions.len());
        if producer.in_flight.len() >= workload.in_flight as usize {
            return Next::Full;
        }
        let Some(schedule) = producer.schedule else {
            return if flushes { Next::Full } else { Next::Send(batches, full) };
        };
        let most = (full * batches) as u64;
        let (first, due) = (schedule.at(producer.arrival), schedule.due(producer.arrival, time, most));
        let closes = first + nanos(workload.linger());
        match due as usize {
            0 => Next::At(first),
            _ if due < most && time < closes && !flushes => {
                Next::At(closes.min(schedule.at(producer.arrival + most - 1)))
            }
            due if due < full => Next::Send(1, due),
            due => Next::Send(due / full, full),
        }
    }

    fn produce(&mut self, index: usize, batches: usize, records: usize) -> Result<(), LoadError> {
        let aborted = self.is_aborted(index);
        let producer = &mut self.producers[index];
        let template = match producer.templates.entry((batches, records)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let id = Some(producer.id.as_str());
                let (workload, version) = (self.plan.workload, self.produce_version);
                entry.insert(Template::of(id, workload, self.topic, version, batches, records)?)
            }
        };
        let (wall, time, number) = (wall_ms(), now(), producer.number);
        producer.correlation_id = producer.correlation_id.wrapping_add(1);
        let mut frame = producer.spare.pop().unwrap_or_default();
        frame.clear();
        let mut copied = template.copy(&mut frame, producer.correlation_id);
        let places = producer.partitions.len();
        for batch in 0..batches {
            let sent = &mut producer.partitions[(producer.cursor + batch) % places];
            let so_far = if aborted { &mut sent.aborted } else { &mut sent.committed };
            let stream = Stream {
                producer: if aborted { number | ABORTED } else { number },
                partition: sent.index as u32,
            };
            copied.batch(batch, sent.index, Some((producer.identity, sent.base_sequence)), wall, || {
                let stamp = Stamp::after(so_far.chain, stream, so_far.count, time);
                *so_far = Records { count: so_far.count + 1, chain: stamp.chain };
                stamp
            });
            sent.base_sequence += records as u64;
        }
        producer.cursor = (producer.cursor + batches) % places;
        producer.arrival += (batches * records) as u64;
        producer.in_transaction += (batches * records) as u64;
        producer.send(What::Produce, frame)
    }

    fn receive(&mut self, index: usize, scratch: &mut [u8]) -> Result<(), LoadError> {
        let producer = &mut self.producers[index];
        producer.read(scratch)?;
        let time = now();
        let (mut taken, unread) = (0, std::mem::take(&mut producer.unread));
        while let Some(size) = unread[taken..].first_chunk::<4>() {
            let size = i32::from_be_bytes(*size).max(0) as usize;
            let Some(frame) = unread.get(taken + 4..taken + 4 + size) else { break };
            taken += 4 + size;
            self.answered(index, frame, time)?;
        }
        let producer = &mut self.producers[index];
        producer.unread = unread;
        producer.unread.drain(..taken);
        Ok(())
    }

    /// Takes in an answer.
    fn answered(&mut self, index: usize, frame: &[u8], time: u64) -> Result<(), LoadError> {
        let aborted = self.is_aborted(index);
        let producer = &mut self.producers[index];
        let order = LoadError::Order { producer: producer.number };
        let Some(flight) = producer.in_flight.pop_front() else { return Err(order) };
        let (id, passes) = match flight.what {
            What::Produce => produced(frame, self.produce_version, !producer.refused.is_empty())?,
            What::EndTxn => {
                let (id, answer) = ended(frame)?;
                let passes = is_passing(answer.error_code);
                if !passes {
                    refuse("EndTxn", answer.error_code, None)?;
                    producer.identity = Identity { id: answer.producer_id, epoch: answer.producer_epoch };
                }
                (id, passes)
            }
        };
        if id != flight.correlation_id {
            return Err(order);
        }
        if passes {
            producer.rests_until = time + RETRY_PAUSE;
            producer.refused.push_back(flight);
            return Ok(());
        }
        producer.spare.push(flight.frame);
        let State::Ending { called, asked } = producer.state else { return Ok(()) };
        let records = std::mem::take(&mut producer.in_transaction);
        producer.ended += 1;
        producer.state = State::Open { until: time + nanos(self.plan.every) };
        producer.partitions.iter_mut().for_each(|sent| sent.base_sequence = 0);
        if !aborted {
            self.transacted.commits.latency(called, time, 1);
            self.transacted.commits.completed(time, 1, 0);
            self.transacted.ends.latency(asked, time, 1);
            let bytes = records * u64::from(self.plan.workload.record_bytes);
            self.transacted.records.completed(time, records, bytes);
        }
        self.live.acknowledged.fetch_add(records, Relaxed);
        Ok(())
    }
}

/// Which request an answer to Produce is for, and whether that is to be sent again. Behind one that was
/// `refused`, a batch may be out of order.
fn produced(frame: &[u8], version: i16, refused: bool) -> Result<(i32, bool), ClientError> {
    let (id, answer) = decode_response::<ProduceResponse>(frame, version)
        .map_err(|source| ClientError::Decode { api: "Produce", source })?;
    let mut passes = false;
    for partition in answer.responses.into_iter().flat_map(|topic| topic.partition_responses) {
        let is_behind = refused && partition.error_code == ErrorCode::OutOfOrderSequenceNumber.code();
        if is_passing(partition.error_code) || is_behind {
            passes = true;
        } else {
            refuse("Produce", partition.error_code, partition.error_message)?;
        }
    }
    Ok((id, passes))
}

fn ended(frame: &[u8]) -> Result<(i32, EndTxnResponse), ClientError> {
    decode_response(frame, END_TXN).map_err(|source| ClientError::Decode { api: "EndTxn", source })
}

/// Whether a client sends again what was refused with this code.
fn is_passing(code: i16) -> bool {
    use ErrorCode::*;
    matches!(
        ErrorCode::try_from(code),
        Ok(ConcurrentTransactions
            | CoordinatorLoadInProgress
            | CoordinatorNotAvailable
            | NotCoordinator
            | NotEnoughReplicas)
    )
}

impl Producer {
    fn new(
        plan: &Plan<'_>,
        topic: &Topic,
        start: u64,
        number: u32,
        id: String,
        identity: Identity,
    ) -> Result<Producer, LoadError> {
        let workload = plan.workload;
        // There is one broker: it coordinates and leads everything.
        let stream = open(&topic.leaders[0])?;
        let failed = |source| LoadError::Connection { producer: number, source };
        stream.set_nonblocking(true).map_err(failed)?;
        let nothing = Records::default();
        let mut partitions: Vec<Sent> = (0..topic.leaders.len() as i32)
            .map(|index| Sent { index, base_sequence: 0, committed: nothing, aborted: nothing })
            .collect();
        // Neither do producers walk the partitions in step, nor do they commit together.
        let places = partitions.len();
        partitions.rotate_left(number as usize % places);
        let part = u64::from(number + 1) * nanos(plan.every) / u64::from(workload.producers);
        Ok(Producer {
            number,
            id,
            stream,
            identity,
            schedule: workload
                .rate
                .map(|rate| Schedule::new(start, rate, workload.producers as usize, number as usize)),
            templates: HashMap::new(),
            partitions,
            cursor: 0,
            arrival: 0,
            correlation_id: 0,
            state: State::Open { until: start + part },
            ended: 0,
            in_transaction: 0,
            in_flight: VecDeque::new(),
            unwritten: 0,
            written: 0,
            refused: VecDeque::new(),
            rests_until: 0,
            unread: Vec::new(),
            spare: Vec::new(),
        })
    }

    /// Asks for the end of the transaction.
    fn end(&mut self, committed: bool) -> Result<(), LoadError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.identity.id,
            producer_epoch: self.identity.epoch,
            committed,
        };
        let frame = encode_request(END_TXN, self.correlation_id, Some(CLIENT_ID), &request)
            .map_err(|source| ClientError::Encode { api: "EndTxn", source })?;
        self.send(What::EndTxn, frame.to_vec())
    }

    fn send(&mut self, what: What, frame: Vec<u8>) -> Result<(), LoadError> {
        self.in_flight.push_back(Flight { correlation_id: self.correlation_id, what, frame });
        self.unwritten += 1;
        self.write()
    }

    /// Writes what the kernel takes.
    fn write(&mut self) -> Result<(), LoadError> {
        while self.unwritten > 0 {
            let at = self.in_flight.len() - self.unwritten;
            let frame = &self.in_flight[at].frame;
            match self.stream.write(&frame[self.written..]) {
                Ok(written) if self.written + written == frame.len() => {
                    (self.unwritten, self.written) = (self.unwritten - 1, 0);
                }
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LoadError::Connection { producer: self.number, source }),
            }
        }
        Ok(())
    }

    /// Reads what has come.
    fn read(&mut self, scratch: &mut [u8]) -> Result<(), LoadError> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err(LoadError::Closed { producer: self.number }),
                Ok(read) => {
                    self.unread.extend_from_slice(&scratch[..read]);
                    if read < scratch.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LoadError::Connection { producer: self.number, source }),
            }
        }
    }
}
