//! The newest offset of each key of a log's dirty part, in bounded memory.
//!
//! ```text
//! slots    | hash of the key, 128 bit | offset + 1, 64 bit |  24 bytes each, as in Kafka; 0 is a free slot
//! ```
//!
//! Keys are told apart by their hash alone. It is SipHash under keys that the caller draws anew for each map:
//! two keys of a billion meet with a chance of 2^-68, and a producer, who does not know them, can not make
//! its keys meet another's and so have that one's records removed.

use siphasher::sip128::SipHasher13;

use super::unpacked::{Unpacked, verified};
use crate::format::record::RecordsError;
use crate::types::Offset;

/// Halves of a key's hash, and the offset plus 1: all zeros when the slot is free, so that memory is touched
/// only where it is used.
type Slot = [u64; 3];

/// Bytes of one slot.
const SLOT_BYTES: usize = size_of::<Slot>();

/// Slots that stay free, one of so many: at nine tenths a search looks at some fifty neighbours, in a row,
/// and above that soon at hundreds.
const FREE_ONE_OF: usize = 10;

/// What the hash is keyed with: random for each map.
#[derive(Clone, Copy, Debug)]
pub struct HashKeys(pub u64, pub u64);

/// From a key to the offset of its newest record.
pub struct OffsetMap {
    slots: Vec<Slot>,
    keys: usize,
    keys_max: usize,
    hasher: SipHasher13,
    start: Offset,
    end: Offset,
}

impl OffsetMap {
    /// An empty map of the log from `start` on, of at most `bytes_max` bytes, and no more than `records`
    /// different keys need. It has room for one key at least.
    pub fn new(start: Offset, records: u64, bytes_max: usize, keys: HashKeys) -> OffsetMap {
        let wanted = usize::try_from(records).unwrap_or(usize::MAX).saturating_add(1);
        let wanted = wanted.saturating_add(wanted / (FREE_ONE_OF - 1)).saturating_add(1);
        let slots = wanted.min(bytes_max / SLOT_BYTES).max(2);
        OffsetMap {
            slots: vec![[0; 3]; slots],
            keys: 0,
            keys_max: slots - slots.div_ceil(FREE_ONE_OF),
            hasher: SipHasher13::new_with_keys(keys.0, keys.1),
            start,
            end: start,
        }
    }

    /// Takes in the records of a batch, which lies behind those before. False when a key found no room: then
    /// the map ends with the record before that one, and so does the round.
    ///
    /// # Errors
    /// [`RecordsError`] for a batch that is damaged.
    pub fn note_batch(&mut self, batch: &[u8]) -> Result<bool, RecordsError> {
        let header = verified(batch)?;
        if !header.is_control() {
            for record in Unpacked::new(header, batch)?.records() {
                let record = record?;
                let (Some(key), true) = (record.record.key, record.offset >= self.start) else { continue };
                if !self.note(key, record.offset) {
                    self.end = self.end.max(record.offset);
                    return Ok(false);
                }
            }
        }
        self.end = self.end.max(header.next_offset());
        Ok(true)
    }

    /// Passes a batch whose records do not count, since their transaction was aborted.
    ///
    /// # Errors
    /// [`RecordsError`] for a batch that is damaged.
    pub fn skip_batch(&mut self, batch: &[u8]) -> Result<(), RecordsError> {
        self.end = self.end.max(verified(batch)?.next_offset());
        Ok(())
    }

    /// Notes that `key` has a record at `offset`; false when there is no room for another key.
    fn note(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        let slot = &mut self.slots[at];
        if slot[2] == 0 {
            if self.keys == self.keys_max {
                return false;
            }
            self.keys += 1;
        }
        *slot = [hash[0], hash[1], slot[2].max(offset.get() as u64 + 1)];
        true
    }

    /// The newest offset of `key`; `None` when the part of the log that was read has no record of it.
    pub fn newest(&self, key: &[u8]) -> Option<Offset> {
        let [_, _, above] = self.slots[self.find(self.hash(key))];
        above.checked_sub(1).map(|offset| Offset::new(offset as i64))
    }

    /// The slot of a hash, or the free one where it belongs.
    fn find(&self, hash: [u64; 2]) -> usize {
        let mut at = ((u128::from(hash[0]) * self.slots.len() as u128) >> 64) as usize;
        loop {
            let [first, second, above] = self.slots[at];
            // There is always a free slot: the walk ends.
            if above == 0 || [first, second] == hash {
                return at;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let hash = self.hasher.hash(key);
        [hash.h1, hash.h2]
    }

    /// The offset behind the last record that was taken in: where the next round begins.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// How many keys it holds.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// How many keys it has room for.
    pub fn keys_max(&self) -> usize {
        self.keys_max
    }

    /// Bytes of memory that it may come to use.
    pub fn bytes(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const KEYS: HashKeys = HashKeys(7, 11);

    #[test]
    fn the_newest_offset_of_each_key_is_found_and_no_other() {
        let mut map = OffsetMap::new(Offset::ZERO, 1_000, 1 << 20, KEYS);
        let mut model = HashMap::new();
        let mut random = fastrand::Rng::with_seed(1);
        for offset in (0..3_000).map(Offset::new) {
            let key = random.u16(..1_000).to_be_bytes();
            assert!(map.note(&key, offset));
            model.insert(key, offset);
        }
        assert_eq!(map.keys(), model.len());
        for key in (0..2_000u16).map(u16::to_be_bytes) {
            assert_eq!(map.newest(&key), model.get(&key).copied());
        }
    }

    #[test]
    fn memory_is_what_is_needed_and_never_more_than_allowed() {
        let small = OffsetMap::new(Offset::ZERO, 90, 1 << 20, KEYS);
        assert!(small.keys_max() >= 90 && small.bytes() < 110 * SLOT_BYTES, "{}", small.bytes());
        let large = OffsetMap::new(Offset::ZERO, u64::MAX, 2_400, KEYS);
        assert_eq!((large.bytes(), large.keys_max()), (2_400, 90));
        assert_eq!(OffsetMap::new(Offset::ZERO, 0, 0, KEYS).keys_max(), 1);
    }

    #[test]
    fn a_full_map_takes_known_keys_and_refuses_new_ones() {
        let mut map = OffsetMap::new(Offset::ZERO, u64::MAX, 2_400, KEYS);
        let taken = (0..1_000u32).take_while(|key| map.note(&key.to_be_bytes(), Offset::ZERO)).count();
        assert_eq!(taken, 90);
        assert!(map.note(&89u32.to_be_bytes(), Offset::new(5)));
        assert!(!map.note(b"another", Offset::new(6)));
        assert_eq!(map.newest(&89u32.to_be_bytes()), Some(Offset::new(5)));
        assert_eq!(map.newest(b"another"), None);
    }
}
