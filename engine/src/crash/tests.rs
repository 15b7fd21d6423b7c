//! Named properties, each on many seeds.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;

use super::images::{Counts, Images, Subject};
use super::machine::{DATA_DIR, Ending, Process, Settings, start};
use super::plan::{Operation, Plan, Trouble};
use super::run::Run;
use super::table::Table;
use super::transactions::Transactions;
use super::{for_plans, for_seeds};
use crate::config::topic_config_entry;
use crate::error::AppendError;
use crate::format::batch::Producer;
use crate::format::builder::BatchBuilder;
use crate::format::check::check;
use crate::format::compression::Codec;
use crate::format::names;
use crate::io::Disk;
use crate::sim::{OperationKind, Simulation};
use crate::topics::NewTopic;
use crate::types::{PartitionId, ProducerEpoch, Sequence};

const QUIET: Trouble = Trouble {
    errors: false,
    full: false,
    starts: false,
    full_starts: false,
    descriptors: false,
    replicas: false,
};
const REPLICAS: Trouble = Trouble { replicas: true, ..QUIET };
const ERRORS: Trouble = Trouble { errors: true, ..QUIET };
const FULL: Trouble = Trouble { full: true, ..QUIET };
/// And before each start one on a full disk.
const FULL_STARTS: Trouble = Trouble { full_starts: true, ..FULL };
const DESCRIPTORS: Trouble = Trouble { descriptors: true, ..QUIET };
const STARTS: Trouble = Trouble { errors: true, starts: true, ..QUIET };

fn random(trouble: Trouble) -> impl Fn(u64) -> Plan {
    move |seed| Plan::random(seed, trouble, 5)
}

fn play(plan: &Plan) {
    Run::new(plan.seed).play(plan);
}

/// Seeds that have found a bug, with the trouble that it needed. The commits that fixed them tell their
/// stories.
#[test]
fn bugs_that_were_found_stay_fixed() {
    // A start dropped the checkpoint rows of a topic whose deletion was not durable; the next one had the
    // topic, and no log start. A change to durable was answered although a shard stopped before it had synced
    // what it had acknowledged until then.
    for seed in [188, 30050] {
        let mut run = Run::new(seed);
        run.images = Some(Images::new(Rc::default()));
        run.play(&Plan::short(seed, QUIET));
    }
    for (loses_checkpoints, seeds) in [(false, &[8, 98][..]), (true, &[111])] {
        for seed in seeds {
            Table::new(*seed, false).generations(4, loses_checkpoints);
        }
    }
    // A full disk refused a batch, which was cut off; a kill came before any sync, a start showed a log
    // without it, and a power loss brought it back.
    play(&random(FULL)(6418));
    // What was refused lay before what came after it in the same place, in whole sectors: together they
    // looked like a log, with a gap in a producer's sequences.
    play(&random(FULL)(7224));
    // A start on a full disk left the checkpoints of shards that there are not any more. A row of one of them
    // that ended at the same offset won over the newer one, and lay in a segment that was deleted; a shard
    // replaced the only file that had the row of another one's partition. A time was looked for from a log
    // start that the index did not know, and the first batch there was taken for damage.
    for seed in [0, 14, 75] {
        play(&random(FULL_STARTS)(seed));
    }
    // A full disk took no checkpoint, a start removed the segment that the old one ends in, which lay before
    // the log start, and the next start missed it.
    play(&random(FULL_STARTS)(12417));
    // A log was cut off to its start: a batch of another leader epoch stood before it. Its start lay in a
    // batch: the same sequences, sent again, were taken for that one.
    play(&random(REPLICAS)(491));
    // Without a distance between index entries, a log that was cut off where a closed segment ends got a
    // second entry there.
    play(&random(REPLICAS)(2651));
    // The journal write of a truncation failed, and a start cut the log off on the word of the page cache. It
    // was cut short, and the next one had the shorter log and no truncation.
    play(&random(Trouble { replicas: true, ..STARTS })(2601));
    // An index had entries of what was cut off, and the sync that took them out failed: the next look found
    // none, and after a power loss they were there again, and believed.
    play(&random(Trouble { replicas: true, ..STARTS })(1033));
    // A journal write failed and fenced a partition, which then began another leader epoch. After a kill the
    // journal had the batch, of the epoch before.
    play(&random(Trouble { replicas: true, ..STARTS })(2713));
    play(&random(Trouble { replicas: true, ..FULL_STARTS })(12228));
}

#[test]
fn d1_what_was_acknowledged_survives_every_crash() {
    for_plans("d1_what_was_acknowledged_survives_every_crash", 0..300, random(QUIET), play);
}

#[test]
fn d3_what_was_acknowledged_survives_failing_writes_and_syncs() {
    let name = "d3_what_was_acknowledged_survives_failing_writes_and_syncs";
    for_plans(name, 0..300, random(ERRORS), play);
}

#[test]
fn d3_what_was_acknowledged_survives_failing_starts() {
    for_plans("d3_what_was_acknowledged_survives_failing_starts", 0..300, random(STARTS), play);
}

#[test]
fn d7_what_was_acknowledged_survives_a_full_disk() {
    for_plans("d7_what_was_acknowledged_survives_a_full_disk", 0..300, random(FULL_STARTS), play);
}

/// Opens that failed for want of a descriptor fenced partitions until the next start, and had the scrub call
/// sound files damaged.
#[test]
fn d3_a_lack_of_descriptors_loses_nothing_fences_nothing_and_passes() {
    let name = "d3_a_lack_of_descriptors_loses_nothing_fences_nothing_and_passes";
    let plan = |seed| {
        let mut plan = random(DESCRIPTORS)(seed);
        for generation in &mut plan.generations {
            generation.settings.scrub_bytes_per_second = 1 << 20;
        }
        plan
    };
    for_plans(name, 0..300, plan, play);
}

/// Not at random moments: at every one of a short run. The long run of
/// [`docs/testing.md`](../../../docs/testing.md) is this test.
#[test]
fn d1_no_crash_at_any_moment_loses_or_invents_a_record() {
    let name = "d1_no_crash_at_any_moment_loses_or_invents_a_record";
    let counts = Rc::new(RefCell::new(Counts::default()));
    for_plans(
        name,
        0..4,
        |seed| Plan::short(seed, QUIET),
        |plan| {
            let mut run = Run::new(plan.seed);
            run.images = Some(Images::new(counts.clone()));
            run.play(plan);
            counts.borrow_mut().seeds += 1;
        },
    );
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 1000, "{}", counts.borrow());
}

#[test]
fn d4_what_was_cut_off_never_comes_back() {
    for_plans("d4_what_was_cut_off_never_comes_back", 0..300, random(REPLICAS), play);
}

#[test]
fn d4_no_crash_at_any_moment_brings_back_what_was_cut_off() {
    let name = "d4_no_crash_at_any_moment_brings_back_what_was_cut_off";
    let counts = Rc::new(RefCell::new(Counts::default()));
    for_plans(
        name,
        0..6,
        |seed| Plan::short(seed, REPLICAS),
        |plan| {
            let mut run = Run::new(plan.seed);
            run.images = Some(Images::new(counts.clone()));
            run.play(plan);
            counts.borrow_mut().seeds += 1;
        },
    );
    eprintln!("{}", counts.borrow());
    assert!(counts.borrow().images > 1000, "{}", counts.borrow());
}

#[test]
fn d3_what_was_cut_off_stays_away_when_writes_and_syncs_fail() {
    let trouble = Trouble { replicas: true, ..STARTS };
    for_plans("d3_what_was_cut_off_stays_away_when_writes_and_syncs_fail", 0..300, random(trouble), play);
}

#[test]
fn d7_what_was_cut_off_stays_away_on_a_full_disk() {
    let trouble = Trouble { replicas: true, ..FULL_STARTS };
    for_plans("d7_what_was_cut_off_stays_away_on_a_full_disk", 0..300, random(trouble), play);
}

/// Each operation of the disk fails once, in runs that are the same otherwise: those of a first start, of a
/// start after a crash, and of all that follows; opens, renames, removals and syncs of directories, too.
#[test]
fn d3_any_one_operation_of_the_disk_may_fail() {
    for_plans(
        "d3_any_one_operation_of_the_disk_may_fail",
        0..5,
        |seed| Plan::short(seed, QUIET),
        |plan| {
            for failing in 0..plan.generations.len() {
                for number in 0.. {
                    let mut run = Run::new(plan.seed);
                    plan.generations[..failing].iter().for_each(|generation| run.live(generation));
                    let is_reached = run.live_with_fault(&plan.generations[failing], number);
                    drop(run.start(&Settings::small(2)));
                    if !is_reached {
                        break;
                    }
                }
            }
        },
    );
}

/// Nothing can be promised on a disk that says flushed and has not. What is left is still read without a
/// panic, and nothing else is.
#[test]
fn a_disk_that_lies_about_flushes_is_no_panic_and_no_invention() {
    let name = "a_disk_that_lies_about_flushes_is_no_panic_and_no_invention";
    let plan = |seed| {
        let mut plan = Plan::random(seed, QUIET, 1);
        let generation = &mut plan.generations[0];
        generation.attempts.clear();
        generation.operations.insert(0, Operation::Lies(if seed % 2 == 0 { 1.0 } else { 0.1 }));
        plan
    };
    for_plans(name, 0..300, plan, |plan| {
        let mut run = Run::new(plan.seed);
        plan.generations.iter().for_each(|generation| run.live(generation));
        run.start_damaged(&Settings::small(2));
    });
}

#[test]
fn d1_the_newest_record_of_each_key_survives_compaction_and_every_crash() {
    let rounds = Cell::new(0);
    for_seeds("d1_the_newest_record_of_each_key_survives_compaction_and_every_crash", 0..300, |seed| {
        let mut table = Table::new(seed, false);
        table.generations(4, false);
        rounds.set(rounds.get() + table.stats.compactions);
    });
    assert!(rounds.get() > 0, "nothing was ever compacted");
}

#[test]
fn d1_no_crash_at_any_moment_loses_the_newest_record_of_a_key() {
    let name = "d1_no_crash_at_any_moment_loses_the_newest_record_of_a_key";
    let counts = Rc::new(RefCell::new(Counts::default()));
    let rounds = Cell::new(0);
    for_seeds(name, 4..10, |seed| {
        let mut table = Table::new(seed, false);
        table.questions_max = 60;
        table.images = Some(Images::new(counts.clone()));
        table.generations(2, false);
        rounds.set(rounds.get() + table.stats.compactions);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}; {} compactions", counts.borrow(), rounds.get());
    assert!(rounds.get() > 0, "nothing was ever compacted");
}

#[test]
fn d3_the_newest_record_of_each_key_survives_failing_writes_and_syncs() {
    for_seeds("d3_the_newest_record_of_each_key_survives_failing_writes_and_syncs", 0..300, |seed| {
        Table::new(seed, true).generations(4, false);
    });
}

#[test]
fn d8_a_lost_checkpoint_costs_no_record_of_a_compacted_log() {
    for_seeds("d8_a_lost_checkpoint_costs_no_record_of_a_compacted_log", 0..300, |seed| {
        Table::new(seed, false).generations(4, true);
    });
}

#[test]
fn d10_a_transaction_counts_as_a_whole_after_every_crash() {
    for_seeds("d10_a_transaction_counts_as_a_whole_after_every_crash", 0..300, |seed| {
        Transactions::new(seed, false, false).generations(4);
    });
}

#[test]
fn d10_a_transaction_counts_as_a_whole_where_logs_are_cut_off() {
    for_seeds("d10_a_transaction_counts_as_a_whole_where_logs_are_cut_off", 0..300, |seed| {
        Transactions::new(seed, false, true).generations(4);
    });
}

#[test]
fn d10_a_transaction_counts_as_a_whole_after_failing_writes_and_syncs() {
    for_seeds("d10_a_transaction_counts_as_a_whole_after_failing_writes_and_syncs", 0..300, |seed| {
        Transactions::new(seed, true, false).generations(4);
    });
}

#[test]
fn d10_no_crash_at_any_moment_shows_a_part_of_a_transaction() {
    let counts = Rc::new(RefCell::new(Counts::default()));
    for_seeds("d10_no_crash_at_any_moment_shows_a_part_of_a_transaction", 0..3, |seed| {
        let mut transactions = Transactions::new(seed, false, seed % 2 == 1);
        transactions.questions_max = 60;
        transactions.images = Some(Images::new(counts.clone()));
        transactions.generations(2);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
}

#[test]
fn d10_what_was_aborted_is_left_out_after_compaction_and_every_crash() {
    let rounds = Cell::new(0);
    for_seeds("d10_what_was_aborted_is_left_out_after_compaction_and_every_crash", 0..300, |seed| {
        let mut table = Table::new(seed, false);
        table.is_transactional = true;
        table.generations(4, seed % 3 == 2);
        rounds.set(rounds.get() + table.stats.compactions);
    });
    assert!(rounds.get() > 0, "nothing was ever compacted");
}

#[test]
fn d10_no_crash_at_any_moment_shows_what_was_aborted() {
    let name = "d10_no_crash_at_any_moment_shows_what_was_aborted";
    let counts = Rc::new(RefCell::new(Counts::default()));
    for_seeds(name, 0..6, |seed| {
        let mut table = Table::new(seed, false);
        table.is_transactional = true;
        table.questions_max = 60;
        table.images = Some(Images::new(counts.clone()));
        table.generations(2, false);
        counts.borrow_mut().seeds += 1;
    });
    eprintln!("{}", counts.borrow());
}

#[test]
fn d3_what_was_aborted_is_left_out_when_writes_and_syncs_fail() {
    for_seeds("d3_what_was_aborted_is_left_out_when_writes_and_syncs_fail", 0..300, |seed| {
        let mut table = Table::new(seed, true);
        table.is_transactional = true;
        table.generations(4, false);
    });
}

/// Settings of the broker are changed until the machine stops somewhere; then the newest that was
/// acknowledged is in force, or the one that was under way.
#[test]
fn d9_acknowledged_settings_of_the_broker_survive_every_crash() {
    for_seeds("d9_acknowledged_settings_of_the_broker_survive_every_crash", 0..100, |seed| {
        let mut simulation = Simulation::new(seed);
        let (mut acknowledged, mut asked) = (0, 0);
        for _ in 0..4 {
            let process = match start(&mut simulation, &Settings::small(2), |_| {}) {
                Some(process) => process.expect("nothing has failed"),
                None => {
                    simulation = simulation.crash();
                    continue;
                }
            };
            let in_force = process.settings_alike();
            let found = in_force.dynamic.get("log.retention.ms").map_or(0, |value| value.parse().unwrap());
            assert!(
                (acknowledged..=asked).contains(&found),
                "{found} is neither of {acknowledged}..={asked}"
            );
            let of_topics = in_force.topic_defaults.get(topic_config_entry("retention.ms").unwrap());
            assert!(found == 0 || of_topics == found.to_string(), "topics get {of_topics}");
            (acknowledged, asked) = (found, found);
            let disk = simulation.disk();
            disk.stop_after(disk.operations() + simulation.rng().u64(0..120));
            // The machine stops in the middle of one of them.
            let _ = simulation.try_run_until(async {
                loop {
                    asked += 1;
                    let settings = vec![("log.retention.ms".to_owned(), asked.to_string())];
                    process.alter_settings(settings).await.await.expect("it runs").expect("nothing fails");
                    acknowledged = asked;
                }
            });
            drop(process);
            simulation = if simulation.rng().bool() { simulation.crash() } else { simulation.kill() };
        }
        assert!(asked > 0, "nothing was ever asked for");
    });
}

/// A process that has acknowledged one batch in each of `partitions` partitions of one topic.
fn with_topic(seed: u64, partitions: u32) -> (Run, Process, Vec<PartitionId>) {
    let mut run = Run::new(seed);
    let process = run.start(&Settings::small(1)).expect("nothing stops it");
    let ids = run.create_now(&process, "orders", partitions);
    for id in &ids {
        run.append_now(&process, *id).expect("nothing has failed");
    }
    (run, process, ids)
}

#[test]
fn d9_no_producer_id_is_given_twice_where_the_file_of_them_is_gone() {
    let (mut run, process, ids) = with_topic(30, 1);
    let allocate = |run: &mut Run, process: &Process| {
        let answer = run.drive(process.allocate_producer_id()).expect("nothing stops it");
        run.drive(answer).expect("nothing stops it").expect("it is answered").expect("there is one")
    };
    let first = allocate(&mut run, &process);
    let producer = (Producer { id: first, epoch: ProducerEpoch(0) }, Sequence(0));
    let number = run.new_batch(ids[0], 1, 8, Some(producer));
    run.send(&process, number, None).expect("nothing stops it");
    run.wait_for_answers(&process).expect("nothing stops it");
    drop(process);
    run.end(Ending::PowerLoss);
    let disk = run.disk();
    let path = Path::new(DATA_DIR).join(names::PRODUCER_IDS_FILE);
    run.drive(async { disk.remove_file(&path).await }).expect("nothing stops it").expect("it is there");
    let process = run.start(&Settings::small(1)).expect("nothing stops it");
    assert!(allocate(&mut run, &process) > first);
}

/// Ends the process, loses the power, and compares what is there with what was acknowledged.
fn crash_and_compare(mut run: Run, process: Process) {
    drop(process);
    for ending in [Ending::Kill, Ending::PowerLoss, Ending::PowerLoss] {
        run.end(ending);
        drop(run.start(&Settings::small(2)).expect("nothing stops it"));
    }
}

fn under(name: &'static str) -> impl Fn(&Path) -> bool {
    move |path| path.to_str().is_some_and(|path| path.contains(name))
}

#[test]
fn d3_a_failed_segment_write_fences_its_partition_only() {
    let (mut run, process, ids) = with_topic(1, 3);
    process.disk.fail_next(OperationKind::Write, under("orders-1/"), Errno::IO);
    assert!(matches!(run.append_now(&process, ids[1]), Err(AppendError::Fenced { .. })));
    assert!(matches!(run.append_now(&process, ids[1]), Err(AppendError::Fenced { .. })), "it stays fenced");
    run.append_now(&process, ids[0]).expect("another partition");
    run.append_now(&process, ids[2]).expect("another partition");
    run.read_now(&process, ids[1]);
    crash_and_compare(run, process);
}

#[test]
fn d3_a_failed_journal_write_fences_what_it_held_and_the_rest_goes_on() {
    let (mut run, process, ids) = with_topic(2, 3);
    process.disk.fail_next(OperationKind::Write, under("journal-"), Errno::IO);
    assert!(matches!(run.append_now(&process, ids[1]), Err(AppendError::Fenced { .. })));
    for _ in 0..100 {
        run.append_now(&process, ids[0]).expect("another partition, in another file");
        run.append_now(&process, ids[2]).expect("another partition, in another file");
    }
    crash_and_compare(run, process);
}

#[test]
fn d3_a_failed_segment_sync_is_not_repeated_and_its_journal_is_kept() {
    let (mut run, process, ids) = with_topic(3, 3);
    process.disk.fail_next(OperationKind::Sync, under("orders-1/"), Errno::IO);
    for _ in 0..200 {
        run.append_now(&process, ids[0]).expect("another partition");
        // It is fenced as soon as the journal file that it is in is recycled.
        let _ = run.append_now(&process, ids[1]);
    }
    assert!(matches!(run.append_now(&process, ids[1]), Err(AppendError::Fenced { .. })));
    crash_and_compare(run, process);
}

#[test]
fn d3_a_stop_keeps_the_journal_of_what_could_not_be_synced() {
    let (mut run, process, ids) = with_topic(6, 2);
    for _ in 0..10 {
        run.append_now(&process, ids[1]).expect("nothing has failed");
    }
    process.disk.fail_next(OperationKind::Sync, under("orders-1/"), Errno::IO);
    // Whether it says so or not: what counts is what the next start finds.
    let _ = run.drive(process.stop()).expect("nothing stops it");
    drop(process);
    for ending in [Ending::PowerLoss, Ending::Kill, Ending::PowerLoss] {
        run.end(ending);
        drop(run.start(&Settings::small(2)).expect("nothing stops it"));
    }
}

#[test]
fn d3_a_failed_checkpoint_does_not_stop_the_shard_for_good() {
    let (mut run, process, ids) = with_topic(4, 2);
    for kind in [OperationKind::Write, OperationKind::Sync] {
        process.disk.fail_next(kind, under("checkpoint.tmp"), Errno::IO);
    }
    let refused = (0..200).filter(|_| run.append_now(&process, ids[0]).is_err()).count();
    for _ in 0..200 {
        run.append_now(&process, ids[1]).expect("later checkpoints are written");
    }
    assert!(refused == 0 || run.append_now(&process, ids[0]).is_err(), "what was fenced stays fenced");
    crash_and_compare(run, process);
}

#[test]
fn d7_a_full_disk_refuses_appends_until_there_is_room() {
    let (mut run, process, ids) = with_topic(5, 2);
    process.disk.set_capacity(Some(process.disk.used()));
    run.known.full_seen = true;
    let mut refused = 0;
    for _ in 0..100 {
        match run.append_now(&process, ids[0]) {
            Ok(_) => {}
            Err(AppendError::NoSpace(_)) => refused += 1,
            Err(error) => panic!("a full disk is no damage: {error}"),
        }
        run.read_now(&process, ids[0]);
    }
    assert!(refused > 0, "the disk was full");
    process.disk.set_capacity(None);
    for _ in 0..100 {
        run.append_now(&process, ids[0]).expect("there is room again");
    }
    crash_and_compare(run, process);
}

/// Takes the directory of a partition away while nothing runs, durably.
fn take_away(run: &mut Run, name: &str) {
    let (disk, data_dir) = (run.disk(), Path::new(DATA_DIR));
    run.drive(async {
        crate::io::Disk::remove_dir(&disk, &data_dir.join(name)).await.expect("it is there");
        crate::io::Disk::sync_dir(&disk, data_dir).await.expect("it is synced");
    });
}

/// Nothing tells the directory of a lost partition from that of one that was never used but the checkpoint.
#[test]
fn d5_a_directory_that_is_gone_is_named_and_refused_until_somebody_decides() {
    for (bytes, ending) in [(100, Ending::Stop), (30_000, Ending::Stop), (30_000, Ending::Kill)] {
        let mut run = Run::new(8);
        let process = run.start(&Settings::small(1)).expect("nothing stops it");
        let ids = run.create_now(&process, "orders", 3);
        for id in &ids[..2] {
            // What is larger than a journal file is synced where it is, and no journal would miss it.
            let number = run.new_batch(*id, 1, bytes, None);
            run.send(&process, number, None).expect("nothing stops it");
            run.wait_for_answers(&process).expect("nothing stops it");
        }
        run.settle();
        if ending == Ending::Stop {
            run.drive(process.stop()).expect("nothing stops it").expect("a clean stop");
        }
        drop(process);
        run.end(ending);
        take_away(&mut run, "orders-1");
        for _ in 0..2 {
            let process = run.launch(&Settings::small(2)).expect("nothing stops it").expect("it starts");
            assert_eq!(process.report.damaged_partitions, 1, "it is known before anybody asks");
            assert!(run.check_not_short(&process, ids[1]), "it is not empty: it is refused");
            assert!(matches!(run.append_now(&process, ids[1]), Err(AppendError::Fenced { .. })));
            run.read_now(&process, ids[0]);
            assert!(
                !run.check_not_short(&process, ids[2]),
                "one that was never used has no directory, either"
            );
            drop(process);
            run.end(Ending::Kill);
        }
    }
}

/// A process whose topics keep what the setting says, and a partition of 200 batches in several segments.
fn with_defaults(seed: u64, defaults: &[(&str, &str)]) -> (Run, Process, PartitionId) {
    let mut run = Run::new(seed);
    let mut settings = Settings::small(1);
    for (name, value) in defaults {
        settings.topic_defaults.set_unchecked(name, value);
    }
    let process = run.start(&settings).expect("nothing stops it");
    let id = run.create_now(&process, "orders", 1)[0];
    for _ in 0..200 {
        run.append_now(&process, id).expect("nothing has failed");
    }
    (run, process, id)
}

fn logs_of(process: &Process) -> usize {
    let is_log = |path: &Path| under("orders-0/")(path) && path.extension().is_some_and(|kind| kind == "log");
    process.disk.list_all().iter().filter(|(path, _)| is_log(path)).count()
}

#[test]
fn what_is_old_enough_goes_with_its_files_and_offsets_go_on() {
    let (mut run, process, id) = with_defaults(6, &[("retention.ms", "1000")]);
    assert!(logs_of(&process) > 2, "several segments");
    run.retain_now(&process);
    assert_eq!((run.log_start_now(&process, id), logs_of(&process)), (400, 0), "the active one goes, too");
    let appended = run.append_now(&process, id).expect("the log goes on");
    assert_eq!((appended.base_offset.get(), appended.log_start.get()), (400, 400));
    crash_and_compare(run, process);
}

/// Appends so often, has retention look, and gives the log start and how many syncs that took.
fn look(run: &mut Run, process: &Process, id: PartitionId, appends: usize) -> (i64, u64) {
    for _ in 0..appends {
        run.append_now(process, id).expect("nothing has failed");
    }
    run.settle();
    let syncs = || process.owner(id).stats().background_syncs;
    let before = syncs();
    run.retain_now(process);
    (run.log_start_now(process, id), syncs() - before)
}

#[test]
fn retention_syncs_a_log_that_rests_and_one_that_has_made_it_wait_and_no_other() {
    let (mut run, process, id) = with_defaults(9, &[("retention.ms", "1000")]);
    let mut look = |appends| look(&mut run, &process, id, appends);
    assert_eq!(look(0), (400, 1), "nothing was appended since a look");
    assert_eq!(look(1), (400, 0), "it was appended to, and the journal's recycling has not come by");
    assert_eq!(look(0), (402, 1), "it rests");
    assert_eq!(look(1), (402, 0), "it was appended to again");
    assert_eq!(look(1), (406, 1), "it has waited for a minute");
    crash_and_compare(run, process);
}

#[test]
fn retention_waits_for_no_journal_that_does_not_hold_the_records() {
    let (mut run, process, id) = with_defaults(9, &[("retention.ms", "1000"), ("flush.messages", "100000")]);
    assert_eq!(look(&mut run, &process, id, 0).0, 400);
    assert_eq!(look(&mut run, &process, id, 1), (402, 1), "no recycling would sync it");
    crash_and_compare(run, process);
}

#[test]
fn d7_retention_goes_on_on_a_full_disk() {
    let (mut run, process, id) = with_defaults(7, &[("retention.bytes", "9000")]);
    process.disk.set_capacity(Some(process.disk.used()));
    run.known.full_seen = true;
    run.retain_now(&process);
    let log_start = run.log_start_now(&process, id);
    assert!(log_start > 0 && logs_of(&process) <= 2, "log start {log_start}, {} files", logs_of(&process));
    run.read_now(&process, id);
    crash_and_compare(run, process);
}

#[test]
fn d9_a_log_start_is_not_moved_by_a_checkpoint_that_was_not_written() {
    let (mut run, process, ids) = with_topic(8, 1);
    process.disk.fail_next(OperationKind::Write, under("checkpoint.tmp"), Errno::IO);
    assert!(run.delete_now(&process, ids[0]).is_err(), "it can not be made durable");
    assert_eq!(run.log_start_now(&process, ids[0]), 0);
    assert_eq!(run.delete_now(&process, ids[0]).expect("the next checkpoint is another file").get(), 2);
    assert_eq!(run.log_start_now(&process, ids[0]), 2);
    crash_and_compare(run, process);
}

/// Behind a recovery point that a clean stop has left, nothing else syncs the file before it is appended to.
#[test]
fn d4_a_torn_tail_is_cut_for_good() {
    let (mut run, process, _) = with_topic(10, 1);
    run.drive(process.stop()).expect("nothing stops it").expect("a clean stop");
    drop(process);
    run.end(Ending::Stop);
    let path = Path::new(DATA_DIR).join("orders-0/00000000000000000000.log");
    let intact = run.disk().read_durable(&path).expect("it was synced");
    run.disk().install(&path, &[&intact[..], &intact[..100]].concat());
    let process = run.start(&Settings::small(1)).expect("nothing stops it");
    assert_eq!(run.disk().read_cached(&path).as_ref(), Some(&intact), "the tail is cut");
    assert_eq!(run.disk().read_durable(&path), Some(intact), "no crash brings it back");
    crash_and_compare(run, process);
}

/// The rows of shards that there will not be move to another shard's checkpoint, and are in one of the two
/// files at any moment.
#[test]
fn d9_log_starts_survive_every_crash_of_a_start_with_fewer_shards() {
    let mut run = Run::new(9);
    let process = run.start(&Settings::small(3)).expect("nothing stops it");
    for id in run.create_now(&process, "orders", 6) {
        run.append_now(&process, id).expect("nothing has failed");
        run.delete_now(&process, id).expect("nothing has failed");
        assert_eq!(run.log_start_now(&process, id), 2);
    }
    drop(process);
    run.end(Ending::Kill);
    let counts = Rc::new(RefCell::new(Counts::default()));
    run.images = Some(Images::new(counts.clone()));
    run.start(&Settings::small(1)).expect("nothing stops it");
    assert!(counts.borrow().images > 100, "{}", counts.borrow());
}

/// One write of the table deletes all of them; their directories go afterwards, and a start finishes what a
/// crash has cut short.
#[test]
fn d9_topics_deleted_together_are_there_or_gone_after_every_crash() {
    let mut run = Run::new(12);
    let process = run.start(&Settings::small(2)).expect("nothing stops it");
    let mut deleted = Vec::new();
    for name in ["orders", "clicks", "trips"] {
        for id in run.create_now(&process, name, 2) {
            run.append_now(&process, id).expect("nothing has failed");
            deleted.push(id.topic);
        }
    }
    deleted.dedup();
    let kept = run.create_now(&process, "kept", 1)[0];
    run.append_now(&process, kept).expect("nothing has failed");
    let counts = Rc::new(RefCell::new(Counts::default()));
    run.images = Some(Images::new(counts.clone()));
    run.delete_together(&process, &deleted).expect("nothing stops it");
    assert!(counts.borrow().images > 100, "{}", counts.borrow());
    run.images = None;
    let directories = run.disk().list_all();
    assert!(!directories.iter().any(|(path, _)| under("/orders-")(path) || under("/trips-")(path)));
    crash_and_compare(run, process);
}

/// One rotten bit at rest, anywhere: the engine starts or says which file is damaged, and what it serves
/// without a word is right.
#[test]
fn d5_a_rotten_bit_is_never_a_panic_and_never_a_record_nobody_sent() {
    let name = "d5_a_rotten_bit_is_never_a_panic_and_never_a_record_nobody_sent";
    let rot = |seed| {
        let mut run = Run::new(seed);
        let process = run.start(&Settings::small(1)).expect("nothing stops it");
        let ids = run.create_now(&process, "orders", 2);
        for _ in 0..run.rng.usize(1..60) {
            let id = ids[run.rng.usize(..2)];
            run.append_now(&process, id).expect("nothing has failed");
        }
        drop(process);
        run.end(Ending::PowerLoss);
        let files: Vec<(PathBuf, u64)> = run
            .disk()
            .list_all()
            .into_iter()
            .filter(|(path, bytes)| path.starts_with(DATA_DIR) && *bytes > 0)
            .collect();
        let (path, bytes) = files[run.rng.usize(..files.len())].clone();
        let position = run.rng.u64(..bytes);
        run.disk().flip(&path, position, seed as u32 % 8);
        run.start_damaged(&Settings::small(2));
    };
    // The base offset that rotted out of its segment was a panic.
    rot(62_461);
    for_seeds(name, 0..300, rot);
}

/// With `log.cleaner.backoff.ms` of a second, a busy broker compacted a log every two and a half minutes.
#[test]
fn a_shard_whose_compaction_falls_behind_gives_it_more_time_until_it_has_caught_up() {
    let mut settings = Settings::small(1);
    // Far too few to come to an end.
    settings.cleaner.bytes_per_second = 100.0;
    let mut run = Run::new(1);
    let process = run.start(&settings).expect("nothing stops it");
    let new = NewTopic {
        name: "table".to_owned(),
        partitions: 1,
        configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    };
    let topic = run.drive(async { process.create_topic(new).await.await }).expect("nothing stops it");
    let topic = topic.expect("an answer").expect("it is made");
    let id = PartitionId::new(topic.id, 0);
    let shard = process.shards[0].clone();
    let pass = |run: &mut Run, seconds: u64| {
        for _ in 0..seconds {
            run.clock.advance(Duration::from_secs(1));
            shard.tick(run.clock.timestamp());
            run.settle();
        }
        let report = run.drive(shard.report()).expect("nothing stops it");
        (report.background_share, report.compaction_lag_ms, report.stats.compactions)
    };
    assert_eq!(pass(&mut run, 60), (0.1, 0, 0), "nothing waits");
    for round in 0..400 {
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(run.clock.timestamp(), Some(&b"key"[..]), Some(&[round as u8; 100][..]), &[]);
        let rules = topic.config.check_rules(run.clock.timestamp());
        let checked = check(batch.build(), &rules).expect("it keeps the rules");
        let answer = run.drive(shard.append(id, checked)).expect("nothing stops it");
        run.settle();
        drop(answer);
    }
    let (share, lag, rounds) = pass(&mut run, 30);
    assert_eq!((share, rounds), (crate::compaction::SHARE_MAX, 0), "it waits for {lag} ms");
    assert!(lag >= 20_000, "{lag}");
    let quick = vec![("log.cleaner.io.max.bytes.per.second".to_owned(), "1e12".to_owned())];
    let altered = run.drive(async { process.alter_settings(quick).await.await });
    altered.expect("nothing stops it").expect("an answer").expect("it may be changed");
    let (share, lag, rounds) = pass(&mut run, 30);
    assert!(rounds > 0, "it has time to come to an end");
    assert_eq!((share, lag), (0.1, 0), "it has caught up");
}
