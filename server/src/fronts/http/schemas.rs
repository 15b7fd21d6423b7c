//! The schema registry: the topic `_schemas` as a state that is asked, and as a log that is written.
//!
//! ```text
//! request > may the client? (rights of topics) > catch up: read what is new of the topic > state > answer
//! change  > one at a time: catch up > what it consists of > Produce, as the client > durable > read back > answer
//! ```
//! The topic is read on as far as it goes before anything is answered, so that whoever else writes it,
//! another registry or a copy, is seen, and an answer is never older than the request. Texts are understood
//! on a thread of their own, one at a time ([`worker`]); what that takes is bounded by `strandline-schemas`.

mod seen;
mod topic;
mod values;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strandline_engine::types::{Offset, PartitionId};
use strandline_schemas::api::{Answer, Outcome, Request};
use strandline_schemas::subject::Subject;
use strandline_schemas::{Error, State, TOPIC};
use tokio::sync::Mutex as Turn;

pub(super) use self::seen::Seen;
use self::values::Kept;
pub(super) use self::values::Readers;
use self::worker::Worker;
use super::ask::Asker;
use super::problem::Problem;

/// How often a change is tried again that somebody else was faster than.
const TRIES_MAX: usize = 3;

/// The registry. A new one has read nothing yet.
#[derive(Default)]
pub(super) struct Registry {
    known: Mutex<Arc<Known>>,
    /// Held while the topic is read.
    reading: Turn<()>,
    /// Held from what a change is made of until it is read back.
    writing: Turn<()>,
    worker: Worker,
    /// The same for records, which may take as long.
    encoder: Worker,
    /// What was understood to write and read records by it.
    kept: Kept,
}

/// What is known of the topic.
#[derive(Clone, Default)]
struct Known {
    state: State,
    /// The partition that it was read from; another one when the topic was made again.
    partition: Option<PartitionId>,
    /// The next offset to be read.
    position: Offset,
}

impl Registry {
    /// The answer to a request of a client.
    ///
    /// # Errors
    /// [`Problem`] where the broker, not the registry, has a word to say.
    pub(super) async fn answer(
        &self,
        asker: &Asker,
        request: Request,
        body: bytes::Bytes,
    ) -> Result<Answer, Problem> {
        let mut access = request.access();
        if let Some((id, subject)) = request.id_of_subject()
            && is_of(&self.caught_up(asker).await?.state, id, subject)
        {
            access.subject = Some(subject);
        }
        if access.subject.is_some() && request.tells_of_others(&body) {
            access.subject = None;
        }
        topic::check_rights(asker, &access).await?;
        let request = Arc::new(request);
        if !request.access().is_write {
            let known = self.caught_up(asker).await?;
            return match self.asked(known, &request, body).await? {
                Outcome::Answer(answer) => Ok(answer),
                Outcome::Change { .. } => Err(Problem::away("a request that only reads would write")),
            };
        }
        let _turn = self.writing.lock().await;
        for _ in 0..TRIES_MAX {
            let known = self.caught_up(asker).await?;
            let at = known.position;
            let (records, answer) = match self.asked(known, &request, body.clone()).await? {
                Outcome::Answer(answer) => return Ok(answer),
                Outcome::Change { records, answer } => (records, answer),
            };
            topic::ensure(asker).await?;
            let first = topic::append(asker, &records).await?;
            self.caught_up(asker).await?;
            if first == at {
                return Ok(answer);
            }
            // Somebody else has written between: whether the answer still holds is asked again. What was
            // appended twice says the same, and one of both is left aside by all who read it.
        }
        Ok(Answer::refused(&Error::Store("others write to the registry at the same time".to_owned())))
    }

    async fn asked(
        &self,
        known: Arc<Known>,
        request: &Arc<Request>,
        body: bytes::Bytes,
    ) -> Result<Outcome, Problem> {
        if request.is_light() {
            return Ok(strandline_schemas::answer(&known.state, request, &body));
        }
        let request = request.clone();
        self.worker.run(move || strandline_schemas::answer(&known.state, &request, &body)).await
    }

    /// What the topic says at this moment.
    async fn caught_up(&self, asker: &Asker) -> Result<Arc<Known>, Problem> {
        let engine = asker.engine()?;
        let partition = topic::find(engine)?;
        let end = match partition {
            Some(partition) => topic::end(engine, partition).await?,
            None => Offset::ZERO,
        };
        let known = self.known();
        if known.partition == partition && known.position >= end {
            return Ok(known);
        }
        drop(known);
        let _turn = self.reading.lock().await;
        if self.known().partition != partition {
            self.put(Arc::new(Known { partition, ..Known::default() }));
        }
        let Some(partition) = partition else { return Ok(self.known()) };
        loop {
            let position = self.known().position;
            if position >= end {
                return Ok(self.known());
            }
            let batches = topic::read(engine, partition, position).await?;
            let mut known = self.take();
            // The state is copied only where a request still looks at it.
            let applied = tokio::task::spawn_blocking(move || {
                let next = Arc::make_mut(&mut known);
                let read = batches.apply(&mut next.state, &mut next.position);
                (known, read)
            });
            let (known, read) = applied.await.map_err(|_| Problem::away("the registry stops"))?;
            let reached = known.position;
            self.put(known);
            read?;
            if reached == position {
                return Err(Problem::away("the topic of schemas cannot be read on"));
            }
        }
    }

    fn known(&self) -> Arc<Known> {
        self.lock().clone()
    }

    /// The one copy that there may be. Nobody else reads the topic meanwhile; where this request ends before
    /// the copy is put back, the next one reads from the start.
    fn take(&self) -> Arc<Known> {
        std::mem::take(&mut *self.lock())
    }

    fn put(&self, known: Arc<Known>) {
        *self.lock() = known;
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a refusal is about.
fn of_topic() -> String {
    format!("topic {TOPIC}")
}

/// Whether a version of a subject has the schema with this id.
fn is_of(state: &State, id: i32, subject: &str) -> bool {
    let subject = Subject::parse(subject);
    let name = subject.to_string();
    state.places_of_id(&subject.context, id).any(|(place, _)| place.0 == name)
}
