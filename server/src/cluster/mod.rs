//! The cluster as this broker knows it: who the brokers are, and who leads which partition.

mod view;

pub use view::{ClusterView, Endpoint, Node, Placement};
