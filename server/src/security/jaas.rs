//! The users of PLAIN, out of the setting in which Kafka keeps them: one entry of a JAAS configuration.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="..." user_bob="...";
//! ```
//! Options other than `user_NAME` are what a broker would say to other brokers, and are passed over.

use strandline_client::{JaasForm, jaas_entry};

use super::plain::PlainUsers;

/// Why the text has no users. It names no part of the text: that is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JaasError {
    /// It is no entry.
    #[error(transparent)]
    Form(#[from] JaasForm),
    /// Another module.
    #[error("org.apache.kafka.common.security.plain.PlainLoginModule as its module, which it has not")]
    Module,
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

/// The users that the text names.
///
/// # Errors
/// [`JaasError`].
pub fn plain_users(text: &str) -> Result<PlainUsers, JaasError> {
    let entry = jaas_entry(text)?;
    if entry.module != PLAIN_MODULE {
        return Err(JaasError::Module);
    }
    let mut users = Vec::new();
    for (name, value) in entry.options {
        let Some(user) = name.strip_prefix("user_") else { continue };
        if value.is_empty() {
            return Err(JaasError::EmptyPassword { number: users.len() + 1 });
        }
        users.push((user.to_owned(), value));
    }
    match users.is_empty() {
        true => Err(JaasError::NoUser),
        false => Ok(users.into_iter().collect()),
    }
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
            (plain_users(""), JaasError::Form(JaasForm::Beginning)),
            (plain_users("hunter2"), JaasError::Form(JaasForm::Beginning)),
            (plain_users("hunter2 hunter2 user_a=\"b\";"), JaasError::Form(JaasForm::Beginning)),
            (plain_users(scram), JaasError::Module),
            (users("user_a=\"hunter2\""), JaasError::Form(JaasForm::End)),
            (users("user_a \"hunter2\";"), JaasError::Form(JaasForm::Option { number: 1 })),
            (users("x=\"y\" =\"hunter2\";"), JaasError::Form(JaasForm::Option { number: 2 })),
            (users("username=\"hunter2\";"), JaasError::NoUser),
            (users("user_a=\"\";"), JaasError::EmptyPassword { number: 1 }),
            (users("user_a=\"b\"; another required;"), JaasError::Form(JaasForm::Several)),
        ];
        for (found, error) in refused {
            assert_eq!(found, Err(error));
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
