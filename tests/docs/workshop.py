"""A folder with a reader's files, in which printed commands and Python blocks run, scaled down.

Commands run in this process. A command that reads `runs/NAME` has the printed command that makes it
run first.
"""

import contextlib
import html
import io
import re
import runpy
import signal
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image, ImageFilter

import jaxsr
from experiments.benchmarks import calibrate
from experiments.benchmarks import siren as siren_benchmark
from experiments.pictures.installed.networks import NETWORKS
from jaxfleet.imaging import photos
from jaxsr.files import networks
from jaxsr.state_dicts import names as torch_names
from tests.docs import printed
from tests.docs.scaled import ARCHITECTURES, ORIGINS, SIDE, scaled
from tests.docs.test_printed import COMMANDS, config_of, ids, makers, reads

# Names with a training, a validation and a test set.
PHOTOS = [f"kodim{number:02d}" for number in (*range(1, 12), 20)]
SR_PAGES = ("gallery.md", "identify.md", "pytorch-weights.md")  # on super-resolution alone
PUBLISHED = "IMDN_x4.safetensors"  # arrays of PyTorch's file, which are read without PyTorch
NETWORK_FILES = r"IMDN_x4\.pth|mine\.param|FSRCNNX_[\w-]+\.glsl"  # that it stands for
MADE_BY = {
    "--input=photo.srn": "--mode=encode --input=photo.png",
    "--input=kodim15.srn": "--mode=encode --input=kodim15.png",
    "--gallery=larger.safetensors": "--output=larger.safetensors --add",
    "--input=published": "--output=published",
    "export/index.csv": "--run_dir=runs/quickstart --best_per_image",
}


class Repeater:
    """Enlarges twice by repetition, in place of a network of ncnn."""

    def input(self, blob, given):
        """Take a picture, [3, H, W]."""
        self.given = given

    def extract(self, blob):
        """Give no error and the picture of twice as many rows and columns."""
        return 0, self.given.repeat(2, 1).repeat(2, 2)


# A gallery of networks that nobody trained cannot tell one more from them, and says so; the
# installed one takes the same pictures.
REFUSED = {"--gallery=runs/sr_gallery_mini --output=larger": "not added, since in a test 0 of 5"}
INSTALLED = "span-ch48-x2"  # of the networks that PyPI installs, the one that is imitated
# Their program: a network that repeats each pixel, in place of ncnn.
NCNN = types.SimpleNamespace(
    Mat=np.asarray,
    Net=lambda: types.SimpleNamespace(
        opt=types.SimpleNamespace(),
        load_param=lambda path: 0,
        load_model=lambda path: 0,
        create_extractor=Repeater,
    ),
)
# Networks whose speed is measured: one on each core, and one that all cores share.
CALIBRATED, CHECKED = calibrate.SHAPES[:1] + calibrate.SHAPES[7:8], calibrate.CHECKS[:1]


def by_command(commands, quick):
    """Parametrise a test by commands; all but quick ones, by parts of their text, are slow."""
    return pytest.mark.parametrize(
        "command",
        [
            pytest.param(
                one,
                marks=[] if any(part in one.text for part in quick) else [pytest.mark.slow],
                id=ids(one),
            )
            for one in commands
            if one.reason_not_run is None
        ],
    )


def by_page(are_meant, slow):
    """Parametrise a test by pages that have Python blocks; those that `slow` names are slow."""
    return pytest.mark.parametrize(
        "page",
        [
            pytest.param(page, marks=[pytest.mark.slow] if page.name in slow else [])
            for page in printed.PAGES
            if are_meant(page) and printed.python_blocks(page)
        ],
        ids=lambda page: page.name,
    )


class Workshop:
    """A folder with a reader's files; runs commands and blocks in it, each at most once."""

    def __init__(self, folder):
        self.folder = folder
        self.done = set()
        for name in ("launch", "jaxinr"):
            (folder / name).symlink_to(printed.LAUNCH.parent / name)
        for name in ("photographs", "few", "mine", "others", "pictures", "evidence"):
            (folder / name).mkdir()
        loaded = [photo.pixels for photo in photos.load("packaged")]
        for number, name in enumerate(PHOTOS):
            one = _window(loaded, number, SIDE)
            one.save(folder / "photographs" / f"{name}.png")
            one.save(folder / "mine" / f"{name}.png")
            one.filter(ImageFilter.SHARPEN).save(folder / "others" / f"{name}.png")
        for name in PHOTOS[:2]:
            _window(loaded, 3, SIDE).save(folder / "few" / f"{name}.png")
            _window(loaded, 5, 224).save(folder / "evidence" / f"{name}.png")
        _window(loaded, 0, 224).save(folder / "photo.png")
        _window(loaded, 1, 128).save(folder / "kodim15.png")
        _window(loaded, 2, 96).save(folder / "small.png")
        _window(loaded, 2, 96).resize((384, 384), Image.Resampling.BICUBIC).save(
            folder / "large.png"
        )

    def make_pictures(self):
        """Write photographs as a network enlarged them: the fewest that make a gallery's class."""
        model = jaxsr.build("edsr", scale=4, num_features=6, num_blocks=2)  # as none of the zoo
        loaded = [photo.pixels for photo in photos.load("packaged")]
        for number in range(20):
            large = jaxsr.upscale(model, np.asarray(_window(loaded, number, 56)))
            Image.fromarray(large).save(self.folder / "pictures" / f"{number}.png")

    def install(self):
        """Write a package as PyPI installs them, and let Python find it from now on."""
        network = NETWORKS[INSTALLED]
        file = self.folder / "site" / network.folder / network.file
        file.parent.mkdir(parents=True, exist_ok=True)
        for ending in (".param", ".bin"):
            file.with_name(file.name + ending).write_text("a network")
        (self.folder / "site" / network.folder / "__init__.py").touch()
        return str(self.folder / "site")

    def make_zoo(self):
        """Write networks that nobody trained, with the facts of those of a zoo."""
        rng = np.random.default_rng(0)
        (self.folder / "zoo").mkdir()
        for architecture, overrides in ARCHITECTURES.items():
            drawn = {
                scale: torch_names.to_arrays(jaxsr.build(architecture, scale=scale, **overrides))
                for scale in (2, 4)
            }
            for training_set, scale, loss, seed in ORIGINS:
                arrays = {
                    name: array * rng.uniform(0.8, 1.2, array.shape).astype(np.float32)
                    for name, array in drawn[scale].items()
                }
                facts = {"training_set": training_set, "loss": loss, "seed": seed}
                path = (
                    self.folder / "zoo" / f"{architecture}-{training_set}-x{scale}-{loss}-s{seed}"
                )
                networks.write(
                    path.with_suffix(".safetensors"),
                    networks.SavedNetwork(architecture, scale, overrides, facts, arrays),
                )

    def run(self, command):
        """Run a command, and before it those that make what it reads."""
        if command.text in self.done:
            return
        self.done.add(command.text)
        for name in reads(command):
            self.need_run(name, command.text)
        self.need_files(command.text)
        if command.script == "sr_images" and not (self.folder / "zoo").exists():
            self.make_zoo()
        args = [self.brought(arg) for arg in command.args]
        args += scaled(command)
        refused = [why for part, why in REFUSED.items() if part in command.text]
        said = io.StringIO()
        with contextlib.redirect_stderr(said) if refused else contextlib.nullcontext():
            self.call(command.script, args, 2 if refused else 0)
        assert all(why in said.getvalue() for why in refused)
        self.read_as_the_page_says(self.folder / config_of(command)[1])

    @staticmethod
    def read_as_the_page_says(run_dir):
        """Run the block that a report prints for those who read its tables."""
        page = run_dir / "report.html"
        text = page.read_text() if page.exists() else ""
        for block in re.findall("<pre>(.*?)</pre>", text, re.S):
            with contextlib.chdir(run_dir):
                exec(compile(html.unescape(block), page.name, "exec"), {})

    def need_run(self, name, reader=""):
        if not (self.folder / "runs" / name).exists():
            self.run(next(maker for maker in makers(name) if maker.text != reader))

    def need_files(self, text):
        wants_pictures = "=pictures " in text or 'Path("pictures")' in text
        if wants_pictures and not any((self.folder / "pictures").iterdir()):
            self.make_pictures()
        published = self.folder / PUBLISHED
        if re.search(NETWORK_FILES, text) and not published.exists():
            jaxsr.save(jaxsr.build("imdn", scale=4), published, architecture="imdn", scale=4)
        for wanted, maker in MADE_BY.items():
            if wanted in text:
                self.run(next(one for one in COMMANDS if maker in one.text))
        if "COIN-collection" in text and not (self.folder / "COIN-collection").exists():
            self.need_files("--input=published")
            (self.folder / "COIN-collection").symlink_to("published/json")

    @staticmethod
    def brought(text):
        """An argument or block with files in place of what a test has not, or may not download."""
        text = text.replace("tfds:kodak,packaged", "folder:photographs")
        text = re.sub("tfds:kodak|folder:kodak", "folder:photographs", text)
        text = text.replace("--input=FILE", "--input=photo.png")
        return re.sub(NETWORK_FILES, PUBLISHED, text)

    def call(self, script, args, code=0):
        handler = signal.getsignal(signal.SIGTERM)
        promotion = "standard" if script == "benchmark" else "strict"  # Optax promotes
        with contextlib.chdir(self.folder), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"launch/{script}.py", *args])
            if script == "benchmark":
                self.measure_little(patch)
            if script == "sr_installed":
                patch.syspath_prepend(self.install())
                patch.setitem(sys.modules, "ncnn", NCNN)
            with pytest.raises(SystemExit) as stop, jax.numpy_dtype_promotion(promotion):
                runpy.run_path(str(printed.LAUNCH / f"{script}.py"), run_name="__main__")
        signal.signal(signal.SIGTERM, handler)
        assert stop.value.code == code, f"launch/{script}.py {' '.join(args)}"

    def reports(self):
        """Return the text of each report that a command has left; skip a test without any."""
        found = sorted((self.folder / "runs").glob("*/report.html"))
        if not found:
            pytest.skip("no command has left a report")
        return [report.read_text() for report in found]

    def measure_little(self, patch):
        """Keep what the engine's benchmark does in this process, and the machine's speed here.

        No flag makes --part=calibrate small, since the speed would be known too badly for use.
        """
        patch.setattr(siren_benchmark, "alone", lambda part, config: part(config))
        patch.setattr(calibrate, "SHAPES", CALIBRATED)
        patch.setattr(calibrate, "CHECKS", CHECKED)
        patch.setenv("XDG_CACHE_HOME", str(self.folder / "cache"))

    def execute(self, page):
        blocks = printed.python_blocks(page)
        for name in re.findall(r"runs/(\w+)", "".join(blocks)):
            self.need_run(name)
        self.need_files("".join(blocks))
        namespace = {}
        with contextlib.chdir(self.folder):
            for block in blocks:
                exec(compile(self.brought(block), page.name, "exec"), namespace)


def _window(loaded, number, side):
    """A square of a photograph as an image; another one for each number."""
    pixels = loaded[number % len(loaded)]
    corner = 16 * (number // len(loaded))
    return Image.fromarray(np.ascontiguousarray(pixels[corner:, corner:][:side, :side]))
