"""What the scenarios in Python ask of a client library, and the tools they share.

A client's `client.py` describes its library as a `Kafka`, with `Producer`s and `Consumer`s, and ends with
`kit.main(TheirKafka)`. The scenarios stand in records.py and groups.py, once for all libraries. Everything here speaks of

* a partition as the pair (topic, number),
* a setting by Kafka's name with underscores for dots (`linger_ms`),
* a refusal as `Refused` with Kafka's error code.
"""

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid

PATIENCE_SECONDS = 20
SKIP = 77

Record = collections.namedtuple("Record", "topic partition offset timestamp key value headers")
GroupMember = collections.namedtuple("GroupMember", "member_id client_id host partitions")


class Refused(Exception):
    """The broker (or, on its behalf, the library) said no, with this error code of the protocol."""

    def __init__(self, code, message=""):
        super().__init__(f"error {code} {message}")
        self.code = code


class Impossible(Exception):
    """The library has no way to ask for this."""


class Kafka:
    """The library: administration, and makers of producers and consumers. What it cannot do stays as it is here."""

    # What the matrix calls it.
    name = None
    null_header_values = True
    # Whether it is asked for group.protocol=consumer (KIP-848).
    has_consumer_protocol = False
    # How the library calls error 87, INVALID_RECORD.
    invalid_record = 87

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def producer(self, **settings):
        raise NotImplementedError

    def consumer(self, **settings):
        raise NotImplementedError

    def create(self, topic, partitions=1, replicas=1, **config):
        raise Impossible(f"{self.name} creates no topics")

    def delete(self, topic):
        raise Impossible(f"{self.name} deletes no topics")

    def topics(self):
        """{name: {partition number: (leader, replicas, in-sync replicas)}} of all topics."""
        raise Impossible(f"{self.name} lists no topics")

    def cluster(self):
        """(cluster id, controller's id, {broker id: (host, port)})"""
        raise Impossible(f"{self.name} does not describe clusters")

    def config(self, topic):
        """{name: (value, whether it is the default)}"""
        raise Impossible(f"{self.name} does not describe configurations")

    def alter(self, topic, *changes):
        """Each change is name, SET or DELETE or APPEND or SUBTRACT, value."""
        raise Impossible(f"not written for {self.name}")

    def grow(self, topic, partitions):
        raise Impossible(f"not written for {self.name}")

    def delete_records(self, partition, before):
        """The first offset that is left."""
        raise Impossible(f"not written for {self.name}")

    def max_timestamp(self, partition):
        """(offset, timestamp)"""
        raise Impossible(f"{self.name} does not ask for the largest timestamp")

    def groups(self):
        """{group: (protocol type, state)}, None for what the library does not tell"""
        raise Impossible(f"{self.name} lists no groups")

    def group(self, name):
        """(state, [GroupMember])"""
        raise Impossible(f"{self.name} describes no groups")

    def delete_group(self, name):
        raise Impossible(f"{self.name} deletes no groups")

    def group_offsets(self, name):
        """{partition: offset}"""
        raise Impossible(f"{self.name} lists no offsets of groups")

    def alter_group_offsets(self, name, offsets):
        raise Impossible(f"{self.name} alters no offsets of groups")

    def delete_group_offsets(self, name, partitions):
        raise Impossible(f"{self.name} deletes no offsets of groups")

    def share_member(self, group, topics):
        """A `ShareMember`."""
        raise Impossible(f"{self.name} has no share groups")

    def set_group(self, group, name, value):
        """A setting of a group."""
        raise Impossible(f"{self.name} sets no settings of groups")


class ShareMember:
    """A member of a share group (KIP-932), which says of each record what became of it."""

    def poll(self, seconds):
        """Records with how often each was delivered, and what `acknowledge` knows it by."""
        raise NotImplementedError

    def acknowledge(self, record, how):
        """ACCEPT, RELEASE or REJECT"""
        raise NotImplementedError

    def commit(self, seconds):
        """{partition: the `Refused` or None} of what was acknowledged."""
        raise NotImplementedError

    def close(self):
        raise NotImplementedError


class Producer:
    def send(self, topic, value, key=None, headers=None, timestamp=None, partition=None, done=None):
        """`done(error, partition number, offset)` is called at most once, on any thread; error is a `Refused` or None."""
        raise NotImplementedError

    def flush(self):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError

    # Of a transactional producer.

    def init(self):
        raise NotImplementedError

    def begin(self):
        raise NotImplementedError

    def commit(self):
        """Raises `Refused`."""
        raise NotImplementedError

    def abort(self):
        raise NotImplementedError

    def send_offsets(self, offsets, consumer):
        """{partition: next offset}, of the group of the consumer"""
        raise NotImplementedError


class Consumer:
    """Where partitions are taken away on a thread of the library, `lock` is held by whoever handles records and by the
    callbacks, and `stale` tells whether the records of the last poll are still one's own."""

    lock = contextlib.nullcontext()

    def stale(self):
        return False

    def poll(self, seconds):
        """Records; none when none came in that time. Raises `Refused`."""
        raise NotImplementedError

    def assign(self, positions):
        """{partition: an offset, "beginning" or "end"}"""
        raise NotImplementedError

    def subscribe(self, topics=None, pattern=None, assigned=None, revoked=None):
        """The callbacks get the partitions that came or went."""
        raise NotImplementedError

    def seek(self, partition, offset):
        raise NotImplementedError

    def pause(self, partition):
        raise NotImplementedError

    def resume(self, partition):
        raise NotImplementedError

    def position(self, partition):
        raise NotImplementedError

    def commit(self, offsets):
        """{partition: (next offset, metadata)}; returns when the broker has them. Raises `Refused`."""
        raise NotImplementedError

    def committed(self, partition):
        """(offset, metadata), or None. With a group of its own."""
        raise NotImplementedError

    def bounds(self, partition):
        """(log start offset, end)"""
        raise NotImplementedError

    def offset_at(self, partition, timestamp):
        """Of the first record at or after it, or None."""
        raise NotImplementedError

    def close(self):
        raise NotImplementedError


def fresh(name):
    return f"{name}-{uuid.uuid4().hex[:12]}"


def until(what, condition, seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.05)


def refusal(code, ask, *arguments, **more):
    """Asserts that this is refused with one of these codes."""
    codes = code if isinstance(code, tuple) else (code,)
    try:
        ask(*arguments, **more)
    except Refused as e:
        assert e.code in codes, f"{e} instead of {code}"
        return
    raise AssertionError(f"not refused with {code}")


class Sender:
    """A producer that remembers what was acknowledged and what was refused."""

    def __init__(self, kafka, **settings):
        self.offsets, self.errors = [], []
        self.producer = kafka.producer(**{"linger_ms": 20, **settings})

    def _delivered(self, error, _, offset):
        if error:
            self.errors.append(error)
        else:
            self.offsets.append(offset)

    def send(self, topic, value, **more):
        self.producer.send(topic, value, done=self._delivered, **more)

    def flush(self):
        self.producer.flush()

    def done(self):
        self.flush()
        assert not self.errors, self.errors[:3]

    def close(self):
        self.done()
        self.producer.close()


def reader(kafka, **settings):
    """A consumer that only assigns, never joins a group and never resets its position by itself."""
    return kafka.consumer(**{"enable_auto_commit": False, "auto_offset_reset": "none", **settings})


def drain(consumer, count, spare_seconds=0.3):
    """`count` records, and proof that no more of them follow."""
    records, deadline = [], time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        had = len(records) >= count
        records += consumer.poll(0.1)
        if len(records) >= count and not had:
            deadline = time.monotonic() + spare_seconds
    assert len(records) == count, f"{len(records)} records instead of {count}"
    return records


def read(kafka, topic, count, partitions=1, offset="beginning", **settings):
    consumer = reader(kafka, **settings)
    consumer.assign({(topic, p): offset for p in range(partitions)})
    records = drain(consumer, count)
    consumer.close()
    return records


def fill(kafka, topic, count=100, partitions=1, begin=0, timestamp=None):
    """Sends the numbers from `begin` on as values, over the partitions in turn."""
    sender = Sender(kafka, acks="all", enable_idempotence=True)
    for i in range(begin, begin + count):
        sender.send(topic, b"%d" % i, partition=i % partitions, timestamp=timestamp(i) if timestamp else None)
    sender.close()


def filled(kafka, name, count=100, partitions=1, timestamp=None):
    topic = fresh(name)
    kafka.create(topic, partitions)
    fill(kafka, topic, count, partitions, timestamp=timestamp)
    return topic


def numbers(records):
    return [int(r.value) for r in records]


class Seen:
    """What a group member went through: (when, what, detail) in order."""

    def __init__(self):
        self.events = []

    def tell(self, what, detail):
        self.events.append((time.monotonic(), what, detail))

    def details(self, what):
        return [detail for _, kind, detail in list(self.events) if kind == what]

    @property
    def partitions(self):
        """What it owns now: partition numbers."""
        owned = set()
        for _, what, detail in list(self.events):
            if what == "assigned":
                owned |= set(detail)
            elif what == "revoked":
                owned -= set(detail)
        return owned

    @property
    def rebalances(self):
        return len(self.details("assigned")) + len(self.details("revoked"))

    @property
    def read(self):
        """(partition number, offset, key, value) in the order they came"""
        return [tuple(r) for r in self.details("read")]

    @property
    def committed(self):
        """{partition number: offset} as the broker confirmed it last"""
        return {int(p): offset for detail in self.details("committed") for p, offset in detail.items()}


class Member(Seen):
    """A member of a group on a thread of its own: it reads one topic and commits what it has read before it reads on.

    Values that begin with `held` are read and not committed. A `patient` member commits later what was refused: while
    the group rebalances under a cooperative member, or the broker is away.
    """

    def __init__(self, kafka, topic, group, patient=False, **settings):
        super().__init__()
        self.topic, self.patient, self.failure, self.handled = topic, patient, None, {}
        # In the consumer protocol these are the broker's.
        own = {} if settings.get("group_protocol") == "consumer" else {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}
        self.consumer = kafka.consumer(**{"group_id": group, "enable_auto_commit": False, "auto_offset_reset": "earliest", **own,
                                          **settings})
        self.consumer.subscribe([topic], assigned=self._assigned, revoked=self._revoked)
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.leaving.is_set():
                records = self.consumer.poll(0.1)
                with self.consumer.lock:
                    if not self.consumer.stale():
                        self._handle(records)
                        self._commit()
            self.consumer.close()
        except Exception as e:
            traceback.print_exc(file=sys.stdout)
            self.failure = e

    def _handle(self, records):
        for r in records:
            self.tell("read", [r.partition, r.offset, *((x.decode() if x is not None else None) for x in (r.key, r.value))])
            if not r.value.startswith(b"held"):
                self.handled[r.topic, r.partition] = (r.offset + 1, "")

    def _commit(self):
        if not self.handled:
            return
        try:
            self.consumer.commit(self.handled)
        except Refused as e:
            if not self.patient:
                raise
            print(f"not committed: {e}")
        else:
            self.tell("committed", {p: offset for (_, p), (offset, _) in self.handled.items()})
            self.handled = {}

    def _assigned(self, partitions):
        self.tell("assigned", sorted(p for _, p in partitions))

    def _revoked(self, partitions):
        self._commit()
        self.handled = {p: offset for p, offset in self.handled.items() if p not in partitions}
        self.tell("revoked", sorted(p for _, p in partitions))

    def check(self):
        if self.failure:
            raise self.failure

    def stop(self):
        """Leaves as a program does that ends well."""
        self.leaving.set()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), "a member does not end"
        self.check()


class TellingMember(Member):
    def tell(self, what, detail):
        super().tell(what, detail)
        print(json.dumps([what, detail]), flush=True)


class ChildMember(Seen):
    """A member in a process of its own, so that it can be killed."""

    def __init__(self, kafka, topic, group, **settings):
        super().__init__()
        self.began = time.monotonic()
        self.process = subprocess.Popen([sys.executable, *sys.argv[:1], "member", kafka.bootstrap, sys.argv[3],
                                         json.dumps({"topic": topic, "group": group, **settings})],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            if line.startswith(b"["):
                self.tell(*json.loads(line))
            else:
                print(line.decode(errors="replace"), end="")

    def age(self):
        """In seconds."""
        return time.monotonic() - self.began

    def check(self):
        code = self.process.poll()
        assert code in (None, -signal.SIGKILL), f"a member ended with {code}"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_SECONDS) == 0


def be_a_member(kafka, settings):
    member = TellingMember(kafka, **settings)
    while member.thread.is_alive() and not member.leaving.is_set():
        if not sys.stdin.read(1):
            member.stop()
    member.check()


def main(library, *impossible):
    """Runs the scenario that the command line names; `impossible` are pairs of a scenario and the library's reason."""
    import groups
    import records
    import transactions

    scenario, bootstrap = sys.argv[1], sys.argv[2]
    kafka = library(bootstrap)
    code = 1
    try:
        if scenario == "member":
            be_a_member(kafka, json.loads(sys.argv[4]))
        elif reason := dict(impossible).get(scenario):
            raise Impossible(reason)
        elif scenario.startswith("roundtrip-"):
            records.roundtrip(kafka, scenario.removeprefix("roundtrip-"))
        else:
            name = scenario.replace("-", "_")
            run = getattr(records, name, None) or getattr(groups, name, None)
            run = run or getattr(transactions, name, None)
            if not run:
                raise Impossible("not written for this client")
            run(kafka)
        code = 0
    except Impossible as e:
        print(e)
        code = SKIP
    except BaseException:
        traceback.print_exc(file=sys.stdout)
    sys.stdout.flush()
    # Threads of a library may wait for a broker that will not answer; the verdict is said.
    os._exit(code)
