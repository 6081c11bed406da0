"""The flags of the commands: one for each field of the config, and some that set several."""

import functools
from pathlib import Path

import click

from keras_vqvae2.cli.config import FLAGS, SIZES, WIRINGS, Config, flat, read_options, read_run
from keras_vqvae2.cli.run_folder import BEST_FILE, CONFIG_FILE

FILE = click.Path(path_type=Path)


class Command(click.Command):
    """A command whose help has an example, and its flags by the parts of the config that they set.

    Args:
        example: the words of a call, after the command's name.
    """

    def __init__(self, *args, example, **kwargs):
        super().__init__(*args, **kwargs)
        self.example = example

    def format_help_text(self, ctx, formatter):
        """Write what the command does, and the example; see `click.Command`."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Example"):
            formatter.write_text(f"{ctx.command_path} {self.example}")

    def format_options(self, ctx, formatter):
        """Write the flags, section by section; see `click.Command`."""
        sections = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class _Flag(click.Option):
    """A flag that is None where it is not given."""

    def __init__(self, name, kind, help, section="Run", shown=None):
        spelled = f"--{name.replace('_', '-')}"
        if kind is bool:
            spelled += f"/--no-{spelled[2:]}"
        if shown is not None:
            help += f"  [default: {', '.join(map(str, shown)) if type(shown) is tuple else shown}]"
        kind = FILE if kind is Path else None if kind is bool else kind
        super().__init__([spelled, name], type=kind, default=None, help=help)
        self.section = section


def config_command(name, example, *, epochs=(), tuned=None):
    """Make a command of a function of a config, with a flag for each field.

    Args:
        name: of the command.
        example: the words of a call, after the name.
        epochs: the fields that `--epochs` sets.
        tuned: folder of a search whose best `--from-tuning` takes.

    Returns:
        A decorator of a function `(config, **options)` with options of `click.option`, which
        returns a `click.Command`.

    Example:

    ```python
    @config_command("generate", "--num-samples 16")
    @click.option("--label", help="Class of all images.")
    def command(config, label): ...
    ```
    """

    def decorate(function):
        own = [option.name for option in getattr(function, "__click_params__", ())]

        @functools.wraps(function)
        def callback(**values):
            options = {name: values.pop(name) for name in own}
            function(resolve(values, epochs, tuned), **options)

        command = click.command(name, cls=Command, example=example, short_help=function.__doc__)(
            callback
        )
        command.params += _shared_flags(epochs, tuned)
        return command

    return decorate


def resolve(flags, epochs=(), tuned=None):
    """Make the config of a command: what the run has saved, then the files, then the flags.

    Args:
        flags: dictionary from a flag's name to its value, None where it is not given.
        epochs: the fields that the flag `epochs` sets.
        tuned: folder within that of a search of which the flag `from_tuning` is.

    Returns:
        A `Config`.

    Raises:
        ValueError: if a file cannot be read, or a value is not that of a field.
    """
    flags = {name: value for name, value in flags.items() if value is not None}
    if (count := flags.pop("epochs", None)) is not None:
        flags = {**dict.fromkeys(epochs, count), **flags}
    files = [file for file in [flags.pop("config", None)] if file]
    if (folder := flags.pop("from_tuning", None)) is not None:
        files.append(folder / tuned / BEST_FILE)
    sources = [*map(read_options, files), flags]
    given = _merged(sources)
    default = Path("runs") / Path(given.get("dataset", FLAGS["dataset"].default)).name
    run_dir = Path(given.get("run_dir", default))
    if (saved := run_dir / CONFIG_FILE).exists():
        given = _merged([read_run(saved), *sources])
    return Config(**{**given, "run_dir": run_dir})


def _merged(sources):
    """The fields of several sources, of which later ones win."""
    fields = {}
    for options in sources:
        fields |= flat(options, before=fields)
    return fields


def _shared_flags(epochs, tuned):
    """The flags of a command that are not its own."""
    yield _Flag("config", Path, "JSON file with fields to start from.")
    yield _Flag("size", str, f"Architecture: {', '.join(SIZES)}. Other flags win over it.")
    wirings = f"How its parts are put together: {', '.join(WIRINGS)}. Other flags win over it."
    yield _Flag("wiring", str, wirings)
    if epochs:
        yield _Flag("epochs", int, f"Sets {' and '.join(epochs)}.")
    if tuned:
        yield _Flag("from_tuning", Path, "Folder of `tune`: take the options of its best.")
    for name, flag in FLAGS.items():
        yield _Flag(name, flag.kinds[0], flag.help, flag.section, flag.default)
