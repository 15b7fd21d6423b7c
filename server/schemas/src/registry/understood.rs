//! What a client sends as a schema, understood: parsed with all that it refers to, in the form that is
//! stored.

use super::resolve::referred;
use crate::definition::{Definition, Metadata, Reference, RuleSet, SchemaType};
use crate::error::Error;
use crate::json::Json;
use crate::parsed::Parsed;
use crate::settings::Config;
use crate::state::State;
use crate::subject::Subject;

/// A schema as a client sends it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) definition: Definition,
    /// The version that it is to have; 0 where the registry chooses, -1 for the next.
    pub(super) version: i32,
    /// The id that it is to have, from another registry.
    pub(super) id: Option<i32>,
}

impl Sent {
    /// Reads the body of a request.
    pub(super) fn parse(body: &[u8]) -> Result<Sent, Error> {
        let json = super::object(body)?;
        let schema_type = match json.get("schemaType") {
            None | Some(Json::Null) => SchemaType::Avro,
            Some(name) => {
                let name = name.as_str().unwrap_or_default();
                SchemaType::of(name)
                    .ok_or_else(|| Error::InvalidSchema(format!("Invalid schema type {name}")))?
            }
        };
        let text = match json.get("schema") {
            None | Some(Json::Null) => String::new(),
            Some(Json::String(text)) => text.clone(),
            Some(_) => return Err(Error::Body("schema: a string is expected".to_owned())),
        };
        let number = |name: &str| match json.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                number.map(Some).ok_or_else(|| Error::Body(format!("{name}: a number is expected")))
            }
        };
        let definition = Definition {
            schema_type,
            text,
            references: Reference::list(json.get("references"))?,
            metadata: Metadata::from_json(json.get("metadata"))?,
            rule_set: RuleSet::from_json(json.get("ruleSet"))?,
        };
        if let Some(rules) = &definition.rule_set {
            rules.validate()?;
        }
        let id = number("id")?.filter(|id| *id >= 0);
        Ok(Sent { definition, version: number("version")?.unwrap_or(0), id })
    }
}

/// A schema that is stored, understood.
pub(super) fn stored(state: &State, subject: &Subject, definition: &Definition) -> Result<Parsed, String> {
    let referred = referred(state, subject, definition.schema_type, &definition.references)?;
    Parsed::parse(definition.schema_type, &definition.text, &referred, false)
}

/// Understands a definition, and puts its text into the form that is stored.
pub(super) fn understood(
    state: &State,
    subject: &Subject,
    definition: &mut Definition,
    config: &Config,
    normalize: bool,
) -> Result<Parsed, Error> {
    if definition.text.trim().is_empty() {
        return Err(Error::InvalidSchema("Empty schema".to_owned()));
    }
    let kind = definition.schema_type;
    let invalid =
        |details: String| Error::InvalidSchema(format!("Invalid schema of type {kind}, details: {details}"));
    let referred = referred(state, subject, kind, &definition.references).map_err(invalid)?;
    let validate_defaults = config.validate_new_schemas.unwrap_or(false);
    let parsed = Parsed::parse(kind, &definition.text, &referred, validate_defaults).map_err(invalid)?;
    if normalize {
        definition.text = parsed.normalized();
        definition.references.sort();
        definition.references.dedup();
        return Parsed::parse(kind, &definition.text, &referred, false).map_err(invalid);
    }
    definition.text = parsed.canonical();
    Ok(parsed)
}
