"""Settings of a training that cannot be, alone or together, and places that can hold no run."""

import pytest
from bad_input import TINY, Table, refuses

CASES: Table = {
    # settings against the data
    "a batch larger than the data": (
        "--batch-size 28", "batch_size is 28, but there are only 27 training images",
    ),
    "a batch larger than what validation leaves": (
        "--batch-size 27 --validation 1", "there are only 26 training images",
    ),
    "as many held out as there are": ("--validation 27", "27 images cannot be held out of 27"),
    "more held out than there are": ("--validation 100", "100 images cannot be held out of 27"),
    # settings
    "a batch of none": ("--batch-size 0", "batch_size is 0, but it must be"),
    "a negative batch": ("--batch-size -4", "batch_size is -4"),
    "no epochs": ("--epochs 0", "epochs is 0, but it must be a whole number of at least 1"),
    "negative epochs": ("--epochs -1", "epochs is -1"),
    "no samples": ("--samples 0", "samples is 0"),
    "no latent units": ("--latent-dim 0", "latent_dim is 0"),
    "a hidden layer of nothing": ("--hidden 8 0", "hidden is (8, 0), but it must be sizes"),
    "a negative hidden layer": ("--hidden -8", "hidden is (-8,)"),
    "a learning rate of zero": ("--lr 0", "lr is 0.0, but it must be a positive number"),
    "a negative learning rate": ("--lr -0.001", "lr is -0.001"),
    "a learning rate that is no number": ("--lr nan", "lr is nan"),
    "an infinite learning rate": ("--lr inf", "lr is inf"),
    "a learning rate that rounds to zero": ("--lr 1e-999", "lr is 0.0"),
    "a standard deviation of zero": ("--likelihood gaussian --std 0", "std is 0.0"),
    "a negative beta": ("--beta -0.5", "beta is -0.5, but it must be a number, not negative"),
    "a beta that is no number": ("--beta nan", "beta is nan"),
    "a negative seed": ("--seed -1", "seed is -1, but it must be from 0 to 2"),
    "a seed beyond 64 bits": ("--seed 18446744073709551616", "seed is 18446744073709551616"),
    "a negative validation split": ("--validation -1", "validation is -1"),
    "negative patience": ("--validation 5 --patience -1", "patience is -1"),
    "patience without validation": ("--patience 3", "patience needs a validation split"),
    "negative workers": ("--workers -1", "workers is -1"),
    "negative pieces": ("--pieces -1", "pieces is -1"),
    "more pieces than images": ("--pieces 9 --batch-size 8", "but a batch has only 8 images"),
    "pieces and workers": ("--pieces 2 --workers 2", "divided among ranks, not workers"),
    "negative steps between checks": ("--verify-every -1", "verify_every is -1"),
    "more workers than cores": ("--workers 100000", "workers is 100000, but"),
    "TF32 on a CPU": ("--tf32 --device cpu", "GPU multiplies, and the device is cpu"),
    "TF32 on no GPU": ("--tf32 --device strict", "or choose --device cuda on a machine with one"),
    **{
        f"{option} of {value}": (
            f"--likelihood gaussian --{option}={value}",
            f"{option.replace('-', '_')} is {float(value)}, but it must be a",
        )
        for option in ("lr", "std", "beta", "free-bits", "clip")
        for value in ("nan", "inf", "-inf", "-1", "1e400")
    },
    **{
        f"no value for {option}": (f"--{option}=", f"argument --{option}: invalid")
        for option in ("latent-dim", "samples", "kl-warmup", "epochs", "batch-size", "seed",
                       "validation", "verify-every", "workers", "patience", "std", "beta",
                       "free-bits", "clip", "dtype", "device")
    },
    "no value for activation": ("--activation=", "activation is '', but it must be one of relu"),
    "an image shape of nothing": ("--image-shape 0", "image_shape is [0], but it must be a height"),
    "an image shape of other pixels": ("--image-shape 3 5", "images of 3 x 5 have 15 values"),
    "a negative white": ("--full-scale -1", "full_scale is -1, but it must be the whole number"),
    "a split of no kind": ("--split half", "split is 'half', but it must be auto, last[:N], rand"),
    "a colormap of no name": ("--colormap nope", "colormap is 'nope', but it must be one that"),
    "a label column that is not there": (
        "--data people.csv --label-column tribe", "has no column 'tribe'",
    ),
    "a negative start of a deviation": (
        "--likelihood gaussian-learned --start-std -1", "start_std is -1.0, but it must be a num",
    ),
    "no learning rate": ("--lr=", "lr is '', but it must be a positive number or a schedule"),
    "a schedule cut off": ("--lr cosine:1e-3", "'cosine:1e-3' is neither a number nor a schedule"),
    "a schedule that ends below zero": ("--lr cosine:1:-1:5", "must not be negative: -1.0"),
    "a deviation whose square is zero": (
        "--likelihood gaussian --std 1e-200", "variance has no room for a standard deviation of 1",
    ),
    "a deviation whose square is infinite": (
        "--likelihood gaussian --std 1e200", "variance has no room for a standard deviation of 1",
    ),
    **{
        f"more {option} than memory, {how}": (
            f"--{option} {2**62} {how}", "not enough memory: an array of the shape",
        )
        for option in ("hidden", "latent-dim", "samples")
        for how in ("--workers 1", "--workers 0", "--device strict")
    },
    "one worker, and a decoder of other pixels": (
        "--workers 1 --encoder 'dense 5' --decoder 'dense 11'", "shape (11,), expected 12 pixels",
    ),
    "a setting that the optimizer lacks": (
        "--optimizer sgd --optimizer-settings beta1=0.9",
        "'beta1=0.9' sets nothing of the optimizer 'sgd'. There are: momentum=0.9, nesterov=false",
    ),
    "an unknown start of the halves": (
        "--heads three", "invalid choice: 'three'. There are: joint, independent, equal",
    ),
    "an unknown order of sums": ("--sum-order slow", "There are: fixed, any"),
    "an unknown reduction": ("--reduction median", "Did you mean 'mean'? There are: mean, sum"),
    "a beta of one": ("--optimizer-settings beta1=1", "betas lie in [0, 1), not 1.0 and 0.999"),
    "an epoch zero": ("--evaluate-at 0", "evaluate_at is [0], but it must be a list of epochs, co"),
    "patience between evaluations": (
        "--validation 5 --patience 2 --evaluate-at 3", "leave out evaluate_at, or patience",
    ),
    "an output bias of many levels": (
        "--likelihood categorical --output-bias mean", "does not say which logits have a given me",
    ),
    "an output bias of a channel": (
        "--output-bias mean --encoder 'dense 5' --decoder 'dense 12' 'reshape 3 4 1' 'conv 1 3'",
        "has no bias for each of 12 logits that could start at the training mean",
    ),
    "a condition of no kind": ("--condition colour", "it must be label, some-labels, label:C"),
    "five quadrants": ("--condition quadrants:5", "condition is 'quadrants:5', but it must be"),
    "labels that are not there": ("--condition label", "but tiny.npz has no labels"),
    "two layers of words": (
        "--second-units 2 --encoder 'dense 5' --decoder 'dense 12'", "needs hidden sizes, and no c",
    ),
    "a hidden layer of nothing between": ("--second-hidden 0", "second_hidden is (0,), but it mu"),
    "labels of no condition": ("--labels 5", "set condition to some-labels"),
    "a weight of no classifier": ("--classifier-weight 2", "set condition to some-labels"),
    "labels that are all known": ("--condition label:3 --labels 4", "set condition to some-labels"),
    "a prior of no condition": ("--prior conditional", "a conditional prior needs a condition"),
    "a flow of no maps": (
        "--posterior planar --flow-length 0", "flow_length is 0, but it must be a whole number of",
    ),
    "the length of no flow": ("--flow-length 3", "or choose one of planar, radial, iaf"),
    "an autoregressive flow of one unit": (
        "--posterior iaf --latent-dim 1", "needs at least 2 latent units, of which one depends on",
    ),
    "hidden units of a flow without any": (
        "--posterior planar --flow-hidden 9", "leave it out, or choose one of iaf",
    ),
    "a flow without an estimator of its KL": (
        "--posterior radial --free-bits 1", "is for a Gaussian q(z|x), not for one with the flow R",
    ),
    "a flow where labels are summed out": (
        "--posterior planar --condition some-labels", "is a Gaussian for each label, not one with",
    ),
    "a flow behind a head of halves": (
        "--posterior planar --head logstd", "has no halves: set head to logvar and heads to joint",
    ),
    "a negative warm-up": ("--kl-warmup -1", "kl_warmup is -1, but it must be a whole number"),
    "a warm-up without a KL": (
        "--estimator iwae --kl-warmup 5", "has no KL whose weight could grow: set kl_warmup to 0",
    ),
    "free bits of a sampled KL": (
        "--estimator monte-carlo --free-bits 1", "they need the estimator 'analytic'",
    ),
    "too few samples for a baseline": (
        "--estimator score-baseline", "needs at least 2 samples per image, not 1: set samples to",
    ),
    "a beta for a bound without one": ("--estimator iwae --beta 2", "beta must be 1, not 2.0"),
    "a live check of what is no derivative": (
        "--estimator stl --verify-every 3", "no live check can compare them: set verify_every to 0",
    ),
    "workers for a likelihood with parameters": (
        "--workers 2 --likelihood gaussian-learned", "likelihood without parameters, can be shared",
    ),
    "workers for free bits": ("--workers 2 --free-bits 1", "set workers to 1"),
    "workers on another device": ("--workers 2 --device strict", "only a step on the CPU"),
    # layers in words
    "an encoder without a decoder": ("--encoder 'dense 5'", "described in words both or neither"),
    "a decoder without an encoder": ("--decoder 'dense 12'", "described in words both or neither"),
    **{
        name: (f"--encoder {encoder} --decoder {decoder}", fragment)
        for name, encoder, decoder, fragment in (
            ("a layer of no kind", "'magic 3'", "'dense 12'", "'magic 3' is not one of: dense N"),
            ("a layer of no name", "''", "'dense 12'", "the layer '' is not one of: dense N"),
            ("a size in words", "'dense few'", "'dense 12'", "'dense few' is not one of: dense N"),
            ("no units", "'dense 0'", "'dense 12'", "at least 1, not 0"),
            ("a decoder of other pixels", "'dense 5'", "'dense 11'", "shape (11,), expected 12"),
            ("a convolution of vectors", "'conv 3 3'", "'dense 12'", "a Reshape makes images"),
            ("images of other pixels", "'reshape 5 5 1'", "'dense 12'", "cannot become (5, 5, 1)"),
            ("no kernel", "'reshape 3 4 1' 'conv 3 0' flatten", "'dense 12'",
             "the kernel must be a whole number of at least 1, or a pair of them, not 0"),
            ("no stride", "'reshape 3 4 1' 'conv 3 3 0' flatten", "'dense 12'",
             "the stride must be a whole number of at least 1, or a pair of them, not 0"),
            ("no channels", "'reshape 3 4 1' 'conv 0 3' flatten", "'dense 12'",
             "at least 1, not 0"),
            ("an image for an encoder's end", "'reshape 3 4 1' 'conv 3 3'", "'dense 12'",
             "takes rows of one dimension, not of shape (3, 4, 3)"),
        )
    },
    # choices: argparse lists what there is
    **{
        f"an unknown {name}": (f"--{name} magic", f"argument --{name}: invalid choice: 'magic'")
        for name in ("binarize", "mean", "head", "init", "dtype", "device")
    },
    **{
        f"an unknown {name}": (f"--{name} {near}", f"Did you mean '{meant}'?")
        for name, near, meant in (
            ("activation", "rellu", "relu"), ("likelihood", "gauss", "gaussian"),
            ("optimizer", "adm", "adam"), ("estimator", "iwea", "iwae"),
            ("posterior", "planer", "planar"),
        )
    },
    "a likelihood of no module": (
        "--likelihood nowhere:Laplace",
        "(No module named 'nowhere'): go to the folder that nowhere.py is in, or add that folder "
        "to PYTHONPATH",
    ),
    "a likelihood of no class": ("--likelihood math:Laplace", "Laplace is not there"),
    "a likelihood that is none": ("--likelihood pathlib:Path", "is not a subclass of Likelihood"),
    **{
        f"words for {name}": (f"--{name} many", f"argument --{name}: invalid")
        for name in ("latent-dim", "hidden", "samples", "epochs", "batch-size", "seed", "clip",
                     "beta", "std", "validation", "patience", "workers", "pieces", "verify-every")
    },
    "words for lr": ("--lr many", "it must be a positive number or a schedule"),
    "half an epoch": ("--epochs 1.5", "invalid int value: '1.5'"),
    "an unknown option": ("--xyz 3", "unrecognized arguments: --xyz 3. See scratchvae train"),
    "an option misspelt": ("--lattent-dim 3", "Did you mean '--latent-dim'? See scratchvae train"),
    # where it goes
    "an output folder that holds another run": ("--out run", "run holds another run already"),
    "an output folder that holds something else": (
        "--out thesis", "thesis is not empty and holds no run: choose another --out",
    ),
    "an output that is a file": ("--out table.csv", "table.csv cannot hold a run"),
    "an output below a file": ("--out table.csv/run", "table.csv/run cannot hold a run"),
    "an output with a name too long": (f"--out {'x' * 300}", "cannot hold a run: File name too"),
    "the current folder": ("--out .", "is not empty and holds no run"),
    "no output folder": ("--out=", "is not empty and holds no run"),
    "a link that leads to itself": ("--out loop", "loop cannot hold a run: "),
    "a folder below it": ("--out loop/run", "cannot hold a run: Too many levels of symbolic links"),
    "a file system that holds no folders": ("--out /proc/run", "cannot hold a run: No such file"),
    "a device that is no folder": ("--out /dev/null/run", "cannot hold a run: Not a directory"),
}  # fmt: skip

ROWS: Table = {
    name: (f"{TINY} {options}" + ("" if "--out" in options else " --out never"), fragment)
    for name, (options, fragment) in CASES.items()
}


@pytest.mark.parametrize("case", ROWS)
def test_settings_that_cannot_be_are_refused(case: str, world, capsys) -> None:
    refuses(world, *ROWS[case], capsys)
