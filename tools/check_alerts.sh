#!/bin/sh
# Checks the alert rules and runs their unit tests; says aloud when promtool is missing.
set -eu

cd "$(dirname "$0")/../monitoring"
if ! command -v promtool >/dev/null 2>&1; then
    echo "SKIPPED: promtool is missing (Debian and Ubuntu: apt-get install prometheus)"
    exit 0
fi
promtool check rules alerts.yaml
promtool test rules alerts_test.yaml
