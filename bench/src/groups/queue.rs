//! Consumers of a share group (KIP-932) that work off one partition, each record acknowledged.

use super::{PAUSE, Worked, is_passing, set};
use crate::broker::Target;
use crate::client::{Client, ClientError, refuse};
use crate::clock::{SECOND, now};
use crate::load::{self, Live};
use crate::measure::{self, MeasureError};
use crate::process;
use crate::workload::Workload;
use hdrhistogram::Histogram;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    AcquiredRecords, ShareAcknowledgePartition, ShareAcknowledgeRequest, ShareAcknowledgeTopic,
    ShareAcknowledgementBatch, ShareFetchPartition, ShareFetchRequest, ShareFetchTopic,
    ShareGroupHeartbeatRequest,
};

/// `max.poll.records` of the clients.
const RECORDS_MAX: i32 = 500;
/// How long a fetch waits, in milliseconds.
const WAIT_MS: i32 = 500;
/// Bytes of a fetch: `fetch.max.bytes` of the clients.
const BYTES_MAX: i32 = 50 << 20;
/// That a record is done with.
const ACCEPT: i8 = 1;
/// Records a second while the partition is filled.
const FILL_RATE: f64 = 200_000.0;

/// What the consumers know of each other.
struct Queue {
    group: String,
    topic: Uuid,
    name: String,
    /// How often each record was acknowledged.
    done: Vec<AtomicU8>,
    left: AtomicU64,
    end: AtomicU64,
    start: Barrier,
}

struct Consumer<'a> {
    queue: &'a Queue,
    client: Client,
    id: String,
    epoch: i32,
    session: i32,
    /// When it has to say that it is there.
    due: u64,
    acknowledged: Histogram<u64>,
}

/// So many consumers work off a partition with `backlog` records, for `workload.seconds` at the most.
pub(super) fn run(
    target: &Target,
    consumers: u32,
    backlog: u64,
    workload: &Workload,
) -> Result<Worked, MeasureError> {
    let topic = measure::create_topic(target, &measure::topic_name(), 1)?;
    let seconds = (backlog as f64 / FILL_RATE).ceil();
    let fill = Workload {
        partitions: 1,
        rate: Some(backlog as f64 / seconds),
        seconds: seconds as u64,
        warmup: 0,
        linger_ms: 20,
        ..workload.clone()
    };
    let mut load = load::run(&fill, &target.bootstrap, &topic, now(), &Live::default())?;
    if let Some(failure) = load.failure.take() {
        return Err(failure.into());
    }
    let records: u64 = load.acknowledged.values().sum();
    let queue = Queue {
        group: format!("{}-queue", topic.name),
        topic: topic.id,
        name: topic.name,
        done: (0..records).map(|_| AtomicU8::new(0)).collect(),
        left: AtomicU64::new(records),
        end: AtomicU64::new(u64::MAX),
        start: Barrier::new(consumers as usize + 1),
    };
    let mut client = Client::connect(&target.bootstrap)?;
    client.await_group(&queue.group)?;
    set(&mut client, &queue.group, "share.auto.offset.reset", "earliest")?;
    let mut all = Vec::new();
    for number in 0..consumers {
        all.push(Consumer::new(&queue, Client::connect(&target.bootstrap)?, number));
    }
    thread::scope(|scope| {
        let threads: Vec<_> = all.into_iter().map(|consumer| scope.spawn(move || consumer.run())).collect();
        queue.start.wait();
        let start = now();
        queue.end.store(start + workload.seconds * SECOND, SeqCst);
        let (results, usage) = process::during(target.watched(), None, || {
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a consumer does not panic"))
                .collect::<Vec<_>>()
        });
        let mut acknowledged = Histogram::<u64>::new(3).expect("3 digits are allowed");
        let mut last = start;
        for result in results {
            let (histogram, ended) = result?;
            acknowledged.add(histogram).expect("the histogram grows as needed");
            last = last.max(ended);
        }
        let records = records - queue.left.load(SeqCst);
        Ok(Worked {
            records,
            took: Duration::from_nanos(last - start),
            acknowledged: [50.0, 99.0].map(|percentile| acknowledged.value_at_percentile(percentile)),
            usage,
        })
    })
}

impl<'a> Consumer<'a> {
    fn new(queue: &'a Queue, client: Client, number: u32) -> Consumer<'a> {
        // Kafka takes 36 characters at the most.
        let id = format!("consumer-{number}");
        let acknowledged = Histogram::new(3).expect("3 digits are allowed");
        Consumer { queue, client, id, epoch: 0, session: 0, due: 0, acknowledged }
    }

    /// Works until nothing is left or it is time; when it has had its last answer.
    fn run(mut self) -> Result<(Histogram<u64>, u64), ClientError> {
        let joined = self.join();
        self.queue.start.wait();
        joined?;
        let mut last = now();
        loop {
            let time = now();
            if self.queue.left.load(SeqCst) == 0 || time >= self.queue.end.load(SeqCst) {
                return Ok((self.acknowledged, last));
            }
            if time >= self.due {
                self.beat()?;
            }
            let acquired = self.fetch()?;
            if !acquired.is_empty() {
                self.acknowledge(&acquired)?;
                last = now();
            }
        }
    }

    /// Until it has the partition.
    fn join(&mut self) -> Result<(), ClientError> {
        while !self.beat()? {
            thread::sleep(Duration::from_nanos(PAUSE));
        }
        Ok(())
    }

    /// Says that it is there; whether it was told of a partition.
    fn beat(&mut self) -> Result<bool, ClientError> {
        let answer = self.client.call(&ShareGroupHeartbeatRequest {
            group_id: self.queue.group.clone(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            subscribed_topic_names: (self.epoch == 0).then(|| vec![self.queue.name.clone()]),
            ..ShareGroupHeartbeatRequest::default()
        })?;
        if is_passing(answer.error_code) {
            return Ok(false);
        }
        refuse("ShareGroupHeartbeat", answer.error_code, answer.error_message)?;
        self.epoch = answer.member_epoch;
        self.due = now() + answer.heartbeat_interval_ms as u64 * (SECOND / 1000);
        Ok(answer.assignment.is_some_and(|assignment| !assignment.topic_partitions.is_empty()))
    }

    fn fetch(&mut self) -> Result<Vec<AcquiredRecords>, ClientError> {
        let partition = ShareFetchPartition { partition_index: 0, acknowledgement_batches: Vec::new() };
        let request = ShareFetchRequest {
            group_id: Some(self.queue.group.clone()),
            member_id: Some(self.id.clone()),
            share_session_epoch: self.session,
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: BYTES_MAX,
            max_records: RECORDS_MAX,
            batch_size: RECORDS_MAX,
            topics: vec![ShareFetchTopic { topic_id: self.queue.topic, partitions: vec![partition] }],
            ..ShareFetchRequest::default()
        };
        let answer = self.client.share_fetch(&request)?;
        refuse("ShareFetch", answer.error_code, answer.error_message)?;
        self.session += 1;
        let mut acquired = Vec::new();
        for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
            refuse("ShareFetch", partition.error_code, partition.error_message)?;
            acquired.extend(partition.acquired_records);
        }
        Ok(acquired)
    }

    fn acknowledge(&mut self, acquired: &[AcquiredRecords]) -> Result<(), ClientError> {
        let batches = acquired.iter().map(|of| ShareAcknowledgementBatch {
            first_offset: of.first_offset,
            last_offset: of.last_offset,
            acknowledge_types: vec![ACCEPT],
        });
        let partition =
            ShareAcknowledgePartition { partition_index: 0, acknowledgement_batches: batches.collect() };
        let request = ShareAcknowledgeRequest {
            group_id: Some(self.queue.group.clone()),
            member_id: Some(self.id.clone()),
            share_session_epoch: self.session,
            topics: vec![ShareAcknowledgeTopic { topic_id: self.queue.topic, partitions: vec![partition] }],
            ..ShareAcknowledgeRequest::default()
        };
        let asked = now();
        let answer = self.client.call(&request)?;
        let micros = (now() - asked).div_ceil(1000);
        refuse("ShareAcknowledge", answer.error_code, answer.error_message)?;
        self.session += 1;
        for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
            refuse("ShareAcknowledge", partition.error_code, partition.error_message)?;
        }
        self.acknowledged.record(micros).expect("the histogram grows as needed");
        for of in acquired {
            for offset in of.first_offset..=of.last_offset {
                let done = self.queue.done.get(offset as usize);
                if done.is_none_or(|done| done.fetch_add(1, SeqCst) > 0) {
                    let problem = "a record was acknowledged twice, or never written";
                    return Err(ClientError::Topic { topic: self.queue.name.clone(), problem });
                }
                self.queue.left.fetch_sub(1, SeqCst);
            }
        }
        Ok(())
    }
}
