import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from jaxfleet.shards import WHOLE, Shard
from jaxinr import Trial, siren
from jaxinr.buckets import make_buckets
from jaxinr.kernels import tiling
from jaxinr.program import pack, padded_pixels
from jaxinr.trial import flops_per_pixel

# ---------------------------------------------------------------------------- pack, padded_pixels


@hypothesis.given(pixels=st.integers(1, 2**23), block=st.sampled_from([1, 256, 512, 2048, 1 << 14]))
def test_padded_pixels(pixels, block):
    padded = padded_pixels(pixels, block)
    whole = -(-pixels // block) * block
    assert padded >= pixels
    assert padded % block == 0
    assert padded <= 1.25 * whole
    assert padded_pixels(padded, block) == padded
    assert padded_pixels(pixels + 1, block) >= padded


def test_pictures_of_similar_size_share_a_padded_count():
    counts = {padded_pixels(pixels, 256) for pixels in range(1, 2**20, 331)}
    assert len(counts) <= 4 * 12 + 4  # four to an octave


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_pack_keeps_pixels_row_by_row(kind):
    draw = np.random.default_rng(0)
    sizes = [(3, 5), (4, 4), (1, 1)]
    images = [(255 * draw.random((*size, 3))).astype(kind) for size in sizes]
    packed = pack(images, 3, 6)
    assert packed.shape == (3, 3, 3, 6)
    assert packed.dtype == kind
    flat = packed.transpose(0, 1, 3, 2).reshape(3, 18, 3)  # network, pixel, channel
    for row, image in zip(flat, images, strict=True):
        count = image.shape[0] * image.shape[1]
        np.testing.assert_array_equal(row[:count], image.reshape(-1, 3))
        assert (row[count:] == 0).all()


# ---------------------------------------------------------------------------- make_buckets

trials_and_sizes = st.lists(
    st.tuples(
        st.builds(
            Trial,
            layer_size=st.sampled_from([3, 8, 13, 16, 28, 32, 64, 128]),
            num_layers=st.integers(1, 3),
            num_iters=st.sampled_from([10, 1000, 50_000]),
        ),
        st.sampled_from([(8, 8), (16, 9), (64, 64), (512, 768)]),
    ),
    min_size=1,
    max_size=40,
)


@hypothesis.given(
    jobs=trials_and_sizes,
    shards=st.sampled_from([1, 2, 8]),
    platform=st.sampled_from(["cpu", "gpu"]),
)
def test_every_trial_is_in_one_bucket_that_can_hold_it(jobs, shards, platform):
    trials, sizes = zip(*jobs, strict=True)
    plan = make_buckets(trials, sizes, shards=shards, platform=platform, kernel="xla")
    found = np.concatenate([bucket.jobs for bucket in plan])
    assert sorted(found.tolist()) == list(range(len(jobs)))
    assert len({bucket.program for bucket in plan}) == len(plan)
    for bucket in plan:
        program = bucket.program
        assert list(bucket.jobs) == sorted(bucket.jobs)
        assert bucket.slots_per_shard % program.group == 0
        for job in bucket.jobs:
            height, width = sizes[job]
            assert program.width >= trials[job].layer_size
            assert program.num_layers == trials[job].num_layers
            assert program.blocks * program.block >= height * width
        work = [sizes[j][0] * sizes[j][1] * trials[j].num_iters for j in bucket.jobs]
        assert bucket.pixel_steps == pytest.approx(sum(work))
        flops = [flops_per_pixel(trials[j].layer_size, program.num_layers) for j in bucket.jobs]
        assert bucket.flops == pytest.approx(np.dot(work, flops))
    assert [b.flops for b in plan] == sorted((b.flops for b in plan), reverse=True)


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (15, 17)])
def test_many_widths_share_a_bucket_when_the_work_is_small(size):
    trials = [Trial(layer_size=w, num_layers=4, num_iters=100) for w in range(6, 33)]
    (bucket,) = make_buckets(trials, [size] * len(trials), shards=2, platform="cpu", kernel="xla")
    assert bucket.program.width == 32


def test_widths_part_when_the_work_is_large():
    trials = [
        Trial(layer_size=w, num_layers=4, num_iters=20_000) for w in (8, 32) for _ in range(50)
    ]
    plan = make_buckets(trials, [(64, 64)] * 100, shards=2, platform="cpu", kernel="xla")
    assert [bucket.program.width for bucket in plan] == [32, 8]


def test_sizes_that_pad_alike_share_a_bucket_and_others_do_not():
    trials = [Trial(layer_size=32, num_layers=2)] * 3
    sizes = [(64, 64), (60, 64), (128, 128)]
    plan = make_buckets(trials, sizes, shards=1, platform="cpu", kernel="xla")
    assert [bucket.jobs.tolist() for bucket in plan] == [[2], [0, 1]]


def test_options_reach_the_program():
    (bucket,) = make_buckets(
        [Trial()], [(8, 8)], shards=1, platform="cpu", coordinates="centers", log_every=7,
        kernel="xla",
    )  # fmt: skip
    assert (bucket.program.coordinates, bucket.program.log_every) == ("centers", 7)


@hypothesis.given(
    jobs=trials_and_sizes,
    platform=st.sampled_from(["cpu", "gpu", "tpu"]),
    kernel=st.sampled_from(["xla", "pallas"]),
    products=st.sampled_from(siren.PRODUCTS),
)
def test_programs_of_the_fused_kernel_have_its_sizes(jobs, platform, kernel, products):
    trials, sizes = zip(*jobs, strict=True)
    plan = make_buckets(
        trials, sizes, shards=2, platform=platform, kernel=kernel, products=products
    )
    assert {bucket.program.products for bucket in plan} == {products}
    wanted = "pallas" if kernel == "pallas" and platform != "tpu" else "xla"
    for program in (bucket.program for bucket in plan):
        assert program.kernel == wanted
        if wanted == "pallas":
            assert program.width in tiling.WIDTHS
            assert program.block % tiling.tiling(program.num_layers, program.width).pixels == 0


def test_wide_and_narrow_networks_part_where_their_kernels_do():
    trials = [Trial(layer_size=w, num_layers=2, num_iters=1) for w in (100, 129, 120, 140)]
    plan = make_buckets(trials, [(8, 8)] * 4, shards=1, platform="gpu", kernel="pallas")
    found = {(b.program.kernel, b.program.width): b.jobs.tolist() for b in plan}
    assert found == {("pallas", 128): [0, 2], ("xla", 140): [1, 3]}


@hypothesis.given(jobs=trials_and_sizes, count=st.integers(1, 6), devices=st.sampled_from([1, 2]))
def test_every_shard_trains_a_trial_in_the_program_of_the_whole(jobs, count, devices):
    trials, sizes = zip(*jobs, strict=True)

    def program_of(shard):
        plan = make_buckets(
            trials, sizes, shards=devices, platform="cpu", shard=shard, kernel="xla"
        )
        assert all(bucket.slots_per_shard % bucket.program.group == 0 for bucket in plan)
        return {int(job): bucket.program for bucket in plan for job in bucket.jobs}

    cut = [program_of(Shard(index, count)) for index in range(count)]
    assert sum(map(len, cut)) == len(jobs)
    assert {job: program for own in cut for job, program in own.items()} == program_of(WHOLE)


@pytest.mark.parametrize(("side", "groups"), [(24, 32), (60, 7), (120, 1)])
def test_log_interval_of_all_slots_takes_a_few_seconds_at_most(side, groups):
    # By the rough model a pixel takes a core 2.4 us, and so a group at 60 x 60 (padded) 0.39 s.
    trials = [Trial(layer_size=50, num_layers=16, seed=seed) for seed in range(300)]
    (bucket,) = make_buckets(trials, [(side, side)] * 300, shards=2, platform="cpu", kernel="xla")
    assert bucket.slots_per_shard == groups * bucket.program.group
