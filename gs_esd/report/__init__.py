"""One HTML page, a CSV and a JSON file that show a sweep. May import evaluation and the viewer.

Nothing here imports torch, unless runs are measured.
"""
