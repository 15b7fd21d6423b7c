//! The rules of the groups of one partition, one test each; those of open transactions are in
//! `tests/transactions`, those of a change of protocol in `tests/migration`.

mod migration;
mod transactions;

use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::topics::TopicTable;
use strandline_engine::types::LeaderEpoch;

use super::*;
use crate::groups::records::OffsetValue;

fn coordinator() -> GroupCoordinator {
    GroupCoordinator::new(&CoordinatorSettings {
        group: GroupSettings { initial_rebalance_delay_ms: 0, size_max: usize::MAX },
        consumer: ConsumerSettings::default(),
        migration: MigrationPolicy::Bidirectional,
        share: ShareGroupSettings::default(),
        streams: StreamsSettings::default(),
        session_timeout_ms: 0..=i32::MAX,
        offsets_retention_ms: i64::MAX,
        retention_check_ms: i64::MAX,
        offset_metadata_max: 4096,
        topic_partitions: 1,
    })
}

fn offset(partition: i32, value: Option<i64>) -> Change {
    Change::Offset(
        offset_key("g", "t", partition),
        value.map(|offset| OffsetValue { offset, ..Default::default() }),
    )
}

fn group(generation: Option<i32>) -> Change {
    let value = generation.map(|generation| GroupValue { generation, ..Default::default() });
    Change::Group(GroupKey { group: "g".to_owned() }, value)
}

#[test]
fn later_records_replace_earlier_ones_and_tombstones_leave_nothing() {
    let mut groups = coordinator();
    let changes = [
        group(Some(1)),
        offset(0, Some(5)),
        offset(1, Some(6)),
        group(Some(2)),
        offset(0, Some(7)),
        offset(1, None),
        Change::Foreign(3),
    ];
    changes.into_iter().for_each(|change| groups.replay(0, Offset::ZERO, change));
    assert_eq!(groups.loading.as_ref().unwrap().classic["g"].generation, 2);
    assert_eq!(groups.groups["g"].offsets.get("t", 0).unwrap().value.offset, 7);
    assert!(groups.groups["g"].offsets.get("t", 1).is_none());
    [group(None), offset(0, None)].into_iter().for_each(|change| groups.replay(0, Offset::ZERO, change));
    let (topics, in_flight) = (|| Rc::new(Arc::new(TopicTable::default())), HashMap::new());
    groups.begin(&mut Turn::new(0, LeaderEpoch::FIRST, &topics, &in_flight));
    assert_eq!(groups.count(), 0);
}

#[test]
fn a_group_that_is_served_is_not_replaced_by_its_own_record_and_goes_with_its_tombstone() {
    let mut groups = coordinator();
    [group(Some(4)), offset(0, Some(5))]
        .into_iter()
        .for_each(|change| groups.replay(0, Offset::ZERO, change));
    let (topics, in_flight) = (|| Rc::new(Arc::new(TopicTable::default())), HashMap::new());
    groups.begin(&mut Turn::new(0, LeaderEpoch::FIRST, &topics, &in_flight));
    groups.replay(0, Offset::ZERO, group(Some(3)));
    assert_eq!(groups.classic("g").unwrap().generation(), 4);
    [offset(0, None), group(None)].into_iter().for_each(|change| groups.replay(0, Offset::ZERO, change));
    let turn = &mut Turn::new(0, LeaderEpoch::FIRST, &topics, &in_flight);
    groups.settled(turn, Some("g"), Then::Interred(None), Ok(()));
    assert_eq!(groups.count(), 0);
}

/// The tombstone would land behind a commit that expiry has not seen.
#[test]
fn d9_offsets_do_not_expire_under_a_commit_that_is_on_its_way() {
    let mut groups = coordinator();
    (groups.settings.offsets_retention_ms, groups.settings.retention_check_ms) = (1000, 100);
    groups.replay(0, Offset::ZERO, offset(0, Some(5)));
    let (topics, mut in_flight) = (|| Rc::new(Arc::new(TopicTable::default())), HashMap::new());
    groups.begin(&mut Turn::new(0, LeaderEpoch::FIRST, &topics, &in_flight));
    let written = |groups: &mut GroupCoordinator, now, in_flight: &HashMap<String, usize>| {
        let mut turn = Turn::new(now, LeaderEpoch::FIRST, &topics, in_flight);
        groups.tick(&mut turn);
        turn.into_writes().len()
    };
    in_flight.insert("g".to_owned(), 1);
    assert_eq!(written(&mut groups, 2000, &in_flight), 0);
    in_flight.clear();
    assert_eq!(written(&mut groups, 3000, &in_flight), 1);
}
