//! Which quota is a client's, and how quotas are kept: names and texts in the settings of the broker.
//!
//! ```text
//! name  user=NAME <line feed> client-id=NAME         either may be missing; without "=NAME" it is the default
//! text  consumer_byte_rate=1024 producer_byte_rate=2048.5
//! ```

use std::collections::{BTreeMap, HashMap};

use strandline_engine::config::Texts;

/// Most entities that have quotas.
pub const QUOTAS_MAX: usize = 10_000;

/// Longest name.
const NAME_BYTES_MAX: usize = 4096;

/// What a quota is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKey {
    /// Bytes that a client fetches in a second.
    ConsumerByteRate,
    /// Bytes that it produces in a second.
    ProducerByteRate,
}

impl QuotaKey {
    /// All of them, in the order of their words.
    pub const ALL: [QuotaKey; 2] = [QuotaKey::ConsumerByteRate, QuotaKey::ProducerByteRate];

    /// Kafka's word.
    pub const fn word(self) -> &'static str {
        match self {
            QuotaKey::ConsumerByteRate => "consumer_byte_rate",
            QuotaKey::ProducerByteRate => "producer_byte_rate",
        }
    }

    /// The one with Kafka's word.
    pub fn of_word(word: &str) -> Option<QuotaKey> {
        QuotaKey::ALL.into_iter().find(|key| key.word() == word)
    }
}

/// Which users, or client ids, a quota is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// All that have none of their own.
    Default,
    /// This one.
    Named(String),
}

/// Whom a quota is for; at least one of both is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// Which users; `None` where it does not matter.
    pub user: Option<Whose>,
    /// Which client ids; `None` where it does not matter.
    pub client_id: Option<Whose>,
}

/// Why a quota is not taken, in Kafka's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitQuota {
    /// Nobody is named.
    #[error("Invalid empty client quota entity")]
    Empty,
    /// A name that is too long, or has a control character.
    #[error("a name has control characters, or more than {NAME_BYTES_MAX} bytes")]
    Name,
    /// Not a positive number, or a fraction where there is none.
    #[error("Quota {0} must be greater than 0, and a whole number")]
    Value(&'static str),
}

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";

impl Entity {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// [`UnfitQuota`].
    pub fn check(&self) -> Result<(), UnfitQuota> {
        let named = [&self.user, &self.client_id];
        if named.iter().all(|one| one.is_none()) {
            return Err(UnfitQuota::Empty);
        }
        let is_unfit = |whose: &Whose| match whose {
            Whose::Default => false,
            Whose::Named(name) => name.len() > NAME_BYTES_MAX || name.contains(char::is_control),
        };
        match named.into_iter().flatten().any(is_unfit) {
            true => Err(UnfitQuota::Name),
            false => Ok(()),
        }
    }

    /// The name under which its quotas are kept.
    pub fn place(&self) -> String {
        let word = |kind: &str, whose: &Option<Whose>| match whose {
            None => None,
            Some(Whose::Default) => Some(kind.to_owned()),
            Some(Whose::Named(name)) => Some(format!("{kind}={name}")),
        };
        let words = [word(USER, &self.user), word(CLIENT_ID, &self.client_id)];
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
                _ => return None,
            };
            if slot.replace(whose).is_some() {
                return None;
            }
        }
        Some(entity)
    }
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
pub struct Table(HashMap<Entity, BTreeMap<QuotaKey, f64>>);

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
        Table(kept.entries().iter().filter_map(read).collect())
    }

    /// The quota of a client, and whom it is for: that of the user with the client id first, then of the
    /// user, then of all users, then of the client id, each of them before its default.
    pub fn of(&self, key: QuotaKey, user: &str, client_id: &str) -> Option<(f64, Entity)> {
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
            let entity = Entity { user: user.clone(), client_id: client_id.clone() };
            let value = *self.0.get(&entity)?.get(&key)?;
            Some((value, entity))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(user: Option<&str>, client_id: Option<&str>) -> Entity {
        let whose = |name: &str| if name == "*" { Whose::Default } else { Whose::Named(name.to_owned()) };
        Entity { user: user.map(whose), client_id: client_id.map(whose) }
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
                match entity.check() {
                    Ok(()) => assert_eq!(Entity::of_place(&entity.place()), Some(entity)),
                    Err(error) => assert_eq!((error, user, client_id), (UnfitQuota::Empty, None, None)),
                }
            }
        }
        for place in ["", "ip", "user\nuser", "client-id\nuser", "user\n"] {
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
        assert_eq!(entity(Some("a\nb"), None).check(), Err(UnfitQuota::Name));
    }
}
