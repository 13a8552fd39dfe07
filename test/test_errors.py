"""How a program ends."""

import subprocess
import sys


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
