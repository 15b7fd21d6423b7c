"""The calls of Kafka's tools that people make, in the order in which they are made: later ones find what earlier ones have left.

    call("topics", "--create --topic orders", quick=True, why="...")

The first word is the script's name without `kafka-` and `.sh`; the second is its arguments, as a shell splits them. Where a tool has
`--bootstrap-server`, it is given; another name for it is `at`. In arguments, files and standard input, {broker} is the broker's address,
{node} its id, {log:T-P} the directory of a partition, {dir} the directory that all of them are in, {work} a directory of the run.

What the same call says of two brokers is compared after everything that differs from run to run has been given a name. `why` says why it
may differ: a call with a `why` has to differ, and one without must not, but for the broker's own sentences.
"""

import collections
import dataclasses
import re
import typing


@dataclasses.dataclass
class Call:
    tool: str
    arguments: str
    stdin: str = ""
    files: dict = dataclasses.field(default_factory=dict)
    at: str | None = "--bootstrap-server"
    # What is shown of the output: a function of the text; None for all.
    only: typing.Callable | None = None
    # The whole of the time, in seconds, and the process is ended then, where a tool never ends by itself.
    ends: int | None = None
    # The process is ended when it has said this.
    said: str | None = None
    quick: bool = False
    why: str | None = None


calls = []

# Those for brokers with an authorizer, of which whoever asks is a super user.
authorized = []


def call(tool, arguments, **how):
    calls.append(Call(tool, arguments, **how))


def acls(arguments, **how):
    authorized.append(Call("acls", arguments, **how))


def without_numbers(text):
    return re.sub(r"-?\d[\d.,]*", "N", text)


def lines_with(*parts):
    return lambda text: "\n".join(line for line in text.splitlines() if any(part in line for part in parts))


def events(*names):
    """Of the verifiable tools: how often each event came."""
    def shown(text):
        counts = collections.Counter(re.findall(r'"name":"(\w+)"', text))
        return "\n".join(f"{name}: {counts[name]}" for name in names)
    return shown


INSYNC = "Kafka sets min.insync.replicas for all brokers by itself, for its eligible leader replicas"
DEFAULTS = "the default is shown behind the topic's own value here, by the broker's name for it"
FLUSH = "flush.messages is 1 here"
UNKNOWN = "a name that nobody knows is refused here, also where it is to go away"
LOGGERS = "the levels of single loggers cannot be told or changed here"
GROUP_SETTINGS = "groups have no settings of their own here"
METRICS = "what clients report is not collected here"
CONSUMER = "there are no groups of the consumer protocol here yet"
STREAMS = "there are no streams groups here"
FEATURES = "the features stand at level 0 here, but for transaction.version, and those that are about Kafka's own logs are missing"
LEVEL = "transaction.version stays at its highest here, where older clients go on as before, too"
METADATA = "the metadata of the cluster is no log with offsets and voters here"
INDEXES = "index files have a format of their own here"
APIS = "what is not served is not listed here"

# Topics and their settings.

call("topics", "--create --topic orders --partitions 3 --replication-factor 1", quick=True)
call("topics", "--create --topic orders")
call("topics", "--create --topic orders --if-not-exists")
call("topics", "--create --topic compacted --config cleanup.policy=compact --config segment.ms=60000")
call("topics", "--create --topic wide --partitions 4 --replication-factor 2")
call("topics", "--create --topic 'no such name!'")
call("topics", "--create --topic a.b")
call("topics", "--create --topic a_b")
call("topics", "--create --topic bad --config retention.ms=soon")
call("topics", "--create --topic placed --replica-assignment {node},{node}")
call("topics", "--list", quick=True)
call("topics", "--list --exclude-internal")
call("topics", "--describe --topic orders", why=INSYNC)
call("topics", "--describe", why=INSYNC)
call("topics", "--describe --topic nowhere", quick=True)
call("topics", "--describe --under-replicated-partitions")
call("topics", "--describe --unavailable-partitions")
call("topics", "--describe --at-min-isr-partitions --topic orders")
call("topics", "--describe --topics-with-overrides", why=INSYNC)
call("topics", "--alter --topic orders --partitions 4")
call("topics", "--alter --topic orders --partitions 2")
call("topics", "--delete --topic a.b")
call("topics", "--delete --topic nowhere")
call("topics", "--delete --topic nowhere --if-exists")

call("configs", "--describe --entity-type topics --entity-name compacted", why=DEFAULTS)
call("configs", "--describe --entity-type topics --entity-name orders --all", only=lambda text: "\n".join(
    line.split("sensitive=")[0] for line in text.splitlines()), why=FLUSH)
call("configs", "--describe --entity-type topics", why=DEFAULTS)
call("configs", "--alter --entity-type topics --entity-name orders --add-config retention.ms=3600000,cleanup.policy=[compact,delete]",
     quick=True)
call("configs", "--describe --entity-type topics --entity-name orders", why=DEFAULTS)
call("configs", "--alter --entity-type topics --entity-name orders --delete-config cleanup.policy")
call("configs", "--alter --entity-type topics --entity-name orders --delete-config never.set", why=UNKNOWN)
call("configs", "--alter --entity-type topics --entity-name orders --add-config retention.m=1")
call("configs", "--alter --entity-type topics --entity-name nowhere --add-config retention.ms=1")
call("configs", "--describe --entity-type brokers --entity-name {node}")
call("configs", "--describe --entity-type brokers --entity-default", why=INSYNC)
call("configs", "--alter --entity-type brokers --entity-default --add-config log.retention.bytes=1000000")
call("configs", "--describe --entity-type brokers --entity-default", why=INSYNC)
call("configs", "--alter --entity-type brokers --entity-default --delete-config log.retention.bytes")
call("configs", "--alter --entity-type brokers --entity-name 99 --add-config log.retention.bytes=1")
call("configs", "--describe --entity-type broker-loggers --entity-name {node}", why=LOGGERS)
call("configs", "--describe --entity-type users", quick=True)
call("configs", "--describe --entity-type users --entity-name alice")
call("configs", "--describe --entity-type clients")
call("configs", "--describe --entity-type ips")
call("configs", "--describe --entity-type clients --entity-name c1")
call("configs", "--describe --entity-type client-metrics")
call("configs", "--describe --entity-type groups")
call("configs", "--alter --entity-type users --entity-name alice --add-config producer_byte_rate=1024")
call("configs", "--alter --entity-type clients --entity-default --add-config consumer_byte_rate=2048,producer_byte_rate=1048576")
call("configs", "--describe --entity-type users --entity-name alice")
call("configs", "--describe --entity-type clients --entity-default")
call("configs", "--alter --entity-type clients --entity-default --delete-config consumer_byte_rate,producer_byte_rate")
call("configs", "--alter --entity-type users --entity-name alice --delete-config producer_byte_rate")
call("configs", "--alter --entity-type users --entity-name alice --add-config 'SCRAM-SHA-256=[password=secret]'")
call("configs", "--alter --entity-type groups --entity-name g1 --add-config consumer.session.timeout.ms=50000", why=GROUP_SETTINGS)
call("configs", "--alter --entity-type client-metrics --entity-name m1 --add-config interval.ms=1000", why=METRICS)

# Records.

call("topics", "--create --topic lines --partitions 1", quick=True)
call("console-producer", "--topic lines", stdin="one\ntwo\nthree\n", quick=True)
call("console-producer", "--topic lines --reader-property parse.key=true --reader-property key.separator=:",
     stdin="k1:four\nk2:five\n")
call("console-producer", "--topic lines --compression-codec zstd", stdin="six\n")
call("console-producer", "--topic lines --sync --request-required-acks 1", stdin="seven\n")
call("console-producer", "--topic made-by-producing", stdin="first\n")
call("console-producer", "--topic compacted", stdin="no key\n")
call("console-consumer", "--topic lines --from-beginning --max-messages 3", quick=True)
call("console-consumer", "--topic lines --from-beginning --timeout-ms 4000 --group readers")
call("console-consumer", "--topic lines --partition 0 --offset earliest --timeout-ms 2000", only=lines_with("Processed"))
call("console-consumer", "--topic lines --partition 9 --offset 0 --timeout-ms 2000")
call("console-consumer", "--topic lines --from-beginning --max-messages 2 --formatter-property print.key=true "
     "--formatter-property print.value=false --isolation-level read_committed", only=lines_with("Processed"))
call("console-consumer", "--topic __consumer_offsets --from-beginning --timeout-ms 3000 "
     "--formatter org.apache.kafka.tools.consumer.OffsetsMessageFormatter", only=lines_with("offset_commit"))
call("get-offsets", "--topic lines", quick=True)
call("get-offsets", "--topic lines --time earliest")
call("get-offsets", "--topic lines --time max-timestamp")
call("get-offsets", "--topic lines --time earliest-local")
call("get-offsets", "--topic lines --time latest-tiered")
call("get-offsets", "--topic lines --time earliest-pending-upload")
call("get-offsets", "--topic-partitions orders:0-2 --time earliest")
call("get-offsets", "--topic nowhere")
call("get-offsets", "--exclude-internal-topics --time earliest")
call("delete-records", "--offset-json-file {work}/delete.json", files={
    "delete.json": '{"version": 1, "partitions": [{"topic": "lines", "partition": 0, "offset": 2}]}'})
call("delete-records", "--offset-json-file {work}/delete.json", files={
    "delete.json": '{"version": 1, "partitions": [{"topic": "lines", "partition": 0, "offset": 1000}]}'})
call("delete-records", "--offset-json-file {work}/delete.json", files={
    "delete.json": '{"version": 1, "partitions": [{"topic": "nowhere", "partition": 0, "offset": 0}]}'})
call("dump-log", "--files {log:lines-0}/00000000000000000000.log --print-data-log", at=None, only=without_numbers)
call("dump-log", "--files {log:made-by-producing-0}/00000000000000000000.log --print-data-log", at=None)
call("dump-log", "--files {log:made-by-producing-0}/00000000000000000000.log --deep-iteration --verify-index-only", at=None)
call("dump-log", "--files {log:made-by-producing-0}/00000000000000000000.index --index-sanity-check", at=None, why=INDEXES)
call("log-dirs", "--describe --topic-list lines,nowhere", only=without_numbers)
call("log-dirs", "--describe --broker-list {node} --topic-list made-by-producing")
call("log-dirs", "--describe --broker-list 99")

# Groups.

call("consumer-groups", "--list", quick=True)
call("consumer-groups", "--list --state")
call("consumer-groups", "--list --type classic")
call("consumer-groups", "--list --type consumer")
call("consumer-groups", "--describe --group readers", quick=True)
call("consumer-groups", "--describe --group readers --members")
call("consumer-groups", "--describe --group readers --state --verbose")
call("consumer-groups", "--describe --group nobody")
call("consumer-groups", "--describe --all-groups --offsets")
call("consumer-groups", "--reset-offsets --group readers --topic lines:0 --to-earliest --dry-run")
call("consumer-groups", "--reset-offsets --group readers --topic lines:0 --to-earliest --execute")
call("consumer-groups", "--reset-offsets --group fresh --topic lines:1 --to-latest --execute")
call("consumer-groups", "--reset-offsets --group readers --topic lines --to-datetime 2020-01-01T00:00:00.000 --export --dry-run")
call("consumer-groups", "--reset-offsets --group readers --topic nowhere --to-earliest --execute")
call("consumer-groups", "--delete-offsets --group readers --topic lines")
call("consumer-groups", "--delete-offsets --group readers --topic nowhere")
call("consumer-groups", "--delete --group readers")
call("consumer-groups", "--delete --group nobody")
call("consumer-groups", "--validate-regex '^orders.*'", at=None)
call("groups", "--list")
call("groups", "--list --group-type classic")
call("groups", "--list --share")
call("groups", "--list --protocol consumer")
call("share-groups", "--list")
call("share-groups", "--describe --group nobody")
call("share-groups", "--reset-offsets --group s1 --topic lines --to-earliest --execute")
call("share-groups", "--delete --group nobody")
call("streams-groups", "--list")
call("streams-groups", "--describe --group nobody", why=STREAMS)
call("streams-groups", "--delete --group nobody")
call("console-share-consumer", "--topic lines --group s1 --timeout-ms 5000")
call("console-consumer", "--topic lines --group new --consumer-property group.protocol=consumer --from-beginning --timeout-ms 5000", why=CONSUMER)
call("streams-application-reset", "--application-id app --input-topics orders --force")
call("streams-application-reset", "--application-id app --input-topics nowhere --force")

# The cluster.

call("broker-api-versions", "", only=lambda text: text.split(" (id:")[0], why=APIS)
call("cluster", "cluster-id", quick=True)
call("cluster", "list-endpoints")
call("cluster", "list-endpoints --include-fenced-brokers")
call("cluster", "unregister --id 99")
call("features", "describe", why=FEATURES)
call("features", "describe", only=lambda text: lines_with("transaction.version")(text).split("Epoch")[0])
call("features", "upgrade --feature transaction.version=2")
call("features", "upgrade --feature transaction.version=2 --dry-run")
call("features", "upgrade --feature transaction.version=9")
call("features", "upgrade --feature transaction.version=1")
call("features", "downgrade --feature transaction.version=1", why=LEVEL)
call("features", "downgrade --feature transaction.version=1 --dry-run", why=LEVEL)
call("features", "downgrade --feature transaction.version=0", why=LEVEL)
call("features", "disable --feature transaction.version", why=LEVEL)
call("features", "upgrade --feature transaction.version=2")
call("features", "downgrade --feature nothing.version=0")
call("features", "disable --feature share.version")
call("features", "version-mapping", at=None)
call("features", "feature-dependencies --feature transaction.version=2", at=None)
call("metadata-quorum", "describe --status", why=METADATA)
call("metadata-quorum", "describe --replication", only=without_numbers)
call("metadata-quorum", "remove-controller --controller-id 9 --controller-directory-id AAAAAAAAAAAAAAAAAAAAAA", why=METADATA)
call("leader-election", "--election-type preferred --all-topic-partitions", quick=True)
call("leader-election", "--election-type preferred --topic orders --partition 0")
call("leader-election", "--election-type unclean --topic orders --partition 1")
call("leader-election", "--election-type preferred --topic nowhere --partition 0")
call("leader-election", "--election-type preferred --path-to-json-file {work}/elect.json", files={
    "elect.json": '{"partitions": [{"topic": "orders", "partition": 0}, {"topic": "orders", "partition": 1}]}'})
call("reassign-partitions", "--list")
MOVE = '{"version": 1, "partitions": [{"topic": "orders", "partition": 0, "replicas": [%s]}]}'
call("reassign-partitions", "--generate --topics-to-move-json-file {work}/topics.json --broker-list {node}", files={
    "topics.json": '{"version": 1, "topics": [{"topic": "orders"}]}'})
call("reassign-partitions", "--execute --reassignment-json-file {work}/here.json", files={"here.json": MOVE % "{node}"})
call("reassign-partitions", "--verify --reassignment-json-file {work}/here.json", files={"here.json": MOVE % "{node}"})
call("reassign-partitions", "--execute --reassignment-json-file {work}/there.json", files={"there.json": MOVE % "99"})
call("reassign-partitions", "--cancel --reassignment-json-file {work}/here.json", files={"here.json": MOVE % "{node}"})
call("reassign-partitions", "--execute --reassignment-json-file {work}/directory.json", files={
    "directory.json": '{"version": 1, "partitions": [{"topic": "orders", "partition": 0, "replicas": [{node}], "log_dirs": ["{dir}"]}]}'})
call("reassign-partitions", "--execute --reassignment-json-file {work}/elsewhere.json", files={
    "elsewhere.json": '{"version": 1, "partitions": [{"topic": "orders", "partition": 0, "replicas": [{node}], "log_dirs": ["/nowhere"]}]}'})

# Who may do what.

call("acls", "--list", quick=True)
call("acls", "--list --topic orders")
call("acls", "--add --allow-principal User:alice --operation Read --topic orders")
call("acls", "--remove --allow-principal User:alice --operation Read --topic orders --force")
call("delegation-tokens", "--describe --command-config {work}/empty", files={"empty": ""})
call("delegation-tokens", "--create --max-life-time-period -1 --command-config {work}/empty", files={"empty": ""})
call("delegation-tokens", "--renew --hmac aGVsbG8= --renew-time-period -1 --command-config {work}/empty", files={"empty": ""})
call("delegation-tokens", "--expire --hmac aGVsbG8= --expiry-time-period -1 --command-config {work}/empty", files={"empty": ""})
call("client-metrics", "--list", why=METRICS)
call("client-metrics", "--describe --name m1", why=METRICS)
call("client-metrics", "--alter --name m1 --interval 1000", why=METRICS)

# Transactions and producers.

call("transactions", "list")
call("transactions", "describe --transactional-id t1")
call("transactions", "describe-producers --topic lines --partition 0", only=without_numbers, quick=True)
call("transactions", "describe-producers --topic nowhere --partition 0")
call("transactions", "find-hanging --broker {node}")
call("transactions", "find-hanging --broker-id {node}")
call("transactions", "find-hanging")
call("transactions", "forceTerminateTransaction --transactional-id t1")
call("topics", "--create --topic open --partitions 1", quick=True)
# It is ended in its first transaction, which stays open.
call("producer-perf-test", "--topic open --num-records 100000 --record-size 10 --throughput 10 --transactional-id t1 "
     "--transaction-duration-ms 600000 --command-property transaction.timeout.ms=600000", said="records sent", only=lines_with(), quick=True)
call("console-producer", "--topic open", stdin="behind it\n")
call("console-consumer", "--topic open --from-beginning --isolation-level read_committed --timeout-ms 3000")
call("transactions", "list", only=without_numbers, quick=True)
call("transactions", "list --duration-filter 1", only=without_numbers)
call("transactions", "list --duration-filter 10000000", only=without_numbers)
call("transactions", "list --transactional-id-pattern ^t.*", only=without_numbers)
call("transactions", "list --transactional-id-pattern ^u.*", only=without_numbers)
call("transactions", "list --transactional-id-pattern *")
call("transactions", "describe --transactional-id t1", only=without_numbers)
call("transactions", "describe-producers --topic open --partition 0", only=without_numbers)
call("transactions", "describe-producers --topic open --partition 0 --broker-id {node}", only=without_numbers)
call("transactions", "describe-producers --topic open --partition 0 --broker-id 99", only=without_numbers)
call("transactions", "describe-producers --topic open --partition 9")
call("transactions", "find-hanging --topic open --max-transaction-timeout 0")
call("transactions", "find-hanging --partition 0")
call("transactions", "abort --topic open --partition 0")
call("transactions", "abort --topic open --partition 0 --producer-id 1")
call("transactions", "abort --topic open --partition 0 --producer-id 1 --producer-epoch 0")
call("transactions", "abort --topic open --partition 0 --start-offset 1")
call("transactions", "abort --topic nowhere --partition 0 --start-offset 0")
call("transactions", "abort --topic open --partition 0 --start-offset 0", quick=True)
call("transactions", "abort --topic open --partition 0 --start-offset 0")
call("transactions", "describe-producers --topic open --partition 0", only=without_numbers, quick=True)
call("console-consumer", "--topic open --from-beginning --isolation-level read_committed --timeout-ms 3000")
call("transactions", "abort --topic open --partition 0 --producer-id 123456 --producer-epoch 0 --coordinator-epoch 0")
call("transactions", "abort --topic open --partition 0 --producer-id 123457 --producer-epoch 3 --coordinator-epoch -1")
call("transactions", "abort --topic nowhere --partition 0 --producer-id 1 --producer-epoch 0 --coordinator-epoch 0")
call("transactions", "describe-producers --topic open --partition 0", only=without_numbers)
call("transactions", "force-terminate --transactional-id t1")
call("transactions", "describe --transactional-id t1", only=without_numbers)
call("dump-log", "--files {log:open-0}/00000000000000000000.log --print-data-log", at=None, only=lambda text: without_numbers(
    lines_with("endTxnMarker")(text)))
call("producer-perf-test", "--topic orders --num-records 2000 --record-size 100 --throughput -1", only=lambda text: without_numbers(lines_with("2000 records sent")(text)))
call("producer-perf-test", "--topic orders --num-records 100 --record-size 100 --throughput -1 --transaction-duration-ms 50",
     only=without_numbers)
call("consumer-perf-test", "--topic orders --num-records 1000 --group perf --hide-header", only=without_numbers)
call("share-consumer-perf-test", "--topic orders --num-records 10 --group s2 --timeout 5000", only=without_numbers)
call("verifiable-producer", "--topic verified --max-messages 500 --acks -1", only=events("producer_send_success", "tool_data"))
call("verifiable-consumer", "--topic verified --group-id v1 --max-messages 500 --reset-policy earliest --verbose",
     only=events("record_data", "shutdown_complete"))
call("e2e-latency", "--topic verified --num-records 50 --producer-acks all --record-size 64", only=without_numbers)
call("replica-verification", "--broker-list {broker} --topics-include orders --report-interval-ms 1000", at=None, ends=8,
     only=lambda text: without_numbers("\n".join(text.splitlines()[:1] + text.splitlines()[-1:])))

# The rules of who may do what, made and asked for in every way that the tool has.

acls("--list", quick=True)
acls("--add --allow-principal User:alice --operation Read --operation Describe --topic orders", quick=True)
acls("--add --allow-principal User:alice --operation Read --topic orders")
acls("--add --deny-principal User:bob --deny-host 10.0.0.1 --operation All --topic orders")
acls("--add --allow-principal User:* --operation Write --topic ord --resource-pattern-type prefixed")
acls("--add --allow-principal User:carol --producer --topic lines")
acls("--add --allow-principal User:carol --producer --topic lines --idempotent --transactional-id t1")
acls("--add --allow-principal User:carol --consumer --topic lines --group g1")
acls("--add --allow-principal User:dave --operation Alter --cluster")
acls("--add --allow-principal User:dave --operation Describe --delegation-token User:carol")
acls("--add --allow-principal User:dave --operation CreateTokens --user-principal User:carol")
acls("--add --allow-principal User:dave --operation Write --topic orders --topic lines --group *")
acls("--add --allow-principal nobody --operation Read --topic orders")
acls("--add --allow-principal User:dave --operation Alter --topic *")
acls("--add --allow-principal User:dave --operation ClusterAction --topic orders")
acls("--list", quick=True)
acls("--list --topic orders")
acls("--list --topic orders --resource-pattern-type match")
acls("--list --topic ord --resource-pattern-type any")
acls("--list --topic ord --resource-pattern-type prefixed")
acls("--list --group *")
acls("--list --cluster")
acls("--list --transactional-id t1")
acls("--list --principal User:carol")
acls("--list --principal User:alice --principal User:bob --topic orders")
acls("--list --topic nowhere")
acls("--remove --allow-principal User:alice --operation Read --topic orders --force", quick=True)
acls("--remove --topic ord --resource-pattern-type prefixed --force")
acls("--remove --producer --allow-principal User:carol --topic lines --force")
acls("--remove --topic orders --resource-pattern-type match --force")
acls("--remove --topic nowhere --force")
acls("--list", quick=True)
