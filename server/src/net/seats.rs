//! Who may be connected: the seats of the process, whatever front they are for.
//!
//! A connection takes a [`Seat`] before it is handed over, and has it until it has ended. There are as many
//! as the settings allow (of all, of one listener, of one address), and never more than there are descriptors
//! that files do not need ([`crate::descriptors`]).
//!
//! Seats are taken on the thread that accepts and left on any shard's. That happens once a connection and not
//! once a request, so one lock will do.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::config::ConnectionLimits;

/// All seats, and who has them.
pub struct Seats {
    /// Connections that descriptors are left for.
    fit: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_shard: Vec<usize>,
    by_listener: HashMap<Arc<str>, usize>,
    /// Those that have any.
    by_address: HashMap<IpAddr, usize>,
}

/// The right to be connected, to the shard that had the fewest connections. Dropping it gives it back.
pub struct Seat {
    seats: Arc<Seats>,
    shard: usize,
    listener: Arc<str>,
    address: IpAddr,
}

/// Why a connection got no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSeat {
    /// As many as the process may have are connected.
    #[error("max.connections is reached")]
    All,
    /// As many as this listener may have.
    #[error("max.connections of the listener is reached")]
    Listener,
    /// As many as the client's address may have.
    #[error("max.connections.per.ip is reached")]
    Address,
    /// As many as descriptors were set apart for.
    #[error("files need the descriptors that are left")]
    Descriptors,
}

impl Seats {
    /// Seats on so many shards; descriptors are left for `fit` connections at a time.
    pub fn new(fit: usize, shards: usize) -> Arc<Seats> {
        let taken = Taken { by_shard: vec![0; shards], ..Taken::default() };
        Arc::new(Seats { fit, taken: Mutex::new(taken) })
    }

    /// A seat for a connection from `address`, on the shard with the fewest.
    ///
    /// # Errors
    /// [`NoSeat`].
    pub fn take(
        self: &Arc<Seats>,
        listener: &Arc<str>,
        address: IpAddr,
        limits: ConnectionLimits,
    ) -> Result<Seat, NoSeat> {
        // A listener for both families sees an address of the older one inside of the newer.
        let address = address.to_canonical();
        let mut taken = self.taken();
        let of = |count: Option<&usize>| count.copied().unwrap_or(0);
        let refusals = [
            (taken.all >= limits.all, NoSeat::All),
            (of(taken.by_listener.get(listener)) >= limits.listener, NoSeat::Listener),
            (of(taken.by_address.get(&address)) >= limits.address, NoSeat::Address),
            (taken.all >= self.fit, NoSeat::Descriptors),
        ];
        if let Some((_, refusal)) = refusals.into_iter().find(|(is_reached, _)| *is_reached) {
            return Err(refusal);
        }
        let counts = taken.by_shard.iter().enumerate();
        let (shard, _) = counts.min_by_key(|(_, count)| **count).expect("an engine has a shard");
        taken.all += 1;
        taken.by_shard[shard] += 1;
        *taken.by_listener.entry(listener.clone()).or_default() += 1;
        *taken.by_address.entry(address).or_default() += 1;
        drop(taken);
        Ok(Seat { seats: self.clone(), shard, listener: listener.clone(), address })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("nothing panics while it holds the lock")
    }
}

impl Seat {
    /// The shard that the connection belongs to.
    pub fn shard(&self) -> usize {
        self.shard
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        taken.by_shard[self.shard] -= 1;
        if let Some(count) = taken.by_listener.get_mut(&self.listener) {
            *count -= 1;
        }
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const MANY: ConnectionLimits =
        ConnectionLimits { all: usize::MAX, listener: usize::MAX, address: usize::MAX };

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn a_connection_goes_to_the_shard_with_the_fewest_whatever_listener_it_came_by() {
        let seats = Seats::new(100, 3);
        let listeners: [Arc<str>; 2] = ["A".into(), "B".into()];
        let take = |at: usize| seats.take(&listeners[at % 2], address(1), MANY).unwrap();
        let mut taken: Vec<Seat> = (0..6).map(take).collect();
        let shards: Vec<usize> = taken.iter().map(Seat::shard).collect();
        assert_eq!(shards, [0, 1, 2, 0, 1, 2]);
        drop(taken.remove(4));
        assert_eq!(take(0).shard(), 1);
    }

    #[test]
    fn each_limit_refuses_by_itself_and_a_seat_that_is_left_is_free_again() {
        let (a, b): (Arc<str>, Arc<str>) = ("A".into(), "B".into());
        let seats = Seats::new(4, 1);
        let take = |listener: &Arc<str>, last, limits| seats.take(listener, address(last), limits);
        let two = |limits: ConnectionLimits| {
            let one = take(&a, 1, limits);
            let refused = take(&a, 1, limits).map(drop).unwrap_err();
            // Another listener, and another address.
            let others = [take(&b, 1, limits), take(&a, 2, limits)].map(|taken| taken.is_ok());
            drop(one);
            assert!(take(&a, 1, limits).is_ok(), "the seat is free again");
            (refused, others)
        };
        assert_eq!(two(ConnectionLimits { all: 1, ..MANY }), (NoSeat::All, [false, false]));
        assert_eq!(two(ConnectionLimits { listener: 1, ..MANY }), (NoSeat::Listener, [true, false]));
        assert_eq!(two(ConnectionLimits { address: 1, ..MANY }), (NoSeat::Address, [false, true]));
        let taken: Vec<_> = (0..4).map(|at| take(&a, at, MANY).unwrap()).collect();
        assert_eq!(take(&b, 9, MANY).map(drop), Err(NoSeat::Descriptors));
        drop(taken);
        assert_eq!(seats.taken().all, 0);
        assert!(seats.taken().by_address.is_empty(), "who has gone is not remembered");
    }

    #[test]
    fn an_address_is_the_same_by_either_family() {
        let seats = Seats::new(4, 1);
        let listener: Arc<str> = "A".into();
        let limits = ConnectionLimits { address: 1, ..MANY };
        let _seat = seats.take(&listener, address(1), limits).unwrap();
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
        assert_eq!(seats.take(&listener, mapped, limits).map(drop), Err(NoSeat::Address));
    }
}
