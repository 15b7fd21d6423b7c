//! Crash images: at each moment of a run at which a crash differs from the one before, disks that it may leave, each with a start on it.
//!
//! ```text
//!   run      ---o-----o--------o------o------>      o  before the disk completes an operation, when one was begun or completed
//!               |     |        |      |                since the last o
//!   image       crash, start, compare, go on
//!                       ---o--o---o-->              the same again, in every so many images: crashes during recovery
//! ```
//!
//! The disk is copied, not the run repeated: an image costs a start and a comparison. A run with images is the same as without.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use fastrand::Rng;

use super::machine::Settings;
use super::plan::{Ending, Operation};
use super::run::Run;
use crate::sim::{OperationKind, SimDisk};

/// Power losses at each place, each with another part of what was not synced; and one kill of the process.
const POWER_LOSSES: usize = 3;

/// In one image of so many the crashes during its recovery are looked at, too.
const RECOVERIES: u64 = 400;

/// One image of so many goes on for a while.
const LIVES: u64 = 8;

/// Looks at crash images of a run.
pub(super) struct Images {
    counts: Rc<RefCell<Counts>>,
    /// Whether the run is a start on an image.
    within: bool,
    changes: Option<u64>,
}

/// What was looked at.
#[derive(Default)]
pub(super) struct Counts {
    /// Runs that were looked at whole.
    pub(super) seeds: u64,
    pub(super) images: u64,
    /// The images that were crashes while a start on another image ran.
    during_recovery: u64,
    kills: u64,
    /// By what the disk had completed last.
    after: BTreeMap<String, u64>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { seeds, images, during_recovery, kills, after } = self;
        write!(
            f,
            "{images} images of {seeds} runs, {kills} of them kills, {during_recovery} of starts on other images; after"
        )?;
        after.iter().try_for_each(|(kind, count)| write!(f, " {kind} {count}"))
    }
}

impl Images {
    pub(super) fn new(counts: Rc<RefCell<Counts>>) -> Images {
        Images { counts, within: false, changes: None }
    }

    /// The images of this moment, unless nothing has changed since the last.
    pub(super) fn take(&mut self, run: &Run, disk: &SimDisk) {
        if self.changes.replace(disk.changes()) == Some(disk.changes()) {
            return;
        }
        // Not the run's own chance: it goes on as if nobody had looked.
        let mut rng = Rng::with_seed(run.seed() ^ disk.changes().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for variant in 0..=POWER_LOSSES {
            let ending = if variant < POWER_LOSSES { Ending::PowerLoss } else { Ending::Kill };
            let mut told = Told { disk, ending, within: self.within, armed: true };
            self.image(run, disk, ending, &mut rng);
            told.armed = false;
        }
    }

    fn image(&self, run: &Run, disk: &SimDisk, ending: Ending, rng: &mut Rng) {
        let number = self.count(ending, disk.last_change());
        let crashed = match ending {
            Ending::PowerLoss => disk.crash(rng),
            Ending::Kill | Ending::Stop => disk.kill(rng),
        };
        let mut image = run.fork(rng.u64(..), crashed, ending);
        if !self.within && number % RECOVERIES == 0 {
            image.images = Some(Images { counts: self.counts.clone(), within: true, changes: None });
        }
        let mut settings = Settings::random(&mut image.rng);
        settings.shards = image.rng.usize(1..=2);
        settings.journal_file_bytes_max = 8192;
        let process = image.start(&settings).expect("nothing stops it");
        if number % LIVES == 0 {
            let mut pick = || rng.u32(..);
            let mut life = Vec::new();
            for _ in 0..3 {
                life.push(Operation::AppendAgain { producer: pick(), back: pick() });
                let producer = Some(pick());
                life.push(Operation::Append { partition: pick(), records: 1, bytes: 100, producer });
            }
            life.push(Operation::Answers);
            let at = Operation::Read { partition: pick(), at: pick(), bytes_max: 1000, anywhere: false };
            life.push(at);
            let lived = life.iter().try_for_each(|operation| image.perform(&process, operation));
            assert!(lived.is_some(), "nothing stops it");
        }
    }

    fn count(&self, ending: Ending, after: Option<OperationKind>) -> u64 {
        let mut counts = self.counts.borrow_mut();
        counts.images += 1;
        counts.during_recovery += u64::from(self.within);
        counts.kills += u64::from(ending == Ending::Kill);
        let after = after.map_or("nothing".to_owned(), |kind| format!("{kind:?}"));
        *counts.after.entry(after).or_default() += 1;
        counts.images
    }
}

/// Says where an image was taken that did not hold.
struct Told<'a> {
    disk: &'a SimDisk,
    ending: Ending,
    within: bool,
    armed: bool,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if self.armed && !super::shrink::is_quiet() {
            let (ending, changes, last) = (self.ending, self.disk.changes(), self.disk.last_change());
            let whose = if self.within { "a start on an image" } else { "the run" };
            eprintln!("{ending:?} of {whose} at change {changes}, after {last:?}\n{}", self.disk.dump());
        }
    }
}
