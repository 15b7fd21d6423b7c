//! The ring: a private io_uring of a thread, which carries its operations out and which the thread sleeps in.
//!
//! * What one turn of the executor starts goes to the kernel in one system call, which also waits, when there
//!   is nothing else to do.
//! * The kernel posts completions when it is asked, not whenever they occur (`DEFER_TASKRUN`): no interrupt,
//!   and all in one batch.
//! * Where the thread sleeps in another runtime's ring, completions count up the doorbell, which that ring
//!   reads ([`Ring::counting_up`]).

#![allow(unsafe_code)]

mod submission;

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode, squeue, types};

use self::submission::{OPCODES, submission};
use super::doorbell::Doorbell;
use super::slots::{Aftermath, Key, Slots, Wait};

/// Submission queue entries; 28 KiB of locked memory on a new kernel. More operations than this wait in user
/// space.
const RING_DEPTH: u32 = 256;

/// How many kernel threads may wait for disks at once on behalf of one executor. 64 syncs take 4.7 ms with
/// the kernel's default of 8 on two cores, 2.05 ms with 32.
const WORKERS_MAX: u32 = 32;

/// The completion of a cancellation, which nobody waits for.
const CANCELLATION: u64 = u64::MAX;

/// The completion of the wait for the doorbell.
const DOORBELL: u64 = u64::MAX - 1;

/// Why threads can not have a ring, or not one that does what is needed.
pub(crate) struct Refused {
    /// It is forbidden here (`EPERM`) or not there (`ENOSYS`, or an operation that this kernel does not
    /// know): not for want of something that comes back.
    pub(crate) is_absent: bool,
    /// What is refused, and what to do about it.
    pub(crate) error: io::Error,
}

impl Refused {
    fn new(error: &io::Error, told: String) -> Refused {
        let is_absent = matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS));
        Refused { is_absent, error: io::Error::new(error.kind(), told) }
    }

    /// A system call of the ring that is blocked.
    fn call(name: &str, error: &io::Error) -> Refused {
        let hint = "the container's seccomp profile has to allow io_uring_setup, io_uring_enter and io_uring_register";
        Refused::new(error, format!("{name} is refused: {error}: {hint}"))
    }
}

/// Finds out, on a thread that has no ring, whether one can be had and does all that is asked of it: sets one
/// up, asks it for its operations, has it carry out one that does nothing, and takes it apart.
///
/// # Errors
/// What is refused or missing, and what to do about it.
pub(crate) fn probe() -> Result<(), Refused> {
    let mut ring = build(true).and_then(new_enough).map_err(explain)?;
    let mut known = Probe::new();
    let asked = ring.submitter().register_probe(&mut known);
    asked.map_err(|error| Refused::call("io_uring_register", &error))?;
    let missing: Vec<_> =
        OPCODES.iter().filter(|(code, _)| !known.is_supported(*code)).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        let what =
            format!("this kernel's io_uring does not do {}: 5.13 or newer is needed", missing.join(", "));
        let error = io::Error::new(io::ErrorKind::Unsupported, what);
        return Err(Refused { is_absent: true, error });
    }
    // SAFETY: an operation that does nothing leads to no memory.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }.expect("the queue is empty");
    ring.submit_and_wait(1).map(drop).map_err(|error| Refused::call("io_uring_enter", &error))
}

pub(super) struct Ring {
    ring: IoUring,
    doorbell: Doorbell,
    /// Whether the kernel watches the doorbell.
    doorbell_watched: bool,
    /// Empty between two turns: memory for the completions of one.
    completions: Vec<(u64, i32, u32)>,
}

impl Ring {
    /// Sets a ring up, on the thread that will use it and sleep in it.
    ///
    /// # Errors
    /// When io_uring is blocked, missing, or out of locked memory; the message says what to do about it.
    pub(super) fn new(doorbell: &Doorbell) -> io::Result<Ring> {
        Ring::of(build(true), doorbell)
    }

    /// Sets up a ring of a thread that sleeps elsewhere: completions count the doorbell up. Without deferral
    /// they are posted by whichever system call the thread is in, so also while it sleeps in another ring.
    #[cfg(feature = "glommio")]
    pub(super) fn counting_up(doorbell: &Doorbell) -> io::Result<Ring> {
        let ring = Ring::of(build(false), doorbell)?;
        ring.ring.submitter().register_eventfd(doorbell.as_raw_fd())?;
        Ok(ring)
    }

    fn of(built: io::Result<IoUring>, doorbell: &Doorbell) -> io::Result<Ring> {
        let ring = built.and_then(new_enough).map_err(|error| explain(error).error)?;
        unpin_workers(&ring);
        let doorbell = doorbell.clone();
        Ok(Ring { ring, doorbell, doorbell_watched: false, completions: Vec::new() })
    }

    /// Submits what was started, takes in what is complete, in at most one system call. It waits only when
    /// nothing more could be submitted.
    ///
    /// # Errors
    /// When the kernel refuses for good.
    pub(super) fn turn(
        &mut self,
        slots: &mut Slots,
        wait: Wait,
        aftermath: &mut Aftermath,
    ) -> io::Result<()> {
        if wait != Wait::No && !self.doorbell_watched {
            self.watch();
        }
        self.fill(slots);
        let entered = self.enter(slots, wait);
        self.complete(slots, aftermath);
        entered
    }

    /// Whether another turn would hand something to the kernel.
    #[cfg(feature = "glommio")]
    pub(super) fn has_submissions(&mut self, slots: &Slots) -> bool {
        slots.has_submissions(self.in_flight_max()) || !self.ring.submission().is_empty()
    }

    /// At most as many operations that end by themselves as the completion queue has room for.
    fn in_flight_max(&self) -> usize {
        self.ring.params().cq_entries() as usize
    }

    /// Has the kernel tell of the doorbell, from now on. It is never read: each ring counts, whatever the
    /// sum.
    fn watch(&mut self) {
        if self.ring.submission().is_full() {
            return;
        }
        let descriptor = types::Fd(self.doorbell.as_raw_fd());
        let entry = opcode::PollAdd::new(descriptor, libc::POLLIN as u32).multi(true).build();
        self.push(&entry.user_data(DOORBELL));
        self.doorbell_watched = true;
    }

    /// Fills the submission queue.
    fn fill(&mut self, slots: &mut Slots) {
        let in_flight_max = self.in_flight_max();
        while !self.ring.submission().is_full() {
            let Some((key, operation)) = slots.submit_next(in_flight_max) else { break };
            let entry = submission(&mut operation.op).user_data(key.to_user_data());
            self.push(&entry);
        }
        while !self.ring.submission().is_full() {
            let Some(key) = slots.next_cancelled() else { break };
            let entry = opcode::AsyncCancel::new(key.to_user_data()).build();
            self.push(&entry.user_data(CANCELLATION));
        }
    }

    /// Hands the submission queue to the kernel, has it post completions, and waits for one. No system call
    /// when there is no reason.
    ///
    /// # Errors
    /// When the kernel refuses for good.
    fn enter(&mut self, slots: &Slots, wait: Wait) -> io::Result<()> {
        let queue = self.ring.submission();
        // Without the flag (an old kernel) completions are posted by any system call, this one or another.
        let due = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
        drop(queue);
        let waits = wait != Wait::No
            && !slots.has_submissions(self.in_flight_max())
            && self.ring.completion().is_empty();
        let entered = match wait {
            Wait::AtMost(patience) if waits => self.wait(slots, patience),
            _ if due => self.ring.submit(),
            _ => return Ok(()),
        };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // The time is up. Interrupted, out of memory for the moment, or the completion queue is full:
                // the entries stay queued, and the next turn, after completions were taken out, submits them.
                Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Hands the submission queue to the kernel and waits for a completion, `patience` at most.
    fn wait(&mut self, slots: &Slots, patience: Option<Duration>) -> io::Result<usize> {
        let flags = wait_flags(self.ring.params().is_feature_no_iowait(), slots.submitted());
        let submissions = self.ring.submission().len() as u32;
        let patience = patience.map(Timespec::from);
        let arguments = match &patience {
            Some(patience) => SubmitArgs::new().timespec(patience),
            None => SubmitArgs::new(),
        };
        // SAFETY: the flags go with the argument, which lives until the call returns; the entries that are
        // submitted are those of `push`.
        unsafe { self.ring.submitter().enter(submissions, 1, flags.bits(), Some(&arguments)) }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: an entry's pointers lead to heap memory owned by an operation in its slot, which stays
        // there, unchanged, until its completion has been taken in; the driver waits for that before it is
        // dropped. Descriptors are owned by the operation too, or, for a poll, borrowed by a future; a closed
        // one makes the kernel answer EBADF and touches no memory.
        unsafe { self.ring.submission().push(entry) }.expect("there is room");
    }

    fn complete(&mut self, slots: &mut Slots, aftermath: &mut Aftermath) {
        // Collected first: the queue is borrowed while it is read.
        let mut completions = std::mem::take(&mut self.completions);
        completions.extend(self.ring.completion().map(|it| (it.user_data(), it.result(), it.flags())));
        for (user_data, result, flags) in completions.drain(..) {
            if user_data == CANCELLATION {
                continue;
            }
            if user_data == DOORBELL {
                self.doorbell_watched = cqueue::more(flags);
                continue;
            }
            let key = Key::from_user_data(user_data);
            let operation = slots.get(key).expect("a completion belongs to an operation under way");
            let step = operation.op.advance(result);
            slots.settle(key, step, aftermath);
        }
        self.completions = completions;
    }
}

/// How a wait is asked for. While nothing but peers, timers and doorbells is waited for, the thread says so
/// where the kernel can be told (6.15): any ring with something under way counts as waiting for a disk
/// otherwise (since 6.5), and an idle broker shows as cores that wait for one.
fn wait_flags(can_tell: bool, disk_operations: usize) -> EnterFlags {
    let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
    match can_tell && disk_operations == 0 {
        true => flags | EnterFlags::NO_IOWAIT,
        false => flags,
    }
}

/// `DEFER_TASKRUN` (kernel 6.1) has completions wait until this thread asks for them: nothing interrupts it,
/// and a wait takes in all that is there. `COOP_TASKRUN` (5.19) only saves the interrupts. `SUBMIT_ALL`
/// (5.18) goes on behind a submission that is refused.
fn build(deferring: bool) -> io::Result<IoUring> {
    let mut deferred = IoUring::builder();
    deferred.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
    let mut cooperative = IoUring::builder();
    cooperative.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
    let wanted = if deferring { vec![deferred, cooperative] } else { vec![cooperative] };
    for builder in wanted {
        match builder.build(RING_DEPTH) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => return result,
        }
    }
    IoUring::new(RING_DEPTH)
}

/// Refuses what can not wait for a time (5.11) or watch a descriptor without end (5.13, which is also the
/// first to have resource tags).
fn new_enough(ring: IoUring) -> io::Result<IoUring> {
    match ring.params().is_feature_ext_arg() && ring.params().is_feature_resource_tagging() {
        true => Ok(ring),
        false => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
    }
}

/// Says what to do about a ring that can not be had.
fn explain(error: io::Error) -> Refused {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "it is blocked, by the sysctl kernel.io_uring_disabled (set it to 0) or by the container's seccomp profile \
             (allow io_uring_setup, io_uring_enter and io_uring_register)"
        }
        Some(libc::ENOSYS) => {
            "this kernel has none or an old one (5.13 or newer is needed), or the container's seccomp profile hides it (allow io_uring_setup, \
             io_uring_enter and io_uring_register)"
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "there are too few descriptors (raise `ulimit -n`, or LimitNOFILE= of the service; the system's limit is the sysctl fs.file-max)"
        }
        Some(libc::ENOMEM) => {
            "the limit on locked memory is used up by all rings of this user (raise `ulimit -l`, or LimitMEMLOCK= of the \
             service)"
        }
        _ => "unexpected",
    };
    Refused::new(&error, format!("io_uring can not be set up: {error}: {hint}"))
}

/// The kernel's worker threads inherit the executor's one CPU, and there are few of them. Both are wishes:
/// without them the ring is slower and right.
fn unpin_workers(ring: &IoUring) {
    let submitter = ring.submitter();
    if let Err(error) = submitter.register_iowq_max_workers(&mut [WORKERS_MAX, 0]) {
        tracing::debug!(%error, "the number of io_uring workers stays as it is");
    }
    let process = rustix::process::getpid();
    let Ok(allowed) = rustix::thread::sched_getaffinity(Some(process)) else { return };
    // SAFETY: a CPU set is an array of bits, and no bits is a value.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in (0..libc::CPU_SETSIZE as usize).filter(|cpu| allowed.is_set(*cpu)) {
        // SAFETY: sets a bit below CPU_SETSIZE.
        unsafe { libc::CPU_SET(cpu, &mut cpus) };
    }
    if let Err(error) = submitter.register_iowq_aff(&cpus) {
        tracing::debug!(%error, "io_uring workers stay on this executor's CPU");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_peers_is_no_wait_for_a_disk_where_the_kernel_can_be_told() {
        for (can_tell, disk_operations, told) in
            [(true, 0, true), (true, 1, false), (false, 0, false), (false, 1, false)]
        {
            let flags = wait_flags(can_tell, disk_operations);
            assert_eq!(flags.contains(EnterFlags::NO_IOWAIT), told, "{can_tell} {disk_operations}");
            assert!(flags.contains(EnterFlags::GETEVENTS | EnterFlags::EXT_ARG));
        }
    }

    #[test]
    fn a_ring_that_is_there_passes_its_probe() {
        assert!(probe().is_ok());
    }
}
