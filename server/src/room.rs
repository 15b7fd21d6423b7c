//! The memory that long answers may take (D11), counted on each shard for itself.
//!
//! An answer that is longer than a part ([`PART_BYTES`]), and a request that is, needs a seat: the right to
//! so many bytes, from before they are taken until the answer has left. Short ones need none, and pay
//! nothing.
//!
//! * All seats of a shard together have its share of [`LONG_ANSWERS_BYTES_MAX`]; what does not fit waits, in
//!   the order of asking. When nobody else has one, a seat of any size is given: a long answer may have to
//!   wait, and is never refused.
//! * While others wait, a client that takes nothing of its answer for [`STALL_MAX`] loses its seat, and its
//!   connection: those first that have taken nothing for the longest time, and no more of them than are
//!   needed. The longer the line, the shorter the patience, so that many who do not read hold up nobody for
//!   long. While nobody waits, a client may take its time.
//! * Parts of long answers are made one after the other, each in a turn of the shard of its own
//!   ([`Room::turn`]): however many clients ask for long answers, whoever asks for something short waits for
//!   one part.
//! * A seat that needs more waits like the others. When all who have seats wait for more, the first gets it:
//!   nothing locks up.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use strandline_engine::reactor;
use strandline_protocol::wire::writer::PART_BYTES;

/// What the long answers of all shards together may take.
pub const LONG_ANSWERS_BYTES_MAX: usize = 64 << 20;

/// What a shard's share is at least, however many there are.
const SHARE_BYTES_MIN: usize = 4 << 20;

/// How long a client may take nothing of its answer while one or two others wait for the memory: not one part
/// of 64 KiB into the buffers of its connection.
pub const STALL_MAX: Duration = Duration::from_secs(5);

/// The same while very many wait.
pub const STALL_MIN: Duration = Duration::from_millis(500);

/// How often a seat that waits looks whether it is the first in the line.
const LOOK: Duration = Duration::from_millis(250);

/// How long a client may take nothing while so many wait.
fn patience(waiting: usize) -> Duration {
    (STALL_MAX / (1 + waiting as u32 / 3)).max(STALL_MIN)
}

/// The seats of a shard.
pub struct Room {
    bytes_max: usize,
    state: RefCell<State>,
    /// Those who want to make a part, when somebody is making one.
    turns: RefCell<Option<VecDeque<oneshot::Sender<Turn>>>>,
}

/// The right to make a part. Dropping it passes it on; [`Turn::pass`] does so when others have had the
/// thread.
pub struct Turn(Option<Rc<Room>>);

impl Turn {
    /// Gives way, and passes the right on then: a turn of the shard has one part.
    pub async fn pass(self) {
        reactor::yield_now().await;
        drop(self);
    }
}

#[derive(Default)]
struct State {
    /// The bytes of all seats.
    taken: usize,
    next_number: u64,
    seats: HashMap<u64, Taken>,
    /// Seats that do not wait for more.
    at_work: usize,
    line: VecDeque<Waiting>,
}

/// A seat that has bytes, or waits for its first.
#[derive(Default)]
struct Taken {
    bytes: usize,
    waits: bool,
    /// Since when the client has taken nothing of its answer; `None` while the answer is made.
    still_since: Option<Instant>,
    cut: Option<oneshot::Sender<()>>,
}

struct Waiting {
    number: u64,
    bytes: usize,
    admitted: oneshot::Sender<()>,
}

/// A place in a room; without bytes until they are asked for. Dropping it gives them back.
pub struct Seat {
    room: Rc<Room>,
    number: Option<u64>,
    bytes: usize,
}

impl Room {
    /// The room of one of so many shards.
    pub fn of_shard(shards: usize) -> Rc<Room> {
        Room::new((LONG_ANSWERS_BYTES_MAX / shards.max(1)).max(SHARE_BYTES_MIN))
    }

    fn new(bytes_max: usize) -> Rc<Room> {
        Rc::new(Room { bytes_max, state: RefCell::default(), turns: RefCell::default() })
    }

    /// Waits for the turn to make a part. It is to be passed on before anything else is waited for.
    pub async fn turn(self: &Rc<Room>) -> Turn {
        let next = {
            let mut turns = self.turns.borrow_mut();
            match turns.as_mut() {
                None => {
                    *turns = Some(VecDeque::new());
                    return Turn(Some(self.clone()));
                }
                Some(line) => {
                    let (sender, next) = oneshot::channel();
                    line.push_back(sender);
                    next
                }
            }
        };
        // It is passed on as long as there is somebody in the line.
        next.await.unwrap_or(Turn(None))
    }

    /// A seat without bytes.
    pub fn seat(self: &Rc<Room>) -> Seat {
        Seat { room: self.clone(), number: None, bytes: 0 }
    }

    /// Gets in line, and ahead when the line is empty.
    fn ask(&self, number: Option<u64>, bytes: usize) -> (u64, oneshot::Receiver<()>) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let number = number.unwrap_or_else(|| {
            state.next_number += 1;
            state.at_work += 1;
            state.seats.insert(state.next_number, Taken::default());
            state.next_number
        });
        let (admitted, admission) = oneshot::channel();
        let seat = state.seats.get_mut(&number).expect("a seat is known until it is dropped");
        if !std::mem::replace(&mut seat.waits, true) {
            state.at_work -= 1;
        }
        state.line.push_back(Waiting { number, bytes, admitted });
        state.admit(self.bytes_max);
        (number, admission)
    }

    fn leave(&self, number: u64) {
        let mut state = self.state.borrow_mut();
        state.line.retain(|waiting| waiting.number != number);
        if let Some(seat) = state.seats.remove(&number) {
            state.taken -= seat.bytes;
            state.at_work -= usize::from(!seat.waits);
        }
        state.admit(self.bytes_max);
    }

    /// Cuts off those whose clients have taken nothing for too long, when `number` is the first who waits: as
    /// many as the line needs.
    fn cut_still(&self, number: u64, now: Instant) {
        let mut state = self.state.borrow_mut();
        if state.line.front().is_none_or(|first| first.number != number) {
            return;
        }
        let patience = patience(state.line.len());
        let mut wanted = state.line.iter().map(|waiting| waiting.bytes).sum::<usize>();
        wanted = wanted.saturating_sub(self.bytes_max.saturating_sub(state.taken));
        let mut still: Vec<_> = state
            .seats
            .values_mut()
            .filter_map(|seat| Some((seat.still_since?, seat)))
            .filter(|(since, _)| now.saturating_duration_since(*since) >= patience)
            .collect();
        still.sort_by_key(|(since, _)| *since);
        for (_, seat) in still {
            if wanted == 0 {
                break;
            }
            wanted = wanted.saturating_sub(seat.bytes);
            if let Some(cut) = seat.cut.take() {
                // The connection may have ended by itself.
                let _ = cut.send(());
            }
        }
    }
}

impl State {
    /// Lets in whom there is room for, in order.
    fn admit(&mut self, bytes_max: usize) {
        while let Some(first) = self.line.front() {
            let seat = self.seats.get_mut(&first.number).expect("whoever waits has a seat");
            let taken = self.taken - seat.bytes + first.bytes;
            if taken > bytes_max && self.at_work > 0 {
                return;
            }
            let Some(first) = self.line.pop_front() else { return };
            if first.admitted.send(()).is_err() {
                // It stopped waiting, and keeps what it had.
                seat.waits = false;
                self.at_work += 1;
                continue;
            }
            self.taken = taken;
            seat.bytes = first.bytes;
            seat.waits = false;
            self.at_work += 1;
        }
    }
}

impl Seat {
    /// Waits until the seat has so many bytes in all.
    pub async fn reserve(&mut self, bytes: usize) {
        if bytes <= self.bytes {
            return;
        }
        let (number, admission) = self.room.ask(self.number, bytes);
        self.number = Some(number);
        let mut admission = pin!(admission);
        loop {
            match select(&mut admission, pin!(reactor::sleep(LOOK))).await {
                Either::Left(_) => break,
                Either::Right(_) => self.room.cut_still(number, Instant::now()),
            }
        }
        self.bytes = bytes;
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The answer begins to leave. What comes back resolves when the seat is lost.
    pub fn send(&self) -> impl Future<Output = ()> + use<> {
        let cut = self.with(|seat| {
            let (sender, receiver) = oneshot::channel();
            seat.cut = Some(sender);
            seat.still_since = Some(Instant::now());
            receiver
        });
        async move {
            let is_cut = match cut {
                Some(cut) => cut.await.is_ok(),
                None => false,
            };
            // Dropped with the seat, nobody is told.
            if !is_cut {
                pending::<()>().await;
            }
        }
    }

    /// The client has taken a part.
    pub fn progressed(&self) {
        self.with(|seat| seat.still_since = Some(Instant::now()));
    }

    fn with<T>(&self, f: impl FnOnce(&mut Taken) -> T) -> Option<T> {
        let number = self.number?;
        self.room.state.borrow_mut().seats.get_mut(&number).map(f)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(room) = self.0.take() else { return };
        loop {
            let next = {
                let mut turns = room.turns.borrow_mut();
                let next = turns.as_mut().and_then(VecDeque::pop_front);
                if next.is_none() {
                    *turns = None;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(room.clone()))) {
                Ok(()) => return,
                // It does not wait any more.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

/// What is gathered for an answer, piece by piece: up to a part of it without a seat.
pub struct Gathered<'a> {
    seat: &'a mut Seat,
    /// What the seat had before.
    before: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Gathered<'_> {
    /// Nothing yet.
    pub fn new(seat: &mut Seat) -> Gathered<'_> {
        let before = seat.bytes;
        Gathered { seat, before, bytes: 0, bytes_max: PART_BYTES }
    }

    /// The bytes for which there is room.
    pub fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes)
    }

    /// So many bytes have come.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Waits until there is room for so many more.
    pub async fn make_room(&mut self, bytes: usize) {
        // At least twice as much as before: many small pieces do not get in line for each.
        self.bytes_max = (self.bytes + bytes).max(2 * self.bytes_max);
        self.seat.reserve(self.before + self.bytes_max).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.room.leave(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Asks; whether the bytes were there at once. The request stays in the line.
    fn ask(room: &Rc<Room>, seat: &mut Seat, bytes: usize) -> oneshot::Receiver<()> {
        let (number, admission) = room.ask(seat.number, bytes);
        seat.number = Some(number);
        admission
    }

    fn is_in(admission: &mut oneshot::Receiver<()>) -> bool {
        admission.now_or_never().is_some()
    }

    #[test]
    fn d11_seats_together_have_no_more_than_the_room_and_are_given_in_order() {
        let room = Room::new(100);
        let mut seats: Vec<Seat> = (0..4).map(|_| room.seat()).collect();
        let mut asked: Vec<_> =
            seats.iter_mut().zip([60, 40, 30, 10]).map(|(seat, bytes)| ask(&room, seat, bytes)).collect();
        let admitted: Vec<_> = asked.iter_mut().map(is_in).collect();
        assert_eq!(admitted, [true, true, false, false], "the last would fit, and is not the next");
        assert_eq!(room.state.borrow().taken, 100);
        drop(seats.remove(1));
        assert!(is_in(&mut asked[2]) && is_in(&mut asked[3]));
        assert_eq!(room.state.borrow().taken, 100);
        drop(seats);
        let state = room.state.borrow();
        assert_eq!((state.taken, state.at_work, state.seats.len()), (0, 0, 0));
    }

    #[test]
    fn d11_an_answer_of_any_size_is_served_when_nobody_else_is() {
        let room = Room::new(100);
        let (mut small, mut large) = (room.seat(), room.seat());
        assert!(is_in(&mut ask(&room, &mut small, 1)));
        let mut admission = ask(&room, &mut large, 1000);
        assert!(!is_in(&mut admission));
        drop(small);
        assert!(is_in(&mut admission));
    }

    #[test]
    fn d11_seats_that_all_want_more_do_not_lock_up() {
        let room = Room::new(100);
        let (mut one, mut other) = (room.seat(), room.seat());
        assert!(is_in(&mut ask(&room, &mut one, 50)) && is_in(&mut ask(&room, &mut other, 50)));
        let mut first = ask(&room, &mut one, 80);
        assert!(!is_in(&mut first), "the other is at work, and will give its bytes back");
        let mut second = ask(&room, &mut other, 80);
        assert!(is_in(&mut first), "nobody is at work");
        assert!(!is_in(&mut second));
        drop(one);
        assert!(is_in(&mut second));
        assert_eq!(room.state.borrow().taken, 80);
    }

    #[test]
    fn d11_however_many_make_parts_others_get_the_thread_after_each() {
        let room = Room::new(100);
        let made = std::cell::Cell::new(0);
        let make = async || {
            for _ in 0..5 {
                let turn = room.turn().await;
                made.set(made.get() + 1);
                turn.pass().await;
            }
        };
        // Each polls all that are ready once, as a turn of the executor does.
        let mut futures: Vec<_> = (0..20).map(|_| Box::pin(make().fuse())).collect();
        let mut before = 0;
        while made.get() < 100 {
            for future in &mut futures {
                let _ = future.as_mut().now_or_never();
            }
            assert!(made.get() - before <= 2, "{} parts in one turn", made.get() - before);
            before = made.get();
        }
    }

    #[test]
    fn d11_one_part_is_made_at_a_time_and_nobody_who_left_keeps_the_turn() {
        let room = Room::new(100);
        let first = room.turn().now_or_never().unwrap();
        let (mut gone, mut left, mut next) =
            (Box::pin(room.turn()), Box::pin(room.turn()), Box::pin(room.turn()));
        for waiting in [&mut gone, &mut left, &mut next] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(gone);
        drop(first);
        // It has the turn without knowing.
        drop(left);
        let turn = next.as_mut().now_or_never().expect("it is the next");
        assert!(room.turn().now_or_never().is_none());
        drop(turn);
        assert!(room.turn().now_or_never().is_some());
    }

    #[test]
    fn d11_the_longer_the_line_the_shorter_the_patience() {
        assert_eq!([1, 2, 3].map(patience), [STALL_MAX, STALL_MAX, STALL_MAX / 2]);
        assert_eq!(patience(100_000), STALL_MIN);
    }

    #[test]
    fn d11_the_longest_still_client_is_cut_off_when_others_wait_and_only_then() {
        let room = Room::new(100);
        let mut seats: Vec<Seat> = (0..3).map(|_| room.seat()).collect();
        let now = Instant::now();
        let mut cuts = Vec::new();
        for (at, seat) in seats.iter_mut().enumerate().take(2) {
            assert!(is_in(&mut ask(&room, seat, 50)));
            cuts.push(Box::pin(seat.send()));
            // The second has stood still for longer.
            let since = now - STALL_MAX * (at as u32 + 1);
            seat.with(|seat| seat.still_since = Some(since));
        }
        let [one, other] = &mut cuts[..] else { unreachable!() };
        assert!(one.now_or_never().is_none() && other.now_or_never().is_none(), "nobody waits");
        let mut admission = ask(&room, &mut seats[2], 40);
        let number = seats[2].number.unwrap();
        seats[0].progressed();
        room.cut_still(number, now);
        assert!(cuts[1].as_mut().now_or_never().is_some());
        assert!(cuts[0].as_mut().now_or_never().is_none(), "it moves, and one is enough");
        assert!(!is_in(&mut admission), "the memory is not back yet");
        drop(seats.remove(1));
        assert!(is_in(&mut admission));
    }
}
