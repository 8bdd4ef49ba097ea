import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from experiments.pictures import windows


@given(st.integers(24, 300), st.sampled_from([1, 2, 3, 4, 5]), st.data())
def test_spans_agree_and_stay_within_the_photograph(size, scale, data):
    crop_px = scale * data.draw(st.integers(1, size // scale))
    low, inside, truth = windows.span(size, scale, crop_px)
    assert inside.stop - inside.start == truth.stop - truth.start == crop_px
    assert low.start * scale + inside.start == truth.start
    assert 0 <= low.start
    assert low.stop <= size // scale
    assert 0 <= inside.start
    assert inside.stop <= scale * (low.stop - low.start)
    before, after = truth.start, size - truth.stop
    assert -1 <= after - before <= 2 * np.lcm(24, scale)
    margin = windows.MARGIN_PX
    for here, there in ((low.start, truth.start), (size // scale - low.stop, after)):
        assert here == 0 or there >= scale * margin
        assert here == 0 or low.stop - low.start == crop_px // scale + 2 * margin
