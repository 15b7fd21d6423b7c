//! The third version of the REST API, as far as it has a use on one node: clusters, topics, their partitions
//! and settings, groups with their lag, permissions, records one after the other and in batches.
//!
//! It is answered below `/v3` and below `/kafka/v3`, as Confluent's two products have it.

mod acls;
mod groups;
mod part;
mod records;
mod topics;

#[cfg(any(test, feature = "testing"))]
pub(in crate::fronts::http) use self::records::check_stream;

use serde_json::{Map, Value, json};

use super::call::{Call, Face, PROBLEM};
use part::object;

/// Where it is.
const PREFIXES: [&str; 2] = ["/v3", "/kafka/v3"];

/// The face.
pub(super) fn face() -> Face {
    let of = |prefix: &'static str| -> Vec<Call> {
        let cluster = format!("{prefix}/clusters/{{cluster_id}}");
        let clusters = format!("{prefix}/clusters");
        let faces = [
            topics::calls(&clusters, &cluster),
            groups::calls(&cluster),
            acls::calls(&cluster),
            records::calls(&cluster),
        ];
        faces.into_iter().flatten().collect()
    };
    let mut schemas = Map::new();
    for more in [topics::schemas(), groups::schemas(), acls::schemas(), records::schemas()] {
        if let Value::Object(more) = more {
            schemas.extend(more);
        }
    }
    let metadata = json!({"self": {"type": "string"}});
    schemas.insert("Metadata".to_owned(), object(metadata, &["self"]));
    schemas.insert("Related".to_owned(), object(json!({"related": {"type": "string"}}), &["related"]));
    Face {
        name: "v3",
        calls: PREFIXES.into_iter().flat_map(of).collect(),
        schemas: schemas.into(),
        problem: PROBLEM,
    }
}
