"""confluent-kafka's serializers of Avro, JSON Schema and Protobuf, with references and with a schema that grows."""

import sys

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ORDER = '{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"}]}'
GROWN = ORDER.replace('"long"}', '"long"},{"name":"note","type":["null","string"],"default":null}')
LINE = '{"type":"record","name":"Line","namespace":"shop","fields":[{"name":"of","type":"shop.Order"}]}'
JSON = '{"$schema":"http://json-schema.org/draft-07/schema#","title":"Order","type":"object","properties":{"id":{"type":"integer"}}}'


def message_class():
    file = descriptor_pb2.FileDescriptorProto(name="shop/order.proto", package="shop", syntax="proto3")
    message = file.message_type.add(name="Order")
    message.field.add(name="id", number=1, type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
                      label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def refused(what, status):
    try:
        what()
    except SchemaRegistryError as error:
        assert error.http_status_code == status, error
        return error
    raise AssertionError("it is not refused")


def write(bootstrap, registry):
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    order = message_class()

    def send(topic, serializer, values):
        context = SerializationContext(topic, MessageField.VALUE)
        for value in values:
            producer.produce(topic, serializer(value, context))

    send("avro", AvroSerializer(registry, ORDER), [{"id": 1}])
    send("avro", AvroSerializer(registry, GROWN), [{"id": 2, "note": "x"}])
    send("json", JSONSerializer(JSON, registry, lambda value, _: value), [{"id": 1}, {"id": 2}])
    send("proto", ProtobufSerializer(order, registry), [order(id=1), order(id=2)])
    reference = SchemaReference("shop.Order", "avro-value", 1)
    send("lines", AvroSerializer(registry, Schema(LINE, "AVRO", [reference])), [{"of": {"id": 1}}, {"of": {"id": 2}}])
    assert producer.flush(30) == 0
    assert registry.get_versions("avro-value") == [1, 2]
    assert registry.get_latest_version("avro-value").schema.schema_str == GROWN
    registry.set_compatibility("avro-value", "FULL")
    assert registry.get_compatibility("avro-value") == "FULL"
    wrong = Schema(ORDER.replace('"long"', '"string"'), "AVRO")
    assert not registry.test_compatibility("avro-value", wrong)
    error = refused(lambda: registry.register_schema("avro-value", wrong), 409)
    assert "TYPE_MISMATCH" in str(error), error
    assert refused(lambda: registry.get_latest_version("none"), 404).error_code == 40401
    assert refused(lambda: registry.delete_subject("avro-value"), 422).error_code == 42206
    extra = registry.register_schema("gone-value", Schema('"bytes"', "AVRO"))
    registry.delete_subject("gone-value")
    registry.delete_subject("gone-value", permanent=True)
    assert registry.register_schema("gone-value", Schema('"double"', "AVRO")) > extra


def read(bootstrap, registry):
    order = message_class()
    readers = {
        "avro": AvroDeserializer(registry, GROWN),
        "json": JSONDeserializer(None, schema_registry_client=registry),
        "proto": ProtobufDeserializer(order, schema_registry_client=registry),
        "lines": AvroDeserializer(registry),
    }
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "registry", "auto.offset.reset": "earliest"})
    consumer.subscribe(list(readers))
    found = {topic: [] for topic in readers}
    while sum(map(len, found.values())) < 8:
        message = consumer.poll(30)
        assert message is not None and not message.error(), message
        topic = message.topic()
        found[topic].append(readers[topic](message.value(), SerializationContext(topic, MessageField.VALUE)))
    consumer.close()
    ids = {topic: sorted(value.id if topic == "proto" else value.get("of", value)["id"] for value in values)
           for topic, values in found.items()}
    assert ids == {topic: [1, 2] for topic in readers}, found


if __name__ == "__main__":
    phase, bootstrap, url = sys.argv[1:]
    {"write": write, "read": read}[phase](bootstrap, SchemaRegistryClient({"url": url}))
