//! What a schema gets that its client has not said: from the version before it, and from what is set.

use crate::definition::{Definition, Metadata, RuleSet};
use crate::error::Error;
use crate::settings::Config;
use crate::state::Entry;

/// The property that holds the version, where a client keeps it there.
const VERSION_PROPERTY: &str = "confluent:version";

/// Takes the text of the version before, where there is none.
pub(super) fn text(definition: &mut Definition, previous: Option<&Entry>) -> Result<(), Error> {
    if !definition.text.trim().is_empty() {
        return Ok(());
    }
    let Some(previous) = previous else { return Err(Error::InvalidSchema("Empty schema".to_owned())) };
    definition.text.clone_from(&previous.definition.text);
    definition.schema_type = previous.definition.schema_type;
    definition.references.clone_from(&previous.definition.references);
    Ok(())
}

/// Merges what is set, and what the version before has, into metadata and rules.
pub(super) fn metadata_and_rules(
    definition: &mut Definition,
    config: &Config,
    previous: Option<&Entry>,
    new_version: Option<i32>,
) {
    let previous = previous.map(|entry| &entry.definition);
    let own = definition.metadata.take().or_else(|| previous.and_then(|previous| previous.metadata.clone()));
    let mut metadata = Metadata::merged(
        Metadata::merged(config.default_metadata.clone(), own),
        config.override_metadata.clone(),
    );
    let own = definition.rule_set.take().or_else(|| previous.and_then(|previous| previous.rule_set.clone()));
    definition.rule_set = RuleSet::merged(
        RuleSet::merged(config.default_rule_set.clone(), own),
        config.override_rule_set.clone(),
    );
    if let Some((version, property)) =
        new_version.zip(metadata.as_mut().and_then(|metadata| metadata.properties.get_mut(VERSION_PROPERTY)))
    {
        *property = version.to_string();
    }
    definition.metadata = metadata;
}

/// Whether metadata say the same but for the version that a client keeps there.
pub(super) fn is_same_but_for_version(one: Option<&Metadata>, other: Option<&Metadata>) -> bool {
    let without = |metadata: Option<&Metadata>| {
        let mut metadata = metadata.cloned().unwrap_or_default();
        metadata.properties.remove(VERSION_PROPERTY);
        metadata
    };
    without(one) == without(other)
}
