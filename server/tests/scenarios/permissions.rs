//! Who may do what: rules made by the wire, in force at once, over a kill, and shown to nobody who may not
//! see.

mod patterns;
mod roles;
mod tools;

use std::collections::HashSet;
use std::path::Path;

use strandline::security::acl::{Operation, PatternType, Permission, ResourceType};
use strandline_protocol::messages::*;
use strandline_protocol::wire::{Encode, ErrorCode};

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch, fetch};
use crate::sasl::plain;
use crate::transactions::{Level, code};

pub(crate) const STANDARD: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

const USERS: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                     user_admin=\"a\" user_bob=\"b\" user_carol=\"c\";";

/// A broker that lets in `admin`, who may do everything, and `bob` and `carol`, who may what rules say.
fn start(data: &Path, more: &[&str]) -> Broker {
    let arguments = arguments(more);
    Broker::start(data, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn arguments(more: &[&str]) -> Vec<String> {
    let settings = [
        "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT".to_owned(),
        "sasl.enabled.mechanisms=PLAIN".to_owned(),
        format!("listener.name.plaintext.plain.sasl.jaas.config={USERS}"),
        format!("authorizer.class.name={STANDARD}"),
        "super.users=User:admin".to_owned(),
        "group.initial.rebalance.delay.ms=0".to_owned(),
    ];
    let settings = settings.into_iter().chain(more.iter().map(|setting| (*setting).to_owned()));
    settings.flat_map(|setting| ["-o".to_owned(), setting]).collect()
}

fn user(broker: &Broker, name: &str) -> Client {
    let mut client = broker.client();
    let answer = plain(&mut client, name, &name[..1]);
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    client
}

/// A rule for user `bob` from anywhere.
pub(crate) fn rule(kind: ResourceType, name: &str, operation: Operation) -> AclCreation {
    AclCreation {
        resource_type: kind.code(),
        resource_name: name.to_owned(),
        resource_pattern_type: PatternType::Literal.code(),
        principal: "User:bob".to_owned(),
        host: "*".to_owned(),
        operation: operation.code(),
        permission_type: Permission::Allow.code(),
    }
}

fn prefixed(rule: AclCreation) -> AclCreation {
    AclCreation { resource_pattern_type: PatternType::Prefixed.code(), ..rule }
}

fn denied(rule: AclCreation) -> AclCreation {
    AclCreation { permission_type: Permission::Deny.code(), ..rule }
}

fn create(client: &mut Client, rules: &[AclCreation]) -> Vec<ErrorCode> {
    let answer = client.call(3, &CreateAclsRequest { creations: rules.to_vec() });
    answer.results.iter().map(|result| code(result.error_code)).collect()
}

pub(crate) fn created(client: &mut Client, rules: &[AclCreation]) {
    assert!(create(client, rules).iter().all(|code| *code == ErrorCode::None));
}

/// Asks for every rule.
fn every() -> DeleteAclsFilter {
    DeleteAclsFilter {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    }
}

fn delete(client: &mut Client, filter: DeleteAclsFilter) -> usize {
    let result = client.call(3, &DeleteAclsRequest { filters: vec![filter] }).filter_results.remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    result.matching_acls.len()
}

fn described(client: &mut Client) -> Vec<AclCreation> {
    let every = DescribeAclsRequest {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    };
    let answer = client.call(3, &every);
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let of = |resource: DescribeAclsResource| {
        let DescribeAclsResource { resource_type, resource_name, pattern_type, acls } = resource;
        acls.into_iter().map(move |acl| AclCreation {
            resource_type,
            resource_name: resource_name.clone(),
            resource_pattern_type: pattern_type,
            principal: acl.principal,
            host: acl.host,
            operation: acl.operation,
            permission_type: acl.permission_type,
        })
    };
    answer.resources.into_iter().flat_map(of).collect()
}

/// Every error code in an answer.
fn codes(answer: &impl Encode) -> HashSet<ErrorCode> {
    let mut found = HashSet::new();
    answer.errors("", &mut |error| {
        found.insert(code(error));
    });
    found.remove(&ErrorCode::None);
    found
}

fn produced(client: &mut Client, topic: &str) -> ErrorCode {
    code(client.produce(topic, 0, batch(&["v"])).error_code)
}

fn fetched(client: &mut Client, topic: &str) -> ErrorCode {
    let answer = client.fetch(12, &fetch(topic, &[(0, 0)]));
    code(answer.responses[0].partitions[0].error_code)
}

#[test]
fn rules_are_in_force_when_they_are_answered_and_after_a_kill() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let mut admin = user(&broker, "admin");
    admin.create("orders", 1, &[]);
    let denial = ErrorCode::TopicAuthorizationFailed;
    // One on each shard: the rules are in force on all of them.
    let mut bobs: Vec<Client> = (0..4).map(|_| user(&broker, "bob")).collect();
    for bob in &mut bobs {
        assert_eq!((produced(bob, "orders"), fetched(bob, "orders")), (denial, denial));
    }
    let write = rule(ResourceType::Topic, "orders", Operation::Write);
    created(&mut admin, &[write.clone(), write.clone()]);
    for bob in &mut bobs {
        assert_eq!((produced(bob, "orders"), fetched(bob, "orders")), (ErrorCode::None, denial));
    }
    let read = prefixed(rule(ResourceType::Topic, "ord", Operation::Read));
    created(&mut admin, std::slice::from_ref(&read));
    let kept = described(&mut admin);
    assert_eq!(kept, [write.clone(), read.clone()]);
    broker.kill();

    let broker = start(dir.path(), &[]);
    let (mut admin, mut bob) = (user(&broker, "admin"), user(&broker, "bob"));
    assert_eq!(described(&mut admin), kept);
    assert_eq!(
        (produced(&mut bob, "orders"), fetched(&mut bob, "orders")),
        (ErrorCode::None, ErrorCode::None)
    );
    assert_eq!(produced(&mut user(&broker, "carol"), "orders"), denial);
    created(&mut admin, &[denied(write.clone())]);
    assert_eq!(produced(&mut bob, "orders"), denial, "a rule that denies wins");
    assert_eq!(delete(&mut admin, every()), 3);
    assert_eq!(fetched(&mut bob, "orders"), denial);
    broker.kill();
    assert!(described(&mut user(&start(dir.path(), &[]), "admin")).is_empty());
}

#[test]
fn rules_name_hosts_and_every_user_and_every_name() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let mut admin = user(&broker, "admin");
    admin.create("t", 1, &[]);
    let mut bob = user(&broker, "bob");
    let write = rule(ResourceType::Topic, "*", Operation::Write);
    let elsewhere = AclCreation { host: "10.0.0.1".to_owned(), ..write.clone() };
    created(&mut admin, &[elsewhere]);
    assert_eq!(produced(&mut bob, "t"), ErrorCode::TopicAuthorizationFailed);
    let here = AclCreation { host: "127.0.0.1".to_owned(), principal: "User:*".to_owned(), ..write };
    created(&mut admin, &[here]);
    assert_eq!(produced(&mut bob, "t"), ErrorCode::None);
    assert_eq!(produced(&mut user(&broker, "carol"), "t"), ErrorCode::None);
    let every = rule(ResourceType::Topic, "t", Operation::Every);
    created(&mut admin, &[denied(every)]);
    assert_eq!(produced(&mut bob, "t"), ErrorCode::TopicAuthorizationFailed);
    assert_eq!(produced(&mut admin, "t"), ErrorCode::None, "a super user may do what is denied to all");
}

#[test]
fn without_rules_everybody_may_what_the_setting_says() {
    let dir = data_dir();
    let broker = start(dir.path(), &["allow.everyone.if.no.acl.found=true"]);
    let mut bob = user(&broker, "bob");
    bob.create("t", 1, &[]);
    assert_eq!(produced(&mut bob, "t"), ErrorCode::None);
    // A rule about the topic, for whomever, takes it from all others; bob may make it.
    let of_carol = AclCreation {
        principal: "User:carol".to_owned(),
        ..rule(ResourceType::Topic, "t", Operation::Write)
    };
    created(&mut bob, &[of_carol]);
    assert_eq!(produced(&mut bob, "t"), ErrorCode::TopicAuthorizationFailed);
    assert_eq!(produced(&mut user(&broker, "carol"), "t"), ErrorCode::None);
}

#[test]
fn a_rule_that_cannot_be_is_refused_alone_and_rules_have_an_end() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let mut admin = user(&broker, "admin");
    let good = rule(ResourceType::Topic, "t", Operation::Read);
    let bad = [
        AclCreation { resource_type: 1, ..good.clone() },
        AclCreation { resource_type: 8, ..good.clone() },
        AclCreation { resource_pattern_type: 2, ..good.clone() },
        AclCreation { operation: 1, ..good.clone() },
        AclCreation { operation: 16, ..good.clone() },
        AclCreation { permission_type: 1, ..good.clone() },
        AclCreation { resource_name: String::new(), ..good.clone() },
        AclCreation { resource_type: ResourceType::Cluster.code(), ..good.clone() },
        AclCreation { principal: "bob".to_owned(), ..good.clone() },
        AclCreation { host: "localhost".to_owned(), ..good.clone() },
    ];
    for bad in bad {
        let answers = create(&mut admin, &[bad.clone(), good.clone()]);
        assert_eq!(answers, [ErrorCode::InvalidRequest, ErrorCode::None], "{bad:?}");
    }
    for filter in [
        DeleteAclsFilter { resource_type_filter: 0, ..every() },
        DeleteAclsFilter { pattern_type_filter: 9, ..every() },
        DeleteAclsFilter { operation: -1, ..every() },
        DeleteAclsFilter { permission_type: 4, ..every() },
    ] {
        let told = admin.call(3, &DeleteAclsRequest { filters: vec![filter] }).filter_results.remove(0);
        assert_eq!(code(told.error_code), ErrorCode::InvalidRequest);
    }
    // 20,000 entries and no more; what is there may still go.
    for thousand in 0..20 {
        let names = (0..1000).map(|at| format!("t-{}", 1000 * thousand + at));
        let rules: Vec<_> = names.map(|name| rule(ResourceType::Topic, &name, Operation::Read)).collect();
        let expected = if thousand == 19 { ErrorCode::PolicyViolation } else { ErrorCode::None };
        assert!(create(&mut admin, &rules).iter().all(|code| *code == expected), "{thousand}");
    }
    assert_eq!(create(&mut admin, &[rule(ResourceType::Topic, "t", Operation::Write)]), [ErrorCode::None]);
    assert_eq!(delete(&mut admin, every()), 19_002);
    assert!(described(&mut admin).is_empty());
}

#[test]
fn lists_show_what_may_be_described_and_nothing_of_the_rest() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let mut admin = user(&broker, "admin");
    for name in ["seen", "hidden"] {
        admin.create(name, 1, &[]);
        roles::commit(&mut admin, name, &["seen", "hidden"]);
        roles::begin(&mut admin, name, Level::New);
    }
    let mut bob = user(&broker, "bob");
    let all = MetadataRequest { topics: None, ..Default::default() };
    let told = bob.call(12, &all);
    assert!(told.topics.is_empty() && told.brokers.len() == 1);
    assert!(bob.call(5, &ListGroupsRequest::default()).groups.is_empty());
    assert!(bob.call(1, &ListTransactionsRequest::default()).transaction_states.is_empty());
    let kinds = [ResourceType::Topic, ResourceType::Group, ResourceType::TransactionalId];
    created(&mut admin, &kinds.map(|kind| rule(kind, "seen", Operation::Describe)));

    let names = |topics: Vec<MetadataResponseTopic>| -> Vec<String> {
        topics.into_iter().filter_map(|topic| topic.name).collect()
    };
    assert_eq!(names(bob.call(12, &all).topics), ["seen"]);
    let pages =
        bob.call(0, &DescribeTopicPartitionsRequest { response_partition_limit: 9, ..Default::default() });
    assert_eq!(pages.topics.len(), 1);
    let groups = bob.call(5, &ListGroupsRequest::default()).groups;
    assert_eq!(groups.iter().map(|group| &*group.group_id).collect::<Vec<_>>(), ["seen"]);
    let ids = bob.call(1, &ListTransactionsRequest::default()).transaction_states;
    assert_eq!(ids.iter().map(|found| &*found.transactional_id).collect::<Vec<_>>(), ["seen"]);
    let group = OffsetFetchRequestGroup { group_id: "seen".to_owned(), topics: None, ..Default::default() };
    let offsets =
        bob.call(8, &OffsetFetchRequest { groups: vec![group], ..Default::default() }).groups.remove(0);
    assert_eq!(offsets.topics.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), ["seen"]);

    // By name, a hidden topic and one that there is not are told apart by nothing.
    let topics = ["hidden", "missing"]
        .map(|name| MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() });
    let request = MetadataRequest {
        topics: Some(topics.to_vec()),
        allow_auto_topic_creation: true,
        include_topic_authorized_operations: true,
        ..Default::default()
    };
    let [mut hidden, mut missing] = <[_; 2]>::try_from(bob.call(12, &request).topics).unwrap();
    assert_eq!(code(hidden.error_code), ErrorCode::TopicAuthorizationFailed);
    (hidden.name, missing.name) = (None, None);
    assert_eq!(hidden, missing);
    assert_eq!(names(admin.call(12, &all).topics).len(), 4, "nothing was made for bob; the rest is internal");
    // The cluster's description shows all groups.
    created(&mut admin, &[rule(ResourceType::Cluster, "kafka-cluster", Operation::Describe)]);
    assert_eq!(bob.call(5, &ListGroupsRequest::default()).groups.len(), 2);
}

#[test]
fn asking_for_a_topic_makes_it_for_those_who_may() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let (mut admin, mut bob) = (user(&broker, "admin"), user(&broker, "bob"));
    let ask = |client: &mut Client, name: &str| {
        let topic = MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        code(client.call(12, &request).topics[0].error_code)
    };
    created(&mut admin, &[rule(ResourceType::Topic, "*", Operation::Describe)]);
    assert_eq!(ask(&mut bob, "new-1"), ErrorCode::TopicAuthorizationFailed);
    created(&mut admin, &[prefixed(rule(ResourceType::Topic, "new-", Operation::Create))]);
    assert_eq!(ask(&mut bob, "new-1"), ErrorCode::None);
    assert_eq!(ask(&mut bob, "other"), ErrorCode::TopicAuthorizationFailed);
    created(&mut admin, &[rule(ResourceType::Cluster, "kafka-cluster", Operation::Create)]);
    assert_eq!(ask(&mut bob, "other"), ErrorCode::None);
}

#[test]
fn a_client_that_asks_is_told_what_it_may_do() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let (mut admin, mut bob) = (user(&broker, "admin"), user(&broker, "bob"));
    admin.create("t", 1, &[]);
    roles::commit(&mut admin, "g", &["t"]);
    created(
        &mut admin,
        &[
            rule(ResourceType::Topic, "t", Operation::Write),
            rule(ResourceType::Topic, "t", Operation::AlterConfigs),
            rule(ResourceType::Group, "g", Operation::Delete),
        ],
    );
    let bits = |operations: &[Operation]| operations.iter().map(|one| one.bit() as i32).sum::<i32>();
    let topic = MetadataRequestTopic { name: Some("t".to_owned()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        include_topic_authorized_operations: true,
        include_cluster_authorized_operations: true,
        ..Default::default()
    };
    let of_topic =
        bits(&[Operation::Write, Operation::Describe, Operation::AlterConfigs, Operation::DescribeConfigs]);
    let told = bob.call(10, &request);
    assert_eq!(told.topics[0].topic_authorized_operations, of_topic);
    assert_eq!(told.cluster_authorized_operations, 0, "it may not describe the cluster");
    let request = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest { name: "t".to_owned() }],
        ..Default::default()
    };
    assert_eq!(bob.call(0, &request).topics[0].topic_authorized_operations, of_topic);
    let request = DescribeGroupsRequest { groups: vec!["g".to_owned()], include_authorized_operations: true };
    let of_group = bits(&[Operation::Delete, Operation::Describe]);
    assert_eq!(bob.call(5, &request).groups[0].authorized_operations, of_group);
    created(&mut admin, &[rule(ResourceType::Cluster, "*", Operation::Alter)]);
    let request =
        DescribeClusterRequest { include_cluster_authorized_operations: true, ..Default::default() };
    let of_cluster = bits(&[Operation::Alter, Operation::Describe]);
    assert_eq!(bob.call(0, &request).cluster_authorized_operations, of_cluster);
}

#[test]
fn what_is_denied_is_in_the_log_a_few_times() {
    let dir = data_dir();
    let arguments = arguments(&[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (broker, log) = Broker::start_logging(dir.path(), &arguments);
    let mut bob = user(&broker, "bob");
    assert_eq!(fetched(&mut bob, "secret-plans"), ErrorCode::TopicAuthorizationFailed);
    let topics =
        (0..1000).map(|at| MetadataRequestTopic { name: Some(format!("t-{at}")), ..Default::default() });
    let request = MetadataRequest { topics: Some(topics.collect()), ..Default::default() };
    for _ in 0..20 {
        bob.call(12, &request);
    }
    // What is only left out of an answer is no attempt.
    bob.call(12, &MetadataRequest { topics: None, ..Default::default() });
    broker.stop();
    let log = log.join().unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("denied")).collect();
    let first = lines[0];
    for word in ["User:bob", "READ", "TOPIC:secret-plans", "Fetch", "127.0.0.1", "INFO"] {
        assert!(first.contains(word), "{first}");
    }
    assert!((2..=12).contains(&lines.len()), "{} lines", lines.len());
}

#[test]
fn without_an_authorizer_rules_are_kept_and_nobody_is_asked() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let mut admin = user(&broker, "admin");
    let read = rule(ResourceType::Topic, "t", Operation::Read);
    created(&mut admin, std::slice::from_ref(&read));
    broker.stop();
    let open = Broker::start(dir.path(), &[]);
    let mut client = open.client();
    assert_eq!(create(&mut client, std::slice::from_ref(&read)), [ErrorCode::SecurityDisabled]);
    client.create("t", 1, &[]);
    assert_eq!(produced(&mut client, "t"), ErrorCode::None);
    open.stop();
    assert_eq!(described(&mut user(&start(dir.path(), &[]), "admin")), [read]);
}
