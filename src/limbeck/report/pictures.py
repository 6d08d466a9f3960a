"""The pictures of distilled samples: PNG only, checked, carried inside the page."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limbeck.report.ink import clean

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """One sheet of samples, ready for an `img`."""

    method: str
    caption: str
    width: int
    height: int
    base64: str


def picture(image: Mapping[str, Any]) -> Picture | None:
    """A picture from `{"method", "per_class", "caption", "png": bytes or base64}`; `None` where it is no PNG."""
    content = image.get("png")
    if isinstance(content, str):
        try:
            content = base64.b64decode(content, validate=True)
        except (ValueError, binascii.Error):
            return None
    if not isinstance(content, bytes) or not content.startswith(_SIGNATURE) or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    per_class = image.get("per_class")
    caption = clean(image.get("caption") or (f"{per_class} per class" if per_class else ""), 300)
    return Picture(str(image.get("method", "")), caption, width, height, base64.b64encode(content).decode("ascii"))
