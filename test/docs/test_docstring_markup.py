"""Docstrings, which are plain text, become reStructuredText that shows the same."""

import pytest

from docs.docstring_markup import inline, to_rst


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`header.stamp` in ns", "``header.stamp`` in ns"),
        ("two ``code`` marks", "two ``code`` marks"),
        ("a * b | c", "a \\* b \\| c"),
        ("back\\slash", "back\\\\slash"),
        ("name_ and snake_case", "name\\_ and snake_case"),
        ("the `frame`s", "the ``frame``\\ s"),
        ("x`frame`", "x\\ ``frame``"),
        ("`x` and `y`s", "``x`` and ``y``\\ s"),
        ("a lone ` mark", "a lone \\` mark"),
        ("`over\n  two lines`", "``over two lines``"),
    ],
)
def test_characters_are_not_taken_for_markup(text: str, expected: str) -> None:
    assert inline(text) == expected


def test_an_indented_block_is_kept_as_it_stands() -> None:
    assert to_rst("Run it:\n\n    make *demo*\n      twice\n\nThen stop.") == [
        "Run it:", "", ".. code-block:: text", "", "   make *demo*", "     twice", "", "Then stop.", "",
    ]  # fmt: skip


def test_an_indented_block_may_follow_its_paragraph_at_once() -> None:
    assert to_rst("Run it:\n    make demo\nThen stop.") == [
        "Run it:", "", ".. code-block:: text", "", "   make demo", "", "Then stop.", "",
    ]  # fmt: skip


def test_arguments_become_a_list() -> None:
    text = "points: (N, 2) px,\n    centres.\nwidth, height: px. `None` =\nunknown"
    assert to_rst("Do it.\n\n" + text) == [
        "Do it.", "", "* **points**: (N, 2) px,", "  centres.", "* **width, height**: px. ``None`` =", "  unknown", "",
    ]  # fmt: skip


def test_a_summary_is_no_list() -> None:
    assert to_rst("Gaze: which samples count.") == ["Gaze: which samples count.", ""]


def test_a_sentence_with_a_colon_is_no_argument() -> None:
    assert to_rst("One rule: never.\nIt is simple.") == ["One rule: never.", "It is simple.", ""]


def test_lists_keep_their_items() -> None:
    assert to_rst("Either\n- one *thing*\n  or\n- another") == [
        "Either", "", "* one \\*thing\\*", "  or", "* another", "",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "\n", "   \n\n"])
def test_no_docstring_is_no_line(text: str) -> None:
    assert to_rst(text) == []
