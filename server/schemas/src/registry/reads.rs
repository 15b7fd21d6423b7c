//! Everything that is only looked at.

use std::collections::BTreeSet;

use super::show;
use super::understood::stored;
use crate::api::{Answer, Request};
use crate::definition::{Definition, Guid};
use crate::error::Error;
use crate::json::{Json, Members};
use crate::state::{Entry, Filter, State};
use crate::subject::{ALL_CONTEXTS, DEFAULT_CONTEXT, Subject, prefix_of};

/// Schemas of one answer.
const SCHEMAS_MAX: usize = 1_000;
/// Bytes of the schemas of one answer; it ends with the first that is past it.
const SCHEMAS_BYTES_MAX: usize = 16 << 20;
/// Names, versions or ids of one answer.
const NAMES_MAX: usize = 20_000;

/// The subject that is meant when one is named: its alias, where it has one.
pub(super) fn aliased(state: &State, subject: &Subject) -> Subject {
    let alias = state.stored_config(Some(subject)).and_then(|config| config.alias.clone());
    match alias.filter(|alias| !alias.is_empty()) {
        Some(alias) => subject.sibling(&alias),
        None => subject.clone(),
    }
}

/// A number of a version; `None` is the latest.
pub(super) fn number_of(version: &str) -> Result<Option<i32>, Error> {
    let version = version.trim();
    if version.eq_ignore_ascii_case("latest") || version == "-1" {
        return Ok(None);
    }
    match version.parse::<i32>() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(Error::InvalidVersion(version.to_owned())),
    }
}

fn filter_of(request: &Request) -> Filter {
    match (request.flag("deletedOnly"), request.flag("deleted")) {
        (true, _) => Filter::Deleted,
        (false, true) => Filter::All,
        (false, false) => Filter::Live,
    }
}

/// A part of a list, as `offset` and `limit` say.
fn page<T>(request: &Request, all: impl Iterator<Item = T>, max: usize) -> impl Iterator<Item = T> {
    let offset = request.number("offset").and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
    let limit = request.number("limit").and_then(|limit| usize::try_from(limit).ok());
    all.skip(offset).take(limit.unwrap_or(max).min(max))
}

/// The text of a schema, in the form that the client asks for.
fn text_of(
    state: &State,
    request: &Request,
    subject: &Subject,
    definition: &Definition,
) -> Result<String, Error> {
    match request.value("format") {
        Some(format) if !format.trim().is_empty() => {
            let parsed = stored(state, subject, definition).map_err(Error::InvalidSchema)?;
            parsed.formatted(format).map_err(Error::InvalidSchema)
        }
        _ => Ok(definition.text.clone()),
    }
}

/// A version of a subject as its client asks for it.
pub(super) fn shown(
    state: &State,
    request: &Request,
    subject: &str,
    version: i32,
    entry: &Entry,
) -> Result<Json, Error> {
    let text = text_of(state, request, &Subject::parse(subject), &entry.definition)?;
    let references = show::references(subject, &entry.definition, request.value("referenceFormat"));
    Ok(show::version(subject, version, entry, &text, &references))
}

/// The version that is asked for; one of a subject of another context, where the name is found only there.
fn found<'a>(
    state: &'a State,
    request: &Request,
    subject: &Subject,
    version: &str,
    filter: Filter,
) -> Result<(Subject, i32, &'a Entry), Error> {
    let number = number_of(version)?;
    let subject = aliased(state, subject);
    let of = |subject: &Subject| match number {
        None => {
            let mut versions = state.versions(subject).rev();
            versions.find(|(_, entry)| filter.takes(entry.is_deleted))
        }
        Some(number) => {
            let entry = state.entry(subject, number).filter(|entry| filter.takes(entry.is_deleted));
            entry.map(|entry| (number, entry))
        }
    };
    let elsewhere = |context: &str| {
        let subject = Subject { context: context.to_owned(), name: subject.name.clone() };
        of(&subject).map(|(number, entry)| (subject, number, entry))
    };
    let here = of(&subject).map(|(number, entry)| (subject.clone(), number, entry));
    let is_anywhere = subject.is_unqualified() && request.context.is_none();
    let found = here.or_else(|| is_anywhere.then(|| state.contexts().find_map(elsewhere)).flatten());
    found.ok_or_else(|| match number {
        _ if !state.has(&subject, filter) => Error::SubjectNotFound(subject.to_string()),
        Some(number) => Error::VersionNotFound(number),
        None => Error::VersionNotFound(-1),
    })
}

pub(super) fn version(
    state: &State,
    request: &Request,
    subject: &Subject,
    version: &str,
) -> Result<Answer, Error> {
    let (subject, number, entry) = found(state, request, subject, version, filter_of(request))?;
    shown(state, request, &subject.to_string(), number, entry).map(Answer::json)
}

pub(super) fn text_of_version(
    state: &State,
    request: &Request,
    subject: &Subject,
    version: &str,
) -> Result<Answer, Error> {
    let (subject, _, entry) = found(state, request, subject, version, filter_of(request))?;
    text_of(state, request, &subject, &entry.definition).map(Answer::text)
}

pub(super) fn referenced_by(
    state: &State,
    request: &Request,
    subject: &Subject,
    version: &str,
) -> Result<Answer, Error> {
    let (subject, number, _) = found(state, request, subject, version, Filter::All)?;
    let filter = if request.flag("deleted") { Filter::All } else { Filter::Live };
    let referrers = state.referrers(&subject, number, filter);
    let ids: BTreeSet<i32> = referrers
        .iter()
        .filter_map(|(name, version)| state.entry(&Subject::parse(name), *version))
        .map(|entry| entry.id)
        .collect();
    Ok(Answer::json(page(request, ids.into_iter(), NAMES_MAX).collect::<Json>()))
}

pub(super) fn versions(state: &State, request: &Request, subject: &Subject) -> Result<Answer, Error> {
    let as_negative = request.flag("deletedAsNegative");
    let filter = if as_negative { Filter::All } else { filter_of(request) };
    if !state.has(subject, filter) {
        return Err(Error::SubjectNotFound(subject.to_string()));
    }
    let versions = state.versions(subject).filter(|(_, entry)| filter.takes(entry.is_deleted));
    let versions =
        versions.map(|(version, entry)| if as_negative && entry.is_deleted { -version } else { version });
    Ok(Answer::json(page(request, versions, NAMES_MAX).collect::<Json>()))
}

/// Whether a subject begins as it is asked for.
fn begins(name: &str, prefix: &str) -> bool {
    match prefix.strip_prefix(ALL_CONTEXTS) {
        Some(rest) => Subject::parse(name).name.starts_with(rest),
        None => name.starts_with(prefix),
    }
}

/// What names begin with, of a request that may have chosen a context by its path.
fn prefix_asked(request: &Request, default: &str) -> String {
    let asked = request.value("subjectPrefix");
    match &request.context {
        Some(context) => prefix_of(context) + asked.unwrap_or_default(),
        None => asked.unwrap_or(default).to_owned(),
    }
}

pub(super) fn subjects(state: &State, request: &Request) -> Answer {
    let (prefix, filter) = (prefix_asked(request, ALL_CONTEXTS), filter_of(request));
    let is_in_default = request.context.as_deref() == Some(DEFAULT_CONTEXT);
    let meant = state.subjects().filter(|(name, versions)| {
        begins(name, &prefix)
            && (!is_in_default || Subject::parse(name).is_unqualified())
            && match filter {
                // Only subjects that are deleted as a whole.
                Filter::Deleted => versions.values().all(|entry| entry.is_deleted),
                filter => versions.values().any(|entry| filter.takes(entry.is_deleted)),
            }
    });
    Answer::json(page(request, meant.map(|(name, _)| name), NAMES_MAX).collect::<Json>())
}

pub(super) fn schemas(state: &State, request: &Request) -> Answer {
    let (prefix, filter) = (prefix_asked(request, ALL_CONTEXTS), filter_of(request));
    let latest_only = request.flag("latestOnly");
    let with_aliases = request.flag("aliases");
    let meant = state.subjects().filter(|(name, _)| begins(name, &prefix)).flat_map(|(name, versions)| {
        let versions = versions.iter().rev().filter(|(_, entry)| filter.takes(entry.is_deleted));
        let taken: Vec<_> = versions.take(if latest_only { 1 } else { usize::MAX }).collect();
        taken.into_iter().rev().map(move |(version, entry)| (name, *version, entry))
    });
    let mut bytes = 0;
    let mut shown = Vec::new();
    for (name, version, entry) in page(request, meant, SCHEMAS_MAX) {
        let definition = &entry.definition;
        let references = show::references(name, definition, request.value("referenceFormat"));
        let mut schema = show::version(name, version, entry, &definition.text, &references);
        if let (true, Json::Object(members)) = (with_aliases, &mut schema) {
            let aliases: Vec<Json> = aliases_of(state, name).map(Json::from).collect();
            if !aliases.is_empty() {
                Json::push(members, "aliases", aliases);
            }
        }
        bytes += definition.weight();
        shown.push(schema);
        if bytes > SCHEMAS_BYTES_MAX {
            break;
        }
    }
    Answer::json(shown)
}

/// The subjects that mean this one.
fn aliases_of<'a>(state: &'a State, name: &'a str) -> impl Iterator<Item = &'a str> {
    let configs = state.configs().filter(move |(subject, config)| {
        let alias = config.alias.as_ref().map(|alias| Subject::parse(subject).sibling(alias).to_string());
        alias.as_deref() == Some(name)
    });
    configs.map(|(subject, _)| subject)
}

/// The versions with an id: in the context that is asked for, or of the subject in whichever has it.
fn places<'a>(state: &'a State, request: &Request, id: i32) -> Vec<(&'a (String, i32), &'a Entry)> {
    let asked = request.value("subject").map(|name| aliased(state, &Subject::parse(name)));
    let context = match (&request.context, &asked) {
        (Some(context), _) => context.as_str(),
        (None, Some(subject)) => subject.context.as_str(),
        (None, None) => DEFAULT_CONTEXT,
    };
    let here: Vec<_> = state.places_of_id(context, id).collect();
    let Some(subject) = asked.as_ref().filter(|subject| !subject.name.is_empty()) else { return here };
    let of_subject = |context: &str| -> Vec<_> {
        let name = Subject { context: context.to_owned(), name: subject.name.clone() }.to_string();
        state.places_of_id(context, id).filter(|(place, _)| place.0 == name).collect()
    };
    let own = of_subject(context);
    if !own.is_empty() {
        return own.into_iter().chain(here).collect();
    }
    let elsewhere = state.contexts().map(of_subject).find(|places| !places.is_empty());
    elsewhere.filter(|_| subject.is_unqualified()).unwrap_or(here)
}

fn shown_by_id(
    state: &State,
    request: &Request,
    place: &(String, i32),
    entry: &Entry,
    id: Option<i32>,
) -> Result<Answer, Error> {
    let mut members = Members::new();
    if request.value("subject").is_some() {
        Json::push(&mut members, "subject", place.0.as_str());
        Json::push(&mut members, "version", place.1);
    }
    if let Some(id) = id {
        Json::push(&mut members, "id", id);
    }
    let subject = Subject::parse(&place.0);
    let definition = &entry.definition;
    Json::push(&mut members, "guid", entry.guid.to_string());
    Json::push(&mut members, "schemaType", definition.schema_type.name());
    Json::push(&mut members, "schema", text_of(state, request, &subject, definition)?);
    let references = show::references(&place.0, definition, request.value("referenceFormat"));
    show::rest(&mut members, definition, &references);
    if request.flag("fetchMaxId") {
        Json::push(&mut members, "maxId", state.id_max(&subject.context));
    }
    Json::push(&mut members, "ts", entry.timestamp);
    Json::push(&mut members, "deleted", entry.is_deleted);
    Ok(Answer::json(members))
}

pub(super) fn by_id(state: &State, request: &Request, id: i32) -> Result<Answer, Error> {
    let places = places(state, request, id);
    let (place, entry) = places.first().ok_or_else(|| Error::SchemaNotFound(Some(id.to_string())))?;
    shown_by_id(state, request, place, entry, None)
}

pub(super) fn text_by_id(state: &State, request: &Request, id: i32) -> Result<Answer, Error> {
    let places = places(state, request, id);
    let (place, entry) = places.first().ok_or_else(|| Error::SchemaNotFound(Some(id.to_string())))?;
    text_of(state, request, &Subject::parse(&place.0), &entry.definition).map(Answer::text)
}

/// The versions with an id that are asked for; an id that nothing has is not found.
fn live_places<'a>(state: &'a State, request: &Request, id: i32) -> Result<Vec<&'a (String, i32)>, Error> {
    let places = places(state, request, id);
    if places.is_empty() {
        return Err(Error::SchemaNotFound(None));
    }
    let filter = if request.flag("deleted") { Filter::All } else { Filter::Live };
    let meant = places.into_iter().filter(|(_, entry)| filter.takes(entry.is_deleted));
    let mut meant: Vec<&(String, i32)> = meant.map(|(place, _)| place).collect();
    meant.sort();
    meant.dedup();
    Ok(meant)
}

pub(super) fn subjects_of_id(state: &State, request: &Request, id: i32) -> Result<Answer, Error> {
    let places = live_places(state, request, id)?;
    let names: BTreeSet<&str> = places.iter().map(|(name, _)| name.as_str()).collect();
    Ok(Answer::json(page(request, names.into_iter(), NAMES_MAX).collect::<Json>()))
}

pub(super) fn versions_of_id(state: &State, request: &Request, id: i32) -> Result<Answer, Error> {
    let places = live_places(state, request, id)?;
    let shown = places.into_iter().map(|(name, version)| {
        Json::object([("subject", name.as_str().into()), ("version", (*version).into())])
    });
    Ok(Answer::json(page(request, shown, NAMES_MAX).collect::<Vec<Json>>()))
}

pub(super) fn by_guid(state: &State, request: &Request, guid: &str) -> Result<Answer, Error> {
    let missing = || Error::SchemaNotFound(Some(guid.to_owned()));
    let guid = Guid::parse(guid).ok_or_else(missing)?;
    let (context, id) = state.contexts_of(guid).next().ok_or_else(missing)?;
    let mut places = state.places_of_id(context, id);
    let (place, entry) = places.find(|(_, entry)| entry.guid == guid).ok_or_else(missing)?;
    shown_by_id(state, request, place, entry, None)
}

pub(super) fn ids_of_guid(state: &State, guid: &str) -> Result<Answer, Error> {
    let parsed = Guid::parse(guid).ok_or_else(|| Error::SchemaNotFound(Some(guid.to_owned())))?;
    let ids = state.contexts_of(parsed);
    let ids = ids.map(|(context, id)| Json::object([("context", context.into()), ("id", id.into())]));
    Ok(Answer::json(ids.collect::<Vec<Json>>()))
}

pub(super) fn latest_with_metadata(
    state: &State,
    request: &Request,
    subject: &Subject,
) -> Result<Answer, Error> {
    let subject = aliased(state, subject);
    let filter = if request.flag("deleted") { Filter::All } else { Filter::Live };
    let wanted: Vec<(&str, &str)> = request.values("key").zip(request.values("value")).collect();
    let has_all = |entry: &Entry| {
        let properties = entry.definition.metadata.as_ref().map(|metadata| &metadata.properties);
        wanted.iter().all(|(name, value)| {
            properties.and_then(|properties| properties.get(*name)).is_some_and(|own| own == value)
        })
    };
    let mut versions = state.versions(&subject).rev();
    let found = versions.find(|(_, entry)| filter.takes(entry.is_deleted) && has_all(entry));
    match found {
        Some((version, entry)) => {
            shown(state, request, &subject.to_string(), version, entry).map(Answer::json)
        }
        None if state.has(&subject, filter) => Err(Error::SchemaNotFound(None)),
        None => Err(Error::SubjectNotFound(subject.to_string())),
    }
}

pub(super) fn contexts(state: &State, request: &Request) -> Answer {
    let prefix = request.value("contextPrefix").unwrap_or_default().to_owned();
    let contexts = state.contexts().filter(|context| context.starts_with(&prefix));
    Answer::json(page(request, contexts, NAMES_MAX).collect::<Json>())
}

pub(super) fn cluster_id() -> Answer {
    let clusters = Json::object([
        ("kafka-cluster", "strandline".into()),
        ("schema-registry-cluster", "schema-registry".into()),
    ]);
    let scope = Json::object([("path", Json::Array(Vec::new())), ("clusters", clusters)]);
    Answer::json(Json::object([("id", "".into()), ("scope", scope)]))
}

pub(super) fn server_version() -> Answer {
    Answer::json(Json::object([("version", env!("CARGO_PKG_VERSION").into()), ("commitId", "".into())]))
}
