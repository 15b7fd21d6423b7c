//! Random lives, with members of both protocols. What must hold at every moment: no partition is used by two
//! members. When everybody is quiet: every partition is used. And what the log says is what is here.

use std::collections::BTreeSet;

use super::*;
use crate::groups::member::{Identity, Join, Protocol, Sync};
use strandline_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};

const SEEDS: u64 = 100;
const STEPS: usize = 250;

/// A consumer as it sees itself.
struct Client {
    epoch: i32,
    /// What it reads from.
    uses: Assignment,
    /// What it was told last, with which it goes on.
    told: Assignment,
    /// Whether it has not heard the answer to what it said, and says all again.
    is_unsure: bool,
    topics: BTreeSet<&'static str>,
    speaks: Speaks,
    /// Silent from now on.
    is_gone: bool,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speaks {
    Consumer,
    /// The classic protocol. With its join it gives up everything, or what it was told to before.
    Classic {
        is_eager: bool,
        next: Next,
    },
}

/// What a client of the classic protocol says next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Join,
    Sync,
    Heartbeat,
}

struct World {
    rng: fastrand::Rng,
    now: i64,
    topics: BTreeMap<&'static str, (u8, u32)>,
    table: Arc<TopicTable>,
    next_topic: u8,
    clients: BTreeMap<String, Client>,
    group: ConsumerGroup,
    settings: ConsumerSettings,
    /// A survey that goes on beside the group.
    ongoing: Option<Ongoing>,
    /// What the log says: the newest record of each key.
    log: BTreeMap<String, ConsumerChange>,
    /// Whether the log has not taken something that has not been made up for.
    is_torn: bool,
    faults: bool,
    /// Whether everything is heard, and nobody is slow.
    is_calm: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = ConsumerSettings {
            assignment_interval_ms: *rng.choice(&[0, 1000, 5000]).unwrap(),
            units_at_once: *rng.choice(&[0, 20, 1 << 20]).unwrap(),
            ..settings()
        };
        World {
            now: 1,
            topics: BTreeMap::new(),
            table: Arc::default(),
            next_topic: 0,
            clients: BTreeMap::new(),
            group: ConsumerGroup::new("g", settings),
            settings,
            ongoing: None,
            log: BTreeMap::new(),
            is_torn: false,
            faults: rng.bool(),
            is_calm: false,
            rng,
        }
    }

    fn step(&mut self) {
        self.now += self.rng.i64(0..3000);
        match self.rng.u8(..20) {
            0 => self.change_topics(),
            1 => self.join(),
            2 if self.rng.bool() => self.fall_silent(),
            3 => self.leave(),
            4 if self.rng.u8(..4) == 0 => self.restart(),
            5 => self.change_subscription(),
            6..10 => self.survey(),
            _ => self.beat(),
        }
        self.tick();
        self.check();
    }

    fn change_topics(&mut self) {
        let name = *self.rng.choice(&["t", "u", "v"]).unwrap();
        match (self.topics.get_mut(name), self.rng.u8(..3)) {
            (Some(_), 0) => _ = self.topics.remove(name),
            (Some((_, partitions)), _) => *partitions += 1,
            (None, _) => {
                self.next_topic += 1;
                self.topics.insert(name, (self.next_topic, self.rng.u32(1..8)));
            }
        }
        let topics: Vec<_> = self.topics.iter().map(|(name, (id, count))| (*name, *id, *count)).collect();
        self.table = super::table(&topics);
    }

    fn some_topics(&mut self) -> BTreeSet<&'static str> {
        ["t", "u", "v"].into_iter().filter(|_| self.rng.u8(..3) > 0).collect()
    }

    fn join(&mut self) {
        let id = format!("m{}", self.rng.u8(..6));
        let topics = self.some_topics();
        let speaks = match self.rng.bool() {
            true => Speaks::Consumer,
            false => Speaks::Classic { is_eager: self.rng.bool(), next: Next::Join },
        };
        let new = || Client {
            speaks,
            epoch: 0,
            uses: Assignment::default(),
            told: Assignment::default(),
            is_unsure: true,
            topics: topics.clone(),
            is_gone: false,
        };
        let client = self.clients.entry(id.clone()).or_insert_with(new);
        if client.is_gone {
            *client = new();
        }
        self.say(&id);
    }

    fn some_client(&mut self) -> Option<String> {
        let ids: Vec<_> =
            self.clients.iter().filter(|(_, client)| !client.is_gone).map(|(id, _)| id).collect();
        self.rng.choice(ids).cloned()
    }

    fn fall_silent(&mut self) {
        if let Some(id) = self.some_client() {
            self.clients.get_mut(&id).unwrap().is_gone = true;
        }
    }

    fn change_subscription(&mut self) {
        let topics = self.some_topics();
        if let Some(id) = self.some_client() {
            let client = self.clients.get_mut(&id).unwrap();
            (client.topics, client.is_unsure) = (topics, true);
            if let Speaks::Classic { next, .. } = &mut client.speaks {
                *next = Next::Join;
            }
            self.say(&id);
        }
    }

    fn beat(&mut self) {
        if let Some(id) = self.some_client() {
            self.say(&id);
        }
    }

    fn leave(&mut self) {
        let Some(id) = self.some_client() else { return };
        let client = self.clients.remove(&id).unwrap();
        self.write(|group, topics, changes| match client.speaks {
            Speaks::Consumer => drop(group.heartbeat(0, topics, &super::beat(&id, -1), changes)),
            Speaks::Classic { .. } => *changes = group.leave_classic(&[identity(&id, 0)]).1,
        });
    }

    /// A client says that it is alive, and takes in what it is told.
    fn say(&mut self, id: &str) {
        match self.clients[id].speaks {
            Speaks::Consumer => self.say_in_consumer(id),
            Speaks::Classic { is_eager, next: Next::Join } => self.say_join(id, is_eager),
            Speaks::Classic { next: Next::Sync, .. } => self.say_sync(id),
            Speaks::Classic { next: Next::Heartbeat, .. } => self.say_heartbeat(id),
        }
    }

    fn say_in_consumer(&mut self, id: &str) {
        let client = self.clients.get_mut(id).unwrap();
        // What it was told to give up it has given up by now, or it takes its time.
        let has_given_up = self.is_calm || self.rng.u8(..3) > 0;
        if has_given_up {
            client.uses = client.told.clone();
        }
        let mut said = owning(id, client.epoch, &client.uses);
        if client.epoch == 0 || client.is_unsure {
            said.topics = Some(client.topics.iter().map(|topic| (*topic).to_owned()).collect());
            said.rebalance_timeout_ms = Some(REBALANCE_MS);
        }
        let now = self.now;
        let (mut told, mut is_told) = (None, None);
        let stored = self.write(|group, topics, changes| {
            told = Some(group.heartbeat(now, topics, &said, changes).map_err(|refusal| refusal.code));
        });
        let told = told.unwrap();
        let is_heard = stored && (self.is_calm || self.rng.u8(..10) > 0);
        let client = self.clients.get_mut(id).unwrap();
        client.is_unsure = !is_heard;
        if !is_heard {
            return;
        }
        match told {
            Ok(told) => {
                client.epoch = told.epoch;
                is_told = Some(told.epoch);
                if let Some(assignment) = told.assignment {
                    // It reads from what is new at once.
                    for (topic, at) in assignment.iter() {
                        client.uses.insert(topic, at);
                    }
                    client.told = assignment;
                }
            }
            Err(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) => {
                (client.epoch, client.is_unsure) = (0, true);
                (client.uses, client.told) = Default::default();
            }
            // The log does not take what it would be told, and was asked to a moment ago.
            Err(ErrorCode::CoordinatorNotAvailable) => client.is_unsure = true,
            Err(error) => panic!("{error:?}"),
        }
        if let Some(epoch) = is_told {
            assert_eq!(
                self.loaded().members[id].held.epoch,
                epoch,
                "D9: {id} was told what is not in the log"
            );
        }
    }

    /// A client of the classic protocol joins, and says what it owns.
    fn say_join(&mut self, id: &str, is_eager: bool) {
        let client = self.clients.get_mut(id).unwrap();
        client.uses = if is_eager { Assignment::default() } else { client.told.clone() };
        let names: BTreeMap<_, _> =
            self.topics.iter().map(|(name, (number, _))| (topic(*number), *name)).collect();
        let owned = client.uses.topics().filter_map(|(id, partitions)| {
            let partitions = partitions.iter().copied().collect();
            Some(TopicPartition { topic: (*names.get(&id)?).to_owned(), partitions })
        });
        let said = ConsumerProtocolSubscription {
            topics: client.topics.iter().map(|topic| (*topic).to_owned()).collect(),
            owned_partitions: owned.collect(),
            ..Default::default()
        };
        let join = Join {
            member_id: id.to_owned(),
            session_timeout_ms: SESSION_MS as i32,
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: "range".to_owned(), metadata: said.encode().unwrap() }],
            ..Join::default()
        };
        let (now, mut joined) = (self.now, None);
        let stored =
            self.write(|group, topics, changes| joined = Some(group.join(now, topics, &join, changes)));
        let joined = joined.unwrap();
        if !self.is_heard(id, stored) {
        } else if joined.error != ErrorCode::None {
            self.begin_anew(id, joined.error);
        } else {
            self.move_on(id, joined.generation, Next::Sync);
            let epoch = self.loaded().members[id].held.epoch;
            assert_eq!(epoch, joined.generation, "D9: {id} was told what is not in the log");
        }
    }

    fn say_sync(&mut self, id: &str) {
        let sync = Sync { identity: identity(id, self.clients[id].epoch), ..Sync::default() };
        let (now, mut synced) = (self.now, None);
        let stored =
            self.write(|group, topics, changes| synced = Some(group.sync(now, topics, &sync, changes)));
        if !self.is_heard(id, stored) {
            return;
        }
        match synced.unwrap() {
            Ok(synced) => {
                let given = ConsumerProtocolAssignment::decode(&synced.assignment).unwrap();
                let given = given.assigned_partitions.into_iter().flat_map(|given| {
                    let id = topic(self.topics[given.topic.as_str()].0);
                    given.partitions.into_iter().map(move |at| (id, at))
                });
                let told: Assignment = given.collect();
                let client = self.clients.get_mut(id).unwrap();
                // What it has to give up it gives up by its next join, which comes at once.
                let has_to_give_up = !client.uses.is_within(&told);
                client.uses = client.uses.iter().chain(told.iter()).collect();
                client.told = told;
                let epoch = client.epoch;
                self.move_on(id, epoch, if has_to_give_up { Next::Join } else { Next::Heartbeat });
            }
            Err(error) => self.begin_anew(id, error),
        }
    }

    fn say_heartbeat(&mut self, id: &str) {
        let identity = identity(id, self.clients[id].epoch);
        let (now, mut alive) = (self.now, None);
        self.write(|group, topics, changes| {
            alive = Some(group.heartbeat_classic(now, topics, &identity, changes));
        });
        if self.is_heard(id, true)
            && let Some(Err(error)) = alive
        {
            self.begin_anew(id, error);
        }
    }

    /// A client of the classic protocol has to join again; without what it has, when it is not in the
    /// generation any more.
    fn begin_anew(&mut self, id: &str, error: ErrorCode) {
        let client = self.clients.get_mut(id).unwrap();
        match error {
            ErrorCode::RebalanceInProgress => {}
            ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId => {
                (client.uses, client.told) = Default::default();
            }
            error => panic!("{error:?}"),
        }
        let epoch = client.epoch;
        self.move_on(id, epoch, Next::Join);
    }

    fn move_on(&mut self, id: &str, epoch: i32, to: Next) {
        let client = self.clients.get_mut(id).unwrap();
        client.epoch = epoch;
        if let Speaks::Classic { next, .. } = &mut client.speaks {
            *next = to;
        }
    }

    fn is_heard(&mut self, id: &str, stored: bool) -> bool {
        let is_heard = stored && (self.is_calm || self.rng.u8(..10) > 0);
        self.clients.get_mut(id).unwrap().is_unsure = !is_heard;
        is_heard
    }

    /// Whether what changes is in the log.
    fn write(
        &mut self,
        change: impl FnOnce(&mut ConsumerGroup, &Arc<TopicTable>, &mut Vec<ConsumerChange>),
    ) -> bool {
        let mut changes = Vec::new();
        change(&mut self.group, &self.table, &mut changes);
        if let Some(ongoing) = self.group.take_ongoing() {
            assert!(self.ongoing.replace(ongoing).is_none(), "one at a time");
        }
        let write = self.group.begin_write();
        if self.faults && self.rng.u8(..15) == 0 && !changes.is_empty() {
            self.group.unstored();
            self.is_torn = true;
            return false;
        }
        if !changes.is_empty() {
            self.is_torn = false;
        }
        self.group.stored(write);
        for change in changes {
            let key = format!("{:?}", key_of(&change));
            self.log.insert(key, change);
        }
        true
    }

    fn tick(&mut self) {
        let now = self.now;
        self.write(|group, _, changes| *changes = group.tick(now));
    }

    /// A survey that is on its way comes to its end.
    fn survey(&mut self) {
        let now = self.now;
        if let Some(Ongoing { working, token }) = self.ongoing.take() {
            self.write(|group, _, changes| *changes = group.surveyed(now, &token, working.finish_now()));
        }
    }

    fn loaded(&self) -> ConsumerGroup {
        let mut group = ConsumerGroup::unread("g", self.settings);
        self.log.values().cloned().for_each(|change| group.load(change));
        group.resume(self.now);
        group
    }

    fn restart(&mut self) {
        (self.group, self.is_torn, self.ongoing) = (self.loaded(), false, None);
    }

    fn check(&self) {
        let mut users = BTreeMap::new();
        for (id, client) in &self.clients {
            // One that is out has been out of time, and stops on its own.
            if !self.group.members.contains_key(id) {
                continue;
            }
            for partition in client.uses.iter() {
                assert_eq!(users.insert(partition, id), None, "two read from {partition:?}");
            }
        }
        let all = self.group.members.values().flat_map(|member| member.held.all());
        let all: Vec<_> = all.collect();
        let distinct: HashSet<_> = all.iter().copied().collect();
        assert_eq!((all.len(), &distinct), (distinct.len(), &self.group.taken));
        if !self.is_torn {
            let loaded = self.loaded();
            // One that nobody has been assigned anything in is found as one that waits for it.
            let is_assigned = self.group.assigned_at > 0;
            let epochs = |group: &ConsumerGroup| (group.epoch, group.target_epoch);
            assert!(epochs(&loaded) == epochs(&self.group) || !is_assigned, "{loaded:?} {:?}", self.group);
            assert_eq!(loaded.targets, self.group.targets);
            let held = |group: &ConsumerGroup| -> Vec<_> {
                group.members.iter().map(|(id, member)| (id.clone(), member.held.clone())).collect()
            };
            assert_eq!(held(&loaded), held(&self.group));
        }
    }

    /// Nothing changes any more, and everybody says something until all have what they shall have.
    fn settle(&mut self) {
        (self.faults, self.is_calm) = (false, true);
        self.now += SESSION_MS + 1;
        self.clients.retain(|_, client| !client.is_gone);
        self.tick();
        let ids: Vec<_> = self.clients.keys().cloned().collect();
        for _ in 0..90 {
            self.now += 1000;
            ids.iter().for_each(|id| self.say(id));
            self.survey();
            self.tick();
            self.check();
        }
        assert!(matches!(self.group.state(), State::Stable | State::Empty), "{:#?}", self.group);
        for (name, (id, count)) in &self.topics {
            let wanted = self.clients.values().any(|client| client.topics.contains(name));
            let used = |at: &i32| self.clients.values().any(|client| client.uses.contains(topic(*id), *at));
            if wanted {
                assert!((0..*count as i32).all(|at| used(&at)), "{name} is not read in full");
            }
        }
        assert!(self.group.members.values().all(|member| member.held.stage == Stage::Stable));
    }
}

fn identity(id: &str, generation: i32) -> Identity {
    Identity { member_id: id.to_owned(), instance_id: None, generation }
}

fn key_of(change: &ConsumerChange) -> ConsumerChange {
    match change.clone() {
        ConsumerChange::Epoch(key, _) => ConsumerChange::Epoch(key, None),
        ConsumerChange::Member(key, _) => ConsumerChange::Member(key, None),
        ConsumerChange::TargetEpoch(key, _) => ConsumerChange::TargetEpoch(key, None),
        ConsumerChange::Target(key, _) => ConsumerChange::Target(key, None),
        ConsumerChange::Current(key, _) => ConsumerChange::Current(key, None),
        ConsumerChange::Regex(key, _) => ConsumerChange::Regex(key, None),
    }
}

#[test]
fn d9_in_random_lives_no_partition_is_with_two_members_and_all_of_them_come_to_their_targets() {
    for seed in 0..SEEDS {
        let lived = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..STEPS).for_each(|_| world.step());
            world.settle();
        });
        assert!(lived.is_ok(), "seed {seed}");
    }
}
