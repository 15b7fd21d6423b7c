//! The values of schemas that are stored.

use super::resolve::referred;
use crate::parsed::Parsed;
use crate::state::State;
use crate::subject::{DEFAULT_CONTEXT, Subject};
use crate::values::Values;

/// What a byte of a text may be once it is understood, and what a short one takes, about.
const BYTES_PER_BYTE: usize = 32;
const BYTES_AT_LEAST: usize = 64 << 10;

/// The values of the schema with this id in the default context, deleted or not, if there is one.
///
/// # Errors
/// Where the schema can no longer be understood, such as without what it refers to.
pub fn values_of(state: &State, id: i32) -> Option<Result<Values, String>> {
    let (place, entry) = state.first_of_id(DEFAULT_CONTEXT, id)?;
    let (subject, definition) = (Subject::parse(&place.0), &entry.definition);
    let understood = || {
        let referred = referred(state, &subject, definition.schema_type, &definition.references)?;
        let others: usize = referred.iter().map(|referred| referred.text.len()).sum();
        let weight = (definition.text.len() + others) * BYTES_PER_BYTE + BYTES_AT_LEAST;
        let parsed = Parsed::parse(definition.schema_type, &definition.text, &referred, false)?;
        let patterns = match &parsed {
            Parsed::Json(json) => json.weight_of_patterns(),
            _ => 0,
        };
        Values::new(parsed, weight + patterns)
    };
    Some(understood())
}
