"""Pictures copied from run folders, and confusion matrices."""

import os

from leaderboard.render import pictures


def test_copy_grid_copies_only_png_files(tmp_path):
    (tmp_path / "secret.png").write_bytes(pictures.PNG + b"secret")
    size = (50_000).to_bytes(4, "big")
    bad = [
        lambda path: path.symlink_to(tmp_path / "secret.png"),
        lambda path: path.write_text("<script>"),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
        # This one would fill the reader's memory.
        lambda path: path.write_bytes(pictures.PNG + bytes(8) + 2 * size),
        lambda path: path.write_bytes(pictures.PNG + bytes(pictures.MAX_GRID_BYTES)),
    ]
    target = tmp_path / "target.png"
    for number, make in enumerate(bad):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "grid.png")
        assert not pictures.copy_grid(folder, target)
        assert not target.exists()
    good = pictures.PNG + bytes(8) + 2 * (10).to_bytes(4, "big")
    (folder / "grid.png").unlink()
    (folder / "grid.png").write_bytes(good)
    assert pictures.copy_grid(folder, target)
    assert target.read_bytes() == good


def test_heat_returns_share_and_colour_of_each_cell():
    assert pictures.heat([[8, 2], [0, 0]]) == [[("80", 8), ("20", 2)], [("0", 0), ("0", 0)]]
