#!/usr/bin/env bash
# Measures labels on a machine with a GPU, 16 cores and no network: stores, CSVs and JSONs in $OUT.
#   bash .ci/gpu_campaign.sh SECONDS NAME:PLAN:PROCESSES...      # CIFAR-10:cpu:8 KWS:cpu:7
# First, where there is a network, fill .gpu (git ignores it; it travels along):
#   pip download --no-deps -d .gpu --python-version 3.12 --platform manylinux_2_28_x86_64 aihwkit==1.2.0
#   cp DATA/unpack.py DATA/cifar10_jpeg.npz .gpu/    # vww_96_jpeg.npz for VWW; for KWS see gpu_campaign.py
#   cp EARLIER.sqlite .gpu/NAME-PLAN.sqlite        # to go on with it
set -euo pipefail
end=$((SECONDS + $1)) work=$(mktemp -d)
shift
python3 -c 'import torch as t; assert t.cuda.is_available(), "No GPU."; print(t.cuda.get_device_name())'
python3 -m zipfile -e .gpu/aihwkit-*.whl "$work/kit"
export PYTHONPATH=$PWD:$work/kit ANALOGNAS_CACHE=$work OMP_NUM_THREADS=1 ANALOGNAS_CUDA_GRAPHS=1 PYTHONUNBUFFERED=1

if command -v nvidia-cuda-mps-control > /dev/null; then  # kernels of several processes side by side
    export CUDA_MPS_PIPE_DIRECTORY=$work/mps CUDA_MPS_LOG_DIRECTORY=$work/mps
    mkdir "$work/mps"
    nvidia-cuda-mps-control -d
    trap 'echo quit | timeout 10 nvidia-cuda-mps-control || true' EXIT
fi
pids=() status=0
for what in "$@"; do
    IFS=: read -r name plan processes <<< "$what"
    timeout -s INT -k 20 $((end - SECONDS - 20)) python3 .ci/gpu_campaign.py "$name" "$plan" "$processes" &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    code=0
    wait "$pid" || code=$?
    [ "$code" = 0 ] || [ "$code" = 124 ] || status=$code  # 124: the time was up, as planned
done
rm -rf "$OUT"/*.checkpoints "$OUT"/*-wal "$OUT"/*-shm
ls -l "$OUT"
exit "$status"
