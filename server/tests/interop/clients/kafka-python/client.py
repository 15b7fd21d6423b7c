"""kafka-python as the scenarios in ../../python want it.

client.py SCENARIO BOOTSTRAP WORKDIR: exits 0 when the broker did what the scenario says.
"""

import functools
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
import kafka.errors
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError

import kit

UNKNOWN_TOPIC_OR_PARTITION = 3
GROUP_ID_NOT_FOUND = 69
MILLISECONDS = kit.PATIENCE_SECONDS * 1000
ASSIGNORS = {"cooperative-sticky": CooperativeStickyAssignor}
SHORT = {"acks": lambda acks: acks if acks == "all" else int(acks),
         "compression_type": lambda codec: None if codec == "none" else codec,
         "partition_assignment_strategy": lambda name: [ASSIGNORS[name]]}


def refused(error):
    return kit.Refused(getattr(error, "errno", None), repr(error))


def asks(ask):
    """What the library throws, as the scenarios know it."""
    @functools.wraps(ask)
    def asking(*arguments, **more):
        try:
            return ask(*arguments, **more)
        except KafkaError as e:
            raise refused(e) from e
    return asking


def check(*errors):
    for error in errors:
        if error is not kafka.errors.NoError:
            raise error()


def own(settings):
    return {name: SHORT.get(name, lambda value: value)(value) for name, value in settings.items()}


class Listener(ConsumerRebalanceListener):
    def __init__(self, assigned, revoked):
        self.assigned, self.revoked = assigned, revoked

    def on_partitions_assigned(self, assigned):
        self.assigned and self.assigned(set(assigned))

    def on_partitions_revoked(self, revoked):
        self.revoked and self.revoked(set(revoked))


class PythonProducer(kit.Producer):
    def __init__(self, producer):
        self.producer = producer

    def send(self, topic, value, key=None, headers=None, timestamp=None, partition=None, done=None):
        try:
            future = self.producer.send(topic, value, key, headers=headers or [], partition=partition, timestamp_ms=timestamp)
        except KafkaError as e:
            done and done(refused(e), None, None)
            return
        if done:
            future.add_callback(lambda m: done(None, m.partition, m.offset))
            future.add_errback(lambda e: done(refused(e), None, None))

    def flush(self):
        self.producer.flush(2 * kit.PATIENCE_SECONDS)

    def close(self):
        self.producer.close(kit.PATIENCE_SECONDS)

    @asks
    def init(self):
        self.producer.init_transactions()

    @asks
    def begin(self):
        self.producer.begin_transaction()

    @asks
    def commit(self):
        self.producer.commit_transaction()

    @asks
    def abort(self):
        self.producer.abort_transaction()

    @asks
    def send_offsets(self, offsets, consumer):
        offsets = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        self.producer.send_offsets_to_transaction(offsets, consumer.consumer.group_metadata())


class PythonConsumer(kit.Consumer):
    # A leader of kafka-python 3.0.12 that joins again because its topic's partitions are another number than at its last
    # assignment, as after a first join that was quicker than the topic's metadata, stops for good when a poll ends before
    # the JoinGroup is answered: with the assignment made need_rejoin() is false, and no poll takes up what SyncGroup
    # brings, nor are there heartbeats. In a group it gets time to finish.
    JOIN_SECONDS = 2

    def __init__(self, consumer):
        self.consumer = consumer
        self.seconds_min = 0

    @asks
    def poll(self, seconds):
        found = self.consumer.poll(int(max(seconds, self.seconds_min) * 1000))
        return [kit.Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, list(r.headers) or None)
                for records in found.values() for r in records]

    @asks
    def assign(self, positions):
        self.consumer.assign([TopicPartition(*p) for p in positions])
        for p, at in positions.items():
            p = TopicPartition(*p)
            if at == "beginning":
                self.consumer.seek_to_beginning(p)
            elif at == "end":
                self.consumer.seek_to_end(p)
            else:
                self.consumer.seek(p, at)

    def subscribe(self, topics=None, pattern=None, assigned=None, revoked=None):
        self.seconds_min = self.JOIN_SECONDS
        self.consumer.subscribe(topics or (), pattern, Listener(assigned, revoked))

    def seek(self, partition, offset):
        self.consumer.seek(TopicPartition(*partition), offset)

    def pause(self, partition):
        self.consumer.pause(TopicPartition(*partition))

    def resume(self, partition):
        self.consumer.resume(TopicPartition(*partition))

    @asks
    def commit(self, offsets):
        self.consumer.commit({TopicPartition(*p): OffsetAndMetadata(offset, metadata, -1) for p, (offset, metadata) in offsets.items()},
                             MILLISECONDS)

    @asks
    def committed(self, partition):
        found = self.consumer.committed(TopicPartition(*partition), metadata=True, timeout_ms=MILLISECONDS)
        return None if found is None or found.offset < 0 else (found.offset, found.metadata)

    @asks
    def bounds(self, partition):
        p = TopicPartition(*partition)
        return self.consumer.beginning_offsets([p], MILLISECONDS)[p], self.consumer.end_offsets([p], MILLISECONDS)[p]

    @asks
    def offset_at(self, partition, timestamp):
        p = TopicPartition(*partition)
        found = self.consumer.offsets_for_times({p: timestamp}, MILLISECONDS)[p]
        return found and found.offset

    @asks
    def close(self):
        self.consumer.close()


class PythonKafka(kit.Kafka):
    name = "kafka-python"
    null_header_values = False

    @functools.cached_property
    def admin(self):
        return KafkaAdminClient(bootstrap_servers=self.bootstrap)

    def producer(self, **settings):
        settings.setdefault("enable_idempotence", settings.get("acks", "all") == "all")
        return PythonProducer(KafkaProducer(bootstrap_servers=self.bootstrap, **own(settings)))

    def consumer(self, **settings):
        return PythonConsumer(KafkaConsumer(bootstrap_servers=self.bootstrap, **own(settings)))

    @asks
    def create(self, topic, partitions=1, replicas=1, **config):
        self.admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": replicas, "configs": config}},
                                 wait_for_metadata=True)

    @asks
    def delete(self, topic):
        self.admin.delete_topics([topic])

    @asks
    def topics(self):
        return {t["name"]: {p["partition_index"]: (p["leader_id"], p["replica_nodes"], p["isr_nodes"]) for p in t["partitions"]}
                for t in self.admin.describe_topics()}

    @asks
    def cluster(self):
        found = self.admin.describe_cluster()
        return found["cluster_id"], found["controller_id"], {b["broker_id"]: (b["host"], b["port"]) for b in found["brokers"]}

    @asks
    def config(self, topic):
        found = self.admin.describe_configs([ConfigResource("topic", topic)], config_filter="all")["topic"][topic]
        if not found:
            raise kit.Refused(UNKNOWN_TOPIC_OR_PARTITION, "which the library shows as no settings")
        return {name: (entry["value"], entry["config_source"] == "DEFAULT_CONFIG") for name, entry in found.items()}

    @asks
    def max_timestamp(self, partition):
        p = TopicPartition(*partition)
        found = self.admin.list_partition_offsets({p: OffsetSpec.MAX_TIMESTAMP})[p]
        return found.offset, found.timestamp

    @asks
    def groups(self):
        return {g["group_id"]: (g["protocol_type"], g["group_state"]) for g in self.admin.list_groups()}

    @asks
    def group(self, name):
        found = self.admin.describe_groups([name])[name]
        if found["error"]:
            raise kit.Refused(GROUP_ID_NOT_FOUND, found["error"])
        return found["group_state"], [
            kit.GroupMember(m["member_id"], m["client_id"], m["client_host"],
                            {(t["topic"], p) for t in m["member_assignment"]["assigned_partitions"] for p in t["partitions"]})
            for m in found["members"]]

    @asks
    def delete_group(self, name):
        # The dictionary holds the error's name, or OK.
        check(getattr(kafka.errors, self.admin.delete_groups([name])[name], kafka.errors.NoError))

    @asks
    def group_offsets(self, name):
        return {tuple(p): found.offset for p, found in self.admin.list_group_offsets([name])[name].items()}

    @asks
    def alter_group_offsets(self, name, offsets):
        asked = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        check(*self.admin.alter_group_offsets(name, asked).values())

    @asks
    def delete_group_offsets(self, name, partitions):
        check(*self.admin.delete_group_offsets(name, [TopicPartition(*p) for p in partitions]).values())


kit.main(PythonKafka, ("unknown-topic", "kafka-python asks for a topic's metadata with creation allowed, whatever its setting says"))
