// Bundles src/main.js with Spark and three into ../static/viewer.js, and the licences of all that
// is in it into ../static/THIRD_PARTY.txt. The same lock file gives the same bytes everywhere.
//
//   npm ci --ignore-scripts && node build.mjs [FOLDER]
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2] ?? join(here, "../static");

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.js"],
  outfile: join(folder, "viewer.js"),
  bundle: true,
  minify: true,
  // A classic script, because a module is not loaded from file://.
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/* gs-esd viewer, Apache-2.0; what else is in here: THIRD_PARTY.txt */" },
  metafile: true,
});

/** The folders in node_modules of the packages that an input of the bundle comes from. */
function packages(inputs) {
  const names = inputs.map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]);
  // Spark's own bundle holds fflate.
  return [...new Set([...names, "fflate"])].filter(Boolean).sort();
}

function licence(name) {
  const root = join(here, "node_modules", name);
  const { version, license, homepage } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const file = readdirSync(root).find((each) => /^licen[cs]e/i.test(each));
  const text = readFileSync(join(root, file), "utf8").replaceAll("\r\n", "\n").trim();
  return `${name} ${version} (${license})\n${homepage ?? ""}\n\n${text}\n`;
}

const parts = packages(Object.keys(metafile.inputs)).map(licence);
const compiled = readFileSync(join(here, "licences/spark_wasm.txt"), "utf8");
const rule = `\n${"-".repeat(80)}\n\n`;
const opening = "viewer.js is made of viewer/web/src (Apache-2.0, see LICENSE) and of the following.\n";
writeFileSync(join(folder, "THIRD_PARTY.txt"), [opening, ...parts, compiled].join(rule));
