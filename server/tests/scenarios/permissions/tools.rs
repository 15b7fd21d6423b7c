//! Rules by the command line.

use std::fs;

use super::*;
use crate::log::strandline;

#[test]
fn rules_are_added_listed_and_removed_in_kafkas_words_and_removing_is_shown_first() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let access = dir.path().join("admin.properties");
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let properties = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n\
         sasl.jaas.config={module} required username=\"admin\" password=\"a\";\n"
    );
    fs::write(&access, properties).unwrap();
    let address = broker.address.to_string();
    let at = ["--bootstrap", &address, "--command-config", access.to_str().unwrap()];
    let run = |arguments: &[&str]| strandline(&[&["acl"], arguments, &at[..]].concat(), "");
    let done = |arguments: &[&str]| {
        let (code, out, error) = run(arguments);
        assert_eq!((code, &*error), (0, ""), "{arguments:?}");
        out
    };
    let mut admin = user(&broker, "admin");
    admin.create("orders", 1, &[]);
    assert_eq!(produced(&mut user(&broker, "bob"), "orders"), ErrorCode::TopicAuthorizationFailed);
    done(&[
        "add",
        "--allow-principal",
        "User:bob",
        "--operation",
        "Write,describe_configs",
        "--topic",
        "orders",
    ]);
    assert_eq!(produced(&mut user(&broker, "bob"), "orders"), ErrorCode::None);
    done(&[
        "add",
        "--deny-principal",
        "User:*",
        "--host",
        "10.0.0.1",
        "--host",
        "10.0.0.2",
        "--operation",
        "all",
        "--topic",
        "ord",
        "--group",
        "ord",
        "--pattern-type",
        "prefixed",
    ]);
    done(&["add", "--allow-principal", "User:carol", "--operation", "ALTER", "--cluster"]);
    let of_bob = "ALLOW WRITE on TOPIC:LITERAL:orders by User:bob from *\n\
                  ALLOW DESCRIBE_CONFIGS on TOPIC:LITERAL:orders by User:bob from *\n";
    assert_eq!(done(&["list", "--principal", "User:bob"]), of_bob);
    assert_eq!(done(&["list"]).lines().count(), 7);
    let about = done(&["list", "--topic", "orders", "--pattern-type", "match"]);
    assert_eq!(about.lines().count(), 4, "{about}");
    assert_eq!(done(&["list", "--topic", "orders", "--topic", "orders"]), of_bob, "each is told once");
    assert_eq!(done(&["list", "--permission", "deny", "--group", "ord"]).lines().count(), 2);
    let listed: serde_json::Value = serde_json::from_str(&done(&["list", "--cluster", "--json"])).unwrap();
    let of_carol = serde_json::json!([{
        "permission": "ALLOW", "operation": "ALTER", "resource_type": "CLUSTER", "pattern_type": "LITERAL",
        "resource_name": "kafka-cluster", "principal": "User:carol", "host": "*",
    }]);
    assert_eq!(listed, of_carol);

    let going = ["remove", "--principal", "User:bob", "--operation", "WRITE"];
    let shown = done(&going);
    assert_eq!(shown, of_bob.lines().next().unwrap().to_owned() + "\n");
    assert_eq!(produced(&mut user(&broker, "bob"), "orders"), ErrorCode::None, "it was only shown");
    assert_eq!(done(&[&going[..], &["--execute"]].concat()), shown);
    assert_eq!(produced(&mut user(&broker, "bob"), "orders"), ErrorCode::TopicAuthorizationFailed);
    assert_eq!(done(&[&going[..], &["--execute"]].concat()), "", "it is gone");

    let (code, _, error) = run(&["add", "--allow-principal", "bob", "--operation", "READ", "--topic", "t"]);
    assert!(code == 1 && error.contains("a principal is TYPE:NAME"), "{error}");
    let (code, _, error) = run(&["add", "--allow-principal", "User:bob", "--operation", "READ"]);
    assert!(code == 1 && error.contains("--topic"), "{error}");
    let nonsense: [&[&str]; 3] = [
        &["add", "--allow-principal", "User:bob", "--operation", "FLY", "--topic", "t"],
        &["add", "--operation", "READ", "--topic", "t"],
        &["list", "--pattern-type", "regular"],
    ];
    for line in nonsense {
        assert_eq!(run(line).0, 2, "{line:?}");
    }
}
