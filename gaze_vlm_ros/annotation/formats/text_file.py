"""Text files in a known encoding: a wrong one is reported, never guessed."""

from __future__ import annotations

import codecs
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.tables import require_file

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class WrongEncoding(GazeVlmError):
    """The file is not text in the expected encoding."""


def read_text(path: Path, what: str, encoding: str = "") -> str:
    """Return the text of a file.

    what: the expected file, for errors. encoding: any that Python knows; "" = by byte-order mark, else UTF-8.
    Raises FileMissing, WrongEncoding.
    """
    require_file(path, what)
    data = path.read_bytes()
    name = encoding or next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(name)
    except LookupError:
        raise WrongEncoding(f"there is no encoding {encoding!r}, expected one such as utf-8, cp1252, utf-16") from None
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        line = data[:at].count(b"\n") + 1
        raise WrongEncoding(
            f"{path} is not {name} text (line {line}: byte {data[at]:#04x}); give its encoding, such as "
            "--encoding cp1252"
        ) from None
    if "\0" in text:
        raise WrongEncoding(
            f"{path} is not {name} text: it contains NUL characters; give its encoding, such as --encoding utf-16"
        )
    return text
