//! The keys by which the tokens of clients are verified (OAUTHBEARER), and how they are kept up to date.
//!
//! ```text
//! start: read (a file must be there; what is behind HTTP may come later)
//! once an hour | a file looks otherwise | a token names a key that is not known    > read again > in force at once
//!                                                           > not usable: told, counted, the ones before stay
//! ```
//! Reading waits for others: it is done on a thread of its own for each listener that has tokens, which ends
//! with the listener.

mod http;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use strandline_tls::rustls::ClientConfig;
use strandline_tls::{TlsError, TlsSettings, connector};

use crate::config::{BearerConfig, BrokerConfig, KeysPlace};
use crate::security::{JwksError, KeySet, Verifier};
use http::FetchError;

/// How often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long a set is kept, whatever keys tokens name: strangers make up names.
const KEPT_LEAST: Duration = Duration::from_secs(10);

/// Longest file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Set(#[from] JwksError),
    #[error("it cannot be seen whom to trust: {0}")]
    Trust(#[from] TlsError),
}

/// The keys of a listener cannot be used at the start.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener}: the keys of tokens in {place} cannot be used: {why}")]
pub struct TokenKeysError {
    listener: Arc<str>,
    place: String,
    why: Box<NoKeys>,
}

/// How often the keys of a listener were read, and could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// They were.
    pub done: u64,
    /// They could not be, and the ones before stayed.
    pub refused: u64,
}

/// Who verifies the tokens of each listener that takes them.
#[derive(Clone, Default)]
pub struct TokenKeys(BTreeMap<Arc<str>, Known>);

/// What is known of a listener's tokens.
#[derive(Clone)]
struct Known {
    verifier: Arc<Verifier>,
    reads: Arc<Mutex<Reads>>,
}

impl TokenKeys {
    /// Reads the keys of all listeners, and looks after them from then on.
    ///
    /// # Errors
    /// [`TokenKeysError`], for a file that cannot be used, or when no thread can be started.
    pub fn open(config: &BrokerConfig) -> Result<TokenKeys, TokenKeysError> {
        let mut keys = TokenKeys::default();
        for listener in &config.listeners {
            let Some(bearer) = listener.sasl.as_ref().and_then(|sasl| sasl.bearer.clone()) else { continue };
            let name = listener.name.clone();
            let place = bearer.keys.clone();
            let refused =
                |why| TokenKeysError { listener: name.clone(), place: place.to_string(), why: Box::new(why) };
            let (unknown, told) = sync_channel(1);
            let verifier = Arc::new(Verifier::new(bearer.rules.clone(), unknown));
            let reads = Arc::<Mutex<Reads>>::default();
            let mut source = Source::new(bearer).map_err(refused)?;
            if let KeysPlace::File(_) = place {
                let set = source.read().map_err(refused)?;
                verifier.replace(set.expect("the first look finds it other than nothing"));
            }
            let watch = Watch {
                listener: name.clone(),
                verifier: Arc::downgrade(&verifier),
                reads: reads.clone(),
                source,
            };
            let thread = thread::Builder::new().name("jwks".to_owned());
            let started = thread.spawn(move || watch.run(&told));
            started.map_err(|error| refused(NoKeys::File(error)))?;
            keys.0.insert(name, Known { verifier, reads });
        }
        Ok(keys)
    }

    /// Who verifies the tokens of a listener, if it takes any.
    pub fn of(&self, listener: &str) -> Option<&Arc<Verifier>> {
        self.0.get(listener).map(|known| &known.verifier)
    }

    /// How often keys were read, by listener.
    pub fn reads(&self) -> Vec<(Arc<str>, Reads)> {
        let of = |reads: &Mutex<Reads>| *reads.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.iter().map(|(name, known)| (name.clone(), of(&known.reads))).collect()
    }
}

/// Where the keys of a listener come from.
struct Source {
    bearer: BearerConfig,
    tls: Option<Arc<ClientConfig>>,
    /// What was read the last time.
    text: Option<Vec<u8>>,
}

impl Source {
    fn new(bearer: BearerConfig) -> Result<Source, NoKeys> {
        let tls = match &bearer.keys {
            // Whom the system trusts.
            KeysPlace::Http { has_tls: true, .. } => Some(connector(&TlsSettings::of(|_| None))?),
            KeysPlace::Http { place, .. } => {
                tracing::warn!(%place, "keys of tokens come in plaintext: whoever is in between can make tokens");
                None
            }
            KeysPlace::File(_) => None,
        };
        Ok(Source { bearer, tls, text: None })
    }

    /// The keys; `None` where they are the ones that were read the last time.
    fn read(&mut self) -> Result<Option<KeySet>, NoKeys> {
        let text = match &self.bearer.keys {
            KeysPlace::File(path) => read_file(path)?,
            KeysPlace::Http { place, path, .. } => http::get(place, path, self.tls.as_ref())?,
        };
        if self.text.as_ref() == Some(&text) {
            return Ok(None);
        }
        let set = KeySet::parse(&text)?;
        self.text = Some(text);
        Ok(Some(set))
    }

    /// How long what was read is good.
    fn refresh(&self) -> Duration {
        match self.bearer.keys {
            KeysPlace::File(_) => self.bearer.refresh.min(LOOK_EVERY),
            KeysPlace::Http { .. } => self.bearer.refresh,
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

/// Looks after the keys of a listener.
struct Watch {
    listener: Arc<str>,
    /// It ends with the last connection, and so does the thread.
    verifier: Weak<Verifier>,
    reads: Arc<Mutex<Reads>>,
    source: Source,
}

impl Watch {
    fn run(mut self, told: &Receiver<()>) {
        let (first, most) = self.source.bearer.retry;
        let mut retry = first;
        // A file was read at the start.
        let mut wait = if self.source.text.is_some() { self.source.refresh() } else { Duration::ZERO };
        let mut looked = Instant::now();
        loop {
            match told.recv_timeout(wait.saturating_sub(looked.elapsed())) {
                // A set that came a moment ago is kept, whatever tokens name.
                Ok(()) => wait = wait.min(KEPT_LEAST),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let Some(verifier) = self.verifier.upgrade() else { return };
                    let is_good = self.look(&verifier);
                    (wait, retry) = match is_good {
                        true => (self.source.refresh(), first),
                        false => (retry, retry.saturating_mul(2).min(most.max(first))),
                    };
                    looked = Instant::now();
                }
            }
        }
    }

    /// Reads the keys, and puts them in force; whether they could be.
    fn look(&mut self, verifier: &Verifier) -> bool {
        let (listener, place) = (self.listener.clone(), self.source.bearer.keys.clone());
        let read = self.source.read();
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(found) => {
                reads.done += 1;
                if let Some(set) = found {
                    tracing::info!(%listener, %place, keys = set.len(), "the keys of tokens were read");
                    verifier.replace(set);
                }
                true
            }
            Err(why) => {
                reads.refused += 1;
                let keys = verifier.keys().len();
                tracing::error!(
                    %listener, %place, %why, keys,
                    "the keys of tokens cannot be read: those that are known stay in force"
                );
                false
            }
        }
    }
}
