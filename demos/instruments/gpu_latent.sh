#!/usr/bin/env bash
# Train all variants of the latent network on this machine, without a network. The networks are in $OUT afterwards:
#   OUT=build/latent/out bash demos/instruments/gpu_latent.sh FRAMES SECONDS [other options of gpu_latent.py]
# FRAMES is a file of pack_frames.py. SECONDS are counted from now, with the set-up. Missing packages come from the
# wheels in $GATHERED (demos/gpu/gathered unless set), as demos/gpu/gather.py collects them.
set -euo pipefail
began=$(date +%s)
cd "$(dirname "$0")/../.."
frames=$1
seconds=$2
shift 2
gathered=${GATHERED:-demos/gpu/gathered}
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1
if ! "$python" -c "import instruments.latent.training" 2>/dev/null; then
    environment=$(mktemp -d)
    trap 'rm -rf "$environment"' EXIT
    # Without the compiled engine, which training does not use.
    "$python" - "$environment" "$gathered" <<'SETUP'
import sys
from pathlib import Path

sys.path.insert(0, "demos/gpu")
import prepare

python = prepare.environment(Path(sys.argv[1]))
sys.exit(0 if prepare.install(python, Path(sys.argv[2])) else 1)
SETUP
    python=$environment/bin/python
fi
"$python" demos/instruments/gpu_latent.py "$frames" --seconds $((seconds - $(date +%s) + began)) "$@"
