//! A scrape: what the shards have counted, added up and written out. It runs on a thread of the listener.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strandline_engine::reactor::Chosen;
use strandline_engine::topics::TopicTable;
use strandline_engine::types::{PartitionId, Timestamp};
use strandline_engine::{Handle, PartitionReport, RecoveryReport, ShardReport, ShardStats, Traffic};
use strandline_protocol::wire::{ApiKey, ErrorCode};

use super::families::*;
use super::text::{Metric, Text};
use crate::counters::RequestStats;
use crate::fronts::kafka::{KafkaFront, RequestCounts};
use crate::groups::{GroupReport, State};
use crate::net::{ListenerReport, Report};
use crate::share::LetterCounts;
use crate::transactions;

/// Groups that have series of their own. Clients make up ids; a tool that makes a new one at each run must
/// not drown who scrapes.
const GROUPS_MAX: usize = 1000;

/// Where the numbers come from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) handle: Handle,
    pub(crate) front: KafkaFront,
    pub(crate) recovery: (RecoveryReport, Duration),
    pub(crate) reactor: Chosen,
    pub(crate) data_dir: PathBuf,
}

/// What all shards have said.
pub(super) struct Numbers {
    shards: Vec<ShardReport>,
    fronts: Vec<Report<RequestCounts>>,
    groups: Vec<GroupReport>,
    transactions: transactions::Report,
    letters: LetterCounts,
}

/// A metric, and where a shard counts it.
type Counter = (&'static Metric, fn(&ShardStats) -> u64);

/// What is known of a topic, all its partitions together.
#[derive(Default)]
struct TopicSum {
    traffic: Traffic,
    segments: u64,
    bytes: u64,
    stable_lag: u64,
    dirty_ratio: Option<f64>,
}

impl Numbers {
    /// Asks every shard.
    pub(super) async fn ask(sources: &Sources) -> Numbers {
        let reports = sources.handle.reports();
        let front = &sources.front;
        let (shards, fronts, mut groups, transactions, letters) = futures_util::join!(
            reports,
            front.reports(),
            front.groups().reports(),
            front.transactions().report(),
            front.shares().leaders.letters()
        );
        groups.sort_by(|one, other| one.group.cmp(&other.group));
        Numbers { shards, fronts, groups, transactions, letters }
    }

    /// `/metrics`.
    pub(super) fn all(&self, sources: &Sources, started: SystemTime) -> String {
        let mut text = process(started);
        text.write(&REACTOR, [([sources.reactor.kind.name()], 1)]);
        let (report, took) = sources.recovery;
        if let Ok(disk) = rustix::fs::statvfs(&sources.data_dir) {
            text.write_one(&DISK_SIZE, disk.f_blocks * disk.f_frsize);
            text.write_one(&DISK_FREE, disk.f_bavail * disk.f_frsize);
        }
        text.write_one(&RECOVERY_TIME, took.as_secs_f64());
        text.write_one(&RECOVERED, report.batches);
        text.write_one(&DAMAGED, report.damaged_partitions);
        self.write_requests(&mut text);
        let keys = sources.front.keys().reloads();
        let by_result = keys.iter().flat_map(|(listener, reloads)| {
            [([&**listener, "done"], reloads.done), ([&**listener, "refused"], reloads.refused)]
        });
        text.write(&KEYS, by_result);
        let reads = sources.front.tokens().reads();
        let by_result = reads.iter().flat_map(|(listener, reads)| {
            [([&**listener, "done"], reads.done), ([&**listener, "refused"], reads.refused)]
        });
        text.write(&TOKEN_KEYS, by_result);
        self.write_shards(&mut text);
        self.write_topics(&mut text, &sources.handle.topics());
        self.write_transactions(&mut text);
        let LetterCounts { written, bare, failures, waiting } = self.letters;
        text.write_one(&LETTERS, written);
        text.write_one(&BARE_LETTERS, bare);
        text.write_one(&FAILED_LETTERS, failures);
        text.write_one(&WAITING_LETTERS, waiting);
        self.write_groups(&mut text, &sources.handle.topics());
        text.finish()
    }

    fn write_requests(&self, text: &mut Text) {
        let names: Vec<String> = (0..self.fronts.len()).map(|shard| shard.to_string()).collect();
        let by_listener = |of: fn(&ListenerReport) -> u64| {
            names.iter().zip(&self.fronts).flat_map(move |(shard, front)| {
                front.listeners.iter().map(move |found| ([shard.as_str(), &*found.listener], of(found)))
            })
        };
        text.write(&CONNECTIONS, by_listener(|found| found.connections));
        text.write(&ACCEPTED, by_listener(|found| found.accepted));
        text.write(&UNOPENED, by_listener(|found| found.unopened));
        text.write(&HELD, by_listener(|found| found.held));
        let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
        for found in self.fronts.iter().flat_map(|front| &front.listeners) {
            *refused.entry(&found.listener).or_default() += found.refused;
        }
        text.write(&REFUSED, refused.into_iter().map(|(listener, count)| ([listener], count)));
        let mut delayed: BTreeMap<&str, Duration> = BTreeMap::new();
        for found in self.fronts.iter().flat_map(|front| &front.listeners) {
            *delayed.entry(&found.listener).or_default() += found.delayed;
        }
        let delayed = delayed.into_iter().map(|(listener, delayed)| ([listener], delayed.as_secs_f64()));
        text.write(&DELAYED, delayed);

        let mut sums = BTreeMap::<ApiKey, RequestStats>::new();
        for (key, stats) in self.fronts.iter().flat_map(|front| &front.counts) {
            sums.entry(*key).or_default().merge(stats);
        }
        let used: Vec<(String, &RequestStats)> =
            sums.iter().map(|(key, stats)| (key.to_string(), stats)).collect();
        let by_api =
            |of: fn(&RequestStats) -> u64| used.iter().map(move |(api, stats)| ([api.as_str()], of(stats)));
        text.write(&REQUESTS, by_api(|stats| stats.requests));
        text.write(&REQUEST_BYTES, by_api(|stats| stats.request_bytes));
        text.write(&RESPONSE_BYTES, by_api(|stats| stats.response_bytes));
        let errors: Vec<_> = (used.iter())
            .flat_map(|(api, stats)| {
                stats.errors.iter().map(move |(code, count)| (api, error_name(*code), *count))
            })
            .collect();
        text.write(&REQUEST_ERRORS, errors.iter().map(|(api, error, count)| ([api.as_str(), error], *count)));
        let throttled = used.iter().flat_map(|(api, stats)| {
            stats
                .throttled
                .iter()
                .map(move |(quota, wait)| ([api.as_str(), quota.word()], wait.as_secs_f64()))
        });
        text.write(&THROTTLED, throttled);
        text.write_histogram(
            &REQUEST_TIME,
            used.iter().map(|(api, stats)| ([api.as_str()], &stats.durations)),
        );
    }

    fn write_shards(&self, text: &mut Text) {
        let names: Vec<String> = (0..self.shards.len()).map(|shard| shard.to_string()).collect();
        let mut write = |metric: &Metric, of: fn(&ShardReport) -> u64| {
            text.write(
                metric,
                names.iter().zip(&self.shards).map(|(shard, report)| ([shard.as_str()], of(report))),
            );
        };
        write(&DISK_FULL, |shard| u64::from(shard.disk_full));
        write(&FENCED, |shard| shard.fenced_partitions);
        write(&DAMAGES, |shard| shard.stats.damages);
        write(&OPEN_PARTITIONS, |shard| shard.stats.open_partitions);
        write(&INBOX_BATCHES, |shard| shard.waiting_batches);
        write(&INBOX_BYTES, |shard| shard.waiting_bytes);
        write(&MAILBOX, |shard| shard.waiting_requests);
        write(&JOURNAL_FILES, |shard| shard.journal.files);
        write(&JOURNAL_SIZE, |shard| shard.journal.bytes);
        write(&JOURNAL_USED, |shard| shard.journal.used_bytes);
        write(&RETENTION_QUEUE, |shard| shard.retention_queue);
        write(&UNDELETED, |shard| shard.undeleted_segments);
        write(&UNCLEANABLE, |shard| {
            shard.partitions.iter().filter(|partition| partition.is_uncleanable).count() as u64
        });
        let counters: [Counter; 24] = [
            (&BATCHES, |stats| stats.batches),
            (&RECORDS, |stats| stats.records),
            (&BYTES, |stats| stats.bytes),
            (&REFUSED_BATCHES, |stats| stats.refused_batches),
            (&SHORTAGES, |stats| stats.shortages),
            (&READS, |stats| stats.reads),
            (&READ_BYTES, |stats| stats.read_bytes),
            (&HOPS, |stats| stats.hops),
            (&COMMITS, |stats| stats.journal_commits),
            (&COMMITTED_RECORDS, |stats| stats.journal_records),
            (&COMMITTED_BYTES, |stats| stats.journal_bytes),
            (&DIRECT_SYNCS, |stats| stats.direct_syncs),
            (&BACKGROUND_SYNCS, |stats| stats.background_syncs),
            (&RETENTION_LOOKS, |stats| stats.retention_looks),
            (&DELETED_SEGMENTS, |stats| stats.deleted_segments),
            (&DELETED_BYTES, |stats| stats.deleted_bytes),
            (&COMPACTIONS, |stats| stats.compactions),
            (&FAILED_COMPACTIONS, |stats| stats.failed_compactions),
            (&SCRUBBED_BYTES, |stats| stats.scrubbed_bytes),
            (&SCRUBS, |stats| stats.scrubs),
            (&COMPACTED_BYTES, |stats| stats.compacted_bytes),
            (&COMPACTED_BYTES_LEFT, |stats| stats.compacted_bytes_left),
            (&COMPACTED_RECORDS, |stats| stats.compacted_records),
            (&COMPACTED_RECORDS_LEFT, |stats| stats.compacted_records_left),
        ];
        let by_shard = || names.iter().map(String::as_str).zip(self.shards.iter().map(|shard| &shard.stats));
        for (metric, of) in counters {
            text.write(metric, by_shard().map(|(shard, stats)| ([shard], of(stats))));
        }
        let seconds = |time: Timestamp| time.0 as f64 / 1e3;
        text.write(
            &RETENTION_LOOKED,
            by_shard().map(|(shard, stats)| ([shard], seconds(stats.retention_looked_at))),
        );
        let reports = || names.iter().map(String::as_str).zip(&self.shards);
        text.write(
            &COMPACTION_LAG,
            reports().map(|(shard, report)| ([shard], report.compaction_lag_ms as f64 / 1e3)),
        );
        let dirty = |report: &ShardReport| -> u64 {
            report.partitions.iter().filter_map(|partition| Some(partition.compaction?.dirty_bytes)).sum()
        };
        text.write(&COMPACTION_DIRTY, reports().map(|(shard, report)| ([shard], dirty(report))));
        text.write(&BACKGROUND_SHARE, reports().map(|(shard, report)| ([shard], report.background_share)));
        text.write(&COMPACTED, by_shard().map(|(shard, stats)| ([shard], seconds(stats.compacted_at))));
        text.write_histogram(&SYNC_TIME, by_shard().map(|(shard, stats)| ([shard], &stats.sync_durations)));
    }

    fn write_topics(&self, text: &mut Text, topics: &TopicTable) {
        text.write(&TOPIC_PARTITIONS, topics.iter().map(|topic| ([topic.name.as_str()], topic.partitions)));
        let mut sums: BTreeMap<&str, TopicSum> = BTreeMap::new();
        for partition in self.open_partitions() {
            let Some(topic) = topics.by_id(partition.id.topic) else { continue };
            let sum = sums.entry(&topic.name).or_default();
            sum.traffic = sum.traffic.plus(partition.traffic);
            sum.segments += partition.segments;
            sum.bytes += partition.bytes;
            let stable_lag = partition.log_end.get() - partition.last_stable.get();
            sum.stable_lag = sum.stable_lag.max(stable_lag.max(0) as u64);
            if let Some(found) = partition.compaction {
                let closed = (found.dirty_bytes + found.clean_bytes).max(1);
                let ratio = found.dirty_bytes as f64 / closed as f64;
                sum.dirty_ratio = Some(sum.dirty_ratio.unwrap_or(0.0).max(ratio));
            }
        }
        let mut write = |metric: &Metric, of: fn(&TopicSum) -> u64| {
            text.write(metric, sums.iter().map(|(topic, sum)| ([*topic], of(sum))));
        };
        write(&TOPIC_BATCHES, |sum| sum.traffic.batches);
        write(&TOPIC_RECORDS, |sum| sum.traffic.records);
        write(&TOPIC_BYTES, |sum| sum.traffic.bytes);
        write(&TOPIC_READS, |sum| sum.traffic.reads);
        write(&TOPIC_READ_BYTES, |sum| sum.traffic.read_bytes);
        write(&TOPIC_SEGMENTS, |sum| sum.segments);
        write(&TOPIC_SIZE, |sum| sum.bytes);
        write(&TOPIC_STABLE_LAG, |sum| sum.stable_lag);
        text.write(&TOPIC_DIRTY, sums.iter().filter_map(|(topic, sum)| Some(([*topic], sum.dirty_ratio?))));
    }

    fn write_transactions(&self, text: &mut Text) {
        let transactions::Report { ids, open, ending, oldest, counts } = self.transactions;
        text.write_one(&TRANSACTIONAL_IDS, ids);
        text.write_one(&TRANSACTIONS_OPEN, open);
        text.write_one(&TRANSACTIONS_ENDING, ending);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_millis() as i64);
        let age_ms = oldest.map_or(0, |oldest| (now - oldest).max(0));
        text.write_one(&TRANSACTION_OLDEST, age_ms as f64 / 1e3);
        text.write_one(&COMMITTED, counts.committed);
        text.write_one(&ABORTED, counts.aborted);
        text.write_one(&TIMED_OUT, counts.timed_out);
        text.write_one(&FENCED_PRODUCERS, counts.fenced);
    }

    fn write_groups(&self, text: &mut Text, topics: &TopicTable) {
        let mut states: BTreeMap<&str, u64> = State::ALL.iter().map(|state| (state.name(), 0)).collect();
        for group in &self.groups {
            *states.entry(group.state.name()).or_default() += 1;
        }
        text.write(&GROUPS, states.iter().map(|(state, count)| ([*state], *count)));
        let told = &self.groups[..self.groups.len().min(GROUPS_MAX)];
        text.write_one(&GROUPS_LEFT_OUT, self.groups.len() - told.len());
        text.write(&GROUP_STATE, told.iter().map(|group| ([group.group.as_str(), group.state.name()], 1)));
        text.write(&GROUP_MEMBERS, told.iter().map(|group| ([group.group.as_str()], group.members)));
        let mut lags: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for lag in self.lags(topics) {
            *lags.entry((lag.group, lag.topic)).or_default() += lag.records;
        }
        text.write(&GROUP_LAG, lags.iter().map(|((group, topic), lag)| ([*group, *topic], *lag)));
    }

    /// `/metrics/partitions`.
    pub(super) fn partitions(&self, topics: &TopicTable) -> String {
        let mut text = Text::default();
        let mut open: Vec<_> = (self.open_partitions())
            .filter_map(|partition| Some((&*topics.by_id(partition.id.topic)?.name, partition)))
            .collect();
        open.sort_by_key(|(topic, partition)| (*topic, partition.id.index));
        let open: Vec<_> = open
            .into_iter()
            .map(|(topic, partition)| (topic, partition.id.index.to_string(), partition))
            .collect();
        let mut write = |metric: &Metric, of: fn(&PartitionReport) -> Option<i64>| {
            let series = open.iter().filter_map(|(topic, index, of_it)| Some(([*topic, index], of(of_it)?)));
            text.write(metric, series);
        };
        write(&LOG_START, |partition| Some(partition.log_start.get()));
        write(&LOG_END, |partition| Some(partition.log_end.get()));
        write(&LAST_STABLE, |partition| Some(partition.last_stable.get()));
        write(&SEGMENTS, |partition| Some(partition.segments as i64));
        write(&SIZE, |partition| Some(partition.bytes as i64));
        write(&PARTITION_FENCED, |partition| Some(i64::from(partition.is_fenced)));
        write(&DIRTY_BYTES, |partition| Some(partition.compaction?.dirty_bytes as i64));
        let lags: Vec<_> = self.lags(topics).map(|lag| (lag.partition.to_string(), lag)).collect();
        let names = |(partition, lag): &'_ (String, Lag<'_>)| -> [String; 3] {
            [lag.group.to_owned(), lag.topic.to_owned(), partition.clone()]
        };
        let named: Vec<([String; 3], &Lag<'_>)> = lags.iter().map(|lag| (names(lag), &lag.1)).collect();
        let series = |of: fn(&Lag<'_>) -> i64| {
            named.iter().map(move |(names, lag)| (names.each_ref().map(String::as_str), of(lag)))
        };
        text.write(&GROUP_OFFSET, series(|lag| lag.committed));
        text.write(&GROUP_PARTITION_LAG, series(|lag| lag.records));
        text.finish()
    }

    fn open_partitions(&self) -> impl Iterator<Item = &PartitionReport> {
        self.shards.iter().flat_map(|shard| &shard.partitions)
    }

    /// How late groups are, where the end of the log is known: in partitions that were used since the start.
    fn lags(&self, topics: &TopicTable) -> impl Iterator<Item = Lag<'_>> {
        let ends: HashMap<PartitionId, i64> =
            self.open_partitions().map(|partition| (partition.id, partition.log_end.get())).collect();
        let told = &self.groups[..self.groups.len().min(GROUPS_MAX)];
        let mut lags = Vec::new();
        for group in told {
            for (topic, partitions) in &group.committed {
                let Some(id) = topics.by_name(topic).map(|topic| topic.id) else { continue };
                lags.extend(partitions.iter().filter_map(|(index, committed)| {
                    let end = ends.get(&PartitionId::new(id, u32::try_from(*index).ok()?))?;
                    let records = (end - committed).max(0);
                    Some(Lag {
                        group: &group.group,
                        topic,
                        partition: *index,
                        committed: *committed,
                        records,
                    })
                }));
            }
        }
        lags.into_iter()
    }
}

/// How late a group is in a partition.
struct Lag<'a> {
    group: &'a str,
    topic: &'a str,
    partition: i32,
    committed: i64,
    records: i64,
}

/// What is known without any shard.
pub(super) fn process(started: SystemTime) -> Text {
    let mut text = Text::default();
    text.write(&BUILD, [([env!("CARGO_PKG_VERSION")], 1)]);
    text.write_one(&START_TIME, started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    text.write_one(&CPU, cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    // What the system does not tell is left out.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    if let Some(kib) = resident {
        text.write_one(&RESIDENT, kib * 1024);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        text.write_one(&OPEN_FDS, open.count());
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.write_one(&MAX_FDS, most);
    }
    let log = crate::log::counts();
    text.write_one(&LOG_LOST, log.lost);
    text.write_one(&LOG_SUPPRESSED, log.suppressed);
    text
}

/// The name of an error code, as Kafka's documentation writes it.
fn error_name(code: i16) -> String {
    let Ok(code) = ErrorCode::try_from(code) else { return code.to_string() };
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_called_as_in_kafka() {
        assert_eq!(error_name(ErrorCode::OffsetOutOfRange.code()), "OFFSET_OUT_OF_RANGE");
        assert_eq!(error_name(3), "UNKNOWN_TOPIC_OR_PARTITION");
        assert_eq!(error_name(9999), "9999");
    }
}
