"""Reference answers on the simulated bench: rules of a line, and the ceiling of one who knows how it was made."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.reference.rules import READS_GAZE, RULES, FittedRule, Rule, fit_rule
    from training.reference.seen import (
        Noise,
        Question,
        Seen,
        Table,
        believed,
        lead_rows,
        see,
        sessions_of,
        stream_rows,
        truth_of,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.reference.rules": ["READS_GAZE", "RULES", "FittedRule", "Rule", "fit_rule"],
            "training.reference.seen": [
                "Noise",
                "Question",
                "Seen",
                "Table",
                "believed",
                "lead_rows",
                "see",
                "sessions_of",
                "stream_rows",
                "truth_of",
            ],
        },
    )

__all__ = [
    "READS_GAZE",
    "RULES",
    "FittedRule",
    "Noise",
    "Question",
    "Rule",
    "Seen",
    "Table",
    "believed",
    "fit_rule",
    "lead_rows",
    "see",
    "sessions_of",
    "stream_rows",
    "truth_of",
]
