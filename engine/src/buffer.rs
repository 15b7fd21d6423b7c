//! Memory for direct I/O: aligned, reusable, owned by the operation that uses it.

/// A growable byte buffer whose memory starts at a multiple of [`AlignedBuffer::ALIGNMENT`], as `O_DIRECT`
/// demands.
///
/// The buffer is made of whole pages, so no `unsafe` allocation is needed.
#[derive(Default)]
pub struct AlignedBuffer {
    pages: Vec<Page>,
    length: usize,
}

#[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C, align(4096))]
struct Page([u8; AlignedBuffer::ALIGNMENT]);

impl AlignedBuffer {
    /// 4 KiB: the physical block of every disk that we know.
    pub const ALIGNMENT: usize = 4096;

    /// An empty buffer without memory.
    pub fn new() -> AlignedBuffer {
        AlignedBuffer::default()
    }

    /// A buffer of `length` zeros, to be read into.
    pub fn zeroed(length: usize) -> AlignedBuffer {
        let pages = vec![Page([0; Self::ALIGNMENT]); length.div_ceil(Self::ALIGNMENT)];
        AlignedBuffer { pages, length }
    }

    /// The number of bytes written so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Copies `bytes` to the end.
    pub fn extend(&mut self, bytes: &[u8]) {
        let start = self.length;
        self.length += bytes.len();
        let pages = self.length.div_ceil(Self::ALIGNMENT);
        if pages > self.pages.len() {
            self.pages.resize(pages, Page([0; Self::ALIGNMENT]));
        }
        self.as_mut()[start..].copy_from_slice(bytes);
    }

    /// Fills up with zeros to the next multiple of [`AlignedBuffer::ALIGNMENT`].
    pub fn pad(&mut self) {
        let end = self.length.next_multiple_of(Self::ALIGNMENT);
        let zeros = [0; Self::ALIGNMENT];
        self.extend(&zeros[..end - self.length]);
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        &zerocopy::IntoBytes::as_bytes(self.pages.as_slice())[..self.length]
    }
}

impl AsMut<[u8]> for AlignedBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut zerocopy::IntoBytes::as_mut_bytes(self.pages.as_mut_slice())[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_and_padding_is_zero() {
        let mut buffer = AlignedBuffer::new();
        buffer.extend(&[7; 5000]);
        buffer.clear();
        buffer.extend(&[1; 10]);
        buffer.pad();
        assert_eq!(buffer.len(), 4096);
        assert_eq!(buffer.as_ref().as_ptr() as usize % AlignedBuffer::ALIGNMENT, 0);
        assert_eq!(&buffer.as_ref()[..10], [1; 10]);
        assert!(
            buffer.as_ref()[10..].iter().all(|byte| *byte == 0),
            "nothing of an earlier use shines through"
        );
    }
}
