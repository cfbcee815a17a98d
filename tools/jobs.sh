# shellcheck shell=bash
# Runs jobs and counts what passed, for scripts that run several: .ci/run and tools/nightly source this. At the end
# print_sum prints what failed once more, and "N passed, N failed", with ", N skipped" if some were.

passed=0
failed=0
skipped=0
failures=() # a line for each: the job, and what failed in it
output=$(mktemp)
trap 'rm -f "$output"' EXIT

fail() {
    failed=$((failed + 1))
    failures+=("$1")
}

# Adds the numbers of a run of tools/test.
test_job() {
    local code=0 total start=$SECONDS
    echo "== $*"
    "$@" | tee "$output" || code=$?
    mapfile -t -O "${#failures[@]}" failures < <(sed -n "s|^FAIL |$*: |p" "$output")
    total=$(tail -n 1 "$output")
    if [[ $total =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
        ((code == 0 || BASH_REMATCH[2] > 0)) || fail "$*: exit code $code"
    else
        fail "$*: exit code $code, and no sum"
    fi
    echo "== $* took $((SECONDS - start)) s"
}

# Counts a command as one test case, and shows what it printed if it failed.
check_job() {
    local code=0 start=$SECONDS
    echo "== $*"
    "$@" >"$output" 2>&1 || code=$?
    if ((code == 0)); then
        passed=$((passed + 1))
    else
        tail -n 200 "$output"
        fail "$*: exit code $code"
    fi
    echo "== $* took $((SECONDS - start)) s"
}

# The last line; the exit code says whether all is well.
print_sum() {
    local total="$passed passed, $failed failed"
    ((skipped == 0)) || total+=", $skipped skipped"
    echo "== all jobs took $SECONDS s"
    ((${#failures[@]} == 0)) || printf 'FAIL %s\n' "${failures[@]}"
    echo "$total"
    ((failed == 0 && passed > 0))
}
