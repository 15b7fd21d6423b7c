"""certificates.py KEYS SSL USERS NUMBER: confluent-kafka at listeners with TLS; exits 0 when all of it held.

KEYS has ours.pem and theirs.pem, two authorities, and the certificates truck and stranger, one of each. alice is known
at USERS by SCRAM-SHA-512, with the password `wonder land`.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

keys, ssl, users, number = sys.argv[1:]
SECONDS = 30


def certificate(name="truck", trusts="ours"):
    return {"bootstrap.servers": ssl, "security.protocol": "SSL", "ssl.ca.location": f"{keys}/{trusts}.pem",
            "ssl.certificate.location": f"{keys}/{name}.pem", "ssl.key.location": f"{keys}/{name}.key"}


def user(trusts="ours"):
    return {"bootstrap.servers": users, "security.protocol": "SASL_SSL", "ssl.ca.location": f"{keys}/{trusts}.pem",
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "alice", "sasl.password": "wonder land"}


def demand(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"  {what}", flush=True)


def is_let_in(settings):
    errors = []
    client = AdminClient({**settings, "error_cb": errors.append})
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            client.list_topics(timeout=2)
            return True
        except KafkaException:
            client.poll(0)
            if any("SSL" in str(error) for error in errors):
                return False
    sys.exit(f"FAILED: neither let in nor turned away: {errors}")


for word, settings in (("certificate", certificate()), ("user", user())):
    topic, value = f"confluent-{word}-{number}", b"x" * 500_000
    producer = Producer(settings)
    for at in range(20):
        producer.produce(topic, value=b"%d " % at + value)
    demand(producer.flush(SECONDS) == 0, f"by {word}, 10 MB go in")
    consumer = Consumer({**settings, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found, end = [], time.monotonic() + SECONDS
    while len(found) < 20 and time.monotonic() < end:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            found.append(message.value())
    consumer.close()
    demand(found == [b"%d " % at + value for at in range(20)], "and come out by a group")
demand(not is_let_in(certificate(trusts="theirs")), "a broker of another authority is not trusted")
demand(not is_let_in(certificate("stranger")), "a certificate of another authority is not let in")
