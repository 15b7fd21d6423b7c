//! ListGroups.

use std::collections::HashSet;

use strandline_protocol::messages::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use strandline_protocol::wire::writer::PART_BYTES;

use crate::call::Call;
use crate::groups::Listed;
use crate::room::Seat;
use crate::security::acl::{Operation, Resource};

/// About what a group takes of the memory until the answer has left.
const GROUP_BYTES: usize = 256;

/// The groups in the states and of the types that are asked for, by name.
pub async fn handle(call: &Call, request: ListGroupsRequest, seat: &mut Seat) -> ListGroupsResponse {
    let broker = &call.broker;
    let count = broker.groups.count().await;
    if count * GROUP_BYTES > PART_BYTES {
        seat.reserve(count * GROUP_BYTES).await;
    }
    let filter = |names: Vec<String>| -> HashSet<String> {
        names.into_iter().map(|name| name.trim().to_ascii_lowercase()).collect()
    };
    let (states, types) = (filter(request.states_filter), filter(request.types_filter));
    let is_wanted = |filter: &HashSet<String>, text: &str| {
        filter.is_empty() || filter.contains(&text.to_ascii_lowercase())
    };
    let listed = match broker.groups.list().await {
        Ok(listed) => listed,
        Err(error) => return ListGroupsResponse { error_code: error.code(), ..Default::default() },
    };
    let shows_all = call.shows(Operation::Describe, Resource::CLUSTER);
    let wanted = |group: &Listed| {
        is_wanted(&states, group.state.name())
            && is_wanted(&types, group.kind)
            && (shows_all || call.shows(Operation::Describe, Resource::group(&group.group)))
    };
    let listed = listed.into_iter().filter(wanted);
    let mut groups: Vec<_> = listed
        .map(|group| ListedGroup {
            group_id: group.group,
            protocol_type: group.protocol_type,
            group_state: group.state.to_string(),
            group_type: group.kind.to_owned(),
        })
        .collect();
    groups.sort_by(|one, other| one.group_id.cmp(&other.group_id));
    ListGroupsResponse { groups, ..Default::default() }
}
