// The software bill of materials of the product, as CycloneDX 1.6 JSON on stdout: the crates that are linked into the
// binary without the demo, from Cargo.lock. The same commit gives the same bytes: no time, no random number, no path.
//   node docker/sbom.mjs [TARGET] > weikefu.cdx.json        TARGET: x86_64-unknown-linux-gnu
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const target = process.argv[2] ?? "x86_64-unknown-linux-gnu";
const root = new URL("..", import.meta.url);
const cargo = (...options) => execFileSync("cargo", options, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
const { packages } = JSON.parse(
  cargo("metadata", "--locked", "--format-version=1", `--filter-platform=${target}`),
);
const byName = new Map(packages.map((found) => [`${found.name} v${found.version}`, found]));
const checksums = new Map(
  [...readFileSync(new URL("Cargo.lock", root), "utf8").matchAll(/name = "(.+)"\nversion = "(.+)"\n(?:source = .+\n)?checksum = "(.+)"/g)]
    .map(([, name, version, checksum]) => [`${name} v${version}`, checksum]),
);

// Which crates, and which of them needs which: the tree that cargo builds from, each crate opened where it stands first.
const needs = new Map();
const above = [];
for (const line of cargo(
  "tree", "--locked", "--package=weikefu", "--no-default-features", "--edges=normal", `--target=${target}`,
  "--prefix=depth", "--format= {p}",
).split("\n").filter(Boolean)) {
  const [, depth, name] = line.match(/^(\d+) (\S+ v\S+)/);
  above.length = Number(depth);
  above.at(-1)?.add(name);
  if (!needs.has(name)) needs.set(name, new Set());
  above.push(needs.get(name));
}
const [product] = needs.keys();
const reference = (name) => `pkg:cargo/${name.replace(" v", "@")}`;

/** A crate whose licence field is an old `MIT/Apache-2.0` says the same as `MIT OR Apache-2.0`. */
const expression = (licence) => licence.replace(/\s*\/\s*/g, " OR ");

function component(id) {
  const { name, version, license, description, repository, source } = byName.get(id);
  const checksum = checksums.get(id);
  return {
    type: id === product ? "application" : "library",
    "bom-ref": reference(id),
    name,
    version,
    ...(description && { description: description.trim().replace(/\s+/g, " ") }),
    ...(checksum && { hashes: [{ alg: "SHA-256", content: checksum }] }),
    ...(license && { licenses: [{ expression: expression(license) }] }),
    ...(source !== null && { purl: reference(id) }),
    ...(repository && { externalReferences: [{ type: "vcs", url: repository }] }),
  };
}

const sorted = (names) => [...names].sort((a, b) => (reference(a) < reference(b) ? -1 : 1));
const bill = {
  $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
  bomFormat: "CycloneDX",
  specVersion: "1.6",
  version: 1,
  metadata: { component: component(product), properties: [{ name: "weikefu:target", value: target }] },
  components: sorted(needs.keys()).filter((name) => name !== product).map(component),
  dependencies: sorted(needs.keys()).map((name) => ({
    ref: reference(name),
    dependsOn: sorted(needs.get(name)).map(reference),
  })),
};
console.log(JSON.stringify(bill, null, 2));
