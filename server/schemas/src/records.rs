//! The records of the topic `_schemas`, byte for byte as Confluent's registry writes them.
//!
//! ```text
//! key    {"keytype":"SCHEMA","subject":"orders-value","version":1,"magic":1}
//! value  {"subject":"orders-value","version":1,"id":1,"schemaType":"AVRO","schema":"\"string\"","deleted":false}
//! ```
//! The topic is compacted and has one partition; a value that is absent deletes its key. What a value has
//! beyond what is read here is left aside, in both registries. One thing is ours: the value of the key
//! `NOOP`, which Confluent's registry does not look at, keeps the highest id of each context, so that no id
//! is given a second time after the schema that had it is gone for good and its records are compacted away.

use std::collections::BTreeMap;

use crate::definition::{Definition, Metadata, Reference, RuleSet, SchemaType};
use crate::error::Error;
use crate::json::{Json, Members};
use crate::settings::{Config, Mode};
use crate::subject::{Subject, prefix_of};

/// The tenant of everything here; Confluent's cloud has more than one.
const TENANT: &str = "default";

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A version of a subject.
    Schema {
        /// The qualified name of the subject.
        subject: String,
        /// The version, from 1 on.
        version: i32,
    },
    /// What is set for a subject or a context; `None` is what is set for all.
    Config(Option<String>),
    /// The mode of a subject or a context; `None` is that of all.
    Mode(Option<String>),
    /// The highest ids.
    Noop,
    /// The soft deletion of the versions of a subject.
    DeleteSubject(String),
    /// That all of a subject, or of the default context, is gone.
    ClearSubject(Option<String>),
    /// A context other than the default one.
    Context(String),
    /// Of a kind that is not known here.
    Other(String),
}

/// A version of a subject, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The qualified name of the subject.
    pub subject: String,
    /// The version.
    pub version: i32,
    /// The id of the schema, in the context of the subject.
    pub id: i32,
    /// The schema.
    pub definition: Definition,
    /// Whether it is deleted, and can come back.
    pub is_deleted: bool,
}

/// A record: what it is about, and what is so from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A version.
    Schema(Box<Version>),
    /// What is set for a subject or a context.
    Config(Option<String>, Box<Config>),
    /// The mode of a subject or a context.
    Mode(Option<String>, Mode),
    /// The highest id of each context.
    Noop(BTreeMap<String, i32>),
    /// The versions up to this one are deleted, and can come back.
    DeleteSubject(String, i32),
    /// All of a subject, or of the default context, is gone; what it had is deleted before.
    ClearSubject(Option<String>),
    /// A context exists.
    Context(String),
    /// What the key is about is gone.
    Gone(Key),
}

impl Key {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut members = Members::new();
        let mut push = |name: &str, value: Json| Json::push(&mut members, name, value);
        push("keytype", self.name().into());
        let magic = match self {
            Key::Schema { subject, version } => {
                push("subject", subject.as_str().into());
                push("version", (*version).into());
                1
            }
            Key::Config(Some(subject))
            | Key::Mode(Some(subject))
            | Key::ClearSubject(Some(subject))
            | Key::DeleteSubject(subject) => {
                push("subject", subject.as_str().into());
                0
            }
            Key::Context(context) => {
                push("tenant", TENANT.into());
                push("context", context.as_str().into());
                0
            }
            Key::Config(None) | Key::Mode(None) | Key::ClearSubject(None) | Key::Noop | Key::Other(_) => 0,
        };
        push("magic", magic.into());
        Json::Object(members).to_string().into_bytes()
    }

    fn name(&self) -> &str {
        match self {
            Key::Schema { .. } => "SCHEMA",
            Key::Config(_) => "CONFIG",
            Key::Mode(_) => "MODE",
            Key::Noop => "NOOP",
            Key::DeleteSubject(_) => "DELETE_SUBJECT",
            Key::ClearSubject(_) => "CLEAR_SUBJECT",
            Key::Context(_) => "CONTEXT",
            Key::Other(name) => name,
        }
    }

    /// Reads the bytes of a key.
    pub fn parse(bytes: &[u8]) -> Result<Key, Error> {
        let json = Json::parse(bytes).map_err(|error| Error::Store(format!("a key is no JSON: {error}")))?;
        let text = |name: &str| json.get(name).and_then(Json::as_str);
        let kind = text("keytype").ok_or_else(|| missing(&json, "keytype"))?;
        let subject = || Ok(text("subject").ok_or_else(|| missing(&json, "subject"))?.to_owned());
        Ok(match kind {
            "SCHEMA" => {
                let magic = number(&json, "magic")?;
                if !(0..=1).contains(&magic) {
                    return Err(Error::Store(format!(
                        "a key of a schema has magic {magic}, 0 or 1 are known"
                    )));
                }
                Key::Schema { subject: subject()?, version: number(&json, "version")? }
            }
            "CONFIG" => Key::Config(text("subject").map(str::to_owned)),
            "MODE" => Key::Mode(text("subject").map(str::to_owned)),
            "NOOP" => Key::Noop,
            "DELETE_SUBJECT" => Key::DeleteSubject(subject()?),
            "CLEAR_SUBJECT" => Key::ClearSubject(text("subject").map(str::to_owned)),
            "CONTEXT" => Key::Context(text("context").ok_or_else(|| missing(&json, "context"))?.to_owned()),
            other => Key::Other(other.to_owned()),
        })
    }
}

impl Record {
    /// What it is about.
    pub fn key(&self) -> Key {
        match self {
            Record::Schema(version) => {
                Key::Schema { subject: version.subject.clone(), version: version.version }
            }
            Record::Config(subject, _) => Key::Config(subject.clone()),
            Record::Mode(subject, _) => Key::Mode(subject.clone()),
            Record::Noop(_) => Key::Noop,
            Record::DeleteSubject(subject, _) => Key::DeleteSubject(subject.clone()),
            Record::ClearSubject(subject) => Key::ClearSubject(subject.clone()),
            Record::Context(context) => Key::Context(context.clone()),
            Record::Gone(key) => key.clone(),
        }
    }

    /// The bytes of its value; `None` deletes the key.
    pub fn value(&self) -> Option<Vec<u8>> {
        let mut members = Members::new();
        let mut push = |name: &str, value: Json| Json::push(&mut members, name, value);
        match self {
            Record::Schema(version) => {
                let definition = &version.definition;
                push("subject", version.subject.as_str().into());
                push("version", version.version.into());
                push("id", version.id.into());
                push("schemaType", definition.schema_type.name().into());
                if !definition.references.is_empty() {
                    push("references", definition.references.iter().map(Reference::to_json).collect());
                }
                if let Some(metadata) = &definition.metadata {
                    push("metadata", metadata.to_json());
                }
                if let Some(rules) = &definition.rule_set {
                    push("ruleSet", rules.to_json());
                }
                push("schema", definition.text.as_str().into());
                push("deleted", version.is_deleted.into());
            }
            Record::Config(subject, config) => {
                if let Some(subject) = subject {
                    push("subject", subject.as_str().into());
                }
                members.extend(config.members("compatibilityLevel"));
            }
            Record::Mode(subject, mode) => {
                if let Some(subject) = subject {
                    push("subject", subject.as_str().into());
                }
                push("mode", mode.name().into());
            }
            Record::Noop(ids) => {
                let ids: Members =
                    ids.iter().map(|(context, id)| (prefix_of(context), (*id).into())).collect();
                push("maxIds", ids.into());
            }
            Record::DeleteSubject(subject, version) => {
                push("subject", subject.as_str().into());
                push("version", (*version).into());
            }
            Record::ClearSubject(subject) => {
                if let Some(subject) = subject {
                    push("subject", subject.as_str().into());
                }
            }
            Record::Context(context) => {
                push("tenant", TENANT.into());
                push("context", context.as_str().into());
            }
            Record::Gone(_) => return None,
        }
        Some(Json::Object(members).to_string().into_bytes())
    }

    /// Reads a record.
    pub fn parse(key: &[u8], value: Option<&[u8]>) -> Result<Record, Error> {
        let key = Key::parse(key)?;
        let Some(value) = value else { return Ok(Record::Gone(key)) };
        if let Key::Other(_) = key {
            return Ok(Record::Gone(key));
        }
        let json = Json::parse(value)
            .map_err(|error| Error::Store(format!("the value of {}: {error}", key.name())))?;
        Ok(match key {
            Key::Schema { subject, version } => {
                Record::Schema(Box::new(Version::parse(subject, version, &json)?))
            }
            Key::Config(subject) => {
                // Before Confluent 4, a record had the level alone, under this name already.
                Record::Config(subject, Box::new(Config::from_json(&json, "compatibilityLevel")?))
            }
            Key::Mode(subject) => {
                let name = json.get("mode").and_then(Json::as_str).ok_or_else(|| missing(&json, "mode"))?;
                let mode = Mode::of(name).ok_or_else(|| Error::Store(format!("no mode is called {name}")))?;
                Record::Mode(subject, mode)
            }
            Key::Noop => {
                let ids = json.get("maxIds").map_or(&[][..], Json::members).iter();
                let ids = ids.filter_map(|(context, id)| {
                    Some((Subject::parse(context).context, i32::try_from(id.as_i64()?).ok()?))
                });
                Record::Noop(ids.collect())
            }
            Key::DeleteSubject(subject) => Record::DeleteSubject(subject, number(&json, "version")?),
            Key::ClearSubject(subject) => Record::ClearSubject(subject),
            Key::Context(context) => Record::Context(context),
            Key::Other(_) => unreachable!("answered above"),
        })
    }
}

impl Version {
    fn parse(subject: String, version: i32, json: &Json) -> Result<Version, Error> {
        let text = |name: &str| json.get(name).and_then(Json::as_str);
        let schema_type = match text("schemaType") {
            None => SchemaType::Avro,
            Some(name) => SchemaType::of(name)
                .ok_or_else(|| Error::Store(format!("no type of schemas is called {name}")))?,
        };
        let definition = Definition {
            schema_type,
            text: text("schema").ok_or_else(|| missing(json, "schema"))?.to_owned(),
            references: Reference::list(json.get("references"))?,
            metadata: Metadata::from_json(json.get("metadata"))?,
            rule_set: RuleSet::from_json(json.get("ruleSet"))?,
        };
        let is_deleted = json.get("deleted").and_then(Json::as_bool).unwrap_or(false);
        Ok(Version { subject, version, id: number(json, "id")?, definition, is_deleted })
    }
}

fn number(json: &Json, name: &str) -> Result<i32, Error> {
    let number = json.get(name).and_then(Json::as_i64).ok_or_else(|| missing(json, name))?;
    i32::try_from(number).map_err(|_| Error::Store(format!("{name}: {number} is too large")))
}

fn missing(json: &Json, name: &str) -> Error {
    let mut shown = json.to_string();
    if let Some((end, _)) = shown.char_indices().nth(200) {
        shown.truncate(end);
    }
    Error::Store(format!("{name} is missing in {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as Confluent's registry writes them, each with what it reads as.
    fn written() -> Vec<(&'static str, Option<&'static str>)> {
        vec![
            (
                r#"{"keytype":"SCHEMA","subject":"orders-value","version":2,"magic":1}"#,
                Some(
                    r#"{"subject":"orders-value","version":2,"id":7,"schemaType":"AVRO","references":[{"name":"a.B","subject":"b","version":1}],"metadata":{"tags":{"t.*":["PII"]},"properties":{"owner":"me"},"sensitive":["owner"]},"ruleSet":{"domainRules":[{"name":"r","kind":"CONDITION","mode":"WRITE","type":"CEL","expr":"1 == 1","disabled":false}]},"schema":"\"string\"","deleted":true}"#,
                ),
            ),
            (r#"{"keytype":"SCHEMA","subject":"orders-value","version":2,"magic":1}"#, None),
            (r#"{"keytype":"CONFIG","magic":0}"#, Some(r#"{"compatibilityLevel":"FULL"}"#)),
            (
                r#"{"keytype":"CONFIG","subject":"s","magic":0}"#,
                Some(
                    r#"{"subject":"s","alias":"t","normalize":true,"compatibilityLevel":"NONE","compatibilityGroup":"g"}"#,
                ),
            ),
            (r#"{"keytype":"CONFIG","subject":"s","magic":0}"#, None),
            (r#"{"keytype":"MODE","magic":0}"#, Some(r#"{"mode":"READONLY"}"#)),
            (r#"{"keytype":"MODE","subject":"s","magic":0}"#, Some(r#"{"subject":"s","mode":"IMPORT"}"#)),
            (r#"{"keytype":"NOOP","magic":0}"#, None),
            (r#"{"keytype":"NOOP","magic":0}"#, Some(r#"{"maxIds":{"":4,":.eu:":2}}"#)),
            (
                r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#,
                Some(r#"{"subject":"s","version":3}"#),
            ),
            (r#"{"keytype":"CLEAR_SUBJECT","subject":"s","magic":0}"#, Some(r#"{"subject":"s"}"#)),
            (
                r#"{"keytype":"CONTEXT","tenant":"default","context":".eu","magic":0}"#,
                Some(r#"{"tenant":"default","context":".eu"}"#),
            ),
        ]
    }

    #[test]
    fn what_is_read_is_written_again_byte_for_byte() {
        for (key, value) in written() {
            let record = Record::parse(key.as_bytes(), value.map(str::as_bytes)).unwrap();
            assert_eq!(String::from_utf8(record.key().to_bytes()).unwrap(), key);
            let again = record.value().map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(again.as_deref(), value, "{key}");
        }
    }

    #[test]
    fn older_forms_and_what_is_unknown_are_read() {
        let read = |key: &str, value: &str| Record::parse(key.as_bytes(), Some(value.as_bytes()));
        let old = read(
            r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":0}"#,
            r#"{"subject":"s","version":1,"id":1,"schema":"\"int\""}"#,
        );
        let Ok(Record::Schema(old)) = old else { panic!("{old:?}") };
        assert_eq!((old.definition.schema_type, old.is_deleted), (SchemaType::Avro, false));
        let global = read(
            r#"{"keytype":"CONFIG","subject":null,"magic":0}"#,
            r#"{"compatibilityLevel":"FORWARD","later":1}"#,
        );
        assert!(matches!(global, Ok(Record::Config(None, _))), "{global:?}");
        let later = read(r#"{"keytype":"ASSOC","tenant":"default"}"#, "{}");
        assert!(matches!(later, Ok(Record::Gone(Key::Other(_)))), "{later:?}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (key, value, what) in [
            ("[", "{}", "no JSON"),
            ("{}", "{}", "keytype is missing"),
            (r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":7}"#, "{}", "magic 7"),
            (r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#, "{}", "schema is missing"),
            (r#"{"keytype":"MODE","magic":0}"#, r#"{"mode":"X"}"#, "no mode is called X"),
            (r#"{"keytype":"MODE","magic":0}"#, "x", "the value of MODE"),
        ] {
            let error = Record::parse(key.as_bytes(), Some(value.as_bytes())).unwrap_err();
            assert!(error.to_string().contains(what), "{key} {value}: {error}");
        }
    }
}
