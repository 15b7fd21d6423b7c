//! InitProducerId: a producer gets an id, or with a transactional id the next epoch of its own.

use strandline_engine::format::batch::Producer;
use strandline_engine::types::{ProducerEpoch, ProducerId};
use strandline_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::transactions::known_to;
use crate::broker::Broker;
use crate::call::Call;
use crate::security::acl::{Operation, Resource};
use crate::transactions::Init;

/// The first version whose clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 4;

/// A new producer id with epoch 0, at each call without a transactional id; else what its coordinator says.
pub async fn handle(call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let (broker, version) = (&call.broker, call.header.version);
    let answer = match request.transactional_id {
        None => match call.access.may_have_producer_id(broker) {
            Ok(()) => allocate(broker).await,
            Err(error) => Err(error),
        },
        Some(id) => match call.may(Operation::Write, Resource::transactional_id(&id)) {
            Ok(()) => {
                let expected = expected(request.producer_id, request.producer_epoch);
                init(broker, id, request.transaction_timeout_ms, expected).await
            }
            Err(error) => Err(error),
        },
    };
    match answer {
        Ok(Producer { id, epoch }) => {
            InitProducerIdResponse { producer_id: id.0, producer_epoch: epoch.0, ..Default::default() }
        }
        Err(error) => InitProducerIdResponse {
            error_code: known_to(version, FENCED_FROM, error).code(),
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        },
    }
}

async fn allocate(broker: &Broker) -> Result<Producer, ErrorCode> {
    let allocated = broker.engine.allocate_producer_id().await;
    let id = allocated.map_err(|error| {
        tracing::error!(%error, "no producer id");
        // Retriable, where KAFKA_STORAGE_ERROR is fatal to the Java producer at this point. A full disk
        // does not come here, unless no producer id was ever given out: the ids are noted where they are.
        ErrorCode::CoordinatorNotAvailable
    })?;
    Ok(Producer { id, epoch: ProducerEpoch::FIRST })
}

async fn init(
    broker: &Broker,
    id: String,
    timeout_ms: i32,
    expected: Result<Option<Producer>, ErrorCode>,
) -> Result<Producer, ErrorCode> {
    let expected = expected?;
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    broker.transactions.init_producer_id(&broker.shard, id, Init { timeout_ms, expected }).await
}

/// The producer that the client has: both numbers are there, or none.
fn expected(id: i64, epoch: i16) -> Result<Option<Producer>, ErrorCode> {
    match (id, epoch) {
        (-1, -1) => Ok(None),
        (-1, _) | (_, -1) => Err(ErrorCode::InvalidRequest),
        _ => Ok(Some(Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch) })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_producer_is_none() {
        assert_eq!(expected(-1, -1), Ok(None));
        assert_eq!(expected(5, -1), Err(ErrorCode::InvalidRequest));
        assert_eq!(expected(-1, 5), Err(ErrorCode::InvalidRequest));
        let producer = Producer { id: ProducerId(0), epoch: ProducerEpoch(0) };
        assert_eq!(expected(0, 0), Ok(Some(producer)));
    }
}
