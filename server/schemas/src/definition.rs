//! A schema as it is stored: its type, its text, what it refers to, and what is said about it.
//!
//! Two definitions with the same MD5 are one schema with one id. What is hashed, and in which order, is
//! Confluent's, so that the GUID of a schema is the same in both registries.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use md5::{Digest, Md5};

use crate::error::Error;
use crate::json::{Json, Members};

/// The language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaType {
    /// Apache Avro.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
}

impl SchemaType {
    /// All of them, as `/schemas/types` lists them.
    pub const ALL: [SchemaType; 3] = [SchemaType::Json, SchemaType::Protobuf, SchemaType::Avro];

    /// The type of that name.
    pub fn of(name: &str) -> Option<SchemaType> {
        SchemaType::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            SchemaType::Avro => "AVRO",
            SchemaType::Json => "JSON",
            SchemaType::Protobuf => "PROTOBUF",
        }
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a schema says of another one that it uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// How the text calls it: a full name of Avro, a URI, a path of an import.
    pub name: String,
    /// The subject that has it.
    pub subject: String,
    /// Its version there; -1 is the latest.
    pub version: i32,
}

/// Tags, properties, and which of these are secret. Stored and merged, never acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Tags by path.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// Properties.
    pub properties: BTreeMap<String, String>,
    /// The names of properties that are secret.
    pub sensitive: BTreeSet<String>,
}

/// One rule. Stored, never executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the registry's API")]
pub struct Rule {
    pub name: Option<String>,
    pub doc: Option<String>,
    pub kind: Option<String>,
    pub mode: Option<String>,
    pub rule_type: Option<String>,
    pub tags: BTreeSet<String>,
    pub params: BTreeMap<String, String>,
    pub expr: Option<String>,
    pub on_success: Option<String>,
    pub on_failure: Option<String>,
    pub disabled: bool,
}

/// The rules of a schema. Stored and merged, never executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the registry's API")]
pub struct RuleSet {
    pub migration_rules: Vec<Rule>,
    pub domain_rules: Vec<Rule>,
    pub encoding_rules: Vec<Rule>,
    pub enable_at: Option<String>,
}

/// A schema, apart from the subjects that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The language.
    pub schema_type: SchemaType,
    /// The text, in its canonical form.
    pub text: String,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// What is said about it.
    pub metadata: Option<Metadata>,
    /// Its rules.
    pub rule_set: Option<RuleSet>,
}

/// The MD5 of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Guid> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        let mut bytes = [0; 16];
        if digits.len() != 32 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Guid(bytes))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Definition {
    /// What it is told apart by.
    pub fn guid(&self) -> Guid {
        let mut md5 = Md5::new();
        md5.update(&self.text);
        for reference in &self.references {
            md5.update(&reference.name);
            md5.update(&reference.subject);
            md5.update(reference.version.to_be_bytes());
        }
        if let Some(metadata) = &self.metadata {
            md5.update([1]);
            metadata.hash(&mut md5);
        }
        if let Some(rules) = &self.rule_set {
            md5.update([1]);
            rules.hash(&mut md5);
        }
        Guid(md5.finalize().into())
    }

    /// About how much memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let references: usize =
            self.references.iter().map(|reference| reference.name.len() + reference.subject.len() + 64).sum();
        let metadata = self.metadata.as_ref().map_or(0, |metadata| metadata.to_json().to_string().len());
        let rules = self.rule_set.as_ref().map_or(0, |rules| rules.to_json().to_string().len());
        self.text.len() + references + 2 * (metadata + rules) + 256
    }
}

impl Reference {
    /// Its form in JSON.
    pub fn to_json(&self) -> Json {
        Json::object([
            ("name", self.name.as_str().into()),
            ("subject", self.subject.as_str().into()),
            ("version", self.version.into()),
        ])
    }

    /// Reads a list of them.
    pub(crate) fn list(json: Option<&Json>) -> Result<Vec<Reference>, Error> {
        let list = match json {
            None | Some(Json::Null) => return Ok(Vec::new()),
            Some(list @ Json::Array(_)) => list,
            Some(_) => return Err(Error::Body("references: an array is expected".to_owned())),
        };
        list.elements()
            .iter()
            .map(|reference| {
                let text = |name: &str| {
                    let text = reference.get(name).and_then(Json::as_str).map(str::to_owned);
                    text.ok_or_else(|| Error::Body(format!("references: {name} is expected, a string")))
                };
                let version = reference.get("version").and_then(Json::as_i64).unwrap_or(-1);
                let version = i32::try_from(version)
                    .map_err(|_| Error::Body(format!("references: version {version} is too large")))?;
                Ok(Reference { name: text("name")?, subject: text("subject")?, version })
            })
            .collect()
    }
}

impl Metadata {
    fn hash(&self, md5: &mut Md5) {
        for (path, tags) in &self.tags {
            md5.update(path);
            tags.iter().for_each(|tag| md5.update(tag));
        }
        for (name, value) in &self.properties {
            md5.update(name);
            md5.update(value);
        }
        self.sensitive.iter().for_each(|name| md5.update(name));
    }

    /// Its form in JSON; what is empty is left out.
    pub fn to_json(&self) -> Json {
        let mut members = Members::new();
        if !self.tags.is_empty() {
            let tags = self.tags.iter().map(|(path, tags)| (path.clone(), texts(tags)));
            Json::push(&mut members, "tags", tags.collect::<Members>());
        }
        if !self.properties.is_empty() {
            Json::push(&mut members, "properties", texts_by_name(&self.properties));
        }
        if !self.sensitive.is_empty() {
            Json::push(&mut members, "sensitive", texts(&self.sensitive));
        }
        Json::Object(members)
    }

    /// Reads what a client, or a record, says; `null` is none.
    pub(crate) fn from_json(json: Option<&Json>) -> Result<Option<Metadata>, Error> {
        let Some(json) = object(json, "metadata")? else { return Ok(None) };
        let tags = json.get("tags").map_or(&[][..], Json::members);
        Ok(Some(Metadata {
            tags: tags.iter().map(|(path, tags)| (path.clone(), strings(tags))).collect(),
            properties: strings_by_name(json.get("properties")),
            sensitive: json.get("sensitive").map(strings).unwrap_or_default(),
        }))
    }

    /// This, and over it another.
    pub(crate) fn merged(under: Option<Metadata>, over: Option<Metadata>) -> Option<Metadata> {
        let (Some(mut merged), Some(over)) = (under.clone(), over.clone()) else { return over.or(under) };
        merged.tags.extend(over.tags);
        merged.properties.extend(over.properties);
        merged.sensitive.extend(over.sensitive);
        Some(merged)
    }
}

impl Rule {
    fn hash(&self, md5: &mut Md5) {
        let texts = [&self.name, &self.doc, &self.kind, &self.mode, &self.rule_type];
        texts.into_iter().flatten().for_each(|text| md5.update(text));
        self.tags.iter().for_each(|tag| md5.update(tag));
        for (name, value) in &self.params {
            md5.update(name);
            md5.update(value);
        }
        [&self.expr, &self.on_success, &self.on_failure]
            .into_iter()
            .flatten()
            .for_each(|text| md5.update(text));
        if self.disabled {
            md5.update([1]);
        }
    }

    fn to_json(&self) -> Json {
        let mut members = Members::new();
        let text = |members: &mut Members, name: &str, text: &Option<String>| {
            if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
                Json::push(members, name, text);
            }
        };
        text(&mut members, "name", &self.name);
        text(&mut members, "doc", &self.doc);
        text(&mut members, "kind", &self.kind);
        text(&mut members, "mode", &self.mode);
        text(&mut members, "type", &self.rule_type);
        if !self.tags.is_empty() {
            Json::push(&mut members, "tags", texts(&self.tags));
        }
        if !self.params.is_empty() {
            Json::push(&mut members, "params", texts_by_name(&self.params));
        }
        text(&mut members, "expr", &self.expr);
        text(&mut members, "onSuccess", &self.on_success);
        text(&mut members, "onFailure", &self.on_failure);
        Json::push(&mut members, "disabled", self.disabled);
        Json::Object(members)
    }

    fn from_json(json: &Json) -> Rule {
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        Rule {
            name: text("name"),
            doc: text("doc"),
            kind: text("kind"),
            mode: text("mode"),
            rule_type: text("type"),
            tags: json.get("tags").map(strings).unwrap_or_default(),
            params: strings_by_name(json.get("params")),
            expr: text("expr"),
            on_success: text("onSuccess"),
            on_failure: text("onFailure"),
            disabled: json.get("disabled").and_then(Json::as_bool).unwrap_or(false),
        }
    }
}

impl RuleSet {
    fn hash(&self, md5: &mut Md5) {
        let rules = self.migration_rules.iter().chain(&self.domain_rules).chain(&self.encoding_rules);
        rules.for_each(|rule| rule.hash(md5));
        if let Some(place) = &self.enable_at {
            md5.update(place);
        }
    }

    /// Its form in JSON; what is empty is left out.
    pub fn to_json(&self) -> Json {
        let mut members = Members::new();
        for (name, rules) in [
            ("migrationRules", &self.migration_rules),
            ("domainRules", &self.domain_rules),
            ("encodingRules", &self.encoding_rules),
        ] {
            if !rules.is_empty() {
                Json::push(&mut members, name, rules.iter().map(Rule::to_json).collect::<Json>());
            }
        }
        if let Some(place) = &self.enable_at {
            Json::push(&mut members, "enableAt", place.as_str());
        }
        Json::Object(members)
    }

    /// Reads what a client, or a record, says; `null` is none.
    pub(crate) fn from_json(json: Option<&Json>) -> Result<Option<RuleSet>, Error> {
        let Some(json) = object(json, "ruleSet")? else { return Ok(None) };
        let rules =
            |name: &str| json.get(name).map_or(&[][..], Json::elements).iter().map(Rule::from_json).collect();
        Ok(Some(RuleSet {
            migration_rules: rules("migrationRules"),
            domain_rules: rules("domainRules"),
            encoding_rules: rules("encodingRules"),
            enable_at: json.get("enableAt").and_then(Json::as_str).map(str::to_owned),
        }))
    }

    /// Refuses rules that no client could execute: without a name or a type, two of one name, of a mode that
    /// does not belong where they stand.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refused = |what: String| Err(Error::InvalidRuleSet(what));
        for (rules, modes, words) in [
            (&self.migration_rules, &["UPGRADE", "DOWNGRADE", "UPDOWN"][..], "Migration"),
            (&self.domain_rules, &["WRITE", "READ", "WRITEREAD"][..], "Domain"),
            (&self.encoding_rules, &["WRITE", "READ", "WRITEREAD"][..], "Encoding"),
        ] {
            let mut names = BTreeSet::new();
            for rule in rules {
                let Some(name) = rule.name.as_deref().filter(|name| !name.is_empty()) else {
                    return refused(format!("{words} rules: a rule has no name"));
                };
                if !names.insert(name) {
                    return refused(format!("Found rule with duplicate name '{name}'"));
                }
                if rule.rule_type.is_none() {
                    return refused(format!("Rule '{name}': Missing rule type"));
                }
                if !rule.mode.as_deref().is_some_and(|mode| modes.contains(&mode)) {
                    return refused(format!("Rule '{name}': {words} rules can only be {}", modes.join(", ")));
                }
            }
        }
        Ok(())
    }

    /// This, and over it another: of two rules of one name the later counts.
    pub(crate) fn merged(under: Option<RuleSet>, over: Option<RuleSet>) -> Option<RuleSet> {
        let (Some(under), Some(over)) = (under.clone(), over.clone()) else { return over.or(under) };
        let rules = |under: Vec<Rule>, over: Vec<Rule>| {
            let is_replaced = |rule: &Rule| over.iter().any(|other| other.name == rule.name);
            let mut merged: Vec<Rule> = under.into_iter().filter(|rule| !is_replaced(rule)).collect();
            merged.extend(over);
            merged
        };
        Some(RuleSet {
            migration_rules: rules(under.migration_rules, over.migration_rules),
            domain_rules: rules(under.domain_rules, over.domain_rules),
            encoding_rules: rules(under.encoding_rules, over.encoding_rules),
            enable_at: over.enable_at.or(under.enable_at),
        })
    }
}

fn object<'a>(json: Option<&'a Json>, name: &str) -> Result<Option<&'a Json>, Error> {
    match json {
        None | Some(Json::Null) => Ok(None),
        Some(object @ Json::Object(_)) => Ok(Some(object)),
        Some(_) => Err(Error::Body(format!("{name}: an object is expected"))),
    }
}

fn strings(json: &Json) -> BTreeSet<String> {
    json.elements().iter().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn strings_by_name(json: Option<&Json>) -> BTreeMap<String, String> {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let members = json.map_or(&[][..], Json::members);
    members.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn texts(texts: &BTreeSet<String>) -> Json {
    texts.iter().map(String::as_str).collect()
}

fn texts_by_name(texts: &BTreeMap<String, String>) -> Members {
    texts.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guid_covers_all_that_tells_schemas_apart() {
        let plain = Definition {
            schema_type: SchemaType::Avro,
            text: "\"string\"".to_owned(),
            references: Vec::new(),
            metadata: None,
            rule_set: None,
        };
        // printf '"string"' | md5sum
        assert_eq!(plain.guid().to_string(), "095d71cf-1255-6b9d-5e33-0ad575b3df5d");
        assert_eq!(Guid::parse(&plain.guid().to_string()), Some(plain.guid()));
        let reference = Reference { name: "n".into(), subject: "s".into(), version: 1 };
        let metadata =
            Metadata::from_json(Some(&Json::parse(br#"{"properties":{"a":"b"}}"#).unwrap())).unwrap();
        let rules =
            RuleSet::from_json(Some(&Json::parse(br#"{"domainRules":[{"name":"x"}]}"#).unwrap())).unwrap();
        let all = [
            plain.clone(),
            Definition { references: vec![reference], ..plain.clone() },
            Definition { metadata, ..plain.clone() },
            Definition { metadata: Some(Metadata::default()), ..plain.clone() },
            Definition { rule_set: rules, ..plain },
        ];
        let guids: BTreeSet<Guid> = all.iter().map(Definition::guid).collect();
        assert_eq!(guids.len(), all.len());
    }
}
