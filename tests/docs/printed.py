"""What the documentation prints: commands, Python blocks and links."""

import ast
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
PAGES = [
    *(ROOT / name for name in ("README.md", "BUILD.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "tutorials"),
]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
SCRIPTS = sorted(path.stem for path in LAUNCH.glob("[!_]*.py") if path.stem != "flagdefs")
SOURCES = sorted(
    path
    for folder in ("jaxfleet", "jaxinr", "jaxsr", "experiments", "launch")
    for path in (ROOT / folder).rglob("*.py")
)
FLAGFILES = sorted(LAUNCH.glob("flagfiles/*/*.flags"))

# Printed as a pattern to fill in, or for a system that no test has; the reason stands beside it.
NOT_RUN = {
    "my.flags": "a flagfile of the reader's, in a job file",
    "s3://my-bucket": "a bucket of the reader's; tests/launch runs the scripts on a local one",
    "gs://": "a bucket of the reader's",
    "launch/app.py": "serves a page until it is told to end; tests/experiments/app does so",
    "launch/sr_installed.py": "needs networks that PyPI installs; tests/launch imitates them",
    "sr_installed/labelled.flags": "left by the command above",
    "sr_images_installed": "left by the command above",
    "launch/sr_evidence.py": "takes hours, and a network of the reader's",
    "launch/sr_judge.py": "learns from what the command above leaves",
    "--gallery=runs/sr_judge": "left by the command above",
    "--executor=ray": "tests/launch/test_ray.py runs it on a cluster of its own",
    "--part=accelerator": "tests/experiments/benchmarks/accelerator runs it at small sizes",
    "launch/benchmark.py": "tests/experiments/benchmarks/test_siren.py runs it at small sizes",
    "launch/sr_benchmark.py": "takes minutes at its smallest",
}

_BEFORE = r"^(?:\s{4,}|.*?`|.*?&& )?(?:[A-Z_]+=\S+ |time |srun )*(?:\S*/)?"
_COMMAND = re.compile(_BEFORE + r"python (launch/\w+\.py\b[^`]*)")


@dataclass(frozen=True)
class Command:
    """One printed command.

    text: from `launch/NAME.py` on. source: the file that prints it.
    """

    text: str
    source: str

    @property
    def script(self):
        return self.text.split(".py")[0].removeprefix("launch/")

    @property
    def args(self):
        return shlex.split(self.text)[1:]

    @property
    def reason_not_run(self):
        return next((why for part, why in NOT_RUN.items() if part in f"{self.text} "), None)


def _lines(text):
    """Lines with backslash continuations joined."""
    return re.sub(r"\\\n\s*", "", text).splitlines()


def commands_of(text, source):
    found = []
    text = re.sub(r"\bjaxfleet (\w+)(?= --)", r"python launch/\1.py", text)
    for line in _lines(text):
        for part in [line, *re.findall(r"`[^`]*`", line)[1:]]:
            match = _COMMAND.match(part)
            if match and "NAME" not in match[1].split()[0]:
                found.append(Command(match[1].split(" & ")[0].strip(), source))
    return found


def commands():
    """Every printed command once, with the file that prints it first."""
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in [*PAGES, *TUTORIALS]}
    for script in SCRIPTS:
        texts[f"launch/{script}.py"] = docstring(script)
    for path in FLAGFILES:
        comments = [line[1:] for line in path.read_text().splitlines() if line.startswith("#")]
        texts[str(path.relative_to(ROOT))] = "\n".join(comments)
    found = {}
    for source, text in texts.items():
        for command in commands_of(text, source):
            found.setdefault(command.text, command)
    return list(found.values())


def docstring(script):
    """What `--help` of a script begins with."""
    return ast.get_docstring(ast.parse((LAUNCH / f"{script}.py").read_text())) or ""


def python_blocks(page):
    """The Python blocks of a page in order; those marked `notest` are left out."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)


def links(page):
    """Relative links of a page, without anchors."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.split("#")[0] for target in targets if "://" not in target and target[0] != "#"]
