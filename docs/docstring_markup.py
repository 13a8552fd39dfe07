"""Turn the project's plain-text docstrings into reStructuredText, so that Sphinx shows them as they were meant.

A docstring here is plain text: paragraphs, `code` in backticks, lists with "- ", indented blocks that are kept as they
stand (commands, layouts, formulas), and paragraphs of "name: meaning" lines that describe arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_SPECIAL = re.compile(r"([\\*|]|(?<=\w)_(?!\w))")
_ARGUMENT = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*): +(.*)")
_BULLET = re.compile(r"(?:- |\* |\d+\. )")


def to_rst(text: str) -> list[str]:
    """Lines of reStructuredText for a docstring whose common indentation is already gone."""
    lines: list[str] = []
    for number, block in enumerate(re.split(r"\n(?:[ \t]*\n)+", text.strip())):
        if block:
            lines += [*_block(block.splitlines(), summary=number == 0), ""]
    return lines


def _block(lines: list[str], summary: bool) -> list[str]:
    """One block between blank lines: arguments, or paragraphs, lists and what is indented below them."""
    if not summary and _ARGUMENT.match(lines[0]):
        return _arguments(lines)
    found: list[str] = []
    while lines:
        if lines[0].startswith(" "):
            count, convert = _run(lines, lambda line: line.startswith(" ")), _literal
        elif _BULLET.match(lines[0]):
            count, convert = _run(lines, lambda line: bool(_BULLET.match(line)) or line.startswith(" ")), _bullets
        else:
            count, convert = _run(lines, lambda line: not line.startswith(" ") and not _BULLET.match(line)), _paragraph
        found += [*convert(lines[:count]), ""]
        lines = lines[count:]
    return found[:-1]


def _run(lines: list[str], belongs: Callable[[str], bool]) -> int:
    """How many of the first lines belong together."""
    return next((number for number, line in enumerate(lines) if not belongs(line)), len(lines))


def _paragraph(lines: list[str]) -> list[str]:
    return inline("\n".join(lines)).splitlines()


def _literal(lines: list[str]) -> list[str]:
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return [".. code-block:: text", "", *("   " + line[indent:] for line in lines)]


def _bullets(lines: list[str]) -> list[str]:
    """Items, each with what continues it indented alike."""
    items: list[str] = []
    for line in lines:
        if match := _BULLET.match(line):
            items.append(line[match.end() :])
        else:
            items[-1] += "\n" + line.strip()
    return [line for item in items for line in ("* " + inline(item).replace("\n", "\n  ")).splitlines()]


def _arguments(lines: list[str]) -> list[str]:
    """A list of "name: meaning", each name in bold."""
    items: list[tuple[str, str]] = []
    for line in lines:
        match = _ARGUMENT.match(line)
        if match:
            items.append((match[1], match[2]))
        else:
            name, meaning = items[-1]
            items[-1] = (name, meaning + "\n" + line.strip())
    return [
        line
        for name, meaning in items
        for line in (f"* **{inline(name)}**: " + inline(meaning).replace("\n", "\n  ")).splitlines()
    ]


def inline(text: str) -> str:
    """The text with `code` as ``code`` and everything else escaped, so that no character is taken for markup."""
    found, end = "", 0
    for match in _SPAN.finditer(text):
        before = _escaped(text[end : match.start()])
        # reStructuredText begins and ends a span only beside a space or punctuation; "\\ " is an empty separator.
        found += before + ("\\ " if before[-1:].isalnum() else "")
        found += f"``{' '.join(match[2].split())}``"
        end = match.end()
        found += "\\ " if text[end : end + 1].isalnum() else ""
    return found + _escaped(text[end:])


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text).replace("`", "\\`")
