//! The built broker as a process of its own, on a free port.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::client::Client;

/// A running broker. Dropping it kills it.
pub(crate) struct Broker {
    process: Child,
    pub(crate) address: SocketAddr,
    /// Where the HTTP front answers, if that was asked for.
    pub(crate) http: Option<SocketAddr>,
    /// Where the MQTT front answers, if that was asked for.
    pub(crate) mqtt: Option<SocketAddr>,
    /// Where metrics are answered, if that was asked for.
    pub(crate) metrics: Option<SocketAddr>,
}

/// A new directory for data.
pub(crate) fn data_dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// What starts a broker on a free port.
pub(crate) fn command(data_dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    command.arg("--data-dir").arg(data_dir).args(more);
    if !more.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Broker {
    pub(crate) fn start(data_dir: &Path, more: &[&str]) -> Broker {
        Broker::greeted(command(data_dir, more).stderr(Stdio::inherit()).spawn().unwrap())
    }

    /// Starts a broker; its log comes from a thread that reads it to the end.
    pub(crate) fn start_logging(data_dir: &Path, more: &[&str]) -> (Broker, JoinHandle<String>) {
        Broker::greeted_logging(command(data_dir, more))
    }

    /// The same with a command that was changed.
    pub(crate) fn greeted_logging(mut command: Command) -> (Broker, JoinHandle<String>) {
        let mut process = command.spawn().unwrap();
        let mut log = process.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut lines = String::new();
            log.read_to_string(&mut lines).unwrap();
            lines
        });
        (Broker::greeted(process), log)
    }

    /// Starts a broker whose log goes there.
    pub(crate) fn start_logging_to(data_dir: &Path, more: &[&str], log: impl Into<Stdio>) -> Broker {
        Broker::greeted(command(data_dir, more).stderr(log).spawn().unwrap())
    }

    /// The exit code of a broker that is expected to end by itself, whose log goes there.
    pub(crate) fn ended(data_dir: &Path, more: &[&str], log: impl Into<Stdio>) -> Option<i32> {
        command(data_dir, more).stderr(log).status().unwrap().code()
    }

    /// Starts a broker with these arguments alone: no directory and no port is chosen for it.
    pub(crate) fn start_bare(arguments: &[&str]) -> (Broker, JoinHandle<String>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Broker::greeted_logging(command)
    }

    fn greeted(mut process: Child) -> Broker {
        let lines = BufReader::new(process.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        let greeting: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let word = |after: &str| {
            let line = greeting.iter().find_map(|line| line.trim_start().strip_prefix(after))?;
            line.split_whitespace().next().map(str::to_owned)
        };
        let address = word("listens on").expect("the broker starts").parse().unwrap();
        let metrics = word("metrics").map(|url| {
            url.strip_prefix("http://").unwrap().strip_suffix("/metrics,").unwrap().parse().unwrap()
        });
        let http = word("http ").map(|url| url.split_once("://").unwrap().1.parse().unwrap());
        let mqtt = word("mqtt ").map(|address| address.parse().unwrap());
        Broker { process, address, http, mqtt, metrics }
    }

    /// Starts a broker that is expected to end by itself.
    pub(crate) fn refused(data_dir: &Path, more: &[&str]) -> Output {
        command(data_dir, more).output().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// SIGTERM; the exit code and what is left of standard output.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        (self.process.wait().unwrap().code(), rest)
    }

    /// How it has ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
