"""The split network in a round: what learns, what stays, and what the cloud's tail still gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge.learner.device import LearningDevice
from edge.learner.feature_cache import prepare_examples
from edge.learner.local_state import LocalState
from edge.learner.trainable import SplitStudent
from edge.learning.labelled_parts import LabelledPicture
from shared.errors import FederationError
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import Scope, TrainOrder, VectorLayout
from shared.splitnet.base_network import export_base, restore
from shared.splitnet.network import Architecture, SplitNet
from shared.splitnet.objective import Weights, bottleneck_losses, decode_loss
from tests.cloud.datasets.makers import part

pytestmark = pytest.mark.torch

SIZE = 64


class Plant:
    """Ten parts, half of them with a blot whose place is known."""

    device = "plant"

    def index(self) -> list[LabelledPicture]:
        return [LabelledPicture(str(n), n % 2 == 1, "blot" if n % 2 else "good", "a", "train")
                for n in range(10)]  # fmt: skip

    def picture(self, place: int) -> np.ndarray:
        return part(place, defective=place % 2 == 1, size=SIZE)

    def mask(self, place: int) -> np.ndarray:
        mask = np.zeros((SIZE, SIZE), bool)
        mask[20:40, 20:40] = place % 2 == 1
        return mask


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseNetwork:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("base") / "base.npz"
    export_base(SplitNet(Architecture(height=SIZE, width=SIZE), pretrained=False), path)
    return BaseNetwork.read(path)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_base_gives_back_the_network_that_it_was_made_from(
    base: BaseNetwork, tmp_path: Path
) -> None:
    net = restore(base)
    export_base(net, tmp_path / "again.npz")
    assert BaseNetwork.read(tmp_path / "again.npz").sha256 == base.sha256


def test_a_base_of_another_version_is_refused(base: BaseNetwork) -> None:
    lacking = dict(list(base.arrays.items())[1:])
    with pytest.raises(FederationError, match="of another version"):
        restore(BaseNetwork(lacking, base.architecture, ""))
    with pytest.raises(FederationError, match="of another version"):
        restore(BaseNetwork(base.arrays, {"colour": 3}, ""))


@pytest.mark.parametrize("first", [3, 5, 7])
def test_what_is_kept_leads_to_the_same_score_as_the_picture(base: BaseNetwork, first: int) -> None:
    """Wherever the frozen part ends: before the features at stride 8, at them, or behind."""
    student = SplitStudent(base, Scope(from_block=first))
    examples = prepare_examples(Plant(), "train", student, 1, draws())
    found = torch.cat([student.score(kept) for kept in examples.as_they_are()])
    wanted = restore(base).head(pictures())[2]
    assert torch.allclose(found, wanted, atol=2e-2)


@pytest.mark.parametrize(
    "scope", [Scope(), Scope(from_block=8, encoder=False), Scope(decoder=True, from_block=8)]
)
def test_only_what_the_scope_names_changes(base: BaseNetwork, scope: Scope, tmp_path: Path) -> None:
    made: list[SplitStudent] = []

    def maker(network: BaseNetwork, wanted: Scope) -> SplitStudent:
        made.append(SplitStudent(network, wanted))
        return made[-1]

    device = LearningDevice(Plant(), base, LocalState(tmp_path), maker=maker)
    layout = VectorLayout.of(base.arrays, scope.travelling(base.arrays))
    order = TrainOrder("run", base.sha256, layout.sha256, scope, batch=5, versions=2)
    device.train(order, layout.flat(base.arrays), 1)
    state = made[0].module.state_dict()
    changed = {name for name in base.arrays if not np.array_equal(state[name], base.arrays[name])}
    learned = set(scope.learned(base.arrays))
    assert {n for n in changed if not n.endswith("num_batches_tracked")} <= learned
    # Nearly all of it: a weight behind a dead unit may stay.
    assert len(changed & learned) > 0.9 * len(learned)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> BaseNetwork:
    """A base whose bottleneck carries the features of these pictures."""
    torch.manual_seed(0)
    net = SplitNet(Architecture(height=SIZE, width=SIZE))
    with torch.no_grad():
        truth = net.head.eval().shared_features(pictures())
    net.tail.decoder.fine.expect(truth.fine)
    net.tail.decoder.coarse.expect(truth.coarse)
    learning = [*net.head.encoder.parameters(), *net.head.encoder_fine.parameters()]
    optimiser = torch.optim.Adam([*learning, *net.tail.decoder.parameters()], lr=3e-3)
    for _ in range(80):
        loss = bottleneck_losses(net.train(), truth, Weights(), guided=False).total
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    path = tmp_path_factory.mktemp("fitted") / "base.npz"
    export_base(net, path)
    return BaseNetwork.read(path)


def pictures() -> torch.Tensor:
    return torch.from_numpy(np.stack([Plant().picture(n)[None] for n in range(10)])).float()


def test_the_encoder_learns_to_give_the_tail_what_the_bases_head_would_have(
    fitted: BaseNetwork,
) -> None:
    """After the blocks have changed, the tail gets features nearer to the base's than through an
    encoder that stayed behind."""
    student = SplitStudent(fitted, Scope(from_block=7))
    examples = prepare_examples(Plant(), "train", student, 1, draws())
    optimiser = torch.optim.Adam([{"params": p, "lr": 2e-3} for p, _ in student.shares()])
    for _ in range(40):
        for kept, batch in examples.epoch(10, draws(1)):
            loss = student.loss(kept, batch, draws(2))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    learned, before = student.module.eval(), restore(fitted)
    assert isinstance(learned, SplitNet)
    with torch.no_grad():
        wanted = before.head.shared_features(pictures())
        features = learned.head.shared_features(pictures())
        followed, behind = (
            float(decode_loss(before.tail.decoder(head.encode(features).round()), wanted))
            for head in (learned.head, before.head)
        )
    assert followed < 0.8 * behind
    tail = zip(learned.tail.state_dict().values(), before.tail.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in tail)


def test_the_same_draws_give_the_same_examples_and_changed_versions_differ(
    base: BaseNetwork,
) -> None:
    student = SplitStudent(base, Scope(from_block=5))
    one = prepare_examples(Plant(), "train", student, 2, draws(3))
    again = prepare_examples(Plant(), "train", student, 2, draws(3))
    assert all(torch.equal(a, b) for a, b in zip(one.kept, again.kept, strict=True))
    assert not torch.equal(one.kept[0][:10], one.kept[0][10:])
    assert len(one) == 10
    assert one.target.tolist() == [0.0, 1.0] * 5
    seen = sorted(int(row) for kept, batch in one.epoch(5, draws()) for row in batch.target)
    assert seen == [0] * 5 + [1] * 5


def test_a_use_without_pictures_has_no_examples(base: BaseNetwork) -> None:
    student = SplitStudent(base, Scope(from_block=5))
    examples = prepare_examples(Plant(), "test", student, 1, draws())
    assert len(examples) == 0
    assert list(examples.as_they_are()) == []
