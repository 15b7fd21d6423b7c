//! What the answers of the third version have in common: kinds, links, lists, and the cluster in their paths.

use axum::body::Bytes;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fronts::http::ask::{Asker, Whole};
use crate::fronts::http::faces::call::schema;
use crate::fronts::http::media::JSON;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::records;

/// The id of the cluster, as Kafka's clients have it.
///
/// # Errors
/// 503 while the broker recovers.
pub(super) fn cluster_id(asker: &Asker) -> Result<String, Problem> {
    use base64::Engine as _;
    let id = asker.engine()?.meta().cluster_id;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id))
}

/// The id, when the path names this cluster.
///
/// # Errors
/// 404.
pub(super) fn of_this(asker: &Asker, named: &str) -> Result<String, Problem> {
    let id = cluster_id(asker)?;
    if id == named {
        return Ok(id);
    }
    Err(Problem::new(StatusCode::NOT_FOUND, None, format!("cluster {named} cannot be found, this is {id}")))
}

/// A schema of an object.
pub(super) fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

/// A schema of one thing of a kind.
pub(super) fn one(mut properties: Value, required: &[&str]) -> Value {
    properties["kind"] = json!({"type": "string"});
    properties["metadata"] = schema("Metadata");
    object(properties, &[&["kind", "metadata"], required].concat())
}

/// A schema of a list of such.
pub(super) fn many(name: &str) -> Value {
    let data = json!({"type": "array", "items": schema(name)});
    one(json!({"data": data}), &["data"])
}

/// A link.
pub(super) fn related(path: String) -> Value {
    json!({"related": path})
}

/// One thing of a kind, with what it has.
pub(super) fn thing(kind: &str, at: String, mut has: Value) -> Value {
    has["kind"] = kind.into();
    has["metadata"] = json!({"self": at, "resource_name": null});
    has
}

/// A list of such.
pub(super) fn list(kind: &str, uri: &Uri, data: Vec<Value>) -> Response {
    let metadata = json!({"self": uri.path(), "next": null});
    answer(StatusCode::OK, &json!({"kind": kind, "metadata": metadata, "data": data}))
}

/// An answer.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], Bytes::from(records::json(body))).into_response()
}

/// A body of JSON.
///
/// # Errors
/// 42201 with the place that is wrong.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a Whole) -> Result<T, Problem> {
    serde_json::from_slice(&body.bytes).map_err(|why| Problem::invalid(1, why.to_string()))
}
