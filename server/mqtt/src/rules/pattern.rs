//! What a rule is made of: patterns of MQTT topics that keep levels under names, and templates of Kafka
//! topics and keys that use these names.

use std::fmt;

use super::Wrong;
use crate::topic;

/// One level of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Text(String),
    /// `+`
    Any,
    /// `{name}`, by the name's place.
    Keep(usize),
    /// `#`: any number of levels, none as well.
    Rest,
    /// `{name#}`: one level or more.
    KeepRest(usize),
}

/// A pattern of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    levels: Vec<Level>,
    names: Vec<String>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Pattern, Wrong> {
        let wrong = || Wrong::Pattern(text.to_owned());
        let mut pattern = Pattern { levels: Vec::new(), names: Vec::new() };
        // It has the size of a filter; what it may be is looked at level by level.
        if text.is_empty() || text.len() > topic::BYTES_MAX || text.split('/').count() > topic::LEVELS_MAX {
            return Err(wrong());
        }
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            let is_last = levels.peek().is_none();
            let level = match level {
                "+" => Level::Any,
                "#" if is_last => Level::Rest,
                _ => match level.strip_prefix('{').and_then(|level| level.strip_suffix('}')) {
                    Some(name) => match name.strip_suffix('#') {
                        Some(name) if is_last => Level::KeepRest(pattern.name(name, text)?),
                        _ => Level::Keep(pattern.name(name, text)?),
                    },
                    None if level.contains(['+', '#', '{', '}', '\0']) => return Err(wrong()),
                    None => Level::Text(level.to_owned()),
                },
            };
            pattern.levels.push(level);
        }
        Ok(pattern)
    }

    fn name(&mut self, name: &str, text: &str) -> Result<usize, Wrong> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(Wrong::Pattern(text.to_owned()));
        }
        if self.names.iter().any(|known| known == name) {
            return Err(Wrong::Twice(name.to_owned()));
        }
        self.names.push(name.to_owned());
        Ok(self.names.len() - 1)
    }

    /// How many names it has.
    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    /// What it keeps of a topic, by the names' places; `None` when the topic does not match.
    pub(super) fn keep<'t>(&self, topic: &'t str) -> Option<Vec<&'t str>> {
        let mut kept = vec![""; self.names.len()];
        let mut rest = Some(topic);
        for level in &self.levels {
            match level {
                Level::Rest => return Some(kept),
                Level::KeepRest(name) => {
                    kept[*name] = rest?;
                    return Some(kept);
                }
                Level::Text(_) | Level::Any | Level::Keep(_) => {
                    let (found, after) = match rest?.split_once('/') {
                        Some((found, after)) => (found, Some(after)),
                        None => (rest?, None),
                    };
                    match level {
                        Level::Text(text) if text != found => return None,
                        Level::Keep(name) => kept[*name] = found,
                        _ => {}
                    }
                    rest = after;
                }
            }
        }
        rest.is_none().then_some(kept)
    }

    /// The topic of which this is kept, when it says all levels.
    pub(super) fn fill(&self, kept: &[Option<String>]) -> Option<String> {
        let mut topic = String::new();
        for (at, level) in self.levels.iter().enumerate() {
            if at > 0 {
                topic.push('/');
            }
            match level {
                Level::Text(text) => topic.push_str(text),
                Level::Keep(name) | Level::KeepRest(name) => topic.push_str(kept[*name].as_ref()?),
                Level::Any | Level::Rest => return None,
            }
        }
        Some(topic)
    }

    /// Whether it matches all that the other one does.
    pub(super) fn covers(&self, other: &Pattern) -> bool {
        // Every topic has one level at least.
        if matches!(self.levels[0], Level::Rest | Level::KeepRest(_)) {
            return true;
        }
        let (mut ours, mut theirs) = (self.levels.iter(), other.levels.iter());
        loop {
            match (ours.next(), theirs.next()) {
                (Some(Level::Rest), _) => return true,
                (Some(Level::KeepRest(_)), level) => return !matches!(level, None | Some(Level::Rest)),
                (Some(Level::Any | Level::Keep(_)), Some(Level::Text(_) | Level::Any | Level::Keep(_))) => {}
                (Some(Level::Text(one)), Some(Level::Text(other))) if one == other => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }

    /// Whether some topic matches it and the filter.
    pub(super) fn meets(&self, filter: &str) -> bool {
        if filter.starts_with('$') {
            return false;
        }
        let (mut ours, mut theirs) = (self.levels.iter(), filter.split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (_, Some("#")) | (Some(Level::Rest), _) | (None, None) => return true,
                (Some(Level::KeepRest(_)), level) => return level.is_some(),
                (Some(Level::Text(text)), Some(level)) if level == "+" || level == text => {}
                (Some(Level::Any | Level::Keep(_)), Some(_)) => {}
                _ => return false,
            }
        }
    }

    /// What it keeps of every topic that matches the filter, where the filter says it.
    pub(super) fn known<'f>(&self, filter: &'f str) -> Vec<Option<&'f str>> {
        let mut known = vec![None; self.names.len()];
        let mut rest = Some(filter);
        for level in &self.levels {
            let Some(left) = rest else { break };
            let (found, after) = match left.split_once('/') {
                Some((found, after)) => (found, Some(after)),
                None => (left, None),
            };
            match level {
                _ if found == "#" => break,
                Level::Keep(name) if found != "+" => known[*name] = Some(found),
                Level::KeepRest(name) if !left.contains(['+', '#']) => known[*name] = Some(left),
                _ => {}
            }
            rest = after;
        }
        known
    }

    /// Whether topic and key together say every level.
    pub(super) fn is_said_by(&self, topic: &Template, key: &Template) -> bool {
        self.levels.iter().all(|level| match level {
            Level::Text(_) => true,
            Level::Keep(name) | Level::KeepRest(name) => topic.has(*name) || key.has(*name),
            Level::Any | Level::Rest => false,
        })
    }

    /// Whether a topic of this pattern may be a text of the template, as far as can be seen.
    pub(super) fn may_equal(&self, template: &Template) -> bool {
        let mut parts = Template(Vec::new());
        for (at, level) in self.levels.iter().enumerate() {
            match level {
                Level::Rest => {
                    parts.0.push(Part::Name(0));
                    continue;
                }
                _ if at > 0 => parts.push_text("/"),
                _ => {}
            }
            match level {
                Level::Text(text) => parts.push_text(text),
                _ => parts.0.push(Part::Name(0)),
            }
        }
        parts.may_equal(template)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, level) in self.levels.iter().enumerate() {
            f.write_str(if at > 0 { "/" } else { "" })?;
            match level {
                Level::Text(text) => f.write_str(text)?,
                Level::Any => f.write_str("+")?,
                Level::Rest => f.write_str("#")?,
                Level::Keep(name) => write!(f, "{{{}}}", self.names[*name])?,
                Level::KeepRest(name) => write!(f, "{{{}#}}", self.names[*name])?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// By the place of the name in the pattern.
    Name(usize),
}

/// A text in which names stand for what a pattern keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    pub(super) fn parse(text: &str, pattern: &Pattern) -> Result<Template, Wrong> {
        let mut template = Template(Vec::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(Wrong::Form)?;
            let place = pattern.names.iter().position(|known| known == name);
            template.push_text(before);
            template.0.push(Part::Name(place.ok_or_else(|| Wrong::Unknown(name.to_owned()))?));
            rest = after;
        }
        if rest.contains('}') {
            return Err(Wrong::Form);
        }
        template.push_text(rest);
        Ok(template)
    }

    fn push_text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }

    pub(super) fn names(&self) -> usize {
        self.0.iter().filter(|part| matches!(part, Part::Name(_))).count()
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Name(_) => None,
        })
    }

    fn has(&self, name: usize) -> bool {
        self.0.contains(&Part::Name(name))
    }

    /// As it was written.
    pub(super) fn show(&self, pattern: &Pattern) -> String {
        let names = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(name) => format!("{{{}}}", pattern.names[*name]),
        });
        names.collect()
    }

    pub(super) fn fill(&self, kept: &[&str]) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Name(name) => kept[*name],
            })
            .collect()
    }

    /// Whether there is one way only to take a text of it apart: a kept level has no slash, so that a slash
    /// ends it; what keeps several levels is the last name.
    pub(super) fn is_separable(&self, pattern: &Pattern) -> bool {
        let rest = pattern.levels.iter().find_map(|level| match level {
            Level::KeepRest(name) => Some(*name),
            _ => None,
        });
        let names: Vec<usize> = self
            .0
            .iter()
            .enumerate()
            .filter_map(|(at, part)| match part {
                Part::Name(_) => Some(at),
                Part::Text(_) => None,
            })
            .collect();
        let is_apart = names.windows(2).all(|pair| match &self.0[pair[0] + 1] {
            Part::Text(text) => text.contains('/'),
            Part::Name(_) => false,
        });
        let early = names.iter().rev().skip(1);
        is_apart && early.into_iter().all(|at| rest.is_none_or(|rest| self.0[*at] != Part::Name(rest)))
    }

    /// Finds what was kept in a text of it; false when it is none.
    pub(super) fn take_apart(&self, text: &str, pattern: &Pattern, kept: &mut [Option<String>]) -> bool {
        let mut rest = text;
        let mut parts = self.0.iter().peekable();
        while let Some(part) = parts.next() {
            let name = match part {
                Part::Text(text) => match rest.strip_prefix(text.as_str()) {
                    Some(after) => {
                        rest = after;
                        continue;
                    }
                    None => return false,
                },
                Part::Name(name) => *name,
            };
            let is_last_name = !parts.clone().any(|part| matches!(part, Part::Name(_)));
            let bytes = match (parts.peek(), is_last_name) {
                (None, _) => Some(rest.len()),
                (Some(Part::Text(text)), true) => rest.len().checked_sub(text.len()),
                (Some(Part::Text(text)), false) => {
                    rest.find('/').zip(text.find('/')).and_then(|(found, within)| found.checked_sub(within))
                }
                (Some(Part::Name(_)), _) => None,
            };
            let Some((value, after)) = bytes.and_then(|bytes| rest.split_at_checked(bytes)) else {
                return false;
            };
            let keeps_rest = pattern.levels.contains(&Level::KeepRest(name));
            if (value.contains('/') && !keeps_rest) || kept[name].as_ref().is_some_and(|known| known != value)
            {
                return false;
            }
            kept[name] = Some(value.to_owned());
            rest = after;
        }
        rest.is_empty()
    }

    /// What stands before and behind the name whose value is not known; with all known, the text.
    pub(super) fn bounds(&self, known: &[Option<&str>]) -> (String, Option<String>) {
        let (mut prefix, mut suffix) = (String::new(), None::<String>);
        for part in &self.0 {
            let text = match part {
                Part::Text(text) => text.as_str(),
                Part::Name(name) => match known[*name] {
                    Some(text) => text,
                    None => {
                        suffix = Some(String::new());
                        continue;
                    }
                },
            };
            suffix.as_mut().unwrap_or(&mut prefix).push_str(text);
        }
        (prefix, suffix)
    }

    /// Whether a text may be of both, as far as their beginnings and ends say.
    pub(super) fn may_equal(&self, other: &Template) -> bool {
        if self.names() == 0 && other.names() == 0 {
            return self == other;
        }
        fn text(part: Option<&Part>) -> &str {
            match part {
                Some(Part::Text(text)) => text,
                _ => "",
            }
        }
        let (one, two) = (text(self.0.first()), text(other.0.first()));
        let (three, four) = (text(self.0.last()), text(other.0.last()));
        (one.starts_with(two) || two.starts_with(one)) && (three.ends_with(four) || four.ends_with(three))
    }
}
