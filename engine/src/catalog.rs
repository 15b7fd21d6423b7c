//! The one place that changes the topic table and the settings of the broker, and gives out producer ids. Shard 0 keeps it.
//!
//! A change is durable before anybody sees it, and seen by everybody before it is answered (D9). A topic is deleted in this order, so
//! that its directories never mix with those of a topic made later under the same name: the table without it is durable; all shards have
//! let go of its partitions; the directories are removed, durably. A crash in between leaves directories that no topic claims, which
//! the next start removes.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::Sender;
use futures_channel::oneshot;
use futures_util::lock::Mutex;

use crate::config::{ConfigError, DynamicSettings, InForce};
use crate::error::{TopicError, io_fault};
use crate::format::{names, producer_ids, settings, topics};
use crate::io::{Disk, is_out_of_descriptors, replace, yield_now};
use crate::shard::message::Message;
use crate::sync::Published;
use crate::topics::{ConfigChange, NewTopic, Topic, TopicTable};
use crate::types::TopicId;

/// Topics that are made before others get the thread: some 100 us.
const BATCH_TOPICS: usize = 16;

/// Producer ids that are taken from the file at once; what a crash leaves unused is never given out.
const PRODUCER_ID_BLOCK: i64 = 1000;

/// The file with the topic table, in the data directory.
pub(crate) const TOPICS_FILE: &str = "topics";

/// The file with what was set for the broker while it ran, in the data directory.
pub(crate) const SETTINGS_FILE: &str = "settings";

/// Makes other settings out of those there are.
pub(crate) type SettingsChange = Box<dyn FnOnce(&InForce) -> Result<DynamicSettings, ConfigError> + Send>;

/// The file with the next unused producer id, in the data directory.
pub(crate) const PRODUCER_IDS_FILE: &str = "producer-ids";

pub(crate) struct Catalog<D: Disk> {
    disk: D,
    data_dir: PathBuf,
    topics: Arc<Published<TopicTable>>,
    settings: Arc<Published<InForce>>,
    mailboxes: Vec<Sender<Message<D::File>>>,
    /// Makes up identities; the crash tests bring their own.
    new_topic_id: Rc<dyn Fn() -> TopicId>,
    /// Changes are made one after the other.
    changing: Mutex<ProducerIds>,
    /// Directories of deleted topics that could not be removed: a topic of the name would find old records in them.
    leftovers: RefCell<Vec<PathBuf>>,
}

/// Producer ids that may be given out, and the first one that the file does not cover.
struct ProducerIds {
    next: i64,
    end: i64,
}

impl<D: Disk> Catalog<D> {
    pub(crate) fn new(
        disk: D,
        data_dir: PathBuf,
        topics: Arc<Published<TopicTable>>,
        settings: Arc<Published<InForce>>,
        mailboxes: Vec<Sender<Message<D::File>>>,
        new_topic_id: Rc<dyn Fn() -> TopicId>,
        next_producer_id: i64,
    ) -> Catalog<D> {
        let ids = ProducerIds { next: next_producer_id, end: next_producer_id };
        let (changing, leftovers) = (Mutex::new(ids), RefCell::default());
        Catalog { disk, data_dir, topics, settings, mailboxes, new_topic_id, changing, leftovers }
    }

    pub(crate) async fn create(&self, new: NewTopic) -> Result<Arc<Topic>, TopicError> {
        self.create_all(vec![new]).await.pop().expect("one answer for one topic")
    }

    /// Makes topics. One write of the table makes all of them durable, so that ten thousand cost little more than one.
    pub(crate) async fn create_all(&self, new: Vec<NewTopic>) -> Vec<Result<Arc<Topic>, TopicError>> {
        let _one_at_a_time = self.changing.lock().await;
        if let Err(error) = self.remove_leftovers().await {
            return new.iter().map(|_| Err(error.clone())).collect();
        }
        let defaults = &self.settings.get().topic_defaults;
        let mut table = TopicTable::clone(&self.topics.get());
        let mut made = Vec::with_capacity(new.len());
        for (at, new) in new.into_iter().enumerate() {
            made.push(table.add(new, (self.new_topic_id)(), defaults));
            if at % BATCH_TOPICS == BATCH_TOPICS - 1 {
                yield_now().await;
            }
        }
        if made.iter().all(Result::is_err) {
            return made;
        }
        if let Err(error) = self.write_table(&table).await {
            return made.into_iter().map(|made| made.and(Err(error.clone()))).collect();
        }
        self.topics.set(table);
        for (at, topic) in made.iter().flatten().enumerate() {
            tracing::info!(topic = topic.name, id = %topic.id, partitions = topic.partitions, "topic created");
            if at % BATCH_TOPICS == BATCH_TOPICS - 1 {
                yield_now().await;
            }
        }
        made
    }

    /// Changes the settings of a topic, also of its open partitions. When a shard stops before it has them in force, the answer says so: what was
    /// acknowledged under other settings may not be durable yet.
    pub(crate) async fn alter(&self, id: TopicId, change: ConfigChange) -> Result<Arc<Topic>, TopicError> {
        let _one_at_a_time = self.changing.lock().await;
        let defaults = &self.settings.get().topic_defaults;
        let table = self.topics.get().with_configs(id, &change, defaults)?;
        self.write_table(&table).await?;
        let topic = table.by_id(id).expect("it was just changed").clone();
        self.topics.set(table);
        if !self.tell_all(|reply| Message::Reconfigure { topic: Some(id), reply }).await {
            return Err(TopicError::Stopping);
        }
        tracing::info!(topic = topic.name, id = %topic.id, configs = ?topic.own_configs, "topic reconfigured");
        Ok(topic)
    }

    /// Changes what is set for the broker, and with it what topics get that are silent. A shard that stops: see [`Catalog::alter`].
    pub(crate) async fn alter_settings(&self, change: SettingsChange) -> Result<(), TopicError> {
        let _one_at_a_time = self.changing.lock().await;
        let old = self.settings.get();
        let dynamic = change(&old)?;
        let new = old.with_dynamic(dynamic);
        let table = self.topics.get().with_defaults(&new.topic_defaults)?;
        let path = self.data_dir.join(SETTINGS_FILE);
        replace(&self.disk, &path, settings::encode(&new.dynamic))
            .await
            .map_err(|error| TopicError::Storage(io_fault("write", path, 0, error)))?;
        tracing::info!(settings = ?new.dynamic, "broker reconfigured");
        self.settings.set(new);
        self.topics.set(table);
        match self.tell_all(|reply| Message::Reconfigure { topic: None, reply }).await {
            true => Ok(()),
            false => Err(TopicError::Stopping),
        }
    }

    /// Adds partitions to a topic. They are empty, and opened when they are first used.
    pub(crate) async fn grow(&self, id: TopicId, partitions: u32) -> Result<Arc<Topic>, TopicError> {
        let _one_at_a_time = self.changing.lock().await;
        let table = self.topics.get().with_partitions(id, partitions)?;
        self.write_table(&table).await?;
        let topic = table.by_id(id).expect("it was just changed").clone();
        self.topics.set(table);
        tracing::info!(topic = topic.name, id = %topic.id, partitions, "topic has more partitions");
        Ok(topic)
    }

    pub(crate) async fn delete(&self, id: TopicId) -> Result<(), TopicError> {
        let _one_at_a_time = self.changing.lock().await;
        let old = self.topics.get();
        let Some(topic) = old.by_id(id) else { return Err(TopicError::Unknown(id.to_string())) };
        let table = old.without(id);
        self.write_table(&table).await?;
        self.topics.set(table);
        if !self.tell_all(|reply| Message::CloseTopic { topic: id, reply }).await {
            // A shard stops, and finishes its turns before: the next start removes the directories.
            return Ok(());
        }
        self.remove_directories(topic).await?;
        tracing::info!(topic = topic.name, id = %topic.id, "topic deleted");
        Ok(())
    }

    /// Tells the shards, one after the other; false when one of them stops instead.
    async fn tell_all(&self, message: impl Fn(oneshot::Sender<()>) -> Message<D::File>) -> bool {
        for mailbox in &self.mailboxes {
            let (reply, done) = oneshot::channel();
            let _ = mailbox.send(message(reply)).await;
            if done.await.is_err() {
                return false;
            }
        }
        true
    }

    async fn remove_directories(&self, topic: &Topic) -> Result<(), TopicError> {
        let directory = |index| self.data_dir.join(names::partition_dir(&topic.name, index));
        self.leftovers.borrow_mut().extend((0..topic.partitions).map(directory));
        self.remove_leftovers().await
    }

    /// Removes what is left of deleted topics, durably.
    async fn remove_leftovers(&self) -> Result<(), TopicError> {
        loop {
            let Some(path) = self.leftovers.borrow().last().cloned() else { return Ok(()) };
            match self.disk.remove_dir(&path).await {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(TopicError::Storage(io_fault("remove", path, 0, error))),
            }
            if self.leftovers.borrow().len() == 1 {
                // The last one waits for the sync of all.
                let synced = self.disk.sync_dir(&self.data_dir).await;
                if let Err(error) = synced {
                    if !is_out_of_descriptors(&error) {
                        // It is not tried again (D3): the next start removes what comes back.
                        self.leftovers.borrow_mut().clear();
                    }
                    return Err(TopicError::Storage(io_fault("sync", &self.data_dir, 0, error)));
                }
            }
            self.leftovers.borrow_mut().pop();
        }
    }

    async fn write_table(&self, table: &TopicTable) -> Result<(), TopicError> {
        let path = self.data_dir.join(TOPICS_FILE);
        let written = replace(&self.disk, &path, topics::encode(&table.records())).await;
        written.map_err(|error| TopicError::Storage(io_fault("write", path, 0, error)))
    }

    pub(crate) async fn allocate_producer_id(&self) -> Result<i64, TopicError> {
        let mut ids = self.changing.lock().await;
        if ids.next == ids.end {
            let end = ids.end + PRODUCER_ID_BLOCK;
            let path = self.data_dir.join(PRODUCER_IDS_FILE);
            replace(&self.disk, &path, producer_ids::encode(end))
                .await
                .map_err(|error| TopicError::Storage(io_fault("write", path, 0, error)))?;
            ids.end = end;
        }
        let id = ids.next;
        ids.next += 1;
        Ok(id)
    }
}
