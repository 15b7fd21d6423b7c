//! REST: produced and read back, by every form; consumers that are members of their groups; what is refused,
//! and how; streams; and the document, which is true.

use std::io::Write;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use strandline_protocol::messages::*;

use super::client::{Http, chunk, read};
use super::{LISTEN, USERS, start};
use crate::broker::{Broker, data_dir};
use crate::client::fetch;

const V2: &str = "application/vnd.kafka.v2+json";
const BINARY: &str = "application/vnd.kafka.binary.v2+json";
const JSON: &str = "application/vnd.kafka.json.v2+json";
const TEXT: &str = "application/vnd.kafka.text.v2+json";

fn create(client: &mut Http, topic: &str, partitions: i32) {
    let body = json!({"topic_name": topic, "partitions_count": partitions});
    assert_eq!(client.post("/admin/topics", V2, &body).status, 201);
}

/// The values of consumed records.
fn values(records: &Value) -> Vec<Value> {
    records.as_array().unwrap().iter().map(|record| record["value"].clone()).collect()
}

#[test]
fn d1_what_is_produced_in_any_form_is_durable_and_read_back_as_it_was() {
    let data = data_dir();
    let (broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 2);
    let key = BASE64.encode("k");
    let record = json!({
        "key": key, "value": BASE64.encode([0xff, 0]), "partition": 1, "timestamp": 1234,
        "headers": [{"key": "h", "value": BASE64.encode("v")}, {"key": "none", "value": null}],
    });
    let answer = client.post("/topics/t", BINARY, &json!({"records": [record]})).expect(200);
    let one = |partition: i32, offset: i64| {
        json!({
            "offsets": [{"partition": partition, "offset": offset, "error_code": null, "error": null}],
            "key_schema_id": null, "value_schema_id": null,
        })
    };
    assert_eq!(answer, one(1, 0));
    let object = json!({"records": [{"value": {"a": [1, null]}}]});
    assert_eq!(client.post("/topics/t/partitions/1", JSON, &object).expect(200), one(1, 1));
    let text = json!({"records": [{"key": "k", "value": "gr\u{fc}n\n"}]});
    assert_eq!(client.post("/topics/t/partitions/1", TEXT, &text).expect(200), one(1, 2));

    broker.kill();
    let (broker, mut client) = start(data.path(), &[]);
    let (mut records, mut next) = (Vec::new(), 0);
    while next < 3 {
        let own = client.get(&format!("/topics/t/partitions/1/records?offset={next}")).expect(200);
        assert_eq!(own["high_watermark"], 3);
        records.extend(own["records"].as_array().unwrap().clone());
        next = own["next_offset"].as_i64().unwrap();
    }
    let own = Value::from(records);
    assert_eq!(values(&own), [json!("/wA="), json!({"a": [1, null]}), json!("gr\u{fc}n\n")]);
    let first = &own[0];
    assert_eq!((&first["key"], &first["value_format"]), (&json!("k"), &json!("binary")));
    assert_eq!(first["timestamp"], 1234);
    assert_eq!(first["headers"], json!([{"key": "h", "value": "dg=="}, {"key": "none", "value": null}]));
    // The bytes that a client of Kafka gets are those.
    let mut fetched = broker.client().fetch(12, &fetch("t", &[(1, 2)]));
    let fetched = fetched.responses.remove(0).partitions.remove(0).records;
    assert!(crate::client::values(&fetched).contains(&(2, "gr\u{fc}n\n".to_owned())));
    let offsets = client.get("/topics/t/partitions/1/offsets").expect(200);
    assert_eq!(offsets, json!({"beginning_offset": 0, "end_offset": 3}));
}

#[test]
fn keys_go_where_clients_of_kafka_put_them_and_a_bad_partition_fails_its_record_alone() {
    let data = data_dir();
    let (_broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 5);
    let records: Vec<Value> =
        (0..20).map(|at| json!({"key": format!("k{at}"), "value": at.to_string()})).collect();
    let answer = client.post("/topics/t", TEXT, &json!({"records": records})).expect(200);
    for (at, offset) in answer["offsets"].as_array().unwrap().iter().enumerate() {
        let expected = strandline_client::partition_of_key(format!("k{at}").as_bytes(), 5);
        assert_eq!(offset["partition"], expected, "k{at}");
    }
    let mixed = json!({"records": [{"value": "a", "partition": 0}, {"value": "b", "partition": 9}]});
    let answer = client.post("/topics/t", TEXT, &mixed).expect(200);
    assert_eq!(answer["offsets"][0]["error_code"], Value::Null);
    assert_eq!(answer["offsets"][1]["error_code"], 1);
    assert!(answer["offsets"][1]["error"].as_str().unwrap().contains("no partition 9"));
}

#[test]
fn what_is_refused_has_a_code_that_says_why() {
    let data = data_dir();
    let (_broker, mut client) = start(data.path(), &["-o", "auto.create.topics.enable=false"]);
    create(&mut client, "t", 1);
    let record = json!({"records": [{"value": "x"}]});
    for (method, path, content_type, body, status, code) in [
        ("GET", "/topics/nope", "", "", 404, 40401),
        ("GET", "/topics/nope/partitions", "", "", 404, 40401),
        ("GET", "/topics/t/partitions/7", "", "", 404, 40402),
        ("GET", "/topics/t/partitions/7/offsets", "", "", 404, 40402),
        ("GET", "/topics/t/partitions/x", "", "", 400, 40001),
        ("GET", "/topics/t/partitions/0/records?offset=99", "", "", 400, 40002),
        ("GET", "/topics/t/partitions/0/records?offset=x", "", "", 422, 42209),
        ("GET", "/topics/t/partitions/9/records", "", "", 404, 40402),
        ("POST", "/topics/nope", TEXT, "{\"records\":[{\"value\":\"x\"}]}", 404, 40401),
        ("POST", "/topics/t/partitions/7", TEXT, "{\"records\":[{\"value\":\"x\"}]}", 404, 40402),
        ("POST", "/topics/t", "text/plain", "x", 415, 415),
        ("POST", "/topics/t", "application/vnd.kafka.avro.v2+json", "{}", 422, 42201),
        ("POST", "/topics/t", TEXT, "{\"records\":", 422, 42201),
        ("POST", "/topics/t", TEXT, "{\"records\":[]}", 422, 42201),
        ("POST", "/topics/t", BINARY, "{\"records\":[{\"value\":\"?\"}]}", 422, 42201),
        ("POST", "/admin/topics", V2, "{\"topic_name\":\"t\"}", 409, 409),
        ("POST", "/admin/topics", V2, "{\"topic_name\":\"a b\"}", 400, 40002),
        ("GET", "/consumers/g/instances/none/records", "", "", 404, 40403),
        ("GET", "/v3/clusters/nope/topics", "", "", 404, 404),
        ("PATCH", "/topics", "", "", 405, 405),
    ] {
        let headers = [("Content-Type", content_type)];
        let headers = if content_type.is_empty() { &headers[..0] } else { &headers[..] };
        let heard = client.ask(method, path, headers, body.as_bytes());
        let told = heard.expect(status);
        assert_eq!(told["error_code"], code, "{method} {path}: {told}");
        assert!(!told["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(client.post("/topics/t", TEXT, &record).status, 200, "the connection and the broker go on");
}

#[test]
fn events_resume_where_a_client_was_and_come_as_they_are_produced() {
    let data = data_dir();
    let (broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 1);
    let produce = |client: &mut Http, value: &str| {
        let body = json!({"records": [{"value": value}]});
        assert_eq!(client.post("/topics/t", TEXT, &body).status, 200);
    };
    produce(&mut client, "a");
    produce(&mut client, "b");
    let mut stream = Http::new(broker.http.unwrap()).take();
    let request = "GET /topics/t/partitions/0/records HTTP/1.1\r\nHost: here\r\nAccept: text/event-stream\r\n\
                   Last-Event-ID: 0\r\n\r\n";
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        std::io::BufRead::read_line(&mut stream, &mut head).unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    let first = String::from_utf8(chunk(&mut stream).unwrap()).unwrap();
    assert!(
        first.starts_with("id: 1\ndata: {") && first.contains("\"value\":\"b\"") && first.ends_with("\n\n"),
        "{first}"
    );
    let since = Instant::now();
    produce(&mut client, "c");
    let next = String::from_utf8(chunk(&mut stream).unwrap()).unwrap();
    assert!(next.starts_with("id: 2\n") && next.contains("\"value\":\"c\""), "{next}");
    assert!(since.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_read_waits_for_a_record_as_long_as_it_is_told() {
    let data = data_dir();
    let (broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 1);
    let since = Instant::now();
    let none = client.get("/topics/t/partitions/0/records?offset=latest&timeout=300").expect(200);
    assert_eq!(none["records"], json!([]));
    assert!(since.elapsed() >= Duration::from_millis(300));
    let address = broker.http.unwrap();
    let waiting = std::thread::spawn(move || {
        Http::new(address).get("/topics/t/partitions/0/records?offset=0&timeout=20000").expect(200)
    });
    std::thread::sleep(Duration::from_millis(200));
    client.post("/topics/t", TEXT, &json!({"records": [{"value": "x"}]})).expect(200);
    assert_eq!(waiting.join().unwrap()["records"][0]["value"], "x");
    assert!(since.elapsed() < Duration::from_secs(10));
}

/// A consumer, and where it is.
fn consumer(client: &mut Http, group: &str, name: &str, more: Value) -> String {
    let mut settings = json!({"name": name, "format": "text", "auto.offset.reset": "earliest"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = client.post(&format!("/consumers/{group}"), V2, &settings).expect(200);
    assert_eq!(made["instance_id"], name);
    let path = format!("/consumers/{group}/instances/{name}");
    assert!(made["base_uri"].as_str().unwrap().ends_with(&path), "{made}");
    path
}

#[test]
fn the_first_read_waits_for_the_assignment_and_the_group_remembers_what_is_committed() {
    let data = data_dir();
    let (_broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 1);
    let records: Vec<Value> = ["a", "b", "c"].map(|value| json!({"value": value})).into();
    client.post("/topics/t", TEXT, &json!({"records": records})).expect(200);
    let path = consumer(&mut client, "g", "one", json!({"auto.commit.enable": "false"}));
    let again = client.post("/consumers/g", V2, &json!({"name": "one"}));
    assert_eq!(again.expect(409)["error_code"], 40902);
    let early = client.get(&format!("{path}/records"));
    assert_eq!(early.expect(409)["error_code"], 40903, "it is subscribed to nothing");
    let subscribe = client.post(&format!("{path}/subscription"), V2, &json!({"topics": ["t"]}));
    assert_eq!(subscribe.status, 204);
    let first = client.get(&format!("{path}/records?timeout=10000"));
    assert_eq!(first.header("content-type"), Some(TEXT));
    let first = first.expect(200);
    assert_eq!(values(&first), ["a", "b", "c"], "the first read has records");
    assert_eq!(first[2]["offset"], 2);
    let assigned = client.get(&format!("{path}/assignments")).expect(200);
    assert_eq!(assigned, json!({"partitions": [{"topic": "t", "partition": 0}]}));
    assert_eq!(client.get(&format!("{path}/subscription")).expect(200), json!({"topics": ["t"]}));
    let wrong = client.ask("GET", &format!("{path}/records"), &[("Accept", BINARY)], b"");
    assert_eq!(wrong.expect(406)["error_code"], 40601);
    let assign = json!({"partitions": [{"topic": "t", "partition": 0}]});
    let both = client.post(&format!("{path}/assignments"), V2, &assign);
    assert_eq!(both.expect(409)["error_code"], 40903);

    // The record with offset 1 is done: the group goes on with 2.
    let done = json!({"offsets": [{"topic": "t", "partition": 0, "offset": 1}]});
    assert_eq!(client.post(&format!("{path}/offsets"), V2, &done).status, 204);
    let committed =
        client.ask("GET", &format!("{path}/offsets"), &[("Content-Type", V2)], assign.to_string().as_bytes());
    let expected = json!({"offsets": [{"topic": "t", "partition": 0, "offset": 2, "metadata": ""}]});
    assert_eq!(committed.expect(200), expected);
    assert_eq!(client.delete(&path).status, 204);
    assert_eq!(client.get(&format!("{path}/records")).status, 404);

    let path = consumer(&mut client, "g", "two", json!({}));
    client.post(&format!("{path}/subscription"), V2, &json!({"topic_pattern": "t.*"}));
    let rest = client.get(&format!("{path}/records?timeout=10000")).expect(200);
    assert_eq!(values(&rest), ["c"]);
    let to = json!({"offsets": [{"topic": "t", "partition": 0, "offset": 1}]});
    assert_eq!(client.post(&format!("{path}/positions"), V2, &to).status, 204);
    assert_eq!(values(&client.get(&format!("{path}/records")).expect(200)), ["b", "c"]);
    assert_eq!(client.post(&format!("{path}/positions/beginning"), V2, &assign).status, 204);
    assert_eq!(values(&client.get(&format!("{path}/records")).expect(200)), ["a", "b", "c"]);
    assert_eq!(client.post(&format!("{path}/positions/end"), V2, &assign).status, 204);
    assert_eq!(client.get(&format!("{path}/records?timeout=100")).expect(200), json!([]));
    let lags = |client: &mut Http| {
        let cluster =
            client.get("/v3/clusters").expect(200)["data"][0]["cluster_id"].as_str().unwrap().to_owned();
        client.get(&format!("/v3/clusters/{cluster}/consumer-groups/g/lag-summary")).expect(200)["total_lag"]
            .clone()
    };
    assert_eq!(client.post(&format!("{path}/offsets"), V2, &json!({"offsets": []})).status, 204);
    assert_eq!(client.ask("POST", &format!("{path}/offsets"), &[], b"").status, 204, "all that was given");
    assert_eq!(lags(&mut client), 0);
}

#[test]
fn members_of_rest_share_a_group_with_each_other_and_one_that_goes_is_replaced() {
    let data = data_dir();
    let (_broker, mut client) = start(
        data.path(),
        &[
            "-o",
            "group.consumer.heartbeat.interval.ms=1000",
            "-o",
            "group.consumer.min.heartbeat.interval.ms=1000",
        ],
    );
    create(&mut client, "t", 4);
    let paths = ["one", "two"].map(|name| {
        let path = consumer(&mut client, "g", name, json!({}));
        assert_eq!(client.post(&format!("{path}/subscription"), V2, &json!({"topics": ["t"]})).status, 204);
        path
    });
    let count = |client: &mut Http, path: &str| {
        client.get(&format!("{path}/assignments")).expect(200)["partitions"].as_array().unwrap().len()
    };
    let patience = Instant::now() + Duration::from_secs(30);
    let until = |client: &mut Http, wanted: &dyn Fn(&mut Http) -> bool| {
        while !wanted(client) {
            assert!(Instant::now() < patience, "it takes too long");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until(&mut client, &|client| paths.iter().all(|path| count(client, path) == 2));
    for partition in 0..4 {
        let record = json!({"records": [{"value": format!("v{partition}")}]});
        client.post(&format!("/topics/t/partitions/{partition}"), TEXT, &record).expect(200);
    }
    let mut all: Vec<Value> = Vec::new();
    for path in &paths {
        let patience = Instant::now() + Duration::from_secs(10);
        let mut own = Vec::new();
        while own.len() < 2 && Instant::now() < patience {
            own.extend(values(&client.get(&format!("{path}/records?timeout=2000")).expect(200)));
        }
        all.extend(own);
    }
    all.sort_unstable_by_key(Value::to_string);
    assert_eq!(all, ["v0", "v1", "v2", "v3"], "each record once");
    assert_eq!(client.delete(&paths[0]).status, 204);
    until(&mut client, &|client| count(client, &paths[1]) == 4);
}

#[test]
fn partitions_that_are_assigned_by_hand_are_read_without_a_member() {
    let data = data_dir();
    let (_broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 2);
    client.post("/topics/t/partitions/1", JSON, &json!({"records": [{"value": 7}]})).expect(200);
    let path = consumer(&mut client, "g", "one", json!({"format": "json"}));
    let assign = json!({"partitions": [{"topic": "t", "partition": 1}]});
    assert_eq!(client.post(&format!("{path}/assignments"), V2, &assign).status, 204);
    let found = client.get(&format!("{path}/records?timeout=5000")).expect(200);
    assert_eq!((found[0]["value"].clone(), found[0]["partition"].clone()), (json!(7), json!(1)));
    let other = client.post(&format!("{path}/subscription"), V2, &json!({"topics": ["t"]}));
    assert_eq!(other.expect(409)["error_code"], 40903);
    assert_eq!(client.ask("POST", &format!("{path}/offsets"), &[], b"").status, 204);
    client.delete(&path);
    let path = consumer(&mut client, "g", "two", json!({"format": "json"}));
    client.post(&format!("{path}/assignments"), V2, &assign);
    assert_eq!(client.get(&format!("{path}/records?timeout=100")).expect(200), json!([]), "it was committed");
}

#[test]
fn v3_has_the_cluster_its_topics_and_their_settings() {
    let data = data_dir();
    let (_broker, mut client) = start(data.path(), &[]);
    let clusters = client.get("/kafka/v3/clusters").expect(200);
    assert_eq!(clusters["kind"], "KafkaClusterList");
    let id = clusters["data"][0]["cluster_id"].as_str().unwrap().to_owned();
    let at = format!("/v3/clusters/{id}");
    let json_type = "application/json";
    let configs = json!([{"name": "retention.ms", "value": "5000"}]);
    let new = json!({"topic_name": "t", "partitions_count": 3, "configs": configs});
    let made = client.post(&format!("{at}/topics"), json_type, &new).expect(201);
    assert_eq!((&made["topic_name"], &made["partitions_count"]), (&json!("t"), &json!(3)));
    assert_eq!(client.post(&format!("{at}/topics"), json_type, &new).status, 409);
    let listed = client.get(&format!("{at}/topics")).expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let config = client.get(&format!("{at}/topics/t/configs/retention.ms")).expect(200);
    assert_eq!((&config["value"], &config["source"]), (&json!("5000"), &json!("DYNAMIC_TOPIC_CONFIG")));
    let alter = json!({"data": [{"name": "retention.ms", "operation": "DELETE"}, {"name": "segment.ms", "value": "9000"}]});
    assert_eq!(client.post(&format!("{at}/topics/t/configs:alter"), json_type, &alter).status, 204);
    let config = client.get(&format!("{at}/topics/t/configs/retention.ms")).expect(200);
    assert_eq!((&config["value"], &config["is_default"]), (&json!("604800000"), &json!(true)));
    let bad = json!({"data": [{"name": "segment.ms", "value": "never"}]});
    assert_eq!(
        client.post(&format!("{at}/topics/t/configs:alter"), json_type, &bad).expect(400)["error_code"],
        40002
    );
    assert_eq!(client.get(&format!("{at}/topics/t/partitions/2")).expect(200)["leader_id"], 1);
    assert_eq!(client.delete(&format!("{at}/topics/t")).status, 204);
    assert_eq!(client.get(&format!("{at}/topics/t")).expect(404)["error_code"], 40401);
}

#[test]
fn v3_records_are_reported_one_by_one_while_the_request_goes_on() {
    let data = data_dir();
    let (broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 1);
    let id = client.get("/v3/clusters").expect(200)["data"][0]["cluster_id"].as_str().unwrap().to_owned();
    let mut stream = Http::new(broker.http.unwrap()).take();
    let head = format!(
        "POST /v3/clusters/{id}/topics/t/records HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    let send = |stream: &mut std::io::BufReader<std::net::TcpStream>, text: &str| {
        let piece = format!("{:x}\r\n{text}\r\n", text.len());
        stream.get_mut().write_all(piece.as_bytes()).unwrap();
    };
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    send(&mut stream, "{\"value\":{\"type\":\"STRING\",\"data\":\"one\"}}{\"value\":{\"type\":\"JS");
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        std::io::BufRead::read_line(&mut stream, &mut line).unwrap();
    }
    let report = |stream: &mut std::io::BufReader<std::net::TcpStream>| -> Value {
        serde_json::from_slice(&chunk(stream).unwrap()).unwrap()
    };
    let first = report(&mut stream);
    assert_eq!((&first["error_code"], &first["offset"]), (&json!(200), &json!(0)));
    assert_eq!(first["value"], json!({"type": "STRING", "size": 3}));
    send(&mut stream, "ON\",\"data\":{\"two\":2}}, ");
    // The object ends only now.
    send(&mut stream, "\"partition_id\": 0, \"timestamp\": \"1970-01-01T00:00:05Z\"}");
    let second = report(&mut stream);
    assert_eq!((&second["offset"], &second["timestamp"]), (&json!(1), &json!("1970-01-01T00:00:05.000Z")));
    send(&mut stream, "{\"partition_id\": 8} 17");
    let third = chunk(&mut stream).unwrap();
    let reports = String::from_utf8(third).unwrap();
    assert!(reports.contains("no partition 8"), "{reports}");
    let last = match reports.contains("40001") {
        true => reports,
        false => String::from_utf8(chunk(&mut stream).unwrap()).unwrap(),
    };
    assert!(last.contains("40001"), "what is no object ends it: {last}");
    assert_eq!(chunk(&mut stream), None);

    let entries = json!({"entries": [
        {"id": "a", "value": {"type": "BINARY", "data": "eA=="}},
        {"id": "b", "value": {"type": "AVRO", "data": "x"}},
        {"id": "c", "partition_id": 5, "value": {"type": "JSON", "data": null}},
    ]});
    let path = format!("/kafka/v3/clusters/{id}/topics/t/records:batch");
    let batch = client.post(&path, "application/json", &entries).expect(207);
    assert_eq!(batch["successes"].as_array().unwrap().len(), 1, "{batch}");
    assert_eq!(batch["successes"][0]["id"], "a");
    assert_eq!(batch["failures"].as_array().unwrap().len(), 2);
}

#[test]
fn permissions_are_those_of_kafka_and_are_made_by_v3() {
    let data = data_dir();
    let broker = Broker::start(data.path(), &[&LISTEN[..], &USERS].concat());
    let address = broker.http.unwrap();
    let (mut admin, mut bob) =
        (Http::new(address).user("admin", "hunter2"), Http::new(address).user("bob", "builder"));
    create(&mut admin, "t", 1);
    let record = json!({"records": [{"value": "x"}]});
    assert_eq!(bob.get("/topics").expect(200), json!([]), "it sees nothing");
    for refused in [
        bob.post("/topics/t", TEXT, &record),
        bob.get("/topics/t"),
        bob.get("/topics/t/partitions/0/records"),
    ] {
        assert_eq!(refused.expect(403)["error_code"], 40301);
    }
    let path = consumer(&mut bob, "g", "one", json!({}));
    assert_eq!(admin.get(&format!("{path}/records")).status, 404, "it is bob's");
    bob.post(&format!("{path}/subscription"), V2, &json!({"topics": ["t"]}));
    assert_eq!(bob.get(&format!("{path}/records?timeout=5000")).expect(403)["error_code"], 40301);
    let id = admin.get("/v3/clusters").expect(200)["data"][0]["cluster_id"].as_str().unwrap().to_owned();
    let acls = format!("/v3/clusters/{id}/acls");
    let rule = |kind: &str, name: &str, operation: &str| {
        json!({
            "resource_type": kind, "resource_name": name, "pattern_type": "LITERAL", "principal": "User:bob",
            "host": "*", "operation": operation, "permission": "ALLOW",
        })
    };
    assert_eq!(bob.get(&acls).expect(403)["error_code"], 40301);
    let rules = json!({"data": [rule("TOPIC", "t", "READ"), rule("GROUP", "g", "READ")]});
    assert_eq!(admin.post(&format!("{acls}:batch"), "application/json", &rules).status, 201);
    assert_eq!(admin.post(&acls, "application/json", &rule("TOPIC", "t", "WRITE")).status, 201);
    let found = admin.get(&format!("{acls}?resource_type=TOPIC&principal=User:bob")).expect(200);
    assert_eq!(found["data"].as_array().unwrap().len(), 2);
    assert_eq!(bob.post("/topics/t", TEXT, &record).status, 200);
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        // It tries to join again by itself.
        let heard = bob.get(&format!("{path}/records?timeout=1000"));
        if heard.status == 200 && values(&heard.json()) == ["x"] {
            break;
        }
        assert!(Instant::now() < patience, "{}", heard.text());
        std::thread::sleep(Duration::from_millis(100));
    }
    let deleted = admin.delete(&format!("{acls}?resource_type=TOPIC&operation=WRITE")).expect(200);
    assert_eq!(deleted["data"].as_array().unwrap().len(), 1);
    assert_eq!(bob.post("/topics/t", TEXT, &record).status, 403);
}

#[test]
fn quotas_of_kafka_hold_for_rest_and_are_told_with_a_time() {
    let data = data_dir();
    let (broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 1);
    let request = AlterClientQuotasRequest {
        entries: vec![AlterQuota {
            entity: vec![AlterQuotaEntity {
                entity_type: "user".to_owned(),
                entity_name: Some("ANONYMOUS".to_owned()),
            }],
            ops: vec![AlterQuotaStep { key: "producer_byte_rate".to_owned(), value: 1000.0, remove: false }],
        }],
        validate_only: false,
    };
    let answer: AlterClientQuotasResponse = broker.client().call(1, &request);
    assert_eq!(answer.entries[0].error_code, 0);
    let large = json!({"records": [{"value": "x".repeat(50_000)}]});
    assert_eq!(client.post("/topics/t", TEXT, &large).status, 200, "it is answered first");
    let refused = client.post("/topics/t", TEXT, &large);
    assert_eq!(refused.expect(429)["error_code"], 429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn d11_oversized_slow_and_bad_requests_are_refused_and_memory_stays() {
    let data = data_dir();
    let (broker, mut client) = start(data.path(), &[]);
    create(&mut client, "t", 1);
    let address = broker.http.unwrap();
    client.post("/topics/t", TEXT, &json!({"records": [{"value": "x"}]})).expect(200);
    let before = broker.resident();
    // One that only announces it, and one that sends it.
    let mut announced = Http::new(address).take();
    let head =
        "POST /topics/t HTTP/1.1\r\nHost: here\r\nContent-Type: application/vnd.kafka.text.v2+json\r\n";
    announced.get_mut().write_all(format!("{head}Content-Length: 999999999\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(read(&mut announced, false).0.status, 413);
    let mut endless = Http::new(address).take();
    endless.get_mut().write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let piece = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    for _ in 0..20 {
        if endless.get_mut().write_all(piece.as_bytes()).is_err() {
            break;
        }
    }
    // Those that say that they will send much, and do not: nobody waits for them.
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let mut slow = Http::new(address).take();
            slow.get_mut().write_all(format!("{head}Content-Length: 8000000\r\n\r\n{{").as_bytes()).unwrap();
            slow
        })
        .collect();
    let since = Instant::now();
    client.post("/topics/t", TEXT, &json!({"records": [{"value": "x"}]})).expect(200);
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    drop(slow);
    let many = format!("{{\"records\":[{}]}}", vec!["{}"; 2_000_000].join(","));
    for _ in 0..5 {
        assert_eq!(client.ask("POST", "/topics/t", &[("Content-Type", TEXT)], many.as_bytes()).status, 422);
    }
    let bad = [
        ("GET", "/topics/%00", ""),
        ("GET", "/topics/%ff%fe", ""),
        ("POST", "/topics/t", "{\"records\":[{\"value\":[[[[[[[[[[[["),
        ("POST", "/topics/t", "\u{0}"),
        ("POST", "/consumers/g", "[]"),
        ("POST", "/consumers/g", "{\"format\": 7}"),
        ("GET", "/topics/t/partitions/-1/records?max_bytes=-1", ""),
        ("GET", "/topics/t/partitions/99999999999/records", ""),
        ("DELETE", "/consumers/%2f/instances/%2f", ""),
        ("GET", "/v3/clusters/%20/topics/t", ""),
    ];
    for at in 0..10_000 {
        let (method, path, body) = bad[at % bad.len()];
        let heard = client.ask(method, path, &[("Content-Type", TEXT)], body.as_bytes());
        assert!((400..500).contains(&heard.status), "{method} {path}: {} {}", heard.status, heard.text());
    }
    let deep = format!("{{\"records\":[{{\"value\":{}1{}}}]}}", "[".repeat(100_000), "]".repeat(100_000));
    let heard = client.ask("POST", "/topics/t", &[("Content-Type", JSON)], deep.as_bytes());
    assert!(heard.status == 200 || heard.status == 422, "{}", heard.text());
    client.post("/topics/t", TEXT, &json!({"records": [{"value": "x"}]})).expect(200);
    let after = broker.resident();
    assert!(after < before + (256 << 20), "{before} before, {after} after");
}

#[test]
fn the_document_has_every_call_and_answers_are_as_it_says() {
    let data = data_dir();
    // Permissions are told where there are any.
    let rules = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let settings = ["-o", rules, "-o", "super.users=User:ANONYMOUS"];
    let (_broker, mut client) = start(data.path(), &settings);
    create(&mut client, "t", 1);
    client
        .post(
            "/topics/t",
            TEXT,
            &json!({"records": [{"key": "k", "value": "v", "headers": [{"key": "h", "value": "dg=="}]}]}),
        )
        .expect(200);
    let path = consumer(&mut client, "g", "i", json!({}));
    client.post(&format!("{path}/subscription"), V2, &json!({"topics": ["t"]}));
    client.get(&format!("{path}/records?timeout=10000")).expect(200);
    client.ask("POST", &format!("{path}/offsets"), &[], b"");
    let schema = json!({"schema": "\"string\""});
    let registered = client.post("/subjects/t-value/versions", "application/json", &schema).expect(200);
    client.ask("PUT", "/config/t-value", &[], br#"{"compatibility":"FULL"}"#).expect(200);
    client.ask("PUT", "/mode/t-value", &[], br#"{"mode":"READWRITE"}"#).expect(200);
    let document = client.get("/openapi.json").expect(200);
    assert_eq!(document["openapi"], "3.0.3");
    let id = client.get("/v3/clusters").expect(200)["data"][0]["cluster_id"].as_str().unwrap().to_owned();
    // What would change something is about something that is not there.
    let elsewhere = |path: &str| {
        let names = [
            "{topic_name}",
            "{group_name}",
            "{instance_name}",
            "{consumer_group_id}",
            "{config_name}",
            "{subject}",
            "{context}",
        ];
        names.iter().fold(path.to_owned(), |path, name| path.replace(name, "none"))
    };
    let fill = |path: &str| {
        path.replace("{cluster_id}", &id)
            .replace("{topic_name}", "t")
            .replace("{partition_id}", "0")
            .replace("{group_name}", "g")
            .replace("{instance_name}", "i")
            .replace("{consumer_group_id}", "g")
            .replace("{config_name}", "retention.ms")
            .replace("{subject}", "t-value")
            .replace("{version}", "latest")
            .replace("{schema_id}", &registered["id"].to_string())
            .replace("{guid}", registered["guid"].as_str().unwrap())
    };
    let mut checked = 0;
    for (path, calls) in document["paths"].as_object().unwrap() {
        for (method, call) in calls.as_object().unwrap() {
            // What is not there would be 404 without a body of ours, or 405.
            let probed = if method == "get" { fill(path) } else { fill(&elsewhere(path)) };
            let headers = [("Content-Type", "application/x-none")];
            let probe = client.ask(&method.to_uppercase(), &probed, &headers, b"?");
            assert_ne!(probe.status, 405, "{method} {path}");
            if method != "get" {
                continue;
            }
            let heard = client.get(&fill(path));
            let described = &call["responses"]["200"]["content"];
            let media = heard.header("content-type").unwrap();
            assert!(!described[media].is_null(), "{path} is {media}, of which the document does not know");
            let found = heard.expect(200);
            if let Err(why) = fits(&document, &described[media]["schema"], &found) {
                panic!("{path}: {why}: {found}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 50, "{checked}");
}

/// Whether a value is as a schema of the document says: the words of JSON Schema that the document uses.
fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let found = document.pointer(name.trim_start_matches('#')).ok_or_else(|| format!("no {name}"))?;
        return fits(document, found, value);
    }
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fits(document, part, value)?;
    }
    let is = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some(other) => return Err(format!("an unknown type {other}")),
    };
    if !is {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{value} is none of {words:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap();
        if value.get(name).is_none() {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            fits(document, schema, value).map_err(|why| format!("{name}: {why}"))?;
        }
    }
    if !schema["items"].is_null() {
        for value in value.as_array().into_iter().flatten() {
            fits(document, &schema["items"], value)?;
        }
    }
    Ok(())
}

#[test]
fn a_schema_that_is_not_kept_is_found() {
    let document = json!({"components": {"schemas": {"A": {"type": "object", "required": ["a"]}}}});
    let schema = json!({"type": "array", "items": {"$ref": "#/components/schemas/A"}});
    assert!(fits(&document, &schema, &json!([{"a": 1}])).is_ok());
    assert!(fits(&document, &schema, &json!([{"b": 1}])).is_err());
    assert!(fits(&document, &schema, &json!({})).is_err());
}
