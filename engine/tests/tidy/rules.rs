//! The rules, each with a house that breaks it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::house::{House, Text};

/// Columns of a comment: as wide as the code.
const COMMENT_COLUMNS_MAX: usize = 110;
/// Columns of a line of prose.
const PROSE_COLUMNS_MAX: usize = 120;
/// Lines of the longest function. It only ever goes down.
const FUNCTION_LINES_MAX: usize = 90;
/// The same for tests, of which some are one table.
const TEST_FUNCTION_LINES_MAX: usize = 293;
/// Lines of the longest file, its tests included. It only ever goes down.
const FILE_LINES_MAX: usize = 796;

/// Words, and the rooms in which they may stand.
const FENCES: [(&str, &[&str]); 5] = [
    ("io_uring", &["engine/src/reactor/ring"]),
    ("glommio", &["engine/src/reactor"]),
    ("tokio", &["server/src/fronts/http"]),
    ("unsafe", &["engine/src/reactor", "engine/src/checkers/memory.rs", "server/src/net/inherited.rs"]),
    // What threads share is `sync`, which loom looks at. The command line's one flag is set by a signal.
    ("atomic", &["engine/src/sync", "server/src/cli"]),
];

/// Something against a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: PathBuf,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

fn finding(path: &Path, what: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), what: what.into() }
}

/// The modules of a crate, what is used by others first; modules of one row stand side by side.
pub(crate) struct Ladder(BTreeMap<String, usize>);

impl Ladder {
    /// The table below a heading: the first column of each row has names in backticks.
    pub(crate) fn from_table(page: &str, heading: &str) -> Ladder {
        let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("{heading} stands in the page"));
        let rows = section.lines().skip(1).skip_while(|line| !line.starts_with('|'));
        let rows = rows.take_while(|line| line.starts_with('|')).enumerate();
        let names = rows.flat_map(|(floor, row)| {
            let names = row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2);
            names.map(move |name| (name.to_owned(), floor))
        });
        Ladder(names.collect())
    }
}

/// Modules that the table lacks, and arrows to a module that does not stand above.
pub(crate) fn against_the_ladder(house: &House, ladder: &Ladder) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, file) in house.files.iter().enumerate() {
        let Some(from) = file.module.first() else { continue };
        let Some(floor) = ladder.0.get(from) else {
            found.push(finding(&file.path, format!("the table does not have `{from}`")));
            continue;
        };
        for to in house.arrows(at) {
            let to = &house.files[to];
            let Some(module) = to.module.first() else { continue };
            if module != from && ladder.0.get(module).is_some_and(|above| above >= floor) {
                found.push(finding(&file.path, format!("`{from}` uses `{module}` ({})", to.path.display())));
            }
        }
    }
    found
}

/// Files that need each other, over however many others.
pub(crate) fn circles(house: &House) -> Vec<Finding> {
    let arrows: Vec<Vec<usize>> =
        (0..house.files.len()).map(|from| house.arrows(from).into_iter().collect()).collect();
    let reached: Vec<Vec<bool>> = (0..arrows.len()).map(|from| reached_from(from, &arrows)).collect();
    let mut found = Vec::new();
    for (from, ends) in arrows.iter().enumerate() {
        for to in ends {
            if reached[*to][from] {
                let to = house.files[*to].path.display();
                found.push(finding(&house.files[from].path, format!("needs {to}, which needs it")));
            }
        }
    }
    found
}

fn reached_from(from: usize, arrows: &[Vec<usize>]) -> Vec<bool> {
    let mut reached = vec![false; arrows.len()];
    let mut next = arrows[from].clone();
    while let Some(at) = next.pop() {
        if !std::mem::replace(&mut reached[at], true) {
            next.extend(&arrows[at]);
        }
    }
    reached
}

/// Words outside of their rooms.
pub(crate) fn fences(house: &House) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &house.files {
        for (word, rooms) in FENCES {
            if file.words.contains(word) && !rooms.iter().any(|room| file.path.starts_with(room)) {
                found.push(finding(&file.path, format!("`{word}` stands here; its rooms: {rooms:?}")));
            }
        }
    }
    found
}

/// Files that do not open with what they are.
pub(crate) fn openings(sources: &[Text]) -> Vec<Finding> {
    let silent = sources.iter().filter(|text| !text.content.starts_with("//! "));
    silent.map(|text| finding(&text.path, "does not open with `//!`")).collect()
}

/// Comments wider than the code.
pub(crate) fn wide_comments(sources: &[Text]) -> Vec<Finding> {
    sources
        .iter()
        .flat_map(|text| {
            wide(text, COMMENT_COLUMNS_MAX, |line| {
                line.trim_start()
                    .strip_prefix("//")
                    .map(|comment| comment.trim_start_matches(['/', '!']).trim_start())
            })
        })
        .collect()
}

/// Lines of prose that are too wide. Tables and what is quoted word for word may be.
pub(crate) fn wide_prose(pages: &[Text]) -> Vec<Finding> {
    pages.iter().flat_map(|text| wide(text, PROSE_COLUMNS_MAX, |line| Some(line.trim_start()))).collect()
}

fn wide<'a>(text: &'a Text, columns_max: usize, prose: impl Fn(&'a str) -> Option<&'a str>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut is_quoted = false;
    for (number, line) in text.content.lines().enumerate() {
        let Some(prose) = prose(line) else {
            is_quoted = false;
            continue;
        };
        if prose.starts_with("```") {
            is_quoted = !is_quoted;
        }
        let columns = line.chars().count();
        if columns > columns_max && !is_quoted && !prose.starts_with('|') && !prose.contains("://") {
            let what = format!("line {} has {columns} columns, {columns_max} are the most", number + 1);
            found.push(finding(&text.path, what));
        }
    }
    found
}

/// Functions and files past the longest that there may be.
pub(crate) fn too_long(sources: &[Text]) -> Vec<Finding> {
    let mut found = Vec::new();
    for text in sources {
        let lines = text.content.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(finding(&text.path, format!("has {lines} lines, {FILE_LINES_MAX} are the most")));
        }
        let mut functions = Functions { text, found: &mut found };
        functions.visit_file(&syn::parse_file(&text.content).expect("it compiles"));
    }
    found
}

struct Functions<'a> {
    text: &'a Text,
    found: &'a mut Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line - signature.span().start().line + 1;
        let is_test = self.text.path.iter().any(|part| part == "tests" || part == "tests.rs");
        let lines_max = if is_test { TEST_FUNCTION_LINES_MAX } else { FUNCTION_LINES_MAX };
        if lines > lines_max {
            let what = format!("`{}` has {lines} lines, {lines_max} are the most", signature.ident);
            self.found.push(finding(&self.text.path, what));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

/// Days in a norm: what was measured or tried on one belongs to `docs/evidence`.
pub(crate) fn evidence(norm: &str, content: &str) -> Vec<Finding> {
    let is_day = |word: &str| {
        let parts: Vec<&str> = word.trim_matches(|mark: char| !mark.is_ascii_digit()).split('-').collect();
        let lengths = parts.iter().map(|part| part.len());
        parts.iter().all(|part| part.bytes().all(|digit| digit.is_ascii_digit())) && lengths.eq([4, 2, 2])
    };
    let days = content.lines().enumerate().filter(|(_, line)| line.split_whitespace().any(is_day));
    days.map(|(number, _)| finding(Path::new(norm), format!("line {} has a day in it", number + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "## Layers\n\n| module | what |\n|---|---|\n| `low` `side` | x |\n| `high` | x |\n\n| `later` | x |\n";

    fn house(files: &[(&str, &str)]) -> House {
        House::of("src", &texts(files))
    }

    fn texts(files: &[(&str, &str)]) -> Vec<Text> {
        let text =
            |(path, content): &(&str, &str)| Text { path: path.into(), content: (*content).to_owned() };
        files.iter().map(text).collect()
    }

    fn whats(found: Vec<Finding>) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_arrow_up_is_found_however_it_is_written() {
        let ladder = Ladder::from_table(TABLE, "## Layers");
        let up = [
            "use crate::high::Thing;",
            "use crate::{high::{self, Thing}};",
            "use super::high as other;",
            "pub use crate::high::*;",
            "fn f() { crate::high::g() }",
            "fn f() { assert!(vec![super::high::g()].is_empty()) }",
            "mod inner { fn f() { super::super::high::g() } }",
            // What a module passes on comes from where it stands.
            "use crate::Thing;",
        ];
        for code in up {
            let root = ("src/lib.rs", "mod high; mod low; pub use high::Thing;");
            let house = house(&[root, ("src/low.rs", code), ("src/high/mod.rs", "use crate::low::f;")]);
            let found = whats(against_the_ladder(&house, &ladder));
            assert_eq!(found.len(), 1, "{code}: {found:?}");
        }
        for code in [
            "#[cfg(test)] mod tests { use crate::high; }",
            "// crate::high",
            "const X: &str = \"crate::high\";",
        ] {
            let house = house(&[("src/low.rs", code), ("src/high.rs", "")]);
            assert_eq!(against_the_ladder(&house, &ladder), [], "{code}");
        }
    }

    #[test]
    fn a_module_beside_and_one_that_the_table_lacks_are_found() {
        let ladder = Ladder::from_table(TABLE, "## Layers");
        let house = house(&[("src/low.rs", "use crate::side;"), ("src/side.rs", ""), ("src/later.rs", "")]);
        let found = whats(against_the_ladder(&house, &ladder));
        assert_eq!(
            found,
            ["src/later.rs: the table does not have `later`", "src/low.rs: `low` uses `side` (src/side.rs)"]
        );
    }

    #[test]
    fn a_circle_is_found_over_three_files_and_not_between_a_module_and_what_is_in_it() {
        let three =
            [("src/a.rs", "use crate::b;"), ("src/b.rs", "use crate::c;"), ("src/c.rs", "use crate::a;")];
        assert_eq!(circles(&house(&three)).len(), 3);
        let within = [
            ("src/a/mod.rs", "mod b; use b::X;"),
            ("src/a/b.rs", "use super::Y; use crate::c;"),
            ("src/c.rs", ""),
        ];
        assert_eq!(circles(&house(&within)), []);
    }

    #[test]
    fn a_word_outside_of_its_room_is_found() {
        let texts = texts(&[
            ("engine/src/log.rs", "fn f() { io_uring::IoUring::new(8); }"),
            ("engine/src/reactor/ring/mod.rs", "use io_uring::IoUring;"),
            ("engine/src/shard.rs", "use std::sync::atomic::AtomicU64; // glommio"),
        ]);
        let found = whats(fences(&House::of("engine/src", &texts)));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("io_uring") && found[1].contains("atomic"));
    }

    #[test]
    fn what_is_silent_wide_or_long_is_found() {
        let long = format!("//! x\nfn f() {{\n{}}}\n", "g();\n".repeat(FUNCTION_LINES_MAX));
        let wide = format!("//! {}\n//! ```text\n//! {}\n//! ```\n", "x".repeat(107), "x".repeat(200));
        let sources = texts(&[("a.rs", "fn f() {}"), ("b.rs", &long), ("c.rs", &wide)]);
        assert_eq!(whats(openings(&sources)), ["a.rs: does not open with `//!`"]);
        assert_eq!(whats(wide_comments(&sources)), ["c.rs: line 1 has 111 columns, 110 are the most"]);
        assert_eq!(whats(too_long(&sources)), ["b.rs: `f` has 92 lines, 90 are the most"]);
        let file = "// x\n".repeat(FILE_LINES_MAX + 1);
        assert_eq!(too_long(&texts(&[("d.rs", &file)])).len(), 1);
        let page = format!("{}\n| {} |\n{}\n", "x".repeat(121), "x".repeat(200), "x".repeat(120));
        assert_eq!(
            whats(wide_prose(&texts(&[("a.md", &page)]))),
            ["a.md: line 1 has 121 columns, 120 are the most"]
        );
    }

    #[test]
    fn a_day_in_a_norm_is_found() {
        assert_eq!(evidence("format.md", "a run of 2026-11-29, 14-16 files\nKIP-2024").len(), 1);
    }
}
