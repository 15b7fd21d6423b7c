//! What is asked of a broker, and nothing of how.

use crate::clock::SECOND;
use crate::samples::Window;
use clap::{Args, FromArgMatches, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;
use strandline_engine::format::compression::Codec;

/// How many acknowledgements a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acks {
    /// None: the broker does not answer.
    #[value(name = "0")]
    Zero,
    /// The leader's.
    #[value(name = "1")]
    One,
    /// Every in-sync replica's.
    #[value(name = "all", alias = "-1")]
    All,
}

impl Acks {
    /// The number on the wire.
    pub(crate) fn code(self) -> i16 {
        match self {
            Acks::Zero => 0,
            Acks::One => 1,
            Acks::All => -1,
        }
    }
}

/// The compression of batches, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "Kafka's names")]
pub(crate) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Codec {
        match compression {
            Compression::None => Codec::None,
            Compression::Gzip => Codec::Gzip,
            Compression::Snappy => Codec::Snappy,
            Compression::Lz4 => Codec::Lz4,
            Compression::Zstd => Codec::Zstd,
        }
    }
}

/// Producers and what they send.
#[derive(Args, Clone, Debug)]
pub(crate) struct Workload {
    /// Partitions of the topic, when the tool creates it.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) partitions: u32,
    /// Producers; each is one connection.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) producers: u32,
    /// Threads that drive the producers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) threads: u32,
    /// Acknowledgements to wait for.
    #[arg(long, value_enum, default_value_t = Acks::All)]
    pub(crate) acks: Acks,
    /// Bytes of a record's value (at least 32).
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(32..=16_777_216))]
    pub(crate) record_bytes: u32,
    /// The most records of a batch.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) records_per_batch: u32,
    /// The most batches of a request, each for another partition.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batches_per_request: u32,
    /// In an open loop, how long a batch waits to be filled, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub(crate) linger_ms: u64,
    /// The most requests of a producer that are not answered yet.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) in_flight: u32,
    /// Records a second of all producers together (open loop); as many as the broker takes (closed loop)
    /// without.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Compression. The batches are compressed before the run, so they can be checked only as a whole.
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub(crate) codec: Compression,
    /// Give every record a key of 8 bytes, one of so many. It does not choose the partition.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: Option<u64>,
    /// Send as idempotent producers (always with a codec).
    #[arg(long)]
    pub(crate) idempotent: bool,
    /// Seconds before the measurement.
    #[arg(long, default_value_t = 3)]
    pub(crate) warmup: u64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
}

/// What the command line asks for when it says nothing.
impl Default for Workload {
    fn default() -> Workload {
        let line = Workload::augment_args(clap::Command::new("workload"));
        Workload::from_arg_matches(&line.get_matches_from(["workload"]))
            .expect("every argument has a default")
    }
}

impl Workload {
    /// The seconds that count of a load that starts at `start`.
    pub(crate) fn window(&self, start: u64) -> Window {
        let measured = start + self.warmup * SECOND;
        Window { start: measured, end: measured + self.seconds * SECOND }
    }

    /// Whether producers have an identity at the broker. Compressed batches need it: their header is all that
    /// tells them apart.
    pub(crate) fn has_producer_ids(&self) -> bool {
        self.idempotent || self.codec != Compression::None
    }

    /// How long a batch waits to be filled.
    pub(crate) fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let acks = match self.acks {
            Acks::Zero => "0",
            Acks::One => "1",
            Acks::All => "all",
        };
        let pace = self
            .rate
            .map_or("as fast as it takes them".to_owned(), |rate| format!("{rate} records/s by schedule"));
        format!(
            "{} producers, {} partitions, {} B records, up to {} a batch, {} batch(es) a request, {} in flight, acks={acks}, {}{}, {pace}",
            self.producers,
            self.partitions,
            self.record_bytes,
            self.records_per_batch,
            self.batches_per_request,
            self.in_flight,
            match self.codec {
                Compression::None => "not compressed",
                codec => Codec::from(codec).name(),
            },
            self.keys.map_or(String::new(), |keys| format!(", {keys} keys")),
        )
    }

    /// The settings.
    pub(crate) fn json(&self) -> Value {
        json!({
            "partitions": self.partitions, "producers": self.producers, "threads": self.threads,
            "acks": self.acks.code(), "record_bytes": self.record_bytes,
            "records_per_batch": self.records_per_batch, "batches_per_request": self.batches_per_request,
            "linger_ms": self.linger_ms, "in_flight": self.in_flight, "rate": self.rate,
            "codec": Codec::from(self.codec).name(), "keys": self.keys,
            "idempotent": self.has_producer_ids(), "warmup_s": self.warmup, "seconds": self.seconds,
        })
    }
}
