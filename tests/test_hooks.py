"""The hooks before a commit, which the extra [dev] installs the tools of."""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_hook_runs_a_tool_that_the_extra_dev_installs():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    tools = re.findall(r"^ +entry: ([\w-]+)", hooks, re.MULTILINE)
    setup = configparser.RawConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    extra = (extras["dev"] % extras).split("\n")  # names the extra that the tests need
    packages = {re.split(r"[ <>=~!\[]", one)[0] for one in extra if one}
    assert "pre-commit" in packages
    assert len(tools) == hooks.count("entry:") > 0
    assert {{"lint-imports": "import-linter"}.get(tool, tool) for tool in tools} <= packages
