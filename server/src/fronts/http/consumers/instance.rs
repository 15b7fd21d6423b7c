//! One consumer: what it reads, how far it is, what it has committed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use futures_util::stream::{FuturesUnordered, StreamExt};
use strandline_engine::Isolation;
use strandline_protocol::messages::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, PartitionData,
};
use strandline_protocol::wire::ErrorCode;
use tokio::sync::{Mutex as Turns, OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::coordinator;
use super::member::Member;
use super::subject::{Partition, Reset, Settings, Subscription};
use crate::fronts::http::ask::Asker;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::records::{Form, Unwritten, walk};
use crate::fronts::http::schemas::{Readers, Registry};
use crate::fronts::http::topics::{Moment, Wanted, check, no_partition};
use crate::session::Principal;

/// The versions of OffsetCommit and OffsetFetch that are asked: those of members by KIP-848.
const OFFSET_COMMIT: i16 = 9;
const OFFSET_FETCH: i16 = 9;

/// How long to wait for more where there is something, and too little.
const MORE_PAUSE: Duration = Duration::from_millis(20);

/// Partitions that are waited for at a time: one that has records among more of them is found a while later.
const WAITED_FOR_MAX: usize = 256;

/// How long to wait before those are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How far a partition is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    /// The next record that will be given; `None` until it was looked up.
    next: Option<i64>,
    /// Records before this are done.
    done: Option<i64>,
    committed: Option<i64>,
}

struct State {
    used: Instant,
    subscription: Subscription,
    positions: BTreeMap<Partition, Position>,
    committed_at: Instant,
    /// Which partition is first next time.
    first: usize,
    is_ended: bool,
}

/// A consumer.
pub(in crate::fronts::http) struct Instance {
    /// Its group.
    pub(in crate::fronts::http) group: String,
    /// Its name.
    pub(in crate::fronts::http) name: String,
    /// What it was made with.
    pub(in crate::fronts::http) settings: Settings,
    /// Its maker, as whom it is a member.
    asker: Asker,
    pub(super) member: Member,
    state: Mutex<State>,
    /// One thing is done with its positions at a time.
    turns: Turns<()>,
    /// Counts what has changed of what it reads.
    changes: watch::Sender<u64>,
}

impl Instance {
    pub(super) fn new(asker: Asker, group: &str, name: &str, settings: Settings) -> Instance {
        let now = Instant::now();
        let state = State {
            used: now,
            subscription: Subscription::None,
            positions: BTreeMap::new(),
            committed_at: now,
            first: 0,
            is_ended: false,
        };
        Instance {
            group: group.to_owned(),
            name: name.to_owned(),
            settings,
            asker,
            member: Member::default(),
            state: Mutex::new(state),
            turns: Turns::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Whether somebody has made it.
    pub(super) fn is_of(&self, principal: &Principal) -> bool {
        self.asker.session.principal == *principal
    }

    /// Notes that it is used.
    pub(super) fn touch(&self) {
        self.state().used = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has whoever waits look again.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// What it reads.
    pub(in crate::fronts::http) fn subscription(&self) -> Subscription {
        self.state().subscription.clone()
    }

    /// The partitions that it has.
    pub(in crate::fronts::http) fn partitions(&self) -> Vec<Partition> {
        self.state().positions.keys().cloned().collect()
    }

    /// Has it read what the group gives it of topics.
    ///
    /// # Errors
    /// 40903 where it was told partitions.
    pub(in crate::fronts::http) async fn subscribe(&self, to: Subscription) -> Result<(), Problem> {
        let _turn = self.turns.lock().await;
        {
            let mut state = self.state();
            if state.subscription == Subscription::Assigned {
                return Err(exclusive());
            }
            state.subscription = to;
        }
        self.member.subscribe();
        self.changed();
        Ok(())
    }

    /// Has it read these partitions.
    ///
    /// # Errors
    /// 40903 where it is subscribed.
    pub(in crate::fronts::http) async fn assign(&self, partitions: Vec<Partition>) -> Result<(), Problem> {
        let _turn = self.turns.lock().await;
        let mut state = self.state();
        match state.subscription {
            Subscription::None | Subscription::Assigned => {}
            Subscription::Topics(_) | Subscription::Pattern(_) => return Err(exclusive()),
        }
        state.subscription = Subscription::Assigned;
        self.replace(&mut state, partitions);
        Ok(())
    }

    /// Has it read nothing any more, and leave its group.
    pub(in crate::fronts::http) async fn unsubscribe(&self) {
        let _turn = self.turns.lock().await;
        self.commit_done(&self.asker).await;
        self.member.leave(&self.asker, &self.group).await;
        let mut state = self.state();
        state.subscription = Subscription::None;
        state.positions.clear();
        drop(state);
        self.changed();
    }

    /// Ends it: what is done is committed, with `all` also what was given last, and it leaves its group.
    pub(in crate::fronts::http) async fn end(&self, all: bool) {
        self.state().is_ended = true;
        self.changed();
        let _turn = self.turns.lock().await;
        if all {
            self.count_as_done();
        }
        self.commit_done(&self.asker).await;
        self.member.leave(&self.asker, &self.group).await;
    }

    /// Takes over what the group gives it. What it loses is committed before.
    pub(super) async fn take_over(&self, partitions: Vec<Partition>) {
        let _turn = self.turns.lock().await;
        self.commit_done(&self.asker).await;
        let mut state = self.state();
        self.replace(&mut state, partitions);
    }

    fn replace(&self, state: &mut State, partitions: Vec<Partition>) {
        let kept: BTreeMap<Partition, Position> = partitions
            .into_iter()
            .map(|partition| {
                let position = state.positions.get(&partition).copied().unwrap_or_default();
                (partition, position)
            })
            .collect();
        state.positions = kept;
        self.changed();
    }

    /// What was given counts as done.
    fn count_as_done(&self) {
        for position in self.state().positions.values_mut() {
            position.done = position.next;
        }
    }

    /// Commits what is done, where it does so by itself; what does not succeed is tried again later.
    async fn commit_done(&self, asker: &Asker) {
        let offsets: Vec<(Partition, i64)> = {
            let mut state = self.state();
            state.committed_at = Instant::now();
            let news = state.positions.iter().filter_map(|(partition, position)| {
                let done = position.done.filter(|done| position.committed != Some(*done))?;
                Some((partition.clone(), done))
            });
            news.collect()
        };
        if self.settings.auto_commit
            && !offsets.is_empty()
            && let Err(problem) = self.commit_offsets(asker, &offsets).await
        {
            tracing::debug!(group = self.group, instance = self.name, why = problem.message, "not committed");
        }
    }

    /// How long nobody has used it, and nothing was committed; nothing when it has ended.
    pub(super) fn quiet(&self) -> Option<(Duration, Duration)> {
        let state = self.state();
        (!state.is_ended).then(|| (state.used.elapsed(), state.committed_at.elapsed()))
    }

    /// Commits what is done when nothing else is under way.
    pub(super) async fn commit_in_turn(&self) {
        let _turn = self.turns.lock().await;
        self.commit_done(&self.asker).await;
    }

    /// Its maker.
    pub(super) fn asker(&self) -> &Asker {
        &self.asker
    }

    // ---- what its client asks for -------------------------------------------------------------------------

    /// Waits for its assignment, and then for records, and writes them as elements of an array.
    ///
    /// # Errors
    /// [`Problem`]; its position has not moved then.
    pub(in crate::fronts::http) async fn records(
        &self,
        asker: &Asker,
        registry: &Registry,
        wait: Option<Duration>,
        bytes_max: usize,
    ) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Problem> {
        let deadline = Instant::now() + wait.unwrap_or(self.settings.wait);
        self.count_as_done();
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            self.check_subscribed()?;
            let turn = self.turns.lock().await;
            self.find_positions(asker).await?;
            let (out, is_enough, room) = self.read(asker, registry, bytes_max, deadline).await?;
            drop(turn);
            if is_enough {
                return Ok((out, room));
            }
            drop(room);
            self.touch();
            if !out.is_empty() {
                sleep(MORE_PAUSE).await;
                continue;
            }
            tokio::select! {
                () = self.more(asker, deadline) => {}
                _ = changes.changed() => {}
                () = asker.shared.stopped() => return Err(Problem::away("the broker stops")),
            }
        }
    }

    fn check_subscribed(&self) -> Result<(), Problem> {
        let state = self.state();
        if state.is_ended {
            let words = format!("instance {} of group {} has ended", self.name, self.group);
            return Err(Problem::new(StatusCode::NOT_FOUND, Some(3), words));
        }
        if state.subscription == Subscription::None {
            let words = "the consumer is subscribed to no topic, and no partition is assigned to it";
            return Err(Problem::new(StatusCode::CONFLICT, Some(3), words));
        }
        drop(state);
        self.member.problem().map_or(Ok(()), Err)
    }

    /// Waits for records, or until something is to be looked at again.
    async fn more(&self, asker: &Asker, deadline: Instant) {
        let positions = self.state().positions.clone();
        let is_all = positions.len() <= WAITED_FOR_MAX;
        let until = if is_all { deadline } else { deadline.min(Instant::now() + LOOK_EVERY) };
        let at: Vec<(Partition, i64)> = positions
            .into_iter()
            .filter_map(|(partition, position)| Some((partition, position.next?)))
            .take(WAITED_FOR_MAX)
            .collect();
        let isolation = self.settings.isolation;
        let waits = at
            .into_iter()
            .map(|(partition, offset)| wait_for(asker.clone(), partition, offset, isolation, until));
        let mut waits: FuturesUnordered<_> = waits.collect();
        match waits.next().await {
            Some(()) => {}
            None => sleep_until(until).await,
        }
    }

    /// Reads once. Whether that is enough: there is as much as was asked for, or it is time.
    async fn read(
        &self,
        asker: &Asker,
        registry: &Registry,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<(Vec<u8>, bool, Option<OwnedSemaphorePermit>), Problem> {
        let mut at: Vec<(Partition, i64)> = {
            let state = self.state();
            let known = state.positions.iter();
            known.filter_map(|(partition, position)| Some((partition.clone(), position.next?))).collect()
        };
        let is_time = Instant::now() >= deadline;
        if at.is_empty() {
            return Ok((Vec::new(), is_time, None));
        }
        {
            // Each is the first in its turn.
            let mut state = self.state();
            state.first = state.first.wrapping_add(1);
            let by = state.first % at.len();
            at.rotate_left(by);
        }
        let asked: Vec<(&str, i32, i64)> =
            at.iter().map(|((topic, partition), offset)| (topic.as_str(), *partition, *offset)).collect();
        let like =
            Wanted { topic: "", partition: 0, offset: 0, bytes_max, isolation: self.settings.isolation };
        let (found, room) = asker.read_all(&asked, &like).await?;
        let (mut out, mut moved) = (Vec::new(), Vec::new());
        let mut fetched = 0;
        let mut failure = None;
        let mut schemas = registry.readers();
        for (((topic, partition), offset), data) in at.iter().zip(&found) {
            let code = ErrorCode::try_from(data.error_code).unwrap_or(ErrorCode::UnknownServerError);
            match code {
                ErrorCode::None => {}
                // It is looked up anew.
                ErrorCode::OffsetOutOfRange => {
                    self.forget(topic, *partition);
                    let start = self.reset(asker, topic, *partition).await?;
                    moved.push(((topic.clone(), *partition), start));
                    continue;
                }
                // It was deleted; the group will be told.
                ErrorCode::UnknownTopicOrPartition | ErrorCode::NotLeaderOrFollower => continue,
                code => {
                    failure = Some(Problem::of_kafka(code, &format!("topic {topic}, partition {partition}")));
                    continue;
                }
            }
            fetched += data.records.len();
            let (mut position, form) = (*offset, self.settings.form);
            let written = Written { out: &mut out, bytes_max: 2 * bytes_max, topic, form };
            let walked = written.walk(asker, &mut schemas, *partition, data, &mut position).await?;
            if let Err(problem) = walked {
                failure = Some(problem);
            }
            moved.push(((topic.clone(), *partition), position));
        }
        match failure {
            // What is before it is given first.
            Some(problem) if out.is_empty() => return Err(problem),
            _ => {}
        }
        let is_enough = is_time || (!out.is_empty() && fetched >= self.settings.bytes_min);
        if is_enough || out.is_empty() {
            let mut state = self.state();
            for (partition, position) in moved {
                if let Some(found) = state.positions.get_mut(&partition) {
                    found.next = Some(position);
                }
            }
        }
        Ok((out, is_enough, Some(room)))
    }

    /// Finds where to begin in partitions that are new to it.
    async fn find_positions(&self, asker: &Asker) -> Result<(), Problem> {
        let fresh: Vec<Partition> = {
            let state = self.state();
            let fresh = state.positions.iter().filter(|(_, position)| position.next.is_none());
            fresh.map(|(partition, _)| partition.clone()).collect()
        };
        if fresh.is_empty() {
            return Ok(());
        }
        let committed = self.committed(asker, &fresh).await?;
        let mut found = Vec::with_capacity(fresh.len());
        let mut without = Vec::new();
        for (partition, committed) in fresh.into_iter().zip(committed) {
            match committed {
                Some((offset, _)) => found.push((partition, offset, Some(offset))),
                None => without.push(partition),
            }
        }
        if !without.is_empty() {
            let moment = self.reset_to(&without[0])?;
            let at: Vec<(&str, i32)> =
                without.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
            let offsets = asker.offsets(&at, moment, self.settings.isolation).await?;
            for (partition, offset) in without.iter().zip(offsets) {
                found.push((partition.clone(), offset.unwrap_or(0), None));
            }
        }
        let mut state = self.state();
        for (partition, next, committed) in found {
            if let Some(position) = state.positions.get_mut(&partition).filter(|it| it.next.is_none()) {
                *position = Position { next: Some(next), done: committed, committed };
            }
        }
        Ok(())
    }

    /// Has its position in a partition looked up anew.
    fn forget(&self, topic: &str, partition: i32) {
        if let Some(position) = self.state().positions.get_mut(&(topic.to_owned(), partition)) {
            *position = Position::default();
        }
    }

    fn reset_to(&self, (topic, partition): &Partition) -> Result<Moment, Problem> {
        match self.settings.reset {
            Reset::Earliest => Ok(Moment::Earliest),
            Reset::Latest => Ok(Moment::Latest),
            Reset::None => {
                let group = &self.group;
                let words = format!(
                    "group {group} has no offset of topic {topic}, partition {partition}, and auto.offset.reset is none"
                );
                Err(Problem::new(StatusCode::CONFLICT, Some(3), words))
            }
        }
    }

    async fn reset(&self, asker: &Asker, topic: &str, partition: i32) -> Result<i64, Problem> {
        let moment = self.reset_to(&(topic.to_owned(), partition))?;
        let found = asker.offsets(&[(topic, partition)], moment, self.settings.isolation).await?;
        Ok(found.first().copied().flatten().unwrap_or(0))
    }

    /// Goes on at these offsets.
    ///
    /// # Errors
    /// 40402 where a partition is not its own; it waits for its assignment before.
    pub(in crate::fronts::http) async fn seek(&self, to: Vec<(Partition, i64)>) -> Result<(), Problem> {
        self.assigned().await?;
        let _turn = self.turns.lock().await;
        let mut state = self.state();
        for ((topic, partition), _) in &to {
            if !state.positions.contains_key(&(topic.clone(), *partition)) {
                let words = format!("topic {topic}, partition {partition} is not assigned to the consumer");
                return Err(Problem { message: words, ..no_partition(topic, *partition) });
            }
        }
        for (partition, offset) in to {
            if let Some(position) = state.positions.get_mut(&partition) {
                position.next = Some(offset);
                position.done = None;
            }
        }
        drop(state);
        self.changed();
        Ok(())
    }

    /// The same at a moment of each partition.
    ///
    /// # Errors
    /// [`Problem`].
    pub(in crate::fronts::http) async fn seek_to(
        &self,
        asker: &Asker,
        partitions: Vec<Partition>,
        moment: Moment,
    ) -> Result<(), Problem> {
        let at: Vec<(&str, i32)> =
            partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
        let offsets = asker.offsets(&at, moment, self.settings.isolation).await?;
        let offsets: Vec<i64> = offsets.into_iter().map(|offset| offset.unwrap_or(0)).collect();
        self.seek(partitions.into_iter().zip(offsets).collect()).await
    }

    /// Waits for an assignment, as long as a read does.
    async fn assigned(&self) -> Result<(), Problem> {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            loop {
                self.check_subscribed()?;
                if !self.state().positions.is_empty() {
                    return Ok(());
                }
                if changes.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        timeout(self.settings.wait, waiting).await.unwrap_or(Ok(()))
    }

    /// Commits these offsets, or, without any, all that was given.
    ///
    /// # Errors
    /// [`Problem`].
    pub(in crate::fronts::http) async fn commit(
        &self,
        asker: &Asker,
        offsets: Option<Vec<(Partition, i64)>>,
    ) -> Result<(), Problem> {
        let _turn = self.turns.lock().await;
        let offsets = offsets.unwrap_or_else(|| {
            let state = self.state();
            let given = state.positions.iter().filter_map(|(partition, position)| {
                let next = position.next.filter(|next| position.committed != Some(*next))?;
                Some((partition.clone(), next))
            });
            given.collect()
        });
        match offsets.is_empty() {
            true => Ok(()),
            false => self.commit_offsets(asker, &offsets).await,
        }
    }

    async fn commit_offsets(&self, asker: &Asker, offsets: &[(Partition, i64)]) -> Result<(), Problem> {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for ((topic, partition), offset) in offsets {
            let partition = OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: *offset,
                ..Default::default()
            };
            match topics.last_mut().filter(|last| last.name == *topic) {
                Some(last) => last.partitions.push(partition),
                None => {
                    let partitions = vec![partition];
                    topics.push(OffsetCommitRequestTopic { name: topic.clone(), partitions });
                }
            }
        }
        let mut is_first = true;
        let mut tries = 0;
        loop {
            let (member_id, epoch) = self.member.identity();
            let request = OffsetCommitRequest {
                group_id: self.group.clone(),
                generation_id_or_member_epoch: epoch,
                member_id,
                topics: topics.clone(),
                ..Default::default()
            };
            let answer = asker.ask(OFFSET_COMMIT, &request).await?;
            let Some((topic, partition, code)) = first_refusal(&answer) else { break };
            if coordinator::is_to_come(code) && tries < coordinator::TRIES {
                tries += 1;
                coordinator::call(asker, &self.group).await;
                continue;
            }
            // The group has gone on; the next beat tells its member.
            let is_stale = code == ErrorCode::StaleMemberEpoch.code();
            if is_stale && std::mem::take(&mut is_first) && self.member.newer_than(epoch).await {
                continue;
            }
            check(
                code,
                &format!("the offset of topic {topic}, partition {partition} in group {}", self.group),
            )?;
        }
        let mut state = self.state();
        for (partition, offset) in offsets {
            if let Some(position) = state.positions.get_mut(partition) {
                position.committed = Some(*offset);
            }
        }
        Ok(())
    }

    /// What the group has committed of partitions, with its metadata.
    ///
    /// # Errors
    /// [`Problem`].
    pub(in crate::fronts::http) async fn committed(
        &self,
        asker: &Asker,
        partitions: &[Partition],
    ) -> Result<Vec<Option<(i64, Option<String>)>>, Problem> {
        let mut topics: Vec<OffsetFetchRequestTopics> = Vec::new();
        for (topic, partition) in partitions {
            match topics.last_mut().filter(|last| last.name == *topic) {
                Some(last) => last.partition_indexes.push(*partition),
                None => {
                    let partition_indexes = vec![*partition];
                    topics.push(OffsetFetchRequestTopics { name: topic.clone(), partition_indexes });
                }
            }
        }
        let group = OffsetFetchRequestGroup {
            group_id: self.group.clone(),
            topics: Some(topics),
            ..Default::default()
        };
        let request = OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
        let mut answer = asker.ask(OFFSET_FETCH, &request).await?;
        for _ in 0..coordinator::TRIES {
            if answer.groups.iter().all(|group| !coordinator::is_to_come(group.error_code)) {
                break;
            }
            coordinator::call(asker, &self.group).await;
            answer = asker.ask(OFFSET_FETCH, &request).await?;
        }
        let mut found = BTreeMap::new();
        for group in answer.groups {
            check(group.error_code, &format!("group {}", self.group))?;
            for topic in group.topics {
                for partition in topic.partitions {
                    let of = format!("topic {}, partition {}", topic.name, partition.partition_index);
                    check(partition.error_code, &of)?;
                    if partition.committed_offset >= 0 {
                        let committed = (partition.committed_offset, partition.metadata);
                        found.insert((topic.name.clone(), partition.partition_index), committed);
                    }
                }
            }
        }
        Ok(partitions.iter().map(|partition| found.get(partition).cloned()).collect())
    }

    /// The topics that it is subscribed to, or has partitions of.
    pub(in crate::fronts::http) fn topics(&self) -> Vec<String> {
        let state = self.state();
        match &state.subscription {
            Subscription::Topics(topics) => topics.clone(),
            Subscription::None | Subscription::Assigned => Vec::new(),
            Subscription::Pattern(_) => {
                let mut topics: Vec<String> =
                    state.positions.keys().map(|(topic, _)| topic.clone()).collect();
                topics.dedup();
                topics
            }
        }
    }
}

/// Records of a topic as elements of an array.
struct Written<'a> {
    out: &'a mut Vec<u8>,
    /// It takes no further record behind so many bytes.
    bytes_max: usize,
    topic: &'a str,
    form: Form,
}

impl Written<'_> {
    /// Takes what was fetched of a partition, by the schemas that it names, and moves its position behind
    /// what is taken. The inner error is a record that is not given; the outer one is about all.
    async fn walk(
        self,
        asker: &Asker,
        schemas: &mut Readers<'_>,
        partition: i32,
        data: &PartitionData<Bytes>,
        position: &mut i64,
    ) -> Result<Result<ControlFlow<()>, Problem>, Problem> {
        let Written { out, bytes_max, topic, form } = self;
        let aborted = data.aborted_transactions.as_deref();
        loop {
            let mut needed = None;
            let walked = walk(partition, &data.records, aborted, position, &mut |record| {
                if out.len() >= bytes_max {
                    return Ok(ControlFlow::Break(()));
                }
                let before = out.len();
                if before > 0 {
                    out.push(b',');
                }
                let written = record.write_v2(out, topic, form, schemas.at_hand());
                if written.is_err() {
                    out.truncate(before);
                }
                match written {
                    Ok(()) => Ok(ControlFlow::Continue(())),
                    Err(Unwritten::Needs(id)) => {
                        needed = Some(id);
                        Ok(ControlFlow::Break(()))
                    }
                    Err(Unwritten::Problem(problem)) => Err(problem),
                }
            });
            match needed {
                Some(id) if schemas.fetch(asker, id).await? => {}
                _ => return Ok(walked),
            }
        }
    }
}

/// Waits for records of a partition, or until it is time.
async fn wait_for(
    asker: Asker,
    (topic, partition): Partition,
    offset: i64,
    isolation: Isolation,
    until: Instant,
) {
    let wanted = Wanted { topic: &topic, partition, offset, bytes_max: 1, isolation };
    // One that is gone is not waited for.
    if !asker.wait(&wanted, until).await {
        sleep_until(until).await;
    }
}

/// The first partition whose offset was not committed, and the code.
fn first_refusal(answer: &OffsetCommitResponse) -> Option<(String, i32, i16)> {
    for topic in &answer.topics {
        for partition in &topic.partitions {
            if partition.error_code != 0 {
                return Some((topic.name.clone(), partition.partition_index, partition.error_code));
            }
        }
    }
    None
}

fn exclusive() -> Problem {
    let words = "Subscription to topics, partitions and pattern are mutually exclusive";
    Problem::new(StatusCode::CONFLICT, Some(3), words)
}
