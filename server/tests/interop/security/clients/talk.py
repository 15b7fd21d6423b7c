"""What a Python client of the matrix does, whatever its library: its program gives `Library`'s methods and calls `main`.

A program is given one JSON object, the place and what to do there, and tells what came of it, one JSON object a line:

    {"bootstrap", "ca", "certificate", "key", "user", "password", "token_url", "token_seconds", "topic", "group", "records",
     "seconds", "patience", "do"}
    {"did": "produce", "count": 20} | {"did": "consume", "count": 20, "committed": 20} | {"did": "hold", "count": 55}
    {"refused": "produce", "code": 29, "name": "...", "text": "...", "seconds": 0.3}

produce: so many records, each waited for. consume: as a member of the group, until all are there, committed, and what is
committed asked for. talk: both. hold: for so many seconds a record every 200 ms, and a member that reads them.
"""

import json
import os
import sys
import threading
import time
import urllib.request

spec = json.loads(sys.argv[1])
PAUSE_SECONDS = 0.2
# A fraction of a token's life is for the way.
EARLY_SECONDS = 1


class Refused(Exception):
    """What a library has said; `code` is Kafka's, or None."""

    def __init__(self, code, name, text):
        super().__init__(text)
        self.told = {"code": code, "name": name, "text": str(text)[:500]}


def token():
    with urllib.request.urlopen(spec["token_url"]) as answer:
        return json.load(answer)["access_token"]


def late():
    return Refused(None, "nothing", f"neither done nor refused in {spec['patience']} s")


class Clock:
    def __init__(self):
        self.end = time.monotonic() + spec["patience"]

    def check(self):
        if time.monotonic() > self.end:
            raise late()


def say(**what):
    print(json.dumps(what), flush=True)


def attempt(act, run):
    began = time.monotonic()
    try:
        say(did=act, **run())
    except Refused as e:
        say(refused=act, seconds=round(time.monotonic() - began, 2), **e.told)
        # Threads of a library may wait for a broker that will not answer.
        os._exit(0)


def consume(consumer, count):
    clock, found = Clock(), []
    while len(found) < count:
        clock.check()
        found += consumer.poll(0.5)
    if found != list(range(count)):
        raise Refused(None, "order", f"{found}")
    consumer.commit()
    return {"count": len(found), "committed": consumer.committed()}


def produce(library, count):
    with_producer = library.producer()
    for number in range(count):
        with_producer.send(number)
    with_producer.close()
    return {"count": count}


def hold(library):
    """Both sides, longer than what was proven holds."""
    failed, sent, end = [], [], time.monotonic() + spec["seconds"]

    def write():
        try:
            producer = library.producer()
            while time.monotonic() < end:
                producer.send(len(sent))
                sent.append(len(sent))
                time.sleep(PAUSE_SECONDS)
            producer.close()
        except Refused as e:
            failed.append(e)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    consumer, found = library.consumer(), []
    while writer.is_alive() or len(found) < len(sent):
        if failed:
            raise failed[0]
        if time.monotonic() > end + spec["patience"]:
            raise Refused(None, "nothing", f"{len(found)} of {len(sent)} records came")
        found += consumer.poll(0.5)
    if failed:
        raise failed[0]
    # Who is cut and connects again may write or read a record once more.
    if list(dict.fromkeys(found)) != sent:
        raise Refused(None, "order", f"{found[:50]}")
    return {"count": len(sent)}


def main(library):
    if spec["do"] in ("produce", "talk"):
        attempt("produce", lambda: produce(library, spec["records"]))
    if spec["do"] in ("consume", "talk"):
        attempt("consume", lambda: consume(library.consumer(), spec["records"]))
    if spec["do"] == "hold":
        attempt("hold", lambda: hold(library))
    os._exit(0)
