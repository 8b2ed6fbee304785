// The demo as a process: where its pages are, who its programs are, and killing one of them.
"use strict";

const { spawn } = require("node:child_process");
const { readFileSync, readdirSync } = require("node:fs");
const net = require("node:net");
const { join } = require("node:path");

const START_MS = 60_000;
const STOP_MS = 30_000;
const LOG_LINES = 30;

class Demo {
  static async start(binary, data) {
    const demo = new Demo(binary, data, await freeBase());
    await demo.until(/Ctrl-C stops everything/, START_MS);
    return demo;
  }

  constructor(binary, data, base) {
    this.data = data;
    this.output = "";
    this.waiting = new Set();
    // The demo's folder is its working directory: it must run from an empty one.
    this.process = spawn(binary, ["demo", "--port-base", String(base), "--data", data], {
      cwd: data, stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => {
        this.output += text;
        for (const look of this.waiting) look();
      });
    }
    this.ended = new Promise((done) => this.process.on("exit", (code) => {
      this.exit = code;
      for (const look of this.waiting) look();
      done(code);
    }));
  }

  get urls() {
    const url = (name) => new RegExp(`${name}\\s+(http\\S+)`).exec(this.output)[1];
    return { phone: url("phone"), desk: url("agent desk"), core: url("sandbox core") };
  }

  get staff() {
    const people = [...this.output.matchAll(/^ {2}(\S+)\s+(admin|agent|supervisor)\s+password (\S+)$/gm)];
    const one = (role) => people.filter((match) => match[2] === role).map((match) => ({ name: match[1], password: match[3] }))[0];
    return { admin: one("admin"), agent: one("agent") };
  }

  /** Every agent of the demo. */
  get agents() {
    const people = this.output.matchAll(/^ {2}(\S+)\s+agent\s+password (\S+)$/gm);
    return [...people].map(([, name, password]) => ({ name, password }));
  }

  /** Waits until the output holds a match; gives it. */
  until(pattern, patience = START_MS) {
    return new Promise((found, failed) => {
      const timer = setTimeout(() => end(failed, new Error(`the demo did not say ${pattern}:\n${this.story()}`)), patience);
      const end = (how, what) => {
        clearTimeout(timer);
        this.waiting.delete(look);
        how(what);
      };
      const look = () => {
        const match = pattern.exec(this.output);
        if (match) end(found, match);
        else if (this.exit !== undefined) end(failed, new Error(`the demo ended with ${this.exit}:\n${this.story()}`));
      };
      this.waiting.add(look);
      look();
    });
  }

  pids(name) {
    return [...this.output.matchAll(new RegExp(`^${name}\\s+pid (\\d+)`, "gm"))].map((match) => Number(match[1]));
  }

  /** kill -9. */
  async kill(name) {
    const pid = this.pids(name).at(-1);
    process.kill(pid, "SIGKILL");
    this.killed = pid;
  }

  /** Waits until the program that was killed has a successor. */
  async restarted(name) {
    await this.until(new RegExp(`^${name}\\s+pid ${this.killed}\\b[\\s\\S]*^${name}\\s+pid (?!${this.killed}\\b)\\d+`, "m"));
  }

  async stop() {
    if (this.exit === undefined) this.process.kill("SIGTERM");
    const late = new Promise((done) => setTimeout(() => done("nothing, it had to be killed"), STOP_MS).unref());
    const code = await Promise.race([this.ended, late]);
    if (this.exit === undefined) this.process.kill("SIGKILL");
    return code;
  }

  /** What it printed, and the end of each log. */
  story() {
    const folder = join(this.data, "logs");
    let names = [];
    try {
      names = readdirSync(folder);
    } catch {
      // It ended before it had logs.
    }
    const ends = names.map((name) => `-- ${name}\n${readFileSync(join(folder, name), "utf8").split("\n").slice(-LOG_LINES).join("\n")}`);
    return [this.output, ...ends].join("\n");
  }
}

/** A base whose four ports are free. */
async function freeBase() {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 30_000);
    const free = await Promise.all([0, 1, 9, 10].map((step) => isFree(base + step)));
    if (free.every(Boolean)) return base;
  }
}

function isFree(port) {
  return new Promise((done) => {
    const server = net.createServer();
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}

module.exports = { Demo };
