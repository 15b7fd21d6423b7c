//! Strangers in groups whose broker says who reads what (KIP-848, KIP-932, KIP-1071): whatever they say,
//! nobody else waits for it, and the memory does not keep it (D11).

use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE};

const GROUP: &str = "g";

/// What members of a streams group are told of numbers of partitions that do not go together.
const INCORRECTLY_PARTITIONED: i8 = 2;

/// Tasks are shared out whenever somebody comes or goes.
const AT_ONCE: [&str; 4] =
    ["-o", "group.streams.assignment.interval.ms=0", "-o", "group.streams.initial.rebalance.delay.ms=0"];

fn code(number: i16) -> ErrorCode {
    ErrorCode::try_from(number).unwrap()
}

/// Asks again while the coordinator loads.
fn told<T>(mut ask: impl FnMut() -> (i16, T)) -> T {
    let begun = Instant::now();
    loop {
        let (error, answer) = ask();
        if code(error) != ErrorCode::CoordinatorLoadInProgress || begun.elapsed() > PATIENCE {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn find_coordinator(client: &mut Client, group: &str) {
    let find = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    client.call(6, &find);
}

fn member(group: &str, id: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: id.to_owned(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["t".to_owned()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

fn described(group: &str, id: &str, regex: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(regex.to_owned()),
        ..member(group, id)
    }
}

fn beat(client: &mut Client, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    told(|| {
        let answer = client.call(1, request);
        (answer.error_code, answer)
    })
}

/// Somebody else, who asks for something small all the time; how long it waited at the most.
struct Other {
    ends: Sender<()>,
    longest: JoinHandle<Duration>,
}

impl Other {
    fn of(broker: &Broker) -> Other {
        let (ends, until) = channel();
        let mut client = broker.client();
        let longest = std::thread::spawn(move || {
            let hello = ApiVersionsRequest {
                client_software_name: "test".to_owned(),
                client_software_version: "1".to_owned(),
            };
            let mut longest = Duration::ZERO;
            while until.try_recv() != Err(TryRecvError::Disconnected) {
                let asked = Instant::now();
                client.call(4, &hello);
                longest = longest.max(asked.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
            longest
        });
        Other { ends, longest }
    }

    fn longest(self) -> Duration {
        drop(self.ends);
        self.longest.join().unwrap()
    }
}

fn patient(broker: &Broker) -> Client {
    let client = broker.client();
    client.stream().set_read_timeout(Some(Duration::from_secs(600))).unwrap();
    client
}

fn create_many(client: &mut Client, names: impl Iterator<Item = String>, partitions: i32) {
    let topic = |name| CreatableTopic {
        name,
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: names.map(topic).collect(), ..Default::default() };
    assert!(client.call(7, &request).topics.iter().all(|topic| topic.error_code == 0));
}

/// An expression that stands for more and more ways at once, the longer a name of `a` goes on.
fn hard(at: usize) -> String {
    format!("(?:a?){{900}}(?:a|b){{{}}}", 200 + at)
}

/// One that is small, and takes as much room as it may.
fn wide(at: usize) -> String {
    format!("[a-z]{{500}}x{at}")
}

#[test]
fn d11_expressions_that_are_hard_to_match_hold_up_nobody() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "1"]);
    let mut client = patient(&broker);
    let name = |at: usize| format!("{at:04}{}", "a".repeat(200));
    create_many(&mut client, (0..500).map(name), 1);
    find_coordinator(&mut client, GROUP);
    let other = Other::of(&broker);
    for at in 0..100 {
        // Whether it is taken is not asked.
        beat(&mut client, &described(GROUP, &format!("m{at}"), &format!("[0-9]*{}", hard(at))));
    }
    let last = beat(&mut client, &described(GROUP, "last", "[0-9]*(?:a?a?a?){60}b?"));
    assert_eq!(code(last.error_code), ErrorCode::None, "{:?}", last.error_message);
    let topics = (0..500).map(|at| OffsetDeleteRequestTopic {
        name: name(at),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
    });
    let request = OffsetDeleteRequest { group_id: GROUP.to_owned(), topics: topics.collect() };
    client.call(0, &request);
    std::thread::sleep(Duration::from_secs(2));
    let longest = other.longest();
    assert!(longest < Duration::from_secs(2), "somebody else has waited for {longest:?}");
}

#[test]
fn d11_expressions_take_little_more_room_than_what_says_them() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "1"]);
    let mut client = patient(&broker);
    client.create("t", 1, &[]);
    for group in 0..10 {
        find_coordinator(&mut client, &format!("g{group}"));
    }
    let before = broker.resident();
    for group in 0..10 {
        for at in 0..100 {
            let request = described(&format!("g{group}"), &format!("m{at}"), &wide(100 * group + at));
            assert_eq!(code(beat(&mut client, &request).error_code), ErrorCode::None);
        }
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more for a thousand members");
}

#[test]
fn d11_members_that_come_and_go_leave_nothing_behind_in_a_group_that_is_never_at_rest() {
    const ROUNDS: usize = 1500;
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "1"]);
    let mut client = patient(&broker);
    client.create("t", 1, &[]);
    find_coordinator(&mut client, GROUP);
    beat(&mut client, &member(GROUP, "stays"));
    let before = broker.resident();
    // So many that something of the group is on its way to the disk at every moment.
    let all: Vec<_> = (0..4)
        .map(|one| {
            let mut client = patient(&broker);
            std::thread::spawn(move || {
                for at in 0..ROUNDS {
                    let id = format!("{}{one}-{at}", "x".repeat(16_000));
                    let join = member(GROUP, &id);
                    client.send(1, &join);
                    client.send(1, &ConsumerGroupHeartbeatRequest { member_epoch: -1, ..join });
                    if at >= 4 {
                        client.read_frame().unwrap();
                        client.read_frame().unwrap();
                    }
                }
            })
        })
        .collect();
    all.into_iter().for_each(|one| one.join().unwrap());
    let grown = broker.resident().saturating_sub(before);
    let ids = 4 * ROUNDS * 16_000;
    assert!((grown as usize) < ids / 3, "{grown} bytes more after ids of {ids}");
}

#[test]
fn d11_a_group_of_thousands_holds_up_nobody() {
    const MEMBERS: usize = 3000;
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "1"]);
    let mut client = patient(&broker);
    client.create("t", 100, &[]);
    find_coordinator(&mut client, GROUP);
    beat(&mut client, &member(GROUP, "m0"));
    let other = Other::of(&broker);
    let ids: Vec<_> = (0..MEMBERS).map(|at| format!("m{at}")).collect();
    for some in ids.chunks(50) {
        some.iter().for_each(|id| _ = client.send(1, &member(GROUP, id)));
        some.iter().for_each(|_| drop(client.read_frame().unwrap()));
    }
    let request = ConsumerGroupDescribeRequest { group_ids: vec![GROUP.to_owned()], ..Default::default() };
    assert_eq!(client.call(1, &request).groups[0].members.len(), MEMBERS);
    let longest = other.longest();
    assert!(longest < Duration::from_secs(2), "somebody else has waited for {longest:?}");
}

fn streams(group: &str, id: &str, parts: Vec<StreamsGroupSubtopology>) -> StreamsGroupHeartbeatRequest {
    StreamsGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: id.to_owned(),
        endpoint_information_epoch: -1,
        rebalance_timeout_ms: 60_000,
        topology: Some(StreamsGroupTopology { epoch: 0, subtopologies: parts }),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process_id: Some(format!("p{id}")),
        user_endpoint: Some(StreamsGroupEndpoint { host: id.to_owned(), port: 80 }),
        ..Default::default()
    }
}

fn part(id: usize) -> StreamsGroupSubtopology {
    StreamsGroupSubtopology { subtopology_id: id.to_string(), ..Default::default() }
}

fn stream(client: &mut Client, request: &StreamsGroupHeartbeatRequest) -> StreamsGroupHeartbeatResponse {
    told(|| {
        let answer = client.call(1, request);
        (answer.error_code, answer)
    })
}

/// A circle of repartition topics, or a chain that begins with what others write.
fn in_a_row(parts: usize, is_circle: bool) -> Vec<StreamsGroupSubtopology> {
    let name = |at: usize| format!("r{at}");
    let parts = (0..parts).map(|at| {
        let (is_first, is_last) = (at == 0 && !is_circle, at + 1 == parts && !is_circle);
        let read = StreamsGroupTopicInfo { name: name(at), ..Default::default() };
        StreamsGroupSubtopology {
            source_topics: if is_first { vec!["s".to_owned()] } else { Vec::new() },
            repartition_source_topics: if is_first { Vec::new() } else { vec![read] },
            repartition_sink_topics: if is_last { Vec::new() } else { vec![name((at + 1) % parts)] },
            ..part(at)
        }
    });
    parts.collect()
}

#[test]
fn d11_topologies_of_thousands_of_parts_in_rows_and_circles_hold_up_nobody() {
    const PARTS: usize = 3000;
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[&AT_ONCE[..], &["--shards", "1"]].concat());
    let mut client = patient(&broker);
    client.create("s", 2, &[]);
    for group in ["flat", "row", "circle"] {
        find_coordinator(&mut client, group);
    }
    let other = Other::of(&broker);
    let flat = (0..PARTS)
        .map(|at| StreamsGroupSubtopology { source_topics: vec!["s".to_owned()], ..part(at) })
        .collect::<Vec<_>>();
    for at in 0..5 {
        let answer = stream(&mut client, &streams("flat", &format!("m{at}"), flat.clone()));
        assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    }
    let circle = stream(&mut client, &streams("circle", "a", in_a_row(PARTS, true)));
    let told: Vec<_> = circle.status.into_iter().flatten().collect();
    assert_eq!(told.iter().map(|status| status.status_code).collect::<Vec<_>>(), [INCORRECTLY_PARTITIONED]);
    assert!(told[0].status_detail.contains("loops"), "{}", told[0].status_detail);
    // Its topics are created.
    let row = stream(&mut client, &streams("row", "a", in_a_row(300, false)));
    assert_eq!((code(row.error_code), row.status), (ErrorCode::None, Some(Vec::new())));
    let longest = other.longest();
    assert!(longest < Duration::from_secs(2), "somebody else has waited for {longest:?}");
}

#[test]
fn topics_that_go_under_live_groups_and_come_again_are_taken_and_given_again() {
    let dir = data_dir();
    let broker = Broker::start(
        dir.path(),
        &[&AT_ONCE[..], &["-o", "group.consumer.assignment.interval.ms=0"]].concat(),
    );
    let mut client = broker.client();
    let delete = |client: &mut Client| {
        let topics = vec![DeleteTopicState { name: Some("t".to_owned()), ..Default::default() }];
        let request = DeleteTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() };
        assert_eq!(client.call(6, &request).responses[0].error_code, 0);
    };
    client.create("t", 2, &[]);
    for group in ["consumers", "streams", "shares"] {
        find_coordinator(&mut client, group);
    }
    let mut consumer = member("consumers", "a");
    let mut application = streams(
        "streams",
        "a",
        vec![StreamsGroupSubtopology { source_topics: vec!["t".to_owned()], ..part(0) }],
    );
    let mut share = ShareGroupHeartbeatRequest {
        group_id: "shares".to_owned(),
        member_id: "a".to_owned(),
        subscribed_topic_names: Some(vec!["t".to_owned()]),
        ..Default::default()
    };
    // How many partitions, tasks and shared partitions they have, once it is so many.
    let mut settle = |client: &mut Client, expected: usize| {
        let mut has = [usize::MAX; 3];
        let begun = Instant::now();
        while has != [expected; 3] {
            assert!(begun.elapsed() < PATIENCE, "{has:?} instead of {expected}");
            let answer = beat(client, &consumer);
            assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
            consumer.member_epoch = answer.member_epoch;
            if let Some(given) = answer.assignment {
                has[0] = given.topic_partitions.iter().map(|topic| topic.partitions.len()).sum();
                let owned =
                    given.topic_partitions.into_iter().map(|topic| ConsumerGroupHeartbeatTopicPartitions {
                        topic_id: topic.topic_id,
                        partitions: topic.partitions,
                    });
                consumer.topic_partitions = Some(owned.collect());
            }
            let answer = stream(client, &application);
            assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
            (application.member_epoch, application.topology) = (answer.member_epoch, None);
            application.rebalance_timeout_ms = -1;
            if let Some(given) = answer.active_tasks {
                has[1] = given.iter().map(|part| part.partitions.len()).sum();
                application.active_tasks = Some(given);
            }
            let answer = told(|| {
                let answer = client.call(1, &share);
                (answer.error_code, answer)
            });
            assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
            (share.member_epoch, share.subscribed_topic_names) = (answer.member_epoch, None);
            if let Some(given) = answer.assignment {
                has[2] = given.topic_partitions.iter().map(|topic| topic.partitions.len()).sum();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    settle(&mut client, 2);
    for _ in 0..2 {
        delete(&mut client);
        settle(&mut client, 0);
        client.create("t", 3, &[]);
        settle(&mut client, 3);
    }
}
