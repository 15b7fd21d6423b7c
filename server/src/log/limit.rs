//! How many lines of a kind there are: nothing that a client does makes the log grow without a bound.
//!
//! A kind is a place in the code. A line is written when each bucket that it belongs to has a drop left:
//!
//! | the line | bucket | holds | gets another |
//! |---|---|---|---|
//! | names a `peer` | its kind and that address | 10 | every 10 s |
//! | | its kind | 200 | every second |
//! | is an ERROR | its kind and its fields | 10 | every 10 s |
//! | | its kind | 1,000 | every 100 ms |
//! | is a WARN | its kind | 20 | every 10 s |
//! | is an INFO | its kind | 200 | every second |
//! | is below | none: somebody asked for it | | |
//!
//! So a client that is refused a thousand times a second is in the log ten times, and then every 10 s with
//! the number in `left_out`, and takes no line from another client. Errors about different files and
//! partitions are different lines, and all there; the same one again and again is not. What happens to
//! thousands of topics or partitions at once (created by a script, refused on a full disk) is told by the
//! first of them and a number.
//!
//! The table holds [`BUCKETS_MAX`] addresses and errors; the one that was quiet longest makes room, and its
//! number counts for its kind.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tracing::Level;

use super::line::{LeftOut, Line, Value};

/// How often it is told what was left out, when no other line of the kind comes.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(10);

/// Addresses and errors of a kind that are named when it is told what was left out.
const TOLD_MAX: usize = 10;

/// Addresses and errors that are told apart: some 300 kB.
const BUCKETS_MAX: usize = 1024;

/// How many lines at once, and how long until there is one more.
#[derive(Clone, Copy)]
struct Rate {
    lines: u32,
    every: Duration,
}

const fn rate(lines: u32, every_ms: u64) -> Rate {
    Rate { lines, every: Duration::from_millis(every_ms) }
}

/// For one address, or one error.
const OF_ONE: Rate = rate(10, 10_000);
const OF_PEERS: Rate = rate(200, 1_000);
const OF_ERRORS: Rate = rate(1_000, 100);
const OF_WARNINGS: Rate = rate(20, 10_000);
const OF_NEWS: Rate = rate(200, 1_000);

/// What is to be done with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is written, and says how many before it were left out.
    Write { left_out: u64 },
    /// It is counted.
    LeaveOut,
}

/// Decides by kind and by what a line is about.
#[derive(Default)]
pub(super) struct Limiter {
    kinds: HashMap<&'static str, Bucket>,
    ones: HashMap<(&'static str, About), Bucket>,
    suppressed: u64,
}

/// Which one of its kind a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum About {
    Peer(IpAddr),
    /// A hash of the fields.
    Fields(u64),
}

struct Bucket {
    rate: Rate,
    left: u32,
    /// When it got its last line, or was full.
    since: Instant,
    used: Instant,
    /// When a line of it was last written.
    told: Instant,
    left_out: LeftOut,
}

impl Limiter {
    /// Lines that were left out so far.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Whether the line is written. `kind` is the place in the code.
    pub(super) fn admit(&mut self, kind: &'static str, line: &Line, now: Instant) -> Verdict {
        let (level, peer) = (line.level, line.peer());
        let (about, of_kind) = match level {
            Level::DEBUG | Level::TRACE => return Verdict::Write { left_out: 0 },
            _ if peer.is_some() => (peer.map(About::Peer), OF_PEERS),
            Level::ERROR => (Some(About::Fields(hash(line))), OF_ERRORS),
            Level::WARN => (None, OF_WARNINGS),
            Level::INFO => (None, OF_NEWS),
        };
        let bucket = |rate: Rate, peer| {
            let message: String = line.message.chars().take(100).collect();
            let left_out = LeftOut { level, target: line.target, message, peer, lines: 0 };
            Bucket { rate, left: rate.lines, since: now, used: now, told: now, left_out }
        };
        if let Some(about) = about {
            if !self.ones.contains_key(&(kind, about)) {
                self.make_room();
            }
            let one = self.ones.entry((kind, about)).or_insert_with(|| bucket(OF_ONE, peer));
            if !one.take(now) {
                one.left_out.lines += 1;
                self.suppressed += 1;
                return Verdict::LeaveOut;
            }
        }
        let of_all = self.kinds.entry(kind).or_insert_with(|| bucket(of_kind, None));
        let is_written = of_all.take(now);
        let one = about.and_then(|about| self.ones.get_mut(&(kind, about)));
        if !is_written {
            let counting = one.unwrap_or(of_all);
            counting.left_out.lines += 1;
            self.suppressed += 1;
            return Verdict::LeaveOut;
        }
        let left_out = one.map_or(0, |one| one.tell(now)) + of_all.tell(now);
        Verdict::Write { left_out }
    }

    /// What was left out and not told for [`TELL_EVERY`]; it counts as told then. Of a kind there are the
    /// loudest addresses and errors, and the sum of all others. Lets go of those that were quiet for long.
    pub(super) fn left_out(&mut self, now: Instant) -> Vec<LeftOut> {
        let is_due = |bucket: &Bucket| {
            bucket.left_out.lines > 0 && now.saturating_duration_since(bucket.told) >= TELL_EVERY
        };
        let mut due: HashMap<&'static str, Vec<&mut Bucket>> = HashMap::new();
        for ((kind, _), one) in self.ones.iter_mut().filter(|(_, one)| is_due(one)) {
            due.entry(kind).or_default().push(one);
        }
        let mut told = Vec::new();
        for (kind, of_all) in &mut self.kinds {
            let mut ones = due.remove(kind).unwrap_or_default();
            ones.sort_unstable_by_key(|one| Reverse(one.left_out.lines));
            let others = ones.split_off(ones.len().min(TOLD_MAX));
            for one in ones {
                told.push(one.left_out.clone());
                one.tell(now);
            }
            let has_others = !others.is_empty();
            of_all.left_out.lines += others.into_iter().map(|one| one.tell(now)).sum::<u64>();
            if has_others || is_due(of_all) {
                told.push(of_all.left_out.clone());
                of_all.tell(now);
            }
        }
        self.ones.retain(|_, one| one.left_out.lines > 0 || !one.is_full(now));
        told
    }

    fn make_room(&mut self) {
        if self.ones.len() < BUCKETS_MAX {
            return;
        }
        let quiet = self.ones.iter().min_by_key(|(_, one)| one.used).map(|(key, _)| *key);
        if let Some((kind, about)) = quiet
            && let Some(gone) = self.ones.remove(&(kind, about))
            && let Some(of_all) = self.kinds.get_mut(&kind)
        {
            of_all.left_out.lines += gone.left_out.lines;
        }
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let every = self.rate.every;
        let come = now.saturating_duration_since(self.since).as_nanos() / every.as_nanos();
        let come = u32::try_from(come).unwrap_or(u32::MAX);
        if come >= self.rate.lines - self.left {
            (self.left, self.since) = (self.rate.lines, now);
        } else {
            self.left += come;
            self.since += every * come;
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.used = now;
        let has = self.left > 0;
        self.left -= u32::from(has);
        has
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left == self.rate.lines
    }

    fn tell(&mut self, now: Instant) -> u64 {
        self.told = now;
        std::mem::take(&mut self.left_out.lines)
    }
}

fn hash(line: &Line) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.message.hash(&mut hasher);
    for (name, value) in &line.fields {
        name.hash(&mut hasher);
        let (Value::Text(text) | Value::Shown(text) | Value::Plain(text)) = value;
        text.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, field: &'static str, value: &str) -> Line {
        let mut line = Line::own(level, "it happened".to_owned());
        line.fields.push((field, Value::Shown(value.to_owned())));
        line
    }

    fn closed(peer: &str) -> Line {
        line(Level::WARN, "peer", peer)
    }

    /// How many of so many equal lines are written.
    fn written(limiter: &mut Limiter, kind: &'static str, lines: &[Line], now: Instant) -> usize {
        let admitted = lines.iter().map(|line| limiter.admit(kind, line, now));
        admitted.filter(|verdict| *verdict != Verdict::LeaveOut).count()
    }

    #[test]
    fn a_peer_that_is_closed_all_the_time_takes_ten_lines_and_one_every_ten_seconds() {
        let (mut limiter, begun) = (Limiter::default(), Instant::now());
        let (mut written, mut told) = (0, 0);
        for at in 0..100_000u64 {
            let now = begun + Duration::from_millis(at);
            // Each connection has another port.
            match limiter.admit("closed", &closed(&format!("10.0.0.7:{}", 1000 + at % 60_000)), now) {
                Verdict::Write { left_out } => {
                    written += 1;
                    told += left_out;
                }
                Verdict::LeaveOut => {}
            }
        }
        assert_eq!(written, 10 + 9);
        assert_eq!(limiter.suppressed(), 100_000 - written);
        let rest = limiter.left_out(begun + Duration::from_secs(200));
        assert_eq!(rest.iter().map(|left_out| left_out.lines).sum::<u64>() + told, limiter.suppressed());
        assert_eq!(rest[0].peer, Some("10.0.0.7".parse().unwrap()));
        assert!(limiter.left_out(begun + Duration::from_secs(300)).is_empty(), "it is told once");
    }

    #[test]
    fn a_loud_peer_takes_no_line_from_another_and_many_peers_are_bounded_together() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        let loud: Vec<Line> = (0..10_000).map(|_| closed("10.0.0.7:1")).collect();
        assert_eq!(written(&mut limiter, "closed", &loud, now), 10);
        assert_eq!(written(&mut limiter, "closed", &[closed("10.0.0.8:1")], now), 1);
        assert_eq!(written(&mut limiter, "refused", &loud, now), 10, "another kind");
        let many: Vec<Line> = (0..100_000u32).map(|at| closed(&IpAddr::V4(at.into()).to_string())).collect();
        assert_eq!(written(&mut limiter, "closed", &many, now), 200 - 11);
        assert!(limiter.ones.len() <= BUCKETS_MAX);
        let all = 10_000 + 1 + 10_000 + 100_000;
        assert_eq!(limiter.suppressed(), all - 10 - 1 - 10 - 189);
        let told = limiter.left_out(now + TELL_EVERY);
        assert_eq!(told.iter().map(|left_out| left_out.lines).sum::<u64>(), limiter.suppressed());
        assert!(told.len() <= 2 * (TOLD_MAX + 1), "{} lines about those of two kinds", told.len());
    }

    #[test]
    fn what_many_peers_were_left_out_with_is_told_of_the_loudest_and_in_sum() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        for peer in 1..=100 {
            let lines: Vec<Line> = (0..10 + peer).map(|_| closed(&format!("10.0.0.{peer}:1"))).collect();
            written(&mut limiter, "closed", &lines, now);
        }
        let told = limiter.left_out(now + TELL_EVERY);
        assert_eq!(told.len(), TOLD_MAX + 1, "a line less for each line that was left out is no help");
        assert_eq!(told[0].peer, Some("10.0.0.100".parse().unwrap()));
        assert_eq!(told[TOLD_MAX].peer, None);
        assert_eq!(told.iter().map(|left_out| left_out.lines).sum::<u64>(), limiter.suppressed());
    }

    #[test]
    fn errors_about_different_files_are_all_there_and_a_repeated_one_is_not() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        let of = |file: usize| line(Level::ERROR, "path", &format!("{file}.log"));
        let different: Vec<Line> = (0..1000).map(of).collect();
        assert_eq!(written(&mut limiter, "damage", &different, now), 1000);
        let later = now + Duration::from_secs(3600);
        let same: Vec<Line> = (0..1000).map(|_| of(7)).collect();
        assert_eq!(written(&mut limiter, "damage", &same, later), 10);
    }

    #[test]
    fn a_full_disk_is_told_a_few_times_whatever_the_partitions_are() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        let lines: Vec<Line> = (0..1000).map(|at| line(Level::WARN, "partition", &at.to_string())).collect();
        assert_eq!(written(&mut limiter, "full", &lines, now), 20);
        assert_eq!(
            limiter.admit("full", &lines[0], now + Duration::from_secs(10)),
            Verdict::Write { left_out: 980 }
        );
    }

    #[test]
    fn what_was_asked_for_is_not_limited() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        let lines: Vec<Line> = (0..5000).map(|_| line(Level::DEBUG, "peer", "10.0.0.7:1")).collect();
        assert_eq!(written(&mut limiter, "connected", &lines, now), 5000);
    }
}
