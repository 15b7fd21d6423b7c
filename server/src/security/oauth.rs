//! OAUTHBEARER (RFC 7628): a token that somebody else has signed (a JWT, RFC 7519) says who a client is.
//!
//! ```text
//! n,,^Aauth=Bearer TOKEN^A^A  > message: the token    > jwt: its form, signature and claims, by
//!                                                         jwk: the keys of whoever issues tokens (RFC 7517)
//! believed: the claim `sub` is the user, until the claim `exp`
//! refused:  {"status":"invalid_token"} as a challenge, and once the client has answered, as why it failed
//! ```
//! * Only signatures by a pair of keys are taken, of a list of algorithms. A token without one (`none`) and
//!   one by a shared secret (`HS256`, ...) are refused, whatever key they name.
//! * A key is used for the algorithm that it is made for, and no other.
//! * Why a token is refused stands in the log at DEBUG, and not in the answer.

mod jwk;
mod jwt;
mod message;

use std::fmt;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

pub use jwk::{JwksError, KeySet};
pub use jwt::TokenRules;
use jwt::{Holder, Unfit};

/// Tells who a token is from: the rules that it has to meet, and the keys that are known at the moment.
pub struct Verifier {
    rules: TokenRules,
    keys: Mutex<Arc<KeySet>>,
    /// Whom to tell that a token names a key that is not known.
    unknown: SyncSender<()>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Without a key, by which nobody is believed.
    pub fn new(rules: TokenRules, unknown: SyncSender<()>) -> Verifier {
        Verifier { rules, keys: Mutex::default(), unknown }
    }

    /// Has tokens verified by these keys from now on.
    pub fn replace(&self, keys: KeySet) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The keys that are known.
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who holds the token, and for how much longer.
    fn holder(&self, token: &str, now: SystemTime) -> Result<Holder, Unfit> {
        let holder = jwt::verify(token, &self.keys(), &self.rules, now);
        if holder == Err(Unfit::NoKey) {
            // One that waits already will do.
            let _ = self.unknown.try_send(());
        }
        holder
    }
}

/// One client's exchange.
#[derive(Debug, Default)]
pub(super) struct Bearer {
    has_failed: bool,
}

/// What a message comes to.
pub(super) enum Reply {
    /// It is this user, for so long.
    Proven { user: String, lasts: Duration },
    /// It is not believed, which it is told, and is to answer.
    Challenge(&'static str),
}

/// What a client is told whose token is refused, in Kafka's words.
pub(super) const INVALID_TOKEN: &str = r#"{"status":"invalid_token"}"#;

impl Bearer {
    /// Takes the client's next message; `None` ends the exchange.
    pub(super) fn step(&mut self, message: &[u8], verifier: &Verifier, now: SystemTime) -> Option<Reply> {
        if self.has_failed {
            return None;
        }
        let asked = message::read(message)?;
        match verifier.holder(asked.token, now) {
            Ok(Holder { user, lasts }) => {
                let may_be = asked.authorization.is_none_or(|authorization| authorization == user);
                may_be.then_some(Reply::Proven { user, lasts })
            }
            Err(why) => {
                tracing::debug!(%why, "a token is refused");
                self.has_failed = true;
                Some(Reply::Challenge(INVALID_TOKEN))
            }
        }
    }
}

#[cfg(test)]
mod tests;
