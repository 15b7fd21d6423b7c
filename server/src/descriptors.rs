//! How the process shares out its descriptors: what keeps records safe comes first, connections get the rest.
//!
//! ```text
//! the limit (RLIMIT_NOFILE)
//! | the process | for metrics | of each shard: ring, journal, small files, directories | segments, half of the rest at most | connections |
//! ```
//!
//! A connection that does not fit is refused when it comes, so that no flood of them takes a descriptor that
//! a file needs: without one a log can not be opened, rolled or synced.

use strandline_engine::config::EngineConfig;

/// Standard streams, the lock, the listener for metrics, signals.
const PROCESS: u64 = 18;

/// A listener, and the one that is put by for it.
const LISTENER: u64 = 2;

/// Connections for metrics and health at a time: scrapers, supervisors, somebody with curl, and room for
/// those who are none of these.
const METRICS: u64 = 128;
const METRICS_LEAST: u64 = 8;

/// What a shard holds and opens for a moment: its ring and doorbell, journal files in use and in the making,
/// the checkpoint, directories that are synced, several at a time. It works with [`SHARD_LEAST`]: steps then
/// wait for one another.
const SHARD: u64 = 32;
const SHARD_LEAST: u64 = 12;

/// Segments that a shard can not do without.
const SEGMENTS_LEAST: u64 = 4;

/// Connections that a broker can not do without.
const CONNECTIONS_LEAST: u64 = 8;

/// What there is for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit that is shared out.
    pub limit: u64,
    /// Segments that each shard keeps open. There may be a third more for a moment: those that wait for a
    /// sync.
    pub segments: usize,
    /// Connections at a time, of all shards together.
    pub connections: usize,
    /// Connections for metrics and health at a time.
    pub metrics: usize,
}

/// The limit is too small for a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit on open files is {limit}, and {needed} at least are needed with {shards} shards: raise `ulimit -n`, or LimitNOFILE= of the \
     service, or start fewer shards"
)]
pub struct TooFew {
    /// The limit.
    pub limit: u64,
    /// The smallest one that will do.
    pub needed: u64,
    /// Number of shards.
    pub shards: usize,
}

impl Descriptors {
    /// Shares out `limit` descriptors (`None` is without end) among so many shards, listeners and their
    /// clients.
    ///
    /// # Errors
    /// When that is too few.
    pub fn share_out(limit: Option<u64>, shards: usize, listeners: usize) -> Result<Descriptors, TooFew> {
        let limit = limit.unwrap_or(u64::MAX).min(i32::MAX as u64);
        let count = shards as u64;
        let least = count * SEGMENTS_LEAST + CONNECTIONS_LEAST;
        let process = PROCESS + listeners as u64 * LISTENER;
        let needed = process + METRICS_LEAST + count * SHARD_LEAST + least;
        if limit < needed {
            return Err(TooFew { limit, needed, shards });
        }
        let spare = (limit - needed) / count;
        let shard = (limit / 4 / count).clamp(SHARD_LEAST, SHARD).min(SHARD_LEAST + spare);
        let rest = limit - process - METRICS_LEAST - count * shard;
        let more_metrics = (limit / 8).min(METRICS).saturating_sub(METRICS_LEAST).min((rest - least) / 2);
        let rest = rest - more_metrics;
        let wanted = EngineConfig::OPEN_FILES_MAX as u64 * count;
        // A third more may be open than is kept.
        let files = (rest / 2).max(count * SEGMENTS_LEAST).min((wanted * 4).div_ceil(3));
        let files = files.min(rest - CONNECTIONS_LEAST);
        let segments = (files * 3 / 4 / count).max(1) as usize;
        let metrics = (METRICS_LEAST + more_metrics) as usize;
        Ok(Descriptors { limit, segments, connections: (rest - files) as usize, metrics })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_never_passes_the_limit_and_nobody_goes_without() {
        for (shards, listeners) in [(1, 1), (2, 3), (3, 1), (8, 1), (64, 20), (256, 1)] {
            for limit in (1..5000).chain([8192, 20_000, 65_536, 1 << 20]) {
                let shared = match Descriptors::share_out(Some(limit), shards, listeners) {
                    Ok(shared) => shared,
                    Err(error) => {
                        assert_eq!((error.limit, error.shards), (limit, shards));
                        assert!(limit < error.needed);
                        assert!(Descriptors::share_out(Some(error.needed), shards, listeners).is_ok());
                        continue;
                    }
                };
                let open = (shared.segments * shards * 4 / 3 + shared.connections + shared.metrics) as u64;
                assert!(
                    open + PROCESS + LISTENER * listeners as u64 + SHARD_LEAST * shards as u64 <= limit,
                    "{limit} {shards}: {shared:?}"
                );
                assert!((METRICS_LEAST..=METRICS).contains(&(shared.metrics as u64)), "{shared:?}");
                assert!(shared.segments >= 1 && shared.connections as u64 >= CONNECTIONS_LEAST, "{shared:?}");
                assert!(shared.segments <= EngineConfig::OPEN_FILES_MAX);
            }
        }
    }

    #[test]
    fn more_descriptors_are_never_fewer_connections_or_segments() {
        for shards in [1, 2, 7] {
            let shares = (100..3000).map(|limit| Descriptors::share_out(Some(limit), shards, 1));
            let shares: Vec<_> = shares.filter_map(Result::ok).collect();
            // The shards' own part grows in steps of one a shard.
            let slack = shards;
            assert!(shares.windows(2).all(|two| two[0].connections <= two[1].connections + slack));
        }
        let endless = Descriptors::share_out(None, 2, 1).unwrap();
        assert_eq!(endless.segments, EngineConfig::OPEN_FILES_MAX);
    }
}
