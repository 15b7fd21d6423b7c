//! The thread on which texts are understood and compared: off the front's thread, and with a stack for texts
//! that nest as deep as they may.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_channel::oneshot;

use crate::fronts::http::problem::Problem;

/// Jobs that wait.
const WAITING_MAX: usize = 256;

/// Bytes of the stack.
const STACK_BYTES: usize = 64 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// The thread. It starts with the first job, and ends when this is dropped, after what it is at.
#[derive(Default)]
pub(super) struct Worker {
    jobs: Mutex<Option<SyncSender<Job>>>,
}

impl Worker {
    /// Does something there.
    ///
    /// # Errors
    /// 503 where too much waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move || {
            // Whoever asked may be gone.
            let _ = reply.send(job());
        });
        let stopped = || Problem::away("the registry stops");
        match self.jobs()?.try_send(job) {
            Ok(()) => answer.await.map_err(|_| stopped()),
            Err(TrySendError::Full(_)) => Err(Problem::busy("too many schemas wait to be understood")),
            // The next one starts another thread.
            Err(TrySendError::Disconnected(_)) => {
                *self.lock() = None;
                Err(stopped())
            }
        }
    }

    fn jobs(&self) -> Result<SyncSender<Job>, Problem> {
        let mut jobs = self.lock();
        if let Some(jobs) = &*jobs {
            return Ok(jobs.clone());
        }
        let (sender, to_do) = sync_channel::<Job>(WAITING_MAX);
        let worker = thread::Builder::new().name("schemas".to_owned()).stack_size(STACK_BYTES);
        let started = worker.spawn(move || {
            while let Ok(job) = to_do.recv() {
                job();
            }
        });
        started.map_err(|error| Problem::busy(&format!("no thread for schemas can be started: {error}")))?;
        *jobs = Some(sender.clone());
        Ok(sender)
    }
    fn lock(&self) -> MutexGuard<'_, Option<SyncSender<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
