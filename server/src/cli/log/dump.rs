//! `strandline log dump`: what stands in files, entry by entry. Damage is an entry with its place; what is
//! whole behind it follows.
//!
//! ```text
//! text  segment path=".../00000000000000000000.log" base_offset=0 bytes=712
//!       batch position=0 bytes=89 base_offset=0 last_offset=1 records=2 codec="gzip" crc="ok" ...
//!       record offset=0 timestamp=1772366400000 key="k" value="v" headers=[]
//! json  {"type":"batch","path":"...","position":0,...}
//! ```
//! A file of Kafka's own that is not a `.log` is named, and not read.

use super::output::{Format, FormatName, LogError};
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use strandline_engine::format::batch::{BatchHeader, TimestampType};
use strandline_engine::format::names::{self, DataFile, Scope, Sum};
use strandline_engine::format::{
    aborted, checkpoint, compacted, envelope, index, marker, meta, producer_ids, settings, topics,
};
use strandline_engine::inspect::{
    DataDir, FoundBatch, JournalItem, JournalWalk, Owner, PartitionDir, SegmentItem, SegmentWalk, Source,
    Unpacked,
};
use strandline_engine::types::{Offset, Position, base64_url};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files, partitions' directories, data directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print the records of each batch, too
    #[arg(short, long)]
    records: bool,
    /// How keys, values and headers look
    #[arg(long, value_enum, default_value_t = Encoding::Text)]
    bytes: Encoding,
    /// Only batches with this offset or later ones
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: i64,
    /// Only batches with this offset or earlier ones
    #[arg(long, value_name = "OFFSET", default_value_t = i64::MAX)]
    to: i64,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encoding {
    /// As text; what is none is base64, and a field ..._encoding says so
    Text,
    Hex,
    Base64,
}

/// Prints; whether something is damaged.
pub(super) fn run(args: &Args, out: &mut impl Write) -> Result<bool, LogError> {
    let mut dump = Dump { args, out, damaged: false, point: None };
    for path in &args.paths {
        let failed = |source| LogError::Read { path: path.clone(), source };
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            dump.file(path)?;
            continue;
        }
        // Held until all of it is printed: no broker starts on what is being read.
        let dir = DataDir::open(path)?;
        let small = DataFile::ALL
            .into_iter()
            .filter(|file| file.scope() == Scope::DataDir && matches!(file.sum(), Sum::Whole(..)));
        for name in small.filter_map(DataFile::fixed_name) {
            let file = path.join(name);
            if file.exists() && dir.owner == Owner::Strandline {
                dump.file(&file)?;
            }
        }
        for file in dir.checkpoints.iter().chain(&dir.journals) {
            dump.file(file)?;
        }
        for partition in &dir.partitions {
            dump.point = partition.id.and_then(|id| dir.points.get(&id)).cloned();
            dump.partition(partition)?;
        }
        dump.point = None;
    }
    Ok(dump.damaged)
}

struct Dump<'a, W: Write> {
    args: &'a Args,
    out: &'a mut W,
    damaged: bool,
    /// The recovery point of the partition, which tells the leader epochs of its batches.
    point: Option<checkpoint::PartitionCheckpoint>,
}

impl<W: Write> Dump<'_, W> {
    fn partition(&mut self, partition: &PartitionDir) -> Result<(), LogError> {
        let failed = |source| LogError::Read { path: partition.path.clone(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(&partition.path).map_err(failed)? {
            files.push(entry.map_err(failed)?.path());
        }
        files.sort();
        for file in files {
            if file.is_file() {
                self.file(&file)?;
            }
        }
        Ok(())
    }

    /// One file, by its name or else by its first bytes.
    fn file(&mut self, path: &Path) -> Result<(), LogError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if [".log", ".swap", ".cleaned"].iter().any(|extension| name.ends_with(extension)) {
            return self.segment(path, &name);
        }
        let failed = |source| LogError::Read { path: path.to_owned(), source };
        let mut source = Source::open(path).map_err(failed)?;
        let mut kind = [0; 8];
        let start = source.at(Position::ZERO, 8);
        kind[..start.len()].copy_from_slice(start);
        let named = [Scope::DataDir, Scope::Shard, Scope::Partition]
            .into_iter()
            .find_map(|scope| DataFile::parse(scope, &name));
        let is_small = |file: &DataFile| matches!(file.sum(), Sum::Whole(..));
        let is_read =
            |file: DataFile| is_small(&file) || matches!(file, DataFile::Journal | DataFile::Aborted);
        if !kind.starts_with(b"STRL") && !named.is_some_and(is_read) {
            // An index, a table of times or of producers, in Kafka's format.
            return Ok(self.entry("file", path, json!({"bytes": source.length(), "kind": "not ours"}))?);
        }
        let bytes = fs::read(path).map_err(failed)?;
        // By its name, which does not rot with its bytes; else, for one that has another name, by what it
        // says that it is.
        match named.filter(is_small).or_else(|| DataFile::of_kind(kind)) {
            Some(file) => {
                if let Err(error) = self.small_file(path, file, &bytes)? {
                    self.damage(path, json!({"position": 0, "what": error.to_string()}))?;
                }
            }
            None if kind == *b"STRLINDX" => self.index(path, &bytes)?,
            None if kind == aborted::ABORTED_MAGIC || named == Some(DataFile::Aborted) => {
                self.aborted(path, &bytes)?;
            }
            None => self.journal(path, &bytes)?,
        }
        Ok(())
    }

    fn segment(&mut self, path: &Path, name: &str) -> Result<(), LogError> {
        let source = Source::open(path).map_err(|source| LogError::Read { path: path.to_owned(), source })?;
        let digits = name.get(..20).unwrap_or_default();
        let base = names::parse_segment(&format!("{digits}.log")).map_or(Offset::ZERO, |(base, _)| base);
        self.entry("segment", path, json!({"base_offset": base.get(), "bytes": source.length()}))?;
        let mut walk = SegmentWalk::new(source, base, None);
        if let Some(point) = &self.point {
            walk = walk.with_epochs(&point.epochs, point.next_offset, None);
        }
        for item in walk {
            match item {
                SegmentItem::Batch(batch) => self.batch(path, &batch, "ok")?,
                SegmentItem::Damage(damage) => {
                    let (first, last) = damage
                        .claims
                        .map_or((None, None), |(first, last)| (Some(first.get()), Some(last.get())));
                    let fields = json!({
                        "position": damage.position.0, "bytes": damage.bytes, "what": damage.problem.to_string(),
                        "claimed_base_offset": first, "claimed_last_offset": last,
                    });
                    self.damage(path, fields)?;
                    if let Some(batch) = damage.restored {
                        self.batch(path, &batch, "ok, with what fits in the place of what is wrong")?;
                    }
                }
            }
        }
        Ok(())
    }

    fn batch(&mut self, path: &Path, batch: &FoundBatch, crc: &str) -> io::Result<()> {
        let header = &batch.header;
        if header.last_offset().get() < self.args.from || header.base_offset().get() > self.args.to {
            return Ok(());
        }
        let mut fields = batch_fields(header, &batch.bytes);
        fields["position"] = json!(batch.position.0);
        fields["crc"] = json!(crc);
        self.entry("batch", path, fields)?;
        if self.args.records { self.records(path, batch.position, header, &batch.bytes) } else { Ok(()) }
    }

    fn records(
        &mut self,
        path: &Path,
        position: Position,
        header: &BatchHeader,
        batch: &[u8],
    ) -> io::Result<()> {
        let unpacked = match Unpacked::new(header, batch) {
            Ok(unpacked) => unpacked,
            Err(error) => {
                return self.damage(path, json!({"position": position.0, "what": error.to_string()}));
            }
        };
        for placed in unpacked.records() {
            let placed = match placed {
                Ok(placed) => placed,
                Err(error) => {
                    return self.damage(path, json!({"position": position.0, "what": error.to_string()}));
                }
            };
            let mut fields = Map::new();
            let timestamp = match header.timestamp_type() {
                TimestampType::CreateTime => placed.timestamp,
                TimestampType::LogAppendTime => header.max_timestamp(),
            };
            fields.insert("offset".to_owned(), json!(placed.offset.get()));
            fields.insert("timestamp".to_owned(), json!(timestamp.0));
            self.args.bytes.put(&mut fields, "key", placed.record.key);
            self.args.bytes.put(&mut fields, "value", placed.record.value);
            let headers = placed.record.headers.map_while(Result::ok).map(|(name, value)| {
                let mut fields = Map::new();
                self.args.bytes.put(&mut fields, "name", Some(name));
                self.args.bytes.put(&mut fields, "value", value);
                Value::Object(fields)
            });
            let headers = Value::Array(headers.collect());
            fields.insert("headers".to_owned(), headers);
            self.entry("record", path, Value::Object(fields))?;
        }
        Ok(())
    }

    fn index(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let index = match index::decode_index(bytes) {
            Ok(index) => index,
            Err(error) => return self.damage(path, json!({"position": 0, "what": error.to_string()})),
        };
        let base = index.base.get();
        let fields = json!({"base_offset": base, "bytes": bytes.len(), "entries": index.entries.len()});
        self.entry("index", path, fields)?;
        for entry in &index.entries {
            let offset = base.saturating_add(i64::from(entry.relative_offset));
            if offset < self.args.from || offset > self.args.to {
                continue;
            }
            let fields = json!({
                "offset": offset, "position": entry.position, "max_timestamp_before": entry.max_timestamp.0,
            });
            self.entry("index_entry", path, fields)?;
        }
        if index.valid_bytes < bytes.len() {
            let left = bytes.len() - index.valid_bytes;
            let what = "no whole chunk that ascends";
            self.damage(path, json!({"position": index.valid_bytes, "bytes": left, "what": what}))?;
        }
        Ok(())
    }

    /// The transactions that were aborted in a partition.
    fn aborted(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let decoded = match aborted::decode_aborted(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return self.damage(path, json!({"position": 0, "what": error.to_string()})),
        };
        let fields = json!({
            "bytes": bytes.len(), "transactions": decoded.rows.len(), "purged_end": decoded.purged_end.get(),
        });
        self.entry("aborted", path, fields)?;
        for row in &decoded.rows {
            let (first, marker) = (row.first_offset.get(), row.marker_offset.get());
            if marker < self.args.from || first > self.args.to {
                continue;
            }
            let fields = json!({
                "producer_id": row.producer_id.0, "first_offset": first, "marker_offset": marker,
                "last_stable_offset": row.last_stable.get(),
            });
            self.entry("aborted_transaction", path, fields)?;
        }
        if decoded.valid_bytes < bytes.len() {
            let left = bytes.len() - decoded.valid_bytes;
            let what = "no whole row that follows";
            self.damage(path, json!({"position": decoded.valid_bytes, "bytes": left, "what": what}))?;
        }
        Ok(())
    }

    fn journal(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.entry("journal", path, json!({"bytes": bytes.len()}))?;
        for item in JournalWalk::new(bytes) {
            match item {
                JournalItem::Commit { position, commit } => {
                    let fields = json!({
                        "position": position.0, "bytes": commit.padded_bytes(), "batches": commit.batches().count(),
                        "generation": format!("{:016x}", commit.generation()), "sequence": commit.sequence(),
                    });
                    self.entry("commit", path, fields)?;
                    for truncation in commit.truncations() {
                        let fields = json!({
                            "topic_id": truncation.partition.topic.to_string(),
                            "partition": truncation.partition.index, "truncations": truncation.truncations,
                            "end": truncation.end.get(), "segment_base": truncation.segment_base.get(),
                            "segment_position": truncation.position.0,
                        });
                        self.entry("truncation", path, fields)?;
                    }
                    for batch in commit.batches() {
                        let header = batch.header();
                        let (first, last) = (header.base_offset().get(), header.last_offset().get());
                        if last < self.args.from || first > self.args.to {
                            continue;
                        }
                        let position = position + batch.range.start as u64;
                        let mut fields = batch_fields(header, batch.bytes);
                        fields["position"] = json!(position.0);
                        fields["topic_id"] = json!(batch.partition.topic.to_string());
                        fields["partition"] = json!(batch.partition.index);
                        fields["truncations"] = json!(batch.truncations);
                        self.entry("journaled_batch", path, fields)?;
                        if self.args.records {
                            self.records(path, position, header, batch.bytes)?;
                        }
                    }
                }
                JournalItem::Damage { position, bytes, end } => {
                    let fields = json!({"position": position.0, "bytes": bytes, "what": end.to_string()});
                    self.damage(path, fields)?;
                }
                JournalItem::LostStart { position, end } => {
                    let fields = json!({"position": 0, "bytes": position.0, "what": end.to_string()});
                    self.entry("lost_start", path, fields)?;
                }
                JournalItem::End { position, end } => {
                    let fields = json!({"position": position.0, "what": end.to_string()});
                    self.entry("journal_end", path, fields)?;
                }
            }
        }
        Ok(())
    }

    /// The inner error is the file's, the outer one stdout's.
    fn small_file(
        &mut self,
        path: &Path,
        file: DataFile,
        bytes: &[u8],
    ) -> io::Result<Result<(), envelope::EnvelopeError>> {
        let mut entries = Vec::new();
        let mut read = || -> Result<(), envelope::EnvelopeError> {
            match file {
                DataFile::Meta => {
                    let meta = meta::Meta::decode(bytes)?;
                    let directory_id = meta.directory_id.map(|id| id.to_string());
                    let fields = json!({
                        "cluster_id": base64_url(&meta.cluster_id), "node_id": meta.node_id,
                        "directory_id": directory_id,
                    });
                    entries.push(("meta", fields));
                }
                DataFile::Settings => {
                    let set = settings::decode(bytes)?;
                    for (scope, of_it) in [("all brokers", set.all_brokers), ("this broker", set.this_broker)]
                    {
                        entries.extend(of_it.into_iter().map(|(name, value)| {
                            ("setting", json!({"scope": scope, "name": name, "value": value}))
                        }));
                    }
                    // What a user proves itself by is shown to nobody.
                    let credentials = set.credentials.0.into_keys();
                    entries.extend(credentials.map(|name| ("credential", json!({"name": name}))));
                    let permissions = set.permissions.entries().iter();
                    entries.extend(
                        permissions.map(|(name, may)| ("permission", json!({"name": name, "may": may}))),
                    );
                    let quotas = set.quotas.entries().iter();
                    entries.extend(quotas.map(|(name, most)| ("quota", json!({"name": name, "most": most}))));
                }
                DataFile::ProducerIds => {
                    entries.push(("producer_ids", json!({"next": producer_ids::decode(bytes)?.0})));
                }
                DataFile::Compacted => {
                    let compacted = compacted::Compacted::decode(bytes)?;
                    let fields = json!({
                        "compacted_end": compacted.compacted_end.get(),
                        "clean_end": compacted.clean_end.get(),
                        "gaps_end": compacted.gaps_end.get(),
                    });
                    entries.push(("compacted", fields));
                }
                DataFile::Topics => {
                    entries.extend(topic_entries(topics::decode(bytes)?));
                }
                DataFile::Checkpoint | DataFile::CheckpointCopy => {
                    let points = checkpoint::decode(bytes)?;
                    entries.extend(points.iter().flat_map(point_entries));
                }
                DataFile::Lock
                | DataFile::Reserve
                | DataFile::Journal
                | DataFile::SegmentLog
                | DataFile::SegmentIndex
                | DataFile::Cleaned
                | DataFile::Swap
                | DataFile::Aborted
                | DataFile::Temporary => unreachable!("they have no kind of small file"),
            }
            Ok(())
        };
        let read = read();
        for (kind, fields) in entries {
            self.entry(kind, path, fields)?;
        }
        Ok(read)
    }

    fn damage(&mut self, path: &Path, fields: Value) -> io::Result<()> {
        self.damaged = true;
        self.entry("damage", path, fields)
    }

    /// One line.
    fn entry(&mut self, kind: &str, path: &Path, fields: Value) -> io::Result<()> {
        let Value::Object(mut fields) = fields else { panic!("an entry has fields") };
        let path = path.display().to_string();
        match self.args.format.format {
            FormatName::Json => {
                fields.insert("type".to_owned(), kind.into());
                fields.insert("path".to_owned(), path.into());
                serde_json::to_writer(&mut *self.out, &fields)?;
            }
            FormatName::Text => {
                write!(self.out, "{kind}")?;
                // Inside a file, its name stands in the line that opens it.
                if matches!(kind, "segment" | "index" | "aborted" | "journal" | "file" | "damage") {
                    write!(self.out, " path={}", Value::String(path))?;
                }
                for (name, value) in &fields {
                    write!(self.out, " {name}={value}")?;
                }
            }
        }
        self.out.write_all(b"\n")
    }
}

/// The header, and of a marker what it says.
fn batch_fields(header: &BatchHeader, batch: &[u8]) -> Value {
    let mut fields = header_fields(header);
    if let Some(end) = marker::EndMarker::read(batch) {
        fields["marker"] = json!(match end.result {
            marker::TransactionResult::Commit => "COMMIT",
            marker::TransactionResult::Abort => "ABORT",
        });
        fields["coordinator_epoch"] = json!(end.coordinator_epoch);
    }
    fields
}

fn header_fields(header: &BatchHeader) -> Value {
    let codec = header.codec().map_or("unknown", |codec| codec.name());
    json!({
        "bytes": header.total_bytes(),
        "base_offset": header.base_offset().get(),
        "last_offset": header.last_offset().get(),
        "records": header.record_count(),
        "codec": codec,
        "base_timestamp": header.base_timestamp().0,
        "max_timestamp": header.max_timestamp().0,
        "timestamp_type": match header.timestamp_type() {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        },
        "producer_id": header.producer_id().0,
        "producer_epoch": header.producer_epoch().0,
        "base_sequence": header.base_sequence().0,
        "last_sequence": header.last_sequence().0,
        "leader_epoch": header.leader_epoch().0,
        "transactional": header.is_transactional(),
        "control": header.is_control(),
        "delete_horizon": header.has_delete_horizon(),
        "crc32c": format!("{:08x}", header.crc()),
    })
}

impl Encoding {
    /// Puts bytes into an object, and beside them how they are given, unless they are plain text.
    fn put(self, fields: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            fields.insert(name.to_owned(), Value::Null);
            return;
        };
        let (text, encoding) = match (self, std::str::from_utf8(bytes)) {
            (Encoding::Text, Ok(text)) => (text.to_owned(), None),
            (Encoding::Text | Encoding::Base64, _) => (crate::cli::format::base64(bytes), Some("base64")),
            (Encoding::Hex, _) => (bytes.iter().map(|byte| format!("{byte:02x}")).collect(), Some("hex")),
        };
        fields.insert(name.to_owned(), text.into());
        if let Some(encoding) = encoding {
            fields.insert(format!("{name}_encoding"), encoding.into());
        }
    }
}

/// A line of a small file: what it is, and what it says.
type Entry = (&'static str, Value);

fn topic_entries(table: topics::TopicsFile) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    entries.extend(table.topics.into_iter().map(|topic| {
        let configs = topic.configs.into_iter().map(|(key, value)| (key, Value::String(value)));
        let fields = json!({
            "name": topic.name, "topic_id": topic.id.to_string(), "partitions": topic.partitions,
            "configs": Value::Object(configs.collect()),
            "all_here": matches!(topic.placement, topics::Placement::All(_)), "replicas": replicas(&topic.placement),
        });
        ("topic", fields)
    }));
    entries.extend(table.deleted.into_iter().map(|topic| {
        let id = topic.id.to_string();
        let partitions: Vec<u32> = topic.partitions.collect();
        let fields = json!({"name": topic.name, "topic_id": id, "partitions": partitions});
        ("deleted_topic", fields)
    }));
    entries
}

/// The partitions whose role is listed.
fn replicas(placement: &topics::Placement) -> Value {
    let replica = |(partition, replica): (&u32, &topics::Replica)| {
        let role = match replica.role {
            topics::Role::Leader => "leader",
            topics::Role::Follower => "follower",
        };
        json!({"partition": partition, "role": role, "leader_epoch": replica.epoch.0})
    };
    placement.listed().iter().map(replica).collect()
}

fn point_entries(point: &checkpoint::PartitionCheckpoint) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let (id, index) = (point.partition.topic.to_string(), point.partition.index);
    let fields = json!({
        "topic_id": id, "partition": index, "log_start": point.log_start.get(),
        "segment_base": point.segment_base.get(), "segment_position": point.position.0,
        "next_offset": point.next_offset.get(), "max_timestamp": point.max_timestamp.0,
        "high_watermark": point.high_watermark.get(), "truncations": point.truncations,
        "last_aborted": point.last_aborted.map(Offset::get), "producers": point.producers.len(),
    });
    entries.push(("recovery_point", fields));
    entries.extend(point.epochs.iter().map(|row| {
        let (epoch, start) = (row.epoch.0, row.start.get());
        let fields = json!({
            "topic_id": id, "partition": index, "leader_epoch": epoch, "start_offset": start,
        });
        ("leader_epoch", fields)
    }));
    entries.extend(point.producers.iter().map(|producer| {
        let sequences: Vec<_> = producer
            .batches
            .iter()
            .map(|batch| {
                json!({
                    "base_offset": batch.base_offset.get(), "timestamp": batch.timestamp.0,
                    "first_sequence": batch.first_sequence.0, "last_sequence": batch.last_sequence.0,
                })
            })
            .collect();
        let fields = json!({
            "topic_id": id, "partition": index, "producer_id": producer.id.0,
            "producer_epoch": producer.epoch.0, "last_timestamp": producer.last_timestamp.0,
            "coordinator_epoch": producer.coordinator_epoch, "open_from": producer.open.map(Offset::get),
            "marker": producer.marker.map(Offset::get),
            "batches": sequences,
        });
        ("producer", fields)
    }));
    entries
}
