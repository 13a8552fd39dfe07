"""The figures of each step: metrics.jsonl, and TensorBoard's files on request."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from gaze_vlm_ros.errors import GazeVlmError
from training.run.run_folder import METRICS


class NoTensorBoard(GazeVlmError):
    """The package that writes TensorBoard's files is not installed."""


@contextlib.contextmanager
def open_metrics_log(
    out: Path, accelerator: Accelerator, tensorboard: bool, first_step: int
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yield a function that logs the figures of a step. Only the main process writes.

    first_step: TensorBoard drops figures from this step on that an interrupted fit left. Raises NoTensorBoard.
    """
    if not accelerator.is_main_process:
        yield lambda row: None
        return
    writer = require_tensorboard() if tensorboard else None
    board = writer(out / "tensorboard", purge_step=first_step or None) if writer else None
    with (out / METRICS).open("a", encoding="utf-8") as file:

        def log(row: Mapping[str, float]) -> None:
            file.write(json.dumps({key: round(value, 6) for key, value in row.items()}) + "\n")
            file.flush()
            if board is not None:
                for key, value in row.items():
                    if key != "step":
                        board.add_scalar(key, value, int(row["step"]))

        yield log
    if board is not None:
        board.close()


def require_tensorboard() -> Any:
    """Return the class that writes TensorBoard's files. Raises NoTensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise NoTensorBoard(
            "--tensorboard needs the Python package tensorboard, which is not installed; `pip install tensorboard`"
        ) from None
    return SummaryWriter
