//! Schemas as answers show them.

use crate::definition::{Definition, Metadata, Reference, RuleSet};
use crate::json::{Json, Members};
use crate::state::Entry;
use crate::subject::Subject;

/// A version of a subject, with all that is known of it.
pub(super) fn version(
    subject: &str,
    version: i32,
    entry: &Entry,
    text: &str,
    references: &[Reference],
) -> Json {
    let mut members = Members::new();
    Json::push(&mut members, "subject", subject);
    Json::push(&mut members, "version", version);
    Json::push(&mut members, "id", entry.id);
    Json::push(&mut members, "guid", entry.guid.to_string());
    let definition = &entry.definition;
    about(&mut members, definition, references);
    Json::push(&mut members, "schema", text);
    Json::push(&mut members, "ts", entry.timestamp);
    Json::push(&mut members, "deleted", entry.is_deleted);
    Json::Object(members)
}

/// The type of a schema, and what belongs to it beside its text.
pub(super) fn about(members: &mut Members, definition: &Definition, references: &[Reference]) {
    Json::push(members, "schemaType", definition.schema_type.name());
    rest(members, definition, references);
}

/// What belongs to a schema beside its type and its text.
pub(super) fn rest(members: &mut Members, definition: &Definition, references: &[Reference]) {
    if !references.is_empty() {
        Json::push(members, "references", references.iter().map(Reference::to_json).collect::<Json>());
    }
    if let Some(metadata) = &definition.metadata {
        Json::push(members, "metadata", Metadata::to_json(metadata));
    }
    if let Some(rules) = &definition.rule_set {
        Json::push(members, "ruleSet", RuleSet::to_json(rules));
    }
}

/// References with the context of the subject that has them, where the client asks for that.
pub(super) fn references(subject: &str, definition: &Definition, format: Option<&str>) -> Vec<Reference> {
    let subject = Subject::parse(subject);
    let is_qualified = format == Some("qualified") && !subject.is_unqualified();
    let mut references = definition.references.clone();
    for reference in references.iter_mut().filter(|_| is_qualified) {
        reference.subject = subject.sibling(&reference.subject).to_string();
    }
    references
}
