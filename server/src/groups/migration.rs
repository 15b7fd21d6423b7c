//! Online migration (KIP-848): how a group that has members comes from the classic protocol to that of
//! KIP-848, and back.
//!
//! ```text
//!            a member of KIP-848 joins                   the last member of KIP-848 is gone
//!   classic ----------------------------> consumer, mixed ----------------------------------> classic
//!                                          classic members join and leave as well             rebalance
//! ```
//!
//! * Nobody loses what it has: a member of the classic protocol has in the consumer group what it was
//!   assigned, and what it said when it joined last that it owned; on the way back it has what it had. So no
//!   partition is with two members (see [`upgraded`]).
//! * The epoch of the one is the generation of the other, so that members go on with the number that they
//!   have.
//! * The group itself changes at another place, when its new records are durable.
//!
//! What members of the classic protocol ask of a consumer group is in `consumer/group/classic`.

use std::collections::HashSet;
use std::sync::Arc;

use strandline_engine::topics::TopicTable;
use strandline_engine::types::TopicId;
use strandline_protocol::wire::{ErrorCode, WireError};

use super::consumer::embedded::{self, Embedded};
use super::consumer::member::{About, Held};
use super::consumer::{Assignment, ConsumerGroup, ConsumerSettings, Moved};
use super::group::{ClassicGroup, GroupSettings};
use super::member::{Member, Terms};
use super::subscription::CONSUMER;
use crate::refusal::Refusal;

/// Which way a group may change its protocol while members are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// None, and no group has members of both.
    Disabled,
    /// From the classic one.
    Upgrade,
    /// Back to the classic one.
    Downgrade,
    /// Both.
    Bidirectional,
}

impl MigrationPolicy {
    /// By the name that the setting has for it, in any case.
    pub fn by_name(name: &str) -> Option<MigrationPolicy> {
        let all = [
            ("disabled", MigrationPolicy::Disabled),
            ("upgrade", MigrationPolicy::Upgrade),
            ("downgrade", MigrationPolicy::Downgrade),
            ("bidirectional", MigrationPolicy::Bidirectional),
        ];
        all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, policy)| policy)
    }

    /// Whether a classic group may become a consumer group.
    pub fn allows_upgrade(self) -> bool {
        matches!(self, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional)
    }

    /// Whether a consumer group may become a classic group.
    pub fn allows_downgrade(self) -> bool {
        matches!(self, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
    }
}

/// The consumer group that a classic group with members becomes, before the member is in it for which it
/// does.
///
/// In a classic group a member gives partitions up after it has been assigned fewer, and says so with its
/// next join. What it said with its last one it may read still: it has that as well, until it joins again.
///
/// # Errors
/// Why it cannot become one.
pub(super) fn upgraded(
    classic: &ClassicGroup,
    group: &str,
    policy: MigrationPolicy,
    settings: ConsumerSettings,
    now: i64,
    topics: &TopicTable,
) -> Result<ConsumerGroup, Refusal> {
    if !policy.allows_upgrade() {
        return Err(not_upgraded(group, "online upgrade is disabled."));
    } else if classic.protocol_type() != Some(CONSUMER) {
        return Err(not_upgraded(group, "the group does not use the consumer embedded protocol."));
    } else if classic.size() > settings.size_max {
        return Err(not_upgraded(group, "the group size exceeds the consumer group maximum size."));
    }
    let mut found = Vec::with_capacity(classic.size());
    for (id, member) in classic.members() {
        let said = member.metadata_or_first(classic.protocol());
        let read = || -> Result<(Embedded, Option<Assignment>), WireError> {
            Ok((embedded::subscription(&said, topics)?, embedded::assignment(&member.assignment, topics)?))
        };
        let Ok((subscription, assigned)) = read() else {
            return Err(not_upgraded(group, "the embedded consumer protocol is malformed."));
        };
        let Some(assigned) = assigned else {
            let why = "an unsupported custom assignor is in use. Please refer to the documentation or switch \
                       to a default assignor before re-attempting the upgrade.";
            return Err(not_upgraded(group, why));
        };
        found.push((id, member, subscription, assigned));
    }
    // What a member is assigned goes before what another says that it owns.
    let mut taken = HashSet::new();
    let mut take = |partitions: &Assignment| -> Vec<(TopicId, i32)> {
        partitions.iter().filter(|partition| taken.insert(*partition)).collect()
    };
    let mut held: Vec<_> = found.iter().map(|(.., assigned)| take(assigned)).collect();
    for ((.., subscription, _), held) in found.iter().zip(&mut held) {
        held.extend(take(&subscription.owned));
    }
    // A member of generation 0 has not been told any.
    let epoch = classic.generation().max(1);
    let members = found.into_iter().zip(held).map(|((id, member, subscription, _), held)| Moved {
        id: id.clone(),
        about: about(member, subscription),
        held: Held::in_epoch(epoch, held.into_iter().collect()),
    });
    Ok(ConsumerGroup::adopt(group, settings, now, epoch, members))
}

fn not_upgraded(group: &str, why: &str) -> Refusal {
    let message = format!("Cannot upgrade classic group {group} to consumer group because {why}");
    tracing::info!(group, "{message}");
    Refusal::new(ErrorCode::GroupIdNotFound, message)
}

fn about(member: &Member, subscription: Embedded) -> About {
    About {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topics: Arc::new(subscription.topics),
        regex: None,
        rebalance_timeout_ms: member.terms.rebalance_timeout_ms,
        assignor: None,
        classic: Some(member.terms.to_value()),
    }
}

/// The classic group that a consumer group becomes whose members all speak the classic protocol; `None` when
/// they do not, or are too many. It is about to rebalance.
pub(super) fn downgraded(
    consumer: &ConsumerGroup,
    settings: GroupSettings,
    now: i64,
    topics: &TopicTable,
) -> Option<ClassicGroup> {
    let members = consumer.members().map(|(id, about, held)| {
        let terms = Terms::from_value(about.classic.as_ref()?, about.rebalance_timeout_ms);
        let mut member = Member {
            instance_id: about.instance_id.clone(),
            client_id: about.client_id.clone(),
            client_host: about.client_host.clone(),
            terms,
            assignment: Default::default(),
            joining: None,
            syncing: None,
            is_new: false,
            expires_at: i64::MAX,
        };
        let metadata = member.metadata_or_first(None);
        member.assignment = embedded::assignment_for(&metadata, &held.all().collect(), topics);
        Some((id.clone(), member, held.epoch))
    });
    let members: Vec<_> = members.collect::<Option<_>>()?;
    if members.len() > settings.size_max {
        tracing::info!(members = members.len(), "a consumer group is too large for a classic one");
        return None;
    }
    // Those that have come to the newest epoch go on with it; others have to begin anew.
    let generation = members.iter().map(|(.., epoch)| *epoch).max().unwrap_or(0);
    let members = members.into_iter().map(|(id, member, _)| (id, member));
    ClassicGroup::adopt(now, settings, generation, members.collect())
}
