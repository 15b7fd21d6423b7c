//! A data directory of any content: what the shipping recovery makes of it, and what is read afterwards.
//!
//! ```text
//! bytes > choices > files: segments, indexes, journals, checkpoints of made-up batches; then bytes that are changed, files that are cut
//! ```

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::input::Input;
use super::{batches, index};
use crate::config::{CleanerConfig, TopicDefaults};
use crate::error::StartError;
use crate::format::batch::{self, BatchHeader, Batches, verify_crc};
use crate::format::builder::BatchBuilder;
use crate::format::checkpoint::{
    CHECKPOINT_KIND, CHECKPOINT_VERSION, CheckpointEncoder, PartitionCheckpoint, ProducerCheckpoint,
};
use crate::format::compacted::Compacted;
use crate::format::compression::Codec;
use crate::format::envelope::seal;
use crate::format::journal::encode_commit;
use crate::format::meta::Meta;
use crate::format::topics::{self, Placement, TopicRecord, TopicsFile};
use crate::format::{names, producer_ids};
use crate::io::latch::Latch;
use crate::io::{AlignedBuffer, Disk};
use crate::message::{OffsetQuery, ReadRequest};
use crate::recovery::{Owner, recover};
use crate::shard::{Shard, ShardStart};
use crate::sim::{SimDisk, Simulation};
use crate::sync::Published;
use crate::topics::TopicTable;
use crate::types::{
    LeaderEpoch, Offset, PartitionId, Position, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId,
};

const DATA_DIR: &str = "/data";
const TOPICS: [(&str, [u8; 16], u32); 2] = [("orders", [1; 16], 2), ("table", [2; 16], 1)];
const PARTITIONS: [(&str, PartitionId); 3] = [
    ("orders-0", PartitionId::new(TopicId::from_bytes(TOPICS[0].1), 0)),
    ("orders-1", PartitionId::new(TopicId::from_bytes(TOPICS[0].1), 1)),
    ("table-0", PartitionId::new(TopicId::from_bytes(TOPICS[1].1), 0)),
];

/// Recovery ends; what is read is intact; after a power loss or a kill the next start succeeds, and finds the
/// same.
pub(super) fn recovery(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let [first, second] = [1 + input.below(2), 1 + input.below(2)];
    let loses_power = input.chance(128);
    let mut simulation = Simulation::new(0);
    write_directory(&simulation.disk(), &mut input);
    let Ok(node) = Node::start(&mut simulation, first) else { return };
    let mut found = node.read_all(&mut simulation);
    found.retain(|found| node.has_point.contains(&found.id) || !found.batches.is_empty());
    drop(node);
    let before = simulation.disk();
    for shards in [second, first] {
        simulation = if loses_power { simulation.crash() } else { simulation.kill() };
        let again = Node::start(&mut simulation, shards);
        let again = again
            .unwrap_or_else(|error| panic!("a second start fails: {error}\n{}", simulation.disk().dump()));
        let mut found_again = again.read_all(&mut simulation);
        // Where a log without a checkpoint starts is told by its first segment, and forgotten when that turns
        // out to be a torn tail.
        found_again.retain(|again| found.iter().any(|found| found.name == again.name));
        if found_again != found {
            let written = SimDisk::new(0);
            write_directory(&written, &mut Input::new(&bytes[bytes.len().min(3)..]));
            for (when, disk) in [("written", written), ("at first", before), ("then", again.disk)] {
                eprintln!("{when}:\n{}", disk.dump());
            }
            panic!("a second start finds something else:\n{found:#?}\n{found_again:#?}");
        }
    }
}

/// Shards that only read.
struct Node {
    disk: SimDisk,
    topics: Arc<Published<TopicTable>>,
    shards: Vec<Rc<Shard<Latch<SimDisk>>>>,
    /// The partitions that have a checkpoint now.
    has_point: Vec<PartitionId>,
}

/// What a partition has: where it starts and ends, and what can be read of it.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    id: PartitionId,
    name: String,
    start: Offset,
    end: Offset,
    batches: Vec<Vec<u8>>,
    stopped_by: Option<String>,
}

impl Node {
    fn start(simulation: &mut Simulation, count: usize) -> Result<Node, StartError> {
        let disk = simulation.disk();
        let clock = simulation.clock();
        simulation.run_until(async {
            let data_dir = Path::new(DATA_DIR);
            let (defaults, cleaner) = (TopicDefaults::default(), CleanerConfig::default());
            let recovered = recover(&disk, data_dir, count, &defaults, &cleaner, Owner::default()).await?;
            let settings = Arc::new(Published::new(recovered.settings));
            let unwritten = recovered.unwritten.map(Arc::new);
            let has_point = recovered.checkpoints.iter().flatten().map(|point| point.partition).collect();
            let topics = Arc::new(Published::new(recovered.topics));
            let damaged = Arc::new(recovered.damaged);
            let mut shards = Vec::new();
            for (index, checkpoints) in recovered.checkpoints.into_iter().enumerate() {
                let clock = clock.clone();
                let start = ShardStart {
                    disk: Latch::new(disk.clone()),
                    data_dir: data_dir.to_owned(),
                    index,
                    shards: count,
                    topics: topics.clone(),
                    checkpoints,
                    unwritten: unwritten.clone(),
                    damaged: damaged.clone(),
                    journal_number: recovered.journal_number,
                    generation: 1000 + index as u64,
                    journal_file_bytes_max: 8 << 10,
                    open_files_max: 4,
                    retention_check: Duration::from_secs(1),
                    settings: settings.clone(),
                    scrub_bytes_per_second: 0,
                    background_share: 0.1,
                    clock: Rc::new(move || clock.timestamp()),
                    stopwatch: Rc::new(|| Duration::ZERO),
                };
                shards.push(Shard::start(start).await?.0);
            }
            Ok(Node { disk, topics, shards, has_point })
        })
    }

    fn read_all(&self, simulation: &mut Simulation) -> Vec<Found> {
        let topics = self.topics.get();
        let mut found = Vec::new();
        for topic in topics.iter() {
            // A table that was not of ours can name more partitions than anybody will read.
            for id in topic.partitions_here().take(4) {
                let name = names::partition_dir(&topic.name, id.index);
                found.extend(simulation.run_until(self.read_partition(id, name)));
            }
        }
        found
    }

    /// `None` where the partition can not be opened.
    async fn read_partition(&self, id: PartitionId, name: String) -> Option<Found> {
        let shard = &self.shards[id.shard(self.shards.len())];
        let start = shard.find_offset(id, OffsetQuery::Earliest, None).await.ok()??.offset;
        let end = shard.find_offset(id, OffsetQuery::Latest, None).await.ok()??.offset;
        assert!(start <= end);
        let mut found = Found { id, name, start, end, batches: Vec::new(), stopped_by: None };
        let mut next = start;
        while next < end {
            let request = ReadRequest::new(id, next, 4096);
            let read = match shard.read(request).await {
                Ok(read) => read,
                Err(error) => {
                    found.stopped_by = Some(error.to_string());
                    break;
                }
            };
            let Some(range) = read.batches else { break };
            assert_eq!(read.log_start, start);
            let file = range.file.get_ref();
            let bytes =
                self.disk.read(file, range.position, range.length as usize).await.expect("no read fails");
            assert_eq!(bytes.len() as u64, range.length, "a range of bytes that are there");
            let before = next;
            for batch in Batches::new(&bytes) {
                let (header, batch) = batch.expect("whole batches are read");
                assert_eq!(verify_crc(batch), Ok(()), "{} offset {}", found.name, header.base_offset());
                next = header.next_offset();
                found.batches.push(batch.to_vec());
            }
            assert!(next > before, "{}: a read at {before} gets nowhere", found.name);
        }
        Some(found)
    }
}

// ---- the directory ----------------------------------------------------------------------------------------

fn write_directory(disk: &SimDisk, input: &mut Input<'_>) {
    let install = |path: &str, content: &[u8]| disk.install(Path::new(DATA_DIR).join(path), content);
    install("meta", &Meta { cluster_id: [9; 16], node_id: 1, directory_id: None }.encode());
    install(
        "topics",
        &topics::encode(&TopicsFile {
            topics: TOPICS
                .map(|(name, id, partitions)| TopicRecord {
                    name: name.to_owned(),
                    id: TopicId::from_bytes(id),
                    partitions,
                    configs: if name == "table" {
                        vec![("cleanup.policy".to_owned(), "compact".to_owned())]
                    } else {
                        Vec::new()
                    },
                    placement: Placement::ALONE,
                })
                .into(),
            deleted: Vec::new(),
        }),
    );
    let mut made = 0;
    while !input.is_empty() {
        match input.below(12) {
            0..=2 => {
                let (directory, _) = input.choose(&PARTITIONS);
                let mut offset = Offset::new(i64::from(input.byte()));
                let name = match input.below(10) {
                    0 => names::cleaned_segment(offset),
                    1 => names::swap_segment(offset, offset.plus(1 + i64::from(input.byte()))),
                    _ => names::segment_log(offset),
                };
                let content = some_batches(input, &mut offset, &mut made).concat();
                install(&format!("{directory}/{name}"), &content);
            }
            3..=5 => {
                let (shard, number) = (input.below(2), input.below(3));
                install(&format!("shards/{shard}/journal-{number}"), &some_commits(input, &mut made));
            }
            6 | 7 => install(&format!("shards/{}/checkpoint", input.below(2)), &some_points(input)),
            8 => {
                let (directory, _) = input.choose(&PARTITIONS);
                let ends = [input.byte(), input.byte(), input.byte()].map(|end| Offset::new(i64::from(end)));
                let [compacted_end, clean_end, gaps_end] = ends;
                let compacted = Compacted { compacted_end, clean_end, gaps_end };
                install(&format!("{directory}/compacted"), &compacted.encode());
            }
            9 => some_file(input, &install),
            _ => damage(disk, input),
        }
    }
}

/// Batches that follow each other, most of them without a gap. Damage comes later.
fn some_batches(input: &mut Input<'_>, offset: &mut Offset, made: &mut i64) -> Vec<Vec<u8>> {
    let mut made_batches = Vec::new();
    for _ in 0..1 + input.below(6) {
        let kind = input.byte();
        let codec = if kind & 0x80 != 0 { Codec::Lz4 } else { Codec::None };
        let mut builder = BatchBuilder::new(codec);
        if kind & 0x40 != 0 {
            builder = builder.producer(
                ProducerId(i64::from(kind & 3)),
                ProducerEpoch::FIRST,
                Sequence(i32::from(input.byte())),
            );
        }
        for _ in 0..1 + (kind & 3) {
            *made += 1;
            builder.push(Timestamp(*made), Some(&[kind & 7]), Some(&made.to_le_bytes()), &[]);
        }
        if kind & 0x38 == 0x38 {
            *offset = offset.plus(i64::from(input.byte()));
        }
        let mut bytes = builder.build().to_vec();
        batch::stamp(&mut bytes, *offset, LeaderEpoch::FIRST);
        *offset = BatchHeader::peek(&bytes).expect("a batch of ours").next_offset();
        made_batches.push(bytes);
    }
    made_batches
}

fn some_commits(input: &mut Input<'_>, made: &mut i64) -> Vec<u8> {
    let mut file = AlignedBuffer::new();
    let generation = 1 + input.below(2) as u64;
    for sequence in 0..1 + input.below(3) as u64 {
        let (_, partition) = input.choose(&PARTITIONS);
        let mut offset = Offset::new(i64::from(input.byte()));
        let batches = some_batches(input, &mut offset, made);
        let entries: Vec<_> = batches.iter().map(|batch| (partition, 0, &batch[..])).collect();
        encode_commit(&mut file, generation, sequence, &entries);
    }
    file.as_ref().to_vec()
}

fn some_points(input: &mut Input<'_>) -> Vec<u8> {
    let mut encoder = CheckpointEncoder::new();
    for _ in 0..1 + input.below(3) {
        let (_, partition) = input.choose(&PARTITIONS);
        let mut offset = || Offset::new(i64::from(input.byte()));
        let (log_start, segment_base, next_offset) = (offset(), offset(), offset());
        // Lengths of batches are few; a position that is none of their sums is a directory that somebody has
        // put together.
        let position = u64::from(input.number());
        let max_timestamp = Timestamp::NONE;
        // Where the log begins, or behind the recovery point: the file is refused then.
        let open = Some(Offset::new(log_start.get() + input.below(4) as i64));
        let producers = match input.chance(64) {
            true => vec![ProducerCheckpoint {
                id: ProducerId(7),
                epoch: ProducerEpoch::FIRST,
                last_timestamp: Timestamp::NONE,
                batches: Vec::new(),
                open,
                marker: None,
                coordinator_epoch: None,
            }],
            false => Vec::new(),
        };
        encoder.push(&PartitionCheckpoint {
            partition,
            log_start,
            segment_base,
            position: Position(position),
            next_offset,
            max_timestamp,
            high_watermark: next_offset,
            truncations: 0,
            last_aborted: None,
            epochs: Vec::new(),
            producers,
        });
    }
    encoder.finish().to_vec()
}

/// A file of free content, with its sums put right.
fn some_file(input: &mut Input<'_>, install: &impl Fn(&str, &[u8])) {
    let (directory, _) = input.choose(&PARTITIONS);
    let choice = input.below(8);
    let base = Offset::new(i64::from(input.byte()));
    let length = usize::from(input.byte());
    let content = input.take(length);
    match choice {
        0 => install(&format!("{directory}/{}", names::segment_index(base)), &index::mended(content)),
        1 if content.len() > batch::BATCH_HEADER_BYTES => {
            install(&format!("{directory}/{}", names::segment_log(base)), &batches::mend(content));
        }
        2 => install("shards/1/checkpoint", &seal(CHECKPOINT_KIND, CHECKPOINT_VERSION, content)),
        3 => {
            let version = 1 + base.get() as u16 % topics::TOPICS_VERSION;
            install("topics", &seal(topics::TOPICS_KIND, version, content));
        }
        4 => install("producer-ids", &producer_ids::encode(ProducerId(base.get()))),
        5 => install(
            &format!("shards/0/journal-{}", String::from_utf8_lossy(content).replace(['/', '\0'], "")),
            b"",
        ),
        6 => install("nobody-0/00000000000000000000.log", content),
        _ => install(&format!("{directory}/{}", names::segment_log(base)), content),
    }
}

/// Changes a byte of a file that is there, or cuts it.
fn damage(disk: &SimDisk, input: &mut Input<'_>) {
    let files: Vec<(PathBuf, u64)> = disk.list_all();
    let (path, length) = &files[input.below(files.len().min(256))];
    let position = u64::from(input.number());
    let change = input.byte();
    let mut content = disk.read_cached(path).expect("it was listed");
    if change == 0 {
        content.truncate((position % (length + 1)) as usize);
    } else if *length > 0 {
        content[(position % length) as usize] ^= change;
    }
    disk.install(path, &content);
}
