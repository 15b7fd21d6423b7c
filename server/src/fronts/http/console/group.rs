//! One group: its members and what they have, how far it is behind, and what a reset of its offsets would do.

use std::collections::BTreeSet;

use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use strandline_protocol::messages::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup, ListedGroup,
    ShareGroupDescribeRequest,
};
use strandline_protocol::wire::ErrorCode;

use super::change::Change;
use super::chart::chart;
use super::format::{cut, of_topic, things, whole};
use super::frame::Section;
use super::groups::of_group;
use super::guard::{Ask, Failed};
use super::page::{Part, page, table};
use super::reset::{self, Wish};
use super::viewer::Viewer;
use crate::fronts::http::ask::Queried;
use crate::fronts::http::groups::{Found, Lag, Member, behind, find, listed};
use crate::fronts::http::problem::Problem;
use crate::fronts::http::topics::check;

/// The versions that are asked.
const SHARE_GROUP_DESCRIBE: i16 = 1;
const DESCRIBE_SHARE_GROUP_OFFSETS: i16 = 1;

/// Partitions, and members, of a page.
const EACH: usize = 50;
const MEMBERS_MAX: usize = 50;

/// Partitions that are named of what a member has, and characters of its names.
const HAS_MAX: usize = 12;
const NAME_CHARS: usize = 80;

#[derive(Deserialize)]
pub(super) struct Asked {
    id: String,
    page: Option<usize>,
    #[serde(default)]
    done: String,
}

/// A group that the client may see.
async fn seen(viewer: &Viewer, id: &str) -> Result<ListedGroup, Problem> {
    let all = listed(&viewer.asker).await?;
    let found = all.into_iter().find(|group| group.group_id == id);
    found.ok_or_else(|| Problem::of_kafka(ErrorCode::GroupIdNotFound, &format!("group {id}")))
}

pub(super) async fn show(
    viewer: Viewer,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let group = seen(&viewer, &asked.id).await?;
    let kind = group.group_type.to_lowercase();
    let (found, lags) = match kind.as_str() {
        "share" => share(&viewer, &asked.id).await?,
        // What its members do is told in another way, which the command line has.
        "streams" => (Found::default(), behind(&viewer.asker, &asked.id).await?),
        _ => (find(&viewer.asker, &asked.id).await?, behind(&viewer.asker, &asked.id).await?),
    };
    let points = viewer.console.history().group(&asked.id);
    let total: i64 = lags.iter().map(Lag::behind).sum();
    let can_reset = matches!(kind.as_str(), "classic" | "consumer");
    let body = html! {
        @if asked.done == "reset" { p.note role="status" { "The offsets are committed." } }
        dl {
            dt { "Kind" } dd { (kind) }
            dt { "State" } dd { (group.group_state) }
            @if !found.assignor.is_empty() { dt { "Assignor" } dd { (cut(&found.assignor, NAME_CHARS).0) } }
            dt { "Lag" } dd { (things(total.max(0) as u64, "record", "records")) }
        }
        @if let Some(points) = points { (chart("Lag", &points, |lag| whole(lag as i64))) }
        h2 { "Members" }
        @if kind == "streams" { p { code { "strandline group describe" } " shows the members of a streams group." } }
        @else { (members(&found.members)) }
        h2 { "Offsets" }
        (offsets(&asked, &found, &lags))
        @if can_reset { (reset::form(&viewer, &asked.id, &group.group_state, &lags)) }
    };
    let title = format!("Group {}", cut(&asked.id, NAME_CHARS).0);
    Ok(page(&viewer, Section::Groups, &title, &body))
}

/// A share group, in the words of the others.
async fn share(viewer: &Viewer, id: &str) -> Result<(Found, Vec<Lag>), Problem> {
    let of = format!("group {id}");
    let request = ShareGroupDescribeRequest { group_ids: vec![id.to_owned()], ..Default::default() };
    let group = viewer.asker.ask(SHARE_GROUP_DESCRIBE, &request).await?.groups.into_iter().next();
    let group = group.unwrap_or_default();
    check(group.error_code, &of)?;
    let members = group.members.into_iter().map(|member| {
        let topics = member.assignment.topic_partitions.into_iter();
        let has = topics.flat_map(|topic| {
            let name = topic.topic_name;
            topic.partitions.into_iter().map(move |index| (name.clone(), index))
        });
        Member {
            id: member.member_id,
            instance: None,
            client: member.client_id,
            host: member.client_host,
            has: has.collect(),
        }
    });
    let found = Found {
        id: group.group_id,
        state: group.group_state,
        kind: "share".to_owned(),
        assignor: group.assignor_name,
        members: members.collect(),
    };
    let group = DescribeShareGroupOffsetsRequestGroup { group_id: id.to_owned(), topics: None };
    let request = DescribeShareGroupOffsetsRequest { groups: vec![group] };
    let answer = viewer.asker.ask(DESCRIBE_SHARE_GROUP_OFFSETS, &request).await?;
    let mut lags = Vec::new();
    for group in answer.groups {
        check(group.error_code, &of)?;
        for topic in group.topics {
            let of_topic =
                topic.partitions.into_iter().filter(|it| it.error_code == 0 && it.start_offset >= 0);
            lags.extend(of_topic.map(|it| Lag {
                topic: topic.topic_name.clone(),
                partition: it.partition_index,
                committed: it.start_offset,
                end: it.start_offset + it.lag.max(0),
            }));
        }
    }
    Ok((found, lags))
}

fn members(members: &[Member]) -> Markup {
    let has = |member: &Member| -> String {
        let names = member.has.iter().take(HAS_MAX).map(|(topic, index)| format!("{topic}-{index}"));
        let names: Vec<String> = names.collect();
        let more = member.has.len().saturating_sub(HAS_MAX);
        if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
    };
    let head = html! {
        th scope="col" { "Client" } th scope="col" { "Host" } th scope="col" { "Member" } th scope="col" { "Has" }
    };
    let rows = html! {
        @for member in members.iter().take(MEMBERS_MAX) {
            tr {
                th scope="row" { (cut(&member.client, NAME_CHARS).0) }
                td { (cut(&member.host, NAME_CHARS).0) }
                td.data { (cut(member.instance.as_ref().unwrap_or(&member.id), NAME_CHARS).0) }
                td.data { @if member.has.is_empty() { "nothing" } @else { (has(member)) } }
            }
        }
    };
    html! {
        @if members.is_empty() { p { "Nobody is in it." } } @else { (table("Members", &head, &rows)) }
        @if members.len() > MEMBERS_MAX { p { "And " (whole((members.len() - MEMBERS_MAX) as i64)) " more." } }
    }
}

fn offsets(asked: &Asked, found: &Found, lags: &[Lag]) -> Markup {
    let part = Part::of(lags.len(), EACH, asked.page);
    let head = html! {
        th scope="col" { "Topic" } th.number scope="col" { "Partition" } th.number scope="col" { "Committed" }
        th.number scope="col" { "Next offset" } th.number scope="col" { "Lag" } th scope="col" { "Member" }
    };
    let rows = html! {
        @for lag in &lags[part.begin..part.end] {
            tr {
                th scope="row" { a href=(of_topic(&lag.topic, "")) { (lag.topic) } }
                td.number { (lag.partition) }
                td.number { (whole(lag.committed)) }
                td.number { (whole(lag.end)) }
                td.number { (whole(lag.behind())) }
                td { @if let Some(owner) = found.owner(&lag.topic, lag.partition) { (cut(&owner.client, NAME_CHARS).0) } }
            }
        }
    };
    html! {
        @if lags.is_empty() { p { "It has committed nothing." } } @else { (table("Offsets", &head, &rows)) }
        (part.links("/console/group", &[("id", &asked.id)]))
    }
}

/// What a reset would do; nothing is changed.
pub(super) async fn plan(viewer: Viewer, Ask(Queried(wish)): Ask<Queried<Wish>>) -> Result<Response, Failed> {
    let group = seen(&viewer, &wish.id).await?;
    let steps = wish.plan(&viewer.asker).await?;
    let topics: BTreeSet<&str> = steps.iter().map(|step| step.topic.as_str()).collect();
    let body = html! {
        p role="status" {
            "This is what a reset would do to " (things(steps.len() as u64, "partition", "partitions")) " of "
            (things(topics.len() as u64, "topic", "topics")) ". Nothing is changed yet."
        }
        @if group.group_state != "Empty" {
            p.note.bad { "The group has members: the broker takes a reset when they have left." }
        }
        @if steps.is_empty() { p { "There is nothing to be reset." } } @else { (reset::table_of(&steps)) }
        @if !steps.is_empty() { (reset::confirm(&viewer, &wish)) }
        p { a href=(of_group(&wish.id)) { "Back to the group" } }
    };
    let title = format!("Reset of group {}", cut(&wish.id, NAME_CHARS).0);
    Ok(page(&viewer, Section::Groups, &title, &body))
}

/// Commits what the plan says.
pub(super) async fn apply(change: Change) -> Result<Response, Failed> {
    let wish = Wish {
        id: change.field("id").to_owned(),
        topic: change.field("topic").to_owned(),
        to: change.field("to").to_owned(),
        value: change.field("value").to_owned(),
    };
    let what = format!("reset group {} ({}) to {} {}", wish.id, wish.topic, wish.to, wish.value);
    let done = async {
        seen(&change.viewer, &wish.id).await?;
        let steps = wish.plan(&change.viewer.asker).await?;
        reset::commit(&change.viewer.asker, &wish.id, &steps).await
    };
    change.noted(what, done.await)?;
    let to = super::format::link("/console/group", &[("id", &wish.id), ("done", "reset")]);
    Ok(Redirect::to(&to).into_response())
}
