#!/usr/bin/env bash
# The trucks, their watchers and the alarm, in order, on a broker that runs: this one or any Kafka.
#
#   story.sh [HOST:PORT]
set -euo pipefail
cd "$(dirname "$0")/../../.."

broker=${1:-127.0.0.1:9092}
cargo build -q -p strandline --bin strandline --example trucks
built=${CARGO_TARGET_DIR:-target}/debug

strandline() { "$built/strandline" "$@" --bootstrap "$broker"; }
trucks() { exec "$built/examples/trucks" --bootstrap "$broker" "$@"; }
tell() { printf '\n== %s\n' "$*"; }

running=()
trap '((${#running[@]})) && kill "${running[@]}" 2>/dev/null; wait' EXIT
end() { kill "$1"; wait "$1"; }

# Waits until the watchers are this many, and each knows its share.
share_among() {
  for _ in {1..150}; do
    local described
    described=$(strandline group describe watchers 2>/dev/null || true)
    if [[ $described == "group watchers, Stable"* ]] && (($(grep -c '^member' <<<"$described") == $1)); then
      sleep 2
      strandline group describe watchers
      return
    fi
    sleep 0.2
  done
  echo "the group does not settle:" && strandline group describe watchers && exit 1
}

tell "40 trucks drive"
trucks drive & drive=$!; running+=("$drive")

tell "one watcher has all 8 partitions"
trucks watch north & north=$!; running+=("$north")
share_among 1

tell "a second one comes, and they share"
trucks watch south & south=$!; running+=("$south")
share_among 2

tell "a third program, in a group of its own, looks for dangerous driving"
strandline topic create dangerous_driving --partitions 1 --if-not-exists
trucks alarm & alarm=$!; running+=("$alarm")
strandline consume dangerous_driving --count 3 --print key,value

tell "one watcher leaves, and the other has everything"
end "$north"
share_among 1

tell "the trucks stop, then the others: nothing is left to read"
end "$drive"
sleep 2
end "$south"
end "$alarm"
running=()
strandline group describe watchers
strandline group list
