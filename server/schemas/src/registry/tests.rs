//! Requests one after the other, as the documentation of the API has them, and made from a seed.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{self, Body, Method, Outcome, Request};
use crate::json::Json;
use crate::records::{Key, Record};
use crate::state::State;

/// A registry in memory: the state, and the records that made it.
#[derive(Default)]
struct Registry {
    state: State,
    records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Registry {
    fn ask(&mut self, request: &str, body: &str) -> (u16, String) {
        let (method, target) = request.split_once(' ').unwrap();
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            other => panic!("{other}"),
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let outcome = match Request::parse(method, path, query) {
            Ok(request) => super::answer(&self.state, &request, body.as_bytes()),
            Err(error) => api::Answer::refused(&error).into(),
        };
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Change { records, answer } => {
                for record in records {
                    self.append(&record);
                }
                answer
            }
        };
        let body = match answer.body {
            Body::Json(json) => json.to_string(),
            Body::Text(text) => text,
            Body::Empty => String::new(),
        };
        (answer.status, body)
    }

    fn append(&mut self, record: &Record) {
        self.records.push((record.key().to_bytes(), record.value()));
        self.state.apply(record, 1_000);
    }

    /// Registers a schema of Avro and answers its id.
    fn register(&mut self, subject: &str, schema: &str) -> i64 {
        let body = Json::object([("schema", schema.into())]).to_string();
        let (status, answer) = self.ask(&format!("POST /subjects/{subject}/versions"), &body);
        assert_eq!(status, 200, "{answer}");
        Json::parse(answer.as_bytes()).unwrap().get("id").and_then(Json::as_i64).unwrap()
    }

    /// The text that an id stands for.
    fn text_of(&mut self, context: &str, id: i64, format: &str) -> String {
        let (status, text) =
            self.ask(&format!("GET /contexts/{context}/schemas/ids/{id}/schema?format={format}"), "");
        assert_eq!(status, 200, "{text}");
        text
    }

    fn expect(&mut self, request: &str, body: &str, status: u16, expected: &str) {
        let answered = self.ask(request, body);
        assert_eq!((answered.0, answered.1.as_str()), (status, expected), "{request} {body}");
    }

    fn refused(&mut self, request: &str, body: &str, code: i64) -> String {
        let (status, answer) = self.ask(request, body);
        let json = Json::parse(answer.as_bytes()).unwrap();
        assert_eq!(json.get("error_code").and_then(Json::as_i64), Some(code), "{request}: {answer}");
        let of_code = if code < 1000 { code } else { code / 100 };
        assert_eq!(i64::from(status), of_code, "{answer}");
        json.get("message").and_then(Json::as_str).unwrap().to_owned()
    }
}

fn replayed<'a>(records: impl IntoIterator<Item = &'a (Vec<u8>, Option<Vec<u8>>)>) -> State {
    let mut state = State::default();
    for (key, value) in records {
        state.apply(&Record::parse(key, value.as_deref()).unwrap(), 1_000);
    }
    state
}

const RECORD: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
const RECORD_2: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"int","default":0}]}"#;
const RECORD_BAD: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;

#[test]
fn the_documented_way_through_a_subject() {
    let mut registry = Registry::default();
    registry.expect("GET /", "", 200, "{}");
    registry.expect("GET /subjects", "", 200, "[]");
    registry.expect("GET /schemas/types", "", 200, r#"["JSON","PROTOBUF","AVRO"]"#);
    registry.expect(
        "POST /subjects/Kafka-key/versions",
        r#"{"schema":"{\"type\": \"string\"}"}"#,
        200,
        r#"{"id":1,"version":1,"guid":"095d71cf-1255-6b9d-5e33-0ad575b3df5d","schemaType":"AVRO","schema":"\"string\""}"#,
    );
    assert_eq!(registry.register("Kafka-value", "\"string\""), 1);
    assert_eq!(registry.register("Kafka-value", "\"string\""), 1);
    assert_eq!(registry.records.len(), 2, "the same again is no record");
    registry.expect("GET /subjects", "", 200, r#"["Kafka-key","Kafka-value"]"#);
    registry.expect(
        "GET /schemas/ids/1",
        "",
        200,
        r#"{"guid":"095d71cf-1255-6b9d-5e33-0ad575b3df5d","schemaType":"AVRO","schema":"\"string\"","ts":1000,"deleted":false}"#,
    );
    registry.expect("GET /schemas/ids/1/schema", "", 200, "\"string\"");
    registry.expect("GET /schemas/ids/1/subjects", "", 200, r#"["Kafka-key","Kafka-value"]"#);
    registry.expect("GET /subjects/Kafka-value/versions", "", 200, "[1]");
    registry.expect(
        "GET /subjects/Kafka-value/versions/latest",
        "",
        200,
        r#"{"subject":"Kafka-value","version":1,"id":1,"guid":"095d71cf-1255-6b9d-5e33-0ad575b3df5d","schemaType":"AVRO","schema":"\"string\"","ts":1000,"deleted":false}"#,
    );
    registry.expect(
        "GET /schemas/ids/1/versions",
        "",
        200,
        r#"[{"subject":"Kafka-key","version":1},{"subject":"Kafka-value","version":1}]"#,
    );
    let (status, found) = registry.ask("POST /subjects/Kafka-value", r#"{"schema":"\"string\""}"#);
    assert!(status == 200 && found.contains("\"version\":1"), "{found}");
    registry.expect("DELETE /subjects/Kafka-value/versions/1", "", 200, "1");
    registry.expect("DELETE /subjects/Kafka-key", "", 200, "[1]");
    registry.expect("GET /subjects", "", 200, "[]");
    registry.expect("GET /subjects?deleted=true", "", 200, r#"["Kafka-key","Kafka-value"]"#);
    registry.expect("GET /subjects?deletedOnly=true", "", 200, r#"["Kafka-key","Kafka-value"]"#);
    let (status, _) = registry.ask("GET /schemas/ids/1", "");
    assert_eq!(status, 200, "what was written with a deleted schema can be read");
    registry.expect("DELETE /subjects/Kafka-key?permanent=true", "", 200, "[1]");
    registry.expect("DELETE /subjects/Kafka-value?permanent=true", "", 200, "[1]");
    assert_eq!(registry.refused("GET /schemas/ids/1", "", 40403), "Schema 1 not found");
    assert_eq!(registry.register("Kafka-key", "\"int\""), 2, "an id is given once");
}

#[test]
fn what_is_refused_has_its_number_and_its_words() {
    let mut registry = Registry::default();
    registry.register("s", RECORD);
    for (request, body, code, words) in [
        ("GET /associations/resources/a/b", "", 404, "HTTP 404 Not Found"),
        ("GET /subjects/t/versions", "", 40401, "Subject 't' not found."),
        ("GET /subjects/s/versions/2", "", 40402, "Version 2 not found."),
        ("GET /subjects/s/versions/0", "", 42202, "The specified version '0' is not a valid version id."),
        ("GET /subjects/s/versions/x", "", 42202, "The specified version 'x'"),
        ("GET /schemas/ids/9", "", 40403, "Schema 9 not found"),
        ("GET /schemas/guids/9", "", 40403, "Schema 9 not found"),
        ("POST /subjects/s", r#"{"schema":"\"int\""}"#, 40403, "Schema not found"),
        ("POST /subjects/t", r#"{"schema":"\"int\""}"#, 40401, "Subject 't' not found."),
        ("GET /config/s", "", 40408, "Subject 's' does not have subject-level compatibility configured"),
        ("GET /mode/s", "", 40409, "Subject 's' does not have subject-level mode configured"),
        ("PUT /config", r#"{"compatibility":"X"}"#, 42203, "Invalid compatibility level."),
        ("PUT /mode", r#"{"mode":"X"}"#, 42204, "Invalid mode."),
        ("DELETE /subjects/s?permanent=true", "", 40405, "Subject 's' was not deleted first"),
        ("DELETE /subjects/s/versions/1?permanent=true", "", 40407, "Subject 's' Version 1 was not deleted"),
        ("DELETE /subjects/s/versions/7", "", 40402, "Version 7 not found."),
        ("POST /subjects/s/versions", "x", 422, "the body is no JSON"),
        ("POST /subjects/s/versions", r#"{"schema":7}"#, 422, "schema: a string is expected"),
        ("POST /subjects/t/versions", r#"{"schema":""}"#, 42201, "Empty schema"),
        (
            "POST /subjects/s/versions",
            r#"{"schema":"{}"}"#,
            42201,
            "Invalid schema of type AVRO, details: No type: {}",
        ),
        ("POST /subjects/s/versions", r#"{"schema":"x","schemaType":"X"}"#, 42201, "Invalid schema type X"),
        ("POST /subjects/s/versions", r#"{"schema":"\"int\"","id":7}"#, 42205, "is not in import mode"),
        (
            "POST /subjects/__GLOBAL/versions",
            r#"{"schema":"\"int\""}"#,
            42208,
            "'__GLOBAL' is not a valid subject",
        ),
        (
            "POST /subjects/s/versions",
            r#"{"schema":"\"int\"","references":[{"name":"n","subject":"no","version":1}]}"#,
            42201,
            "No schema reference found for subject \"no\" and version 1",
        ),
        (
            "POST /subjects/s/versions",
            r#"{"schema":"\"int\"","ruleSet":{"domainRules":[{"name":"a","type":"CEL","mode":"UPGRADE"}]}}"#,
            42210,
            "Domain rules can only be",
        ),
        ("DELETE /contexts/.", "", 42211, "The specified context '.' is not empty."),
    ] {
        let found = registry.refused(request, body, code);
        assert!(found.contains(words), "{request}: {found}");
    }
    registry.expect("DELETE /subjects/s", "", 200, "[1]");
    assert!(registry.refused("DELETE /subjects/s", "", 40404).contains("was soft deleted"));
    assert!(
        registry.refused("DELETE /subjects/s/versions/1", "", 40406).contains("Version 1 was soft deleted")
    );
}

#[test]
fn an_incompatible_schema_is_refused_with_the_reasons() {
    let mut registry = Registry::default();
    registry.register("s", RECORD);
    let body = Json::object([("schema", RECORD_BAD.into())]).to_string();
    let message = registry.refused("POST /subjects/s/versions", &body, 409);
    assert_eq!(
        message,
        format!(
            "Schema being registered is incompatible with an earlier schema for subject \"s\", details: [{{errorType:'TYPE_MISMATCH', description:'The type (path '/fields/0/type') of a field in the new schema does not match with the old schema', additionalInfo:'reader type: INT not compatible with writer type: STRING'}}, {{oldSchemaVersion: 1}}, {{oldSchema: '{RECORD}'}}, {{validateFields: 'false', compatibility: 'BACKWARD'}}]"
        )
    );
    registry.expect(
        "POST /compatibility/subjects/s/versions/latest",
        &body,
        200,
        r#"{"is_compatible":false}"#,
    );
    let (_, verbose) = registry.ask("POST /compatibility/subjects/s/versions?verbose=true", &body);
    let messages = Json::parse(verbose.as_bytes()).unwrap();
    assert_eq!(messages.get("messages").unwrap().elements().len(), 4, "{verbose}");
    registry.expect(
        "POST /compatibility/subjects/none/versions/latest",
        &body,
        200,
        r#"{"is_compatible":true}"#,
    );
    registry.refused("POST /compatibility/subjects/s/versions/9", &body, 40402);
    registry.expect("PUT /config/s", r#"{"compatibility":"none"}"#, 200, r#"{"compatibility":"NONE"}"#);
    registry.register("s", RECORD_BAD);
}

#[test]
fn each_of_the_seven_levels_asks_for_what_it_says() {
    // Version 1 has a field that version 2 lacks; a schema that fits the latest alone shows who looks
    // further.
    let one =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"int"}]}"#;
    let two = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
    let with_default = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"string","default":""}]}"#;
    let with_required =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"c","type":"int"}]}"#;
    let expected = [
        ("NONE", true, true),
        ("BACKWARD", true, false),
        ("BACKWARD_TRANSITIVE", false, false),
        ("FORWARD", true, true),
        ("FORWARD_TRANSITIVE", false, false),
        ("FULL", true, false),
        ("FULL_TRANSITIVE", false, false),
    ];
    for (level, takes_default, takes_required) in expected {
        let mut registry = Registry::default();
        registry.ask("PUT /config", r#"{"compatibility":"NONE"}"#);
        registry.register("s", one);
        registry.register("s", two);
        registry.ask("PUT /config", &format!(r#"{{"compatibility":"{level}"}}"#));
        for (schema, takes) in [(with_default, takes_default), (with_required, takes_required)] {
            let body = Json::object([("schema", schema.into())]).to_string();
            let (_, answer) = registry.ask("POST /compatibility/subjects/s/versions", &body);
            assert_eq!(answer, format!(r#"{{"is_compatible":{takes}}}"#), "{level} {schema}");
        }
    }
}

#[test]
fn references_hold_what_they_refer_to() {
    let mut registry = Registry::default();
    registry.register("user", r#"{"type":"record","name":"User","fields":[]}"#);
    let body = r#"{"schema":"{\"type\":\"array\",\"items\":\"User\"}","references":[{"name":"User","subject":"user","version":1}]}"#;
    let (status, answer) = registry.ask("POST /subjects/users/versions", body);
    assert_eq!(status, 200, "{answer}");
    registry.expect("GET /subjects/user/versions/1/referencedby", "", 200, "[2]");
    let words = registry.refused("DELETE /subjects/user/versions/1", "", 42206);
    assert!(words.contains("subject=user,version=1"), "{words}");
    registry.refused("DELETE /subjects/user", "", 42206);
    // With what it refers to in full it is the same schema.
    let full = r#"{"schema":"{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"User\",\"fields\":[]}}"}"#;
    let (_, same) = registry.ask("POST /subjects/users/versions", full);
    assert!(same.starts_with(r#"{"id":2,"version":1"#), "{same}");
    let (_, resolved) = registry.ask("GET /schemas/ids/2/schema?format=resolved", "");
    assert_eq!(resolved, r#"{"type":"array","items":{"type":"record","name":"User","fields":[]}}"#);
    registry.expect("DELETE /subjects/users", "", 200, "[1]");
    registry.expect("DELETE /subjects/user", "", 200, "[1]");
    registry.refused("DELETE /subjects/user?permanent=true", "", 42206);
    registry.expect("DELETE /subjects/users?permanent=true", "", 200, "[1]");
    registry.expect("DELETE /subjects/user?permanent=true", "", 200, "[1]");
}

#[test]
fn contexts_have_ids_and_settings_of_their_own() {
    let mut registry = Registry::default();
    registry.register("s", RECORD);
    assert_eq!(registry.register(":.eu:s", "\"int\""), 1);
    assert_eq!(registry.register(":.eu:t", RECORD), 2);
    registry.expect("GET /contexts", "", 200, r#"[".",".eu"]"#);
    registry.expect("GET /subjects", "", 200, r#"["s",":.eu:s",":.eu:t"]"#);
    registry.expect("GET /subjects?subjectPrefix=:.eu:", "", 200, r#"[":.eu:s",":.eu:t"]"#);
    registry.expect("GET /subjects?subjectPrefix=:*:s", "", 200, r#"["s",":.eu:s"]"#);
    registry.expect("GET /contexts/.eu/subjects", "", 200, r#"[":.eu:s",":.eu:t"]"#);
    registry.expect("GET /schemas/ids/1/schema?subject=:.eu:", "", 200, "\"int\"");
    registry.expect("GET /contexts/.eu/schemas/ids/1/schema", "", 200, "\"int\"");
    let (_, found) = registry.ask("GET /subjects/t/versions/latest", "");
    assert!(found.contains(r#""subject":":.eu:t""#), "a name is found in another context: {found}");
    registry.ask("PUT /config/:.eu:", r#"{"compatibility":"FULL"}"#);
    registry.expect("GET /config/:.eu:s?defaultToGlobal=true", "", 200, r#"{"compatibilityLevel":"FULL"}"#);
    registry.expect("GET /config/s?defaultToGlobal=true", "", 200, r#"{"compatibilityLevel":"BACKWARD"}"#);
    registry.ask("PUT /config/:.__GLOBAL:", r#"{"compatibility":"NONE"}"#);
    registry.expect("GET /config/s?defaultToGlobal=true", "", 200, r#"{"compatibilityLevel":"NONE"}"#);
    registry.refused("DELETE /contexts/:.eu:", "", 42211);
    for subject in [":.eu:s", ":.eu:t"] {
        registry.ask(&format!("DELETE /subjects/{subject}"), "");
        registry.ask(&format!("DELETE /subjects/{subject}?permanent=true"), "");
    }
    registry.expect("DELETE /contexts/:.eu:", "", 204, "");
    registry.expect("GET /contexts", "", 200, r#"["."]"#);
    assert_eq!(registry.register(":.eu:s", "\"int\""), 3, "ids of a context outlive it");
}

#[test]
fn settings_are_merged_set_and_unset() {
    let mut registry = Registry::default();
    registry.expect("GET /config", "", 200, r#"{"compatibilityLevel":"BACKWARD"}"#);
    let set = r#"{"compatibility":"FULL","normalize":true,"compatibilityGroup":"v","defaultMetadata":{"properties":{"owner":"me"}},"overrideRuleSet":{"domainRules":[{"name":"r","kind":"CONDITION","mode":"WRITE","type":"CEL","disabled":false}]}}"#;
    let answer = r#"{"normalize":true,"compatibility":"FULL","compatibilityGroup":"v","defaultMetadata":{"properties":{"owner":"me"}},"overrideRuleSet":{"domainRules":[{"name":"r","kind":"CONDITION","mode":"WRITE","type":"CEL","disabled":false}]}}"#;
    registry.expect("PUT /config/s", set, 200, answer);
    let (_, stored) = registry.ask(
        "POST /subjects/s/versions",
        r#"{"schema":"{\"type\":\"int\"}","metadata":{"properties":{"v":"1"}}}"#,
    );
    assert!(
        stored.contains(r#""metadata":{"properties":{"owner":"me","v":"1"}},"ruleSet":{"domainRules""#),
        "{stored}"
    );
    // Another group need not get along; the same has to.
    let (status, answer) = registry
        .ask("POST /subjects/s/versions", r#"{"schema":"\"string\"","metadata":{"properties":{"v":"2"}}}"#);
    assert_eq!(status, 200, "{answer}");
    registry.refused(
        "POST /subjects/s/versions",
        r#"{"schema":"\"string\"","metadata":{"properties":{"v":"1"}}}"#,
        409,
    );
    let (_, first) = registry.ask("GET /subjects/s/versions/1", "");
    registry.expect("GET /subjects/s/metadata?key=v&value=1", "", 200, &first);
    registry.expect("PUT /config/s", r#"{"normalize":null}"#, 200, &answer_without_normalize());
    registry.ask("PUT /config/alias", r#"{"alias":"s"}"#);
    let (_, found) = registry.ask("GET /subjects/alias/versions/1", "");
    assert!(found.contains(r#""subject":"s""#), "{found}");
    let (status, _) = registry.ask("DELETE /config/s", "");
    assert_eq!(status, 200);
    registry.refused("GET /config/s", "", 40408);
    registry.refused("DELETE /config/s", "", 40401);
}

fn answer_without_normalize() -> String {
    r#"{"compatibility":"FULL","compatibilityGroup":"v","defaultMetadata":{"properties":{"owner":"me"}},"overrideRuleSet":{"domainRules":[{"name":"r","kind":"CONDITION","mode":"WRITE","type":"CEL","disabled":false}]}}"#.to_owned()
}

#[test]
fn modes_stop_writers_and_let_ids_in() {
    let mut registry = Registry::default();
    registry.register("s", RECORD);
    registry.expect("PUT /mode", r#"{"mode":"READONLY"}"#, 200, r#"{"mode":"READONLY"}"#);
    let words = registry.refused("POST /subjects/s/versions", r#"{"schema":"\"int\""}"#, 42205);
    assert_eq!(words, "Subject s in context  is in read-only mode");
    registry.refused("DELETE /subjects/s", "", 42205);
    registry.expect("PUT /mode/s", r#"{"mode":"READWRITE"}"#, 200, r#"{"mode":"READWRITE"}"#);
    registry.register("s", RECORD_2);
    registry.refused("PUT /mode/s", r#"{"mode":"IMPORT"}"#, 42205);
    registry.expect("PUT /mode/t", r#"{"mode":"IMPORT"}"#, 200, r#"{"mode":"IMPORT"}"#);
    registry.refused("POST /subjects/t/versions", r#"{"schema":"\"int\""}"#, 42205);
    let (_, answer) =
        registry.ask("POST /subjects/t/versions", r#"{"schema":"\"int\"","id":70,"version":7}"#);
    assert!(answer.starts_with(r#"{"id":70,"version":7"#), "{answer}");
    let words =
        registry.refused("POST /subjects/t/versions", r#"{"schema":"\"long\"","id":70,"version":8}"#, 42205);
    assert!(words.starts_with("Overwrite new schema with id 70"), "{words}");
    registry.expect("DELETE /mode/t", "", 200, r#"{"mode":"IMPORT"}"#);
    registry.ask("PUT /mode", r#"{"mode":"READWRITE"}"#);
    assert_eq!(registry.register("u", "\"long\""), 71);
    registry.expect("GET /mode", "", 200, r#"{"mode":"READWRITE"}"#);
    registry.refused("DELETE /mode/none", "", 40401);
}

#[test]
fn json_schema_and_protobuf_are_registered_too() {
    let mut registry = Registry::default();
    let (status, answer) = registry
        .ask("POST /subjects/j/versions", r#"{"schemaType":"JSON","schema":"{ \"type\": \"object\" }"}"#);
    assert!(status == 200 && answer.contains(r#""schema":"{\"type\":\"object\"}""#), "{answer}");
    let (status, answer) = registry.ask(
        "POST /subjects/p/versions",
        r#"{"schemaType":"PROTOBUF","schema":"syntax=\"proto3\"; message A{string a=1;}"}"#,
    );
    assert!(status == 200 && answer.contains(r#"message A {\n  string a = 1;\n}\n"#), "{answer}");
    let words = registry.refused(
        "POST /subjects/p/versions",
        r#"{"schemaType":"PROTOBUF","schema":"syntax=\"proto3\"; message A{int32 a=1;}"}"#,
        409,
    );
    assert!(
        words.contains("FIELD_SCALAR_KIND_CHANGED")
            && words.contains("in the new schema does not match its kind in the old schema"),
        "{words}"
    );
    let words = registry.refused("POST /subjects/p/versions", r#"{"schema":"\"int\""}"#, 409);
    assert!(words.contains("Incompatible because of different schema type"), "{words}");
    let (_, bytes) = registry.ask("GET /schemas/ids/2/schema?format=serialized", "");
    let (_, same) = registry.ask(
        "POST /subjects/p/versions?normalize=true",
        &Json::object([("schemaType", "PROTOBUF".into()), ("schema", bytes.into())]).to_string(),
    );
    assert!(same.starts_with(r#"{"id":2"#), "{same}");
}

/// Requests that meet each other, made from a seed.
fn random_request(random: &mut fastrand::Rng) -> (String, String) {
    let subjects = ["a", "b", ":.eu:a", ":.eu:c"];
    let subject = subjects[random.usize(0..subjects.len())];
    let schemas = ["\"int\"", "\"string\"", "\"long\"", RECORD, RECORD_2, RECORD_BAD, "[\"null\",\"int\"]"];
    let schema = schemas[random.usize(0..schemas.len())];
    let version = ["1", "2", "3", "latest"][random.usize(0..4)];
    let permanent = if random.bool() { "?permanent=true" } else { "" };
    let mut body = vec![("schema".to_owned(), Json::from(schema))];
    if random.u8(0..4) == 0 {
        let reference =
            Json::object([("name", "R".into()), ("subject", "b".into()), ("version", (-1).into())]);
        body = vec![("schema".to_owned(), "\"R\"".into()), ("references".to_owned(), vec![reference].into())];
    }
    if random.u8(0..6) == 0 {
        Json::push(&mut body, "id", random.i32(1..20));
        Json::push(&mut body, "version", random.i32(1..6));
    }
    let body = Json::Object(body).to_string();
    match random.u8(0..14) {
        0..=6 => (format!("POST /subjects/{subject}/versions"), body),
        7 => (format!("DELETE /subjects/{subject}{permanent}"), String::new()),
        8 | 9 => (format!("DELETE /subjects/{subject}/versions/{version}{permanent}"), String::new()),
        10 => {
            let level = ["NONE", "BACKWARD", "FULL"][random.usize(0..3)];
            (format!("PUT /config/{subject}"), format!(r#"{{"compatibility":"{level}"}}"#))
        }
        11 => {
            let mode = ["READWRITE", "READWRITE", "IMPORT", "READONLY"][random.usize(0..4)];
            let force = if random.bool() { "?force=true" } else { "" };
            (format!("PUT /mode/{subject}{force}"), format!(r#"{{"mode":"{mode}"}}"#))
        }
        12 => (format!("DELETE /mode/{subject}"), String::new()),
        _ => ("DELETE /contexts/:.eu:".to_owned(), String::new()),
    }
}

/// What compaction leaves: of each key the last record, where it stands; tombstones last for a while or not.
fn compacted(
    records: &[(Vec<u8>, Option<Vec<u8>>)],
    keeps_tombstones: bool,
) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let last: BTreeMap<&[u8], usize> =
        records.iter().enumerate().map(|(at, (key, _))| (key.as_slice(), at)).collect();
    let kept: BTreeSet<usize> = last.into_values().collect();
    let kept = kept.into_iter().map(|at| records[at].clone());
    kept.filter(|(_, value)| keeps_tombstones || value.is_some()).collect()
}

#[test]
fn ids_are_given_once_and_every_replay_gives_the_state() {
    let mut said_in_full = 0;
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut registry = Registry::default();
        // Of each context, what every id has ever stood for.
        let mut given: BTreeMap<(String, i64), String> = BTreeMap::new();
        let mut changes = 0;
        for step in 0..150 {
            let (request, body) = random_request(&mut random);
            let before = registry.records.len();
            let imports = body.contains("\"id\"");
            let (status, answer) = registry.ask(&request, &body);
            assert!(status < 500, "{request} {body}: {answer}");
            changes += usize::from(registry.records.len() > before);
            if status == 200 && request.ends_with("/versions") && request.starts_with("POST") {
                let answer = Json::parse(answer.as_bytes()).unwrap();
                let id = answer.get("id").and_then(Json::as_i64).unwrap();
                let answered = answer.get("schema").and_then(Json::as_str).unwrap().to_owned();
                let context = if request.contains(":.eu:") { ".eu" } else { "." };
                // What was sent is said again, as Confluent's registry does; the id may be of a schema with a
                // reference, which in full is what was sent.
                let text = registry.text_of(context, id, "");
                if answered != text {
                    assert_eq!(
                        registry.text_of(context, id, "resolved"),
                        answered,
                        "seed {seed} step {step}"
                    );
                    said_in_full += 1;
                }
                let known = given.entry((context.to_owned(), id)).or_insert_with(|| text.clone());
                // Who imports says the ids, and may say one again that is free.
                assert!(imports || *known == text, "seed {seed} step {step}: id {id} was {known}, is {text}");
                *known = text;
            }
            assert_eq!(replayed(&registry.records), registry.state, "seed {seed} step {step}: {request}");
            // A restart, of which the topic was compacted before, goes on like the registry itself.
            let keeps_tombstones = random.bool();
            if random.u8(0..20) == 0 {
                registry.records = compacted(&registry.records, keeps_tombstones);
                registry.state = replayed(&registry.records);
            }
            let small = replayed(&compacted(&registry.records, keeps_tombstones));
            let ids = |state: &State| [".", ".eu"].map(|context| state.id_max(context));
            assert_eq!(ids(&small), ids(&registry.state), "seed {seed} step {step}: {request}");
            assert_eq!(
                small
                    .subjects()
                    .map(|(name, versions)| (name.to_owned(), versions.clone()))
                    .collect::<Vec<_>>(),
                registry
                    .state
                    .subjects()
                    .map(|(name, versions)| (name.to_owned(), versions.clone()))
                    .collect::<Vec<_>>(),
                "seed {seed} step {step}: {request}"
            );
        }
        assert!(changes > 20, "{changes} changes");
    }
    assert!(said_in_full > 0, "no seed sends in full what is stored with a reference");
}

#[test]
fn a_record_that_contradicts_is_left_aside() {
    let mut registry = Registry::default();
    registry.register("s", RECORD);
    let other = r#"{"subject":"t","version":1,"id":1,"schema":"\"int\"","deleted":false}"#;
    let key = Key::Schema { subject: "t".to_owned(), version: 1 }.to_bytes();
    registry.append(&Record::parse(&key, Some(other.as_bytes())).unwrap());
    assert_eq!(registry.state.contradicting(), 1);
    registry.expect("GET /subjects", "", 200, r#"["s"]"#);
}
