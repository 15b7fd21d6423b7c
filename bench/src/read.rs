//! Readers: of what arrives (tail), with the time from due to in hand, and of what is there (catch-up). Both
//! check every record that a consumer of their isolation level would show.
//!
//! A reader is a thread with one connection and one fetch under way at a time, asking for as much as the Java
//! client does by default. The next fetch is sent before the records of the last one are looked at. Fetches
//! carry no session: each names all its partitions.

use crate::client::{Client, ClientError, Topic, refuse};
use crate::clock::{SECOND, now};
use crate::isolation::{Isolation, Shown};
use crate::load::Live;
use crate::samples::{Samples, Window};
use crate::stamp::{Stamp, Stream};
use crate::template::Identity;
use crate::verify::{Verifier, Violation};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchError, Batches, verify_crc};
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::{RecordError, Records};
use strandline_protocol::messages::{AbortedTransaction, FetchPartition, FetchRequest, FetchTopic};

/// `fetch.max.bytes` of the Java client.
const FETCH_BYTES_MAX: i32 = 50 << 20;
/// `max.partition.fetch.bytes` of the Java client.
const PARTITION_BYTES_MAX: i32 = 1 << 20;
/// How long the broker may hold a fetch that finds nothing, in milliseconds. Short, so that an end is
/// noticed.
const WAIT_MS: i32 = 100;
/// How long a reader waits for records that must be there.
const PATIENCE: u64 = 30 * SECOND;

/// Why a reader stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("partition {partition}: {source}")]
    Batch { partition: i32, source: BatchError },
    #[error("partition {partition}: {source}")]
    Record { partition: i32, source: RecordError },
    #[error("the log is not what was sent: {0}")]
    Violation(#[from] Violation),
    #[error("no progress for 30 s; still to read: {0:?}")]
    Stuck(Vec<(i32, i64, i64)>),
}

/// Where readers stop: the end offset of every partition, once it is known.
#[derive(Debug, Default)]
pub(crate) struct Ends(Mutex<Option<Vec<i64>>>);

impl Ends {
    /// Stop when these are reached.
    pub(crate) fn set(&self, ends: Vec<i64>) {
        *self.0.lock().expect("no holder panics") = Some(ends);
    }

    fn get(&self) -> Option<Vec<i64>> {
        self.0.lock().expect("no holder panics").clone()
    }
}

/// What readers have seen.
#[derive(Debug)]
pub(crate) struct Reading {
    /// From due to in hand, and records by the second.
    pub(crate) samples: Samples,
    /// The streams as read.
    pub(crate) verifier: Verifier,
    /// Records that are shown, in or out of the window.
    pub(crate) records: u64,
    /// Bytes of batches in all, markers and what is not shown included.
    pub(crate) bytes: u64,
    /// From the first fetch to the last record.
    pub(crate) seconds: f64,
}

/// What readers are to do.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    /// The topic.
    pub(crate) topic: &'a Topic,
    /// Reader threads for each broker.
    pub(crate) readers: u32,
    /// When samples count.
    pub(crate) window: Window,
    /// When to stop.
    pub(crate) ends: &'a Ends,
    /// Who the producer ids of compressed batches are.
    pub(crate) identities: &'a [Option<Identity>],
    /// Counters for whoever shows progress.
    pub(crate) live: &'a Live,
}

/// What of the batches is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Everything: every record is checked.
    Records,
    /// Their headers, which is the least that a consumer can do: what is measured then is the broker.
    Headers,
}

/// Reads the topic from offset 0 on until the ends are set and reached, and checks every record.
pub(crate) fn run(task: &Task<'_>) -> Result<Reading, ReadError> {
    run_as(task, Isolation::Uncommitted, Look::Records)
}

/// The same as a reader of one isolation level. Offsets of markers count as reached, too.
pub(crate) fn run_as(task: &Task<'_>, isolation: Isolation, look: Look) -> Result<Reading, ReadError> {
    let mut shares: HashMap<(&str, u32), Vec<i32>> = HashMap::new();
    for (index, leader) in (0..).zip(&task.topic.leaders) {
        shares.entry((leader, index as u32 % task.readers)).or_default().push(index);
    }
    let started = now();
    let results: Vec<Result<Reading, ReadError>> = thread::scope(|scope| {
        let running: Vec<_> = shares
            .into_iter()
            .map(|((leader, _), partitions)| {
                scope.spawn(move || Reader::new(task, (isolation, look), leader, partitions)?.run())
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("a reader does not panic")).collect()
    });
    let mut total = Reading {
        samples: Samples::new(task.window),
        verifier: Verifier::default(),
        records: 0,
        bytes: 0,
        seconds: 0.0,
    };
    for reading in results {
        let reading = reading?;
        total.samples.merge(&reading.samples);
        total.verifier.merge(reading.verifier);
        total.records += reading.records;
        total.bytes += reading.bytes;
    }
    total.seconds = (now() - started) as f64 / SECOND as f64;
    Ok(total)
}

struct Reader<'a> {
    task: &'a Task<'a>,
    isolation: Isolation,
    look: Look,
    client: Client,
    /// Its partitions, in the order of the next fetch.
    partitions: Vec<i32>,
    /// The next offset of each.
    offsets: HashMap<i32, i64>,
    producers: HashMap<i64, u32>,
    reading: Reading,
}

impl<'a> Reader<'a> {
    fn new(
        task: &'a Task<'a>,
        (isolation, look): (Isolation, Look),
        leader: &str,
        partitions: Vec<i32>,
    ) -> Result<Reader<'a>, ReadError> {
        let producers = (task.identities.iter().zip(0..))
            .filter_map(|(identity, producer)| identity.map(|identity| (identity.id, producer)))
            .collect();
        Ok(Reader {
            task,
            isolation,
            look,
            client: Client::connect(leader)?,
            offsets: partitions.iter().map(|&partition| (partition, 0)).collect(),
            partitions,
            producers,
            reading: Reading {
                samples: Samples::new(task.window),
                verifier: Verifier::default(),
                records: 0,
                bytes: 0,
                seconds: 0.0,
            },
        })
    }

    fn run(mut self) -> Result<Reading, ReadError> {
        let mut progress = now();
        let mut ends = None;
        self.fetch()?;
        loop {
            let answer = self.client.fetched()?;
            refuse("Fetch", answer.error_code, None)?;
            let parts: Vec<_> = answer.responses.into_iter().flat_map(|topic| topic.partitions).collect();
            let time = now();
            for part in &parts {
                refuse("Fetch", part.error_code, None)?;
                let Some(offset) = self.offsets.get_mut(&part.partition_index) else { continue };
                for batch in Batches::new(&part.records) {
                    let (header, _) = batch
                        .map_err(|source| ReadError::Batch { partition: part.partition_index, source })?;
                    progress = time;
                    // A batch may begin before the offset that was asked for, never end before it.
                    *offset = header.next_offset().get();
                }
            }
            ends = ends.or_else(|| self.task.ends.get());
            let left: Vec<(i32, i64, i64)> = match &ends {
                Some(ends) => (self.offsets.iter())
                    .map(|(&partition, &offset)| (partition, offset, ends[partition as usize]))
                    .filter(|(_, offset, end)| offset < end)
                    .collect(),
                None => Vec::new(),
            };
            let finished = ends.is_some() && left.is_empty();
            if !finished {
                self.fetch()?;
            }
            for part in parts {
                self.check(part.partition_index, part.aborted_transactions, &part.records, time)?;
            }
            if finished {
                return Ok(self.reading);
            }
            if !left.is_empty() && time.saturating_sub(progress) > PATIENCE {
                return Err(ReadError::Stuck(left));
            }
        }
    }

    fn fetch(&mut self) -> Result<(), ReadError> {
        let partitions = (self.partitions.iter())
            .map(|&partition| FetchPartition {
                partition,
                fetch_offset: self.offsets[&partition],
                partition_max_bytes: PARTITION_BYTES_MAX,
                ..FetchPartition::default()
            })
            .collect();
        let topic =
            FetchTopic { topic: self.task.topic.name.clone(), topic_id: self.task.topic.id, partitions };
        let request = FetchRequest {
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES_MAX,
            isolation_level: self.isolation as i8,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        // Which partition is served first when not all fit: each in turn.
        self.partitions.rotate_left(1);
        Ok(self.client.fetch(&request)?)
    }

    /// Checks the records of a partition, which were in hand at `time`.
    fn check(
        &mut self,
        partition: i32,
        aborted: Option<Vec<AbortedTransaction>>,
        records: &[u8],
        time: u64,
    ) -> Result<(), ReadError> {
        let (reading, mut shown) = (&mut self.reading, Shown::new(aborted));
        for batch in Batches::new(records) {
            let (header, bytes) = batch.map_err(|source| ReadError::Batch { partition, source })?;
            // They were read, shown or not.
            reading.bytes += bytes.len() as u64;
            if !shown.shows(header, bytes) {
                continue;
            }
            let count = header.record_count() as u64;
            reading.records += count;
            self.task.live.read.fetch_add(count, Relaxed);
            if self.look == Look::Headers {
                continue;
            }
            let (index, offset) = (partition as u32, header.base_offset().get());
            verify_crc(bytes).map_err(|_| Violation::Crc { partition: index, offset })?;
            match header.codec().map_err(|source| ReadError::Batch { partition, source })? {
                Codec::None => {
                    for record in Records::new(&bytes[BATCH_HEADER_BYTES..], count as u32) {
                        let record = record.map_err(|source| ReadError::Record { partition, source })?;
                        let stamp = record.value.and_then(Stamp::read);
                        let stamp = stamp.ok_or(Violation::Foreign { partition: index, offset })?;
                        reading.verifier.record(index, &stamp)?;
                        reading.samples.latency(stamp.due, time, 1);
                    }
                }
                _ => {
                    let producer = self.producers.get(&header.producer_id().0);
                    let &producer = producer.ok_or(Violation::Foreign { partition: index, offset })?;
                    let stream = Stream { producer, partition: index };
                    reading.verifier.batch(stream, header.base_sequence().0 as u64, count)?;
                }
            }
            reading.samples.completed(time, count, bytes.len() as u64);
        }
        Ok(())
    }
}

/// The end offsets of all partitions of a topic, asked of their leaders.
pub(crate) fn end_offsets(topic: &Topic) -> Result<Vec<i64>, ClientError> {
    let mut ends = vec![0; topic.leaders.len()];
    let mut by_leader: HashMap<&str, Vec<i32>> = HashMap::new();
    for (index, leader) in (0..).zip(&topic.leaders) {
        by_leader.entry(leader).or_default().push(index);
    }
    for (leader, partitions) in by_leader {
        let offsets = Client::connect(leader)?.offsets(&topic.name, &partitions, -1)?;
        for (partition, offset) in partitions.into_iter().zip(offsets) {
            ends[partition as usize] = offset;
        }
    }
    Ok(ends)
}
