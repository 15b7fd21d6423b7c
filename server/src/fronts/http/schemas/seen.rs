//! What a client may see of the registry, for the pages of the console.

use std::collections::BTreeSet;
use std::sync::Arc;

use strandline_schemas::State;
use strandline_schemas::api::Access;

use super::topic::{check_rights, readable_topics, topic_of};
use super::{Known, Registry};
use crate::fronts::http::ask::Asker;
use crate::fronts::http::problem::Problem;

/// The registry as one client sees it.
pub(in crate::fronts::http) struct Seen {
    known: Arc<Known>,
    /// The topics whose subjects it may see; `None` where it may see all.
    topics: Option<BTreeSet<String>>,
}

impl Seen {
    /// All that is known.
    pub(in crate::fronts::http) fn state(&self) -> &State {
        &self.known.state
    }

    /// Whether the client may see a subject, by its qualified name.
    pub(in crate::fronts::http) fn has(&self, subject: &str) -> bool {
        self.topics.as_ref().is_none_or(|topics| topics.contains(&topic_of(subject)))
    }
}

impl Registry {
    /// What it knows at this moment.
    ///
    /// # Errors
    /// [`Problem`] where the topic of schemas cannot be used.
    pub(in crate::fronts::http) async fn seen(&self, asker: &Asker) -> Result<Seen, Problem> {
        let sees_all = check_rights(asker, &Access { is_write: false, subject: None }).await.is_ok();
        let topics = if sees_all { None } else { Some(readable_topics(asker).await?) };
        Ok(Seen { known: self.caught_up(asker).await?, topics })
    }
}
