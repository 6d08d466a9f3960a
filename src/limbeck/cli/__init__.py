"""The command line: verbs that parse, call one function and print. Heavy imports wait until a verb runs."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from limbeck import __version__
from limbeck.trust import trusting

DEBUG = "--debug"
STOPPED = 130  # the exit code of what Ctrl-C has ended
VERBS = (
    *("distill", "import", "show", "export", "evaluate", "measure"),
    *("study", "plan", "report", "laws", "interchange", "coverage", "list", "verify"),
)


class Pipeline(TyperGroup):
    """Verbs in the order in which they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: VERBS.index(name) if name in VERBS else len(VERBS))


app = typer.Typer(
    cls=Pipeline,
    name="limbeck",
    help="Distil a data set into a few samples, and know how far they will carry you before you train on them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"limbeck {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the whole traceback of a mistake; stands anywhere in the line.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: a user's mistake is one paragraph on standard error and exit code 2, never a traceback."""
    from limbeck.cli import answering, covering, making, measuring, reading, studying  # noqa: F401  (importing registers verbs)
    from limbeck.cli.mistakes import of_plug_in, told

    words = [word for word in sys.argv[1:] if word != DEBUG]
    try:
        with trusting(*words):
            if (code := app(words, prog_name="limbeck", standalone_mode=False)) == STOPPED:
                raise KeyboardInterrupt  # typer has swallowed it
            sys.exit(code)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("limbeck: stopped. Finished work is kept; run the same command to go on.", err=True)
        sys.exit(STOPPED)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is wrong, and Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        said = told(error)
        if said is None or DEBUG in sys.argv:
            traceback.print_exc()
        if said or (blamed := of_plug_in(error)):
            typer.echo(f"limbeck: {said or blamed}", err=True)
        sys.exit(getattr(error, "exit_code", 2) if said else 1)
