"""The device to compute on."""

from __future__ import annotations

import torch

from gaze_vlm_ros.errors import GazeVlmError


class NoDevice(GazeVlmError):
    """This machine does not have the requested device."""


def resolve_device(name: str) -> str:
    """Return the name of the device to compute on: "auto" is cuda if there is one, else cpu. Raises NoDevice."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise NoDevice(f"device is {name!r}, expected auto, cpu, cuda or cuda:N; use --set device=auto") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NoDevice(f"device is {name}, and torch finds no CUDA here; use --set device=cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NoDevice(f"device is {name}, and there are {torch.cuda.device_count()} GPUs, counted from 0")
    return name
