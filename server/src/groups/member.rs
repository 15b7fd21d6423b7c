//! A member of a group, and what members ask and are told.

use bytes::Bytes;
use strandline_protocol::wire::ErrorCode;

use super::records::GroupMemberValue;
use super::records::consumer::{ClassicMemberValue, ClassicProtocolValue};

/// Names a join or a sync whose answer may come later.
pub type Ticket = u64;

/// A way to share the work that a member supports, with what it wants to tell the leader in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The name, such as "range".
    pub name: String,
    /// Opaque to the broker.
    pub metadata: Bytes,
}

/// Who speaks, and which generation of the group it believes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Empty when it has none.
    pub member_id: String,
    /// The name of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// -1 when it knows none.
    pub generation: i32,
}

/// A member that wants to join.
#[derive(Clone, Debug, Default)]
pub struct Join {
    /// Empty when it has none.
    pub member_id: String,
    /// The name of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// As its requests name it.
    pub client_id: String,
    /// Where it is, in Kafka's form: "/127.0.0.1".
    pub client_host: String,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long it may take to join again, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Such as "consumer".
    pub protocol_type: String,
    /// In the order of its preference.
    pub protocols: Vec<Protocol>,
    /// The id that it gets when it has none: never used before.
    pub new_member_id: String,
    /// Whether it must come back with its id before it counts (version 4 on, KIP-394).
    pub id_required: bool,
    /// Whether it knows that a leader may have nothing to assign (version 9 on, KIP-814).
    pub may_skip_assignment: bool,
}

/// The answer to a [`Join`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Whether it is in.
    pub error: ErrorCode,
    /// The generation that it is in; -1 with an error.
    pub generation: i32,
    /// The group's type.
    pub protocol_type: Option<String>,
    /// The protocol that was chosen.
    pub protocol: Option<String>,
    /// The member id of the leader.
    pub leader: String,
    /// Whether the leader keeps the assignment that there is.
    pub skip_assignment: bool,
    /// The member's own id.
    pub member_id: String,
    /// Everybody, for the leader.
    pub members: Vec<JoinedMember>,
}

impl Joined {
    pub(super) fn refused(error: ErrorCode, member_id: &str) -> Joined {
        Joined {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: Vec::new(),
        }
    }
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// What it said for the protocol that was chosen.
    pub metadata: Bytes,
}

/// A member that wants its assignment, or the leader that brings everybody's.
#[derive(Clone, Debug, Default)]
pub struct Sync {
    /// Who.
    pub identity: Identity,
    /// The group's type as the member knows it.
    pub protocol_type: Option<String>,
    /// The protocol that was chosen as the member knows it.
    pub protocol: Option<String>,
    /// From the leader: assignments by member id.
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer to a [`Sync`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Whether there is an assignment.
    pub error: ErrorCode,
    /// The group's type.
    pub protocol_type: Option<String>,
    /// The protocol that was chosen.
    pub protocol: Option<String>,
    /// What the leader has given this member, perhaps nothing.
    pub assignment: Bytes,
}

impl Synced {
    pub(super) fn refused(error: ErrorCode) -> Synced {
        Synced { error, protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

/// A member as it is described to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// As its requests name it.
    pub client_id: String,
    /// Where it is.
    pub client_host: String,
    /// What it said for the protocol that is in use; empty when none is.
    pub metadata: Bytes,
    /// What the leader has given it.
    pub assignment: Bytes,
}

/// A member as the group keeps it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) terms: Terms,
    pub(super) assignment: Bytes,
    /// A join that waits for the others.
    pub(super) joining: Option<Ticket>,
    /// A sync that waits for the leader's.
    pub(super) syncing: Option<Ticket>,
    /// It has not been in a generation yet.
    pub(super) is_new: bool,
    /// It is dropped then, unless it waits for us.
    pub(super) expires_at: i64,
}

/// What a member may change when it joins again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) protocols: Vec<Protocol>,
}

impl Terms {
    /// As records of consumer groups have them. They have the rebalance timeout elsewhere.
    pub(super) fn from_value(value: &ClassicMemberValue, rebalance_timeout_ms: i32) -> Terms {
        let protocols = value
            .supported_protocols
            .iter()
            .map(|known| Protocol { name: known.name.clone(), metadata: known.metadata.clone() });
        Terms {
            session_timeout_ms: value.session_timeout_ms,
            rebalance_timeout_ms,
            protocols: protocols.collect(),
        }
    }

    /// For records of consumer groups.
    pub(super) fn to_value(&self) -> ClassicMemberValue {
        classic_value(self.session_timeout_ms, &self.protocols)
    }
}

/// What records of consumer groups have of a member that speaks the classic protocol.
pub(super) fn classic_value(session_timeout_ms: i32, protocols: &[Protocol]) -> ClassicMemberValue {
    let supported_protocols = protocols
        .iter()
        .map(|known| ClassicProtocolValue { name: known.name.clone(), metadata: known.metadata.clone() });
    ClassicMemberValue { session_timeout_ms, supported_protocols: supported_protocols.collect() }
}

impl Member {
    /// A member that has just come. Its session has not begun.
    pub(super) fn new(join: Join) -> Member {
        Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            terms: Terms {
                session_timeout_ms: join.session_timeout_ms,
                rebalance_timeout_ms: join.rebalance_timeout_ms,
                protocols: join.protocols,
            },
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            is_new: true,
            expires_at: i64::MAX,
        }
    }

    /// A member out of the log, which knows of it only what it said for the protocol that was chosen.
    pub(super) fn load(value: GroupMemberValue, protocol: String) -> Member {
        let rebalance_timeout_ms = match value.rebalance_timeout {
            -1 => value.session_timeout,
            timeout => timeout,
        };
        Member {
            instance_id: value.group_instance_id,
            client_id: value.client_id,
            client_host: value.client_host,
            terms: Terms {
                session_timeout_ms: value.session_timeout,
                rebalance_timeout_ms,
                protocols: vec![Protocol { name: protocol, metadata: value.subscription }],
            },
            assignment: value.assignment,
            joining: None,
            syncing: None,
            is_new: false,
            expires_at: i64::MAX,
        }
    }

    /// What it says for a protocol; empty when it does not know it.
    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let mut protocols = self.terms.protocols.iter();
        let known = protocols.find(|known| Some(known.name.as_str()) == protocol);
        known.map_or(Bytes::new(), |known| known.metadata.clone())
    }

    /// What it says for a protocol, or for the one that it likes best where it does not know that one:
    /// consumers say the same of what they read with each.
    pub(super) fn metadata_or_first(&self, protocol: Option<&str>) -> Bytes {
        let all = &self.terms.protocols;
        let known = all.iter().find(|known| Some(known.name.as_str()) == protocol);
        known.or(all.first()).map_or(Bytes::new(), |known| known.metadata.clone())
    }

    /// Whether its silence is overdue. Who waits for our answer has no chance to say anything; but a new
    /// member, which can not be told from one whose client gave up and tries again under another id, is
    /// dropped even so.
    pub(super) fn is_overdue(&self, now: i64) -> bool {
        let waits = self.joining.is_some() || self.syncing.is_some();
        self.expires_at <= now && (self.is_new || !waits)
    }

    pub(super) fn record(
        &self,
        member_id: &str,
        protocol: Option<&str>,
        assignment: Bytes,
    ) -> GroupMemberValue {
        GroupMemberValue {
            member_id: member_id.to_owned(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.terms.rebalance_timeout_ms,
            session_timeout: self.terms.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// About what it takes of the memory.
    pub(super) fn bytes(&self) -> usize {
        let protocols = self.terms.protocols.iter().map(|known| known.name.len() + known.metadata.len());
        let names =
            self.client_id.len() + self.client_host.len() + self.instance_id.as_ref().map_or(0, String::len);
        size_of::<MemberDescription>() + names + protocols.sum::<usize>() + self.assignment.len()
    }

    pub(super) fn describe(&self, member_id: &str, protocol: Option<&str>) -> MemberDescription {
        MemberDescription {
            member_id: member_id.to_owned(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }
}
