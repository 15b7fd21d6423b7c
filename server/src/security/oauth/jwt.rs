//! A token: three parts in Base64, what it is, what it says, and a signature of both (RFC 7515, RFC 7519).
//!
//! The signature is looked at first; nothing that an unsigned token says decides anything but by which of
//! the known keys it is verified.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Map, Value};

use super::jwk::{Algorithm, KeySet};

/// Longest token. Those of issuers have one or two thousand bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 64 << 10;

/// Longest name of a user.
const USER_BYTES_MAX: usize = 4096;

/// The last second of the year 9999: what ends later ends never.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What has to hold of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// Whom it is for: one of these. Where there is none, it may be for anybody.
    pub audiences: Vec<String>,
    /// Who has issued it; `None` for anybody who has such a key.
    pub issuer: Option<String>,
    /// How much the clocks of issuer and broker may differ.
    pub skew: Duration,
    /// The claim that has its scopes.
    pub scope_claim: String,
    /// The claim that is the user.
    pub user_claim: String,
}

/// Whom a token is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The user.
    pub(super) user: String,
    /// How long the token holds still, with what clocks may differ.
    pub(super) lasts: Duration,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// Too long.
    #[error("it has more than {TOKEN_BYTES_MAX} bytes")]
    Long,
    /// No signed JWT.
    #[error("it is no JWT of three parts")]
    Form,
    /// It asks for what is not understood.
    #[error("its header names what is critical and not known here")]
    Critical,
    /// Not signed, by a shared secret, or by what is not known here.
    #[error("it is not signed by RS256, RS384, RS512, PS256, ES256 or ES384")]
    Algorithm,
    /// No key of the set is meant.
    #[error("the key that it names is not known")]
    NoKey,
    /// Somebody else has signed it, or it was changed.
    #[error("its signature is not that of the key")]
    Signature,
    /// A claim has another form, or is missing.
    #[error("its claim {0} is missing, or has another form")]
    Claim(&'static str),
    /// It is over.
    #[error("it has expired")]
    Expired,
    /// It does not hold yet.
    #[error("it does not hold yet")]
    NotYet,
    /// From somebody else.
    #[error("it is from another issuer")]
    Issuer,
    /// For somebody else.
    #[error("it is for another audience")]
    Audience,
}

/// Who holds a token, if it is signed by one of the keys and meets the rules now.
pub(super) fn verify(
    token: &str,
    keys: &KeySet,
    rules: &TokenRules,
    now: SystemTime,
) -> Result<Holder, Unfit> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Unfit::Long);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Unfit::Form)?;
    let (header, claims) = signed.split_once('.').ok_or(Unfit::Form)?;
    let (header, signature) = (object(header)?, BASE64.decode(signature).map_err(|_| Unfit::Form)?);
    if header.contains_key("crit") {
        return Err(Unfit::Critical);
    }
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::of_name);
    let algorithm = algorithm.ok_or(Unfit::Algorithm)?;
    let id = match header.get("kid") {
        None => None,
        Some(id) => Some(id.as_str().ok_or(Unfit::Form)?),
    };
    match keys.verifies(id, algorithm, signed.as_bytes(), &signature) {
        None => Err(Unfit::NoKey),
        Some(false) => Err(Unfit::Signature),
        Some(true) => rules.holder(&object(claims)?, now),
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Unfit> {
    let text = BASE64.decode(part).map_err(|_| Unfit::Form)?;
    serde_json::from_slice(&text).map_err(|_| Unfit::Form)
}

impl TokenRules {
    fn holder(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<Holder, Unfit> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let skew = self.skew.as_secs_f64();
        let ends = seconds(claims, "exp")?.ok_or(Unfit::Claim("exp"))?;
        seconds(claims, "iat")?.ok_or(Unfit::Claim("iat"))?;
        let lasts = ends + skew - now;
        if lasts <= 0.0 {
            return Err(Unfit::Expired);
        }
        if seconds(claims, "nbf")?.is_some_and(|begins| begins - skew > now) {
            return Err(Unfit::NotYet);
        }
        if self.issuer.as_deref().is_some_and(|issuer| claims.get("iss") != Some(&Value::from(issuer))) {
            return Err(Unfit::Issuer);
        }
        if !self.audiences.is_empty() {
            let is_ours = |text: &str| self.audiences.iter().any(|audience| audience == text);
            let audience = claims.get("aud").and_then(texts).ok_or(Unfit::Audience)?;
            if !audience.into_iter().any(is_ours) {
                return Err(Unfit::Audience);
            }
        }
        // Nothing is decided by scopes; whoever has none in that form is no token of a careful issuer.
        if let Some(scopes) = claims.get(&self.scope_claim) {
            let scopes = texts(scopes).ok_or(Unfit::Claim("of scopes"))?;
            if scopes.iter().any(|scope| scope.trim().is_empty()) {
                return Err(Unfit::Claim("of scopes"));
            }
        }
        let user = claims.get(&self.user_claim).and_then(Value::as_str);
        let is_name = |user: &&str| {
            !user.trim().is_empty() && user.len() <= USER_BYTES_MAX && !user.contains(char::is_control)
        };
        let user = user.filter(is_name).ok_or(Unfit::Claim("of the user"))?.to_owned();
        Ok(Holder { user, lasts: Duration::from_secs_f64(lasts) })
    }
}

/// A time, in seconds since 1970.
fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, Unfit> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
            Ok(Some(seconds.ok_or(Unfit::Claim(name))?.min(LAST_SECOND)))
        }
    }
}

/// One text, or several.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(values) => values.iter().map(Value::as_str).collect(),
        _ => None,
    }
}
