//! Fetches for a member of a share group: looks for records that nobody has, and waits for its turn to.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select, select_all};
use strandline_engine::error::ReadError;
use strandline_engine::types::{Offset, TopicId};
use strandline_engine::{File, FileRange, ReadRequest, ReadResult, Reader, reactor};
use strandline_protocol::wire::ErrorCode;

use super::batches::{Walked, walk};
use crate::api::read_error;
use crate::api::share_acknowledge::{AT_ONCE, asked};
use crate::broker::uuid_of;
use crate::call::Call;
use crate::share::{Acquired, Asked, Found, Looked, NextFetch, Opened, ShareGroupConfig, Turn, Wait, Want};

/// Bytes of a partition that are looked at together: some batches of usual size.
const READ_BYTES: u64 = 1 << 20;

/// Looks in vain at records that others were faster to get, before it waits.
const LOOKS_MAX: usize = 100;

/// How long a member waits for a coordinator that is not there at the moment, until it asks again.
const COORDINATOR_PAUSE: Duration = Duration::from_millis(100);

/// What a request takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// The most bytes; the first partition that has records gives a batch, whatever its size.
    pub(super) bytes_max: u64,
    /// It waits for as many.
    pub(super) bytes_min: u64,
    /// The most records, see [`Want`].
    pub(super) records_max: i64,
    /// See [`Want`].
    pub(super) batch_size: i64,
    /// See [`Want`].
    pub(super) is_strict: bool,
    /// How long it waits.
    pub(super) wait: Duration,
}

/// What there is of a partition.
pub(super) struct Fetched {
    pub(super) topic: TopicId,
    pub(super) partition: i32,
    /// Records and which of them the member has, or why none.
    pub(super) result: Result<(FileRange<File>, Vec<Acquired>), ErrorCode>,
}

/// A partition of the session.
struct Target {
    topic: TopicId,
    partition: i32,
    asked: Result<Asked, ErrorCode>,
    /// Where it was to be looked, when somebody could say.
    next: Option<NextFetch>,
    /// What it was looked at, in vain.
    looked: Option<Looked>,
    /// The right to look before others.
    turn: Option<Turn>,
}

/// What a look has come to.
enum Look {
    /// The answer.
    Found(Vec<Fetched>),
    /// Nobody may have anything, or there is too little.
    Nothing,
    /// Others were faster, or there was nothing but gaps: there may be more behind it.
    Again,
}

struct Fetching<'a> {
    call: &'a Call,
    group: &'a str,
    member: &'a str,
    session: u64,
    reader: Reader,
    limit: Limit,
    since: Instant,
    deadline: Instant,
}

/// What there is for a member, as soon as there is something.
pub(super) async fn fetch(
    call: &Call,
    (group, member): (&str, &str),
    opened: Opened,
    config: &ShareGroupConfig,
    limit: Limit,
) -> Vec<Fetched> {
    let mut targets = Vec::with_capacity(opened.partitions.len());
    for (topic, partition) in opened.partitions {
        let asked = asked(call, group, config, uuid_of(topic), partition);
        targets.push(Target { topic, partition, asked, next: None, looked: None, turn: None });
        if targets.len() % AT_ONCE == 0 {
            reactor::yield_if_needed().await;
        }
    }
    let since = Instant::now();
    let mut fetching = Fetching {
        call,
        group,
        member,
        session: opened.number,
        reader: Reader::Consumer(config.isolation),
        limit,
        since,
        deadline: since + limit.wait,
    };
    let wants_records = limit.records_max > 0 && limit.bytes_max > 0;
    let errors = |targets: &[Target]| -> Vec<Fetched> {
        let failed = targets.iter().filter_map(|target| {
            let code = *target.asked.as_ref().err()?;
            Some(Fetched { topic: target.topic, partition: target.partition, result: Err(code) })
        });
        failed.collect()
    };
    let mut looks = 0;
    loop {
        let failed = errors(&targets);
        let is_time = Instant::now() >= fetching.deadline || call.ending.is_ended();
        if !wants_records {
            return failed;
        }
        let mut look = fetching.look(&mut targets, is_time || !failed.is_empty()).await;
        if let Look::Found(found) = &mut look {
            found.extend(errors(&targets));
            return std::mem::take(found);
        }
        let failed = errors(&targets);
        let is_time = Instant::now() >= fetching.deadline || call.ending.is_ended();
        if is_time || !failed.is_empty() || targets.is_empty() {
            return failed;
        }
        looks += 1;
        match look {
            Look::Again if looks % LOOKS_MAX != 0 => reactor::yield_if_needed().await,
            _ => fetching.wait(&mut targets).await,
        }
    }
}

impl Fetching<'_> {
    /// Looks at every partition once. `is_last` takes what there is, however little.
    async fn look(&mut self, targets: &mut [Target], is_last: bool) -> Look {
        self.next_fetches(targets, !is_last).await;
        let found = self.read(targets).await;
        let bytes: u64 = found.iter().map(|(_, _, found)| found.bytes()).sum();
        if bytes == 0 || (bytes < self.limit.bytes_min.min(self.limit.bytes_max) && !is_last) {
            return Look::Nothing;
        }
        let mut fetched = Vec::new();
        let (mut records_left, mut bytes_left) = (self.limit.records_max, self.limit.bytes_max);
        let mut has_looked = false;
        for (at, offset, found) in found {
            if records_left <= 0 || bytes_left == 0 {
                break;
            }
            let target = &mut targets[at];
            let Ok(asked) = target.asked.clone() else { continue };
            let Some(range) = &found.batches else { continue };
            has_looked = true;
            let most = if fetched.is_empty() { u64::MAX } else { bytes_left };
            let walked = walk(&self.call.broker, range, &found.aborted, records_left, most).await;
            let Walked { read, places } = match walked {
                Ok(walked) => walked,
                Err(error) => {
                    tracing::warn!(partition = %asked.partition, %error, "records were not read");
                    target.asked = Err(ErrorCode::KafkaStorageError);
                    continue;
                }
            };
            if read.is_empty() {
                continue;
            }
            let want = Want {
                records_max: records_left,
                is_strict: self.limit.is_strict,
                batch_size: self.limit.batch_size,
            };
            let owner = (self.member.to_owned(), self.session);
            let (turn, log_end) = (target.turn.as_ref().map(|turn| turn.number), found.readable_end.get());
            let found = Found { offset, read, log_end, turn };
            let leaders = &self.call.broker.shares.shares.leaders;
            let acquired = match leaders.acquire(asked, owner, found, want).await {
                Ok(acquired) => acquired,
                Err(code) => {
                    self.note(target, code);
                    continue;
                }
            };
            let (Some(first), Some(last)) = (acquired.first(), acquired.last()) else { continue };
            let range = places.slice(range, first.first, last.last);
            records_left -= acquired.iter().map(|of| of.last - of.first + 1).sum::<i64>();
            bytes_left = bytes_left.saturating_sub(range.length);
            let Target { topic, partition, .. } = *target;
            fetched.push(Fetched { topic, partition, result: Ok((range, acquired)) });
        }
        match (fetched.is_empty(), has_looked) {
            (false, _) => Look::Found(fetched),
            (true, true) => Look::Again,
            (true, false) => Look::Nothing,
        }
    }

    /// Asks where the next records are to be read, apart from where it was told with its turn.
    async fn next_fetches(&self, targets: &mut [Target], waits: bool) {
        let leaders = &self.call.broker.shares.shares.leaders;
        for some in targets.chunks_mut(AT_ONCE) {
            let asking = some.iter_mut().map(async |target| {
                target.looked = None;
                target.next = target.turn.as_mut().and_then(|turn| turn.next.take());
                let Ok(asked) = target.asked.clone() else { return };
                if target.next.is_some() {
                    return;
                }
                let turn = target.turn.as_ref().map(|turn| turn.number);
                match leaders.next_fetch(asked, waits, turn).await {
                    Ok(next) => target.next = Some(next),
                    Err(code) => self.note(target, code),
                }
            });
            join_all(asking).await;
        }
    }

    /// Reads where there may be something: the number of each partition, where, and what.
    async fn read(&self, targets: &mut [Target]) -> Vec<(usize, i64, ReadResult<File>)> {
        let mut at = Vec::new();
        let mut requests = Vec::new();
        for (number, target) in targets.iter().enumerate() {
            if let (Ok(asked), Some(NextFetch { offset: Some(offset), .. })) = (&target.asked, target.next)
                && let Some(from) = Offset::checked(offset)
            {
                let bytes_max = READ_BYTES.min(self.limit.bytes_max);
                let request = ReadRequest::new(asked.partition, from, bytes_max);
                at.push((number, offset));
                requests.push(ReadRequest { reader: self.reader, ..request });
            }
        }
        let results = self.call.broker.shard.read(&requests).await;
        let mut found = Vec::new();
        for ((number, offset), result) in at.into_iter().zip(results) {
            let target = &mut targets[number];
            match result {
                Ok(result) => {
                    target.saw(result.readable_end.get());
                    found.push((number, offset, result));
                }
                Err(ReadError::OffsetOutOfRange { log_start, .. }) => {
                    self.begin_at(target, offset, log_start.get()).await;
                }
                Err(error) => target.asked = Err(read_error(&error)),
            }
        }
        found
    }

    /// Records that were to be given out are not there any more, or not yet.
    async fn begin_at(&self, target: &mut Target, offset: i64, log_start: i64) {
        let Ok(asked) = target.asked.clone() else { return };
        if log_start > offset {
            let leaders = &self.call.broker.shares.shares.leaders;
            if let Err(code) = leaders.begin_at(asked, log_start).await {
                self.note(target, code);
            }
            return;
        }
        // The log is shorter than it was: it is waited until it is longer again.
        target.saw(offset);
    }

    /// What a share partition that is not served comes to: an answer, or patience.
    fn note(&self, target: &mut Target, code: ErrorCode) {
        match code {
            ErrorCode::CoordinatorNotAvailable
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::NotCoordinator => {}
            // The group has no state there: its members are told with their next heartbeat.
            ErrorCode::InvalidRequest => target.asked = Err(ErrorCode::UnknownServerError),
            ErrorCode::FencedLeaderEpoch | ErrorCode::FencedStateEpoch => {
                target.asked = Err(ErrorCode::NotLeaderOrFollower);
            }
            code => {
                tracing::debug!(group = self.group, partition = target.partition, %code, "nothing is fetched");
                target.asked = Err(code);
            }
        }
    }

    /// Waits until it has the turn to look at a partition, or it is time.
    async fn wait(&self, targets: &mut [Target]) {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let leaders = &self.call.broker.shares.shares.leaders;
        let mut numbers = Vec::new();
        let mut turns = Vec::new();
        let mut had = Vec::new();
        let mut pause = left;
        for (number, target) in targets.iter_mut().enumerate() {
            let turn = target.turn.as_ref().map(|turn| turn.number);
            // Until it waits again: otherwise another could have the turn before it has its place.
            had.extend(target.turn.take());
            let Ok(asked) = &target.asked else { continue };
            if target.next.is_none() {
                pause = pause.min(COORDINATOR_PAUSE);
                continue;
            }
            let wait = Wait { since: self.since, looked: target.looked, turn };
            numbers.push(number);
            turns.push(Box::pin(leaders.turn(asked.clone(), wait)));
        }
        let something = pin!(async {
            match turns.is_empty() {
                true => std::future::pending().await,
                false => select_all(turns).await,
            }
        });
        let end = pin!(self.call.ending.ended());
        let waited = pin!(reactor::with_timeout(pause, something));
        if let Either::Left((Some((Ok(turn), first, _)), _)) = select(waited, end).await {
            targets[numbers[first]].turn = Some(turn);
        }
    }
}

impl Target {
    /// It was looked at, up to here.
    fn saw(&mut self, log_end: i64) {
        self.looked = self.next.map(|next| Looked { changes: next.changes, log_end });
    }
}
