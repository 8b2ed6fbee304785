// Sees the monitoring files work: starts the demo and a real Prometheus on loopback, makes traffic of every kind, then
// asks Prometheus each panel of the dashboard and each rule. Fails where one has no data or does not evaluate.
//
//   node docker/prometheus/try.mjs [path of weikefu]     needs: apt install prometheus
import { spawn, spawnSync } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const WEIKEFU = path.resolve(process.argv[2] ?? path.join(HERE, "../../target/debug/weikefu"));
const START_MAX_MS = 60_000;
/** Quotas are asked a minute after the start. */
const TRAFFIC_MS = 80_000;
const FAILURES_IN_ROW = 22;

const folder = mkdtempSync(path.join(tmpdir(), "weikefu-watch-"));
const children = [];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function run(command, ...args) {
  const done = spawnSync(command, args, { encoding: "utf8" });
  if (done.error) throw new Error(`${command} is missing: apt install prometheus (${done.error.message})`);
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}:\n${done.stdout}${done.stderr}`);
  console.log(`ok      ${path.basename(command)} ${args.slice(0, 2).join(" ")}`);
}

function start(command, ...args) {
  const child = spawn(command, args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => { said = (said + chunk).slice(-4_000); });
  children.push(child);
  return { child, said: () => said };
}

async function until(what, look) {
  const deadline = Date.now() + START_MAX_MS;
  while (Date.now() < deadline) {
    const found = await look().catch(() => null);
    if (found) return found;
    await sleep(200);
  }
  throw new Error(`${what}: not within ${START_MAX_MS} ms`);
}

/** The first of 21 ports in a row of which those that are needed are free. */
async function freeBase() {
  const free = (port) => new Promise((resolve) => {
    const server = createServer().once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
  for (let base = 21_080; base < 30_000; base += 100) {
    const wanted = await Promise.all([0, 1, 9, 10, 20].map((at) => free(base + at)));
    if (wanted.every(Boolean)) return base;
  }
  throw new Error("no free ports");
}

const json = async (url, body, headers = {}) => {
  const method = body === undefined ? "GET" : "POST";
  const text = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(url, { method, body: text, headers: { "content-type": "application/json", ...headers } });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${answer.slice(0, 200)}`);
  return answer.startsWith("{") || answer.startsWith("[") ? JSON.parse(answer) : answer;
};

/** Calls the bank's interface, signed as Standard Webhooks says. */
function bank(server, secret, route, item) {
  const [id, at, body] = [randomUUID(), String(Math.floor(Date.now() / 1000)), JSON.stringify(item)];
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${at}.${body}`).digest("base64");
  const headers = { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": `v1,${signature}` };
  return json(`${server}${route}`, body, headers);
}

/** Somebody who follows, is bound, asks, is told of a purchase, and wants a person. */
async function person(world, number) {
  const { openid } = await json(`${world.simulator}/sim/api/accounts/card/followers`, { name: `测试${number}`, follow: true });
  const act = (action) => json(`${world.simulator}/sim/api/accounts/card/followers/${openid}/actions`, action);
  const customer = `C100${String(1 + (number % 19)).padStart(2, "0")}`;
  await bank(world.server, world.secret, "/api/v1/bindings", {
    account: "card", openid, customer_id: customer, bound_at: new Date().toISOString(),
    cards: [{ card_id: "K1", last4: "1234", product: "金卡" }],
  });
  return {
    act,
    swipe: () => bank(world.server, world.secret, "/api/v1/transactions", {
      transaction_id: randomUUID(), customer_id: customer, card_last4: "1234", type: "purchase",
      amount: { value: "88.00", currency: "CNY" }, merchant: { name: "示例商户" }, channel: "pos",
      occurred_at: new Date().toISOString(),
    }),
  };
}

async function traffic(world) {
  const people = [];
  for (let number = 0; number < 4; number += 1) people.push(await person(world, number));
  const end = Date.now() + TRAFFIC_MS;
  while (Date.now() < end) {
    for (const { act, swipe } of people) {
      await act({ action: "text", text: "功能" });
      await act({ action: "text", text: "查账单" });
      await swipe();
    }
    await fetch(`${world.server}/wechat/card?signature=forged`, { method: "POST", body: "<xml/>" });
    await fetch(`${world.server}/api/v1/transactions`, { method: "POST", body: "{}" });
    await sleep(1_000);
  }
  await people[0].act({ action: "text", text: "人工" });
  // The core goes away, so that an alarm sounds.
  await json(`${world.core}/sandbox/faults`, { operation: "*", down: true });
  for (let failure = 0; failure < FAILURES_IN_ROW; failure += 1) {
    await people[1 + (failure % 3)].act({ action: "text", text: "查账单" });
  }
}

const query = async (prometheus, expression) => {
  const answer = await json(`${prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`);
  return answer.data.result;
};

async function panels(prometheus) {
  const dashboard = JSON.parse(readFileSync(path.join(HERE, "../grafana/weikefu.json"), "utf8"));
  const faults = [];
  const ids = new Set();
  for (const panel of dashboard.panels) {
    if (ids.has(panel.id) || !panel.title || !panel.gridPos) faults.push(`panel ${panel.title}: its form`);
    ids.add(panel.id);
    for (const target of panel.targets ?? []) {
      const expression = target.expr.replaceAll("$__rate_interval", "1m");
      const found = (await query(prometheus, expression)).filter((series) => Number.isFinite(Number(series.value[1])));
      console.log(`${found.length > 0 ? "ok     " : "FAILED "} ${panel.title}: ${found.length} series`);
      if (found.length === 0) faults.push(`panel ${panel.title}: no data for ${expression}`);
    }
  }
  return faults;
}

async function rules(prometheus) {
  const answer = await json(`${prometheus}/api/v1/rules`);
  const faults = [];
  for (const rule of answer.data.groups.flatMap((group) => group.rules)) {
    await query(prometheus, rule.query);
    const names = [...new Set(rule.query.match(/weikefu_[a-z_]+/g) ?? [])];
    const missing = [];
    for (const name of names) if ((await query(prometheus, name)).length === 0) missing.push(name);
    const isWell = rule.health === "ok" && missing.length === 0;
    console.log(`${isWell ? "ok     " : "FAILED "} ${rule.name}: ${rule.state}${missing.length ? `; no ${missing}` : ""}`);
    if (!isWell) faults.push(`rule ${rule.name}: ${rule.lastError ?? missing}`);
  }
  return faults;
}

async function main() {
  run("promtool", "check", "rules", path.join(HERE, "rules.yaml"));
  run("promtool", "test", "rules", path.join(HERE, "rules_test.yaml"));
  run("promtool", "check", "config", path.join(HERE, "prometheus.yml"));
  const base = await freeBase();
  const at = (offset) => `http://127.0.0.1:${base + offset}`;
  const data = path.join(folder, "demo");
  const demo = start(WEIKEFU, "demo", "--port-base", String(base), "--data", data);
  await until("the demo", async () => (await fetch(`${at(0)}/readyz`)).ok && (await fetch(at(1))).ok && (await fetch(`${at(10)}/healthz`)).ok)
    .catch((error) => { throw new Error(`${error.message}\n${demo.said()}`); });
  const settings = readFileSync(path.join(data, "weikefu.toml"), "utf8");
  const secret = settings.match(/^secrets = \["(whsec_[^"]+)"/m)[1];

  const config = readFileSync(path.join(HERE, "prometheus.yml"), "utf8")
    .replaceAll("15s", "1s").replace("rules.yaml", path.join(HERE, "rules.yaml")).replace("127.0.0.1:9464", `127.0.0.1:${base + 9}`);
  writeFileSync(path.join(folder, "prometheus.yml"), config);
  const prometheus = start("prometheus", `--config.file=${path.join(folder, "prometheus.yml")}`,
    `--storage.tsdb.path=${path.join(folder, "tsdb")}`, `--web.listen-address=127.0.0.1:${base + 20}`);
  await until("Prometheus", async () => (await query(at(20), "up{job='weikefu'} == 1")).length > 0)
    .catch((error) => { throw new Error(`${error.message}\n${prometheus.said()}`); });

  console.log(`        traffic for ${TRAFFIC_MS / 1000} s`);
  await traffic({ server: at(0), simulator: at(1), core: at(10), secret });
  await until("the breaker's alarm", async () => (await query(at(20), 'ALERTS{alertname="WeikefuCoreBreakerOpen"}')).length > 0);
  const faults = [...await panels(at(20)), ...await rules(at(20))];
  for (const alert of await query(at(20), "ALERTS")) console.log(`alarm   ${alert.metric.alertname}: ${alert.metric.alertstate}`);
  if (faults.length) throw new Error(faults.join("\n"));
}

let code = 0;
try {
  await main();
  console.log("every panel and every rule has its data");
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  code = 1;
} finally {
  for (const child of children) child.kill("SIGTERM");
  await Promise.all(children.map((child) => child.exitCode ?? new Promise((resolve) => child.once("exit", resolve))));
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
