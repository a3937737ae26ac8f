// The ring: ids clockwise from 0 at the top. The geometry in which a key belongs to the node that follows it.

import { fraction, short } from "./ids.js";
import { svg } from "./keyed.js";

const RADIUS = 262;
/** Where labels begin, beyond the largest mark. */
const LABEL_RADIUS = RADIUS + 26;
/** Least distance of two labels, along the circle of labels. */
const LABEL_GAP = 15;
/** With more nodes labels point outwards, so that all have room. */
const LEVEL_MAX = 12;
/** With more nodes there are bars without labels: dots would cover each other. */
const LABELLED_MAX = 64;
/** Longest bar. */
const BAR_MAX = 70;

/**
 * @param {string[]} ids in order
 * @returns {import("./drawing.js").Arrangement}
 */
export function ring(ids) {
  const labelled = ids.length <= LABELLED_MAX;
  const labels = labelled ? spread(ids) : new Map();
  const pointing = labelled && ids.length > LEVEL_MAX;
  return {
    name: "ring",
    viewBox: pointing ? "-410 -410 820 820" : "-390 -350 780 700",
    markMax: labelled ? Math.max(7, Math.min(15, (Math.PI * RADIUS) / ids.length)) : 0,
    barWidth: Math.min(6, Math.max(1, (1.4 * Math.PI * RADIUS) / ids.length)),
    backdrop: () => backdrop(),
    place: (id) => at(angle(id), RADIUS),
    label: (id) => labels.get(id),
    bar: (id, share) => {
      const turn = angle(id);
      const [from, to] = [at(turn, RADIUS), at(turn, RADIUS + 5 + share * (BAR_MAX - 5))];
      return `M${from.x} ${from.y}L${to.x} ${to.y}`;
    },
    curve: (from, to) => {
      const [a, b] = [at(angle(from), RADIUS), at(angle(to), RADIUS)];
      // Bent towards the centre, the less the nearer the two are, so that short hops stay to be seen.
      const gap = Math.hypot(a.x - b.x, a.y - b.y) / (2 * RADIUS);
      const pull = 0.78 - 0.5 * gap;
      const bend = { x: ((a.x + b.x) / 2) * pull, y: ((a.y + b.y) / 2) * pull };
      return { d: `M${a.x} ${a.y}Q${round(bend.x)} ${round(bend.y)} ${b.x} ${b.y}`, middle: middle(a, bend, b) };
    },
    key: (id) => {
      const turn = angle(id);
      const text = { ...at(turn, RADIUS - 24), anchor: anchor(-Math.cos(turn)) };
      return { ...at(turn, RADIUS), text, toward: [] };
    },
  };
}

/** Radians, clockwise from the top. @param {string} id */
function angle(id) {
  return 2 * Math.PI * fraction(id) - Math.PI / 2;
}

/** @param {number} turn @param {number} radius */
function at(turn, radius) {
  return { x: round(Math.cos(turn) * radius), y: round(Math.sin(turn) * radius) };
}

function round(number) {
  return Math.round(number * 10) / 10;
}

/** From where a text runs that stands on this side: -1 is left, 1 right. */
function anchor(side) {
  return side > 0.3 ? "start" : side < -0.3 ? "end" : "middle";
}

/** The middle of a quadratic curve. */
function middle(a, bend, b) {
  return { x: round((a.x + 2 * bend.x + b.x) / 4), y: round((a.y + 2 * bend.y + b.y) / 4) };
}

/** The circle, and where the quarters of the space begin. */
function backdrop() {
  const elements = [svg("circle", { class: "track", r: RADIUS })];
  for (const [quarter, name] of ["0", "4…", "8…", "c…"].entries()) {
    const turn = (quarter * Math.PI) / 2 - Math.PI / 2;
    const [inner, text] = [at(turn, RADIUS - 10), at(turn, RADIUS - 24)];
    const outer = at(turn, RADIUS);
    elements.push(svg("path", { class: "tick", d: `M${inner.x} ${inner.y}L${outer.x} ${outer.y}` }));
    elements.push(svg("text", { class: "scale", x: text.x, y: text.y + 4, "text-anchor": "middle" }, name));
  }
  return elements;
}

/**
 * Labels beside their nodes, pushed apart where nodes are close.
 * @param {string[]} ids
 */
function spread(ids) {
  const turns = ids.map(angle);
  const level = ids.length <= LEVEL_MAX;
  const gap = LABEL_GAP / LABEL_RADIUS;
  const last = turns.length - 1;
  for (let pass = 0; pass < 200 && last > 0; pass += 1) {
    let moved = false;
    for (let i = 0; i <= last; i += 1) {
      const next = i === last ? 0 : i + 1;
      const between = turns[next] + (next === 0 ? 2 * Math.PI : 0) - turns[i];
      // Level labels stand above each other beside the ring, but side by side at its top and bottom.
      const wanted = level ? gap * (1 + 4 * Math.abs(Math.sin(turns[i])) ** 6) : gap;
      if (between >= wanted) continue;
      turns[i] -= (wanted - between) / 2;
      turns[next] += (wanted - between) / 2;
      moved = true;
    }
    if (!moved) break;
  }
  const labels = new Map();
  for (const [i, id] of ids.entries()) {
    const { x, y } = at(turns[i], LABEL_RADIUS);
    const side = Math.cos(turns[i]);
    const degrees = round((turns[i] * 180) / Math.PI + (side < 0 ? 180 : 0));
    labels.set(id, {
      x,
      y,
      anchor: level ? anchor(side) : side < 0 ? "end" : "start",
      turn: level ? 0 : degrees,
      text: short(id),
    });
  }
  return labels;
}
