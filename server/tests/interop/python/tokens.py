"""tokens.py BOOTSTRAP GOOD BAD: confluent-kafka at a listener with OAUTHBEARER; exits 0 when all of it held.

GOOD and BAD are files with a token each: one of a user whom the broker is to let in, and one that it is not to take.
"""

import pathlib
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

bootstrap, good, bad = sys.argv[1], *(pathlib.Path(path).read_text() for path in sys.argv[2:])
SECONDS = 30
RECORDS = 100


def of(token, **more):
    return {"bootstrap.servers": bootstrap, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER",
            "oauth_cb": lambda _: (token, time.time() + 300), **more}


def demand(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"  {what}", flush=True)


def is_let_in(token):
    errors = []
    client = AdminClient(of(token, error_cb=errors.append))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            client.list_topics(timeout=2)
            return True
        except KafkaException:
            client.poll(0)
            if any(error.code() == KafkaError._AUTHENTICATION for error in errors):
                return False
    sys.exit(f"FAILED: neither let in nor turned away: {errors}")


failed = []
producer = Producer(of(good))
for number in range(RECORDS):
    producer.produce("confluent-tokens", f"{number}", on_delivery=lambda error, _: error and failed.append(error))
demand(producer.flush(SECONDS) == 0 and not failed, f"OAUTHBEARER: records go in {failed}")
consumer = Consumer(of(good, **{"group.id": "confluent-tokens", "auto.offset.reset": "earliest"}))
consumer.subscribe(["confluent-tokens"])
found, end = [], time.monotonic() + SECONDS
while len(found) < RECORDS and time.monotonic() < end:
    message = consumer.poll(1)
    if message is not None and not message.error():
        found.append(int(message.value()))
demand(found == list(range(RECORDS)), "OAUTHBEARER: and come out, by a group")
consumer.close()
demand(not is_let_in(bad), "OAUTHBEARER: a token of somebody else's is turned away")
