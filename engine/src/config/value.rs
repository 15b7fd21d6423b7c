//! The values of settings: their types, what each setting takes, and how a value is written.
//!
//! A value is read as Kafka's `ConfigDef.parseType` reads it, and shown as `convertToString` shows it:
//! without the blanks around it, numbers and truth values in Java's own form (`0.50` is `0.5`, `TRUE` is
//! `true`), lists without blanks between their words.

/// The type of a setting's value, as Kafka's clients are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// `true` or `false`.
    Bool,
    /// A whole number of 16 bits.
    Short,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// Text.
    Text,
    /// Texts with commas between them.
    List,
    /// The name of a Java class.
    Class,
    /// Text that nobody is shown. No setting of this type has an effect here, so its values are not kept.
    Password,
}

/// What a setting's value must be, beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConfigBounds {
    /// A whole number from the first to the second, and within its type.
    Whole(i64, i64),
    /// The first number, or a whole number from the second to the third.
    WholeOr(i64, i64, i64),
    /// A number from the first to the second.
    Fraction(f64, f64),
    /// One of these words; of a [`ConfigKind::List`], any of them.
    Words(&'static [&'static str]),
    /// One of these words, in capital or small letters.
    WordsOfAnyCase(&'static [&'static str]),
    /// `*`, or replicas as `PARTITION:BROKER` with commas between them.
    Replicas,
    /// This value, because of what the second text says: every other one asks for what is not there.
    Only(&'static str, &'static str),
    /// Anything of its type.
    Any,
}

/// The value in the form in which it is shown; `None` for one that the setting does not take.
pub(super) fn canonical(kind: ConfigKind, bounds: ConfigBounds, value: &str) -> Option<String> {
    let value = value.trim();
    let shown = match kind {
        ConfigKind::Bool => match () {
            () if value.eq_ignore_ascii_case("true") => "true".to_owned(),
            () if value.eq_ignore_ascii_case("false") => "false".to_owned(),
            () => return None,
        },
        ConfigKind::Short | ConfigKind::Int | ConfigKind::Long => {
            let number: i64 = value.parse().ok()?;
            let (least, most) = range(kind);
            let fits = match bounds {
                ConfigBounds::Whole(from, to) => (from..=to).contains(&number),
                ConfigBounds::WholeOr(other, from, to) => number == other || (from..=to).contains(&number),
                _ => true,
            };
            if !fits || !(least..=most).contains(&number) {
                return None;
            }
            number.to_string()
        }
        ConfigKind::Double => {
            // Java marks a double or a float by a letter behind it.
            let digits = value.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(value);
            let number: f64 = digits.parse().ok()?;
            match bounds {
                ConfigBounds::Fraction(from, to) if !(from..=to).contains(&number) => {
                    return None;
                }
                _ => java_double(number),
            }
        }
        ConfigKind::Text | ConfigKind::Class => value.to_owned(),
        ConfigKind::List => {
            let mut words: Vec<&str> = Vec::new();
            for word in elements(value) {
                // A word that comes twice means no more than one that comes once.
                if !(matches!(bounds, ConfigBounds::Words(_)) && words.contains(&word)) {
                    words.push(word);
                }
            }
            words.join(",")
        }
        ConfigKind::Password => String::new(),
    };
    let words = |is_word: &dyn Fn(&str) -> bool| match kind {
        ConfigKind::List => elements(value).all(is_word),
        _ => is_word(value),
    };
    let good = match bounds {
        ConfigBounds::Words(list) => words(&|word| list.contains(&word)),
        ConfigBounds::WordsOfAnyCase(list) => {
            words(&|word| list.iter().any(|one| one.eq_ignore_ascii_case(word)))
        }
        ConfigBounds::Replicas => value == "*" || words(&is_replica),
        ConfigBounds::Only(one, _) => shown == one,
        _ => true,
    };
    good.then_some(shown)
}

/// The elements of a list as Kafka splits it: an empty text has none, two commas have an empty one between
/// them.
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let list = list.trim();
    list.split(',').map(str::trim).filter(move |_| !list.is_empty())
}

fn is_replica(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

pub(super) fn range(kind: ConfigKind) -> (i64, i64) {
    match kind {
        ConfigKind::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
        ConfigKind::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

/// A number as Java's `Double.toString` writes it: the fewest digits that mean it, at least one behind the
/// point, and an exponent from ten million up and below a thousandth.
fn java_double(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        (if number > 0.0 { "Infinity" } else { "-Infinity" }).to_owned()
    } else if size == 0.0 || (1e-3..1e7).contains(&size) {
        format!("{number:?}")
    } else {
        let text = format!("{number:E}");
        match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ConfigBounds::*;
    use super::*;

    #[test]
    fn a_value_is_shown_as_kafka_shows_it() {
        for (kind, bounds, given, shown) in [
            (ConfigKind::Bool, Any, " True ", Some("true")),
            (ConfigKind::Bool, Any, "FALSE", Some("false")),
            (ConfigKind::Bool, Any, "yes", None),
            (ConfigKind::Bool, Any, "", None),
            (ConfigKind::Int, Any, " +5 ", Some("5")),
            (ConfigKind::Int, Any, "007", Some("7")),
            (ConfigKind::Int, Any, "-0", Some("0")),
            (ConfigKind::Int, Any, "5 0", None),
            (ConfigKind::Int, Any, "1_000", None),
            (ConfigKind::Int, Any, "5.0", None),
            (ConfigKind::Int, Any, "2147483648", None),
            (ConfigKind::Short, Any, "32768", None),
            (ConfigKind::Long, Any, "9223372036854775807", Some("9223372036854775807")),
            (ConfigKind::Long, Any, "9223372036854775808", None),
            (ConfigKind::Int, WholeOr(-1, 1, 9), "-1", Some("-1")),
            (ConfigKind::Int, WholeOr(-1, 1, 9), "0", None),
            (ConfigKind::Double, Fraction(0.0, 1.0), "0.50", Some("0.5")),
            (ConfigKind::Double, Fraction(0.0, 1.0), "1", Some("1.0")),
            (ConfigKind::Double, Fraction(0.0, 1.0), ".25", Some("0.25")),
            (ConfigKind::Double, Fraction(0.0, 1.0), "1e-2", Some("0.01")),
            (ConfigKind::Double, Fraction(0.0, 1.0), "0.0001", Some("1.0E-4")),
            (ConfigKind::Double, Fraction(0.0, 1.0), "0.5f", Some("0.5")),
            (ConfigKind::Double, Fraction(0.0, 1.0), "-0.0", Some("-0.0")),
            (ConfigKind::Double, Fraction(0.0, 1.0), "NaN", None),
            (ConfigKind::Double, Fraction(0.0, 1.0), "f", None),
            (ConfigKind::Double, Any, "12345678", Some("1.2345678E7")),
            (ConfigKind::Double, Any, "1.7976931348623157E308", Some("1.7976931348623157E308")),
            (ConfigKind::List, Words(&["compact", "delete"]), " compact , delete ", Some("compact,delete")),
            (ConfigKind::List, Words(&["compact", "delete"]), "", Some("")),
            (ConfigKind::List, Words(&["compact", "delete"]), "compact,", None),
            (ConfigKind::List, Words(&["compact", "delete"]), "compact,compact", Some("compact")),
            (ConfigKind::List, Replicas, "0:1,0:1", Some("0:1,0:1")),
            (ConfigKind::List, Any, "a ,b", Some("a,b")),
            (ConfigKind::List, Replicas, "*", Some("*")),
            (ConfigKind::List, Replicas, "0:1, 1:1", Some("0:1,1:1")),
            (ConfigKind::List, Replicas, "0", None),
            (ConfigKind::Text, Words(&["gzip"]), "GZIP", None),
            (ConfigKind::Text, WordsOfAnyCase(&["RS256"]), "rs256", Some("rs256")),
            (ConfigKind::Password, Any, "secret", Some("")),
            (ConfigKind::Bool, Only("false", "x"), "False", Some("false")),
            (ConfigKind::Bool, Only("false", "x"), "true", None),
        ] {
            let found = canonical(kind, bounds, given);
            assert_eq!(found.as_deref(), shown, "{kind:?} {bounds:?} {given:?}: {found:?}");
        }
    }
}
