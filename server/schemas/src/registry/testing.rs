//! Whether a schema gets along with the versions of a subject, for registration and for those who only ask.

use super::understood::{Sent, stored, understood};
use super::{populate, reads};
use crate::api::{Answer, Request};
use crate::compatibility::{self, Older};
use crate::definition::Definition;
use crate::error::Error;
use crate::json::{Json, Members};
use crate::parsed::Parsed;
use crate::settings::{Config, Level};
use crate::state::{Entry, State};
use crate::subject::Subject;

/// The property with the names that no field may have, or have again.
const RESERVED_PROPERTY: &str = "confluent:reserved";

/// Answers whether a schema gets along with one version.
pub(super) fn against_version(
    state: &State,
    request: &Request,
    subject: &Subject,
    version: &str,
    body: &[u8],
) -> Result<Answer, Error> {
    let against = match reads::number_of(version)? {
        None => state.latest(subject),
        Some(number) => {
            let entry = state.entry(subject, number).filter(|entry| !entry.is_deleted);
            Some((number, entry.ok_or(Error::VersionNotFound(number))?))
        }
    };
    answered(state, request, subject, body, Some(against))
}

/// Answers whether a schema gets along with the versions that count for the subject.
pub(super) fn against_subject(
    state: &State,
    request: &Request,
    subject: &Subject,
    body: &[u8],
) -> Result<Answer, Error> {
    answered(state, request, subject, body, None)
}

fn answered(
    state: &State,
    request: &Request,
    subject: &Subject,
    body: &[u8],
    against: Option<Option<(i32, &Entry)>>,
) -> Result<Answer, Error> {
    let is_verbose = request.flag("verbose");
    let reasons = match asked(state, request, subject, body, against) {
        Err(Error::InvalidSchema(what)) if is_verbose => vec![what],
        other => other?,
    };
    let mut members = Members::new();
    Json::push(&mut members, "is_compatible", reasons.is_empty());
    if is_verbose {
        Json::push(&mut members, "messages", reasons.into_iter().collect::<Json>());
    }
    Ok(Answer::json(members))
}

fn asked(
    state: &State,
    request: &Request,
    subject: &Subject,
    body: &[u8],
    against: Option<Option<(i32, &Entry)>>,
) -> Result<Vec<String>, Error> {
    let mut definition = Sent::parse(body)?.definition;
    let config = state.config_in_scope(Some(subject));
    let normalize = request.flag("normalize") || config.normalize == Some(true);
    let previous = state.latest(subject).map(|(_, entry)| entry);
    populate::metadata_and_rules(&mut definition, &config, previous, None);
    let parsed = understood(state, subject, &mut definition, &config, normalize)?;
    Ok(reasons(state, subject, &config, &definition, &parsed, against))
}

/// Why a schema does not get along with the versions that count, or with one that is given.
pub(super) fn reasons(
    state: &State,
    subject: &Subject,
    config: &Config,
    definition: &Definition,
    parsed: &Parsed,
    against: Option<Option<(i32, &Entry)>>,
) -> Vec<String> {
    let versions: Vec<(i32, &Entry)> = match against {
        Some(one) => one.into_iter().collect(),
        None => state.versions(subject).rev().filter(|(_, entry)| !entry.is_deleted).collect(),
    };
    let mut reasons = Vec::new();
    if config.validate_fields == Some(true) {
        reasons.extend(reserved(definition, parsed, versions.first().map(|(_, entry)| &*entry.definition)));
    }
    let group = |definition: &Definition| {
        let properties = definition.metadata.as_ref().map(|metadata| &metadata.properties);
        config.group.as_ref().and_then(|group| properties?.get(group).cloned())
    };
    let own = group(definition);
    let counting = versions.into_iter().filter(|(_, entry)| group(&entry.definition) == own);
    let older = counting.map(|(version, entry)| {
        let parsed = stored(state, subject, &entry.definition)
            .map_err(|error| format!("version {version} cannot be read: {error}"))?;
        Ok(Older { version, text: entry.definition.text.clone(), parsed })
    });
    let level = config.level.unwrap_or(Level::DEFAULT);
    reasons.extend(compatibility::reasons(level, parsed, older));
    if !reasons.is_empty() {
        let validate_fields = config.validate_fields.unwrap_or(false);
        reasons.push(format!("{{validateFields: '{validate_fields}', compatibility: '{}'}}", level.name()));
    }
    reasons
}

fn reserved(definition: &Definition, parsed: &Parsed, previous: Option<&Definition>) -> Vec<String> {
    let names = |definition: &Definition| -> Vec<String> {
        let properties = definition.metadata.as_ref().map(|metadata| &metadata.properties);
        let list = properties.and_then(|properties| properties.get(RESERVED_PROPERTY));
        let names = list.map_or("", String::as_str).split(',').map(str::trim);
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let now = names(definition);
    let before = previous.map(names).unwrap_or_default();
    let removed = before.iter().filter(|name| !now.contains(name)).map(|name| {
        format!(
            "The new schema has reserved field {name} removed from its metadata which is present in the old \
             schema's metadata."
        )
    });
    let taken = now.iter().filter(|name| parsed.has_field(name));
    let taken =
        taken.map(|name| format!("The new schema has field that conflicts with the reserved field {name}."));
    removed.chain(taken).collect()
}
