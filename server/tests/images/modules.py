"""What the Kafka modules of testcontainers do with an image: the environment they set, the command they start, the file
they copy in, the line they wait for. Each is a function that starts the container and gives it back ready.

Read from their releases: Java 2.0.5, Go v0.40.0, Node 12.1.0, Python 4.15.0, Rust 0.15.0. `inner` is the port that the
module publishes, `outer` what it is outside.
"""

from container import Container

NEVER = "9223372036854775807"
RUNNING = r".*Transitioning from RECOVERY to RUNNING.*"
STARTER = "/tmp/testcontainers_start.sh"
CLUSTER = "4L6g3nShT-eMCtK--X86sw"


def loop(script, then=None):
    return f"while [ ! -f {script} ]; do sleep 0.1; done; {then or script}"


ONE_NODE = {
    "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
}
TRANSACTIONS = {"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1", "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1"}
OLD_MAP = "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
NEW_MAP = OLD_MAP + ",CONTROLLER:PLAINTEXT"


def java(image, outer, run, listener=None):
    """org.testcontainers.kafka: KafkaContainer (apache/kafka) and ConfluentKafkaContainer; a listener of withListener."""
    listeners = {"PLAINTEXT://0.0.0.0:9092", "BROKER://0.0.0.0:9093", "CONTROLLER://0.0.0.0:9094"}
    protocols = set(NEW_MAP.split(","))
    if listener:
        listeners.add(f"TC-0://{listener}")
        protocols.add("TC-0:PLAINTEXT")
    env = ONE_NODE | TRANSACTIONS | {
        "CLUSTER_ID": CLUSTER,
        "KAFKA_LISTENERS": ",".join(listeners),
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": ",".join(protocols),
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
        "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES": NEVER,
    }
    # An alias of the network is an address of the container's own.
    hosts = [f"127.0.0.3 {listener.split(':')[0]}"] if listener else []
    container = Container(image, env, command=["sh", "-c", loop(STARTER)], hosts=hosts)
    advertised = f"PLAINTEXT://localhost:{outer},BROKER://{container.hostname}:9093"
    if listener:
        advertised += f",TC-0://{listener}"
    script = f"#!/bin/bash\nexport KAFKA_ADVERTISED_LISTENERS={advertised}\n{run} \n"
    container.copy(STARTER, script, 0o777)
    container.wait_for(RUNNING)
    return container


def java_apache(image, outer):
    return java(image, outer, "/etc/kafka/docker/run")


def java_listener(image, outer):
    return java(image, outer, "/etc/kafka/docker/run", "kafka.test:19092")


def java_confluent(image, outer):
    return java(image, outer, "/etc/confluent/docker/run")


def java_deprecated(image, outer, kraft):
    """org.testcontainers.containers.KafkaContainer, which starts ZooKeeper beside, or not."""
    env = ONE_NODE | TRANSACTIONS | {
        "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": OLD_MAP,
        "KAFKA_BROKER_ID": "1",
        "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES": NEVER,
    }
    if kraft:
        env |= {
            "CLUSTER_ID": CLUSTER, "KAFKA_NODE_ID": "1", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": NEW_MAP,
            "KAFKA_LISTENERS": env["KAFKA_LISTENERS"] + ",CONTROLLER://0.0.0.0:9094",
            "KAFKA_PROCESS_ROLES": "broker,controller", "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        }
    else:
        env["KAFKA_ZOOKEEPER_CONNECT"] = "localhost:2181"
    container = Container(image, env, entrypoint=["sh"], command=["-c", loop(STARTER)])
    script = (f"#!/bin/bash\nexport KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:{outer},"
              f"BROKER://{container.hostname}:9092\necho '' > /etc/confluent/docker/ensure \n")
    if kraft:
        script += ("sed -i '/KAFKA_ZOOKEEPER_CONNECT/d' /etc/confluent/docker/configure\n"
                   f"echo 'kafka-storage format --ignore-formatted -t \"{CLUSTER}\" -c /etc/kafka/kafka.properties'"
                   " >> /etc/confluent/docker/configure\n")
    else:
        script += ("echo 'clientPort=2181' > /tmp/zookeeper.properties\n"
                   "echo 'dataDir=/var/lib/zookeeper/data' >> /tmp/zookeeper.properties\n"
                   "zookeeper-server-start /tmp/zookeeper.properties &\n")
    container.copy(STARTER, script + "/etc/confluent/docker/run \n", 0o777)
    container.wait_for(RUNNING if kraft else r".*\[KafkaServer id=\d+\] started.*")
    return container


def java_zookeeper(image, outer):
    return java_deprecated(image, outer, False)


def java_kraft(image, outer):
    return java_deprecated(image, outer, True)


def go(image, outer):
    """testcontainers-go/modules/kafka."""
    listeners = "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092,CONTROLLER://0.0.0.0:9094"
    env = ONE_NODE | TRANSACTIONS | {
        "KAFKA_LISTENERS": listeners,
        "KAFKA_REST_BOOTSTRAP_SERVERS": listeners,
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": NEW_MAP,
        "KAFKA_BROKER_ID": "1",
        "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES": NEVER,
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
        "CLUSTER_ID": CLUSTER,
    }
    starter = "/usr/sbin/testcontainers_start.sh"
    container = Container(image, env, entrypoint=["sh"], command=["-c", loop(starter, f"bash {starter}")])
    container.copy(starter, f"""#!/bin/bash
source /etc/confluent/docker/bash-config
export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:{outer},BROKER://{container.hostname}:9092
echo Starting Kafka KRaft mode
sed -i '/KAFKA_ZOOKEEPER_CONNECT/d' /etc/confluent/docker/configure
echo 'kafka-storage format --ignore-formatted -t "$(kafka-storage random-uuid)" -c /etc/kafka/kafka.properties' >> /etc/confluent/docker/configure
echo '' > /etc/confluent/docker/ensure
/etc/confluent/docker/configure
/etc/confluent/docker/launch""", 0o755)
    container.wait_for(RUNNING)
    return container


def node(image, outer, kraft, secure=None):
    """@testcontainers/kafka. `secure` has the port, user and key store of withSaslSslListener."""
    env = ONE_NODE | {
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": OLD_MAP, "KAFKA_BROKER_ID": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1", "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES": NEVER,
        "KAFKA_CONFLUENT_SUPPORT_METRICS_ENABLE": "false",
        "KAFKA_ADVERTISED_LISTENERS": "BROKER://localhost:9092",
        "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092",
    }
    if secure:
        env |= {
            "KAFKA_LISTENERS": f"SECURE://0.0.0.0:{secure['inner']}," + env["KAFKA_LISTENERS"],
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": OLD_MAP + ",SECURE:SASL_SSL",
            "KAFKA_SSL_PROTOCOL": "TLSv1.2",
            "KAFKA_SSL_KEYSTORE_LOCATION": "/etc/kafka/secrets/server.keystore.pfx",
            "KAFKA_SSL_KEYSTORE_PASSWORD": secure["passphrase"],
            "KAFKA_SSL_KEYSTORE_TYPE": "PKCS12",
            "KAFKA_SASL_ENABLED_MECHANISMS": "SCRAM-SHA-256",
            "KAFKA_LISTENER_NAME_SECURE_SCRAM-SHA-256_SASL_JAAS_CONFIG":
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        }
    if kraft:
        env |= {
            "CLUSTER_ID": CLUSTER, "KAFKA_NODE_ID": "1",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"] + ",CONTROLLER:PLAINTEXT",
            "KAFKA_LISTENERS": env["KAFKA_LISTENERS"] + ",CONTROLLER://0.0.0.0:9094",
            "KAFKA_PROCESS_ROLES": "broker,controller", "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        }
    else:
        env["KAFKA_ZOOKEEPER_CONNECT"] = "localhost:2181"
    waiting = "Waiting for script..."
    files = {"/etc/kafka/secrets/server.keystore.pfx": secure["keystore"]} if secure else {}
    container = Container(image, env, entrypoint=["sh"], command=["-c", f"echo '{waiting}'; {loop(STARTER)}"], files=files)
    container.wait_for(r"^Waiting for script\.\.\.$")
    advertised = f"BROKER://{container.hostname}:9092,PLAINTEXT://localhost:{outer}"
    if secure:
        advertised += f",SECURE://localhost:{secure['outer']}"
    script = f"#!/bin/bash\nexport KAFKA_ADVERTISED_LISTENERS={advertised}\n"
    if not kraft:
        script += ("echo '' > /etc/confluent/docker/ensure \n"
                   "echo 'clientPort=2181' > zookeeper.properties\n"
                   "echo 'dataDir=/var/lib/zookeeper/data' >> zookeeper.properties\n"
                   "zookeeper-server-start zookeeper.properties &\n")
    elif secure:
        script += ("echo 'kafka-storage format --ignore-formatted "
                   f"-t \"{CLUSTER}\" -c /etc/kafka/kafka.properties --add-scram "
                   f"\"SCRAM-SHA-256=[name={secure['name']},password={secure['password']}]\"'"
                   " >> /etc/confluent/docker/configure\n")
    container.copy(STARTER, script + "/etc/confluent/docker/run \n", 0o777)
    # It waits for ports, by whichever of these does not fail in the container.
    for port in (9093, *([secure["inner"]] if secure else [])):
        checks = [f"cat /proc/net/tcp* | awk '{{print $2}}' | grep -i :{port:04x}", f"nc -vz -w 1 localhost {port}"]
        container.until(lambda: any(container.execute("/bin/sh", "-c", check).returncode == 0 for check in checks))
    return container


def node_kraft(image, outer):
    return node(image, outer, True)


def node_zookeeper(image, outer):
    return node(image, outer, False)


def python(image, outer, kraft):
    """testcontainers.community.kafka."""
    env = ONE_NODE | {
        "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": OLD_MAP, "KAFKA_BROKER_ID": "1",
        "KAFKA_LOG_FLUSH_INTERVAL_MESSAGES": "10000000",
    }
    if kraft:
        cluster = "MkU3OEVBNTcwNTJENDM2Qk"
        env |= {
            "CLUSTER_ID": cluster, "KAFKA_NODE_ID": "1", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": NEW_MAP,
            "KAFKA_LISTENERS": env["KAFKA_LISTENERS"] + ",CONTROLLER://0.0.0.0:9094",
            "KAFKA_PROCESS_ROLES": "broker,controller", "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        }
        boot = ["sed -i '/KAFKA_ZOOKEEPER_CONNECT/d' /etc/confluent/docker/configure",
                f"echo 'kafka-storage format --ignore-formatted -t {cluster} -c /etc/kafka/kafka.properties'"
                " >> /etc/confluent/docker/configure"]
    else:
        boot = ["echo 'clientPort=2181' > zookeeper.properties",
                "echo 'dataDir=/var/lib/zookeeper/data' >> zookeeper.properties",
                "echo 'dataLogDir=/var/lib/zookeeper/log' >> zookeeper.properties",
                "zookeeper-server-start zookeeper.properties &",
                "export KAFKA_ZOOKEEPER_CONNECT='localhost:2181'"]
    starter = "/tc-start.sh"
    container = Container(image, env, command=["sh", "-c", loop(starter, f"sh {starter}")])
    container.copy(starter, "\n".join([
        "#!/bin/bash", "", *(" " * 20 + line for line in boot), "",
        f"export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:{outer},BROKER://$(hostname -i):9092",
        ". /etc/confluent/docker/bash-config",
        "/etc/confluent/docker/configure",
        "/etc/confluent/docker/launch"]), 0o644)
    container.wait_for(r".*Kafka Server started.*" if kraft else r".*\[KafkaServer id=\d+\] started.*")
    return container


def python_kraft(image, outer):
    return python(image, outer, True)


def python_zookeeper(image, outer):
    return python(image, outer, False)


def rust(image, outer):
    """testcontainers-modules: kafka::apache::Kafka, which writes the script by a command in the container."""
    env = {
        "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9092,BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094",
        "CLUSTER_ID": "5L6g3nShT-eMCtK--X86sw",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": NEW_MAP,
        "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
        "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://localhost:9092,BROKER://localhost:9092",
        "KAFKA_BROKER_ID": "1",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
    }
    starter = "/opt/kafka/testcontainers_start.sh"
    command = f"while [ ! -f {starter}  ]; do sleep 0.1; done; chmod 755 {starter} && {starter}"
    container = Container(image, env, entrypoint=["bash"], command=["-c", command])
    script = (f"#!/usr/bin/env bash\nexport KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:{outer},BROKER://localhost:9093\n"
              "/etc/kafka/docker/run \n")
    container.until(lambda: container.execute("sh", "-c", f"echo '{script}' > {starter}").returncode == 0)
    container.wait_for(r"Kafka Server started", streams=["stdout"])
    return container


# The name, how it is started, the port that it publishes, the listener inside, the id of the cluster.
MODULES = [
    ("java-apache", java_apache, 9092, 9093, CLUSTER),
    ("java-listener", java_listener, 9092, 9093, CLUSTER),
    ("java-confluent", java_confluent, 9092, 9093, CLUSTER),
    ("java-deprecated", java_zookeeper, 9093, 9092, None),
    ("java-deprecated-kraft", java_kraft, 9093, 9092, CLUSTER),
    ("go", go, 9093, 9092, CLUSTER),
    ("node-zookeeper", node_zookeeper, 9093, 9092, None),
    ("node-kraft", node_kraft, 9093, 9092, CLUSTER),
    ("python-zookeeper", python_zookeeper, 9093, 9092, None),
    ("python-kraft", python_kraft, 9093, 9092, "MkU3OEVBNTcwNTJENDM2Qg"),
    ("rust", rust, 9092, 9093, "5L6g3nShT-eMCtK--X86sw"),
]
