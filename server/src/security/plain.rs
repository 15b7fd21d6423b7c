//! PLAIN (RFC 4616): one token with the password in it.
//!
//! ```text
//! [authorization id] NUL user NUL password
//! ```

use std::collections::BTreeMap;
use std::fmt;

use super::same;

/// The users that may come by PLAIN, with their passwords. `Debug` shows no password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlainUsers(BTreeMap<String, String>);

impl fmt::Debug for PlainUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, String)> for PlainUsers {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(users: I) -> PlainUsers {
        PlainUsers(users.into_iter().collect())
    }
}

impl PlainUsers {
    /// The user that a token proves to be. It may not ask to be another one.
    pub(super) fn user_of(&self, token: &[u8]) -> Option<String> {
        let mut parts = token.splitn(3, |byte| *byte == 0);
        let (authorization, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        let user = std::str::from_utf8(user).ok().filter(|user| !user.is_empty())?;
        let may_be = authorization.is_empty() || authorization == user.as_bytes();
        // A user that there is not is compared as well, so that the time does not tell which users there are.
        let known = self.0.get(user);
        let expected = known.map_or("", String::as_str);
        let proven = same(password, expected.as_bytes());
        (proven && known.is_some() && !password.is_empty() && may_be).then(|| user.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_proves_a_user_by_its_password_and_nobody_else() {
        let pairs = [("alice", "wonder\u{e9}"), ("bob", "builder"), ("empty", "")];
        let users: PlainUsers =
            pairs.map(|(user, password)| (user.to_owned(), password.to_owned())).into_iter().collect();
        let user = |token: &str| users.user_of(token.as_bytes());
        assert_eq!(user("\0alice\0wonder\u{e9}").as_deref(), Some("alice"));
        assert_eq!(user("bob\0bob\0builder").as_deref(), Some("bob"));
        for token in [
            "",
            "\0",
            "alice",
            "\0alice",
            "\0alice\0",
            "\0alice\0wonder",
            "\0alice\0builder",
            "\0alice\0wonder\u{e9}\0",
            "bob\0alice\0wonder\u{e9}",
            "\0carol\0builder",
            "\0carol\0",
            "\0\0builder",
            "\0empty\0",
        ] {
            assert_eq!(user(token), None, "{token:?}");
        }
        assert_eq!(users.user_of(b"\0\xff\0builder"), None);
        assert!(!format!("{users:?}").contains("builder"));
    }
}
