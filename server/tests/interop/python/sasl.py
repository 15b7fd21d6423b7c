"""sasl.py BOOTSTRAP LIFETIME_SECONDS: confluent-kafka at a listener with SASL; exits 0 when all of it held.

alice is known there by every mechanism, with the password `wonder land`.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialDeletion,
                                   UserScramCredentialUpsertion)

bootstrap, lifetime = sys.argv[1], float(sys.argv[2])
SECONDS = 30


def of(mechanism, user="alice", password="wonder land", **more):
    return {"bootstrap.servers": bootstrap, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism,
            "sasl.username": user, "sasl.password": password, **more}


def demand(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"  {what}", flush=True)


def is_let_in(mechanism, user, password):
    errors = []
    client = AdminClient(of(mechanism, user, password, error_cb=errors.append))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            client.list_topics(timeout=2)
            return True
        except KafkaException:
            client.poll(0)
            if any(error.code() == KafkaError._AUTHENTICATION for error in errors):
                return False
    sys.exit(f"FAILED: {mechanism}: neither let in nor turned away: {errors}")


for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
    topic = f"confluent-{mechanism}"
    failed = []
    producer = Producer(of(mechanism))
    for number in range(100):
        producer.produce(topic, f"{number}", on_delivery=lambda error, _: error and failed.append(error))
    demand(producer.flush(SECONDS) == 0 and not failed, f"{mechanism}: records go in {failed}")
    consumer = Consumer(of(mechanism, **{"group.id": topic, "auto.offset.reset": "earliest"}))
    consumer.subscribe([topic])
    found, end = [], time.monotonic() + SECONDS
    while len(found) < 100 and time.monotonic() < end:
        message = consumer.poll(1)
        if message is not None and not message.error():
            found.append(int(message.value()))
    demand(found == list(range(100)), f"{mechanism}: and come out, by a group")
    # Longer than what was proven holds: librdkafka proves it again (or connects again), and loses nothing.
    time.sleep(1.5 * lifetime)
    producer.produce(topic, "late", on_delivery=lambda error, _: error and failed.append(error))
    demand(producer.flush(SECONDS) == 0 and not failed, f"{mechanism}: a record after the lifetime {failed}")
    message, end = None, time.monotonic() + SECONDS
    while message is None and time.monotonic() < end:
        message = consumer.poll(1)
        message = None if message is not None and message.error() else message
    demand(message is not None and message.value() == b"late", f"{mechanism}: and its consumer")
    consumer.close()
    demand(not is_let_in(mechanism, "alice", "wrong"), f"{mechanism}: a wrong password is turned away")
    demand(not is_let_in(mechanism, "nobody", "wonder land"), f"{mechanism}: and an unknown user")

admin = AdminClient(of("PLAIN"))
added = admin.alter_user_scram_credentials(
    [UserScramCredentialUpsertion("carol", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192), b"caged")])
for future in added.values():
    future.result(SECONDS)
described = admin.describe_user_scram_credentials(["carol"])["carol"].result(SECONDS)
infos = [(info.mechanism, info.iterations) for info in described.scram_credential_infos]
demand(infos == [(ScramMechanism.SCRAM_SHA_512, 8192)], "a user is added and described")
demand(is_let_in("SCRAM-SHA-512", "carol", "caged"), "and let in")
for future in admin.alter_user_scram_credentials([UserScramCredentialDeletion("carol", ScramMechanism.SCRAM_SHA_512)]).values():
    future.result(SECONDS)
demand(not is_let_in("SCRAM-SHA-512", "carol", "caged"), "and turned away when it is deleted")
