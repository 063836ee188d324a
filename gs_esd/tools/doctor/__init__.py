"""What this machine can run, and how to mend what it cannot: python -m gs_esd.tools.doctor."""
