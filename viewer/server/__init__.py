"""The page's HTTP server: the standard library's, with limits and host checks, and its events."""
