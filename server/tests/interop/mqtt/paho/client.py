"""paho-mqtt under a broker that is killed: client.py PORT COUNT. Kills come when a line of it says so.

One client publishes COUNT messages of QoS 2 and COUNT of QoS 1, in MQTT 5.0; another, with a session that is kept,
reads them in QoS 2. Both connect again by themselves, the writer in an order of its own. Every message arrives, those of
QoS 2 once; the last line is the order in which they came.
"""

import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])
PATIENCE = 60


def client(name):
    made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
    made.reconnect_delay_set(1, 1)
    return made


def kept():
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    return properties


def main():
    heard, subscribed, whole = {"one": [], "two": []}, threading.Event(), threading.Event()
    reader, writer = client("reader"), client("writer")

    def on_connect(_client, _data, flags, reason, _properties):
        assert not reason.is_failure, reason
        if not flags.session_present:
            reader.subscribe("fleet/+/+", qos=2)

    def on_message(_client, _data, message):
        heard[message.topic.rsplit("/", 1)[1]].append(int(message.payload))
        if all(len(set(numbers)) == COUNT for numbers in heard.values()):
            whole.set()

    reader.on_connect, reader.on_message = on_connect, on_message
    reader.on_subscribe = lambda *_: subscribed.set()
    reader.connect("127.0.0.1", PORT, keepalive=5, clean_start=False, properties=kept())
    reader.loop_start()
    assert subscribed.wait(PATIENCE), "no SUBACK"
    acknowledged, mids = threading.Semaphore(0), []

    def on_publish(_client, _data, mid, _reason, _properties):
        mids.append(mid)
        if len(mids) == 2 * COUNT:
            acknowledged.release()

    writer.on_publish = on_publish
    writer.connect("127.0.0.1", PORT, keepalive=5, clean_start=False, properties=kept())
    writer.loop_start()
    for number in range(COUNT):
        # What it is given while it is not connected it sends at once then, however much the broker takes.
        while not writer.is_connected():
            time.sleep(0.01)
        writer.publish("fleet/7/two", str(number), qos=2)
        writer.publish("fleet/7/one", str(number), qos=1)
        if number in (COUNT // 3, 2 * COUNT // 3):
            print("kill", flush=True)
        time.sleep(0.005)
    assert whole.wait(PATIENCE), f"{len(set(heard['one']))} and {len(set(heard['two']))} of {COUNT} have come"
    assert sorted(heard["two"]) == list(range(COUNT)), "QoS 2: each once"
    assert acknowledged.acquire(timeout=PATIENCE), "a message is not acknowledged"
    reader.disconnect()
    writer.disconnect()
    print(f"{COUNT} of QoS 2 once; {COUNT} of QoS 1, {len(heard['one']) - COUNT} of them again")
    print(*heard["two"], flush=True)


main()
