//! Rules forwards and backwards, what is refused, and what filters lead to.

use super::*;
use crate::topic;

const FLEET: &str = "
    truck/{id}/position -> truck_position key={id}
    building/{b}/{path#} -> building_{b} key={path}
    raw/+/# -> raw
";

fn fleet() -> Rules {
    Rules::parse(FLEET, "mqtt").unwrap()
}

fn wrong(text: &str) -> Wrong {
    Rules::parse(text, "mqtt").expect_err("it is refused").what
}

#[test]
fn the_first_rule_that_matches_says_the_place() {
    let place = |topic: &str| {
        let place = fleet().place(topic).unwrap();
        (place.topic, place.key)
    };
    assert_eq!(place("truck/7/position"), ("truck_position".into(), "7".into()));
    assert_eq!(place("building/b1/floor/3/door"), ("building_b1".into(), "floor/3/door".into()));
    assert_eq!(place("raw/x"), ("raw".into(), "raw/x".into()));
    assert_eq!(place("building/b1"), ("mqtt".into(), "building/b1".into()));
    assert_eq!(place("anything"), ("mqtt".into(), "anything".into()));
}

#[test]
fn a_topic_that_makes_no_kafka_name_has_no_place() {
    assert_eq!(fleet().place("$SYS/x"), Err(NoPlace::Reserved));
    assert_eq!(fleet().place("building/ä/x"), Err(NoPlace::Topic("building_ä".into())));
    let rules = Rules::parse("{t}/x -> {t}", "mqtt").unwrap();
    assert_eq!(rules.place("__consumer_offsets/x"), Err(NoPlace::Topic("__consumer_offsets".into())));
    assert_eq!(rules.place("../x"), Err(NoPlace::Topic("..".into())));
    assert_eq!(rules.place("/x"), Err(NoPlace::Topic(String::new())));
    assert_eq!(rules.place(&format!("{}/x", "a".repeat(250))), Err(NoPlace::Topic("a".repeat(250))));
}

#[test]
fn records_of_kafka_producers_have_a_topic() {
    let topic_of = |topic: &str, key: &str| fleet().topic_of("", topic, Some(key.as_bytes()));
    assert_eq!(topic_of("truck_position", "7").as_deref(), Some("truck/7/position"));
    assert_eq!(topic_of("building_b1", "floor/3").as_deref(), Some("building/b1/floor/3"));
    assert_eq!(topic_of("mqtt", "any/thing").as_deref(), Some("any/thing"));
    assert_eq!(topic_of("raw", "raw/x").as_deref(), Some("raw/x"));
    // A key that says another topic than would lead here, one that is no topic, none at all.
    assert_eq!(topic_of("mqtt", "truck/7/position"), None);
    assert_eq!(topic_of("truck_position", "7/8"), None);
    assert_eq!(topic_of("truck_position", "+"), None);
    assert_eq!(topic_of("elsewhere", "x"), None);
    assert_eq!(fleet().topic_of("", "truck_position", None), None);
    assert_eq!(fleet().topic_of("", "truck_position", Some(&[0xff])), None);
}

#[test]
fn a_header_is_believed_when_it_leads_to_the_record() {
    let rules = fleet();
    let of = |said: &str, topic: &str, key: &str| rules.topic_of(said, topic, Some(key.as_bytes()));
    assert_eq!(of("truck/7/position", "truck_position", "7").as_deref(), Some("truck/7/position"));
    // Whoever may write to one Kafka topic does not thereby reach subscribers of another topic.
    assert_eq!(of("secret/door", "truck_position", "7"), None);
    assert_eq!(of("truck/8/position", "truck_position", "7"), None);
    assert_eq!(of("truck/#", "truck_position", "7"), None);
    // What a rule does not keep, the header alone says.
    let rules = Rules::parse("truck/{id}/+ -> t key={id}", "mqtt").unwrap();
    assert_eq!(rules.topic_of("", "t", Some(b"7")), None);
    assert_eq!(rules.topic_of("truck/7/speed", "t", Some(b"7")).as_deref(), Some("truck/7/speed"));
}

#[test]
fn what_is_ambiguous_is_refused_at_the_start() {
    assert_eq!(wrong("a/{x} -> t\na/+ -> u"), Wrong::Shadowed(1));
    assert_eq!(wrong("a/# -> t\na -> u"), Wrong::Shadowed(1));
    assert_eq!(wrong("truck/{id} -> t key={id}; bus/{id} -> t key={id}"), Wrong::Ambiguous(1));
    assert!(Rules::parse("truck/{id} -> t key=t-{id}; bus/{id} -> t key=b-{id}", "mqtt").is_ok());
    assert!(Rules::parse("truck/{id} -> t; bus/{id} -> t", "mqtt").is_ok(), "their keys are their topics");
    assert_eq!(wrong("truck/{id} -> mqtt key={id}"), Wrong::Ambiguous(1), "with the default");
    assert_eq!(wrong("truck/{id} -> fleet_{id} key=x; bus/1 -> fleet_1 key=x"), Wrong::Ambiguous(1));
    assert_eq!(wrong("a/{x}/{y} -> t key={x}-{y}"), Wrong::Key);
    assert_eq!(wrong("a/{x}/{y} -> t key={x}{y}"), Wrong::Key);
    assert_eq!(wrong("a/{x}/{y#} -> t key={y}/{x}"), Wrong::Key);
    assert!(Rules::parse("a/{x}/{y} -> t key={x}-/-{y}", "mqtt").is_ok());
    assert!(Rules::parse("a/{x}/{y#} -> t key={x}/{y}", "mqtt").is_ok());
}

#[test]
fn what_is_no_rule_is_refused_with_its_line() {
    assert_eq!(wrong("a"), Wrong::Form);
    assert_eq!(wrong("a -> "), Wrong::Form);
    assert_eq!(wrong("a -> t value=1"), Wrong::Form);
    assert_eq!(wrong("a -> t key=1 2"), Wrong::Form);
    assert_eq!(wrong("a/{x -> t"), Wrong::Pattern("a/{x".into()));
    assert_eq!(wrong("a/#/b -> t"), Wrong::Pattern("a/#/b".into()));
    assert_eq!(wrong("a/{x#}/b -> t"), Wrong::Pattern("a/{x#}/b".into()));
    assert_eq!(wrong("a/b+ -> t"), Wrong::Pattern("a/b+".into()));
    assert_eq!(wrong("{x}/{x} -> t"), Wrong::Twice("x".into()));
    assert_eq!(wrong("{x} -> t key={y}"), Wrong::Unknown("y".into()));
    assert_eq!(wrong("a -> t/u"), Wrong::Topic("t/u".into()));
    assert_eq!(wrong("{x}/{y} -> {x}_{y}"), Wrong::Topic("{x}_{y}".into()));
    assert_eq!(wrong("a -> __consumer_offsets"), Wrong::Internal);
    let error = Rules::parse("a -> t\n\n  b ->\n", "mqtt").unwrap_err();
    assert_eq!(error.line, 2);
    assert_eq!(Rules::parse("", "not a topic").unwrap_err().what, Wrong::Form);
    let many: String = (0..=RULES_MAX).map(|at| format!("a{at} -> t\n")).collect();
    assert_eq!(wrong(&many), Wrong::TooMany);
}

#[test]
fn filters_lead_to_the_kafka_topics_that_may_have_what_they_match() {
    let sources = |filter: &str| {
        let sources = fleet().sources(filter);
        let shown = sources.iter().map(|source| match &source.suffix {
            None => source.prefix.clone(),
            Some(suffix) => format!("{}*{suffix}", source.prefix),
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(sources("truck/+/position"), ["truck_position", "mqtt"]);
    assert_eq!(sources("truck/7/position"), ["truck_position", "mqtt"]);
    assert_eq!(sources("building/b1/#"), ["building_b1", "mqtt"]);
    assert_eq!(sources("building/+/door"), ["building_*", "mqtt"]);
    assert_eq!(sources("#"), ["truck_position", "building_*", "raw", "mqtt"]);
    assert_eq!(sources("other"), ["mqtt"]);
    assert_eq!(sources("$SYS/#"), [""; 0]);
}

#[test]
fn random_topics_come_back_from_their_records_and_are_found_by_their_filters() {
    let level = |random: &mut fastrand::Rng| ["a", "b", "1", "-", "x-y", ""][random.usize(0..6)];
    let rules = [
        "a/{x} -> t key={x}\nb/{x}/{y} -> u key={x}/{y}\na/{x}/{y#} -> v_{x} key={y}",
        "{x}/{y} -> w_{x} key=k{y}k",
        "a/+/{y} -> t key={y}\n{x#} -> all key={x}",
        "",
    ];
    for seed in 0..4000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let rules = Rules::parse(rules[random.usize(0..rules.len())], "mqtt").unwrap();
        let levels: Vec<&str> = (0..random.usize(1..5)).map(|_| level(&mut random)).collect();
        let name = levels.join("/");
        let Some(place) = rules.place(&name).ok().filter(|_| topic::is_name(&name)) else { continue };
        let key = Some(place.key.as_bytes());
        assert_eq!(rules.topic_of(&name, &place.topic, key).as_deref(), Some(&*name), "seed {seed}");
        if let Some(back) = rules.topic_of("", &place.topic, key) {
            assert_eq!(rules.place(&back), Ok(place.clone()), "seed {seed}: {name} and {back}");
        }
        let mut filter: Vec<&str> =
            levels.iter().map(|level| if random.bool() { "+" } else { *level }).collect();
        if random.u8(0..3) == 0 {
            filter.truncate(random.usize(0..filter.len()));
            filter.push("#");
        }
        let filter = filter.join("/");
        if topic::Filter::parse(&filter).is_ok_and(|filter| filter.matches(&name)) {
            let found = rules.sources(&filter).iter().any(|source| source.contains(&place.topic));
            assert!(found, "seed {seed}: {filter} does not lead to {} of {name}", place.topic);
        }
    }
}

#[test]
fn rules_show_how_they_are_understood() {
    assert_eq!(
        fleet().to_string(),
        "truck/{id}/position -> truck_position key={id}\n\
         building/{b}/{path#} -> building_{b} key={path}\n\
         raw/+/# -> raw key=(the MQTT topic)\n\
         # -> mqtt key=(the MQTT topic)\n"
    );
}
