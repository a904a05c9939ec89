"""A browser without a window, as a test drives it: Chromium over its own protocol, by a pipe.

No driver and no port are needed: commands and events are JSON, one after each zero byte, on the file descriptors 3
and 4 (``--remote-debugging-pipe``). What a page is asked with ``evaluate`` may be a promise: nobody has to sleep.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-pipe",
    # Graphics by arithmetic: a machine of tests has no card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--mute-audio",
)
# Root's Chromium takes real-time priority for itself, and on two cores two such threads that wait in the kernel
# for a third keep it out for ever, with all else that runs there: PR_CAPBSET_DROP takes CAP_SYS_NICE away.
# The pipes become descriptors 3 and 4, by way of others: they may be 4 and 3.
_PLUMBING = """import ctypes, fcntl, os, sys
ctypes.CDLL(None).prctl(24, 23, 0, 0, 0)
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, pipe in zip((3, 4), pipes):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])"""
# Resolves when the expression is true; asked at every frame that the page draws.
_UNTIL = """new Promise((done, fail) => {
  const last = performance.now() + %d;
  const ask = () => {
    let found; try { found = %s; } catch (error) { found = false; }
    if (found) done(true); else if (performance.now() > last) fail(new Error("never came true"));
    else setTimeout(ask, 20);
  };
  ask();
})"""
# Far longer than anything takes: it is there so that a page, or a browser, that hangs ends the test.
_PATIENCE_MS = 240_000
_PATIENCE_S = 600.0


class Browser:
    """One Chromium with one page, to be closed at the end."""

    def __init__(self, profile: Path, width: int = 1400, height: int = 900) -> None:
        assert CHROMIUM is not None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [CHROMIUM, *_SWITCHES, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PLUMBING, str(theirs_in), str(theirs_out), *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._number, self._size = b"", 0, (width, height)
        self._session: str | None = None
        self.renew()

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def renew(self) -> None:
        """Look at an empty page in place of the last one, whose late requests and errors are none of its own."""
        if self._session is not None:
            self.tell("Page.close")
        self._session = None
        self.asked: list[str] = []
        """The addresses that were asked for, of the page and of what is in it."""
        self.errors: list[str] = []
        """What went wrong in the page: exceptions, and what its policy forbade."""
        self._loaded: set[str] = set()
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.tell(f"{domain}.enable")
        self.tell("Page.setLifecycleEventsEnabled", enabled=True)
        self.resize(*self._size)

    def tell(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command and return its result; what happens meanwhile is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        number = self._number
        answer = self._until(lambda told: told.get("id") == number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _until(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            while b"\0" not in self._buffer:
                assert select.select([self._in], [], [], _PATIENCE_S)[0], "the browser does not answer"
                part = os.read(self._in, 1 << 20)
                assert part, "the browser ended"
                self._buffer += part
            text, self._buffer = self._buffer.split(b"\0", 1)
            told = json.loads(text)
            self._note(told)
            if is_it(told):
                return told

    def _note(self, told: dict[str, Any]) -> None:
        if told.get("sessionId") != self._session:
            return
        values = told.get("params", {})
        if told.get("method") in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            url = values["request"]["url"] if "request" in values else values["url"]
            # What is in the page already is nothing that was asked for.
            self.asked += [] if url.startswith(("data:", "blob:")) else [url]
        elif told.get("method") == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif told.get("method") == "Page.lifecycleEvent" and values["name"] == "load":
            self._loaded.add(values["loaderId"])
        elif told.get("method") == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.errors.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")

    def open(self, url: str) -> None:
        """Go to ``url`` and wait until the page and what is in it are loaded."""
        # By its loader: the load of the page that was there before may be told late.
        loader = self.tell("Page.navigate", url=url)["loaderId"]
        if loader not in self._loaded:
            self._until(lambda told: loader in self._loaded)

    def resize(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, or of what it promises."""
        answer = self.tell("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until ``condition`` is true in the page."""
        self.evaluate(_UNTIL % (_PATIENCE_MS, condition))

    def place(self, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
        """Where on the screen a place of an element is, in shares of its width and height; it is brought there."""
        box = self.evaluate(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
            "return [box.left, box.top, box.width, box.height]; })()"
        )
        return box[0] + x * box[2], box[1] + y * box[3]

    def move(self, x: float, y: float, *, pressed: bool = False) -> None:
        self._mouse("mouseMoved", x, y, pressed)

    def click(self, x: float, y: float) -> None:
        self._mouse("mousePressed", x, y, True)
        self._mouse("mouseReleased", x, y, True)

    def drag(self, start: tuple[float, float], stop: tuple[float, float], steps: int = 8) -> None:
        self.move(*start)
        self._mouse("mousePressed", *start, True)
        for step in range(1, steps + 1):
            share = step / steps
            x, y = (a + share * (b - a) for a, b in zip(start, stop, strict=True))
            self.move(x, y, pressed=True)
        self._mouse("mouseReleased", *stop, True)

    def _mouse(self, kind: str, x: float, y: float, pressed: bool) -> None:
        button = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1} if pressed else {}
        self.tell("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def seen(self, selector: str | None = None, path: Path | None = None) -> np.ndarray:
        """What is seen of an element, or of all, uint8 [height, width, 3] in RGB; also written to ``path``."""
        clip: dict[str, Any] = {}
        if selector is not None:
            left, top = self.place(selector, 0, 0)
            right, bottom = self.place(selector, 1, 1)
            x, y = self.evaluate("[scrollX, scrollY]")
            clip = {
                "clip": {"x": left + x, "y": top + y, "width": right - left, "height": bottom - top, "scale": 1}
            }
        told = self.tell("Page.captureScreenshot", format="png", optimizeForSpeed=True, **clip)
        data = base64.b64decode(told["data"])
        if path is not None:
            path.write_bytes(data)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        return image[..., ::-1]
