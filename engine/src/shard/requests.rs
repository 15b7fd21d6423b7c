//! What other threads ask of this shard, through its mailbox.

use std::rc::Rc;

use async_channel::Receiver;
use futures_channel::oneshot;
use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Shard;
use super::inbox::Arrival;
use crate::catalog::Catalog;
use crate::io::{Disk, yield_now};
use crate::message::{CatalogMessage, Message, READS_AT_ONCE};
use crate::partition::{Reader, WakeOnce};

impl<D: Disk> Shard<D> {
    /// Serves requests until the mailbox is closed. `catalog` is there on the shard that keeps the topic
    /// table.
    ///
    /// Appends go to the inbox in the order in which they come; everything else runs side by side, so that a
    /// read from a cold disk holds nobody up.
    pub(crate) async fn run_requests(
        self: Rc<Self>,
        mailbox: Receiver<Message<D::File>>,
        catalog: Option<Rc<Catalog<D>>>,
    ) {
        let mut running: FuturesUnordered<LocalBoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut mailbox = Box::pin(mailbox);
        loop {
            let message = if running.is_empty() {
                mailbox.next().await
            } else {
                match select(mailbox.next(), running.next()).await {
                    Either::Left((message, _)) => message,
                    Either::Right(_) => continue,
                }
            };
            if message.is_some() {
                self.counters.add(|stats| stats.hops += 1);
            }
            match message {
                None => break,
                Some(Message::Append { partition, what, reply }) => {
                    // The senders' own limits keep this short; without room the mailbox fills and they wait
                    // in turn.
                    self.inbox.room().await;
                    self.inbox.push(Arrival { partition, what, reply });
                }
                Some(other) => running.push(Box::pin(self.clone().answer(other, catalog.clone()))),
            }
        }
        while running.next().await.is_some() {}
    }

    /// Answers one request; an asker that has gone is not missed.
    async fn answer(self: Rc<Self>, message: Message<D::File>, catalog: Option<Rc<Catalog<D>>>) {
        match message {
            Message::Append { partition, what, reply } => self.inbox.push(Arrival { partition, what, reply }),
            Message::Participation { partition, producer, reply } => {
                let _ = reply.send(self.participation(partition, producer).await);
            }
            Message::Read { requests, reply } => {
                let mut results = Vec::with_capacity(requests.len());
                for (at, request) in requests.into_iter().enumerate() {
                    results.push(self.read(request).await);
                    if at % READS_AT_ONCE == READS_AT_ONCE - 1 {
                        yield_now().await;
                    }
                }
                let _ = reply.send(results);
            }
            Message::Wait { reader, beyond, reply } => {
                self.wait(reader, &beyond, &WakeOnce::new(reply)).await;
            }
            Message::FindOffset { partition, query, leader_epoch, reply } => {
                let _ = reply.send(self.find_offset(partition, query, leader_epoch).await);
            }
            Message::EndOfEpoch { partition, epoch, leader_epoch, reply } => {
                let _ = reply.send(self.end_of_epoch(partition, epoch, leader_epoch).await);
            }
            Message::Producers { partition, reply } => {
                let _ = reply.send(self.producers(partition).await);
            }
            Message::DeleteRecords { partition, before, reply } => {
                let _ = reply.send(self.delete_records(partition, before).await);
            }
            Message::Truncate { partition, to, reply } => {
                let _ = reply.send(self.truncate(partition, to).await);
            }
            Message::Sizes { partitions, reply } => {
                let _ = reply.send(self.sizes(&partitions).await);
            }
            Message::RenewTopics { reply } => {
                self.renew_topics();
                let _ = reply.send(());
            }
            Message::Reconfigure { topics, reply } => {
                self.renew_topics();
                self.reconfigure(topics.as_deref()).await;
                let _ = reply.send(());
            }
            Message::TakeRoles { topics, reply } => {
                self.renew_topics();
                self.take_roles(&topics).await;
                let _ = reply.send(());
            }
            Message::CloseTopics { topics, reply } => {
                self.renew_topics();
                self.close_topics(&topics).await;
                let _ = reply.send(());
            }
            Message::Stats { reply } => {
                let _ = reply.send(self.stats());
            }
            Message::Report { reply } => {
                let _ = reply.send(self.report().await);
            }
            Message::Catalog(message) => {
                let catalog = catalog.expect("catalog messages go to the shard that has the catalog");
                match message {
                    CatalogMessage::CreateTopics { new, reply } => {
                        let _ = reply.send(catalog.create(new).await);
                    }
                    CatalogMessage::AlterTopics { changes, reply } => {
                        let _ = reply.send(catalog.alter(changes).await);
                    }
                    CatalogMessage::AlterSettings { change, reply } => {
                        let _ = reply.send(catalog.alter_settings(change).await);
                    }
                    CatalogMessage::GrowTopics { growing, reply } => {
                        let _ = reply.send(catalog.grow(growing).await);
                    }
                    CatalogMessage::DeleteTopics { ids, reply } => {
                        let _ = reply.send(catalog.delete(ids).await);
                    }
                    CatalogMessage::Apply { deltas, reply } => {
                        let _ = reply.send(catalog.apply(deltas).await);
                    }
                    CatalogMessage::AllocateProducerId { reply } => {
                        let _ = reply.send(catalog.allocate_producer_id().await);
                    }
                }
            }
        }
    }

    /// Registers a wait for the partitions of this shard.
    pub(crate) async fn wait_receiver(
        &self,
        reader: Reader,
        beyond: &[(crate::types::PartitionId, crate::types::Offset)],
    ) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.wait(reader, beyond, &WakeOnce::new(sender)).await;
        receiver
    }
}
