//! docs/configuration.md says what the tables of the code say.
//!
//! `STRANDLINE_WRITE_DOCS=1 cargo test -p strandline configuration` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use strandline::config::{BROKER_CONFIGS, GROUP_CONFIGS, WITHOUT_EFFECT};
use strandline_engine::config::{ConfigBounds, ConfigKind, ConfigMode, TOPIC_CONFIGS, TopicConfigEntry};

const HEAD: &str = "\
# Configuration

Names, types and meanings are Kafka's, and so are the defaults, except where
[decision 5](decisions/0005-durable-by-default.md) says otherwise. This page is made from the tables of the code by a
test, which also holds it against them; another test holds the tables against those of Apache Kafka 4.4.0.

A setting comes from, the first that has it: the topic itself (`strandline topic alter`, the admin APIs), what was set
for this broker while it runs, what was set for all brokers while they run (`kafka-configs`, the admin APIs), the
broker's command line (`-o NAME=VALUE`), its file (`--config FILE`), the default. `strandline config describe` and
`strandline topic describe` show what differs from the defaults, and where it comes from. What is set while the broker
runs is durable when it is answered and in force at once, also for live logs and for topics that are silent; the
settings of the broker that this is possible for are marked in the tables.

Values are read as Kafka reads them and shown as Kafka shows them: `TRUE` is `true`, `0.50` is `0.5`, `compact, delete`
is `compact,delete`. A value that cannot be is refused with the reason. A name that nobody knows is refused as well, but
for a broker's file, where it is told in the log and passed over.

Every setting of Kafka's is known. Those [without an effect here](#without-effect) are accepted, checked and shown with
the value they were given; their documentation (`strandline config describe --all`, DescribeConfigs) begins with \"has no
effect here\", and a start that sets some warns of them. A few are refused where their value asks for something that is
not there: to go on without it would be worse.
";

fn bounds(entry: &TopicConfigEntry) -> String {
    match entry.bounds {
        ConfigBounds::Whole(least, i64::MAX) => format!("{least} or more"),
        ConfigBounds::Whole(least, most) => format!("{least} to {most}"),
        ConfigBounds::WholeOr(other, least, most) => format!("{other}, or {least} to {most}"),
        ConfigBounds::Fraction(least, f64::MAX) => format!("{least} or more"),
        ConfigBounds::Fraction(least, most) => format!("{least} to {most}"),
        ConfigBounds::Words(words) | ConfigBounds::WordsOfAnyCase(words) => words.join(", "),
        ConfigBounds::Replicas => "*, or PARTITION:BROKER,...".to_owned(),
        ConfigBounds::Only("", reason) => format!("none: {reason}"),
        ConfigBounds::Only(one, reason) => format!("{one}: {reason}"),
        ConfigBounds::Any if entry.kind == ConfigKind::Bool => "true, false".to_owned(),
        ConfigBounds::Any => "any".to_owned(),
    }
}

fn shown(default: Option<&str>) -> String {
    match default {
        None | Some("") => "(none)".to_owned(),
        Some(default) => format!("`{default}`"),
    }
}

/// Names of settings, wrapped.
fn wrapped(names: &[String]) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for (at, name) in names.iter().enumerate() {
        let name = if at + 1 == names.len() { name.clone() } else { format!("{name},") };
        let breaks = width > 0 && width + 1 + name.len() > 118;
        lines += if breaks { "\n  " } else { " " };
        lines += &name;
        width = if breaks { 2 + name.len() } else { width + 1 + name.len() };
    }
    lines.trim_start().to_owned()
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page += "\n## Topics\n\nThe broker setting gives the default of all topics, and may be set while the broker runs.\n\n";
    page += "| topic | broker | type | default | values | meaning |\n|---|---|---|---|---|---|\n";
    for entry in TOPIC_CONFIGS.iter().filter(|entry| entry.has_effect) {
        let TopicConfigEntry { name, kind, doc, .. } = entry;
        let broker_name = entry.broker_name.map_or(String::new(), |name| format!("`{name}`"));
        let default = shown(entry.default);
        let values = bounds(entry);
        writeln!(page, "| `{name}` | {broker_name} | {kind:?} | {default} | {values} | {doc} |").unwrap();
    }
    page += "\n## Broker\n\n| name | type | default | values | while it runs | meaning |\n|---|---|---|---|---|---|\n";
    for entry in BROKER_CONFIGS {
        let TopicConfigEntry { name, kind, doc, .. } = entry;
        let default = shown(entry.default);
        let dynamic = if entry.mode == ConfigMode::ReadOnly { "" } else { "yes" };
        writeln!(page, "| `{name}` | {kind:?} | {default} | {} | {dynamic} | {doc} |", bounds(entry))
            .unwrap();
    }
    page += "\n## Groups\n\nA group may have these of its own (`kafka-configs --entity-type groups`, the admin APIs), \
             before it has members as well.\nThey are in force with the next heartbeat, and stay when the group \
             goes. Where it has none the broker setting counts;\nthe broker's bounds hold for both.\n\n";
    page += "| group | broker | type | default | bounds | meaning |\n|---|---|---|---|---|---|\n";
    for config in GROUP_CONFIGS {
        let TopicConfigEntry { name, kind, .. } = config.entry;
        let broker_name = config.entry.broker_name.map_or(String::new(), |name| format!("`{name}`"));
        let default = shown(config.entry.default);
        let bounds = config.bounds.map(|(min, max)| match min {
            Some(min) => format!("`{min}` to `{max}`"),
            None => format!("0 to `{max}`"),
        });
        let bounds = bounds.unwrap_or_else(|| self::bounds(&config.entry));
        let doc = config.entry.documentation();
        writeln!(page, "| `{name}` | {broker_name} | {kind:?} | {default} | {bounds} | {doc} |").unwrap();
    }
    page +=
        "\n## Without effect\n\nOf topics, with the broker setting of the same meaning in parentheses:\n\n";
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in TOPIC_CONFIGS.iter().filter(|entry| !entry.has_effect) {
        let broker_name = entry.broker_name.filter(|name| *name != entry.name);
        let broker_name = broker_name.map_or(String::new(), |name| format!(" (`{name}`)"));
        reasons.entry(entry.doc).or_default().push(format!("`{}`{broker_name}", entry.name));
    }
    for (reason, names) in &reasons {
        writeln!(page, "* {reason}:\n  {}", wrapped(names)).unwrap();
    }
    page += "\nOf the broker:\n\n";
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in WITHOUT_EFFECT {
        reasons.entry(entry.doc).or_default().push(format!("`{}`", entry.name));
    }
    for (reason, names) in &reasons {
        writeln!(page, "* {reason}:\n  {}", wrapped(names)).unwrap();
    }
    page += "\nRefused with any other value than the one named:\n\n";
    let of_all = TOPIC_CONFIGS.iter().chain(BROKER_CONFIGS).chain(WITHOUT_EFFECT);
    for entry in of_all {
        match entry.bounds {
            ConfigBounds::Only("", reason) => writeln!(page, "* `{}`, empty: {reason}", entry.name).unwrap(),
            ConfigBounds::Only(one, reason) => {
                writeln!(page, "* `{}={one}`: {reason}", entry.name).unwrap();
            }
            _ => {}
        }
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
