"""Names of things in flags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxfleet.errors import InputError
from jaxfleet.scripts import named

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,8}", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9.,\[\]]{1,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "keys", "expected"),
    [
        ("Set5=folder:a/b", (), ("Set5", "folder:a/b", {})),
        ("folder:a b/c=d", None, ("", "folder:a b/c=d", {})),
        ("x y=z", None, ("", "x", {"y": "z"})),
        ("x y=z", (), ("", "x y=z", {})),
        ("A=folder:my photos fraction=0.5 of=mine", {"fraction"}, None),
        (
            "A=folder:my of=b fraction=0.5",
            {"fraction"},
            ("A", "folder:my of=b", {"fraction": "0.5"}),
        ),
        ("a=b=c k=v l=w k=u", None, ("a", "b=c", {"k": "u", "l": "w"})),
        ("Set5=folder:a ", (), ("Set5", "folder:a ", {})),
        (" Set5=folder:a", (), ("", " Set5=folder:a", {})),
        ("", None, ("", "", {})),
    ],
)
def test_name_source_and_options_are_told_apart(text, keys, expected):
    if expected is None:  # an unknown key at the end ends the options
        expected = ("A", text.removeprefix("A="), {})
    assert tuple(named.parse(text, keys)) == expected


@given(NAMES, VALUES, st.dictionaries(st.from_regex(r"[a-z]\w{0,5}", fullmatch=True), VALUES))
def test_what_is_written_comes_back(name, source, options):
    written = "".join(f" {key}={value}" for key, value in options.items())
    assert tuple(named.parse(f"{name}={source}{written}")) == (name, source, options)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("[2,2]", (2, 2)), ("true", True), ("1e-3", 0.001), ("a b", "a b")],
)
def test_values_are_json_or_text(text, value):
    assert named.value(text) == value


def test_a_number_that_is_none_is_named():
    assert named.whole("12", "scale") == 12
    with pytest.raises(InputError, match="two is no number for scale"):
        named.whole("two", "scale")
