//! What each request does.

mod deletions;
mod look_up;
mod populate;
mod reads;
mod register;
mod resolve;
mod settings;
mod show;
mod testing;
mod understood;
mod values;

#[cfg(test)]
mod tests;

use crate::api::{Answer, Outcome, Request, Route};
use crate::definition::SchemaType;
use crate::error::Error;
use crate::json::Json;
use crate::state::State;
use crate::subject::Subject;

pub use self::values::values_of;

/// The answer to a request, or what it changes.
pub fn answer(state: &State, request: &Request, body: &[u8]) -> Outcome {
    answered(state, request, body).unwrap_or_else(|error| Answer::refused(&error).into())
}

fn answered(state: &State, request: &Request, body: &[u8]) -> Result<Outcome, Error> {
    let subject = |name: &String| Subject::parse(name);
    let scope = |name: &Option<String>| name.as_deref().map(Subject::parse);
    Ok(match &request.route {
        Route::Root => Answer::json(Vec::<(String, Json)>::new()).into(),
        Route::Types => Answer::json(SchemaType::ALL.iter().map(|kind| kind.name()).collect::<Json>()).into(),
        Route::Schemas => reads::schemas(state, request).into(),
        Route::ById(id) => reads::by_id(state, request, *id)?.into(),
        Route::TextById(id) => reads::text_by_id(state, request, *id)?.into(),
        Route::SubjectsOfId(id) => reads::subjects_of_id(state, request, *id)?.into(),
        Route::VersionsOfId(id) => reads::versions_of_id(state, request, *id)?.into(),
        Route::ByGuid(guid) => reads::by_guid(state, request, guid)?.into(),
        Route::IdsOfGuid(guid) => reads::ids_of_guid(state, guid)?.into(),
        Route::Subjects => reads::subjects(state, request).into(),
        Route::LatestWithMetadata(name) => {
            reads::latest_with_metadata(state, request, &subject(name))?.into()
        }
        Route::Versions(name) => reads::versions(state, request, &subject(name))?.into(),
        Route::Version(name, version) => reads::version(state, request, &subject(name), version)?.into(),
        Route::TextOfVersion(name, version) => {
            reads::text_of_version(state, request, &subject(name), version)?.into()
        }
        Route::ReferencedBy(name, version) => {
            reads::referenced_by(state, request, &subject(name), version)?.into()
        }
        Route::Contexts => reads::contexts(state, request).into(),
        Route::ClusterId => reads::cluster_id().into(),
        Route::ServerVersion => reads::server_version().into(),
        Route::LookUp(name) => look_up::look_up(state, request, &subject(name), body)?.into(),
        Route::Register(name) => register::register(state, request, &subject(name), body)?,
        Route::TestVersion(name, version) => {
            testing::against_version(state, request, &subject(name), version, body)?.into()
        }
        Route::TestSubject(name) => testing::against_subject(state, request, &subject(name), body)?.into(),
        Route::DeleteSubject(name) => deletions::subject(state, request, &subject(name))?,
        Route::DeleteVersion(name, version) => deletions::version(state, request, &subject(name), version)?,
        Route::DeleteContext(name) => deletions::context(state, name)?,
        Route::Config(name) => settings::config(state, request, scope(name).as_ref())?.into(),
        Route::SetConfig(name) => settings::set_config(state, scope(name).as_ref(), body)?,
        Route::DeleteConfig(name) => settings::delete_config(state, scope(name).as_ref())?,
        Route::Mode(name) => settings::mode(state, request, scope(name).as_ref())?.into(),
        Route::SetMode(name) => settings::set_mode(state, request, scope(name).as_ref(), body)?,
        Route::DeleteMode(name) => settings::delete_mode(state, request, scope(name).as_ref())?,
    })
}

/// Reads the body of a request: an object.
fn object(body: &[u8]) -> Result<Json, Error> {
    let json = Json::parse(body).map_err(|error| Error::Body(format!("the body is no JSON: {error}")))?;
    match json {
        Json::Object(_) => Ok(json),
        _ => Err(Error::Body("the body is no JSON object".to_owned())),
    }
}
