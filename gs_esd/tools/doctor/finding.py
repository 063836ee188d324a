"""What the doctor says of one thing."""

from collections.abc import Callable
from dataclasses import dataclass

from gs_esd.config.options import Device

EVERYWHERE = (Device.cpu, Device.cuda)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    fix: how to mend it; empty where nothing is wrong.
    stops: the default jobs that cannot run unless it is mended.
    """

    what: str
    text: str
    fix: str = ""
    stops: tuple[Device, ...] = ()

    @property
    def verdict(self) -> str:
        """In a word."""
        return "missing" if self.stops else "warning" if self.fix else "ok"


Check = Callable[[], Finding]


def looked_at(check: Check) -> Finding:
    """What a check finds; that it failed where it did, for the doctor must not."""
    try:
        return check()
    except Exception as error:
        name = check.__name__.replace("_", " ")
        kind = f"{type(error).__name__}: {error}".splitlines()[0]
        return Finding(name, f"could not be looked at ({kind})", "Please report this")
