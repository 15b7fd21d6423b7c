//! One topic: its partitions, and the groups that read it.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use strandline_engine::Isolation;
use strandline_protocol::messages::MetadataResponseTopic;

use super::chart::chart;
use super::edit;
use super::format::{bytes, bytes_per_second, link, number, of_topic, whole};
use super::frame::Section;
use super::groups::linked;
use super::guard::{Ask, Failed};
use super::page::{Part, page, table};
use super::viewer::Viewer;
use crate::fronts::http::ask::{InPath, Queried};
use crate::fronts::http::groups::listed;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::topics::Moment;

/// Partitions of a page.
const EACH: usize = 100;

/// Groups of a page.
const GROUPS_MAX: usize = 30;

/// What there is of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Partitions,
    Messages,
    Groups,
    Settings,
}

impl Tab {
    const ALL: [(Tab, &str, &str); 4] = [
        (Tab::Partitions, "Partitions", ""),
        (Tab::Messages, "Messages", "/messages"),
        (Tab::Groups, "Groups", "/groups"),
        (Tab::Settings, "Settings", "/settings"),
    ];
}

/// A page of a topic.
pub(super) fn tabbed(viewer: &Viewer, topic: &str, tab: Tab, body: &Markup) -> Response {
    let body = html! {
        nav.tabs aria-label="Topic" {
            ul {
                @for (one, name, rest) in Tab::ALL {
                    li {
                        a href=(of_topic(topic, rest)) aria-current=[(one == tab).then_some("page")] { (name) }
                    }
                }
            }
        }
        (body)
    };
    page(viewer, Section::Topics, topic, &body)
}

#[derive(Deserialize)]
pub(super) struct Asked {
    page: Option<usize>,
}

pub(super) async fn show(
    viewer: Viewer,
    Ask(InPath(name)): Ask<InPath<String>>,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let topic = viewer.asker.topic(&name, false).await?;
    let part = Part::of(topic.partitions.len(), EACH, asked.page);
    let rows = partitions(&viewer, &name, &topic, part).await?;
    let body = html! {
        (facts(&viewer, &name, &topic)?)
        h2 { "Partitions" }
        (rows)
        (part.links(&of_topic(&name, ""), &[]))
        (edit::delete_form(&viewer, &name))
    };
    Ok(tabbed(&viewer, &name, Tab::Partitions, &body))
}

/// What holds of the topic as a whole.
fn facts(viewer: &Viewer, name: &str, topic: &MetadataResponseTopic) -> Result<Markup, Problem> {
    let topics = viewer.asker.engine()?.topics();
    let is_durable = topics.by_name(name).is_none_or(|topic| topic.config.is_durable());
    let history = viewer.console.history();
    let (rate, points) = (history.rate(name), history.topic(name));
    let sum = history.now().and_then(|sample| sample.topics.get(name).copied()).unwrap_or_default();
    Ok(html! {
        dl {
            dt { "Durability" }
            dd {
                @if is_durable { "A record is on the disk before its producer is told so." }
                @else { strong.warn { "Relaxed" } ": acknowledged first and synced later, by " code { "flush.messages" } " and " code { "flush.ms" } "." }
            }
            dt { "Partitions" } dd { (whole(topic.partitions.len() as i64)) @if topic.is_internal { ", an internal topic" } }
            @if viewer.may_describe {
                dt { "Size" } dd { @if sum.unsized_partitions > 0 { "at least " } (bytes(sum.bytes)) }
            }
            dt { "Comes in" } dd { (bytes_per_second(rate.bytes_in)) ", " (number(rate.records_in)) " records/s" }
            dt { "Is read" } dd { (bytes_per_second(rate.bytes_out)) }
        }
        @if let Some(points) = points { (chart("Appended", &points, bytes_per_second)) }
    })
}

async fn partitions(
    viewer: &Viewer,
    name: &str,
    topic: &MetadataResponseTopic,
    part: Part,
) -> Result<Markup, Problem> {
    let mut indexes: Vec<i32> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
    indexes.sort_unstable();
    let indexes = &indexes[part.begin..part.end];
    let of: Vec<(&str, i32)> = indexes.iter().map(|index| (name, *index)).collect();
    let read = Isolation::ReadUncommitted;
    let starts = viewer.asker.offsets(&of, Moment::Earliest, read).await?;
    let ends = viewer.asker.offsets(&of, Moment::Latest, read).await?;
    let sizes = sizes(viewer, name, indexes).await?;
    let rows = html! {
        @for (at, index) in indexes.iter().enumerate() {
            @let start = starts.get(at).copied().flatten().unwrap_or(0);
            @let end = ends.get(at).copied().flatten().unwrap_or(0);
            @let partition = index.to_string();
            tr {
                th.number scope="row" { (index) }
                td.number { (whole(start)) }
                td.number { (whole(end)) }
                td.number { (whole(end - start)) }
                td.number { @match sizes.get(at).copied().flatten() { Some(size) => (bytes(size)), None => "-" } }
                td {
                    a href=(link(&of_topic(name, "/messages"), &[("partition", &partition)])) aria-label={ "Messages of partition " (partition) } {
                        "Messages"
                    }
                }
            }
        }
    };
    let head = html! {
        th.number scope="col" { "Partition" } th.number scope="col" { "First offset" }
        th.number scope="col" { "Next offset" } th.number scope="col" { "Offsets" }
        th.number scope="col" { "Size" } td {}
    };
    Ok(table("Partitions", &head, &rows))
}

/// The sizes of partitions, for those that may know them.
async fn sizes(viewer: &Viewer, name: &str, indexes: &[i32]) -> Result<Vec<Option<u64>>, Problem> {
    let engine = viewer.asker.engine()?;
    let topics = engine.topics();
    let topic = topics.by_name(name).filter(|_| viewer.may_describe);
    let ids: Vec<_> =
        topic.iter().flat_map(|topic| indexes.iter().filter_map(|index| topic.partition(*index))).collect();
    drop(topics);
    Ok(engine.sizes(&ids).await.into_iter().map(Result::ok).collect())
}

pub(super) async fn groups(
    viewer: Viewer,
    Ask(InPath(name)): Ask<InPath<String>>,
) -> Result<Response, Failed> {
    viewer.asker.topic(&name, false).await?;
    let seen = listed(&viewer.asker).await?;
    let sample = viewer.console.history().now();
    let lag_of = |id: &str| {
        let group = sample.as_ref()?.groups.iter().find(|group| group.group == id)?;
        group.lags.iter().find(|(topic, _)| *topic == name).map(|(_, lag)| *lag)
    };
    let mut readers: Vec<_> =
        seen.iter().filter_map(|group| Some((group, lag_of(&group.group_id)?))).collect();
    readers.sort_by_key(|(_, lag)| std::cmp::Reverse(*lag));
    let shown = readers.len().min(GROUPS_MAX);
    let head = html! {
        th scope="col" { "Group" } th scope="col" { "State" } th.number scope="col" { "Lag" }
    };
    let rows = html! {
        @for (group, lag) in &readers[..shown] {
            tr {
                th scope="row" { (linked(&group.group_id)) }
                td { (group.group_state) }
                td.number { (whole(*lag)) }
            }
        }
    };
    let body = html! {
        h2 { "Groups that have committed offsets of this topic" }
        @if readers.is_empty() { p { "None that you may see." } } @else { (table("Groups", &head, &rows)) }
        @if shown < readers.len() { p { "And " (whole((readers.len() - shown) as i64)) " with less lag." } }
    };
    Ok(tabbed(&viewer, &name, Tab::Groups, &body))
}
