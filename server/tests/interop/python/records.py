"""Topics, producing and consuming without groups: the scenarios of `scenarios` by their names, for any `kit.Kafka`."""

import os
import pathlib
import sys
import time
from collections import defaultdict

from kit import Refused, Sender, drain, fill, filled, fresh, numbers, read, reader, refusal, until

UNKNOWN_TOPIC_OR_PARTITION = 3
INVALID_CONFIG = 40
INVALID_PARTITIONS = 37
OFFSET_OUT_OF_RANGE = 1
MESSAGE_TOO_LARGE = 10
INVALID_TOPIC = 17
TOPIC_ALREADY_EXISTS = 36
INVALID_REPLICATION_FACTOR = 38


def created(kafka, name, partitions=1, **config):
    topic = fresh(name)
    kafka.create(topic, partitions, **config)
    return topic


def metadata(kafka):
    topic = created(kafka, "metadata", 3)
    until("the topic is listed", lambda: topic in kafka.topics())
    partitions, (_, _, brokers) = kafka.topics()[topic], kafka.cluster()
    assert sorted(partitions) == [0, 1, 2], partitions
    for leader, replicas, in_sync in partitions.values():
        assert leader in brokers
        assert list(replicas) == list(in_sync) == [leader]


def create_topic(kafka):
    topic = created(kafka, "create", 8)
    until("8 partitions", lambda: len(kafka.topics().get(topic, ())) == 8)
    refusal(TOPIC_ALREADY_EXISTS, kafka.create, topic, 8)
    refusal(INVALID_TOPIC, kafka.create, "no spaces")
    refusal(INVALID_REPLICATION_FACTOR, kafka.create, fresh("replicas"), 1, replicas=7)


def delete_topic(kafka):
    topic = created(kafka, "delete")
    kafka.delete(topic)
    until("the topic is gone", lambda: topic not in kafka.topics())
    refusal(UNKNOWN_TOPIC_OR_PARTITION, kafka.delete, topic)


def recreate_topic(kafka):
    topic = created(kafka, "recreate")
    sender = Sender(kafka, acks="all")
    for i in range(100):
        sender.send(topic, b"old", key=b"%d" % i)
    sender.done()
    kafka.delete(topic)
    until("the topic is gone", lambda: topic not in kafka.topics())
    kafka.create(topic)
    consumer = reader(kafka)
    assert consumer.bounds((topic, 0)) == (0, 0)
    consumer.close()
    sender.offsets.clear()
    sender.send(topic, b"new", key=b"k")
    sender.close()
    assert sender.offsets == [0], sender.offsets
    assert [r.value for r in read(kafka, topic, 1)] == [b"new"]


def describe_cluster(kafka):
    cluster_id, controller, brokers = kafka.cluster()
    assert cluster_id
    assert controller in brokers
    host, port = kafka.bootstrap.rsplit(":", 1)
    assert (host, int(port)) in brokers.values(), brokers


def describe_configs(kafka):
    topic = created(kafka, "configs", **{"retention.ms": "123456789"})
    until("the topic is listed", lambda: topic in kafka.topics())
    config = kafka.config(topic)
    assert config["retention.ms"] == ("123456789", False), config["retention.ms"]
    assert config["cleanup.policy"] == ("delete", True), config["cleanup.policy"]
    for name in ("max.message.bytes", "segment.bytes", "min.insync.replicas", "compression.type"):
        assert config[name][0], name
    refusal(UNKNOWN_TOPIC_OR_PARTITION, kafka.config, fresh("missing"))


def change_topic(kafka):
    topic = created(kafka, "change")
    until("the topic is listed", lambda: topic in kafka.topics())
    kafka.alter(topic, ("retention.ms", "SET", "123456789"), ("cleanup.policy", "APPEND", "compact"))
    config = kafka.config(topic)
    assert config["retention.ms"] == ("123456789", False), config["retention.ms"]
    assert config["cleanup.policy"] == ("delete,compact", False), config["cleanup.policy"]
    kafka.alter(topic, ("retention.ms", "DELETE", None), ("cleanup.policy", "SUBTRACT", "compact"))
    config = kafka.config(topic)
    assert config["retention.ms"] == ("604800000", True) and config["cleanup.policy"][0] == "delete", config
    refusal(INVALID_CONFIG, kafka.alter, topic, ("retention.ms", "SET", "soon"))
    refusal(INVALID_CONFIG, kafka.alter, topic, ("retention.m", "SET", "1"))
    sender = Sender(kafka)
    for i in range(20):
        sender.send(topic, b"%d" % i)
    sender.close()
    assert kafka.delete_records((topic, 0), 5) == 5
    assert [r.value for r in read(kafka, topic, 15)] == [b"%d" % i for i in range(5, 20)]
    refusal(OFFSET_OUT_OF_RANGE, kafka.delete_records, (topic, 0), 21)
    kafka.grow(topic, 3)
    until("three partitions", lambda: len(kafka.topics()[topic]) == 3)
    refusal(INVALID_PARTITIONS, kafka.grow, topic, 2)


def auto_create(kafka):
    topic = fresh("auto")
    sender = Sender(kafka)
    sender.send(topic, b"first")
    sender.close()
    assert [r.value for r in read(kafka, topic, 1)] == [b"first"]


def unknown_topic(kafka):
    topic = fresh("unknown")
    consumer = reader(kafka, allow_auto_create_topics=False)
    try:
        bounds = consumer.bounds((topic, 0))
    except Refused as e:
        print(e)
    else:
        raise AssertionError(f"its offsets are known: {bounds}")
    # An assignment alone may get no error: the library waits for the topic. It must not call it into being.
    consumer.assign({(topic, 0): "beginning"})
    try:
        assert consumer.poll(1) == []
    except Refused as e:
        assert e.code == UNKNOWN_TOPIC_OR_PARTITION, e
    consumer.close()
    assert topic not in kafka.topics()


def sample(tag, null_header_values):
    """(key, value, headers, timestamp): every shape a record can have."""
    base = int(time.time() * 1000) - 60_000
    text = b"the mark that high water leaves on a shore " * 20
    for i in range(60):
        headers = [("seq", b"%d" % i), ("twice", b"a"), ("twice", b"b"), ("empty", b"")]
        if null_header_values:
            headers.append(("null", None))
        yield b"key-%d" % (i % 5), b"%s %d %s" % (tag.encode(), i, text), headers if i % 2 else None, base + i
    yield b"key-0", None, None, base + 100
    yield b"key-1", b"", None, base + 101
    yield None, f"{tag} without a key".encode(), None, base + 102
    yield b"", f"{tag} with an empty key".encode(), None, base + 103


def by_key(records):
    keys = defaultdict(list)
    for key, *rest in records:
        keys[key].append(tuple(rest))
    for key in (None, b""):
        keys[key].sort()  # libraries spread these over the partitions
    return keys


def roundtrip(kafka, codec):
    topic, records = created(kafka, f"roundtrip-{codec}", 3), []
    # acks=0 comes last: nothing would tell that a partition was not ready yet.
    for acks in ("all", "1", "0"):
        sender = Sender(kafka, acks=acks, compression_type=codec, linger_ms=100)
        for key, value, headers, timestamp in sample(f"{codec}-{acks}", kafka.null_header_values):
            records.append((key, value, headers, timestamp))
            sender.send(topic, value, key=key, headers=headers, timestamp=timestamp)
        sender.close()
    found = by_key((r.key, r.value, r.headers, r.timestamp) for r in read(kafka, topic, len(records), 3))
    expected = by_key(records)
    for key in expected | found:
        assert found[key] == expected[key], f"key {key}: {found[key]} instead of {expected[key]}"


def idempotent(kafka):
    topic, count = created(kafka, "idempotent"), 10_000
    sender = Sender(kafka, enable_idempotence=True, acks="all", linger_ms=1, batch_size=2000)
    for i in range(count):
        sender.send(topic, b"%d" % i)
    sender.close()
    assert sender.offsets == list(range(count))
    assert [(r.offset, int(r.value)) for r in read(kafka, topic, count)] == [(i, i) for i in range(count)]


def produce_sync(kafka):
    topic, count = created(kafka, "sync"), 200
    sender = Sender(kafka, acks="all", linger_ms=0)
    for i in range(count):
        sender.send(topic, b"%d" % i)
        sender.done()
        assert sender.offsets[-1] == i, f"record {i} has offset {sender.offsets[-1]}"
    sender.close()
    assert numbers(read(kafka, topic, count)) == list(range(count))


def produce_callback(kafka):
    topic, count, partitions = created(kafka, "callback", 3), 2000, 3
    producer, called = kafka.producer(acks="all", linger_ms=5), defaultdict(list)
    for i in range(count):
        producer.send(topic, b"%d" % i, key=b"%d" % (i % 50),
                      done=lambda error, partition, offset, i=i: called[i].append((error, partition, offset)))
    producer.flush()
    producer.close()
    assert sorted(called) == list(range(count)) and all(len(c) == 1 for c in called.values())
    found = {(r.partition, r.offset): int(r.value) for r in read(kafka, topic, count, partitions)}
    for i, [(error, partition, offset)] in called.items():
        assert error is None and found[partition, offset] == i, (i, error, partition, offset)


def produce_fire_and_forget(kafka):
    topic, count = created(kafka, "forget"), 2000
    producer = kafka.producer(acks="1", enable_idempotence=False)
    for i in range(count):
        producer.send(topic, b"%d" % i)
        if i == 0:
            producer.flush()  # no leader yet, no order: only now nothing is retried
    producer.close()
    assert numbers(read(kafka, topic, count)) == list(range(count))


def tombstones(kafka):
    topic = created(kafka, "tombstones", **{"cleanup.policy": "compact"})
    sender = Sender(kafka, acks="all", enable_idempotence=False)
    records = [(b"a", b"1"), (b"b", b"2"), (b"a", None), (b"b", b""), (b"c", b"3")]
    for key, value in records:
        sender.send(topic, value, key=key)
    sender.done()
    sender.send(topic, b"no key")
    sender.flush()
    assert [e.code for e in sender.errors] == [kafka.invalid_record], sender.errors
    assert [(r.key, r.value) for r in read(kafka, topic, len(records))] == records


def large_record(kafka):
    topic, value = created(kafka, "large"), os.urandom(900 * 1024)
    sender = Sender(kafka, acks="all")
    sender.send(topic, value)
    sender.send(topic, b"small")
    sender.close()
    assert [r.value for r in read(kafka, topic, 2)] == [value, b"small"]


def oversized_record(kafka):
    topic = created(kafka, "oversized")
    # Some libraries give an idempotent producer up after any refusal.
    sender = Sender(kafka, acks="all", enable_idempotence=False, max_request_size=8 << 20)
    sender.send(topic, os.urandom(3 << 20))
    sender.flush()
    assert [e.code for e in sender.errors] == [MESSAGE_TOO_LARGE], sender.errors
    sender.errors.clear()
    sender.send(topic, b"small")
    sender.close()
    assert [r.value for r in read(kafka, topic, 1)] == [b"small"]


def next_record(consumer):
    """The first record of the next poll that has one."""
    found = []
    until("a record", lambda: found.extend(consumer.poll(0.5)) or found)
    return found[0]


def seek(kafka):
    topic = filled(kafka, "seek")
    end = (topic, 0)
    assert numbers(read(kafka, topic, 100)) == list(range(100))
    assert [r.offset for r in read(kafka, topic, 58, offset=42)] == list(range(42, 100))
    consumer = reader(kafka)
    assert consumer.bounds(end) == (0, 100)
    consumer.assign({end: "end"})
    assert consumer.poll(1.5) == [], "something came before the end moved"
    fill(kafka, topic, 1, begin=100)
    record = next_record(consumer)
    assert (record.offset, record.value) == (100, b"100")
    consumer.seek(end, 7)
    assert next_record(consumer).offset == 7
    consumer.close()


def offset_out_of_range(kafka):
    consumer = reader(kafka)
    consumer.assign({(filled(kafka, "range", 10), 0): 5000})
    try:
        until("an error", lambda: consumer.poll(0.5))
        raise AssertionError("a record came")
    except Refused as e:
        assert e.code == OFFSET_OUT_OF_RANGE, e
    consumer.close()


def offsets_for_times(kafka):
    base = int(time.time() * 1000) - 3_600_000
    topic = filled(kafka, "times", timestamp=lambda i: base + i * 1000)
    consumer = reader(kafka)
    for asked, expected in ((base - 5, 0), (base, 0), (base + 4200, 5), (base + 99_000, 99), (base + 99_001, None)):
        found = consumer.offset_at((topic, 0), asked)
        assert found == expected, f"{asked - base}: {found}"
    consumer.close()


def consume_timestamp(kafka):
    base = int(time.time() * 1000) - 3_600_000
    topic = filled(kafka, "from-time", timestamp=lambda i: base + i * 1000)
    consumer = reader(kafka)
    consumer.assign({(topic, 0): consumer.offset_at((topic, 0), base + 76_500)})
    assert numbers(drain(consumer, 23)) == list(range(77, 100))
    consumer.close()


def max_timestamp(kafka):
    base = int(time.time() * 1000) - 3_600_000
    topic = filled(kafka, "max", 10, timestamp=lambda i: base + (9_000 if i == 6 else i))
    assert kafka.max_timestamp((topic, 0)) == (6, base + 9_000)


def tail(kafka):
    topic = filled(kafka, "tail", 1)
    consumer = reader(kafka, fetch_max_wait_ms=15_000, fetch_min_bytes=1)
    consumer.assign({(topic, 0): "end"})
    assert consumer.poll(2) == []
    sender = Sender(kafka, linger_ms=0)
    for i in range(3):
        sender.send(topic, b"now %d" % i)
        sender.done()
        sent = time.monotonic()
        record = next_record(consumer)
        late = time.monotonic() - sent
        assert record.value == b"now %d" % i
        print(f"arrived {late * 1000:.1f} ms after its acknowledgement")
        assert late < 1, f"{late:.2f} s late"
        time.sleep(0.5)
    sender.close()
    consumer.close()


def own_offset_store(kafka):
    topic, store = filled(kafka, "own-store"), pathlib.Path(sys.argv[3], "offset")
    consumer, handled = reader(kafka), []
    consumer.assign({(topic, 0): "beginning"})
    until("40 records", lambda: handled.extend(consumer.poll(0.5)) or len(handled) >= 40)
    store.write_text(str(handled[39].offset + 1))
    consumer.close()
    consumer = reader(kafka)
    consumer.assign({(topic, 0): "end"})
    consumer.seek((topic, 0), int(store.read_text()))
    assert numbers(handled[:40] + drain(consumer, 60)) == list(range(100))
    consumer.close()


def read_committed(kafka):
    topic, ends = filled(kafka, "committed"), []
    for isolation in ("read_uncommitted", "read_committed"):
        consumer = reader(kafka, isolation_level=isolation)
        assert numbers(read(kafka, topic, 100, isolation_level=isolation)) == list(range(100))
        ends.append(consumer.bounds((topic, 0)))
        consumer.close()
    assert ends == [(0, 100)] * 2, ends


def pause_resume(kafka):
    topic = filled(kafka, "pause", 20, 2)
    paused, other = (topic, 0), (topic, 1)
    consumer = reader(kafka)
    consumer.assign({paused: "beginning", other: "beginning"})
    drain(consumer, 20)
    consumer.pause(paused)
    fill(kafka, topic, 20, 2, begin=20)
    assert {(r.partition, r.offset) for r in drain(consumer, 10, spare_seconds=1)} == {(1, o) for o in range(10, 20)}
    consumer.resume(paused)
    assert [(r.partition, r.offset) for r in drain(consumer, 10)] == [(0, o) for o in range(10, 20)]
    consumer.close()
