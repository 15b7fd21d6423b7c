"""kcat as talk.py wants it: its own options, its own exit code and words."""

import re
import sys
import time

sys.dont_write_bytecode = True
import os
import pathlib
import subprocess

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import talk
from talk import Refused, spec

# What librdkafka says, and Kafka's number for it.
WORDS = {"Topic authorization failed": 29, "Group authorization failed": 30, "Authentication failed": None, "SSL": None, "invalid_token": None}


def options():
    named = {"ssl.ca.location": spec["ca"], "security.protocol": "sasl_ssl" if spec.get("user") else "ssl"}
    if spec.get("certificate"):
        named |= {"ssl.certificate.location": spec["certificate"], "ssl.key.location": spec["key"]}
    if spec.get("user"):
        named |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": spec["user"], "sasl.password": spec["password"]}
    return ["-b", spec["bootstrap"], *(word for pair in named.items() for word in ("-X", "=".join(pair)))]


def command(*arguments):
    return ["kcat", *options(), *arguments]


def refusal(text):
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines:
        for words, code in WORDS.items():
            if words in line:
                return Refused(code, words, line)
    return Refused(None, "nothing", text)


def run(arguments, text):
    """kcat goes on trying where it is not let in: it is ended when it has said so."""
    process = subprocess.Popen(command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(text, timeout=spec["patience"])
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise refusal(err) from None
    if process.returncode or re.search("ERROR", err):
        raise refusal(err)
    return out


def produce():
    text = "".join(f"{number}\n" for number in range(spec["records"]))
    run(["-P", "-t", spec["topic"], "-m", str(spec["patience"])], text)
    return {"count": spec["records"]}


def member(count):
    """A member of the group, until it has so many records; it commits when it leaves."""
    process = subprocess.Popen(command("-X", "auto.offset.reset=earliest", "-u", "-c", str(count), "-G", spec["group"], spec["topic"]),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=spec["patience"])
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise refusal(err) from None
    found = [int(line) for line in out.splitlines()]
    if len(found) < count:
        raise refusal(err)
    return found


def consume():
    count = spec["records"]
    found = member(count)
    if found != list(range(count)):
        raise Refused(None, "order", f"{found}")
    # It cannot ask for what is committed: the next record that comes to the group says so.
    run(["-P", "-t", spec["topic"]], f"{count}\n")
    [following] = member(1)
    return {"count": count, "committed": following}


def hold():
    end, sent, found = time.monotonic() + spec["seconds"], 0, []
    reader = subprocess.Popen(command("-X", "auto.offset.reset=earliest", "-u", "-G", spec["group"], spec["topic"]), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True, bufsize=1)
    writer = subprocess.Popen(command("-P", "-t", spec["topic"], "-X", "linger.ms=5"), stdin=subprocess.PIPE, bufsize=0)
    # kcat takes its input by the kilobyte.
    while time.monotonic() < end:
        try:
            writer.stdin.write(b"%01023d\n" % sent)
        except BrokenPipeError:
            raise Refused(None, "ended", f"kcat -P has ended with {writer.wait()}") from None
        sent += 1
        time.sleep(talk.PAUSE_SECONDS)
    writer.stdin.close()
    if writer.wait(spec["patience"]):
        raise Refused(None, "writer", "kcat -P has failed")
    os.set_blocking(reader.stdout.fileno(), False)
    end, text = time.monotonic() + spec["patience"], ""
    while len(found) < sent and time.monotonic() < end:
        text += reader.stdout.read() or ""
        found = list(dict.fromkeys(int(line) for line in text.split("\n")[:-1]))
        time.sleep(0.1)
    reader.kill()
    if found != list(range(sent)):
        raise Refused(None, "order", f"{sent} were sent, and these came: {found[:100]}")
    return {"count": sent}


if spec["do"] in ("produce", "talk"):
    talk.attempt("produce", produce)
if spec["do"] in ("consume", "talk"):
    talk.attempt("consume", consume)
if spec["do"] == "hold":
    talk.attempt("hold", hold)
