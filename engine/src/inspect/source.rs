//! A file that is read piece by piece, whatever state it is in.
//!
//! Bytes that the device does not give are zeros, and noted ([`Source::unreadable`]): no checksum fits them,
//! so they come out as damage with a place, and reading goes on behind them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::types::Position;

/// Bytes read at once, if no more are asked for.
const READ_BYTES: usize = 256 << 10;

/// The bytes that are given up at once where the device refuses: a page.
const REFUSED_BYTES: usize = 4 << 10;

/// Bytes with a length: a file, or memory.
#[derive(Debug)]
pub struct Source {
    file: Option<File>,
    length: u64,
    /// Where in the file the buffer's first byte stands.
    start: Position,
    buffer: Vec<u8>,
    unreadable: Vec<Range<Position>>,
}

impl Source {
    /// A file, opened for reading only. What is appended to it later does not count.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(path: &Path) -> io::Result<Source> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Source {
            file: Some(file),
            length,
            start: Position::ZERO,
            buffer: Vec::new(),
            unreadable: Vec::new(),
        })
    }

    /// Bytes in memory.
    pub fn of_bytes(bytes: Vec<u8>) -> Source {
        Source {
            file: None,
            length: bytes.len() as u64,
            start: Position::ZERO,
            buffer: bytes,
            unreadable: Vec::new(),
        }
    }

    /// The bytes in all.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What the device has refused so far, in the order in which it was asked.
    pub fn unreadable(&self) -> &[Range<Position>] {
        &self.unreadable
    }

    /// `wanted` bytes from `position` on, or as many as there are.
    pub fn at(&mut self, position: Position, wanted: usize) -> &[u8] {
        let wanted =
            wanted.min(usize::try_from(self.length.saturating_sub(position.0)).unwrap_or(usize::MAX));
        let end = position.saturating_add(wanted as u64);
        if wanted > 0 && (position < self.start || end > self.start + self.buffer.len() as u64) {
            self.fill(position, wanted);
        }
        let from = position.0.saturating_sub(self.start.0).min(self.buffer.len() as u64) as usize;
        &self.buffer[from..][..wanted]
    }

    fn fill(&mut self, position: Position, wanted: usize) {
        let file = self.file.as_ref().expect("what is in memory is there whole");
        let length = wanted.max(READ_BYTES).min((Position(self.length) - position) as usize);
        self.buffer.clear();
        self.buffer.resize(length, 0);
        self.start = position;
        if file.read_exact_at(&mut self.buffer, position.0).is_ok() {
            return;
        }
        for (number, page) in self.buffer.chunks_mut(REFUSED_BYTES).enumerate() {
            let place = position + (number * REFUSED_BYTES) as u64;
            if file.read_exact_at(page, place.0).is_err() {
                page.fill(0);
                let refused = place..place + page.len() as u64;
                match self.unreadable.last_mut() {
                    Some(last) if last.end == refused.start => last.end = refused.end,
                    _ => self.unreadable.push(refused),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_of_a_file_is_what_stands_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..READ_BYTES as u32 * 2).map(|at| (at % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let mut source = Source::open(file.path()).unwrap();
        for (position, wanted) in [(0, 10), (READ_BYTES - 5, 10), (3, READ_BYTES + 7), (bytes.len() - 2, 10)]
        {
            let end = (position + wanted).min(bytes.len());
            assert_eq!(source.at(Position(position as u64), wanted), &bytes[position..end]);
        }
        assert_eq!(source.at(Position(bytes.len() as u64 + 1), 5), b"");
        assert_eq!(source.at(Position(u64::MAX), 5), b"");
        assert!(source.unreadable().is_empty());
    }
}
