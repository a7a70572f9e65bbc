#!/usr/bin/env bash
# Train the WaveNet and the recurrent network on this machine at the same time, without a network:
#   OUT=build/autoregressive/trained bash demos/autoregressive/gpu_autoregressive.sh [SECONDS] [OPTIONS OF train.py]
# Needs build/autoregressive/notes.xz (pack_notes.py writes it), torch, numpy and safetensors. Takes SECONDS (280) in
# all. The results are $OUT/wavenet.safetensors and $OUT/recurrent.safetensors. The log goes to the standard output.
set -uo pipefail
began=$(date +%s)
cd "$(dirname "$0")/../.."
out=${OUT:-build/autoregressive/trained}
limit=${1:-280}
shift || true
mkdir -p "$out"
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-4}"
jobs=()
for kind in wavenet recurrent; do
    timeout -k 5 $((limit + 10)) "${PYTHON:-python3}" demos/autoregressive/train.py "$kind" \
        --began "$began" --seconds "$limit" -o "$out/$kind.safetensors" "$@" 2>&1 &
    jobs+=($!)
done
status=0
for job in "${jobs[@]}"; do
    wait "$job" || status=$?
done
ls -l "$out"
echo "took $(($(date +%s) - began)) s, status $status"
exit "$status"
