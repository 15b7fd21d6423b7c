//! The membership of a consumer in its group, by KIP-848: it says what it wants and has, and is told what to
//! read.
//!
//! ```text
//! Outside -- subscribe --> Joining (epoch 0) -- beat --> Member (epoch > 0) -- leave (-1) --> Outside
//!                             ^------ unknown or fenced -----'
//! ```
//! What it is assigned counts as taken over, and is told so in the next beat, once what it has lost was
//! committed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strandline_engine::types::TopicId;
use strandline_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatTopicPartitions};
use strandline_protocol::wire::ErrorCode;
use tokio::sync::{Mutex as Turns, Notify, watch};
use tokio::time::timeout;

use super::coordinator;
use super::subject::{Partition, Subscription};
use crate::fronts::http::ask::Asker;
use crate::fronts::http::problem::Problem;
use crate::security::random;

/// The version of ConsumerGroupHeartbeat that is asked: the first one with patterns.
const HEARTBEAT: i16 = 1;

/// The epoch of a member that joins, and of one that leaves.
const JOINS: i32 = 0;
const LEAVES: i32 = -1;

/// How long others wait for it to give partitions up: it does so with its next beat.
const REBALANCE_MS: i32 = 60_000;

/// How long to wait before something that may pass is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// A member that is assigned nothing beats so often: others may be about to give something up.
const EAGER: Duration = Duration::from_millis(500);

/// How long a refused member waits before it tries again.
const REFUSED: Duration = Duration::from_secs(2);

/// How long a commit waits for the epoch that it lacks.
const EPOCH_TIME_MAX: Duration = Duration::from_secs(2);

type Assigned = Vec<ConsumerGroupHeartbeatTopicPartitions>;

#[derive(Default)]
struct State {
    /// Empty while it is outside.
    id: String,
    epoch: i32,
    /// Whether the subscription is another one than the group knows.
    is_new: bool,
    /// What it has, as it was told.
    has: Assigned,
    /// Whether the group does not know yet that it has that.
    is_untold: bool,
    /// What it was told, and has not taken over.
    told: Option<Assigned>,
    problem: Option<Problem>,
}

/// A member, or none.
pub(super) struct Member {
    state: Mutex<State>,
    /// One request at a time.
    turns: Turns<()>,
    nudges: Notify,
    epochs: watch::Sender<i32>,
}

impl Default for Member {
    fn default() -> Member {
        let epochs = watch::Sender::new(0);
        Member { state: Mutex::default(), turns: Turns::default(), nudges: Notify::new(), epochs }
    }
}

/// What a beat has come to.
#[derive(Default)]
pub(super) struct Turn {
    /// What is to be read from now on, where that is something else than before.
    pub(super) assigned: Option<Vec<Partition>>,
    /// The group does not know the member any more.
    pub(super) has_lost_all: bool,
    /// Whoever waits has something to look at.
    pub(super) is_news: bool,
    /// When to beat again.
    pub(super) pause: Duration,
}

impl Member {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it join, or tell another subscription.
    pub(super) fn subscribe(&self) {
        let mut state = self.state();
        if state.id.is_empty() {
            // 22 letters of what Kafka's clients make theirs of.
            state.id = strandline_protocol::Uuid::from_bytes(random()).simple().to_string();
            state.epoch = JOINS;
        }
        state.is_new = true;
        state.problem = None;
        drop(state);
        self.nudges.notify_one();
    }

    /// Resolves when there is something to be said at once.
    pub(super) async fn nudged(&self) {
        self.nudges.notified().await;
    }

    /// What it was told has been taken over.
    pub(super) fn has_taken_over(&self) {
        let mut state = self.state();
        if let Some(told) = state.told.take() {
            state.has = told;
            state.is_untold = true;
        }
    }

    /// Why it is no member.
    pub(super) fn problem(&self) -> Option<Problem> {
        self.state().problem.clone()
    }

    /// As whom it commits: its id and epoch, or nobody in particular.
    pub(super) fn identity(&self) -> (String, i32) {
        let state = self.state();
        match state.id.is_empty() || state.epoch <= 0 {
            true => (String::new(), -1),
            false => (state.id.clone(), state.epoch),
        }
    }

    /// Whether it has another epoch soon.
    pub(super) async fn newer_than(&self, epoch: i32) -> bool {
        self.nudges.notify_one();
        let mut epochs = self.epochs.subscribe();
        let other = async {
            loop {
                let now = *epochs.borrow_and_update();
                if now != epoch && now > 0 {
                    return true;
                }
                if epochs.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout(EPOCH_TIME_MAX, other).await.unwrap_or(false)
    }

    /// Leaves the group, if it is in it.
    pub(super) async fn leave(&self, asker: &Asker, group: &str) {
        let _turn = self.turns.lock().await;
        let State { id, epoch, .. } = std::mem::take(&mut *self.state());
        if id.is_empty() || epoch == JOINS {
            return;
        }
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group.to_owned(),
            member_id: id,
            member_epoch: LEAVES,
            ..Default::default()
        };
        // One that is not heard is found to be silent.
        if let Err(problem) = asker.ask(HEARTBEAT, &request).await {
            tracing::debug!(group, why = problem.message, "a consumer has not left its group");
        }
    }

    /// Says that it is there, and hears what there is to do.
    pub(super) async fn beat(&self, asker: &Asker, group: &str, subscription: &Subscription) -> Turn {
        let _turn = self.turns.lock().await;
        let (request, was_new) = {
            let mut state = self.state();
            if state.id.is_empty() {
                return Turn { pause: REFUSED, ..Turn::default() };
            }
            let joins = state.epoch == JOINS;
            let was_new = std::mem::take(&mut state.is_new);
            let was_untold = std::mem::take(&mut state.is_untold);
            let mut request = ConsumerGroupHeartbeatRequest {
                group_id: group.to_owned(),
                member_id: state.id.clone(),
                member_epoch: state.epoch,
                ..Default::default()
            };
            if joins || was_new {
                let (names, pattern) = match subscription {
                    Subscription::Topics(names) => (names.clone(), String::new()),
                    Subscription::Pattern(pattern) => (Vec::new(), pattern.clone()),
                    Subscription::None | Subscription::Assigned => Default::default(),
                };
                request.subscribed_topic_names = Some(names);
                request.subscribed_topic_regex = Some(pattern);
                request.rebalance_timeout_ms = REBALANCE_MS;
            }
            if joins {
                request.topic_partitions = Some(Vec::new());
            } else if was_untold {
                request.topic_partitions = Some(state.has.clone());
            }
            (request, was_new)
        };
        let answer = asker.ask(HEARTBEAT, &request).await;
        if answer.as_ref().is_ok_and(|answer| coordinator::is_to_come(answer.error_code)) {
            coordinator::call(asker, group).await;
        }
        let mut state = self.state();
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) => {
                state.is_new |= was_new;
                state.is_untold |= request.topic_partitions.is_some() && request.member_epoch != JOINS;
                return Turn { pause: AGAIN, ..Turn::default() };
            }
        };
        let code = ErrorCode::try_from(answer.error_code).unwrap_or(ErrorCode::UnknownServerError);
        match code {
            ErrorCode::None => {}
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch => {
                state.epoch = JOINS;
                state.has = Vec::new();
                state.told = None;
                return Turn { has_lost_all: true, is_news: true, pause: Duration::ZERO, ..Turn::default() };
            }
            ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::UnreleasedInstanceId => {
                state.is_new |= was_new;
                return Turn { pause: AGAIN, ..Turn::default() };
            }
            code => {
                state.is_new |= was_new;
                let problem = Problem::of_kafka(code, &format!("group {group}"));
                let words = answer.error_message.map(|words| format!("group {group}: {words}"));
                state.problem =
                    Some(Problem { message: words.unwrap_or(problem.message.clone()), ..problem });
                return Turn { is_news: true, pause: REFUSED, ..Turn::default() };
            }
        }
        state.problem = None;
        state.epoch = answer.member_epoch;
        self.epochs.send_replace(answer.member_epoch);
        let interval = Duration::from_millis(answer.heartbeat_interval_ms.max(100) as u64);
        let assignment = answer.assignment.map(|assignment| assignment.topic_partitions);
        let Some(assignment) = assignment.filter(|assigned| *assigned != state.has) else {
            let pause = if state.has.is_empty() { interval.min(EAGER) } else { interval };
            return Turn { pause, ..Turn::default() };
        };
        let partitions = named(asker, &assignment);
        state.told = Some(assignment);
        Turn { assigned: Some(partitions), pause: Duration::ZERO, ..Turn::default() }
    }
}

/// Partitions by the names of their topics. One of a topic that was deleted is of none.
fn named(asker: &Asker, assignment: &Assigned) -> Vec<Partition> {
    let Ok(engine) = asker.engine() else { return Vec::new() };
    let topics = engine.topics();
    let mut found = Vec::new();
    for assigned in assignment {
        let Some(topic) = topics.by_id(TopicId::from_bytes(assigned.topic_id.into_bytes())) else { continue };
        found.extend(assigned.partitions.iter().map(|partition| (topic.name.to_string(), *partition)));
    }
    found
}
