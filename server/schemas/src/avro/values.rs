//! Values: from Avro's encoding in JSON to its binary encoding, and back.
//!
//! In JSON a branch of a union other than null stands in an object with its name (`{"string": "x"}`), and
//! bytes are a string of the code points 0 to 255, as the specification says and Java's library does.

use std::collections::HashSet;
use std::io::Write as _;

use super::{Avro, DEPTH_MAX, Field, NamedKind, Primitive, Type};
use crate::encoding::Misfit;
use crate::json::Json;
use crate::limits::Budget;

/// Names that are looked at in one step.
const NAMES_PER_STEP: usize = 16;

impl Avro {
    /// Appends the binary form of a value.
    ///
    /// # Errors
    /// Where it is no value of the schema, and in which place.
    pub(crate) fn encode(&self, json: &Json, out: &mut Vec<u8>, budget: &mut Budget) -> Result<(), Misfit> {
        Writer { avro: self, out, budget }.put(&self.root, json, 0)
    }

    /// Appends the JSON of a value, which are all of these bytes.
    ///
    /// # Errors
    /// Where they are none, or what is appended would pass `bytes_max`.
    pub(crate) fn decode(&self, bytes: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), String> {
        let mut reader = Reader { left: bytes, end: out.len().saturating_add(bytes_max) };
        self.take(&self.root, &mut reader, out, 0)?;
        match reader.left.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left behind the value")),
        }
    }

    fn take(
        &self,
        kind: &Type,
        reader: &mut Reader<'_>,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("the value nests deeper than {DEPTH_MAX} levels"));
        }
        if out.len() > reader.end {
            return Err("the value is too long in JSON".to_owned());
        }
        match kind {
            Type::Primitive { kind, .. } => reader.primitive(*kind, out)?,
            Type::Array { items, .. } => {
                out.push(b'[');
                let mut is_first = true;
                while let Some(count) = reader.block()? {
                    for _ in 0..count {
                        comma(&mut is_first, out);
                        self.take(items, reader, out, depth + 1)?;
                    }
                }
                out.push(b']');
            }
            Type::Map { values, .. } => {
                out.push(b'{');
                let mut is_first = true;
                while let Some(count) = reader.block()? {
                    for _ in 0..count {
                        comma(&mut is_first, out);
                        text(reader.text()?, out);
                        out.push(b':');
                        self.take(values, reader, out, depth + 1)?;
                    }
                }
                out.push(b'}');
            }
            Type::Union(branches) => {
                let at = reader.long()?;
                let branch = usize::try_from(at).ok().and_then(|at| branches.get(at));
                let branch = branch.ok_or_else(|| format!("a union has no branch {at}"))?;
                if matches!(branch, Type::Primitive { kind: Primitive::Null, .. }) {
                    out.extend_from_slice(b"null");
                    return Ok(());
                }
                out.push(b'{');
                text(&self.kind_name(branch), out);
                out.push(b':');
                self.take(branch, reader, out, depth + 1)?;
                out.push(b'}');
            }
            Type::Named(id) => match &self.named[*id].kind {
                NamedKind::Record { fields, .. } => {
                    out.push(b'{');
                    let mut is_first = true;
                    for field in fields {
                        comma(&mut is_first, out);
                        text(&field.name, out);
                        out.push(b':');
                        self.take(&field.kind, reader, out, depth + 1)?;
                    }
                    out.push(b'}');
                }
                NamedKind::Enum { symbols, .. } => {
                    let at = reader.long()?;
                    let symbol = usize::try_from(at).ok().and_then(|at| symbols.get(at));
                    text(symbol.ok_or_else(|| format!("an enum has no symbol {at}"))?, out);
                }
                NamedKind::Fixed { size } => text(&to_text(reader.bytes(*size as usize)?), out),
            },
        }
        Ok(())
    }
}

// ---- written ----------------------------------------------------------------------------------------------

/// A value that is written, within what its request may take.
struct Writer<'a> {
    avro: &'a Avro,
    out: &'a mut Vec<u8>,
    budget: &'a mut Budget,
}

impl Writer<'_> {
    fn spend(&mut self, steps: usize) -> Result<(), Misfit> {
        let too_much = |_| Misfit::new("to write it takes more steps than a request may have".to_owned());
        self.budget.spend(steps).map_err(too_much)
    }

    fn put(&mut self, kind: &Type, json: &Json, depth: usize) -> Result<(), Misfit> {
        if depth > DEPTH_MAX {
            return Err(Misfit::new(format!("it nests deeper than {DEPTH_MAX} levels")));
        }
        self.spend(1)?;
        let avro = self.avro;
        let expected = || Misfit::expected(&avro.kind_name(kind), json);
        match kind {
            Type::Primitive { kind, .. } => primitive(*kind, json, self.out).ok_or_else(expected),
            Type::Array { items, .. } => {
                let Json::Array(elements) = json else { return Err(expected()) };
                block(elements.len(), self.out);
                for (at, element) in elements.iter().enumerate() {
                    self.put(items, element, depth + 1).map_err(|why| why.at_element(at))?;
                }
                long(0, self.out);
                Ok(())
            }
            Type::Map { values, .. } => {
                let Json::Object(members) = json else { return Err(expected()) };
                block(members.len(), self.out);
                for (name, value) in members {
                    bytes(name.as_bytes(), self.out);
                    self.put(values, value, depth + 1).map_err(|why| why.below(name))?;
                }
                long(0, self.out);
                Ok(())
            }
            Type::Union(branches) => self.put_branch(branches, json, depth),
            Type::Named(id) => match &avro.named[*id].kind {
                NamedKind::Record { fields, .. } => match json {
                    Json::Object(_) => self.put_fields(fields, json, depth),
                    _ => Err(expected()),
                },
                NamedKind::Enum { symbols, .. } => {
                    let symbol = json.as_str().ok_or_else(expected)?;
                    let at = symbols.iter().position(|known| known == symbol).ok_or_else(expected)?;
                    self.spend(at / NAMES_PER_STEP)?;
                    long(at as i64, self.out);
                    Ok(())
                }
                NamedKind::Fixed { size } => {
                    let value = json.as_str().and_then(from_text).ok_or_else(expected)?;
                    if value.len() != *size as usize {
                        return Err(Misfit::new(format!(
                            "it has {} bytes, and {size} are fixed",
                            value.len()
                        )));
                    }
                    self.out.extend_from_slice(&value);
                    Ok(())
                }
            },
        }
    }

    fn put_fields(&mut self, fields: &[Field], json: &Json, depth: usize) -> Result<(), Misfit> {
        let members = json.members();
        for (at, field) in fields.iter().enumerate() {
            // Most clients write members in the order of the fields.
            let value = match members.get(at) {
                Some((name, value)) if *name == field.name => Some(value),
                _ => {
                    self.spend(members.len() / NAMES_PER_STEP)?;
                    json.get(&field.name)
                }
            };
            let value = value.ok_or_else(|| Misfit::new(format!("the field {} is missing", field.name)))?;
            self.put(&field.kind, value, depth + 1).map_err(|why| why.below(&field.name))?;
        }
        if members.len() <= fields.len() {
            return Ok(());
        }
        let known: HashSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        match members.iter().find(|(name, _)| !known.contains(name.as_str())) {
            Some((name, _)) => Err(Misfit::new(format!("there is no field {name}"))),
            None => Ok(()),
        }
    }

    fn put_branch(&mut self, branches: &[Type], json: &Json, depth: usize) -> Result<(), Misfit> {
        // A name is made for each.
        self.spend(branches.len())?;
        let avro = self.avro;
        let is_null = |branch: &Type| matches!(branch, Type::Primitive { kind: Primitive::Null, .. });
        let names = || {
            let names = branches.iter().map(|branch| match is_null(branch) {
                true => "null".to_owned(),
                false => format!("{{\"{}\": ...}}", avro.kind_name(branch)),
            });
            Misfit::expected(&names.collect::<Vec<_>>().join(" or "), json)
        };
        let (at, value) = match json {
            Json::Null => (branches.iter().position(is_null).ok_or_else(names)?, json),
            Json::Object(members) => {
                let [(name, value)] = members.as_slice() else { return Err(names()) };
                let is_named = |branch: &Type| !is_null(branch) && avro.kind_name(branch) == *name;
                (branches.iter().position(is_named).ok_or_else(names)?, value)
            }
            _ => return Err(names()),
        };
        long(at as i64, self.out);
        self.put(&branches[at], value, depth + 1)
    }
}

/// `None` where the value is none of the type.
fn primitive(kind: Primitive, json: &Json, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        Primitive::Null => (*json == Json::Null).then_some(())?,
        Primitive::Boolean => out.push(json.as_bool()?.into()),
        Primitive::Int => long(json.as_i64().filter(|number| i32::try_from(*number).is_ok())?, out),
        Primitive::Long => long(json.as_i64()?, out),
        Primitive::Float => out.extend_from_slice(&(double(json)? as f32).to_le_bytes()),
        Primitive::Double => out.extend_from_slice(&double(json)?.to_le_bytes()),
        Primitive::Bytes => bytes(&from_text(json.as_str()?)?, out),
        Primitive::String => bytes(json.as_str()?.as_bytes(), out),
    }
    Some(())
}

fn double(json: &Json) -> Option<f64> {
    json.as_f64().or_else(|| match json.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    })
}

fn long(number: i64, out: &mut Vec<u8>) {
    crate::encoding::varint(((number << 1) ^ (number >> 63)) as u64, out);
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// The start of the one block of an array or a map, unless there is nothing in it.
fn block(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        long(count as i64, out);
    }
}

/// Bytes as a text of the code points 0 to 255 says them.
fn from_text(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
}

fn to_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

// ---- read -------------------------------------------------------------------------------------------------

struct Reader<'a> {
    left: &'a [u8],
    /// How long the output may become.
    end: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let taken = self.left.split_off(..count);
        taken.ok_or_else(|| format!("{count} bytes are expected, and {} are left", self.left.len()))
    }

    fn long(&mut self) -> Result<i64, String> {
        let number = crate::encoding::take_varint(&mut self.left).ok_or("a number is cut off or too long")?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn counted(&mut self) -> Result<&'a [u8], String> {
        let count = self.long()?;
        self.bytes(usize::try_from(count).map_err(|_| format!("{count} is no length"))?)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.counted()?).map_err(|_| "a string is not UTF-8".to_owned())
    }

    /// How many elements the next block has, unless it is the end.
    fn block(&mut self) -> Result<Option<u64>, String> {
        let count = self.long()?;
        if count < 0 {
            // How many bytes the block has, for those that skip it.
            self.long()?;
        }
        Ok(Some(count.unsigned_abs()).filter(|count| *count > 0))
    }

    fn primitive(&mut self, kind: Primitive, out: &mut Vec<u8>) -> Result<(), String> {
        match kind {
            Primitive::Null => out.extend_from_slice(b"null"),
            Primitive::Boolean => match self.bytes(1)? {
                [0] => out.extend_from_slice(b"false"),
                [1] => out.extend_from_slice(b"true"),
                other => return Err(format!("{} is no boolean", other[0])),
            },
            Primitive::Int => {
                let number = self.long()?;
                let number = i32::try_from(number).map_err(|_| format!("{number} is no int"))?;
                let _ = write!(out, "{number}");
            }
            Primitive::Long => {
                let number = self.long()?;
                let _ = write!(out, "{number}");
            }
            Primitive::Float => {
                let bytes = self.bytes(4)?.try_into().unwrap_or_default();
                let number = f32::from_le_bytes(bytes);
                fraction(number, f64::from(number), out);
            }
            Primitive::Double => {
                let bytes = self.bytes(8)?.try_into().unwrap_or_default();
                let number = f64::from_le_bytes(bytes);
                fraction(number, number, out);
            }
            Primitive::Bytes => text(&to_text(self.counted()?), out),
            Primitive::String => text(self.text()?, out),
        }
        Ok(())
    }
}

fn comma(is_first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(is_first) {
        out.push(b',');
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("memory takes everything");
}

/// A number with the digits that its own type needs; one that JSON does not have is a text, as Java writes
/// it.
fn fraction(number: impl serde::Serialize, wide: f64, out: &mut Vec<u8>) {
    match wide {
        wide if wide.is_nan() => text("NaN", out),
        f64::INFINITY => text("Infinity", out),
        f64::NEG_INFINITY => text("-Infinity", out),
        _ => serde_json::to_writer(out, &number).expect("memory takes everything"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn avro(text: &str) -> Avro {
        Avro::parse(text, &[], true).unwrap()
    }

    fn encoded(schema: &str, json: &str) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let json = Json::parse(json.as_bytes()).unwrap();
        avro(schema)
            .encode(&json, &mut out, &mut Budget::for_values())
            .map(|()| out)
            .map_err(|why| why.to_string())
    }

    fn decoded(schema: &str, bytes: &[u8]) -> Result<String, String> {
        let mut out = Vec::new();
        avro(schema).decode(bytes, &mut out, 1_000).map(|()| String::from_utf8(out).unwrap())
    }

    /// Each with its binary form, as the specification has it.
    #[test]
    fn values_are_encoded_as_the_specification_says_and_read_again() {
        let order = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
            {"name":"id","type":"long"},{"name":"note","type":["null","string"],"default":null},
            {"name":"next","type":["null","Order"]}]}"#;
        let kind = r#"{"type":"enum","name":"Kind","symbols":["A","B"]}"#;
        for (schema, json, bytes) in [
            ("\"null\"", "null", &[][..]),
            ("\"boolean\"", "true", &[1]),
            ("\"int\"", "-1", &[1]),
            ("\"long\"", "64", &[0x80, 1]),
            ("\"long\"", "-9223372036854775808", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            ("\"float\"", "0.1", &[0xcd, 0xcc, 0xcc, 0x3d]),
            ("\"double\"", "\"-Infinity\"", &[0, 0, 0, 0, 0, 0, 0xf0, 0xff]),
            ("\"bytes\"", "\"\\u0000ÿ\"", &[4, 0, 0xff]),
            ("\"string\"", "\"é\"", &[4, 0xc3, 0xa9]),
            (r#"{"type":"array","items":"int"}"#, "[1,2]", &[4, 2, 4, 0]),
            (r#"{"type":"array","items":"int"}"#, "[]", &[0]),
            (r#"{"type":"map","values":"int"}"#, r#"{"a":1}"#, &[2, 2, b'a', 2, 0]),
            (kind, "\"B\"", &[2]),
            (r#"{"type":"fixed","name":"F","size":2}"#, "\"\\u0001\\u0002\"", &[1, 2]),
            (
                order,
                r#"{"id":1,"note":{"string":"x"},"next":{"shop.Order":{"id":2,"note":null,"next":null}}}"#,
                &[2, 2, 2, b'x', 2, 4, 0, 0],
            ),
        ] {
            assert_eq!(encoded(schema, json).as_deref(), Ok(bytes), "{schema} {json}");
            let means = |text: &str| Json::parse(text.as_bytes()).unwrap();
            assert_eq!(means(&decoded(schema, bytes).unwrap()), means(json), "{schema}");
        }
        assert_eq!(decoded(r#"{"type":"array","items":"int"}"#, &[3, 4, 2, 4, 0]).as_deref(), Ok("[1,2]"));
        let reordered = encoded(order, r#"{"next":null,"note":null,"id":1}"#);
        assert_eq!(reordered.as_deref(), Ok(&[2, 0, 0][..]));
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"int"}},
            {"name":"b","type":["null","string"]}]}"#;
        for (json, why) in [
            (r#"{"a":[1,"x"],"b":null}"#, ".a[1]: int is expected, and a string is there"),
            (r#"{"a":[2147483648],"b":null}"#, ".a[0]: int is expected, and a number is there"),
            (r#"{"a":[]}"#, "the field b is missing"),
            (r#"{"a":[],"b":null,"c":1}"#, "there is no field c"),
            (r#"{"a":[],"b":"x"}"#, ".b: null or {\"string\": ...} is expected, and a string is there"),
            ("[]", "R is expected, and an array is there"),
        ] {
            assert_eq!(encoded(schema, json), Err(why.to_owned()));
        }
    }

    /// Each once took most of a minute.
    #[test]
    fn d11_many_names_in_few_bytes_end_soon() {
        let last = |count: usize, name: &str| format!("[{}]", vec![name; count].join(","));
        let symbols: Vec<String> = (0..60_000).map(|at| format!("\"s{at}\"")).collect();
        let symbols = symbols.join(",");
        let of_enum = format!(
            "{{\"type\":\"array\",\"items\":{{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[{symbols}]}}}}"
        );
        let branch = |at| format!("{{\"type\":\"fixed\",\"name\":\"f{at}\",\"size\":1}}");
        let branches: Vec<String> = (0..5_000).map(branch).collect();
        let of_union = format!("{{\"type\":\"array\",\"items\":[{}]}}", branches.join(","));
        for (schema, value) in
            [(of_enum, last(100_000, "\"s59999\"")), (of_union, last(100_000, "{\"f4999\":\"a\"}"))]
        {
            let why = encoded(&schema, &value).unwrap_err();
            assert!(why.contains("more steps than"), "{why}");
        }
    }

    #[test]
    fn d11_short_bytes_are_no_long_json_and_no_deep_stack() {
        let schema = r#"{"type":"array","items":"null"}"#;
        let nothing = [0xfe, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(decoded(schema, &nothing).unwrap_err(), "the value is too long in JSON");
        let list = r#"{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}"#;
        assert!(decoded(list, &[2; 5_000]).unwrap_err().contains("deeper than"));
        for (schema, bytes, why) in [
            ("\"string\"", &[6, b'a'][..], "3 bytes are expected, and 1 are left"),
            ("\"string\"", &[1], "-1 is no length"),
            ("\"int\"", &[0x80, 0x80, 0x80, 0x80, 0x10], "2147483648 is no int"),
            ("\"int\"", &[0x80], "a number is cut off or too long"),
            ("\"int\"", &[2, 2], "1 bytes are left behind the value"),
            ("[\"null\"]", &[2], "a union has no branch 1"),
        ] {
            assert_eq!(decoded(schema, bytes), Err(why.to_owned()), "{schema}");
        }
    }
}
