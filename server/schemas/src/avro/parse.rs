//! From a text to a schema.
//!
//! What Java's library refuses is refused here: names that are none, names that stand for nothing or for two
//! things, unions in unions or with two branches of one kind.

use std::collections::BTreeMap;

use super::{Avro, DEPTH_MAX, Field, Name, Named, NamedId, NamedKind, Order, Primitive, Type};
use crate::json::{Json, Members};

/// Members that are no properties.
const RESERVED: [&str; 10] =
    ["doc", "fields", "items", "name", "namespace", "size", "symbols", "values", "type", "aliases"];
const RESERVED_OF_FIELDS: [&str; 6] = ["default", "doc", "name", "order", "type", "aliases"];

impl Avro {
    /// Reads a schema that uses what the texts of its references define, each before those that use it.
    pub fn parse(text: &str, references: &[&str], validate_defaults: bool) -> Result<Avro, String> {
        let mut parser = Parser { named: Vec::new(), by_name: BTreeMap::new(), depth: 0, validate_defaults };
        for text in references {
            parser.parse(text)?;
        }
        let referred = parser.by_name.clone();
        let root = parser.parse(text)?;
        Ok(Avro { root, named: parser.named, referred })
    }
}

struct Parser {
    named: Vec<Named>,
    by_name: BTreeMap<String, NamedId>,
    depth: usize,
    validate_defaults: bool,
}

impl Parser {
    fn parse(&mut self, text: &str) -> Result<Type, String> {
        let json = Json::parse(text.as_bytes()).map_err(|error| format!("the text is no JSON: {error}"))?;
        self.schema(&json, "")
    }

    fn schema(&mut self, json: &Json, space: &str) -> Result<Type, String> {
        if self.depth >= DEPTH_MAX {
            return Err(format!("types nest deeper than {DEPTH_MAX} levels"));
        }
        self.depth += 1;
        let schema = match json {
            Json::String(name) => self.reference(name, space),
            Json::Array(branches) => self.union(branches, space),
            Json::Object(_) => self.object(json, space),
            other => Err(format!("Schema not yet supported: {}", shown(other))),
        };
        self.depth -= 1;
        schema
    }

    fn reference(&self, name: &str, space: &str) -> Result<Type, String> {
        if let Some(kind) = Primitive::of(name) {
            return Ok(Type::Primitive { kind, properties: Vec::new() });
        }
        let here = qualified(name, space).full();
        let id = self.by_name.get(&here).or_else(|| self.by_name.get(name));
        id.map(|id| Type::Named(*id)).ok_or_else(|| format!("Undefined name: \"{here}\""))
    }

    fn union(&mut self, branches: &[Json], space: &str) -> Result<Type, String> {
        let mut kinds = Vec::with_capacity(branches.len());
        let mut names = std::collections::BTreeSet::new();
        for branch in branches {
            let kind = self.schema(branch, space)?;
            let name = match &kind {
                Type::Union(_) => return Err("Nested union".to_owned()),
                Type::Named(id) => self.named[*id].name.full(),
                Type::Primitive { kind, .. } => kind.name().to_owned(),
                Type::Array { .. } => "array".to_owned(),
                Type::Map { .. } => "map".to_owned(),
            };
            if let Some(twice) = names.replace(name) {
                return Err(format!("Duplicate in union:{twice}"));
            }
            kinds.push(kind);
        }
        Ok(Type::Union(kinds))
    }

    fn object(&mut self, json: &Json, space: &str) -> Result<Type, String> {
        let Some(kind) = json.get("type").and_then(Json::as_str) else {
            return Err(format!("No type: {}", shown(json)));
        };
        let properties = || properties(json, &RESERVED);
        if let Some(kind) = Primitive::of(kind) {
            return Ok(Type::Primitive { kind, properties: properties() });
        }
        match kind {
            "array" => {
                let items =
                    json.get("items").ok_or_else(|| format!("Array has no items type: {}", shown(json)))?;
                Ok(Type::Array { items: Box::new(self.schema(items, space)?), properties: properties() })
            }
            "map" => {
                let values =
                    json.get("values").ok_or_else(|| format!("Map has no values type: {}", shown(json)))?;
                Ok(Type::Map { values: Box::new(self.schema(values, space)?), properties: properties() })
            }
            "record" | "error" | "enum" | "fixed" => self.definition(kind, json, space),
            other => match self.reference(other, space) {
                Ok(named) => Ok(named),
                Err(_) => Err(format!("Type not supported: {other}")),
            },
        }
    }

    fn definition(&mut self, kind: &str, json: &Json, space: &str) -> Result<Type, String> {
        let Some(name) = json.get("name").and_then(Json::as_str) else {
            return Err(format!("No name in schema: {}", shown(json)));
        };
        let own_space = match json.get("namespace") {
            Some(Json::String(own)) => own.as_str(),
            _ => space,
        };
        let name = qualified(name, own_space);
        validate(&name.short)?;
        name.space.split('.').filter(|_| !name.space.is_empty()).try_for_each(validate)?;
        let full = name.full();
        if Primitive::of(&full).is_some() {
            return Err(format!("Schemas may not be named after primitives: {full}"));
        }
        if self.by_name.contains_key(&full) {
            return Err(format!("Can't redefine: {full}"));
        }
        let aliases = texts(json, "aliases")?;
        let reserved: Vec<&str> = RESERVED.into_iter().chain((kind == "enum").then_some("default")).collect();
        let named = Named {
            doc: json.get("doc").and_then(Json::as_str).map(str::to_owned),
            aliases: aliases.iter().map(|alias| qualified(alias, &name.space)).collect(),
            properties: properties(json, &reserved),
            kind: match kind {
                "enum" => enumeration(json)?,
                "fixed" => fixed(json)?,
                _ => NamedKind::Record { is_error: kind == "error", fields: Vec::new() },
            },
            name: name.clone(),
        };
        let id = self.named.len();
        self.named.push(named);
        self.by_name.insert(full.clone(), id);
        if matches!(kind, "record" | "error") {
            // A record may speak of itself, so its name is known before its fields are.
            let Some(Json::Array(list)) = json.get("fields") else {
                return Err(format!("Record has no fields: {}", shown(json)));
            };
            let fields = self.fields(list, &name)?;
            self.named[id].kind = NamedKind::Record { is_error: kind == "error", fields };
        }
        Ok(Type::Named(id))
    }

    fn fields(&mut self, list: &[Json], record: &Name) -> Result<Vec<Field>, String> {
        let mut fields: Vec<Field> = Vec::with_capacity(list.len());
        let mut names = std::collections::HashSet::new();
        for json in list {
            let Some(name) = json.get("name").and_then(Json::as_str) else {
                return Err(format!("No field name: {}", shown(json)));
            };
            validate(name)?;
            if !names.insert(name) {
                return Err(format!("Duplicate field {name} in record {}", record.full()));
            }
            let kind = json.get("type").ok_or_else(|| format!("No field type: {}", shown(json)))?;
            let kind = self.schema(kind, &record.space)?;
            let default = json.get("default").cloned();
            if let Some(default) = default.as_ref().filter(|_| self.validate_defaults)
                && !self.takes(&kind, default, 0)
            {
                return Err(format!("Invalid default for field {name}: {}", shown(default)));
            }
            let order = match json.get("order").and_then(Json::as_str).map(str::to_ascii_lowercase).as_deref()
            {
                None | Some("ascending") => Order::Ascending,
                Some("descending") => Order::Descending,
                Some("ignore") => Order::Ignore,
                Some(other) => return Err(format!("field {name}: no order is called {other}")),
            };
            fields.push(Field {
                name: name.to_owned(),
                doc: json.get("doc").and_then(Json::as_str).map(str::to_owned),
                kind,
                default,
                order,
                aliases: texts(json, "aliases")?,
                properties: properties(json, &RESERVED_OF_FIELDS),
            });
        }
        Ok(fields)
    }

    /// Whether a default is a value of the type; of a union, of its first branch.
    fn takes(&self, kind: &Type, default: &Json, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        let within = |number: &Json, range: std::ops::RangeInclusive<i64>| {
            number.as_i64().is_some_and(|number| range.contains(&number))
        };
        match kind {
            Type::Primitive { kind, .. } => match kind {
                Primitive::Null => *default == Json::Null,
                Primitive::Boolean => default.as_bool().is_some(),
                Primitive::Int => within(default, i64::from(i32::MIN)..=i64::from(i32::MAX)),
                Primitive::Long => within(default, i64::MIN..=i64::MAX),
                Primitive::Float | Primitive::Double => default.as_f64().is_some(),
                Primitive::Bytes | Primitive::String => default.as_str().is_some(),
            },
            Type::Array { items, .. } => {
                let all = default.elements().iter().all(|element| self.takes(items, element, depth + 1));
                matches!(default, Json::Array(_)) && all
            }
            Type::Map { values, .. } => {
                let all = default.members().iter().all(|(_, value)| self.takes(values, value, depth + 1));
                matches!(default, Json::Object(_)) && all
            }
            Type::Union(branches) => branches.iter().any(|branch| self.takes(branch, default, depth + 1)),
            Type::Named(id) => match &self.named[*id].kind {
                NamedKind::Enum { symbols, .. } => {
                    default.as_str().is_some_and(|text| symbols.iter().any(|symbol| symbol == text))
                }
                NamedKind::Fixed { .. } => default.as_str().is_some(),
                NamedKind::Record { fields, .. } => {
                    let takes = |field: &Field| {
                        let value = default.get(&field.name).or(field.default.as_ref());
                        value.is_some_and(|value| self.takes(&field.kind, value, depth + 1))
                    };
                    matches!(default, Json::Object(_)) && fields.iter().all(takes)
                }
            },
        }
    }
}

fn enumeration(json: &Json) -> Result<NamedKind, String> {
    let Some(Json::Array(_)) = json.get("symbols") else {
        return Err(format!("Enum has no symbols: {}", shown(json)));
    };
    let symbols = texts(json, "symbols")?;
    let mut seen = std::collections::HashSet::new();
    for symbol in &symbols {
        validate(symbol)?;
        if !seen.insert(symbol) {
            return Err(format!("Duplicate enum symbol: {symbol}"));
        }
    }
    let default = json.get("default").and_then(Json::as_str).map(str::to_owned);
    if let Some(default) = &default
        && !symbols.contains(default)
    {
        let symbols = symbols.join(", ");
        return Err(format!("The Enum Default: {default} is not in the enum symbol set: [{symbols}]"));
    }
    Ok(NamedKind::Enum { symbols, default })
}

fn fixed(json: &Json) -> Result<NamedKind, String> {
    let size = json.get("size").and_then(Json::as_i64).and_then(|size| u32::try_from(size).ok());
    let size = size.filter(|size| i32::try_from(*size).is_ok());
    Ok(NamedKind::Fixed { size: size.ok_or_else(|| format!("Invalid or no size: {}", shown(json)))? })
}

fn properties(json: &Json, reserved: &[&str]) -> Members {
    json.members().iter().filter(|(name, _)| !reserved.contains(&name.as_str())).cloned().collect()
}

fn texts(json: &Json, name: &str) -> Result<Vec<String>, String> {
    match json.get(name) {
        None => Ok(Vec::new()),
        Some(list @ Json::Array(_)) => {
            let texts = list.elements().iter().map(|text| text.as_str().map(str::to_owned));
            texts
                .collect::<Option<_>>()
                .ok_or_else(|| format!("{name}: strings are expected: {}", shown(list)))
        }
        Some(other) => Err(format!("{name}: an array is expected: {}", shown(other))),
    }
}

fn qualified(name: &str, space: &str) -> Name {
    match name.rsplit_once('.') {
        Some((space, short)) => Name { space: space.to_owned(), short: short.to_owned() },
        None => Name { space: space.to_owned(), short: name.to_owned() },
    }
}

fn validate(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    let Some(first) = letters.next() else { return Err("Empty name".to_owned()) };
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err(format!("Illegal initial character: {name}"));
    }
    if !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(format!("Illegal character in: {name}"));
    }
    Ok(())
}

/// A piece of the text, for messages.
fn shown(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
