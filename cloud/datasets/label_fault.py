"""What is wrong with one label or one file of labels."""

from __future__ import annotations


class LabelFault(ValueError):
    """What a label says can't be so. Its text goes into the account as a flaw.

    line   of its file; 0: of no line
    """

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line
