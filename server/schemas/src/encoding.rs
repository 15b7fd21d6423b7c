//! What values of all types have in common: numbers of variable length, and why a value does not fit.

use std::fmt;

use crate::json::Json;

/// Why a value is none of a schema, and in which place of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    why: String,
    /// From the inside to the outside.
    steps: Vec<String>,
}

impl Misfit {
    pub(crate) fn new(why: String) -> Misfit {
        Misfit { why, steps: Vec::new() }
    }

    /// It is of another type.
    pub(crate) fn expected(kind: &str, json: &Json) -> Misfit {
        let found = match json {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        };
        Misfit::new(format!("{kind} is expected, and {found} is there"))
    }

    pub(crate) fn below(mut self, name: &str) -> Misfit {
        self.steps.push(format!(".{name}"));
        self
    }

    pub(crate) fn at_element(mut self, at: usize) -> Misfit {
        self.steps.push(format!("[{at}]"));
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.steps.is_empty() {
            true => f.write_str(&self.why),
            false => {
                let place: String = self.steps.iter().rev().map(String::as_str).collect();
                write!(f, "{place}: {}", self.why)
            }
        }
    }
}

impl std::error::Error for Misfit {}

/// Appends a number, seven bits a byte, the lowest first.
pub(crate) fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes one from the front; `None` where it is cut off, or has more than 64 bits.
pub(crate) fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *from.split_off_first()?;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
