//! The `settings` file: what was set for the broker while it ran, in names that mean something above the
//! engine, what its users prove themselves by, what they may do, and how much.
//!
//! ```text
//! body: setting after setting up to the end
//! setting | scope u8 | name length u16 | value length u32 | name | value |        scope: 0 all brokers, 1 this one
//!                                                            version 2:                  255 a credential
//!                                                            version 3:    240 a permission, 15 a quota
//! ```
//! The oldest version that can say it is written: 3 where there are permissions or quotas, 2 where there are
//! credentials, 1 elsewhere. Names of credentials ascend, and so do those of permissions and of quotas. The
//! numbers of their scopes are far from the others: a rotten bit makes no setting of a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, EnvelopeError, Kind, Sealer};

/// The kind of the file.
pub const SETTINGS_KIND: Kind = Kind(*b"STRLSETT");
/// The newest version, which has permissions and quotas.
pub const SETTINGS_VERSION: u16 = 3;
/// The version that has credentials, and neither permissions nor quotas.
const WITH_CREDENTIALS: u16 = 2;
/// The version with none of them.
const OF_SETTINGS_ALONE: u16 = 1;

/// What was set for the broker while it ran. The engine keeps it durably; of the names it knows those that
/// give topics their defaults, and those of the cleaner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynamicSettings {
    /// For all brokers, name and value.
    pub all_brokers: Vec<(String, String)>,
    /// For this one; these win.
    pub this_broker: Vec<(String, String)>,
    /// What users prove themselves by.
    pub credentials: Credentials,
    /// What users may do.
    pub permissions: Texts,
    /// How much clients may do.
    pub quotas: Texts,
}

/// What is kept of users' secrets, by names that mean something above the engine. `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(pub BTreeMap<String, String>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of them", self.0.len())
    }
}

/// What is kept for those above the engine, by names that mean something there: permissions, quotas.
/// Snapshots of the settings share it until it changes. `Debug` shows how many entries there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts(Arc<BTreeMap<String, String>>);

impl Texts {
    /// Name and text of each, in the order of their names.
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The same, to be changed: a copy where others have them.
    pub fn entries_mut(&mut self) -> &mut BTreeMap<String, String> {
        Arc::make_mut(&mut self.0)
    }

    /// Whether they are the very ones of another snapshot, and so have not changed. Costs a comparison of
    /// addresses.
    pub fn are(&self, other: &Texts) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of them", self.0.len())
    }
}

const ALL_BROKERS: u8 = 0;
const THIS_BROKER: u8 = 1;
const CREDENTIAL: u8 = 255;
const PERMISSION: u8 = 240;
const QUOTA: u8 = 15;

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
    let DynamicSettings { all_brokers, this_broker, .. } = settings;
    let Credentials(credentials) = &settings.credentials;
    let (permissions, quotas) = (settings.permissions.entries(), settings.quotas.entries());
    let version = match (permissions.is_empty() && quotas.is_empty(), credentials.is_empty()) {
        (false, _) => SETTINGS_VERSION,
        (true, false) => WITH_CREDENTIALS,
        (true, true) => OF_SETTINGS_ALONE,
    };
    let mut file = Sealer::new(SETTINGS_KIND, version);
    let body = file.body();
    let mut put = |scope: u8, name: &str, value: &str| {
        assert!(!name.is_empty(), "a setting has a name");
        let row = SettingRow {
            scope,
            name_bytes: U16::new(u16::try_from(name.len()).expect("a name is a word")),
            value_bytes: U32::new(u32::try_from(value.len()).expect("a value is a line")),
        };
        body.put_slice(row.as_bytes());
        body.put_slice(name.as_bytes());
        body.put_slice(value.as_bytes());
    };
    all_brokers.iter().for_each(|(name, value)| put(ALL_BROKERS, name, value));
    this_broker.iter().for_each(|(name, value)| put(THIS_BROKER, name, value));
    credentials.iter().for_each(|(name, value)| put(CREDENTIAL, name, value));
    permissions.iter().for_each(|(name, value)| put(PERMISSION, name, value));
    quotas.iter().for_each(|(name, value)| put(QUOTA, name, value));
    file.finish()
}

/// Reads a whole file.
///
/// # Errors
/// [`EnvelopeError`]; `Body` also for a scope that there is not, an empty name, and credentials,
/// permissions or quotas that are not in order.
pub fn decode(bytes: &[u8]) -> Result<DynamicSettings, EnvelopeError> {
    let (version, mut body) = envelope::open_upto(SETTINGS_KIND, SETTINGS_VERSION, bytes)?;
    let mut settings = DynamicSettings::default();
    while !body.is_empty() {
        let row = body.row::<SettingRow>()?;
        let name = body.text(usize::from(row.name_bytes.get()))?;
        let value = body.text(row.value_bytes.get() as usize)?;
        if name.is_empty() {
            return Err(body.malformed());
        }
        let (name, value) = (name.to_owned(), value.to_owned());
        let ascending = match row.scope {
            ALL_BROKERS => {
                settings.all_brokers.push((name, value));
                continue;
            }
            THIS_BROKER => {
                settings.this_broker.push((name, value));
                continue;
            }
            CREDENTIAL if version >= WITH_CREDENTIALS => &mut settings.credentials.0,
            PERMISSION if version >= SETTINGS_VERSION => settings.permissions.entries_mut(),
            QUOTA if version >= SETTINGS_VERSION => settings.quotas.entries_mut(),
            _ => return Err(body.malformed()),
        };
        if ascending.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(body.malformed());
        }
        ascending.insert(name, value);
    }
    Ok(settings)
}

/// What a damaged file seems to say, `name=value`, as far as it can be followed: for a person to look at,
/// never to be set. Of what is a secret the name is told, and not the value.
pub fn glimpse(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes.get(envelope::ENVELOPE_BYTES..).unwrap_or_default();
    let mut seen = Vec::new();
    while let Ok((row, behind)) = SettingRow::ref_from_prefix(rest) {
        let (name, value) = (usize::from(row.name_bytes.get()), row.value_bytes.get() as usize);
        let Some(pair) = name.checked_add(value).and_then(|bytes| behind.get(..bytes)) else { break };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
        seen.push(match row.scope {
            ALL_BROKERS | THIS_BROKER | PERMISSION | QUOTA => {
                format!("{}={}", text(&pair[..name]), text(&pair[name..]))
            }
            _ => format!("{}=(secret)", text(&pair[..name])),
        });
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
            ..DynamicSettings::default()
        }
    }

    fn with_credentials() -> DynamicSettings {
        let credential = |name: &str| (name.to_owned(), "salt=c2FsdA==".to_owned());
        let credentials = ["SCRAM-SHA-256:alice", "SCRAM-SHA-512:alice"].map(credential);
        DynamicSettings { credentials: Credentials(credentials.into()), ..settings() }
    }

    fn with_everything() -> DynamicSettings {
        let mut settings = with_credentials();
        let name = "TOPIC:LITERAL:orders\nUser:alice\n*".to_owned();
        settings.permissions.entries_mut().insert(name, "allow=READ,WRITE".to_owned());
        let (client, most) = ("user=alice\nclient-id", "producer_byte_rate=1024");
        settings.quotas.entries_mut().insert(client.to_owned(), most.to_owned());
        settings
    }

    /// Made from the table of `docs/format.md` by a program that shares no code with this one.
    #[test]
    fn the_golden_files_are_written_and_read_byte_for_byte() {
        for (golden, settings) in [
            (include_str!("../../tests/golden/settings-v1.hex"), settings()),
            (include_str!("../../tests/golden/settings-v2.hex"), with_credentials()),
            (include_str!("../../tests/golden/settings-v3.hex"), with_everything()),
        ] {
            let hex: String = golden.split_whitespace().collect();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let golden: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            assert_eq!(encode(&settings), golden);
            assert_eq!(decode(&golden), Ok(settings));
        }
    }

    #[test]
    fn what_is_of_users_is_in_a_newer_version_once_and_credentials_are_told_to_nobody() {
        let file = |version: u16, rows: &[(u8, &str)]| {
            let mut file = Sealer::new(SETTINGS_KIND, version);
            for (scope, name) in rows {
                file.body().put_slice(&[*scope, name.len() as u8, 0, 1, 0, 0, 0]);
                file.body().put_slice(name.as_bytes());
                file.body().put_slice(b"v");
            }
            file.finish()
        };
        assert!(decode(&file(2, &[(255, "a"), (0, "a"), (255, "b")])).is_ok());
        assert!(decode(&file(3, &[(240, "a"), (255, "a"), (0, "a"), (240, "b"), (15, "a")])).is_ok());
        for (version, rows) in [
            (1, &[(255, "a")][..]),
            (2, &[(255, "a"), (255, "a")]),
            (2, &[(255, "b"), (255, "a")]),
            (2, &[(240, "a")]),
            (3, &[(240, "a"), (240, "a")]),
            (3, &[(240, "b"), (240, "a")]),
            (2, &[(15, "a")]),
            (3, &[(15, "b"), (15, "a")]),
        ] {
            assert!(decode(&file(version, rows)).is_err(), "{version} {rows:?}");
        }
        let file = encode(&with_credentials());
        let said = format!("{:?} {:?}", with_credentials(), glimpse(&file));
        assert!(said.contains("SCRAM-SHA-256:alice=(secret)") && !said.contains("c2FsdA"), "{said}");
        let seen = glimpse(&encode(&with_everything()));
        assert_eq!(
            seen[seen.len() - 2..],
            [
                r"TOPIC:LITERAL:orders\nUser:alice\n*=allow=READ,WRITE",
                r"user=alice\nclient-id=producer_byte_rate=1024"
            ]
        );
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
