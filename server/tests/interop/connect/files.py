"""The phases in which lines go from one file through a topic into another, while everything on the way is killed."""

import collections
import signal
import time

from scene import CONNECT, JSON, SESSION_SECONDS, STRINGS, config, properties, until
from sequence import check

EXACTLY_ONCE = {"exactly.once.source.support": "enabled", "consumer.isolation.level": "read_committed"}


def each_once(found, wanted, where):
    """Every line, in its order, and none twice."""
    twice = [line for line, count in collections.Counter(found).items() if count > 1]
    check(not twice, f"{where}: {len(twice)} lines are there twice, first {twice[:3]}")
    lost = set(wanted).difference(found)
    check(not lost, f"{where}: {len(lost)} of {len(wanted)} lines are lost, first {sorted(lost)[:3]}")
    check(found == wanted, f"{where}: the lines are in another order")


def nothing_lost(found, wanted, where):
    """Every line at least once, and nothing else."""
    lost, strange = set(wanted).difference(found), set(found).difference(wanted)
    check(not lost and not strange, f"{where}: {len(lost)} of {len(wanted)} lines are lost, first {sorted(lost)[:3]}; "
                                    f"{len(strange)} are nobody's, first {sorted(strange)[:3]}")


def standalone(scene):
    """One worker without a group, stopped and started again: a file becomes a topic, and the topic the same file."""
    lines = scene.lines("plain")
    worker = properties(scene.work / "worker.properties", {
        "bootstrap.servers": scene.broker.bootstrap, "key.converter": STRINGS, "value.converter": STRINGS,
        "offset.storage.file.filename": scene.work / "offsets", "plugin.discovery": "service_load", "listeners": "http://127.0.0.1:0"})
    connectors = [properties(scene.work / f"{name}.properties", {"name": name, **config(settings)}) for name, settings in (
        ("source", scene.source("plain", "plain")), ("sink", scene.sink("plain", "plain")))]
    lines.append(1000)
    jvm = scene.java("worker", CONNECT + "cli.ConnectStandalone", worker, *connectors)
    for _ in range(2):
        until(lambda: len(scene.sunk("plain")) >= len(lines.written), "all lines have been through the topic")
        jvm.stop()
        lines.append(1000)
        jvm.start()
    until(lambda: len(scene.sunk("plain")) >= len(lines.written), "all lines have been through the topic")
    # Connectors in the same process do not notice that the broker was away.
    scene.broker.kill()
    lines.append(1000)
    scene.broker.start()
    until(lambda: len(set(scene.sunk("plain"))) >= len(lines.written), "all lines have been through the topic")
    jvm.stop()
    nothing_lost(scene.topics.texts("plain"), lines.written, "topic")
    nothing_lost(scene.sunk("plain"), lines.written, "sink")
    each_once(scene.sunk("plain")[:3000], lines.written[:3000], "sink, before the broker was killed")
    return f"{len(lines.written)} lines, two stops of the worker, a kill of the broker"


def kills(scene, cluster, seconds):
    """Kills brokers and workers at chance moments, and has workers stand still until others have taken their work."""
    done, deck, ends = collections.Counter(), [], time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(scene.chance.uniform(2, 8))
        # Each of them comes in every short run.
        deck = deck or scene.chance.sample(["broker", "broker", "worker", "worker", "still"], 5)
        what = deck.pop()
        worker = scene.chance.choice(cluster.workers)
        if what == "broker":
            scene.broker.kill()
            scene.broker.start()
        elif what == "worker":
            worker.kill()
            time.sleep(scene.chance.choice([0, SESSION_SECONDS + 3]))
            worker.start()
        else:
            worker.signal(signal.SIGSTOP)
            time.sleep(SESSION_SECONDS + 5)
            worker.signal(signal.SIGCONT)
        done[what] += 1
        for process in cluster.workers:
            process.check()
    return (f"{done['broker']} kills of the broker and {done['worker']} of workers; {done['still']} times a worker stood still "
            "for longer than its session")


def rest(scene, cluster, lines):
    """Each call of the REST interface, and that it does what it says."""
    topics, topic = scene.topics, "lines-0"
    plugins = [plugin["class"] for plugin in cluster.call("GET", "/connector-plugins?connectorsOnly=false")]
    check({"FileStreamSourceConnector", "InsertField$Value"} <= {name.rsplit(".", 1)[1] for name in plugins}, f"plugins: {plugins}")
    code, found = cluster.ask("PUT", "/connector-plugins/FileStreamSink/config/validate", {"connector.class": "FileStreamSink"})
    check(code == 200 and found["error_count"] > 0, f"a sink without topics is valid: {found}")
    check(cluster.ask("GET", "/connectors/nobody")[0] == 404, "a connector that was not made is there")
    check(sorted(cluster.call("GET", "/connectors")) == ["sink-0", "sink-1", "source-0", "source-1"], "other connectors are there")
    until(lambda: cluster.call("GET", "/connectors/source-0/topics")["source-0"]["topics"] == [topic], "the source says its topic")

    cluster.call("PUT", "/connectors/source-0/pause")
    cluster.await_status("source-0", "PAUSED", ["PAUSED"])
    time.sleep(1)
    before = len(topics.read(topic))
    lines.append(100)
    time.sleep(3)
    check(len(topics.read(topic)) == before, "a source that pauses goes on")
    cluster.call("PUT", "/connectors/source-0/resume")
    until(lambda: set(lines.written) <= set(topics.texts(topic)), "a source that was resumed goes on")

    answer = cluster.call("POST", "/connectors/source-0/restart?includeTasks=true")
    check([answer["connector"]["state"], *(task["state"] for task in answer["tasks"])] == ["RESTARTING"] * 2, f"restart: {answer}")
    cluster.await_running("source-0")
    cluster.call("POST", "/connectors/sink-0/tasks/0/restart")
    cluster.await_running("sink-0")

    # Offsets of a source: those of the topic of offsets, a position in the file.
    cluster.call("PUT", "/connectors/source-0/stop")
    cluster.await_status("source-0", "STOPPED", [])
    end = {"partition": {"filename": str(lines.path)}, "offset": {"position": lines.path.stat().st_size}}
    check(cluster.call("GET", "/connectors/source-0/offsets")["offsets"] == [end], "a source that was stopped is not at the end of its file")
    before, again = len(topics.read(topic)), 100
    back = sum(len(line) + 1 for line in lines.written[:-again])
    cluster.call("PATCH", "/connectors/source-0/offsets", {"offsets": [{**end, "offset": {"position": back}}]})
    cluster.call("PUT", "/connectors/source-0/resume")
    until(lambda: len(topics.read(topic)) == before + again, "what is behind the altered offset comes again")
    # A task of another worker that had something to commit yet could do so behind the deletion.
    until(lambda: cluster.call("GET", "/connectors/source-0/offsets")["offsets"] == [end], "the source is at the end of its file again")
    cluster.call("PUT", "/connectors/source-0/stop")
    cluster.await_status("source-0", "STOPPED", [])
    cluster.call("DELETE", "/connectors/source-0/offsets")
    found = cluster.call("GET", "/connectors/source-0/offsets")["offsets"]
    check(found == [], f"deleted offsets are there: {found}")
    before = len(topics.read(topic))
    cluster.call("PUT", "/connectors/source-0/resume")
    until(lambda: len(topics.read(topic)) == before + len(lines.written), "the whole file comes again")

    # Offsets of a sink: those of its consumer group.
    wanted = len(topics.read(topic))
    until(lambda: len(scene.sunk("sink-0")) >= wanted, "the sink has all")
    cluster.call("PUT", "/connectors/sink-0/stop")
    cluster.await_status("sink-0", "STOPPED", [])
    place = {"kafka_topic": topic, "kafka_partition": 0}
    found = cluster.call("GET", "/connectors/sink-0/offsets")["offsets"]
    check(found == [{"partition": place, "offset": {"kafka_offset": wanted}}], f"a sink that was stopped is at {found}, not at {wanted}")
    for body, again in (({"offset": {"kafka_offset": wanted - 10}}, 10), ({"offset": None}, wanted), (None, wanted)):
        before = len(scene.sunk("sink-0"))
        if body:
            cluster.call("PATCH", "/connectors/sink-0/offsets", {"offsets": [{"partition": place, **body}]})
        else:
            cluster.call("DELETE", "/connectors/sink-0/offsets")
        cluster.call("PUT", "/connectors/sink-0/resume")
        cluster.await_running("sink-0")
        until(lambda: len(scene.sunk("sink-0")) >= before + again, f"{again} records come again")
        time.sleep(2)
        check(len(scene.sunk("sink-0")) == before + again, f"{len(scene.sunk('sink-0')) - before} records came again, not {again}")
        cluster.call("PUT", "/connectors/sink-0/stop")
        cluster.await_status("sink-0", "STOPPED", [])
    cluster.call("PUT", "/connectors/sink-0/resume")

    cluster.put("gone", scene.source("gone", "gone"))
    cluster.await_running("gone")
    cluster.call("DELETE", "/connectors/gone")
    until(lambda: cluster.status("gone") is None, "a connector that was deleted is gone")


def distributed(scene):
    """Two workers, what REST can ask of them, and kills while lines go through them: none is lost."""
    cluster = scene.cluster(2)
    lines = [scene.lines(f"lines-{number}") for number in range(2)]
    created = {"topic.creation.default.partitions": 1, "topic.creation.default.replication.factor": 1,
               "topic.creation.default.retention.ms": 86_400_000}
    # A sink would have the broker create its topic, with other settings.
    for number, file in enumerate(lines):
        file.append(500)
        settings = {**scene.source(f"lines-{number}", f"lines-{number}"), **created}
        cluster.call("POST", "/connectors", {"name": f"source-{number}", "config": config(settings)})
        until(lambda: f"lines-{number}" in scene.topics.partitions(), "the topic is there")
        check(scene.topics.settings(f"lines-{number}")["retention.ms"] == "86400000", "the settings of the topic are not those of the source")
        settings = scene.sink(f"sink-{number}", f"lines-{number}")
        cluster.call("POST", "/connectors", {"name": f"sink-{number}", "config": config(settings)})
    names = [f"{role}-{number}" for role in ("source", "sink") for number in range(2)]
    cluster.await_running(*names)

    def shared():
        at = [task["worker_id"] for name in names for task in cluster.call("GET", f"/connectors/{name}/status")["tasks"]]
        return len(at) == 4 and sorted(set(at)) == sorted(worker.id for worker in cluster.workers)

    until(shared, "both workers have tasks")
    for number in range(2):
        until(lambda: len(scene.sunk(f"sink-{number}")) >= 500, "all lines have been through the topic")
    rest(scene, cluster, lines[0])

    for file in lines:
        file.start()
    what = kills(scene, cluster, scene.options.seconds)
    for number, file in enumerate(lines):
        written = file.stop()
        until(lambda: set(written) <= set(scene.sunk(f"sink-{number}")), f"all lines of {file.path.name} are in the sink's file")
        nothing_lost(scene.topics.texts(f"lines-{number}"), written, f"topic lines-{number}")
        nothing_lost(scene.sunk(f"sink-{number}"), written, f"sink-{number}")
    cluster.await_running(*names)
    return f"REST; {sum(len(file.written) for file in lines)} lines, none lost; {what}"


def dead_letters(scene):
    """A record that is no JSON fails a sink; with a topic for dead letters it goes on, and the records are there."""
    cluster = scene.cluster(1)
    scene.topics.make("orders", 2)
    bad = {10: b"{", 41: b"not json", 77: b"[1,"}
    records = [{"key": str(at), "value": bad.get(at, b"%d" % at), "partition": at % 2, "headers": {"at": str(at)}} for at in range(100)]
    scene.topics.produce("orders", records)
    strict = scene.sink("orders", "orders", {"value.converter": JSON, "value.converter.schemas.enable": False})
    cluster.put("sink", strict)
    cluster.await_status("sink", "RUNNING", ["FAILED"])
    trace = cluster.call("GET", "/connectors/sink/status")["tasks"][0]["trace"]
    check("DataException" in trace, f"the task says: {trace}")

    cluster.put("sink", {**strict, "errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead-orders",
                         "errors.deadletterqueue.topic.replication.factor": 1, "errors.deadletterqueue.context.headers.enable": True})
    cluster.call("POST", "/connectors/sink/restart?includeTasks=true&onlyFailed=true")
    cluster.await_running("sink")
    good = {str(at) for at in range(100)}.difference(map(str, bad))

    def sunk():
        path = scene.work / "orders.out"
        return set(path.read_text().splitlines()) if path.exists() else set()

    until(lambda: good <= sunk(), "the records behind the bad ones are there")
    check(sunk() == good, f"the sink has what is no record: {sunk() - good}")
    dead = until(lambda: len(found := scene.topics.read("dead-orders")) == len(bad) and found, "the dead letters are there")
    for message in dead:
        headers, at = dict(message.headers()), int(message.key())
        check(message.value() == bad[at] and headers["at"] == str(at).encode(), f"dead letter {at} is not what was sent")
        said = [headers["__connect.errors." + name].decode() for name in ("topic", "partition", "offset", "connector.name", "stage")]
        check(said == ["orders", str(at % 2), str(at // 2), "sink", "VALUE_CONVERTER"], f"dead letter {at} says {said}")
    return f"{len(good)} records in the sink's file, {len(dead)} dead letters"


def exactly_once(scene):
    """Workers with exactly.once.source.support, under kills: a reader of committed records finds every line once."""
    cluster = scene.cluster(2, EXACTLY_ONCE)
    lines = [scene.lines(f"exact-{number}") for number in range(2)]
    boundaries = ({}, {"transaction.boundary": "interval", "transaction.boundary.interval.ms": 3_000})
    for number, boundary in enumerate(boundaries):
        cluster.put(f"source-{number}", scene.source(f"exact-{number}", "exact", {"exactly.once.support": "required", **boundary}))
    cluster.put("sink", scene.sink("exact", "exact"))
    cluster.await_running("source-0", "source-1", "sink")
    for file in lines:
        file.start()
    what = kills(scene, cluster, scene.options.seconds)
    for file in lines:
        file.stop()
    return f"{settle(scene, lines)}; {what}"


def settle(scene, lines):
    """Waits until all lines are committed, and compares; nothing may come behind."""
    written = [line for file in lines for line in file.written]
    until(lambda: len(scene.topics.texts("exact")) >= len(written), "all lines are committed")
    until(lambda: set(written) <= set(scene.sunk("exact")), "all lines are in the sink's file")
    time.sleep(2)
    committed = scene.topics.texts("exact")
    for file in lines:
        each_once([line for line in committed if line.startswith(file.name_of_lines + " ")], file.written, f"topic, from {file.path.name}")
    nothing_lost(scene.sunk("exact"), written, "sink")
    aborted = len(scene.topics.read("exact", "read_uncommitted")) - len(committed)
    return f"{len(written)} lines committed, each once, beside {aborted} that were aborted"


def quick(scene):
    """The same with one worker, a kill of the broker and one of the worker."""
    cluster = scene.cluster(1, EXACTLY_ONCE)
    lines = scene.lines("exact")
    cluster.put("source", scene.source("exact", "exact", {"exactly.once.support": "required"}))
    cluster.put("sink", scene.sink("exact", "exact"))
    lines.start()
    until(lambda: len(scene.sunk("exact")) > 100, "lines go through the topic")
    scene.broker.kill()
    scene.broker.start()
    before = len(scene.sunk("exact"))
    until(lambda: len(scene.sunk("exact")) > before + 100, "lines go on")
    cluster.workers[0].kill()
    cluster.workers[0].start()
    until(lambda: len(scene.sunk("exact")) > before + 1000, "lines go on")
    lines.stop()
    return settle(scene, [lines])
