//! Every metric, declared once: what is exported, docs/operations.md and the dashboard are held against this.

use super::text::{Kind, Metric};

macro_rules! metrics {
    ($all:ident: $doc:literal; $($constant:ident $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(super) const $constant: Metric = Metric { name: $name, kind: Kind::$kind, labels: &$labels, help: $help };)*
        #[doc = $doc]
        pub const $all: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    METRICS: "What `/metrics` has.";
    BUILD Gauge "strandline_build_info" ["version"], "1; the version is a label.";
    START_TIME Gauge "process_start_time_seconds" [], "When the process was started, in seconds since 1970.";
    CPU Counter "process_cpu_seconds_total" [], "CPU time of the process, user and system.";
    RESIDENT Gauge "process_resident_memory_bytes" [], "Resident memory of the process, with what it has mapped.";
    OPEN_FDS Gauge "process_open_fds" [], "Open descriptors of the process.";
    MAX_FDS Gauge "process_max_fds" [], "The limit on open descriptors.";
    REACTOR Gauge "strandline_reactor" ["kind"], "1 for what the shards' threads run on: ring, glommio or poll.";
    LOG_LOST Counter "strandline_log_lines_lost_total" [], "Log lines that could not be written: stderr is full, closed, or nobody reads it.";
    LOG_SUPPRESSED Counter "strandline_log_lines_suppressed_total" [], "Log lines that were left out because there were too many of their kind; others say how many.";
    DISK_SIZE Gauge "strandline_data_dir_size_bytes" [], "Size of the file system that the data directory is on.";
    DISK_FREE Gauge "strandline_data_dir_free_bytes" [], "What is free there for the broker.";
    DISK_FULL Gauge "strandline_disk_full" ["shard"], "1 while the last append that needed room was refused for want of it.";
    RECOVERY_TIME Gauge "strandline_recovery_duration_seconds" [], "How long the last start took to recover the data directory.";
    RECOVERED Gauge "strandline_recovered_batches" [], "Batches that it brought back from the journals.";
    DAMAGED Gauge "strandline_damaged_partitions" [], "Partitions that it found damaged.";
    FENCED Gauge "strandline_fenced_partitions" ["shard"], "Partitions that take no appends until the next start.";
    DAMAGES Gauge "strandline_damaged_places" ["shard"], "Damaged places found in the files of open partitions; the log names each.";
    OPEN_PARTITIONS Gauge "strandline_open_partitions" ["shard"], "Partitions that were used since the start.";

    CONNECTIONS Gauge "strandline_connections" ["shard", "listener"], "Connections of clients.";
    ACCEPTED Counter "strandline_connections_accepted_total" ["shard", "listener"], "Connections that were accepted.";
    REFUSED Counter "strandline_connections_refused_total" ["listener"], "Connections that were closed at once: max.connections, that of the listener or max.connections.per.ip was reached, or files need the descriptors that are left.";
    HELD Counter "strandline_connections_held_total" ["shard", "listener"], "Connections that an address made beyond its connection_creation_rate: held for a while unread, then closed.";
    DELAYED Counter "strandline_connections_delayed_seconds_total" ["listener"], "For how long connections were accepted later than they came: max.connection.creation.rate, or that of the listener, was reached.";
    UNOPENED Counter "strandline_tls_handshakes_failed_total" ["shard", "listener"], "TLS handshakes that failed; the log says why.";
    KEYS Counter "strandline_tls_key_reloads_total" ["listener", "result"], "Times that the keys of a listener were read anew: done, or refused, when the ones before stayed in force.";
    TOKEN_KEYS Counter "strandline_token_key_reads_total" ["listener", "result"], "Times that the keys of tokens of a listener were read: done, or refused, when the ones before stayed in force.";
    REQUESTS Counter "strandline_requests_total" ["api"], "Requests that have come in.";
    REQUEST_BYTES Counter "strandline_request_bytes_total" ["api"], "Their bytes.";
    RESPONSE_BYTES Counter "strandline_response_bytes_total" ["api"], "Bytes of their answers.";
    REQUEST_ERRORS Counter "strandline_request_errors_total" ["api", "error"], "Error codes in their answers, one for each partition or other part.";
    THROTTLED Counter "strandline_throttled_seconds_total" ["api", "quota"], "For how long clients were not listened to, by the API and the quota that they had used up.";
    REQUEST_TIME Histogram "strandline_request_duration_seconds" ["api"], "From a whole request to its answer; a fetch waits for records as long as it may.";

    BATCHES Counter "strandline_appended_batches_total" ["shard"], "Batches that were appended.";
    RECORDS Counter "strandline_appended_records_total" ["shard"], "Their records.";
    BYTES Counter "strandline_appended_bytes_total" ["shard"], "Their bytes.";
    REFUSED_BATCHES Counter "strandline_refused_batches_total" ["shard"], "Batches that were refused because the disk was full.";
    SHORTAGES Counter "strandline_shortages_total" ["shard"], "Times that descriptors or memory were short, and something was refused for the moment.";
    READS Counter "strandline_reads_total" ["shard"], "Reads of partitions.";
    READ_BYTES Counter "strandline_read_bytes_total" ["shard"], "Bytes of batches that they gave out.";
    HOPS Counter "strandline_hops_total" ["shard"], "Requests to the shard from other shards and threads.";
    INBOX_BATCHES Gauge "strandline_inbox_batches" ["shard"], "Batches that wait for the next turn.";
    INBOX_BYTES Gauge "strandline_inbox_bytes" ["shard"], "Their bytes; from 32 MiB on senders wait.";
    MAILBOX Gauge "strandline_mailbox_requests" ["shard"], "Requests of other threads that wait; at 1024 their senders wait.";

    COMMITS Counter "strandline_journal_commits_total" ["shard"], "Journal writes: syncs that somebody waited for.";
    COMMITTED_RECORDS Counter "strandline_journal_records_total" ["shard"], "Records that they carried: over the commits, records per sync.";
    COMMITTED_BYTES Counter "strandline_journal_written_bytes_total" ["shard"], "Bytes of batches that they carried.";
    DIRECT_SYNCS Counter "strandline_direct_syncs_total" ["shard"], "Syncs of segments that somebody waited for, instead of a journal write.";
    BACKGROUND_SYNCS Counter "strandline_background_syncs_total" ["shard"], "Syncs of partitions that no sender waited for.";
    SYNC_TIME Histogram "strandline_sync_duration_seconds" ["shard"], "How long journal writes and direct syncs took.";
    JOURNAL_FILES Gauge "strandline_journal_files" ["shard"], "Files of the journal.";
    JOURNAL_SIZE Gauge "strandline_journal_size_bytes" ["shard"], "Their bytes.";
    JOURNAL_USED Gauge "strandline_journal_used_bytes" ["shard"], "Bytes of the journal that are needed: what a start after a crash reads.";

    RETENTION_LOOKS Counter "strandline_retention_looks_total" ["shard"], "Times that retention began to look at all partitions.";
    RETENTION_LOOKED Gauge "strandline_retention_last_look_timestamp_seconds" ["shard"], "When it last did; 0 for not yet.";
    RETENTION_QUEUE Gauge "strandline_retention_waiting_partitions" ["shard"], "Partitions that it has still to look at.";
    DELETED_SEGMENTS Counter "strandline_deleted_segments_total" ["shard"], "Segments that retention or DeleteRecords has deleted.";
    DELETED_BYTES Counter "strandline_deleted_bytes_total" ["shard"], "Their bytes.";
    UNDELETED Gauge "strandline_undeleted_segments" ["shard"], "Segments that are out of their logs, with files that are still there.";
    COMPACTIONS Counter "strandline_compactions_total" ["shard"], "Rounds of compaction that reached their end.";
    FAILED_COMPACTIONS Counter "strandline_failed_compactions_total" ["shard"], "Rounds that a full disk or a fault has ended.";
    SCRUBBED_BYTES Counter "strandline_scrubbed_bytes_total" ["shard"], "Bytes that were read in search of rotten ones.";
    SCRUBS Counter "strandline_scrubs_total" ["shard"], "Rounds of that which have reached their end.";
    COMPACTED Gauge "strandline_compaction_last_timestamp_seconds" ["shard"], "When a round last reached its end; 0 for not yet.";
    COMPACTION_LAG Gauge "strandline_compaction_lag_seconds" ["shard"], "How long the log has waited for compaction that has waited longest; 0 when none waits.";
    COMPACTION_DIRTY Gauge "strandline_compaction_dirty_bytes" ["shard"], "Bytes of closed segments of open compacted partitions that are not compacted.";
    BACKGROUND_SHARE Gauge "strandline_background_share" ["shard"], "Part of the thread's time that compaction and scrub may take: background.time.share, or more while compaction is behind.";
    COMPACTED_BYTES Counter "strandline_compacted_bytes_total" ["shard"], "Bytes of segments that compaction has replaced.";
    COMPACTED_BYTES_LEFT Counter "strandline_compacted_left_bytes_total" ["shard"], "Bytes of those in their places.";
    COMPACTED_RECORDS Counter "strandline_compacted_records_total" ["shard"], "Records of segments that compaction has replaced.";
    COMPACTED_RECORDS_LEFT Counter "strandline_compacted_left_records_total" ["shard"], "Records of those in their places.";
    UNCLEANABLE Gauge "strandline_uncleanable_partitions" ["shard"], "Partitions that are not compacted until the next start.";

    TOPIC_PARTITIONS Gauge "strandline_topic_partitions" ["topic"], "Partitions of the topic.";
    TOPIC_BATCHES Counter "strandline_topic_appended_batches_total" ["topic"], "Batches that were appended. This and what follows: of topics that were used since the start.";
    TOPIC_RECORDS Counter "strandline_topic_appended_records_total" ["topic"], "Their records.";
    TOPIC_BYTES Counter "strandline_topic_appended_bytes_total" ["topic"], "Their bytes.";
    TOPIC_READS Counter "strandline_topic_reads_total" ["topic"], "Reads of the topic's partitions.";
    TOPIC_READ_BYTES Counter "strandline_topic_read_bytes_total" ["topic"], "Bytes of batches that they gave out.";
    TOPIC_SEGMENTS Gauge "strandline_topic_segments" ["topic"], "Segments of the topic.";
    TOPIC_SIZE Gauge "strandline_topic_size_bytes" ["topic"], "Their bytes.";
    TOPIC_STABLE_LAG Gauge "strandline_topic_last_stable_lag_records" ["topic"], "Offsets between where consumers of committed records stop and the end of the log: the most of a partition. It grows while a transaction stays open.";
    TOPIC_DIRTY Gauge "strandline_topic_dirty_ratio" ["topic"], "Of a compacted topic: the largest share of a partition's closed segments that is not compacted.";

    TRANSACTIONAL_IDS Gauge "strandline_transactional_ids" [], "Transactional ids that are kept.";
    TRANSACTIONS_OPEN Gauge "strandline_transactions_open" [], "Transactions that have begun and have not been ended.";
    TRANSACTIONS_ENDING Gauge "strandline_transactions_ending" [], "Transactions that have been ended, and whose markers are not all written.";
    TRANSACTION_OLDEST Gauge "strandline_transaction_oldest_age_seconds" [], "Since when the oldest of both has been running; 0 for none.";
    COMMITTED Counter "strandline_transactions_committed_total" [], "Transactions that were committed.";
    ABORTED Counter "strandline_transactions_aborted_total" [], "Transactions that were aborted.";
    TIMED_OUT Counter "strandline_transactions_timed_out_total" [], "Those of them whose time was up.";
    FENCED_PRODUCERS Counter "strandline_fenced_producer_requests_total" [], "Requests of transactional producers that a newer instance, or a timeout, has fenced.";

    GROUPS Gauge "strandline_groups" ["state"], "Consumer groups.";
    GROUPS_LEFT_OUT Gauge "strandline_groups_left_out" [], "Groups beyond the first 1000, by name, which have no series of their own.";
    GROUP_STATE Gauge "strandline_group_state" ["group", "state"], "1 for the state that the group is in.";
    GROUP_MEMBERS Gauge "strandline_group_members" ["group"], "Members of the group.";
    LETTERS Counter "strandline_dead_letters_total" [], "Dead letters of share groups that were written to their queues.";
    BARE_LETTERS Counter "strandline_dead_letters_without_record_total" [], "Those of them whose records were to be copied and could not be: the log has lost them, or they are larger than the queue takes.";
    FAILED_LETTERS Counter "strandline_dead_letter_failures_total" [], "Times that a queue took no dead letters; the log says why.";
    WAITING_LETTERS Gauge "strandline_dead_letters_waiting" [], "Records that are to be dead letters and are not yet, of the partitions that share groups use.";
    GROUP_LAG Gauge "strandline_group_lag_records" ["group", "topic"], "Offsets between what the group has committed and the ends of the logs, of all partitions together.";
}

metrics! {
    PARTITION_METRICS: "What `/metrics/partitions` has.";
    LOG_START Gauge "strandline_partition_log_start_offset" ["topic", "partition"], "The first offset of the log.";
    LOG_END Gauge "strandline_partition_log_end_offset" ["topic", "partition"], "The offset behind the last record.";
    LAST_STABLE Gauge "strandline_partition_last_stable_offset" ["topic", "partition"], "Where consumers of committed records stop: the first offset of the oldest open transaction, or the high watermark.";
    SEGMENTS Gauge "strandline_partition_segments" ["topic", "partition"], "Segments of the log.";
    SIZE Gauge "strandline_partition_size_bytes" ["topic", "partition"], "Their bytes.";
    PARTITION_FENCED Gauge "strandline_partition_fenced" ["topic", "partition"], "1 when the partition takes no appends until the next start.";
    DIRTY_BYTES Gauge "strandline_partition_dirty_bytes" ["topic", "partition"], "Of a compacted topic: bytes of closed segments that are not compacted.";
    GROUP_OFFSET Gauge "strandline_group_partition_offset" ["group", "topic", "partition"], "The offset that the group has committed.";
    GROUP_PARTITION_LAG Gauge "strandline_group_partition_lag_records" ["group", "topic", "partition"], "Offsets between that and the end of the log.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// <https://prometheus.io/docs/practices/naming/>
    #[test]
    fn a_metric_is_named_as_prometheus_wants_it() {
        let mut names = BTreeSet::new();
        for Metric { name, kind, help, .. } in METRICS.iter().chain(PARTITION_METRICS) {
            assert!(names.insert(name), "{name} is declared twice");
            assert!(name.starts_with("strandline_") || name.starts_with("process_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(
                *kind == Kind::Histogram,
                name.ends_with("_duration_seconds") && name != &RECOVERY_TIME.name
            );
            assert!(help.ends_with('.') && !help.contains(['\\', '\n', '|']), "{name}: {help}");
        }
    }
}
