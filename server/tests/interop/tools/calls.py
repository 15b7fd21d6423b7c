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
    # The process stays under this name when it has said that, for `settles` seconds more and then until `end` of the name.
    stays: str | None = None
    settles: float = 1
    quick: bool = False
    why: str | None = None
    # With the tools of this version alone, where it is not with all.
    differs_in: str | None = None


calls = []

# Those about groups whose broker says who reads what: of consumers (KIP-848), share groups (KIP-932), streams groups (KIP-1071).
groups = []

# Those for brokers with an authorizer, of which whoever asks is a super user.
authorized = []


def call(tool, arguments, **how):
    calls.append(Call(tool, arguments, **how))


def group(tool, arguments, **how):
    groups.append(Call(tool, arguments, **how))


def end(name):
    groups.append(Call("end", name, at=None))


def acls(arguments, **how):
    authorized.append(Call("acls", arguments, **how))


def without_numbers(text):
    return re.sub(r"-?\d[\d.,]*", "N", text)


def without_epochs(text):
    """The epoch of an offset is there when the application has read the partition since its last commit: a matter of time."""
    return re.sub(r"(?m)^(app1\s+\S+\s+\d+\s+\d+\s+)(?:-|0)\s", r"\1E ", text)


def with_sorted_names(text):
    """The tool has the groups in a set, and names them in any order."""
    return re.sub(r"\(('[^)]*)\)", lambda names: "(" + ", ".join(sorted(names[1].split(", "))) + ")", text)


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
METRICS = "what clients report is not collected here"
FEATURES = "the features that are about Kafka's own logs and records between its brokers are missing"
DEAD_LETTERS = "dead letter queues of share groups (KIP-1191) came with Kafka 4.4, and are level 2 of share.version"
LEVEL = "features stay at their highest here, where older clients go on as before, too"
SETTINGS_OF_4_4 = "settings of groups that came with Kafka 4.4 are known here, and those without an effect say so in their documentation"
START = "where a share group begins is stored before it is given anything, and moves on with what is done; Kafka's start follows later, with the same lag"
EPOCH = "a member of a share group has its partitions with its first answer here, in Kafka with its second, an epoch later"
ASSIGNOR = "the name of the assignor is in the answer since Kafka 4.4, and the broker beside is 4.3.1"
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
call("configs", "--alter --entity-type groups --entity-name g1 --add-config consumer.session.timeout.ms=50000")
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
call("streams-groups", "--describe --group nobody")
call("streams-groups", "--delete --group nobody")
call("console-share-consumer", "--topic lines --group s1 --timeout-ms 5000")
call("console-consumer", "--topic lines --group new --consumer-property group.protocol=consumer --from-beginning --timeout-ms 5000")
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

# Two consumers of KIP-848: seen while they are there, and when they are gone.

TWO = "a:1\na:2\na:3\na:4\n"
KEYED = "--reader-property parse.key=true --reader-property key.separator=:"
group("topics", "--create --topic two --partitions 2")
group("topics", "--create --topic other --partitions 1")
group("console-producer", f"--topic two {KEYED}", stdin=TWO)
READER = "verifiable-consumer", "--topic two --group-id c1 --group-protocol consumer --reset-policy earliest --verbose"
group(*READER, stays="one", said="offsets_committed")
group("consumer-groups", "--list")
group("consumer-groups", "--list --type consumer")
group("consumer-groups", "--list --state")
group("consumer-groups", "--list --state Stable --type consumer")
group("consumer-groups", "--list --state Reconciling")
group("consumer-groups", "--list --state NotReady")
group("consumer-groups", "--list --type nonsense")
group("groups", "--list")
group("groups", "--list --consumer")
group("groups", "--list --group-type consumer --protocol consumer")
group("groups", "--list --streams")
DESCRIBED = ("", " --offsets", " --offsets --verbose", " --members", " --members --verbose", " --state", " --state --verbose", " --timeout 10000")
for how in DESCRIBED:
    group("consumer-groups", f"--describe --group c1{how}")
# Three heartbeats of 5 s: one gives a partition up, the next says so, and the other member gets it.
group(*READER, stays="two", said="partitions_assigned", settles=16)
for how in DESCRIBED:
    group("consumer-groups", f"--describe --group c1{how}")
group("consumer-groups", "--describe --all-groups --state")
group("consumer-groups", "--describe --group c1 --group nobody --state")
group("consumer-groups", "--describe --group c1 --members --state")
group("consumer-groups", "--reset-offsets --group c1 --all-topics --to-earliest --execute")
group("consumer-groups", "--reset-offsets --group c1 --topic two --to-earliest --dry-run")
group("consumer-groups", "--delete-offsets --group c1 --topic two")
group("consumer-groups", "--delete-offsets --group c1 --topic other")
group("consumer-groups", "--delete --group c1")
group("share-groups", "--describe --group c1")
group("share-groups", "--delete --group c1")
group("streams-groups", "--describe --group c1")
group("streams-groups", "--delete --group c1")
end("one")
end("two")
for how in DESCRIBED:
    group("consumer-groups", f"--describe --group c1{how}")
group("consumer-groups", "--list --state Empty")
for how in ("--to-earliest", "--to-latest", "--to-current", "--to-offset 1", "--to-offset 100", "--shift-by 2", "--shift-by -100",
            "--by-duration P1D", "--to-datetime 2020-01-01T00:00:00.000", "--to-datetime 2090-01-01T00:00:00.000", "--to-datetime nonsense",
            "--to-earliest --to-latest"):
    group("consumer-groups", f"--reset-offsets --group c1 --topic two {how} --execute")
group("consumer-groups", "--reset-offsets --group c1 --topic two --to-earliest --dry-run --execute")
group("consumer-groups", "--reset-offsets --group c1 --topic two --to-earliest")
group("consumer-groups", "--reset-offsets --group c1 --topic two:0 --topic other --to-offset 3 --execute")
group("consumer-groups", "--reset-offsets --group c1 --topic two:9 --to-earliest --execute")
group("consumer-groups", "--reset-offsets --group c1 --all-topics --shift-by -1 --export --dry-run")
group("consumer-groups", "--reset-offsets --group c1 --from-file {work}/reset.csv --execute", files={"reset.csv": "two,0,2\nother,0,0\n"})
group("consumer-groups", "--reset-offsets --all-groups --from-file {work}/all.csv --execute", files={"all.csv": "c1,two,0,1\nmade,two,1,0\n"})
group("consumer-groups", "--reset-offsets --group c1 --from-file {work}/wrong.csv --dry-run", files={"wrong.csv": "two;0;2\n"})
group("consumer-groups", "--reset-offsets --all-groups --all-topics --to-latest --dry-run", only=without_numbers)
group("consumer-groups", "--describe --group c1")
group("consumer-groups", "--delete-offsets --group c1 --topic two:0 --topic two:9")
group("consumer-groups", "--delete-offsets --group c1 --topic two:0")
group("consumer-groups", "--delete-offsets --group c1 --topic nowhere")
group("consumer-groups", "--delete --group c1 --group nobody")
group("consumer-groups", "--delete --group c1")
group("consumer-groups", "--delete --all-groups", only=with_sorted_names)
group("consumer-groups", "--list")

# A static member, and one that subscribes by a regular expression.

group("verifiable-consumer", "--topic two --group-id c2 --group-protocol consumer --group-instance-id fixed --reset-policy earliest",
      stays="static", said="offsets_committed")
group("console-consumer", "--include tw. --group c3 --consumer-property group.protocol=consumer --from-beginning", stays="pattern", said="4",
      settles=6)
for name in ("c2", "c3"):
    # When an expression is looked up first, and how many epochs that takes, is a matter of time.
    group("consumer-groups", f"--describe --group {name} --members --verbose", only=without_numbers if name == "c3" else None)
    group("consumer-groups", f"--describe --group {name} --offsets")
group("consumer-groups", "--delete --all-groups", only=with_sorted_names)
end("static")
end("pattern")
group("consumer-groups", "--describe --group c2 --members --verbose")
group("consumer-groups", "--delete --group c3")

# Settings of groups.

SETTINGS = ("consumer.session.timeout.ms=50000", "consumer.session.timeout.ms=1", "consumer.heartbeat.interval.ms=6000",
            "share.auto.offset.reset=earliest", "share.auto.offset.reset=nonsense", "share.record.lock.duration.ms=40000",
            "share.record.lock.duration.ms=1", "share.isolation.level=read_committed", "share.delivery.count.limit=100",
            "streams.num.standby.replicas=1", "streams.num.standby.replicas=100", "streams.session.timeout.ms=50000",
            "consumer.assignment.interval.ms=100", "nothing.known=1")
for setting in SETTINGS:
    group("configs", f"--alter --entity-type groups --entity-name g1 --add-config {setting}")
group("configs", "--describe --entity-type groups --entity-name g1")
group("configs", "--describe --entity-type groups --entity-name g1 --all", why=SETTINGS_OF_4_4)
group("configs", "--describe --entity-type groups --entity-name never-set")
group("configs", "--describe --entity-type groups")
group("configs", "--describe --group g1")
group("configs", "--alter --group g1 --delete-config consumer.session.timeout.ms,share.auto.offset.reset")
group("configs", "--alter --group g1 --delete-config nothing.known", why=UNKNOWN)
group("configs", "--describe --group g1")
group("configs", "--alter --entity-type groups --entity-default --add-config consumer.session.timeout.ms=50000")
group("configs", "--alter --entity-type groups --entity-name g1 --delete-config share.record.lock.duration.ms,share.isolation.level,"
      "consumer.heartbeat.interval.ms,streams.num.standby.replicas,streams.session.timeout.ms,consumer.assignment.interval.ms")
group("configs", "--describe --entity-type groups")

# A share group.

group("share-groups", "--reset-offsets --group s0 --topic two --to-earliest --execute")
group("share-groups", "--describe --group s0")
group("share-groups", "--delete --group s0")
group("configs", "--alter --group s1 --add-config share.auto.offset.reset=earliest")
group("console-share-consumer", "--topic two --group s1", stays="share", said="4", settles=3)
group("share-groups", "--list")
group("share-groups", "--list --state")
group("share-groups", "--list --state Stable")
group("share-groups", "--list --state Empty")
group("share-groups", "--list --state Reconciling")
group("groups", "--list --share")
group("groups", "--list --group-type share --protocol share")
SHARED = ("", " --offsets", " --offsets --verbose", " --members", " --members --verbose", " --state", " --state --verbose")
for how in SHARED:
    of_state = {" --members --verbose": EPOCH, " --state --verbose": EPOCH, " --members": None, " --state": None}
    group("share-groups", f"--describe --group s1{how}", why=of_state.get(how, START))
group("share-groups", "--describe --all-groups", why=START)
group("share-groups", "--reset-offsets --group s1 --topic two --to-earliest --execute")
group("share-groups", "--reset-offsets --group s1 --topic two --to-earliest --dry-run")
group("share-groups", "--delete-offsets --group s1 --topic two")
group("share-groups", "--delete --group s1")
group("consumer-groups", "--describe --group s1")
group("consumer-groups", "--delete --group s1")
group("consumer-groups", "--reset-offsets --group s1 --topic two --to-earliest --execute")
group("streams-groups", "--describe --group s1")
end("share")
for how in SHARED:
    of_state = {" --members --verbose": None, " --state --verbose": EPOCH, " --members": None, " --state": None}
    group("share-groups", f"--describe --group s1{how}", why=of_state.get(how, START))
for how in ("--to-earliest", "--to-latest", "--to-datetime 2020-01-01T00:00:00.000", "--to-datetime nonsense", "--to-earliest --to-latest", "",
            "--to-offset 1"):
    group("share-groups", f"--reset-offsets --group s1 --topic two {how} --execute")
group("share-groups", "--reset-offsets --group s1 --all-topics --to-earliest --execute")
group("share-groups", "--reset-offsets --group s1 --topic two:0 --to-latest --dry-run")
group("share-groups", "--reset-offsets --group s1 --topic two:9 --to-latest --execute")
group("share-groups", "--reset-offsets --group s1 --topic nowhere --to-latest --execute")
group("share-groups", "--reset-offsets --group s1 --topic two --to-latest")
group("share-groups", "--describe --group s1 --offsets")
group("console-share-consumer", "--topic two --group s1 --max-messages 2 --release --timeout-ms 20000")
group("console-share-consumer", "--topic two --group s1 --max-messages 2 --reject --timeout-ms 20000")
group("console-share-consumer", "--topic two --group s1 --timeout-ms 15000")
group("console-share-consumer", "--topic two --group s1 --timeout-ms 10000 --formatter-property print.partition=true "
      "--formatter-property print.delivery=true")
group("share-groups", "--describe --group s1 --offsets", why=START)
group("share-groups", "--delete-offsets --group s1 --topic nowhere")
group("share-groups", "--delete-offsets --group s1 --topic other")
group("share-groups", "--delete-offsets --group s1 --topic two")
group("share-groups", "--delete-offsets --group s1 --topic two")
group("share-groups", "--delete-offsets --group nobody --topic two")
group("share-groups", "--describe --group s1")
group("share-groups", "--delete --group s1 --group nobody")
group("share-groups", "--delete --group s1")
group("share-groups", "--delete --all-groups")
group("share-groups", "--list")

# A streams group.

group("topics", "--create --topic lines-in --partitions 2")
group("console-producer", f"--topic lines-in {KEYED}", stdin=TWO)
APPLICATION = "streams-application", "app1 lines-in"
group(*APPLICATION, stays="application", said="RUNNING", settles=8)
group("topics", "--list --exclude-internal")
group("topics", "--describe --topic app1-counts-changelog", why=DEFAULTS)
group("streams-groups", "--list")
group("streams-groups", "--list --state")
group("streams-groups", "--list --state Stable")
group("streams-groups", "--list --state NotReady,Empty")
group("streams-groups", "--list --state nonsense")
group("groups", "--list --streams")
group("groups", "--list --group-type streams")
for how in SHARED:
    group("streams-groups", f"--describe --group app1{how}", why=ASSIGNOR if "--state" in how else None, differs_in="4.4.0",
          only=without_epochs)
group("streams-groups", "--describe --all-groups --state", why=ASSIGNOR, differs_in="4.4.0")
group("streams-groups", "--reset-offsets --group app1 --all-input-topics --to-earliest --execute")
group("streams-groups", "--delete-offsets --group app1 --input-topic lines-in")
group("streams-groups", "--delete --group app1")
group("consumer-groups", "--describe --group app1")
group("consumer-groups", "--delete --group app1")
group("share-groups", "--describe --group app1")
end("application")
for how in SHARED:
    group("streams-groups", f"--describe --group app1{how}", why=ASSIGNOR if "--state" in how else None, differs_in="4.4.0",
          only=without_epochs)
for how in ("--to-earliest", "--to-latest", "--to-current", "--to-offset 1", "--to-offset 100", "--shift-by 2", "--shift-by -100",
            "--by-duration P1D", "--to-datetime 2020-01-01T00:00:00.000", "--to-earliest --to-latest"):
    group("streams-groups", f"--reset-offsets --group app1 --input-topic lines-in {how} --execute")
group("streams-groups", "--reset-offsets --group app1 --all-input-topics --to-earliest --dry-run")
group("streams-groups", "--reset-offsets --group app1 --all-input-topics --to-earliest")
group("streams-groups", "--reset-offsets --group app1 --input-topic lines-in:0 --to-latest --execute")
group("streams-groups", "--reset-offsets --group app1 --input-topic lines-in:9 --to-latest --execute")
group("streams-groups", "--reset-offsets --group app1 --input-topic nowhere --to-latest --execute")
group("streams-groups", "--reset-offsets --group app1 --from-file {work}/streams.csv --execute", files={"streams.csv": "lines-in,0,1\n"})
group("streams-groups", "--reset-offsets --group app1 --all-input-topics --to-earliest --export --dry-run")
group("streams-groups", "--reset-offsets --group app1 --all-input-topics --to-earliest --delete-all-internal-topics --execute")
group("topics", "--list --exclude-internal")
group("streams-groups", "--reset-offsets --group nobody --all-input-topics --to-earliest --execute")
group("streams-groups", "--delete-offsets --group app1 --input-topic lines-in:9")
group("streams-groups", "--delete-offsets --group app1 --input-topic nowhere")
group("streams-groups", "--delete-offsets --group app1 --input-topic lines-in")
group("streams-groups", "--delete-offsets --group app1 --all-input-topics")
group("streams-groups", "--describe --group app1")
group("streams-groups", "--delete --group app1 --group nobody")
group("streams-groups", "--delete --group app1 --delete-all-internal-topics")
group("streams-groups", "--delete --group app1")
group("streams-groups", "--delete --all-groups")
group("streams-groups", "--list")

# What brokers can be told of these kinds of groups.

for feature in ("group.version", "share.version", "streams.version"):
    newer = DEAD_LETTERS if feature == "share.version" else None
    group("features", "describe", only=lambda text, feature=feature: lines_with(feature)(text).split("Epoch")[0], why=newer)
    group("features", f"upgrade --feature {feature}=1", why=newer)
    group("features", f"upgrade --feature {feature}=1 --dry-run", why=newer)
    group("features", f"upgrade --feature {feature}=9")
    group("features", f"downgrade --feature {feature}=0 --dry-run", why=LEVEL)
    group("features", f"feature-dependencies --feature {feature}=1", at=None)
# The last one: Kafka has no share groups after it.
group("features", "disable --feature share.version", why=LEVEL)
