"""Diffusion without networks: noise process, schedules, ideal denoisers, guidance, sampling."""
