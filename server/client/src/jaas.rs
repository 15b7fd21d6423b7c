//! An entry of a JAAS configuration, as Kafka's settings hold one: a module, and its options.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="...";
//! ```
//! Java reads such a text by words, quoted strings, and comments of its own language; so do we.

use std::fmt;

/// A module with its options. `Debug` shows no value of an option: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JaasEntry {
    /// The class.
    pub module: String,
    /// Its options, in their order.
    pub options: Vec<(String, String)>,
}

impl fmt::Debug for JaasEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.options.iter().map(|(name, _)| name);
        f.debug_struct("JaasEntry").field("module", &self.module).field("options", &names.count()).finish()
    }
}

/// Why a text is no entry. It names no part of the text: that is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JaasForm {
    /// It does not begin as an entry does.
    #[error("MODULE required NAME=\"VALUE\" ...; and it does not begin with a module and required")]
    Beginning,
    /// An option that is none.
    #[error("NAME=\"VALUE\" for each option, and its option {number} is none")]
    Option {
        /// Counted from 1.
        number: usize,
    },
    /// It does not end.
    #[error("a semicolon at its end")]
    End,
    /// Something stands behind the end.
    #[error("one module, and there is more behind its semicolon")]
    Several,
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Equals,
    Semicolon,
}

/// The one entry of the text.
///
/// # Errors
/// [`JaasForm`].
pub fn jaas_entry(text: &str) -> Result<JaasEntry, JaasForm> {
    let mut tokens = tokens(text).into_iter();
    let (Some(Token::Word(module)), Some(Token::Word(flag))) = (tokens.next(), tokens.next()) else {
        return Err(JaasForm::Beginning);
    };
    if !FLAGS.iter().any(|known| flag.eq_ignore_ascii_case(known)) {
        return Err(JaasForm::Beginning);
    }
    let mut options = Vec::new();
    for number in 1.. {
        let name = match tokens.next() {
            Some(Token::Word(name)) => name,
            Some(Token::Semicolon) => break,
            Some(Token::Equals) => return Err(JaasForm::Option { number }),
            None => return Err(JaasForm::End),
        };
        let (Some(Token::Equals), Some(Token::Word(value))) = (tokens.next(), tokens.next()) else {
            return Err(JaasForm::Option { number });
        };
        options.push((name, value));
    }
    match tokens.next() {
        Some(_) => Err(JaasForm::Several),
        None => Ok(JaasEntry { module, options }),
    }
}

/// Words, bare or quoted, and the marks between them. A quoted word ends with its line or with the text, as
/// in Java.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '=' => found.push(Token::Equals),
            ';' => found.push(Token::Semicolon),
            '"' | '\'' => {
                let mut word = String::new();
                while let Some(inner) = letters.next_if(|next| *next != '\n') {
                    match inner {
                        _ if inner == letter => break,
                        '\\' => word.extend(letters.next().map(|escaped| match escaped {
                            'n' => '\n',
                            't' => '\t',
                            'r' => '\r',
                            other => other,
                        })),
                        _ => word.push(inner),
                    }
                }
                found.push(Token::Word(word));
            }
            '/' if letters.next_if_eq(&'/').is_some() => {
                while letters.next_if(|next| *next != '\n').is_some() {}
            }
            '/' if letters.next_if_eq(&'*').is_some() => {
                let mut before = ' ';
                for next in letters.by_ref() {
                    if (before, next) == ('*', '/') {
                        break;
                    }
                    before = next;
                }
            }
            _ if letter.is_whitespace() => {}
            _ => {
                let mut word = String::from(letter);
                let goes_on = |next: &char| !next.is_whitespace() && !"=;\"'".contains(*next);
                while let Some(next) = letters.next_if(goes_on) {
                    word.push(next);
                }
                found.push(Token::Word(word));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_java_reads_it() {
        let text = r#"/* who */ a.b.Module required x="a=b;c" y='it\'s "fine"' // and no more
            z = d ;"#;
        let entry = jaas_entry(text).unwrap();
        let options = [("x", "a=b;c"), ("y", "it's \"fine\""), ("z", "d")];
        assert_eq!(entry.module, "a.b.Module");
        assert_eq!(entry.options, options.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(!format!("{entry:?}").contains("a=b;c"), "it may be a secret");
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for (text, error) in [
            ("", JaasForm::Beginning),
            ("m x a=b;", JaasForm::Beginning),
            ("m required a=b", JaasForm::End),
            ("m required a b;", JaasForm::Option { number: 1 }),
            ("m required a=b =c;", JaasForm::Option { number: 2 }),
            ("m required a=b; n required;", JaasForm::Several),
        ] {
            assert_eq!(jaas_entry(text), Err(error), "{text}");
        }
    }
}
