"""With what the depth of a data set is made: all of it with the same, or depths are not to be compared.

In: scenes, and what a run asks for. Out: the facts of a scene, or the error that says what differs. This file does
not know how depth is scaled.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from vda.depthmaps.codes import DepthRecord
from vda.errors import UsageError
from vda.files import sha256_file
from vda.scene.scene import Scene
from vda.supervisor.resolve import RunSettings

FACTS: Final = ("model", "weights_sha256", "input_size", "precision")
Facts = dict[str, Any]
_OVER = "Give another --output-dir, or --delete-existing to start over."


def facts_of(scene: Scene) -> Facts | None:
    """What the merged depth of ``scene`` was made with, as far as it says; None where there is no such depth."""
    if not scene.depth_record_path.is_file():
        return None
    return facts_in(DepthRecord.read(scene.depth_record_path))


def facts_in(record: DepthRecord) -> Facts:
    """``FACTS``, and by which name the model was asked for."""
    told = (*FACTS[1:], "asked_model")
    return {"model": record.model, **{name: record.settings.get(name) for name in told}}


@dataclass
class OneKind:
    """The facts that all depth must have: those asked for, and those of the first that is seen."""

    asked: RunSettings | None = None
    _first: Facts | None = field(default=None, init=False)

    def require(self, facts: Facts | None, owner: str) -> None:
        """Hold the depth of ``owner`` against what was asked for and seen; ``UsageError`` says what differs."""
        if facts is None:
            return
        self._first = self._first or facts
        differences = self._from_asked(facts) or _differences(self._first, facts)
        if differences:
            raise UsageError(
                f"{owner} has depth that was made with other settings: {'; '.join(differences)}.", _OVER
            )

    def _from_asked(self, facts: Facts) -> list[str]:
        """What is left to be chosen (``auto``, None) differs from nothing."""
        if self.asked is None:
            return []
        asked = {"model": self.asked.model, "input_size": self.asked.input_size, "precision": self.asked.precision}
        chosen = {name: value for name, value in asked.items() if value not in ("auto", None)}
        if chosen.get("model") == facts.get("asked_model"):
            chosen.pop("model", None)
        if self.asked.weights is not None:
            chosen["weights_sha256"] = sha256_file(self.asked.weights)
        return _differences(facts, {**facts, **chosen})


def _differences(was: Facts, became: Facts) -> list[str]:
    differing = [name for name in FACTS if was[name] != became[name]]
    return [f"{name.replace('_', ' ')} {was[name]} became {became[name]}" for name in differing]
