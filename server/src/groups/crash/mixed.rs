//! What the members of a group must find again that comes from one protocol to the other while they are in it
//! (KIP-848, online migration): one of the classic protocol, and others that come and go.
//!
//! * No partition is read by two members of a group, whatever crashes between them, and of which protocol it
//!   is by then: a change of protocol is there whole, or not at all.
//! * A member is found again in the epoch that it was told, which is its generation in a classic group.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use strandline_engine::topics::TopicTable;
use strandline_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use strandline_protocol::wire::ErrorCode;

use super::consumers::TOPIC;
use crate::groups::consumer::{Assignment, Beat, ConsumerDescription, Heartbeat, embedded};
use crate::groups::{Description, Identity, Join, Joined, Protocol, State, Sync, Synced};

/// Members of the newer protocol that a group has at the most.
const MEMBERS: usize = 2;

/// The members of all groups, by group and id.
#[derive(Clone, Debug, Default)]
pub(super) struct Mixed(BTreeMap<(String, String), Member>);

/// A member as it sees itself.
#[derive(Clone, Debug, Default)]
struct Member {
    epoch: i32,
    /// What it reads from.
    uses: Assignment,
    /// What it was told last.
    told: Assignment,
    /// Whether it has been told something in its epoch, with what it may read.
    is_told: bool,
    /// Answers that were lost since the last that came.
    lost: usize,
    is_leaving: bool,
    is_waiting: bool,
    /// Of the classic protocol: whether it has joined, and what it gives out as the leader of its group.
    joined: Option<Vec<(String, Bytes)>>,
    /// Of the classic protocol: whether it was told that nobody knows it.
    is_unknown: bool,
}

/// What a member says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Beat(Heartbeat),
    Join(Join),
    Sync(Sync),
    Alive(Identity),
    Leave(Identity),
}

/// What it is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Beat(Beat),
    Joined(Joined),
    Synced(Synced),
    Alive,
    Left,
}

fn is_classic(id: &str) -> bool {
    id.ends_with("-k")
}

impl Mixed {
    /// Something that a member of the group says next, with its id; `None` when the one that was picked waits
    /// for an answer.
    pub(super) fn say(&mut self, rng: &mut Rng, group: &str, partitions: i32) -> Option<(String, Said)> {
        let id = match rng.usize(..=MEMBERS) {
            0 => format!("{group}-k"),
            at => format!("{group}-{at}"),
        };
        let leaves = rng.u8(..8) == 0;
        let member = self.0.entry((group.to_owned(), id.clone())).or_default();
        if member.is_waiting || (leaves && member.epoch == 0) {
            return None;
        }
        member.is_leaving |= leaves;
        member.is_waiting = true;
        if member.is_leaving {
            (member.uses, member.told) = Default::default();
        }
        let said = match is_classic(&id) {
            true => member.say_classic(rng, &id, partitions),
            false => Said::Beat(member.say(rng, &id)),
        };
        Some((id, said))
    }

    /// A member is told something, or is not.
    pub(super) fn take(
        &mut self,
        group: &str,
        id: &str,
        told: Result<Told, ErrorCode>,
        is_excused: bool,
        topics: &TopicTable,
    ) {
        let member = self.0.get_mut(&(group.to_owned(), id.to_owned())).expect("it has said something");
        member.is_waiting = false;
        match told {
            Ok(told) => member.take(id, told, topics),
            // Its group is about to be of another protocol.
            Err(ErrorCode::CoordinatorLoadInProgress) => {}
            // Its group has nobody and nothing, and is going.
            Err(ErrorCode::CoordinatorNotAvailable) if member.epoch == 0 => {}
            Err(ErrorCode::RebalanceInProgress) if is_classic(id) => member.joined = None,
            Err(ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound) => {
                let is_sure = member.epoch > 0 && member.lost == 0 && !member.is_leaving && member.is_told;
                assert!(!is_sure || is_excused, "{id} is forgotten: {member:?}");
                *member = Member { lost: member.lost, is_unknown: true, ..Member::default() };
            }
            Err(ErrorCode::FencedMemberEpoch) => {
                assert!(member.lost > 1 || is_excused, "{id} is fenced: {member:?}");
                *member = Member { lost: 1, ..Member::default() };
            }
            // In the classic protocol it does not go on from an epoch of before.
            Err(ErrorCode::IllegalGeneration) if member.lost > 0 || !member.is_told || is_excused => {
                (member.uses, member.told, member.joined) = Default::default();
            }
            Err(error) => {
                assert!(is_excused, "nothing is wrong, but {id} is told {error}: {member:?}");
                member.lost += 1;
            }
        }
        self.check(group);
    }

    fn check(&self, group: &str) {
        let mut readers = BTreeMap::new();
        for ((_, id), member) in self.0.iter().filter(|((of, _), _)| of == group) {
            for partition in member.uses.iter() {
                let other = readers.insert(partition, id);
                assert_eq!(other, None, "{id} reads {partition:?} as well\n{self:#?}");
            }
        }
    }

    /// The process has ended: answers that have not come never do.
    pub(super) fn restart(&mut self) {
        for member in self.0.values_mut().filter(|member| member.is_waiting) {
            (member.is_waiting, member.lost, member.joined) = (false, member.lost + 1, None);
        }
    }

    /// What a start has found of a group, of whichever protocol it is.
    pub(super) fn see(
        &self,
        group: &str,
        classic: Option<&Description>,
        consumer: Option<&ConsumerDescription>,
        topics: &TopicTable,
    ) {
        let found = consumer.iter().flat_map(|found| &found.members);
        let mut all: BTreeMap<&str, (Option<i32>, Assignment)> =
            found.map(|(id, _, held, _)| (id.as_str(), (Some(held.epoch), held.all().collect()))).collect();
        assert!(all.is_empty() || classic.is_none_or(|found| found.members.is_empty()), "it is both");
        for member in classic.iter().flat_map(|found| &found.members) {
            assert!(is_classic(&member.member_id), "{} does not speak it", member.member_id);
            let has =
                embedded::assignment(&member.assignment, topics).expect("it is ours").expect("it is plain");
            all.insert(&member.member_id, (None, has));
        }
        let of_group = self.0.iter().filter(|((of, _), member)| of == group && member.is_told);
        for ((_, id), member) in of_group.filter(|(_, member)| !member.is_leaving && member.epoch > 0) {
            let (epoch, has) =
                all.get(id.as_str()).unwrap_or_else(|| panic!("{id} is forgotten: {member:?}"));
            assert!(epoch.is_none_or(|epoch| epoch >= member.epoch), "{id} is in {epoch:?}: {member:?}");
            if member.lost == 0 {
                assert!(member.told.is_within(has), "{id} has {has:?}: {member:?}");
            }
        }
        let is_about_to_join = classic.is_some_and(|found| found.state == State::PreparingRebalance);
        assert!(!is_about_to_join || consumer.is_none());
    }
}

impl Member {
    fn say(&mut self, rng: &mut Rng, id: &str) -> Heartbeat {
        // What it was told to give up it has given up by now, or it takes its time.
        if rng.u8(..3) > 0 {
            self.uses = self.told.clone();
        }
        if self.epoch == 0 {
            (self.uses, self.told) = Default::default();
        }
        let says_all = self.epoch == 0 || self.lost > 0;
        Heartbeat {
            member_id: id.to_owned(),
            epoch: if self.is_leaving { -1 } else { self.epoch },
            rebalance_timeout_ms: says_all.then_some(i32::MAX),
            topics: says_all.then(|| vec![TOPIC.to_owned()]),
            owned: Some(self.uses.clone()),
            ..Heartbeat::default()
        }
    }

    fn say_classic(&mut self, rng: &mut Rng, id: &str, partitions: i32) -> Said {
        let member_id = id.to_owned();
        if self.is_leaving {
            return Said::Leave(Identity { member_id, instance_id: None, generation: -1 });
        }
        let identity = Identity { member_id: member_id.clone(), instance_id: None, generation: self.epoch };
        match self.joined.clone() {
            Some(_) if self.is_told && rng.u8(..4) > 0 => Said::Alive(identity),
            Some(assignments) if !self.is_told => {
                Said::Sync(Sync { identity, assignments, ..Sync::default() })
            }
            _ => {
                // It gives up everything, or what it was told to.
                if id.starts_with("m0") {
                    self.told = Assignment::default();
                }
                self.uses = self.told.clone();
                (self.joined, self.is_told) = (None, false);
                let owned: Vec<_> =
                    self.uses.iter().map(|(_, at)| at).filter(|at| *at < partitions).collect();
                let topic = TopicPartition { topic: TOPIC.to_owned(), partitions: owned };
                let metadata = ConsumerProtocolSubscription {
                    topics: vec![TOPIC.to_owned()],
                    owned_partitions: Some(topic)
                        .filter(|of| !of.partitions.is_empty())
                        .into_iter()
                        .collect(),
                    ..Default::default()
                };
                let metadata = metadata.encode().expect("it is short");
                Said::Join(Join {
                    member_id: if self.is_unknown { String::new() } else { member_id.clone() },
                    new_member_id: member_id,
                    session_timeout_ms: i32::MAX,
                    rebalance_timeout_ms: i32::MAX,
                    protocol_type: "consumer".to_owned(),
                    protocols: vec![Protocol { name: "range".to_owned(), metadata }],
                    ..Join::default()
                })
            }
        }
    }

    fn take(&mut self, id: &str, told: Told, topics: &TopicTable) {
        match told {
            Told::Beat(_) | Told::Left if self.is_leaving => *self = Member::default(),
            Told::Beat(beat) => {
                assert!(beat.epoch > 0, "{id} has no epoch");
                (self.epoch, self.lost, self.is_told) = (beat.epoch, 0, true);
                if let Some(assignment) = beat.assignment {
                    // It reads from what is new at once.
                    self.uses = self.uses.iter().chain(assignment.iter()).collect();
                    self.told = assignment;
                }
            }
            Told::Joined(joined) => {
                // Alone in a classic group, it leads.
                let partitions = topics.by_name(TOPIC).map_or(0, |topic| topic.partitions as i32);
                let topic = TopicPartition { topic: TOPIC.to_owned(), partitions: (0..partitions).collect() };
                let all = ConsumerProtocolAssignment { assigned_partitions: vec![topic], user_data: None };
                let given = joined
                    .members
                    .iter()
                    .map(|member| (member.member_id.clone(), all.encode().expect("it is short")));
                (self.epoch, self.is_unknown) = (joined.generation, false);
                (self.joined, self.is_told) = (Some(given.collect()), false);
            }
            Told::Synced(synced) => {
                let told = embedded::assignment(&synced.assignment, topics).expect("it is ours");
                let told = told.expect("it is plain");
                // What it is to give up it reads until it joins again.
                let has_to_join = !self.uses.is_within(&told);
                self.uses = self.uses.iter().chain(told.iter()).collect();
                (self.told, self.is_told, self.lost) = (told, true, 0);
                if has_to_join {
                    self.joined = None;
                }
            }
            Told::Alive | Told::Left => {}
        }
    }
}
