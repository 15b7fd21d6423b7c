//! A full disk where it hurts most: at a start, and while the room that is left is made by deleting (D7).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use rustix::io::Errno;

use super::images::Subject;
use super::machine::{Ending, Process, Settings};
use super::run::Run;
use crate::error::AppendError;
use crate::sim::{OperationKind, SimDisk};
use crate::types::{Offset, PartitionId, ProducerId};

fn under(name: &'static str) -> impl Fn(&Path) -> bool {
    move |path| path.to_str().is_some_and(|path| path.contains(name))
}

/// A process with a topic, and 100 batches in each of its partitions.
fn with_records(seed: u64, settings: &Settings) -> (Run, Process, Vec<PartitionId>) {
    let mut run = Run::new(seed);
    let process = run.start(settings).expect("nothing stops it");
    let ids = run.create_now(&process, "orders", 2);
    for _ in 0..100 {
        for id in &ids {
            run.append_now(&process, *id).expect("nothing has failed");
        }
    }
    (run, process, ids)
}

/// Starts on a disk that has no block left.
fn start_full(run: &mut Run, settings: &Settings) -> Process {
    run.disk().set_capacity(Some(0));
    let process = run.launch(settings).expect("nothing stops it");
    run.known.full_seen = true;
    process.unwrap_or_else(|error| panic!("a full disk is no reason not to start: {error}"))
}

#[test]
fn d7_a_full_disk_starts_serves_and_takes_appends_when_there_is_room() {
    for ending in [Ending::Kill, Ending::Stop] {
        let settings = Settings::small(2);
        let (mut run, process, ids) = with_records(20, &settings);
        if ending == Ending::Stop {
            run.drive(process.stop()).expect("nothing stops it").expect("a clean stop");
        }
        drop(process);
        run.end(ending);
        let process = start_full(&mut run, &settings);
        assert_eq!(process.report.damaged_partitions, 0);
        for id in &ids {
            run.read_now(&process, *id);
        }
        // After a kill, blocks that were taken before may be free for a while.
        let refused = (0..200).find_map(|at| run.append_now(&process, ids[at % 2]).err());
        assert!(matches!(refused, Some(AppendError::NoSpace(_))), "{ending:?}: {refused:?}");
        process.disk.set_capacity(None);
        for id in &ids {
            run.append_now(&process, *id).expect("there is room again");
            run.read_now(&process, *id);
        }
        drop(process);
        for ending in [Ending::Kill, Ending::PowerLoss, Ending::PowerLoss] {
            run.end(ending);
            drop(run.start(&settings).expect("nothing stops it"));
        }
    }
}

/// The power goes out, and what the journal holds finds no room in its segments: nobody is told of a shorter
/// log, and nothing of it is lost when there is room, in the same process or in a later one.
#[test]
fn d2_what_finds_no_room_at_a_start_is_refused_until_it_is_back() {
    let mut refused = 0;
    for seed in 0..20 {
        let mut settings = Settings::small(1);
        // Nothing is synced but the journal.
        settings.journal_file_bytes_max = 1 << 20;
        settings.topic_defaults.set_unchecked("segment.bytes", "100000");
        let (mut run, process, ids) = with_records(seed, &settings);
        drop(process);
        run.end(Ending::PowerLoss);
        let process = start_full(&mut run, &settings);
        let waiting = process.report.waiting_partitions;
        for id in &ids {
            let is_short = run.check_not_short(&process, *id);
            refused += u64::from(is_short);
            if is_short {
                let appended = run.append_now(&process, *id);
                assert!(matches!(appended, Err(AppendError::NoSpace(_))), "{appended:?}");
                assert!(run.check_not_short(&process, *id), "it stays so while there is no room");
            }
        }
        assert!(waiting == 0 || refused > 0);
        if seed % 2 == 0 {
            drop(process);
            run.end(Ending::Kill);
            let process = run.start(&settings).expect("nothing stops it");
            for id in &ids {
                run.append_now(&process, *id).expect("there is room");
            }
            continue;
        }
        process.disk.set_capacity(None);
        // Whoever takes the turn and then waits for the background meets a look that wants both.
        run.clock.advance(Duration::from_secs(2));
        process.shards.iter().for_each(|shard| shard.tick(run.clock.timestamp()));
        let end = Offset::new(i64::MAX);
        let truncated =
            run.drive(process.owner(ids[0]).truncate(ids[0], end)).expect("nobody waits for ever");
        assert!(truncated.is_ok() || waiting > 0, "{truncated:?}");
        run.look_for_room_now(&process);
        for id in &ids {
            assert!(!run.check_not_short(&process, *id), "there is room");
            run.read_now(&process, *id);
            run.append_now(&process, *id).expect("there is room");
        }
        drop(process);
        for ending in [Ending::Kill, Ending::PowerLoss] {
            run.end(ending);
            drop(run.start(&settings).expect("nothing stops it"));
        }
    }
    assert!(refused > 0, "no segment ever lacked room");
}

/// What makes room needs none: not one block is free, and topics are deleted, settings changed, one after the
/// other.
#[test]
fn d7_a_disk_without_a_free_block_deletes_topics_and_takes_a_shorter_retention() {
    use crate::topics::{ConfigChange, ConfigStep};
    let settings = Settings::small(2);
    let (mut run, process, ids) = with_records(24, &settings);
    let other = run.create_now(&process, "clicks", 2);
    run.append_now(&process, other[0]).expect("nothing has failed");
    let allocated = run.drive(process.allocate_producer_id()).expect("nothing stops it");
    run.settle();
    assert_eq!(run.drive(allocated).expect("nothing stops it").expect("an answer").ok(), Some(ProducerId(0)));
    process.disk.set_capacity(Some(0));
    run.known.full_seen = true;
    let new = crate::topics::NewTopic { name: "more".to_owned(), partitions: 1, configs: Vec::new() };
    let created = run.drive(process.create_topic(new)).expect("nothing stops it");
    let created = run.drive(created).expect("nothing stops it").expect("an answer");
    assert!(
        matches!(created, Err(crate::error::TopicError::NoSpace(_))),
        "what takes room is refused: {created:?}"
    );
    for _ in 0..1001 {
        let id = run.drive(process.allocate_producer_id()).expect("nothing stops it");
        run.drive(id).expect("nothing stops it").expect("an answer").expect("an id takes no room");
    }
    let shorter = ConfigStep::Set("retention.ms".to_owned(), "1".to_owned());
    let altered = process.alter_topic(ids[0].topic, ConfigChange::Steps(vec![shorter]));
    let altered = run.drive(altered).expect("nothing stops it");
    run.drive(altered).expect("nothing stops it").expect("an answer").expect("retention gets shorter");
    // What is there fills the disk again, but for what is given back.
    process.disk.set_capacity(Some(process.disk.used()));
    let deleted = run.drive(process.delete_topic(other[0].topic)).expect("nothing stops it");
    run.drive(deleted).expect("nothing stops it").expect("an answer").expect("a topic is deleted");
    let files = process.disk.list_all();
    assert!(files.iter().all(|(path, _)| !under("/clicks-")(path)), "its room is free: {files:?}");
    let reserve = files.iter().find(|(path, _)| path.ends_with("reserve-3"));
    assert!(reserve.is_some(), "and there is a reserve again");
    let before = process.disk.used();
    run.retain_now(&process);
    assert!(process.disk.used() < before, "retention has made room");
    drop(process);
    run.end(Ending::PowerLoss);
    let process = run.launch(&settings).expect("nothing stops it").expect("it starts");
    let topics = process.topics.get();
    assert!(topics.by_name("clicks").is_none() && topics.deleted().is_empty());
    assert_eq!(topics.by_name("orders").expect("it is there").own_configs.len(), 1);
}

/// A shard that nobody appends to finds out by itself that there is room.
#[test]
fn d7_an_idle_shard_finds_out_that_the_disk_has_room_again() {
    let settings = Settings::small(1);
    let (mut run, process, ids) = with_records(21, &settings);
    process.disk.set_capacity(Some(0));
    run.known.full_seen = true;
    while run.append_now(&process, ids[0]).is_ok() {}
    let is_full = |run: &mut Run, process: &Process| {
        run.look_for_room_now(process);
        run.drive(process.shards[0].report()).expect("nothing stops it").disk_full
    };
    assert!(is_full(&mut run, &process));
    process.disk.set_capacity(None);
    assert!(!is_full(&mut run, &process), "nobody has appended");
    run.append_now(&process, ids[0]).expect("there is room");
}

/// A journal grows while there is room. Where there is none for a larger file, the old ones serve on, and
/// nobody is refused.
#[test]
fn d7_a_journal_that_finds_no_room_to_grow_goes_on_with_the_files_it_has() {
    let mut settings = Settings::small(1);
    settings.journal_file_bytes_max = 8 << 20;
    let (mut run, process, ids) = with_records(23, &settings);
    for _ in 0..4 {
        process.disk.fail_next(OperationKind::Open, under("journal-"), Errno::NOSPC);
    }
    let files = |process: &Process| {
        let files = process.disk.list_all().into_iter();
        files.filter(|(path, _)| under("journal-")(path)).map(|(_, length)| length).collect::<Vec<_>>()
    };
    let before = files(&process);
    // Each takes a block of 4 KiB: some four files of 1 MiB.
    for number in 0..1000 {
        run.append_now(&process, ids[number % 2]).expect("the files that are there do");
    }
    assert_eq!(files(&process), before, "none has grown");
    for number in 0..1500 {
        run.append_now(&process, ids[number % 2]).expect("there is room again");
    }
    assert!(files(&process).iter().sum::<u64>() > before.iter().sum(), "one has grown");
    drop(process);
    for ending in [Ending::Kill, Ending::PowerLoss] {
        run.end(ending);
        drop(run.start(&settings).expect("nothing stops it"));
    }
}

/// The removal of a first segment may not be durable: a log start that somebody has seen would go back.
#[test]
fn d3_a_log_start_does_not_move_by_a_removal_whose_sync_has_failed() {
    let mut settings = Settings::small(1);
    settings.topic_defaults.set_unchecked("retention.bytes", "9000");
    let (mut run, process, ids) = with_records(22, &settings);
    process.disk.set_capacity(Some(0));
    run.known.full_seen = true;
    process.disk.fail_next(OperationKind::SyncDir, under("orders-0"), Errno::IO);
    process.disk.fail_next(OperationKind::SyncDir, under("orders-1"), Errno::IO);
    run.retain_now(&process);
    for id in &ids {
        assert_eq!(run.log_start_now(&process, *id), 0);
        assert!(matches!(run.append_now(&process, *id), Err(AppendError::Fenced { .. })));
    }
    drop(process);
    for ending in [Ending::PowerLoss, Ending::Kill] {
        run.end(ending);
        drop(run.start(&settings).expect("nothing stops it"));
    }
}

/// What a full disk refused is cleared away for good: no power loss brings back a byte of it, or a segment
/// that was begun for it. Else a start that has none of it is followed by one that has, or it stands behind
/// what came in its place, and the two look like one log.
#[test]
fn d4_what_a_full_disk_refused_is_cleared_away_durably() {
    for seed in 0..20 {
        let mut settings = Settings::small(1);
        // Nothing is synced but the journal, and what is cleared away.
        settings.journal_file_bytes_max = 1 << 20;
        let (mut run, process, ids) = with_records(seed, &settings);
        run.drive(process.stop()).expect("nothing stops it").expect("a clean stop");
        drop(process);
        run.end(Ending::Stop);
        let process = run.start(&settings).expect("nothing stops it");
        process.disk.set_capacity(Some(process.disk.used()));
        let refused = (0..200).find_map(|at| run.append_now(&process, ids[at % 2]).err());
        assert!(matches!(refused, Some(AppendError::NoSpace(_))), "{refused:?}");
        let logs = |disk: &SimDisk| {
            let files = disk.list_all().into_iter();
            files.filter(|(path, _)| path.extension().is_some_and(|kind| kind == "log")).collect()
        };
        let kept: BTreeMap<PathBuf, u64> = logs(&process.disk);
        let mut rng = Rng::with_seed(seed);
        for _ in 0..100 {
            let found: BTreeMap<PathBuf, u64> = logs(&process.disk.crash(&mut rng));
            for (path, bytes) in found {
                let kept = kept.get(&path).copied();
                assert!(kept.is_some_and(|kept| bytes <= kept), "{}: {bytes} of {kept:?}", path.display());
            }
        }
        process.disk.set_capacity(None);
    }
}
