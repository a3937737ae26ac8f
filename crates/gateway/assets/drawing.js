// The drawing: nodes where their ids lie, what each holds, and the way of a lookup among them.
//
// Where things lie is the arrangement's to say (ring.js, trie.js); here is what they look like.

import { short } from "./ids.js";
import { keep, say, svg } from "./keyed.js";
import { ring } from "./ring.js";
import { trie } from "./trie.js";
import { plural, size } from "./words.js";

/**
 * Where ids lie.
 * @typedef {object} Arrangement
 * @property {string} name what it is called in a sentence
 * @property {string} viewBox
 * @property {number} markMax radius of the fullest node; 0: nodes are bars
 * @property {number} barWidth
 * @property {() => Element[]} backdrop
 * @property {(id: string) => {x: number, y: number}} place of any id, a node's or not
 * @property {(id: string) => {x: number, y: number, anchor: string, text: string, turn: number} | undefined} label
 * @property {(id: string, share: number) => string} bar the path of a bar, `share` of the longest
 * @property {(from: string, to: string) => {d: string, middle: {x: number, y: number}}} curve
 * @property {(id: string) => {x: number, y: number, text: {x: number, y: number, anchor: string}, toward: string[]}} key
 */

/** Radius of an empty node's mark. */
const MARK_MIN = 5;

export class Drawing {
  /**
   * @param {SVGSVGElement} canvas
   * @param {(id: string) => void} onPick a node was clicked
   */
  constructor(canvas, onPick) {
    this.canvas = canvas;
    this.layers = Object.fromEntries(
      ["backdrop", "toward", "way", "marks", "labels", "numbers", "key"].map((name) => [name, svg("g", { class: name })]),
    );
    canvas.append(...Object.values(this.layers));
    canvas.addEventListener("click", (event) => {
      const node = event.target.closest?.("[data-id]");
      if (node) onPick(node.dataset.id);
    });
    /** @type {Arrangement | undefined} */
    this.arrangement = undefined;
    this.order = "";
    this.network = undefined;
    this.me = "";
    this.picked = "";
    /** @type {{key: string, text: string, hops: import("./trace.js").Hop[], replicas: string[]} | undefined} */
    this.way = undefined;
  }

  /**
   * Draws the network as it is now.
   * @param {import("./network.js").Network} network nodes in the order of their ids
   * @param {string} me the id of the gateway's own node
   */
  show(network, me) {
    [this.network, this.me] = [network, me];
    const ids = network.nodes.map((node) => node.id);
    const order = `${network.geometry} ${ids.join(" ")}`;
    if (order !== this.order) {
      this.order = order;
      this.arrangement = network.geometry === "xor" ? trie(ids) : ring(ids);
      this.canvas.setAttribute("viewBox", this.arrangement.viewBox);
      this.layers.backdrop.replaceChildren(...this.arrangement.backdrop());
    }
    this.render();
  }

  /** Draws the way of a lookup, or none. */
  follow(way) {
    this.way = way;
    this.render();
  }

  /** Marks one node. @param {string} id */
  pick(id) {
    this.picked = id;
    this.render();
  }

  render() {
    if (!this.arrangement) return;
    const { nodes } = this.network;
    const most = Math.max(1, ...nodes.map((node) => node.records ?? 0));
    keep(this.layers.marks, nodes, (node) => node.id, makeMark, (mark, node) => this.mark(mark, node, most));
    const labelled = nodes.filter((node) => this.arrangement.label(node.id));
    keep(this.layers.labels, labelled, (node) => node.id, () => svg("text"), (text, node) => this.label(text, node));
    this.renderWay();
    const kept = nodes.reduce((sum, node) => sum + (node.records ?? 0), 0);
    this.canvas.setAttribute(
      "aria-label",
      `${this.arrangement.name} of ${plural(nodes.length, "node")} that hold ${plural(kept, "copy", "copies")}; the table of nodes says the same in words`,
    );
  }

  mark(mark, node, most) {
    const arrangement = this.arrangement;
    const share = Math.sqrt((node.records ?? 0) / most);
    const { x, y } = arrangement.place(node.id);
    const bars = arrangement.markMax === 0;
    const [shape, title] = mark.children;
    if (bars) {
      shape.setAttribute("d", arrangement.bar(node.id, (node.records ?? 0) / most));
      shape.setAttribute("stroke-width", String(arrangement.barWidth));
    } else {
      const radius = MARK_MIN + share * (arrangement.markMax - MARK_MIN);
      shape.setAttribute("d", circle(x, y, Math.round(radius * 10) / 10));
      shape.removeAttribute("stroke-width");
    }
    mark.setAttribute("class", this.roles(node, bars ? "bar" : "dot"));
    const holds = node.records === null ? "" : `, ${plural(node.records, "record")}, ${size(node.bytes)}`;
    say(title, `${short(node.id)} at ${node.addr}${holds}${node.answered ? "" : ", silent"}`);
  }

  roles(node, shape) {
    const roles = ["node", shape];
    if (node.id === this.me) roles.push("self");
    if (!node.answered) roles.push("silent");
    if (node.id === this.picked) roles.push("picked");
    if (this.way?.replicas.includes(node.id)) roles.push("replica");
    if (this.way?.hops.some((hop) => hop.to === node.id)) roles.push("asked");
    return roles.join(" ");
  }

  label(text, node) {
    const { x, y, anchor, text: name, turn } = this.arrangement.label(node.id);
    text.setAttribute("transform", `translate(${x} ${y}) rotate(${turn})`);
    text.setAttribute("dy", "4");
    text.setAttribute("text-anchor", anchor);
    text.setAttribute("class", this.roles(node, "label"));
    text.dataset.id = node.id;
    const part = this.way ? this.way.replicas.indexOf(node.id) : -1;
    const role = part === 0 ? " root" : part > 0 ? " copy" : node.answered ? "" : " silent";
    say(text, name + role);
  }

  renderWay() {
    const { arrangement, way, layers } = this;
    const legs = way ? legsOf(way.hops, arrangement) : [];
    keep(layers.way, legs, (leg) => leg.key, () => svg("path", { pathLength: 1 }), (path, leg) => {
      path.setAttribute("d", leg.curve.d);
      path.setAttribute("class", `hop ${leg.answer}`);
    });
    keep(layers.numbers, legs, (leg) => leg.key, makeNumber, (number, leg) => {
      const { x, y } = leg.curve.middle;
      number.setAttribute("transform", `translate(${x} ${y})`);
      number.setAttribute("class", `number ${leg.answer}`);
      number.firstElementChild.setAttribute("width", String(12 + 6 * leg.numbers.length));
      number.firstElementChild.setAttribute("x", String(-6 - 3 * leg.numbers.length));
      say(number.lastElementChild, leg.numbers);
    });
    const keys = way ? [way] : [];
    keep(layers.key, keys, (key) => key.key, () => svg("g", {}, svg("path"), svg("text")), (group, key) => {
      const { x, y, text } = arrangement.key(key.key);
      group.firstElementChild.setAttribute("d", `M${x} ${y - 7}l7 7l-7 7l-7 -7z`);
      const label = group.lastElementChild;
      label.setAttribute("x", String(text.x));
      label.setAttribute("y", String(text.y + 4));
      label.setAttribute("text-anchor", text.anchor);
      say(label, key.text);
    });
    const toward = way ? arrangement.key(way.key).toward : [];
    keep(layers.toward, toward, (d) => d, (d) => svg("path", { d }), () => {});
  }
}

function makeMark(node) {
  return svg("g", { "data-id": node.id }, svg("path"), svg("title"));
}

function makeNumber() {
  return svg("g", {}, svg("rect", { y: -9, height: 18, rx: 9 }), svg("text", { y: 4, "text-anchor": "middle" }));
}

/**
 * What is drawn of hops: a line for each pair of nodes, with the numbers of all its hops; the last answer counts.
 * @param {import("./trace.js").Hop[]} hops
 * @param {Arrangement} arrangement
 */
function legsOf(hops, arrangement) {
  const legs = new Map();
  for (const { number, from, to, answer } of hops) {
    if (from === to) continue;
    const key = `${from} ${to}`;
    const numbers = legs.has(key) ? `${legs.get(key).numbers},${number}` : String(number);
    legs.set(key, { key, numbers, answer, curve: arrangement.curve(from, to) });
  }
  return [...legs.values()];
}

function circle(x, y, radius) {
  return `M${x - radius} ${y}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0z`;
}
