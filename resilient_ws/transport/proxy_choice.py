"""Which proxy dials an endpoint, if any, and whether it can."""

from __future__ import annotations

import importlib.util
import urllib.request
from typing import TYPE_CHECKING

from resilient_ws.policy.no_proxy import excepted
from resilient_ws.policy.proxy import parse_proxy


if TYPE_CHECKING:
    from resilient_ws.policy.proxy import Proxy
    from resilient_ws.policy.url import Endpoint


def chosen_proxy(endpoint: Endpoint, proxy: Proxy | None) -> Proxy | None:
    """Return the proxy for an endpoint; read the environment if ``proxy`` says so.

    Raises:
        ValueError: The environment names a proxy that cannot be used.
    """
    if proxy is None or not proxy.from_environment:
        return proxy
    found = urllib.request.getproxies_environment()
    if found:
        bypass = excepted(found.get("no", ""), endpoint.host, endpoint.port)
    else:  # macOS and Windows keep proxies, and exceptions from them, in their settings
        found = urllib.request.getproxies()
        bypass = bool(urllib.request.proxy_bypass(endpoint.host))
    url = found.get("https" if endpoint.secure else "http") or found.get("all")
    if bypass or url is None:
        return None
    # Like curl, accept a proxy without a scheme from the environment.
    return parse_proxy(url if "://" in url else f"http://{url}")


def check_proxy(endpoint: Endpoint, proxy: Proxy | None, *, borrowed: bool) -> None:
    """Check that an endpoint can be reached through its proxy.

    Raises:
        ValueError: The URL has a zone, or needs a tunnel that cannot be made.
    """
    chosen = chosen_proxy(endpoint, proxy)
    if chosen is not None and endpoint.zone:
        raise ValueError(
            "url must not have a zone (%25) when a proxy dials it: the zone names an "
            "interface of this machine; leave proxy out."
        )
    if chosen is None or (chosen.is_http and endpoint.secure):
        return
    if borrowed:
        raise ValueError(
            "http cannot be combined with this proxy: SOCKS, and ws:// through any "
            "proxy, need a connector of their own; leave http out."
        )
    if chosen.is_socks and importlib.util.find_spec("aiohttp_socks") is None:
        raise ValueError(
            "proxy must be an http or https URL, unless the extra 'socks' is "
            "installed: pip install 'resilient-ws[socks]'."
        )
