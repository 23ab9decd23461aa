"""Looking a class up, for what is made from it."""

from soulbox.kinds.sandbox_class.spec import parse_sandbox_class
from soulbox.model.errors import InvalidManifest
from soulbox.model.specs import SandboxClassSpec
from soulbox.model.states import Kind
from soulbox.reconcile.services import Services


def find_class(services: Services, name: str) -> tuple[SandboxClassSpec | None, str]:
    """The class of that name, None if there is none; and what is wrong with it."""
    manifest = services.cache.by_name(Kind.SANDBOX_CLASS, "", name)
    if manifest is None:
        return None, ""
    spec = services.specs.of(manifest, parse_sandbox_class)
    if isinstance(spec, InvalidManifest):
        return None, f'SandboxClass "{name}": {spec}'
    return spec, ""
