"""Which option mends what a network raised, told by the words of the error."""

import re

__all__ = ["hint"]

_REMEDIES = [
    (r"weight of size \[(?:\d+, ){4}\d+\]", "set in.volume=8"),
    (r"to have (\d+) channels?, but got \d+ channels?", "set in.channels={}"),
    (r"(?i)expected (?:input )?channels? (?:to be )?(\d+)", "set in.channels={}"),
    (
        r"missing 1 required positional argument: '(?:sigma|noise\w*|level|std)'",
        "set in.noise=0.05",
    ),
    (r"missing 1 required positional argument: '(\w*mask\w*)'", "set in.mask=1"),
    (r"missing 1 required positional argument", "give it a second input: in.noise or in.mask"),
    (r"(?i)expected 5-?D|expected .*conv3d|\[N, C, D, H, W\]", "set in.volume=8"),
    (
        r"(?i)sizes of tensors must match|must match the size of tensor|divisible|"
        r"not enough values|kernel size can't be greater|should be multiple",
        "pad its input: in.pad=32",
    ),
    (
        r"(?i)same dtype|input type .* should be the same|expected scalar type|"
        r"unexpected input data type",
        "it keeps tensors of its own dtype: --precision fp32",
    ),
    (r"(?i)same device", "it keeps tensors on a device of its own: --device cpu"),
    (r"(?i)no module named", "run it in a process of its own: --isolate"),
]


def hint(error: BaseException) -> str:
    """``"; "`` and a remedy, or nothing."""
    for pattern, remedy in _REMEDIES:
        found = re.search(pattern, str(error))
        if found:
            return f"; {remedy.format(*found.groups())}"
    return ""
