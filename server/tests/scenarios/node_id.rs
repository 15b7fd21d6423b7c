//! `node.id`: taken by a new data directory, kept by it, and the same wherever a client sees it.

use std::fs;
use std::process::Command;

use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::Client;

/// Every number by which an answer names a node.
fn told(client: &mut Client, topic: &str) -> Vec<i32> {
    let metadata = client.call(13, &MetadataRequest { topics: None, ..Default::default() });
    let mut told = vec![metadata.controller_id];
    told.extend(metadata.brokers.iter().map(|broker| broker.node_id));
    for partition in metadata.topics.iter().flat_map(|topic| &topic.partitions) {
        told.push(partition.leader_id);
        told.extend(partition.replica_nodes.iter().chain(&partition.isr_nodes));
    }
    let cluster = client.call(2, &DescribeClusterRequest::default());
    told.push(cluster.controller_id);
    told.extend(cluster.brokers.iter().map(|broker| broker.broker_id));
    let find = FindCoordinatorRequest { coordinator_keys: vec!["g".to_owned()], ..Default::default() };
    told.extend(client.call(4, &find).coordinators.iter().map(|coordinator| coordinator.node_id));
    let topics = vec![TopicRequest { name: topic.to_owned() }];
    let pages =
        DescribeTopicPartitionsRequest { topics, response_partition_limit: 100, ..Default::default() };
    for partition in client.call(0, &pages).topics.iter().flat_map(|topic| &topic.partitions) {
        told.push(partition.leader_id);
        told.extend(partition.replica_nodes.iter().chain(&partition.isr_nodes));
    }
    told
}

/// The code and the value of `node.id` for a broker that is named.
fn described(client: &mut Client, broker: &str, name: &str) -> (ErrorCode, Option<String>) {
    let resource = DescribeConfigsResource {
        resource_type: 4,
        resource_name: broker.to_owned(),
        configuration_keys: Some(vec![name.to_owned()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let mut result = client.call(4, &request).results.remove(0);
    let value = result.configs.pop().and_then(|config| config.value);
    (ErrorCode::try_from(result.error_code).unwrap(), value)
}

fn assigned(client: &mut Client, topic: &str, broker: i32) -> ErrorCode {
    let topic = CreatableTopic {
        name: topic.to_owned(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![broker] }],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    ErrorCode::try_from(client.call(7, &request).topics[0].error_code).unwrap()
}

fn refusal(dir: &std::path::Path, more: &[&str]) -> (Option<i32>, String) {
    let output = Broker::refused(dir, more);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_node_is_the_one_that_was_set_everywhere_and_after_every_restart() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "node.id=0"]);
    let mut client = broker.client();
    assert_eq!(assigned(&mut client, "t", 1), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(assigned(&mut client, "t", 0), ErrorCode::None);
    let assignment = CreatePartitionsAssignment { broker_ids: vec![0] };
    let grown = CreatePartitionsTopic { name: "t".to_owned(), count: 2, assignments: Some(vec![assignment]) };
    let request = CreatePartitionsRequest { topics: vec![grown], ..Default::default() };
    assert_eq!(client.call(3, &request).results[0].error_code, 0);
    // Looking for a coordinator makes the topic of groups, which is assigned to the node as well.
    let numbers = [told(&mut client, "t"), told(&mut client, "t")].concat();
    assert!(numbers.len() > 20 && numbers.iter().all(|number| *number == 0), "{numbers:?}");
    assert_eq!(described(&mut client, "0", "node.id"), (ErrorCode::None, Some("0".to_owned())));
    assert_eq!(described(&mut client, "0", "broker.id"), (ErrorCode::None, Some("0".to_owned())));
    assert_eq!(described(&mut client, "1", "node.id"), (ErrorCode::InvalidRequest, None));
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    let address = broker.address.to_string();
    let shown = command.args(["config", "describe", "--all", "--bootstrap", &address]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    for line in ["node.id=0  (", "ssl.key.password=(secret)  (default)", "broker.rack=(none)  (default)"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    drop(client);
    broker.kill();

    for options in [&[][..], &["-o", "node.id=0"], &["-o", "broker.id=0"]] {
        let broker = Broker::start(dir.path(), options);
        let numbers = told(&mut broker.client(), "t");
        assert!(numbers.iter().all(|number| *number == 0), "{options:?}: {numbers:?}");
        assert_eq!(described(&mut broker.client(), "0", "node.id").1.as_deref(), Some("0"));
    }
}

#[test]
fn another_node_than_the_directory_belongs_to_is_refused_with_both_numbers() {
    let dir = data_dir();
    drop(Broker::start(dir.path(), &[]));
    let meta = dir.path().join("meta");
    let before = fs::read(&meta).unwrap();
    for option in ["node.id=0", "broker.id=0", "node.id=7"] {
        let (code, reason) = refusal(dir.path(), &["-o", option]);
        assert_eq!(code, Some(1), "{reason}");
        let asked = option.rsplit_once('=').unwrap().1;
        let words =
            format!("{}: the data directory belongs to node 1, and node.id={asked} was set", meta.display());
        assert!(reason.contains(&words), "{reason}");
    }
    assert_eq!(fs::read(&meta).unwrap(), before);
    drop(Broker::start(dir.path(), &["-o", "node.id=1"]));
}

#[test]
fn the_old_name_is_as_good_and_two_names_with_two_numbers_are_refused() {
    let dir = data_dir();
    let file = dir.path().join("server.properties");
    fs::write(&file, "broker.id=5\n").unwrap();
    let data = dir.path().join("data");
    let broker = Broker::start(&data, &["--config", file.to_str().unwrap()]);
    assert_eq!(described(&mut broker.client(), "5", "node.id").1.as_deref(), Some("5"));
    drop(broker);
    let (code, reason) = refusal(&data, &["-o", "node.id=5", "-o", "broker.id=6"]);
    assert_eq!(code, Some(2), "{reason}");
    assert!(reason.contains("broker.id=6: expected the same as node.id, 5"), "{reason}");
    let (code, reason) = refusal(&data, &["-o", "node.id=-1"]);
    assert_eq!(code, Some(2), "{reason}");
    // -1 in the old name says nothing.
    drop(Broker::start(&data, &["-o", "broker.id=-1"]));
}

#[test]
fn a_repair_that_lost_the_node_leaves_it_to_the_next_start() {
    let dir = data_dir();
    let data = dir.path().join("data");
    let broker = Broker::start(&data, &["-o", "node.id=3"]);
    broker.client().create("t", 1, &[]);
    broker.kill();
    fs::write(data.join("meta"), b"rotten").unwrap();
    let mut repair = Command::new(env!("CARGO_BIN_EXE_strandline"));
    let backup = dir.path().join("backup");
    let repaired =
        repair.args(["log", "repair", "--apply", "--backup"]).args([&backup, &data]).output().unwrap();
    assert!(repaired.status.success(), "{}", String::from_utf8_lossy(&repaired.stderr));
    let broker = Broker::start(&data, &["-o", "node.id=3"]);
    assert!(told(&mut broker.client(), "t").iter().all(|number| *number == 3));
    drop(broker);
    let (_, reason) = refusal(&data, &["-o", "node.id=1"]);
    assert!(reason.contains("belongs to node 3"), "{reason}");
}
