"""Pictures of a zoo: what is made, kept, made again, and refused."""

import json
import shutil

import jax
import numpy as np
import pandas as pd
import pytest
from flax import nnx
from PIL import Image
from skimage.color import rgb2ycbcr

import jaxsr
from experiments.pictures import makers
from experiments.pictures import run as pictures_run
from experiments.pictures.config import ImagesConfig
from experiments.zoo.evaluate import network_path
from jaxfleet import storage
from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxfleet.imaging.splits import split_of
from jaxsr.datasets import degrade, picture_sets
from jaxsr.files import networks as network_files
from jaxsr.state_dicts import names as torch_names

SIZE = {"num_features": 3, "num_convs": 1}
PHOTOS = ("dawn", "dusk", "noon")
ZOO = ("tiny-A-x2-l1-s1", "tiny-A-x2-l1-s2", "tiny-A-x4-vgg_adv-s1")


@pytest.fixture(scope="module")
def finished(little_zoo, tmp_path_factory):
    """A zoo and photographs, and their pictures."""
    home = tmp_path_factory.mktemp("pictures") / "home"
    shutil.copytree(little_zoo.path, home)
    make(home)
    return home


@pytest.fixture
def home(finished, tmp_path):
    """A copy, in which the index says where the zoo now is."""
    shutil.copytree(finished, tmp_path / "pictures")
    make(tmp_path / "pictures")
    return tmp_path / "pictures"


@pytest.fixture
def made(monkeypatch):
    """The pictures that are made from now on: [(network, image_id), ...]."""
    names = []
    write = pictures_run._write

    def counted(run_dir, one, window, *values):
        names.append((one.name, window.image_id))
        return write(run_dir, one, window, *values)

    monkeypatch.setattr(pictures_run, "_write", counted)
    return names


def config_of(home, **flags):
    given = {"include_bicubic": True, "include_originals": True, "zoo": (str(home / "zoo"),)}
    return ImagesConfig(**{"photos": f"folder:{home / 'photos'}", **given, **flags})


def make(home, name="run", **flags):
    return pictures_run.run(config_of(home, **flags), home / name)


def contents(run_dir):
    return {
        str(path.relative_to(run_dir)): path.read_bytes()
        for path in run_dir.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def psnr_y_db(one, other, border):
    inside = (slice(border, -border),) * 2
    squares = (rgb2ycbcr(one)[..., 0] - rgb2ycbcr(other)[..., 0])[inside] ** 2
    return 10 * np.log10(255.0**2 / squares.mean())


def test_a_row_for_every_class_and_photograph(home, little_zoo):
    index = picture_sets.open(home / "run").index
    classes = sorted([*ZOO, "bicubic-x2", "bicubic-x4", "original"])
    assert index["network"].tolist() == [name for name in classes for _ in PHOTOS]
    assert index["image_id"].tolist() == 6 * list(PHOTOS)
    assert (index["split"] == index["image_id"].map(split_of)).all()
    last = index.iloc[-1]
    expected = {
        **little_zoo.row(2, 4, "vgg_adv", 1),
        "kind": "network",
        "source": str(home / "zoo"),
    }
    for name in ("network", "kind", *picture_sets.FACTS):
        assert last[name] == expected[name], name
    assert index.groupby("kind")["scale"].unique().map(sorted).to_dict() == {
        "bicubic": [2, 4],
        "network": [2, 4],
        "original": [1],
    }
    assert (home / "run" / "manifest.json").exists()


def test_pictures_are_what_the_networks_make_of_reduced_photographs(home):
    pictures = picture_sets.open(home / "run")
    for number, facts in enumerate(pictures.index.to_dict("records")):
        photo = photos.read(home / "photos" / f"{facts['image_id']}.png")
        truth = degrade.crop_to_multiple(photo, facts["scale"])
        found = pictures.picture(number)
        assert found.shape == truth.shape == (facts["height"], facts["width"], 3)
        low = degrade.bicubic_reduce(photo, facts["scale"])
        if facts["kind"] == "original":
            np.testing.assert_array_equal(found, photo)
            assert facts["psnr_y_db"] == np.inf
            continue
        if facts["kind"] == "bicubic":
            expected = photos.resized(low, *truth.shape[:2])
        else:
            path = network_path(home / "zoo", facts["network"])
            expected = jaxsr.upscale(jaxsr.load(path), low)
        # Batches and single pictures are rounded on either side of a half.
        np.testing.assert_allclose(found.astype(int), expected, atol=1)
        expected_db = psnr_y_db(found, truth, facts["scale"])
        assert facts["psnr_y_db"] == pytest.approx(expected_db, abs=1e-3)


def test_the_same_command_makes_nothing_again(home, made):
    before = contents(home / "run")
    said = make(home)
    assert made == []
    assert contents(home / "run") == before
    assert said.startswith("18 pictures of 6 classes (")
    assert "A zoo is not finished; repeat" in said
    (home / "zoo" / "DONE").touch()
    assert "not finished" not in make(home)
    assert (home / "run" / "DONE").exists()


def test_a_network_that_changed_is_asked_again(home, little_zoo, made):
    before = contents(home / "run")
    little_zoo.save(network_path(home / "zoo", ZOO[1]), 2, seed=77)
    make(home)
    assert sorted(made) == [(ZOO[1], name) for name in PHOTOS]
    after = contents(home / "run")
    changed = {name for name in before if before[name] != after[name]}
    files = {picture_sets.file_of(ZOO[1], name) for name in PHOTOS}
    assert changed == {*files, f"index/{ZOO[1]}.parquet"}


def test_a_photograph_that_changed_or_came_is_enlarged_and_one_that_went_stays(
    home, little_zoo, made
):
    make(home, "few", max_images=2)
    assert {image_id for _, image_id in made} == {"dawn", "dusk"}
    made.clear()
    Image.fromarray(little_zoo.picture(70, 75, 9)).save(home / "photos" / "dusk.png")
    make(home, "few")
    assert {image_id for _, image_id in made} == {"dusk", "noon"}
    assert len(made) == 12
    made.clear()
    make(home, "few", max_images=2)
    assert made == []
    assert len(picture_sets.open(home / "few")) == 18


def test_what_is_said_of_a_network_is_said_anew_without_making_its_pictures(home, made):
    options = {"zoo": (), "include_bicubic": False, "include_originals": False}
    path = network_path(home / "zoo", ZOO[0])
    np.savez(home / "net.npz", **network_files.read(path).arrays)
    text = f"net={home / 'net.npz'} architecture=srvgg scale=2 num_features=3 num_convs=1"
    make(home, "said", network=(text,), **options)
    made.clear()
    make(home, "said", network=(f"{text} loss=vgg_adv seed=7",), **options)
    assert made == []
    index = picture_sets.open(home / "said").index
    assert index[["loss", "seed"]].drop_duplicates().to_numpy().tolist() == [["vgg_adv", 7]]


@pytest.mark.parametrize("harm", ["gone", "cut", "other"])
def test_a_picture_that_is_not_whole_is_made_again(home, made, harm):
    before = contents(home / "run")
    path = home / "run" / picture_sets.file_of(ZOO[0], "noon")
    data = path.read_bytes()
    path.unlink()
    if harm != "gone":
        path.write_bytes(data[:-5] if harm == "cut" else before[f"images/{ZOO[1]}/noon.png"])
    make(home)
    assert made == [(ZOO[0], "noon")]
    assert contents(home / "run") == before


@pytest.mark.parametrize("writes", [0, 1, 4, 13])
def test_a_run_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    home, made, monkeypatch, writes
):
    count = []
    write = storage.write_atomically

    def killed(path, data):
        if path.suffix == ".png":
            count.append(path)
            if len(count) > writes:
                raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            make(home, "killed")
    unfinished = home / "killed" / "images" / ZOO[2]
    unfinished.mkdir(exist_ok=True, parents=True)
    (unfinished / ".noon.png.0.tmp").write_bytes(b"half")
    index = home / "killed" / "index"
    rows = len(pd.read_parquet(index)) if any(index.glob("*")) else 0
    made.clear()
    make(home, "killed")
    assert len(made) == 18 - rows
    assert rows <= writes
    assert contents(home / "killed") == contents(home / "run")


def test_while_a_class_is_made_anew_no_row_is_of_another_picture(home, little_zoo, monkeypatch):
    little_zoo.save(network_path(home / "zoo", ZOO[0]), 2, seed=5)
    monkeypatch.setattr(pictures_run, "_write", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(home)
    pictures = picture_sets.open(home / "run")
    assert set(pictures.index["network"]) == {*ZOO[1:], "bicubic-x2", "bicubic-x4", "original"}


def _interrupt(*args):
    raise KeyboardInterrupt


def test_a_crop_is_the_same_place_at_every_scale_and_does_not_know_that_it_is_one(home, little_zoo):
    folder = home / "large"
    folder.mkdir()
    for phase, name in enumerate("ab"):
        Image.fromarray(little_zoo.picture(211, 190, phase)).save(folder / f"{name}.png")
    flags = {"photos": f"folder:{folder}"}
    make(home, "crops", crop_px=48, **flags)
    make(home, "whole", **flags)
    crops, whole = (picture_sets.open(home / name) for name in ("crops", "whole"))
    assert crops.crops(48).shape == (12, 48, 48, 3)
    for number, facts in enumerate(crops.index.to_dict("records")):
        crop, picture_of = crops.picture(number), whole.picture(number)
        assert facts["height"] == facts["width"] == 48
        expected = picture_of[72:120, 48:96]  # multiples of 24 at most 163 / 2 and 142 / 2
        np.testing.assert_allclose(crop.astype(int), expected, atol=1)


def test_batches_give_what_single_pictures_give(home, monkeypatch):
    monkeypatch.setattr(pictures_run, "BATCH_PIXELS", 1)
    make(home, "single")
    single, batched = (picture_sets.open(home / name) for name in ("single", "run"))
    for number in range(len(batched)):
        one, other = single.picture(number), batched.picture(number)
        np.testing.assert_allclose(one.astype(int), other, atol=1)


def test_networks_of_one_kind_share_one_program(home, caplog):
    entries = [one for one in makers.of_zoo(home / "zoo") if one.scale == 2]
    low = np.zeros((2, 33, 31, 3), np.uint8)
    with jax.log_compiles():
        first = pictures_run.enlarge(entries[0], entries[0].load(), low)
        assert "Compiling" in caplog.text
        caplog.clear()
        second = pictures_run.enlarge(entries[1], entries[1].load(), low)
    assert "Compiling" not in caplog.text
    assert not np.array_equal(first, second)


def test_single_networks_of_ours_and_published_ones(home):
    model = jaxsr.build("srvgg", scale=2, rngs=nnx.Rngs(8), **SIZE)
    np.savez(home / "known.npz", **torch_names.to_arrays(model))
    facts = {"network": "mine-A-x2-l1-s8", "loss": "l1", "training_set": "A", "seed": 8}
    options = {"architecture": "srvgg", "scale": 2, "overrides": SIZE}
    jaxsr.save(model, home / "mine.safetensors", facts=facts, **options)
    make(
        home,
        "files",
        zoo=(),
        network=(
            str(home / "mine.safetensors"),
            f"again={home / 'mine.safetensors'}",
            f"known={home / 'known.npz'} architecture=srvgg scale=2 num_features=3 num_convs=1 "
            "training_set=DIV2K seed=4",
        ),
        include_bicubic=False,
        include_originals=False,
    )
    pictures = picture_sets.open(home / "files")
    index = pictures.index.drop_duplicates("network").set_index("network")
    assert list(index.index) == ["again", "known", "mine-A-x2-l1-s8"]
    assert index["loss"].tolist() == ["l1", "", "l1"]
    assert index["training_set"].tolist() == ["A", "DIV2K", "A"]
    assert index["seed"].tolist() == [8, 4, 8]
    assert [json.loads(text) for text in index["overrides"]] == 3 * [SIZE]
    assert index["parameters"].nunique() == 1
    for number in range(3):  # the same weights, so the same pictures
        np.testing.assert_array_equal(pictures.picture(number), pictures.picture(number + 3))
        np.testing.assert_array_equal(pictures.picture(number), pictures.picture(number + 6))


def test_pictures_made_elsewhere_are_a_class_and_compared_by_name(home, little_zoo, made):
    folder = home / "theirs"
    folder.mkdir()
    dawn = photos.read(home / "photos" / "dawn.png")[:, :74]  # as at scale 2
    Image.fromarray(dawn // 2 + 60).save(folder / "dawn.png")
    Image.fromarray(dawn[:60]).save(folder / "dusk.png")
    Image.fromarray(little_zoo.picture(66, 66, 4)).save(folder / "other.png")
    flags = {"labelled": (f"theirs={folder} scale=2 loss=vgg_adv",)}
    make(home, **flags)
    assert made == [("theirs", name) for name in ("dawn", "dusk", "other")]
    pictures = picture_sets.open(home / "run").only(network="theirs")
    index = pictures.index
    assert index["kind"].unique().tolist() == ["elsewhere"]
    assert index[["scale", "loss"]].drop_duplicates().to_numpy().tolist() == [[2, "vgg_adv"]]
    np.testing.assert_array_equal(pictures.picture(0), dawn // 2 + 60)
    expected_db = psnr_y_db(pictures.picture(0), dawn, 2)
    assert index["psnr_y_db"].tolist() == [
        pytest.approx(expected_db, abs=1e-3),
        pytest.approx(np.nan, nan_ok=True),
        pytest.approx(np.nan, nan_ok=True),
    ]
    made.clear()
    make(home, **flags)
    assert made == []
    Image.fromarray(dawn // 2).save(folder / "dawn.png")
    make(home, **flags)
    assert made == [("theirs", "dawn")]


def test_a_dry_run_counts_what_is_missing_and_writes_nothing(home):
    before = contents(home)
    (home / "run" / picture_sets.file_of("original", "noon")).unlink()
    said = make(home, dry_run=True)
    assert "6 classes: 2 bicubic, 1 original, 3 network" in said
    assert "18 pictures, 17 of them there" in said
    fresh = make(home, "nowhere", dry_run=True)
    assert "18 pictures, 0 of them there; the others take about" in fresh
    assert not (home / "nowhere").exists()
    assert before.keys() - contents(home).keys() == {"run/images/original/noon.png"}


def test_work_is_what_convolutions_cost():
    model = jaxsr.build("srvgg", scale=2, **SIZE)
    weights = sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param)) if p.ndim == 4)
    flops = pictures_run._flops_per_pixel(model) - pictures_run.FILE_FLOPS
    assert flops == pytest.approx(2 * weights, rel=0.2)  # all before the shuffle of pixels


def test_a_folder_of_something_else_or_of_other_crops_is_refused(home):
    with pytest.raises(InputError, match=r"holds a run of kind table, not sr_images; give another"):
        make(home, "zoo")
    with pytest.raises(InputError, match="another plan .crop_px was 0 is 48.; give another"):
        make(home, crop_px=48)
    (home / "run" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json: damaged, or not of a run; put it back"):
        make(home)
    (home / "photos" / "new").mkdir()
    with (
        storage.locked(home / "photos" / "new", ".lock", "--run_dir"),
        pytest.raises(InputError, match="another process is writing to it"),
    ):
        make(home, "photos/new")


def test_a_network_that_cannot_be_read_claims_no_folder(home):
    path = network_path(home / "zoo", ZOO[0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(InputError, match=rf"{ZOO[0]}\.safetensors"):
        make(home, "new", crop_px=48)
    path.write_bytes(whole)
    make(home, "new", crop_px=40)
    assert picture_sets.open(home / "new").index["height"].max() == 40
