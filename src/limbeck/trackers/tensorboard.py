"""TensorBoard's event files, in a folder of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import MissingExtra
from limbeck.trackers import Tracked, Tracker


class TensorBoard(Tracker):
    """Event files of TensorBoard: `tensorboard --logdir FOLDER` shows them."""

    folder: str = "tensorboard"

    def begin(self, name: str, facts: Mapping[str, Any]) -> Tracked:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra(
                f"the tracker 'tensorboard' needs TensorBoard ({error}). "
                "Install it: pip install 'limbeck[tensorboard]'."
            ) from None
        writer = SummaryWriter(str(Path(self.folder) / name))
        lines = [f"| {key} | {str(value).replace('|', ' ')} |" for key, value in facts.items()]
        writer.add_text("facts", "\n".join(["| | |", "|---|---|", *lines]))
        return _Run(writer)


@dataclass(frozen=True)
class _Run:
    writer: Any

    def note(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def end(self, failed: bool) -> None:
        self.writer.close()
