//! The load: producers on non-blocking connections, driven by as few threads as possible, since they share
//! the machine with the broker.
//!
//! ```text
//!   arrivals (schedule, or at once) > batch > stamp > socket ... answer > latency from the arrival
//! ```
//! A closed loop keeps `in_flight` requests of every producer under way. An open loop sends what is due; what
//! can not be sent because the broker is behind waits, and its wait counts. The first refusal ends the run: a
//! number with errors in it would mean nothing.

use crate::client::{ANSWER_TIMEOUT, Client, ClientError, Topic, refuse, wire};
use crate::clock::{SECOND, nanos, now, wall_ms};
use crate::samples::{Samples, Window};
use crate::schedule::Schedule;
use crate::stamp::{Stamp, Stream};
use crate::template::{Identity, Template};
use crate::workload::{Acks, Workload};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use strandline_client::Stream as Wire;
use strandline_protocol::messages::{ProduceRequest, ProduceResponse, decode_response};
use strandline_protocol::wire::Message;

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;
/// How much of an answer is read at a time; a produce answer is some 100 bytes.
const READ_BYTES: usize = 64 << 10;
/// The event of the timer; connections have their index.
const TIMER: u64 = u64::MAX;

/// Why the load stopped before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("waiting for events: {0}")]
    Poll(#[from] Errno),
    #[error("producer {producer}: {source}")]
    Connection { producer: u32, source: io::Error },
    #[error("producer {producer}: the broker closed the connection")]
    Closed { producer: u32 },
    #[error("producer {producer}: the answers came out of order")]
    Order { producer: u32 },
    #[error("producer {producer}: no answer in {} s", ANSWER_TIMEOUT.as_secs())]
    Unanswered { producer: u32 },
    #[error("{address} is at level {level} of {name}; transactions are measured from level {wanted} on")]
    TransactionLevel { address: String, name: &'static str, level: i16, wanted: i16 },
}

/// Counters for whoever shows progress.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Records acknowledged so far, warm-up included.
    pub(crate) acknowledged: AtomicU64,
    /// Records read so far.
    pub(crate) read: AtomicU64,
}

/// What the producers have seen.
#[derive(Debug)]
pub(crate) struct Load {
    /// From due (open loop) or sent (closed loop) to acknowledged.
    pub(crate) publish: Samples,
    /// From due to given to the kernel: what of the latency is the tool's own, and what the in-flight
    /// limit's.
    pub(crate) send_lag: Samples,
    /// The records acknowledged, by stream: what must be found in the log.
    pub(crate) acknowledged: HashMap<Stream, u64>,
    /// Records of the window that were not answered within the drain; they are in `publish` with the wait so
    /// far.
    pub(crate) unanswered: u64,
    /// The producer ids, by producer, when they have them.
    pub(crate) identities: Vec<Option<Identity>>,
    /// What ended the load before its time. The rest is what was seen until then.
    pub(crate) failure: Option<LoadError>,
}

/// What a server sends back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// The response to Produce.
    Kafka,
    /// The request: it is no broker, but a reference beside one.
    Echo,
}

/// Drives all producers of `workload` from `start` (nanoseconds) through warm-up, window and drain.
pub(crate) fn run(
    workload: &Workload,
    bootstrap: &str,
    topic: &Topic,
    start: u64,
    live: &Live,
) -> Result<Load, LoadError> {
    let mut identities = vec![None; workload.producers as usize];
    let mut client = Client::connect(bootstrap)?;
    let version = client.version::<ProduceRequest>()?;
    if workload.has_producer_ids() {
        for identity in &mut identities {
            let (id, epoch) = client.producer_id()?;
            *identity = Some(Identity { id, epoch });
        }
    }
    drive_all(workload, topic, version, Answers::Kafka, start, identities, live)
}

/// The same load on a server that sends every request back.
pub(crate) fn echo(workload: &Workload, topic: &Topic, start: u64, live: &Live) -> Result<Load, LoadError> {
    let identities = vec![None; workload.producers as usize];
    drive_all(workload, topic, *ProduceRequest::VERSIONS.end(), Answers::Echo, start, identities, live)
}

fn drive_all(
    workload: &Workload,
    topic: &Topic,
    version: i16,
    answers: Answers,
    start: u64,
    identities: Vec<Option<Identity>>,
    live: &Live,
) -> Result<Load, LoadError> {
    let window = workload.window(start);
    let threads = workload.threads.min(workload.producers);
    let mut drivers = Vec::new();
    for thread in 0..threads {
        let producers = (thread..workload.producers).step_by(threads as usize);
        drivers.push(Driver::new(workload, topic, (version, answers), start, producers, &identities)?);
    }
    let results: Vec<Load> = thread::scope(|scope| {
        let running: Vec<_> =
            drivers.into_iter().map(|driver| scope.spawn(move || driver.run(live))).collect();
        running.into_iter().map(|thread| thread.join().expect("a driver does not panic")).collect()
    });
    let mut total = Load {
        publish: Samples::new(window),
        send_lag: Samples::new(window),
        acknowledged: HashMap::new(),
        unanswered: 0,
        identities,
        failure: None,
    };
    for load in results {
        total.publish.merge(&load.publish);
        total.send_lag.merge(&load.send_lag);
        total.acknowledged.extend(load.acknowledged);
        total.unanswered += load.unanswered;
        total.failure = total.failure.or(load.failure);
    }
    Ok(total)
}

/// One thread's producers.
struct Driver<'a> {
    workload: &'a Workload,
    topic: &'a Topic,
    version: i16,
    answers: Answers,
    window: Window,
    producers: Vec<Producer>,
    templates: HashMap<(usize, usize), Template>,
    epoll: OwnedFd,
    /// Memory for the requests that are made next; empty.
    out: Vec<u8>,
    timer: OwnedFd,
    /// When the timer goes off.
    armed: u64,
    /// Producers by the time at which they want to look again.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    publish: Samples,
    send_lag: Samples,
}

/// A producer and its connection.
struct Producer {
    number: u32,
    stream: Wire,
    identity: Option<Identity>,
    schedule: Option<Schedule>,
    /// The partitions that its broker leads, with what was sent to each.
    partitions: Vec<Sent>,
    cursor: usize,
    arrival: u64,
    correlation_id: i32,
    in_flight: VecDeque<Flight>,
    out: Vec<u8>,
    written: usize,
    unread: Vec<u8>,
    /// Whether it waits in [`Driver::due`].
    waiting: bool,
}

/// What was sent to a partition.
struct Sent {
    index: i32,
    sequence: u64,
    chain: u64,
    acknowledged: u64,
}

/// A request that is not answered yet.
struct Flight {
    correlation_id: i32,
    sent: u64,
    /// Its first record, by number of arrival.
    first: u64,
    /// The first of its partitions, by place in the producer's list; the others follow it.
    cursor: usize,
    batches: usize,
    records_per_batch: usize,
}

impl<'a> Driver<'a> {
    fn new(
        workload: &'a Workload,
        topic: &'a Topic,
        (version, answers): (i16, Answers),
        start: u64,
        numbers: impl Iterator<Item = u32>,
        identities: &[Option<Identity>],
    ) -> Result<Driver<'a>, LoadError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        let window = workload.window(start);
        let mut brokers: Vec<&String> = topic.leaders.iter().collect();
        brokers.sort();
        brokers.dedup();
        let mut producers = Vec::new();
        for number in numbers {
            let broker = brokers[number as usize % brokers.len()];
            let stream = wire(broker)?;
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&epoll, stream.socket(), EventData::new_u64(producers.len() as u64), flags)?;
            let mut partitions: Vec<Sent> = (topic.leaders.iter().zip(0..))
                .filter(|(leader, _)| *leader == broker)
                .map(|(_, index)| Sent { index, sequence: 0, chain: 0, acknowledged: 0 })
                .collect();
            // Producers do not walk the partitions in step.
            let places = partitions.len();
            partitions.rotate_left(number as usize % places);
            producers.push(Producer {
                number,
                stream,
                identity: identities[number as usize],
                schedule: workload
                    .rate
                    .map(|rate| Schedule::new(start, rate, workload.producers as usize, number as usize)),
                partitions,
                cursor: 0,
                arrival: 0,
                correlation_id: 0,
                in_flight: VecDeque::new(),
                out: Vec::new(),
                written: 0,
                unread: Vec::new(),
                waiting: false,
            });
        }
        Ok(Driver {
            workload,
            topic,
            version,
            answers,
            window,
            producers,
            templates: HashMap::new(),
            epoll,
            out: Vec::new(),
            timer,
            armed: 0,
            due: BinaryHeap::new(),
            publish: Samples::new(window),
            send_lag: Samples::new(window),
        })
    }

    fn run(mut self, live: &Live) -> Load {
        let failure = self.drive(live).err();
        self.finish(now(), failure)
    }

    fn drive(&mut self, live: &Live) -> Result<(), LoadError> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut scratch = vec![0; READ_BYTES];
        let deadline = self.window.end + nanos(ANSWER_TIMEOUT);
        for index in 0..self.producers.len() {
            self.send(index)?;
        }
        loop {
            let time = now();
            while let Some(&Reverse((due, index))) = self.due.peek()
                && due <= time
            {
                self.due.pop();
                self.producers[index].waiting = false;
                self.send(index)?;
            }
            if time >= deadline
                || (time >= self.window.end && self.producers.iter().all(|it| self.is_done(it)))
            {
                return Ok(());
            }
            let next = self.due.peek().map_or(deadline, |Reverse((due, _))| *due);
            // Past the window, look now and then whether all is answered.
            let next = if time >= self.window.end {
                next.min(time + SECOND / 100)
            } else {
                next.min(self.window.end)
            };
            self.wait(next, &mut events)?;
            for event in events.drain(..) {
                let index = event.data.u64();
                if index == TIMER {
                    continue;
                }
                let index = index as usize;
                // An answer makes room for a request, a writable socket for the rest of one.
                self.receive(index, &mut scratch, live)?;
                self.send(index)?;
            }
        }
    }

    /// Sleeps until something happens or `until` has come.
    fn wait(&mut self, until: u64, events: &mut Vec<Event>) -> Result<(), LoadError> {
        if self.armed != until {
            let spec = |at: u64| Timespec { tv_sec: (at / SECOND) as i64, tv_nsec: (at % SECOND) as i64 };
            let value = Itimerspec { it_interval: spec(0), it_value: spec(until.max(1)) };
            rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &value)?;
            self.armed = until;
        }
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a producer has sent all that was due in the window, and has its answers.
    fn is_done(&self, producer: &Producer) -> bool {
        let sent = producer.schedule.is_none_or(|schedule| schedule.at(producer.arrival) >= self.window.end);
        sent && producer.in_flight.is_empty() && producer.out.is_empty()
    }

    /// Sends all that a producer may and must send now, in one system call.
    fn send(&mut self, index: usize) -> Result<(), LoadError> {
        loop {
            let producer = &mut self.producers[index];
            if !producer.out.is_empty() && !producer.flush()? {
                return Ok(());
            }
            let time = now();
            if self.workload.acks == Acks::Zero {
                // Nobody will answer: what the kernel has taken is all there is to know.
                while let Some(flight) = producer.in_flight.pop_front() {
                    flight.measure(producer, &mut self.publish, self.workload, time);
                }
            }
            let under_way = producer.in_flight.len();
            // All producers make their requests in the same memory, which stays in the processor's cache. One
            // keeps it whose socket is full.
            producer.out = std::mem::take(&mut self.out);
            while self.enqueue(index, time)? {}
            let producer = &mut self.producers[index];
            if producer.flush()? {
                self.out = std::mem::take(&mut producer.out);
            }
            if producer.in_flight.len() == under_way {
                return Ok(());
            }
            if producer.schedule.is_some() {
                let sent = now();
                for flight in producer.in_flight.range(under_way..) {
                    flight.measure_lag(producer, &mut self.send_lag, sent);
                }
            }
        }
    }

    /// Puts a producer's next request behind what is still to be written, if it may and must send one at
    /// `time`. Whether it did.
    fn enqueue(&mut self, index: usize, time: u64) -> Result<bool, LoadError> {
        let full = self.workload.records_per_batch as usize;
        let producer = &mut self.producers[index];
        if producer.in_flight.len() >= self.workload.in_flight as usize {
            return Ok(false);
        }
        let batches_max = (self.workload.batches_per_request as usize).min(producer.partitions.len());
        let (batches, records) = match producer.schedule {
            None if time >= self.window.end => return Ok(false),
            None => (batches_max, full),
            Some(schedule) => {
                let first = schedule.at(producer.arrival);
                if first >= self.window.end {
                    return Ok(false);
                }
                let due = schedule.due(producer.arrival, time, (full * batches_max) as u64) as usize;
                let closes = first + nanos(self.workload.linger());
                let look_again = match due {
                    0 => Some(first),
                    _ if due < full && time < closes => {
                        Some(schedule.at(producer.arrival + full as u64 - 1).min(closes))
                    }
                    _ => None,
                };
                if let Some(at) = look_again {
                    if !producer.waiting {
                        producer.waiting = true;
                        self.due.push(Reverse((at.max(time), index)));
                    }
                    return Ok(false);
                }
                if due < full { (1, due) } else { (due / full, full) }
            }
        };
        let template = match self.templates.entry((batches, records)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Template::new(self.workload, self.topic, self.version, batches, records)?)
            }
        };
        producer.enqueue(template, batches, records, time);
        Ok(true)
    }

    fn receive(&mut self, index: usize, scratch: &mut [u8], live: &Live) -> Result<(), LoadError> {
        let producer = &mut self.producers[index];
        let failed = |source| LoadError::Connection { producer: producer.number, source };
        loop {
            match producer.stream.read(scratch) {
                Ok(0) => return Err(LoadError::Closed { producer: producer.number }),
                Ok(read) => {
                    producer.unread.extend_from_slice(&scratch[..read]);
                    if read < scratch.len() && !producer.stream.is_encrypted() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            }
        }
        let time = now();
        let mut taken = 0;
        let unread = std::mem::take(&mut producer.unread);
        while let Some(size) = unread[taken..].first_chunk::<4>() {
            let size = i32::from_be_bytes(*size).max(0) as usize;
            let Some(frame) = unread.get(taken + 4..taken + 4 + size) else { break };
            taken += 4 + size;
            let correlation_id = match self.answers {
                Answers::Kafka => acknowledged(frame, self.version)?,
                // It stands behind the key and the version of a request.
                Answers::Echo => {
                    frame.get(4..).and_then(<[u8]>::first_chunk).map_or(-1, |id| i32::from_be_bytes(*id))
                }
            };
            let flight = producer.in_flight.pop_front();
            let flight = flight
                .filter(|flight| flight.correlation_id == correlation_id)
                .ok_or(LoadError::Order { producer: producer.number })?;
            let records = flight.measure(producer, &mut self.publish, self.workload, time);
            live.acknowledged.fetch_add(records, Relaxed);
        }
        producer.unread = unread;
        producer.unread.drain(..taken);
        Ok(())
    }

    fn finish(mut self, time: u64, failure: Option<LoadError>) -> Load {
        let mut load = Load {
            publish: Samples::new(self.window),
            send_lag: self.send_lag,
            acknowledged: HashMap::new(),
            unanswered: 0,
            identities: Vec::new(),
            failure,
        };
        for producer in &mut self.producers {
            for flight in std::mem::take(&mut producer.in_flight) {
                load.unanswered += flight.wait_so_far(producer, &mut self.publish, self.window, time);
            }
            // What was due but never sent has waited too.
            if let Some(schedule) = producer.schedule {
                for arrival in producer.arrival.. {
                    let due = schedule.at(arrival);
                    if due >= self.window.end {
                        break;
                    }
                    load.unanswered += u64::from(due >= self.window.start);
                    self.publish.latency(due, time, 1);
                }
            }
            for partition in producer.partitions.iter().filter(|partition| partition.acknowledged > 0) {
                let stream = Stream { producer: producer.number, partition: partition.index as u32 };
                load.acknowledged.insert(stream, partition.acknowledged);
            }
        }
        load.publish = self.publish;
        load
    }
}

/// Which request a Produce response is for, when it refuses nothing.
fn acknowledged(frame: &[u8], version: i16) -> Result<i32, ClientError> {
    let (correlation_id, answer) = decode_response::<ProduceResponse>(frame, version)
        .map_err(|source| ClientError::Decode { api: "Produce", source })?;
    for partition in answer.responses.into_iter().flat_map(|topic| topic.partition_responses) {
        refuse("Produce", partition.error_code, partition.error_message)?;
    }
    Ok(correlation_id)
}

impl Producer {
    /// Makes a request of the next records and puts it behind what is still to be written.
    fn enqueue(&mut self, template: &Template, batches: usize, records: usize, time: u64) {
        let wall = wall_ms();
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.out.reserve(template.bytes());
        let mut copied = template.copy(&mut self.out, self.correlation_id);
        let places = self.partitions.len();
        let mut arrival = self.arrival;
        for number in 0..batches {
            let partition = &mut self.partitions[(self.cursor + number) % places];
            let stream = Stream { producer: self.number, partition: partition.index as u32 };
            let identity = self.identity.map(|identity| (identity, partition.sequence));
            let base_sequence = partition.sequence;
            let schedule = self.schedule;
            copied.batch(number, partition.index, identity, wall, || {
                let due = schedule.map_or(time, |schedule| schedule.at(arrival));
                arrival += 1;
                let stamp = Stamp::after(partition.chain, stream, partition.sequence, due);
                partition.chain = stamp.chain;
                partition.sequence += 1;
                stamp
            });
            partition.sequence = base_sequence + records as u64;
        }
        self.in_flight.push_back(Flight {
            correlation_id: self.correlation_id,
            sent: time,
            first: self.arrival,
            cursor: self.cursor,
            batches,
            records_per_batch: records,
        });
        self.arrival += (batches * records) as u64;
        self.cursor = (self.cursor + batches) % places;
    }

    /// Writes what the kernel takes. Whether that was all.
    fn flush(&mut self) -> Result<bool, LoadError> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LoadError::Connection { producer: self.number, source }),
            }
        }
        let failed = |source| LoadError::Connection { producer: self.number, source };
        if !self.stream.push().map_err(failed)? {
            return Ok(false);
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }
}

impl Flight {
    fn records(&self) -> u64 {
        (self.batches * self.records_per_batch) as u64
    }

    /// When each of its records was due, with how many were due then.
    fn dues(&self, schedule: Option<Schedule>) -> impl Iterator<Item = (u64, u32)> + use<> {
        let (sent, first, records) = (self.sent, self.first, self.records());
        let closed = schedule.is_none().then_some((sent, records as u32));
        let open =
            schedule.map(|schedule| (first..first + records).map(move |arrival| (schedule.at(arrival), 1)));
        closed.into_iter().chain(open.into_iter().flatten())
    }

    /// Counts its records as acknowledged at `time`.
    fn measure(&self, producer: &mut Producer, publish: &mut Samples, workload: &Workload, time: u64) -> u64 {
        for (due, count) in self.dues(producer.schedule) {
            publish.latency(due, time, count);
        }
        publish.completed(time, self.records(), self.records() * u64::from(workload.record_bytes));
        let places = producer.partitions.len();
        if workload.acks != Acks::Zero {
            for number in 0..self.batches {
                producer.partitions[(self.cursor + number) % places].acknowledged +=
                    self.records_per_batch as u64;
            }
        }
        self.records()
    }

    fn measure_lag(&self, producer: &Producer, send_lag: &mut Samples, time: u64) {
        for (due, count) in self.dues(producer.schedule) {
            send_lag.latency(due, time, count);
        }
    }

    /// Records the wait of records that were never answered; how many of them belong to the window.
    fn wait_so_far(&self, producer: &Producer, publish: &mut Samples, window: Window, time: u64) -> u64 {
        let mut unanswered = 0;
        for (due, count) in self.dues(producer.schedule) {
            publish.latency(due, time, count);
            unanswered += if (window.start..window.end).contains(&due) { u64::from(count) } else { 0 };
        }
        unanswered
    }
}
