"""A method can't forge the results of seeds, nor what its run is resumed from."""

import json

import numpy as np
import pytest
from small_runs import kept

FORGER = """
import json
from pathlib import Path
import numpy as np
def distill(task, budget):
    for name, text in json.loads(Path(FORGED).read_text()).items():
        for run in Path(UNFINISHED).glob("*"):
            (run / "seeds").mkdir(exist_ok=True)
            (run / "seeds" / name).write_text(text)
    (run / "seeds" / "link.json").symlink_to(FORGED)
    source = np.random.default_rng(task.seed)
    for _ in range(task.ipc):
        yield source.integers(0, 256, (10, 1, 28, 28), dtype=np.uint8), np.arange(10)
"""


# It changes what a run is resumed from, and is slow enough to be interrupted.
REWRITER = """
from pathlib import Path
import numpy as np
def distill(task, budget):
    (run,) = Path(UNFINISHED).glob("*")
    (run / "plan.json").write_text("{}")
    (run / "draft.json").write_text("{}")
    while True:
        yield np.full((10, 1, 28, 28), 7, np.uint8), np.arange(10)
"""


def test_a_method_cant_change_what_its_run_is_resumed_from(run, go_on, interrupt_after, tmp_path):
    unfinished = str(tmp_path / "runs" / ".unfinished")
    (tmp_path / "rewriter.py").write_text(REWRITER.replace("UNFINISHED", repr(unfinished)))
    interrupt_after(1)
    old = run(str(tmp_path / "rewriter.py"), repeats=1)[1]
    (work,) = kept(tmp_path)
    assert json.loads((work / "plan.json").read_bytes())["samples"]
    assert not (work / "draft.json").exists()
    new = go_on()[1]
    assert (new.status, new.ipc, new.origin.resumes) == ("ok", 2, old.run_id)


def test_a_method_that_writes_results_of_seeds_gains_nothing(
    run, go_on, trained, tmp_path, monkeypatch
):
    """It makes the images of an interrupted run, so it knows the names of the results."""
    whole = run("good", repeats=3)[1]
    trained.interrupt_after(5)
    run("good", repeats=3)
    (work,) = kept(tmp_path)
    forged = {path.name: perfect(path) for path in (work / "seeds").iterdir()}
    assert len(forged) == 2
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    text = FORGER.replace("FORGED", repr(str(tmp_path / "forged.json")))
    (tmp_path / "forger.py").write_text(text.replace("UNFINISHED", repr(str(work.parent))))
    with pytest.warns(UserWarning, match=r"5 results of seeds .* can't be trusted: deleted"):
        _, record = run(str(tmp_path / "forger.py"), repeats=3)
    assert (record.images_sha256, record.accuracies) == (whole.images_sha256, whole.accuracies)
    assert (tmp_path / "forged.json").is_file()
    assert go_on()[1].accuracies == whole.accuracies


def perfect(path):
    """Return the result of a seed with every test image right, as text."""
    result = json.loads(path.read_text())
    sizes = [sum(row) for row in result["confusion"]]
    return json.dumps({**result, "accuracy": 1.0, "confusion": np.diag(sizes).tolist()})
