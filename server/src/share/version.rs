//! The level of the cluster's feature by which share groups are served.

use strandline_engine::config::DynamicSettings;

use crate::config::feature_level;

/// The feature: level 1 is KIP-932, level 2 has dead letter queues as well.
pub const SHARE_VERSION: &str = "share.version";

/// The level that is in force.
pub fn share_version(dynamic: &DynamicSettings) -> i16 {
    feature_level(dynamic, SHARE_VERSION).map_or(2, |(level, _)| level)
}
