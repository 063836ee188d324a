"""A Chromium without a window, for images of pages and for tests.

    with Chromium() as chromium:
        page = chromium.open_page(640, 480)
        page.go("http://127.0.0.1:8000/")
        title = page.evaluate("document.title")

WebGL is drawn in software, so that images are the same on machines with and without a GPU.
"""

import base64
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from gs_esd.errors import UserError
from viewer.devtools import DevTools, DevToolsError, Event

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FLAGS = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
]
ENDS_WITHIN_S = 10.0


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome, None where there is none."""
    found = (shutil.which(name) for name in NAMES)
    return next((path for path in found if path), MAC if os.path.exists(MAC) else None)


class Chromium:
    """A running Chromium with a profile of its own, ended and forgotten at the end of the block."""

    def __init__(self, timeout_s: float = 60.0) -> None:
        """timeout_s: how long any command may take. Raises UserError where none is installed."""
        path = find_chromium()
        if path is None:
            raise UserError(
                "no Chromium or Chrome was found, which this needs to draw pages. "
                "Install one (Debian and Ubuntu: apt install chromium) and see that it is on PATH."
            )
        self._path = path
        self._timeout_s = timeout_s

    def __enter__(self) -> "Chromium":
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, answers = os.pipe(), os.pipe()
        self._process = _launch(self._path, self._profile.name, commands[0], answers[1])
        os.close(commands[0])
        os.close(answers[1])
        self.devtools = DevTools(answers[0], commands[1], self._timeout_s)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.devtools.close()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()

    def open_page(self, width: int, height: int) -> "Page":
        """An empty page of this size in CSS pixels, one device pixel each."""
        target = self.devtools.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.devtools.send("Target.attachToTarget", targetId=target, flatten=True)
        return Page(self.devtools, attached["sessionId"], width, height)


class Page:
    """A page of a Chromium: goes to addresses, evaluates JavaScript, takes images."""

    def __init__(self, devtools: DevTools, session: str, width: int, height: int) -> None:
        """Take the session of an attached target."""
        self.devtools = devtools
        self.session = session
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.resize(width, height)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give the page a command of the protocol. Raises DevToolsError."""
        return self.devtools.send(method, self.session, **parameters)

    def resize(self, width: int, height: int) -> None:
        """Give the page this size in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def go(self, address: str) -> None:
        """Load an address and wait until its scripts have run. Raises DevToolsError."""
        since = len(self.devtools.events)
        answer = self.send("Page.navigate", url=address)
        if "errorText" in answer:
            raise DevToolsError(f"{address}: {answer['errorText']}")
        if "loaderId" in answer:  # else only the hash has changed
            self.devtools.wait_for(lambda event: self._is_ours(event, "Page.loadEventFired"), since)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON knows it; promises are waited for.

        Raises DevToolsError with what JavaScript threw.
        """
        answer = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise DevToolsError(_describe(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """A PNG of what can be seen of the page."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def errors(self) -> list[str]:
        """What went wrong so far: uncaught exceptions, console errors, refused loads."""
        return [text for event in self._events() if (text := _error(event))]

    def requests(self) -> list[str]:
        """The address of everything that was asked for so far."""
        return [
            event["params"]["request"]["url"]
            for event in self._events()
            if event["method"] == "Network.requestWillBeSent"
        ]

    def _events(self) -> list[Event]:
        self.evaluate("0")  # events that came before its answer are there then
        return [event for event in self.devtools.events if event.get("sessionId") == self.session]

    def _is_ours(self, event: Event, method: str) -> bool:
        return event["method"] == method and event.get("sessionId") == self.session


def _launch(path: str, profile: str, commands: int, answers: int) -> subprocess.Popen[bytes]:
    """Start Chromium reading commands from one file descriptor and answering on the other.

    It expects them to be numbers 3 and 4. They are put there, from numbers out of the way, by a
    Python of their own, because shells differ in which numbers they know.
    """
    away = [fcntl.fcntl(number, fcntl.F_DUPFD, 10) for number in (commands, answers)]
    flags = [*FLAGS, f"--user-data-dir={profile}"]
    if sys.platform == "linux" and os.getuid() == 0:
        flags.append("--no-sandbox")  # which does not work for root
    put = f"import os, sys; os.dup2({away[0]}, 3); os.dup2({away[1]}, 4); "
    become = "os.execv(sys.argv[1], sys.argv[1:])"
    try:
        return subprocess.Popen(
            [sys.executable, "-c", put + become, path, *flags],
            pass_fds=away,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        for number in away:
            os.close(number)


def _error(event: Event) -> str | None:
    method, params = event["method"], event["params"]
    if method == "Runtime.exceptionThrown":
        return _describe(params["exceptionDetails"])
    if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
        return " ".join(str(each.get("value", each.get("description"))) for each in params["args"])
    if method == "Log.entryAdded" and params["entry"]["level"] == "error":
        entry = params["entry"]
        return f"{entry['text']} {entry.get('url', '')}".strip()
    return None


def _describe(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description", details.get("text")))
