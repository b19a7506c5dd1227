"""A real browser for tests of pages."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

OPTIONS = """--headless=new --no-sandbox --disable-gpu --no-first-run --disable-sync
    --disable-background-networking --disable-component-update --disable-dev-shm-usage"""

# Return the lowest contrast of all texts of a page (WCAG 2 formula), and the element that has it.
CONTRAST = """
const linear = (share) => share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
const luminance = (colour) => {
  const [red, green, blue] = colour.map((value) => linear(value / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const parse = (text) => {
  const values = text.match(/[\\d.]+/g).map(Number);
  return values.length < 4 ? [...values, 1] : values;
};
const over = ([red, green, blue, opacity], below) =>
  [red, green, blue].map((value, index) => value * opacity + below[index] * (1 - opacity));
const behind = (element) => {
  if (!element) return [255, 255, 255];
  const own = parse(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own.slice(0, 3) : over(own, behind(element.parentElement));
};
let worst = [99, ""];
for (const element of document.querySelectorAll("body *")) {
  const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!hasText || !element.getClientRects().length) continue;
  const a = luminance(parse(getComputedStyle(element).color));
  const b = luminance(behind(element));
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
        """Load the page at ``path``; return requests outside its folder, and console messages."""
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
        requested = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        assert path.as_uri() in requested
        folder = path.parent.parent if path.parent.name == "runs" else path.parent
        return [
            url for url in requested if not url.startswith((folder.as_uri() + "/", "data:"))
        ], self.driver.get_log("browser")

    def run(self, script):
        return self.driver.execute_script(script)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Yield a browser window, or skip the test if no browser is installed."""
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("no browser is installed: install the packages chromium and chromium-driver")
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
