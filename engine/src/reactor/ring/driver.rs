//! The ring itself: slots for operations under way, submission, completion.
//!
//! ```text
//! start ──> slot + waiting queue ──(turn)──> submission queue ──> kernel
//!                 ^    short: again                                 │
//!                 └─────────────────────── completion queue <───────┘──> waker, or, without a future, dropped
//! ```
//!
//! * An operation stays in its slot, with all its memory, from [`Ring::start`] until its last completion.
//! * Nothing is submitted by `start`: what one turn of the executor starts goes to the kernel in one system
//!   call, which also waits, when there is nothing else to do.
//! * The kernel posts completions when it is asked, not whenever they occur (`DEFER_TASKRUN`): no interrupt,
//!   and all in one batch.
//! * Under the feature `glommio` the thread sleeps in that runtime's ring instead: completions count up the
//!   doorbell, which that ring reads, and an operation that is started wakes whoever calls [`Ring::turn`].
//! * No waker is called or dropped, and no operation is dropped, while the ring is borrowed: both may run
//!   foreign code.

#![allow(unsafe_code)]

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode, squeue, types};
use rustix::event::EventfdFlags;

use super::op::{OPCODES, Op, Step};

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

/// Nobody waits for a doorbell by reading it, except that glommio's ring does, which would not wait for one
/// that is not blocking.
const DOORBELL_FLAGS: EventfdFlags = match cfg!(feature = "glommio") {
    true => EventfdFlags::CLOEXEC,
    false => EventfdFlags::CLOEXEC.union(EventfdFlags::NONBLOCK),
};

/// How long a turn may wait for something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// So long; `None` is for ever.
    AtMost(Option<Duration>),
}

/// Ends the wait of a ring's thread, from any thread.
#[derive(Clone)]
pub(crate) struct Doorbell(Arc<OwnedFd>);

impl Doorbell {
    /// The turn that waits, or else the next one that would, returns at once.
    pub(crate) fn ring(&self) {
        // It fails when the count is full, and then it has been rung.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// What becomes readable, and keeps the count until it is read.
    #[cfg(feature = "glommio")]
    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}

/// A slot and the number of its tenant, so that a late cancellation never meets the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    slot: u32,
    tenant: u32,
}

impl Key {
    fn to_user_data(self) -> u64 {
        u64::from(self.tenant) << 32 | u64::from(self.slot)
    }

    fn from_user_data(data: u64) -> Key {
        Key { slot: data as u32, tenant: (data >> 32) as u32 }
    }
}

#[derive(Default)]
struct Slot {
    tenant: u32,
    operation: Option<Operation>,
}

struct Operation {
    op: Op,
    /// The task that waits for the result.
    waker: Option<Waker>,
    result: Option<io::Result<()>>,
    /// Nobody waits for the result any more.
    orphan: bool,
    /// In the kernel's hands.
    submitted: bool,
}

/// Finds out, on a thread that has no ring, whether one can be had and does all that is asked of it: sets one
/// up, asks it for its operations, has it carry out one that does nothing, and takes it apart.
///
/// # Errors
/// What is refused or missing, and what to do about it.
pub(super) fn probe() -> io::Result<()> {
    let mut ring = build().and_then(new_enough).map_err(explain)?;
    let mut known = Probe::new();
    let asked = ring.submitter().register_probe(&mut known);
    asked.map_err(|error| refused("io_uring_register", &error))?;
    let missing: Vec<_> =
        OPCODES.iter().filter(|(code, _)| !known.is_supported(*code)).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        let what =
            format!("this kernel's io_uring does not do {}: 5.13 or newer is needed", missing.join(", "));
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    // SAFETY: an operation that does nothing leads to no memory.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }.expect("the queue is empty");
    ring.submit_and_wait(1).map(drop).map_err(|error| refused("io_uring_enter", &error))
}

/// Says what to do about a system call of the ring that is blocked.
fn refused(call: &str, error: &io::Error) -> io::Error {
    let hint =
        "the container's seccomp profile has to allow io_uring_setup, io_uring_enter and io_uring_register";
    io::Error::new(error.kind(), format!("{call} is refused: {error}: {hint}"))
}

pub(super) struct Ring {
    state: RefCell<State>,
    doorbell: Doorbell,
}

struct State {
    ring: IoUring,
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    /// Empty between two turns: memory for the completions of one.
    completions: Vec<(u64, i32, u32)>,
    /// Started or short, not yet submitted, in this order.
    waiting: VecDeque<Key>,
    cancellations: VecDeque<Key>,
    /// Operations in the kernel's hands that end by themselves: at most as many as the completion queue has
    /// room for.
    submitted: usize,
    /// Those that wait for a peer.
    open_ended: usize,
    /// Whether the kernel watches the doorbell.
    doorbell_watched: bool,
    /// Whoever has to call [`Ring::turn`] when something is started.
    #[cfg(feature = "glommio")]
    pump: Option<Waker>,
    closing: bool,
}

/// What a turn leaves to do when the ring is not borrowed any more.
#[derive(Default)]
struct Aftermath {
    wakers: Vec<Waker>,
    orphans: Vec<Operation>,
}

impl Ring {
    pub(super) fn new() -> io::Result<Ring> {
        let ring = build().and_then(new_enough).map_err(explain)?;
        let event = rustix::event::eventfd(0, DOORBELL_FLAGS)?;
        #[cfg(feature = "glommio")]
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        unpin_workers(&ring);
        let state = State {
            ring,
            slots: Vec::new(),
            vacant: Vec::new(),
            completions: Vec::new(),
            waiting: VecDeque::new(),
            cancellations: VecDeque::new(),
            submitted: 0,
            open_ended: 0,
            doorbell_watched: false,
            #[cfg(feature = "glommio")]
            pump: None,
            closing: false,
        };
        Ok(Ring { state: RefCell::new(state), doorbell: Doorbell(Arc::new(event)) })
    }

    pub(super) fn doorbell(&self) -> Doorbell {
        self.doorbell.clone()
    }

    /// Takes an operation in; it is submitted by the next turn. An error, and the operation back, once the
    /// ring closes.
    pub(super) fn start(&self, op: Op, waker: &Waker) -> Result<Key, (Op, io::Error)> {
        let mut state = self.state.borrow_mut();
        if state.closing {
            return Err((op, io::Error::new(io::ErrorKind::BrokenPipe, "the ring has been closed")));
        }
        let slot = state.vacant.pop().unwrap_or_else(|| {
            state.slots.push(Slot::default());
            state.slots.len() as u32 - 1
        });
        let waker = Some(waker.clone());
        let vacancy = &mut state.slots[slot as usize];
        vacancy.operation = Some(Operation { op, waker, result: None, orphan: false, submitted: false });
        let key = Key { slot, tenant: vacancy.tenant };
        state.waiting.push_back(key);
        kick(state);
        Ok(key)
    }

    /// The operation and its result, when it is over.
    pub(super) fn poll(&self, key: Key, waker: &Waker) -> Poll<(Op, io::Result<()>)> {
        let mut state = self.state.borrow_mut();
        let operation = state.operation(key).expect("an operation is taken once");
        match operation.result.take() {
            Some(result) => {
                let operation = state.vacate(key);
                Poll::Ready((operation.op, result))
            }
            None => {
                let fresh = operation.waker.as_ref().is_none_or(|known| !known.will_wake(waker));
                let stale = if fresh { operation.waker.replace(waker.clone()) } else { None };
                drop(state);
                drop(stale);
                Poll::Pending
            }
        }
    }

    /// Takes note that nobody waits for the result: the operation goes on, except that one which waits for a
    /// peer is cancelled.
    pub(super) fn abandon(&self, key: Key) {
        let mut state = self.state.borrow_mut();
        let operation = state.operation(key).expect("an operation is abandoned once");
        operation.orphan = true;
        let waker = operation.waker.take();
        let (open_ended, submitted) = (operation.op.is_open_ended(), operation.submitted);
        let mut finished = None;
        if operation.result.is_some() || (open_ended && !submitted) {
            finished = Some(state.vacate(key));
        } else if open_ended {
            state.cancellations.push_back(key);
        }
        kick(state);
        drop((waker, finished));
    }

    /// Refuses new operations and cancels those that wait for a peer; the others go on.
    pub(super) fn close(&self) {
        let mut borrow = self.state.borrow_mut();
        let state = &mut *borrow;
        state.closing = true;
        let mut wakers = Vec::new();
        for (index, slot) in state.slots.iter_mut().enumerate() {
            match &mut slot.operation {
                Some(operation) if operation.op.is_open_ended() && operation.result.is_none() => {
                    if operation.submitted {
                        state.cancellations.push_back(Key { slot: index as u32, tenant: slot.tenant });
                    } else {
                        operation.result = Some(Err(io::Error::from_raw_os_error(libc::ECANCELED)));
                        wakers.extend(operation.waker.take());
                    }
                }
                _ => {}
            }
        }
        kick(borrow);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Submits what was started, takes in what is complete, and wakes who waits for it, in at most one system
    /// call. It waits only when nothing more could be submitted.
    pub(super) fn turn(&self, wait: Wait) {
        let mut aftermath = Aftermath::default();
        let mut state = self.state.borrow_mut();
        if wait != Wait::No && !state.doorbell_watched {
            state.watch(&self.doorbell);
        }
        state.fill();
        let entered = state.enter(wait);
        state.complete(&mut aftermath);
        drop(state);
        if let Err(error) = entered {
            panic!("the kernel refuses to run the ring: {error}");
        }
        aftermath.wakers.into_iter().for_each(Waker::wake);
        drop(aftermath.orphans);
    }

    /// Whether a completion may still come.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state.borrow();
        state.submitted + state.open_ended + state.waiting.len() > 0
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state.borrow().closing
    }
}

/// What an executor needs that sleeps elsewhere.
#[cfg(feature = "glommio")]
impl Ring {
    /// Has `waker` woken by the next operation that is started, abandoned or ended by [`Ring::close`].
    pub(super) fn set_pump(&self, waker: &Waker) {
        let stale = self.state.borrow_mut().pump.replace(waker.clone());
        drop(stale);
    }

    /// Whether another turn would hand something to the kernel.
    pub(super) fn has_submissions(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.has_submissions() || !state.ring.submission().is_empty()
    }
}

/// Gives the state back after a change that only a turn carries out. Our own executor does not sleep before
/// its next turn; another one has to be woken for it.
fn kick(state: RefMut<'_, State>) {
    #[cfg(feature = "glommio")]
    {
        let mut state = state;
        let pump = state.pump.take();
        drop(state);
        pump.into_iter().for_each(Waker::wake);
    }
    #[cfg(not(feature = "glommio"))]
    drop(state);
}

impl State {
    fn operation(&mut self, key: Key) -> Option<&mut Operation> {
        let slot = &mut self.slots[key.slot as usize];
        if slot.tenant == key.tenant { slot.operation.as_mut() } else { None }
    }

    fn vacate(&mut self, key: Key) -> Operation {
        let slot = &mut self.slots[key.slot as usize];
        slot.tenant = slot.tenant.wrapping_add(1);
        self.vacant.push(key.slot);
        slot.operation.take().expect("only a tenant leaves")
    }

    /// Whether something could not be put into the submission queue, and can when that is handed over.
    fn has_submissions(&self) -> bool {
        let room = self.submitted < self.ring.params().cq_entries() as usize;
        !self.cancellations.is_empty() || (room && !self.waiting.is_empty())
    }

    /// Has the kernel tell of the doorbell, from now on. It is never read: each ring counts, whatever the
    /// sum.
    fn watch(&mut self, doorbell: &Doorbell) {
        if self.ring.submission().is_full() {
            return;
        }
        let descriptor = types::Fd(doorbell.0.as_raw_fd());
        let submission = opcode::PollAdd::new(descriptor, libc::POLLIN as u32).multi(true).build();
        self.push(&submission.user_data(DOORBELL));
        self.doorbell_watched = true;
    }

    /// Fills the submission queue.
    fn fill(&mut self) {
        let in_flight_max = self.ring.params().cq_entries() as usize;
        while self.submitted < in_flight_max && !self.ring.submission().is_full() {
            let Some(key) = self.waiting.pop_front() else { break };
            // Nothing, or a result: a wait for a peer that ended before it was submitted.
            let Some(operation) = self.operation(key) else { continue };
            if operation.result.is_some() {
                continue;
            }
            operation.submitted = true;
            let submission = operation.op.submission().user_data(key.to_user_data());
            match operation.op.is_open_ended() {
                true => self.open_ended += 1,
                false => self.submitted += 1,
            }
            self.push(&submission);
        }
        while !self.ring.submission().is_full() {
            let Some(key) = self.cancellations.pop_front() else { break };
            if self.operation(key).is_some() {
                let submission = opcode::AsyncCancel::new(key.to_user_data()).build();
                self.push(&submission.user_data(CANCELLATION));
            }
        }
    }

    /// Hands the submission queue to the kernel, has it post completions, and waits for one. No system call
    /// when there is no reason.
    ///
    /// # Errors
    /// When the kernel refuses for good.
    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let queue = self.ring.submission();
        // Without the flag (an old kernel) completions are posted by any system call, this one or another.
        let due = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
        drop(queue);
        let waits = wait != Wait::No && !self.has_submissions() && self.ring.completion().is_empty();
        let entered = match wait {
            Wait::AtMost(patience) if waits => self.wait(patience),
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
    fn wait(&mut self, patience: Option<Duration>) -> io::Result<usize> {
        let flags = wait_flags(self.ring.params().is_feature_no_iowait(), self.submitted);
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

    fn push(&mut self, submission: &squeue::Entry) {
        // SAFETY: a submission's pointers lead to heap memory owned by an operation in `slots`, which stays
        // there, unchanged, until its completion has been taken in; `State::drop` waits for that. Descriptors
        // are owned by the operation too, or, for a poll, borrowed by a future; a closed one makes the kernel
        // answer EBADF and touches no memory.
        unsafe { self.ring.submission().push(submission) }.expect("there is room");
    }

    fn complete(&mut self, aftermath: &mut Aftermath) {
        // Collected first: `ring` and `slots` are both borrowed below.
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
            let operation = self.operation(key).expect("a completion belongs to an operation under way");
            operation.submitted = false;
            let step = operation.op.advance(result);
            let (open_ended, orphan) = (operation.op.is_open_ended(), operation.orphan);
            match step {
                Step::Again => self.waiting.push_front(key),
                Step::Done(_) if orphan => aftermath.orphans.push(self.vacate(key)),
                Step::Done(result) => {
                    operation.result = Some(result);
                    aftermath.wakers.extend(operation.waker.take());
                }
            }
            match open_ended {
                true => self.open_ended -= 1,
                false => self.submitted -= 1,
            }
        }
        self.completions = completions;
    }
}

impl Drop for State {
    /// Finishes what was started: the kernel may touch an operation's memory until its completion, and a
    /// write that was started is not lost. What waits for a peer is cancelled.
    fn drop(&mut self) {
        for (index, slot) in self.slots.iter().enumerate() {
            if slot
                .operation
                .as_ref()
                .is_some_and(|operation| operation.op.is_open_ended() && operation.submitted)
            {
                self.cancellations.push_back(Key { slot: index as u32, tenant: slot.tenant });
            }
        }
        let mut aftermath = Aftermath::default();
        loop {
            self.fill();
            let wait = if self.submitted + self.open_ended > 0 { Wait::AtMost(None) } else { Wait::No };
            if self.enter(wait).is_err() {
                // Nobody knows what the kernel still does with their memory: it stays.
                std::mem::forget(std::mem::take(&mut self.slots));
                return;
            }
            self.complete(&mut aftermath);
            if self.submitted + self.open_ended == 0 && self.waiting.is_empty() {
                return;
            }
        }
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
fn build() -> io::Result<IoUring> {
    let mut deferred = IoUring::builder();
    deferred.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
    let mut cooperative = IoUring::builder();
    cooperative.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
    // Without deferral completions are posted by whichever system call the thread is in, so also while it
    // sleeps in another ring.
    let wanted = if cfg!(feature = "glommio") { vec![cooperative] } else { vec![deferred, cooperative] };
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
fn explain(error: io::Error) -> io::Error {
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
    io::Error::new(error.kind(), format!("io_uring can not be set up: {error}: {hint}"))
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
        probe().unwrap();
    }
}
