"""Every page of the site in headless Chromium, as wide as a phone and as a desktop, light and dark."""

import asyncio

import pytest

from .browser import PROGRAM, needs_browser, pictures

pytestmark = needs_browser

# Whether the page is as wide as the window; pictures that are not there; the theme; lightness of letters and of what is
# behind them, from 0 to 1.
LOOK = """
(() => {
  const light = rgb => {
    const [r, g, b] = rgb.match(/[0-9.]+/g).map(Number);
    return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
  };
  const letters = getComputedStyle(document.querySelector(".bd-article p, .bd-article h1") || document.body);
  return {
    too_wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    missing: [...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src),
    theme: document.documentElement.dataset.theme,
    letters: light(letters.color),
    ground: light(getComputedStyle(document.body).backgroundColor),
  };
})()
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_the_window_and_can_be_read(site, width, theme):
    paths = sorted(path for path in site.rglob("*.html") if not {"_static", "_modules"} & set(path.parts))
    # The first one only leads on to another.
    paths.remove(site / "index.html")

    async def look():
        async with pictures.Page(PROGRAM, width, 900) as page:
            await page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
            )
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            return {path: await seen(page, path) for path in paths}

    wrong = {}
    for path, found in asyncio.run(look()).items():
        assert found["theme"] == theme
        faults = [
            *([f"{found['too_wide']} pixels too wide"] if found["too_wide"] > 0 else []),
            *(f"no picture {source}" for source in found["missing"]),
            # Of WCAG's contrast of 7 : 1 between grey tones this asks somewhat more.
            *(["too little contrast"] if abs(found["letters"] - found["ground"]) < 0.6 else []),
        ]
        if faults:
            wrong[str(path.relative_to(site))] = faults
    assert len(paths) > 40
    assert not wrong


async def seen(page, path):
    """What LOOK says of a page that is wholly there."""
    await page.open(path.as_uri())
    for _ in range(10 * pictures.PATIENCE):
        if await page.evaluate(f"document.readyState === 'complete' && location.href === {path.as_uri()!r}"):
            return await page.evaluate(LOOK)
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{path} is not there after {pictures.PATIENCE / 2} s")
