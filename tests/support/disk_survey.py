"""A folder with runs and a board, and whether all that it holds is whole."""

import hashlib
from html.parser import HTMLParser
from pathlib import Path

import msgspec

from benchmark_adapters.formats import native
from benchmark_adapters.runs import derived, read, unfinished
from benchmark_adapters.scoring.seed_cache import SeedResult
from leaderboard.records import store

OF_A_RUN = {store.RECORD, native.IMAGES, "log.txt", native.MANIFEST, derived.GRID}
BOARD_END = "</html>"


class _Links(HTMLParser):
    """The files that a page names."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value and not value.startswith(("#", "http", "data:")):
                self.found.add(value.partition("#")[0])


def require_whole_board(board: Path) -> str:
    """Return the index of a board, after looking for its end and for the files that it names."""
    index = (board / "index.html").read_text(encoding="utf-8")
    assert index.rstrip().endswith(BOARD_END)
    links = _Links()
    links.feed(index)
    assert links.found
    assert [name for name in sorted(links.found) if not (board / name).is_file()] == []
    return index


class Disk:
    """A folder in which commands run: ``runs``, ``board``, and whatever else is expected."""

    def __init__(self, folder: Path, expected=()):
        self.folder, self.runs, self.board = folder, folder / "runs", folder / "board"
        self.expected = {self.runs, self.board, *(folder / name for name in expected)}
        self.seen: dict[Path, str] = {}
        self.had_board = False

    def records(self):
        """Return folder and record of each finished run, after reading all of them."""
        entries, problems = store.entries([self.runs])
        assert problems == []
        return entries

    def survey(self):
        """Assert that nothing is damaged, unknown, changed or lost since the last survey."""
        entries = self.records()
        assert [text for one in entries if (text := read.damage(*one))] == []
        left = {leftover.path for leftover in store.leftovers([self.runs])}
        assert self._strangers({folder for folder, _ in entries}, left) == []
        for path in self.runs.glob(f"{store.UNFINISHED}/*/{unfinished.SEEDS}/[!.]*.json"):
            msgspec.json.decode(path.read_bytes(), type=SeedResult)
        for folder in self.folder.glob("tmp"):
            # Torch keeps one temporary folder for all processes of a user.
            assert {path.name.partition("_")[0] for path in folder.iterdir()} <= {"torchinductor"}
        files = [path for folder, _ in entries for path in folder.iterdir() if path.is_file()]
        now = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        assert {path: now.get(path) for path in self.seen} == self.seen
        self.seen = now
        if self.had_board or self.board.exists():
            self.had_board = True
            require_whole_board(self.board)
        return entries

    def _strangers(self, runs, left):
        """Return whatever is neither a run, nor a part of one, nor recognised as left behind."""
        works = set(self.runs.glob(f"{store.UNFINISHED}/*"))
        folders = set(self.runs.glob("[!.]*/*/*/*")) | works | set(self.folder.iterdir())
        parts = {part for run in runs for part in run.iterdir() if part.name not in OF_A_RUN}
        return sorted(map(str, (folders | parts) - runs - left - self.expected))
