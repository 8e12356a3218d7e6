#!/bin/sh
# Runs make targets one after the other, all of them even when one fails, and closes with a summary.
# Exit status 1 when any failed.
set -u

summary=""
status=0
for step in "$@"; do
    begun=$(date +%s)
    if "${MAKE:-make}" "$step"; then
        outcome="ok"
    else
        outcome="FAILED"
        status=1
    fi
    summary="$summary$(printf '  %-10s %-7s %4d s' "$step" "$outcome" "$(($(date +%s) - begun))")
"
done
printf '\n== summary\n%s' "$summary"
exit $status
