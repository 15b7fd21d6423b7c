//! The console and the schema registry: messages are shown as their schemas say, and the schemas themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{HOSTILE, Live, create, open, open_as, page};
use crate::broker::data_dir;
use crate::http::USERS;
use crate::http::client::Http;

const BINARY: &str = "application/vnd.kafka.binary.v2+json";
const REGISTRY: &str = "application/vnd.schemaregistry.v1+json";

const FORMS: [(&str, &str, &str, &str); 3] = [
    ("avro", "AVRO", "Avro", r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}"#),
    ("jsonschema", "JSON", "JSON Schema", r#"{"type":"object","properties":{"id":{"type":"integer"}}}"#),
    ("protobuf", "PROTOBUF", "Protobuf", "syntax = \"proto3\"; message Order { int32 id = 1; }"),
];

fn register(browser: &mut Http, subject: &str, schema_type: &str, schema: &str) -> i64 {
    let body = json!({"schemaType": schema_type, "schema": schema});
    let answer = browser.post(&format!("/subjects/{subject}/versions"), REGISTRY, &body).expect(200);
    answer["id"].as_i64().unwrap()
}

/// Produces a value by a schema; gives its id.
fn produce(browser: &mut Http, topic: &str, form: &str, schema: &str, value: Value) -> i64 {
    let media = format!("application/vnd.kafka.{form}.v2+json");
    let body = json!({"value_schema": schema, "records": [{"value": value}]});
    browser.post(&format!("/topics/{topic}"), &media, &body).expect(200)["value_schema_id"].as_i64().unwrap()
}

#[test]
fn messages_are_shown_as_their_schemas_say() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    for (form, _, named, schema) in FORMS {
        create(&broker, form, 1);
        let tail = format!("/console/topics/{form}/tail");
        let mut live = Live::open(&mut Http::new(broker.http.unwrap()), &tail, None);
        let id = produce(&mut browser, form, form, schema, json!({"id": 77}));
        let word = format!("<a class=\"tag\" href=\"/console/schema?id={id}\">{named}, schema {id}</a>");
        let list = page(&mut browser, &format!("/console/topics/{form}/messages"));
        assert!(list.contains(&word) && list.contains("<code>{&quot;id&quot;:77}</code>"), "{list}");
        let one = page(&mut browser, &format!("/console/topics/{form}/message?partition=0&offset=0"));
        assert!(one.contains(&word) && one.contains("{\n  &quot;id&quot;: 77\n}"), "{one}");
        // What is downloaded are the bytes as they are.
        let path = format!("/console/topics/{form}/bytes?partition=0&offset=0&part=value");
        assert_eq!(&browser.get(&path).body[..5], &[0, 0, 0, 0, id as u8]);
        let record = live.next().1["records"][0].clone();
        assert_eq!(record["value"], json!({"id": 77}), "{record}");
        assert_eq!(
            (record["value_format"].clone(), record["value_schema_id"].clone()),
            (json!(form), json!(id))
        );
        let file = browser.get(&format!("/console/topics/{form}/records.jsonl?from=start"));
        assert_eq!(serde_json::from_str::<Value>(file.text().trim_end()).unwrap(), record);
        let schema = page(&mut browser, &format!("/console/schema?id={id}"));
        assert!(schema.contains(&format!("<h1>{form}-value</h1>")), "{schema}");
    }
}

#[test]
fn what_only_begins_as_by_a_schema_is_shown_as_it_is_with_the_reason() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    create(&broker, "t", 1);
    let avro = |browser: &mut Http, offset: i64| {
        page(browser, &format!("/console/topics/t/message?partition=0&offset={offset}"))
    };
    let values: [&[u8]; 3] = [&[0, 0, 0, 0, 99, 65], &[0, 0, 0, 0, 1, 0xff], b"\0\0"];
    let records: Vec<Value> = values.iter().map(|value| json!({"value": BASE64.encode(value)})).collect();
    browser.post("/topics/t", BINARY, &json!({"records": records})).expect(200);
    // Without any schema, and with one.
    assert!(avro(&mut browser, 0).contains("there is no schema 99"));
    produce(&mut browser, "other", "avro", FORMS[0].3, json!({"id": 1}));
    for (offset, shown, why) in [
        (0, "000000006341", "there is no schema 99"),
        (1, "0000000001ff", "not what schema 1 describes"),
        (2, "0000", ""),
    ] {
        let one = avro(&mut browser, offset);
        assert!(one.contains(shown) && one.contains(why), "{one}");
        assert_eq!(one.contains("is not shown by it"), !why.is_empty());
    }
    let list = page(&mut browser, "/console/topics/t/messages");
    assert!(list.contains("000000006341") && list.contains("0000000001ff"), "{list}");
    // As many ids as there are records: some are not looked up, and none is left out.
    let records: Vec<Value> = (0..250_u32)
        .map(|at| json!({"value": BASE64.encode([&[0][..], &(at + 1000).to_be_bytes(), b"x"].concat())}))
        .collect();
    let mut live = Live::open(&mut Http::new(broker.http.unwrap()), "/console/topics/t/tail", None);
    browser.post("/topics/t", BINARY, &json!({"records": records})).expect(200);
    let mut count = 0;
    while count < 250 {
        let (_, event) = live.next();
        count += event["records"].as_array().unwrap().len();
        assert_eq!(event["skipped"], 0);
    }
    let file = browser.get("/console/topics/t/records.jsonl?from=start");
    assert_eq!(file.text().lines().count(), 253);
}

#[test]
fn a_schema_is_shown_with_its_versions_its_level_and_what_has_changed() {
    let data = data_dir();
    let (_broker, mut browser) = open(data.path(), &[]);
    assert!(page(&mut browser, "/console/schemas").contains("no such subject"));
    let field = |name: &str| format!(r#"{{"name":"{name}","type":["null","string"],"default":null}}"#);
    let order = |fields: &[&str]| {
        let fields: Vec<String> = fields.iter().map(|name| field(name)).collect();
        format!(r#"{{"type":"record","name":"Order","fields":[{}]}}"#, fields.join(","))
    };
    let first = register(&mut browser, "orders-value", "AVRO", &order(&["id", "old"]));
    let second = register(&mut browser, "orders-value", "AVRO", &order(&["id", "fresh"]));
    register(&mut browser, "events-value", "PROTOBUF", FORMS[2].3);
    browser
        .ask("PUT", "/config/orders-value", &[("Content-Type", REGISTRY)], br#"{"compatibility":"FULL"}"#)
        .expect(200);
    let list = page(&mut browser, "/console/schemas");
    for words in ["orders-value</a>", "events-value</a>", "Protobuf", "FULL", "BACKWARD", "2, of 2 versions"]
    {
        assert!(list.contains(words), "{words}: {list}");
    }
    assert!(!page(&mut browser, "/console/schemas?q=EVENTS").contains("orders-value</a>"));
    let latest = page(&mut browser, "/console/schema?subject=orders-value");
    for words in [
        &format!("<dt>Id</dt><dd>{second}</dd>"),
        "2, of 2 versions",
        "FULL<span class=\"quiet\">, set for the subject",
        "READWRITE",
        "&quot;name&quot;: &quot;fresh&quot;",
    ] {
        assert!(latest.contains(words), "{words}: {latest}");
    }
    let older = page(&mut browser, "/console/schema?subject=orders-value&version=1&against=");
    assert!(older.contains(&format!("<dt>Id</dt><dd>{first}</dd>")) && older.contains("&quot;old&quot;"));
    let changes = page(&mut browser, "/console/schema?subject=orders-value&version=2&against=1");
    assert!(changes.contains("Changes since version 1") && changes.contains("1 line added, 1 line removed."));
    assert!(changes.contains("<del>-       &quot;name&quot;: &quot;old&quot;,\n</del>"), "{changes}");
    assert!(changes.contains("<ins>+       &quot;name&quot;: &quot;fresh&quot;,\n</ins>"), "{changes}");
    let same = page(&mut browser, "/console/schema?subject=orders-value&version=2&against=2");
    assert!(same.contains("The texts are the same."), "{same}");
    let events = page(&mut browser, "/console/schema?subject=events-value");
    assert!(
        events.contains("BACKWARD<span class=\"quiet\">, set for all") && events.contains("int32 id = 1;")
    );

    browser.delete("/subjects/events-value").expect(200);
    assert!(!page(&mut browser, "/console/schemas").contains("events-value"));
    let deleted = page(&mut browser, "/console/schemas?deleted=yes");
    assert!(deleted.contains("events-value</a> <span class=\"tag\">deleted</span>"), "{deleted}");
    for (query, status) in [
        ("subject=none", 404),
        ("subject=orders-value&version=3", 404),
        ("subject=orders-value&version=x", 404),
        ("subject=orders-value&against=9", 404),
        ("id=99", 404),
        ("id=x", 400),
        ("", 404),
    ] {
        let refused = browser.get(&format!("/console/schema?{query}"));
        assert_eq!(refused.status, status, "{query}: {}", refused.text());
        assert!(refused.text().starts_with("<!DOCTYPE html>"), "{query}");
    }
}

#[test]
fn a_page_of_schemas_stays_small_and_what_strangers_write_stays_text() {
    let data = data_dir();
    let (_broker, mut browser) = open(data.path(), &[]);
    let doc = |letter: &str| {
        let doc = format!("{HOSTILE}{}", letter.repeat(20_000));
        let fields: Vec<Value> = (0..500)
            .map(|at| json!({"name": format!("{letter}{at}"), "type": "int", "default": 0}))
            .collect();
        json!({"type": "record", "name": "R", "doc": doc, "fields": fields}).to_string()
    };
    // The names are as long as they may be with a link, and longer.
    for number in 0..35 {
        let length = if number % 2 == 0 { 240 } else { 900 };
        register(&mut browser, &format!("{number:02}{}", "%3C".repeat(length)), "AVRO", &doc("a"));
    }
    register(&mut browser, "big", "AVRO", &doc("a"));
    register(&mut browser, "big", "AVRO", &doc("b"));
    for path in [
        "/console/schemas",
        "/console/schemas?page=2",
        "/console/schema?subject=big",
        "/console/schema?subject=big&version=2&against=1",
    ] {
        let text = page(&mut browser, path);
        assert!(text.contains("&lt;"), "{path}: {text}");
    }
}

#[test]
fn a_user_sees_the_subjects_of_the_topics_that_it_may_read_and_no_others() {
    let data = data_dir();
    let (broker, _) = open(data.path(), &USERS);
    let (mut admin, mut bob) = (open_as(&broker, "admin", "hunter2"), open_as(&broker, "bob", "builder"));
    for topic in ["open", "vault"] {
        let new = json!({"topic_name": topic, "partitions_count": 1});
        assert_eq!(admin.post("/admin/topics", "application/json", &new).status, 201);
    }
    let id = produce(&mut admin, "open", "avro", FORMS[0].3, json!({"id": 77}));
    let secret = produce(&mut admin, "vault", "jsonschema", FORMS[1].3, json!({"id": 1}));
    assert_eq!(bob.get(&format!("/console/schema?id={id}")).status, 404);
    let cluster = admin.get("/v3/clusters").expect(200)["data"][0]["cluster_id"].as_str().unwrap().to_owned();
    let rule = json!({
        "resource_type": "TOPIC", "resource_name": "open", "pattern_type": "LITERAL", "principal": "User:bob",
        "host": "*", "operation": "READ", "permission": "ALLOW",
    });
    let acls = format!("/v3/clusters/{cluster}/acls");
    assert_eq!(admin.post(&acls, "application/json", &rule).status, 201);
    let list = page(&mut bob, "/console/schemas");
    assert!(list.contains("open-value") && !list.contains("vault"), "{list}");
    assert!(page(&mut bob, &format!("/console/schema?id={id}")).contains("open-value"));
    for query in [format!("id={secret}"), "subject=vault-value".to_owned()] {
        let refused = bob.get(&format!("/console/schema?{query}"));
        assert!(refused.status == 404 && !refused.text().contains("integer"), "{}", refused.text());
    }
    // Who may read records may read what they say.
    let messages = page(&mut bob, "/console/topics/open/messages");
    assert!(messages.contains("{&quot;id&quot;:77}"), "{messages}");
    let all = page(&mut admin, "/console/schemas");
    assert!(all.contains("open-value") && all.contains("vault-value"), "{all}");
}
