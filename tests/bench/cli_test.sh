#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cli_test.sh PROGRAM [sanitized]: what ropeway-bench refuses (exit 2, the value and the remedy), and what a quick run gives.
set -uo pipefail
program=${1:?usage: cli_test.sh PROGRAM [sanitized]}
# A sanitizer makes calls of its own: nothing is counted then.
counts=(steady.allocations steady.syscalls)
! command -v valgrind >/dev/null || counts+=(steady.instructions.3)
[[ ${2:-} != sanitized ]] || counts=()
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

refused() {
    local expected=$1 code=0
    shift
    "$program" "$@" >out 2>err || code=$?
    [[ $code == 2 ]] || fail "$*: exit $code, not 2"
    grep -qF -- "$expected" err || fail "$*: said $(<err), not '$expected'"
    [[ ! -s out ]] || fail "$*: wrote to stdout"
}

refused "unknown argument '--bogus'" --bogus
refused "--suite lunch: there are recycle, fanout, publish, latency, isolation, efficiency, dbpool and dbload." --suite lunch
refused "--hgrm nowhere: there is no such folder" --hgrm nowhere
refused "--plots nowhere: there is no such folder" --plots nowhere
refused "--rounds 0: give a number from 1 to 99." --rounds 0
refused "--rounds 5x: give a number from 1 to 99." --rounds 5x
refused "--json needs a value" --json
refused "there is no folder missing" --json missing/rows.json
mkdir held
refused "is not a regular file" --json held

"$program" --help | grep -q -- '--suite NAME' || fail "--help does not list --suite"

code=0
mkdir distributions
"$program" --quick --rounds 1 --json rows.json --hgrm distributions >table 2>err || code=$?
[[ $code == 0 ]] || fail "a quick run: exit $code: $(<table) $(<err)"
[[ ! -s err ]] || fail "a quick run wrote to stderr: $(<err)"
for id in fanout.duplicate.3.spsc fanout.in_place.10.spsc fanout.in_place.10.limit fanout.lossy.3.spsc \
    fanout.selective.50 fanout.1us.3.cores fanout.inline.10.loop fanout.publishers2.3.one \
    recycle.same.guard recycle.bulk32.off recycle.cross.guard recycle.cross.glibc \
    publish.flat.50 publish.cost.clock publish.stuck_conflate.10 \
    latency.100k.1 latency.100k.50 latency.roundtrip latency.1k.3 isolation.slow.lost isolation.slow.p99_us \
    efficiency.sleep.10 dbpool.cycle.1.mutex dbpool.cycle.2.mutex dbpool.cycle.2.p999 dbpool.snapshot_ns \
    dbpool.health_ns dbpool.health_per_s "${counts[@]}"; do
    grep -q "^$id " table || fail "$id is not in the table"
    grep -q "\"id\": \"$id\"" rows.json || fail "$id is not in the file"
done
# Beside a database server, where there is one.
for id in dbpool.slot_bytes dbpool.validate.passive dbpool.validate.active dbpool.start_ms dbpool.miss_p99_ms \
    dbpool.dead_handed_out dbpool.deadline_overrun_ms dbpool.recovery_ms dbload.50.p95_ms \
    dbload.spike5x.untyped_errors dbload.200.over_limit dbload.availability; do
    grep -q "^$id  *not measured: " table && continue
    grep -q "^$id " table || fail "$id is not in the table"
    grep -q "\"id\": \"$id\"" rows.json || fail "$id is not in the file"
done
grep -q '"commit": "' rows.json || fail "the file names no commit"
grep -q '^ns of single events' table || fail "no table of percentiles"
grep -q '#\[Max' distributions/latency.100k.3.hgrm || fail "no distribution of latency.100k.3"
grep -q 'WRONG' table && fail "a count is wrong: $(<table)"

((failures == 0)) && echo "all as expected"
exit $((failures > 0))
