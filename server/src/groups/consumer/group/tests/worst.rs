//! The worst that members can ask for (D11). How long others wait for it is measured:
//! `cargo test -p strandline --lib worst -- --ignored --nocapture`.

use std::time::Duration;

use super::*;

const TOPICS: usize = 10_000;
const PARTITIONS: u32 = 10;
const MEMBERS: usize = 1000;

fn name(at: usize) -> String {
    format!("orders-of-the-region-{at:05}")
}

fn large_table() -> Arc<TopicTable> {
    let names: Vec<_> = (0..TOPICS).map(name).collect();
    let id = |at: usize| {
        let mut bytes = [7; 16];
        bytes[8..].copy_from_slice(&at.to_be_bytes());
        TopicId::from_bytes(bytes)
    };
    let topics = names.iter().enumerate().map(|(at, name)| (name.as_str(), id(at), PARTITIONS));
    Arc::new(TopicTable::of(topics))
}

/// The time that this thread has had of a core: others build and test meanwhile.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Everybody joins within an interval; then the partitions are shared out, and everybody comes to them.
fn play(name: &str, subscribe: impl Fn(usize) -> Heartbeat) {
    let table = large_table();
    let settings = ConsumerSettings { assignment_interval_ms: 1000, ..settings() };
    let mut group = ConsumerGroup::new("g", settings);
    let mut beats = (Duration::ZERO, Duration::ZERO);
    let survey = |group: &mut ConsumerGroup, now| {
        let Some(Ongoing { working, token }) = group.take_ongoing() else { return };
        let began = cpu();
        let found = working.finish_now();
        let (worked, began) = (cpu() - began, cpu());
        let changes = group.surveyed(now, &token, found);
        let taken_in = cpu() - began;
        println!("{name}: a survey of {worked:?}, taken in within {taken_in:?}, {} changes", changes.len());
    };
    let mut beat = |group: &mut ConsumerGroup, now, said: &Heartbeat| {
        let began = cpu();
        let told = group.heartbeat(now, &table, said, &mut Vec::new());
        let took = cpu() - began;
        beats = (beats.0.max(took), beats.1 + took);
        told
    };
    let mut refused = 0;
    for member in 0..MEMBERS {
        refused += usize::from(beat(&mut group, 1, &subscribe(member)).is_err());
        survey(&mut group, 1);
    }
    let ids: Vec<_> = group.members.keys().cloned().collect();
    for now in [2000, 4000, 6000, 8000] {
        for id in &ids {
            let held = group.members[id].held.clone();
            let said = owning(id, held.epoch, &held.assigned);
            beat(&mut group, now, &said).unwrap();
            survey(&mut group, now);
        }
    }
    println!("{name}: beats took {beats:?} (longest, all); {refused} refused; {}", group.state());
}

#[test]
#[ignore = "measures"]
fn worst() {
    let all = || (0..TOPICS).map(name).collect::<Vec<_>>();
    let id = |at: usize| format!("m{at:04}");
    let describe = |at, regex: String| Heartbeat { topics: None, regex: Some(regex), ..join(&id(at), &[]) };
    play("even", |at| Heartbeat { topics: Some(all()), ..join(&id(at), &[]) });
    play("uneven", |at| {
        let mut topics = all();
        topics.remove(at);
        Heartbeat { topics: Some(topics), ..join(&id(at), &[]) }
    });
    play("one expression", |at| describe(at, "orders.*".to_owned()));
    play("expressions", |at| describe(at, format!("orders.*|x{at}")));
    let hard = |at| format!("(.*o.*|.*r.*|.*[a-z]{{30}}[0-9]{{40}}){{1,3}}.*x{at}");
    play("hard expressions", |at| describe(at, hard(at)));
}
