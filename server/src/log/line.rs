//! One line: an event's fields, cut and escaped, as text or as a JSON object.
//!
//! ```text
//! 2026-03-01T12:00:00.123456Z  WARN strandline::fronts::kafka::connection: connection closed peer=127.0.0.1:4711 reason=...
//! {"timestamp":"...","level":"WARN","message":"connection closed","peer":"127.0.0.1:4711","reason":"...","target":"..."}
//! ```

use std::fmt::{self, Debug, Write};
use std::net::{IpAddr, SocketAddr};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer as TimeWriter;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime as Clock};

/// The longest that the value of a field is: a path and a sentence about it, or a topic's name several times.
/// A client may send ids of 32 kB.
const VALUE_BYTES_MAX: usize = 1024;

/// Lines that were left out and not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
    pub(super) peer: Option<IpAddr>,
    pub(super) lines: u64,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, module, message, fields.
    Text {
        /// Whether the level has a colour.
        colours: bool,
    },
    /// A JSON object with timestamp, level, target, message and the fields.
    Json,
}

/// A line in the making.
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    /// A text, which is quoted.
    Text(String),
    /// What a value shows of itself.
    Shown(String),
    /// A number or a truth, which is itself in JSON, too.
    Plain(String),
}

impl Line {
    pub(super) fn new(event: &Event<'_>) -> Line {
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target());
        let mut line = Line { level, target, message: String::new(), fields: Vec::new() };
        event.record(&mut line);
        line
    }

    /// A line of the log about itself.
    pub(super) fn own(level: Level, message: String) -> Line {
        Line { level, target: "strandline::log", message, fields: Vec::new() }
    }

    /// How many lines were left out that no other line came to tell of.
    pub(super) fn left_out(left_out: &LeftOut) -> Line {
        let mut line = Line::own(left_out.level, "lines were left out".to_owned());
        line.fields.push(("like", Value::Text(left_out.message.clone())));
        line.fields.push(("from", Value::Shown(left_out.target.to_owned())));
        line.fields.extend(left_out.peer.map(|peer| ("peer", Value::Shown(peer.to_string()))));
        line.note_left_out(left_out.lines);
        line
    }

    /// Says how many lines of the kind were left out before this one.
    pub(super) fn note_left_out(&mut self, lines: u64) {
        if lines > 0 {
            self.fields.push(("left_out", Value::Plain(lines.to_string())));
        }
    }

    /// Where the client is that the line is about.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        let (_, value) = self.fields.iter().find(|(name, _)| *name == "peer")?;
        let (Value::Text(text) | Value::Shown(text) | Value::Plain(text)) = value;
        let address = text.parse::<SocketAddr>().map(|address| address.ip());
        address.or_else(|_| text.parse()).ok()
    }

    /// The line, with its end.
    pub(super) fn text(&self, format: Format) -> String {
        let mut text = String::with_capacity(256);
        // A string takes everything.
        let _ = match format {
            Format::Text { colours } => self.write_text(&mut text, colours),
            Format::Json => self.write_json(&mut text),
        };
        text
    }

    fn write_text(&self, text: &mut String, colours: bool) -> fmt::Result {
        let (dim, colour, end) = match colours {
            true => ("\x1b[2m", colour(self.level), "\x1b[0m"),
            false => ("", "", ""),
        };
        text.push_str(dim);
        Clock.format_time(&mut TimeWriter::new(text))?;
        write!(text, "{end} {colour}{:>5}{end} {dim}{}:{end} {}", self.level, self.target, self.message)?;
        for (name, value) in &self.fields {
            match value {
                Value::Text(value) => write!(text, " {name}={value:?}")?,
                Value::Shown(value) | Value::Plain(value) => write!(text, " {name}={value}")?,
            }
        }
        text.push('\n');
        Ok(())
    }

    fn write_json(&self, text: &mut String) -> fmt::Result {
        let quoted = |value: &str| serde_json::Value::from(value).to_string();
        text.push_str("{\"timestamp\":\"");
        Clock.format_time(&mut TimeWriter::new(text))?;
        write!(text, "\",\"level\":\"{}\",\"message\":{}", self.level, quoted(&self.message))?;
        for (name, value) in &self.fields {
            match value {
                Value::Text(value) | Value::Shown(value) => {
                    write!(text, ",{}:{}", quoted(name), quoted(value))?
                }
                Value::Plain(value) => write!(text, ",{}:{value}", quoted(name))?,
            }
        }
        writeln!(text, ",\"target\":{}}}", quoted(self.target))
    }

    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(value) | Value::Shown(value) | Value::Plain(value)) => {
                self.message = value
            }
            (name, value) => self.fields.push((name, value)),
        }
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut shown = Shown::default();
        // It never fails.
        let _ = write!(shown, "{value:?}");
        self.take(field, Value::Shown(shown.finish()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::Text(cut(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity and no NaN.
        let value =
            if value.is_finite() { Value::Plain(value.to_string()) } else { Value::Shown(value.to_string()) };
        self.take(field, value);
    }
}

/// The beginning of a text, and how much more there was.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(VALUE_BYTES_MAX);
    let mut kept = text[..end].to_owned();
    note_cut(&mut kept, text.len() - end);
    kept
}

fn note_cut(kept: &mut String, more: usize) {
    if more > 0 {
        let _ = write!(kept, "... ({more} more bytes)");
    }
}

/// Takes what a value shows of itself, as long as it is, and keeps as much as a line shall have; what would
/// break the line, or move the cursor of who reads it, is escaped.
#[derive(Default)]
struct Shown {
    kept: String,
    more: usize,
}

impl Shown {
    fn finish(mut self) -> String {
        note_cut(&mut self.kept, self.more);
        self.kept
    }
}

impl Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if self.more > 0 || self.kept.len() + letter.len_utf8() > VALUE_BYTES_MAX {
                self.more += letter.len_utf8();
            } else if letter.is_control() {
                self.kept.extend(letter.escape_default());
            } else {
                self.kept.push(letter);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: Vec<(&'static str, Value)>) -> Line {
        Line { fields, ..Line::own(Level::WARN, "it happened".to_owned()) }
    }

    fn shown(text: &str) -> String {
        let mut shown = Shown::default();
        shown.write_str(text).unwrap();
        shown.finish()
    }

    #[test]
    fn a_line_is_one_line_whatever_its_values_are() {
        let name = "a\"b\\c\nd\u{1b}[31m\re";
        let fields = || vec![("topic", Value::Text(cut(name))), ("error", Value::Shown(shown(name)))];
        let text = line(fields()).text(Format::Text { colours: false });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.contains(['\u{1b}', '\r']), "{text}");
        let (_, rest) = text.split_once(" WARN ").unwrap();
        assert_eq!(
            rest,
            "strandline::log: it happened topic=\"a\\\"b\\\\c\\nd\\u{1b}[31m\\re\" error=a\"b\\c\\nd\\u{1b}[31m\\re\n"
        );
        let json = line(fields()).text(Format::Json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["level"].as_str(), json["message"].as_str()), (Some("WARN"), Some("it happened")));
        assert_eq!(json["topic"], name);
    }

    #[test]
    fn a_long_value_is_cut_and_says_by_how_much() {
        for value in [cut(&"é".repeat(16_000)), shown(&"é".repeat(16_000))] {
            assert!(value.len() < VALUE_BYTES_MAX + 40);
            assert!(value.ends_with("é... (30976 more bytes)"), "{value}");
        }
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn numbers_stay_numbers_in_json() {
        let line =
            line(vec![("shards", Value::Plain("2".to_owned())), ("is_it", Value::Plain("true".to_owned()))]);
        let json: serde_json::Value = serde_json::from_str(&line.text(Format::Json)).unwrap();
        assert_eq!((&json["shards"], &json["is_it"]), (&2.into(), &true.into()));
    }

    #[test]
    fn the_peer_is_an_address_without_its_port() {
        let of = |text: &str| line(vec![("peer", Value::Shown(text.to_owned()))]).peer();
        assert_eq!(of("10.0.0.7:4711"), Some("10.0.0.7".parse().unwrap()));
        assert_eq!(of("[::1]:4711"), Some("::1".parse().unwrap()));
        assert_eq!(of("10.0.0.7"), Some("10.0.0.7".parse().unwrap()));
        assert_eq!(of("nowhere"), None);
        assert_eq!(line(Vec::new()).peer(), None);
    }
}
