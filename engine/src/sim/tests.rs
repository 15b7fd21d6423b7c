//! The model's own properties, counted over seeds: what must never happen, and what must happen at times.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_channel::oneshot;
use futures_util::future::join;
use rustix::io::Errno;

use super::*;
use crate::io::{self, AlignedBuffer, Disk, OpenMode};
use crate::types::{Position, Timestamp};

const SEEDS: u64 = 200;
const SECTOR: usize = SECTOR_BYTES as usize;

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// Every content that a file has after one of many crashes of this disk; `None` where it is gone.
fn outcomes(disk: &SimDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| disk.crash(&mut Rng::with_seed(seed)).read_cached(name)).collect()
}

/// A simulation with a durable, empty file `/d/file`.
fn with_file(seed: u64) -> (Simulation, SimFile) {
    with_content(seed, &[])
}

fn with_content(seed: u64, content: &[u8]) -> (Simulation, SimFile) {
    let mut simulation = Simulation::new(seed);
    simulation.disk().install("/d/file", content);
    let disk = simulation.disk();
    let file = simulation.run_until(disk.open(path("/d/file"), OpenMode::Existing)).unwrap();
    (simulation, file)
}

async fn put(disk: &SimDisk, file: &SimFile, position: u64, content: &[u8]) -> std::io::Result<()> {
    disk.write(file, Position(position), vec![Bytes::copy_from_slice(content)]).await
}

#[test]
fn synced_data_survives_every_crash() {
    let (mut simulation, file) = with_file(1);
    let disk = simulation.disk();
    let content: Vec<u8> = (0..5000).map(|at| at as u8).collect();
    simulation.run_until(put(&disk, &file, 0, &content)).unwrap();
    simulation.run_until(disk.sync(&file)).unwrap();
    assert_eq!(disk.read_durable("/d/file"), Some(content.clone()));
    assert_eq!(outcomes(&disk, "/d/file"), BTreeSet::from([Some(content)]));
}

#[test]
fn unsynced_data_survives_vanishes_or_tears() {
    let (mut simulation, file) = with_content(1, &[1; 4 * SECTOR]);
    let disk = simulation.disk();
    simulation.run_until(put(&disk, &file, 0, &[2; 4 * SECTOR])).unwrap();
    let outcomes = outcomes(&disk, "/d/file");
    assert_eq!(outcomes.len(), 16, "every subset of four sectors happens");
    for outcome in outcomes {
        let content = outcome.expect("the file is durable");
        assert_eq!(content.len(), 4 * SECTOR);
        assert!(
            content.chunks(SECTOR).all(|sector| sector == [1; SECTOR] || sector == [2; SECTOR]),
            "sectors are whole"
        );
    }
}

#[test]
fn a_length_survives_without_its_data_and_reads_as_zeros() {
    let (mut simulation, file) = with_content(1, b"old");
    let disk = simulation.disk();
    simulation.run_until(put(&disk, &file, 3, b"new")).unwrap();
    let expected: [&[u8]; 3] = [b"old", b"old\0\0\0", b"oldnew"];
    assert_eq!(
        outcomes(&disk, "/d/file"),
        expected.into_iter().map(|content| Some(content.to_vec())).collect()
    );
}

#[test]
fn lengths_survive_as_a_prefix_and_a_synced_cut_is_final() {
    let (mut simulation, file) = with_content(1, &[1; 3000]);
    let disk = simulation.disk();
    simulation.run_until(async {
        put(&disk, &file, 1000, &[2; 2000]).await.unwrap();
        disk.set_len(&file, 1000).await.unwrap();
        disk.set_len(&file, 2000).await.unwrap();
    });
    let lengths: BTreeSet<usize> =
        outcomes(&disk, "/d/file").into_iter().map(|content| content.unwrap().len()).collect();
    assert_eq!(lengths, BTreeSet::from([3000, 1000, 2000]));
    for content in outcomes(&disk, "/d/file").into_iter().flatten().filter(|content| content.len() == 2000) {
        assert_eq!(&content[1000..], [0; 1000], "what was cut does not come back with the length");
    }
    simulation.run_until(disk.sync(&file)).unwrap();
    assert_eq!(outcomes(&disk, "/d/file"), BTreeSet::from([Some([[1; 1000], [0; 1000]].concat())]));
}

#[test]
fn a_sync_covers_what_was_written_before_it_started() {
    let mut late_is_lost = 0;
    for seed in 0..SEEDS {
        let (mut simulation, file) = with_content(seed, &[0; 2 * SECTOR]);
        let disk = simulation.disk();
        simulation.run_until(put(&disk, &file, 0, &[1; SECTOR])).unwrap();
        let (synced, written) =
            simulation.run_until(join(disk.sync(&file), put(&disk, &file, SECTOR as u64, &[2; SECTOR])));
        synced.and(written).unwrap();
        let durable = disk.read_durable("/d/file").unwrap();
        assert_eq!(durable[..SECTOR], [1; SECTOR], "seed {seed}");
        assert_eq!(durable[SECTOR..], [0; SECTOR], "seed {seed}: whichever of the two completed first");
        let after = disk.crash(simulation.rng()).read_cached("/d/file").unwrap();
        late_is_lost += u64::from(after[SECTOR..] == [0; SECTOR]);
    }
    assert!((SEEDS / 5..SEEDS * 4 / 5).contains(&late_is_lost), "{late_is_lost} of {SEEDS}");
}

#[test]
fn a_durable_write_is_durable_when_it_completes_and_torn_while_in_flight() {
    let mut simulation = Simulation::new(1);
    let disk = simulation.disk();
    disk.install("/d/journal", &[1; 4096]);
    let file = simulation.run_until(disk.open(path("/d/journal"), OpenMode::Durable)).unwrap();
    let write = async || {
        let mut buffer = AlignedBuffer::new();
        buffer.extend(&[2; 8192]);
        let (result, buffer) = disk.write_aligned(&file, Position::ZERO, buffer).await;
        result.unwrap();
        assert_eq!(buffer.len(), 8192, "the buffer comes back");
    };
    disk.stop_after(disk.operations());
    assert!(simulation.try_run_until(write()).is_none());
    let torn = outcomes(&disk, "/d/journal");
    assert!(torn.contains(&Some(vec![1; 4096])), "nothing");
    assert!(torn.contains(&Some(vec![2; 8192])), "all");
    assert!(torn.len() > 50, "and {} ways between", torn.len());
    disk.stop_after(u64::MAX);
    simulation.run_until_quiet();
    assert_eq!(
        outcomes(&disk, "/d/journal"),
        BTreeSet::from([Some(vec![2; 8192])]),
        "also when its future was dropped"
    );
}

#[test]
fn a_durable_write_covers_the_length_and_not_its_neighbours() {
    let mut simulation = Simulation::new(1);
    let disk = simulation.disk();
    disk.install("/d/file", &[1; 4096]);
    simulation.run_until(async {
        let buffered = disk.open(path("/d/file"), OpenMode::Existing).await.unwrap();
        let durable = disk.open(path("/d/file"), OpenMode::Durable).await.unwrap();
        put(&disk, &buffered, 0, &[2; 8192]).await.unwrap();
        let mut buffer = AlignedBuffer::new();
        buffer.extend(&[3; 4096]);
        disk.write_aligned(&durable, Position(4096), buffer).await.0.unwrap();
    });
    let outcomes = outcomes(&disk, "/d/file");
    assert!(outcomes.len() > 2, "the neighbour is not synced");
    for content in outcomes.into_iter().flatten() {
        assert_eq!(content[4096..], [3; 4096], "an older write does not come back over a newer durable one");
    }
}

#[test]
fn names_need_a_sync_of_their_directory() {
    let mut simulation = Simulation::new(1);
    let disk = simulation.disk();
    disk.install("/d/old", b"content");
    let file = simulation.run_until(disk.open(path("/d/new"), OpenMode::Create)).unwrap();
    simulation.run_until(put(&disk, &file, 0, b"new")).unwrap();
    simulation.run_until(disk.sync(&file)).unwrap();
    assert_eq!(
        outcomes(&disk, "/d/new"),
        BTreeSet::from([None, Some(b"new".to_vec())]),
        "a synced file may vanish"
    );
    simulation.run_until(disk.rename(path("/d/old"), path("/d/moved"))).unwrap();
    for seed in 0..SEEDS {
        let crashed = disk.crash(&mut Rng::with_seed(seed));
        let (old, moved) = (crashed.read_cached("/d/old"), crashed.read_cached("/d/moved"));
        assert_eq!(old.or(moved.clone()), Some(b"content".to_vec()), "a rename is whole or not at all");
        assert!(
            moved.is_none() || crashed.read_cached("/d/new").is_some(),
            "changes of one directory keep their order"
        );
    }
    assert_eq!(outcomes(&disk, "/d/old").len(), 2, "a rename may be lost");
    simulation.run_until(disk.sync_dir(path("/d"))).unwrap();
    assert_eq!(outcomes(&disk, "/d/new").len(), 1);
    assert_eq!(outcomes(&disk, "/d/moved"), BTreeSet::from([Some(b"content".to_vec())]));
    simulation.run_until(disk.remove_file(path("/d/moved"))).unwrap();
    assert_eq!(outcomes(&disk, "/d/moved").len(), 2, "a removed file may come back");
}

#[test]
fn each_level_of_a_new_directory_needs_a_sync_of_the_one_above() {
    let mut simulation = Simulation::new(1);
    let disk = simulation.disk();
    simulation.run_until(async {
        disk.create_dir(path("/a/b")).await.unwrap();
        disk.open(path("/a/b/file"), OpenMode::Create).await.unwrap();
        disk.sync_dir(path("/a/b")).await.unwrap();
        disk.sync_dir(path("/a")).await.unwrap();
    });
    assert_eq!(outcomes(&disk, "/a/b/file").len(), 2, "/a itself may vanish");
    simulation.run_until(disk.sync_dir(path("/"))).unwrap();
    assert_eq!(outcomes(&disk, "/a/b/file"), BTreeSet::from([Some(Vec::new())]));
}

#[test]
fn a_rename_between_directories_never_loses_the_file() {
    for synced in [None, Some("/a"), Some("/b")] {
        let mut simulation = Simulation::new(1);
        let disk = simulation.disk();
        disk.install("/a/file", b"content");
        disk.install("/b/other", b"");
        simulation.run_until(disk.rename(path("/a/file"), path("/b/file"))).unwrap();
        if let Some(directory) = synced {
            simulation.run_until(disk.sync_dir(path(directory))).unwrap();
        }
        for seed in 0..SEEDS {
            let crashed = disk.crash(&mut Rng::with_seed(seed));
            let names = ["/a/file", "/b/file"].map(|name| crashed.read_cached(name).is_some());
            assert_eq!(names.iter().filter(|there| **there).count(), 1, "{}", crashed.dump());
            assert!(synced.is_none() || names[1]);
        }
    }
}

#[test]
fn a_synced_rename_brings_the_changes_that_it_stands_behind() {
    let mut simulation = Simulation::new(1);
    let disk = simulation.disk();
    disk.install("/a/other", b"");
    disk.install("/b/other", b"");
    simulation.run_until(async {
        disk.open(path("/a/file"), OpenMode::Create).await.unwrap();
        disk.rename(path("/a/file"), path("/b/file")).await.unwrap();
        disk.sync_dir(path("/b")).await.unwrap();
    });
    assert_eq!(outcomes(&disk, "/b/file"), BTreeSet::from([Some(Vec::new())]));
    assert_eq!(
        outcomes(&disk, "/a/file"),
        BTreeSet::from([None]),
        "its making is not done again after its move"
    );
}

#[test]
fn a_directory_sync_covers_what_was_changed_before_it_started() {
    for seed in 0..SEEDS {
        let mut simulation = Simulation::new(seed);
        let disk = simulation.disk();
        simulation.run_until(disk.open(path("/early"), OpenMode::Create)).unwrap();
        let (synced, made) =
            simulation.run_until(join(disk.sync_dir(path("/")), disk.open(path("/late"), OpenMode::Create)));
        synced.and(made.map(drop)).unwrap();
        assert_eq!(disk.read_durable("/early"), Some(Vec::new()), "seed {seed}");
        assert_eq!(disk.read_durable("/late"), None, "seed {seed}");
    }
}

#[test]
fn replace_is_atomic_at_every_crash_point() {
    let (old, new) = (vec![1; 3 * SECTOR + 7], vec![2; 4 * SECTOR + 9]);
    let run = |seed: u64, stop: u64| {
        let mut simulation = Simulation::new(seed);
        let disk = simulation.disk();
        disk.install("/d/file", &old);
        disk.stop_after(stop);
        let replace = io::replace(&disk, path("/d/file"), Bytes::from(new.clone()));
        let done = simulation.try_run_until(replace).map(Result::unwrap).is_some();
        (simulation, done)
    };
    let (simulation, done) = run(0, u64::MAX);
    assert!(done);
    let operations = simulation.disk().operations();
    assert_eq!(operations, 5, "open, write, sync, rename, sync of the directory");
    let mut seen = BTreeSet::new();
    for stop in 0..=operations {
        for seed in 0..SEEDS {
            let (simulation, done) = run(seed, stop);
            let content = simulation.crash().disk().read_cached("/d/file").expect("the file is never gone");
            assert!(
                content == old || content == new,
                "seed {seed}, stopped after {stop}: neither old nor new"
            );
            assert!(!done || content == new, "seed {seed}: replaced, and old again");
            seen.insert((stop, content == new));
        }
    }
    assert!(seen.contains(&(3, true)) && seen.contains(&(3, false)), "a rename in flight goes both ways");
    assert!(seen.contains(&(4, true)) && seen.contains(&(4, false)), "and so does one that is not synced");
}

#[test]
fn a_full_disk_fails_growing_writes_until_there_is_room() {
    let mut partial = 0;
    for seed in 0..SEEDS {
        let mut simulation = Simulation::new(seed);
        let disk = simulation.disk();
        disk.install("/d/other", &[1; 4 * BLOCK_BYTES as usize]);
        disk.set_capacity(Some(6 * BLOCK_BYTES));
        simulation.run_until(async {
            let file = disk.open(path("/d/file"), OpenMode::Create).await.unwrap();
            let other = disk.open(path("/d/other"), OpenMode::Existing).await.unwrap();
            let content = [2; 3 * BLOCK_BYTES as usize];
            let error = put(&disk, &file, 0, &content).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert!(io::is_no_space(&error));
            let written = disk.len(&file).await.unwrap();
            assert!(written <= 2 * BLOCK_BYTES && disk.used() <= 6 * BLOCK_BYTES);
            partial += u64::from(written > 0);
            put(&disk, &other, 100, &content).await.expect("overwriting needs no room");
            disk.remove_file(path("/d/other")).await.unwrap();
            put(&disk, &file, 0, &content).await.expect_err("an open file without a name keeps its room");
            drop(other);
            put(&disk, &file, 0, &content).await.expect("there is room again");
            put(&disk, &file, content.len() as u64, &[3; 4 * BLOCK_BYTES as usize]).await.unwrap_err();
            disk.set_capacity(None);
            put(&disk, &file, content.len() as u64, &[3; 4 * BLOCK_BYTES as usize]).await.unwrap();
        });
    }
    assert!(partial > SEEDS / 2, "{partial} of {SEEDS} left a part");
}

#[test]
fn a_failed_sync_is_reported_once_and_its_data_is_gone() {
    let mut lost_whole = 0;
    for seed in 0..SEEDS {
        let (mut simulation, file) = with_content(seed, &[1; 4 * SECTOR]);
        let disk = simulation.disk();
        disk.fail_next(OperationKind::Sync, |path| path.ends_with("file"), Errno::IO);
        simulation.run_until(put(&disk, &file, 0, &[2; 4 * SECTOR])).unwrap();
        let error = simulation.run_until(disk.sync(&file)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
        assert_eq!(disk.read_cached("/d/file").unwrap(), [2; 4 * SECTOR], "the cache shows it all the same");
        simulation.run_until(disk.sync(&file)).expect("the second sync lies");
        let content = simulation.crash().disk().read_cached("/d/file").unwrap();
        assert_ne!(content, [2; 4 * SECTOR], "seed {seed}: a sector is lost at least");
        lost_whole += u64::from(content == [1; 4 * SECTOR]);
    }
    assert!((1..SEEDS).contains(&lost_whole), "often all, not always: {lost_whole} of {SEEDS}");
}

#[test]
fn faults_keep_their_budget_and_a_failed_write_may_leave_a_part() {
    let (mut simulation, file) = with_content(7, &[1; 8 * SECTOR]);
    let disk = simulation.disk();
    disk.set_faults(Faults {
        write_error: 0.25,
        sync_error: 0.5,
        read_error: 0.1,
        delay: 0.2,
        ..Faults::NONE
    });
    let mut failed = [0; 3];
    let mut lengths_left = BTreeSet::new();
    simulation.run_until(async {
        for round in 0..1000u32 {
            let content = vec![round as u8; 8 * SECTOR];
            let write = put(&disk, &file, 0, &content).await;
            let mark = content[0];
            if write.is_err() {
                failed[0] += 1;
                let cached = disk.read_cached("/d/file").unwrap();
                lengths_left.insert(cached.iter().take_while(|byte| **byte == mark).count());
            }
            failed[1] += u32::from(disk.sync(&file).await.is_err());
            failed[2] += u32::from(disk.read(&file, Position::ZERO, 10).await.is_err());
        }
    });
    assert!((200..300).contains(&failed[0]), "{failed:?}");
    assert!((430..570).contains(&failed[1]), "{failed:?}");
    assert!((60..140).contains(&failed[2]), "{failed:?}");
    assert!(lengths_left.contains(&0) && lengths_left.contains(&(8 * SECTOR)) && lengths_left.len() > 10);
}

#[test]
fn a_failed_write_that_does_not_tear_leaves_nothing() {
    for seed in 0..SEEDS {
        let (mut simulation, file) = with_content(seed, &[1; 100]);
        let disk = simulation.disk();
        disk.set_faults(Faults { torn: false, ..Faults::NONE });
        disk.fail_next(OperationKind::Write, |_| true, Errno::IO);
        simulation.run_until(put(&disk, &file, 0, &[2; 200])).unwrap_err();
        assert_eq!(disk.read_cached("/d/file"), Some(vec![1; 100]));
        simulation.run_until(put(&disk, &file, 0, &[2; 200])).expect("only the next one was to fail");
    }
}

#[test]
fn a_delayed_operation_is_overtaken() {
    let mut overtaken = 0;
    for seed in 0..SEEDS {
        let (mut simulation, file) = with_content(seed, &[1; 4]);
        let disk = simulation.disk();
        disk.set_faults(Faults { delay: 1.0, delay_operations_max: 50, ..Faults::NONE });
        let read = async {
            let slow = disk.read(&file, Position::ZERO, 4);
            let fast = async {
                disk.set_faults(Faults::NONE);
                for _ in 0..10 {
                    put(&disk, &file, 0, &[2; 4]).await.unwrap();
                }
            };
            join(slow, fast).await.0.unwrap()
        };
        overtaken += u64::from(simulation.run_until(read) == [2; 4].as_slice());
    }
    assert!((SEEDS * 9 / 10..=SEEDS).contains(&overtaken), "{overtaken} of {SEEDS}");
}

#[test]
fn a_killed_process_loses_nothing_that_completed() {
    let (mut simulation, file) = with_content(1, &[1; 100]);
    let disk = simulation.disk();
    simulation.run_until(put(&disk, &file, 0, &[2; 200])).unwrap();
    simulation.run_until(disk.open(path("/d/new"), OpenMode::Create)).unwrap();
    let killed = simulation.kill().disk();
    assert_eq!(killed.read_cached("/d/file"), Some(vec![2; 200]));
    assert_eq!(killed.read_cached("/d/new"), Some(Vec::new()));
    assert_eq!(killed.read_durable("/d/file"), Some(vec![1; 100]), "the power may still go out");
    assert!(outcomes(&killed, "/d/file").len() > 2);
}

#[test]
fn an_open_file_outlives_its_name() {
    let (mut simulation, file) = with_content(1, b"content");
    let disk = simulation.disk();
    simulation.run_until(async {
        disk.rename(path("/d/file"), path("/d/moved")).await.unwrap();
        io::replace(&disk, path("/d/moved"), Bytes::from_static(b"another")).await.unwrap();
        for round in 0..1000 {
            io::replace(&disk, path("/d/busy"), Bytes::from(vec![round as u8])).await.unwrap();
        }
        assert_eq!(disk.read(&file, Position::ZERO, 100).await.unwrap(), "content");
        assert_eq!(io::read_whole(&disk, path("/d/moved"), 100).await.unwrap().unwrap(), "another");
    });
}

#[test]
fn operations_of_different_files_complete_in_any_order_and_reads_see_completed_writes() {
    let mut orders = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut simulation = Simulation::new(seed);
        let disk = simulation.disk();
        let order = Rc::new(Cell::new(0u32));
        for name in 1..=3u8 {
            let (disk, order) = (disk.clone(), order.clone());
            simulation.spawn(async move {
                let file = disk.open(path(&format!("/{name}")), OpenMode::Create).await.unwrap();
                put(&disk, &file, 0, &[name; 700]).await.unwrap();
                assert_eq!(disk.read(&file, Position(600), 700).await.unwrap(), [name; 100].as_slice());
                order.set(order.get() * 10 + u32::from(name));
            });
        }
        simulation.run_until_quiet();
        assert_eq!(disk.in_flight(), 0);
        orders.insert(order.get());
    }
    assert_eq!(orders, BTreeSet::from([123, 132, 213, 231, 312, 321]));
}

#[test]
fn names_behave_as_the_system_calls_do() {
    let mut simulation = Simulation::new(1);
    let disk = simulation.disk();
    disk.install("/d/sub/file", b"1234");
    simulation.run_until(async {
        let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(disk.open(path("/x"), OpenMode::Existing).await.map(drop)), ErrorKind::NotFound);
        assert_eq!(kind(disk.open(path("/x/y"), OpenMode::Create).await.map(drop)), ErrorKind::NotFound);
        assert_eq!(kind(disk.open(path("/d"), OpenMode::Existing).await.map(drop)), ErrorKind::IsADirectory);
        assert_eq!(kind(disk.list(path("/d/sub/file")).await.map(drop)), ErrorKind::NotADirectory);
        assert_eq!(kind(disk.remove_file(path("/d/sub")).await), ErrorKind::IsADirectory);
        assert_eq!(kind(disk.create_dir(path("/d/sub/file/x")).await), ErrorKind::NotADirectory);
        assert_eq!(kind(disk.sync_dir(path("/x")).await), ErrorKind::NotFound);
        assert_eq!(kind(disk.rename(path("/d"), path("/d/sub/d")).await), ErrorKind::InvalidInput);
        let entries = disk.list(path("/d")).await.unwrap();
        assert_eq!(entries, [io::Entry { name: "sub".into(), is_dir: true, length: 0 }]);
        let entries = disk.list(path("/d/sub")).await.unwrap();
        assert_eq!(entries, [io::Entry { name: "file".into(), is_dir: false, length: 4 }]);
        let file = disk.open(path("/d/sub/file"), OpenMode::Truncate).await.unwrap();
        assert_eq!(disk.len(&file).await.unwrap(), 0);
        assert_eq!(kind(put(&disk, &file, u64::MAX, b"1").await), ErrorKind::FileTooLarge);
        disk.remove_dir(path("/d")).await.unwrap();
        assert_eq!(kind(disk.list(path("/d")).await.map(drop)), ErrorKind::NotFound);
    });
    assert_eq!(disk.list_all(), []);
    assert!(outcomes(&disk, "/d/sub/file").contains(&Some(b"1234".to_vec())), "nothing of it was synced");
}

#[test]
fn a_rotten_bit_is_seen_before_and_after_a_crash() {
    let disk = SimDisk::new(1);
    disk.install("/file", &[0; 10]);
    disk.flip("/file", 7, 3);
    assert_eq!(disk.read_cached("/file").unwrap(), [0, 0, 0, 0, 0, 0, 0, 8, 0, 0]);
    assert_eq!(outcomes(&disk, "/file"), BTreeSet::from([disk.read_cached("/file")]));
}

/// Runs three tasks that write and sync under faults until the power goes out, and tells what is left.
fn troubled_run(seed: u64) -> (String, Vec<Option<Vec<u8>>>) {
    let mut simulation = Simulation::new(seed);
    let disk = simulation.disk();
    disk.set_faults(Faults { write_error: 0.1, sync_error: 0.1, delay: 0.3, ..Faults::NONE });
    disk.stop_after(simulation.rng().u64(10..60));
    for name in ["/a", "/b", "/c"] {
        let disk = disk.clone();
        simulation.spawn(async move {
            let file = disk.open(path(name), OpenMode::Create).await.unwrap();
            for round in 0..20u64 {
                let _ = put(&disk, &file, round * 900, &[round as u8; 900]).await;
                let _ = disk.sync(&file).await;
                let _ = disk.sync_dir(path("/")).await;
            }
        });
    }
    simulation.run_until_quiet();
    let dump = disk.dump();
    let after = simulation.crash().disk();
    (dump, ["/a", "/b", "/c"].map(|name| after.read_cached(name)).to_vec())
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let runs: Vec<_> = (0..50).map(troubled_run).collect();
    assert_eq!(runs, (0..50).map(troubled_run).collect::<Vec<_>>());
    let different: BTreeSet<_> = runs.into_iter().map(|(_, content)| content).collect();
    assert!(different.len() > 40, "and other seeds give other runs: {}", different.len());
}

#[test]
fn tasks_and_the_awaited_future_wake_each_other() {
    let mut simulation = Simulation::new(1);
    let (question, asked) = oneshot::channel();
    let (answer, answered) = oneshot::channel();
    simulation.spawn(async move { answer.send(asked.await.unwrap() + 1).unwrap() });
    let heard = simulation.run_until(async move {
        question.send(41).unwrap();
        answered.await.unwrap()
    });
    assert_eq!(heard, 42);
}

#[test]
#[should_panic(expected = "seed 77: everything waits")]
fn a_stuck_run_names_its_seed() {
    Simulation::new(77).run_until(std::future::pending::<()>());
}

#[test]
fn the_clock_moves_when_it_is_told_to() {
    let clock = Simulation::new(1).clock();
    let start = clock.instant();
    for _ in 0..4 {
        clock.advance(Duration::from_micros(500));
    }
    assert_eq!(clock.instant() - start, Duration::from_millis(2));
    assert_eq!(clock.timestamp(), Clock::START.plus(2));
    clock.set_timestamp(Timestamp(5));
    clock.advance(Duration::from_millis(1));
    assert_eq!((clock.timestamp(), clock.instant() - start), (Timestamp(6), Duration::from_millis(3)));
}

#[test]
fn a_disk_that_lies_says_done_and_keeps_nothing() {
    let (mut simulation, file) = with_content(1, &[1; SECTOR]);
    let disk = simulation.disk();
    disk.set_faults(Faults { flush_lie: 1.0, ..Faults::NONE });
    simulation.run_until(put(&disk, &file, 0, &[2; SECTOR])).unwrap();
    simulation.run_until(disk.sync(&file)).unwrap();
    assert_eq!(disk.read_cached("/d/file"), Some(vec![2; SECTOR]));
    assert_eq!(outcomes(&disk, "/d/file").len(), 2, "it is there or not, as without the sync");
}

#[test]
fn the_operation_with_the_number_fails_and_no_other() {
    for failing in 0..3 {
        let (mut simulation, file) = with_file(1);
        let disk = simulation.disk();
        disk.fail_at(disk.operations() + failing, Errno::IO);
        let results = [0, 1, 2].map(|at| simulation.run_until(put(&disk, &file, at, b"x")).is_err());
        assert_eq!(results, [failing == 0, failing == 1, failing == 2]);
    }
}

#[test]
fn a_moment_between_two_changes_is_seen_once_for_each() {
    let (mut simulation, file) = with_file(1);
    let disk = simulation.disk();
    let (before, mut seen) = (disk.changes(), BTreeSet::new());
    let done = simulation.try_run_until_with(
        async {
            put(&disk, &file, 0, b"x").await.unwrap();
            disk.len(&file).await.unwrap();
            disk.sync(&file).await.unwrap();
        },
        |disk| {
            seen.insert((disk.changes() - before, disk.last_change()));
        },
    );
    assert!(done.is_some());
    // In flight, then done with the sync in flight; looking at the length is no change.
    let write = Some(OperationKind::Write);
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(1, None), (2, write), (3, write)]);
}
