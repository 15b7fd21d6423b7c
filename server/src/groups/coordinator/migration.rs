//! Groups of one partition that have members of both protocols, and how a group that has members comes from
//! one protocol to the other.
//!
//! * The records of a change of protocol are one write that is found whole or not at all (D9): those of the
//!   group before are gone, those of the group after are there.
//! * The group is what it was until that is durable, and stays so where it is not. Meanwhile nothing of it
//!   changes but its offsets: whoever wants something else comes again.
//! * What is answered to members of the classic protocol in a consumer group waits as heartbeats do, for
//!   everything that was changed before.

use strandline_protocol::wire::ErrorCode;

use super::consumer::{Told, no_such_group};
use super::{Effects, GroupCoordinator, GroupTurn, Left, Then};
use crate::coordination::{Outcome, Reply, Stored, Write};
use crate::groups::consumer::{ConsumerGroup, Heartbeat};
use crate::groups::group::{ClassicGroup, State};
use crate::groups::kind::Kind;
use crate::groups::member::{Identity, Join, Joined, Sync, Synced};
use crate::groups::migration::{self, MigrationPolicy};
use crate::groups::records::{Change, ConsumerChange, GroupKey};
use crate::refusal::Refusal;

/// What a group becomes when its records are durable.
pub struct Conversion {
    /// The group.
    pub(super) group: Kind,
    /// A member that joins it then, and has given up its place in the group before.
    joining: Option<(Join, Reply<Joined>)>,
}

impl GroupCoordinator {
    /// Whether the group is about to be of another protocol.
    pub(super) fn is_converting(&self, group: &str) -> bool {
        self.groups.get(group).is_some_and(|entry| entry.is_converting)
    }

    /// The consumer group of this name, when it has members.
    pub(super) fn mixed(&mut self, group: &str) -> Option<&mut ConsumerGroup> {
        let consumer = self.groups.get_mut(group)?.group.consumer()?;
        (consumer.size() > 0).then_some(consumer)
    }

    // ---- from one protocol to the other -------------------------------------------------------------------

    /// A member of the consumer protocol joins a classic group that has members.
    pub(super) fn upgrade(
        &mut self,
        turn: &GroupTurn<'_>,
        group: &str,
        said: &Heartbeat,
    ) -> Result<Told, Refusal> {
        let (policy, settings) = (self.settings.migration, self.settings.consumer);
        let classic = self.classic(group).filter(|classic| classic.state() != State::Dead);
        let classic = classic.ok_or_else(|| no_such_group(group))?;
        if classic.is_storing() {
            // What it comes to with that is told to its members: it has to be known before.
            return Err(ErrorCode::CoordinatorLoadInProgress.into());
        }
        let (now, topics) = (turn.now, turn.topics());
        let mut consumer = migration::upgraded(classic, group, policy, settings, now, &topics)?;
        let mut changes = Vec::new();
        let beat = consumer.heartbeat(now, &topics, said, &mut changes)?;
        tracing::info!(group, member = said.member_id, "a classic group becomes a consumer group");
        let mut records = vec![Change::Group(GroupKey { group: group.to_owned() }, None)];
        records.extend(changes.into_iter().map(Change::Consumer));
        let write = self.convert(group, records, Kind::Consumer(consumer), None);
        Ok(Told { beat, write })
    }

    /// What is written of a consumer group that has lost members: with its end, when all that are left speak
    /// the classic protocol.
    pub(super) fn after_loss(
        &mut self,
        turn: &GroupTurn<'_>,
        group: &str,
        changes: Vec<ConsumerChange>,
    ) -> Write<GroupCoordinator> {
        let downgraded = match self.mixed(group).is_some() && self.settings.migration.allows_downgrade() {
            true => self.downgraded(turn, group),
            false => None,
        };
        match downgraded {
            Some(classic) => self.downgrade(group, changes, classic, None),
            None => self.of_consumer(group, changes.into_iter().map(Change::Consumer).collect()),
        }
    }

    fn downgraded(&mut self, turn: &GroupTurn<'_>, group: &str) -> Option<ClassicGroup> {
        let settings = self.settings.group;
        migration::downgraded(self.mixed(group)?, settings, turn.now, &turn.topics())
    }

    fn downgrade(
        &mut self,
        group: &str,
        changes: Vec<ConsumerChange>,
        classic: ClassicGroup,
        joining: Option<(Join, Reply<Joined>)>,
    ) -> Write<GroupCoordinator> {
        tracing::info!(group, "a consumer group becomes a classic group");
        let gone = self.groups[group].group.tombstones(group);
        let mut records: Vec<_> = changes.into_iter().map(Change::Consumer).chain(gone).collect();
        if classic.size() > 0 {
            let key = GroupKey { group: group.to_owned() };
            records.push(Change::Group(key, Some(classic.unled_record())));
        }
        self.convert(group, records, Kind::Classic(classic), joining)
    }

    fn convert(
        &mut self,
        group: &str,
        records: Vec<Change>,
        becomes: Kind,
        joining: Option<(Join, Reply<Joined>)>,
    ) -> Write<GroupCoordinator> {
        self.groups.get_mut(group).expect("it is there").is_converting = true;
        let then = Then::Convert(Box::new(Conversion { group: becomes, joining }));
        Write { key: Some(group.to_owned()), records, transaction: None, is_whole: true, then }
    }

    /// The log has taken that a group is of another protocol, or has not.
    pub(super) fn converted(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        conversion: Conversion,
        stored: Result<(), ErrorCode>,
    ) {
        let Conversion { group: becomes, joining } = conversion;
        let entry = self.groups.get_mut(group).expect("nothing else happens to it meanwhile");
        entry.is_converting = false;
        let mut effects = Effects::default();
        match stored {
            Err(_) => {
                if let Some(consumer) = entry.group.consumer() {
                    consumer.unstored();
                }
            }
            Ok(()) => {
                if let Kind::Classic(mut before) = std::mem::replace(&mut entry.group, becomes) {
                    before.end(&mut effects);
                }
                if let Some(classic) = entry.group.classic().filter(|classic| classic.size() > 0) {
                    classic.begin_anew(turn.now, &mut effects);
                }
            }
        }
        self.carry_out(turn, group, effects);
        self.go_on(turn, group);
        match (joining, stored) {
            (Some((join, reply)), Ok(())) => self.join(turn, group, join, reply),
            (Some((join, reply)), Err(error)) => reply.send(Joined::refused(error, &join.member_id)),
            (None, _) => {}
        }
    }

    // ---- members of the classic protocol in a consumer group ----------------------------------------------

    pub(super) fn join_consumer(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        join: Join,
        reply: Reply<Joined>,
    ) {
        if self.settings.migration == MigrationPolicy::Disabled {
            return reply.send(Joined::refused(ErrorCode::InconsistentGroupProtocol, &join.member_id));
        }
        let most = self.settings.group.size_max;
        let allows_downgrade = self.settings.migration.allows_downgrade();
        let consumer = self.mixed(group).expect("it was just there");
        let is_its_last = allows_downgrade
            && consumer.size() <= most
            && consumer.check_join(&join).is_ok()
            && consumer.last_before(&join).is_some();
        if is_its_last {
            return self.join_as_last(turn, group, join, reply);
        }
        let mut changes = Vec::new();
        let joined = consumer.join(turn.now, &turn.topics(), &join, &mut changes);
        self.go_on(turn, group);
        match joined.error {
            ErrorCode::None => {
                let lost = Joined::refused(ErrorCode::CoordinatorNotAvailable, &join.member_id);
                self.tell(turn, group, changes, reply, joined, lost);
            }
            _ => reply.send(joined),
        }
        self.schedule(turn, group);
    }

    /// A static member of the classic protocol takes the place of the last one that did not speak it: the
    /// group becomes a classic one without that, and is joined then.
    fn join_as_last(&mut self, turn: &mut GroupTurn<'_>, group: &str, join: Join, reply: Reply<Joined>) {
        let replaced = Identity { instance_id: join.instance_id.clone(), ..Identity::default() };
        let consumer = self.mixed(group).expect("it was just there");
        let (_, changes) = consumer.leave_classic(&[replaced]);
        let classic = match consumer.size() {
            0 => Some(ClassicGroup::new(turn.now, self.settings.group)),
            _ => self.downgraded(turn, group),
        };
        let write = match classic {
            Some(classic) => self.downgrade(group, changes, classic, Some((join, reply))),
            None => {
                // Others have nothing in common, which no join has let happen.
                reply.send(Joined::refused(ErrorCode::InconsistentGroupProtocol, &join.member_id));
                self.of_consumer(group, changes.into_iter().map(Change::Consumer).collect())
            }
        };
        turn.write_all_of(write);
        self.schedule(turn, group);
    }

    pub(super) fn sync_consumer(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        sync: &Sync,
        reply: Reply<Synced>,
    ) {
        let mut changes = Vec::new();
        let consumer = self.mixed(group).expect("it was just there");
        match consumer.sync(turn.now, &turn.topics(), sync, &mut changes) {
            Ok(synced) => {
                let lost = Synced::refused(ErrorCode::CoordinatorNotAvailable);
                self.tell(turn, group, changes, reply, synced, lost);
            }
            Err(error) => reply.send(Synced::refused(error)),
        }
        self.schedule(turn, group);
    }

    pub(super) fn heartbeat_consumer(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        identity: &Identity,
    ) -> Result<(), ErrorCode> {
        let mut changes = Vec::new();
        let consumer = self.mixed(group).expect("it was just there");
        let alive = consumer.heartbeat_classic(turn.now, &turn.topics(), identity, &mut changes);
        self.go_on(turn, group);
        if !changes.is_empty() {
            let records = changes.into_iter().map(Change::Consumer).collect();
            let write = self.of_consumer(group, records);
            turn.write_all_of(write);
        }
        self.schedule(turn, group);
        alive
    }

    pub(super) fn leave_consumer(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        leaving: &[Identity],
    ) -> Outcome<GroupCoordinator, Left> {
        let consumer = self.mixed(group).expect("it was just there");
        let (left, changes) = consumer.leave_classic(leaving);
        if changes.is_empty() {
            return Outcome::Answer(Ok(left));
        }
        let write = self.after_loss(turn, group, changes);
        self.schedule(turn, group);
        let answer = move |stored: Stored| stored.map(|()| left).map_err(ErrorCode::from);
        Outcome::Write(write, Box::new(answer))
    }

    /// Answers a member of a consumer group when what has changed is durable, with all that had changed
    /// before; with `lost` when something of it is not.
    fn tell<T: 'static>(
        &mut self,
        turn: &mut GroupTurn<'_>,
        group: &str,
        changes: Vec<ConsumerChange>,
        reply: Reply<T>,
        answer: T,
        lost: T,
    ) {
        if changes.is_empty() && !turn.is_in_flight(group) {
            return reply.send(answer);
        }
        let failures = self.mixed(group).expect("it has a member that asks").failures();
        let before = failures.get();
        let records = changes.into_iter().map(Change::Consumer).collect();
        let write = self.of_consumer(group, records);
        turn.write_all_of(write);
        let tell = move |_: &GroupCoordinator| {
            reply.send(if failures.get() == before { answer } else { lost });
        };
        turn.write(Some(group.to_owned()), Vec::new(), Then::Tell(Box::new(tell)));
    }
}
