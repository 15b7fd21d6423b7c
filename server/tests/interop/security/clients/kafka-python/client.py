"""kafka-python as ../talk.py wants it."""

import logging
import pathlib
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.net.sasl.oauth import AbstractTokenProvider

import talk
from talk import Refused, spec

# Why it is not let in it says there, tries again, and says in the end that it was not in time.
logging.basicConfig(level=logging.WARNING)
BOOTSTRAP_MS = 5000


class Tokens(AbstractTokenProvider):
    def token(self):
        return talk.token()


def settings():
    own = {"bootstrap_servers": spec["bootstrap"], "ssl_cafile": spec["ca"], "bootstrap_timeout_ms": BOOTSTRAP_MS,
           "security_protocol": "SASL_SSL" if spec.get("user") or spec.get("token_url") else "SSL"}
    if spec.get("certificate"):
        own |= {"ssl_certfile": spec["certificate"], "ssl_keyfile": spec["key"]}
    if spec.get("user"):
        own |= {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": spec["user"], "sasl_plain_password": spec["password"]}
    if spec.get("token_url"):
        own |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Tokens()}
    return own


def asks(ask):
    def asking(*arguments):
        try:
            return ask(*arguments)
        except KafkaError as e:
            # Some come as a text alone.
            told = re.search(r"\[Error (\d+)\]", str(e))
            raise Refused(getattr(e, "errno", None) or (int(told[1]) if told else None), type(e).__name__, repr(e)) from e
    return asking


class Writer:
    @asks
    def __init__(self):
        self.producer = KafkaProducer(**settings())

    @asks
    def send(self, number):
        self.producer.send(spec["topic"], str(number).encode()).get(spec["patience"])

    def close(self):
        self.producer.close()


class Reader:
    @asks
    def __init__(self):
        self.consumer = KafkaConsumer(group_id=spec["group"], auto_offset_reset="earliest", enable_auto_commit=False, **settings())
        self.consumer.subscribe([spec["topic"]])

    @asks
    def poll(self, seconds):
        # What a group needs of a poll is said in ../../../clients/kafka-python/client.py.
        found = self.consumer.poll(2000)
        return [int(record.value) for records in found.values() for record in records]

    @asks
    def commit(self):
        self.consumer.commit()

    @asks
    def committed(self):
        return self.consumer.committed(TopicPartition(spec["topic"], 0))


class Library:
    producer, consumer = Writer, Reader


talk.main(Library)
