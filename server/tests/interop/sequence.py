"""Reads back what producer/producer.c sent, with kcat, and says whether it is all there, once, intact and in order."""

import subprocess
import tempfile

TEXT_STARTS = 65536
TEXT_STEP = 1031
NUMBER = 11


class Damage(Exception):
    """The log is not what was acknowledged."""


def text(value_bytes):
    """The fixed text of producer.c."""
    letters, state = bytearray(), 1
    for _ in range(TEXT_STARTS + value_bytes):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        letters.append(ord("a") + (state >> 24) % 26)
    return bytes(letters)


def check(held, otherwise):
    if not held:
        raise Damage(otherwise)


def read(bootstrap, topic, keys, value_bytes):
    """{i: (partition, offset)} of the whole topic; raises Damage for a record that is wrong, twice or out of order."""
    filler = text(value_bytes)
    place = {}
    last = {}
    command = ["kcat", "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %k %s\n"]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, bufsize=1 << 20) as kcat:
            try:
                for line in kcat.stdout:
                    partition, offset, key, value = line[:-1].split(b" ", 3)
                    i = int(value[:NUMBER])
                    begin = i * TEXT_STEP % TEXT_STARTS
                    check(key == b"k%05d" % (i % keys), f"record {i} has key {key}")
                    check(value[NUMBER:] == filler[begin:begin + value_bytes - NUMBER], f"record {i} is damaged")
                    check(i not in place, f"record {i} is at {place.get(i)} and at {(int(partition), int(offset))}")
                    before = last.get(key)
                    check(before is None or before[0] < i, f"key {key.decode()}: {i} comes after {before}")
                    check(before is None or before[1] == partition, f"key {key.decode()} is in two partitions")
                    last[key] = i, partition
                    place[i] = int(partition), int(offset)
            except BaseException:
                kcat.kill()
                raise
        errors.seek(0)
        check(kcat.returncode == 0, f"kcat ended with {kcat.returncode}: {errors.read().decode()}")
    return place


def acknowledged(path):
    """[(i, partition, offset)] of the complete lines so far."""
    with open(path, "rb") as acks:
        return [tuple(map(int, line.split())) for line in acks if line.endswith(b"\n")]


def compare(place, acks):
    """Every acknowledged record is where its acknowledgement said; returns how many had no offset in it."""
    without = 0
    for i, partition, offset in acks:
        check(i in place, f"record {i} was acknowledged at {partition}:{offset} and is gone")
        if offset < 0:
            without += 1
            check(place[i][0] == partition, f"record {i} was acknowledged in {partition} and is at {place[i]}")
        else:
            check(place[i] == (partition, offset), f"record {i} was acknowledged at {partition}:{offset} and is at {place[i]}")
    return without
