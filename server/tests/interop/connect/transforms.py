"""The phase of the transforms: each works on lines of a file, and its records say what it has done."""

import datetime
import json

from scene import JSON, STRINGS, until
from sequence import check

TRANSFORMS = "org.apache.kafka.connect.transforms."
LINES = [f"crate {number}" for number in range(4)]


def hoist(field="line"):
    return {"type": "HoistField$Value", "field": field}


def stamp():
    return {"type": "InsertField$Value", "timestamp.field": "at"}


def month(message):
    return datetime.datetime.fromtimestamp(message.timestamp()[1] / 1000, datetime.timezone.utc).strftime("%Y%m")


def minute(message):
    return datetime.datetime.fromtimestamp(message.timestamp()[1] / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M")


class Case:
    """A chain of transforms, and what it makes of a line: the value, the key, the topic, the headers."""

    def __init__(self, *chain, value=lambda line, _: {"line": line}, key=lambda _: None, topic=lambda name, _: name, headers=None,
                 lines=None, more=None):
        self.chain, self.value, self.key, self.topic, self.headers = chain, value, key, topic, headers or {}
        self.lines, self.more = lines or LINES, more or {}

    def settings(self):
        found = {"transforms": ",".join(f"t{at}" for at in range(len(self.chain))), **self.more}
        for at, transform in enumerate(self.chain):
            found |= {f"transforms.t{at}.{name}": value for name, value in {**transform, "type": TRANSFORMS + transform["type"]}.items()}
        return found


def schema_named(line, _):
    return {"schema": {"type": "struct", "fields": [{"type": "string", "optional": False, "field": "line"}], "optional": False,
                       "name": "org.example.Line", "version": 7}, "payload": {"line": line}}


CASES = {
    "insert-field": Case(
        hoist(), stamp(), {"type": "InsertField$Value", "static.field": "site", "static.value": "north", "topic.field": "from"},
        value=lambda line, message: {"line": line, "at": message.timestamp()[1], "site": "north", "from": "insert-field"}),
    "replace-field": Case(
        hoist(), {"type": "InsertField$Value", "static.field": "site", "static.value": "north"},
        {"type": "ReplaceField$Value", "renames": "line:text", "exclude": "site"}, value=lambda line, _: {"text": line}),
    "mask-field": Case(
        hoist(), {"type": "InsertField$Value", "static.field": "card", "static.value": "1234"},
        {"type": "MaskField$Value", "fields": "card", "replacement": "****"}, value=lambda line, _: {"line": line, "card": "****"}),
    "value-to-key": Case(hoist(), {"type": "ValueToKey", "fields": "line"}, key=lambda line: {"line": line}),
    "extract-field": Case(
        hoist(), {"type": "ValueToKey", "fields": "line"}, {"type": "ExtractField$Key", "field": "line"}, key=lambda line: line),
    "timestamp-router": Case(
        hoist(), {"type": "TimestampRouter", "topic.format": "${topic}-${timestamp}", "timestamp.format": "yyyyMM"},
        topic=lambda name, message: f"{name}-{month(message)}"),
    "regex-router": Case(hoist(), {"type": "RegexRouter", "regex": "(.*)-router", "replacement": "$1-routed"},
                         topic=lambda *_: "regex-routed"),
    "set-schema-metadata": Case(
        hoist(), {"type": "SetSchemaMetadata$Value", "schema.name": "org.example.Line", "schema.version": 7}, value=schema_named,
        more={"value.converter": JSON, "value.converter.schemas.enable": True}),
    "flatten": Case(hoist(), hoist("inner"), hoist("outer"), {"type": "Flatten$Value", "delimiter": "_"},
                    value=lambda line, _: {"outer_inner_line": line}),
    "timestamp-converter": Case(
        hoist(), stamp(), {"type": "TimestampConverter$Value", "field": "at", "target.type": "string", "format": "yyyy-MM-dd'T'HH:mm"},
        value=lambda line, message: {"line": line, "at": minute(message)}),
    "cast": Case({"type": "Cast$Value", "spec": "int32"}, lines=["1", "22"], value=lambda line, _: int(line)),
    "insert-header": Case(hoist(), {"type": "InsertHeader", "header": "site", "value.literal": "north"}, headers={"site": b"north"},
                          more={"header.converter": STRINGS}),
}


def decoded(data):
    return None if data is None else json.loads(data)


def holds(case, name, line, message):
    """Whether a record is what the case makes of a line."""
    said = (decoded(message.value()), decoded(message.key()), dict(message.headers() or []), message.topic())
    wanted = (case.value(line, message), case.key(line), case.headers, case.topic(name, message))
    check(said == wanted, f"{name} makes {said} of a line, not {wanted}")


def transforms(scene):
    """Each transform in a source of its own, and in a sink a filter, and what only a sink knows: the offset."""
    cluster = scene.cluster(1, {"key.converter": JSON, "value.converter": JSON, "key.converter.schemas.enable": False,
                                "value.converter.schemas.enable": False})
    for name, case in CASES.items():
        (scene.work / f"{name}.txt").write_text("".join(line + "\n" for line in case.lines))
        cluster.put(name, scene.source(name, name, case.settings()))
    for name, case in CASES.items():
        def found():
            # A router's topic begins as its name does.
            topics = [topic for topic in scene.topics.partitions() if topic.startswith(name.removesuffix("er"))]
            messages = [message for topic in topics for message in scene.topics.read(topic)]
            return len(messages) >= len(case.lines) and messages

        for line, message in zip(case.lines, until(found, f"{name} has written its records: {cluster.status(name)}"), strict=True):
            holds(case, name, line, message)

    place = {"offset.field": "offset", "partition.field": "partition", "topic.field": "from"}
    chain = Case({"type": "Filter", "predicate": "other"}, {"type": "InsertField$Value", **place},
                 more={"predicates": "other", "predicates.other.type": TRANSFORMS + "predicates.TopicNameMatches",
                       "predicates.other.pattern": "mask.*"})
    cluster.put("sink", scene.sink("sink", "mask-field,value-to-key", chain.settings()))
    # Of a value without a schema the transform makes a map.
    wanted = sorted(sorted(f"{{line={line}, offset={at}, partition=0, from=value-to-key}}".strip("{}").split(", "))
                    for at, line in enumerate(LINES))

    def sunk():
        path = scene.work / "sink.out"
        lines = path.read_text().splitlines() if path.exists() else []
        return len(lines) == len(LINES) and sorted(sorted(line.strip("{}").split(", ")) for line in lines)

    check(until(sunk, "the sink has its records, and no other topic's") == wanted, f"the sink has {sunk()}")
    return f"{len(CASES)} chains of transforms in sources and one in a sink, each seen to do its work"
