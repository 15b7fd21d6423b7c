//! What a truck tells: the key is its name, the value this as JSON.

use serde_json::{Value, json};

/// Above the limit by more than this is dangerous, in km/h.
const SPEEDING_KMH: i64 = 20;

/// Braking harder than this is dangerous, in m/s².
const HARD_BRAKING: i64 = 5;

/// Where a truck is, and how it drives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Position {
    pub(crate) truck: String,
    /// Counts the positions of this truck, from 1.
    pub(crate) number: i64,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) speed_kmh: i64,
    pub(crate) limit_kmh: i64,
    /// In m/s².
    pub(crate) braking: i64,
}

impl Position {
    pub(crate) fn to_json(&self) -> String {
        json!({
            "truck": self.truck,
            "number": self.number,
            "latitude": to_a_metre(self.latitude),
            "longitude": to_a_metre(self.longitude),
            "speed_kmh": self.speed_kmh,
            "limit_kmh": self.limit_kmh,
            "braking": self.braking,
        })
        .to_string()
    }

    /// `None` when it is not a position: anyone may write to the topic.
    pub(crate) fn from_json(value: &[u8]) -> Option<Position> {
        let value: Value = serde_json::from_slice(value).ok()?;
        Some(Position {
            truck: value["truck"].as_str()?.to_owned(),
            number: value["number"].as_i64()?,
            latitude: value["latitude"].as_f64()?,
            longitude: value["longitude"].as_f64()?,
            speed_kmh: value["speed_kmh"].as_i64()?,
            limit_kmh: value["limit_kmh"].as_i64()?,
            braking: value["braking"].as_i64()?,
        })
    }

    pub(crate) fn is_dangerous(&self) -> bool {
        self.speed_kmh > self.limit_kmh + SPEEDING_KMH || self.braking > HARD_BRAKING
    }
}

/// Degrees with five digits behind the point.
fn to_a_metre(degrees: f64) -> f64 {
    (degrees * 1e5).round() / 1e5
}
