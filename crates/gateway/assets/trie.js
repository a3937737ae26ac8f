// The XOR tree: a binary trie of ids, down to where nodes separate. The geometry in which near means a long common prefix.
//
//          ┌──0──┴──1──┐          a fork is as deep as the bits that both sides share
//       ┌──┴──┐        │
//       a     b        c          all nodes on one line; the way of a lookup is drawn in arcs below it

import { ID_BITS, bit, sharedBits, short } from "./ids.js";
import { svg } from "./keyed.js";

const WIDTH = 800;
const MARGIN = 46;
const TOP = 26;
/** The line of the nodes. */
const LINE = 320;
const HEIGHT = 570;
/** With more nodes there are bars without labels. */
const LABELLED_MAX = 48;
/** Narrower than this between two nodes, labels stand upright. */
const FLAT_MIN = 98;
const BAR_MAX = 64;
/** Digits of a fork's edges are written down to this width. */
const DIGIT_MIN = 30;

/**
 * A fork, or a node.
 * @typedef {{x: number, depth: number, id: string, first: number, last: number, sides?: [Branch, Branch]}} Branch
 */

/**
 * @param {string[]} ids in order
 * @returns {import("./drawing.js").Arrangement}
 */
export function trie(ids) {
  const step = ids.length > 1 ? (WIDTH - 2 * MARGIN) / (ids.length - 1) : 0;
  const across = (place) => (ids.length > 1 ? MARGIN + place * step : WIDTH / 2);
  const root = ids.length > 0 ? grow(ids, 0, ids.length - 1, across) : undefined;
  const deepest = root ? depthOf(root) : 1;
  const down = (depth) => round(TOP + ((LINE - TOP - 36) * depth) / Math.max(deepest, 1));
  const labelled = ids.length <= LABELLED_MAX;
  const flat = step >= FLAT_MIN || ids.length === 1;
  // Below marks and labels, or below the bars.
  const arcs = LINE + (labelled ? (flat ? 42 : 120) : BAR_MAX + 12);
  const place = (id) => ({ x: round(across(position(ids, id))), y: LINE });
  return {
    name: "tree",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    markMax: labelled ? Math.max(5, Math.min(14, step / 2.4 || 14)) : 0,
    barWidth: Math.min(6, Math.max(0.7, 0.7 * step)),
    backdrop: () => (root ? backdrop(root, down, step, labelled) : []),
    place,
    label: (id) => {
      if (!labelled) return undefined;
      const { x } = place(id);
      return flat
        ? { x, y: LINE + 28, anchor: "middle", text: short(id), turn: 0 }
        : { x, y: LINE + 22, anchor: "start", text: short(id), turn: 90 };
    },
    bar: (id, share) => {
      const { x } = place(id);
      return `M${x} ${LINE}L${x} ${LINE + 5 + share * (BAR_MAX - 5)}`;
    },
    curve: (from, to) => {
      const [a, b] = [place(from).x, place(to).x];
      const sag = Math.min(HEIGHT - arcs - 18, 34 + Math.abs(b - a) * 0.34);
      const d = `M${a} ${arcs}Q${round((a + b) / 2)} ${round(arcs + 2 * sag)} ${b} ${arcs}`;
      return { d, middle: { x: round((a + b) / 2), y: round(arcs + sag) } };
    },
    key: (id) => keyMark(root, id, down, across, labelled),
  };
}

/** @returns {Branch} */
function grow(ids, first, last, across) {
  if (first === last) return { x: across(first), depth: ID_BITS, id: ids[first], first, last };
  const depth = sharedBits(ids[first], ids[last]);
  let split = first + 1;
  while (bit(ids[split], depth) === 0) split += 1;
  /** @type {[Branch, Branch]} */
  const sides = [grow(ids, first, split - 1, across), grow(ids, split, last, across)];
  return { x: (sides[0].x + sides[1].x) / 2, depth, id: ids[first], first, last, sides };
}

/** Depth of the deepest fork, and a bit below it. @param {Branch} branch */
function depthOf(branch) {
  return branch.sides ? Math.max(branch.depth + 1, ...branch.sides.map(depthOf)) : 0;
}

/** Where in the order an id stands, between two nodes if it is none. */
function position(ids, id) {
  let [low, high] = [0, ids.length];
  while (low < high) {
    const half = (low + high) >> 1;
    if (ids[half] < id) low = half + 1;
    else high = half;
  }
  return ids[low] === id ? low : Math.min(Math.max(low - 0.5, 0), ids.length - 1);
}

/** From a fork across and down to one of its sides; a node's edge goes on to its mark, if there is room for stems. */
function edge(fork, side, down, stems) {
  const end = side.sides ? down(side.depth) : stems ? LINE : down(fork.depth + 1);
  return `M${round(fork.x)} ${down(fork.depth)}H${round(side.x)}V${end}`;
}

function backdrop(root, down, step, stems) {
  let edges = `M${round(root.x)} ${TOP - 14}V${root.sides ? down(root.depth) : LINE}`;
  const digits = [];
  const walk = (fork) => {
    for (const [digit, side] of fork.sides.entries()) {
      edges += edge(fork, side, down, stems);
      const width = Math.abs(side.x - fork.x);
      if (width >= DIGIT_MIN && step >= 12) {
        const x = round(side.x + (digit === 0 ? 9 : -9));
        digits.push(svg("text", { class: "scale", x, y: down(fork.depth) + 14, "text-anchor": "middle" }, String(digit)));
      }
      if (side.sides) walk(side);
    }
  };
  if (root.sides) walk(root);
  return [svg("path", { class: stems ? "edges" : "edges fine", d: edges }), ...digits];
}

/** How far down the tree a key goes with its nodes, and where it leaves them. */
function keyMark(root, id, down, across, stems) {
  const toward = [];
  let branch = root;
  let x = root ? root.x : WIDTH / 2;
  let y = TOP - 14;
  while (branch) {
    const shared = sharedBits(branch.id, id);
    if (!branch.sides) {
      // Beside the node, on the side on which it would stand.
      x = across(branch.first) + (id < branch.id ? -15 : id > branch.id ? 15 : 0);
      y = stems ? LINE - 22 : y + 10;
      break;
    }
    if (shared < branch.depth) {
      // It leaves on the way to this fork.
      y = down(shared);
      x = branch.x + (bit(id, shared) === 0 ? -15 : 15);
      break;
    }
    const side = branch.sides[bit(id, branch.depth)];
    toward.push(edge(branch, side, down, stems));
    y = down(branch.depth + 1);
    branch = side;
  }
  const left = x < WIDTH / 2;
  const text = { x: round(x + (left ? 14 : -14)), y: round(y - 12), anchor: left ? "start" : "end" };
  return { x: round(x), y: round(y), text, toward };
}

function round(number) {
  return Math.round(number * 10) / 10;
}
