//! JSON Schema: what a schema says, its texts, and what data of one is data of another.
//!
//! A schema is read into a table of nodes, each of one kind, as the validator that Confluent's registry uses
//! sees it: keywords of several kinds in one object are all of them at once. Annotations and formats are kept
//! in the text and compared with nothing. Nothing is ever fetched: a `$ref` leads into the text itself, into
//! one of its references, or to a published meta-schema, which takes anything here.

mod check;
mod compile;
mod difference;
mod objects;

#[cfg(test)]
mod tests;

use self::check::Matcher;
use crate::json::Json;

/// A schema of JSON Schema.
#[derive(Clone, Debug)]
pub struct JsonSchema {
    json: Json,
    nodes: Vec<Node>,
    root: NodeId,
    /// How many patterns it has.
    patterns: usize,
}

type NodeId = usize;

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    has_default: bool,
    /// Of Connect's converter, which has written decimals as strings and as numbers.
    is_connect_bytes: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Not compiled yet, while what it refers to is.
    Pending,
    /// Takes anything.
    Any,
    /// Takes nothing.
    Nothing,
    Null,
    Boolean,
    String(Box<StringRules>),
    Number(Box<NumberRules>),
    Object(Box<ObjectRules>),
    Array(Box<ArrayRules>),
    Enum(Vec<Json>),
    Const(Json),
    Combined(Criterion, Vec<NodeId>),
    Not(NodeId),
    /// Another node, which is no reference.
    Reference(NodeId),
    /// `if` with `then` and `else`.
    Conditional(Conditional),
}

#[derive(Clone, Copy, Debug)]
struct Conditional {
    when: NodeId,
    then: Option<NodeId>,
    otherwise: Option<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Criterion {
    All,
    Any,
    One,
}

impl Criterion {
    fn keyword(self) -> &'static str {
        match self {
            Criterion::All => "allOf",
            Criterion::Any => "anyOf",
            Criterion::One => "oneOf",
        }
    }
}

#[derive(Clone, Debug, Default)]
struct StringRules {
    /// What is no string is not meant.
    is_loose: bool,
    length_max: Option<i64>,
    length_min: Option<i64>,
    pattern: Option<String>,
    matcher: Matcher,
}

#[derive(Clone, Debug, Default)]
struct NumberRules {
    is_loose: bool,
    is_integer: bool,
    maximum: Option<f64>,
    minimum: Option<f64>,
    below: Option<f64>,
    above: Option<f64>,
    multiple_of: Option<f64>,
}

#[derive(Clone, Debug, Default)]
struct ObjectRules {
    is_loose: bool,
    properties: Vec<(String, NodeId)>,
    required: Vec<String>,
    patterns: Vec<(String, NodeId)>,
    /// One for each of the patterns.
    matchers: Vec<Matcher>,
    /// What each name is held against.
    names: Option<NodeId>,
    others: Rest,
    /// What is left over after all other keywords; absent is anything.
    unevaluated: Option<NodeId>,
    properties_max: Option<i64>,
    properties_min: Option<i64>,
    needs: Vec<(String, Vec<String>)>,
    implies: Vec<(String, NodeId)>,
}

#[derive(Clone, Debug, Default)]
struct ArrayRules {
    is_loose: bool,
    all: Option<NodeId>,
    each: Vec<NodeId>,
    others: Rest,
    unevaluated: Option<NodeId>,
    items_max: Option<i64>,
    items_min: Option<i64>,
    contains: Option<NodeId>,
    contains_max: Option<i64>,
    contains_min: Option<i64>,
    is_unique: bool,
}

/// What becomes of members, or elements, that nothing else speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    Permitted,
    Refused,
    Of(NodeId),
}

impl JsonSchema {
    /// The text that is stored: without blanks, in its own order.
    pub fn canonical(&self) -> String {
        self.json.to_string()
    }

    /// The text with all members in the order of their names.
    pub fn normalized(&self) -> String {
        self.json.sorted().to_string()
    }

    /// About how much memory it takes beside its text when values are held against it.
    pub(crate) fn weight_of_patterns(&self) -> usize {
        Matcher::weight(self.patterns)
    }

    /// Whether the object at the root has this property.
    pub(crate) fn has_property(&self, name: &str) -> bool {
        match &self.nodes[self.root].kind {
            Kind::Object(rules) => rules.properties.iter().any(|(property, _)| property == name),
            _ => false,
        }
    }
}
