//! Topics: what is told about them, how they come and go, their settings.

use strandline_protocol::Uuid;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};

fn by_name(names: &[&str], creates: bool) -> MetadataRequest {
    let topics = names
        .iter()
        .map(|name| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() })
        .collect();
    MetadataRequest { topics: Some(topics), allow_auto_topic_creation: creates, ..Default::default() }
}

#[test]
fn a_topic_that_is_asked_for_is_created_when_both_sides_allow_it() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "num.partitions=3"]);
    let mut client = broker.client();
    let refused = client.call(12, &by_name(&["new", "bad name"], false)).topics;
    assert_eq!(refused[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(refused[1].error_code, ErrorCode::InvalidTopic.code());
    let made = client.call(12, &by_name(&["new"], true)).topics.remove(0);
    assert_eq!((made.error_code, made.partitions.len()), (0, 3));

    let by_id = |id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { topic_id: id, name: None }]),
        ..Default::default()
    };
    assert_eq!(client.call(12, &by_id(made.topic_id)).topics[0].name.as_deref(), Some("new"));
    let unknown = client.call(12, &by_id(Uuid::from_u128(7))).topics.remove(0);
    assert_eq!((unknown.error_code, unknown.name), (ErrorCode::UnknownTopicId.code(), None));

    // Version 0 has no null: an empty list is all topics there, and none later.
    let empty = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    assert_eq!(client.call(0, &empty).topics.len(), 1);
    assert_eq!(client.call(1, &empty).topics.len(), 0);
    let all = client.call(1, &MetadataRequest { topics: None, ..Default::default() });
    assert_eq!(all.topics.len(), 1);
    assert_eq!(all.brokers[0].port, i32::from(broker.address.port()));
}

#[test]
fn topics_are_created_described_and_deleted() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "log.segment.bytes=2097152"]);
    let mut client = broker.client();
    let made = client.create("orders", 2, &[("retention.ms", "1000")]);
    assert_eq!((made.error_code, made.num_partitions, made.replication_factor), (0, 2, 1));
    let shown = made.configs.unwrap();
    let retention = shown.iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("1000"), 1));
    assert_eq!(client.create("orders", 2, &[]).error_code, ErrorCode::TopicAlreadyExists.code());
    assert_eq!(client.create("x", 1, &[("nonsense", "1")]).error_code, ErrorCode::InvalidConfig.code());

    let topic = || CreatableTopic {
        name: "twice".to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let twice = CreateTopicsRequest { topics: vec![topic(), topic()], ..Default::default() };
    let answers = client.call(7, &twice).topics;
    assert_eq!((answers.len(), answers[0].error_code), (1, ErrorCode::InvalidRequest.code()));
    let checked = CreateTopicsRequest { topics: vec![topic()], validate_only: true, ..Default::default() };
    assert_eq!(client.call(7, &checked).topics[0].error_code, 0);
    let metadata = client.call(12, &by_name(&["twice"], false)).topics.remove(0);
    assert_eq!(metadata.error_code, ErrorCode::UnknownTopicOrPartition.code(), "it was only checked");

    let resource = |kind, name: &str| DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource(2, "orders"), resource(2, "none"), resource(4, "1")],
        include_synonyms: true,
        include_documentation: true,
    };
    let described = client.call(4, &request).results;
    let of = |at: usize, name: &str| described[at].configs.iter().find(|config| config.name == name).unwrap();
    assert_eq!((of(0, "retention.ms").config_source, of(0, "retention.ms").synonyms.len()), (1, 2));
    assert_eq!((of(0, "segment.bytes").config_source, of(0, "segment.bytes").config_type), (4, 3));
    assert_eq!(of(0, "flush.messages").config_source, 5);
    assert_eq!(described[1].error_code, ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(of(2, "log.segment.bytes").value.as_deref(), Some("2097152"));

    let delete = DeleteTopicsRequest {
        topics: vec![
            DeleteTopicState { name: None, topic_id: made.topic_id },
            DeleteTopicState { name: Some("none".to_owned()), topic_id: Uuid::nil() },
        ],
        ..Default::default()
    };
    let codes: Vec<_> = client.call(6, &delete).responses.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition.code()]);
    assert!(!dir.path().join("orders-0").exists());
}

#[test]
fn the_cluster_is_this_broker_alone() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--advertise", "broker.example:1234"]);
    let mut client = broker.client();
    let cluster = client.call(2, &DescribeClusterRequest::default());
    let told: Vec<_> = cluster.brokers.iter().map(|broker| (broker.host.as_str(), broker.port)).collect();
    assert_eq!(told, [("broker.example", 1234)]);
    let metadata = client.call(13, &MetadataRequest::default());
    assert_eq!(metadata.cluster_id, Some(cluster.cluster_id.clone()));
    assert_eq!(cluster.cluster_id.len(), 22);
    assert_eq!(metadata.controller_id, cluster.brokers[0].broker_id);
}
