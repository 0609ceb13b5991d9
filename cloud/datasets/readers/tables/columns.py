"""What a table's columns are, by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SYNONYMS: dict[str, tuple[str, ...]] = {
    "image": (
        *("image", "imagepath", "imagefile", "imagename", "img", "imgpath", "filename", "file"),
        *("filepath", "path", "picture", "imageid", "bild", "bildpfad", "datei", "dateiname"),
    ),
    "mask": ("mask", "maskpath", "maskfile", "gt", "groundtruth", "segmentation", "maske"),
    "defect": (
        *("defect", "defecttype", "label", "class", "classname", "category", "kind", "type"),
        *("fehler", "fehlerart", "klasse", "defective", "isdefective", "anomaly", "isanomaly"),
        *("anomalous", "nok", "bad", "good", "isgood", "ok", "isok", "pass", "passed", "io"),
        *("verdict", "result", "status", "quality", "target"),
    ),
    "part": (
        *("part", "partid", "serial", "serialnumber", "sn", "piece", "objectid"),
        *("teil", "teilenummer", "seriennummer"),
    ),
    "lot": ("lot", "lotid", "lotnumber", "batch", "charge", "los", "losnummer"),
    "line": ("line", "linie"),
    "domain": ("domain", "line", "plant", "site", "camera", "lighting", "linie", "werk", "kamera"),
    "split": ("split", "set", "subset", "partition", "usage"),
    "probability": ("probability", "defectprobability", "pdefect", "wahrscheinlichkeit", "target"),
}
"""By what each is for, the first that is there; in lower case, letters and digits alone."""


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns' own names by what they are for: image, mask, defect, part, lot, line,
    domain, split, probability. Where nothing else says the domain, it is the line.
    """

    names: Mapping[str, str]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, header: Sequence[str]) -> TableColumns:
        """Of names as they stand in the file; those that mean nothing here are passed over."""
        bare = {re.sub(r"[^a-z0-9]", "", name.casefold()): name for name in reversed(header)}
        chosen: dict[str, str] = {}
        notes = []
        for purpose, synonyms in SYNONYMS.items():
            found = [bare[one] for one in synonyms if one in bare]
            taken = set(chosen.values())
            if purpose == "domain":
                taken.discard(chosen.get("line", ""))
            found = [name for name in found if name not in taken]
            if not found:
                continue
            chosen[purpose] = found[0]
            if found[0] != purpose:
                notes.append(f"column {found[0]} is taken as {purpose}")
            others = [
                name
                for name in found[1:]
                if name not in chosen.values()
                and (purpose != "defect" or name != bare.get("target"))
            ]
            if others:
                notes.append(f"column {', '.join(others)} is not read beside {found[0]}")
        return cls(chosen, tuple(notes))

    @property
    def lacking(self) -> list[str]:
        """What every table of labels must have and this has not."""
        wanted = {"image"} - set(self.names)
        if not {"defect", "probability"} & set(self.names):
            wanted.add("defect")
        return sorted(wanted)
