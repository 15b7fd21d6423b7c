//! What a front does with the crate, over logs whose ends are not durable yet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::connection::{Action, Appended, Asked, Closing, Connection, Limits, Offered, Placed, Ticket};
use crate::message::Message;
use crate::retained::{Kept, Retain, Retained, RetainedRecord};
use crate::rules::Rules;
use crate::session::{Once, Partition, Producer, Record};
use crate::sessions::{Opening, Owner, Ready, Sessions};

const PARTITIONS: usize = 2;
const NOW: i64 = 1_700_000_000_000;

/// A record of the data log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) partition: usize,
    pub(super) offset: i64,
    pub(super) topic: String,
    pub(super) number: u32,
    pub(super) qos: u8,
    pub(super) retain: bool,
    once: Option<Once>,
    message: Message,
}

/// A log: what is before `durable` survives, of the rest any part from the left.
#[derive(Debug)]
struct Log<T> {
    entries: Vec<T>,
    durable: usize,
}

impl<T> Default for Log<T> {
    fn default() -> Log<T> {
        Log { entries: Vec::new(), durable: 0 }
    }
}

/// What follows when a batch of sessions is durable.
enum Then {
    Opened(u64, Box<Ready>),
    Stored(u64, Ticket),
    Closed(String, u64),
}

struct Served {
    who: usize,
    connection: Connection,
    input: BytesMut,
    output: BytesMut,
    is_closed: bool,
}

pub(super) struct Broker {
    data: Vec<Log<Entry>>,
    sessions_log: Log<Vec<(Bytes, Option<Bytes>)>>,
    retained_log: Log<(Bytes, Option<Bytes>)>,
    // From here on, gone with a crash.
    sessions: Sessions,
    pub(super) retained: Retained,
    served: BTreeMap<u64, Served>,
    appending: Vec<VecDeque<(u64, Ticket)>>,
    storing: VecDeque<Then>,
    to_retain: VecDeque<(u64, Ticket, Kept)>,
    retaining: Option<(u64, Ticket)>,
    opens: Vec<(u64, Asked)>,
    last: u64,
    producers: i64,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ends: Vec<(usize, usize)> =
            self.data.iter().map(|log| (log.durable, log.entries.len())).collect();
        writeln!(f, "data {ends:?}, {} to store, {} to keep", self.storing.len(), self.to_retain.len())?;
        for (number, Served { who, connection, input, output, is_closed }) in &self.served {
            let (wants, is_paused) = (connection.wants(), connection.is_paused());
            let (input, output) = (input.len(), output.len());
            writeln!(
                f,
                "{number} of {who}: closed {is_closed}, paused {is_paused}, {input} in, {output} out, {wants:?}"
            )?;
        }
        Ok(())
    }
}

fn partition(index: usize) -> Partition {
    Partition { topic: [1; 16], index: index as u32 }
}

fn index_of(key: &str) -> usize {
    key.bytes().map(usize::from).sum::<usize>() % PARTITIONS
}

impl Broker {
    pub(super) fn new() -> Broker {
        Broker {
            data: (0..PARTITIONS).map(|_| Log::default()).collect(),
            sessions_log: Log::default(),
            retained_log: Log::default(),
            sessions: Sessions::default(),
            retained: Retained::default(),
            served: BTreeMap::new(),
            appending: vec![VecDeque::new(); PARTITIONS],
            storing: VecDeque::new(),
            to_retain: VecDeque::new(),
            retaining: None,
            opens: Vec::new(),
            last: 0,
            producers: 0,
        }
    }

    /// All that is durable.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.data.iter().flat_map(|log| &log.entries[..log.durable])
    }

    /// Where what is durable ends: what is behind may go, and other messages come in its place.
    pub(super) fn ends(&self) -> Vec<i64> {
        self.data.iter().map(|log| log.durable as i64).collect()
    }

    pub(super) fn is_open(&self, connection: u64) -> bool {
        self.served.get(&connection).is_some_and(|served| !served.is_closed)
    }

    /// Whether everything is durable, and this connection has had all of it.
    pub(super) fn is_calm(&self, connection: u64) -> bool {
        let mine = self.served.get(&connection);
        let logs = self.data.iter().all(|log| log.durable == log.entries.len());
        let is_read = |served: &Served| {
            let wants = served.connection.wants();
            !wants.is_empty()
                && wants.iter().all(|(at, next)| *next == self.data[at.index as usize].entries.len() as i64)
        };
        let is_quiet =
            |served: &Served| served.input.is_empty() && served.output.is_empty() && is_read(served);
        logs && self.storing.is_empty() && self.retaining.is_none() && mine.is_some_and(is_quiet)
    }

    // ---- the network --------------------------------------------------------------------------------------

    pub(super) fn accept(&mut self, who: usize) -> u64 {
        self.last += 1;
        let limits = Limits { receive_max: 4, flights_max: 3, ..Limits::default() };
        let rules = Arc::new(Rules::parse("", "mqtt").unwrap());
        let connection = Connection::new(limits, rules, "assigned".into(), NOW);
        let (input, output) = (BytesMut::new(), BytesMut::new());
        self.served.insert(self.last, Served { who, connection, input, output, is_closed: false });
        self.last
    }

    pub(super) fn hear(&mut self, connection: u64, bytes: &[u8]) {
        if let Some(served) = self.served.get_mut(&connection) {
            served.input.extend_from_slice(bytes);
        }
    }

    /// Some bytes to the client; `None` when the connection has ended.
    pub(super) fn say(&mut self, connection: u64, random: &mut fastrand::Rng) -> Option<BytesMut> {
        let served = self.served.get_mut(&connection)?;
        let bytes = random.usize(0..=served.output.len());
        let bytes = served.output.split_to(bytes);
        if served.is_closed && served.output.is_empty() {
            self.served.remove(&connection);
        }
        Some(bytes)
    }

    pub(super) fn lost(&mut self, connection: u64) {
        if let Some(served) = self.served.get_mut(&connection) {
            served.connection.lost();
            served.output.clear();
        }
        self.act(connection);
        if self.served.get(&connection).is_some_and(|served| served.is_closed) {
            self.served.remove(&connection);
        }
    }

    // ---- the front ----------------------------------------------------------------------------------------

    /// Serves the connections of a client: packets, actions, records to be read.
    pub(super) fn work(&mut self, who: usize, random: &mut fastrand::Rng) {
        let mine = self.served.iter().filter(|(_, served)| served.who == who);
        let mine: Vec<u64> = mine.map(|(number, _)| *number).collect();
        for number in mine {
            let served = self.served.get_mut(&number).unwrap();
            served.connection.receive(&mut served.input, NOW);
            self.act(number);
            self.read(number, random);
            self.act(number);
        }
        for (number, asked) in std::mem::take(&mut self.opens) {
            self.open(number, asked);
        }
    }

    fn read(&mut self, number: u64, random: &mut fastrand::Rng) {
        let Some(served) = self.served.get_mut(&number) else { return };
        for (at, next) in served.connection.wants() {
            let log = &self.data[at.index as usize];
            let to = (next as usize + random.usize(0..4)).min(log.durable);
            let records = log.entries[..to].iter().skip(next as usize).map(|entry| Offered {
                offset: entry.offset,
                timestamp: NOW,
                message: Some(entry.message.clone()),
            });
            served.connection.offer(at, records.collect(), to as i64, NOW);
        }
    }

    fn act(&mut self, number: u64) {
        loop {
            let Some(served) = self.served.get_mut(&number) else { return };
            let output = served.connection.output();
            served.output.extend_from_slice(&output);
            let Some(action) = served.connection.action() else { return };
            self.do_action(number, action);
        }
    }

    fn do_action(&mut self, number: u64, action: Action) {
        let ends: Vec<(Partition, i64)> =
            self.ends().into_iter().enumerate().map(|(index, end)| (partition(index), end)).collect();
        let served = self.served.get_mut(&number).expect("it has acted");
        let connection = &mut served.connection;
        match action {
            Action::Open(asked) => self.opens.push((number, *asked)),
            Action::Resolve { ticket, pending } => {
                let found = pending.iter().map(|(id, pending)| {
                    let log = &self.data[pending.partition.index as usize];
                    assert!(self.appending.iter().flatten().all(|(other, _)| *other != number));
                    let found = log.entries.iter().find(|entry| entry.once == Some(pending.once));
                    let at = |entry: &Entry| Appended {
                        partition: pending.partition,
                        offset: entry.offset,
                        timestamp: NOW,
                    };
                    (*id, found.map(at))
                });
                connection.resolved(ticket, &found.collect::<Vec<_>>());
            }
            Action::Place { ticket, place, needs_producer } => {
                self.producers += i64::from(needs_producer);
                let producer = needs_producer.then_some(Producer { id: self.producers, epoch: 0 });
                let partition = partition(index_of(&place.key));
                connection.placed(ticket, Ok(Placed { partition, producer }));
            }
            Action::Append { ticket, place, message, once } => {
                let index = index_of(&place.key);
                assert!(once.is_none_or(|(at, _)| at == partition(index)));
                let log = &mut self.data[index];
                let entry = Entry {
                    partition: index,
                    offset: log.entries.len() as i64,
                    topic: message.topic.clone(),
                    number: std::str::from_utf8(&message.payload).unwrap().parse().unwrap(),
                    qos: message.qos as u8,
                    retain: message.retain,
                    once: once.map(|(_, once)| once),
                    message,
                };
                log.entries.push(entry);
                self.appending[index].push_back((number, ticket));
            }
            Action::Retain { ticket, message, at } => {
                let Appended { partition, offset, timestamp } = at;
                self.to_retain.push_back((number, ticket, Kept { partition, offset, timestamp, message }));
                self.retain_next();
            }
            Action::Store { ticket, records } => {
                let client_id = connection.client_id().to_owned();
                match self.sessions.store(&client_id, Owner(number), &records) {
                    Ok(()) => self.write(&records, Then::Stored(number, ticket)),
                    Err(_) => panic!("a connection that was not told that it is fenced"),
                }
            }
            Action::Follow { ticket, filters } => {
                let found = filters.iter().map(|_| Ok(ends.clone())).collect();
                connection.followed(ticket, found, NOW);
            }
            Action::Survey { ticket, .. } => {
                let starts: Vec<_> = ends.iter().map(|(at, _)| (*at, Some(0))).collect();
                connection.surveyed(ticket, Some(&starts));
            }
            Action::Kept { filter } => {
                let (kept, _) = self.retained.matching(&filter, "", usize::MAX);
                let kept = kept.into_iter().cloned().collect();
                connection.kept(&filter, kept, NOW);
            }
            Action::Reread { id, partition, offset } => {
                let entry = &self.data[partition.index as usize].entries[offset as usize];
                connection.reread(id, Some((NOW, entry.message.clone())), NOW);
            }
            Action::Close(closing) => self.close(number, *closing),
        }
    }

    fn open(&mut self, number: u64, asked: Asked) {
        if !self.served.contains_key(&number) {
            return;
        }
        match self.sessions.open(&asked.client_id, asked.open.clone(), Owner(number), NOW) {
            Opening::Ready(ready) => self.write(&ready.records.clone(), Then::Opened(number, ready)),
            Opening::Busy(Owner(other)) => {
                if let Some(served) = self.served.get_mut(&other) {
                    served.connection.taken_over();
                    self.act(other);
                }
                self.opens.push((number, asked));
            }
            Opening::Refused(reason) => panic!("{reason:?}"),
        }
    }

    fn close(&mut self, number: u64, closing: Closing) {
        let served = self.served.get_mut(&number).expect("it has acted");
        served.is_closed = true;
        let client_id = served.connection.client_id().to_owned();
        if let Some((session, ending)) = closing.session {
            let records = self
                .sessions
                .close(&client_id, Owner(number), &session, ending, NOW)
                .expect("it is the owner");
            self.write(&records, Then::Closed(client_id, number));
        }
    }

    fn write(&mut self, records: &[Record], then: Then) {
        let batch = records.iter().map(|record| (record.key(), record.value())).collect();
        self.sessions_log.entries.push(batch);
        self.storing.push_back(then);
    }

    fn retain_next(&mut self) {
        while self.retaining.is_none() {
            let Some((number, ticket, kept)) = self.to_retain.pop_front() else { return };
            match self.retained.set(kept) {
                Retain::Write(record) => {
                    self.retained_log.entries.push((record.key(), record.value()));
                    self.retaining = Some((number, ticket));
                }
                Retain::Nothing => self.tell(number, |connection| connection.retained(ticket, Ok(()))),
                Retain::Full => panic!("there is room"),
            }
        }
    }

    fn tell(&mut self, number: u64, what: impl FnOnce(&mut Connection)) {
        if let Some(served) = self.served.get_mut(&number) {
            what(&mut served.connection);
        }
        self.act(number);
    }

    // ---- the disk -----------------------------------------------------------------------------------------

    /// The next entry of some log becomes durable.
    pub(super) fn make_durable(&mut self, random: &mut fastrand::Rng) {
        match random.usize(0..PARTITIONS + 2) {
            index if index < PARTITIONS => {
                let Some((number, ticket)) = self.appending[index].pop_front() else { return };
                let offset = self.data[index].durable as i64;
                self.data[index].durable += 1;
                let at = Appended { partition: partition(index), offset, timestamp: NOW };
                self.tell(number, |connection| connection.appended(ticket, Ok(at)));
            }
            PARTITIONS => {
                let Some((number, ticket)) = self.retaining.take() else { return };
                self.replay_retained();
                self.tell(number, |connection| connection.retained(ticket, Ok(())));
                self.retain_next();
            }
            _ => {
                let Some(then) = self.storing.pop_front() else { return };
                self.replay_session();
                match then {
                    Then::Opened(number, ready) => {
                        self.tell(number, |connection| connection.opened(&ready.stored, ready.is_present));
                    }
                    Then::Stored(number, ticket) => {
                        self.tell(number, |connection| connection.stored(ticket, true))
                    }
                    Then::Closed(client_id, number) => self.sessions.closed(&client_id, Owner(number)),
                }
            }
        }
    }

    fn replay_session(&mut self) {
        for (key, value) in &self.sessions_log.entries[self.sessions_log.durable] {
            self.sessions.replay(Record::parse(key, value.as_deref()).expect("our own"));
        }
        self.sessions_log.durable += 1;
    }

    fn replay_retained(&mut self) {
        let (key, value) = &self.retained_log.entries[self.retained_log.durable];
        self.retained.replay(RetainedRecord::parse(key, value.as_deref()).expect("our own"));
        self.retained_log.durable += 1;
    }

    /// Everything that is not durable is gone, but for a part that reached the disk and was told to nobody.
    pub(super) fn crash(&mut self, random: &mut fastrand::Rng, seed: u64) {
        fn cut<T>(log: &mut Log<T>, random: &mut fastrand::Rng) {
            log.durable = random.usize(log.durable..=log.entries.len());
            log.entries.truncate(log.durable);
        }
        self.data.iter_mut().for_each(|log| cut(log, random));
        cut(&mut self.sessions_log, random);
        cut(&mut self.retained_log, random);
        let (sessions, retained) = (self.sessions_log.entries.len(), self.retained_log.entries.len());
        let (data, sessions_log) = (std::mem::take(&mut self.data), std::mem::take(&mut self.sessions_log));
        let retained_log = std::mem::take(&mut self.retained_log);
        let (last, producers) = (self.last, self.producers);
        *self = Broker { data, sessions_log, retained_log, last, producers, ..Broker::new() };
        (self.sessions_log.durable, self.retained_log.durable) = (0, 0);
        (0..sessions).for_each(|_| self.replay_session());
        (0..retained).for_each(|_| self.replay_retained());
        self.sessions.begin(NOW);
        assert_eq!(self.sessions_log.durable, sessions, "seed {seed}");
    }
}
