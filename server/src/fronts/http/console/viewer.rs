//! Who looks at a page, and what of the broker may be shown.

use axum::Extension;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use maud::{Markup, html};
use std::sync::Arc;

use super::Console;
use super::forms::TOKEN;
use super::guard::Failed;
use crate::fronts::http::ask::{Asker, State};
use crate::fronts::http::problem::Problem;
use crate::session::Principal;

/// A client of the console.
pub(super) struct Viewer {
    /// Who asks the broker.
    pub(super) asker: Asker,
    /// What all pages share.
    pub(super) console: Arc<Console>,
    /// Whether it may describe the cluster: what the broker says of itself is for those alone.
    pub(super) may_describe: bool,
}

impl FromRequestParts<State> for Viewer {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, shared: &State) -> Result<Viewer, Failed> {
        let asker = Asker::from_request_parts(parts, shared).await?;
        let missing = |_| Problem::away("the console is not there");
        let Extension(console) =
            Extension::<Arc<Console>>::from_request_parts(parts, shared).await.map_err(missing)?;
        let may_describe = asker.may_describe_cluster().await?;
        console.looked_at();
        Ok(Viewer { asker, console, may_describe })
    }
}

impl Viewer {
    /// The user, as permissions name it.
    pub(super) fn principal(&self) -> String {
        self.asker.session.principal.to_string()
    }

    /// Whether it may ask for changes: it is a user. What that user may do the broker says.
    pub(super) fn may_change(&self) -> bool {
        self.asker.session.principal != Principal::ANONYMOUS
    }

    /// The field that every form of a change has.
    pub(super) fn token(&self) -> Markup {
        html! { input type="hidden" name=(TOKEN) value=(self.console.token(&self.principal())); }
    }

    /// Who it is, and what it may do, in words.
    pub(super) fn words(&self) -> String {
        match self.may_change() {
            false => "read-only: nobody has logged in".to_owned(),
            true => format!("logged in as {}", self.asker.session.principal.name),
        }
    }
}
