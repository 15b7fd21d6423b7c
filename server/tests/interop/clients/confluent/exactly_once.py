"""The clients of `exactly-once`: prepare, write, move, read; each but the first and the last goes on until its input ends.

A writer notes what it does to a file, a line before it asks for a commit and a line when that is answered.

A mover's producer never bootstraps again (`metadata.recovery.strategy=none`), or it may hang, with this broker as with
Apache Kafka 4.3.1: librdkafka 2.16 bootstraps again when all the brokers that it knows are away, as the only one is here
when it is killed, and drops what it knew of them. But the group's coordinator stays in its cache
(confluentinc/librdkafka#5511): TxnOffsetCommit waits for a connection that nobody makes any more, and the time given to
send_offsets_to_transaction is not looked at (#5456). The log of such a producer has AddOffsetsToTxn answered without an
error, and no TxnOffsetCommit after it.
"""

import random
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
ASK_SECONDS = 5
ASK_TIMES = 4
OPEN_MS = 10_000


def producer(bootstrap, name, **settings):
    """The next instance of a transactional producer: the one before is fenced."""
    while True:
        try:
            made = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "transaction.timeout.ms": OPEN_MS, **settings})
            made.init_transactions(ASK_SECONDS)
            return made
        except KafkaException:
            time.sleep(0.2)


def patiently(ask):
    """Asks again while it may be repeated. Not for ever: when every broker that it knows was away at once, librdkafka 2.16
    may lose sight of what it has to send, and the next instance of the producer must settle it."""
    for at in range(ASK_TIMES):
        try:
            return ask()
        except KafkaException as e:
            if not e.args[0].retriable() or at + 1 == ASK_TIMES:
                raise


def goes_on():
    """Whether the input is open still."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    return lambda: not ended.is_set()


def prepare(bootstrap):
    topics = [NewTopic(name, PARTITIONS, 1) for name in ("in", "out")]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics(topics).values():
        made.result()


def write(bootstrap, number, notes, seed):
    # A life that comes behind another has other names.
    chance, life = random.Random(seed + str(time.time_ns())), time.time_ns()
    going, own, count = goes_on(), producer(bootstrap, f"writer-{number}"), 0
    with open(notes, "a", buffering=1) as file:
        while going():
            count += 1
            name = f"{number}.{life}.{count}"
            values = [f"{name}.{at}" for at in range(chance.randint(1, 12))]
            try:
                own.begin_transaction()
                for value in values:
                    own.produce("in", value=value.encode(), partition=chance.randrange(PARTITIONS))
                if chance.random() < 0.3:
                    own.flush(ASK_SECONDS)
                    patiently(lambda: own.abort_transaction(ASK_SECONDS))
                    continue
                file.write(f"asked {name} {' '.join(values)}\n")
                patiently(lambda: own.commit_transaction(ASK_SECONDS))
                file.write(f"answered {name}\n")
            except KafkaException:
                own = producer(bootstrap, f"writer-{number}")


def mover(bootstrap, number):
    return producer(bootstrap, f"mover-{number}", **{"metadata.recovery.strategy": "none"})


def move(bootstrap, number, _notes, _seed):
    going, own = goes_on(), mover(bootstrap, number)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "movers", "isolation.level": "read_committed",
                         "auto.offset.reset": "earliest", "enable.auto.commit": False, "session.timeout.ms": 6000})
    consumer.subscribe(["in"])
    while going():
        batch = [message for message in consumer.consume(50, 0.2) if not message.error()]
        if not batch:
            continue
        try:
            own.begin_transaction()
            for message in batch:
                own.produce("out", value=message.value(), partition=message.partition())
            offsets = {}
            for message in batch:
                offsets[message.partition()] = message.offset() + 1
            offsets = [TopicPartition("in", partition, offset) for partition, offset in offsets.items()]
            patiently(lambda: own.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), ASK_SECONDS))
            patiently(lambda: own.commit_transaction(ASK_SECONDS))
        except KafkaException as e:
            again(own, e)
            own = mover(bootstrap, number)
            rewind(consumer)


def again(own, error):
    """Ends what can be ended of a transaction that failed; the next instance fences the rest."""
    if error.args[0].txn_requires_abort():
        try:
            own.abort_transaction(ASK_SECONDS)
        except KafkaException:
            pass


def rewind(consumer):
    """Has the consumer read again from what is committed; what it is assigned later it reads from there anyway."""
    while assigned := consumer.assignment():
        try:
            for known in consumer.committed(assigned, ASK_SECONDS):
                consumer.seek(TopicPartition(known.topic, known.partition, max(known.offset, 0)))
            return
        except KafkaException:
            time.sleep(0.2)


def reader(bootstrap, isolation):
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "readers", "isolation.level": isolation,
                     "auto.offset.reset": "earliest", "enable.auto.commit": False, "enable.partition.eof": True})


def read(bootstrap, topic, isolation):
    # A commit is answered before its markers are written.
    asking, partitions = reader(bootstrap, "read_uncommitted"), [TopicPartition(topic, at, 0) for at in range(PARTITIONS)]
    ends = [asking.get_watermark_offsets(partition, ASK_SECONDS)[1] for partition in partitions]
    asking.close()
    consumer = reader(bootstrap, isolation)
    consumer.assign(partitions)
    ended = set()
    while len(ended) < PARTITIONS:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error() is None:
            print(message.partition(), message.value().decode())
        elif message.error().code() == KafkaError._PARTITION_EOF and message.offset() >= ends[message.partition()]:
            ended.add(message.partition())
    consumer.close()


role, *arguments = sys.argv[1:]
{"prepare": prepare, "write": write, "move": move, "read": read}[role](*arguments)
