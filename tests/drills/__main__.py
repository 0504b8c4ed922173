"""Run the drills and print a table: `python -m tests.drills`."""

import argparse
import sys
import tempfile
from pathlib import Path

from .breaking import DRILLS, run_drill
from .ground import Ground

HEAD = ("drill", "times", "lost", "again", "under way", "seconds", "as unbroken")


def parse(arguments):
    "Return the options."
    parser = argparse.ArgumentParser(
        "python -m tests.drills",
        description="Break searches and label collections, and count what is lost.",
    )
    parser.add_argument("drills", nargs="*", help="which ones; all if left out")
    parser.add_argument("--list", action="store_true", help="print their names")
    parser.add_argument("--share", type=float, default=1.0, help="of the times of each drill")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument(
        "--no-collections", action="store_true", help="searches only, which need no torch"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.drills if name not in DRILLS]
    if unknown:
        parser.error(f"unknown drills {unknown}; --list prints their names")
    return options


def columns(outcome):
    "Return the cells of a row."
    return (
        outcome.what,
        str(outcome.times),
        str(outcome.lost),
        str(outcome.again),
        f"<= {outcome.under_way}",
        f"{outcome.seconds:.0f}",
        "yes" if outcome.holds else "NO",
    )


def table(outcomes):
    "Return the outcomes as lines of a Markdown table."
    rows = [HEAD, *map(columns, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    rule = "|".join("-" * (width + 2) for width in widths)
    return [lines[0], f"|{rule}|", *lines[1:]]


def main(arguments=None):
    "Run the drills; the exit status is 1 if one does not hold."
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{name:<24}{what}" for name, (_, what, *_) in DRILLS.items()))
        return 0
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="drills-") as folder:
        with Ground(Path(folder), not options.no_collections, options.seed) as ground:
            for name in options.drills or DRILLS:
                _, what, often, least = DRILLS[name]
                print(f"{what} ...", file=sys.stderr, flush=True)
                times = max(least, round(options.share * often))
                outcomes.append(run_drill(ground, name, times))
                if outcomes[-1].times == 0:  # of collections, which are left out
                    outcomes.pop()
                    continue
                print(" | ".join(columns(outcomes[-1])), file=sys.stderr, flush=True)
                for text in outcomes[-1].wrong:
                    print(f"  {text}", file=sys.stderr, flush=True)
    print("\n".join(table(outcomes)))
    return int(not all(outcome.holds for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
