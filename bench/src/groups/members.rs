//! Members of a consumer group (KIP-848) as its protocol has them: they give up what they are to give up,
//! say so, and take what they get.

use super::{CONNECTIONS, PAUSE, Rebalance, is_passing};
use crate::broker::Target;
use crate::client::{Client, ClientError, Topic, refuse};
use crate::clock::{SECOND, nanos, now};
use crate::measure::{self, MeasureError};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use strandline_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, ConsumerGroupHeartbeatTopicPartitions,
};
use strandline_protocol::wire::ErrorCode;

/// The longest that a group may take to be stable.
const PATIENCE: u64 = 120 * SECOND;
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// One of so many members leaves.
const LEAVES_OF: u32 = 10;
/// What a member that has left has as its epoch.
const GONE: i64 = -1;
/// The epoch of a heartbeat that leaves.
const LEAVE: i32 = -1;

/// What all members of a group know of each other, for this measurement alone.
struct Shared {
    group: String,
    topic: Topic,
    heartbeat: u64,
    /// Members that each partition has.
    owners: Vec<AtomicU32>,
    /// The epoch of each member, and how many partitions it has.
    members: Vec<(AtomicI64, AtomicU32)>,
    /// When a member was last told something new.
    changed: AtomicU64,
    heartbeats: AtomicU64,
    leaves: AtomicBool,
    done: AtomicBool,
    failure: Mutex<Option<MeasureError>>,
}

struct Member {
    number: u32,
    id: String,
    epoch: i32,
    owned: BTreeSet<i32>,
    /// What it has is to be said with the next heartbeat.
    is_news: bool,
    due: u64,
}

/// So many members join a group at once, and one of ten leaves when it is stable.
pub(super) fn run(
    target: &Target,
    members: u32,
    partitions: u32,
    heartbeat: Duration,
) -> Result<Rebalance, MeasureError> {
    let topic = measure::create_topic(target, &measure::topic_name(), partitions)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS.min(members as usize) {
        clients.push(Client::connect(&target.bootstrap)?);
    }
    let group = format!("{}-group", topic.name);
    clients[0].await_group(&group)?;
    let shared = Shared {
        group,
        topic,
        heartbeat: nanos(heartbeat),
        owners: (0..partitions).map(|_| AtomicU32::new(0)).collect(),
        members: (0..members).map(|_| (AtomicI64::new(0), AtomicU32::new(0))).collect(),
        changed: AtomicU64::new(0),
        heartbeats: AtomicU64::new(0),
        leaves: AtomicBool::new(false),
        done: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    let threads = clients.len();
    thread::scope(|scope| {
        for (place, client) in clients.into_iter().enumerate() {
            let mine = (0..members).skip(place).step_by(threads).map(|number| Member::new(&shared, number));
            let (mine, shared) = (mine.collect(), &shared);
            scope.spawn(move || shared.drive(client, mine));
        }
        let stable = shared.await_stable().and_then(|joined| {
            shared.leaves.store(true, SeqCst);
            Ok((joined, shared.await_stable()?))
        });
        shared.done.store(true, SeqCst);
        let (joined, left) = stable?;
        Ok(Rebalance { joined, left, heartbeats: shared.heartbeats.load(SeqCst), usage: None })
    })
}

impl Shared {
    /// Waits until the group is stable: how long it was from now to the last that a member was told.
    fn await_stable(&self) -> Result<Duration, MeasureError> {
        let start = now();
        loop {
            if let Some(failure) = self.failure.lock().expect("nothing panics while it holds the lock").take()
            {
                return Err(failure);
            }
            if self.is_stable() {
                let changed = self.changed.load(SeqCst);
                return Ok(Duration::from_nanos(changed.saturating_sub(start)));
            }
            if now() - start > PATIENCE {
                return Err(std::io::Error::other("the group is not stable after two minutes").into());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether all who are to be there are, in one epoch, and have all partitions evenly.
    fn is_stable(&self) -> bool {
        let leaves = self.leaves.load(SeqCst);
        let (mut epochs, mut counts) = (BTreeSet::new(), Vec::new());
        for (number, (epoch, count)) in self.members.iter().enumerate() {
            let epoch = epoch.load(SeqCst);
            match leaves && is_leaver(number as u32) {
                true if epoch == GONE => {}
                true => return false,
                false => {
                    epochs.insert(epoch);
                    counts.push(count.load(SeqCst));
                }
            }
        }
        let all: u32 = counts.iter().sum();
        let spread = counts.iter().max().zip(counts.iter().min()).map_or(0, |(most, least)| most - least);
        epochs.len() == 1 && !epochs.contains(&0) && all as usize == self.owners.len() && spread <= 1
    }

    /// Lets members say in turn what they have to say, until all is done.
    fn drive(&self, mut client: Client, mut members: Vec<Member>) {
        let mut failed = None;
        while !self.done.load(SeqCst) && failed.is_none() {
            let (time, leaves) = (now(), self.leaves.load(SeqCst));
            let mut next = time + nanos(LOOK_EVERY);
            for member in &mut members {
                let is_leaving = leaves && is_leaver(member.number) && member.epoch != LEAVE;
                if !is_leaving && member.due > time {
                    next = next.min(member.due);
                    continue;
                }
                next = time;
                if let Err(error) = member.beat(&mut client, self, is_leaving) {
                    failed = Some(error);
                    break;
                }
            }
            thread::sleep(Duration::from_nanos(next.saturating_sub(now())));
        }
        if let Some(failed) = failed {
            *self.failure.lock().expect("nothing panics while it holds the lock") = Some(failed);
        }
    }
}

fn is_leaver(number: u32) -> bool {
    number.is_multiple_of(LEAVES_OF)
}

impl Member {
    fn new(shared: &Shared, number: u32) -> Member {
        let id = format!("{}-{number}", shared.group);
        Member { number, id, epoch: 0, owned: BTreeSet::new(), is_news: false, due: 0 }
    }

    fn request(&self, shared: &Shared, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        let joins = epoch == 0;
        let owned = ConsumerGroupHeartbeatTopicPartitions {
            topic_id: shared.topic.id,
            partitions: self.owned.iter().copied().collect(),
        };
        let owned = if self.owned.is_empty() { Vec::new() } else { vec![owned] };
        ConsumerGroupHeartbeatRequest {
            group_id: shared.group.clone(),
            member_id: self.id.clone(),
            member_epoch: epoch,
            rebalance_timeout_ms: if joins { 60_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec![shared.topic.name.clone()]),
            topic_partitions: (joins || self.is_news).then_some(owned),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    fn beat(&mut self, client: &mut Client, shared: &Shared, leaves: bool) -> Result<(), MeasureError> {
        let asked = self.request(shared, if leaves { LEAVE } else { self.epoch });
        if leaves {
            self.give_up(shared, |_| true);
        }
        let answer = client.call(&asked)?;
        shared.heartbeats.fetch_add(1, SeqCst);
        match ErrorCode::try_from(answer.error_code) {
            Ok(ErrorCode::None) => {}
            Ok(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) => {
                self.give_up(shared, |_| true);
                (self.epoch, self.due) = (0, now());
                return Ok(());
            }
            _ if is_passing(answer.error_code) => {
                self.due = now() + PAUSE;
                return Ok(());
            }
            _ => return Ok(refuse("ConsumerGroupHeartbeat", answer.error_code, answer.error_message)?),
        }
        let is_new = answer.assignment.is_some() || answer.member_epoch != self.epoch;
        self.take(shared, answer)?;
        if is_new {
            shared.changed.fetch_max(now(), SeqCst);
        }
        Ok(())
    }

    /// Takes in what it is told.
    fn take(&mut self, shared: &Shared, answer: ConsumerGroupHeartbeatResponse) -> Result<(), ClientError> {
        self.epoch = answer.member_epoch;
        self.is_news = answer.assignment.is_some();
        if let Some(assignment) = answer.assignment {
            let all = assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions);
            let assigned: BTreeSet<i32> = all.collect();
            self.give_up(shared, |partition| !assigned.contains(partition));
            for partition in assigned {
                let is_added = self.owned.insert(partition);
                if is_added && shared.owners[partition as usize].fetch_add(1, SeqCst) > 0 {
                    let topic = shared.topic.name.clone();
                    return Err(ClientError::Topic { topic, problem: "a partition has two owners" });
                }
            }
        }
        self.due = if self.is_news { now() } else { now() + shared.heartbeat };
        let (epoch, count) = &shared.members[self.number as usize];
        count.store(self.owned.len() as u32, SeqCst);
        epoch.store(i64::from(self.epoch), SeqCst);
        if self.epoch == LEAVE {
            self.due = u64::MAX;
        }
        Ok(())
    }

    fn give_up(&mut self, shared: &Shared, which: impl Fn(&i32) -> bool) {
        for partition in self.owned.extract_if(.., which) {
            shared.owners[partition as usize].fetch_sub(1, SeqCst);
        }
        shared.members[self.number as usize].1.store(self.owned.len() as u32, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_protocol::Uuid;
    use strandline_protocol::messages::ConsumerGroupHeartbeatAssignment;

    fn shared(members: &[(i64, u32)], partitions: u32) -> Shared {
        Shared {
            group: "g".to_owned(),
            topic: Topic { name: "t".to_owned(), id: Uuid::nil(), leaders: Vec::new() },
            heartbeat: SECOND,
            owners: (0..partitions).map(|_| AtomicU32::new(0)).collect(),
            members: members.iter().map(|(epoch, count)| ((*epoch).into(), (*count).into())).collect(),
            changed: AtomicU64::new(0),
            heartbeats: AtomicU64::new(0),
            leaves: AtomicBool::new(false),
            done: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    fn told(epoch: i32, partitions: &[i32]) -> ConsumerGroupHeartbeatResponse {
        let topic =
            ConsumerGroupHeartbeatTopicPartitions { topic_id: Uuid::nil(), partitions: partitions.to_vec() };
        ConsumerGroupHeartbeatResponse {
            member_epoch: epoch,
            assignment: Some(ConsumerGroupHeartbeatAssignment { topic_partitions: vec![topic] }),
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }

    #[test]
    fn a_group_is_stable_when_everybody_has_a_share_in_one_epoch() {
        for (members, is_stable) in [
            (&[(3, 2), (3, 2), (3, 1)][..], true),
            (&[(3, 2), (2, 2), (3, 1)], false),
            (&[(3, 2), (3, 2), (3, 0)], false),
            (&[(3, 3), (3, 1), (3, 1)], false),
            (&[(0, 2), (0, 2), (0, 1)], false),
        ] {
            assert_eq!(shared(members, 5).is_stable(), is_stable, "{members:?}");
        }
        let leaving = shared(&[(3, 0), (4, 3), (4, 2)], 5);
        leaving.leaves.store(true, SeqCst);
        assert!(!leaving.is_stable(), "the first has not left yet");
        leaving.members[0].0.store(GONE, SeqCst);
        assert!(leaving.is_stable());
    }

    #[test]
    fn a_partition_with_two_owners_is_found() {
        let shared = shared(&[(0, 0), (0, 0)], 3);
        let (mut one, mut other) = (Member::new(&shared, 0), Member::new(&shared, 1));
        one.take(&shared, told(1, &[0, 1, 2])).unwrap();
        one.take(&shared, told(1, &[0, 1])).unwrap();
        other.take(&shared, told(2, &[2])).unwrap();
        assert!(other.take(&shared, told(2, &[1, 2])).is_err());
    }
}
