//! Waiting without a ring: readiness of descriptors by epoll, and threads for what waits for a disk.
//!
//! ```text
//!   turn:   cancelled waits go > operations that were started: to a thread, or into the table of descriptors
//!           > epoll_ctl        once for each descriptor of which something else is waited for
//!           > what the threads have finished
//!           > epoll_wait       the only place where the thread sleeps
//!           > recv             for each connection that waits with a buffer and has become readable
//! ```
//!
//! * A descriptor is watched for what is waited for, once ([`EventFlags::ONESHOT`]), and stays known to the
//!   kernel, disarmed, so that the next wait is one system call. One that was closed has left the kernel's
//!   list by itself; its number may be another file's by then.
//! * The doorbell is watched by edges, and never read.
//! * Times are rounded up to milliseconds.

#![allow(unsafe_code)]

mod perform;
mod threads;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use self::threads::{Finished, OPERATIONS_MAX, Threads};
use super::doorbell::Doorbell;
use super::op::{Op, Step, receive};
use super::slots::{Aftermath, Key, Slots, Wait};

/// The event of the doorbell.
const DOORBELL: u64 = u64::MAX;

/// Events that one turn takes in. Others come with the next.
const EVENTS_MAX: usize = 256;

/// What every wait ends by, whatever it waits for.
const FAILED: EventFlags = EventFlags::ERR.union(EventFlags::HUP);

pub(super) struct Poller {
    epoll: OwnedFd,
    threads: Threads,
    /// By the number of the descriptor.
    watched: Vec<Watched>,
    /// Descriptors of which something else is waited for than at the end of the last turn.
    changed: Vec<RawFd>,
    /// Empty between two turns: memory.
    events: Vec<Event>,
    finished: Vec<Finished>,
}

/// A descriptor that is waited for, or was.
#[derive(Default)]
struct Watched {
    waits: Vec<(Key, EventFlags)>,
    /// What the kernel tells, once; nothing when it has told.
    armed: EventFlags,
    /// Tells an event from one that was meant for an earlier file of this number.
    serial: u32,
    /// The kernel knows it, or knew it before it was closed.
    is_known: bool,
    /// It is in the list of those that have changed.
    is_changed: bool,
}

impl Poller {
    /// Starts the threads, too.
    ///
    /// # Errors
    /// When there are no threads or descriptors to be had.
    pub(super) fn new(doorbell: &Doorbell) -> io::Result<Poller> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, doorbell, EventData::new_u64(DOORBELL), EventFlags::IN | EventFlags::ET)?;
        let threads = Threads::start(doorbell)?;
        let events = Vec::with_capacity(EVENTS_MAX);
        Ok(Poller { epoll, threads, watched: Vec::new(), changed: Vec::new(), events, finished: Vec::new() })
    }

    /// Starts what was asked for, takes in what has happened. It waits only when nothing has.
    ///
    /// # Errors
    /// When the kernel refuses for good.
    pub(super) fn turn(
        &mut self,
        slots: &mut Slots,
        wait: Wait,
        aftermath: &mut Aftermath,
    ) -> io::Result<()> {
        self.cancel(slots, aftermath);
        self.submit(slots);
        self.arm_changed(slots, aftermath);
        self.take_finished(slots, aftermath);
        let patience = match wait {
            Wait::AtMost(patience) if aftermath.is_empty() && self.threads.may_sleep() => patience,
            // Nothing can have happened to a descriptor.
            _ if slots.open_ended() == 0 => return Ok(()),
            _ => Some(Duration::ZERO),
        };
        // A time that is too long for the kernel is for ever.
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let waited = epoll::wait(&self.epoll, spare_capacity(&mut self.events), patience.as_ref());
        match waited {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            if event.data.u64() != DOORBELL {
                self.tell(event, slots, aftermath);
            }
        }
        self.events = events;
        self.take_finished(slots, aftermath);
        Ok(())
    }

    /// Ends waits for peers that nobody waits for any more.
    fn cancel(&mut self, slots: &mut Slots, aftermath: &mut Aftermath) {
        while let Some(key) = slots.next_cancelled() {
            let operation = slots.get(key).expect("it is there");
            let Some(descriptor) = descriptor(&operation.op) else { continue };
            let watched = self.watch(descriptor);
            watched.waits.retain(|(waiting, _)| *waiting != key);
            // It may have been closed since: what the kernel watches is not known any more.
            watched.armed = EventFlags::empty();
            let cancelled = io::Error::from_raw_os_error(libc::ECANCELED);
            slots.settle(key, Step::Done(Err(cancelled)), aftermath);
        }
    }

    fn submit(&mut self, slots: &mut Slots) {
        while let Some((key, operation)) = slots.submit_next(OPERATIONS_MAX) {
            let events = match &operation.op {
                Op::Poll { events, .. } => EventFlags::from_bits_retain(*events),
                Op::Receive { .. } => EventFlags::IN,
                _ => {
                    let op = std::mem::replace(&mut operation.op, Op::Away);
                    self.threads.start_on(key, op);
                    continue;
                }
            };
            let descriptor = descriptor(&operation.op).expect("it waits for one");
            self.watch(descriptor).waits.push((key, events));
        }
    }

    /// The entry of a descriptor of which something else is waited for from now on.
    fn watch(&mut self, descriptor: RawFd) -> &mut Watched {
        let at = descriptor as usize;
        if self.watched.len() <= at {
            self.watched.resize_with(at + 1, Watched::default);
        }
        if !std::mem::replace(&mut self.watched[at].is_changed, true) {
            self.changed.push(descriptor);
        }
        &mut self.watched[at]
    }

    /// Tells the kernel what is waited for now.
    fn arm_changed(&mut self, slots: &mut Slots, aftermath: &mut Aftermath) {
        let mut changed = std::mem::take(&mut self.changed);
        for descriptor in changed.drain(..) {
            let watched = &mut self.watched[descriptor as usize];
            watched.is_changed = false;
            let result = match watched.arm(&self.epoll, descriptor) {
                Ok(()) => continue,
                // A file that can not be watched is always ready.
                Err(Errno::PERM) => Ok(()),
                Err(errno) => Err(errno),
            };
            for (key, _) in std::mem::take(&mut watched.waits) {
                slots.settle(key, Step::Done(result.map_err(io::Error::from)), aftermath);
            }
        }
        self.changed = changed;
    }

    /// Ends the waits that an event is for.
    fn tell(&mut self, event: Event, slots: &mut Slots, aftermath: &mut Aftermath) {
        let (descriptor, serial) = (event.data.u64() as u32 as RawFd, (event.data.u64() >> 32) as u32);
        let watched = &mut self.watched[descriptor as usize];
        if watched.serial != serial {
            return;
        }
        watched.armed = EventFlags::empty();
        let happened = event.flags;
        watched.waits.retain(|(key, events)| {
            if !happened.intersects(*events | FAILED) {
                return true;
            }
            let step = advance(&mut slots.get(*key).expect("it waits").op);
            let Some(step) = step else { return true };
            slots.settle(*key, step, aftermath);
            false
        });
        if !watched.waits.is_empty() {
            self.watch(descriptor);
        }
    }

    /// Takes in what the threads have finished.
    fn take_finished(&mut self, slots: &mut Slots, aftermath: &mut Aftermath) {
        self.threads.take_finished(&mut self.finished);
        for finished in self.finished.drain(..) {
            let (key, op, result) = finished.into_parts();
            slots.get(key).expect("an operation keeps its slot while it is away").op = op;
            slots.settle(key, Step::Done(result), aftermath);
        }
    }
}

impl Watched {
    /// Has the kernel tell what is waited for. An older wait that is still there, for the same, says that the
    /// kernel watches already, and watches this file.
    fn arm(&mut self, epoll: &OwnedFd, descriptor: RawFd) -> Result<(), Errno> {
        let wanted = self.waits.iter().fold(EventFlags::empty(), |all, (_, events)| all | *events);
        // SAFETY: borrowed for a system call or two, which answer EBADF when it has been closed.
        let source = unsafe { BorrowedFd::borrow_raw(descriptor) };
        if self.waits.is_empty() {
            if std::mem::take(&mut self.is_known) {
                // It may have been closed, and its number may be another file's.
                let _ = epoll::delete(epoll, source);
            }
            self.armed = EventFlags::empty();
            return Ok(());
        }
        if self.armed == wanted && !self.armed.is_empty() {
            return Ok(());
        }
        self.serial = self.serial.wrapping_add(1);
        let data = EventData::new_u64(u64::from(self.serial) << 32 | u64::from(descriptor as u32));
        let flags = wanted | EventFlags::ONESHOT;
        let mut told = match self.is_known {
            true => epoll::modify(epoll, source, data, flags),
            false => epoll::add(epoll, source, data, flags),
        };
        // The number is another file's, or the kernel knows it from a wait that was cancelled.
        match told {
            Err(Errno::NOENT) => told = epoll::add(epoll, source, data, flags),
            Err(Errno::EXIST) => told = epoll::modify(epoll, source, data, flags),
            _ => {}
        }
        self.is_known = told.is_ok();
        self.armed = if told.is_ok() { wanted } else { EventFlags::empty() };
        told
    }
}

/// What an operation waits for that waits for a peer.
fn descriptor(op: &Op) -> Option<RawFd> {
    match op {
        Op::Poll { descriptor, .. } => Some(*descriptor),
        Op::Receive { socket, .. } => Some(socket.as_raw_fd()),
        _ => None,
    }
}

/// Carries out what waited for its descriptor; `None` when it has to wait on.
fn advance(op: &mut Op) -> Option<Step> {
    let Op::Receive { socket, buffer } = op else { return Some(op.advance(0)) };
    match receive(std::os::fd::AsFd::as_fd(&**socket), buffer) {
        Ok(_) => Some(Step::Done(Ok(()))),
        Err(Errno::AGAIN | Errno::INTR) => None,
        Err(errno) => Some(Step::Done(Err(errno.into()))),
    }
}
