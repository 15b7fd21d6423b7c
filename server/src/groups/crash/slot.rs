//! What one offset of a group may be, after all that was asked of it and answered; and what became of the
//! transactions that had a part in that.
//!
//! Of everything that was asked for, in the order of the log, the last that counts is there. An offset of a
//! transaction counts when the transaction was committed, wherever its marker stands.

use std::collections::{BTreeMap, BTreeSet};

use strandline_engine::TransactionResult;

/// Names what was asked, in the order in which it was.
pub(super) type Number = u64;

/// Names a transaction, in one partition of the log.
pub(super) type Transaction = u64;

/// How far something that was asked for is known to have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no answer: it may be there, at any moment.
    Asked,
    /// It was acknowledged, or seen.
    Durable,
    /// It was refused: at most a start can find it.
    Refused,
    /// It was not acknowledged before the last start: it is there or not.
    Perhaps,
}

/// Whether something counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Counts {
    No,
    Maybe,
    Yes,
}

impl Stage {
    fn counts(self) -> Counts {
        match self {
            Stage::Durable => Counts::Yes,
            Stage::Asked | Stage::Perhaps => Counts::Maybe,
            Stage::Refused => Counts::No,
        }
    }

    fn restart(&mut self) {
        if *self != Stage::Durable {
            *self = Stage::Perhaps;
        }
    }
}

/// A transaction that can be ended, or told again to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endable {
    pub(super) producer: i64,
    /// That of its offsets.
    pub(super) epoch: i16,
    pub(super) transaction: Transaction,
    /// What was decided.
    pub(super) decided: Option<TransactionResult>,
}

/// How transactions end.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// The transaction that each producer is in, and its epoch.
    producers: BTreeMap<i64, (Transaction, i16)>,
    ends: BTreeMap<Transaction, (TransactionResult, Stage)>,
    /// Those of which an offset was seen.
    seen: BTreeSet<Transaction>,
    next: Transaction,
}

impl Transactions {
    /// The transaction that a producer is in, or begins now, and its epoch; `None` when it ends.
    pub(super) fn open(&mut self, producer: i64) -> Option<(Transaction, i16)> {
        let next = &mut self.next;
        let (transaction, epoch) = *self.producers.entry(producer).or_insert_with(|| {
            *next += 1;
            (*next, 0)
        });
        (!self.ends.contains_key(&transaction)).then_some((transaction, epoch))
    }

    /// The transactions that can be ended, or told again to end.
    pub(super) fn endable(&self) -> Vec<Endable> {
        let all = self.producers.iter().map(|(producer, (transaction, epoch))| {
            let end = self.ends.get(transaction);
            let decided = end.map(|(result, _)| *result);
            let endable = Endable { producer: *producer, epoch: *epoch, transaction: *transaction, decided };
            (endable, end.is_some_and(|(_, stage)| *stage == Stage::Asked))
        });
        all.filter(|(_, is_asked)| !is_asked).map(|(endable, _)| endable).collect()
    }

    pub(super) fn ask_end(&mut self, transaction: Transaction, result: TransactionResult) {
        self.ends.insert(transaction, (result, Stage::Asked));
    }

    /// A producer whose transaction has ended goes on with the next; every second one in the next epoch.
    pub(super) fn answer_end(&mut self, transaction: Transaction, stage: Stage) {
        self.ends.get_mut(&transaction).expect("it was asked for").1 = stage;
        let ended = self.producers.iter_mut().find(|(_, (of, _))| *of == transaction);
        if stage == Stage::Durable
            && let Some((producer, (of, epoch))) = ended
        {
            self.next += 1;
            *of = self.next;
            *epoch += i16::from(is_bumped(*producer));
        }
    }

    /// What has no answer never gets one.
    pub(super) fn restart(&mut self) {
        self.ends.values_mut().for_each(|(_, stage)| stage.restart());
    }

    /// An offset of the transaction was seen, which may only be when its commit was asked for.
    pub(super) fn see_committed(&mut self, transaction: Transaction) {
        let end = self.ends.get(&transaction);
        let is_commit = end.is_some_and(|(result, _)| *result == TransactionResult::Commit);
        assert!(is_commit, "an offset is there of transaction {transaction}, whose end is {end:?}");
        self.seen.insert(transaction);
    }

    fn counts(&self, transaction: Transaction) -> Counts {
        match self.ends.get(&transaction) {
            Some((TransactionResult::Commit, _)) if self.seen.contains(&transaction) => Counts::Yes,
            Some((TransactionResult::Commit, stage)) => stage.counts(),
            Some((TransactionResult::Abort, _)) | None => Counts::No,
        }
    }

    fn has_ended(&self, transaction: Transaction) -> bool {
        self.ends.get(&transaction).is_some_and(|(_, stage)| *stage == Stage::Durable)
    }

    fn is_ending(&self, transaction: Transaction) -> bool {
        self.ends.contains_key(&transaction)
    }
}

/// Whether the epoch of a producer goes up with the end of each transaction (KIP-890).
pub(super) fn is_bumped(producer: i64) -> bool {
    producer % 2 == 1
}

/// One offset of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// What it was before everything that follows.
    base: Option<i64>,
    entries: Vec<Entry>,
    /// The transactions whose offsets do not count any more, as something later does, and which may be open;
    /// and whether the offset is pending for sure.
    overtaken: Vec<(Transaction, bool)>,
}

#[derive(Clone, Debug)]
struct Entry {
    number: Number,
    offset: Option<i64>,
    transaction: Option<Transaction>,
    stage: Stage,
}

impl Entry {
    fn counts(&self, transactions: &Transactions) -> Counts {
        let own = self.stage.counts();
        self.transaction.map_or(own, |transaction| own.min(transactions.counts(transaction)))
    }
}

impl Slot {
    pub(super) fn ask(&mut self, number: Number, offset: Option<i64>, transaction: Option<Transaction>) {
        self.entries.push(Entry { number, offset, transaction, stage: Stage::Asked });
    }

    pub(super) fn answer(&mut self, number: Number, stage: Stage) {
        let of_number = self.entries.iter_mut().filter(|entry| entry.number == number);
        of_number.for_each(|entry| entry.stage = stage);
    }

    /// What has no answer never gets one.
    pub(super) fn restart(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.stage.restart());
    }

    /// The transaction was aborted.
    pub(super) fn forget(&mut self, transaction: Transaction) {
        self.entries.retain(|entry| entry.transaction != Some(transaction));
        self.overtaken.retain(|(of, _)| *of != transaction);
    }

    /// What is there unless something counts that has no answer.
    pub(super) fn sure(&self, transactions: &Transactions) -> Option<i64> {
        let last = self.entries.iter().rfind(|entry| entry.counts(transactions) == Counts::Yes);
        last.map_or(self.base, |entry| entry.offset)
    }

    /// The transaction that an offset is of. No two are the same.
    pub(super) fn transaction_of(&self, offset: i64) -> Option<Transaction> {
        self.entries.iter().find(|entry| entry.offset == Some(offset))?.transaction
    }

    /// Takes in what was found. After a start nothing is on its way.
    ///
    /// # Errors
    /// When that cannot be.
    pub(super) fn see(
        &mut self,
        transactions: &Transactions,
        found: Option<i64>,
        is_start: bool,
    ) -> Result<(), Option<i64>> {
        let sure = self.entries.iter().rposition(|entry| entry.counts(transactions) == Counts::Yes);
        if let Some(at) = sure {
            self.overtake(at);
        }
        if found != self.base {
            let fits = |entry: &Entry| entry.offset == found && entry.counts(transactions) == Counts::Maybe;
            let at = self.entries.iter().position(fits).ok_or(found)?;
            self.overtake(at);
        }
        if is_start {
            // A record that is there would be found, unless nothing follows of it but that later ones do not
            // count.
            self.entries.retain(|entry| {
                entry.transaction.is_some() || entry.offset.is_none() || entry.stage == Stage::Durable
            });
        }
        Ok(())
    }

    /// What is there is the entry at this place: those before it do not count any more.
    fn overtake(&mut self, at: usize) {
        self.base = self.entries[at].offset;
        for entry in self.entries.drain(..=at) {
            match entry.transaction {
                Some(transaction) => {
                    self.overtaken.push((transaction, entry.stage == Stage::Durable));
                }
                None if entry.offset.is_none() => {
                    self.overtaken.iter_mut().for_each(|(_, is_sure)| *is_sure = false);
                }
                None => {}
            }
        }
    }

    /// Whether it may, and whether it must be that a transaction is about to change it, or has been.
    pub(super) fn unstable(&self, transactions: &Transactions) -> (bool, bool) {
        let mut may = self.overtaken.iter().any(|(transaction, _)| !transactions.has_ended(*transaction));
        let mut must =
            self.overtaken.iter().any(|(transaction, is)| *is && !transactions.is_ending(*transaction));
        for entry in &self.entries {
            match entry.transaction {
                Some(transaction) => {
                    may |= entry.stage != Stage::Refused && !transactions.has_ended(transaction);
                    must |= entry.stage == Stage::Durable && !transactions.is_ending(transaction);
                }
                // It takes with it what is pending.
                None if entry.offset.is_none() => must = false,
                None => {}
            }
        }
        (may, must)
    }
}
