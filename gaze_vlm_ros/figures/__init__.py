"""What the figures of reports and replays share. Needs matplotlib, without a display."""

from gaze_vlm_ros.figures.encoding import embedded, png
from gaze_vlm_ros.figures.reliability import reliability_plot
from gaze_vlm_ros.figures.style import COLOURS, bare

__all__ = ["COLOURS", "bare", "embedded", "png", "reliability_plot"]
