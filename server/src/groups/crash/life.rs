//! Plays with groups on one machine: generations of a process, what it is asked, how it ends, and what it
//! must know when it comes back.
//!
//! Functions that drive the machine give `None` when it has stopped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_channel::oneshot::{self, Receiver};
use futures_util::future::join_all;
use strandline_engine::crash::{Ending, Image, Images, Process, Settings, Subject, start};
use strandline_engine::sim::{Clock, SimDisk, Simulation};
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{PartitionId, ProducerEpoch, ProducerId};
use strandline_engine::{Marker, Producer, TransactionResult};
use strandline_protocol::wire::ErrorCode;

use super::consumers::TOPIC;
use super::groups;
use super::known::{Asked, Assigned, Known};
use super::mixed::{Said, Told};
use super::slot::{Endable, Number, Transaction, is_bumped};
use crate::coordination::simulated::{Simulated, Timers, Trouble, some_settings};
use crate::coordination::{StoreError, Transactional};
use crate::groups::records::OffsetValue;
use crate::groups::{Commit, Fetch, Groups, Identity, Join, Joined, OFFSETS_TOPIC, Protocol, Sync, Within};

/// Operations of the disk after which an answer that is still missing never comes.
const PATIENCE: usize = 20_000;

/// Partitions of the topic that offsets are of.
const PARTITIONS: i32 = 3;

/// Groups that there are at the most.
const GROUPS: usize = 4;

/// Producers that there are in each partition of the internal topic.
const PRODUCERS: i64 = 3;

/// How groups commit offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// For themselves.
    Plain,
    /// In transactions as well.
    Transactions,
    /// Not at all: members of consumer groups come and go.
    Consumers,
    /// Not at all: members of streams groups do.
    Streams,
    /// Not at all: members of groups do that come from one protocol to the other.
    Mixed,
}

/// A machine, and what must be known of the groups on it.
pub(super) struct Life {
    seed: u64,
    play: Play,
    rng: Rng,
    simulation: Option<Simulation>,
    clock: Clock,
    trouble: Trouble,
    pub(super) known: Known,
    pending: Vec<Pending>,
    pub(super) images: Option<Images>,
    /// Questions in one generation.
    pub(super) questions_max: usize,
    pub(super) compactions: u64,
}

struct Pending {
    number: Number,
    asked: Asked,
    excused: bool,
    answer: Receiver<Result<(), ErrorCode>>,
}

/// A process with its coordinators.
pub(super) struct Running {
    pub(super) process: Process,
    groups: Groups,
    shards: Vec<Simulated>,
    timers: Timers,
}

impl Running {
    /// Any shard will do to ask.
    fn shard(&self, rng: &mut Rng) -> Simulated {
        self.shards[rng.usize(..self.shards.len())].clone()
    }
}

impl Life {
    pub(super) fn new(seed: u64, play: Play, trouble: Trouble) -> Life {
        Life::on(Simulation::new(seed), play, trouble)
    }

    fn on(mut simulation: Simulation, play: Play, trouble: Trouble) -> Life {
        let (seed, rng, clock) = (simulation.seed(), simulation.rng().fork(), simulation.clock());
        Life {
            seed,
            play,
            rng,
            simulation: Some(simulation),
            clock,
            trouble,
            known: Known::default(),
            pending: Vec::new(),
            images: None,
            questions_max: 80,
            compactions: 0,
        }
    }

    /// Generation after generation, and a last start.
    pub(super) fn generations(&mut self, count: usize) {
        for _ in 0..count {
            let settings = some_settings(&mut self.rng);
            let running = self.begin(&settings);
            let ending = *self.rng.choice(&[Ending::PowerLoss, Ending::Kill, Ending::Stop]).expect("three");
            if self.rng.u8(..4) > 0 {
                let disk = self.disk();
                disk.stop_after(disk.operations() + self.rng.u64(..3000));
            }
            self.work(&running, ending);
            self.compactions += running.process.compactions();
            self.end(running, ending);
        }
        let settings = some_settings(&mut self.rng);
        drop(self.begin(&settings));
    }

    pub(super) fn end(&mut self, running: Running, ending: Ending) {
        drop(running);
        let simulation = self.simulation.take().expect("a machine is there");
        self.simulation = Some(match ending {
            Ending::PowerLoss => simulation.crash(),
            Ending::Kill | Ending::Stop => simulation.kill(),
        });
        // What has no answer now never gets one.
        self.pending.clear();
        self.known.restart();
    }

    fn disk(&self) -> SimDisk {
        self.simulation.as_ref().expect("a machine is there").disk()
    }

    // ---- start --------------------------------------------------------------------------------------------

    /// Starts the process and its coordinators, and compares what they have loaded with what is known.
    pub(super) fn begin(&mut self, settings: &Settings) -> Running {
        Trouble::end(&self.disk());
        let mut simulation = self.simulation.take().expect("a machine is there");
        let started = start(&mut simulation, settings, |disk| self.look(disk));
        self.simulation = Some(simulation);
        let process = started.expect("nothing stops it").expect("the engine starts");
        let timers = Timers::default();
        let shards = Simulated::shards(&process, &self.clock, &timers);
        let groups = groups(shards.len());
        for shard in &shards {
            let simulation = self.simulation.as_ref().expect("a machine is there");
            simulation.spawn(groups.clone().run(shard.clone()));
        }
        let running = Running { process, groups, shards, timers };
        let begun = self
            .make_topics(&running)
            .and_then(|()| self.wait_until_loaded(&running))
            .and_then(|()| self.compare(&running, true));
        assert!(begun.is_some(), "nothing stops it");
        running
    }

    fn make_topics(&mut self, running: &Running) -> Option<()> {
        let there = |name: &str| running.process.topics().by_name(name).is_some();
        assert!(!self.known.topics_made || (there(TOPIC) && there(OFFSETS_TOPIC)), "a topic is lost");
        if !there(TOPIC) {
            let new = NewTopic { name: TOPIC.to_owned(), partitions: PARTITIONS as u32, configs: Vec::new() };
            let made = self.drive(async { running.process.create_topic(new).await.await })?;
            made.expect("an answer").expect("it is created");
        }
        self.drive(running.groups.topic(&running.shards[0]))?.expect("it is created");
        self.known.topics_made = true;
        Some(())
    }

    fn wait_until_loaded(&mut self, running: &Running) -> Option<()> {
        for _ in 0..PATIENCE {
            match self.drive(running.groups.list())? {
                Ok(_) => return Some(()),
                Err(ErrorCode::CoordinatorLoadInProgress) => self.drive(running.process.pass_time(1))?,
                Err(error) => panic!("the groups are not loaded: {error}"),
            }
        }
        panic!("the groups are never loaded\n{}", self.disk().dump());
    }

    // ---- what it is asked ---------------------------------------------------------------------------------

    fn work(&mut self, running: &Running, ending: Ending) {
        let finished = self.try_work(running, ending);
        let disk = &running.process.disk;
        assert!(
            finished.is_some() || disk.operations() >= disk.stop_after_count(),
            "everything waits\n{}",
            disk.dump()
        );
    }

    fn try_work(&mut self, running: &Running, ending: Ending) -> Option<()> {
        for _ in 0..self.rng.usize(..self.questions_max) {
            let group = format!("g{}", self.rng.usize(..GROUPS));
            let kinds = match self.play {
                Play::Plain | Play::Consumers | Play::Streams | Play::Mixed => 24,
                Play::Transactions => 32,
            };
            match self.rng.u8(..kinds) {
                kind @ 0..=14 if self.play == Play::Consumers => self.beat(running, kind == 14)?,
                kind @ 0..=14 if self.play == Play::Streams => self.streams_beat(running, kind == 14)?,
                0..=14 if self.play == Play::Mixed => self.say_mixed(running)?,
                0..=9 => self.commit(running, &group)?,
                24..=27 => self.commit_in_transaction(running, &group)?,
                28..=31 => self.end_transaction(running)?,
                10 => self.delete_offsets(running, &group)?,
                11 => self.delete(running, &group)?,
                12..=13 => self.rebalance(running, &group)?,
                14 => self.leave(running, &group)?,
                15..=16 => {
                    let by = Duration::from_millis(self.rng.u64(..1000));
                    self.pass_time(running, by)?;
                }
                17..=20 => {
                    let operations = self.rng.usize(1..60);
                    self.drive(running.process.pass_time(operations))?;
                }
                21 if self.trouble != Trouble::NONE => {
                    self.known.trouble |= self.trouble.strike(&mut self.rng, &running.process.disk);
                }
                _ => self.compare(running, false)?,
            }
        }
        Trouble::end(&running.process.disk);
        if ending == Ending::Stop {
            self.known.trouble = true;
            drop(self.drive(running.process.stop())?);
        } else if self.rng.bool() {
            self.wait_for_answers(running)?;
        }
        Some(())
    }

    /// Moves the clock, wakes what is due, and lets the tasks run.
    pub(super) fn pass_time(&mut self, running: &Running, by: Duration) -> Option<()> {
        self.clock.advance(by);
        running.process.tick(self.clock.timestamp());
        running.timers.tick(self.clock.timestamp().0);
        self.drive(async {})
    }

    /// Asks without waiting for the answer. What is asked later is behind it in the mailbox.
    fn ask(
        &mut self,
        asked: Asked,
        excused: bool,
        question: impl Future<Output = Result<(), ErrorCode>> + 'static,
    ) -> Option<()> {
        let number = self.known.note(&asked);
        let (sender, answer) = oneshot::channel();
        self.pending.push(Pending { number, asked, excused, answer });
        let simulation = self.simulation.as_ref().expect("a machine is there");
        simulation.spawn(async move {
            let _ = sender.send(question.await);
        });
        self.drive(async {})
    }

    /// Whether a group is being deleted, or is about to rebalance: commits may be refused then.
    fn is_unsettled(&self, group: &str) -> bool {
        let is_disturbed = self.known.members.get(group).is_some_and(|members| members.disturbed);
        let is_deletion =
            |pending: &Pending| matches!(&pending.asked, Asked::Deletion { group: of } if of == group);
        is_disturbed || self.pending.iter().any(is_deletion)
    }

    pub(super) fn commit(&mut self, running: &Running, group: &str) -> Option<()> {
        self.commit_as(running, group, None)
    }

    /// Commits as part of a transaction, unless its producer is about to end one.
    pub(super) fn commit_in_transaction(&mut self, running: &Running, group: &str) -> Option<()> {
        let partition = self.drive(running.groups.partition(&running.shards[0], group))?;
        let partition = i64::from(partition.expect("the topic is there").index);
        let producer = partition * PRODUCERS + self.rng.i64(0..PRODUCERS);
        let Some((transaction, epoch)) = self.known.transactions.open(producer) else { return Some(()) };
        let producer = Producer { id: ProducerId(producer), epoch: ProducerEpoch(epoch) };
        self.commit_as(running, group, Some((transaction, producer)))
    }

    fn go_on_with_transactions(&mut self, running: &Running, group: &str) -> Option<()> {
        if self.play == Play::Transactions {
            self.end_transaction(running)?;
            self.commit_in_transaction(running, group)?;
        }
        Some(())
    }

    fn go_on_with_consumers(&mut self, running: &Running) -> Option<()> {
        for _ in 0..6 {
            match self.play {
                Play::Consumers => self.beat(running, false)?,
                Play::Streams => self.streams_beat(running, false)?,
                Play::Mixed => self.say_mixed(running)?,
                Play::Plain | Play::Transactions => return Some(()),
            }
            self.wait_for_answers(running)?;
        }
        Some(())
    }

    /// A member of a consumer group says something.
    fn beat(&mut self, running: &Running, leaves: bool) -> Option<()> {
        let group = format!("c{}", self.rng.usize(..2));
        let Some(said) = self.known.consumers.say(&mut self.rng, &group, leaves) else { return Some(()) };
        let told = Rc::new(RefCell::new(None));
        let asked = Asked::Beat { group: group.clone(), id: said.member_id.clone(), told: told.clone() };
        let (groups, shard) = (running.groups.clone(), running.shard(&mut self.rng));
        self.ask(asked, false, async move {
            let beat =
                groups.consumer_heartbeat(&shard, group, said).await.map_err(|refusal| refusal.code)?;
            told.replace(Some(beat));
            Ok(())
        })
    }

    /// A member of a streams group says something.
    fn streams_beat(&mut self, running: &Running, leaves: bool) -> Option<()> {
        let group = format!("s{}", self.rng.usize(..2));
        let Some(said) = self.known.threads.say(&mut self.rng, &group, leaves) else { return Some(()) };
        let told = Rc::new(RefCell::new(None));
        let id = said.member_id.clone();
        let asked = Asked::StreamsBeat { group: group.clone(), id, told: told.clone() };
        let (groups, shard) = (running.groups.clone(), running.shard(&mut self.rng));
        self.ask(asked, false, async move {
            let beat = groups.streams_heartbeat(&shard, group, said).await.map_err(|refusal| refusal.code)?;
            told.replace(Some(beat));
            Ok(())
        })
    }

    /// A member of a group says something that comes from one protocol to the other.
    fn say_mixed(&mut self, running: &Running) -> Option<()> {
        let group = format!("m{}", self.rng.usize(..2));
        let Some((id, said)) = self.known.mixed.say(&mut self.rng, &group, PARTITIONS) else {
            return Some(());
        };
        let told = Rc::new(RefCell::new(None));
        let topics = running.process.topics();
        let asked = Asked::Mixed { group: group.clone(), id, told: told.clone(), topics };
        let (groups, shard) = (running.groups.clone(), running.shard(&mut self.rng));
        self.ask(asked, false, async move {
            let answer = match said {
                Said::Beat(said) => {
                    let beaten = groups.consumer_heartbeat(&shard, group, said).await;
                    Told::Beat(beaten.map_err(|refusal| refusal.code)?)
                }
                Said::Join(join) => {
                    let joined = groups.join(&shard, group, join).await?;
                    refusal([joined.error])?;
                    Told::Joined(joined)
                }
                Said::Sync(sync) => {
                    let synced = groups.sync(&shard, group, sync).await?;
                    refusal([synced.error])?;
                    Told::Synced(synced)
                }
                Said::Alive(identity) => {
                    groups.heartbeat(&shard, group, identity).await?;
                    Told::Alive
                }
                Said::Leave(identity) => {
                    refusal(
                        groups
                            .leave(&shard, group, vec![identity])
                            .await?
                            .into_iter()
                            .filter_map(Result::err),
                    )?;
                    Told::Left
                }
            };
            told.replace(Some(answer));
            Ok(())
        })?;
        // The first member of a classic group waits for more.
        self.pass_time(running, Duration::from_millis(20))
    }

    /// What a start has found of groups that come from one protocol to the other.
    fn compare_mixed(&mut self, running: &Running) -> Option<()> {
        for group in ["m0", "m1"] {
            let asked = running.groups.describe_consumer(&running.shards[0], group.to_owned(), usize::MAX);
            let Ok(Within::All(consumer, _)) = self.drive(asked)? else { panic!("{group} cannot be asked") };
            let asked = running.groups.describe(&running.shards[0], group.to_owned(), usize::MAX);
            let Ok(Within::All(classic, _)) = self.drive(asked)? else { panic!("{group} cannot be asked") };
            self.known.mixed.see(group, classic.as_ref(), consumer.as_ref(), &running.process.topics());
        }
        Some(())
    }

    /// What a start has found of streams groups.
    fn compare_streams(&mut self, running: &Running) -> Option<()> {
        for group in ["s0", "s1"] {
            let asked = running.groups.describe_streams(&running.shards[0], group.to_owned(), usize::MAX);
            let Ok(Within::All(found, _)) = self.drive(asked)? else { panic!("{group} cannot be asked") };
            self.known.threads.see(group, found.as_ref());
        }
        Some(())
    }

    /// What a start has found of consumer groups.
    fn compare_consumers(&mut self, running: &Running) -> Option<()> {
        for group in ["c0", "c1"] {
            let asked = running.groups.describe_consumer(&running.shards[0], group.to_owned(), usize::MAX);
            let Ok(Within::All(found, _)) = self.drive(asked)? else { panic!("{group} cannot be asked") };
            self.known.consumers.see(group, found.as_ref());
        }
        Some(())
    }

    /// Ends a transaction, or tells again how one ends whose end was not acknowledged.
    pub(super) fn end_transaction(&mut self, running: &Running) -> Option<()> {
        let endable = self.known.transactions.endable();
        let Some(Endable { producer, epoch, transaction, decided }) = self.rng.choice(endable) else {
            return Some(());
        };
        let decide = || match self.rng.u8(..3) {
            0 => TransactionResult::Abort,
            _ => TransactionResult::Commit,
        };
        let result = decided.unwrap_or_else(decide);
        let bumped = is_bumped(producer);
        let epoch = ProducerEpoch(epoch + i16::from(bumped));
        let of = Producer { id: ProducerId(producer), epoch };
        let marker = Marker { producer: of, coordinator_epoch: 0, result, bumped };
        let topics = running.process.topics();
        let topic = topics.by_name(OFFSETS_TOPIC).expect("it is there").id;
        let partition = PartitionId::new(topic, (producer / PRODUCERS) as u32);
        let (groups, shard) = (running.groups.clone(), running.shard(&mut self.rng));
        self.ask(Asked::End { transaction, result }, false, async move {
            let ended = groups.end_transaction(&shard, partition, marker).await?;
            ended.map_err(|error| StoreError::from(&error).into())
        })
    }

    fn commit_as(
        &mut self,
        running: &Running,
        group: &str,
        transaction: Option<(Transaction, Producer)>,
    ) -> Option<()> {
        let mut offsets = BTreeMap::new();
        for _ in 0..self.rng.usize(1..=3) {
            // No two commits are of one offset.
            offsets.insert(self.rng.i32(0..PARTITIONS), Some(self.rng.i64(1..i64::MAX)));
        }
        let metadata = "m".repeat(self.rng.usize(..100));
        let value = |(at, offset): (&i32, &Option<i64>)| {
            let offset = offset.expect("it is committed");
            (
                *at,
                OffsetValue {
                    offset,
                    metadata: metadata.clone(),
                    expire_timestamp: -1,
                    ..Default::default()
                },
            )
        };
        let values = vec![(TOPIC.to_owned(), offsets.iter().map(value).collect())];
        let identity = self.identity(group);
        let commit = Commit {
            identity,
            unknown: ErrorCode::IllegalGeneration,
            offsets: values,
            transaction: transaction.map(|(_, producer)| Transactional { producer, verified: None }),
        };
        let (groups, shard, of) = (running.groups.clone(), running.shard(&mut self.rng), group.to_owned());
        // A group that has nobody and nothing goes at the next look at what has expired, and is refused
        // meanwhile.
        let excused = self.is_unsettled(group) || self.known.has_no_offsets(group);
        let transaction = transaction.map(|(transaction, _)| transaction);
        let asked = Asked::Offsets { group: group.to_owned(), offsets, transaction };
        self.ask(asked, excused, async move {
            let codes = groups.commit(&shard, of, commit).await?;
            refusal(codes.into_iter().flat_map(|(_, codes)| codes).map(|(_, code)| code))
        })
    }

    /// A member of the group, or nobody where there is none.
    fn identity(&mut self, group: &str) -> Identity {
        let assigned =
            self.known.members.get(group).map(|members| members.durable.clone()).unwrap_or_default();
        match assigned.assignments.keys().next() {
            Some(id) => {
                Identity { member_id: id.clone(), instance_id: None, generation: assigned.generation }
            }
            None => Identity { generation: -1, ..Identity::default() },
        }
    }

    fn delete_offsets(&mut self, running: &Running, group: &str) -> Option<()> {
        let at = self.rng.i32(0..PARTITIONS);
        let offsets = BTreeMap::from([(at, None)]);
        let asked = Asked::Offsets { group: group.to_owned(), offsets, transaction: None };
        let (groups, shard, of) = (running.groups.clone(), running.shard(&mut self.rng), group.to_owned());
        // Members may be subscribed to the topic, and there may be no such group.
        self.ask(asked, true, async move {
            let codes = groups.delete_offsets(&shard, of, vec![(TOPIC.to_owned(), vec![at])]).await?;
            refusal(codes.into_iter().flat_map(|(_, codes)| codes).map(|(_, code)| code))
        })
    }

    fn delete(&mut self, running: &Running, group: &str) -> Option<()> {
        let members = self.known.members.entry(group.to_owned()).or_default();
        let excused = members.disturbed || !members.durable.assignments.is_empty();
        let (groups, shard, of) = (running.groups.clone(), running.shard(&mut self.rng), group.to_owned());
        let excused = excused || self.is_unsettled(group);
        let asked = Asked::Deletion { group: group.to_owned() };
        self.ask(asked, excused, async move { groups.delete(&shard, of).await })
    }

    /// Has one more member join, and everybody be assigned something.
    fn rebalance(&mut self, running: &Running, group: &str) -> Option<()> {
        self.wait_for_answers(running)?;
        if self.is_unsettled(group) {
            self.empty(running, group)?;
        }
        let members = self.known.members.entry(group.to_owned()).or_default();
        let newcomer = format!("{group}-{}", members.ids.len());
        members.ids.insert(newcomer.clone());
        // It comes first: members that join again without a reason are told what they know.
        let mut ids = vec![newcomer.clone()];
        ids.extend(members.durable.assignments.keys().cloned());
        let joins: Vec<_> = ids.iter().map(|id| self.join(running, group, id, *id == newcomer)).collect();
        self.drive(async {})?;
        self.pass_time(running, Duration::from_millis(20))?;
        let joined = self.drive(join_all(joins))?;
        let joined: Option<Vec<Joined>> = joined.into_iter().map(|joined| joined.ok()?.ok()).collect();
        let joined = joined.expect("the coordinator goes on");
        if joined.len() == 1 && joined[0].error == ErrorCode::CoordinatorNotAvailable {
            // The group had nobody and nothing, and is going.
            return Some(());
        }
        if let Some(refused) = joined.iter().find(|joined| joined.error != ErrorCode::None) {
            panic!("{} is refused: {}", refused.member_id, refused.error);
        }
        let (generation, leader) = (joined[0].generation, joined[0].leader.clone());
        let assign = |id: &String| (id.clone(), Bytes::from(format!("{id} in {generation}")));
        let assigned = Assigned { generation, assignments: ids.iter().map(assign).collect() };
        for id in ids.iter().filter(|id| **id != leader) {
            let synced = self.sync(running, group, id, generation, Vec::new());
            self.simulation.as_ref().expect("a machine is there").spawn(async { drop(synced.await) });
        }
        let given = assigned.assignments.clone().into_iter().collect();
        let synced = self.sync(running, group, &leader, generation, given);
        let asked = Asked::Assignment { group: group.to_owned(), assigned };
        self.ask(asked, false, async move { synced.await.map(drop) })?;
        self.wait_for_answers(running)
    }

    fn join(
        &mut self,
        running: &Running,
        group: &str,
        id: &str,
        is_new: bool,
    ) -> Receiver<Result<Joined, ErrorCode>> {
        let join = Join {
            member_id: if is_new { String::new() } else { id.to_owned() },
            new_member_id: id.to_owned(),
            session_timeout_ms: i32::MAX,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol {
                name: "range".to_owned(),
                // Version 0, no topics.
                metadata: Bytes::from_static(b"\0\0\0\0\0\0\xff\xff\xff\xff"),
            }],
            ..Join::default()
        };
        let (groups, shard, of) = (running.groups.clone(), running.shard(&mut self.rng), group.to_owned());
        let (sender, answer) = oneshot::channel();
        let simulation = self.simulation.as_ref().expect("a machine is there");
        simulation.spawn(async move { drop(sender.send(groups.join(&shard, of, join).await)) });
        answer
    }

    fn sync(
        &mut self,
        running: &Running,
        group: &str,
        id: &str,
        generation: i32,
        assignments: Vec<(String, Bytes)>,
    ) -> impl Future<Output = Result<Bytes, ErrorCode>> + use<> {
        let identity = Identity { member_id: id.to_owned(), instance_id: None, generation };
        let sync = Sync { identity, assignments, ..Sync::default() };
        let (groups, shard, of) = (running.groups.clone(), running.shard(&mut self.rng), group.to_owned());
        async move {
            let synced = groups.sync(&shard, of, sync).await?;
            refusal([synced.error]).map(|()| synced.assignment)
        }
    }

    /// Somebody leaves, if there is anybody: the others, if there are any, will rebalance.
    fn leave(&mut self, running: &Running, group: &str) -> Option<()> {
        self.wait_for_answers(running)?;
        let members = self.known.members.entry(group.to_owned()).or_default();
        let Some(id) = members.durable.assignments.keys().next().cloned() else { return Some(()) };
        if members.disturbed {
            return self.empty(running, group);
        }
        members.disturbed = true;
        self.remove(running, group, vec![id])
    }

    /// Everybody leaves who is still there.
    fn empty(&mut self, running: &Running, group: &str) -> Option<()> {
        let found = self.drive(running.groups.describe(&running.shards[0], group.to_owned(), usize::MAX))?;
        let Ok(Within::All(found, _)) = found else { panic!("{group} is not described: {found:?}") };
        let ids = found.into_iter().flat_map(|found| found.members).map(|member| member.member_id).collect();
        self.known.members.entry(group.to_owned()).or_default().durable = Assigned::default();
        self.remove(running, group, ids)
    }

    fn remove(&mut self, running: &Running, group: &str, ids: Vec<String>) -> Option<()> {
        let leaving = |member_id| Identity { member_id, instance_id: None, generation: -1 };
        let leaving = ids.into_iter().map(leaving).collect();
        let left = self.drive(running.groups.leave(&running.shards[0], group.to_owned(), leaving))?;
        left.expect("they can leave").into_iter().for_each(|left| left.expect("it was a member"));
        Some(())
    }

    // ---- what it knows ------------------------------------------------------------------------------------

    /// Holds everything that groups say of themselves against what is known.
    pub(super) fn compare(&mut self, running: &Running, is_start: bool) -> Option<()> {
        for group in (0..GROUPS).map(|at| format!("g{at}")) {
            let fetch = Fetch { asked: None, require_stable: false, bytes_max: usize::MAX };
            let asked = running.groups.fetch(&running.shards[0], group.clone(), fetch);
            let Ok(Within::All(found, _)) = self.drive(asked)? else { panic!("{group} cannot be asked") };
            let found = found.into_iter().flat_map(|(_, offsets)| offsets);
            let offset =
                |value: Result<Option<OffsetValue>, _>| value.ok().flatten().expect("it is found").offset;
            let found = found.map(|(at, value)| (at, offset(value))).collect();
            self.known.see_offsets(&group, &found, is_start);
            self.compare_stable(running, &group)?;
            if is_start {
                self.compare_members(running, &group)?;
            }
        }
        if is_start {
            self.compare_consumers(running)?;
            self.compare_streams(running)?;
            self.compare_mixed(running)?;
        }
        Some(())
    }

    /// What a transaction is about to change is told to whoever wants to know.
    fn compare_stable(&mut self, running: &Running, group: &str) -> Option<()> {
        let asked = Some(vec![(TOPIC.to_owned(), (0..PARTITIONS).collect())]);
        let fetch = Fetch { asked, require_stable: true, bytes_max: usize::MAX };
        let asked = running.groups.fetch(&running.shards[0], group.to_owned(), fetch);
        let Ok(Within::All(found, _)) = self.drive(asked)? else { panic!("{group} cannot be asked") };
        let found = found.into_iter().flat_map(|(_, offsets)| offsets);
        let unstable = found.filter(|(_, found)| *found == Err(ErrorCode::UnstableOffsetCommit));
        self.known.see_unstable(group, &unstable.map(|(at, _)| at).collect());
        Some(())
    }

    /// A group that was loaded has those members that it must have, and they go on; or it is emptied, where
    /// nobody knows.
    fn compare_members(&mut self, running: &Running, group: &str) -> Option<()> {
        let asked = running.groups.describe(&running.shards[0], group.to_owned(), usize::MAX);
        let Ok(Within::All(found, _)) = self.drive(asked)? else { panic!("{group} cannot be asked") };
        let Some(assigned) = self.known.see_members(group, found.as_ref()) else {
            return self.empty(running, group);
        };
        for (id, assignment) in assigned.assignments {
            let identity =
                Identity { member_id: id.clone(), instance_id: None, generation: assigned.generation };
            let alive =
                self.drive(running.groups.heartbeat(&running.shards[0], group.to_owned(), identity))?;
            assert_eq!(alive, Ok(()), "{id} goes on in generation {}", assigned.generation);
            let synced = self.sync(running, group, &id, assigned.generation, Vec::new());
            assert_eq!(self.drive(synced)?, Ok(assignment), "{id}");
        }
        Some(())
    }

    pub(super) fn wait_for_answers(&mut self, running: &Running) -> Option<()> {
        for _ in 0..PATIENCE {
            if self.pending.is_empty() {
                return Some(());
            }
            self.drive(running.process.pass_time(1))?;
            if self.play == Play::Mixed {
                self.pass_time(running, Duration::from_millis(1))?;
            }
        }
        panic!("{} questions are never answered\n{}", self.pending.len(), self.disk().dump());
    }
}

/// The first code that is an error.
fn refusal(codes: impl IntoIterator<Item = ErrorCode>) -> Result<(), ErrorCode> {
    codes.into_iter().find(|code| *code != ErrorCode::None).map_or(Ok(()), Err)
}

impl Subject for Life {
    fn seed(&self) -> u64 {
        self.seed
    }

    fn place(&mut self) -> &mut Option<Simulation> {
        &mut self.simulation
    }

    fn images(&mut self) -> &mut Option<Images> {
        &mut self.images
    }

    fn examine(&self, image: Image) {
        let machine = Simulation::resume(image.seed, image.disk, &self.clock);
        let mut fork = Life {
            known: self.known.clone(),
            images: image.images,
            ..Life::on(machine, self.play, Trouble::default())
        };
        fork.known.restart();
        let settings = some_settings(&mut fork.rng);
        let running = fork.begin(&settings);
        if image.lives {
            let group = format!("g{}", fork.rng.usize(..GROUPS));
            let lived = fork
                .commit(&running, &group)
                .and_then(|()| fork.go_on_with_transactions(&running, &group))
                .and_then(|()| fork.go_on_with_consumers(&running))
                .and_then(|()| fork.wait_for_answers(&running))
                .and_then(|()| fork.compare(&running, false));
            assert!(lived.is_some(), "nothing stops it");
        }
    }

    fn harvest(&mut self) {
        for mut pending in std::mem::take(&mut self.pending) {
            match pending.answer.try_recv() {
                Ok(None) => self.pending.push(pending),
                Ok(Some(answer)) => {
                    self.known.take(pending.number, pending.asked, answer, pending.excused);
                }
                Err(_) => unreachable!("the machine drops no task while it runs"),
            }
        }
    }
}

/// Counts of what was looked at, to be shared by several runs.
pub(super) type Counted = Rc<std::cell::RefCell<strandline_engine::crash::Counts>>;
