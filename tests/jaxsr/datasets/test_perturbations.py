"""What happens to pictures on their way: by hand, by Pillow and scikit-image, and the names."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.filters import unsharp_mask

from jaxfleet.errors import InputError
from jaxfleet.imaging import photos
from jaxsr.datasets import perturbations


@pytest.fixture(scope="module")
def picture():
    """A photograph, 60 x 75 pixels."""
    return np.ascontiguousarray(photos.load("packaged", max_images=3)[2].pixels[100:160, 100:175])


def apply(name, picture, seed=0):
    return perturbations.parse(name)(picture, perturbations.generator(seed, "picture"))


def step_names():
    def of(kind):
        known = perturbations.KINDS[kind]
        if known.is_whole:
            strength = st.integers(int(known.low), int(known.high))
        else:
            strength = st.floats(known.low, known.high, allow_subnormal=False)
        return strength.map(lambda value: f"{kind}:{value}")

    return st.sampled_from(sorted(perturbations.KINDS)).flatmap(of)


@given(st.lists(step_names(), min_size=1, max_size=4))
def test_a_name_is_read_back_to_the_same_changes(names):
    one = perturbations.parse("+".join(names))
    assert [step.kind for step in one.steps] == [name.partition(":")[0] for name in names]
    assert [step.strength for step in one.steps] == [
        float(name.partition(":")[2]) for name in names
    ]
    assert perturbations.parse(one.name) == one


@given(st.text(alphabet="jpegnos:+.0159- ", max_size=12))
def test_any_text_is_a_perturbation_or_one_line_that_says_why_not(text):
    said, one = None, None
    try:
        one = perturbations.parse(text)
    except InputError as error:
        said = str(error)
    if one is None:
        assert len(said.splitlines()) == 1
        assert repr(text) in said
    else:
        assert perturbations.parse(one.name) == one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write KIND:STRENGTH"),
        ("jpeg", "write KIND:STRENGTH"),
        ("gif:3", "kinds are jpeg, jpeg444, webp"),
        ("jpeg:0", "a whole number from 1 to 100, not '0'"),
        ("jpeg:85.5", "a whole number"),
        ("blur:nan", "a number from 0 to 50"),
        ("crop:1.1", "from 0.05 to 1"),
        ("none+jpeg:75", "write KIND:STRENGTH"),
        ("resize:0.5+", "write KIND:STRENGTH"),
    ],
)
def test_a_bad_name_is_told(text, message):
    with pytest.raises(InputError, match=message):
        perturbations.parse(text)


def test_names_are_written_one_way():
    assert perturbations.parse(" resize:0.50 + jpeg:75.0").name == "resize:0.5+jpeg:75"
    assert perturbations.parse("none").name == "none"


def test_codecs_give_what_pillow_writes(picture):
    for kind, setting in {"jpeg": {"subsampling": 2}, "webp": {}}.items():
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, kind, quality=60, **setting)
        expected = np.asarray(Image.open(buffer).convert("RGB"))
        np.testing.assert_array_equal(apply(f"{kind}:60", picture), expected)


@pytest.mark.parametrize("name", ["none", "resize:1", "rescale:1", "blur:0", "noise:0", "crop:1"])
def test_the_weakest_change_is_none(picture, name):
    np.testing.assert_array_equal(apply(name, picture), picture)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resize:0.5", (30, 38, 3)),
        ("resize:1.2", (72, 90, 3)),
        ("rescale:0.5", (60, 75, 3)),
        ("crop:0.8", (48, 60, 3)),
        ("screenshot:0.5", (30, 38, 3)),
        ("resize:2+crop:0.5+jpeg:75", (60, 75, 3)),
    ],
)
def test_sizes(picture, name, shape):
    changed = apply(name, picture)
    assert changed.shape == shape
    assert changed.dtype == np.uint8


@pytest.mark.parametrize("kind", sorted(perturbations.KINDS))
def test_a_flat_picture_stays_flat_but_for_noise(kind):
    grey = np.full((40, 40, 3), 128, np.uint8)
    changed = apply(f"{kind}:1", grey)
    if kind == "noise":
        assert len(np.unique(changed)) > 3
    else:
        np.testing.assert_allclose(changed, 128.0, atol=2.0)  # codecs at quality 1


def test_noise_has_its_standard_deviation_and_belongs_to_the_generator():
    grey = np.full((200, 200, 3), 128, np.uint8)
    first, again, other = (apply("noise:5", grey, seed) for seed in (0, 0, 1))
    np.testing.assert_allclose((first.astype(float) - 128).std(), np.hypot(5, 12**-0.5), rtol=0.01)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert perturbations.generator(0, "a", "b").random() != perturbations.generator(0, "b").random()


def test_blur_spreads_a_point_as_a_gaussian():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    changed = apply("blur:2", point)[..., 0] / 255.0
    squared = (np.mgrid[:41, :41] - 20.0) ** 2
    expected = np.exp(-squared.sum(axis=0) / 8.0) / (8.0 * np.pi)
    np.testing.assert_allclose(changed, expected, atol=0.51 / 255)


def test_a_screenshot_is_sharpened_as_scikit_image_does(picture):
    small = np.ascontiguousarray(apply("resize:0.75", picture))
    expected = unsharp_mask(small / 255.0, radius=1.0, amount=0.5, channel_axis=2)
    got = apply("screenshot:0.75", picture).astype(float)
    np.testing.assert_allclose(got, expected * 255, atol=0.51)


def test_a_chain_is_its_steps_one_after_the_other(picture):
    expected = apply("jpeg:75", apply("blur:1", apply("resize:0.7", picture)))
    np.testing.assert_array_equal(apply("resize:0.7+blur:1+jpeg:75", picture), expected)


def test_what_is_too_small_is_mirrored_and_the_rest_is_left_alone():
    row = np.arange(3, dtype=np.uint8)[None, :, None]
    assert perturbations.filled(row, 7)[0, :, 0].tolist() == [0, 1, 2, 2, 1, 0, 0]
    assert perturbations.filled(row, 7).shape == (7, 7, 1)
    assert perturbations.filled(row, 1) is row


def test_pixels_of_another_type_are_refused(picture):
    with pytest.raises(ValueError, match="uint8"):
        apply("none", picture / 255.0)
