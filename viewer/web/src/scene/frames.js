// Which way is up in a file, and how its splats are turned for three's world, where y is up and the
// front of an object looks along +z.

import { Quaternion } from "three";

/** A file's axes in the world, as rotations; see gs_esd/export/frames.py for the frames. */
const WORLD_FROM_FILE = {
  "y-down": new Quaternion(1, 0, 0, 0),
  "z-up": new Quaternion(-0.5, -0.5, -0.5, 0.5),
  "y-up": new Quaternion(0, 0, 0, 1),
};

export const FRAMES = Object.keys(WORLD_FROM_FILE);

/** The rotation of a frame; of y-down for what is none. */
export function rotation(frame) {
  return WORLD_FROM_FILE[frame] ?? WORLD_FROM_FILE["y-down"];
}
