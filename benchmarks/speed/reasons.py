"""Why a target is missed, where that is known."""

from __future__ import annotations

from typing import Final

from benchmarks.speed.clients import PURE


_DELIVERY: Final = (
    "Each message has a Delivery, a place in the order and its accounts, which aiohttp "
    "does not keep: some two microseconds of Python, and more where the bytes of a "
    "large message have just filled the processor's cache."
)
_PARSER: Final = (
    "picows' parser is compiled. Ours is Python: a slice, a decode and an append for "
    "each message, and the two calls of the iteration."
)
#: Of the pure twin alone, by scenario, way and peer.
_PURE: Final[dict[tuple[str, str, str], str]] = {
    ("receive", "plain", "picows, queue"): _PARSER,
    ("receive", "plain", "aiohttp"): (
        "Each copies a message once and decodes it once; aiohttp's parser is compiled, "
        "and ours is Python that finds the cache full of the message before."
    ),
}
#: Of both, for the compiled part is no part of it.
_BOTH: Final[dict[tuple[str, str, str], str]] = {
    ("receive", "tls", "aiohttp"): (
        "OpenSSL does the same work for both, into our one buffer or into an object "
        "for each record; what is left is as with plain ones."
    ),
    ("receive", "deflate", "aiohttp"): (
        "zlib does the same work for both; what is left is the Python around it, and "
        "the bound on what a piece may inflate to, which aiohttp checks at the end."
    ),
    ("echo", "plain", "aiohttp"): (
        "One message a turn of the loop: nothing is shared out among many, and each "
        "way is Python of ours (`make instructions` counts it) where aiohttp's reader "
        "is compiled, and its sending keeps no accounts."
    ),
    ("send", "plain", "aiohttp"): _DELIVERY,
    ("send", "tls", "aiohttp"): _DELIVERY,
    ("send", "deflate", "aiohttp"): (
        f"{_DELIVERY} zlib is slower with our window of 12 bits, which messages below "
        "4 KiB have: it takes 37 KiB of memory, and one of 15 bits 112."
    ),
}


def reason(ours: str, scenario: str, link: str, peer: str) -> str:
    """Return why one of our twins misses a target beside a peer, or nothing."""
    key = scenario, link, peer
    return _PURE.get(key, _BOTH.get(key, "")) if ours == PURE else _BOTH.get(key, "")
