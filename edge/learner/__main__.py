"""`python -m edge.learner`: the learner's process, which the agent starts for a round."""

from __future__ import annotations

from edge.learner.server import main

main()
