//! TLS as Kafka's settings describe it (`ssl.*`, KIP-651): keys and certificates out of PEM, who is trusted,
//! and what the subject of a certificate is called. No socket, no request; rustls does the protocol.
//!
//! ```text
//! TlsSettings: names and values > pem: blocks > acceptor:  rustls::ServerConfig, for a listener
//!                                             > connector: rustls::ClientConfig, for a client
//! a client's certificate > subject: its name as Java writes it > mapping: the name of a user
//! ```
//! * A key, a password and what stands in a PEM are shown by no `Debug` and named by no error.
//! * Files are read when a configuration is made, and at most [`FILE_BYTES_MAX`] of each.
//! * What a stranger sends meets `subject` and `mapping` only after its certificate has been verified.

mod acceptor;
mod connector;
mod error;
mod mapping;
mod pem;
mod provider;
mod settings;
mod subject;
mod trust;

pub use acceptor::acceptor;
pub use connector::connector;
pub use error::{FILE_BYTES_MAX, Problem, TlsError, told};
pub use mapping::{MappingError, NoRule, PrincipalMapping, Wrong};
pub use rustls;
pub use settings::{NAMES, TlsSettings};
pub use subject::{NoSubject, subject};
