"""The scenarios, written once, for clients that a driver makes available.

    driven.py SCENARIO BOOTSTRAP WORKDIR COMMAND...

COMMAND BOOTSTRAP starts a driver: a small program around one client library that does what it is told, one thing after
the other, with the library's ordinary calls. It reads one JSON object a line and answers each with one line:

    {"do": "create-topic", "topic": "t", "partitions": 8}       what to do, and with what
    {"ok": ...}                                                 done
    {"error": 36, "text": "..."}                                refused, with Kafka's error code, or 0 if the client has its own
    {"cannot": "..."}                                           this client has no call for it: the scenario is skipped

Its first line is {"ready": NAME, "lacks": {WHAT: WHY, ...}}: what the client does not do with Kafka either. What comes by
itself in between are the events of its consumers:

    {"event": "assigned" | "revoked", "consumer": "c", "partitions": [["t", 0], ...]}
    {"event": "records", "consumer": "c", "records": [{topic, partition, offset, key, value, headers, timestamp}, ...]}
    {"event": "error", "consumer": "c", "error": 1, "text": "..."}

Keys and values are base64 or null, headers are a list of pairs of name and value, times are milliseconds. A driver leaves
when its input ends, and a member that has to die is a driver that gets SIGKILL. The commands are the methods of Driver.
"""

import base64
import contextlib
import itertools
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "python"))
from kit import SKIP, Impossible, Refused, fresh, refusal, until

PATIENCE_SECONDS = 30
# Proof that nothing more comes; a fetch takes half a second by default.
QUIET_SECONDS = 1.0

INVALID_CONFIG = 40
INVALID_PARTITIONS = 37
OFFSET_OUT_OF_RANGE = 1
UNKNOWN_TOPIC_OR_PARTITION = 3
MESSAGE_TOO_LARGE = 10
# COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR: what clients ask again after.
COORDINATOR_STARTS = (14, 15, 16)
INVALID_TOPIC = 17
UNKNOWN_MEMBER_ID = 25
UNRELEASED_INSTANCE_ID = 111
TOPIC_ALREADY_EXISTS = 36
INVALID_REPLICATION_FACTOR = 38
NON_EMPTY_GROUP = 68
GROUP_ID_NOT_FOUND = 69
GROUP_SUBSCRIBED_TO_TOPIC = 86
INVALID_RECORD = 87
# INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, PRODUCER_FENCED.
FENCED = (47, 48, 90)


def needs(what):
    if what in d.lacks:
        raise Impossible(d.lacks[what])


def encode(data):
    return None if data is None else base64.b64encode(data).decode()


def decode(text):
    return None if text is None else base64.b64decode(text)


class Record:
    def __init__(self, told):
        self.topic, self.partition, self.offset = told["topic"], told["partition"], told["offset"]
        self.key, self.value = decode(told["key"]), decode(told["value"])
        self.headers = [(name, decode(value)) for name, value in told["headers"]]
        self.timestamp, self.delivery = told["timestamp"], told.get("delivery")
        self.arrived = time.monotonic()


def record(value, key=None, partition=None, headers=(), timestamp=None, topic=None):
    return {"key": encode(key), "value": encode(value), "partition": partition, "timestamp": timestamp, "topic": topic,
            "headers": [[name, encode(data)] for name, data in headers]}


class Driver:
    """One driver process."""

    def __init__(self):
        self.process = subprocess.Popen([*command, bootstrap], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.replies, self.consumers, self.lock = queue.Queue(), {}, threading.Lock()
        threading.Thread(target=self.listen, daemon=True).start()
        ready = self.reply()
        self.lacks, self.has = ready["lacks"], ready.get("has", [])

    def listen(self):
        for line in self.process.stdout:
            told = json.loads(line)
            if "event" in told:
                self.consumers[told["consumer"]].note(told)
            else:
                self.replies.put(told)
        self.replies.put({"error": 0, "text": "the driver ended"})

    def reply(self):
        told = self.replies.get(timeout=PATIENCE_SECONDS + 30)
        if "cannot" in told:
            raise Impossible(told["cannot"])
        if "error" in told:
            raise Refused(told["error"], told["text"])
        return told

    def do(self, what, **how):
        with self.lock:
            self.process.stdin.write(json.dumps({"do": what, **how}) + "\n")
            self.process.stdin.flush()
            return self.reply()["ok"]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def is_alive(self):
        return self.process.poll() is None

    def stand_still(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    # Admin.

    def topics(self):
        return self.do("topics")

    def describe_topic(self, topic):
        """A list of partitions: leader (HOST:PORT), replicas and isr (counts)."""
        return self.do("describe-topic", topic=topic)

    def create_topic(self, topic, partitions=1, replication=-1, configs=None):
        self.do("create-topic", topic=topic, partitions=partitions, replication=replication, configs=configs or {})
        return topic

    def delete_topic(self, topic):
        self.do("delete-topic", topic=topic)

    def cluster(self):
        """id, controller (HOST:PORT), nodes (a list of HOST:PORT)."""
        return self.do("cluster")

    def configs(self, topic):
        """name: [value, whether it is a default]."""
        return self.do("configs", topic=topic)

    def alter_configs(self, topic, *changes):
        """Each change is name, SET or DELETE or APPEND or SUBTRACT, value."""
        self.do("alter-configs", topic=topic, changes=changes)

    def create_partitions(self, topic, partitions):
        self.do("create-partitions", topic=topic, partitions=partitions)

    def delete_records(self, topic, partition, before):
        """The first offset that is left."""
        return self.do("delete-records", topic=topic, partition=partition, before=before)

    def size(self, topic, partition):
        """Bytes on the broker's disk."""
        return self.do("size", topic=topic, partition=partition)

    def offset(self, topic, partition, at):
        """[offset, timestamp or None] at earliest, latest, max, or {"time": t}; None when there is no such record."""
        return self.do("offset", topic=topic, partition=partition, at=at)

    def groups(self):
        """group: {state, type}; a client that is not told one of them says null."""
        return self.do("groups")

    def describe_group(self, group):
        """state, protocol, members: a list of id, client, host, instance, partitions."""
        return self.do("describe-group", group=group)

    def delete_group(self, group):
        self.do("delete-group", group=group)

    def group_offsets(self, group, topic):
        """partition: offset, of those that are committed."""
        return {int(p): offset for p, offset in self.do("group-offsets", group=group, topic=topic).items()}

    def alter_group_offsets(self, group, topic, offsets):
        self.do("alter-group-offsets", group=group, topic=topic, offsets=offsets)

    def delete_group_offset(self, group, topic, partition):
        self.do("delete-group-offset", group=group, topic=topic, partition=partition)

    # Producers.

    def producer(self, **settings):
        """acks (all, 1, 0), codec, idempotent, request_bytes_max, transactional (an id) with timeout_ms, and with the group
        and the source topic that it moves records from; what is not given is the client's default."""
        name = fresh("producer")
        self.do("producer", producer=name, **settings)
        return name

    def send(self, producer, topic, records, how="stream"):
        """[{offset, error, calls}] in the order of the records.

        stream: in order, as many in flight as the client lets be; each: the next after the answer to the one before;
        callback: each on its own, all at once, calls says how often an answer came; forget: answers are not looked at.
        """
        return self.do("send", producer=producer, how=how, records=[{**r, "topic": topic} for r in records])

    def transaction(self, producer, step, **how):
        """begin, commit, abort, or offsets: of a group, in a topic, as part of it. A client whose transactions take only
        what a member has read reads up to them."""
        self.do("transaction", producer=producer, step=step, **how)

    def close_producer(self, producer):
        self.do("close-producer", producer=producer)

    @contextlib.contextmanager
    def producing(self, **settings):
        producer = self.producer(**settings)
        yield producer
        self.close_producer(producer)

    # Consumers.

    def assign(self, topic, partitions=1, at="earliest", **settings):
        """A consumer of the first partitions outside groups, or as near to it as the client knows, at earliest, latest, an
        offset or {"time": t}; isolation, fetch_wait_ms, reset_none."""
        return Consumer(self, "assign", topic=topic, partitions=partitions, at=at, **settings)

    def join(self, group, topics, **settings):
        """A member. commit: auto, each (what was handled, before more is asked for), none; reset; instance;
        cooperative; session_ms; pattern instead of topics, late if it has to see topics that come later."""
        settings = {"reset": "earliest", "commit": "each", **settings}
        return Consumer(self, "join", group=group, topics=topics, **settings)

    def share(self, group, topics, how):
        """A member of a share group. how: accept, all records; mixed, by their offsets: of three the second is released
        when it is delivered first, the third rejected. What was confirmed it tells as
        {"event": "confirmed", "consumer": "c", "records": [[partition, offset], ...]}."""
        return Consumer(self, "share", group=group, topics=topics, how=how)

    def set_group(self, group, name, value):
        """A setting of a group."""
        self.do("set-group", group=group, name=name, value=value)


class Consumer:
    def __init__(self, driver, what, **how):
        self.driver, self.name = driver, fresh("consumer")
        self.records, self.owned, self.changes, self.errors = [], set(), [], []
        self.confirmed = []
        self.taken = 0
        self.happened = threading.Condition()
        driver.consumers[self.name] = self
        driver.do(what, consumer=self.name, **how)

    def note(self, told):
        with self.happened:
            match told["event"]:
                case "records":
                    self.records.extend(map(Record, told["records"]))
                case "assigned":
                    self.owned |= {tuple(p) for p in told["partitions"]}
                    self.changes.append(("assigned", told["partitions"], set(self.owned)))
                case "revoked":
                    self.owned -= {tuple(p) for p in told["partitions"]}
                    self.changes.append(("revoked", told["partitions"], set(self.owned)))
                case "confirmed":
                    self.confirmed.append((time.monotonic(), {tuple(at) for at in told["records"]}))
                case "error":
                    self.errors.append(told)
            self.happened.notify_all()

    def wait(self, what, condition, seconds=PATIENCE_SECONDS):
        with self.happened:
            held = self.happened.wait_for(condition, seconds)
            assert held, f"not in {seconds} s: {what}; {len(self.records)} records, {self.owned}, {self.errors}"

    def arrived(self, count, seconds=PATIENCE_SECONDS):
        """The next `count` records."""
        self.wait(f"{count} records after {self.taken}", lambda: len(self.records) >= self.taken + count, seconds)
        found = self.records[self.taken:self.taken + count]
        self.taken += count
        return found

    def take(self, count):
        """The next `count` records, and proof that no more follow."""
        found = self.arrived(count)
        time.sleep(QUIET_SECONDS)
        more = len(self.records) - self.taken
        assert not more, f"{more} records more than {count}"
        return found

    def owns(self, count):
        self.wait(f"{count} partitions", lambda: len(self.owned) == count, 60)

    def seek(self, topic, partition, at):
        self.driver.do("seek", consumer=self.name, topic=topic, partition=partition, at=at)

    def pause(self, topic, partition):
        self.driver.do("pause", consumer=self.name, topic=topic, partition=partition)

    def resume(self, topic, partition):
        self.driver.do("resume", consumer=self.name, topic=topic, partition=partition)

    def commit(self, topic, partition, offset, metadata):
        self.driver.do("commit", consumer=self.name, topic=topic, partition=partition, offset=offset, metadata=metadata)

    def committed(self, topic, partition):
        """(offset, metadata or None if the client does not tell)."""
        return self.driver.do("committed", consumer=self.name, topic=topic, partition=partition)

    def close(self):
        self.driver.do("close", consumer=self.name)
        return self


def equal(found, expected, what=""):
    assert found == expected, f"{what} {str(found)[:600]} instead of {str(expected)[:600]}"


def acknowledged(answers):
    for answer in answers:
        assert answer["error"] is None, answer
    return [answer["offset"] for answer in answers]


def numbered(count, start=0, **fields):
    return [record(b"%d" % i, **fields) for i in range(start, start + count)]


def numbers(records):
    return [int(r.value) for r in records]


def offsets(records):
    return [r.offset for r in records]


def filled(count=100, timestamp=lambda i: None, partitions=1):
    """A topic with records 0 to count - 1 in each partition."""
    topic = d.create_topic(fresh(scenario), partitions)
    append(topic, count, timestamp=timestamp, partitions=partitions)
    return topic


def append(topic, count, start=0, timestamp=lambda i: None, partitions=1):
    with d.producing() as producer:
        for p in range(partitions):
            records = [record(b"%d" % i, partition=p, timestamp=timestamp(i)) for i in range(start, start + count)]
            equal(acknowledged(d.send(producer, topic, records)), list(range(start, start + count)))


def send_one(topic, value, **settings):
    with d.producing(**settings) as producer:
        return acknowledged(d.send(producer, topic, [record(value)]))[0]


def read(topic, count, partitions=1, **settings):
    consumer = d.assign(topic, partitions, **settings)
    found = consumer.take(count)
    consumer.close()
    return found


# Topics and cluster.

def metadata():
    topic = d.create_topic(fresh("metadata"), 3)
    until("the topic is listed", lambda: topic in d.topics())
    partitions = d.describe_topic(topic)
    equal(len(partitions), 3)
    for partition in partitions:
        equal(partition, {"leader": bootstrap, "replicas": 1, "isr": 1})


def create_topic():
    topic = d.create_topic(fresh("create"), 8)
    until("8 partitions", lambda: len(d.describe_topic(topic)) == 8)
    refusal(TOPIC_ALREADY_EXISTS, d.create_topic, topic, 8)
    refusal(INVALID_TOPIC, d.create_topic, "no spaces")
    refusal(INVALID_REPLICATION_FACTOR, d.create_topic, fresh("rf"), 1, 7)


def delete_topic():
    topic = d.create_topic(fresh("delete"))
    until("the topic is listed", lambda: topic in d.topics())
    d.delete_topic(topic)
    until("the topic is gone", lambda: topic not in d.topics())
    refusal(UNKNOWN_TOPIC_OR_PARTITION, d.delete_topic, topic)


def leads(topic):
    try:
        return d.describe_topic(topic)[0]["leader"] == bootstrap
    except Refused as e:
        equal(e.code, UNKNOWN_TOPIC_OR_PARTITION)
        return False


def recreate_topic():
    needs("recreated-topic")
    topic = d.create_topic(fresh("recreate"))
    with d.producing() as producer:
        acknowledged(d.send(producer, topic, [record(b"old")] * 100))
        d.delete_topic(topic)
        until("the topic is gone", lambda: topic not in d.topics())
        d.create_topic(topic)
        until("its leader is known", lambda: leads(topic))
        equal(d.offset(topic, 0, "latest")[0], 0)
        equal(acknowledged(d.send(producer, topic, [record(b"new")])), [0])
    equal([r.value for r in read(topic, 1)], [b"new"])


def describe_cluster():
    cluster = d.cluster()
    assert cluster["id"] or "cluster-id" in d.lacks, cluster
    assert bootstrap in cluster["nodes"] and cluster["controller"] in cluster["nodes"], cluster


def describe_configs():
    topic = d.create_topic(fresh("configs"), configs={"retention.ms": "123456789"})
    configs = d.configs(topic)
    equal(configs["retention.ms"], ["123456789", False])
    equal(configs["cleanup.policy"], ["delete", True])
    for name in ("max.message.bytes", "segment.bytes", "min.insync.replicas", "compression.type"):
        assert configs[name][0], name
    refusal(UNKNOWN_TOPIC_OR_PARTITION, d.configs, fresh("missing"))


def change_topic():
    needs("change-topic")
    topic = filled(20)
    d.alter_configs(topic, ("retention.ms", "SET", "123456789"), ("cleanup.policy", "APPEND", "compact"))
    configs = d.configs(topic)
    equal((configs["retention.ms"], configs["cleanup.policy"]), (["123456789", False], ["delete,compact", False]))
    d.alter_configs(topic, ("retention.ms", "DELETE", None), ("cleanup.policy", "SUBTRACT", "compact"))
    configs = d.configs(topic)
    equal((configs["retention.ms"], configs["cleanup.policy"][0]), (["604800000", True], "delete"))
    refusal(INVALID_CONFIG, d.alter_configs, topic, ("retention.ms", "SET", "soon"))
    refusal(INVALID_CONFIG, d.alter_configs, topic, ("retention.m", "SET", "1"))
    assert d.size(topic, 0) > 0
    equal(d.delete_records(topic, 0, 5), 5)
    equal(d.offset(topic, 0, "earliest")[0], 5)
    refusal(OFFSET_OUT_OF_RANGE, d.delete_records, topic, 0, 21)
    d.create_partitions(topic, 3)
    until("three partitions", lambda: len(d.describe_topic(topic)) == 3)
    refusal(INVALID_PARTITIONS, d.create_partitions, topic, 2)


def auto_create():
    topic = fresh("auto")
    equal(send_one(topic, b"first"), 0)
    equal([r.value for r in read(topic, 1)], [b"first"])


def unknown_topic():
    topic = fresh("unknown")
    refusal(UNKNOWN_TOPIC_OR_PARTITION, d.describe_topic, topic)
    # Some clients refuse the assignment, others wait for the topic. None may call it into being.
    try:
        d.assign(topic, reset_none=True).take(0)
    except Refused as e:
        assert e.code in (0, UNKNOWN_TOPIC_OR_PARTITION), e
    assert topic not in d.topics(), "the consumer created the topic"


# Producing.

def sample(tag):
    """Every shape a record can have."""
    base = int(time.time() * 1000) - 60_000
    text = b"the mark that high water leaves on a shore " * 20
    headers = [("seq", b"7"), ("twice", b"a"), ("twice", b"b"), ("null", None), ("empty", b"")]
    headers = [(name, value) for name, value in headers if f"{name}-header" not in d.lacks]
    for i in range(60):
        yield record(b"%s %d %s" % (tag, i, text), b"key-%d" % (i % 5), headers=headers if i % 2 else (), timestamp=base + i)
    yield record(None, b"key-0", timestamp=base + 100)
    yield record(b"", b"key-1", timestamp=base + 101)
    yield record(tag + b" without a key", timestamp=base + 102)
    yield record(tag + b" with an empty key", b"", timestamp=base + 103)


def by_key(records):
    keys = defaultdict(list)
    for key, *rest in records:
        keys[key].append(rest)
    for key in (None, b""):
        keys[key].sort(key=str)  # some clients spread these over the partitions
    return keys


def roundtrip(codec):
    topic, sent = d.create_topic(fresh(scenario), 3), []
    # acks=0 comes last: nothing would tell that a partition was not ready yet.
    for acks in ("all", "1", "0"):
        with d.producing(acks=acks, codec=codec, idempotent=False) as producer:
            records = list(sample(f"{codec} {acks}".encode()))
            acknowledged(d.send(producer, topic, records))
            sent += records
    expected = by_key((decode(r["key"]), decode(r["value"]), [(name, decode(value)) for name, value in r["headers"]], r["timestamp"])
                      for r in sent)
    found = by_key((r.key, r.value, r.headers, r.timestamp) for r in read(topic, len(sent), 3))
    for key in expected | found:
        equal(found[key], expected[key], f"key {key}:")


def idempotent():
    topic, count = d.create_topic(fresh("idempotent")), 10_000
    with d.producing(idempotent=True, acks="all") as producer:
        equal(acknowledged(d.send(producer, topic, numbered(count))), list(range(count)))
    found = read(topic, count)
    equal([(r.offset, int(r.value)) for r in found], [(i, i) for i in range(count)])


def produce_sync():
    topic, count = d.create_topic(fresh("sync")), 200
    with d.producing() as producer:
        equal(acknowledged(d.send(producer, topic, numbered(count), "each")), list(range(count)))
    equal(numbers(read(topic, count)), list(range(count)))


def produce_callback():
    topic, count = d.create_topic(fresh("callback")), 2000
    with d.producing() as producer:
        answers = d.send(producer, topic, numbered(count), "callback")
    equal([a["calls"] for a in answers], [1] * count)
    named = {offset: i for i, offset in enumerate(acknowledged(answers))}
    equal({r.offset: int(r.value) for r in read(topic, count)}, named)


def produce_fire_and_forget():
    needs("close-in-flight")
    topic, count = d.create_topic(fresh("forget")), 2000
    with d.producing() as producer:
        d.send(producer, topic, numbered(count), "forget")
    equal(numbers(read(topic, count)), list(range(count)))


def tombstones():
    topic = d.create_topic(fresh("tombstones"), configs={"cleanup.policy": "compact"})
    shapes = [(b"a", b"1"), (b"a", None), (b"b", b""), (b"", b"empty key"), (b"c", None)]
    with d.producing() as producer:
        acknowledged(d.send(producer, topic, [record(value, key) for key, value in shapes]))
        equal([a["error"] for a in d.send(producer, topic, [record(b"no key")])], [INVALID_RECORD])
        acknowledged(d.send(producer, topic, [record(b"2", b"c")]))
    equal([(r.key, r.value) for r in read(topic, 6)], [*shapes, (b"c", b"2")])


def large_record():
    topic, value = d.create_topic(fresh("large")), os.urandom(900 * 1024)
    with d.producing() as producer:
        equal(acknowledged(d.send(producer, topic, [record(value), record(b"small")])), [0, 1])
    equal([r.value for r in read(topic, 2)], [value, b"small"])


def oversized_record():
    topic = d.create_topic(fresh("oversized"))
    with d.producing(request_bytes_max=8 << 20) as producer:
        equal([a["error"] for a in d.send(producer, topic, [record(os.urandom(3 << 20))])], [MESSAGE_TOO_LARGE])
        equal(acknowledged(d.send(producer, topic, [record(b"small")])), [0])
    equal([r.value for r in read(topic, 1)], [b"small"])


# Consuming outside groups.

def seek():
    topic = filled()
    equal((d.offset(topic, 0, "earliest")[0], d.offset(topic, 0, "latest")[0]), (0, 100))
    consumer = d.assign(topic)
    equal(offsets(consumer.take(100)), list(range(100)))
    consumer.seek(topic, 0, 42)
    equal(offsets(consumer.take(58)), list(range(42, 100)))
    consumer.seek(topic, 0, "latest")
    consumer.take(0)
    equal(send_one(topic, b"100"), 100)
    equal(offsets(consumer.take(1)), [100])
    consumer.close()


def offset_out_of_range():
    topic = filled(10)
    try:
        consumer = d.assign(topic, at=5000, reset_none=True)
    except Refused as e:
        equal(e.code, OFFSET_OUT_OF_RANGE)
        return
    consumer.wait("an error", lambda: consumer.errors)
    equal(consumer.errors[0]["error"], OFFSET_OUT_OF_RANGE)
    equal(consumer.records, [])


def an_hour_ago():
    return int(time.time() * 1000) - 3_600_000


def offsets_for_times():
    base = an_hour_ago()
    topic = filled(timestamp=lambda i: base + i * 1000)
    for asked, expected in ((-5, 0), (0, 0), (4200, 5), (99_000, 99)):
        offset, timestamp = d.offset(topic, 0, {"time": base + asked})
        equal((offset, timestamp or base + expected * 1000), (expected, base + expected * 1000))
    # kafkajs says the end where Kafka says nothing.
    assert d.offset(topic, 0, {"time": base + 99_001}) in (None, [100, None]), "after the last"


def consume_timestamp():
    base = an_hour_ago()
    topic = filled(timestamp=lambda i: base + i * 1000)
    equal(offsets(read(topic, 58, at={"time": base + 41_500})), list(range(42, 100)))


def max_timestamp():
    base = an_hour_ago()
    topic = filled(10, timestamp=lambda i: base + (9_000 if i == 6 else i))
    offset, timestamp = d.offset(topic, 0, "max")
    equal((offset, timestamp or base + 9_000), (6, base + 9_000))


def tail():
    topic = filled(1)
    consumer = d.assign(topic, at="latest", fetch_wait_ms=5_000)
    time.sleep(2)
    consumer.take(0)
    with d.producing() as producer:
        for i in range(3):
            acknowledged(d.send(producer, topic, [record(b"now %d" % i)]))
            sent = time.monotonic()
            found = consumer.arrived(1)[0]
            equal(found.value, b"now %d" % i)
            late = found.arrived - sent
            print(f"arrived {late * 1000:.1f} ms after its acknowledgement")
            assert late < 1, f"{late:.2f} s late"
            time.sleep(0.5)
    consumer.close()


def own_offset_store():
    topic = filled()
    consumer = d.assign(topic)
    store = consumer.arrived(40)[-1].offset + 1
    consumer.close()
    equal(offsets(read(topic, 60, at=store)), list(range(40, 100)))


def read_committed():
    topic = filled()
    for isolation in ("read_uncommitted", "read_committed"):
        consumer = d.assign(topic, isolation=isolation)
        equal(offsets(consumer.take(100)), list(range(100)))
        consumer.close()
    consumer = d.assign(topic, at="latest", isolation="read_committed")
    consumer.take(0)
    send_one(topic, b"100")
    equal(offsets(consumer.take(1)), [100])
    consumer.close()


def transactional(name, timeout_ms=60_000, **more):
    return d.producer(transactional=name, timeout_ms=timeout_ms, **more)


def spread(count, start, partitions):
    return [record(b"%d" % i, partition=p) for i in range(start, start + count) for p in range(partitions)]


def by_partition(records):
    found = defaultdict(list)
    for r in records:
        found[r.partition].append(int(r.value))
    return dict(found)


def transactions():
    topic, partitions = d.create_topic(fresh(scenario), 8), 8
    producer = transactional(fresh("id"))
    for round, end in enumerate(("commit", "abort", "commit")):
        d.transaction(producer, "begin")
        acknowledged(d.send(producer, topic, spread(20, 20 * round, partitions)))
        d.transaction(producer, end)
    d.close_producer(producer)
    kept = list(range(20)) + list(range(40, 60))
    found = read(topic, partitions * 40, partitions, isolation="read_committed")
    equal(by_partition(found), {p: kept for p in range(partitions)})
    found = read(topic, partitions * 60, partitions, isolation="read_uncommitted")
    equal(by_partition(found), {p: list(range(60)) for p in range(partitions)})


def transaction_offsets():
    source, target, group = filled(30), d.create_topic(fresh(scenario)), fresh("group")
    producer = transactional(fresh("id"), group=group, source=source)
    for begin, end, how in ((0, 10, "commit"), (10, 20, "abort"), (10, 30, "commit")):
        d.transaction(producer, "begin")
        acknowledged(d.send(producer, target, numbered(end - begin, begin)))
        d.transaction(producer, "offsets", group=group, topic=source, offsets={"0": end})
        d.transaction(producer, how)
        expected = end if how == "commit" else begin
        until("the offset is that of the transaction", lambda: d.group_offsets(group, source) == {0: expected})
    d.close_producer(producer)
    equal(numbers(read(target, 30, isolation="read_committed")), list(range(30)))


def transaction_fenced():
    topic, name = d.create_topic(fresh(scenario)), fresh("id")
    zombie = transactional(name)
    d.transaction(zombie, "begin")
    acknowledged(d.send(zombie, topic, numbered(5)))
    producer = transactional(name)
    d.transaction(producer, "begin")
    acknowledged(d.send(producer, topic, numbered(5, 5)))
    d.transaction(producer, "commit")
    try:
        d.transaction(zombie, "commit")
        raise AssertionError("a fenced producer has committed")
    except Refused as e:
        assert e.code in FENCED, e
    equal(numbers(read(topic, 5, isolation="read_committed")), list(range(5, 10)))


def transaction_mixed():
    topic, producer = d.create_topic(fresh(scenario)), transactional(fresh("id"))
    uncommitted, committed = (d.assign(topic, isolation=level) for level in ("read_uncommitted", "read_committed"))
    for start, end, kept in ((0, "commit", [0, 1, 2, 3]), (4, "abort", [7])):
        d.transaction(producer, "begin")
        acknowledged(d.send(producer, topic, numbered(3, start)))
        send_one(topic, b"%d" % (start + 3))
        equal(numbers(uncommitted.take(4)), list(range(start, start + 4)))
        committed.take(0)
        d.transaction(producer, end)
        equal(numbers(committed.take(len(kept))), kept)
        uncommitted.take(0)
    for consumer in (uncommitted, committed):
        consumer.close()
    d.close_producer(producer)


def transaction_large():
    topic, partitions = d.create_topic(fresh(scenario), 100), 100
    producer = transactional(fresh("id"))
    for start, end in ((0, "commit"), (2, "abort"), (4, "commit")):
        d.transaction(producer, "begin")
        acknowledged(d.send(producer, topic, spread(2, start, partitions)))
        d.transaction(producer, end)
    d.close_producer(producer)
    found = read(topic, partitions * 4, partitions, isolation="read_committed")
    equal(by_partition(found), {p: [0, 1, 4, 5] for p in range(partitions)})


def transaction_timeout():
    topic = d.create_topic(fresh(scenario))
    producer = transactional(fresh("id"), 2000)
    d.transaction(producer, "begin")
    acknowledged(d.send(producer, topic, numbered(5)))
    send_one(topic, b"5")
    consumer = d.assign(topic, isolation="read_committed")
    consumer.wait("the record behind it", lambda: len(consumer.records) == 1)
    equal(numbers(consumer.take(1)), [5])
    consumer.close()
    try:
        d.transaction(producer, "commit")
        raise AssertionError("a transaction whose time was up is committed")
    except Refused as e:
        assert e.code in FENCED, e


def broker_transactions():
    needs("asked-again")
    needs("several-aborted")
    topic, partitions = d.create_topic(fresh(scenario), 4), 4
    producer, number, kept = transactional(fresh("id")), 0, []
    for kill in range(3):
        for _ in range(20):
            d.transaction(producer, "begin")
            acknowledged(d.send(producer, topic, spread(1, number, partitions)))
            if number % 5 == 4:
                d.transaction(producer, "abort")
            else:
                d.transaction(producer, "commit")
                kept.append(number)
            number += 1
        if kill < 2:
            d.transaction(producer, "begin")
            acknowledged(d.send(producer, topic, spread(1, number, partitions)))
            subprocess.run(os.environ["INTEROP_RESTART"], shell=True, check=True)
            d.transaction(producer, "commit")
            kept.append(number)
            number += 1
    found = read(topic, partitions * len(kept), partitions, isolation="read_committed")
    equal(by_partition(found), {p: kept for p in range(partitions)})


def pause_resume():
    topic = filled(10, partitions=2)
    consumer = d.assign(topic, 2)
    consumer.take(20)
    consumer.pause(topic, 0)
    time.sleep(QUIET_SECONDS)  # what was fetched before
    append(topic, 10, 10, partitions=2)
    equal([(r.partition, r.offset) for r in consumer.take(10)], [(1, i) for i in range(10, 20)])
    consumer.resume(topic, 0)
    equal([(r.partition, r.offset) for r in consumer.take(10)], [(0, i) for i in range(10, 20)])
    consumer.close()


def matching(*names):
    prefix = fresh("regex")
    return f"{prefix}-yes-.*", [f"{prefix}-{name}" for name in names]


def consume_regex():
    pattern, topics = matching("yes-a", "yes-b", "no-c")
    for topic in topics:
        d.create_topic(topic)
        send_one(topic, topic.encode())
    consumer = d.join(fresh("g"), None, pattern=pattern)
    equal(sorted(r.value.decode() for r in consumer.take(2)), topics[:2])
    consumer.close()


def consume_regex_late():
    pattern, topics = matching("yes-a", "yes-b", "no-c")
    d.create_topic(topics[0])
    consumer = d.join(fresh("g"), None, pattern=pattern, late=True)
    consumer.owns(1)
    for topic in topics[1:]:
        d.create_topic(topic)
        send_one(topic, topic.encode())
    equal([r.value.decode() for r in consumer.take(1)], [topics[1]])
    consumer.close()


# Groups.

def group_start():
    topic = filled(10)
    early = d.join(fresh("g"), [topic])
    equal(offsets(early.take(10)), list(range(10)))
    late = d.join(fresh("g"), [topic], reset="latest")
    late.owns(1)
    late.take(0)  # by now it has asked where the end is
    append(topic, 10, 10)
    equal(offsets(late.take(10)), list(range(10, 20)))
    equal(offsets(early.take(10)), list(range(10, 20)))
    early.close()
    late.close()


def auto_commit():
    topic, group = filled(), fresh("g")
    first = d.join(group, [topic], commit="auto")
    equal(offsets(first.take(100)), list(range(100)))
    first.close()
    append(topic, 100, 100)
    second = d.join(group, [topic], commit="auto")
    equal(offsets(second.take(100)), list(range(100, 200)))
    second.close()


def manual_commit():
    topic, group = filled(), fresh("g")
    first = d.join(group, [topic], commit="none")
    first.take(100)
    first.commit(topic, 0, 42, "halfway")
    offset, text = first.committed(topic, 0)
    equal((offset, "halfway" if text is None else text), (42, "halfway"))
    first.close()
    second = d.join(group, [topic], commit="none")
    equal(offsets(second.take(58)), list(range(42, 100)))
    second.close()


def gathered(consumers, count, seconds=60):
    """Together the consumers have read so many records, and after some quiet no more."""
    total = lambda: sum(len(c.records) for c in consumers)
    deadline = time.monotonic() + seconds
    while total() < count:
        assert time.monotonic() < deadline, \
            f"{[len(c.records) for c in consumers]} of {count} in {seconds} s; {[c.errors for c in consumers]}"
        time.sleep(0.05)
    time.sleep(QUIET_SECONDS)
    equal(total(), count, f"{[len(c.records) for c in consumers]}:")


def once_each(consumers, expected):
    """Together the consumers have read exactly these (partition, offset), each partition in order, none twice."""
    found = Counter((r.partition, r.offset) for c in consumers for r in c.records)
    twice = sorted(at for at, count in found.items() if count > 1)
    missing = sorted(set(expected) - set(found))
    assert not twice and not missing, f"{len(twice)} twice: {twice[:5]}, {len(missing)} missing: {missing[:5]}"
    equal(sorted(found), sorted(expected))


def two_groups():
    topic = filled(partitions=2)
    members = [d.join(fresh("g"), [topic]) for _ in range(2)]
    for member in members:
        member.take(200)
        once_each([member], [(p, i) for p in range(2) for i in range(100)])
        member.close()


def group_replay():
    topic, group = filled(partitions=2), fresh("g")
    for _ in range(2):
        member = d.join(group, [topic])
        member.take(200)
        member.close()
        once_each([member], [(p, i) for p in range(2) for i in range(100)])
        equal(d.group_offsets(group, topic), {0: 100, 1: 100})
        d.alter_group_offsets(group, topic, {0: 0, 1: 0})


def settled(members, counts):
    """Every member has a number of partitions that `counts` names, each number as often as it is there."""
    until(f"shares of {counts}", lambda: sorted(len(m.owned) for m in members) == sorted(counts), 60)
    time.sleep(QUIET_SECONDS)  # fetches from before have come back


def group_takeover():
    topic, group = d.create_topic(fresh("takeover"), 2), fresh("g")
    first = d.join(group, [topic])
    first.owns(2)
    second = d.join(group, [topic])
    settled([first, second], [1, 1])
    append(topic, 100, partitions=2)
    assert {r.partition for r in first.take(100)} != {r.partition for r in second.take(100)}
    first.close()
    second.owns(2)
    append(topic, 100, 100, partitions=2)
    second.take(200)
    once_each([first, second], [(p, i) for p in range(2) for i in range(200)])
    second.close()


def group_standby():
    topic, group = d.create_topic(fresh("standby"), 2), fresh("g")
    members = [Driver().join(group, [topic], session_ms=6000) for _ in range(3)]
    settled(members, [0, 1, 1])
    append(topic, 100, partitions=2)
    gathered(members, 200)  # and committed
    settled(members, [0, 1, 1])  # on a busy machine, a session may have run out meanwhile
    standby = next(m for m in members if not m.owned)
    victim, other = [m for m in members if m.owned]
    partition, = victim.owned
    victim.driver.kill()
    append(topic, 100, 100, partitions=2)
    gathered(members, 400)
    once_each(members, [(p, i) for p in range(2) for i in range(200)])
    settled([standby, other], [1, 1])
    assert partition in standby.owned | other.owned
    read = len(standby.records)
    append(topic, 10, 200, partitions=2)
    gathered(members, 420)
    equal(len(standby.records) - read, 10, "the standby has read")
    for member in (standby, other):
        member.close()


class Flow(threading.Thread):
    """Keyed records that go on and on, from a driver of its own; what was acknowledged, by partition and offset."""

    def __init__(self, topic, **settings):
        super().__init__(daemon=True)
        self.topic, self.driver, self.acknowledged, self.failed = topic, Driver(), [], []
        self.producer = self.driver.producer(acks="all", **settings)
        self.ending, self.trouble = threading.Event(), None
        self.start()

    def run(self):
        try:
            for turn in itertools.count():
                if self.ending.wait(0.02):
                    return
                records = [record(b"%d" % turn, b"key-%d" % k) for k in range(10)]
                answers = self.driver.send(self.producer, self.topic, records)
                for k, answer in enumerate(answers):
                    (self.failed if answer["error"] is not None else self.acknowledged).append((b"key-%d" % k, turn))
        except Exception as e:
            self.trouble = e

    def stop(self):
        self.ending.set()
        self.join(60)
        assert not self.is_alive() and self.trouble is None, self.trouble
        print(f"{len(self.acknowledged)} acknowledged, {len(self.failed)} failed")
        assert self.acknowledged
        return self.acknowledged


def in_order(members, sent):
    """Together the members have read what a flow sent: per key all, in order, none twice."""
    found = defaultdict(list)
    for r in sorted((r for m in members for r in m.records), key=lambda r: r.arrived):
        found[r.key].append(int(r.value))
    expected = defaultdict(list)
    for key, turn in sent:
        expected[key].append(turn)
    for key in expected:
        twice = len(found[key]) - len(set(found[key]))
        missing = set(expected[key]) - set(found[key])
        assert not twice and not missing, f"{key}: {twice} twice, {len(missing)} missing"
        equal(found[key], expected[key], f"{key}:")


def group_cooperative():
    topic, group = d.create_topic(fresh("cooperative"), 4), fresh("g")
    members = [d.join(group, [topic], cooperative=True) for _ in range(2)]
    settled(members, [2, 2])
    third = Driver()
    flow = Flow(topic)
    time.sleep(2)
    before = [(set(m.owned), len(m.changes)) for m in members]
    members.append(third.join(group, [topic], cooperative=True))
    settled(members, [1, 1, 2])
    time.sleep(2)
    sent = flow.stop()
    gathered(members, len(sent))
    for member, (owned, changes) in zip(members, before):
        least = set.intersection(owned, *(left for _, _, left in member.changes[changes:]))
        assert least, f"lost all of {owned} on the way: {member.changes[changes:]}"
        for _, partition in least:
            times = [r.arrived for r in member.records if r.partition == partition]
            gap = max((b - a for a, b in itertools.pairwise(times)), default=0)
            print(f"partition {partition}: the longest wait between two records was {gap:.2f} s")
            assert gap < 5, f"partition {partition}, which stayed, was not read for {gap:.2f} s"
    in_order(members, sent)
    for member in members:
        member.close()


def has_consumer_protocol():
    if "consumer-protocol" not in d.has:
        raise Impossible(d.lacks.get("consumer-protocol", "group.protocol=consumer is not written for this client"))


CONSUMER = {"protocol": "consumer"}


def group_consumer():
    has_consumer_protocol()
    topic, group = d.create_topic(fresh("consumer"), 4), fresh("g")
    members = [d.join(group, [topic], protocol="consumer") for _ in range(2)]
    settled(members, [2, 2])
    append(topic, 100, partitions=4)
    gathered(members, 400)
    members.append(d.join(group, [topic], protocol="consumer"))
    settled(members, [1, 1, 2])
    append(topic, 100, 100, partitions=4)
    gathered(members, 800)
    members[0].close()
    settled(members[1:], [2, 2])
    append(topic, 100, 200, partitions=4)
    gathered(members, 1200)
    once_each(members, [(p, i) for p in range(4) for i in range(300)])
    for member in members[1:]:
        member.close()


def group_static(**protocol):
    needs("static-close")
    topic, group = d.create_topic(fresh("static"), 2), fresh("g")
    first = d.join(group, [topic], instance="a", **protocol)
    second = d.join(group, [topic], instance="b", **protocol)
    settled([first, second], [1, 1])
    owned, changes = set(first.owned), len(second.changes)
    first.close()
    append(topic, 10, partitions=2)
    time.sleep(2)
    again = d.join(group, [topic], instance="a", **protocol)
    again.owns(1)
    equal(again.owned, owned)
    again.take(10)
    second.take(10)
    equal(second.changes[changes:], [], "the other member saw")
    once_each([again, second], [(p, i) for p in range(2) for i in range(10)])
    again.close()
    second.close()


def consumer_static():
    has_consumer_protocol()
    needs("static-consumer-protocol")
    group_static(**CONSUMER)


def consumer_regex():
    has_consumer_protocol()
    name = fresh("regex")
    first, other, second = (f"{name}-{suffix}" for suffix in ("red", "other", "rose"))
    for topic in (first, other):
        append(d.create_topic(topic), 10)
    member = d.join(fresh("g"), [], pattern=f"{name}-r.*", late=True, **CONSUMER)
    equal({r.topic for r in member.take(10)}, {first})
    append(d.create_topic(second), 10)
    equal({r.topic for r in member.arrived(10, 60)}, {second})
    time.sleep(QUIET_SECONDS)
    equal(len(member.records), 20)
    member.close()


def consumer_commits():
    has_consumer_protocol()
    topic, group = filled(partitions=2), fresh("g")
    member = d.join(group, [topic], **CONSUMER)
    member.take(200)
    until("all is committed", lambda: d.group_offsets(group, topic) == {0: 100, 1: 100})
    refusal(UNKNOWN_MEMBER_ID, d.alter_group_offsets, group, topic, {0: 3})
    refusal(NON_EMPTY_GROUP, d.delete_group, group)
    equal(d.groups()[group]["state"] in ("Stable", None), True)
    member.close()
    until("nobody is in it", lambda: d.groups()[group]["state"] in ("Empty", None))
    d.alter_group_offsets(group, topic, {0: 90})
    member = d.join(group, [topic], **CONSUMER)
    equal([(r.partition, r.offset) for r in member.take(10)], [(0, offset) for offset in range(90, 100)])
    member.close()
    d.delete_group(group)
    refusal(GROUP_ID_NOT_FOUND, d.delete_group, group)


def consumer_fenced():
    has_consumer_protocol()
    needs("fenced-member")
    topic, group = d.create_topic(fresh("fenced"), 2), fresh("g")
    first, other = Driver().join(group, [topic], instance="a", **CONSUMER), d.join(group, [topic], **CONSUMER)
    settled([first, other], [1, 1])
    append(topic, 100, partitions=2)
    gathered([first, other], 200)
    another = Driver()
    try:
        second = another.join(group, [topic], instance="a", **CONSUMER)
        refused = lambda: any(e["error"] == UNRELEASED_INSTANCE_ID for e in second.errors) or not another.is_alive()
        second.wait("it is refused", refused, 30)
        equal(second.owned, set())
    except Refused as e:
        equal(e.code, UNRELEASED_INSTANCE_ID)
    another.kill()
    append(topic, 100, 100, partitions=2)
    gathered([first, other], 400)
    # Longer than a session lasts.
    first.driver.stand_still()
    other.wait("the other has all", lambda: len(other.owned) == 2, 90)
    append(topic, 100, 200, partitions=2)
    gathered([first, other], 600)
    first.driver.go_on()
    until("it is back", lambda: len(first.owned) + len(other.owned) == 2 and first.owned and other.owned, 60)
    append(topic, 100, 300, partitions=2)
    gathered([first, other], 800)
    once_each([first, other], [(p, i) for p in range(2) for i in range(400)])
    first.driver.kill()
    other.close()


def consumer_mixed():
    has_consumer_protocol()
    topics = [d.create_topic(fresh("mixed"), 4) for _ in range(2)]
    groups = {fresh("classic"): {}, fresh("consumer"): CONSUMER}
    members = {group: [d.join(group, topics, **how)] for group, how in groups.items()}

    def write(start):
        for topic in topics:
            append(topic, 50, start, partitions=4)
        for group in groups:
            gathered(members[group], 8 * (start + 50))
    write(0)
    for group, how in groups.items():
        members[group].append(d.join(group, topics, **how))
    for group in groups:
        settled(members[group], [4, 4])
    write(50)
    for group in groups:
        members[group][0].close()
    for group in groups:
        settled(members[group][1:], [8])
    write(100)
    expected = sorted((topic, p, i) for topic in topics for p in range(4) for i in range(150))
    for group in groups:
        equal(sorted((r.topic, r.partition, r.offset) for m in members[group] for r in m.records), expected)
        members[group][1].close()


def share_group():
    if "share-groups" not in d.has:
        raise Impossible(d.lacks.get("share-groups", "share groups are not written for this client"))
    topic, group = filled(count=90), fresh("share")
    d.set_group(group, "share.auto.offset.reset", "earliest")
    # One in three is released at its first delivery, one in three rejected.
    members = [d.share(group, [topic], how="mixed") for _ in range(2)]
    gathered(members, 120)
    deliveries = defaultdict(list)
    for r in (r for m in members for r in m.records):
        deliveries[r.offset].append(r.delivery)
    for offset in range(90):
        equal(sorted(deliveries[offset]), [1, 2] if offset % 3 == 1 else [1], f"{offset}:")
    for member in members:
        member.close()
    append(topic, 30, 90)
    member = d.share(group, [topic], how="accept")
    equal(sorted(offsets(member.take(30))), list(range(90, 120)))
    member.close()


def broker_share():
    if "share-groups" not in d.has:
        raise Impossible(d.lacks.get("share-groups", "share groups are not written for this client"))
    topic, group = d.create_topic(fresh("share"), 2), fresh("share")
    d.set_group(group, "share.auto.offset.reset", "earliest")
    members = [d.share(group, [topic], how="accept") for _ in range(2)]
    flow = Flow(topic)
    for _ in range(2):
        reached = len(flow.acknowledged)
        until("records flow", lambda: len(flow.acknowledged) > reached + 300, 60)
        subprocess.run(os.environ["INTEROP_RESTART"], shell=True, check=True)
    reached = len(flow.acknowledged)
    until("records flow", lambda: len(flow.acknowledged) > reached + 300, 60)
    sent = set(flow.stop())
    until("all that was acknowledged is delivered", lambda: sent <= {(r.key, int(r.value)) for m in members for r in m.records}, 90)
    for member in members:
        member.close()
    again = [r for m in members for r in m.records if any(
        at < r.arrived and (r.partition, r.offset) in done for other in members for at, done in other.confirmed)]
    equal([(r.partition, r.offset) for r in again], [], "confirmed, and delivered again:")
    assert sum(len(done) for m in members for _, done in m.confirmed) > 0, "nothing was confirmed"


def group_order():
    needs("clean-handover")
    topic, group = d.create_topic(fresh("order"), 4), fresh("g")
    flow, members = Flow(topic), []

    def come():
        members.append(Driver().join(group, [topic]))
        members[-1].wait("a partition", lambda: members[-1].owned, 60)
        time.sleep(2)

    come()
    come()
    come()
    members[0].close()
    time.sleep(3)
    come()
    members[1].close()
    time.sleep(3)
    sent = flow.stop()
    gathered(members, len(sent))
    assert all(m.records for m in members), [len(m.records) for m in members]
    in_order(members, sent)
    for member in members[2:]:
        member.close()


# Groups through an admin.

def list_groups():
    topic, group = filled(10), fresh("g")
    member = d.join(group, [topic])
    member.take(10)
    listed = d.groups()[group]
    equal((listed["state"] or "Stable", listed["type"]), ("Stable", "consumer"))
    member.close()
    until("an empty group", lambda: (d.groups()[group]["state"] or "Empty") == "Empty")


def describe_group():
    topic, group = filled(10, partitions=2), fresh("g")
    member = d.join(group, [topic])
    member.take(20)
    found = d.describe_group(group)
    equal(found["state"], "Stable")
    assert found["protocol"], found
    told, = found["members"]
    assert told["id"] and told["client"] and "127.0.0.1" in told["host"], told
    equal(sorted(map(tuple, told["partitions"])), [(topic, 0), (topic, 1)])
    member.close()
    until("an empty group", lambda: d.describe_group(group)["state"] == "Empty")
    equal(d.describe_group(group)["members"], [])
    try:
        equal(d.describe_group(fresh("never"))["state"], "Dead")
    except Refused as e:
        equal(e.code, GROUP_ID_NOT_FOUND)


def delete_group():
    topic, group = filled(10), fresh("g")
    member = d.join(group, [topic])
    member.take(10)
    refusal(NON_EMPTY_GROUP, d.delete_group, group)
    member.close()
    equal(d.group_offsets(group, topic), {0: 10})
    d.delete_group(group)
    assert group not in d.groups()
    try:
        equal(d.group_offsets(group, topic), {})
    except Refused as e:
        equal(e.code, GROUP_ID_NOT_FOUND)
    refusal(GROUP_ID_NOT_FOUND, d.delete_group, group)


def group_offsets():
    topic, group = filled(10, partitions=2), fresh("g")
    member = d.join(group, [topic])
    member.take(20)
    # kafkajs looks at the group's state first, and has an error of its own.
    refusal((UNKNOWN_MEMBER_ID, 0), d.alter_group_offsets, group, topic, {0: 3})
    member.close()
    equal(d.group_offsets(group, topic), {0: 10, 1: 10})
    d.alter_group_offsets(group, topic, {0: 3, 1: 7})
    equal(d.group_offsets(group, topic), {0: 3, 1: 7})
    again = d.join(group, [topic])
    again.take(10)
    once_each([again], [(0, i) for i in range(3, 10)] + [(1, i) for i in range(7, 10)])
    again.close()


def delete_group_offsets():
    topic, group = filled(10, partitions=2), fresh("g")
    member = d.join(group, [topic])
    member.take(20)
    refusal(GROUP_SUBSCRIBED_TO_TOPIC, d.delete_group_offset, group, topic, 0)
    member.close()
    d.delete_group_offset(group, topic, 0)
    equal(d.group_offsets(group, topic), {1: 10})


# The broker dies.

def broker_consumer():
    has_consumer_protocol()
    broker_restart(**CONSUMER)


def broker_restart(**protocol):
    restart = os.environ.get("INTEROP_RESTART")
    assert restart, "INTEROP_RESTART does not say how to kill and start the broker"
    topic, group = d.create_topic(fresh("restart"), 4), fresh("g")
    members = [d.join(group, [topic], **protocol) for _ in range(2)]
    settled(members, [2, 2])
    flow, kills = Flow(topic), []

    def flows():
        reached = len(flow.acknowledged)
        until("records flow", lambda: len(flow.acknowledged) > reached + 500, 60)
        until("and are read", lambda: sum(len(m.records) for m in members) > reached, 60)

    def kept(committed):
        try:
            offsets = d.group_offsets(group, topic)
        except Refused as e:
            assert e.code in COORDINATOR_STARTS, e
            return False
        return all(offsets.get(p, -1) >= committed[p] for p in committed)

    for _ in range(2):
        flows()
        committed = d.group_offsets(group, topic)
        time.sleep(0.5)  # what is committed has been told by now
        kills.append((committed, [len(m.records) for m in members]))
        subprocess.run(os.environ["INTEROP_RESTART"], shell=True, check=True)
        until("the commits are there", lambda: kept(committed), 60)
    flows()
    sent = set(flow.stop())
    until("all that was acknowledged is read", lambda: sent <= {(r.key, int(r.value)) for m in members for r in m.records}, 60)
    for member in members:
        member.close()
    assert all(committed for committed, _ in kills), kills
    for committed, counts in kills:
        for member, count in zip(members, counts):
            again = [(r.partition, r.offset) for r in member.records[count:] if r.offset < committed.get(r.partition, 0)]
            equal(again, [], "committed, and read again:")
    turns = defaultdict(dict)
    for r in (r for m in members for r in m.records):
        turns[r.key][r.offset] = int(r.value)
    for key in turns:
        order = [turns[key][offset] for offset in sorted(turns[key])]
        equal(order, sorted(order), f"{key}:")


def main():
    global d
    if scenario.startswith("roundtrip-"):
        run = lambda: roundtrip(scenario.removeprefix("roundtrip-"))
    else:
        run = globals().get(scenario.replace("-", "_"))
    if scenario.startswith("tool-") or not callable(run):
        print("not written for this client")
        return SKIP
    try:
        d = Driver()
        run()
    except Impossible as e:
        print(e)
        return SKIP
    return 0


scenario, bootstrap, workdir, *command = sys.argv[1:]
sys.exit(main())
