"""The leaderboard's pages, looked at in a real browser where this machine has one."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_records import record, save
from project import ROOT

from leaderboard.analysis import comparison
from leaderboard.analysis import sections as board
from leaderboard.records import store
from leaderboard.records.record import Finding, OfficialScore, Origin, Seconds
from leaderboard.render import pages as page
from leaderboard.render import plots, report

COMMAND = Path(sys.executable).parent / "ddbench"
HOSTILE = (
    '<img src=x onerror="document.title=1"><script>document.title=2</script> $\\frac{x}$ & "q" '
    + 40 * "W"
)
OPTIONS = """--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update
    --disable-sync --disable-dev-shm-usage"""
CONTRAST = """
const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = (colour) => colour.slice(0, 3).map(channel).reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
const parse = (text) => { const all = text.match(/[\\d.]+/g).map(Number); return all.length < 4 ? [...all, 1] : all; };
const over = (top, below) => top.slice(0, 3).map((value, index) => value * top[3] + below[index] * (1 - top[3]));
const behind = (element) => {
  if (!element) return [255, 255, 255];
  const own = parse(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own.slice(0, 3) : over(own, behind(element.parentElement));
};
let worst = [99, ""];
for (const element of document.querySelectorAll("body *")) {
  if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || !element.getClientRects().length) continue;
  const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 200)];
}
return worst;
"""


class Browser:
    """A window of Chromium."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, width=1300, scheme="light"):
        """The page at ``path``, afresh; returns what it asked for beyond its folder, and what its console says."""
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get_log("performance"), self.driver.get_log("browser")
        self.driver.get(path.as_uri())
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        asked = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        assert path.as_uri() in asked
        folder = path.parent.parent if path.parent.name == "runs" else path.parent
        return [
            url for url in asked if not url.startswith((folder.as_uri() + "/", "data:"))
        ], self.driver.get_log("browser")

    def run(self, script):
        return self.driver.execute_script(script)


@pytest.fixture(scope="module")
def browser():
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("no browser here: install the packages chromium and chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in OPTIONS.split():
        options.add_argument(argument)
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options, Service(driver))
    yield Browser(window)
    window.quit()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The committed runs, with real pictures, and those of strangers."""
    runs = tmp_path_factory.mktemp("page") / "runs"
    shutil.copytree(ROOT / "docs" / "runs", runs)
    mean = {"track": "eccv2024-fixed", "ipc": 10, "category": "IPC 10", "limit_enforced": False}
    strangers = [
        {
            "method": HOSTILE,
            "dataset": "cifar100",
            "accuracies": [0.3, 0.31, 0.32],
            "confusion": [[5] * 100] * 100,
            "checks": [Finding("error", text=HOSTILE)],
            **mean,
        },
        {"method": HOSTILE, "dataset": "tiny-imagenet", "accuracies": [0.1, 0.12, 0.11], **mean},
        {
            "method": "broken",
            "dataset": "cifar100",
            "accuracies": [],
            "status": "error",
            "message": HOSTILE,
            "comparable": False,
            "images_sha256": None,
            **mean,
        },
        {"method": "single", "dataset": "cifar100", "accuracies": [0.2], **mean},
    ]
    for number, values in enumerate(strangers):
        one = record(images_sha256=values.pop("images_sha256", str(number)), **values)
        with store.new_run(runs, one.track, one.dataset, f"team-{number}") as folder:
            (folder / "record.json").write_text(
                dataclasses.replace(one, run_id=store.run_id(folder)).to_json()
            )
    return runs


@pytest.fixture(scope="module")
def pages(runs):
    """The folder that the command writes."""
    output = runs.parent / "board"
    done = subprocess.run(
        [COMMAND, "leaderboard", "--runs", runs, "--format", "html", "--output", output],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{output / 'index.html'}\n", "")
    return output


def page_of(pages, word):
    return next(
        path for path in sorted((pages / "runs").glob("*.html")) if word in path.read_text()
    )


def every(pages):
    """The index, a real run's page, that of a hostile one, and that of one that failed."""
    return [
        pages / "index.html",
        page_of(pages, "turbo-mini"),
        page_of(pages, "onerror"),
        page_of(pages, "not scored"),
    ]


def test_pages_ask_for_nothing_beyond_their_folder_and_have_no_errors(browser, pages):
    for path in every(pages):
        assert browser.open(path) == ([], [])
        assert browser.run("return [...document.images].every((image) => image.complete)")


def test_pictures_load_and_have_a_text_each(browser, pages):
    for path in every(pages):
        browser.open(path)
        assert browser.run(
            "return [...document.images].every((image) => image.naturalWidth > 0 && image.alt.length > 20)"
        )
    assert len(list((pages / "plots").iterdir())) == 8  # of two kinds, for four datasets
    assert len(list((pages / "confusion").iterdir())) == 1


def test_tables_sort_with_blanks_last(browser, pages):
    browser.open(pages / "index.html")
    column = """
        const table = [...document.querySelectorAll("table")].find((one) => one.caption.textContent.startsWith("cifar100"));
        const head = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === "accuracy %");
        const cell = table.tHead.rows[0].cells[head];
        const targets = [cell, cell.querySelector("button")];
        const values = () => [...table.tBodies[0].rows].map((row) => row.cells[head].textContent);
        const seen = [values()];
        for (const target of targets) { target.click(); seen.push([...values(), table.tHead.rows[0].cells[head].getAttribute("aria-sort")]); }
        return seen;
    """
    before, first, second = browser.run(column)
    assert before == ["31.00", "20.00", ""]
    assert first == ["31.00", "20.00", "", "descending"]
    assert second == ["20.00", "31.00", "", "ascending"]


@pytest.mark.parametrize("width", [390, 800])
def test_no_page_scrolls_sideways(browser, pages, width):
    for path in every(pages):
        browser.open(path, width)
        assert (
            browser.run("return document.documentElement.scrollWidth")
            <= browser.run("return window.innerWidth")
            == width
        ), path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(browser, pages, scheme):
    """By the contrast that WCAG 2 asks for at level AA, 4.5."""
    backgrounds = set()
    for path in every(pages):
        browser.open(path, scheme=scheme)
        ratio, where = browser.run(CONTRAST)
        assert ratio > 4.5, where
        backgrounds.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == {"rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)"}


def test_names_of_strangers_are_text(browser, pages):
    for path in (pages / "index.html", page_of(pages, "onerror"), page_of(pages, "not scored")):
        browser.open(path)
        assert " ".join(HOSTILE.split()) in " ".join(
            browser.run("return document.body.textContent").split()
        )
        assert browser.run("return document.title").endswith(" · ddbench")
        assert browser.run("return document.querySelectorAll('script').length") == 1
        assert browser.run("return document.querySelectorAll('[onerror]').length") == 0


def test_all_is_there_without_script(browser, pages):
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(pages / "index.html")
        text = browser.driver.find_element("tag name", "body").text
        assert all(
            word in text
            for word in (
                "kmeans",
                "80.71 to 80.88",
                "MTT",
                "unverified",
                "mean over cifar100 and tiny-imagenet",
            )
        )
        assert not browser.driver.find_elements("tag name", "button")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_comparison_has_the_images_side_by_side(browser, runs, pages):
    three = [str(folder) for folder in store.runs_in([runs]) if "quickstart" in folder.parts]
    output = runs.parent / "comparison"
    done = subprocess.run(
        [COMMAND, "compare", *three, "--output", output], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for width in (1300, 390):
        assert browser.open(output / "index.html", width) == ([], [])
        assert browser.run("return document.images.length") == 3
        assert browser.run("return document.documentElement.scrollWidth") <= width


# Files


def test_a_page_is_renewed_and_nothing_else_is_overwritten(runs, pages, tmp_path):
    entries = store.entries([runs])[0]
    index = page.write(entries[:2], tmp_path / "board")
    assert len(list((tmp_path / "board" / "runs").glob("*.html"))) == 2
    page.write(entries, tmp_path / "board")
    assert len(list((tmp_path / "board" / "runs").glob("*.html"))) == len(entries)
    assert [path.name for path in tmp_path.iterdir()] == ["board"]
    before = index.read_text()
    (tmp_path / "board" / "CNAME").write_text("example.org")
    two = [record(run_id="a"), record(run_id="b")]
    for write in (
        lambda: page.write([], tmp_path / "board"),
        lambda: page.write_comparison(compared(*two), [tmp_path] * 2, tmp_path / "board"),
    ):
        with pytest.raises(ValueError, match="nothing is overwritten"):
            write()
    (tmp_path / "board" / "CNAME").unlink()
    with pytest.raises(ValueError, match="nothing is overwritten"):
        page.write_comparison(compared(*two), [tmp_path] * 2, tmp_path / "board")
    with pytest.raises(ValueError, match="nothing is overwritten"):
        page.write(entries, index)
    assert index.read_text() == before


def test_what_goes_wrong_leaves_the_old_page(runs, tmp_path, monkeypatch):
    index = page.write([], tmp_path / "board")
    before = index.read_text()
    monkeypatch.setattr(page, "run_page", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        page.write(store.entries([runs])[0], tmp_path / "board")
    assert index.read_text() == before
    assert "No runs yet" in before
    assert [path.name for path in tmp_path.iterdir()] == ["board"]


def test_only_pictures_are_taken_from_a_run(tmp_path):
    (tmp_path / "secret.png").write_bytes(page.PNG + b"secret")
    size = (50_000).to_bytes(4, "big")
    bad = [
        lambda path: path.symlink_to(tmp_path / "secret.png"),
        lambda path: path.write_text("<script>"),
        lambda path: path.mkdir(),
        lambda path: os.mkfifo(path),
        lambda path: path.write_bytes(
            page.PNG + bytes(8) + 2 * size
        ),  # would fill the reader's memory
        lambda path: path.write_bytes(page.PNG + bytes(page.LARGEST_GRID)),
    ]
    for number, make in enumerate(bad):
        make(save(tmp_path / "runs", record(images_sha256=str(number))) / "grid.png")
    page.write(store.entries([tmp_path / "runs"])[0], tmp_path / "board")
    assert list((tmp_path / "board" / "grids").iterdir()) == []
    assert len(list((tmp_path / "board" / "runs").glob("*.html"))) == 6


def test_runs_of_one_id_have_a_page_each(tmp_path):
    for method in ("one", "two"):
        folder = tmp_path / "runs" / "t" / "d" / method / "same"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(
            record(run_id="Same", method=method, images_sha256=method).to_json()
        )
    page.write(store.entries([tmp_path / "runs"])[0], tmp_path / "board")
    texts = {path.name: path.read_text() for path in (tmp_path / "board" / "runs").glob("*.html")}
    assert {name: "<h1>one on" in text for name, text in texts.items()} == {
        "same.html": True,
        "same-1.html": False,
    }


def test_a_page_needs_a_folder(ddbench):
    done = ddbench("leaderboard", "--format", "html")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --format html needs a folder for the pages: --output DIR\n",
    )


ODD = [
    {"checks": [Finding("error", text="<b>\x1b[0m")], "official": OfficialScore()},
    {"official": OfficialScore([], 0.5), "metadata": {"prompts": {"a": [None, {"b": 1.5}]}}},
    {"origin": Origin("run", run_id="--native=/x")},
    {"origin": Origin("file")},
    {"origin": Origin("shards")},
    {"seconds": Seconds(load=5.0, generate=1.0, limit=0.0)},
    {"seconds": Seconds()},
    {"seconds": Seconds(load=0.0), "ipc": 0},
    {"method": "a\x01b\x00\u202e\nrm", "explicit_options": ["x=\x1b[31m"], "model": "\u6d4b\u8bd5"},
    {"method": "_hidden", "confusion": [[0] * 31] * 31},
    {"method": 100_000 * "long "},
    {
        "hardware": {"cpu": None, "gpu": [1], "gpus": "x"},
        "options": {"a": {"b": []}},
        "versions": {"torch": "<b>"},
    },
    {"dataset": "mean over cifar100 and tiny-imagenet"},
    {
        "dataset": "fashion-mnist: sets from files, time limit declared",
        "confusion": [[1, 0], [0, 0]],
    },
]


def test_odd_records_of_strangers_stop_nobodys_page(ddbench, tmp_path):
    runs = tmp_path / "runs"
    for number, change in enumerate(ODD):
        folder = save(runs, record(images_sha256=str(number)))
        one = dataclasses.replace(store.read(folder), **change)
        (folder / "record.json").write_text(one.to_json())
        (folder / "manifest.json").write_text(
            json.dumps({"class_names": ["<img src=x onerror=alert(1)>", "\ud800"]})
        )
    for style in ("github", "plain", "csv", "latex", "json"):
        done = ddbench("leaderboard", "--format", style)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout) < 200_000 or style == "json"
    assert ddbench("leaderboard", "--format", "html", "--output", "board").returncode == 0
    texts = [path.read_text() for path in (tmp_path / "board" / "runs").glob("*.html")]
    assert len(texts) == len(ODD)
    assert not any("<img src=x" in text for text in texts)
    for svg in (tmp_path / "board" / "plots").iterdir():
        ElementTree.parse(svg)
    folders = list(store.runs_in([runs]))
    for folder in folders:
        shown = report.describe(store.read(folder), folder)
        assert not any(line.startswith("rm") for line in shown.splitlines())
    assert ddbench("compare", *folders, "--output", "comparison").returncode == 0


# Plots


def test_plots_follow_the_theme_and_tell_methods_apart():
    (section,) = board.sections(
        [
            record(run_id="a"),
            record(
                run_id="b",
                method=r"<script>$\frac{x}$",
                ipc=50,
                images_sha256="b",
                comparable=False,
            ),
        ],
        known=(),
    )
    for against in ("ipc", "seconds"):
        svg = plots.accuracy(section.rows, against)
        assert "prefers-color-scheme: dark" in svg
        assert "var(--ink)" in svg
        assert plots.INK not in svg
        assert "<script" not in svg
        assert "\\frac" in svg  # as it stands, no formula
    assert plots.accuracy(section.rows, "seconds") == plots.accuracy(section.rows, "seconds")


def test_without_scores_there_is_no_plot():
    (section,) = board.sections([record(accuracies=[], status="error", comparable=False)], known=())
    assert plots.accuracy(section.rows, "ipc") is None


# Comparisons


def compared(*runs):
    return comparison.compare(runs, [["Bag", "Shirt"]] * len(runs))


def test_a_comparison_names_what_differs_and_tests_the_difference():
    first = record(run_id="a", options={"pda": "none", "size": 1}, confusion=[[8, 2], [5, 5]])
    other = record(
        run_id="b",
        options={"pda": "default", "size": 1},
        accuracies=[0.8, 0.81, 0.82],
        confusion=[[9, 1], [2, 8]],
        versions={"torch": "3"},
    )
    found = compared(first, other)
    assert found.settings == {
        "options.pda": ["none", "default"],
        "versions.torch": [None, "3"],
        "images_sha256": ["a", "b"],
    }
    (difference,) = found.differences
    assert difference.is_one
    assert difference.mean == pytest.approx(0.09)
    assert found.classes == [("Bag", [0.8, 0.9]), ("Shirt", [0.5, 0.8])]
    text = comparison.describe(found)
    assert "+9.00 points, 95 % interval " in text
    assert "better by Welch's test" in text
    assert [row.split()[0] for row in text.splitlines()[-2:]] == [
        "Shirt",
        "Bag",
    ]  # the largest gain first
    assert json.loads(comparison.to_json(found))["against_first"][0]["differs"] is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "cifar10"}, "not comparable with the first: another dataset"),
        (
            {"recipe_sha256": "s", "student": "mlp"},
            "not comparable with the first: another recipe and another student",
        ),
        ({"accuracies": [], "status": "error"}, "not scored"),
        ({"accuracies": [0.9]}, "+18.00 points; too few or too equal values for a test"),
        ({"accuracies": [0.71, 0.73, 0.74]}, "no difference found by Welch's test"),
    ],
)
def test_a_difference_is_one_only_where_a_test_finds_it(change, words):
    found = compared(record(), record(run_id="b", **change))
    (difference,) = found.differences
    assert found.classes == []
    assert words in comparison.verdict(difference)


def test_classes_of_another_order_are_not_compared_by_position():
    runs = [record(run_id=name, confusion=[[8, 2], [5, 5]]) for name in "ab"]
    assert comparison.compare(runs, [["Bag", "Shirt"], ["Shirt", "Bag"]]).classes == []


def test_settings_of_a_like_beginning_are_shown_to_their_end():
    prompts = [
        "a photo of a {name} on a white background",
        "a photo of a {name} on a black background",
    ]
    rows = comparison.settings(
        compared(
            *(
                record(images_sha256="x", run_id=name, options={"prompts": text})
                for name, text in zip("ab", prompts, strict=True)
            )
        )
    )
    assert rows == [{"setting": "options.prompts", "A": prompts[0], "B": prompts[1]}]


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (
            Origin(),
            "ddbench run --method one --track quickstart --dataset fashion-mnist --ipc max --seed 0 --time-limit 60 --repeats 0 --students convnet3",
        ),
        (
            Origin("run", run_id="abc", file="x.pt"),
            "ddbench score --recipe quickstart/1 --seed 4 --track quickstart --repeats 0 --students convnet3 -- abc",
        ),
        (
            Origin("file", file="x y.pt", format="mtt"),
            "--track quickstart --dataset fashion-mnist --format mtt --name one --repeats 0 --students convnet3 -- 'x y.pt'",
        ),
    ],
)
def test_a_page_tells_the_command(origin, words):
    seeds = [4, 5, 6] if origin.kind == "run" else [0, 1, 2]
    made = record(origin=origin, seeds=seeds, limit_enforced=origin.kind != "file")
    assert report.command(made).endswith(words)


def test_one_run_is_no_comparison(ddbench):
    done = ddbench("compare", next(store.runs_in([ROOT / "docs" / "runs"])))
    assert (done.returncode, done.stderr) == (2, "error: a comparison needs two runs or more\n")


# Speed


def test_a_page_imports_no_torch(runs, tmp_path):
    command = [
        sys.executable,
        "-X",
        "importtime",
        COMMAND,
        "leaderboard",
        "--runs",
        runs,
        "--format",
        "html",
        "--output",
        tmp_path / "board",
    ]
    imported = {
        line.rsplit("|", 1)[-1].strip()
        for line in subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stderr.splitlines()
    }
    assert "jinja2" in imported
    assert not imported & {"torch", "diffusers", "transformers"}
