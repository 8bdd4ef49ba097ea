"""Further flags that make a printed command small; a zoo of networks that nobody trained."""

import itertools

from tests.docs import printed
from tests.docs.test_printed import config_of

SIDE = 64  # of the photographs that networks enlarge, and of crops that are attributed
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
    "benchmark": "--seconds=0.1 --rounds=1 --max_update_gflop=0.2 --networks= --networks=2 "
    "--layer_size= --layer_size=8 --num_iters=5 --peer_fits=2 --wait= --wait=imports --minutes=0",
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
    "sr_benchmark": "--architecture= --architecture=edsr --scale= --scale=2 --networks=1 "
    "--num_blocks=1 --num_features=4 --batch_size=2 --crop_px=16 --height=24 --width=32 "
    "--seconds=0.1 --rounds=1",
    "sr_installed": "--photos=folder:few",
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
# What of a printed command that does several things is left to another that does it.
SHARED = {
    "launch/benchmark.py --run_dir": "--part= --part=scaling",
    "launch/sr_benchmark.py ": "--part= --part=upscale",
    "launch/sr_benchmark.py --run_dir": "--part= --part=fleet",
    "launch/sr_benchmark.py --rounds": "--part= --part=step",
    "sr_attribution/mini.flags": "--method= --method=linear --method=dct",
    "--method=convnext --method=linear": "--method= --method=linear --method=ncc",
    "--splits=test": "--photos=folder:photographs --test_photos=packaged",  # large enough
    "--collections=jaxinr/data --": "--collections= --collections=packaged",  # compiled before
}
COLLECTIONS = ("small", "twins", "sizes", "long", "300k")
# Grids of which eight networks are fitted; those that a forecaster learns from have more.
LIGHT = ("my.flags", "seed_spread", *(f"collection_{name}" for name in COLLECTIONS))
FORECAST = ("collection_small", "collection_twins", "deep_large", "deep_wide")


def scaled(command):
    """Give further flags that make a command small."""
    config, _ = config_of(command)
    args = printed.Command(f"x.py {SCALED.get(command.script, '')}", "").args
    for part, flags in SHARED.items():
        if part in f"{command.text} ":
            args += flags.split()
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
    if command.script == "sr_attribution" and config.pictures.endswith("sr_images_mini"):
        args += ["--where=training_set=A", "--where=loss=l1", "--where=seed=1"]
    if command.script == "sr_zoo" and "quickstart" not in command.text:
        args += ["--scale=", "--scale=2", "--seed=", "--seed=1"]
    if command.script == "sr_attribution" and SIDE % config.linear_period:
        args += ["--linear_period=4"]
    if command.script == "sr_open_set" and config.unseen == type(config)().unseen:
        args += ["--unseen=", "--unseen=seed=3"]
    if command.script == "sr_robustness" and config.train_on:
        args += ["--train_on=", "--train_on=jpeg:80"]
    return args
