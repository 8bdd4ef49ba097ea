"""Each tutorial runs, and prints what the page says it prints, up to the digits of numbers."""

import importlib.util
import re

import matplotlib.pyplot as plt
import pytest

from tests.docs import printed


@pytest.fixture(scope="module")
def tutorials():
    path = printed.ROOT / "docs" / "tutorials.py"
    spec = importlib.util.spec_from_file_location("tutorials", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def masked(output, is_tied):
    """The words of an output; another processor may round its numbers otherwise.

    Near ties come in another order there, on the one page that has some.
    """
    words = re.sub(r"-?\d+(?:\.\d+)?", "#", output).split()
    return sorted(words) if is_tied else words


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", printed.TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_prints_what_it_says(tutorials, path, tmp_path):
    page, is_tied = path.read_text(), path.stem == "which-network"
    with plt.style.context("default"), plt.rc_context({"backend": "agg"}):
        made = tutorials.outputs(page, tmp_path)
    kept = [output for *_, output in tutorials.cells(page)]
    assert [masked(one, is_tied) for one in made] == [masked(one, is_tied) for one in kept]
    for image in re.findall(r"images/tutorials/([\w.]+)", page):
        assert (tmp_path / image).exists()


def test_outputs_are_written_after_their_blocks(tutorials, tmp_path):
    page = (
        "```python\nx = 1\n```\n\ntext\n\n```python\nprint(x)\nx + 1\n```\n\n```text\nold\n```\n\n"
    )
    page += "```bash\necho three\n```\n"
    printed_text = tutorials.outputs(page, tmp_path)
    assert printed_text == ["", "1\n2\n", "three\n"]
    new = tutorials.written(page, printed_text)
    assert new.endswith("```text\n1\n2\n```\n\n```bash\necho three\n```\n\n```text\nthree\n```\n")
    assert tutorials.written(new, printed_text) == new
    assert "old" not in new
