//! All sessions of one partition of `__mqtt_sessions`: a replay of its records, and who is connected.
//!
//! ```text
//!  CONNECT > open      Ready: records, and when they are durable CONNACK
//!                      Busy: another connection has the session; it is told to end, and this one asks again
//!  packets > store     records of the connection that has it; of another one they are refused
//!  the end > close     the last records; `closed` when they are durable
//!  time    > due       wills to publish (`will_sent` when they are durable), sessions that have ended
//! ```
//! What is durable changes by [`Sessions::replay`] alone: an operation answers with records, and memory
//! follows when they are written. A client has one connection at a time, and the next one begins with what
//! the last one has left, so that nothing of a session is in two places.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{Reason, Will};
use crate::message::Message;
use crate::session::{Record, Session, Stored, message_of};

/// Sessions of one partition. A sleeping one takes some hundred bytes, and some eighty for each cursor.
pub const SESSIONS_MAX: usize = 500_000;

/// A connection, by a number that no other one of this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u64);

/// What a CONNECT asks of the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Nothing of an older one is wanted.
    pub clean_start: bool,
    /// Seconds that it is kept after the connection.
    pub expiry: u32,
    /// What is published when the client is lost.
    pub will: Option<Will>,
    /// Who the client has proven to be.
    pub user: Option<String>,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The connection has the session once the records are durable.
    Ready(Box<Ready>),
    /// This one has it. It has to end first.
    Busy(Owner),
    /// It is not given.
    Refused(Reason),
}

/// A session that is given to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// To be written whole.
    pub records: Vec<Record>,
    /// The will of the session that ends by this: to be published before.
    pub will: Option<Message>,
    /// The client finds an older session.
    pub is_present: bool,
    /// As it is when the records are durable.
    pub stored: Stored,
}

/// How a connection ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// What the connection has not stored yet.
    pub records: Vec<Record>,
    /// The will is published: the client did not say goodbye.
    pub with_will: bool,
    /// Seconds that the session is kept, where DISCONNECT says so.
    pub expiry: Option<u32>,
}

/// The connection has the session no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session belongs to another connection")]
pub struct Fenced;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// To be published; then [`Sessions::will_sent`].
    Will {
        /// Whose.
        client_id: String,
        /// What.
        message: Message,
    },
    /// A session has ended: its records, to be written whole.
    End(Vec<Record>),
}

#[derive(Clone, Debug, Default)]
struct Entry {
    /// `None` when nothing is durable: a session that ends with its connection.
    session: Option<Session>,
    stored: Stored,
    owner: Option<Owner>,
    due_at: i64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    entries: BTreeMap<String, Entry>,
    due: BTreeSet<(i64, String)>,
}

impl Sessions {
    /// Takes in a record that is durable.
    pub fn replay(&mut self, record: Record) {
        let client_id = record.client_id().to_owned();
        let entry = self.entries.entry(client_id.clone()).or_default();
        match record {
            Record::Session(_, session) => entry.session = session.map(|session| *session),
            Record::Cursor(_, partition, Some(cursor)) => {
                drop(entry.stored.cursors.insert(partition, cursor))
            }
            Record::Cursor(_, partition, None) => drop(entry.stored.cursors.remove(&partition)),
            Record::Inbox(_, inbox) => entry.stored.inbox = inbox.unwrap_or_default(),
        }
        self.changed(client_id);
    }

    /// All records have been taken in: whoever was connected is not any more. What their records say is not
    /// written again; sessions are kept from now on as if they had ended now.
    pub fn begin(&mut self, now: i64) {
        let connected = self.entries.iter_mut().filter_map(|(client_id, entry)| {
            let session = entry.session.as_mut().filter(|session| session.ended_at.is_none())?;
            session.ended_at = Some(now);
            Some(client_id.clone())
        });
        let connected: Vec<String> = connected.collect();
        connected.into_iter().for_each(|client_id| self.changed(client_id));
    }

    /// A client connects.
    pub fn open(&mut self, client_id: &str, open: Open, owner: Owner, now: i64) -> Opening {
        if self.entries.len() >= SESSIONS_MAX && !self.entries.contains_key(client_id) {
            return Opening::Refused(Reason::QUOTA_EXCEEDED);
        }
        let entry = self.entries.entry(client_id.to_owned()).or_default();
        match entry.owner {
            Some(other) if other != owner => return Opening::Busy(other),
            _ => {}
        }
        if entry.session.as_ref().is_some_and(|session| session.user != open.user) {
            return Opening::Refused(Reason::NOT_AUTHORIZED);
        }
        entry.owner = Some(owner);
        let ready = entry.ready(client_id, open, now);
        // Nothing of it is due while there is a connection.
        self.changed(client_id.to_owned());
        Opening::Ready(Box::new(ready))
    }

    /// Whether the connection may write these records.
    ///
    /// # Errors
    /// When it has the session no more.
    pub fn store(&self, client_id: &str, owner: Owner, records: &[Record]) -> Result<(), Fenced> {
        let is_owner = self.entries.get(client_id).is_some_and(|entry| entry.owner == Some(owner));
        let are_own = records.iter().all(|record| record.client_id() == client_id);
        if is_owner && are_own { Ok(()) } else { Err(Fenced) }
    }

    /// The connection ends: what is written then, whole. `session` is as the connection has it.
    ///
    /// # Errors
    /// When it has the session no more.
    pub fn close(
        &self,
        client_id: &str,
        owner: Owner,
        session: &Session,
        ending: Ending,
        now: i64,
    ) -> Result<Vec<Record>, Fenced> {
        let Ending { mut records, with_will, expiry } = ending;
        self.store(client_id, owner, &records)?;
        let mut session = session.clone();
        session.ended_at = Some(now);
        session.expiry = expiry.unwrap_or(session.expiry);
        if !with_will {
            session.will = None;
        }
        if !session.is_kept() {
            records = self.entries[client_id].tombstones(client_id);
        }
        if session.is_kept() || session.will.is_some() {
            records.retain(|record| !matches!(record, Record::Session(..)));
            records.push(Record::Session(client_id.to_owned(), Some(Box::new(session))));
        }
        Ok(records)
    }

    /// The last records are durable, or nothing was to be written: the next connection may have the session.
    pub fn closed(&mut self, client_id: &str, owner: Owner) {
        if let Some(entry) = self.entries.get_mut(client_id)
            && entry.owner == Some(owner)
        {
            entry.owner = None;
            self.changed(client_id.to_owned());
        }
    }

    /// What is due, at most so much. What is answered is due until its records are taken in.
    pub fn due(&self, now: i64, most: usize) -> Vec<Due> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(most);
        due.map(|(_, client_id)| {
            let entry = &self.entries[client_id];
            let session = entry.session.as_ref().expect("nothing else is due");
            match &session.will {
                Some(will) => {
                    Due::Will { client_id: client_id.clone(), message: message_of(will, client_id) }
                }
                None => Due::End(entry.tombstones(client_id)),
            }
        })
        .collect()
    }

    /// When something is due next, in milliseconds since 1970; `i64::MAX` when nothing is.
    pub fn wake_at(&self) -> i64 {
        self.due.first().map_or(i64::MAX, |(at, _)| *at)
    }

    /// A will has been published: the record that says so. None when the client is there again, or another
    /// will is.
    pub fn will_sent(&self, client_id: &str) -> Option<Record> {
        let entry = self.entries.get(client_id).filter(|entry| entry.owner.is_none())?;
        let mut session = entry.session.clone()?;
        session.will.take()?;
        Some(Record::Session(client_id.to_owned(), Some(Box::new(session))))
    }

    /// The connection that a client has.
    pub fn owner(&self, client_id: &str) -> Option<Owner> {
        self.entries.get(client_id)?.owner
    }

    /// All that is durable of a client.
    pub fn stored(&self, client_id: &str) -> Option<Stored> {
        let entry = self.entries.get(client_id)?;
        entry.session.is_some().then(|| entry.as_stored())
    }

    /// Sessions, connected or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn changed(&mut self, client_id: String) {
        let Some(entry) = self.entries.get_mut(&client_id) else { return };
        let session = entry.session.as_ref().filter(|_| entry.owner.is_none());
        let due_at = session.map_or(i64::MAX, |session| session.will_at().min(session.ends_at()));
        let is_gone = entry.owner.is_none() && entry.is_empty();
        if entry.due_at != due_at || is_gone {
            self.due.remove(&(entry.due_at, client_id.clone()));
        }
        if is_gone {
            self.entries.remove(&client_id);
        } else {
            entry.due_at = due_at;
            if due_at < i64::MAX {
                self.due.insert((due_at, client_id));
            }
        }
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.session.is_none() && self.stored.cursors.is_empty() && self.stored.inbox.pending.is_empty()
    }

    fn ready(&self, client_id: &str, open: Open, now: i64) -> Ready {
        let old = self.session.as_ref();
        let ends = old.is_some_and(|old| open.clean_start || old.ends_at() <= now || !old.is_kept());
        let is_present = old.is_some() && !ends;
        let mut records = Vec::new();
        let mut will = None;
        if ends {
            will = old.and_then(|old| old.will.as_ref()).map(|will| message_of(will, client_id));
            records = self.tombstones(client_id);
        }
        let mut stored = if is_present { self.as_stored() } else { Stored::default() };
        let Open { expiry, will: new_will, user, .. } = open;
        stored.session = Session { user, expiry, ended_at: None, will: new_will, ..stored.session };
        if stored.session.is_kept() || stored.session.will.is_some() {
            records.retain(|record| !matches!(record, Record::Session(..)));
            records.push(Record::Session(client_id.to_owned(), Some(Box::new(stored.session.clone()))));
        } else if is_present {
            // What was kept is to end with this connection, and is found by nobody if the broker ends first.
            records = self.tombstones(client_id);
        }
        Ready { records, will, is_present, stored }
    }

    fn as_stored(&self) -> Stored {
        Stored { session: self.session.clone().unwrap_or_default(), ..self.stored.clone() }
    }

    /// What removes all that is durable.
    fn tombstones(&self, client_id: &str) -> Vec<Record> {
        let cursors = self.stored.cursors.keys();
        let mut records: Vec<Record> =
            cursors.map(|partition| Record::Cursor(client_id.to_owned(), *partition, None)).collect();
        if !self.stored.inbox.pending.is_empty() {
            records.push(Record::Inbox(client_id.to_owned(), None));
        }
        if self.session.is_some() {
            records.push(Record::Session(client_id.to_owned(), None));
        }
        records
    }
}
