//! From a schema to its text, as Java's library writes it: without blanks, members in its order, a named type
//! in full where it first stands and by its name after that.

use std::collections::BTreeSet;

use super::{Avro, DEPTH_MAX, Field, NamedId, NamedKind, Order, Type};
use crate::json::{Json, Members};

impl Avro {
    /// The text that is stored: what references bring stands there by its name.
    pub fn canonical(&self) -> String {
        self.write(self.referred.values().copied().collect()).unwrap_or_default()
    }

    /// The text with what references bring in full.
    pub fn resolved(&self) -> Result<String, String> {
        self.write(BTreeSet::new())
    }

    fn write(&self, written: BTreeSet<NamedId>) -> Result<String, String> {
        let mut writer = Writer { avro: self, written, space: String::new(), depth: 0, members: 0 };
        Ok(writer.schema(&self.root)?.to_string())
    }
}

/// Members of a resolved text: what references bring is counted once, since a named type is written once.
const MEMBERS_MAX: usize = 1_000_000;

struct Writer<'a> {
    avro: &'a Avro,
    written: BTreeSet<NamedId>,
    /// The namespace that surrounds.
    space: String,
    depth: usize,
    members: usize,
}

impl Writer<'_> {
    fn schema(&mut self, kind: &Type) -> Result<Json, String> {
        self.members += 1;
        if self.depth >= DEPTH_MAX || self.members > MEMBERS_MAX {
            return Err(format!("types nest deeper than {DEPTH_MAX} levels"));
        }
        self.depth += 1;
        let json = match kind {
            Type::Primitive { kind, properties } if properties.is_empty() => kind.name().into(),
            Type::Primitive { kind, properties } => {
                let mut members = vec![("type".to_owned(), kind.name().into())];
                members.extend(properties.iter().cloned());
                Json::Object(members)
            }
            Type::Array { items, properties } => self.container("array", "items", items, properties)?,
            Type::Map { values, properties } => self.container("map", "values", values, properties)?,
            Type::Union(branches) => {
                Json::Array(branches.iter().map(|branch| self.schema(branch)).collect::<Result<_, _>>()?)
            }
            Type::Named(id) => self.named(*id)?,
        };
        self.depth -= 1;
        Ok(json)
    }

    fn container(&mut self, kind: &str, name: &str, of: &Type, properties: &Members) -> Result<Json, String> {
        let mut members = vec![("type".to_owned(), kind.into()), (name.to_owned(), self.schema(of)?)];
        members.extend(properties.iter().cloned());
        Ok(Json::Object(members))
    }

    fn named(&mut self, id: NamedId) -> Result<Json, String> {
        let named = &self.avro.named[id];
        if !self.written.insert(id) {
            return Ok(named.name.in_space(&self.space).into());
        }
        let mut members = Members::new();
        let mut push = |name: &str, value: Json| members.push((name.to_owned(), value));
        let kind = match &named.kind {
            NamedKind::Record { is_error: true, .. } => "error",
            kind => kind.name(),
        };
        push("type", kind.into());
        push("name", named.name.short.as_str().into());
        if named.name.space != self.space {
            push("namespace", named.name.space.as_str().into());
        }
        if let Some(doc) = &named.doc {
            push("doc", doc.as_str().into());
        }
        match &named.kind {
            NamedKind::Record { fields, .. } => {
                let around = std::mem::replace(&mut self.space, named.name.space.clone());
                let fields = fields.iter().map(|field| self.field(field)).collect::<Result<Vec<_>, _>>()?;
                push("fields", fields.into());
                self.space = around;
            }
            NamedKind::Enum { symbols, default } => {
                push("symbols", symbols.iter().map(String::as_str).collect());
                if let Some(default) = default {
                    push("default", default.as_str().into());
                }
            }
            NamedKind::Fixed { size } => push("size", i64::from(*size).into()),
        }
        members.extend(named.properties.iter().cloned());
        if !named.aliases.is_empty() {
            let aliases = named.aliases.iter().map(|alias| alias.in_space(&named.name.space)).collect();
            members.push(("aliases".to_owned(), aliases));
        }
        Ok(Json::Object(members))
    }

    fn field(&mut self, field: &Field) -> Result<Json, String> {
        let mut members = vec![
            ("name".to_owned(), field.name.as_str().into()),
            ("type".to_owned(), self.schema(&field.kind)?),
        ];
        let mut push = |name: &str, value: Json| members.push((name.to_owned(), value));
        if let Some(doc) = &field.doc {
            push("doc", doc.as_str().into());
        }
        if let Some(default) = &field.default {
            push("default", default.clone());
        }
        if field.order != Order::Ascending {
            push("order", field.order.name().into());
        }
        if !field.aliases.is_empty() {
            push("aliases", field.aliases.iter().map(String::as_str).collect());
        }
        members.extend(field.properties.iter().cloned());
        Ok(Json::Object(members))
    }
}
