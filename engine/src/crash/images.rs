//! Crash images: at each moment of a run at which a crash differs from the one before, disks that it may
//! leave, each with a start on it.
//!
//! ```text
//!   run      ---o-----o--------o------o------>      o  before the disk completes an operation, when one was begun or completed
//!               |     |        |      |                since the last o
//!   image       crash, start, compare, go on
//!                       ---o--o---o-->              the same again, in every so many images: crashes during recovery
//! ```
//!
//! The disk is copied, not the run repeated: an image costs a start and a comparison. A run with images is
//! the same as without.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use fastrand::Rng;

use super::machine::Ending;
use crate::sim::{OperationKind, SimDisk, Simulation};

/// Power losses at each place, each with another part of what was not synced; and one kill of the process.
const POWER_LOSSES: usize = 3;

/// In one image of so many the crashes during its recovery are looked at, too.
const RECOVERIES: u64 = 400;

/// One image of so many goes on for a while.
const LIVES: u64 = 8;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread only tries whether something panics.
pub(super) fn is_quiet() -> bool {
    QUIET.get()
}

/// Runs `body` without a word about what does not hold.
#[cfg(test)]
pub(super) fn quietly<T>(body: impl FnOnce() -> T) -> T {
    QUIET.set(true);
    let result = body();
    QUIET.set(false);
    result
}

/// A run that can be looked at: a machine, and what is known of what runs on it.
pub trait Subject {
    /// The seed of the run.
    fn seed(&self) -> u64;

    /// Where the machine is while nobody drives it.
    fn place(&mut self) -> &mut Option<Simulation>;

    /// Where it is kept whether it is looked at; taken out meanwhile.
    fn images(&mut self) -> &mut Option<Images>;

    /// Takes in the answers that have come.
    fn harvest(&mut self);

    /// Starts on the disk of an image and compares what is there with what is known now.
    fn examine(&self, image: Image);

    /// Runs until `future` is ready; `None` when the machine stops before.
    fn drive<T>(&mut self, future: impl Future<Output = T>) -> Option<T>
    where
        Self: Sized,
    {
        let mut simulation = self.place().take().expect("a machine is there");
        let output = simulation.try_run_until_with(future, |disk| self.look(disk));
        *self.place() = Some(simulation);
        self.harvest();
        output
    }

    /// All wait for the disk: takes in what was answered, and looks at the crashes that may come now.
    fn look(&mut self, disk: &SimDisk)
    where
        Self: Sized,
    {
        self.harvest();
        if let Some(mut images) = self.images().take() {
            images.take(self, disk);
            *self.images() = Some(images);
        }
    }
}

/// One disk that a crash may leave.
pub struct Image {
    /// The seed of the machine that starts on it.
    pub seed: u64,
    /// What is found.
    pub disk: SimDisk,
    /// How the process before ended.
    pub ending: Ending,
    /// For the start on it, when the crashes that interrupt that are to be looked at.
    pub images: Option<Images>,
    /// Whether it goes on for a while after that.
    pub lives: bool,
}

/// Looks at crash images of a run.
pub struct Images {
    counts: Rc<RefCell<Counts>>,
    /// Whether the run is a start on an image.
    within: bool,
    changes: Option<u64>,
}

/// What was looked at.
#[derive(Default)]
pub struct Counts {
    /// Runs that were looked at whole.
    pub seeds: u64,
    /// Images that were looked at.
    pub images: u64,
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
    /// Looks at all that is to come, and counts in `counts`.
    pub fn new(counts: Rc<RefCell<Counts>>) -> Images {
        Images { counts, within: false, changes: None }
    }

    /// The images of this moment, unless nothing has changed since the last.
    fn take(&mut self, run: &impl Subject, disk: &SimDisk) {
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

    fn image(&self, run: &impl Subject, disk: &SimDisk, ending: Ending, rng: &mut Rng) {
        let number = self.count(ending, disk.last_change());
        let disk = match ending {
            Ending::PowerLoss => disk.crash(rng),
            Ending::Kill | Ending::Stop => disk.kill(rng),
        };
        let looks_within = !self.within && number.is_multiple_of(RECOVERIES);
        let images =
            looks_within.then(|| Images { counts: self.counts.clone(), within: true, changes: None });
        let lives = number.is_multiple_of(LIVES);
        run.examine(Image { seed: rng.u64(..), disk, ending, images, lives });
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
        if self.armed && !is_quiet() {
            let (ending, changes, last) = (self.ending, self.disk.changes(), self.disk.last_change());
            let whose = if self.within { "a start on an image" } else { "the run" };
            eprintln!("{ending:?} of {whose} at change {changes}, after {last:?}\n{}", self.disk.dump());
        }
    }
}
