//! Which quota is a client's, and how quotas are kept: names and texts in the settings of the broker.
//!
//! ```text
//! name  user=NAME <line feed> client-id=NAME         either may be missing; without "=NAME" it is the default
//!       ip=ADDRESS
//! text  consumer_byte_rate=1024 producer_byte_rate=2048
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use strandline_engine::config::Texts;

/// Most entities that have quotas.
pub const QUOTAS_MAX: usize = 10_000;

/// Longest name.
const NAME_BYTES_MAX: usize = 4096;

/// What a quota is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKey {
    /// Connections that an address makes in a second (KIP-612).
    ConnectionCreationRate,
    /// Bytes that a client fetches in a second.
    ConsumerByteRate,
    /// Partitions that it creates and deletes in a second (KIP-599).
    ControllerMutationRate,
    /// Bytes that it produces in a second.
    ProducerByteRate,
    /// Hundredths of one thread's time that its requests take (KIP-124).
    RequestPercentage,
}

impl QuotaKey {
    /// All of them, in the order of their words.
    pub const ALL: [QuotaKey; 5] = [
        QuotaKey::ConnectionCreationRate,
        QuotaKey::ConsumerByteRate,
        QuotaKey::ControllerMutationRate,
        QuotaKey::ProducerByteRate,
        QuotaKey::RequestPercentage,
    ];

    /// Kafka's word.
    pub const fn word(self) -> &'static str {
        match self {
            QuotaKey::ConnectionCreationRate => "connection_creation_rate",
            QuotaKey::ConsumerByteRate => "consumer_byte_rate",
            QuotaKey::ControllerMutationRate => "controller_mutation_rate",
            QuotaKey::ProducerByteRate => "producer_byte_rate",
            QuotaKey::RequestPercentage => "request_percentage",
        }
    }

    /// The one with Kafka's word.
    pub fn of_word(word: &str) -> Option<QuotaKey> {
        QuotaKey::ALL.into_iter().find(|key| key.word() == word)
    }

    /// Whether it is of addresses, and not of users and client ids.
    pub fn is_of_addresses(self) -> bool {
        self == QuotaKey::ConnectionCreationRate
    }

    /// Whether it is a whole number in Kafka.
    pub fn is_whole(self) -> bool {
        !matches!(self, QuotaKey::ControllerMutationRate | QuotaKey::RequestPercentage)
    }

    /// Whether nobody waits longer than a window for it, as in Kafka: what is waited for is no more than that
    /// others come to their share.
    pub(super) fn waits_a_window(self) -> bool {
        matches!(self, QuotaKey::ConnectionCreationRate | QuotaKey::RequestPercentage)
    }

    /// How much of what is counted may be used in a second. Time is counted in nanoseconds.
    pub(super) fn per_second(self, value: f64) -> f64 {
        match self {
            QuotaKey::RequestPercentage => value * 1e9 / 100.0,
            _ => value,
        }
    }
}

/// Which users, client ids or addresses a quota is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// All that have none of their own.
    Default,
    /// This one.
    Named(String),
}

/// Whom a quota is for: users, client ids, or both together; or addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// Which users; `None` where it does not matter.
    pub user: Option<Whose>,
    /// Which client ids; `None` where it does not matter.
    pub client_id: Option<Whose>,
    /// Which addresses; with these, nothing else.
    pub ip: Option<Whose>,
}

/// Why a quota is not taken, in Kafka's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitQuota {
    /// Nobody is named, or an address together with a user or a client id.
    #[error("Invalid empty client quota entity")]
    Empty,
    /// A name that is too long, or has a control character.
    #[error("a name has control characters, or more than {NAME_BYTES_MAX} bytes")]
    Name,
    /// An address that is none. Names of hosts are not looked up.
    #[error("{0} is not a valid IP")]
    Address(String),
}

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

impl Entity {
    /// As it is kept: an address has one form.
    ///
    /// # Errors
    /// [`UnfitQuota`].
    pub fn checked(mut self) -> Result<Entity, UnfitQuota> {
        let is_of_clients = self.user.is_some() || self.client_id.is_some();
        if is_of_clients == self.ip.is_some() {
            return Err(UnfitQuota::Empty);
        }
        for whose in [&self.user, &self.client_id, &self.ip].into_iter().flatten() {
            match whose {
                Whose::Named(name) if name.len() > NAME_BYTES_MAX || name.contains(char::is_control) => {
                    return Err(UnfitQuota::Name);
                }
                _ => {}
            }
        }
        if let Some(Whose::Named(name)) = &mut self.ip {
            *name = of_address(name).ok_or_else(|| UnfitQuota::Address(name.clone()))?;
        }
        Ok(self)
    }

    /// What tells a client from the others that have the same quota.
    pub(super) fn sharer<'a>(&self, user: &'a str, client_id: &'a str) -> (Option<&'a str>, Option<&'a str>) {
        (self.user.as_ref().map(|_| user), self.client_id.as_ref().map(|_| client_id))
    }

    /// The name under which its quotas are kept.
    pub fn place(&self) -> String {
        let word = |kind: &str, whose: &Option<Whose>| match whose {
            None => None,
            Some(Whose::Default) => Some(kind.to_owned()),
            Some(Whose::Named(name)) => Some(format!("{kind}={name}")),
        };
        let words = [word(USER, &self.user), word(CLIENT_ID, &self.client_id), word(IP, &self.ip)];
        words.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    /// The entity of such a name.
    pub fn of_place(place: &str) -> Option<Entity> {
        let mut entity = Entity::default();
        for word in place.split('\n') {
            let (kind, whose) = match word.split_once('=') {
                Some((kind, name)) => (kind, Whose::Named(name.to_owned())),
                None => (word, Whose::Default),
            };
            let slot = match kind {
                USER if entity.client_id.is_none() => &mut entity.user,
                CLIENT_ID => &mut entity.client_id,
                IP => &mut entity.ip,
                _ => return None,
            };
            if slot.replace(whose).is_some() {
                return None;
            }
        }
        let is_of_clients = entity.user.is_some() || entity.client_id.is_some();
        (is_of_clients != entity.ip.is_some()).then_some(entity)
    }
}

/// The one form of an address that its quota is kept by; `None` for what is none.
pub fn of_address(text: &str) -> Option<String> {
    Some(text.parse::<IpAddr>().ok()?.to_canonical().to_string())
}

/// The quotas of an entity, read; `None` for anything else.
pub fn read_values(text: &str) -> Option<BTreeMap<QuotaKey, f64>> {
    let mut values = BTreeMap::new();
    for word in text.split(' ') {
        let (key, value) = word.split_once('=')?;
        let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0)?;
        values.insert(QuotaKey::of_word(key)?, value);
    }
    Some(values)
}

/// As they are kept; `None` when there are none.
pub fn whole_text(values: &BTreeMap<QuotaKey, f64>) -> Option<String> {
    let words: Vec<String> = values.iter().map(|(key, value)| format!("{}={value}", key.word())).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// All quotas.
#[derive(Debug, Default)]
pub struct Table {
    by_entity: HashMap<Entity, BTreeMap<QuotaKey, f64>>,
    keys: BTreeSet<QuotaKey>,
}

impl Table {
    /// Of what is kept. What cannot be read limits nobody, and is told.
    pub fn of_kept(kept: &Texts) -> Table {
        let read = |(place, text): (&String, &String)| {
            let found = Entity::of_place(place).zip(read_values(text));
            if found.is_none() {
                tracing::error!(place, text, "a quota cannot be read: it is not in force");
            }
            found
        };
        let by_entity: HashMap<_, _> = kept.entries().iter().filter_map(read).collect();
        let keys = by_entity.values().flat_map(BTreeMap::keys).copied().collect();
        Table { by_entity, keys }
    }

    /// Whether anybody has such a quota.
    pub fn has(&self, key: QuotaKey) -> bool {
        self.keys.contains(&key)
    }

    /// The quota of an address: its own, or the default.
    pub fn of_address(&self, key: QuotaKey, address: IpAddr) -> Option<f64> {
        let named = Whose::Named(address.to_canonical().to_string());
        [named, Whose::Default].into_iter().find_map(|whose| {
            let entity = Entity { ip: Some(whose), ..Entity::default() };
            self.by_entity.get(&entity)?.get(&key).copied()
        })
    }

    /// The quota of a client, and whom it is for: that of the user with the client id first, then of the
    /// user, then of all users, then of the client id, each of them before its default.
    pub fn of(&self, key: QuotaKey, user: &str, client_id: &str) -> Option<(f64, Entity)> {
        if !self.has(key) {
            return None;
        }
        let named = |name: &str| Some(Whose::Named(name.to_owned()));
        let (user, client_id) = (named(user), named(client_id));
        let all = Some(Whose::Default);
        let in_order = [
            (&user, &client_id),
            (&user, &all),
            (&user, &None),
            (&all, &client_id),
            (&all, &all),
            (&all, &None),
            (&None, &client_id),
            (&None, &all),
        ];
        in_order.into_iter().find_map(|(user, client_id)| {
            let entity = Entity { user: user.clone(), client_id: client_id.clone(), ip: None };
            let value = *self.by_entity.get(&entity)?.get(&key)?;
            Some((value, entity))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(user: Option<&str>, client_id: Option<&str>) -> Entity {
        let whose = |name: &str| if name == "*" { Whose::Default } else { Whose::Named(name.to_owned()) };
        Entity { user: user.map(whose), client_id: client_id.map(whose), ip: None }
    }

    fn ip(address: &str) -> Entity {
        Entity { ip: Some(Whose::Named(address.to_owned())), ..Entity::default() }
    }

    #[test]
    fn a_client_has_the_first_quota_in_kafkas_order() {
        let order = [
            entity(Some("u"), Some("c")),
            entity(Some("u"), Some("*")),
            entity(Some("u"), None),
            entity(Some("*"), Some("c")),
            entity(Some("*"), Some("*")),
            entity(Some("*"), None),
            entity(None, Some("c")),
            entity(None, Some("*")),
        ];
        let mut kept = Texts::default();
        for (at, entity) in order.iter().enumerate() {
            kept.entries_mut().insert(entity.place(), format!("producer_byte_rate={}", at + 1));
        }
        for (at, first) in order.iter().enumerate() {
            let table = Table::of_kept(&kept);
            let found = table.of(QuotaKey::ProducerByteRate, "u", "c");
            assert_eq!(found, Some((at as f64 + 1.0, first.clone())));
            assert_eq!(table.of(QuotaKey::ConsumerByteRate, "u", "c"), None);
            kept.entries_mut().remove(&first.place());
        }
        assert_eq!(Table::of_kept(&kept).of(QuotaKey::ProducerByteRate, "u", "c"), None);
    }

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else_is() {
        for user in [None, Some("*"), Some("a=b c"), Some("")] {
            for client_id in [None, Some("*"), Some("x"), Some("user=x")] {
                let entity = entity(user, client_id);
                match entity.clone().checked() {
                    Ok(_) => assert_eq!(Entity::of_place(&entity.place()), Some(entity)),
                    Err(error) => assert_eq!((error, user, client_id), (UnfitQuota::Empty, None, None)),
                }
            }
        }
        for place in ["", "ip\nuser", "user\nip=::1", "user\nuser", "client-id\nuser", "user\n"] {
            assert_eq!(Entity::of_place(place), None, "{place:?}");
        }
        let values =
            BTreeMap::from([(QuotaKey::ConsumerByteRate, 0.5), (QuotaKey::ProducerByteRate, 1024.0)]);
        let text = whole_text(&values).unwrap();
        assert_eq!(text, "consumer_byte_rate=0.5 producer_byte_rate=1024");
        assert_eq!(read_values(&text), Some(values));
        for text in [
            "",
            "producer_byte_rate",
            "producer_byte_rate=",
            "producer_byte_rate=-1",
            "x=1",
            "producer_byte_rate=NaN",
        ] {
            assert_eq!(read_values(text), None, "{text:?}");
        }
        assert_eq!(entity(Some("a\nb"), None).checked(), Err(UnfitQuota::Name));
    }

    #[test]
    fn an_address_has_one_form_and_its_own_quota_before_the_default() {
        let default = Entity { ip: Some(Whose::Default), ..Entity::default() };
        for (address, kept) in
            [("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("0:0:0::1", "::1")]
        {
            assert_eq!(ip(address).checked(), Ok(ip(kept)));
            assert_eq!(Entity::of_place(&ip(kept).place()), Some(ip(kept)));
        }
        assert_eq!(Entity::of_place(&default.place()), Some(default.clone()));
        assert_eq!(ip("localhost").checked(), Err(UnfitQuota::Address("localhost".to_owned())));
        let with_user = Entity { user: Some(Whose::Default), ..ip("10.0.0.1") };
        assert_eq!(with_user.checked(), Err(UnfitQuota::Empty));
        let mut kept = Texts::default();
        kept.entries_mut().insert(default.place(), "connection_creation_rate=1".to_owned());
        kept.entries_mut().insert(ip("10.0.0.1").place(), "connection_creation_rate=2".to_owned());
        let (table, key) = (Table::of_kept(&kept), QuotaKey::ConnectionCreationRate);
        let of = |address: &str| table.of_address(key, address.parse().unwrap());
        assert_eq!(of("::ffff:10.0.0.1"), Some(2.0));
        assert_eq!(of("10.0.0.2"), Some(1.0));
        assert!(table.has(key) && !table.has(QuotaKey::ConsumerByteRate));
    }
}
