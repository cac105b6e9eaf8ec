"""Certificates: what they state follows from the files, and nothing else passes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import posit
import quire
import torch_bridge as tb
from posit import PositSpec
from torch_bridge.adaptive.certificate import (
    Certificate,
    CertificateError,
    Form,
    QuireBound,
    certify,
    hash_of,
)
from torch_bridge.clifford import Algebra

EVEN = (0, 0b011, 0b101, 0b110)  # the blades of a rotor of Cl(3, 0)


def state() -> dict[str, Tensor]:
    return {
        "rotor": tb.tensor([[0.5, -0.5, 0.5, 0.5], [1, 0, 0, 0]], spec="bposit16"),
        "scale": torch.tensor([1.5, -2.25], dtype=torch.float64),
        "steps": torch.tensor(7),
    }


def certificate(**changes: Any) -> Certificate:
    given: dict[str, Any] = {
        "model": "attitude", "serial": 3, "multivectors": {"rotor": ((3, 0, 0), EVEN)}
    }  # fmt: skip
    return certify(state(), **{**given, **changes})


def test_it_states_what_is_there() -> None:
    made = certificate()
    assert made.tensors["rotor"] == Form("16,6,5", (2, 4), (3, 0, 0), EVEN)
    assert made.tensors["scale"] == Form("float64", (2,))
    assert made.tensors["steps"] == Form("int64", ())
    assert made.quire == QuireBound("16,6,5", products=9, guard=31, width=808, lsb=-392)
    made.check(state())


def test_json_gives_it_back() -> None:
    for made in (certificate(), certify({"a": torch.ones(2)}, model="floats", serial=0)):
        assert Certificate.from_json(made.to_json()) == made
        assert Certificate.from_json(made.to_json().encode()) == made


def test_any_program_can_check_it_from_the_two_files(tmp_path: Path) -> None:
    """With no more than JSON, SHA-256, and the documented layout of safetensors."""
    made = certificate()
    tb.save_safetensors(state(), tmp_path / "w")
    data, stated = (tmp_path / "w").read_bytes(), json.loads(made.to_json())
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    notes = header.pop("__metadata__")
    total = hashlib.sha256()
    for name in sorted(header):
        form = stated["tensors"][name]
        kind = {"F64": "float64", "I64": "int64", "I16": "int16"}[header[name]["dtype"]]
        assert form["numbers"] == notes.get(f"posit:{name}", kind)
        assert form["shape"] == header[name]["shape"]
        assert not form["blades"] or len(form["blades"]) == form["shape"][-1]
        begin, end = header[name]["data_offsets"]
        total.update(json.dumps([name, form["numbers"], form["shape"]]).encode() + b"\n")
        total.update(body[begin:end])
    assert total.hexdigest() == stated["weights"]
    n, rs, es = map(int, stated["quire"]["format"].split(","))
    span = 4 * (rs << es) + 2 * (n - 1 - rs - es)  # docs/quire.md
    assert stated["quire"]["width"] == 1 + stated["quire"]["guard"] + span
    assert stated["quire"]["products"] < 1 << stated["quire"]["guard"]


# ---- the hash
def changed(name: str, x: Tensor | None, rename: str | None = None) -> dict[str, Tensor]:
    found = state()
    old = found.pop(name)
    if x is not None or rename:
        found[rename or name] = old if x is None else x
    return found


def test_the_hash_is_of_names_numbers_shapes_and_elements() -> None:
    rotor = state()["rotor"]
    patterns = rotor.bits()  # type: ignore[attr-defined]
    others = [
        changed("rotor", rotor.reshape(4, 2)),
        changed("rotor", tb.from_bits(patterns, PositSpec(16, 5, 5))),
        changed("rotor", patterns),
        changed("rotor", rotor.T.contiguous()),
        changed("rotor", None, "rotos"),
        changed("steps", None),
        changed("steps", torch.tensor(7, dtype=torch.int32)),
        changed("scale", torch.tensor([-2.25, 1.5], dtype=torch.float64)),
        {**state(), "more": torch.empty(0)},
        {**state(), "more": torch.empty(0, 3)},
    ]
    hashes = [hash_of(x) for x in [state(), *others]]
    assert len(set(hashes)) == len(hashes)
    backwards = dict(reversed(state().items()))
    assert hash_of(backwards) == hash_of(state())
    assert hash_of(changed("rotor", rotor.T.contiguous().T)) == hash_of(state())  # memory order


def test_every_bit_of_the_weights_is_in_the_hash() -> None:
    patterns = state()["rotor"].bits().numpy()  # type: ignore[attr-defined]
    seen = {hash_of(state())}
    for at in np.ndindex(patterns.shape):
        for bit in range(16):
            wrong = patterns.copy()
            wrong[at] ^= np.array(1 << bit, np.uint16).view(np.int16)
            seen.add(hash_of(changed("rotor", tb.from_bits(torch.from_numpy(wrong), "bposit16"))))
    assert len(seen) == 1 + 16 * patterns.size


# ---- what does not hold
def altered(**changes: Any) -> Certificate:
    return dataclasses.replace(certificate(), **changes)


def with_form(name: str, **changes: Any) -> Certificate:
    tensors = certificate().tensors
    return altered(tensors={**tensors, name: dataclasses.replace(tensors[name], **changes)})


def with_quire(**changes: Any) -> Certificate:
    bound = certificate().quire
    assert bound is not None
    return altered(quire=dataclasses.replace(bound, **changes))


WRONG: list[tuple[Callable[[], Certificate], str]] = [
    (lambda: altered(weights="0" * 64), "the weights are not the certified ones"),
    (lambda: altered(tensors={}), "rotor: nothing is stated"),
    (lambda: altered(quire=None), "it states no quire, but there are posits"),
    (lambda: with_form("rotor", numbers="32,6,5"), "rotor: Form.*32,6,5.*is stated"),
    (lambda: with_form("scale", shape=(1, 2)), "scale: Form"),
    (lambda: with_form("rotor", blades=(0, 3, 5)), "3 blade masks for 4 coefficients"),
    (lambda: with_form("rotor", blades=(0, 3, 5, 8)), r"8 is no blade mask of Cl\(3, 0, 0\)"),
    (lambda: with_form("rotor", blades=(0, 3, 5, 5)), "a blade mask stands twice"),
    (lambda: with_form("rotor", algebra=None), "it has blade masks, but no algebra"),
    (lambda: with_form("rotor", algebra=(4, 0, -1)), "there is no algebra"),
    (lambda: with_form("steps", algebra=(3, 0, 0), blades=(0,)), "1 blade masks for 0"),
    (lambda: with_quire(products=8), "8 products are stated, but one .* may take 9"),
    (lambda: with_quire(guard=30), "the quire of <16,6,5> is"),
    (lambda: with_quire(width=800), "the quire of <16,6,5> is"),
    (lambda: with_quire(lsb=-384), "the quire of <16,6,5> is"),
    (lambda: with_quire(products=2**31), "sums of 2147483648 products: with 31 carry-guard bits"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "complaint"), WRONG, ids=[text for _, text in WRONG])
def test_what_is_not_so_does_not_pass(make: Callable[[], Certificate], complaint: str) -> None:
    with pytest.raises(CertificateError, match=complaint):
        make().check(state())


def test_a_check_that_looks_at_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One reason each: without the part that finds it, the altered certificate passes."""
    monkeypatch.setattr(QuireBound, "objections", lambda *_: [])
    monkeypatch.setattr(Form, "objections", lambda _: [])
    passed = 0
    for make, _ in WRONG:
        try:
            make().check(state())
        except CertificateError:
            continue
        passed += 1
    assert passed == sum("quire of" in text or "products" in text for _, text in WRONG) + 6


@pytest.mark.parametrize("name", ["rotor", "scale"])
def test_nar_is_not_certified(name: str) -> None:
    made, found = certificate(), state()
    found[name] = found[name].clone()
    if name == "rotor":
        found[name].bits()[0, 2] = posit.bposit16.nar  # type: ignore[attr-defined]
    else:
        found[name][0] = torch.inf
    complaint = f"{name}: it holds (NaR|numbers that are not finite)"
    with pytest.raises(CertificateError, match=complaint):
        certify(found, model="attitude", serial=3)
    with pytest.raises(CertificateError, match=complaint):
        dataclasses.replace(made, weights=hash_of(found)).check(found)


def test_formats_and_multivectors_that_are_not_there() -> None:
    both = {**state(), "wide": tb.tensor([1.0], spec="bposit32")}
    with pytest.raises(ValueError, match=r"posits of <16,6,5>, <32,6,5>: say in which"):
        certify(both, model="m", serial=0)
    made = certify(both, model="m", serial=0, format="bposit32")
    assert made.quire is not None
    assert made.quire.width == quire.Layout.exact(posit.bposit32).width
    with pytest.raises(ValueError, match="there is no tensor 'rotos'"):
        certificate(multivectors={"rotos": ((3, 0, 0), EVEN)})


class Noted(nn.Linear):
    """Its state is not tensors alone."""

    def get_extra_state(self) -> dict[str, int]:
        return {"seen": 7}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"serial": "1"}, "serial='1': possible"), ({"serial": 1.5}, "serial=1.5"),
        ({"serial": -1}, "serial=-1"), ({"serial": True}, "serial=True"), ({"model": 7}, "model=7"),
        ({"products": 100.5}, "products=100.5"), ({"products": 0}, "products=0"),
        ({"multivectors": {"rotor": ((3, 0), EVEN)}}, r"'rotor' is \(p, q, r\), got \(3, 0\)"),
        ({"multivectors": {"rotor": ((3.0, 0, 0), EVEN)}}, "got .3.0, 0, 0"),
        ({"multivectors": {"rotor": (Algebra(3), EVEN)}}, r"got Algebra\(3, 0, 0\)"),
    ],
)  # fmt: skip
def test_what_no_certificate_can_say(changes: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        certificate(**changes)


def test_what_numpy_lacks() -> None:
    with pytest.raises(TypeError, match=r"weight is torch.bfloat16, which NumPy lacks"):
        certify(nn.Linear(2, 2).bfloat16(), model="m", serial=0)
    with pytest.raises(TypeError, match="_extra_state is no tensor, but dict"):
        certify(Noted(2, 2), model="m", serial=0)


@pytest.mark.parametrize("spec", ["bposit16", "8,6,5"])
def test_the_bound_is_the_quires_own(spec: str) -> None:
    """Sums of 2^31 - 1 products of maxpos are exact; one more may not be (here for <8,6,5>)."""
    found = PositSpec.parse(spec)
    maxpos = np.array(found.maxpos_pattern, found.storage)
    power, total = quire.Quire(found), quire.Quire(found)
    power.fma(maxpos, maxpos)
    for _ in range(31):  # Σ 2^k for k < 31
        total.merge(power)
        power.merge(power.copy())
    products = quire.Layout.exact(found).capacity
    assert total.value == products * found.maxpos**2
    assert QuireBound.of(found, products).objections(1) == []
    assert QuireBound.of(found, products + 1).objections(1)
    if found.f_min < 0:
        assert power.value is None  # 2^31 products: NaR


# ---- texts that are no certificates
def test_texts_of_other_shapes_are_refused() -> None:
    good = json.loads(certificate().to_json())
    bad: list[Any] = [
        None, [], {}, "x", 7, {**good, "certificate": 2}, {**good, "more": 1},
        {**good, "serial": "3"}, {**good, "serial": True}, {**good, "serial": 3.0},
        {**good, "model": 3}, {**good, "tensors": []}, {**good, "quire": []},
        {**good, "tensors": {"a": {}}}, {**good, "quire": {**good["quire"], "format": "16"}},
        {**good, "quire": {**good["quire"], "products": 1e3}},
        {**good, "tensors": {"a": {**good["tensors"]["rotor"], "shape": [2.0, 4]}}},
        {**good, "tensors": {"a": {**good["tensors"]["rotor"], "algebra": [3, 0]}}},
        {**good, "tensors": {"a": {**good["tensors"]["rotor"], "blades": ["0"]}}},
        {key: value for key, value in good.items() if key != "weights"},
    ]  # fmt: skip
    for text in [*map(json.dumps, bad), "", "{", "[" * 100_000, "\0", b"\xff"]:
        with pytest.raises(CertificateError, match="no certificate of version 1"):
            Certificate.from_json(text)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3) | st.floats(),
                    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x)),
       st.sampled_from([None, "tensors", "quire", "serial", "weights", "certificate"]))  # fmt: skip
def test_no_json_breaks_the_reader(value: Any, key: str | None) -> None:
    good = json.loads(certificate().to_json())
    text = json.dumps(value if key is None else {**good, key: value})
    try:
        made = Certificate.from_json(text)
    except CertificateError:
        return
    if key is None:
        raise AssertionError(text)
    if made != certificate():
        try:
            made.check(state())
        except CertificateError:
            return
        assert key == "serial"


# ---- another version in the same place
def test_only_the_same_model_fits() -> None:
    made = certificate()
    altered(serial=9, weights="0" * 64).fits(made)
    with_quire(products=100).fits(made)
    for other, complaint in (
        (altered(model="gait"), "of model 'gait', not 'attitude'"),
        (altered(quire=None), "its sums are of None, not of 16,6,5"),
        (with_form("rotor", shape=(3, 4)), "rotor: Form"),
        (with_form("rotor", blades=(0, 1, 2, 4)), "rotor: Form"),
        (with_form("rotor", algebra=(2, 1, 0)), "rotor: Form"),
    ):
        with pytest.raises(CertificateError, match=f"is not for this place: .*{complaint}"):
            other.fits(made)


def test_a_converted_model_is_certified_as_its_file() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    tb.convert_(model)
    made = certify(model, model="m", serial=1)
    assert made.tensors["0.weight"] == Form("16,6,5", (4, 3))
    assert made.tensors["1.running_mean"] == Form("float64", (4,))
    made.check(model)
    made.check(dict(model.state_dict()))
    with torch.no_grad():
        model[0].weight[0, 0] += 1
    with pytest.raises(CertificateError, match="the weights are not the certified ones"):
        made.check(model)
