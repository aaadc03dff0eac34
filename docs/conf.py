"""How Sphinx builds these pages: `sphinx-build -W docs docs/_build`."""

from importlib.metadata import version as version_of

project = "Chancelery"
author = "The Chancelery developers"
copyright = "the Chancelery developers"  # noqa: A001 - Sphinx's name for it
version = release = version_of("chancelery")
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Chancelery"
