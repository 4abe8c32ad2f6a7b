"""Configuration of Sphinx for the site that `make docs` builds.

The source is the root of the repository, so that relative links between pages, notebooks and files of the code are the
same on the site and in the repository.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import daskelm  # noqa: E402

project = "daskelm"
author = "daskelm developers"
copyright = author
version = release = daskelm.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
root_doc = "docs/index"
include_patterns = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "daskelm/*/DESIGN.md",
    "docker/README.md",
    "docs/**",
    "notebooks/*.ipynb",
]
exclude_patterns = ["docs/_static/**", "docs/_templates/**"]
# The path is absolute, since autosummary takes a relative one from the source and Sphinx from this folder.
templates_path = [str(ROOT / "docs" / "_templates")]
# Quotes mostly enclose names and numbers of code, so they stay straight.
smartquotes = False

# Pages are Markdown as GitHub reads it; colon fences are for the two pages that only the site has.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
# Notebooks are run by the tests, which fail if a cell does; the site shows what they keep.
nb_execution_mode = "off"

linkcheck_ignore = [r"http://127\.0\.0\.1"]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "daskelm"
html_favicon = "_static/mark.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_root"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "daskelm", "image_light": "_static/mark.svg", "image_dark": "_static/mark.svg"},
    "navbar_align": "left",
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
    "header_links_before_dropdown": 8,
    "show_toc_level": 2,
    "navigation_depth": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
# These pages have no others below them.
html_sidebars = {name: [] for name in ("docs/index", "docs/idea", "docs/limits", "docs/performance")}


def skip_what_others_document(app, what, name, obj, skip, options):
    """Leave out members that scikit-learn and Python give to every class, since they document them."""
    where = getattr(obj, "func", getattr(obj, "fget", obj))
    return skip or not (getattr(where, "__module__", None) or "daskelm").startswith("daskelm")


def setup(app):
    app.connect("autodoc-skip-member", skip_what_others_document)
