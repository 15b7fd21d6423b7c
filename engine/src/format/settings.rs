//! The `settings` file: what was set for the broker while it ran, in names that mean something above the
//! engine.
//!
//! ```text
//! body, version 1: setting after setting up to the end
//! setting | scope u8 | name length u16 | value length u32 | name | value |        scope: 0 all brokers, 1 this one
//! ```

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, EnvelopeError, Kind, Sealer};

/// The kind of the file.
pub const SETTINGS_KIND: Kind = Kind(*b"STRLSETT");
/// The version that is written.
pub const SETTINGS_VERSION: u16 = 1;

/// What was set for the broker while it ran. The engine keeps it durably; of the names it knows those that
/// give topics their defaults, and those of the cleaner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynamicSettings {
    /// For all brokers, name and value.
    pub all_brokers: Vec<(String, String)>,
    /// For this one; these win.
    pub this_broker: Vec<(String, String)>,
}

const ALL_BROKERS: u8 = 0;
const THIS_BROKER: u8 = 1;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SettingRow {
    scope: u8,
    name_bytes: U16,
    value_bytes: U32,
}

const _: () = assert!(size_of::<SettingRow>() == 7);

/// The whole file.
///
/// # Panics
/// For a setting that [`decode`] would refuse: who sets it knows its name.
pub fn encode(settings: &DynamicSettings) -> Bytes {
    let mut file = Sealer::new(SETTINGS_KIND, SETTINGS_VERSION);
    let body = file.body();
    for (scope, of_it) in [(ALL_BROKERS, &settings.all_brokers), (THIS_BROKER, &settings.this_broker)] {
        for (name, value) in of_it {
            assert!(!name.is_empty(), "a setting has a name");
            let row = SettingRow {
                scope,
                name_bytes: U16::new(u16::try_from(name.len()).expect("a name is a word")),
                value_bytes: U32::new(u32::try_from(value.len()).expect("a value is a line")),
            };
            body.put_slice(row.as_bytes());
            body.put_slice(name.as_bytes());
            body.put_slice(value.as_bytes());
        }
    }
    file.finish()
}

/// Reads a whole file.
///
/// # Errors
/// [`EnvelopeError`]; `Body` also for a scope that there is not, and an empty name.
pub fn decode(bytes: &[u8]) -> Result<DynamicSettings, EnvelopeError> {
    let mut body = envelope::open_version(SETTINGS_KIND, SETTINGS_VERSION, bytes)?;
    let mut settings = DynamicSettings::default();
    while !body.is_empty() {
        let row = body.row::<SettingRow>()?;
        let of_it = match row.scope {
            ALL_BROKERS => &mut settings.all_brokers,
            THIS_BROKER => &mut settings.this_broker,
            _ => return Err(body.malformed()),
        };
        let name = body.text(usize::from(row.name_bytes.get()))?;
        let value = body.text(row.value_bytes.get() as usize)?;
        if name.is_empty() {
            return Err(body.malformed());
        }
        of_it.push((name.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

/// What a damaged file seems to say, `name=value`, as far as it can be followed: for a person to look at,
/// never to be set.
pub fn glimpse(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes.get(envelope::ENVELOPE_BYTES..).unwrap_or_default();
    let mut seen = Vec::new();
    while let Ok((row, behind)) = SettingRow::ref_from_prefix(rest) {
        let (name, value) = (usize::from(row.name_bytes.get()), row.value_bytes.get() as usize);
        let Some(pair) = name.checked_add(value).and_then(|bytes| behind.get(..bytes)) else { break };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
        seen.push(format!("{}={}", text(&pair[..name]), text(&pair[name..])));
        rest = &behind[name + value..];
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> DynamicSettings {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        DynamicSettings {
            all_brokers: vec![pair("log.retention.ms", "5"), pair("log.cleanup.policy", "")],
            this_broker: vec![pair("log.retention.ms", "7")],
        }
    }

    /// Made from the table of `docs/format.md` by a program that shares no code with this one.
    #[test]
    fn the_golden_file_is_written_and_read_byte_for_byte() {
        let hex: String = include_str!("../../tests/golden/settings-v1.hex").split_whitespace().collect();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let golden: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        assert_eq!(encode(&settings()), golden);
        assert_eq!(decode(&golden), Ok(settings()));
    }

    #[test]
    fn what_can_not_be_a_setting_is_refused() {
        for body in
            [&[2, 1, 0, 0, 0, 0, 0, b'a'][..], &[0, 0, 0, 0, 0, 0, 0], &[0, 9, 0, 0, 0, 0, 0, b'a'], &[0]]
        {
            let mut file = Sealer::new(SETTINGS_KIND, SETTINGS_VERSION);
            file.body().put_slice(body);
            assert!(decode(&file.finish()).is_err(), "{body:?}");
        }
    }
}
