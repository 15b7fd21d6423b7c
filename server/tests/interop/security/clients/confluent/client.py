"""confluent-kafka as ../talk.py wants it."""

import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

import talk
from talk import Clock, Refused, spec

FATAL = (KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED)
# librdkafka tells of a refused topic by a code of its own where the topic's metadata is refused.
errors = []


def refused(error):
    return Refused(error.code() if error.code() > 0 else None, error.name(), error.str())


def properties():
    settings = {"bootstrap.servers": spec["bootstrap"], "ssl.ca.location": spec["ca"], "error_cb": errors.append,
                "security.protocol": "sasl_ssl" if spec.get("user") or spec.get("token_url") else "ssl"}
    if spec.get("certificate"):
        settings |= {"ssl.certificate.location": spec["certificate"], "ssl.key.location": spec["key"]}
    if spec.get("user"):
        settings |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": spec["user"], "sasl.password": spec["password"]}
    if spec.get("token_url") and spec.get("endpoint"):
        settings |= {"sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.client.id": "x",
                     "sasl.oauthbearer.client.secret": "y", "sasl.oauthbearer.token.endpoint.url": spec["token_url"]}
    elif spec.get("token_url"):
        # What is over before it came is for the broker to refuse.
        ends = max(spec["token_seconds"], 5)
        settings |= {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": lambda _: (talk.token(), time.time() + ends)}
    return settings


def check():
    for error in errors:
        # By TLS 1.3 a server refuses a certificate when the handshake is over for its client: then it is no error of TLS.
        if error.code() in FATAL or "SSL routines" in error.str():
            raise refused(error)


class Writer:
    def __init__(self):
        self.producer, self.failed = Producer(properties()), []

    def send(self, number):
        self.producer.produce(spec["topic"], str(number), on_delivery=lambda error, _: error and self.failed.append(error))
        clock = Clock()
        while self.producer.flush(0.2):
            clock.check()
            check()
        if self.failed:
            raise refused(self.failed[0])

    def close(self):
        self.producer.flush()


class Reader:
    def __init__(self):
        self.consumer = Consumer({**properties(), "group.id": spec["group"], "auto.offset.reset": "earliest", "enable.auto.commit": False})
        self.consumer.subscribe([spec["topic"]])

    def poll(self, seconds):
        check()
        messages = self.consumer.consume(100, seconds)
        for message in messages:
            if message.error():
                raise refused(message.error())
        return [int(message.value()) for message in messages]

    def commit(self):
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as e:
            raise refused(e.args[0]) from e

    def committed(self):
        [found] = self.consumer.committed([TopicPartition(spec["topic"], 0)], timeout=spec["patience"])
        return found.offset


class Library:
    producer, consumer = Writer, Reader


talk.main(Library)
