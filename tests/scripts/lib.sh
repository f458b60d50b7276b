# SPDX-License-Identifier: Apache-2.0
# Sourced by the script tests: expect_* count, finish prints the counts and exits.
checks=0
failures=0
fail() {
    printf 'FAILED: %s\n' "$1" >&2
    failures=$((failures + 1))
}
# expect_status WANTED GOT WHAT
expect_status() {
    checks=$((checks + 1))
    [[ $1 == "$2" ]] || fail "$3: exit $2 instead of $1"
}
# expect_text TEXT PATTERN WHAT (a fixed string)
expect_text() {
    checks=$((checks + 1))
    grep -qF -- "$2" <<<"$1" || fail "$3: '$2' is missing in: $1"
}
finish() {
    printf '%d passed, %d failed\n' $((checks - failures)) "$failures"
    ((failures == 0 && checks > 0))
    exit
}
