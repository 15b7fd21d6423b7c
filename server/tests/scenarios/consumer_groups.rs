//! Consumer groups (KIP-848) through the protocol: members come, go, and are told; the broker is killed; and
//! what administrators see of it.

mod migration;

use std::time::{Duration, Instant};

use strandline_protocol::Uuid;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE};

const GROUP: &str = "g";

/// A member as it sees itself.
struct Member {
    id: String,
    epoch: i32,
    topics: Vec<(Uuid, Vec<i32>)>,
}

impl Member {
    fn new(id: &str) -> Member {
        Member { id: id.to_owned(), epoch: 0, topics: Vec::new() }
    }

    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let owned = self.topics.iter().map(|(topic_id, partitions)| ConsumerGroupHeartbeatTopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.clone(),
        });
        ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["t".to_owned()]),
            topic_partitions: Some(owned.collect()),
            ..Default::default()
        }
    }

    /// Says what it has, and takes in what it is told.
    fn beat(&mut self, client: &mut Client) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let answer = told(client, &self.request())?;
        self.epoch = answer.member_epoch;
        if let Some(assignment) = &answer.assignment {
            let topics = assignment.topic_partitions.iter();
            self.topics = topics.map(|topic| (topic.topic_id, topic.partitions.clone())).collect();
        }
        Ok(answer)
    }

    fn partitions(&self) -> Vec<i32> {
        self.topics.iter().flat_map(|(_, partitions)| partitions.clone()).collect()
    }

    fn leave(&self, client: &mut Client) {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: -1,
            ..Default::default()
        };
        assert_eq!(told(client, &request).unwrap().member_epoch, -1);
    }

    fn commit(&self, client: &mut Client, epoch: i32) -> ErrorCode {
        let partition = OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() };
        let topic = OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] };
        let request = OffsetCommitRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            generation_id_or_member_epoch: epoch,
            topics: vec![topic],
            ..Default::default()
        };
        code(client.call(9, &request).topics[0].partitions[0].error_code)
    }

    fn fetch_offsets(&self, client: &mut Client, epoch: i32) -> (ErrorCode, Vec<i64>) {
        let group = OffsetFetchRequestGroup {
            group_id: GROUP.to_owned(),
            member_id: Some(self.id.clone()),
            member_epoch: epoch,
            topics: None,
        };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let found = client.call(9, &request).groups.remove(0);
        let partitions = found.topics.into_iter().flat_map(|topic| topic.partitions);
        (code(found.error_code), partitions.map(|partition| partition.committed_offset).collect())
    }
}

fn code(number: i16) -> ErrorCode {
    ErrorCode::try_from(number).unwrap()
}

/// The answer, once the coordinator has loaded.
fn told(
    client: &mut Client,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
    let begun = Instant::now();
    loop {
        let answer = client.call(1, request);
        match code(answer.error_code) {
            ErrorCode::None => return Ok(answer),
            ErrorCode::CoordinatorLoadInProgress if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            error => return Err(error),
        }
    }
}

fn find_coordinator(client: &mut Client) {
    let find = FindCoordinatorRequest { coordinator_keys: vec![GROUP.to_owned()], ..Default::default() };
    client.call(6, &find);
}

fn describe(client: &mut Client) -> ConsumerGroupDescribedGroup {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![GROUP.to_owned()], ..Default::default() };
    client.call(1, &request).groups.remove(0)
}

fn delete(client: &mut Client) -> ErrorCode {
    let request = DeleteGroupsRequest { groups_names: vec![GROUP.to_owned()] };
    code(client.call(2, &request).results[0].error_code)
}

/// Partitions are shared out whenever somebody comes or goes.
const AT_ONCE: [&str; 2] = ["-o", "group.consumer.assignment.interval.ms=0"];

#[test]
fn d9_members_share_partitions_go_on_after_a_kill_and_no_partition_has_two_owners() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    client.create("t", 4, &[]);
    find_coordinator(&mut client);
    let (mut a, mut b) = (Member::new("a"), Member::new("b"));
    assert_eq!(b.beat(&mut client).unwrap().heartbeat_interval_ms, 5000);
    assert_eq!((b.epoch, b.partitions()), (2, vec![0, 1, 2, 3]));
    a.beat(&mut client).unwrap();
    assert_eq!((a.epoch, a.partitions()), (3, vec![]), "b has not given anything up");
    b.beat(&mut client).unwrap();
    assert_eq!((b.epoch, b.partitions()), (2, vec![0, 1]));
    assert_eq!(describe(&mut client).group_state, "Reconciling");

    // In the middle of it.
    broker.kill();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    a.beat(&mut client).unwrap();
    assert_eq!((a.epoch, a.partitions()), (3, vec![]));
    b.beat(&mut client).unwrap();
    assert_eq!((b.epoch, b.partitions()), (3, vec![0, 1]), "it has given up what it was to");
    a.beat(&mut client).unwrap();
    assert_eq!((a.epoch, a.partitions()), (3, vec![2, 3]));

    assert_eq!(a.commit(&mut client, 1), ErrorCode::StaleMemberEpoch);
    assert_eq!(a.commit(&mut client, 3), ErrorCode::None);
    assert_eq!(Member::new("c").commit(&mut client, 2), ErrorCode::UnknownMemberId);
    assert_eq!(a.fetch_offsets(&mut client, 1).0, ErrorCode::StaleMemberEpoch);
    assert_eq!(a.fetch_offsets(&mut client, 3), (ErrorCode::None, vec![5]));

    let described = describe(&mut client);
    assert_eq!((described.group_state.as_str(), described.assignor_name.as_str()), ("Stable", "uniform"));
    assert_eq!((described.group_epoch, described.assignment_epoch), (3, 3));
    let member = &described.members[0];
    assert_eq!((member.member_id.as_str(), member.member_epoch, member.member_type), ("a", 3, 1));
    assert_eq!(member.assignment, member.target_assignment);
    assert_eq!(member.assignment.topic_partitions[0].topic_name, "t");
    assert_eq!(delete(&mut client), ErrorCode::NonEmptyGroup);

    b.leave(&mut client);
    a.beat(&mut client).unwrap();
    assert_eq!((a.epoch, a.partitions()), (4, vec![0, 1, 2, 3]));
    a.leave(&mut client);
    assert_eq!(describe(&mut client).group_state, "Empty");
    assert_eq!(a.fetch_offsets(&mut client, -1), (ErrorCode::None, vec![5]), "offsets stay");
    assert_eq!(delete(&mut client), ErrorCode::None);
    broker.kill();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    assert_eq!(a.beat(&mut client), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(delete(&mut client), ErrorCode::GroupIdNotFound);
}

#[test]
fn the_two_kinds_of_groups_are_told_apart_and_an_empty_one_takes_the_kind_of_its_next_member() {
    let dir = data_dir();
    let options =
        ["-o", "group.initial.rebalance.delay.ms=0", "-o", "group.consumer.migration.policy=disabled"];
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    find_coordinator(&mut client);
    let mut a = Member::new("a");
    assert_eq!(Member { epoch: 1, ..Member::new("x") }.beat(&mut client), Err(ErrorCode::GroupIdNotFound));
    a.beat(&mut client).unwrap();
    let join = |member_id: &str| JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), ..Default::default() }],
        ..Default::default()
    };
    let listed = |client: &mut Client, kind: &str| {
        let types_filter = vec![kind.to_owned()];
        let found = client.call(5, &ListGroupsRequest { types_filter, ..Default::default() }).groups;
        found.into_iter().map(|group| (group.group_state, group.protocol_type)).collect::<Vec<_>>()
    };
    assert_eq!(code(client.call(3, &join("")).error_code), ErrorCode::InconsistentGroupProtocol);
    let heartbeat =
        HeartbeatRequest { group_id: GROUP.to_owned(), member_id: "a".to_owned(), ..Default::default() };
    assert_eq!(code(client.call(4, &heartbeat).error_code), ErrorCode::UnknownMemberId);
    assert_eq!(listed(&mut client, "consumer"), [("Stable".to_owned(), "consumer".to_owned())]);
    assert_eq!(listed(&mut client, "classic"), []);
    let request = DescribeGroupsRequest { groups: vec![GROUP.to_owned()], ..Default::default() };
    assert_eq!(code(client.call(6, &request).groups[0].error_code), ErrorCode::GroupIdNotFound);

    a.leave(&mut client);
    let joined = client.call(3, &join(""));
    assert_eq!(code(joined.error_code), ErrorCode::None);
    assert_eq!(listed(&mut client, "consumer"), []);
    a.epoch = 0;
    a.topics.clear();
    assert_eq!(a.beat(&mut client), Err(ErrorCode::GroupIdNotFound), "a classic member is in it");
    let member = MemberIdentity { member_id: joined.member_id, ..Default::default() };
    let leave = LeaveGroupRequest { group_id: GROUP.to_owned(), members: vec![member], ..Default::default() };
    assert_eq!(code(client.call(3, &leave).error_code), ErrorCode::None);
    a.beat(&mut client).unwrap();
    broker.kill();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    a.beat(&mut client).unwrap();
    assert_eq!(listed(&mut client, "consumer"), [("Stable".to_owned(), "consumer".to_owned())]);
}

#[test]
fn consumer_groups_keep_to_the_settings_of_their_broker() {
    let dir = data_dir();
    let options = [
        "group.consumer.assignors=range",
        "group.consumer.heartbeat.interval.ms=700",
        "group.consumer.min.heartbeat.interval.ms=700",
        "group.consumer.max.size=1",
        "group.consumer.min.session.timeout.ms=5000",
        "group.consumer.session.timeout.ms=5000",
    ];
    let options = options.iter().flat_map(|option| ["-o", option]).collect::<Vec<_>>();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    find_coordinator(&mut client);
    let (mut a, mut b) = (Member::new("a"), Member::new("b"));
    assert_eq!(a.beat(&mut client).unwrap().heartbeat_interval_ms, 700);
    assert_eq!(b.beat(&mut client), Err(ErrorCode::GroupMaxSizeReached));
    assert_eq!(describe(&mut client).assignor_name, "range");
    let begun = Instant::now();
    while b.beat(&mut client).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the session of a does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(b.partitions(), [0]);
}

#[test]
fn members_that_come_within_the_interval_of_their_group_are_taken_together() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "group.consumer.assignment.interval.ms=15000"]);
    let mut client = broker.client();
    client.create("t", 2, &[]);
    find_coordinator(&mut client);
    let (mut a, mut b) = (Member::new("a"), Member::new("b"));
    a.beat(&mut client).unwrap();
    assert_eq!((a.epoch, a.partitions()), (2, vec![0, 1]), "the first does not wait");
    b.beat(&mut client).unwrap();
    assert_eq!((b.epoch, b.partitions()), (2, vec![]));
    assert_eq!(describe(&mut client).group_state, "Assigning");
    // While it runs, for all groups.
    assert_eq!(set(&mut client, 4, "", "group.consumer.assignment.interval.ms", Some("0")), ErrorCode::None);
    a.beat(&mut client).unwrap();
    assert_eq!((a.partitions(), describe(&mut client).assignment_epoch), (vec![0], 3));
}

/// Sets a setting of a resource, or deletes it.
pub(crate) fn set(
    client: &mut Client,
    resource_type: i8,
    name: &str,
    setting: &str,
    value: Option<&str>,
) -> ErrorCode {
    let config = IncrementalAlterableConfig {
        name: setting.to_owned(),
        config_operation: i8::from(value.is_none()),
        value: value.map(str::to_owned),
    };
    let resource = IncrementalAlterConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configs: vec![config],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    code(client.call(1, &request).responses[0].error_code)
}

/// The value of a group's setting, and where it comes from.
pub(crate) fn value(client: &mut Client, group: &str, setting: &str) -> (String, i8) {
    let resource = DescribeConfigsResource {
        resource_type: 32,
        resource_name: group.to_owned(),
        configuration_keys: Some(vec![setting.to_owned()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let found = client.call(4, &request).results.remove(0).configs.remove(0);
    (found.value.unwrap(), found.config_source)
}

#[test]
fn d9_a_group_has_settings_of_its_own_within_the_bounds_of_its_broker_and_keeps_them() {
    let dir = data_dir();
    let options = [
        "group.consumer.max.assignment.interval.ms=20000",
        "group.consumer.max.heartbeat.interval.ms=7000",
        "group.consumer.max.session.timeout.ms=50000",
        "group.consumer.min.assignment.interval.ms=10",
        "group.consumer.min.heartbeat.interval.ms=300",
        "group.consumer.min.session.timeout.ms=2000",
    ];
    let options = options.iter().flat_map(|option| ["-o", option]).collect::<Vec<_>>();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    find_coordinator(&mut client);
    let (session, heartbeat) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    let interval = "consumer.assignment.interval.ms";
    for (setting, refused) in [
        (session, "1999"),
        (session, "50001"),
        (heartbeat, "299"),
        (heartbeat, "7001"),
        (interval, "9"),
        (interval, "20001"),
        ("no.such.setting", "1"),
        // No longer than the heartbeat interval, which is the broker's.
        (session, "5000"),
    ] {
        let said = set(&mut client, 32, GROUP, setting, Some(refused));
        assert_eq!(said, ErrorCode::InvalidConfig, "{setting}={refused}");
    }
    assert_eq!(set(&mut client, 32, "", session, Some("3000")), ErrorCode::InvalidRequest);
    assert_eq!(value(&mut client, GROUP, session), ("45000".to_owned(), 5));
    for (setting, taken) in [(heartbeat, "400"), (session, "3000"), (interval, "10")] {
        assert_eq!(set(&mut client, 32, GROUP, setting, Some(taken)), ErrorCode::None, "{setting}={taken}");
        assert_eq!(value(&mut client, GROUP, setting), (taken.to_owned(), 8));
    }
    broker.kill();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    let listed = ListConfigResourcesRequest { resource_types: vec![32] };
    let listed = client.call(1, &listed).config_resources;
    assert_eq!(listed.iter().map(|found| found.resource_name.as_str()).collect::<Vec<_>>(), [GROUP]);
    let (mut a, mut b) = (Member::new("a"), Member::new("b"));
    assert_eq!(a.beat(&mut client).unwrap().heartbeat_interval_ms, 400);
    let begun = Instant::now();
    b.beat(&mut client).unwrap();
    while b.partitions().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "the session of a does not end");
        std::thread::sleep(Duration::from_millis(100));
        b.beat(&mut client).unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(2500), "{:?}", begun.elapsed());
    // The broker's interval is longer than the session of this group.
    assert_eq!(set(&mut client, 32, GROUP, heartbeat, None), ErrorCode::InvalidConfig);
    assert_eq!(set(&mut client, 32, GROUP, session, None), ErrorCode::None);
    assert_eq!(set(&mut client, 32, GROUP, heartbeat, None), ErrorCode::None);
    assert_eq!(b.beat(&mut client).unwrap().heartbeat_interval_ms, 5000);
    // What all brokers are set to is another matter, and stays so.
    assert_eq!(set(&mut client, 4, "", "log.retention.ms", Some("7")), ErrorCode::None);
    assert_eq!(value(&mut client, GROUP, interval), ("10".to_owned(), 8));
}
