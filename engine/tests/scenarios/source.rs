//! An engine whose topics another source decides about, as the controllers of a cluster do: it holds some
//! partitions of a topic, leads some of those, and says so after a restart.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use futures_executor::block_on;
use strandline_engine::error::{AppendError, ReadError, TopicError};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::meta::Meta;
use strandline_engine::format::names;
use strandline_engine::inspect::{DataDir, salvage, verify};
use strandline_engine::topics::{NewTopic, Placement, Replica, Role, Topic, TopicDelta};
use strandline_engine::types::{EpochEnd, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};
use strandline_engine::{Engine, Handle, OffsetQuery};

use crate::support::{append, read_all, start};

const LEADER: Role = Role::Leader;
const FOLLOWER: Role = Role::Follower;

fn placement<const N: usize>(replicas: [(u32, Role, i32); N]) -> BTreeMap<u32, Replica> {
    replicas.map(|(index, role, epoch)| (index, Replica { role, epoch: LeaderEpoch(epoch) })).into()
}

fn create<const N: usize>(
    id: TopicId,
    name: &str,
    partitions: u32,
    here: [(u32, Role, i32); N],
) -> TopicDelta {
    let new = NewTopic { name: name.to_owned(), partitions, configs: Vec::new() };
    TopicDelta::Create { id, new, placement: Placement::These(placement(here)) }
}

/// What came of one delta.
fn apply(log: &Handle, delta: TopicDelta) -> Result<(), TopicError> {
    let mut answers = block_on(log.apply(vec![delta]));
    assert_eq!(answers.len(), 1, "one delta, one answer");
    answers.remove(0).map(drop)
}

fn place(log: &Handle, partition: PartitionId, role: Role, epoch: i32) -> Result<(), TopicError> {
    let replicas = placement([(partition.index, role, epoch)]);
    apply(log, TopicDelta::Place { topic: partition.topic, replicas })
}

fn try_append(log: &Handle, partition: PartitionId) -> Result<i64, AppendError> {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(Timestamp(1_700_000_000_000), None, Some(b"refused"), &[]);
    let appended = block_on(async { log.append(partition, batch.build()).await?.settled().await });
    appended.map(|appended| appended.base_offset.get())
}

fn latest(log: &Handle, partition: PartitionId) -> Result<(i64, LeaderEpoch), ReadError> {
    let found = block_on(log.find_offset(partition, OffsetQuery::Latest, None))?.expect("a log has an end");
    Ok((found.offset.get(), found.leader_epoch.expect("it is known")))
}

fn topic(engine: &Engine, name: &str) -> Topic {
    Topic::clone(engine.handle().topics().by_name(name).expect("the topic is there"))
}

/// Directories that were set aside.
fn strays(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| names::is_stray_dir(name)).collect()
}

#[test]
fn another_source_says_what_is_here_who_leads_it_and_in_which_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let id = TopicId::random();
    let [first, second, third] = [0, 1, 2].map(|index| PartitionId::new(id, index));
    let engine = start(directory.path(), 2);
    let log = engine.handle();
    apply(log, create(id, "orders", 3, [(0, LEADER, 4), (2, FOLLOWER, 1)])).unwrap();
    assert!(
        matches!(apply(log, create(id, "other", 1, [])), Err(TopicError::Exists(_))),
        "an id is one topic's"
    );

    // The first partition is led here.
    assert_eq!((append(log, first, "a"), append(log, first, "b")), (0, 1));
    assert_eq!(latest(log, first).unwrap(), (2, LeaderEpoch(4)));
    // Nothing is here of the second one, and nothing is made of it.
    assert!(matches!(try_append(log, second), Err(AppendError::UnknownPartition(_))));
    assert!(matches!(latest(log, second), Err(ReadError::UnknownPartition(_))));
    // The third one is led elsewhere.
    assert!(matches!(try_append(log, third), Err(AppendError::NotLeader(_))));
    assert!(matches!(latest(log, third), Err(ReadError::NotLeader(_))));
    assert!(!directory.path().join("orders-1").exists());

    // Leadership is given up, and taken again in a newer epoch; not in an older one.
    place(log, first, FOLLOWER, 5).unwrap();
    assert!(matches!(try_append(log, first), Err(AppendError::NotLeader(_))));
    assert!(matches!(latest(log, first), Err(ReadError::NotLeader(_))));
    let stale = place(log, first, LEADER, 4);
    assert!(matches!(stale, Err(TopicError::StaleLeaderEpoch { current: LeaderEpoch(5), .. })), "{stale:?}");
    place(log, first, LEADER, 6).unwrap();
    assert_eq!(append(log, first, "c"), 2);
    let end = |epoch| block_on(log.end_of_epoch(first, LeaderEpoch(epoch), None)).unwrap();
    assert_eq!(end(4), Some(EpochEnd { epoch: LeaderEpoch(4), end: Offset::new(2) }));
    assert_eq!(end(6), Some(EpochEnd { epoch: LeaderEpoch(6), end: Offset::new(3) }));
    place(log, third, LEADER, 2).unwrap();
    assert_eq!(append(log, third, "x"), 0);
    let missing = place(log, PartitionId::new(id, 3), LEADER, 2);
    assert!(matches!(missing, Err(TopicError::UnknownPartition(_))), "{missing:?}");
    engine.stop().unwrap();

    // The next start knows all of it.
    let engine = start(directory.path(), 1);
    let log = engine.handle();
    let expected = Placement::These(placement([(0, LEADER, 6), (2, LEADER, 2)]));
    assert_eq!(topic(&engine, "orders").placement, expected);
    assert_eq!(latest(log, first).unwrap(), (3, LeaderEpoch(6)));
    assert_eq!(
        (read_all(log, first).concat(), read_all(log, third).concat()),
        ("abc".to_owned(), "x".to_owned())
    );
    assert!(matches!(try_append(log, second), Err(AppendError::UnknownPartition(_))));
    engine.stop().unwrap();
}

#[test]
fn deltas_are_taken_in_one_after_the_other_and_a_refused_one_keeps_none_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 2);
    let log = engine.handle();
    let [old, new] = [TopicId::random(), TopicId::random()];
    apply(log, create(old, "orders", 2, [(0, LEADER, 0), (1, LEADER, 0)])).unwrap();
    let [first, second] = [0, 1].map(|index| PartitionId::new(old, index));
    append(log, first, "a");
    append(log, second, "b");
    let configs = vec![("retention.ms".to_owned(), "-1".to_owned())];
    let deltas = vec![
        TopicDelta::Delete { topic: old },
        // The same name at once: its directories are not those of the one before.
        create(new, "orders", 1, [(0, LEADER, 7)]),
        TopicDelta::Configure { topic: old, configs: configs.clone() },
        TopicDelta::Configure { topic: new, configs: configs.clone() },
        TopicDelta::Grow { topic: new, partitions: 3 },
        TopicDelta::Place { topic: new, replicas: placement([(2, LEADER, 1)]) },
    ];
    let answers = block_on(log.apply(deltas));
    let refused: Vec<_> = answers.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, false, true, false, false, false]);
    let orders = topic(&engine, "orders");
    assert_eq!((orders.id, orders.partitions, &orders.own_configs), (new, 3, &configs));
    assert_eq!(orders.placement, Placement::These(placement([(0, LEADER, 7), (2, LEADER, 1)])));
    assert!(!directory.path().join("orders-1").exists(), "what was deleted is gone");
    assert_eq!(latest(log, PartitionId::new(new, 0)).unwrap(), (0, LeaderEpoch(7)));
    assert_eq!(append(log, PartitionId::new(new, 2), "c"), 0);
    engine.stop().unwrap();
    assert_eq!(strays(directory.path()), [""; 0]);
}

#[test]
fn a_directory_of_a_partition_that_is_not_here_is_set_aside_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let id = TopicId::random();
    let engine = start(directory.path(), 2);
    apply(engine.handle(), create(id, "orders", 4, [(0, LEADER, 0), (3, LEADER, 0)])).unwrap();
    append(engine.handle(), PartitionId::new(id, 0), "a");
    append(engine.handle(), PartitionId::new(id, 3), "b");
    engine.stop().unwrap();
    let copy = |to: &str| {
        fs::create_dir(directory.path().join(to)).unwrap();
        let name = names::segment_log(Offset::ZERO);
        fs::copy(directory.path().join("orders-0").join(&name), directory.path().join(to).join(&name))
            .unwrap();
    };
    copy("orders-1");
    // Whoever looks at it says so, and does not take it for a partition.
    let dir = DataDir::open(directory.path()).unwrap();
    let mut found = Vec::new();
    verify(&dir, &mut |finding| found.push(finding.to_string()), &mut |_| {});
    let told =
        found.iter().filter(|found| found.contains("orders-1") && found.contains("sets it aside")).count();
    assert_eq!((told, found.iter().any(|found| found.starts_with("damage"))), (1, false), "{found:?}");
    let salvaged = tempfile::tempdir().unwrap();
    let mut taken = Vec::new();
    salvage(&dir, salvaged.path(), &|_| true, &mut |one| taken.push(one.index), &mut |_| {}).unwrap();
    assert_eq!(taken, [0, 3]);
    drop(dir);

    let engine = start(directory.path(), 2);
    let aside = strays(directory.path());
    assert!(aside.len() == 1 && aside[0].starts_with("orders-1."), "{aside:?}");
    // One that appears later is out of the way when the partition comes to be here.
    copy("orders-2");
    place(engine.handle(), PartitionId::new(id, 2), LEADER, 0).unwrap();
    assert_eq!(latest(engine.handle(), PartitionId::new(id, 2)).unwrap().0, 0);
    assert_eq!(strays(directory.path()).len(), 2);
    // Only what was here goes with the topic.
    copy("orders-1");
    apply(engine.handle(), TopicDelta::Delete { topic: id }).unwrap();
    let left = |name: &str| directory.path().join(name).exists();
    assert_eq!(["orders-0", "orders-1", "orders-2", "orders-3"].map(left), [false, true, false, false]);
    engine.stop().unwrap();

    let engine = start(salvaged.path(), 1);
    assert_eq!(
        topic(&engine, "orders").placement,
        Placement::These(placement([(0, LEADER, 0), (3, LEADER, 0)]))
    );
    assert_eq!(read_all(engine.handle(), PartitionId::new(id, 3)), ["b"]);
    engine.stop().unwrap();
}

#[test]
fn a_broker_that_stands_alone_keeps_the_table_that_it_always_kept() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    crate::support::create_topic(engine.handle(), "orders", 3, &[]);
    assert_eq!(topic(&engine, "orders").placement, Placement::ALONE);
    let table = fs::read(directory.path().join(names::TOPICS_FILE)).unwrap();
    assert_eq!(table[8..10], [1, 0], "version 1");
    engine.stop().unwrap();
}

#[test]
fn a_directory_of_an_older_release_gets_an_identity_that_it_keeps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(names::META_FILE);
    fs::write(&path, Meta { cluster_id: [7; 16], node_id: 5, directory_id: None }.encode()).unwrap();
    let engine = start(directory.path(), 1);
    let meta = engine.handle().meta();
    engine.stop().unwrap();
    assert_eq!((meta.cluster_id, meta.node_id), ([7; 16], 5));
    assert!(meta.directory_id.is_some());
    assert_eq!(Meta::decode(&fs::read(&path).unwrap()), Ok(meta), "it is kept");
    let engine = start(directory.path(), 1);
    assert_eq!(engine.handle().meta(), meta);
    engine.stop().unwrap();
    let other = tempfile::tempdir().unwrap();
    let engine = start(other.path(), 1);
    assert_ne!(engine.handle().meta().directory_id, meta.directory_id);
    engine.stop().unwrap();
}
