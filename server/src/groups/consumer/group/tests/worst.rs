//! The worst that members can ask for (D11): how much of it is done between two looks at whether others wait.

use super::*;

const TOPICS: usize = 4000;
const PARTITIONS: u32 = 10;
const MEMBERS: usize = 100;

/// The most that is done at once, in units: one pass over all topics, never topics times members.
const STEP_MAX: usize = TOPICS + MEMBERS;

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

/// Everybody joins within an interval; then the partitions are shared out, and everybody comes to them.
fn play(case: &str, subscribe: impl Fn(usize) -> Heartbeat) {
    let table = large_table();
    let settings = ConsumerSettings { assignment_interval_ms: 1000, ..settings() };
    let mut group = ConsumerGroup::new("g", settings);
    let (mut longest, mut surveys) = (0, 0);
    let mut survey = |group: &mut ConsumerGroup, at| {
        let Some(Ongoing { working, token }) = group.take_ongoing() else { return };
        let pace = working.pace();
        let found = working.finish_now();
        group.surveyed(at, &token, found);
        (longest, surveys) = (pace.longest().max(longest), surveys + 1);
    };
    for member in 0..MEMBERS {
        group.heartbeat(1, &table, &subscribe(member), &mut Vec::new()).unwrap();
        survey(&mut group, 1);
    }
    let ids: Vec<_> = group.members.keys().cloned().collect();
    for at in [2000, 4000, 6000, 8000] {
        for id in &ids {
            let held = group.members[id].held.clone();
            let said = owning(id, held.epoch, &held.assigned);
            group.heartbeat(at, &table, &said, &mut Vec::new()).unwrap();
            survey(&mut group, at);
        }
    }
    assert!(surveys > 0, "{case}: it is too long for a heartbeat");
    assert!(longest <= STEP_MAX, "{case}: a step of {longest} units");
    assert_eq!(group.state(), State::Stable, "{case}");
}

#[test]
fn d11_no_step_of_a_survey_is_as_long_as_members_times_topics() {
    let all = || (0..TOPICS).map(name).collect::<Vec<_>>();
    let id = |at: usize| format!("m{at:04}");
    let describe = |at, regex: String| Heartbeat { topics: None, regex: Some(regex), ..join(&id(at), &[]) };
    play("even", |at| Heartbeat { topics: Some(all()), ..join(&id(at), &[]) });
    play("uneven", |at| {
        let mut topics = all();
        topics.remove(at);
        Heartbeat { topics: Some(topics), ..join(&id(at), &[]) }
    });
    play("expressions", |at| describe(at, format!("orders.*|x{at}")));
    let hard = |at| format!(".*o.*r.*[0-9]{{2}}.*x{at}");
    play("hard expressions", |at| describe(at, hard(at)));
}
