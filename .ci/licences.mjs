// Reads `crate version|licence` lines of `cargo tree` on stdin and holds them to deny.toml. Works offline and
// needs nothing but node: a machine without cargo-deny checks licences and bans all the same.
import { readFileSync } from "node:fs";

const rules = readFileSync(new URL("../deny.toml", import.meta.url), "utf8");
const block = (start) => rules.slice(rules.indexOf(start), rules.indexOf("]\n", rules.indexOf(start)));
const allowed = new Set([...block("allow = [").matchAll(/"([^"]+)"/g)].map((match) => match[1]));
const banned = new Set([...block("deny = [").matchAll(/crate = "([^"]+)"/g)].map((match) => match[1]));

/** Whether an SPDX expression can be met with allowed terms. `/` is the old way to write OR. */
function met(expression) {
  const words = expression.replace(/\//g, " OR ").replace(/([()])/g, " $1 ").trim().split(/\s+/);
  const any = () => {
    let well = all();
    while (words[0] === "OR") {
      words.shift();
      well = all() || well;
    }
    return well;
  };
  const all = () => {
    let well = term();
    while (words[0] === "AND") {
      words.shift();
      well = term() && well;
    }
    return well;
  };
  const term = () => {
    let name = words.shift();
    if (name === "(") {
      const well = any();
      words.shift();
      return well;
    }
    if (words[0] === "WITH") {
      words.shift();
      name += ` WITH ${words.shift()}`;
    }
    return allowed.has(name);
  };
  return any();
}

// A check that never fails proves nothing.
for (const [expression, well] of [
  ["MIT OR GPL-3.0-only", true],
  ["GPL-3.0-only", false],
  ["(MIT OR Apache-2.0) AND GPL-3.0-only", false],
  ["Apache-2.0 WITH LLVM-exception", true],
  ["MIT/Apache-2.0", true],
  ["", false],
]) {
  if (met(expression) !== well) throw new Error(`the licence check misreads "${expression}"`);
}

const crates = [...new Set(readFileSync(0, "utf8").split("\n").filter(Boolean))].map((line) => {
  const [name, licence = ""] = line.split("|");
  return { name, licence };
});
const faults = crates.flatMap(({ name, licence }) => {
  const bare = name.split(" ")[0];
  if (banned.has(bare)) return [`${name} is banned (deny.toml)`];
  return met(licence) ? [] : [`${name}: licence "${licence}" is not allowed (deny.toml)`];
});
if (crates.length < 50) faults.push(`only ${crates.length} crates were listed: that cannot be all`);
for (const fault of faults) console.error(fault);
console.log(`${crates.length} crates, ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
