//! The order in which batches are checked, so that nobody's records cost the others more than a slice (D11).
//!
//! Compressed records are few bytes to send and many to look at: 16 kB may unpack to 16 MiB. Three rules
//! bound what that costs the others:
//!
//! ```text
//! up to 64 KiB        at once, where the short seat is taken              what most producers send never waits
//! up to 1 MiB         on the short seat, one batch at a time              Kafka's clients send no more, unless they are told to
//! beyond              on the bench, a thread of lower priority            the bombs wait for each other, and take what the shards leave
//! ```
//!
//! * Whoever sits gives way after every piece. So there is one at most who competes with a shard's other
//!   work, however many connections send; and no step of it takes more than a piece, or one Snappy block of 1
//!   MiB.
//! * A seat is given on in the order of arrival, and so is the bench. Whoever needs more than the seat allows
//!   begins anew on the bench, and so keeps no memory while it waits; a batch of 256 kB or more goes there at
//!   once.
//! * The decoders belong to the seat and to the bench, and are kept from batch to batch: what is held of
//!   unpacked records is what two of them hold for each shard, and one for the bench (see [`Unpacker`]).
//!
//! Records that are packed anew (`compression.type`) sit from the beginning; uncompressed ones are walked
//! over where they are, and give way likewise.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::{io, thread};

use async_channel::Sender;
use bytes::BytesMut;
use futures_channel::oneshot;

use crate::format::check::{CheckError, CheckRules, CheckedBatch, Checking, Progress};
use crate::format::compression::{PIECE_BYTES, Unpacker};
use crate::reactor::yield_if_needed;

/// What is unpacked on the short seat.
const SHORT_BYTES_MAX: usize = 1 << 20;

/// How much less the bench's thread counts than a shard's: a third of it where both want the same core.
const BENCH_NICE: i32 = 5;

/// A batch of so many bytes is taken to unpack to more than [`SHORT_BYTES_MAX`], and does not try the short
/// seat.
const LONG_PACKED_BYTES: usize = SHORT_BYTES_MAX / 4;

/// What a step counts for at least: there are pieces with nothing in them.
const STEP_BYTES_MIN: usize = 1 << 10;

/// The seats of one shard.
pub(crate) struct Admission {
    /// For what is done at once.
    spare: RefCell<Unpacker>,
    short: Seat,
    bench: Bench,
}

impl Admission {
    pub(crate) fn new(bench: Bench) -> Admission {
        Admission { spare: RefCell::default(), short: Seat::new(), bench }
    }

    /// What [`check`](crate::format::check::check) does, giving way to others. Dropping the future ends it at
    /// once.
    ///
    /// # Errors
    /// [`CheckError`].
    pub(crate) async fn check(
        &self,
        bytes: BytesMut,
        rules: &CheckRules,
    ) -> Result<CheckedBatch, CheckError> {
        let mut checking = Checking::begin(bytes, rules)?;
        if !checking.is_dear() {
            walk(&mut checking).await?;
            return checking.finish();
        }
        if checking.packed_bytes() < LONG_PACKED_BYTES {
            let seated = self.short.take_now();
            if seated.is_none() && !checking.is_repacked() && self.at_once(&mut checking)? {
                return checking.finish();
            }
            let mut seated = match seated {
                Some(seated) => seated,
                None => self.short.take().await,
            };
            if seated.check(&mut checking, SHORT_BYTES_MAX).await? {
                return checking.finish();
            }
        }
        self.bench.check(checking).await
    }

    /// Whether one piece is all.
    fn at_once(&self, checking: &mut Checking) -> Result<bool, CheckError> {
        let mut spare = self.spare.borrow_mut();
        checking.restart(PIECE_BYTES);
        for _ in 0..PIECE_BYTES / STEP_BYTES_MIN {
            match checking.step(&mut spare)? {
                Progress::Done => return Ok(true),
                Progress::NoRoom => break,
                Progress::More => {}
            }
        }
        Ok(false)
    }
}

/// A thread that checks what takes long, one batch after the other; its clones are the way to it. It ends
/// with the last of them.
#[derive(Clone)]
pub(crate) struct Bench(Sender<Waiting>);

/// A batch that waits for the bench, and who waits for it.
struct Waiting {
    checking: Checking,
    reply: oneshot::Sender<Result<CheckedBatch, CheckError>>,
}

impl Bench {
    /// # Errors
    /// When the thread cannot be made.
    pub(crate) fn start() -> io::Result<Bench> {
        // What waits here is bounded where it comes from: a connection has a bounded number of requests under
        // way.
        let (sender, waiting) = async_channel::unbounded::<Waiting>();
        let run = move || {
            if let Err(error) = rustix::process::nice(BENCH_NICE) {
                tracing::warn!(%error, "the thread that unpacks large batches has no lower priority");
            }
            let mut unpacker = Unpacker::default();
            while let Ok(Waiting { checking, reply }) = waiting.recv_blocking() {
                if let Some(checked) = check_whole(checking, &mut unpacker, &|| reply.is_canceled()) {
                    let _ = reply.send(checked);
                }
            }
        };
        thread::Builder::new().name("unpack".to_owned()).spawn(run)?;
        Ok(Bench(sender))
    }

    async fn check(&self, checking: Checking) -> Result<CheckedBatch, CheckError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Waiting { checking, reply }).await.expect("it ends with the last way to it");
        answer.await.expect("what waits is checked")
    }
}

/// All of a batch in one go; `None` when nobody waits for it any more.
fn check_whole(
    mut checking: Checking,
    unpacker: &mut Unpacker,
    is_over: &dyn Fn() -> bool,
) -> Option<Result<CheckedBatch, CheckError>> {
    checking.restart(usize::MAX);
    loop {
        if is_over() {
            return None;
        }
        match checking.step(unpacker) {
            Ok(Progress::Done) => return Some(checking.finish()),
            // Linux lets a thread that wakes wait for the next tick, up to 4 ms, where the one that runs has
            // time left.
            Ok(Progress::More) => thread::yield_now(),
            Ok(Progress::NoRoom) => unreachable!("there is room for anything"),
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Uncompressed records, whose decoder holds nothing.
async fn walk(checking: &mut Checking) -> Result<(), CheckError> {
    let mut unpacker = Unpacker::default();
    while checking.step(&mut unpacker)? == Progress::More {
        yield_if_needed().await;
    }
    Ok(())
}

/// One set of decoders, and those that wait for it.
struct Seat(Rc<SeatState>);

struct SeatState {
    free: Cell<Option<Box<Unpacker>>>,
    waiting: RefCell<VecDeque<oneshot::Sender<Seated>>>,
}

/// A seat that is taken; dropping it gives it on.
struct Seated {
    seat: Rc<SeatState>,
    unpacker: Option<Box<Unpacker>>,
}

impl Seat {
    fn new() -> Seat {
        let free = Cell::new(Some(Box::default()));
        Seat(Rc::new(SeatState { free, waiting: RefCell::default() }))
    }

    fn take_now(&self) -> Option<Seated> {
        let unpacker = self.0.free.take()?;
        Some(Seated { seat: self.0.clone(), unpacker: Some(unpacker) })
    }

    async fn take(&self) -> Seated {
        if let Some(seated) = self.take_now() {
            return seated;
        }
        let (sender, receiver) = oneshot::channel();
        self.0.waiting.borrow_mut().push_back(sender);
        receiver.await.expect("a seat is given on, never lost")
    }
}

impl Seated {
    /// Checks all of the records; `false` when they take more than `bytes_max` unpacked.
    async fn check(&mut self, checking: &mut Checking, bytes_max: usize) -> Result<bool, CheckError> {
        let unpacker = self.unpacker.as_mut().expect("it is given on when this is dropped");
        checking.restart(bytes_max);
        let mut steps_left = bytes_max / STEP_BYTES_MIN;
        while steps_left > 0 {
            match checking.step(unpacker)? {
                Progress::Done => return Ok(true),
                Progress::NoRoom => break,
                Progress::More => {}
            }
            steps_left -= 1;
            yield_if_needed().await;
        }
        Ok(false)
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let Some(mut unpacker) = self.unpacker.take() else { return };
        loop {
            let Some(next) = self.seat.waiting.borrow_mut().pop_front() else {
                self.seat.free.set(Some(unpacker));
                return;
            };
            let seated = Seated { seat: self.seat.clone(), unpacker: Some(unpacker) };
            match next.send(seated) {
                Ok(()) => return,
                // Whoever waited has gone.
                Err(mut seated) => unpacker = seated.unpacker.take().expect("it was not used"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::config::{TopicConfig, TopicDefaults};
    use crate::format::builder::BatchBuilder;
    use crate::format::check::Repack;
    use crate::format::compression::{Codec, DecompressError};
    use crate::reactor::{Queue, kind_for_tests, spawn, spawn_executor};
    use crate::types::Timestamp;

    const PACKED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    fn on_executor<F, T>(test: impl FnOnce() -> F + Send + 'static) -> T
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        spawn_executor(kind_for_tests(), "test", None, 0.1, |_| test()).unwrap().join().unwrap()
    }

    fn rules() -> CheckRules {
        TopicConfig::resolve(&TopicDefaults::default(), &[]).unwrap().check_rules(Timestamp(1_000))
    }

    fn zeros(codec: Codec, bytes: usize) -> BytesMut {
        let mut builder = BatchBuilder::new(codec);
        builder.push(Timestamp(1_000), None, Some(&vec![0; bytes]), &[]);
        builder.build()
    }

    #[test]
    fn a_seat_is_given_on_in_the_order_of_arrival_and_never_lost() {
        let seat = Seat::new();
        let first = seat.take().now_or_never().expect("it is free");
        let (mut second, gone, mut third) =
            (Box::pin(seat.take()), Box::pin(seat.take()), Box::pin(seat.take()));
        let mut gone = Some(gone);
        assert!((&mut second).now_or_never().is_none());
        assert!(gone.as_mut().unwrap().now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!(seat.take_now().is_none(), "it is the second's, who has not looked yet");
        let seated = (&mut second).now_or_never().expect("its turn");
        gone = None;
        drop(seated);
        assert!(gone.is_none());
        // Given on to one that goes without having looked.
        drop(third);
        assert!(seat.take_now().is_some());
    }

    /// D11.
    #[test]
    fn what_is_small_does_not_wait_for_what_is_large() {
        let admission = Admission::new(Bench::start().unwrap());
        let short = admission.short.take_now().unwrap();
        for codec in PACKED {
            let small = admission.check(zeros(codec, 60_000), &rules()).now_or_never();
            small.expect("no wait").expect("a sound batch");
            let large = admission.check(zeros(codec, 100_000), &rules()).now_or_never();
            assert!(large.is_none(), "it waits for a seat");
        }
        drop(short);
        assert!(admission.short.take_now().is_some(), "those that waited have gone");
    }

    /// D11.
    #[test]
    fn many_large_batches_hold_the_memory_of_a_few() {
        on_executor(|| async {
            let admission = Rc::new(Admission::new(Bench::start().unwrap()));
            let checks: Vec<_> = PACKED
                .into_iter()
                .cycle()
                .take(16)
                .map(|codec| {
                    let admission = admission.clone();
                    let check = async move { admission.check(zeros(codec, 8 << 20), &rules()).await };
                    spawn(Queue::Net, check)
                })
                .collect();
            for check in checks {
                check.await.expect("a sound batch");
            }
            let mut short = admission.short.take_now().unwrap();
            let held = short.unpacker.as_mut().expect("it is seated").held_bytes();
            assert!(held <= 4 << 20, "{held} bytes");
        });
    }

    /// D11: what the bench keeps from batch to batch is bounded, whatever has sat on it.
    #[test]
    fn the_bench_holds_the_memory_of_one_batch() {
        let mut unpacker = Unpacker::default();
        for codec in PACKED {
            let checking = Checking::begin(zeros(codec, 8 << 20), &rules()).unwrap();
            let checked = check_whole(checking, &mut unpacker, &|| false);
            checked.expect("somebody waits").expect("a sound batch");
            let held = unpacker.held_bytes();
            assert!(held <= 8 << 20, "{} leaves {held} bytes", codec.name());
        }
    }

    /// D11: clients that hang up do not keep the bench from the others.
    #[test]
    fn what_nobody_waits_for_is_given_up_between_two_pieces() {
        for codec in [Codec::Gzip, Codec::Zstd] {
            let checking = Checking::begin(zeros(codec, 8 << 20), &rules()).unwrap();
            let looks = Cell::new(0);
            let is_over = || looks.replace(looks.get() + 1) == 3;
            assert!(check_whole(checking, &mut Unpacker::default(), &is_over).is_none());
            assert_eq!(looks.get(), 4, "it ends with the look that tells");
        }
    }

    #[test]
    fn a_check_that_moves_between_seats_ends_as_one_in_one_go() {
        on_executor(|| async {
            let admission = Admission::new(Bench::start().unwrap());
            for bytes in [10, 60 << 10, 70 << 10, (1 << 20) - 100, 3 << 20, 20 << 20] {
                for codec in PACKED {
                    let batch = zeros(codec, bytes);
                    let whole = crate::format::check::check(batch.clone(), &rules());
                    let seated = admission.check(batch, &rules()).await;
                    let bytes = |checked: CheckedBatch| checked.as_ref().to_vec();
                    assert_eq!(seated.map(bytes), whole.map(bytes), "{}", codec.name());
                }
            }
            let repack = Some(Repack { packing: Codec::Zstd.into(), bytes_max: 1 << 20 });
            let kept = admission.check(zeros(Codec::Gzip, 3 << 20), &CheckRules { repack, ..rules() }).await;
            assert_eq!(kept.unwrap().header().codec(), Ok(Codec::Zstd));
        });
    }

    #[test]
    fn a_bomb_is_refused_by_what_its_bytes_may_unpack_to() {
        on_executor(|| async {
            let error = Admission::new(Bench::start().unwrap())
                .check(zeros(Codec::Zstd, 17 << 20), &rules())
                .await
                .unwrap_err();
            let limit = crate::format::check::UNPACKED_BYTES_FREE;
            assert_eq!(
                error,
                CheckError::Decompress(DecompressError::TooLarge { codec: Codec::Zstd, limit })
            );
        });
    }
}
