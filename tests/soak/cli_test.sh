#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cli_test.sh PROGRAM: what ropeway-soak refuses (exit 2, a message with the value and the remedy, nothing
# written), and what its exit codes, signals and verdict file are.
set -uo pipefail
program=${1:?usage: cli_test.sh PROGRAM}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# refused EXPECTED_TEXT ARGUMENTS...: exit 2, the text on stderr, nothing on stdout, no file left behind.
refused() {
    local expected=$1 before after code=0
    shift
    before=$(ls -A | sort)
    "$program" "$@" >"$folder/../soak-$$.out" 2>"$folder/../soak-$$.err" || code=$?
    after=$(ls -A | sort)
    [[ $code == 2 ]] || fail "$*: exit $code, not 2"
    grep -qF -- "$expected" "$folder/../soak-$$.err" || fail "$*: said $(<"$folder/../soak-$$.err"), not '$expected'"
    [[ ! -s $folder/../soak-$$.out ]] || fail "$*: wrote to stdout: $(<"$folder/../soak-$$.out")"
    [[ $before == "$after" ]] || fail "$*: left files behind: $after"
    rm -f "$folder/../soak-$$.out" "$folder/../soak-$$.err"
}

refused "unknown argument '--bogus'" --bogus
refused "--consumers 0: give a number of consumers from 1 to 64." --consumers 0
refused "--capacity 1000: the capacity of a ring is a power of two" --capacity 1000
refused "--seconds soon: give a number of seconds" --seconds soon
refused "--seconds needs a value" --seconds
refused "--guard loud: use one of: off, guard, sampled, full, degenerate." --guard loud
for flag in --database --simulate --report --scenario; do
    refused "$flag is not there yet" "$flag" x
done

refused "--verdict $folder/missing/v.json: cannot be written there" --verdict "$folder/missing/v.json" --seconds 1
mkdir held
refused "--verdict held: is not a regular file" --verdict held --seconds 1
refused "--verdict /dev/null: is not a regular file" --verdict /dev/null --seconds 1

refused "absent.csv" --replay absent.csv --verdict v.json
printf 'recv_ns,exch_ms,kind,symbol,id,price1,qty1,price2,qty2,levels\n1,2,trade,XY' >cut.csv
refused "cut.csv" --replay cut.csv --verdict v.json
head -c 5000 /dev/urandom >noise.pcap
refused "noise.pcap" --replay noise.pcap --verdict v.json
head -c 5000 /dev/urandom >noise.csv.gz
refused "noise.csv.gz" --replay noise.csv.gz
: >empty.csv
refused "empty.csv" --replay empty.csv
refused "held" --replay held

# A run that passes: exit 0, a table, the whole verdict file and nothing beside it.
mkdir out
code=0
"$program" --events 2000 --consumers 2 --rate 20000 --slow 0 --verdict out/v.json >table 2>lines || code=$?
[[ $code == 0 ]] || fail "a short run: exit $code: $(<table)"
grep -q '^verdict: PASS$' table || fail "no verdict in the table: $(<table)"
grep -q '"verdict": "pass"' out/v.json || fail "no verdict in the file"
[[ $(ls -A out) == v.json ]] || fail "left beside the verdict: $(ls -A out)"

# An old verdict is replaced as a whole.
echo old >out/v.json
"$program" --events 2000 --consumers 2 --rate 20000 --slow 0 --verdict out/v.json >/dev/null 2>&1
grep -q '"verdict": "pass"' out/v.json || fail "the old verdict was not replaced"
grep -q old out/v.json && fail "the old verdict is still there"

# A signal ends the run with the verdict so far.
for signal in INT TERM; do
    rm -f out/v.json plan
    mkfifo plan
    # A background job of a script ignores SIGINT unless told otherwise; exec resets nothing, so env does.
    env --default-signal=INT "$program" --seconds 300 --consumers 2 --slow 0 --rate 20000 --verdict out/v.json >plan 2>/dev/null &
    child=$!
    exec 3<plan
    read -r _ <&3  # the first line is printed once the handlers are installed
    kill -s "$signal" "$child"
    said=$(cat <&3)
    exec 3<&-
    code=0
    wait "$child" || code=$?
    grep -q '^interrupted:' <<<"$said" || fail "SIG$signal: no word about it: $said"
    [[ $code == 0 || $code == 1 ]] || fail "SIG$signal: exit $code"
    grep -q '"interrupted": true' out/v.json || fail "SIG$signal: the file does not say so"
done

"$program" --help | grep -q -- '--replay FILE' || fail "--help does not list --replay"
((failures == 0)) && echo "all as expected"
exit $((failures > 0))
