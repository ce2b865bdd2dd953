"""Ctrl-C and SIGTERM end a run between chunks, with the result so far."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from clouds import plain, run
from helpers import assert_same

from jaxnets.training import Interrupted


@pytest.fixture(autouse=True)
def handlers():
    """Python's default handlers of both signals."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        assert signal.signal(number, handler) is usual[number]  # a run restores them


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_the_run_after_the_chunk_with_its_result(number):
    with pytest.raises(Interrupted, match=f"signal {number}") as raised:
        run(epochs=9, report=lambda progress: os.kill(os.getpid(), number))
    fitted = raised.value.fit
    assert raised.value.signal == number
    assert [progress.epoch for progress in fitted.history] == [1]
    assert_same(plain(fitted.train_state), plain(run(epochs=1).train_state))


def test_a_second_ctrl_c_interrupts_at_once():
    reports = []

    def report(progress):
        reports.append(progress)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        reports.append("was not interrupted")

    with pytest.raises(KeyboardInterrupt) as raised:
        run(epochs=9, report=report)
    assert raised.type is KeyboardInterrupt
    assert len(reports) == 1


def test_ctrl_c_outside_a_run_is_pythons_keyboard_interrupt():
    run(epochs=1)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_run_in_another_thread_needs_no_handlers():
    with ThreadPoolExecutor(1) as thread:
        elsewhere = thread.submit(run).result()
    assert_same(plain(elsewhere.train_state), plain(run().train_state))


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def report(progress):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGINT)

    fitted = run(report=report)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert [progress.epoch for progress in fitted.history] == [1, 2]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_handler_that_was_not_installed_from_python_is_kept(monkeypatch):
    """As if Python is embedded: `signal.signal` returns None then, and does not accept it back."""
    usual = {"getsignal": signal.getsignal, "signal": signal.signal}
    foreign = {signal.SIGTERM}

    def set_handler(number, handler):
        before = None if number in foreign else usual["getsignal"](number)
        if handler is None:
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable")
        foreign.discard(number)
        usual["signal"](number, handler)
        return before

    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", set_handler)
        patch.setattr(
            signal, "getsignal", lambda n: None if n in foreign else usual["getsignal"](n)
        )
        fitted = run(epochs=1)
        assert foreign == {signal.SIGTERM}
        with pytest.raises(Interrupted):
            run(epochs=9, report=lambda progress: os.kill(os.getpid(), signal.SIGINT))
    assert fitted.train_state.step == 5
