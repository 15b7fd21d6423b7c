//! Consumer groups in random lives: members that come, go, fall silent, lose answers and are slow to give
//! partitions up; topics that come, grow and go; a log that does not take something; starts. And single
//! rules.

use super::*;
use crate::authorization::tests::sight;
use crate::groups::consumer::member::{AWAY, Stage};
use crate::groups::consumer::patterns::REGEXES_MAX;

mod lives;
mod worst;

const SESSION_MS: i64 = 45_000;
const REBALANCE_MS: i32 = 60_000;

fn topic(number: u8) -> TopicId {
    TopicId::from_bytes([number + 1; 16])
}

fn table(topics: &[(&str, u8, u32)]) -> Arc<TopicTable> {
    Arc::new(TopicTable::of(topics.iter().map(|(name, id, partitions)| (*name, topic(*id), *partitions))))
}

fn settings() -> ConsumerSettings {
    ConsumerSettings { session_timeout_ms: SESSION_MS, assignment_interval_ms: 0, ..Default::default() }
}

/// A group whose epochs count its changes: it begins with 0.
fn group() -> ConsumerGroup {
    ConsumerGroup::unread("g", settings())
}

/// A member that joins.
fn join(id: &str, topics: &[&str]) -> Heartbeat {
    Heartbeat {
        member_id: id.to_owned(),
        rebalance_timeout_ms: Some(REBALANCE_MS),
        topics: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        owned: Some(Assignment::default()),
        ..Default::default()
    }
}

fn join_static(id: &str, instance: &str, topics: &[&str]) -> Heartbeat {
    Heartbeat { instance_id: Some(instance.to_owned()), ..join(id, topics) }
}

/// A member that has nothing new to say.
fn beat(id: &str, epoch: i32) -> Heartbeat {
    Heartbeat { member_id: id.to_owned(), epoch, ..Default::default() }
}

fn owning(id: &str, epoch: i32, owned: &Assignment) -> Heartbeat {
    Heartbeat { owned: Some(owned.clone()), ..beat(id, epoch) }
}

/// What a member is told, or with which code it is refused.
fn say(
    group: &mut ConsumerGroup,
    now: i64,
    topics: &Arc<TopicTable>,
    said: &Heartbeat,
) -> Result<Beat, ErrorCode> {
    said.check().map_err(|refusal| refusal.code)?;
    group.heartbeat(now, topics, said, &mut Vec::new()).map_err(|refusal| refusal.code)
}

fn partitions(beat: &Beat) -> Vec<i32> {
    beat.assignment.as_ref().expect("it is given something").iter().map(|(_, at)| at).collect()
}

#[test]
fn a_partition_is_given_when_the_member_that_had_it_has_given_it_up() {
    let (mut group, topics) = (group(), table(&[("t", 0, 2)]));
    let a = say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    assert_eq!((a.epoch, partitions(&a)), (1, vec![0, 1]));
    assert_eq!(group.state(), State::Stable);
    let b = say(&mut group, 0, &topics, &join("b", &["t"])).unwrap();
    assert_eq!((b.epoch, partitions(&b)), (2, vec![]), "it waits for a");
    assert_eq!(group.state(), State::Reconciling);
    let told = say(&mut group, 1, &topics, &beat("a", 1)).unwrap();
    assert_eq!((told.epoch, partitions(&told)), (1, vec![0]), "it shall give one up");
    let waiting = say(&mut group, 2, &topics, &beat("b", 2)).unwrap();
    assert_eq!(waiting.assignment, None);
    let still = owning("a", 1, &a.assignment.unwrap());
    assert_eq!(say(&mut group, 3, &topics, &still).unwrap().epoch, 1, "it has not given it up");
    let given_up = owning("a", 1, &told.assignment.unwrap());
    assert_eq!(say(&mut group, 4, &topics, &given_up).unwrap().epoch, 2);
    let b = say(&mut group, 5, &topics, &beat("b", 2)).unwrap();
    assert_eq!((b.epoch, partitions(&b)), (2, vec![1]));
    assert_eq!(group.state(), State::Stable);
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_out_and_one_that_is_silent_too() {
    let (mut group, topics) = (group(), table(&[("t", 0, 2)]));
    say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    say(&mut group, 0, &topics, &join("b", &["t"])).unwrap();
    for now in (0..REBALANCE_MS.into()).step_by(10_000) {
        say(&mut group, now, &topics, &beat("a", 1)).unwrap();
        say(&mut group, now, &topics, &beat("b", 2)).unwrap();
        assert!(group.tick(now).is_empty());
    }
    assert!(!group.tick(REBALANCE_MS.into()).is_empty());
    let late = say(&mut group, 60_001, &topics, &beat("a", 1));
    assert_eq!(late, Err(ErrorCode::UnknownMemberId));
    let b = say(&mut group, 60_001, &topics, &beat("b", 2)).unwrap();
    assert_eq!((b.epoch, partitions(&b)), (3, vec![0, 1]));
    assert!(group.tick(60_000 + SESSION_MS).is_empty());
    assert!(!group.tick(60_001 + SESSION_MS).is_empty());
    assert_eq!((group.state(), group.size(), group.wake_at()), (State::Empty, 0, i64::MAX));
}

#[test]
fn epochs_fence() {
    let (mut group, topics) = (group(), table(&[("t", 0, 1), ("u", 1, 1)]));
    let first = say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    assert_eq!(say(&mut group, 0, &topics, &beat("b", 1)), Err(ErrorCode::UnknownMemberId));
    assert_eq!(say(&mut group, 0, &topics, &beat("a", 2)), Err(ErrorCode::FencedMemberEpoch));
    let both = Heartbeat { topics: Some(vec!["t".to_owned(), "u".to_owned()]), ..beat("a", 1) };
    assert_eq!(say(&mut group, 0, &topics, &both).unwrap().epoch, 2);
    // The answer was lost: it comes with the epoch of before, and has no more than it had.
    assert_eq!(say(&mut group, 0, &topics, &beat("a", 1)), Err(ErrorCode::FencedMemberEpoch));
    let before = owning("a", 1, &first.assignment.unwrap());
    assert_eq!(say(&mut group, 0, &topics, &before).unwrap().epoch, 2);
    assert_eq!(group.check_epoch("a", 1), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(group.check_epoch("b", 1), Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.check_epoch("a", 2), Ok(()));
    let again = say(&mut group, 0, &topics, &join("a", &["t", "u"])).unwrap();
    assert_eq!((again.epoch, partitions(&again)), (2, vec![0, 0]), "one that joins is told all");
}

/// KIP-1251.
#[test]
fn offsets_are_taken_in_every_epoch_since_their_partition_was_given() {
    let (mut group, topics) = (group(), table(&[("t", 0, 2), ("u", 1, 1)]));
    let first = say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    let both = Heartbeat { topics: Some(vec!["t".to_owned(), "u".to_owned()]), ..beat("a", first.epoch) };
    let second = say(&mut group, 0, &topics, &both).unwrap();
    assert_eq!((first.epoch, second.epoch), (1, 2));
    let (t, u) = (topics.by_name("t").unwrap().id, topics.by_name("u").unwrap().id);
    let stale = Err(ErrorCode::StaleMemberEpoch);
    let check = |group: &ConsumerGroup, epoch, partitions: &[(Option<TopicId>, i32)]| {
        group.check_commit("a", epoch, partitions.iter().copied())
    };
    let all = [(Some(t), 0), (Some(t), 1), (Some(u), 0)];
    assert_eq!(check(&group, 2, &all), Ok(()));
    assert_eq!(check(&group, 1, &all[..2]), Ok(()), "it has these since then");
    assert_eq!(check(&group, 1, &all), stale);
    assert_eq!(check(&group, 0, &all[..1]), stale);
    assert_eq!(check(&group, 3, &all[..1]), stale);
    assert_eq!(check(&group, 1, &[(None, 0)]), stale, "of a topic that there is not");
    assert_eq!(check(&group, 1, &[(Some(t), 7)]), stale);
    // It has to give one of them up, and may say how far it was read until it has.
    say(&mut group, 0, &topics, &join("b", &["t"])).unwrap();
    let told = say(&mut group, 0, &topics, &beat("a", 2)).unwrap().assignment.unwrap();
    assert_eq!((told.len(), told.contains(u, 0)), (2, true));
    assert_eq!(check(&group, 1, &all[..2]), Ok(()));
    // As the log has it.
    let id = MemberKey { group: "g".to_owned(), member_id: "a".to_owned() };
    let value = group.members["a"].held.to_value();
    let mut loaded = ConsumerGroup::unread("g", group.settings);
    loaded.load(ConsumerChange::Current(id, Some(value)));
    assert_eq!(loaded.members["a"].held, group.members["a"].held);
    let given_up = say(&mut group, 0, &topics, &owning("a", 2, &told)).unwrap();
    assert_eq!(given_up.epoch, 3);
    let kept = told.iter().map(|(topic, at)| (Some(topic), at)).collect::<Vec<_>>();
    assert_eq!(check(&group, 2, &kept), Ok(()));
    assert_eq!(check(&group, 2, &all), stale);
}

#[test]
fn a_static_member_that_has_left_for_a_while_comes_back_to_what_it_had() {
    let (mut group, topics) = (group(), table(&[("t", 0, 2)]));
    say(&mut group, 0, &topics, &join_static("a", "i", &["t"])).unwrap();
    let other = join_static("b", "i", &["t"]);
    assert_eq!(say(&mut group, 0, &topics, &other), Err(ErrorCode::UnreleasedInstanceId));
    let away = Heartbeat { instance_id: Some("i".to_owned()), ..beat("a", AWAY) };
    assert_eq!(say(&mut group, 0, &topics, &away).unwrap().epoch, AWAY);
    let back = say(&mut group, 0, &topics, &other).unwrap();
    assert_eq!((back.epoch, partitions(&back)), (1, vec![0, 1]), "nothing was shared out again");
    let old = Heartbeat { instance_id: Some("i".to_owned()), ..beat("a", 1) };
    assert_eq!(say(&mut group, 0, &topics, &old), Err(ErrorCode::FencedInstanceId));
    let away = Heartbeat { instance_id: Some("i".to_owned()), ..beat("b", AWAY) };
    say(&mut group, 0, &topics, &away).unwrap();
    assert_eq!(say(&mut group, 0, &topics, &other).unwrap().epoch, 1, "under the id that it had");
    let gone = Heartbeat { instance_id: Some("i".to_owned()), ..beat("b", -1) };
    say(&mut group, 0, &topics, &gone).unwrap();
    assert_eq!(group.size(), 0);
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let (mut group, topics) = (group(), table(&[]));
    let mut refused = |said: Heartbeat| say(&mut group, 0, &topics, &said).unwrap_err();
    let invalid = ErrorCode::InvalidRequest;
    assert_eq!(refused(join("", &["t"])), invalid);
    assert_eq!(refused(Heartbeat { owned: None, ..join("a", &["t"]) }), invalid);
    assert_eq!(refused(Heartbeat { topics: None, ..join("a", &[]) }), invalid);
    assert_eq!(refused(Heartbeat { rebalance_timeout_ms: None, ..join("a", &["t"]) }), invalid);
    assert_eq!(refused(join_static("a", "", &["t"])), invalid);
    assert_eq!(refused(beat("a", -3)), invalid);
    assert_eq!(refused(beat("a", AWAY)), invalid);
    let odd = Heartbeat { assignor: Some("odd".to_owned()), ..join("a", &["t"]) };
    assert_eq!(refused(odd), ErrorCode::UnsupportedAssignor);
    let open = Heartbeat { regex: Some("(".to_owned()), ..join("a", &[]) };
    assert_eq!(refused(open), ErrorCode::InvalidRegularExpression);
    let closing = Heartbeat { regex: Some("a)|(b".to_owned()), ..join("a", &[]) };
    assert_eq!(refused(closing), ErrorCode::InvalidRegularExpression);
    assert_eq!((group.size(), group.epoch()), (0, 0), "nothing has changed");
    group.settings.size_max = 1;
    say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    assert_eq!(say(&mut group, 0, &topics, &join("b", &["t"])), Err(ErrorCode::GroupMaxSizeReached));
}

#[test]
fn topics_that_come_and_grow_are_shared_out_with_the_next_beat() {
    let mut group = group();
    let a = say(&mut group, 0, &table(&[]), &join("a", &["t"])).unwrap();
    assert_eq!((a.epoch, partitions(&a)), (1, vec![]));
    let with_other = table(&[("u", 1, 1)]);
    assert_eq!(say(&mut group, 0, &with_other, &beat("a", 1)).unwrap().epoch, 1);
    let there = say(&mut group, 0, &table(&[("t", 0, 1)]), &beat("a", 1)).unwrap();
    assert_eq!((there.epoch, partitions(&there)), (2, vec![0]));
    let grown = say(&mut group, 0, &table(&[("t", 0, 2)]), &beat("a", 2)).unwrap();
    assert_eq!((grown.epoch, partitions(&grown)), (3, vec![0, 1]));
    let gone = say(&mut group, 0, &with_other, &beat("a", 3)).unwrap();
    assert!(partitions(&gone).is_empty());
}

fn is_subscribed(group: &ConsumerGroup, topic: &str) -> bool {
    !group.subscribed(&[topic, "other"]).is_empty()
}

#[test]
fn a_regular_expression_matches_whole_names_and_topics_that_come() {
    let mut group = group();
    let describe = Heartbeat { topics: None, regex: Some("o|t.*".to_owned()), ..join("a", &[]) };
    let a = say(&mut group, 0, &table(&[("t1", 0, 1), ("at", 1, 1)]), &describe).unwrap();
    assert_eq!(partitions(&a), vec![0]);
    assert!(is_subscribed(&group, "t1") && !is_subscribed(&group, "at"));
    let more = say(&mut group, 0, &table(&[("t1", 0, 1), ("t2", 2, 1)]), &beat("a", 1)).unwrap();
    assert_eq!((more.epoch, partitions(&more)), (2, vec![0, 0]));
    let none = Heartbeat { topics: Some(vec![]), regex: Some(String::new()), ..beat("a", 2) };
    let nothing = say(&mut group, 0, &table(&[("t1", 0, 1), ("t2", 2, 1)]), &none).unwrap();
    assert!(partitions(&nothing).is_empty() && !is_subscribed(&group, "t1"));
}

#[test]
fn a_record_of_an_expression_that_another_broker_wrote_goes_with_the_last_that_uses_it() {
    let mut group = group();
    let key = || RegexKey { group: "g".to_owned(), regex: "t.*".to_owned() };
    group.load(ConsumerChange::Regex(key(), Some(Default::default())));
    let about = About { regex: Some("t.*".to_owned()), ..Default::default() };
    let member = MemberKey { group: "g".to_owned(), member_id: "a".to_owned() };
    group.load(ConsumerChange::Member(member, Some(about.to_value())));
    group.resume(0);
    let knows = is_subscribed(&group, "t1") && !is_subscribed(&group, "at");
    assert!(knows, "nothing of it was written down");
    let mut changes = Vec::new();
    group.heartbeat(0, &table(&[]), &beat("a", -1), &mut changes).unwrap();
    assert!(changes.contains(&ConsumerChange::Regex(key(), None)), "{changes:?}");
}

#[test]
fn d11_a_group_has_a_bounded_number_of_expressions_and_a_member_of_names() {
    let (mut group, topics) = (group(), table(&[]));
    let describe = |at: usize| Heartbeat {
        topics: None,
        regex: Some(format!("t{at}.*")),
        ..join(&format!("m{at}"), &[])
    };
    (0..REGEXES_MAX).for_each(|at| _ = say(&mut group, 0, &topics, &describe(at)).unwrap());
    let one_more = describe(REGEXES_MAX);
    assert_eq!(say(&mut group, 0, &topics, &one_more), Err(ErrorCode::InvalidRegularExpression));
    let shared = Heartbeat { regex: Some("t0.*".to_owned()), ..one_more.clone() };
    say(&mut group, 0, &topics, &shared).unwrap();
    say(&mut group, 0, &topics, &beat("m1", -1)).unwrap();
    say(&mut group, 0, &topics, &Heartbeat { member_id: "other".to_owned(), ..one_more }).unwrap();
    let names = vec!["n".repeat(1 << 19); 3];
    let many = Heartbeat { topics: Some(names), ..join("many", &[]) };
    assert_eq!(say(&mut group, 0, &topics, &many), Err(ErrorCode::InvalidRequest));
}

#[test]
fn members_that_come_within_the_interval_are_taken_together() {
    let settings = ConsumerSettings { assignment_interval_ms: 1000, ..settings() };
    let (mut group, topics) = (ConsumerGroup::new("g", settings), table(&[("t", 0, 2)]));
    let a = say(&mut group, 5000, &topics, &join("a", &["t"])).unwrap();
    assert_eq!((a.epoch, partitions(&a)), (2, vec![0, 1]), "the first does not wait");
    let b = say(&mut group, 5100, &topics, &join("b", &["t"])).unwrap();
    assert_eq!((b.epoch, partitions(&b), group.epoch()), (2, vec![], 3));
    say(&mut group, 5200, &topics, &join("c", &["t"])).unwrap();
    assert_eq!((group.state(), group.epoch()), (State::Assigning, 4));
    let a = say(&mut group, 5999, &topics, &beat("a", 2)).unwrap();
    assert_eq!((a.epoch, a.assignment), (2, None));
    let a = say(&mut group, 6000, &topics, &beat("a", 2)).unwrap();
    assert_eq!((partitions(&a), group.state()), (vec![0], State::Reconciling), "one for all three");
    // A clock that was set back holds nobody up.
    group.surveyed_at = 1_000_000;
    say(&mut group, 7000, &topics, &beat("c", -1)).unwrap();
    say(&mut group, 7001, &topics, &beat("b", 2)).unwrap();
    assert_ne!(group.state(), State::Assigning);
}

#[test]
fn d11_a_long_survey_goes_on_beside_the_group_and_counts_for_those_who_are_still_there() {
    let settings = ConsumerSettings { units_at_once: 0, ..settings() };
    let (mut group, topics) = (ConsumerGroup::new("g", settings), table(&[("t", 0, 3)]));
    let a = say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    assert_eq!((a.epoch, partitions(&a), group.state()), (1, vec![], State::Assigning));
    say(&mut group, 0, &topics, &join_static("b", "i", &["t"])).unwrap();
    let ongoing = group.take_ongoing().expect("it is too long for a heartbeat");
    assert!(group.take_ongoing().is_none(), "one at a time");
    let (found, token) = (ongoing.working.finish_now(), ongoing.token);
    say(&mut group, 0, &topics, &beat("a", -1)).unwrap();
    assert!(
        !group
            .surveyed(1, &Rc::new(()), Found { topics: topics.clone(), hash: 1, targets: None })
            .iter()
            .any(|_| true)
    );
    group.surveyed(1, &token, found);
    assert_eq!(group.state(), State::Assigning, "others have come and gone since");
    let b = Heartbeat { instance_id: Some("i".to_owned()), ..beat("b", 1) };
    say(&mut group, 2, &topics, &b).unwrap();
    let ongoing = group.take_ongoing().unwrap();
    // It comes back under another id while the survey is on its way.
    let away = Heartbeat { epoch: AWAY, ..b };
    say(&mut group, 3, &topics, &away).unwrap();
    say(&mut group, 3, &topics, &join_static("c", "i", &["t"])).unwrap();
    group.surveyed(4, &ongoing.token, ongoing.working.finish_now());
    let c = Heartbeat { instance_id: Some("i".to_owned()), ..beat("c", 2) };
    let c = say(&mut group, 5, &topics, &c).unwrap();
    assert_eq!((partitions(&c), group.state()), (vec![0, 1, 2], State::Stable));
}

/// The topics that a member has, of the first in the table on.
fn numbers(beat: &Beat) -> Vec<u8> {
    let given = beat.assignment.as_ref().expect("it is given something");
    given.topics().map(|(topic, _)| topic.to_bytes()[0] - 1).collect()
}

/// A member that describes all topics, of a user who may describe these; others may describe none.
fn describing(id: &str, user: &str, allowed: &[&str]) -> Heartbeat {
    let sight = Some(sight(user, allowed));
    Heartbeat { topics: Some(Vec::new()), regex: Some(".*".to_owned()), sight, ..join(id, &[]) }
}

#[test]
fn a_member_gets_of_the_topics_that_it_describes_those_that_it_may() {
    let (mut group, topics) = (group(), table(&[("t", 0, 1), ("u", 1, 1), ("v", 2, 1)]));
    let told = say(&mut group, 0, &topics, &describing("a", "a", &["t", "u"])).unwrap();
    assert_eq!(numbers(&told), [0, 1]);
    let seeing = |epoch, allowed: &[&str]| Heartbeat { sight: Some(sight("a", allowed)), ..beat("a", epoch) };
    assert_eq!(say(&mut group, 0, &topics, &seeing(1, &["t", "u"])).unwrap().assignment, None);
    let told = say(&mut group, 0, &topics, &seeing(1, &["t", "u", "v"])).unwrap();
    assert_eq!((told.epoch, numbers(&told)), (2, vec![0, 1, 2]), "the rules allow more");
    let told = say(&mut group, 0, &topics, &seeing(2, &["t"])).unwrap();
    assert_eq!((told.epoch, numbers(&told)), (2, vec![0]), "and less: it is to give the others up");
    let given_up = Heartbeat { sight: Some(sight("a", &["t"])), ..owning("a", 2, &told.assignment.unwrap()) };
    assert_eq!(say(&mut group, 0, &topics, &given_up).unwrap().epoch, 3);
    // The same expression of a user that sees other topics is another subscription, in the same epoch too.
    let told = say(&mut group, 0, &topics, &describing("b", "b", &["t", "u"])).unwrap();
    assert_eq!(numbers(&told), [0; 0]);
    let named = Heartbeat { topics: Some(vec!["v".to_owned()]), ..describing("c", "c", &[]) };
    assert_eq!(numbers(&say(&mut group, 0, &topics, &named).unwrap()), [2], "what is named was asked for");
    let everybody = Heartbeat { sight: None, ..describing("d", "d", &[]) };
    say(&mut group, 0, &topics, &everybody).unwrap();
    let given: usize = group.targets.values().map(|target| target.len()).sum();
    assert_eq!(given, 3, "without an authorizer all is seen");
}

#[test]
fn after_a_start_no_topic_is_given_before_it_is_known_who_may_describe_it() {
    let (mut group, topics) = (group(), table(&[("t", 0, 1)]));
    let mut log = Vec::new();
    for said in [describing("a", "a", &["t"]), describing("b", "b", &["t"])] {
        group.heartbeat(0, &topics, &said, &mut log).unwrap();
    }
    let mut group = ConsumerGroup::unread("g", settings());
    log.into_iter().for_each(|change| group.load(change));
    group.resume(0);
    let more = table(&[("t", 0, 1), ("u", 1, 1)]);
    let says = |group: &mut ConsumerGroup, id: &str| {
        let epoch = group.members[id].held.epoch;
        let said = Heartbeat { sight: Some(sight(id, &["t", "u"])), ..beat(id, epoch) };
        say(group, 1, &more, &said).unwrap()
    };
    assert_eq!(says(&mut group, "a").assignment, None, "b has yet to say who it is");
    says(&mut group, "b");
    let told = says(&mut group, "a");
    // Rules of the moment are those that came last, by which `a` alone sees topics.
    assert!(numbers(&told).contains(&1), "{told:?}");
}
