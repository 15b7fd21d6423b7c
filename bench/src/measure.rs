//! One measurement: a fresh topic, load, readers when wanted, and then everything that was acknowledged read
//! back and checked.

use crate::broker::{BrokerError, Target};
use crate::client::{Client, ClientError, Topic};
use crate::clock::{SECOND, now};
use crate::cold::TopicFiles;
use crate::load::{self, Live, Load, LoadError};
use crate::process::{self, Usage};
use crate::progress::Progress;
use crate::read::{self, Ends, ReadError, Reading, Task};
use crate::samples::Window;
use crate::verify::Violation;
use crate::workload::Workload;
use serde_json::{Value, json};
use std::io;
use std::thread;
use std::time::Duration;

/// How long a new topic may take to get its leaders: some brokers need milliseconds for each of 10,000
/// partitions.
const TOPIC_TIMEOUT: u64 = 300 * SECOND;
/// How often a topic is asked for, as a part of the time that it has taken so far: often enough to see when
/// it is there, and seldom enough not to be what it waits for, since the answer names every partition.
const ASK_PART: u64 = 50;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeasureError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("the log is not what was acknowledged: {0}")]
    Violation(#[from] Violation),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("to make files cold, --data must say where they are")]
    ColdNeedsData,
}

/// What one measurement found.
#[derive(Debug)]
pub(crate) struct Measured {
    /// What the producers saw.
    pub(crate) load: Load,
    /// What the broker used in the window; its memory at its largest while the producers ran.
    pub(crate) produce_usage: Option<Usage>,
    /// Records acknowledged in all, warm-up and drain included.
    pub(crate) produced: u64,
    /// What a tailing reader saw, when there was one.
    pub(crate) tail: Option<Reading>,
    /// The reading back of everything, when it was wanted.
    pub(crate) catch_up: Option<Reading>,
    /// The part of it that was found in the page cache before, when it was to be cold.
    pub(crate) cached: Option<f64>,
    /// What the broker used for it.
    pub(crate) fetch_usage: Option<Usage>,
    /// Records found and checked.
    pub(crate) verified: u64,
}

/// What to do beside producing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Also {
    /// Tail readers a broker during the load; 0 for none.
    pub(crate) tail_readers: u32,
    /// Readers a broker that read everything afterwards; 0 for none.
    pub(crate) catch_up_readers: u32,
    /// Whether those find it on the device only, not in the page cache.
    pub(crate) cold: bool,
}

impl Also {
    /// Nothing.
    pub(crate) const NOTHING: Also = Also { tail_readers: 0, catch_up_readers: 0, cold: false };
    /// Reading back what was produced, to check it.
    pub(crate) const CHECK: Also = Also { catch_up_readers: 1, ..Also::NOTHING };
    /// A reader at the tail.
    pub(crate) const TAIL: Also = Also { tail_readers: 1, ..Also::NOTHING };
}

/// Creates a topic and waits until every partition has a leader.
pub(crate) fn create_topic(target: &Target, name: &str, partitions: u32) -> Result<Topic, MeasureError> {
    let mut client = Client::connect(&target.bootstrap)?;
    client.create_topic(name, partitions, &target.topic_configs)?;
    await_topic(&mut client, name, Some(partitions))
}

/// Waits until a topic has a leader for each partition, and each leader knows that it is.
pub(crate) fn await_topic(
    client: &mut Client,
    name: &str,
    partitions: Option<u32>,
) -> Result<Topic, MeasureError> {
    let started = now();
    loop {
        if let Some(topic) = client.topic(name)?
            && partitions.is_none_or(|partitions| topic.leaders.len() == partitions as usize)
            && read::end_offsets(&topic).is_ok()
        {
            return Ok(topic);
        }
        let waited = now() - started;
        if waited > TOPIC_TIMEOUT {
            let problem = "no leaders within five minutes";
            return Err(ClientError::Topic { topic: name.into(), problem }.into());
        }
        thread::sleep(Duration::from_nanos((waited / ASK_PART).clamp(SECOND / 1_000, SECOND)));
    }
}

/// A name that no other run uses.
pub(crate) fn topic_name() -> String {
    format!("strandline-bench-{}-{:x}", std::process::id(), now())
}

/// Measures `workload` on a fresh topic and deletes it afterwards.
pub(crate) fn run(
    target: &Target,
    workload: &Workload,
    also: Also,
    progress: &Progress,
) -> Result<Measured, MeasureError> {
    let name = topic_name();
    let topic = create_topic(target, &name, workload.partitions)?;
    let result = on_topic(target, workload, also, &topic, progress);
    let deleted = Client::connect(&target.bootstrap).and_then(|mut client| client.delete_topic(&name));
    let measured = result?;
    deleted?;
    Ok(measured)
}

/// Measures `workload` on a topic that nothing else has written to.
pub(crate) fn on_topic(
    target: &Target,
    workload: &Workload,
    also: Also,
    topic: &Topic,
    progress: &Progress,
) -> Result<Measured, MeasureError> {
    let live = Live::default();
    let start = now() + SECOND / 10;
    let window = workload.window(start);
    let ends = Ends::default();
    let no_identities = Vec::new();
    let tail_task = Task {
        topic,
        readers: also.tail_readers,
        window,
        ends: &ends,
        identities: &no_identities,
        live: &live,
    };
    let phase = progress.phase("produce", workload.warmup + workload.seconds);
    let ((load, tail), produce_usage) = process::during(target.watched(), Some(window), || {
        phase.watch(&live, || {
            thread::scope(|scope| {
                let tail = (also.tail_readers > 0).then(|| scope.spawn(|| read::run(&tail_task)));
                let load = load::run(workload, &target.bootstrap, topic, start, &live);
                // The readers stop at what is there now; when that can not be known, where they are.
                let known = read::end_offsets(topic);
                ends.set(known.unwrap_or_else(|_| vec![0; topic.leaders.len()]));
                (load, tail.map(|tail| tail.join().expect("a reader does not panic")))
            })
        })
    });
    let mut load = load?;
    if let Some(failure) = load.failure.take() {
        return Err(failure.into());
    }
    let mut tail = tail.transpose()?;
    let produced = load.acknowledged.values().sum();
    let mut verified = 0;
    if let Some(tail) = &mut tail {
        verified = tail.verifier.finish(&load.acknowledged)?;
    }

    let (mut catch_up, mut fetch_usage, mut cached) = (None, None, None);
    if also.catch_up_readers > 0 {
        if also.cold {
            let data = target.data.as_deref().ok_or(MeasureError::ColdNeedsData)?;
            let files = TopicFiles::synced(data, &topic.name)?;
            files.drop_pages()?;
            cached = Some(files.cached()?);
        }
        ends.set(read::end_offsets(topic)?);
        let started = now();
        let window = Window { start: started, end: started + 600 * SECOND };
        let task = Task {
            topic,
            readers: also.catch_up_readers,
            window,
            ends: &ends,
            identities: &load.identities,
            live: &live,
        };
        let phase = progress.phase("read back and check", 0);
        let (reading, usage) =
            process::during(target.watched(), None, || phase.watch(&live, || read::run(&task)));
        let mut reading = reading?;
        verified = reading.verifier.finish(&load.acknowledged)?;
        catch_up = Some(reading);
        fetch_usage = usage;
    }
    Ok(Measured { load, produce_usage, produced, tail, catch_up, cached, fetch_usage, verified })
}

/// Something that was done again and again.
#[derive(Debug)]
pub(crate) struct Passes {
    /// What all of them moved.
    pub(crate) bytes: u64,
    /// What the other side used for it.
    pub(crate) usage: Option<Usage>,
    /// How long they took.
    pub(crate) seconds: f64,
}

/// Calls `pass`, which says how many bytes it has moved, until `seconds` are over.
pub(crate) fn over_and_over(
    target: &Target,
    seconds: u64,
    mut pass: impl FnMut() -> Result<u64, MeasureError>,
) -> Result<Passes, MeasureError> {
    let started = now();
    let (bytes, usage) = process::during(target.watched(), None, || -> Result<u64, MeasureError> {
        let mut bytes = 0;
        while now() < started + seconds * SECOND {
            bytes += pass()?;
        }
        Ok(bytes)
    });
    Ok(Passes { bytes: bytes?, usage, seconds: (now() - started) as f64 / SECOND as f64 })
}

impl Passes {
    /// 10^6 bytes a second.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }
}

impl Reading {
    /// Records a second from the first fetch to the last record.
    pub(crate) fn records_per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// Bytes of batches a second, in 10^6.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }
}

/// CPU seconds that a million records cost.
pub(crate) fn cpu_per_million(usage: Option<&Usage>, records: u64) -> Option<f64> {
    usage.filter(|_| records > 0).map(|usage| usage.cpu_seconds * 1e6 / records as f64)
}

/// Device flushes that a million records cost, when they were counted.
pub(crate) fn flushes_per_million(usage: Option<&Usage>, records: u64) -> Option<f64> {
    let device = usage.filter(|_| records > 0)?.device?;
    Some(device.flushes as f64 * 1e6 / records as f64)
}

impl Measured {
    /// All of it.
    pub(crate) fn json(&self) -> Value {
        let usage = |usage: &Option<Usage>| usage.as_ref().map(Usage::json);
        json!({
            "publish": self.load.publish.json(),
            "send_lag": self.load.send_lag.json()["latency"],
            "unanswered": self.load.unanswered,
            "produced": self.produced,
            "verified": self.verified,
            "produce_usage": usage(&self.produce_usage),
            "produce_cpu_seconds_per_million": cpu_per_million(self.produce_usage.as_ref(), self.load.publish.records()),
            "device_flushes_per_million": flushes_per_million(self.produce_usage.as_ref(), self.load.publish.records()),
            "end_to_end": self.tail.as_ref().map(|tail| tail.samples.json()),
            "catch_up": self.catch_up.as_ref().map(|reading| json!({
                "cached_before": self.cached, "records": reading.records, "seconds": reading.seconds,
                "records_per_second": reading.records_per_second(),
                "megabytes_per_second": reading.megabytes_per_second(),
                "cpu_seconds_per_million": cpu_per_million(self.fetch_usage.as_ref(), reading.records),
            })),
            "fetch_usage": usage(&self.fetch_usage),
        })
    }
}
