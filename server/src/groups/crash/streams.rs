//! What the members of streams groups (KIP-1071) must find again: each has an epoch and tasks that it was
//! told, and works on what it was told until it was told to give it up.
//!
//! * No active task is worked on by two members of a group, whatever crashes between them.
//! * An epoch that was answered is never forgotten: a member whose last answer came is found again as it was
//!   told. One whose answer was lost may be further than it knows.

use std::collections::BTreeMap;

use fastrand::Rng;
use strandline_protocol::messages::{
    StreamsGroupDescribedAssignment, StreamsGroupSubtopology, StreamsGroupTopicInfo, StreamsGroupTopology,
};
use strandline_protocol::wire::ErrorCode;

use super::consumers::TOPIC;
use crate::groups::streams::{Roles, StreamsBeat, StreamsDescription, StreamsHeartbeat, Tasks};

/// Members that a group has at the most, each in a process of its own.
const MEMBERS: usize = 3;

/// The members of all groups, by group and id.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads(BTreeMap<(String, String), Thread>);

/// A member as it sees itself.
#[derive(Clone, Debug, Default)]
struct Thread {
    epoch: i32,
    /// What it works on.
    uses: Roles,
    /// What it was told last.
    told: Roles,
    /// Answers that were lost since the last that came.
    lost: usize,
    /// It has said that it leaves.
    is_leaving: bool,
    /// It waits for an answer.
    is_waiting: bool,
}

/// One part, which keeps a state; its source is its own changelog, so that there is nothing to create.
fn topology() -> StreamsGroupTopology {
    let changelog = StreamsGroupTopicInfo { name: TOPIC.to_owned(), ..Default::default() };
    let part = StreamsGroupSubtopology {
        subtopology_id: "0".to_owned(),
        source_topics: vec![TOPIC.to_owned()],
        state_changelog_topics: vec![changelog],
        ..Default::default()
    };
    StreamsGroupTopology { epoch: 0, subtopologies: vec![part] }
}

impl Threads {
    /// Something that a member of the group says next; `None` when the one that was picked waits for an
    /// answer.
    pub(super) fn say(&mut self, rng: &mut Rng, group: &str, leaves: bool) -> Option<StreamsHeartbeat> {
        let id = format!("{group}-{}", rng.usize(..MEMBERS));
        let member = self.0.entry((group.to_owned(), id.clone())).or_default();
        if member.is_waiting || (leaves && member.epoch == 0) {
            return None;
        }
        let leaves = leaves || member.is_leaving;
        (member.is_waiting, member.is_leaving) = (true, leaves);
        // What it was told to give up it has given up by now, or it takes its time.
        if rng.u8(..3) > 0 {
            member.uses = member.told.clone();
        }
        if member.epoch == 0 || leaves {
            (member.uses, member.told) = Default::default();
        }
        let joins = member.epoch == 0 && !leaves;
        Some(StreamsHeartbeat {
            process_id: joins.then(|| format!("process of {id}")),
            member_id: id,
            epoch: if leaves { -1 } else { member.epoch },
            rebalance_timeout_ms: joins.then_some(i32::MAX),
            topology: joins.then(topology),
            owned: Some(member.uses.clone()),
            ..Default::default()
        })
    }

    /// A member is told something, or is not.
    pub(super) fn take(
        &mut self,
        group: &str,
        id: &str,
        told: Result<StreamsBeat, ErrorCode>,
        is_excused: bool,
    ) {
        let member = self.0.get_mut(&(group.to_owned(), id.to_owned())).expect("it has said something");
        member.is_waiting = false;
        match told {
            Ok(_) if member.is_leaving => *member = Thread::default(),
            Ok(beat) => {
                assert!(beat.epoch > 0, "{id} has no epoch");
                (member.epoch, member.lost) = (beat.epoch, 0);
                if let Some(assignment) = beat.assignment {
                    // It works on what is new at once.
                    assignment.active.iter().for_each(|task| member.uses.active.insert(task));
                    assignment.standby.iter().for_each(|task| member.uses.standby.insert(task));
                    member.told = assignment;
                }
            }
            Err(ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound) => {
                assert!(member.is_leaving || member.epoch == 0, "{id} is forgotten: {member:?}");
                // It is told so of what the log may not have either.
                *member = Thread { lost: usize::from(member.lost > 0 || is_excused), ..Thread::default() };
            }
            Err(ErrorCode::FencedMemberEpoch) => {
                // Of two answers that were lost, the first has an epoch that nobody knows any more.
                assert!(member.lost > 1 || is_excused, "{id} is fenced: {member:?}");
                *member = Thread { lost: 1, ..Thread::default() };
            }
            Err(error) => {
                assert!(is_excused, "nothing is wrong, but {id} is told {error}");
                member.lost += 1;
            }
        }
        self.check(group);
    }

    fn check(&self, group: &str) {
        let mut workers = BTreeMap::new();
        for ((_, id), member) in self.0.iter().filter(|((of, _), _)| of == group) {
            for task in member.uses.active.iter() {
                let other = workers.insert(task.clone(), id);
                assert_eq!(other, None, "{id} works on {task:?} as well\n{self:#?}");
            }
        }
    }

    /// The process has ended: answers that have not come never do.
    pub(super) fn restart(&mut self) {
        for member in self.0.values_mut().filter(|member| member.is_waiting) {
            (member.is_waiting, member.lost) = (false, member.lost + 1);
        }
    }

    /// What a start has found of a group.
    pub(super) fn see(&self, group: &str, found: Option<&StreamsDescription>) {
        let found = found.map_or(&[][..], |found| &found.members);
        for held in found {
            let known = self.0.get(&(group.to_owned(), held.member_id.clone()));
            let is_known = known.is_some_and(|known| known.epoch > 0 || known.lost > 0);
            assert!(is_known, "{} is there: {known:?}", held.member_id);
        }
        let of_group = self.0.iter().filter(|((of, _), member)| of == group && member.epoch > 0);
        for ((_, id), member) in of_group.filter(|(_, member)| !member.is_leaving) {
            let held = found.iter().find(|held| held.member_id == *id);
            let held = held.unwrap_or_else(|| panic!("{id} is forgotten: {member:?}"));
            assert!(held.member_epoch >= member.epoch, "{id} is in epoch {}: {member:?}", held.member_epoch);
            if member.lost == 0 {
                assert_eq!(
                    (held.member_epoch, roles(&held.assignment)),
                    (member.epoch, member.told.clone()),
                    "{id}"
                );
            }
        }
    }
}

fn roles(assignment: &StreamsGroupDescribedAssignment) -> Roles {
    Roles {
        active: Tasks::from_ids(&assignment.active_tasks),
        standby: Tasks::from_ids(&assignment.standby_tasks),
    }
}
