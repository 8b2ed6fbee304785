// Holds a bill of materials to the schema of CycloneDX 1.6, and says what is in it:
//   npm install --prefix target/sbom --no-save @cyclonedx/cyclonedx-library@10.3.0 ajv@8 ajv-formats@3 ajv-formats-draft2019@1
//   node docker/sbom.mjs > weikefu.cdx.json && node docker/sbom-check.mjs weikefu.cdx.json
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../target/sbom/", import.meta.url));
const { Spec, Validation } = require("@cyclonedx/cyclonedx-library");
const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
const text = readFileSync(process.argv[2], "utf8");

// A check that never fails proves nothing.
const planted = JSON.stringify({ ...JSON.parse(text), specVersion: 16 });
if ((await validator.validate(planted)) === null) throw new Error("the schema takes a version that is no text");

const faults = await validator.validate(text);
if (faults !== null) {
  console.error(JSON.stringify(faults, null, 2));
  process.exit(1);
}
const { components } = JSON.parse(text);
const without = (key) => components.filter((found) => !found[key]).map(({ name }) => name);
console.log(`${components.length} components, in order; without licence: [${without("licenses")}], without hash: [${without("hashes")}]`);
