//! The users that a broker knows by SCRAM. What a password becomes before it travels is the caller's.

use super::Client;
use super::admin::{AdminError, Subject};
use crate::Code;
use strandline_protocol::messages::{
    AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest, ScramCredentialDeletion,
    ScramCredentialUpsertion,
};

/// A user, with the mechanisms that it has a password for, by their numbers in the protocol, and how often
/// that is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Mechanism and iterations.
    pub credentials: Vec<(i8, i32)>,
}

impl Client {
    /// All users.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn users(&mut self) -> Result<Vec<User>, AdminError> {
        let subject = || Subject::Users;
        let mut controller = self.dial_controller()?;
        let response = controller
            .call(&DescribeUserScramCredentialsRequest { users: None })
            .map_err(|source| AdminError::Request { subject: subject(), source })?;
        let refused =
            |code| AdminError::Refused { subject: subject(), code, message: response.error_message.clone() };
        Code::check(response.error_code).map_err(refused)?;
        let user = response.results.into_iter().map(|result| {
            let credentials = result.credential_infos.into_iter();
            let credentials = credentials.map(|info| (info.mechanism, info.iterations)).collect();
            User { name: result.user, credentials }
        });
        Ok(user.collect())
    }

    /// Gives a user a password, in the place of the one that it had for the mechanism.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn set_user(&mut self, credential: ScramCredentialUpsertion) -> Result<(), AdminError> {
        let name = credential.name.clone();
        self.alter_user(
            &name,
            AlterUserScramCredentialsRequest {
                upsertions: vec![credential],
                ..AlterUserScramCredentialsRequest::default()
            },
        )
    }

    /// Takes the passwords of a user for these mechanisms away.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn delete_user(&mut self, name: &str, mechanisms: &[i8]) -> Result<(), AdminError> {
        let deletion =
            |mechanism: &i8| ScramCredentialDeletion { name: name.to_owned(), mechanism: *mechanism };
        self.alter_user(
            name,
            AlterUserScramCredentialsRequest {
                deletions: mechanisms.iter().map(deletion).collect(),
                ..AlterUserScramCredentialsRequest::default()
            },
        )
    }

    fn alter_user(
        &mut self,
        name: &str,
        request: AlterUserScramCredentialsRequest,
    ) -> Result<(), AdminError> {
        let subject = || Subject::User(name.to_owned());
        let mut controller = self.dial_controller()?;
        let response =
            controller.call(&request).map_err(|source| AdminError::Request { subject: subject(), source })?;
        let result = response.results.into_iter().find(|result| result.user == name);
        let result = result.ok_or_else(|| AdminError::NotMentioned { subject: subject() })?;
        let message = result.error_message;
        Code::check(result.error_code).map_err(|code| AdminError::Refused {
            subject: subject(),
            code,
            message,
        })
    }
}
