//! The small files that are replaced whole, and the names of files.

use bytes::Bytes;

use super::input::Input;
use crate::config::PARTITIONS_MAX;
use crate::format::checkpoint::{self, CheckpointEncoder};
use crate::format::compacted::{self, Compacted};
use crate::format::envelope::{EnvelopeError, Kind, seal};
use crate::format::meta::{self, Meta};
use crate::format::names::{self, Compacting, DataFile, Scope, SegmentFileKind};
use crate::format::{producer_ids, settings, topics};

/// A choice of file, and its body: what can be read is written the same again, and no flipped bit is let
/// through.
pub(super) fn small_files(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.below(7) {
        0 => sealed(&mut input, meta::META_KIND, meta::META_VERSION, |file| {
            Meta::decode(file).map(|meta| meta.encode())
        }),
        1 => sealed(&mut input, topics::TOPICS_KIND, topics::TOPICS_VERSION, |file| {
            topics::decode(file).map(|topics| topics::encode(&topics))
        }),
        2 => sealed(&mut input, checkpoint::CHECKPOINT_KIND, checkpoint::CHECKPOINT_VERSION, |file| {
            let points = checkpoint::decode(file)?;
            let mut encoder = CheckpointEncoder::new();
            points.iter().for_each(|point| encoder.push(point));
            Ok(encoder.finish())
        }),
        3 => sealed(&mut input, producer_ids::PRODUCER_IDS_KIND, 1, |file| {
            producer_ids::decode(file).map(producer_ids::encode)
        }),
        4 => sealed(&mut input, compacted::COMPACTED_KIND, compacted::COMPACTED_VERSION, |file| {
            Compacted::decode(file).map(|compacted| compacted.encode())
        }),
        5 => sealed(&mut input, settings::SETTINGS_KIND, settings::SETTINGS_VERSION, |file| {
            // All brokers' stand first in what is written.
            let first = settings::decode(file)?;
            let again = settings::encode(&first);
            assert_eq!(settings::decode(&again), Ok(first));
            let _ = settings::glimpse(file);
            Ok(if again.len() == file.len() { Bytes::copy_from_slice(file) } else { again })
        }),
        _ => name(&String::from_utf8_lossy(input.rest())),
    }
}

/// `again` reads a file of any version up to `newest`, which it writes.
fn sealed(
    input: &mut Input<'_>,
    kind: Kind,
    newest: u16,
    again: impl Fn(&[u8]) -> Result<Bytes, EnvelopeError>,
) {
    let bit = usize::from(input.number());
    let body = input.rest();
    // Hardly ever a file, but the frame must stand it.
    let _ = again(body);
    for version in 1..=newest {
        let file = seal(kind, version, body);
        if let Ok(written) = again(&file) {
            assert!(version < newest || written == file, "what was read is not what is written");
            assert_eq!(again(&written).as_ref(), Ok(&written), "version {version}");
        }
        // Byte 10 and 11 are reserved, and covered by the sum like the rest.
        let mut broken = file.to_vec();
        let bit = bit % (broken.len() * 8);
        broken[bit / 8] ^= 1 << (bit % 8);
        assert!(again(&broken).is_err(), "bit {bit} is not covered");
    }
}

fn name(name: &str) {
    for scope in [Scope::DataDir, Scope::Shard, Scope::Partition] {
        let file = DataFile::parse(scope, name);
        assert!(file.is_none_or(|file| file == DataFile::Temporary || file.scope() == scope));
    }
    assert!(!names::is_stray_dir(name) || names::parse_partition_dir(name).is_none());
    if let Some((base, kind)) = names::parse_segment(name) {
        let written = match kind {
            SegmentFileKind::Log => names::segment_log(base),
            SegmentFileKind::Index => names::segment_index(base),
        };
        assert_eq!(written, name);
        assert_eq!(names::parse_compacting(name), None);
    }
    if let Some(Compacting::Swap { base, end }) = names::parse_compacting(name) {
        assert_eq!(names::swap_segment(base, end), name);
    }
    if let Some((topic, index)) = names::parse_partition_dir(name) {
        assert_eq!(names::partition_dir(topic, index), name);
        assert!(!names::metric_name(topic).contains('.'));
    }
    if names::check_topic_name(name).is_ok() {
        let directory = names::partition_dir(name, PARTITIONS_MAX - 1);
        assert!(directory.len() <= 255, "a file system takes it");
        assert_eq!(names::parse_partition_dir(&directory), Some((name, PARTITIONS_MAX - 1)));
    }
}
