"""Show splats in the browser: python -m viewer splats.ply.

PATH is a splat file (.ply, .compressed.ply, .splat), a run directory, whose splats are shown while
it trains, or a folder with runs below it, which are shown side by side. The page follows changes
until Ctrl-C.
"""

import argparse
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

from gs_esd.config.commands import program
from gs_esd.errors import UserError
from viewer import attached
from viewer.browser import has_display, open_browser, tunnel_hint
from viewer.page import page_files
from viewer.scene.watch import Watch
from viewer.server.hosts import Host, resolve
from viewer.server.server import Server
from viewer.shot import write_shot
from viewer.single_file import write_single_file

DEFAULT_HOST = "127.0.0.1"
DEFAULT_SIZE = (1280, 720)


def main() -> None:
    """Run the command line. Ctrl-C is how showing ends, so the exit status is 0 then."""
    options = _options()
    try:
        _check(options)
        if options.html or options.shot:
            _write(options)
        else:
            _show(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:  # while a file was written
        sys.exit(128 + signal.SIGINT)


def _show(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C or, attached, until the program and the pages are gone."""
    host, files = _host(options.host or DEFAULT_HOST, options.allow_remote), page_files()
    ended = attached.input_ended() if options.attached else None
    if ended and not attached.wait_for_any(options.path, ended):
        return
    watch = Watch(options.path, expected=options.attached)
    listening = host.listen(options.port or 0)
    port = listening.getsockname()[1]

    def ready() -> None:
        _announce(watch, host, port, "" if ended else " (Ctrl-C ends it)")
        if has_display() and not options.no_open:
            open_browser(host.url(port))

    server = Server(watch, files, host, listening)
    with suppress(KeyboardInterrupt):
        if ended:
            server.serve(ready, attached.Abandoned(server, ended))
        else:
            server.serve(ready)


def _announce(watch: Watch, host: Host, port: int, how_to_end: str) -> None:
    for cell in watch.scene.cells:
        if cell.problem:
            print(f"warning: {cell.name}: {cell.problem}", file=sys.stderr)
    if not host.is_local:
        print(
            f"warning: whoever reaches this machine on port {port} can see what is shown",
            file=sys.stderr,
        )
    print(f"{host.url(port)}{how_to_end}", flush=True)
    if host.is_local and not has_display():
        print(tunnel_hint(host.url(port), port), flush=True)


def _write(options: argparse.Namespace) -> None:
    """Write the page as a file, an image of it, or both."""
    watch, files = Watch(options.path), page_files()
    if options.html:
        write_single_file(watch, files, options.html)
        print(options.html)
    if options.shot:
        write_shot(watch, files, options.shot, options.size or DEFAULT_SIZE)
        print(options.shot)


def _host(name: str, allow_remote: bool) -> Host:
    host = resolve(name)
    if not host.is_local and not allow_remote:
        raise UserError(
            f"on {name}, other machines could see what is shown: add --allow-remote if they may. "
            "To look from your own machine only, leave out --host and go through an SSH tunnel"
        )
    return host


def _check(options: argparse.Namespace) -> None:
    """Raise UserError for options that do not go together."""
    serving = ("host", "port", "allow_remote", "no_open", "attached")
    if options.html or options.shot:
        if idle := [name for name in serving if getattr(options, name) not in (None, False)]:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
            raise UserError(f"nothing is served with --html or --shot: leave out {flags}")
    for output, ending in ((options.html, ".html"), (options.shot, ".png")):
        if output and output.suffix != ending:
            raise UserError(f"{output} should end in {ending}")
    if options.shot and sys.platform == "win32":
        raise UserError("--shot does not work on Windows; --html does")
    if options.size and not options.shot:
        raise UserError("--size is the size of --shot: give both or neither")


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", text, re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not like 640x480")
    return int(found[1]), int(found[2])


def _port(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) is None or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is no port, 0 to 65535")
    return int(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program("viewer"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, nargs="+", metavar="PATH", help="what to show")
    parser.add_argument("--port", type=_port, help="listen there; a free port by default")
    parser.add_argument("--host", help=f"listen on this address; {DEFAULT_HOST} by default")
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="let --host be an address that other machines reach",
    )
    parser.add_argument("--no-open", action="store_true", help="open no browser, print the address")
    parser.add_argument(
        "--attached",
        action="store_true",
        help="for programs that show what they make: wait for paths that are not there yet, and "
        "end once standard input has ended and no page is open",
    )
    parser.add_argument(
        "--html", type=Path, metavar="OUT.html", help="write the page with all splats in one file"
    )
    parser.add_argument(
        "--shot", type=Path, metavar="OUT.png", help="write an image of the page, by Chromium"
    )
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="of --shot in pixels; 1280x720 by default"
    )
    return parser.parse_args()
