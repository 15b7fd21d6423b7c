//! Who may look and from where: the Host of a request, what a page may do in a browser, and what of a request
//! is wrong, told as a page.
//!
//! * **Host**: an address, `localhost`, or a name that the broker itself is known by. Another name may have
//!   been pointed at this machine by a stranger, for whom a browser would read the pages here.
//! * **Content-Security-Policy**: scripts, styles and connections of this front alone, and nothing inline.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State as OfLayer};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::format::cut;
use super::frame::{HTML, failure};
use crate::config::{Advertised, BrokerConfig};
use crate::fronts::http::ask::State;
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

/// The names by which the broker is known.
pub(super) struct Hosts(BTreeSet<String>);

impl Hosts {
    /// Those of the settings, and the machine's own.
    pub(super) fn new(config: &BrokerConfig) -> Hosts {
        let mut names = BTreeSet::from(["localhost".to_owned()]);
        names.insert(rustix::system::uname().nodename().to_string_lossy().to_lowercase());
        for listener in &config.listeners {
            names.insert(listener.listen.host.to_lowercase());
            if let Advertised::At(place) = &listener.advertised {
                names.insert(place.host.to_lowercase());
            }
        }
        names.extend(config.http.as_ref().map(|(place, _)| place.host.to_lowercase()));
        Hosts(names)
    }

    /// Whether a Host is one of them; the port does not matter.
    fn has(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
        name.parse::<IpAddr>().is_ok() || self.0.contains(&name)
    }
}

/// What is done with every request of the console.
pub(super) async fn around(OfLayer(hosts): OfLayer<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = match host {
        Some(host) if hosts.has(host) => next.run(request).await,
        _ => {
            let words = "the broker is not known by this name: open the console by an address, or by a name that \
                         stands in its listeners";
            Failed(Problem::new(StatusCode::MISDIRECTED_REQUEST, None, words)).into_response()
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_name_of_our_own_is_let_in_and_no_other() {
        let hosts = Hosts(["localhost", "broker.example"].map(str::to_owned).into());
        for own in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:80",
            "127.0.0.1",
            "10.1.2.3:8080",
            "[::1]:8080",
            "[::1]",
            "Broker.Example:1",
        ] {
            assert!(hosts.has(own), "{own}");
        }
        for foreign in
            ["", ":80", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[", "[evil]:80"]
        {
            assert!(!hosts.has(foreign), "{foreign}");
        }
    }
}
