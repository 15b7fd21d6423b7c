//! The consumer groups (KIP-848) of one partition: what members ask, and how a group of one protocol makes
//! room for one of the other. One that has members does so in `coordinator/migration`.
//!
//! * A group that nobody is in takes the protocol of its next member; its offsets stay.
//! * What a member is told leaves when everything that it goes by is durable: also what others have changed
//!   before it.

use std::rc::Rc;

use strandline_protocol::wire::ErrorCode;

use super::{Entry, GroupCoordinator, GroupTurn, Then, Within};
use crate::coordination::{Finish, Outcome, Write};
use crate::groups::consumer::survey::Found;
use crate::groups::consumer::{Beat, ConsumerDescription, ConsumerGroup, Heartbeat, Ongoing};
use crate::groups::group::ClassicGroup;
use crate::groups::kind::Kind;
use crate::groups::records::{Change, ConsumerChange};
use crate::refusal::Refusal;

/// What a member is told, or why nothing.
type Beaten = Result<Beat, Refusal>;

/// What a member is told when something is durable.
pub(super) struct Told {
    pub(super) beat: Beat,
    pub(super) write: Write<GroupCoordinator>,
}

impl GroupCoordinator {
    /// A member joins, goes on, or leaves.
    pub fn consumer_heartbeat(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        said: &Heartbeat,
    ) -> Outcome<GroupCoordinator, Beaten> {
        let told = self.beat(turn, group, said);
        self.go_on(turn, group);
        self.schedule(turn, group);
        let Told { beat, write } = match told {
            Ok(told) => told,
            Err(refusal) => return Outcome::Answer(Err(refusal)),
        };
        if write.records.is_empty() && !turn.is_in_flight(group) {
            return Outcome::Answer(Ok(beat));
        }
        // A group that is about to become one has no failures yet.
        let consumer = self.groups.get_mut(group).and_then(|entry| entry.group.consumer());
        let failures = consumer.map(|consumer| consumer.failures()).unwrap_or_default();
        let before = failures.get();
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

    fn beat(&mut self, turn: &GroupTurn<'_>, group: &str, said: &Heartbeat) -> Result<Told, Refusal> {
        said.check()?;
        if self.is_converting(group) {
            return Err(ErrorCode::CoordinatorLoadInProgress.into());
        }
        let (now, topics) = (turn.now, turn.topics());
        let mut changes = Vec::new();
        let mut records = Vec::new();
        let known = self.groups.get_mut(group);
        let beat = match known.map(|entry| &mut entry.group) {
            Some(Kind::Consumer(known)) => {
                let beat = known.heartbeat(now, &topics, said, &mut changes)?;
                if said.is_leaving() {
                    return Ok(Told { beat, write: self.after_loss(turn, group, changes) });
                }
                beat
            }
            None | Some(_) if !said.is_joining() => return Err(no_such_group(group)),
            Some(Kind::Classic(classic)) if classic.size() > 0 => return self.upgrade(turn, group, said),
            Some(known) if !known.is_vacant() => return Err(no_such_group(group)),
            known => {
                if turn.is_in_flight(group) {
                    // What is on its way is the other protocol's, or its offsets'.
                    return Err(ErrorCode::CoordinatorLoadInProgress.into());
                }
                if let Some(known) = known.filter(|known| !known.is_blank()) {
                    records.extend(known.tombstones(group));
                }
                let mut new = ConsumerGroup::new(group, self.settings.consumer);
                let beat = new.heartbeat(now, &topics, said, &mut changes)?;
                self.entry_or_new(now, group).group = Kind::Consumer(new);
                beat
            }
        };
        records.extend(changes.into_iter().map(Change::Consumer));
        Ok(Told { beat, write: self.of_consumer(group, records) })
    }

    /// What is written of a consumer group: all that it has changed until now.
    pub(super) fn of_consumer(&mut self, group: &str, records: Vec<Change>) -> Write<GroupCoordinator> {
        let consumer = self.groups.get_mut(group).and_then(|entry| entry.group.consumer());
        let then = Then::StoreConsumer(consumer.expect("it is a consumer group").begin_write());
        Write { key: Some(group.to_owned()), records, transaction: None, is_whole: false, then }
    }

    /// Has what is too long for a heartbeat go on beside the group.
    pub(super) fn go_on(&mut self, turn: &mut GroupTurn<'_>, name: &str) {
        let group = self.groups.get_mut(name).and_then(|entry| entry.group.consumer());
        let Some(Ongoing { working, token }) = group.and_then(ConsumerGroup::take_ongoing) else { return };
        let name = name.to_owned();
        turn.work(working.map(|found| -> Finish<GroupCoordinator> {
            Box::new(move |groups, turn| groups.surveyed(turn, &name, &token, found))
        }));
    }

    fn surveyed(&mut self, turn: &mut GroupTurn<'_>, name: &str, token: &Rc<()>, found: Found) {
        let Some(group) = self.groups.get_mut(name).and_then(|entry| entry.group.consumer()) else { return };
        let changes: Vec<_> =
            group.surveyed(turn.now, token, found).into_iter().map(Change::Consumer).collect();
        if !changes.is_empty() {
            turn.write(Some(name.to_owned()), changes, Then::StoreConsumer(group.begin_write()));
        }
        self.schedule(turn, name);
    }

    /// Makes room for a classic group where there is a group of another kind that nobody is in. A share group
    /// makes none.
    pub(super) fn make_classic(&mut self, turn: &mut GroupTurn<'_>, group: &str) -> Result<(), ErrorCode> {
        let (now, settings) = (turn.now, self.settings.group);
        let Some(Entry { group: kind, .. }) = self.groups.get_mut(group) else { return Ok(()) };
        match kind {
            Kind::Classic(_) => return Ok(()),
            Kind::Share(_) => return Err(ErrorCode::InconsistentGroupProtocol),
            Kind::Consumer(_) | Kind::Streams(_) if kind.size() > 0 => {
                return Err(ErrorCode::InconsistentGroupProtocol);
            }
            Kind::Consumer(_) | Kind::Streams(_) => {}
        }
        if turn.is_in_flight(group) {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        let gone = kind.tombstones(group);
        *kind = Kind::Classic(ClassicGroup::new(now, settings));
        turn.write(Some(group.to_owned()), gone, Then::Nothing);
        Ok(())
    }

    /// Whether a member that names its epoch may fetch offsets. In a group of another kind, or of none,
    /// whoever asks may.
    ///
    /// # Errors
    /// That it is not in the group, or has an epoch of before.
    pub fn check_epoch(&self, group: &str, member_id: &str, epoch: i32) -> Result<(), ErrorCode> {
        match self.groups.get(group).map(|entry| &entry.group) {
            Some(Kind::Consumer(group)) => group.check_epoch(member_id, epoch),
            Some(Kind::Streams(group)) => group.check_epoch(member_id, epoch),
            // As of a group that is of no consumer.
            Some(Kind::Share(_)) => Err(ErrorCode::GroupIdNotFound),
            Some(Kind::Classic(_)) | None => Ok(()),
        }
    }

    /// What a consumer group is doing; `None` when there is no such group.
    pub fn describe_consumer(&self, group: &str, bytes_max: usize) -> Within<Option<ConsumerDescription>> {
        let group = self.groups.get(group).and_then(|entry| match &entry.group {
            Kind::Consumer(group) => Some(group),
            Kind::Classic(_) | Kind::Share(_) | Kind::Streams(_) => None,
        });
        let bytes = group.map_or(0, |group| group.description_bytes());
        match bytes <= bytes_max {
            true => Within::All(group.map(|group| group.describe()), bytes),
            false => Within::Beyond(bytes),
        }
    }

    /// Takes in what the log says of consumer groups, while it is loaded.
    pub(super) fn load_consumer(&mut self, change: ConsumerChange) {
        let Some(loading) = &mut self.loading else {
            // The group is where it has this from.
            return;
        };
        match &change {
            ConsumerChange::Epoch(key, None) => drop(loading.consumer.remove(&key.group)),
            ConsumerChange::Epoch(key, Some(_)) => {
                loading.classic.remove(&key.group);
                loading.streams.remove(&key.group);
            }
            _ => {}
        }
        if !loading.consumer.contains_key(change.group()) {
            let new = ConsumerGroup::unread(change.group(), self.settings.consumer);
            loading.consumer.insert(change.group().to_owned(), new);
        }
        loading.consumer.get_mut(change.group()).expect("it was just there").load(change);
    }
}

pub(super) fn no_such_group(group: &str) -> Refusal {
    Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {group} is not a consumer group."))
}
