//! What goes on in the broker, for Prometheus and for whoever supervises it: pages, which the HTTP front has
//! as well, and a listener of their own, off unless it is asked for.
//!
//! ```text
//! GET /metrics               shards, topics, groups, requests, the process
//! GET /metrics/partitions    offsets, sizes and lags of single partitions: a line each, so ask less often where there are many
//! GET /healthz               200 while the process lives and every shard answers; 503 once a shard has ended
//! GET /readyz                200 from the end of recovery to the beginning of the stop
//! ```
//!
//! Whoever connects and says nothing, or does not read, keeps nobody else from an answer: [`listener`].
//!
//! Every number belongs to one shard, which adds to it without a lock; a scrape asks each shard through its
//! mailbox and adds up on a thread that is none. `docs/decisions/0010-metrics.md` says why it is made like
//! this, and what it costs.

mod collect;
mod families;
mod http;
mod listener;
mod text;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime};

use crate::fronts::http::Page;
use http::{Response, Status};
use listener::{Lane, Listener};

pub(crate) use collect::Sources;
pub use families::{METRICS, PARTITION_METRICS};
pub use text::{Kind, Metric};

/// How long the shards may take to answer a scrape. Prometheus gives up after 10 s by default.
const SCRAPE_TIME_MAX: Duration = Duration::from_secs(8);

/// How long the shards may take to show that they turn. A turn takes milliseconds; a disk that hangs takes
/// longer than this.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(5);

/// Where the broker is in its life.
enum Phase {
    Recovering,
    Serving(Box<Sources>),
    Stopping,
    /// This shard has ended by itself, and the process is about to.
    Failed(usize),
}

/// What there is to say, whoever it is said by.
#[derive(Clone)]
pub(crate) struct Pages {
    phase: Arc<Mutex<Phase>>,
    started: SystemTime,
}

/// The listener.
pub(crate) struct Endpoint(Listener);

impl Endpoint {
    /// Answers from now on, so many connections at a time.
    pub(crate) fn start(socket: TcpListener, connections_max: usize, pages: Pages) -> io::Result<Endpoint> {
        Ok(Endpoint(Listener::start(socket, connections_max, lane, move |path| pages.answer(path))?))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

impl Pages {
    /// Until [`Pages::serve`], that the broker recovers.
    pub(crate) fn new() -> Pages {
        Pages { phase: Arc::new(Mutex::new(Phase::Recovering)), started: SystemTime::now() }
    }

    fn answer(&self, path: &str) -> Response {
        answer(path, &self.phase, self.started)
    }

    /// The page of a path. It may take as long as shards may take to answer.
    pub(crate) fn page(&self, path: &str) -> Page {
        let Response { status, content_type, body } = self.answer(path);
        Page { status: status.code(), content_type, body }
    }

    /// The broker has recovered and takes requests.
    pub(crate) fn serve(&self, sources: Sources) {
        self.set(Phase::Serving(Box::new(sources)));
    }

    /// The broker takes no more requests.
    pub(crate) fn stop(&self) {
        self.set(Phase::Stopping);
    }

    /// A shard has ended by itself: the broker is not well any more.
    pub(crate) fn fail(&self, shard: usize) {
        self.set(Phase::Failed(shard));
    }

    fn set(&self, phase: Phase) {
        *self.phase.lock().expect("nothing panics while it holds the lock") = phase;
    }
}

/// Who answers: what asks shards may take its time.
fn lane(path: &str) -> Lane {
    match path {
        "/healthz" => Lane::Health,
        "/metrics" | "/metrics/partitions" => Lane::Pages,
        _ => Lane::Now,
    }
}

fn answer(path: &str, phase: &Mutex<Phase>, started: SystemTime) -> Response {
    let sources = match &*phase.lock().expect("nothing panics while it holds the lock") {
        Phase::Serving(sources) => Ok(sources.clone()),
        Phase::Recovering => Err("recovering"),
        Phase::Stopping => Err("stopping"),
        Phase::Failed(shard) if path == "/healthz" => {
            return Response::plain(Status::Unavailable, format!("shard {shard} has ended"));
        }
        Phase::Failed(_) => Err("a shard has ended"),
    };
    match (path, sources) {
        ("/healthz", Err(phase)) => Response::plain(Status::Ok, phase),
        ("/healthz", Ok(sources)) => healthz(&sources),
        ("/readyz", Err(phase)) => Response::plain(Status::Unavailable, phase),
        ("/readyz", Ok(_)) => Response::plain(Status::Ok, "ready"),
        ("/metrics", sources) => metrics(sources.ok().as_deref(), started),
        ("/metrics/partitions", Err(phase)) => Response::plain(Status::Unavailable, phase),
        ("/metrics/partitions", Ok(sources)) => {
            let numbers = block_on_for(SCRAPE_TIME_MAX, collect::Numbers::ask(&sources));
            numbers.map_or_else(silent, |numbers| exposed(numbers.partitions(&sources.handle.topics())))
        }
        _ => Response::plain(Status::NotFound, "there are /metrics, /metrics/partitions, /healthz, /readyz"),
    }
}

/// The process alone, while there are no shards to be asked.
fn metrics(sources: Option<&Sources>, started: SystemTime) -> Response {
    let Some(sources) = sources else { return exposed(collect::process(started).finish()) };
    let numbers = block_on_for(SCRAPE_TIME_MAX, collect::Numbers::ask(sources));
    numbers.map_or_else(silent, |numbers| exposed(numbers.all(sources, started)))
}

fn healthz(sources: &Sources) -> Response {
    match block_on_for(HEALTH_TIME_MAX, sources.handle.stats()) {
        Some(stats) if stats.len() == sources.handle.shards() => {
            Response::plain(Status::Ok, format!("{} shards turn on {}", stats.len(), sources.reactor))
        }
        Some(stats) => {
            let gone = sources.handle.shards() - stats.len();
            Response::plain(Status::Unavailable, format!("{gone} shards have ended"))
        }
        None => silent(),
    }
}

fn silent() -> Response {
    Response::plain(Status::Unavailable, "a shard does not answer")
}

fn exposed(body: String) -> Response {
    Response { status: Status::Ok, content_type: "text/plain; version=0.0.4; charset=utf-8", body }
}

/// The future's output, or `None` when it takes longer: a shard that hangs must not hold the thread that
/// reports it.
fn block_on_for<T>(time_max: Duration, future: impl Future<Output = T>) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let give_up = Instant::now() + time_max;
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        let left = give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_given_up() {
        assert_eq!(block_on_for(Duration::from_millis(20), std::future::pending::<()>()), None);
        assert_eq!(block_on_for(Duration::ZERO, std::future::ready(7)), Some(7));
    }

    #[test]
    fn a_broker_that_recovers_or_stops_lives_and_is_not_ready() {
        for phase in [Phase::Recovering, Phase::Stopping] {
            let phase = Mutex::new(phase);
            let status = |path| answer(path, &phase, SystemTime::now()).status;
            assert_eq!(status("/healthz"), Status::Ok);
            assert_eq!(status("/readyz"), Status::Unavailable);
            assert_eq!(status("/metrics/partitions"), Status::Unavailable);
            assert_eq!(status("/"), Status::NotFound);
            let metrics = answer("/metrics", &phase, SystemTime::now());
            assert!(metrics.body.contains("\nprocess_start_time_seconds "), "{}", metrics.body);
        }
    }

    #[test]
    fn a_broker_of_which_a_shard_has_ended_is_neither_well_nor_ready() {
        let phase = Mutex::new(Phase::Failed(1));
        for path in ["/healthz", "/readyz"] {
            assert_eq!(answer(path, &phase, SystemTime::now()).status, Status::Unavailable);
        }
    }
}
