//! A group is upgraded and downgraded while members are in it, through the protocol (KIP-848, online
//! migration).

use super::*;
use bytes::Bytes;

/// A member that speaks the classic protocol.
struct Classic {
    client: Client,
    id: String,
    generation: i32,
    partitions: Vec<i32>,
}

impl Classic {
    fn new(broker: &Broker) -> Classic {
        Classic { client: broker.client(), id: String::new(), generation: -1, partitions: Vec::new() }
    }

    fn request(&self) -> JoinGroupRequest {
        let topic =
            |partitions: &[i32]| TopicPartition { topic: "t".to_owned(), partitions: partitions.to_vec() };
        let said = ConsumerProtocolSubscription {
            topics: vec!["t".to_owned()],
            owned_partitions: Some(topic(&self.partitions))
                .filter(|topic| !topic.partitions.is_empty())
                .into_iter()
                .collect(),
            ..Default::default()
        };
        JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
            member_id: self.id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "cooperative-sticky".to_owned(),
                metadata: said.encode().unwrap(),
            }],
            ..Default::default()
        }
    }

    fn join(&mut self) -> JoinGroupResponse {
        let begun = Instant::now();
        loop {
            let joined = self.client.call(9, &self.request());
            match code(joined.error_code) {
                ErrorCode::MemberIdRequired => self.id = joined.member_id,
                ErrorCode::CoordinatorLoadInProgress if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => {
                    self.generation = joined.generation_id;
                    return joined;
                }
            }
        }
    }

    /// Asks for the assignment; as the leader it gives these to members.
    fn sync(&mut self, given: &[(&str, &[i32])]) -> ErrorCode {
        let given = given.iter().map(|(id, partitions)| {
            let topic = TopicPartition { topic: "t".to_owned(), partitions: partitions.to_vec() };
            let given = ConsumerProtocolAssignment { assigned_partitions: vec![topic], user_data: None };
            SyncGroupRequestAssignment { member_id: (*id).to_owned(), assignment: given.encode().unwrap() }
        });
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("cooperative-sticky".to_owned()),
            assignments: given.collect(),
            ..Default::default()
        };
        let synced = self.client.call(5, &request);
        let given = ConsumerProtocolAssignment::decode(&synced.assignment).unwrap();
        self.partitions = given.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
        code(synced.error_code)
    }

    fn heartbeat(&mut self) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        code(self.client.call(4, &request).error_code)
    }

    /// Joins until it has what it shall have, giving up what it shall not.
    fn rejoin(&mut self) {
        while self.heartbeat() == ErrorCode::RebalanceInProgress {
            assert_eq!(code(self.join().error_code), ErrorCode::None);
            assert_eq!(self.sync(&[]), ErrorCode::None);
        }
        assert_eq!(self.heartbeat(), ErrorCode::None);
    }

    fn commit(&mut self, version: i16, generation: i32) -> ErrorCode {
        let partition = OffsetCommitRequestPartition { committed_offset: 7, ..Default::default() };
        let topic = OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] };
        let request = OffsetCommitRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            generation_id_or_member_epoch: generation,
            topics: vec![topic],
            ..Default::default()
        };
        code(self.client.call(version, &request).topics[0].partitions[0].error_code)
    }

    fn leave(&mut self) -> ErrorCode {
        let member = MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let leave =
            LeaveGroupRequest { group_id: GROUP.to_owned(), members: vec![member], ..Default::default() };
        code(self.client.call(4, &leave).members[0].error_code)
    }
}

/// The type of the group, its state, and the types of the members of a consumer group.
fn seen(client: &mut Client) -> (String, String, Vec<i8>) {
    let listed = client.call(5, &ListGroupsRequest::default()).groups.remove(0);
    let mut members: Vec<_> = describe(client).members.into_iter().map(|member| member.member_type).collect();
    members.sort_unstable();
    (listed.group_type, listed.group_state, members)
}

fn shown(kind: &str, state: &str, members: &[i8]) -> (String, String, Vec<i8>) {
    (kind.to_owned(), state.to_owned(), members.to_vec())
}

fn options(more: &'static [&'static str]) -> Vec<&'static str> {
    let quick = ["group.initial.rebalance.delay.ms=0", "group.consumer.assignment.interval.ms=0"];
    quick.iter().chain(more).flat_map(|option| ["-o", *option]).collect()
}

#[test]
fn d9_a_group_changes_its_protocol_and_back_under_its_members_and_is_found_so_after_a_kill() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &options(&[]));
    let mut client = broker.client();
    client.create("t", 4, &[]);
    find_coordinator(&mut client);
    let mut a = Classic::new(&broker);
    assert_eq!((code(a.join().error_code), a.generation), (ErrorCode::None, 1));
    let own = a.id.clone();
    assert_eq!(a.sync(&[(&own, &[0, 1, 2, 3])]), ErrorCode::None);
    assert_eq!(a.commit(8, 1), ErrorCode::None);
    assert_eq!(seen(&mut client), shown("classic", "Stable", &[]));

    let mut b = Member::new("b");
    b.beat(&mut client).unwrap();
    assert_eq!((b.epoch, b.partitions()), (2, vec![]), "a has everything");
    assert_eq!(seen(&mut client), shown("consumer", "Reconciling", &[0, 1]));
    broker.kill();
    let broker = Broker::start(dir.path(), &options(&[]));
    let mut client = broker.client();
    a.client = broker.client();
    b.beat(&mut client).unwrap();
    assert_eq!(a.heartbeat(), ErrorCode::RebalanceInProgress);
    assert_eq!((a.commit(8, 1), a.commit(8, 2)), (ErrorCode::None, ErrorCode::IllegalGeneration));
    a.rejoin();
    b.beat(&mut client).unwrap();
    assert_eq!((a.partitions.len(), b.partitions().len(), a.generation), (2, 2, 2));
    assert_eq!(seen(&mut client), shown("consumer", "Stable", &[0, 1]));
    assert_eq!(b.fetch_offsets(&mut client, 2), (ErrorCode::None, vec![7]), "offsets stay");

    // A member that comes in by the classic protocol, while others do not speak it.
    let mut c = Classic::new(&broker);
    assert_eq!(code(c.join().error_code), ErrorCode::None);
    assert_eq!(c.sync(&[]), ErrorCode::None);
    a.rejoin();
    b.beat(&mut client).unwrap();
    b.beat(&mut client).unwrap();
    c.rejoin();
    let mut all: Vec<_> = [&a.partitions[..], &c.partitions, &b.partitions()].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert_eq!(c.leave(), ErrorCode::None);
    a.rejoin();

    b.leave(&mut client);
    assert_eq!(seen(&mut client), shown("classic", "PreparingRebalance", &[]));
    broker.kill();
    let broker = Broker::start(dir.path(), &options(&[]));
    a.client = broker.client();
    let mut client = broker.client();
    find_coordinator(&mut client);
    let generation = a.generation;
    // Until the group is loaded nothing is wrong, as in Kafka.
    let begun = Instant::now();
    while a.heartbeat() == ErrorCode::None && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(a.heartbeat(), ErrorCode::RebalanceInProgress);
    let joined = a.join();
    assert_eq!((joined.leader, joined.generation_id), (own.clone(), generation + 1));
    assert_eq!(a.sync(&[(&own, &[0, 1, 2, 3])]), ErrorCode::None);
    assert_eq!(seen(&mut client), shown("classic", "Stable", &[]));
    assert_eq!(b.fetch_offsets(&mut client, -1), (ErrorCode::None, vec![7]), "offsets stay");
}

#[test]
fn the_policy_of_the_broker_says_whether_a_group_may_change_its_protocol() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &options(&["group.consumer.migration.policy=Disabled"]));
    let mut client = broker.client();
    client.create("t", 1, &[]);
    find_coordinator(&mut client);
    let mut a = Classic::new(&broker);
    a.join();
    let own = a.id.clone();
    assert_eq!(a.sync(&[(&own, &[0])]), ErrorCode::None);
    let mut b = Member::new("b");
    let refused = client.call(1, &b.request());
    assert_eq!(code(refused.error_code), ErrorCode::GroupIdNotFound);
    let why = "Cannot upgrade classic group g to consumer group because online upgrade is disabled.";
    assert_eq!(refused.error_message.as_deref(), Some(why));
    assert_eq!(a.leave(), ErrorCode::None);
    b.beat(&mut client).unwrap();
    assert_eq!(code(Classic::new(&broker).join().error_code), ErrorCode::InconsistentGroupProtocol);
    broker.kill();
    let broker = Broker::start(dir.path(), &options(&["group.consumer.migration.policy=upgrade"]));
    let mut client = broker.client();
    find_coordinator(&mut client);
    b.beat(&mut client).unwrap();
    let mut c = Classic::new(&broker);
    assert_eq!(code(c.join().error_code), ErrorCode::None);
    b.leave(&mut client);
    let listed = client.call(5, &ListGroupsRequest::default()).groups.remove(0);
    assert_eq!(listed.group_type, "consumer", "it is not downgraded");
    let metadata = Bytes::new();
    let protocols = vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata }];
    let refused = c.client.call(9, &JoinGroupRequest { protocols, ..c.request() });
    assert_eq!(code(refused.error_code), ErrorCode::InconsistentGroupProtocol);
}
