"""How the bundled diffusion model of the toy zoo is trained and evaluated."""
