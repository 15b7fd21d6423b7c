#!/usr/bin/env python3
"""A second reader of Strandline's data directory, written from docs/format.md alone.

    second_reader.py DATA

prints every record that a start of the broker would serve, one JSON object a line: topics by name, partitions by number,
records by offset. The directory may have been left by a crash: it is read as recovery would leave it, and not changed.
What is wrong goes to stderr, a line each, and makes the exit code 1. Keys, values and names of headers are hexadecimal.

Only the standard library is used, which has no codec but gzip: a batch in another one is a line with its offsets and count.
"""
import json, os, re, struct, sys, zlib

problems = []

def problem(where, what):
    problems.append(where)
    print(f"{where}: {what}", file=sys.stderr)

class Damaged(Exception): pass

def demand(condition, what):
    if not condition:
        raise Damaged(what)

CASTAGNOLI = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    CASTAGNOLI.append(byte)

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CASTAGNOLI[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF

def zeroed(data, at):
    return data[:at] + b"\0\0\0\0" + data[at + 4:]

def gunzip(data):
    out = b""
    while data[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(31)
        out += member.decompress(data)
        demand(member.eof, "gzip: cut")
        data = member.unused_data
    return out

BATCH = struct.Struct(">qiiBIhiqqqhii")

class Batch:
    def __init__(self, data):
        demand(len(data) >= 61, "cut")
        (self.base, length, self.leader_epoch, magic, crc, self.attributes, delta, self.base_time, self.max_time, self.producer,
         self.epoch, self.sequence, self.count) = BATCH.unpack_from(data)
        demand(magic == 2 and length >= 49 and delta >= 0 and 0 <= self.count <= delta + 1, "not a batch")
        demand(12 + length <= len(data), "cut")
        self.bytes = data[:12 + length]
        self.end = self.base + delta + 1
        demand(crc32c(self.bytes[21:]) == crc, "crc")

    def records(self):
        data, at = {0: bytes, 1: gunzip}[self.attributes & 7](self.bytes[61:]), 0
        for _ in range(self.count):
            size, at = varint(data, at)
            demand(0 <= size <= len(data) - at, "record: size")
            yield self.record(data[at:at + size])
            at += size
        demand(at == len(data), "bytes behind the records")

    def record(self, data):
        time, at = varint(data, 1)
        delta, at = varint(data, at)
        key, at = field(data, at)
        value, at = field(data, at)
        count, at = varint(data, at)
        headers = []
        for _ in range(count):
            name, at = field(data, at)
            content, at = field(data, at)
            headers.append([name, content])
        demand(at == len(data), "record: bytes behind it")
        time = self.max_time if self.attributes & 8 else self.base_time + time
        sequence = -1 if self.sequence < 0 else self.sequence + delta & 0x7FFFFFFF
        return {"offset": self.base + delta, "timestamp": time, "key": key, "value": value, "headers": headers,
                "producer": self.producer, "epoch": self.epoch, "sequence": sequence,
                "transactional": bool(self.attributes & 16), "control": bool(self.attributes & 32)}

def varint(data, at):
    value = shift = 0
    while True:
        demand(at < len(data) and shift < 70, "varint")
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value >> 1 ^ -(value & 1), at

def field(data, at):
    size, at = varint(data, at)
    if size < 0:
        return None, at
    demand(at + size <= len(data), "field: cut")
    return data[at:at + size].hex(), at + size

def read(path):
    with open(path, "rb") as file:
        return file.read()

def body(path, kind, newest=1):
    return versioned(path, kind, newest)[1]

def versioned(path, kind, newest):
    """Version and body of a small file; nothing where there is none, or, and that is a problem, it is damaged."""
    data = read(path) if os.path.exists(path) else b""
    if data[:8] == kind and len(data) >= 20:
        version, _, size, crc = struct.unpack_from("<HHII", data, 8)
        if 1 <= version <= newest and (size, crc) == (len(data) - 20, zlib.crc32(zeroed(data, 16))):
            return version, data[20:]
    if data:
        problem(path, "kind, version, size or crc")
    return 1, b""

def check_settings(path):
    (version, data), at, names = versioned(path, b"STRLSETT", 3), 0, {255: [], 240: [], 15: []}
    while at < len(data):
        scope, name, value = struct.unpack_from("<BHI", data, at)
        demand(scope < 2 or (scope == 255 and version >= 2) or (scope in (240, 15) and version == 3), "settings: scope")
        demand(name > 0 and at + 7 + name + value <= len(data), "settings")
        data[at + 7:at + 7 + name + value].decode()
        names.setdefault(scope, []).append(data[at + 7:at + 7 + name])
        at += 7 + name + value
    demand(all(names[scope] == sorted(set(names[scope])) for scope in (255, 240, 15)), "settings: names in order")

def check_meta(version, data):
    if data:
        demand(len(data) == (20 if version == 1 else 36), "meta: size")
        demand(version == 1 or int.from_bytes(data[20:], "big") >= 100, "meta: directory id")

def topics(version, data):
    """Name -> (topic id, partitions that are here and led)"""
    found, at = {}, 0
    if version >= 2:
        count, at = struct.unpack_from("<I", data)[0], 4
        for _ in range(count):
            at += (22 if version == 2 else 26) + struct.unpack_from("<H", data, at + 20)[0]
    while at < len(data):
        identity, partitions, configs, size = struct.unpack_from("<16sIIH", data, at)
        name, at = data[at + 26:at + 26 + size].decode(), at + 26 + size
        for _ in range(configs):
            key, value = struct.unpack_from("<HI", data, at)
            at += 6 + key + value
        here = range(partitions)
        if version >= 3:
            kind, count = struct.unpack_from("<BI", data, at)
            replicas, at = list(struct.iter_unpack("<IiB", data[at + 5:at + 5 + 9 * count])), at + 5 + 9 * count
            demand(kind in (0, 1), "topics: placement")
            demand(all(epoch >= 0 and role in (1, 2) for _, epoch, role in replicas), "topics: replica")
            named = [partition for partition, _, _ in replicas]
            demand(named == sorted(set(named)) and all(partition < partitions for partition in named), "topics: partition")
            roles = dict.fromkeys(here, 1) if kind == 0 else {}
            roles.update((partition, role) for partition, _, role in replicas)
            here = sorted(partition for partition, role in roles.items() if role == 1)
        found[name] = (identity, here)
    return found

def checkpoint(version, data):
    """(topic id, partition) -> (log start, segment base, position, offset, truncations, [(first offset, leader epoch)])"""
    at = 0
    while at < len(data):
        identity, partition, producers, start, base, position, offset, _ = struct.unpack_from("<16sIIqqqqq", data, at)
        at, truncations, epochs = at + 64, 0, [(start, 0)]
        if version >= 2:
            _, truncations, count = struct.unpack_from("<qII", data, at)
            skipped = 8 if version >= 3 else 0
            epochs = [struct.unpack_from("<qi", data, at + 16 + skipped + 12 * row) for row in range(count)]
            at += 16 + skipped + 12 * count
        for _ in range(producers):
            batches, = struct.unpack_from("<H", data, at + 18)
            at += (40 if version >= 3 else 20) + 24 * batches
        yield (identity, partition), (start, base, position, offset, truncations, epochs)

class Cut:
    def __init__(self, end, segment_base, position):
        self.base, self.segment_base, self.position = end, segment_base, position

def commit(data, at):
    """Generation, sequence, bytes with padding, and ((topic id, partition), batch or cut) of the whole commit at a place."""
    demand(data[at:at + 8] == b"STRLJRNL" and len(data) >= at + 40, "magic")
    version, _, crc, generation, sequence, size, count = struct.unpack_from("<HHIQQII", data, at + 8)
    entry_size = 36 if version == 1 else 40
    place = at + 40 + entry_size * count
    demand(version in (1, 2) and place - at <= size <= len(data) - at, "size")
    summed, found = zlib.crc32(zeroed(data[at:place], 12)), []
    for entry in range(at + 40, place, entry_size):
        identity, base, partition, length, kind = struct.unpack_from("<16sqIIB", data, entry)
        truncations = 0 if version == 1 else struct.unpack_from("<I", data, entry + 36)[0]
        if kind == 2 and version > 1:
            demand(length == 24 and place + length <= at + size, "truncation")
            item, summed = Cut(base, *struct.unpack_from("<qQ", data, place)), zlib.crc32(data[place:place + 24], summed)
        else:
            item = Batch(data[place:place + length])
            demand(kind == 1 and len(item.bytes) == length and item.base == base, "entry")
            summed = zlib.crc32(item.bytes[:61], summed)
        item.truncations, place = truncations, place + length
        found.append(((identity, partition), item))
    demand(summed == crc and place == at + size, "crc")
    return generation, sequence, (size + 4095) // 4096 * 4096, found

def journal(path):
    """((topic id, partition), batch or cut) of every whole commit of the file's newest use."""
    data = read(path)
    behind, expected, known = 0, 0, None
    for at in range(0, len(data) if any(data[:40]) else 0, 4096):
        try:
            generation, sequence, size, found = commit(data, at) if at >= behind else (None, -1, 0, [])
        except Damaged:
            continue
        if sequence >= expected and generation == (generation if known is None else known):
            if at > behind and known is not None:
                problem(path, f"position {behind}: commits are missing, {at} has the next one")
            behind, expected, known = at + size, sequence + 1, generation
            yield from found

def check_index(path, base):
    data = read(path)
    kind, version, _, crc, named = struct.unpack_from("<8sHHIq", data)
    demand((kind, version, named, zlib.crc32(zeroed(data[:24], 12))) == (b"STRLINDX", 1, base, crc), "header")
    at, last = 24, (-1, -1, -1)
    while at < len(data):
        magic, count, crc = struct.unpack_from("<4sII", data, at)
        chunk = data[at:at + 12 + 16 * count]
        demand(magic == b"CHNK" and zlib.crc32(zeroed(chunk, 8)) == crc, f"position {at}: crc")
        for entry in struct.iter_unpack("<IIq", chunk[12:]):
            demand(entry[0] > last[0] and entry[1] > last[1] and entry[2] >= last[2], f"position {at}: order")
            last = entry
        at += len(chunk)

def segments_of(directory):
    """Base offset -> path of the data file, as they stand once a compaction that has committed is finished."""
    found, names = {}, sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    for name in names:
        if re.fullmatch(r"\d{20}\.log", name):
            found[int(name[:20])] = os.path.join(directory, name)
    for name in names:
        if re.fullmatch(r"\d{20}-\d{20}\.swap", name):
            base, end = int(name[:20]), int(name[21:41])
            found = {other: path for other, path in found.items() if not base <= other < end}
            found[base] = os.path.join(directory, name)
    return dict(sorted(found.items()))

def batches_in(path, data, position, end, expected, gaps_end, report):
    """(position, batch) one behind the other, up to the end or the first that is not whole or does not follow."""
    while position < end:
        try:
            batch = Batch(data[position:end])
            demand(batch.base == expected or expected < batch.base <= gaps_end, f"base offset {batch.base}")
        except Damaged as error:
            if report:
                problem(path, f"position {position}: {error}")
            return
        yield position, batch
        position, expected = position + len(batch.bytes), batch.end

def log_of(directory, row, journaled):
    """The log start, and the batches from there on."""
    segments = segments_of(directory)
    ends = body(os.path.join(directory, "compacted"), b"STRLCMPT", 2) or bytes(24)
    compacted_end, _, gaps_end = struct.unpack("<qqq", ends if len(ends) == 24 else ends + ends[:8])
    first = min(segments, default=compacted_end)
    start, point_base, point_position, point, truncations, epochs = row or (first, durable := max(first, compacted_end), 0, durable, 0, [])
    # A log was truncated as often as anything says; what was journaled before counts no more.
    number = max([truncations] + [item.truncations for item in journaled])
    cuts = [item for item in journaled if isinstance(item, Cut) and item.truncations == number > truncations and row]
    journaled = [item for item in journaled if isinstance(item, Batch) and item.truncations == number]
    if cuts:
        point_base, point_position, point = cuts[0].segment_base, cuts[0].position, cuts[0].base
        compacted_end, gaps_end = min(compacted_end, point), min(gaps_end, point)
        segments = {base: path for base, path in segments.items() if base < point_base or base == point_base and point_position}
    bases = list(segments)
    ends = bases[1:] + [1 << 63]
    while bases and bases[0] < point_base and min(ends[0], point_base) <= start:
        bases, ends = bases[1:], ends[1:]
    if bases and bases[0] <= point_base:
        start = max(start, bases[0])
    log, end, tail = [], bases[0] if bases else start, []
    for base in bases:
        path, data = segments[base], read(segments[base])
        data = data[:point_position] if cuts and base == point_base else data
        try:
            index = path[:-4] + ".index"
            if path.endswith(".log") and os.path.exists(index) and os.path.getsize(index) > 0:
                check_index(index, base)
        except (Damaged, struct.error) as error:
            problem(index, error)
        synced = len(data) if base < point_base else point_position if base == point_base else 0
        if synced and (base != end or synced > len(data)):
            problem(path, f"{len(data)} bytes behind offset {end}, {synced} were synced")
        for _, batch in batches_in(path, data, 0, min(synced, len(data)), base, gaps_end, True):
            log.append(batch)
            end = batch.end
        if base < point_base:
            continue
        if base not in (end, point_base):
            break
        position = synced
        for position, batch in batches_in(path, data, synced, len(data), end, gaps_end, False):
            tail.append(batch)
            end, position = batch.end, position + len(batch.bytes)
        if position < len(data):
            break
    end = tail[-1].end if tail else max(point, start)
    for batch in sorted(journaled, key=lambda batch: batch.base):
        if batch.base < point or any(batch.bytes == other.bytes for other in tail):
            continue
        if batch.base < end:
            tail = [other for other in tail if other.end <= batch.base]
            end = tail[-1].end if tail else point
        if batch.base > end:
            problem(directory, f"offsets {end} to {batch.base - 1} were acknowledged, and are missing")
            break
        tail.append(batch)
        end = batch.end
    check_epochs(directory, epochs, point, log + tail)
    check_aborted(os.path.join(directory, "aborted"), start, point, log + tail)
    return start, log + tail

def check_epochs(directory, epochs, point, batches):
    """Leader epochs never go back, and before the recovery point they are those of the checkpoint."""
    last = 0
    for batch in batches:
        known = [epoch for first, epoch in epochs if first <= batch.base < point]
        if batch.leader_epoch < last or known and batch.leader_epoch != known[-1]:
            problem(directory, f"offset {batch.base}: leader epoch {batch.leader_epoch}")
        last = max(last, batch.leader_epoch)

def aborted_rows(data, point):
    """Marker -> (producer, first offset, last stable offset) of the rows before the recovery point that are whole and follow."""
    magic, version, _, crc, purged = struct.unpack_from("<8sHHIq", data)
    demand((magic, version, zlib.crc32(zeroed(data[:24], 12))) == (b"STRLABRT", 1, crc) and purged >= 0, "header")
    rows, last = {}, (purged - 1, 0)
    for at in range(24, len(data) - 35, 36):
        producer, first, marker, stable, crc = struct.unpack_from("<qqqqI", data, at)
        follows = marker > last[0] and stable >= last[1] and producer >= 0 and 0 <= first < marker and stable <= marker + 1
        if marker >= point or not follows or zlib.crc32(zeroed(data[at:at + 36], 32)) != crc:
            break
        rows[marker], last = (producer, first, stable), (marker, stable)
    return rows

def check_aborted(path, start, point, batches):
    """Each row is of an ABORT marker, and no transaction with records is left out before the last row."""
    told, open_transactions, markers = {}, {}, {}
    for batch in (batch for batch in batches if batch.producer >= 0 and batch.attributes & 16):
        if not batch.attributes & 32:
            batch.count > 0 and open_transactions.setdefault(batch.producer, batch.base)
            continue
        first = open_transactions.pop(batch.producer, None)
        if any(record["key"][4:8] == "0000" for record in batch.records()):
            markers[batch.base] = batch.producer
            if first is not None:
                told[batch.base] = (batch.producer, first, min(open_transactions.values(), default=batch.end))
    try:
        rows = aborted_rows(read(path), point) if os.path.exists(path) else {}
        for marker, (producer, _, _) in rows.items():
            demand(marker < start or markers.get(marker) == producer, f"no marker at {marker}")
        for marker in (marker for marker in told if marker <= max(rows, default=-1)):
            demand(marker in rows, f"no row for the marker at {marker}")
            demand(all(found <= least for found, least in zip(rows[marker][1:], told[marker][1:])), f"marker at {marker}: offsets")
    except (Damaged, struct.error) as error:
        problem(path, error)

def main(root):
    rows, journaled, shards = {}, {}, os.path.join(root, "shards")
    check_meta(*versioned(os.path.join(root, "meta"), b"STRLMETA", 2))
    body(os.path.join(root, "producer-ids"), b"STRLPIDS")
    check_settings(os.path.join(root, "settings"))
    known = topics(*versioned(os.path.join(root, "topics"), b"STRLTOPC", 3))
    for shard in sorted(os.listdir(shards)):
        for name in sorted(os.listdir(os.path.join(shards, shard))):
            path = os.path.join(shards, shard, name)
            if name == "checkpoint":
                for key, row in checkpoint(*versioned(path, b"STRLCHKP", 3)):
                    old = rows.get(key, row)
                    rows[key] = (max(old[0], row[0]),) + max(old, row, key=lambda row: (row[4], row[3], row[1]))[1:]
            elif re.fullmatch(r"journal-\d+", name):
                for key, batch in journal(path):
                    journaled.setdefault(key, []).append(batch)
    for name, (identity, partitions) in sorted(known.items()):
        for partition in partitions:
            key, directory = (identity, partition), os.path.join(root, f"{name}-{partition}")
            start, batches = log_of(directory, rows.get(key), journaled.get(key, []))
            for batch in batches:
                show(directory, {"topic": name, "partition": partition}, start, batch)
    sys.exit(1 if problems else 0)

def show(directory, place, start, batch):
    try:
        for record in batch.records():
            if record["offset"] >= start:
                print(json.dumps(place | record))
    except KeyError:
        batch.end > start and print(json.dumps(place | {"offset": batch.base, "last": batch.end - 1, "codec": batch.attributes & 7, "count": batch.count}))
    except (Damaged, IndexError, zlib.error) as error:
        problem(directory, f"batch {batch.base}: {error}")

if __name__ == "__main__":
    main(sys.argv[1])
