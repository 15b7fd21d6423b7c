//! What a system may refuse a broker: io_uring, one of its calls, threads; before the start, and while it
//! runs. The refusals are made by a filter of system calls that the broker's process puts over itself before
//! it is the broker.

#![allow(unsafe_code)]

use std::io;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use strandline_engine::reactor::ENVIRONMENT;

use crate::broker::{Broker, command, data_dir};
use crate::client::{Client, batch};
use crate::metrics::get;

/// System calls that are refused with an error number.
#[derive(Clone, Copy)]
struct RefusedCalls {
    calls: &'static [libc::c_long],
    /// Only where the second argument is at least this.
    second_argument_least: u32,
    errno: i32,
}

/// What the broker of these tests was built with.
const REACTORS: &[&str] = match cfg!(feature = "glommio") {
    true => &["ring", "poll", "glommio"],
    false => &["ring", "poll"],
};

const SETUP: RefusedCalls = all(&[libc::SYS_io_uring_setup], libc::EPERM);
const ENTER: RefusedCalls = all(&[libc::SYS_io_uring_enter], libc::EPERM);
const REGISTER: RefusedCalls = all(&[libc::SYS_io_uring_register], libc::EPERM);
const MISSING: RefusedCalls = all(&[libc::SYS_io_uring_setup], libc::ENOSYS);
const THREADS: RefusedCalls = all(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN);
/// The ring works until a turn has so much to submit: at a start there is less.
const BUSY_ENTER: RefusedCalls = RefusedCalls { second_argument_least: 16, ..ENTER };

const fn all(calls: &'static [libc::c_long], errno: i32) -> RefusedCalls {
    RefusedCalls { calls, second_argument_least: 0, errno }
}

impl RefusedCalls {
    /// The filter, as a program of the classic BPF: the number of the call stands at 0, the low half of its
    /// second argument at 24.
    fn program(self) -> Vec<libc::sock_filter> {
        let load = |k| libc::sock_filter {
            code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
            jt: 0,
            jf: 0,
            k,
        };
        let jump = |test, k, jt, jf| libc::sock_filter {
            code: (libc::BPF_JMP | test | libc::BPF_K) as u16,
            jt,
            jf,
            k,
        };
        let end = |k| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
        let mut program = vec![load(0)];
        for (at, call) in self.calls.iter().enumerate() {
            let rest = (self.calls.len() - at) as u8;
            program.push(jump(libc::BPF_JEQ, *call as u32, rest, 0));
        }
        program.extend([
            end(libc::SECCOMP_RET_ALLOW),
            load(24),
            jump(libc::BPF_JGE, self.second_argument_least, 1, 0),
            end(libc::SECCOMP_RET_ALLOW),
            end(libc::SECCOMP_RET_ERRNO | self.errno as u32),
        ]);
        program
    }

    fn put_over(self, command: &mut Command) {
        let mut program = self.program();
        let apply = move || {
            let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
            // SAFETY: the filter lies in memory that lives until the call returns.
            let applied = unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                    && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) == 0
            };
            if applied { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: it makes two system calls and takes no memory.
        unsafe { command.pre_exec(apply) };
    }
}

fn start_refused(refusal: RefusedCalls, data_dir: &Path, shards: &str) -> Output {
    let mut command = command(data_dir, &["--shards", shards, "--reactor", "ring"]);
    refusal.put_over(&mut command);
    command.output().unwrap()
}

/// Has the command start with a limit on open files, which it can not raise.
fn limit_descriptors(command: &mut Command, limit: u64) {
    let apply = move || {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        Ok(setrlimit(Resource::Nofile, limit)?)
    };
    // SAFETY: it makes a system call and takes no memory.
    unsafe { command.pre_exec(apply) };
}

/// What is refused or missing of io_uring, and words by which the reason is told.
const NO_RING: [(RefusedCalls, &[&str]); 4] = [
    (SETUP, &["io_uring can not be set up", "kernel.io_uring_disabled", "seccomp"]),
    (MISSING, &["io_uring can not be set up", "5.13"]),
    (ENTER, &["io_uring_enter is refused", "seccomp"]),
    (REGISTER, &["io_uring_register is refused", "seccomp"]),
];

/// A command whose broker chooses by itself, whatever these tests were told to run on.
fn choosing(data_dir: &Path, more: &[&str]) -> Command {
    let mut command = command(data_dir, more);
    command.env_remove(ENVIRONMENT);
    command
}

/// Whether the broker says in all the places where it does that it runs on this.
fn says(broker: &Broker, reactor: &str) {
    let metrics = broker.metrics.unwrap();
    let (_, health) = get(metrics, "/healthz");
    assert!(health.starts_with(&format!("2 shards turn on {reactor}")), "{health}");
    let (_, body) = get(metrics, "/metrics");
    let lines: Vec<_> = body.lines().filter(|line| line.starts_with("strandline_reactor{")).collect();
    assert_eq!(lines, [format!("strandline_reactor{{kind=\"{reactor}\"}} 1")]);
}

/// Records go in and come out, and outlive a `kill -9`.
fn serves(broker: Broker, start_again: impl FnOnce() -> Broker) {
    let mut client = broker.client();
    client.create("kept", 3, &[]);
    let large = "r".repeat(400_000);
    for partition in 0..3 {
        for value in ["first", &*large, "last"] {
            assert_eq!(client.produce("kept", partition, batch(&[value])).error_code, 0);
        }
    }
    assert_eq!(client.read_all("kept", 1, 0).len(), 3);
    drop(client);
    broker.kill();
    let broker = start_again();
    let mut client = broker.client();
    for partition in 0..3 {
        assert_eq!(client.read_all("kept", partition, 0).len(), 3);
    }
    assert_eq!(broker.stop().0, Some(0));
}

#[test]
fn a_broker_without_io_uring_chooses_to_poll_and_says_why() {
    for (refusal, words) in NO_RING {
        let directory = data_dir();
        let start = || {
            let more = ["--shards", "2", "--metrics-listen", "127.0.0.1:0"];
            let mut command = choosing(directory.path(), &more);
            refusal.put_over(&mut command);
            Broker::greeted_logging(command)
        };
        let (broker, log) = start();
        says(&broker, "poll");
        serves(broker, || start().0);
        let log = log.join().unwrap();
        for word in words {
            assert!(log.contains(word), "{word} is missing in: {log}");
        }
    }
}

/// A shortage may pass, and is told instead of being lived with.
#[test]
fn a_broker_that_is_short_of_something_does_not_choose_to_poll() {
    for (errno, word) in [(libc::ENOMEM, "locked memory"), (libc::EMFILE, "ulimit -n")] {
        let directory = data_dir();
        let mut command = choosing(directory.path(), &[]);
        all(&[libc::SYS_io_uring_setup], errno).put_over(&mut command);
        let Output { status, stderr, .. } = command.output().unwrap();
        let error = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{error}");
        assert!(error.contains("io_uring can not be set up") && error.contains(word), "{error}");
    }
}

#[test]
fn a_broker_runs_on_what_it_was_told_to_and_says_so() {
    for reactor in REACTORS {
        let directory = data_dir();
        let setting = format!("reactor={reactor}");
        let more = ["--shards", "2", "--metrics-listen", "127.0.0.1:0", "-o", &setting];
        let start = || Broker::greeted_logging(choosing(directory.path(), &more));
        let (broker, log) = start();
        says(&broker, reactor);
        serves(broker, || start().0);
        assert!(log.join().unwrap().contains(&format!("reactor=\"{reactor}\"")));
    }
}

/// It printed "started" once, answered that it was ready, and served nobody.
#[test]
fn a_broker_that_was_told_to_use_io_uring_does_not_start_without_it_and_says_why() {
    let directory = data_dir();
    let untouched = directory.path().join("data");
    for (refusal, words) in NO_RING {
        for shards in ["1", "3"] {
            let Output { status, stdout, stderr } = start_refused(refusal, &untouched, shards);
            let error = String::from_utf8(stderr).unwrap();
            assert_eq!(status.code(), Some(1), "{error}");
            assert!(stdout.is_empty(), "it greets nobody: {}", String::from_utf8_lossy(&stdout));
            for word in words {
                assert!(error.contains(word), "{word} is missing in: {error}");
            }
            assert!(!untouched.exists(), "nothing was made");
        }
    }
}

#[test]
fn a_broker_without_threads_does_not_start_and_says_why() {
    let Output { status, stdout, stderr } = start_refused(THREADS, data_dir().path(), "2");
    let error = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(stdout.is_empty());
    assert!(error.contains("thread") && error.contains("Resource temporarily unavailable"), "{error}");
}

/// A broker with one of its shards gone takes connections and answers some of them: worse than none.
#[test]
fn a_shard_that_ends_later_takes_the_broker_with_it_and_the_reason_is_told() {
    let directory = data_dir();
    let mut command = command(directory.path(), &["--shards", "2", "--reactor", "ring"]);
    BUSY_ENTER.put_over(&mut command);
    let (mut broker, log) = Broker::greeted_logging(command);
    let give_up = Instant::now() + Duration::from_secs(60);
    // What comes in one turn is submitted in one call.
    let status = loop {
        let sockets: Vec<_> = (0..100).map(|_| TcpStream::connect(broker.address)).collect();
        if let Some(status) = broker.has_ended() {
            break status;
        }
        assert!(Instant::now() < give_up, "it never has so much to submit");
        drop(sockets);
    };
    let log = log.join().unwrap();
    assert!(!status.success(), "{log}");
    assert!(log.contains("the kernel refuses to run the ring: Operation not permitted"), "{log}");
    if cfg!(panic = "unwind") {
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("error: shard") && log.contains("the next start recovers"), "{log}");
    }
    Broker::start(directory.path(), &[]).stop();
}

#[test]
fn a_limit_on_open_files_that_is_too_small_is_told_at_the_start() {
    let directory = data_dir();
    let mut command = command(directory.path(), &["--shards", "2"]);
    limit_descriptors(&mut command, 60);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let error = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(stdout.is_empty());
    assert!(error.contains("the limit on open files is 60, and 68 at least are needed"), "{error}");
}

/// Cold topics were refused until the flood ended, and one whose segment had to roll until the next start.
#[test]
fn idle_connections_take_no_descriptor_that_a_file_needs() {
    let directory = data_dir();
    let mut command = command(
        directory.path(),
        &["--shards", "2", "--metrics-listen", "127.0.0.1:0", "-o", "num.partitions=1"],
    );
    limit_descriptors(&mut command, 200);
    let (broker, log) = Broker::greeted_logging(command);
    let mut client = broker.client();
    for topic in ["warm", "cold"] {
        client.create(topic, 1, &[]);
    }
    client.create("rolls", 1, &[("segment.bytes", "1048576")]);
    assert_eq!(client.produce("warm", 0, batch(&["first"])).error_code, 0);

    let metrics = broker.metrics.unwrap();
    let silent: Vec<_> = (0..150).map(|_| TcpStream::connect(metrics).unwrap()).collect();
    let idle: Vec<_> = (0..300).map(|_| TcpStream::connect(broker.address).unwrap()).collect();
    // Those that came too late are closed; the others go on.
    let mut refused = idle.iter().filter(|socket| {
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        matches!(io::Read::read(&mut &**socket, &mut [0]), Ok(0))
            || matches!(io::Read::read(&mut &**socket, &mut [0]), Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
    });
    assert!(refused.next().is_some(), "there is not room for all");
    let large = "r".repeat(400_000);
    for _ in 0..6 {
        for (topic, value) in [("warm", "more"), ("cold", "first"), ("rolls", &*large)] {
            assert_eq!(client.produce(topic, 0, batch(&[value])).error_code, 0, "{topic}");
        }
    }
    assert_eq!(client.read_all("warm", 0, 0).len(), 7);
    assert_eq!(client.create("many", 100, &[]).error_code, 0);
    // More of them at a time than there are descriptors.
    for partition in 0..100 {
        let answer = client.produce("many", partition, batch(&["x"]));
        assert_eq!(answer.error_code, 0, "partition {partition}");
    }
    drop((idle, silent));
    let give_up = Instant::now() + Duration::from_secs(10);
    let mut newcomer = loop {
        // Until the broker has seen that the others are gone, newcomers are refused.
        let mut newcomer = Client::connect(broker.address);
        let id = newcomer.send(4, &strandline_protocol::messages::ApiVersionsRequest::default());
        match newcomer.read_frame() {
            Ok(_) => break newcomer,
            Err(error) => assert!(Instant::now() < give_up, "{id}: {error}"),
        }
    };
    for partition in 0..100 {
        assert_eq!(newcomer.read_all("many", partition, 0).len(), 1);
    }
    assert_eq!(broker.stop().0, Some(0));
    let log = log.join().unwrap();
    assert!(log.contains("connection refused"), "{log}");
    assert!(!log.contains("is fenced") && !log.contains("is damaged"), "{log}");
    assert!(log.lines().filter(|line| line.contains("refused")).count() < 20, "{log}");
}
