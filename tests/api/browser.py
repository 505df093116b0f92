"""A real browser, headless, on the dashboard of a real gateway with simulated devices."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement

from tests.api.kit import HttpBench, served

CSS = "css selector"
LIMIT_S = 60.0
WHOLE_S = 240.0
LOOK_S = 0.05


def _installed() -> tuple[str, str] | None:
    """Return where Chromium and its driver are; as root, Debian's packages are installed where they are missing."""
    with (Path(tempfile.gettempdir()) / f"tidegate-chromium-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes would want it at once
        found = _found()
        if found is None and os.getuid() == 0 and shutil.which("apt-get"):
            for args in (["update"], ["install", "-y", "--no-install-recommends", "chromium", "chromium-driver"]):
                subprocess.run(["apt-get", "-qq", *args], check=False, capture_output=True, timeout=600)
            found = _found()
    return found


def _found() -> tuple[str, str] | None:
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return None if browser is None or driver is None else (browser, driver)


class Page:
    """The dashboard as somebody sees it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.base = ""
        self.bench: HttpBench
        self.loop: asyncio.AbstractEventLoop
        self.token = ""

    def open(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(f"{self.base}/")

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(CSS, selector)

    def one(self, selector: str) -> WebElement:
        """Return what a selector finds, when it finds one."""
        return self.until(lambda: next(iter(self.all(selector)), None), selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def click(self, selector: str) -> None:
        self.one(selector).click()

    def has(self, selector: str) -> None:
        """Wait until a selector finds something."""
        self.one(selector)

    def says(self, selector: str, words: str) -> str:
        """Wait until an element says something; return all that it says."""
        return self.until(lambda: text if words in (text := self.text(selector)) else None, f"{words!r} in {selector}")

    def until(self, look: Callable[[], Any], what: str = "", limit_s: float = LIMIT_S) -> Any:
        """Return what `look` gives, when it gives something."""
        end_s = time.monotonic() + limit_s
        while True:
            try:
                if found := look():
                    return found
            except StaleElementReferenceException:
                pass
            assert time.monotonic() < end_s, f"never came: {what}; the page says: {self._whole()}"
            time.sleep(LOOK_S)

    def run(self, script: str, *args: Any) -> Any:
        """Run a script whose value may be a promise."""
        told = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async (...args) => {{ {script} }})(...arguments)"
            ".then((value) => done({value}), (error) => done({error: String(error.stack ?? error)}));",
            *args,
        )
        assert "error" not in told, told["error"]
        return told.get("value")

    def sign_in(self, token: str | None = None) -> None:
        self.one("form[data-login] [name=token]").send_keys(token or self.token)
        self.click("form[data-login] button")

    def requests(self) -> list[str]:
        """Return what was asked for since the page was opened."""
        found = []
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] in {"Network.requestWillBeSent", "Network.webSocketCreated"}:
                found.append(event["params"].get("request", event["params"])["url"])
        return found

    def complaints(self) -> list[str]:
        """Return what the browser complained of since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def look_like(self, *, width: int = 1440, height: int = 1000, scheme: str = "light") -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)

    def offline(self, is_offline: bool) -> None:
        told = {"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", told)

    def do(self, asking: Any) -> Any:
        """Return what a coroutine of the gateway's gives."""
        return asyncio.run_coroutine_threadsafe(asking, self.loop).result(LIMIT_S)

    def call(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Return what a function gives that is the loop's to call: devices and gateway live there."""

        async def called() -> Any:
            return function(*args, **more)

        return self.do(called())

    def _whole(self) -> str:
        return str(self.driver.execute_script("return document.body.innerText"))[:2000]


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    """A browser for all tests of a process: each gateway has a port, and so an origin, of its own."""
    found = _installed()
    if found is None:
        pytest.skip("no Chromium: sudo apt install chromium chromium-driver")
    options = Options()
    options.binary_location = found[0]
    for argument in (
        "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1440,1000",
        "--disable-background-networking", "--disable-component-update",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):  # fmt: skip
        options.add_argument(argument)
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(found[1]))
    browser.set_script_timeout(LIMIT_S)
    yield browser
    browser.quit()


def looked_at(folder: Path, driver: webdriver.Chrome, act: Callable[[Page], None], **tables: Any) -> HttpBench:
    """Let `act` look at the dashboard of a gateway with its devices, beside the gateway's loop."""
    page = Page(driver)

    async def play(bench: HttpBench) -> None:
        page.bench = bench
        page.loop = asyncio.get_running_loop()
        page.token = await bench.token()
        page.look_like()
        page.offline(False)
        try:
            await asyncio.to_thread(_act, page, bench.port, act)
        finally:
            await asyncio.to_thread(driver.get, "about:blank")

    return served(folder, play, limit_s=WHOLE_S, **tables)


def _act(page: Page, port: int, act: Callable[[Page], None]) -> None:
    page.open(port)
    act(page)
