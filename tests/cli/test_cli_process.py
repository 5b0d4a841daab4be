"""The command line as a process: entry points, streams, terminals, pipes."""

import json
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest

from scratchvae import __version__

COMMANDS = (
    "train", "verify", "reproduce", "evaluate", "complete", "plot", "replay", "estimators",
    "gradcheck", "exercises", "info", "explain", "explore",
    "export", "completion",
)  # fmt: skip


def process(python, outside, *argv: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python, *argv], env=outside, capture_output=True, text=True, timeout=120, **more
    )


def test_python_m_scratchvae_knows_its_version(python, outside) -> None:
    done = process(python, outside, "--version")
    assert (done.returncode, done.stdout) == (0, f"scratchvae {__version__}\n")


def test_a_whole_training_and_evaluation_as_processes(python, outside, here, tiny_train) -> None:
    done = process(python, outside, *tiny_train, "--out", "run", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    trained = json.loads(done.stdout)
    done = process(python, outside, "evaluate", "run", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["loss"] == trained["test_loss"]


def test_a_mistake_is_one_sentence_and_exit_code_2(python, outside, here) -> None:
    done = process(python, outside, "evaluate", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "scratchvae: nowhere holds no run: there is no config.json in it\n"


def test_a_disk_that_fills_up_leaves_the_last_good_checkpoint_to_go_on_from(
    python, outside, here, tiny_train
) -> None:
    """A checkpoint in the middle of an epoch is larger: files may not be as large as that."""
    resource = pytest.importorskip("resource")
    argv = [*tiny_train, "--quiet", "--epochs", "3"]
    assert process(python, outside, *argv, "--out", "whole").returncode == 0
    expected = (here / "whole" / "checkpoint.npz").read_bytes()
    limit = len(expected) + 100
    done = process(
        python, outside, *argv, "--out", "run", "--checkpoint-every", "6",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "scratchvae: run/checkpoint.npz cannot be written: File too large; the one before it "
        "stays\n"
    )
    assert sorted(p.name for p in (here / "run").iterdir()) == [
        "checkpoint.npz", "config.json", "metrics.jsonl",
    ]  # fmt: skip
    assert process(python, outside, "verify", "run").returncode == 0
    assert process(python, outside, "train", "--resume", "run").returncode == 0
    assert (here / "run" / "checkpoint.npz").read_bytes() == expected


def test_an_overflow_prints_no_warning(python, outside, here, tiny_train) -> None:
    done = process(python, outside, *tiny_train, "--lr", "1e30", "--batch-size", "27", "--quiet")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_cannot_show_a_sign_gets_an_escape(
    python, outside, here, tiny_train, encoding, cli
) -> None:
    cli(*tiny_train, "--out", "run")
    more = {"PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [*python, "evaluate", "run", "--quiet"], env=outside | more, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode(encoding)
    assert ("±" in shown) == (encoding != "ascii")
    assert ("\\xb1" in shown) == (encoding == "ascii")


def test_a_reader_that_has_gone_away_is_no_error(python, outside) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*python, "info", "--json"], env=outside, stdout=write, stderr=subprocess.PIPE,
            text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def on_a_terminal(
    argv: list[str], env: dict[str, str], folder: Path, columns: int = 100
) -> tuple[int, str, str]:
    """Exit code, stdout, and what a person sees on the terminal that stderr is."""
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    person, terminal = pty.openpty()
    fcntl.ioctl(
        terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24 * bool(columns), columns, 0, 0)
    )
    with subprocess.Popen(
        argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=terminal, text=True
    ) as running:
        os.close(terminal)
        seen = bytearray()
        while True:
            try:
                data = os.read(person, 4096)
            except OSError:  # the terminal is closed when the last process that holds it ends
                break
            if not data:
                break
            seen += data
        os.close(person)
        out, _ = running.communicate(timeout=60)
    return running.returncode, out, seen.decode()


@pytest.mark.parametrize("columns", [100, 60, 0])  # 0: a terminal that does not say
def test_on_a_terminal_a_bar_shows_steps_and_losses(
    python, outside, here, tiny_train, columns
) -> None:
    argv = [*python, *tiny_train, "--out", "run"]
    code, out, seen = on_a_terminal(argv, outside | {"TERM": "xterm"}, here, columns)
    assert code == 0
    last = json.loads((here / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert "\r" in seen
    assert columns < 100 or "step 8/8" in seen
    assert re.search(rf"epoch 2/2  train \S+  test {last['test_loss']:.2f} nats  100%", seen)
    assert "reconstruction" not in seen  # no lines beside the bar
    assert max(map(len, re.split(r"[\r\n]+", seen.partition("figures")[0]))) <= (columns or 80)
    assert out.startswith("run: run")


def test_on_a_terminal_quiet_is_quiet_too(python, outside, here, tiny_train) -> None:
    argv = [*python, *tiny_train, "--quiet", "--json"]
    code, out, seen = on_a_terminal(argv, outside, here)
    assert (code, seen) == (0, "")
    assert json.loads(out)["epoch"] == 2


# ---- help -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(cli, command) -> None:
    answer = cli(command, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert re.search(rf"examples?:\n  scratchvae {command}", answer.out)


def test_descriptions_wrap_to_the_terminal_and_commands_stay_whole(cli, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = cli("reproduce", "--help").out.splitlines()
    start = lines.index("Train a tutorial's model with the tutorial's settings and")
    assert lines[start + 1] == "compare the result with its published figures."
    assert "  scratchvae reproduce gluon --seeds 3 --out runs/gluon" in lines


def test_the_help_names_every_command_with_examples(cli) -> None:
    answer = cli("--help")
    assert answer.code == 0
    for command in (*COMMANDS, "gradcheck"):
        assert f"  scratchvae {command}" in answer.out


def test_the_examples_in_the_help_can_be_parsed(cli) -> None:
    from scratchvae.cli.main import make_parser

    texts = [cli(*command, "--help").out for command in ([], *([c] for c in COMMANDS))]
    examples = [
        re.split(r"\s{3,}", line.strip())[0].split()[1:]
        for text in texts
        for line in re.split(r"examples?:\n", text)[1].splitlines()
        if line.strip()
    ]
    assert len(examples) >= 15
    for argv in examples:
        make_parser().parse_args(argv)


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_every_help_can_be_written_to_a_file_of_any_encoding(
    python, outside, command, encoding
) -> None:
    argv = [*python, *command.split(), "--help"]
    done = subprocess.run(
        argv, env=outside | {"PYTHONIOENCODING": encoding}, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding).startswith("usage: scratchvae")
    assert b"\\" not in done.stdout  # nothing had to be escaped


def test_without_a_command_there_is_the_help(cli) -> None:
    answer = cli()
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == cli("--help").out


def test_an_error_of_the_parser_is_one_line_in_any_encoding(python, outside) -> None:
    done = subprocess.run(
        [*python, "train", "--activation", "rélu"],
        env=outside | {"PYTHONIOENCODING": "ascii:strict"}, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"scratchvae")
    assert b"id you mean 'relu'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_only_info_says_why_there_is_no_gpu(cli, here, tiny_train, monkeypatch) -> None:
    monkeypatch.setattr("scratchvae.cli.info.why_no_gpu", lambda: "CuPy is not installed")
    argv = [word for word in tiny_train if word not in ("--device", "cpu")]
    answer = cli(*argv, "--out", "run")
    assert "device: cpu, float32\n" in answer.err
    assert "CuPy" not in answer.err
    assert "GPU             CuPy is not installed" in cli("info").out


def test_a_command_draws_whatever_backend_matplotlib_is_told_to_use(
    python, outside, here, tiny_train
) -> None:
    argv = [word for word in tiny_train if word != "--no-figures"]
    outside = outside | {"MPLBACKEND": "no-such-backend"}
    done = process(python, outside, *argv, "--out", "run", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert (here / "run" / "figures" / "losses.png").exists()


def test_the_help_of_train_names_every_option_of_the_issue(cli) -> None:
    text = cli("train", "--help").out
    options = (
        "--data --binarize --hidden --activation --latent-dim --likelihood --beta --samples "
        "--optimizer --lr --epochs --batch-size --seed --device --dtype --out --data-dir "
        "--validation --patience --json --quiet --resume --checkpoint-every --change-settings"
    )
    for option in options.split():
        assert f"{option} " in text or f"{option}\n" in text, option
