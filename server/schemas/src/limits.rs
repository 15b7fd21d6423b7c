//! How much a text may be, and how much work a comparison: what a request can cost is written here.

/// Bytes of a text.
pub const TEXT_BYTES_MAX: usize = 1_000_000;
/// Bytes of all that a schema refers to, directly and through others.
pub(crate) const REFERRED_BYTES_MAX: usize = 4_000_000;
/// Schemas that one refers to, directly and through others.
pub(crate) const REFERRED_MAX: usize = 500;
/// Steps that the comparisons of one request may take: some tenths of a second.
const STEPS_MAX: usize = 5_000_000;

/// Steps in which the values of one request may be held against their schemas: a second or two.
const STEPS_OF_VALUES_MAX: usize = 20_000_000;

/// What a reference stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referred {
    /// How the text calls it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What is left of the steps of a request.
#[derive(Debug)]
pub struct Budget {
    steps: usize,
}

/// A comparison that would take more steps, or go deeper, than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooComplex;

impl TooComplex {
    pub(crate) const WORDS: &'static str =
        "The comparison with an older schema takes more steps than a request may have";
}

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget { steps: STEPS_MAX }
    }

    /// For the values of one request.
    pub fn for_values() -> Budget {
        Budget { steps: STEPS_OF_VALUES_MAX }
    }

    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), TooComplex> {
        self.steps = self.steps.checked_sub(steps).ok_or(TooComplex)?;
        Ok(())
    }
}
