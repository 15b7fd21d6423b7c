//! `strandline acl`: the rules of who may do what, in Kafka's words.

use super::common::{Cluster, CommandError, plain};
use clap::Subcommand;
use serde_json::json;
use std::collections::HashSet;
use std::io::{self, Write};
use std::process::ExitCode;
use strandline::security::acl::{
    ANY_NAME, CLUSTER_NAME, Operation, PatternFilter, PatternType, Permission, ResourceType,
};
use strandline_client::Client;
use strandline_protocol::messages::{AclCreation, DeleteAclsFilter};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    #[command(subcommand)]
    command: AclCommand,
}

#[derive(Debug, Subcommand)]
enum AclCommand {
    /// Print the rules that are meant, one a line; all of them when nothing is named
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// Print a JSON array of objects with permission, operation, resource_type, pattern_type,
        /// resource_name, principal and host
        #[arg(long)]
        json: bool,
    },
    /// Add a rule for each principal, host, operation and resource that is named
    Add(NewRules),
    /// Print the rules that would be removed; with --execute, remove and print them
    Remove {
        #[command(flatten)]
        filter: FilterArgs,
        /// Remove them
        #[arg(long)]
        execute: bool,
        /// Print a JSON array, as list does
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct NewRules {
    #[command(flatten)]
    resources: Resources,
    /// How a rule names its resources: LITERAL (by the whole name; * is every name), or PREFIXED (by what the
    /// name begins with)
    #[arg(long, value_name = "TYPE", default_value = "LITERAL", value_parser = pattern_type)]
    pattern_type: PatternType,
    /// Who may, as TYPE:NAME; User:* is every user
    #[arg(long, value_name = "PRINCIPAL", required_unless_present = "deny_principal")]
    allow_principal: Vec<String>,
    /// Who may not, whatever else allows it
    #[arg(long, value_name = "PRINCIPAL")]
    deny_principal: Vec<String>,
    /// The address that a client comes from; * is every address
    #[arg(long, value_name = "ADDRESS", default_value = ANY_NAME)]
    host: Vec<String>,
    /// What may be done: READ, WRITE, DESCRIBE, ...; ALL is everything
    #[arg(long, value_name = "OPERATION,...", value_delimiter = ',', required = true, value_parser = operation)]
    operation: Vec<Operation>,
}

/// What rules are about. Each may be named several times.
#[derive(Debug, clap::Args)]
struct Resources {
    /// A topic
    #[arg(long, value_name = "NAME")]
    topic: Vec<String>,
    /// A group, of whatever protocol
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// A transactional id
    #[arg(long, value_name = "ID")]
    transactional_id: Vec<String>,
    /// A delegation token
    #[arg(long, value_name = "TOKEN")]
    delegation_token: Vec<String>,
    /// A user, as the owner of delegation tokens
    #[arg(long, value_name = "PRINCIPAL")]
    user_principal: Vec<String>,
    /// The cluster
    #[arg(long)]
    cluster: bool,
}

/// Which rules are meant: those that have all of what is named.
#[derive(Debug, clap::Args)]
struct FilterArgs {
    #[command(flatten)]
    resources: Resources,
    /// How the names of resources are meant: LITERAL or PREFIXED, as the name in a rule of this type; ANY, of
    /// either; MATCH, as the name of a resource, for all rules about it
    #[arg(long, value_name = "TYPE", default_value = "ANY", value_parser = pattern_filter)]
    pattern_type: i8,
    /// For whom the rules are, as TYPE:NAME
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,
    /// From where
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// For which operation; ALL are the rules for ALL alone
    #[arg(long, value_name = "OPERATION", value_parser = operation)]
    operation: Option<Operation>,
    /// Which way they decide: ALLOW or DENY
    #[arg(long, value_name = "PERMISSION", value_parser = permission)]
    permission: Option<Permission>,
}

/// Kafka's numbers for what may be anything, and for a name that is meant as one of a resource.
const ANY: i8 = 1;
const MATCH: i8 = 2;

/// Does with rules what is asked for.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    let mut client = args.cluster.connect()?;
    let mut out = io::stdout().lock();
    match args.command {
        AclCommand::List { filter, json } => print(&listed(&mut client, filter)?, json, &mut out)?,
        AclCommand::Remove { filter, execute: false, json } => {
            print(&listed(&mut client, filter)?, json, &mut out)?;
        }
        AclCommand::Remove { filter, execute: true, json } => {
            print(&client.remove_acls(filter.filters())?, json, &mut out)?;
        }
        AclCommand::Add(new) => client.add_acls(new.rules()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The rules that are meant, each once.
fn listed(client: &mut Client, filter: FilterArgs) -> Result<Vec<AclCreation>, CommandError> {
    let (mut rules, mut told) = (Vec::new(), HashSet::new());
    for filter in filter.filters() {
        for rule in client.acls(filter)? {
            let whom = (rule.principal.clone(), rule.host.clone());
            let resource = (rule.resource_type, rule.resource_pattern_type, rule.resource_name.clone());
            if told.insert((resource, whom, rule.operation, rule.permission_type)) {
                rules.push(rule);
            }
        }
    }
    Ok(rules)
}

impl NewRules {
    fn rules(self) -> Result<Vec<AclCreation>, CommandError> {
        let resources = self.resources.named();
        if resources.is_empty() {
            return Err(CommandError::NoResource);
        }
        let allowed = self.allow_principal.iter().map(|name| (Permission::Allow, name));
        let denied = self.deny_principal.iter().map(|name| (Permission::Deny, name));
        let mut rules = Vec::new();
        for (permission, principal) in allowed.chain(denied) {
            for (kind, name) in &resources {
                for (host, operation) in
                    self.host.iter().flat_map(|host| self.operation.iter().map(move |of| (host, of)))
                {
                    rules.push(AclCreation {
                        resource_type: kind.code(),
                        resource_name: name.clone(),
                        resource_pattern_type: self.pattern_type.code(),
                        principal: principal.clone(),
                        host: host.clone(),
                        operation: operation.code(),
                        permission_type: permission.code(),
                    });
                }
            }
        }
        Ok(rules)
    }
}

impl Resources {
    fn named(self) -> Vec<(ResourceType, String)> {
        let cluster = if self.cluster { vec![CLUSTER_NAME.to_owned()] } else { Vec::new() };
        let by_kind = [
            (ResourceType::Topic, self.topic),
            (ResourceType::Group, self.group),
            (ResourceType::TransactionalId, self.transactional_id),
            (ResourceType::DelegationToken, self.delegation_token),
            (ResourceType::User, self.user_principal),
            (ResourceType::Cluster, cluster),
        ];
        by_kind
            .into_iter()
            .flat_map(|(kind, names)| names.into_iter().map(move |name| (kind, name)))
            .collect()
    }
}

impl FilterArgs {
    /// One for each resource that is named, or one for all.
    fn filters(self) -> Vec<DeleteAclsFilter> {
        let every = DeleteAclsFilter {
            resource_type_filter: ANY,
            resource_name_filter: None,
            pattern_type_filter: self.pattern_type,
            principal_filter: self.principal,
            host_filter: self.host,
            operation: self.operation.map_or(ANY, Operation::code),
            permission_type: self.permission.map_or(ANY, Permission::code),
        };
        let of_one = |(kind, name): (ResourceType, String)| DeleteAclsFilter {
            resource_type_filter: kind.code(),
            resource_name_filter: Some(name),
            ..every.clone()
        };
        match self.resources.named() {
            none if none.is_empty() => vec![every],
            named => named.into_iter().map(of_one).collect(),
        }
    }
}

fn print(rules: &[AclCreation], json: bool, out: &mut impl Write) -> io::Result<()> {
    fn word(found: Option<&'static str>, code: i8) -> String {
        // A newer broker may know more.
        found.map_or_else(|| format!("UNKNOWN({code})"), str::to_owned)
    }
    let words = |rule: &AclCreation| {
        let (permission, operation) = (rule.permission_type, rule.operation);
        let (kind, pattern) = (rule.resource_type, rule.resource_pattern_type);
        [
            word(Permission::of_code(permission).map(Permission::word), permission),
            word(Operation::of_code(operation).map(Operation::word), operation),
            word(ResourceType::of_code(kind).map(ResourceType::word), kind),
            word(PatternType::of_code(pattern).map(PatternType::word), pattern),
        ]
    };
    if json {
        let listed = rules.iter().map(|rule| {
            let [permission, operation, kind, pattern] = words(rule);
            json!({
                "permission": permission, "operation": operation, "resource_type": kind,
                "pattern_type": pattern, "resource_name": rule.resource_name, "principal": rule.principal,
                "host": rule.host,
            })
        });
        return writeln!(out, "{}", serde_json::Value::Array(listed.collect()));
    }
    for rule in rules {
        let [permission, operation, kind, pattern] = words(rule);
        let (name, principal, host) = (plain(&rule.resource_name), plain(&rule.principal), plain(&rule.host));
        writeln!(out, "{permission} {operation} on {kind}:{pattern}:{name} by {principal} from {host}")?;
    }
    Ok(())
}

/// A word of Kafka's in any of the ways that its own tools take it: `DescribeConfigs`, `describe_configs`.
fn one_of<T: Copy>(text: &str, all: impl IntoIterator<Item = (&'static str, T)>) -> Result<T, String> {
    let bare = |word: &str| word.replace('_', "").to_ascii_uppercase();
    let all: Vec<_> = all.into_iter().collect();
    let found = all.iter().find(|(word, _)| bare(word) == bare(text)).map(|(_, one)| *one);
    let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    found.ok_or_else(|| format!("one of these is expected: {}", words.join(", ")))
}

fn operation(text: &str) -> Result<Operation, String> {
    one_of(text, Operation::ALL.iter().map(|one| (one.word(), *one)))
}

fn permission(text: &str) -> Result<Permission, String> {
    one_of(text, Permission::ALL.iter().map(|one| (one.word(), *one)))
}

fn pattern_type(text: &str) -> Result<PatternType, String> {
    one_of(text, PatternType::ALL.iter().map(|one| (one.word(), *one)))
}

/// As a number, which is what travels.
fn pattern_filter(text: &str) -> Result<i8, String> {
    let types = PatternType::ALL.iter().map(|one| (one.word(), one.code()));
    let found = one_of(text, [("ANY", ANY), ("MATCH", MATCH)].into_iter().chain(types));
    debug_assert!(found.iter().all(|code| PatternFilter::of_code(*code).is_some()), "the broker knows all");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_taken_as_kafkas_own_tools_write_it_and_another_is_refused_with_those_that_there_are() {
        for text in ["DESCRIBE_CONFIGS", "DescribeConfigs", "describeconfigs"] {
            assert_eq!(operation(text), Ok(Operation::DescribeConfigs));
        }
        assert_eq!(operation("all"), Ok(Operation::Every));
        assert!(operation("ANY").unwrap_err().contains("READ, WRITE"));
        assert_eq!([pattern_filter("any"), pattern_filter("Match")], [Ok(1), Ok(2)]);
        assert_eq!(pattern_filter("prefixed"), Ok(PatternType::Prefixed.code()));
        assert!(pattern_type("MATCH").is_err(), "no rule has it");
        assert_eq!(permission("deny"), Ok(Permission::Deny));
    }
}
