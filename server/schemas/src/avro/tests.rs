//! Canonical and normal texts, refusals, and compatibility beside a model that knows no schemas but values.

use super::Avro;
use crate::limits::Budget;

fn parse(text: &str) -> Avro {
    Avro::parse(text, &[], false).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn reasons(reader: &str, writer: &str) -> Vec<String> {
    parse(reader).cannot_read(&parse(writer), &mut Budget::new()).unwrap()
}

#[test]
fn the_canonical_text_is_that_of_javas_library() {
    for (text, canonical) in [
        ("\"string\"", "\"string\""),
        (r#"{"type": "string"}"#, "\"string\""),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#,
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#,
        ),
        (
            r#"{"fields": [{"type": "int", "name": "f1"}], "name": "io.x.R", "type": "record", "doc": "d", "p": [1, {"b": 1}]}"#,
            r#"{"type":"record","name":"R","namespace":"io.x","doc":"d","fields":[{"name":"f1","type":"int"}],"p":[1,{"b":1}]}"#,
        ),
        // A name that stands in the same namespace loses it; a second definition is a name.
        (
            r#"{"type":"record","name":"R","namespace":"n","aliases":["n.Old","m.Old"],"fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"},"default":"A","order":"ignore","aliases":["x"],"doc":""},{"name":"again","type":["null","n.E"],"default":null},{"name":"self","type":{"type":"array","items":"R"}}]}"#,
            r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"},"doc":"","default":"A","order":"ignore","aliases":["x"]},{"name":"again","type":["null","E"],"default":null},{"name":"self","type":{"type":"array","items":"R"}}],"aliases":["Old","m.Old"]}"#,
        ),
        (
            r#"{"type":"record","name":"n.R","fields":[{"name":"f","type":{"type":"fixed","name":"F","namespace":"","size":4}},{"name":"g","type":{"type":"map","values":"F"}}]}"#,
            r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"f","type":{"type":"fixed","name":"F","namespace":"","size":4}},{"name":"g","type":{"type":"map","values":"F"}}]}"#,
        ),
    ] {
        assert_eq!(parse(text).canonical(), canonical, "{text}");
        assert_eq!(parse(canonical).canonical(), canonical, "again");
    }
}

#[test]
fn references_stand_by_their_names_and_resolved_in_full() {
    let user = r#"{"type":"record","name":"User","namespace":"n","fields":[{"name":"id","type":"long"}]}"#;
    let text = r#"{"type":"record","name":"Order","namespace":"n","fields":[{"name":"by","type":"User"},{"name":"for","type":"n.User"}]}"#;
    let order = Avro::parse(text, &[user], false).unwrap();
    let by_name = r#"{"type":"record","name":"Order","namespace":"n","fields":[{"name":"by","type":"User"},{"name":"for","type":"User"}]}"#;
    assert_eq!(order.canonical(), by_name);
    assert_eq!(
        order.resolved().unwrap(),
        r#"{"type":"record","name":"Order","namespace":"n","fields":[{"name":"by","type":{"type":"record","name":"User","fields":[{"name":"id","type":"long"}]}},{"name":"for","type":"User"}]}"#
    );
    assert_eq!(
        order.normalized(),
        r#"{"name":"n.Order","type":"record","fields":[{"name":"by","type":"n.User","order":"ascending"},{"name":"for","type":"n.User","order":"ascending"}]}"#
    );
}

#[test]
fn texts_that_say_the_same_have_one_normal_form() {
    let one = r#"{"type":"record","namespace":"n","name":"R","fields":[{"name":"d","type":{"type":"bytes","scale":0,"precision":4,"logicalType":"decimal","b":1,"a":2},"aliases":["z","a"]}],"doc":""}"#;
    let other = r#"{"name":"n.R","fields":[{"aliases":["a","z"],"name":"d","order":"ascending","type":{"a":2,"b":1,"precision":4,"type":"bytes","logicalType":"decimal"}}],"type":"record"}"#;
    let normal = parse(one).normalized();
    assert_eq!(normal, parse(other).normalized());
    assert_eq!(normal, parse(&normal).normalized());
    assert_eq!(
        normal,
        r#"{"name":"n.R","type":"record","fields":[{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"a":2,"b":1},"order":"ascending","aliases":["a","z"]}]}"#
    );
}

#[test]
fn what_is_no_schema_is_refused_by_name() {
    for (text, what) in [
        ("", "no JSON"),
        ("7", "Schema not yet supported: 7"),
        ("\"n.Nothing\"", "Undefined name: \"n.Nothing\""),
        ("{}", "No type: {}"),
        (r#"{"type":"strin"}"#, "Type not supported: strin"),
        (r#"["int","int"]"#, "Duplicate in union:int"),
        (r#"["int",["string"]]"#, "Nested union"),
        (r#"{"type":"array"}"#, "Array has no items type"),
        (r#"{"type":"record","name":"a-b","fields":[]}"#, "Illegal character in: a-b"),
        (r#"{"type":"record","name":"1a","fields":[]}"#, "Illegal initial character: 1a"),
        (r#"{"type":"record","name":"int","fields":[]}"#, "named after primitives: int"),
        (r#"{"type":"record","name":"R"}"#, "Record has no fields"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "Duplicate field a in record R",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"R","size":1}}]}"#,
            "Can't redefine: R",
        ),
        (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "Duplicate enum symbol: A"),
        (
            r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#,
            "The Enum Default: B is not in the enum symbol set: [A]",
        ),
        (r#"{"type":"fixed","name":"F","size":-1}"#, "Invalid or no size"),
    ] {
        let error = Avro::parse(text, &[], false).unwrap_err();
        assert!(error.contains(what), "{text}: {error}");
    }
    let wrong = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}"#;
    assert!(Avro::parse(wrong, &[], false).is_ok());
    assert!(Avro::parse(wrong, &[], true).unwrap_err().contains("Invalid default for field a: \"x\""));
}

#[test]
fn reasons_are_worded_as_confluents() {
    let one = r#"{"type":"record","name":"R","fields":[{"name":"f1","type":"string"}]}"#;
    let two = r#"{"type":"record","name":"R","fields":[{"name":"f1","type":"string"},{"name":"f2","type":"string"}]}"#;
    assert_eq!(
        reasons(two, one),
        [
            "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'f2' at path '/fields/1' in the %s schema has no default value and is missing in the %s schema', additionalInfo:'f2'}"
        ]
    );
    assert!(reasons(one, two).is_empty());
    assert_eq!(
        reasons("\"int\"", "\"long\""),
        [
            "{errorType:'TYPE_MISMATCH', description:'The type (path '/') of a field in the %s schema does not match with the %s schema', additionalInfo:'reader type: INT not compatible with writer type: LONG'}"
        ]
    );
    assert_eq!(
        reasons(r#"["null","int"]"#, r#"["null","string"]"#),
        [
            "{errorType:'MISSING_UNION_BRANCH', description:'The %s schema is missing a type inside a union field at path '/1' in the %s schema', additionalInfo:'reader union lacking writer type: STRING'}"
        ]
    );
    let symbols = |symbols: &str| format!(r#"{{"type":"enum","name":"E","symbols":{symbols}}}"#);
    assert_eq!(
        reasons(&symbols(r#"["A"]"#), &symbols(r#"["A","B","C"]"#)),
        [
            "{errorType:'MISSING_ENUM_SYMBOLS', description:'The %s schema is missing enum symbols '[B, C]' at path '/symbols' in the %s schema', additionalInfo:'[B, C]'}"
        ]
    );
    let fixed = |name: &str, size: u8| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
    assert_eq!(
        reasons(&fixed("F", 1), &fixed("n.G", 2)),
        [
            "{errorType:'NAME_MISMATCH', description:'The name of the schema has changed (path '/name')', additionalInfo:'expected: n.G'}",
            "{errorType:'FIXED_SIZE_MISMATCH', description:'The size of FIXED type field at path '/size' in the %s schema does not match with the %s schema', additionalInfo:'expected: 2, found: 1'}",
        ]
    );
}

#[test]
fn aliases_of_the_reader_rename_and_cycles_end() {
    let old = r#"{"type":"record","name":"n.Old","fields":[{"name":"a","type":"int"},{"name":"next","type":["null","n.Old"]}]}"#;
    let new = r#"{"type":"record","name":"m.New","aliases":["n.Old"],"fields":[{"name":"b","type":"long","aliases":["a"]},{"name":"next","type":["null","m.New"]}]}"#;
    assert_eq!(reasons(new, old), Vec::<String>::new());
    assert!(!reasons(old, new).is_empty());
}

#[test]
fn records_that_nest_deep_are_compared() {
    let text = |leaf: &str| {
        let nest = |text: String, depth| {
            format!(
                r#"{{"type":"record","name":"R{depth}","fields":[{{"name":"a","type":["null",{text}]}}]}}"#
            )
        };
        (0..25).fold(format!("\"{leaf}\""), nest)
    };
    assert_eq!(reasons(&text("long"), &text("int")), Vec::<String>::new());
    assert!(!reasons(&text("int"), &text("long")).is_empty());
}

/// What a type is, for the model.
#[derive(Clone, Debug)]
enum Model {
    Primitive(&'static str),
    Array(Box<Model>),
    Map(Box<Model>),
    Union(Vec<Model>),
    Record(String, Vec<(String, Model, bool)>),
    Enum(String, Vec<&'static str>, bool),
    Fixed(String, u8),
}

/// A value that was written, with the shape that it was written in.
#[derive(Clone, Debug)]
enum Value {
    Primitive(&'static str),
    Array(Option<Box<Value>>),
    Map(Option<Box<Value>>),
    Record(String, Vec<(String, Value)>),
    Enum(String, &'static str),
    Fixed(String, u8),
}

impl Model {
    fn random(random: &mut fastrand::Rng, depth: usize, names: &mut Vec<u8>) -> Model {
        let kinds = if depth == 0 { 1 } else { 7 };
        match random.u8(0..kinds) {
            1 => Model::Array(Box::new(Model::random(random, depth - 1, names))),
            2 => Model::Map(Box::new(Model::random(random, depth - 1, names))),
            3 => {
                let mut branches: Vec<Model> = Vec::new();
                for _ in 0..random.usize(1..4) {
                    let branch = Model::random(random, depth - 1, names);
                    if !matches!(branch, Model::Union(_))
                        && branches.iter().all(|one| one.tag() != branch.tag())
                    {
                        branches.push(branch);
                    }
                }
                if branches.is_empty() { Model::Primitive("int") } else { Model::Union(branches) }
            }
            kind @ 4..=6 => {
                // Of few names, so that two schemas meet; each stands once in a schema.
                let Some(name) = (!names.is_empty()).then(|| names.swap_remove(random.usize(0..names.len())))
                else {
                    return Model::Primitive("string");
                };
                let name = format!("N{name}");
                match kind {
                    4 => {
                        let mut fields = Vec::new();
                        for field in ["a", "b", "c"] {
                            if random.bool() {
                                fields.push((
                                    field.to_owned(),
                                    Model::random(random, depth - 1, names),
                                    false,
                                ));
                            }
                        }
                        for field in &mut fields {
                            field.2 = matches!(field.1, Model::Primitive("null")) || random.u8(0..3) == 0;
                        }
                        Model::Record(name, fields)
                    }
                    5 => {
                        let all = ["X", "Y", "Z"];
                        let mut symbols: Vec<_> = all.into_iter().filter(|_| random.bool()).collect();
                        if symbols.is_empty() {
                            symbols.push("X");
                        }
                        Model::Enum(name, symbols, random.bool())
                    }
                    _ => Model::Fixed(name, random.u8(1..3)),
                }
            }
            _ => {
                let all = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
                Model::Primitive(all[random.usize(0..all.len())])
            }
        }
    }

    fn tag(&self) -> String {
        match self {
            Model::Primitive(name) => (*name).to_owned(),
            Model::Array(_) => "array".to_owned(),
            Model::Map(_) => "map".to_owned(),
            Model::Union(_) => "union".to_owned(),
            Model::Record(name, _) | Model::Enum(name, ..) | Model::Fixed(name, _) => name.clone(),
        }
    }

    fn text(&self) -> String {
        match self {
            Model::Primitive(name) => format!("\"{name}\""),
            Model::Array(items) => format!(r#"{{"type":"array","items":{}}}"#, items.text()),
            Model::Map(values) => format!(r#"{{"type":"map","values":{}}}"#, values.text()),
            Model::Union(branches) => {
                format!("[{}]", branches.iter().map(Model::text).collect::<Vec<_>>().join(","))
            }
            Model::Record(name, fields) => {
                let field = |(field, kind, has_default): &(String, Model, bool)| {
                    let default = if *has_default { r#","default":null"# } else { "" };
                    format!(r#"{{"name":"{field}","type":{}{default}}}"#, kind.text())
                };
                let fields = fields.iter().map(field).collect::<Vec<_>>().join(",");
                format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
            }
            Model::Enum(name, symbols, has_default) => {
                let default =
                    if *has_default { format!(r#","default":"{}""#, symbols[0]) } else { String::new() };
                format!(r#"{{"type":"enum","name":"{name}","symbols":{symbols:?}{default}}}"#)
            }
            Model::Fixed(name, size) => format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#),
        }
    }

    /// One value of every shape that the type has, one part varied at a time.
    fn values(&self) -> Vec<Value> {
        match self {
            Model::Primitive(name) => vec![Value::Primitive(name)],
            Model::Array(items) => std::iter::once(Value::Array(None))
                .chain(items.values().into_iter().map(|value| Value::Array(Some(Box::new(value)))))
                .collect(),
            Model::Map(values) => std::iter::once(Value::Map(None))
                .chain(values.values().into_iter().map(|value| Value::Map(Some(Box::new(value)))))
                .collect(),
            Model::Union(branches) => branches.iter().flat_map(Model::values).collect(),
            Model::Record(name, fields) => {
                let all: Vec<Vec<Value>> = fields.iter().map(|(_, kind, _)| kind.values()).collect();
                let first: Vec<(String, Value)> = fields
                    .iter()
                    .zip(&all)
                    .map(|((field, ..), values)| (field.clone(), values[0].clone()))
                    .collect();
                let mut records = vec![Value::Record(name.clone(), first.clone())];
                for (at, values) in all.iter().enumerate() {
                    for value in &values[1..] {
                        let mut varied = first.clone();
                        varied[at].1 = value.clone();
                        records.push(Value::Record(name.clone(), varied));
                    }
                }
                records
            }
            Model::Enum(name, symbols, _) => {
                symbols.iter().map(|symbol| Value::Enum(name.clone(), symbol)).collect()
            }
            Model::Fixed(name, size) => vec![Value::Fixed(name.clone(), *size)],
        }
    }

    /// Whether a value that was written can be read as this.
    fn reads(&self, value: &Value) -> bool {
        match (self, value) {
            (Model::Union(branches), value) => branches.iter().any(|branch| branch.reads(value)),
            (Model::Primitive(to), Value::Primitive(from)) => {
                let order = ["int", "long", "float", "double"];
                let place = |name: &str| order.iter().position(|one| *one == name);
                to == from
                    || matches!((place(from), place(to)), (Some(from), Some(to)) if from < to)
                    || matches!((*to, *from), ("bytes", "string") | ("string", "bytes"))
            }
            (Model::Array(items), Value::Array(item)) => item.as_ref().is_none_or(|item| items.reads(item)),
            (Model::Map(values), Value::Map(value)) => value.as_ref().is_none_or(|value| values.reads(value)),
            (Model::Record(name, fields), Value::Record(written_name, written)) => {
                name == written_name
                    && fields.iter().all(|(field, kind, has_default)| {
                        let value = written.iter().find(|(name, _)| name == field);
                        let falls_back = *has_default || matches!(kind, Model::Enum(_, _, true));
                        value.map_or(falls_back, |(_, value)| kind.reads(value))
                    })
            }
            (Model::Enum(name, symbols, has_default), Value::Enum(written_name, symbol)) => {
                name == written_name && (*has_default || symbols.contains(symbol))
            }
            (Model::Fixed(name, size), Value::Fixed(written_name, written)) => {
                name == written_name && size == written
            }
            _ => false,
        }
    }
}

#[test]
fn a_schema_reads_another_exactly_where_it_reads_all_its_values() {
    let mut random = fastrand::Rng::with_seed(20);
    let (mut compatible, mut incompatible) = (0, 0);
    while compatible < 2_000 || incompatible < 2_000 {
        let mut model = || Model::random(&mut random, 3, &mut vec![0, 1, 2, 3]);
        let (reader, writer) = (model(), model());
        for (reader, writer) in [(&reader, &writer), (&reader, &reader)] {
            let expected = writer.values().iter().all(|value| reader.reads(value));
            let found = reasons(&reader.text(), &writer.text());
            assert_eq!(
                found.is_empty(),
                expected,
                "reader {} writer {}: {found:?}",
                reader.text(),
                writer.text()
            );
            *if expected { &mut compatible } else { &mut incompatible } += 1;
        }
    }
}

#[test]
fn every_text_of_the_model_is_its_own_canonical_text_and_normal_forms_stay() {
    let mut random = fastrand::Rng::with_seed(21);
    for _ in 0..2_000 {
        let text = Model::random(&mut random, 4, &mut vec![0, 1, 2, 3, 4, 5]).text().replace(", ", ",");
        let avro = parse(&text);
        assert_eq!(avro.canonical(), text);
        assert_eq!(parse(&avro.normalized()).normalized(), avro.normalized());
        assert_eq!(reasons(&avro.normalized(), &text), Vec::<String>::new());
    }
}
