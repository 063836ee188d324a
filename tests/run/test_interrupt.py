import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from gs_esd.run.interrupt import Interrupted, stop_request

BOTH = [signal.SIGINT, signal.SIGTERM]


class Usual(Exception):
    """What the handlers of these tests raise where a process would end."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise Usual(number)

    before = {number: signal.signal(number, end) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_without_a_signal_nothing_is_requested() -> None:
    with stop_request() as stop:
        assert not stop
    assert stop.signal is None


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_noted_and_the_block_goes_on(number: signal.Signals) -> None:
    with stop_request() as stop:
        signal.raise_signal(number)
        assert stop
        assert stop.signal == number


@pytest.mark.parametrize("second", BOTH)
@pytest.mark.parametrize("first", BOTH)
def test_a_second_signal_acts_at_once(first: signal.Signals, second: signal.Signals) -> None:
    with stop_request() as stop:
        signal.raise_signal(first)
        with pytest.raises(Usual) as ended:
            signal.raise_signal(second)
    assert ended.value.args == (second,)
    assert stop.signal == first


@pytest.mark.parametrize("number", BOTH)
def test_after_the_block_signals_act_as_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(ZeroDivisionError), stop_request():
        raise ZeroDivisionError
    assert signal.getsignal(number) is before
    with pytest.raises(Usual):
        signal.raise_signal(number)


def test_other_threads_leave_signals_alone() -> None:
    seen = []

    def work() -> None:
        before = [signal.getsignal(number) for number in BOTH]
        with stop_request() as stop:
            seen.append((bool(stop), [signal.getsignal(number) for number in BOTH] == before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, True)]


def test_an_interrupted_run_is_no_ordinary_error() -> None:
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert not issubclass(Interrupted, Exception)
