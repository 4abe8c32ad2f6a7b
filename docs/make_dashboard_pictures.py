"""Pictures of the Dask dashboard of a running fit, in headless Chromium; `docs/dashboard.md` shows them.

Run it from the root of the repository: ``python docs/make_dashboard_pictures.py``.
`tests/real_clusters/test_dashboard.py` uses the same functions.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import logging
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from tornado.websocket import websocket_connect

from daskelm import ELMRegressor, make_hdf5

DOCS = Path(__file__).parent
PATIENCE = 120
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)

# Texts in the data of the figures of a page, by column. The figures are drawn, so the page itself has no texts.
TEXTS = """
(() => {
  const found = [];
  for (const page of (window.Bokeh ? Bokeh.documents : []))
    for (const model of page._all_models.values())
      if (model.type === "ColumnDataSource")
        found.push(Object.fromEntries(Object.entries(model.data).map(
          ([name, values]) => [name, Array.from(values).filter(value => typeof value === "string")])));
  return found;
})()
"""

# Place on the page of the node of a graph with a name, if there is one.
PLACE = """
(() => {
  for (const page of Bokeh.documents)
    for (const source of page._all_models.values()) {
      if (source.type !== "ColumnDataSource" || !("state" in source.data)) continue;
      const visible = Array.from(source.data.visible);
      const i = Array.from(source.data.name).findIndex((name, i) => name === "%s" && visible[i] === "True");
      if (i < 0) continue;
      for (const view of Bokeh.index.query(view => view.model.type === "Figure")) {
        const edge = view.canvas_view.el.getBoundingClientRect();
        return [edge.x + view.frame.x_scale.compute(source.data.x[i]),
                edge.y + view.frame.y_scale.compute(source.data.y[i])];
      }
    }
  return null;
})()
"""


def chromium() -> str | None:
    """The browser, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """A page of a headless browser, driven over its DevTools protocol."""

    def __init__(self, program: str, width: int, height: int):
        self.program, self.size = program, (width, height)
        self.numbers = itertools.count(1)

    async def __aenter__(self):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        flags = (*FLAGS, f"--user-data-dir={self.folder.name}", "--window-size={},{}".format(*self.size))
        self.process = subprocess.Popen(
            [self.program, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port = await self._port()
        # A browser opens its first page a little later than the port.
        pages: list = []
        while not pages:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            await asyncio.sleep(0.1)
        self.socket = await websocket_connect(pages[0]["webSocketDebuggerUrl"], max_message_size=2**28)
        return self

    async def __aexit__(self, *error):
        self.socket.close()
        while await self.socket.read_message() is not None:
            pass
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()

    async def _port(self):
        file = Path(self.folder.name, "DevToolsActivePort")
        for _ in range(10 * PATIENCE):
            if file.exists() and "\n" in (text := file.read_text()):
                return int(text.splitlines()[0])
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{self.program} did not start.")

    async def call(self, method: str, **params) -> dict:
        """One command of the protocol."""
        number = next(self.numbers)
        await self.socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(await self.socket.read_message())
            if answer.get("id") == number:
                return answer["result"]

    async def evaluate(self, code: str) -> Any:
        """The value of JavaScript on the page."""
        answer = await self.call("Runtime.evaluate", expression=code, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    async def texts(self) -> list[dict[str, list[str]]]:
        """Texts in the data of each figure of the page, by column."""
        return await self.evaluate(TEXTS) or []

    async def open(self, url: str) -> None:
        """Show another page."""
        await self.call("Page.navigate", url=url)

    async def until(self, true: Callable[[list[dict[str, list[str]]]], bool], seconds: float = PATIENCE) -> None:
        """Wait until a condition on the texts of the figures is true."""
        end = time.monotonic() + seconds
        while not true(texts := await self.texts()):
            if time.monotonic() > end:
                raise TimeoutError(f"after {seconds} s the page still shows {texts}")
            await asyncio.sleep(0.1)

    async def point_at(self, name: str) -> None:
        """Move the mouse over a node of the graph, so that the page shows its name."""
        place = await self.evaluate(PLACE % name)
        if place is not None:
            # The page notices only a mouse that moves, and may draw the figure anew meanwhile.
            for step in (30, 6, 3, 0, 1):
                await self.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0] + step, y=place[1] + step)
                await asyncio.sleep(0.05)

    async def picture(self, path) -> None:
        """Save what the page shows."""
        answer = await self.call("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(answer["data"]))


@contextlib.contextmanager
def cluster(n_workers: int) -> Iterator[Client]:
    """Worker processes of one thread each with a dashboard, reachable from this machine only."""
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit="2GiB",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=True) as client,
    ):
        yield client


def data(folder, n_rows: int) -> tuple[str, str]:
    """Files with a table of 20 inputs and a target."""
    X = np.random.default_rng(0).standard_normal((n_rows, 20))
    return make_hdf5(X, Path(folder, "X.h5")), make_hdf5(np.sin(X[:, 0]) * X[:, 1], Path(folder, "y.h5"))


@contextlib.contextmanager
def working(folder, n_rows: int, n_neurons: int) -> Iterator[None]:
    """Fits with a learning curve and predictions, one after the other, in a thread, until the context ends."""
    x, y = data(folder, n_rows)
    end, failures = threading.Event(), []

    def work():
        try:
            while not end.is_set():
                model = ELMRegressor(n_neurons, alpha=1.0, random_state=0)
                model.fit(x, y, callback=lambda point: None)
                model.predict(x, out=Path(folder, "predicted.h5"))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
    if failures:
        raise failures[0]


def in_progress(texts: list[dict[str, list[str]]]) -> set[str]:
    """First words of the names of tasks that have a progress bar."""
    return {name for figure in texts if "show-name" in figure for name in figure["name"]}


def in_stream(texts: list[dict[str, list[str]]]) -> set[str]:
    """First words of the names of tasks that the stream shows."""
    return {name for figure in texts if "duration_text" in figure for name in figure["name"]}


def in_graph(texts: list[dict[str, list[str]]]) -> list[str]:
    """First words of the names of the nodes of the graph, without tasks that Dask has forgotten."""
    nodes = [zip(figure["name"], figure["visible"], strict=True) for figure in texts if "state" in figure]
    return [name for name, visible in itertools.chain(*nodes) if visible == "True"]


def merged(texts: list[dict[str, list[str]]]) -> bool:
    """True if a progress bar shows that a merge is done."""
    for figure in texts:
        if "show-name" in figure:
            return not dict(zip(figure["name"], figure["done"], strict=True)).get("merge", "0").startswith("0")
    return False


async def take_pictures(program: str, client: Client, folder: Path) -> None:
    """Take the pictures of `docs/dashboard.md`."""
    base = client.dashboard_link.removesuffix("/status")
    async with Page(program, 1280, 1000) as page:
        await page.open(f"{base}/status")
        await page.until(lambda texts: in_stream(texts) >= {"gram", "merge", "predict"})
        await page.until(lambda texts: in_progress(texts) >= {"gram", "merge"} and merged(texts))
        await page.picture(folder / "dashboard-status.png")
        await page.open(f"{base}/graph")
        await page.until(lambda texts: in_graph(texts).count("merge") > 2)
        await page.point_at("merge")
        await page.picture(folder / "dashboard-graph.png")


def main() -> None:
    """Take the pictures of a cluster that works."""
    program = chromium()
    if program is None:
        raise SystemExit("needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, cluster(4) as client, working(folder, 300_000, 700):
        asyncio.run(take_pictures(program, client, DOCS))


if __name__ == "__main__":
    main()
