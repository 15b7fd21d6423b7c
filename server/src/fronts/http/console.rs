//! The console: pages about the broker for a browser, made here, and served by the broker itself.
//!
//! ```text
//! guard     Host, what a browser may do with a page; what went wrong, as a page
//! viewer    who looks, and what may be shown
//! sample    the broker at one moment, every 15 s > history: the last day, in memory
//! frame page chart format    what pages are made of
//! forms change noted    a change that a form asks for: its token, who may ask for it, what is kept of it
//! overview topics topic messages message tail ...    the pages
//! ```
//! A page works without its script, but for the live view. Pages ask the broker as Kafka's clients do, for
//! the user of the request: what that user may not see is not there. What the broker says of itself without a
//! request of Kafka's is shown to those that may describe the cluster, as its metrics are.
//!
//! Texts of clients (names, keys, values) pass through `maud`, which escapes them, or through the script as
//! text; and the pages forbid any script that is not ours.

mod access;
mod audit;
mod change;
mod chart;
mod diff;
mod edit;
mod format;
mod forms;
mod frame;
mod group;
mod groups;
mod guard;
mod history;
mod message;
mod messages;
mod noted;
mod overview;
mod page;
mod record;
mod reset;
mod sample;
mod schema;
mod schemas;
mod search;
mod settings;
mod shown;
mod tail;
mod topic;
mod topics;
mod transactions;
mod viewer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use ring::{digest, hmac};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use self::history::History;
use self::noted::Changes;
use self::sample::{Closed, Sample};
use super::ask::State;
use super::hosts::Hosts;
use super::media;
use super::problem::Problem;
use crate::security::random;

/// How often a sample is taken, and how old one may be when somebody looks.
const EVERY: Duration = Duration::from_secs(15);
const OLD: Duration = Duration::from_secs(2);

/// How long a sample may take.
const SAMPLE_TIME_MAX: Duration = Duration::from_secs(8);

/// How often it is looked whether the broker has recovered.
const RECOVERING: Duration = Duration::from_millis(200);

const STYLE: &str = include_str!("console/style.css");
const SCRIPT: &str = include_str!("console/script.js");
const ICON: &str = include_str!("console/icon.svg");

/// What all pages share.
pub(super) struct Console {
    history: Mutex<History>,
    changes: Changes,
    /// For the tokens of forms.
    key: hmac::Key,
    /// Somebody has looked at old numbers.
    looked: Notify,
}

impl Console {
    /// One that knows nothing yet.
    pub(super) fn new() -> Console {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>());
        Console { history: Mutex::default(), changes: Changes::default(), key, looked: Notify::new() }
    }

    /// The token of a user's forms.
    fn token(&self, user: &str) -> String {
        forms::token(&self.key, user)
    }

    /// Whether that is one of them.
    fn is_token(&self, user: &str, given: &str) -> bool {
        forms::is_token(&self.key, user, given)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody looks: the next page has newer numbers.
    fn looked_at(&self) {
        if self.history().now().is_none_or(|sample| sample.taken.elapsed() >= OLD) {
            self.looked.notify_one();
        }
    }

    /// Keeps the history until the front ends.
    pub(super) async fn watch(self: Arc<Console>, shared: State) {
        let mut closed = Closed::default();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = shared.stopped() => return,
                () = tokio::time::sleep_until(next) => {}
                () = self.looked.notified() => {}
            }
            let Ok(engine) = shared.engine() else {
                next = Instant::now() + RECOVERING;
                continue;
            };
            next = Instant::now() + EVERY;
            let around = &shared.around;
            let taking = Sample::take(engine, &around.groups, &around.config.data_dir, &mut closed);
            match timeout(SAMPLE_TIME_MAX, taking).await {
                Ok(sample) => self.history().note(sample),
                Err(_) => {
                    tracing::warn!("a shard does not say what it has counted: the console has old numbers")
                }
            }
            // Whoever looks all the time does not have the shards say it all the time.
            sleep(OLD).await;
        }
    }
}

/// The pages, and the door to them.
pub(super) fn router(console: Arc<Console>, hosts: Arc<Hosts>) -> Router<State> {
    Router::new()
        .route("/", get(door))
        .route("/console", get(overview::show))
        .route("/console/topics", get(topics::show))
        .route("/console/new-topic", get(edit::new_topic).post(edit::create))
        .route("/console/topics/{topic}", get(topic::show))
        .route("/console/topics/{topic}/groups", get(topic::groups))
        .route("/console/topics/{topic}/messages", get(messages::show))
        .route("/console/topics/{topic}/message", get(message::show))
        .route("/console/topics/{topic}/bytes", get(message::part))
        .route("/console/topics/{topic}/records.jsonl", get(messages::file))
        .route("/console/topics/{topic}/tail", get(tail::events))
        .route("/console/topics/{topic}/settings", get(settings::of_a_topic).post(settings::change_topic))
        .route("/console/topics/{topic}/replay", post(edit::replay))
        .route("/console/topics/{topic}/delete", post(edit::delete))
        .route("/console/groups", get(groups::show))
        .route("/console/group", get(group::show))
        .route("/console/group/reset", get(group::plan).post(group::apply))
        .route("/console/schemas", get(schemas::show))
        .route("/console/schema", get(schema::show))
        .route("/console/transactions", get(transactions::show))
        .route("/console/settings", get(settings::of_broker).post(settings::change_broker))
        .route("/console/access", get(access::show).post(access::create))
        .route("/console/access/delete", post(access::delete))
        .route("/console/audit", get(audit::show))
        .route("/console/style.css", asset("text/css; charset=utf-8", STYLE))
        .route("/console/script.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/console/icon.svg", asset("image/svg+xml", ICON))
        .layer(Extension(console))
        .layer(middleware::from_fn_with_state(hosts, guard::around))
}

/// A browser that comes to the front's root goes to the console.
async fn door(request: Request) -> Response {
    match media::accepted(request.headers()) {
        Some(accept) if accept.contains("text/html") => Redirect::to("/console").into_response(),
        _ => Problem::nothing_here().into_response(),
    }
}

/// A file that is part of the program; a browser that has it is told so.
fn asset(content_type: &'static str, content: &'static str) -> axum::routing::MethodRouter<State> {
    let sum = digest::digest(&digest::SHA256, content.as_bytes());
    let sum: String = sum.as_ref()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{sum}\"");
    get(async move |headers: HeaderMap| {
        let has = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let is_known = has.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag));
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => ([(header::CONTENT_TYPE, content_type)], content).into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    })
}
