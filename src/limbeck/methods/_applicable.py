"""Which methods can run on which samples and networks."""

from __future__ import annotations

from limbeck.configuration import Configuration
from limbeck.errors import LimbeckError, NotApplicable
from limbeck.methods._method import Method
from limbeck.samples import Domain
from limbeck.variants import make, members


def check_applicable(method: Method, configuration: Configuration, domain: Domain, per_class: int) -> None:
    """Raise `NotApplicable` where a method can't run, naming those that can."""
    try:
        _check(method, configuration, domain, per_class)
    except NotApplicable as error:
        able = [name for name in members("methods") if _can_run(name, configuration, domain, per_class)]
        raise NotApplicable(f"{error} Methods that can run here: {', '.join(able)}.") from None


def _can_run(name: str, configuration: Configuration, domain: Domain, per_class: int) -> bool:
    try:
        _check(make("methods", name), configuration, domain, per_class)
    except LimbeckError:
        return False
    return True


def _check(method: Method, configuration: Configuration, domain: Domain, per_class: int) -> None:
    suited = method.suited(domain)
    suited.check(configuration, domain, per_class)
    suited.dynamics_configuration(configuration, domain, per_class)
