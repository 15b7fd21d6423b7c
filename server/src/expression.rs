//! Regular expressions that clients send: they describe topics (KIP-848) or transactional ids (KIP-1152). The
//! syntax is RE2's, which is the crate's but for a few escapes, and an expression matches whole names.
//!
//! An expression becomes an automaton of bounded size, or is refused. So a match takes a step for each byte
//! of a name, whatever the expression, and a client cannot have others wait for one, nor fill the memory
//! (D11). A search that follows all ways at once, as RE2's, takes thousands of steps for a byte.

use regex_automata::dfa::{Automaton, StartKind, dense, sparse};
use regex_automata::nfa::thompson::{Config as Nfa, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

/// The longest expression, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// What it may take of the memory on the way to an automaton, and as one.
const NFA_BYTES_MAX: usize = 1 << 17;
const STATES_BYTES_MAX: usize = 1 << 17;
const DFA_BYTES_MAX: usize = 1 << 18;

/// An expression, ready to be matched.
#[derive(Debug)]
pub struct Expression(sparse::DFA<Vec<u8>>);

/// Which letters names have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// Those of topics.
    Ascii,
    /// Any.
    All,
}

impl Expression {
    /// Makes an expression ready.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn new(text: &str, letters: Letters) -> Result<Expression, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("it has {} bytes, {TEXT_BYTES_MAX} are the most", text.len()));
        }
        // As in RE2, \w and the like are ASCII. Classes of Unicode need the other mode, and so does a dot
        // that is to be a letter of any length.
        let built = match letters {
            Letters::Ascii => match parse(text, false) {
                Ok(()) => build(text, false),
                Err(error) => parse(text, true).map_err(|_| error).and_then(|()| build(text, true)),
            },
            Letters::All => {
                parse(text, true)?;
                build(text, true)
                    .or_else(|error| parse(text, false).map_err(|_| error).and_then(|()| build(text, false)))
            }
        };
        built.map(Expression)
    }

    /// Whether it matches all of the name.
    pub fn matches(&self, name: &str) -> bool {
        let whole = Input::new(name).anchored(Anchored::Yes);
        // It gives up at letters beyond ASCII beside a boundary of words alone.
        self.0.try_search_fwd(&whole).is_ok_and(|found| found.is_some())
    }

    /// What it takes of the memory.
    pub fn bytes(&self) -> usize {
        self.0.memory_usage()
    }
}

fn syntax(unicode: bool) -> syntax::Config {
    syntax::Config::new().unicode(unicode).utf8(false)
}

/// On its own first: what closes a group that it has not opened would close ours.
fn parse(text: &str, unicode: bool) -> Result<(), String> {
    // The lines above the last one draw where it is.
    let shown = |error: String| error.lines().last().unwrap_or_default().to_owned();
    syntax::parse_with(text, &syntax(unicode)).map(drop).map_err(|error| shown(error.to_string()))
}

fn build(text: &str, unicode: bool) -> Result<sparse::DFA<Vec<u8>>, String> {
    let nfa = Nfa::new().utf8(false).nfa_size_limit(Some(NFA_BYTES_MAX)).which_captures(WhichCaptures::None);
    let dfa = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .unicode_word_boundary(true)
        .dfa_size_limit(Some(DFA_BYTES_MAX))
        .determinize_size_limit(Some(STATES_BYTES_MAX));
    let whole = format!("^(?:{text})$");
    let built = dense::Builder::new().syntax(syntax(unicode)).thompson(nfa).configure(dfa).build(&whole);
    let too_much = |_| "it stands for too much at once".to_owned();
    built.map_err(too_much)?.to_sparse().map_err(too_much)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn matches(text: &str, name: &str) -> bool {
        Expression::new(text, Letters::Ascii).unwrap().matches(name)
    }

    #[test]
    fn an_expression_matches_whole_names() {
        assert!(matches("o|t.*", "t1") && !matches("o|t.*", "at") && !matches("o|t.*", "oo"));
        assert!(matches("^orders$", "orders") && matches(r"\w+\.\d{2}", "a_b.07") && matches("", ""));
        assert!(matches(r"\borders\b", "orders") && matches(r"\pL+", "abc") && matches("(?i)A", "a"));
        let wrong = |text: &str| Expression::new(text, Letters::Ascii).unwrap_err();
        assert_eq!(wrong("("), "error: unclosed group");
        assert_eq!(wrong("a)|(b"), "error: unopened group");
        assert_eq!(wrong(&"a".repeat(5000)), "it has 5000 bytes, 4096 are the most");
        let of_any = |text: &str| Expression::new(text, Letters::All).unwrap();
        assert!(of_any("a.b").matches("aéb") && of_any(r"\w+-.*").matches("straße-1"));
    }

    #[test]
    fn what_people_write_is_understood() {
        let names: Vec<_> = (0..80).map(|at| format!("team-{at}.orders.of-some-name-{}", at * 7)).collect();
        let listed = Expression::new(&names.join("|"), Letters::Ascii).unwrap();
        assert!(names.iter().all(|name| listed.matches(name)) && !listed.matches("team-1"));
        for text in [
            r"(dev|test|prod)\.[a-z0-9-]{3,40}\.(orders|payments|refunds)\.v\d+",
            r"^[^_].*-(events|commands|state)$",
            r".*(foo|bar|baz).*(one|two|three).*",
            r"[A-Za-z0-9._-]{1,249}",
            r"(?:[a-z]+\.)*[a-z]+",
        ] {
            for letters in [Letters::Ascii, Letters::All] {
                assert!(Expression::new(text, letters).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn d11_no_expression_is_slow_to_be_made_ready_or_to_match() {
        let hostile = [
            "(?:a?){900}(?:a|b){200}".to_owned(),
            "[ab]*a[ab]{200}".to_owned(),
            "(?:[ab]*a[ab]{30}){10}".to_owned(),
            "(?:a|aa|aaa|aaaa){50}".to_owned(),
            "(?:.?.?.?.?.?.?.?.?.?.?){100}".to_owned(),
            "a{1000}{1000}{1000}".to_owned(),
            r"\pL{60}".repeat(20),
            "(a|b|[c-z]+|.*){2}".repeat(200),
            format!("{}a{}", "(".repeat(1900), ")".repeat(1900)),
            (0..150).map(|at| format!(".*{at}a.*")).collect::<Vec<_>>().join("|"),
        ];
        let name = "a".repeat(i16::MAX as usize);
        for text in hostile {
            let begun = Instant::now();
            let made = Expression::new(&text, Letters::Ascii);
            let made_in = begun.elapsed();
            let begun = Instant::now();
            let bytes = made.map(|made| (made.matches(&name), made.bytes()).1);
            println!("{:.40}: {bytes:?}, made in {made_in:?}, matched in {:?}", text, begun.elapsed());
            assert!(
                made_in < Duration::from_secs(2) && begun.elapsed() < Duration::from_secs(2),
                "{text:.40}"
            );
            assert!(bytes.is_err() || bytes.unwrap() <= DFA_BYTES_MAX);
        }
    }
}
