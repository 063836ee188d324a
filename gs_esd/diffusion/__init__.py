"""The mathematics of diffusion that needs no network: noise, schedules, exact denoisers."""
