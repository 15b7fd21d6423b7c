//! Offsets of transactions by the wire: who may commit them, when they count, and what a crash leaves.

use bytes::Bytes;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::Client;
use crate::transactions::{LEVELS, Level, Producer, code, patiently};

const GROUP: &str = "g";

fn started(dir: &std::path::Path, more: &[&str]) -> Broker {
    let quick = ["-o", "group.initial.rebalance.delay.ms=0"];
    let broker = Broker::start(dir, &[&quick, more].concat());
    let mut client = broker.client();
    client.create("t", 2, &[]);
    client.call(3, &FindCoordinatorRequest { key: GROUP.to_owned(), ..Default::default() });
    broker
}

/// Who commits.
#[derive(Clone, Default)]
struct Who {
    member_id: String,
    generation: i32,
    instance: Option<String>,
}

const NOBODY: Who = Who { member_id: String::new(), generation: -1, instance: None };

/// A group of one, whose member has its assignment.
fn member(client: &mut Client) -> Who {
    let protocol = JoinGroupRequestProtocol {
        name: "range".to_owned(),
        metadata: Bytes::from_static(b"\0\0\0\0\0\0\xff\xff\xff\xff"),
    };
    let join = JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..Default::default()
    };
    let joined = client.call(3, &join);
    assert_eq!(code(joined.error_code), ErrorCode::None);
    let sync = SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..Default::default()
    };
    assert_eq!(code(client.call(3, &sync).error_code), ErrorCode::None);
    Who { member_id: joined.member_id, generation: joined.generation_id, instance: None }
}

/// Commits an offset of each of these partitions.
fn request(producer: &Producer, who: &Who, offsets: &[(&str, i32, i64)]) -> TxnOffsetCommitRequest {
    let topics = offsets.iter().map(|(topic, partition_index, committed_offset)| {
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: *committed_offset,
            ..Default::default()
        };
        TxnOffsetCommitRequestTopic { name: (*topic).to_owned(), partitions: vec![partition] }
    });
    TxnOffsetCommitRequest {
        transactional_id: "x".to_owned(),
        group_id: GROUP.to_owned(),
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch,
        generation_id: who.generation,
        member_id: who.member_id.clone(),
        group_instance_id: who.instance.clone(),
        topics: topics.collect(),
    }
}

/// What is told of each partition.
fn told(client: &mut Client, version: i16, request: &TxnOffsetCommitRequest) -> Vec<ErrorCode> {
    let mut codes = Vec::new();
    patiently(|| {
        let answer = client.call(version, request);
        let partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        codes = partitions.map(|partition| code(partition.error_code)).collect();
        codes[0]
    });
    codes
}

/// As a client before KIP-890 does it.
fn add_offsets(client: &mut Client, producer: &Producer) {
    let request = AddOffsetsToTxnRequest {
        transactional_id: "x".to_owned(),
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch,
        group_id: GROUP.to_owned(),
    };
    assert_eq!(patiently(|| code(client.call(3, &request).error_code)), ErrorCode::None);
}

/// The offset of partition 0, or why it is not told.
fn committed(client: &mut Client, require_stable: bool) -> Result<i64, ErrorCode> {
    let topic = OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0] };
    let request = OffsetFetchRequest {
        group_id: GROUP.to_owned(),
        topics: Some(vec![topic]),
        require_stable,
        ..Default::default()
    };
    let mut found = OffsetFetchResponsePartition::default();
    patiently(|| {
        let answer = client.call(7, &request);
        found =
            answer.topics.into_iter().next().map(|mut topic| topic.partitions.remove(0)).unwrap_or_default();
        code(answer.error_code)
    });
    match code(found.error_code) {
        ErrorCode::None => Ok(found.committed_offset),
        error => Err(error),
    }
}

/// Waits until the markers are written.
fn settled(client: &mut Client) -> i64 {
    let mut found = 0;
    let said = patiently(|| match committed(client, true) {
        Ok(offset) => {
            found = offset;
            ErrorCode::None
        }
        Err(ErrorCode::UnstableOffsetCommit) => ErrorCode::ConcurrentTransactions,
        Err(error) => error,
    });
    assert_eq!(said, ErrorCode::None);
    found
}

#[test]
fn an_offset_of_a_transaction_is_taken_in_every_version() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut client = broker.client();
    for version in 0..=5 {
        let level = if version == 5 { Level::New } else { Level::Old };
        let mut producer = Producer::begin(&broker, "x", level);
        if level == Level::Old {
            add_offsets(&mut client, &producer);
        }
        let offset = 10 + i64::from(version);
        let said = told(&mut client, version, &request(&producer, &NOBODY, &[("t", 0, offset)]));
        assert_eq!(said, [ErrorCode::None], "version {version}");
        assert_eq!(committed(&mut client, true), Err(ErrorCode::UnstableOffsetCommit));
        producer.commit();
        assert_eq!(settled(&mut client), offset, "version {version}");
    }
}

#[test]
fn each_partition_is_told_what_is_wrong_with_it() {
    let dir = data_dir();
    let broker = started(dir.path(), &["-o", "offset.metadata.max.bytes=4"]);
    let mut client = broker.client();
    let mut producer = Producer::begin(&broker, "x", Level::New);
    let mut some = request(&producer, &NOBODY, &[("t", 0, 1), ("t", 7, 1), ("nowhere", 0, 1), ("t", 1, 1)]);
    some.topics[3].partitions[0].committed_metadata = Some("longer".to_owned());
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(
        told(&mut client, 5, &some),
        [ErrorCode::None, unknown, unknown, ErrorCode::OffsetMetadataTooLarge]
    );
    let none = request(&producer, &NOBODY, &[("nowhere", 0, 1)]);
    assert_eq!(told(&mut client, 5, &none), [unknown]);
    let nameless =
        TxnOffsetCommitRequest { group_id: String::new(), ..request(&producer, &NOBODY, &[("t", 0, 1)]) };
    assert_eq!(told(&mut client, 5, &nameless), [ErrorCode::InvalidGroupId]);
    producer.commit();
    assert_eq!(settled(&mut client), 1);
}

#[test]
fn a_member_is_held_to_its_generation() {
    for level in LEVELS {
        let dir = data_dir();
        let broker = started(dir.path(), &[]);
        let mut client = broker.client();
        let version = if level == Level::New { 5 } else { 4 };
        let mut producer = Producer::begin(&broker, "x", level);
        if level == Level::Old {
            add_offsets(&mut client, &producer);
        }
        let commit = |client: &mut Client, producer: &Producer, who: &Who| {
            told(client, version, &request(producer, who, &[("t", 0, 3)]))[0]
        };
        let early = Who { generation: 4, ..NOBODY };
        assert_eq!(commit(&mut client, &producer, &early), ErrorCode::IllegalGeneration, "no such group");
        let who = member(&mut client);
        for (other, expected) in [
            (Who { generation: who.generation + 1, ..who.clone() }, ErrorCode::IllegalGeneration),
            (Who { member_id: "another".to_owned(), ..who.clone() }, ErrorCode::UnknownMemberId),
            (Who { instance: Some("i".to_owned()), ..who.clone() }, ErrorCode::UnknownMemberId),
            (who, ErrorCode::None),
            // As old clients do, which do not say who they are.
            (NOBODY, ErrorCode::None),
        ] {
            assert_eq!(commit(&mut client, &producer, &other), expected, "{level:?}");
        }
        producer.commit();
        assert_eq!(settled(&mut client), 3);
    }
}

#[test]
fn d10_pending_offsets_survive_a_kill_and_count_when_their_transaction_is_committed() {
    for level in LEVELS {
        let dir = data_dir();
        let broker = started(dir.path(), &[]);
        let mut client = broker.client();
        let version = if level == Level::New { 5 } else { 3 };
        let mut producer = Producer::begin(&broker, "x", level);
        if level == Level::Old {
            add_offsets(&mut client, &producer);
        }
        let commit = request(&producer, &NOBODY, &[("t", 0, 3), ("t", 1, 4)]);
        assert_eq!(told(&mut client, version, &commit), [ErrorCode::None; 2]);
        broker.kill();

        let broker = Broker::start(dir.path(), &["--shards", "3"]);
        let mut client = broker.client();
        assert_eq!(committed(&mut client, true), Err(ErrorCode::UnstableOffsetCommit), "{level:?}");
        assert_eq!(committed(&mut client, false), Ok(-1));
        producer.reconnect(&broker);
        producer.commit();
        assert_eq!(settled(&mut client), 3, "{level:?}");
        broker.kill();
        let broker = Broker::start(dir.path(), &["--shards", "1"]);
        assert_eq!(settled(&mut broker.client()), 3);
    }
}

/// Nobody would end what it opened.
#[test]
fn d10_an_offset_that_comes_after_the_end_of_its_transaction_is_refused() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut client = broker.client();
    let mut producer = Producer::begin(&broker, "x", Level::Old);
    let unadded = request(&producer, &NOBODY, &[("t", 0, 1)]);
    assert_eq!(told(&mut client, 3, &unadded), [ErrorCode::InvalidTxnState]);
    assert_eq!(told(&mut client, 4, &unadded), [ErrorCode::TransactionAbortable]);
    add_offsets(&mut client, &producer);
    assert_eq!(told(&mut client, 3, &unadded), [ErrorCode::None]);
    producer.abort();
    assert_eq!(settled(&mut client), -1);
    assert_eq!(told(&mut client, 3, &unadded), [ErrorCode::InvalidTxnState]);
    // A newer instance fences it.
    let _newer = Producer::begin(&broker, "x", Level::Old);
    assert_eq!(told(&mut client, 3, &unadded), [ErrorCode::InvalidProducerEpoch]);
    assert_eq!(settled(&mut client), -1);
}
