"""The learner: a process of its own that runs only during a round, and has torch and Flower.

The box's agent imports nothing from here. What a device is asked and answers stands in
`edge/learning/answering.py`.
"""

from __future__ import annotations

# Not from `flwr` itself: the package `edge.learning` keeps it quiet before it is imported.
from edge.learning.answering import apps_of_folder, client_app
from edge.learning.serving import main

__all__ = ["apps_of_folder", "client_app", "main"]

if __name__ == "__main__":
    main()
