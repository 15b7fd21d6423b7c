"""The phase of the database: what Debezium makes of a real PostgreSQL, under kills, is what was committed there, each change once."""

import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

import harness
from files import EXACTLY_ONCE, kills
from scene import JSON, until
from sequence import check

TOPIC = "shop.public.orders"
IDS = 200
START_ROWS = 100


class Postgres:
    """A server with a data directory of its own, which is not in the phase's folder: it does not run as root and would not get there."""

    def __init__(self, log):
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.data, self.port = pathlib.Path(tempfile.mkdtemp(prefix="strandline-postgres-")), harness.free_port()
        as_user = []
        if os.geteuid() == 0:
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            shutil.chown(self.data, "postgres")
        make = ["initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"]
        # A worker that stands still has to lose its replication slot to the next one.
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "wal_level": "logical",
                    "wal_sender_timeout": "5s", "fsync": "off"}
        serve = ["postgres", "-D", self.data, *(f"--{name}={value}" for name, value in settings.items())]
        with open(log, "wb") as out:
            subprocess.run([*as_user, self.bin / make[0], *make[1:]], check=True, cwd="/", stdout=out, stderr=out)
            self.process = subprocess.Popen([*as_user, self.bin / serve[0], *serve[1:]], cwd="/", stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, start_new_session=True)
        until(lambda: subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0,
              "PostgreSQL answers")

    def psql(self):
        return [self.bin / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1"]

    def ask(self, sql):
        return subprocess.run([*self.psql(), "-c", sql], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()

    def kill(self):
        # At once, but so that its processes and its shared memory go as well.
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(harness.STOP_SECONDS)
        shutil.rmtree(self.data)


class Changes(threading.Thread):
    """Transactions over the rows of a table, until it is stopped; `events` has what was committed of each row, in order."""

    def __init__(self, postgres, chance):
        super().__init__(daemon=True)
        self.postgres, self.chance, self.ended = postgres, chance, threading.Event()
        self.rows, self.events, self.version = {}, collections.defaultdict(list), 0

    def begin(self):
        """The table with its first rows, which are a snapshot to Debezium."""
        self.postgres.ask("create table orders (id int primary key, version bigint not null, note text not null)")
        self.postgres.ask("alter table orders replica identity full")
        self.postgres.ask("insert into orders select id, id, 'first' from generate_series(1, %d) id" % START_ROWS)
        for at in range(1, START_ROWS + 1):
            self.rows[at] = at
            self.events[at].append(("r", at))
        self.version = START_ROWS

    def change(self, rows, at):
        """A statement, and the events that it is to Debezium; `rows` becomes what it leaves."""
        self.version += 1
        if at not in rows:
            sql, events = f"insert into orders values ({at}, {self.version}, 'new');", [("c", self.version)]
        elif self.chance.random() < 0.3:
            return f"delete from orders where id = {at};", [("d", rows.pop(at)), None]
        else:
            note = "n" * self.chance.randrange(500)
            sql, events = f"update orders set version = {self.version}, note = '{note}' where id = {at};", [("u", self.version)]
        rows[at] = self.version
        return sql, events

    def run(self):
        with subprocess.Popen(self.postgres.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as psql:
            while not self.ended.wait(0.01):
                rows, made = dict(self.rows), []
                for at in self.chance.sample(range(1, IDS + 1), self.chance.randint(1, 8)):
                    made.append((at, *self.change(rows, at)))
                committed = self.chance.random() < 0.85
                psql.stdin.write("begin;" + "".join(sql for _, sql, _ in made) + ("commit;" if committed else "rollback;") + "\n\\echo done\n")
                psql.stdin.flush()
                if psql.stdout.readline() != "done\n":
                    return
                if committed:
                    self.rows = rows
                    for at, _, events in made:
                        self.events[at] += events
            psql.stdin.close()

    def stop(self):
        check(self.is_alive(), "the database has refused a transaction")
        self.ended.set()
        self.join()


def event(message):
    """What a record says of its row: how it was changed and the version; None of a tombstone."""
    if message.value() is None:
        return None
    value = json.loads(message.value())
    return value["op"], (value["before"] if value["op"] == "d" else value["after"])["version"]


def database(scene):
    """Debezium with exactly-once support, while transactions are committed and rolled back, and everything but PostgreSQL is killed."""
    postgres = Postgres(scene.work / "postgres.log")
    scene.ending.append(postgres)
    changes = Changes(postgres, scene.chance)
    changes.begin()
    cluster = scene.cluster(2, {**EXACTLY_ONCE, "plugin.path": scene.plugins, "key.converter": JSON, "value.converter": JSON,
                                "key.converter.schemas.enable": False, "value.converter.schemas.enable": False})
    cluster.put("debezium", {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": "127.0.0.1",
        "database.port": postgres.port, "database.user": "postgres", "database.password": "none", "database.dbname": "postgres",
        "topic.prefix": "shop", "table.include.list": "public.orders", "plugin.name": "pgoutput", "publication.autocreate.mode": "filtered",
        "poll.interval.ms": 100, "exactly.once.support": "required", "topic.creation.default.partitions": 1,
        "topic.creation.default.replication.factor": 1, "topic.creation.default.cleanup.policy": "compact"})
    cluster.await_running("debezium")
    until(lambda: len(scene.topics.read(TOPIC)) == START_ROWS, "the snapshot is there")
    check(scene.topics.settings(TOPIC)["cleanup.policy"] == "compact", "the topic is not compacted")
    changes.start()
    what = kills(scene, cluster, scene.options.seconds)
    changes.stop()

    wanted = sum(map(len, changes.events.values()))
    until(lambda: len(scene.topics.read(TOPIC)) >= wanted, "all changes are there")
    found = collections.defaultdict(list)
    for message in scene.topics.read(TOPIC):
        found[json.loads(message.key())["id"]].append(event(message))
    for at, events in changes.events.items():
        check(found[at] == events, f"row {at} went through {events}, and the topic says {found[at]}")
    left = {int(line.split("|")[0]): int(line.split("|")[1]) for line in postgres.ask("select id, version from orders")}
    check(left == changes.rows == {at: events[-1][1] for at, events in found.items() if events[-1]}, "the table is another one in the end")
    return f"{wanted} changes of {len(found)} rows, each once and in order; {what}"
