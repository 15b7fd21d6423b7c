//! DescribeUserScramCredentials and AlterUserScramCredentials: no user has a password, and none can be given
//! one.

use std::collections::HashSet;

use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::{distinct, distinct_by_name};
use crate::api::refusal::{Refusal, told};
use crate::broker::Broker;

/// Nobody; whoever is named has no password.
pub async fn describe(
    _: &Broker,
    _: i16,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let users = request.users.unwrap_or_default();
    let named = users.into_iter().enumerate().map(|(at, user)| (user.name, vec![at])).collect();
    let users = distinct_by_name(named, |at: &usize| *at).await;
    let mut results = Vec::with_capacity(users.len());
    for (user, places) in users {
        let refusal = match places.len() {
            1 => no_credentials(&user),
            times => {
                let message = format!("'{user}' is named {times} times in one request");
                Refusal::new(ErrorCode::DuplicateResource, message)
            }
        };
        let (error_code, error_message) = told(Some(refusal));
        let result =
            DescribeUserScramCredentialsResult { user, error_code, error_message, ..Default::default() };
        results.push(result);
        yield_if_needed().await;
    }
    DescribeUserScramCredentialsResponse { results, ..Default::default() }
}

fn no_credentials(user: &str) -> Refusal {
    Refusal::new(ErrorCode::ResourceNotFound, format!("'{user}' has no SCRAM credentials"))
}

/// Refused, user by user.
pub async fn alter(
    _: &Broker,
    _: i16,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let mut given = HashSet::with_capacity(request.upsertions.len());
    let mut named: Vec<String> = request.deletions.into_iter().map(|deletion| deletion.name).collect();
    for upsertion in request.upsertions {
        given.insert(upsertion.name.clone());
        named.push(upsertion.name);
        yield_if_needed().await;
    }
    let users = distinct(named).await;
    let mut results = Vec::with_capacity(users.len());
    for user in users {
        let refusal = match given.contains(&user) {
            true => {
                let message = "this broker has no users: it does not authenticate its clients";
                Refusal::new(ErrorCode::UnsupportedVersion, message)
            }
            false => no_credentials(&user),
        };
        let (error_code, error_message) = told(Some(refusal));
        results.push(AlterUserScramCredentialsResult { user, error_code, error_message });
        yield_if_needed().await;
    }
    AlterUserScramCredentialsResponse { results, ..Default::default() }
}
