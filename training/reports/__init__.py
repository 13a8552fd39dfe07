"""Reports: compare evaluated fits in one HTML page."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.reports.comparison import NoRun, Run, read_run, write_report
    from training.reports.figures import accuracy_bars, attention_strip, training_curves
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.reports.comparison": ["NoRun", "Run", "read_run", "write_report"],
            "training.reports.figures": ["accuracy_bars", "attention_strip", "training_curves"],
        },
    )

__all__ = [
    "NoRun",
    "Run",
    "accuracy_bars",
    "attention_strip",
    "read_run",
    "training_curves",
    "write_report",
]
