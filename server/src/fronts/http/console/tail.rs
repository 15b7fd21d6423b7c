//! The live view: what comes to a topic from now on, as events, from all its partitions in one stream.
//!
//! ```text
//! id: 0:17,1:4        where each partition goes on: a browser that comes again gets what follows
//! data: {"records": [...], "seen": 3, "skipped": 0, "is_behind": false}
//! ```
//! What a browser does not take is not read, so that none is left out however fast records come. There is one
//! way to lose some: retention, or DeleteRecords, deletes them before they were read. `skipped` counts those.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::select_all;
use futures_util::stream;
use strandline_engine::Isolation;
use tokio::time::Instant;

use super::guard::{Ask, Failed};
use super::search::{Asked, Found, Look, read_positions, written};
use super::shown::DECODED_BYTES_MAX;
use super::viewer::Viewer;
use crate::fronts::http::ask::{Asker, InPath, Queried, held};
use crate::fronts::http::problem::Problem;
use crate::fronts::http::records::Unwritten;
use crate::fronts::http::schemas::Registry;
use crate::fronts::http::topics::{Moment, Wanted};

/// Records of one event, and about how many bytes it has.
const EVENT_RECORDS: usize = 200;
const EVENT_BYTES: usize = 256 << 10;

/// So often a stream without events shows that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Shortest time between two events: a browser shows no more.
const PAUSE: Duration = Duration::from_millis(100);

/// A stream of events.
struct Tail {
    asker: Asker,
    registry: Arc<Registry>,
    look: Look,
    /// Whether the last event has said that there is more.
    is_behind: bool,
    is_over: bool,
}

pub(super) async fn events(
    viewer: Viewer,
    Extension(registry): Extension<Arc<Registry>>,
    Ask(InPath(name)): Ask<InPath<String>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let topic = viewer.asker.topic(&name, false).await?;
    // From now on: nothing of what is there.
    let asked = Asked { from: "end".to_owned(), ..asked };
    let mut look = asked.look(&viewer.asker, &topic, 0).await?;
    look.ends.clear();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    match last {
        Some(id) => look.positions = read_positions(id)?,
        None => {
            let of: Vec<(&str, i32)> =
                look.positions.iter().map(|(index, _)| (name.as_str(), *index)).collect();
            let ends = viewer.asker.offsets(&of, Moment::Latest, Isolation::ReadUncommitted).await?;
            for ((_, position), end) in look.positions.iter_mut().zip(ends) {
                *position = end.unwrap_or(0);
            }
        }
    }
    let tail = Tail { asker: viewer.asker.clone(), registry, look, is_behind: false, is_over: false };
    let stream = stream::unfold(tail, async |mut tail| {
        let next = tail.next().await?;
        Some((Ok::<_, Infallible>(next), tail))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((StatusCode::OK, headers, Body::from_stream(stream)).into_response())
}

impl Tail {
    /// The next event, or a sign of life; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        match self.read().await {
            Ok(event) => Some(event),
            Err(_) if *self.asker.shared.stopping.borrow() => None,
            Err(problem) => {
                self.is_over = true;
                let told = serde_json::json!({"message": problem.message});
                Some(format!("event: failed\ndata: {told}\n\n").into())
            }
        }
    }

    async fn read(&mut self) -> Result<Bytes, Problem> {
        let deadline = Instant::now() + SIGN_OF_LIFE;
        loop {
            if *self.asker.shared.stopping.borrow() {
                return Err(Problem::away("the broker stops"));
            }
            let event = self.event().await;
            match event {
                Err(Problem { status: StatusCode::TOO_MANY_REQUESTS, after: Some(after), .. }) => {
                    tokio::time::sleep(after).await;
                }
                Err(problem) => return Err(problem),
                Ok(Some(event)) => {
                    tokio::time::sleep(PAUSE).await;
                    return Ok(event);
                }
                Ok(None) => {
                    if !self.wait(deadline).await {
                        return Ok(Bytes::from_static(b": nothing new\n\n"));
                    }
                }
            }
        }
    }

    /// What has come, if anything has.
    async fn event(&mut self) -> Result<Option<Bytes>, Problem> {
        let skipped = self.pass_over_what_is_gone().await?;
        let before = self.look.positions.clone();
        let room = self.asker.shared.room(2 * EVENT_BYTES).await?;
        let (mut records, mut shown, mut seen) = (Vec::new(), 0, 0);
        let registry = self.registry.clone();
        let mut schemas = registry.readers();
        let is_behind = loop {
            let mut needed = None;
            let looked = self
                .look
                .on(&self.asker, EVENT_RECORDS - shown, &mut |record| {
                    let before = records.len();
                    if shown > 0 {
                        records.push(b',');
                    }
                    match record.write_decoded(&mut records, schemas.at_hand(), DECODED_BYTES_MAX) {
                        Ok(()) => shown += 1,
                        Err(Unwritten::Needs(id)) => {
                            records.truncate(before);
                            needed = Some(id);
                            return Ok(Found::Left);
                        }
                        Err(Unwritten::Problem(problem)) => return Err(problem),
                    }
                    Ok(if records.len() < EVENT_BYTES { Found::Taken } else { Found::Last })
                })
                .await?;
            seen += looked.records;
            match needed {
                Some(id) => schemas.look_up(&self.asker, id).await,
                None => break !looked.is_done,
            }
        };
        // What was said to be to come may turn out to be nothing: that is told as well.
        let was_behind = std::mem::replace(&mut self.is_behind, is_behind);
        if before == self.look.positions && skipped == 0 && was_behind == is_behind {
            return Ok(None);
        }
        let mut event = format!("id: {}\ndata: {{\"records\":[", written(&self.look.positions)).into_bytes();
        event.extend_from_slice(&records);
        let rest = format!("],\"seen\":{seen},\"skipped\":{skipped},\"is_behind\":{is_behind}}}\n\n");
        event.extend_from_slice(rest.as_bytes());
        Ok(Some(held(event, room)))
    }

    /// Moves positions to where logs start now; gives how many offsets that were.
    async fn pass_over_what_is_gone(&mut self) -> Result<i64, Problem> {
        let topic = self.look.topic.clone();
        let of: Vec<(&str, i32)> =
            self.look.positions.iter().map(|(index, _)| (topic.as_str(), *index)).collect();
        let starts = self.asker.offsets(&of, Moment::Earliest, Isolation::ReadUncommitted).await?;
        let mut skipped = 0;
        for ((_, position), start) in self.look.positions.iter_mut().zip(starts) {
            let start = start.unwrap_or(0);
            skipped += (start - *position).max(0);
            *position = start.max(*position);
        }
        Ok(skipped)
    }

    /// Waits until there may be more in a partition; false when that takes until `deadline`.
    async fn wait(&self, deadline: Instant) -> bool {
        let Look { topic, positions, .. } = &self.look;
        let wanted: Vec<Wanted<'_>> = positions
            .iter()
            .map(|(partition, offset)| Wanted {
                topic,
                partition: *partition,
                offset: *offset,
                bytes_max: 1,
                isolation: Isolation::ReadUncommitted,
            })
            .collect();
        if wanted.is_empty() {
            return false;
        }
        let waits = wanted.iter().map(|wanted| Box::pin(self.asker.wait(wanted, deadline)));
        let (there_is, _, _) = select_all(waits).await;
        there_is
    }
}
