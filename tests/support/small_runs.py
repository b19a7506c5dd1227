"""Runs on the small track of the example plugin."""

from benchmark_adapters.runs import pipeline, unfinished
from benchmark_adapters.runs.request import Request, plan_runs
from leaderboard.records import store


def run(plugins, tmp_path, method, **values):
    """Run ``method`` on the track ``few``, and return the folder and record of the run."""
    defaults = {"track": "few", "runs": tmp_path / "runs", "device": "cpu"}
    request = Request(method=method, **defaults | values)
    (plan,) = plan_runs(request, plugins)
    folder = pipeline.run(plan)
    return folder, store.read(folder)


def only(runs, track):
    """Return the folder of the only run on ``track``."""
    (folder,) = [folder for folder in store.runs_in([runs]) if folder.parts[-4] == track]
    return folder


def seed_files(work):
    """Return the results of seeds that are kept of an interrupted run."""
    # A scratch folder beside one ends in .json too.
    return sorted((work / unfinished.SEEDS).glob("[!.]*.json"))


def kept(tmp_path):
    """Return the folders that interrupted runs are resumed from."""
    return sorted((tmp_path / "runs" / store.UNFINISHED).glob("*"))
