//! Values by schemas, for the faces whose clients send and take JSON: the schema that a producer names, and
//! those that records name which are read.
//!
//! Whoever may read records may read what they say, whatever rights there are to look at schemas. Whoever
//! appends by a schema may look at it, or it is one of the topic; a new one is registered as the client
//! itself would.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use strandline_schemas::api::{Access, Answer, Body, Method, Request};
use strandline_schemas::definition::{Guid, SchemaType};
use strandline_schemas::subject::DEFAULT_CONTEXT;
use strandline_schemas::values::Values;
use strandline_schemas::{Json, State};

use super::topic::check_rights;
use super::{Registry, is_of};
use crate::fronts::http::ask::Asker;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::produce::BySchema;
use crate::fronts::http::records::{AtHand, Form};

/// Bytes of schemas that are kept understood, about; past it all are let go.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Schemas of one read; it ends before a record of one more.
const SCHEMAS_OF_READ_MAX: usize = 100;

/// Schemas that are understood, by what they are told apart by.
#[derive(Default)]
pub(super) struct Kept(Mutex<(HashMap<Guid, Arc<Values>>, usize)>);

impl Kept {
    fn get(&self, guid: Guid) -> Option<Arc<Values>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.get(&guid).cloned()
    }

    fn put(&self, guid: Guid, values: Arc<Values>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (by_guid, bytes) = &mut *kept;
        if *bytes + values.weight() > KEPT_BYTES_MAX {
            by_guid.clear();
            *bytes = 0;
        }
        let weight = values.weight();
        if by_guid.insert(guid, values).is_none() {
            *bytes += weight;
        }
    }
}

/// The schemas of one read.
pub(in crate::fronts::http) struct Readers<'a> {
    registry: &'a Registry,
    at_hand: AtHand,
}

impl Readers<'_> {
    /// Those that are at hand.
    pub(in crate::fronts::http) fn at_hand(&self) -> &AtHand {
        &self.at_hand
    }

    /// Has one more at hand; false where there are enough.
    ///
    /// # Errors
    /// [`Problem`] where the registry cannot be asked.
    pub(in crate::fronts::http) async fn fetch(&mut self, asker: &Asker, id: i32) -> Result<bool, Problem> {
        if self.at_hand.len() >= SCHEMAS_OF_READ_MAX {
            return Ok(false);
        }
        let found = self.registry.values(asker, id).await?;
        self.at_hand.insert(id, found);
        Ok(true)
    }

    /// Has one more at hand, or why it is not: for what is shown in either case.
    pub(in crate::fronts::http) async fn look_up(&mut self, asker: &Asker, id: i32) {
        let why = match self.fetch(asker, id).await {
            Ok(true) => return,
            Ok(false) => format!("schema {id} is not looked up: there are {SCHEMAS_OF_READ_MAX} others"),
            Err(problem) => problem.message,
        };
        self.at_hand.insert(id, Err(why));
    }
}

impl Registry {
    /// For a read of records.
    pub(in crate::fronts::http) fn readers(&self) -> Readers<'_> {
        Readers { registry: self, at_hand: AtHand::new() }
    }

    /// The schema that keys or values are written by, as the client names it: the id of one that is
    /// registered, or a text, which is registered for the subject unless it is there.
    ///
    /// # Errors
    /// [`Problem`].
    pub(in crate::fronts::http) async fn writer(
        &self,
        asker: &Asker,
        subject: &str,
        form: Form,
        text: Option<String>,
        id: Option<i32>,
    ) -> Result<Option<BySchema>, Problem> {
        let Some(schema_type) = form.schema_type() else { return Ok(None) };
        let id = match (id, text) {
            (Some(id), _) => id,
            (None, Some(text)) => self.registered(asker, subject, schema_type, text).await?,
            (None, None) => return Ok(None),
        };
        let values = self.values(asker, id).await?;
        let known = self.caught_up(asker).await?;
        if !is_of(&known.state, id, subject) {
            // What is wrong with a record says much of the schema.
            check_rights(asker, &Access { is_write: false, subject: None }).await?;
        }
        let values = values.map_err(|why| Problem::invalid(5, why))?;
        match values.schema_type() == schema_type {
            true => Ok(Some(BySchema { id, values })),
            false => {
                let words = format!("schema {id} is one of {}, not of {schema_type}", values.schema_type());
                Err(Problem::invalid(5, words))
            }
        }
    }

    /// Does what takes its time with records that go by schemas.
    ///
    /// # Errors
    /// 503 where too much waits.
    pub(in crate::fronts::http) async fn encode<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.encoder.run(job).await
    }

    /// The values of the schema with an id, or why there are none.
    async fn values(&self, asker: &Asker, id: i32) -> Result<Result<Arc<Values>, String>, Problem> {
        let mut known = self.known();
        let mut guid = guid_of(&known.state, id);
        if guid.is_none() {
            known = self.caught_up(asker).await?;
            guid = guid_of(&known.state, id);
        }
        let Some(guid) = guid else { return Ok(Err(format!("there is no schema {id}"))) };
        if let Some(kept) = self.kept.get(guid) {
            return Ok(Ok(kept));
        }
        let found = self.worker.run(move || strandline_schemas::values_of(&known.state, id)).await?;
        Ok(match found {
            Some(Ok(values)) => {
                let values = Arc::new(values);
                self.kept.put(guid, values.clone());
                Ok(values)
            }
            Some(Err(why)) => Err(format!("schema {id} cannot be understood: {why}")),
            None => Err(format!("there is no schema {id}")),
        })
    }

    /// The id of a text that is registered for a subject, by now.
    async fn registered(
        &self,
        asker: &Asker,
        subject: &str,
        schema_type: SchemaType,
        text: String,
    ) -> Result<i32, Problem> {
        let body = Json::object([("schemaType", schema_type.name().into()), ("schema", text.into())]);
        let body = bytes::Bytes::from(body.to_string());
        let mut answer = Answer { status: 404, body: Body::Empty };
        for path in [format!("/subjects/{subject}"), format!("/subjects/{subject}/versions")] {
            let request = Request::parse(Method::Post, &path, "");
            let request = request.map_err(|error| Problem::invalid(5, error.to_string()))?;
            answer = self.answer(asker, request, body.clone()).await?;
            if answer.status != 404 {
                break;
            }
        }
        let Body::Json(json) = &answer.body else { return Err(Problem::invalid(5, "it is not registered")) };
        let id = json.get("id").and_then(Json::as_i64).and_then(|id| i32::try_from(id).ok());
        match (answer.status, id) {
            (200, Some(id)) => Ok(id),
            (status, _) => {
                let why = json.get("message").and_then(Json::as_str).unwrap_or_default();
                let words = format!("subject {subject}: {why}");
                Err(match status {
                    409 => Problem::new(StatusCode::CONFLICT, None, words),
                    500.. => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Some(1), words),
                    _ => Problem::invalid(5, words),
                })
            }
        }
    }
}

fn guid_of(state: &State, id: i32) -> Option<Guid> {
    state.places_of_id(DEFAULT_CONTEXT, id).next().map(|(_, entry)| entry.guid)
}
