//! DescribeUserScramCredentials and AlterUserScramCredentials: no user has a password, and none can be given one.

use std::collections::{BTreeMap, BTreeSet};

use crate::dispatch::Broker;
use crate::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};
use crate::wire::ErrorCode;

/// Nobody; whoever is named has no password.
pub async fn describe(
    _: &Broker,
    _: i16,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let users = request.users.unwrap_or_default();
    let users: BTreeMap<String, usize> = users.into_iter().fold(BTreeMap::new(), |mut users, user| {
        *users.entry(user.name).or_default() += 1;
        users
    });
    let results = users.into_iter().map(|(user, times)| {
        let (error_code, message) = match times {
            1 => (ErrorCode::ResourceNotFound, format!("'{user}' has no SCRAM credentials")),
            times => {
                (ErrorCode::DuplicateResource, format!("'{user}' is named {times} times in one request"))
            }
        };
        DescribeUserScramCredentialsResult {
            user,
            error_code: error_code.code(),
            error_message: Some(message),
            ..Default::default()
        }
    });
    DescribeUserScramCredentialsResponse { results: results.collect(), ..Default::default() }
}

/// Refused, user by user.
pub async fn alter(
    _: &Broker,
    _: i16,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let given: BTreeSet<String> = request.upsertions.into_iter().map(|upsertion| upsertion.name).collect();
    let taken = request.deletions.into_iter().map(|deletion| deletion.name);
    let taken: BTreeSet<String> = taken.filter(|user| !given.contains(user)).collect();
    let refused = |user: String, error_code: ErrorCode, message: String| AlterUserScramCredentialsResult {
        user,
        error_code: error_code.code(),
        error_message: Some(message),
    };
    let given = given.into_iter().map(|user| {
        let message = "this broker has no users: it does not authenticate its clients".to_owned();
        refused(user, ErrorCode::UnsupportedVersion, message)
    });
    let taken = taken.into_iter().map(|user| {
        let message = format!("'{user}' has no SCRAM credentials");
        refused(user, ErrorCode::ResourceNotFound, message)
    });
    AlterUserScramCredentialsResponse { results: given.chain(taken).collect(), ..Default::default() }
}
