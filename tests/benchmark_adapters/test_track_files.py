"""Tracks from a TOML file."""

import functools
import json

import picture_folders
import pytest

from benchmark_adapters import plugins, track_files
from benchmark_adapters.types import UserError
from leaderboard.records import store

TRACK = """# Who distils these clothes best?
name = "clothes-sprint"
datasets = ["imagefolder:clothes?size=16", "./shoes/"]
time_limit = 100
ipc = [2, 3]
recipe = "quickstart/1"
repeats = 2
student = "mlp"
"""


@pytest.fixture
def challenge(tmp_path):
    """Return a track file with two folders of pictures beside it."""
    for name in ("clothes", "shoes"):
        picture_folders.write(tmp_path / name, count=3)
    (tmp_path / "challenge.toml").write_text(TRACK)
    return tmp_path / "challenge.toml"


@functools.cache
def installed():
    return plugins.build()


def find(file):
    return track_files.find(installed(), str(file))


def test_keys_become_the_rules(challenge):
    track = find(challenge)
    assert (track.name, track.datasets) == ("clothes-sprint", ("clothes", "shoes"))
    assert (track.time_limit, track.ipc, track.default_ipc) == (100, (2, 3), 2)
    assert (track.recipe, track.repeats, track.student) == ("quickstart/1", 2, "mlp")
    assert track.real_data
    assert dict(track.sources)["shoes"] == f"imagefolder:{challenge.parent / 'shoes'}"


def test_default_ipc_is_the_first_or_as_many_as_fit(challenge):
    challenge.write_text(TRACK.replace("ipc = [2, 3]", "default_ipc = 7"))
    assert (find(challenge).ipc, find(challenge).default_ipc) == ((), 7)
    challenge.write_text(TRACK.replace("ipc = [2, 3]", ""))
    assert find(challenge).default_ipc is None
    challenge.write_text(TRACK + "default_ipc = 'max'\n")
    with pytest.raises(UserError, match=r"line 9, key default_ipc: max is not one of the values"):
        find(challenge)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("repeats =", "repeat =", "line 7, key repeat: unknown; did you mean repeats?"),
        ("= 100", '= "soon"', "line 4, key time_limit: expected seconds, more than 0"),
        ("= 100", "= -1", "line 4, key time_limit: expected seconds, more than 0"),
        ("[2, 3]", "[0]", "line 5, key ipc: expected a list of numbers from 1"),
        ("quickstart/1", "quick/1", "line 6, key recipe: unknown recipe 'quick/1'; did you mean"),
        ('"mlp"', '"mpl"', "line 8, key student: unknown student 'mpl'; did you mean mlp?"),
        ("./shoes/", "./boots/", "line 3, key datasets: .*boots is not a folder"),
        ("./shoes/", "fashion", "line 3, key datasets: unknown dataset 'fashion'"),
        ("./shoes/", "./clothes/", "line 3, key datasets: clothes is named twice"),
        ("clothes-sprint", "quickstart", "line 2, key name: quickstart is the name of an install"),
        ("clothes-sprint", "../up", "line 2, key name: expected a text of up to 80 letters"),
        ('sprint"', 'sprint\\n"', "line 2, key name: expected a text of up to 80 letters"),
        ("./shoes/", "shoes", "unknown dataset 'shoes'; did you mean the folder ./shoes?"),
        ("time_limit =", "bundled_data = true\ntime_limit =", "key datasets: .* is not bundled"),
        ("repeats = 2", 'summary = """\nrepeats = 3\n"""\nrepeats = 0', "line 10, key repeats"),
        ("repeats = 2\n", "", "these keys are missing: repeats"),
        ("repeats = 2", "repeats = 2\ndevices = 0", "key devices: expected a number from 1 to"),
        ("= [2, 3]", "= [2, 3", "track file .*: .*line 6"),
    ],
)
def test_what_is_wrong_is_named_with_key_and_line(challenge, old, new, message):
    assert old in TRACK
    challenge.write_text(TRACK.replace(old, new))
    with pytest.raises(UserError, match=message) as error:
        find(challenge)
    assert "\n" not in str(error.value)


def test_byte_order_marks_and_deep_nesting_do_no_harm(challenge):
    challenge.write_text(TRACK, "utf-8-sig")
    assert find(challenge).name == "clothes-sprint"
    challenge.write_text(f"datasets = {'[' * 5000}")
    with pytest.raises(UserError, match="track file"):
        find(challenge)


def test_another_folder_never_counts_as_the_tracks_dataset(ddbench, challenge, tmp_path):
    """Same name, other pictures or another size."""
    picture_folders.write(tmp_path / "other" / "clothes", count=3)
    command = ("run", "--method", "random-real", "--track", "challenge.toml", "--repeats", "0")
    for text, name in (
        ("other/clothes/?size=16", "clothes-folder"),
        ("clothes/?size=8", "clothes-folder"),
        ("clothes/?size=16", "clothes"),
        ("clothes", "clothes"),
    ):
        done = ddbench(*command, "--dataset", text, "--json", "--device", "cpu")
        record = json.loads(done.stdout)
        assert record["dataset"] == name
        reasons = [reason["code"] for reason in record["not_comparable_because"]]
        assert ("dataset" in reasons) == (name == "clothes-folder")
    run = record["run_id"]
    files = ("--format", "mtt", "--output", "team", "--track", "challenge.toml")
    done = ddbench("export", run, *files)
    assert done.returncode == 0, done.stderr
    command = ("check", "team", "--format", "mtt", "--dataset", "clothes", "--track")
    assert "6 images of clothes" in ddbench(*command, "challenge.toml").stdout
    done = ddbench("score", run, "--track", "challenge.toml", "--repeats", "0")
    assert done.returncode == 0, done.stderr


def test_missing_files_and_unknown_tracks_are_told_apart(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.toml: No such file"):
        find(tmp_path / "nowhere.toml")
    with pytest.raises(UserError, match=r"did you mean quickstart\?.*or name a file .*FILE.toml"):
        find("quick")


def test_hash_is_that_of_the_rules(challenge, tmp_path):
    first = find(challenge).sha256
    assert len(first) == 64
    challenge.write_text("# Another comment\n" + TRACK + 'summary = "clothes"\n')
    assert find(challenge).sha256 == first
    for old, new in (("= 100", "= 99"), ("size=16", "size=8"), ('"mlp"', '"convnet3"')):
        challenge.write_text(TRACK.replace(old, new))
        assert find(challenge).sha256 != first
    challenge.write_text(TRACK + "devices = 2\n")
    assert find(challenge).sha256 not in (first, "")
    challenge.write_text(TRACK + "devices = 1\n")
    assert find(challenge).sha256 == first
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("clothes", "shoes"):
        (tmp_path / name).rename(moved / name)
    (moved / "challenge.toml").write_text(TRACK)
    assert find(moved / "challenge.toml").sha256 == first


def test_runs_follow_the_rules_and_are_ranked_by_them(ddbench, challenge, tmp_path):
    command = ("run", "--method", "random-real", "--track", "challenge.toml", "--device", "cpu")
    done = ddbench(*command, "--json")
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert [record["dataset"] for record in records] == ["clothes", "shoes"]
    assert all(record["comparable"] for record in records)
    assert {record["student"] for record in records} == {"mlp"}
    assert {record["rules"]["sha256"] for record in records} == {find(challenge).sha256}
    assert str(tmp_path) not in done.stdout
    # The records agree on the rules, so that the mean needs no file.
    assert "clothes-sprint, mean over clothes and shoes" in ddbench("leaderboard").stdout
    for track in ("challenge.toml", "clothes-sprint"):
        assert "clothes and shoes" in ddbench("leaderboard", "--track", track).stdout
    # If they don't agree, the file tells which runs are ranked.
    challenge.write_text(TRACK.replace("= 100", "= 99"))
    again = ddbench(*command, "--dataset", "clothes", "--seed", "1", "--json")
    assert json.loads(again.stdout)["comparable"]
    new = json.loads(again.stdout)["run_id"]
    for named, ranked in ((("--track", "challenge.toml"), {new}), ((), set())):
        rows = json.loads(ddbench("leaderboard", "--format", "json", *named).stdout)
        assert {row["run_id"] for row in rows if row["rank"]} == ranked
    changed = ddbench("rerun", records[0]["run_id"], "--track", "challenge.toml")
    assert "track clothes-sprint of the run has other rules now" in changed.stderr
    challenge.write_text(TRACK)
    done = ddbench("rerun", records[0]["run_id"], "--track", "challenge.toml", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr


def test_real_images_may_be_forbidden(ddbench, methods_here, challenge, tmp_path):
    challenge.write_text(TRACK + "real_data = false\n")
    done = ddbench("run", "--method", "random-real", "--track", "challenge.toml", "--json")
    assert done.returncode == 1
    (folder, *_) = store.runs_in([tmp_path / "runs"])
    assert "clothes-sprint does not allow real training images" in store.read(folder).message


def test_shards_need_installed_datasets(ddbench, challenge):
    command = ("run", "--method", "generative-turbo", "--shard", "0/2", "--dataset", "clothes/")
    done = ddbench(*command)
    assert (done.returncode, "--shard needs an installed dataset" in done.stderr) == (2, True)
