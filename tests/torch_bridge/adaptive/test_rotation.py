"""A slot takes what is sound, refuses and records what is not, and rolls back to the same bits."""

from __future__ import annotations

import builtins
import logging
import os
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("cryptography")

import torch_bridge as tb
from bposit.recorder import Recorder
from bposit.records import verify
from tests.bposit.test_records import largest_file
from torch_bridge.adaptive.certificate import CertificateError, certify
from torch_bridge.adaptive.rotation import ModelSlot, Refused, kl_divergence
from torch_bridge.adaptive.versions import CERTIFICATE, SIGNATURE, WEIGHTS, publish

from .making import (
    FAR,
    KEY,
    MODEL,
    PROBES,
    WRITER,
    TwoLayers,
    bits,
    inputs,
    recorder,
    slot_of,
    version,
)

X = inputs(3)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Recorder]:
    with recorder(tmp_path) as made:
        yield made


@pytest.fixture
def slot(tmp_path: Path, records: Recorder) -> ModelSlot:
    """With version 1 serving, and 0 before it."""
    made = slot_of(records, tmp_path)
    made.rotate(version(tmp_path, 0))
    made.rotate(version(tmp_path, 1))
    return made


def serves(slot: ModelSlot, seed: int) -> bool:
    """Whether the slot answers as the version of a seed, bit for bit, and says so."""
    answer = slot.predict(X)
    same = bits(answer.value) == bits(TwoLayers(seed)(X))
    return same and answer.version.certificate.serial == seed


# ---- rotation and rollback
def test_versions_follow_each_other(tmp_path: Path, slot: ModelSlot, records: Recorder) -> None:
    assert serves(slot, 1)
    found = slot.rotate(version(tmp_path, 2))
    assert serves(slot, 2)
    assert found is slot.active
    assert slot.previous is not None
    assert slot.previous.certificate.serial == 1
    last = records.records[-1]
    assert last.event == "activated"
    assert last.body["version"] == found.name
    assert last.body["previous"] == slot.previous.name
    assert last.body["weights"] == found.certificate.weights
    assert last.body["divergence"] > 0
    assert len(list((tmp_path / "store").iterdir())) == 2
    verify(tmp_path / "records", WRITER.public_key(), tmp_path / "kept" / "head")


def test_rollback_restores_the_bits(slot: ModelSlot, tmp_path: Path, records: Recorder) -> None:
    before = slot.previous
    slot.rollback()
    assert slot.active is before
    assert serves(slot, 0)
    assert records.records[-1].event == "rolled back"
    slot.rollback()  # back again
    assert serves(slot, 1)
    slot.rotate(version(tmp_path, 2))
    slot.rollback()
    assert serves(slot, 1)


def test_nothing_to_roll_back_to(tmp_path: Path, records: Recorder) -> None:
    slot = slot_of(records, tmp_path)
    with pytest.raises(RuntimeError, match="no version serves yet"):
        slot.predict(X)
    with pytest.raises(RuntimeError, match="no version before this one"):
        slot.rollback()
    slot.rotate(version(tmp_path, 0))
    with pytest.raises(RuntimeError, match="no version before this one"):
        slot.rollback()


def test_a_previous_version_that_was_changed_in_memory(slot: ModelSlot) -> None:
    assert slot.previous is not None
    slot.previous.model.first.bits()[0, 0] += 1
    with pytest.raises(Refused, match="the weights are not the certified ones"):
        slot.rollback()
    assert serves(slot, 1)


def test_a_request_in_flight_keeps_its_version(slot: ModelSlot, tmp_path: Path) -> None:
    pinned = slot.active
    assert pinned is not None
    shutil.rmtree(tmp_path / "store")  # nothing is read while serving
    (tmp_path / "store").mkdir()
    slot.rotate(version(tmp_path, 2))
    slot.rotate(version(tmp_path, 3))
    assert bits(pinned(X)) == bits(TwoLayers(1)(X))
    assert serves(slot, 3)


# ---- what is refused
def flipped(file: Path, at: float) -> None:
    data = bytearray(file.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    file.write_bytes(data)


def resigned(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """A certificate that is signed, but not true."""
    text = change((folder / CERTIFICATE).read_bytes())
    (folder / CERTIFICATE).write_bytes(text)
    (folder / SIGNATURE).write_bytes(KEY.sign(b"bposit certificate 1\n" + text))


def replaced(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        assert old in (folder / CERTIFICATE).read_bytes()
        resigned(folder, lambda text: text.replace(old, new))

    return change


class Bomb:
    def __reduce__(self) -> Any:
        return builtins.exec, ("raise SystemExit('executed')",)


def other_weights(folder: Path) -> None:
    shutil.copyfile(folder.parent / "version 0" / WEIGHTS, folder / WEIGHTS)


def other_certificate(folder: Path) -> None:
    shutil.copyfile(folder.parent / "version 0" / CERTIFICATE, folder / CERTIFICATE)


def endless(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("/dev/zero")


def old_version(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "version 0", folder)


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing there": (shutil.rmtree, "No such file or directory"),
    "no signature": (lambda f: (f / SIGNATURE).unlink(), "No such file or directory"),
    "empty": (emptied, "not signed by the key that is trusted"),
    "another signature": (lambda f: (f / SIGNATURE).write_bytes(bytes(64)), "not signed by"),
    "signed by another": (
        lambda f: (f / SIGNATURE).write_bytes(
            WRITER.sign(b"bposit certificate 1\n" + (f / CERTIFICATE).read_bytes())
        ) and None, "not signed by",
    ),
    "signed as something else": (
        lambda f: (f / SIGNATURE).write_bytes(KEY.sign((f / CERTIFICATE).read_bytes())) and None,
        "not signed by",
    ),
    "certificate changed": (lambda f: flipped(f / CERTIFICATE, 0.5), "not signed by"),
    "another certificate": (other_certificate, "not signed by"),
    "no certificate": (lambda f: resigned(f, lambda _: b"{}"), "no certificate of version 1"),
    "weights changed": (lambda f: flipped(f / WEIGHTS, 0.95), "cannot load"),
    "header changed": (lambda f: flipped(f / WEIGHTS, 0.3), "cannot load"),
    "weights cut": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-1]) and None,
        "cannot load",
    ),
    "another's weights": (other_weights, "the weights are not the certified ones"),
    "pickled weights": (
        lambda f: (f / WEIGHTS).write_bytes(pickle.dumps(Bomb())) and None, "cannot load",
    ),
    "torch's weights": (lambda f: torch.save({"a": Bomb()}, f / WEIGHTS), "cannot load"),
    "another format": (replaced(b'"16,6,5"', b'"32,6,5"'), "is not for this place"),
    "too many products": (
        replaced(b'"products": 31', b'"products": 2147483648'), "with 31 carry-guard bits",
    ),
    "too few products": (replaced(b'"products": 31', b'"products": 30'), "may take 31"),
    "a false algebra": (
        replaced(b'"algebra": null,\n   "blades": []', b'"algebra": [3,0,0],"blades": [0,1,2,3,5]'),
        "is not for this place: first: Form",
    ),
    "a device": (endless, "weights.safetensors is no regular file"),
    "another model": (replaced(b'"two layers"', b'"three"'), "it is of model 'three'"),
    "seen before": (old_version, "serial 0 is not above 1, which has served"),
    "the same serial": (replaced(b'"serial": 2', b'"serial": 1'), "serial 1 is not above 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_unsound_versions_never_serve(
    case: str, tmp_path: Path, slot: ModelSlot, records: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, complaint = BAD[case]
    folder = version(tmp_path, 2)
    spoil(folder)
    with pytest.raises(Refused, match=complaint):
        slot.rotate(folder)
    assert serves(slot, 1)
    last = records.records[-1]
    assert last.event == "refused"
    assert last.body["reason"] in caplog.text  # the reason is logged, and recorded
    kept = sorted(path.name[:8] for path in (tmp_path / "store").iterdir())
    assert kept == ["00000000", "00000001"]
    shutil.rmtree(folder, ignore_errors=True)
    slot.rotate(version(tmp_path, 2))
    assert serves(slot, 2)


def test_every_changed_byte_of_a_version_is_refused(tmp_path: Path, slot: ModelSlot) -> None:
    folder = version(tmp_path, 2)
    for path in folder.iterdir():
        data = path.read_bytes()
        for at in range(0, len(data), 1 if path.name == SIGNATURE else 3):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
            with pytest.raises(ValueError, match=r"signed|cannot load|does not (fit|hold)"):
                slot._gates.load(folder)
        path.write_bytes(data)
    slot._gates.load(folder)


def test_a_gate_that_is_open_is_seen(
    tmp_path: Path, slot: ModelSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the certificate's check, another's weights would serve."""
    monkeypatch.setattr("torch_bridge.adaptive.certificate.Certificate.check", lambda *_: None)
    folder = version(tmp_path, 2)
    other_weights(folder)
    slot.rotate(folder)
    assert not serves(slot, 2)


def make_slot(tmp_path: Path, records: Recorder, **changes: Any) -> ModelSlot:
    given = {"name": MODEL, "trusted": KEY.public_key(), "records": records, "probes": PROBES,
             "threshold": FAR}  # fmt: skip
    return ModelSlot(tmp_path / "store", changes.pop("make", TwoLayers), **{**given, **changes})


def test_the_certificate_of_the_first_version_is_checked_too(
    tmp_path: Path, records: Recorder
) -> None:
    slot = slot_of(records, tmp_path)
    for number, (case, complaint) in enumerate((
        ("another format", "the certificate does not hold: first: Form"),
        ("a false algebra", "second: 5 blade masks for 4 coefficients"),
        ("another's weights", "the weights are not the certified ones"),
    )):  # fmt: skip
        (tmp_path / str(number)).mkdir()
        version(tmp_path / str(number), 0)
        folder = version(tmp_path / str(number), 2)
        BAD[case][0](folder)
        with pytest.raises(Refused, match=complaint):
            slot.rotate(folder)
    assert slot.active is None


# ---- probes
def test_divergence_over_the_threshold(tmp_path: Path, records: Recorder) -> None:
    near, far = version(tmp_path, 0), version(tmp_path, 1)
    logs = [torch.log_softmax(TwoLayers(seed)(PROBES).double(), -1) for seed in (0, 1)]
    kl = float((logs[1].exp() * (logs[1] - logs[0])).sum(-1).mean())  # new || old, by definition
    assert kl_divergence(logs[1], logs[0]) == pytest.approx(kl, rel=1e-14)
    assert abs(kl_divergence(logs[0], logs[1]) - kl) > 0.1 * kl
    slot = make_slot(tmp_path, records, threshold=kl * (1 - 1e-9))
    slot.rotate(near)
    with pytest.raises(Refused, match=rf"diverge by {kl:.6g}, more than the threshold"):
        slot.rotate(far)
    assert serves(slot, 0)
    slot = make_slot(tmp_path, records, threshold=kl * (1 + 1e-9))
    slot.rotate(far)
    assert serves(slot, 1)
    assert records.records[-1].body["divergence"] == pytest.approx(kl, rel=1e-14)


def test_probes_stay_as_they_were(tmp_path: Path, records: Recorder) -> None:
    probes = PROBES.clone()
    slot = make_slot(tmp_path, records, probes=probes, threshold=0.0)
    slot.rotate(version(tmp_path, 1))
    probes.mul_(2)
    assert slot.active is not None
    same = TwoLayers(1)
    publish(tmp_path / "same", same, certify(same, model=MODEL, serial=2), KEY)
    slot.rotate(tmp_path / "same")
    assert records.records[-1].body["divergence"] == 0


def test_a_divergence_that_is_a_tensor(tmp_path: Path, records: Recorder) -> None:
    slot = make_slot(tmp_path, records, divergence=lambda new, old: (new - old).abs().max())
    slot.rotate(version(tmp_path, 1))
    slot.rotate(version(tmp_path, 2))
    assert records.records[-1].body["divergence"] > 0


def test_a_divergence_that_is_nan_is_over_any_threshold(tmp_path: Path, records: Recorder) -> None:
    slot = make_slot(tmp_path, records, divergence=lambda *_: float("nan"))
    slot.rotate(version(tmp_path, 0))
    with pytest.raises(Refused, match="diverge by nan"):
        slot.rotate(version(tmp_path, 1))


def test_answers_that_are_nar(tmp_path: Path, records: Recorder) -> None:
    probes = PROBES.clone()
    probes.bits()[0, 0] = -(1 << 15)
    with pytest.raises(ValueError, match="probes: there are NaN"):
        make_slot(tmp_path, records, probes=probes)

    class Divides(TwoLayers):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = super().forward(x)
            return y / (y - y)

    slot = make_slot(tmp_path, records, make=Divides)
    with pytest.raises(Refused, match="answers to the probes are not finite"):
        slot.rotate(version(tmp_path, 0))
    assert slot.active is None


@pytest.mark.parametrize("probes", [PROBES[:0], torch.empty(0, 6), torch.tensor(1.0)])
def test_empty_probe_sets(probes: torch.Tensor, tmp_path: Path, records: Recorder) -> None:
    with pytest.raises(ValueError, match="probes: the set is empty"):
        make_slot(tmp_path, records, probes=probes)


@pytest.mark.parametrize("threshold", [-1.0, float("nan"), float("inf")])
def test_thresholds_that_are_none(threshold: float, tmp_path: Path, records: Recorder) -> None:
    with pytest.raises(ValueError, match="a finite number of at least 0 is possible"):
        make_slot(tmp_path, records, threshold=threshold)


# ---- converted models
def test_a_converted_model_sums_in_the_certified_quire(tmp_path: Path, records: Recorder) -> None:
    def make(**given: Any) -> nn.Module:
        model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
        tb.convert_(model, tb.PositConfig(**{**formats, **given}))
        return model

    formats = {"weights": "bposit16", "activations": "bposit16"}
    torch.manual_seed(0)
    trained = make()
    for serial, products in ((1, None), (2, 100)):
        stated = certify(trained, model=MODEL, serial=serial, products=products)
        publish(tmp_path / f"v{serial}", trained, stated, KEY)
    slot = make_slot(tmp_path, records, make=make, probes=torch.randn(4, 6))
    found = slot.rotate(tmp_path / "v1")
    x = torch.randn(5, 6)
    assert torch.equal(slot.predict(x).value, trained.eval()(x))
    assert not any(p.requires_grad for p in found.model.parameters())
    for wrong, complaint in (({"activations": "bposit32"}, "sums <32,6,5> by quire"),
                             ({"accumulate": "float64"}, "sums <16,6,5> by float64")):  # fmt: skip
        slot._gates = slot._gates.__class__(
            **{**vars(slot._gates), "make": lambda wrong=wrong: make(**wrong)}
        )
        with pytest.raises(Refused, match=f"{complaint}, which is not the certified quire"):
            slot.rotate(tmp_path / "v2")


def test_publishing(tmp_path: Path) -> None:
    state = TwoLayers(1)
    stated = certify(state, model=MODEL, serial=1)
    publish(tmp_path / "v", state, stated, KEY)
    with pytest.raises(FileExistsError, match="never written over"):
        publish(tmp_path / "v", state, stated, KEY)
    with pytest.raises(CertificateError, match="the weights are not the certified ones"):
        publish(tmp_path / "w", TwoLayers(2), stated, KEY)
    with pytest.raises(OSError, match=r"cannot write .*File too large"), largest_file(100):
        publish(tmp_path / "w", state, stated, KEY)
    assert [path.name for path in tmp_path.iterdir()] == ["v"]
    secret = KEY.private_bytes_raw()
    assert not any(secret in path.read_bytes() for path in (tmp_path / "v").iterdir())


# ---- restarts
def test_a_restart_serves_what_served(tmp_path: Path) -> None:
    for steps, seed in ((["0"], 0), (["1"], 1), (["rollback"], 0), (["2"], 2), ([], 2)):
        with recorder(tmp_path) as records:
            slot = slot_of(records, tmp_path)
            for step in steps:
                if step == "rollback":
                    slot.rollback()
                else:
                    slot.rotate(version(tmp_path, int(step)))
            assert serves(slot, seed)
    with recorder(tmp_path) as records:
        slot = slot_of(records, tmp_path)
        assert serves(slot, 2)
        slot.rollback()  # its predecessor was loaded too
        assert serves(slot, 0)


def test_damage_in_the_store_falls_back_on_the_version_before(tmp_path: Path) -> None:
    with recorder(tmp_path) as records:
        slot = slot_of(records, tmp_path)
        slot.rotate(version(tmp_path, 0))
        name = slot.rotate(version(tmp_path, 1)).name
    flipped(tmp_path / "store" / name / WEIGHTS, 0.95)
    with recorder(tmp_path) as records:
        assert serves(slot_of(records, tmp_path), 0)
        assert records.records[-1].event == "restored"
        assert records.records[-1].body["instead_of"] == name
    with recorder(tmp_path) as records:
        slot = slot_of(records, tmp_path)
        assert serves(slot, 0)
        with pytest.raises(Refused, match="serial 1 is not above 1"):
            slot.rotate(tmp_path / "version 1")
    shutil.rmtree(tmp_path / "store")
    with recorder(tmp_path) as records, pytest.raises(Refused, match="no version can serve: 0000"):
        slot_of(records, tmp_path)


def test_a_store_where_a_version_was_exchanged(tmp_path: Path) -> None:
    """Signed and sound, but not the one that was recorded."""
    with recorder(tmp_path) as records:
        slot = slot_of(records, tmp_path)
        old = slot.rotate(version(tmp_path, 0)).name
        new = slot.rotate(version(tmp_path, 1)).name
    shutil.rmtree(tmp_path / "store" / new)
    shutil.copytree(tmp_path / "store" / old, tmp_path / "store" / new)
    with recorder(tmp_path) as records:
        assert serves(slot_of(records, tmp_path), 0)
        assert records.records[-1].event == "restored"


# ---- disks and threads
@pytest.mark.parametrize("where", ["copy", "record"])
def test_a_full_disk_leaves_the_active_model(
    where: str, tmp_path: Path, slot: ModelSlot, records: Recorder, caplog: Any
) -> None:
    folder = version(tmp_path, 2)
    size = (tmp_path / "records").stat().st_size
    before = (tmp_path / "records").read_bytes()
    largest = max(path.stat().st_size for path in folder.iterdir())
    assert largest < size  # so that the copy is possible where the record is not
    room = 100 if where == "copy" else size + 100
    with largest_file(room), pytest.raises(Refused, match="File too large"):
        slot.rotate(folder)
    assert (tmp_path / "records").read_bytes() == before
    assert "which could not be recorded" in caplog.text
    assert serves(slot, 1)
    slot.rotate(folder)
    assert serves(slot, 2)
    verify(tmp_path / "records", WRITER.public_key(), tmp_path / "kept" / "head")


def test_what_cannot_be_removed_is_no_reason_not_to_serve(
    tmp_path: Path, slot: ModelSlot, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("torch_bridge.adaptive.versions.Store.tidy", fail)
    slot.rotate(version(tmp_path, 2))
    assert serves(slot, 2)
    assert "old versions stay in" in caplog.text


def test_rotations_of_several_threads_take_turns(
    tmp_path: Path, slot: ModelSlot, records: Recorder
) -> None:
    """All at once: those that come too late for their serial are refused, the rest follow."""
    folders = [version(tmp_path, seed) for seed in range(2, 8)]
    outcomes: list[Any] = []

    def rotate(folder: Path) -> None:
        try:
            outcomes.append(slot.rotate(folder).certificate.serial)
        except Refused as error:
            outcomes.append(error)

    threads = [threading.Thread(target=rotate, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [x for x in outcomes if isinstance(x, int)]
    assert done == sorted(done)
    assert done[-1] == 7
    assert all("is not above" in str(x) for x in outcomes if not isinstance(x, int))
    assert serves(slot, 7)
    said = [r.body["serial"] for r in records.records if r.event == "activated"]
    assert said == [0, 1, *done]
    verify(tmp_path / "records", WRITER.public_key(), tmp_path / "kept" / "head")


def test_two_processes_cannot_have_one_slot(tmp_path: Path, records: Recorder) -> None:
    with pytest.raises(BlockingIOError, match="another process or thread is writing"):
        recorder(tmp_path)


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path: Path) -> None:
    times = iter([1000, 500, 400, 300])
    with Recorder(tmp_path / "records", WRITER, clock=lambda: next(times)) as records:
        slot = slot_of(records, tmp_path)
        slot.rotate(version(tmp_path, 0))
        slot.rotate(version(tmp_path, 1))
        assert serves(slot, 1)
        assert [(r.time, r.behind) for r in records.records] == [
            (1000, 0),
            (1000, 500),
            (1000, 600),
        ]
    verify(tmp_path / "records", WRITER.public_key())


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [version(tmp_path, seed) for seed in range(3)]
    good = [bits(TwoLayers(seed)(X)) for seed in range(3)]

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler", "_Unpickler", "_load", "_loads"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr("_pickle.load", refuse)
    monkeypatch.setattr("_pickle.loads", refuse)
    monkeypatch.setattr("_pickle.Unpickler", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(AssertionError, match="unpickled"):
        pickle.loads(b"")
    with recorder(tmp_path) as records:
        slot = slot_of(records, tmp_path)
        for folder, expected in zip(folders, good, strict=True):
            slot.rotate(folder)
            assert bits(slot.predict(X).value) == expected
        slot.rollback()
    with recorder(tmp_path) as records:
        assert bits(slot_of(records, tmp_path).predict(X).value) == good[1]


def test_stages_are_logged(tmp_path: Path, slot: ModelSlot, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG, "torch_bridge.adaptive.rotation"):
        slot.rotate(version(tmp_path, 2))
    stages = [r.getMessage() for r in caplog.records if r.getMessage().startswith("stage: ")]
    assert stages == [f"stage: {s}" for s in (
        "taken", "verified", "loaded", "compared", "named", "recorded", "swapped", "tidied"
    )]  # fmt: skip
    assert os.listdir(tmp_path / "store")
