#!/usr/bin/env bash
# Apache Kafka as the peer: fetched from Maven Central, one KRaft node, loopback only, with the
# JVM settings of Kafka's own start scripts. Everything not set here is Kafka's default.
#
#   kafka.sh fetch                                          download the jars once; prints their directory
#   kafka.sh start --data DIR [--port N] [--override K=V]   start in the background; prints "PID HOST:PORT"
#   kafka.sh run   --data DIR --port N   [--override K=V]   the same in the foreground: this process becomes the broker
#   kafka.sh stop  --data DIR                               stop what `start` started there
#   kafka.sh tool  NAME [ARG...]                            one of Kafka's tools, e.g. ProducerPerformance, GetOffsetShell
#
# KAFKA_PEER_DIR moves the jars (default target/peers/kafka-<version>); KAFKA_HEAP_OPTS changes the heap.
# `run` keeps its data across starts, so it also serves as the start command of kill9.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
jars=$(realpath -m "${KAFKA_PEER_DIR:-${CARGO_TARGET_DIR:-$root/target}/peers/kafka-$version}")

ready_seconds=60
stop_seconds=30
# kafka-run-class.sh, KAFKA_JVM_PERFORMANCE_OPTS.
jvm=(-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35
     -XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true)

fail() { echo "kafka.sh: $*" >&2; exit 1; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The stamp is written last: a download that was interrupted is done again.
fetch() {
  cmp -s "$here/pom.xml" "$jars/fetched" && return
  rm -rf "$jars"
  mkdir -p "$jars"
  mvn -q -B -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies \
    -DoutputDirectory="$jars" -DincludeScope=runtime >&2
  cp "$here/pom.xml" "$jars/fetched"
}

java_arguments() {
  arguments=("${jvm[@]}" "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$jars/*")
}

parse() {
  data= port=
  overrides=()
  while (($#)); do
    (($# > 1)) || fail "$1 needs a value"
    case $1 in
      --data) mkdir -p "$2"; data=$(cd "$2" && pwd) ;;
      --port) port=$2 ;;
      --override) overrides+=("$2") ;;
      *) fail "unknown option $1" ;;
    esac
    shift 2
  done
  [[ $data ]] || fail "--data DIR is needed"
}

# A static quorum of one, so that both ports may differ between two starts on the same data.
configure() {
  local controller
  controller=$(free_port)
  {
    cat <<EOF
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$data/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
EOF
    printf '%s\n' "${overrides[@]}"
  } >"$data/server.properties"
}

# Becomes the broker: whoever started this script holds the broker's pid.
run() {
  [[ $port ]] || fail "run needs --port N"
  fetch
  configure
  java_arguments
  if [[ ! -f $data/logs/meta.properties ]]; then
    java "${arguments[@]}" -Dkafka.log.level=warn kafka.tools.StorageTool format \
      -t "$(head -c 16 /dev/urandom | base64 | tr '+/' 'pq' | tr -d =)" -c "$data/server.properties" >&2
  fi
  # shellcheck disable=SC2086
  exec java ${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G} "${arguments[@]}" kafka.Kafka "$data/server.properties"
}

start() {
  port=${port:-$(free_port)}
  fetch
  run >"$data/server.out" 2>&1 </dev/null &
  local pid=$! deadline=$((SECONDS + ready_seconds))
  echo "$pid" >"$data/kafka.pid"
  until grep -q 'Kafka Server started' "$data/server.out" && answers "$port"; do
    kill -0 "$pid" 2>/dev/null || fail "the broker ended; see $data/server.out"
    ((SECONDS < deadline)) || { kill -9 "$pid"; fail "no answer in $ready_seconds s; see $data/server.out"; }
    sleep 0.2
  done
  echo "$pid 127.0.0.1:$port"
}

stop() {
  local pid deadline=$((SECONDS + stop_seconds))
  pid=$(cat "$data/kafka.pid") || fail "nothing was started in $data"
  rm "$data/kafka.pid"
  # The number may belong to someone else by now.
  grep -qsF "$data/server.properties" "/proc/$pid/cmdline" || return 0
  kill "$pid"
  while kill -0 "$pid" 2>/dev/null; do
    ((SECONDS < deadline)) || { kill -9 "$pid"; return; }
    sleep 0.1
  done
}

tool() {
  (($#)) || fail "tool needs a NAME"
  local class=$1
  shift
  case $class in
    *.*) ;;
    ConsoleConsumer) class=org.apache.kafka.tools.consumer.$class ;;
    ConsumerGroupCommand) class=org.apache.kafka.tools.consumer.group.$class ;;
    ConfigCommand) class=kafka.admin.$class ;;
    *) class=org.apache.kafka.tools.$class ;;
  esac
  fetch
  java_arguments
  # shellcheck disable=SC2086
  exec java ${KAFKA_HEAP_OPTS:--Xmx512M} "${arguments[@]}" -Dkafka.log.level=warn "$class" "$@"
}

command=${1:-help}
shift || true
case $command in
  fetch) fetch; echo "$jars" ;;
  run | start | stop) parse "$@"; "$command" ;;
  tool) tool "$@" ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" ;;
esac
