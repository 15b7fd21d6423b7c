//! Connections of the front: accepted, seated like any other, TLS where the listener has it, HTTP/1.1 to
//! their end.
//!
//! * A client that says nothing, or its request's head slowly, is cut after [`HEAD_TIME_MAX`]; one that takes
//!   less than [`WRITE_BYTES_MIN`] of a longer answer within [`WRITE_TIME_MAX`] is cut as well.
//! * At the stop nobody more is accepted, what is under way is answered, and cut after [`STOP_GRACE`].

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use strandline_engine::config::DynamicSettings;
use strandline_engine::io::is_out_of_descriptors;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::ask::{Connected, Shared};
use super::faces::Faces;
use crate::net::{Acceptor, Seat};
use crate::quotas::Quotas;

/// Bytes that a connection buffers: the head of a request, and what follows it at once.
pub(super) const BUFFER_BYTES: usize = 64 << 10;

/// Most headers.
const HEADERS_MAX: usize = 64;

/// How long the head of a request may take, and how long a connection may be silent between two.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a client may take for so many bytes of its answer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
const WRITE_BYTES_MIN: usize = 64 << 10;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long what is under way may take at the stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How long to wait when the system is short of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a socket until the front is to end, and its connections have.
pub(super) async fn run(socket: TcpListener, acceptor: Option<Arc<Acceptor>>, shared: Arc<Shared>) {
    let Faces { router, consumers } = Faces::new(&shared);
    let quotas = Quotas::new(shared.around.used.clone());
    let mut connections = JoinSet::new();
    let mut stopped = pin!(shared.stopped());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(_) = connections.join_next() => continue,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let Some(seat) = admitted(&shared, &quotas, peer).await else { continue };
                let (router, shared, acceptor) = (router.clone(), shared.clone(), acceptor.clone());
                connections.spawn(connection(stream, peer, seat, acceptor, router, shared));
            }
            Err(error) if is_out_of_descriptors(&error) => sleep(ACCEPT_PAUSE).await,
            Err(error) => tracing::debug!(%error, "accepting a connection of HTTP failed"),
        }
    }
    drop(socket);
    consumers.end().await;
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_GRACE, ended).await.is_err() {
        tracing::warn!("connections of HTTP are cut: they have taken too long at the stop");
    }
}

/// A seat for a connection, if it may be; later where too many come.
async fn admitted(shared: &Shared, quotas: &Quotas, peer: SocketAddr) -> Option<Seat> {
    let around = &shared.around;
    let settings = shared.engine().ok().map(|engine| engine.settings());
    let none = DynamicSettings::default();
    let dynamic = settings.as_ref().map_or(&none, |settings| &settings.dynamic);
    let rates = around.config.connection_rates(dynamic, &around.listener);
    let later = quotas.came_by(&around.listener, rates);
    if !later.is_zero() {
        sleep(later).await;
    }
    let limits = around.config.connection_limits(dynamic, &around.listener, peer.ip());
    match around.seats.take(&around.listener, peer.ip(), limits) {
        Ok(seat) if quotas.came(&dynamic.quotas, peer.ip()).is_zero() => Some(seat),
        Ok(_) => None,
        Err(why) => {
            tracing::warn!(%peer, listener = "http", %why, "connection refused");
            None
        }
    }
}

/// Serves a connection to its end.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    acceptor: Option<Arc<Acceptor>>,
    router: Router,
    shared: Arc<Shared>,
) {
    let _ = stream.set_nodelay(true);
    let mut connected = Connected { peer, shard: seat.shard(), certified: None };
    let Some(acceptor) = acceptor else {
        return serve(stream, connected, router, &shared).await;
    };
    let opened = timeout(HANDSHAKE, TlsAcceptor::from(acceptor.config()).accept(stream)).await;
    match opened {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            if let Some(own) = certificates.and_then(|chain| chain.first()) {
                match acceptor.user(own) {
                    Ok(user) => connected.certified = Some(user.into()),
                    Err(reason) => {
                        tracing::warn!(%peer, listener = "http", %reason, "TLS handshake failed");
                        return;
                    }
                }
            }
            serve(stream, connected, router, &shared).await;
        }
        Ok(Err(reason)) => tracing::warn!(%peer, listener = "http", %reason, "TLS handshake failed"),
        Err(_) => tracing::warn!(%peer, listener = "http", "TLS handshake failed: it took too long"),
    }
    drop(seat);
}

async fn serve<S>(stream: S, connected: Connected, router: Router, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = connected.peer;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connected.clone());
        let answer = router.clone().call(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    builder.max_headers(HEADERS_MAX).max_buf_size(BUFFER_BYTES);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(Taken::new(stream)), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shared.stopped() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection of HTTP closed");
    }
}

/// A stream whose writes end with an error when it is taken too slowly.
struct Taken<S> {
    stream: S,
    /// Since a write had to wait.
    give_up: Option<Pin<Box<Sleep>>>,
    /// Bytes that were taken since.
    taken: usize,
}

impl<S> Taken<S> {
    fn new(stream: S) -> Taken<S> {
        Taken { stream, give_up: None, taken: 0 }
    }

    /// Holds what a write has come to against the time since one had to wait; `bytes` is what it has taken,
    /// or that all is.
    fn held<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = written {
            self.taken = self.taken.saturating_add(written.as_ref().map_or(0, bytes));
            if self.taken >= WRITE_BYTES_MIN {
                self.give_up = None;
            }
            return Poll::Ready(written);
        }
        if self.give_up.is_none() {
            self.taken = 0;
        }
        let give_up =
            self.give_up.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_TIME_MAX)));
        ready!(give_up.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.held(context, written, |taken| *taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.held(context, written, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.held(context, flushed, |()| WRITE_BYTES_MIN)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.held(context, ended, |()| WRITE_BYTES_MIN)
    }
}
