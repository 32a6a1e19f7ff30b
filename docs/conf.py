"""Settings of the site. Build it with: python3 run.py python tools/build_site.py."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the API pages import data_helpers from here
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "OME-Zarr images in the cloud"
author = PROJECT["authors"][0]["name"]
copyright = "2026, " + author
version = release = PROJECT["version"]
language = "en"

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
extensions += ["sphinx.ext.githubpages"]

# Markdown and notebooks. What is stored in a notebook is shown; Sphinx runs nothing itself.
myst_enable_extensions = ["attrs_block", "html_image"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # widgets have no kernel here, and their scripts would come from elsewhere
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"

# Every name of this package that a text refers to must exist; other packages' are not looked up.
nitpick_ignore_regex = [("py:.*", r"(?!data_helpers).*")]
autosummary_generate = False  # the index of the reference lists names; other pages describe them
numpydoc_show_class_members = False  # the API pages list the members of a class themselves
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings name the types, in words a reader can use
add_module_names = False

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sphinx = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_theme_options = {
    "logo": {
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "text": project,
        "alt_text": project,
    },
    "repository_url": PROJECT["urls"]["Repository"],
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # else the search field stands twice on a page
    "show_navbar_depth": 1,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
