"""Options of the commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TailEpochs = Annotated[
    int,
    typer.Option(
        envvar="SPLITSIGHT_TRAIN_TAIL_EPOCHS",
        min=0,
        max=1000,
        help="Epochs of the second stage: the tail behind the head.",
    ),
]
Epochs = Annotated[
    int,
    typer.Option(
        envvar="SPLITSIGHT_TRAIN_EPOCHS",
        min=1,
        max=1000,
        help="Epochs; of the first stage, head and tail together.",
    ),
]
BottleneckEpochs = Annotated[
    int,
    typer.Option(
        envvar="SPLITSIGHT_TRAIN_BOTTLENECK_EPOCHS",
        min=1,
        max=1000,
        help="Epochs of the third stage: what is sent to the cloud.",
    ),
]
Batch = Annotated[int, typer.Option(min=2, max=512, help="Pictures of a training step.")]
Rate = Annotated[
    float, typer.Option("--learning-rate", min=1e-6, max=1.0, help="Of the new layers.")
]
BitWeight = Annotated[
    float, typer.Option(min=0.0, help="What a bit costs: higher sends less, sees less.")
]
Bottleneck = Annotated[int, typer.Option(min=1, max=256, help="Channels sent to the cloud.")]
Backbone = Annotated[str, typer.Option(help="One that `splitsight doctor` lists.")]
SplitBlock = Annotated[int, typer.Option(help="The backbone's last block on the edge.")]
DroppedBlocks = Annotated[int, typer.Option(help="Of the backbone's end, for a smaller tail.")]
Synthetic = Annotated[
    float, typer.Option(min=0, max=1, help="Share of good parts that get a made-up defect.")
]
Height = Annotated[
    int, typer.Option(envvar="SPLITSIGHT_TRAIN_HEIGHT", help="Of the input; a multiple of 32.")
]
Width = Annotated[
    int, typer.Option(envvar="SPLITSIGHT_TRAIN_WIDTH", help="Of the input; a multiple of 32.")
]
Colour = Annotated[bool, typer.Option("--colour", help="Three channels, not grey.")]
Teacher = Annotated[
    Path | None, typer.Option(help="The run folder of a larger training to follow.")
]
StartFrom = Annotated[
    Path | None, typer.Option(help="The run folder of an earlier training to refine.")
]
Experiments = Annotated[
    str,
    typer.Option(
        envvar="SPLITSIGHT_EXPERIMENTS",
        help="Where runs are recorded; a folder, an MLflow server's URL, or `off`.",
        show_default="experiments/ beside the run, with the extra `experiments`",
    ),
]
