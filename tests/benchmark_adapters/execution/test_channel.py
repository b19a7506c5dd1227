"""Events from child processes that write anything at all."""

import signal

import msgspec
import pytest
from project import installed

from benchmark_adapters.execution import channel, sandbox
from benchmark_adapters.execution.channel import Child, UnknownEvent
from benchmark_adapters.execution.messages import DecodeJob, Ended

JOB = DecodeJob("", "", "", "")
# Start of a fake child process. Its first argument is the file descriptor for events.
PREAMBLE = "import os, sys\nevents = int(sys.argv[1])\n"


@pytest.fixture
def run(tmp_path, monkeypatch, real_sandbox):
    """Return a function that runs a child process with the given code and returns its events."""

    def run(code, seconds=60, hear=None):
        (tmp_path / "fake_child.py").write_text(PREAMBLE + code)
        events = []
        with installed(tmp_path):
            sandbox.run("fake_child", [JOB], sandbox.Limits(seconds, 2**33), hear or events.append)
        return events

    return run


def test_lines_are_joined_from_pieces():
    child = Child(None, -1)
    assert child.lines(b"fir") == []
    assert child.lines(b"st\nsecond\nthi") == [b"first", b"second"]
    assert child.lines(b"rd\n") == [b"third"]


def test_lines_rejects_endless_line(monkeypatch):
    monkeypatch.setattr(channel, "MAX_EVENT", 10)
    child = Child(None, -1)
    assert child.lines(b"0123456789") == []
    with pytest.raises(UnknownEvent):
        child.lines(b"0")


def test_an_interruption_loses_nothing_that_has_been_read(run):
    heard = []

    def interrupted(event):
        heard.append(event.threads)
        signal.raise_signal(signal.SIGINT)

    line = '{"type": "scoring", "device": "cpu", "threads": NUMBER}\\n'
    lines = "".join(line.replace("NUMBER", str(number)) for number in (1, 2, 3))
    with pytest.raises(KeyboardInterrupt):
        run(f"os.write(events, b'{lines}')\nimport time; time.sleep(100)", hear=interrupted)
    assert heard == [1, 2, 3]


def test_event_written_byte_by_byte_arrives_whole(run):
    code = """
text = b'{"type": "scoring", "device": "cpu", "threads": 1}\\n{"type": "end"}\\n'
for byte in text:
    os.write(events, bytes([byte]))
"""
    (event,) = run(code)
    assert (event.device, event.threads) == ("cpu", 1)


@pytest.mark.parametrize(
    "text",
    [
        b"garbage\n",
        b'{"type": "batch", "file": "x"}\n',
        b'{"type": "scoring", "device": "cpu"}\n',
        b'{"type": "scoring", "device": 1, "threads": 1}\n',
        b"\xff\xfe\n",
        b"[]\n",
    ],
)
def test_run_stops_process_that_writes_garbage(run, text):
    with pytest.raises(sandbox.SandboxFailed, match="its process sent an invalid event"):
        run(f"os.write(events, {text!r})\nimport time\ntime.sleep(3600)")


def test_run_stops_process_that_writes_endless_line(run, monkeypatch):
    monkeypatch.setattr(channel, "MAX_EVENT", 1_000_000)
    with pytest.raises(sandbox.SandboxFailed, match="its process sent an invalid event"):
        run("while True:\n    os.write(events, 1000 * b'x')")


def test_printed_output_is_not_an_event(run):
    printed = msgspec.json.encode(Ended()).decode()
    with pytest.raises(sandbox.SandboxFailed, match="failed with exit code 3"):
        run(f"print({printed!r}, flush=True)\nsys.exit(3)")


def test_run_stops_silent_process_at_time_limit(run):
    with pytest.raises(sandbox.SandboxFailed, match=r"it took longer than 0\.5 s"):
        run("import time\ntime.sleep(3600)", seconds=0.5)
