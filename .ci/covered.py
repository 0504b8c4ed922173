"""Print which share of lines and branches the tests reached, by package, and the modules under 90 %.

make coverage
"""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WANTED = 0.9
COUNTS = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def summaries() -> dict[str, Counter]:
    "Return the counts of every module, by its path in the package."
    file = ROOT / "_coverage" / "report.json"
    command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(file)]
    subprocess.run(command, cwd=ROOT, check=True)
    files = json.loads(file.read_text(encoding="utf-8"))["files"]
    found = {}
    for path, about in files.items():
        name = str(Path(path).relative_to("analognas"))
        found[name] = Counter({count: about["summary"][count] for count in COUNTS})
    return found


def share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def shares(counts: Counter) -> list[float]:
    "Return the shares of lines, of branches, and of both together."
    lines = counts["covered_lines"], counts["num_statements"]
    branches = counts["covered_branches"], counts["num_branches"]
    both = lines[0] + branches[0], lines[1] + branches[1]
    return [share(*pair) for pair in (lines, branches, both)]


def row(name: str, counts: Counter) -> str:
    texts = [f"{value:8.1%}" for value in shares(counts)]
    return f"{name:<36}{counts['num_statements']:>7}{counts['num_branches']:>9}  {' '.join(texts)}"


def main() -> int:
    "Print the tables; return 1 if the package is under 90 %."
    modules = summaries()
    packages: dict[str, Counter] = defaultdict(Counter)
    for name, counts in modules.items():
        package = Path(name).parts[0] if len(Path(name).parts) > 1 else "(top level)"
        packages[package].update(counts)
    total = sum(modules.values(), Counter())
    print(f"{'package':<36}{'lines':>7}{'branches':>9}     lines branches     both")
    for package in sorted(packages):
        print(row(package, packages[package]))
    print(row("all", total))
    low = {name: counts for name, counts in modules.items() if shares(counts)[2] < WANTED}
    print(f"\nModules under {WANTED:.0%}:" if low else f"\nNo module is under {WANTED:.0%}.")
    for name in sorted(low):
        print(row(name, low[name]))
    return int(shares(total)[2] < WANTED)


if __name__ == "__main__":
    sys.exit(main())
