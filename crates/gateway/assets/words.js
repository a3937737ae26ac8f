// Numbers and states in words.

/** @param {number | null | undefined} count */
export function count(count) {
  return typeof count === "number" ? count.toLocaleString("en") : "–";
}

/**
 * `1 node`, `2 nodes`.
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** @param {number | null | undefined} bytes */
export function size(bytes) {
  if (typeof bytes !== "number") return "–";
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || bytes >= 100 ? 0 : 1;
  return `${bytes.toFixed(digits)} ${UNITS[unit]}`;
}

/** @param {number | null | undefined} ms */
export function roundTrip(ms) {
  if (typeof ms !== "number") return "–";
  return `${ms.toFixed(ms < 1 ? 2 : ms < 10 ? 1 : 0)} ms`;
}

const PHASES = {
  loading: "reading its disk",
  joining: "looking for a member of its network",
  member: "member",
  leaving: "leaving the network",
  stopped: "has left the network",
  refused: "refused by the network",
};

const HALTS = {
  disk_full: "takes no writes: its disk is full",
  disk_failed: "takes no writes: its disk failed",
  clock_skew: "takes no writes: its clock is off",
};

/**
 * How a node is, and whether that is well.
 * @param {{phase: string, isolated: boolean, halt: string | null, refused: string | null}} node from `/v1/node`
 * @returns {{well: boolean, text: string}}
 */
export function condition(node) {
  if (node.refused) return { well: false, text: `refused by the network: ${node.refused}` };
  if (node.phase !== "member") return { well: false, text: PHASES[node.phase] ?? node.phase };
  if (node.isolated) return { well: false, text: "isolated: no neighbour answers" };
  if (node.halt) return { well: false, text: HALTS[node.halt] ?? `takes no writes: ${node.halt}` };
  return { well: true, text: "member" };
}
