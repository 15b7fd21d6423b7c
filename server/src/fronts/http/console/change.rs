//! A change that a form asks for: who may ask for one, and what is kept of it.
//!
//! * A change comes by POST from a page of this front: `Sec-Fetch-Site` and `Origin`, where a browser says
//!   them, and a token in the form, which is bound to its user and to this run of the broker.
//! * It needs a user: whoever has not proven to be one changes nothing here, whatever the broker's rules are.
//!   What a user may do the broker decides, as for any client.
//! * Each is noted, done or not, in the log and in a list in memory, of which the newest
//!   [`CHANGES_MAX`](super::noted::CHANGES_MAX) are kept until the broker ends.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, header};

use super::format::cut;
use super::forms::TOKEN;
use super::guard::Failed;
use super::noted::Noted;
use super::viewer::Viewer;
use crate::fronts::http::ask::{State, Whole};
use crate::fronts::http::problem::Problem;

/// Characters of what a change was.
const WHAT_CHARS: usize = 300;

/// Bytes of a form, and fields in it.
const FORM_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 64;

/// A form that was sent, by a user, from a page of ours.
pub(super) struct Change {
    /// Who.
    pub(super) viewer: Viewer,
    fields: Vec<(String, String)>,
}

fn refused(words: &str) -> Failed {
    Failed(Problem::new(StatusCode::FORBIDDEN, Some(1), words))
}

/// Whether a browser says that another site has sent the form.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text(header::HeaderName::from_static("sec-fetch-site")).is_some_and(|site| site != "same-origin") {
        return true;
    }
    // Whether it is http or https a proxy in front of us may have decided.
    let host = text(header::HOST).unwrap_or_default();
    text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").is_none_or(|(_, place)| place != host))
}

impl FromRequest<State> for Change {
    type Rejection = Failed;

    async fn from_request(request: Request, shared: &State) -> Result<Change, Failed> {
        let (mut parts, body) = request.into_parts();
        if is_foreign(&parts.headers) {
            return Err(refused("the form comes from another site"));
        }
        let viewer = Viewer::from_request_parts(&mut parts, shared).await?;
        if !viewer.may_change() {
            return Err(refused("without a user the console is read-only"));
        }
        let whole = Whole::from_request(Request::from_parts(parts, body), shared).await?;
        if whole.bytes.len() > FORM_BYTES_MAX {
            return Err(Failed(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, None, "the form is too large")));
        }
        let fields = form_urlencoded::parse(&whole.bytes).into_owned().take(FIELDS_MAX).collect();
        let change = Change { viewer, fields };
        if !change.viewer.console.is_token(&change.viewer.principal(), change.field(TOKEN)) {
            return Err(refused("the form is too old, or not ours: open its page anew"));
        }
        Ok(change)
    }
}

impl Change {
    /// What stands in a field; nothing where there is none.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Notes what has become of the change.
    ///
    /// # Errors
    /// What it has come to.
    pub(super) fn noted<T>(&self, what: String, done: Result<T, Problem>) -> Result<T, Problem> {
        let session = &self.viewer.asker.session;
        let refused = done.as_ref().err().map(|problem| problem.message.clone());
        let (user, peer) = (session.principal.to_string(), session.peer.ip().to_string());
        let what = cut(&what, WHAT_CHARS).0.to_owned();
        match &refused {
            None => tracing::info!(user, peer, ?what, "changed by the console"),
            Some(why) => tracing::info!(user, peer, ?what, ?why, "a change by the console was refused"),
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        self.viewer.console.changes.note(Noted { at, user, peer, what, refused });
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_form_of_another_site_is_told_by_what_its_browser_says() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            pairs.iter().map(pair).collect()
        };
        let host = ("host", "localhost:8080");
        for ours in [
            vec![host],
            vec![host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")],
            vec![host, ("origin", "https://localhost:8080")],
        ] {
            assert!(!is_foreign(&headers(&ours)), "{ours:?}");
        }
        for foreign in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:9090"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
        ] {
            assert!(is_foreign(&headers(&[host, foreign])), "{foreign:?}");
        }
    }
}
