//! What goes on: whether records are safe, how long syncs take, what the shards do, when the disk is full.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::response::Response;
use maud::{Markup, html};
use strandline_engine::RecoveryReport;
use strandline_engine::config::TopicConfig;

use super::chart::chart;
use super::format::{bytes, bytes_per_second, duration, moment, number, of_topic, things, whole};
use super::frame::Section;
use super::guard::Failed;
use super::history::{Forecast, HOUR, History, STEPS};
use super::page::{page, table};
use super::sample::Sample;
use super::viewer::Viewer;
use crate::fronts::http::problem::Problem;

/// Topics that are named because they give up safety.
const RELAXED_MAX: usize = 10;

pub(super) async fn show(viewer: Viewer) -> Result<Response, Failed> {
    if !viewer.may_describe {
        let body = html! {
            p {
                "What the broker says of itself is for users that may describe the cluster. "
                a href="/console/topics" { "Your topics" } " are there."
            }
        };
        return Ok(page(&viewer, Section::Overview, "Overview", &body));
    }
    let durability = durability(&viewer).await?;
    let (recovery, took) = viewer.asker.shared.started()?.recovery;
    let body = {
        let history = viewer.console.history();
        let sample = history.now();
        html! {
            section.cards aria-label="In short" {
                (durability)
                (damage(&recovery, sample.as_deref()))
                (disk(&history, sample.as_deref()))
            }
            (syncs(&history))
            (traffic(&history))
            (shards(sample.as_deref()))
            (identity(&viewer, took, sample)?)
        }
    };
    Ok(page(&viewer, Section::Overview, "Overview", &body))
}

/// When records are on the disk, in words.
async fn durability(viewer: &Viewer) -> Result<Markup, Problem> {
    let engine = viewer.asker.engine()?;
    let defaults = TopicConfig::resolve(&engine.settings().topic_defaults, &[]).ok();
    let topics = engine.topics();
    let is_relaxed = |config: &TopicConfig| !config.is_durable();
    let relaxed: Vec<String> =
        topics.iter().filter(|topic| is_relaxed(&topic.config)).map(|topic| topic.name.clone()).collect();
    let durable = topics.len() - relaxed.len();
    drop(topics);
    let names: Vec<&str> = relaxed.iter().take(RELAXED_MAX).map(String::as_str).collect();
    let shown = if names.is_empty() { Vec::new() } else { viewer.asker.topics(Some(&names), false).await? };
    let shown: Vec<&str> = shown
        .iter()
        .filter(|topic| topic.error_code == 0)
        .filter_map(|topic| topic.name.as_deref())
        .collect();
    let is_by_default = defaults.is_none_or(|config| config.is_durable());
    Ok(html! {
        article.card {
            h2 { "Durability" }
            p.big {
                @if relaxed.is_empty() && is_by_default {
                    "Acknowledged means on the disk"
                } @else if is_by_default {
                    "On the disk, but for " (things(relaxed.len() as u64, "topic", "topics"))
                } @else {
                    strong.warn { "Relaxed by default" }
                }
            }
            p {
                @if is_by_default {
                    "A record is on the disk before its producer is told so: it survives the power going out. "
                } @else {
                    "A topic that says nothing itself acknowledges first and syncs later: what was acknowledged last \
                     is lost with the power. "
                }
                (things(durable as u64, "topic is", "topics are")) " held to it"
                @if !relaxed.is_empty() {
                    ", " (whole(relaxed.len() as i64)) " relaxed by " code { "flush.messages" } ":"
                    @for name in &shown { " " a href=(of_topic(name, "")) { (name) } }
                    @if relaxed.len() > shown.len() { " and more" }
                }
                "."
            }
        }
    })
}

/// What was found damaged.
fn damage(recovery: &RecoveryReport, sample: Option<&Sample>) -> Markup {
    let sum = |of: fn(&strandline_engine::ShardReport) -> u64| -> u64 {
        sample.map_or(0, |sample| sample.shards.iter().map(of).sum())
    };
    let (places, fenced) = (sum(|shard| shard.stats.damages), sum(|shard| shard.fenced_partitions));
    let is_well = places + fenced + recovery.damaged_partitions + recovery.waiting_partitions == 0;
    let partitions = |count: u64| things(count, "partition", "partitions");
    html! {
        article.card {
            h2 { "Damage" }
            @if is_well {
                p.big { "None was found" }
                p { "Neither by recovery at the start, which brought back " (things(recovery.batches, "batch", "batches"))
                    " from the journals, nor by reads and scrubs since." }
            } @else {
                p.big { strong.warn { "Look at the log" } }
                ul {
                    @if recovery.damaged_partitions > 0 {
                        li { "Recovery found " (partitions(recovery.damaged_partitions)) " with acknowledged records missing or damaged." }
                    }
                    @if recovery.waiting_partitions > 0 {
                        li { "Records of " (partitions(recovery.waiting_partitions)) " wait in a journal for room on the disk." }
                    }
                    @if places > 0 {
                        li { (things(places, "damaged place was", "damaged places were")) " found since the start; the log names each." }
                    }
                    @if fenced > 0 {
                        li { (partitions(fenced)) " take no appends until the next start." }
                    }
                }
            }
        }
    }
}

/// How full the disk is, and when it will be.
fn disk(history: &History, sample: Option<&Sample>) -> Markup {
    let is_full = sample.is_some_and(|sample| sample.shards.iter().any(|shard| shard.disk_full));
    let disk = sample.and_then(|sample| sample.disk);
    html! {
        article.card {
            h2 { "Disk" }
            @if is_full { p { strong.warn { "Full: the last append that needed room was refused." } } }
            @match disk {
                None => p { "The size of the data directory's file system is not known yet." },
                Some(disk) => {
                    p.big { (bytes(disk.free)) " free of " (bytes(disk.bytes)) }
                    p {
                        @match history.forecast() {
                            Forecast::Unknown => "It takes 15 minutes to see whether it fills up.",
                            Forecast::Never => "It does not fill up at the pace of the last hours.",
                            Forecast::In(left) => {
                                @if left < Duration::from_secs(172_800) {
                                    strong.warn { "Full in about " (duration(left)) }
                                } @else {
                                    "Full in about " (duration(left))
                                }
                                ", if it goes on as in the last hours."
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A bound that syncs did not pass.
fn within(bound: Option<Duration>) -> String {
    bound.map_or_else(|| "more than 10 s".to_owned(), |bound| format!("within {}", duration(bound)))
}

fn syncs(history: &History) -> Markup {
    let spans = [("the last hour", HOUR), ("the last 24 hours", STEPS)];
    let rows = html! {
        @for (name, steps) in spans {
            @let (totals, seen) = history.last(steps);
            tr {
                th scope="row" { (name) }
                @for percent in [50, 99] {
                    td { @match totals.sync_time(percent) { Some(bound) => (within(bound)), None => "no sync" } }
                }
                td.number { (whole(totals.syncs.iter().sum::<u64>())) }
                td.number { @match totals.records_per_sync() { Some(records) => (number(records)), None => "-" } }
                td { (duration(seen)) }
            }
        }
    };
    let head = html! {
        th scope="col" { "Over" } th scope="col" { "Half of them" } th scope="col" { "99 of 100" }
        th.number scope="col" { "Syncs" } th.number scope="col" { "Records per sync" } th scope="col" { "Seen" }
    };
    let latest = |totals: &super::history::Totals, _: f64| {
        let bound = totals.sync_time(99)?.unwrap_or(Duration::from_secs(10));
        Some(bound.as_secs_f64() * 1e3)
    };
    html! {
        section {
            h2 { "Syncs that a producer waits for" }
            (table("Syncs", &head, &rows))
            div.charts {
                (chart("99 of 100 syncs, in milliseconds", &history.line(latest), number))
                (chart("Records per sync", &history.line(|totals, _| totals.records_per_sync()), number))
            }
        }
    }
}

fn traffic(history: &History) -> Markup {
    html! {
        section {
            h2 { "Traffic" }
            div.charts {
                (chart("Appended", &history.line(|totals, seconds| Some(totals.bytes as f64 / seconds)), bytes_per_second))
                (chart("Read", &history.line(|totals, seconds| Some(totals.read_bytes as f64 / seconds)), bytes_per_second))
            }
        }
    }
}

fn shards(sample: Option<&Sample>) -> Markup {
    let head = html! {
        th scope="col" { "Shard" } th.number scope="col" { "Open partitions" }
        th.number scope="col" { "Records appended" } th.number scope="col" { "Waiting batches" }
        th.number scope="col" { "Journal files" } th.number scope="col" { "Their size" }
        th.number scope="col" { "Read after a crash" } th.number scope="col" { "Syncs" }
    };
    let rows = html! {
        @for (index, shard) in sample.iter().flat_map(|sample| &sample.shards).enumerate() {
            tr {
                th scope="row" { (index) }
                td.number { (whole(shard.stats.open_partitions)) }
                td.number { (whole(shard.stats.records)) }
                td.number { (whole(shard.waiting_batches)) }
                td.number { (whole(shard.journal.files)) }
                td.number { (bytes(shard.journal.bytes)) }
                td.number { (bytes(shard.journal.used_bytes)) }
                td.number { (whole(shard.stats.journal_commits + shard.stats.direct_syncs)) }
            }
        }
    };
    html! {
        section {
            h2 { "Shards and journals" }
            p.quiet { "One thread a shard, and one journal a shard: a write of it makes records of all its partitions durable. Counted since the start." }
            (table("Shards", &head, &rows))
        }
    }
}

fn identity(viewer: &Viewer, took: Duration, sample: Option<Arc<Sample>>) -> Result<Markup, Problem> {
    use base64::Engine as _;
    let started = viewer.asker.shared.started()?;
    let meta = started.engine.meta();
    let cluster = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(meta.cluster_id);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(html! {
        section {
            h2 { "Broker" }
            dl {
                dt { "Node" } dd { (meta.node_id) }
                dt { "Cluster" } dd { code { (cluster) } }
                dt { "Reactor" } dd { (started.reactor.to_string()) }
                dt { "Recovery took" } dd { (duration(took)) }
                dt { "Topics" } dd { (whole(started.engine.topics().len() as i64)) }
                dt { "Counted" } dd {
                    @match sample {
                        Some(sample) => {
                            time datetime=(moment(sample.at)) { (duration(sample.taken.elapsed())) " ago" }
                        }
                        None => "not yet",
                    }
                    ", shown at " time { (moment(now.as_millis() as i64)) }
                }
            }
        }
    })
}
