"""A page in headless Chromium, clicked on with a mouse: its remote debugging protocol, no driver."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
BLANK = "about:blank"
START_S = 60  # on a busy machine


class Page:
    """The open page."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def _do(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    def js(self, code: str) -> Any:
        """The value of an expression in the page."""
        found = self._do("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def go(self, address: str) -> None:
        """Open `address`, and return once the page is whole and hears the mouse."""
        self._do("Page.navigate", url=address)
        ready = f"location.href === {json.dumps(address)} && document.readyState === 'complete'"
        self._await(lambda: self.js(ready))
        # Chromium drops what comes before it paints first
        self.js("addEventListener('mousemove', () => { window.heard = true }, {once: true})")
        self._await(lambda: self._mouse("mouseMoved", 5, 5) or self.js("window.heard"))

    def _await(self, true: Callable[[], Any]) -> None:
        end = time.monotonic() + START_S
        while not true():
            assert time.monotonic() < end, f"the page was not ready within {START_S} s"
            time.sleep(0.05)

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self._do("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, element: str) -> None:
        """Press the mouse in the middle of what the expression `element` finds."""
        x, y = self.js(
            f"(async e => {{ e.scrollIntoView({{block: 'center'}});"
            " for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);"  # it is drawn
            " const r = e.getBoundingClientRect();"
            f" return [r.x + r.width / 2, r.y + r.height / 2] }})({element})"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._mouse(kind, x, y, button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._do("Input.insertText", text=text)


@contextmanager
def opened(file: Path, profile: Path) -> Iterator[Page]:
    """`file` in a browser of its own, 1280 pixels wide, which is ended after."""
    import websocket

    words = [
        *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000"),
        *("--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={profile}"),
        BLANK,
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        target = _target(profile / "DevToolsActivePort")
        socket = websocket.create_connection(target, timeout=START_S)
        try:
            page = Page(socket)
            page.go(file.as_uri())
            yield page
        finally:
            socket.close()
    finally:
        process.terminate()
        process.wait(START_S)


def _target(told: Path) -> str:
    """Where the page listens, once it is there."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if told.is_file() and told.read_text().count("\n"):
            port = told.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=START_S) as answer:
                for each in json.load(answer):
                    if each["url"] == BLANK:
                        return str(each["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise TimeoutError(f"no browser within {START_S} s")
