//! The keys of all listeners, and how they are replaced while the broker runs.
//!
//! ```text
//! SIGHUP | a file looks otherwise | IncrementalAlterConfigs     > made anew > in force for the next connection
//!                                                               > not usable: told, counted, the old ones stay
//! ```
//! Making a configuration reads files and may decrypt a key, which takes as long as whoever encrypted it
//! liked: it is done on threads of its own.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{io, thread};

use futures_channel::oneshot;
use strandline_engine::Handle;
use strandline_engine::config::DynamicSettings;
use strandline_tls::{PrincipalMapping, TlsError};

use super::acceptor::{Acceptor, Made, Source};
use crate::config::BrokerConfig;

/// How often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The keys of a listener cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener}: {source}")]
pub struct KeysError {
    /// The listener.
    pub listener: Arc<str>,
    /// Which setting, and why.
    pub source: TlsError,
}

/// How often the keys of a listener were replaced, and could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// They were.
    pub done: u64,
    /// They could not be, and the old ones stayed.
    pub refused: u64,
}

/// The keys of all listeners with TLS.
pub struct Keys {
    config: Arc<BrokerConfig>,
    listeners: BTreeMap<Arc<str>, Arc<Acceptor>>,
    state: Mutex<BTreeMap<Arc<str>, State>>,
}

#[derive(Default)]
struct State {
    reloads: Reloads,
    /// What could not be used the last time: it is told once.
    bad: Option<Source>,
}

/// Why keys are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Somebody has said so: they are made anew whatever they look like.
    Told,
    /// Nobody has.
    Looking,
}

impl Keys {
    /// The keys that the settings name at the start.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn open(config: &Arc<BrokerConfig>) -> Result<Arc<Keys>, KeysError> {
        let mut listeners = BTreeMap::new();
        for listener in &config.listeners {
            let Some(tls) = &listener.tls else { continue };
            let name = listener.name.clone();
            let settings = config.tls_settings(&DynamicSettings::default(), &name);
            let mapping = PrincipalMapping::parse(&tls.mapping_rules).expect("it was parsed before");
            let made = Made::of(Source::of(settings), &mapping);
            let made = made.map_err(|source| KeysError { listener: name.clone(), source })?;
            listeners.insert(name, Arc::new(Acceptor::new(made, mapping)));
        }
        Ok(Arc::new(Keys { config: config.clone(), listeners, state: Mutex::default() }))
    }

    /// The keys of a listener, if it has TLS.
    pub fn of(&self, listener: &str) -> Option<&Arc<Acceptor>> {
        self.listeners.get(listener)
    }

    /// Whether no listener has TLS.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// How often keys were replaced, by listener.
    pub fn reloads(&self) -> Vec<(Arc<str>, Reloads)> {
        let state = self.state();
        let of = |name: &Arc<str>| state.get(name).map_or_else(Reloads::default, |state| state.reloads);
        self.listeners.keys().map(|name| (name.clone(), of(name))).collect()
    }

    /// Whether keys could be made of these settings.
    ///
    /// # Errors
    /// [`KeysError`] for the first listener whose could not.
    pub async fn check(self: &Arc<Keys>, dynamic: DynamicSettings) -> Result<(), KeysError> {
        let keys = self.clone();
        aside(move || {
            keys.listeners.iter().try_for_each(|(name, acceptor)| {
                let source = Source::of(keys.config.tls_settings(&dynamic, name));
                let made = Made::of(source, acceptor.mapping());
                made.map(drop).map_err(|source| KeysError { listener: name.clone(), source })
            })
        })
        .await
        // Without a thread there is nothing to say against them.
        .unwrap_or(Ok(()))
    }

    /// Has keys made anew of the settings in force; the next connection is taken by them.
    pub async fn renew(self: &Arc<Keys>, engine: &Handle) {
        let (keys, engine) = (self.clone(), engine.clone());
        let _ = aside(move || keys.look(&engine, Why::Told)).await;
    }

    /// Looks at what is in force now.
    fn look(&self, engine: &Handle, why: Why) {
        // One at a time: the one that comes last has seen the newest settings.
        let mut state = self.state();
        let dynamic = engine.settings().dynamic.clone();
        for (name, acceptor) in &self.listeners {
            let source = Source::of(self.config.tls_settings(&dynamic, name));
            let state = state.entry(name.clone()).or_default();
            let is_known = acceptor.is_made_of(&source) || state.bad.as_ref() == Some(&source);
            if why == Why::Looking && is_known {
                continue;
            }
            match Made::of(source.clone(), acceptor.mapping()) {
                Ok(made) => {
                    acceptor.replace(made);
                    state.reloads.done += 1;
                    state.bad = None;
                    tracing::info!(listener = %name, "the keys of the listener were read anew");
                }
                Err(error) => {
                    state.reloads.refused += 1;
                    state.bad = Some(source);
                    tracing::error!(
                        listener = %name, %error,
                        "the new keys of the listener can not be used: the old ones stay in force"
                    );
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, State>> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }
}

/// Does something that may take its time on a thread of its own; `None` when there is none.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = oneshot::channel();
    let thread = thread::Builder::new().name("keys".to_owned());
    thread.spawn(move || drop(tell.send(work()))).ok()?;
    told.await.ok()
}

/// Looks after the keys until it is dropped.
pub struct Watch {
    orders: SyncSender<()>,
    is_needed: bool,
}

impl Watch {
    /// Takes up what is in force, and watches from then on.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(keys: Arc<Keys>, engine: Handle) -> io::Result<Watch> {
        let (orders, told) = sync_channel(1);
        keys.look(&engine, Why::Looking);
        let is_needed = !keys.is_empty();
        if is_needed {
            let thread = thread::Builder::new().name("keys".to_owned());
            thread.spawn(move || watch(&keys, &engine, &told))?;
        }
        Ok(Watch { orders, is_needed })
    }

    /// Whether there is anything to look after.
    pub fn is_needed(&self) -> bool {
        self.is_needed
    }

    /// Has all keys read anew soon.
    pub fn renew(&self) {
        // One that waits already will do.
        let _ = self.orders.try_send(());
    }
}

fn watch(keys: &Keys, engine: &Handle, told: &Receiver<()>) {
    loop {
        match told.recv_timeout(LOOK_EVERY) {
            Ok(()) => keys.look(engine, Why::Told),
            Err(RecvTimeoutError::Timeout) => keys.look(engine, Why::Looking),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
