//! The properties. `shim` has the threads and locks of whoever includes this.

use futures_util::future::join;

use super::channel::{self, Receiver, Sender};
use super::published::Published;
use super::shard::{self, Bell};
use super::shim::{Arc, AtomicUsize, Ordering, ThreadId, spawn, thread_id};
use super::woken::Woken;

/// Readers see whole values, and never an older one after a newer one.
pub(crate) fn a_reader_never_goes_back() {
    let published = Arc::new(Published::new((0, 0)));
    let writer = spawn({
        let published = published.clone();
        move || (1..=2).for_each(|value| published.set((value, value)))
    });
    let mut last = 0;
    for _ in 0..2 {
        let (first, second) = *published.get();
        assert_eq!(first, second, "a value is replaced whole");
        assert!(first >= last, "{first} after {last}");
        last = first;
    }
    writer.join().expect("the writer does not panic");
    assert_eq!(*published.get(), (2, 2), "what was set before is seen");
}

/// Counts when it goes.
struct Counted {
    number: usize,
    gone: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gone.fetch_add(1, Ordering::SeqCst);
    }
}

/// A snapshot stays as long as somebody holds it, whatever is published meanwhile, and every value goes once.
pub(crate) fn a_snapshot_outlives_its_replacement_and_goes_once() {
    let gone = Arc::new(AtomicUsize::new(0));
    let value = |number| Counted { number, gone: gone.clone() };
    let published = Arc::new(Published::new(value(0)));
    let reader = spawn({
        let published = published.clone();
        move || {
            let held = published.get();
            // All that may have gone is what this is not.
            assert!(held.gone.load(Ordering::SeqCst) <= held.number, "what is held has not gone");
        }
    });
    published.set(value(1));
    assert!(gone.load(Ordering::SeqCst) <= 1, "what is published has not gone");
    reader.join().expect("the reader does not panic");
    assert_eq!(gone.load(Ordering::SeqCst), 1, "nobody holds the first value any more");
    drop(published);
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

/// Of two writers one is last, and nothing is lost or goes twice.
pub(crate) fn one_of_two_writers_is_last() {
    let gone = Arc::new(AtomicUsize::new(0));
    let published = Arc::new(Published::new(Counted { number: 0, gone: gone.clone() }));
    let write = |number| {
        let (published, gone) = (published.clone(), gone.clone());
        spawn(move || published.set(Counted { number, gone }))
    };
    let writers = [write(1), write(2)];
    for writer in writers {
        writer.join().expect("a writer does not panic");
    }
    assert!(published.get().number > 0);
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

/// Every task that another thread has woken is run, in whichever moment its thread falls asleep, and the bell
/// rings once for each sleep.
pub(crate) fn a_wake_is_never_lost_and_rings_once_a_sleep() {
    let woken = Arc::new(Woken::new());
    let bell = Arc::new(Bell::new());
    let rings = Arc::new(AtomicUsize::new(0));
    let wake = |task: usize| {
        let (woken, bell, rings) = (woken.clone(), bell.clone(), rings.clone());
        spawn(move || {
            let ring = || {
                rings.fetch_add(1, Ordering::SeqCst);
                bell.ring();
            };
            woken.push(task, ring).expect("it is not closed");
        })
    };
    let others = [wake(1), wake(2)];
    let (mut ran, mut sleeps) = (0, 0);
    while ran < 3 {
        ran += woken.take().into_iter().sum::<usize>();
        if ran < 3 && woken.falls_asleep() {
            sleeps += 1;
            bell.wait();
        }
    }
    for other in others {
        other.join().expect("a wake does not panic");
    }
    assert_eq!(rings.load(Ordering::SeqCst), sleeps);
}

/// A thread that was woken by something else, such as a timer, is awake.
pub(crate) fn a_wake_rings_no_bell_for_a_thread_that_is_awake() {
    let woken = Arc::new(Woken::new());
    let rings = Arc::new(AtomicUsize::new(0));
    assert!(woken.falls_asleep(), "nothing was woken yet");
    let other = spawn({
        let (woken, rings) = (woken.clone(), rings.clone());
        move || {
            woken.push(1, || {
                rings.fetch_add(1, Ordering::SeqCst);
            })
        }
    });
    let mut ran = woken.take();
    other.join().expect("a wake does not panic").expect("it is not closed");
    assert_eq!(
        rings.load(Ordering::SeqCst),
        usize::from(!ran.is_empty()),
        "rings for one that came while it slept"
    );
    woken.push(2, || panic!("it is awake")).expect("it is not closed");
    assert!(!woken.falls_asleep(), "something is ready");
    ran.append(&mut woken.take());
    assert_eq!(ran, [1, 2]);
}

/// A task may be dropped by its own thread only.
struct Bound {
    thread: ThreadId,
    gone: Arc<AtomicUsize>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        assert_eq!(thread_id(), self.thread, "dropped by another thread than its own");
        self.gone.fetch_add(1, Ordering::SeqCst);
    }
}

/// Of a thread that ends, every task is run or dropped there, or comes back to who wakes it.
pub(crate) fn a_task_of_a_thread_that_ends_is_dropped_there_or_comes_back() {
    let woken = Arc::new(Woken::new());
    let gone = Arc::new(AtomicUsize::new(0));
    let wake = || {
        let (woken, task) = (woken.clone(), Bound { thread: thread_id(), gone: gone.clone() });
        spawn(move || woken.push(task, || {}).err())
    };
    let others = [wake(), wake()];
    drop(woken.take());
    woken.close();
    let dropped = gone.load(Ordering::SeqCst);
    let back = others.map(|other| other.join().expect("no task is dropped elsewhere"));
    assert_eq!(dropped + back.iter().flatten().count(), 2, "none is left behind");
    assert!(woken.take().is_empty());
}

/// A request. Its sender waits until it was answered or dropped.
struct Request {
    answered: Arc<AtomicUsize>,
    over: Arc<AtomicUsize>,
}

impl Request {
    fn answer(self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.over.fetch_add(1, Ordering::SeqCst);
    }
}

/// A message of another thread reaches a shard that sleeps, falls asleep or is busy.
pub(crate) fn a_message_wakes_the_shard_that_it_is_for() {
    let (sender, mailbox) = channel::bounded(8);
    let others = [1, 2].map(|number| {
        let sender = sender.clone();
        spawn(move || sender.try_send(number).expect("it is not closed"))
    });
    let sum =
        shard::run(async move { mailbox.recv().await.unwrap_or(0) + mailbox.recv().await.unwrap_or(0) });
    assert_eq!(sum, 3);
    for other in others {
        other.join().expect("sending does not panic");
    }
}

/// A message that was taken in while the engine stops is answered; one that was not comes back to its sender.
/// Neither waits for ever.
pub(crate) fn a_message_is_answered_or_its_sender_told_when_the_shard_stops() {
    let (answered, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let request = || Request { answered: answered.clone(), over: over.clone() };
    let (sender, mailbox) = channel::bounded(8);
    let (stop, stopped) = channel::bounded(1);
    let requests = [request(), request()];
    let asking = spawn(move || requests.map(|request| sender.try_send(request).is_ok()));
    let stopper = spawn(move || stop.close());
    shard::run(serve_until_stopped(&mailbox, &stopped));
    let taken_in = asking.join().expect("asking does not panic").iter().filter(|taken_in| **taken_in).count();
    stopper.join().expect("stopping does not panic");
    drop(mailbox);
    assert_eq!(answered.load(Ordering::SeqCst), taken_in, "what was taken in is answered");
    assert_eq!(over.load(Ordering::SeqCst), 2, "nobody waits any more");
}

/// As `run_shard` ends: the mailbox takes no more, and what it has is served.
async fn serve_until_stopped(mailbox: &Receiver<Request>, stopped: &Receiver<()>) {
    let stop = async {
        let _ = stopped.recv().await;
        mailbox.close();
    };
    let serve = async {
        while let Ok(request) = mailbox.recv().await {
            request.answer();
        }
    };
    join(serve, stop).await;
}

/// A segment's file, as a read on another shard gets it: retention lets go of it, the last who holds it
/// closes it, once.
pub(crate) fn a_file_outlives_its_segment_while_a_reader_has_it_and_closes_once() {
    let closed = Arc::new(AtomicUsize::new(0));
    let file = Arc::new(Counted { number: 0, gone: closed.clone() });
    let (sender, mailbox) = channel::bounded::<Sender<Arc<Counted>>>(8);
    let reader = spawn(move || {
        let (reply, answer) = channel::bounded(1);
        sender.try_send(reply).expect("it is not closed");
        shard::run(async move {
            let file = answer.recv().await.expect("the shard answers before it ends");
            assert_eq!(file.gone.load(Ordering::SeqCst), 0, "what is held is open");
        });
    });
    shard::run(async move {
        let reply = mailbox.recv().await.expect("the reader asks");
        let _ = reply.try_send(file.clone());
        retire(file);
    });
    reader.join().expect("the reader does not panic");
    assert_eq!(closed.load(Ordering::SeqCst), 1, "nobody holds it any more");
}

/// As retention does: the segment goes, and with it what it holds.
fn retire(file: Arc<Counted>) {
    drop(file);
}
