# shellcheck shell=bash
# For the scripts of this directory: steps with their time, waits, and the commands of the documents.

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# ok NAME: ends what began with the last one.
began=$SECONDS
ok() {
    printf '  %3d s  %s\n' "$((SECONDS - began))" "$*"
    began=$SECONDS
}

# until_true SECONDS WHAT COMMAND...: fails if it does not become true in time.
until_true() {
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < until)) || fail "not in time: $what"
        sleep 0.1
    done
}

# commands DOCUMENT HEADING [N]: the Nth block of commands (the first if it is not given) of that section.
commands() {
    awk -v heading="$2" -v wanted="${3:-1}" '
        /^#+ / && !inside { here = ($0 ~ "^#+ " heading "$") }
        here && /^```sh$/ { inside = 1; found += (++n == wanted); next }
        /^```$/ { inside = 0 }
        inside && here && n == wanted
        END { exit !found }' "$1" || fail "$1: '$2' has no commands ${3:-1}"
}

# run_commands DOCUMENT HEADING [N]: runs them as they stand.
run_commands() {
    local block
    block=$(commands "$@")
    bash -euo pipefail -c "$block" || fail "the commands of $1, '$2', failed:"$'\n'"$block"
}
