"""Under load from eight threads, no request fails and none is answered by two versions."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytest.importorskip("cryptography")

from bposit.records import verify
from torch_bridge.adaptive.rotation import Answer, ModelSlot, Version

from .making import WRITER, TwoLayers, bits, inputs, recorder, slot_of, version

INPUTS = inputs(4).split(1)
CLIENTS = 8


class MixedWeights(ModelSlot):
    """One slot for all: the new weights are copied into the model that serves."""

    def _serve(self, event: str, version: Version, more: object) -> None:
        if self.active is not None:
            self.active.model.load_state_dict(version.model.state_dict())
        super()._serve(event, version, more)


class MixedNames(ModelSlot):
    """Reads the active version twice."""

    def predict(self, *args: object) -> Answer:
        answer = super().predict(*args)
        time.sleep(0.001)  # or 20 rotations may all miss this moment
        return Answer(answer.value, self.active)


class TornSwap(ModelSlot):
    """No version serves for a moment."""

    def _serve(self, event: str, version: Version, more: object) -> None:
        old, self._slots = self._slots, type(self._slots)()
        self._records.append("nothing serves", {})
        time.sleep(0.02)  # or no request may come in that moment, 20 times
        self._slots = old
        super()._serve(event, version, more)


class Load:
    """Rotations of a slot amid ``each`` requests for every one of them; what the clients got."""

    def __init__(self, slot: ModelSlot, folders: list[Path], each: int) -> None:
        self.slot, self.each, self.total = slot, each, each * len(folders)
        self.failed: list[str] = []
        self.got: list[tuple[int, bytes, int]] = []  # input, patterns of the answer, serial
        self.overtaken = 0  # requests during which the version changed
        self.turn = threading.Condition()
        self.asked = self.rotated = 0
        clients = [threading.Thread(target=self.ask) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for done, folder in enumerate(folders):
            with self.turn:
                self.turn.wait_for(lambda done=done: self.asked >= done * each)
            slot.rotate(folder)
            with self.turn:
                self.rotated = done + 1
                self.turn.notify_all()
        for client in clients:
            client.join()

    def tickets(self) -> Iterator[int]:
        """Numbers of requests; they do not run out before the rotations do."""
        while True:
            with self.turn:
                self.turn.wait_for(lambda: self.asked < (self.rotated + 20) * self.each)
                if self.asked == self.total:
                    return
                self.asked += 1
                number = self.asked
                if number % self.each == 0:
                    self.turn.notify_all()
            yield number

    def ask(self) -> None:
        for number in self.tickets():
            i = number % len(INPUTS)
            before = self.slot.active
            try:
                answer = self.slot.predict(INPUTS[i])
                self.got.append((i, bits(answer.value), answer.version.certificate.serial))
            except Exception as error:
                self.failed.append(repr(error))
            self.overtaken += self.slot.active is not before
            time.sleep(0.003)  # the client's own affairs

    def mixed(self, count: int) -> int:
        """How many answers are not, bit for bit, those of the version that they name."""
        answers = [{bits(TwoLayers(seed)(x)): seed for seed in range(count)} for x in INPUTS]
        assert all(len(found) == count for found in answers)  # of exactly one version
        return sum(answers[i].get(value) != serial for i, value, serial in self.got)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place; threads change often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as made:
        yield Path(made)
    sys.setswitchinterval(before)


def load(folder: Path, rotations: int, each: int, kind: type[ModelSlot] = ModelSlot) -> Load:
    folders = [version(folder, seed) for seed in range(rotations + 1)]
    with recorder(folder) as records:
        slot = slot_of(records, folder, kind)
        slot.rotate(folders[0])
        return Load(slot, folders[1:], each)


def test_200_rotations_under_20000_requests_of_8_threads(folder: Path) -> None:
    done = load(folder, 200, 100)
    assert done.failed == []
    assert len(done.got) == 20_000
    assert done.mixed(201) == 0
    assert len({serial for *_, serial in done.got}) > 100  # most of them really served
    assert done.overtaken > 0  # and requests were in flight when the next came
    assert verify(folder / "records", WRITER.public_key(), folder / "kept" / "head")


@pytest.mark.parametrize("kind", [MixedWeights, MixedNames, TornSwap])
def test_a_slot_that_mixes_or_fails_is_seen(kind: type[ModelSlot], folder: Path) -> None:
    done = load(folder, 20, 100, kind)
    assert done.failed or done.mixed(21)
