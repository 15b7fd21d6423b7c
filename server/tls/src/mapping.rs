//! What a certificate's subject is called as a user: Kafka's `ssl.principal.mapping.rules` (KIP-371).
//!
//! ```text
//! rules:   rule ("," rule)*          rule:  DEFAULT  |  RULE:PATTERN/REPLACEMENT/  and L or U behind it
//! ```
//! The first rule whose pattern matches the whole subject says the name: every match in the subject is
//! replaced, with `$1` for what the first group has matched, and L or U makes the letters small or large.
//! DEFAULT is the subject as it is. A `/` inside a pattern or a replacement stands behind a backslash.
//!
//! The patterns are those of the crate `regex`, which take a time that grows with the subject and no faster.
//! What Java's have beside them (looking around, references back) is refused at the start.

use std::fmt::Write as _;

use regex::{Captures, Regex};

/// Rules, ready for use.
#[derive(Clone, Debug)]
pub struct PrincipalMapping(Vec<Rule>);

/// Why a text is no list of rules.
#[derive(Debug, thiserror::Error)]
#[error("rule {number}: {wrong}")]
pub struct MappingError {
    /// Which, counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with a rule.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// It has another form.
    #[error("DEFAULT or RULE:PATTERN/REPLACEMENT/, with L or U behind it or nothing, is expected")]
    Form,
    /// The pattern cannot be used.
    #[error("its pattern can not be used: {0}")]
    Pattern(regex::Error),
    /// `$` before something else, in a replacement.
    #[error("in its replacement, a number or {{NAME}} is expected behind $, and \\$ for the sign itself")]
    Dollar,
    /// A group that the pattern has not.
    #[error("its replacement has {group}, and its pattern no such group")]
    Group {
        /// The group.
        group: String,
    },
}

/// No rule says what a subject is called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no rule of ssl.principal.mapping.rules is for {subject}")]
pub struct NoRule {
    /// The subject.
    pub subject: String,
}

#[derive(Clone, Debug)]
enum Rule {
    Default,
    Replace { whole: Regex, pattern: Regex, replacement: Vec<Part>, case: Case },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

impl PrincipalMapping {
    /// Reads rules; no rule at all is DEFAULT.
    ///
    /// # Errors
    /// [`MappingError`].
    pub fn parse(text: &str) -> Result<PrincipalMapping, MappingError> {
        let mut rules = Vec::new();
        let mut rest = text.trim();
        for number in 1.. {
            let wrong = |wrong| MappingError { number, wrong };
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix(',') {
                // Between two commas, nothing is said.
                rest = after;
                continue;
            }
            if rest.is_empty() {
                break;
            }
            let (rule, after) = match rest.strip_prefix("RULE:") {
                Some(rule) => replacing(rule).map_err(wrong)?,
                None => (Rule::Default, rest.strip_prefix("DEFAULT").ok_or_else(|| wrong(Wrong::Form))?),
            };
            rules.push(rule);
            rest = match after.trim_start() {
                "" => break,
                after => after.strip_prefix(',').ok_or_else(|| wrong(Wrong::Form))?,
            };
        }
        if rules.is_empty() {
            rules.push(Rule::Default);
        }
        Ok(PrincipalMapping(rules))
    }

    /// What a subject is called.
    ///
    /// # Errors
    /// [`NoRule`].
    pub fn name(&self, subject: &str) -> Result<String, NoRule> {
        let found = self.0.iter().find_map(|rule| rule.name(subject));
        found.ok_or_else(|| NoRule { subject: subject.to_owned() })
    }
}

/// A rule behind its `RULE:`, and what follows it.
fn replacing(text: &str) -> Result<(Rule, &str), Wrong> {
    let (pattern, rest) = until_slash(text).ok_or(Wrong::Form)?;
    let (replacement, rest) = until_slash(rest).ok_or(Wrong::Form)?;
    let (case, rest) = match rest.as_bytes().first() {
        Some(b'L') => (Case::Lower, &rest[1..]),
        Some(b'U') => (Case::Upper, &rest[1..]),
        _ => (Case::Kept, rest),
    };
    let whole = Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(Wrong::Pattern)?;
    let pattern = Regex::new(pattern).map_err(Wrong::Pattern)?;
    let replacement = parts(replacement, &pattern)?;
    Ok((Rule::Replace { whole, pattern, replacement, case }, rest))
}

/// What stands before the next slash that has no backslash before it, and what stands behind.
fn until_slash(text: &str) -> Option<(&str, &str)> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '/' => return Some((&text[..at], &text[at + 1..])),
            '\\' => drop(letters.next()?),
            _ => {}
        }
    }
    None
}

/// A replacement in Java's form.
fn parts(text: &str, pattern: &Regex) -> Result<Vec<Part>, Wrong> {
    // Group 0 is the whole match.
    let groups = pattern.captures_len() - 1;
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let group = match letter {
            '\\' => {
                plain.extend(letters.next());
                continue;
            }
            '$' => match letters.next() {
                Some('{') => {
                    let name: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
                    let number = pattern.capture_names().position(|group| group == Some(name.as_str()));
                    number.ok_or(Wrong::Group { group: format!("${{{name}}}") })?
                }
                Some(digit) => {
                    let mut number = digit.to_digit(10).ok_or(Wrong::Dollar)? as usize;
                    if number > groups {
                        if groups == 0 {
                            return Err(Wrong::Group { group: format!("${number}") });
                        }
                        // Kafka takes what is no group for what it looks like.
                        let _ = write!(plain, "${number}");
                        continue;
                    }
                    // As many digits as there is such a group for.
                    while let Some(next) = letters.peek().and_then(|next| next.to_digit(10)) {
                        let longer = number * 10 + next as usize;
                        if longer > groups {
                            break;
                        }
                        number = longer;
                        letters.next();
                    }
                    number
                }
                None => return Err(Wrong::Dollar),
            },
            _ => {
                plain.push(letter);
                continue;
            }
        };
        parts.push(Part::Text(std::mem::take(&mut plain)));
        parts.push(Part::Group(group));
    }
    parts.push(Part::Text(plain));
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(parts)
}

impl Rule {
    fn name(&self, subject: &str) -> Option<String> {
        let Rule::Replace { whole, pattern, replacement, case } = self else {
            return Some(subject.to_owned());
        };
        if !whole.is_match(subject) {
            return None;
        }
        let name = replaced(subject, pattern, replacement);
        Some(match case {
            Case::Kept => name,
            Case::Lower => name.to_lowercase(),
            Case::Upper => name.to_uppercase(),
        })
    }
}

/// The subject with every match replaced. As in Java, an empty match may begin where the one before has
/// ended.
fn replaced(subject: &str, pattern: &Regex, replacement: &[Part]) -> String {
    let mut name = String::new();
    let (mut from, mut copied) = (0, 0);
    while from <= subject.len() {
        let Some(groups) = pattern.captures_at(subject, from) else { break };
        let found = groups.get(0).expect("a match is its own group 0");
        name.push_str(&subject[copied..found.start()]);
        write_parts(&mut name, replacement, &groups);
        copied = found.end();
        from = match found.is_empty() {
            true => copied + subject[copied..].chars().next().map_or(1, char::len_utf8),
            false => copied,
        };
    }
    name.push_str(&subject[copied..]);
    name
}

fn write_parts(name: &mut String, replacement: &[Part], groups: &Captures<'_>) {
    for part in replacement {
        match part {
            Part::Text(text) => name.push_str(text),
            Part::Group(group) => name.push_str(groups.get(*group).map_or("", |found| found.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: &str = "CN=Duke,OU=JavaSoft,O=Sun Microsystems,C=US";

    fn name(rules: &str, subject: &str) -> Option<String> {
        PrincipalMapping::parse(rules).unwrap_or_else(|error| panic!("{rules}: {error}")).name(subject).ok()
    }

    #[test]
    fn the_first_rule_that_matches_the_whole_subject_says_the_name() {
        let rules = r"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/,
            RULE:^CN=(.*?), *OU=(.*?), *O=(.*?), *L=(.*?), *ST=(.*?), *C=(.*?)$/$1@$2/L,
            RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U , DEFAULT";
        let told = [
            ("CN=duke,OU=ServiceUsers,O=Unknown,C=Unknown", "duke"),
            ("CN=Duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US", "duke@sme"),
            ("OU=JavaSoft,cn=duke", "DUKE"),
            ("OU=JavaSoft,O=Sun", "OU=JavaSoft,O=Sun"),
        ];
        for (subject, expected) in told {
            assert_eq!(name(rules, subject).as_deref(), Some(expected), "{subject}");
        }
        assert_eq!(name("RULE:^CN=(.*?),OU=Nope$/$1/", SUBJECT), None);
        assert_eq!(name("", SUBJECT).as_deref(), Some(SUBJECT));
        assert_eq!(name("DEFAULT", SUBJECT).as_deref(), Some(SUBJECT));
        assert_eq!(name(",, DEFAULT ,", SUBJECT).as_deref(), Some(SUBJECT));
        assert_eq!(name("RULE:CN=Duke/x/", SUBJECT), None, "a part is not the whole");
    }

    #[test]
    fn replacements_are_javas() {
        let told = [
            ("RULE:^CN=(.*?),.*$/<$1>/", "<Duke>"),
            ("RULE:^CN=(.*?),.*$/$1@$4/", "Duke@$4"),
            ("RULE:^CN=(.*?),.*$/$12/", "Duke2"),
            ("RULE:^CN=(.*?),.*$/$0/L", "cn=duke,ou=javasoft,o=sun microsystems,c=us"),
            (r"RULE:^CN=(.*?),.*$/\$1 \/ $1/", "$1 / Duke"),
            ("RULE:^CN=(?<who>.*?),.*$/${who}!/", "Duke!"),
            (r"RULE:^CN=(\w+),OU=(.*?),.*$/$2\/$1/", "JavaSoft/Duke"),
            // Java's replaceAll finds the empty end once more.
            ("RULE:.*/x/", "xx"),
            ("RULE:(CN=Duke)?.*/<$1>/", "<CN=Duke><>"),
        ];
        for (rules, expected) in told {
            assert_eq!(name(rules, SUBJECT).as_deref(), Some(expected), "{rules}");
        }
        assert_eq!(name("RULE:ä?/x/", "ä").as_deref(), Some("xx"));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_number() {
        let refused = |rules: &str| PrincipalMapping::parse(rules).unwrap_err().to_string();
        for rules in
            ["default", "DEFAULT,RULE:x", "RULE:x/", "RULE:x/y", "RULE:x/y/LU", "RULE:x/y/ L", "DEFAULTS"]
        {
            assert!(refused(rules).contains("DEFAULT or RULE:PATTERN/REPLACEMENT/"), "{rules}");
        }
        assert!(refused("DEFAULT,RULE:x").starts_with("rule 2: "));
        assert!(refused("RULE:(x/y/").starts_with("rule 1: its pattern can not be used"));
        assert!(refused("RULE:(?=x)x/y/").starts_with("rule 1: its pattern can not be used"));
        assert!(refused("RULE:x/$1/").contains("its replacement has $1"));
        assert!(refused("RULE:(x)/${y}/").contains("its replacement has ${y}"));
        assert!(refused("RULE:(x)/$/").contains("behind $"));
    }
}
