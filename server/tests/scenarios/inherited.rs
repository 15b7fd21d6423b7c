//! A broker that is started with its socket, as a supervisor such as systemd does (sd_listen_fds(3)).

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use strandline_protocol::messages::MetadataRequest;

use crate::broker::{Broker, data_dir};
use crate::client::Client;

/// A broker with a descriptor of this name. A shell knows its number as a process before it is a broker, and
/// has the descriptor as its standard input.
fn command(data_dir: &Path, descriptor: impl Into<OwnedFd>, name: &str, more: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=\"$0\"; exec \"$@\"";
    command
        .args(["-c", script, name, env!("CARGO_BIN_EXE_strandline"), "--data-dir"])
        .arg(data_dir)
        .args(more);
    command.stdin(Stdio::from(descriptor.into())).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn connections_that_came_while_no_broker_ran_are_served_by_the_next_one() {
    let dir = data_dir();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let place = address.to_string();
    // By its name, wherever it is; and by its place, whatever its name is.
    for (name, place) in [("plaintext", "127.0.0.1:0"), ("strandline.socket", &*place)] {
        let mut client = Client::connect(address);
        let command = command(dir.path(), socket.try_clone().unwrap(), name, &["--listen", place]);
        let (broker, _log) = Broker::greeted_logging(command);
        assert_eq!(broker.address, address);
        let brokers = client.call(12, &MetadataRequest::default()).brokers;
        assert_eq!(brokers.iter().map(|broker| broker.port).collect::<Vec<_>>(), [i32::from(address.port())]);
        broker.kill();
    }
}

#[test]
fn a_broker_does_not_start_with_a_socket_that_is_not_its_own() {
    let dir = data_dir();
    let refused = |descriptor: OwnedFd, name| {
        let refused = command(dir.path(), descriptor, name, &["--listen", "127.0.0.1:0"]).output().unwrap();
        assert!(!refused.status.success());
        String::from_utf8(refused.stderr).unwrap()
    };
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let said = refused(socket.into(), "other");
    assert!(said.contains("for no listener: other at 127.0.0.1:"), "{said}");
    let said = refused(File::open("/dev/null").unwrap().into(), "plaintext");
    assert!(
        said.contains("descriptor 3, with which the process was started, does not listen for TCP"),
        "{said}"
    );
}
