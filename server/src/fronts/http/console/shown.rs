//! A key or a value as people read it: what it says by the schema that it names, else text, else bytes.

use std::borrow::Cow;

use maud::{Markup, html};
use strandline_schemas::definition::SchemaType;
use strandline_schemas::values::taken_apart;

use super::format::{cut, link, pretty};
use crate::fronts::http::ask::Asker;
use crate::fronts::http::records::{Decoded, decode};
use crate::fronts::http::schemas::{Readers, Registry};

/// Longest JSON that a key or a value becomes in a list, and longest one that becomes it there.
pub(super) const DECODED_BYTES_MAX: usize = 64 << 10;
const ENCODED_BYTES_MAX: usize = 16 << 10;

/// Longest JSON that one becomes which is shown alone.
const WHOLE_BYTES_MAX: usize = 4 << 20;

/// The beginning of a key or a value.
#[derive(Default)]
pub(super) struct Shown {
    /// JSON, text, or bytes in hexadecimal digits.
    pub(super) text: String,
    /// Whether there is more.
    pub(super) is_cut: bool,
    /// What it is, where that is not text.
    word: Option<Cow<'static, str>>,
    /// The schema that it was read by.
    schema: Option<i32>,
    /// It as it is, where it may go by a schema and is not read by it yet.
    raw: Option<Vec<u8>>,
}

impl Shown {
    /// Of bytes, or of none.
    pub(super) fn of(part: Option<&[u8]>, chars_max: usize) -> Shown {
        let plain = |text: &str, is_cut: bool, word: Option<&'static str>| {
            let raw = part.filter(|part| part.len() <= ENCODED_BYTES_MAX && taken_apart(part).is_some());
            let raw = raw.map(<[u8]>::to_vec);
            Shown { text: text.to_owned(), is_cut, word: word.map(Cow::Borrowed), schema: None, raw }
        };
        let Some(part) = part else { return plain("", false, Some("none")) };
        match std::str::from_utf8(part) {
            Ok("") => plain("", false, Some("empty")),
            Ok(text) if !text.contains(is_unreadable) => {
                let (text, is_cut) = cut(text, chars_max);
                plain(text, is_cut, None)
            }
            _ => {
                let shown = part.len().min(chars_max / 2);
                let text: String = part[..shown].iter().map(|byte| format!("{byte:02x}")).collect();
                plain(&text, shown < part.len(), Some("bytes"))
            }
        }
    }

    /// Shows what it says by the schema that it names, where it does and that can be had.
    pub(super) async fn decode(&mut self, asker: &Asker, schemas: &mut Readers<'_>, chars_max: usize) {
        let Some(raw) = self.raw.take() else { return };
        loop {
            match decode(&raw, schemas.at_hand(), DECODED_BYTES_MAX) {
                Err(id) => schemas.look_up(asker, id).await,
                Ok(Some(Ok(decoded))) => {
                    *self = Shown::decoded(decoded.id, decoded.schema_type, &decoded.json, chars_max);
                    return;
                }
                Ok(_) => return,
            }
        }
    }

    fn decoded(id: i32, schema_type: SchemaType, json: &[u8], chars_max: usize) -> Shown {
        let text = String::from_utf8_lossy(json);
        let (text, is_cut) = cut(&text, chars_max);
        let word = Some(format!("{}, schema {id}", named(schema_type)).into());
        Shown { text: text.to_owned(), is_cut, word, schema: Some(id), raw: None }
    }

    /// The word for what it is, which leads to its schema.
    pub(super) fn word(&self) -> Option<Markup> {
        let word = self.word.as_deref()?;
        Some(match self.schema {
            Some(id) => html! { a.tag href=(link("/console/schema", &[("id", &id.to_string())])) { (word) } },
            None => html! { span.tag { (word) } },
        })
    }

    pub(super) fn markup(&self) -> Markup {
        html! {
            @if let Some(word) = self.word() { (word) " " }
            @if !self.text.is_empty() { code { (self.text) } }
            @if self.is_cut { span.quiet { " ..." } }
        }
    }
}

/// A key or a value that is shown alone, in lines; the words say why it is not read by the schema that it
/// names, where it seems to name one.
pub(super) async fn alone(
    asker: &Asker,
    registry: &Registry,
    part: Option<&[u8]>,
    chars_max: usize,
) -> (Shown, Option<String>) {
    let plain = || Shown::of(part, chars_max);
    let Some((part, (id, _))) = part.and_then(|part| Some((part, taken_apart(part)?))) else {
        return (plain(), None);
    };
    let mut schemas = registry.readers();
    schemas.look_up(asker, id).await;
    let (at_hand, bytes) = (schemas.at_hand().clone(), part.to_vec());
    let decoded = registry.encode(move || decode(&bytes, &at_hand, WHOLE_BYTES_MAX)).await;
    match decoded {
        Ok(Ok(Some(Ok(Decoded { id, schema_type, json })))) => {
            let lines = pretty(&String::from_utf8_lossy(&json), WHOLE_BYTES_MAX);
            (Shown::decoded(id, schema_type, lines.as_bytes(), chars_max), None)
        }
        Ok(Ok(Some(Err(why)))) => (plain(), Some(why)),
        Err(problem) => (plain(), Some(problem.message)),
        Ok(_) => (plain(), None),
    }
}

/// What a type of schemas is called by people.
pub(super) fn named(schema_type: SchemaType) -> &'static str {
    match schema_type {
        SchemaType::Avro => "Avro",
        SchemaType::Json => "JSON Schema",
        SchemaType::Protobuf => "Protobuf",
    }
}

/// Whether a text with this in it is better shown as bytes.
fn is_unreadable(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_text_where_people_can_read_them_and_in_digits_where_not() {
        for (bytes, text, word) in [
            (&b"a\tb\n"[..], "a\tb\n", None),
            ("grün".as_bytes(), "grün", None),
            (b"", "", Some("empty")),
            (b"a\0b", "610062", Some("bytes")),
            (b"\xff", "ff", Some("bytes")),
        ] {
            let shown = Shown::of(Some(bytes), 100);
            assert_eq!((shown.text.as_str(), shown.word.as_deref(), shown.is_cut), (text, word, false));
        }
        assert_eq!(Shown::of(None, 100).word.as_deref(), Some("none"));
        let cut = Shown::of(Some(b"\xff\xfe\xfd"), 4);
        assert_eq!((cut.text.as_str(), cut.is_cut), ("fffe", true));
        assert!(Shown::of(Some(b"\0\0\0\0\x07x"), 100).raw.is_some());
        assert!(Shown::of(Some(b"\x01\0\0\0\x07x"), 100).raw.is_none(), "it names no schema");
    }
}
