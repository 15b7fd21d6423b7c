"""confluent-kafka (Python on a current librdkafka) as the scenarios in ../../python want it.

client.py SCENARIO BOOTSTRAP WORKDIR: exits 0 when the broker did what the scenario says.
"""

import functools
import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import AcknowledgeType, Producer, ShareConsumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec

import kit

# Where librdkafka's name is not Kafka's.
NAMES = {"max.request.size": "message.max.bytes", "fetch.max.wait.ms": "fetch.wait.max.ms",
         "metadata.max.age.ms": "topic.metadata.refresh.interval.ms"}
LOCAL = {KafkaError._AUTO_OFFSET_RESET: KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._UNKNOWN_TOPIC: KafkaError.UNKNOWN_TOPIC_OR_PART,
         KafkaError._UNKNOWN_PARTITION: KafkaError.UNKNOWN_TOPIC_OR_PART}
POSITIONS = {"beginning": OFFSET_BEGINNING, "end": OFFSET_END}


def refused(error):
    return kit.Refused(LOCAL.get(error.code(), error.code()), error.str())


def asks(ask):
    """What the library throws, as the scenarios know it."""
    @functools.wraps(ask)
    def asking(*arguments, **more):
        try:
            return ask(*arguments, **more)
        except KafkaException as e:
            raise refused(e.args[0]) from e
    return asking


def properties(bootstrap, settings):
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return {"bootstrap.servers": bootstrap, **{NAMES.get(name, name): value for name, value in named.items()}}


def only(futures):
    [future] = futures.values()
    return future.result(kit.PATIENCE_SECONDS)


def pairs(partitions):
    return {(p.topic, p.partition) for p in partitions}


class ConfluentProducer(kit.Producer):
    def __init__(self, producer):
        self.producer = producer

    def send(self, topic, value, key=None, headers=None, timestamp=None, partition=None, done=None):
        more = {name: x for name, x in (("timestamp", timestamp), ("partition", partition)) if x is not None}
        if done:
            more["on_delivery"] = lambda error, m: done(error and refused(error), m.partition(), m.offset())
        while True:
            try:
                self.producer.produce(topic, value, key, headers=headers, **more)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)

    def flush(self):
        left = self.producer.flush(2 * kit.PATIENCE_SECONDS)
        assert left == 0, f"{left} records were not delivered"

    def close(self):
        self.flush()

    @asks
    def init(self):
        self.producer.init_transactions(kit.PATIENCE_SECONDS)

    def begin(self):
        self.producer.begin_transaction()

    @asks
    def commit(self):
        self._again(self.producer.commit_transaction)

    @asks
    def abort(self):
        self._again(self.producer.abort_transaction)

    @asks
    def send_offsets(self, offsets, consumer):
        offsets = [TopicPartition(*p, offset) for p, offset in offsets.items()]
        group = consumer.consumer.consumer_group_metadata()
        self._again(self.producer.send_offsets_to_transaction, offsets, group)

    def _again(self, ask, *arguments):
        """What the library wants to be asked again, while the broker is away."""
        deadline = time.monotonic() + 2 * kit.PATIENCE_SECONDS
        while True:
            try:
                return ask(*arguments)
            except KafkaException as e:
                if not e.args[0].retriable() or time.monotonic() > deadline:
                    raise


class ConfluentConsumer(kit.Consumer):
    def __init__(self, consumer):
        self.consumer = consumer

    @asks
    def poll(self, seconds):
        records = []
        for m in self.consumer.consume(500, seconds):
            if m.error():
                raise refused(m.error())
            records.append(kit.Record(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers()))
        return records

    def assign(self, positions):
        self.consumer.assign([TopicPartition(t, p, POSITIONS.get(at, at)) for (t, p), at in positions.items()])

    def subscribe(self, topics=None, pattern=None, assigned=None, revoked=None):
        def tell(callback):
            return lambda _, partitions: callback and callback(pairs(partitions))
        self.consumer.subscribe(topics or [pattern], on_assign=tell(assigned), on_revoke=tell(revoked))

    @asks
    def seek(self, partition, offset):
        self.consumer.seek(TopicPartition(*partition, offset))

    def pause(self, partition):
        self.consumer.pause([TopicPartition(*partition)])

    def resume(self, partition):
        self.consumer.resume([TopicPartition(*partition)])

    @asks
    def commit(self, offsets):
        asked = [TopicPartition(*p, offset, metadata) for p, (offset, metadata) in offsets.items()]
        for p in self.consumer.commit(offsets=asked, asynchronous=False):
            if p.error:
                raise refused(p.error)

    @asks
    def committed(self, partition):
        [found] = self.consumer.committed([TopicPartition(*partition)], timeout=kit.PATIENCE_SECONDS)
        return None if found.offset < 0 else (found.offset, found.metadata or "")

    @asks
    def bounds(self, partition):
        return self.consumer.get_watermark_offsets(TopicPartition(*partition), timeout=kit.PATIENCE_SECONDS)

    @asks
    def offset_at(self, partition, timestamp):
        [found] = self.consumer.offsets_for_times([TopicPartition(*partition, timestamp)], timeout=kit.PATIENCE_SECONDS)
        assert found.error is None, found
        return None if found.offset == OFFSET_END else found.offset

    def close(self):
        self.consumer.close()


class ConfluentShareMember(kit.ShareMember):
    def __init__(self, bootstrap, group, topics):
        self.consumer = ShareConsumer({"bootstrap.servers": bootstrap, "group.id": group, "share.acknowledgement.mode": "explicit"})
        self.consumer.subscribe(topics)

    @asks
    def poll(self, seconds):
        for m in self.consumer.poll(seconds):
            if m.error():
                print(f"not read: {m.error()}")
                continue
            yield kit.Record(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers()), m.delivery_count(), m

    @asks
    def acknowledge(self, m, how):
        self.consumer.acknowledge(m, AcknowledgeType[how])

    @asks
    def commit(self, seconds):
        return {(p.topic, p.partition): error and refused(error.args[0]) for p, error in self.consumer.commit_sync(timeout=seconds).items()}

    def close(self):
        self.consumer.close()


class ConfluentKafka(kit.Kafka):
    name = "confluent-kafka"
    has_consumer_protocol = True

    @functools.cached_property
    def admin(self):
        return AdminClient({"bootstrap.servers": self.bootstrap})

    def share_member(self, group, topics):
        return ConfluentShareMember(self.bootstrap, group, topics)

    @asks
    def set_group(self, group, name, value):
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        only(self.admin.incremental_alter_configs([ConfigResource(ConfigResource.Type.GROUP, group, incremental_configs=[entry])]))

    def producer(self, **settings):
        return ConfluentProducer(Producer(properties(self.bootstrap, settings)))

    def consumer(self, **settings):
        if settings.get("auto_offset_reset") == "none":
            settings["auto_offset_reset"] = "error"
        return ConfluentConsumer(Consumer(properties(self.bootstrap, {"group_id": "never-joined", **settings})))

    @asks
    def create(self, topic, partitions=1, replicas=1, **config):
        new = NewTopic(topic, partitions, replicas, config=config)
        only(self.admin.create_topics([new], operation_timeout=kit.PATIENCE_SECONDS))

    @asks
    def delete(self, topic):
        only(self.admin.delete_topics([topic], operation_timeout=kit.PATIENCE_SECONDS))

    @asks
    def topics(self):
        listed = self.admin.list_topics(timeout=kit.PATIENCE_SECONDS).topics
        return {name: {p.id: (p.leader, p.replicas, p.isrs) for p in topic.partitions.values()} for name, topic in listed.items()}

    @asks
    def cluster(self):
        cluster = self.admin.describe_cluster().result(kit.PATIENCE_SECONDS)
        return cluster.cluster_id, cluster.controller.id, {node.id: (node.host, node.port) for node in cluster.nodes}

    @asks
    def config(self, topic):
        found = only(self.admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]))
        return {name: (entry.value, entry.is_default) for name, entry in found.items()}

    @asks
    def alter(self, topic, *changes):
        entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType[how]) for name, how, value in changes]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        only(self.admin.incremental_alter_configs([resource]))

    @asks
    def grow(self, topic, partitions):
        only(self.admin.create_partitions([NewPartitions(topic, partitions)]))

    @asks
    def delete_records(self, partition, before):
        return only(self.admin.delete_records([TopicPartition(*partition, before)])).low_watermark

    @asks
    def max_timestamp(self, partition):
        found = only(self.admin.list_offsets({TopicPartition(*partition): OffsetSpec.max_timestamp()}))
        return found.offset, found.timestamp

    @asks
    def groups(self):
        listed = self.admin.list_consumer_groups().result(kit.PATIENCE_SECONDS)
        assert not listed.errors, listed.errors
        # What is neither a simple consumer nor of another protocol type is listed here.
        return {g.group_id: ("" if g.is_simple_consumer_group else "consumer", g.state.name.capitalize()) for g in listed.valid}

    @asks
    def group(self, name):
        found = only(self.admin.describe_consumer_groups([name]))
        members = [kit.GroupMember(m.member_id, m.client_id, m.host, pairs(m.assignment.topic_partitions)) for m in found.members]
        return found.state.name.capitalize(), members

    @asks
    def delete_group(self, name):
        only(self.admin.delete_consumer_groups([name]))

    @asks
    def group_offsets(self, name):
        found = only(self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]))
        return {(p.topic, p.partition): p.offset for p in found.topic_partitions}

    @asks
    def alter_group_offsets(self, name, offsets):
        asked = [TopicPartition(*p, offset) for p, offset in offsets.items()]
        found = only(self.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(name, asked)]))
        for p in found.topic_partitions:
            if p.error:
                raise refused(p.error)


kit.main(ConfluentKafka)
