//! Consumers that a client of HTTP has made: each is a member of its group, as any other (KIP-848), or reads
//! what it was told to.
//!
//! ```text
//! POST /consumers/G > Instance > subscribed: live() beats: joins, learns what it is assigned, commits, leaves
//!                              > assigned:   no member; offsets are kept for the group all the same
//! GET .../records   > waits for the assignment > positions (committed, or by auto.offset.reset) > fetch
//! ```
//! * An instance is its maker's: to another user it is not there.
//! * There are [`INSTANCES_MAX`]; one that nobody uses for [`IDLE_MAX`] leaves its group and goes.
//! * With `auto.commit.enable`, records count as done when their client comes for more, or deletes the
//!   instance; what is done is committed every [`COMMIT_EVERY`], and before a partition is given up.
//! * They end with the broker; what was committed does not.

mod coordinator;
mod instance;
mod member;
mod subject;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

pub(super) use instance::Instance;
pub(super) use subject::{Partition, Reset, Settings, Subscription};

use super::ask::Asker;
use super::problem::Problem;

/// Instances at a time.
const INSTANCES_MAX: usize = 4096;

/// How long an instance lives that nobody uses: as in Confluent's proxy.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// What is done is committed so often.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// How long members may take to leave at the stop.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// All instances, by group and name.
#[derive(Default)]
pub(super) struct Consumers(Mutex<HashMap<(String, String), Arc<Instance>>>);

impl Consumers {
    /// Makes an instance.
    ///
    /// # Errors
    /// 40902 where there is one of its name, 503 where there are too many.
    pub(super) fn create(
        self: &Arc<Self>,
        asker: &Asker,
        group: &str,
        name: &str,
        settings: Settings,
    ) -> Result<(), Problem> {
        let mut all = self.all();
        let key = (group.to_owned(), name.to_owned());
        if all.contains_key(&key) {
            let words = format!("group {group} has an instance {name} already");
            return Err(Problem::new(StatusCode::CONFLICT, Some(2), words));
        }
        if all.len() >= INSTANCES_MAX {
            return Err(Problem::busy("there are as many consumer instances as there may be"));
        }
        let instance = Arc::new(Instance::new(asker.clone(), group, name, settings));
        all.insert(key, instance.clone());
        drop(all);
        tokio::spawn(live(self.clone(), instance));
        Ok(())
    }

    /// The instance of this name, if it is the client's.
    ///
    /// # Errors
    /// 40403.
    pub(super) fn of(&self, asker: &Asker, group: &str, name: &str) -> Result<Arc<Instance>, Problem> {
        let all = self.all();
        let found = all.get(&(group.to_owned(), name.to_owned()));
        let found = found.filter(|found| found.is_of(&asker.session.principal));
        let instance = found.cloned().ok_or_else(|| {
            let words = format!("group {group} has no instance {name}");
            Problem::new(StatusCode::NOT_FOUND, Some(3), words)
        })?;
        instance.touch();
        Ok(instance)
    }

    /// Takes one out.
    pub(super) fn remove(&self, instance: &Instance) {
        let key = (instance.group.clone(), instance.name.clone());
        self.all().remove(&key);
    }

    /// All of them leave their groups.
    pub(super) async fn end(&self) {
        let all: Vec<Arc<Instance>> = self.all().drain().map(|(_, instance)| instance).collect();
        let leaving = join_all(all.into_iter().map(leave));
        let _ = timeout(LEAVE_TIME_MAX, leaving).await;
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<Instance>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn leave(instance: Arc<Instance>) {
    instance.end(false).await;
}

/// Keeps an instance a member of its group as long as it is used.
async fn live(all: Arc<Consumers>, instance: Arc<Instance>) {
    let asker = instance.asker().clone();
    loop {
        let pause = match instance.subscription() {
            subscription @ (Subscription::Topics(_) | Subscription::Pattern(_)) => {
                let turn = instance.member.beat(&asker, &instance.group, &subscription).await;
                if let Some(partitions) = turn.assigned {
                    instance.take_over(partitions).await;
                    instance.member.has_taken_over();
                    continue;
                }
                if turn.has_lost_all {
                    instance.take_over(Vec::new()).await;
                }
                if turn.is_news {
                    instance.changed();
                }
                turn.pause
            }
            Subscription::None | Subscription::Assigned => COMMIT_EVERY,
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = instance.member.nudged() => {}
            () = asker.shared.stopped() => return,
        }
        let Some((unused, uncommitted)) = instance.quiet() else { return };
        if unused >= IDLE_MAX {
            tracing::info!(
                group = instance.group,
                instance = instance.name,
                "a consumer that nobody uses has gone"
            );
            all.remove(&instance);
            return instance.end(false).await;
        }
        if uncommitted >= COMMIT_EVERY {
            instance.commit_in_turn().await;
        }
    }
}
