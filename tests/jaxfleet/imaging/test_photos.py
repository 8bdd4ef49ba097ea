import io
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxfleet.errors import InputError
from jaxfleet.imaging import images, photos

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 18, 3), dtype=np.uint8)


def save(path, pixels=PIXELS, mode=None, **options):
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)


def encoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def only(folder, **options):
    (photo,) = photos.load(f"folder:{folder}", **options)
    return photo.pixels


# ---------------------------------------------------------------------------- packaged


def test_packaged_photographs_are_colour_and_need_no_download():
    loaded = photos.load("packaged")
    assert [photo.image_id for photo in loaded] == sorted(photo.image_id for photo in loaded)
    assert {photo.image_id for photo in loaded} >= {"astronaut", "chelsea", "coffee", "rocket"}
    assert len(loaded) == 8
    for photo in loaded:
        assert photo.pixels.dtype == np.uint8
        assert photo.pixels.ndim == 3
        assert photo.pixels.shape[2] == 3
        assert np.ptp(photo.pixels.astype(int), axis=2).max() > 50  # not grey


def test_max_images_keeps_the_first():
    ids = [photo.image_id for photo in photos.load("packaged")]
    assert [photo.image_id for photo in photos.load("packaged", max_images=3)] == ids[:3]


# ---------------------------------------------------------------------------- fits


def test_crop_is_the_central_window(tmp_path):
    save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        only(tmp_path, image_size=8, image_fit="crop"), PIXELS[2:10, 5:13]
    )


def test_resize_is_bicubic_on_the_largest_central_square(tmp_path):
    save(tmp_path / "a.png")
    matrix = images.bicubic_matrix(12, 8)
    expected = np.einsum("ih,hwc,jw->ijc", matrix, PIXELS[:, 3:15], matrix)
    resized = only(tmp_path, image_size=8).astype(float)
    np.testing.assert_allclose(resized, np.clip(expected, 0, 255), atol=0.51)


@pytest.mark.parametrize("image_fit", photos.FITS)
def test_a_square_of_the_size_asked_for_is_left_alone(tmp_path, image_fit):
    save(tmp_path / "a.png")
    square = only(tmp_path, image_size=12, image_fit=image_fit)
    np.testing.assert_array_equal(square, PIXELS[:, 3:15])


# ---------------------------------------------------------------------------- folder


def test_folder_is_sorted_flat_and_takes_four_kinds(tmp_path):
    for name in ("d.WEBP", "b.jpg", "c.jpeg", "a.png", "note.txt", ".hidden.png"):
        save(tmp_path / name, format="PNG")
    (tmp_path / "sub.png").mkdir()
    save(tmp_path / "sub.png" / "z.png")
    loaded = photos.load(f"folder:{tmp_path}")
    assert [photo.image_id for photo in loaded] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(loaded[3].pixels, PIXELS)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA", "I;16"])
def test_grey_palette_and_alpha_become_rgb(tmp_path, mode):
    grey = np.repeat(RNG.integers(0, 2, (6, 7, 1), dtype=np.uint8) * 255, 3, axis=2)
    if mode == "I;16":
        save(tmp_path / "a.png", grey[:, :, 0].astype(np.uint16) * 257)
    else:
        save(tmp_path / "a.png", grey, mode)
    np.testing.assert_array_equal(only(tmp_path), grey)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 257, 32896, 65535]], np.uint16))
    np.testing.assert_array_equal(only(tmp_path)[0, :, 0], [0, 1, 128, 255])


def test_transparency_shows_white(tmp_path):
    alpha = np.zeros((12, 18, 1), np.uint8)
    alpha[:, 9:] = 255
    save(tmp_path / "a.png", np.concatenate([PIXELS, alpha], axis=2))
    expected = np.where(alpha == 0, 255, PIXELS)
    np.testing.assert_array_equal(only(tmp_path), expected)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(only(tmp_path), np.rot90(PIXELS, -1))


def test_kodak_folder(shared_data):
    loaded = photos.load(f"folder:{shared_data / 'kodak'}", image_size=32)
    assert [photo.image_id for photo in loaded] == [f"kodim{n:02d}" for n in range(1, 25)]
    assert all(photo.pixels.shape == (32, 32, 3) for photo in loaded)


# ---------------------------------------------------------------------------- several sources


@pytest.fixture
def folders(tmp_path):
    """Folders `one` with a and b, `two, too` with c, and `again` with b once more."""
    for name, stems in (("one", "ab"), ("two, too", "c"), ("again", "b")):
        (tmp_path / name).mkdir()
        for stem in stems:
            save(tmp_path / name / f"{stem}.png")
    return tmp_path


def ids(source, **options):
    return [photo.image_id for photo in photos.load(source, **options)]


def test_several_sources_come_in_the_order_given(folders):
    one, two = f"folder:{folders / 'one'}", f"folder:{folders / 'two, too'}"
    assert ids(two) == ["c"]  # a comma in a path is part of it
    assert ids(f"{two},{one}") == ["c", "a", "b"]
    assert ids(f"{one}, packaged,{two}") == ["a", "b", *ids("packaged"), "c"]
    assert ids(f"{two},{one}", max_images=2) == ["c", "a"]
    assert ids(f"{one},folder:nowhere", max_images=2) == ["a", "b"]


def test_photographs_of_one_name_are_refused(folders):
    one, again = f"folder:{folders / 'one'}", f"folder:{folders / 'again'}"
    with pytest.raises(InputError) as caught:
        photos.load(f"{one},{again}")
    assert str(caught.value) == (
        f"'{one}' and '{again}' both have a photograph 'b'. Rename it in one of them, or leave "
        "one out."
    )
    with pytest.raises(InputError, match="'packaged' and 'packaged' both have .* 'astronaut'"):
        photos.load("packaged,packaged")


def test_bad_one_of_several_sources_is_named(folders):
    one = f"folder:{folders / 'one'}"
    with pytest.raises(InputError, match="Unknown source 'packaged,holidays'"):
        photos.load("packaged,holidays")
    with pytest.raises(InputError, match="Unknown source 'tfds:'"):  # before any is read
        photos.load(f"folder:nowhere,tfds:,{one}")
    with pytest.raises(InputError, match="no folder 'nowhere'"):
        photos.load(f"{one},folder:nowhere")


def test_sources_for_a_process_that_stands_elsewhere(folders, monkeypatch):
    monkeypatch.chdir(folders)
    given = "folder:one,packaged,folder:two, too,tfds:kodak:test[:3],folder:~/x"
    there = f"folder:{folders / 'one'},packaged,folder:{folders / 'two, too'}"
    assert photos.absolute(given) == f"{there},tfds:kodak:test[:3],folder:{Path.home() / 'x'}"
    assert photos.absolute("packaged") == "packaged"


# ---------------------------------------------------------------------------- errors


def test_packaged_photographs_have_two_splits(folders):
    train, test = (photos.load(f"packaged:{split}") for split in ("train", "test"))
    assert [photo.image_id for photo in test] == ["chelsea", "motorcycle_left"]
    assert len(train) == 6
    both = photos.load(f"packaged:train, packaged:test,folder:{folders / 'one'}")
    assert {photo.image_id for photo in photos.load("packaged")} < {one.image_id for one in both}
    with pytest.raises(InputError, match="'packaged' has no split 'x'. Use train or test"):
        photos.load("packaged:x")


def test_members_of_a_source_are_its_files(folders):
    train, test = (photos.members(f"packaged:{split}") for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (6, 2, set())
    assert train | test == photos.members("packaged")
    (folders / "linked").symlink_to(folders / "one")
    one = f"folder:{folders / 'one'}"
    assert photos.members(f"folder:{folders / 'linked'}") == photos.members(one)
    assert photos.members(f"tfds:kodak,{one}") == {"tfds:kodak"} | photos.members(one)


@pytest.mark.parametrize("source", ["web", "", "folder:", "tfds:"])
def test_unknown_source_lists_the_kinds(source):
    with pytest.raises(InputError, match="Unknown source.*packaged.*folder:PATH.*tfds:NAME"):
        photos.load(source)


def test_a_bare_folder_is_answered_with_the_right_word(tmp_path):
    with pytest.raises(InputError, match=f"folder:{tmp_path}"):
        photos.load(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": -1}, "image_size is -1"),
        ({"max_images": -2}, "max_images is -2"),
        ({"image_fit": "stretch"}, "'stretch'.*resize, crop"),
        ({"image_size": 301}, "chelsea.png is 451 x 300.*301.*300 or less"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        photos.load("packaged", **options)


def test_missing_empty_and_ambiguous_folders(tmp_path):
    with pytest.raises(InputError, match=r"no folder '~nobody_here/x'"):
        photos.load("folder:~nobody_here/x")
    with pytest.raises(InputError, match=r"no folder '.*nowhere'.*\.png, \.jpg, \.jpeg, \.webp"):
        photos.load(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(InputError, match=r"holds no \.png, \.jpg, \.jpeg, \.webp"):
        photos.load(f"folder:{tmp_path}")
    save(tmp_path / "a.png")
    save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"a\.png' is a file\. Give the folder"):
        photos.load(f"folder:{tmp_path / 'a.png'}")
    with pytest.raises(InputError, match=r"'a\.jpg' and 'a\.png'.*image_id 'a'"):
        photos.load(f"folder:{tmp_path}")


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "cut.png").write_bytes(encoded(PIXELS)[:-200])
    with pytest.raises(InputError, match=r"cut\.png' cannot be read.*Replace"):
        photos.load(f"folder:{tmp_path}")
    (tmp_path / "cut.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"cut\.png' is not a picture"):
        photos.load(f"folder:{tmp_path}")


# ---------------------------------------------------------------------------- tfds


class PairsOfTest(tfds.core.GeneratorBasedBuilder):
    """Two splits, two pictures an example, one of them grey; names that repeat."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = Path(__file__)
    pkg_dir_path = Path(__file__).parent

    def _info(self):
        features = {
            "lr": tfds.features.Image(shape=(None, None, 3)),
            "hr": tfds.features.Image(shape=(None, None, None)),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(5), "validation": self._generate_examples(1)}

    def _generate_examples(self, count):
        names = ["a.png", "b/a.png", "a.jpg", "", "plain"]
        for key in range(count):
            high = PIXELS if key else PIXELS[..., 0]
            yield key, {"lr": encoded(PIXELS[::2]), "hr": encoded(high), "file_name": names[key]}


class NumbersOfTest(tfds.core.GeneratorBasedBuilder):
    """No picture at all."""

    VERSION = tfds.core.Version("1.0.0")
    code_path = Path(__file__)
    pkg_dir_path = Path(__file__).parent

    def _info(self):
        features = tfds.features.FeaturesDict({"number": np.int64})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": iter([(0, {"number": 0})])}

    def _generate_examples(self):
        raise NotImplementedError


def test_tfds_takes_the_first_split_and_the_high_resolution_picture(tmp_path):
    loaded = photos.load("tfds:pairs_of_test", data_dir=str(tmp_path))
    ids = [photo.image_id for photo in loaded]
    numbered = "pairs_of_test-train-0000"
    assert ids == ["a", "b-a", f"{numbered}2", f"{numbered}3", "plain"]
    np.testing.assert_array_equal(loaded[0].pixels, np.repeat(PIXELS[..., :1], 3, axis=2))
    np.testing.assert_array_equal(loaded[1].pixels, PIXELS)
    assert len(photos.load("tfds:pairs_of_test:validation", data_dir=str(tmp_path))) == 1
    with pytest.raises(InputError, match="no split 'test'. Use one of: train, validation"):
        photos.load("tfds:pairs_of_test:test", data_dir=str(tmp_path))
    with pytest.raises(InputError, match="Example 0 of tfds:pairs_of_test is 18 x 12"):
        photos.load("tfds:pairs_of_test", data_dir=str(tmp_path), image_size=13)
    with pytest.raises(InputError, match=r"no split 'train\[:0\]'"):
        photos.load("tfds:pairs_of_test:train[:0]", data_dir=str(tmp_path))


def test_a_dataset_without_pictures_names_its_features(tmp_path):
    with pytest.raises(InputError, match="no picture called image or hr.*number"):
        photos.load("tfds:numbers_of_test", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tfds:kodac", "Unknown TFDS dataset 'kodac'. Did you mean kodak"),
        ("tfds:qqqqqqqq", "Unknown TFDS dataset 'qqqqqqqq'. See"),
        ("tfds:div2k/bicubic_x5", "no config 'bicubic_x5'.*bicubic_x4"),
        ("tfds:kodak/small", "no config 'small'. Leave it out"),
        ("tfds:two words", "cannot be parsed. Write tfds:NAME"),
        ("tfds:coco/2017", "cannot be opened.*tensorflow.*Install"),
    ],
)
def test_tfds_names_that_are_wrong(tmp_path, source, message):
    with pytest.raises(InputError, match=message):
        photos.load(source, data_dir=str(tmp_path))


def test_a_dataset_that_cannot_be_prepared_is_an_input_error(tmp_path, monkeypatch):
    from jaxfleet.imaging import kodak

    def fail(self, *args, **kwargs):
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(kodak.Kodak, "download_and_prepare", fail)
    with pytest.raises(InputError, match="'kodak' is not in.*no route.*TFDS_DATA_DIR"):
        photos.load("tfds:kodak", data_dir=str(tmp_path))


def test_tensorflow_is_never_imported():
    assert "tensorflow" not in sys.modules
