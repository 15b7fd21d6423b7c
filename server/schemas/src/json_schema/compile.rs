//! From a text to the table of nodes.
//!
//! A node is made for each place that is reached from the root, by containment or by `$ref`, once. `$ref` is
//! looked up by the URI that it gives together with the `$id` around it.

use std::collections::HashMap;
use std::rc::Rc;

use super::check::Matcher;
use super::{
    ArrayRules, Conditional, Criterion, JsonSchema, Kind, Node, NodeId, NumberRules, ObjectRules, Rest,
    StringRules,
};
use crate::json::{ByName, Json};
use crate::limits::Referred;

/// Nodes of one schema with all that it refers to.
const NODES_MAX: usize = 200_000;
/// Bytes of a URI that is taken for one.
const URI_BYTES_MAX: usize = 2_000;
/// Bytes of all URIs that a schema and what it refers to have: each `$id` is short, and whole below others.
const URIS_BYTES_MAX: usize = 16 << 20;
/// Where the published meta-schemas are.
const META: [&str; 2] = ["http://json-schema.org/", "https://json-schema.org/"];

const OF_OBJECTS: [&str; 11] = [
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
];
const OF_ARRAYS: [&str; 10] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
];
const OF_STRINGS: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const OF_NUMBERS: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];

impl JsonSchema {
    /// Reads a schema whose `$ref`s may lead to what is referred to.
    pub fn parse(text: &str, referred: &[Referred]) -> Result<JsonSchema, String> {
        let json = Json::parse(text.as_bytes()).map_err(|error| format!("the text is no JSON: {error}"))?;
        let mut others = Vec::with_capacity(referred.len());
        for other in referred {
            let json = Json::parse(other.text.as_bytes())
                .map_err(|error| format!("reference {} is no JSON: {error}", other.name))?;
            others.push((other.name.as_str(), json));
        }
        let mut compiler = Compiler {
            places: HashMap::new(),
            by_uri: HashMap::new(),
            uris_bytes: 0,
            nodes: Vec::new(),
            patterns: 0,
        };
        let base = compiler.register("", &json, 0)?;
        for (at, (name, other)) in others.iter().enumerate() {
            let uri = joined(&base, name);
            compiler.call(&uri, Place { json: other, base: at + 1 })?;
            compiler.register(&uri, other, at + 1)?;
        }
        let bases = std::iter::once(base.clone()).chain(others.iter().map(|(name, other)| {
            let around: Rc<str> = joined(&base, name).into();
            within(&around, other)
        }));
        let roots = std::iter::once(&json).chain(others.iter().map(|(_, other)| other)).collect();
        let mut compiler =
            Bound { bases: bases.collect(), roots, compiler, left: Vec::new(), indexes: HashMap::new() };
        let root = compiler.node(&json, 0, &base)?;
        while let Some(left) = compiler.left.pop() {
            compiler.fill(left)?;
        }
        let Compiler { mut nodes, patterns, .. } = compiler.compiler;
        shorten(&mut nodes);
        Ok(JsonSchema { json, nodes, root, patterns })
    }
}

/// A schema in one of the texts: the text's number, and where.
#[derive(Clone, Copy)]
struct Place<'a> {
    json: &'a Json,
    base: usize,
}

struct Compiler<'a> {
    /// Nodes by the place of their JSON in memory, which stays where it is.
    places: HashMap<*const Json, NodeId>,
    by_uri: HashMap<Rc<str>, Place<'a>>,
    /// Bytes of these URIs.
    uris_bytes: usize,
    nodes: Vec<Node>,
    patterns: usize,
}

/// The same, once all that can be called is known.
struct Bound<'a> {
    compiler: Compiler<'a>,
    /// The URI of each text.
    bases: Vec<Rc<str>>,
    roots: Vec<&'a Json>,
    /// What `$ref` leads to and is not read yet: a chain of references is no nesting.
    left: Vec<Left<'a>>,
    /// The members of objects that pointers have led through.
    indexes: HashMap<*const Json, ByName<'a>>,
}

struct Left<'a> {
    id: NodeId,
    json: &'a Json,
    text: usize,
    base: Rc<str>,
}

impl<'a> Compiler<'a> {
    /// Notes what `$id` and `$anchor` call, everywhere in a text; answers the URI of the whole.
    fn register(&mut self, around: &str, json: &'a Json, text: usize) -> Result<Rc<str>, String> {
        let whole = within(&around.into(), json);
        self.call(&whole, Place { json, base: text })?;
        let mut left = vec![(json, whole.clone())];
        while let Some((json, around)) = left.pop() {
            let base = within(&around, json);
            let place = Place { json, base: text };
            if own_id(json).is_some() {
                self.call(&base, place)?;
            }
            for keyword in ["$anchor", "$dynamicAnchor"] {
                if let Some(anchor) = json.get(keyword).and_then(Json::as_str) {
                    self.call(&format!("{base}#{anchor}"), place)?;
                }
            }
            if let Some(anchor) = id_of(json).filter(|id| id.starts_with('#') && id.len() > 1) {
                self.call(&format!("{base}{anchor}"), place)?;
            }
            let members = json.members().iter().filter(|(name, _)| name != "enum" && name != "const");
            left.extend(members.map(|(_, value)| (value, base.clone())));
            left.extend(json.elements().iter().map(|value| (value, base.clone())));
        }
        Ok(whole)
    }

    /// Notes what a URI calls; the first that it calls counts.
    fn call(&mut self, uri: &str, place: Place<'a>) -> Result<(), String> {
        if self.by_uri.contains_key(uri) {
            return Ok(());
        }
        self.uris_bytes += uri.len();
        if self.uris_bytes > URIS_BYTES_MAX {
            return Err(format!("all $id and $anchor have more than {URIS_BYTES_MAX} bytes as whole URIs"));
        }
        self.by_uri.insert(uri.into(), place);
        Ok(())
    }
}

impl<'a> Bound<'a> {
    fn node(&mut self, json: &'a Json, text: usize, base: &Rc<str>) -> Result<NodeId, String> {
        let (id, is_new) = self.reserve(json)?;
        if is_new {
            self.fill(Left { id, json, text, base: base.clone() })?;
        }
        Ok(id)
    }

    /// The node of a place, to be filled where it is new.
    fn reserve(&mut self, json: &'a Json) -> Result<(NodeId, bool), String> {
        let place = std::ptr::from_ref(json);
        if let Some(id) = self.compiler.places.get(&place) {
            return Ok((*id, false));
        }
        if self.compiler.nodes.len() >= NODES_MAX {
            return Err(format!("the schema has more than {NODES_MAX} parts"));
        }
        let id = self.add(Kind::Pending);
        self.compiler.places.insert(place, id);
        Ok((id, true))
    }

    fn fill(&mut self, Left { id, json, text, base }: Left<'a>) -> Result<(), String> {
        let base = within(&base, json);
        let kind = match json {
            Json::Bool(true) => Kind::Any,
            Json::Bool(false) => Kind::Nothing,
            Json::Object(_) => self.object(json, text, &base)?,
            other => return Err(format!("a schema is an object or a boolean, not {other}")),
        };
        self.compiler.nodes[id] = Node {
            kind,
            has_default: json.get("default").is_some(),
            is_connect_bytes: json.get("connect.type").and_then(Json::as_str) == Some("bytes"),
        };
        Ok(())
    }

    fn add(&mut self, kind: Kind) -> NodeId {
        self.compiler.nodes.push(Node { kind, has_default: false, is_connect_bytes: false });
        self.compiler.nodes.len() - 1
    }

    fn object(&mut self, json: &'a Json, text: usize, base: &Rc<str>) -> Result<Kind, String> {
        let mut kinds = Vec::new();
        if let Some(reference) = json.get("$ref").or_else(|| json.get("$dynamicRef")) {
            let Some(reference) = reference.as_str() else {
                return Err(format!("$ref: {reference} is no URI"));
            };
            kinds.push(Kind::Reference(self.reference(reference, base)?));
            if !self.is_modern(text, json) {
                // Up to draft 7, what stands beside a reference says nothing.
                return Ok(kinds.remove(0));
            }
        }
        if let Some(values) = json.get("enum") {
            let Json::Array(values) = values else { return Err("enum: an array is expected".to_owned()) };
            kinds.push(Kind::Enum(values.clone()));
        }
        for criterion in [Criterion::All, Criterion::Any, Criterion::One] {
            let Some(list) = json.get(criterion.keyword()) else { continue };
            let Json::Array(list) = list else {
                return Err(format!("{}: an array is expected", criterion.keyword()));
            };
            let parts = list.iter().map(|part| self.node(part, text, base)).collect::<Result<_, _>>()?;
            kinds.push(Kind::Combined(criterion, parts));
        }
        if let Some(not) = json.get("not") {
            kinds.push(Kind::Not(self.node(not, text, base)?));
        }
        if let Some(value) = json.get("const") {
            kinds.push(Kind::Const(value.clone()));
        }
        self.types(json, text, base, &mut kinds)?;
        if let Some(when) = self.optional(json, "if", text, base)? {
            let then = self.optional(json, "then", text, base)?;
            let otherwise = self.optional(json, "else", text, base)?;
            kinds.push(Kind::Conditional(Conditional { when, then, otherwise }));
        }
        Ok(match kinds.len() {
            0 => Kind::Any,
            1 => kinds.remove(0),
            _ => Kind::Combined(Criterion::All, kinds.into_iter().map(|kind| self.add(kind)).collect()),
        })
    }

    fn types(
        &mut self,
        json: &'a Json,
        text: usize,
        base: &Rc<str>,
        kinds: &mut Vec<Kind>,
    ) -> Result<(), String> {
        match json.get("type") {
            None => {
                for (keywords, kind) in [
                    (&OF_OBJECTS[..], "object"),
                    (&OF_ARRAYS, "array"),
                    (&OF_NUMBERS, "number"),
                    (&OF_STRINGS, "string"),
                ] {
                    if keywords.iter().any(|keyword| json.get(keyword).is_some()) {
                        kinds.push(self.of_type(kind, json, text, base)?.loose());
                    }
                }
            }
            Some(Json::String(kind)) => kinds.push(self.of_type(kind, json, text, base)?),
            Some(Json::Array(names)) => {
                let (mut parts, mut seen) = (Vec::new(), Vec::new());
                for name in names {
                    let Some(name) = name.as_str() else { return Err(format!("type: {name} is no name")) };
                    // Each has all rules of its kind: once is enough.
                    if seen.contains(&name) {
                        continue;
                    }
                    seen.push(name);
                    let kind = self.of_type(name, json, text, base)?;
                    parts.push(self.add(kind));
                }
                kinds.push(Kind::Combined(Criterion::Any, parts));
            }
            Some(other) => return Err(format!("type: {other} is neither a name nor an array")),
        }
        Ok(())
    }

    fn of_type(&mut self, name: &str, json: &'a Json, text: usize, base: &Rc<str>) -> Result<Kind, String> {
        Ok(match name {
            "null" => Kind::Null,
            "boolean" => Kind::Boolean,
            "string" => Kind::String(Box::new(StringRules {
                is_loose: false,
                matcher: match json.get("pattern") {
                    Some(_) => Matcher::next(&mut self.compiler.patterns),
                    None => Matcher::default(),
                },
                length_max: whole(json, "maxLength")?,
                length_min: whole(json, "minLength")?,
                pattern: json.get("pattern").and_then(Json::as_str).map(str::to_owned),
            })),
            "number" | "integer" => Kind::Number(Box::new(NumberRules {
                is_loose: false,
                is_integer: name == "integer",
                maximum: number(json, "maximum")?,
                minimum: number(json, "minimum")?,
                // In draft 4 they are booleans, and say how the other keyword is meant.
                below: json.get("exclusiveMaximum").and_then(Json::as_f64),
                above: json.get("exclusiveMinimum").and_then(Json::as_f64),
                multiple_of: number(json, "multipleOf")?,
            })),
            "object" => Kind::Object(Box::new(self.object_rules(json, text, base)?)),
            "array" => Kind::Array(Box::new(self.array_rules(json, text, base)?)),
            other => return Err(format!("unknown type: [{other}]")),
        })
    }

    fn object_rules(&mut self, json: &'a Json, text: usize, base: &Rc<str>) -> Result<ObjectRules, String> {
        let mut rules = ObjectRules {
            properties: self.by_name(json, "properties", text, base)?,
            patterns: self.by_name(json, "patternProperties", text, base)?,
            implies: self.by_name(json, "dependentSchemas", text, base)?,
            others: self.rest(json, "additionalProperties", text, base)?,
            unevaluated: self.optional(json, "unevaluatedProperties", text, base)?,
            properties_max: whole(json, "maxProperties")?,
            properties_min: whole(json, "minProperties")?,
            ..ObjectRules::default()
        };
        // In draft 3 and 4 `required` may be a boolean, of the property itself.
        let required = json.get("required").map_or(&[][..], Json::elements);
        rules.required = required.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        for keyword in ["dependencies", "dependentRequired"] {
            for (name, needs) in json.get(keyword).map_or(&[][..], Json::members) {
                match needs {
                    Json::Array(names) => {
                        let names = names.iter().filter_map(Json::as_str).map(str::to_owned).collect();
                        rules.needs.push((name.clone(), names));
                    }
                    schema => {
                        let node = self.node(schema, text, base)?;
                        rules.implies.push((name.clone(), node));
                    }
                }
            }
        }
        rules.names = self.optional(json, "propertyNames", text, base)?;
        rules.matchers = rules.patterns.iter().map(|_| Matcher::next(&mut self.compiler.patterns)).collect();
        Ok(rules)
    }

    fn array_rules(&mut self, json: &'a Json, text: usize, base: &Rc<str>) -> Result<ArrayRules, String> {
        let mut rules = ArrayRules {
            unevaluated: self.optional(json, "unevaluatedItems", text, base)?,
            items_max: whole(json, "maxItems")?,
            items_min: whole(json, "minItems")?,
            contains_max: whole(json, "maxContains")?,
            contains_min: whole(json, "minContains")?,
            is_unique: json.get("uniqueItems").and_then(Json::as_bool).unwrap_or(false),
            ..ArrayRules::default()
        };
        let mut each = |list: &'a [Json]| {
            list.iter().map(|item| self.node(item, text, base)).collect::<Result<Vec<_>, _>>()
        };
        match (json.get("prefixItems"), json.get("items")) {
            (Some(first), _) => {
                rules.each = each(first.elements())?;
                rules.others = self.rest(json, "items", text, base)?;
            }
            (None, Some(Json::Array(list))) => {
                rules.each = each(list)?;
                rules.others = self.rest(json, "additionalItems", text, base)?;
            }
            (None, Some(_)) => rules.all = self.optional(json, "items", text, base)?,
            (None, None) => rules.others = self.rest(json, "additionalItems", text, base)?,
        }
        rules.contains = self.optional(json, "contains", text, base)?;
        Ok(rules)
    }

    fn by_name(
        &mut self,
        json: &'a Json,
        keyword: &str,
        text: usize,
        base: &Rc<str>,
    ) -> Result<Vec<(String, NodeId)>, String> {
        match json.get(keyword) {
            None => Ok(Vec::new()),
            Some(Json::Object(members)) => {
                let node =
                    |(name, value): &'a (String, Json)| Ok((name.clone(), self.node(value, text, base)?));
                members.iter().map(node).collect()
            }
            Some(_) => Err(format!("{keyword}: an object is expected")),
        }
    }

    fn optional(
        &mut self,
        json: &'a Json,
        keyword: &str,
        text: usize,
        base: &Rc<str>,
    ) -> Result<Option<NodeId>, String> {
        json.get(keyword).map(|part| self.node(part, text, base)).transpose()
    }

    fn rest(&mut self, json: &'a Json, keyword: &str, text: usize, base: &Rc<str>) -> Result<Rest, String> {
        Ok(match json.get(keyword) {
            None | Some(Json::Bool(true)) => Rest::Permitted,
            Some(Json::Bool(false)) => Rest::Refused,
            Some(part) => Rest::Of(self.node(part, text, base)?),
        })
    }

    /// The node that a `$ref` leads to.
    fn reference(&mut self, reference: &str, base: &str) -> Result<NodeId, String> {
        let whole = joined(base, reference);
        let unresolved = || format!("Unresolved $ref '{reference}'");
        if let Some(place) = self.compiler.by_uri.get(whole.trim_end_matches('#')).copied() {
            let base = self.base_of(place, &whole);
            return self.later(place, base);
        }
        let (uri, fragment) = whole.split_once('#').unwrap_or((&whole, ""));
        let Some(mut place) = self.compiler.by_uri.get(uri).copied() else {
            if META.iter().any(|meta| uri.starts_with(meta)) {
                return Ok(self.add(Kind::Any));
            }
            return Err(unresolved());
        };
        if let Some(anchor) = self.compiler.by_uri.get(format!("{uri}#{fragment}").as_str()).copied() {
            let base = self.known(uri);
            return self.later(anchor, base);
        }
        for step in fragment.split('/').skip(1) {
            let step = unescaped(step);
            place.json = match place.json {
                Json::Array(elements) => step.parse::<usize>().ok().and_then(|at| elements.get(at)),
                other => self.indexes.entry(other).or_insert_with(|| ByName::of(other.members())).get(&step),
            }
            .ok_or_else(unresolved)?;
        }
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return Err(unresolved());
        }
        let base = self.known(uri);
        self.later(place, base)
    }

    fn later(&mut self, place: Place<'a>, base: Rc<str>) -> Result<NodeId, String> {
        let (id, is_new) = self.reserve(place.json)?;
        if is_new {
            self.left.push(Left { id, json: place.json, text: place.base, base });
        }
        Ok(id)
    }

    /// A URI once in memory, however often it is meant.
    fn known(&self, uri: &str) -> Rc<str> {
        self.compiler.by_uri.get_key_value(uri).map_or_else(|| uri.into(), |(known, _)| known.clone())
    }

    fn base_of(&self, place: Place<'_>, whole: &str) -> Rc<str> {
        let uri = whole.split('#').next().unwrap_or_default();
        if uri.is_empty() { self.bases[place.base].clone() } else { self.known(uri) }
    }

    /// Whether `$ref` may have company: from the drafts of 2019 on, or where only such keywords are used.
    fn is_modern(&self, text: usize, json: &Json) -> bool {
        let schema = json.get("$schema").or_else(|| self.roots[text].get("$schema"));
        schema.and_then(Json::as_str).is_some_and(|uri| uri.contains("2019-09") || uri.contains("2020-12"))
    }
}

impl Kind {
    /// The same of keywords without a type, which mean values of theirs alone.
    fn loose(mut self) -> Kind {
        match &mut self {
            Kind::String(rules) => rules.is_loose = true,
            Kind::Number(rules) => rules.is_loose = true,
            Kind::Object(rules) => rules.is_loose = true,
            Kind::Array(rules) => rules.is_loose = true,
            _ => {}
        }
        self
    }
}

/// Makes every reference lead to its end; one that only leads to references takes anything.
fn shorten(nodes: &mut [Node]) {
    for start in 0..nodes.len() {
        let (mut way, mut at) = (Vec::new(), start);
        while let Kind::Reference(to) = nodes[at].kind {
            // An end that was found before is one step away; a longer way comes back to itself.
            if way.len() > nodes.len() || way.first() == Some(&to) || at == to {
                way.push(at);
                way.iter().for_each(|id: &NodeId| nodes[*id].kind = Kind::Any);
                way.clear();
                break;
            }
            way.push(at);
            at = to;
        }
        way.into_iter().for_each(|id| nodes[id].kind = Kind::Reference(at));
    }
}

fn id_of(json: &Json) -> Option<&str> {
    json.get("$id").or_else(|| json.get("id")).and_then(Json::as_str)
}

/// The URI that a schema gives itself, unless it is an anchor.
fn own_id(json: &Json) -> Option<&str> {
    let id = id_of(json).map(|id| id.trim_end_matches('#'));
    id.filter(|id| !id.is_empty() && !id.starts_with('#') && id.len() <= URI_BYTES_MAX)
}

/// The URI of a schema below another. One that grows too long below others is none.
fn within(around: &Rc<str>, json: &Json) -> Rc<str> {
    let own = own_id(json).map(|id| joined(around, id)).filter(|uri| uri.len() <= URI_BYTES_MAX);
    own.map_or_else(|| around.clone(), Into::into)
}

/// A URI as it is meant beside another: the last part of the path is replaced, or the fragment is added.
fn joined(base: &str, uri: &str) -> String {
    let base = base.split('#').next().unwrap_or_default();
    if uri.is_empty() {
        return base.to_owned();
    }
    if uri.starts_with('#') {
        return format!("{base}{uri}");
    }
    let has_scheme = uri.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
    if has_scheme {
        return uri.to_owned();
    }
    let after_host =
        base.find("://").map_or(0, |at| base[at + 3..].find('/').map_or(base.len(), |to| at + 3 + to));
    if let Some(path) = uri.strip_prefix('/') {
        return format!("{}/{path}", &base[..after_host]);
    }
    let uri = uri.strip_prefix("./").unwrap_or(uri);
    match base.rfind('/').filter(|at| *at >= after_host) {
        Some(at) => format!("{}/{uri}", &base[..at]),
        None => uri.to_owned(),
    }
}

/// A step of a pointer, as it is meant.
fn unescaped(step: &str) -> String {
    let mut bytes = Vec::with_capacity(step.len());
    let mut rest = step.as_bytes();
    while let [byte, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if *byte == b'%' => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).replace("~1", "/").replace("~0", "~")
}

fn whole(json: &Json, keyword: &str) -> Result<Option<i64>, String> {
    let Some(value) = json.get(keyword) else { return Ok(None) };
    let number = value
        .as_i64()
        .or_else(|| value.as_f64().filter(|value| value.fract() == 0.0).map(|value| value as i64));
    number.map(Some).ok_or_else(|| format!("{keyword}: {value} is no whole number"))
}

fn number(json: &Json, keyword: &str) -> Result<Option<f64>, String> {
    let Some(value) = json.get(keyword) else { return Ok(None) };
    value.as_f64().map(Some).ok_or_else(|| format!("{keyword}: {value} is no number"))
}
