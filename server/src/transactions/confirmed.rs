//! What coordinators have said of transactions that are open, remembered by a shard that hands batches over:
//! the batches behind the first one of a transaction in a partition need not ask again.
//!
//! Remembered is only what is of a producer that has an epoch of its own for each transaction (KIP-890): with
//! the end of the transaction nobody comes with that epoch any more. The guard stays with each batch, so that
//! the log refuses it where a marker has come all the same.

use std::cell::RefCell;
use std::collections::HashMap;

use strandline_engine::VerificationGuard;
use strandline_engine::format::batch::Producer;
use strandline_engine::types::{PartitionId, ProducerEpoch, ProducerId};

/// Partitions of transactions that a shard remembers, of all together: some 700 KB. More are asked for again.
const REMEMBERED_MAX: usize = 8192;

/// The partitions that take part in open transactions.
#[derive(Default)]
pub struct Confirmed(RefCell<HashMap<(PartitionId, ProducerId), (ProducerEpoch, VerificationGuard)>>);

impl Confirmed {
    /// The guard of before the coordinator said that the producer's transaction takes part in the partition.
    pub fn guard(&self, partition: PartitionId, producer: Producer) -> Option<VerificationGuard> {
        let remembered = self.0.borrow();
        let (epoch, guard) = remembered.get(&(partition, producer.id))?;
        (*epoch == producer.epoch).then_some(*guard)
    }

    /// Takes in that the coordinator has said so.
    pub fn remember(&self, partition: PartitionId, producer: Producer, guard: VerificationGuard) {
        let mut remembered = self.0.borrow_mut();
        if remembered.len() >= REMEMBERED_MAX && !remembered.contains_key(&(partition, producer.id)) {
            // Which of them are of transactions that are over, nobody knows.
            remembered.clear();
        }
        remembered.insert((partition, producer.id), (producer.epoch, guard));
    }

    /// The log has refused what was remembered: the coordinator is to be asked again.
    pub fn forget(&self, partition: PartitionId, producer: ProducerId) {
        self.0.borrow_mut().remove(&(partition, producer));
    }
}

#[cfg(test)]
mod tests {
    use strandline_engine::types::TopicId;

    use super::*;

    #[test]
    fn it_holds_for_one_epoch_and_no_more_partitions_than_it_has_room_for() {
        let confirmed = Confirmed::default();
        let at = |index| PartitionId { topic: TopicId::from_bytes([7; 16]), index };
        let in_epoch = |epoch| Producer { id: ProducerId(1), epoch: ProducerEpoch(epoch) };
        let guard = VerificationGuard::default();
        confirmed.remember(at(0), in_epoch(3), guard);
        assert_eq!(confirmed.guard(at(0), in_epoch(3)), Some(guard));
        assert_eq!(confirmed.guard(at(0), in_epoch(4)), None, "another transaction");
        assert_eq!(confirmed.guard(at(1), in_epoch(3)), None, "another partition");
        confirmed.remember(at(0), in_epoch(4), guard);
        assert_eq!(confirmed.guard(at(0), in_epoch(3)), None, "it is over");
        confirmed.forget(at(0), ProducerId(1));
        assert_eq!(confirmed.guard(at(0), in_epoch(4)), None);
        for index in 0..3 * REMEMBERED_MAX as u32 {
            confirmed.remember(at(index), in_epoch(4), guard);
            assert!(confirmed.0.borrow().len() <= REMEMBERED_MAX);
            assert_eq!(confirmed.guard(at(index), in_epoch(4)), Some(guard));
        }
    }
}
