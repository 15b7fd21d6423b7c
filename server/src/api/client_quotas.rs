//! DescribeClientQuotas and AlterClientQuotas: no client has a quota, and none can be given one.

use std::collections::HashSet;

use strandline_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlteredQuota, AlteredQuotaEntity,
    DescribeClientQuotasRequest, DescribeClientQuotasResponse, QuotaComponent,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::refusal::{Refusal, told};
use crate::broker::Broker;

/// The kinds of clients that Kafka has quotas for.
const ENTITY_TYPES: [&str; 3] = ["user", "client-id", "ip"];

/// How a component may ask: by name, for the default, for any name.
const MATCH_TYPES: std::ops::RangeInclusive<i8> = 0..=2;

/// None, to a question that can be asked.
pub async fn describe(
    _: &Broker,
    _: i16,
    request: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    match check(&request.components) {
        Ok(()) => DescribeClientQuotasResponse { entries: Some(Vec::new()), ..Default::default() },
        Err(refusal) => {
            let (error_code, error_message) = told(Some(refusal));
            DescribeClientQuotasResponse { error_code, error_message, ..Default::default() }
        }
    }
}

fn check(components: &[QuotaComponent]) -> Result<(), Refusal> {
    let invalid = |message: String| Refusal::new(ErrorCode::InvalidRequest, message);
    let mut types = HashSet::new();
    for QuotaComponent { entity_type, match_type, .. } in components {
        if !ENTITY_TYPES.contains(&entity_type.as_str()) {
            let message = format!("there are no quotas for clients by '{entity_type}'");
            return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
        }
        if !MATCH_TYPES.contains(match_type) {
            return Err(invalid(format!("there is no match type {match_type}")));
        }
        if !types.insert(entity_type.as_str()) {
            return Err(invalid(format!("'{entity_type}' is asked for twice")));
        }
    }
    if types.len() > 1 && types.contains("ip") {
        let message = "'ip' cannot be asked for together with another kind".to_owned();
        return Err(invalid(message));
    }
    Ok(())
}

/// Refused, entry by entry.
pub async fn alter(_: &Broker, _: i16, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let entries = request.entries.into_iter().map(|entry| AlteredQuota {
        error_code: ErrorCode::UnsupportedVersion.code(),
        error_message: Some("this broker has no client quotas".to_owned()),
        entity: entry
            .entity
            .into_iter()
            .map(|entity| AlteredQuotaEntity {
                entity_type: entity.entity_type,
                entity_name: entity.entity_name,
            })
            .collect(),
    });
    AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() }
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
                ..Default::default()
            };
            let components: Vec<_> = asked.iter().map(component).collect();
            check(&components).map_err(|refusal| refusal.code)
        };
        assert_eq!(code(&[]), Ok(()));
        assert_eq!(code(&[("user", 0), ("client-id", 2)]), Ok(()));
        assert_eq!(code(&[("planet", 0)]), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(code(&[("user", 3)]), Err(ErrorCode::InvalidRequest));
        assert_eq!(code(&[("user", 0), ("user", 1)]), Err(ErrorCode::InvalidRequest));
        assert_eq!(code(&[("ip", 0), ("user", 1)]), Err(ErrorCode::InvalidRequest));
    }
}
