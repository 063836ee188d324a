"""The machine a run is on: hardware, processes, devices, memory, files, random generators."""
