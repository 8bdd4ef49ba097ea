"""Build hooks of the site: pages of the reference that are written from the code.

`{{ public NAME }}` on a page becomes the documentation of every public name of the package NAME,
`{{ scripts }}` the help text of every script in `launch`, and `{{ modules }}` a table of all
modules; each module also gets a page of its own. The build fails if a page loads anything from
another host.
"""

import functools
import html.parser
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from unittest import mock

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

PACKAGES = ("jaxinr", "jaxsr", "jaxfleet")
ROOT = Path(__file__).parents[1]


def on_files(files, config):
    """Add one page for each module."""
    for name in module_names():
        content = f"# {name}\n\n::: {name}\n    options:\n      show_root_heading: false\n"
        files.append(File.generated(config, f"reference/modules/{name}.md", content=content))
    return files


def on_page_markdown(markdown, **_):
    """Replace the markers that the module docstring lists."""
    markdown = re.sub(r"\{\{ public (\w+) \}\}", lambda match: public(match[1]), markdown)
    markdown = re.sub(r"\{\{ scripts \}\}", lambda _: scripts(), markdown)
    return re.sub(r"\{\{ modules \}\}", lambda _: modules(), markdown)


def on_page_content(html, **_):
    """Keep the name of a flag in one line where a block of code is wrapped."""

    def marked(block):
        return re.sub(r"(?<![\w-])--\w+=?", r'<span class="flag">\g<0></span>', block[0])

    return re.sub(r"<pre\b.*?</pre>", marked, html, flags=re.DOTALL)


def on_post_build(config, **_):
    """Fail if a built page or style sheet loads something from another host."""
    site = Path(config["site_dir"])
    loaded = {
        path.relative_to(site).as_posix(): outside(path.read_text(), path.suffix)
        for path in [*site.rglob("*.html"), *site.rglob("*.css")]
    }
    if any(loaded.values()):
        lines = [f"{page}: {url}" for page, urls in loaded.items() for url in urls]
        raise PluginError("\n".join(["These pages load from other hosts:", *lines]))


def outside(text, suffix):
    """Return the addresses of other hosts that a page (.html) or style sheet (.css) loads."""
    if suffix == ".css":
        found = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s]+)", text)
    else:
        parser = _Loaded()
        parser.feed(text)
        found = parser.addresses
    return [address for address in found if re.match(r"(?:\w+:)?//", address)]


class _Loaded(html.parser.HTMLParser):
    """Collects what a browser fetches by itself; links that a reader follows are not among it."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "a" or (tag == "link" and values.get("rel") in ("canonical", "prev", "next")):
            return
        self.addresses += [
            value for name, value in attrs if name in ("src", "href", "srcset", "poster") and value
        ]


@functools.cache
def module_names():
    """Return the dotted names of all public modules, in alphabetical order."""
    walked = (
        found.name
        for package in PACKAGES
        for found in pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
    )
    return sorted(name for name in walked if "._" not in name)


def public(package):
    """Return mkdocstrings blocks for what a package exports, under its public names."""
    module = importlib.import_module(package)
    blocks = []
    for name in sorted(vars(module).get("__all__") or dir(module)):
        value = getattr(module, name)
        if name.startswith("_") or inspect.ismodule(value):
            continue
        path = f"{value.__module__}.{value.__qualname__}"
        blocks.append(
            f"::: {path}\n    options:\n      heading: {package}.{name}\n"
            f"      toc_label: {name}\n      heading_level: 2\n      skip_local_inventory: true\n"
        )
    return "\n".join(blocks)


def scripts():
    """Return a section for each script with its help text."""
    flagdefs = importlib.import_module("launch.flagdefs")
    sections = []
    for path in sorted((ROOT / "launch").glob("[!_]*.py")):
        module = importlib.import_module(f"launch.{path.stem}")
        if hasattr(module, "CONFIG"):
            with mock.patch.object(sys, "argv", [str(path)]):  # its name is in --run_dir
                text = flagdefs.help_text(module.CONFIG, module.__doc__)
            sections.append(f"## {path.stem}\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def modules():
    """Return a table of all modules with the first sentence of their docstrings."""
    rows = ["| module | contents |", "|---|---|"]
    for name in module_names():
        doc = inspect.getdoc(importlib.import_module(name)) or ""
        summary = " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|")
        rows.append(f"| [{name}](modules/{name}.md) | {summary} |")
    return "\n".join(rows)
