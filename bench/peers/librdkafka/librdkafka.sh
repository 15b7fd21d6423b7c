#!/usr/bin/env bash
# librdkafka as a client under test: the producer of the interop tests, compiled against Debian's library.
#
#   librdkafka.sh version                                          prints librdkafka's version
#   librdkafka.sh produce HOST:PORT TOPIC PARTITIONS RECORDS BYTES  creates the topic, sends records as fast as it goes; prints a line
#
# Idempotent, acks=all, linger.ms=5, not compressed, 10,000 keys. LIBRDKAFKA_PEER_DIR moves the binary (default target/peers/librdkafka).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
binary=$(realpath -m "${LIBRDKAFKA_PEER_DIR:-${CARGO_TARGET_DIR:-$root/target}/peers/librdkafka}")
keys=10000

install() { "$root/server/tests/interop/producer/install" "$binary"; }

case ${1:-help} in
  version) install ;;
  produce)
    (($# == 6)) || { echo "librdkafka.sh: produce needs HOST:PORT TOPIC PARTITIONS RECORDS BYTES" >&2; exit 2; }
    install >&2
    exec "$binary/producer" "$2" "$3" "$4" "$5" "$keys" "$6" none 0 -
    ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" ;;
esac
