"""Chromium without a window, driven over WebDriver: pages from disk, keys, clicks, what its console and network say."""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.study_processes import answers, end, free_port
from tests.support.waiting import STILL_S, wait_until

KEYS = {"Enter": "\ue007", "Space": " ", "Left": "\ue012", "Up": "\ue013", "Right": "\ue014", "Down": "\ue015"}
KEYS |= {"Tab": "\ue004", "Home": "\ue011"}
THERE = shutil.which("chromium") is not None and shutil.which("chromedriver") is not None

_FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


class Browser:
    """A session of chromium; scripts and elements are those of the frame that was entered last."""

    def __init__(self, driver: str, folder: Path, width: int, height: int, *flags: str) -> None:
        self._driver = driver
        options = {
            "args": [*_FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}", *flags],
            "perfLoggingPrefs": {"enableNetwork": True},
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options}
        wanted["goog:loggingPrefs"] = {"browser": "ALL", "performance": "ALL"}
        made = _call("POST", f"{driver}/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"{driver}/session/{made['sessionId']}"
        self._scripts: list[str] = []  # that pages run before their own

    def visit(self, url: str) -> None:
        """Open a page of a server."""
        self._post("url", url=url)

    def open(self, page: Path) -> None:
        self._post("url", url=page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns."""
        return self._post("execute/sync", script=script, args=arguments)

    def enter(self, selector: str) -> None:
        """Go into a frame."""
        self._post("frame", id=self._find(selector))

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is: letters, digits, or those of KEYS."""
        actions = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def click(self, selector: str, across: float = 0.5) -> None:
        """Click an element at a share of its width."""
        element = self._find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'})", element)
        width = self.run("return arguments[0].getBoundingClientRect().width", element)
        move = {"type": "pointerMove", "origin": element, "x": round((across - 0.5) * width), "y": 0, "duration": 0}
        actions = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._post("actions", actions=[{"type": "pointer", "id": "mouse", "actions": actions}])

    def emulate(self, **features: str) -> None:
        """Set media features, such as `prefers-color-scheme`, given with underscores."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._chrome("Emulation.setEmulatedMedia", features=listed)

    def phone(self, width: int, height: int) -> None:
        """Look like a phone of that many CSS pixels."""
        self._chrome("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True)

    def before_pages(self, script: str) -> None:
        """Run a script in every page before its own."""
        added = self._chrome("Page.addScriptToEvaluateOnNewDocument", source=script)
        self._scripts.append(added["identifier"])

    def downloads(self, folder: Path) -> None:
        """Put what pages let one save into a folder, without asking."""
        self._chrome("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def reset(self) -> None:
        """Be as at the start for who comes next: an empty page, no phone, no features, no scripts, nothing noted."""
        self.visit("about:blank")
        while self._scripts:
            self._chrome("Page.removeScriptToEvaluateOnNewDocument", identifier=self._scripts.pop())
        self._chrome("Emulation.clearDeviceMetricsOverride")
        self._chrome("Emulation.setEmulatedMedia", features=[])
        self._chrome("Browser.setDownloadBehavior", behavior="default")
        self.console(), self.requests()

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(_call("GET", f"{self._session}/screenshot")))

    def console(self) -> list[str]:
        """Messages since last asked, without those that are no warnings."""
        entries = self._post("se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def requests(self) -> list[str]:
        """Addresses asked for since last asked, cut to their beginning; those of the browser's own pages aside."""
        events = [json.loads(entry["message"])["message"] for entry in self._post("se/log", type="performance")]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url[:40] for url in sent]

    def _find(self, selector: str) -> Any:
        return self._post("element", using="css selector", value=selector)

    def _chrome(self, command: str, **params: Any) -> Any:
        return self._post("goog/cdp/execute", cmd=command, params=params)

    def _post(self, name: str, **body: Any) -> Any:
        return _call("POST", f"{self._session}/{name}", body)

    def quit(self) -> None:
        _call("DELETE", self._session)


@contextmanager
def browsing(folder: Path, width: int = 1280, height: int = 900, *flags: str) -> Iterator[Browser]:
    """A browser with a profile in `folder`, ended with all that it started."""
    port = free_port()
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/status"), "chromedriver")
        browser = Browser(f"http://127.0.0.1:{port}", folder, width, height, *flags)
        try:
            yield browser
        finally:
            browser.quit()
    finally:
        end(driver)


def _call(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=STILL_S) as response:
            return json.loads(response.read())["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.loads(error.read())["value"]["message"]) from None
