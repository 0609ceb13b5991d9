"""The coordinator's side of a round as Flower's ServerApp: the same over every grid."""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import Context
from flwr.serverapp import ServerApp
from flwr.serverapp.grid import Grid

from fleet.rounds.coordination.coordinator import Coordinator


def server_app(make: Callable[[Grid], Coordinator]) -> ServerApp:
    """An app that runs the rounds which are left.

    make   opens the run on the grid that Flower, or one of ours, hands over
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, _context: Context) -> None:
        make(grid).run()

    return app
