//! The token that a form of a change has: a keyed sum of its user, by a key of this run of the broker.

use ring::hmac;

/// The field with the token.
pub(super) const TOKEN: &str = "token";

/// The token of a user's forms.
pub(super) fn token(key: &hmac::Key, user: &str) -> String {
    hmac::sign(key, user.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether it is one, in the same time whatever is wrong.
pub(super) fn is_token(key: &hmac::Key, user: &str, given: &str) -> bool {
    let byte =
        |at: usize| given.get(2 * at..2 * at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let Some(sum) = (0..given.len() / 2).map(byte).collect::<Option<Vec<u8>>>() else { return false };
    given.len().is_multiple_of(2) && hmac::verify(key, user.as_bytes(), &sum).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_user_and_of_one_run() {
        let [key, other] = [b"one", b"two"].map(|key| hmac::Key::new(hmac::HMAC_SHA256, key));
        let given = token(&key, "User:alice");
        assert!(is_token(&key, "User:alice", &given));
        assert!(!is_token(&key, "User:bob", &given) && !is_token(&other, "User:alice", &given));
        for wrong in ["", "0", "zz", &given[2..], &format!("{given}0"), "\u{e9}\u{e9}"] {
            assert!(!is_token(&key, "User:alice", wrong), "{wrong}");
        }
    }
}
