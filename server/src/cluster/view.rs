//! Who the brokers are, and who leads which partition. A handler that tells a client of brokers, leaders or
//! replicas, or that must know whether a partition is this broker's to serve, asks here and nowhere else.
//!
//! A node that stands alone is the trivial cluster: one broker, this one, which leads every partition in one
//! epoch.

use std::sync::Arc;

use strandline_engine::types::{LeaderEpoch, PartitionId, base64_url};

/// A broker, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: i32,
    /// The rack that it stands in, if it says so.
    pub rack: Option<String>,
    /// Where clients connect to it, by each of its listeners.
    pub endpoints: Vec<Endpoint>,
}

/// Where clients of a listener connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The host.
    pub host: String,
    /// The port there.
    pub port: u16,
}

impl Node {
    /// Where a client connects to it that came in by a listener of this name, here or at another broker;
    /// `None` when it has none.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| &*endpoint.listener == listener)
    }
}

/// Where the replicas of a partition are, and who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The broker that leads.
    pub leader: i32,
    /// The epoch in which it does.
    pub epoch: LeaderEpoch,
    /// Every broker that has a replica.
    pub replicas: Vec<i32>,
    /// Those whose replica has all that was acknowledged.
    pub in_sync: Vec<i32>,
}

/// The cluster at this moment.
#[derive(Clone, Debug)]
pub struct ClusterView {
    cluster_id: [u8; 16],
    me: Node,
}

impl ClusterView {
    /// The cluster of one broker.
    pub fn standalone(cluster_id: [u8; 16], me: Node) -> ClusterView {
        ClusterView { cluster_id, me }
    }

    /// The identity of the cluster, as Kafka shows it.
    pub fn id(&self) -> String {
        base64_url(&self.cluster_id)
    }

    /// This broker.
    pub fn me(&self) -> &Node {
        &self.me
    }

    /// All brokers.
    pub fn brokers(&self) -> &[Node] {
        std::slice::from_ref(&self.me)
    }

    /// The broker to which clients send what changes the cluster.
    pub fn controller_id(&self) -> i32 {
        self.me.id
    }

    /// Where a partition is.
    pub fn placement(&self, partition: PartitionId) -> Placement {
        let _ = partition;
        let me = self.me.id;
        Placement { leader: me, epoch: LeaderEpoch::FIRST, replicas: vec![me], in_sync: vec![me] }
    }

    /// Whether this broker leads the partition.
    pub fn leads(&self, partition: PartitionId) -> bool {
        let _ = partition;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_engine::types::TopicId;

    #[test]
    fn a_broker_that_stands_alone_is_the_whole_cluster_and_leads_everything() {
        let endpoint = Endpoint { listener: "IN".into(), host: "h".to_owned(), port: 9092 };
        let me = Node { id: 7, rack: None, endpoints: vec![endpoint.clone()] };
        let view = ClusterView::standalone([0; 16], me.clone());
        assert_eq!((me.endpoint("IN"), me.endpoint("OUT")), (Some(&endpoint), None));
        assert_eq!((view.brokers(), view.controller_id()), (&[me][..], 7));
        let partition = PartitionId::new(TopicId::random(), 3);
        let Placement { leader, epoch, replicas, in_sync } = view.placement(partition);
        assert!(view.leads(partition));
        assert_eq!((leader, epoch), (7, LeaderEpoch::FIRST));
        assert_eq!((replicas, in_sync), (vec![7], vec![7]));
    }
}
