//! Texts in their layout, descriptors, refusals, and the rules of compatibility.

use base64::Engine;
use prost_reflect::prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::Protobuf;
use crate::limits::Budget;
use crate::limits::Referred;

fn parse(text: &str) -> Protobuf {
    Protobuf::parse(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn kinds(reader: &Protobuf, writer: &Protobuf) -> Vec<String> {
    let found = reader.cannot_read(writer, &mut Budget::new()).unwrap();
    found.iter().map(|reason| reason.split('"').nth(1).unwrap_or_default().to_owned()).collect()
}

const ALL: &str = r#"// a comment
syntax = "proto3";
package n.x;
import "google/protobuf/timestamp.proto";
option java_package = "x"; option (n.x.file_note) = "f";
import "google/protobuf/descriptor.proto";
extend google.protobuf.FileOptions { string file_note = 50000; }
enum Color { option allow_alias = true; NONE = 0; RED = 1 [deprecated = true]; ROUGE = 1; reserved 5, 7 to 9; reserved "OLD"; }
message Order {
  reserved 100 to 110, 120; reserved "gone";
  message Item { string name = 1; repeated int32 n = 2 [packed = false, json_name = "N"]; }
  string id = 1; optional int32 count = 2;
  oneof by { Item item = 4; int64 at = 3; }
  map<string, Item> items = 5;
  google.protobuf.Timestamp when = 6;
  enum Kind { A = 0; }
  Kind kind = 7;
}
service S { rpc Get (Order) returns (stream Order.Item) { option deprecated = true; } rpc Put (stream Order) returns (Order); }
"#;

const ALL_CANONICAL: &str = r#"syntax = "proto3";
package n.x;

import "google/protobuf/timestamp.proto";
import "google/protobuf/descriptor.proto";

option java_package = "x";
option (n.x.file_note) = "f";

message Order {
  reserved 100 to 110, 120;
  reserved "gone";

  string id = 1;
  optional int32 count = 2;
  map<string, Item> items = 5;
  google.protobuf.Timestamp when = 6;
  Kind kind = 7;

  oneof by {
    Item item = 4;
    int64 at = 3;
  }

  message Item {
    string name = 1;
    repeated int32 n = 2 [
      packed = false,
      json_name = "N"
    ];
  }
  enum Kind {
    A = 0;
  }
}
enum Color {
  reserved 5, 7 to 9;
  reserved "OLD";
  option allow_alias = true;
  NONE = 0;
  RED = 1 [deprecated = true];
  ROUGE = 1;
}

extend google.protobuf.FileOptions {
  string file_note = 50000;
}

service S {
  rpc Get (Order) returns (stream Order.Item) {
    option deprecated = true;
  };
  rpc Put (stream Order) returns (Order);
}
"#;

#[test]
fn the_canonical_text_is_laid_out_as_confluents() {
    assert_eq!(parse(ALL).canonical(), ALL_CANONICAL);
    assert_eq!(parse(ALL_CANONICAL).canonical(), ALL_CANONICAL);
    let old = "message A { required int32 a = 1 [default = 5]; optional string s = 2 [default = \"x\\\"y\"]; \
               extensions 100 to max; } extend A { optional int32 more = 100; }";
    let canonical = "\nmessage A {\n\n  required int32 a = 1 [default = 5];\n  optional string s = 2 [default = \"x\\\"y\"];\n\n  \
                     extensions 100 to max;\n}\n\nextend A {\n  optional int32 more = 100;\n}\n";
    assert_eq!(parse(old).canonical(), canonical.replace("{\n\n  required", "{\n  required"));
    assert_eq!(parse(&parse(old).canonical()).canonical(), parse(old).canonical());
}

#[test]
fn the_normal_form_has_full_names_and_the_order_of_numbers() {
    let normal = parse(ALL).normalized();
    for line in [
        "  oneof by {\n    int64 at = 3;\n    .n.x.Order.Item item = 4;\n  }\n",
        "  map<string, .n.x.Order.Item> items = 5;\n",
        "rpc Get (.n.x.Order) returns (stream .n.x.Order.Item)",
        "import \"google/protobuf/descriptor.proto\";\nimport \"google/protobuf/timestamp.proto\";\n",
    ] {
        assert!(normal.contains(line), "{line}\n{normal}");
    }
    assert_eq!(parse(&normal).normalized(), normal);
    assert!(kinds(&parse(&normal), &parse(ALL)).is_empty());
}

#[test]
fn a_descriptor_in_base64_is_the_same_file() {
    let plain = "syntax = \"proto3\";\npackage n;\n\nmessage A {\n  B b = 1;\n\n  message B {\n    repeated string s = 1;\n  }\n}\n";
    let file = parse(plain);
    let again = parse(&file.serialized());
    assert_eq!(again.canonical(), plain.replace("  B b", "  .n.A.B b"));
    assert_eq!(again.normalized(), file.normalized());
    assert_eq!(again.serialized(), file.serialized());
}

#[test]
fn imports_are_references_or_built_in() {
    let common = Referred {
        name: "common/user.proto".to_owned(),
        text: "syntax = \"proto3\"; package c; message User { string id = 1; }".to_owned(),
    };
    let text = "syntax = \"proto3\"; import \"common/user.proto\"; import \"confluent/meta.proto\"; \
                import \"confluent/type/decimal.proto\"; \
                message A { c.User by = 1; confluent.type.Decimal d = 2 [(confluent.field_meta) = { doc: \"x\" }]; }";
    let file = Protobuf::parse(text, std::slice::from_ref(&common)).unwrap();
    let canonical = file.canonical();
    let option = "confluent.type.Decimal d = 2 [(confluent.field_meta) = { doc";
    assert!(canonical.contains(option), "{canonical}");
    let again = Protobuf::parse(&canonical, std::slice::from_ref(&common)).unwrap();
    assert_eq!(again.canonical(), canonical);
    assert_eq!(again.serialized(), file.serialized(), "an option that is an extension is kept");
    let missing = Protobuf::parse(text, &[]).unwrap_err();
    assert!(missing.contains("common/user.proto"), "{missing}");
    let changed = Referred { text: common.text.replace("string id", "bool id"), ..common.clone() };
    let changed = Protobuf::parse(text, &[changed]).unwrap();
    assert_eq!(kinds(&changed, &file), ["FIELD_SCALAR_KIND_CHANGED", "FIELD_NAMED_TYPE_CHANGED"]);
}

#[test]
fn what_is_no_file_is_refused() {
    let deep = format!("{}{}", "message A { ".repeat(100), "}".repeat(100));
    for (text, what) in [
        ("message", "expected"),
        ("syntax = \"proto3\"; message A { Nothing a = 1; }", "Nothing"),
        ("syntax = \"proto3\"; message A { int32 a = 1; int32 b = 1; }", "1"),
        ("syntax = \"proto3\"; import \"default\"; message A { }", "cycle"),
        (deep.as_str(), "nests 100 levels deep, 64 are the most"),
    ] {
        let error = Protobuf::parse(text, &[]).unwrap_err();
        assert!(error.contains(what), "{text}: {error}");
    }
}

#[test]
fn changes_are_told_apart() {
    let message = |body: &str| parse(&format!("syntax = \"proto3\"; package n; message A {{ {body} }}"));
    for (before, after, expected) in [
        ("string a = 1;", "string renamed = 1; int32 b = 2;", &[][..]),
        ("string a = 1; int32 b = 2;", "string a = 1;", &[]),
        ("int32 a = 1;", "uint64 a = 1;", &[]),
        ("string a = 1;", "bytes a = 1;", &[]),
        ("int32 a = 1;", "sint32 a = 1;", &["FIELD_SCALAR_KIND_CHANGED"]),
        ("int32 a = 1;", "string a = 1;", &["FIELD_SCALAR_KIND_CHANGED"]),
        ("optional int32 a = 1;", "repeated int32 a = 1;", &["FIELD_NUMERIC_LABEL_CHANGED"]),
        ("optional string a = 1;", "repeated string a = 1;", &[]),
        ("B a = 1; message B { }", "string a = 1;", &["FIELD_KIND_CHANGED", "MESSAGE_REMOVED"]),
        (
            "B a = 1; message B { } message C { }",
            "C a = 1; message B { } message C { }",
            &["FIELD_NAMED_TYPE_CHANGED"],
        ),
        ("map<string, int32> a = 1;", "map<string, bool> a = 1;", &[]),
        ("map<string, int32> a = 1;", "map<string, string> a = 1;", &["FIELD_SCALAR_KIND_CHANGED"]),
        ("oneof o { int32 a = 1; int32 b = 2; }", "oneof o { int32 a = 1; }", &["ONEOF_FIELD_REMOVED"]),
        ("oneof o { int32 a = 1; int32 b = 2; }", "int32 c = 3;", &[]),
        ("oneof o { int32 a = 1; }", "int32 a = 1;", &[]),
        ("int32 a = 1;", "oneof o { int32 a = 1; int32 b = 2; }", &[]),
        (
            "int32 a = 1; int32 b = 2;",
            "oneof o { int32 a = 1; int32 b = 2; }",
            &["MULTIPLE_FIELDS_MOVED_TO_ONEOF"],
        ),
        (
            "int32 a = 1; oneof o { int32 b = 2; }",
            "oneof o { int32 a = 1; int32 b = 2; }",
            &["FIELD_MOVED_TO_EXISTING_ONEOF"],
        ),
        ("E a = 1; enum E { X = 0; Y = 1; }", "E a = 1; enum E { X = 0; }", &[]),
        ("E a = 1; enum E { X = 0; }", "int32 a = 1;", &[]),
        (
            "message B { B next = 1; int32 a = 2; }",
            "message B { B next = 1; string a = 2; }",
            &["FIELD_SCALAR_KIND_CHANGED"],
        ),
    ] {
        assert_eq!(kinds(&message(after), &message(before)), expected, "{before} -> {after}");
        assert!(kinds(&message(before), &message(before)).is_empty(), "{before}");
    }
    let old = |body: &str| parse(&format!("package n; message A {{ {body} }}"));
    assert_eq!(kinds(&old("required int32 a = 1;"), &old("")), ["REQUIRED_FIELD_ADDED"]);
    assert_eq!(kinds(&old(""), &old("required int32 a = 1;")), ["REQUIRED_FIELD_REMOVED"]);
    let package = |name: &str| parse(&format!("syntax = \"proto3\"; package {name}; message A {{ }}"));
    assert_eq!(kinds(&package("m"), &package("n")), ["PACKAGE_CHANGED"]);
    let words = message("string a = 1;").cannot_read(&message("int32 a = 1;"), &mut Budget::new()).unwrap();
    assert_eq!(
        words,
        [
            "{errorType:\"FIELD_SCALAR_KIND_CHANGED\", description:\"The kind of a SCALAR field at path '#/A/1' in the %s schema does not match its kind in the %s schema\"}"
        ]
    );
}

/// A descriptor of editions, and any that is damaged, once ended the process: the compiler believes what it
/// is given, and a syntax that it does not know is a panic there.
#[test]
fn d11_a_descriptor_may_be_anything() {
    let good = base64::engine::general_purpose::STANDARD.decode(parse(ALL).serialized()).unwrap();
    let read = |bytes: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        Protobuf::parse(&text, &[]).map(|file| (file.canonical(), file.normalized()))
    };
    let mut edition = FileDescriptorProto::decode(&good[..]).unwrap();
    edition.syntax = Some("editions".to_owned());
    assert!(read(&edition.encode_to_vec()).unwrap_err().contains("editions"));
    let group = |name: &str| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(1),
        r#type: Some(Type::Group as i32),
        type_name: Some("M".to_owned()),
        ..Default::default()
    };
    let mut message = DescriptorProto { name: Some("M".to_owned()), ..Default::default() };
    for _ in 0..60 {
        let nested_type = vec![message];
        let field = vec![group("a"), group("b")];
        message = DescriptorProto { name: Some("M".to_owned()), field, nested_type, ..Default::default() };
    }
    let groups = FileDescriptorProto { message_type: vec![message], ..Default::default() };
    assert!(read(&groups.encode_to_vec()).unwrap_err().contains("two fields"));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.u8(..)),
            }
        }
        if let Ok((canonical, _)) = read(&bytes) {
            assert_eq!(parse(&canonical).canonical(), canonical, "what is stored is read again");
        }
    }
}

/// Each once took gigabytes.
#[test]
fn d11_short_names_below_long_ones_take_little_or_are_refused() {
    let parts = vec!["a"; 100_000].join(".");
    let many = format!("syntax = \"proto3\"; package {parts}; message M {{}}");
    assert!(Protobuf::parse(&many, &[]).unwrap_err().contains("parts"));
    let long = "A".repeat(100_000);
    let fields: String = (1..10_000).map(|at| format!("int32 f{at} = {at};")).collect();
    let messages: String = (1..10_000).map(|at| format!("message M{at} {{}}")).collect();
    for text in [
        format!("syntax = \"proto3\"; message {long} {{ {fields} }}"),
        format!("syntax = \"proto3\"; package {long}; {messages}"),
    ] {
        assert!(Protobuf::parse(&text, &[]).unwrap_err().contains("in full"));
        let message = "syntax = \"proto3\"; import \"other\"; message M {}";
        let other = Referred { name: "other".to_owned(), text };
        assert!(Protobuf::parse(message, &[other]).unwrap_err().contains("in full"));
    }
}
