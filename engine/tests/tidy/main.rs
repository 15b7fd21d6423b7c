//! Holds the house in order: what stands above what, which words stay in which room, how files open, how wide
//! and how long they are.
//!
//! The layers are the tables of `docs/architecture.md`, read from there; the rules are those of
//! `docs/CONTRIBUTING.md`. Each rule is a function from a [`House`] to what it found ([`rules`]), so that a
//! small house that breaks it shows that it bites.

mod house;
mod rules;

use std::fs;
use std::path::Path;

use house::House;
use rules::{Finding, Ladder};

const ARCHITECTURE: &str = include_str!("../../../docs/architecture.md");

/// The heading of each crate's table, and the folder of its modules.
const CRATES: [(&str, &str); 4] = [
    ("## Layers of the engine", "engine/src"),
    ("## Layers of the broker", "server/src"),
    ("## Layers of the schemas", "server/schemas/src"),
    ("## Layers of MQTT", "server/mqtt/src"),
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the engine stands in a repository")
}

/// Fails with all that was found, and where the rule is to be read.
fn none_of(findings: Vec<Finding>, rule: &str) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} found; the rule: {rule}\n{}", lines.len(), lines.join("\n"));
}

fn on_disk(folder: &str) -> House {
    House::read(repository(), folder).unwrap_or_else(|error| panic!("{folder}: {error}"))
}

#[test]
fn a_module_uses_only_what_stands_above_it() {
    for (heading, folder) in CRATES {
        let ladder = Ladder::from_table(ARCHITECTURE, heading);
        none_of(
            rules::against_the_ladder(&on_disk(folder), &ladder),
            &format!("docs/architecture.md, {heading}"),
        );
    }
}

#[test]
fn no_two_files_need_each_other() {
    for folder in [
        "engine/src",
        "server/src",
        "server/protocol/src",
        "server/schemas/src",
        "server/mqtt/src",
        "server/tls/src",
        "server/client/src",
        "bench/src",
    ] {
        none_of(rules::circles(&on_disk(folder)), "docs/CONTRIBUTING.md, Where things are");
    }
}

#[test]
fn what_runs_tasks_and_what_threads_share_stay_in_their_rooms() {
    for (_, folder) in CRATES {
        none_of(rules::fences(&on_disk(folder)), "docs/CONTRIBUTING.md, Fences");
    }
}

#[test]
fn every_file_says_first_what_it_is() {
    none_of(rules::openings(&house::sources(repository()).unwrap()), "docs/CONTRIBUTING.md, How it reads");
}

#[test]
fn comments_and_prose_are_no_wider_than_they_may_be() {
    let mut found = rules::wide_comments(&house::sources(repository()).unwrap());
    found.extend(rules::wide_prose(&house::pages(repository()).unwrap()));
    none_of(found, "docs/CONTRIBUTING.md, How it reads");
}

#[test]
fn no_function_and_no_file_grows_past_the_longest() {
    none_of(rules::too_long(&house::sources(repository()).unwrap()), "docs/CONTRIBUTING.md, Lengths");
}

#[test]
fn evidence_stays_out_of_the_norms() {
    let folder = repository().join("docs");
    for norm in ["format.md", "durability.md", "protocol.md"] {
        let text = fs::read_to_string(folder.join(norm)).unwrap();
        none_of(rules::evidence(norm, &text), "docs/CONTRIBUTING.md, How it reads");
    }
}

#[test]
fn the_lines_of_the_readme_are_lines_of_a_program() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let program = fs::read_to_string(repository().join("engine/examples/readings.rs")).unwrap();
    let program: Vec<&str> = program.lines().map(str::trim).collect();
    let (_, shown) = readme.split_once("```rust\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let lines = shown.lines().map(|line| line.split("  //").next().unwrap().trim());
    let missing: Vec<&str> = lines.filter(|line| !program.contains(line)).collect();
    assert!(missing.is_empty(), "not in engine/examples/readings.rs: {missing:#?}");
}
