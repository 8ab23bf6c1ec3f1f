"""What stands in names of files beside words and numbers: times, and wells of a plate."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# 00d00h10m and 01h30m05s; 90min, 30s; 2026y05m12d_10h00m; 20260512T100000, 2026-05-12_10-00-00
TIME = (
    r"(?<![\d.])(?:"
    r"\d{4}y\d\dm\d\dd[_ -]?\d\dh\d\dm(?:\d\ds)?"
    r"|\d{4}-?[01]\d-?[0-3]\d[T_ -][0-2]\d[-.]?[0-5]\d(?:[-.]?[0-5]\d)?"
    r"|(?<!\dd[_ -])(?:\d+d)?\d+h\d+m(?:\d+s)?"
    r"|\d+(?:\.\d+)?(?:ms|sec|s|min|hr|h)"
    r")(?![\dA-Za-z])"
)
_SECONDS = {"ms": 1e-3, "sec": 1.0, "s": 1.0, "min": 60.0, "hr": 3600.0, "h": 3600.0}
# row and column, as B07 and as r02c07
WELL = r"(?:(?<![A-Za-z])[A-Pa-p]0*[1-9]\d?(?!\d)|(?<![A-Za-z])r\d\dc\d\d(?!\d))"


def seconds(text: str) -> float:
    """A time in a name in seconds: from the film's start, or, of a date, from 1970 on.

    Raises ValueError if it is none, such as a date with a 13th month.
    """
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|sec|s|min|hr|h)", text):
        return float(found[1]) * _SECONDS[found[2]]
    if found := re.fullmatch(r"(?:(\d+)d)?(\d+)h(\d+)m(?:(\d+)s)?", text):
        days, hours, minutes, rest = (float(part or 0) for part in found.groups())
        return 86_400 * days + 3600 * hours + 60 * minutes + rest
    digits = re.sub(r"\D", "", text)
    form = "%Y%m%d%H%M%S" if len(digits) == 14 else "%Y%m%d%H%M"
    return datetime.strptime(digits, form).replace(tzinfo=UTC).timestamp()


def well_name(text: str) -> str:
    """The well as a person writes it, ``B7``, of ``B07``, ``b7`` or ``r02c07``; else the text.

    Examples
    --------
    >>> well_name("r02c07"), well_name("B07"), well_name("somewhere")
    ('B7', 'B7', 'somewhere')
    """
    if found := re.fullmatch(r"r(\d\d)c(\d\d)", text):
        row, column = int(found[1]), int(found[2])
        return f"{chr(ord('A') + row - 1)}{column}" if 1 <= row <= 26 else text
    found = re.fullmatch(r"([A-Pa-p])0*([1-9]\d?)", text)
    return f"{found[1].upper()}{found[2]}" if found else text
