"""The command line: verbs that parse, call one function and print. Heavy imports wait until a verb runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from limbeck import __version__
from limbeck.errors import LimbeckError
from limbeck.trust import trusting

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
) -> None:
    pass


def main() -> None:
    """Entry point: a user's mistake is one paragraph on standard error and exit code 2, never a traceback."""
    from limbeck.cli import covering, making, measuring, reading, studying  # noqa: F401  (importing registers verbs)

    try:
        with trusting(*sys.argv[1:]):
            app()
    except LimbeckError as error:
        typer.echo(f"limbeck: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("limbeck: stopped. Finished work is kept; run the same command to go on.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is wrong, and Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
