"""SIGINT and SIGTERM set a stop flag; a second signal acts immediately."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from gs_esd.run.interrupt import Interrupted, stop_request

BOTH = [signal.SIGINT, signal.SIGTERM]


class Ended(Exception):
    """Raised by this module's signal handlers where the default would end the process."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_no_signal_no_stop_request() -> None:
    with stop_request() as stop:
        assert not stop
    assert stop.signal is None


@pytest.mark.parametrize("number", BOTH)
def test_first_signal_sets_the_flag(number: signal.Signals) -> None:
    with stop_request() as stop:
        signal.raise_signal(number)
        assert stop
        assert stop.signal == number


@pytest.mark.parametrize("second", BOTH)
@pytest.mark.parametrize("first", BOTH)
def test_second_signal_acts_immediately(first: signal.Signals, second: signal.Signals) -> None:
    with stop_request() as stop:
        signal.raise_signal(first)
        with pytest.raises(Ended) as ended:
            signal.raise_signal(second)
    assert ended.value.args == (second,)
    assert stop.signal == first


@pytest.mark.parametrize("number", BOTH)
def test_handlers_are_restored_after_the_block(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(ZeroDivisionError), stop_request():
        raise ZeroDivisionError
    assert signal.getsignal(number) is before
    with pytest.raises(Ended):
        signal.raise_signal(number)


def test_other_threads_do_not_handle_signals() -> None:
    seen = []

    def work() -> None:
        before = [signal.getsignal(number) for number in BOTH]
        with stop_request() as stop:
            seen.append((bool(stop), [signal.getsignal(number) for number in BOTH] == before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert seen == [(False, True)]


def test_interrupted_is_a_keyboard_interrupt() -> None:
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert not issubclass(Interrupted, Exception)
