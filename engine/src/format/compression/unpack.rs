//! Unpacks packed records piece by piece, in memory that does not depend on how much they unpack to.
//!
//! ```text
//! packed bytes > Unpacker::next > at most 64 KiB > Unpacker::next > at most 64 KiB > ... > None
//! ```
//! No call does more than one piece of work, so whoever unpacks may give way between two of them. What an
//! unpacker holds:
//!
//! | codec  | holds                                                                                     |
//! |--------|-------------------------------------------------------------------------------------------|
//! | gzip   | a window of 32 KiB and one piece                                                          |
//! | snappy | one block: what Java and most others write has 32 KiB; a raw one has all the records      |
//! | lz4    | one block of at most 4 MiB, and at most 64 KiB as Java and librdkafka write it            |
//! | zstd   | one piece and the frame's window, of at most 128 MiB (zstd's own limit, which Java's reader has, too), of which only what is written takes memory |
//!
//! [`Strictness::Admit`] takes what the readers of Kafka's Java clients take, byte for byte: what is stored
//! must be readable for them. That includes their leniency: they stop at the end mark of an LZ4 frame, leave
//! padding behind a gzip member alone, and do not verify the content checksum of an LZ4 frame.

use std::ops::Range;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective};

use super::lz4::{self, Frame};
use super::{Codec, DecompressError, XERIAL_HEADER_BYTES, XERIAL_MAGIC};

/// The most bytes that one call gives.
pub const PIECE_BYTES: usize = 64 << 10;

/// What an unpacker keeps between two batches; what was larger is given back.
const KEPT_BYTES_MAX: usize = 2 << 20;

/// Snappy's best: a copy of 64 bytes in an element of 3, rounded up.
const SNAPPY_RATIO_MAX: usize = 22;

/// How Java reads zstd: so many bytes at a time, and a frame that is cut off behind a whole one in the same
/// bytes is no error to it.
const JAVA_ZSTD_READ_BYTES: usize = 131_075;
/// How Java reads gzip: so many bytes at a time, of which the last [`JAVA_GZIP_IGNORED_BYTES`] behind a
/// member are not looked at.
const JAVA_GZIP_READ_BYTES: usize = 8 << 10;
const JAVA_GZIP_IGNORED_BYTES: usize = 18;

/// Who will read the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// They come from a client and are to be stored: only what Kafka's Java clients can read is taken.
    Admit,
    /// They were stored, maybe by an older version that took more.
    Read,
}

/// Unpacks one batch's records after the other, with decoders that it keeps.
pub struct Unpacker {
    codec: Codec,
    strictness: Strictness,
    limit: usize,
    piece_bytes: usize,
    /// Bytes that were unpacked so far, given out or not.
    unpacked: usize,
    /// Bytes of the packed records that were read.
    at: usize,
    is_done: bool,
    /// What was unpacked and not given out yet: a range of `block`, or of the packed bytes.
    pending: Range<usize>,
    is_pending_packed: bool,
    block: Vec<u8>,
    gzip: Option<Box<Gzip>>,
    snappy: snap::raw::Decoder,
    is_xerial: bool,
    lz4: Option<Frame>,
    zstd: Option<Zstd>,
}

struct Gzip {
    stage: GzipStage,
    members: usize,
    crc: crc32fast::Hasher,
    bytes: u32,
    inflate: Decompress,
}

#[derive(Clone, Copy)]
enum GzipStage {
    Header,
    Body,
    Trailer,
}

struct Zstd {
    context: DCtx<'static>,
    /// Whether a frame has begun and not ended.
    is_open: bool,
    /// Where the last whole frame ended.
    frame_end: Option<usize>,
    /// Whether the last call may have held something back.
    was_full: bool,
}

impl Default for Unpacker {
    fn default() -> Unpacker {
        Unpacker {
            codec: Codec::None,
            strictness: Strictness::Admit,
            limit: 0,
            piece_bytes: PIECE_BYTES,
            unpacked: 0,
            at: 0,
            is_done: true,
            pending: 0..0,
            is_pending_packed: false,
            block: Vec::new(),
            gzip: None,
            snappy: snap::raw::Decoder::new(),
            is_xerial: false,
            lz4: None,
            zstd: None,
        }
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Unpacker { codec, unpacked, at, .. } = self;
        formatter
            .debug_struct("Unpacker")
            .field("codec", codec)
            .field("unpacked", unpacked)
            .field("at", at)
            .finish_non_exhaustive()
    }
}

impl Unpacker {
    /// Turns to other records, which may unpack to `limit` bytes and are given out `piece_bytes` at a time.
    ///
    /// # Panics
    /// Unless `piece_bytes` is from 1 to [`PIECE_BYTES`].
    pub fn begin(&mut self, codec: Codec, limit: usize, piece_bytes: usize, strictness: Strictness) {
        assert!((1..=PIECE_BYTES).contains(&piece_bytes), "a piece of {piece_bytes} bytes");
        (self.codec, self.limit, self.strictness) = (codec, limit, strictness);
        self.piece_bytes = piece_bytes;
        (self.unpacked, self.at, self.is_done) = (0, 0, false);
        (self.pending, self.is_pending_packed) = (0..0, false);
        self.lz4 = None;
        if self.block.len() > KEPT_BYTES_MAX {
            self.block = Vec::new();
        }
        if self.zstd.as_ref().is_some_and(|zstd| zstd.context.sizeof() > KEPT_BYTES_MAX) {
            self.zstd = None;
        }
        match codec {
            Codec::None | Codec::Snappy | Codec::Lz4 => {}
            Codec::Gzip => {
                let gzip = self.gzip.get_or_insert_with(|| Box::new(Gzip::new()));
                (gzip.stage, gzip.members) = (GzipStage::Header, 0);
            }
            Codec::Zstd => match &mut self.zstd {
                Some(zstd) => zstd.begin(),
                None => self.zstd = Some(Zstd::new()),
            },
        }
    }

    /// The bytes that were unpacked so far.
    pub fn unpacked(&self) -> usize {
        self.unpacked
    }

    /// The memory that is held for one block or one piece, and for zstd's window.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.block.capacity() + self.zstd.as_ref().map_or(0, |zstd| zstd.context.sizeof())
    }

    /// The next piece of at most [`PIECE_BYTES`], or `None` at the end. `packed` is the same in every call. A
    /// piece may be empty.
    ///
    /// # Errors
    /// [`DecompressError`]; the unpacker is at its end then.
    pub fn next<'a>(&'a mut self, packed: &'a [u8]) -> Result<Option<&'a [u8]>, DecompressError> {
        if self.pending.is_empty() {
            if self.is_done {
                return Ok(None);
            }
            if let Err(error) = self.fill(packed) {
                (self.is_done, self.pending) = (true, 0..0);
                return Err(error);
            }
        }
        let from = self.pending.start;
        let to = self.pending.end.min(from + self.piece_bytes);
        self.pending.start = to;
        let bytes = if self.is_pending_packed { packed } else { &self.block[..] };
        Ok(Some(&bytes[from..to]))
    }

    /// Makes something pending, or finds the end, or has at least read on.
    fn fill(&mut self, packed: &[u8]) -> Result<(), DecompressError> {
        let before = self.at;
        match self.codec {
            Codec::None => {
                (self.is_pending_packed, self.is_done) = (true, true);
                self.pending = 0..packed.len();
                self.at = packed.len();
                self.count(packed.len())
            }
            Codec::Gzip => self.fill_gzip(packed),
            Codec::Snappy => self.fill_snappy(packed),
            Codec::Lz4 => self.fill_lz4(packed),
            Codec::Zstd => self.fill_zstd(packed),
        }?;
        let moved = self.at > before || !self.pending.is_empty() || self.is_done;
        assert!(moved, "an unpacker that does not move would never end");
        Ok(())
    }

    fn count(&mut self, more: usize) -> Result<(), DecompressError> {
        let (codec, limit) = (self.codec, self.limit);
        self.unpacked += more;
        if self.unpacked > limit { Err(DecompressError::TooLarge { codec, limit }) } else { Ok(()) }
    }

    fn invalid(&self) -> DecompressError {
        DecompressError::Invalid { codec: self.codec }
    }

    /// Room for one piece, or one block.
    fn make_room(&mut self, bytes: usize) {
        if self.block.len() < bytes {
            self.block.resize(bytes, 0);
        }
    }

    fn give_block(&mut self, bytes: usize) -> Result<(), DecompressError> {
        (self.pending, self.is_pending_packed) = (0..bytes, false);
        self.count(bytes)
    }

    fn fill_gzip(&mut self, packed: &[u8]) -> Result<(), DecompressError> {
        self.make_room(PIECE_BYTES);
        let invalid = self.invalid();
        let gzip = self.gzip.as_mut().expect("begun with gzip");
        let rest = &packed[self.at..];
        match gzip.stage {
            GzipStage::Header => {
                let header_bytes = gzip_header_bytes(rest);
                match header_bytes {
                    Some(bytes) => {
                        self.at += bytes;
                        gzip.begin_member();
                    }
                    // The first member must be there. After it, what does not open one is padding to Java's
                    // reader.
                    None if gzip.members == 0 => return Err(invalid),
                    None => self.is_done = true,
                }
                Ok(())
            }
            GzipStage::Body => {
                let (read, written) = (gzip.inflate.total_in(), gzip.inflate.total_out());
                let out = &mut self.block[..PIECE_BYTES];
                let status =
                    gzip.inflate.decompress(rest, out, FlushDecompress::None).map_err(|_| invalid)?;
                let read = (gzip.inflate.total_in() - read) as usize;
                let written = (gzip.inflate.total_out() - written) as usize;
                if status == Status::StreamEnd {
                    gzip.stage = GzipStage::Trailer;
                } else if read == 0 && written == 0 {
                    return Err(invalid);
                }
                gzip.crc.update(&out[..written]);
                gzip.bytes = gzip.bytes.wrapping_add(written as u32);
                self.at += read;
                self.give_block(written)?;
                // An end without a byte before it.
                if read == 0 && written == 0 { self.fill_gzip(packed) } else { Ok(()) }
            }
            GzipStage::Trailer => {
                let (trailer, rest) = rest.split_first_chunk::<8>().ok_or(invalid)?;
                let sum = u32::from_le_bytes(trailer[..4].try_into().expect("4 bytes"));
                let bytes = u32::from_le_bytes(trailer[4..].try_into().expect("4 bytes"));
                if sum != gzip.crc.clone().finalize() || bytes != gzip.bytes {
                    return Err(invalid);
                }
                self.at += trailer.len();
                gzip.members += 1;
                gzip.stage = GzipStage::Header;
                let is_ignored =
                    rest.len() <= JAVA_GZIP_IGNORED_BYTES && packed.len() <= JAVA_GZIP_READ_BYTES;
                self.is_done = rest.is_empty() || is_ignored;
                Ok(())
            }
        }
    }

    fn fill_snappy(&mut self, packed: &[u8]) -> Result<(), DecompressError> {
        let invalid = self.invalid();
        if self.at == 0 {
            self.is_xerial = packed.len() >= XERIAL_HEADER_BYTES && packed.starts_with(XERIAL_MAGIC);
            if !self.is_xerial {
                (self.at, self.is_done) = (packed.len(), true);
                return self.unsnap(packed);
            }
            self.at = XERIAL_HEADER_BYTES;
            return Ok(());
        }
        let rest = &packed[self.at..];
        // Fewer bytes than a length are left alone.
        let Some((length, blocks)) = rest.split_first_chunk::<4>() else {
            self.is_done = true;
            return Ok(());
        };
        // Streams that were glued together repeat the header, which no block length looks like: it would be
        // negative.
        if length == &XERIAL_MAGIC[..4] {
            let header = rest.get(..XERIAL_HEADER_BYTES).ok_or(invalid)?;
            self.at += header.len();
            self.is_done = !header.starts_with(XERIAL_MAGIC);
            let version = i32::from_be_bytes(header[8..12].try_into().expect("4 bytes"));
            let is_old = !self.is_done && version < 1 && self.strictness == Strictness::Admit;
            return if is_old { Err(invalid) } else { Ok(()) };
        }
        let block = usize::try_from(i32::from_be_bytes(*length)).ok().and_then(|bytes| blocks.get(..bytes));
        let block = block.ok_or(invalid)?;
        self.at += length.len() + block.len();
        self.unsnap(block)
    }

    fn unsnap(&mut self, block: &[u8]) -> Result<(), DecompressError> {
        let (codec, limit, invalid) = (self.codec, self.limit, self.invalid());
        let bytes = snap::raw::decompress_len(block).map_err(|_| invalid)?;
        if block.is_empty() || bytes > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
            return Err(invalid);
        }
        if bytes > limit - self.unpacked {
            return Err(DecompressError::TooLarge { codec, limit });
        }
        self.make_room(bytes);
        let written = self.snappy.decompress(block, &mut self.block[..bytes]).map_err(|_| invalid)?;
        self.give_block(written)
    }

    fn fill_lz4(&mut self, packed: &[u8]) -> Result<(), DecompressError> {
        let invalid = self.invalid();
        let Some(frame) = self.lz4 else {
            let (frame, bytes) = Frame::read(packed).ok_or(invalid)?;
            self.lz4 = Some(frame);
            self.at = bytes;
            return Ok(());
        };
        let block = frame.next_block(&packed[self.at..]).ok_or(invalid)?;
        let start = self.at;
        self.at += block.bytes;
        match block.data {
            lz4::Data::End => self.is_done = true,
            lz4::Data::Stored(range) => {
                let range = start + range.start..start + range.end;
                self.count(range.len())?;
                (self.pending, self.is_pending_packed) = (range, true);
            }
            lz4::Data::Packed(range) => {
                let data = &packed[start + range.start..start + range.end];
                let room = frame.block_bytes_max().min(self.limit - self.unpacked);
                self.make_room(room);
                let written = match lz4_flex::block::decompress_into(data, &mut self.block[..room]) {
                    Ok(written) => written,
                    Err(lz4_flex::block::DecompressError::OutputTooSmall { .. })
                        if room < frame.block_bytes_max() =>
                    {
                        return Err(DecompressError::TooLarge { codec: self.codec, limit: self.limit });
                    }
                    Err(_) => return Err(invalid),
                };
                let is_strict = self.strictness == Strictness::Admit;
                if is_strict && !lz4::ends_as_specified(data, written, frame.block_bytes_max()) {
                    return Err(invalid);
                }
                self.give_block(written)?;
            }
        }
        Ok(())
    }

    fn fill_zstd(&mut self, packed: &[u8]) -> Result<(), DecompressError> {
        self.make_room(PIECE_BYTES);
        let invalid = self.invalid();
        let zstd = self.zstd.as_mut().expect("begun with zstd");
        if self.at == packed.len() && !zstd.was_full {
            self.is_done = true;
            let is_cut = zstd.is_open && !zstd.is_cut_unseen_by_java(packed.len());
            return if is_cut { Err(invalid) } else { Ok(()) };
        }
        let mut input = InBuffer::around(&packed[self.at..]);
        let mut output = OutBuffer::around(&mut self.block[..PIECE_BYTES]);
        let left = zstd.context.decompress_stream(&mut output, &mut input).map_err(|_| invalid)?;
        let (read, written) = (input.pos(), output.pos());
        self.at += read;
        zstd.was_full = written == PIECE_BYTES && left != 0;
        zstd.is_open = left != 0;
        if left == 0 {
            zstd.frame_end = Some(self.at);
        }
        self.give_block(written)?;
        if read == 0 && written == 0 {
            // The decoder had nothing left to say and nothing left to read.
            if self.at < packed.len() {
                return Err(invalid);
            }
            return self.fill_zstd(packed);
        }
        Ok(())
    }
}

impl Gzip {
    fn new() -> Gzip {
        Gzip {
            stage: GzipStage::Header,
            members: 0,
            crc: crc32fast::Hasher::new(),
            bytes: 0,
            inflate: Decompress::new(false),
        }
    }

    fn begin_member(&mut self) {
        self.stage = GzipStage::Body;
        self.crc.reset();
        self.bytes = 0;
        self.inflate.reset(false);
    }
}

/// The bytes of a gzip member's header, if `bytes` begin with one. Reserved flags are ignored, as Java does.
fn gzip_header_bytes(bytes: &[u8]) -> Option<usize> {
    const HEADER_SUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let (fixed, mut rest) = bytes.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *fixed else { return None };
    if flags & EXTRA != 0 {
        let (length, extra) = rest.split_first_chunk::<2>()?;
        rest = extra.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_SUM != 0 {
        let header = &bytes[..bytes.len() - rest.len()];
        let (sum, behind) = rest.split_first_chunk::<2>()?;
        if u16::from_le_bytes(*sum) != crc32fast::hash(header) as u16 {
            return None;
        }
        rest = behind;
    }
    Some(bytes.len() - rest.len())
}

impl Zstd {
    fn new() -> Zstd {
        Zstd { context: DCtx::create(), is_open: false, frame_end: None, was_full: false }
    }

    fn begin(&mut self) {
        self.context.reset(ResetDirective::SessionOnly).expect("a session can always be reset");
        (self.is_open, self.frame_end, self.was_full) = (false, None, false);
    }

    fn is_cut_unseen_by_java(&self, packed_bytes: usize) -> bool {
        let read = |at: usize| at.saturating_sub(1) / JAVA_ZSTD_READ_BYTES;
        self.frame_end.is_some_and(|end| read(end) == read(packed_bytes))
    }
}
