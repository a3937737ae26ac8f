// Ids: 160 bits, written as 40 hex digits. Where they lie on the ring, what they share, how far apart they are.

/** Bits of an id. */
export const ID_BITS = 160;

/** Hex digits that a double holds exactly. */
const EXACT_DIGITS = 13;

/**
 * The place of an id as a fraction of the whole space, in [0, 1).
 * @param {string} id
 */
export function fraction(id) {
  return parseInt(id.slice(0, EXACT_DIGITS), 16) / 2 ** (4 * EXACT_DIGITS);
}

/**
 * An id as people read it: its first eight digits.
 * @param {string} id
 */
export function short(id) {
  return id.slice(0, 8);
}

/**
 * Bit `at` of an id, counted from the most significant.
 * @param {string} id
 * @param {number} at
 */
export function bit(id, at) {
  return (parseInt(id[at >> 2], 16) >> (3 - (at & 3))) & 1;
}

/**
 * How many leading bits two ids have in common.
 * @param {string} a
 * @param {string} b
 */
export function sharedBits(a, b) {
  let digit = 0;
  while (digit < a.length && a[digit] === b[digit]) digit += 1;
  if (digit === a.length) return ID_BITS;
  const differ = parseInt(a[digit], 16) ^ parseInt(b[digit], 16);
  return 4 * digit + Math.clz32(differ) - 28;
}

const SPACE = 1n << BigInt(ID_BITS);

/**
 * How far a node lies from a key, as people compare it. On a ring a node lies before or after the key, whichever is nearer;
 * the overlay's own metric goes one way round, and by it the root is almost a whole turn away.
 * @param {string | null} geometry
 * @param {string} key
 * @param {string} id
 */
export function apart(geometry, key, id) {
  const [from, to] = [BigInt(`0x${key}`), BigInt(`0x${id}`)];
  if (geometry === "xor") return power(from ^ to);
  const after = (to - from + SPACE) % SPACE;
  return after <= SPACE / 2n ? `${power(after)} after` : `${power(SPACE - after)} before`;
}

/** A distance by its power of two. @param {bigint} distance */
function power(distance) {
  if (distance === 0n) return "0";
  const digits = distance.toString(16);
  const head = digits.slice(0, EXACT_DIGITS);
  const log = Math.log2(parseInt(head, 16)) + 4 * (digits.length - head.length);
  return `2^${log.toFixed(1)}`;
}

/**
 * Whether a text is an id.
 * @param {string} text
 */
export function isId(text) {
  return /^[0-9a-f]{40}$/i.test(text);
}
