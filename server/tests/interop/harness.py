"""A broker under test: where it is built, how it is started, when it answers, how it ends.

Shared by run, walkthrough and kill9. Loopback only; a process is ended by its pid and only by who started it.

`harness.py restart PORT` is what a client runs (as INTEROP_RESTART) to have its broker killed and started again.
"""

import os
import pathlib
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
CACHE = TARGET / "interop"
CLIENTS = HERE / "clients"

# The broker under test: the release build, or what the variable names: `.ci/run` takes what `cargo test` has built.
PROGRAM = pathlib.Path(os.environ.get("STRANDLINE_PROGRAM") or TARGET / "release" / "strandline").resolve()

# Groups form at once, as bench/peers/kafka has it: nobody waits three seconds for members that may still come.
DEFAULT_START = (f"{shlex.quote(str(PROGRAM))} serve --listen 127.0.0.1:{{port}} --data-dir {{data}}"
                 " -o group.initial.rebalance.delay.ms=0")
START_HELP = ("start command of the broker, with {port} and {data} in it; it must stay in the foreground "
              "(default: the release build of strandline, or the program that STRANDLINE_PROGRAM names)")

READY_SECONDS = 180
STOP_SECONDS = 30


def die_tidily():
    """Turns SIGTERM into an exception, so that `finally` ends what was started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def build():
    """Makes the release build, where no other program is asked for; returns the program."""
    if not os.environ.get("STRANDLINE_PROGRAM"):
        subprocess.run(["cargo", "build", "--release", "--bin", "strandline"], cwd=ROOT, check=True)
    return PROGRAM


def install(part):
    """Runs one folder's `install` into its own directory of the cache; returns that and the line that names the version."""
    directory = CACHE / pathlib.Path(part).name
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([HERE / part / "install", directory], check=True, stdout=subprocess.PIPE, text=True)
    return directory, done.stdout.strip().splitlines()[-1]


def go_on_in(python):
    """Goes on in the interpreter that has what a client's `install` has put there."""
    if pathlib.Path(sys.executable) != python:
        os.execv(python, [str(python), *sys.argv])


def command_line(*words):
    """This file as a command for a shell."""
    return shlex.join([sys.executable, str(HERE / "harness.py"), *words])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    """Whether an ApiVersions v0 request gets an answer without error."""
    request = struct.pack(">hhih", 18, 0, 1, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as s, s.makefile("rb") as answer:
            s.sendall(struct.pack(">i", len(request)) + request)
            _, correlation, error = struct.unpack(">iih", answer.read(10))
            return (correlation, error) == (1, 0)
    except (OSError, struct.error):
        return False


class Broker:
    """One broker on one port and one data directory; may be started again after it ended."""

    def __init__(self, start, data, log):
        self.start_command, self.data, self.log = start, data, log
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        """Returns when it answers; the seconds that took."""
        command = shlex.split(self.start_command.format(port=self.port, data=shlex.quote(str(self.data))))
        began = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        while not answers(self.port):
            if self.process.poll() is not None:
                raise SystemExit(f"the broker ended with {self.process.returncode}; see {self.log}")
            if time.monotonic() > began + READY_SECONDS:
                raise SystemExit(f"the broker does not answer after {READY_SECONDS} s; see {self.log}")
            time.sleep(0.02)
        return time.monotonic() - began

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()

    def stop(self):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


class Restarts:
    """Kills and starts a broker again, each time somebody connects to `port`; they are told when it answers."""

    def __init__(self, broker):
        self.broker = broker
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.broker.kill()
                try:
                    seconds = self.broker.start()
                    connection.sendall(f"answers after {seconds:.2f} s".encode())
                except SystemExit as e:
                    print(e, file=sys.stderr)

    def close(self):
        # close() alone would leave accept() waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def main():
    _, command, port = sys.argv
    assert command == "restart"
    with socket.create_connection(("127.0.0.1", int(port)), timeout=READY_SECONDS + 10) as s:
        answer = s.makefile("rb").read().decode()
    print(answer or "the broker did not come back")
    sys.exit(0 if answer else 1)


if __name__ == "__main__":
    main()
