//! A coordinator with a log that takes what it is told to take, when it is told to.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use strandline_engine::topics::TopicTable;
use strandline_engine::types::{LeaderEpoch, Offset, TopicId};
use strandline_protocol::messages::{ConsumerProtocolAssignment, TopicPartition};
use strandline_protocol::wire::ErrorCode;

use super::super::coordinator;
use super::{classic, subscription};
use crate::coordination::{Machine, Outcome, Reply, StoreError, Stored, Turn, Write};
use crate::groups::consumer::{Assignment, Beat, Heartbeat};
use crate::groups::coordinator::{Commit, Fetch, GroupCoordinator, GroupTurn, Within};
use crate::groups::group::State;
use crate::groups::kind::Kind;
use crate::groups::member::{Identity, Join, Joined, Protocol, Sync, Synced};
use crate::groups::records::{Change, OffsetValue};
use crate::refusal::Refusal;

pub(super) const GROUP: &str = "g";

/// The id of the only topic.
pub(super) fn t() -> TopicId {
    TopicId::from_bytes([1; 16])
}

pub(super) fn partitions(assignment: &Assignment) -> Vec<i32> {
    assignment.iter().map(|(_, at)| at).collect()
}

/// What a leader gives, or a member is given.
pub(super) fn given(partitions: &[i32]) -> Bytes {
    let topic = TopicPartition { topic: "t".to_owned(), partitions: partitions.to_vec() };
    let assigned_partitions = if partitions.is_empty() { Vec::new() } else { vec![topic] };
    ConsumerProtocolAssignment { assigned_partitions, user_data: None }.encode().unwrap()
}

/// An answer that may come later.
pub(super) struct Answer<T>(futures_channel::oneshot::Receiver<Result<T, crate::coordination::Unavailable>>);

impl<T> Answer<T> {
    /// The answer, if it is there.
    pub(super) fn poll(&mut self) -> Option<T> {
        self.0.try_recv().expect("the coordinator goes on").map(|answer| answer.unwrap_or_else(|_| panic!()))
    }

    pub(super) fn recv(mut self) -> T {
        self.poll().expect("it is answered")
    }
}

type Answering = Box<dyn FnOnce(Stored)>;

pub(super) struct Room {
    pub(super) groups: GroupCoordinator,
    pub(super) now: i64,
    /// Whether the log takes nothing.
    pub(super) fail: bool,
    topics: Arc<TopicTable>,
    in_flight: HashMap<String, usize>,
    writes: VecDeque<(Write<GroupCoordinator>, Option<Answering>)>,
    log: Vec<Change>,
}

impl Room {
    pub(super) fn new(partitions: u32) -> Room {
        let mut room = Room {
            groups: started(),
            now: 1,
            fail: false,
            topics: Arc::new(TopicTable::of([("t", t(), partitions)])),
            in_flight: HashMap::new(),
            writes: VecDeque::new(),
            log: Vec::new(),
        };
        room.call(|groups, turn| groups.begin(turn));
        room
    }

    /// The process ends, and another begins with what the log has.
    pub(super) fn restart(&mut self) {
        self.writes.clear();
        self.in_flight.clear();
        self.groups = started();
        let log = self.log.clone();
        log.into_iter().for_each(|change| self.groups.replay(self.now, Offset::ZERO, change));
        self.call(|groups, turn| groups.begin(turn));
        self.settle();
    }

    pub(super) fn call<T>(&mut self, call: impl FnOnce(&mut GroupCoordinator, &mut GroupTurn<'_>) -> T) -> T {
        let topics = self.topics.clone();
        let topics = move || Rc::new(topics.clone());
        let mut turn = Turn::new(self.now, LeaderEpoch::FIRST, &topics, &self.in_flight);
        let told = call(&mut self.groups, &mut turn);
        let writes = turn.into_writes();
        writes.into_iter().for_each(|write| self.write(write, None));
        told
    }

    fn write(&mut self, write: Write<GroupCoordinator>, answer: Option<Answering>) {
        if let Some(key) = &write.key {
            *self.in_flight.entry(key.clone()).or_default() += 1;
        }
        self.writes.push_back((write, answer));
    }

    fn change<T: 'static>(
        &mut self,
        call: impl FnOnce(&mut GroupCoordinator, &mut GroupTurn<'_>) -> Outcome<GroupCoordinator, T>,
    ) -> Answer<T> {
        let (reply, answer) = Reply::new();
        match self.call(call) {
            Outcome::Answer(told) => reply.send(told),
            Outcome::Write(write, told) => {
                self.write(write, Some(Box::new(move |stored| reply.send(told(stored)))));
            }
        }
        Answer(answer)
    }

    /// The log takes the oldest write, or does not; whether there was one.
    pub(super) fn settle_one(&mut self) -> bool {
        let Some((write, answer)) = self.writes.pop_front() else { return false };
        let Write { key, records, then, .. } = write;
        if let Some(key) = &key {
            let count = self.in_flight.get_mut(key).unwrap();
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(key);
            }
        }
        let stored = if self.fail && !records.is_empty() { Err(StoreError::Refused) } else { Ok(()) };
        if stored.is_ok() {
            for change in records {
                self.log.push(change.clone());
                self.groups.replay(self.now, Offset::ZERO, change);
            }
        }
        self.call(|groups, turn| groups.settled(turn, key.as_deref(), then, stored));
        if let Some(answer) = answer {
            answer(stored);
        }
        true
    }

    pub(super) fn settle(&mut self) {
        while self.settle_one() {}
    }

    /// Time passes, and what is due happens.
    pub(super) fn pass(&mut self, by: i64) {
        self.now += by;
        while self.groups.wake_at() <= self.now {
            self.call(|groups, turn| groups.tick(turn));
            self.settle();
        }
    }

    // ---- what is asked ------------------------------------------------------------------------------------

    pub(super) fn ask_beat(&mut self, said: Heartbeat) -> Answer<Result<Beat, Refusal>> {
        self.change(move |groups, turn| groups.consumer_heartbeat(turn, GROUP, &said))
    }

    pub(super) fn beat(&mut self, said: Heartbeat) -> Result<Beat, Refusal> {
        let told = self.ask_beat(said);
        self.settle();
        told.recv()
    }

    pub(super) fn ask_join(&mut self, join: Join) -> Answer<Joined> {
        let (reply, answer) = Reply::new();
        self.call(|groups, turn| groups.join(turn, GROUP, join, reply));
        Answer(answer)
    }

    pub(super) fn join(&mut self, join: Join) -> Joined {
        let joined = self.ask_join(join);
        self.settle();
        self.pass(0);
        joined.recv()
    }

    pub(super) fn ask_sync(&mut self, sync: Sync) -> Answer<Synced> {
        let (reply, answer) = Reply::new();
        self.call(|groups, turn| groups.sync(turn, GROUP, sync, reply));
        Answer(answer)
    }

    pub(super) fn sync(
        &mut self,
        id: &str,
        generation: i32,
        assignments: &[(&str, &[i32])],
    ) -> Result<Vec<i32>, ErrorCode> {
        let assignments = assignments.iter().map(|(id, of)| ((*id).to_owned(), given(of))).collect();
        let identity = identity(id, generation);
        let synced = self.ask_sync(Sync { identity, assignments, ..Sync::default() });
        self.settle();
        let synced = synced.recv();
        match synced.error {
            ErrorCode::None => Ok(read(&synced.assignment)),
            error => Err(error),
        }
    }

    pub(super) fn sync_raw(&mut self, id: &str, generation: i32, assignment: &'static [u8]) {
        let assignments = vec![(id.to_owned(), Bytes::from_static(assignment))];
        let sync = Sync { identity: identity(id, generation), assignments, ..Sync::default() };
        let synced = self.ask_sync(sync);
        self.settle();
        assert_eq!(synced.recv().error, ErrorCode::None);
    }

    /// What a member of the classic protocol in a consumer group is told in its epoch.
    pub(super) fn sync_now(&mut self, id: &str) -> Vec<i32> {
        self.sync(id, self.epoch(id), &[]).unwrap()
    }

    pub(super) fn heartbeat(&mut self, id: &str, generation: i32) -> Result<(), ErrorCode> {
        self.heartbeat_as(id, None, generation)
    }

    pub(super) fn heartbeat_as(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        let instance_id = instance.map(str::to_owned);
        let identity = Identity { instance_id, ..identity(id, generation) };
        self.call(|groups, turn| groups.heartbeat(turn, GROUP, &identity))
    }

    pub(super) fn ask_leave(&mut self, ids: &[&str]) -> Answer<super::super::super::Left> {
        let leaving: Vec<_> = ids.iter().map(|id| identity(id, -1)).collect();
        self.change(move |groups, turn| groups.leave(turn, GROUP, &leaving))
    }

    pub(super) fn leave(&mut self, ids: &[&str]) -> Vec<Result<(), ErrorCode>> {
        let left = self.ask_leave(ids);
        self.settle();
        left.recv().unwrap()
    }

    fn commit_as(&mut self, identity: Identity, offset: i64) -> Result<ErrorCode, ErrorCode> {
        let value = OffsetValue { offset, ..OffsetValue::default() };
        let commit = Commit {
            identity,
            unknown: ErrorCode::IllegalGeneration,
            offsets: vec![("t".to_owned(), vec![(0, value)])],
            transaction: None,
        };
        let committed = self.change(move |groups, turn| groups.commit(turn, GROUP, commit));
        self.settle();
        Ok(committed.recv()?[0].1[0].1)
    }

    pub(super) fn commit(&mut self, id: &str, generation: i32) -> ErrorCode {
        self.commit_as(identity(id, generation), 1).unwrap_or_else(|error| error)
    }

    /// The first member commits an offset.
    pub(super) fn offset(&mut self, offset: i64) {
        let id = self.members().remove(0);
        assert_eq!(self.commit_as(identity(&id, self.epoch(&id)), offset), Ok(ErrorCode::None));
    }

    pub(super) fn committed(&mut self) -> Option<i64> {
        let fetch = Fetch { asked: None, require_stable: false, bytes_max: usize::MAX };
        let (reply, answer) = Reply::new();
        self.call(|groups, turn| groups.fetch(turn, GROUP, fetch, reply));
        let Within::All(found, _) = Answer(answer).recv() else { panic!("it is little") };
        let (_, offsets) = found.into_iter().next()?;
        offsets.into_iter().next()?.1.ok()?.map(|value| value.offset)
    }

    // ---- what there is ------------------------------------------------------------------------------------

    fn group(&self) -> &Kind {
        &self.groups.groups[GROUP].group
    }

    pub(super) fn kind(&self) -> &'static str {
        self.group().name()
    }

    /// What the group is, when it has members.
    pub(super) fn inhabited(&self) -> Option<&'static str> {
        (!self.members().is_empty()).then(|| self.kind())
    }

    pub(super) fn state(&self) -> State {
        self.group().state()
    }

    /// The ids of all members.
    pub(super) fn members(&self) -> Vec<String> {
        match self.groups.groups.get(GROUP).map(|entry| &entry.group) {
            Some(Kind::Classic(group)) => group.members().map(|(id, _)| id.clone()).collect(),
            Some(Kind::Consumer(group)) => group.members().map(|(id, ..)| id.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// The epoch of a member, or the generation of the group.
    pub(super) fn epoch(&self, id: &str) -> i32 {
        match self.group() {
            Kind::Classic(group) => group.generation(),
            Kind::Consumer(group) => {
                group.members().find(|(member, ..)| *member == id).expect("it is a member").2.epoch
            }
            _ => unreachable!("there is no other"),
        }
    }

    /// What a member of a consumer group has.
    pub(super) fn held(&self, id: &str) -> Vec<i32> {
        let Kind::Consumer(group) = self.group() else { panic!("it is none") };
        let (.., held) = group.members().find(|(member, ..)| *member == id).expect("it is a member");
        partitions(&held.all().collect())
    }

    pub(super) fn protocol(&self) -> Protocol {
        Protocol { metadata: subscription(&[]).encode().unwrap(), ..classic("", "", &[]).protocols.remove(0) }
    }
}

fn started() -> GroupCoordinator {
    let mut groups = coordinator();
    groups.settings.consumer.assignment_interval_ms = 0;
    groups.settings.consumer.units_at_once = usize::MAX;
    groups
}

pub(super) fn identity(id: &str, generation: i32) -> Identity {
    Identity { member_id: id.to_owned(), instance_id: None, generation }
}

pub(super) fn read(assignment: &[u8]) -> Vec<i32> {
    let given = ConsumerProtocolAssignment::decode(assignment).unwrap();
    given.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}
