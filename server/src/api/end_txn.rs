//! EndTxn: a transaction is committed or aborted. It is answered when that is decided durably; what was
//! written is seen, or is not, a moment later.

use strandline_engine::TransactionResult;
use strandline_engine::format::batch::Producer;
use strandline_engine::types::{ProducerEpoch, ProducerId};
use strandline_protocol::messages::{EndTxnRequest, EndTxnResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::transactions::known_to;
use crate::call::Call;
use crate::security::acl::{Operation, Resource};
use crate::transactions::BUMPING_LEVEL;

/// The first version whose clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// The first version that raises the epoch (KIP-890).
const BUMPS_FROM: i16 = 5;

/// What became of it.
pub async fn handle(call: &Call, request: EndTxnRequest) -> EndTxnResponse {
    let version = call.header.version;
    match end(call, request).await {
        Ok(Producer { id, epoch }) => {
            EndTxnResponse { producer_id: id.0, producer_epoch: epoch.0, ..Default::default() }
        }
        Err(error) => {
            EndTxnResponse { error_code: known_to(version, FENCED_FROM, error).code(), ..Default::default() }
        }
    }
}

async fn end(call: &Call, request: EndTxnRequest) -> Result<Producer, ErrorCode> {
    let (broker, version) = (&call.broker, call.header.version);
    let EndTxnRequest { transactional_id: id, producer_id, producer_epoch, committed } = request;
    call.may(Operation::Write, Resource::transactional_id(&id))?;
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let producer = Producer { id: ProducerId(producer_id), epoch: ProducerEpoch(producer_epoch) };
    let result = if committed { TransactionResult::Commit } else { TransactionResult::Abort };
    let level = if version >= BUMPS_FROM { BUMPING_LEVEL } else { 0 };
    broker.transactions.end(&broker.shard, id, producer, result, level).await
}
