//! What is answered: the faces of the front, put together, and what holds for all of them.
//!
//! ```text
//! pages      /metrics, /metrics/partitions, /healthz, /readyz
//! reads      /topics/T/partitions/P/records: records of a partition, as JSON or as events
//! v2         /topics, /consumers, /brokers, /admin: the second version of the REST API
//! v3         /v3, /kafka/v3: the third version, as far as it has a use on one node
//! schemas    /subjects, /schemas, /compatibility, /config, /mode, /contexts: the schema registry
//! openapi    /openapi.json, made of the same lists that the router is made of
//! console    /console: pages for a browser, which have a module of their own; / leads there
//! ```
//! A face is a list of calls ([`call::Face`]), or a router of its own; whoever adds one does so in
//! [`Faces::new`]. An unknown path is 404, in JSON. Each answer carries
//! `X-Request-Id`: the client's, or one that is made for it.

mod call;
mod pages;
mod reads;
mod schemas;
mod v2;
mod v3;

#[cfg(any(test, feature = "testing"))]
pub(in crate::fronts::http) use self::v3::check_stream;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State as OfLayer};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::ask::{Connected, State};
use super::console::{self, Console};
use super::consumers::Consumers;
use super::hosts::Hosts;
use super::problem::Problem;
use super::records;
use super::schemas::Registry;
use crate::security::random;

/// How long an answer may take to begin.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(120);

/// Longest id of a request that a client gives.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The header with it.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// All faces.
pub(super) struct Faces {
    /// What answers.
    pub(super) router: Router,
    /// The consumers that were made by them.
    pub(super) consumers: Arc<Consumers>,
}

impl Faces {
    /// The faces of a front.
    pub(super) fn new(shared: &State) -> Faces {
        let consumers: Arc<Consumers> = Arc::default();
        let console = Arc::new(Console::new());
        tokio::spawn(console.clone().watch(shared.clone()));
        let router = router(shared, consumers.clone(), console);
        Faces { router, consumers }
    }
}

fn router(shared: &State, consumers: Arc<Consumers>, console: Arc<Console>) -> Router {
    let mut document = openapi();
    let mut router = Router::new();
    for face in [reads::face(), v2::face(), v3::face()] {
        router = call::add(face, router, &mut document);
    }
    call::describe(&schemas::described(), &mut document);
    let document = Bytes::from(records::json(&document));
    let told = async move || ([(header::CONTENT_TYPE, "application/json")], document.clone());
    let hosts = Arc::new(Hosts::new(&shared.around.config));
    router = router.merge(schemas::face()).route("/openapi.json", get(told));
    if shared.is_for_anybody() {
        router = router.layer(middleware::from_fn_with_state(hosts.clone(), at_a_name_of_ours));
    }
    router
        .merge(pages::face())
        .merge(console::router(console, hosts))
        .layer(Extension(consumers))
        .layer(Extension(Arc::new(Registry::default())))
        .fallback(async || Problem::nothing_here())
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, None, "HTTP 405 Method Not Allowed")
        })
        .layer(middleware::from_fn(around))
        .with_state(shared.clone())
}

/// The document without any call.
fn openapi() -> Value {
    let problem = call::schema("Problem");
    let content = json!({"application/json": {"schema": problem}});
    let of_registry = json!({"application/json": {"schema": problem}, schemas::MEDIA: {"schema": problem}});
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Strandline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "REST on a log; docs/http.md has the words to it.",
            "license": {"name": "Apache-2.0"},
        },
        "paths": {},
        "components": {
            "schemas": {},
            "responses": {
                "Problem": {"description": "Why it is not done", "content": content},
                "RegistryProblem": {"description": "Why it is not done", "content": of_registry},
            },
            "securitySchemes": {
                "user": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{"user": []}, {"token": []}, {}],
    })
}

/// Answers what is asked for by a name of ours alone; a client that says none is no browser.
async fn at_a_name_of_ours(OfLayer(hosts): OfLayer<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    match host.is_none_or(|host| hosts.has(host)) {
        true => next.run(request).await,
        false => Problem::misdirected().into_response(),
    }
}

/// What is done with every request.
async fn around(request: Request, next: Next) -> Response {
    let id = request.headers().get(&REQUEST_ID).filter(|id| is_id(id)).cloned().unwrap_or_else(new_id);
    let peer = request.extensions().get::<Connected>().map(|connected| connected.peer);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = timeout(REQUEST_TIME_MAX, next.run(request)).await;
    let mut response =
        answered.unwrap_or_else(|_| Problem::late("the request takes too long").into_response());
    tracing::debug!(
        peer = peer.map(tracing::field::display),
        id = id.to_str().unwrap_or_default(),
        %method, path, status = response.status().as_u16(), "answered"
    );
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    response
}

fn is_id(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn new_id() -> HeaderValue {
    let id = u128::from_be_bytes(random());
    HeaderValue::from_str(&format!("{id:032x}")).unwrap_or_else(|_| HeaderValue::from_static("-"))
}
