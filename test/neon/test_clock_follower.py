"""The offset of the phone's clock as the client follows it, against a phone that is a function of time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gaze_vlm_ros.neon import clock_follower
from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.clock_follower import ClockFollower, ClockUnknown
from gaze_vlm_ros.neon.device_clock import TimeEcho
from gaze_vlm_ros.neon.stream import NeonStream

HOST_NS = 1_700_000_000_000_000_000
MS = 1_000_000
ECHO_NS = 1_700_000  # from one echo to the next


class Phone:
    """Answers time echoes; `offset_ns` = this host's clock minus the phone's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steady_ns, self.host_ahead_ns, self.offset_ns, self.round_trip_ns = 0, HOST_NS, -3_200 * MS, 200_000
        self.counts: list[int] = []  # echoes of each round
        self.is_gone = False
        self.notices: list[tuple[bool, str]] = []
        self.streams: list[NeonStream] = []
        monkeypatch.setattr(clock_follower, "take_echoes", self._take_echoes)
        self.follower = ClockFollower(
            Address("neon", 8080),
            lambda *notice: self.notices.append(notice),
            lambda: self.streams,
            now_ns=self.now_ns,
            steady_ns=lambda: self.steady_ns,
            port=5555,
        )

    def now_ns(self) -> int:
        return self.host_ahead_ns + self.steady_ns

    async def _take_echoes(self, host: str, port: int, count: int, now_ns: Callable[[], int]) -> list[TimeEcho]:
        assert (host, port) == ("neon", 5555)
        if self.is_gone:
            raise ConnectionRefusedError("nobody")
        self.counts.append(count)
        echoes = []
        for _ in range(count):
            sent_ns = now_ns()
            self.steady_ns += self.round_trip_ns
            device_ms = (sent_ns + self.round_trip_ns // 2 - self.offset_ns) // MS
            echoes.append(TimeEcho(sent_ns, now_ns(), device_ms))
            self.steady_ns += ECHO_NS
        return echoes


@pytest.fixture
def phone(monkeypatch: pytest.MonkeyPatch) -> Phone:
    return Phone(monkeypatch)


def run(work: Awaitable[object]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())


def test_one_good_estimate_is_enough_to_begin(phone: Phone) -> None:
    run(phone.follower.begin(pause_s=0.0))
    assert phone.counts == [40]
    assert abs(phone.follower.clock.offset_ns(HOST_NS) - phone.offset_ns) < MS
    assert phone.follower.age_ns(phone.now_ns() - phone.offset_ns - 50 * MS) == pytest.approx(50 * MS, abs=MS)
    assert not phone.notices


def test_slow_echoes_are_tried_again_and_then_reported(phone: Phone) -> None:
    phone.round_trip_ns = 20 * MS
    run(phone.follower.begin(pause_s=0.0))
    assert phone.counts == [40] * 5
    ((is_good, text),) = phone.notices
    assert not is_good
    assert text.startswith("time echoes are slow: stamps may be off by ")


def test_a_phone_without_an_answer_or_a_port_gives_no_time(phone: Phone) -> None:
    phone.is_gone = True
    with pytest.raises(ClockUnknown, match="does not answer time echoes on port 5555; let TCP to that port pass"):
        run(phone.follower.begin(pause_s=0.0))
    phone.follower.port = None
    with pytest.raises(ClockUnknown, match="has no time echo; update the Companion app"):
        run(phone.follower.begin(pause_s=0.0))


def test_a_doubt_that_a_quick_look_dispels_costs_no_full_round(phone: Phone) -> None:
    run(phone.follower.begin(pause_s=0.0))
    phone.follower.state.doubt()
    run(phone.follower.estimate())
    assert phone.counts == [40, 5]
    assert not phone.follower.state.doubted
    run(phone.follower.estimate())
    assert phone.counts == [40, 5, 40]


def steps_of(phone: Phone) -> list[int]:
    """Steps of the phone's clock that a stream hears of."""
    heard: list[int] = []
    stream = NeonStream("gaze", phone.follower.state, lambda *_: None)
    stream.clock_was_set = heard.append  # type: ignore[method-assign]
    phone.streams = [stream]
    return heard


def test_a_phone_whose_clock_was_set_is_reported_to_the_streams(phone: Phone) -> None:
    steps = steps_of(phone)
    run(phone.follower.begin(pause_s=0.0))
    phone.offset_ns -= 500 * MS  # the phone is set ahead
    phone.follower.state.doubt()
    run(phone.follower.estimate())
    assert phone.counts == [40, 5, 40]
    assert steps == [pytest.approx(500 * MS, abs=MS)]
    ((is_good, text),) = phone.notices
    assert not is_good
    assert text.startswith("the phone's clock was set by +0.500")


def test_a_host_whose_clock_was_set_is_not_the_phone_s_step(phone: Phone) -> None:
    steps = steps_of(phone)
    run(phone.follower.begin(pause_s=0.0))
    phone.host_ahead_ns += 3_000 * MS
    phone.offset_ns += 3_000 * MS
    assert not phone.follower.state.is_sure()
    run(phone.follower.estimate())
    assert not steps
    ((_, text),) = phone.notices
    assert text.startswith("this host's clock was set by +3.0000 s")


def test_silence_of_the_time_echo_is_reported_once_and_so_is_its_end(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_follower, "CHECK_PAUSE_S", 0.0)
    phone.follower.period_s = 0.0

    async def follow() -> None:
        await phone.follower.begin(pause_s=0.0)
        following = asyncio.ensure_future(phone.follower.follow())
        for is_gone in (True, False):
            phone.is_gone = is_gone
            for _ in range(20):
                await asyncio.sleep(0)
            while len(phone.notices) < (1 if is_gone else 2):
                await asyncio.sleep(0.001)
        following.cancel()

    asyncio.run(follow())
    assert [is_good for is_good, _ in phone.notices] == [False, True]
    assert phone.notices[0][1].startswith("no answer to time echoes: the last offset and drift hold")
    assert phone.notices[1][1] == "time echoes are answered again"
