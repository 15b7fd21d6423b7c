//! Numbers, sizes, times and links as people read them.

use std::time::{Duration, UNIX_EPOCH};

/// The last moment that has a date of four digits: 9999-12-31T23:59:59Z.
const LAST_MS: i64 = 253_402_300_799_000;

/// With a comma every three digits.
pub(super) fn whole(number: impl TryInto<i64>) -> String {
    let Ok(number) = number.try_into() else { return "very many".to_owned() };
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things: `1 topic`, `2 topics`.
pub(super) fn things(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", whole(count), if count == 1 { one } else { many })
}

/// A size.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// Bytes a second.
pub(super) fn bytes_per_second(rate: f64) -> String {
    format!("{}/s", bytes(rate.max(0.0).round() as u64))
}

/// A number with one digit behind the point where it is small.
pub(super) fn number(number: f64) -> String {
    if number >= 100.0 { whole(number.round() as i64) } else { format!("{number:.1}") }
}

/// A moment, in milliseconds since 1970.
pub(super) fn moment(ms: i64) -> String {
    match u64::try_from(ms) {
        Ok(since) if ms <= LAST_MS => {
            humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(since)).to_string()
        }
        _ => format!("{ms} ms since 1970"),
    }
}

/// How long something takes or took, in its largest unit.
pub(super) fn duration(took: Duration) -> String {
    let seconds = took.as_secs();
    match seconds {
        0 if took.as_millis() == 0 => format!("{} µs", took.as_micros()),
        0..10 => {
            let text = format!("{:.1}", took.as_secs_f64() * 1e3);
            format!("{} ms", text.strip_suffix(".0").unwrap_or(&text))
        }
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", whole(seconds / 86_400)),
    }
}

/// A path with parameters behind it.
pub(super) fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The path of a topic's page, with what follows.
pub(super) fn of_topic(topic: &str, rest: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(topic.as_bytes()).collect();
    format!("/console/topics/{name}{rest}")
}

/// The beginning of a text, and whether there is more.
pub(super) fn cut(text: &str, chars_max: usize) -> (&str, bool) {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

/// What a letter takes in a page.
fn escaped(letter: char) -> usize {
    match letter {
        '<' | '>' => 4,
        '&' => 5,
        '"' => 6,
        _ => letter.len_utf8(),
    }
}

/// Bytes that a text takes in a page.
pub(super) fn escaped_bytes(text: &str) -> usize {
    text.chars().map(escaped).sum()
}

/// The beginning of a text that takes no more than so many bytes of a page, and whether there is more.
pub(super) fn fit(text: &str, bytes_max: usize) -> (&str, bool) {
    let mut bytes = 0;
    for (at, letter) in text.char_indices() {
        bytes += escaped(letter);
        if bytes > bytes_max {
            return (&text[..at], true);
        }
    }
    (text, false)
}

/// JSON in lines, up to about so many bytes: deep nesting would be mostly blanks.
pub(super) fn pretty(json: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(2 * json.len().min(bytes_max));
    let (mut depth, mut is_text, mut is_escaped, mut is_fresh) = (0_usize, false, false, false);
    for letter in json.chars() {
        if out.len() >= bytes_max {
            break;
        }
        if is_text {
            out.push(letter);
            is_text = is_escaped || letter != '"';
            is_escaped = !is_escaped && letter == '\\';
            continue;
        }
        if letter.is_ascii_whitespace() {
            continue;
        }
        let is_end = matches!(letter, ']' | '}');
        depth -= usize::from(is_end && depth > 0);
        // What opened has something in it, or something ends that had.
        if is_fresh != is_end {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
        is_fresh = matches!(letter, '[' | '{');
        depth += usize::from(is_fresh);
        out.push(letter);
        match letter {
            ',' => {
                out.push('\n');
                out.extend(std::iter::repeat_n("  ", depth));
            }
            ':' => out.push(' '),
            _ => {}
        }
        is_text = letter == '"';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_as_people_read_them() {
        assert_eq!(whole(0), "0");
        assert_eq!(whole(-1_234_567), "-1,234,567");
        assert_eq!(whole(999), "999");
        assert_eq!(whole(u64::MAX), "very many");
        assert_eq!(things(1, "topic", "topics"), "1 topic");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
        assert_eq!(number(99.94), "99.9");
        assert_eq!(number(1_234.4), "1,234");
        assert_eq!(duration(Duration::from_micros(250)), "250 µs");
        assert_eq!(duration(Duration::from_micros(2_500)), "2.5 ms");
        assert_eq!(duration(Duration::from_millis(5)), "5 ms");
        assert_eq!(duration(Duration::from_secs(3_600 * 50)), "2 days");
    }

    #[test]
    fn what_fits_a_page_is_counted_as_it_is_escaped() {
        assert_eq!(fit("a\"<&>ü", 100), ("a\"<&>ü", false));
        assert_eq!(escaped_bytes("a\"<&>ü"), maud::html! { ("a\"<&>ü") }.into_string().len());
        assert_eq!(fit("a\"b", 7), ("a\"", true));
        assert_eq!(fit("a\"b", 6), ("a", true));
    }

    #[test]
    fn json_in_lines_says_the_same_and_is_bounded_however_deep_it_is() {
        let text = r#"{"a":[1,{"b\"]":" x , { "}],"e":[],"f":{ }}"#;
        let lines = pretty(text, 1000);
        let expected = "{\n  \"a\": [\n    1,\n    {\n      \"b\\\"]\": \" x , { \"\n    }\n  ],\n  \"e\": [],\n  \"f\": {}\n}";
        assert_eq!(lines, expected);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&lines), read(text));
        assert!(pretty(&"[".repeat(100_000), 5_000).len() < 6_000);
        assert_eq!(pretty("]]", 10), "\n]\n]");
    }

    #[test]
    fn any_timestamp_that_a_record_may_have_can_be_shown() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        for strange in [-1, i64::MIN, i64::MAX, LAST_MS + 1] {
            assert_eq!(moment(strange), format!("{strange} ms since 1970"));
        }
        assert!(moment(LAST_MS).starts_with("9999-12-31"));
    }

    #[test]
    fn a_link_says_what_is_there_whatever_it_is_called() {
        assert_eq!(
            link("/console/group", &[("id", "a/b &c\"<"), ("q", "")]),
            "/console/group?id=a%2Fb+%26c%22%3C"
        );
        assert_eq!(link("/console", &[]), "/console");
        assert_eq!(of_topic("a.b-c_d", "/messages"), "/console/topics/a.b-c_d/messages");
        assert_eq!(cut("grün", 3), ("grü", true));
        assert_eq!(cut("grün", 4), ("grün", false));
    }
}
