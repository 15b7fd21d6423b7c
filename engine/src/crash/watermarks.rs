//! Readers, retention and deletion where the watermarks of a partition lie apart, as they do on a replica.

use std::time::Duration;

use super::images::Subject;
use super::machine::{Ending, Process, Settings};
use super::run::Run;
use crate::error::{AppendError, DeleteRecordsError, ReadError, TopicError};
use crate::io::Disk;
use crate::message::{DeleteBefore, OffsetQuery, ReadRequest};
use crate::partition::{Isolation, Reader, WakeOnce, Watermarks};
use crate::topics::{Replica, Role};
use crate::types::{LeaderEpoch, Offset, PartitionId, Timestamp};

const COMMITTED: Reader = Reader::Consumer(Isolation::ReadCommitted);
const UNCOMMITTED: Reader = Reader::Consumer(Isolation::ReadUncommitted);

/// A partition with batches of two records each.
fn with_batches(run: &mut Run, segment_bytes: &str, batches: usize) -> (Process, PartitionId) {
    let mut settings = Settings::small(1);
    settings.topic_defaults.set_unchecked("segment.bytes", segment_bytes);
    let process = run.start(&settings).expect("nothing stops it");
    let id = run.create_now(&process, "t", 1)[0];
    for _ in 0..batches {
        run.append_now(&process, id).expect("it is appended");
    }
    (process, id)
}

fn set(run: &mut Run, process: &Process, id: PartitionId, of: [i64; 4]) {
    let [log_start, last_stable, high_watermark, log_end] = of.map(Offset::new);
    let partition = run.drive(process.owner(id).partition(id)).expect("nothing stops it");
    let partition = partition.expect("it can be opened").expect("it is there");
    partition.set_watermarks(Watermarks { log_start, last_stable, high_watermark, log_end });
}

fn place(
    run: &mut Run,
    process: &Process,
    id: PartitionId,
    role: Role,
    epoch: i32,
) -> Result<(), TopicError> {
    let replica = Replica { role, epoch: LeaderEpoch(epoch) };
    let answer = run.drive(async { process.place(id, replica).await.await }).expect("nothing stops it");
    answer.expect("it is answered").map(drop)
}

/// The offsets of the batches that a reader gets, and whether that is all it may read now.
fn read(
    run: &mut Run,
    process: &Process,
    id: PartitionId,
    reader: Reader,
    offset: i64,
    bytes_max: u64,
) -> Result<(Vec<i64>, bool), ReadError> {
    let request = ReadRequest { reader, ..ReadRequest::new(id, Offset::new(offset), bytes_max) };
    let found = run.drive(process.owner(id).read(request)).expect("nothing stops it")?;
    let Some(range) = found.batches else { return Ok((Vec::new(), found.reaches_end)) };
    let file = range.file.get_ref();
    let read = process.disk.read(file, range.position, range.length as usize);
    let bytes = run.drive(read).expect("nothing stops it").expect("nothing fails");
    let batches = run.known.model.identify(id, &bytes);
    Ok((batches.into_iter().map(|(offset, _)| offset).collect(), found.reaches_end))
}

#[test]
fn d2_each_reader_stops_at_its_own_watermark() {
    // In one segment, and in one for each batch.
    for segment_bytes in ["8192", "100"] {
        let mut run = Run::new(1);
        let (process, id) = with_batches(&mut run, segment_bytes, 4);
        set(&mut run, &process, id, [0, 2, 4, 8]);
        let mut all = |reader, mut offset| {
            let mut offsets = Vec::new();
            loop {
                let (found, reaches_end) =
                    read(&mut run, &process, id, reader, offset, 1 << 20).expect("it lies in the log");
                let Some(last) = found.last() else { break };
                offset = last + 2;
                offsets.extend(found);
                if reaches_end {
                    break;
                }
            }
            offsets
        };
        assert_eq!(all(COMMITTED, 0), [0]);
        assert_eq!(all(UNCOMMITTED, 0), [0, 2]);
        assert_eq!(all(Reader::Replica, 0), [0, 2, 4, 6]);
        assert_eq!(all(UNCOMMITTED, 3), [2], "the batch that holds the offset");
        for (reader, offset) in [(COMMITTED, 2), (COMMITTED, 7), (UNCOMMITTED, 4), (Reader::Replica, 8)] {
            assert_eq!(all(reader, offset), [0; 0], "{reader:?} from {offset}");
        }
        let beyond = read(&mut run, &process, id, UNCOMMITTED, 9, 100);
        assert!(matches!(beyond, Err(ReadError::OffsetOutOfRange { .. })), "behind the log end");
        let mut latest = |query| {
            let found = run.drive(process.owner(id).find_offset(id, query, None)).expect("nothing stops it");
            found.expect("the log can be read").map(|found| found.offset.get())
        };
        assert_eq!(latest(OffsetQuery::Latest), Some(4));
        assert_eq!(latest(OffsetQuery::LatestStable), Some(2));
        assert_eq!(latest(OffsetQuery::AtTimestamp(Timestamp::default())), Some(0));
    }
}

#[test]
fn what_may_still_be_cut_off_is_neither_deleted_nor_grows_old() {
    let mut run = Run::new(2);
    let (process, id) = with_batches(&mut run, "100", 4);
    set(&mut run, &process, id, [0, 2, 4, 8]);
    run.known.model.partitions.get_mut(&id).expect("it is there").asked = i64::MAX;
    let delete = |run: &mut Run, before| {
        run.drive(process.owner(id).delete_records(id, before)).expect("nothing stops it")
    };
    let beyond = delete(&mut run, DeleteBefore::Offset(Offset::new(5)));
    assert!(matches!(beyond, Err(DeleteRecordsError::OffsetOutOfRange { .. })), "{beyond:?}");
    assert_eq!(delete(&mut run, DeleteBefore::HighWatermark).ok(), Some(Offset::new(4)));
}

#[test]
fn a_reader_that_believes_in_another_leader_is_refused() {
    let mut run = Run::new(3);
    let (process, id) = with_batches(&mut run, "8192", 1);
    place(&mut run, &process, id, Role::Leader, 3).expect("it is newer");
    run.append_now(&process, id).expect("it is appended");
    let mut read = |epoch| {
        let request =
            ReadRequest { leader_epoch: Some(LeaderEpoch(epoch)), ..ReadRequest::new(id, Offset::ZERO, 100) };
        run.drive(process.owner(id).read(request)).expect("nothing stops it")
    };
    assert!(read(3).is_ok());
    assert!(matches!(read(2), Err(ReadError::FencedLeaderEpoch { current: LeaderEpoch(3), .. })));
    assert!(matches!(read(4), Err(ReadError::UnknownLeaderEpoch { current: LeaderEpoch(3), .. })));
    let older = place(&mut run, &process, id, Role::Leader, 2);
    assert!(matches!(older, Err(TopicError::StaleLeaderEpoch { .. })), "epochs never go back");
    let mut end = |epoch| {
        let found = run.drive(process.owner(id).end_of_epoch(id, LeaderEpoch(epoch), None));
        let found = found.expect("nothing stops it").expect("the log can be read");
        found.map(|found| (found.epoch.0, found.end.get()))
    };
    assert_eq!([end(0), end(2), end(3), end(4)], [Some((0, 2)), Some((0, 2)), Some((3, 4)), None]);
}

/// A row of the epochs moves with the log start, away from the batches that it was made for, and a truncation
/// to the log start takes it.
#[test]
fn d5_what_stood_before_the_start_of_an_empty_log_is_not_held_against_an_older_epoch() {
    let mut run = Run::new(4);
    let (process, id) = with_batches(&mut run, "8192", 2);
    let partition = run.drive(process.owner(id).partition(id)).expect("nothing stops it");
    // The table does not say so: what comes later is of an older epoch, as on a replica of another leader.
    let replica = Replica { role: Role::Leader, epoch: LeaderEpoch(1) };
    partition.expect("it can be opened").expect("it is there").take_role(replica);
    for _ in 0..2 {
        run.append_now(&process, id).expect("it is appended");
    }
    run.known.model.partitions.get_mut(&id).expect("it is there").asked = i64::MAX;
    // The start lies in a segment, behind a batch of the newer epoch.
    let deleted = run.drive(process.owner(id).delete_records(id, DeleteBefore::Offset(Offset::new(6))));
    assert_eq!(deleted.expect("nothing stops it").ok(), Some(Offset::new(6)));
    let cut = run.drive(process.owner(id).truncate(id, Offset::new(6))).expect("nothing stops it");
    assert_eq!(cut.ok(), Some(Offset::new(6)));
    run.known.model.cut(id, 6);
    drop(process);
    run.end(Ending::PowerLoss);
    let process = run.start(&Settings::small(1)).expect("nothing stops it");
    run.append_now(&process, id).expect("it is appended");
    let read = read(&mut run, &process, id, Reader::Replica, 6, 100).expect("it can be read");
    assert_eq!(read.0, [6]);
    drop(process);
    run.end(Ending::PowerLoss);
    let process = run.start(&Settings { scrub_bytes_per_second: 1 << 30, ..Settings::small(1) });
    let process = process.expect("nothing stops it");
    for _ in 0..2 {
        run.clock.advance(Duration::from_secs(4000));
        process.shards[0].tick(run.clock.timestamp());
        run.settle();
    }
    let stats = process.shards[0].stats();
    assert!(stats.scrubs > 0, "everything is read");
    assert_eq!(stats.damages, 0, "no batch stands before one of an older epoch");
}

#[test]
fn what_is_given_up_takes_nothing_and_serves_nobody_until_it_is_led_again() {
    let mut run = Run::new(4);
    let (process, id) = with_batches(&mut run, "8192", 1);
    let (sender, mut woken) = futures_channel::oneshot::channel();
    let wake = WakeOnce::new(sender);
    let owner = process.owner(id).clone();
    run.drive(owner.wait(Reader::default(), &[(id, Offset::new(2))], &wake)).expect("nothing stops it");
    assert_eq!(woken.try_recv(), Ok(None), "there is nothing to read yet");
    run.known.given_up.insert(id);
    place(&mut run, &process, id, Role::Follower, 1).expect("it is newer");
    assert_eq!(woken.try_recv(), Ok(Some(())), "who waits is told");
    assert!(matches!(run.append_now(&process, id), Err(AppendError::NotLeader(_))));
    let refused = read(&mut run, &process, id, UNCOMMITTED, 0, 100);
    assert!(matches!(refused, Err(ReadError::NotLeader(_))), "{refused:?}");
    let deleted = run.drive(owner.delete_records(id, DeleteBefore::HighWatermark)).expect("nothing stops it");
    assert!(matches!(deleted, Err(DeleteRecordsError::NotLeader(_))), "{deleted:?}");
    place(&mut run, &process, id, Role::Leader, 2).expect("it is newer");
    run.append_now(&process, id).expect("it is appended");
    let found = run.drive(owner.end_of_epoch(id, LeaderEpoch(0), None)).expect("nothing stops it");
    assert_eq!(found.expect("the log can be read").map(|found| found.end), Some(Offset::new(2)));
    let (found, _) = read(&mut run, &process, id, UNCOMMITTED, 0, 1 << 20).expect("it is led here");
    assert_eq!(found, [0, 2]);
}
