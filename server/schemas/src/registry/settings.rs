//! Levels and modes: what is set, asked for and unset.

use super::deletions;
use super::object;
use crate::api::{Answer, Outcome, Request};
use crate::error::Error;
use crate::json::{Json, Members};
use crate::records::{Key, Record};
use crate::settings::Mode;
use crate::state::{Filter, State};
use crate::subject::{DEFAULT_CONTEXT, Subject};

/// Subjects and contexts for which something is set.
const SETTINGS_MAX: usize = 100_000;
/// Bytes of what is set for one.
const SETTING_BYTES_MAX: usize = 100_000;

/// Answers what is set.
pub(super) fn config(state: &State, request: &Request, subject: Option<&Subject>) -> Result<Answer, Error> {
    let config = if request.flag("defaultToGlobal") {
        Some(state.config_in_scope(subject))
    } else {
        state.config(subject)
    };
    let config = config.ok_or_else(|| Error::NoLevelOfSubject(name_of(subject)))?;
    Ok(Answer::json(config.members("compatibilityLevel")))
}

/// Sets what the body says; what it does not name stays.
pub(super) fn set_config(state: &State, subject: Option<&Subject>, body: &[u8]) -> Result<Outcome, Error> {
    let mut config = state.stored_config(subject).cloned().unwrap_or_default();
    config.update(&object(body)?, "compatibility")?;
    if let Some(subject) = subject {
        if !subject.is_valid(true) {
            return Err(Error::InvalidSubject(subject.to_string()));
        }
        deletions::writable(state, subject)?;
    }
    for rules in [&config.default_rule_set, &config.override_rule_set].into_iter().flatten() {
        rules.validate()?;
    }
    room(state)?;
    let members = config.members("compatibility");
    let bytes = Json::Object(members.clone()).to_string().len();
    if bytes > SETTING_BYTES_MAX {
        return Err(Error::TooLarge { bytes, bytes_max: SETTING_BYTES_MAX });
    }
    let records = vec![Record::Config(subject.map(ToString::to_string), Box::new(config))];
    Ok(Outcome::Change { records, answer: Answer::json(members) })
}

/// Unsets it; answers what was set.
pub(super) fn delete_config(state: &State, subject: Option<&Subject>) -> Result<Outcome, Error> {
    let config = state.config(subject).ok_or_else(|| Error::SubjectNotFound(name_of(subject)))?;
    if let Some(subject) = subject {
        deletions::writable(state, subject)?;
    }
    let records = vec![Record::Gone(Key::Config(subject.map(ToString::to_string)))];
    Ok(Outcome::Change { records, answer: Answer::json(config.members("compatibilityLevel")) })
}

/// Answers the mode.
pub(super) fn mode(state: &State, request: &Request, subject: Option<&Subject>) -> Result<Answer, Error> {
    let mode = if request.flag("defaultToGlobal") {
        Some(state.mode_in_scope(subject))
    } else {
        state.mode(subject)
    };
    let mode = mode.ok_or_else(|| Error::NoModeOfSubject(name_of(subject)))?;
    Ok(Answer::json(Json::object([("mode", mode.name().into())])))
}

/// Sets the mode. To import, nothing may be there; what is deleted goes for good.
pub(super) fn set_mode(
    state: &State,
    request: &Request,
    subject: Option<&Subject>,
    body: &[u8],
) -> Result<Outcome, Error> {
    let body = object(body)?;
    let name = body.get("mode").and_then(Json::as_str).ok_or(Error::InvalidMode)?;
    let mode = Mode::of(name).ok_or(Error::InvalidMode)?;
    if subject.is_some_and(|subject| !subject.is_valid(true)) {
        return Err(Error::InvalidSubject(name_of(subject)));
    }
    room(state)?;
    let mut records = Vec::new();
    if mode == Mode::Import && state.mode_in_scope(subject) != Mode::Import && !request.flag("force") {
        let of =
            subject.cloned().unwrap_or(Subject { context: DEFAULT_CONTEXT.to_owned(), name: String::new() });
        if state.has(&of, Filter::Live) {
            return Err(Error::NotPermitted("Cannot import since found existing subjects".to_owned()));
        }
        records = cleared(state, &of)?;
        if !records.is_empty() {
            records.push(Record::ClearSubject(subject.map(ToString::to_string)));
        }
    }
    records.push(Record::Mode(subject.map(ToString::to_string), mode));
    let answer = Answer::json(Json::object([("mode", mode.name().into())]));
    Ok(Outcome::Change { records, answer })
}

/// What takes away all versions of a subject, or of a context, that are deleted.
fn cleared(state: &State, of: &Subject) -> Result<Vec<Record>, Error> {
    let is_meant = |name: &str| of.name.is_empty() || name == of.to_string();
    let mut records = Vec::new();
    for (name, versions) in state.subjects_of(&of.context).filter(|(name, _)| is_meant(name)) {
        let subject = Subject::parse(name);
        let numbers: Vec<i32> = versions.keys().copied().collect();
        for number in &numbers {
            if !state.referrers(&subject, *number, Filter::All).is_empty() {
                return Err(Error::ReferenceExists { subject: name.to_owned(), version: *number });
            }
        }
        records.extend(deletions::gone(state, &subject, &numbers));
    }
    Ok(records)
}

/// Unsets the mode; answers what it was.
pub(super) fn delete_mode(
    state: &State,
    request: &Request,
    subject: Option<&Subject>,
) -> Result<Outcome, Error> {
    let is_recursive = request.flag("recursive");
    let mode = state.mode(subject);
    if mode.is_none() && !is_recursive {
        return Err(Error::SubjectNotFound(name_of(subject)));
    }
    let mut records = vec![Record::Gone(Key::Mode(subject.map(ToString::to_string)))];
    if is_recursive && subject.is_none_or(|subject| subject.name.is_empty()) {
        let context = subject.map_or(DEFAULT_CONTEXT, |subject| subject.context.as_str());
        let below = state.modes().filter(|name| {
            let subject = Subject::parse(name);
            subject.context == context && !subject.name.is_empty()
        });
        records.extend(below.map(|name| Record::Gone(Key::Mode(Some(name.to_owned())))));
    }
    let mut members = Members::new();
    if let Some(mode) = mode {
        Json::push(&mut members, "mode", mode.name());
    }
    Ok(Outcome::Change { records, answer: Answer::json(members) })
}

fn room(state: &State) -> Result<(), Error> {
    if state.modes().count() + state.configs().count() >= SETTINGS_MAX {
        return Err(Error::Full(format!(
            "settings are made for {SETTINGS_MAX} subjects, which are the most"
        )));
    }
    Ok(())
}

fn name_of(subject: Option<&Subject>) -> String {
    subject.map(ToString::to_string).unwrap_or_default()
}
