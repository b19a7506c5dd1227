"""check-plugin: good methods pass, and each bad one fails with the advice that its author needs."""

import json

import pytest
from installing import install

from benchmark_adapters.runs import plugin_check
from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.runs.trials import IPC

# Where the example raises its exception.
RAISED = "bad_methods.py, line 26"

TORCH_AT_ITS_TOP = """
import torch
from benchmark_adapters import hookimpl
from benchmark_adapters.types import Method

def distill(task, budget):
    yield from ()

@hookimpl
def ddbench_methods():
    return [Method("heavy", distill)]
"""


@pytest.fixture
def checks(example_plugins, clock):
    """Return a function that returns all checks of a method, by name.

    Each trial reaches its time limit after ``cut`` batches.
    """

    def run(method, limit=600, cut=40):
        clock.jump_after(cut)
        (plan,) = plan_runs(
            Request(method, track="few", ipc=IPC, repeats=0, device="cpu", time_limit=limit),
            example_plugins,
        )
        return {check.name: check for check in plugin_check.check(plan.sampling)}

    return run


def statuses(results, status):
    return {name for name, check in results.items() if check.status == status}


def test_good_method_passes(checks):
    results = checks("good")
    assert list(results) == list(plugin_check.CHECKS)
    assert statuses(results, "failed") == set()
    assert {name: results[name].text for name in statuses(results, "skipped")} == {
        "parts": "the method is not divisible"
    }
    assert results["count"].text.startswith("3 images per class, as requested")
    assert results["real images"].text == "not used"


def test_method_killed_at_the_limit_passes(checks):
    results = checks("slow", cut=4)
    assert results["cut"].status == results["limit"].status == "ok"
    expected = "with task.ipc=None, 4 images per class by the time limit of "
    assert results["cut"].text.startswith(expected)
    assert results["limit"].text.startswith("killed by the harness at ")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("wrong-shape", "yielded images of shape [10, 28, 28], expected [n, 1, 28, 28]"),
        ("wrong-size", "yielded images of shape [10, 1, 32, 32], expected [n, 1, 28, 28]"),
        ("nan", "yielded images of type float32, some of them NaN or infinite, expected uint8"),
        ("label-range", "yielded labels from 1 to 10, expected 0 to 9"),
        ("no-generator", "distill returned NoneType, expected a generator of batches"),
        ("raises", f"the method raised RuntimeError: the model exploded ({RAISED})"),
        ("dies", "the method's process was killed by signal SIGKILL"),
        ("meddles", "the method wrote to the pipe reserved for the harness"),
        (
            "deletes",
            "the batch files are missing or damaged: "
            "No such file or directory: 0-0000000.safetensors",
        ),
        ("nothing", "no batch when it stopped: continue until there are 3 images of each class"),
    ],
)
def test_failing_method_is_tried_once(checks, method, message):
    results = checks(method)
    assert statuses(results, "failed") == {"batches"}
    assert results["batches"].text == message
    assert statuses(results, "ok") == {"plugin"}
    assert {results[name].text for name in statuses(results, "skipped")} == {
        "depends on a check that did not pass: batches",
        "depends on a check that did not pass: count",
        "depends on a check that did not pass: cut",
    }


def test_method_that_hangs_is_tried_once(checks):
    results = checks("hangs", limit=0.5)
    assert statuses(results, "failed") == {"batches"}
    assert (
        results["batches"].text
        == "no batch by the time limit of 0.5 s: yield earlier, or raise --time-limit"
    )


@pytest.mark.parametrize(
    ("method", "cut", "messages"),
    [
        ("too-few", 40, {"count": "1 of 3 images per class when it stopped: continue until"}),
        (
            "unseeded",
            40,
            {
                "same seed": "seed 0 produces different images the second time: "
                "take all randomness from task.seed"
            },
        ),
        (
            "class-by-class",
            1000,
            {
                "balance": "after batch 3, class 0 has 3 images and class 1 has 0, and a run "
                "stopped there would keep only the smaller number of each class: alternate"
            },
        ),
        (
            "unbalanced",
            9,
            {
                "other seed": "seeds 0 and 1 produce the same images: use task.seed",
                "balance": "after batch 4, class 0 has 4 images and class 1 has 2, and a run "
                "stopped there would keep only the smaller number",
            },
        ),
        (
            "marks",
            40,
            {
                "other seed": "the same images",
                "cut": "with task.ipc=None, the method raised TypeError: "
                "'NoneType' object cannot be interpreted as an integer",
            },
        ),
        ("divided", 10, {"other seed": "the same images"}),
        (
            "undivided",
            40,
            {
                "parts": "two parts generate different images from one process: "
                "generate the images whose index within their class is task.part"
            },
        ),
    ],
)
def test_each_broken_rule_fails_its_check(checks, method, cut, messages):
    results = checks(method, cut=cut)
    assert statuses(results, "failed") == set(messages)
    for name, message in messages.items():
        assert message in results[name].text


def test_parts_that_do_not_stop_fail(checks):
    results = checks("endless-part")
    assert statuses(results, "failed") == {"parts"}
    assert (
        results["parts"].text
        == "one of two parts did not stop by itself: return once its share of task.ipc is complete"
    )


def test_parts_may_differ_by_rounding(checks):
    results = checks("nearly-divided")
    assert statuses(results, "ok") == set(plugin_check.CHECKS)
    expected = "two parts generate the same images as one process except for rounding"
    assert results["parts"].text == expected


def test_torch_imported_at_module_level_fails(ddbench, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    install(site, "heavy", TORCH_AT_ITS_TOP)
    done = ddbench("check-plugin", "heavy", "--device", "cpu", path=[site])
    assert done.returncode == 1
    assert done.stdout.startswith("failed   plugin       heavy imports torch at module level, ")
    assert done.stdout.endswith("heavy fails: plugin, batches\n")


def test_command_prints_a_line_per_check_and_writes_no_file(ddbench, tmp_path, clock):
    clock.jump_after(40)
    done = ddbench("check-plugin", "random-real", "--device", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    assert [line[:9].strip() for line in lines].count("ok") == len(plugin_check.CHECKS) - 1
    assert lines[-1] == "ok       real images  used, through task.training_images()"
    assert last == "random-real passes"
    assert list(tmp_path.iterdir()) == []


def test_command_explains_why_a_method_fails(ddbench, example_folder):
    arguments = ("check-plugin", "raises", "--track", "few", "--device", "cpu")
    done = ddbench(*arguments, path=[example_folder])
    assert (done.returncode, done.stderr) == (1, "")
    assert (
        f"failed   batches      the method raised RuntimeError: the model exploded ({RAISED})\n"
        in done.stdout
    )
    assert done.stdout.endswith("raises fails: batches\n")
    debug = ddbench(*arguments, "--debug", path=[example_folder])
    assert debug.stdout.splitlines()[1:] == done.stdout.splitlines()[1:]
    assert 'raise RuntimeError("the model\\nexploded")' in debug.stderr
    document = json.loads(ddbench(*arguments, "--json", path=[example_folder]).stdout)
    assert not document["ok"]
    assert document["checks"][1] == {
        "name": "batches",
        "status": "failed",
        "text": f"the method raised RuntimeError: the model exploded ({RAISED})",
    }


def test_options_reach_the_method(ddbench, example_folder):
    arguments = ("--option", "dies=0", "--track", "few", "--device", "cpu")
    done = ddbench("check-plugin", "divided", *arguments, path=[example_folder])
    # The process lives long enough for 3 images per class.
    failure = "with task.ipc=None, the method's process was killed by signal SIGKILL"
    assert f"failed   cut          {failure}\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["random-rael"], "unknown method 'random-rael'; did you mean random-real?"),
        (["random-real", "--track", "marathon"], "unknown track 'marathon'"),
        (["random-real", "--dataset", "cifar10"], "track quickstart has no dataset cifar10"),
        (["random-real", "--option", "colour=red"], "random-real has no option 'colour'"),
        (["random-real", "--time-limit", "0"], "--time-limit 0: expected more than 0"),
        (
            ["random-real", "--track", "eccv2024-fixed", "--data", "."],
            "dataset cifar100 was not found in",
        ),
        ([], "Missing argument 'METHOD'"),
    ],
)
def test_wrong_usage_is_one_line(ddbench, arguments, message):
    done = ddbench("check-plugin", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


@pytest.mark.slow
def test_generative_turbo_passes(ddbench):
    done = ddbench("check-plugin", "generative-turbo", "--time-limit", "60", "--json")
    assert done.returncode == 0, done.stdout
    # Its sets are refined as a whole, so it refuses to make parts of one.
    checks = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert {name for name, status in checks.items() if status != "ok"} == {"parts"}
    assert checks["parts"] == "skipped"
