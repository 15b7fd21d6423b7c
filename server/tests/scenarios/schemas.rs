//! The schema registry: what it acknowledges survives, who may do what, and what others write is seen.

use std::path::Path;

use serde_json::{Value, json};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::types::Timestamp;

use crate::broker::{Broker, data_dir};
use crate::http::client::Http;
use crate::http::start;
use crate::log::strandline;

fn register(http: &mut Http, subject: &str, schema: &str) -> i64 {
    let body = json!({ "schema": schema });
    let answer = http.post(&format!("/subjects/{subject}/versions"), "application/json", &body).expect(200);
    answer["id"].as_i64().unwrap()
}

fn put(http: &mut Http, path: &str, body: &Value) -> Value {
    http.ask("PUT", path, &[("Content-Type", "application/json")], body.to_string().as_bytes()).expect(200)
}

fn topic(name: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[]}}"#)
}

#[test]
fn d9_what_is_acknowledged_survives_a_kill_and_ids_are_never_given_twice() {
    let data = data_dir();
    let mut acknowledged: Vec<(String, i64)> = Vec::new();
    for round in 0..4 {
        let (broker, mut http) = start(data.path(), &[]);
        for (subject, id) in &acknowledged {
            let found = http.get(&format!("/subjects/{subject}/versions/latest")).expect(200);
            assert_eq!(found["id"].as_i64(), Some(*id), "{found}");
            assert_eq!(http.get(&format!("/schemas/ids/{id}")).status, 200);
        }
        for at in 0..5 {
            let subject = format!("s{round}-{at}-value");
            let id = register(&mut http, &subject, &topic(&format!("R{round}_{at}")));
            assert!(acknowledged.iter().all(|(_, known)| *known < id), "{id} after {acknowledged:?}");
            acknowledged.push((subject, id));
        }
        // The one with the highest id goes for good.
        let (subject, id) = acknowledged.pop().unwrap();
        assert_eq!(http.delete(&format!("/subjects/{subject}")).expect(200), json!([1]));
        assert_eq!(http.delete(&format!("/subjects/{subject}?permanent=true")).expect(200), json!([1]));
        assert_eq!(http.get(&format!("/schemas/ids/{id}")).expect(404)["error_code"], 40403);
        broker.kill();
    }
}

#[test]
fn clients_are_answered_in_their_media_types_and_unknown_paths_are_404() {
    let data = data_dir();
    let (_broker, mut http) = start(data.path(), &[]);
    assert_eq!(http.get("/subjects").expect(200), json!([]));
    assert_eq!(http.get("/schemas/types").expect(200), json!(["JSON", "PROTOBUF", "AVRO"]));
    register(&mut http, "a%2Fb", &topic("R"));
    let found = http.get("/subjects/a%2Fb/versions/1");
    assert_eq!(found.header("content-type"), Some("application/vnd.schemaregistry.v1+json"));
    assert_eq!(found.expect(200)["subject"], "a/b");
    let plain = http.ask("GET", "/schemas/ids/1/schema", &[("Accept", "application/json")], b"");
    assert_eq!(plain.header("content-type"), Some("application/json"));
    assert_eq!(plain.text(), topic("R"));
    for (method, path) in
        [("GET", "/associations/resources/a/b"), ("PATCH", "/subjects"), ("PUT", "/schemas/ids/1")]
    {
        assert_eq!(http.ask(method, path, &[], b"").expect(404)["error_code"], 404, "{method} {path}");
    }
    let refused = http.post("/subjects/s/versions", "application/json", &json!({"schema": "\"no\""}));
    assert_eq!(refused.expect(422)["error_code"], 42201);
    put(&mut http, "/config", &json!({"compatibility": "FULL"}));
    assert_eq!(http.get("/config").expect(200), json!({"compatibilityLevel": "FULL"}));
}

#[test]
fn what_others_write_to_the_topic_is_seen_and_a_topic_that_would_lose_schemas_is_refused() {
    let data = data_dir();
    let (broker, mut http) = start(data.path(), &[]);
    register(&mut http, "mine", &topic("R"));
    let mut client = broker.client();
    let key = br#"{"keytype":"SCHEMA","subject":"theirs","version":1,"magic":1}"#;
    let value = br#"{"subject":"theirs","version":1,"id":40,"schema":"\"int\"","deleted":false}"#;
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(Timestamp(7), Some(key), Some(value), &[]);
    assert_eq!(client.produce("_schemas", 0, batch.build()).error_code, 0);
    assert_eq!(http.get("/schemas/ids/40").expect(200)["schema"], "\"int\"");
    assert_eq!(register(&mut http, "mine-too", &topic("S")), 41);
    drop(broker);
    let data = data_dir();
    let (broker, mut http) = start(data.path(), &[]);
    assert_eq!(broker.client().create("_schemas", 2, &[("cleanup.policy", "compact")]).error_code, 0);
    let refused = http.get("/subjects").expect(500);
    assert_eq!(refused["error_code"], 50001);
    assert!(refused["message"].as_str().unwrap().contains("2 partitions"), "{refused}");
}

#[test]
fn rights_of_the_topic_are_rights_of_its_schemas() {
    let data = data_dir();
    let users = "listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.\
                 PlainLoginModule required user_admin=\"a\" user_reader=\"r\" user_writer=\"w\" user_nobody=\"n\" \
                 user_ofone=\"o\";";
    let settings = [
        "-o",
        "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT",
        "-o",
        "sasl.enabled.mechanisms=PLAIN",
        "-o",
        users,
        "-o",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "-o",
        "super.users=User:admin",
    ];
    let (broker, _) = start(data.path(), &settings);
    let as_user = |user: &str| Http::new(broker.http.unwrap()).user(user, &user[..1]);
    register(&mut as_user("admin"), "orders-value", &topic("R"));
    register(&mut as_user("admin"), "other-value", &topic("S"));
    let body = json!({"topic_name": "orders"});
    as_user("admin").post("/admin/topics", "application/json", &body).expect(201);
    allow(data.path(), &broker);
    let asked = |user: &str, path: &str| as_user(user).get(path).status;
    for (user, all, own) in
        [("admin", 200, 200), ("reader", 200, 200), ("nobody", 403, 403), ("ofone", 403, 200)]
    {
        assert_eq!(asked(user, "/subjects"), all, "{user}");
        assert_eq!(asked(user, "/schemas/ids/1"), all, "{user}");
        assert_eq!(asked(user, "/subjects/orders-value/versions/latest"), own, "{user}");
    }
    assert_eq!(asked("ofone", "/subjects/other-value/versions/latest"), 403);
    for (subject, status) in [("orders-value", 200), ("other-value", 403), ("orders-key", 403)] {
        assert_eq!(asked("ofone", &format!("/schemas/ids/1?subject={subject}")), status, "{subject}");
        assert_eq!(asked("ofone", &format!("/schemas/ids/2?subject={subject}")), 403, "{subject}");
    }
    // A comparison tells what the schemas say that a text brings with it.
    let bring = json!([{"name": "S", "subject": "other-value", "version": 1}]);
    for (body, status) in [
        (json!({"schema": topic("R")}), 200),
        (json!({"schema": topic("R"), "references": []}), 200),
        (json!({"schema": "\"S\"", "references": bring}), 403),
    ] {
        let path = "/compatibility/subjects/orders-value/versions?verbose=true";
        let asked = as_user("ofone").post(path, "application/json", &body);
        assert_eq!(asked.status, status, "{body}: {}", asked.text());
    }
    for (user, status) in [("writer", 200), ("reader", 403), ("ofone", 403), ("nobody", 403)] {
        let body = json!({ "schema": topic("R2") });
        let path = "/subjects/more-value/versions";
        assert_eq!(as_user(user).post(path, "application/json", &body).status, status, "{user}");
    }
}

/// Gives the rights that the test is about.
fn allow(data: &Path, broker: &Broker) {
    let settings = data.join("admin.properties");
    let login = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.\
                 common.security.plain.PlainLoginModule required username=\"admin\" password=\"a\";\n";
    std::fs::write(&settings, login).unwrap();
    let (bootstrap, settings) = (broker.address.to_string(), settings.to_str().unwrap().to_owned());
    for (user, operation, topic) in
        [("reader", "Read", "_schemas"), ("writer", "Write", "_schemas"), ("ofone", "Read", "orders")]
    {
        let principal = format!("User:{user}");
        let arguments = [
            "acl",
            "add",
            "--bootstrap",
            &bootstrap,
            "--command-config",
            &settings,
            "--allow-principal",
            &principal,
            "--operation",
            operation,
            "--topic",
            topic,
        ];
        let (code, _, error) = strandline(&arguments, "");
        assert_eq!((code, &*error), (0, ""));
    }
}
