//! What members of the classic protocol say and are told in the bytes that they pass on to each other there:
//! names of topics, where the broker has ids. A topic that is not there has none, and is passed over.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use strandline_engine::topics::TopicTable;
use strandline_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use strandline_protocol::wire::WireError;

use super::assignment::Assignment;

/// What a member says when it joins.
pub struct Embedded {
    /// What it wants to read.
    pub topics: BTreeSet<String>,
    /// What it reads already.
    pub owned: Assignment,
    /// Where it is.
    pub rack_id: Option<String>,
}

/// Reads what a member says.
///
/// # Errors
/// When it is no consumer's.
pub fn subscription(metadata: &[u8], topics: &TopicTable) -> Result<Embedded, WireError> {
    let said = ConsumerProtocolSubscription::decode(metadata)?;
    Ok(Embedded {
        topics: said.topics.into_iter().collect(),
        owned: by_id(said.owned_partitions, topics),
        rack_id: said.rack_id.filter(|rack| !rack.is_empty()),
    })
}

/// Reads what a leader has assigned; `None` when it says more than partitions, in a way that only its members
/// understand.
///
/// # Errors
/// When it is no consumer's.
pub fn assignment(bytes: &[u8], topics: &TopicTable) -> Result<Option<Assignment>, WireError> {
    let given = ConsumerProtocolAssignment::decode(bytes)?;
    let is_plain = given.user_data.is_none_or(|data| data.is_empty());
    Ok(is_plain.then(|| by_id(given.assigned_partitions, topics)))
}

/// What a member is assigned, for one that has said this.
pub fn assignment_for(metadata: &[u8], assignment: &Assignment, topics: &TopicTable) -> Bytes {
    let mut by_name = BTreeMap::new();
    for (id, partitions) in assignment.topics() {
        if let Some(topic) = topics.by_id(id) {
            by_name.insert(topic.name.clone(), partitions.iter().copied().collect());
        }
    }
    let assigned = by_name.into_iter().map(|(topic, partitions)| TopicPartition { topic, partitions });
    let given = ConsumerProtocolAssignment { assigned_partitions: assigned.collect(), user_data: None };
    given.encode_for(metadata).expect("names of topics are short")
}

fn by_id(named: Vec<TopicPartition>, topics: &TopicTable) -> Assignment {
    let known =
        named.into_iter().filter_map(|named| Some((topics.by_name(&named.topic)?.id, named.partitions)));
    known.flat_map(|(id, partitions)| partitions.into_iter().map(move |at| (id, at))).collect()
}
