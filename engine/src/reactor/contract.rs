//! What [`Reactor`] owes to the engine, held against the implementation that is built: `.ci/run` builds both.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use super::*;

fn on_executor<F, T>(test: impl FnOnce() -> F + Send + 'static) -> T
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    spawn_executor("test", None, 0.1, |_| test()).unwrap().join().unwrap()
}

#[test]
fn a_wake_from_another_thread_is_never_lost() {
    on_executor(|| async {
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
    on_executor(|| async {
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
    let executor = spawn_executor("test", None, 0.1, |_| async { panic!("no way") }).unwrap();
    let error = executor.join().unwrap_err();
    assert!(error.to_string().contains("no way"), "{error}");
}

#[test]
fn the_end_of_an_executor_is_told_however_it_ends() {
    for panics in [false, true] {
        let (told, ends) = mpsc::channel();
        let ended = move || told.send(()).unwrap();
        let future = async move { assert!(!panics, "no way") };
        let executor = spawn_watched("test", None, 0.1, ended, move |_| future).unwrap();
        assert_eq!(ends.recv(), Ok(()));
        assert_eq!(executor.join().is_err(), panics);
    }
}

#[test]
fn an_executor_that_panics_has_woken_whom_it_was_about_to_wake() {
    let (asked, question) = futures_channel::oneshot::channel::<()>();
    let (answered, answer) = futures_channel::oneshot::channel();
    let waits = spawn_executor("waits", None, 0.1, |_| async move {
        answered.send(()).unwrap();
        question.await
    });
    let panics = spawn_executor("panics", None, 0.1, |_| async move {
        answer.await.unwrap();
        // Long enough for the other one to sleep, and no harm when it does not.
        sleep(Duration::from_millis(20)).await;
        let _ = asked.send(());
        panic!("no way")
    });
    assert!(panics.unwrap().join().is_err());
    assert_eq!(waits.unwrap().join().unwrap(), Ok(()));
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
    on_executor(|| async {
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
#[cfg_attr(feature = "glommio", ignore = "glommio-ng 0.12.0 does not keep this beside tasks that never wait")]
fn no_queue_is_starved_by_the_others() {
    on_executor(|| async {
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
    use crate::io::{Disk, OpenMode};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = path.clone();
    let written = spawn_executor("test", None, 0.1, |disk| async move {
        let file = disk.open(&file, OpenMode::Create).await.unwrap();
        let mut write = Box::pin(disk.write(&file, crate::types::Position(0), vec![vec![7; 1 << 20].into()]));
        // It is begun, and nobody waits for it.
        let _ = futures_util::poll!(&mut write);
        drop(write);
    });
    written.unwrap().join().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), vec![7; 1 << 20]);
}

#[test]
fn a_waker_outlives_the_executor() {
    let (told, waker) = mpsc::channel();
    let executor = spawn_executor("test", None, 0.1, |_| async move {
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
