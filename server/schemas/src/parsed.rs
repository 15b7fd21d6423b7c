//! A text that has been understood, of whichever type.

use crate::avro::Avro;
use crate::definition::SchemaType;
use crate::json_schema::JsonSchema;
use crate::limits::{Budget, Referred, TEXT_BYTES_MAX, TooComplex};
use crate::protobuf::Protobuf;

/// A schema that has been understood.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// Of Avro.
    Avro(Avro),
    /// Of JSON Schema.
    Json(JsonSchema),
    /// Of Protobuf.
    Protobuf(Box<Protobuf>),
}

impl Parsed {
    /// Reads a text that uses what is referred to, each of these before those that use it.
    pub fn parse(
        schema_type: SchemaType,
        text: &str,
        referred: &[Referred],
        validate_defaults: bool,
    ) -> Result<Parsed, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("the text has {} bytes, {TEXT_BYTES_MAX} are the most", text.len()));
        }
        match schema_type {
            SchemaType::Avro => {
                let texts: Vec<&str> = referred.iter().map(|referred| referred.text.as_str()).collect();
                Avro::parse(text, &texts, validate_defaults).map(Parsed::Avro)
            }
            SchemaType::Json => JsonSchema::parse(text, referred).map(Parsed::Json),
            SchemaType::Protobuf => {
                Protobuf::parse(text, referred).map(|file| Parsed::Protobuf(Box::new(file)))
            }
        }
    }

    /// Its type.
    pub fn schema_type(&self) -> SchemaType {
        match self {
            Parsed::Avro(_) => SchemaType::Avro,
            Parsed::Json(_) => SchemaType::Json,
            Parsed::Protobuf(_) => SchemaType::Protobuf,
        }
    }

    /// The text that is stored.
    pub fn canonical(&self) -> String {
        match self {
            Parsed::Avro(avro) => avro.canonical(),
            Parsed::Json(json) => json.canonical(),
            Parsed::Protobuf(protobuf) => protobuf.canonical(),
        }
    }

    /// The text that is stored where normal forms are asked for.
    pub fn normalized(&self) -> String {
        match self {
            Parsed::Avro(avro) => avro.normalized(),
            Parsed::Json(json) => json.normalized(),
            Parsed::Protobuf(protobuf) => protobuf.normalized(),
        }
    }

    /// The text in the form of that name, of a type that has it; else the one that is stored.
    pub fn formatted(&self, format: &str) -> Result<String, String> {
        match (self, format) {
            (Parsed::Avro(avro), "resolved") => avro.resolved(),
            (Parsed::Protobuf(protobuf), "serialized") => Ok(protobuf.serialized()),
            _ => Ok(self.canonical()),
        }
    }

    /// Whether the record, object or message at the top has this field.
    pub(crate) fn has_field(&self, name: &str) -> bool {
        match self {
            Parsed::Avro(avro) => avro.has_field(name),
            Parsed::Json(json) => json.has_property(name),
            Parsed::Protobuf(protobuf) => protobuf.has_field(name),
        }
    }

    /// Whether both say the same, whatever they call by reference and what in full.
    pub(crate) fn is_equivalent(&self, other: &Parsed) -> bool {
        match (self, other) {
            (Parsed::Avro(one), Parsed::Avro(other)) => {
                matches!((one.resolved(), other.resolved()), (Ok(one), Ok(other)) if one == other)
            }
            _ => self.schema_type() == other.schema_type() && self.canonical() == other.canonical(),
        }
    }

    /// Why this cannot read what was written with `writer`, which is of the same type; empty where it can.
    pub(crate) fn cannot_read(
        &self,
        writer: &Parsed,
        budget: &mut Budget,
    ) -> Result<Vec<String>, TooComplex> {
        match (self, writer) {
            (Parsed::Avro(reader), Parsed::Avro(writer)) => reader.cannot_read(writer, budget),
            (Parsed::Json(reader), Parsed::Json(writer)) => reader.cannot_read(writer, budget),
            (Parsed::Protobuf(reader), Parsed::Protobuf(writer)) => reader.cannot_read(writer, budget),
            _ => Ok(vec!["Incompatible because of different schema type".to_owned()]),
        }
    }
}
