//! What groups must remember: which offsets and assignments were acknowledged, and which may be there.
//!
//! It changes with what was asked and what was answered, and can be copied at any moment: a crash image is
//! held against the copy.
//!
//! * Of an offset, the last that was acknowledged is there, or one that was asked for after it and has no
//!   answer ([`Slot`](slot::Slot)). What is found at a start counts as acknowledged from then on, and what is
//!   not found then is gone for good. The offsets of a transaction are there when its commit was
//!   acknowledged, all of them or none while that has no answer, and never before it was asked for.
//! * Of the members of a group, the last assignment that was acknowledged is there, or one that was handed in
//!   after it; until somebody leaves, which is acknowledged before it is durable: then those who stayed may
//!   rebalance, and nobody is there who never was.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use strandline_engine::TransactionResult;
use strandline_engine::topics::TopicTable;
use strandline_protocol::wire::ErrorCode;

use super::consumers::Consumers;
use super::mixed::{Mixed, Told};
use super::slot::{Number, Slot, Stage, Transaction, Transactions};
use super::streams::Threads;
use crate::groups::consumer::Beat;
use crate::groups::streams::StreamsBeat;
use crate::groups::{Description, State};

#[derive(Clone, Default)]
pub(super) struct Known {
    /// Whether both topics have been acknowledged.
    pub(super) topics_made: bool,
    offsets: BTreeMap<(String, i32), Slot>,
    pub(super) transactions: Transactions,
    pub(super) members: BTreeMap<String, Members>,
    pub(super) consumers: Consumers,
    pub(super) threads: Threads,
    pub(super) mixed: Mixed,
    next: Number,
    /// Whether there was trouble since the start, which excuses a refusal.
    pub(super) trouble: bool,
    /// Acknowledgements of every kind.
    pub(super) acknowledged: usize,
    /// Transactions whose commit was acknowledged.
    pub(super) committed: usize,
}

/// Everybody in a group, with what each was assigned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Assigned {
    pub(super) generation: i32,
    pub(super) assignments: BTreeMap<String, Bytes>,
}

#[derive(Clone, Default)]
pub(super) struct Members {
    pub(super) durable: Assigned,
    maybe: Vec<(Number, Assigned)>,
    /// Somebody has left, or an assignment was refused: who is there now is the group's business.
    pub(super) disturbed: bool,
    /// All ids that ever joined.
    pub(super) ids: BTreeSet<String>,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// Offsets of partitions, or none any more; of a transaction or of none.
    Offsets { group: String, offsets: BTreeMap<i32, Option<i64>>, transaction: Option<Transaction> },
    /// A transaction ends.
    End { transaction: Transaction, result: TransactionResult },
    /// A group with all that it has goes.
    Deletion { group: String },
    /// The leader's assignment.
    Assignment { group: String, assigned: Assigned },
    /// What a member of a consumer group says; what it is told is in the cell when it is told something.
    Beat { group: String, id: String, told: Rc<RefCell<Option<Beat>>> },
    /// What a member of a streams group says, in the same way.
    StreamsBeat { group: String, id: String, told: Rc<RefCell<Option<StreamsBeat>>> },
    /// What a member of a group of either protocol says, in the same way.
    Mixed { group: String, id: String, told: Rc<RefCell<Option<Told>>>, topics: Arc<TopicTable> },
}

impl Known {
    /// The process has ended: what has no answer now never gets one.
    pub(super) fn restart(&mut self) {
        self.trouble = false;
        self.transactions.restart();
        self.consumers.restart();
        self.threads.restart();
        self.mixed.restart();
        self.offsets.values_mut().for_each(Slot::restart);
    }

    pub(super) fn note(&mut self, asked: &Asked) -> Number {
        self.next += 1;
        let number = self.next;
        match asked {
            Asked::Offsets { group, offsets, transaction } => {
                for (at, offset) in offsets {
                    let slot = self.offsets.entry((group.clone(), *at)).or_default();
                    slot.ask(number, *offset, *transaction);
                }
            }
            Asked::End { transaction, result } => self.transactions.ask_end(*transaction, *result),
            Asked::Deletion { group } => {
                for (_, slot) in self.offsets.iter_mut().filter(|((of, _), _)| of == group) {
                    slot.ask(number, None, None);
                }
            }
            Asked::Assignment { group, assigned } => {
                let members = self.members.entry(group.clone()).or_default();
                members.maybe.push((number, assigned.clone()));
            }
            Asked::Beat { .. } | Asked::StreamsBeat { .. } | Asked::Mixed { .. } => {}
        }
        number
    }

    /// Takes an answer in. `excused` is a refusal that something else explains.
    pub(super) fn take(
        &mut self,
        number: Number,
        asked: Asked,
        answer: Result<(), ErrorCode>,
        excused: bool,
    ) {
        if let Asked::Beat { group, id, told } = &asked {
            self.acknowledged += usize::from(answer.is_ok());
            let told = answer.map(|()| told.take().expect("it is told something"));
            return self.consumers.take(group, id, told, excused || self.trouble);
        }
        if let Asked::StreamsBeat { group, id, told } = &asked {
            self.acknowledged += usize::from(answer.is_ok());
            let told = answer.map(|()| told.take().expect("it is told something"));
            return self.threads.take(group, id, told, excused || self.trouble);
        }
        if let Asked::Mixed { group, id, told, topics } = &asked {
            self.acknowledged += usize::from(answer.is_ok());
            let told = answer.map(|()| told.take().expect("it is told something"));
            return self.mixed.take(group, id, told, excused || self.trouble, topics);
        }
        if answer.is_err() {
            let is_absent =
                matches!(asked, Asked::Deletion { .. }) && answer == Err(ErrorCode::GroupIdNotFound);
            assert!(
                excused || self.trouble || is_absent,
                "nothing is wrong, but {asked:?} is answered with {answer:?}"
            );
            // A group that is being deleted is not found by the next who would delete it, before it is gone.
            if is_absent && !excused {
                self.check_absent(&asked);
            }
            self.refuse(number, &asked);
            return;
        }
        self.acknowledged += 1;
        match asked {
            Asked::Offsets { .. } => self.answer(number, Stage::Durable),
            Asked::End { transaction, result } => {
                self.transactions.answer_end(transaction, Stage::Durable);
                match result {
                    TransactionResult::Commit => self.committed += 1,
                    TransactionResult::Abort => {
                        self.offsets.values_mut().for_each(|slot| slot.forget(transaction));
                    }
                }
            }
            Asked::Deletion { group } => {
                self.answer(number, Stage::Durable);
                let members = self.members.entry(group).or_default();
                (members.durable, members.disturbed) = (Assigned::default(), false);
                members.maybe.clear();
            }
            Asked::Assignment { group, assigned } => {
                let members = self.members.get_mut(&group).expect("it was asked for");
                (members.durable, members.disturbed) = (assigned, false);
                members.maybe.retain(|(of, _)| *of > number);
            }
            Asked::Beat { .. } | Asked::StreamsBeat { .. } | Asked::Mixed { .. } => {
                unreachable!("it has been taken in")
            }
        }
    }

    fn answer(&mut self, number: Number, stage: Stage) {
        self.offsets.values_mut().for_each(|slot| slot.answer(number, stage));
    }

    /// A group that is not found has nothing. What was refused may be in the log, and be there at the next
    /// start.
    fn check_absent(&self, asked: &Asked) {
        let Asked::Deletion { group } = asked else { unreachable!("only a deletion is answered so") };
        for ((_, at), slot) in self.offsets.iter().filter(|((of, _), _)| of == group) {
            let sure = slot.sure(&self.transactions);
            assert!(sure.is_none(), "{group} is not found, and has an offset of partition {at}");
        }
    }

    fn refuse(&mut self, number: Number, asked: &Asked) {
        self.answer(number, Stage::Refused);
        match asked {
            Asked::End { transaction, .. } => self.transactions.answer_end(*transaction, Stage::Refused),
            Asked::Assignment { group, .. } => {
                self.members.entry(group.clone()).or_default().disturbed = true;
            }
            Asked::Offsets { .. }
            | Asked::Deletion { .. }
            | Asked::Beat { .. }
            | Asked::StreamsBeat { .. }
            | Asked::Mixed { .. } => {}
        }
    }

    /// The offsets that a group was found to have, all at one moment. After a start nothing is on its way any
    /// more.
    pub(super) fn see_offsets(&mut self, group: &str, found: &BTreeMap<i32, i64>, is_start: bool) {
        for at in found.keys() {
            let is_known = self.offsets.contains_key(&(group.to_owned(), *at));
            assert!(is_known, "{group} has an offset of partition {at} that nobody has committed");
        }
        let of_group = self.offsets.iter_mut().filter(|((of, _), _)| of == group);
        let mut slots: Vec<_> = of_group.map(|((_, at), slot)| (*at, slot)).collect();
        // Where one offset of a transaction is there, all are.
        for (at, slot) in &slots {
            if let Some(transaction) = found.get(at).and_then(|offset| slot.transaction_of(*offset)) {
                self.transactions.see_committed(transaction);
            }
        }
        for (at, slot) in &mut slots {
            slot.see(&self.transactions, found.get(at).copied(), is_start).unwrap_or_else(|wrong| {
                panic!("partition {at} of {group} is at {wrong:?}: {slot:#?}, {:#?}", self.transactions)
            });
        }
    }

    /// Which partitions of a group were found to be about to change.
    pub(super) fn see_unstable(&self, group: &str, found: &BTreeSet<i32>) {
        for ((_, at), slot) in self.offsets.iter().filter(|((of, _), _)| of == group) {
            let (may, must) = slot.unstable(&self.transactions);
            let is = found.contains(at);
            assert!(
                if is { may } else { !must },
                "partition {at} of {group} is unstable: {is}; {slot:#?}, {:#?}",
                self.transactions
            );
        }
    }

    pub(super) fn has_no_offsets(&self, group: &str) -> bool {
        let of_group = self.offsets.iter().filter(|((of, _), _)| of == group);
        of_group.into_iter().all(|(_, slot)| slot.sure(&self.transactions).is_none())
    }

    /// What a start has found of the members of a group: the generation to hold them against, when they are
    /// to go on.
    pub(super) fn see_members(&mut self, group: &str, found: Option<&Description>) -> Option<Assigned> {
        let members = self.members.entry(group.to_owned()).or_default();
        let assignments: BTreeMap<String, Bytes> = found
            .iter()
            .flat_map(|found| &found.members)
            .map(|member| (member.member_id.clone(), member.assignment.clone()))
            .collect();
        for id in assignments.keys() {
            assert!(members.ids.contains(id), "{group} has a member {id} that never joined");
        }
        let is_stable = found.is_none_or(|found| {
            found.state == if found.members.is_empty() { State::Empty } else { State::Stable }
        });
        let maybe = std::mem::take(&mut members.maybe).into_iter().map(|(_, assigned)| assigned);
        let mut candidates = [members.durable.clone()].into_iter().chain(maybe);
        let fitting = candidates.find(|assigned| is_stable && assigned.assignments == assignments);
        match fitting {
            Some(assigned) if !members.disturbed => {
                members.durable = assigned.clone();
                Some(assigned)
            }
            None if !members.disturbed => {
                panic!("{group} is {found:?}, and was {:?}", members.durable)
            }
            _ => None,
        }
    }
}
