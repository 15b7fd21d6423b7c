"""Groups and their offsets: the scenarios of `scenarios` by their names, for any `kit.Kafka`."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict

from kit import ChildMember, Impossible, Member, Refused, Sender, drain, fill, filled, fresh, numbers, read, refusal, until

UNKNOWN_MEMBER_ID = 25
NON_EMPTY_GROUP = 68
GROUP_ID_NOT_FOUND = 69
GROUP_SUBSCRIBED_TO_TOPIC = 86

SESSION_SECONDS = 6


def subscriber(kafka, group, topics=None, pattern=None, **settings):
    consumer = kafka.consumer(**{"group_id": group, "enable_auto_commit": False, "auto_offset_reset": "earliest", **settings})
    consumer.subscribe(topics, pattern)
    return consumer


def shared(members, *counts):
    """Whether partitions 0, 1, ... are all owned, each by one, in these numbers."""
    for member in members:
        member.check()
    owned = [m.partitions for m in members]
    every = sorted(p for ps in owned for p in ps)
    return sorted(map(len, owned)) == sorted(counts) and every == list(range(sum(counts)))


def all_read(members, count):
    def arrived():
        for member in members:
            member.check()
        return sum(len(m.read) for m in members) >= count
    until(f"{count} records are read", arrived)


def once(members, count):
    """All the numbers up to `count` were read, none twice."""
    all_read(members, count)
    time.sleep(0.3)
    seen = Counter(int(value) for m in members for _, _, _, value in m.read)
    assert set(seen) == set(range(count)) and max(seen.values()) == 1, \
        f"missing {set(range(count)) - set(seen)}, more than once {[i for i, n in seen.items() if n > 1]}"


def consume_regex(kafka, late=False):
    name = fresh("regex")
    topics = [f"{name}-{suffix}" for suffix in ("red", "other", "rose")]
    for topic in topics:
        kafka.create(topic)
        fill(kafka, topic, 10)
    more = {"metadata_max_age_ms": 1000} if late else {}
    consumer = subscriber(kafka, fresh("group"), pattern=f"^{re.escape(name)}-r.*", **more)
    assert Counter(r.topic for r in drain(consumer, 20, spare_seconds=1)) == {topics[0]: 10, topics[2]: 10}
    consumer.commit({(topics[i], 0): (10, "") for i in (0, 2)})
    if late:
        topic = f"{name}-ruby"
        kafka.create(topic)
        fill(kafka, topic, 10)
        assert [r.topic for r in drain(consumer, 10)] == [topic] * 10
    consumer.close()


def consume_regex_late(kafka):
    consume_regex(kafka, late=True)


def group_start(kafka):
    topic = filled(kafka, "start")
    consumer = subscriber(kafka, fresh("earliest"), [topic])
    assert numbers(drain(consumer, 100)) == list(range(100))
    consumer.close()
    # When its position is known cannot be asked of every library: it is, when the first record comes.
    consumer, sent, records = subscriber(kafka, fresh("latest"), [topic], auto_offset_reset="latest"), 100, []
    while not records:
        assert sent < 200, "nothing comes"
        fill(kafka, topic, 1, begin=sent)
        sent += 1
        records += consumer.poll(0.5)
    fill(kafka, topic, 10, begin=sent)
    until("the rest", lambda: records.extend(consumer.poll(0.2)) or len(records) >= sent + 10 - records[0].offset)
    assert records[0].offset >= 100, f"the first record is {records[0].offset}"
    assert numbers(records) == list(range(records[0].offset, sent + 10))
    consumer.close()


def auto_commit(kafka):
    topic, group = filled(kafka, "auto-commit"), fresh("group")
    settings = {"enable_auto_commit": True, "auto_commit_interval_ms": 500}
    consumer = subscriber(kafka, group, [topic], **settings)
    assert numbers(drain(consumer, 100)) == list(range(100))
    until("the offset is committed", lambda: consumer.poll(0.1) or consumer.committed((topic, 0)) == (100, ""))
    consumer.close()
    fill(kafka, topic, begin=100)
    consumer = subscriber(kafka, group, [topic], **settings)
    assert numbers(drain(consumer, 100)) == list(range(100, 200))
    consumer.close()
    # Closing commits, too.
    fill(kafka, topic, 1, begin=200)
    consumer = subscriber(kafka, group, [topic])
    assert numbers(drain(consumer, 1)) == [200]
    consumer.close()


def manual_commit(kafka):
    topic, group = filled(kafka, "manual-commit"), fresh("group")
    partition = (topic, 0)
    consumer = subscriber(kafka, group, [topic])
    assert numbers(drain(consumer, 100)) == list(range(100))
    assert consumer.committed(partition) is None
    consumer.commit({partition: (42, "so far")})
    assert consumer.committed(partition) == (42, "so far")
    consumer.close()
    consumer = subscriber(kafka, group, [topic])
    assert numbers(drain(consumer, 58)) == list(range(42, 100))
    consumer.close()


def two_groups(kafka):
    topic = filled(kafka, "two-groups", 200, 2)
    members = [Member(kafka, topic, fresh(name)) for name in ("one", "two")]
    for member in members:
        once([member], 200)
        member.stop()


def group_replay(kafka):
    topic, group = filled(kafka, "replay", 100, 2), fresh("group")
    member = Member(kafka, topic, group)
    once([member], 100)
    member.stop()
    simple = kafka.consumer(group_id=group, enable_auto_commit=False, auto_offset_reset="none")
    simple.assign({(topic, p): 0 for p in range(2)})
    simple.commit({(topic, p): (0, "again") for p in range(2)})
    simple.close()
    member = Member(kafka, topic, group)
    once([member], 100)
    member.stop()


def group_takeover(kafka):
    topic, group = fresh("takeover"), fresh("group")
    kafka.create(topic, 2)
    members = [Member(kafka, topic, group) for _ in range(2)]
    until("each has one partition", lambda: shared(members, 1, 1))
    fill(kafka, topic, 100, 2)
    once(members, 100)
    assert all(len(m.read) == 50 for m in members), "one read for both"
    members[0].stop()
    until("the other has both", lambda: shared(members[1:], 2))
    fill(kafka, topic, 100, 2, begin=100)
    once(members, 200)
    members[1].stop()


def group_standby(kafka):
    topic, group = fresh("standby"), fresh("group")
    kafka.create(topic, 2)
    members = [ChildMember(kafka, topic, group, session_timeout_ms=SESSION_SECONDS * 1000) for _ in range(3)]
    until("one waits", lambda: shared(members, 0, 1, 1))
    time.sleep(1)
    assert shared(members, 0, 1, 1)
    fill(kafka, topic, 100, 2)
    once(members, 100)
    until("all is committed", lambda: sum(sum(m.committed.values()) for m in members) == 100)
    victim = next(m for m in members if m.partitions)
    [partition] = victim.partitions
    sender = Sender(kafka)
    for i in range(10):
        sender.send(topic, b"held %d" % i, partition=partition)
    sender.close()
    all_read(members, 110)
    victim.kill()
    killed = time.monotonic()
    rest = [m for m in members if m is not victim]
    until("the waiting one has taken over", lambda: shared(rest, 1, 1))
    print(f"taken over {time.monotonic() - killed:.1f} s after the kill")
    # What the dead one had not committed comes again, and nothing else does.
    def again():
        return [value for m in rest for _, _, _, value in m.read if value.startswith("held")]
    until("what was not committed", lambda: len(again()) >= 10)
    fill(kafka, topic, 20, 2, begin=100)
    all_read(members, 140)
    time.sleep(0.3)
    assert again() == [f"held {i}" for i in range(10)], again()
    seen = Counter(value for m in members for _, _, _, value in m.read if not value.startswith("held"))
    assert seen == Counter(str(i) for i in range(120)), seen
    for member in rest:
        member.stop()


class Flow:
    """Sends keyed numbers, each key's in order, until it is stopped. Without idempotence a retry would change the order."""

    def __init__(self, kafka, topic, keys, pause_seconds, partition=None):
        self.sent, self.failure, self.acknowledged = Counter(), None, defaultdict(list)
        self.kafka, self.topic, self.keys, self.pause, self.partition = kafka, topic, keys, pause_seconds, partition
        self.producer = kafka.producer(acks="all", linger_ms=5, enable_idempotence=True)
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _delivered(self, key, number, error):
        if error:
            self.failure = error
        else:
            self.acknowledged[key].append(number)

    def _run(self):
        try:
            while not self.ending.is_set():
                for key in range(self.keys):
                    number = self.sent[key]
                    self.producer.send(self.topic, b"%d" % number, key=b"%d" % key,
                                       partition=self.partition(key) if self.partition else None,
                                       done=lambda error, *_, key=key, number=number: self._delivered(key, number, error))
                    self.sent[key] += 1
                time.sleep(self.pause)
        except Exception as e:
            self.failure = e

    @property
    def total(self):
        return sum(len(numbers) for numbers in list(self.acknowledged.values()))

    def stop(self):
        self.ending.set()
        self.thread.join()
        self.producer.flush()
        self.producer.close()
        if self.failure:
            raise self.failure
        for key, count in self.sent.items():
            assert self.acknowledged[key] == list(range(count)), f"key {key} was not acknowledged in order"


def group_cooperative(kafka):
    topic, group = fresh("cooperative"), fresh("group")
    kafka.create(topic, 4)
    settings = {"partition_assignment_strategy": "cooperative-sticky", "patient": True}
    members = [Member(kafka, topic, group, **settings) for _ in range(2)]
    until("two each", lambda: shared(members, 2, 2))
    flow = Flow(kafka, topic, 4, 0.02, partition=lambda key: key)
    until("all four flow", lambda: len({p for m in members for p, *_ in m.read}) == 4)
    before, marks = [m.partitions for m in members], [len(m.events) for m in members]
    members.append(Member(kafka, topic, group, **settings))
    until("the third has one", lambda: shared(members, 1, 1, 2))
    settled = time.monotonic()
    time.sleep(0.5)
    flow.stop()
    revoked = [p for m, mark in zip(members, marks) for _, what, ps in m.events[mark:] if what == "revoked" for p in ps]
    assert set(revoked) == members[2].partitions and len(revoked) == 1, f"given up {revoked}, moved {members[2].partitions}"
    for member, owned, mark in zip(members, before, marks):
        for kept in owned & member.partitions:
            # From the third's arrival until all had settled: no silence much longer than the flow's.
            times = [when for when, what, detail in member.events[mark:] if what == "read" and detail[0] == kept and when < settled]
            gap = max((b - a for a, b in zip(times, times[1:])), default=0)
            print(f"partition {kept} was read on, {len(times)} records, longest gap {gap * 1000:.0f} ms")
            assert gap < 1, f"partition {kept} stood still for {gap:.1f} s"
    total = sum(flow.sent.values())
    all_read(members, total)
    assert Counter((p, value) for m in members for p, _, _, value in m.read) == \
        Counter((p, str(i)) for p, count in flow.sent.items() for i in range(count))
    for member in members:
        member.stop()


def group_consumer(kafka):
    if not kafka.has_consumer_protocol:
        raise Impossible(f"{kafka.name} has no group.protocol=consumer")
    topic, group = fresh("consumer"), fresh("group")
    kafka.create(topic, 4)

    def join():
        return Member(kafka, topic, group, patient=True, group_protocol="consumer")
    members = [join(), join()]
    until("two each", lambda: shared(members, 2, 2))
    fill(kafka, topic, 100, 4)
    once(members, 100)
    members.append(join())
    until("the third has one", lambda: shared(members, 1, 1, 2))
    fill(kafka, topic, 100, 4, begin=100)
    once(members, 200)
    members[0].stop()
    until("two each again", lambda: shared(members[1:], 2, 2))
    fill(kafka, topic, 100, 4, begin=200)
    once(members, 300)
    for member in members[1:]:
        member.stop()


CONSUMER = {"patient": True, "group_protocol": "consumer"}


def has_consumer_protocol(kafka):
    if not kafka.has_consumer_protocol:
        raise Impossible(f"{kafka.name} has no group.protocol=consumer")


def consumer_static(kafka):
    has_consumer_protocol(kafka)
    group_static(kafka, **CONSUMER)


def consumer_regex(kafka):
    has_consumer_protocol(kafka)
    name = fresh("regex")
    first, other, second = (f"{name}-{suffix}" for suffix in ("red", "other", "rose"))
    for topic in (first, other):
        kafka.create(topic)
        fill(kafka, topic, 10)
    consumer = subscriber(kafka, fresh("group"), pattern=f"^{name}-r.*", group_protocol="consumer", metadata_max_age_ms=1000)
    assert {r.topic for r in drain(consumer, 10, spare_seconds=1)} == {first}
    kafka.create(second)
    fill(kafka, second, 10)
    records = []
    until("the later topic is read", lambda: records.extend(consumer.poll(0.2)) or len(records) >= 10, 60)
    assert [r.topic for r in records] == [second] * 10
    consumer.close()


def consumer_commits(kafka):
    has_consumer_protocol(kafka)
    topic, group = filled(kafka, "commits", 20, 2), fresh("group")
    member = Member(kafka, topic, group, **CONSUMER)
    once([member], 20)
    until("all is committed", lambda: sum(member.committed.values()) == 20)
    assert kafka.group_offsets(group) == {(topic, 0): 10, (topic, 1): 10}
    refusal(UNKNOWN_MEMBER_ID, kafka.alter_group_offsets, group, {(topic, 0): 3})
    refusal(NON_EMPTY_GROUP, kafka.delete_group, group)
    assert kafka.groups().get(group) in (("consumer", "Stable"), ("consumer", None)), kafka.groups().get(group)
    member.stop()
    until("nobody is in it", lambda: kafka.groups().get(group) in (("consumer", "Empty"), ("consumer", None)))
    kafka.alter_group_offsets(group, {(topic, 0): 3})
    member = Member(kafka, topic, group, **CONSUMER)
    all_read([member], 7)
    time.sleep(0.5)
    assert [(p, offset) for p, offset, _, _ in member.read] == [(0, offset) for offset in range(3, 10)]
    member.stop()
    kafka.delete_group(group)
    refusal(GROUP_ID_NOT_FOUND, kafka.delete_group, group)


def consumer_fenced(kafka):
    has_consumer_protocol(kafka)
    topic, group = fresh("fenced"), fresh("group")
    kafka.create(topic, 2)
    first = ChildMember(kafka, topic, group, group_instance_id="a", **CONSUMER)
    other = ChildMember(kafka, topic, group, **CONSUMER)
    until("each has one partition", lambda: shared([first, other], 1, 1))
    fill(kafka, topic, 100, 2)
    once([first, other], 100)
    second = ChildMember(kafka, topic, group, group_instance_id="a", **CONSUMER)
    until("it is refused, and ends or waits", lambda: second.process.poll() is not None or second.age() > 5)
    assert not second.partitions
    second.kill()
    fill(kafka, topic, 100, 2, begin=100)
    once([first, other], 200)
    # Longer than a session lasts.
    first.process.send_signal(signal.SIGSTOP)
    until("the other has all", lambda: shared([other], 2), 90)
    fill(kafka, topic, 100, 2, begin=200)
    once([first, other], 300)
    first.process.send_signal(signal.SIGCONT)
    until("it is back", lambda: shared([first, other], 1, 1), 60)
    fill(kafka, topic, 100, 2, begin=300)
    once([first, other], 400)
    first.kill()
    other.stop()


def consumer_mixed(kafka):
    has_consumer_protocol(kafka)
    topic = fresh("mixed")
    kafka.create(topic, 4)
    groups = {fresh("classic"): {}, fresh("consumer"): CONSUMER}
    members = {group: [Member(kafka, topic, group, **how)] for group, how in groups.items()}
    for group in groups:
        until("it has all", lambda: shared(members[group], 4))
    fill(kafka, topic, 100, 4)
    for group in groups:
        once(members[group], 100)
        until("all is committed", lambda: sum(members[group][0].committed.values()) == 100)
    for group, how in groups.items():
        members[group].append(Member(kafka, topic, group, **how))
    for group in groups:
        until("two each", lambda: shared(members[group], 2, 2))
    fill(kafka, topic, 100, 4, begin=100)
    for group in groups:
        once(members[group], 200)
        members[group][0].stop()
        until("the other has all", lambda: shared(members[group][1:], 4))
    fill(kafka, topic, 100, 4, begin=200)
    for group in groups:
        once(members[group], 300)
        members[group][1].stop()


class Sharer:
    """A member of a share group on a thread of its own. Where it is `mixed`, of three records the second is released when it
    is delivered first, and the third rejected."""

    def __init__(self, kafka, group, topic, mixed=False):
        self.mixed, self.failure = mixed, None
        # (when, partition, offset, deliveries, key, value), and (when, partition, offset) of what was confirmed.
        self.read, self.confirmed = [], []
        self.member = kafka.share_member(group, [topic])
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _how(self, offset, deliveries):
        if not self.mixed or offset % 3 == 0:
            return "ACCEPT"
        return "REJECT" if offset % 3 == 2 else "RELEASE" if deliveries == 1 else "ACCEPT"

    def _run(self):
        try:
            while not self.leaving.is_set():
                self._turn()
            self.member.close()
        except Exception as e:
            traceback.print_exc(file=sys.stdout)
            self.failure = e

    def _turn(self):
        done = []
        for r, deliveries, token in self.member.poll(0.2):
            how = self._how(r.offset, deliveries)
            self.read.append((time.monotonic(), r.partition, r.offset, deliveries, r.key, r.value))
            try:
                self.member.acknowledge(token, how)
            except Refused as e:
                print(f"not acknowledged: {e}")
                continue
            if how != "RELEASE":
                done.append((r.topic, r.partition, r.offset))
        if not done:
            return
        try:
            results = self.member.commit(30)
        except Refused as e:
            print(f"not committed: {e}")
            return
        now = time.monotonic()
        self.confirmed += [(now, p, offset) for topic, p, offset in done if results.get((topic, p), False) is None]

    def stop(self):
        self.leaving.set()
        self.thread.join(2 * 20)
        assert not self.thread.is_alive(), "a member does not end"
        if self.failure:
            raise self.failure


def share_group(kafka):
    topic, group = filled(kafka, "share", 90), fresh("share")
    kafka.set_group(group, "share.auto.offset.reset", "earliest")
    members = [Sharer(kafka, group, topic, mixed=True) for _ in range(2)]
    until("all are read", lambda: sum(len(m.read) for m in members) >= 120, 60)
    time.sleep(2)
    deliveries = defaultdict(list)
    for _, _, offset, count, _, _ in sorted(r for m in members for r in m.read):
        deliveries[offset].append(count)
    assert deliveries == {offset: [1, 2] if offset % 3 == 1 else [1] for offset in range(90)}, deliveries
    for member in members:
        member.stop()
    fill(kafka, topic, 30, begin=90)
    member = Sharer(kafka, group, topic)
    until("the rest is read", lambda: len(member.read) >= 30, 60)
    time.sleep(1)
    assert sorted(offset for _, _, offset, *_ in member.read) == list(range(90, 120))
    member.stop()


def broker_share(kafka):
    topic, group = fresh("share"), fresh("share")
    kafka.create(topic, 2)
    kafka.set_group(group, "share.auto.offset.reset", "earliest")
    members = [Sharer(kafka, group, topic) for _ in range(2)]
    flow = Flow(kafka, topic, 8, 0.01)
    for _ in range(2):
        reached = flow.total
        until("records flow", lambda: flow.total > reached + 300, 40)
        restart_broker()
    reached = flow.total
    until("records flow", lambda: flow.total > reached + 300, 40)
    flow.stop()
    sent = {(b"%d" % key, b"%d" % number) for key, count in flow.sent.items() for number in range(count)}
    until("all is delivered", lambda: sent <= {(key, value) for m in members for *_, key, value in list(m.read)}, 90)
    for member in members:
        member.stop()
    confirmed = {}
    for when, *at in (c for m in members for c in m.confirmed):
        confirmed[tuple(at)] = min(when, confirmed.get(tuple(at), when))
    assert confirmed, "nothing was confirmed"
    again = [(p, offset) for m in members for when, p, offset, *_ in m.read if confirmed.get((p, offset), when) < when]
    assert not again, f"confirmed, and delivered again: {again[:5]}"


def group_static(kafka, **protocol):
    topic, group = fresh("static"), fresh("group")
    kafka.create(topic, 2)
    # In the consumer protocol the session is the broker's.
    own = {} if protocol else {"session_timeout_ms": 15_000}

    def start(name):
        return Member(kafka, topic, group, group_instance_id=f"{group}-{name}", **own, **protocol)
    first, second = start("a"), start("b")
    until("each has one partition", lambda: shared([first, second], 1, 1))
    fill(kafka, topic, 20, 2)
    once([first, second], 20)
    owned, rebalances = first.partitions, second.rebalances
    first.stop()
    fill(kafka, topic, 20, 2, begin=20)
    restarted = start("a")
    until("the same partition", lambda: restarted.partitions == owned)
    once([first, second, restarted], 40)
    time.sleep(2)
    assert second.rebalances == rebalances, f"the other one saw a rebalance: {second.events[-3:]}"
    assert restarted.partitions == owned
    second.stop()
    restarted.stop()


def group_order(kafka):
    topic, group, keys = fresh("order"), fresh("group"), 16
    kafka.create(topic, 4)
    flow, members = Flow(kafka, topic, keys, 0.02), []

    def come():
        member = Member(kafka, topic, group)
        members.append(member)
        time.sleep(1.2)
        # How long that takes on a busy machine is not asked.
        until("a member that has come reads", lambda: member.read)
    come()
    come()
    come()
    members[0].stop()
    time.sleep(1.2)
    come()
    members[1].stop()
    time.sleep(1.2)
    flow.stop()
    all_read(members, sum(flow.sent.values()))
    time.sleep(0.5)
    handled = sorted((when, key, int(value)) for m in members for when, what, detail in m.events if what == "read"
                     for _, _, key, value in [detail])
    in_order = defaultdict(list)
    for _, key, number in handled:
        in_order[int(key)].append(number)
    for key in range(keys):
        assert in_order[key] == list(range(flow.sent[key])), f"key {key}: {in_order[key]}"
    assert sum(bool(m.read) for m in members) == len(members), "a member read nothing"
    print(f"{len(handled)} records, {sum(m.rebalances for m in members)} partition moves")
    for member in members[2:]:
        member.stop()


def list_groups(kafka):
    topic, group = filled(kafka, "list-groups", 10, 2), fresh("group")
    member = Member(kafka, topic, group)
    once([member], 10)
    until("it is listed", lambda: kafka.groups().get(group) in (("consumer", "Stable"), ("consumer", None)))
    member.stop()
    until("it is listed as empty", lambda: kafka.groups().get(group) in (("consumer", "Empty"), ("consumer", None)))


def describe_group(kafka):
    topic, group = filled(kafka, "describe-group", 10, 2), fresh("group")
    members = [Member(kafka, topic, group, client_id=f"client-{i}") for i in range(2)]
    until("each has one partition", lambda: shared(members, 1, 1))
    state, described = kafka.group(group)
    assert state == "Stable", state
    assert sorted(m.client_id for m in described) == ["client-0", "client-1"], described
    for member in described:
        number = int(member.client_id.removeprefix("client-"))
        assert member.partitions == {(topic, p) for p in members[number].partitions}, member
        assert member.member_id and "127.0.0.1" in member.host, member
    for member in members:
        member.stop()
    until("it is empty", lambda: kafka.group(group) == ("Empty", []))
    try:
        assert kafka.group(fresh("never")) == ("Dead", [])
    except Refused as e:
        assert e.code == GROUP_ID_NOT_FOUND, e


def delete_group(kafka):
    topic, group = filled(kafka, "delete-group", 10), fresh("group")
    member = Member(kafka, topic, group)
    once([member], 10)
    refusal(NON_EMPTY_GROUP, kafka.delete_group, group)
    member.stop()
    kafka.delete_group(group)
    assert group not in kafka.groups()
    refusal(GROUP_ID_NOT_FOUND, kafka.delete_group, group)
    consumer = subscriber(kafka, group, [topic])
    assert numbers(drain(consumer, 10)) == list(range(10)), "its offsets are still there"
    consumer.close()


def member_with_offsets(kafka, name):
    """A group whose only member has committed offset 10 of both partitions."""
    topic, group = filled(kafka, name, 20, 2), fresh("group")
    member = Member(kafka, topic, group)
    once([member], 20)
    until("all is committed", lambda: sum(member.committed.values()) == 20)
    return topic, group, member


def group_offsets(kafka):
    topic, group, member = member_with_offsets(kafka, "group-offsets")
    assert kafka.group_offsets(group) == {(topic, 0): 10, (topic, 1): 10}
    refusal(UNKNOWN_MEMBER_ID, kafka.alter_group_offsets, group, {(topic, 0): 3})
    member.stop()
    kafka.alter_group_offsets(group, {(topic, 0): 3})
    assert kafka.group_offsets(group) == {(topic, 0): 3, (topic, 1): 10}
    consumer = subscriber(kafka, group, [topic])
    assert [(r.partition, r.offset) for r in drain(consumer, 7)] == [(0, offset) for offset in range(3, 10)]
    consumer.close()


def delete_group_offsets(kafka):
    topic, group, member = member_with_offsets(kafka, "delete-offsets")
    refusal(GROUP_SUBSCRIBED_TO_TOPIC, kafka.delete_group_offsets, group, [(topic, 0)])
    member.stop()
    kafka.delete_group_offsets(group, [(topic, 0)])
    assert kafka.group_offsets(group) == {(topic, 1): 10}


def restart_broker():
    began = time.monotonic()
    subprocess.run(os.environ["INTEROP_RESTART"], shell=True, check=True)
    print(f"the broker was away for up to {time.monotonic() - began:.1f} s")


def broker_consumer(kafka):
    has_consumer_protocol(kafka)
    broker_restart(kafka, **CONSUMER)


def broker_restart(kafka, **protocol):
    topic, group, keys = fresh("restart"), fresh("group"), 8
    kafka.create(topic, 2)
    protocol = protocol or {"patient": True, "session_timeout_ms": 10_000}
    members = [Member(kafka, topic, group, **protocol) for _ in range(2)]
    until("each has one partition", lambda: shared(members, 1, 1))
    flow = Flow(kafka, topic, keys, 0.01)
    until("records flow", lambda: flow.total > 500 and all(m.read for m in members))
    restart_broker()
    back = flow.total
    until("the producer goes on", lambda: flow.total > back + 500, 40)
    flow.stop()

    total = sum(flow.sent.values())
    stored = read(kafka, topic, total, 2)
    by_key = defaultdict(list)
    for r in stored:
        by_key[int(r.key)].append(int(r.value))
    for key in range(keys):
        assert by_key[key] == list(range(flow.sent[key])), f"key {key} is stored out of order"

    ends = Counter(r.partition for r in stored)

    def committed():
        for member in members:
            member.check()
        found = Counter()
        for member in members:
            for p, offset in member.committed.items():
                found[p] = max(found[p], offset)
        return found
    until("all is read and committed", lambda: committed() == ends, 40)
    # A record may come again only if no commit had covered it.
    events = sorted((when, what, detail) for m in members for when, what, detail in m.events if what in ("read", "committed"))
    covered, seen = Counter(), set()
    for _, what, detail in events:
        if what == "committed":
            for p, offset in detail.items():
                covered[int(p)] = max(covered[int(p)], offset)
        else:
            partition, offset, _, _ = detail
            assert offset >= covered[partition], f"{partition}: {offset} came again, {covered[partition]} was committed"
            assert offset == 0 or (partition, offset - 1) in seen, f"{partition}: {offset} came without the one before it"
            seen.add((partition, offset))
    for member in members:
        member.stop()

    restart_broker()
    member = Member(kafka, topic, group, **{name: value for name, value in protocol.items() if name != "session_timeout_ms"})
    until("the partitions are assigned", lambda: shared([member], 2), 40)
    fill(kafka, topic, 2, 2)
    all_read([member], 2)
    assert sorted((p, offset) for p, offset, _, _ in member.read) == [(p, ends[p]) for p in range(2)], member.read[:5]
    member.stop()
