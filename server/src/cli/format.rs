//! How a consumed record looks: a line of text, or a line of JSON.
//!
//! ```text
//! text  the fields of --print, in that order, between separators; null is empty, bytes are bytes
//! json  {"topic":"t","partition":0,"offset":7,"timestamp":1772366400000,"key":null,"value":"v","headers":[{"name":"n","value":"v"}]}
//! ```
//!
//! In JSON, bytes that are not UTF-8 are given as base64 (RFC 4648, section 4), and a field named
//! `..._encoding` with the value `"base64"` says so. Headers are a list, since names may repeat. A record
//! without a timestamp has null.

use clap::ValueEnum;
use std::io::{self, Write};
use strandline_client::ConsumedRecord;

/// The base64 alphabet of RFC 4648, section 4.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A part of a record that a line of text may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Field {
    Topic,
    Partition,
    Offset,
    /// In milliseconds since 1970, -1 for none
    Timestamp,
    Key,
    Value,
    /// As name=value, between commas
    Headers,
}

/// How records are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text { fields: Vec<Field>, separator: String },
    Json,
}

impl Format {
    /// Writes one record and a line feed.
    pub(super) fn write(
        &self,
        topic: &str,
        record: &ConsumedRecord<'_>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match self {
            Format::Text { fields, separator } => {
                for (at, field) in fields.iter().enumerate() {
                    if at > 0 {
                        out.write_all(separator.as_bytes())?;
                    }
                    write_field(*field, topic, record, out)?;
                }
            }
            Format::Json => write_json(topic, record, out)?,
        }
        out.write_all(b"\n")
    }
}

fn write_field(
    field: Field,
    topic: &str,
    record: &ConsumedRecord<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    match field {
        Field::Topic => out.write_all(topic.as_bytes()),
        Field::Partition => write!(out, "{}", record.partition),
        Field::Offset => write!(out, "{}", record.offset),
        Field::Timestamp => write!(out, "{}", record.timestamp),
        Field::Key => out.write_all(record.key.unwrap_or_default()),
        Field::Value => out.write_all(record.value.unwrap_or_default()),
        Field::Headers => {
            for (at, (name, value)) in headers(record).enumerate() {
                if at > 0 {
                    out.write_all(b",")?;
                }
                out.write_all(name)?;
                out.write_all(b"=")?;
                out.write_all(value.unwrap_or_default())?;
            }
            Ok(())
        }
    }
}

/// The headers up to the first that can not be read, which a broker lets nobody write.
fn headers<'a>(record: &ConsumedRecord<'a>) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
    record.headers.map_while(Result::ok)
}

fn write_json(topic: &str, record: &ConsumedRecord<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"{")?;
    write_bytes("topic", Some(topic.as_bytes()), out)?;
    write!(out, ",\"partition\":{},\"offset\":{},\"timestamp\":", record.partition, record.offset)?;
    match record.timestamp.0 {
        0.. => write!(out, "{},", record.timestamp)?,
        _ => out.write_all(b"null,")?,
    }
    write_bytes("key", record.key, out)?;
    out.write_all(b",")?;
    write_bytes("value", record.value, out)?;
    out.write_all(b",\"headers\":[")?;
    for (at, (name, value)) in headers(record).enumerate() {
        out.write_all(if at > 0 { b",{" } else { b"{" })?;
        write_bytes("name", Some(name), out)?;
        out.write_all(b",")?;
        write_bytes("value", value, out)?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]}")
}

/// `"name":"text"`, `"name":null`, or `"name":"b64...","name_encoding":"base64"`.
fn write_bytes(name: &str, bytes: Option<&[u8]>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "\"{name}\":")?;
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => out.write_all(b"null"),
        Some(Ok(text)) => Ok(serde_json::to_writer(out, text)?),
        Some(Err(bytes)) => write!(out, "\"{}\",\"{name}_encoding\":\"base64\"", base64(bytes)),
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_engine::format::batch::BATCH_HEADER_BYTES;
    use strandline_engine::format::builder::BatchBuilder;
    use strandline_engine::format::compression::Codec;
    use strandline_engine::format::record::Records;
    use strandline_engine::types::Timestamp;

    /// The line for a record with this key, value and headers at offset 7 of partition 2.
    fn line(
        format: &Format,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> String {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(Timestamp(timestamp), key, value, headers);
        let batch = builder.build();
        let record = Records::new(&batch[BATCH_HEADER_BYTES..], 1).next().unwrap().unwrap();
        let headers = record.headers;
        let record =
            ConsumedRecord { partition: 2, offset: 7, timestamp: Timestamp(timestamp), key, value, headers };
        let mut out = Vec::new();
        format.write("t", &record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_escapes_what_json_must_and_marks_what_is_not_text() {
        let headers: &[(&str, Option<&[u8]>)] = &[("h\n", None), ("h", Some(b"\xff\xfe"))];
        let text = line(&Format::Json, 5, Some(b"a\"\\\x01\tb"), Some(b"\x00\xff"), headers);
        assert_eq!(
            text,
            concat!(
                r#"{"topic":"t","partition":2,"offset":7,"timestamp":5,"key":"a\"\\\u0001\tb","#,
                r#""value":"AP8=","value_encoding":"base64","headers":[{"name":"h\n","value":null},"#,
                r#"{"name":"h","value":"//4=","value_encoding":"base64"}]}"#,
                "\n"
            )
        );
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn json_tells_null_from_empty() {
        let text = line(&Format::Json, -1, None, Some(b""), &[]);
        assert_eq!(
            text,
            "{\"topic\":\"t\",\"partition\":2,\"offset\":7,\"timestamp\":null,\"key\":null,\"value\":\"\",\"headers\":[]}\n"
        );
    }

    #[test]
    fn text_has_the_fields_that_were_asked_for_in_their_order() {
        use Field::{Headers, Key, Offset, Partition, Topic, Value};
        let fields = vec![Key, Offset, Value, Partition, Field::Timestamp, Topic, Headers];
        let format = Format::Text { fields, separator: "|".to_owned() };
        let headers: &[(&str, Option<&[u8]>)] = &[("a", Some(b"1")), ("b", None)];
        assert_eq!(line(&format, 9, None, Some(b"v"), headers), "|7|v|2|9|t|a=1,b=\n");
    }

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
