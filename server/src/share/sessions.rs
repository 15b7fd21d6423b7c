//! Share sessions: which partitions a member fetches from. A session belongs to the connection that opened
//! it, and ends with it; a member that comes by another one opens another session.
//!
//! There is one table a shard, since connections stay on theirs, and one count of all sessions of the broker
//! behind a lock, which is taken when a session opens or ends and not with each request.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use strandline_engine::types::TopicId;

/// The epoch with which a session opens.
pub const OPENS: i32 = 0;
/// The epoch with which it ends.
pub const ENDS: i32 = -1;

/// The most partitions of all sessions of a shard together (D11).
const PARTITIONS_MAX: usize = 500_000;

/// Tells one connection from the others that there are at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The client's end.
    pub peer: SocketAddr,
    /// The listener that it came in by.
    pub listener: Arc<str>,
}

/// A partition of a session.
pub(super) type Partition = (TopicId, i32);

/// Which member of which group has it.
type Key = (String, String);

/// What a request wants of its session.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The epoch that it names.
    pub epoch: i32,
    /// Partitions that come in.
    pub added: Vec<Partition>,
    /// Partitions that go.
    pub forgotten: Vec<Partition>,
}

/// A session as a request finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number, which no other one has had.
    pub number: u64,
    /// Where the member fetches from, another one first with each request.
    pub partitions: Vec<Partition>,
}

/// Why a request has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// There is none on this connection.
    NotFound,
    /// It is not the next request of its session.
    Epoch,
    /// There are as many as there may be.
    LimitReached,
}

struct Session {
    number: u64,
    /// That of the next request.
    epoch: i32,
    partitions: BTreeSet<Partition>,
    connection: Connection,
}

/// The count of all sessions of a broker.
#[derive(Clone)]
pub(super) struct Count {
    taken: Arc<Mutex<usize>>,
    most: usize,
}

impl Count {
    /// A count of so many at the most.
    pub(super) fn new(most: usize) -> Count {
        Count { taken: Arc::default(), most }
    }

    fn take(&self) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let has_room = *taken < self.most;
        *taken += usize::from(has_room);
        has_room
    }

    fn give_back(&self) {
        *self.taken.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) -= 1;
    }
}

/// The sessions of a shard's connections.
pub(super) struct Sessions {
    count: Count,
    sessions: HashMap<Key, Session>,
    by_connection: HashMap<Connection, HashSet<Key>>,
    /// Of all sessions.
    partitions: usize,
    next_number: u64,
    shard: u64,
    shards: u64,
}

/// What a session that has ended was: its number, and where it fetched from.
pub(super) type Ended = (String, Opened);

impl Sessions {
    /// No sessions, on one of so many shards.
    pub(super) fn new(count: Count, shard: usize, shards: usize) -> Sessions {
        Sessions {
            count,
            sessions: HashMap::new(),
            by_connection: HashMap::new(),
            partitions: 0,
            next_number: 0,
            shard: shard as u64,
            shards: shards as u64,
        }
    }

    /// Opens the session that a request asks for, in the place of one that the member had; or finds it, takes
    /// in what has changed, and counts the request. What ended to make room is given back as well.
    ///
    /// # Errors
    /// Why the request has no session. Nothing has changed then.
    pub(super) fn find(
        &mut self,
        connection: &Connection,
        group: &str,
        member: &str,
        wanted: Wanted,
    ) -> Result<(Opened, Option<Ended>), SessionError> {
        let key = (group.to_owned(), member.to_owned());
        if wanted.epoch == OPENS {
            return self.open(connection, key, wanted.added);
        }
        let session = self.sessions.get_mut(&key).filter(|session| session.connection == *connection);
        let session = session.ok_or(SessionError::NotFound)?;
        if wanted.epoch != ENDS {
            if session.epoch != wanted.epoch {
                return Err(SessionError::Epoch);
            }
            session.epoch = next_epoch(session.epoch);
        }
        let before = session.partitions.len();
        for partition in &wanted.forgotten {
            session.partitions.remove(partition);
        }
        let room = PARTITIONS_MAX.saturating_sub(self.partitions - before + session.partitions.len());
        session.partitions.extend(wanted.added.into_iter().take(room));
        self.partitions = self.partitions - before + session.partitions.len();
        let first = session.epoch as usize % session.partitions.len().max(1);
        let mut partitions: Vec<_> = session.partitions.iter().copied().collect();
        partitions.rotate_left(first);
        Ok((Opened { number: session.number, partitions }, None))
    }

    fn open(
        &mut self,
        connection: &Connection,
        key: Key,
        added: Vec<Partition>,
    ) -> Result<(Opened, Option<Ended>), SessionError> {
        if self.partitions + added.len() > PARTITIONS_MAX {
            return Err(SessionError::LimitReached);
        }
        let before = self.end(&key.0, &key.1);
        if !self.count.take() {
            return Err(SessionError::LimitReached);
        }
        self.next_number += 1;
        let session = Session {
            // Numbers of other shards are others.
            number: self.next_number * self.shards + self.shard,
            epoch: next_epoch(OPENS),
            partitions: added.into_iter().collect(),
            connection: connection.clone(),
        };
        self.partitions += session.partitions.len();
        let partitions = session.partitions.iter().copied().collect();
        let opened = Opened { number: session.number, partitions };
        self.by_connection.entry(connection.clone()).or_default().insert(key.clone());
        self.sessions.insert(key.clone(), session);
        Ok((opened, before.map(|before| (key.0, before))))
    }

    /// Ends a member's session.
    pub(super) fn end(&mut self, group: &str, member: &str) -> Option<Opened> {
        let key = (group.to_owned(), member.to_owned());
        let session = self.sessions.remove(&key)?;
        self.count.give_back();
        self.partitions -= session.partitions.len();
        if let Some(keys) = self.by_connection.get_mut(&session.connection) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_connection.remove(&session.connection);
            }
        }
        let Session { number, partitions, .. } = session;
        Some(Opened { number, partitions: partitions.into_iter().collect() })
    }

    /// A connection has ended, and with it its sessions.
    pub(super) fn end_connection(&mut self, connection: &Connection) -> Vec<Ended> {
        let keys = self.by_connection.get(connection).cloned().unwrap_or_default();
        let ended = keys.into_iter().filter_map(|(group, member)| {
            let ended = self.end(&group, &member)?;
            Some((group, ended))
        });
        ended.collect()
    }
}

fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        epoch => epoch + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(port: u16) -> Connection {
        Connection { peer: ([127, 0, 0, 1], port).into(), listener: "L".into() }
    }

    fn at(partition: i32) -> Partition {
        (TopicId::from_bytes([1; 16]), partition)
    }

    fn wanted(epoch: i32, added: &[i32], forgotten: &[i32]) -> Wanted {
        let all = |numbers: &[i32]| numbers.iter().map(|number| at(*number)).collect();
        Wanted { epoch, added: all(added), forgotten: all(forgotten) }
    }

    #[test]
    fn a_session_counts_its_requests_and_keeps_its_partitions() {
        let mut sessions = Sessions::new(Count::new(10), 1, 2);
        let one = connection(1);
        let opened = sessions.find(&one, "g", "m", wanted(0, &[0, 1], &[])).unwrap().0;
        assert_eq!(opened.partitions, [at(0), at(1)]);
        let next = sessions.find(&one, "g", "m", wanted(1, &[2], &[0])).unwrap().0;
        assert_eq!(next.number, opened.number);
        assert_eq!(next.partitions.iter().collect::<BTreeSet<_>>(), [at(1), at(2)].iter().collect());
        assert_eq!(sessions.find(&one, "g", "m", wanted(1, &[], &[])).unwrap_err(), SessionError::Epoch);
        let other = sessions.find(&connection(2), "g", "m", wanted(2, &[], &[]));
        assert_eq!(other.unwrap_err(), SessionError::NotFound, "it is of another connection");
        assert_eq!(sessions.find(&one, "g", "n", wanted(2, &[], &[])).unwrap_err(), SessionError::NotFound);
        let again = sessions.find(&connection(2), "g", "m", wanted(0, &[5], &[])).unwrap();
        assert_ne!(again.0.number, opened.number);
        assert_eq!(again.1.unwrap().1.number, opened.number, "what it had is to be released");
        assert!(sessions.end_connection(&one).is_empty(), "its session is another connection's now");
        let ended = sessions.end_connection(&connection(2));
        assert_eq!(ended[0].1.partitions, [at(5)]);
        assert_eq!((sessions.sessions.len(), sessions.partitions), (0, 0));
    }

    #[test]
    fn there_are_no_more_sessions_than_the_broker_has_room_for_and_their_room_comes_back() {
        let count = Count::new(2);
        let (mut here, mut there) = (Sessions::new(count.clone(), 0, 2), Sessions::new(count, 1, 2));
        let open = |sessions: &mut Sessions, member: &str| {
            sessions.find(&connection(1), "g", member, wanted(0, &[], &[])).map(|(opened, _)| opened.number)
        };
        let first = open(&mut here, "a").unwrap();
        assert_ne!(first, open(&mut there, "b").unwrap());
        assert_eq!(open(&mut here, "c"), Err(SessionError::LimitReached));
        assert!(open(&mut here, "a").is_ok(), "its own room");
        here.end("g", "a").unwrap();
        assert!(open(&mut here, "c").is_ok());
    }

    #[test]
    fn the_epoch_goes_on_at_one_behind_the_last() {
        assert_eq!(next_epoch(i32::MAX), 1);
    }
}
