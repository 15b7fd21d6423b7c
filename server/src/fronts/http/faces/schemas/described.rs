//! The calls of the registry as `/openapi.json` has them. The router does not know them one by one, since
//! clients expect 404 of what is none; a test holds that each is a request of `strandline-schemas`.

use serde_json::{Value, json};

use super::{MEDIA, answer};
use crate::fronts::http::faces::call::{Call, Face, schema};
use crate::fronts::http::media::JSON;

/// The types of what is sent and answered.
const TYPES: [&str; 2] = [MEDIA, JSON];

pub(super) fn face() -> Face {
    let calls = [schemas(), subjects(), settings(), rest()].into_iter().flatten().collect();
    Face { name: "schema registry", calls, schemas: shapes(), problem: "RegistryProblem" }
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "integer", "format": "int32"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn get(path: &str, summary: &'static str) -> Call {
    Call::get(path, summary, answer)
}

/// One whose answer is a part of a list.
fn listing(path: &str, summary: &'static str, of: Value) -> Call {
    get(path, summary)
        .query("offset", number(), "Elements that are passed over")
        .query("limit", number(), "The most elements of the answer")
        .query("deleted", flag(), "Also what is deleted, and can come back")
        .gives(200, "The list", &TYPES, list(of))
}

/// The text alone has no other type than any answer.
fn bare(call: Call) -> Call {
    call.gives(200, "The text", &TYPES, json!({}))
}

fn schemas() -> Vec<Call> {
    let by_id = "/schemas/ids/{schema_id}";
    let subject = "Looked for in the context of this subject";
    vec![
        get("/schemas/types", "The types of schemas").gives(200, "Types", &TYPES, list(text())),
        listing("/schemas", "All schemas", schema("SchemaVersion"))
            .query("subjectPrefix", text(), "What their subjects begin with")
            .query("latestOnly", flag(), "The latest version of each subject alone"),
        get(by_id, "The schema with an id")
            .query("subject", text(), subject)
            .query("fetchMaxId", flag(), "With the highest id of the context")
            .gives(200, "The schema", &TYPES, schema("Schema")),
        bare(get(&format!("{by_id}/schema"), "The text of the schema with an id").query(
            "subject",
            text(),
            subject,
        )),
        listing(&format!("{by_id}/subjects"), "The subjects that have an id", text()),
        listing(&format!("{by_id}/versions"), "The versions that have an id", schema("Version")),
        get("/schemas/guids/{guid}", "The schema with a GUID").gives(
            200,
            "The schema",
            &TYPES,
            schema("Schema"),
        ),
        get("/schemas/guids/{guid}/ids", "The ids of a schema, by context").gives(
            200,
            "Ids",
            &TYPES,
            list(schema("IdInContext")),
        ),
    ]
}

fn subjects() -> Vec<Call> {
    let (one, versions) = ("/subjects/{subject}", "/subjects/{subject}/versions");
    let version = "/subjects/{subject}/versions/{version}";
    let permanent = "For good; what is deleted only once can come back";
    let normalize = "Differences that mean nothing do not count";
    let found = |call: Call| call.gives(200, "The version", &TYPES, schema("SchemaVersion"));
    vec![
        listing("/subjects", "All subjects", text()).query("subjectPrefix", text(), "What they begin with"),
        found(
            Call::post(one, "Which version of a subject a schema is", answer)
                .takes(&TYPES, schema("NewSchema"))
                .query("normalize", flag(), normalize),
        ),
        Call::delete(one, "Deletes a subject", answer).query("permanent", flag(), permanent).gives(
            200,
            "The versions that were deleted",
            &TYPES,
            list(number()),
        ),
        found(get(&format!("{one}/metadata"), "The latest version with properties of its metadata")),
        listing(versions, "The versions of a subject", number()),
        Call::post(versions, "Registers a schema", answer)
            .takes(&TYPES, schema("NewSchema"))
            .query("normalize", flag(), normalize)
            .gives(200, "What it became", &TYPES, schema("Registered")),
        found(get(version, "A version of a subject, or `latest`").query(
            "deleted",
            flag(),
            "Also one that is deleted",
        )),
        Call::delete(version, "Deletes a version of a subject", answer)
            .query("permanent", flag(), permanent)
            .gives(200, "Its number", &TYPES, number()),
        bare(get(&format!("{version}/schema"), "The text of a version")),
        get(&format!("{version}/referencedby"), "The ids of the schemas that refer to a version").gives(
            200,
            "Ids",
            &TYPES,
            list(number()),
        ),
    ]
}

/// What is set, for all subjects and for one.
fn settings() -> Vec<Call> {
    let calls = |path: &str, [told, set, unset]: [&'static str; 3], sent: &str, found: &str| {
        let global = "What holds for it, where nothing is set for it alone";
        let is = |call: Call, name: &str| call.gives(200, "What is set", &TYPES, schema(name));
        [
            is(get(path, told).query("defaultToGlobal", flag(), global), found),
            is(Call::put(path, set, answer).takes(&TYPES, schema(sent)), sent),
            is(Call::delete(path, unset, answer), found),
        ]
    };
    let config = ["What new versions have to get along with", "Sets it", "Unsets it"];
    let mode = ["What may be done", "Sets it", "Unsets it"];
    [
        calls("/config", config, "NewRegistryConfig", "RegistryConfig"),
        calls("/config/{subject}", config, "NewRegistryConfig", "RegistryConfig"),
        calls("/mode", mode, "RegistryMode", "RegistryMode"),
        calls("/mode/{subject}", mode, "RegistryMode", "RegistryMode"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn rest() -> Vec<Call> {
    let test = |path: &str, summary: &'static str| {
        Call::post(path, summary, answer)
            .takes(&TYPES, schema("NewSchema"))
            .query("verbose", flag(), "With the reasons")
            .query("normalize", flag(), "Differences that mean nothing do not count")
            .gives(200, "Whether it does", &TYPES, schema("Compatibility"))
    };
    let subject = "/compatibility/subjects/{subject}/versions";
    vec![
        test(subject, "Whether a schema gets along with the versions that count"),
        test(&format!("{subject}/{{version}}"), "Whether a schema gets along with a version"),
        get("/contexts", "The contexts").gives(200, "Contexts", &TYPES, list(text())),
        Call::delete("/contexts/{context}", "Deletes an empty context", answer)
            .gives_nothing(204, "It is deleted"),
        get("/v1/metadata/id", "What clients know the registry by").gives(
            200,
            "It",
            &TYPES,
            json!({"type": "object"}),
        ),
        get("/v1/metadata/version", "The version of the program").gives(
            200,
            "It",
            &TYPES,
            json!({"type": "object"}),
        ),
    ]
}

fn shapes() -> Value {
    let object = |properties: Value, required: &[&str]| {
        let mut object = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            object["required"] = required.into();
        }
        object
    };
    let of_type = || json!({"type": "string", "enum": ["AVRO", "JSON", "PROTOBUF"]});
    let references = || list(schema("SchemaReference"));
    let level = json!({
        "type": "string",
        "enum": ["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"],
    });
    let about = |more: Value, required: &[&str]| {
        let mut properties = json!({
            "guid": text(), "schemaType": of_type(), "schema": text(), "references": references(),
            "metadata": {"type": "object"}, "ruleSet": {"type": "object"},
        });
        if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
            all.extend(more);
        }
        object(properties, &[&["guid", "schemaType", "schema"], required].concat())
    };
    let mode = json!({
        "type": "string", "enum": ["READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT", "FORWARD"],
    });
    let when = || json!({"ts": {"type": "integer", "format": "int64"}, "deleted": flag()});
    let with = |mut properties: Value, more: Value| {
        if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
            all.extend(more);
        }
        properties
    };
    json!({
        "NewSchema": object(
            json!({"schema": text(), "schemaType": of_type(), "references": references()}),
            &["schema"],
        ),
        "SchemaReference": object(
            json!({"name": text(), "subject": text(), "version": number()}),
            &["name", "subject", "version"],
        ),
        "Schema": about(with(when(), json!({"subject": text(), "version": number(), "maxId": number()})), &[]),
        "SchemaVersion": about(
            with(when(), json!({"subject": text(), "version": number(), "id": number()})),
            &["subject", "version", "id"],
        ),
        "Registered": about(json!({"version": number(), "id": number()}), &["version", "id"]),
        "Version": object(json!({"subject": text(), "version": number()}), &["subject", "version"]),
        "IdInContext": object(json!({"context": text(), "id": number()}), &["context", "id"]),
        "Compatibility": object(json!({"is_compatible": flag(), "messages": list(text())}), &["is_compatible"]),
        "RegistryConfig": object(json!({"compatibilityLevel": level}), &[]),
        "NewRegistryConfig": object(json!({"compatibility": level}), &[]),
        "RegistryMode": object(json!({"mode": mode}), &[]),
    })
}

#[cfg(test)]
mod tests {
    use strandline_schemas::api::{Method, Request};

    use super::*;

    #[test]
    fn each_call_that_is_told_is_a_request_of_the_registry() {
        let face = face();
        let mut document = json!({});
        crate::fronts::http::faces::call::describe(&face, &mut document);
        let mut count = 0;
        for (path, calls) in document["paths"].as_object().unwrap() {
            for method in calls.as_object().unwrap().keys() {
                let method = match method.as_str() {
                    "get" => Method::Get,
                    "post" => Method::Post,
                    "put" => Method::Put,
                    _ => Method::Delete,
                };
                let filled = path.replace("{schema_id}", "7");
                assert!(Request::parse(method, &filled, "").is_ok(), "{path}");
                count += 1;
            }
        }
        assert!(count > 35, "{count}");
    }
}
