//! The streams groups (KIP-1071) of one partition: what members ask, and how a group of another protocol
//! makes room for one.
//!
//! * A group that nobody is in takes the protocol of its next member; its offsets stay. What a streams group
//!   knows of its application goes then.
//! * What a member is told leaves when everything that it goes by is durable: also what others have changed
//!   before it.

use std::rc::Rc;

use strandline_protocol::wire::ErrorCode;

use super::{GroupCoordinator, GroupTurn, Then, Within};
use crate::coordination::{Finish, Outcome, Write};
use crate::groups::kind::Kind;
use crate::groups::records::{Change, StreamsChange};
use crate::groups::streams::survey::Found;
use crate::groups::streams::{
    Endpoints, Ongoing, StreamsBeat, StreamsDescription, StreamsGroup, StreamsHeartbeat,
};
use crate::refusal::Refusal;

/// What a member is told, or why nothing.
type Beaten = Result<StreamsBeat, Refusal>;

impl GroupCoordinator {
    /// A member joins, goes on, or leaves.
    pub fn streams_heartbeat(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        said: &StreamsHeartbeat,
    ) -> Outcome<GroupCoordinator, Beaten> {
        let beaten = self.streams_beat(turn, group, said);
        self.streams_go_on(turn, group);
        self.schedule(turn, group);
        let (beat, records) = match beaten {
            Ok(beaten) => beaten,
            Err(refusal) => return Outcome::Answer(Err(refusal)),
        };
        if records.is_empty() && !turn.is_in_flight(group) {
            return Outcome::Answer(Ok(beat));
        }
        let streams = self.streams(group).expect("it has just answered");
        let failures = streams.failures();
        let before = failures.get();
        let then = Then::StoreStreams(streams.begin_write());
        let write = Write { key: Some(group.to_owned()), records, transaction: None, is_whole: false, then };
        Outcome::Write(
            write,
            Box::new(move |stored| {
                stored.map_err(|error| Refusal::from(ErrorCode::from(error)))?;
                match failures.get() == before {
                    true => Ok(beat),
                    // Of what the answer goes by, something is not there.
                    false => Err(ErrorCode::CoordinatorNotAvailable.into()),
                }
            }),
        )
    }

    fn streams_beat(
        &mut self,
        turn: &GroupTurn<'_>,
        group: &str,
        said: &StreamsHeartbeat,
    ) -> Result<(StreamsBeat, Vec<Change>), Refusal> {
        said.check()?;
        let (now, topics) = (turn.now, turn.topics());
        let (mut changes, mut records) = (Vec::new(), Vec::new());
        let known = self.groups.get_mut(group);
        let beat = match known.map(|entry| &mut entry.group) {
            Some(Kind::Streams(known)) => known.heartbeat(now, &topics, said, &mut changes)?,
            None | Some(_) if !said.is_joining() => return Err(no_such_group(group)),
            Some(known) if !known.is_idle() => return Err(no_such_group(group)),
            known => {
                if turn.is_in_flight(group) {
                    // What is on its way is the other protocol's, or its offsets'.
                    return Err(ErrorCode::CoordinatorLoadInProgress.into());
                }
                if let Some(known) = known.filter(|known| !known.is_blank()) {
                    records.extend(known.tombstones(group));
                }
                let mut new = StreamsGroup::new(group, self.settings.streams);
                let beat = new.heartbeat(now, &topics, said, &mut changes)?;
                self.entry_or_new(now, group).group = Kind::Streams(new);
                beat
            }
        };
        records.extend(changes.into_iter().map(Change::Streams));
        Ok((beat, records))
    }

    fn streams(&mut self, group: &str) -> Option<&mut StreamsGroup> {
        match &mut self.groups.get_mut(group)?.group {
            Kind::Streams(group) => Some(group),
            Kind::Classic(_) | Kind::Consumer(_) | Kind::Share(_) => None,
        }
    }

    fn streams_ref(&self, group: &str) -> Option<&StreamsGroup> {
        match &self.groups.get(group)?.group {
            Kind::Streams(group) => Some(group),
            Kind::Classic(_) | Kind::Consumer(_) | Kind::Share(_) => None,
        }
    }

    /// Has what is too long for a heartbeat go on beside the group.
    fn streams_go_on(&mut self, turn: &mut GroupTurn<'_>, name: &str) {
        let group = self.streams(name);
        let Some(Ongoing { working, token }) = group.and_then(StreamsGroup::take_ongoing) else { return };
        let name = name.to_owned();
        turn.work(working.map(|found| -> Finish<GroupCoordinator> {
            Box::new(move |groups, turn| groups.streams_surveyed(turn, &name, &token, found))
        }));
    }

    fn streams_surveyed(&mut self, turn: &mut GroupTurn<'_>, name: &str, token: &Rc<()>, found: Found) {
        let now = turn.now;
        let Some(group) = self.streams(name) else { return };
        let changes: Vec<_> = group.surveyed(now, token, found).into_iter().map(Change::Streams).collect();
        if !changes.is_empty() {
            turn.write(Some(name.to_owned()), changes, Then::StoreStreams(group.begin_write()));
        }
        self.schedule(turn, name);
    }

    /// What was written of a streams group has settled.
    pub(super) fn streams_settled(&mut self, group: &str, write: u64, stored: Result<(), ErrorCode>) {
        match (self.streams(group), stored) {
            (Some(streams), Err(_)) => streams.unstored(),
            (Some(streams), Ok(())) => streams.stored(write),
            (None, _) => {}
        }
    }

    /// What a streams group is doing; `None` when there is no such group.
    pub fn describe_streams(&self, group: &str, bytes_max: usize) -> Within<Option<StreamsDescription>> {
        let streams = self.streams_ref(group);
        let bytes = streams.map_or(0, StreamsGroup::description_bytes);
        match bytes <= bytes_max {
            true => Within::All(streams.map(StreamsGroup::describe), bytes),
            false => Within::Beyond(bytes),
        }
    }

    /// Who in a streams group can be asked for which state; `None` when there is no such group.
    pub fn streams_endpoints(
        &self,
        turn: &GroupTurn<'_>,
        group: &str,
        bytes_max: usize,
    ) -> Within<Option<Endpoints>> {
        let streams = self.streams_ref(group);
        let bytes = streams.map_or(0, StreamsGroup::endpoints_bytes);
        match bytes <= bytes_max {
            true => Within::All(streams.map(|streams| streams.endpoints(&turn.topics())), bytes),
            false => Within::Beyond(bytes),
        }
    }

    /// Takes in what the log says of streams groups, while it is loaded.
    pub(super) fn load_streams(&mut self, change: StreamsChange) {
        let settings = self.settings.streams;
        let Some(loading) = &mut self.loading else {
            // The group is where it has this from.
            return;
        };
        match &change {
            StreamsChange::Epoch(key, None) => drop(loading.streams.remove(&key.group)),
            StreamsChange::Epoch(key, Some(_)) => {
                loading.classic.remove(&key.group);
                loading.consumer.remove(&key.group);
            }
            _ => {}
        }
        let group = change.group().to_owned();
        let known =
            loading.streams.entry(group).or_insert_with_key(|group| StreamsGroup::unread(group, settings));
        known.load(change);
    }
}

fn no_such_group(group: &str) -> Refusal {
    Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {group} is not a streams group."))
}
