//! Rot at rest: a data directory of every kind of file, one bit of it turned over, and the shipping engine
//! over it.
//!
//! A flip is **harmless** when all that was there is read, found and continued as before, and nobody
//! complains; it is **reported** when something is refused or missing, or was mended, and the file is named
//! by an error or in the log. Anything else fails the test: a record that was not there before, or at another
//! place; one that is missing without a word; a panic.
//!
//! A base offset, which no checksum covers, is among what is flipped, in compacted segments, too: nothing is
//! missing between their batches, so that the batches before tell it.
//!
//! `cargo test` flips one bit of every [`STEP`]th byte, others in every run. `STRANDLINE_ROT=all` flips every
//! bit, `STRANDLINE_ROT=/table-` those of all files with this in their path,
//! `STRANDLINE_ROT=FILE:POSITION:BIT` one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::machine::{DATA_DIR, Process, Settings, start};
use crate::error::{FaultKind, ReadError};
use crate::format::batch::{BatchHeader, Batches, verify_crc};
use crate::format::builder::BatchBuilder;
use crate::format::check::check;
use crate::format::compression::Codec;
use crate::message::{DeleteBefore, OffsetQuery};
use crate::sim::{Clock, SimDisk, Simulation};
use crate::topics::NewTopic;
use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Of so many bytes, a run of `cargo test` flips one.
const STEP: u64 = 23;

/// The logs of the compacted topic.
const COMPACTED: &str = ".log compacted";

/// Bytes of one read: several batches, so that damage stands at the beginning, in the middle and at the end
/// of what is asked for.
const READ_BYTES: u64 = 600;

#[test]
fn d5_no_flipped_bit_serves_a_wrong_record_or_hides_one_without_a_word() {
    let reference = Reference::make();
    let files = reference.disk.list_all();
    let mut counts: BTreeMap<&'static str, Counts> = BTreeMap::new();
    let chosen = std::env::var("STRANDLINE_ROT").unwrap_or_default();
    let mut rng = fastrand::Rng::new();
    let first = rng.u64(..STEP);
    for (path, length) in files.iter().filter(|(path, _)| path.starts_with(DATA_DIR)) {
        for position in 0..*length {
            let one = rng.u32(..8);
            for bit in 0..8 {
                let name = format!("{}:{position}:{bit}", path.display());
                let wanted = match chosen.as_str() {
                    "" => position % STEP == first && bit == one,
                    "all" => true,
                    chosen if chosen.contains(':') => chosen == name,
                    chosen => name.contains(chosen),
                };
                if !wanted {
                    continue;
                }
                let tried = catch_unwind(AssertUnwindSafe(|| reference.try_flip(path, position, bit)));
                let outcome = tried.unwrap_or_else(|panic| {
                    eprintln!(
                        "repeat with: STRANDLINE_ROT={name} cargo test -p strandline-engine crash::rot"
                    );
                    resume_unwind(panic)
                });
                counts.entry(kind_of(path)).or_default().note(outcome, name);
            }
        }
    }
    let silent: Vec<_> = counts.values().flat_map(|counts| counts.silent.iter().take(10)).collect();
    for (kind, counts) in &counts {
        let Counts { harmless, reported, silent } = counts;
        eprintln!("{kind:15} {harmless:8} harmless {reported:8} reported {:8} silent", silent.len());
    }
    assert!(
        silent.is_empty(),
        "missing without a word:\n{}",
        silent.iter().fold(String::new(), |mut all, one| {
            let _ = writeln!(all, "  {one}");
            all
        })
    );
}

/// What no checksum covers of a batch (base offset, length, leader epoch), in each compacted segment, bit by
/// bit: all of it is found, and named.
#[test]
fn d5_no_bit_before_the_sum_of_a_compacted_batch_flips_without_a_word() {
    let reference = Reference::make();
    let files = reference.disk.list_all();
    let mut flips = 0;
    for (path, _) in files.iter().filter(|(path, _)| kind_of(path) == COMPACTED) {
        let disk = reference.disk.kill(&mut Rng::with_seed(1));
        let mut simulation = Simulation::with_disk(1, disk.clone());
        let read = simulation.run_until(async { crate::io::read_whole(&disk, path, 1 << 20).await });
        let bytes = read.expect("it can be read").expect("it is there");
        let mut batches = Batches::new(&bytes);
        loop {
            let start = batches.consumed() as u64;
            if batches.next().is_none() {
                break;
            }
            for (position, bit) in (start..start + 16).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let outcome = reference.try_flip(path, position, bit);
                let place = format!("{}:{position}:{bit}", path.display());
                match outcome {
                    Outcome::Reported => flips += 1,
                    // Behind the recovery point the journal has the batch, and puts it right.
                    Outcome::Harmless if reference.is_put_right(path, position, bit) => {}
                    Outcome::Harmless => panic!("{place}: nobody has noticed"),
                    Outcome::Silent(what) => panic!("{place}: {what}"),
                }
            }
        }
    }
    assert!(flips > 1000, "{flips} flips: there are compacted batches");
}

fn kind_of(path: &Path) -> &'static str {
    let name = path.file_name().and_then(|name| name.to_str()).expect("our names are text");
    let known = [
        "meta",
        "topics",
        "settings",
        "reserve",
        "producer-ids",
        "compacted",
        "checkpoint.copy",
        "checkpoint",
        "journal",
        ".index",
    ];
    known.into_iter().find(|kind| name.contains(kind)).unwrap_or(match path.to_str() {
        Some(path) if path.contains("/table-") => COMPACTED,
        _ => ".log",
    })
}

#[derive(Default)]
struct Counts {
    harmless: u64,
    reported: u64,
    silent: Vec<String>,
}

impl Counts {
    fn note(&mut self, outcome: Outcome, name: String) {
        match outcome {
            Outcome::Harmless => self.harmless += 1,
            Outcome::Reported => self.reported += 1,
            Outcome::Silent(what) => self.silent.push(format!("{name}: {what}")),
        }
    }
}

enum Outcome {
    Harmless,
    Reported,
    Silent(String),
}

/// A data directory, and what is in it.
struct Reference {
    disk: SimDisk,
    settings: Settings,
    partitions: Vec<Known>,
    next_producer_id: ProducerId,
}

struct Known {
    id: PartitionId,
    start: i64,
    end: i64,
    batches: BTreeMap<i64, Bytes>,
    times: Vec<(OffsetQuery, Option<(i64, Timestamp)>)>,
    /// What an idempotent producer has sent last, and where it stands.
    last_sent: Option<(Bytes, i64)>,
}

impl Known {
    /// The batch that holds `offset`, or the first one behind it.
    fn at(&self, offset: i64) -> Option<(i64, i64)> {
        let end_of = |bytes: &Bytes| BatchHeader::peek(bytes).expect("a batch").next_offset().get();
        let holds = |(_, bytes): &(&i64, &Bytes)| end_of(bytes) > offset;
        self.batches.iter().find(holds).map(|(base, bytes)| (*base, end_of(bytes)))
    }
}

impl Reference {
    /// Two topics as they come, one that is compressed, one that is compacted; records deleted; an idempotent
    /// producer. The first process stopped, the second was killed: there are checkpoints and journals, closed
    /// segments and open ones.
    fn make() -> Reference {
        let mut settings = Settings::small(1);
        settings.journal_file_bytes_max = 8192;
        settings.open_files_max = 64;
        settings.topic_defaults.set_unchecked("segment.bytes", "1200");
        settings.topic_defaults.set_unchecked("index.interval.bytes", "200");
        let mut rng = fastrand::Rng::with_seed(7);
        let mut simulation = Simulation::new(7);
        let mut partitions: Vec<PartitionId> = Vec::new();
        let mut last_sent = None;
        for generation in 0..2 {
            let process =
                start(&mut simulation, &settings, |_| {}).expect("nothing stops it").expect("it starts");
            let clock = simulation.clock();
            simulation.run_until(async {
                if generation == 0 {
                    // What the topics have already, so that there is a file.
                    let settings = vec![("log.index.interval.bytes".to_owned(), "200".to_owned())];
                    process.alter_settings(settings).await.await.expect("an answer").expect("they are set");
                    assert_eq!(
                        process.allocate_producer_id().await.await.expect("an answer").ok(),
                        Some(ProducerId(0))
                    );
                    for (name, count, compacted) in
                        [("plain", 2, false), ("packed", 1, false), ("table", 1, true)]
                    {
                        let configs = match compacted {
                            true => vec![
                                ("cleanup.policy".to_owned(), "compact".to_owned()),
                                ("min.cleanable.dirty.ratio".to_owned(), "0".to_owned()),
                            ],
                            false => Vec::new(),
                        };
                        let new = NewTopic { name: name.to_owned(), partitions: count, configs };
                        let topic =
                            process.create_topic(new).await.await.expect("an answer").expect("it is made");
                        partitions.extend(topic.partition_ids());
                    }
                }
                let rounds = if generation == 0 { 14 } else { 5 };
                for round in 0..rounds {
                    for (at, id) in partitions.iter().enumerate() {
                        let codec = match at {
                            2 => [Codec::Lz4, Codec::Gzip, Codec::Snappy, Codec::Zstd][round % 4],
                            _ => Codec::None,
                        };
                        let mut builder = BatchBuilder::new(codec);
                        if at == 0 {
                            let sequence = Sequence((generation * 14 + round) as i32 * 2);
                            builder = builder.producer(ProducerId(0), ProducerEpoch::FIRST, sequence);
                        }
                        for _ in 0..2 {
                            let value: Vec<u8> =
                                (0..rng.usize(20..100)).map(|_| rng.u8(b'a'..b'e')).collect();
                            let key = [b'k', rng.u8(..5)];
                            let timestamp = clock.timestamp().plus(rng.i64(..1000));
                            builder.push(timestamp, Some(&key), Some(&value), &[]);
                        }
                        let bytes = builder.build().freeze();
                        let offset = append(&process, &clock, *id, &bytes).await.expect("nothing is wrong").0;
                        if at == 0 {
                            last_sent = Some((bytes, offset));
                        }
                    }
                    clock.advance(Duration::from_millis(100));
                }
                if generation == 0 {
                    let before = DeleteBefore::Offset(Offset::new(7));
                    let deleted = process.delete_records(partitions[1], before).await.await;
                    assert_eq!(deleted.expect("an answer").ok(), Some(Offset::new(7)));
                }
            });
            if generation == 0 {
                for _ in 0..3 {
                    clock.advance(Duration::from_secs(10));
                    process.shards[0].tick(clock.timestamp());
                    simulation.run_until_quiet();
                }
                assert!(process.shards[0].stats().compactions > 0, "something was compacted");
                simulation.run_until(process.stop()).expect("a clean stop");
            }
            drop(process);
            simulation = simulation.kill();
        }
        let disk = simulation.disk();
        let mut reference =
            Reference { disk, settings, partitions: Vec::new(), next_producer_id: ProducerId(0) };
        reference.learn(&partitions, last_sent);
        reference
    }

    /// Reads what is there when nothing is wrong.
    fn learn(&mut self, partitions: &[PartitionId], last_sent: Option<(Bytes, i64)>) {
        let mut simulation = Simulation::with_disk(1, self.disk.kill(&mut Rng::with_seed(1)));
        let process =
            start(&mut simulation, &self.settings, |_| {}).expect("nothing stops it").expect("it starts");
        simulation.run_until(async {
            for (at, id) in partitions.iter().enumerate() {
                let start = earliest(&process, *id).await.expect("it can be read");
                let (mut batches, mut offset) = (BTreeMap::new(), start);
                loop {
                    let (_, bytes) =
                        process.read(*id, Offset::new(offset), READ_BYTES).await.expect("it can be read");
                    if bytes.is_empty() {
                        break;
                    }
                    for batch in Batches::new(&bytes) {
                        let (header, batch) = batch.expect("whole batches");
                        verify_crc(batch).expect("intact batches");
                        batches.insert(header.base_offset().get(), Bytes::copy_from_slice(batch));
                        offset = header.next_offset().get();
                    }
                }
                let mut times = Vec::new();
                for query in [OffsetQuery::MaxTimestamp, OffsetQuery::AtTimestamp(Clock::START.plus(900))] {
                    times.push((query, find(&process, *id, query).await.expect("it can be read")));
                }
                let last_sent = last_sent.clone().filter(|_| at == 0);
                self.partitions.push(Known { id: *id, start, end: offset, batches, times, last_sent });
            }
            self.next_producer_id =
                process.allocate_producer_id().await.await.expect("an answer").expect("an id");
        });
        assert!(self.partitions.iter().all(|known| known.batches.len() >= 5), "there is something to lose");
    }

    fn try_flip(&self, path: &Path, position: u64, bit: u32) -> Outcome {
        let disk = self.disk.kill(&mut Rng::with_seed(1));
        disk.flip(path, position, bit);
        let complaints = Complaints::default();
        let missing = tracing::subscriber::with_default(complaints.clone(), || {
            self.look(disk, path, position, &complaints)
        });
        let said = complaints.0.lock().expect("one thread").join("\n");
        let is_named = said.contains(path.to_str().expect("our names are text"));
        match missing {
            missing if missing.is_empty() && said.is_empty() => Outcome::Harmless,
            _ if is_named => Outcome::Reported,
            missing => Outcome::Silent(format!("{missing:?}, said: {said}")),
        }
    }

    /// Whether a start writes the flipped byte as it was.
    fn is_put_right(&self, path: &Path, position: u64, bit: u32) -> bool {
        let disk = self.disk.kill(&mut Rng::with_seed(1));
        let byte = |disk: &SimDisk| Some(disk.read_cached(path)?[position as usize]);
        let sound = byte(&disk);
        disk.flip(path, position, bit);
        assert_ne!(byte(&disk), sound, "it is flipped");
        let mut simulation = Simulation::with_disk(1, disk);
        let process = start(&mut simulation, &self.settings, |_| {}).expect("nothing stops it");
        process.is_ok_and(|process| {
            simulation.run_until(async {
                for known in &self.partitions {
                    // It is opened, whatever it says.
                    let _ = process.read(known.id, Offset::ZERO, 1).await;
                }
            });
            byte(&process.disk) == sound
        })
    }

    /// Starts the engine and compares. What is missing is given back, errors go to the complaints; what is
    /// wrong is a panic.
    fn look(&self, disk: SimDisk, path: &Path, position: u64, complaints: &Complaints) -> Vec<String> {
        let mut simulation = Simulation::with_disk(1, disk);
        let process = match start(&mut simulation, &self.settings, |_| {}).expect("nothing stops it") {
            Ok(process) => process,
            Err(error) => {
                complaints.say(&error);
                return Vec::new();
            }
        };
        let clock = simulation.clock();
        let missing = RefCell::new(Vec::new());
        let miss = |what: String| missing.borrow_mut().push(what);
        simulation.run_until(async {
            for known in &self.partitions {
                self.read_partition(&process, known, (path, position), complaints, &miss).await;
                for (query, expected) in &known.times {
                    match find(&process, known.id, *query).await {
                        Ok(found) if found == *expected => {}
                        Ok(found) => miss(format!("{:?} gives {found:?}, not {expected:?}", query)),
                        Err(error) => complaints.say(&error),
                    }
                }
                self.append_to(&process, &clock, known, complaints, &miss).await;
            }
            match process.allocate_producer_id().await.await.expect("an answer") {
                Ok(id) => assert!(id >= self.next_producer_id, "producer id {id} is given out again"),
                Err(error) => complaints.say(&error),
            }
        });
        missing.into_inner()
    }

    async fn read_partition(
        &self,
        process: &Process,
        known: &Known,
        flipped: (&Path, u64),
        complaints: &Complaints,
        miss: &impl Fn(String),
    ) {
        let id = known.id;
        match earliest(process, id).await {
            Ok(start) if start == known.start => {}
            Ok(start) => miss(format!("{id} starts at {start}, not {}", known.start)),
            Err(error) => return complaints.say(&error),
        }
        let mut at = known.start;
        while let Some((base, next)) = known.at(at) {
            let bytes = match process.read(id, Offset::new(at), READ_BYTES).await {
                Ok((_, bytes)) => bytes,
                Err(error) => {
                    if let ReadError::Faulty { fault, .. } = &error
                        && let FaultKind::Damage { path, position, offset, .. } = &**fault
                        && path == flipped.0
                    {
                        assert!(offset.get() < next, "{id}: nothing at {at}, which stands before {offset}");
                        assert!(position.0 <= flipped.1, "damage at {} is found at {position}", flipped.1);
                    }
                    complaints.say(&error);
                    at = next;
                    continue;
                }
            };
            let mut found = None;
            for batch in Batches::new(&bytes) {
                let (header, batch) = batch.unwrap_or_else(|error| panic!("{id} at {at}: {error}"));
                let offset = header.base_offset().get();
                let right = known.batches.get(&offset).is_some_and(|known| known == batch);
                assert!(right, "{id}: a batch is served at {offset} that was not there");
                found.get_or_insert(offset);
                at = header.next_offset().get();
            }
            if found != Some(base) {
                miss(format!("{id}: {found:?} instead of the batch at {base}"));
                at = at.max(next);
            }
        }
    }

    /// What was sent last is known by its producer, and new records go behind all others.
    async fn append_to(
        &self,
        process: &Process,
        clock: &Clock,
        known: &Known,
        complaints: &Complaints,
        miss: &impl Fn(String),
    ) {
        let mut end = known.end;
        if let Some((bytes, offset)) = &known.last_sent {
            match append(process, clock, known.id, bytes).await {
                Ok((found, true)) if found == *offset => {}
                Ok((found, duplicate)) => {
                    miss(format!("what stands at {offset} is appended again, at {found}, {duplicate}"));
                    end = end.max(found + 2);
                }
                Err(error) => complaints.say(&error),
            }
        }
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(clock.timestamp(), Some(b"new"), Some(b"new"), &[]);
        match append(process, clock, known.id, &builder.build().freeze()).await {
            Ok((offset, _)) if offset == end => {}
            Ok((offset, _)) => miss(format!("{}: the log goes on at {offset}, not at {end}", known.id)),
            Err(error) => complaints.say(&error),
        }
    }
}

async fn append(
    process: &Process,
    clock: &Clock,
    id: PartitionId,
    bytes: &Bytes,
) -> Result<(i64, bool), crate::error::AppendError> {
    let topics = process.topics.get();
    let Some(topic) = topics.by_id(id.topic) else {
        return Err(crate::error::AppendError::UnknownPartition(id));
    };
    let checked =
        check(bytes[..].into(), &topic.config.check_rules(clock.timestamp())).expect("a good batch");
    let appended = process.owner(id).append(id, checked).await.await.expect("an answer")?;
    Ok((appended.base_offset.get(), appended.duplicate))
}

async fn earliest(process: &Process, id: PartitionId) -> Result<i64, ReadError> {
    let found = process.owner(id).find_offset(id, OffsetQuery::Earliest, None).await?;
    Ok(found.expect("every log has a start").offset.get())
}

async fn find(
    process: &Process,
    id: PartitionId,
    query: OffsetQuery,
) -> Result<Option<(i64, Timestamp)>, ReadError> {
    let found = process.owner(id).find_offset(id, query, None).await?;
    Ok(found.map(|found| (found.offset.get(), found.timestamp)))
}

/// What the engine has said: warnings and errors of its log, and the errors that it has answered with.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<Vec<String>>>);

impl Complaints {
    fn say(&self, what: &dyn fmt::Display) {
        self.0.lock().expect("one thread").push(what.to_string());
    }
}

impl Subscriber for Complaints {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.say(&text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The middle one of three segments goes: what it held is told to be missing, before and behind it all is
/// read.
#[test]
fn d5_a_segment_that_is_gone_is_told_and_the_others_are_read() {
    let reference = Reference::make();
    let logs: Vec<PathBuf> = (reference.disk.list_all().into_iter().map(|(path, _)| path))
        .filter(|path| path.to_str().is_some_and(|path| path.contains("/plain-0/") && path.ends_with(".log")))
        .collect();
    assert!(logs.len() > 2, "{logs:?}");
    let disk = reference.disk.kill(&mut Rng::with_seed(1));
    let mut simulation = Simulation::with_disk(1, disk.clone());
    simulation.run_until(async { crate::io::Disk::remove_file(&disk, &logs[1]).await }).expect("it is there");
    let process =
        start(&mut simulation, &reference.settings, |_| {}).expect("nothing stops it").expect("it starts");
    let known = &reference.partitions[0];
    let base =
        |path: &Path| path.file_stem().and_then(|name| name.to_str()?.parse::<i64>().ok()).expect("a base");
    let (gone, rest) = (base(&logs[1]), base(&logs[2]));
    simulation.run_until(async {
        for (offset, bytes) in &known.batches {
            let read = process.read(known.id, Offset::new(*offset), 1).await;
            match read {
                Err(ReadError::Faulty { fault, .. }) if (gone..rest).contains(offset) => {
                    let FaultKind::Damage { path, offset: first, .. } = &*fault else { panic!("{fault}") };
                    assert_eq!((path, first.get()), (&logs[0], gone), "where the hole begins");
                }
                Ok((_, found)) if !(gone..rest).contains(offset) => assert_eq!(found, *bytes),
                Ok((_, found)) => panic!("offset {offset}: {} bytes", found.len()),
                Err(error) => panic!("offset {offset}: {error}"),
            }
        }
    });
    assert_eq!(process.owner(known.id).stats().damages, 1, "one place, however often it is read");
}

/// Nobody reads, and the scrub finds what has rotted, wherever it is; each place once.
#[test]
fn d5_the_scrub_finds_what_nobody_reads() {
    let mut reference = Reference::make();
    reference.settings.scrub_bytes_per_second = 1 << 30;
    let mut rng = fastrand::Rng::new();
    let files = reference.disk.list_all();
    let is_scrubbed = |path: &Path| {
        let name = kind_of(path);
        path.starts_with(DATA_DIR)
            && ["meta", "topics", "settings", "producer-ids", ".log", COMPACTED].contains(&name)
    };
    for (path, length) in files.iter().filter(|(path, length)| is_scrubbed(path) && *length > 0) {
        let mut simulation = Simulation::with_disk(1, reference.disk.kill(&mut Rng::with_seed(1)));
        let complaints = Complaints::default();
        let damages = tracing::subscriber::with_default(complaints.clone(), || {
            let process = start(&mut simulation, &reference.settings, |_| {})
                .expect("nothing stops it")
                .expect("it starts");
            // Of partitions that are not open it has a view of its own.
            if rng.bool() {
                simulation.run_until(async {
                    for known in &reference.partitions {
                        earliest(&process, known.id).await.expect("it can be read");
                    }
                });
            }
            let position = rng.u64(..*length);
            simulation.disk().flip(path, position, rng.u32(..8));
            for _ in 0..3 {
                simulation.clock().advance(Duration::from_secs(4000));
                process.shards[0].tick(simulation.clock().timestamp());
                simulation.run_until_quiet();
            }
            assert!(process.shards[0].stats().scrubs >= 2, "it goes round and round");
            process.shards[0].stats().damages
        });
        let said = complaints.0.lock().expect("one thread");
        assert_eq!(damages, 1, "{}: {said:?}", path.display());
        // Compaction may have a word to say, too.
        let told = |line: &&String| line.contains("damage") && line.contains(path.to_str().expect("text"));
        let told = said.iter().filter(told).filter(|line| !line.contains("not compacted")).count();
        assert_eq!(told, 1, "it is told once: {said:?}");
    }
}
