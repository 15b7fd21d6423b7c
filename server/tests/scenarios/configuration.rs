//! docs/configuration.md says what the tables of the code say.
//!
//! `STRANDLINE_WRITE_DOCS=1 cargo test -p strandline configuration` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use strandline::config::BROKER_CONFIGS;
use strandline_engine::config::{ConfigBounds, ConfigKind, TOPIC_CONFIGS, TopicConfigEntry};

const HEAD: &str = "\
# Configuration

Names, types and meanings are Kafka's, and so are the defaults, except where [decision 5](decisions/0005-durable-by-default.md) says otherwise. \
This page is made from the tables of the code by a test, which also holds it against them.

A setting comes from, the first that has it: the topic itself (`strandline topic alter`, the admin APIs), the broker's command line (`-o NAME=VALUE`), its \
file (`--config FILE`), the default. `strandline config describe` and `strandline topic describe` show what differs from the defaults. Settings of topics are \
durable when they are answered and in force at once, also for live logs; settings of the broker are read when it starts. A name that nobody knows and a value \
that can not be are refused with the reason; in a broker's file, an unknown name is told in the log and passed over.
";

fn bounds(entry: &TopicConfigEntry) -> String {
    match entry.bounds {
        ConfigBounds::Whole(least, i64::MAX) => format!("{least} or more"),
        ConfigBounds::Whole(least, most) => format!("{least} to {most}"),
        ConfigBounds::Fraction(least, f64::MAX) => format!("{least} or more"),
        ConfigBounds::Fraction(least, most) => format!("{least} to {most}"),
        ConfigBounds::Words(words) => words.join(", "),
        ConfigBounds::Any if entry.kind == ConfigKind::Bool => "true, false".to_owned(),
        ConfigBounds::Any => "any".to_owned(),
    }
}

fn shown(default: &str) -> String {
    if default.is_empty() { "(none)".to_owned() } else { format!("`{default}`") }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page += "\n## Topics\n\nEach has a broker setting that gives the default of all topics.\n\n";
    page += "| topic | broker | type | default | values | meaning |\n|---|---|---|---|---|---|\n";
    for entry in TOPIC_CONFIGS {
        let TopicConfigEntry { name, broker_name, kind, default, doc, .. } = entry;
        let default = shown(default);
        let values = bounds(entry);
        writeln!(page, "| `{name}` | `{broker_name}` | {kind:?} | {default} | {values} | {doc} |").unwrap();
    }
    page += "\n## Broker\n\n| name | type | default | values | meaning |\n|---|---|---|---|---|\n";
    for entry in BROKER_CONFIGS {
        let TopicConfigEntry { name, kind, default, doc, .. } = entry;
        let default = shown(default);
        writeln!(page, "| `{name}` | {kind:?} | {default} | {} | {doc} |", bounds(entry)).unwrap();
    }
    page
}

#[test]
fn the_configuration_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("STRANDLINE_WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "write it anew: STRANDLINE_WRITE_DOCS=1 cargo test -p strandline configuration");
}
