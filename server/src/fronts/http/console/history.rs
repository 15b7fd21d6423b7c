//! What the broker did over the last day, in memory alone: a start begins anew.
//!
//! ```text
//! every 15 s a sample > what was counted since the step began > the last of 288 steps of 5 minutes
//! ```
//! It is bounded: [`TRACKS_MAX`] topics and as many groups have lines, the others have what is now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::{Durations, ShardReport, ShardStats};

use super::sample::Sample;

/// How long a step is.
const STEP_MS: i64 = 300_000;

/// Steps of a day.
pub(super) const STEPS: usize = 288;

/// Steps of an hour.
pub(super) const HOUR: usize = 12;

/// Topics, and groups, that have lines.
pub(super) const TRACKS_MAX: usize = 512;

/// So much has to be seen before there is a forecast, and so much is looked at.
const FORECAST_MIN_MS: i64 = 900_000;
const FORECAST_STEPS: usize = 72;

/// What shards have counted, together.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Syncs by how long they took; the last are those above all bounds.
    pub(super) syncs: Vec<u64>,
    /// Journal writes.
    pub(super) commits: u64,
    /// Records that they carried.
    pub(super) records: u64,
    /// Bytes that were appended.
    pub(super) bytes: u64,
    /// Bytes that were read.
    pub(super) read_bytes: u64,
}

impl Totals {
    fn of(shards: &[ShardReport]) -> Totals {
        let stats: Vec<ShardStats> = shards.iter().map(|shard| shard.stats).collect();
        let sum = ShardStats::sum(&stats);
        let durations: &Durations = &sum.sync_durations;
        let (mut syncs, mut before) = (Vec::new(), 0);
        for (_, up_to) in durations.cumulative() {
            syncs.push(up_to - before);
            before = up_to;
        }
        syncs.push(durations.count() - before);
        Totals {
            syncs,
            commits: sum.journal_commits,
            records: sum.journal_records,
            bytes: sum.bytes,
            read_bytes: sum.read_bytes,
        }
    }

    /// What has come since.
    fn since(&self, before: &Totals) -> Totals {
        let earlier = before.syncs.iter().copied().chain(std::iter::repeat(0));
        Totals {
            syncs: self.syncs.iter().zip(earlier).map(|(now, before)| now.saturating_sub(before)).collect(),
            commits: self.commits.saturating_sub(before.commits),
            records: self.records.saturating_sub(before.records),
            bytes: self.bytes.saturating_sub(before.bytes),
            read_bytes: self.read_bytes.saturating_sub(before.read_bytes),
        }
    }

    fn add(&mut self, more: &Totals) {
        self.syncs.resize(self.syncs.len().max(more.syncs.len()), 0);
        self.syncs.iter_mut().zip(&more.syncs).for_each(|(sum, more)| *sum += more);
        self.commits += more.commits;
        self.records += more.records;
        self.bytes += more.bytes;
        self.read_bytes += more.read_bytes;
    }

    /// The time that so many of a hundred syncs did not pass: a bound of the histogram; `None` without syncs,
    /// `Some(None)` above all bounds.
    pub(super) fn sync_time(&self, percent: u64) -> Option<Option<Duration>> {
        let count: u64 = self.syncs.iter().sum();
        let wanted = (count * percent).div_ceil(100);
        let mut bounds =
            Durations::default().cumulative().map(|(bound, _)| bound).collect::<Vec<_>>().into_iter();
        let mut seen = 0;
        for bucket in &self.syncs {
            let bound = bounds.next();
            seen += bucket;
            if count > 0 && seen >= wanted {
                return Some(bound);
            }
        }
        None
    }

    /// Records that each journal write carried.
    pub(super) fn records_per_sync(&self) -> Option<f64> {
        (self.commits > 0).then(|| self.records as f64 / self.commits as f64)
    }
}

/// Five minutes.
#[derive(Debug, Default)]
struct Step {
    /// When it began, in milliseconds since 1970.
    at: i64,
    /// What was counted in it.
    done: Totals,
    /// How much of it was seen.
    seen_ms: i64,
    /// What was free on the disk, and when that was.
    free: Option<(i64, u64)>,
}

/// A value for each step that has one.
#[derive(Debug, Default)]
struct Series(VecDeque<(i64, f32)>);

impl Series {
    fn note(&mut self, step: i64, value: f32) {
        match self.0.back_mut().filter(|(at, _)| *at == step) {
            Some((_, last)) => *last = value,
            None => self.0.push_back((step, value)),
        }
        while self.0.len() > STEPS {
            self.0.pop_front();
        }
    }

    fn points(&self, newest: i64) -> Vec<Option<f32>> {
        let mut points = vec![None; STEPS];
        for (step, value) in &self.0 {
            let back = usize::try_from((newest - step) / STEP_MS).unwrap_or(STEPS);
            if let Some(point) = (STEPS - 1).checked_sub(back).and_then(|at| points.get_mut(at)) {
                *point = Some(*value);
            }
        }
        points
    }
}

/// A topic's counter in the step that runs.
#[derive(Debug, Default)]
struct Track {
    began_with: u64,
    rates: Series,
}

/// How much comes to a topic now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    /// Bytes a second that are appended.
    pub(super) bytes_in: f64,
    /// Records a second that are.
    pub(super) records_in: f64,
    /// Bytes a second that are read.
    pub(super) bytes_out: f64,
}

/// The last day.
#[derive(Default)]
pub(super) struct History {
    now: Option<Arc<Sample>>,
    rates: BTreeMap<String, Rate>,
    steps: VecDeque<Step>,
    /// What had been counted when the step began that runs, and when that was.
    began_with: Totals,
    began_at: i64,
    topics: BTreeMap<String, Track>,
    groups: BTreeMap<String, Series>,
}

/// What the disk will come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forecast {
    /// It was not looked at for long enough.
    Unknown,
    /// It does not fill up.
    Never,
    /// It is full after this long, if it goes on like that.
    In(Duration),
}

impl History {
    /// Takes in a sample.
    pub(super) fn note(&mut self, sample: Sample) {
        let before = self.now.take();
        // A clock that is set back makes no steps in the past.
        let last = self.steps.back().map_or(i64::MIN, |step| step.at);
        let step = (sample.at.div_euclid(STEP_MS) * STEP_MS).max(last);
        let is_new = step > last;
        if is_new {
            let (at, totals) = match &before {
                Some(before) => (before.at, Totals::of(&before.shards)),
                None => (sample.at, Totals::of(&sample.shards)),
            };
            (self.began_at, self.began_with) = (at, totals);
            self.steps.push_back(Step { at: step, ..Step::default() });
            if self.steps.len() > STEPS {
                self.steps.pop_front();
            }
        }
        let seen_ms = (sample.at - self.began_at).max(0);
        if let Some(last) = self.steps.back_mut() {
            last.done = Totals::of(&sample.shards).since(&self.began_with);
            last.seen_ms = seen_ms;
            last.free = sample.disk.map(|disk| (sample.at, disk.free));
        }
        self.note_rates(before.as_deref(), &sample);
        self.note_topics(before.as_deref(), &sample, step, is_new);
        let known: std::collections::BTreeSet<&str> =
            sample.groups.iter().map(|group| group.group.as_str()).collect();
        self.groups.retain(|group, _| known.contains(group.as_str()));
        for group in &sample.groups {
            if !self.groups.contains_key(&group.group) && self.groups.len() >= TRACKS_MAX {
                continue;
            }
            self.groups.entry(group.group.clone()).or_default().note(step, group.lag() as f32);
        }
        self.now = Some(Arc::new(sample));
    }

    fn note_rates(&mut self, before: Option<&Sample>, sample: &Sample) {
        let Some(before) = before else { return };
        let seconds = sample.taken.saturating_duration_since(before.taken).as_secs_f64().max(0.001);
        self.rates.clear();
        for (name, now) in &sample.topics {
            let then = before.topics.get(name).copied().unwrap_or_default().traffic;
            let now = now.traffic;
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
            let rate = Rate {
                bytes_in: rate(now.bytes, then.bytes),
                records_in: rate(now.records, then.records),
                bytes_out: rate(now.read_bytes, then.read_bytes),
            };
            if rate.bytes_in > 0.0 || rate.bytes_out > 0.0 {
                self.rates.insert(name.clone(), rate);
            }
        }
    }

    fn note_topics(&mut self, before: Option<&Sample>, sample: &Sample, step: i64, is_new: bool) {
        self.topics.retain(|name, _| sample.topics.contains_key(name));
        let seconds = (sample.at - self.began_at).max(1) as f64 / 1e3;
        for (name, now) in &sample.topics {
            let now = now.traffic.bytes;
            let is_known = self.topics.contains_key(name);
            if !is_known && (now == 0 || self.topics.len() >= TRACKS_MAX) {
                continue;
            }
            let track = self.topics.entry(name.clone()).or_default();
            if is_new || !is_known {
                // What was there at the first look came at a time that nobody knows.
                let then = before.and_then(|before| before.topics.get(name));
                let unseen = if before.is_some() { 0 } else { now };
                track.began_with = then.map_or(unseen, |then| then.traffic.bytes);
            }
            // A topic of the same name begins anew.
            track.began_with = track.began_with.min(now);
            track.rates.note(step, ((now - track.began_with) as f64 / seconds) as f32);
        }
    }

    /// The newest sample.
    pub(super) fn now(&self) -> Option<Arc<Sample>> {
        self.now.clone()
    }

    fn newest(&self) -> i64 {
        self.steps.back().map_or(0, |step| step.at)
    }

    /// What comes to a topic now.
    pub(super) fn rate(&self, topic: &str) -> Rate {
        self.rates.get(topic).copied().unwrap_or_default()
    }

    /// The bytes a second that came to a topic, where it has a line.
    pub(super) fn topic(&self, topic: &str) -> Option<Vec<Option<f32>>> {
        Some(self.topics.get(topic)?.rates.points(self.newest()))
    }

    /// How far a group was behind, where it has a line.
    pub(super) fn group(&self, group: &str) -> Option<Vec<Option<f32>>> {
        Some(self.groups.get(group)?.points(self.newest()))
    }

    /// What was counted in the last so many steps, and how long that was seen.
    pub(super) fn last(&self, steps: usize) -> (Totals, Duration) {
        let oldest = self.newest() - (steps as i64 - 1) * STEP_MS;
        let (mut sum, mut seen) = (Totals::default(), 0);
        for step in self.steps.iter().filter(|step| step.at >= oldest) {
            sum.add(&step.done);
            seen += step.seen_ms;
        }
        (sum, Duration::from_millis(seen.max(0) as u64))
    }

    /// A line of what was counted, and for how long, in each step.
    pub(super) fn line(&self, of: impl Fn(&Totals, f64) -> Option<f64>) -> Vec<Option<f32>> {
        let mut series = Series::default();
        for step in self.steps.iter().filter(|step| step.seen_ms > 0) {
            if let Some(value) = of(&step.done, step.seen_ms as f64 / 1e3) {
                series.note(step.at, value as f32);
            }
        }
        series.points(self.newest())
    }

    /// When the disk is full, by what was written over the last hours.
    pub(super) fn forecast(&self) -> Forecast {
        let skipped = self.steps.len().saturating_sub(FORECAST_STEPS);
        let mut seen = self.steps.iter().skip(skipped).filter_map(|step| step.free);
        let (Some((since, then)), Some((at, now))) = (seen.next(), seen.next_back()) else {
            return Forecast::Unknown;
        };
        if at - since < FORECAST_MIN_MS {
            return Forecast::Unknown;
        }
        let lost = then.saturating_sub(now) as f64 / (at - since) as f64;
        let left_ms = now as f64 / lost;
        // More than ten years is never.
        if !left_ms.is_finite() || left_ms > 3.2e11 {
            return Forecast::Never;
        }
        Forecast::In(Duration::from_millis(left_ms as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::sample::{Disk, GroupSum, TopicSum};
    use super::*;
    use strandline_engine::Traffic;

    fn sample(at: i64, began: Instant, bytes: u64, free: u64) -> Sample {
        let traffic = Traffic { bytes, records: bytes / 10, ..Traffic::default() };
        Sample {
            at,
            taken: began + Duration::from_millis(at as u64),
            shards: Vec::new(),
            topics: [("t".to_owned(), TopicSum { bytes, unsized_partitions: 0, traffic })].into(),
            groups: vec![GroupSum { group: "g".to_owned(), lags: vec![("t".to_owned(), at / 1000)] }],
            disk: Some(Disk { bytes: 1 << 40, free }),
        }
    }

    #[test]
    fn a_rate_is_what_came_in_a_step_and_a_day_is_all_that_is_kept() {
        let (mut history, began) = (History::default(), Instant::now());
        // What was there before the first look is no traffic of today.
        for at in (0..=2 * STEP_MS * STEPS as i64).step_by(60_000) {
            history.note(sample(at, began, 1_000_000 + (at as u64 / 1000) * 50, 1 << 40));
        }
        let points = history.topic("t").unwrap();
        assert_eq!(points.len(), STEPS);
        assert!(points.iter().flatten().all(|rate| (49.0..51.0).contains(rate)), "{points:?}");
        assert_eq!(points.iter().flatten().count(), STEPS);
        assert!((history.rate("t").bytes_in - 50.0).abs() < 0.1 && history.rate("nope").bytes_in == 0.0);
        assert_eq!(history.group("g").unwrap()[STEPS - 1], Some((2 * STEP_MS * STEPS as i64 / 1000) as f32));
        assert_eq!((history.steps.len(), history.topics["t"].rates.0.len()), (STEPS, STEPS));
        assert_eq!(history.forecast(), Forecast::Never);
    }

    #[test]
    fn a_topic_that_is_created_anew_begins_anew_and_one_that_is_gone_is_forgotten() {
        let (mut history, began) = (History::default(), Instant::now());
        history.note(sample(0, began, 5_000, 9));
        history.note(sample(15_000, began, 20, 9));
        assert_eq!(history.topic("t").unwrap()[STEPS - 1], Some(0.0));
        let gone = Sample { topics: BTreeMap::new(), groups: Vec::new(), ..sample(30_000, began, 0, 9) };
        history.note(gone);
        assert!(history.topic("t").is_none() && history.group("g").is_none());
        // A clock that is set back is no step.
        history.note(sample(-9 * STEP_MS, began, 20, 9));
        assert_eq!(history.steps.len(), 1);
    }

    #[test]
    fn a_disk_that_loses_a_tenth_in_an_hour_is_full_in_nine() {
        let (mut history, began) = (History::default(), Instant::now());
        history.note(sample(0, began, 0, 10_000_000));
        assert_eq!(history.forecast(), Forecast::Unknown);
        history.note(sample(3_600_000, began, 0, 9_000_000));
        let Forecast::In(left) = history.forecast() else { panic!("{:?}", history.forecast()) };
        assert_eq!(left.as_secs() / 60, 9 * 60);
    }

    #[test]
    fn the_time_of_syncs_is_the_bound_that_they_did_not_pass() {
        let mut durations = Durations::default();
        for us in [40, 60, 60, 20_000_000] {
            durations.note(Duration::from_micros(us));
        }
        let (mut syncs, mut before) = (Vec::new(), 0);
        for (_, up_to) in durations.cumulative() {
            syncs.push(up_to - before);
            before = up_to;
        }
        syncs.push(durations.count() - before);
        let totals = Totals { syncs, commits: 4, records: 10, ..Totals::default() };
        assert_eq!(totals.sync_time(25), Some(Some(Duration::from_micros(50))));
        assert_eq!(totals.sync_time(50), Some(Some(Duration::from_micros(100))));
        assert_eq!(totals.sync_time(99), Some(None));
        assert_eq!(Totals::default().sync_time(50), None);
        assert_eq!(totals.records_per_sync(), Some(2.5));
    }
}
