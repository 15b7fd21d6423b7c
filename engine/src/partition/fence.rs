//! Whether a partition may be written, and whether it can tell where its log ends.
//!
//! * After a failed write or sync the partition is fenced: appends are refused with the fault until the next
//!   start, reads go on (D3).
//! * Where a start could not bring back all that was acknowledged, the log ends before what it should have:
//!   what lies between is refused, by a reason that may pass, until it is back or somebody has decided (D2,
//!   D5).

use std::cell::RefCell;
use std::path::PathBuf;

use crate::error::{AppendError, Fault, ReadError};
use crate::journal::replay::JournaledBatch;
use crate::types::{Offset, PartitionId};

/// What a partition lacks of all that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Incomplete {
    /// Which records, and why.
    pub(crate) fault: Fault,
    /// The offset behind the last one that is known of.
    pub(crate) end: Offset,
    /// The batches that wait for room, by offset, and the journal's file that each is in; none where they are
    /// lost.
    pub(crate) journaled: Vec<(PathBuf, JournaledBatch)>,
}

/// What stands between a partition and its readers and writers.
pub(super) struct Fence {
    partition: PartitionId,
    fault: RefCell<Option<Fault>>,
    lacks: RefCell<Option<Incomplete>>,
}

impl Fence {
    pub(super) fn new(partition: PartitionId, fault: Option<Fault>, lacks: Option<Incomplete>) -> Fence {
        Fence { partition, fault: RefCell::new(fault), lacks: RefCell::new(lacks) }
    }

    /// Refuses appends from here on. The first fault stays.
    pub(super) fn close(&self, fault: &Fault) {
        let mut closed = self.fault.borrow_mut();
        if closed.is_none() {
            tracing::error!(partition = %self.partition, %fault, "partition is fenced: it takes no appends until the next start");
            *closed = Some(fault.clone());
        }
    }

    /// Refuses what a fenced partition does not do.
    pub(super) fn check(&self) -> Result<(), AppendError> {
        match &*self.fault.borrow() {
            None => Ok(()),
            Some(fault) => Err(AppendError::Fenced { partition: self.partition, fault: fault.clone() }),
        }
    }

    /// Refuses appends to a log that takes none, or none yet.
    pub(super) fn check_appendable(&self) -> Result<(), AppendError> {
        self.check()?;
        match &*self.lacks.borrow() {
            Some(lacks) if !lacks.journaled.is_empty() => Err(AppendError::NoSpace(self.partition)),
            Some(lacks) => Err(AppendError::Fenced { partition: self.partition, fault: lacks.fault.clone() }),
            None => Ok(()),
        }
    }

    /// Refuses what the end of the log decides, while that is not where acknowledged records end.
    pub(super) fn check_complete(&self) -> Result<(), ReadError> {
        match &*self.lacks.borrow() {
            Some(lacks) => {
                Err(ReadError::Incomplete { partition: self.partition, fault: lacks.fault.clone() })
            }
            None => Ok(()),
        }
    }

    /// What the log lacks; `None` when all that was acknowledged is there.
    pub(super) fn lacks(&self) -> Option<Incomplete> {
        self.lacks.borrow().clone()
    }

    /// All that was acknowledged is in the log.
    pub(super) fn complete(&self) {
        *self.lacks.borrow_mut() = None;
    }

    /// The offset behind the last record that is known to be missing.
    pub(super) fn missing_end(&self) -> Option<Offset> {
        self.lacks.borrow().as_ref().map(|lacks| lacks.end)
    }
}
