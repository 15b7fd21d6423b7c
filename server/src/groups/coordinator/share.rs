//! The share groups (KIP-932) of one partition: what members ask, and what is asked of where a group has come
//! to. Who has which record is not known here.
//!
//! * A group that nobody is in and that has no offsets takes the protocol of its next member. A share group
//!   stays one until it is deleted: it has come somewhere.
//! * What a member is told leaves when everything that it goes by is durable: also what others have changed
//!   before it.

use strandline_engine::types::TopicId;
use strandline_protocol::wire::ErrorCode;

use super::{GroupCoordinator, GroupTurn, Then, Within};
use crate::coordination::{Outcome, Write};
use crate::groups::kind::Kind;
use crate::groups::records::Change;
use crate::groups::records::share::ShareChange;
use crate::groups::share::{ShareBeat, ShareDescription, ShareGroup, ShareHeartbeat, Topics};
use crate::refusal::Refusal;

/// What is answered when it is durable.
type Answered<T> = Outcome<GroupCoordinator, Result<T, ErrorCode>>;

impl GroupCoordinator {
    /// A member joins, goes on, or leaves.
    pub fn share_heartbeat(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        said: &ShareHeartbeat,
    ) -> Outcome<GroupCoordinator, Result<ShareBeat, Refusal>> {
        let beaten = self.share_beat(turn, group, said);
        self.schedule(turn, group);
        let (beat, records) = match beaten {
            Ok(beaten) => beaten,
            Err(refusal) => return Outcome::Answer(Err(refusal)),
        };
        if records.is_empty() && !turn.is_in_flight(group) {
            return Outcome::Answer(Ok(beat));
        }
        let share = self.share(group).expect("it has just answered");
        let failures = share.failures();
        let before = failures.get();
        Outcome::Write(
            of_group(group, records, share.begin_write()),
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

    fn share_beat(
        &mut self,
        turn: &GroupTurn<'_>,
        group: &str,
        said: &ShareHeartbeat,
    ) -> Result<(ShareBeat, Vec<Change>), Refusal> {
        said.check()?;
        let (now, topics) = (turn.now, turn.topics());
        let (mut changes, mut records) = (Vec::new(), Vec::new());
        let can_become_share = self.can_become_share(group);
        let known = self.groups.get_mut(group);
        let beat = match known.map(|entry| &mut entry.group) {
            Some(Kind::Share(known)) => known.heartbeat(now, &topics, said, &mut changes)?,
            None | Some(_) if !said.is_joining() => return Err(no_such_group(group)),
            Some(_) if !can_become_share => return Err(no_such_group(group)),
            known => {
                if turn.is_in_flight(group) {
                    return Err(ErrorCode::CoordinatorLoadInProgress.into());
                }
                if let Some(known) = known.filter(|known| !known.is_blank()) {
                    records.extend(known.tombstones(group));
                }
                let mut new = ShareGroup::new(group, self.settings.share);
                let beat = new.heartbeat(now, &topics, said, &mut changes)?;
                self.entry_or_new(now, group).group = Kind::Share(new);
                beat
            }
        };
        records.extend(changes.into_iter().map(Change::Share));
        Ok((beat, records))
    }

    fn share(&mut self, group: &str) -> Option<&mut ShareGroup> {
        match &mut self.groups.get_mut(group)?.group {
            Kind::Share(group) => Some(group),
            Kind::Classic(_) | Kind::Consumer(_) | Kind::Streams(_) => None,
        }
    }

    /// Partitions of a group have got their state: they are given out from now on. Makes the group when
    /// there is none.
    pub fn share_initialized(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        topics: Topics,
    ) -> Answered<()> {
        let mut records = Vec::new();
        if self.share(group).is_none() {
            if !self.can_become_share(group) {
                return Outcome::Answer(Err(ErrorCode::GroupIdNotFound));
            } else if turn.is_in_flight(group) {
                return Outcome::Answer(Err(ErrorCode::CoordinatorLoadInProgress));
            }
            let known = self.groups.get(group).map(|entry| &entry.group);
            if let Some(known) = known.filter(|known| !known.is_blank()) {
                records.extend(known.tombstones(group));
            }
            let new = ShareGroup::new(group, self.settings.share);
            records.push(Change::Share(new.epoch_change()));
            self.entry_or_new(turn.now, group).group = Kind::Share(new);
            self.schedule(turn, group);
        }
        let Some(share) = self.share(group) else { return Outcome::Answer(Err(ErrorCode::GroupIdNotFound)) };
        records.extend(share.initialized(topics).into_iter().map(Change::Share));
        let write = of_group(group, records, share.begin_write());
        Outcome::Write(write, Box::new(move |stored| stored.map_err(ErrorCode::from)))
    }

    /// Whether nobody would miss what there is of this name, if there is anything.
    fn can_become_share(&self, group: &str) -> bool {
        self.groups.get(group).is_none_or(|entry| entry.group.is_idle() && !entry.has_offsets())
    }

    /// Has a group that nobody is in forget topics; with the partitions that it had of them.
    pub fn share_forget(&mut self, group: &str, topics: &[TopicId]) -> Answered<Topics> {
        let Some(share) = self.share(group) else { return Outcome::Answer(Err(ErrorCode::GroupIdNotFound)) };
        match share.forget(topics) {
            Ok((gone, changes)) => written(group, changes, share.begin_write(), gone),
            Err(code) => Outcome::Answer(Err(code)),
        }
    }

    /// Whether a group may be told where it begins: nobody is in it, or it is made by that (`makes`). With
    /// its epoch.
    ///
    /// # Errors
    /// Why not.
    pub fn share_check_offsets(&mut self, group: &str, makes: bool) -> Result<i32, ErrorCode> {
        let can_be_made = makes && self.can_become_share(group);
        match self.share(group) {
            Some(share) => share.check_offsets().map(|()| share.epoch()),
            None if can_be_made => Ok(0),
            None => Err(ErrorCode::GroupIdNotFound),
        }
    }

    /// The partitions of a group that have a state; `None` when there is no such group.
    pub fn share_states(&self, group: &str, bytes_max: usize) -> Within<Option<Topics>> {
        let share = self.share_ref(group);
        let bytes = share.map_or(0, ShareGroup::states_bytes);
        match bytes <= bytes_max {
            true => Within::All(share.map(|share| share.states().clone()), bytes),
            false => Within::Beyond(bytes),
        }
    }

    /// What a share group is doing; `None` when there is no such group.
    pub fn describe_share(&self, group: &str, bytes_max: usize) -> Within<Option<ShareDescription>> {
        let share = self.share_ref(group);
        let bytes = share.map_or(0, ShareGroup::description_bytes);
        match bytes <= bytes_max {
            true => Within::All(share.map(ShareGroup::describe), bytes),
            false => Within::Beyond(bytes),
        }
    }

    fn share_ref(&self, group: &str) -> Option<&ShareGroup> {
        match &self.groups.get(group)?.group {
            Kind::Share(share) => Some(share),
            Kind::Classic(_) | Kind::Consumer(_) | Kind::Streams(_) => None,
        }
    }

    /// Lets go of the states of topics that were deleted.
    pub(super) fn sweep_shares(&mut self, turn: &mut GroupTurn<'_>) {
        let topics = turn.topics();
        for (name, entry) in &mut self.groups {
            let Kind::Share(share) = &mut entry.group else { continue };
            let changes = share.sweep(&topics);
            if !changes.is_empty() {
                let changes = changes.into_iter().map(Change::Share).collect();
                turn.write(Some(name.clone()), changes, Then::StoreShare(share.begin_write()));
            }
        }
    }

    /// Takes in what the log says of share groups, while it is loaded.
    pub(super) fn load_share(&mut self, change: ShareChange) {
        let settings = self.settings.share;
        let Some(loading) = &mut self.loading else {
            // The group is where it has this from.
            return;
        };
        match &change {
            ShareChange::Epoch(key, None) => drop(loading.share.remove(&key.group)),
            ShareChange::Epoch(key, Some(_)) => {
                loading.classic.remove(&key.group);
                loading.consumer.remove(&key.group);
                loading.streams.remove(&key.group);
            }
            _ => {}
        }
        let group = change.group().to_owned();
        let known = loading.share.entry(group).or_insert_with_key(|group| ShareGroup::new(group, settings));
        known.load(change);
    }
}

fn of_group(group: &str, records: Vec<Change>, number: u64) -> Write<GroupCoordinator> {
    let (key, then) = (Some(group.to_owned()), Then::StoreShare(number));
    Write { key, records, transaction: None, is_whole: false, then }
}

fn written<T: 'static>(group: &str, changes: Vec<ShareChange>, number: u64, answer: T) -> Answered<T> {
    let records = changes.into_iter().map(Change::Share).collect();
    let answer = move |stored: crate::coordination::Stored| stored.map(|()| answer).map_err(ErrorCode::from);
    Outcome::Write(of_group(group, records, number), Box::new(answer))
}

fn no_such_group(group: &str) -> Refusal {
    Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {group} is not a share group."))
}
