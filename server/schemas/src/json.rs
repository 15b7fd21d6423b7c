//! JSON whose members keep their order, which the texts and the records of the registry depend on.
//!
//! Reading and writing are `serde_json`'s: its reader refuses what nests deeper than 128 levels, so that
//! every walk over a [`Json`] is as deep at most. Of two members with one name the last counts, in the place
//! of the first.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Number;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written where 64 bits hold it.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Members),
}

/// The members of an object, in their order.
pub type Members = Vec<(String, Json)>;

impl Json {
    /// Reads one value.
    pub fn parse(text: &[u8]) -> Result<Json, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
        Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The member of that name, of an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.members().iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The members of an object; of anything else there are none.
    pub fn members(&self) -> &[(String, Json)] {
        match self {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    /// The elements of an array; of anything else there are none.
    pub fn elements(&self) -> &[Json] {
        match self {
            Json::Array(elements) => elements,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A whole number.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Json::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// A number, as near as a double comes to it.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// Adds a member.
    pub(crate) fn push(members: &mut Members, name: &str, value: impl Into<Json>) {
        members.push((name.to_owned(), value.into()));
    }

    /// The same with the members of every object in the order of their names.
    pub(crate) fn sorted(&self) -> Json {
        match self {
            Json::Array(elements) => Json::Array(elements.iter().map(Json::sorted).collect()),
            Json::Object(members) => {
                let mut sorted: Members =
                    members.iter().map(|(name, value)| (name.clone(), value.sorted())).collect();
                sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
                Json::Object(sorted)
            }
            other => other.clone(),
        }
    }

    /// About how many steps it takes to compare it with another, no more than `most`: its parts, and the
    /// pieces of its texts.
    pub(crate) fn steps(&self, most: usize) -> usize {
        const BYTES_PER_STEP: usize = 64;
        let (mut steps, mut left) = (0, vec![self]);
        while let Some(json) = left.pop() {
            let names = json.members().iter().map(|(name, _)| name.len()).sum::<usize>();
            let bytes = json.as_str().map_or(names, str::len);
            steps += 1 + bytes / BYTES_PER_STEP;
            if steps + left.len() >= most {
                return most;
            }
            left.extend(json.elements());
            left.extend(json.members().iter().map(|(_, value)| value));
        }
        steps
    }

    /// Whether both say the same, whatever the order of members; `1` and `1.0` are one number.
    pub(crate) fn means(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Number(one), Json::Number(other)) => one == other || one.as_f64() == other.as_f64(),
            (Json::Array(one), Json::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.means(other))
            }
            (Json::Object(members), Json::Object(others)) => {
                let found = ByName::of(others);
                let has = |name: &str, value: &Json| found.get(name).is_some_and(|other| value.means(other));
                members.len() == others.len() && members.iter().all(|(name, value)| has(name, value))
            }
            _ => self == other,
        }
    }
}

/// The members of an object, to be found by name many times.
pub(crate) enum ByName<'a> {
    /// Few: one after the other.
    Few(&'a [(String, Json)]),
    /// Many.
    Many(HashMap<&'a str, &'a Json>),
}

/// Members that are looked through one after the other.
const FEW: usize = 16;

impl<'a> ByName<'a> {
    pub(crate) fn of(members: &'a [(String, Json)]) -> ByName<'a> {
        match members.len() {
            ..=FEW => ByName::Few(members),
            _ => ByName::Many(members.iter().map(|(name, value)| (name.as_str(), value)).collect()),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Json> {
        match self {
            ByName::Few(members) => members.iter().find_map(|(key, value)| (key == name).then_some(value)),
            ByName::Many(by_name) => by_name.get(name).copied(),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::String(text)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Bool(value)
    }
}

impl From<i32> for Json {
    fn from(value: i32) -> Json {
        Json::Number(value.into())
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Json {
        Json::Number(value.into())
    }
}

impl From<Vec<Json>> for Json {
    fn from(elements: Vec<Json>) -> Json {
        Json::Array(elements)
    }
}

impl From<Members> for Json {
    fn from(members: Members) -> Json {
        Json::Object(members)
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Json {
        Json::Array(elements.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(number) => number.serialize(serializer),
            Json::String(text) => serializer.serialize_str(text),
            Json::Array(elements) => {
                let mut sequence = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    sequence.serialize_element(element)?;
                }
                sequence.end()
            }
            Json::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members: Members = Vec::new();
        let mut places = HashMap::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            match places.entry(name) {
                std::collections::hash_map::Entry::Occupied(place) => {
                    let at: usize = *place.get();
                    members[at].1 = value;
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    let name = place.key().clone();
                    place.insert(members.len());
                    members.push((name, value));
                }
            }
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_the_last_of_a_name_counts() {
        let text = r#"{"z":1,"a":[true,null,1.5,"x\n"],"z":{"b":-2,"a":18446744073709551615}}"#;
        let json = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(json.to_string(), r#"{"z":{"b":-2,"a":18446744073709551615},"a":[true,null,1.5,"x\n"]}"#);
        assert_eq!(
            json.sorted().to_string(),
            r#"{"a":[true,null,1.5,"x\n"],"z":{"a":18446744073709551615,"b":-2}}"#
        );
        assert!(json.means(&json.sorted()));
    }

    #[test]
    fn what_nests_too_deep_is_refused() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(Json::parse(deep.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
    }
}
