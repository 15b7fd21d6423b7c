//! Transactions by the wire: what consumers see of them and when, who is fenced, and what a crash leaves.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::BytesMut;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Records;
use strandline_engine::types::{ProducerEpoch, ProducerId, Sequence};
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch, fetch, now, produce};
use crate::effects::until;

const TIMEOUT_MS: i32 = 60_000;

/// How a client speaks: before KIP-890, and since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Old,
    New,
}

pub(crate) const LEVELS: [Level; 2] = [Level::Old, Level::New];

/// A transactional producer.
pub(crate) struct Producer {
    client: Client,
    level: Level,
    id: String,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    /// The next sequence in each partition.
    sequences: HashMap<(String, i32), i32>,
    /// What was added to the transaction.
    added: BTreeSet<(String, i32)>,
}

pub(crate) fn code(code: i16) -> ErrorCode {
    ErrorCode::try_from(code).unwrap()
}

/// Asks until the code is another one than those that pass.
pub(crate) fn patiently(mut ask: impl FnMut() -> ErrorCode) -> ErrorCode {
    loop {
        match ask() {
            ErrorCode::ConcurrentTransactions
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::NotEnoughReplicas => std::thread::sleep(Duration::from_millis(5)),
            code => return code,
        }
    }
}

impl Producer {
    pub(crate) fn begin(broker: &Broker, id: &str, level: Level) -> Producer {
        Producer::with_timeout(broker, id, level, TIMEOUT_MS)
    }

    pub(crate) fn with_timeout(broker: &Broker, id: &str, level: Level, timeout_ms: i32) -> Producer {
        let mut client = broker.client();
        let find = FindCoordinatorRequest { key: id.to_owned(), key_type: 1, ..Default::default() };
        let found = client.call(3, &find);
        assert_eq!((found.error_code, found.port), (0, i32::from(broker.address.port())));
        let request = InitProducerIdRequest {
            transactional_id: Some(id.to_owned()),
            transaction_timeout_ms: timeout_ms,
            ..Default::default()
        };
        let mut answer = InitProducerIdResponse::default();
        let said = patiently(|| {
            answer = client.call(5, &request);
            code(answer.error_code)
        });
        assert_eq!(said, ErrorCode::None);
        let InitProducerIdResponse { producer_id, producer_epoch: epoch, .. } = answer;
        let (sequences, added) = (HashMap::new(), BTreeSet::new());
        Producer { client, level, id: id.to_owned(), producer_id, epoch, sequences, added }
    }

    /// Goes on with another process.
    pub(crate) fn reconnect(&mut self, broker: &Broker) {
        self.client = broker.client();
    }

    pub(crate) fn batch(&mut self, topic: &str, partition: i32, values: &[&str]) -> BytesMut {
        let sequence = self.sequences.entry((topic.to_owned(), partition)).or_default();
        let mut batch = BatchBuilder::new(Codec::None)
            .producer(ProducerId(self.producer_id), ProducerEpoch(self.epoch), Sequence(*sequence))
            .transactional(true);
        *sequence += values.len() as i32;
        for value in values {
            batch.push(now(), None, Some(value.as_bytes()), &[]);
        }
        batch.build()
    }

    pub(crate) fn produce_request(&mut self, topic: &str, partition: i32, values: &[&str]) -> ProduceRequest {
        let batch = self.batch(topic, partition, values);
        ProduceRequest { transactional_id: Some(self.id.clone()), ..produce(topic, partition, batch, -1) }
    }

    fn produce_version(&self) -> i16 {
        match self.level {
            Level::Old => 11,
            Level::New => 12,
        }
    }

    /// Writes values, as part of the transaction.
    pub(crate) fn write(&mut self, topic: &str, partition: i32, values: &[&str]) {
        assert_eq!(self.try_write(topic, partition, values), ErrorCode::None);
    }

    pub(crate) fn try_write(&mut self, topic: &str, partition: i32, values: &[&str]) -> ErrorCode {
        if self.level == Level::Old && self.added.insert((topic.to_owned(), partition)) {
            let said = patiently(|| self.add(topic, partition));
            if said != ErrorCode::None {
                return said;
            }
        }
        let request = self.produce_request(topic, partition, values);
        let version = self.produce_version();
        patiently(|| {
            let mut answer = self.client.call(version, &request);
            code(answer.responses.remove(0).partition_responses.remove(0).error_code)
        })
    }

    pub(crate) fn add(&mut self, topic: &str, partition: i32) -> ErrorCode {
        let topics = vec![AddPartitionsToTxnTopic { name: topic.to_owned(), partitions: vec![partition] }];
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: self.producer_id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: topics,
            ..Default::default()
        };
        let mut answer = self.client.call(3, &request);
        let mut results = answer.results_by_topic_v3_and_below.remove(0).results_by_partition;
        code(results.remove(0).partition_error_code)
    }

    pub(crate) fn end(&mut self, committed: bool) -> ErrorCode {
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            committed,
        };
        let version = if self.level == Level::Old { 4 } else { 5 };
        let mut answer = EndTxnResponse::default();
        let said = patiently(|| {
            answer = self.client.call(version, &request);
            code(answer.error_code)
        });
        if said == ErrorCode::None {
            self.added.clear();
            if self.level == Level::New {
                (self.producer_id, self.epoch) = (answer.producer_id, answer.producer_epoch);
                self.sequences.clear();
            }
        }
        said
    }

    pub(crate) fn commit(&mut self) {
        assert_eq!(self.end(true), ErrorCode::None);
    }

    pub(crate) fn abort(&mut self) {
        assert_eq!(self.end(false), ErrorCode::None);
    }

    /// Commits the offset that a group has read up to, as part of the transaction.
    fn commit_offset(&mut self, group: &str, topic: &str, offset: i64) -> ErrorCode {
        if self.level == Level::Old {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.id.clone(),
                producer_id: self.producer_id,
                producer_epoch: self.epoch,
                group_id: group.to_owned(),
            };
            let said = patiently(|| code(self.client.call(3, &request).error_code));
            assert_eq!(said, ErrorCode::None);
        }
        let partition = TxnOffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
        let request = TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id: group.to_owned(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            topics: vec![TxnOffsetCommitRequestTopic { name: topic.to_owned(), partitions: vec![partition] }],
            ..Default::default()
        };
        let version = if self.level == Level::Old { 3 } else { 5 };
        patiently(|| code(self.client.call(version, &request).topics[0].partitions[0].error_code))
    }
}

/// What a consumer sees of a partition: everything, or what is committed.
pub(crate) fn read(client: &mut Client, topic: &str, partition: i32, is_committed: bool) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), 0);
    loop {
        let request =
            FetchRequest { isolation_level: i8::from(is_committed), ..fetch(topic, &[(partition, next)]) };
        let data = client.fetch(12, &request).responses.remove(0).partitions.remove(0);
        assert_eq!(data.error_code, 0);
        assert_eq!(data.aborted_transactions.is_some(), is_committed);
        let mut begins = data.aborted_transactions.unwrap_or_default();
        begins.sort_by_key(|aborted| aborted.first_offset);
        let mut begins = begins.into_iter().peekable();
        let mut aborting = BTreeSet::new();
        let before = next;
        for read in Batches::new(&data.records) {
            let (header, bytes) = read.unwrap();
            next = header.next_offset().get();
            let producer = header.producer().map(|producer| producer.id.0);
            // As Kafka's consumer does.
            while let Some(aborted) = begins.next_if(|aborted| aborted.first_offset < next) {
                aborting.insert(aborted.producer_id);
            }
            if header.is_control() {
                aborting.remove(&producer.unwrap());
                continue;
            }
            if header.is_transactional() && aborting.contains(&producer.unwrap()) {
                continue;
            }
            for record in Records::new(&bytes[BATCH_HEADER_BYTES..], header.record_count() as u32) {
                found.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
        }
        if next == before {
            return found;
        }
    }
}

/// Waits until a consumer sees these values of a partition and no others.
pub(crate) fn sees(client: &mut Client, topic: &str, partition: i32, expected: &[&str]) {
    let deadline = std::time::Instant::now() + crate::client::PATIENCE;
    loop {
        let found = read(client, topic, partition, true);
        if found == expected {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{found:?} instead of {expected:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// ListOffsets' time for the record with the largest one.
const LARGEST_TIME: i64 = -3;

fn end_of(client: &mut Client, topic: &str, isolation_level: i8) -> i64 {
    offset_at(client, topic, -1, isolation_level)
}

/// The offset at a time, or at one of ListOffsets' special ones.
fn offset_at(client: &mut Client, topic: &str, timestamp: i64, isolation_level: i8) -> i64 {
    let partition = ListOffsetsPartition { timestamp, ..Default::default() };
    let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions: vec![partition] }];
    let request = ListOffsetsRequest { isolation_level, topics, ..Default::default() };
    client.call(7, &request).topics[0].partitions[0].offset
}

#[test]
fn d10_a_transaction_is_seen_when_it_is_committed_and_not_when_it_is_aborted() {
    for level in LEVELS {
        let dir = data_dir();
        let broker = Broker::start(dir.path(), &[]);
        let mut client = broker.client();
        client.create("t", 3, &[]);
        let mut producer = Producer::begin(&broker, "x", level);
        for partition in 0..3 {
            producer.write("t", partition, &["a", "b"]);
            assert_eq!(read(&mut client, "t", partition, true), [""; 0], "{level:?}");
            assert_eq!(read(&mut client, "t", partition, false), ["a", "b"]);
        }
        assert_eq!((end_of(&mut client, "t", 0), end_of(&mut client, "t", 1)), (2, 0));
        for time in [0, LARGEST_TIME] {
            let found = [0, 1].map(|isolation| offset_at(&mut client, "t", time, isolation));
            assert!(found[0] >= 0 && found[1] == -1, "{time}: what is open is not found: {found:?}");
        }
        producer.commit();
        (0..3).for_each(|partition| sees(&mut client, "t", partition, &["a", "b"]));
        assert_eq!([0, 1].map(|isolation| offset_at(&mut client, "t", 0, isolation)), [0, 0]);
        assert_eq!((end_of(&mut client, "t", 0), end_of(&mut client, "t", 1)), (3, 3));
        producer.write("t", 0, &["c"]);
        client.produce("t", 0, batch(&["d"]));
        assert_eq!(read(&mut client, "t", 0, true), ["a", "b"], "nothing passes what is open");
        producer.abort();
        sees(&mut client, "t", 0, &["a", "b", "d"]);
        assert_eq!(read(&mut client, "t", 0, false), ["a", "b", "c", "d"]);
        producer.write("t", 0, &["e"]);
        producer.commit();
        sees(&mut client, "t", 0, &["a", "b", "d", "e"]);
    }
}

#[test]
fn d10_a_committed_transaction_is_whole_after_a_kill_and_an_open_one_goes_on() {
    for level in LEVELS {
        let dir = data_dir();
        let broker = Broker::start(dir.path(), &[]);
        let mut client = broker.client();
        client.create("t", 8, &[]);
        let mut producer = Producer::begin(&broker, "x", level);
        let mut other = Producer::begin(&broker, "y", level);
        for partition in 0..8 {
            producer.write("t", partition, &["a"]);
        }
        other.write("t", 0, &["open"]);
        producer.commit();
        broker.kill();

        let broker = Broker::start(dir.path(), &["--shards", "1"]);
        let mut client = broker.client();
        (1..8).for_each(|partition| sees(&mut client, "t", partition, &["a"]));
        sees(&mut client, "t", 0, &["a"]);
        assert_eq!(read(&mut client, "t", 0, false), ["a", "open"]);
        other.reconnect(&broker);
        other.write("t", 0, &["still"]);
        other.commit();
        sees(&mut client, "t", 0, &["a", "open", "still"]);
        // And the one that was decided goes on, too.
        producer.reconnect(&broker);
        producer.write("t", 1, &["b"]);
        producer.commit();
        sees(&mut client, "t", 1, &["a", "b"]);
    }
}

#[test]
fn a_newer_instance_fences_the_older_and_aborts_what_it_left_open() {
    for level in LEVELS {
        let dir = data_dir();
        let broker = Broker::start(dir.path(), &[]);
        let mut client = broker.client();
        client.create("t", 2, &[]);
        let mut zombie = Producer::begin(&broker, "x", level);
        zombie.write("t", 0, &["lost"]);
        let mut producer = Producer::begin(&broker, "x", level);
        assert!(producer.producer_id == zombie.producer_id && producer.epoch > zombie.epoch);
        let stale = [ErrorCode::InvalidProducerEpoch, ErrorCode::ProducerFenced];
        assert!(stale.contains(&zombie.try_write("t", 0, &["late"])), "{level:?}");
        assert!(stale.contains(&zombie.try_write("t", 1, &["late"])), "{level:?}");
        assert_eq!(zombie.end(true), ErrorCode::ProducerFenced);
        producer.write("t", 0, &["a"]);
        producer.commit();
        sees(&mut client, "t", 0, &["a"]);
        assert_eq!(read(&mut client, "t", 1, false), [""; 0]);
    }
}

#[test]
fn an_old_client_that_has_not_added_a_partition_cannot_write_to_it() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 2, &[]);
    let mut producer = Producer::begin(&broker, "x", Level::Old);
    producer.write("t", 0, &["a"]);
    let request = producer.produce_request("t", 1, &["b"]);
    let mut produce = |version, request: &ProduceRequest| {
        let mut answer = client.call(version, request);
        code(answer.responses.remove(0).partition_responses.remove(0).error_code)
    };
    assert_eq!(produce(9, &request), ErrorCode::InvalidTxnState);
    assert_eq!(produce(11, &request), ErrorCode::TransactionAbortable);
    let nobody = ProduceRequest { transactional_id: None, ..request.clone() };
    assert_eq!(produce(11, &nobody), ErrorCode::TransactionalIdAuthorizationFailed);
    let unknown = ProduceRequest { transactional_id: Some("unknown".to_owned()), ..request };
    assert_eq!(produce(11, &unknown), ErrorCode::InvalidProducerIdMapping);
    producer.commit();
    let mut client = broker.client();
    sees(&mut client, "t", 0, &["a"]);
    assert_eq!(read(&mut client, "t", 1, false), [""; 0]);
}

#[test]
fn a_partition_that_is_not_there_is_not_added_and_neither_are_the_others() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let producer = Producer::begin(&broker, "x", Level::Old);
    let topic = |name: &str, partitions: &[i32]| AddPartitionsToTxnTopic {
        name: name.to_owned(),
        partitions: partitions.to_vec(),
    };
    let topics = vec![topic("t", &[0, 7]), topic("nowhere", &[0]), topic("__transaction_state", &[0])];
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: "x".to_owned(),
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch,
        verify_only: false,
        topics: topics.clone(),
    };
    let told = |results: Vec<AddPartitionsToTxnTopicResult>| {
        let codes = results.into_iter().flat_map(|topic| topic.results_by_partition);
        codes.map(|result| code(result.partition_error_code)).collect::<Vec<_>>()
    };
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let refused = [ErrorCode::OperationNotAttempted, unknown, unknown, ErrorCode::TopicAuthorizationFailed];
    let old = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: "x".to_owned(),
        v3_and_below_producer_id: producer.producer_id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: topics,
        ..Default::default()
    };
    assert_eq!(told(client.call(3, &old).results_by_topic_v3_and_below), refused);
    let mut ask = |transaction: &AddPartitionsToTxnTransaction| {
        let transactions = vec![transaction.clone()];
        let request = AddPartitionsToTxnRequest { transactions, ..Default::default() };
        told(client.call(5, &request).results_by_transaction.remove(0).topic_results)
    };
    assert_eq!(ask(&transaction), refused);
    let one = AddPartitionsToTxnTransaction { topics: vec![topic("t", &[0])], ..transaction };
    let verify = AddPartitionsToTxnTransaction { verify_only: true, ..one.clone() };
    assert_eq!(ask(&verify), [ErrorCode::TransactionAbortable]);
    assert_eq!(ask(&one), [ErrorCode::None]);
    assert_eq!(ask(&verify), [ErrorCode::None]);
    let nobody = AddPartitionsToTxnTransaction { transactional_id: String::new(), ..one };
    assert_eq!(ask(&nobody), [ErrorCode::InvalidRequest]);
}

#[test]
fn what_is_read_and_what_is_written_of_it_count_together() {
    for level in LEVELS {
        let dir = data_dir();
        let broker = Broker::start(dir.path(), &[]);
        let mut client = broker.client();
        client.create("in", 1, &[]);
        client.create("out", 1, &[]);
        client.produce("in", 0, batch(&["1", "2"]));
        client.call(3, &FindCoordinatorRequest { key: "g".to_owned(), ..Default::default() });
        let committed = |client: &mut Client| {
            let topic = OffsetFetchRequestTopics { name: "in".to_owned(), partition_indexes: vec![0] };
            let group = OffsetFetchRequestGroup {
                group_id: "g".to_owned(),
                topics: Some(vec![topic]),
                ..Default::default()
            };
            let request =
                OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
            let mut answer = client.call(8, &request);
            let found = answer.groups.remove(0).topics.remove(0).partitions.remove(0);
            (code(found.error_code), found.committed_offset)
        };
        let mut producer = Producer::begin(&broker, "x", level);
        for (is_committed, offset, expected) in [(true, 1, 1), (false, 2, 1), (true, 2, 2)] {
            producer.write("out", 0, &["x"]);
            assert_eq!(producer.commit_offset("g", "in", offset), ErrorCode::None, "{level:?}");
            assert_eq!(committed(&mut client).0, ErrorCode::UnstableOffsetCommit);
            assert_eq!(producer.end(is_committed), ErrorCode::None);
            let said = patiently(|| match committed(&mut client) {
                (ErrorCode::UnstableOffsetCommit, _) => ErrorCode::ConcurrentTransactions,
                (code, _) => code,
            });
            assert_eq!((said, committed(&mut client).1), (ErrorCode::None, expected), "{level:?}");
        }
        sees(&mut client, "out", 0, &["x", "x"]);
    }
}

#[test]
fn d10_a_transaction_that_nobody_ends_is_aborted_when_its_time_is_up() {
    for level in LEVELS {
        let dir = data_dir();
        let options = ["-o", "transaction.abort.timed.out.transaction.cleanup.interval.ms=50"];
        let broker = Broker::start(dir.path(), &options);
        let mut client = broker.client();
        client.create("t", 1, &[]);
        let mut producer = Producer::with_timeout(&broker, "x", level, 1500);
        producer.write("t", 0, &["lost"]);
        client.produce("t", 0, batch(&["plain"]));
        sees(&mut client, "t", 0, &["plain"]);
        let said = producer.end(true);
        assert!(matches!(said, ErrorCode::ProducerFenced | ErrorCode::InvalidTxnState), "{said}");
        let mut next = Producer::begin(&broker, "x", level);
        next.write("t", 0, &["kept"]);
        next.commit();
        sees(&mut client, "t", 0, &["plain", "kept"]);
    }
}

#[test]
fn what_transactions_are_doing_can_be_asked() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 2, &[]);
    let mut open = Producer::begin(&broker, "open", Level::New);
    open.write("t", 0, &["a", "b"]);
    let mut done = Producer::begin(&broker, "done", Level::New);
    done.write("t", 1, &["c"]);
    done.commit();
    sees(&mut client, "t", 1, &["c"]);
    let mut list = |version, request: ListTransactionsRequest| {
        let answer = client.call(version, &request);
        let states = answer.transaction_states.into_iter();
        let states: Vec<_> = states.map(|of| (of.transactional_id, of.transaction_state)).collect();
        (code(answer.error_code), states)
    };
    let ongoing = ("open".to_owned(), "Ongoing".to_owned());
    let ended = ("done".to_owned(), "CompleteCommit".to_owned());
    let none = ErrorCode::None;
    // That its markers are written is known a moment after they can be seen.
    let all = (none, vec![ended.clone(), ongoing.clone()]);
    until("the transaction is complete", || list(0, Default::default()) == all);
    let of_state =
        ListTransactionsRequest { state_filters: vec!["Ongoing".to_owned()], ..Default::default() };
    assert_eq!(list(0, of_state), (none, vec![ongoing.clone()]));
    let of_producer =
        ListTransactionsRequest { producer_id_filters: vec![done.producer_id], ..Default::default() };
    assert_eq!(list(0, of_producer), (none, vec![ended.clone()]));
    let matching = |pattern: &str| ListTransactionsRequest {
        transactional_id_pattern: Some(pattern.to_owned()),
        ..Default::default()
    };
    assert_eq!(list(2, matching("d.*")), (none, vec![ended]));
    assert_eq!(list(2, matching("d")), (none, Vec::new()), "the whole id is to match");
    assert_eq!(list(2, matching("(")).0, ErrorCode::InvalidRegularExpression);
    let older = |duration_filter| ListTransactionsRequest { duration_filter, ..Default::default() };
    assert_eq!(list(1, older(0)).1.len(), 1);
    assert_eq!(list(1, older(1_000_000)).1.len(), 0);

    let transactional_ids = ["open", "", "nobody"].map(str::to_owned).to_vec();
    let told = client.call(0, &DescribeTransactionsRequest { transactional_ids }).transaction_states;
    assert_eq!((code(told[0].error_code), told[0].transaction_state.as_str()), (none, "Ongoing"));
    assert_eq!((told[0].producer_id, told[0].producer_epoch), (open.producer_id, open.epoch));
    assert_eq!((told[0].transaction_timeout_ms, &told[0].topics[0].partitions[..]), (TIMEOUT_MS, &[0][..]));
    assert!(told[0].transaction_start_time_ms > 0);
    assert_eq!(code(told[1].error_code), ErrorCode::InvalidRequest);
    assert_eq!(code(told[2].error_code), ErrorCode::TransactionalIdNotFound);

    let topics = vec![DescribeProducersTopic { name: "t".to_owned(), partition_indexes: vec![0, 1] }];
    let told = client.call(0, &DescribeProducersRequest { topics }).topics.remove(0).partitions;
    assert_eq!(told[0].active_producers[0].current_txn_start_offset, 0);
    assert_eq!(told[1].active_producers[0].current_txn_start_offset, -1);
    assert_eq!(told[1].active_producers[0].coordinator_epoch, 0);
    open.abort();
}

#[test]
fn a_transaction_can_be_ended_by_hand() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let mut producer = Producer::begin(&broker, "x", Level::Old);
    producer.write("t", 0, &["a"]);
    let mut end_by = |coordinator_epoch, topic: &str, partition, producer_epoch| {
        let topics =
            vec![WritableTxnMarkerTopic { name: topic.to_owned(), partition_indexes: vec![partition] }];
        let marker = WritableTxnMarker {
            producer_id: producer.producer_id,
            producer_epoch,
            coordinator_epoch,
            topics,
            ..Default::default()
        };
        let mut answer = client.call(1, &WriteTxnMarkersRequest { markers: vec![marker] });
        code(answer.markers.remove(0).topics.remove(0).partitions.remove(0).error_code)
    };
    // It would be refused the markers of the coordinator from then on.
    for nobody in [-1, 1, 5, i32::MAX] {
        assert_eq!(end_by(nobody, "t", 0, producer.epoch), ErrorCode::InvalidRequest, "{nobody}");
    }
    let mut end = |topic: &str, partition, epoch| end_by(0, topic, partition, epoch);
    assert_eq!(end("nowhere", 0, 0), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(end("t", 1, 0), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(end("t", 0, -1), ErrorCode::InvalidRequest);
    assert_eq!(end("t", 0, producer.epoch), ErrorCode::None);
    assert_eq!(end("t", 0, producer.epoch), ErrorCode::None, "once more does nothing");
    assert_eq!(read(&mut client, "t", 0, true), [""; 0]);
    assert_eq!(end_of(&mut client, "t", 1), end_of(&mut client, "t", 0));
    producer.abort();
    producer.write("t", 0, &["b"]);
    producer.commit();
    sees(&mut client, "t", 0, &["b"]);
}

#[test]
fn batches_of_one_connection_keep_their_order_while_a_coordinator_is_asked() {
    for level in LEVELS {
        let dir = data_dir();
        // However busy the machine: a batch that has waited for as long is refused (51).
        let options = ["-o", "add.partitions.to.txn.retry.backoff.max.ms=20000"];
        let broker = Broker::start(dir.path(), &options);
        let mut client = broker.client();
        client.create("t", 1, &[]);
        let mut producer = Producer::begin(&broker, "x", level);
        for round in 0..20 {
            if level == Level::Old {
                assert_eq!(patiently(|| producer.add("t", 0)), ErrorCode::None);
            }
            // The last transaction may still be ending: nothing may pass the one that waits for it.
            let version = producer.produce_version();
            let requests: Vec<_> =
                (0..10).map(|step| producer.produce_request("t", 0, &[&format!("{round}-{step}")])).collect();
            let ids: Vec<_> = requests.iter().map(|request| producer.client.send(version, request)).collect();
            for id in ids {
                let frame = producer.client.read_frame().unwrap();
                let (found, mut answer) = decode_response::<ProduceResponse>(&frame, version).unwrap();
                let partition = answer.responses.remove(0).partition_responses.remove(0);
                assert_eq!((found, code(partition.error_code)), (id, ErrorCode::None), "{level:?} {round}");
            }
            producer.commit();
        }
        let expected: Vec<String> =
            (0..20).flat_map(|round| (0..10).map(move |step| format!("{round}-{step}"))).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        sees(&mut client, "t", 0, &expected);
    }
}

/// Its coordinator is asked once. The marker of the transaction before comes while it answers, and then what
/// it has said is not enough.
#[test]
fn a_batch_that_comes_before_a_marker_and_has_no_time_left_is_to_be_sent_again() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "add.partitions.to.txn.retry.backoff.max.ms=0"]);
    let mut client = broker.client();
    client.create("t", 4, &[]);
    for level in LEVELS {
        let mut producer = Producer::begin(&broker, &format!("{level:?}"), level);
        for round in 0..50 {
            for partition in 0..4 {
                producer.write("t", partition, &[&format!("{level:?} {round}")]);
            }
            producer.commit();
        }
    }
    let expected = LEVELS.map(|level| (0..50).map(move |round| format!("{level:?} {round}")));
    let expected: Vec<String> = expected.into_iter().flatten().collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    for partition in 0..4 {
        sees(&mut client, "t", partition, &expected);
    }
}

#[test]
fn records_outside_of_the_open_transaction_of_their_producer_are_refused() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let mut producer = Producer::begin(&broker, "x", Level::New);
    producer.write("t", 0, &["a"]);
    let mut plain = BatchBuilder::new(Codec::None).producer(
        ProducerId(producer.producer_id),
        ProducerEpoch(producer.epoch),
        Sequence(1),
    );
    plain.push(now(), None, Some(b"b"), &[]);
    let refused = client.produce("t", 0, plain.build());
    assert_eq!(code(refused.error_code), ErrorCode::InvalidTxnState);
    producer.commit();
    sees(&mut client, "t", 0, &["a"]);
}

/// It adds partitions as clients do since KIP-890, and ends its transactions as those before.
#[test]
fn a_client_of_both_levels_begins_its_next_transaction_in_the_same_epoch() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let mut producer = Producer::begin(&broker, "x", Level::New);
    for value in ["a", "b", "c"] {
        producer.level = Level::New;
        producer.write("t", 0, &[value]);
        producer.write("t", 0, &[value]);
        producer.level = Level::Old;
        producer.commit();
    }
    sees(&mut client, "t", 0, &["a", "a", "b", "b", "c", "c"]);
}

#[test]
fn a_deleted_topic_holds_up_no_transaction() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("gone", 1, &[]);
    client.create("t", 1, &[]);
    let mut producer = Producer::begin(&broker, "x", Level::New);
    producer.write("gone", 0, &["a"]);
    producer.write("t", 0, &["b"]);
    let topics = vec![DeleteTopicState { name: Some("gone".to_owned()), ..Default::default() }];
    assert_eq!(
        client.call(6, &DeleteTopicsRequest { topics, ..Default::default() }).responses[0].error_code,
        0
    );
    producer.commit();
    sees(&mut client, "t", 0, &["b"]);
    producer.write("t", 0, &["c"]);
    producer.commit();
    sees(&mut client, "t", 0, &["b", "c"]);
}
