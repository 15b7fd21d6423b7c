//! A populated value of every message, made from a seed.
//!
//! A sample has a value other than the default in every field, including those that its version does not
//! have, except where writing such a value is refused. Struct and field names are Kafka's, which the oracle
//! relies on.

#![allow(dead_code, reason = "the tests of the protocol and those of the broker take different samples")]

mod cluster;
mod configs;
mod groups;
mod records;
mod security;
mod share;
mod streams;
mod topics;
mod transactions;

use bytes::Bytes;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{LeaderIdAndEpoch, NodeEndpoint};
use strandline_protocol::wire::reader::STRING_BYTES_MAX;

pub(crate) use cluster::*;
pub(crate) use configs::*;
pub(crate) use groups::*;
pub(crate) use records::*;
pub(crate) use security::*;
pub(crate) use share::*;
#[allow(unused_imports, reason = "the broker's tests take no sample of it")]
pub(crate) use streams::*;
pub(crate) use topics::*;
pub(crate) use transactions::*;

/// Values of which each differs from those before it.
pub(crate) struct Seed {
    state: u64,
    string_bytes: usize,
}

/// What every string of a sample begins with.
pub(crate) const STRING_HEAD: &str = "text-é-";

impl Seed {
    pub(crate) fn new(seed: u64) -> Seed {
        Seed { state: seed, string_bytes: 0 }
    }

    /// Values whose strings are as long as strings can be.
    pub(crate) fn of_long_strings(seed: u64) -> Seed {
        Seed { state: seed, string_bytes: STRING_BYTES_MAX }
    }

    /// A number of all 64 bits (xorshift64*).
    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn i8(&mut self) -> i8 {
        2 + (self.next() >> 58) as i8
    }

    fn i16(&mut self) -> i16 {
        1 + (self.next() >> 50) as i16
    }

    fn i32(&mut self) -> i32 {
        1 + (self.next() >> 34) as i32
    }

    fn i64(&mut self) -> i64 {
        1 + (self.next() >> 2) as i64
    }

    pub(crate) fn string(&mut self) -> String {
        let mut text = format!("{STRING_HEAD}{:x}", self.next() >> (self.next() % 60));
        text.extend(std::iter::repeat_n('x', self.string_bytes.saturating_sub(text.len())));
        text
    }

    pub(crate) fn some(&mut self) -> Option<String> {
        Some(self.string())
    }

    fn id(&mut self) -> Uuid {
        let mut bytes = [0x11; 16];
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        Uuid::from_bytes(bytes)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = 1 + self.next() % 300;
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Bytes that only clients understand.
    fn opaque(&mut self) -> Bytes {
        let length = 1 + self.next() % 30;
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn ids(&mut self) -> Vec<i32> {
        self.several(Seed::i32)
    }

    /// One to three elements.
    fn several<T>(&mut self, mut one: impl FnMut(&mut Seed) -> T) -> Vec<T> {
        let count = 1 + self.next() % 3;
        (0..count).map(|_| one(self)).collect()
    }
}

/// `value` where the version has it, else the default.
fn only<T: Default>(has: bool, value: T) -> T {
    if has { value } else { T::default() }
}

fn leader(s: &mut Seed) -> LeaderIdAndEpoch {
    LeaderIdAndEpoch { leader_id: s.i32(), leader_epoch: s.i32() }
}

fn endpoint(s: &mut Seed) -> NodeEndpoint {
    NodeEndpoint { node_id: s.i32(), host: s.string(), port: s.i32(), rack: s.some() }
}
