#!/usr/bin/env bash
# Measures labels on a machine with a GPU, 16 cores and no network: a CSV and a JSON in $OUT.
#   bash .ci/gpu_campaign.sh CIFAR-10|VWW MINUTES
# First, where there is a network, fill .gpu (git ignores it; it travels along):
#   pip download --no-deps -d .gpu --python-version 3.12 --platform manylinux_2_28_x86_64 aihwkit==1.2.0
#   cp DATA/unpack.py DATA/cifar10_jpeg.npz .gpu/    # vww_96_jpeg.npz for VWW
#   cp EARLIER/CIFAR-10.sqlite .gpu/               # to go on with it
set -euo pipefail
name=$1 end=$((SECONDS + $2 * 60)) work=$(mktemp -d)
case $name in
    CIFAR-10) part=cifar10 root=$work/cifar10 ;;
    VWW) part=vww root=$work/vww_96 ;;
    *) echo "No data pack is known for $name." >&2; exit 2 ;;
esac
python3 -c 'import torch as t; assert t.cuda.is_available(), "No GPU."; print(t.cuda.get_device_name())'
python3 -m zipfile -e .gpu/aihwkit-*.whl "$work/kit"
python3 .gpu/unpack.py "$work" $part
export PYTHONPATH=$PWD:$work/kit ANALOGNAS_CACHE=$work OMP_NUM_THREADS=1
if [ -f ".gpu/$name.sqlite" ]; then install -m 644 ".gpu/$name.sqlite" "$OUT/"; fi

collect() {  # processes, seconds, options; a failed row, time over or Ctrl-C is no reason to stop
    timeout -s INT "$2" python3 -m analognas.cli collect "$name" --root "$root" --plan full --device cuda \
        --processes "$1" --store "$OUT/$name.sqlite" --export "$OUT/$name" "${@:3}" || case $? in 1 | 124 | 130) ;; *) exit 1 ;; esac
}
rate() {  # epochs a second, from the line "rows N, epochs E, seconds S"
    awk -F '[ ,]+' '{ print > "/dev/stderr" } $1 == "rows" && $6 > 0 { r = $4 / $6 } END { print r + 0 }'
}

four=$(collect 4 75 | rate)
eight=$(collect 8 75 | rate)
best=$(awk -v a="$four" -v b="$eight" 'BEGIN { print (b > a) ? 8 : 4 }')
echo "epochs a second: $four with 4 processes, $eight with 8; going on with $best"
left=$((end - SECONDS - 20))
collect "$best" "$left" --minutes "$(awk -v s="$left" 'BEGIN { print s / 60 }')"
rm -rf "$OUT"/*.checkpoints
ls -l "$OUT"
