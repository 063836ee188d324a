// Bundles src/main.js with Spark and three into ../static/viewer.js, and the licences of all that
// is in it into ../static/THIRD_PARTY.txt. The same lock file gives the same bytes everywhere.
//
//   npm ci --ignore-scripts && node build.mjs
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "../static");
const read = (...path) => readFileSync(join(here, ...path), "utf8").replaceAll("\r\n", "\n").trim();

const { metafile, outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.js"],
  bundle: true,
  minify: true,
  // A classic script, because a module is not loaded from file://.
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
});

/** The packages that an input of the bundle comes from. */
function packages(inputs) {
  const names = inputs.map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]);
  // Spark's own bundle holds fflate.
  return [...new Set([...names, "fflate"])].filter(Boolean).sort();
}

function licence(name) {
  const { version, license, homepage } = JSON.parse(read("node_modules", name, "package.json"));
  const file = readdirSync(join(here, "node_modules", name)).find((each) => /^licen[cs]e/i.test(each));
  return `${name} ${version} (${license})\n${homepage}\n\n${read("node_modules", name, file)}`;
}

const notices = [
  "viewer.js is made of viewer/web/src of gs-esd (Apache License 2.0) and of the following.",
  ...packages(Object.keys(metafile.inputs)).map(licence),
  read("licences/spark_wasm.txt"),
  read("licences/apache-2.0.txt"),
].join(`\n\n${"-".repeat(80)}\n\n`);

writeFileSync(join(folder, "THIRD_PARTY.txt"), `${notices}\n`);
// They are in the script, too, for pages that are one file.
writeFileSync(join(folder, "viewer.js"), `/*\n${notices}\n*/\n${outputFiles[0].text}`);
