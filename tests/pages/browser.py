"""Headless Chromium, driven through chromedriver's own protocol (WebDriver) over plain HTTP."""

import base64
import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
DRIVER = shutil.which("chromedriver")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip
KEYS = {"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015",
        "Home": "\ue011", "End": "\ue010", "Enter": "\ue007", "Tab": "\ue004"}  # fmt: skip


def why_no_browser() -> str:
    """Why no page can be opened on this machine; "" if one can."""
    if CHROMIUM is None:
        return "there is no chromium"
    return "" if DRIVER else "there is no chromedriver"


class Browser:
    """One window of a browser. Scripts are function bodies and answer with what they return."""

    def __init__(self, address: str) -> None:
        self.address = address

    def _post(self, path: str, **content: object) -> Any:
        data = json.dumps(content).encode()
        request = urllib.request.Request(
            f"{self.address}{path}", data, {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.loads(error.read())["value"]["message"]) from None

    def open(self, page: Path, width: int = 1280, height: int = 1000) -> None:
        """Open a file; what it logs as an error is kept for :meth:`errors`."""
        self._post("/window/rect", width=width, height=height)
        self._post("/url", url=page.resolve().as_uri())

    def run(self, script: str, *args: object) -> Any:
        """The value that a function body returns."""
        return self._post("/execute/sync", script=script, args=list(args))

    def wait_for(self, script: str, *args: object) -> Any:
        """The value that a script hands to ``done``, its last argument."""
        script = f"const done = arguments[arguments.length - 1]; {script}"
        return self._post("/execute/async", script=script, args=list(args))

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other, wherever the focus is."""
        actions = [
            {"type": kind, "value": KEYS.get(key, key)}
            for key in keys
            for kind in ("keyDown", "keyUp")
        ]
        self._post("/actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one point of the window, move it to another, and let go."""
        moves = [
            {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
            for x, y in (start, end)
        ]
        down, up = ({"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp"))
        actions = [moves[0], down, moves[1], up]
        mouse = {"type": "pointer", "id": "mouse", "actions": actions}
        self._post("/actions", actions=[mouse])

    def emulate(self, scheme: str = "light", width: int = 0, height: int = 900) -> None:
        """Prefer "light" or "dark"; with a ``width``, be a phone of that many pixels."""
        self.command("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip
        if width:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
            self.command("Emulation.setDeviceMetricsOverride", **size)

    def command(self, name: str, **parameters: object) -> Any:
        """A command of Chromium's own protocol."""
        return self._post("/goog/cdp/execute", cmd=name, params=parameters)

    def errors(self) -> list[str]:
        """The errors that scripts of the page have left in the console."""
        found = self._post("/se/log", type="browser")
        return [entry["message"] for entry in found if entry["level"] == "SEVERE"]

    def screenshot(self, path: Path) -> None:
        """A picture of the whole page."""
        taken = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty profile, that ends with the block."""
    assert DRIVER is not None
    with tempfile.TemporaryDirectory() as profile:
        driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert driver.stdout is not None
        try:
            said = next(line for line in driver.stdout if "successfully on port" in line)
            root = f"http://127.0.0.1:{said.rstrip().rstrip('.').rpartition(' ')[2]}"
            options = {"binary": CHROMIUM, "args": [*QUIET, f"--user-data-dir={profile}"]}
            wanted = {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
                "timeouts": {"script": 60_000},
            }
            opened = Browser(f"{root}/session")
            session = opened._post("", capabilities={"alwaysMatch": wanted})["sessionId"]
            opened.address += f"/{session}"
            try:
                yield opened
            finally:
                request = urllib.request.Request(opened.address, method="DELETE")
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
        finally:
            driver.terminate()
            driver.wait()
            driver.stdout.close()
