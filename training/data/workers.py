"""Work on several bags at a time, in processes of this machine or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision
from training.data.recordings import Mapper


class NoRay(GazeVlmError):
    """Ray is not installed, or no cluster runs at the address."""


class WorkerDied(GazeVlmError):
    """A process that converted bags was killed."""


@contextmanager
def bag_mapper(workers: int = 1, ray_address: str | None = None) -> Iterator[Mapper]:
    """Yield a function like `map` that works on several bags at a time, and yields results in their order.

    workers: processes on this machine; 1 = only this one. ray_address: Ray cluster ("auto": the one this machine
    belongs to; "local": a temporary one), whose machines see bags and cache under the same paths.
    Raises NoRay; the mapper raises WorkerDied and what the function raises.
    """
    if ray_address is not None:
        with _ray_mapper(ray_address) as mapper:
            yield mapper
    elif workers > 1:
        with worker_pool(workers) as pool:
            yield lambda function, items: _results(pool.map(function, items))
    else:
        yield map


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of processes on this machine that use one core each."""
    # Spawn: a forked process may hang if torch runs threads, and loses CUDA.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _begin() -> None:
    hide_broken_torchvision()
    use_one_core()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent ends: a killed parent cannot stop it, and a fit would run on for hours."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def use_one_core() -> None:
    """Make torch and OpenCV use one thread: there are as many processes as cores."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _results(results: Iterable[Any]) -> Iterator[Any]:
    try:
        yield from results
    except BrokenProcessPool:
        raise WorkerDied(
            "a process that converts bags was killed, perhaps out of memory; converted bags are kept: start again "
            "with fewer --workers"
        ) from None


@contextmanager
def _ray_mapper(address: str) -> Iterator[Mapper]:
    try:
        import ray
    except ImportError:
        raise NoRay("--ray needs the Python package ray, which is not installed; `pip install ray`") from None
    # Workers import this checkout, which is not an installed package. Ray fills in the worker's own PYTHONPATH.
    environment = {"env_vars": {"PYTHONPATH": f"{Path(__file__).resolve().parents[2]}:${{PYTHONPATH}}"}}
    try:
        ray.init(
            address=None if address == "local" else address,
            runtime_env=environment,
            log_to_driver=False,
            include_dashboard=False if address == "local" else None,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise NoRay(f"no Ray cluster at {address!r} ({error}); start one with `ray start --head`") from None

    def on_cluster(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        # Upload the function once: it carries the processor, which all bags share.
        shared = ray.put(function)
        waiting = [_on_one_core(ray).remote(shared, item) for item in items]
        for reference in waiting:
            try:
                yield ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                raise WorkerDied(f"Ray lost a bag's conversion ({type(error).__name__}); start again") from None

    try:
        yield on_cluster
    finally:
        ray.shutdown()


def _on_one_core(ray: Any) -> Any:
    def run(function: Callable[[Any], Any], item: Any) -> Any:
        use_one_core()
        return function(item)

    return ray.remote(run)
