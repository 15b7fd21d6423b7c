//! What the shards' threads run on, by name.

use std::fmt;
use std::str::FromStr;

/// What the threads of an engine run on, and wait on. The crate's `reactor` says what each of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReactorKind {
    /// Our executor, which sleeps in the I/O ring.
    Ring,
    /// The executor of glommio, beside the I/O ring.
    Glommio,
    /// Our executor, which sleeps in a poller; files are for some threads beside it. Needs no I/O ring.
    Poll,
}

impl ReactorKind {
    /// All of them.
    pub const ALL: [ReactorKind; 3] = [ReactorKind::Ring, ReactorKind::Glommio, ReactorKind::Poll];

    /// Its name, in small letters.
    pub fn name(self) -> &'static str {
        match self {
            ReactorKind::Ring => "ring",
            ReactorKind::Glommio => "glommio",
            ReactorKind::Poll => "poll",
        }
    }
}

impl fmt::Display for ReactorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an engine is asked to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReactorChoice {
    /// The ring, or, where that is forbidden or not there, the poller.
    #[default]
    Auto,
    /// This one, or the engine does not start.
    Only(ReactorKind),
}

impl ReactorChoice {
    /// The words of a setting.
    pub const WORDS: [&'static str; 4] = ["auto", "ring", "glommio", "poll"];
}

impl FromStr for ReactorChoice {
    type Err = UnknownReactor;

    fn from_str(word: &str) -> Result<ReactorChoice, UnknownReactor> {
        if word == "auto" {
            return Ok(ReactorChoice::Auto);
        }
        let kind = ReactorKind::ALL.into_iter().find(|kind| kind.name() == word);
        kind.map(ReactorChoice::Only).ok_or(UnknownReactor)
    }
}

impl fmt::Display for ReactorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReactorChoice::Auto => f.write_str("auto"),
            ReactorChoice::Only(kind) => kind.fmt(f),
        }
    }
}

/// No reactor has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected auto, ring, glommio or poll")]
pub struct UnknownReactor;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written_and_nothing_else_is_one() {
        for word in ReactorChoice::WORDS {
            assert_eq!(word.parse::<ReactorChoice>().unwrap().to_string(), word);
        }
        for word in ["", "Ring", "ring ", "epoll"] {
            assert_eq!(word.parse::<ReactorChoice>(), Err(UnknownReactor), "{word}");
        }
    }
}
