"""Open the page in the user's browser, or explain how to reach it from another machine."""

import os
import socket
import sys
import threading
import webbrowser


def has_display() -> bool:
    """Whether the user who started this program would see a browser opened here."""
    if "SSH_CONNECTION" in os.environ:
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_browser(url: str) -> None:
    """Open a page in the user's browser, if there is one, without waiting for it."""
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def tunnel_hint(url: str, port: int) -> str:
    """The SSH tunnel by which another machine can open the page, in words."""
    # What the user's ssh called this machine is not known; the address it connected to is.
    words = os.environ.get("SSH_CONNECTION", "").split()
    name, ssh_port = (words[2], words[3]) if len(words) == 4 else (socket.gethostname(), "22")
    other_port = "" if ssh_port == "22" else f" -p {ssh_port}"
    command = f"ssh -L {port}:127.0.0.1:{port}{other_port} {name}"
    return f"From another machine:\n  {command}\nand there open {url}"
