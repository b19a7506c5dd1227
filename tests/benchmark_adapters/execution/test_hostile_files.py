"""Every hostile submission of the catalogue gets one line, soon, and costs little memory."""

import hostile_files
import pytest
from hostile_files import ATTACKS, MAX_MEGABYTES, MAX_SECONDS, READ

from benchmark_adapters.execution import decode_limits, sandbox

QUICK = [name for name, attack in ATTACKS.items() if not attack.is_slow]
SLOW = [name for name, attack in ATTACKS.items() if attack.is_slow]


@pytest.fixture(scope="module")
def quick_rows():
    return {row.attack: row for row in hostile_files.rows(QUICK)}


def check_row(row):
    says = ATTACKS[row.attack].says
    # What users see has no control characters; see the test below.
    assert " ".join(says.split()) in " ".join(row.outcome.split())
    assert (row.outcome == READ) == (not says)
    assert row.seconds < MAX_SECONDS
    assert row.megabytes < MAX_MEGABYTES


@pytest.mark.parametrize("name", QUICK)
def test_decoding_a_hostile_file_ends_soon_within_bounds(name, quick_rows):
    check_row(quick_rows[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_decoding_a_large_hostile_file_ends_soon_within_bounds(name):
    (row,) = hostile_files.rows([name])
    check_row(row)


def files_in(folder):
    return {path: path.lstat().st_size for path in folder.rglob("*")}


@pytest.mark.parametrize("name", [name for name in QUICK if ATTACKS[name].says])
def test_a_hostile_file_gets_one_line_and_touches_nothing(name, ddbench, tmp_path, monkeypatch):
    attack, folder = ATTACKS[name], tmp_path / "team"
    folder.mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    path = attack.write(folder)
    before = files_in(tmp_path)
    options = ["--image-size", "28"] if attack.resizes else []
    done = ddbench("check", path, "--format", attack.format, "--dataset", "fashion-mnist", *options)
    assert files_in(tmp_path) == before
    assert (done.returncode, done.stdout) == (1, "not fit for scoring\n")
    assert done.stderr.startswith("error: not readable: ")
    assert attack.says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.strip().isprintable()


@pytest.mark.usefixtures("real_sandbox")
def test_a_set_has_little_time_if_its_files_are_small(tmp_path, example_plugins, monkeypatch):
    (tmp_path / "few.pt").touch()
    monkeypatch.setattr(decode_limits, "SECONDS", 2)
    monkeypatch.setenv("ASLEEP", str(tmp_path / "asleep"))
    with pytest.raises(sandbox.SandboxFailed, match="it took longer than 3 s"):
        sandbox.decode(tmp_path, "sleepy", "few", tmp_path, sandbox.Limits())


@pytest.mark.usefixtures("real_sandbox")
def test_a_set_has_little_memory_if_its_files_are_small(tmp_path, example_plugins):
    (tmp_path / "few.pt").touch()
    with pytest.raises(sandbox.SandboxFailed, match=r"MemoryError; its memory limit is [12]\.\d G"):
        sandbox.decode(tmp_path, "greedy", "few", tmp_path, sandbox.Limits())


def test_limits_grow_with_the_files(tmp_path):
    assert decode_limits.seconds(tmp_path) == 60
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(bytes(10))
    (tmp_path / "link.pt").symlink_to("/dev/zero")
    picture = 2**30
    assert decode_limits.memory(tmp_path, picture) - decode_limits.memory(tmp_path, 0) > 8 * picture
    with (tmp_path / "images.pt").open("wb") as file:
        file.truncate(2**40)
    assert 600 < decode_limits.seconds(tmp_path) < 1200
    assert decode_limits.seconds(tmp_path / "images.pt") == decode_limits.seconds(tmp_path)
