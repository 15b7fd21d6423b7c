//! What a connection has proven of its client: which requests are taken before, and how one comes to be
//! believed. Only listeners with SASL ask for it.
//!
//! ```text
//!            SaslHandshake            tokens                        lifetime is over (KIP-368)
//! Fresh ------------------> Exchanging ------> Proven until ...  ---------------------> cut at its next request
//!   ^ wrong mechanism           | no proof          | SaslHandshake                      that is no SaslHandshake
//!   `---------------            v                   `----> Exchanging again, as the same user
//!                            Failed: the answer waits, then the connection ends
//! ```
//! Before it is `Proven`, a client may ask ApiVersions, SaslHandshake and SaslAuthenticate, and nothing else;
//! its requests are small, and it has one exchange, in which nothing is tried twice. The tokens travel in
//! SaslAuthenticate, or after version 0 of SaslHandshake as bare frames.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use strandline_engine::config::Credentials;
use strandline_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use strandline_protocol::wire::{ApiKey, ErrorCode};

use crate::config::SaslConfig;
use crate::security::{Exchange, Known, Mechanism, Step, Verifier};
use crate::session::Principal;

/// The first version of SaslHandshake after which tokens have headers.
const TOKENS_WITH_HEADERS_FROM: i16 = 1;

/// A client that proves itself again sooner is not listened to: as in Kafka.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the client of one connection has proven.
pub struct Authentication {
    /// `None` where nothing has to be proven.
    sasl: Option<Arc<SaslConfig>>,
    /// Who knows whom a token is of, where the listener takes tokens.
    tokens: Option<Arc<Verifier>>,
    state: State,
}

enum State {
    Fresh,
    Exchanging { exchange: Exchange, mechanism: Mechanism, bare: bool, again: Option<Principal> },
    Proven { mechanism: Mechanism, since: Instant, until: Option<Instant> },
    Failed,
}

/// Why a request is not taken: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// Nothing was proven yet.
    #[error("{0} was asked by a client that has not proven who it is")]
    Unproven(ApiKey),
    /// It was not proven again in time.
    #[error(
        "{0} was asked by a client whose proof has come to its end, by connections.max.reauth.ms or its token"
    )]
    Expired(ApiKey),
}

/// What has become of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// The exchange goes on, or is over well: this is for the client. A user that it has proven to be is told
    /// as well.
    Token {
        /// The token for the client.
        token: Vec<u8>,
        /// Who it is from now on.
        principal: Option<Principal>,
        /// For how long.
        lifetime: Option<Duration>,
    },
    /// It is not believed, in so many words. Its connection ends when they have been said.
    Denied {
        /// The words.
        why: String,
        /// When they are to be said.
        after: Duration,
    },
    /// Nobody had asked for a token; the connection goes on.
    Unasked(&'static str),
}

impl Authentication {
    /// Of a connection by a listener that asks for this much.
    pub fn new(sasl: Option<Arc<SaslConfig>>, tokens: Option<Arc<Verifier>>) -> Authentication {
        Authentication { sasl, tokens, state: State::Fresh }
    }

    /// Largest request that is taken, where there is a limit beside that of all.
    pub fn request_bytes_max(&self) -> Option<usize> {
        let sasl = self.sasl.as_ref()?;
        (!matches!(self.state, State::Proven { .. })).then_some(sasl.request_bytes_max)
    }

    /// Whether the next frame is a bare token.
    pub fn expects_bare_token(&self) -> bool {
        matches!(self.state, State::Exchanging { bare: true, .. })
    }

    /// Whether nothing is listened to any more.
    pub fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// Notes that the client asks for something else: whether an exchange was under way, which is over by
    /// that. A client that takes the word that its token is invalid for the end of the exchange would go on
    /// otherwise, and be cut without learning why. Kafka tells it, too.
    pub fn is_interrupted(&mut self) -> bool {
        let was_under_way = matches!(self.state, State::Exchanging { .. });
        if was_under_way {
            self.state = State::Failed;
        }
        was_under_way
    }

    /// Whether a request is taken now.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn admit(&self, key: ApiKey) -> Result<(), NotAdmitted> {
        if self.sasl.is_none() {
            return Ok(());
        }
        let proves = matches!(key, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate);
        match &self.state {
            State::Proven { until: None, .. } => Ok(()),
            State::Proven { until: Some(until), .. } if proves || Instant::now() < *until => Ok(()),
            State::Proven { .. } => Err(NotAdmitted::Expired(key)),
            _ if proves || key == ApiKey::ApiVersions => Ok(()),
            _ => Err(NotAdmitted::Unproven(key)),
        }
    }

    /// The client names a mechanism; `principal` is who it is so far.
    pub fn handshake(
        &mut self,
        version: i16,
        request: &SaslHandshakeRequest,
        principal: &Principal,
    ) -> SaslHandshakeResponse {
        let refused =
            |code: ErrorCode, mechanisms| SaslHandshakeResponse { error_code: code.code(), mechanisms };
        let again = match &self.state {
            State::Fresh => None,
            // Who need not prove it again, or has only just done so, is not asked to.
            State::Proven { since, until: Some(_), .. } if since.elapsed() >= AGAIN_AFTER => {
                Some(principal.clone())
            }
            State::Exchanging { .. } | State::Proven { .. } | State::Failed => {
                return refused(ErrorCode::IllegalSaslState, Vec::new());
            }
        };
        let Some(sasl) = &self.sasl else { return refused(ErrorCode::IllegalSaslState, Vec::new()) };
        let mechanisms = sasl.mechanisms.iter().map(|(mechanism, _)| mechanism.to_string()).collect();
        let asked = Mechanism::of_name(&request.mechanism).filter(|asked| sasl.lifetime(*asked).is_some());
        let is_other = |asked| matches!(self.state, State::Proven { mechanism, .. } if mechanism != asked);
        match asked {
            Some(mechanism) if !is_other(mechanism) => {
                let bare = version < TOKENS_WITH_HEADERS_FROM;
                self.state = State::Exchanging { exchange: Exchange::new(mechanism), mechanism, bare, again };
                SaslHandshakeResponse { error_code: ErrorCode::None.code(), mechanisms }
            }
            _ => refused(ErrorCode::UnsupportedSaslMechanism, mechanisms),
        }
    }

    /// The client's next token.
    pub fn token(&mut self, token: &[u8], credentials: &Credentials) -> Told {
        let (Some(sasl), State::Exchanging { exchange, mechanism, again, .. }) =
            (&self.sasl, &mut self.state)
        else {
            return match self.sasl {
                Some(_) if matches!(self.state, State::Fresh | State::Failed) => {
                    self.fail("SaslAuthenticate was asked before SaslHandshake".to_owned())
                }
                _ => Told::Unasked("SaslAuthenticate request received after successful authentication"),
            };
        };
        let mechanism = *mechanism;
        let known = Known {
            plain: &sasl.plain_users,
            scram: credentials,
            tokens: self.tokens.as_deref(),
            now: SystemTime::now(),
        };
        match exchange.step(token, known) {
            Step::Challenge(token) => Told::Token { token, principal: None, lifetime: None },
            Step::Proven { token, user, lasts } => {
                let principal = Principal::user(user);
                if let Some(before) = again.take().filter(|before| *before != principal) {
                    let why = format!(
                        "Cannot change principals during re-authentication from {before}: {principal}"
                    );
                    return self.fail(why);
                }
                let lifetime = [sasl.lifetime(mechanism).flatten(), lasts].into_iter().flatten().min();
                let since = Instant::now();
                let until = lifetime.and_then(|lifetime| since.checked_add(lifetime));
                self.state = State::Proven { mechanism, since, until };
                Told::Token { token, principal: Some(principal), lifetime }
            }
            Step::Denied => self.fail(mechanism.denial()),
        }
    }

    fn fail(&mut self, why: String) -> Told {
        self.state = State::Failed;
        let after = self.sasl.as_ref().map_or(Duration::ZERO, |sasl| sasl.failure_delay);
        Told::Denied { why, after }
    }
}

/// The answer to SaslAuthenticate, and when it is to be given.
pub fn authenticate(
    authentication: &mut Authentication,
    request: &SaslAuthenticateRequest,
    credentials: &Credentials,
) -> (SaslAuthenticateResponse, Duration, Option<Principal>) {
    let refused = |code: ErrorCode, why: String| SaslAuthenticateResponse {
        error_code: code.code(),
        error_message: Some(why),
        ..Default::default()
    };
    match authentication.token(&request.auth_bytes, credentials) {
        Told::Token { token, principal, lifetime } => {
            let session_lifetime_ms = lifetime.map_or(0, |lifetime| lifetime.as_millis().max(1) as i64);
            let response = SaslAuthenticateResponse {
                auth_bytes: token.into(),
                session_lifetime_ms,
                ..Default::default()
            };
            (response, Duration::ZERO, principal)
        }
        Told::Denied { why, after } => (refused(ErrorCode::SaslAuthenticationFailed, why), after, None),
        Told::Unasked(why) => (refused(ErrorCode::IllegalSaslState, why.to_owned()), Duration::ZERO, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{Hash, PlainUsers};

    fn users() -> PlainUsers {
        [("a", "1"), ("b", "2")]
            .map(|(user, password)| (user.to_owned(), password.to_owned()))
            .into_iter()
            .collect()
    }

    fn with(lifetime: Option<Duration>) -> Authentication {
        let scram = Mechanism::Scram(Hash::Sha256);
        let sasl = SaslConfig {
            mechanisms: vec![(Mechanism::Plain, lifetime), (scram, lifetime)],
            plain_users: users(),
            bearer: None,
            request_bytes_max: 4096,
            failure_delay: Duration::from_millis(5),
        };
        Authentication::new(Some(Arc::new(sasl)), None)
    }

    fn shake(authentication: &mut Authentication, mechanism: &str) -> ErrorCode {
        let request = SaslHandshakeRequest { mechanism: mechanism.to_owned() };
        let answer = authentication.handshake(1, &request, &Principal::user("a".to_owned()));
        ErrorCode::try_from(answer.error_code).unwrap()
    }

    fn say(authentication: &mut Authentication, token: &str) -> (ErrorCode, Option<String>) {
        let request = SaslAuthenticateRequest { auth_bytes: token.to_owned().into() };
        let (answer, after, principal) = authenticate(authentication, &request, &Credentials::default());
        let code = ErrorCode::try_from(answer.error_code).unwrap();
        assert_eq!(after > Duration::ZERO, code == ErrorCode::SaslAuthenticationFailed);
        (code, principal.map(|principal| principal.to_string()))
    }

    fn plain(user: &str, password: &str) -> String {
        format!("\0{user}\0{password}")
    }

    #[test]
    fn nothing_but_what_proves_it_is_taken_before_a_client_is_believed() {
        let mut client = with(None);
        let admitted = |client: &Authentication| -> Vec<ApiKey> {
            ApiKey::all().filter(|key| client.admit(*key).is_ok()).collect()
        };
        let before = [ApiKey::SaslHandshake, ApiKey::ApiVersions, ApiKey::SaslAuthenticate];
        assert_eq!(admitted(&client), before);
        assert_eq!(client.request_bytes_max(), Some(4096));
        assert_eq!(shake(&mut client, "PLAIN"), ErrorCode::None);
        assert_eq!(admitted(&client), before);
        assert_eq!(say(&mut client, &plain("a", "1")), (ErrorCode::None, Some("User:a".to_owned())));
        assert_eq!(admitted(&client).len(), ApiKey::all().count());
        assert_eq!(client.request_bytes_max(), None);
        assert_eq!(say(&mut client, &plain("b", "2")).0, ErrorCode::IllegalSaslState, "once is enough");
        assert_eq!(shake(&mut client, "PLAIN"), ErrorCode::IllegalSaslState);
        assert!(!client.has_failed());
    }

    #[test]
    fn a_listener_that_asks_for_nothing_takes_everything() {
        let mut client = Authentication::new(None, None);
        assert!(ApiKey::all().all(|key| client.admit(key).is_ok()));
        assert_eq!(shake(&mut client, "PLAIN"), ErrorCode::IllegalSaslState);
        assert_eq!(say(&mut client, &plain("a", "1")), (ErrorCode::IllegalSaslState, None));
        assert!(!client.has_failed() && client.request_bytes_max().is_none());
    }

    #[test]
    fn a_wrong_mechanism_may_be_mended_and_a_wrong_proof_may_not() {
        let mut client = with(None);
        assert_eq!(shake(&mut client, "GSSAPI"), ErrorCode::UnsupportedSaslMechanism);
        assert_eq!(
            shake(&mut client, "SCRAM-SHA-512"),
            ErrorCode::UnsupportedSaslMechanism,
            "not of this listener"
        );
        assert_eq!(shake(&mut client, "PLAIN"), ErrorCode::None);
        assert_eq!(say(&mut client, &plain("a", "2")), (ErrorCode::SaslAuthenticationFailed, None));
        assert!(client.has_failed());
        assert_eq!(say(&mut client, &plain("a", "1")), (ErrorCode::SaslAuthenticationFailed, None));
        assert_eq!(shake(&mut client, "PLAIN"), ErrorCode::IllegalSaslState);
        assert!(client.admit(ApiKey::Metadata).is_err());

        let mut hasty = with(None);
        assert_eq!(
            say(&mut hasty, &plain("a", "1")),
            (ErrorCode::SaslAuthenticationFailed, None),
            "without a handshake"
        );
        assert!(hasty.has_failed());
    }

    #[test]
    fn a_lifetime_ends_unless_the_same_user_proves_it_again_by_the_same_mechanism() {
        let begun = || {
            let mut client = with(Some(Duration::from_secs(3600)));
            shake(&mut client, "PLAIN");
            say(&mut client, &plain("a", "1"));
            client
        };
        let ago = |client: &mut Authentication, seconds: u64| {
            let State::Proven { since, until, .. } = &mut client.state else { panic!("it is proven") };
            let seconds = Duration::from_secs(seconds);
            *since = since.checked_sub(seconds).unwrap();
            *until = until.map(|until| until.checked_sub(seconds).unwrap());
        };
        let mut client = begun();
        assert_eq!(shake(&mut client, "PLAIN"), ErrorCode::IllegalSaslState, "it has only just proven it");
        ago(&mut client, 2);
        assert_eq!(shake(&mut client, "SCRAM-SHA-256"), ErrorCode::UnsupportedSaslMechanism);
        assert_eq!(client.admit(ApiKey::Metadata), Ok(()));
        ago(&mut client, 3600);
        assert_eq!(client.admit(ApiKey::Metadata), Err(NotAdmitted::Expired(ApiKey::Metadata)));
        assert_eq!(shake(&mut client, "PLAIN"), ErrorCode::None);
        assert!(client.admit(ApiKey::Metadata).is_err(), "while it proves it");
        assert_eq!(say(&mut client, &plain("a", "1")).0, ErrorCode::None);
        assert_eq!(client.admit(ApiKey::Metadata), Ok(()));

        let mut other = begun();
        ago(&mut other, 2);
        shake(&mut other, "PLAIN");
        assert_eq!(say(&mut other, &plain("b", "2")), (ErrorCode::SaslAuthenticationFailed, None));
        assert!(other.has_failed());
    }
}
