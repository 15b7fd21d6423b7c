//! One TCP connection to one broker: frames out, frames in, in the versions that both sides have.
//!
//! ```text
//! connect > [TLS] > ApiVersions v4 > [UNSUPPORTED_VERSION: ApiVersions again in the version that the broker names]
//!         > [SASL] > requests > [SASL again, before what was proven is over (KIP-368)] > requests
//! ```
//!
//! A connection that failed once is of no further use: what is on it is not known any more. Its owner drops
//! it and dials again.

use crate::sasl::{NotProven, Sasl};
use crate::stream::Stream;
use crate::{Access, Address, Code, Limits};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strandline_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FetchResponse, Request, SaslAuthenticateRequest,
    SaslHandshakeRequest, decode_response, encode_request,
};
use strandline_protocol::wire::{ApiKey, Decode, Encode, EncodeError, ErrorCode, Message, WireError};

/// No response is larger. Apache Kafka's brokers refuse larger requests by default
/// (`socket.request.max.bytes`); the largest response is a fetch, which we ask to be much smaller, or the
/// first batch of one.
pub const RESPONSE_BYTES_MAX: usize = 100 * 1024 * 1024;

/// What we call ourselves in requests, and to ApiVersions, which allows letters, digits, `-` and `.`.
const CLIENT_ID: &str = "strandline";

/// How much of a frame is read at once: memory follows what has arrived, not what was announced.
const READ_BYTES: usize = 1024 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address, or asking failed.
    #[error("{address}: the host is not known: {source}")]
    Resolve {
        /// The broker.
        address: Address,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody accepted.
    #[error("{address}: {source}")]
    Connect {
        /// The broker.
        address: Address,
        /// What the last address of the host said.
        source: io::Error,
    },
    /// The handshake of TLS failed: the broker is not trusted, does not trust us, or speaks no TLS.
    #[error("{address}: TLS: {}", lost(source))]
    Tls {
        /// The broker.
        address: Address,
        /// What was said.
        source: io::Error,
    },
    /// The broker does not believe that we are who we say.
    #[error("{address}: {mechanism}: {}", message.clone().unwrap_or_else(|| code.to_string()))]
    NotBelieved {
        /// The broker.
        address: Address,
        /// The mechanism.
        mechanism: String,
        /// Its reason.
        code: Code,
        /// In its words.
        message: Option<String>,
    },
    /// We do not believe the broker.
    #[error("{address}: {mechanism}: {source}")]
    Sasl {
        /// The broker.
        address: Address,
        /// The mechanism.
        mechanism: String,
        /// The reason.
        source: NotProven,
    },
    /// Something accepted, but the first request failed.
    #[error(transparent)]
    Negotiate(#[from] RequestError),
    /// The broker refused to say what it understands.
    #[error("{address}: ApiVersions: {code}")]
    Refused {
        /// The broker.
        address: Address,
        /// Its reason.
        code: Code,
    },
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection failed, ended or took too long; whether the request was carried out is not known.
    #[error("{address}: {api}: {}", lost(source))]
    Lost {
        /// The broker.
        address: Address,
        /// The request.
        api: ApiKey,
        /// What the system said.
        source: io::Error,
    },
    /// The broker is too old, too new, or lacks the request.
    #[error("{address}: {api}: the broker has {}, this client has versions {} to {}", theirs_text(*theirs), ours.start(), ours.end())]
    NoCommonVersion {
        /// The broker.
        address: Address,
        /// The request.
        api: ApiKey,
        /// The versions that are needed here.
        ours: RangeInclusive<i16>,
        /// Those of the broker; `None` when it does not know the request at all.
        theirs: Option<(i16, i16)>,
    },
    /// The request can not be said in the version that the broker understands.
    #[error("{address}: {api}: {source}")]
    Encode {
        /// The broker.
        address: Address,
        /// The request.
        api: ApiKey,
        /// The reason.
        source: EncodeError,
    },
    /// The answer is larger than [`RESPONSE_BYTES_MAX`], or not even a size.
    #[error(
        "{address}: {api}: a response of {bytes} bytes, at most {limit} are accepted ({})",
        what_answers(*bytes)
    )]
    Size {
        /// The broker.
        address: Address,
        /// The request.
        api: ApiKey,
        /// The announced size.
        bytes: i32,
        /// The most that is accepted.
        limit: usize,
    },
    /// The answer can not be read.
    #[error("{address}: {api}: the response is not readable: {source}")]
    Decode {
        /// The broker.
        address: Address,
        /// The request.
        api: ApiKey,
        /// The reason.
        source: WireError,
    },
    /// The answer belongs to another question.
    #[error("{address}: {api}: the response has correlation id {found} instead of {expected}")]
    Correlation {
        /// The broker.
        address: Address,
        /// The request.
        api: ApiKey,
        /// What was sent.
        expected: i32,
        /// What came.
        found: i32,
    },
}

impl RequestError {
    /// Whether another connection may do better.
    pub fn is_retriable(&self) -> bool {
        matches!(self, RequestError::Lost { .. })
    }
}

fn lost(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no response in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "the broker closed the connection".to_owned(),
        _ => source.to_string(),
    }
}

/// The first bytes of an alert or of a handshake of TLS (RFC 8446, 5.1), taken for the size of an answer.
const TLS_RECORDS: [[u8; 2]; 2] = [[0x15, 0x03], [0x16, 0x03]];

/// What it may be that answers with such a size.
fn what_answers(bytes: i32) -> &'static str {
    let [first, second, ..] = bytes.to_be_bytes();
    match TLS_RECORDS.contains(&[first, second]) {
        true => "it answers in TLS: is security.protocol set for it?",
        false => "is this a Kafka broker?",
    }
}

fn theirs_text(theirs: Option<(i16, i16)>) -> String {
    theirs.map_or("no such request".to_owned(), |(min, max)| format!("versions {min} to {max}"))
}

/// A connection, and what its broker understands once that was asked.
#[derive(Debug)]
pub struct Connection {
    address: Address,
    stream: Stream,
    client_id: &'static str,
    /// Who we prove to be, and when again.
    sasl: Option<Arc<Sasl>>,
    again: Option<Instant>,
    versions: BTreeMap<i16, (i16, i16)>,
    correlation_id: i32,
    request_timeout: Duration,
    /// As the socket has it: it is set when it changes.
    read_timeout: Duration,
    /// Where the next response goes: the memory of those before, once they have been let go.
    unread: BytesMut,
}

impl Connection {
    /// Connects and asks for the versions.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open(address: &Address, limits: &Limits) -> Result<Connection, ConnectError> {
        Connection::open_by(address, limits, &Access::default())
    }

    /// Connects as `access` says, asks for the versions, and proves who we are.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open_by(address: &Address, limits: &Limits, access: &Access) -> Result<Connection, ConnectError> {
        Connection::over_by(connect(address, limits.connect)?, address, CLIENT_ID, limits, access)
    }

    /// The same over a connected socket, with requests that carry `client_id`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn over_by(
        socket: TcpStream,
        address: &Address,
        client_id: &'static str,
        limits: &Limits,
        access: &Access,
    ) -> Result<Connection, ConnectError> {
        let failed = |source| ConnectError::Connect { address: address.clone(), source };
        let stream = match &access.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let timeouts = socket.set_read_timeout(Some(limits.connect));
                timeouts.and_then(|()| socket.set_write_timeout(Some(limits.connect))).map_err(failed)?;
                let secured = Stream::secured(socket, &address.host, config);
                secured.map_err(|source| ConnectError::Tls { address: address.clone(), source })?
            }
        };
        let opened = Connection::over_stream(stream, address.clone(), client_id, limits.request);
        let mut connection = opened.map_err(failed)?;
        connection.negotiate()?;
        if let Some(sasl) = &access.sasl {
            connection.sasl = Some(sasl.clone());
            connection.authenticate()?;
        }
        Ok(connection)
    }

    /// Takes over a connected socket, and asks nothing: a caller that names the version of each request needs
    /// no [`Connection::negotiate`]. Requests carry `client_id`, and each may take `request_timeout`.
    ///
    /// # Errors
    /// When the timeouts can not be set.
    pub fn over(
        stream: TcpStream,
        address: Address,
        client_id: &'static str,
        request_timeout: Duration,
    ) -> io::Result<Connection> {
        Connection::over_stream(Stream::Plain(stream), address, client_id, request_timeout)
    }

    fn over_stream(
        stream: Stream,
        address: Address,
        client_id: &'static str,
        request_timeout: Duration,
    ) -> io::Result<Connection> {
        stream.socket().set_write_timeout(Some(request_timeout))?;
        stream.set_read_timeout(request_timeout)?;
        Ok(Connection {
            address,
            stream,
            client_id,
            sasl: None,
            again: None,
            versions: BTreeMap::new(),
            correlation_id: 0,
            request_timeout,
            read_timeout: request_timeout,
            unread: BytesMut::new(),
        })
    }

    /// What the connection travels over, for a caller that asks and reads by itself from now on. What has to
    /// be proven again after a while is that caller's as well.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Asks the broker for the versions that it understands.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn negotiate(&mut self) -> Result<(), ConnectError> {
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID.to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut version = *ApiVersionsRequest::VERSIONS.end();
        let mut response = self.ask_versions(version, &request)?;
        if response.error_code == ErrorCode::UnsupportedVersion.code() && version > 0 {
            let range = response.api_keys.iter().find(|range| range.api_key == ApiKey::ApiVersions.code());
            version = range.map_or(0, |range| range.max_version.clamp(0, version - 1));
            response = self.ask_versions(version, &request)?;
        }
        Code::check(response.error_code)
            .map_err(|code| ConnectError::Refused { address: self.address.clone(), code })?;
        self.versions = response
            .api_keys
            .iter()
            .map(|range| (range.api_key, (range.min_version, range.max_version)))
            .collect();
        Ok(())
    }

    /// Proves who we are, for the first time or again.
    fn authenticate(&mut self) -> Result<(), ConnectError> {
        let Some(sasl) = self.sasl.clone() else { return Ok(()) };
        self.again = None;
        let address = self.address.clone();
        let mechanism = sasl.mechanism.to_string();
        let refused = |code: Code, message| ConnectError::NotBelieved {
            address: address.clone(),
            mechanism: mechanism.clone(),
            code,
            message,
        };
        let request = SaslHandshakeRequest { mechanism: mechanism.clone() };
        // With version 0, tokens would travel without headers.
        let shaken = self.call_in(1, &request)?;
        if let Err(code) = Code::check(shaken.error_code) {
            let message = format!("{code}; the broker has {}", shaken.mechanisms.join(", "));
            return Err(refused(code, Some(message)));
        }
        let (mut exchange, mut token) = sasl.begin();
        loop {
            let began = Instant::now();
            let answer = self.call(&SaslAuthenticateRequest { auth_bytes: token.into() })?;
            Code::check(answer.error_code).map_err(|code| refused(code, answer.error_message))?;
            let next = exchange.step(&answer.auth_bytes).map_err(|source| ConnectError::Sasl {
                address: address.clone(),
                mechanism: mechanism.clone(),
                source,
            })?;
            match next {
                Some(next) => token = next,
                None => {
                    // With a fifth of it left, as others do.
                    let lifetime = u64::try_from(answer.session_lifetime_ms).unwrap_or(0);
                    let soon = Duration::from_millis(lifetime / 5 * 4);
                    self.again = Some(began + soon).filter(|_| lifetime > 0);
                    return Ok(());
                }
            }
        }
    }

    fn ask_versions(
        &mut self,
        version: i16,
        request: &ApiVersionsRequest,
    ) -> Result<ApiVersionsResponse, RequestError> {
        let correlation_id = self.send(version, request)?;
        let frame = self.receive(ApiKey::ApiVersions, Duration::ZERO)?;
        // A broker that does not know the version answers with a body of version 0; the error is its first
        // field in all.
        let unsupported = frame.get(4..6) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes());
        self.decode(&frame, if unsupported { 0 } else { version }, correlation_id)
    }

    /// The socket, for bytes that are not a request; they are not encrypted.
    pub fn stream(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// The broker.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The highest version of `R` that both sides have, not above `limit`.
    ///
    /// # Errors
    /// [`RequestError::NoCommonVersion`].
    pub fn version<R: Request>(&self, limit: i16) -> Result<i16, RequestError> {
        let theirs = self.versions.get(&R::KEY.code()).copied();
        let (ours_min, ours_max) = (*R::VERSIONS.start(), limit.min(*R::VERSIONS.end()));
        if let Some((min, max)) = theirs {
            let version = ours_max.min(max);
            if version >= ours_min.max(min) {
                return Ok(version);
            }
        }
        Err(RequestError::NoCommonVersion {
            address: self.address.clone(),
            api: R::KEY,
            ours: ours_min..=ours_max,
            theirs,
        })
    }

    /// Whether the broker knows this request at all.
    pub fn knows(&self, api: ApiKey) -> bool {
        self.versions.contains_key(&api.code())
    }

    /// Whether a response has begun to arrive, or the connection has ended.
    pub fn has_news(&mut self) -> bool {
        self.stream.has_news()
    }

    /// One question, one answer.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn call<R>(&mut self, request: &R) -> Result<R::Response, RequestError>
    where
        R: Request + Encode,
        R::Response: Decode,
    {
        let version = self.version::<R>(i16::MAX)?;
        self.call_in(version, request)
    }

    /// One question in a chosen version, one answer.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn call_in<R>(&mut self, version: i16, request: &R) -> Result<R::Response, RequestError>
    where
        R: Request + Encode,
        R::Response: Decode,
    {
        self.call_patiently(version, request, Duration::ZERO)
    }

    /// One question in a chosen version, one answer. `patience` is what the broker may wait before it
    /// answers.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn call_patiently<R>(
        &mut self,
        version: i16,
        request: &R,
        patience: Duration,
    ) -> Result<R::Response, RequestError>
    where
        R: Request + Encode,
        R::Response: Decode,
    {
        let correlation_id = self.send(version, request)?;
        let frame = self.receive(R::KEY, patience)?;
        self.decode(&frame, version, correlation_id)
    }

    /// Sends a request and gives its correlation id.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn send<R: Request + Encode>(&mut self, version: i16, request: &R) -> Result<i32, RequestError> {
        if self.again.is_some_and(|again| Instant::now() >= again) {
            // Nothing is under way on the connection of a client that proves who it is.
            self.authenticate().map_err(|error| self.lost(R::KEY, io::Error::other(error)))?;
        }
        self.correlation_id = self.correlation_id.wrapping_add(1) & i32::MAX;
        let frame = encode_request(version, self.correlation_id, Some(self.client_id), request)
            .map_err(|source| RequestError::Encode { address: self.address.clone(), api: R::KEY, source })?;
        let written = self.stream.write_all(&frame).and_then(|()| self.stream.flush());
        written.map_err(|source| self.lost(R::KEY, source))?;
        Ok(self.correlation_id)
    }

    /// The next response, without its size. `patience` is what the broker was asked to wait.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn receive(&mut self, api: ApiKey, patience: Duration) -> Result<Bytes, RequestError> {
        let timeout = self.request_timeout + patience;
        if timeout != self.read_timeout {
            self.stream.set_read_timeout(timeout).map_err(|source| self.lost(api, source))?;
            self.read_timeout = timeout;
        }
        let mut size = [0; size_of::<i32>()];
        self.stream.read_exact(&mut size).map_err(|source| self.lost(api, source))?;
        let bytes = i32::from_be_bytes(size);
        let length = usize::try_from(bytes).ok().filter(|length| *length <= RESPONSE_BYTES_MAX);
        let Some(length) = length else {
            let (address, limit) = (self.address.clone(), RESPONSE_BYTES_MAX);
            return Err(RequestError::Size { address, api, bytes, limit });
        };
        self.unread.clear();
        while self.unread.len() < length {
            let start = self.unread.len();
            self.unread.resize(length.min(start + READ_BYTES), 0);
            let read = self.stream.read_exact(&mut self.unread[start..]);
            read.map_err(|source| self.lost(api, source))?;
        }
        Ok(self.unread.split().freeze())
    }

    /// The answer to a Fetch of this version, of which records are parts. `patience` is what the broker was
    /// asked to wait.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn receive_fetched(
        &mut self,
        version: i16,
        correlation_id: i32,
        patience: Duration,
    ) -> Result<FetchResponse<Bytes>, RequestError> {
        let frame = self.receive(ApiKey::Fetch, patience)?;
        self.matched(ApiKey::Fetch, FetchResponse::decode(&frame, version), correlation_id)
    }

    /// Reads a response that [`Connection::receive`] gave.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn decode<M: Message + Decode>(
        &self,
        frame: &[u8],
        version: i16,
        correlation_id: i32,
    ) -> Result<M, RequestError> {
        let decoded = decode_response(frame, version);
        self.matched(M::KEY, decoded, correlation_id)
    }

    /// What was decoded, when it is the answer to that question.
    fn matched<M>(
        &self,
        api: ApiKey,
        decoded: Result<(i32, M), WireError>,
        expected: i32,
    ) -> Result<M, RequestError> {
        let address = || self.address.clone();
        match decoded {
            Ok((found, message)) if found == expected => Ok(message),
            Ok((found, _)) => Err(RequestError::Correlation { address: address(), api, expected, found }),
            Err(source) => Err(RequestError::Decode { address: address(), api, source }),
        }
    }

    fn lost(&self, api: ApiKey, source: io::Error) -> RequestError {
        RequestError::Lost { address: self.address.clone(), api, source }
    }
}

fn connect(address: &Address, timeout: Duration) -> Result<TcpStream, ConnectError> {
    let resolved = (address.host.as_str(), address.port)
        .to_socket_addrs()
        .map_err(|source| ConnectError::Resolve { address: address.clone(), source })?;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for socket_address in resolved {
        match TcpStream::connect_timeout(&socket_address, timeout) {
            Ok(stream) => {
                // A small request must not wait for the acknowledgement of the one before.
                stream
                    .set_nodelay(true)
                    .map_err(|source| ConnectError::Connect { address: address.clone(), source })?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(ConnectError::Connect { address: address.clone(), source: failure })
}
