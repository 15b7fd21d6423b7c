//! A topic that was filled before the measurement: as much of it on every system, for readers that come late.

use crate::broker::Target;
use crate::client::Topic;
use crate::clock::{SECOND, now};
use crate::load::{self, Live, Load};
use crate::measure::{self, MeasureError};
use crate::progress::Progress;
use crate::read::{self, Ends, Reading, Task};
use crate::samples::Window;
use crate::workload::Workload;
use std::fs::File;

/// How fast it is filled. By schedule, and not as fast as it goes, because then every system holds the same
/// bytes.
const BYTES_PER_SECOND: u64 = 200_000_000;
/// Long enough for full batches at that rate.
const LINGER_MS: u64 = 20;
/// A reader's samples are not looked at; they have to be somewhere.
const UNUSED: Window = Window { start: 0, end: SECOND };

/// A topic with records in it, all of them acknowledged.
#[derive(Debug)]
pub(crate) struct History {
    /// The topic.
    pub(crate) topic: Topic,
    load: Load,
    ends: Ends,
    live: Live,
}

impl History {
    /// Fills a new topic with `megabytes` of records of 1 KiB, and waits until they are on the device.
    pub(crate) fn fill(
        target: &Target,
        megabytes: u64,
        partitions: u32,
        progress: &Progress,
    ) -> Result<History, MeasureError> {
        let bytes = megabytes * 1_000_000;
        let seconds = bytes.div_ceil(BYTES_PER_SECOND);
        let workload =
            Workload { partitions, seconds, warmup: 0, linger_ms: LINGER_MS, ..Workload::default() };
        let records = bytes as f64 / f64::from(workload.record_bytes);
        let workload = Workload { rate: Some(records / seconds as f64), ..workload };
        let topic = measure::create_topic(target, &measure::topic_name(), partitions)?;
        let (live, ends) = (Live::default(), Ends::default());
        let phase = progress.phase("fill", seconds);
        let mut load =
            phase.watch(&live, || load::run(&workload, &target.bootstrap, &topic, now(), &live))?;
        if let Some(failure) = load.failure.take() {
            return Err(failure.into());
        }
        ends.set(read::end_offsets(&topic)?);
        if let Some(data) = &target.data {
            rustix::fs::syncfs(File::open(data)?).map_err(std::io::Error::from)?;
        }
        Ok(History { topic, load, ends, live })
    }

    /// Reads all of it from offset 0 and checks that nothing is missing.
    pub(crate) fn read(&self, readers: u32) -> Result<Reading, MeasureError> {
        let identities = &self.load.identities;
        let (topic, ends, live) = (&self.topic, &self.ends, &self.live);
        let mut reading = read::run(&Task { topic, readers, window: UNUSED, ends, identities, live })?;
        reading.verifier.finish(&self.load.acknowledged)?;
        Ok(reading)
    }
}
