//! Media types: of bodies that come, and of answers that are asked for.
//!
//! ```text
//! application/vnd.kafka.v2+json            what is not records
//! application/vnd.kafka.FORM.v2+json       records: binary, json, text; by schemas: avro, jsonschema, protobuf
//! application/json, none, */*              whatever an answer has
//! ```

use axum::http::{HeaderMap, StatusCode, header};

use super::problem::Problem;
use super::records::Form;

/// What is not records.
pub(super) const V2: &str = "application/vnd.kafka.v2+json";

/// JSON that says no more of itself.
pub(super) const JSON: &str = "application/json";

/// Records, in the order of [`Form`].
pub(super) const V2_RECORDS: [&str; 6] = [
    "application/vnd.kafka.binary.v2+json",
    "application/vnd.kafka.json.v2+json",
    "application/vnd.kafka.text.v2+json",
    "application/vnd.kafka.avro.v2+json",
    "application/vnd.kafka.jsonschema.v2+json",
    "application/vnd.kafka.protobuf.v2+json",
];

/// What an answer is asked to be, where anything is said.
pub(super) fn accepted(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ACCEPT)?.to_str().ok()
}

/// The form of records that is asked for first.
pub(super) fn form_of_v2(accept: &str) -> Option<Form> {
    let asked = accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
    asked.into_iter().find_map(|media| {
        let at = V2_RECORDS.iter().position(|known| known.eq_ignore_ascii_case(media))?;
        Some(Form::ALL[at])
    })
}

/// What is not records is answered as: what is asked for, of what it may be called.
pub(super) fn of_answer(headers: &HeaderMap) -> &'static str {
    match accepted(headers) {
        Some(accept) if accept.contains(V2) => V2,
        _ => JSON,
    }
}

/// The type of a body.
fn given(headers: &HeaderMap) -> &str {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok());
    given.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// The form of the records of a body.
///
/// # Errors
/// 415 for any other body.
pub(super) fn form_of_body(headers: &HeaderMap) -> Result<Form, Problem> {
    let given = given(headers);
    if let Some(form) = form_of_v2(given) {
        return Ok(form);
    }
    let words = format!("the body is {given:?}, and records are one of: {}", V2_RECORDS.join(", "));
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, words))
}

/// Holds the type of a body against JSON.
///
/// # Errors
/// 415.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    match given(headers) {
        "" => Ok(()),
        given if given.ends_with("json") => Ok(()),
        given => {
            let words = format!("the body is {given:?}, and {V2} or {JSON} is expected");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, words))
        }
    }
}
