//! Whether a schema describes a value. Formats are annotations, and `unevaluated...` is not looked at.

use std::collections::HashSet;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use super::{ArrayRules, Criterion, JsonSchema, Kind, NodeId, NumberRules, ObjectRules, Rest, StringRules};
use crate::encoding::Misfit;
use crate::json::{ByName, Json};
use crate::limits::{Budget, TooComplex};

/// How far schemas lead to others for one value.
const DEPTH_MAX: usize = 400;

/// How far a number may be from a multiple: neither is exact as a double.
const ROUNDING: f64 = 1e-9;

/// What is said of a value that cannot be held against the schema.
const WORDS: &str = "to hold it against the schema takes more steps than a request may have";

/// Steps of one comparison of a value, at most: each byte of the longest value is one at most.
const VALUE_STEPS_MAX: usize = 1 << 22;

/// Bytes of a text that are held against a pattern in one step.
const BYTES_PER_STEP: usize = 32;

impl JsonSchema {
    /// Holds a value against the schema.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub(crate) fn check(&self, value: &Json, budget: &mut Budget) -> Result<(), Misfit> {
        let mut check = Check { schema: self, budget, depth: 0 };
        match check.node(self.root, value) {
            Ok(()) => Ok(()),
            Err(Failure::Misfit(misfit)) => Err(misfit),
            Err(Failure::TooComplex) => Err(Misfit::new(WORDS.to_owned())),
        }
    }
}

/// Bytes of an expression when it is built, and of what it keeps while it searches.
const EXPRESSION_BYTES_MAX: usize = 1 << 17;

/// Bytes of a pattern that is looked at: what it is on the way to an expression is many times as large.
const PATTERN_BYTES_MAX: usize = 4 << 10;

/// Expressions of one schema that are looked at.
const EXPRESSIONS_MAX: usize = 64;

/// The expression of a pattern, built when it is first needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Matcher {
    is_looked_at: bool,
    built: OnceLock<Option<Regex>>,
}

impl Matcher {
    /// The next one of a schema, of which there are so many already.
    pub(super) fn next(count: &mut usize) -> Matcher {
        *count += 1;
        Matcher { is_looked_at: *count <= EXPRESSIONS_MAX, built: OnceLock::new() }
    }

    /// About how much memory so many of them take.
    pub(super) fn weight(count: usize) -> usize {
        count.min(EXPRESSIONS_MAX) * 2 * EXPRESSION_BYTES_MAX
    }

    /// Whether the pattern is found in a text; `None` for one that is not understood, or too large.
    fn find(&self, pattern: &str, text: &str) -> Option<bool> {
        let build = || {
            if pattern.len() > PATTERN_BYTES_MAX {
                return None;
            }
            let mut builder = RegexBuilder::new(pattern);
            builder.size_limit(EXPRESSION_BYTES_MAX).dfa_size_limit(EXPRESSION_BYTES_MAX).build().ok()
        };
        let expression = self.is_looked_at.then(|| self.built.get_or_init(build).as_ref()).flatten();
        expression.map(|expression| expression.is_match(text))
    }
}

enum Failure {
    Misfit(Misfit),
    TooComplex,
}

impl From<TooComplex> for Failure {
    fn from(_: TooComplex) -> Failure {
        Failure::TooComplex
    }
}

impl Failure {
    fn map(self, place: impl FnOnce(Misfit) -> Misfit) -> Failure {
        match self {
            Failure::Misfit(misfit) => Failure::Misfit(place(misfit)),
            Failure::TooComplex => Failure::TooComplex,
        }
    }
}

type Checked = Result<(), Failure>;

fn misfit(why: impl Into<String>) -> Checked {
    Err(Failure::Misfit(Misfit::new(why.into())))
}

fn expected(kind: &str, value: &Json) -> Checked {
    Err(Failure::Misfit(Misfit::expected(kind, value)))
}

struct Check<'a> {
    schema: &'a JsonSchema,
    budget: &'a mut Budget,
    depth: usize,
}

impl<'a> Check<'a> {
    fn node(&mut self, node: NodeId, value: &Json) -> Checked {
        self.budget.spend(1)?;
        if self.depth >= DEPTH_MAX {
            return Err(Failure::TooComplex);
        }
        self.depth += 1;
        let schema: &'a JsonSchema = self.schema;
        let checked = self.kind(&schema.nodes[node].kind, value);
        self.depth -= 1;
        checked
    }

    /// Whether it fits, where that it does not is no failure.
    fn fits(&mut self, node: NodeId, value: &Json) -> Result<bool, Failure> {
        match self.node(node, value) {
            Ok(()) => Ok(true),
            Err(Failure::Misfit(_)) => Ok(false),
            Err(Failure::TooComplex) => Err(Failure::TooComplex),
        }
    }

    fn kind(&mut self, kind: &'a Kind, value: &Json) -> Checked {
        match (kind, value) {
            (Kind::Pending | Kind::Any, _) | (Kind::Null, Json::Null) | (Kind::Boolean, Json::Bool(_)) => {
                Ok(())
            }
            (Kind::Nothing, _) => misfit("nothing is allowed here"),
            (Kind::Null, _) => expected("null", value),
            (Kind::Boolean, _) => expected("a boolean", value),
            (Kind::String(rules), Json::String(text)) => string(rules, text, self.budget),
            (Kind::String(rules), _) if !rules.is_loose => expected("a string", value),
            (Kind::Number(rules), Json::Number(_)) => number(rules, value),
            (Kind::Number(rules), _) if !rules.is_loose => expected("a number", value),
            (Kind::Object(rules), Json::Object(members)) => self.object(rules, members, value),
            (Kind::Object(rules), _) if !rules.is_loose => expected("an object", value),
            (Kind::Array(rules), Json::Array(elements)) => self.array(rules, elements),
            (Kind::Array(rules), _) if !rules.is_loose => expected("an array", value),
            (Kind::String(_) | Kind::Number(_) | Kind::Object(_) | Kind::Array(_), _) => Ok(()),
            (Kind::Enum(values), _) => {
                self.spend_for(values, value)?;
                match values.iter().any(|allowed| allowed.means(value)) {
                    true => Ok(()),
                    false => misfit("it is none of the values of enum"),
                }
            }
            (Kind::Const(only), _) => {
                self.spend_for(std::slice::from_ref(only), value)?;
                match only.means(value) {
                    true => Ok(()),
                    false => misfit("it is not the value of const"),
                }
            }
            (Kind::Combined(criterion, parts), _) => self.combined(*criterion, parts, value),
            (Kind::Not(node), _) => match self.fits(*node, value)? {
                true => misfit("it is what not excludes"),
                false => Ok(()),
            },
            (Kind::Reference(node), _) => self.node(*node, value),
            (Kind::Conditional(parts), _) => {
                let next = if self.fits(parts.when, value)? { parts.then } else { parts.otherwise };
                next.map_or(Ok(()), |node| self.node(node, value))
            }
        }
    }

    /// Spends what it takes to compare a value with each of these.
    fn spend_for(&mut self, values: &[Json], value: &Json) -> Result<(), TooComplex> {
        // Of a schema and a value no more can be compared than one of both has.
        self.budget.spend(values.len())?;
        match value {
            Json::Array(_) | Json::Object(_) | Json::String(_) => {
                let most = value.steps(VALUE_STEPS_MAX);
                let steps = |allowed: &Json| allowed.steps(most);
                values.iter().try_for_each(|allowed| self.budget.spend(steps(allowed)))
            }
            _ => Ok(()),
        }
    }

    fn combined(&mut self, criterion: Criterion, parts: &[NodeId], value: &Json) -> Checked {
        match criterion {
            Criterion::All => parts.iter().try_for_each(|part| self.node(*part, value)),
            Criterion::Any | Criterion::One => {
                let mut fitting = 0;
                let mut first = None;
                for part in parts {
                    match self.node(*part, value) {
                        Ok(()) => fitting += 1,
                        Err(Failure::Misfit(misfit)) => first = first.or(Some(misfit)),
                        Err(Failure::TooComplex) => return Err(Failure::TooComplex),
                    }
                    if criterion == Criterion::Any && fitting > 0 {
                        return Ok(());
                    }
                }
                match (fitting, first) {
                    (1, _) => Ok(()),
                    (0, Some(misfit)) if parts.len() == 1 => Err(Failure::Misfit(misfit)),
                    (0, _) => misfit(format!("it fits none of {}", criterion.keyword())),
                    (count, _) => misfit(format!("it fits {count} of oneOf")),
                }
            }
        }
    }

    fn object(&mut self, rules: &'a ObjectRules, members: &[(String, Json)], object: &Json) -> Checked {
        in_range("properties", members.len(), rules.properties_min, rules.properties_max)?;
        if !(rules.required.is_empty() && rules.needs.is_empty() && rules.implies.is_empty()) {
            self.demands(rules, members, object)?;
        }
        for (at, (name, value)) in members.iter().enumerate() {
            if let Some(names) = rules.names {
                self.node(names, &Json::String(name.clone()))
                    .map_err(|why| why.map(|why| why.below(name)))?;
            }
            let mut is_named = false;
            // Most values have their members in the order of the schema.
            let known = rules.properties.get(at).filter(|(known, _)| known == name);
            let known = known.or_else(|| rules.properties.iter().find(|(known, _)| known == name));
            self.budget.spend(rules.properties.len() / 16)?;
            if let Some((_, node)) = known {
                is_named = true;
                self.node(*node, value).map_err(|why| why.map(|why| why.below(name)))?;
            }
            for ((pattern, node), matcher) in rules.patterns.iter().zip(&rules.matchers) {
                self.budget.spend(1 + name.len() / BYTES_PER_STEP)?;
                match matcher.find(pattern, name) {
                    Some(true) => {
                        is_named = true;
                        self.node(*node, value).map_err(|why| why.map(|why| why.below(name)))?;
                    }
                    Some(false) => {}
                    // It may be meant.
                    None => is_named = true,
                }
            }
            match rules.others {
                _ if is_named => {}
                Rest::Permitted => {}
                Rest::Refused => return misfit(format!("there is no property {name}")),
                Rest::Of(node) => self.node(node, value).map_err(|why| why.map(|why| why.below(name)))?,
            }
        }
        Ok(())
    }

    /// What has to be there, always or because something else is.
    fn demands(&mut self, rules: &'a ObjectRules, members: &[(String, Json)], object: &Json) -> Checked {
        self.budget.spend(members.len() + rules.required.len() + rules.needs.len() + rules.implies.len())?;
        let found = ByName::of(members);
        if let Some(name) = rules.required.iter().find(|name| found.get(name).is_none()) {
            return misfit(format!("the property {name} is missing"));
        }
        for (name, needs) in rules.needs.iter().filter(|(name, _)| found.get(name).is_some()) {
            self.budget.spend(needs.len())?;
            if let Some(needed) = needs.iter().find(|needed| found.get(needed).is_none()) {
                return misfit(format!("the property {needed} is missing, which {name} needs"));
            }
        }
        for (_, node) in rules.implies.iter().filter(|(name, _)| found.get(name).is_some()) {
            self.node(*node, object)?;
        }
        Ok(())
    }

    fn array(&mut self, rules: &'a ArrayRules, elements: &[Json]) -> Checked {
        in_range("elements", elements.len(), rules.items_min, rules.items_max)?;
        for (at, element) in elements.iter().enumerate() {
            let node = match (rules.all, rules.each.get(at), rules.others) {
                (Some(node), _, _) | (None, Some(&node), _) | (None, None, Rest::Of(node)) => node,
                (None, None, Rest::Permitted) => break,
                (None, None, Rest::Refused) => return misfit(format!("there are more than {at} elements")),
            };
            self.node(node, element).map_err(|why| why.map(|why| why.at_element(at)))?;
        }
        if rules.is_unique {
            let mut seen = HashSet::new();
            for element in elements {
                self.budget.spend(element.steps(VALUE_STEPS_MAX))?;
                if !seen.insert(element.sorted().to_string()) {
                    return misfit("two elements are the same");
                }
            }
        }
        if let Some(node) = rules.contains {
            let mut count = 0;
            for element in elements {
                count += usize::from(self.fits(node, element)?);
            }
            in_range("elements of contains", count, rules.contains_min.or(Some(1)), rules.contains_max)?;
        }
        Ok(())
    }
}

fn string(rules: &StringRules, text: &str, budget: &mut Budget) -> Checked {
    let length = text.chars().count();
    in_range("characters", length, rules.length_min, rules.length_max)?;
    let Some(pattern) = &rules.pattern else { return Ok(()) };
    budget.spend(text.len() / BYTES_PER_STEP)?;
    match rules.matcher.find(pattern, text) {
        Some(false) => misfit(format!("it does not match {pattern}")),
        _ => Ok(()),
    }
}

fn number(rules: &NumberRules, value: &Json) -> Checked {
    let Some(number) = value.as_f64() else { return expected("a number", value) };
    if rules.is_integer && number.fract() != 0.0 {
        return misfit(format!("{value} is no integer"));
    }
    let is_beyond = rules.maximum.is_some_and(|maximum| number > maximum)
        || rules.below.is_some_and(|below| number >= below)
        || rules.minimum.is_some_and(|minimum| number < minimum)
        || rules.above.is_some_and(|above| number <= above);
    if is_beyond {
        return misfit(format!("{value} is out of range"));
    }
    match rules.multiple_of.filter(|of| *of > 0.0) {
        Some(of) => {
            let times = number / of;
            match (times - times.round()).abs() <= ROUNDING * times.abs().max(1.0) {
                true => Ok(()),
                false => misfit(format!("{value} is no multiple of {of}")),
            }
        }
        None => Ok(()),
    }
}

fn in_range(what: &str, count: usize, min: Option<i64>, max: Option<i64>) -> Checked {
    let count = count as i64;
    match (min, max) {
        (Some(min), _) if count < min => misfit(format!("it has {count} {what}, at least {min} are needed")),
        (_, Some(max)) if count > max => misfit(format!("it has {count} {what}, at most {max} are allowed")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(schema: &str, value: &str) -> Result<(), String> {
        let schema = JsonSchema::parse(schema, &[]).unwrap();
        let value = Json::parse(value.as_bytes()).unwrap();
        schema.check(&value, &mut Budget::for_values()).map_err(|why| why.to_string())
    }

    #[test]
    fn values_fit_or_are_told_why_not() {
        let order = r##"{"type":"object","required":["id"],"additionalProperties":false,"properties":{
            "id":{"type":"integer","minimum":1},"next":{"$ref":"#"},
            "tags":{"type":"array","items":{"type":"string","maxLength":3},"uniqueItems":true}}}"##;
        for (schema, value, why) in [
            (order, r#"{"id":1,"next":{"id":2.0},"tags":["a","b"]}"#, None),
            (order, r#"{"tags":[]}"#, Some("the property id is missing")),
            (order, r#"{"id":0}"#, Some(".id: 0 is out of range")),
            (order, r#"{"id":1,"next":{"id":1.5}}"#, Some(".next.id: 1.5 is no integer")),
            (
                order,
                r#"{"id":1,"tags":["a","long"]}"#,
                Some(".tags[1]: it has 4 characters, at most 3 are allowed"),
            ),
            (order, r#"{"id":1,"tags":["a","a"]}"#, Some(".tags: two elements are the same")),
            (order, r#"{"id":1,"x":1}"#, Some("there is no property x")),
            (order, "7", Some("an object is expected, and a number is there")),
            (r#"{"minimum":3}"#, "\"text\"", None),
            (r#"{"minimum":3}"#, "2", Some("2 is out of range")),
            (r#"{"multipleOf":0.1}"#, "0.3", None),
            (r#"{"multipleOf":0.1}"#, "0.35", Some("0.35 is no multiple of 0.1")),
            (r#"{"pattern":"^a+$"}"#, "\"aa\"", None),
            (r#"{"pattern":"^a+$"}"#, "\"ab\"", Some("it does not match ^a+$")),
            (r#"{"pattern":"a(?=b)"}"#, "\"c\"", None),
            (r#"{"enum":[1,"a"]}"#, "1.0", None),
            (r#"{"enum":[1,"a"]}"#, "2", Some("it is none of the values of enum")),
            (r#"{"const":null}"#, "0", Some("it is not the value of const")),
            (r#"{"oneOf":[{"type":"integer"},{"minimum":2}]}"#, "3", Some("it fits 2 of oneOf")),
            (r#"{"anyOf":[{"type":"null"},{"type":"string"}]}"#, "3", Some("it fits none of anyOf")),
            (r#"{"not":{"type":"null"}}"#, "null", Some("it is what not excludes")),
            (r#"{"if":{"type":"string"},"then":{"minLength":2},"else":false}"#, "\"ab\"", None),
            (r#"{"if":{"type":"string"},"else":false}"#, "1", Some("nothing is allowed here")),
            (
                r#"{"patternProperties":{"^x":{"type":"null"}},"additionalProperties":false}"#,
                r#"{"x1":null}"#,
                None,
            ),
            (
                r#"{"propertyNames":{"maxLength":1}}"#,
                r#"{"ab":1}"#,
                Some(".ab: it has 2 characters, at most 1 are allowed"),
            ),
            (
                r#"{"contains":{"const":1}}"#,
                "[2]",
                Some("it has 0 elements of contains, at least 1 are needed"),
            ),
            (
                r#"{"prefixItems":[{"type":"null"}],"items":false}"#,
                "[null,1]",
                Some("there are more than 1 elements"),
            ),
            (
                r#"{"dependentRequired":{"a":["b"]}}"#,
                r#"{"a":1}"#,
                Some("the property b is missing, which a needs"),
            ),
        ] {
            assert_eq!(
                checked(schema, value),
                why.map_or(Ok(()), |why| Err(why.to_owned())),
                "{schema} {value}"
            );
        }
    }

    #[test]
    fn d11_a_schema_that_leads_to_itself_or_takes_many_steps_ends() {
        let circle = r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"allOf":[{"$ref":"#"}]}}}"##;
        assert!(checked(circle, "1").is_err_and(|why| why.contains("more steps")));
        let mut wide = "{\"$defs\":{\"e0\":{\"type\":\"null\"}".to_owned();
        for level in 1..40 {
            let part = format!("{{\"$ref\":\"#/$defs/e{}\"}}", level - 1);
            wide.push_str(&format!(",\"e{level}\":{{\"oneOf\":[{part},{part},{{\"type\":\"array\"}}]}}"));
        }
        wide.push_str("},\"$ref\":\"#/$defs/e39\"}");
        assert!(checked(&wide, "1").is_err_and(|why| why.contains("more steps")));
    }

    /// Each once took most of a minute, and no step.
    #[test]
    fn d11_large_objects_end_soon_or_are_too_much() {
        let object = |names: &mut dyn Iterator<Item = usize>, value: &str| {
            let members: Vec<String> = names.map(|at| format!("\"n{at}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let only = format!("{{\"const\":{}}}", object(&mut (0..30_000), "1"));
        assert_eq!(checked(&only, &object(&mut (0..30_000).rev(), "1")), Ok(()));
        let needs = format!("{{\"dependentRequired\":{}}}", object(&mut (0..30_000), "[]"));
        assert_eq!(checked(&needs, &object(&mut (30_000..100_000), "1")), Ok(()));
        let many = vec!["{\"$ref\":\"#/$defs/c\"}"; 30_000].join(",");
        let text = "a".repeat(5_000);
        let none = format!("{{\"not\":{{\"anyOf\":[{many}]}}}}");
        let constant = format!("{{\"c\":{{\"const\":[\"{text}b\"]}}}}");
        let any = format!("{{\"items\":{none},\"$defs\":{constant}}}");
        let values = format!("[{}]", vec![format!("[\"{text}c\"]"); 100].join(","));
        assert!(checked(&any, &values).is_err_and(|why| why.contains("more steps")));
    }
}
