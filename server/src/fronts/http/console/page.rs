//! What most pages have in common: a title in the frame, tables, lists in parts.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::format::{link, whole};
use super::frame::{HTML, Section, frame};
use super::viewer::Viewer;

/// A page for a client.
pub(super) fn page(viewer: &Viewer, section: Section, title: &str, body: &Markup) -> Response {
    let markup = frame(title, Some(section), &html! { h1 { (title) } (body) }, &viewer.words());
    (StatusCode::OK, [(header::CONTENT_TYPE, HTML)], markup.into_string()).into_response()
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its number, from 1 on.
    pub(super) number: usize,
    /// How many there are.
    pub(super) count: usize,
    /// Where it begins in the list.
    pub(super) begin: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Elements of the whole list.
    pub(super) total: usize,
}

impl Part {
    /// The part with this number, or the last one, of a list in parts of `each`.
    pub(super) fn of(total: usize, each: usize, number: Option<usize>) -> Part {
        let count = total.div_ceil(each).max(1);
        let number = number.unwrap_or(1).clamp(1, count);
        let begin = (number - 1) * each;
        Part { number, count, begin, end: (begin + each).min(total), total }
    }

    /// The way to the parts beside it; nothing where there is one.
    pub(super) fn links(&self, path: &str, parameters: &[(&str, &str)]) -> Markup {
        let to = |number: usize| {
            let number = number.to_string();
            link(path, &[parameters, &[("page", number.as_str())]].concat())
        };
        html! {
            @if self.count > 1 {
                nav.pages aria-label="Pages" {
                    @if self.number > 1 {
                        a href=(to(1)) { "First" }
                        a href=(to(self.number - 1)) rel="prev" { "Previous" }
                    }
                    span { (whole(self.begin as i64 + 1)) " to " (whole(self.end as i64)) " of " (whole(self.total as i64)) }
                    @if self.number < self.count {
                        a href=(to(self.number + 1)) rel="next" { "Next" }
                        a href=(to(self.count)) { "Last" }
                    }
                }
            }
        }
    }
}

/// A table that may be wider than the screen: it is scrolled, also by keys.
pub(super) fn table(name: &str, head: &Markup, rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(name) tabindex="0" {
            table { thead { tr { (head) } } tbody { (rows) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_list_is_never_outside_of_it() {
        assert_eq!(Part::of(0, 50, Some(9)), Part { number: 1, count: 1, begin: 0, end: 0, total: 0 });
        assert_eq!(Part::of(101, 50, None), Part { number: 1, count: 3, begin: 0, end: 50, total: 101 });
        for number in [3, 4, usize::MAX] {
            let part = Part::of(101, 50, Some(number));
            assert_eq!((part.begin, part.end), (100, 101));
        }
        let links = Part::of(101, 50, Some(2)).links("/x", &[("q", "a&b")]).into_string();
        assert!(links.contains("href=\"/x?q=a%26b&amp;page=3\""), "{links}");
        assert_eq!(Part::of(50, 50, None).links("/x", &[]).into_string(), "");
    }
}
