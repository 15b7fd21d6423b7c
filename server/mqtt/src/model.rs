//! A broker of few lines around the crate, clients that do as the specification says, and generated lives of
//! both: connections are lost, clients take over their sessions, and the broker crashes between any two
//! steps, with any part of what was not durable.
//!
//! ```text
//!  Client  <-- bytes, in pieces -->  Connection  -- actions -->  data log (2 partitions)  pending | durable
//!                                        ^                       sessions log             pending | durable
//!                                        '-- what became of it   retained log             pending | durable
//! ```
//! What must hold when all has calmed down, and of every crash in between:
//!
//! * A message of QoS 1 that was acknowledged is in the log; one of QoS 2 is there once.
//! * A subscriber has had every message since its SUBACK: with QoS 2 once.
//! * A session that was said to be there is there again.
//! * What is kept of a topic is the newest that was acknowledged, or one that is newer.

mod broker;
mod client;

use std::collections::BTreeMap;

use broker::Broker;
use client::Client;

const CLIENTS: usize = 3;

/// One life.
struct World {
    seed: u64,
    random: fastrand::Rng,
    broker: Broker,
    clients: Vec<Client>,
    crashes: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let clients = (0..CLIENTS).map(|at| Client::new(at, &mut random)).collect();
        World { seed, random, broker: Broker::new(), clients, crashes: 0 }
    }

    fn step(&mut self, faults: bool) {
        let who = self.random.usize(0..CLIENTS);
        let client = &mut self.clients[who];
        match self.random.u8(0..if faults { 64 } else { 60 }) {
            0..8 => client.connect(&mut self.broker),
            8..16 if faults => client.publish(&mut self.random),
            8..24 => client.say(&mut self.broker, &mut self.random),
            24..34 => client.hear(&mut self.broker, &mut self.random),
            34..46 => self.broker.work(who, &mut self.random),
            46..60 => self.broker.make_durable(&mut self.random),
            60..62 => client.lose(&mut self.broker),
            // A connection that the broker does not know to be dead: the next CONNECT takes over.
            62 => client.forget(),
            _ => {
                if self.random.u8(0..4) == 0 {
                    self.broker.crash(&mut self.random, self.seed);
                    self.clients.iter_mut().for_each(Client::forget);
                    self.crashes += 1;
                    self.check_kept();
                }
            }
        }
    }

    fn live(&mut self) {
        for _ in 0..self.random.usize(200..900) {
            self.step(true);
        }
        for _ in 0..200_000 {
            if self.is_calm() {
                return self.check();
            }
            self.step(false);
        }
        panic!("seed {}: it does not come to rest\n{:?}\n{:?}", self.seed, self.clients, self.broker);
    }

    fn is_calm(&self) -> bool {
        self.clients.iter().all(|client| client.is_calm(&self.broker))
    }

    fn check(&self) {
        let seed = self.seed;
        let mut times: BTreeMap<u32, usize> = BTreeMap::new();
        for entry in self.broker.entries() {
            *times.entry(entry.number).or_default() += 1;
        }
        for client in &self.clients {
            for (number, qos) in &client.acknowledged {
                let found = times.get(number).copied().unwrap_or(0);
                match qos {
                    2 => {
                        assert_eq!(found, 1, "seed {seed}: message {number} of QoS 2 is there {found} times")
                    }
                    _ => assert!(
                        found >= 1,
                        "seed {seed}: message {number} of QoS 1 was acknowledged and is lost"
                    ),
                }
            }
            self.check_delivered(client);
        }
        self.check_kept();
    }

    fn check_delivered(&self, client: &Client) {
        let (seed, id) = (self.seed, &client.id);
        let Some(from) = &client.subscribed_at else { return };
        let mut delivered: BTreeMap<u32, usize> = BTreeMap::new();
        for number in &client.delivered {
            *delivered.entry(*number).or_default() += 1;
        }
        let mut due: BTreeMap<u32, (usize, u8)> = BTreeMap::new();
        for entry in self.broker.entries().filter(|entry| entry.offset >= from[entry.partition]) {
            let due = due.entry(entry.number).or_insert((0, entry.qos));
            due.0 += 1;
        }
        for (number, (least, qos)) in due {
            let found = delivered.get(&number).copied().unwrap_or(0);
            assert!(found >= least, "seed {seed}: {id} has not had message {number}");
            if qos == 2 && client.qos == 2 {
                assert_eq!(found, 1, "seed {seed}: {id} has had message {number} of QoS 2 {found} times");
            }
        }
    }

    /// Of each topic the newest that was acknowledged, or a newer one.
    fn check_kept(&self) {
        let acknowledged = self.clients.iter().flat_map(|client| &client.acknowledged);
        let acknowledged: Vec<u32> = acknowledged.map(|(number, _)| *number).collect();
        let kept = self.broker.entries().filter(|entry| entry.retain && acknowledged.contains(&entry.number));
        for entry in kept {
            let found = self.broker.retained.get(&entry.topic).map(|kept| kept.offset);
            let is_there = found.is_some_and(|offset| offset >= entry.offset);
            assert!(is_there, "seed {}: {found:?} is kept of {}, after {entry:?}", self.seed, entry.topic);
        }
    }
}

fn lives(seeds: std::ops::Range<u64>) -> usize {
    let mut crashes = 0;
    for seed in seeds {
        let mut world = World::new(seed);
        world.live();
        crashes += world.crashes;
    }
    crashes
}

/// The invariants above, over lives with crash points. `STRANDLINE_MQTT_LIVES` asks for more than CI runs.
#[test]
fn nothing_acknowledged_is_lost_nothing_comes_twice_and_the_newest_is_kept() {
    let lives_max = std::env::var("STRANDLINE_MQTT_LIVES").ok().and_then(|text| text.parse().ok());
    let crashes = lives(0..lives_max.unwrap_or(300));
    assert!(crashes > 100, "{crashes} crashes are no test");
}
