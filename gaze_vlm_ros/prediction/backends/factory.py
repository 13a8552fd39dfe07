"""Open the backend that answers the predictor: model, server or recorded answers."""

from __future__ import annotations

from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.types import Backend

BACKENDS = ("model", "replay", "openai")
ANSWERS = ("closed", "open")


class UnknownBackend(GazeVlmError):
    """There is no such backend, or it does not give the requested kind of answers."""


def open_backend(
    checkpoint: Path | str,
    *,
    backend: str = "model",
    answers: str = "closed",
    device: str = "auto",
    dtype: str = "float32",
    quantization: str = "none",
    compiled: bool = False,
    server_url: str = "",
    server_model: str = "",
    server_timeout_s: float = 2.0,
    replay_loop: bool = True,
    replay_delay: bool = True,
) -> Backend:
    """Open a backend that is ready for queries: the model is loaded.

    checkpoint: folder that training/fit.py wrote; with backend replay, a bag with predictions or a file of them.
    backend: model = the checkpoint's own weights in this process; replay = recorded answers, see backends.recorded;
        openai = a server at server_url that serves the checkpoint, see backends.openai_server.
    answers: closed = the checkpoint's labels, ranked; open = free text, generated.
    device: auto = cuda where available. dtype: of weights and activations: float32, bfloat16 or float16.
    quantization, compiled: for backend model, see vlm.acceleration.
    server_url, server_model, server_timeout_s: for backend openai.
    replay_loop: start again after the last answer. replay_delay: take as long for each answer as the model did.
    Raises UnknownBackend, NotACheckpoint, and what the backend itself raises.
    """
    if backend not in BACKENDS:
        raise UnknownBackend(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    if answers not in ANSWERS:
        raise UnknownBackend(f"answers is {answers!r}, expected one of {', '.join(ANSWERS)}")
    if backend == "replay" and answers == "closed":
        from gaze_vlm_ros.prediction.backends.recorded import RecordedBackend

        return RecordedBackend(checkpoint, replay_loop, replay_delay)
    if backend == "openai":
        try:
            from gaze_vlm_ros.prediction.backends.openai_server import ServerBackend
        except ModuleNotFoundError as error:
            raise UnknownBackend(
                f"backend openai needs {error.name}, which is not installed: pip install {error.name}"
            ) from None
        return ServerBackend(checkpoint, server_url, server_model, server_timeout_s, answers)
    if backend != "model":
        raise UnknownBackend(
            f"backend {backend} cannot give {answers} answers: they are recorded; set answers to closed"
        )
    from gaze_vlm_ros.prediction.backends.model import ModelBackend

    return ModelBackend(checkpoint, device, dtype, answers, quantization, compiled)
