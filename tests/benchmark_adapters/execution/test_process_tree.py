"""Signals that arrive while work is finished."""

import os
import signal
import threading
import time

import pytest

from benchmark_adapters.execution.process_tree import INTERRUPTING, signals_blocked


@pytest.fixture
def other_thread():
    """Have another thread, as with numpy, which takes any signal that the main thread blocks."""
    is_over = threading.Event()
    thread = threading.Thread(target=is_over.wait)
    thread.start()
    yield
    is_over.set()
    thread.join()


def test_a_signal_waits_for_the_end_of_the_block(other_thread):
    before, steps = [signal.getsignal(number) for number in INTERRUPTING], []

    def work():
        with signals_blocked():
            with signals_blocked():
                os.kill(os.getpid(), signal.SIGINT)
                # It takes the other thread a moment to receive it.
                time.sleep(0.2)
                steps.append("inner")
            steps.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["inner", "outer"]
    assert [signal.getsignal(number) for number in INTERRUPTING] == before


def test_a_thread_can_hold_no_signals_back_but_may_try():
    done = []

    def work():
        with signals_blocked():
            done.append("work")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["work"]
