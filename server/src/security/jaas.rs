//! The users of PLAIN, out of the setting in which Kafka keeps them: one entry of a JAAS configuration.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="..." user_bob="...";
//! ```
//! Options other than `user_NAME` are what a broker would say to other brokers, and are passed over. Java
//! reads such a text by words, quoted strings, and comments of its own language; so do we.

use super::plain::PlainUsers;

/// Why the text has no users. It names no part of the text: that is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JaasError {
    /// It does not begin as an entry does.
    #[error("MODULE required NAME=\"VALUE\" ...; and it does not begin with a module and required")]
    Beginning,
    /// Another module.
    #[error("org.apache.kafka.common.security.plain.PlainLoginModule as its module, which it has not")]
    Module,
    /// An option that is none.
    #[error("NAME=\"VALUE\" for each option, and its option {number} is none")]
    Option {
        /// Counted from 1.
        number: usize,
    },
    /// It does not end.
    #[error("a semicolon at its end")]
    End,
    /// Something stands behind the end.
    #[error("one module, and there is more behind its semicolon")]
    Several,
    /// It has no user.
    #[error("user_NAME=\"PASSWORD\" for each user, and it has none")]
    NoUser,
    /// A user without a password.
    #[error("a password for each user, and that of user {number} is empty")]
    EmptyPassword {
        /// Counted from 1.
        number: usize,
    },
}

const PLAIN_MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Equals,
    Semicolon,
}

/// The users that the text names.
///
/// # Errors
/// [`JaasError`].
pub fn plain_users(text: &str) -> Result<PlainUsers, JaasError> {
    let mut tokens = tokens(text).into_iter();
    let (Some(Token::Word(module)), Some(Token::Word(flag))) = (tokens.next(), tokens.next()) else {
        return Err(JaasError::Beginning);
    };
    if !FLAGS.iter().any(|known| flag.eq_ignore_ascii_case(known)) {
        return Err(JaasError::Beginning);
    }
    if module != PLAIN_MODULE {
        return Err(JaasError::Module);
    }
    let mut users = Vec::new();
    for number in 1.. {
        let name = match tokens.next() {
            Some(Token::Word(name)) => name,
            Some(Token::Semicolon) => break,
            Some(Token::Equals) => return Err(JaasError::Option { number }),
            None => return Err(JaasError::End),
        };
        let (Some(Token::Equals), Some(Token::Word(value))) = (tokens.next(), tokens.next()) else {
            return Err(JaasError::Option { number });
        };
        if let Some(user) = name.strip_prefix("user_") {
            if value.is_empty() {
                return Err(JaasError::EmptyPassword { number: users.len() + 1 });
            }
            users.push((user.to_owned(), value));
        }
    }
    match (tokens.next(), users.is_empty()) {
        (Some(_), _) => Err(JaasError::Several),
        (None, true) => Err(JaasError::NoUser),
        (None, false) => Ok(users.into_iter().collect()),
    }
}

/// Words, bare or quoted, and the marks between them. A quoted word ends with its line or with the text, as
/// in Java.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '=' => found.push(Token::Equals),
            ';' => found.push(Token::Semicolon),
            '"' | '\'' => {
                let mut word = String::new();
                while let Some(inner) = letters.next_if(|next| *next != '\n') {
                    match inner {
                        _ if inner == letter => break,
                        '\\' => word.extend(letters.next().map(|escaped| match escaped {
                            'n' => '\n',
                            't' => '\t',
                            'r' => '\r',
                            other => other,
                        })),
                        _ => word.push(inner),
                    }
                }
                found.push(Token::Word(word));
            }
            '/' if letters.next_if_eq(&'/').is_some() => {
                while letters.next_if(|next| *next != '\n').is_some() {}
            }
            '/' if letters.next_if_eq(&'*').is_some() => {
                let mut before = ' ';
                for next in letters.by_ref() {
                    if (before, next) == ('*', '/') {
                        break;
                    }
                    before = next;
                }
            }
            _ if letter.is_whitespace() => {}
            _ => {
                let mut word = String::from(letter);
                let goes_on = |next: &char| !next.is_whitespace() && !"=;\"'".contains(*next);
                while let Some(next) = letters.next_if(goes_on) {
                    word.push(next);
                }
                found.push(Token::Word(word));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(options: &str) -> Result<PlainUsers, JaasError> {
        plain_users(&format!("{PLAIN_MODULE} required {options}"))
    }

    fn expected(pairs: &[(&str, &str)]) -> PlainUsers {
        pairs.iter().map(|(user, password)| ((*user).to_owned(), (*password).to_owned())).collect()
    }

    #[test]
    fn users_are_read_as_kafka_reads_them() {
        let both = expected(&[("admin", "a=b;c"), ("alice", "it's \"fine\"")]);
        let written = r#"username="admin" password="x" user_admin="a=b;c" user_alice="it's \"fine\"";"#;
        assert_eq!(users(written), Ok(both));
        assert_eq!(users("user_bob=builder ;"), Ok(expected(&[("bob", "builder")])));
        let commented = "/* of brokers */ user_bob='b' // and no more\n user_c = \"d\"\n;";
        assert_eq!(users(commented), Ok(expected(&[("bob", "b"), ("c", "d")])));
    }

    #[test]
    fn what_has_no_users_is_refused_and_the_refusal_tells_no_secret() {
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required user_a=\"hunter2\";";
        let refused = [
            (plain_users(""), JaasError::Beginning),
            (plain_users("hunter2"), JaasError::Beginning),
            (plain_users("hunter2 hunter2 user_a=\"b\";"), JaasError::Beginning),
            (plain_users(scram), JaasError::Module),
            (users("user_a=\"hunter2\""), JaasError::End),
            (users("user_a \"hunter2\";"), JaasError::Option { number: 1 }),
            (users("x=\"y\" =\"hunter2\";"), JaasError::Option { number: 2 }),
            (users("username=\"hunter2\";"), JaasError::NoUser),
            (users("user_a=\"\";"), JaasError::EmptyPassword { number: 1 }),
            (users("user_a=\"b\"; another required;"), JaasError::Several),
        ];
        for (found, error) in refused {
            assert_eq!(found, Err(error));
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
