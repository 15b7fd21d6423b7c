//! What all faces ask of topics: their partitions, their offsets, the records of one partition.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use strandline_engine::topics::Topic as EngineTopic;
use strandline_engine::types::Offset;
use strandline_engine::{Isolation, Reader};
use strandline_protocol::messages::{
    FetchPartition, FetchRequest, FetchTopic, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
    MetadataRequest, MetadataRequestTopic, MetadataResponseTopic, PartitionData,
};
use strandline_protocol::wire::ErrorCode;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::ask::Asker;
use super::problem::Problem;

/// The version of Metadata that is asked.
const METADATA: i16 = 12;

/// The version of ListOffsets that is asked.
const LIST_OFFSETS: i16 = 8;

/// The version of Fetch that is asked: the last one that names topics.
const FETCH: i16 = 12;

/// What a fetch may come to beside what is asked for: its first batch is given whatever it has.
const FIRST_BATCH_BYTES: usize = 1 << 20;

/// A moment of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Where it starts.
    Earliest,
    /// Where the next record will be.
    Latest,
    /// The first record that is not older, in milliseconds since 1970.
    Time(i64),
}

impl Moment {
    /// As it travels.
    fn timestamp(self) -> i64 {
        match self {
            Moment::Earliest => -2,
            Moment::Latest => -1,
            Moment::Time(timestamp) => timestamp.max(0),
        }
    }
}

/// What is there to be read of a partition.
pub(super) struct Wanted<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) bytes_max: usize,
    pub(super) isolation: Isolation,
}

/// The code of an answer, as a refusal of what it is about.
///
/// # Errors
/// [`Problem`] for all but NONE.
pub(super) fn check(code: i16, of: &str) -> Result<(), Problem> {
    match ErrorCode::try_from(code) {
        Ok(ErrorCode::None) => Ok(()),
        Ok(code) => Err(Problem::of_kafka(code, of)),
        Err(_) => Err(Problem::of_kafka(ErrorCode::UnknownServerError, of)),
    }
}

/// There is no such partition.
pub(super) fn no_partition(topic: &str, partition: i32) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, Some(2), format!("topic {topic} has no partition {partition}"))
}

impl Asker {
    /// All topics that the client may see, or these, whether there are such or not.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn topics(
        &self,
        names: Option<&[&str]>,
        may_create: bool,
    ) -> Result<Vec<MetadataResponseTopic>, Problem> {
        let topic =
            |name: &&str| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() };
        let request = MetadataRequest {
            topics: names.map(|names| names.iter().map(topic).collect()),
            allow_auto_topic_creation: may_create,
            ..Default::default()
        };
        Ok(self.ask(METADATA, &request).await?.topics)
    }

    /// One topic.
    ///
    /// # Errors
    /// [`Problem`], also where there is none.
    pub(super) async fn topic(&self, name: &str, may_create: bool) -> Result<MetadataResponseTopic, Problem> {
        let found = self.topics(Some(&[name]), may_create).await?.pop();
        let found = found.ok_or_else(|| Problem::away("the broker has said nothing of the topic"))?;
        check(found.error_code, &format!("topic {name}"))?;
        Ok(found)
    }

    /// One topic that has this partition.
    ///
    /// # Errors
    /// [`Problem`], also where there is none.
    pub(super) async fn topic_with(
        &self,
        name: &str,
        partition: i32,
    ) -> Result<MetadataResponseTopic, Problem> {
        let topic = self.topic(name, false).await?;
        let has = topic.partitions.iter().any(|found| found.partition_index == partition);
        has.then_some(topic).ok_or_else(|| no_partition(name, partition))
    }

    /// The offsets of a moment in partitions of topics, in their order: `None` where no record fits.
    ///
    /// # Errors
    /// [`Problem`] for the first partition that has none.
    pub(super) async fn offsets(
        &self,
        partitions: &[(&str, i32)],
        moment: Moment,
        isolation: Isolation,
    ) -> Result<Vec<Option<i64>>, Problem> {
        let mut topics: Vec<ListOffsetsTopic> = Vec::new();
        for (topic, index) in partitions {
            let partition = ListOffsetsPartition {
                partition_index: *index,
                timestamp: moment.timestamp(),
                ..Default::default()
            };
            match topics.last_mut().filter(|last| last.name == *topic) {
                Some(last) => last.partitions.push(partition),
                None => {
                    topics.push(ListOffsetsTopic { name: (*topic).to_owned(), partitions: vec![partition] });
                }
            }
        }
        let isolation_level = (isolation == Isolation::ReadCommitted).into();
        let request = ListOffsetsRequest { isolation_level, topics, ..Default::default() };
        let answer = self.ask(LIST_OFFSETS, &request).await?;
        let mut found = Vec::with_capacity(partitions.len());
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let of = format!("topic {}, partition {}", topic.name, partition.partition_index);
                check(partition.error_code, &of)?;
                found.push((partition.offset >= 0).then_some(partition.offset));
            }
        }
        Ok(found)
    }

    /// What there is of a partition at this moment, with the memory that it takes.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn read_now(
        &self,
        wanted: &Wanted<'_>,
    ) -> Result<(PartitionData<Bytes>, OwnedSemaphorePermit), Problem> {
        let found = self.read_all(&[(wanted.topic, wanted.partition, wanted.offset)], wanted).await?;
        let (mut found, room) = found;
        let data =
            found.pop().ok_or_else(|| Problem::away("the broker has said nothing of the partition"))?;
        let of = format!("topic {}, partition {}, offset {}", wanted.topic, wanted.partition, wanted.offset);
        match ErrorCode::try_from(data.error_code) {
            Ok(ErrorCode::UnknownTopicOrPartition) => Err(no_partition(wanted.topic, wanted.partition)),
            _ => check(data.error_code, &of),
        }?;
        Ok((data, room))
    }

    /// The same of several partitions, each from an offset on, in their order; `like` has the rest. What is
    /// wrong with one is in its code.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn read_all(
        &self,
        partitions: &[(&str, i32, i64)],
        like: &Wanted<'_>,
    ) -> Result<(Vec<PartitionData<Bytes>>, OwnedSemaphorePermit), Problem> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (topic, partition, offset) in partitions {
            let asked = FetchPartition {
                partition: *partition,
                fetch_offset: *offset,
                partition_max_bytes: like.bytes_max as i32,
                ..Default::default()
            };
            match topics.last_mut().filter(|last| last.topic == *topic) {
                Some(last) => last.partitions.push(asked),
                None => topics.push(FetchTopic {
                    topic: (*topic).to_owned(),
                    partitions: vec![asked],
                    ..Default::default()
                }),
            }
        }
        let request = FetchRequest {
            max_bytes: like.bytes_max as i32,
            isolation_level: (like.isolation == Isolation::ReadCommitted).into(),
            topics,
            ..Default::default()
        };
        // What is fetched, and the JSON that is made of it.
        let room = self.shared.room(2 * like.bytes_max + FIRST_BATCH_BYTES).await?;
        let answer = self.fetch(FETCH, &request).await?;
        check(answer.error_code, "fetch")?;
        if answer.throttle_time_ms > 0 {
            return Err(Problem::throttled(Duration::from_millis(answer.throttle_time_ms as u64)));
        }
        let found = answer.responses.into_iter().flat_map(|topic| topic.partitions).collect();
        Ok((found, room))
    }

    /// Waits until there may be more at an offset of a partition, or `deadline`, or the front ends; false
    /// when it is over.
    pub(super) async fn wait(&self, wanted: &Wanted<'_>, deadline: Instant) -> bool {
        let Ok(engine) = self.engine() else { return false };
        let topics = engine.topics();
        let topic: Option<&EngineTopic> = topics.by_name(wanted.topic).map(|topic| &**topic);
        let partition = topic.and_then(|topic| topic.partition(wanted.partition));
        let (Some(partition), Some(offset)) = (partition, Offset::checked(wanted.offset)) else {
            return false;
        };
        drop(topics);
        let more = engine.wait_as(Reader::Consumer(wanted.isolation), partition, offset);
        let left = deadline.saturating_duration_since(Instant::now());
        tokio::select! {
            waited = timeout(left, more) => waited.is_ok(),
            () = self.shared.stopped() => false,
        }
    }
}
