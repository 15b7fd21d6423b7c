"""aiokafka as ../talk.py wants it: its event loop runs on a thread."""

import asyncio
import pathlib
import ssl
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

import talk
from talk import Refused, spec

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


class Tokens(AbstractTokenProvider):
    async def token(self):
        return await loop.run_in_executor(None, talk.token)


def settings():
    context = ssl.create_default_context(cafile=spec["ca"])
    if spec.get("certificate"):
        context.load_cert_chain(spec["certificate"], spec["key"])
    own = {"bootstrap_servers": spec["bootstrap"], "ssl_context": context,
           "security_protocol": "SASL_SSL" if spec.get("user") or spec.get("token_url") else "SSL"}
    if spec.get("user"):
        own |= {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": spec["user"], "sasl_plain_password": spec["password"]}
    if spec.get("token_url"):
        own |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Tokens()}
    return own


def wait(asked):
    try:
        return asyncio.run_coroutine_threadsafe(asked, loop).result(spec["patience"])
    except KafkaError as e:
        raise Refused(getattr(e, "errno", None) or None, type(e).__name__, repr(e)) from e
    except TimeoutError as e:
        raise talk.late() from e


class Writer:
    def __init__(self):
        async def start():
            self.producer = AIOKafkaProducer(**settings())
            await self.producer.start()
        wait(start())

    def send(self, number):
        wait(self.producer.send_and_wait(spec["topic"], str(number).encode()))

    def close(self):
        wait(self.producer.stop())


class Reader:
    def __init__(self):
        async def start():
            self.consumer = AIOKafkaConsumer(spec["topic"], group_id=spec["group"], auto_offset_reset="earliest", enable_auto_commit=False,
                                             **settings())
            await self.consumer.start()
        wait(start())

    def poll(self, seconds):
        found = wait(self.consumer.getmany(timeout_ms=int(seconds * 1000)))
        return [int(record.value) for records in found.values() for record in records]

    def commit(self):
        wait(self.consumer.commit())

    def committed(self):
        return wait(self.consumer.committed(TopicPartition(spec["topic"], 0)))


class Library:
    producer, consumer = Writer, Reader


talk.main(Library)
