//! One request of HTTP on its way to the broker: who asks, with which memory, for how long.
//!
//! [`Asker`] is what a handler has of the front: it asks the broker for the client of the request, and holds
//! that client to its quotas. [`Whole`] is a body that fits. Both are taken out of a request by axum.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::BytesMut;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use strandline_engine::Handle;
use strandline_protocol::messages::{FetchRequest, FetchResponse, Request as Question};
use strandline_protocol::wire::{Decode, Encode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::problem::Problem;
use super::surroundings::{Started, Surroundings};
use super::users::Users;
use crate::in_process::Said;
use crate::session::{Principal, Session};

/// Bytes of bodies that have come, of all requests together.
pub(super) const BODIES_BYTES: usize = 64 << 20;

/// Bytes of what is made of them, and of answers until they are taken, of all requests together.
pub(super) const MEMORY_BYTES: usize = 128 << 20;

/// Largest body: a batch of the default `message.max.bytes` in base64, several times.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;

/// What a body takes beside itself when it has become records: their places, and the batches of them.
const BODY_WEIGHT: usize = 2;

/// Memory is counted in so many bytes.
const UNIT_BYTES: usize = 1 << 10;

/// How long a body may take to come, and a request wait for memory.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// How long the broker may take to answer what waits for nobody.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Clients that are silent for a while, by their names.
const SILENT_MAX: usize = 4096;

/// What the program is called in the broker, where a client says nothing.
const CLIENT_ID: &str = "http";

/// What all requests share.
pub(super) struct Shared {
    /// The broker.
    pub(super) around: Surroundings,
    /// Who asks.
    pub(super) users: Users,
    /// Turns true when the front ends.
    pub(super) stopping: watch::Receiver<bool>,
    started: Arc<OnceLock<Started>>,
    bodies: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    silent: Mutex<HashMap<String, Instant>>,
}

impl Shared {
    pub(super) fn new(
        around: Surroundings,
        started: Arc<OnceLock<Started>>,
        stopping: watch::Receiver<bool>,
    ) -> Shared {
        let listener = around.config.listener(&around.listener);
        let sasl = listener.and_then(|listener| listener.sasl.clone());
        let users = Users::new(sasl, around.tokens.of(&around.listener).cloned());
        let [bodies, memory] =
            [BODIES_BYTES, MEMORY_BYTES].map(|bytes| Arc::new(Semaphore::new(bytes / UNIT_BYTES)));
        Shared { around, users, stopping, started, bodies, memory, silent: Mutex::default() }
    }

    /// The scheme of the front's addresses.
    pub(super) fn scheme(&self) -> &'static str {
        if self.around.keys.of(&self.around.listener).is_some() { "https" } else { "http" }
    }

    /// Whether a browser that knows its address, and nothing else, is answered: without users, and without
    /// certificates, of which it would see that they are of another name.
    pub(super) fn is_for_anybody(&self) -> bool {
        let listener = self.around.config.listener(&self.around.listener);
        self.around.keys.of(&self.around.listener).is_none() && listener.is_none_or(|it| it.sasl.is_none())
    }

    /// The engine.
    ///
    /// # Errors
    /// 503 while the broker recovers.
    pub(super) fn engine(&self) -> Result<&Handle, Problem> {
        Ok(&self.started()?.engine)
    }

    /// What is known of the broker since it has recovered.
    ///
    /// # Errors
    /// 503 until then.
    pub(super) fn started(&self) -> Result<&Started, Problem> {
        self.started.get().ok_or_else(|| Problem::away("the broker recovers"))
    }

    /// Room for so many bytes, at most a quarter of all.
    ///
    /// # Errors
    /// 503 when there is none for a while.
    pub(super) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.memory, bytes.min(MEMORY_BYTES / 4)).await
    }

    /// Room for so many bytes of a body in all: as much more as they are more than before, or as much less.
    ///
    /// # Errors
    /// 503 when there is none for a while.
    pub(super) async fn hold_body(&self, held: &mut Held, bytes: usize) -> Result<(), Problem> {
        held.reach(&self.bodies, bytes.min(BODIES_BYTES / 4)).await
    }

    /// Resolves when the front ends.
    pub(super) async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // A sender that is gone is an end as well.
        while !*stopping.borrow_and_update() && stopping.changed().await.is_ok() {}
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a client still has to be silent.
    fn silence_of(&self, principal: &Principal) -> Option<Duration> {
        let left = self.silent().get(&*principal.name)?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn silence(&self, principal: &Principal, how_long: Duration) {
        let Some(until) = Instant::now().checked_add(how_long).filter(|_| !how_long.is_zero()) else {
            return;
        };
        let mut silent = self.silent();
        if silent.len() >= SILENT_MAX {
            let now = Instant::now();
            silent.retain(|_, until| *until > now);
        }
        if silent.len() < SILENT_MAX {
            let entry = silent.entry(principal.name.to_string()).or_insert(until);
            *entry = until.max(*entry);
        }
    }
}

/// The memory of a body that comes in pieces: of all of them together, however small each is.
#[derive(Debug, Default)]
pub(super) struct Held(Option<OwnedSemaphorePermit>);

impl Held {
    async fn reach(&mut self, from: &Arc<Semaphore>, bytes: usize) -> Result<(), Problem> {
        let units = bytes.div_ceil(UNIT_BYTES);
        let held = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        match &mut self.0 {
            Some(room) if units <= held => drop(room.split(held - units)),
            Some(room) => room.merge(take(from, (units - held) * UNIT_BYTES).await?),
            None if units == 0 => {}
            none => *none = Some(take(from, bytes).await?),
        }
        Ok(())
    }
}

async fn take(from: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let units = bytes.div_ceil(UNIT_BYTES).max(1) as u32;
    let busy = || Problem::busy("there is no memory for the request now");
    let taken = timeout(BODY_TIME_MAX, from.clone().acquire_many_owned(units)).await;
    taken.map_err(|_| busy())?.map_err(|_| busy())
}

/// Bytes that hold their memory until they have left.
pub(super) fn held(bytes: Vec<u8>, room: OwnedSemaphorePermit) -> Bytes {
    struct Leaving {
        bytes: Vec<u8>,
        _room: OwnedSemaphorePermit,
    }
    impl AsRef<[u8]> for Leaving {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Leaving { bytes, _room: room })
}

/// The connection that a request came by.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    /// The client's end.
    pub(super) peer: SocketAddr,
    /// The shard that its requests go to.
    pub(super) shard: usize,
    /// Whom its certificate names.
    pub(super) certified: Option<Arc<str>>,
}

/// The state of the router.
pub(super) type State = Arc<Shared>;

/// A client that asks.
#[derive(Clone)]
pub(super) struct Asker {
    /// The front.
    pub(super) shared: State,
    /// Who it is.
    pub(super) session: Session,
    shard: usize,
}

impl FromRequestParts<State> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &State) -> Result<Asker, Problem> {
        let engine = shared.engine()?;
        let connected = parts.extensions.get::<Connected>();
        let connected = connected.ok_or_else(|| Problem::away("the connection is not known"))?.clone();
        let settings = engine.settings();
        let certified = connected.certified.as_deref();
        let principal =
            shared.users.principal(&parts.headers, certified, &settings.dynamic.credentials).await?;
        if let Some(left) = shared.silence_of(&principal) {
            return Err(Problem::throttled(left));
        }
        let session = Session {
            peer: connected.peer,
            listener: shared.around.listener.clone(),
            principal,
            client_id: Some(CLIENT_ID.to_owned()),
            software: None,
        };
        Ok(Asker { shared: shared.clone(), session, shard: connected.shard })
    }
}

impl Asker {
    /// The engine.
    ///
    /// # Errors
    /// Never once there is an asker.
    pub(super) fn engine(&self) -> Result<&Handle, Problem> {
        self.shared.engine()
    }

    /// Asks the broker for the client.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn ask<M>(&self, version: i16, request: &M) -> Result<M::Response, Problem>
    where
        M: Question + Encode + Sync,
        M::Response: Decode,
    {
        self.ask_for(ANSWER_TIME_MAX, version, request).await
    }

    /// The same where the answer may take this long.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn ask_for<M>(
        &self,
        time_max: Duration,
        version: i16,
        request: &M,
    ) -> Result<M::Response, Problem>
    where
        M: Question + Encode + Sync,
        M::Response: Decode,
    {
        let caller = self.shared.around.in_process.caller(self.shard);
        self.heard(time_max, caller.ask(&self.session, version, request)).await
    }

    /// Fetches records for the client; the broker waits for them no longer than `request` says.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn fetch(
        &self,
        version: i16,
        request: &FetchRequest,
    ) -> Result<FetchResponse<Bytes>, Problem> {
        let caller = self.shared.around.in_process.caller(self.shard);
        let time_max = ANSWER_TIME_MAX + Duration::from_millis(request.max_wait_ms.max(0) as u64);
        self.heard(time_max, caller.fetch(&self.session, version, request)).await
    }

    async fn heard<T>(
        &self,
        time_max: Duration,
        answer: impl Future<Output = Result<Said<T>, crate::in_process::NoAnswer>>,
    ) -> Result<T, Problem> {
        let said = timeout(time_max, answer).await;
        let Said { response, silent } = said.map_err(|_| Problem::late("the broker does not answer"))??;
        self.shared.silence(&self.session.principal, silent);
        Ok(response)
    }
}

/// The whole body of a request, with the memory that it takes.
pub(super) struct Whole {
    /// The body.
    pub(super) bytes: Bytes,
    /// The memory of it, and of what is made of it, which is free again when this is dropped.
    _room: (Held, OwnedSemaphorePermit),
}

impl FromRequest<State> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &State) -> Result<Whole, Problem> {
        let too_large = || {
            let words = format!("the body is larger than {BODY_BYTES_MAX} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, None, words)
        };
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > BODY_BYTES_MAX) {
            return Err(too_large());
        }
        let mut body = Limited::new(request.into_body(), BODY_BYTES_MAX);
        let mut bytes = BytesMut::new();
        let mut room = Held::default();
        let collecting = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                    Some(_) => too_large(),
                    None => Problem::unreadable(format!("the body ends early: {error}")),
                })?;
                let Ok(data) = frame.into_data() else { continue };
                // Who sends little holds little, however much it has announced.
                shared.hold_body(&mut room, bytes.len() + data.len()).await?;
                bytes.extend_from_slice(&data);
            }
            Ok::<(), Problem>(())
        };
        let slow = || Problem::new(StatusCode::REQUEST_TIMEOUT, None, "the body does not come");
        timeout(BODY_TIME_MAX, collecting).await.map_err(|_| slow())??;
        let work = shared.room(bytes.len() * BODY_WEIGHT).await?;
        Ok(Whole { bytes: bytes.freeze(), _room: (room, work) })
    }
}

/// What stands in the path.
pub(super) struct InPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &State) -> Result<InPath<T>, Problem> {
        let found = Path::<T>::from_request_parts(parts, shared).await;
        found.map(|Path(found)| InPath(found)).map_err(|why| Problem::unreadable(why.body_text()))
    }
}

/// What stands behind the question mark.
pub(super) struct Queried<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for Queried<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &State) -> Result<Queried<T>, Problem> {
        let found = Query::<T>::from_request_parts(parts, shared).await;
        found.map(|Query(found)| Queried(found)).map_err(|why| Problem::unreadable(why.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of one byte once took a unit each: 64 KiB of them were the memory of all bodies.
    #[tokio::test]
    async fn d11_who_sends_little_holds_little_however_it_is_cut() {
        let memory = Arc::new(Semaphore::new(8));
        let mut held = Held::default();
        for bytes in 1..=3 * UNIT_BYTES {
            held.reach(&memory, bytes).await.unwrap();
            assert_eq!(8 - memory.available_permits(), bytes.div_ceil(UNIT_BYTES), "{bytes}");
        }
        held.reach(&memory, UNIT_BYTES + 1).await.unwrap();
        assert_eq!(memory.available_permits(), 6, "what was taken out is free again");
        held.reach(&memory, 0).await.unwrap();
        assert_eq!(memory.available_permits(), 8);
        held.reach(&memory, 1).await.unwrap();
        drop(held);
        assert_eq!(memory.available_permits(), 8);
    }
}
