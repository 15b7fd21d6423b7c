//! The topics: size, what comes in, who reads them and how far behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::chart::spark;
use super::format::{bytes, bytes_per_second, cut, link, of_topic, things, whole};
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::history::Rate;
use super::page::{Part, page, table};
use super::sample::{Sample, TopicSum};
use super::viewer::Viewer;
use crate::fronts::http::ask::Queried;
use crate::fronts::http::groups::listed;
use crate::fronts::http::problem::Problem;

/// Topics of a page: with all that is said of each, it stays below 60 kB.
const EACH: usize = 40;

/// Longest name of a topic.
const NAME_CHARS_MAX: usize = 249;

/// Characters that are shown of one.
const NAME_CHARS: usize = 100;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
    page: Option<usize>,
}

/// What topics are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    Partitions,
    Size,
    Rate,
    Lag,
}

impl Sort {
    const ALL: [(Sort, &str, &str); 5] = [
        (Sort::Name, "name", "Topic"),
        (Sort::Partitions, "partitions", "Partitions"),
        (Sort::Size, "size", "Size"),
        (Sort::Rate, "rate", "Comes in"),
        (Sort::Lag, "lag", "Groups and lag"),
    ];

    fn of_word(word: &str) -> Sort {
        Sort::ALL.iter().find(|(_, known, _)| *known == word).map_or(Sort::Name, |(sort, ..)| *sort)
    }

    fn word(self) -> &'static str {
        Sort::ALL.iter().find(|(sort, ..)| *sort == self).map_or("", |(_, word, _)| word)
    }
}

/// Who reads a topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readers {
    /// Groups that have committed offsets of it.
    pub(super) groups: u64,
    /// How far they are behind, together.
    pub(super) lag: i64,
}

/// A line of the list.
struct Row {
    name: String,
    is_internal: bool,
    /// Whether it acknowledges before records are on the disk.
    is_relaxed: bool,
    partitions: usize,
    sum: TopicSum,
    rate: Rate,
    readers: Readers,
}

/// Who reads each topic, as far as the client may see the groups.
pub(super) async fn readers(
    viewer: &Viewer,
    sample: Option<&Sample>,
) -> Result<BTreeMap<String, Readers>, Problem> {
    let mut readers = BTreeMap::<String, Readers>::new();
    let Some(sample) = sample.filter(|sample| !sample.groups.is_empty()) else { return Ok(readers) };
    let seen: BTreeSet<String> =
        listed(&viewer.asker).await?.into_iter().map(|group| group.group_id).collect();
    for group in sample.groups.iter().filter(|group| seen.contains(&group.group)) {
        for (topic, lag) in &group.lags {
            let entry = readers.entry(topic.clone()).or_default();
            entry.groups += 1;
            entry.lag = entry.lag.saturating_add(*lag);
        }
    }
    Ok(readers)
}

async fn rows(viewer: &Viewer, sample: Option<&Sample>, named: &str) -> Result<Vec<Row>, Problem> {
    let mut found = viewer.asker.topics(None, false).await?;
    let named = named.to_lowercase();
    found.retain(|topic| topic.name.as_deref().is_some_and(|name| name.to_lowercase().contains(&named)));
    let readers = readers(viewer, sample).await?;
    let known = viewer.asker.engine()?.topics();
    let history = viewer.console.history();
    let row = |topic: strandline_protocol::messages::MetadataResponseTopic| {
        let name = topic.name.unwrap_or_default();
        // Sizes are for those that may describe the cluster, as with DescribeLogDirs.
        let sample = sample.filter(|_| viewer.may_describe);
        Row {
            sum: sample.and_then(|sample| sample.topics.get(&name)).copied().unwrap_or_default(),
            rate: history.rate(&name),
            readers: readers.get(&name).copied().unwrap_or_default(),
            is_internal: topic.is_internal,
            is_relaxed: known.by_name(&name).is_some_and(|topic| !topic.config.is_durable()),
            partitions: topic.partitions.len(),
            name,
        }
    };
    Ok(found.into_iter().map(row).collect())
}

fn sorted(rows: &mut [Row], sort: Sort) {
    rows.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    match sort {
        Sort::Name => {}
        Sort::Partitions => rows.sort_by_key(|row| std::cmp::Reverse(row.partitions)),
        Sort::Size => rows.sort_by_key(|row| std::cmp::Reverse(row.sum.bytes)),
        Sort::Rate => rows.sort_by(|one, other| other.rate.bytes_in.total_cmp(&one.rate.bytes_in)),
        Sort::Lag => rows.sort_by_key(|row| std::cmp::Reverse(row.readers.lag)),
    }
}

pub(super) async fn show(
    viewer: Viewer,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let sort = Sort::of_word(&asked.sort);
    let asked = Asked { q: cut(&asked.q, NAME_CHARS_MAX).0.to_owned(), ..asked };
    let sample = viewer.console.history().now();
    let mut found = rows(&viewer, sample.as_deref(), &asked.q).await?;
    sorted(&mut found, sort);
    let part = Part::of(found.len(), EACH, asked.page);
    let body = html! {
        (search(&asked, sort))
        @if viewer.may_change() { p { a href="/console/new-topic" { "New topic" } } }
        @if found.is_empty() {
            p { @if asked.q.is_empty() { "There is no topic that you may see." } @else { "No topic has this in its name." } }
        } @else {
            (list(&viewer, &found[part.begin..part.end], &asked, sort))
            (part.links("/console/topics", &[("q", &asked.q), ("sort", sort.word())]))
        }
        (counted(sample))
    };
    Ok(page(&viewer, Section::Topics, "Topics", &body))
}

/// How old the numbers are.
fn counted(sample: Option<Arc<Sample>>) -> Markup {
    html! {
        p.quiet {
            @match sample {
                Some(sample) => {
                    "Sizes, rates and lags were counted " (sample.taken.elapsed().as_secs())
                    " s ago; lags are of partitions that were used since the start."
                }
                None => "Sizes, rates and lags are not counted yet.",
            }
        }
    }
}

fn search(asked: &Asked, sort: Sort) -> Markup {
    html! {
        form.search method="get" action="/console/topics" role="search" {
            label for="q" { "Part of the name" }
            input #q name="q" type="search" value=(asked.q) maxlength="249";
            input name="sort" type="hidden" value=(sort.word());
            button { "Find" }
        }
    }
}

fn list(viewer: &Viewer, rows: &[Row], asked: &Asked, sort: Sort) -> Markup {
    let head = html! {
        @for (by, word, name) in Sort::ALL {
            th.number[!matches!(by, Sort::Name)] scope="col" aria-sort=[(by == sort).then_some(if by == Sort::Name { "ascending" } else { "descending" })] {
                a href=(link("/console/topics", &[("q", &asked.q), ("sort", word)])) { (name) }
            }
            @if by == Sort::Rate { th scope="col" { "Last 24 hours" } }
        }
    };
    let lines = html! { @for row in rows { (line(viewer, row)) } };
    table("Topics", &head, &lines)
}

fn line(viewer: &Viewer, row: &Row) -> Markup {
    let points = viewer.console.history().topic(&row.name);
    let (shown, is_cut) = cut(&row.name, NAME_CHARS);
    html! {
        tr {
            th scope="row" {
                a href=(of_topic(&row.name, "")) { (shown) @if is_cut { "..." } }
                @if row.is_internal { " " span.tag { "internal" } }
                @if row.is_relaxed { " " span.tag { "relaxed" } }
            }
            td.number { (whole(row.partitions as i64)) }
            td.number {
                @if row.sum.unsized_partitions > 0 { "at least " }
                @if viewer.may_describe { (bytes(row.sum.bytes)) } @else { "-" }
            }
            td.number { (bytes_per_second(row.rate.bytes_in)) }
            td { @if let Some(points) = points { (spark(&points, "bytes a second over the last 24 hours")) } }
            td.number {
                @if row.readers.groups > 0 {
                    a href=(of_topic(&row.name, "/groups")) {
                        (things(row.readers.groups, "group", "groups")) ", lag " (whole(row.readers.lag))
                    }
                } @else { "none" }
            }
        }
    }
}
