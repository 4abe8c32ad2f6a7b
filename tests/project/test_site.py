"""The site is built without a warning, holds all pages, and its links and pictures lead somewhere within it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
# What a reader of the repository reads first; the site has pages of its own for that.
NOT_IN_THE_SITE = {"README.md"}


class Page(HTMLParser):
    """Places that can be linked to, where links lead, and what is loaded with the page."""

    def __init__(self, text):
        super().__init__()
        self.places, self.links, self.loaded, self.untold = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.places.add(attrs.get("id"))
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        elif tag in ("img", "script") and attrs.get("src"):
            self.loaded.append(attrs["src"])
        elif tag == "link" and attrs.get("href") and attrs.get("rel") in ("stylesheet", "preload", "icon"):
            self.loaded.append(attrs["href"])
        # The mark of the site stands beside its name.
        if tag == "img" and not (attrs.get("alt") or "").strip() and "mark.svg" not in attrs["src"]:
            self.untold.append(attrs["src"])


@pytest.fixture(scope="module")
def pages(site):
    # The theme brings a template of its own in _static.
    paths = [path for path in site.rglob("*.html") if path.parent.name != "_static"]
    return {path: Page(path.read_text(encoding="utf-8")) for path in paths}


def test_all_pages_are_in_the_site(site):
    written = [
        *ROOT.glob("*.md"),
        *ROOT.glob("daskelm/*/*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("notebooks/*.ipynb"),
        ROOT / "docker/README.md",
    ]
    names = {str(path.relative_to(ROOT)) for path in written} - NOT_IN_THE_SITE
    missing = {name for name in names if not (site / name).with_suffix(".html").is_file()}
    assert len(names) > 30
    assert not missing


def test_links_lead_to_places_of_the_site(site, pages):
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                wrong.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                wrong.append(f"{path.relative_to(site)}: {link}, no such place there")
    assert not wrong


def test_pictures_and_scripts_are_there_and_come_from_the_site(site, pages):
    wrong = [
        f"{path.relative_to(site)}: {source}"
        for path, page in pages.items()
        for source in page.loaded
        if not source.startswith("data:")
        and (urlsplit(source).netloc or not (path.parent / unquote(urlsplit(source).path)).is_file())
    ]
    assert not wrong


def test_pictures_of_pages_say_what_they_show(site, pages):
    # Outputs of notebooks have no text of their own.
    untold = {path: page.untold for path, page in pages.items() if page.untold and path.parent.name != "notebooks"}
    assert not untold


def test_the_root_leads_to_the_first_page(site):
    [target] = re.findall(r'content="0; url=([^"]+)"', (site / "index.html").read_text(encoding="utf-8"))
    assert (site / target).is_file()


def test_classes_show_what_is_theirs_and_not_what_scikit_learn_gives_to_all(pages, site):
    places = pages[site / "docs/generated/daskelm.ELMRegressor.html"].places
    assert {"daskelm.ELMRegressor.fit", "daskelm.ELMRegressor.accumulate", "daskelm.ELMRegressor.coef_"} <= places
    assert "daskelm.ELMRegressor.set_fit_request" not in places
    assert "daskelm.NormalEquations.HH" in pages[site / "docs/generated/daskelm.NormalEquations.html"].places
