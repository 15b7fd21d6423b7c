"""Leaves a transaction open that no coordinator knows, as clients and brokers before 3.6 could: a record with the number of a
transactional producer in a partition that was never added to a transaction. The broker must not verify that
(transaction.partition.verification.enable=false).
"""

import socket
import struct
import time

FIND_COORDINATOR, INIT_PRODUCER_ID, PRODUCE = 10, 22, 0
TRANSACTION = 1
TIMEOUT_MS = 60_000
IS_TRANSACTIONAL = 0x10
# CRC-32C, reflected.
POLYNOMIAL = 0x82F63B78


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def varint(value):
    value, out = value << 1, b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ POLYNOMIAL * (crc & 1)
    return crc ^ 0xFFFFFFFF


def batch(producer_id, epoch, value):
    """One record without a key; -1 as a varint is 1."""
    fields = b"\0\0\0" + b"\1" + varint(len(value)) + value + b"\0"
    record, now = varint(len(fields)) + fields, int(time.time() * 1000)
    checked = struct.pack(">hiqqqhii", IS_TRANSACTIONAL, 0, now, now, producer_id, epoch, 0, 1) + record
    body = struct.pack(">ibI", -1, 2, crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(body)) + body


def asked(connection, key, version, body):
    """The answer behind its header."""
    request = struct.pack(">hhi", key, version, 1) + text("hanging") + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    with connection.makefile("rb") as answer:
        size, = struct.unpack(">i", answer.read(4))
        return answer.read(size)[4:]


def leave_open(bootstrap, topic, name, value):
    """Of partition 0. The number of its producer."""
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for _ in range(100):
            asked(connection, FIND_COORDINATOR, 1, text(name) + struct.pack(">b", TRANSACTION))
            _, error, producer_id, epoch = struct.unpack(">ihqh", asked(connection, INIT_PRODUCER_ID, 1, text(name) + struct.pack(">i", TIMEOUT_MS)))
            if not error:
                break
            time.sleep(0.1)
        assert not error, f"error {error} instead of a producer id"
        records = batch(producer_id, epoch, value)
        body = text(name) + struct.pack(">hii", -1, TIMEOUT_MS, 1) + text(topic) + struct.pack(">iii", 1, 0, len(records)) + records
        answer = asked(connection, PRODUCE, 7, body)
        error, = struct.unpack_from(">h", answer, 4 + 2 + len(topic) + 4 + 4)
        assert not error, f"the record is refused with {error}"
        return producer_id
