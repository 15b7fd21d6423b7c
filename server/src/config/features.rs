//! The levels of the cluster's features that somebody has set: each is kept with the settings for all
//! brokers, as `feature:NAME` with the level and how often it was set, `1 3`.

use strandline_engine::config::DynamicSettings;

/// What the name begins with under which a level is kept.
const PREFIX: &str = "feature:";

/// Whether a setting for all brokers is the level of a feature.
pub(super) fn is_of_a_feature(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The level that a feature was set to, and how often it was; `None` when it never was.
pub fn feature_level(dynamic: &DynamicSettings, feature: &str) -> Option<(i16, i64)> {
    let kept = dynamic.all_brokers.iter().find(|(name, _)| name.strip_prefix(PREFIX) == Some(feature));
    let (level, times) = kept?.1.split_once(' ')?;
    Some((level.parse().ok()?, times.parse().ok()?))
}

/// The settings with a feature at another level.
pub fn with_feature_level(dynamic: &DynamicSettings, feature: &str, level: i16) -> DynamicSettings {
    let times = feature_level(dynamic, feature).map_or(0, |(_, times)| times);
    let name = format!("{PREFIX}{feature}");
    let mut settings = dynamic.clone();
    settings.all_brokers.retain(|(kept, _)| *kept != name);
    settings.all_brokers.push((name, format!("{level} {}", times.saturating_add(1))));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_what_it_was_set_to_last_and_counts_how_often_it_was() {
        let nothing = DynamicSettings::default();
        assert_eq!(feature_level(&nothing, "share.version"), None);
        let once = with_feature_level(&nothing, "share.version", 1);
        let twice = with_feature_level(&once, "share.version", 2);
        assert_eq!(feature_level(&once, "share.version"), Some((1, 1)));
        assert_eq!(feature_level(&twice, "share.version"), Some((2, 2)));
        assert_eq!(feature_level(&twice, "share"), None);
        assert_eq!(twice.all_brokers.len(), 1);
    }
}
