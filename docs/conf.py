"""The documentation site: `make docs`, which refuses dead links between pages."""

project = "oneshot-rlvr"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "oneshot-rlvr"
exclude_patterns = ["build"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
