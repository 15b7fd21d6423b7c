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
//! Bytes are received into the block's spare capacity; a complete frame is split off without a copy, a small
//! one copied, so that it does not hold a block. The next block is as large as what arrives at once, so that
//! a busy connection takes many frames in one call; a frame that does not fit gets a block of at most twice
//! what has arrived of it. A block whose frames are all gone is used again.

use bytes::{Buf, BytesMut};

/// The bytes of a frame's size.
const SIZE_BYTES: usize = size_of::<i32>();

/// The smallest block: some dozen small requests. An idle connection keeps one of this size, and no larger
/// one.
const BLOCK_BYTES_MIN: usize = 4 << 10;

/// The largest block that is made before its bytes have arrived: what a socket's buffer brings at once, and a
/// quarter of Kafka's default for the largest batch.
const BLOCK_BYTES_AHEAD_MAX: usize = 256 << 10;

/// Up to this size a frame is copied out of its block: cheaper than a block of its own for what comes next.
const COPY_BYTES_MAX: usize = 1 << 10;

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
    /// What has arrived and was not taken. Its spare capacity is the room for more.
    block: BytesMut,
    /// The size of the next block.
    ahead: usize,
    bytes_max: usize,
}

impl FrameBuffer {
    /// An empty buffer, which holds no memory, for frames of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> FrameBuffer {
        FrameBuffer { block: BytesMut::new(), ahead: BLOCK_BYTES_MIN, bytes_max }
    }

    /// Frames have at most so many bytes from now on; one that has begun as well.
    pub(super) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Whether a frame has begun and not ended.
    pub(super) fn is_partial(&self) -> bool {
        !self.block.is_empty()
    }

    /// The memory of what has arrived and was not taken.
    pub(super) fn holds(&self) -> usize {
        self.block.capacity()
    }

    /// Gives the memory back while nothing is expected, but for a small block. A frame that has begun stays.
    /// Whether waiting for more takes no memory than what is held anyway.
    pub(super) fn rests_small(&mut self) -> bool {
        if self.block.is_empty() && self.ahead > BLOCK_BYTES_MIN {
            self.block = BytesMut::new();
            return false;
        }
        true
    }

    /// The next frame, without its size; `None` when it has not arrived whole.
    ///
    /// # Errors
    /// [`FrameError`]: there is no way to find the next frame then.
    pub(super) fn next(&mut self) -> Result<Option<BytesMut>, FrameError> {
        let Some(size) = self.size()? else { return Ok(None) };
        let end = SIZE_BYTES + size;
        if self.block.len() < end {
            return Ok(None);
        }
        if size <= COPY_BYTES_MAX {
            let frame = BytesMut::from(&self.block[SIZE_BYTES..end]);
            self.block.advance(end);
            return Ok(Some(frame));
        }
        let mut frame = self.block.split_to(end);
        // Splitting the size off at the front costs nothing.
        let _ = frame.split_to(SIZE_BYTES);
        Ok(Some(frame))
    }

    fn size(&self) -> Result<Option<usize>, FrameError> {
        let Some(size) = self.block.first_chunk() else { return Ok(None) };
        let size = i32::from_be_bytes(*size);
        let size = usize::try_from(size).map_err(|_| FrameError::Negative { found: size })?;
        match size <= self.bytes_max {
            true => Ok(Some(size)),
            false => Err(FrameError::TooLarge { found: size, max: self.bytes_max }),
        }
    }

    /// The block, with spare capacity for the next bytes. [`FrameBuffer::next`] has said that no frame is
    /// complete.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let frame = match self.size() {
            Ok(Some(size)) => SIZE_BYTES + size,
            Ok(None) | Err(_) => BLOCK_BYTES_MIN,
        };
        let filled = self.block.len();
        let length = frame.min(self.ahead.max(2 * filled)).max(self.ahead);
        if filled == 0 {
            // A block whose frames are all gone starts at its beginning again.
            let _ = self.block.try_reclaim(length);
        }
        let capacity = self.block.capacity();
        // A frame that fits is waited for in place. One that does not moves to a block that holds it, or else
        // to a larger one when this one is nearly full, so that no byte is copied more than a few times.
        let is_cramped =
            filled == capacity || (frame > capacity && (frame <= length || capacity - filled < capacity / 4));
        if is_cramped && !self.block.try_reclaim(length - filled) {
            let mut block = BytesMut::with_capacity(length);
            block.extend_from_slice(&self.block);
            self.block = block;
        }
        &mut self.block
    }

    /// Notes that `received` bytes have come into [`FrameBuffer::room`]: what fills it lets the next block
    /// grow, little lets it shrink.
    pub(super) fn advance(&mut self, received: usize) {
        if self.block.len() == self.block.capacity() {
            self.ahead = (2 * self.ahead).min(BLOCK_BYTES_AHEAD_MAX);
        } else if received < self.ahead / 4 {
            self.ahead = (self.ahead / 2).max(BLOCK_BYTES_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(buffer: &mut FrameBuffer, mut bytes: &[u8], at_most: usize) -> Vec<BytesMut> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let room = buffer.room();
            let taken = (room.capacity() - room.len()).min(at_most).min(bytes.len());
            assert!(taken > 0);
            room.extend_from_slice(&bytes[..taken]);
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
            let block = buffer.block.capacity();
            assert!(receive(&mut buffer, &[7; 1000], 1000).is_empty());
            let capacity = buffer.block.capacity();
            blocks += usize::from(capacity != block);
            assert!(capacity <= (2 * arrived).max(BLOCK_BYTES_MIN), "{capacity} of {arrived}");
        }
        // A block at every call would copy each byte thousands of times.
        assert!(blocks < 20, "{blocks} blocks");
    }

    #[test]
    fn an_impossible_size_is_refused_before_its_bytes_are() {
        let refused = |size: i32| {
            let mut buffer = FrameBuffer::new(1000);
            buffer.room().extend_from_slice(&size.to_be_bytes());
            buffer.next().unwrap_err()
        };
        assert_eq!(refused(-1), FrameError::Negative { found: -1 });
        assert_eq!(refused(1001), FrameError::TooLarge { found: 1001, max: 1000 });
        assert_eq!(refused(i32::MAX), FrameError::TooLarge { found: i32::MAX as usize, max: 1000 });
    }

    #[test]
    fn an_idle_connection_holds_little_memory() {
        let mut buffer = FrameBuffer::new(1 << 20);
        drop(receive(&mut buffer, &stream(&[10]), 100));
        buffer.rests_small();
        assert!(buffer.block.capacity() <= BLOCK_BYTES_MIN);
        drop(receive(&mut buffer, &stream(&[200_000]), usize::MAX));
        assert!(buffer.ahead > BLOCK_BYTES_MIN);
        buffer.rests_small();
        assert_eq!(buffer.block.capacity(), 0);
    }

    #[test]
    fn a_busy_connection_takes_many_frames_at_once_and_reuses_its_block() {
        let mut buffer = FrameBuffer::new(1 << 20);
        let frames = stream(&[16_500; 12]);
        for _ in 0..4 {
            drop(receive(&mut buffer, &frames, usize::MAX));
        }
        assert!(buffer.room().capacity() > 2 * 16_500);

        let mut buffer = FrameBuffer::new(1 << 20);
        drop(receive(&mut buffer, &stream(&[100]), usize::MAX));
        let memory = buffer.room().as_ptr() as usize;
        for _ in 0..1000 {
            drop(receive(&mut buffer, &stream(&[100]), usize::MAX));
            let now = buffer.room().as_ptr() as usize;
            assert!((memory..memory + BLOCK_BYTES_MIN).contains(&now), "the same block");
        }
    }
}
