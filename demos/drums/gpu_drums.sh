#!/usr/bin/env bash
# Train two drum networks of different latent sizes on this machine, without a network, until the time is over:
#   OUT=build/drums SECONDS_IN_ALL=280 bash demos/drums/gpu_drums.sh
# Needs build/drums/hits.npz from `python -m demos.drums.pack`. The results are in $OUT: drums-16.safetensors and
# drums-32.safetensors, their reports, and log files. They are written every 20 s, so an early end loses little.
# LATENTS="16 32", JOBS=8, PLAIN=200, BATCH=512 and DEVICE=cuda change what is done.
set -uo pipefail
began=$(date +%s)
cd "$(dirname "$0")/../.."
out=${OUT:-build/drums}
until=$((began + ${SECONDS_IN_ALL:-280} - ${END_SECONDS:-15}))
scratch=$(mktemp -d)
mkdir -p "$out"
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
python=${PYTHON:-python3}
if ! "$python" -c "import mido, rich, safetensors, scipy, soxr, yaml, pydantic" 2>/dev/null; then
    "$python" demos/gpu/prepare.py "$scratch/environment" "${GATHERED:-demos/gpu/gathered}" 2>&1 | tee "$out/drums-setup.txt"
    python="$scratch/environment/bin/python"
fi
left() { echo $((until - $(date +%s))); }
"$python" -m demos.drums.bank "$scratch/bank" --plain "${PLAIN:-200}" --jobs "${JOBS:-8}" \
    --seconds "$(left)" > "$out/drums-bank.log" 2>&1 &
bank=$!
trap 'kill "$bank" 2>/dev/null; rm -rf "$scratch"' EXIT
training=()
for latent in ${LATENTS:-16 32}; do
    "$python" -m demos.drums.train --packed "${HITS:-build/drums/hits.npz}" --bank "$scratch/bank" --plain-parts $((${PLAIN:-200} / 5)) \
        --until "$until" \
        --latent "$latent" --hidden 640 --band-rank 40 --frame-rank 36 --batch "${BATCH:-512}" --save-seconds 20 \
        ${DEVICE:+--device "$DEVICE"} --checkpoint "$scratch/training-$latent.pt" -o "$out/drums-$latent.safetensors" \
        > "$out/drums-$latent.log" 2>&1 &
    training+=($!)
done
wait "${training[@]}"
for latent in ${LATENTS:-16 32}; do tail -n 4 "$out/drums-$latent.log"; done
echo "drums: $(($(date +%s) - began)) s in all"
