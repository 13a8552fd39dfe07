"""docs/models.md says of every architecture that is tested what is tested of it, and of no other."""

import re
import runpy
from pathlib import Path

import pytest
from architectures import BUILDERS
from test_streaming import READ_ANEW, STREAMED

from gaze_vlm_ros.vlm.tiny import TINY_MODELS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"
COLUMNS = 8


def rows() -> dict[str, list[str]]:
    """Cells of the table's rows by model."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `tiny:")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({row[0] for row in cells}) == len(cells)
    return {row[0].strip("`"): row for row in cells}


def test_the_table_has_a_row_for_every_tiny_model() -> None:
    assert sorted(rows()) == sorted(TINY_MODELS)
    assert all(len(row) == COLUMNS and all(row) for row in rows().values())


@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_row_says_what_the_tests_say(name: str) -> None:
    row = rows()[name]
    kind = name.removeprefix("tiny:")
    assert (kind in STREAMED, kind in READ_ANEW) == (row[4].startswith("yes"), row[4].startswith("whole"))
    chosen = re.fullmatch(r'`"?([^`"]+)"?`', row[6])
    assert chosen is not None
    wanted, _, unwanted = chosen[1].removesuffix(" or cross_attention").partition(" and not ")
    picked = [other for other in TINY_MODELS if wanted in other and not (unwanted and unwanted in other)]
    assert picked == [name]


def test_the_table_of_make_models_has_a_row_for_every_architecture() -> None:
    """In the form and the order in which tools/check_models.py prints them."""
    tool = runpy.run_path(str(ROOT / "tools" / "check_models.py"))
    columns = tool["COLUMNS"]
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("| " + " | ".join(columns) + " |")
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip().removesuffix("|").removeprefix("|").split("|")])
    assert [row[0] for row in table] == [*TINY_MODELS, *BUILDERS] == list(tool["ALL"])
    assert len(table) >= 25
    assert all(len(row) == len(columns) for row in table)
    refused = [row[0] for row in table if row[1].startswith("refused: ")]
    assert all(all(row) for row in table if row[0] not in refused)
    assert not any("FAILED" in cell for row in table for cell in row)
