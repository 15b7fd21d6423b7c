//! What [`Reactor`] owes to the engine, held against each of the implementations.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use super::tests::KINDS;
use super::*;

fn on_each<F: Future<Output = ()> + 'static>(test: impl Fn() -> F + Clone + Send + 'static) {
    on_these(KINDS, test);
}

fn on_these<F: Future<Output = ()> + 'static>(
    kinds: &[ReactorKind],
    test: impl Fn() -> F + Clone + Send + 'static,
) {
    for kind in kinds {
        let test = test.clone();
        let ended = spawn_executor(*kind, "test", None, 0.1, move |_| test()).unwrap().join();
        ended.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

#[test]
fn a_wake_from_another_thread_is_never_lost() {
    on_each(|| async {
        let (asked, questions) = async_channel::bounded(1);
        let (answer, answers) = async_channel::bounded(1);
        let thread = thread::spawn(move || {
            while let Ok(question) = questions.recv_blocking() {
                answer.send_blocking(question).unwrap();
            }
        });
        for number in 0..20_000 {
            asked.send(number).await.unwrap();
            assert_eq!(answers.recv().await, Ok(number));
        }
        drop(asked);
        thread.join().unwrap();
    });
}

#[test]
fn timers_fire_in_their_order_and_a_dropped_one_not_at_all() {
    on_each(|| async {
        let fired = Rc::new(RefCell::new(Vec::new()));
        let sleeper = |millis: u64| {
            let (fired, began) = (fired.clone(), now());
            spawn(Queue::Net, async move {
                sleep(Duration::from_millis(millis)).await;
                assert!(began.elapsed() >= Duration::from_millis(millis), "not before its time");
                fired.borrow_mut().push(millis);
            })
        };
        // All of them are asked for in one turn, microseconds apart, and fire a hundred milliseconds
        // apart.
        let tasks: Vec<_> = [300, 100, 200].map(sleeper).into_iter().collect();
        let dropped = sleeper(60_000);
        let none = with_timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
        assert!(none.is_none());
        drop(dropped);
        for task in tasks {
            task.await;
        }
        assert_eq!(*fired.borrow(), [100, 200, 300]);
    });
}

#[test]
fn a_panic_of_a_task_is_told_by_the_executor() {
    for kind in KINDS {
        let executor = spawn_executor(*kind, "test", None, 0.1, |_| async { panic!("no way") }).unwrap();
        let error = executor.join().unwrap_err();
        assert!(error.to_string().contains("no way"), "{kind}: {error}");
    }
}

#[test]
fn the_end_of_an_executor_is_told_however_it_ends() {
    /// Where somebody panics.
    #[derive(Clone, Copy, PartialEq)]
    enum Panics {
        Nowhere,
        Outside,
        InTask,
    }
    let ways = [Panics::Nowhere, Panics::Outside, Panics::InTask];
    for (kind, panics) in KINDS.iter().flat_map(|kind| ways.map(|panics| (*kind, panics))) {
        let (told, ends) = mpsc::channel();
        let ended = move || told.send(()).unwrap();
        let future = async move {
            assert!(panics != Panics::Outside, "no way");
            if panics == Panics::InTask {
                spawn(Queue::Net, async { panic!("no way") }).detach();
                std::future::pending::<()>().await;
            }
        };
        let executor = spawn_watched(kind, "test", None, 0.1, ended, move |_| future).unwrap();
        assert_eq!(ends.recv_timeout(Duration::from_secs(60)), Ok(()), "{kind}");
        assert_eq!(executor.join().is_err(), panics != Panics::Nowhere, "{kind}");
    }
}

#[test]
fn an_executor_that_panics_has_woken_whom_it_was_about_to_wake() {
    for kind in KINDS {
        let (asked, question) = futures_channel::oneshot::channel::<()>();
        let (answered, answer) = futures_channel::oneshot::channel();
        let waits = spawn_executor(*kind, "waits", None, 0.1, |_| async move {
            answered.send(()).unwrap();
            question.await
        });
        let panics = spawn_executor(*kind, "panics", None, 0.1, |_| async move {
            answer.await.unwrap();
            // Long enough for the other one to sleep, and no harm when it does not.
            sleep(Duration::from_millis(20)).await;
            let _ = asked.send(());
            panic!("no way")
        });
        assert!(panics.unwrap().join().is_err());
        assert_eq!(waits.unwrap().join().unwrap(), Ok(()), "{kind}");
    }
}

/// Runs until the condition holds, for a minute at most.
async fn wait_until(holds: impl Fn() -> bool) {
    let began = now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never comes to that");
        sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_dropped_task_is_cancelled_here_and_a_detached_one_runs_on() {
    on_each(|| async {
        let held = Rc::new(Cell::new(0));
        let waits = |queue| {
            let held = held.clone();
            spawn(queue, async move {
                let _dropped = OnDrop(Some({
                    let held = held.clone();
                    move || held.set(held.get() - 1)
                }));
                held.set(held.get() + 1);
                std::future::pending::<()>().await
            })
        };
        let tasks = [Queue::Net, Queue::Storage, Queue::Background].map(waits);
        wait_until(|| held.get() == 3).await;
        let [first, second, third] = tasks;
        drop((first, second));
        wait_until(|| held.get() == 1).await;
        assert_eq!(third.cancel().await, None, "it was not finished");
        assert_eq!(held.get(), 0, "and is dropped when that is told");

        let (done, is_done) = async_channel::bounded(1);
        let task = spawn(Queue::Storage, async move { done.send(7).await });
        assert_eq!(is_done.recv().await, Ok(7));
        assert_eq!(task.cancel().await, Some(Ok(())), "it had finished");
        let (asked, question) = async_channel::bounded(1);
        let (answer, answers) = async_channel::bounded(1);
        spawn(Queue::Net, async move { answer.send(question.recv().await).await }).detach();
        asked.send(8).await.unwrap();
        assert_eq!(answers.recv().await, Ok(Ok(8)));
    });
}

/// A task of the queue that never waits, and counts its steps of some 50 us.
fn busy(queue: Queue) -> (Task<()>, Rc<Cell<u32>>) {
    let steps = Rc::new(Cell::new(0));
    let counted = steps.clone();
    let task = spawn(queue, async move {
        loop {
            let began = now();
            while began.elapsed() < Duration::from_micros(50) {}
            counted.set(counted.get() + 1);
            yield_if_needed().await;
        }
    });
    (task, steps)
}

#[test]
fn no_queue_is_starved_by_the_others() {
    // glommio-ng 0.12.0 does not keep this beside tasks that never wait.
    on_these(&[ReactorKind::Ring, ReactorKind::Poll], || async {
        let queues = [Queue::Net, Queue::Storage, Queue::Background];
        for one in queues {
            let others = queues.map(|queue| (queue != one).then(|| busy(queue)));
            wait_until(|| others.iter().flatten().all(|(_, steps)| steps.get() > 20)).await;
            let ran = Rc::new(Cell::new(0));
            let counted = ran.clone();
            let task = spawn(one, async move {
                for _ in 0..20 {
                    counted.set(counted.get() + 1);
                    yield_now().await;
                }
            });
            wait_until(|| ran.get() == 20).await;
            task.await;
        }
    });
}

#[test]
fn what_was_written_is_on_the_disk_when_the_executor_has_ended() {
    use crate::io::{AlignedBuffer, Disk, OpenMode};
    use crate::types::Position;
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let (path, journal) = (dir.path().join("file"), dir.path().join("journal"));
        std::fs::write(&journal, "").unwrap();
        let (file, aligned) = (path.clone(), journal.clone());
        let written = spawn_executor(*kind, "test", None, 0.1, |disk| async move {
            let file = disk.open(&file, OpenMode::Create).await.unwrap();
            let journal = disk.open(&aligned, OpenMode::Durable).await.unwrap();
            let mut write = Box::pin(disk.write(&file, Position(0), vec![vec![7; 1 << 20].into()]));
            let mut aligned =
                Box::pin(disk.write_aligned(&journal, Position(0), AlignedBuffer::zeroed(8192)));
            // They are begun, and nobody waits for them.
            let _ = (futures_util::poll!(&mut write), futures_util::poll!(&mut aligned));
            drop((write, aligned));
        });
        written.unwrap().join().unwrap();
        assert!(std::fs::read(&path).unwrap() == vec![7; 1 << 20], "{kind}");
        assert_eq!(std::fs::metadata(&journal).unwrap().len(), 8192, "{kind}");
    }
}

#[test]
fn a_waker_outlives_the_executor() {
    for kind in KINDS {
        let (told, waker) = mpsc::channel();
        let executor = spawn_executor(*kind, "test", None, 0.1, |_| async move {
            let task = spawn(
                Queue::Net,
                std::future::poll_fn(move |context| {
                    told.send(context.waker().clone()).unwrap();
                    Poll::<()>::Pending
                }),
            );
            sleep(Duration::from_millis(1)).await;
            drop(task);
        });
        executor.unwrap().join().unwrap();
        let waker = waker.recv().unwrap();
        waker.wake_by_ref();
        drop(waker);
    }
}
