"""Collects labels of a data set on a GPU until it is interrupted; `gpu_campaign.sh` starts it.

    python3 .ci/gpu_campaign.py NAME PLAN PROCESSES [DEVICE]

The data are read from .gpu/NAME.npz, the fields of a `Dataset`, or from the packed JPEGs there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from analognas.core import DATASETS
from analognas.datasets import Dataset, load_dataset
from analognas.search_spaces import ConfigSpace
from analognas.training.collect import Tally, collect
from analognas.training.plans import find_plan

KIT = Path(".gpu")
PACKS = {"CIFAR-10": ("cifar10", "cifar10"), "VWW": ("vww", "vww_96")}  # argument, folder


def load(name: str, work: Path) -> Dataset:
    "Return a data set, bit for bit what its files give elsewhere."
    ready = KIT / f"{name}.npz"
    if not ready.exists():
        part, folder = PACKS[name]
        subprocess.run([sys.executable, KIT / "unpack.py", work, part], check=True)
        return load_dataset(name, root=work / folder)
    with np.load(ready) as held:
        texts = {k: str(held[k]) for k in ("source", "content")}
        tensors = {k: torch.from_numpy(held[k]) for k in held.files if k not in texts}
    return Dataset(DATASETS[name], **tensors, **texts)


def main(name: str, plan: str, processes: str, device: str = "cuda") -> None:
    "Continue the store that came along, or begin one; rows are exported as they come."
    out, work = Path(os.environ["OUT"]), Path(os.environ["ANALOGNAS_CACHE"])
    store = out / f"{name}-{plan}.sqlite"
    if (KIT / store.name).exists():
        shutil.copyfile(KIT / store.name, store)
    tally = Tally()
    try:
        collect(
            ConfigSpace(name),
            load(name, work),
            store,
            find_plan(name, plan)[1],
            progress=False,
            device=device,
            processes=int(processes),
            export=out / f"{name}-{plan}",
            tally=tally,
        )
    except KeyboardInterrupt:
        print("time is over")
    print(f"{name}-{plan}: rows {tally.rows}, epochs {tally.epochs}, {tally.seconds:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
