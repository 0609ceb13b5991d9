"""Simulated devices: heat, time, memory, operators, driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.compute.control import SOCKET, ComputeRemote, ControlServer
from hardware_sim.compute.demands import demands_of, require_honourable
from hardware_sim.compute.device import SimulatedDevice
from hardware_sim.compute.heat import Heat
from hardware_sim.compute.onnx_file import read_graph
from hardware_sim.compute.profiles import SHIPPED, DeviceProfile, load_profile, profile_names
from hardware_sim.compute.runtime import SimulatedRuntime
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, HEAD_FLOAT, TAIL
from shared.bundles.parity import check_head
from shared.clock import ManualClock
from shared.errors import ProcessError, RuntimeUnavailable, SettingsError
from shared.runtime.base import RuntimeOptions, open_runtime
from tests.bundles import make_bundle

ROOT = Path(__file__).parents[3]
SHIPPED_BUNDLE = ROOT / "bundles" / "elpv"
NPU = "npu-int8"
PROFILES = {name: load_profile(name) for name in profile_names()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def elpv() -> Bundle:
    return Bundle.open(SHIPPED_BUNDLE)


def device(clock: ManualClock, profile: str = "arm-cpu") -> SimulatedDevice:
    return SimulatedDevice(load_profile(profile), clock, clock.advance)


def edited(tmp_path: Path, **changes: object) -> Path:
    """A copy of a shipped profile with keys like `heat__ambient_c` set to values."""
    values = yaml.safe_load((SHIPPED / f"{NPU}.yaml").read_text())
    for key, value in changes.items():
        *above, last = key.split("__")
        at = values
        for step in above:
            at = at[step]
        at[last] = value
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


@pytest.mark.parametrize("name", profile_names())
def test_every_figure_of_a_shipped_profile_names_its_source(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    figures = [f for f in walk(profile.model_dump()) if "source" in f]
    assert len(figures) >= 13
    assert any(not figure["estimate"] for figure in figures)


def walk(values: object) -> list[dict[str, object]]:
    if not isinstance(values, dict):
        return []
    return [values, *(found for inside in values.values() for found in walk(inside))]


def test_mistakes_in_a_profile_are_all_named_with_their_lines(tmp_path: Path) -> None:
    wrong = edited(
        tmp_path,
        memory_mb={"value": -1, "source": "Somewhere it was said"},
        int8_gmacs={"value": 1},
        backend={"name": "tensorrt"},
        cores=4,
    )
    with pytest.raises(SettingsError) as raised:
        load_profile(str(wrong))
    said = str(raised.value)
    assert "4 mistakes in profile.yaml" in said
    for part in ("memory_mb.value: input", "int8_gmacs.source is missing", "backend.name", "cores"):
        assert part in said
    assert "profile.yaml:" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heat__recover_c__value": 99}, "must rise in this order"),
        ({"heat__idle_w__value": 50}, "busy_w must not lie below idle_w"),
        ({"heat__slow_down__value": 0.5}, "slow_down must not lie below 1"),
        ({"operators__float_share__value": 2}, "float_share must not lie above 1"),
    ],
)
def test_impossible_figures_are_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        load_profile(str(edited(tmp_path, **changes)))


def test_an_unknown_profile_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'tpu9' is no device profile; use one of arm-cpu"):
        load_profile("tpu9")


@given(
    st.lists(st.tuples(st.floats(0, 500), st.booleans()), max_size=10),
    st.sampled_from(sorted(PROFILES)),
)
def test_the_temperature_stays_between_idle_and_busy(
    stretches: list[tuple[float, bool]], name: str
) -> None:
    figures = PROFILES[name].heat
    heat = Heat(figures)
    for seconds, busy in stretches:
        heat.pass_time(seconds, busy=busy)
        low, high = heat.steady_c(figures.idle_w.value), heat.steady_c(figures.busy_w.value)
        assert low - 1e-6 <= heat.temperature_c <= high + 1e-6


@given(st.floats(0, 1000), st.floats(0.01, 0.99))
def test_heat_does_not_depend_on_how_time_is_cut_up(seconds: float, cut: float) -> None:
    whole, parts = Heat(PROFILES["gpu"].heat), Heat(PROFILES["gpu"].heat)
    whole.pass_time(seconds, busy=True)
    parts.pass_time(seconds * cut, busy=True)
    parts.pass_time(seconds * (1 - cut), busy=True)
    assert parts.temperature_c == pytest.approx(whole.temperature_c)


def test_after_one_time_constant_63_percent_of_the_change_has_happened() -> None:
    figures = load_profile(NPU).heat
    heat = Heat(figures)
    start, end = heat.temperature_c, heat.steady_c(figures.busy_w.value)
    heat.pass_time(figures.time_constant_s.value, busy=True)
    assert (heat.temperature_c - start) / (end - start) == pytest.approx(0.632, abs=0.001)


def test_a_hot_device_throttles_and_recovers_with_hysteresis() -> None:
    figures = load_profile("arm-cpu").heat
    heat = Heat(figures)
    slowed = [heat.slow_down]
    heat.pass_time(3600, busy=True)
    slowed.append(heat.slow_down)
    while heat.temperature_c > (figures.recover_c.value + figures.throttle_c.value) / 2:
        heat.pass_time(1, busy=False)
    slowed.append(heat.slow_down)
    heat.pass_time(3600, busy=False)
    slowed.append(heat.slow_down)
    hot = figures.slow_down.value
    assert slowed == [1.0, hot, hot, 1.0]


def test_a_run_takes_as_long_as_on_the_device_and_longer_when_it_is_hot() -> None:
    clock = ManualClock()
    box = device(clock)

    def compute() -> str:
        clock.advance(0.004)
        return "result"

    def seconds() -> float:
        started = clock.monotonic()
        assert box.run(compute, 0.01) == "result"
        return clock.monotonic() - started

    assert seconds() == pytest.approx(0.01)
    box.ambient(90.0)
    clock.advance(3600)
    assert box.state.throttled
    assert seconds() == pytest.approx(0.01 * load_profile("arm-cpu").heat.slow_down.value)
    assert box.state.overruns == 0


def test_a_backend_slower_than_the_device_is_counted() -> None:
    clock = ManualClock()
    box = device(clock)
    box.run(lambda: clock.advance(0.02), 0.01)
    box.run(lambda: clock.advance(0.001), 0.01)
    state = box.state
    assert (state.runs, state.overruns) == (2, 1)
    assert state.latency_ms == pytest.approx(10)


def test_a_driver_reset_fails_runs_with_the_runtimes_own_words_and_ends() -> None:
    clock = ManualClock()
    box = device(clock, NPU)
    box.reset()
    assert box.state.resetting
    with pytest.raises(RuntimeError, match="HIB Error"):
        box.run(lambda: "never", 0.001)
    clock.advance(box.profile.driver.reset_s.value + 0.001)
    assert box.run(lambda: "again", 0.001) == "again"
    assert (box.state.failed, box.state.resetting) == (1, False)
    box.reset(for_s=30)
    clock.advance(29)
    with pytest.raises(RuntimeError, match="HIB Error"):
        box.run(lambda: "never", 0.001)


def test_the_reader_finds_what_onnx_finds(tiny: Bundle, elpv: Bundle) -> None:
    for model in (tiny.read(HEAD), tiny.read(TAIL), elpv.read(HEAD), elpv.read(HEAD_FLOAT)):
        graph, wanted = read_graph(model), onnx.load_from_string(model).graph
        assert [node.kind for node in graph.nodes] == [node.op_type for node in wanted.node]
        assert [node.name for node in graph.nodes] == [n.name or n.output[0] for n in wanted.node]
        assert [node.inputs for node in graph.nodes] == [tuple(n.input) for n in wanted.node]
        assert graph.constants == {tensor.name for tensor in wanted.initializer}


@given(st.binary(max_size=200))
def test_what_is_no_onnx_model_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="ONNX"):
        read_graph(data)


def test_arithmetic_is_counted_by_type(elpv: Bundle, tiny: Bundle) -> None:
    quantised, exact = demands_of(elpv.read(HEAD)), demands_of(elpv.read(HEAD_FLOAT))
    assert exact.macs("int8") == 0
    assert quantised.macs("int8") + quantised.macs("float32") == exact.macs("float32")
    assert quantised.macs("float32") < 0.01 * quantised.macs("int8")
    assert quantised.memory_bytes < exact.memory_bytes / 2
    arm = load_profile("arm-cpu")
    assert quantised.latency_s(arm) < exact.latency_s(arm)
    # 64 × 64 grey, three stride-2 convolutions of 3 × 3, to 8, 8, 8, 3 channels, and one of 1 × 1.
    by_hand = 9 * (32**2 * 8 + 16**2 * 8 * 8 + 8**2 * 8 * 8 + 4**2 * 8 * 3) + 8**2 * 8
    assert demands_of(tiny.read(HEAD)).macs("float32") == by_hand


def test_an_integer_device_takes_the_int8_head_and_refuses_the_float_one_by_its_node(
    elpv: Bundle,
) -> None:
    profile = load_profile(NPU)
    require_honourable(demands_of(elpv.read(HEAD)), profile)
    with pytest.raises(RuntimeUnavailable) as raised:
        require_honourable(demands_of(elpv.read(HEAD_FLOAT)), roomy(profile))
    assert "can't compile node 'node_conv2d_" in raised.value.message
    assert "(Conv): float32, and it takes int8; 100.0% of the arithmetic" in raised.value.message


def roomy(profile: DeviceProfile) -> DeviceProfile:
    memory = profile.memory_mb.model_copy(update={"value": 1000.0})
    return profile.model_copy(update={"memory_mb": memory})


def test_an_operator_outside_the_list_is_refused_by_its_node(elpv: Bundle) -> None:
    profile = load_profile(NPU)
    assert profile.operators is not None
    kinds = [kind for kind in profile.operators.float_kinds if kind != "TopK"]
    narrow = profile.operators.model_copy(update={"float_kinds": kinds})
    with pytest.raises(RuntimeUnavailable, match=r"node 'node_topk\w*' \(TopK\): float32"):
        require_honourable(
            demands_of(elpv.read(HEAD)), profile.model_copy(update={"operators": narrow})
        )


def test_a_model_larger_than_the_memory_is_refused(tmp_path: Path, elpv: Bundle) -> None:
    small = edited(tmp_path, memory_mb={"value": 0.5, "source": "Somewhere it was said"})
    with pytest.raises(RuntimeUnavailable, match=r"has 0\.5 MB for a model, this one takes \d"):
        require_honourable(demands_of(elpv.read(HEAD)), load_profile(str(small)))


def test_the_agent_opens_a_simulated_device_by_name_and_it_agrees_with_the_bundle(
    elpv: Bundle,
) -> None:
    runtime = open_runtime("simulated", elpv.read(HEAD), RuntimeOptions(NPU))
    assert isinstance(runtime, SimulatedRuntime)
    assert (runtime.name, runtime.device) == ("simulated", NPU)
    assert check_head(elpv, runtime).agrees
    state = runtime.state
    assert state.runs == len(elpv.golden.inputs)
    assert state.latency_ms > load_profile(NPU).overhead_ms.value


def test_without_a_profile_the_simulated_runtime_says_what_to_set(tiny: Bundle) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"needs a device profile; set runtime\.device"):
        open_runtime("simulated", tiny.read(HEAD), RuntimeOptions())


def test_another_process_sees_the_temperature_and_resets_the_driver(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "npu.sock"
    monkeypatch.setenv(SOCKET, str(path))
    runtime = open_runtime("simulated", tiny.read(HEAD), RuntimeOptions("gpu"))
    assert isinstance(runtime, SimulatedRuntime)
    picture = np.zeros((1, 1, 64, 64), np.uint8)
    runtime.run(picture)
    remote = ComputeRemote(path)
    assert remote.state().runs == 1
    assert remote.ambient(50.0).ambient_c == 50.0
    assert remote.reset(600).resetting
    with pytest.raises(RuntimeError, match="CUDA failure"):
        runtime.run(picture)
    assert remote.state().failed == 1
    runtime.close()
    with pytest.raises(ProcessError, match=r"the simulated device at .* does not answer"):
        remote.state()


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[ComputeRemote]:
    path = tmp_path / "device.sock"
    with ControlServer(device(ManualClock()), path):
        yield ComputeRemote(path)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda remote: remote.ambient(1000.0), r"can't have 1000\.0 °C"),
        (lambda remote: remote.reset(-1.0), r"can't take -1\.0 s"),
        (lambda remote: remote.ambient("hot"), "can't be read"),
    ],
)
def test_an_impossible_request_is_refused_and_the_device_goes_on(
    remote: ComputeRemote, ask: Callable[[ComputeRemote], object], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        ask(remote)
    assert remote.state().profile == "arm-cpu"


def test_a_socket_in_no_folder_or_with_too_long_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="can't be made"):
        ControlServer(device(ManualClock()), tmp_path / "none" / "device.sock")
    with pytest.raises(ProcessError, match=r"path of .* B is too long"):
        ControlServer(device(ManualClock()), tmp_path / ("x" * 120))
    with pytest.raises(ProcessError, match="path too long"):
        ComputeRemote(tmp_path / ("x" * 120)).state()
