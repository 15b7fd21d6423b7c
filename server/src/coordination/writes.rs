//! The writes of one partition that have not settled: they may come back in any order, and are let go in the
//! order of the log.

use std::collections::VecDeque;

/// Writes on their way, each with what follows it; `S` is what becomes of one.
pub(super) struct Writes<W, S> {
    /// The number of the first of `queue`.
    first: u64,
    queue: VecDeque<(Option<S>, W)>,
}

impl<W, S> Writes<W, S> {
    pub(super) fn new() -> Writes<W, S> {
        Writes { first: 0, queue: VecDeque::new() }
    }

    /// Takes in the write that was appended last; the number is for [`Writes::settle`].
    pub(super) fn push(&mut self, write: W) -> u64 {
        self.queue.push_back((None, write));
        self.first + self.queue.len() as u64 - 1
    }

    /// Notes what became of a write.
    pub(super) fn settle(&mut self, number: u64, settled: S) {
        let at = number.checked_sub(self.first).expect("a write settles once");
        let (outcome, _) = self.queue.get_mut(at as usize).expect("it was pushed");
        assert!(outcome.replace(settled).is_none(), "a write settles once");
    }

    /// The oldest write, once it has settled.
    pub(super) fn pop_settled(&mut self) -> Option<(W, S)> {
        let settled = self.queue.front_mut()?.0.take()?;
        let (_, write) = self.queue.pop_front()?;
        self.first += 1;
        Some((write, settled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::StoreError;

    #[test]
    fn writes_are_let_go_in_the_order_of_the_log_whichever_settles_first() {
        let mut writes = Writes::new();
        let numbers = ["a", "b", "c"].map(|name| writes.push(name));
        writes.settle(numbers[2], Ok(()));
        writes.settle(numbers[1], Err(StoreError::Refused));
        assert_eq!(writes.pop_settled(), None, "the first is on its way");
        writes.settle(numbers[0], Ok(()));
        assert_eq!(writes.pop_settled(), Some(("a", Ok(()))));
        let last = writes.push("d");
        assert_eq!(writes.pop_settled(), Some(("b", Err(StoreError::Refused))));
        assert_eq!(writes.pop_settled(), Some(("c", Ok(()))));
        assert_eq!(writes.pop_settled(), None);
        writes.settle(last, Ok(()));
        assert_eq!(writes.pop_settled(), Some(("d", Ok(()))));
    }
}
