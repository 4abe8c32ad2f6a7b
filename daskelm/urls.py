"""URLs as they may be shown and kept: without user names, passwords and signatures."""

from __future__ import annotations

import hashlib
import re

__all__ = ["has_user", "hidden_query", "without_secrets"]

_SCHEME = r"(?<![a-zA-Z0-9])([a-zA-Z][a-zA-Z0-9+.-]*)://"
_USER = re.compile(rf"{_SCHEME}([^\s/?#@]*@)+")
_QUERY = re.compile(rf"{_SCHEME}([^\s?]*)\?(\S+)")
# A hidden query begins with this mark, and so many hexadecimal digits of its digest follow.
_MARK, _DIGITS = "sha256=", 12
_HIDDEN = re.compile(rf"{_MARK}[0-9a-f]{{{_DIGITS}}}(?![0-9a-f])")
# Characters at the end of a URL in a sentence, a list or a call.
_AROUND = ".,:;!)]}>'\""
# In Azure's URLs, the name of a container stands where others have a user.
_CONTAINERS = {"abfs", "abfss", "az", "wasb", "wasbs"}


def without_secrets(text: str) -> str:
    """A text whose URLs have no user names and passwords, and digests in place of queries, which may be signatures."""
    if "://" not in text:
        return text
    text = _USER.sub(lambda found: found[0] if _is_container(found) else f"{found[1]}://", text)
    return _QUERY.sub(_with_digest, text)


def hidden_query(query: str) -> str:
    """The text that stands for the query of a URL: the beginning of its digest."""
    if _HIDDEN.fullmatch(query):
        return query
    return f"{_MARK}{hashlib.sha256(query.encode()).hexdigest()[:_DIGITS]}"


def has_user(url: str) -> bool:
    """Whether a URL, or one of a chain of URLs, holds the name of a user, a password or a token before its host."""
    return any(not _is_container(found) for found in _USER.finditer(url))


def _is_container(found):
    return found[1].lower() in _CONTAINERS and ":" not in found[0].removeprefix(f"{found[1]}://")


def _with_digest(found):
    scheme, place, query = found[1], found[2], found[3]
    # In a pattern of an object store, a question mark stands for any character.
    if _HIDDEN.match(query) or not (scheme.lower().startswith("http") or "=" in query):
        return found[0]
    plain = query.rstrip(_AROUND)
    return f"{scheme}://{place}?{hidden_query(plain)}{query[len(plain) :]}"
