"""The report of a run: its result and protocol, figures, settings, and how it came about."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from scratchvae.config import TrainConfig
from scratchvae.evaluation import describe_protocol
from scratchvae.figures.captions import DATA, LATENT, captioned
from scratchvae.models import Model
from scratchvae.pages.document import (
    Section,
    document_link,
    equations_section,
    figures_of,
    fold,
    page_of,
    pictures,
    settings_list,
    table,
    text,
    tiles,
    widest,
)
from scratchvae.pages.film import film_of
from scratchvae.runs import RunFolder, Snapshots, best_of
from scratchvae.storage.atomic import write_bytes
from scratchvae.studies.equations import equations_of
from scratchvae.studies.reproduce import plural
from scratchvae.training import Prepared
from scratchvae.types import Json, JsonView

# Shown first; of the others those that are no defaults.
THAT_MATTER = (
    "data", "binarize", "hidden", "activation", "encoder", "decoder", "latent_dim", "likelihood",
    "beta", "estimator", "samples", "optimizer", "lr", "batch_size", "epochs", "seed",
)  # fmt: skip

# Pages of a run that other commands make: file, command, and what one does there.
INTERACTIVE = (
    ("explorer.html", "explore", "move through the latent space, the decoder running in the page"),
    ("explain.html", "explain", "one training step, forward and backward, number by number"),
)


def write_run_report(run: RunFolder, prepared: Prepared, model: Model) -> Path:
    """Write report.html into a run's folder, of its numbers, figures and film; returns its path.

    ``model`` names the protocol; its parameters are not looked at.
    """
    config, page = prepared.config, run.report_path.resolve()
    settings, metrics = run.settings(), run.metrics()
    _, best = best_of(metrics, run.objective_since(config, len(metrics)))
    name = Path(prepared.dataset.name).name
    figures = pictures(captioned(run.figures_path))
    pixels = model.vae.pixels
    equations = equations_of(config, pixels)
    known = {label for statement in equations for label in statement.labels}
    head = [
        f"<h1>{text(name)}, {plural(config.latent_dim, 'latent unit')}</h1>",
        f'<p class="soft">A variational autoencoder, {text(config.describe_model(pixels))}; '
        f"{text(_data_in_words(prepared))}. {text(_date_in_words(settings, metrics))}</p>",
        _result(config, model, metrics, best),
    ]
    sections = [
        *figures_of(figures, known),
        Section("Settings", _settings(config)),
        Section("How it came about", _provenance(run, config, settings)),
        Section("Go on", _go_on(run, page)),
        equations_section(page, equations),
    ]
    film = film_of(Snapshots.load(run.snapshots_path), prepared.dataset)
    sections = [s._replace(is_open=s.title != DATA and s.is_open) for s in sections]
    sections = [s._replace(body=film + s.body) if s.title == LATENT else s for s in sections]
    content = page_of(f"{name}: report of a run", "\n".join(head), sections, widest(figures))
    write_bytes(page, content.encode())
    return run.report_path


def _data_in_words(prepared: Prepared) -> str:
    what = "image" if prepared.dataset.image_shape else "row"
    held_out = "" if prepared.validation is None else (
        f", {len(prepared.validation):,} of validation"
    )  # fmt: skip
    return (
        f"{plural(len(prepared.train), f'training {what}')}{held_out}, "
        f"{plural(len(prepared.test), f'test {what}')}"
    )


def _date_in_words(settings: JsonView, metrics: list[Json]) -> str:
    seconds = sum(line["seconds"] for line in metrics)
    took = f"{seconds:.{int(seconds < 10)}f} seconds"
    if seconds >= 600:
        took = f"{seconds / 60:.0f} minutes"
    trained = f"{plural(len(metrics), 'epoch')} in {took}."
    begun = settings.get("begun")
    return f"Begun {str(begun)[:10]}, {trained}" if begun else trained


def _result(config: TrainConfig, model: Model, metrics: list[Json], best: int | None) -> str:
    """The numbers of the best epoch where one was chosen, else of the last; and their protocol."""
    numbers = metrics[(best or len(metrics)) - 1] if metrics else {}
    shown_numbers = {}
    if "test_loss" in numbers:
        loss = "test −ELBO" if config.beta == 1 else f"test loss, β = {config.beta:g}"
        shown_numbers = {
            loss: f"{numbers['test_loss']:.2f}",
            "reconstruction": f"{numbers['test_reconstruction']:.2f}",
            "KL": f"{numbers['test_kl']:.2f}",
        }
    if numbers:
        shown_numbers["training loss"] = f"{numbers['train_loss']:.2f}"
    protocol = describe_protocol(model, config.binarize, config.seed)
    after = f"after epoch {numbers['epoch']}" if numbers else "before the first epoch"
    chosen = "" if best is None else ", the best on the validation split"
    total = "reconstruction + KL" if config.beta == 1 else "reconstruction + β KL"
    return (
        f'<div class="result">{tiles(shown_numbers)}'
        f'<p class="small">Nats per image {after}{chosen}; the loss is {total}. Test protocol: '
        f"{text(protocol)}. Training loss: {text(config.describe_train_loss())}.</p></div>"
    )


def _settings(config: TrainConfig) -> str:
    everything, defaults = config.to_json(), TrainConfig().to_json()
    used = config.in_use()
    first = {name: used[name] for name in THAT_MATTER if used.get(name) not in (None, [])}
    first |= {name: value for name, value in used.items() if value != defaults[name]}
    return (
        settings_list(first, defaults)
        + '<p class="small soft">In bold: what differs from the default.</p>'
        + fold("All settings", settings_list(everything, defaults))
    )


def command_of(config: TrainConfig) -> str:
    """The command that trains with these settings."""
    defaults, words = TrainConfig().to_json(), ["scratchvae train"]
    for name, value in config.to_json().items():
        if value == defaults[name] or name == "max_level":  # which the data decide
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(f"--no-{name}")
        elif isinstance(value, list):
            words += [option, *(shlex.quote(str(v)) for v in value)]
        else:
            words += [option, shlex.quote(str(value))]
    return " ".join(words)


def _provenance(run: RunFolder, config: TrainConfig, settings: JsonView) -> str:
    """As far as config.json says it: runs of earlier versions recorded less."""
    machine, data = run.machine(), settings["data"]
    begun = str(settings.get("begun", "")).replace("T", " ").replace("+00:00", " UTC")
    where = [machine.get("processor"), machine.get("system"), _counted(machine, "cores")]
    kernel = settings.get("kernel")
    device = [
        settings.get("device"),
        kernel and f"kernel {kernel}",
        _counted(settings, "workers"),
        _counted(settings, "blas_threads"),
    ]
    versions = [f"{name} {version}" for name, version in settings.get("versions", {}).items()]
    fingerprint = data.get("fingerprint")
    facts = {
        "command": f"<code>{text(command_of(config))}</code>",
        "begun": text(begun),
        "seed": text(config.seed),
        "machine": _listed(where),
        "device": _listed(device),
        "versions": _listed(versions),
        "data": _listed([data.get("name"), fingerprint and f"SHA-256 {fingerprint}"]),
        "earlier": _earlier(settings),
    }
    kept = ((text(name), value) for name, value in facts.items() if value)
    return table((), kept, "words")


def _counted(settings: JsonView, name: str) -> str:
    """ "2 cores", "1 worker"; "" where nothing is recorded."""
    count = settings.get(name)
    words = name.replace("_", " ").replace("blas", "BLAS").removesuffix("s")
    return plural(count, words) if isinstance(count, int) else ""


def _listed(words: Iterable[object]) -> str:
    return text(", ".join(str(word) for word in words if word))


def _earlier(settings: JsonView) -> str:
    """The stretches of a run that went on elsewhere, or with other settings."""
    found = [e for e in settings.get("earlier", []) if isinstance(e, Mapping)]
    lines = [
        f"until step {text(e.get('until_step', '?'))} with another "
        f"{text(', '.join(sorted(set(e) - {'until_step', 'until_epoch'})))}"
        for e in found
    ]
    return "; ".join(lines)


def _go_on(run: RunFolder, page: Path) -> str:
    folder = shlex.quote(str(run.path))
    items = []
    for file, command, what in INTERACTIVE:
        link = f"<code>scratchvae {command} {text(folder)}</code>"
        if (run.path / file).exists():
            link = f'<a href="{file}">{file}</a>'
        items.append(f"{link}: {text(what)}.")
    for command, what in (
        (f"scratchvae evaluate {folder} --nll 500", "KL of each latent unit, and log p(x)"),
        (f"scratchvae compare {folder} OTHER", "this run beside others, in a table or on a page"),
        (f"scratchvae plot {folder}", "its figures and this page again"),
        (f"scratchvae verify {folder}", "whether its files are whole"),
    ):
        items.append(f"<code>{text(command)}</code>: {text(what)}.")
    read = [
        document_link(page, "tour.md", "The tour"),
        document_link(page, "derivations.md", "the derivations"),
        document_link(page, "equations.md", "each equation with its code and its tests"),
        document_link(page, "extending.md", "change something"),
        document_link(page, "exercises.md", "the exercises"),
    ]
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{listed}</ul><p>To read: {', '.join(read)}.</p>"
