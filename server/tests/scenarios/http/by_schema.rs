//! REST by schemas: what is produced as Avro, JSON Schema and Protobuf is what serializers write, and what
//! they write is read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::client::Http;
use super::start;
use crate::broker::data_dir;

const V2: &str = "application/vnd.kafka.v2+json";
const BINARY: &str = "application/vnd.kafka.binary.v2+json";
const AVRO: &str = "application/vnd.kafka.avro.v2+json";
const JSON_SCHEMA: &str = "application/vnd.kafka.jsonschema.v2+json";
const PROTOBUF: &str = "application/vnd.kafka.protobuf.v2+json";

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"note","type":["null","string"],"default":null}]}"#;
const OBJECT: &str = r#"{"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}"#;
const FILE: &str = "syntax = \"proto3\"; message Order { int64 id = 1; string note = 2; }";

fn read(http: &mut Http, topic: &str, accept: &str) -> Value {
    let path = format!("/topics/{topic}/partitions/0/records");
    http.ask("GET", &path, &[("Accept", accept)], b"").expect(200)
}

#[test]
fn records_are_written_by_schemas_as_serializers_write_them_and_read_by_them() {
    let data = data_dir();
    let (_broker, mut http) = start(data.path(), &[]);
    for (topic, form, schema, value, read_as, encoded) in [
        (
            "avro",
            AVRO,
            ORDER,
            json!({"id": 7, "note": {"string": "x"}}),
            json!({"id": 7, "note": {"string": "x"}}),
            &[14, 2, 2, b'x'][..],
        ),
        ("json", JSON_SCHEMA, OBJECT, json!({"id": 7}), json!({"id": 7}), br#"{"id":7}"#),
        ("proto", PROTOBUF, FILE, json!({"id": 7}), json!({"id": "7", "note": ""}), &[0, 8, 7]),
    ] {
        let body = json!({"value_schema": schema, "records": [{"value": value}, {"value": null}]});
        let answer = http.post(&format!("/topics/{topic}"), form, &body).expect(200);
        let id = answer["value_schema_id"].as_i64().unwrap();
        assert_eq!(answer["offsets"][1]["offset"], 1, "{answer}");
        assert_eq!(answer["key_schema_id"], Value::Null);
        let registered = http.get(&format!("/subjects/{topic}-value/versions/latest")).expect(200);
        assert_eq!(registered["id"], id);
        let by_id = json!({"value_schema_id": id, "records": [{"value": value}]});
        http.post(&format!("/topics/{topic}"), form, &by_id).expect(200);
        let again = http.post(&format!("/topics/{topic}"), form, &body).expect(200);
        assert_eq!(again["value_schema_id"], id, "the same schema again is the same");

        let bytes = [&[0, 0, 0, 0, id as u8][..], encoded].concat();
        let binary = read(&mut http, topic, BINARY);
        assert_eq!(binary[0]["value"], BASE64.encode(bytes), "{topic}");
        let values: Vec<Value> =
            read(&mut http, topic, form).as_array().unwrap().iter().map(|it| it["value"].clone()).collect();
        assert_eq!(
            values,
            [read_as.clone(), Value::Null, read_as.clone(), read_as.clone(), Value::Null],
            "{topic}"
        );

        // A consumer reads the same, in more reads than one.
        let format = form.trim_start_matches("application/vnd.kafka.").trim_end_matches(".v2+json");
        let settings = json!({"name": "i", "format": format, "auto.offset.reset": "earliest"});
        http.post(&format!("/consumers/{topic}"), V2, &settings).expect(200);
        let instance = format!("/consumers/{topic}/instances/i");
        http.post(&format!("{instance}/subscription"), V2, &json!({"topics": [topic]})).expect(204);
        let mut consumed = Vec::new();
        while consumed.len() < 5 {
            let found =
                http.ask("GET", &format!("{instance}/records?timeout=10000"), &[("Accept", form)], b"");
            assert_eq!(found.header("content-type"), Some(form));
            consumed.extend(found.expect(200).as_array().unwrap().iter().map(|it| it["value"].clone()));
        }
        assert_eq!(consumed, values);
    }
}

#[test]
fn a_record_that_does_not_fit_its_schema_is_refused_and_one_that_goes_by_none_is_told() {
    let data = data_dir();
    let (_broker, mut http) = start(data.path(), &[]);
    let mut refused = |form: &str, body: Value, status: u16| {
        let told = http.post("/topics/t", form, &body).expect(status);
        (told["error_code"].as_u64().unwrap(), told["message"].as_str().unwrap().to_owned())
    };
    let one = |value: Value| json!([{"value": value}]);
    let (code, why) =
        refused(AVRO, json!({"value_schema": ORDER, "records": one(json!({"id": "x", "note": null}))}), 422);
    assert_eq!(code, 42203);
    assert!(why.contains("records[0].value") && why.contains(".id: long is expected"), "{why}");
    let (code, _) = refused(JSON_SCHEMA, json!({"value_schema": OBJECT, "records": one(json!({}))}), 409);
    assert_eq!(code, 409, "the subject has a schema of Avro");
    assert_eq!(refused(AVRO, json!({"records": one(json!(1))}), 422).0, 42202);
    assert_eq!(refused(AVRO, json!({"value_schema": ORDER, "records": [{"key": 1}]}), 422).0, 42201);
    assert_eq!(refused(AVRO, json!({"value_schema": "\"nope\"", "records": one(json!(1))}), 422).0, 42205);
    assert_eq!(refused(AVRO, json!({"value_schema_id": 99, "records": one(json!(1))}), 422).0, 42205);
    assert_eq!(refused(PROTOBUF, json!({"value_schema_id": 1, "records": one(json!({}))}), 422).0, 42205);
    assert_eq!(refused(AVRO, json!({"records": []}), 422).0, 42201);
    let narrower = ORDER.replace("long", "int");
    assert_eq!(refused(AVRO, json!({"value_schema": narrower, "records": one(json!(1))}), 409).0, 409);

    // What no serializer has written, or by a schema that is not there, is shown as binary.
    for value in [&b"plain"[..], &[0, 0, 0, 0, 99, 1], &[0, 0, 0, 0, 1, 0xff]] {
        let body = json!({"records": [{"value": BASE64.encode(value)}]});
        http.post("/topics/t", BINARY, &body).expect(200);
    }
    for (offset, why) in
        [(0, "goes by no schema"), (1, "there is no schema 99"), (2, "not what schema 1 describes")]
    {
        let path = format!("/topics/t/partitions/0/records?offset={offset}");
        let told = http.ask("GET", &path, &[("Accept", AVRO)], b"").expect(406);
        assert_eq!(told["error_code"], 40601);
        assert!(told["message"].as_str().unwrap().contains(why), "{told}");
    }
    assert_eq!(read(&mut http, "t", BINARY).as_array().unwrap().len(), 3);
}
