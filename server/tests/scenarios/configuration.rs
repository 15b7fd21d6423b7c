//! docs/configuration.md says what the tables of the code say.
//!
//! `STRANDLINE_WRITE_DOCS=1 cargo test -p strandline configuration` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use strandline::config::{BROKER_CONFIGS, is_dynamic};
use strandline_engine::config::{ConfigBounds, ConfigKind, TOPIC_CONFIGS, TopicConfigEntry};

const HEAD: &str = "\
# Configuration

Names, types and meanings are Kafka's, and so are the defaults, except where [decision 5](decisions/0005-durable-by-default.md) says otherwise. \
This page is made from the tables of the code by a test, which also holds it against them.

A setting comes from, the first that has it: the topic itself (`strandline topic alter`, the admin APIs), what was set for this broker while it runs, what \
was set for all brokers while they run (`kafka-configs`, the admin APIs), the broker's command line (`-o NAME=VALUE`), its file (`--config FILE`), the default. \
`strandline config describe` and `strandline topic describe` show what differs from the defaults, and where it comes from. What is set while the broker runs \
is durable when it is answered and in force at once, also for live logs and for topics that are silent; which settings of the broker that is possible for \
stands in the table, and they are the same as in Kafka. A name that nobody knows and a value that can not be are refused with the reason; in a broker's file, \
an unknown name is told in the log and passed over.
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
    page += "\n## Topics\n\nEach has a broker setting that gives the default of all topics, and all of these but the throttles may be set while the broker runs.\n\n";
    page += "| topic | broker | type | default | values | meaning |\n|---|---|---|---|---|---|\n";
    for entry in TOPIC_CONFIGS {
        let TopicConfigEntry { name, broker_name, kind, default, doc, .. } = entry;
        let default = shown(default);
        let values = bounds(entry);
        writeln!(page, "| `{name}` | `{broker_name}` | {kind:?} | {default} | {values} | {doc} |").unwrap();
    }
    page += "\n## Broker\n\n| name | type | default | values | while it runs | meaning |\n|---|---|---|---|---|---|\n";
    for entry in BROKER_CONFIGS {
        let TopicConfigEntry { name, kind, default, doc, .. } = entry;
        let default = shown(default);
        let dynamic = if is_dynamic(entry) { "yes" } else { "" };
        writeln!(page, "| `{name}` | {kind:?} | {default} | {} | {dynamic} | {doc} |", bounds(entry))
            .unwrap();
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
