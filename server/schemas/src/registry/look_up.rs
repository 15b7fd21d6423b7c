//! Looking up: which version of a subject a schema is.

use super::populate;
use super::reads;
use super::understood::{Sent, stored, understood};
use crate::api::{Answer, Request};
use crate::definition::Definition;
use crate::error::Error;
use crate::parsed::Parsed;
use crate::state::{Entry, Filter, State};
use crate::subject::Subject;

/// Versions whose texts are compared, where no version has the very definition.
const COMPARED_MAX: usize = 1_000;
/// Bytes of the texts that are compared.
const COMPARED_BYTES_MAX: usize = 32_000_000;

/// Answers the version of a subject that is this schema.
pub(super) fn look_up(
    state: &State,
    request: &Request,
    subject: &Subject,
    body: &[u8],
) -> Result<Answer, Error> {
    let sent = Sent::parse(body)?;
    let subject = reads::aliased(state, subject);
    let filter = if request.flag("deleted") { Filter::All } else { Filter::Live };
    let config = state.config_in_scope(Some(&subject));
    let normalize = request.flag("normalize") || config.normalize == Some(true);
    let mut definition = sent.definition.clone();
    let parsed = understood(state, &subject, &mut definition, &config, normalize)?;
    let mut found = find(state, &subject, &definition, &parsed, filter);
    if found.is_none()
        && let Some((_, previous)) = state.latest(&subject)
    {
        // As a registration would have stored it.
        populate::metadata_and_rules(&mut definition, &config, Some(previous), None);
        found = find(state, &subject, &definition, &parsed, filter);
    }
    match found {
        Some((version, entry)) => {
            reads::shown(state, request, &subject.to_string(), version, entry).map(Answer::json)
        }
        None if state.has(&subject, filter) => Err(Error::SchemaNotFound(None)),
        None => Err(Error::SubjectNotFound(subject.to_string())),
    }
}

fn find<'a>(
    state: &'a State,
    subject: &Subject,
    definition: &Definition,
    parsed: &Parsed,
    filter: Filter,
) -> Option<(i32, &'a Entry)> {
    let guid = definition.guid();
    let same = |(_, entry): &(i32, &Entry)| entry.guid == guid && filter.takes(entry.is_deleted);
    let found = state.versions(subject).rev().find(same);
    found.or_else(|| equivalent(state, subject, definition, parsed, filter))
}

/// The latest version that says the same: with what it calls by reference in full, or but for the version
/// that a client keeps in its metadata.
pub(super) fn equivalent<'a>(
    state: &'a State,
    subject: &Subject,
    definition: &Definition,
    parsed: &Parsed,
    filter: Filter,
) -> Option<(i32, &'a Entry)> {
    let mut bytes = 0;
    let versions = state.versions(subject).rev().filter(|(_, entry)| filter.takes(entry.is_deleted));
    for (version, entry) in versions.take(COMPARED_MAX) {
        let stored_definition = &entry.definition;
        if stored_definition.schema_type != definition.schema_type
            || stored_definition.rule_set != definition.rule_set
            || !populate::is_same_but_for_version(
                stored_definition.metadata.as_ref(),
                definition.metadata.as_ref(),
            )
        {
            continue;
        }
        let is_in_full = definition.references.is_empty() && !stored_definition.references.is_empty();
        if !is_in_full {
            if stored_definition.references == definition.references
                && stored_definition.text == definition.text
            {
                return Some((version, entry));
            }
            continue;
        }
        bytes += stored_definition.text.len();
        if bytes > COMPARED_BYTES_MAX {
            return None;
        }
        if stored(state, subject, stored_definition).is_ok_and(|stored| parsed.is_equivalent(&stored)) {
            return Some((version, entry));
        }
    }
    None
}
