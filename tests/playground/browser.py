"""Headless Chromium, driven through the pipes of its DevTools protocol: no package is needed."""

import base64
import fcntl
import itertools
import json
import os
import select
import shlex
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--remote-debugging-pipe"),
)


class Browser:
    """One page; commands are sent to descriptor 3 of the browser, and answered on 4."""

    def __init__(self, folder, *, dark=False):
        pipes = (*os.pipe(), *os.pipe())
        # Numbers that cannot be 3 or 4, which the shell below overwrites.
        reads, self.sends, self.answers, writes = (fcntl.fcntl(p, fcntl.F_DUPFD, 20) for p in pipes)
        for pipe in pipes:
            os.close(pipe)
        arguments = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "--window-size=1280,900"]
        command = f"exec {shlex.join(arguments)} about:blank 3<&{reads} 4>&{writes}"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(["bash", "-c", command], pass_fds=(reads, writes), **quiet)
        os.close(reads)
        os.close(writes)
        self.numbers, self.text, self.session = itertools.count(1), b"", None
        self.new_tab()
        if dark:
            features = [{"name": "prefers-color-scheme", "value": "dark"}]
            self.command("Emulation.setEmulatedMedia", features=features)

    def new_tab(self):
        """The target of a new tab, to which the commands go from now on."""
        self.session = None
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        return target

    def command(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.sends, json.dumps(message).encode() + b"\0")
        while (reply := self.receive()).get("id") != number:
            pass
        assert "error" not in reply, reply
        return reply["result"]

    def receive(self, seconds=60):
        while b"\0" not in self.text:
            assert select.select([self.answers], [], [], seconds)[0], "no answer from the browser"
            part = os.read(self.answers, 2**16)
            assert part, "the browser ended"
            self.text += part
        reply, self.text = self.text.split(b"\0", 1)
        return json.loads(reply)

    def open(self, url):
        self.command("Page.navigate", url=url)

    def run(self, expression):
        """The value of a JavaScript expression, awaited."""
        options = {"awaitPromise": True, "returnByValue": True}
        result = self.command("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, condition, seconds=60):
        """Wait until a JavaScript condition holds."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, (
                condition + ": " + str(self.run("document.body.innerText"))
            )
            time.sleep(0.05)

    def mouse(self, kind, x, y):
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, x, y):
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def press(self, key, code, text=""):
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            numbers = {"windowsVirtualKeyCode": code}
            self.command("Input.dispatchKeyEvent", type=kind, key=key, **numbers, **extra)

    def screenshot(self, path):
        data = self.command("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.sends)
        os.close(self.answers)
