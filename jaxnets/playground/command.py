"""The command `jaxnets playground`."""

import argparse
import json
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from jaxnets.playground.options import TABLE, OptionsError
from jaxnets.playground.server import Server

DESCRIPTION = "Serve a page on which small networks train, to browsers on this machine only."


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C.

    Args:
      argv: the arguments, by default those of the command line.

    Returns:
      The exit status: 2 if the port is in use, or the table cannot be used.
    """
    parser = argparse.ArgumentParser("jaxnets playground", description=DESCRIPTION)
    parser.add_argument("--port", type=int, default=0, help="by default any free one")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a table, as .csv or .tsv")
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address without opening a browser"
    )
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.port < 2**16:
        parser.error(f"--port expects 0 to 65535, but got {arguments.port}")
    try:
        server = Server(arguments.port)
    except OSError as error:
        sys.stderr.write(f"port {arguments.port} is not free ({error.strerror}); choose another\n")
        return 2
    address = server.url
    if arguments.data is not None:
        try:
            table = server.tables.open(arguments.data)
        except OptionsError as error:
            server.server_close()
            sys.stderr.write(f"{error}\n")
            return 2
        target, task = [*table.tasks.items()][-1]
        settings = {"data": TABLE, "table": table.name, "target": target, "task": task}
        address += "#" + urlencode({k: json.dumps(v) for k, v in settings.items()})
    sys.stdout.write(f"{address}\nCtrl-C ends the playground.\n")
    sys.stdout.flush()
    if not arguments.no_browser:
        threading.Thread(target=partial(webbrowser.open, address), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    if server.busy:  # the interpreter's shutdown would abort a thread that compiles
        sys.stdout.flush()
        os._exit(0)
    return 0
