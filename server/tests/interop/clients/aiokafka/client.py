"""aiokafka as the scenarios in ../../python want it: its event loop runs on a thread, the scenarios on others.

client.py SCENARIO BOOTSTRAP WORKDIR: exits 0 when the broker did what the scenario says.
"""

import asyncio
import functools
import pathlib
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, ProducerFenced, for_code

import kit

DEFAULT_CONFIG = 5
# What the library raises ProducerFenced for, which has no number of its own.
INVALID_PRODUCER_EPOCH = 47

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def refused(error):
    code = INVALID_PRODUCER_EPOCH if isinstance(error, ProducerFenced) else getattr(error, "errno", None)
    return kit.Refused(code, repr(error))


def wait(asked):
    """The result of a coroutine on the loop's thread, with what the library throws as the scenarios know it."""
    try:
        return asyncio.run_coroutine_threadsafe(asked, loop).result(3 * kit.PATIENCE_SECONDS)
    except KafkaError as e:
        raise refused(e) from e


def on_loop(ask):
    """A coroutine function, called from outside of the loop."""
    @functools.wraps(ask)
    def asking(*arguments, **more):
        return wait(ask(*arguments, **more))
    return asking


def own(settings):
    settings = dict(settings)
    if settings.get("partition_assignment_strategy") == "cooperative-sticky":
        raise kit.Impossible("aiokafka has no cooperative assignor")
    if settings.get("compression_type") == "none":
        del settings["compression_type"]
    if settings.get("acks") in ("0", "1"):
        settings["acks"] = int(settings["acks"])
    if "batch_size" in settings:
        settings["max_batch_size"] = settings.pop("batch_size")
    return settings


def check(code, message=""):
    if code:
        raise for_code(code)(message)


class Listener(ConsumerRebalanceListener):
    """Rebalances happen on the loop while records are being handled elsewhere."""

    def __init__(self, consumer, assigned, revoked):
        self.consumer, self.assigned, self.revoked = consumer, assigned, revoked

    async def on_partitions_assigned(self, assigned):
        await self._tell(self.assigned, assigned)

    async def on_partitions_revoked(self, revoked):
        self.consumer.revocations += 1
        await self._tell(self.revoked, revoked)

    async def _tell(self, callback, partitions):
        def locked():
            with self.consumer.lock:
                callback(set(partitions))
        if callback:
            await loop.run_in_executor(None, locked)


class AioProducer(kit.Producer):
    @on_loop
    async def _start(self, settings):
        self.producer = AIOKafkaProducer(**settings)
        await self.producer.start()

    def __init__(self, **settings):
        self._start(settings)

    @on_loop
    async def send(self, topic, value, key=None, headers=None, timestamp=None, partition=None, done=None):
        future = await self.producer.send(topic, value, key, partition, timestamp, headers)

        def finished(future):
            if error := future.exception():
                done(refused(error), None, None)
            else:
                done(None, future.result().partition, future.result().offset)
        future.add_done_callback(finished if done else lambda future: future.exception())

    @on_loop
    async def flush(self):
        await self.producer.flush()
        # The futures are resolved; what waits for them runs next.
        await asyncio.sleep(0)

    @on_loop
    async def close(self):
        await self.producer.stop()

    def init(self):
        """The library does it when a producer starts."""

    @on_loop
    async def begin(self):
        await self.producer.begin_transaction()

    @on_loop
    async def commit(self):
        await self.producer.commit_transaction()

    @on_loop
    async def abort(self):
        await self.producer.abort_transaction()

    @on_loop
    async def send_offsets(self, offsets, consumer):
        offsets = {TopicPartition(*p): offset for p, offset in offsets.items()}
        await self.producer.send_offsets_to_transaction(offsets, consumer.group)


class AioConsumer(kit.Consumer):
    @on_loop
    async def _start(self, settings):
        self.consumer = AIOKafkaConsumer(**settings)
        await self.consumer.start()

    def __init__(self, kafka, **settings):
        self.kafka, self.group, self.lock = kafka, settings.get("group_id"), threading.Lock()
        self.revocations = self.polled = 0
        self._start({"bootstrap_servers": kafka.bootstrap, **settings})

    @on_loop
    async def poll(self, seconds):
        found = await self.consumer.getmany(timeout_ms=int(seconds * 1000))
        self.polled = self.revocations
        return [kit.Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, list(r.headers) or None)
                for records in found.values() for r in records]

    def stale(self):
        return self.polled != self.revocations

    @on_loop
    async def assign(self, positions):
        self.consumer.assign([TopicPartition(*p) for p in positions])
        for p, at in positions.items():
            p = TopicPartition(*p)
            if at == "beginning":
                await self.consumer.seek_to_beginning(p)
            elif at == "end":
                await self.consumer.seek_to_end(p)
            else:
                self.consumer.seek(p, at)

    @on_loop
    async def subscribe(self, topics=None, pattern=None, assigned=None, revoked=None):
        self.consumer.subscribe(topics or (), pattern, Listener(self, assigned, revoked))

    @on_loop
    async def seek(self, partition, offset):
        self.consumer.seek(TopicPartition(*partition), offset)

    @on_loop
    async def pause(self, partition):
        self.consumer.pause(TopicPartition(*partition))

    @on_loop
    async def resume(self, partition):
        self.consumer.resume(TopicPartition(*partition))

    @on_loop
    async def commit(self, offsets):
        await self.consumer.commit({TopicPartition(*p): OffsetAndMetadata(*offset) for p, offset in offsets.items()})

    def committed(self, partition):
        # The consumer's own answer leaves the metadata out. A transaction may end between the two.
        partition = TopicPartition(*partition)

        def agreed():
            nonlocal found
            offset = wait(self.consumer.committed(partition))
            found = wait(self.kafka.admin.list_consumer_group_offsets(self.group)).get(partition)
            return offset == (found and found.offset)

        found = None
        kit.until("the consumer and the admin client know of the same offset", agreed)
        return found and tuple(found)

    @on_loop
    async def bounds(self, partition):
        p = TopicPartition(*partition)
        return (await self.consumer.beginning_offsets([p]))[p], (await self.consumer.end_offsets([p]))[p]

    @on_loop
    async def offset_at(self, partition, timestamp):
        p = TopicPartition(*partition)
        found = (await self.consumer.offsets_for_times({p: timestamp}))[p]
        return found and found.offset

    @on_loop
    async def close(self):
        await self.consumer.stop()


class AioKafka(kit.Kafka):
    name = "aiokafka"
    null_header_values = False
    invalid_record = -1

    @functools.cached_property
    def admin(self):
        async def start():
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
            await admin.start()
            return admin
        return wait(start())

    def producer(self, **settings):
        return AioProducer(bootstrap_servers=self.bootstrap, **own(settings))

    def consumer(self, allow_auto_create_topics=None, **settings):
        if allow_auto_create_topics is False:
            raise kit.Impossible("aiokafka's metadata requests always allow creation")
        return AioConsumer(self, **own(settings))

    def create(self, topic, partitions=1, replicas=1, **config):
        answer = wait(self.admin.create_topics([NewTopic(topic, partitions, replicas, topic_configs=config)]))
        for _, code, *message in answer.topic_errors:
            if code:
                raise kit.Refused(code, message)

    def delete(self, topic):
        for _, code in wait(self.admin.delete_topics([topic])).topic_error_codes:
            if code:
                raise kit.Refused(code)

    def topics(self):
        return {t["topic"]: {p["partition"]: (p["leader"], p["replicas"], p["isr"]) for p in t["partitions"]}
                for t in wait(self.admin.describe_topics())}

    def cluster(self):
        found = wait(self.admin.describe_cluster())
        return found["cluster_id"], found["controller_id"], {b["node_id"]: (b["host"], b["port"]) for b in found["brokers"]}

    def config(self, topic):
        [answer] = wait(self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))
        [(code, message, _, _, entries)] = answer.resources
        if code:
            raise kit.Refused(code, message)
        return {name: (value, source == DEFAULT_CONFIG) for name, value, _, source, *_ in entries}

    def groups(self):
        return {name: (kind, None) for name, kind, *_ in wait(self.admin.list_consumer_groups())}

    def group(self, name):
        [answer] = wait(self.admin.describe_consumer_groups([name]))
        [(code, _, state, _, _, members, *_)] = answer.groups
        if code:
            raise kit.Refused(code)
        described = []
        for member_id, *_, client_id, host, _, assignment in members:
            decoded = ConsumerProtocolMemberAssignment.decode(assignment)
            described.append(kit.GroupMember(member_id, client_id, host, {(t, p) for t, ps in decoded.assignment for p in ps}))
        return state, described

    def group_offsets(self, name):
        return {tuple(p): found.offset for p, found in wait(self.admin.list_consumer_group_offsets(name)).items()}


kit.main(AioKafka)
