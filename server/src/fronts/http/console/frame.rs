//! The frame of every page: its head, the way through the console, and a page that says what went wrong.

use axum::http::StatusCode;
use maud::{DOCTYPE, Markup, html};

/// The type of a page.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The parts of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// What goes on.
    Overview,
    /// Topics and their messages.
    Topics,
    /// Groups of every kind.
    Groups,
    /// Subjects of the schema registry.
    Schemas,
    /// Transactions.
    Transactions,
    /// Settings of the broker.
    Settings,
    /// Users and permissions.
    Access,
    /// What was changed.
    Audit,
}

impl Section {
    const ALL: [(Section, &str, &str); 8] = [
        (Section::Overview, "Overview", "/console"),
        (Section::Topics, "Topics", "/console/topics"),
        (Section::Groups, "Groups", "/console/groups"),
        (Section::Schemas, "Schemas", "/console/schemas"),
        (Section::Transactions, "Transactions", "/console/transactions"),
        (Section::Settings, "Settings", "/console/settings"),
        (Section::Access, "Access", "/console/access"),
        (Section::Audit, "Audit", "/console/audit"),
    ];
}

/// A page that says why there is none.
pub(super) fn failure(status: StatusCode, words: &str) -> Markup {
    let title = status.canonical_reason().unwrap_or("It did not work");
    let body = html! {
        h1 { (title) }
        p { (words) }
        p { a href="/console" { "Go to the overview" } }
    };
    frame(title, None, &body, "")
}

/// A page with this in it.
pub(super) fn frame(title: &str, section: Option<Section>, body: &Markup, who: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - Strandline" }
                link rel="icon" href="/console/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/console/style.css";
                script src="/console/script.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.brand href="/console" { "Strandline" }
                    nav aria-label="Console" {
                        ul {
                            @for (part, name, path) in Section::ALL {
                                li {
                                    a href=(path) aria-current=[(section == Some(part)).then_some("page")] {
                                        (name)
                                    }
                                }
                            }
                        }
                    }
                }
                main #main tabindex="-1" { (body) }
                footer { p { "Strandline " (env!("CARGO_PKG_VERSION")) @if !who.is_empty() { ", " (who) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_stranger_stay_words() {
        let page = failure(StatusCode::NOT_FOUND, "topic <script>alert(1)</script> & \"more\"").into_string();
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("topic &lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;"));
    }
}
