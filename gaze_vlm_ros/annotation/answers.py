"""Answers of a model to clips, from a server or from a local model, each into the journal as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any

from tqdm import tqdm

from gaze_vlm_ros.annotation.clips import Clip, clip_jpegs, clip_pictures
from gaze_vlm_ros.annotation.describe_settings import DescribeSettings
from gaze_vlm_ros.annotation.journal import Journal
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session.session import Session

NO_FRAME = "seconds without a frame that decodes"


def answers_from_server(
    session: Session,
    clips: Sequence[Clip],
    numbers: Sequence[int],
    settings: DescribeSettings,
    journal: Journal,
    *,
    url: str,
    model_name: str,
    key: str,
) -> None:
    """Query an OpenAI-compatible server about clips[number] of `numbers`, settings.parallel at a time.

    key: the server's, "" = none. Raises what ChatServer and Journal raise; answers that arrived are kept.
    """
    from gaze_vlm_ros.vlm.chat_client import ChatServer

    with (
        closing(ChatServer(url, model_name, key, settings)) as server,
        ThreadPoolExecutor(settings.parallel) as calls,
        _progress(numbers, len(clips)) as bar,
    ):
        pending: dict[Future[dict[str, Any]], int] = {}

        def gather(done: set[Future[dict[str, Any]]]) -> None:
            errors = []
            for future in done:
                number = pending.pop(future)
                try:
                    journal.add(number, future.result())
                    bar.update()
                except GazeVlmError as error:
                    errors.append(error)
            if errors:
                raise errors[0]

        try:
            for number in numbers:
                jpegs = clip_jpegs(session, clips[number], settings)  # in this thread: a bag has one reader
                if not jpegs:
                    journal.add(number, {"problem": NO_FRAME})
                    bar.update()
                    continue
                pending[calls.submit(server.ask, jpegs)] = number
                if len(pending) >= settings.parallel:
                    gather(wait(pending, return_when=FIRST_COMPLETED).done)
            while pending:
                gather(wait(pending, return_when=FIRST_COMPLETED).done)
        except BaseException:
            # Keep the answers of calls that are under way: they are paid for. A second Ctrl-C does not wait.
            server.stop()
            for future in wait(pending).done:
                if future.exception() is None:
                    journal.add(pending[future], future.result())
            raise


def answers_from_model(
    session: Session,
    clips: Sequence[Clip],
    numbers: Sequence[int],
    settings: DescribeSettings,
    journal: Journal,
    *,
    model: str,
    device: str,
) -> None:
    """Ask a model loaded here about clips[number] of `numbers`, settings.batch_size at a time.

    model, device: see LocalModel. Raises what load_vlm and Journal raise.
    """
    from gaze_vlm_ros.annotation.local_model import LocalModel

    local = LocalModel(model, settings, device)
    with _progress(numbers, len(clips)) as bar:
        for batch in _batches(numbers, settings.batch_size):
            pictures = {number: clip_pictures(session, clips[number], settings) for number in batch}
            shown = [number for number in batch if pictures[number]]
            answers = local.ask_all([pictures[number] for number in shown]) if shown else []
            for number, answer in zip(shown, answers, strict=True):
                journal.add(number, answer)
            for number in batch:
                if not pictures[number]:
                    journal.add(number, {"problem": NO_FRAME})
            bar.update(len(batch))


def _progress(numbers: Sequence[int], total: int) -> Any:
    return tqdm(total=total, initial=total - len(numbers), desc="describe", unit="second", mininterval=0.5)


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))
