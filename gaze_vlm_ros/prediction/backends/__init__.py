"""What answers the predictor: a model in this process, a server elsewhere, or recorded answers."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.prediction.backends.factory import (
        ANSWERS,
        BACKENDS,
        UnknownBackend,
        open_backend,
    )
    from gaze_vlm_ros.prediction.backends.model import ModelBackend
    from gaze_vlm_ros.prediction.backends.openai_server import ServerBackend, choice_probabilities
    from gaze_vlm_ros.prediction.backends.recorded import (
        NoAnswers,
        RecordedAnswer,
        RecordedBackend,
        read_answers,
        write_answers,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.prediction.backends.factory": ["ANSWERS", "BACKENDS", "UnknownBackend", "open_backend"],
            "gaze_vlm_ros.prediction.backends.model": ["ModelBackend"],
            "gaze_vlm_ros.prediction.backends.openai_server": ["ServerBackend", "choice_probabilities"],
            "gaze_vlm_ros.prediction.backends.recorded": [
                "NoAnswers",
                "RecordedAnswer",
                "RecordedBackend",
                "read_answers",
                "write_answers",
            ],
        },
    )

__all__ = [
    "ANSWERS",
    "BACKENDS",
    "ModelBackend",
    "NoAnswers",
    "RecordedAnswer",
    "RecordedBackend",
    "ServerBackend",
    "UnknownBackend",
    "choice_probabilities",
    "open_backend",
    "read_answers",
    "write_answers",
]
