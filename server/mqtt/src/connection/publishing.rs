//! Messages from the client.
//!
//! ```text
//!  QoS 0  append
//!  QoS 1  append > durable [> kept, durable] > PUBACK
//!  QoS 2  place > record of its number, durable > append > durable [> kept, durable] > PUBREC
//!         PUBREL > record without the number, durable > PUBCOMP
//! ```
//! A session that ends with its connection has no records: nothing of it is recognised after a crash.

use super::{Action, Answer, Appended, Awaited, Connection, Phase, Placed, Then, Ticket, UNDER_WAY_MAX};
use crate::codec::{Name, Properties, Publish, Qos, Reason, Version};
use crate::message::Message;
use crate::rules::Place;
use crate::session::{Arrived, Once, Partition, copy_properties};

impl Connection {
    pub(super) fn publish(&mut self, publish: Publish) {
        let Some(topic) = self.topic_of(&publish) else { return };
        let Publish { qos, retain, id, payload, properties: given, .. } = publish;
        let in_flight = self.pub_acks.len() + self.inbox.len();
        if qos > Qos::AtMostOnce && in_flight >= self.messages_max() && !self.inbox.has(id) {
            return self.fail(Reason::RECEIVE_MAXIMUM_EXCEEDED, "more messages than the receive maximum");
        }
        if given.number(Name::SubscriptionId).is_some() {
            return self.fail(Reason::PROTOCOL_ERROR, "a client that numbers the subscriptions of others");
        }
        let mut properties = Properties::default();
        copy_properties(&given, &mut properties);
        let client_id = Some(self.client_id.clone());
        let message = Message { topic, payload, qos, retain, client_id, properties };
        let place = self.rules.place(&message.topic);
        match qos {
            Qos::AtMostOnce => {
                if let Ok(place) = place {
                    self.append(place, message, Answer::None, None);
                }
            }
            Qos::AtLeastOnce => {
                self.pub_acks.push_back((id, None));
                match place {
                    Ok(place) => self.append(place, message, Answer::PubAck(id), None),
                    Err(_) => self.finish(Answer::PubAck(id), Reason::TOPIC_NAME_INVALID),
                }
            }
            Qos::ExactlyOnce => self.publish_once(id, place.ok(), message),
        }
    }

    /// How many messages may be unacknowledged. 3.1.1 has no word for it: there it is a bound on memory.
    fn messages_max(&self) -> usize {
        match self.version {
            Some(Version::V5) => usize::from(self.limits.receive_max),
            _ => crate::session::PENDING_MAX + UNDER_WAY_MAX,
        }
    }

    /// The topic of a message, and what it says of its alias.
    fn topic_of(&mut self, publish: &Publish) -> Option<String> {
        let Some(alias) = publish.properties.number(Name::TopicAlias) else {
            return Some(publish.topic.clone());
        };
        if alias > u32::from(self.limits.aliases_max) {
            self.fail(Reason::TOPIC_ALIAS_INVALID, "a topic alias beyond the maximum");
            return None;
        }
        let at = alias as usize - 1;
        if !publish.topic.is_empty() {
            if self.aliases.len() <= at {
                self.aliases.resize(at + 1, String::new());
            }
            self.aliases[at].clone_from(&publish.topic);
            return Some(publish.topic.clone());
        }
        let known = self.aliases.get(at).filter(|topic| !topic.is_empty()).cloned();
        if known.is_none() {
            self.fail(Reason::PROTOCOL_ERROR, "a topic alias that stands for nothing");
        }
        known
    }

    fn publish_once(&mut self, id: u16, place: Option<Place>, message: Message) {
        match self.inbox.arrived(id) {
            Arrived::Underway => return,
            Arrived::Full => return self.fail(Reason::QUOTA_EXCEEDED, "more messages than are kept"),
            Arrived::Known => return self.pub_recs.push_back((id, Some(Reason::SUCCESS))),
            Arrived::Found(at) => {
                self.pub_recs.push_back((id, None));
                return self.keep(message, at, Answer::PubRec(id));
            }
            Arrived::New => self.pub_recs.push_back((id, None)),
        }
        let Some(place) = place else {
            self.inbox.refused(id);
            return self.finish(Answer::PubRec(id), Reason::TOPIC_NAME_INVALID);
        };
        if !self.is_kept() {
            return self.append(place, message, Answer::PubRec(id), None);
        }
        self.comes(message.weight());
        let needs_producer = !self.inbox.has_producer();
        let asked = place.clone();
        self.act(Awaited::Place { id, place, message: Box::new(message) }, |ticket| Action::Place {
            ticket,
            place: asked,
            needs_producer,
        });
    }

    /// Where a message goes, or why it is not taken.
    pub fn placed(&mut self, ticket: Ticket, placed: Result<Placed, Reason>) {
        let Some(Awaited::Place { id, place, message }) = self.take(ticket) else { return };
        let placed = if self.phase == Phase::Open { placed } else { Err(Reason::UNSPECIFIED) };
        match placed {
            Ok(Placed { partition, producer }) => {
                if let Some(once) = self.inbox.placed(id, partition, producer) {
                    self.comes(message.weight());
                    self.thens.push(Then::Append { id, place, message, once: (partition, once) });
                }
            }
            Err(reason) => {
                self.inbox.refused(id);
                self.finish(Answer::PubRec(id), reason);
            }
        }
        self.settle();
    }

    pub(super) fn append(
        &mut self,
        place: Place,
        message: Message,
        answer: Answer,
        once: Option<(Partition, Once)>,
    ) {
        let weight = message.weight();
        self.comes(weight);
        let retain = message.retain.then(|| Box::new(message.clone()));
        let awaited = Awaited::Append { answer, retain, weight };
        self.act(awaited, |ticket| Action::Append { ticket, place, message, once });
    }

    /// A message is durable, or why it is not.
    pub fn appended(&mut self, ticket: Ticket, appended: Result<Appended, Reason>) {
        let Some(Awaited::Append { answer, retain, .. }) = self.take(ticket) else { return };
        match (appended, retain) {
            (Ok(at), Some(message)) => self.keep(*message, at, answer),
            (Ok(_), None) => self.finish(answer, Reason::SUCCESS),
            (Err(reason), _) => {
                if let Answer::PubRec(id) = answer {
                    if self.is_kept() {
                        // Later ones of its partition fail as well, since a sequence is missing. The next
                        // connection finds out which are there.
                        self.end(Some(reason), "a message of QoS 2 could not be appended");
                        return self.settle();
                    }
                    self.inbox.refused(id);
                }
                self.finish(answer, reason);
            }
        }
        self.settle();
    }

    /// A message is in the log: it is answered when it is kept, too, if it asks for that.
    fn keep(&mut self, message: Message, at: Appended, answer: Answer) {
        if !message.retain {
            return self.finish(answer, Reason::SUCCESS);
        }
        let weight = message.weight();
        self.comes(weight);
        self.act(Awaited::Retain { answer, weight }, |ticket| Action::Retain { ticket, message, at });
    }

    /// A message is kept, or is not for want of room: it is published all the same.
    pub fn retained(&mut self, ticket: Ticket, result: Result<(), Reason>) {
        let Some(Awaited::Retain { answer, .. }) = self.take(ticket) else { return };
        match (result, answer) {
            (Ok(()), _) => self.finish(answer, Reason::SUCCESS),
            // The number is taken, and a failure would free it.
            (Err(reason), Answer::PubRec(_)) => self.end(Some(reason), "a message could not be kept"),
            (Err(reason), _) => self.finish(answer, reason),
        }
        self.settle();
    }

    /// A message is answered when those before it are. 3.1.1 has no word for a failure but the end.
    fn finish(&mut self, answer: Answer, reason: Reason) {
        if reason.is_failure() && self.version == Some(Version::V3) && answer != Answer::None {
            return self.end(None, "a message that could not be taken");
        }
        if let (Answer::PubRec(id), Reason::SUCCESS) = (answer, reason) {
            self.inbox.done(id);
        }
        let (answers, id) = match answer {
            Answer::None => return,
            Answer::PubAck(id) => (&mut self.pub_acks, id),
            Answer::PubRec(id) => (&mut self.pub_recs, id),
        };
        // Of two with one number the first was handed over first.
        if let Some(open) = answers.iter_mut().find(|open| open.0 == id && open.1.is_none()) {
            open.1 = Some(reason);
        }
    }

    pub(super) fn pub_rel(&mut self, id: u16) {
        let reason = if self.inbox.released(id) { Reason::SUCCESS } else { Reason::PACKET_ID_NOT_FOUND };
        self.thens.push(Then::PubComp(id, reason));
    }
}
