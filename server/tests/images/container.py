"""A container out of an image of packaging/image, under crun, as Docker would run it, without a daemon and without a network.

All containers of a program share the network namespace that `alone` makes for it: loopback, and nothing else. So a port
of a container is a port there, and `Published` stands for the port of the host that a daemon would give it. Each
container has a name of its own, which its /etc/hosts has, the user and the environment of its image, Docker's
capabilities and Docker's default seccomp profile.

seccomp-docker.json is the profile of github.com/moby/profiles/seccomp 0.3.0 for x86-64 and a container with Docker's
default capabilities: the calls that it allows, and EPERM for all others. io_uring_setup, io_uring_enter and
io_uring_register are among the others.
"""

import ctypes
import json
import os
import pathlib
import queue
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60

# Folders of this machine that containers see, for a binary that is not static.
LIBRARIES = []

CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE").split()]

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


def alone():
    """Moves this process into a mount and a network namespace of its own, with loopback up."""
    if os.geteuid():
        sys.exit("error: namespaces and files of several owners: run it as root")
    if missing := [name for name in ("crun", "ip") if not shutil.which(name)]:
        sys.exit(f"error: not installed: {' '.join(missing)} (apt-get install crun iproute2)")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
        sys.exit(f"error: no namespaces can be made here: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    # crun refuses a machine with both versions of control groups, though it is told to leave them alone.
    if not pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
        subprocess.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Image:
    """An image of packaging/image: its configuration, and its files."""

    def __init__(self, tar):
        with tarfile.open(tar) as archive:
            read = lambda name: archive.extractfile(name).read()
            manifest = json.loads(read("manifest.json"))[0]
            self.config = json.loads(read(manifest["Config"]))["config"]
            self.directory = pathlib.Path(tempfile.mkdtemp(prefix="strandline-image-"))
            self.directory.chmod(0o755)
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                    files.extractall(self.directory, numeric_owner=True)

    def remove(self):
        shutil.rmtree(self.directory)


class Container:
    """A container that runs. Leaving it ends it, and removes its files."""

    number = 0

    def __init__(self, image, env=None, entrypoint=None, command=None, hosts=(), resolver=None, read_only=False,
                 volume=None, seccomp=True, files=None):
        Container.number += 1
        self.id = f"strandline-{os.getpid()}-{Container.number}"
        self.hostname = f"c{os.getpid():x}{Container.number:x}"
        self.bundle = pathlib.Path(tempfile.mkdtemp(prefix="strandline-container-"))
        self.root = self.bundle / "rootfs"
        subprocess.run(["cp", "-a", image.directory, self.root], check=True)
        config = image.config
        # As Docker has it: who gives an entrypoint forgets the image's command.
        begins = config.get("Entrypoint", []) if entrypoint is None else entrypoint
        then = command if command is not None else (config.get("Cmd", []) if entrypoint is None else [])
        self.user = int(config["User"].split(":")[0])
        variables = dict(pair.split("=", 1) for pair in config["Env"]) | {"HOSTNAME": self.hostname} | (env or {})
        (self.root / "etc/hosts").write_text(
            f"127.0.0.1 localhost\n127.0.0.1 {self.hostname}\n" + "".join(line + "\n" for line in hosts))
        (self.root / "etc/resolv.conf").write_text(f"nameserver {resolver}\n" if resolver else "")
        for path, content in (files or {}).items():
            (self.root / path.lstrip("/")).write_bytes(content)
        self.spec = self.make_spec(config, [*begins, *then], variables, read_only, volume, seccomp)
        (self.bundle / "config.json").write_text(json.dumps(self.spec))
        self.lines, self.arrived = [], queue.Queue()
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [*self.crun("run"), "-b", self.bundle, self.id], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        for stream, of in ((self.process.stdout, "stdout"), (self.process.stderr, "stderr")):
            threading.Thread(target=self.gather, args=(stream, of), daemon=True).start()

    def make_spec(self, config, arguments, variables, read_only, volume, seccomp):
        mount = lambda to, kind, *options: {"destination": to, "type": kind, "source": kind, "options": list(options)}
        mounts = [
            mount("/proc", "proc"),
            mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
            mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777"),
        ]
        for path in config.get("Volumes", {}):
            # A new volume begins with what the image has there, and its owner.
            place = volume or self.bundle / "volume"
            if not place.exists():
                subprocess.run(["cp", "-a", self.root / path.lstrip("/"), place], check=True)
            mounts.append({"destination": path, "type": "bind", "source": str(place), "options": ["rbind", "rw"]})
        for path in LIBRARIES:
            mounts.append({"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]})
        if read_only:
            mounts.append(mount("/tmp", "tmpfs", "mode=1777"))
        spec = {
            "ociVersion": "1.0.0",
            "hostname": self.hostname,
            "process": {
                "terminal": False, "args": arguments, "cwd": config["WorkingDir"],
                "env": [f"{name}={value}" for name, value in variables.items()],
                "user": {"uid": self.user, "gid": int(config["User"].split(":")[1])},
                # As for any user but root, nothing is in force of what root would have.
                "capabilities": {"bounding": CAPABILITIES},
                "noNewPrivileges": True,
                "rlimits": [{"type": "RLIMIT_NOFILE", "hard": resource.getrlimit(resource.RLIMIT_NOFILE)[1], "soft": 1024}],
            },
            "root": {"path": "rootfs", "readonly": read_only},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
        }
        if seccomp:
            spec["linux"]["seccomp"] = json.loads((HERE / "seccomp-docker.json").read_text())
        return spec

    @staticmethod
    def crun(*arguments):
        return ["crun", "--cgroup-manager=disabled", *arguments]

    def gather(self, stream, of):
        for line in stream:
            self.lines.append((of, line.decode(errors="replace").rstrip("\n")))
            self.arrived.put(None)
        self.arrived.put(None)

    def log(self):
        return "\n".join(line for _, line in list(self.lines))

    def wait_for(self, pattern, streams=("stdout", "stderr")):
        """Waits for a line of the log, and says how long that took since the start."""
        until, looked, pattern = time.monotonic() + PATIENCE, 0, re.compile(pattern)
        while True:
            for of, line in self.lines[looked:]:
                looked += 1
                if of in streams and pattern.search(line):
                    return time.monotonic() - self.began
            assert time.monotonic() < until, f"{pattern.pattern} does not come:\n{self.log()}"
            assert self.process.poll() is None or looked < len(self.lines), f"it has ended:\n{self.log()}"
            try:
                self.arrived.get(timeout=0.1)
            except queue.Empty:
                pass

    def until(self, holds):
        until = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < until, f"it does not come to that:\n{self.log()}"
            assert self.process.poll() is None, f"it has ended:\n{self.log()}"
            time.sleep(0.05)

    def copy(self, path, content, mode):
        """What a daemon does for `docker cp`: the file belongs to root, and is there at once as a whole."""
        place = self.root / path.lstrip("/")
        with tempfile.NamedTemporaryFile(dir=self.bundle, delete=False) as file:
            file.write(content.encode())
        os.chmod(file.name, mode)
        os.rename(file.name, place)

    def execute(self, *arguments):
        """`docker exec`, which is of the image's user."""
        return subprocess.run([*self.crun("exec"), "--user", f"{self.user}:{self.user}", self.id, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)

    def stop(self):
        """`docker stop`: SIGTERM to its first process; the exit code."""
        subprocess.run([*self.crun("kill"), self.id, "TERM"], check=True)
        return self.process.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            subprocess.run([*self.crun("delete"), "--force", self.id], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
        shutil.rmtree(self.bundle)


class Published:
    """A port of the host that leads to one of a container."""

    def __init__(self, inner):
        self.inner = inner
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def accept(self):
        while True:
            try:
                outside, _ = self.socket.accept()
            except OSError:
                return
            try:
                inside = socket.create_connection(("127.0.0.1", self.inner))
            except OSError:
                outside.close()
                continue
            for one, other in ((outside, inside), (inside, outside)):
                threading.Thread(target=self.move, args=(one, other), daemon=True).start()

    @staticmethod
    def move(one, other):
        try:
            while part := one.recv(65536):
                other.sendall(part)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # It has to be over before the descriptor is: an accept that the system begins again takes what comes to the next
        # socket with that number, and leads it to this one's port.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.accepting.join()
        self.socket.close()
