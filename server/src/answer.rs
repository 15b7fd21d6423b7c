//! How an answer becomes bytes: a short one at once, a long one in parts while it is sent (D11).
//!
//! ```text
//! handler > Body > a part > it is all there is     > Answer::Frame
//!                         > there is more: counted > seat > Answer::Long > part by part into the socket
//! ```
//!
//! A frame begins with its size, so a long answer is written twice: the first time to be counted. What a body
//! holds until then is its own to keep small: it may hold what it is about, and make each element when its
//! turn comes ([`Made`]). A body does not change.

use strandline_protocol::messages::{response_head, set_size};
use strandline_protocol::wire::{ApiKey, Encode, EncodeError, Fields, Message, Place, Writer};

use crate::room::Seat;

/// What follows the header of an answer.
pub trait Body {
    /// Goes on writing at `place` until the writer has a part; true at the end. The same bytes each time it
    /// is begun.
    fn write_part(&self, place: &mut Place, writer: &mut Writer) -> bool;

    /// Calls `found` with the error codes in it; those that are zero may be left out.
    fn errors(&self, found: &mut dyn FnMut(i16));

    /// About what the body takes of the memory when `bytes` are written of it.
    fn footprint(&self, bytes: usize) -> usize;
}

/// A message that is there as a value.
impl<M: Message + Encode> Body for M {
    fn write_part(&self, place: &mut Place, writer: &mut Writer) -> bool {
        Encode::write_part(self, place, 0, writer)
    }

    fn errors(&self, found: &mut dyn FnMut(i16)) {
        Encode::errors(self, "", found);
    }

    fn footprint(&self, bytes: usize) -> usize {
        // Values and their strings are some three times their size on the wire.
        bytes.saturating_mul(3)
    }
}

/// A message with one array whose elements are made when they are written.
pub struct Made<M, F> {
    /// The message, in which the array is empty.
    pub message: M,
    /// The name of the array.
    pub array: &'static str,
    /// How many elements it has.
    pub count: usize,
    /// Makes an element; the same one each time.
    pub make: F,
    /// The error codes in the elements.
    pub errors: Vec<i16>,
    /// What `make` holds, in bytes.
    pub holds: usize,
}

impl<M: Message + Fields, T: Encode, F: Fn(usize) -> T> Body for Made<M, F> {
    fn write_part(&self, place: &mut Place, writer: &mut Writer) -> bool {
        let array = M::number_of(self.array);
        if place.get(0) == 0 {
            self.message.write_fields(0..array, writer);
            writer.length(Some(self.count));
            place.next(0);
        }
        while place.get(0) <= self.count {
            (self.make)(place.get(0) - 1).write(writer);
            place.next(0);
            if writer.has_part() {
                return false;
            }
        }
        self.message.write_fields(array + 1..usize::MAX, writer);
        true
    }

    fn errors(&self, found: &mut dyn FnMut(i16)) {
        self.errors.iter().for_each(|code| found(*code));
    }

    fn footprint(&self, _: usize) -> usize {
        self.holds
    }
}

/// An answer that leaves in parts.
pub struct Long {
    /// The head of the frame, behind which the first part is written.
    pub(crate) head: Writer,
    /// What follows.
    pub(crate) body: Box<dyn Body>,
    /// Bytes of the frame, with its size.
    pub(crate) bytes: usize,
    /// Holds the memory.
    pub(crate) seat: Seat,
}

impl Long {
    /// An answer whose frame has `bytes`, as they were counted.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] past 2 GiB.
    pub(crate) fn new(
        (key, version, correlation_id): (ApiKey, i16, i32),
        body: Box<dyn Body>,
        bytes: usize,
        seat: Seat,
    ) -> Result<Long, EncodeError> {
        let mut head = response_head(key, version, correlation_id);
        set_size(&mut head, bytes)?;
        Ok(Long { head, body, bytes, seat })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_protocol::messages::*;
    use strandline_protocol::wire::writer::PART_BYTES;

    fn in_parts(body: &dyn Body, version: i16, flexible: bool, element_bytes: usize) -> (Vec<u8>, usize) {
        let (mut place, mut writer) = (Place::default(), Writer::new(version, flexible));
        let (mut bytes, mut parts) = (Vec::new(), 0);
        loop {
            let is_done = body.write_part(&mut place, &mut writer);
            bytes.extend_from_slice(writer.bytes());
            parts += 1;
            assert!(writer.bytes().len() < PART_BYTES + element_bytes, "a part ends when it is full");
            assert_eq!(writer.failure(), None);
            writer.clear();
            if is_done {
                return (bytes, parts);
            }
        }
    }

    fn topics(count: i32) -> Vec<MetadataResponseTopic> {
        let partitions = |count: i32| {
            let partition = |partition_index| MetadataResponsePartition {
                partition_index,
                replica_nodes: vec![1],
                isr_nodes: vec![1],
                ..Default::default()
            };
            (0..count).map(partition).collect::<Vec<_>>()
        };
        let topic = |at: i32| MetadataResponseTopic {
            name: Some(format!("topic-{at}")),
            // One with so many that it is cut, and some with none.
            partitions: partitions(if at == 1 { 9000 } else { at % 3 }),
            ..Default::default()
        };
        (0..count).map(topic).collect()
    }

    #[test]
    fn d11_parts_are_together_what_is_written_at_once() {
        for version in MetadataResponse::VERSIONS {
            let flexible = version >= ApiKey::Metadata.flexible_from();
            for count in [0, 1, 2, 5000] {
                let whole = MetadataResponse { topics: topics(count), ..Default::default() };
                let mut writer = Writer::new(version, flexible);
                whole.write(&mut writer);
                let (bytes, parts) = in_parts(&whole, version, flexible, 1000);
                assert!(bytes == writer.bytes(), "version {version}, {count} topics");
                assert_eq!(parts > 1, bytes.len() >= PART_BYTES);
                let made = Made {
                    message: MetadataResponse::default(),
                    array: "topics",
                    count: whole.topics.len(),
                    make: |at: usize| whole.topics[at].clone(),
                    errors: Vec::new(),
                    holds: 0,
                };
                let (bytes, _) = in_parts(&made, version, flexible, 9000 * 50);
                assert!(bytes == writer.bytes(), "version {version}, {count} topics that are made");
            }
        }
    }
}
