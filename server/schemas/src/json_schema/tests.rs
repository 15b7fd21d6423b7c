//! Texts, references, refusals, and compatibility beside a validator that knows values.

use super::JsonSchema;
use crate::json::Json;
use crate::limits::Referred;
use crate::limits::{Budget, TooComplex};

fn parse(text: &str) -> JsonSchema {
    JsonSchema::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn kinds(reader: &str, writer: &str) -> Vec<String> {
    let found = parse(reader).cannot_read(&parse(writer), &mut Budget::new()).unwrap();
    found.iter().map(|reason| reason.split('"').nth(1).unwrap_or_default().to_owned()).collect()
}

#[test]
fn texts_keep_their_order_or_are_sorted() {
    let schema = parse("{ \"type\": \"object\",\n \"$id\": \"x\", \"a\": [ {\"z\": 1, \"b\": 1.50} ] }");
    assert_eq!(schema.canonical(), r#"{"type":"object","$id":"x","a":[{"z":1,"b":1.5}]}"#);
    assert_eq!(schema.normalized(), r#"{"$id":"x","a":[{"b":1.5,"z":1}],"type":"object"}"#);
}

#[test]
fn references_lead_into_the_text_and_into_other_texts() {
    let user = Referred {
        name: "user.json".to_owned(),
        text: r##"{"$id":"http://x.org/s/user.json","type":"object","properties":{"id":{"$ref":"#/definitions/id"}},"definitions":{"id":{"type":"integer"}}}"##.to_owned(),
    };
    for reference in ["user.json", "http://x.org/s/user.json", "user.json#/definitions/id", "./user.json#"] {
        let text = format!(
            r##"{{"$id":"http://x.org/s/order.json","properties":{{"by":{{"$ref":"{reference}"}}}}}}"##
        );
        JsonSchema::parse(&text, std::slice::from_ref(&user))
            .unwrap_or_else(|error| panic!("{reference}: {error}"));
    }
    for (text, what) in [
        (r##"{"$ref":"#/definitions/no"}"##, "Unresolved $ref '#/definitions/no'"),
        (r##"{"$ref":"other.json"}"##, "Unresolved $ref 'other.json'"),
        (r##"{"$ref":"http://example.org/a"}"##, "Unresolved $ref"),
    ] {
        let error = JsonSchema::parse(text, &[]).unwrap_err();
        assert!(error.contains(what), "{text}: {error}");
    }
    let by_anchor = r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","$defs":{"a":{"$anchor":"here","type":"string"},"b~/c":{"type":"null"}},"anyOf":[{"$ref":"#here"},{"$ref":"#/$defs/b~0~1c"}]}"##;
    assert!(kinds(by_anchor, r#"{"type":"string"}"#).is_empty());
    assert_eq!(kinds(by_anchor, r#"{"type":"number"}"#), ["TYPE_CHANGED"]);
    // Up to draft 7 what stands beside a reference says nothing; later it does.
    let beside = |draft: &str| {
        format!(
            r##"{{"$schema":"{draft}","$ref":"#/definitions/a","maxLength":1,"definitions":{{"a":{{"type":"string"}}}}}}"##
        )
    };
    assert!(kinds(&beside("http://json-schema.org/draft-07/schema#"), r#"{"type":"string"}"#).is_empty());
    assert!(
        !kinds(&beside("https://json-schema.org/draft/2019-09/schema"), r#"{"type":"string"}"#).is_empty()
    );
}

#[test]
fn what_is_no_schema_is_refused() {
    for (text, what) in [
        ("", "no JSON"),
        ("[]", "a schema is an object or a boolean"),
        (r#"{"type":"strin"}"#, "unknown type: [strin]"),
        (r#"{"type":7}"#, "type: 7 is neither"),
        (r#"{"properties":[]}"#, "properties: an object is expected"),
        (r#"{"properties":{"a":1}}"#, "a schema is an object or a boolean, not 1"),
        (r#"{"type":"string","maxLength":"x"}"#, "maxLength"),
        (r#"{"enum":1}"#, "enum: an array is expected"),
    ] {
        let error = JsonSchema::parse(text, &[]).unwrap_err();
        assert!(error.contains(what), "{text}: {error}");
    }
}

#[test]
fn changes_are_told_apart() {
    let closed = r#""additionalProperties":false"#;
    for (before, after, expected) in [
        (r#"{"type":"string"}"#, r#"{"type":"string","maxLength":3}"#, &["MAX_LENGTH_ADDED"][..]),
        (
            r#"{"type":"string","maxLength":3}"#,
            r#"{"type":"string","maxLength":2}"#,
            &["MAX_LENGTH_DECREASED"],
        ),
        (r#"{"type":"string","maxLength":3}"#, r#"{"type":"string","maxLength":4}"#, &[]),
        (r#"{"type":"string","pattern":"a"}"#, r#"{"type":"string","pattern":"b"}"#, &["PATTERN_CHANGED"]),
        (r#"{"type":"integer"}"#, r#"{"type":"number"}"#, &[]),
        (r#"{"type":"number"}"#, r#"{"type":"integer"}"#, &["TYPE_NARROWED"]),
        (r#"{"type":"number","minimum":1}"#, r#"{"type":"number","minimum":2}"#, &["MINIMUM_INCREASED"]),
        (r#"{"type":"number","multipleOf":10}"#, r#"{"type":"number","multipleOf":5}"#, &[]),
        (
            r#"{"type":"number","multipleOf":5}"#,
            r#"{"type":"number","multipleOf":10}"#,
            &["MULTIPLE_OF_EXPANDED"],
        ),
        (
            r#"{"type":"number","multipleOf":5}"#,
            r#"{"type":"number","multipleOf":7}"#,
            &["MULTIPLE_OF_CHANGED"],
        ),
        (r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, &[]),
        (r#"{"type":["string","null"]}"#, r#"{"type":"string"}"#, &["TYPE_CHANGED"]),
        (r#"{"type":["string","null","integer"]}"#, r#"{"type":["string","null"]}"#, &["SUM_TYPE_NARROWED"]),
        (r#"{"enum":[1,2]}"#, r#"{"enum":[1,2,3]}"#, &[]),
        (r#"{"enum":[1,2]}"#, r#"{"enum":[1.0]}"#, &["ENUM_ARRAY_NARROWED"]),
        (r#"{"enum":[1]}"#, r#"{"enum":[2]}"#, &["ENUM_ARRAY_CHANGED"]),
        (r#"{"const":1}"#, r#"{"const":2}"#, &["ENUM_ARRAY_CHANGED"]),
        (r#"{"type":"object"}"#, r#"{"type":"object","properties":{"a":{}}}"#, &[]),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
            &["OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"],
        ),
        (r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, r#"{"type":"object"}"#, &[]),
        (r#"{"type":"string"}"#, "true", &[]),
        ("false", r#"{"type":"string"}"#, &[]),
        (r#"{"not":{"type":"string","maxLength":3}}"#, r#"{"not":{"type":"string","maxLength":2}}"#, &[]),
        (
            r#"{"not":{"type":"string","maxLength":2}}"#,
            r#"{"not":{"type":"string","maxLength":3}}"#,
            &["NOT_TYPE_EXTENDED"],
        ),
        (r#"{"items":{"type":"string"}}"#, r#"{"items":{"type":"integer"}}"#, &["TYPE_CHANGED"]),
        (
            r#"{"type":"array"}"#,
            r#"{"type":"array","uniqueItems":true,"maxItems":1}"#,
            &["MAX_ITEMS_ADDED", "UNIQUE_ITEMS_ADDED"],
        ),
        (
            r#"{"items":[{"type":"string"}]}"#,
            r#"{"items":[{"type":"string"},{"type":"string"}]}"#,
            &["ITEM_ADDED_TO_OPEN_CONTENT_MODEL"],
        ),
        (
            r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"oneOf":[{"type":"null"},{"type":"string"},{"type":"integer"}]}"#,
            &[],
        ),
        (
            r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"oneOf":[{"type":"boolean"},{"type":"integer"}]}"#,
            &["COMBINED_TYPE_SUBSCHEMAS_CHANGED"],
        ),
        (
            r#"{"allOf":[{"type":"string"}]}"#,
            r#"{"allOf":[{"type":"string"},{"minLength":1}]}"#,
            &["PRODUCT_TYPE_EXTENDED"],
        ),
        (
            r#"{"dependencies":{"a":["b"]}}"#,
            r#"{"dependencies":{"a":["b","c"]}}"#,
            &["DEPENDENCY_ARRAY_EXTENDED"],
        ),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","additionalProperties":false}"#,
            &["ADDITIONAL_PROPERTIES_REMOVED"],
        ),
        (
            r#"{"type":"object"}"#,
            r#"{"type":"object","unevaluatedProperties":false}"#,
            &["UNEVALUATED_PROPERTIES_REMOVED"],
        ),
        (r#"{"type":"number","connect.type":"bytes"}"#, r#"{"type":"string","connect.type":"bytes"}"#, &[]),
    ] {
        assert_eq!(kinds(after, before), expected, "{before} -> {after}");
        assert!(kinds(before, before).is_empty(), "{before}");
    }
    let object = |rest: &str| format!(r#"{{"type":"object","properties":{{{rest}}},{closed}}}"#);
    let a = r#""a":{"type":"string"}"#;
    assert!(kinds(&object(a), &object("")).is_empty());
    assert_eq!(kinds(&object(""), &object(a)), ["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"]);
    let required = object(a).replace("\"type\":\"object\"", "\"type\":\"object\",\"required\":[\"a\"]");
    assert_eq!(kinds(&required, &object("")), ["REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"]);
    assert_eq!(kinds(&required, &object(a)), ["REQUIRED_ATTRIBUTE_ADDED"]);
    let partly = r#"{"type":"object","patternProperties":{"^a":{"type":"string"}},"additionalProperties":{"type":"integer"}}"#;
    assert!(kinds(partly, &object(a)).is_empty(), "{:?}", kinds(partly, &object(a)));
    let words = parse(r#"{"type":"object","properties":{"a":{"type":"string"}}}"#)
        .cannot_read(&parse(r#"{"type":"object"}"#), &mut Budget::new());
    assert_eq!(
        words.unwrap(),
        [
            "{errorType:\"OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL\", description:\"The %s schema has an open content model and has a property or item at path '#/properties/a' which is missing in the %s schema'}"
        ]
    );
}

#[test]
fn schemas_that_speak_of_themselves_are_compared() {
    let list = |value: &str| {
        format!(
            r##"{{"definitions":{{"list":{{"type":"object","properties":{{"value":{{"type":"{value}"}},"next":{{"oneOf":[{{"type":"null"}},{{"$ref":"#/definitions/list"}}]}}}},"additionalProperties":false}}}},"$ref":"#/definitions/list"}}"##
        )
    };
    assert!(kinds(&list("number"), &list("integer")).is_empty());
    assert_eq!(
        kinds(&list("string"), &list("integer")),
        ["COMBINED_TYPE_SUBSCHEMAS_CHANGED", "TYPE_CHANGED"]
    );
    let endless = r##"{"definitions":{"a":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/a"}},"$ref":"#/definitions/a"}"##;
    assert!(kinds(endless, endless).is_empty());
}

#[test]
fn a_comparison_that_would_take_too_long_ends() {
    let many = |kind: &str| {
        let parts =
            |at: usize| format!(r#"{{"type":"object","properties":{{"p{at}":{{"type":"{kind}"}}}}}}"#);
        format!(r#"{{"oneOf":[{}]}}"#, (0..3_000).map(parts).collect::<Vec<_>>().join(","))
    };
    let found = parse(&many("string")).cannot_read(&parse(&many("integer")), &mut Budget::new());
    assert_eq!(found, Err(TooComplex));
}

/// Whether a value is one of the schema, by the keywords that [`random_schema`] uses.
fn is_valid(schema: &Json, value: &Json) -> bool {
    if let Json::Bool(takes) = schema {
        return *takes;
    }
    let whole = |keyword: &str| schema.get(keyword).and_then(Json::as_i64);
    let types: Vec<&str> = match schema.get("type") {
        Some(Json::Array(types)) => types.iter().filter_map(Json::as_str).collect(),
        Some(kind) => kind.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    let is_of = |kind: &&str| match (*kind, value) {
        ("null", Json::Null) | ("string", Json::String(_)) | ("object", Json::Object(_)) => true,
        ("number", Json::Number(_)) | ("array", Json::Array(_)) => true,
        ("integer", Json::Number(number)) => number.is_i64(),
        _ => false,
    };
    if !types.is_empty() && !types.iter().any(is_of) {
        return false;
    }
    if schema.get("enum").is_some_and(|values| !values.elements().iter().any(|one| one.means(value))) {
        return false;
    }
    for (keyword, all, any) in [("allOf", true, false), ("anyOf", false, true)] {
        let Some(parts) = schema.get(keyword).map(Json::elements) else { continue };
        let count = parts.iter().filter(|part| is_valid(part, value)).count();
        if (all && count < parts.len()) || (any && count == 0) {
            return false;
        }
    }
    match value {
        Json::String(text) => {
            let length = text.chars().count() as i64;
            whole("maxLength").is_none_or(|max| length <= max)
                && whole("minLength").is_none_or(|min| length >= min)
        }
        Json::Number(_) => {
            let number = value.as_f64().unwrap();
            let bound = |keyword: &str| schema.get(keyword).and_then(Json::as_f64);
            bound("maximum").is_none_or(|max| number <= max)
                && bound("minimum").is_none_or(|min| number >= min)
        }
        Json::Array(elements) => {
            let count = elements.len() as i64;
            let items = schema.get("items");
            whole("maxItems").is_none_or(|max| count <= max)
                && items.is_none_or(|items| elements.iter().all(|element| is_valid(items, element)))
        }
        Json::Object(members) => {
            let required = schema.get("required").map_or(&[][..], Json::elements);
            let properties = schema.get("properties");
            let fits = |(name, member): &(String, Json)| match properties
                .and_then(|properties| properties.get(name))
            {
                Some(property) => is_valid(property, member),
                None => schema.get("additionalProperties").is_none_or(|rest| is_valid(rest, member)),
            };
            required.iter().filter_map(Json::as_str).all(|name| value.get(name).is_some())
                && members.iter().all(fits)
        }
        _ => true,
    }
}

fn random_schema(random: &mut fastrand::Rng, depth: usize) -> String {
    let bound = |random: &mut fastrand::Rng, keyword: &str| {
        if random.bool() { String::new() } else { format!(r#","{keyword}":{}"#, random.u8(0..3)) }
    };
    match random.u8(0..if depth == 0 { 6 } else { 10 }) {
        0 => "true".to_owned(),
        1 => r#"{"type":"null"}"#.to_owned(),
        2 => format!(r#"{{"type":"string"{}{}}}"#, bound(random, "maxLength"), bound(random, "minLength")),
        3 => {
            let kind = if random.bool() { "integer" } else { "number" };
            format!(r#"{{"type":"{kind}"{}{}}}"#, bound(random, "maximum"), bound(random, "minimum"))
        }
        4 => format!(r#"{{"enum":[{}]}}"#, ["1", "1,\"a\"", "null,1", "{}"][random.usize(0..4)]),
        5 => r#"{"type":["string","null"]}"#.to_owned(),
        6 => format!(
            r#"{{"type":"array","items":{}{}}}"#,
            random_schema(random, depth - 1),
            bound(random, "maxItems")
        ),
        7 => {
            let keyword = if random.bool() { "anyOf" } else { "allOf" };
            let parts: Vec<_> = (0..random.usize(1..3)).map(|_| random_schema(random, depth - 1)).collect();
            format!(r#"{{"{keyword}":[{}]}}"#, parts.join(","))
        }
        _ => {
            let property = |name: &str, random: &mut fastrand::Rng| {
                format!(r#""{name}":{}"#, random_schema(random, depth - 1))
            };
            let names: Vec<&str> = ["a", "b"].into_iter().filter(|_| random.bool()).collect();
            let properties: Vec<_> = names.iter().map(|name| property(name, random)).collect();
            // What takes anything may be required where it was not spoken of: so Confluent's registry has it.
            let is_typed = |at: &usize| !properties[*at].ends_with(":true");
            let required: Vec<_> = (0..names.len())
                .filter(is_typed)
                .filter(|_| random.bool())
                .map(|at| format!("\"{}\"", names[at]))
                .collect();
            let rest = match random.u8(0..3) {
                0 => String::new(),
                1 => r#","additionalProperties":false"#.to_owned(),
                _ => format!(r#","additionalProperties":{}"#, random_schema(random, 0)),
            };
            format!(
                r#"{{"type":"object","properties":{{{}}},"required":[{}]{rest}}}"#,
                properties.join(","),
                required.join(",")
            )
        }
    }
}

fn random_value(random: &mut fastrand::Rng, depth: usize) -> String {
    match random.u8(0..if depth == 0 { 4 } else { 6 }) {
        0 => "null".to_owned(),
        1 => ["0", "1", "2", "3", "1.5"][random.usize(0..5)].to_owned(),
        2 | 3 => ["\"\"", "\"a\"", "\"aa\"", "\"aaa\""][random.usize(0..4)].to_owned(),
        4 => format!(
            "[{}]",
            (0..random.usize(0..3)).map(|_| random_value(random, depth - 1)).collect::<Vec<_>>().join(",")
        ),
        _ => {
            let names = ["a", "b", "c"].into_iter().filter(|_| random.bool()).collect::<Vec<_>>();
            let members: Vec<_> =
                names.iter().map(|name| format!("\"{name}\":{}", random_value(random, depth - 1))).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

#[test]
fn what_is_said_to_get_along_takes_every_value_of_the_other() {
    let mut random = fastrand::Rng::with_seed(22);
    let mut checked = 0;
    for _ in 0..30_000 {
        let (reader, writer) = (random_schema(&mut random, 2), random_schema(&mut random, 2));
        if !kinds(&reader, &writer).is_empty() {
            continue;
        }
        let (of_reader, of_writer) =
            (Json::parse(reader.as_bytes()).unwrap(), Json::parse(writer.as_bytes()).unwrap());
        for _ in 0..40 {
            let value = Json::parse(random_value(&mut random, 2).as_bytes()).unwrap();
            if is_valid(&of_writer, &value) {
                checked += 1;
                assert!(is_valid(&of_reader, &value), "reader {reader} writer {writer} value {value}");
            }
        }
    }
    assert!(checked > 10_000, "{checked} values");
}

/// Each once took gigabytes, or most of a minute.
#[test]
fn d11_short_texts_with_many_uris_pointers_or_types_take_little() {
    let mut deep = format!("[{}]", vec!["0"; 100_000].join(","));
    for _ in 0..100 {
        deep = format!("{{\"$id\":\"{}/\",\"x\":{deep}}}", "a".repeat(1_900));
    }
    assert!(JsonSchema::parse(&deep, &[]).is_ok(), "URIs stop growing");
    let ids: Vec<String> = (0..40_000).map(|at| format!("{{\"$id\":\"{at}\"}}")).collect();
    let wide = format!("{{\"$id\":\"{}/\",\"x\":[{}]}}", "a".repeat(1_900), ids.join(","));
    assert!(JsonSchema::parse(&wide, &[]).unwrap_err().contains("as whole URIs"));
    let parts: Vec<String> = (0..40_000).map(|at| format!("\"{at}\":true")).collect();
    let calls = vec!["{\"$ref\":\"#/d/39999\"}"; 20_000].join(",");
    let pointers = format!("{{\"allOf\":[{calls}],\"d\":{{{}}}}}", parts.join(","));
    assert!(JsonSchema::parse(&pointers, &[]).is_ok());
    let types = vec!["\"object\""; 50_000].join(",");
    let typed = format!("{{\"type\":[{types},\"null\"],\"properties\":{{{}}}}}", parts.join(","));
    let typed = JsonSchema::parse(&typed, &[]).unwrap();
    assert!(typed.check(&Json::Null, &mut Budget::for_values()).is_ok(), "and the last type counts");
}
