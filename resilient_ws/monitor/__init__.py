"""A page that shows what the sessions of a program do, live, in a browser.

::

    from resilient_ws import connect, monitor

    async with connect(url) as session, monitor.serve(session, port=8080) as page:
        print(f"watch me at {page.url}")
        async for message in session:
            ...

``app`` returns the same page as an aiohttp application, to mount in a server of yours.
Nothing is recorded before one of the two runs, and the page changes nothing.
"""

from resilient_ws.monitor.serving import Served, app, serve
from resilient_ws.monitor.watch_list import Sessions, Watched


__all__ = ["Served", "Sessions", "Watched", "app", "serve"]
