"""What every recipe is asked, with the answers of one that needs nothing trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from limbeck.configuration import Configuration
from limbeck.dynamics import Dynamics
from limbeck.parameterizations import Parameterization
from limbeck.parameterizations.pixels import Pixels
from limbeck.samples import Domain, Samples
from limbeck.states import ExpertPlan, Scene
from limbeck.variants import Variant

if TYPE_CHECKING:
    from limbeck.sources import Source

Labelling = Literal["hard", "soft", "teacher"]
"""One-hot labels, one stored soft label a sample, or a label for every view by a teacher that the set carries."""


class Method(Variant):
    """Settings of a recipe. `steps` is the number of updates of the synthetic set; a selection needs none."""

    paper: ClassVar[str]
    """BibTeX key of the paper that the defaults come from."""
    surrogate_name: ClassVar[str] = "-"
    states_name: ClassVar[str] = "-"
    cost: ClassVar[str] = ""
    """What one step costs, in passes over samples."""
    trial: ClassVar[Mapping[str, Any]] = {}
    """Settings under which the conformance suite tries the recipe in a second, beside those it makes small itself."""

    @classmethod
    def about(cls) -> dict[str, Any]:
        """Name, surrogate, states, parameterization, paper and cost of the recipe, with its settings."""
        facts = super().about()
        own = {"surrogate": cls.surrogate_name, "states": cls.states_name, "parameterization": cls._stored_as()}
        own |= {"paper": cls.paper, "cost": cls.cost}
        return {"name": facts["name"], **own, "summary": facts["summary"], "settings": facts["settings"]}

    @classmethod
    def _stored_as(cls) -> str:
        """The text of the parameterization under the defaults; a dash where a setting has none."""
        if any(field.is_required() for field in cls.model_fields.values()):
            return "-"
        own = cls()
        carried = ", labeller" if own.labelling() == "teacher" else ""
        return own.parameterization().spec + carried

    def parameterization(self) -> Parameterization:
        """How the set is stored."""
        return Pixels()

    def labelling(self) -> Labelling:
        """Where the set's labels come from."""
        return "hard"

    @abstractmethod
    def begin(self, source: Source, scene: Scene, per_class: int) -> Samples:
        """The samples that the set starts from (matching) or is (selection), `per_class` of each class."""

    def dynamics_configuration(self, configuration: Configuration, domain: Domain, per_class: int) -> Configuration:
        """The configuration whose dynamics the recipe walks along."""
        return configuration

    def suited(self, domain: Domain) -> Method:
        """The recipe with the defaults that suit a domain, where the published ones are for images alone."""
        return self

    def check(self, configuration: Configuration, domain: Domain, per_class: int) -> None:
        """Raise `NotApplicable` where the recipe can't run on such samples or along such a configuration."""

    def outer_steps(self) -> int:
        """Updates of the set."""
        return 0

    def expert_plan(self, dynamics: Dynamics) -> ExpertPlan | None:
        """The experts that the recipe needs, if any."""
        return None

    def teacher_plan(self, configuration: Configuration, domain: Domain) -> ExpertPlan | None:
        """The trainings of the teachers that its sets carry, if they carry any."""
        return None

    def further_plan(self, configuration: Configuration, walked: Dynamics) -> ExpertPlan | None:
        """Of `teacher_plan`, what `expert_plan` does not provide already: no training is needed twice."""
        plan = self.teacher_plan(configuration, walked.domain)
        return None if plan == self.expert_plan(walked) else plan
