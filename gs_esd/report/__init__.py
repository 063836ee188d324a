"""One page that shows a sweep: python -m gs_esd.report FOLDER. Nothing here imports torch early."""
