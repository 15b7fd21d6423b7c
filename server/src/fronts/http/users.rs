//! Who asks: by HTTP Basic with a user of the broker (PLAIN, SCRAM), by a bearer token (OAUTHBEARER), by the
//! certificate of a connection, or nobody in particular where the Kafka listener asks for nothing either.
//!
//! A password of SCRAM takes milliseconds to be checked: that is done aside, [`CHECKS_MAX`] at a time, and
//! what was proven is remembered by a sum of it, as long as the credential is the same. Who is not believed
//! waits as at the Kafka listener (`connection.failed.authentication.delay.ms`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use strandline_engine::config::Credentials;
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::config::SaslConfig;
use crate::security::{Credential, Exchange, Hash, Known, Mechanism, Step, Verifier, place, random};
use crate::session::Principal;

/// Passwords that are checked at a time.
const CHECKS_MAX: usize = 2;

/// Proofs that are remembered, some 100 bytes each.
const PROVEN_MAX: usize = 4096;

/// Longest name and password.
const SECRET_BYTES_MAX: usize = 1024;

/// Longest token, as at a Kafka listener: a request of its default size has room for no more.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// A sum of a user and a password, by a key that nobody else has.
type Sum = [u8; 32];

/// The users of the front's listener.
pub(super) struct Users {
    /// `None` where nothing has to be proven.
    sasl: Option<Arc<SaslConfig>>,
    tokens: Option<Arc<Verifier>>,
    key: hmac::Key,
    checks: Semaphore,
    /// Who has proven to be a user of SCRAM, with the credential that it was held against.
    proven: Mutex<HashMap<Sum, (Hash, String)>>,
}

impl Users {
    /// Those that a listener asks for.
    pub(super) fn new(sasl: Option<Arc<SaslConfig>>, tokens: Option<Arc<Verifier>>) -> Users {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>());
        Users { sasl, tokens, key, checks: Semaphore::new(CHECKS_MAX), proven: Mutex::default() }
    }

    /// Whose request it is.
    ///
    /// # Errors
    /// 401, after a while.
    pub(super) async fn principal(
        &self,
        headers: &HeaderMap,
        certified: Option<&str>,
        credentials: &Credentials,
    ) -> Result<Principal, Problem> {
        let Some(sasl) = &self.sasl else {
            let user = certified.map(|user| Principal::user(user.to_owned()));
            return Ok(user.unwrap_or(Principal::ANONYMOUS));
        };
        let given = headers.get(header::AUTHORIZATION);
        // Who says nothing is asked, as browsers expect; only who says something wrong waits.
        let given = given.ok_or_else(Problem::unproven)?;
        let user = match given.to_str().ok().and_then(|given| given.split_once(' ')) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
                self.of_password(sasl, rest.trim(), credentials).await
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => self.of_token(sasl, rest.trim()),
            _ => None,
        };
        match user {
            Some(user) => Ok(Principal::user(user)),
            None => {
                tokio::time::sleep(sasl.failure_delay).await;
                Err(Problem::unproven())
            }
        }
    }

    fn of_token(&self, sasl: &SaslConfig, token: &str) -> Option<String> {
        sasl.lifetime(Mechanism::Bearer)?;
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let message = format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
        self.proves(Mechanism::Bearer, sasl, message.as_bytes())
    }

    fn proves(&self, mechanism: Mechanism, sasl: &SaslConfig, message: &[u8]) -> Option<String> {
        let known = Known {
            plain: &sasl.plain_users,
            scram: &Credentials::default(),
            tokens: self.tokens.as_deref(),
            now: SystemTime::now(),
        };
        match Exchange::new(mechanism).step(message, known) {
            Step::Proven { user, .. } => Some(user),
            Step::Challenge(_) | Step::Denied => None,
        }
    }

    async fn of_password(
        &self,
        sasl: &SaslConfig,
        encoded: &str,
        credentials: &Credentials,
    ) -> Option<String> {
        if encoded.len() > 2 * SECRET_BYTES_MAX {
            return None;
        }
        let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        if sasl.lifetime(Mechanism::Plain).is_some() {
            let message = format!("\0{user}\0{password}");
            if let Some(user) = self.proves(Mechanism::Plain, sasl, message.as_bytes()) {
                return Some(user);
            }
        }
        let hashes = Hash::ALL.into_iter().filter(|hash| sasl.lifetime(Mechanism::Scram(*hash)).is_some());
        let kept = |hash: Hash| credentials.0.get(&place(hash, user)).cloned();
        let of_user: Vec<(Hash, String)> = hashes.filter_map(|hash| Some((hash, kept(hash)?))).collect();
        if of_user.is_empty() || user.is_empty() {
            return None;
        }
        let sum: Sum = hmac::sign(&self.key, decoded.as_bytes()).as_ref().try_into().ok()?;
        if self.proven().get(&sum).is_some_and(|proven| of_user.contains(proven)) {
            return Some(user.to_owned());
        }
        let _turn = self.checks.acquire().await.ok()?;
        for (hash, text) in of_user {
            let credential = Credential::of_text(hash, &text)?;
            let secret = password.to_owned();
            let is_proven = tokio::task::spawn_blocking(move || credential.is_of(hash, secret.as_bytes()));
            if is_proven.await.unwrap_or(false) {
                let mut proven = self.proven();
                if proven.len() >= PROVEN_MAX {
                    proven.clear();
                }
                proven.insert(sum, (hash, text));
                return Some(user.to_owned());
            }
        }
        None
    }

    fn proven(&self) -> std::sync::MutexGuard<'_, HashMap<Sum, (Hash, String)>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::PlainUsers;
    use axum::http::HeaderValue;
    use std::time::{Duration, Instant};

    fn basic(user: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
        [(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap())].into_iter().collect()
    }

    #[tokio::test]
    async fn a_password_proves_its_user_as_long_as_the_credential_is_the_same() {
        let salted = |password: &[u8]| Hash::Sha256.salted(password, b"salt", 4096);
        let kept = |password: &[u8]| {
            let credential = Credential::of_salted(Hash::Sha256, 4096, b"salt", &salted(password)).unwrap();
            Credentials([(place(Hash::Sha256, "bob"), credential.to_text())].into())
        };
        let plain: PlainUsers = [("alice".to_owned(), "wonder:land".to_owned())].into_iter().collect();
        let sasl = SaslConfig {
            mechanisms: vec![(Mechanism::Plain, None), (Mechanism::Scram(Hash::Sha256), None)],
            plain_users: plain,
            bearer: None,
            request_bytes_max: 4096,
            failure_delay: Duration::from_millis(30),
        };
        let users = Users::new(Some(Arc::new(sasl)), None);
        let (before, after) = (kept(b"builder"), kept(b"destroyer"));
        let ask = async |headers: HeaderMap, credentials: &Credentials| {
            users.principal(&headers, None, credentials).await.map(|found| found.to_string())
        };
        assert_eq!(ask(basic("alice", "wonder:land"), &before).await.unwrap(), "User:alice");
        for _ in 0..2 {
            assert_eq!(ask(basic("bob", "builder"), &before).await.unwrap(), "User:bob");
        }
        let since = Instant::now();
        assert_eq!(
            ask(basic("bob", "builder"), &after).await,
            Err(Problem::unproven()),
            "another password now"
        );
        assert!(since.elapsed() >= Duration::from_millis(30), "who is not believed waits");
        for (user, password) in [("alice", "builder"), ("bob", "wonder:land"), ("", ""), ("carol", "x")] {
            assert_eq!(ask(basic(user, password), &before).await, Err(Problem::unproven()), "{user}");
        }
        assert_eq!(ask(HeaderMap::new(), &before).await, Err(Problem::unproven()));
    }
}
