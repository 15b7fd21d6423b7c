//! Changes by the console: who may ask for one, from where, and what comes of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strandline_protocol::messages::*;

use super::{HOSTILE, TEXT, create, open, open_as, page, until};
use crate::broker::{Broker, data_dir};
use crate::http::USERS;
use crate::http::client::{Heard, Http};

const FORM: &str = "application/x-www-form-urlencoded";

/// A broker whose listener has the users admin and bob, and a rule for the first.
fn with_users(data: &std::path::Path) -> Broker {
    open(data, &USERS).0
}

fn written(fields: &[(&str, &str)]) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    let word = |text: &str| text.bytes().map(byte).collect::<String>();
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", word(name), word(value))).collect();
    fields.join("&")
}

/// The token of the forms of a page.
fn token(browser: &mut Http, path: &str) -> String {
    let text = page(browser, path);
    let (_, rest) = text.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no form: {text}"));
    rest.split('"').next().unwrap().to_owned()
}

fn send(browser: &mut Http, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Heard {
    browser.ask("POST", path, &[&[("Content-Type", FORM)], headers].concat(), written(fields).as_bytes())
}

/// Sends a form with its token, and is led on.
fn change(browser: &mut Http, path: &str, fields: &[(&str, &str)]) -> String {
    let token = token(browser, "/console/new-topic");
    let heard = send(browser, path, &[], &[fields, &[("token", &token)]].concat());
    assert_eq!(heard.status, 303, "{path}: {}", heard.text());
    heard.header("location").unwrap().to_owned()
}

const NEW: [(&str, &str); 4] =
    [("name", "fresh"), ("partitions", "2"), ("settings", "retention.ms=5000"), ("do", "create")];

#[test]
fn without_a_user_the_console_is_read_only() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    create(&broker, "t", 1);
    let paths = [
        "/console/new-topic",
        "/console/topics/t",
        "/console/topics/t/settings",
        "/console/settings",
        "/console/access",
        "/console/audit",
    ];
    for path in paths {
        let text = page(&mut browser, path);
        assert!(!text.contains("method=\"post\"") && !text.contains("name=\"token\""), "{path}: {text}");
    }
    let fields =
        [&NEW[..], &[("token", "00"), ("id", "g"), ("to", "earliest"), ("value", "1"), ("sure", "yes")]]
            .concat();
    for path in [
        "/console/new-topic",
        "/console/topics/t/delete",
        "/console/topics/t/replay",
        "/console/topics/t/settings",
        "/console/settings",
        "/console/group/reset",
        "/console/access",
        "/console/access/delete",
    ] {
        let refused = send(&mut browser, path, &[], &fields);
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
        assert!(refused.text().contains("without a user the console is read-only"), "{path}");
    }
    assert!(!page(&mut browser, "/console/topics").contains("fresh"));
}

#[test]
fn a_form_that_is_not_ours_changes_nothing() {
    let data = data_dir();
    let broker = with_users(data.path());
    let (mut admin, mut bob) = (open_as(&broker, "admin", "hunter2"), open_as(&broker, "bob", "builder"));
    let (own, other) = (token(&mut admin, "/console/new-topic"), token(&mut bob, "/console/new-topic"));
    assert_ne!(own, other);
    for wrong in ["", "00", &own[1..], &other] {
        let refused = send(&mut admin, "/console/new-topic", &[], &[&NEW[..], &[("token", wrong)]].concat());
        assert_eq!(refused.status, 403, "{wrong}: {}", refused.text());
    }
    let fields = [&NEW[..], &[("token", own.as_str())]].concat();
    for foreign in [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        let refused = send(&mut admin, "/console/new-topic", &[foreign], &fields);
        assert_eq!(refused.status, 403, "{foreign:?}: {}", refused.text());
    }
    let large = "x".repeat(70_000);
    let refused = send(&mut admin, "/console/new-topic", &[], &[&fields[..], &[("more", &large)]].concat());
    assert_eq!(refused.status, 413);
    assert_eq!(admin.get("/topics").expect(200), json!([]));
    let ours = [("Origin", "http://localhost"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(send(&mut admin, "/console/new-topic", &ours, &fields).status, 303);
    assert_eq!(admin.get("/topics").expect(200), json!(["fresh"]));
    // Who may not is told so by the broker, in its words, and that is noted.
    let fields = [("name", "bobs"), ("do", "create"), ("token", other.as_str())];
    assert_eq!(send(&mut bob, "/console/new-topic", &[], &fields).status, 403);
    let audit = page(&mut admin, "/console/audit");
    assert!(
        audit.contains("User:bob") && audit.contains("create topic bobs") && audit.contains("no: "),
        "{audit}"
    );
    assert_eq!(bob.get("/console/audit").status, 403);
}

#[test]
fn topics_are_created_set_and_deleted_by_forms_and_all_of_it_is_noted() {
    let data = data_dir();
    let broker = with_users(data.path());
    let mut admin = open_as(&broker, "admin", "hunter2");
    let look: Vec<(&str, &str)> = NEW[..3].iter().copied().chain([("do", "look")]).collect();
    let own = token(&mut admin, "/console/new-topic");
    let looked = send(&mut admin, "/console/new-topic", &[], &[&look[..], &[("token", &own)]].concat());
    assert!(looked.status == 200 && looked.text().contains("It can be created"), "{}", looked.text());
    assert_eq!(admin.get("/topics").expect(200), json!([]));
    assert_eq!(change(&mut admin, "/console/new-topic", &NEW), "/console/topics/fresh");
    let settings = page(&mut admin, "/console/topics/fresh/settings?only=own");
    assert!(
        settings.contains(">5000</code>")
            && settings.contains("set for the topic")
            && settings.contains(">604800000</code>"),
        "{settings}"
    );
    let to = change(
        &mut admin,
        "/console/topics/fresh/settings",
        &[("name", "retention.ms"), ("value", "7000"), ("do", "set")],
    );
    assert!(page(&mut admin, &to).contains(">7000</code>"));
    change(&mut admin, "/console/topics/fresh/settings", &[("name", "retention.ms"), ("do", "default")]);
    let own = page(&mut admin, "/console/topics/fresh/settings?only=own&q=retention.ms");
    assert!(own.contains("There is none."), "{own}");
    let to = change(
        &mut admin,
        "/console/settings",
        &[("name", "log.retention.ms"), ("value", "9000"), ("do", "set")],
    );
    let broker_settings = page(&mut admin, &to);
    assert!(
        broker_settings.contains("set for this broker while it runs")
            && broker_settings.contains(">9000</code>"),
        "{broker_settings}"
    );
    assert!(!page(&mut admin, "/console/settings").contains("hunter2"), "no secret is shown");
    let bad = token(&mut admin, "/console/settings");
    let fields = [("name", "segment.ms"), ("value", "never"), ("do", "set"), ("token", bad.as_str())];
    assert_eq!(send(&mut admin, "/console/topics/fresh/settings", &[], &fields).status, 400);
    let fields = [("name", "other"), ("token", bad.as_str())];
    assert_eq!(send(&mut admin, "/console/topics/fresh/delete", &[], &fields).status, 422);
    assert_eq!(admin.get("/topics").expect(200), json!(["fresh"]));
    assert_eq!(change(&mut admin, "/console/topics/fresh/delete", &[("name", "fresh")]), "/console/topics");
    assert_eq!(admin.get("/topics").expect(200), json!([]));
    let audit = page(&mut admin, "/console/audit");
    for what in [
        "create topic fresh",
        "set retention.ms=7000 for topic fresh",
        "have the default of retention.ms for topic fresh",
        "set log.retention.ms=9000 for the broker",
        "set segment.ms=never for topic fresh",
        "delete topic fresh",
    ] {
        assert!(audit.contains(what), "{what}: {audit}");
    }
    assert_eq!(audit.matches("<span class=\"warn\">no: ").count(), 1, "{audit}");
}

#[test]
fn a_message_is_appended_once_more_with_its_key_and_headers() {
    let data = data_dir();
    let broker = with_users(data.path());
    let mut admin = open_as(&broker, "admin", "hunter2");
    change(&mut admin, "/console/new-topic", &[("name", "from"), ("partitions", "1"), ("do", "create")]);
    change(&mut admin, "/console/new-topic", &[("name", "to"), ("partitions", "1"), ("do", "create")]);
    let record = json!({"key": "k", "value": HOSTILE, "headers": [{"key": "h", "value": "dg=="}]});
    admin.post("/topics/from", TEXT, &json!({"records": [{"value": "x"}, record]})).expect(200);
    let place = [("partition", "0"), ("offset", "1"), ("target", "to")];
    let own = token(&mut admin, "/console/topics/from/message?partition=0&offset=1");
    let unsure =
        send(&mut admin, "/console/topics/from/replay", &[], &[&place[..], &[("token", &own)]].concat());
    assert_eq!(unsure.status, 422, "it has to be confirmed");
    let at = change(&mut admin, "/console/topics/from/replay", &[&place[..], &[("sure", "yes")]].concat());
    assert_eq!(at, "/console/topics/to/message?partition=0&offset=0");
    let [from, to] = ["from", "to"].map(|topic| {
        let all = admin.get(&format!("/topics/{topic}/partitions/0/records")).expect(200);
        all["records"].as_array().unwrap().last().unwrap().clone()
    });
    for part in ["key", "value", "headers"] {
        assert_eq!(from[part], to[part], "{part}");
    }
    let nowhere = [("partition", "0"), ("offset", "9"), ("target", "to"), ("sure", "yes"), ("token", &own)];
    assert!(send(&mut admin, "/console/topics/from/replay", &[], &nowhere).status >= 400);
}

#[test]
fn a_reset_shows_what_it_would_do_and_then_does_that() {
    let data = data_dir();
    let broker = with_users(data.path());
    let mut admin = open_as(&broker, "admin", "hunter2");
    change(&mut admin, "/console/new-topic", &[("name", "t"), ("partitions", "2"), ("do", "create")]);
    for partition in 0..2 {
        let records: Vec<Value> = (0..10).map(|at| json!({"value": "x", "timestamp": at * 1000})).collect();
        admin
            .post(&format!("/topics/t/partitions/{partition}"), TEXT, &json!({"records": records}))
            .expect(200);
    }
    let settings = json!({"name": "i", "format": "text", "auto.commit.enable": "false"});
    admin.post("/consumers/g", "application/json", &settings).expect(200);
    let assign = json!({"partitions": [{"topic": "t", "partition": 0}]});
    let instance = "/consumers/g/instances/i";
    admin.post(&format!("{instance}/assignments"), "application/json", &assign);
    let done = json!({"offsets": [{"topic": "t", "partition": 0, "offset": 3}]});
    assert_eq!(admin.post(&format!("{instance}/offsets"), "application/json", &done).status, 204);
    let group = page(&mut admin, "/console/group?id=g");
    assert!(group.contains("6 records") && group.contains("Show what it would do"), "{group}");
    let list = until(&mut admin, "/console/groups?sort=lag", "<td class=\"number\">6</td>");
    assert!(list.contains("/console/group?id=g"), "{list}");
    assert!(page(&mut admin, "/console/topics/t/groups").contains("/console/group?id=g"));

    let committed = |admin: &mut Http| {
        let cluster =
            admin.get("/v3/clusters").expect(200)["data"][0]["cluster_id"].as_str().unwrap().to_owned();
        let lags = admin.get(&format!("/v3/clusters/{cluster}/consumer-groups/g/lags")).expect(200);
        let offsets =
            lags["data"].as_array().unwrap().iter().map(|lag| lag["current_offset"].as_i64().unwrap());
        offsets.collect::<Vec<_>>()
    };
    for (to, value, expected) in [
        ("earliest", "", vec![0]),
        ("latest", "", vec![10]),
        ("shift", "-4", vec![6]),
        ("shift", "-400", vec![0]),
        ("offset", "7", vec![7]),
        ("time", "1970-01-01T00:00:02.500Z", vec![3]),
        ("time", "1999-01-01T00:00:00Z", vec![10]),
    ] {
        let before = committed(&mut admin);
        let plan = page(&mut admin, &format!("/console/group/reset?id=g&to={to}&value={value}"));
        assert!(plan.contains("Nothing is changed yet") && plan.contains("Commit these offsets"), "{plan}");
        assert_eq!(committed(&mut admin), before, "nothing is");
        let shown = if before == expected {
            "the same".to_owned()
        } else {
            format!("<strong>{}</strong>", expected[0])
        };
        assert!(plan.contains(&shown), "{to} {value}: {shown}: {plan}");
        change(
            &mut admin,
            "/console/group/reset",
            &[("id", "g"), ("topic", ""), ("to", to), ("value", value)],
        );
        assert_eq!(committed(&mut admin), expected, "{to} {value}");
    }
    // A topic that is named is meant with all its partitions.
    change(
        &mut admin,
        "/console/group/reset",
        &[("id", "g"), ("topic", "t"), ("to", "offset"), ("value", "5")],
    );
    assert_eq!(committed(&mut admin), [5, 5]);
    for wrong in ["to=nowhere", "to=offset&value=x", "to=time&value=x", "to=latest&topic=none"] {
        let refused = admin.get(&format!("/console/group/reset?id=g&{wrong}"));
        assert!((400..500).contains(&refused.status), "{wrong}: {}", refused.status);
    }
    assert_eq!(admin.get("/console/group/reset?id=none&to=latest").status, 404);
}

#[test]
fn permissions_are_listed_added_and_deleted() {
    let data = data_dir();
    let broker = with_users(data.path());
    let (mut admin, mut bob) = (open_as(&broker, "admin", "hunter2"), open_as(&broker, "bob", "builder"));
    change(&mut admin, "/console/new-topic", &[("name", "t"), ("partitions", "1"), ("do", "create")]);
    assert!(!page(&mut bob, "/console/topics").contains(">t</a>"));
    let rule = [
        ("principal", "User:bob"),
        ("host", "*"),
        ("permission", "ALLOW"),
        ("operation", "READ"),
        ("resource_type", "TOPIC"),
        ("resource_name", "t"),
        ("pattern_type", "LITERAL"),
    ];
    let to = change(&mut admin, "/console/access", &rule);
    let access = page(&mut admin, &to);
    assert!(access.contains("User:bob") && access.contains("The permissions are changed."), "{access}");
    assert!(page(&mut bob, "/console/topics").contains(">t</a>"));
    page(&mut bob, "/console/topics/t/messages");
    change(&mut admin, "/console/access/delete", &rule);
    assert!(!page(&mut admin, "/console/access").contains("<th scope=\"row\">User:bob</th>"));
    assert!(!page(&mut bob, "/console/topics").contains(">t</a>"));
    let wrong: Vec<(&str, &str)> = rule[..6].iter().copied().chain([("pattern_type", "ODD")]).collect();
    let own = token(&mut admin, "/console/access");
    let refused = send(&mut admin, "/console/access", &[], &[&wrong[..], &[("token", &own)]].concat());
    assert_eq!(refused.status, 422, "{}", refused.text());
}

#[test]
fn ids_of_strangers_stay_text_and_pages_of_groups_stay_small() {
    let data = data_dir();
    let (broker, mut browser) = open(data.path(), &[]);
    create(&broker, "t", 1);
    let ids: Vec<String> = (0..60)
        .map(|number| match number {
            0 => HOSTILE.to_owned(),
            1 => "<".repeat(20_000),
            2 => "../..".to_owned(),
            3 => "a b&c=d#e?f%".to_owned(),
            _ => format!("{number}{}", "\"".repeat(200)),
        })
        .collect();
    let patience = Instant::now() + Duration::from_secs(20);
    // Of groups, and of transactions.
    for key_type in [0, 1] {
        let find = FindCoordinatorRequest { key: "g".to_owned(), key_type, ..Default::default() };
        while broker.client().call(3, &find).error_code != 0 {
            assert!(Instant::now() < patience, "there is no coordinator");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    for id in &ids {
        let partition = OffsetCommitRequestPartition { committed_offset: 0, ..Default::default() };
        let topics = vec![OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] }];
        let request = OffsetCommitRequest { group_id: id.clone(), topics, ..Default::default() };
        let answer: OffsetCommitResponse = broker.client().call(8, &request);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{answer:?}");
    }
    for path in
        ["/console/groups", "/console/groups?page=2", "/console/topics/t/groups", "/console/groups?q=%3C"]
    {
        page(&mut browser, path);
    }
    for id in ids.iter().filter(|id| id.len() < 300) {
        let path = format!("/console/group?{}", written(&[("id", id)]));
        let text = page(&mut browser, &path);
        assert!(text.contains("It has committed nothing.") || text.contains(">t</a>"), "{id}: {text}");
        page(&mut browser, &format!("/console/group/reset?{}", written(&[("id", id), ("to", "latest")])));
    }
    let id = "x".repeat(200);
    let request = InitProducerIdRequest {
        transactional_id: Some(format!("{HOSTILE}{id}")),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    loop {
        let answer: InitProducerIdResponse = broker.client().call(4, &request);
        // Its partition may be loading: COORDINATOR_LOAD_IN_PROGRESS, or not there yet: NOT_COORDINATOR.
        if ![14, 16].contains(&answer.error_code) {
            assert_eq!(answer.error_code, 0, "{answer:?}");
            break;
        }
        assert!(Instant::now() < patience, "{answer:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let transactions = page(&mut browser, "/console/transactions");
    assert!(transactions.contains("&lt;script&gt;alert(1)"), "{transactions}");
    page(&mut browser, "/console/transactions?state=Ongoing");
    for path in
        ["/console/settings", "/console/settings?page=2", "/console/access", "/console/topics/t/settings"]
    {
        page(&mut browser, path);
    }
}
