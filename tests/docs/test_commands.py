"""Runs what the documentation prints, scaled down by flags: every command and Python block.

Commands run in this process, in a folder that has the files which a reader would bring. A command
that reads `runs/NAME` has the printed command that makes it run first.
"""

import contextlib
import html
import importlib
import importlib.util
import itertools
import re
import runpy
import signal
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter

import jaxsr
from jaxfleet.imaging import photos
from jaxsr.files import networks
from jaxsr.state_dicts import names as torch_names
from launch import flagdefs
from tests.docs import printed
from tests.docs.test_printed import COMMANDS, config_of, ids, makers, reads

SIDE = 64  # of the photographs that networks enlarge, and of crops that are attributed
# Names with a training, a validation and a test set.
PHOTOS = [f"kodim{number:02d}" for number in (*range(1, 12), 20)]
PUBLISHED = "IMDN_x4.safetensors"  # arrays of PyTorch's file, which are read without PyTorch
NETWORK_FILES = r"IMDN_x4\.pth|mine\.param|FSRCNNX_[\w-]+\.glsl"  # that it stands for
ARCHITECTURES = {
    "edsr": {"num_features": 4, "num_blocks": 1},
    "swinir": {"embed_dim": 6, "depths": [1], "num_heads": [1], "window_size": 4},
}
ORIGINS = (  # of the zoo's networks: training set, scale, loss, seed
    *itertools.product("A", (2, 4), ("l1", "vgg_adv"), (1, 3)),
    *itertools.product("B", (2,), ("l1", "vgg_adv"), (1,)),
)
# Flags that come after the printed ones; `--name=` empties a flag that repeats.
SCALED = {
    "coordinate_networks": "--max_images=1 --reduce=8 --tuning_images=1 --tuning_size=16 "
    "--network= --network=siren --network=wire --parameters= --parameters=100 --num_iters=10",
    "siren_grid": "--image_size= --image_size=12 --layer_size= --layer_size=4 --layer_size=6 "
    "--num_layers= --num_layers=2 --w0_initial= --w0_initial=30 --seed= --seed=0 --num_iters= "
    "--num_iters=20 --kernel=xla",
    "siren_codec": "--num_iters=20 --refine_iters=2 --overwrite",
    "siren_predictor": "--members=1 --steps=20 --batch_fits=8 --width=8",
    "siren_regret": "--max_images=1 --image_size= --image_size=16 --num_iters=5 --encode_seconds= "
    "--encode_seconds=0.01",
    "siren_seeds": "--max_images=1 --image_size=8 --layer_size= --layer_size=2 --first_draws=3 "
    "--other_draws=2 --num_iters=5",
    "coin_kodak": "--max_images=1 --reduce=4 --size= --size=2x6 --num_iters=20",
    "rate_distortion": "--max_images=1 --bits_per_pixel= --bits_per_pixel=2 --num_iters=10 "
    "--refine_iters=1",
    "fleet_simulation": "--num_workers=20 --num_trials=200 --shares_per_worker= "
    "--shares_per_worker=2",
    "fingerprint_benchmark": "--rounds=1 --seconds=0.01 --batch=1",
    "sr_upscale": "--overwrite",
    "sr_zoo": "--architecture= '--architecture=edsr=srvgg num_features=4 num_convs=1' --loss= "
    "--loss=l1 --pretraining=none --vgg_weights= --resnet_weights= --training_set= "
    "--training_set=packaged=folder:photographs --benchmark= --benchmark=packaged=folder:few "
    "--num_iters=4 --batch_size=1 --crop_px=16 --log_every=2 --validate_every=2",
    "sr_images": f"--photos=folder:photographs --crop_px={SIDE}",
    "sr_gallery": f"--crop_px={SIDE}",
    "sr_attribution": f"--crop_px={SIDE} --train_crop_px=32 --epochs=1 --crops_per_picture=1 "
    "--batch_size=16 --features_per_class=2 --seed= --seed=0 --tsne=false",
    "sr_evidence": "--photos=folder:photographs,packaged --test_photos= --zoo= --zoo=packaged "
    "--zoo_names=edsr-A-x4-l1-s1 --installed=false --zoo_share=1 --states=0 --plain_share=0 "
    "--processes=1",
    "sr_judge": "--epochs=1",
    "sr_parsing": f"--crop_px={SIDE}",
    "sr_robustness": "--method= --method=linear --perturb= --perturb=jpeg:75 --max_images=1",
    "sr_open_set": f"--crop_px={SIDE} --method= --method=linear",
}
MADE_BY = {
    "--input=photo.srn": "--mode=encode --input=photo.png",
    "--input=kodim15.srn": "--mode=encode --input=kodim15.png",
    "--gallery=larger.safetensors": "--output=larger.safetensors --add",
    "--input=published": "--output=published",
    "export/index.csv": "--run_dir=runs/quickstart --best_per_image",
}
COLLECTIONS = ("small", "twins", "sizes", "long", "300k")
QUICK = (
    "runs/mine",
    "siren_forecast.py",
    "siren_codec.py",
    "--model=bicubic",
    "--model=edsr-A-x4",
    "sr_identify.py --input=photo.png --picture",
    "sr_identify.py --input=photo.png --top",
    "sr_identify.py --input=evidence --output=found.csv --json",
    "runs/simulation_50",
)
SLOW_PAGES = ("README.md", "gallery.md", "pytorch-weights.md")
# Grids of which eight networks are fitted; those that a forecaster learns from have more.
LIGHT = ("my.flags", "seed_spread", *(f"collection_{name}" for name in COLLECTIONS))
FORECAST = ("collection_small", "collection_twins")

# Of what takes longer, CI runs these of BUILD.md and of flagfiles, whatever only makes a plan, and
# what docs and help texts print but for those that take more than half a minute.
BUILT = (
    *LIGHT,
    "coin_kodak",
    "rate_distortion",
    "launch/coordinate_networks",
    "launch/siren_predictor.py ",
    "sr_images/mini.flags",
    "sr_gallery_mini",
    "launch/sr_evidence",
)
PLANNED = (*LIGHT, "smoke.flags")
LONG = (
    "mini.flags",
    "sr_images_mini",
    "sr_gallery_mini --output=larger",
    "sr_robustness/",
    "sr_images_installed",
    "coordinate_networks",
    "siren_predictor",
    "fingerprint_benchmark",
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
        args += _scaled(command)
        self.call(command.script, args)
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

    def call(self, script, args):
        handler = signal.getsignal(signal.SIGTERM)
        with contextlib.chdir(self.folder), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"launch/{script}.py", *args])
            with pytest.raises(SystemExit) as stop:
                runpy.run_path(str(printed.LAUNCH / f"{script}.py"), run_name="__main__")
        signal.signal(signal.SIGTERM, handler)
        assert stop.value.code == 0, f"launch/{script}.py {' '.join(args)}"

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


def _scaled(command):
    """Further flags that make a command small."""
    config, _ = config_of(command)
    args = printed.Command(f"x.py {SCALED.get(command.script, '')}", "").args
    is_light = any(name in command.text for name in LIGHT)
    if command.script == "siren_grid" and config.sampling == "random":
        is_few = is_light and not any(name in command.text for name in FORECAST)
        args += [f"--num_trials={8 if is_few else 40}"]
        args += [f"--num_repeats={min(config.num_repeats, 2 if is_few else 8)}"]
        args += ["--sizes_per_draw=1", "--repeat_image_size=", "--max_bits_per_pixel=0"]
    elif command.script == "siren_grid":
        args += ["--max_images=2"]
    if command.script == "siren_grid" and is_light:
        args += ["--kernel=auto", "--photos=folder:photographs"]
    if command.script == "siren_grid" and config.executor == "ray":
        args += ["--dry_run"]  # tests/launch/test_ray.py runs it on a cluster of its own
    if "tfds:kodak" in getattr(config, "photos", ""):
        args += ["--photos=folder:photographs"]
    if command.script == "siren_codec" and config.height:
        args += ["--height=300"]
    if command.script == "sr_images" and config.zoo == ("packaged",):
        args += [
            "--zoo=",
            *(
                f"--network=zoo/{architecture}-{training_set}-x{scale}-{loss}-s{seed}.safetensors"
                for architecture in ARCHITECTURES
                for training_set, scale, loss, seed in ORIGINS
            ),
        ]
    if command.script == "sr_attribution" and "mini" not in command.text:
        args += ["--method=", "--method=linear"]
    if command.script == "sr_attribution" and SIDE % config.linear_period:
        args += ["--linear_period=4"]
    if command.script == "sr_open_set" and config.unseen == type(config)().unseen:
        args += ["--unseen=", "--unseen=seed=3"]
    if command.script == "sr_robustness" and config.train_on:
        args += ["--train_on=", "--train_on=jpeg:80"]
    return args


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("workshop"))


def _is_in_ci(command):
    if "--dry_run" in command.text:
        return True
    if command.source == "BUILD.md":
        return any(part in f"{command.text} " for part in BUILT)
    if command.source.endswith(".flags"):
        return any(part in command.text for part in PLANNED)
    return not any(part in command.text for part in LONG)


def _marks(command):
    if any(part in command.text for part in QUICK):
        return []
    return [pytest.mark.slow if _is_in_ci(command) else pytest.mark.printed]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(one, marks=_marks(one), id=ids(one))
        for one in COMMANDS
        if one.reason_not_run is None
    ],
)
def test_command_runs(workshop, command):
    if "--format=torch" in command.text and importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch")
    workshop.run(command)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.name in SLOW_PAGES else [])
        for page in printed.PAGES
        if printed.python_blocks(page)
    ],
    ids=lambda page: page.name,
)
def test_python_blocks_run(workshop, page):
    workshop.execute(page)


def test_flags_that_scale_a_command_exist(monkeypatch):
    for command in COMMANDS:
        if command.reason_not_run is None:
            monkeypatch.setattr(sys, "argv", [f"launch/{command.script}.py"])
            config = importlib.import_module(f"launch.{command.script}").CONFIG
            flagdefs.parse(config, command.args + _scaled(command))


@pytest.mark.slow
def test_reports_show_everything_in_a_window_of_1400_pixels(workshop, cut_off):
    reports = sorted((workshop.folder / "runs").glob("*/report.html"))
    if not reports:
        pytest.skip("no command has left a report")
    assert cut_off(*(report.read_text() for report in reports)) == []
