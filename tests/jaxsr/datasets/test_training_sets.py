import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxsr.datasets import degrade, training_sets

RNG = np.random.default_rng(0)
SIZES = [(25, 41), (48, 30), (32, 32)]  # lying, upright, square


def pictures(sizes=SIZES):
    return [RNG.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def to_bytes(crops):
    return np.round(np.asarray(crops) * 255).astype(np.uint8)


def eight(image):
    """The symmetries of the square, from NumPy: four turns of the picture and of its mirror."""
    return [np.rot90(side, turns) for side in (image, image[::-1]) for turns in range(4)]


def windows(picture, side):
    """{bytes: (y, x, symmetry)} of every window of a picture, under every symmetry."""
    return {
        turned.tobytes(): (y, x, index)
        for y in range(picture.shape[0] - side + 1)
        for x in range(picture.shape[1] - side + 1)
        for index, turned in enumerate(eight(picture[y : y + side, x : x + side]))
    }


# ---------------------------------------------------------------------------- crops


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_crops_come_from_the_photographs_and_are_aligned(key, scale):
    originals = pictures()
    low_windows = [windows(degrade.bicubic_reduce(one, scale), 6) for one in originals]
    dataset = training_sets.pack(originals, scale)
    low, high = training_sets.sample(key, dataset, batch_size=64, crop_px=6 * scale)
    assert low.shape == (64, 6, 6, 3)
    assert high.shape == (64, 6 * scale, 6 * scale, 3)
    assert low.dtype == high.dtype == jnp.float32
    found = set()
    for low_crop, high_crop in zip(to_bytes(low), to_bytes(high), strict=True):
        (photo,) = (i for i, known in enumerate(low_windows) if low_crop.tobytes() in known)
        y, x, index = low_windows[photo][low_crop.tobytes()]
        y, x, side = y * scale, x * scale, 6 * scale
        expected = eight(originals[photo][y : y + side, x : x + side])[index]
        np.testing.assert_array_equal(high_crop, expected)
        found.add(photo)
    assert found == {0, 1, 2}


@pytest.mark.parametrize("scale", [2, 4])
def test_a_low_crop_is_the_reduction_of_its_high_crop_in_the_interior(key, scale):
    # Up to one step: where a crop lies across the diagonal, rounding between the axes is too.
    low, high = training_sets.sample(
        key, training_sets.pack(pictures(), scale), batch_size=64, crop_px=6 * scale
    )
    for low_crop, high_crop in zip(to_bytes(low), to_bytes(high), strict=True):
        difference = degrade.bicubic_reduce(high_crop, scale).astype(int) - low_crop
        assert np.abs(difference[2:-2, 2:-2]).max() <= 1


def test_photographs_places_and_symmetries_are_uniform(key):
    # A crop as large as the square photograph leaves only the symmetry to chance.
    (square,) = pictures([(6, 6)])
    dataset = training_sets.pack([square], 2)
    _, high = training_sets.sample(key, dataset, batch_size=4000, crop_px=6)
    known = {turned.tobytes(): index for index, turned in enumerate(eight(square))}
    counts = np.bincount([known[crop.tobytes()] for crop in to_bytes(high)], minlength=8)
    assert counts.min() > 500 - 5 * np.sqrt(500)
    # Photographs that differ in size are drawn alike, and so are the places in one.
    ramp = np.broadcast_to(np.arange(20, dtype=np.uint8)[:, None], (4, 20, 3))
    flat = np.full((2, 2, 3), 200, np.uint8)
    low, _ = training_sets.sample(
        key, training_sets.pack([ramp.copy(), flat], 1), batch_size=4000, crop_px=2
    )
    first = to_bytes(low).min(axis=(1, 2, 3))
    assert abs(np.mean(first == 200) - 0.5) < 0.04
    places = np.bincount(first[first < 200], minlength=19)
    assert places.shape == (19,)
    assert places.min() > 105 - 5 * np.sqrt(105)


def test_symmetry_gives_each_of_the_eight_once():
    (image,) = pictures([(3, 3)])
    ours = {
        np.asarray(training_sets.symmetry(jnp.asarray(image), index)).tobytes()
        for index in range(8)
    }
    assert ours == {turned.tobytes() for turned in eight(image)}
    assert len(ours) == 8


def test_one_key_gives_one_batch_and_another_another(key):
    dataset = training_sets.pack(pictures(), 2)

    def draw(key):
        return to_bytes(training_sets.sample(key, dataset, batch_size=64, crop_px=12)[0])

    np.testing.assert_array_equal(draw(key), draw(jax.random.key(0)))
    assert np.any(draw(key) != draw(jax.random.key(1)))


def test_crops_that_do_not_fit_are_refused(key):
    dataset = training_sets.pack(pictures([(20, 31), (40, 24)]), 3)
    assert dataset.smallest_px == 18
    training_sets.sample(key, dataset, batch_size=1, crop_px=18)
    with pytest.raises(ValueError, match="crop of 21 pixels does not fit a photograph of 18"):
        training_sets.sample(key, dataset, batch_size=1, crop_px=21)
    with pytest.raises(ValueError, match="crop_px is 8. Use a multiple of the scale, 3"):
        training_sets.sample(key, dataset, batch_size=1, crop_px=8)
    with pytest.raises(ValueError, match="at least one picture"):
        training_sets.pack([], 2)


# ---------------------------------------------------------------------------- training sets


@pytest.fixture
def folder(tmp_path):
    for index, pixels in enumerate(pictures([(16, 20)] * 8)):
        Image.fromarray(pixels).save(tmp_path / f"photo{index}.png")
    return tmp_path


def test_a_training_set_is_what_its_folder_holds(folder):
    training_set = training_sets.TrainingSet("ours", f"folder:{folder}")
    loaded = photos.load(training_set.source)
    dataset = training_sets.load(training_set, scale=2, crop_px=8)
    np.testing.assert_array_equal(dataset.high, np.concatenate([photo.pixels for photo in loaded]))
    np.testing.assert_array_equal(dataset.low[8:16], degrade.bicubic_reduce(loaded[1].pixels, 2))
    np.testing.assert_array_equal(dataset.tops, 8 * np.arange(8))


def test_upright_photographs_lie_and_remainders_are_cut_off():
    lying, upright = pictures([(9, 13), (12, 6)])
    dataset = training_sets.pack([lying, upright], 2)
    assert dataset.high.shape == (14, 12, 3)
    assert dataset.low.shape == (7, 6, 3)
    np.testing.assert_array_equal(dataset.high[:8], lying[:8, :12])
    np.testing.assert_array_equal(dataset.high[8:], np.swapaxes(upright, 0, 1))
    expected = np.swapaxes(degrade.bicubic_reduce(upright, 2), 0, 1)
    np.testing.assert_array_equal(dataset.low[4:], expected)


def test_a_fraction_is_a_steady_share_whatever_the_order():
    loaded = [photos.Photo(f"{index:04d}", np.zeros((1, 1, 3), np.uint8)) for index in range(800)]

    def names(chosen):
        return [photo.image_id for photo in chosen]

    quarter = names(training_sets.choose(loaded, 0.25, 1))
    assert len(quarter) == 200
    assert quarter == sorted(quarter)
    assert quarter[:5] == ["0003", "0004", "0017", "0020", "0026"]  # the same on every machine
    assert names(training_sets.choose(loaded[::-1], 0.25, 1)) == quarter[::-1]
    assert set(quarter) < set(names(training_sets.choose(loaded, 0.5, 1)))
    shared = len(set(quarter) & set(names(training_sets.choose(loaded, 0.25, 2))))
    assert 25 < shared < 75  # a quarter of a quarter
    assert names(training_sets.choose(loaded, 1.0, 1)) == names(loaded)
    assert len(training_sets.choose(loaded, 1e-6, 1)) == 1


def test_a_fraction_and_a_reduction_are_applied(folder):
    training_set = training_sets.TrainingSet(
        "small", f"folder:{folder}", fraction=0.25, reduce_by=2
    )
    chosen = training_sets.choose(photos.load(training_set.source), 0.25, 1)
    dataset = training_sets.load(training_set, scale=2, crop_px=4)
    expected = [degrade.bicubic_reduce(photo.pixels, 2) for photo in chosen]
    np.testing.assert_array_equal(dataset.high, np.concatenate(expected))
    assert len(dataset.tops) == 2


def test_div2k_is_prepared_without_tensorflow(tmp_path, monkeypatch):
    pytest.importorskip("importlib_resources")  # TFDS needs it, but does not install it
    tfds = pytest.importorskip("tensorflow_datasets")
    highs, unpacked = pictures([(16, 20)] * 3), tmp_path / "unpacked"
    for folder in ("DIV2K_train_HR", "DIV2K_valid_HR", "low"):
        (unpacked / folder).mkdir(parents=True)
    for index, high in enumerate(highs, start=1):
        for name in ("DIV2K_train_HR/000{}.png", "DIV2K_valid_HR/000{}.png", "low/000{}x2.png"):
            Image.fromarray(high).save(unpacked / name.format(index))

    def download_and_extract(manager, urls):
        return {key: str(unpacked / ("low" if "lr" in key else "")) for key in urls}

    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", download_and_extract)
    training_set = training_sets.TrainingSet("div2k", "tfds:div2k/bicubic_x2")
    dataset = training_sets.load(training_set, scale=2, crop_px=8, data_dir=str(tmp_path / "tfds"))
    stored = np.asarray(dataset.high).reshape(3, 16, 20, 3)  # TFDS shuffles them once, for good
    assert {one.tobytes() for one in stored} == {high.tobytes() for high in highs}


def test_a_photograph_smaller_than_the_crop_is_named(folder):
    with pytest.raises(InputError, match="'photo0' of 'ours' has 20 x 16 pixels.* crop of 18"):
        training_sets.load(
            training_sets.TrainingSet("ours", f"folder:{folder}"), scale=2, crop_px=18
        )
    reduced = training_sets.TrainingSet("ours", f"folder:{folder}", reduce_by=2)
    with pytest.raises(InputError, match="has 10 x 8 pixels"):
        training_sets.load(reduced, scale=2, crop_px=16)


def test_a_training_set_says_what_is_out_of_range():
    for fraction in (0.0, 1.5, float("nan")):
        with pytest.raises(InputError, match="fraction of 'a' is .*above 0, at most 1"):
            training_sets.TrainingSet("a", "packaged", fraction=fraction)
    with pytest.raises(InputError, match="reduce_by of 'a' is 0"):
        training_sets.TrainingSet("a", "packaged", reduce_by=0)


# ---------------------------------------------------------------------------- flags


def test_training_sets_as_flags_have_them():
    parse = training_sets.TrainingSet.parse
    assert parse("A=packaged") == training_sets.TrainingSet("A", "packaged")
    assert parse("quarter_div2k=tfds:div2k/bicubic_x2 fraction=0.25") == training_sets.TrainingSet(
        "quarter_div2k", "tfds:div2k/bicubic_x2", fraction=0.25
    )
    expected = training_sets.TrainingSet("B", "folder:my photos,folder:b=c", 0.5, 7, 2)
    for options in (
        "fraction=0.5 fraction_seed=7 reduce_by=2",
        "reduce_by=2  fraction_seed=7\tfraction=0.5 ",
        "fraction_seed=7 fraction=5e-1 reduce_by=2",
    ):
        assert parse(f" B=folder:my photos,folder:b=c {options}") == expected


SOURCES = st.from_regex(r"(folder:|tfds:)?[\w/ .,=-]{0,12}[\w/.,=-]", fullmatch=True)


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+]{0,8}", fullmatch=True),
    SOURCES.filter(lambda source: source == source.strip()),
    st.permutations(
        [
            ("fraction", st.floats(0, 1, exclude_min=True)),
            ("fraction_seed", st.integers()),
            ("reduce_by", st.integers(1, 99)),
        ]
    ),
    st.integers(0, 3),
    st.data(),
)
def test_written_training_sets_are_read_back(name, source, options, count, draw):
    chosen = {key: draw.draw(values) for key, values in options[:count]}
    text = " ".join([f"{name}={source}", *(f"{key}={value}" for key, value in chosen.items())])
    assert training_sets.TrainingSet.parse(text) == training_sets.TrainingSet(
        name, source, **chosen
    )


@given(st.text(max_size=30) | st.builds("A=packaged {}={}".format, *2 * [st.text(max_size=12)]))
def test_junk_is_a_training_set_or_refused(text):
    try:
        parsed = training_sets.TrainingSet.parse(text)
    except InputError:
        return
    assert parsed.name
    assert parsed.source
    assert 0 < parsed.fraction <= 1
    assert parsed.reduce_by >= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' names no training set; write NAME=SOURCE, such as A=folder:PATH"),
        ("packaged", "'packaged' names no training set"),
        ("A=", "'A=' names no training set"),
        ("=packaged", "'=packaged' names no training set"),
        ("my-set=packaged", "'my-set=packaged' names no training set; .*letters, digits"),
        ("A=packaged fraction=half", "half is no number for fraction"),
        ("A=packaged fraction=2", "fraction of 'A' is 2.0"),
        ("A=packaged reduce_by=0", "reduce_by of 'A' is 0"),
        ("A=packaged reduce_by=1.5 fraction=0.5", "1.5 is no number for reduce_by"),
        ("A=packaged fraction_seed=x", "x is no number for fraction_seed"),
        ("A fraction=0.5", "names no training set"),
    ],
)
def test_training_sets_written_otherwise_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        training_sets.TrainingSet.parse(text)
