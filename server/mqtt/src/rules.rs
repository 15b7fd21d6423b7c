//! Which Kafka topic and key an MQTT topic has, and which MQTT topic a record has: ordered rules, of which
//! the first that matches counts.
//!
//! ```text
//!  truck/{id}/position -> truck_position key={id}
//!  building/{b}/{path#} -> building_{b} key={path}
//!  everything else: -> the default topic, with the whole MQTT topic as key
//! ```
//! * A pattern has levels as a filter has: `+` and `#` match and keep nothing, `{name}` keeps one level and
//!   `{name#}`, at the end, one level or more.
//! * Without `key=` the key is the MQTT topic.
//! * A rule can be read backwards when its topic and key say every level of its pattern. Then a record that a
//!   Kafka producer wrote has an MQTT topic. Other records have the one that their header says, which is
//!   believed when the rules lead from it to the record.
//!
//! What would be ambiguous is refused when rules are read ([`RuleError`]).

mod pattern;
#[cfg(test)]
mod tests;

use std::fmt;

use pattern::{Pattern, Template};

/// Rules that are taken: each message is held against them in turn.
pub const RULES_MAX: usize = 256;

/// The bytes of a Kafka topic's name.
const KAFKA_NAME_BYTES_MAX: usize = 249;

/// Why rules are not taken. The line counts from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {line}: {what}")]
pub struct RuleError {
    /// Which.
    pub line: usize,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It has another form.
    #[error("a rule is PATTERN -> TOPIC, or PATTERN -> TOPIC key=KEY")]
    Form,
    /// There are more than are taken.
    #[error("there are more than {RULES_MAX} rules")]
    TooMany,
    /// Its pattern is none.
    #[error("{0:?} is no pattern: a level is a text, +, {{name}}, or at the end # or {{name#}}")]
    Pattern(String),
    /// A name stands twice in its pattern.
    #[error("{0:?} stands twice in the pattern")]
    Twice(String),
    /// Its topic or key names what its pattern does not have.
    #[error("{0:?} is not in the pattern")]
    Unknown(String),
    /// Its topic can be no name of a Kafka topic.
    #[error("{0:?} is no name of a Kafka topic: letters, digits, '.', '_' and '-', and one {{name}} at most")]
    Topic(String),
    /// Its topic begins with two underscores: such topics are the broker's.
    #[error("topics that begin with __ are the broker's own")]
    Internal,
    /// Two names of its key touch, or what is between them may be in them.
    #[error("the key cannot be taken apart again: a '/' has to stand between two names")]
    Key,
    /// Whatever it matches, an earlier rule matches before.
    #[error("rule {0} matches all that this one does, and comes first")]
    Shadowed(usize),
    /// A record of a Kafka producer may belong to it or to another.
    #[error("a record may belong to rule {0} as well: let their topics differ, or their keys")]
    Ambiguous(usize),
}

/// Why a message has no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Topics that begin with `$` are the broker's.
    #[error("topics that begin with $ are the broker's own")]
    Reserved,
    /// The rule makes no name of a Kafka topic of it.
    #[error("{0:?} is no name of a Kafka topic")]
    Topic(String),
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The Kafka topic.
    pub topic: String,
    /// The record's key.
    pub key: String,
}

/// Kafka topics that a filter may have messages in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    prefix: String,
    /// What follows the part that may be anything; `None` when the name is the prefix.
    suffix: Option<String>,
}

impl Source {
    /// Whether it is one of them.
    pub fn contains(&self, topic: &str) -> bool {
        match &self.suffix {
            None => topic == self.prefix,
            Some(suffix) => {
                topic.len() >= self.prefix.len() + suffix.len()
                    && topic.starts_with(&self.prefix)
                    && topic.ends_with(suffix.as_str())
            }
        }
    }

    /// The one topic that it is, if it is one.
    pub fn exact(&self) -> Option<&str> {
        self.suffix.is_none().then_some(self.prefix.as_str())
    }
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: Pattern,
    topic: Template,
    /// `None` is the MQTT topic.
    key: Option<Template>,
    is_invertible: bool,
}

/// The rules of a broker.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Reads rules, one a line or separated by semicolons, and the topic of what none matches.
    ///
    /// # Errors
    /// The first rule that is not taken, and why.
    pub fn parse(text: &str, default_topic: &str) -> Result<Rules, RuleError> {
        let lines = text.split(['\n', ';']).map(str::trim);
        let mut rules = Rules(Vec::new());
        for (at, line) in lines.filter(|line| !line.is_empty() && !line.starts_with("# ")).enumerate() {
            let error = |what| RuleError { line: at + 1, what };
            if at == RULES_MAX {
                return Err(error(Wrong::TooMany));
            }
            let rule = Rule::parse(line).map_err(error)?;
            rules.check(&rule).map_err(error)?;
            rules.0.push(rule);
        }
        let error = |what| RuleError { line: rules.0.len() + 1, what };
        let last = Rule::parse(&format!("# -> {default_topic}")).map_err(error)?;
        match rules.check(&last) {
            // A rule for everything else needs no default.
            Err(Wrong::Shadowed(_)) => {}
            Err(what) => return Err(error(what)),
            Ok(()) => rules.0.push(last),
        }
        Ok(rules)
    }

    fn check(&self, new: &Rule) -> Result<(), Wrong> {
        for (at, rule) in self.0.iter().enumerate() {
            if rule.pattern.covers(&new.pattern) {
                return Err(Wrong::Shadowed(at + 1));
            }
            if rule.is_invertible && new.is_invertible && rule.may_share_a_record(new) {
                return Err(Wrong::Ambiguous(at + 1));
            }
        }
        Ok(())
    }

    /// Where a message goes that is published to this topic.
    ///
    /// # Errors
    /// When it has no place.
    pub fn place(&self, topic: &str) -> Result<Place, NoPlace> {
        self.find(topic).map(|(_, place)| place)
    }

    fn find(&self, topic: &str) -> Result<(usize, Place), NoPlace> {
        if topic.starts_with('$') {
            return Err(NoPlace::Reserved);
        }
        for (at, rule) in self.0.iter().enumerate() {
            let Some(kept) = rule.pattern.keep(topic) else { continue };
            let name = rule.topic.fill(&kept);
            if !is_kafka_name(&name) || name.starts_with("__") {
                return Err(NoPlace::Topic(name));
            }
            let key = rule.key.as_ref().map_or_else(|| topic.to_owned(), |key| key.fill(&kept));
            return Ok((at, Place { topic: name, key }));
        }
        unreachable!("the last rule matches everything")
    }

    /// The MQTT topic of a record, by what its header says, its Kafka topic and its key. `None` when it has
    /// none: nobody can subscribe to it.
    pub fn topic_of(&self, said: &str, kafka_topic: &str, key: Option<&[u8]>) -> Option<String> {
        let key = key.and_then(|key| std::str::from_utf8(key).ok());
        let leads_here = |topic: &str| {
            crate::topic::is_name(topic)
                && self.place(topic).is_ok_and(|place| place.topic == kafka_topic && Some(&*place.key) == key)
        };
        if !said.is_empty() {
            return leads_here(said).then(|| said.to_owned());
        }
        let invertible = self.0.iter().filter(|rule| rule.is_invertible);
        invertible.filter_map(|rule| rule.invert(kafka_topic, key?)).find(|topic| leads_here(topic))
    }

    /// Where messages may be that match a filter, without its group.
    pub fn sources(&self, pattern: &str) -> Vec<Source> {
        let mut sources: Vec<Source> = Vec::new();
        for rule in self.0.iter().filter(|rule| rule.pattern.meets(pattern)) {
            let kept = rule.pattern.known(pattern);
            let (prefix, suffix) = rule.topic.bounds(&kept);
            let source = Source { prefix, suffix };
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }
}

/// One rule a line, as it is understood: what a start shows.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.0 {
            let Rule { pattern, topic, key, is_invertible } = rule;
            let key = key.as_ref().map_or_else(|| "(the MQTT topic)".to_owned(), |key| key.show(pattern));
            let only = if *is_invertible { "" } else { "  (records of Kafka producers have no MQTT topic)" };
            writeln!(f, "{pattern} -> {} key={key}{only}", topic.show(pattern))?;
        }
        Ok(())
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Rule, Wrong> {
        let (pattern, target) = line.split_once("->").ok_or(Wrong::Form)?;
        let pattern = Pattern::parse(pattern.trim())?;
        let mut words = target.split_whitespace();
        let topic = words.next().ok_or(Wrong::Form)?;
        let key = match (words.next(), words.next()) {
            (None, _) => None,
            (Some(word), None) => Some(word.strip_prefix("key=").ok_or(Wrong::Form)?),
            (Some(_), Some(_)) => return Err(Wrong::Form),
        };
        if topic.starts_with("__") {
            return Err(Wrong::Internal);
        }
        let written = topic;
        let topic = Template::parse(written, &pattern)?;
        let is_name = match topic.names() {
            0 => is_kafka_name(written),
            1 => topic.texts().all(is_part_of_kafka_name),
            _ => false,
        };
        if !is_name {
            return Err(Wrong::Topic(written.to_owned()));
        }
        let key = key.map(|key| Template::parse(key, &pattern)).transpose()?;
        if key.as_ref().is_some_and(|key| !key.is_separable(&pattern)) {
            return Err(Wrong::Key);
        }
        let is_invertible = match &key {
            None => true,
            Some(key) => pattern.is_said_by(&topic, key),
        };
        Ok(Rule { pattern, topic, key, is_invertible })
    }

    /// The topic that leads to a record, if one does. The caller asks the rules whether it leads there.
    fn invert(&self, kafka_topic: &str, key: &str) -> Option<String> {
        let mut kept = vec![None; self.pattern.names()];
        self.topic.take_apart(kafka_topic, &self.pattern, &mut kept).then_some(())?;
        match &self.key {
            None => self.pattern.keep(key).map(|_| key.to_owned()),
            Some(template) => {
                template.take_apart(key, &self.pattern, &mut kept).then_some(())?;
                self.pattern.fill(&kept)
            }
        }
    }

    /// Whether a record can be of both, as far as texts at the beginning and end of topic and key say.
    fn may_share_a_record(&self, other: &Rule) -> bool {
        if !self.topic.may_equal(&other.topic) {
            return false;
        }
        match (&self.key, &other.key) {
            (Some(one), Some(other)) => one.may_equal(other),
            // Keys that are MQTT topics say by themselves which pattern they match first.
            (None, None) => false,
            (Some(key), None) => other.pattern.may_equal(key),
            (None, Some(key)) => self.pattern.may_equal(key),
        }
    }
}

fn is_part_of_kafka_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_kafka_name(name: &str) -> bool {
    (1..=KAFKA_NAME_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && is_part_of_kafka_name(name)
}
