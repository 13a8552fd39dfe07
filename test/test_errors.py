"""How a program ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from gaze_vlm_ros.errors import GazeVlmError, exit_code


def test_nothing_is_collected_as_a_program_ends() -> None:
    # Python's last collections would print "collected"; hooks at exit run in the reverse order of their registration.
    code = (
        "import gc\n"
        "from gaze_vlm_ros.errors import exit_code\n"
        "class Circle:\n"
        "    def __del__(self): print('collected')\n"
        "def main():\n"
        "    gc.collect(); gc.disable()\n"
        "    circle = Circle(); circle.self = circle\n"
        "    return 7\n"
        "raise SystemExit(exit_code('program', main))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "", "")


def test_lines_of_libav_are_not_printed(tmp_path: Path) -> None:
    """Pupil Labs' library turns them on as it is imported."""
    (tmp_path / "video.mp4").write_bytes(bytes(range(256)) * 40)
    code = (
        "import sys, av\n"
        "from gaze_vlm_ros.errors import exit_code\n"
        "def main():\n"
        "    from pupil_labs.video import writer\n"
        "    assert av.logging.get_level() == av.logging.VERBOSE\n"
        "    try: av.open(sys.argv[1])\n"
        "    except av.FFmpegError: return 3\n"
        "raise SystemExit(exit_code('program', main))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path / "video.mp4"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")


def test_an_error_is_one_printable_line_whatever_a_file_holds(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise GazeVlmError("column 'a\x1b[31m\r\nb\u2028\ud800' of \u8336")

    assert exit_code("program", main) == 1
    assert capsys.readouterr().err == "program: error: column 'a\\x1b[31m\\r\\nb\\u2028\\ud800' of \u8336\n"


def test_an_error_with_a_value_as_long_as_a_file_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise GazeVlmError(f"bad value {'9' * 10**6}")

    assert exit_code("program", main) == 1
    assert capsys.readouterr().err == f"program: error: bad value {'9' * 3990}...\n"


def test_what_is_printed_cannot_steer_a_terminal() -> None:
    code = (
        "import sys\n"
        "from gaze_vlm_ros.errors import GazeVlmError, exit_code\n"
        "def main():\n"
        "    print('label: \\x1b[2Jpour\\rcl\\x9bosed \\u202eevil')\n"
        "    print('caf\\xe9 \\u8336\\tand\\nmore')\n"
        "    sys.stdout.write('\\r 50 %\\r')\n"
        "    sys.stderr.write('\\x1b[A')\n"
        "    raise GazeVlmError('no topic \\x1b]0;title\\x07')\n"
        "raise SystemExit(exit_code('program', main))\n"
    )
    ended = subprocess.run([sys.executable, "-X", "utf8", "-c", code], capture_output=True)
    assert ended.stdout.decode() == (
        "label: \\x1b[2Jpour\\x0dcl\\x9bosed \\u202eevil\ncaf\xe9 \u8336\tand\nmore\n\r 50 %\r"
    )
    assert ended.stderr.decode() == "\x1b[Aprogram: error: no topic \\x1b]0;title\\x07\n"
