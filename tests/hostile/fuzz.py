"""Breaks files in many ways, and prints how each reader took it.

    python tests/hostile/fuzz.py [TRIES [READER...]]  # for each reader, half of them flipped bits; 400 unless given

"few" in place of TRIES breaks only the first file of each reader, and tries half of the payloads and bombs on it: the
other half on the next reader.

Each try runs in a process of its own with at most 1 GiB of further memory and 20 s of the processor. Linux only. The exit status is 1 if a
process ended, hung, raised anything but the package's own errors, named no file, or ran code.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from breaking import bombs, flipped, odd_json, payloads
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from isolated import CRASHED, READ, REFUSED, Outcome, attempt
from readers import READERS, Reader

COLUMNS = ("reader", "files", "refused", "read", "crashed", "code run", "most MB", "most s")
SEED = 22
MAX_CHARACTERS = 1500  # of a message


@dataclass
class Tally:
    "What happened to a reader."

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((REFUSED, READ, CRASHED), 0)
    )
    code_run: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)  # what must not happen, one line each

    def row(self, name: str) -> list[str]:
        "Return the cells of the table."
        tried = sum(self.counts.values())
        ends = [str(self.counts[how]) for how in (REFUSED, READ, CRASHED)]
        most = [f"{self.megabytes:.0f}", f"{self.seconds:.1f}"]
        return [name, str(tried), *ends, str(self.code_run), *most]


class Fuzz:
    "Tries broken files on one reader."

    def __init__(
        self,
        reader: Reader,
        folder: Path,
        files: int | None = None,
        part: slice = slice(None),  # of payloads and bombs
    ):
        self.part = part
        self.reader = reader
        self.marker = folder / "code_was_run"
        self.original = folder / "original"
        self.folder = folder / "tried"
        self.tally = Tally()
        self.original.mkdir()
        self.files = [f.relative_to(self.original) for f in reader.make(self.original)][:files]

    def run(self, tries: int, rng: np.random.Generator) -> Tally:
        "Try the whole example, payloads, bombs, flipped bits and odd contents."
        outcome = self.attempt("unbroken", None, b"")
        assert outcome.how == READ, outcome.message
        for file in self.files:
            for what, raw in list((payloads(self.marker) | bombs()).items())[self.part]:
                self.attempt(what, file, raw)
        for _ in range(tries // 2):
            file = self.files[int(rng.integers(len(self.files)))]
            self.attempt("flipped", file, flipped((self.original / file).read_bytes(), rng))
        for file in self.files:
            self.drawn(file, tries // 2 // len(self.files))
        return self.tally

    def drawn(self, file: Path, n: int) -> None:
        "Try contents that Hypothesis draws: odd JSON in place of JSON, else any bytes."
        raw = (self.original / file).read_bytes()
        contents = odd_json(raw) if file.suffix == ".json" else st.binary(max_size=200)

        @settings(
            max_examples=max(n, 1),
            database=None,
            derandomize=True,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(contents)
        def try_one(content: bytes) -> None:
            self.attempt("drawn", file, content)

        try_one()

    def attempt(self, what: str, file: Path | None, raw: bytes) -> Outcome:
        "Read the example with one file replaced, in a process of its own."
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.original, self.folder)
        if file is not None:
            (self.folder / file).write_bytes(raw)
            self.reader.sign(self.folder)
        outcome = attempt(lambda: self.reader.read(self.folder), self.reader.refusals)
        self.note(f"{what} in {file}", outcome)
        return outcome

    def note(self, what: str, outcome: Outcome) -> None:
        "Count an outcome."
        tally = self.tally
        tally.counts[outcome.how] += 1
        tally.megabytes = max(tally.megabytes, outcome.megabytes)
        tally.seconds = max(tally.seconds, outcome.seconds)
        if outcome.how == CRASHED:
            tally.faults.append(f"{what}: {outcome.message}")
        if outcome.how == REFUSED and not self.is_helpful(outcome.message):
            tally.faults.append(f"{what}: no help: {outcome.message[:300]!r}")
        if self.marker.exists():
            tally.code_run += 1
            tally.faults.append(f"{what}: code was run")
            self.marker.rmdir()

    def is_helpful(self, message: str) -> bool:
        "Return whether a message names the file, or the folder it is in, and can be read."
        names = {self.folder.name, *(f.name for f in self.files), *(f.stem for f in self.files)}
        return any(name in message for name in names) and len(message) < MAX_CHARACTERS


def fuzz(names: list[str], tries: int, files: int | None) -> Iterator[tuple[str, Tally]]:
    "Yield how each of these readers took broken files, the first files of each or all."
    torch.set_num_threads(1)  # a fork has one thread
    for i, name in enumerate(names):
        part = slice(None) if files is None else slice(i % 2, None, 2)
        with tempfile.TemporaryDirectory(prefix="analognas-fuzz-") as folder:
            tried = Fuzz(READERS[name], Path(folder), files, part)
            yield name, tried.run(tries, np.random.default_rng(SEED))


def main(tries: str, names: list[str]) -> int:
    "Print the table; returns how many faults there were."
    widths = [max(map(len, READERS)), 6, 8, 6, 8, 9, 8, 7]
    print("  ".join(title.ljust(w) for title, w in zip(COLUMNS, widths, strict=True)), flush=True)
    few = tries == "few"
    faults = 0
    for name, tally in fuzz(names, 8 if few else int(tries), 1 if few else None):
        cells = zip(tally.row(name), widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells), flush=True)
        for fault in tally.faults:
            print(f"{name}: {fault}", file=sys.stderr, flush=True)
        faults += len(tally.faults)
    return faults


if __name__ == "__main__":
    sys.exit(main((sys.argv[1:] or ["400"])[0], sys.argv[2:] or list(READERS)) > 0)
