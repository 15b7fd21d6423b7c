//! What all faces ask of the cluster.

use strandline_protocol::messages::DescribeClusterRequest;

use super::ask::Asker;
use super::problem::Problem;
use crate::security::acl::Operation;

/// The version of DescribeCluster that is asked.
const DESCRIBE_CLUSTER: i16 = 0;

impl Asker {
    /// Whether the client may describe the cluster: what is said of the broker without a request of Kafka's,
    /// as its metrics, is for those that may.
    ///
    /// # Errors
    /// [`Problem`].
    pub(super) async fn may_describe_cluster(&self) -> Result<bool, Problem> {
        let request =
            DescribeClusterRequest { include_cluster_authorized_operations: true, ..Default::default() };
        let answer = self.ask(DESCRIBE_CLUSTER, &request).await?;
        Ok(answer.cluster_authorized_operations as u32 & Operation::Describe.bit() != 0)
    }
}
