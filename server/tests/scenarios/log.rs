//! `strandline log` on the directories of a broker that was stopped: what a script, and a person in the
//! night, may rely on.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::broker::{Broker, data_dir};

const RECORDS: usize = 300;

/// Runs the command; exit code, stdout, stderr.
pub(crate) fn strandline(line: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What a command says that waits for a broker; it is not waited for.
fn waiting_line(line: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.starts_with("waiting: "), "{said}");
    said
}

fn log(line: &[&str]) -> (i32, String, String) {
    strandline(&[&["log"], line].concat(), "")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn value(number: usize) -> String {
    format!("value {number} {}", "x".repeat(number % 50))
}

/// A directory with one topic of one partition, its records in batches of ten, left by a broker that was
/// stopped.
fn stopped() -> tempfile::TempDir {
    let directory = data_dir();
    let broker = Broker::start(directory.path(), &[]);
    let address = broker.address.to_string();
    let (code, _, error) = strandline(&["topic", "create", "orders", "-p", "1", "-b", &address], "");
    assert_eq!(code, 0, "{error}");
    for first in (0..RECORDS).step_by(10) {
        let lines: String = (first..first + 10).map(|number| value(number) + "\n").collect();
        let (code, _, error) = strandline(&["produce", "orders", "-b", &address], &lines);
        assert_eq!(code, 0, "{error}");
    }
    assert_eq!(broker.stop().0, Some(0));
    directory
}

/// What a broker on this directory gives to a consumer.
fn consumed(directory: &Path) -> Vec<String> {
    let broker = Broker::start(directory, &[]);
    let address = broker.address.to_string();
    let (code, values, error) = strandline(&["consume", "orders", "--exit-at-end", "-b", &address], "");
    assert_eq!(code, 0, "{error}");
    assert_eq!(broker.stop().0, Some(0));
    values.lines().map(str::to_owned).collect()
}

fn segment(directory: &Path) -> PathBuf {
    directory.join("orders-0/00000000000000000000.log")
}

/// The lines that a command prints, as JSON.
fn objects(line: &[&str]) -> (i32, Vec<Value>) {
    let (code, out, error) = log(&[line, &["--format", "json"]].concat());
    assert_eq!(error, "");
    (code, out.lines().map(|line| serde_json::from_str(line).expect(line)).collect())
}

#[test]
fn a_directory_in_use_is_refused_and_so_is_one_of_somebody_else() {
    let directory = data_dir();
    let broker = Broker::start(directory.path(), &[]);
    let new = data_dir();
    let target = new.path().join("new");
    for line in [
        vec!["verify", text(directory.path())],
        vec!["repair", text(directory.path()), "--apply"],
        vec!["salvage", text(directory.path()), "--to", text(&target)],
        vec!["dump", text(directory.path())],
    ] {
        let (code, out, error) = log(&line);
        assert_eq!((code, out.as_str()), (2, ""), "{line:?}: {error}");
        assert!(error.contains("a broker runs on this directory"), "{line:?}: {error}");
    }
    assert!(!target.exists());
    broker.stop();
    let (code, _, error) = log(&["verify", text(new.path())]);
    assert_eq!(code, 2);
    assert!(error.contains("neither a data directory nor a partition's"), "{error}");
}

#[test]
fn what_was_produced_is_dumped_and_verified() {
    let directory = stopped();
    let (code, out, _) = log(&["verify", text(directory.path())]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.ends_with("1 partitions, 1 segments, 30 batches, 300 records: 0 damaged, 0 notes\n"),
        "{out}"
    );
    let (code, entries) = objects(&["dump", "--records", text(directory.path())]);
    assert_eq!(code, 0);
    let of = |kind: &str| entries.iter().filter(|entry| entry["type"] == kind).collect::<Vec<_>>();
    let values: Vec<_> =
        of("record").iter().map(|record| record["value"].as_str().unwrap().to_owned()).collect();
    assert_eq!(values, (0..RECORDS).map(value).collect::<Vec<_>>());
    for kind in ["meta", "topic", "recovery_point", "segment", "batch"] {
        assert!(!of(kind).is_empty(), "{kind}");
    }
    let (_, some) = objects(&["dump", "--from", "25", "--to", "31", text(&segment(directory.path()))]);
    let bases: Vec<_> = some.iter().filter_map(|entry| entry["base_offset"].as_i64()).collect();
    assert_eq!(bases, [0, 20, 30], "the segment, and two batches");
    let (_, out, _) = log(&["dump", "-r", "--bytes", "hex", text(&segment(directory.path()))]);
    assert!(out.contains("value=\"76616c7565203020\""), "{}", out.lines().nth(2).unwrap());
}

#[test]
fn around_damage_every_whole_batch_is_salvaged_and_served() {
    let directory = stopped();
    let path = segment(directory.path());
    let (_, batches) = objects(&["dump", text(&path)]);
    let positions: Vec<_> = batches.iter().filter_map(|entry| entry["position"].as_u64()).collect();
    let mut bytes = fs::read(&path).unwrap();
    let place = positions[7] as usize;
    bytes[place + 80] ^= 4;
    fs::write(&path, &bytes).unwrap();

    let (code, out, _) = log(&["verify", text(directory.path())]);
    assert_eq!(code, 1);
    assert!(
        out.contains(&format!("damage: {}, position {place}, offsets 70 to 79: ", path.display())),
        "{out}"
    );
    let (code, entries) = objects(&["dump", text(&path)]);
    let damage: Vec<_> = entries.iter().filter(|entry| entry["type"] == "damage").collect();
    assert_eq!((code, damage.len(), damage[0]["position"].as_u64()), (1, 1, Some(place as u64)));
    assert_eq!(entries.iter().filter(|entry| entry["type"] == "batch").count(), 29);
    let (code, out, _) = log(&["repair", text(directory.path()), "--apply"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("findings stay"), "{out}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "what can not be repaired is left alone");

    let new = data_dir();
    let target = new.path().join("salvaged");
    let (code, out, _) = log(&["salvage", text(directory.path()), "--to", text(&target)]);
    assert_eq!(code, 1);
    assert!(
        out.contains("orders partition 0: 290 records in 29 batches, log start 0, log end 300\n"),
        "{out}"
    );
    assert!(out.contains("missing: offsets 70 to 79\n"), "{out}");
    assert_eq!(log(&["verify", text(&target)]).0, 0);
    let expected: Vec<_> = (0..RECORDS).filter(|number| !(70..80).contains(number)).map(value).collect();
    assert_eq!(consumed(&target), expected);
    let (code, _, error) = log(&["salvage", text(directory.path()), "--to", text(&target)]);
    assert_eq!(code, 2);
    assert!(error.contains("it is there already"), "{error}");
}

#[test]
fn a_repair_is_printed_before_it_is_done_and_keeps_what_was_there() {
    let directory = stopped();
    let path = segment(directory.path());
    let sound = fs::read(&path).unwrap();
    let torn = [&sound[..], b"half a batch"].concat();
    fs::write(&path, &torn).unwrap();
    let (code, out, _) = log(&["verify", text(directory.path())]);
    assert_eq!(code, 0, "a torn tail is no damage: {out}");
    assert!(out.contains("a torn tail of 12 bytes"), "{out}");
    let (code, out, _) = log(&["repair", text(directory.path())]);
    assert_eq!(code, 1);
    assert!(out.contains("nothing was changed, --apply does it"), "{out}");
    assert_eq!(fs::read(&path).unwrap(), torn);
    let kept = data_dir();
    let (code, out, _) = log(&["repair", text(directory.path()), "--apply", "--backup", text(kept.path())]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(fs::read(&path).unwrap(), sound);
    assert_eq!(fs::read(segment(kept.path())).unwrap(), torn);
    assert_eq!(consumed(directory.path()).len(), RECORDS);
}

/// Segments are the same in both; beside them Kafka has files of its own. Those of a real Kafka 4 were taken
/// over by hand.
#[test]
fn a_directory_of_kafkas_is_taken_over_with_its_topic_ids_and_log_starts() {
    let source = stopped();
    let kafka = data_dir();
    let partition = kafka.path().join("orders-0");
    fs::create_dir(&partition).unwrap();
    fs::copy(segment(source.path()), segment(kafka.path())).unwrap();
    fs::write(kafka.path().join("meta.properties"), "version=1\n").unwrap();
    fs::write(kafka.path().join("log-start-offset-checkpoint"), "0\n1\norders 0 50\n").unwrap();
    fs::write(partition.join("partition.metadata"), "version: 0\ntopic_id: CvYaUdGJTAGUCJmDPXNJvg\n")
        .unwrap();
    fs::write(partition.join("00000000000000000000.timeindex"), [0; 24]).unwrap();
    fs::write(partition.join("00000000000000000000.index"), [0; 16]).unwrap();
    let (code, out, _) = log(&["verify", text(kafka.path())]);
    assert_eq!(code, 0, "{out}");
    let (_, out, _) = log(&["dump", text(kafka.path())]);
    assert_eq!(out.matches("kind=\"not ours\"").count(), 3, "{out}");
    let target = kafka.path().join("ours");
    let (code, out, _) = log(&["salvage", text(kafka.path()), "--to", text(&target)]);
    assert_eq!(code, 0, "{out}");
    let (_, entries) = objects(&["dump", text(&target)]);
    let topic = entries.iter().find(|entry| entry["type"] == "topic").unwrap();
    assert_eq!(topic["topic_id"], "CvYaUdGJTAGUCJmDPXNJvg");
    assert_eq!(consumed(&target), (50..RECORDS).map(value).collect::<Vec<_>>());
}

/// The youngest of the small files, which no tool may forget: a start on a rotten one says what mends it, and
/// that mends it.
#[test]
fn d5_rotten_settings_are_named_by_every_tool_and_mended_with_what_is_lost() {
    use strandline_engine::config::DynamicSettings;
    use strandline_engine::format::settings;
    let directory = stopped();
    let path = directory.path().join("settings");
    let set = DynamicSettings {
        all_brokers: vec![("log.retention.ms".to_owned(), "86400000".to_owned())],
        ..DynamicSettings::default()
    };
    let sound = settings::encode(&set).to_vec();
    fs::write(&path, &sound).unwrap();
    let shown = |entries: &[Value]| {
        entries.iter().any(|entry| entry["type"] == "setting" && entry["value"] == "86400000")
    };
    let new = data_dir();
    let target = new.path().join("salvaged");
    assert!(shown(&objects(&["dump", text(directory.path())]).1));
    assert_eq!(log(&["salvage", text(directory.path()), "--to", text(&target)]).0, 0);
    assert_eq!(fs::read(target.join("settings")).unwrap(), sound, "salvage takes it over");

    // The sum, and a name: of a row whose scope is rotten no value is shown.
    for (flipped, lost) in [(vec![30], false), (vec![16, 30], true)] {
        let mut rotten = sound.clone();
        flipped.iter().for_each(|at: &usize| rotten[*at] ^= 4);
        fs::write(&path, &rotten).unwrap();
        let (code, _, error) =
            strandline(&["serve", "--data-dir", text(directory.path()), "--listen", "127.0.0.1:0"], "");
        assert_ne!(code, 0);
        let mends = format!("strandline log repair {}", text(directory.path()));
        assert!(error.contains(text(&path)) && error.contains(&mends), "{error}");
        for tool in ["verify", "dump"] {
            let (code, out, _) = log(&[tool, text(directory.path())]);
            assert!(code == 1 && out.contains(text(&path)), "{tool}: {out}");
        }
        let again = new.path().join(format!("{}", flipped.len()));
        let (code, out, _) = log(&["salvage", text(directory.path()), "--to", text(&again)]);
        assert!(code == 1 && out.contains("the file settings is lost"), "{out}");
        let (code, out, _) = log(&["repair", text(directory.path())]);
        assert_eq!(code, 1, "{out}");
        assert_eq!(out.contains("lost: all that was set for the broker"), lost, "{out}");
        assert_eq!(out.contains("nothing is lost"), !lost, "{out}");
        assert!(!lost || out.contains("=86400000"), "what the file seems to say: {out}");
        let kept = new.path().join(format!("kept-{}", flipped.len()));
        let (code, out, _) = log(&["repair", text(directory.path()), "--apply", "--backup", text(&kept)]);
        assert_eq!(code, 0, "{out}");
        assert_eq!(fs::read(kept.join("settings")).unwrap(), rotten, "it is kept as it was");
        let mended = settings::decode(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(mended, if lost { DynamicSettings::default() } else { set.clone() });
        assert_eq!(consumed(directory.path()).len(), RECORDS);
    }
}

#[test]
fn directories_that_were_set_aside_are_listed_and_deleted_by_name() {
    let directory = stopped();
    for name in ["orders-7", "clicks-0"] {
        fs::create_dir(directory.path().join(name)).unwrap();
        fs::copy(segment(directory.path()), directory.path().join(name).join("00000000000000000000.log"))
            .unwrap();
    }
    let (code, out, _) = log(&["verify", text(directory.path())]);
    assert_eq!((code, out.matches("the next start sets it aside").count()), (0, 2), "{out}");
    let broker = Broker::start(directory.path(), &[]);
    let (code, found) = objects(&["strays", "list", text(directory.path())]);
    assert_eq!((code, found.len()), (0, 2), "a broker may run meanwhile");
    let name = found[0]["name"].as_str().unwrap();
    assert!(
        name.starts_with("clicks-0.") && found[0]["files"] == 1 && found[0]["bytes"].as_u64() > Some(1000)
    );
    let (code, _, error) = log(&["strays", "delete", text(directory.path()), "orders-0"]);
    assert!(code == 2 && error.contains("\"orders-0\" was set aside"), "{error}");
    let (code, out, _) = log(&["strays", "delete", text(directory.path()), name]);
    assert_eq!((code, out), (0, format!("{name}: deleted\n")));
    assert_eq!(log(&["strays", "delete", text(directory.path()), "--all"]).0, 0);
    assert_eq!(log(&["strays", "list", text(directory.path())]).1, "no directory was set aside\n");
    assert_eq!(broker.stop().0, Some(0));
    assert_eq!(consumed(directory.path()).len(), RECORDS);
}

/// Somebody removes a partition's directory while the broker is stopped: it is not an empty log, until
/// somebody says so.
#[test]
fn d5_a_partition_whose_directory_is_gone_is_refused_until_its_loss_is_accepted() {
    let directory = stopped();
    fs::remove_dir_all(directory.path().join("orders-0")).unwrap();
    let (broker, log_lines) = Broker::start_logging(directory.path(), &[]);
    let address = broker.address.to_string();
    let line = waiting_line(&["produce", "orders", "-b", &address], "more\n");
    assert!(line.contains("KAFKA_STORAGE_ERROR (56)") && line.contains("disk"), "{line}");
    assert_eq!(broker.stop().0, Some(0));
    let told = log_lines.join().unwrap();
    assert!(told.contains("orders-0") && told.contains("the directory is not there"), "{told}");

    let (code, out, _) = log(&["verify", text(directory.path())]);
    assert!(code == 1 && out.contains("offsets 0 to 299: the directory of the partition is gone"), "{out}");
    let (code, out, _) = log(&["repair", text(directory.path()), "--apply"]);
    assert!(code == 1 && out.contains("there is nothing to repair"), "{out}");
    let (code, out, _) = log(&["repair", text(directory.path()), "--apply", "--accept-loss"]);
    assert!(code == 0 && out.contains("lost: orders partition 0: offsets 0 to 299"), "{out}");
    let broker = Broker::start(directory.path(), &[]);
    let address = broker.address.to_string();
    let (code, _, error) = strandline(&["produce", "orders", "-b", &address], "more\n");
    assert_eq!(code, 0, "{error}");
    let line = ["consume", "orders", "--exit-at-end", "--format", "json", "-b", &address];
    let (code, out, error) = strandline(&line, "");
    let record: Value = serde_json::from_str(out.trim()).expect(&error);
    assert_eq!(
        (code, &record["offset"], &record["value"]),
        (0, &300.into(), &"more".into()),
        "no offset is given out twice"
    );
    assert_eq!(broker.stop().0, Some(0));
}
