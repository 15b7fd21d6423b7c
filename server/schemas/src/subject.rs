//! Names of subjects: a context and a name in it.
//!
//! A name that begins with `:.CONTEXT:` stands in that context, every other one in the default context, whose
//! own name is `.`. `:*:` stands for all contexts, in listings. A context without a name after it
//! (`:.CONTEXT:`) carries settings for all that stands in it, and `:.__GLOBAL:` those for all contexts.

use std::fmt;

/// The name of the default context.
pub const DEFAULT_CONTEXT: &str = ".";
/// The context whose settings are those of all contexts.
pub const GLOBAL_CONTEXT: &str = ".__GLOBAL";
/// Begins the name of every context but the default one, where it stands before a subject.
const CONTEXT_PREFIX: &str = ":.";
/// What stands for all contexts.
pub(crate) const ALL_CONTEXTS: &str = ":*:";

/// A subject in its context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The context, with the dot that it begins with.
    pub context: String,
    /// The name in the context; empty where the context itself is meant.
    pub name: String,
}

impl Subject {
    /// Takes a qualified name apart.
    pub fn parse(qualified: &str) -> Subject {
        let of = |context: &str, name: &str| Subject { context: context.to_owned(), name: name.to_owned() };
        if let Some(name) = qualified.strip_prefix(ALL_CONTEXTS) {
            return of("*", name);
        }
        let Some(rest) = qualified.strip_prefix(CONTEXT_PREFIX) else {
            return of(DEFAULT_CONTEXT, qualified);
        };
        let rest_begin = CONTEXT_PREFIX.len();
        match rest.find(':') {
            Some(end) => of(&qualified[1..rest_begin + end], &rest[end + 1..]),
            None => of(&qualified[1..], ""),
        }
    }

    /// Whether it stands in the default context.
    pub fn is_unqualified(&self) -> bool {
        self.context == DEFAULT_CONTEXT
    }

    /// Whether a schema may be registered under it, or a setting made for it.
    pub fn is_valid(&self, for_settings: bool) -> bool {
        let has_control = |text: &str| text.chars().any(char::is_control);
        !has_control(&self.context)
            && !has_control(&self.name)
            && self.name != "__GLOBAL"
            && self.name != "__EMPTY"
            && (for_settings || (self.context != GLOBAL_CONTEXT && self.context != "*"))
    }

    /// What stands before the names of its context: nothing, or `:.CONTEXT:`.
    pub fn prefix(&self) -> String {
        prefix_of(&self.context)
    }

    /// The subject that a name means which stands in a schema of this one: in the same context, unless the
    /// name says another.
    pub fn sibling(&self, name: &str) -> Subject {
        let sibling = Subject::parse(name);
        if sibling.is_unqualified() {
            return Subject { context: self.context.clone(), name: sibling.name };
        }
        sibling
    }
}

/// What stands before the names of a context: nothing, or `:.CONTEXT:`.
pub(crate) fn prefix_of(context: &str) -> String {
    if context == DEFAULT_CONTEXT { String::new() } else { format!(":{context}:") }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together_again() {
        for (qualified, context, name, again) in [
            ("orders-value", ".", "orders-value", "orders-value"),
            (":.eu:orders-value", ".eu", "orders-value", ":.eu:orders-value"),
            (":.eu:", ".eu", "", ":.eu:"),
            (":.eu", ".eu", "", ":.eu:"),
            (":.:orders", ".", "orders", "orders"),
            (":*:orders", "*", "orders", ":*:orders"),
            (":orders", ".", ":orders", ":orders"),
            ("", ".", "", ""),
        ] {
            let subject = Subject::parse(qualified);
            assert_eq!((subject.context.as_str(), subject.name.as_str()), (context, name), "{qualified}");
            assert_eq!(subject.to_string(), again);
        }
        assert_eq!(Subject::parse(":.eu:a").sibling("b").to_string(), ":.eu:b");
        assert_eq!(Subject::parse(":.eu:a").sibling(":.us:b").to_string(), ":.us:b");
    }
}
