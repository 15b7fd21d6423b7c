//! One file of the simulated medium: what is cached, what is durable, and what lies between.
//!
//! ```text
//!   durable  --- unsynced changes, oldest first --->  cached
//!            [Length 700][Data 0..1024][Data 512..1024]
//!             certain     may be lost   certain (O_DSYNC)
//! ```
//!
//! A change that is `certain` survives every crash; it waits in the list only because an older one does not,
//! and the order of the list decides what an overwritten sector ends up with. Which changes exist is decided
//! by [`super::medium`].

use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};

use bytes::Bytes;
use fastrand::Rng;

/// What a disk with a capacity gives out at a time, in bytes.
pub const BLOCK_BYTES: u64 = 4096;

/// What the disk writes whole or not at all, in bytes.
pub const SECTOR_BYTES: u64 = 512;

/// How likely it is that one unsynced change survives, drawn once per crash: all and nothing must be common,
/// too.
const SURVIVAL: [f64; 5] = [0.0, 0.1, 0.5, 0.9, 1.0];

/// Draws how likely each unsynced change of one crash is to survive.
pub(super) fn survival(rng: &mut Rng) -> f64 {
    SURVIVAL[rng.usize(..SURVIVAL.len())]
}

/// A file's two images and the changes that lead from one to the other.
#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) cached: Image,
    durable: Image,
    unsynced: VecDeque<Unsynced>,
    sequence: u64,
    /// Alive while the file is open.
    open: Weak<()>,
}

#[derive(Clone)]
struct Unsynced {
    sequence: u64,
    certain: bool,
    change: Change,
}

#[derive(Clone)]
enum Change {
    Length(u64),
    /// Whole sectors, with the bytes that the cache held around the write.
    Data {
        position: u64,
        sectors: Bytes,
    },
}

impl File {
    /// A file whose two images hold `content`.
    pub(super) fn settled(content: &[u8]) -> File {
        let mut image = Image::default();
        image.write(0, content);
        File { cached: image.clone(), durable: image, ..File::default() }
    }

    /// Something that keeps the file open while it lives.
    pub(super) fn open(&mut self) -> Rc<()> {
        self.open.upgrade().unwrap_or_else(|| {
            let handle = Rc::new(());
            self.open = Rc::downgrade(&handle);
            handle
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.strong_count() > 0
    }

    /// The process that had it open is dead.
    pub(super) fn forget_handles(&mut self) {
        self.open = Weak::new();
    }

    pub(super) fn write(&mut self, position: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = position + bytes.len() as u64;
        if end > self.cached.length {
            self.push(Change::Length(end));
        }
        self.cached.write(position, bytes);
        let start = position / SECTOR_BYTES * SECTOR_BYTES;
        let length = (end.next_multiple_of(SECTOR_BYTES) - start) as usize;
        let mut sectors = self.cached.read(start, length);
        sectors.resize(length, 0);
        self.push(Change::Data { position: start, sectors: sectors.into() });
    }

    /// A write that is durable, with every length change before it.
    pub(super) fn write_durable(&mut self, position: u64, bytes: &[u8]) {
        let start = self.sequence;
        self.write(position, bytes);
        for unsynced in &mut self.unsynced {
            unsynced.certain |= unsynced.sequence >= start || matches!(unsynced.change, Change::Length(_));
        }
        self.settle_certain();
    }

    pub(super) fn set_length(&mut self, length: u64) {
        if length != self.cached.length {
            self.cached.set_length(length);
            self.push(Change::Length(length));
        }
    }

    /// What a sync that starts now will cover.
    pub(super) fn sync_start(&self) -> u64 {
        self.sequence
    }

    pub(super) fn sync(&mut self, covered: u64) {
        for unsynced in &mut self.unsynced {
            unsynced.certain |= unsynced.sequence < covered;
        }
        self.settle_certain();
    }

    /// The pages are clean now and some of them, one at least, are nowhere but in the cache.
    pub(super) fn sync_failed(&mut self, covered: u64, rng: &mut Rng) {
        let sectors =
            self.unsynced.iter().filter(|unsynced| unsynced.sequence < covered && !unsynced.certain);
        let count: usize = sectors.map(|unsynced| unsynced.change.sector_count()).sum();
        if count == 0 {
            return;
        }
        let doomed = rng.usize(..count);
        let survival = survival(rng);
        let mut at = 0;
        for unsynced in std::mem::take(&mut self.unsynced) {
            match &unsynced.change {
                Change::Data { position, sectors } if unsynced.sequence < covered && !unsynced.certain => {
                    for (place, sector) in sectors_of(*position, sectors) {
                        if at != doomed && rng.f64() < survival {
                            let change = Change::Data { position: place, sectors: sector };
                            self.unsynced.push_back(Unsynced { change, ..unsynced });
                        }
                        at += 1;
                    }
                }
                _ => self.unsynced.push_back(unsynced),
            }
        }
    }

    /// The power goes out and comes back: all that is certain and any part of the rest.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        let survival = survival(rng);
        let mut lengths_lost = false;
        for Unsynced { certain, change, .. } in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(length) => {
                    lengths_lost |= !certain && rng.f64() >= survival;
                    assert!(
                        !(certain && lengths_lost),
                        "a certain length change makes all before it certain"
                    );
                    if !lengths_lost {
                        self.durable.set_length(length);
                    }
                }
                Change::Data { position, sectors } => {
                    for (place, sector) in sectors_of(position, &sectors) {
                        if certain || rng.f64() < survival {
                            self.durable.overwrite(place, &sector);
                        }
                    }
                }
            }
        }
        self.cached = self.durable.clone();
    }

    /// What every crash leaves at least.
    pub(super) fn durable_content(&self) -> Vec<u8> {
        let mut image = self.durable.clone();
        for unsynced in self.unsynced.iter().filter(|unsynced| unsynced.certain) {
            unsynced.change.apply(&mut image);
        }
        image.read(0, image.length as usize)
    }

    /// The number of changes that a crash may lose.
    pub(super) fn unsynced_count(&self) -> usize {
        self.unsynced.iter().filter(|unsynced| !unsynced.certain).count()
    }

    /// Turns one bit over, wherever that byte is kept.
    pub(super) fn flip(&mut self, position: u64, bit: u32) {
        self.cached.flip(position, bit);
        self.durable.flip(position, bit);
        for unsynced in &mut self.unsynced {
            if let Change::Data { position: start, sectors } = &mut unsynced.change
                && (*start..*start + sectors.len() as u64).contains(&position)
            {
                let mut rotten = sectors.to_vec();
                rotten[(position - *start) as usize] ^= 1 << bit;
                *sectors = rotten.into();
            }
        }
    }

    fn push(&mut self, change: Change) {
        self.unsynced.push_back(Unsynced { sequence: self.sequence, certain: false, change });
        self.sequence += 1;
    }

    fn settle_certain(&mut self) {
        while let Some(Unsynced { change, .. }) = self.unsynced.pop_front_if(|unsynced| unsynced.certain) {
            change.apply(&mut self.durable);
        }
    }
}

impl Change {
    fn apply(&self, image: &mut Image) {
        match self {
            Change::Length(length) => image.set_length(*length),
            Change::Data { position, sectors } => image.overwrite(*position, sectors),
        }
    }

    fn sector_count(&self) -> usize {
        match self {
            Change::Length(_) => 0,
            Change::Data { sectors, .. } => sectors.len() / SECTOR_BYTES as usize,
        }
    }
}

fn sectors_of(position: u64, sectors: &Bytes) -> impl Iterator<Item = (u64, Bytes)> + '_ {
    let starts = (0..sectors.len()).step_by(SECTOR_BYTES as usize);
    starts.map(move |at| (position + at as u64, sectors.slice(at..at + SECTOR_BYTES as usize)))
}

/// A sparse file content; cloning shares its blocks.
///
/// Bytes behind the length are zero, so that a file that grows again shows nothing old.
#[derive(Clone, Default)]
pub(super) struct Image {
    length: u64,
    blocks: BTreeMap<u64, Rc<Block>>,
}

type Block = [u8; BLOCK_BYTES as usize];

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    pub(super) fn block_count(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Up to `length` bytes from `position` on, fewer where the image ends.
    pub(super) fn read(&self, position: u64, length: usize) -> Vec<u8> {
        let length = (length as u64).min(self.length.saturating_sub(position)) as usize;
        let mut bytes = vec![0; length];
        for piece in pieces(position, length) {
            if let Some(block) = self.blocks.get(&piece.block) {
                bytes[piece.outer].copy_from_slice(&block[piece.inner]);
            }
        }
        bytes
    }

    /// Writes and grows.
    fn write(&mut self, position: u64, bytes: &[u8]) {
        self.length = self.length.max(position + bytes.len() as u64);
        for piece in pieces(position, bytes.len()) {
            let block = self.blocks.entry(piece.block).or_insert_with(|| Rc::new([0; BLOCK_BYTES as usize]));
            Rc::make_mut(block)[piece.inner].copy_from_slice(&bytes[piece.outer]);
        }
    }

    /// Writes what lies before the end.
    fn overwrite(&mut self, position: u64, bytes: &[u8]) {
        let length = (bytes.len() as u64).min(self.length.saturating_sub(position));
        self.write(position.min(self.length), &bytes[..length as usize]);
    }

    fn set_length(&mut self, length: u64) {
        if length < self.length {
            self.blocks.split_off(&length.div_ceil(BLOCK_BYTES));
            if let Some(block) = self.blocks.get_mut(&(length / BLOCK_BYTES)) {
                Rc::make_mut(block)[(length % BLOCK_BYTES) as usize..].fill(0);
            }
        }
        self.length = length;
    }

    /// How many of `length` bytes at `position` can be written when there is room for `blocks_free` more
    /// blocks.
    pub(super) fn fitting(&self, position: u64, length: usize, blocks_free: u64) -> usize {
        let missing = pieces(position, length).filter(|piece| !self.blocks.contains_key(&piece.block));
        missing.map(|piece| piece.outer.start).nth(blocks_free as usize).unwrap_or(length)
    }

    fn flip(&mut self, position: u64, bit: u32) {
        if position < self.length {
            let byte = self.read(position, 1)[0] ^ (1 << bit);
            self.write(position, &[byte]);
        }
    }
}

/// The part of a range that lies in one block.
struct Piece {
    block: u64,
    /// Where it is in the block.
    inner: std::ops::Range<usize>,
    /// Where it is in the range.
    outer: std::ops::Range<usize>,
}

fn pieces(position: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let place = position + at as u64;
        let start = (place % BLOCK_BYTES) as usize;
        let count = (length - at).min(BLOCK_BYTES as usize - start);
        let outer = at..at + count;
        at += count;
        (count > 0).then(|| Piece { block: place / BLOCK_BYTES, inner: start..start + count, outer })
    })
}
