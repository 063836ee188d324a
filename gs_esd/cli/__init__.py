"""The command line: arguments, messages of errors, sweeps. No other package imports this one."""
