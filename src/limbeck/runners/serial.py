"""One cell after the other, in this process."""

from __future__ import annotations

from limbeck.errors import Interrupted
from limbeck.runners import OnDone, Runner, one_thread, settle
from limbeck.study import Execute, Order, StudyFolder, run_cell


class Serial(Runner):
    """Cells one after the other in this process: for debuggers, notebooks and the GPU of a laptop."""

    def run(self, order: Order, folder: StudyFolder, on_done: OnDone, execute: Execute | None = None) -> None:
        try:
            with one_thread():
                while cell := order.next():
                    settle(order, cell, run_cell(folder, cell, execute, durable=False), on_done)
        except KeyboardInterrupt:
            raise Interrupted("stopped; finished cells are kept. Run the same command to go on.") from None
