//! Confluent's API of a schema registry: every path below its first parts goes to `strandline-schemas`, which
//! knows the routes, so that an unknown one is 404 whatever the method.

mod described;

use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use strandline_schemas::Error;
use strandline_schemas::api::{self, Answer, Request, Route};
use tokio::sync::OwnedSemaphorePermit;

use super::call::Face;
use crate::fronts::http::ask::{Asker, State, Whole, held};
use crate::fronts::http::problem::Problem;
use crate::fronts::http::schemas::Registry;

/// What an answer is, unless plain JSON is asked for.
pub(super) const MEDIA: &str = "application/vnd.schemaregistry.v1+json";

/// Bytes of an answer that lists, at most, with what it is made of.
const LIST_BYTES: usize = 32 << 20;

/// The first parts of its paths.
const PLACES: [&str; 6] = ["/subjects", "/schemas", "/compatibility", "/config", "/mode", "/contexts"];

/// The face.
pub(super) fn face() -> Router<State> {
    let mut router = Router::new();
    for place in PLACES {
        router = router
            .route(place, any(answer))
            .route(&format!("{place}/"), any(answer))
            .route(&format!("{place}/{{*rest}}"), any(answer));
    }
    router.route("/v1/metadata/{*rest}", any(answer))
}

/// What the document says of them; below `/contexts/CONTEXT` there are the same calls for one context.
pub(super) fn described() -> Face {
    described::face()
}

async fn answer(
    asker: Asker,
    Extension(registry): Extension<Arc<Registry>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Whole,
) -> Result<Response, Problem> {
    // The memory of a list is taken before it is made, that of any other answer is little.
    let (answer, room) = match request(&method, &uri) {
        Ok(request) => {
            let room = asker.shared.room(if lists(&request.route) { LIST_BYTES } else { 0 }).await?;
            (registry.answer(&asker, request, body.bytes.clone()).await?, room)
        }
        Err(error) => (Answer::refused(&error), asker.shared.room(0).await?),
    };
    Ok(response(answer, &headers, room))
}

fn request(method: &Method, uri: &Uri) -> Result<Request, Error> {
    let method = match *method {
        Method::GET => api::Method::Get,
        Method::POST => api::Method::Post,
        Method::PUT => api::Method::Put,
        Method::DELETE => api::Method::Delete,
        _ => return Err(Error::NoSuchPath),
    };
    Request::parse(method, uri.path(), uri.query().unwrap_or_default())
}

/// Whether an answer is as long as there are schemas or subjects.
fn lists(route: &Route) -> bool {
    matches!(route, Route::Schemas | Route::Subjects | Route::SubjectsOfId(_) | Route::VersionsOfId(_))
}

fn response(answer: Answer, headers: &HeaderMap, room: OwnedSemaphorePermit) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = match answer.body {
        api::Body::Json(json) => json.to_string(),
        api::Body::Text(text) => text,
        api::Body::Empty => return status.into_response(),
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_plain = accept.contains("application/json") && !accept.contains("vnd.schemaregistry");
    let media = if is_plain { "application/json" } else { MEDIA };
    (status, [(header::CONTENT_TYPE, media)], held(body.into_bytes(), room)).into_response()
}
