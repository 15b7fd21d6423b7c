//! What must hold whatever bytes a stranger sends, for fuzzers and for `cargo test`: no panic, texts that
//! stay as they are once they are canonical, a state that its records give again.

use std::collections::BTreeMap;

use crate::api::{Answer, Body, Method, Outcome, Request, Route};
use crate::definition::SchemaType;
use crate::json::Json;
use crate::limits::{Budget, Referred};
use crate::parsed::Parsed;
use crate::records::Record;
use crate::registry;
use crate::state::State;
use crate::values::{self, Values};

/// Requests of one run.
const REQUESTS_MAX: usize = 50;

/// Bytes of JSON that a value is read as.
const DECODED_BYTES_MAX: usize = 1 << 16;

/// Lines, each a method's letter, a path with a query, a tab and a body: requests one after the other.
pub fn requests(bytes: &[u8]) {
    let (mut state, mut log) = (State::default(), Vec::new());
    // Of each context and id, the text; who imports may give an id again that is free.
    let mut texts: BTreeMap<(String, i64), String> = BTreeMap::new();
    let mut imports = false;
    for line in bytes.split(|byte| *byte == b'\n').take(REQUESTS_MAX) {
        let Some((method, line)) = line.split_first() else { continue };
        let method = match method {
            b'G' => Method::Get,
            b'P' => Method::Post,
            b'U' => Method::Put,
            _ => Method::Delete,
        };
        let tab = line.iter().position(|byte| *byte == b'\t').unwrap_or(line.len());
        let target = String::from_utf8_lossy(&line[..tab]);
        let body = line.get(tab + 1..).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let Ok(request) = Request::parse(method, path, query) else { continue };
        imports |= matches!(request.route, Route::SetMode(_));
        let answer = match registry::answer(&state, &request, body) {
            Outcome::Answer(answer) => answer,
            Outcome::Change { records, answer } => {
                assert!(request.access().is_write, "{request:?} writes");
                for record in &records {
                    state.apply(record, 7);
                    log.push((record.key().to_bytes(), record.value()));
                }
                answer
            }
        };
        check(&answer);
        if let (Route::Register(subject), Body::Json(json), 200) =
            (&request.route, &answer.body, answer.status)
        {
            let id = json.get("id").and_then(Json::as_i64).expect("it has an id");
            let text = json.get("schema").and_then(Json::as_str).unwrap_or_default().to_owned();
            let context = crate::subject::Subject::parse(subject).context;
            let is_plain = !imports && request.value("format").is_none();
            let known = texts.entry((context, id)).or_insert_with(|| text.clone());
            assert!(!is_plain || *known == text, "id {id} was {known}, is {text}");
            *known = text;
        }
    }
    let mut again = State::default();
    for (key, value) in &log {
        again.apply(&Record::parse(key, value.as_deref()).expect("a record of ours"), 7);
    }
    assert_eq!(again, state, "what was written says the same");
}

fn check(answer: &Answer) {
    assert!((200..600).contains(&answer.status), "{}", answer.status);
    if let (Body::Json(json), true) = (&answer.body, answer.status >= 400) {
        let code = json.get("error_code").and_then(Json::as_i64).expect("a code");
        assert!(code == i64::from(answer.status) || code / 100 == i64::from(answer.status), "{code}");
        assert!(json.get("message").is_some(), "and words");
    }
}

/// A key and a value of the topic, with a zero between them.
pub fn records(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let value = bytes.get(at + 1..);
    let Ok(record) = Record::parse(&bytes[..at], value) else { return };
    let mut state = State::default();
    state.apply(&record, 7);
    let (key, value) = (record.key().to_bytes(), record.value());
    let again = Record::parse(&key, value.as_deref()).expect("a record of ours");
    assert_eq!((again.key().to_bytes(), again.value()), (key, value), "what is written stays as it is");
    let mut replayed = State::default();
    replayed.apply(&again, 7);
    assert_eq!(replayed, state);
}

/// A type, and texts with zeros between them: the schema, and names and texts that it refers to.
pub fn texts(bytes: &[u8]) {
    let Some((kind, text, referred)) = taken_apart(bytes) else { return };
    let Ok(parsed) = Parsed::parse(kind, &text, &referred, true) else { return };
    for form in [Parsed::canonical, Parsed::normalized] {
        let written = form(&parsed);
        let again = Parsed::parse(kind, &written, &referred, false);
        let again = again.unwrap_or_else(|error| panic!("{written:?} is not read again: {error}"));
        assert_eq!(form(&again), written, "a text stays as it is");
        let mut budget = Budget::new();
        for found in [again.cannot_read(&parsed, &mut budget), parsed.cannot_read(&again, &mut budget)] {
            // Past its budget there is no answer.
            assert!(found.as_ref().is_ok_and(Vec::is_empty) || found.is_err(), "{found:?} of itself");
        }
    }
    for format in ["resolved", "serialized"] {
        let _ = parsed.formatted(format);
    }
}

/// A type, and two texts with a zero between them.
pub fn pairs(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let kind = SchemaType::ALL[usize::from(*kind) % SchemaType::ALL.len()];
    let at = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let text = |bytes: &[u8]| Parsed::parse(kind, &String::from_utf8_lossy(bytes), &[], false);
    let (Ok(one), Ok(other)) = (text(&rest[..at]), text(rest.get(at + 1..).unwrap_or_default())) else {
        return;
    };
    let found = one.cannot_read(&other, &mut Budget::new());
    if let Ok(reasons) = found {
        assert!(reasons.iter().all(|reason| reason.contains("errorType")), "{reasons:?}");
    }
}

/// A type, and a text and a value with a zero between them. The value is read as one, and as its JSON.
pub fn of_schemas(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let kind = SchemaType::ALL[usize::from(*kind) % SchemaType::ALL.len()];
    let at = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let Ok(parsed) = Parsed::parse(kind, &String::from_utf8_lossy(&rest[..at]), &[], false) else { return };
    let Ok(values) = Values::new(parsed, 0) else { return };
    let value = rest.get(at + 1..).unwrap_or_default();
    let encoded = |json: &[u8]| values.encode(7, json, &mut Budget::for_values());
    let mut json = Vec::new();
    let read = values.decode(value, &mut json, DECODED_BYTES_MAX);
    let written = [read.is_ok().then(|| encoded(&json)), Some(encoded(value))];
    for bytes in written.into_iter().flatten().flatten() {
        let (id, rest) = values::taken_apart(&bytes).expect("a value of ours");
        let mut json = Vec::new();
        if id == 7 && values.decode(rest, &mut json, DECODED_BYTES_MAX).is_ok() {
            let mut again = Vec::new();
            // What nests deeper than a JSON may is written and not read.
            let Ok(bytes) = encoded(&json) else { continue };
            let (_, rest) = values::taken_apart(&bytes).expect("a value of ours");
            let read = values.decode(rest, &mut again, DECODED_BYTES_MAX);
            let [json, again] = [json, again].map(|json| Json::parse(&json).expect("JSON of ours"));
            assert!(read.is_ok() && again.means(&json), "{json} is read as {again}");
        }
    }
}

fn taken_apart(bytes: &[u8]) -> Option<(SchemaType, String, Vec<Referred>)> {
    let (kind, rest) = bytes.split_first()?;
    let mut texts = rest.split(|byte| *byte == 0).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let text = texts.next()?;
    let mut referred = Vec::new();
    while let (Some(name), Some(text)) = (texts.next(), texts.next()) {
        referred.push(Referred { name, text });
    }
    Some((SchemaType::ALL[usize::from(*kind) % SchemaType::ALL.len()], text, referred))
}
