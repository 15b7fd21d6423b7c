//! Permissions: listed, created, deleted.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use strandline_protocol::messages::{AclCreation, DeleteAclsFilter};

use super::part::{answer, list, many, object, of_this, one, read, thing};
use crate::fronts::http::acls::{self, ANY, OPERATIONS, PATTERNS, PERMISSIONS, TYPES, number, word};
use crate::fronts::http::ask::{Asker, InPath, Queried, Whole};
use crate::fronts::http::faces::call::{Call, schema};
use crate::fronts::http::media::JSON;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::produce::at_most;

/// Rules of a body.
const RULES_MAX: usize = 1000;

pub(super) fn calls(cluster: &str) -> Vec<Call> {
    let types = [JSON];
    let filtered = |call: Call| {
        let word = |words: &[&str]| json!({"type": "string", "enum": words[1..]});
        call.query("resource_type", word(&TYPES), "The type of resources; default ANY")
            .query("resource_name", json!({"type": "string"}), "Their name; default any")
            .query("pattern_type", word(&PATTERNS), "How their name is meant; default ANY")
            .query("principal", json!({"type": "string"}), "Whom it is for; default anybody")
            .query("host", json!({"type": "string"}), "Where that is; default anywhere")
            .query("operation", word(&OPERATIONS), "What is allowed or not; default ANY")
            .query("permission", word(&PERMISSIONS), "Which of both; default ANY")
    };
    let acls = format!("{cluster}/acls");
    vec![
        filtered(Call::get(&acls, "The permissions that a filter means", acls_of)).gives(
            200,
            "Permissions",
            &types,
            many("KafkaAcl"),
        ),
        Call::post(&acls, "Creates a permission", create)
            .takes(&types, schema("CreateAcl"))
            .gives_nothing(201, "It is there"),
        filtered(Call::delete(&acls, "Deletes the permissions that a filter means", delete)).gives(
            200,
            "What was deleted",
            &types,
            object(json!({"data": {"type": "array", "items": schema("KafkaAcl")}}), &["data"]),
        ),
        Call::post(format!("{cluster}/acls:batch"), "Creates permissions", create_all)
            .takes(&types, schema("CreateAcls"))
            .gives_nothing(201, "They are there"),
    ]
}

pub(super) fn schemas() -> Value {
    let word = |words: &[&str]| json!({"type": "string", "enum": words});
    let has = || {
        json!({
            "resource_type": word(&TYPES), "resource_name": {"type": "string"}, "pattern_type": word(&PATTERNS),
            "principal": {"type": "string"}, "host": {"type": "string"}, "operation": word(&OPERATIONS),
            "permission": word(&PERMISSIONS),
        })
    };
    let mut of_cluster = has();
    of_cluster["cluster_id"] = json!({"type": "string"});
    let needed = ["resource_type", "pattern_type", "principal", "host", "operation", "permission"];
    let rules = json!({"type": "array", "minItems": 1, "maxItems": RULES_MAX, "items": schema("CreateAcl")});
    json!({
        "KafkaAcl": one(of_cluster, &needed),
        "CreateAcl": object(has(), &needed),
        "CreateAcls": object(json!({"data": rules}), &["data"]),
    })
}

fn told(cluster: &str, acl: &AclCreation) -> Value {
    let has = json!({
        "cluster_id": cluster,
        "resource_type": word(&TYPES, acl.resource_type),
        "resource_name": acl.resource_name,
        "pattern_type": word(&PATTERNS, acl.resource_pattern_type),
        "principal": acl.principal,
        "host": acl.host,
        "operation": word(&OPERATIONS, acl.operation),
        "permission": word(&PERMISSIONS, acl.permission_type),
    });
    thing("KafkaAcl", format!("/v3/clusters/{cluster}/acls"), has)
}

#[derive(Deserialize)]
struct Asked {
    resource_type: Option<String>,
    resource_name: Option<String>,
    pattern_type: Option<String>,
    principal: Option<String>,
    host: Option<String>,
    operation: Option<String>,
    permission: Option<String>,
}

impl Asked {
    fn filter(self) -> Result<DeleteAclsFilter, Problem> {
        let of = |words: &[&str], what: &str, asked: &Option<String>| {
            asked.as_deref().map_or(Ok(ANY), |word| number(words, what, word))
        };
        let is_given = |text: &String| !text.is_empty();
        Ok(DeleteAclsFilter {
            resource_type_filter: of(&TYPES, "resource_type", &self.resource_type)?,
            pattern_type_filter: of(&PATTERNS, "pattern_type", &self.pattern_type)?,
            operation: of(&OPERATIONS, "operation", &self.operation)?,
            permission_type: of(&PERMISSIONS, "permission", &self.permission)?,
            resource_name_filter: self.resource_name.filter(is_given),
            principal_filter: self.principal.filter(is_given),
            host_filter: self.host.filter(is_given),
        })
    }
}

async fn acls_of(
    asker: Asker,
    InPath(named): InPath<String>,
    Queried(asked): Queried<Asked>,
    uri: Uri,
) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let found = acls::meant_by(&asker, asked.filter()?).await?;
    let data = found.iter().map(|acl| told(&id, acl)).collect();
    Ok(list("KafkaAclList", &uri, data))
}

async fn delete(
    asker: Asker,
    InPath(named): InPath<String>,
    Queried(asked): Queried<Asked>,
) -> Result<Response, Problem> {
    let id = of_this(&asker, &named)?;
    let deleted = acls::delete(&asker, asked.filter()?).await?;
    let data: Vec<Value> = deleted.iter().map(|acl| told(&id, acl)).collect();
    Ok(answer(StatusCode::OK, &json!({"data": data})))
}

#[derive(Deserialize)]
struct Written {
    resource_type: String,
    #[serde(default)]
    resource_name: Option<String>,
    pattern_type: String,
    principal: String,
    host: String,
    operation: String,
    permission: String,
}

impl Written {
    fn creation(&self) -> Result<AclCreation, Problem> {
        let written = acls::Written {
            resource_type: &self.resource_type,
            resource_name: self.resource_name.as_deref(),
            pattern_type: &self.pattern_type,
            principal: &self.principal,
            host: &self.host,
            operation: &self.operation,
            permission: &self.permission,
        };
        written.creation()
    }
}

#[derive(Deserialize)]
struct All {
    #[serde(deserialize_with = "rules")]
    data: Vec<Written>,
}

fn rules<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Written>, D::Error> {
    at_most(from, RULES_MAX)
}

async fn create(asker: Asker, InPath(named): InPath<String>, body: Whole) -> Result<StatusCode, Problem> {
    of_this(&asker, &named)?;
    add(&asker, vec![read(&body)?]).await
}

async fn create_all(asker: Asker, InPath(named): InPath<String>, body: Whole) -> Result<StatusCode, Problem> {
    of_this(&asker, &named)?;
    let All { data } = read(&body)?;
    add(&asker, data).await
}

async fn add(asker: &Asker, written: Vec<Written>) -> Result<StatusCode, Problem> {
    let creations = written.iter().map(Written::creation).collect::<Result<Vec<_>, _>>()?;
    acls::create(asker, creations).await?;
    Ok(StatusCode::CREATED)
}
