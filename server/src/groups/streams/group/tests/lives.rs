//! Random lives. What must hold at every moment: no active task is with two members, and no process has a
//! task twice; a member loses only what it gave up or was fenced from. When everybody is quiet: every task is
//! active, and stood by as often as it can be. And what the log says is what is here.

use std::collections::BTreeSet;

use super::*;

const SEEDS: u64 = 100;
const STEPS: usize = 250;

/// A thread of the application as it sees itself.
struct Client {
    epoch: i32,
    process: String,
    /// What it works on.
    uses: Roles,
    /// What it was told last, with which it goes on.
    told: Roles,
    /// Silent from now on.
    is_gone: bool,
}

struct World {
    rng: fastrand::Rng,
    now: i64,
    topics: BTreeMap<&'static str, (u8, u32)>,
    table: Arc<TopicTable>,
    next_topic: u8,
    clients: BTreeMap<String, Client>,
    group: StreamsGroup,
    settings: StreamsSettings,
    /// A survey that goes on beside the group.
    ongoing: Option<Ongoing>,
    /// What the log says: the newest record of each key.
    log: BTreeMap<String, StreamsChange>,
    /// Whether the log has not taken something that has not been made up for.
    is_torn: bool,
    faults: bool,
    /// Whether everything is heard, and nobody is slow.
    is_calm: bool,
}

/// Two parts: the first reads `s` and writes `r`, the second reads `r` and `t` and keeps a state.
fn application() -> StreamsGroupTopology {
    said(vec![part("0", &["s"], &["r"], &[], &[]), part("1", &["t"], &[], &[("r", 0)], &["l"])])
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = StreamsSettings {
            assignment_interval_ms: *rng.choice(&[0, 1000, 5000]).unwrap(),
            initial_rebalance_delay_ms: *rng.choice(&[0, 3000]).unwrap(),
            units_at_once: *rng.choice(&[0, 20, 1 << 20]).unwrap(),
            standbys: rng.u32(0..3),
            ..settings()
        };
        World {
            now: 1,
            topics: BTreeMap::new(),
            table: Arc::default(),
            next_topic: 0,
            clients: BTreeMap::new(),
            group: StreamsGroup::new("g", settings),
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
            5 if self.rng.u8(..4) == 0 => self.settings.standbys = self.rng.u32(0..3),
            6..10 => self.survey(),
            _ => self.beat(),
        }
        self.tick();
        self.check();
    }

    /// Topics come and grow; those of the application's own as it asks for them, or they go.
    fn change_topics(&mut self) {
        let name = *self.rng.choice(&["s", "t"]).unwrap();
        match (self.topics.get_mut(name), self.rng.u8(..6)) {
            (Some(_), 0) => _ = self.topics.remove(name),
            (Some((_, partitions)), 1) => *partitions += 1,
            (Some(_), _) => {
                let own = *self.rng.choice(&["r", "l"]).unwrap();
                self.topics.remove(own);
            }
            (None, _) => {
                let partitions = self.rng.u32(1..8);
                self.put(name, partitions);
            }
        }
        self.look();
    }

    fn put(&mut self, name: &'static str, partitions: u32) {
        self.next_topic += 1;
        self.topics.insert(name, (self.next_topic, partitions));
    }

    fn look(&mut self) {
        let topics: Vec<_> = self.topics.iter().map(|(name, (id, count))| (*name, *id, *count)).collect();
        self.table = super::table(&topics);
    }

    /// Whoever serves a member creates what the application lacks.
    fn create(&mut self, missing: &[InternalTopic]) {
        for topic in missing {
            let name = if topic.name == "r" { "r" } else { "l" };
            self.put(name, topic.partitions);
        }
        self.look();
    }

    fn join(&mut self) {
        let number = self.rng.u8(..6);
        let (id, process) = (format!("m{number}"), format!("p{}", number % 4));
        let new = || Client {
            epoch: 0,
            process: process.clone(),
            uses: Roles::default(),
            told: Roles::default(),
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

    fn beat(&mut self) {
        if let Some(id) = self.some_client() {
            self.say(&id);
        }
    }

    fn leave(&mut self) {
        let Some(id) = self.some_client() else { return };
        self.clients.remove(&id);
        self.write(|group, topics, changes| {
            let _ = group.heartbeat(0, topics, &super::beat(&id, -1), changes);
        });
    }

    /// A client says that it is alive, and takes in what it is told.
    fn say(&mut self, id: &str) {
        let client = self.clients.get_mut(id).unwrap();
        // What it was told to give up it has given up by now, or it takes its time.
        if self.is_calm || self.rng.u8(..3) > 0 {
            client.uses = client.told.clone();
        }
        let mut said = owning(id, client.epoch, &client.uses);
        said.settings = Some(self.settings);
        if client.epoch == 0 {
            said.topology = Some(application());
            said.rebalance_timeout_ms = Some(REBALANCE_MS);
            said.process_id = Some(client.process.clone());
        }
        let now = self.now;
        let (mut told, mut is_told) = (None, None);
        let stored = self.write(|group, topics, changes| {
            told = Some(group.heartbeat(now, topics, &said, changes).map_err(|refusal| refusal.code));
        });
        let told = told.unwrap();
        if let Ok(told) = &told
            && !told.missing.is_empty()
            && (self.is_calm || self.rng.bool())
        {
            self.create(&told.missing);
        }
        let is_heard = stored && (self.is_calm || self.rng.u8(..10) > 0);
        let client = self.clients.get_mut(id).unwrap();
        if !is_heard {
            return;
        }
        match told {
            Ok(told) => {
                client.epoch = told.epoch;
                is_told = Some(told.epoch);
                if let Some(assignment) = told.assignment {
                    // It works on what is new at once.
                    assignment.active.iter().for_each(|task| client.uses.active.insert(task));
                    assignment.standby.iter().for_each(|task| client.uses.standby.insert(task));
                    client.told = assignment;
                }
            }
            Err(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) => {
                client.epoch = 0;
                (client.uses, client.told) = Default::default();
            }
            // The log does not take what it would be told, and was asked to a moment ago.
            Err(ErrorCode::CoordinatorNotAvailable) => {}
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

    /// Whether what changes is in the log.
    fn write(
        &mut self,
        change: impl FnOnce(&mut StreamsGroup, &Arc<TopicTable>, &mut Vec<StreamsChange>),
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

    fn loaded(&self) -> StreamsGroup {
        let mut group = StreamsGroup::unread("g", self.settings);
        self.log.values().cloned().for_each(|change| group.load(change));
        group.resume(self.now);
        group
    }

    fn restart(&mut self) {
        (self.group, self.is_torn, self.ongoing) = (self.loaded(), false, None);
    }

    fn check(&self) {
        let (mut workers, mut of_process) = (BTreeMap::new(), BTreeMap::new());
        for (id, client) in &self.clients {
            // One that is out has been out of time, and stops on its own.
            if !self.group.members.contains_key(id) {
                continue;
            }
            for task in client.uses.active.iter() {
                assert_eq!(workers.insert(task.clone(), id), None, "two work on {task:?}");
            }
            for task in client.uses.active.iter().chain(client.uses.standby.iter()) {
                let before = of_process.insert((client.process.clone(), task.clone()), id);
                assert!(before.is_none_or(|before| before == id), "{id} and {before:?} have {task:?}");
            }
        }
        let all: Vec<_> = self.group.members.values().flat_map(|member| member.held.active()).collect();
        let distinct: BTreeSet<_> = all.iter().cloned().collect();
        assert_eq!(all.len(), distinct.len());
        assert_eq!(distinct, self.group.working.keys().cloned().collect());
        let standing_by = self.group.members.values().flat_map(|member| member.held.standby()).count();
        assert_eq!(standing_by, self.group.standing_by.values().sum::<usize>());
        if !self.is_torn {
            self.check_log();
        }
    }

    fn check_log(&self) {
        let loaded = self.loaded();
        // One that nobody has been given anything in is found as one that waits for it.
        let epochs = |group: &StreamsGroup| (group.epoch, group.target_epoch, group.validated_epoch);
        let is_assigned = self.group.target_epoch > FIRST;
        assert!(epochs(&loaded) == epochs(&self.group) || !is_assigned, "{loaded:?} {:?}", self.group);
        assert_eq!(loaded.targets, self.group.targets);
        assert_eq!(
            loaded.topology.as_ref().map(|topology| topology.value()),
            self.group.topology.as_ref().map(|topology| topology.value())
        );
        let held = |group: &StreamsGroup| -> Vec<_> {
            let members = group.members.iter();
            members.map(|(id, member)| (id.clone(), member.held.clone(), member.about.clone())).collect()
        };
        assert_eq!(held(&loaded), held(&self.group));
    }

    /// Nothing changes any more, and everybody says something until all have what they shall have.
    fn settle(&mut self) {
        (self.faults, self.is_calm) = (false, true);
        self.now += SESSION_MS + 1;
        self.clients.retain(|_, client| !client.is_gone);
        for name in ["s", "t"] {
            if !self.topics.contains_key(name) {
                self.put(name, 3);
            }
        }
        // Whatever they have become, the application's own are made anew for it.
        self.topics.retain(|name, _| ["s", "t"].contains(name));
        self.look();
        self.tick();
        let ids: Vec<_> = self.clients.keys().cloned().collect();
        for _ in 0..80 {
            self.now += 1000;
            ids.iter().for_each(|id| self.say(id));
            self.survey();
            self.tick();
            self.check();
        }
        if self.clients.is_empty() {
            return;
        }
        assert_eq!(self.group.state(), State::Stable, "{:#?}", self.group);
        let of = |name| self.topics[name].1;
        let (first, second) = (of("s"), of("s").max(of("t")));
        let works =
            |id: &str, at| self.clients.values().any(|client| client.uses.active.contains(&(id.into(), at)));
        assert!((0..first as i32).all(|at| works("0", at)), "a task of the first part is with nobody");
        assert!((0..second as i32).all(|at| works("1", at)), "a task of the second part is with nobody");
        let processes: BTreeSet<_> = self.clients.values().map(|client| &client.process).collect();
        let wanted = (self.settings.standbys as usize).min(processes.len() - 1);
        for at in 0..second as i32 {
            let task = ("1".into(), at);
            let count = self.clients.values().filter(|client| client.uses.standby.contains(&task)).count();
            assert_eq!(count, wanted, "those that stand by {at}");
        }
        assert!(self.group.members.values().all(|member| member.held.stage == Stage::Stable));
    }
}

fn key_of(change: &StreamsChange) -> StreamsChange {
    match change.clone() {
        StreamsChange::Epoch(key, _) => StreamsChange::Epoch(key, None),
        StreamsChange::Member(key, _) => StreamsChange::Member(key, None),
        StreamsChange::TargetEpoch(key, _) => StreamsChange::TargetEpoch(key, None),
        StreamsChange::Target(key, _) => StreamsChange::Target(key, None),
        StreamsChange::Current(key, _) => StreamsChange::Current(key, None),
        StreamsChange::Topology(key, _) => StreamsChange::Topology(key, None),
    }
}

#[test]
fn d9_in_random_lives_no_active_task_is_with_two_members_and_all_of_them_come_to_their_targets() {
    for seed in 0..SEEDS {
        let lived = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..STEPS).for_each(|_| world.step());
            world.settle();
        });
        assert!(lived.is_ok(), "seed {seed}");
    }
}
