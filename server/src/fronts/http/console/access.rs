//! Users and permissions: who there is, and who may do what.

use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use strandline_protocol::messages::{AclCreation, DeleteAclsFilter, DescribeUserScramCredentialsRequest};

use super::change::Change;
use super::format::{cut, whole};
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::page::{Part, page, table};
use super::viewer::Viewer;
use crate::fronts::http::acls::{self, ANY, OPERATIONS, PATTERNS, PERMISSIONS, TYPES, word};
use crate::fronts::http::admin::check_with;
use crate::fronts::http::ask::Queried;
use crate::fronts::http::problem::Problem;

/// The version of DescribeUserScramCredentials that is asked.
const DESCRIBE_USERS: i16 = 0;

/// Permissions of a page, and users; characters of each name.
const EACH: usize = 30;
const USERS_MAX: usize = 100;
const NAME_CHARS: usize = 80;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    principal: String,
    page: Option<usize>,
    #[serde(default)]
    done: String,
}

pub(super) async fn show(
    viewer: Viewer,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let asked = Asked { principal: cut(&asked.principal, 249).0.to_owned(), ..asked };
    let users = users(&viewer).await;
    let filter = DeleteAclsFilter {
        resource_type_filter: ANY,
        pattern_type_filter: ANY,
        operation: ANY,
        permission_type: ANY,
        principal_filter: Some(asked.principal.clone()).filter(|principal| !principal.is_empty()),
        ..Default::default()
    };
    let found = acls::meant_by(&viewer.asker, filter).await;
    let body = html! {
        @if !asked.done.is_empty() { p.note role="status" { "The permissions are changed." } }
        h2 { "Users" }
        p.quiet { "Users with SCRAM credentials. Those of the file (PLAIN), of tokens and of certificates are not kept by the broker, and not listed." }
        @match users {
            Ok(users) => (users),
            Err(problem) => p { (problem.message) },
        }
        h2 { "Permissions" }
        @match found {
            Ok(found) => (permissions(&viewer, &asked, found)),
            Err(problem) => p { (problem.message) },
        }
    };
    Ok(page(&viewer, Section::Access, "Access", &body))
}

async fn users(viewer: &Viewer) -> Result<Markup, Problem> {
    let request = DescribeUserScramCredentialsRequest { users: None };
    let answer = viewer.asker.ask(DESCRIBE_USERS, &request).await?;
    check_with(answer.error_code, answer.error_message, "users")?;
    let users = answer.results;
    let mechanism = |number: i8| match number {
        1 => "SCRAM-SHA-256",
        2 => "SCRAM-SHA-512",
        _ => "unknown",
    };
    let head = html! { th scope="col" { "User" } th scope="col" { "Credentials" } };
    let rows = html! {
        @for user in users.iter().take(USERS_MAX) {
            tr {
                th scope="row" { (cut(&user.user, NAME_CHARS).0) }
                td {
                    @for (at, credential) in user.credential_infos.iter().enumerate() {
                        @if at > 0 { ", " }
                        (mechanism(credential.mechanism)) " (" (whole(credential.iterations)) " iterations)"
                    }
                }
            }
        }
    };
    Ok(html! {
        @if users.is_empty() { p { "There is none." } } @else { (table("Users", &head, &rows)) }
        @if users.len() > USERS_MAX { p { "And " (whole((users.len() - USERS_MAX) as i64)) " more." } }
    })
}

fn permissions(viewer: &Viewer, asked: &Asked, mut found: Vec<AclCreation>) -> Markup {
    found.sort_by(|one, other| {
        let key = |acl: &AclCreation| {
            (acl.principal.clone(), acl.resource_type, acl.resource_name.clone(), acl.operation)
        };
        key(one).cmp(&key(other))
    });
    let part = Part::of(found.len(), EACH, asked.page);
    let head = html! {
        th scope="col" { "Principal" } th scope="col" { "Host" } th scope="col" { "Permission" }
        th scope="col" { "Operation" } th scope="col" { "Resource" }
        @if viewer.may_change() { td {} }
    };
    let rows = html! {
        @for acl in &found[part.begin..part.end] {
            tr {
                th scope="row" { (cut(&acl.principal, NAME_CHARS).0) }
                td { (cut(&acl.host, NAME_CHARS).0) }
                td { (word(&PERMISSIONS, acl.permission_type)) }
                td { (word(&OPERATIONS, acl.operation)) }
                td.data {
                    (word(&TYPES, acl.resource_type)) " " code { (cut(&acl.resource_name, NAME_CHARS).0) }
                    @if word(&PATTERNS, acl.resource_pattern_type) == "PREFIXED" { " and what begins with it" }
                }
                @if viewer.may_change() { td { (delete_form(viewer, acl)) } }
            }
        }
    };
    html! {
        form.search method="get" action="/console/access" role="search" {
            label for="principal" { "Principal" }
            input #principal name="principal" type="search" placeholder="User:alice" value=(asked.principal) maxlength="249";
            button { "Find" }
        }
        @if found.is_empty() { p { "There is none." } } @else { (table("Permissions", &head, &rows)) }
        (part.links("/console/access", &[("principal", &asked.principal)]))
        @if viewer.may_change() { (create_form(viewer)) }
    }
}

/// The fields of a permission, in the order of forms.
fn fields(acl: &AclCreation) -> [(&'static str, String); 7] {
    [
        ("resource_type", word(&TYPES, acl.resource_type).to_owned()),
        ("resource_name", acl.resource_name.clone()),
        ("pattern_type", word(&PATTERNS, acl.resource_pattern_type).to_owned()),
        ("principal", acl.principal.clone()),
        ("host", acl.host.clone()),
        ("operation", word(&OPERATIONS, acl.operation).to_owned()),
        ("permission", word(&PERMISSIONS, acl.permission_type).to_owned()),
    ]
}

fn delete_form(viewer: &Viewer, acl: &AclCreation) -> Markup {
    let label = format!(
        "Delete: {} {} {} on {}",
        acl.principal,
        word(&PERMISSIONS, acl.permission_type),
        word(&OPERATIONS, acl.operation),
        acl.resource_name
    );
    html! {
        form.inline method="post" action="/console/access/delete" {
            (viewer.token())
            @for (name, value) in fields(acl) { input type="hidden" name=(name) value=(value); }
            button.danger aria-label=(cut(&label, 3 * NAME_CHARS).0) { "Delete" }
        }
    }
}

fn create_form(viewer: &Viewer) -> Markup {
    let choice = |id: &'static str, name: &'static str, words: &[&'static str], chosen: &'static str| {
        html! {
            div {
                label for=(id) { (name) }
                select id=(id) name=(id) {
                    @for word in words { option value=(word) selected[*word == chosen] { (word) } }
                }
            }
        }
    };
    html! {
        fieldset {
            legend { "Add a permission" }
            form.fields method="post" action="/console/access" {
                (viewer.token())
                div { label for="new-principal" { "Principal" } input #new-principal name="principal" placeholder="User:alice" required; }
                div { label for="host" { "Host" } input #host name="host" value="*" size="12" required; }
                (choice("permission", "Permission", &["ALLOW", "DENY"], "ALLOW"))
                (choice("operation", "Operation", &OPERATIONS[2..], "READ"))
                (choice("resource_type", "Resource", &TYPES[2..], "TOPIC"))
                div { label for="resource_name" { "Its name" } input #resource_name name="resource_name" placeholder="* for all"; }
                (choice("pattern_type", "The name is", &["LITERAL", "PREFIXED"], "LITERAL"))
                div { button { "Add" } }
            }
        }
    }
}

/// The permission of a form.
fn written(change: &Change) -> Result<AclCreation, Problem> {
    let written = acls::Written {
        resource_type: change.field("resource_type"),
        resource_name: Some(change.field("resource_name")).filter(|name| !name.is_empty()),
        pattern_type: change.field("pattern_type"),
        principal: change.field("principal"),
        host: change.field("host"),
        operation: change.field("operation"),
        permission: change.field("permission"),
    };
    written.creation()
}

fn words(acl: &AclCreation) -> String {
    let all: Vec<String> = fields(acl).into_iter().map(|(_, value)| value).collect();
    all.join(" ")
}

pub(super) async fn create(change: Change) -> Result<Response, Failed> {
    let acl = written(&change)?;
    let what = format!("add permission {}", words(&acl));
    change.noted(what, acls::create(&change.viewer.asker, vec![acl]).await)?;
    Ok(Redirect::to("/console/access?done=1").into_response())
}

pub(super) async fn delete(change: Change) -> Result<Response, Failed> {
    let acl = written(&change)?;
    let what = format!("delete permission {}", words(&acl));
    let filter = DeleteAclsFilter {
        resource_type_filter: acl.resource_type,
        resource_name_filter: Some(acl.resource_name),
        pattern_type_filter: acl.resource_pattern_type,
        principal_filter: Some(acl.principal),
        host_filter: Some(acl.host),
        operation: acl.operation,
        permission_type: acl.permission_type,
    };
    change.noted(what, acls::delete(&change.viewer.asker, filter).await)?;
    Ok(Redirect::to("/console/access?done=1").into_response())
}
