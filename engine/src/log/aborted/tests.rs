//! The file by itself, on the simulated disk.

use super::*;
use crate::segment::{Epochs, OpenFiles};
use crate::sim::{SimDisk, Simulation};

const PATH: &str = "/data/orders-0/aborted";

fn row(producer: i64, first: i64, marker: i64, last_stable: i64) -> AbortedRow {
    let [first_offset, marker_offset, last_stable] = [first, marker, last_stable].map(Offset::new);
    AbortedRow { producer_id: ProducerId(producer), first_offset, marker_offset, last_stable }
}

async fn open(disk: &SimDisk, known: Known) -> Aborted<SimDisk> {
    disk.create_dir(Path::new("/data/orders-0")).await.unwrap();
    let (files, directory) = (OpenFiles::new(1), "/data/orders-0".into());
    let home = Home { disk: disk.clone(), files, directory, epochs: Epochs::default() };
    let is_there =
        disk.list(Path::new("/data/orders-0")).await.unwrap().iter().any(|entry| entry.name == "aborted");
    Aborted::open(Rc::new(home), is_there, known).await.unwrap()
}

/// Producers and first offsets of what a look-up finds.
async fn found(aborted: &Aborted<SimDisk>, start: i64, end: i64) -> Vec<(i64, i64)> {
    let rows = aborted.overlapping(Offset::new(start), Offset::new(end)).await.unwrap();
    rows.iter().map(|row| (row.producer_id.0, row.first_offset.get())).collect()
}

fn last(marker: i64) -> Known {
    Known::Last(Some(Offset::new(marker)))
}

/// 3 begins before 1 ends, and ends last.
const ROWS: [(i64, i64, i64, i64); 4] = [(1, 0, 10, 5), (2, 12, 20, 5), (3, 5, 30, 31), (1, 40, 50, 51)];

#[test]
fn a_reader_is_told_of_each_transaction_that_its_range_touches_and_of_no_other() {
    let mut simulation = Simulation::new(1);
    let disk = simulation.disk();
    simulation.run_until(async {
        let aborted = open(&disk, Known::Last(None)).await;
        // Whatever of them is in the file.
        for (at, (producer, first, marker, last_stable)) in ROWS.into_iter().enumerate() {
            aborted.note(row(producer, first, marker, last_stable));
            if at == 1 {
                aborted.save().await.unwrap();
            }
        }
        for _ in 0..2 {
            assert_eq!(found(&aborted, 0, 5).await, [(1, 0)]);
            assert_eq!(found(&aborted, 0, 6).await, [(1, 0), (3, 5)]);
            assert_eq!(found(&aborted, 11, 13).await, [(2, 12), (3, 5)]);
            assert_eq!(found(&aborted, 21, 40).await, [(3, 5)]);
            assert_eq!(found(&aborted, 30, 31).await, [(3, 5)], "the marker itself");
            assert_eq!(found(&aborted, 31, 40).await, []);
            assert_eq!(found(&aborted, 31, 41).await, [(1, 40)]);
            assert_eq!(found(&aborted, 51, 99).await, []);
            assert_eq!(found(&aborted, 5, 5).await, [], "no offsets");
            aborted.save().await.unwrap();
        }
        assert!(aborted.unsaved.borrow().is_empty());
    });
}

/// What the model is asked for, and how far it is durable.
struct Model {
    rows: Vec<AbortedRow>,
    next: i64,
    checkpoint: Option<Offset>,
    purged_end: i64,
}

impl Model {
    /// A transaction that was aborted, beside others that are open.
    fn next_row(&mut self, rng: &mut fastrand::Rng) -> AbortedRow {
        let stable = self.rows.last().map_or(0, |last| last.last_stable.get());
        let first = rng.i64(stable..=self.next);
        let marker = self.next.max(first) + rng.i64(1..20);
        self.next = marker + rng.i64(1..5);
        let last_stable = if rng.bool() { marker + 1 } else { rng.i64(stable..=first) };
        row(rng.i64(0..9), first, marker, last_stable)
    }

    fn overlapping(&self, start: i64, end: i64) -> Vec<(i64, i64)> {
        let is_told = |row: &&AbortedRow| row.overlaps(Offset::new(start), Offset::new(end));
        self.rows.iter().filter(is_told).map(|row| (row.producer_id.0, row.first_offset.get())).collect()
    }
}

#[test]
fn d10_rows_survive_every_crash_as_far_as_the_checkpoint_says() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut simulation = Simulation::new(seed);
        simulation.disk().install("/data/orders-0/00000000000000000000.log", b"");
        let mut model = Model { rows: Vec::new(), next: 0, checkpoint: None, purged_end: 0 };
        let disk = simulation.disk();
        let mut aborted = simulation.run_until(open(&disk, Known::Last(None)));
        for _ in 0..60 {
            match rng.u8(..16) {
                0..=6 => {
                    let row = model.next_row(&mut rng);
                    model.rows.push(row);
                    aborted.note(row);
                }
                7..=9 => {
                    simulation.run_until(aborted.save()).unwrap();
                    model.checkpoint = aborted.last_marker();
                }
                10 => {
                    // Rows that were never durable stay in front of the recovery point, as in a log.
                    simulation.run_until(aborted.save()).unwrap();
                    model.checkpoint = aborted.last_marker();
                    let end = rng.i64(model.purged_end..=model.next);
                    simulation.run_until(aborted.purge(Offset::new(end))).unwrap();
                    model.rows.retain(|row| row.marker_offset.get() >= end);
                    model.purged_end = end;
                }
                11 => {
                    let end = rng.i64(0..=model.next);
                    simulation.run_until(aborted.cut(Offset::new(end))).unwrap();
                    model.rows.retain(|row| row.marker_offset.get() < end);
                    model.next = end.max(model.rows.last().map_or(0, |last| last.last_stable.get()));
                    model.checkpoint = aborted.last_marker();
                    model.purged_end = model.purged_end.min(end);
                    let saved = aborted.file.get().last.map(|last| last.marker_offset);
                    model.checkpoint = model.checkpoint.filter(|last| Some(*last) == saved);
                    simulation.run_until(aborted.save()).unwrap();
                    model.checkpoint = aborted.last_marker();
                }
                12 | 13 => {
                    drop(aborted);
                    simulation = if rng.bool() { simulation.crash() } else { simulation.kill() };
                    let disk = simulation.disk();
                    aborted = simulation.run_until(open(&disk, Known::Last(model.checkpoint)));
                    assert!(aborted.gap.borrow().is_none(), "seed {seed}: a row is missing");
                    let behind = |row: &&AbortedRow| Some(row.marker_offset) > model.checkpoint;
                    model.rows.iter().filter(behind).for_each(|row| aborted.note(*row));
                }
                _ => {}
            }
            let start = rng.i64(0..=model.next);
            let end = start + rng.i64(1..100);
            let read = simulation.run_until(found(&aborted, start, end));
            assert_eq!(read, model.overlapping(start, end), "seed {seed}: {start} to {end}");
        }
    }
}

#[test]
fn d7_rows_wait_for_room_and_what_a_crash_loses_is_known_to_be_missing() {
    let mut simulation = Simulation::new(1);
    simulation.disk().install("/data/orders-0/00000000000000000000.log", b"");
    let disk = simulation.disk();
    let checkpoint = simulation.run_until(async {
        let aborted = open(&disk, Known::Last(None)).await;
        let [first, rest @ ..] =
            ROWS.map(|(producer, first, marker, stable)| row(producer, first, marker, stable));
        aborted.note(first);
        aborted.save().await.unwrap();
        // The header and a row are there; more than a block has to be appended.
        disk.set_capacity(Some(disk.used()));
        rest.iter().for_each(|row| aborted.note(*row));
        let many = (60..300).map(|at| row(7, at * 10, at * 10 + 1, at * 10 + 2));
        many.for_each(|row| aborted.note(row));
        aborted.save().await.unwrap();
        assert_eq!(aborted.unsaved.borrow().len(), 243, "there was no room");
        assert_eq!(found(&aborted, 11, 13).await, [(2, 12), (3, 5)]);
        aborted.last_marker()
    });
    let mut simulation = simulation.crash();
    let disk = simulation.disk();
    simulation.run_until(async {
        let aborted = open(&disk, Known::Last(checkpoint)).await;
        assert_eq!(found(&aborted, 0, 5).await, [(1, 0)], "before the gap");
        // Some of the rows may have come to the medium.
        let lost = aborted.overlapping(Offset::new(2990), Offset::new(2992)).await;
        assert!(lost.is_err(), "nobody passes the gap");
        assert_eq!(found(&aborted, 3000, 3001).await, [], "behind the gap");
    });
}

#[test]
fn d5_a_damaged_row_is_never_believed() {
    let mut simulation = Simulation::new(1);
    let disk = simulation.disk();
    simulation.run_until(async {
        let aborted = open(&disk, Known::Last(None)).await;
        (0..300).for_each(|at| aborted.note(row(1, at * 10, at * 10 + 5, at * 10 + 6)));
        aborted.save().await.unwrap();
    });
    let length = disk.read_cached(PATH).unwrap().len() as u64;
    for position in (0..length).step_by(41) {
        disk.flip(PATH, position, (position % 8) as u32);
        simulation.run_until(async {
            let aborted = open(&disk, last(2995)).await;
            let damaged = position.saturating_sub(24) / 36;
            for at in 0..300 {
                match aborted.overlapping(Offset::new(at * 10), Offset::new(at * 10 + 1)).await {
                    Ok(rows) => assert_eq!(rows, [row(1, at * 10, at * 10 + 5, at * 10 + 6)]),
                    Err(fault) => assert!(fault.is_damage(), "{fault}"),
                }
            }
            aborted.judge().await.unwrap();
            let rows = if position < 24 { 0 } else { damaged };
            assert_eq!(aborted.file.get().rows, rows, "position {position}: what stands before it is whole");
            let gap = aborted.gap.borrow().clone().unwrap();
            assert_eq!(gap.upto, Offset::new(2995));
        });
        disk.flip(PATH, position, (position % 8) as u32);
        let bytes = disk.read_cached(PATH).unwrap();
        assert!(bytes.len() as u64 <= length);
        if (bytes.len() as u64) < length {
            // It was cut behind the damage: written again for the next one.
            let rows: Vec<_> = (0..300).map(|at| row(1, at * 10, at * 10 + 5, at * 10 + 6)).collect();
            disk.install(PATH, &crate::format::aborted::encode_aborted(Offset::ZERO, &rows));
        }
    }
}
