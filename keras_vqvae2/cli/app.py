"""The command line: each command parses its flags into a `Config` and calls one function."""

import dataclasses
import inspect
import typing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from keras_vqvae2.cli.config import BEST_FILE, FILE_NAME, SIZES, WIRINGS, Config, read_options

app = typer.Typer(
    name="keras-vqvae2",
    help="Learn images by a VQ-VAE-2 and its codes by a PixelCNN prior, then generate new ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


def main():
    """Run the command line; an error of the user's is one line, not a traceback."""
    try:
        app()
    except ValueError as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
        raise SystemExit(1) from None


def _flag(name, kind, help, panel, default=None):
    """A keyword parameter that typer turns into an option, None where it is not given."""
    shown = False if default is None else str(default)
    option = typer.Option(help=help, rich_help_panel=panel, show_default=shown)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _config_flags(epochs, tuned):
    """The flags of every command: one for each field of `Config`, and some that set several."""
    types = typing.get_type_hints(Config)
    yield _flag("config", Path, "JSON file with fields to start from.", "Run")
    sizes = f"Architecture: {', '.join(SIZES)}. Other flags win over it."
    yield _flag("size", str, sizes, "Run")
    wirings = f"How its parts are put together: {', '.join(WIRINGS)}. Other flags win over it."
    yield _flag("wiring", str, wirings, "Run")
    if epochs:
        yield _flag("epochs", int, f"Sets {' and '.join(epochs)}.", "Run")
    if tuned:
        yield _flag("from_tuning", Path, "Folder of `tune`: take the options of its best.", "Run")
    for field in dataclasses.fields(Config):
        group, help = field.metadata["group"], field.metadata["help"]
        yield _flag(field.name, types[field.name], help, group, field.default)


def _resolve(config, epochs, options, tuned=None):
    """Make the `Config` of a command: what the run has saved, then the files, then the flags."""
    options = {name: value for name, value in options.items() if value is not None}
    if (count := options.pop("epochs", None)) is not None:
        options = {**dict.fromkeys(epochs, count), **options}
    from_file = read_options(config) if config else {}
    if (folder := options.pop("from_tuning", None)) is not None:
        from_file |= read_options(folder / tuned / BEST_FILE)
    given = {**from_file, **options}
    dataset = given.get("dataset", Config.dataset)
    run_dir = Path(given.get("run_dir", Path("runs") / Path(dataset).name))
    saved = run_dir / FILE_NAME
    start = Config.load(saved) if saved.exists() else Config()
    return start.updated(from_file).updated({**options, "run_dir": run_dir})


def _command(name, epochs=(), tuned=None):
    """Register a function of a `Config` as a command with a flag for each field.

    `epochs` names the fields that `--epochs` sets, `tuned` the folder of a search whose best
    `--from-tuning` takes. Further parameters of the function stay flags of their own.
    """

    def register(function):
        extra = list(inspect.signature(function).parameters.values())[1:]
        own = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in extra]

        def command(config=None, **options):
            more = {parameter.name: options.pop(parameter.name) for parameter in own}
            function(_resolve(config, epochs, options, tuned), **more)

        command.__signature__ = inspect.Signature([*own, *_config_flags(epochs, tuned)])
        command.__doc__ = function.__doc__
        app.command(name)(command)
        return function

    return register


Distribute = Annotated[
    str | None,
    typer.Option(help="Share the work: mirrored, multiworker or data-parallel."),
]


# The library is imported by the commands: `--help` and a wrong flag need not wait for it.


def _workers(kind, connect=True):
    """Take part in a training of several devices; without a connection, in their extraction."""
    from keras_vqvae2.cli.progress import console
    from keras_vqvae2.distribution import processes

    workers = processes.start(kind) if connect else processes.apart(kind)
    console.quiet = not workers.is_chief
    return workers


@_command("demo", epochs=("vqvae_epochs", "prior_epochs"))
def demo(config, distribute: Distribute = None):
    """Run all three stages, draw pictures and write a report."""
    workers = _workers(distribute)
    from keras_vqvae2.cli import stages

    stages.demo(config, workers)


@_command("train-vqvae", epochs=("vqvae_epochs",), tuned="vqvae2")
def train_vqvae(config, distribute: Distribute = None):
    """Stage 1: learn the images; goes on where an earlier call stopped."""
    workers = _workers(distribute)
    from keras_vqvae2.cli import stages

    stages.train_vqvae(config, workers)


@_command("extract-codes")
def extract_codes(config, distribute: Distribute = None):
    """Write the codes of the images to disk; goes on where an earlier call stopped."""
    workers = _workers(distribute, connect=False)
    from keras_vqvae2.cli import stages

    stages.extract(config, workers)


@_command("train-prior", epochs=("prior_epochs",), tuned="prior")
def train_prior(config, distribute: Distribute = None):
    """Stage 2: learn the codes; goes on where an earlier call stopped."""
    workers = _workers(distribute)
    from keras_vqvae2.cli import stages

    stages.train_prior(config, workers)


@_command("tune")
def tune(
    config,
    stage: Annotated[
        str | None, typer.Option(help="vqvae or prior; left out, one after the other.")
    ] = None,
    tuner: Annotated[str, typer.Option(help="random, hyperband or bayesian.")] = "random",
    objective: Annotated[
        str | None,
        typer.Option(
            help="Of stage 1: val_reconstruction_mse, val_codebook_usage or val_rate_distortion."
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Trials at most.")] = None,
    epochs: Annotated[int, typer.Option(help="Epochs of a trial at most.")] = 10,
    total_epochs: Annotated[
        int | None, typer.Option(help="Instead of --trials: epochs of all trials together.")
    ] = None,
    tradeoff: Annotated[
        float, typer.Option(help="Of val_rate_distortion: error worth a bit an image dimension.")
    ] = 0.1,
    max_parameters: Annotated[
        int | None, typer.Option(help="Refuse models with more parameters.")
    ] = None,
    max_memory: Annotated[
        float | None, typer.Option(help="Refuse models that take more MiB to train.")
    ] = None,
    space: Annotated[
        Path | None, typer.Option(help="JSON file: hyperparameters and the values to try.")
    ] = None,
):
    """Search for the options of both stages, in RUN_DIR/tuning; goes on where it stopped."""
    from keras_vqvae2.cli import tune as tuning

    search = tuning.Search(
        tuner=tuner,
        objective=objective,
        trials=trials,
        epochs=epochs,
        total_epochs=total_epochs,
        tradeoff=tradeoff,
        max_parameters=max_parameters,
        max_memory=max_memory,
        space=space,
    )
    tuning.tune(config, search, stage)


@_command("generate")
def generate(
    config,
    label: Annotated[
        str | None, typer.Option(help="Class of all images, by name or number.")
    ] = None,
):
    """Stage 3: draw samples.png from the prior and samples_random.png from random codes."""
    from keras_vqvae2.cli import results

    results.generate(config, label)


@_command("reconstruct")
def reconstruct(config):
    """Draw reconstructions.png: validation images, each beside its reconstruction."""
    from keras_vqvae2.cli import results

    results.reconstruct(config)


@_command("complete")
def complete(
    config,
    hide: Annotated[
        str, typer.Option(help="What to hide: top, bottom, left, right (halves) or center.")
    ] = "bottom",
):
    """Draw completions.png: validation images with a part hidden, completed in four ways."""
    from keras_vqvae2.cli import results

    results.complete(config, hide)


@_command("evaluate")
def evaluate(
    config,
    samples: Annotated[
        bool, typer.Option(help="Score samples too; --no-samples for the two stages alone.")
    ] = True,
    reference: Annotated[
        str | None,
        typer.Option(help="Split that samples are compared with; else 4/5 of the validation."),
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option(help="Split of other real images, as many as samples; else the other 1/5."),
    ] = None,
    extractor: Annotated[
        str, typer.Option(help="emoji32, fashion_mnist, inception_v3, a .keras file, or auto.")
    ] = "auto",
):
    """Measure both stages and samples; write report.json and neighbours.png."""
    from keras_vqvae2.cli import results

    results.write_report(config, samples, reference, held_out, extractor)


@_command("export")
def export(
    config,
    name: Annotated[
        str | None, typer.Option(help="Of the model on the server; by default the dataset's.")
    ] = None,
):
    """Write saved_model/: the next version of the run's models for TensorFlow Serving."""
    from keras_vqvae2.cli import export as export_command

    export_command.export_run(config, name)


@app.command("serve-command")
def serve_command(
    directory: Annotated[Path, typer.Argument(help="Folder of versions that `export` wrote.")],
    port: Annotated[int, typer.Option(help="For gRPC.")] = 8500,
    rest_port: Annotated[int, typer.Option(help="For REST.")] = 8501,
):
    """Print the commands that serve an exported model: the server's own, and docker's."""
    from keras_vqvae2.export import serving

    for line in serving.serve_command(directory, port, rest_port):
        typer.echo(line)


@_command("info")
def info(config):
    """Show the shapes and parameters of each part, and the memory that a batch takes."""
    from keras_vqvae2.cli import info

    info.show(config)
