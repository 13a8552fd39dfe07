from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.storage.tables import BadRow, FileMissing, OutOfOrder, WrongColumns, read_table, time_order


def table(tmp_path: Path, text: str, **columns: tuple[str, ...]) -> object:
    (tmp_path / "t.csv").write_bytes(text.encode())
    return read_table(tmp_path / "t.csv", "a table of tests", **columns)


def test_columns_by_name_whatever_their_order(tmp_path: Path) -> None:
    text = "\ufeffb, a [ns] ,c\n1.5, 1700000000123456789,x\n,2,\n\n"
    found = table(tmp_path, text, ints=("a [ns]",), floats=("b", "d"), texts=("c",), optional=("d",))
    assert found.ints["a [ns]"].tolist() == [1700000000123456789, 2]
    assert np.array_equal(found.floats["b"], [1.5, np.nan], equal_nan=True)
    assert found.texts["c"] == ["x", ""]
    assert "d" not in found.floats


@pytest.mark.parametrize(
    ("text", "error", "line"),
    [
        ("a,b\n1,2\n", WrongColumns, r"t\.csv is not a table of tests: it has no column 'c'; its columns are a, b$"),
        ("", WrongColumns, "its columns are none"),
        ("a,c\n1,2\n7,x\n", BadRow, r"t\.csv, line 3: 'c' is 'x', expected a number"),
        ("a,c\n1.5,2\n", BadRow, r"line 2: 'a' is '1\.5', expected a whole number"),
        (f"a,c\n{2**63},2\n", BadRow, "line 2: 'a' is '9223372036854775808', expected a whole number"),
        ("a,c\n1,2\n3", BadRow, "line 3: 1 fields, but 'c' is field 2; the file is cut short"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, text: str, error: type[Exception], line: str) -> None:
    with pytest.raises(error, match=line):
        table(tmp_path, text, ints=("a",), floats=("c",))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"x\.csv is missing: expected gaze of tests"):
        read_table(tmp_path / "x.csv", "gaze of tests")
    with pytest.raises(FileMissing, match="is a folder: expected gaze of tests"):
        read_table(tmp_path, "gaze of tests")


def test_small_steps_back_are_sorted_and_large_ones_refused() -> None:
    second = 1_000_000_000
    path = Path("g.csv")
    assert time_order(np.array([0, 2, 1, 2]) * 5_000_000, path).tolist() == [0, 2, 1, 3]
    with pytest.raises(OutOfOrder, match=r"g\.csv: time goes back by 5\.000 s after sample 2 \(at 9000000000 ns\)"):
        time_order(np.array([8, 9, 4, 5]) * second, path)
