"""Where a study is: the words that name it on the command line, and the folder that they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.errors import MissingData

if TYPE_CHECKING:
    from limbeck.study import StudyFolder

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's TOML file or its folder.")]
RowsArgument = Annotated[
    Path, typer.Argument(metavar="STUDY", help="A study's TOML file, its folder, or a table of rows (CSV, parquet).")
]
RunsOption = Annotated[Path, typer.Option(help="The folder that holds the folders of studies.")]
RUNS = Path("runs")


def is_table(file: Path) -> bool:
    """Whether a path names a table of results, by its ending."""
    from limbeck.laws.table import FILES

    return file.suffix.lower() in FILES and not file.is_dir()


def opened(file: Path, runs: Path) -> StudyFolder:
    """The folder of a study that was run before. Raises `MissingData`."""
    from limbeck.study import Study, StudyFolder

    folder = StudyFolder(file if file.is_dir() else runs / Study.load(file).name)
    if not (folder.path / "study.json").exists():
        first = (
            "Give a study's file, or the folder that it was run in"
            if file.is_dir()
            else f"Run `limbeck study run {file}` first"
        )
        raise MissingData(f"{folder.path} holds no study{'' if file.is_dir() else ' yet'}. {first}.")
    return folder
