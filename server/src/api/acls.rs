//! DescribeAcls, CreateAcls, DeleteAcls: the rules of who may do what. A change is durable, and in force on
//! every shard, when it is answered.
//!
//! Filters of one request are applied one after the other: a rule that two of them mean is told by the first.

use std::collections::BTreeMap;

use strandline_engine::config::{ConfigError, InForce, Texts};
use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    AclCreation, AclCreationResult, AclDescription, CreateAclsRequest, CreateAclsResponse, DeleteAclsFilter,
    DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::refusal::{Refusal, told};
use crate::room::Seat;
use crate::security::acl::{
    BYTES_MAX, ENTRIES_MAX, Filter, Operation, Pattern, PatternFilter, PatternType, Permission, Resource,
    ResourceType, Rule, RuleSet,
};

/// Rules that one request may add: as many as Kafka takes.
const RULES_MAX: usize = 10_000;

/// Filters of one request: each of them goes through all rules.
const FILTERS_MAX: usize = 1000;

/// Rules that are looked at before others get the thread.
const STEP: usize = 256;

/// About what a rule takes of the memory until its answer has left, beside its names.
const RULE_BYTES: usize = 256;

/// Kafka's number for what may be anything.
const ANY: i8 = 1;

/// Whether there are rules, and the client may do this with all of them.
fn may(call: &Call, operation: Operation) -> Result<(), Refusal> {
    call.may(operation, Resource::CLUSTER)?;
    match call.broker.authorizer.is_on() {
        true => Ok(()),
        false => {
            let message = "this broker has no authorizer: everybody may do everything";
            Err(Refusal::new(ErrorCode::SecurityDisabled, message))
        }
    }
}

/// The rules that are asked for.
pub async fn describe(call: &Call, request: DescribeAclsRequest, seat: &mut Seat) -> DescribeAclsResponse {
    let DescribeAclsRequest {
        resource_type_filter,
        resource_name_filter,
        pattern_type_filter,
        principal_filter,
        host_filter,
        operation,
        permission_type,
    } = request;
    let filter = DeleteAclsFilter {
        resource_type_filter,
        resource_name_filter,
        pattern_type_filter,
        principal_filter,
        host_filter,
        operation,
        permission_type,
    };
    let filter = match may(call, Operation::Describe).and_then(|()| self::filter(filter)) {
        Ok(filter) => filter,
        Err(refusal) => {
            let (error_code, error_message) = told(Some(refusal));
            return DescribeAclsResponse { error_code, error_message, ..Default::default() };
        }
    };
    let settings = call.broker.shard.settings();
    let found = rules(&settings.dynamic.permissions, &filter, seat).await;
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    for rule in found {
        let Pattern { kind, pattern, name } = rule.resource;
        let (kind, pattern) = (kind.code(), pattern.code());
        let is_of = |last: &&mut DescribeAclsResource| {
            (last.resource_type, last.pattern_type) == (kind, pattern) && last.resource_name == name
        };
        let acl = AclDescription {
            principal: rule.principal,
            host: rule.host,
            operation: rule.operation.code(),
            permission_type: rule.permission.code(),
        };
        match resources.last_mut().filter(is_of) {
            Some(last) => last.acls.push(acl),
            None => resources.push(DescribeAclsResource {
                resource_type: kind,
                resource_name: name,
                pattern_type: pattern,
                acls: vec![acl],
            }),
        }
    }
    DescribeAclsResponse { resources, ..Default::default() }
}

/// What is meant, once there is memory for it.
async fn rules(permissions: &Texts, filter: &Filter, seat: &mut Seat) -> Vec<Rule> {
    let entries = permissions.entries();
    let (mut found, mut bytes) = (Vec::new(), 0);
    for (at, (name, text)) in entries.iter().enumerate() {
        for rule in filter.rules_of(name, text) {
            bytes += RULE_BYTES + name.len();
            found.push(rule);
        }
        if at % STEP == STEP - 1 {
            seat.reserve(std::mem::take(&mut bytes)).await;
            yield_if_needed().await;
        }
    }
    found
}

/// Adds rules. One that cannot be does not keep the others from being made.
pub async fn create(call: &Call, request: CreateAclsRequest) -> CreateAclsResponse {
    let may = may(call, Operation::Alter);
    let settings = call.broker.shard.settings();
    let entries = settings.dynamic.permissions.entries();
    let mut new = RuleSet::default();
    let mut outcomes = Vec::with_capacity(request.creations.len());
    for (at, creation) in request.creations.into_iter().enumerate() {
        // Those that are there are in force already.
        let checked = may.clone().and_then(|()| rule(creation)).and_then(|rule| match at < RULES_MAX {
            true if rule.is_in(entries) => Ok(false),
            true => {
                new.insert(&rule);
                Ok(true)
            }
            false => Err(too_many("rules", RULES_MAX)),
        });
        outcomes.push(checked);
        yield_if_needed().await;
    }
    let failed = match new.is_empty() {
        true => None,
        false => {
            note(call, &outcomes, "permissions are added");
            put_in_force(call, move |entries| new.keep_in(entries)).await.err()
        }
    };
    let results = outcomes.into_iter().map(|outcome| {
        let refusal = match outcome {
            Ok(true) => failed.clone(),
            Ok(false) => None,
            Err(refusal) => Some(refusal),
        };
        let (error_code, error_message) = told(refusal);
        AclCreationResult { error_code, error_message }
    });
    CreateAclsResponse { results: results.collect(), ..Default::default() }
}

/// Removes the rules that each filter means, and tells them.
pub async fn delete(call: &Call, request: DeleteAclsRequest, seat: &mut Seat) -> DeleteAclsResponse {
    let may = may(call, Operation::Alter);
    let settings = call.broker.shard.settings();
    let permissions = &settings.dynamic.permissions;
    let mut gone = RuleSet::default();
    let mut outcomes = Vec::with_capacity(request.filters.len());
    for (at, filter) in request.filters.into_iter().enumerate() {
        let filter = may.clone().and_then(|()| self::filter(filter));
        outcomes.push(match filter {
            Ok(_) if at >= FILTERS_MAX => Err(too_many("filters", FILTERS_MAX)),
            Ok(filter) => {
                let mut found = rules(permissions, &filter, seat).await;
                found.retain(|rule| gone.insert(rule));
                Ok(found)
            }
            Err(refusal) => Err(refusal),
        });
        yield_if_needed().await;
    }
    let failed = match gone.is_empty() {
        true => None,
        false => {
            note(call, &outcomes, "permissions are removed");
            put_in_force(call, move |entries| gone.remove_from(entries)).await.err()
        }
    };
    let results = outcomes.into_iter().map(|outcome| match (outcome, &failed) {
        (Ok(found), None) => DeleteAclsFilterResult {
            matching_acls: found.into_iter().map(deleted).collect(),
            ..Default::default()
        },
        (Ok(found), Some(_)) if found.is_empty() => DeleteAclsFilterResult::default(),
        (outcome, _) => {
            let (error_code, error_message) = told(outcome.err().or_else(|| failed.clone()));
            DeleteAclsFilterResult { error_code, error_message, ..Default::default() }
        }
    });
    DeleteAclsResponse { filter_results: results.collect(), ..Default::default() }
}

fn note<T>(call: &Call, outcomes: &[Result<T, Refusal>], what: &'static str) {
    let (peer, principal) = (call.session().peer, &call.session().principal);
    let asked = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    tracing::info!(%peer, %principal, api = %call.header.key, asked, "{what}");
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::new(ErrorCode::PolicyViolation, format!("a request has at most {most} {what}"))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// Makes a change of what is kept durable. There is an end to how much that is.
async fn put_in_force(
    call: &Call,
    change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
) -> Result<(), Refusal> {
    let changed = move |in_force: &InForce| {
        let mut settings = in_force.dynamic.clone();
        let entries = settings.permissions.entries_mut();
        let before = entries.len();
        change(entries);
        let bytes: usize = entries.iter().map(|(name, text)| name.len() + text.len()).sum();
        if entries.len() > before && (entries.len() > ENTRIES_MAX || bytes > BYTES_MAX) {
            return Err(ConfigError::Full {
                what: "permissions",
                entries_max: ENTRIES_MAX,
                bytes_max: BYTES_MAX,
            });
        }
        Ok(settings)
    };
    call.broker.engine.alter_settings(changed).await.map_err(Refusal::from)
}

fn rule(asked: AclCreation) -> Result<Rule, Refusal> {
    let unknown = |what: &str, code: i8| invalid(format!("Invalid {what} {code}"));
    let (kind, pattern) = (asked.resource_type, asked.resource_pattern_type);
    let (operation, permission) = (asked.operation, asked.permission_type);
    let rule = Rule {
        resource: Pattern {
            kind: ResourceType::of_code(kind).ok_or_else(|| unknown("resourceType", kind))?,
            pattern: PatternType::of_code(pattern).ok_or_else(|| unknown("patternType", pattern))?,
            name: asked.resource_name,
        },
        principal: asked.principal,
        host: asked.host,
        operation: Operation::of_code(operation).ok_or_else(|| unknown("operation", operation))?,
        permission: Permission::of_code(permission).ok_or_else(|| unknown("permissionType", permission))?,
    };
    rule.check().map_err(|unfit| invalid(unfit.to_string()))?;
    Ok(rule)
}

fn filter(asked: DeleteAclsFilter) -> Result<Filter, Refusal> {
    let unknown = |what: &str| invalid(format!("Unknown {what}."));
    // A number that may be anything, or is known.
    fn some<T>(code: i8, of_code: fn(i8) -> Option<T>) -> Option<Option<T>> {
        if code == ANY { Some(None) } else { of_code(code).map(Some) }
    }
    Ok(Filter {
        kind: some(asked.resource_type_filter, ResourceType::of_code)
            .ok_or_else(|| unknown("resourceType"))?,
        name: asked.resource_name_filter,
        pattern: PatternFilter::of_code(asked.pattern_type_filter).ok_or_else(|| unknown("patternType"))?,
        principal: asked.principal_filter,
        host: asked.host_filter,
        operation: some(asked.operation, Operation::of_code).ok_or_else(|| unknown("operation"))?,
        permission: some(asked.permission_type, Permission::of_code)
            .ok_or_else(|| unknown("permissionType"))?,
    })
}

fn deleted(rule: Rule) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        resource_type: rule.resource.kind.code(),
        resource_name: rule.resource.name,
        pattern_type: rule.resource.pattern.code(),
        principal: rule.principal,
        host: rule.host,
        operation: rule.operation.code(),
        permission_type: rule.permission.code(),
        ..Default::default()
    }
}
