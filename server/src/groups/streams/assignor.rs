//! Who in a streams group shall have which task, and who stands by: the rules of Kafka's StickyTaskAssignor.
//! A pure function of the tasks, the members, the processes that they are in, and what they were to have
//! before.
//!
//! ```text
//! active    tasks with a state first, then those without:
//!           1  who had it before      while below its share
//!           2  who stood by it        while below its share
//!           3  the least loaded process, and the least loaded member in it
//! standby   who had it, who stood by it, or the least loaded process that does not have the task
//! ```
//!
//! * Every task is active with exactly one member; a process has a task in one role at the most.
//! * Load is the tasks of a process by its members. Where Kafka goes through Java hash tables, members and
//!   processes come in the order of their ids here.
//! * A large group takes long: it says how far it has come ([`Pace::step`]).

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::configured::Part;
use super::tasks::{Roles, Task};
use crate::coordination::Pace;

/// The name that clients are told.
pub const STICKY: &str = "sticky";

/// A group, for the assignor.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The parts of the topology, in the order of their ids.
    pub parts: Vec<Part>,
    /// The members, in the order of their ids.
    pub members: Vec<Member>,
    /// How many stand by each task with a state.
    pub standbys: u32,
}

/// A member, for the assignor.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// The process that it is in.
    pub process: Arc<str>,
    /// What it was to have before.
    pub before: Rc<Roles>,
    /// How far the state is that it has of tasks, whether it was to have them or not.
    pub offsets: Vec<(Task, i64)>,
}

/// What each member shall have, in their order.
pub async fn assign(group: &Group, pace: &Pace) -> Vec<Roles> {
    if group.members.is_empty() {
        return Vec::new();
    }
    let mut sharing = Sharing::new(group, pace).await;
    let (stateful, stateless): (Vec<_>, Vec<_>) =
        (0..sharing.tasks.len()).partition(|at| group.parts[sharing.tasks[*at].0].is_stateful);
    sharing.assign_active(&stateful, true, pace).await;
    sharing.assign_active(&stateless, false, pace).await;
    if group.standbys > 0 {
        sharing.assign_standby(stateful, group.standbys, pace).await;
    }
    sharing.given
}

/// How many tasks each of so many members may have while others have fewer.
#[derive(Debug)]
struct Share {
    tasks: usize,
    members: usize,
    each: usize,
}

impl Share {
    fn new(tasks: usize, members: usize) -> Share {
        Share { tasks, members, each: tasks.div_ceil(members.max(1)) }
    }

    /// A member has so many tasks now: one that has its share is out, and the rest is for the others.
    fn note(&mut self, count: usize) {
        if count == self.each && self.members > 0 {
            self.tasks = self.tasks.saturating_sub(count);
            self.members -= 1;
            self.each = if self.members == 0 { 0 } else { self.tasks.div_ceil(self.members) };
        }
    }
}

/// A process as it is loaded.
#[derive(Debug, Default)]
struct Process {
    members: usize,
    tasks: usize,
    /// Active tasks without a state.
    stateless: usize,
    /// Its members by what they have, the least first; those that say something of before are passed over.
    by_load: BinaryHeap<Reverse<(usize, usize)>>,
}

/// How loaded a process is, and which one.
#[derive(Debug, PartialEq, Eq)]
struct Load {
    tasks: usize,
    stateless: usize,
    members: usize,
    at: usize,
}

impl Ord for Load {
    fn cmp(&self, other: &Load) -> Ordering {
        let by = |mine: usize, its: usize| (mine * other.members).cmp(&(its * self.members));
        let of_tasks = by(self.tasks, other.tasks);
        of_tasks.then_with(|| by(self.stateless, other.stateless)).then(self.at.cmp(&other.at))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Load) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Tasks on their way to members.
struct Sharing<'a> {
    group: &'a Group,
    /// Each by its part and partition, in their order.
    tasks: Vec<(usize, i32)>,
    /// The process of each member.
    process_of: Vec<usize>,
    processes: Vec<Process>,
    /// What each member has by now, as a number and in full.
    counts: Vec<usize>,
    given: Vec<Roles>,
    /// The processes that have each task by now.
    holders: Vec<Vec<usize>>,
    /// The member that each task was active with before.
    had: Vec<Option<usize>>,
    /// The members that have a state of the task, the best first.
    stood_by: HashMap<usize, Vec<usize>>,
    /// The shares of active tasks with a state, of active tasks, and of all.
    stateful: Share,
    active: Share,
    all: Share,
}

impl<'a> Sharing<'a> {
    async fn new(group: &'a Group, pace: &Pace) -> Sharing<'a> {
        let mut tasks = Vec::new();
        // Where the tasks of each part begin.
        let mut starts = HashMap::new();
        for (at, part) in group.parts.iter().enumerate() {
            starts.insert(&*part.id, (tasks.len(), part.tasks as i32));
            tasks.extend((0..part.tasks as i32).map(|partition| (at, partition)));
            pace.step(1 + part.tasks as usize / 16).await;
        }
        let mut places = BTreeMap::new();
        group.members.iter().for_each(|member| _ = places.insert(&*member.process, 0));
        places.values_mut().zip(0..).for_each(|(place, at)| *place = at);
        let process_of: Vec<usize> = group.members.iter().map(|member| places[&*member.process]).collect();
        let mut processes: Vec<Process> = places.iter().map(|_| Process::default()).collect();
        for (member, process) in process_of.iter().enumerate() {
            processes[*process].members += 1;
            processes[*process].by_load.push(Reverse((0, member)));
        }
        let with_state: usize =
            group.parts.iter().filter(|part| part.is_stateful).map(|part| part.tasks as usize).sum();
        let members = group.members.len();
        let mut sharing = Sharing {
            group,
            process_of,
            processes,
            counts: vec![0; members],
            given: vec![Roles::default(); members],
            holders: vec![Vec::new(); tasks.len()],
            had: vec![None; tasks.len()],
            stood_by: HashMap::new(),
            stateful: Share::new(with_state, members),
            active: Share::new(tasks.len(), members),
            all: Share::new(tasks.len() + with_state * group.standbys as usize, members),
            tasks,
        };
        sharing.remember(&starts, pace).await;
        sharing
    }

    /// Who had and who stood by each task before.
    async fn remember(&mut self, starts: &HashMap<&str, (usize, i32)>, pace: &Pace) {
        let place = |(id, partition): &Task| {
            let (start, count) = starts.get(&**id)?;
            (0..*count).contains(partition).then(|| start + *partition as usize)
        };
        let mut candidates: HashMap<usize, Vec<(bool, Reverse<i64>, usize)>> = HashMap::new();
        for (at, member) in self.group.members.iter().enumerate() {
            let offsets: HashMap<usize, i64> =
                member.offsets.iter().filter_map(|(task, offset)| Some((place(task)?, *offset))).collect();
            member
                .before
                .active
                .iter()
                .filter_map(|task| place(&task))
                .for_each(|task| self.had[task] = Some(at));
            for task in member.before.standby.iter().filter_map(|task| place(&task)) {
                let offset = offsets.get(&task).copied().unwrap_or_default();
                candidates.entry(task).or_default().push((false, Reverse(offset), at));
            }
            for (task, offset) in offsets {
                let (partition, part) = (self.tasks[task].1, &self.group.parts[self.tasks[task].0]);
                if !member.before.standby.contains(&(part.id.clone(), partition)) {
                    candidates.entry(task).or_default().push((true, Reverse(offset), at));
                }
            }
            pace.step(1 + member.before.len() + member.offsets.len()).await;
        }
        for (task, mut members) in candidates {
            members.sort_unstable();
            pace.step(members.len()).await;
            self.stood_by.insert(task, members.into_iter().map(|(_, _, member)| member).collect());
        }
    }

    async fn assign_active(&mut self, tasks: &[usize], is_stateful: bool, pace: &Pace) {
        let mut by_partition = tasks.to_vec();
        by_partition.sort_unstable_by_key(|task| (self.tasks[*task].1, self.tasks[*task].0));
        let mut left = Vec::new();
        for task in by_partition {
            match self.had[task].filter(|member| self.has_share(*member, is_stateful)) {
                Some(member) => self.give_active(task, member, is_stateful),
                None => left.push(task),
            }
            pace.step(2).await;
        }
        let mut open = Vec::new();
        for task in left {
            let member = self.least_loaded_of(task, false);
            match member.filter(|member| self.has_share(*member, is_stateful)) {
                Some(member) => self.give_active(task, member, is_stateful),
                None => open.push(task),
            }
            pace.step(1 + self.stood_by.get(&task).map_or(0, Vec::len)).await;
        }
        // So that what one part has of a range of partitions stays together.
        open.sort_unstable();
        let mut by_load: BinaryHeap<_> =
            (0..self.processes.len()).map(|at| Reverse(self.load(at, true))).collect();
        for task in open {
            let Some(Reverse(Load { at, .. })) = by_load.pop() else { return };
            let member = self.least_loaded_in(at);
            let count = self.give(task, member, true);
            self.active.note(count);
            self.all.note(count);
            self.processes[at].stateless += usize::from(!is_stateful);
            by_load.push(Reverse(self.load(at, true)));
            pace.step(4).await;
        }
    }

    /// Gives a member a task that it knows.
    fn give_active(&mut self, task: usize, member: usize, is_stateful: bool) {
        let count = self.give(task, member, true);
        if is_stateful {
            // Nothing else is given yet.
            self.stateful.note(count);
        }
        self.active.note(count);
        self.all.note(count);
        self.processes[self.process_of[member]].stateless += usize::from(!is_stateful);
    }

    fn has_share(&self, member: usize, is_stateful: bool) -> bool {
        let share = if is_stateful { &self.stateful } else { &self.active };
        self.counts[member] < share.each
    }

    async fn assign_standby(&mut self, mut tasks: Vec<usize>, standbys: u32, pace: &Pace) {
        tasks.sort_unstable_by_key(|task| Reverse((self.tasks[*task].1, self.tasks[*task].0)));
        let mut open = Vec::new();
        for task in tasks {
            let mut lacking = standbys;
            while lacking > 0 {
                let may = |sharing: &Self, member: &usize| {
                    let is_free = !sharing.holders[task].contains(&sharing.process_of[*member]);
                    is_free && sharing.counts[*member] < sharing.all.each
                };
                let had = self.had[task].filter(|member| may(self, member));
                let known =
                    had.or_else(|| self.least_loaded_of(task, true).filter(|member| may(self, member)));
                pace.step(2 + self.stood_by.get(&task).map_or(0, Vec::len)).await;
                let Some(member) = known else { break };
                let count = self.give(task, member, false);
                self.all.note(count);
                lacking -= 1;
            }
            if lacking > 0 {
                open.push((task, lacking));
            }
        }
        open.sort_unstable_by_key(|(task, _)| Reverse(*task));
        let mut by_load: BinaryHeap<_> =
            (0..self.processes.len()).map(|at| Reverse(self.load(at, false))).collect();
        let mut passed = Vec::new();
        for (task, lacking) in open {
            for _ in 0..lacking {
                let free = loop {
                    let Some(Reverse(load)) = by_load.pop() else { break None };
                    if !self.holders[task].contains(&load.at) {
                        break Some(load.at);
                    }
                    passed.push(Reverse(load));
                };
                pace.step(4 + passed.len()).await;
                by_load.extend(passed.drain(..));
                let Some(at) = free else { break };
                let member = self.least_loaded_in(at);
                let count = self.give(task, member, false);
                self.all.note(count);
                by_load.push(Reverse(self.load(at, false)));
            }
        }
    }

    /// The least loaded of those that have a state of a task; where a standby is sought, in a process that
    /// does not have the task. Both the process and the member are to be less loaded, or the first stays.
    fn least_loaded_of(&self, task: usize, is_standby: bool) -> Option<usize> {
        let mut best: Option<(Load, usize)> = None;
        for member in self.stood_by.get(&task).into_iter().flatten().copied() {
            let process = self.process_of[member];
            if is_standby && self.holders[task].contains(&process) {
                continue;
            }
            let load = self.load(process, false);
            let is_less = best.as_ref().is_none_or(|(least, chosen)| {
                let is_process = load.tasks * least.members < least.tasks * load.members;
                is_process && self.counts[member] < self.counts[*chosen]
            });
            if is_less {
                best = Some((load, member));
            }
        }
        best.map(|(_, member)| member)
    }

    fn load(&self, at: usize, counts_stateless: bool) -> Load {
        let process = &self.processes[at];
        let stateless = if counts_stateless { process.stateless } else { 0 };
        Load { tasks: process.tasks, stateless, members: process.members, at }
    }

    fn least_loaded_in(&mut self, process: usize) -> usize {
        let by_load = &mut self.processes[process].by_load;
        while let Some(Reverse((count, member))) = by_load.peek().copied() {
            if self.counts[member] == count {
                return member;
            }
            by_load.pop();
        }
        unreachable!("every member of a process stands in it with what it has")
    }

    /// Gives a member a task; how many it has then.
    fn give(&mut self, task: usize, member: usize, is_active: bool) -> usize {
        let (part, partition) = self.tasks[task];
        let process = self.process_of[member];
        let roles = &mut self.given[member];
        let tasks = if is_active { &mut roles.active } else { &mut roles.standby };
        tasks.insert((self.group.parts[part].id.clone(), partition));
        self.holders[task].push(process);
        self.counts[member] += 1;
        self.processes[process].tasks += 1;
        self.processes[process].by_load.push(Reverse((self.counts[member], member)));
        self.counts[member]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::{Begun, begin};
    use std::collections::BTreeSet;

    fn task(part: &str, partition: i32) -> Task {
        (part.into(), partition)
    }

    fn part(id: &str, tasks: u32, is_stateful: bool) -> Part {
        Part { id: id.into(), tasks, is_stateful }
    }

    fn member(id: &str, process: &str) -> Member {
        Member { id: id.to_owned(), process: process.into(), before: Rc::default(), offsets: Vec::new() }
    }

    fn shared_out(group: &Group) -> Vec<Roles> {
        let group = group.clone();
        match begin(usize::MAX, move |pace| async move { assign(&group, &pace).await }) {
            Begun::Done(given) => given,
            Begun::Stopped(_) => panic!("there is no end to its budget"),
        }
    }

    /// As it is shared out, with that as what each has had.
    fn again(group: &Group) -> Group {
        let given = shared_out(group);
        let mut after = group.clone();
        after.members.iter_mut().zip(given).for_each(|(member, given)| member.before = Rc::new(given));
        after
    }

    /// Every task is active once, and no process has one twice.
    fn check(group: &Group, given: &[Roles]) {
        let all: Vec<Task> = given.iter().flat_map(|roles| roles.active.iter()).collect();
        let wanted: BTreeSet<Task> = group
            .parts
            .iter()
            .flat_map(|part| (0..part.tasks as i32).map(|at| (part.id.clone(), at)))
            .collect();
        assert_eq!(all.len(), wanted.len());
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), wanted);
        let processes: BTreeSet<_> = group.members.iter().map(|member| member.process.clone()).collect();
        let mut standing_by: BTreeMap<Task, u32> = BTreeMap::new();
        let mut of_process = BTreeSet::new();
        for (member, roles) in group.members.iter().zip(given) {
            for task in roles.active.iter().chain(roles.standby.iter()) {
                assert!(of_process.insert((member.process.clone(), task.clone())), "{task:?} twice");
            }
            roles.standby.iter().for_each(|task| *standing_by.entry(task).or_default() += 1);
        }
        let most = group.standbys.min(processes.len() as u32 - 1);
        for part in group.parts.iter().filter(|part| part.is_stateful) {
            for at in 0..part.tasks as i32 {
                let count = standing_by.remove(&(part.id.clone(), at)).unwrap_or_default();
                assert_eq!(count, most, "{} {at}", part.id);
            }
        }
        assert!(standing_by.is_empty(), "of what has no state");
    }

    #[test]
    fn tasks_are_spread_over_processes_and_members_and_stay_where_they_are() {
        let members = vec![member("a", "p"), member("b", "p"), member("c", "q")];
        let parts = vec![part("0", 4, true), part("1", 5, false)];
        let group = Group { parts, members, standbys: 1 };
        let given = shared_out(&group);
        check(&group, &given);
        let active: Vec<_> = given.iter().map(|roles| roles.active.len()).collect();
        assert_eq!(active, [3, 3, 3]);
        let after = again(&group);
        assert_eq!(shared_out(&after), given);
    }

    #[test]
    fn a_member_that_comes_takes_its_share_and_no_more_moves() {
        let members = vec![member("a", "p"), member("b", "q")];
        let mut group = again(&Group { parts: vec![part("0", 6, true)], members, standbys: 0 });
        group.members.push(member("c", "r"));
        let given = shared_out(&group);
        check(&group, &given);
        assert!(given.iter().all(|roles| roles.active.len() == 2));
        for (member, roles) in group.members[..2].iter().zip(&given) {
            assert!(roles.active.is_within(&member.before.active));
        }
    }

    #[test]
    fn who_stood_by_takes_over_when_the_active_one_is_gone() {
        let members = vec![member("a", "p"), member("b", "q"), member("c", "r")];
        let mut group = again(&Group { parts: vec![part("0", 3, true)], members, standbys: 1 });
        let gone = group.members.remove(0).before;
        let stands_by = |member: &&Member| member.before.standby.intersects(&gone.active);
        let heir = group.members.iter().find(stands_by).unwrap().id.clone();
        let given = shared_out(&group);
        check(&group, &given);
        let at = group.members.iter().position(|member| member.id == heir).unwrap();
        assert!(gone.active.is_within(&given[at].active));
    }

    #[test]
    fn a_process_that_comes_back_with_its_state_gets_its_tasks_again() {
        let members = vec![member("a", "p"), member("b", "q")];
        let mut group = Group { parts: vec![part("0", 2, true)], members, standbys: 0 };
        group.members[0].offsets = vec![(task("0", 1), 100)];
        group.members[1].offsets = vec![(task("0", 1), 50), (task("0", 9), 1)];
        let given = shared_out(&group);
        check(&group, &given);
        assert!(given[0].active.contains(&task("0", 1)), "its state is the newer one");
        assert!(given[1].active.contains(&task("0", 0)));
    }

    #[test]
    fn in_random_groups_every_task_is_active_once_and_what_nobody_changes_stays() {
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let parts =
                (0..rng.usize(1..4)).map(|at| part(&at.to_string(), rng.u32(0..8), rng.bool())).collect();
            let members = (0..rng.usize(1..7)).map(|at| {
                let id = format!("m{at}");
                member(&id, &format!("p{}", rng.u8(..4)))
            });
            let mut group = Group { parts, members: members.collect(), standbys: rng.u32(0..3) };
            for _ in 0..4 {
                let given = shared_out(&group);
                check(&group, &given);
                let active: Vec<_> = given.iter().map(|roles| roles.active.len()).collect();
                let processes: BTreeSet<_> = group.members.iter().map(|member| &member.process).collect();
                if processes.len() == group.members.len() && group.standbys == 0 {
                    let spread = active.iter().max().unwrap() - active.iter().min().unwrap();
                    assert!(spread <= 1, "seed {seed}: {active:?}");
                }
                group
                    .members
                    .iter_mut()
                    .zip(given)
                    .for_each(|(member, given)| member.before = Rc::new(given));
                match rng.u8(..3) {
                    0 if group.members.len() > 1 => {
                        _ = group.members.remove(rng.usize(..group.members.len()))
                    }
                    1 => {
                        let id = format!("n{}", rng.u32(..));
                        group.members.push(member(&id, &format!("p{}", rng.u8(..4))));
                        group.members.sort_by(|a, b| a.id.cmp(&b.id));
                    }
                    _ => {}
                }
            }
        }
    }
}
