//! Random lives of a group whose members speak either protocol, and change it: by restarts of clients, one
//! after the other, as in a rolling upgrade and back. The log takes what it is given late, or not at all, and
//! the process restarts.
//!
//! * No partition is read by two members of the group at any moment.
//! * A member that was told it is in is there after a restart.
//! * When everybody is quiet, every partition is read, and the group is of the protocol that its members
//!   speak: of that of KIP-848 as soon as one does.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use strandline_protocol::messages::ConsumerProtocolSubscription;
use strandline_protocol::wire::ErrorCode;

use super::room::{Answer, Room, given, identity, partitions, read, t};
use super::{classic, consumer, leaving};
use crate::groups::consumer::{Beat, Heartbeat};
use crate::groups::member::{Joined, Sync, Synced};
use crate::refusal::Refusal;

const SEEDS: u64 = 150;
const STEPS: usize = 300;
const PARTITIONS: i32 = 5;
const CLIENTS: u8 = 4;

/// What a client has asked and waits for, or says next.
enum Doing {
    /// It speaks the protocol of KIP-848.
    Beats,
    Beating(Answer<Result<Beat, Refusal>>),
    /// It speaks the classic protocol.
    Joins,
    Joining(Answer<Joined>),
    Syncs(Vec<(String, Vec<i32>)>),
    Syncing(Answer<Synced>),
    Heartbeats,
}

/// A client as it sees itself.
struct Client {
    id: String,
    is_classic: bool,
    doing: Doing,
    epoch: i32,
    /// What it reads.
    uses: BTreeSet<i32>,
    /// What it was told last.
    told: BTreeSet<i32>,
    /// It has not heard an answer.
    is_unsure: bool,
    /// It was told that it is in, and has not been told anything else.
    is_in: bool,
}

struct World {
    rng: Rng,
    room: Room,
    clients: BTreeMap<u8, Client>,
    next_id: usize,
    /// Whether members of the classic protocol give everything up before they join.
    is_eager: bool,
    is_calm: bool,
    /// Whether something was not taken, or not heard, since the start.
    had_trouble: bool,
    /// How often a group that has members has become a consumer group, and a classic one.
    upgrades: usize,
    downgrades: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        World {
            room: Room::new(PARTITIONS as u32),
            clients: BTreeMap::new(),
            next_id: 0,
            is_eager: rng.bool(),
            is_calm: false,
            had_trouble: false,
            upgrades: 0,
            downgrades: 0,
            rng,
        }
    }

    fn step(&mut self) {
        match self.rng.u8(..40) {
            0..=2 => self.come(),
            3 => self.go(),
            4 => drop(self.some().map(|at| self.clients.remove(&at))),
            5 => self.restart(),
            6 => {
                self.room.fail = !self.is_calm && self.rng.bool();
                self.had_trouble |= self.room.fail;
            }
            7..=9 => {
                let by = self.rng.i64(0..3000);
                self.room.pass(by);
            }
            10..=18 => {
                let before = self.room.inhabited();
                self.room.settle_one();
                match (before, self.room.inhabited()) {
                    (Some("classic"), Some("consumer")) => self.upgrades += 1,
                    (Some("consumer"), Some("classic")) => self.downgrades += 1,
                    _ => {}
                }
            }
            _ => {
                if let Some(at) = self.some() {
                    self.act(at);
                }
            }
        }
        self.check();
    }

    fn some(&mut self) -> Option<u8> {
        let all: Vec<_> = self.clients.keys().copied().collect();
        self.rng.choice(all)
    }

    /// A client starts, in one protocol or the other; one that was there has ended before.
    fn come(&mut self) {
        let at = self.rng.u8(..CLIENTS);
        self.end(at);
        self.next_id += 1;
        let is_classic = self.rng.bool();
        let client = Client {
            id: if is_classic { String::new() } else { format!("c{}", self.next_id) },
            is_classic,
            doing: if is_classic { Doing::Joins } else { Doing::Beats },
            epoch: 0,
            uses: BTreeSet::new(),
            told: BTreeSet::new(),
            is_unsure: false,
            is_in: false,
        };
        self.clients.insert(at, client);
    }

    fn go(&mut self) {
        if let Some(at) = self.some() {
            self.end(at);
        }
    }

    /// A client stops to read, and says that it leaves.
    fn end(&mut self, at: u8) {
        let Some(client) = self.clients.remove(&at) else { return };
        match client.is_classic {
            true => drop(self.room.ask_leave(&[&client.id])),
            false => drop(self.room.ask_beat(leaving(&client.id))),
        }
    }

    fn restart(&mut self) {
        self.room.fail = false;
        let before = self.room.members();
        self.room.restart();
        let there = self.room.members();
        for client in self.clients.values_mut() {
            let must_be_there = client.is_in && before.contains(&client.id);
            assert!(!must_be_there || there.contains(&client.id), "D9: {} is forgotten", client.id);
            client.doing = match client.doing {
                Doing::Beating(_) => Doing::Beats,
                Doing::Joining(_) | Doing::Syncing(_) => Doing::Joins,
                _ => continue,
            };
            client.is_unsure = true;
        }
    }

    /// A client takes in an answer that is there, or says something.
    fn act(&mut self, at: u8) {
        let is_heard = self.is_calm || self.rng.u8(..12) > 0;
        let mut client = self.clients.remove(&at).expect("it is one of them");
        let doing = std::mem::replace(&mut client.doing, Doing::Heartbeats);
        client.doing = match doing {
            Doing::Beats => self.beat(&mut client),
            Doing::Beating(mut answer) => match answer.poll() {
                Some(told) => client.take_beat(told, is_heard),
                None => Doing::Beating(answer),
            },
            Doing::Joins => self.join(&mut client),
            Doing::Joining(mut answer) => match answer.poll() {
                Some(joined) => self.take_joined(&mut client, joined, is_heard),
                None => Doing::Joining(answer),
            },
            Doing::Syncs(assigned) => {
                let assignments = assigned.into_iter().map(|(id, has)| (id, given(&has))).collect();
                let identity = identity(&client.id, client.epoch);
                Doing::Syncing(self.room.ask_sync(Sync { identity, assignments, ..Sync::default() }))
            }
            Doing::Syncing(mut answer) => match answer.poll() {
                Some(synced) => client.take_synced(synced, is_heard),
                None => Doing::Syncing(answer),
            },
            Doing::Heartbeats => match self.room.heartbeat(&client.id, client.epoch) {
                Ok(()) => Doing::Heartbeats,
                Err(error) => client.begin_anew(error),
            },
        };
        self.clients.insert(at, client);
    }

    fn beat(&mut self, client: &mut Client) -> Doing {
        if self.is_calm || self.rng.u8(..3) > 0 {
            client.uses = client.told.clone();
        }
        let says_all = client.epoch == 0 || client.is_unsure;
        let Heartbeat { topics, rebalance_timeout_ms, .. } = consumer(&client.id);
        let said = Heartbeat {
            member_id: client.id.clone(),
            epoch: client.epoch,
            topics: topics.filter(|_| says_all),
            rebalance_timeout_ms: rebalance_timeout_ms.filter(|_| says_all),
            owned: Some(client.uses.iter().map(|at| (t(), *at)).collect()),
            ..Heartbeat::default()
        };
        Doing::Beating(self.room.ask_beat(said))
    }

    fn join(&mut self, client: &mut Client) -> Doing {
        if self.is_eager {
            client.told.clear();
        }
        client.uses = client.told.clone();
        self.next_id += 1;
        let owned: Vec<_> = client.uses.iter().copied().collect();
        Doing::Joining(self.room.ask_join(classic(&client.id, &format!("k{}", self.next_id), &owned)))
    }

    fn take_joined(&mut self, client: &mut Client, joined: Joined, is_heard: bool) -> Doing {
        client.is_unsure = !is_heard;
        match joined.error {
            _ if !is_heard => Doing::Joins,
            ErrorCode::None => {
                (client.id, client.epoch) = (joined.member_id.clone(), joined.generation);
                Doing::Syncs(assign(&joined))
            }
            error => client.begin_anew(error),
        }
    }

    fn check(&self) {
        let there = self.room.members();
        let mut readers = BTreeMap::new();
        // One that is out has been out of time, and stops on its own.
        for client in self.clients.values().filter(|client| there.contains(&client.id)) {
            for at in &client.uses {
                let other = readers.insert(*at, &client.id);
                assert_eq!(other, None, "{} reads partition {at} as well, {}", client.id, self.room.kind());
            }
        }
    }

    /// Nothing fails any more, and everybody says something until all have what they shall have.
    fn calm_down(&mut self) {
        (self.is_calm, self.room.fail) = (true, false);
        self.room.settle();
        for _ in 0..200 {
            for at in self.clients.keys().copied().collect::<Vec<_>>() {
                self.act(at);
                self.room.settle();
                self.check();
            }
            self.room.pass(500);
        }
        let read: Vec<_> = self.clients.values().flat_map(|client| client.uses.iter().copied()).collect();
        let all: Vec<_> = (0..PARTITIONS).filter(|_| !self.clients.is_empty()).collect();
        assert_eq!(read.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), all);
        assert_eq!(read.len(), all.len(), "each by one");
        if !self.clients.is_empty() {
            let is_classic = self.clients.values().all(|client| client.is_classic);
            // A change back that the log has not taken comes with the next member that goes.
            if !is_classic || !self.had_trouble {
                assert_eq!(self.room.kind(), if is_classic { "classic" } else { "consumer" });
            }
        }
    }
}

impl Client {
    fn forget(&mut self) {
        self.uses.clear();
        self.told.clear();
        self.is_in = false;
    }

    fn take_beat(&mut self, told: Result<Beat, Refusal>, is_heard: bool) -> Doing {
        self.is_unsure = !is_heard;
        match told.map_err(|refusal| refusal.code) {
            _ if !is_heard => {}
            Ok(beat) => {
                (self.epoch, self.is_in) = (beat.epoch, true);
                if let Some(assignment) = beat.assignment {
                    self.told = partitions(&assignment).into_iter().collect();
                    self.uses.extend(&self.told);
                }
            }
            Err(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound) => {
                self.epoch = 0;
                self.forget();
            }
            Err(_) => self.is_unsure = true,
        }
        Doing::Beats
    }

    fn take_synced(&mut self, synced: Synced, is_heard: bool) -> Doing {
        match synced.error {
            _ if !is_heard => Doing::Joins,
            ErrorCode::None => {
                let told: BTreeSet<_> = read(&synced.assignment).into_iter().collect();
                // What it has to give up it gives up by its next join, which comes at once.
                let has_to_give_up = !self.uses.is_subset(&told);
                self.uses.extend(&told);
                (self.told, self.is_in) = (told, true);
                if has_to_give_up { Doing::Joins } else { Doing::Heartbeats }
            }
            error => self.begin_anew(error),
        }
    }

    fn begin_anew(&mut self, error: ErrorCode) -> Doing {
        match error {
            ErrorCode::UnknownMemberId => {
                self.id.clear();
                self.forget();
            }
            ErrorCode::IllegalGeneration => self.forget(),
            ErrorCode::RebalanceInProgress
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable => {}
            error => panic!("{} is told {error}", self.id),
        }
        Doing::Joins
    }
}

/// As the leader of a classic group: who reads what. What one reads still is given to nobody else.
fn assign(joined: &Joined) -> Vec<(String, Vec<i32>)> {
    let owns = |metadata: &[u8]| -> BTreeSet<i32> {
        let said = ConsumerProtocolSubscription::decode(metadata).unwrap();
        said.owned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
    };
    let members: Vec<_> =
        joined.members.iter().map(|member| (member.member_id.clone(), owns(&member.metadata))).collect();
    let mut assigned: Vec<(String, Vec<i32>)> = members.iter().map(|(id, _)| (id.clone(), vec![])).collect();
    for (at, number) in (0..PARTITIONS).zip(0..) {
        let Some(place) = (number as usize).checked_rem(members.len()) else { break };
        let others = members.iter().enumerate().filter(|(other, _)| *other != place);
        if !others.into_iter().any(|(_, (_, owns))| owns.contains(&at)) {
            assigned[place].1.push(at);
        }
    }
    assigned
}

#[test]
fn d9_in_random_lives_with_changes_of_protocol_no_partition_is_read_by_two_and_all_are_read_in_the_end() {
    let (mut upgrades, mut downgrades) = (0, 0);
    for seed in 0..SEEDS {
        let lived = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..STEPS).for_each(|_| world.step());
            world.calm_down();
            (world.upgrades, world.downgrades)
        });
        let (to_consumer, to_classic) = lived.unwrap_or_else(|_| panic!("seed {seed}"));
        (upgrades, downgrades) = (upgrades + to_consumer, downgrades + to_classic);
    }
    println!("{upgrades} changes to a consumer group, {downgrades} to a classic one");
    assert!(upgrades > 20 && downgrades > 20, "{upgrades} and {downgrades}");
}
