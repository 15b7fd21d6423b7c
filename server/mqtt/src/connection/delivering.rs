//! Messages to the client.

use super::{Action, Connection, OUTPUT_BYTES_MAX, Phase, Then};
use crate::codec::{Ack, Name, Packet, Properties, Publish, Qos, Reason};
use crate::message::Message;
use crate::retained::Kept;
use crate::session::{Partition, Stage, Subscription};
use crate::topic::Filter;

/// A record of a partition that the session reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Where it is.
    pub offset: i64,
    /// Since when, in milliseconds since 1970.
    pub timestamp: i64,
    /// What, with its MQTT topic; `None` when it has none, and when the client may not have it: it is asked
    /// at each delivery.
    pub message: Option<Message>,
}

/// How the subscriptions of a client want a message.
struct Wanted {
    qos: Qos,
    retain_as_published: bool,
    ids: Vec<u32>,
}

impl Connection {
    /// What is to be read for the client, and from which offset on; nothing while it takes nothing.
    pub fn wants(&self) -> Vec<(Partition, i64)> {
        let has_filters = self.session.as_ref().is_some_and(|session| !session.subscriptions.is_empty());
        match has_filters && self.has_room() {
            true => self.outbox.followed().collect(),
            false => Vec::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.phase == Phase::Open
            && self.output.len() < OUTPUT_BYTES_MAX
            && self.resend.is_empty()
            && self.rereading == 0
            && self.outbox.len() < self.receive_max
    }

    /// Records of a partition, from the offset that was wanted on. What finds no room is wanted again. `next`
    /// is the offset behind the last record that was looked at, whether it is among them or not.
    pub fn offer(&mut self, partition: Partition, records: Vec<Offered>, next: i64, now: i64) {
        for Offered { offset, timestamp, message } in records {
            if !self.has_room() {
                return self.settle();
            }
            if self.outbox.next(partition).is_none_or(|next| offset < next) {
                continue;
            }
            if let Some(message) = message
                && let Some(wanted) = self.wanted(&message, timestamp)
                && let Some(publish) = publish_of(message, wanted, timestamp, now)
            {
                self.deliver(publish, partition, offset);
            }
            self.outbox.pass(partition, offset + 1);
        }
        self.outbox.pass(partition, next);
        self.settle();
    }

    fn wanted(&self, message: &Message, timestamp: i64) -> Option<Wanted> {
        let session = self.session.as_ref()?;
        let is_own = message.client_id.as_deref() == Some(self.client_id.as_str());
        let mut wanted: Option<Wanted> = None;
        self.tree.each(&message.topic, |text, ()| {
            let Some(Subscription { options, id, since }) = session.subscriptions.get(text) else { return };
            // Timestamps are ours when an MQTT client has published it.
            let is_old = message.client_id.is_some() && timestamp < *since;
            if (is_own && options.no_local) || is_old {
                return;
            }
            let wanted = wanted.get_or_insert(Wanted {
                qos: Qos::AtMostOnce,
                retain_as_published: false,
                ids: Vec::new(),
            });
            wanted.qos = wanted.qos.max(options.qos);
            wanted.retain_as_published |= options.retain_as_published;
            if *id > 0 && !wanted.ids.contains(id) {
                wanted.ids.push(*id);
            }
        });
        wanted
    }

    fn deliver(&mut self, mut publish: Publish, partition: Partition, offset: i64) {
        if publish.qos == Qos::AtMostOnce {
            self.send_if_open(Packet::Publish(publish));
            return;
        }
        // No number is free: there are fewer messages in flight than numbers, so that this does not happen.
        let Some(id) = self.outbox.take(partition, offset, publish.qos) else { return };
        publish.id = id;
        self.depart(publish);
    }

    /// Sends a message that has a number: QoS 2 when that is durable.
    fn depart(&mut self, publish: Publish) {
        self.sent.insert(publish.id);
        match publish.qos {
            Qos::ExactlyOnce => self.thens.push(Then::Deliver(publish)),
            _ => self.send_numbered(publish),
        }
    }

    fn send_numbered(&mut self, publish: Publish) {
        let id = publish.id;
        // What is larger than the client takes counts as delivered: MQTT 5.0, 3.1.2.11.4.
        if !self.send(&Packet::Publish(publish)) {
            self.outbox.drop_flight(id);
            self.sent.remove(&id);
        }
    }

    pub(super) fn deliver_stored(&mut self, publish: Publish) {
        if self.outbox.stored(publish.id).is_some() {
            self.send_numbered(publish);
        }
    }

    /// What is kept, for a filter that is new.
    pub fn kept(&mut self, filter: &Filter, kept: Vec<Kept>, now: i64) {
        for Kept { partition, offset, timestamp, message } in kept {
            let session = self.session.as_ref().filter(|_| self.phase == Phase::Open);
            let Some(subscription) = session.and_then(|session| session.subscriptions.get(filter.text()))
            else {
                break;
            };
            let ids = if subscription.id > 0 { vec![subscription.id] } else { Vec::new() };
            let wanted = Wanted { qos: subscription.options.qos, retain_as_published: true, ids };
            let Some(mut publish) = publish_of(message, wanted, timestamp, now) else { continue };
            publish.retain = true;
            if publish.qos == Qos::AtMostOnce || !self.has_room() {
                // Past what the client takes at a time it is sent as surely as there is room for.
                publish.qos = Qos::AtMostOnce;
                self.send_unless_full(publish);
            } else if let Some(id) = self.outbox.take_kept(partition, offset, publish.qos) {
                publish.id = id;
                self.depart(publish);
            }
        }
        self.settle();
    }

    fn send_unless_full(&mut self, publish: Publish) {
        match self.output.len() < OUTPUT_BYTES_MAX {
            true => self.send_if_open(Packet::Publish(publish)),
            false => self.dropped += 1,
        }
    }

    // ---- again --------------------------------------------------------------------------------------------

    /// Has what was in flight read again, as many as the client takes at a time.
    pub(super) fn send_again(&mut self) {
        while self.sent.len() + self.rereading < self.receive_max {
            let Some(id) = self.resend.pop_front() else { return };
            let Some(flight) = self.outbox.flight(id) else { continue };
            self.rereading += 1;
            let (partition, offset) = (flight.partition, flight.offset);
            self.actions.push_back(Action::Reread { id, partition, offset });
        }
    }

    pub(super) fn release_again(&mut self, id: u16) {
        self.sent.insert(id);
        self.send(&Packet::PubRel(Ack::new(id, Reason::SUCCESS)));
    }

    /// A record was read again; without a message it is gone, or the client may not have it any more.
    pub fn reread(&mut self, id: u16, found: Option<(i64, Message)>, now: i64) {
        self.rereading = self.rereading.saturating_sub(1);
        if self.phase != Phase::Open {
            return;
        }
        let flight = self.outbox.flight(id);
        let is_kept = flight.is_some_and(|flight| flight.is_kept);
        let qos = match flight.map(|flight| flight.stage) {
            Some(Stage::Sent) => Qos::AtLeastOnce,
            Some(Stage::Numbered) => Qos::ExactlyOnce,
            _ => return self.settle(),
        };
        let publish = found.and_then(|(timestamp, message)| {
            let wanted = self.wanted(&message, timestamp);
            let ids = wanted.map_or_else(Vec::new, |wanted| wanted.ids);
            let wanted = Wanted { qos, retain_as_published: false, ids };
            publish_of(message, wanted, timestamp, now)
        });
        match publish {
            Some(publish) => {
                self.sent.insert(id);
                self.send_numbered(Publish { id, dup: true, qos, retain: is_kept, ..publish });
            }
            None => self.outbox.drop_flight(id),
        }
        self.settle();
    }

    pub(super) fn pub_rec(&mut self, ack: &Ack) {
        if ack.reason.is_failure() {
            if self.outbox.refused(ack.id).is_ok() {
                self.sent.remove(&ack.id);
            }
            return;
        }
        match self.outbox.received(ack.id) {
            Ok(true) => self.release_again(ack.id),
            Ok(false) => self.thens.push(Then::PubRel(ack.id)),
            Err(_) => {
                self.send(&Packet::PubRel(Ack::new(ack.id, Reason::PACKET_ID_NOT_FOUND)));
            }
        }
    }
}

/// The packet of a message; `None` when it has expired.
fn publish_of(message: Message, wanted: Wanted, timestamp: i64, now: i64) -> Option<Publish> {
    let Message { topic, payload, qos, retain, properties: given, .. } = message;
    let mut properties = Properties::default();
    for property in given.iter() {
        match property.name {
            Name::MessageExpiry => {
                let seconds = i64::from(given.number(Name::MessageExpiry).unwrap_or(0));
                let left = seconds.saturating_sub(now.saturating_sub(timestamp).max(0) / 1000);
                if left <= 0 {
                    return None;
                }
                properties.four(Name::MessageExpiry, u32::try_from(left).unwrap_or(u32::MAX));
            }
            _ => properties.add(property.clone()),
        }
    }
    wanted.ids.iter().for_each(|id| properties.subscription_id(*id));
    let (qos, retain) = (qos.min(wanted.qos), retain && wanted.retain_as_published);
    Some(Publish { dup: false, qos, retain, topic, id: 0, properties, payload })
}
