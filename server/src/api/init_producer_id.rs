//! InitProducerId: an identity for idempotent producers.

use strandline_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::NO_TRANSACTIONS;
use crate::broker::Broker;
use strandline_engine::types::ProducerEpoch;

/// A new producer id with epoch 0, at each call.
///
/// There are no transactions yet, as FindCoordinator has said before.
pub async fn handle(broker: &Broker, _: i16, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let refused = |error: ErrorCode| InitProducerIdResponse {
        error_code: error.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    match request.transactional_id.as_deref() {
        Some("") => return refused(ErrorCode::InvalidRequest),
        Some(_) => return refused(NO_TRANSACTIONS),
        None => {}
    }
    match broker.engine.allocate_producer_id().await {
        Ok(id) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: ProducerEpoch::FIRST.0,
            ..Default::default()
        },
        Err(error) => {
            tracing::error!(%error, "no producer id");
            // Retriable, where KAFKA_STORAGE_ERROR is fatal to the Java producer at this point. A full disk
            // does not come here, unless no producer id was ever given out: the ids are noted where they are.
            refused(ErrorCode::CoordinatorNotAvailable)
        }
    }
}
