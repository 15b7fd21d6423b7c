//! The HTTP front: one thread beside the shards, which reaches the broker by messages alone.
//!
//! ```text
//! listen: socket > TLS > HTTP/1.1 > faces: request id > who asks (users) > a face's handler > Asker::ask
//!                                                                                             | in_process
//!                                                              a shard: dispatch, as for Kafka's clients
//! ```
//! Its clients are those of one Kafka listener: the same users, certificates and limits of connections, the
//! same rules and quotas. Nothing here decides what a client may do.
//!
//! Memory: bodies share [`ask::BODIES_BYTES`], what is made of them and answers, until they are taken, share
//! [`ask::MEMORY_BYTES`]; a connection buffers [`listen::BUFFER_BYTES`] at most, its head included.

mod acls;
mod admin;
mod ask;
mod cluster;
mod console;
mod consumers;
mod faces;
mod groups;
mod hosts;
mod listen;
mod media;
mod problem;
mod produce;
mod records;
mod schemas;
mod surroundings;
mod topics;
mod users;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::watch;

pub use surroundings::{Page, Pages, Started, Surroundings};

/// What must hold of the bodies of records that a stranger sends.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn check_bodies(body: &[u8]) {
    produce::check_bodies(body);
    faces::check_stream(body);
}

/// Threads for what may take its time: passwords, and pages of metrics.
const ASIDE_MAX: usize = 4;

/// Its thread and those give way to the shards: who speaks Kafka's protocol does not wait for pages and JSON.
const NICE: i32 = 10;

/// The running front.
pub struct HttpFront {
    address: SocketAddr,
    has_tls: bool,
    started: Arc<OnceLock<Started>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpFront {
    /// Answers on a socket from now on: health and metrics at once, all else after [`HttpFront::serve`].
    ///
    /// # Errors
    /// When the thread cannot be started, or the socket not be used.
    pub fn start(socket: TcpListener, surroundings: Surroundings) -> io::Result<HttpFront> {
        let address = socket.local_addr()?;
        let acceptor = surroundings.keys.of(&surroundings.listener).cloned();
        let started: Arc<OnceLock<Started>> = Arc::default();
        let (stop, stopping) = watch::channel(false);
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(ASIDE_MAX)
            .thread_name("http-aside")
            .build()?;
        let entered = runtime.enter();
        let socket = tokio::net::TcpListener::from_std(socket)?;
        drop(entered);
        let has_tls = acceptor.is_some();
        let shared = Arc::new(ask::Shared::new(surroundings, started.clone(), stopping));
        let thread = thread::Builder::new().name("http".to_owned()).spawn(move || {
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::warn!(%error, "the thread of HTTP has no lower priority");
            }
            runtime.block_on(listen::run(socket, acceptor, shared));
            // What still runs aside is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(HttpFront { address, has_tls, started, stop, thread: Some(thread) })
    }

    /// The broker has recovered and takes requests.
    pub fn serve(&self, started: Started) {
        // It is said once.
        let _ = self.started.set(started);
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The scheme of its addresses.
    pub fn scheme(&self) -> &'static str {
        if self.has_tls { "https" } else { "http" }
    }
}

impl Drop for HttpFront {
    /// Takes nobody more, answers what is under way as far as it comes soon, and ends the thread.
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
