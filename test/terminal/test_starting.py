"""The installed programs: none ends in a traceback when it is asked to end while it loads."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gaze_vlm_ros.terminal import starting

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_loads_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    loads = tmp_path / "loads"
    (tmp_path / "slow.py").write_text(f"import pathlib, time\npathlib.Path({str(loads)!r}).touch()\ntime.sleep(600)\n")
    command = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from gaze_vlm_ros.terminal.starting import start"
    program = subprocess.Popen(
        [sys.executable, "-c", f"{command}; sys.exit(start('slow', 7))"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while not loads.exists():
        assert program.poll() is None
        time.sleep(0.02)
    program.send_signal(number)
    output, _ = program.communicate(timeout=200)
    assert (program.returncode, output) == (7, "")


def test_every_installed_program_starts_there() -> None:
    programs = re.findall(r'f"[\w-]+ = \{NAME\}\.([\w.]+):(\w+)"', (ROOT / "setup.py").read_text())
    assert len(programs) == 8
    for module, name in programs:
        assert module == "terminal.starting"
        assert callable(getattr(starting, name))
    code = "import sys, gaze_vlm_ros.terminal.starting; print(sorted({'numpy', 'rclpy', 'yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_program_runs_with_its_usual_signals(tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(
        "import signal\ndef main():\n"
        "    usual = (signal.default_int_handler, signal.SIG_DFL)\n"
        "    return 3 if (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == usual else 4\n"
    )
    command = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from gaze_vlm_ros.terminal.starting import start"
    assert subprocess.run([sys.executable, "-c", f"{command}; sys.exit(start('quick', 7))"]).returncode == 3
