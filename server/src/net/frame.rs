//! Cuts a stream of bytes into frames, in memory that follows what arrives and never what is announced.
//!
//! ```text
//! | i32 size | size bytes | i32 size | ...
//! |<------- one frame --->|
//!
//! block:   | frame | frame | begun ...   | room |
//!                                        ^ filled
//! ```
//!
//! Bytes are received into the block directly; a complete frame is split off without a copy. A frame that does not fit gets a new block
//! of at most twice what has arrived of it, or of the size that the frame before it had. Zeroed memory comes from the system
//! untouched, so room that nothing was received into costs no memory.

use bytes::BytesMut;

/// The bytes of a frame's size.
const SIZE_BYTES: usize = size_of::<i32>();

/// The smallest block: some hundred small requests, or what one packet on loopback brings.
const BLOCK_BYTES_MIN: usize = 16 << 10;

/// The largest block that is made before its bytes have arrived: Kafka's default for the largest batch, and its request around it.
const BLOCK_BYTES_AHEAD_MAX: usize = (1 << 20) + (16 << 10);

/// A size that no request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// Below zero.
    #[error("a frame of negative size {found}")]
    Negative {
        /// The size.
        found: i32,
    },
    /// Above `socket.request.max.bytes`.
    #[error("a frame of {found} bytes, at most {max} are allowed (socket.request.max.bytes)")]
    TooLarge {
        /// The size.
        found: usize,
        /// The limit.
        max: usize,
    },
}

/// Collects what a socket brings.
pub(super) struct FrameBuffer {
    /// All of it initialised; the first `filled` bytes have arrived.
    block: BytesMut,
    filled: usize,
    /// The size of the last frame, and so probably of the next.
    last: usize,
    bytes_max: usize,
}

impl FrameBuffer {
    /// An empty buffer, which holds no memory, for frames of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> FrameBuffer {
        FrameBuffer { block: BytesMut::new(), filled: 0, last: 0, bytes_max }
    }

    /// Whether a frame has begun and not ended.
    pub(super) fn is_partial(&self) -> bool {
        self.filled > 0
    }

    /// Gives the memory back while nothing is expected. A frame that has begun stays.
    pub(super) fn rest(&mut self) {
        if self.filled == 0 {
            self.block = BytesMut::new();
        }
    }

    /// The next frame, without its size; `None` when it has not arrived whole.
    ///
    /// # Errors
    /// [`FrameError`]: there is no way to find the next frame then.
    pub(super) fn next(&mut self) -> Result<Option<BytesMut>, FrameError> {
        let Some(size) = self.size()? else { return Ok(None) };
        let end = SIZE_BYTES + size;
        if self.filled < end {
            return Ok(None);
        }
        let mut frame = self.block.split_to(end);
        self.filled -= end;
        self.last = end;
        // Splitting the size off at the front costs nothing.
        let _ = frame.split_to(SIZE_BYTES);
        Ok(Some(frame))
    }

    fn size(&self) -> Result<Option<usize>, FrameError> {
        if self.filled < SIZE_BYTES {
            return Ok(None);
        }
        let size = i32::from_be_bytes(self.block[..SIZE_BYTES].try_into().expect("4 bytes"));
        let size = usize::try_from(size).map_err(|_| FrameError::Negative { found: size })?;
        match size <= self.bytes_max {
            true => Ok(Some(size)),
            false => Err(FrameError::TooLarge { found: size, max: self.bytes_max }),
        }
    }

    /// Where the next bytes go; never empty. [`FrameBuffer::next`] has said that no frame is complete.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let frame = match self.size() {
            Ok(Some(size)) => SIZE_BYTES + size,
            Ok(None) | Err(_) => BLOCK_BYTES_MIN,
        };
        let room = self.block.len() - self.filled;
        // A frame that fits is waited for in place; else the block is replaced before it is full, to receive much at once, but only
        // when it grows by half, so that no byte is copied more than a few times.
        let is_cramped = room == 0 || (frame > self.block.len() && room < self.block.len() / 4);
        if is_cramped {
            let ahead = self.last.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_AHEAD_MAX);
            let length =
                frame.min(ahead.max(2 * self.filled)).max(self.filled + SIZE_BYTES).max(BLOCK_BYTES_MIN);
            let mut block = BytesMut::zeroed(length);
            block[..self.filled].copy_from_slice(&self.block[..self.filled]);
            self.block = block;
        }
        &mut self.block[self.filled..]
    }

    /// Notes that `received` bytes of [`FrameBuffer::room`] have been filled.
    pub(super) fn advance(&mut self, received: usize) {
        self.filled += received;
        assert!(self.filled <= self.block.len(), "received into the room there was");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(buffer: &mut FrameBuffer, mut bytes: &[u8], at_most: usize) -> Vec<BytesMut> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let room = buffer.room();
            let taken = room.len().min(at_most).min(bytes.len());
            assert!(taken > 0);
            room[..taken].copy_from_slice(&bytes[..taken]);
            buffer.advance(taken);
            bytes = &bytes[taken..];
            while let Some(frame) = buffer.next().unwrap() {
                frames.push(frame);
            }
        }
        frames
    }

    fn stream(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            bytes.extend_from_slice(&(*size as i32).to_be_bytes());
            bytes.extend((0..*size).map(|place| (place + at) as u8));
        }
        bytes
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let sizes = [0, 1, 40, 20_000, 3, 16 << 10, 3_000_000, 5, 1_000_000, 1_000_000, 12];
        for at_most in [7, 1000, 65_536, usize::MAX] {
            let mut buffer = FrameBuffer::new(4 << 20);
            let frames = receive(&mut buffer, &stream(&sizes), at_most);
            assert_eq!(frames.len(), sizes.len());
            for (at, (frame, size)) in frames.iter().zip(sizes).enumerate() {
                assert_eq!(frame.len(), size);
                assert!(frame.iter().enumerate().all(|(place, byte)| *byte == (place + at) as u8));
            }
            assert!(!buffer.is_partial());
        }
    }

    #[test]
    fn memory_follows_what_arrives_and_not_what_is_announced() {
        let mut buffer = FrameBuffer::new(100 << 20);
        let announced = (90i32 << 20).to_be_bytes();
        assert!(receive(&mut buffer, &announced, 4).is_empty());
        let (mut arrived, mut blocks) = (4, 0);
        while arrived < 3 << 20 {
            arrived += 1000;
            let block = buffer.block.len();
            assert!(receive(&mut buffer, &[7; 1000], 1000).is_empty());
            blocks += usize::from(buffer.block.len() != block);
            assert!(
                buffer.block.len() <= (2 * arrived).max(BLOCK_BYTES_MIN),
                "{} of {arrived}",
                buffer.block.len()
            );
        }
        // A block at every call would copy each byte thousands of times.
        assert!(blocks < 20, "{blocks} blocks");
    }

    #[test]
    fn an_impossible_size_is_refused_before_its_bytes_are() {
        let refused = |size: i32| {
            let mut buffer = FrameBuffer::new(1000);
            buffer.room()[..4].copy_from_slice(&size.to_be_bytes());
            buffer.advance(4);
            buffer.next().unwrap_err()
        };
        assert_eq!(refused(-1), FrameError::Negative { found: -1 });
        assert_eq!(refused(1001), FrameError::TooLarge { found: 1001, max: 1000 });
        assert_eq!(refused(i32::MAX), FrameError::TooLarge { found: i32::MAX as usize, max: 1000 });
    }

    #[test]
    fn an_idle_connection_holds_no_memory() {
        let mut buffer = FrameBuffer::new(1000);
        receive(&mut buffer, &stream(&[10]), 100);
        buffer.rest();
        assert_eq!(buffer.block.capacity(), 0);
    }
}
