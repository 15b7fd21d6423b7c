//! Whoever wants to be in a group asks for its coordinator first, as Kafka's clients do: the topic that
//! groups are kept in is created then.

use std::time::Duration;

use strandline_protocol::messages::FindCoordinatorRequest;
use strandline_protocol::wire::ErrorCode;

use crate::fronts::http::ask::Asker;

/// The version of FindCoordinator that is asked.
const FIND_COORDINATOR: i16 = 4;

/// How long to wait until what was asked may be asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// How often.
pub(super) const TRIES: usize = 50;

/// Whether an answer says that the coordinator is not there yet.
pub(super) fn is_to_come(code: i16) -> bool {
    let code = ErrorCode::try_from(code).unwrap_or(ErrorCode::UnknownServerError);
    matches!(
        code,
        ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::UnstableOffsetCommit
    )
}

/// Has the coordinator of a group be there soon. Who may not ask for it is told so by what it asks next.
pub(super) async fn call(asker: &Asker, group: &str) {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    if let Err(problem) = asker.ask(FIND_COORDINATOR, &request).await {
        tracing::debug!(group, why = problem.message, "no coordinator is found");
    }
    tokio::time::sleep(AGAIN).await;
}
