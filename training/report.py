"""Compare fits in one HTML file: run folders of fit.py and JSON files of evaluate.py in, report.html out.

python training/report.py --out report.html "real gaze=RUN:EVALUATION.json" "no gaze=RUN:EVALUATION.json" ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import exit_code
from training.reports.comparison import NoRun, read_run, write_report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. Raises NoRun."""
    arguments = _parser().parse_args(argv)
    runs = []
    for text in arguments.runs:
        name, equals, rest = text.rpartition("=")  # a name may contain "=", as in "λ = 0"
        folder, colon, evaluation = rest.rpartition(":")
        if not (equals and colon):
            raise NoRun(f"{text}: expected NAME=RUN:EVALUATION, e.g. real=build/real:build/real.json")
        runs.append(read_run(name, Path(folder), Path(evaluation)))
    write_report(arguments.out, runs, arguments.title)
    print(arguments.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--title", default="What gaze changed", help="heading (default: %(default)s)")
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN:EVALUATION", help="the fit with real gaze first")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("report.py", main))
