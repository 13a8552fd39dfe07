"""Gaze predicted from pictures, as a control: what a fit can have without the eye tracker.

A small convolutional network learns from the training sessions only where people look in a frame. Its predictions take
the place of gaze. For the training sessions they come from a network that has not seen the session (two folds), because
a network would repeat the gaze that it was fitted to. A file of predictions of any other model works the same way.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.gaze.distribution import patch_distribution
from gaze_vlm_ros.session.session import Session, load_session
from training.data.gaze_targets import FrameGaze, frame_gaze, session_of
from training.data.prepared_arrays import store_complete
from training.data.recordings import Recording
from training.settings import Settings

# Sizes and training of the network: small, and fixed, so that the control is the same everywhere.
_PICTURE, _GRID = (64, 48), (16, 12)  # (width, height) px of what it sees, and cells of what it predicts
_WIDTH, _EPOCHS, _BATCH, _RATE = 24, 6, 64, 2e-3
_COLUMNS = ("session", "stamp_ns", "x", "y", "weight")


class NoPredictedGaze(GazeVlmError):
    """Gaze cannot be predicted for these sessions, or a file of predictions does not fit them."""


def predicted_gaze(
    recordings: Sequence[Recording], training: Sequence[Recording], settings: Settings, cache: Path
) -> dict[str, Path]:
    """Return a CSV file of predicted gaze for each recording, by digest: settings.gaze_file, or written to `cache`.

    Columns: session, stamp_ns of the frame, x and y px of the frame, weight. training: those of `recordings` to learn
    from. Raises NoPredictedGaze for a session that gaze_file lacks, and with fewer than two sessions to learn from.
    """
    if settings.gaze_file:
        path = Path(settings.gaze_file)
        known = {row["session"] for row in _rows(path)}
        if missing := [recording.name for recording in recordings if recording.name not in known]:
            raise NoPredictedGaze(f"{path} has no gaze for {', '.join(missing[:5])}; predict it for every session")
        return {recording.digest: path for recording in recordings}
    with_gaze = [recording for recording in training if recording.gaze is not None]
    if len(with_gaze) < 2:
        raise NoPredictedGaze(
            f"gaze: predicted learns from training sessions with gaze in two folds, and there are {len(with_gaze)}; "
            "give more bags, or gaze_file"
        )
    digests = [recording.digest for recording in with_gaze]
    order = np.random.default_rng([settings.seed, 5]).permutation(len(with_gaze))
    fold_of = {digests[i]: place % 2 for place, i in enumerate(order.tolist())}
    parts = [[recording for recording in with_gaze if fold_of[recording.digest] == fold] for fold in (0, 1)]
    networks: dict[int, nn.Module] = {}
    files = {}
    for recording in recordings:
        fold = 1 - fold_of.get(recording.digest, 1)  # of the sessions that the network for this one learns from
        windows = [window.frames for window in recording.windows]
        key = json.dumps([
            recording.digest, sorted(part.digest for part in parts[fold]), windows, settings.gaze_sigma,
            settings.gaze_window_s, settings.seed, _WIDTH, _EPOCHS, _RATE,
        ])  # fmt: skip
        path = cache / "predicted" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.csv"
        if not path.is_file():
            if fold not in networks:
                networks[fold] = _fit(parts[fold], settings)
            with store_complete(path) as unfinished:
                _write(unfinished, networks[fold], recording)
        files[recording.digest] = path
    return files


def read_predictions(path: Path, session: Session) -> Mapping[int, FrameGaze]:
    """Return the predicted gaze on frames of a session by the frame's stamp, ns. Raises NoPredictedGaze."""
    found: dict[int, list[tuple[float, float, float]]] = {}
    for row in _rows(path):
        if row["session"] == session.name:
            try:
                sample = (float(row["x"]), float(row["y"]), float(row["weight"]))
                found.setdefault(int(row["stamp_ns"]), []).append(sample)
            except (TypeError, ValueError):
                raise NoPredictedGaze(f"{path}: {dict(row)} is no row of {', '.join(_COLUMNS)} in numbers") from None
    arrays = {stamp_ns: np.array(samples) for stamp_ns, samples in found.items()}
    return {stamp_ns: (samples[:, :2], samples[:, 2]) for stamp_ns, samples in arrays.items()}


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise NoPredictedGaze(f"no file of predicted gaze at {path}; set gaze_file to a CSV of {', '.join(_COLUMNS)}")
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
            raise NoPredictedGaze(f"{path} lacks the columns {', '.join(missing)}, expected {', '.join(_COLUMNS)}")
        return list(rows)


def _shown(recording: Recording) -> list[int]:
    """Return the frames that some window shows."""
    return sorted({index for window in recording.windows for index in window.frames})


def _pictures(session: Session, indices: Sequence[int]) -> Tensor:
    """Return (n, 6, h, w) from -1 to 1: each frame, and its difference to the frame before it."""
    made = []
    for index in indices:
        now, before = (
            cv2.resize(session.frames.rgb(max(0, at)), _PICTURE, interpolation=cv2.INTER_AREA).astype(np.float32)
            for at in (index, index - 1)
        )
        made.append(np.concatenate([now / 127.5 - 1, (now - before) / 127.5], axis=2))
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).contiguous()


def _cells(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return (cells, 4) boxes of the grid on a frame of `size` (width, height) px, row by row."""
    side = np.array(size) / _GRID
    row, column = np.divmod(np.arange(_GRID[0] * _GRID[1]), _GRID[0])
    low = np.column_stack([column, row]) * side
    return np.hstack([low, low + side])


class _Network(nn.Module):
    """Three convolutions, and a map of where people look whatever they see."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(6, _WIDTH, 5, 2, 2), nn.ReLU(), nn.Conv2d(_WIDTH, _WIDTH, 5, 2, 2), nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 5, 1, 2), nn.ReLU(), nn.Conv2d(_WIDTH, 1, 1),
        )  # fmt: skip
        self.prior = nn.Parameter(torch.zeros(_GRID[0] * _GRID[1]))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (B, cells) logits."""
        logits: Tensor = self.layers(pictures).flatten(1) + self.prior
        return logits


def _fit(recordings: Sequence[Recording], settings: Settings) -> nn.Module:
    """Fit a network to the gaze on all frames that windows of `recordings` show."""
    pictures, targets = [], []
    for recording in recordings:
        session = session_of(recording.path, settings)
        cells, sigma = _cells(session.frames.size), settings.gaze_sigma * session.frames.size[0]
        shares = {}
        for index in _shown(recording):
            share = patch_distribution(*frame_gaze(session, index, settings), cells, sigma)
            if share.any():
                shares[index] = share
        if shares:
            pictures.append(_pictures(session, list(shares)))
            targets.append(torch.from_numpy(np.stack(list(shares.values())).astype(np.float32)))
    if not pictures:
        raise NoPredictedGaze("no training session has usable gaze to learn from; see `gaze-vlm bag check`")
    seen, looked = torch.cat(pictures), torch.cat(targets)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = _Network()
        optimizer = torch.optim.Adam(network.parameters(), _RATE)
        for _ in range(_EPOCHS):
            for rows in torch.randperm(len(seen)).split(_BATCH):
                loss = F.cross_entropy(network(seen[rows]), looked[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return network.eval()


@torch.no_grad()
def _write(path: Path, network: nn.Module, recording: Recording) -> None:
    """Write the predicted shares of the cells as points at their centres, those above an even share only."""
    session = load_session(recording.path, roles=recording.roles)
    cells, indices = _cells(session.frames.size), _shown(recording)
    centres = (cells[:, :2] + cells[:, 2:]) / 2
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for start in range(0, len(indices), _BATCH):
            part = indices[start : start + _BATCH]
            shares = network(_pictures(session, part)).softmax(dim=1).numpy()
            for index, share in zip(part, shares, strict=True):
                for cell in np.flatnonzero(share > 1 / len(cells)):
                    x, y = centres[cell]
                    stamp_ns = int(session.frames.stamps_ns[index])
                    writer.writerow([session.name, stamp_ns, round(x, 2), round(y, 2), round(float(share[cell]), 5)])
