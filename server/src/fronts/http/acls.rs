//! What all faces ask of permissions: Kafka's words for them, which there are, and changes.

use strandline_protocol::messages::{
    AclCreation, CreateAclsRequest, DeleteAclsFilter, DeleteAclsRequest, DescribeAclsRequest,
};

use super::admin::check_with;
use super::ask::Asker;
use super::problem::Problem;

/// The version of all three requests that is asked.
const ACLS: i16 = 3;

/// Kafka's words, each at its number.
pub(super) const TYPES: [&str; 8] =
    ["UNKNOWN", "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"];
pub(super) const PATTERNS: [&str; 5] = ["UNKNOWN", "ANY", "MATCH", "LITERAL", "PREFIXED"];
pub(super) const OPERATIONS: [&str; 15] = [
    "UNKNOWN",
    "ANY",
    "ALL",
    "READ",
    "WRITE",
    "CREATE",
    "DELETE",
    "ALTER",
    "DESCRIBE",
    "CLUSTER_ACTION",
    "DESCRIBE_CONFIGS",
    "ALTER_CONFIGS",
    "IDEMPOTENT_WRITE",
    "CREATE_TOKENS",
    "DESCRIBE_TOKENS",
];
pub(super) const PERMISSIONS: [&str; 4] = ["UNKNOWN", "ANY", "DENY", "ALLOW"];

/// The number of any.
pub(super) const ANY: i8 = 1;

/// The number of a word.
///
/// # Errors
/// With the words that there are.
pub(super) fn number(words: &[&str], what: &str, word: &str) -> Result<i8, Problem> {
    let at = words.iter().position(|known| known.eq_ignore_ascii_case(word));
    let at = at.filter(|at| *at > 0);
    let wrong = || Problem::invalid(1, format!("{what} is one of {}, and not {word}", words[1..].join(", ")));
    at.map(|at| at as i8).ok_or_else(wrong)
}

/// The word of a number.
pub(super) fn word(words: &'static [&'static str], number: i8) -> &'static str {
    usize::try_from(number).ok().and_then(|at| words.get(at)).copied().unwrap_or("UNKNOWN")
}

/// A permission as it is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Written<'a> {
    pub(super) resource_type: &'a str,
    pub(super) resource_name: Option<&'a str>,
    pub(super) pattern_type: &'a str,
    pub(super) principal: &'a str,
    pub(super) host: &'a str,
    pub(super) operation: &'a str,
    pub(super) permission: &'a str,
}

impl Written<'_> {
    /// What it means.
    ///
    /// # Errors
    /// For a word that is none.
    pub(super) fn creation(&self) -> Result<AclCreation, Problem> {
        let resource_type = number(&TYPES, "resource_type", self.resource_type)?;
        // There is one cluster, and Kafka has a name for it.
        let is_cluster = word(&TYPES, resource_type) == "CLUSTER";
        let otherwise = if is_cluster { "kafka-cluster" } else { "" };
        Ok(AclCreation {
            resource_type,
            resource_name: self.resource_name.unwrap_or(otherwise).to_owned(),
            resource_pattern_type: number(&PATTERNS, "pattern_type", self.pattern_type)?,
            principal: self.principal.to_owned(),
            host: self.host.to_owned(),
            operation: number(&OPERATIONS, "operation", self.operation)?,
            permission_type: number(&PERMISSIONS, "permission", self.permission)?,
        })
    }
}

/// The permissions that a filter means.
///
/// # Errors
/// [`Problem`].
pub(super) async fn meant_by(asker: &Asker, filter: DeleteAclsFilter) -> Result<Vec<AclCreation>, Problem> {
    let mut answer = asker.ask(ACLS, &DescribeAclsRequest::from(filter)).await?;
    check_with(answer.error_code, answer.error_message.take(), "permissions")?;
    Ok(answer.rules().collect())
}

/// Creates permissions.
///
/// # Errors
/// [`Problem`], in the broker's words where it has some.
pub(super) async fn create(asker: &Asker, creations: Vec<AclCreation>) -> Result<(), Problem> {
    let created = asker.ask(ACLS, &CreateAclsRequest { creations }).await?;
    for (at, result) in created.results.into_iter().enumerate() {
        check_with(result.error_code, result.error_message, &format!("permission {at}"))?;
    }
    Ok(())
}

/// Deletes the permissions that a filter means; gives those.
///
/// # Errors
/// [`Problem`].
pub(super) async fn delete(asker: &Asker, filter: DeleteAclsFilter) -> Result<Vec<AclCreation>, Problem> {
    let deleted = asker.ask(ACLS, &DeleteAclsRequest { filters: vec![filter] }).await?;
    let mut found = Vec::new();
    for result in deleted.filter_results {
        check_with(result.error_code, result.error_message, "permissions")?;
        for mut acl in result.matching_acls {
            check_with(acl.error_code, acl.error_message.take(), "permissions")?;
            found.push(acl.into());
        }
    }
    Ok(found)
}
