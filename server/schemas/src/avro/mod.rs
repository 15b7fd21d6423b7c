//! Avro: what a schema says, its canonical texts, and what can read what.
//!
//! The model keeps all that Java's library keeps – documentation, aliases, defaults, properties in their
//! order – since Confluent's registry stores the text that this library writes. Named types stand in one
//! table, so that a schema that speaks of itself is no cycle of pointers.

mod compatibility;
mod normal;
mod parse;
mod values;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::json::{Json, Members};

/// How deep types nest at most, with those that references bring.
pub(crate) const DEPTH_MAX: usize = 200;

/// A schema of Avro.
#[derive(Clone, Debug)]
pub struct Avro {
    root: Type,
    named: Vec<Named>,
    /// The full names that references have brought.
    referred: BTreeMap<String, NamedId>,
}

type NamedId = usize;

#[derive(Clone, Debug, PartialEq)]
enum Type {
    Primitive { kind: Primitive, properties: Members },
    Array { items: Box<Type>, properties: Members },
    Map { values: Box<Type>, properties: Members },
    Union(Vec<Type>),
    Named(NamedId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

impl Primitive {
    const ALL: [Primitive; 8] = [
        Primitive::Null,
        Primitive::Boolean,
        Primitive::Int,
        Primitive::Long,
        Primitive::Float,
        Primitive::Double,
        Primitive::Bytes,
        Primitive::String,
    ];

    fn name(self) -> &'static str {
        match self {
            Primitive::Null => "null",
            Primitive::Boolean => "boolean",
            Primitive::Int => "int",
            Primitive::Long => "long",
            Primitive::Float => "float",
            Primitive::Double => "double",
            Primitive::Bytes => "bytes",
            Primitive::String => "string",
        }
    }

    fn of(name: &str) -> Option<Primitive> {
        Primitive::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A record, an enum or a fixed.
#[derive(Clone, Debug)]
struct Named {
    name: Name,
    doc: Option<String>,
    /// Full names.
    aliases: Vec<Name>,
    properties: Members,
    kind: NamedKind,
}

#[derive(Clone, Debug)]
enum NamedKind {
    Record { is_error: bool, fields: Vec<Field> },
    Enum { symbols: Vec<String>, default: Option<String> },
    Fixed { size: u32 },
}

impl NamedKind {
    fn name(&self) -> &'static str {
        match self {
            NamedKind::Record { .. } => "record",
            NamedKind::Enum { .. } => "enum",
            NamedKind::Fixed { .. } => "fixed",
        }
    }
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    doc: Option<String>,
    kind: Type,
    default: Option<Json>,
    order: Order,
    aliases: Vec<String>,
    properties: Members,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
    Ignore,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Order::Ascending => "ascending",
            Order::Descending => "descending",
            Order::Ignore => "ignore",
        }
    }
}

/// The name of a named type. The null namespace is the empty one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    space: String,
    short: String,
}

impl Name {
    fn full(&self) -> String {
        if self.space.is_empty() { self.short.clone() } else { format!("{}.{}", self.space, self.short) }
    }

    /// As it is written where `space` surrounds it.
    fn in_space(&self, space: &str) -> String {
        if self.space == space { self.short.clone() } else { self.full() }
    }
}

impl Avro {
    /// The full name of the record at the root.
    pub fn name(&self) -> Option<String> {
        match &self.root {
            Type::Named(id) => Some(self.named[*id].name.full()),
            _ => None,
        }
    }

    /// Whether the record at the root has this field.
    pub(crate) fn has_field(&self, name: &str) -> bool {
        self.fields().iter().any(|field| field.name == name)
    }

    fn fields(&self) -> &[Field] {
        match &self.root {
            Type::Named(id) => match &self.named[*id].kind {
                NamedKind::Record { fields, .. } => fields,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// What the type is called in messages and in unions: its full name, if it has one.
    fn kind_name(&self, kind: &Type) -> String {
        match kind {
            Type::Primitive { kind, .. } => kind.name().to_owned(),
            Type::Array { .. } => "array".to_owned(),
            Type::Map { .. } => "map".to_owned(),
            Type::Union(_) => "union".to_owned(),
            Type::Named(id) => self.named[*id].name.full(),
        }
    }
}
