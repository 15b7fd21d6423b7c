//! What every target does: the bytes go to a checker, with its memory counted.

use strandline_engine::checkers::{CHECKERS, Checker, Counted};

#[global_allocator]
static COUNTED: Counted = Counted;

/// A checker of the engine.
pub fn engine(name: &str, bytes: &[u8]) {
    Checker::named(&CHECKERS, name).run(bytes);
}

/// A checker of the server.
pub fn server(name: &str, bytes: &[u8]) {
    Checker::named(&strandline::checkers::CHECKERS, name).run(bytes);
}
