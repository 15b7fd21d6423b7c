//! DescribeUserScramCredentials and AlterUserScramCredentials: the users that prove themselves by SCRAM. A
//! change is durable, and in force for whoever connects from then on, when it is answered.

use std::collections::{BTreeMap, HashMap, HashSet};

use strandline_engine::config::{Credentials, InForce};
use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::{distinct, distinct_by_name};
use crate::broker::Broker;
use crate::call::Call;
use crate::refusal::{Refusal, told};
use crate::room::Seat;
use crate::security::acl::{Operation, Resource};
use crate::security::{CREDENTIALS_MAX, Credential, Hash, named, of_user, place};

/// Users that are looked at before the thread is offered to others.
const STEP: usize = 256;

/// Memory of what is said of a user, without its name.
const RESULT_BYTES: usize = 160;

/// The users that are named, or all.
pub async fn describe(
    call: &Call,
    request: DescribeUserScramCredentialsRequest,
    seat: &mut Seat,
) -> DescribeUserScramCredentialsResponse {
    let broker = &call.broker;
    if let Err(error) = call.may(Operation::Describe, Resource::CLUSTER) {
        let error_message = Some(error.to_string());
        return DescribeUserScramCredentialsResponse {
            error_code: error.code(),
            error_message,
            ..Default::default()
        };
    }
    let settings = broker.engine.settings();
    let credentials = &settings.dynamic.credentials;
    let results = match request.users.filter(|users| !users.is_empty()) {
        None => {
            let bytes = credentials.0.keys().map(|place| place.len() + RESULT_BYTES).sum();
            seat.reserve(bytes).await;
            all(credentials).await
        }
        Some(users) => {
            let named = users.into_iter().enumerate().map(|(at, user)| (user.name, vec![at])).collect();
            let users = distinct_by_name(named, |at: &usize| *at).await;
            let mut results = Vec::with_capacity(users.len());
            for (user, places) in users {
                results.push(described(credentials, user, places.len()));
                yield_if_needed().await;
            }
            results
        }
    };
    DescribeUserScramCredentialsResponse { results, ..Default::default() }
}

async fn all(credentials: &Credentials) -> Vec<DescribeUserScramCredentialsResult> {
    let mut users: BTreeMap<&str, Vec<CredentialInfo>> = BTreeMap::new();
    for (at, (place, text)) in credentials.0.iter().enumerate() {
        if let Some((hash, user)) = named(place)
            && let Some(credential) = Credential::of_text(hash, text)
        {
            users.entry(user).or_default().push(info(hash, &credential));
        }
        if at % STEP == STEP - 1 {
            yield_if_needed().await;
        }
    }
    let result = |(user, credential_infos): (&str, _)| DescribeUserScramCredentialsResult {
        user: user.to_owned(),
        credential_infos,
        ..Default::default()
    };
    users.into_iter().map(result).collect()
}

fn described(credentials: &Credentials, user: String, times: usize) -> DescribeUserScramCredentialsResult {
    let found = Hash::ALL.into_iter().filter_map(|hash| Some((hash, of_user(credentials, hash, &user)?)));
    let mut credential_infos: Vec<_> = found.map(|(hash, credential)| info(hash, &credential)).collect();
    let refusal = match (times, credential_infos.is_empty()) {
        (1, false) => None,
        (1, true) => {
            let message = format!("Attempt to describe a user credential that does not exist: {user}");
            Some(Refusal::new(ErrorCode::ResourceNotFound, message))
        }
        (times, _) => {
            credential_infos.clear();
            let message = format!("'{user}' is named {times} times in one request");
            Some(Refusal::new(ErrorCode::DuplicateResource, message))
        }
    };
    let (error_code, error_message) = told(refusal);
    DescribeUserScramCredentialsResult { user, error_code, error_message, credential_infos }
}

fn info(hash: Hash, credential: &Credential) -> CredentialInfo {
    CredentialInfo { mechanism: hash.code(), iterations: credential.iterations() as i32 }
}

/// What is to become of the credential at one place: another one, or none.
type Change = (String, Option<String>);

/// Changes what is asked for. A user of which something is refused keeps all that it has; the others do not
/// suffer from it.
pub async fn alter(
    call: &Call,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let broker = &call.broker;
    if let Err(error) = call.may(Operation::Alter, Resource::CLUSTER) {
        return denied(request, error).await;
    }
    let AlterUserScramCredentialsRequest { deletions, upsertions } = request;
    let settings = broker.engine.settings();
    let credentials = &settings.dynamic.credentials;
    let mut named = Vec::with_capacity(deletions.len() + upsertions.len());
    let mut refused: HashMap<String, Refusal> = HashMap::new();
    let mut changed: HashSet<(i8, String)> = HashSet::new();
    let mut changes: Vec<(String, Change)> = Vec::new();
    let asked = deletions.into_iter().map(|ScramCredentialDeletion { name, mechanism }| {
        let change = deletion(credentials, &name, mechanism);
        (name, mechanism, change)
    });
    let asked = asked.chain(upsertions.into_iter().map(|upsertion| {
        let change = self::upsertion(&upsertion);
        (upsertion.name, upsertion.mechanism, change)
    }));
    for (user, mechanism, change) in asked {
        let change = match changed.insert((mechanism, user.clone())) {
            true => change,
            false => {
                let message = "A user credential cannot be altered twice in the same request";
                Err(Refusal::new(ErrorCode::DuplicateResource, message))
            }
        };
        match change {
            Ok(change) => changes.push((user.clone(), change)),
            Err(refusal) => drop(refused.entry(user.clone()).or_insert(refusal)),
        }
        named.push(user);
        yield_if_needed().await;
    }
    changes.retain(|(user, _)| !refused.contains_key(user));
    if !changes.is_empty() {
        let users: Vec<String> = changes.iter().map(|(user, _)| user.clone()).collect();
        let changes = changes.into_iter().map(|(_, change)| change).collect();
        if let Err(refusal) = put_in_force(broker, changes).await {
            refused.extend(users.into_iter().map(|user| (user, refusal.clone())));
        }
    }
    let users = distinct(named).await;
    let mut results = Vec::with_capacity(users.len());
    for user in users {
        let (error_code, error_message) = told(refused.remove(&user));
        results.push(AlterUserScramCredentialsResult { user, error_code, error_message });
        yield_if_needed().await;
    }
    AlterUserScramCredentialsResponse { results, ..Default::default() }
}

/// What a client is told of each user that may not change any.
async fn denied(
    request: AlterUserScramCredentialsRequest,
    error: ErrorCode,
) -> AlterUserScramCredentialsResponse {
    let deleted = request.deletions.into_iter().map(|deletion| deletion.name);
    let named = deleted.chain(request.upsertions.into_iter().map(|upsertion| upsertion.name)).collect();
    let results = distinct(named).await.into_iter().map(|user| AlterUserScramCredentialsResult {
        user,
        error_code: error.code(),
        error_message: Some(error.to_string()),
    });
    AlterUserScramCredentialsResponse { results: results.collect(), ..Default::default() }
}

fn deletion(credentials: &Credentials, user: &str, mechanism: i8) -> Result<Change, Refusal> {
    let place = place(hash_of(mechanism)?, user);
    match credentials.0.contains_key(&place) {
        true => Ok((place, None)),
        false => {
            let message = "Attempt to delete a user credential that does not exist";
            Err(Refusal::new(ErrorCode::ResourceNotFound, message))
        }
    }
}

fn upsertion(upsertion: &ScramCredentialUpsertion) -> Result<Change, Refusal> {
    let ScramCredentialUpsertion { name, mechanism, iterations, salt, salted_password } = upsertion;
    let unacceptable = |why: String| Refusal::new(ErrorCode::UnacceptableCredential, why);
    let hash = hash_of(*mechanism)?;
    if name.is_empty() {
        return Err(unacceptable("Username must not be empty".to_owned()));
    }
    let credential = Credential::of_salted(hash, *iterations, salt, salted_password);
    let credential = credential.map_err(|error| unacceptable(error.to_string()))?;
    Ok((place(hash, name), Some(credential.to_text())))
}

fn hash_of(mechanism: i8) -> Result<Hash, Refusal> {
    let unknown =
        || Refusal::new(ErrorCode::UnsupportedSaslMechanism, format!("Unknown SCRAM mechanism {mechanism}"));
    Hash::of_code(mechanism).ok_or_else(unknown)
}

/// Makes the changes durable. There is an end to how many credentials are kept.
async fn put_in_force(broker: &Broker, changes: Vec<Change>) -> Result<(), Refusal> {
    let before = broker.engine.settings().dynamic.credentials.0.len();
    let comes = changes.iter().filter(|(_, text)| text.is_some()).count();
    if before + comes > CREDENTIALS_MAX {
        let message = format!("at most {CREDENTIALS_MAX} credentials are kept");
        return Err(Refusal::new(ErrorCode::PolicyViolation, message));
    }
    let changed = move |in_force: &InForce| {
        let mut settings = in_force.dynamic.clone();
        for (place, text) in changes {
            match text {
                Some(text) => drop(settings.credentials.0.insert(place, text)),
                None => drop(settings.credentials.0.remove(&place)),
            }
        }
        Ok(settings)
    };
    broker.engine.alter_settings(changed).await.map_err(Refusal::from)
}
