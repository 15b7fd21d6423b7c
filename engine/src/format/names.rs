//! What files and directories are called, which files a data directory has, and which names a topic may have.
//!
//! ```text
//! <data>/lock meta topics settings producer-ids reserve-<n>      Scope::DataDir
//! <data>/shards/<n>/journal-<k> checkpoint checkpoint.copy       Scope::Shard
//! <data>/<topic>-<partition>/<base>.log .index compacted aborted Scope::Partition
//! <data>/<topic>-<partition>.<32 hex digits>-stray               set aside: no topic claims it, and nothing removes it
//! ```
//! Parsers accept exactly what the formatters write: whatever else lies in a directory is not ours.
//! [`DataFile`] lists every kind of file; whoever goes through a directory (scrub, verify, dump, repair,
//! salvage) matches on it, so that none is forgotten. Which of them may be missing is said by
//! [`DataFile::missing`].

use super::envelope::{EnvelopeError, Kind};
pub use super::topic_name::{TOPIC_NAME_BYTES_MAX, TopicNameError, check_topic_name, metric_name};
use super::{checkpoint, compacted, meta, producer_ids, settings, topics};
use crate::types::Offset;

/// A kind of file in a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataFile {
    /// The file that a running broker holds a lock on; it is empty.
    Lock,
    /// Whose data directory this is.
    Meta,
    /// The topic table.
    Topics,
    /// What was set for the broker while it ran.
    Settings,
    /// The first producer id that was never given out.
    ProducerIds,
    /// Room for a small file that must be written on a full disk. Its content means nothing.
    Reserve,
    /// One file of a shard's journal.
    Journal,
    /// A shard's recovery points, log starts and producers.
    Checkpoint,
    /// The copy of it, for rot. It may be torn.
    CheckpointCopy,
    /// The record batches of a segment.
    SegmentLog,
    /// The sparse index of a segment.
    SegmentIndex,
    /// A segment that compaction is writing.
    Cleaned,
    /// A segment that compaction has committed.
    Swap,
    /// How far a partition was compacted.
    Compacted,
    /// The transactions that were aborted in a partition.
    Aborted,
    /// A small file that is being written, in any directory.
    Temporary,
}

/// Which directory a file stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The data directory itself.
    DataDir,
    /// The directory of a shard.
    Shard,
    /// The directory of a partition.
    Partition,
}

/// How a kind of file tells that it is whole.
#[derive(Clone, Copy, Debug)]
pub enum Sum {
    /// One sum over all of it: a small file, which is replaced whole.
    Whole(Kind, fn(&[u8]) -> Result<(), EnvelopeError>),
    /// Sums over its parts.
    Parts,
    /// Nothing in it has to be whole.
    None,
}

/// What stands in a data directory, as far as it says which other files must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Something that a start makes only when `meta` is durable ([`follows_meta`]), or a partition's
    /// directory.
    pub follows_meta: bool,
    /// A partition's directory, or a row for one in a checkpoint.
    pub partitions: bool,
    /// A batch, or a row of a checkpoint, names a producer.
    pub producers: bool,
    /// In the same shard's directory: the checkpoint, its copy, or a journal.
    pub shard: bool,
}

/// What it means that a file is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: it was never written, or says no more than its absence.
    Nothing,
    /// It was lost, perhaps; a start goes on without it, and says so.
    Noted,
    /// It was lost, and a start refuses: it would take what is there for another's, or for nobody's.
    Refused,
}

/// Whether a start makes such an entry of the data directory only when `meta` is durable. What it does not
/// know is somebody else's.
pub fn follows_meta(name: &str, is_dir: bool) -> bool {
    match DataFile::parse(Scope::DataDir, name).filter(|_| !is_dir) {
        Some(DataFile::Topics | DataFile::Settings | DataFile::ProducerIds | DataFile::Reserve) => true,
        Some(DataFile::Lock | DataFile::Meta | DataFile::Temporary) => false,
        Some(
            DataFile::Journal
            | DataFile::Checkpoint
            | DataFile::CheckpointCopy
            | DataFile::SegmentLog
            | DataFile::SegmentIndex
            | DataFile::Cleaned
            | DataFile::Swap
            | DataFile::Compacted
            | DataFile::Aborted,
        ) => unreachable!("they stand in other directories"),
        None => is_dir && name == SHARDS_DIR,
    }
}

impl DataFile {
    /// What it means that the file is not there, beside what is. The one rule for a start and for the tools.
    pub fn missing(self, beside: Beside) -> Missing {
        match self {
            // The first start writes it before anything else.
            DataFile::Meta if beside.follows_meta || beside.partitions => Missing::Refused,
            // Written before the first partition's directory, and never removed.
            DataFile::Topics if beside.partitions => Missing::Refused,
            // A client may call itself by an id that was never given out.
            DataFile::ProducerIds if beside.producers => Missing::Noted,
            // A crash, or a full disk, may leave one of them without the other, and journals without both.
            DataFile::Checkpoint | DataFile::CheckpointCopy if beside.shard => Missing::Noted,
            DataFile::Meta
            | DataFile::Topics
            | DataFile::ProducerIds
            | DataFile::Checkpoint
            | DataFile::CheckpointCopy => Missing::Nothing,
            // Without them nothing was set, and nothing compacted.
            DataFile::Settings | DataFile::Compacted => Missing::Nothing,
            // A segment that is missing shows in the offsets around it; the others are made when they are
            // needed.
            DataFile::Aborted
            | DataFile::Lock
            | DataFile::Reserve
            | DataFile::Journal
            | DataFile::SegmentLog
            | DataFile::SegmentIndex
            | DataFile::Cleaned
            | DataFile::Swap
            | DataFile::Temporary => Missing::Nothing,
        }
    }

    /// All kinds.
    pub const ALL: [DataFile; 16] = [
        DataFile::Lock,
        DataFile::Meta,
        DataFile::Topics,
        DataFile::Settings,
        DataFile::ProducerIds,
        DataFile::Reserve,
        DataFile::Journal,
        DataFile::Checkpoint,
        DataFile::CheckpointCopy,
        DataFile::SegmentLog,
        DataFile::SegmentIndex,
        DataFile::Cleaned,
        DataFile::Swap,
        DataFile::Compacted,
        DataFile::Aborted,
        DataFile::Temporary,
    ];

    /// The kind of file that a name stands for in a directory; `None` when the file is not ours.
    pub fn parse(scope: Scope, name: &str) -> Option<DataFile> {
        DataFile::ALL.into_iter().find(|file| match file {
            DataFile::Temporary => {
                name.strip_suffix(TEMPORARY).and_then(|name| DataFile::parse(scope, name)).is_some()
            }
            file if file.scope() != scope => false,
            DataFile::Journal => parse_journal(name).is_some(),
            DataFile::Reserve => (0..RESERVES).any(|number| reserve(number) == name),
            DataFile::SegmentLog => matches!(parse_segment(name), Some((_, SegmentFileKind::Log))),
            DataFile::SegmentIndex => matches!(parse_segment(name), Some((_, SegmentFileKind::Index))),
            DataFile::Cleaned => matches!(parse_compacting(name), Some(Compacting::Cleaned)),
            DataFile::Swap => matches!(parse_compacting(name), Some(Compacting::Swap { .. })),
            file => file.fixed_name() == Some(name),
        })
    }

    /// The small file whose first bytes are these.
    pub fn of_kind(kind: [u8; 8]) -> Option<DataFile> {
        DataFile::ALL.into_iter().find(|file| matches!(file.sum(), Sum::Whole(own, _) if own.0 == kind))
    }

    /// The directory that it stands in; [`DataFile::Temporary`] stands in all of them.
    pub fn scope(self) -> Scope {
        match self {
            DataFile::Lock
            | DataFile::Meta
            | DataFile::Topics
            | DataFile::Settings
            | DataFile::ProducerIds
            | DataFile::Reserve
            | DataFile::Temporary => Scope::DataDir,
            DataFile::Journal | DataFile::Checkpoint | DataFile::CheckpointCopy => Scope::Shard,
            DataFile::SegmentLog
            | DataFile::SegmentIndex
            | DataFile::Cleaned
            | DataFile::Swap
            | DataFile::Compacted
            | DataFile::Aborted => Scope::Partition,
        }
    }

    /// Its name, where a directory has one file of the kind at most.
    pub fn fixed_name(self) -> Option<&'static str> {
        match self {
            DataFile::Lock => Some(LOCK_FILE),
            DataFile::Meta => Some(META_FILE),
            DataFile::Topics => Some(TOPICS_FILE),
            DataFile::Settings => Some(SETTINGS_FILE),
            DataFile::ProducerIds => Some(PRODUCER_IDS_FILE),
            DataFile::Checkpoint => Some(CHECKPOINT_FILE),
            DataFile::CheckpointCopy => Some(CHECKPOINT_COPY_FILE),
            DataFile::Compacted => Some(COMPACTED_FILE),
            DataFile::Aborted => Some(ABORTED_FILE),
            DataFile::Reserve
            | DataFile::Journal
            | DataFile::SegmentLog
            | DataFile::SegmentIndex
            | DataFile::Cleaned
            | DataFile::Swap
            | DataFile::Temporary => None,
        }
    }

    /// How it tells that it is whole.
    pub fn sum(self) -> Sum {
        match self {
            DataFile::Meta => Sum::Whole(meta::META_KIND, |bytes| meta::Meta::decode(bytes).map(drop)),
            DataFile::Topics => Sum::Whole(topics::TOPICS_KIND, |bytes| topics::decode(bytes).map(drop)),
            DataFile::Settings => {
                Sum::Whole(settings::SETTINGS_KIND, |bytes| settings::decode(bytes).map(drop))
            }
            DataFile::ProducerIds => {
                Sum::Whole(producer_ids::PRODUCER_IDS_KIND, |bytes| producer_ids::decode(bytes).map(drop))
            }
            DataFile::Checkpoint | DataFile::CheckpointCopy => {
                Sum::Whole(checkpoint::CHECKPOINT_KIND, |bytes| checkpoint::decode(bytes).map(drop))
            }
            DataFile::Compacted => {
                Sum::Whole(compacted::COMPACTED_KIND, |bytes| compacted::Compacted::decode(bytes).map(drop))
            }
            DataFile::Journal
            | DataFile::SegmentLog
            | DataFile::SegmentIndex
            | DataFile::Cleaned
            | DataFile::Swap
            | DataFile::Aborted => Sum::Parts,
            DataFile::Lock | DataFile::Reserve | DataFile::Temporary => Sum::None,
        }
    }

    /// Whether a crash may leave it torn, so that a wrong sum says nothing.
    pub fn may_be_torn(self) -> bool {
        matches!(self, DataFile::CheckpointCopy | DataFile::Cleaned | DataFile::Temporary)
    }
}

/// The file that a lock is held on for as long as the engine runs.
pub const LOCK_FILE: &str = "lock";

/// The file with the identity of the data directory.
pub const META_FILE: &str = "meta";

/// The file with the topic table, in the data directory.
pub const TOPICS_FILE: &str = "topics";

/// The file with what was set for the broker while it ran, in the data directory.
pub const SETTINGS_FILE: &str = "settings";

/// The file with the next unused producer id, in the data directory.
pub const PRODUCER_IDS_FILE: &str = "producer-ids";

/// How many files keep room for the small files: so often one is replaced on a disk without any before there
/// must be some.
pub const RESERVES: u32 = 4;

/// The name of a file that keeps room for the small files, in the data directory; `number` is less than
/// [`RESERVES`].
pub fn reserve(number: u32) -> String {
    format!("reserve-{number}")
}

/// The directory that the shards' own directories stand in: no partition's directory can have its name.
pub const SHARDS_DIR: &str = "shards";

/// The name of the checkpoint in a shard's directory.
pub const CHECKPOINT_FILE: &str = "checkpoint";

/// The name of its copy.
pub const CHECKPOINT_COPY_FILE: &str = "checkpoint.copy";

/// What the name of a file ends with that is being written, to replace the one whose name stands before.
pub const TEMPORARY: &str = ".tmp";

/// Whether a directory of this name is a shard's.
pub fn is_shard_dir(name: &str) -> bool {
    name.parse::<usize>().is_ok_and(|index| index.to_string() == name)
}

/// The name of a shard's `number`th journal file.
pub fn journal(number: u64) -> String {
    format!("journal-{number}")
}

/// The number of a journal file; `None` when the name is not one's.
pub fn parse_journal(name: &str) -> Option<u64> {
    let number = name.strip_prefix("journal-")?.parse().ok()?;
    // There is a number behind every one that a file has.
    (number < u64::MAX && journal(number) == name).then_some(number)
}

/// What the name of a directory ends with that was set aside.
const STRAY: &str = "-stray";

/// The longest name that file systems take.
const NAME_BYTES_MAX: usize = 255;

/// The name under which a partition's directory is set aside; Kafka's form. A long name of a topic is cut.
pub fn stray_dir(directory: &str, unique: [u8; 16]) -> String {
    let suffix = format!(".{:032x}{STRAY}", u128::from_be_bytes(unique));
    // A partition's directory has an ASCII name.
    let kept = directory.len().min(NAME_BYTES_MAX - suffix.len());
    format!("{}{suffix}", &directory[..kept])
}

/// Whether a directory of this name was set aside, by a broker of ours or of Kafka's.
pub fn is_stray_dir(name: &str) -> bool {
    let Some((directory, unique)) = name.strip_suffix(STRAY).and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    !directory.is_empty() && unique.len() == 32 && unique.bytes().all(is_hex)
}

const OFFSET_DIGITS: usize = 20;

/// Which of a segment's files a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentFileKind {
    /// The record batches.
    Log,
    /// The sparse index.
    Index,
}

/// The name of the file with a segment's batches.
pub fn segment_log(base: Offset) -> String {
    format!("{:020}.log", base.get())
}

/// The name of a segment's index file.
pub fn segment_index(base: Offset) -> String {
    format!("{:020}.index", base.get())
}

/// What compaction has in the making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compacting {
    /// A segment that is being written, and was not put in any other's place yet.
    Cleaned,
    /// A segment that stands in the place of all those with offsets from `base` to `end`, wherever they still
    /// are.
    Swap {
        /// The base of the first of them.
        base: Offset,
        /// The offset behind the last of them.
        end: Offset,
    },
}

/// The name of the segment that is being written in the place of those from `base` on.
pub fn cleaned_segment(base: Offset) -> String {
    format!("{:020}.cleaned", base.get())
}

/// The name of the segment that has taken the place of those from `base` to `end`.
pub fn swap_segment(base: Offset, end: Offset) -> String {
    format!("{:020}-{:020}.swap", base.get(), end.get())
}

/// What a name says about compaction; `None` when it has nothing to do with it.
pub fn parse_compacting(name: &str) -> Option<Compacting> {
    if let Some(digits) = name.strip_suffix(".cleaned") {
        return parse_offset(digits).map(|_| Compacting::Cleaned);
    }
    let (base, end) = name.strip_suffix(".swap")?.split_once('-')?;
    let (base, end) = (parse_offset(base)?, parse_offset(end)?);
    (base < end).then_some(Compacting::Swap { base, end })
}

/// The segment and the kind of file that a name belongs to; `None` when it is not a segment's.
pub fn parse_segment(name: &str) -> Option<(Offset, SegmentFileKind)> {
    let (digits, extension) = name.split_once('.')?;
    let kind = match extension {
        "log" => SegmentFileKind::Log,
        "index" => SegmentFileKind::Index,
        _ => return None,
    };
    Some((parse_offset(digits)?, kind))
}

fn parse_offset(digits: &str) -> Option<Offset> {
    if digits.len() != OFFSET_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Offset::checked(digits.parse().ok()?)
}

/// The file that says how far a partition was compacted.
pub const COMPACTED_FILE: &str = "compacted";

/// The file with the transactions that were aborted in a partition.
pub const ABORTED_FILE: &str = "aborted";

/// The name of a partition's directory.
pub fn partition_dir(topic: &str, index: u32) -> String {
    format!("{topic}-{index}")
}

/// The topic and the partition that a directory belongs to; `None` when it is not a partition's.
pub fn parse_partition_dir(name: &str) -> Option<(&str, u32)> {
    let (topic, digits) = name.rsplit_once('-')?;
    let plain = digits == "0" || !digits.starts_with('0');
    if !plain || !digits.bytes().all(|byte| byte.is_ascii_digit()) || check_topic_name(topic).is_err() {
        return None;
    }
    Some((topic, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_nothing_else_is_taken_for_one() {
        assert_eq!(segment_log(Offset::new(42)), "00000000000000000042.log");
        for base in [0, 42, i64::MAX].map(Offset::new) {
            assert_eq!(parse_segment(&segment_log(base)), Some((base, SegmentFileKind::Log)));
            assert_eq!(parse_segment(&segment_index(base)), Some((base, SegmentFileKind::Index)));
        }
        for name in [
            "",
            "42.log",
            "00000000000000000042.log.deleted",
            "00000000000000000042",
            "+0000000000000000042.log",
        ] {
            assert_eq!(parse_segment(name), None, "{name}");
        }
        assert_eq!(parse_segment("09223372036854775808.log"), None, "beyond the range of offsets");

        let (base, end) = (Offset::new(42), Offset::new(i64::MAX));
        assert_eq!(swap_segment(base, base.plus(1)), "00000000000000000042-00000000000000000043.swap");
        assert_eq!(parse_compacting(&swap_segment(base, end)), Some(Compacting::Swap { base, end }));
        assert_eq!(parse_compacting(&cleaned_segment(end)), Some(Compacting::Cleaned));
        for name in [&segment_log(base), "42.cleaned", &swap_segment(end, base), &swap_segment(end, end)] {
            assert_eq!(parse_compacting(name), None, "{name}");
        }
        assert_eq!(parse_segment(&cleaned_segment(base)).or(parse_segment(&swap_segment(base, end))), None);

        assert_eq!(parse_partition_dir(&partition_dir("a-b.c", 0)), Some(("a-b.c", 0)));
        assert_eq!(parse_partition_dir("orders-4294967295"), Some(("orders", u32::MAX)));
        for name in
            ["orders", "orders-", "orders-01", "orders-+1", "orders-4294967296", "-1", "..-1", "a b-1"]
        {
            assert_eq!(parse_partition_dir(name), None, "{name}");
        }
    }

    #[test]
    fn every_file_is_found_by_its_name_and_only_in_its_directory() {
        let example = |file: DataFile| match file {
            DataFile::Journal => journal(7),
            DataFile::Reserve => reserve(3),
            DataFile::SegmentLog => segment_log(Offset::new(5)),
            DataFile::SegmentIndex => segment_index(Offset::new(5)),
            DataFile::Cleaned => cleaned_segment(Offset::new(5)),
            DataFile::Swap => swap_segment(Offset::new(5), Offset::new(6)),
            DataFile::Temporary => unreachable!("it is made of another one's name"),
            file => file.fixed_name().expect("the others have one name").to_owned(),
        };
        for file in DataFile::ALL.into_iter().filter(|file| *file != DataFile::Temporary) {
            for scope in [Scope::DataDir, Scope::Shard, Scope::Partition] {
                let is_here = file.scope() == scope;
                let parse = |name: &str| DataFile::parse(scope, name);
                assert_eq!(parse(&example(file)), is_here.then_some(file), "{file:?} in {scope:?}");
                let temporary = format!("{}{TEMPORARY}", example(file));
                assert_eq!(
                    parse(&temporary),
                    is_here.then_some(DataFile::Temporary),
                    "{file:?} in {scope:?}"
                );
            }
        }
        for name in [
            "journal-",
            "journal-01",
            "journal-18446744073709551615",
            "notes.txt",
            "",
            "Meta",
            "notes.tmp",
            "reserve-4",
        ] {
            assert_eq!(DataFile::parse(Scope::DataDir, name).or(DataFile::parse(Scope::Shard, name)), None);
        }
        let kinds: Vec<_> =
            DataFile::ALL.iter().filter(|file| matches!(file.sum(), Sum::Whole(..))).collect();
        assert_eq!(kinds.len(), 7, "{kinds:?}");
    }

    #[test]
    fn a_file_may_be_missing_until_something_stands_there_that_was_made_behind_it() {
        let nothing = Beside::default();
        for file in DataFile::ALL {
            assert_eq!(file.missing(nothing), Missing::Nothing, "{file:?} in an empty directory");
        }
        let meta = |name, is_dir| {
            let beside = Beside { follows_meta: follows_meta(name, is_dir), ..nothing };
            DataFile::Meta.missing(beside)
        };
        for first in ["lock", "meta.tmp", "notes.txt", "lost+found"] {
            assert_eq!(
                meta(first, false),
                Missing::Nothing,
                "{first}: a first start may have been cut short"
            );
        }
        for later in ["topics", "settings", "producer-ids", "reserve-0"] {
            assert_eq!(meta(later, false), Missing::Refused, "{later}");
            assert_eq!(meta(later, true), Missing::Nothing, "{later}: a directory is not ours");
        }
        assert_eq!(meta("shards", true), Missing::Refused);
        let partitions = Beside { partitions: true, ..nothing };
        assert_eq!(DataFile::Meta.missing(partitions), Missing::Refused);
        assert_eq!(DataFile::Topics.missing(partitions), Missing::Refused);
        let producers = Beside { producers: true, ..nothing };
        assert_eq!(DataFile::ProducerIds.missing(producers), Missing::Noted);
        let shard = Beside { shard: true, ..nothing };
        assert_eq!(DataFile::CheckpointCopy.missing(shard), Missing::Noted);
    }

    #[test]
    fn what_is_set_aside_keeps_its_name_is_known_by_it_and_is_no_partition() {
        for directory in ["orders-3", &partition_dir(&"x".repeat(TOPIC_NAME_BYTES_MAX), 99_999)] {
            let stray = stray_dir(directory, [0xab; 16]);
            assert!(stray.len() <= 255 && is_stray_dir(&stray), "{stray}");
            assert!(stray.starts_with(&directory[..directory.len().min(200)]));
            assert_eq!(parse_partition_dir(&stray), None);
        }
        for name in ["a-stray", "orders-0.abc-stray", "orders-0", &format!(".{}-stray", "a".repeat(32))] {
            assert!(!is_stray_dir(name), "{name}");
        }
    }

    #[test]
    fn topic_names_follow_kafka() {
        for name in ["a", "...", "A.b_c-9", &"x".repeat(249)] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
        assert_eq!(check_topic_name(""), Err(TopicNameError::Empty));
        assert_eq!(check_topic_name(&"x".repeat(250)), Err(TopicNameError::TooLong { found: 250 }));
        assert_eq!(check_topic_name(".."), Err(TopicNameError::Dots));
        assert_eq!(check_topic_name("a/b"), Err(TopicNameError::Character { found: '/' }));
        assert_eq!(check_topic_name("ä"), Err(TopicNameError::Character { found: 'ä' }));
        assert_eq!(metric_name("a.b"), metric_name("a_b"));
        assert!(metric_name("a.b") != metric_name("a-b") && metric_name("a.b") != metric_name("a.b."));
    }
}
