//! One partition's log on the simulated disk, against a list of batches: append, with transactions and
//! without, end transactions, read, read what is committed, look up times, roll, drop, sync, persist indexes,
//! and open again after a kill or a power loss, with or without a journal.

mod told;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::input::Input;
use crate::config::{TopicConfig, TopicDefaults};
use crate::error::AppendError;
use crate::format::batch::{BatchHeader, Batches, Producer};
use crate::format::builder::BatchBuilder;
use crate::format::check::check;
use crate::format::checkpoint::PartitionCheckpoint;
use crate::format::compression::Codec;
use crate::format::marker::{Marker, TransactionResult};
use crate::io::Disk;
use crate::log::{Draft, Found, Log, Origin, Participation, Place};
use crate::segment::OpenFiles;
use crate::sim::{SimDisk, SimFile, Simulation};
use crate::types::{
    EpochEnd, LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId,
};
use told::{Filter, PRODUCERS, Story, is_bumped};

const DIRECTORY: &str = "/data/orders-0";
const PARTITION: PartitionId = PartitionId::new(TopicId::from_bytes([1; 16]), 0);

/// What the log must hold.
#[derive(Default)]
struct Model {
    batches: Vec<Batch>,
    start: i64,
    end: i64,
    /// Behind it nothing is promised without a journal.
    synced: i64,
    /// What was written and then not taken in: its sender was told that, and a crash may bring it back.
    discarded: Vec<Batch>,
    /// What the batches have said that are not there any more.
    before: Story,
}

impl Model {
    /// What all batches say.
    fn story(&self) -> Story {
        let mut story = self.before.clone();
        self.batches.iter().for_each(|batch| story.hear(batch.base, &batch.bytes));
        story
    }
}

/// What is to be appended.
enum New {
    Batch { bytes: Bytes, timestamps: Vec<Timestamp>, producer: Option<usize> },
    Marker { marker: Marker, at: Timestamp },
}

struct Batch {
    base: i64,
    bytes: Bytes,
    timestamps: Vec<Timestamp>,
}

impl Batch {
    fn end(&self) -> i64 {
        self.base + self.timestamps.len() as i64
    }
}

struct Machine {
    simulation: Option<Simulation>,
    log: Rc<Log<SimDisk>>,
    config: Arc<TopicConfig>,
    /// What the shard's checkpoint says; `None` before the first.
    checkpoint: Option<PartitionCheckpoint>,
    model: Model,
    made: u64,
}

/// Runs the operations that the bytes choose, and compares each answer with the model's.
pub(super) fn log_against_model(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut config = TopicConfig::resolve(&TopicDefaults::default(), &[]).expect("the defaults are settings");
    config.segment_bytes = 100 + 8 * u64::from(input.byte());
    config.index_interval_bytes = 4 * u64::from(input.byte());
    let mut simulation = Simulation::new(u64::from(input.byte()));
    simulation.disk().install("/data/meta", b"");
    let config = Arc::new(config);
    let log = simulation.run_until(open(&simulation.disk(), None, &[], &config));
    let mut machine = Machine {
        simulation: Some(simulation),
        log,
        config,
        checkpoint: None,
        model: Model::default(),
        made: 0,
    };
    while !input.is_empty() {
        match input.below(16) {
            0..=4 => machine.append(&mut input, true),
            5 => machine.append(&mut input, false),
            6 | 7 => machine.read(&mut input),
            8 => machine.read_committed(&mut input),
            9 => machine.look_up(&mut input),
            10 => machine.sync(),
            11 => assert!(machine.log.roll(), "no draft is there"),
            12 => machine.drop_first(&mut input),
            13 => machine.reopen(false, false),
            14 => machine.reopen(true, false),
            _ => machine.reopen(true, true),
        }
        assert_eq!(machine.log.end().get(), machine.model.end);
        assert_eq!(machine.log.log_start().get(), machine.model.start);
        machine.check_epochs();
        machine.check_transactions();
    }
    machine.read_whole();
    machine.reopen(true, true);
}

/// Opens the log as a shard does: what lies behind the recovery point and in no journal is made durable
/// before anybody sees it.
async fn open(
    disk: &SimDisk,
    checkpoint: Option<&PartitionCheckpoint>,
    journal: &[Bytes],
    config: &Arc<TopicConfig>,
) -> Rc<Log<SimDisk>> {
    let files = OpenFiles::new(2);
    let opened = Log::open(disk.clone(), files, Path::new(DIRECTORY), PARTITION, checkpoint).await;
    let mut recovery = opened.expect("nothing is damaged");
    for batch in journal {
        assert!(recovery.replay(batch.clone(), config).await.is_ok(), "nothing fails here");
    }
    recovery.rewrite_scanned().await.expect("nothing fails here");
    recovery.log.sync().await.expect("nothing fails here");
    assert!(recovery.log.damage().is_none(), "no crash is damage");
    Rc::new(recovery.log)
}

/// With what its coordinator's word a producer appends.
fn origin(log: &Log<SimDisk>, at: usize, story: &Story) -> Origin {
    let producer = Producer { id: ProducerId(at as i64), epoch: ProducerEpoch(story.producers[at].epoch) };
    match log.participation(producer) {
        Participation::Open => Origin::Client,
        Participation::Absent(guard) if is_bumped(at) => Origin::EpochOfItsOwn(guard),
        Participation::Absent(guard) => Origin::Transaction(guard),
    }
}

impl Machine {
    fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.simulation.as_mut().expect("a machine is there").run_until(future)
    }

    fn disk(&self) -> SimDisk {
        self.simulation.as_ref().expect("a machine is there").disk()
    }

    /// Appends some batches and markers in one draft, which is taken in or discarded.
    fn append(&mut self, input: &mut Input<'_>, adopts: bool) {
        let (log, config) = (self.log.clone(), self.config.clone());
        let mut story = self.model.story();
        let mut base = self.model.end;
        let mut rules = config.check_rules(Timestamp(1_000));
        (rules.before_max_ms, rules.after_max_ms) = (i64::MAX, i64::MAX);
        let mut draft = self.run(async {
            log.ensure_directory().await.expect("nothing fails here");
            log.draft(&config).await.expect("nothing fails here")
        });
        let mut batches = Vec::new();
        let mut ended = [false; PRODUCERS];
        for _ in 0..1 + input.below(3) {
            let new = self.choose(input, &story);
            // Leaders come and go.
            let epoch = LeaderEpoch((self.made / 10) as i32);
            let (timestamps, producer) = match new {
                New::Marker { marker, at } => {
                    let placed = draft.end_transaction(&log, epoch, &marker, at);
                    assert_eq!(placed.ok(), Some(Offset::new(base)), "{marker:?}");
                    ended[marker.producer.id.0 as usize] = true;
                    (vec![at], None)
                }
                New::Batch { bytes, timestamps, producer } => {
                    let checked = check(BytesMut::from(&bytes[..]), &rules).expect("it keeps the rules");
                    let origin = producer.map_or(Origin::Client, |at| origin(&log, at, &story));
                    let placed = draft.push(&log, epoch, checked, origin);
                    // Who asked before the marker is not told after it that the transaction goes on.
                    if producer.is_some_and(|at| ended[at] && story.producers[at].open.is_none()) {
                        assert!(matches!(placed, Err(AppendError::InvalidTransactionState { .. })));
                        continue;
                    }
                    assert_eq!(placed.ok(), Some(Place::Appended(Offset::new(base))));
                    (timestamps, producer)
                }
            };
            let bytes = draft.batches().last().expect("it was appended").clone();
            story.hear(base, &bytes);
            assert!(producer.is_none_or(|at| story.producers[at].open.is_some()));
            let batch = Batch { base, bytes, timestamps };
            base = batch.end();
            batches.push(batch);
        }
        self.finish(draft, adopts);
        if adopts {
            self.model.batches.extend(batches);
            self.model.end = base;
        } else {
            self.model.discarded.extend(batches);
        }
    }

    fn finish(&mut self, mut draft: Draft<SimDisk>, adopts: bool) {
        let log = self.log.clone();
        self.run(async {
            assert!(draft.write(&log).await.is_ok(), "nothing fails here");
            match adopts {
                true => log.adopt(draft),
                false => log.discard(draft).await.expect("nothing fails here"),
            }
        });
    }

    /// A batch of no producer, one of a transaction, or the marker that ends one, open or not.
    fn choose(&mut self, input: &mut Input<'_>, story: &Story) -> New {
        let kind = input.byte();
        let mut builder = BatchBuilder::new(if kind & 0x80 != 0 { Codec::Snappy } else { Codec::None });
        let mut producer = None;
        if kind & 0x40 != 0 {
            let choice = usize::from(input.byte());
            let at = choice % PRODUCERS;
            let (told, id) = (&story.producers[at], ProducerId(at as i64));
            let result = match choice / 64 {
                0 => Some(TransactionResult::Commit),
                1 => Some(TransactionResult::Abort),
                _ => None,
            };
            if let Some(result) = result {
                let bumped = is_bumped(at);
                let epoch = ProducerEpoch(told.epoch + i16::from(bumped));
                let marker =
                    Marker { producer: Producer { id, epoch }, coordinator_epoch: 0, result, bumped };
                return New::Marker { marker, at: Timestamp(1_000 + i64::from(input.byte())) };
            }
            let sequence = Sequence(told.next_sequence());
            builder = builder.producer(id, ProducerEpoch(told.epoch), sequence).transactional(true);
            producer = Some(at);
        }
        let mut timestamps = Vec::new();
        for _ in 0..1 + kind % 4 {
            self.made += 1;
            timestamps.push(Timestamp(1_000 + i64::from(input.byte())));
            let value = [&self.made.to_le_bytes()[..], &vec![b'v'; usize::from(kind & 0x3f)]].concat();
            builder.push(timestamps[timestamps.len() - 1], None, Some(&value), &[]);
        }
        New::Batch { bytes: builder.build().freeze(), timestamps, producer }
    }

    fn read(&mut self, input: &mut Input<'_>) {
        let span = self.model.end - self.model.start + 1;
        let offset = self.model.start + i64::from(input.number()) % span;
        let bytes_max = u64::from(input.number());
        let first_whole = input.chance(200);
        self.read_at(offset, bytes_max, first_whole);
    }

    /// Gives the offset behind what was read.
    fn read_at(&mut self, offset: i64, bytes_max: u64, first_whole: bool) -> i64 {
        let (log, disk) = (self.log.clone(), self.disk());
        let bytes = self.run(async {
            let read = log
                .read(Offset::new(offset), bytes_max, first_whole, || log.end())
                .await
                .expect("nothing is damaged");
            let Found { range, reaches_end, .. } = read?;
            let file: &SimFile = &range.file;
            let bytes =
                disk.read(file, range.position, range.length as usize).await.expect("nothing fails here");
            Some((bytes, reaches_end))
        });
        let rest: Vec<&Batch> = self.model.batches.iter().filter(|batch| batch.end() > offset).collect();
        let Some((bytes, reaches_end)) = bytes else {
            assert!(rest.is_empty(), "nothing is read at {offset} of {}", self.model.end);
            return offset;
        };
        let mut end = offset;
        let mut taken = 0;
        for (found, expected) in Batches::new(&bytes).zip(&rest) {
            let (_, found) = found.expect("whole batches are read");
            assert_eq!(found, &expected.bytes[..], "at offset {}", expected.base);
            (end, taken) = (expected.end(), taken + found.len());
        }
        assert_eq!(taken, bytes.len(), "nothing else is read");
        let alone = first_whole && rest.first().is_some_and(|first| first.bytes.len() == taken);
        assert!(taken as u64 <= bytes_max || alone, "{taken} bytes, {bytes_max} were asked for");
        assert!(taken > 0 || !first_whole, "the first batch comes whatever its size");
        assert_eq!(reaches_end, end == self.model.end && (taken > 0 || rest.is_empty()));
        end
    }

    fn read_whole(&mut self) {
        let mut next = self.model.start;
        while next < self.model.end {
            let end = self.read_at(next, 500, true);
            assert!(end > next);
            next = end;
        }
    }

    /// A reader of committed records is told of those that are not, and of no other.
    fn read_committed(&mut self, input: &mut Input<'_>) {
        let (start, story) = (self.model.start, self.model.story());
        let stable = story.first_undecided(start).unwrap_or(self.model.end);
        let from = start + i64::from(input.number()) % (stable - start + 1);
        let upto = from + i64::from(input.number()) % (stable - from + 1);
        if from == upto {
            return;
        }
        let log = self.log.clone();
        let aborted = self.run(async { log.aborted_between(Offset::new(from), Offset::new(upto)).await });
        let mut filter = Filter::new(aborted.expect("nothing fails here"));
        let read = self.model.batches.iter().filter(|batch| batch.end() > from && batch.base < upto);
        for batch in read {
            let header = BatchHeader::peek(&batch.bytes).expect("ours");
            let counts = !header.is_control() && story.is_committed(batch.base, header);
            assert_eq!(filter.counts(header), counts, "the batch at {}, from {from} to {upto}", batch.base);
        }
    }

    fn look_up(&mut self, input: &mut Input<'_>) {
        let timestamp = Timestamp(1_000 + i64::from(input.byte()));
        let log = self.log.clone();
        let (found, newest) = self.run(async {
            let found = log.offset_for_timestamp(timestamp).await.expect("nothing is damaged");
            (found, log.offset_of_max_timestamp().await.expect("nothing is damaged"))
        });
        let start = self.model.start;
        let records: Vec<(i64, Timestamp)> = self
            .model
            .batches
            .iter()
            .flat_map(|batch| (batch.base..).zip(batch.timestamps.iter().copied()))
            .filter(|(offset, _)| *offset >= start)
            .collect();
        let expected = records.iter().copied().find(|(_, at)| *at >= timestamp);
        assert_eq!(found.map(|found| (found.offset.get(), found.timestamp)), expected);
        let largest = records.iter().map(|(_, at)| *at).max();
        let expected = records.iter().copied().find(|(_, at)| Some(*at) == largest);
        assert_eq!(newest.map(|found| (found.offset.get(), found.timestamp)), expected);
    }

    /// As the background does: the segments are synced, then a checkpoint says so, and indexes follow.
    fn sync(&mut self) {
        let log = self.log.clone();
        let checkpoint = self.run(async {
            let checkpoint = log.sync().await.expect("nothing fails here");
            log.persist_indexes(&checkpoint).await.expect("nothing fails here");
            checkpoint
        });
        assert_eq!(checkpoint.next_offset.get(), self.model.end);
        self.model.synced = self.model.end;
        self.checkpoint = Some(checkpoint);
    }

    /// Moves the log start to some offset, durably, and removes what lies before.
    fn drop_first(&mut self, input: &mut Input<'_>) {
        let span = self.model.end - self.model.start + 1;
        let start = self.model.start + i64::from(input.number()) % span;
        self.sync();
        let checkpoint = self.checkpoint.as_mut().expect("just made");
        checkpoint.log_start = Offset::new(start);
        let base = checkpoint.segment_base;
        self.log.set_log_start(Offset::new(start));
        self.model.start = start;
        let log = self.log.clone();
        self.run(async {
            while let Some(segment) = log.take_dropped(base) {
                segment.remove().await.expect("nothing fails here");
            }
            log.purge_deleted().await.expect("nothing fails here");
        });
        let Model { batches, before, .. } = &mut self.model;
        for batch in batches.extract_if(.., |batch| batch.end() <= start) {
            before.hear(batch.base, &batch.bytes);
        }
    }

    /// The process ends, or the machine; then the log is opened again. A journal has all that was appended
    /// behind the checkpoint.
    fn reopen(&mut self, loses_power: bool, has_journal: bool) {
        let simulation = self.simulation.take().expect("a machine is there");
        // The old log goes first: an open file lives on.
        let checkpoint = self.checkpoint.clone();
        let mut simulation = if loses_power { simulation.crash() } else { simulation.kill() };
        let journal: Vec<Bytes> = match has_journal {
            true => self.model.batches.iter().map(|batch| batch.bytes.clone()).collect(),
            false => Vec::new(),
        };
        let disk = simulation.disk();
        self.log = simulation.run_until(open(&disk, checkpoint.as_ref(), &journal, &self.config));
        self.simulation = Some(simulation);
        self.reconcile(loses_power, has_journal);
        self.sync();
        self.read_whole();
    }

    /// The log knows each producer, and where the first open transaction begins.
    fn check_transactions(&self) {
        let story = self.model.story();
        story.compare(&self.log.active_producers());
        let first = story.first_undecided(self.model.start).map(Offset::new);
        assert_eq!(self.log.first_undecided(), first, "{:?}", story.producers);
        let open = story.producers.iter().filter(|told| told.open.is_some()).count();
        assert_eq!(self.log.open_transactions().0, open as u64);
    }

    /// The log knows the leader epoch of each of its batches, and where each epoch ends.
    fn check_epochs(&self) {
        let epoch_of = |batch: &Batch| BatchHeader::peek(&batch.bytes).expect("ours").leader_epoch();
        for (at, batch) in self.model.batches.iter().enumerate() {
            let (epoch, offset) = (epoch_of(batch), Offset::new(batch.base.max(self.model.start)));
            assert_eq!(self.log.epoch_at(offset), Some(epoch), "the epoch at {offset}");
            let next = self.model.batches[at..].iter().find(|next| epoch_of(next) > epoch);
            let end = next.map_or(self.model.end, |next| next.base);
            assert_eq!(self.log.end_of_epoch(epoch), Some(EpochEnd { epoch, end: Offset::new(end) }));
        }
    }

    /// Holds what is there after a start against what must be, and takes it for the truth: behind what is
    /// promised each batch is one that was written once.
    fn reconcile(&mut self, loses_power: bool, has_journal: bool) {
        let (log, disk) = (self.log.clone(), self.disk());
        let (start, end) = (self.model.start, self.log.end().get());
        let found = self.run(async {
            let mut found = Vec::new();
            let mut next = start;
            while next < end {
                let read = log
                    .read(Offset::new(next), 1 << 20, true, || log.end())
                    .await
                    .expect("nothing is damaged");
                let range = read.expect("the log has not ended").range;
                let file: &SimFile = &range.file;
                let bytes =
                    disk.read(file, range.position, range.length as usize).await.expect("nothing fails here");
                for batch in Batches::new(&bytes) {
                    let (header, batch) = batch.expect("whole batches are read");
                    next = header.next_offset().get();
                    found.push(Bytes::copy_from_slice(batch));
                }
            }
            found
        });
        let promised = if loses_power && !has_journal { self.model.synced } else { self.model.end };
        assert!(end >= promised, "the log ends at {end}, {promised} was promised");
        let mut expected = std::mem::take(&mut self.model.batches).into_iter().peekable();
        for bytes in found {
            let base = BatchHeader::peek(&bytes).expect("it was read").base_offset().get();
            let same = |batch: &Batch| batch.base == base && batch.bytes == bytes;
            let kept = match expected.next() {
                Some(batch) if same(&batch) => batch,
                _ => {
                    assert!(base >= promised, "another batch lies at {base}, {promised} was promised");
                    let at = self.model.discarded.iter().position(same).expect("somebody wrote it");
                    self.model.discarded.swap_remove(at)
                }
            };
            self.model.batches.push(kept);
        }
        self.model.end = end;
    }
}
