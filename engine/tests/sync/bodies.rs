//! The properties. `shim` has the threads and locks of whoever includes this.

use super::published::Published;
use super::shim::{Arc, AtomicUsize, Ordering, spawn};

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
