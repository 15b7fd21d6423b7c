//! The normal form: full names, members and properties in a fixed order, so that two texts that say the same
//! are one schema.

use std::collections::BTreeSet;

use super::{Avro, Field, NamedId, NamedKind, Type};
use crate::json::{Json, Members};

impl Avro {
    /// The text of the normal form; what references bring stands there by its name.
    pub fn normalized(&self) -> String {
        let written = self.referred.values().copied().collect();
        Normalizer { avro: self, written }.schema(&self.root).to_string()
    }
}

struct Normalizer<'a> {
    avro: &'a Avro,
    written: BTreeSet<NamedId>,
}

impl Normalizer<'_> {
    fn schema(&mut self, kind: &Type) -> Json {
        match kind {
            Type::Primitive { kind, properties } if properties.is_empty() => kind.name().into(),
            Type::Primitive { kind, properties } => {
                let mut members = vec![("type".to_owned(), kind.name().into())];
                add(&mut members, properties);
                Json::Object(members)
            }
            Type::Array { items, properties } => self.container("array", "items", items, properties),
            Type::Map { values, properties } => self.container("map", "values", values, properties),
            Type::Union(branches) => branches.iter().map(|branch| self.schema(branch)).collect(),
            Type::Named(id) => self.named(*id),
        }
    }

    fn container(&mut self, kind: &str, name: &str, of: &Type, properties: &Members) -> Json {
        let mut members = vec![("type".to_owned(), kind.into()), (name.to_owned(), self.schema(of))];
        add(&mut members, properties);
        Json::Object(members)
    }

    fn named(&mut self, id: NamedId) -> Json {
        let named = &self.avro.named[id];
        if !self.written.insert(id) {
            return named.name.full().into();
        }
        let mut members = vec![
            ("name".to_owned(), named.name.full().into()),
            ("type".to_owned(), named.kind.name().into()),
        ];
        let mut default_of_enum = None;
        match &named.kind {
            NamedKind::Record { fields, .. } => {
                let fields: Vec<Json> = fields.iter().map(|field| self.field(field)).collect();
                Json::push(&mut members, "fields", fields);
            }
            NamedKind::Enum { symbols, default } => {
                Json::push(&mut members, "symbols", symbols.iter().map(String::as_str).collect::<Json>());
                default_of_enum.clone_from(default);
            }
            NamedKind::Fixed { size } => Json::push(&mut members, "size", i64::from(*size)),
        }
        let logical = logical(&mut members, &named.properties);
        if let Some(doc) = named.doc.as_deref().filter(|doc| !doc.is_empty()) {
            Json::push(&mut members, "doc", doc);
        }
        if !named.aliases.is_empty() {
            let aliases: BTreeSet<String> = named.aliases.iter().map(super::Name::full).collect();
            Json::push(&mut members, "aliases", aliases.into_iter().collect::<Json>());
        }
        if let Some(default) = default_of_enum {
            Json::push(&mut members, "default", default);
        }
        simple(&mut members, &named.properties, &logical);
        Json::Object(members)
    }

    fn field(&mut self, field: &Field) -> Json {
        let mut members = vec![
            ("name".to_owned(), field.name.as_str().into()),
            ("type".to_owned(), self.schema(&field.kind)),
        ];
        Json::push(&mut members, "order", field.order.name());
        if let Some(doc) = &field.doc {
            Json::push(&mut members, "doc", doc.as_str());
        }
        if !field.aliases.is_empty() {
            let aliases: BTreeSet<&str> = field.aliases.iter().map(String::as_str).collect();
            Json::push(&mut members, "aliases", aliases.into_iter().collect::<Json>());
        }
        if let Some(default) = &field.default {
            Json::push(&mut members, "default", default.sorted());
        }
        simple(&mut members, &field.properties, &[]);
        Json::Object(members)
    }
}

fn add(members: &mut Members, properties: &Members) {
    let logical = logical(members, properties);
    simple(members, properties, &logical);
}

/// Adds the logical type, and says which properties are a part of it.
fn logical(members: &mut Members, properties: &Members) -> Vec<&'static str> {
    let of = |name: &str| properties.iter().find_map(|(key, value)| (key == name).then_some(value));
    let Some(name) = of("logicalType").and_then(Json::as_str) else { return Vec::new() };
    Json::push(members, "logicalType", name);
    if name != "decimal" {
        return vec!["logicalType"];
    }
    if let Some(precision) = of("precision") {
        Json::push(members, "precision", precision.clone());
    }
    if let Some(scale) = of("scale").filter(|scale| scale.as_i64() != Some(0)) {
        Json::push(members, "scale", scale.clone());
    }
    vec!["logicalType", "precision", "scale"]
}

fn simple(members: &mut Members, properties: &Members, without: &[&str]) {
    let mut rest: Members = properties
        .iter()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.sorted()))
        .collect();
    rest.sort_by(|(one, _), (other, _)| one.cmp(other));
    members.extend(rest);
}
