//! What the client wants to be sent.

use super::{Action, Awaited, Connection, Phase, Then, Ticket};
use crate::codec::{Name, Options, Properties, Reason, SubAck, Subscribe, Unsubscribe};
use crate::rules::Source;
use crate::session::{Partition, SUBSCRIPTION_BYTES_MAX, SUBSCRIPTIONS_MAX, Subscription};
use crate::topic::{Filter, LEVELS_MAX};

/// Levels of all filters of a client.
pub(super) const NODES_MAX: usize = SUBSCRIPTIONS_MAX * LEVELS_MAX;

/// Shared subscriptions are not supported: MQTT 5.0, 3.9.3.
const SHARED_NOT_SUPPORTED: Reason = Reason(0x9e);

/// A SUBSCRIBE whose partitions are asked for.
#[derive(Debug)]
pub(super) struct Asked {
    id: u16,
    subscription_id: u32,
    /// What the answer says of each filter; `None` where the front is asked.
    filters: Vec<(Result<Filter, Reason>, Options)>,
}

impl Connection {
    /// The filters of the session, in the tree.
    pub(super) fn plant(&mut self) {
        let Some(session) = &self.session else { return };
        for text in session.subscriptions.keys() {
            if let Ok(filter) = Filter::parse(text) {
                // There is room for all that a session can have.
                let _ = self.tree.insert(filter.pattern(), text.clone(), ());
            }
        }
    }

    pub(super) fn subscribe(&mut self, subscribe: Subscribe) {
        let Subscribe { id, properties, filters } = subscribe;
        let shared_locally =
            |(text, options): &(String, Options)| text.starts_with("$share/") && options.no_local;
        if filters.iter().any(shared_locally) {
            return self
                .fail(Reason::PROTOCOL_ERROR, "a shared subscription without the client's own messages");
        }
        let filters: Vec<(Result<Filter, Reason>, Options)> =
            filters.iter().map(|(text, options)| (self.look_at(text), *options)).collect();
        let subscription_id = properties.number(Name::SubscriptionId).unwrap_or(0);
        let wanted = filters.iter().filter_map(|(filter, _)| filter.as_ref().ok());
        let wanted: Vec<(Filter, Vec<Source>)> =
            wanted.map(|filter| (filter.clone(), self.rules.sources(filter.pattern()))).collect();
        let asked = Asked { id, subscription_id, filters };
        self.following = true;
        self.act(Awaited::Follow(Box::new(asked)), |ticket| Action::Follow { ticket, filters: wanted });
    }

    fn look_at(&self, text: &str) -> Result<Filter, Reason> {
        let filter = Filter::parse(text).map_err(|_| Reason::TOPIC_FILTER_INVALID)?;
        if filter.group().is_some() {
            return Err(SHARED_NOT_SUPPORTED);
        }
        Ok(filter)
    }

    /// For each filter that was asked about: where its partitions end, or why the client may not subscribe.
    /// `now` is in milliseconds since 1970.
    pub fn followed(&mut self, ticket: Ticket, found: Vec<Result<Vec<(Partition, i64)>, Reason>>, now: i64) {
        let Some(Awaited::Follow(asked)) = self.take(ticket) else { return };
        self.following = false;
        if self.phase != Phase::Open {
            return self.settle();
        }
        let Asked { id, subscription_id, filters } = *asked;
        let (mut reasons, mut kept) = (Vec::with_capacity(filters.len()), Vec::new());
        let mut found = found.into_iter();
        for (filter, options) in filters {
            let reason = match filter {
                Err(reason) => reason,
                Ok(filter) => match found.next().unwrap_or(Err(Reason::UNSPECIFIED)) {
                    Err(reason) => reason,
                    Ok(ends) => {
                        let subscription = Subscription { options, id: subscription_id, since: now };
                        self.add(filter, subscription, &ends, &mut kept)
                    }
                },
            };
            reasons.push(reason);
        }
        let ack = SubAck { id, properties: Properties::default(), reasons };
        self.thens.push(Then::SubAck(ack, kept));
        self.settle();
    }

    fn add(
        &mut self,
        filter: Filter,
        mut subscription: Subscription,
        ends: &[(Partition, i64)],
        kept: &mut Vec<Filter>,
    ) -> Reason {
        let session = self.session.as_mut().expect("an open connection has one");
        let text = filter.text();
        let old = session.subscriptions.get(text).copied();
        let bytes: usize = session.subscriptions.keys().map(String::len).sum();
        let is_full = session.subscriptions.len() >= SUBSCRIPTIONS_MAX
            || bytes + text.len() > SUBSCRIPTION_BYTES_MAX
            || self.tree.insert(filter.pattern(), text.to_owned(), ()).is_err();
        if old.is_none() && is_full {
            self.tree.remove(filter.pattern(), &text.to_owned());
            return Reason::QUOTA_EXCEEDED;
        }
        if let Some(old) = old {
            // It goes on, as it is wanted now.
            subscription.since = old.since;
        }
        if !ends.iter().all(|(partition, end)| self.outbox.follow(*partition, *end)) {
            if old.is_none() {
                self.tree.remove(filter.pattern(), &text.to_owned());
            }
            return Reason::QUOTA_EXCEEDED;
        }
        session.subscriptions.insert(text.to_owned(), subscription);
        self.session_changed = true;
        let Options { retain_handling, qos, .. } = subscription.options;
        if retain_handling == 0 || (retain_handling == 1 && old.is_none()) {
            kept.push(filter);
        }
        Reason(qos as u8)
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        let Some(session) = &mut self.session else { return };
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for text in &unsubscribe.filters {
            reasons.push(match Filter::parse(text) {
                Err(_) => Reason::TOPIC_FILTER_INVALID,
                Ok(filter) => match session.subscriptions.remove(text) {
                    None => Reason::NO_SUBSCRIPTION_EXISTED,
                    Some(_) => {
                        self.tree.remove(filter.pattern(), text);
                        self.session_changed = true;
                        Reason::SUCCESS
                    }
                },
            });
        }
        let ack = SubAck { id: unsubscribe.id, properties: Properties::default(), reasons };
        self.thens.push(Then::UnsubAck(ack));
        self.survey();
    }

    /// Asks which partitions the session reads: some may not be wanted any more, others may be new. Also
    /// called when topics have changed.
    pub fn survey(&mut self) {
        let Some(session) = self.session.as_ref().filter(|_| self.phase == Phase::Open) else { return };
        let mut sources: Vec<Source> = Vec::new();
        for text in session.subscriptions.keys() {
            let found = Filter::parse(text).map(|filter| self.rules.sources(filter.pattern()));
            for source in found.unwrap_or_default() {
                if !sources.contains(&source) {
                    sources.push(source);
                }
            }
        }
        self.following = true;
        self.act(Awaited::Survey, |ticket| Action::Survey { ticket, sources });
    }

    /// The partitions that there are, and where each begins: one that is new is read from there, and one of
    /// which that is not known stays as it is. `None` when it could not be found out.
    pub fn surveyed(&mut self, ticket: Ticket, starts: Option<&[(Partition, Option<i64>)]>) {
        let Some(Awaited::Survey) = self.take(ticket) else { return };
        self.following = false;
        if let Some(starts) = starts.filter(|_| self.phase == Phase::Open) {
            let mut wanted: Vec<Partition> = starts.iter().map(|(partition, _)| *partition).collect();
            wanted.sort_unstable();
            let followed: Vec<Partition> = self.outbox.followed().map(|(partition, _)| partition).collect();
            let gone = followed.iter().filter(|partition| wanted.binary_search(partition).is_err());
            gone.for_each(|partition| self.outbox.leave(*partition));
            for (partition, start) in starts {
                if let Some(start) = start {
                    // Past the bound the newest are not read.
                    let _ = self.outbox.follow(*partition, *start);
                }
            }
        }
        self.settle();
    }
}
