//! What happens in a run, made up beforehand: a list that can be printed, cut down and played again.
//!
//! An operation names what it is about by a *pick*: a number that chooses one of those that are there when
//! its time comes. So any operation can be left out, and the others still mean something.

use std::time::Duration;

use fastrand::Rng;

use super::machine::{Ending, Settings};

/// Names are few, so that a topic is often made again under the name of a deleted one.
const NAMES: [&str; 4] = ["orders", "clicks", "audit", "relaxed"];

/// Chooses one of those that are there.
pub(super) type Pick = u32;

/// The own settings of a topic.
pub(super) type Configs = Vec<(String, String)>;

/// All that happens on one machine.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Decides what the plan leaves open: the content of batches, the order in which the disk works, what a
    /// crash leaves.
    pub(super) seed: u64,
    pub(super) generations: Vec<Generation>,
}

/// The life of one process.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) settings: Settings,
    /// Starts that come to nothing, before the one that does.
    pub(super) attempts: Vec<Attempt>,
    pub(super) operations: Vec<Operation>,
    /// The machine stops when the disk has done so much.
    pub(super) stop_after: Option<u64>,
    /// Whether all is answered before the end, when nothing stops it.
    pub(super) patient: bool,
    pub(super) ending: Ending,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) stop_after: u64,
    /// How often a write, and a sync, fails meanwhile.
    pub(super) errors: f64,
    /// The room that the disk has while it starts.
    pub(super) room: Option<u64>,
    pub(super) ending: Ending,
}

/// What may go wrong besides the end of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Writes and syncs fail now and then.
    pub(super) errors: bool,
    /// The disk is full now and then.
    pub(super) full: bool,
    /// Writes and syncs fail while the engine starts.
    pub(super) starts: bool,
    /// There are no descriptors now and then.
    pub(super) descriptors: bool,
    /// The disk is full while the engine starts.
    pub(super) full_starts: bool,
    /// Logs are cut off, and leaders come and go, as on a replica.
    pub(super) replicas: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Append {
        partition: Pick,
        records: usize,
        /// Of its first record.
        bytes: usize,
        producer: Option<Pick>,
    },
    /// A producer sends one of its last batches again.
    AppendAgain {
        producer: Pick,
        back: Pick,
    },
    Read {
        partition: Pick,
        at: Pick,
        bytes_max: u64,
        /// Perhaps from before the log start.
        anywhere: bool,
    },
    Wait {
        partition: Pick,
        beyond: Pick,
    },
    CreateTopic {
        name: &'static str,
        partitions: u32,
        configs: Configs,
    },
    AlterTopic {
        topic: Pick,
        configs: Configs,
    },
    GrowTopic {
        topic: Pick,
        by: u32,
    },
    DeleteTopic {
        topic: Pick,
    },
    /// Up to an offset, or all of them.
    DeleteRecords {
        partition: Pick,
        before: Option<Pick>,
    },
    /// Cuts a log off.
    Truncate {
        partition: Pick,
        at: Pick,
    },
    /// Another term begins.
    Lead {
        partition: Pick,
    },
    AllocateProducerId,
    PassTime(Duration),
    /// The disk completes so many operations.
    Work(usize),
    /// Waits until all is answered.
    Answers,
    /// How often a write, and a sync, fails from now on.
    Errors {
        write: f64,
        sync: f64,
    },
    /// How often there is no descriptor to be had, from now on.
    Descriptors(f64),
    /// How many of the disk's flushes are none from now on. Nothing is promised on such a disk.
    Lies(f64),
    /// The room that is left on the disk.
    Room(Option<u64>),
}

impl Plan {
    /// Several generations that end anyhow.
    pub(super) fn random(seed: u64, trouble: Trouble, generations: usize) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let generations = (0..generations).map(|_| Generation::random(&mut rng, trouble)).collect();
        Plan { seed, generations }
    }

    /// Two generations that are short enough to look at every crash that may interrupt them.
    pub(super) fn short(seed: u64, trouble: Trouble) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let generations = (0..2).map(|at| Generation::short(&mut rng, trouble, at == 0)).collect();
        Plan { seed, generations }
    }
}

impl Generation {
    fn random(rng: &mut Rng, trouble: Trouble) -> Generation {
        let settings = Settings::random(rng);
        let mut attempts = Vec::new();
        while rng.u8(..4) == 0 || trouble.starts && attempts.is_empty() {
            attempts.push(Attempt::random(rng, trouble));
        }
        if trouble.full_starts {
            attempts.push(Attempt::full(rng));
        }
        let ending = match rng.u8(..10) {
            0..=4 => Ending::PowerLoss,
            5..=7 => Ending::Kill,
            _ => Ending::Stop,
        };
        let stop_after = (ending != Ending::Stop || rng.bool()).then(|| rng.u64(..3000));
        let count = rng.usize(..150);
        let operations = (0..count).map(|_| Operation::random(rng, trouble)).collect();
        Generation { settings, attempts, operations, stop_after, patient: rng.bool(), ending }
    }

    fn short(rng: &mut Rng, trouble: Trouble, is_first: bool) -> Generation {
        let mut settings = Settings::random(rng);
        settings.shards = rng.usize(1..=2);
        settings.journal_file_bytes_max = 4096 * rng.u64(2..=3);
        settings.topic_defaults.set_unchecked("segment.bytes", &rng.u64(600..3000).to_string());
        let mut operations = Vec::new();
        if is_first {
            let partitions = rng.u32(1..3);
            let configs = random_configs(rng, false);
            operations.push(Operation::CreateTopic { name: NAMES[0], partitions, configs });
            operations.extend([Operation::AllocateProducerId, Operation::Answers]);
        }
        let count = rng.usize(8..50);
        operations.extend((0..count).map(|_| Operation::random(rng, trouble).small()));
        let ending = *rng.choice(&[Ending::PowerLoss, Ending::Kill, Ending::Stop]).expect("three");
        Generation { settings, attempts: Vec::new(), operations, stop_after: None, patient: true, ending }
    }
}

impl Attempt {
    fn random(rng: &mut Rng, trouble: Trouble) -> Attempt {
        let ending = if rng.bool() { Ending::PowerLoss } else { Ending::Kill };
        let errors = if trouble.starts { 0.2 * rng.f64() } else { 0.0 };
        let stop_after = if trouble.starts && rng.bool() { u64::MAX } else { rng.u64(..200) };
        Attempt { stop_after, errors, room: None, ending }
    }

    fn full(rng: &mut Rng) -> Attempt {
        let ending = if rng.bool() { Ending::PowerLoss } else { Ending::Kill };
        let room = Some(if rng.bool() { 0 } else { rng.u64(..60_000) });
        Attempt { stop_after: u64::MAX, errors: 0.0, room, ending }
    }
}

impl Operation {
    fn random(rng: &mut Rng, trouble: Trouble) -> Operation {
        let pick = rng.u32(..);
        match rng.u8(..100) {
            kind @ 0..=54 => Operation::Append {
                partition: pick,
                records: rng.usize(1..5),
                bytes: match rng.u8(..20) {
                    0 => rng.usize(8..60_000),
                    1..=4 => rng.usize(8..6_000),
                    _ => rng.usize(8..200),
                },
                producer: (kind >= 30).then(|| rng.u32(..)),
            },
            55..=61 => Operation::AppendAgain { producer: pick, back: rng.u32(..) },
            62..=73 => Operation::Read {
                partition: pick,
                at: rng.u32(..),
                bytes_max: rng.u64(..10_000),
                anywhere: rng.u8(..8) == 0,
            },
            74..=75 => Operation::Wait { partition: pick, beyond: rng.u32(..) },
            76..=79 => {
                let name = *rng.choice(&NAMES).expect("there are names");
                let configs = random_configs(rng, name == "relaxed");
                Operation::CreateTopic { name, partitions: rng.u32(1..4), configs }
            }
            80 if rng.bool() => Operation::GrowTopic { topic: pick, by: rng.u32(1..3) },
            80 => {
                let relaxed = rng.u8(..3) == 0;
                Operation::AlterTopic { topic: pick, configs: random_configs(rng, relaxed) }
            }
            81 => Operation::DeleteTopic { topic: pick },
            82..=83 => Operation::AllocateProducerId,
            84..=85 => Operation::PassTime(Duration::from_millis(rng.u64(..1000))),
            87..=88 if trouble.errors => match rng.bool() {
                true => Operation::Errors { write: 0.02 * rng.f64(), sync: 0.1 * rng.f64() },
                false => Operation::Errors { write: 0.0, sync: 0.0 },
            },
            86..=89 if trouble.descriptors => {
                Operation::Descriptors(*rng.choice(&[0.0, 0.0, 0.1, 0.5, 1.0]).expect("five"))
            }
            87..=89 if trouble.full => Operation::Room(rng.bool().then(|| rng.u64(..100_000))),
            86 => Operation::PassTime(Duration::from_millis(rng.u64(..1000))),
            90 => Operation::Answers,
            93..=96 if trouble.replicas => Operation::Truncate { partition: pick, at: rng.u32(..) },
            97..=98 if trouble.replicas => Operation::Lead { partition: pick },
            91..=92 => {
                Operation::DeleteRecords { partition: pick, before: (rng.u8(..3) > 0).then(|| rng.u32(..)) }
            }
            _ => Operation::Work(rng.usize(1..40)),
        }
    }

    /// What shows that an engine that came back works: producers go on, records are written and read.
    pub(super) fn afterwards(rng: &mut Rng) -> Vec<Operation> {
        let mut operations = Vec::new();
        for _ in 0..3 {
            operations.push(Operation::AppendAgain { producer: rng.u32(..), back: rng.u32(..) });
            let producer = Some(rng.u32(..));
            operations.push(Operation::Append { partition: rng.u32(..), records: 1, bytes: 100, producer });
        }
        operations.push(Operation::Answers);
        let (partition, at) = (rng.u32(..), rng.u32(..));
        operations.push(Operation::Read { partition, at, bytes_max: 1000, anywhere: false });
        operations
    }

    /// The same with few bytes and little patience: what fits a short run.
    fn small(self) -> Operation {
        match self {
            Operation::Append { partition, records, bytes, producer } => {
                Operation::Append { partition, records, bytes: 8 + bytes % 900, producer }
            }
            Operation::Work(operations) => Operation::Work(operations % 12),
            other => other,
        }
    }
}

fn random_configs(rng: &mut Rng, relaxed: bool) -> Configs {
    let mut configs = Configs::new();
    let mut set = |name: &str, value: u64| configs.push((name.to_owned(), value.to_string()));
    if relaxed {
        set("flush.messages", rng.u64(2..20));
        set("flush.ms", 1000);
    }
    match rng.u8(..4) {
        0 => set("retention.ms", rng.u64(..5000)),
        1 => set("retention.bytes", rng.u64(..50_000)),
        _ => {}
    }
    configs
}
