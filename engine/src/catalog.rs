//! The one place that changes the topic table and the settings of the broker, and gives out producer ids.
//! Shard 0 keeps it.
//!
//! A change of topics is a delta ([`TopicDelta`]), made here of a request, or by another source that decides
//! in the catalog's place. It is durable before anybody sees it, and seen by everybody before it is answered
//! (D9). What is
//! asked for together is one write of the table, so that ten thousand topics cost little more than one. A
//! topic is deleted in this order, so that its directories never mix with those of a topic made later under
//! the same name: the table that has it among the deleted ones is durable; all shards have let go of its
//! partitions; the directories are removed, durably; the table forgets it. A crash in between leaves a table
//! that says which directories the next start removes: none goes because nobody claims it.
//!
//! On a full disk nothing is created, but what makes room goes on (D7): a topic is deleted and settings
//! change in a reserve, files whose blocks are overwritten with the new table. They are made again as soon as
//! there is room.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use async_channel::Sender;
use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::lock::Mutex;

use crate::config::{InForce, SettingsChange};
use crate::directories::{holds_partition, remove_partition, set_aside};
use crate::error::{TopicError, io_fault};
use crate::format::topics::DeletedTopic;
use crate::format::{names, producer_ids, settings, topics};
use crate::io::{Disk, OpenMode, is_no_space, keep_room, replace, replace_in, yield_now};
use crate::message::Message;
use crate::sync::Published;
use crate::topics::{Change, ConfigChange, NewTopic, Placement, Topic, TopicDelta, TopicTable};
use crate::types::{Position, ProducerId, TopicId};

/// Topics that are made before others get the thread: some 100 us.
const BATCH_TOPICS: usize = 16;

/// Producer ids that are taken from the file at once; what a crash leaves unused is never given out.
const PRODUCER_ID_BLOCK: i64 = 1000;

/// Bytes that a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Bytes of a file of the reserve, unless twice the topic table is more: enough for the small files of a
/// small broker.
const RESERVE_BYTES_MIN: usize = 16 << 10;

/// Sees to it that there is a reserve for a table of this size.
///
/// # Errors
/// What the system says; on a full disk there is none, or a smaller one.
pub(crate) async fn keep_reserve<D: Disk>(disk: &D, data_dir: &Path, table_bytes: usize) -> io::Result<()> {
    let bytes = RESERVE_BYTES_MIN.max((2 * table_bytes).next_multiple_of(4096));
    for number in 0..names::RESERVES {
        keep_room(disk, &data_dir.join(names::reserve(number)), bytes as u64).await?;
    }
    Ok(())
}

/// The kinds of deltas: those of one kind become durable, and are put in force, together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Grow,
    Place,
    Configure,
    Delete,
}

impl Kind {
    fn of(delta: &TopicDelta) -> Kind {
        match delta {
            TopicDelta::Create { .. } => Kind::Create,
            TopicDelta::Grow { .. } => Kind::Grow,
            TopicDelta::Place { .. } => Kind::Place,
            TopicDelta::Configure { .. } => Kind::Configure,
            TopicDelta::Delete { .. } => Kind::Delete,
        }
    }

    /// Says what has become of a topic.
    fn tell(self, topic: &Topic) {
        let Topic { name: topic, id, partitions, own_configs: configs, .. } = topic;
        match self {
            Kind::Create => tracing::info!(topic, %id, partitions, "topic created"),
            Kind::Grow => tracing::info!(topic, %id, partitions, "topic has more partitions"),
            Kind::Place => tracing::info!(topic, %id, "partitions of the topic have other roles"),
            Kind::Configure => tracing::info!(topic, %id, ?configs, "topic reconfigured"),
            Kind::Delete => tracing::info!(topic, %id, "topic deleted"),
        }
    }
}

pub(crate) struct Catalog<D: Disk> {
    disk: D,
    data_dir: PathBuf,
    topics: Arc<Published<TopicTable>>,
    settings: Arc<Published<InForce>>,
    mailboxes: Vec<Sender<Message<D::File>>>,
    /// Makes up identities; the crash tests bring their own.
    new_topic_id: Rc<dyn Fn() -> TopicId>,
    /// The reserve was used up, or is too small.
    lacks_reserve: Cell<bool>,
    /// Changes are made one after the other.
    changing: Mutex<ProducerIds>,
}

/// Producer ids that may be given out, and the first one that the file does not cover.
struct ProducerIds {
    next: ProducerId,
    end: ProducerId,
}

impl<D: Disk> Catalog<D> {
    pub(crate) fn new(
        disk: D,
        data_dir: PathBuf,
        topics: Arc<Published<TopicTable>>,
        settings: Arc<Published<InForce>>,
        mailboxes: Vec<Sender<Message<D::File>>>,
        new_topic_id: Rc<dyn Fn() -> TopicId>,
        next_producer_id: ProducerId,
    ) -> Catalog<D> {
        let ids = ProducerIds { next: next_producer_id, end: next_producer_id };
        // The first change sees to it: there may have been no room when recovery did.
        let (lacks_reserve, changing) = (Cell::new(true), Mutex::new(ids));
        Catalog { disk, data_dir, topics, settings, mailboxes, new_topic_id, lacks_reserve, changing }
    }

    /// Makes topics.
    pub(crate) async fn create(&self, new: Vec<NewTopic>) -> Vec<Result<Arc<Topic>, TopicError>> {
        let created = |_: &TopicTable, new| {
            let id = (self.new_topic_id)();
            Ok(TopicDelta::Create { id, new, placement: Placement::ALONE })
        };
        self.change(Kind::Create, new, created).await
    }

    /// Changes the settings of topics, also of their open partitions. When a shard stops before it has them
    /// in force, the answers say so: what was acknowledged under other settings may not be durable yet.
    pub(crate) async fn alter(
        &self,
        changes: Vec<(TopicId, ConfigChange)>,
    ) -> Vec<Result<Arc<Topic>, TopicError>> {
        let configured = |table: &TopicTable, (topic, change): (TopicId, ConfigChange)| {
            let defaults = &self.settings.get().topic_defaults;
            let configs = table.known(topic)?.changed_configs(&change, defaults)?;
            Ok(TopicDelta::Configure { topic, configs })
        };
        self.change(Kind::Configure, changes, configured).await
    }

    /// Adds partitions to topics, up to the numbers given. They are empty, and opened when they are first
    /// used.
    pub(crate) async fn grow(&self, growing: Vec<(TopicId, u32)>) -> Vec<Result<Arc<Topic>, TopicError>> {
        let grown = |_: &TopicTable, (topic, partitions)| Ok(TopicDelta::Grow { topic, partitions });
        self.change(Kind::Grow, growing, grown).await
    }

    /// Deletes topics and their records.
    pub(crate) async fn delete(&self, ids: Vec<TopicId>) -> Vec<Result<(), TopicError>> {
        let deleted = self.change(Kind::Delete, ids, |_, topic| Ok(TopicDelta::Delete { topic })).await;
        deleted.into_iter().map(|deleted| deleted.map(drop)).collect()
    }

    /// Takes in what another source has decided, in its order. Deltas of one kind that stand together are one
    /// write of the table. One that is refused does not keep the others from being taken in.
    pub(crate) async fn apply(&self, deltas: Vec<TopicDelta>) -> Vec<Result<Arc<Topic>, TopicError>> {
        let mut applied = Vec::with_capacity(deltas.len());
        let mut deltas = deltas.into_iter().peekable();
        while let Some(first) = deltas.next() {
            let kind = Kind::of(&first);
            let mut alike = vec![first];
            while let Some(next) = deltas.next_if(|next| Kind::of(next) == kind) {
                alike.push(next);
            }
            applied.extend(self.change(kind, alike, |_, delta| Ok(delta)).await);
        }
        applied
    }

    /// Takes in a delta of this kind for each request. `to_delta` makes it, by the table with those before
    /// it.
    async fn change<R>(
        &self,
        kind: Kind,
        requests: Vec<R>,
        to_delta: impl Fn(&TopicTable, R) -> Result<TopicDelta, TopicError>,
    ) -> Vec<Result<Arc<Topic>, TopicError>> {
        let _one_at_a_time = self.changing.lock().await;
        let mut table = TopicTable::clone(&self.topics.get());
        let mut changed = Vec::with_capacity(requests.len());
        for (at, request) in requests.into_iter().enumerate() {
            changed.push(match to_delta(&table, request) {
                Ok(delta) => self.take_in(&mut table, delta).await,
                Err(error) => Err(error),
            });
            if at % BATCH_TOPICS == BATCH_TOPICS - 1 {
                yield_now().await;
            }
        }
        let topics: Arc<[TopicId]> = changed.iter().flatten().map(|topic| topic.id).collect();
        if topics.is_empty() {
            return changed;
        }
        if let Err(error) = self.put_in_force(kind, table, &topics).await {
            return changed.into_iter().map(|changed| changed.and(Err(error.clone()))).collect();
        }
        for (at, topic) in changed.iter().flatten().enumerate() {
            kind.tell(topic);
            if at % BATCH_TOPICS == BATCH_TOPICS - 1 {
                yield_now().await;
            }
        }
        changed
    }

    /// Takes a delta into the table. What stands where partitions come to be here is out of the way then.
    async fn take_in(&self, table: &mut TopicTable, delta: TopicDelta) -> Result<Arc<Topic>, TopicError> {
        let change = table.change(delta, &self.settings.get().topic_defaults)?;
        if let Change::To { old: None, new } = &change {
            // A topic of its name whose directories could not be removed when it was deleted.
            for deleted in table.deleted().iter().filter(|deleted| deleted.name == new.name) {
                self.remove_directories(deleted).await?;
                self.sync_data_dir().await?;
            }
        }
        self.set_directories_aside(change.name(), change.arrivals()).await?;
        if let Change::To { old: None, new } = &change {
            table.forget_deleted(|deleted| deleted.name == new.name);
        }
        Ok(table.take_in(change))
    }

    /// Makes the table durable, lets everybody see it, and has the shards do what follows from it.
    async fn put_in_force(
        &self,
        kind: Kind,
        table: TopicTable,
        topics: &Arc<[TopicId]>,
    ) -> Result<(), TopicError> {
        match kind {
            Kind::Create | Kind::Grow | Kind::Place => self.write_table(&table).await?,
            Kind::Configure | Kind::Delete => {
                self.write_in_reserve(names::TOPICS_FILE, topics::encode(&table.to_file())).await?;
            }
        }
        self.topics.set(table);
        let message = |reply| match kind {
            Kind::Create | Kind::Grow => Message::RenewTopics { reply },
            Kind::Place => Message::TakeRoles { topics: topics.clone(), reply },
            Kind::Configure => Message::Reconfigure { topics: Some(topics.clone()), reply },
            Kind::Delete => Message::CloseTopics { topics: topics.clone(), reply },
        };
        let told = self.tell_all(message).await;
        match kind {
            // A shard that stops asks nobody any more.
            Kind::Create | Kind::Grow => Ok(()),
            Kind::Place | Kind::Configure if told => Ok(()),
            Kind::Place | Kind::Configure => Err(TopicError::Stopping),
            Kind::Delete => {
                // A shard that stops finishes its turns before: the next start removes the directories.
                if told {
                    self.clear_away(topics).await;
                }
                Ok(())
            }
        }
    }

    /// Changes what is set for the broker, and with it what topics get that are silent. A shard that stops:
    /// see [`Catalog::alter`].
    pub(crate) async fn alter_settings(&self, change: SettingsChange) -> Result<(), TopicError> {
        let _one_at_a_time = self.changing.lock().await;
        let old = self.settings.get();
        let dynamic = change(&old)?;
        let new = old.with_dynamic(dynamic);
        let table = self.topics.get().with_defaults(&new.topic_defaults)?;
        self.write_in_reserve(names::SETTINGS_FILE, settings::encode(&new.dynamic)).await?;
        tracing::info!(settings = ?new.dynamic, "broker reconfigured");
        self.settings.set(new);
        self.topics.set(table);
        match self.tell_all(|reply| Message::Reconfigure { topics: None, reply }).await {
            true => Ok(()),
            false => Err(TopicError::Stopping),
        }
    }

    /// Removes the directories of topics that are gone for good, and then forgets them. What is left of them
    /// is removed by the next start, or before another topic has such a name.
    async fn clear_away(&self, topics: &[TopicId]) {
        let table = self.topics.get();
        let mut cleared = HashSet::new();
        let gone: HashSet<&TopicId> = topics.iter().collect();
        for deleted in table.deleted().iter().filter(|deleted| gone.contains(&deleted.id)) {
            match self.remove_directories(deleted).await {
                Ok(()) => drop(cleared.insert(deleted.id)),
                Err(error) => {
                    let (topic, id) = (&deleted.name, deleted.id);
                    tracing::error!(topic, %id, %error, "topic deleted; its directories could not be removed yet");
                }
            }
        }
        if let Err(error) = self.sync_data_dir().await {
            tracing::error!(%error, "topics deleted; that their directories are gone could not be made durable yet");
            return;
        }
        if cleared.is_empty() {
            return;
        }
        let table = table.without_deleted(|deleted| cleared.contains(&deleted.id));
        if let Err(error) = self.write_table(&table).await {
            tracing::warn!(%error, "the topic table was not written; the next one does without the deleted topics");
        }
        self.topics.set(table);
        // What the deletion has freed.
        self.refill_reserve().await;
    }

    /// Tells the shards, one after the other; false when one of them stops instead.
    async fn tell_all(&self, message: impl Fn(oneshot::Sender<()>) -> Message<D::File>) -> bool {
        let mut all = true;
        for mailbox in &self.mailboxes {
            let (reply, done) = oneshot::channel();
            let _ = mailbox.send(message(reply)).await;
            all &= done.await.is_ok();
        }
        all
    }

    /// Durable with the next sync of the data directory.
    async fn remove_directories(&self, topic: &DeletedTopic) -> Result<(), TopicError> {
        for index in topic.partitions.clone() {
            let name = names::partition_dir(&topic.name, index);
            let removed = remove_partition(&self.disk, &self.data_dir, &name).await;
            removed.map_err(|error| self.fault("remove", &name, error))?;
        }
        Ok(())
    }

    /// Sets directories aside that stand where partitions are to be made, and hold files of a partition: they
    /// are not the new topic's.
    async fn set_directories_aside(
        &self,
        topic: &str,
        partitions: impl Iterator<Item = u32>,
    ) -> Result<(), TopicError> {
        let mut changed = false;
        for (at, index) in partitions.enumerate() {
            let name = names::partition_dir(topic, index);
            let holds = holds_partition(&self.disk, &self.data_dir.join(&name)).await;
            if holds.map_err(|error| self.fault("list", &name, error))? {
                let set_aside = set_aside(&self.disk, &self.data_dir, &name).await;
                set_aside.map_err(|error| self.fault("set aside", &name, error))?;
                changed = true;
            }
            if at % BATCH_TOPICS == BATCH_TOPICS - 1 {
                yield_now().await;
            }
        }
        if changed { self.sync_data_dir().await } else { Ok(()) }
    }

    async fn sync_data_dir(&self) -> Result<(), TopicError> {
        self.disk.sync_dir(&self.data_dir).await.map_err(|error| self.fault("sync", "", error))
    }

    fn fault(&self, operation: &'static str, name: &str, error: io::Error) -> TopicError {
        let is_full = is_no_space(&error);
        let fault = io_fault(operation, self.data_dir.join(name), Position::ZERO, error);
        if is_full { TopicError::NoSpace(fault) } else { TopicError::Storage(fault) }
    }

    /// Replaces a small file by which room is made: on a full disk the reserve takes it.
    async fn write_in_reserve(&self, name: &str, content: Bytes) -> Result<(), TopicError> {
        let path = self.data_dir.join(name);
        self.refill_reserve().await;
        match replace(&self.disk, &path, content.clone()).await {
            Err(error) if is_no_space(&error) => {}
            done => return done.map_err(|error| self.fault("write", name, error)),
        }
        self.lacks_reserve.set(true);
        let mut written = Err(io::ErrorKind::StorageFull.into());
        for number in 0..names::RESERVES {
            let reserve = self.data_dir.join(names::reserve(number));
            written = replace_in(&self.disk, &reserve, &path, content.clone()).await;
            // This one was used up before, or is too small.
            if !written.as_ref().is_err_and(is_no_space) {
                break;
            }
        }
        written.map_err(|error| self.fault("write", name, error))?;
        tracing::warn!(path = %path.display(), "the disk is full: the file was written into the reserve");
        Ok(())
    }

    /// Makes the reserve again that was used up, if there is room.
    async fn refill_reserve(&self) {
        if !self.lacks_reserve.get() {
            return;
        }
        let table_bytes = topics::encode(&self.topics.get().to_file()).len();
        match keep_reserve(&self.disk, &self.data_dir, table_bytes).await {
            Ok(()) => self.lacks_reserve.set(false),
            Err(error) => tracing::debug!(%error, "there is no reserve for the small files"),
        }
    }

    async fn write_table(&self, table: &TopicTable) -> Result<(), TopicError> {
        let path = self.data_dir.join(names::TOPICS_FILE);
        let content = topics::encode(&table.to_file());
        self.lacks_reserve.set(self.lacks_reserve.get() || 2 * content.len() > RESERVE_BYTES_MIN);
        let written = replace(&self.disk, &path, content).await;
        written.map_err(|error| self.fault("write", names::TOPICS_FILE, error))
    }

    /// Writes a file of one sector where it is: a full disk has room for that, and a sector is written whole
    /// or not at all.
    async fn overwrite(&self, path: &Path, content: Bytes) -> io::Result<()> {
        assert!(content.len() < SECTOR_BYTES, "it fits one sector");
        let file = match self.disk.open(path, OpenMode::Existing).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Err(error) => return Err(error),
        };
        if self.disk.len(&file).await? != content.len() as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.write(&file, Position::ZERO, vec![content]).await?;
        self.disk.sync(&file).await
    }

    pub(crate) async fn allocate_producer_id(&self) -> Result<ProducerId, TopicError> {
        let mut ids = self.changing.lock().await;
        if ids.next == ids.end {
            let end = ProducerId(ids.end.0 + PRODUCER_ID_BLOCK);
            let path = self.data_dir.join(names::PRODUCER_IDS_FILE);
            let content = producer_ids::encode(end);
            let written = match replace(&self.disk, &path, content.clone()).await {
                Err(error) if is_no_space(&error) => self.overwrite(&path, content).await,
                written => written,
            };
            written.map_err(|error| self.fault("write", names::PRODUCER_IDS_FILE, error))?;
            ids.end = end;
        }
        let id = ids.next;
        ids.next = ProducerId(id.0 + 1);
        Ok(id)
    }
}
