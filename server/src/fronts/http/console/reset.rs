//! Offsets of a group, set anew: what is wished, what comes of it, and the commit.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use strandline_engine::Isolation;
use strandline_protocol::messages::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

use super::format::whole;
use super::page::table;
use super::search::time;
use super::viewer::Viewer;
use crate::fronts::http::ask::Asker;
use crate::fronts::http::groups::{Lag, behind};
use crate::fronts::http::problem::Problem;
use crate::fronts::http::topics::{Moment, check};

/// The version of OffsetCommit that is asked: the last one that names topics.
const OFFSET_COMMIT: i16 = 9;

/// Lines of a plan that are shown, and topics to choose from.
const SHOWN_MAX: usize = 100;
const TOPICS_MAX: usize = 50;

/// Where a group is to go on.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Wish {
    /// The group.
    pub(super) id: String,
    /// A topic, or all that it has committed offsets of.
    #[serde(default)]
    pub(super) topic: String,
    /// `earliest`, `latest`, `offset`, `time` or `shift`.
    #[serde(default)]
    pub(super) to: String,
    /// The offset, the time, or by how many records.
    #[serde(default)]
    pub(super) value: String,
}

/// What a reset does to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// What is committed now, if anything is.
    pub(super) from: Option<i64>,
    pub(super) to: i64,
    /// The next offset of the log.
    pub(super) end: i64,
}

fn wrong(words: &str) -> Problem {
    Problem::invalid(9, words)
}

impl Wish {
    /// What it comes to.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn plan(&self, asker: &Asker) -> Result<Vec<Step>, Problem> {
        let mut committed: BTreeMap<(String, i32), Option<i64>> = BTreeMap::new();
        if !self.topic.is_empty() {
            let topic = asker.topic(&self.topic, false).await?;
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
            committed.extend(indexes.map(|index| ((self.topic.clone(), index), None)));
        }
        for lag in behind(asker, &self.id).await? {
            if self.topic.is_empty() || lag.topic == self.topic {
                committed.insert((lag.topic, lag.partition), Some(lag.committed));
            }
        }
        let of: Vec<(&str, i32)> = committed.keys().map(|(topic, index)| (topic.as_str(), *index)).collect();
        let read = Isolation::ReadUncommitted;
        let starts = asker.offsets(&of, Moment::Earliest, read).await?;
        let ends = asker.offsets(&of, Moment::Latest, read).await?;
        let number =
            || self.value.trim().parse::<i64>().map_err(|_| wrong("the value is a whole number here"));
        let froms: Vec<Option<i64>> = committed.values().copied().collect();
        let wanted: Vec<Option<i64>> = match self.to.as_str() {
            "earliest" => starts.clone(),
            "latest" => ends.clone(),
            "offset" => vec![Some(number()?); of.len()],
            "shift" => {
                let by = number()?;
                froms.iter().map(|from| from.map(|from| from.saturating_add(by))).collect()
            }
            "time" => asker.offsets(&of, Moment::Time(time(&self.value)?), read).await?,
            _ => return Err(wrong("to is earliest, latest, offset, time or shift")),
        };
        let step = |at: usize, (topic, partition): (&str, i32)| {
            let (start, end) = (starts[at].unwrap_or(0), ends[at].unwrap_or(0));
            // A shift moves what is there; a time behind the last record is the end.
            let wanted = match self.to.as_str() {
                "shift" => wanted[at]?,
                _ => wanted[at].unwrap_or(end),
            };
            let to = wanted.clamp(start, end.max(start));
            Some(Step { topic: topic.to_owned(), partition, from: froms[at], to, end })
        };
        Ok(of.iter().enumerate().filter_map(|(at, of)| step(at, *of)).collect())
    }
}

/// Commits offsets for a group that nobody is in.
///
/// # Errors
/// [`Problem`].
pub(super) async fn commit(asker: &Asker, id: &str, steps: &[Step]) -> Result<(), Problem> {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for step in steps {
        let partition = OffsetCommitRequestPartition {
            partition_index: step.partition,
            committed_offset: step.to,
            ..Default::default()
        };
        match topics.last_mut().filter(|last| last.name == step.topic) {
            Some(last) => last.partitions.push(partition),
            None => topics
                .push(OffsetCommitRequestTopic { name: step.topic.clone(), partitions: vec![partition] }),
        }
    }
    let request = OffsetCommitRequest { group_id: id.to_owned(), topics, ..Default::default() };
    let answer = asker.ask(OFFSET_COMMIT, &request).await?;
    for topic in answer.topics {
        for partition in topic.partitions {
            let of = format!("group {id}, topic {}, partition {}", topic.name, partition.partition_index);
            check(partition.error_code, &of)?;
        }
    }
    Ok(())
}

/// What asks for a plan: that is read, and so has no token.
pub(super) fn form(viewer: &Viewer, id: &str, state: &str, lags: &[Lag]) -> Markup {
    let mut topics: Vec<&str> = lags.iter().map(|lag| lag.topic.as_str()).collect();
    topics.dedup();
    html! {
        fieldset {
            legend { "Reset the offsets" }
            p.quiet {
                "First it is shown what it would do. "
                @if !viewer.may_change() { "To do it, log in. " }
                @if state != "Empty" { "The group has members: they have to leave before." }
            }
            form.fields method="get" action="/console/group/reset" {
                input type="hidden" name="id" value=(id);
                div {
                    label for="topic" { "Topic" }
                    select #topic name="topic" {
                        option value="" { "all that it has committed" }
                        @for topic in topics.iter().take(TOPICS_MAX) { option value=(topic) { (topic) } }
                    }
                }
                div {
                    label for="to" { "To" }
                    select #to name="to" {
                        option value="earliest" { "the first offset" }
                        option value="latest" { "the next offset" }
                        option value="offset" { "an offset" }
                        option value="time" { "a time (UTC)" }
                        option value="shift" { "so many records on, or back" }
                    }
                }
                div {
                    label for="reset-value" { "Offset, time or number" }
                    input #reset-value name="value" size="22";
                }
                div { button { "Show what it would do" } }
            }
        }
    }
}

/// A plan, line by line.
pub(super) fn table_of(steps: &[Step]) -> Markup {
    let head = html! {
        th scope="col" { "Topic" } th.number scope="col" { "Partition" } th.number scope="col" { "Committed" }
        th.number scope="col" { "New" } th.number scope="col" { "New lag" }
    };
    let rows = html! {
        @for step in steps.iter().take(SHOWN_MAX) {
            tr {
                th scope="row" { (step.topic) }
                td.number { (step.partition) }
                td.number { @match step.from { Some(from) => (whole(from)), None => "nothing" } }
                td.number { @if step.from == Some(step.to) { "the same" } @else { strong { (whole(step.to)) } } }
                td.number { (whole(step.end - step.to)) }
            }
        }
    };
    html! {
        (table("What a reset would do", &head, &rows))
        @if steps.len() > SHOWN_MAX { p { "And " (whole((steps.len() - SHOWN_MAX) as i64)) " more." } }
    }
}

/// What does it.
pub(super) fn confirm(viewer: &Viewer, wish: &Wish) -> Markup {
    html! {
        @if viewer.may_change() {
            form method="post" action="/console/group/reset" {
                (viewer.token())
                input type="hidden" name="id" value=(wish.id);
                input type="hidden" name="topic" value=(wish.topic);
                input type="hidden" name="to" value=(wish.to);
                input type="hidden" name="value" value=(wish.value);
                button.danger { "Commit these offsets" }
            }
            p.quiet { "The log may move on meanwhile: offsets are found anew by the same rule." }
        } @else {
            p { "To do it, log in as a user that may read with this group." }
        }
    }
}
