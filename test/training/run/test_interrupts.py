"""Signals during a fit are noted, and a second one ends it."""

import os
import signal
from collections.abc import Iterator

import pytest

from training.run import interrupts


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_a_later_one_ends(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now)
    interrupted = interrupts.note_signals()
    assert not interrupted()
    os.kill(os.getpid(), number)
    assert interrupted()
    now = 100.9  # the launcher's copy of the first
    os.kill(os.getpid(), number)
    assert interrupted()
    now = 101.1
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)
