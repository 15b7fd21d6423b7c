//! A broker that the tool starts itself, from a command in which `{data}` and `{port}` stand for a directory
//! and a port, `{metrics}` for the port of its metrics and `{tls}` for one at which it speaks
//! TLS, if it has any.
//!
//! The command must stay in the foreground (or `exec` the broker), so that its pid is the broker's: it is
//! stopped by that pid, and its CPU and memory are counted by it. The process does not outlive the value, and
//! not the tool when that is told to end.

use crate::client::{Client, ClientError};
use crate::clock::{SECOND, now};
use crate::device::DeviceStat;
use crate::memory;
use crate::process::Watched;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How long a broker may take until it answers.
const START_TIMEOUT: u64 = 60 * SECOND;
/// How long it may take to stop before it is killed.
const STOP_TIMEOUT: u64 = 30 * SECOND;
/// How often a starting broker is asked.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// The name of a data directory; the broker's output is beside it.
const DATA: &str = "data";

/// The brokers that run now, for when the tool is told to end.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokerError {
    #[error("{command:?} can not be started: {source}")]
    Start { command: String, source: io::Error },
    #[error("{command:?} ended ({status}); its output is in {}", log.display())]
    Ended { command: String, status: std::process::ExitStatus, log: PathBuf },
    #[error("{command:?} did not answer within a minute ({source}); its output is in {}", log.display())]
    Silent { command: String, source: ClientError, log: PathBuf },
    #[error("an empty command")]
    Empty,
}

/// A broker to measure.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) bootstrap: String,
    /// Its process, when it is on this machine.
    pub(crate) pid: Option<u32>,
    /// Where it keeps its data, when that is known.
    pub(crate) data: Option<PathBuf>,
    /// Configuration of the topics created on it.
    pub(crate) topic_configs: Vec<(String, String)>,
}

impl Target {
    /// What to watch while it works.
    pub(crate) fn watched(&self) -> Option<Watched> {
        let device = self.data.as_deref().and_then(DeviceStat::of);
        self.pid.map(|pid| Watched { pid, device })
    }
}

/// A system under test: a name and the command that runs it.
#[derive(Clone, Debug)]
pub(crate) struct System {
    /// What tables call it.
    pub(crate) name: String,
    /// The command, split at blanks.
    pub(crate) command: Vec<String>,
    /// Configuration of the topics created on it.
    pub(crate) topic_configs: Vec<(String, String)>,
    /// What has to be true of a record before it is acknowledged, for titles.
    pub(crate) durability: String,
}

/// From now on SIGINT and SIGTERM stop the brokers that run, then the tool. Data directories are left for
/// whoever wants to look.
pub(crate) fn stop_on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            for &pid in running.iter() {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::TERM);
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
    /// Where it answers HTTP, when its command asks for that.
    pub(crate) metrics: Option<String>,
    /// Where it speaks TLS, when its command asks for that.
    pub(crate) tls: Option<String>,
    /// When it was started, on [`crate::clock`].
    pub(crate) started: u64,
}

impl Broker {
    /// Starts `system` on the directory `data` and waits until `answers` says that it does.
    fn start(
        system: &System,
        data: &Path,
        answers: impl Fn(&str) -> Result<(), ClientError>,
    ) -> Result<Broker, BrokerError> {
        let line = system.command.join(" ");
        let failed = |source| BrokerError::Start { command: line.clone(), source };
        std::fs::create_dir_all(data).map_err(failed)?;
        let [port, metrics, tls] = free_ports().map_err(failed)?;
        let mut words = system.command.iter().map(|word| {
            let word = word.replace("{data}", &data.to_string_lossy());
            let word = word.replace("{port}", &port.to_string());
            word.replace("{metrics}", &metrics.to_string()).replace("{tls}", &tls.to_string())
        });
        let has = |port: &str| system.command.iter().any(|word| word.contains(port));
        let log = data.with_extension("out");
        let out = File::create(&log).map_err(failed)?;
        let started = now();
        let child = Command::new(words.next().ok_or(BrokerError::Empty)?)
            .args(words)
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(failed)?)
            .stderr(out)
            .spawn()
            .map_err(failed)?;
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(Pid::from_child(&child));
        let address = |port: u16| format!("127.0.0.1:{port}");
        let metrics = has("{metrics}").then(|| address(metrics));
        let tls = has("{tls}").then(|| address(tls));
        let mut broker = Broker { child, address: address(port), metrics, tls, started };
        loop {
            match answers(&broker.address) {
                Ok(()) => return Ok(broker),
                Err(source) if now() - started > START_TIMEOUT => {
                    return Err(BrokerError::Silent { command: line, source, log });
                }
                Err(_) => thread::sleep(ASK_EVERY),
            }
            if let Ok(Some(status)) = broker.child.try_wait() {
                return Err(BrokerError::Ended { command: line, status, log });
            }
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Kills it without warning, and waits until it is gone.
    pub(crate) fn kill_now(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker that began on an empty directory, which goes when it does.
#[derive(Debug)]
pub(crate) struct Fresh {
    // Dropped in this order: first the process, then its files.
    /// The broker.
    pub(crate) broker: Broker,
    directory: TempDir,
    topic_configs: Vec<(String, String)>,
}

impl Fresh {
    /// Starts a broker on a new directory in `dir`.
    pub(crate) fn start(system: &System, dir: &Path) -> Result<Fresh, BrokerError> {
        Fresh::start_any(system, dir, talks_kafka)
    }

    /// The same for what is no broker, and ready when `answers` says so.
    pub(crate) fn start_any(
        system: &System,
        dir: &Path,
        answers: impl Fn(&str) -> Result<(), ClientError>,
    ) -> Result<Fresh, BrokerError> {
        // A machine without /proc has no first touch that we know of.
        let _ = memory::fill(dir);
        let command = || system.command.join(" ");
        let directory = tempfile::Builder::new().prefix("strandline-bench-").tempdir_in(dir);
        let directory = directory.map_err(|source| BrokerError::Start { command: command(), source })?;
        let broker = Broker::start(system, &directory.path().join(DATA), answers)?;
        Ok(Fresh { broker, directory, topic_configs: system.topic_configs.clone() })
    }

    /// How to measure it.
    pub(crate) fn target(&self) -> Target {
        Target {
            bootstrap: self.broker.address.clone(),
            pid: Some(self.broker.pid()),
            data: Some(self.data()),
            topic_configs: self.topic_configs.clone(),
        }
    }

    /// Where it keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join(DATA)
    }

    /// Kills it without warning and starts `system` on what it has left.
    pub(crate) fn restart(mut self, system: &System) -> Result<Fresh, BrokerError> {
        self.broker.kill_now();
        self.broker = Broker::start(system, &self.data(), talks_kafka)?;
        Ok(self)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
        let pid = Pid::from_child(&self.child);
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|&running| running != pid);
    }
}

impl Broker {
    fn stop(&mut self) {
        let deadline = now() + STOP_TIMEOUT;
        if !matches!(self.child.try_wait(), Ok(None)) || self.signal(Signal::TERM).is_err() {
            return;
        }
        while matches!(self.child.try_wait(), Ok(None)) {
            if now() > deadline {
                return self.kill_now();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether it answers as a Kafka broker.
fn talks_kafka(address: &str) -> Result<(), ClientError> {
    Client::connect(address).map(drop)
}

/// Two different ones.
fn free_ports() -> io::Result<[u16; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let [one, other, third] = [bind()?, bind()?, bind()?];
    Ok([one.local_addr()?.port(), other.local_addr()?.port(), third.local_addr()?.port()])
}
