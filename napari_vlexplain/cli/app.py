"""The commands put together, and every way that they can end."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from ..errors import Cancelled, NoMemory, Unexpected, VLExplainError
from ..running.entrance import unexpected
from .ask import ask
from .benchmark import benchmark, datasets, report
from .compare import compare
from .console import hide_stdout, say
from .demo import demo
from .edit import edit
from .experiment import experiment
from .explain import explain
from .export import export
from .gui import gui
from .lattice import evaluate_adapter, train_adapter
from .listing import methods, models
from .perturb import perturb
from .roar import roar
from .segment import segment
from .tokens import tokens

app = typer.Typer(
    name="vlexplain",
    help="See what vision-language models look at. A research tool, not for clinical decisions.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    explain,
    compare,
    ask,
    segment,
    tokens,
    edit,
    models,
    methods,
    datasets,
    benchmark,
    report,
    export,
    roar,
    perturb,
    train_adapter,
    evaluate_adapter,
    demo,
    gui,
):
    app.command()(command)
app.add_typer(experiment)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an unexpected error comes from.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options of every command; both are dealt with before the commands are."""


def run(arguments: Sequence[str] | None = None) -> int:
    """See :func:`napari_vlexplain.cli.main`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"] or ["--help"]
    _quieten(debug)
    try:
        if given == ["--version"]:
            _print_version()
        else:
            commands = typer.main.get_command(app)
            with commands.make_context("vlexplain", given) as context:
                commands.invoke(context)
        sys.stdout.flush()
    except typer.Exit as end:
        return int(end.exit_code)
    except (KeyboardInterrupt, Cancelled, typer.Abort):
        say("Cancelled.")
        return 130
    except BrokenPipeError:
        hide_stdout()
        return 0
    except (NoMemory, MemoryError):
        say(str(NoMemory()))
        return 1
    except Unexpected as error:
        if debug:
            raise
        say(f"{error} --debug shows where.")
        return 1
    except VLExplainError as error:
        say(str(error))
        return 2
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error; its class lives elsewhere in every release of typer
            say(f"{error.format_message().rstrip('. ')}. See vlexplain --help.")
            return 2
        if debug:
            raise
        say(f"{unexpected('The command', error)} --debug shows where.")
        return 1
    return 0


def _print_version() -> None:
    from .. import __version__

    sys.stdout.write(f"vlexplain {__version__}\n")


def _quieten(debug: bool) -> None:
    """Keep what libraries have to say out of the way of the one line that matters."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not debug:
        warnings.simplefilter("ignore")
        for name in ("transformers", "open_clip", "huggingface_hub", "tifffile", "root"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
