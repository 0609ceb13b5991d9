"""What edge, cloud and both together say of each sample, from scores and the gate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.evaluation.judgements import Judgements
from cloud.evaluation.scorecard import Escalated
from cloud.statistics.metrics import auroc
from shared.certification.gate import Gate
from shared.certification.scores import NovelPictures, Scored
from shared.contracts import Decision


@dataclass(frozen=True, slots=True)
class JudgeVerdicts:
    """One judge's say on each sample; arrays (n,).

    scores    rank the samples: higher is more surely defective. One that is not a number ranks
              as surest
    passed    by this judge at the gate; rejected alike. The edge escalates what is neither, and
              of the cloud and the system a person reviews it
    movable   scores over which the one threshold can be moved that is this judge's to move;
              ±inf where the gate has decided and nothing moves it. Novelty moves none
    """

    scores: NDArray[np.float64]
    passed: NDArray[np.bool_]
    rejected: NDArray[np.bool_]
    movable: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SampleVerdicts:
    """All three, what the gate escalates, and what a person reviews, bool (n,).

    edge    alone: its movable threshold is one on its own score
    cloud   as if every sample were sent
    system  the gate as it is; of what it escalates the cloud's threshold can be moved. Its
            scores rank all passed at the edge below all escalated below all rejected there
    """

    edge: JudgeVerdicts
    cloud: JudgeVerdicts
    system: JudgeVerdicts
    escalated: NDArray[np.bool_]
    reviewed: NDArray[np.bool_]


def verdicts(
    gate: Gate,
    edge: NDArray[np.float64],
    cloud: NDArray[np.float64],
    novel: NovelPictures | None = None,
) -> SampleVerdicts:
    """Decide every sample; scores and `novel` as in `Judgements`."""
    if novel is None:
        novel = NovelPictures(np.zeros(len(edge), bool), np.zeros(len(edge), bool))
    decisions = np.array([gate.decide(score) for score in edge.tolist()])
    passed = (decisions == Decision.PASS) & ~novel.edge
    rejected = (decisions == Decision.REJECT) & ~novel.edge
    unsure = ~passed & ~rejected
    answers = np.array([gate.conclude(score) for score in cloud.tolist()])
    cloud_passes, divert = (answers == "pass") & ~novel.cloud, (answers == "reject") & ~novel.cloud
    escalated = unsure & gate.escalates
    sure_edge, sure_cloud = np.nan_to_num(edge, nan=1.0), np.nan_to_num(cloud, nan=1.0)
    stage = np.where(passed, 0.0, np.where(unsure, 1.0, 2.0))
    left = cloud if gate.escalates else edge
    passed_by_both = passed | (escalated & cloud_passes)
    rejected_by_both = rejected | (escalated & divert)
    system = JudgeVerdicts(
        scores=stage + np.where(escalated, sure_cloud, sure_edge),
        passed=passed_by_both,
        rejected=rejected_by_both,
        movable=np.where(passed, -np.inf, np.where(rejected, np.inf, _movable(left))),
    )
    return SampleVerdicts(
        edge=JudgeVerdicts(sure_edge, passed, rejected, _movable(edge)),
        cloud=JudgeVerdicts(sure_cloud, cloud_passes, divert, _movable(cloud)),
        system=system,
        escalated=escalated,
        reviewed=~passed_by_both & ~rejected_by_both,
    )


def unsure_pictures(judged: Judgements, labels: NDArray[np.bool_], gate: Gate) -> Escalated:
    """The pictures that the edge is not sure of, escalated or not; labels (n,)."""
    scored = Scored(np.arange(len(labels)), judged.edge, judged.cloud, judged.novel)
    among = scored.unsure(gate)
    if len(np.unique(labels[among])) < 2:
        return Escalated(n=int(among.sum()), auroc_edge=None, auroc_system=None)
    edge, cloud = (
        auroc(np.nan_to_num(scores[among], nan=1.0), labels[among])
        for scores in (judged.edge, judged.cloud)
    )
    return Escalated(n=int(among.sum()), auroc_edge=edge, auroc_system=cloud)


def _movable(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(scores), np.inf, scores)
