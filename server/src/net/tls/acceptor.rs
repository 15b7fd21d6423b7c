//! What a listener takes TLS connections by: its keys, which may be replaced while it listens, and its rules
//! for names.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use strandline_tls::rustls::ServerConfig;
use strandline_tls::rustls::pki_types::CertificateDer;
use strandline_tls::{NoRule, NoSubject, PrincipalMapping, TlsError, TlsSettings, acceptor, subject};

/// The keys of a listener, and its rules. A connection keeps those that it began with.
pub struct Acceptor {
    current: Mutex<Current>,
    mapping: PrincipalMapping,
}

/// Why a certificate names no user.
#[derive(Debug, thiserror::Error)]
pub enum NotNamed {
    /// Its subject cannot be read.
    #[error(transparent)]
    Subject(#[from] NoSubject),
    /// No rule is for it.
    #[error(transparent)]
    Rule(#[from] NoRule),
}

/// What is in force, and what it was made of.
struct Current {
    config: Arc<ServerConfig>,
    made_of: Source,
}

/// Settings, and what their files looked like when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    settings: TlsSettings,
    files: Vec<(PathBuf, Option<(SystemTime, u64)>)>,
}

impl Source {
    /// These settings, and their files as they are.
    pub(super) fn of(settings: TlsSettings) -> Source {
        let looks = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        let files = settings.files().into_iter().map(|path| (path.clone(), looks(&path)));
        Source { files: files.collect(), settings }
    }
}

/// What was made of settings, and is not in force yet.
pub(super) struct Made(Current);

impl Made {
    /// Reads the files and makes it. They are looked at before, so that one that changes meanwhile is read
    /// again.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn of(source: Source, mapping: &PrincipalMapping) -> Result<Made, TlsError> {
        let config = acceptor(&source.settings, mapping)?;
        Ok(Made(Current { config, made_of: source }))
    }
}

impl Acceptor {
    /// With what was made first.
    pub(super) fn new(made: Made, mapping: PrincipalMapping) -> Acceptor {
        Acceptor { current: Mutex::new(made.0), mapping }
    }

    /// What the next connection is taken by. It is asked once a connection, so one lock will do.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current().config.clone()
    }

    /// The rules for the names of users.
    pub(super) fn mapping(&self) -> &PrincipalMapping {
        &self.mapping
    }

    /// The user that the certificate of a client names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn user(&self, own: &CertificateDer<'_>) -> Result<String, NotNamed> {
        Ok(self.mapping.name(&subject(own)?)?)
    }

    /// Whether what is in force was made of this.
    pub(super) fn is_made_of(&self, source: &Source) -> bool {
        self.current().made_of == *source
    }

    /// Has the next connection taken by it.
    pub(super) fn replace(&self, made: Made) {
        *self.current() = made.0;
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().expect("nothing panics while it holds the lock")
    }
}
