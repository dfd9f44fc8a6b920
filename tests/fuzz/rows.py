"""Every target."""

from __future__ import annotations

from typing import Final

from .exports import EXPORTS
from .files import FILES
from .plans import PLANS
from .values import VALUES
from .wire import WIRE

TARGETS: Final = (*VALUES, *WIRE, *FILES, *EXPORTS, *PLANS)
