"""The pages of the leaderboard, tested in a real browser if one is installed."""

import dataclasses
import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from browser import CONTRAST
from made_records import HOSTILE, record, save
from project import COMMAND

from leaderboard.records import store
from leaderboard.records.record import Finding, OfficialScore, Origin, Seconds
from leaderboard.render import pages as html_pages
from leaderboard.render import report

# Browsers load thumbnails once they are scrolled to.
LOADED = """
const images = [...document.images];
images.forEach((image) => { image.loading = "eager"; });
await Promise.all(images.map((image) => image.decode()));
"""


def page_of(pages, word):
    return next(
        path for path in sorted((pages / "runs").glob("*.html")) if word in path.read_text()
    )


def every(pages):
    """Return the index and the pages of a real run, a hostile run and a failed run."""
    return [
        pages / "index.html",
        page_of(pages, "turbo-mini"),
        page_of(pages, "onerror"),
        page_of(pages, "not scored"),
    ]


def test_pages_request_only_files_in_their_folder_and_log_no_errors(browser, pages):
    for path in every(pages):
        assert browser.open(path) == ([], [])
        assert browser.run(LOADED + "return images.every((image) => image.complete);")


def test_pictures_load_and_have_alternative_texts(browser, pages):
    for path in every(pages):
        browser.open(path)
        assert browser.run(
            LOADED
            + "return images.every((image) => image.naturalWidth > 0 && image.alt.length > 20);"
        )
    # Only the first track has several IPCs, and the untrusted runs of the last took the same time.
    names = sorted(path.name for path in (pages / "plots").iterdir())
    assert names == ["1-0-ipc.svg", *(f"{track}-0-seconds.svg" for track in (1, 2, 3))]
    assert len(list((pages / "confusion").iterdir())) == 2


def test_every_heading_is_explained_in_words(browser, runs, pages):
    two = [str(folder) for folder in store.runs_in([runs]) if "quickstart" in folder.parts][:2]
    output = runs.parent / "two"
    subprocess.run([COMMAND, "compare", *two, "--output", output], capture_output=True, check=True)
    found = 0
    for path in (*every(pages), output / "index.html"):
        browser.open(path)
        heads = browser.run("""
            const legend = new Map([...document.querySelectorAll("dl.legend dt")].map(
                (term) => [term.textContent, term.nextElementSibling.innerText]
            ));
            return [...document.querySelectorAll("table.sortable thead th")].map(
                (head) => [head.textContent, head.title, legend.get(head.textContent)]
            );
        """)
        found += len(heads)
        for text, title, meaning in heads:
            assert text
            assert title.endswith("."), text
            assert meaning, text
    assert found


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
def test_text_has_enough_contrast(browser, pages, scheme):
    """WCAG 2 requires a contrast of 4.5 at level AA."""
    backgrounds = set()
    for path in every(pages):
        browser.open(path, scheme=scheme)
        ratio, where = browser.run(CONTRAST)
        assert ratio > 4.5, where
        backgrounds.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == {"rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)"}


def test_untrusted_names_are_shown_as_text(browser, pages):
    for path in (pages / "index.html", page_of(pages, "onerror"), page_of(pages, "not scored")):
        browser.open(path)
        assert " ".join(HOSTILE.split()) in " ".join(
            browser.run("return document.body.textContent").split()
        )
        assert browser.run("return document.title").endswith(" · ddbench")
        assert browser.run("return document.querySelectorAll('script').length") == 1
        assert browser.run("return document.querySelectorAll('[onerror]').length") == 0


def test_pages_are_complete_without_scripts(browser, pages):
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
                "Number of evaluation seeds.",
            )
        )
        assert not browser.driver.find_elements("tag name", "button")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_comparison_page_shows_the_images_side_by_side(browser, runs, pages):
    quick = [str(folder) for folder in store.runs_in([runs]) if "quickstart" in folder.parts]
    output = runs.parent / "comparison"
    done = subprocess.run(
        [COMMAND, "compare", *quick, "--output", output], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for width in (1300, 390):
        assert browser.open(output / "index.html", width) == ([], [])
        assert browser.run("return document.images.length") == len(quick) > 2
        assert browser.run("return document.documentElement.scrollWidth") <= width


def test_runs_with_the_same_id_have_separate_pages(tmp_path):
    for method in ("one", "two"):
        folder = tmp_path / "runs" / "t" / "d" / method / "same"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(
            record(run_id="Same", method=method, images_sha256=method).to_json()
        )
    html_pages.write(store.entries([tmp_path / "runs"])[0], tmp_path / "board")
    texts = {path.name: path.read_text() for path in (tmp_path / "board" / "runs").glob("*.html")}
    assert {name: "<h1>one on" in text for name, text in texts.items()} == {
        "same.html": True,
        "same-1.html": False,
    }


def test_html_format_needs_a_folder(ddbench):
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


def test_odd_records_do_not_stop_any_page(ddbench, tmp_path):
    runs = tmp_path / "runs"
    for number, change in enumerate(ODD):
        folder = save(runs, record(images_sha256=str(number)))
        odd = dataclasses.replace(store.read(folder), **change)
        (folder / "record.json").write_text(odd.to_json())
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
    # The only large confusion matrix has no predictions, so there is no picture to draw.
    assert not list((tmp_path / "board" / "confusion").iterdir())
    assert not any("confusion/" in text for text in texts)
    folders = list(store.runs_in([runs]))
    for folder in folders:
        shown = report.describe(store.read(folder), folder)
        assert not any(line.startswith("rm") for line in shown.splitlines())
    assert ddbench("compare", *folders, "--output", "comparison").returncode == 0


def test_html_format_does_not_import_torch(runs, tmp_path):
    board = ["leaderboard", "--runs", runs, "--format", "html", "--output", tmp_path / "board"]
    command = [sys.executable, "-X", "importtime", COMMAND, *board]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "jinja2" in imported
    assert not imported & {"torch", "diffusers", "transformers"}
