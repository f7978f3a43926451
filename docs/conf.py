from tinbergen import __version__

project = "Tinbergen"
author = "The Tinbergen developers"
copyright = "2026, the Tinbergen developers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
# Types of several rooms may bear the same name.
suppress_warnings = ["ref.python"]

html_theme = "pydata_sphinx_theme"
html_title = "Tinbergen"
html_show_sourcelink = False
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "navbar_center": []}
templates_path = ["_templates"]
# All pages beside every page: the theme's own sidebar shows those below the current one alone.
html_sidebars = {"**": ["pages.html"]}
html_static_path = ["_static"]
html_css_files = ["wide.css"]
