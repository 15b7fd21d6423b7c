//! Settings of the broker that change while it runs: durable, in force at once, the narrowest scope first,
//! and refused in Kafka's codes. `tests/interop` asks the same of a Kafka broker with Kafka's own tool.

use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

/// What is said to a change: the code, and the words.
fn alter(
    client: &mut Client,
    broker: &str,
    operation: i8,
    name: &str,
    value: Option<&str>,
) -> (ErrorCode, String) {
    let config = IncrementalAlterableConfig {
        name: name.to_owned(),
        config_operation: operation,
        value: value.map(str::to_owned),
    };
    let resource = IncrementalAlterConfigsResource {
        resource_type: 4,
        resource_name: broker.to_owned(),
        configs: vec![config],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = client.call(1, &request).responses.remove(0);
    (ErrorCode::try_from(answer.error_code).unwrap(), answer.error_message.unwrap_or_default())
}

pub(crate) fn set(client: &mut Client, broker: &str, name: &str, value: &str) {
    assert_eq!(alter(client, broker, SET, name, Some(value)), (ErrorCode::None, String::new()));
}

/// Every value with its source, the one in force first; nothing where the setting is not shown.
fn synonyms(client: &mut Client, kind: i8, resource: &str, name: &str) -> Vec<(String, i8)> {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: resource.to_owned(),
        configuration_keys: Some(vec![name.to_owned()]),
    };
    let request =
        DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() };
    let Some(config) = client.call(4, &request).results.remove(0).configs.pop() else { return Vec::new() };
    let synonyms = config.synonyms.into_iter().map(|synonym| (synonym.value.unwrap(), synonym.source));
    let synonyms: Vec<_> = synonyms.collect();
    assert_eq!(synonyms[0], (config.value.unwrap(), config.config_source));
    synonyms
}

fn pairs(of: &[(&str, i8)]) -> Vec<(String, i8)> {
    of.iter().map(|(value, source)| ((*value).to_owned(), *source)).collect()
}

#[test]
fn the_narrowest_scope_wins_and_every_other_is_shown() {
    let dir = data_dir();
    let started = ["-o", "log.segment.bytes=2097152"];
    let broker = Broker::start(dir.path(), &started);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    set(&mut client, "", "log.segment.bytes", "3145728");
    set(&mut client, "1", "log.segment.bytes", "4194304");
    let all = pairs(&[("4194304", 2), ("3145728", 3), ("2097152", 4), ("1073741824", 5)]);
    assert_eq!(synonyms(&mut client, 4, "1", "log.segment.bytes"), all);
    assert_eq!(synonyms(&mut client, 4, "", "log.segment.bytes"), pairs(&[("3145728", 3)]));
    assert_eq!(
        synonyms(&mut client, 2, "t", "segment.bytes"),
        all,
        "a topic that is silent has it from the broker"
    );
    drop(client);
    broker.kill();

    let broker = Broker::start(dir.path(), &started);
    let mut client = broker.client();
    assert_eq!(synonyms(&mut client, 2, "t", "segment.bytes"), all, "after a kill");
    for (scope, left) in [("1", &all[1..]), ("", &all[2..])] {
        let deleted = alter(&mut client, scope, DELETE, "log.segment.bytes", None);
        assert_eq!(deleted.0, ErrorCode::None);
        assert_eq!(synonyms(&mut client, 2, "t", "segment.bytes"), left);
    }
    assert_eq!(synonyms(&mut client, 4, "", "log.segment.bytes"), []);
}

#[test]
fn a_changed_setting_is_in_force_for_live_logs_and_new_connections() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    assert_eq!(client.produce("t", 0, batch(&["fits"])).error_code, 0);
    set(&mut client, "", "message.max.bytes", "80");
    let refused = client.produce("t", 0, batch(&["this one is too large for it"])).error_code;
    assert_eq!(refused, ErrorCode::MessageTooLarge.code());
    set(&mut client, "1", "message.max.bytes", "1000");
    assert_eq!(client.produce("t", 0, batch(&["this one is not too large for it"])).error_code, 0);

    set(&mut client, "", "max.connections", "2");
    let mut second = broker.client();
    second.create("u", 1, &[]);
    assert!(broker.client().is_closed(), "the third is refused");
}

#[test]
fn a_list_grows_from_what_is_in_force_below_it() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    assert_eq!(alter(&mut client, "", APPEND, "log.cleanup.policy", Some("compact")).0, ErrorCode::None);
    let found = synonyms(&mut client, 4, "1", "log.cleanup.policy");
    assert_eq!(found, pairs(&[("delete,compact", 3), ("delete", 5)]));
}

#[test]
fn what_can_not_be_changed_is_refused_and_nothing_changes() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    for (scope, operation, name, value, words) in [
        ("", SET, "num.partitions", Some("3"), "num.partitions cannot be changed while the broker runs"),
        ("1", SET, "log.retention.hours", Some("3"), "log.retention.hours cannot be changed"),
        ("1", SET, "log.retention.hour", Some("3"), "there is no broker setting log.retention.hour"),
        (
            "",
            SET,
            "log.retention.ms",
            Some("soon"),
            "invalid value soon for configuration log.retention.ms: expected a whole number from -1",
        ),
        ("", APPEND, "log.retention.ms", Some("1"), "is not a list"),
        ("", SET, "log.retention.ms", None, "has no value"),
        ("2", SET, "log.retention.ms", Some("1"), "this is broker 1, not '2'"),
    ] {
        let (code, said) = alter(&mut client, scope, operation, name, value);
        assert_eq!(code, ErrorCode::InvalidRequest, "{name}");
        assert!(said.contains(words), "{name}: {said}");
    }
    assert_eq!(synonyms(&mut client, 4, "1", "log.retention.ms"), pairs(&[("604800000", 5)]));
}
