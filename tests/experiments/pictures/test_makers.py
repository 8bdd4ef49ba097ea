import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from experiments.pictures import makers


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,9}", fullmatch=True),
    st.from_regex(r"[a-z/][a-z/ ]{0,12}[a-z]", fullmatch=True),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_labels_are_read_as_they_are_written(name, folder, scale, seed):
    one = makers.parse_labelled(f"{name}={folder} scale={scale} loss=l1 seed={seed}")
    assert dataclasses.astuple(one)[:2] == (name, "elsewhere")
    assert one.source == folder
    known = {**makers.UNKNOWN, "scale": scale, "loss": "l1", "seed": seed}
    assert one.facts == known


def test_bicubic_is_a_class_at_each_scale_that_is_told():
    labelled = ["one=pictures scale=3", "two=pictures scale=2", "three=others scale=3", "four=more"]
    found = makers.list_classes([], [], labelled, bicubic=True, originals=False)
    assert [one.name for one in found if one.kind == "bicubic"] == ["bicubic-x2", "bicubic-x3"]
