"""What the page shows: sources of splats, their files and metadata, and the grid they stand in."""
