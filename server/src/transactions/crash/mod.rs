//! Transactions on a machine that stops at any moment: what was committed is seen whole after every crash, in
//! all its partitions and with its offsets, what was not is never seen, and nothing stays open (D10).
//!
//! What runs is all of it but sockets: [`Transactions`](super::Transactions) and
//! [`Groups`](crate::groups::Groups), the runtime of coordinators, the tasks that write markers, and the
//! shipping engine on its simulated disk (`strandline_engine::crash`). [`life`] plays, [`known`] says what
//! may be seen.
//!
//! A failure prints the command that repeats it; see `strandline_engine::crash::seeds` for the variables that
//! choose seeds.

mod known;
mod life;

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use strandline_engine::crash::{Images, seeds};

use life::{Counted, Life};

fn for_seeds(test: &str, range: Range<u64>, body: impl Fn(u64)) {
    seeds::for_seeds(&format!("-p strandline --lib transactions::crash::{test}"), range, body);
}

#[test]
fn d10_no_crash_at_any_moment_shows_a_part_of_a_transaction() {
    let name = "d10_no_crash_at_any_moment_shows_a_part_of_a_transaction";
    let counts: Counted = Rc::default();
    for_seeds(name, 0..1, |seed| {
        let mut life = Life::new(seed);
        life.images = Some(Images::new(counts.clone()));
        life.steps_max = 12;
        life.generations(1);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 200, "{}", counts.borrow());
}

#[test]
fn d10_a_transaction_is_whole_or_not_there_after_every_crash_and_none_stays_open() {
    let name = "d10_a_transaction_is_whole_or_not_there_after_every_crash_and_none_stays_open";
    let (committed, in_doubt) = (Cell::new(0), Cell::new(0));
    for_seeds(name, 0..30, |seed| {
        let mut life = Life::new(seed);
        life.generations(4);
        committed.set(committed.get() + life.known.committed);
        in_doubt.set(in_doubt.get() + life.known.in_doubt);
    });
    eprintln!("{} transactions were committed, {} ends were in doubt", committed.get(), in_doubt.get());
    assert!(committed.get() > 0 && in_doubt.get() > 0);
}
