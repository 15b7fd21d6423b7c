//! The second version of the REST API, as scripts use it: the union of what Confluent's REST Proxy and
//! Strimzi's bridge have.

mod consumers;
mod topics;

use serde_json::Value;

use super::call::{Face, PROBLEM};

/// The face.
pub(super) fn face() -> Face {
    let mut calls = topics::calls();
    calls.extend(consumers::calls());
    let mut schemas = topics::schemas();
    if let (Value::Object(all), Value::Object(more)) = (&mut schemas, consumers::schemas()) {
        all.extend(more);
    }
    Face { name: "v2", calls, schemas, problem: PROBLEM }
}
