//! Deletions: first soft, so that data can still be read and all can come back, then for good.
//!
//! Before the record of a version goes for good, the highest ids go into the topic: when compaction has taken
//! the record away, its id must not be given again.

use super::reads::number_of;
use crate::api::{Answer, Body, Outcome, Request};
use crate::error::Error;
use crate::json::Json;
use crate::records::{Key, Record, Version};
use crate::state::{Filter, State};
use crate::subject::{DEFAULT_CONTEXT, Subject};

/// Deletes a subject; answers its versions.
pub(super) fn subject(state: &State, request: &Request, subject: &Subject) -> Result<Outcome, Error> {
    let is_permanent = request.flag("permanent");
    if subject.name.is_empty() || !state.has(subject, Filter::All) {
        return Err(Error::SubjectNotFound(subject.to_string()));
    }
    if !is_permanent && !state.has(subject, Filter::Live) {
        return Err(Error::SubjectSoftDeleted(subject.to_string()));
    }
    writable(state, subject)?;
    let filter = if is_permanent { Filter::All } else { Filter::Live };
    let versions: Vec<i32> = state
        .versions(subject)
        .filter(|(_, entry)| filter.takes(entry.is_deleted))
        .map(|(version, _)| version)
        .collect();
    for version in &versions {
        let referrers = state.referrers(subject, *version, filter);
        if referrers.iter().any(|(name, _)| *name != subject.to_string()) {
            return Err(Error::ReferenceExists { subject: subject.to_string(), version: *version });
        }
    }
    if is_permanent && state.has(subject, Filter::Live) {
        return Err(Error::SubjectNotSoftDeleted(subject.to_string()));
    }
    let answer = Answer::json(versions.iter().copied().collect::<Json>());
    let records = if is_permanent {
        gone(state, subject, &versions)
    } else {
        // Up to the last of all: the record replaces an earlier one, whose versions must stay deleted.
        let last = state.versions(subject).next_back().map_or(0, |(version, _)| version);
        vec![Record::DeleteSubject(subject.to_string(), last)]
    };
    Ok(Outcome::Change { records, answer })
}

/// Deletes a version; answers its number.
pub(super) fn version(
    state: &State,
    request: &Request,
    subject: &Subject,
    version: &str,
) -> Result<Outcome, Error> {
    let is_permanent = request.flag("permanent");
    let number = match number_of(version)? {
        Some(number) => number,
        None => match state.latest(subject) {
            Some((number, _)) => number,
            None if state.has(subject, Filter::All) => return Err(Error::VersionNotFound(-1)),
            None => return Err(Error::SubjectNotFound(subject.to_string())),
        },
    };
    let Some(entry) = state.entry(subject, number) else {
        return Err(match state.has(subject, Filter::All) {
            true => Error::VersionNotFound(number),
            false => Error::SubjectNotFound(subject.to_string()),
        });
    };
    if !is_permanent && entry.is_deleted {
        return Err(Error::VersionSoftDeleted { subject: subject.to_string(), version: number });
    }
    writable(state, subject)?;
    let filter = if is_permanent { Filter::All } else { Filter::Live };
    if !state.referrers(subject, number, filter).is_empty() {
        return Err(Error::ReferenceExists { subject: subject.to_string(), version: number });
    }
    if is_permanent && !entry.is_deleted {
        return Err(Error::VersionNotSoftDeleted { subject: subject.to_string(), version: number });
    }
    let records = if is_permanent {
        gone(state, subject, &[number])
    } else {
        vec![Record::Schema(Box::new(Version {
            subject: subject.to_string(),
            version: number,
            id: entry.id,
            definition: (*entry.definition).clone(),
            is_deleted: true,
        }))]
    };
    Ok(Outcome::Change { records, answer: Answer::json(number) })
}

/// Deletes a context that nothing stands in.
pub(super) fn context(state: &State, name: &str) -> Result<Outcome, Error> {
    let context = Subject::parse(name);
    if state.has(&Subject { name: String::new(), ..context.clone() }, Filter::All)
        || context.context == DEFAULT_CONTEXT
    {
        return Err(Error::ContextNotEmpty(name.to_owned()));
    }
    let answer = Answer { status: 204, body: Body::Empty };
    if !state.has_context(&context.context) {
        return Ok(answer.into());
    }
    let records = vec![Record::Noop(state.ids_max()), Record::Gone(Key::Context(context.context))];
    Ok(Outcome::Change { records, answer })
}

/// What takes versions away for good, the latest first, and what is set for a subject that has no others.
pub(super) fn gone(state: &State, subject: &Subject, versions: &[i32]) -> Vec<Record> {
    let name = subject.to_string();
    let mut records = vec![Record::Noop(state.ids_max())];
    let versions_gone = versions.iter().rev();
    records.extend(
        versions_gone.map(|version| Record::Gone(Key::Schema { subject: name.clone(), version: *version })),
    );
    if state.versions(subject).all(|(version, _)| versions.contains(&version)) {
        if state.mode(Some(subject)).is_some() {
            records.push(Record::Gone(Key::Mode(Some(name.clone()))));
        }
        if state.stored_config(Some(subject)).is_some() {
            records.push(Record::Gone(Key::Config(Some(name))));
        }
    }
    records
}

/// Refuses a subject that is read-only.
pub(super) fn writable(state: &State, subject: &Subject) -> Result<(), Error> {
    if state.mode_in_scope(Some(subject)).is_read_only() {
        let context = subject.prefix();
        return Err(Error::NotPermitted(format!(
            "Subject {subject} in context {context} is in read-only mode"
        )));
    }
    Ok(())
}
