"""Methods that attack the harness: its pipe, its files, its processes and the machine."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from ddbench_example.bad_methods import batches_folder
from ddbench_example.images import fall_asleep, images

PTRACE_SEIZE = 0x4206


def _deep(levels):
    return json.dumps({"type": "reported", "report": {"metadata": {"deep": 0}}}).replace(
        "0", levels * "[" + levels * "]"
    )


# What a process may write to the pipe of events, by name.
EVENTS = {
    "outside": '{"type":"batch","file":"../../0-0000000.safetensors","images":10,"generated":10,'
    '"ipc":1}',
    "other-part": '{"type":"batch","file":"7-0000000.safetensors","images":10,"generated":10,'
    '"ipc":1}',
    "twice": '{"type":"batch","file":"0-0000000.safetensors","images":10,"generated":10,"ipc":1}',
    "negative": '{"type":"batch","file":"0-0000009.safetensors","images":-1,"generated":0,"ipc":1}',
    "more-sampled": '{"type":"batch","file":"0-0000009.safetensors","images":1,"generated":2,'
    '"ipc":1}',
    "huge-number": '{"type":"phase","name":"a","done":' + 400 * "9" + ',"total":null}',
    "deep": _deep(100),
    "very-deep": _deep(100_000),
    "long": '{"type":"reported","report":{"metadata":{"a":"' + 5_000_000 * "x" + '"}}}',
    "long-name": '{"type":"ready","report":{"model":"' + 2000 * "x" + '"}}',
    "beyond": '{"type":"reported","report":{"metadata":{"a":1e301}}}',
    "unknown": '{"type":"seed","student":"mlp","seed":0,"accuracy":1.0}',
    "surrogate": '{"type":"ready","report":{"model":"\\ud800"}}',
    "no-end": 6_000_000 * "x",
}


def forges(task, budget):
    """Write an event of its own to the pipe, and wait."""
    yield images()
    _write_event(EVENTS[task.options["event"]].encode() + b"\n")
    fall_asleep()


def claims(task, budget):
    """Report a batch that has fewer images than the event says."""
    yield images()
    folder = Path(batches_folder())
    (folder / "0-0000005.safetensors").write_bytes((folder / "0-0000000.safetensors").read_bytes())
    event = {"type": "batch", "file": "0-0000005.safetensors", "images": 10_000}
    _write_event(json.dumps({**event, "generated": 10_000, "ipc": 2}).encode() + b"\n")
    fall_asleep()


def _write_event(line):
    """Write to the only pipe that is open for writing, besides the output."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            is_pipe = os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
            if descriptor > 2 and is_pipe:
                os.write(descriptor, line)
        except OSError:
            continue


def replaces_batch(task, budget):
    """Put something else where a batch file belongs."""
    yield images()
    (file,) = Path(batches_folder()).glob("*.safetensors")
    kind, content = task.options["kind"], file.read_bytes()
    file.unlink()
    if kind == "link":
        other = Path(task.options["target"])
        other.write_bytes(content)
        file.symlink_to(other)
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "other-labels":
        from safetensors.numpy import save_file

        pictures, labels = images()
        save_file({"images": pictures, "labels": labels + 5, "generated": labels >= 0}, file)
    elif kind == "other-type":
        from safetensors.numpy import save_file

        pictures, labels = images()
        tensors = {"images": pictures.astype(np.float32), "labels": labels}
        save_file({**tensors, "generated": labels >= 0}, file)
    yield images()


def plants_links(task, budget):
    """Put links to a file of the user where the harness will write."""
    folder = Path(batches_folder()).parent
    for name in ("images.safetensors", "record.json", "manifest.json", "grid.png", "log.txt"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(task.options["target"])
    yield images()
    yield images()


def replaces_folder(task, budget):
    """Put a link where the folder of the run is."""
    yield images()
    folder = Path(batches_folder()).parent
    folder.rename(folder.with_name("moved"))
    folder.symlink_to(task.options["target"])
    fall_asleep()


def daemons(task, budget):
    """Start processes that leave the group, the session and the environment of the method."""
    pids = [_daemon() for _ in range(3)]
    Path(task.options["target"]).write_text(" ".join(map(str, pids)))
    if task.options["kind"] == "without-guard":
        os.kill(os.getppid(), signal.SIGKILL)
    yield images()
    fall_asleep()


def _daemon(act=lambda: None):
    """Start a process that is no child of this one; return its id."""
    reading, writing = os.pipe()
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.write(writing, str(os.getpid()).encode())
            os.close(writing)
            act()
            # An own environment has no tag of the run.
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        os._exit(0)
    os.wait()
    os.close(writing)
    return int(os.read(reading, 20))


def traced(task, budget):
    """Let another process hold this one, as a debugger does."""
    victim = os.getpid()
    # A signal would stop the process at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)
    _daemon(lambda: ctypes.CDLL(None).ptrace(PTRACE_SEIZE, victim, 0, 0))
    time.sleep(0.3)
    yield images()
    fall_asleep()


def stops(task, budget):
    """Stop this process, which then reacts to nothing but SIGKILL."""
    yield images()
    os.kill(os.getpid(), signal.SIGSTOP)


def eats(task, budget):
    """Use more and more of one thing."""
    yield images()
    kept = []
    more = {
        "memory": lambda: np.ones(64 * 2**20, np.uint8),
        "processes": _daemon,
        "threads": lambda: threading.Thread(target=time.sleep, args=(1000,)).start(),
        "disk": lambda: _more(Path(batches_folder()) / f"more-{len(kept)}"),
        "elsewhere": lambda: _more(Path(task.options["target"]), unlinks=True),
    }[task.options["kind"]]
    while True:
        kept.append(more())
        time.sleep(0.01)


def _more(path, unlinks=False):
    """Write a file of 16 MiB, and return it open, by name or without one."""
    file = path.open("wb")
    if unlinks:
        path.unlink()
    file.write(bytes(16 * 2**20))
    file.flush()
    return file


def floods(task, budget):
    """Produce one thing without an end, as fast as possible."""
    yield images()
    line = b'{"type":"phase","name":"a","done":1,"total":2}\n'
    more = {
        "events": lambda: _write_event(line * 100),
        "output": lambda: os.write(1, bytes(65536)),
        "files": lambda: [(Path(batches_folder()) / f"{n}-{time.time()}").touch() for n in "abcd"],
        "batches": lambda: None,
    }[task.options["kind"]]
    while True:
        more()
        if task.options["kind"] == "batches":
            yield images()


# Each process starts the next one and exits. Without a harness, this ends after some seconds.
CHAINS = """
import os, time
end = time.time() + 20
for _ in range(100):
    if not os.fork():
        os.setsid()
        while time.time() < end:
            if os.fork():
                os._exit(0)
        os._exit(0)
time.sleep(20)
"""


def flees(task, budget):
    """Start processes that live too shortly to be found by a search."""
    yield images()
    subprocess.Popen([sys.executable, "-I", "-S", "-c", CHAINS], env={})
    fall_asleep()


def escapes(task, budget):
    """Report which ways out of an isolated process are open."""
    kept = Path(batches_folder()).parents[2]
    ways = {
        "home": lambda: Path("~/ddbench-escaped").expanduser().touch(),
        "target": lambda: Path(task.options["target"]).write_text("changed"),
        "seeds": lambda: (kept / "other" / "seeds" / "forged.json").touch(),
        "network": lambda: socket.create_connection(("127.0.0.1", int(task.options["kind"])), 5),
        "kill": lambda: os.kill(int(task.options["event"]), 0),
    }
    found = []
    for name, way in ways.items():
        try:
            way()
            found.append(name)
        except OSError:
            continue
    task.report(escaped=found, data=len(task.training_images()[0]))
    yield images(2)
