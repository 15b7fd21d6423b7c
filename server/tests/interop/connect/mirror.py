"""The phase of MirrorMaker 2, between Apache Kafka and the broker under test, both ways at once."""

import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions

import harness
from scene import CONNECT, PATIENCE_SECONDS, Topics, properties, until
from sequence import check

# Few internal partitions, so that it is soon back after a kill.
KAFKA = ("bench/peers/kafka/kafka.sh run --port {port} --data {data} --override offsets.topic.num.partitions=4"
         " --override transaction.state.log.num.partitions=4 --override broker.session.timeout.ms=3000"
         " --override broker.heartbeat.interval.ms=500")
TOPIC = "crates"
GROUP = "shippers"
PARTITIONS = 3
SETTINGS = {"retention.ms": "604800123", "max.message.bytes": "2000000", "cleanup.policy": "compact,delete"}
FIRST = 600
DELETED = 20


def settings(brokers):
    """Both ways, exactly once, and with intervals of a second where they are minutes."""
    found = {
        "clusters": ",".join(brokers), "replication.factor": 1, "checkpoints.topic.replication.factor": 1,
        "heartbeats.topic.replication.factor": 1, "offset-syncs.topic.replication.factor": 1, "offset.storage.replication.factor": 1,
        "config.storage.replication.factor": 1, "status.storage.replication.factor": 1, "refresh.topics.interval.seconds": 1,
        "refresh.groups.interval.seconds": 1, "sync.topic.configs.interval.seconds": 1, "emit.checkpoints.interval.seconds": 1,
        "sync.group.offsets.enabled": True, "sync.group.offsets.interval.seconds": 1, "offset.lag.max": 0, "plugin.discovery": "service_load",
        "dedicated.mode.enable.internal.rest": True, "listeners": f"http://127.0.0.1:{harness.free_port()}"}
    for name, broker in brokers.items():
        found |= {f"{name}.bootstrap.servers": broker.bootstrap, f"{name}.exactly.once.source.support": "enabled",
                  f"{name}.consumer.isolation.level": "read_committed", f"{name}.scheduled.rebalance.max.delay.ms": 1_000}
        found |= {f"{name}->{other}.enabled": True for other in brokers if other != name}
    return found


def records(start, count, begin_ms):
    """Records of every kind: tombstones, headers, none, times of their own."""
    for at in range(start, start + count):
        yield {"key": f"crate-{at}", "value": None if at % 10 == 9 else f"value {at}", "partition": at % PARTITIONS,
               "timestamp": begin_ms + at, "headers": [("at", str(at)), ("none", None)] if at % 3 else []}


class Way:
    """From one broker to the other: what stands in the source, and what has to in the target."""

    def __init__(self, source, target):
        self.source, self.target = Topics(source[1].bootstrap), Topics(target[1].bootstrap)
        self.copy, self.name = f"{source[0]}.{TOPIC}", f"{source[0]} to {target[0]}"
        self.sent, self.begin_ms = 0, int(time.time() * 1000)

    def prepare(self):
        """A topic whose offsets cannot be those of its copy: its first records are deleted, others were aborted."""
        self.source.make(TOPIC, PARTITIONS, SETTINGS)
        self.send(FIRST)
        self.source.admin.delete_records([TopicPartition(TOPIC, at, DELETED) for at in range(PARTITIONS)])
        until(lambda: len(self.source.read(TOPIC)) == FIRST - PARTITIONS * DELETED, "the first records are deleted")
        producer = Producer({"bootstrap.servers": self.source.bootstrap, "transactional.id": "aborts", "log_level": 0})
        producer.init_transactions(PATIENCE_SECONDS)
        producer.begin_transaction()
        for record in records(0, 30, self.begin_ms):
            producer.produce(TOPIC, **{**record, "key": "aborted"})
        producer.flush(PATIENCE_SECONDS)
        producer.abort_transaction(PATIENCE_SECONDS)
        self.send(FIRST)

    def send(self, count):
        self.source.produce(TOPIC, records(self.sent, count, self.begin_ms))
        self.sent += count

    def copied(self):
        """Whether the copy has as many records as the original."""
        return len(self.target.read(self.copy)) >= len(self.source.read(TOPIC))

    def compare(self):
        """Each partition has the same records in the same order, but for their offsets."""
        def told(topics, name):
            found = [[] for _ in range(PARTITIONS)]
            for message in topics.read(name):
                found[message.partition()].append((message.key(), message.value(), message.headers() or [], message.timestamp()))
            return found

        for at, (original, copy) in enumerate(zip(told(self.source, TOPIC), told(self.target, self.copy), strict=True)):
            differs = next((place for place, pair in enumerate(zip(original, copy)) if pair[0] != pair[1]), min(len(original), len(copy)))
            check(original == copy, f"{self.name}, partition {at}: {len(copy)} records of {len(original)}; the {differs}th differs: "
                                    f"{original[differs:differs + 1]}, {copy[differs:differs + 1]}")

    def commit(self, left):
        """The group has read all but so many records of each partition of the source; how many these are."""
        consumer = Consumer({"bootstrap.servers": self.source.bootstrap, "group.id": GROUP, "log_level": 0})
        read, offsets = [], []
        for at in range(PARTITIONS):
            all_of_it = [message.offset() for message in self.source.read(TOPIC) if message.partition() == at]
            read.append(len(all_of_it) - left)
            offsets.append(TopicPartition(TOPIC, at, all_of_it[read[-1] - 1] + 1))
        consumer.commit(offsets=offsets, asynchronous=False)
        consumer.close()
        return read

    def translated(self):
        """For each partition, how many records of the copy lie before what the group has committed there; None before it has."""
        consumer = Consumer({"bootstrap.servers": self.target.bootstrap, "group.id": GROUP, "log_level": 0})
        places = consumer.committed([TopicPartition(self.copy, at) for at in range(PARTITIONS)], timeout=30)
        consumer.close()
        offsets = {place.partition: place.offset for place in places}
        if min(offsets.values()) < 0:
            return None
        copies = self.target.read(self.copy)
        return [sum(message.partition() == at and message.offset() < offsets[at] for message in copies) for at in range(PARTITIONS)]

    def followed(self):
        """How many records of each partition count as read in the target, and how many in the source; None before there are
        offsets. MirrorMaker translates what lies behind the first record that it has seen, so that the group goes on meanwhile."""
        self.send(30)
        read = self.commit(5)
        time.sleep(2)
        found = self.translated()
        return found and (found, read)


def mirror(scene):
    """Records, settings, partitions and groups' offsets, both ways; and each record once under kills of all three."""
    brokers = {"kafka": scene.start_broker("kafka", KAFKA), "strandline": scene.broker}
    (kafka, strandline) = brokers.items()
    ways = [Way(kafka, strandline), Way(strandline, kafka)]
    for way in ways:
        way.prepare()
        way.commit(FIRST // PARTITIONS)
    mirrors = scene.java("mirror", CONNECT + "mirror.MirrorMaker", properties(scene.work / "mirror.properties", settings(brokers)))
    for way in ways:
        until(way.copied, f"{way.name}: the records are there")
        way.compare()
        found, read = until(way.followed, f"{way.name}: the group has offsets")
        check(all(at <= real for at, real in zip(found, read, strict=True)), f"{way.name}: {found} records count as read, not {read}")

    for way in ways:
        def same_settings():
            there = way.target.settings(way.copy)
            return all(there[key] == value for key, value in wanted.items())

        wanted = SETTINGS
        until(same_settings, f"{way.name}: the settings {wanted} are there")
        wanted = {**SETTINGS, "retention.ms": "604800456"}
        way.source.set(TOPIC, {"retention.ms": "604800456"})
        until(same_settings, f"{way.name}: the settings {wanted} are there")
        way.source.admin.create_partitions([NewPartitions(TOPIC, PARTITIONS + 2)])
        until(lambda: way.target.partitions()[way.copy] == PARTITIONS + 2, f"{way.name}: the copy grows")

    for process in (mirrors, kafka[1], strandline[1], mirrors):
        for way in ways:
            way.send(100)
        process.kill()
        if process is not mirrors:
            process.start()
            mirrors.check()
        for way in ways:
            way.send(100)
        if process is mirrors:
            process.start()
        for way in ways:
            until(way.copied, f"{way.name}: the records are there after a kill")
    for way in ways:
        # A kill may have come between a record and what MirrorMaker notes of its offset: the next record has it again.
        way.send(PARTITIONS)
        all_of_it = way.commit(0)
        until(lambda: way.translated() == all_of_it, f"{way.name}: the group is at the end")
        way.compare()
        names = sorted(name for name in way.target.partitions() if TOPIC in name)
        check(names == [TOPIC, way.copy] or names == [way.copy, TOPIC], f"{way.name}: topics went round: {names}")
    return f"{sum(way.sent for way in ways)} records sent, both ways, each there once; settings, partitions, groups' offsets follow"
