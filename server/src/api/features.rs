//! The features of the cluster: what Kafka switches on for all brokers at once, by level. Level 0 is a
//! cluster without the feature.
//!
//! ApiVersions tells the levels that could be, and those that are in force; UpdateFeatures would change them.
//! `group.version`, `share.version`, `streams.version` and `transaction.version` are at their highest:
//! consumer groups of KIP-848, share groups of KIP-932 and streams groups of KIP-1071 are served, and clients
//! that know KIP-890 raise their epoch with each transaction; all others go on as before. Kafka's other
//! features, `metadata.version` first, are about logs and records between its brokers, which are not here.

use strandline_protocol::messages::{
    FeatureUpdateKey, FinalizedFeatureKey, SupportedFeatureKey, UpdatableFeatureResult,
    UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::security::acl::{Operation, Resource};

/// Each feature with the highest level that this broker knows, at which it works.
const FEATURES: [(&str, i16); 4] =
    [("group.version", 1), ("share.version", 1), ("streams.version", 1), ("transaction.version", 2)];

/// The version of the set of finalized levels: it is raised when that changes, or clients that stay connected
/// to a broker of before go by what they know.
pub const FINALIZED_EPOCH: i64 = 4;

/// The first version of ApiVersions that may tell of a level 0 (KAFKA-17492).
const LEVEL_ZERO_FROM: i16 = 4;

/// The first version of UpdateFeatures with one error for all.
const ONE_ERROR_FROM: i16 = 2;

/// The values of `upgrade_type`.
const UPGRADE_TYPES: std::ops::RangeInclusive<i8> = 1..=3;

/// The features, for a version of ApiVersions.
pub fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    if version < LEVEL_ZERO_FROM {
        return Vec::new();
    }
    let feature = |(name, max_version): &(&str, i16)| SupportedFeatureKey {
        name: (*name).to_owned(),
        min_version: 0,
        max_version: *max_version,
    };
    FEATURES.iter().map(feature).collect()
}

/// The levels that are in force; those of 0 are not told of.
pub fn finalized() -> Vec<FinalizedFeatureKey> {
    let in_force = FEATURES.iter().filter(|(_, level)| *level > 0);
    let finalized = in_force.map(|(name, level)| FinalizedFeatureKey {
        name: (*name).to_owned(),
        max_version_level: *level,
        min_version_level: *level,
    });
    finalized.collect()
}

/// Takes the levels that are in force, and refuses all others.
pub async fn update(call: &Call, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let version = call.header.version;
    if let Err(error) = call.may(Operation::Alter, Resource::CLUSTER) {
        return UpdateFeaturesResponse { error_code: error.code(), ..Default::default() };
    }
    let outcomes: Vec<_> = request.feature_updates.iter().map(check).collect();
    if version >= ONE_ERROR_FROM {
        let failed = outcomes.into_iter().find_map(Result::err);
        let error_code = failed.as_ref().map_or(0, |_| ErrorCode::InvalidUpdateVersion.code());
        return UpdateFeaturesResponse { error_code, error_message: failed, ..Default::default() };
    }
    let results = request.feature_updates.into_iter().zip(outcomes).map(|(update, outcome)| {
        let error_message = outcome.err();
        let error_code = error_message.as_ref().map_or(0, |_| ErrorCode::InvalidUpdateVersion.code());
        UpdatableFeatureResult { feature: update.feature, error_code, error_message }
    });
    UpdateFeaturesResponse { results: results.collect(), ..Default::default() }
}

fn check(update: &FeatureUpdateKey) -> Result<(), String> {
    let FeatureUpdateKey { feature, max_version_level: level, upgrade_type, .. } = update;
    let Some((_, highest)) = FEATURES.iter().find(|(name, _)| name == feature) else {
        return Err(format!("this broker has no feature '{feature}'"));
    };
    if !UPGRADE_TYPES.contains(upgrade_type) {
        return Err(format!("there is no upgrade type {upgrade_type}"));
    }
    match level == highest {
        true => Ok(()),
        false => Err(format!("{feature} cannot be at level {level}: this broker works at {highest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_level_that_is_in_force_is_taken() {
        let update = |feature: &str, max_version_level, upgrade_type| {
            let feature = feature.to_owned();
            check(&FeatureUpdateKey { feature, max_version_level, upgrade_type, ..Default::default() })
        };
        assert_eq!(update("transaction.version", 2, 1), Ok(()));
        assert_eq!(update("group.version", 1, 1), Ok(()));
        for level in [-1, 0, 1, 3] {
            let refused = update("transaction.version", level, 2).unwrap_err();
            assert!(refused.contains("transaction.version"), "{refused}");
        }
        assert!(update("transaction.version", 2, 0).is_err());
        assert!(update("metadata.version", 0, 1).is_err());
    }

    #[test]
    fn a_client_that_cannot_read_level_zero_is_told_of_none() {
        assert!(supported(3).is_empty());
        assert_eq!(supported(4).len(), FEATURES.len());
    }
}
