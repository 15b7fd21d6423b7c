//! Metrics and health, as `metrics.listen` has them. Health is for everybody; of metrics, which name topics
//! and groups, a client of a listener with users has to be one, and may describe the cluster where there are
//! rules.

use axum::Router;
use axum::extract::State as OfRouter;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use strandline_protocol::wire::ErrorCode;

use crate::fronts::http::ask::{Asker, State};
use crate::fronts::http::problem::Problem;

/// The face.
pub(super) fn face() -> Router<State> {
    Router::new()
        .route("/healthz", get(page))
        .route("/readyz", get(page))
        .route("/metrics", get(metrics))
        .route("/metrics/partitions", get(metrics))
}

async fn metrics(asker: Result<Asker, Problem>, OfRouter(shared): OfRouter<State>, uri: Uri) -> Response {
    // While the broker recovers, the page is of the process alone.
    if shared.engine().is_ok() {
        let may = match asker {
            Ok(asker) => may_describe(&asker).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = may {
            return problem.into_response();
        }
    }
    page(OfRouter(shared), uri).await
}

/// That the client may describe the cluster.
async fn may_describe(asker: &Asker) -> Result<(), Problem> {
    let may = asker.may_describe_cluster().await?;
    may.then_some(()).ok_or_else(|| Problem::of_kafka(ErrorCode::ClusterAuthorizationFailed, "metrics"))
}

async fn page(OfRouter(shared): OfRouter<State>, uri: Uri) -> Response {
    let pages = shared.around.pages.clone();
    let made = tokio::task::spawn_blocking(move || pages(uri.path())).await;
    match made {
        Ok(page) => {
            let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, page.content_type)], page.body).into_response()
        }
        Err(_) => Problem::away("no page can be made").into_response(),
    }
}
