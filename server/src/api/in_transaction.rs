//! What batches of a transaction may rely on when they are appended: that the transaction takes part in their
//! partitions, as its coordinator says.
//!
//! ```text
//!                    is it open there already?            what its coordinator says
//! batch > Local::participation > Open ------------------------------------------------> append
//!                              > Absent(guard) > Produce up to 11: was it added?  ----> append, with the guard
//!                                                Produce from 12: it is added     ----'
//! ```
//!
//! The first batch of a transaction in a partition waits for its coordinator; those behind it, of the same
//! connection, wait with it, so that the order stays. Nobody else waits. A transaction that is being ended is
//! waited for a little, and the next one begins with its end: the client that begins it need not come again.
//!
//! What a coordinator has said of a producer that has an epoch of its own for each transaction is remembered:
//! the batches behind the first one ask nobody.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use strandline_engine::format::batch::Producer;
use strandline_engine::types::PartitionId;
use strandline_engine::{Origin, Participation, VerificationGuard, reactor};
use strandline_protocol::wire::ErrorCode;

use crate::api::append_error;
use crate::broker::Broker;
use crate::transactions::{BUMPING_LEVEL, ByTopic};

/// The first version of Produce whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 11;

/// The first version of Produce that adds partitions to its transaction (KIP-890).
const ADDS_FROM: i16 = 12;

/// A batch of a transaction.
pub(super) struct Asked {
    /// The name of its topic.
    pub(super) topic: String,
    /// Where it is to go.
    pub(super) partition: PartitionId,
    /// Who sends it.
    pub(super) producer: Producer,
}

/// How a coordinator is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Whether the client has added the partitions.
    Verify,
    /// To add them (KIP-890).
    Add,
}

/// For each batch, what its append may rely on, or why it is refused, as the coordinator says it. All are of
/// one producer. While the transaction before is being ended, its coordinator is asked again for a while.
pub(super) async fn participations(
    broker: &Broker,
    way: Way,
    id: &str,
    asked: &[Asked],
) -> Vec<Result<Participation, ErrorCode>> {
    let [backoff, backoff_max] =
        ["add.partitions.to.txn.retry.backoff.ms", "add.partitions.to.txn.retry.backoff.max.ms"]
            .map(|name| Duration::from_millis(broker.config.whole(name) as u64));
    let until = Instant::now() + backoff_max;
    let is_asked = way == Way::Add || broker.config.verifies_transactions(&broker.engine.settings().dynamic);
    let mut known = known(broker, asked).await;
    loop {
        let is_absent = |at: &usize| matches!(known[*at], Ok(Participation::Absent(_)));
        let absent: Vec<usize> = (0..known.len()).filter(is_absent).collect();
        if absent.is_empty() || !is_asked {
            return known;
        }
        let entries: Vec<&Asked> = absent.iter().map(|at| &asked[*at]).collect();
        let answers = ask(broker, way, id, &entries, backoff).await;
        let is_ending = answers.contains(&Err(ErrorCode::ConcurrentTransactions));
        let is_time = Instant::now() + backoff > until;
        if is_ending && !is_time && way == Way::Verify {
            reactor::sleep(backoff).await;
        }
        // The marker of the transaction before may have come since: then what the coordinator has said is to
        // be asked once more.
        let again = self::known(broker, asked).await;
        let is_stale = again != known && answers.iter().any(Result::is_ok);
        if (is_ending || is_stale) && !is_time {
            known = again;
            continue;
        }
        for (at, answer) in absent.into_iter().zip(answers) {
            // What was to be asked once more, and there was no time for it, is for the client to try again.
            let is_same = again[at] == known[at];
            let answer = answer.and_then(|()| is_same.then_some(()).ok_or(ErrorCode::ConcurrentTransactions));
            if let Err(error) = answer {
                known[at] = Err(error);
            }
        }
        return known;
    }
}

/// What the partitions themselves say.
async fn known(broker: &Broker, asked: &[Asked]) -> Vec<Result<Participation, ErrorCode>> {
    let found = asked.iter().map(|asked| broker.shard.participation(asked.partition, asked.producer));
    let found = join_all(found).await.into_iter();
    found.map(|found| found.map_err(|error| append_error(&error))).collect()
}

/// What the append of a batch may rely on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Basis {
    /// What is asked of the batch.
    pub(super) origin: Origin,
    /// Whether it is remembered: nobody was asked for this batch.
    pub(super) is_remembered: bool,
}

impl Basis {
    pub(super) fn asked(origin: Origin) -> Basis {
        Basis { origin, is_remembered: false }
    }
}

/// For each batch of a produce request, what its append may rely on, or why it is refused.
pub(super) async fn bases(
    broker: &Broker,
    version: i16,
    id: &str,
    asked: Vec<Asked>,
) -> Vec<Result<Basis, ErrorCode>> {
    let way = if version >= ADDS_FROM { Way::Add } else { Way::Verify };
    let guard = |asked: &Asked| match way {
        Way::Add => broker.confirmed.guard(asked.partition, asked.producer),
        Way::Verify => None,
    };
    let remembered: Vec<Option<VerificationGuard>> = asked.iter().map(guard).collect();
    let is_unknown = remembered.iter().map(Option::is_none);
    let unknown: Vec<Asked> = asked
        .into_iter()
        .zip(is_unknown)
        .filter_map(|(asked, is_unknown)| is_unknown.then_some(asked))
        .collect();
    let found = match unknown.is_empty() {
        true => Vec::new(),
        false => participations(broker, way, id, &unknown).await,
    };
    let mut found = unknown.into_iter().zip(found).map(|(Asked { partition, producer, .. }, found)| {
        let origin = |participation| match participation {
            Participation::Open => Origin::Client,
            Participation::Absent(guard) if way == Way::Add => {
                broker.confirmed.remember(partition, producer, guard);
                Origin::EpochOfItsOwn(guard)
            }
            Participation::Absent(guard) => Origin::Transaction(guard),
        };
        found.map(|found| Basis::asked(origin(found))).map_err(|error| translated(version, error))
    });
    let bases = remembered.into_iter().map(|guard| match guard {
        Some(guard) => Ok(Basis { origin: Origin::EpochOfItsOwn(guard), is_remembered: true }),
        None => found.next().expect("one answer to one question"),
    });
    bases.collect()
}

/// Asks the coordinator, and waits for the end of the transaction before for as long as `patience`.
async fn ask(
    broker: &Broker,
    way: Way,
    id: &str,
    asked: &[&Asked],
    patience: Duration,
) -> Vec<Result<(), ErrorCode>> {
    let (transactions, shard, id) = (&broker.transactions, &broker.shard, id.to_owned());
    let producer = asked.first().expect("somebody asks").producer;
    let partitions = asked.iter().map(|asked| (asked.topic.clone(), asked.partition.index as i32));
    if way == Way::Verify {
        let verified = transactions.verify_partitions(shard, id, producer, partitions.collect()).await;
        return verified.unwrap_or_else(|error| vec![Err(error); asked.len()]);
    }
    let mut added: ByTopic = BTreeMap::new();
    for (topic, index) in partitions {
        added.entry(topic).or_default().insert(index);
    }
    let adding = pin!(transactions.add_partitions_in_turn(shard, id, producer, added, BUMPING_LEVEL));
    let added = match select(adding, pin!(reactor::sleep(patience))).await {
        Either::Left((added, _)) => added,
        Either::Right(_) => Err(ErrorCode::ConcurrentTransactions),
    };
    vec![added; asked.len()]
}

/// The code as a producer knows it: of what may pass, the one with which every client sends the batch again.
fn translated(version: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < ABORTABLE_FROM => ErrorCode::InvalidTxnState,
        ErrorCode::ConcurrentTransactions if version >= ADDS_FROM => error,
        ErrorCode::ConcurrentTransactions
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_is_told_what_its_version_knows() {
        let old = |error| translated(10, error);
        assert_eq!(old(ErrorCode::ProducerFenced), ErrorCode::InvalidProducerEpoch);
        assert_eq!(old(ErrorCode::TransactionAbortable), ErrorCode::InvalidTxnState);
        assert_eq!(translated(11, ErrorCode::TransactionAbortable), ErrorCode::TransactionAbortable);
        for passes in [
            ErrorCode::ConcurrentTransactions,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
        ] {
            assert_eq!(old(passes), ErrorCode::NotEnoughReplicas);
        }
        assert_eq!(translated(12, ErrorCode::ConcurrentTransactions), ErrorCode::ConcurrentTransactions);
        assert_eq!(translated(12, ErrorCode::NotCoordinator), ErrorCode::NotEnoughReplicas);
        assert_eq!(old(ErrorCode::InvalidProducerIdMapping), ErrorCode::InvalidProducerIdMapping);
    }
}
