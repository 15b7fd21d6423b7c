//! Who may look and from where: the Host of a request, what a page may do in a browser, and what of a request
//! is wrong, told as a page.
//!
//! * **Host**: one of [`Hosts`]. Another name may have been pointed at this machine by a stranger, for whom a
//!   browser would read the pages here.
//! * **Content-Security-Policy**: scripts, styles and connections of this front alone, and nothing inline.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State as OfLayer};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::format::cut;
use super::frame::{HTML, failure};
use crate::fronts::http::ask::State;
use crate::fronts::http::hosts::Hosts;
use crate::fronts::http::problem::Problem;

/// What every answer says of itself.
static HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Characters of what went wrong: it may name what a client has named.
const WORDS_MAX: usize = 500;

/// What is done with every request of the console.
pub(super) async fn around(OfLayer(hosts): OfLayer<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = match host {
        Some(host) if hosts.has(host) => next.run(request).await,
        _ => Failed(Problem::misdirected()).into_response(),
    };
    for (name, value) in &HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let caching = response.headers_mut().entry(header::CACHE_CONTROL);
    caching.or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Why there is no page, as a page.
#[derive(Debug)]
pub(super) struct Failed(pub(super) Problem);

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Failed {
        Failed(problem)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Failed(problem) = self;
        let page = failure(problem.status, cut(&problem.message, WORDS_MAX).0);
        let mut response = problem.into_response();
        *response.body_mut() = page.into_string().into();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
        response
    }
}

/// Something of a request; where it is wrong, the answer is a page.
pub(super) struct Ask<T>(pub(super) T);

impl<T: FromRequestParts<State, Rejection = Problem>> FromRequestParts<State> for Ask<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, shared: &State) -> Result<Ask<T>, Failed> {
        Ok(Ask(T::from_request_parts(parts, shared).await?))
    }
}
