"""Every mistake of a user of the other commands, and what the table as a whole must be.

A mistake ends in one sentence, exit code 2, no traceback, and nothing written or lost.
"""

import json
import os

import pytest
from bad_input import TINY, Table, refuses

from scratchvae.backend import why_no_gpu
from scratchvae.cli.main import main

COMPLETE = "complete run --no-figures --quiet --out never"
ESTIMATORS = (
    "estimators --data tiny.npz --epochs 1 --draws 20 --batch-size 8 --hidden 8 --quiet "
    "--no-figures --out never"
)

ROWS: Table = {
    "an unknown command": ("trian", "invalid choice: 'trian'. Did you mean 'train'? There are:"),
    "an unknown option of all": ("--colour info", "unrecognized arguments: --colour"),
    # evaluate
    "evaluate: no run named": ("evaluate", "the following arguments are required: RUN"),
    "evaluate: two runs": ("evaluate run wider", "unrecognized arguments: wider"),
    "evaluate: no samples": ("evaluate run --samples 0 --quiet", "samples must be at least 1"),
    "evaluate: more samples than memory": (
        f"evaluate run --samples {10**30} --quiet", "not enough memory: an array of the",
    ),
    "evaluate: no samples for log p(x)": ("evaluate run --nll 0", "--nll must be at least 1, not"),
    "evaluate: more samples for log p(x) than 64 bits hold": (
        f"evaluate run --nll {10**60}", "--nll must be at most 2⁶³ − 1, not 10000",
    ),
    "evaluate: a negative draw": (
        "evaluate run --binarize dynamic --draw -1 --quiet", "--draw must be at least 0, not -1",
    ),
    "evaluate: no draws": (
        "evaluate run --binarize dynamic --nll 2 --draws 0", "--draws must be at least 1, not 0",
    ),
    "evaluate: negative samples for log p(x)": ("evaluate run --nll -3", "at least 1, not -3"),
    "evaluate: a split that was not held out": (
        "evaluate run --split validation --quiet", "run was trained without a validation split",
    ),
    "evaluate: an unknown split": ("evaluate run --split all", "invalid choice: 'all'"),
    "evaluate: an unknown protocol": ("evaluate run --binarize sharp", "invalid choice: 'sharp'"),
    "evaluate: one protocol and all": (
        "evaluate run --binarize none --all-protocols", "not allowed with argument --binarize",
    ),
    "evaluate: images for no diagnosis": (
        "evaluate run --images 5 --quiet", "about a diagnosis: ask for it with --diagnose",
    ),
    "evaluate: a diagnosis of one image": (
        "evaluate run --diagnose --images 1 --quiet", "--images must be at least 2, not 1",
    ),
    "evaluate: a diagnosis of the training images": (
        "evaluate run --diagnose --split train", "training images with others: leave out --split",
    ),
    "evaluate: an unknown device": ("evaluate run --device tpu", "invalid choice: 'tpu'"),
    # exercises
    "exercises: no action": ("exercises", "the following arguments are required: ACTION"),
    "exercises: an unknown action": ("exercises solve kl", "invalid choice: 'solve'"),
    "exercises: no folder": ("exercises new", "exercises new needs DIR: scratchvae exercises new"),
    "exercises: a folder that exists": (
        "exercises new run", "run exists already, and nothing is written over",
    ),
    "exercises: a folder below a file": (
        "exercises new table.csv/mine", "cannot be made: Not a directory",
    ),
    "exercises: a folder without exercises": ("exercises check run", "there are no exercises in"),
    "exercises: no time": ("exercises check run --seconds 0", "--seconds must be at least 1, not"),
    "exercises: an unknown name": ("exercises hint kll", "no exercise 'kll'. Did you mean 'kl'?"),
    "exercises: an unknown bug": ("exercises solution bug_99", "no bug 'bug_99'. Did you mean"),
    "exercises: a name too many": ("exercises hint kl adam", "takes one argument, NAME, not"),
    # weights of others, and for others
    "evaluate: weights that are not there": (
        "evaluate run --weights no.safetensors --quiet", "no weights file at no.safetensors",
    ),
    "evaluate: weights that are a folder": (
        "evaluate run --weights thesis --quiet", "there is no weights file at thesis",
    ),
    "evaluate: weights that are something else": (
        "evaluate run --weights tiny.npz --quiet", "tiny.npz is not a safetensors file, or damaged",
    ),
    "evaluate: weights cut off": (
        "evaluate run --weights cut.safetensors --quiet", "is not a safetensors file, or damaged",
    ),
    "evaluate: a flipped bit in the weights": (
        "evaluate run --weights flipped.safetensors --quiet", "flipped.safetensors is damaged",
    ),
    "evaluate: the weights of another model": (
        "evaluate run --weights wider.safetensors --quiet", "belongs to another model",
    ),
    "export: no file named": ("export run", "arguments are required: FILE.safetensors"),
    "export: no run": ("export nowhere x.safetensors", "nowhere holds no run"),
    "export: a damaged run": ("export damaged-checkpoint x.safetensors", "is damaged, or no file"),
    "export: another ending": ("export run x.npz", "weights file must end in .safetensors"),
    "export: a name that is taken": ("export run run.safetensors", "exists already: choose"),
    "export: below a file": ("export run table.csv/x.safetensors", "cannot be written: Not a dir"),
    "export: below nothing": ("export run no/x.safetensors", "cannot be written: No such file"),
    "export: a name too long": (
        f"export run {'x' * 300}.safetensors", "cannot be written: File name too long",
    ),
    # complete
    "complete: an unknown mask": (f"{COMPLETE} --mask middle", "is not one of top, bottom, left,"),
    "complete: a mask that is not there": (f"{COMPLETE} --mask no.npy", "no such file; check the"),
    "complete: a mask of another size": (
        f"{COMPLETE} --mask mask-size.npy", "the mask has the shape (4, 4), but the images have 3",
    ),
    "complete: a mask of nothing": (
        f"{COMPLETE} --mask mask-nothing.npy", "observes nothing: at least one pixel has to be",
    ),
    "complete: a mask of floats": (
        f"{COMPLETE} --mask mask-floats.npy", "a mask holds booleans, True where observed",
    ),
    "complete: a mask cut off": (f"{COMPLETE} --mask truncated.npy", "444 bytes of data and 344"),
    "complete: a mask of another kind": (f"{COMPLETE} --mask table.csv", "nor a .npy file"),
    "complete: an unknown split": (f"{COMPLETE} --split all", "invalid choice: 'all'"),
    "complete: an image beyond the last": (f"{COMPLETE} --image 10", "names images that are not"),
    "complete: an image before the first": (f"{COMPLETE} --image -1", "the test split has 10"),
    "complete: no images": (f"{COMPLETE} --count 0", "names images that are not there"),
    "complete: more images than there are": (f"{COMPLETE} --count 11", "names images that are not"),
    "complete: an unknown preset": (f"{COMPLETE} --preset gluon", "invalid choice: 'gluon'"),
    "complete: no steps": (f"{COMPLETE} --steps 0", "steps is 0, but it must be a whole num"),
    **{
        f"complete: a rate of {rate}": (f"{COMPLETE} --rate={rate}", "it must be a positive number")
        for rate in ("0", "-1", "nan", "inf")
    },
    "complete: a rate at which it diverges": (
        f"{COMPLETE} --rate 1000 --steps 9", "diverged at a rate of 1000: choose a smaller one",
    ),
    "complete: no samples": (f"{COMPLETE} --samples 0", "samples is 0, but it must be a whole num"),
    "complete: more samples than memory": (
        f"{COMPLETE} --samples {2**62}", "not enough memory: an array of the shape",
    ),
    "complete: more samples than 64 bits hold": (
        f"{COMPLETE} --samples {10**30}", "at least 1, at most 2⁶³ − 1",
    ),
    "complete: more steps than 64 bits hold": (
        f"{COMPLETE} --steps {10**60}", "at least 1, at most 2⁶³ − 1",
    ),
    "complete: no samples at last": (f"{COMPLETE} --final-samples 0", "final_samples is 0, but it"),
    "complete: more samples at last than memory": (
        f"{COMPLETE} --steps 1 --final-samples {2**62}", "not enough memory: an array",
    ),
    "complete: an unknown optimizer": (f"{COMPLETE} --optimizer lbfgs", "invalid choice: 'lbfgs'"),
    "complete: an unknown KL": (f"{COMPLETE} --kl reverse", "invalid choice: 'reverse'"),
    "complete: a negative seed": (f"{COMPLETE} --seed -1", "seed is -1, but it must be from 0 to"),
    "complete: a seed beyond 64 bits": (f"{COMPLETE} --seed {2**64}", "it must be from 0 to 2"),
    "complete: into a file": (f"{COMPLETE} --out table.csv", "File exists: 'table.csv'"),
    "complete: into a link to itself": (f"{COMPLETE} --out loop", "File exists: 'loop'"),
    "complete: an unknown device": (f"{COMPLETE} --device tpu", "invalid choice: 'tpu'"),
    # explain
    "explain: no run named": ("explain", "the following arguments are required: RUN"),
    "explain: an image below zero": ("explain run --image -1 --quiet", "must be at least 0"),
    "explain: an image that is not there": (
        "explain run --image 27 --quiet", "but the training images are numbered 0 to 26",
    ),
    "explain: a file that is there": ("explain run --out tiny.npz", "exists already: choose"),
    "explain: a link to itself": ("explain run -o loop", "exists already: choose another name"),
    "explain: below a file": ("explain run -o table.csv/x.html", "cannot be written: Not a dir"),
    "explain: below nothing": ("explain run -o no/x.html", "cannot be written: No such file"),
    # explore
    "explore: no run named": ("explore", "the following arguments are required: RUN"),
    "explore: a file that is there": ("explore run --out tiny.npz", "exists already: choose"),
    "explore: below a file": ("explore run -o table.csv/x.html", "cannot be written: Not a dir"),
    # plot
    "plot: no run named": ("plot", "the following arguments are required: RUN"),
    "plot: into a file": ("plot run --out table.csv --quiet", "it is a file, not a folder"),
    "plot: below a file": ("plot run --out table.csv/x --quiet", "Not a directory: 'table.csv/x'"),
    "plot: into a link to itself": ("plot run --out loop --quiet", "File exists: 'loop'"),
    "plot: damaged numbers": ("plot bad-metrics --quiet", "line 1 does not describe an epoch"),
    "plot: an unknown device": ("plot run --device tpu", "invalid choice: 'tpu'"),
    # reproduce
    "reproduce: an unknown study": (
        "reproduce gloun --quiet", "Did you mean 'gluon'? There are: gluon, keras-conv, pytorch",
    ),
    "reproduce: no study named": (
        "reproduce", "name one study, or ask for --all; there are: gluon",
    ),
    "reproduce: an unknown likelihood": (
        "reproduce gluon --likelihood poisson", "likelihood is 'poisson', but it must be one of",
    ),
    "reproduce: a study of no name": ("reproduce ''", "unknown study ''. There are: gluon"),
    "reproduce: an unknown variant": (
        "reproduce iwae --variant nope", "invalid choice: 'nope'. There are: code, paper",
    ),
    "reproduce: an unknown objective": (
        "reproduce iwae --objective nope", "invalid choice: 'nope'. There are: vae, iwae",
    ),
    "reproduce: no samples": ("reproduce iwae --k 0", "--k is 0, but an image has at least one"),
    "reproduce: no stages": ("reproduce iwae --stages 0", "but the study has the stages 1 to 8"),
    "reproduce: a change of nothing": (
        "reproduce iwae --ablation nope", "the study iwae changes no point 'nope'. There are: bias",
    ),
    "reproduce: no samples of log p(x)": (
        "reproduce iwae --nll-samples 0", "--nll-samples must be at least 1, not 0",
    ),
    "reproduce: stages of no run": (
        "reproduce iwae --resume nowhere", "nowhere holds no study in stages: there is no study",
    ),
    "reproduce: two studies": ("reproduce gluon flux", "unrecognized arguments: flux"),
    "reproduce: one and all": ("reproduce gluon --all", "name one study, or ask for --all"),
    "reproduce: no seeds": ("reproduce gluon --seeds 0 --quiet", "--seeds must be at least 1"),
    "reproduce: negative seeds": ("reproduce gluon --seeds -2", "must be at least 1, not -2"),
    "reproduce: more seeds than 64 bits hold": (
        f"reproduce gluon --seeds {10**60}", "--seeds must be at most 2⁶³ − 1, not 10000",
    ),
    "reproduce: no epochs": ("reproduce gluon --epochs 0 --quiet", "--epochs must be at least 1"),
    "reproduce: into another run": ("reproduce gluon --out run --quiet", "holds another run"),
    "reproduce: into a file": ("reproduce gluon --out table.csv --quiet", "cannot hold a run"),
    "reproduce: no network": ("reproduce gluon --quiet", "no mirror delivered"),
    "reproduce: a folder without MNIST": (
        "reproduce gluon --data-dir nowhere --quiet", "the data folder nowhere is not a folder",
    ),
    "reproduce: an unknown device": ("reproduce gluon --device tpu", "invalid choice: 'tpu'"),
    # replay
    "replay: no file named": ("replay", "the following arguments are required: FILE"),
    "replay: nothing there": ("replay nowhere.npz", "there is no replay file at nowhere.npz"),
    "replay: no name": ("replay ''", "cannot be read: Is a directory"),
    "replay: a folder": ("replay thesis", "thesis cannot be read: Is a directory"),
    "replay: a link to itself": ("replay loop", "cannot be read: Too many levels of symbolic"),
    "replay: images": ("replay tiny.npz", "tiny.npz is damaged, or no file of scratchvae"),
    "replay: a checkpoint": ("replay run/checkpoint.npz", "is not a replay file of scratchvae"),
    "replay: a text": ("replay table.csv", "table.csv is damaged, or no file of scratchvae"),
    "replay: a file cut off": ("replay cut-replay.npz", "is damaged, or no file of scratchvae"),
    # estimators
    "estimators: an unknown data set": (f"{ESTIMATORS} --data minst", "Did you mean 'mnist'?"),
    "estimators: NaN": (f"{ESTIMATORS} --data nan.npy", "1 of 444 values are NaN or infinite"),
    "estimators: an unknown protocol": (
        f"{ESTIMATORS} --binarize sharp", "There are: none, threshold, dynamic, static",
    ),
    "estimators: a hidden layer of nothing": (f"{ESTIMATORS} --hidden 0", "hidden is (0,), but it"),
    "estimators: one sample": (f"{ESTIMATORS} --samples 1", "needs at least 2 samples per image"),
    "estimators: no samples": (f"{ESTIMATORS} --samples 0", "samples is 0, but it must be a whole"),
    "estimators: more draws than could ever be made": (
        f"{ESTIMATORS} --draws {10**60}", "draws must be at least 20 and below 2",
    ),
    "estimators: too few draws": (f"{ESTIMATORS} --draws 19", "draws must be at least 20 and"),
    "estimators: no epochs": (f"{ESTIMATORS} --epochs 0", "epochs is 0, but it must be a whole"),
    "estimators: a batch of none": (f"{ESTIMATORS} --batch-size 0", "batch_size is 0, but it must"),
    "estimators: a batch larger than the data": (
        f"{ESTIMATORS} --batch-size 28", "there are only 27 training images",
    ),
    **{
        f"estimators: a rate of {rate}": (f"{ESTIMATORS} --lr={rate}", "it must be a positive num")
        for rate in ("0", "-1", "nan", "inf")
    },
    "estimators: a schedule": (f"{ESTIMATORS} --lr cosine:1:0:5", "invalid float value: 'cosine:1"),
    "estimators: a negative seed": (f"{ESTIMATORS} --seed -1", "seed is -1, but it must be from 0"),
    "estimators: a folder without MNIST": (
        f"{ESTIMATORS} --data mnist --data-dir nowhere", "the data folder nowhere is not a folder",
    ),
    "estimators: into another run": (f"{ESTIMATORS} --out run", "run holds another run already"),
    "estimators: into a file": (f"{ESTIMATORS} --out table.csv", "table.csv cannot hold a run"),
    "estimators: an unknown device": (f"{ESTIMATORS} --device tpu", "invalid choice: 'tpu'"),
    # gradcheck and info
    "gradcheck: an unknown method": (
        "gradcheck --method exact", "method 'exact' is not one of complex, central, five_point",
    ),
    "gradcheck: an unknown operation": ("gradcheck --only swish", "no operation is called 'swish'"),
    "gradcheck: bugs in some operations": (
        "gradcheck --planted-bugs --only relu", "goes with neither --method, --only nor --thorough",
    ),
    "gradcheck: bugs by another method": (
        "gradcheck --planted-bugs --method central", "goes with neither --method, --only nor --th",
    ),
    "gradcheck: bugs at more points": (
        "gradcheck --planted-bugs --thorough", "goes with neither --method, --only nor --thorough",
    ),
    "completion: no shell named": ("completion", "arguments are required: SHELL. See scratchvae"),
    "completion: an unknown shell": ("completion fisch", "Did you mean 'fish'? There are: bash"),
    "info: an argument": ("info colours", "unrecognized arguments: colours"),
    "info: an unknown option": ("info --colour", "unrecognized arguments: --colour"),
}  # fmt: skip

NO_GPU_ROWS = {
    "train": f"{TINY} --device cuda --out never",
    "evaluate": "evaluate run --device cuda --quiet",
    "plot": "plot run --device cuda --quiet",
    "complete": f"{COMPLETE} --device cuda",
    "estimators": f"{ESTIMATORS} --device cuda",
}


@pytest.mark.parametrize("case", ROWS)
def test_a_mistake_is_refused(case: str, world, capsys) -> None:
    refuses(world, *ROWS[case], capsys)


@pytest.mark.skipif(why_no_gpu() is None, reason="there is a GPU here")
@pytest.mark.parametrize("command", NO_GPU_ROWS)
def test_a_gpu_that_is_not_there_is_refused_with_the_reason(command, world, capsys) -> None:
    refuses(world, NO_GPU_ROWS[command], str(why_no_gpu()), capsys)


def test_a_folder_that_may_not_be_written_to_is_refused(world, capsys) -> None:
    locked = world / "locked"
    locked.mkdir(exist_ok=True)
    locked.chmod(0o500)
    if os.access(locked, os.W_OK):
        locked.rmdir()
        pytest.skip("root may write everywhere")
    try:
        lines = [f"{start} --out locked" for start in (TINY, COMPLETE, ESTIMATORS, "plot run")]
        for line in (*lines, f"{TINY} --out locked/run"):
            refuses(world, line, "Permission denied", capsys)
    finally:
        locked.chmod(0o700)
        locked.rmdir()


def test_the_good_run_beside_all_the_bad_ones_still_evaluates(world, capsys) -> None:
    """What the rows above refuse is refused for what is wrong with it, not for the place."""
    assert main(["evaluate", "run", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 10


def test_every_message_of_quiet_and_of_json_is_the_same_sentence(world, capsys) -> None:
    errors = []
    for options in (["--quiet"], ["--json", "--quiet"]):
        assert main(["evaluate", "nowhere", *options]) == 2
        errors.append(capsys.readouterr())
    assert errors[0] == errors[1]
