"""The output of a method, bounded in size."""

from leaderboard.text import plural

# Largest size of a method's log in bytes.
MAX_LOG = 128 * 1024


class Log:
    """The first and last halves of a method's output, up to `MAX_LOG` bytes."""

    def __init__(self) -> None:
        self.head, self.tail, self.left_out = b"", b"", 0

    def write(self, data: bytes) -> None:
        half = MAX_LOG // 2
        space = max(half - len(self.head), 0)
        self.head += data[:space]
        self.tail += data[space:]
        self.left_out += max(len(self.tail) - half, 0)
        self.tail = self.tail[-half:]

    def text(self) -> str:
        cut = f"\n[... {self.left_out} {plural(self.left_out, 'byte')} omitted ...]\n"
        gap = cut.encode() if self.left_out else b""
        return (self.head + gap + self.tail).decode(errors="replace")
