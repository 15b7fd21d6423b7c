//! Groups on a machine that stops at any moment: an offset, an assignment or a deletion that was acknowledged
//! is there after every crash, and nothing is there that nobody asked for (D9). The offsets of a transaction
//! are there when its commit was acknowledged, and before that all of them or none (D10).
//!
//! What runs is all of it but sockets: the handlers' [`Groups`](super::Groups), the runtime of coordinators,
//! the coordinator, and the shipping engine on its simulated disk (`strandline_engine::crash`). [`life`]
//! plays, [`known`] and [`slot`] say what must be there.
//!
//! Members of consumer groups find again what they were told, and none reads what another reads
//! ([`consumers`]); so do those of streams groups, and none works on what another works on ([`streams`]), and
//! those of groups that come from one protocol to the other ([`mixed`]).
//!
//! A failure prints the command that repeats it; see `strandline_engine::crash::seeds` for the variables that
//! choose seeds.

mod consumers;
mod known;
mod life;
mod mixed;
mod slot;
mod streams;

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use strandline_engine::crash::{Ending, Images, Settings, seeds};

use super::consumer::ConsumerSettings;
use super::streams::StreamsSettings;
use super::{CoordinatorSettings, GroupSettings, Groups, MigrationPolicy, OFFSETS_TOPIC};
use crate::coordination::simulated::{Trouble, compacted};
use life::{Counted, Life, Play};

/// Groups in which nothing expires, and whoever joins waits for nobody.
pub(crate) fn groups(shards: usize) -> Groups {
    let settings = CoordinatorSettings {
        group: GroupSettings { initial_rebalance_delay_ms: 10, size_max: usize::MAX },
        // What takes more than that goes on beside the group.
        consumer: ConsumerSettings {
            assignment_interval_ms: 0,
            units_at_once: 40,
            ..ConsumerSettings::default()
        },
        migration: MigrationPolicy::Bidirectional,
        share: Default::default(),
        streams: StreamsSettings {
            standbys: 1,
            initial_rebalance_delay_ms: 0,
            assignment_interval_ms: 0,
            units_at_once: 40,
            ..StreamsSettings::default()
        },
        session_timeout_ms: 0..=i32::MAX,
        offsets_retention_ms: i64::MAX,
        retention_check_ms: 5000,
        offset_metadata_max: 4096,
        topic_partitions: 2,
    };
    Groups::on(compacted(OFFSETS_TOPIC), settings, shards)
}

fn for_seeds(test: &str, range: Range<u64>, body: impl Fn(u64)) {
    seeds::for_seeds(&format!("-p strandline --lib groups::crash::{test}"), range, body);
}

#[test]
fn d9_no_crash_at_any_moment_loses_or_invents_what_a_group_was_told() {
    let name = "d9_no_crash_at_any_moment_loses_or_invents_what_a_group_was_told";
    let counts: Counted = Rc::default();
    for_seeds(name, 0..1, |seed| {
        let mut life = Life::new(seed, Play::Plain, Trouble::NONE);
        life.images = Some(Images::new(counts.clone()));
        life.questions_max = 25;
        life.generations(2);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 500, "{}", counts.borrow());
}

#[test]
fn d9_what_groups_were_told_survives_every_crash() {
    let compactions = std::cell::Cell::new(0);
    let acknowledged = std::cell::Cell::new(0);
    for_seeds("d9_what_groups_were_told_survives_every_crash", 0..60, |seed| {
        let mut life = Life::new(seed, Play::Plain, Trouble::NONE);
        life.generations(4);
        compactions.set(compactions.get() + life.compactions);
        acknowledged.set(acknowledged.get() + life.known.acknowledged);
    });
    assert!(acknowledged.get() > 0);
    eprintln!("{} acknowledgements, {} compactions", acknowledged.get(), compactions.get());
}

#[test]
fn d10_no_crash_at_any_moment_parts_the_offsets_of_a_transaction() {
    let name = "d10_no_crash_at_any_moment_parts_the_offsets_of_a_transaction";
    let counts: Counted = Rc::default();
    for_seeds(name, 0..1, |seed| {
        let mut life = Life::new(seed, Play::Transactions, Trouble::NONE);
        life.images = Some(Images::new(counts.clone()));
        life.questions_max = 25;
        life.generations(2);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 500, "{}", counts.borrow());
}

#[test]
fn d10_the_offsets_of_a_transaction_count_together_or_not_at_all_after_every_crash() {
    let committed = std::cell::Cell::new(0);
    let name = "d10_the_offsets_of_a_transaction_count_together_or_not_at_all_after_every_crash";
    for_seeds(name, 0..60, |seed| {
        let mut life = Life::new(seed, Play::Transactions, Trouble::NONE);
        life.generations(4);
        committed.set(committed.get() + life.known.committed);
    });
    assert!(committed.get() > 0);
    eprintln!("{} transactions were committed", committed.get());
}

#[test]
fn d10_transactions_survive_failing_writes_and_syncs_and_a_full_disk() {
    for_seeds("d10_transactions_survive_failing_writes_and_syncs_and_a_full_disk", 0..60, |seed| {
        let trouble = Trouble { errors: seed % 2 == 0, full: seed % 2 == 1 };
        Life::new(seed, Play::Transactions, trouble).generations(4);
    });
}

#[test]
fn d9_no_crash_at_any_moment_gives_a_partition_two_readers_or_forgets_an_epoch() {
    let name = "d9_no_crash_at_any_moment_gives_a_partition_two_readers_or_forgets_an_epoch";
    let counts: Counted = Rc::default();
    for_seeds(name, 0..1, |seed| {
        let mut life = Life::new(seed, Play::Consumers, Trouble::NONE);
        life.images = Some(Images::new(counts.clone()));
        life.questions_max = 40;
        life.generations(2);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 300, "{}", counts.borrow());
}

#[test]
fn d9_members_of_consumer_groups_find_again_what_they_were_told() {
    let told = std::cell::Cell::new(0);
    for_seeds("d9_members_of_consumer_groups_find_again_what_they_were_told", 0..60, |seed| {
        let mut life = Life::new(seed, Play::Consumers, Trouble::NONE);
        life.generations(4);
        told.set(told.get() + life.known.acknowledged);
    });
    assert!(told.get() > 1000, "{}", told.get());
}

#[test]
fn d9_no_crash_at_any_moment_leaves_a_group_between_two_protocols() {
    let name = "d9_no_crash_at_any_moment_leaves_a_group_between_two_protocols";
    let counts: Counted = Rc::default();
    for_seeds(name, 0..1, |seed| {
        let mut life = Life::new(seed, Play::Mixed, Trouble::NONE);
        life.images = Some(Images::new(counts.clone()));
        life.questions_max = 40;
        life.generations(2);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 300, "{}", counts.borrow());
}

#[test]
fn d9_members_of_groups_that_change_their_protocol_find_again_what_they_were_told() {
    let name = "d9_members_of_groups_that_change_their_protocol_find_again_what_they_were_told";
    let told = std::cell::Cell::new(0);
    for_seeds(name, 0..60, |seed| {
        let mut life = Life::new(seed, Play::Mixed, Trouble::NONE);
        life.generations(4);
        told.set(told.get() + life.known.acknowledged);
    });
    assert!(told.get() > 1000, "{}", told.get());
}

#[test]
fn d9_no_crash_at_any_moment_gives_a_task_two_workers_or_forgets_an_epoch() {
    let name = "d9_no_crash_at_any_moment_gives_a_task_two_workers_or_forgets_an_epoch";
    let counts: Counted = Rc::default();
    for_seeds(name, 0..1, |seed| {
        let mut life = Life::new(seed, Play::Streams, Trouble::NONE);
        life.images = Some(Images::new(counts.clone()));
        life.questions_max = 40;
        life.generations(2);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 300, "{}", counts.borrow());
}

#[test]
fn d9_members_of_streams_groups_find_again_what_they_were_told() {
    let told = std::cell::Cell::new(0);
    for_seeds("d9_members_of_streams_groups_find_again_what_they_were_told", 0..60, |seed| {
        let mut life = Life::new(seed, Play::Streams, Trouble::NONE);
        life.generations(4);
        told.set(told.get() + life.known.acknowledged);
    });
    assert!(told.get() > 1000, "{}", told.get());
}

#[test]
fn d3_what_groups_were_told_survives_failing_writes_and_syncs() {
    for_seeds("d3_what_groups_were_told_survives_failing_writes_and_syncs", 0..40, |seed| {
        Life::new(seed, Play::Plain, Trouble { errors: true, ..Trouble::NONE }).generations(4);
    });
}

/// Seeds that have found a bug. The commits that fixed them tell their stories.
#[test]
fn bugs_that_were_found_stay_fixed() {
    // A swap of compacted segments failed behind its commit; the index of the old segment was written beside
    // the new log, and the next start took it for damage.
    Life::new(1100, Play::Plain, Trouble { errors: true, ..Trouble::NONE }).generations(4);
}

#[test]
fn d7_what_groups_were_told_survives_a_full_disk() {
    for_seeds("d7_what_groups_were_told_survives_a_full_disk", 0..40, |seed| {
        Life::new(seed, Play::Plain, Trouble { full: true, ..Trouble::NONE }).generations(4);
    });
}

#[test]
fn d7_a_commit_is_refused_on_a_full_disk_and_taken_when_there_is_room() {
    let mut life = Life::new(1, Play::Plain, Trouble::NONE);
    let running = life.begin(&Settings::small(2));
    life.known.trouble = true;
    running.process.disk.set_capacity(Some(running.process.disk.used()));
    let before = life.known.acknowledged;
    for _ in 0..200 {
        life.commit(&running, "g0").expect("nothing stops it");
    }
    life.wait_for_answers(&running).expect("nothing stops it");
    assert!(life.known.acknowledged < before + 200, "the disk was full");
    running.process.disk.set_capacity(None);
    for _ in 0..3 {
        life.pass_time(&running, Duration::from_secs(2)).expect("nothing stops it");
    }
    life.known.trouble = false;
    life.commit(&running, "g0").expect("nothing stops it");
    life.wait_for_answers(&running).expect("nothing stops it");
    life.compare(&running, false).expect("nothing stops it");
    life.end(running, Ending::PowerLoss);
    life.begin(&Settings::small(1));
}
