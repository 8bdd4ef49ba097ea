"""The site's own rules: every page is in the navigation, and nothing is loaded from elsewhere."""

import importlib.util
import re

import pytest

from tests.docs import printed


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("hooks", printed.ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_navigation_has_every_page_once():
    named = re.findall(r"([\w/-]+\.md)$", (printed.ROOT / "mkdocs.yml").read_text(), re.M)
    docs = printed.ROOT / "docs"
    assert sorted(named) == sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))


@pytest.mark.parametrize(
    ("text", "suffix", "loaded"),
    [
        ('<script src="https://cdn.example/a.js"></script>', ".html", ["https://cdn.example/a.js"]),
        ('<link rel="stylesheet" href="//fonts.example/a">', ".html", ["//fonts.example/a"]),
        ('<img src="../images/a.png"><a href="https://example.org">a</a>', ".html", []),
        ('<link rel="canonical" href="https://example.org/a.html">', ".html", []),
        ("a { background: url('http://example.org/a.png') }", ".css", ["http://example.org/a.png"]),
        ("a { background: url(data:image/svg+xml;utf8,x) }", ".css", []),
    ],
)
def test_what_a_page_loads_from_other_hosts_is_found(hooks, text, suffix, loaded):
    assert hooks.outside(text, suffix) == loaded


def test_a_line_of_code_is_not_wrapped_inside_the_name_of_a_flag(hooks):
    page = "<p>--flag=1</p><pre><code>python x.py --top=5 a--b --dry_run\n</code></pre>"
    assert hooks.on_page_content(page) == (
        '<p>--flag=1</p><pre><code>python x.py <span class="flag">--top=</span>5 a--b '
        '<span class="flag">--dry_run</span>\n</code></pre>'
    )


def test_code_begins_as_the_site_reads_it():
    for path in (printed.ROOT / "docs").rglob("*.md"):
        ends = re.findall(r"^ *```(.*)$", path.read_text(), re.M)
        assert len(ends) % 2 == 0, path
        for opened, closed in zip(ends[::2], ends[1::2], strict=True):
            assert re.fullmatch(r"\w+|\{( ?\.\w+)+\}", opened), (path, opened)
            assert closed == "", path
