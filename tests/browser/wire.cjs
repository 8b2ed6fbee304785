// A wire between a browser and the server, which can be cut: what a lost connection is.
"use strict";

const net = require("node:net");

class Wire {
  /** A wire to this address; its own is `url`. */
  static async to(url) {
    const wire = new Wire(new URL(url));
    await new Promise((listens) => wire.server.listen(0, "127.0.0.1", listens));
    return wire;
  }

  constructor(target) {
    this.target = target;
    this.ends = new Set();
    this.isCut = false;
    this.losesAnswers = false;
    this.server = net.createServer((near) => this.join(near));
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  join(near) {
    if (this.isCut) {
      near.destroy();
      return;
    }
    const far = net.connect(Number(this.target.port), this.target.hostname);
    const both = [near, far];
    const part = () => both.forEach((end) => {
      end.destroy();
      this.ends.delete(end);
    });
    for (const end of both) {
      this.ends.add(end);
      end.on("error", part);
      end.on("close", part);
    }
    near.pipe(far);
    far.on("data", (piece) => (this.losesAnswers ? part() : near.write(piece)));
  }

  /** From now on nothing comes through, in neither direction. */
  cut() {
    this.isCut = true;
    this.ends.forEach((end) => end.destroy());
  }

  /** From now on requests come through, and no answer to them. */
  loseAnswers() {
    this.losesAnswers = true;
  }

  mend() {
    this.isCut = false;
    this.losesAnswers = false;
  }

  close() {
    this.cut();
    this.server.close();
  }
}

module.exports = { Wire };
