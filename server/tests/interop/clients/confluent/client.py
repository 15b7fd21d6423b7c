"""One scenario with confluent-kafka (Python on a current librdkafka).

client.py SCENARIO BOOTSTRAP WORKDIR: exits 0 when the broker did what the scenario says.
Consumers assign; they never join a group.
"""

import functools
import os
import sys
import time
import uuid
from collections import defaultdict

from confluent_kafka import (OFFSET_BEGINNING, OFFSET_END, TIMESTAMP_CREATE_TIME, Consumer, KafkaError, KafkaException,
                             Producer, TopicPartition)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

PATIENCE_SECONDS = 20

scenario, bootstrap, workdir = sys.argv[1:4]


def fresh(name):
    return f"{name}-{uuid.uuid4().hex[:12]}"


@functools.cache
def admin():
    return AdminClient({"bootstrap.servers": bootstrap})


def wait_all(futures):
    for future in futures.values():
        future.result(PATIENCE_SECONDS)


def create(topic, partitions=1, **config):
    wait_all(admin().create_topics([NewTopic(topic, partitions, 1, config=config)], operation_timeout=PATIENCE_SECONDS))
    return topic


def error_of(futures):
    """The Kafka error of a request that has to be refused."""
    try:
        wait_all(futures)
    except KafkaException as e:
        return e.args[0].code()
    raise AssertionError("it was not refused")


def until(what, condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.05)


class Sender:
    """A producer that remembers what was acknowledged and what was refused."""

    def __init__(self, **config):
        self.offsets = []
        self.errors = []
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, **config})

    def _delivered(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.offsets.append(message.offset())

    def send(self, topic, value, **more):
        while True:
            try:
                self.producer.produce(topic, value=value, on_delivery=self._delivered, **more)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)

    def flush(self):
        left = self.producer.flush(PATIENCE_SECONDS)
        assert left == 0, f"{left} records were not delivered"

    def done(self):
        self.flush()
        assert not self.errors, self.errors[:3]


def consumer(**config):
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "never-joined", "enable.auto.commit": False,
                     "auto.offset.reset": "error", **config})


def read(topic, count, partitions=1, offset=OFFSET_BEGINNING, spare_seconds=0.3):
    """`count` records, and proof that no more of them follow."""
    reader = consumer()
    reader.assign([TopicPartition(topic, p, offset) for p in range(partitions)])
    records, deadline = [], time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        message = reader.poll(0.1)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        records.append(message)
        if len(records) == count:
            deadline = time.monotonic() + spare_seconds
    reader.close()
    assert len(records) == count, f"{len(records)} records instead of {count}"
    return records


def metadata():
    topic = create(fresh("metadata"), 3)
    until("the topic is listed", lambda: topic in admin().list_topics(timeout=PATIENCE_SECONDS).topics)
    cluster = admin().list_topics(topic, timeout=PATIENCE_SECONDS)
    partitions = cluster.topics[topic].partitions
    assert sorted(partitions) == [0, 1, 2], partitions
    for partition in partitions.values():
        assert partition.error is None, partition.error
        assert partition.leader in cluster.brokers
        assert partition.replicas == partition.isrs == [partition.leader]


def create_topic():
    topic = create(fresh("create"), 8)
    until("8 partitions", lambda: len(admin().list_topics(topic, timeout=5).topics[topic].partitions) == 8)
    assert error_of(admin().create_topics([NewTopic(topic, 8, 1)])) == KafkaError.TOPIC_ALREADY_EXISTS
    assert error_of(admin().create_topics([NewTopic("no spaces", 1, 1)])) == KafkaError.TOPIC_EXCEPTION
    assert error_of(admin().create_topics([NewTopic(fresh("rf"), 1, 7)])) == KafkaError.INVALID_REPLICATION_FACTOR


def delete(topic):
    wait_all(admin().delete_topics([topic], operation_timeout=PATIENCE_SECONDS))


def delete_topic():
    topic = create(fresh("delete"))
    delete(topic)
    until("the topic is gone", lambda: topic not in admin().list_topics(timeout=5).topics)
    assert error_of(admin().delete_topics([topic])) == KafkaError.UNKNOWN_TOPIC_OR_PART


def recreate_topic():
    topic = create(fresh("recreate"))
    sender = Sender(acks="all")
    for i in range(100):
        sender.send(topic, b"old", key=str(i))
    sender.done()
    delete(topic)
    until("the topic is gone", lambda: topic not in admin().list_topics(timeout=5).topics)
    create(topic)
    reader = consumer()
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE_SECONDS) == (0, 0)
    reader.close()
    sender.offsets.clear()
    sender.send(topic, b"new", key="k")
    sender.done()
    assert sender.offsets == [0], sender.offsets
    assert [m.value() for m in read(topic, 1)] == [b"new"]


def describe_cluster():
    cluster = admin().describe_cluster().result(PATIENCE_SECONDS)
    assert cluster.cluster_id
    assert cluster.controller.id in [node.id for node in cluster.nodes]
    host, port = bootstrap.rsplit(":", 1)
    assert (host, int(port)) in [(node.host, node.port) for node in cluster.nodes]


def describe_configs():
    topic = create(fresh("configs"), **{"retention.ms": "123456789"})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    config = admin().describe_configs([resource])[resource].result(PATIENCE_SECONDS)
    assert config["retention.ms"].value == "123456789", config["retention.ms"]
    assert not config["retention.ms"].is_default
    assert config["cleanup.policy"].value == "delete" and config["cleanup.policy"].is_default
    for name in ("max.message.bytes", "segment.bytes", "min.insync.replicas", "compression.type"):
        assert config[name].value, name
    missing = ConfigResource(ConfigResource.Type.TOPIC, fresh("missing"))
    assert error_of(admin().describe_configs([missing])) == KafkaError.UNKNOWN_TOPIC_OR_PART


def auto_create():
    topic = fresh("auto")
    sender = Sender()
    sender.send(topic, b"first")
    sender.done()
    assert [m.value() for m in read(topic, 1)] == [b"first"]


def unknown_topic():
    topic = fresh("unknown")
    reader = consumer(**{"allow.auto.create.topics": False})
    assert reader.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    try:
        reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE_SECONDS)
        raise AssertionError("its offsets are known")
    except KafkaException as e:
        unknown = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
        assert e.args[0].code() in unknown, e
    # An assignment alone gets no error from librdkafka: it waits for the topic. It must not call it into being.
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    assert reader.poll(1) is None
    reader.close()
    assert topic not in admin().list_topics(timeout=PATIENCE_SECONDS).topics


def sample(tag):
    """(key, value, headers, timestamp): every shape a record can have."""
    base = int(time.time() * 1000) - 60_000
    text = b"the mark that high water leaves on a shore " * 20
    for i in range(60):
        headers = [("seq", b"%d" % i), ("twice", b"a"), ("twice", b"b"), ("null", None), ("empty", b"")] if i % 2 else None
        yield b"key-%d" % (i % 5), b"%s %d %s" % (tag.encode(), i, text), headers, base + i
    yield b"key-0", None, None, base + 100
    yield b"key-1", b"", None, base + 101
    yield None, f"{tag} without a key".encode(), None, base + 102
    yield b"", f"{tag} with an empty key".encode(), None, base + 103


def by_key(records):
    keys = defaultdict(list)
    for key, *rest in records:
        keys[key].append(tuple(rest))
    for key in (None, b""):
        keys[key].sort()  # librdkafka spreads these over the partitions
    return keys


def roundtrip(codec):
    topic, records = create(fresh(f"roundtrip-{codec}"), 3), []
    # acks=0 comes last: nothing would tell that a partition was not ready yet.
    for acks in ("all", "1", "0"):
        sender = Sender(**{"acks": acks, "compression.type": codec, "linger.ms": 100})
        for key, value, headers, timestamp in sample(f"{codec}-{acks}"):
            records.append((key, value, headers, timestamp))
            sender.send(topic, value, key=key, headers=headers, timestamp=timestamp)
        sender.done()
    messages = read(topic, len(records), 3)
    assert all(m.timestamp()[0] == TIMESTAMP_CREATE_TIME for m in messages)
    found = by_key((m.key(), m.value(), m.headers(), m.timestamp()[1]) for m in messages)
    expected = by_key(records)
    for key in expected | found:
        assert found[key] == expected[key], f"key {key}: {found[key]} instead of {expected[key]}"


def idempotent():
    topic, count = create(fresh("idempotent")), 10_000
    sender = Sender(**{"enable.idempotence": True, "linger.ms": 1, "batch.num.messages": 100})
    for i in range(count):
        sender.send(topic, b"%d" % i)
    sender.done()
    assert sender.offsets == list(range(count))
    messages = read(topic, count)
    assert [(m.offset(), int(m.value())) for m in messages] == [(i, i) for i in range(count)]


def large_record():
    topic, value = create(fresh("large")), os.urandom(900 * 1024)
    sender = Sender(acks="all")
    sender.send(topic, value)
    sender.send(topic, b"small")
    sender.done()
    assert [m.value() for m in read(topic, 2)] == [value, b"small"]


def oversized_record():
    topic = create(fresh("oversized"))
    sender = Sender(**{"message.max.bytes": 8 << 20, "acks": "all"})
    sender.send(topic, os.urandom(3 << 20))
    sender.flush()
    assert [e.code() for e in sender.errors] == [KafkaError.MSG_SIZE_TOO_LARGE], sender.errors
    sender.errors.clear()
    sender.send(topic, b"small")
    sender.done()
    assert [m.value() for m in read(topic, 1)] == [b"small"]


def filled(name, count=100, timestamp=None):
    topic = create(fresh(name))
    sender = Sender()
    for i in range(count):
        sender.send(topic, b"%d" % i, partition=0, **({"timestamp": timestamp(i)} if timestamp else {}))
    sender.done()
    return topic


def seek():
    topic = filled("seek")
    assert [int(m.value()) for m in read(topic, 100)] == list(range(100))
    assert [m.offset() for m in read(topic, 58, offset=42)] == list(range(42, 100))
    reader = consumer()
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE_SECONDS) == (0, 100)
    reader.assign([TopicPartition(topic, 0, OFFSET_END)])
    assert reader.poll(1.5) is None, "something came before the end moved"
    sender = Sender()
    sender.send(topic, b"100")
    sender.done()
    message = reader.poll(PATIENCE_SECONDS)
    assert message is not None and (message.offset(), message.value()) == (100, b"100")
    reader.seek(TopicPartition(topic, 0, 7))
    message = reader.poll(PATIENCE_SECONDS)
    assert message is not None and message.offset() == 7
    reader.close()


def offset_out_of_range():
    topic = filled("range", 10)
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 5000)])
    message = reader.poll(PATIENCE_SECONDS)
    reader.close()
    assert message is not None and message.error(), "no error came"
    assert message.error().code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET), message.error()


def offsets_for_times():
    base = int(time.time() * 1000) - 3_600_000
    topic = filled("times", timestamp=lambda i: base + i * 1000)
    reader = consumer()
    for asked, expected in ((base - 5, 0), (base, 0), (base + 4200, 5), (base + 99_000, 99), (base + 99_001, OFFSET_END)):
        found = reader.offsets_for_times([TopicPartition(topic, 0, asked)], timeout=PATIENCE_SECONDS)[0]
        assert found.error is None and found.offset == expected, f"{asked - base}: {found}"
    reader.close()


def max_timestamp():
    base = int(time.time() * 1000) - 3_600_000
    topic = filled("max", 10, timestamp=lambda i: base + (9_000 if i == 6 else i))
    asked = TopicPartition(topic, 0)
    found = admin().list_offsets({asked: OffsetSpec.max_timestamp()})[asked].result(PATIENCE_SECONDS)
    assert (found.offset, found.timestamp) == (6, base + 9_000), (found.offset, found.timestamp - base)


def tail():
    topic = filled("tail", 1)
    reader = consumer(**{"fetch.wait.max.ms": 15_000, "fetch.min.bytes": 1, "socket.timeout.ms": 60_000})
    reader.assign([TopicPartition(topic, 0, OFFSET_END)])
    assert reader.poll(2) is None
    sender = Sender(**{"linger.ms": 0})
    for i in range(3):
        sender.send(topic, b"now %d" % i)
        sender.done()
        sent = time.monotonic()
        message = reader.poll(PATIENCE_SECONDS)
        assert message is not None and message.value() == b"now %d" % i
        late = time.monotonic() - sent
        print(f"arrived {late * 1000:.1f} ms after its acknowledgement")
        assert late < 1, f"{late:.2f} s late"
        time.sleep(0.5)
    reader.close()


if scenario.startswith("roundtrip-"):
    roundtrip(scenario.removeprefix("roundtrip-"))
elif callable(run := globals().get(scenario.replace("-", "_"))):
    run()
else:
    print("not written for this client")
    sys.exit(77)
