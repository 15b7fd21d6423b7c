//! What clients keep of a shard's memory that have not proven who they are.
//!
//! Each of their requests is small (`sasl.server.max.receive.size`), and they may be as many as there are
//! seats: ten thousand who send all but the end of one would hold gigabytes. Together they hold no more than
//! [`TOGETHER_BYTES_MAX`] beyond what each may have, and the one that would is cut. What has been proven is
//! counted here no longer.

use std::cell::Cell;

/// What each may have without being counted: tokens and passwords are a fraction of it.
const EACH_BYTES: usize = 16 << 10;

/// What they have beyond that, together, on one shard: two hundred of the longest tokens that are believed.
pub const TOGETHER_BYTES_MAX: usize = 16 << 20;

/// There is no room for what a stranger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("clients that have not proven who they are hold {TOGETHER_BYTES_MAX} bytes already")]
pub struct NoRoom;

/// The bytes that strangers hold on this shard.
#[derive(Debug, Default)]
pub struct Strangers(Cell<usize>);

/// One of them; what it holds is free when this is dropped.
#[derive(Debug)]
pub struct Stranger<'a> {
    all: &'a Strangers,
    counted: usize,
}

impl Strangers {
    /// One that holds nothing yet.
    pub fn come(&self) -> Stranger<'_> {
        Stranger { all: self, counted: 0 }
    }
}

impl Stranger<'_> {
    /// Notes that it holds so many bytes now.
    ///
    /// # Errors
    /// [`NoRoom`]; then it counts for what it held before.
    pub fn holds(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let counted = bytes.saturating_sub(EACH_BYTES);
        let others = self.all.0.get() - self.counted;
        if counted > self.counted && others + counted > TOGETHER_BYTES_MAX {
            return Err(NoRoom);
        }
        self.all.0.set(others + counted);
        self.counted = counted;
        Ok(())
    }
}

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        self.all.0.set(self.all.0.get() - self.counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_hold_so_much_together_and_what_one_lets_go_is_anothers() {
        let strangers = Strangers::default();
        let (mut first, mut second, mut third) = (strangers.come(), strangers.come(), strangers.come());
        assert_eq!(first.holds(TOGETHER_BYTES_MAX), Ok(()));
        assert_eq!(second.holds(2 * EACH_BYTES), Ok(()), "what each may have is not counted");
        assert_eq!(second.holds(2 * EACH_BYTES + 1), Err(NoRoom));
        assert_eq!(third.holds(EACH_BYTES), Ok(()), "a short message always has room");
        assert_eq!(second.holds(EACH_BYTES), Ok(()));
        assert_eq!(third.holds(2 * EACH_BYTES), Ok(()));
        drop(first);
        assert_eq!(second.holds(TOGETHER_BYTES_MAX), Ok(()));
        assert_eq!(second.holds(0), Ok(()));
        drop((second, third));
        assert_eq!(strangers.0.get(), 0);
    }
}
