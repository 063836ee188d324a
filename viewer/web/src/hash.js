// The camera in the page's address, so that a link shows the same view:
// #camera=px,py,pz,tx,ty,tz,fov in the world's axes and degrees. Links of reports name a cell that
// is to be seen alone: #cell=ID.

const KEY = "camera";
const DIGITS = 5;
/** Browsers count how often an address changes. */
const REST_MS = 300;

/** The pose that an address tells, null for none. */
export function poseFrom(hash) {
  const numbers = (new URLSearchParams(hash.slice(1)).get(KEY) ?? "").split(",").map(Number);
  if (numbers.length !== 7 || !numbers.every(Number.isFinite)) return null;
  const [fovY] = numbers.slice(6);
  const [position, target] = [numbers.slice(0, 3), numbers.slice(3, 6)];
  const isSensible = fovY > 0 && fovY < 180 && position.some((each, i) => each !== target[i]);
  return isSensible ? { position, target, fovY } : null;
}

function hashOf({ position, target, fovY }) {
  const numbers = [...position, ...target, fovY].map((each) => Number(each.toPrecision(DIGITS)));
  return `#${KEY}=${numbers.join(",")}`;
}

/** The number of the cell that an address asks for, null for none. */
export function cellFrom(hash) {
  const text = new URLSearchParams(hash.slice(1)).get("cell") ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/**
 * Takes the camera from the address, at first and whenever somebody changes it, and keeps it there.
 * @param {import("./viewer.js").Viewer} viewer
 */
export function followHash(viewer) {
  let told = viewer.view.version;
  let timer = 0;
  const take = () => {
    const pose = poseFrom(location.hash);
    if (!pose) return;
    viewer.isFramed = true;
    viewer.view.setPose(pose);
    told = viewer.view.version;
  };
  const takeCell = () => {
    const entry = viewer.entries.get(cellFrom(location.hash));
    if (entry) viewer.setSolo(entry);
  };
  take();
  window.addEventListener("hashchange", take);
  window.addEventListener("hashchange", takeCell);
  viewer.addEventListener("cells", takeCell, { once: true });
  viewer.stage.hooks.after.push(() => {
    if (told === viewer.view.version || !viewer.isFramed) return;
    told = viewer.view.version;
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, "", hashOf(viewer.view.pose())), REST_MS);
  });
}
