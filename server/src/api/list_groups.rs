//! ListGroups.

use crate::dispatch::Broker;
use crate::groups::Listed;
use crate::messages::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

/// The only type of group that there is.
const CLASSIC: &str = "classic";

/// The groups in the states and of the types that are asked for, by name.
pub async fn handle(broker: &Broker, _: i16, request: ListGroupsRequest) -> ListGroupsResponse {
    let is_wanted = |filter: &[String], text: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(text))
    };
    let listed = match broker.groups.list().await {
        Ok(listed) => listed,
        Err(error) => return ListGroupsResponse { error_code: error.code(), ..Default::default() },
    };
    let wanted = |group: &Listed| {
        is_wanted(&request.states_filter, group.state.name()) && is_wanted(&request.types_filter, CLASSIC)
    };
    let listed = listed.into_iter().filter(wanted);
    let mut groups: Vec<_> = listed
        .map(|group| ListedGroup {
            group_id: group.group,
            protocol_type: group.protocol_type,
            group_state: group.state.to_string(),
            group_type: CLASSIC.to_owned(),
        })
        .collect();
    groups.sort_by(|one, other| one.group_id.cmp(&other.group_id));
    ListGroupsResponse { groups, ..Default::default() }
}
