"""Models layer by layer: hand-computed layers, how errors travel, and what is not covered."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bposit.audit import Audit, add_to_tensorboard, delivery, load_schema, text
from bposit.audit.formats import parse
from bposit.audit.training import Weights, added
from bposit.errors import BadInput

from ..running import bad, good, run

torch = pytest.importorskip("torch")
nn = torch.nn
Tensor = torch.Tensor


def validated(made: dict[str, Any]) -> dict[str, Any]:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(load_schema()).validate(made)
    return made


def audited(model: Any, *args: Any, formats: str = "bposit16,bfloat16", **options: Any) -> Any:
    with Audit(model, formats, **options) as audit:
        model(*args)
    return validated(audit.report)


def linear(weight: list[list[float]], bias: list[float] | None = None) -> Any:
    made = nn.Linear(len(weight[0]), len(weight), bias is not None)
    with torch.no_grad():
        made.weight.copy_(torch.tensor(weight))
        if bias is not None:
            made.bias.copy_(torch.tensor(bias))
    return made


def test_one_layer_by_hand() -> None:
    # bfloat16 has 8 bits: x = 257/256 is a tie to 1; w = 3; y0 = 771/256, y1 = y2 = y3 = 3
    layer = linear([[3.0]])
    made = audited(layer, torch.tensor([[257 / 256]]), formats="bfloat16")
    (found,) = made["layers"]
    (row,) = found["rows"]
    wanted = 20 * np.log10((771 / 256) / (3 / 256))
    for figure in ("local_sqnr", "cumulative_sqnr", "quantization_sqnr"):
        assert row[figure] == pytest.approx(wanted, rel=1e-8)
    assert row["accumulation_exact"]
    assert row["rounding_exact"]
    assert row["cross_share"] == 0.0
    assert row["relative_max"] == pytest.approx(1 / 257, rel=1e-8)
    assert row["cancellation_max"] == 0.0
    # y0 = 3 + 3/256 is nearer to 3 + 4/256, the next value of bfloat16
    assert row["ulps"] == 1
    assert (found["name"], found["call"], found["step"], found["kind"]) == (
        "(model)",
        0,
        0,
        "Linear",
    )


def test_local_is_fed_exact_inputs_and_cumulative_what_was_delivered() -> None:
    # the first layer loses 1/256 in bfloat16, the second loses nothing of its own
    model = nn.Sequential(linear([[257 / 256]]), linear([[1.0]]))
    made = audited(model, torch.tensor([[1.0]]), formats="bfloat16")
    first, second = (layer["rows"][0] for layer in made["layers"])
    assert first["cumulative_sqnr"] == pytest.approx(20 * np.log10(257), rel=1e-8)
    assert second["cumulative_sqnr"] == first["cumulative_sqnr"]
    assert second["local_sqnr"] == pytest.approx(20 * np.log10(257), rel=1e-8)  # its input rounds
    model = nn.Sequential(linear([[257 / 256], [-1.0]]), linear([[1.0, 1.0]]))
    made = audited(model, torch.tensor([[1.0]]), formats="bfloat16,bposit32")
    rows = {r["format"]: r for r in made["layers"][1]["rows"]}
    assert rows["bfloat16"]["cumulative_sqnr"] == 0.0  # 1/256 became 0: all of the signal
    assert rows["bposit32"]["cumulative_exact"]
    assert rows["bfloat16"]["cancellation_max"] == pytest.approx(np.log2(513), rel=1e-8)


def test_what_is_delivered_is_rounded() -> None:
    # 1 + 1/256 is a tie to 1 in bfloat16, though its terms and their sum are exact
    made = audited(linear([[1.0, 1 / 256]]), torch.ones(1, 2), formats="bfloat16")
    row = made["layers"][0]["rows"][0]
    assert row["cumulative_sqnr"] == pytest.approx(20 * np.log10(257), rel=1e-8)
    assert row["rounding_sqnr"] == row["local_sqnr"] == row["cumulative_sqnr"]
    assert row["quantization_exact"]
    assert row["accumulation_exact"]


def test_accumulation_is_told_apart() -> None:
    # products 512, 1, 1: each 1 is lost in bposit16 (8 fraction bits) unless summed exactly
    layer = linear([[512.0, 1.0, 1.0]])
    made = audited(layer, torch.ones(1, 3), formats="bposit16", accumulate="per_op,float32,quire")
    rows = {r["accumulate"]: r for r in made["layers"][0]["rows"]}
    wanted = 20 * np.log10(514 / 2)
    assert rows["per_op"]["accumulation_sqnr"] == pytest.approx(wanted, rel=1e-8)
    assert rows["per_op"]["local_sqnr"] == pytest.approx(wanted, rel=1e-8)
    assert rows["float32"]["local_exact"]
    assert rows["quire"]["local_exact"]


def test_counts_are_of_all_elements_whatever_the_sample() -> None:
    layer = linear([[1e5]] * 40)
    made = audited(layer, torch.ones(50, 1), formats="float16,bposit16", sample=32)
    rows = {r["format"]: r for r in made["layers"][0]["rows"]}
    assert made["layers"][0]["sample"] == 32
    assert rows["float16"]["n"] == 2000
    assert rows["float16"]["nar"] + rows["float16"]["infinite"] == 2000
    assert rows["float16"]["cumulative_failed"]
    assert not rows["bposit16"]["cumulative_failed"]


@pytest.mark.parametrize("part", [1, 1 << 20])
def test_saturations_of_exact_sums_by_hand(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_PART", part)
    # bposit8 = <8,3,2>: 1.25·2^-12 to 3584; at (1, 1/16) the sums are 3712, 3584, 2^-14, 0 and 1
    rows = [[3584.0, 2048.0], [3584.0, 0.0], [0.0, 2.0**-10], [1.0, -16.0], [0.0, 16.0]]
    x = torch.tensor([[1.0, 1 / 16]])
    for bias, counts in ((None, (1, 1)), ([0.0, 2.0**-11, 0.0, 0.0, 0.0], (2, 1))):
        made = audited(linear(rows, bias), x, formats="bposit8")
        (row,) = made["layers"][0]["rows"]
        assert (row["saturated"], row["to_minpos"]) == counts
        assert (row["to_zero"], row["nar"], row["n"]) == (0, 0, 5)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (lambda: nn.Conv2d(3, 5, (3, 2), (2, 1), (1, 0), dilation=(1, 2)), (2, 3, 9, 8)),
        (lambda: nn.Conv1d(3, 5, 3, stride=2, padding=1), (2, 3, 11)),
        (lambda: nn.Linear(7, 5), (2, 3, 7)),
        (lambda: nn.Linear(7, 5, bias=False), (7,)),
    ],
)  # fmt: skip
def test_linear_forms_give_what_the_module_gives(module: Any, shape: tuple[int, ...]) -> None:
    from torch_bridge.audit import linear_form

    torch.manual_seed(0)
    unit, x = module().double(), torch.randn(*shape, dtype=torch.float64)
    form = linear_form(unit, (x,))
    assert form is not None
    y = form.rows @ form.weight.T + (0 if form.bias is None else form.bias)
    assert torch.allclose(form.fold(y), unit(x), rtol=1e-12, atol=1e-12)


def test_what_is_no_linear_form() -> None:
    from torch_bridge.audit import linear_form

    x = torch.randn(2, 4, 8, 8)
    for unit in (nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, padding="same"), nn.ReLU(),
                 nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")):  # fmt: skip
        assert linear_form(unit, (x,)) is None
    assert linear_form(nn.Linear(8, 2), (x, x)) is None


class Residual(nn.Module):  # type: ignore[misc,name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + torch.tanh(self.layer(x))
        return self.norm(x)


def test_calls_are_counted_and_what_is_between_is_listed() -> None:
    torch.manual_seed(0)
    made = audited(Residual(), torch.randn(3, 6))
    assert [(x["name"], x["call"]) for x in made["layers"]] == [
        ("layer", 0), ("layer", 1), ("norm", 0),
    ]  # fmt: skip
    found = {u["function"]: u["calls"] for u in made["uncovered"]}
    assert sum(found.values()) == 4
    assert {name.split(".")[-1] for name in found} == {"add", "tanh"}


class Fickle(nn.Module):  # type: ignore[misc,name-defined]
    """Takes another way where bfloat16 rounds 257/256 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.other = linear([[1.0]]), linear([[1.0]]), linear([[1.0]])

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.one(y) if y.item() > 1 else self.other(y)


def test_a_differing_call_sequence_has_diverged() -> None:
    made = audited(Fickle(), torch.tensor([[257 / 256]]), formats="bfloat16,bposit32")
    rows = {r["format"]: r for r in made["layers"][0]["rows"]}
    assert rows["bfloat16"]["diverged"]
    assert rows["bfloat16"]["cumulative_failed"]
    assert not rows["bposit32"]["diverged"]


def test_the_model_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.ReLU()).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    threads = torch.get_num_threads()
    made = audited(model, torch.randn(2, 4))
    assert made["layers"][1]["rows"][0]["local_sqnr"] > 50  # nothing is dropped
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.get_num_threads() == threads


def test_attention_embedding_recurrence_and_scaled_formats() -> None:
    torch.manual_seed(0)

    class Net(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.table, self.rnn = nn.Embedding(9, 8), nn.LSTM(8, 8, batch_first=True)
            self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
            self.out = nn.Linear(8, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            x, _ = self.rnn(self.table(tokens))
            return self.out(self.mix(x, x, x)[0])

    made = audited(
        Net(), torch.tensor([[1, 2, 8], [0, 3, 4]]), formats="bposit16,mxfp8,float8_e5m2@amax",
        metric=lambda y: y.sum(),
    )  # fmt: skip
    assert [x["kind"] for x in made["layers"]] == [
        "Embedding",
        "LSTM",
        "MultiheadAttention",
        "Linear",
    ]
    for layer in made["layers"]:
        by = {r["format"]: r["cumulative_sqnr"] for r in layer["rows"]}
        assert by["bposit16"] > 40 > by["mxfp8"] > 10
        assert all(r["metric_change"] for r in layer["rows"])


def test_beyond_the_references_ceiling() -> None:
    torch.manual_seed(0)
    made = audited(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), torch.randn(2, 4), formats="bposit64")
    row = made["layers"][1]["rows"][0]
    assert row["cumulative_exact"] or row["cumulative_sqnr"] > row["ceiling"]
    assert 200 < row["ceiling"] < 310


def test_steps_and_stagnation() -> None:
    def lost(w: list[float], u: list[float], name: str) -> Any:
        weights = Weights([parse(name)])
        weights.step({("x", "w"): np.array(w)})
        weights.step({("x", "w"): np.array(w) + np.array(u)})
        return weights.row("x", parse(name))["stagnation"]

    # 1 + 2^-12 rounds to 1 in bposit16 (8 fraction bits), 1 + 2^-7 does not
    assert lost([1.0] * 4, [2.0**-12, 2.0**-7, 0.0, -(2.0**-12)], "bposit16") == 2 / 3
    assert lost([1.0] * 2, [2.0**-12, 2.0**-7], "bfloat16") == 1 / 2
    assert lost([1.0] * 2, [0.0] * 2, "mxfp8") is None
    # half a gap ties to even and stays, half a gap and a little does not
    assert lost([1.0] * 2, [2.0**-9, 2.0**-9 + 2.0**-52], "bposit16") == 1 / 2
    layer = linear([[1.0, 1.0]])
    with Audit(layer, "bposit16") as audit:
        layer(torch.ones(1, 2))
        with torch.no_grad():
            layer.weight += torch.tensor([[2.0**-12, 2.0**-6]])
        layer(torch.ones(1, 2))
    made = validated(audit.report)
    assert [x["step"] for x in made["layers"]] == [0, 1]
    assert [x["rows"][0]["stagnation"] for x in made["layers"]] == [None, 0.5]

    class Writer:
        def __init__(self) -> None:
            self.seen: list[tuple[str, float, int | None]] = []

        def add_scalar(self, tag: str, value: float, step: int | None = None) -> None:
            self.seen.append((tag, value, step))

    writer = Writer()
    assert add_to_tensorboard(made, writer) == len(writer.seen) > 5
    assert ("audit/stagnation/bposit16_quire/(model)", 0.5, 1) in writer.seen


def test_posits_take_updates_exactly() -> None:
    # 1 + 2^-9 is a tie to 1 in bposit16; 2^-60 more is not, though float64 loses it
    u = np.array([2.0**-9, 2.0**-9 + 2.0**-60])
    assert added(np.ones(2), u, parse("bposit16")).tolist() == [1.0, 1 + 2.0**-8]
    assert added(np.ones(2), u, parse("bfloat16")).tolist() == [1.0, 1.0]


def test_drift_over_steps_by_hand() -> None:
    # in bposit16 (8 fraction bits) 1 stays 1 under every 2^-12; the exact weight walks away
    u = 2.0**-12
    weights, f = Weights([parse("bposit16"), parse("bposit32")]), parse("bposit16")
    weights.step({("x", "w"): np.array([1.0])})
    assert weights.row("x", f) == {
        "stagnation": None, "drift_sqnr": None, "drift_exact": False, "drift_failed": False,
    }  # fmt: skip
    for k in range(1, 4):
        weights.step({("x", "w"): np.array([1 + k * u])})
        row = weights.row("x", f)
        assert row["stagnation"] == 1.0
        weights.begin()
        assert row["drift_sqnr"] == pytest.approx(20 * np.log10((1 + k * u) / (k * u)))
        assert weights.row("x", parse("bposit32"))["drift_exact"]
    # a step that moves it: 1 + 2^-8 + 3·2^-12 less 3·2^-12 is 3·2^-12 away from 1 + 2^-8
    weights.step({("x", "w"): np.array([1 + 3 * u + 2.0**-8])})
    row = weights.row("x", f)
    assert row["stagnation"] == 0.0
    assert row["drift_sqnr"] == pytest.approx(20 * np.log10((1 + 3 * u + 2.0**-8) / (3 * u)))
    # another shape starts anew; infinity fails
    weights.step({("x", "w"): np.array([1.0, 2.0])})
    assert weights.row("x", f)["drift_sqnr"] is None
    weights.step({("x", "w"): np.array([np.inf, 2.0])})
    assert weights.row("x", f)["drift_failed"]
    assert weights.row("y", f)["stagnation"] is None


def test_updates_between_measured_calls_are_followed() -> None:
    # 16 updates of 2^-12: each alone is lost in bposit16, their sum 2^-8 is not
    def trained(followed: bool) -> Any:
        layer = linear([[1.0]])
        audit = Audit(layer, "bposit16")
        audit.measure(torch.ones(1, 1))
        for _ in range(16):
            with torch.no_grad():
                layer.weight += 2.0**-12
            if followed:
                audit.follow()
        audit.measure(torch.ones(1, 1))
        return validated(audit.report)["layers"]

    first, last = trained(True)
    assert (first["step"], last["step"]) == (0, 16)
    assert last["rows"][0]["stagnation"] == 1.0
    assert last["rows"][0]["drift_sqnr"] == pytest.approx(20 * np.log10(257), rel=1e-8)
    layer = linear([[1.0]])
    with Audit(layer, "bposit16") as audit:
        for u in (0.0, 2.0**-12, 1.0, 0.0):
            with torch.no_grad():
                layer.weight += u
            layer(torch.ones(1, 1))
    shares = [x["rows"][0]["stagnation"] for x in audit.report["layers"]]
    assert shares == [None, 1.0, 0.0, None]  # each of its own updates alone
    first, last = trained(False)
    assert (first["step"], last["step"]) == (0, 1)
    assert last["rows"][0]["stagnation"] == 0.0
    assert last["rows"][0]["drift_exact"]


def test_error_grows_with_steps() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(40, 30)
    with Audit(layer, "bposit16,bposit32") as audit:
        for _ in range(6):
            layer(torch.ones(2, 40))
            with torch.no_grad():
                layer.weight += 1e-5
    made = validated(audit.report)
    drift = {f: [r["drift_sqnr"] for x in made["layers"] for r in x["rows"] if r["format"] == f]
             for f in ("bposit16", "bposit32")}  # fmt: skip
    assert drift["bposit16"][0] is None
    assert sorted(drift["bposit16"][1:], reverse=True) == drift["bposit16"][1:]
    assert drift["bposit16"][1] > drift["bposit16"][-1] + 1
    assert {r["drift_exact"] for x in made["layers"][1:] for r in x["rows"][1:]} == {True}


def test_versor_defect_by_hand() -> None:
    from torch_bridge.clifford import Algebra
    from torch_bridge.clifford.nn import RotorLayer

    algebra = Algebra(2)
    layer = RotorLayer(algebra, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.6, 0.8]]))
    x = algebra.vector(torch.tensor([[[1.0, 2.0]]]))
    made = audited(layer, x, formats="bposit16,bfloat16,bposit32")
    (found,) = made["layers"]
    assert (found["kind"], found["shape"]) == ("RotorLayer", [1, 1, 2])
    defect = {r["format"]: r["versor_defect"] for r in found["rows"]}
    # bfloat16 has 0.6015625 = 154/256 and 0.80078125 = 205/256
    assert defect["bfloat16"] == pytest.approx((154**2 + 205**2) / 256**2 - 1, rel=1e-8)
    assert 0 < defect["bposit32"] < 1e-6 < defect["bposit16"]
    plain = audited(nn.Linear(2, 2), torch.ones(1, 2))
    assert {r["versor_defect"] for r in plain["layers"][0]["rows"]} == {None}


def test_multivectors_pass_between_units() -> None:
    from torch_bridge.clifford import Cl3
    from torch_bridge.clifford.nn import GradeLinear, RotorLayer

    class Net(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.turn, self.mix = RotorLayer(Cl3, 1), GradeLinear(Cl3, 1, 2, grades=(1,))

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(self.turn(Cl3.vector(x))).coefficients

    torch.manual_seed(0)
    made = audited(Net(), torch.randn(4, 1, 3))
    assert [(x["name"], x["kind"]) for x in made["layers"]] == [
        ("turn", "RotorLayer"), ("mix", "GradeLinear"),
    ]  # fmt: skip
    for layer in made["layers"]:
        assert all(30 < r["cumulative_sqnr"] < 80 for r in layer["rows"])


def test_the_same_report_for_any_number_of_threads() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(60, 60), nn.GELU(), nn.Linear(60, 60)), torch.randn(70, 60)
    before, made = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        made.append(json.dumps(audited(model, x, accumulate="quire,float32")))
    torch.set_num_threads(before)
    assert made[0] == made[1]


class Odd(nn.Module):  # type: ignore[misc,name-defined]
    def __init__(self, before: Any) -> None:
        super().__init__()
        self.layer, self.before = linear([[1.0, 2.0, 3.0]]), before

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.before(x))


def test_odd_outputs() -> None:
    formats, x = "bposit16,float8_e4m3fn@amax,mxfp8", torch.ones(4, 3)
    made = audited(Odd(lambda x: x[:0]), x, formats=formats)
    assert [(a["shape"], a["rows"]) for a in made["layers"]] == [([0, 1], [])]
    for made in (audited(Odd(lambda x: x * float("inf")), x, formats=formats),
                 audited(Odd(lambda x: x * float("nan")), x, formats=formats)):  # fmt: skip
        assert [r["cumulative_failed"] for r in made["layers"][0]["rows"]] == [True] * 3
        assert made["layers"][0]["rows"][0]["nar"] == 4
    made = audited(Odd(lambda x: x * 0), x, formats=formats)
    assert [r["cumulative_exact"] for r in made["layers"][0]["rows"]] == [True] * 3
    made = audited(nn.LSTM(3, 2), x, formats=formats)
    assert [a["shape"] for a in made["layers"]] == [[4, 2]]
    made = audited(linear([[1.0, 1 / 3, 0.0]]).bfloat16(), x.bfloat16(), formats="bfloat16")
    assert made["layers"][0]["rows"][0]["quantization_exact"]


def test_the_best_format_of_each_output() -> None:
    torch.manual_seed(0)
    made = audited(nn.Linear(30, 40), torch.randn(20, 30), formats="bposit16", best=10)
    found = made["layers"][0]["best"]
    assert len(found) == 3
    assert found[0]["sqnr"] >= found[1]["sqnr"] >= found[2]["sqnr"] > 30
    assert found[0]["saved"] == 1 - 10 / 32
    assert found[0]["bytes"] == 1000
    assert audited(nn.Linear(3, 4), torch.randn(2, 3), formats="bposit16")["layers"][0][
        "best"
    ] == []  # fmt: skip


def test_bad_arguments() -> None:
    with pytest.raises(BadInput):
        Audit(nn.ReLU(), "mxfp8", accumulate="per_op")
    with pytest.raises(BadInput):
        Audit(nn.ReLU(), sample=0)


SCRIPT = """
import torch
def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh())
class Named(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
    def forward(self, *, x, scale):
        return self.layer(x) * scale
def named():
    torch.manual_seed(0)
    return Named(), lambda y: y.mean()
def raises():
    raise RuntimeError("two\\nlines")
def exits():
    raise SystemExit(0)
def number():
    return 3
def interrupted():
    raise KeyboardInterrupt
class Slow(torch.nn.Module):
    calls = 0
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
    def forward(self, input):
        Slow.calls += 1
        if Slow.calls == 3:
            raise KeyboardInterrupt
        return self.layer(input)
number_attribute = 3
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(SCRIPT)
    np.savez(tmp_path / "in.npz", x=np.ones((2, 4), np.float32), scale=np.int64(2))
    np.savez(tmp_path / "one.npz", input=np.ones((2, 4), np.float32))
    return tmp_path / "net.py"


def test_a_script(script: Path) -> None:
    common = ("--inputs", str(script.with_name("in.npz")), "--formats", "bposit16,bfloat16")
    made = validated(json.loads(good("audit", f"{script}:named", *common, "--json")))
    assert [x["name"] for x in made["layers"]] == ["layer"]
    assert [i["name"] for i in made["inputs"]] == ["net.py", "in.npz"]
    assert made["layers"][0]["rows"][0]["metric_change"] != 0
    assert str(script.parent) not in json.dumps(made)
    assert "bposit16" in good("audit", f"{script}:named", *common)
    gate = ("--fail-if", "cumulative_sqnr[bposit16] < 40 or nar > 0")
    assert run("audit", f"{script}:named", *common, *gate).exit_code == 0
    gate = ("--fail-if", "cumulative_sqnr[bposit16] > 40")
    assert run("audit", f"{script}:named", *common, *gate).exit_code == 1
    one = ("--inputs", str(script.with_name("one.npz")), "--layers", "1")
    made = json.loads(good("audit", f"{script}:make", *one, "--json", "--best", "9"))
    assert made["settings"]["best"] == 9
    assert len(made["layers"][0]["best"]) == 3
    assert [x["name"] for x in made["layers"]] == ["1"]


def test_interrupted_scripts_leave_a_partial_report(script: Path) -> None:
    common = ("--inputs", str(script.with_name("one.npz")), "--formats", "bposit16,bfloat16,mxfp8")
    for name, rows in (("interrupted", None), ("Slow", 1)):
        result = run("audit", f"{script}:{name}", *common, "--json")
        assert result.exit_code == 130
        made = validated(json.loads(result.stdout))
        assert not made["complete"]
        assert [len(x["rows"]) for x in made["layers"]] == ([] if rows is None else [rows])


@pytest.mark.parametrize("name", ["load", "hashed"])
def test_interrupted_before_the_script_it_leaves_an_empty_report(
    name: str, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"bposit.audit.script.{name}", interrupt)
    result = run("audit", f"{script}:named", "--inputs", str(script.with_name("in.npz")), "--json")
    assert result.exit_code == 130
    made = validated(json.loads(result.stdout))
    assert (made["complete"], made["layers"], made["inputs"]) == (False, [], [])


def test_scripts_that_fail(script: Path) -> None:
    inputs = ("--inputs", str(script.with_name("in.npz")))
    for name in ("raises", "exits", "number", "number_attribute", "missing"):
        assert name in bad("audit", f"{script}:{name}", *inputs)
    bad("audit", f"{script}:named")
    bad("audit", f"{script}:make", *inputs)  # takes other keywords
    bad("audit", f"{script}:named", "--inputs", "missing.npz")
    bad("audit", f"{script.with_name('other.py')}:make", *inputs)
    bad("audit", f"{script}:named", *inputs, "--layers", "nothing")
    bad("audit", f"{script}:named", *inputs, "--accumulate", "bfloat16")
    bad("audit", f"{script}:named", *inputs, "--fail-if", "sqnr < 3")
    script.write_text("this is no Python")
    assert "SyntaxError" in bad("audit", f"{script}:make", *inputs)


@pytest.mark.parametrize(
    ("unit", "shape"),
    [(lambda: nn.GELU(), (5, 6, 70)), (lambda: nn.LayerNorm(70), (5, 6, 70)),
     (lambda: nn.RMSNorm(70), (30, 70)), (lambda: nn.Hardswish(), (70,))],
)  # fmt: skip
@pytest.mark.parametrize("name", ["bposit16", "mxfp8", "float8_e4m3fn@amax"])
def test_units_by_rows_are_measured_on_rows_as_on_all(
    unit: Any, shape: tuple[int, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch_bridge.audit

    torch.manual_seed(0)
    model, x = unit(), torch.randn(*shape)
    some = audited(model, x, formats=name, sample=64)
    monkeypatch.setattr(torch_bridge.audit, "is_by_rows", lambda *_: False)
    assert audited(model, x, formats=name, sample=64) == some


class InPlace(nn.Module):
    """h + relu_(h), where both are relu(h)."""

    def __init__(self) -> None:
        super().__init__()
        self.rectify = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        h = x * 1.0
        return h + self.rectify(h)


class Triple(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mul_(3.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_units_that_work_in_place(dtype: Any) -> None:
    x = torch.tensor([[-1.0, 2.0, 3.0, -4.0]], dtype=dtype)  # exact in the format, as all results
    for model in (Triple(), nn.Sequential(nn.ReLU(inplace=True), nn.Identity()),
                  nn.Sequential(InPlace(), nn.Identity())):  # fmt: skip
        audit = Audit(model, "bfloat16,bposit16")
        audit.measure(x)
        assert x[0, 0] == -1
        for layer in validated(audit.report)["layers"]:
            for row in layer["rows"]:
                assert row["local_exact"]
                assert row["cumulative_exact"]


class Remembering(nn.Module):
    """Adds what it had before, counts in a buffer, and draws at random."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Any = 0.0
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.before = self.before + x
        return self.before * self.calls


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unit, self.last = Remembering(), nn.Identity()
        self.before: Any = 0.0

    def forward(self, x: Any) -> Any:
        self.before = self.before + self.unit(x) + self.unit(x)
        return self.last(self.before + torch.randint(9, x.shape))


def test_nothing_that_a_model_keeps_passes_from_one_format_to_the_next() -> None:
    made = audited(Twice(), torch.tensor([1.0, 2.0]), formats="bposit32,float32,bposit16")
    assert [(x["name"], x["call"]) for x in made["layers"]] == [("unit", 0), ("unit", 1),
                                                                ("last", 0)]  # fmt: skip
    for layer in made["layers"]:
        assert all(row["local_exact"] and row["cumulative_exact"] for row in layer["rows"])


def test_the_random_state_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model = Twice()
    audit = Audit(model, "bposit16")
    audit.measure(torch.tensor([1.0, 2.0]))
    assert torch.equal(torch.rand(2), expected)
    assert model.before == 0.0


def test_hooks_of_the_model_run_once() -> None:
    unit = nn.ReLU()
    unit.register_forward_hook(lambda *given: given[-1] * 2)
    model = nn.Sequential(unit, nn.Identity())
    made = audited(model, torch.tensor([[1.0, -2.0]]), formats="bfloat16,bposit16")
    for layer in made["layers"]:
        assert all(row["local_exact"] and row["cumulative_exact"] for row in layer["rows"])


def test_weights_of_recurrent_units_are_the_formats() -> None:
    unit = nn.LSTM(4, 3)
    made = audited(unit, torch.ones(2, 1, 4), formats="bfloat16")
    (row,) = made["layers"][0]["rows"]
    assert not row["quantization_exact"]
    with torch.no_grad():
        for p in unit.parameters():
            p.copy_(p.bfloat16().float())
    (row,) = audited(unit, torch.ones(2, 1, 4), formats="bfloat16")["layers"][0]["rows"]
    assert row["quantization_exact"]


_ODD = """
import os, sys, torch
class Bare(BaseException): pass
class Silent(Exception):
    def __str__(self): raise RuntimeError("no words")
class Lazy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
    def forward(self, input):
        import beside
        return self.layer(input) * beside.two
class Mute(Lazy):
    def forward(self, input): raise Silent
def bare(): raise Bare("gone")
def closed(): raise GeneratorExit
def silent(): raise Silent
def wanders():
    print("on the way")
    os.chdir("/")
    return Lazy()
"""


def test_odd_scripts(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script.write_text(_ODD)
    script.with_name("beside.py").write_text("two = 2\n")
    monkeypatch.chdir(script.parent)
    inputs = ("--inputs", "one.npz", "--formats", "bposit16")
    for name in ("bare", "closed", "silent", "Mute"):
        assert name in bad("audit", f"net.py:{name}", *inputs)
    result = run("audit", "net.py:wanders", *inputs, "--json", "--out", "here")
    assert result.exit_code == 0
    assert validated(json.loads(result.stdout))["complete"]
    assert result.stderr == "on the way\n"
    assert (script.parent / "here" / "report.html").is_file()


def test_a_gate_on_formats_that_accumulate_differently(script: Path) -> None:
    common = ("--inputs", str(script.with_name("in.npz")), "--formats", "bposit16,bfloat16")
    for limit, code in (("400", 1), ("4", 0)):
        gate = f"cumulative_sqnr[bposit16] < {limit} and cumulative_sqnr[bfloat16] < {limit}"
        assert run("audit", f"{script}:named", *common, "--fail-if", gate).exit_code == code


def test_no_text_claims_more_than_its_ceiling() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(linear([[0.1, 0.3]]), linear([[0.7], [0.2]]))
    made = audited(model, torch.randn(3, 2), formats="bposit32")
    (over,) = made["summary"]
    row = made["layers"][1]["rows"][0]
    assert over["worst_ceiling"] in {layer["rows"][0]["ceiling"] for layer in made["layers"]}
    assert row["local_ceiling"] > row["ceiling"]
    high = {"worst_sqnr": 400.0, "median_sqnr": 400.0}
    shown = text.summary_cells({**over, **high})[1:3]
    assert shown == [f"≥ {over[f'{which}_ceiling']:.0f}" for which in ("worst", "median")]
    between = (row["ceiling"] + row["local_ceiling"]) / 2
    assert text.decibel_text({**row, "local_sqnr": between}, "local_sqnr") == f"{between:.1f}"
    assert text.decibel_text({**row, "cumulative_sqnr": between}, "cumulative_sqnr")[0] == "≥"


def test_exact_only_says_at_least_where_the_reference_is_float64() -> None:
    model = nn.Sequential(linear([[0.7], [0.2]]), nn.Tanh())
    made = audited(model, torch.randn(3, 1), formats="bposit64")
    (row,) = made["layers"][1]["rows"]
    assert row["local_exact"]
    assert row["cumulative_exact"]
    assert text.decibel_text(row, "local_sqnr") == f"≥ {row['local_ceiling']:.0f}"
    assert text.decibel_text(row, "cumulative_sqnr") == f"≥ {row['ceiling']:.0f}"
    assert text.decibel_text(row, "accumulation_sqnr") == "exact"  # of a quire, by what it is
    (over,) = made["summary"]
    assert text.summary_cells(over)[1] == f"≥ {over['worst_ceiling']:.0f}"


_METRICS = """
import torch
def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh())
def never():
    return make(), lambda y: float("nan")
"""


def test_gates_on_what_a_model_does_not_have(script: Path) -> None:
    script.write_text(_METRICS)
    common = ("--inputs", str(script.with_name("one.npz")), "--formats", "bposit16,mxfp8")
    for figure in ("metric_change", "versor_defect[bposit16]", "stagnation", "drift_sqnr"):
        gate = f"nar > 0 or {figure} > 1"
        assert figure in bad("audit", f"{script}:make", *common, "--fail-if", gate)
    per_op = ("--accumulate", "per_op", "--fail-if", "cumulative_sqnr[mxfp8] < 300")
    assert "[mxfp8]" in bad("audit", f"{script}:make", *common, *per_op)
    never = ("audit", f"{script}:never", *common, "--fail-if", "metric_change > 1")
    assert run(*never).exit_code == 1


def test_a_baseline_of_another_kind(script: Path, tmp_path: Path) -> None:
    common = ("--inputs", str(script.with_name("one.npz")), "--formats", "bposit16")
    old = tmp_path / "old.json"
    old.write_text(good("audit", f"{script}:make", *common, "--json"))
    good("audit", f"{script}:make", *common, "--baseline", str(old))
    np.save(tmp_path / "w.npy", np.ones(3))
    assert "kind" in bad("audit", str(tmp_path / "w.npy"), "--baseline", str(old))
