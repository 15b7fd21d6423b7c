//! The features of the cluster: what Kafka switches on for all brokers at once, by level. Level 0 is a
//! cluster without the feature.
//!
//! ApiVersions tells the levels that could be, and those that are in force; UpdateFeatures changes them.
//! `group.version`, `streams.version` and `transaction.version` are at their highest, and stay there:
//! consumer groups of KIP-848 and streams groups of KIP-1071 are served, and clients that know KIP-890 raise
//! their epoch with each transaction; all others go on as before. `share.version` is at 2, and may be set to
//! 1: share groups of KIP-932 without dead letter queues, which KIP-1191 adds with level 2. The level that
//! was set is durable before it is answered, and in force for the next request of every connection. Kafka's
//! other features, `metadata.version` first, are about logs and records between its brokers, which are not
//! here.

use strandline_engine::config::DynamicSettings;
use strandline_protocol::messages::{
    FeatureUpdateKey, FinalizedFeatureKey, SupportedFeatureKey, UpdatableFeatureResult,
    UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::config::{feature_level, with_feature_level};
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};
use crate::share::{SHARE_VERSION, share_version};

/// A feature, and the levels at which this broker can work; it works at the highest, unless another was set.
struct Feature {
    name: &'static str,
    lowest: i16,
    highest: i16,
}

const fn fixed(name: &'static str, level: i16) -> Feature {
    Feature { name, lowest: level, highest: level }
}

const FEATURES: [Feature; 4] = [
    fixed("group.version", 1),
    Feature { name: SHARE_VERSION, lowest: 1, highest: 2 },
    fixed("streams.version", 1),
    fixed("transaction.version", 2),
];

/// The version of the set of finalized levels, as long as none was set: each that is raises it. It is raised
/// here when this table changes, or clients that stay connected to a broker of before go by what they know.
const FINALIZED_EPOCH: i64 = 5;

/// The first version of ApiVersions that may tell of a level 0 (KAFKA-17492).
const LEVEL_ZERO_FROM: i16 = 4;

/// The first version of UpdateFeatures with one error for all.
const ONE_ERROR_FROM: i16 = 2;

/// The values of `upgrade_type`; with the first, no level is lowered.
const UPGRADE: i8 = 1;
const UPGRADE_TYPES: std::ops::RangeInclusive<i8> = 1..=3;

impl Feature {
    fn level(&self, dynamic: &DynamicSettings) -> i16 {
        match self.name {
            SHARE_VERSION => share_version(dynamic),
            _ => self.highest,
        }
    }
}

/// The features, for a version of ApiVersions.
pub fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    if version < LEVEL_ZERO_FROM {
        return Vec::new();
    }
    let feature = |feature: &Feature| SupportedFeatureKey {
        name: feature.name.to_owned(),
        min_version: 0,
        max_version: feature.highest,
    };
    FEATURES.iter().map(feature).collect()
}

/// The levels that are in force, and the version of them all; those of 0 are not told of.
pub fn finalized(dynamic: &DynamicSettings) -> (i64, Vec<FinalizedFeatureKey>) {
    let in_force = FEATURES.iter().map(|feature| (feature.name, feature.level(dynamic)));
    let finalized = in_force.filter(|(_, level)| *level > 0).map(|(name, level)| FinalizedFeatureKey {
        name: name.to_owned(),
        max_version_level: level,
        min_version_level: level,
    });
    let set = FEATURES.iter().filter_map(|feature| feature_level(dynamic, feature.name));
    (FINALIZED_EPOCH + set.map(|(_, times)| times).sum::<i64>(), finalized.collect())
}

/// Sets levels, durably: all of a request, or nothing; a request of a version before says of each what became
/// of it.
pub async fn update(call: &Call, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let version = call.header.version;
    if let Err(error) = call.may(Operation::Alter, Resource::CLUSTER) {
        return UpdateFeaturesResponse { error_code: error.code(), ..Default::default() };
    }
    let settings = call.broker.engine.settings();
    let mut outcomes: Vec<_> =
        request.feature_updates.iter().map(|update| check(&settings.dynamic, version, update)).collect();
    if version >= ONE_ERROR_FROM
        && let Some(failed) = outcomes.iter().find_map(|outcome| outcome.clone().err())
    {
        let (error_code, error_message) = told(Some(failed));
        return UpdateFeaturesResponse { error_code, error_message, ..Default::default() };
    }
    if !request.validate_only {
        for outcome in &mut outcomes {
            if let Ok(Some((name, level))) = *outcome
                && let Err(refusal) = set(call, name, level).await
            {
                *outcome = Err(refusal);
            }
        }
    }
    if version >= ONE_ERROR_FROM {
        let (error_code, error_message) = told(outcomes.into_iter().find_map(Result::err));
        return UpdateFeaturesResponse { error_code, error_message, ..Default::default() };
    }
    let results = request.feature_updates.into_iter().zip(outcomes).map(|(update, outcome)| {
        let (error_code, error_message) = told(outcome.err());
        UpdatableFeatureResult { feature: update.feature, error_code, error_message }
    });
    UpdateFeaturesResponse { results: results.collect(), ..Default::default() }
}

async fn set(call: &Call, name: &'static str, level: i16) -> Result<(), Refusal> {
    let altered =
        call.broker.engine.alter_settings(move |now| Ok(with_feature_level(&now.dynamic, name, level))).await;
    altered.map_err(Refusal::from)?;
    tracing::info!(feature = name, level, "a feature has another level");
    Ok(())
}

/// The level that is to be set; `None` when it is in force.
fn check(
    dynamic: &DynamicSettings,
    version: i16,
    update: &FeatureUpdateKey,
) -> Result<Option<(&'static str, i16)>, Refusal> {
    let refused = |why: String| Err(Refusal::new(ErrorCode::InvalidUpdateVersion, why));
    let level = update.max_version_level;
    let Some(feature) = FEATURES.iter().find(|feature| feature.name == update.feature) else {
        return refused(format!("this broker has no feature '{}'", update.feature));
    };
    let (name, present) = (feature.name, feature.level(dynamic));
    let may_lower = match version {
        0 => update.allow_downgrade,
        _ if !UPGRADE_TYPES.contains(&update.upgrade_type) => {
            return refused(format!("there is no upgrade type {}", update.upgrade_type));
        }
        _ => update.upgrade_type != UPGRADE,
    };
    if level == present {
        return Ok(None);
    }
    if !(feature.lowest..=feature.highest).contains(&level) {
        return refused(match feature.lowest == feature.highest {
            true => format!("{name} cannot be at level {level}: this broker works at {present}"),
            false => format!(
                "{name} cannot be at level {level}: this broker works at {} to {}",
                feature.lowest, feature.highest
            ),
        });
    }
    match (level < present, may_lower) {
        (true, false) => refused(format!("{name} is at level {present}: {level} is a downgrade")),
        (false, true) if version > 0 => {
            refused(format!("{name} is at level {present}: {level} is no downgrade"))
        }
        _ => Ok(Some((name, level))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_level_at_which_this_broker_works_is_taken() {
        let nothing = DynamicSettings::default();
        let update = |feature: &str, max_version_level, upgrade_type| {
            let feature = feature.to_owned();
            let update = FeatureUpdateKey { feature, max_version_level, upgrade_type, ..Default::default() };
            check(&nothing, 2, &update).map_err(|refused| refused.message.unwrap())
        };
        assert_eq!(update("transaction.version", 2, 1), Ok(None));
        assert_eq!(update("group.version", 1, 1), Ok(None));
        for level in [-1, 0, 1, 3] {
            let refused = update("transaction.version", level, 2).unwrap_err();
            assert!(refused.contains("transaction.version"), "{refused}");
        }
        assert!(update("transaction.version", 2, 0).is_err());
        assert!(update("metadata.version", 0, 1).is_err());
        assert_eq!(update("share.version", 2, 1), Ok(None));
        for (level, upgrade_type) in [(0, 3), (3, 1), (1, 1)] {
            assert!(update("share.version", level, upgrade_type).is_err(), "{level}");
        }
        assert_eq!(update("share.version", 1, 2), Ok(Some(("share.version", 1))));
        let lowered = with_feature_level(&nothing, "share.version", 1);
        let (before, after) = (finalized(&nothing), finalized(&lowered));
        assert!(before.0 < after.0, "or clients that stay connected do not look");
        assert_eq!((before.1[1].max_version_level, after.1[1].max_version_level), (2, 1));
        let mut raised = FeatureUpdateKey {
            feature: "share.version".to_owned(),
            max_version_level: 2,
            ..Default::default()
        };
        assert_eq!(check(&lowered, 2, &raised).unwrap(), Some(("share.version", 2)));
        raised.upgrade_type = 2;
        assert!(check(&lowered, 2, &raised).is_err(), "an upgrade is no downgrade");
    }

    #[test]
    fn a_client_that_cannot_read_level_zero_is_told_of_none() {
        assert!(supported(3).is_empty());
        assert_eq!(supported(4).len(), FEATURES.len());
    }
}
