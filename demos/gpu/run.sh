#!/usr/bin/env bash
# Measure the GPU worker on this machine, from the gathered folder, without a network, in at most seven minutes:
#   OUT=build/gpu bash demos/gpu/run.sh [--short] [other options of demos.gpu.measure]
# The results are in $OUT (build/gpu unless set): results.jsonl, gpu.md, log.txt.
set -uo pipefail
began=$(date +%s)
cd "$(dirname "$0")/../.."
out=${OUT:-build/gpu}
gathered=${GATHERED:-demos/gpu/gathered}
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
mkdir -p "$out"
export PYTHONUNBUFFERED=1
"${PYTHON:-python3}" demos/gpu/prepare.py "$environment" "$gathered" 2>&1 | tee "$out/setup.txt"
test "${PIPESTATUS[0]}" -eq 0 || exit 1
"$environment/bin/python" -m demos.gpu.measure --began "$began" --out "$out" --gathered "$gathered" "$@"
