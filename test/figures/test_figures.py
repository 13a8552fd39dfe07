"""Figures are drawn without a display, and without a word to matplotlib's global state."""

import base64
import io
import os
import subprocess
import sys

from matplotlib.figure import Figure
from PIL import Image

from gaze_vlm_ros.figures import embedded, png, reliability_plot

CURVES = {
    "gaze": {"confidence": [0.2, 0.9, None], "accuracy": [0.25, 0.8, None], "count": [4, 10, 0], "error": 0.086},
    "no gaze": {"confidence": [0.5, None, None], "accuracy": [0.5, None, None], "count": [3, 0, 0], "error": 0.0},
}


def is_drawn(data: bytes) -> bool:
    picture = Image.open(io.BytesIO(data))
    low, high = picture.convert("L").getextrema()
    return picture.format == "PNG" and min(picture.size) > 200 and low < 50 and high > 200


def test_a_reliability_diagram_is_drawn() -> None:
    assert is_drawn(reliability_plot(CURVES))


def test_without_a_display_and_with_a_backend_of_windows() -> None:
    """No backend is chosen, though the environment names one that would need a display."""
    program = f"""if True:
        import sys
        from gaze_vlm_ros.figures import reliability_plot
        sys.stdout.buffer.write(reliability_plot({CURVES!r}))
        assert "matplotlib.pyplot" not in sys.modules
        import matplotlib
        assert matplotlib.get_backend(auto_select=False).lower() == "tkagg"
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment | {"MPLBACKEND": "TkAgg"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert is_drawn(done.stdout)


def test_an_embedded_picture_is_the_picture() -> None:
    figure = Figure()
    figure.subplots().plot([0, 1])
    head, _, data = embedded(png(figure)).partition(",")
    assert head == "data:image/png;base64"
    assert is_drawn(base64.b64decode(data))
