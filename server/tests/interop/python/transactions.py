"""Transactions: the scenarios of `scenarios` by their names, for any `kit.Kafka` whose producers have them."""

from collections import defaultdict

from groups import restart_broker
from kit import Refused, Sender, drain, filled, fresh, numbers, read, reader, until

# INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, PRODUCER_FENCED; what librdkafka says of its own.
FENCED = (47, 48, 90, -144)


def transactional(kafka, name, timeout_ms=60_000):
    sender = Sender(kafka, transactional_id=name, transaction_timeout_ms=timeout_ms)
    sender.producer.init()
    return sender


def write(sender, topic, values, partitions=1):
    for i in values:
        for p in range(partitions):
            sender.send(topic, b"%d" % i, partition=p)
    sender.done()


def by_partition(records):
    found = defaultdict(list)
    for r in records:
        found[r.partition].append(int(r.value))
    return dict(found)


def is_fenced(ask):
    try:
        ask()
    except Refused as e:
        assert e.code in FENCED, e
        return
    raise AssertionError("a fenced producer has committed")


def transactions(kafka):
    topic, partitions = fresh("transactions"), 8
    kafka.create(topic, partitions)
    sender = transactional(kafka, fresh("id"))
    for round, end in enumerate((sender.producer.commit, sender.producer.abort, sender.producer.commit)):
        sender.producer.begin()
        write(sender, topic, range(20 * round, 20 * round + 20), partitions)
        end()
    kept = list(range(20)) + list(range(40, 60))
    found = read(kafka, topic, partitions * 40, partitions, isolation_level="read_committed")
    assert by_partition(found) == {p: kept for p in range(partitions)}, by_partition(found)
    found = read(kafka, topic, partitions * 60, partitions, isolation_level="read_uncommitted")
    assert by_partition(found) == {p: list(range(60)) for p in range(partitions)}, by_partition(found)


def transaction_offsets(kafka):
    source, target, group = filled(kafka, "source", 30), fresh("target"), fresh("group")
    kafka.create(target)
    sender, consumer = transactional(kafka, fresh("id")), reader(kafka, group_id=group)
    for begin, end, is_committed in ((0, 10, True), (10, 20, False), (10, 30, True)):
        sender.producer.begin()
        write(sender, target, range(begin, end))
        sender.producer.send_offsets({(source, 0): end}, consumer)
        (sender.producer.commit if is_committed else sender.producer.abort)()
        expected = (end if is_committed else begin, "")
        until("the offset is that of the transaction", lambda: consumer.committed((source, 0)) == expected)
    consumer.close()
    assert numbers(read(kafka, target, 30, isolation_level="read_committed")) == list(range(30))


def transaction_fenced(kafka):
    topic, name = fresh("fenced"), fresh("id")
    kafka.create(topic)
    zombie = transactional(kafka, name)
    zombie.producer.begin()
    write(zombie, topic, range(5))
    sender = transactional(kafka, name)
    sender.producer.begin()
    write(sender, topic, range(5, 10))
    sender.producer.commit()
    is_fenced(zombie.producer.commit)
    assert numbers(read(kafka, topic, 5, isolation_level="read_committed")) == list(range(5, 10))


def transaction_mixed(kafka):
    topic = fresh("mixed")
    kafka.create(topic)
    sender, other = transactional(kafka, fresh("id")), Sender(kafka)
    uncommitted, committed = (reader(kafka, isolation_level=level) for level in ("read_uncommitted", "read_committed"))
    for consumer in (uncommitted, committed):
        consumer.assign({(topic, 0): "beginning"})
    for begin, end, kept in ((0, sender.producer.commit, [0, 1, 2, 3]), (4, sender.producer.abort, [7])):
        sender.producer.begin()
        write(sender, topic, range(begin, begin + 3))
        write(other, topic, [begin + 3])
        assert numbers(drain(uncommitted, 4)) == list(range(begin, begin + 4))
        ahead = committed.poll(1)
        assert not ahead, ahead
        end()
        assert numbers(drain(committed, len(kept))) == kept
        more = uncommitted.poll(1)
        assert not more, more
    for consumer in (uncommitted, committed):
        consumer.close()


def transaction_large(kafka):
    topic, partitions = fresh("large"), 100
    kafka.create(topic, partitions)
    sender = transactional(kafka, fresh("id"))
    for begin, end in ((0, sender.producer.commit), (2, sender.producer.abort), (4, sender.producer.commit)):
        sender.producer.begin()
        write(sender, topic, range(begin, begin + 2), partitions)
        end()
    found = read(kafka, topic, partitions * 4, partitions, isolation_level="read_committed")
    assert by_partition(found) == {p: [0, 1, 4, 5] for p in range(partitions)}, by_partition(found)


def transaction_timeout(kafka):
    topic = fresh("timeout")
    kafka.create(topic)
    sender = transactional(kafka, fresh("id"), 2000)
    sender.producer.begin()
    write(sender, topic, range(5))
    other = Sender(kafka)
    write(other, topic, [5])
    consumer, records = reader(kafka, isolation_level="read_committed"), []
    consumer.assign({(topic, 0): "beginning"})
    until("the record behind it", lambda: records.extend(consumer.poll(0.5)) or records, 40)
    assert numbers(records) == [5], records
    is_fenced(sender.producer.commit)


def broker_transactions(kafka):
    topic, partitions = fresh("restart"), 4
    kafka.create(topic, partitions)
    sender, number, kept = transactional(kafka, fresh("id")), 0, []
    for kill in range(3):
        for _ in range(20):
            sender.producer.begin()
            write(sender, topic, [number], partitions)
            if number % 5 == 4:
                sender.producer.abort()
            else:
                sender.producer.commit()
                kept.append(number)
            number += 1
        if kill < 2:
            sender.producer.begin()
            write(sender, topic, [number], partitions)
            restart_broker()
            sender.producer.commit()
            kept.append(number)
            number += 1
    found = read(kafka, topic, partitions * len(kept), partitions, isolation_level="read_committed")
    assert by_partition(found) == {p: kept for p in range(partitions)}, by_partition(found)
