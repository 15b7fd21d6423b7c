//! What stands in the data directory and is not ours, or not any more: nothing of it is removed, and none of
//! it is taken for a topic's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use futures_executor::block_on;
use strandline_engine::Engine;
use strandline_engine::format::names;
use strandline_engine::format::topics::{self, DeletedTopic};
use strandline_engine::inspect::strays;

use crate::support::{append, create_topic, read_all, start};

/// Every file below a path, with its content; symbolic links are not followed.
fn tree(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut rest = vec![path.to_owned()];
    while let Some(path) = rest.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            files.insert(path, Vec::new());
        } else if meta.is_file() {
            let content = fs::read(&path).unwrap();
            files.insert(path, content);
        } else {
            files.insert(path.clone(), fs::read_link(&path).unwrap().to_str().unwrap().into());
        }
    }
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A stopped broker's directory, with two records in the only partition of a topic.
fn stopped() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 2);
    let ids = create_topic(engine.handle(), "keep", 1, &[]);
    append(engine.handle(), ids[0], "a");
    append(engine.handle(), ids[0], "b");
    engine.stop().unwrap();
    directory
}

fn check_keep(engine: &Engine) {
    let topic = engine.handle().topics().by_name("keep").expect("the topic is there").clone();
    let ids: Vec<_> = topic.partition_ids().collect();
    assert_eq!((ids.len(), read_all(engine.handle(), ids[0])), (1, vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn nothing_that_this_broker_did_not_make_is_ever_removed() {
    let directory = stopped();
    let at = |name: &str| directory.path().join(name);
    let elsewhere = tempfile::tempdir().unwrap();
    copy(&at("keep-0"), &elsewhere.path().join("copy"));
    for name in
        ["lost+found", "empty-3", "notes", "postgres-16/base/1", "shards/lost+found", "shards/7/notes"]
    {
        fs::create_dir_all(at(name)).unwrap();
    }
    for name in ["orders-2023", "data-2024-01", ".snapshot-1"] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("notes.txt"), "mine").unwrap();
    }
    for name in ["report-7", "notes.tmp", "postgres-16/base/1/x.tmp"] {
        fs::write(at(name), "mine").unwrap();
    }
    symlink(elsewhere.path().join("copy"), at("linked-0")).unwrap();
    symlink("/nowhere", at("dangling-0")).unwrap();
    for name in ["keep-0.bak", "keep-007"] {
        copy(&at("keep-0"), &at(name));
    }
    let untouched = [
        "lost+found",
        "empty-3",
        "notes",
        "postgres-16",
        "shards/lost+found",
        "shards/7/notes",
        "orders-2023",
        "data-2024-01",
        ".snapshot-1",
        "report-7",
        "notes.tmp",
        "linked-0",
        "dangling-0",
        "keep-0.bak",
        "keep-007",
    ];
    let mine: Vec<_> = untouched.iter().map(|name| tree(&at(name))).collect();
    let linked = tree(elsewhere.path());
    // Of a partition that no topic has: they look like ours.
    for name in ["backup-1", "keep-5"] {
        copy(&at("keep-0"), &at(name));
        fs::write(at(name).join("notes.txt"), "mine").unwrap();
    }
    let contents: Vec<_> = tree(&at("backup-1")).into_values().collect();
    for shards in [2, 1, 2] {
        let engine = start(directory.path(), shards);
        check_keep(&engine);
        engine.stop().unwrap();
        for (name, before) in untouched.iter().zip(&mine) {
            assert_eq!(tree(&at(name)), *before, "{name}");
        }
        assert_eq!(tree(elsewhere.path()), linked);
        let found = strays(directory.path()).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        for (stray, name) in found.iter().zip(["backup-1.", "keep-5."]) {
            assert!(stray.name.starts_with(name), "{stray:?}");
            let kept: Vec<_> = tree(&at(&stray.name)).into_values().collect();
            assert_eq!(kept, contents);
        }
    }
    for stray in strays(directory.path()).unwrap() {
        stray.delete(directory.path()).unwrap();
    }
    assert_eq!(strays(directory.path()).unwrap(), []);
    start(directory.path(), 2).stop().unwrap();
}

/// Somebody copies a directory to where the next partition of a topic will be, while the broker runs.
#[test]
fn what_stands_where_a_new_partition_will_be_is_set_aside_and_not_its_data() {
    let directory = stopped();
    let at = |name: &str| directory.path().join(name);
    let engine = start(directory.path(), 1);
    copy(&at("keep-0"), &at("keep-1"));
    copy(&at("keep-0"), &at("new-1"));
    let log = engine.handle();
    let keep = log.topics().by_name("keep").unwrap().id;
    let grown = block_on(log.create_partitions(vec![(keep, 2)])).remove(0).unwrap();
    let new = create_topic(log, "new", 2, &[]);
    for id in [grown.partition_ids().nth(1).unwrap(), new[1]] {
        assert_eq!(read_all(log, id), Vec::<String>::new());
        assert_eq!(append(log, id, "first"), 0);
    }
    let names: Vec<_> = strays(directory.path()).unwrap().into_iter().map(|stray| stray.name).collect();
    assert!(
        names.len() == 2 && names[0].starts_with("keep-1.") && names[1].starts_with("new-1."),
        "{names:?}"
    );
    engine.stop().unwrap();
}

/// The deletion of a topic was cut short. Its directories go, whatever else stands there stays, and so does
/// what somebody has put into them.
#[test]
fn d9_a_deletion_that_was_cut_short_is_finished_by_the_table_alone() {
    let directory = stopped();
    let at = |name: &str| directory.path().join(name);
    for name in ["gone-0", "gone-1", "gone-2", "gone-3"] {
        copy(&at("keep-0"), &at(name));
    }
    fs::write(at("gone-1").join("notes.txt"), "mine").unwrap();
    fs::remove_dir_all(at("gone-2")).unwrap();
    fs::write(at("gone-2"), "a plain file").unwrap();
    let mut table = topics::decode(&fs::read(at(names::TOPICS_FILE)).unwrap()).unwrap();
    let id = table.topics[0].id;
    table.deleted.push(DeletedTopic { name: "gone".to_owned(), id, partitions: 0..3 });
    fs::write(at(names::TOPICS_FILE), topics::encode(&table)).unwrap();
    let engine = start(directory.path(), 1);
    check_keep(&engine);
    assert!(!at("gone-0").exists() && !at("gone-1").exists() && !at("gone-3").exists());
    assert_eq!(fs::read(at("gone-2")).unwrap(), b"a plain file");
    let found = strays(directory.path()).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].name.starts_with("gone-1.") && found[0].files == 1, "the notes, and no log: {found:?}");
    assert!(found[1].name.starts_with("gone-3.") && found[1].bytes > 4, "no topic had it: {found:?}");
    let read = topics::decode(&fs::read(at(names::TOPICS_FILE)).unwrap()).unwrap();
    assert_eq!(read.deleted, [], "once they are gone, nothing is removed by that name any more");
    engine.stop().unwrap();
}
