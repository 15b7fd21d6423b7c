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
use std::time::Duration;

use strandline_engine::TransactionResult;
use strandline_engine::crash::{Ending, Images, Settings, Subject, seeds};

use crate::coordination::simulated::Trouble;
use life::{Counted, Life};

fn for_seeds(test: &str, range: Range<u64>, body: impl Fn(u64)) {
    seeds::for_seeds(&format!("-p strandline --lib transactions::crash::{test}"), range, body);
}

#[test]
fn d10_no_crash_at_any_moment_shows_a_part_of_a_transaction() {
    let name = "d10_no_crash_at_any_moment_shows_a_part_of_a_transaction";
    let counts: Counted = Rc::default();
    for_seeds(name, 0..1, |seed| {
        let mut life = Life::new(seed, Trouble::NONE);
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
        let mut life = Life::new(seed, Trouble::NONE);
        life.generations(4);
        committed.set(committed.get() + life.known.committed);
        in_doubt.set(in_doubt.get() + life.known.in_doubt);
    });
    eprintln!("{} transactions were committed, {} ends were in doubt", committed.get(), in_doubt.get());
    assert!(committed.get() > 0 && in_doubt.get() > 0);
}

#[test]
fn d3_a_transaction_is_whole_or_not_there_when_writes_and_syncs_fail() {
    let committed = Cell::new(0);
    let name = "d3_a_transaction_is_whole_or_not_there_when_writes_and_syncs_fail";
    for_seeds(name, 0..30, |seed| {
        let mut life = Life::new(seed, Trouble { errors: true, ..Trouble::NONE });
        life.generations(4);
        committed.set(committed.get() + life.known.committed);
    });
    assert!(committed.get() > 0);
}

#[test]
fn d7_a_transaction_is_whole_or_not_there_on_a_full_disk() {
    let committed = Cell::new(0);
    for_seeds("d7_a_transaction_is_whole_or_not_there_on_a_full_disk", 0..30, |seed| {
        let mut life = Life::new(seed, Trouble { full: true, ..Trouble::NONE });
        life.generations(4);
        committed.set(committed.get() + life.known.committed);
    });
    assert!(committed.get() > 0);
}

#[test]
fn d7_what_waits_for_room_is_committed_when_there_is_some_without_a_start() {
    let mut life = Life::new(1, Trouble::NONE);
    life.is_mortal = false;
    let running = life.begin(&Settings::small(2));
    let disk = running.process.disk.clone();
    let mut refused = 0;
    for round in 0..20 {
        life.init_all(&running).expect("nothing stops it");
        for client in 0..3 {
            life.write(&running, client).expect("nothing stops it");
        }
        life.is_troubled = true;
        disk.set_capacity(Some(disk.used() + round * 500));
        for client in 0..3 {
            life.end_with(&running, client, TransactionResult::Commit).expect("nothing stops it");
        }
        refused += life.doubts();
        disk.set_capacity(None);
        for _ in 0..3 {
            life.pass_time(&running, Duration::from_secs(2)).expect("nothing stops it");
            life.drive(running.process.pass_time(100)).expect("nothing stops it");
        }
        life.is_troubled = false;
        life.resolve_all(&running).expect("nothing stops it");
        life.settle(&running).expect("nothing stops it");
        life.compare(&running, true).expect("nothing stops it");
    }
    assert!(
        refused > 0 && life.known.committed == 60,
        "{refused} refused, {} committed",
        life.known.committed
    );
    life.end(running, Ending::PowerLoss);
    life.begin(&Settings::small(1));
}

#[test]
fn d10_a_transaction_is_not_complete_while_a_partition_takes_no_marker_of_its_coordinator() {
    let mut life = Life::new(1, Trouble::NONE);
    life.is_mortal = false;
    let running = life.begin(&Settings::small(2));
    life.init_all(&running).expect("nothing stops it");
    life.end_as_successor(&running, 0, 5).expect("nothing stops it");
    for client in 0..2 {
        life.write(&running, client).expect("nothing stops it");
        life.end_with(&running, client, TransactionResult::Commit).expect("nothing stops it");
    }
    for _ in 0..10 {
        life.pass_time(&running, Duration::from_secs(20)).expect("nothing stops it");
        life.drive(running.process.pass_time(100)).expect("nothing stops it");
    }
    let ending = [0, 1].map(|client| life.is_ending(&running, client).expect("nothing stops it"));
    assert_eq!(ending, [true, false], "what readers cannot see is not called complete");
}
