//! What the members of consumer groups (KIP-848) must find again: each has an epoch and partitions that it
//! was told, and reads from what it was told until it was told to give it up.
//!
//! * No partition is read by two members of a group, whatever crashes between them.
//! * An epoch that was answered is never forgotten: a member whose last answer came is found again as it was
//!   told. One whose answer was lost may be further than it knows.

use std::collections::BTreeMap;

use fastrand::Rng;
use strandline_protocol::wire::ErrorCode;

use crate::groups::consumer::{Assignment, Beat, ConsumerDescription, Heartbeat};

/// The topic that offsets are of, and that members read.
pub(super) const TOPIC: &str = "t";

/// Members that a group has at the most.
const MEMBERS: usize = 3;

/// The members of all groups, by group and id.
#[derive(Clone, Debug, Default)]
pub(super) struct Consumers(BTreeMap<(String, String), Consumer>);

/// A member as it sees itself.
#[derive(Clone, Debug, Default)]
struct Consumer {
    epoch: i32,
    /// What it reads from.
    uses: Assignment,
    /// What it was told last.
    told: Assignment,
    /// Answers that were lost since the last that came.
    lost: usize,
    /// It has said that it leaves.
    is_leaving: bool,
    /// It waits for an answer.
    is_waiting: bool,
}

impl Consumers {
    /// Something that a member of the group says next; `None` when the one that was picked waits for an
    /// answer.
    pub(super) fn say(&mut self, rng: &mut Rng, group: &str, leaves: bool) -> Option<Heartbeat> {
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
        let says_all = member.epoch == 0 || member.lost > 0;
        Some(Heartbeat {
            member_id: id,
            epoch: if leaves { -1 } else { member.epoch },
            rebalance_timeout_ms: says_all.then_some(i32::MAX),
            topics: says_all.then(|| vec![TOPIC.to_owned()]),
            owned: Some(member.uses.clone()),
            ..Default::default()
        })
    }

    /// A member is told something, or is not.
    pub(super) fn take(&mut self, group: &str, id: &str, told: Result<Beat, ErrorCode>, is_excused: bool) {
        let member = self.0.get_mut(&(group.to_owned(), id.to_owned())).expect("it has said something");
        member.is_waiting = false;
        match told {
            Ok(_) if member.is_leaving => *member = Consumer::default(),
            Ok(beat) => {
                assert!(beat.epoch > 0, "{id} has no epoch");
                (member.epoch, member.lost) = (beat.epoch, 0);
                if let Some(assignment) = beat.assignment {
                    // It reads from what is new at once.
                    member.uses = member.uses.iter().chain(assignment.iter()).collect();
                    member.told = assignment;
                }
            }
            Err(ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound) => {
                assert!(member.is_leaving || member.epoch == 0, "{id} is forgotten: {member:?}");
                // It is told so of what the log may not have either.
                *member =
                    Consumer { lost: usize::from(member.lost > 0 || is_excused), ..Consumer::default() };
            }
            Err(ErrorCode::FencedMemberEpoch) => {
                // Of two answers that were lost, the first has an epoch that nobody knows any more.
                assert!(member.lost > 1 || is_excused, "{id} is fenced: {member:?}");
                *member = Consumer { lost: 1, ..Consumer::default() };
            }
            Err(error) => {
                assert!(is_excused, "nothing is wrong, but {id} is told {error}");
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
            (member.is_waiting, member.lost) = (false, member.lost + 1);
        }
    }

    /// What a start has found of a group.
    pub(super) fn see(&self, group: &str, found: Option<&ConsumerDescription>) {
        let found = found.map_or(&[][..], |found| &found.members);
        for (id, ..) in found {
            let known = self.0.get(&(group.to_owned(), id.clone()));
            assert!(known.is_some_and(|known| known.epoch > 0 || known.lost > 0), "{id} is there: {known:?}");
        }
        let of_group = self.0.iter().filter(|((of, _), member)| of == group && member.epoch > 0);
        for ((_, id), member) in of_group.filter(|(_, member)| !member.is_leaving) {
            let held = found.iter().find(|(found, ..)| found == id).map(|(_, _, held, _)| held);
            let held = held.unwrap_or_else(|| panic!("{id} is forgotten: {member:?}"));
            assert!(held.epoch >= member.epoch, "{id} is in epoch {}: {member:?}", held.epoch);
            if member.lost == 0 {
                assert_eq!((held.epoch, &held.assigned), (member.epoch, &member.told), "{id}");
            }
        }
    }
}
