"""Sorting and filtering of the index, and its head, tested in a real browser."""

import re

from project import ROOT

from leaderboard.records import store
from leaderboard.render import pages as html_pages


def test_tables_sort_with_blanks_last(browser, pages):
    browser.open(pages / "index.html")
    column = """
        const tables = [...document.querySelectorAll("table")];
        const table = tables.find((table) => table.caption.textContent.startsWith("cifar100"));
        const heads = [...table.tHead.rows[0].cells];
        const index = heads.findIndex((head) => head.textContent === "accuracy %");
        const values = () => [...table.tBodies[0].rows].map((row) => row.cells[index].textContent);
        const seen = [values()];
        for (const target of [heads[index], heads[index].querySelector("button")]) {
          target.click();
          seen.push([...values(), heads[index].getAttribute("aria-sort")]);
        }
        return seen;
    """
    before, first, second = browser.run(column)
    assert before == ["31.00", "20.00", ""]
    assert first == ["31.00", "20.00", "", "descending"]
    assert second == ["20.00", "31.00", "", "ascending"]


def test_sorting_by_time_begins_with_the_fastest(browser, pages):
    browser.open(pages / "index.html")
    times = browser.run("""
        const tables = [...document.querySelectorAll("table")];
        const table = tables.find((table) => table.caption.textContent.startsWith("fashion-mnist"));
        const heads = [...table.tHead.rows[0].cells];
        const index = heads.findIndex((head) => head.textContent === "time s");
        heads[index].click();
        return [...table.tBodies[0].rows].map((row) => row.cells[index].textContent);
    """)
    assert times == sorted(times, key=float)
    assert len(times) > 5


def test_rows_are_filtered_by_method_and_status(browser, pages):
    browser.open(pages / "index.html")
    shown, after = browser.run("""
        const shown = () => [...document.querySelectorAll("tr[data-status]")].filter(
            (row) => row.checkVisibility()
        ).map((row) => row.querySelector("td.name").textContent);
        const [method, status] = document.querySelectorAll(".filters input, .filters select");
        const change = (control, value, event) => {
            control.value = value;
            control.dispatchEvent(new Event(event));
            return shown();
        };
        return [
            [change(method, "KMEANS", "input"), document.querySelector("output").innerText],
            [change(method, "", "input"), change(status, "error", "change")],
        ];
    """)
    names, count = shown
    assert set(names) == {"kmeans"}
    assert count == f"{len(names)} of {len(after[0])} runs"
    assert after[1] == ["broken"]


def test_the_index_has_the_title_the_dates_and_pictures_of_sets(browser, pages, runs):
    html_pages.write(store.entries([runs])[0], runs.parent / "titled", title="Spring <b>round</b>")
    browser.open(runs.parent / "titled" / "index.html")
    title, text, pictures = browser.run("""
        const pictures = [...document.querySelectorAll("img.thumbnail")];
        const text = document.querySelector("header p").innerText;
        return [document.querySelector("h1").innerText, text,
                pictures.map((image) => [image.parentElement.href, image.src])];
    """)
    assert title == "Spring <b>round</b>"
    assert re.search(r"Written on \d{4}-\d\d-\d\d; the newest run is from \d{4}-\d\d-\d\d\.", text)
    assert len(pictures) == len(list((ROOT / "docs" / "runs").rglob("grid.png")))
    for page, picture in pictures:
        assert page.rsplit("/", 1)[1].removesuffix(".html") in picture
