//! Transactions: which are open, since when, and in which partitions.

use std::collections::HashMap;

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use strandline_protocol::messages::{
    DescribeTransactionsRequest, DescribedTransaction, ListTransactionsRequest, ListedTransaction,
};

use super::format::{cut, moment, whole};
use super::frame::Section;
use super::guard::{Ask, Failed};
use super::page::{Part, page, table};
use super::viewer::Viewer;
use crate::fronts::http::ask::Queried;
use crate::fronts::http::topics::check;

/// The versions that are asked.
const LIST_TRANSACTIONS: i16 = 1;
const DESCRIBE_TRANSACTIONS: i16 = 0;

/// Transactional ids of a page, characters of each, and partitions that are named.
const EACH: usize = 40;
const ID_CHARS: usize = 80;
const PARTITIONS_MAX: usize = 8;

/// Kafka's words for where one is in its life.
const STATES: [&str; 7] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "PrepareEpochFence",
];

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    state: String,
    page: Option<usize>,
}

pub(super) async fn show(
    viewer: Viewer,
    Ask(Queried(asked)): Ask<Queried<Asked>>,
) -> Result<Response, Failed> {
    let state = STATES.into_iter().find(|state| *state == asked.state);
    let state_filters = state.into_iter().map(str::to_owned).collect();
    let request = ListTransactionsRequest { state_filters, ..Default::default() };
    let answer = viewer.asker.ask(LIST_TRANSACTIONS, &request).await?;
    check(answer.error_code, "transactions")?;
    let mut found = answer.transaction_states;
    found.sort_unstable_by(|one, other| one.transactional_id.cmp(&other.transactional_id));
    let part = Part::of(found.len(), EACH, asked.page);
    let shown = &found[part.begin..part.end];
    let transactional_ids = shown.iter().map(|it| it.transactional_id.clone()).collect();
    let described = match shown.is_empty() {
        true => Vec::new(),
        false => {
            let request = DescribeTransactionsRequest { transactional_ids };
            viewer.asker.ask(DESCRIBE_TRANSACTIONS, &request).await?.transaction_states
        }
    };
    let described: HashMap<&str, &DescribedTransaction> =
        described.iter().map(|it| (it.transactional_id.as_str(), it)).collect();
    let body = html! {
        form.search method="get" action="/console/transactions" {
            label for="state" { "State" }
            select #state name="state" {
                option value="" { "any" }
                @for one in STATES { option value=(one) selected[state == Some(one)] { (one) } }
            }
            button { "Find" }
        }
        @if found.is_empty() { p { "There is no such transactional id that you may see." } }
        @else { (list(shown, &described)) }
        (part.links("/console/transactions", &[("state", &asked.state)]))
        p.quiet { "One that stays Ongoing holds up consumers of committed records. " code { "strandline transaction" } " shows and ends one that hangs." }
    };
    Ok(page(&viewer, Section::Transactions, "Transactions", &body))
}

fn list(shown: &[ListedTransaction], described: &HashMap<&str, &DescribedTransaction>) -> Markup {
    let partitions = |it: &DescribedTransaction| -> String {
        let all = it
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(move |index| (&topic.topic, index)));
        let count = all.clone().count();
        let names: Vec<String> = all
            .take(PARTITIONS_MAX)
            .map(|(topic, index)| format!("{}-{index}", cut(topic, ID_CHARS).0))
            .collect();
        let more = if count > PARTITIONS_MAX {
            format!(" and {} more", count - PARTITIONS_MAX)
        } else {
            String::new()
        };
        format!("{}{more}", names.join(", "))
    };
    let head = html! {
        th scope="col" { "Transactional id" } th scope="col" { "State" } th.number scope="col" { "Producer id" }
        th scope="col" { "Began" } th.number scope="col" { "Timeout" } th scope="col" { "Partitions" }
    };
    let rows = html! {
        @for listed in shown {
            @let it = described.get(listed.transactional_id.as_str());
            tr {
                th scope="row" { (cut(&listed.transactional_id, ID_CHARS).0) }
                td { (listed.transaction_state) }
                td.number { (listed.producer_id) }
                td.time { @if let Some(it) = it.filter(|it| it.transaction_start_time_ms >= 0) { (moment(it.transaction_start_time_ms)) } }
                td.number { @if let Some(it) = it { (whole(it.transaction_timeout_ms)) " ms" } }
                td.data { @if let Some(it) = it { (partitions(it)) } }
            }
        }
    };
    table("Transactions", &head, &rows)
}
