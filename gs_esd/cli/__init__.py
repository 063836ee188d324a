"""The command line: arguments in, errors out, sweeps. Nothing else may import from here."""
