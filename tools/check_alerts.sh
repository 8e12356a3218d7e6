#!/bin/sh
# Checks that what is made from monitoring/ is current, then the alert rules and their unit tests; says aloud when
# promtool is missing.
set -eu

cd "$(dirname "$0")/.."
.venv/bin/python -m monitoring --check
cd monitoring
if ! command -v promtool >/dev/null 2>&1; then
    echo "SKIPPED: promtool is missing (Debian and Ubuntu: apt-get install prometheus)"
    exit 0
fi
promtool check rules alerts.yaml objectives.yaml
for each in *_test.yaml; do
    promtool test rules "$each"
done
