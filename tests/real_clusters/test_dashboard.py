"""What the real dashboard of a running fit shows, in headless Chromium: names, and a colour for each."""

import asyncio
from collections import defaultdict

import pytest
from distributed import performance_report

from daskelm import ELMRegressor

from .browser import DOCS, PROGRAM, needs_browser, pictures

pytestmark = needs_browser


@pytest.fixture(scope="module")
def working(tmp_path_factory):
    """The client of a cluster that fits and predicts all the time."""
    folder = tmp_path_factory.mktemp("working")
    with pictures.cluster(2) as client, pictures.working(folder, 60_000, 400):
        yield client


def colours(texts):
    """The colours of each name in the task stream; transfers and the like have names that say so."""
    found = defaultdict(set)
    for figure in texts:
        if "duration_text" in figure:
            for name, colour in zip(figure["name"], figure["color"], strict=True):
                found[name].add(colour)
    return found


def test_stream_and_bars_of_progress_name_what_goes_on(working):
    async def look():
        async with pictures.Page(PROGRAM, 1280, 1000) as page:
            await page.open(working.dashboard_link)
            await page.until(lambda texts: pictures.in_progress(texts) >= {"gram", "merge", "layer"})
            await page.until(lambda texts: pictures.in_progress(texts) >= {"predict"})
            await page.until(lambda texts: pictures.in_stream(texts) >= {"gram", "merge", "predict"})
            return await page.texts()

    found = colours(asyncio.run(look()))
    of_work = {name: found[name] for name in ("gram", "merge", "predict")}
    assert all(len(colours) == 1 for colours in of_work.values()), "a name has one colour"
    assert len(set().union(*of_work.values())) == len(of_work), "and another than other names"
    assert found["transfer-gram"] == {"red"}


def test_graph_names_its_nodes(working):
    async def look():
        async with pictures.Page(PROGRAM, 1280, 1000) as page:
            await page.open(working.dashboard_link.replace("/status", "/graph"))
            await page.until(lambda texts: set(pictures.in_graph(texts)) >= {"layer", "gram", "merge"})

    asyncio.run(look())


def test_pictures_of_the_docs_are_made(working, tmp_path):
    asyncio.run(pictures.take_pictures(PROGRAM, working, tmp_path))
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in DOCS.glob("dashboard-*.png"))
    page = (DOCS / "dashboard.md").read_text(encoding="utf-8")
    for name in made:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert f"({name})" in page


def test_a_page_that_never_shows_it_is_told(working):
    async def look():
        async with pictures.Page(PROGRAM, 600, 400) as page:
            await page.until(lambda texts: False, seconds=0.2)

    with pytest.raises(TimeoutError, match="the page still shows"):
        asyncio.run(look())


def test_report_of_a_fit_names_its_tasks(working, tmp_path):
    report = tmp_path / "fit.html"
    with performance_report(report, mode="inline"):
        ELMRegressor(100, random_state=0).fit(*pictures.data(tmp_path, 20_000))

    async def look():
        async with pictures.Page(PROGRAM, 1280, 1000) as page:
            await page.open(report.as_uri())
            await page.until(lambda texts: pictures.in_stream(texts) >= {"gram", "merge"})

    asyncio.run(look())
