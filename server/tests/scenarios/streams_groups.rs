//! Streams groups (KIP-1071) through the protocol: members come, go, and are told; the topics of their
//! application are created; the broker is killed; and what administrators see of it.

use std::process::Command;
use std::time::{Duration, Instant};

use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE, batch};

const GROUP: &str = "g";

/// The numbers of what members are told of their group.
const MISSING_SOURCE_TOPICS: i8 = 1;
const INCORRECTLY_PARTITIONED_TOPICS: i8 = 2;
const MISSING_INTERNAL_TOPICS: i8 = 3;
const SHUTDOWN_APPLICATION: i8 = 4;
const ASSIGNMENT_DELAYED: i8 = 5;

/// Tasks are shared out whenever somebody comes or goes.
const AT_ONCE: [&str; 4] =
    ["-o", "group.streams.assignment.interval.ms=0", "-o", "group.streams.initial.rebalance.delay.ms=0"];

fn code(number: i16) -> ErrorCode {
    ErrorCode::try_from(number).unwrap()
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// Lines come in, words go through a topic of the application's own, and are counted.
fn topology() -> StreamsGroupTopology {
    let config = |key: &str, value: &str| StreamsGroupKeyValue { key: text(key), value: text(value) };
    let words = || StreamsGroupTopicInfo {
        name: text("app-words-repartition"),
        topic_configs: vec![config("cleanup.policy", "delete"), config("retention.ms", "-1")],
        ..Default::default()
    };
    let counts = StreamsGroupTopicInfo {
        name: text("app-counts-changelog"),
        topic_configs: vec![config("cleanup.policy", "compact")],
        ..Default::default()
    };
    let first = StreamsGroupSubtopology {
        subtopology_id: text("0"),
        source_topics: vec![text("lines")],
        repartition_sink_topics: vec![words().name],
        ..Default::default()
    };
    let second = StreamsGroupSubtopology {
        subtopology_id: text("1"),
        repartition_source_topics: vec![words()],
        state_changelog_topics: vec![counts],
        ..Default::default()
    };
    StreamsGroupTopology { epoch: 0, subtopologies: vec![first, second] }
}

/// A thread of the application as it sees itself.
struct Member {
    id: String,
    epoch: i32,
    endpoints_epoch: i32,
    active: Vec<(String, i32)>,
    standby: Vec<(String, i32)>,
}

fn ids(tasks: &[(String, i32)]) -> Vec<StreamsGroupTaskIds> {
    let id = |(subtopology, partition): &(String, i32)| StreamsGroupTaskIds {
        subtopology_id: subtopology.clone(),
        partitions: vec![*partition],
    };
    tasks.iter().map(id).collect()
}

fn tasks(ids: &Option<Vec<StreamsGroupTaskIds>>) -> Option<Vec<(String, i32)>> {
    let all = ids
        .as_ref()?
        .iter()
        .flat_map(|part| part.partitions.iter().map(|partition| (part.subtopology_id.clone(), *partition)));
    Some(all.collect())
}

impl Member {
    fn new(id: &str) -> Member {
        Member { id: text(id), epoch: 0, endpoints_epoch: -1, active: Vec::new(), standby: Vec::new() }
    }

    fn request(&self) -> StreamsGroupHeartbeatRequest {
        let joins = self.epoch == 0;
        StreamsGroupHeartbeatRequest {
            group_id: text(GROUP),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            endpoint_information_epoch: self.endpoints_epoch,
            rebalance_timeout_ms: if joins { 60_000 } else { -1 },
            topology: joins.then(topology),
            active_tasks: Some(ids(&self.active)),
            standby_tasks: Some(ids(&self.standby)),
            warmup_tasks: Some(Vec::new()),
            process_id: joins.then(|| format!("process of {}", self.id)),
            user_endpoint: joins.then(|| StreamsGroupEndpoint { host: self.id.clone(), port: 80 }),
            ..Default::default()
        }
    }

    /// Says what it has, and takes in what it is told.
    fn beat(&mut self, client: &mut Client) -> Result<StreamsGroupHeartbeatResponse, ErrorCode> {
        let request = self.request();
        self.say(client, &request)
    }

    fn say(
        &mut self,
        client: &mut Client,
        request: &StreamsGroupHeartbeatRequest,
    ) -> Result<StreamsGroupHeartbeatResponse, ErrorCode> {
        let answer = told(client, request)?;
        (self.epoch, self.endpoints_epoch) = (answer.member_epoch, answer.endpoint_information_epoch);
        if let (Some(active), Some(standby)) = (tasks(&answer.active_tasks), tasks(&answer.standby_tasks)) {
            (self.active, self.standby) = (active, standby);
        }
        Ok(answer)
    }

    fn leave(&mut self, client: &mut Client) {
        let request = StreamsGroupHeartbeatRequest {
            group_id: text(GROUP),
            member_id: self.id.clone(),
            member_epoch: -1,
            ..Default::default()
        };
        assert_eq!(told(client, &request).unwrap().member_epoch, -1);
    }

    fn commit(&self, client: &mut Client, partition: i32, epoch: i32) -> ErrorCode {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: 5,
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic { name: text("lines"), partitions: vec![partition] };
        let request = OffsetCommitRequest {
            group_id: text(GROUP),
            member_id: self.id.clone(),
            generation_id_or_member_epoch: epoch,
            topics: vec![topic],
            ..Default::default()
        };
        code(client.call(9, &request).topics[0].partitions[0].error_code)
    }
}

/// The answer, once the coordinator has loaded.
fn told(
    client: &mut Client,
    request: &StreamsGroupHeartbeatRequest,
) -> Result<StreamsGroupHeartbeatResponse, ErrorCode> {
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

fn codes(answer: &StreamsGroupHeartbeatResponse) -> Vec<i8> {
    answer.status.iter().flatten().map(|status| status.status_code).collect()
}

fn find_coordinator(client: &mut Client) {
    let find = FindCoordinatorRequest { coordinator_keys: vec![text(GROUP)], ..Default::default() };
    client.call(6, &find);
}

fn describe(client: &mut Client) -> StreamsGroupDescribedGroup {
    let request = StreamsGroupDescribeRequest {
        group_ids: vec![text(GROUP)],
        include_topology_description: true,
        ..Default::default()
    };
    client.call(1, &request).groups.remove(0)
}

fn delete(client: &mut Client) -> ErrorCode {
    code(client.call(2, &DeleteGroupsRequest { groups_names: vec![text(GROUP)] }).results[0].error_code)
}

fn listed(client: &mut Client, kind: &str) -> Vec<(String, String)> {
    let request = ListGroupsRequest { types_filter: vec![text(kind)], ..Default::default() };
    let groups = client.call(5, &request).groups;
    groups.into_iter().map(|group| (group.group_state, group.protocol_type)).collect()
}

fn partitions(client: &mut Client, topic: &str) -> usize {
    let topic = MetadataRequestTopic { name: Some(text(topic)), ..Default::default() };
    let request =
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: false, ..Default::default() };
    client.call(12, &request).topics[0].partitions.len()
}

#[test]
fn d9_members_share_tasks_go_on_after_a_kill_and_no_active_task_has_two_owners() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    client.create("lines", 2, &[]);
    find_coordinator(&mut client);
    let (mut a, mut b) = (Member::new("a"), Member::new("b"));
    let answer = a.beat(&mut client).unwrap();
    assert_eq!(
        (codes(&answer), answer.heartbeat_interval_ms),
        (vec![], 5000),
        "its topics were created for it"
    );
    let all = |part: &str| [0, 1].map(|at| (text(part), at));
    assert_eq!(a.active, [all("0"), all("1")].concat());
    assert_eq!(partitions(&mut client, "app-words-repartition"), 2);
    assert_eq!(partitions(&mut client, "app-counts-changelog"), 2);
    b.beat(&mut client).unwrap();
    assert_eq!((b.epoch, b.active.len()), (a.epoch + 1, 0), "a has not given anything up");
    a.beat(&mut client).unwrap();
    assert_eq!((a.epoch, a.active.len()), (b.epoch - 1, 2));
    assert_eq!(describe(&mut client).group_state, "Reconciling");
    let before = a.epoch;

    // In the middle of it.
    broker.kill();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    b.beat(&mut client).unwrap();
    assert_eq!(b.active, []);
    a.beat(&mut client).unwrap();
    assert_eq!((a.epoch, a.active.len()), (b.epoch, 2), "it has given up what it was to");
    b.beat(&mut client).unwrap();
    assert_eq!((b.active.len(), describe(&mut client).group_state.as_str()), (2, "Stable"));
    assert!(a.active.iter().all(|task| !b.active.contains(task)));

    let kept = a.active.iter().find(|(part, _)| part == "0").expect("it reads lines").1;
    assert_eq!(a.commit(&mut client, kept, before), ErrorCode::None, "it had it in that epoch");
    assert_eq!(a.commit(&mut client, 1 - kept, before), ErrorCode::StaleMemberEpoch);
    assert_eq!(a.commit(&mut client, 1 - kept, a.epoch), ErrorCode::None);
    assert_eq!(a.commit(&mut client, kept, a.epoch + 1), ErrorCode::StaleMemberEpoch);
    assert_eq!(Member::new("c").commit(&mut client, 0, 2), ErrorCode::UnknownMemberId);

    let described = describe(&mut client);
    assert_eq!(described.group_epoch, described.assignment_epoch);
    assert_eq!(
        (described.assignor_name.as_deref(), described.topology_description_status),
        (Some("sticky"), 1)
    );
    let parts = described.topology.unwrap().subtopologies.unwrap();
    assert_eq!(parts[1].state_changelog_topics[0].partitions, 2);
    let member = &described.members[0];
    assert_eq!((member.member_id.as_str(), member.process_id.as_str()), ("a", "process of a"));
    assert_eq!(member.assignment, member.target_assignment);
    assert_eq!(listed(&mut client, "streams"), [(text("Stable"), text("streams"))]);
    assert_eq!(delete(&mut client), ErrorCode::NonEmptyGroup);

    b.leave(&mut client);
    a.beat(&mut client).unwrap();
    assert_eq!(a.active.len(), 4);
    a.leave(&mut client);
    assert_eq!(describe(&mut client).group_state, "Empty");
    assert_eq!(delete(&mut client), ErrorCode::None);
    broker.kill();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    assert_eq!(a.beat(&mut client), Err(ErrorCode::GroupIdNotFound));
    assert_eq!(code(describe(&mut client).error_code), ErrorCode::GroupIdNotFound);
}

#[test]
fn members_are_told_what_their_application_lacks_and_who_wants_them_to_stop() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    find_coordinator(&mut client);
    let mut a = Member::new("a");
    assert_eq!(codes(&a.beat(&mut client).unwrap()), [MISSING_SOURCE_TOPICS]);
    assert_eq!((a.active.len(), describe(&mut client).group_state.as_str()), (0, "NotReady"));
    client.create("lines", 3, &[]);
    client.create("app-counts-changelog", 2, &[]);
    let answer = a.beat(&mut client).unwrap();
    assert_eq!(codes(&answer), [INCORRECTLY_PARTITIONED_TOPICS]);
    let status = answer.status.unwrap().remove(0);
    assert!(status.status_detail.contains("app-counts-changelog"), "{}", status.status_detail);
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(text("app-counts-changelog")), ..Default::default() }],
        timeout_ms: 1000,
        ..Default::default()
    };
    assert_eq!(client.call(6, &request).responses[0].error_code, 0);
    assert!(codes(&a.beat(&mut client).unwrap()).is_empty());
    assert_eq!(a.active.len(), 6);

    let mut b = Member::new("b");
    b.beat(&mut client).unwrap();
    let request = StreamsGroupHeartbeatRequest { shutdown_application: true, ..b.request() };
    assert_eq!(codes(&b.say(&mut client, &request).unwrap()), [SHUTDOWN_APPLICATION]);
    assert_eq!(codes(&a.beat(&mut client).unwrap()), [SHUTDOWN_APPLICATION]);

    let mut wrong = Member::new("c").request();
    wrong.topology.as_mut().unwrap().subtopologies[0].source_topics = vec![text("__consumer_offsets")];
    assert_eq!(told(&mut client, &wrong), Err(ErrorCode::StreamsInvalidTopology));
    wrong.topology.as_mut().unwrap().subtopologies[0].source_topics = vec![text("no/name")];
    assert_eq!(told(&mut client, &wrong), Err(ErrorCode::StreamsInvalidTopology));
    let mut other = Member::new("c").request();
    other.topology.as_mut().unwrap().subtopologies[0].source_topics = vec![text("app-words-repartition")];
    assert_eq!(told(&mut client, &other), Err(ErrorCode::InvalidRequest), "it is another application");
    let request = StreamsGroupHeartbeatRequest { group_id: String::new(), ..Member::new("c").request() };
    assert_eq!(told(&mut client, &request), Err(ErrorCode::InvalidRequest));
}

#[test]
fn a_topic_of_the_application_that_cannot_be_created_is_told_with_the_reason() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    client.create("lines", 1, &[]);
    find_coordinator(&mut client);
    let mut a = Member::new("a");
    let mut request = a.request();
    let changelog = &mut request.topology.as_mut().unwrap().subtopologies[1].state_changelog_topics[0];
    changelog.topic_configs[0].value = text("nonsense");
    let answer = a.say(&mut client, &request).unwrap();
    assert_eq!(codes(&answer), [MISSING_INTERNAL_TOPICS]);
    let detail = answer.status.unwrap().remove(0).status_detail;
    assert!(detail.contains("Creation failed: app-counts-changelog"), "{detail}");
}

#[test]
fn members_know_where_the_state_of_others_is() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    client.create("lines", 1, &[]);
    find_coordinator(&mut client);
    let mut a = Member::new("a");
    let known = a.beat(&mut client).unwrap().partitions_by_user_endpoint.expect("it is news");
    assert_eq!((known.len(), known[0].user_endpoint.host.as_str()), (1, "a"));
    let topics: Vec<_> = known[0].active_partitions.iter().map(|topic| topic.topic.as_str()).collect();
    assert_eq!(topics, ["lines", "app-words-repartition"]);
    assert_eq!(a.beat(&mut client).unwrap().partitions_by_user_endpoint, None, "it knows");
    Member::new("b").beat(&mut client).unwrap();
    let known = a.beat(&mut client).unwrap().partitions_by_user_endpoint.expect("it is news");
    assert_eq!(known.len(), 2);
}

#[test]
fn kinds_of_groups_are_told_apart_and_an_empty_one_takes_the_kind_of_its_next_member() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    client.create("lines", 1, &[]);
    find_coordinator(&mut client);
    let mut a = Member::new("a");
    assert_eq!(Member { epoch: 1, ..Member::new("x") }.beat(&mut client), Err(ErrorCode::GroupIdNotFound));
    a.beat(&mut client).unwrap();
    let consumer = ConsumerGroupHeartbeatRequest {
        group_id: text(GROUP),
        member_id: text("c"),
        rebalance_timeout_ms: 1000,
        subscribed_topic_names: Some(vec![text("lines")]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    assert_eq!(code(client.call(1, &consumer).error_code), ErrorCode::GroupIdNotFound);
    let join = JoinGroupRequest {
        group_id: text(GROUP),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: text("consumer"),
        protocols: vec![JoinGroupRequestProtocol { name: text("range"), ..Default::default() }],
        ..Default::default()
    };
    assert_eq!(code(client.call(3, &join).error_code), ErrorCode::InconsistentGroupProtocol);
    let request = ConsumerGroupDescribeRequest { group_ids: vec![text(GROUP)], ..Default::default() };
    assert_eq!(code(client.call(1, &request).groups[0].error_code), ErrorCode::GroupIdNotFound);

    a.leave(&mut client);
    assert_eq!(code(client.call(1, &consumer).error_code), ErrorCode::None);
    assert_eq!((listed(&mut client, "streams"), listed(&mut client, "consumer").len()), (vec![], 1));
    (a.epoch, a.active) = (0, Vec::new());
    assert_eq!(a.beat(&mut client), Err(ErrorCode::GroupIdNotFound), "a consumer is in it");
    let leave = ConsumerGroupHeartbeatRequest { member_epoch: -1, ..consumer };
    assert_eq!(code(client.call(1, &leave).error_code), ErrorCode::None);
    a.beat(&mut client).unwrap();
    broker.kill();
    let broker = Broker::start(dir.path(), &AT_ONCE);
    let mut client = broker.client();
    a.beat(&mut client).unwrap();
    assert_eq!(listed(&mut client, "streams"), [(text("Stable"), text("streams"))]);
}

#[test]
fn streams_groups_keep_to_the_settings_of_their_broker() {
    let dir = data_dir();
    let options = [
        "group.streams.heartbeat.interval.ms=700",
        "group.streams.min.heartbeat.interval.ms=700",
        "group.streams.max.size=2",
        "group.streams.min.session.timeout.ms=5000",
        "group.streams.session.timeout.ms=5000",
        "group.streams.num.standby.replicas=1",
        "group.streams.initial.rebalance.delay.ms=2000",
        "group.streams.assignment.interval.ms=1",
    ];
    let options = options.iter().flat_map(|option| ["-o", option]).collect::<Vec<_>>();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create("lines", 1, &[]);
    find_coordinator(&mut client);
    let (mut a, mut b, mut c) = (Member::new("a"), Member::new("b"), Member::new("c"));
    let answer = a.beat(&mut client).unwrap();
    assert_eq!(answer.heartbeat_interval_ms, 700);
    assert_eq!((codes(&answer), a.active.len()), (vec![ASSIGNMENT_DELAYED], 0));
    b.beat(&mut client).unwrap();
    assert_eq!(c.beat(&mut client), Err(ErrorCode::GroupMaxSizeReached));
    let begun = Instant::now();
    while (a.active.len(), b.active.len()) != (1, 1) {
        assert!(begun.elapsed() < PATIENCE, "{:?} {:?}", a.active, b.active);
        std::thread::sleep(Duration::from_millis(50));
        a.beat(&mut client).unwrap();
        b.beat(&mut client).unwrap();
    }
    assert_eq!(a.standby.len() + b.standby.len(), 1, "of the task with a state");
    let begun = Instant::now();
    while c.beat(&mut client).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the sessions do not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sets a setting of the group.
fn set(client: &mut Client, setting: &str, value: &str) -> ErrorCode {
    let config =
        IncrementalAlterableConfig { name: text(setting), config_operation: 0, value: Some(text(value)) };
    let resource = IncrementalAlterConfigsResource {
        resource_type: 32,
        resource_name: text(GROUP),
        configs: vec![config],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    code(client.call(1, &request).responses[0].error_code)
}

#[test]
fn a_streams_group_has_settings_of_its_own_within_the_bounds_of_its_broker() {
    let dir = data_dir();
    let options = [
        "group.streams.max.assignment.interval.ms=20000",
        "group.streams.max.heartbeat.interval.ms=7000",
        "group.streams.max.session.timeout.ms=50000",
        "group.streams.max.standby.replicas=3",
        "group.streams.min.assignment.interval.ms=10",
        "group.streams.min.heartbeat.interval.ms=300",
        "group.streams.min.session.timeout.ms=2000",
    ];
    let options = options.iter().flat_map(|option| ["-o", option]).collect::<Vec<_>>();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create("lines", 1, &[]);
    find_coordinator(&mut client);
    for (setting, least, most) in [
        ("streams.assignment.interval.ms", 10, 20_000),
        ("streams.heartbeat.interval.ms", 300, 7000),
        ("streams.session.timeout.ms", 2000, 50_000),
        ("streams.num.standby.replicas", 0, 3),
    ] {
        for (value, expected) in [
            (least - 1, ErrorCode::InvalidConfig),
            (most, ErrorCode::None),
            (most + 1, ErrorCode::InvalidConfig),
            (least, ErrorCode::None),
        ] {
            assert_eq!(set(&mut client, setting, &value.to_string()), expected, "{setting}={value}");
        }
    }
    assert_eq!(set(&mut client, "streams.initial.rebalance.delay.ms", "0"), ErrorCode::None);
    assert_eq!(set(&mut client, "streams.num.standby.replicas", "1"), ErrorCode::None);
    let (mut a, mut b) = (Member::new("a"), Member::new("b"));
    let answer = a.beat(&mut client).unwrap();
    assert_eq!((answer.heartbeat_interval_ms, a.active.len()), (300, 2), "the first does not wait");
    let begun = Instant::now();
    while b.beat(&mut client).map(|_| b.standby.len()) != Ok(1) && a.standby.len() != 1 {
        assert!(begun.elapsed() < PATIENCE, "nobody stands by");
        a.beat(&mut client).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_command_line_shows_a_streams_group_with_its_tasks_and_moves_and_deletes_it() {
    let dir = data_dir();
    let broker =
        Broker::start(dir.path(), &[&AT_ONCE[..], &["-o", "group.streams.num.standby.replicas=1"]].concat());
    let mut client = broker.client();
    client.create("lines", 2, &[]);
    find_coordinator(&mut client);
    let run = |line: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
        let output = command.args(line).args(["--bootstrap", &broker.address.to_string()]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8(output.stdout).unwrap(), error)
    };
    let json = |line: &[&str]| -> serde_json::Value {
        let (shown, error) = run(&[line, &["--json"]].concat());
        serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{line:?}: {error}"))
    };
    let describe = ["group", "describe", GROUP];
    let (mut a, mut b) = (Member::new("a"), Member::new("b"));
    a.beat(&mut client).unwrap();
    client.produce("lines", 0, batch(&["x", "y", "z", "x", "y", "z", "x"]));
    assert_eq!(a.commit(&mut client, 0, a.epoch), ErrorCode::None);
    b.beat(&mut client).unwrap();

    // What a has and shall not have is with nobody else yet.
    let described = json(&describe);
    assert_eq!(
        (&described["state"], &described["protocol_type"]),
        (&"Reconciling".into(), &"streams".into())
    );
    assert_eq!((&described["epoch"], &described["target_epoch"]), (&b.epoch.into(), &b.epoch.into()));
    let parts = serde_json::json!({ "epoch": 0, "subtopologies": [
        { "id": "0", "sources": ["lines"], "repartition_sources": [],
          "repartition_sinks": ["app-words-repartition"], "changelogs": [] },
        { "id": "1", "sources": [], "repartition_sources": [{ "name": "app-words-repartition", "partitions": 2 }],
          "repartition_sinks": [], "changelogs": [{ "name": "app-counts-changelog", "partitions": 2 }] },
    ] });
    assert_eq!(described["topology"], parts);
    let [first, second] = [0, 1].map(|at| &described["members"][at]);
    assert_eq!((&first["id"], &first["epoch"]), (&"a".into(), &a.epoch.into()));
    assert_eq!(first["tasks"]["active"], serde_json::json!({ "0": [0, 1], "1": [0, 1] }));
    assert_eq!((&first["process_id"], &first["endpoint"]["port"]), (&"process of a".into(), &80.into()));
    let many = |tasks: &serde_json::Value| -> usize {
        tasks.as_object().unwrap().values().map(|partitions| partitions.as_array().unwrap().len()).sum()
    };
    assert_eq!((many(&first["gives_up"]["active"]), many(&first["gets"]["active"])), (2, 0));
    assert_eq!((many(&second["tasks"]["active"]), many(&second["gets"]["active"])), (0, 2));
    assert_eq!(first["gives_up"]["active"], second["gets"]["active"]);
    let row = serde_json::json!({
        "topic": "lines", "partition": 0, "committed": 5, "end": 7, "lag": 2, "member": "a",
    });
    assert!(described["partitions"].as_array().unwrap().contains(&row), "{described}");
    let (shown, _) = run(&describe);
    assert!(
        shown.contains("subtopology 1, reads app-words-repartition, keeps app-counts-changelog"),
        "{shown}"
    );
    assert!(
        shown.contains("works on 0:0,1 1:0,1, gives up ") && shown.contains("works on nothing"),
        "{shown}"
    );

    for _ in 0..3 {
        a.beat(&mut client).unwrap();
        b.beat(&mut client).unwrap();
    }
    let described = json(&describe);
    assert_eq!(described["state"], "Stable");
    let standbys: usize = (0..2).map(|at| many(&described["members"][at]["tasks"]["standby"])).sum();
    assert_eq!(standbys, 2, "each task with a state has one: {described}");
    assert_eq!(many(&described["members"][0]["gives_up"]["active"]), 0);
    let (shown, _) = run(&describe);
    assert!(shown.contains(", stands by 1:") && !shown.contains("gives up"), "{shown}");
    assert_eq!(json(&["group", "list", "--state", "stable"])[0]["type"], "streams");

    let reset = ["group", "reset-offsets", GROUP, "--topic", "lines", "--to-latest", "--execute"];
    assert!(run(&reset).1.contains("its offsets can be reset while"), "{:?}", run(&reset));
    assert!(run(&["group", "delete", GROUP]).1.contains("NON_EMPTY_GROUP"));
    a.leave(&mut client);
    b.leave(&mut client);
    let (shown, error) = run(&reset);
    assert!(error.is_empty() && !shown.is_empty(), "{shown} {error}");
    let described = json(&describe);
    assert_eq!(described["partitions"][0]["committed"], 7);
    assert_eq!((&described["state"], described["members"].as_array().unwrap().len()), (&"Empty".into(), 0));
    assert_eq!(run(&["group", "delete", GROUP]).1, "");
    assert_eq!(json(&["group", "list"]), serde_json::json!([]));
}
