//! DescribeClientQuotas and AlterClientQuotas: how much clients may use of the broker. A change is durable,
//! and in force on every shard, when it is answered.
//!
//! Users and client ids have quotas for bytes, for time and for changes of topics; addresses have one for the
//! connections that they make.

use std::collections::{BTreeMap, HashSet};

use strandline_engine::config::{ConfigError, InForce};
use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterQuota, AlterQuotaEntity, AlterQuotaStep,
    AlteredQuota, AlteredQuotaEntity, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
    DescribedQuota, DescribedQuotaEntity, QuotaComponent, QuotaValue,
};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::quotas::{Entity, QUOTAS_MAX, QuotaKey, Whose, of_address, read_values, whole_text};
use crate::refusal::{Refusal, told};
use crate::room::Seat;
use crate::security::acl::{Operation, Resource};

/// The kinds of clients that Kafka has quotas for.
const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// How a component may ask: for a name, for the default, for any of its kind.
const NAME: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// Entities that are looked at before others get the thread.
const STEP: usize = 256;

/// About what an entity takes of the memory until its answer has left, beside its name.
const ENTITY_BYTES: usize = 256;

/// Most bytes of all that is kept.
const BYTES_MAX: usize = 4 << 20;

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// What is asked of a kind of client: whether its part of an entity is meant.
type Wanted = Option<Box<dyn Fn(Option<&Whose>) -> bool>>;

/// The quotas of the clients that are asked for.
pub async fn describe(
    call: &Call,
    request: DescribeClientQuotasRequest,
    seat: &mut Seat,
) -> DescribeClientQuotasResponse {
    let may = call.may(Operation::DescribeConfigs, Resource::CLUSTER).map_err(Refusal::from);
    let wanted = match may.and_then(|()| wanted(request.components)) {
        Ok(wanted) => wanted,
        Err(refusal) => {
            let (error_code, error_message) = told(Some(refusal));
            return DescribeClientQuotasResponse { error_code, error_message, ..Default::default() };
        }
    };
    let settings = call.broker.shard.settings();
    let mut entries = Vec::new();
    let mut bytes = 0;
    for (at, (place, text)) in settings.dynamic.quotas.entries().iter().enumerate() {
        if at % STEP == STEP - 1 {
            seat.reserve(std::mem::take(&mut bytes)).await;
            yield_if_needed().await;
        }
        let Some((entity, values)) = Entity::of_place(place).zip(read_values(text)) else { continue };
        let is_meant = |wanted: &Wanted, whose: &Option<Whose>| match wanted {
            Some(is_meant) => is_meant(whose.as_ref()),
            None => !request.strict || whose.is_none(),
        };
        let is_all_meant = is_meant(&wanted.user, &entity.user)
            && is_meant(&wanted.client_id, &entity.client_id)
            && is_meant(&wanted.ip, &entity.ip);
        if is_all_meant {
            bytes += ENTITY_BYTES + place.len();
            entries.push(described(entity, values));
        }
    }
    DescribeClientQuotasResponse { entries: Some(entries), ..Default::default() }
}

fn described(entity: Entity, values: BTreeMap<QuotaKey, f64>) -> DescribedQuota {
    let part = |kind: &str, whose: Option<Whose>| {
        let entity_name = match whose? {
            Whose::Default => None,
            Whose::Named(name) => Some(name),
        };
        Some(DescribedQuotaEntity { entity_type: kind.to_owned(), entity_name })
    };
    let parts = [part(USER, entity.user), part(CLIENT_ID, entity.client_id), part(IP, entity.ip)];
    let values = values.into_iter().map(|(key, value)| QuotaValue { key: key.word().to_owned(), value });
    DescribedQuota { entity: parts.into_iter().flatten().collect(), values: values.collect() }
}

#[derive(Default)]
struct Question {
    user: Wanted,
    client_id: Wanted,
    ip: Wanted,
}

fn wanted(components: Vec<QuotaComponent>) -> Result<Question, Refusal> {
    let mut question = Question::default();
    let mut kinds = HashSet::new();
    for QuotaComponent { entity_type, match_type, match_name } in components {
        if ![USER, CLIENT_ID, IP].contains(&entity_type.as_str()) {
            let message = format!("there are no quotas for clients by '{entity_type}'");
            return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
        }
        let is_meant: Wanted = match (match_type, match_name) {
            (NAME, Some(name)) => {
                let address = if entity_type == IP { of_address(&name) } else { None };
                let named = Whose::Named(address.unwrap_or(name));
                Some(Box::new(move |whose| whose == Some(&named)))
            }
            (NAME, None) => return Err(invalid("a name is asked for, and none is given")),
            (DEFAULT, _) => Some(Box::new(|whose| whose == Some(&Whose::Default))),
            (ANY, _) => Some(Box::new(|whose| whose.is_some())),
            (other, _) => return Err(invalid(format!("there is no match type {other}"))),
        };
        if !kinds.insert(entity_type.clone()) {
            return Err(invalid(format!("'{entity_type}' is asked for twice")));
        }
        match entity_type.as_str() {
            USER => question.user = is_meant,
            CLIENT_ID => question.client_id = is_meant,
            _ => question.ip = is_meant,
        }
    }
    match question.ip.is_some() && kinds.len() > 1 {
        true => Err(invalid("'ip' cannot be asked for together with another kind")),
        false => Ok(question),
    }
}

/// What is to become of the quotas of an entity: a value, or none.
type Change = (Entity, Vec<(QuotaKey, Option<f64>)>);

/// Changes the quotas of each entity; one that is refused does not keep the others from being changed.
pub async fn alter(call: &Call, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let may = call.may(Operation::AlterConfigs, Resource::CLUSTER).map_err(Refusal::from);
    let mut seen = HashSet::new();
    let mut changes = Vec::new();
    let mut outcomes = Vec::with_capacity(request.entries.len());
    for AlterQuota { entity, ops } in request.entries {
        let may = match changes.len() < QUOTAS_MAX {
            true => may.clone(),
            false => Err(invalid(format!("a request changes the quotas of at most {QUOTAS_MAX} entities"))),
        };
        let change =
            may.and_then(|()| change(&entity, ops)).and_then(|change| match seen.insert(change.0.clone()) {
                true => Ok(change),
                false => Err(invalid("the same clients are named twice in one request")),
            });
        let refusal = change.map(|change| changes.push(change)).err();
        outcomes.push((entity, refusal));
        yield_if_needed().await;
    }
    let failed = match changes.is_empty() || request.validate_only {
        true => None,
        false => put_in_force(call, changes).await.err(),
    };
    let entries = outcomes.into_iter().map(|(entity, refusal)| {
        let (error_code, error_message) = told(refusal.or_else(|| failed.clone()));
        let entity = entity.into_iter().map(|AlterQuotaEntity { entity_type, entity_name }| {
            AlteredQuotaEntity { entity_type, entity_name }
        });
        AlteredQuota { error_code, error_message, entity: entity.collect() }
    });
    AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() }
}

fn change(parts: &[AlterQuotaEntity], steps: Vec<AlterQuotaStep>) -> Result<Change, Refusal> {
    let mut entity = Entity::default();
    for AlterQuotaEntity { entity_type, entity_name } in parts {
        let slot = match entity_type.as_str() {
            USER => &mut entity.user,
            CLIENT_ID => &mut entity.client_id,
            IP => &mut entity.ip,
            other => return Err(invalid(format!("Unhandled client quota entity type: {other}"))),
        };
        let whose = entity_name.clone().map_or(Whose::Default, Whose::Named);
        if slot.replace(whose).is_some() {
            return Err(invalid(format!(
                "Invalid client quota entity, duplicate entity entry {entity_type}"
            )));
        }
    }
    let entity = entity.checked().map_err(|unfit| invalid(unfit.to_string()))?;
    let mut values = BTreeMap::new();
    for AlterQuotaStep { key, value, remove } in steps {
        let known = QuotaKey::of_word(&key).filter(|known| known.is_of_addresses() == entity.ip.is_some());
        let known = known.ok_or_else(|| invalid(format!("Invalid configuration key {key}")))?;
        let is_positive = value.is_finite() && value > 0.0;
        let is_whole = value.fract() == 0.0 && value <= i64::MAX as f64;
        if !remove && !(is_positive && (is_whole || !known.is_whole())) {
            let what = if known.is_whole() { "a whole number" } else { "a number" };
            return Err(invalid(format!("Quota {key} must be {what} greater than 0")));
        }
        if values.insert(known, (!remove).then_some(value)).is_some() {
            return Err(invalid(format!("Duplicate quota key {key}")));
        }
    }
    Ok((entity, values.into_iter().collect()))
}

/// Makes the changes durable. There is an end to how many quotas are kept.
async fn put_in_force(call: &Call, changes: Vec<Change>) -> Result<(), Refusal> {
    let (peer, principal) = (call.session().peer, &call.session().principal);
    tracing::info!(%peer, %principal, entities = changes.len(), "quotas are changed");
    let changed = move |in_force: &InForce| {
        let mut settings = in_force.dynamic.clone();
        let entries = settings.quotas.entries_mut();
        let before = entries.len();
        for (entity, steps) in changes {
            let place = entity.place();
            let mut values = entries.get(&place).and_then(|text| read_values(text)).unwrap_or_default();
            for (key, value) in steps {
                values.remove(&key);
                values.extend(value.map(|value| (key, value)));
            }
            match whole_text(&values) {
                Some(text) => drop(entries.insert(place, text)),
                None => drop(entries.remove(&place)),
            }
        }
        let bytes: usize = entries.iter().map(|(name, text)| name.len() + text.len()).sum();
        if entries.len() > before && (entries.len() > QUOTAS_MAX || bytes > BYTES_MAX) {
            return Err(ConfigError::Full { what: "quotas", entries_max: QUOTAS_MAX, bytes_max: BYTES_MAX });
        }
        Ok(settings)
    };
    call.broker.engine.alter_settings(changed).await.map_err(Refusal::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_cannot_be_asked_is_told_apart_from_an_empty_answer() {
        let code = |asked: &[(&str, i8)]| {
            let component = |(entity_type, match_type): &(&str, i8)| QuotaComponent {
                entity_type: (*entity_type).to_owned(),
                match_type: *match_type,
                match_name: Some("n".to_owned()),
            };
            wanted(asked.iter().map(component).collect()).map(drop).map_err(|refusal| refusal.code)
        };
        assert_eq!(code(&[]), Ok(()));
        assert_eq!(code(&[("user", 0), ("client-id", 2)]), Ok(()));
        assert_eq!(code(&[("ip", 2)]), Ok(()));
        assert_eq!(code(&[("planet", 0)]), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(code(&[("user", 3)]), Err(ErrorCode::InvalidRequest));
        assert_eq!(code(&[("user", 0), ("user", 1)]), Err(ErrorCode::InvalidRequest));
        assert_eq!(code(&[("ip", 0), ("user", 1)]), Err(ErrorCode::InvalidRequest));
    }
}
