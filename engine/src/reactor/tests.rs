//! Each of the reactors as a disk and as what sockets wait on, on a real kernel.

use std::cell::Cell;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;

use super::disk::{ADVICE_BYTES_MAX, INLINE_BYTES_MAX, advised};
use super::op::Op;
use super::*;
use crate::io::pwrite::PwriteDisk;
use crate::io::{AlignedBuffer, Disk, DiskFile, Entry, OpenMode, ReadBuffer};
use crate::types::Position;

/// Those that are built.
pub(super) const KINDS: &[ReactorKind] = match cfg!(feature = "glommio") {
    true => &ReactorKind::ALL,
    false => &[ReactorKind::Ring, ReactorKind::Poll],
};

/// Runs a test on an executor of its own of each kind, and ends it cleanly.
fn on_each<F: Future<Output = ()> + 'static>(
    test: impl Fn(ShardDisk, PathBuf) -> F + Clone + Send + 'static,
) {
    for kind in KINDS {
        let (dir, test) = (tempfile::tempdir().unwrap(), test.clone());
        let path = dir.path().to_owned();
        spawn_executor(*kind, "test", None, 0.1, move |disk| test(disk, path)).unwrap().join().unwrap();
    }
}

fn pattern(length: usize) -> Bytes {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>().into()
}

fn drop_from_cache(file: &DiskFile) {
    file.std().sync_all().unwrap();
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// What every backend must do; the same body runs on the reactors and on plain system calls.
async fn behaves_like_a_disk<D: Disk>(disk: D, root: PathBuf) {
    let dir = root.join("a/b");
    disk.create_dir(&dir).await.unwrap();
    disk.create_dir(&dir).await.unwrap();
    let path = dir.join("file");
    let missing = disk.open(&path, OpenMode::Existing).await.err().unwrap();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.open(&path, OpenMode::Durable).await.err().unwrap().kind(), io::ErrorKind::NotFound);

    let file = disk.open(&path, OpenMode::Create).await.unwrap();
    // More parts than one system call takes.
    let parts: Vec<Bytes> = (0..3000).map(|part| pattern(part % 7)).collect();
    let whole = parts.concat();
    disk.write(&file, Position(10), parts).await.unwrap();
    disk.write(&file, Position(1), vec![Bytes::new()]).await.unwrap();
    disk.write(&file, Position(1), Vec::new()).await.unwrap();
    disk.sync(&file).await.unwrap();
    disk.sync_dir(&dir).await.unwrap();
    assert_eq!(disk.len(&file).await.unwrap(), 10 + whole.len() as u64);
    assert_eq!(disk.read(&file, Position(10), whole.len()).await.unwrap(), whole);
    assert_eq!(disk.read(&file, Position::ZERO, 10).await.unwrap(), [0; 10][..]);
    assert_eq!(
        disk.read(&file, Position(12), usize::from(u16::MAX)).await.unwrap(),
        whole[2..],
        "a read ends with the file"
    );
    assert!(disk.read(&file, Position(1 << 40), 10).await.unwrap().is_empty());
    assert!(disk.read(&file, Position::ZERO, 0).await.unwrap().is_empty());

    disk.set_len(&file, 15).await.unwrap();
    assert_eq!(disk.read(&file, Position(10), 100).await.unwrap(), whole[..5]);
    disk.set_len(&file, 20).await.unwrap();
    assert_eq!(disk.read(&file, Position(15), 100).await.unwrap(), [0; 5][..]);
    drop(disk.open(&path, OpenMode::Create).await.unwrap());
    assert_eq!(disk.len(&file).await.unwrap(), 20, "an existing file is not emptied");
    drop(disk.open(&path, OpenMode::Truncate).await.unwrap());
    assert_eq!(disk.len(&file).await.unwrap(), 0);

    // A durable file: aligned writes, reads at any place.
    let durable = disk.open(&path, OpenMode::Durable).await.unwrap();
    let content = pattern(5 * AlignedBuffer::ALIGNMENT);
    let mut buffer = AlignedBuffer::new();
    buffer.extend(&content);
    let memory = buffer.as_ref().as_ptr();
    let (result, buffer) = disk.write_aligned(&durable, Position(4096), buffer).await;
    result.unwrap();
    assert_eq!((buffer.as_ref().as_ptr(), buffer.len()), (memory, content.len()), "the buffer comes back");
    disk.set_len(&file, 4096 + 20_000).await.unwrap();
    for (position, length) in
        [(4096, 20_000), (4097, 1), (8191, 2), (4096 + 19_990, 500), (0, 4096), (100_000, 5)]
    {
        let direct = disk.read(&durable, Position(position), length).await.unwrap();
        assert_eq!(
            direct,
            disk.read(&file, Position(position), length).await.unwrap(),
            "{length} bytes at {position}"
        );
    }
    assert_eq!(disk.read(&durable, Position(4100), 6).await.unwrap(), content[4..10]);
    disk.prefetch(&durable, Position(0), 10).await.unwrap();

    let renamed = dir.join("renamed");
    disk.rename(&path, &renamed).await.unwrap();
    let mut entries = disk.list(&root.join("a")).await.unwrap();
    entries.extend(disk.list(&dir).await.unwrap());
    assert_eq!(
        entries,
        [
            Entry { name: "b".to_owned(), is_dir: true, length: 0 },
            Entry { name: "renamed".to_owned(), is_dir: false, length: 24_096 }
        ]
    );
    disk.remove_file(&renamed).await.unwrap();
    assert_eq!(disk.remove_file(&renamed).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    disk.open(&dir.join("again"), OpenMode::Create).await.unwrap();
    disk.remove_dir(&root.join("a")).await.unwrap();
    assert_eq!(disk.list(&root.join("a")).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(disk.list(&root).await.unwrap().is_empty());
}

#[test]
fn each_reactor_behaves_like_a_disk() {
    on_each(behaves_like_a_disk);
}

#[test]
fn plain_system_calls_behave_like_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    futures_executor::block_on(behaves_like_a_disk(PwriteDisk, dir.path().to_owned()));
}

/// What the system keeps in memory is its own affair: it may not drop what it was asked to, and drop what was
/// just read. What is ours is what it is asked for.
#[test]
fn a_prefetch_asks_for_every_byte_of_its_range_once() {
    for (position, end) in
        [(0, 1), (5, 5), (9, 3), (0, ADVICE_BYTES_MAX), (7, 3 << 20), (1 << 40, (1 << 40) + 5)]
    {
        let mut next = position;
        for (at, length) in advised(Position(position), Position(end)) {
            assert_eq!(at, Position(next), "of {position}..{end}: no gap, and nothing twice");
            assert!((1..=ADVICE_BYTES_MAX).contains(&length), "of {position}..{end}");
            next = at.0 + length;
        }
        assert_eq!(next, end.max(position), "to the end of {position}..{end}");
    }
}

#[test]
fn a_range_reads_the_same_whatever_of_it_is_in_memory_and_prefetched() {
    on_each(|disk, dir| async move {
        let content = pattern(3 << 20);
        let file = disk.open(&dir.join("file"), OpenMode::Create).await.unwrap();
        disk.write(&file, Position::ZERO, vec![content.clone()]).await.unwrap();
        for (position, length) in [(1 << 20, 1 << 20), (0, u64::MAX >> 2), (1 << 40, 5), (3 << 20, 1), (0, 0)]
        {
            drop_from_cache(&file);
            disk.prefetch(&file, Position(position), length).await.unwrap();
            let mut cached = vec![0; 1 << 20];
            let found = file.read_cached(Position(1 << 20), &mut cached);
            assert_eq!(cached[..found], content[1 << 20..][..found], "as far as it is in memory");
            assert_eq!(disk.read(&file, Position::ZERO, content.len()).await.unwrap(), content);
        }
        drop_from_cache(&file);
        assert_eq!(
            disk.read(&file, Position::ZERO, content.len()).await.unwrap(),
            content,
            "asked to be cold"
        );
        assert_eq!(disk.read(&file, Position::ZERO, content.len()).await.unwrap(), content, "just read");
    });
}

#[test]
fn a_write_goes_on_when_its_future_is_dropped() {
    on_each(|disk, dir| async move {
        let content = pattern(16 << 20);
        let expected = content.to_vec();
        let file = disk.open(&dir.join("file"), OpenMode::Create).await.unwrap();
        for part in 0..16 {
            let bytes = content.slice(part << 20..(part + 1) << 20);
            let mut write = pin!(disk.write(&file, Position((part << 20) as u64), vec![bytes]));
            assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        drop(content);
        while disk.len(&file).await.unwrap() < 16 << 20 {
            sleep(Duration::from_millis(1)).await;
        }
        disk.sync(&file).await.unwrap();
        assert!(disk.read(&file, Position::ZERO, 16 << 20).await.unwrap() == expected);
    });
}

#[test]
fn a_disk_without_a_turn_finishes_its_writes_when_it_is_dropped() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let disk = ShardDisk::new(*kind).unwrap();
        let file = DiskFile::open(&path, OpenMode::Create).unwrap();
        let part = Bytes::from(vec![b'x'; INLINE_BYTES_MAX + 1]);
        for number in 0..10 {
            let place = Position((number * part.len()) as u64);
            let mut write = pin!(disk.write(&file, place, vec![part.clone()]));
            assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(file.len().unwrap(), 0);
        drop(disk);
        assert!(std::fs::read(path).unwrap() == vec![b'x'; 10 * part.len()], "{kind}");
    }
}

/// The runtime once slept on with a task ready to run, about once in 100,000 appends, and the append never
/// returned.
#[test]
fn appends_one_after_the_other_all_return() {
    on_each(|disk, dir| async move {
        let file = disk.open(&dir.join("file"), OpenMode::Create).await.unwrap();
        let bytes = pattern(4096);
        for index in 0..200_000 {
            disk.write(&file, Position(index % 1000 * 4096), vec![bytes.clone()]).await.unwrap();
        }
    });
}

#[test]
fn ten_thousand_reads_at_once_are_all_answered_rightly() {
    on_each(|disk, dir| async move {
        let content = pattern(10_000 * 512);
        let file = disk.open(&dir.join("file"), OpenMode::Create).await.unwrap();
        disk.write(&file, Position::ZERO, vec![content.clone()]).await.unwrap();
        disk.sync(&file).await.unwrap();
        // Straight to the driver, past the shortcut for cached bytes.
        let reads = (0..10_000).map(|index| {
            let buffer = ReadBuffer::new(&file, Position(index * 512), 512);
            disk.run(Op::Read { file: file.clone(), buffer })
        });
        for (index, (op, result)) in join_all(reads).await.into_iter().enumerate() {
            result.unwrap();
            let Op::Read { buffer, .. } = op else { unreachable!() };
            assert_eq!(buffer.into_bytes(), content[index * 512..(index + 1) * 512]);
        }
    });
}

/// A connected pair whose second end is non-blocking.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let writer = listener.accept().unwrap().0;
    writer.set_nonblocking(true).unwrap();
    (reader, writer)
}

#[test]
fn a_slow_reader_gets_header_file_and_trailer_whole_while_other_tasks_run() {
    let length = 64 << 20;
    on_each(move |disk, dir| async move {
        let content = pattern(length + 1000);
        let file = disk.open(&dir.join("file"), OpenMode::Create).await.unwrap();
        disk.write(&file, Position::ZERO, vec![content.clone()]).await.unwrap();
        drop_from_cache(&file);
        let (mut reader, writer) = connection();
        set_nodelay(writer.as_fd()).unwrap();
        set_congestion_control(writer.as_fd(), "reno");
        assert!(!set_congestion_control(writer.as_fd(), "no-such-thing"));
        let receiver = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut chunk = vec![0; 1 << 20];
            loop {
                match reader.read(&mut chunk).unwrap() {
                    0 => return all,
                    read => all.extend_from_slice(&chunk[..read]),
                }
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        let turns = Rc::new(Cell::new(0));
        let counter = turns.clone();
        let other = spawn(Queue::Net, async move {
            loop {
                counter.set(counter.get() + 1);
                yield_now().await;
            }
        });
        let sender = Sockets::new(&disk);
        sender.send(writer.as_fd(), b"header", true).await.unwrap();
        sender.send_file(writer.as_fd(), &file, Position(500), length as u64).await.unwrap();
        sender.send(writer.as_fd(), &content[..3 << 20], false).await.unwrap();
        drop(other);
        drop(writer);
        let received = receiver.join().unwrap();
        assert_eq!(received[..6], b"header"[..]);
        assert!(received[6..6 + length] == content[500..500 + length]);
        assert!(received[6 + length..] == content[..3 << 20]);
        assert!(turns.get() > length / (256 << 10), "{} turns", turns.get());
    });
}

#[test]
fn parts_of_any_size_arrive_whole_and_in_their_order_however_slowly_they_are_read() {
    on_each(|disk, _| async move {
        // Without bytes, small, as large as a call takes, larger; then more of them than a call takes.
        let sizes = [0, 3, 0, 100, 256 << 10, 1 << 20, 7, 0, (3 << 20) + 1, 1];
        let sizes: Vec<usize> = sizes.into_iter().chain((0..500).map(|at| at % 9000)).collect();
        let content = pattern(sizes.iter().sum());
        let (mut reader, writer) = connection();
        // So that calls take less than they are given.
        rustix::net::sockopt::set_socket_send_buffer_size(&writer, 16 << 10).unwrap();
        let receiver = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut chunk = vec![0; 64 << 10];
            loop {
                match reader.read(&mut chunk).unwrap() {
                    0 => return all,
                    read => all.extend_from_slice(&chunk[..read]),
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let mut rest = &content[..];
        let mut parts = Vec::new();
        for size in sizes {
            let (part, left) = rest.split_at(size);
            parts.push(IoSlice::new(part));
            rest = left;
        }
        let sender = Sockets::new(&disk);
        sender.send_vectored(writer.as_fd(), &mut parts, false).await.unwrap();
        sender.send_vectored(writer.as_fd(), &mut [], false).await.unwrap();
        drop(writer);
        assert!(receiver.join().unwrap() == content);
    });
}

#[test]
fn a_file_that_ends_too_early_is_an_error_and_so_is_a_closed_peer() {
    on_each(|disk, dir| async move {
        let file = disk.open(&dir.join("file"), OpenMode::Create).await.unwrap();
        disk.write(&file, Position::ZERO, vec![pattern(5000)]).await.unwrap();
        let (reader, writer) = connection();
        let sender = Sockets::new(&disk);
        match sender.send_file(writer.as_fd(), &file, Position(1000), 5000).await {
            Err(SendFileError::FileEnded { position: Position(5000), missing: 1000 }) => {}
            other => panic!("{other:?}"),
        }
        disk.write(&file, Position::ZERO, vec![pattern(32 << 20)]).await.unwrap();
        let (file, waiting) = (file.clone(), disk.clone());
        let sending = spawn(Queue::Net, async move {
            Sockets::new(&waiting).send_file(writer.as_fd(), &file, Position(0), 32 << 20).await
        });
        sleep(Duration::from_millis(20)).await;
        drop(reader);
        assert!(matches!(sending.await, Err(SendFileError::Io(_))));
    });
}

#[test]
fn readiness_is_awaited_and_a_dropped_wait_is_cancelled() {
    on_each(|disk, _| async move {
        let (mut reader, writer) = connection();
        for _ in 0..2000 {
            let waited = with_timeout(Duration::ZERO, disk.readable(writer.as_fd())).await;
            assert!(waited.is_none());
        }
        let waiting = with_timeout(Duration::from_secs(10), disk.readable(writer.as_fd()));
        reader.write_all(b"x").unwrap();
        waiting.await.expect("it is readable").unwrap();
        disk.writable(writer.as_fd()).await.unwrap();
        // Nothing of the cancelled waits stays in the kernel; when it has gone is the kernel's affair.
        while disk.is_busy() {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_socket_is_waited_for_from_both_sides_at_once() {
    on_each(|disk, _| async move {
        let (mut reader, writer) = connection();
        let socket = Rc::new(OwnedFd::from(writer));
        let task = |wait: fn(ShardDisk, Rc<OwnedFd>) -> futures_util::future::LocalBoxFuture<'static, ()>| {
            spawn(Queue::Net, wait(disk.clone(), socket.clone()))
        };
        let gone = task(|disk, socket| Box::pin(async move { disk.hung_up(socket.as_fd()).await.unwrap() }));
        let readable =
            task(|disk, socket| Box::pin(async move { disk.readable(socket.as_fd()).await.unwrap() }));
        let writable =
            task(|disk, socket| Box::pin(async move { disk.writable(socket.as_fd()).await.unwrap() }));
        writable.await;
        reader.write_all(b"x").unwrap();
        readable.await;
        let mut gone = pin!(gone);
        assert!(with_timeout(Duration::from_millis(5), &mut gone).await.is_none(), "the peer is still there");
        reader.shutdown(std::net::Shutdown::Write).unwrap();
        gone.await;
    });
}

/// An event that was meant for a file that was closed, or is still open under another number, is nobody's.
#[test]
fn a_descriptor_whose_number_was_another_files_is_waited_for_rightly() {
    on_each(|disk, _| async move {
        for _ in 0..200 {
            let (mut old_peer, old) = connection();
            let second = old.try_clone().unwrap();
            let number = old.as_raw_fd();
            let waited = with_timeout(Duration::from_micros(100), disk.readable(old.as_fd())).await;
            assert!(waited.is_none());
            drop(old);
            // In the same turn, and under the same number.
            let (mut peer, new) = connection();
            let new = rustix::io::fcntl_dupfd_cloexec(&new, number).unwrap();
            old_peer.write_all(b"x").unwrap();
            let early = with_timeout(Duration::from_millis(1), disk.readable(new.as_fd())).await;
            assert!(early.is_none(), "it is another file that can be read");
            peer.write_all(b"x").unwrap();
            let waited = with_timeout(Duration::from_secs(10), disk.readable(new.as_fd())).await;
            waited.expect("it is readable").unwrap();
            drop(second);
        }
    });
}

#[test]
fn a_wait_for_what_is_no_descriptor_is_an_error_and_for_a_file_none() {
    on_each(|disk, dir| async move {
        let path = dir.join("file");
        std::fs::write(&path, "abc").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        disk.readable(file.as_fd()).await.unwrap();
        let closed = Op::Poll { descriptor: 15_000, events: libc::POLLIN as u32 };
        let (_, result) = disk.run(closed).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn what_a_socket_brings_is_received_behind_what_is_there_until_the_peer_ends() {
    on_each(|disk, _| async move {
        let (mut writer, reader) = connection();
        let reader = Rc::new(OwnedFd::from(reader));
        let mut buffer = BytesMut::with_capacity(100);
        buffer.extend_from_slice(b"begun ");
        let receiving = spawn(Queue::Net, {
            let (disk, reader) = (disk.clone(), reader.clone());
            async move { disk.receive(&reader, buffer).await }
        });
        sleep(Duration::from_millis(5)).await;
        writer.write_all(b"ended").unwrap();
        let (result, buffer) = receiving.await;
        result.unwrap();
        assert_eq!(buffer, b"begun ended"[..]);
        drop(writer);
        let (result, buffer) = disk.receive(&reader, buffer).await;
        result.unwrap();
        assert_eq!(buffer.len(), 11);
    });
}

#[test]
fn a_dropped_receive_gives_its_memory_back_and_takes_nothing_more() {
    on_each(|disk, _| async move {
        let (mut writer, reader) = connection();
        let reader = Rc::new(OwnedFd::from(reader));
        for _ in 0..2000 {
            let receiving = disk.receive(&reader, BytesMut::with_capacity(4096));
            assert!(with_timeout(Duration::ZERO, receiving).await.is_none());
        }
        while disk.is_busy() {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(Rc::strong_count(&reader), 1, "no operation holds the socket");
        writer.write_all(b"x").unwrap();
        assert_eq!(disk.receive(&reader, BytesMut::with_capacity(4096)).await.1, b"x"[..]);
    });
}

#[test]
fn closing_ends_waits_and_refuses_what_comes_later() {
    on_each(|disk, dir| async move {
        let file = disk.open(&dir.join("file"), OpenMode::Create).await.unwrap();
        let (_reader, writer) = connection();
        let second = writer.try_clone().unwrap();
        let waiting = disk.clone();
        let submitted = spawn(Queue::Net, async move { waiting.readable(writer.as_fd()).await });
        sleep(Duration::from_millis(5)).await;
        let waiting = disk.clone();
        let mut unsubmitted = pin!(waiting.readable(second.as_fd()));
        assert!(unsubmitted.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        disk.close();
        assert_eq!(submitted.await.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
        assert_eq!(unsubmitted.await.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
        let refused = disk.write(&file, Position::ZERO, vec![pattern(1)]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
        let (result, buffer) = disk.write_aligned(&file, Position::ZERO, AlignedBuffer::zeroed(4096)).await;
        assert_eq!((result.unwrap_err().kind(), buffer.len()), (io::ErrorKind::BrokenPipe, 4096));
    });
}

#[test]
fn errors_of_the_system_come_back_unchanged() {
    on_each(|disk, dir| async move {
        let full = disk.open(Path::new("/dev/full"), OpenMode::Existing).await.unwrap();
        let error = disk.write(&full, Position::ZERO, vec![pattern(10)]).await.unwrap_err();
        assert!(crate::io::is_no_space(&error), "{error}");
        let path = dir.join("file");
        std::fs::write(&path, b"abc").unwrap();
        let durable = disk.open(&path, OpenMode::Durable).await.unwrap();
        // Not an unaligned position, which some file systems take.
        let (result, _) = disk.write_aligned(&durable, Position(1 << 63), AlignedBuffer::zeroed(4096)).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EINVAL), "no file is that long");
        let error = disk.remove_dir(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    });
}

#[test]
fn executors_leave_no_descriptor_behind() {
    // In a process of its own: the other tests open and close descriptors at the same time.
    const CHILD: &str = "STRANDLINE_TEST_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let name = "reactor::tests::executors_leave_no_descriptor_behind";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--test-threads=1"]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let round = || {
        on_each(|disk, dir| async move {
            let file = disk.open(&dir.join("file"), OpenMode::Create).await.unwrap();
            disk.write(&file, Position::ZERO, vec![pattern(10_000)]).await.unwrap();
            drop_from_cache(&file);
            disk.read(&file, Position::ZERO, 10_000).await.unwrap();
            let (_reader, writer) = connection();
            let wait = with_timeout(Duration::from_millis(1), disk.readable(writer.as_fd()));
            assert!(wait.await.is_none());
        });
    };
    round();
    let before = descriptors();
    (0..20).for_each(|_| round());
    assert_eq!(descriptors(), before);
}
