//! What is different between two texts, line by line.

use std::time::Duration;

use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

use super::format::{cut, escaped_bytes};

/// Lines that are shown around a change.
const AROUND: usize = 3;

/// How long it may be looked for the shortest difference; a longer one is as true.
const TIME_MAX: Duration = Duration::from_millis(200);

/// Characters of a line that are kept.
const LINE_CHARS: usize = 500;

/// About what the markup of a line takes.
const LINE_BYTES: usize = 32;

/// Lines that are the same in both, that are new, and that are gone; not those far from any change.
pub(super) struct Lines {
    /// `None` where some are left out.
    all: Vec<Option<(ChangeTag, String)>>,
    /// Lines that are new.
    pub(super) added: u64,
    /// Lines that are gone.
    pub(super) removed: u64,
}

/// The lines of two texts.
pub(super) fn lines(old: &str, new: &str) -> Lines {
    let diff = TextDiff::configure().timeout(TIME_MAX).diff_lines(old, new);
    let mut lines = Lines { all: Vec::new(), added: 0, removed: 0 };
    for group in diff.grouped_ops(AROUND) {
        let begin = group.first().map_or(0, |op| op.new_range().start);
        if !lines.all.is_empty() || begin > 0 {
            lines.all.push(None);
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            lines.added += u64::from(change.tag() == ChangeTag::Insert);
            lines.removed += u64::from(change.tag() == ChangeTag::Delete);
            let text = cut(change.value().trim_end_matches('\n'), LINE_CHARS).0;
            lines.all.push(Some((change.tag(), text.to_owned())));
        }
    }
    lines
}

impl Lines {
    /// Whether the texts are the same.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// As many of them as take no more than so many bytes of a page.
    pub(super) fn markup(&self, bytes_max: usize) -> Markup {
        let mut bytes = 0;
        let fits = |line: &&Option<(ChangeTag, String)>| {
            bytes += LINE_BYTES + line.as_ref().map_or(0, |(_, text)| escaped_bytes(text));
            bytes <= bytes_max
        };
        let fitting: Vec<_> = self.all.iter().take_while(fits).collect();
        html! {
            @for line in &fitting {
                @match line {
                    None => span.quiet { "...\n" },
                    Some((ChangeTag::Insert, text)) => ins { "+ " (text) "\n" },
                    Some((ChangeTag::Delete, text)) => del { "- " (text) "\n" },
                    Some((ChangeTag::Equal, text)) => { "  " (text) "\n" },
                }
            }
            @if fitting.len() < self.all.len() { span.quiet { "and so on\n" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_what_is_new_what_is_gone_and_a_little_around_it() {
        let old: String = (0..20).map(|at| format!("line {at}\n")).collect();
        let new = old.replace("line 10\n", "<b>\n");
        let found = lines(&old, &new);
        assert_eq!((found.added, found.removed), (1, 1));
        let markup = found.markup(10_000).into_string();
        let expected = "<span class=\"quiet\">...\n</span>  line 7\n  line 8\n  line 9\n<del>- line 10\n</del>\
            <ins>+ &lt;b&gt;\n</ins>  line 11\n  line 12\n  line 13\n";
        assert_eq!(markup, expected);
        assert!(lines(&old, &old).is_empty());
    }

    #[test]
    fn a_difference_is_bounded_however_long_the_texts_are() {
        let [old, new] = ["<", "\""].map(|letter| {
            let line = letter.repeat(10_000);
            (0..100).map(|at| format!("{line}{at}\n")).collect::<String>()
        });
        let markup = lines(&old, &new).markup(20_000).into_string();
        assert!(
            markup.len() < 21_000 && markup.contains("&lt;&lt;") && markup.ends_with("and so on\n</span>")
        );
    }
}
