//! Registration: a schema gets a version of its subject and, unless it has one, an id.
//!
//! The same schema again answers what there is. An id is never given a second time: the next one follows the
//! highest that was ever given, which the state keeps whatever is deleted.

use super::look_up;
use super::populate;
use super::show;
use super::testing;
use super::understood::{Sent, understood};
use crate::api::{Answer, Outcome, Request};
use crate::definition::Definition;
use crate::error::Error;
use crate::json::{Json, Members};
use crate::parsed::Parsed;
use crate::records::{Key, Record, Version};
use crate::settings::Mode;
use crate::state::{Filter, State};
use crate::subject::{DEFAULT_CONTEXT, Subject};

/// Bytes of a record: what a batch of the default `max.message.bytes` has room for.
const RECORD_BYTES_MAX: usize = 1_000_000;
/// Bytes of all schemas, about: what the registry keeps in memory.
const STATE_BYTES_MAX: usize = 1 << 30;
/// Bytes of the name of a subject, with its context.
const SUBJECT_BYTES_MAX: usize = 1_000;
/// Contexts that there are.
const CONTEXTS_MAX: usize = 10_000;

/// Registers a schema.
pub(super) fn register(
    state: &State,
    request: &Request,
    subject: &Subject,
    body: &[u8],
) -> Result<Outcome, Error> {
    let mut sent = Sent::parse(body)?;
    if subject.name.is_empty() || !subject.is_valid(false) || subject.to_string().len() > SUBJECT_BYTES_MAX {
        return Err(Error::InvalidSubject(subject.to_string()));
    }
    let mode = state.mode_in_scope(Some(subject));
    check_mode(subject, mode, sent.id)?;
    let config = state.config_in_scope(Some(subject));
    let next = state.versions(subject).next_back().map_or(1, |(version, _)| version.saturating_add(1));
    let wanted_latest = sent.version == -1;
    if !mode.takes_ids() {
        let previous = state.latest(subject).map(|(_, entry)| entry);
        populate::text(&mut sent.definition, previous)?;
        populate::metadata_and_rules(&mut sent.definition, &config, previous, Some(next));
    }
    let normalize = (request.flag("normalize") || config.normalize == Some(true)) && !mode.takes_ids();
    let parsed = understood(state, subject, &mut sent.definition, &config, normalize)?;
    let known = known_id(state, subject, &sent.definition, sent.id);
    if sent.version <= 0
        && let Some((version, id)) = already(state, subject, &sent, &parsed, known)
    {
        return Ok(shown(request, &parsed, version, id, &sent.definition)?.into());
    }
    if !mode.takes_ids() && !request.flag("force") {
        let reasons = testing::reasons(state, subject, &config, &sent.definition, &parsed, None);
        if !reasons.is_empty() {
            return Err(Error::Incompatible { subject: subject.to_string(), reasons });
        }
    }
    let version = match sent.version {
        0 | -1 => next,
        version if version == next || mode.takes_ids() => version,
        _ => return Err(Error::InvalidSchema("Version is not one more than previous version".to_owned())),
    };
    let id = match sent.id.or(known) {
        Some(id) => checked_id(state, subject, id, &sent.definition)?,
        None => next_id(state, subject)?,
    };
    debug_assert!(!wanted_latest || version == next, "the latest is the next");
    let answer = shown(request, &parsed, version, id, &sent.definition)?;
    let records = records(
        state,
        subject,
        Version { subject: subject.to_string(), version, id, definition: sent.definition, is_deleted: false },
    )?;
    Ok(Outcome::Change { records, answer })
}

fn check_mode(subject: &Subject, mode: Mode, id: Option<i32>) -> Result<(), Error> {
    let context = subject.prefix();
    let refused =
        |what: &str| Err(Error::NotPermitted(format!("Subject {subject} in context {context} {what}")));
    match (mode, id) {
        (mode, _) if mode.is_read_only() => refused("is in read-only mode"),
        (mode, Some(_)) if !mode.takes_ids() => refused("is not in import mode"),
        (mode, None) if mode != Mode::ReadWrite => refused("is not in read-write mode"),
        _ => Ok(()),
    }
}

/// The id that the definition has in the context, where it has one that may be meant.
fn known_id(state: &State, subject: &Subject, definition: &Definition, wanted: Option<i32>) -> Option<i32> {
    let mut ids = state.ids_of(&subject.context, definition.guid()).map(|(id, _)| id);
    match wanted {
        Some(wanted) => ids.find(|id| *id == wanted),
        None => ids.next(),
    }
}

/// The version that has this schema already.
fn already(
    state: &State,
    subject: &Subject,
    sent: &Sent,
    parsed: &Parsed,
    known: Option<i32>,
) -> Option<(i32, i32)> {
    let is_meant = |id: i32| sent.id.is_none_or(|wanted| wanted == id);
    let guid = sent.definition.guid();
    let same = |(version, entry): (i32, &crate::state::Entry)| {
        (entry.guid == guid && !entry.is_deleted && is_meant(entry.id)).then_some((version, entry.id))
    };
    if known.is_some()
        && let Some(found) = state.versions(subject).rev().find_map(same)
    {
        return Some(found);
    }
    let found = look_up::equivalent(state, subject, &sent.definition, parsed, Filter::Live);
    found.filter(|(_, entry)| is_meant(entry.id)).map(|(version, entry)| (version, entry.id))
}

/// An id that comes from elsewhere, or that the same schema has already.
fn checked_id(state: &State, subject: &Subject, id: i32, definition: &Definition) -> Result<i32, Error> {
    let existing = state.first_of_id(&subject.context, id).map(|(_, entry)| &entry.definition);
    if existing.is_some_and(|existing| **existing != *definition) {
        let context = subject.prefix();
        return Err(Error::NotPermitted(format!(
            "Overwrite new schema with id {id} in context {context} is not permitted."
        )));
    }
    Ok(id)
}

fn next_id(state: &State, subject: &Subject) -> Result<i32, Error> {
    let id = state.id_max(&subject.context).checked_add(1);
    id.ok_or_else(|| Error::Full(format!("all ids of context {} are given", subject.context)))
}

fn records(state: &State, subject: &Subject, version: Version) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    if subject.context != DEFAULT_CONTEXT && !state.has_context(&subject.context) {
        if state.contexts().count() > CONTEXTS_MAX {
            return Err(Error::Full(format!("there are {CONTEXTS_MAX} contexts, which are the most")));
        }
        records.push(Record::Context(subject.context.clone()));
    }
    // A version that an import replaces may have had the highest id.
    if state.entry(subject, version.version).is_some_and(|entry| entry.id != version.id) {
        records.push(Record::Noop(state.ids_max()));
    }
    // Deleted versions with the same id stand for the same schema: this one takes their place.
    for (old, entry) in state.versions(subject) {
        let is_replaced = entry.is_deleted && entry.id == version.id && old < version.version;
        if is_replaced && state.referrers(subject, old, Filter::All).is_empty() {
            records.push(Record::Gone(Key::Schema { subject: subject.to_string(), version: old }));
        }
    }
    let weight = version.definition.weight();
    if state.bytes() + weight > STATE_BYTES_MAX {
        let bytes = state.bytes();
        return Err(Error::Full(format!(
            "the registry holds {bytes} bytes of schemas, {STATE_BYTES_MAX} are the most"
        )));
    }
    let record = Record::Schema(Box::new(version));
    let bytes = record.key().to_bytes().len() + record.value().map_or(0, |value| value.len());
    if bytes > RECORD_BYTES_MAX {
        return Err(Error::TooLarge { bytes, bytes_max: RECORD_BYTES_MAX });
    }
    records.push(record);
    Ok(records)
}

fn shown(
    request: &Request,
    parsed: &Parsed,
    version: i32,
    id: i32,
    definition: &Definition,
) -> Result<Answer, Error> {
    let mut members = Members::new();
    Json::push(&mut members, "id", id);
    Json::push(&mut members, "version", version);
    Json::push(&mut members, "guid", definition.guid().to_string());
    show::about(&mut members, definition, &definition.references);
    let text = match request.value("format") {
        Some(format) if !format.is_empty() => parsed.formatted(format).map_err(Error::InvalidSchema)?,
        _ => definition.text.clone(),
    };
    Json::push(&mut members, "schema", text);
    Ok(Answer::json(members))
}
