"""The figures about base models in docs/training.md are those that were recorded."""

import json
from pathlib import Path

from training.pretraining.pretraining import RECORD, SHIPPED

DOCS = Path(__file__).resolve().parents[2] / "docs"
FOUND = json.loads((DOCS / "control.json").read_text())
TEXT = (DOCS / "training.md").read_text()


def table_row(start: str) -> list[str]:
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_of_pretraining_has_the_recorded_figures() -> None:
    (record,) = SHIPPED.glob("*/" + RECORD)
    for check in json.loads(record.read_text())["checks"]:
        assert table_row(str(check["step"])) == [
            str(check["step"]), str(check["frames"]), " and ".join(map(str, check["benches"])),
            f"{check['loss']:.2f}", f"{check['nearest_accuracy']:.2f}",
        ]  # fmt: skip


def test_the_table_of_fits_and_its_differences_have_the_recorded_figures() -> None:
    top1 = {}
    for arm, of_arm in FOUND["search"].items():
        (run,) = of_arm["values"][of_arm["chosen"]]["runs"]
        top1[arm] = run["top1"]
        assert table_row(arm) == [
            arm, f"{run['training_lm']:.3f}", f"{run['validation_lm']:.3f} at {run['step']}",
            f"{run['validation_exact']:.3f}", f"{run['top1']['workbench']:.3f}", f"{run['top1']['misleading']:.3f}",
        ]  # fmt: skip
    added = [top1["gaze, from base"][kind] - top1["no gaze, from base"][kind] for kind in ("workbench", "misleading")]
    assert f"Gaze still adds {added[0]:.2f} and {added[1]:.2f} here" in TEXT
