"""What a phase works with: a broker and processes of its own in a folder of its own, Connect's REST interface, and topics.

Whatever a scene has started ends with it. A phase waits for conditions, with a patience that only ends one that failed.
"""

import http.client
import json
import random
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

import harness
import sequence

PATIENCE_SECONDS = 120
# The least that brokers allow, so that the work of a worker that was killed is soon another's.
SESSION_SECONDS = 6
JVM = ["-Xmx512M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
       f"-Dlog4j2.configurationFile={harness.ROOT / 'bench/peers/kafka/log4j2.properties'}"]
CONNECT = "org.apache.kafka.connect."
STRINGS = CONNECT + "storage.StringConverter"
JSON = CONNECT + "json.JsonConverter"
FILE_SOURCE = CONNECT + "file.FileStreamSourceConnector"
FILE_SINK = CONNECT + "file.FileStreamSinkConnector"


def until(condition, what, seconds=PATIENCE_SECONDS):
    """The first answer of `condition` that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        sequence.check(time.monotonic() < deadline, f"after {seconds} s still not: {what}")
        time.sleep(0.2)
    return found


def properties(path, settings):
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return path


class Jvm:
    """A Java program that may be killed and started again."""

    def __init__(self, jars, log, main, *arguments):
        self.command = ["java", *JVM, "-cp", f"{jars}/*", main, *map(str, arguments)]
        self.log = log
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.log.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)

    def alive(self):
        return self.process.poll() is None

    def check(self):
        sequence.check(self.alive(), f"a process ended by itself with {self.process.returncode}; see {self.log}")

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(harness.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise sequence.Damage(f"a process did not stop in {harness.STOP_SECONDS} s; see {self.log}") from None

    def signal(self, number):
        self.process.send_signal(number)


class Worker(Jvm):
    """A distributed worker and the address of its REST interface."""

    def __init__(self, scene, number, settings):
        port = harness.free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.id = f"127.0.0.1:{port}"
        file = properties(scene.work / f"worker-{number}.properties", {**settings, "listeners": self.address})
        super().__init__(scene.jars, scene.work / f"worker-{number}.log", CONNECT + "cli.ConnectDistributed", file)


class Cluster:
    """Distributed workers that are one, and what can be asked of them."""

    def __init__(self, scene, workers, more):
        settings = {
            "bootstrap.servers": scene.broker.bootstrap, "group.id": "connect", "key.converter": STRINGS, "value.converter": STRINGS,
            "offset.flush.interval.ms": 1_000, "plugin.discovery": "service_load", "session.timeout.ms": SESSION_SECONDS * 1000,
            "heartbeat.interval.ms": 1_000, "scheduled.rebalance.max.delay.ms": 2_000, **more}
        for name in ("config", "offset", "status"):
            settings |= {f"{name}.storage.topic": f"connect-{name}", f"{name}.storage.replication.factor": 1}
        self.workers = [Worker(scene, number, settings) for number in range(workers)]

    def once(self, method, path, body, worker):
        """The code and the answer of one worker, or None when it gives none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(worker.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            try:
                answer = urllib.request.urlopen(request, timeout=30)
            except urllib.error.HTTPError as e:
                answer = e
            with answer:
                return answer.status, json.loads(answer.read() or "null")
        except (OSError, ValueError, http.client.HTTPException):
            return None

    def ask(self, method, path, body=None):
        """The answer of whichever worker is there. Asked again while workers start, or do not know yet who does what."""
        last = []

        def answered():
            for worker in self.workers:
                last[:] = [self.once(method, path, body, worker)]
                # 404 without a word is a server that has nothing yet.
                if last[0] and last[0][0] not in (409, 500, 503) and last[0] != (404, None):
                    return last[0]
            return None

        try:
            return until(answered, "")
        except sequence.Damage:
            raise sequence.Damage(f"{method} {path} was answered by {last}") from None

    def call(self, method, path, body=None):
        """The same, of what must not be refused; without the code."""
        code, answer = self.ask(method, path, body)
        sequence.check(code < 300, f"{method} {path} was answered by {code}: {answer}")
        return answer

    def status(self, name):
        """The state of a connector and those of its tasks."""
        code, answer = self.ask("GET", f"/connectors/{name}/status")
        return (answer["connector"]["state"], [task["state"] for task in answer["tasks"]]) if code == 200 else None

    def put(self, name, settings):
        """A connector, made or changed."""
        self.call("PUT", f"/connectors/{name}/config", config(settings))

    def await_status(self, name, state, tasks):
        until(lambda: self.status(name) == (state, tasks), f"{name} is {state} with tasks {tasks}")

    def await_running(self, *names):
        for name in names:
            self.await_status(name, "RUNNING", ["RUNNING"])


def config(settings):
    return {name: str(value) for name, value in {"tasks.max": 1, **settings}.items()}


class Lines(threading.Thread):
    """Appends numbered lines to a file, some at a time, until it is stopped; `written` are there."""

    def __init__(self, path, name):
        super().__init__(daemon=True)
        self.path, self.name_of_lines = path, name
        self.written, self.ended = [], threading.Event()
        path.touch()

    def append(self, count):
        more = [f"{self.name_of_lines} {len(self.written) + at}" for at in range(count)]
        with open(self.path, "a") as file:
            file.write("".join(line + "\n" for line in more))
        self.written += more

    def run(self):
        while not self.ended.wait(0.05):
            self.append(20)

    def stop(self):
        self.ended.set()
        self.join()
        return self.written


class Topics:
    """What a broker has, by a client that is not Java's."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def make(self, name, partitions=1, settings=None):
        topic = NewTopic(name, partitions, 1, config=settings or {})
        self.admin.create_topics([topic])[name].result(30)

    def partitions(self):
        """The number of partitions of each topic."""
        return {name: len(topic.partitions) for name, topic in self.admin.list_topics(timeout=30).topics.items()}

    def settings(self, name):
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        return {key: entry.value for key, entry in self.admin.describe_configs([resource])[resource].result(30).items()}

    def set(self, name, settings):
        entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in settings.items()]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        self.admin.incremental_alter_configs([resource])[resource].result(30)

    def produce(self, name, records):
        """Records as dictionaries of what Producer.produce takes; acknowledged when it returns."""
        failures = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0})
        for record in records:
            producer.produce(name, on_delivery=lambda error, _: failures.append(error) if error else None, **record)
            producer.poll(0)
        sequence.check(producer.flush(PATIENCE_SECONDS) == 0 and not failures, f"records for {name} were not taken: {failures[:3]}")

    def read(self, name, isolation="read_committed"):
        """All records that are there, partition by partition; none of a topic that is not there."""
        count = self.partitions().get(name, 0)
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "nobody", "enable.auto.commit": False,
                             "auto.offset.reset": "earliest", "enable.partition.eof": True, "isolation.level": isolation, "log_level": 0})
        found, open_ones = {partition: [] for partition in range(count)}, set(range(count))
        consumer.assign([TopicPartition(name, partition, 0) for partition in range(count)])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while open_ones:
            sequence.check(time.monotonic() < deadline, f"{name} could not be read to its end")
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                if message.error().name() == "_PARTITION_EOF":
                    open_ones.discard(message.partition())
                continue
            found[message.partition()].append(message)
        consumer.close()
        return [message for partition in found.values() for message in partition]

    def texts(self, name, isolation="read_committed"):
        return [message.value().decode() for message in self.read(name, isolation)]


class Scene:
    """A folder with a broker of its own and what else was started for one phase."""

    def __init__(self, work, options, jars, plugins):
        work.mkdir()
        self.work, self.options, self.jars, self.plugins = work, options, jars, plugins
        self.chance = random.Random(f"{options.seed} {work.name}")
        self.files, self.ending = [], []
        self.broker = self.start_broker("broker", options.start or harness.DEFAULT_START)
        self.topics = Topics(self.broker.bootstrap)

    def start_broker(self, name, command):
        broker = harness.Broker(command, self.work / f"{name}-data", self.work / f"{name}.log")
        self.ending.append(broker)
        broker.start()
        return broker

    def cluster(self, workers, more=None):
        cluster = Cluster(self, workers, more or {})
        self.ending += cluster.workers
        return cluster

    def java(self, name, main, *arguments):
        jvm = Jvm(self.jars, self.work / f"{name}.log", main, *arguments)
        self.ending.append(jvm)
        return jvm

    def lines(self, name):
        """A file in the folder to which lines are appended, once it is started."""
        self.files.append(name)
        return Lines(self.work / f"{name}.txt", name)

    def sunk(self, name):
        """The lines that a sink has written to a file. What a killed worker had begun stands before the next one's first line."""
        path = self.work / f"{name}.out"
        lines = path.read_text().splitlines() if path.exists() else []
        return [match[0] for line in lines if (match := re.search(rf"({'|'.join(self.files)}) \d+$", line))]

    def source(self, name, topic, more=None):
        # A task that comes to its batch size keeps the lines that it has read beyond, until somebody writes more.
        return {"connector.class": FILE_SOURCE, "file": self.work / f"{name}.txt", "topic": topic, "batch.size": 1_000_000, **(more or {})}

    def sink(self, name, topics, more=None):
        return {"connector.class": FILE_SINK, "file": self.work / f"{name}.out", "topics": topics, **(more or {})}

    def end(self):
        for started in reversed(self.ending):
            started.kill()
