"""Change the core's code in small ways and see whether its tests notice: a seeded sample of mutants.

    python tools/mutants.py                      # 100 mutants, seed 0
    python tools/mutants.py --count 20 --seed 3 --jobs 1
    python tools/mutants.py --only gaze_vlm_ros/gaze --count 30

A mutant is one operator, number, condition or loop that cosmic-ray replaces. Every place in `CORE` is as likely as any
other; annotations are no places. One run with coverage notes which tests reach each line; a mutant is tried against all
tests of its room that reach its line, fastest first, until one fails. Copies of the checkout are changed, never the
checkout itself. Prints the share that was noticed and each survivor; survivors listed in test/equivalent_mutants.yaml,
with the reason why no test can see them, are counted apart. Exits with 1 where others survive.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

import yaml
from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from coverage import CoverageData
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "test" / "equivalent_mutants.yaml"
# Core modules, and the tests of their rooms.
CORE: dict[str, tuple[str, ...]] = {
    "gaze_vlm_ros/gaze/*.py": ("test/gaze",),
    "gaze_vlm_ros/windows/*.py": (
        "test/windows",
        "test/training/data/test_split.py",
        "test/training/data/test_data.py",
    ),
    "gaze_vlm_ros/session/timeline.py": ("test/session",),
    "gaze_vlm_ros/vlm/attention_tap.py": ("test/vlm",),
    "gaze_vlm_ros/vlm/token_boxes.py": ("test/vlm",),
    "gaze_vlm_ros/vlm/ranking.py": ("test/vlm",),
    "gaze_vlm_ros/vlm/answer_tree.py": ("test/vlm",),
    "gaze_vlm_ros/neon/device_clock.py": ("test/neon",),
    "gaze_vlm_ros/neon/rtp.py": ("test/neon",),
    "gaze_vlm_ros/neon/h264_rtp.py": ("test/neon",),
    "gaze_vlm_ros/bags/writer.py": ("test/bags",),
    "gaze_vlm_ros/bags/recover.py": ("test/bags",),
    "gaze_vlm_ros/bags/mcap_scan.py": ("test/bags",),
    "gaze_vlm_ros/bags/mcap_records.py": ("test/bags",),
    "gaze_vlm_ros/prediction/status.py": ("test/prediction",),
    "gaze_vlm_ros/prediction/smoothing.py": ("test/prediction",),
    "gaze_vlm_ros/prediction/pacing.py": ("test/prediction",),
    "training/data/gaze_targets.py": ("test/training/data/test_data.py", "test/training/run/test_arms.py"),
    "training/data/split.py": ("test/training/data/test_split.py",),
    "training/model/loss.py": ("test/training/model",),
}
NEED_ARGUMENTS = {"core/VariableReplacer", "core/VariableInserter"}  # operators for chosen variables
# Checkouts are copied without what is built and what no test reads.
NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", "build", "install", "log", "__pycache__", ".*_cache")


@dataclass(frozen=True)
class Place:
    """One piece of source that an operator can replace: `occurrence` as cosmic-ray counts them in a module."""

    module: str
    line: int
    column: int
    operator: str
    occurrence: int


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant. `before` and `after`: the changed line."""

    place: Place
    killed: bool
    how: str
    before: str
    after: str
    tests: int


def core_modules(only: str) -> dict[str, tuple[str, ...]]:
    """Each module of `CORE` whose path begins with `only`, with the tests of its room."""
    found = {}
    for pattern, tests in CORE.items():
        for path in sorted(ROOT.glob(pattern)):
            module = str(path.relative_to(ROOT))
            if path.name != "__init__.py" and module.startswith(only):
                found[module] = tests
    for test in {test for tests in found.values() for test in tests}:
        if not (ROOT / test).exists():
            sys.exit(f"mutants: {test} of CORE is not there; name the room's tests")
    return found


def annotation_spans(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(line, column) of begin and end of all that is never evaluated: annotations and `if TYPE_CHECKING` blocks."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            parts = [node.returns, *(a.annotation for a in [*arguments.posonlyargs, *arguments.args])]
            parts += [a.annotation for a in [*arguments.kwonlyargs, arguments.vararg, arguments.kwarg] if a]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            parts = [node]
        for part in parts:
            if part is not None:
                begin, end = (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)  # type: ignore[attr-defined]
                spans.append((begin, end))
    return spans


class _Positions(Visitor):
    """Every place that one operator can change, in cosmic-ray's order."""

    def __init__(self, operator: object) -> None:
        self.operator = operator
        self.found: list[tuple[int, int]] = []

    def visit(self, node: object) -> object:
        self.found += [begin for begin, _ in self.operator.mutation_positions(node)]  # type: ignore[attr-defined]
        return node


def places_of(module: str) -> Iterator[Place]:
    """All places of a module, annotations left out."""
    source = (ROOT / module).read_text(encoding="utf-8")
    spans = annotation_spans(source)
    tree = get_ast(source)
    for name in sorted(set(operator_names()) - NEED_ARGUMENTS):
        positions = _Positions(get_operator(name)())
        positions.walk(tree)
        for occurrence, (line, column) in enumerate(positions.found):
            if not any(begin <= (line, column) < end for begin, end in spans):
                yield Place(module, line, column, name, occurrence)


def drawn(modules: Sequence[str], count: int, seed: int) -> list[Place]:
    """`count` places, each spot of the source as likely as any other, and of its operators one."""
    spots: dict[tuple[str, int, int], list[Place]] = defaultdict(list)
    for module in modules:
        for place in places_of(module):
            spots[place.module, place.line, place.column].append(place)
    draw = random.Random(seed)
    chosen = draw.sample(sorted(spots), min(count, len(spots)))
    return [draw.choice(spots[spot]) for spot in chosen]


class TestMap:
    """Which tests reach each line, and how long each takes, s."""

    def __init__(self, reach: Mapping[str, Mapping[int, list[str]]], seconds: Mapping[str, float]) -> None:
        self._reach, self.seconds = reach, seconds

    def tests_of(self, place: Place, room: Sequence[str]) -> list[str]:
        """Tests of the room that reach the line, fastest first; all of the room where the line runs at import."""
        lines = self._reach.get(place.module, {})
        tests = {test for test in lines.get(place.line, []) if test} or set(self.seconds)
        of_room = [test for test in tests if test.startswith(tuple(room))]
        return sorted(of_room, key=lambda test: (self.seconds.get(test, 0.0), test))


def run_pytest(checkout: Path, arguments: Sequence[str], timeout_s: float) -> tuple[int | None, str]:
    """(exit code, output) of pytest in `checkout`; None after `timeout_s`."""
    environment = dict(os.environ, PYTHONPATH=str(checkout), PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
    try:
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return None, "timeout"
    return done.returncode, done.stdout + done.stderr


def map_tests(checkout: Path, tests: Sequence[str], modules: Sequence[str], folder: Path) -> TestMap:
    """Run the rooms' tests once with coverage. Exits where they fail without a change."""
    junit, data = folder / "junit.xml", folder / "coverage"
    packages = ["--cov=gaze_vlm_ros", "--cov=training", "--cov-context=test", "--cov-report="]
    (checkout / ".coveragerc").write_text(f"[run]\ndata_file = {data}\n")
    print(f"running {' '.join(tests)} once, with coverage", flush=True)
    began = time.monotonic()
    options = [*packages, "--cov-config=.coveragerc", f"--junitxml={junit}", "-o", "junit_family=xunit1"]
    code, output = run_pytest(checkout, [*options, *tests], 3600)
    if code:
        sys.exit(f"mutants: the tests fail without any mutant:\n{output[-3000:]}")
    print(f"{output.strip().splitlines()[-1]}; {time.monotonic() - began:.0f} s", flush=True)
    seconds = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        file = str(case.get("file"))
        classes = str(case.get("classname"))[len(file) - len(".py") :].strip(".")  # of a test class: module.Class
        parts = [file, *filter(None, classes.split(".")), str(case.get("name"))]
        seconds["::".join(parts)] = float(case.get("time", 0))
    coverage = CoverageData(str(data))
    coverage.read()
    reach = {}
    for module in modules:
        lines = coverage.contexts_by_lineno(str(checkout / module))
        reach[module] = {line: [name.partition("|")[0] for name in names] for line, names in lines.items()}
    return TestMap(reach, seconds)


def tried(place: Place, checkout: Path, tests: TestMap, room: Sequence[str]) -> Outcome:
    """Apply the mutant in `checkout`, run the tests, put the file back."""
    file = checkout / place.module
    source = file.read_text(encoding="utf-8")
    changed = mutate_code(source, get_operator(place.operator)(), place.occurrence)
    before, after = source.splitlines(), changed.splitlines()
    differing = [index for index, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]]
    line = differing[0] if differing else place.line - 1
    shown = before[line].strip(), after[line].strip()
    chosen = tests.tests_of(place, room)
    if not chosen:
        return Outcome(place, False, "no test reaches the line", *shown, 0)
    expected_s = sum(tests.seconds.get(test, 1.0) for test in chosen)
    try:
        file.write_text(changed, encoding="utf-8")
        code, output = run_pytest(checkout, ["-x", *chosen], 60 + 5 * expected_s)
    finally:
        file.write_text(source, encoding="utf-8")
    how = "hangs" if code is None else "survived" if code == 0 else output.strip().splitlines()[-1][:100]
    if code == 5 or (code == 4 and "found no collectors" not in output):  # with it the module does not import
        sys.exit(f"mutants: pytest did not run the tests of {place.module}:\n{output[-2000:]}")
    return Outcome(place, code != 0, how, *shown, len(chosen))


def equivalent() -> set[tuple[str, str, str]]:
    """(module, line before, line after) of the mutants that no test can see."""
    if not EQUIVALENT.is_file():
        return set()
    entries = yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8")) or []
    return {(entry["module"], entry["before"], entry["after"]) for entry in entries}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time (default: one a core)")
    parser.add_argument("--only", default="", help="modules whose path begins so, e.g. gaze_vlm_ros/gaze")
    parser.add_argument("--json", type=Path, help="file for all outcomes")
    arguments = parser.parse_args()
    rooms = core_modules(arguments.only)
    places = drawn(list(rooms), arguments.count, arguments.seed)
    used = {place.module for place in places}
    with tempfile.TemporaryDirectory(prefix="mutants_") as temporary:
        folder = Path(temporary)
        checkouts: SimpleQueue[Path] = SimpleQueue()
        copies = [folder / str(number) / "checkout" for number in range(arguments.jobs)]
        for copy in copies:
            shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
            shared = ROOT.parent / "shared"
            if shared.exists():
                (copy.parent / "shared").symlink_to(shared.resolve())
            checkouts.put(copy)
        tests = map_tests(copies[0], sorted({test for m in used for test in rooms[m]}), sorted(used), folder)

        def work(place: Place) -> Outcome:
            checkout = checkouts.get()
            try:
                return tried(place, checkout, tests, rooms[place.module])
            finally:
                checkouts.put(checkout)

        with ThreadPoolExecutor(arguments.jobs) as pool:
            outcomes = list(tqdm(pool.map(work, places), total=len(places), desc="mutants", file=sys.stderr))
    known = equivalent()
    survivors = [outcome for outcome in outcomes if not outcome.killed]
    same = [o for o in survivors if (o.place.module, o.before, o.after) in known]
    left = [o for o in survivors if o not in same]
    for outcome in left:
        print(f"survived: {outcome.place.module}:{outcome.place.line} ({outcome.tests} tests; {outcome.how})")
        print(f"    - {outcome.before}\n    + {outcome.after}")
    killed, seen = len(outcomes) - len(survivors), len(outcomes) - len(same)
    print(
        f"{killed} of {len(outcomes)} mutants noticed ({killed / max(seen, 1):.0%} of those that can be), "
        f"{len(left)} survived, {len(same)} survivors known to be equivalent"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
