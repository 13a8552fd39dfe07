"""Reference answers on the simulated bench: rules of a line, and the ceiling of one who knows how it was made."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.reference.given_sessions import BadSessions, read_sessions, reference_scores
    from training.reference.measuring import measure, text
    from training.reference.models import MODELS, Model
    from training.reference.observer import CEILINGS, Sees, ceiling
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
        settings_of,
        stream_rows,
        truth_of,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.reference.given_sessions": ["BadSessions", "read_sessions", "reference_scores"],
            "training.reference.measuring": ["measure", "text"],
            "training.reference.models": ["MODELS", "Model"],
            "training.reference.observer": ["CEILINGS", "Sees", "ceiling"],
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
                "settings_of",
                "stream_rows",
                "truth_of",
            ],
        },
    )

__all__ = [
    "CEILINGS",
    "MODELS",
    "READS_GAZE",
    "RULES",
    "BadSessions",
    "FittedRule",
    "Model",
    "Noise",
    "Question",
    "Rule",
    "Seen",
    "Sees",
    "Table",
    "believed",
    "ceiling",
    "fit_rule",
    "lead_rows",
    "measure",
    "read_sessions",
    "reference_scores",
    "see",
    "sessions_of",
    "settings_of",
    "stream_rows",
    "text",
    "truth_of",
]
