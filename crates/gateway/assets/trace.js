// The way of a lookup: who was asked in which order, because of whom, and what each answered.

import { ask } from "./api.js";
import { apart, short } from "./ids.js";
import { plural } from "./words.js";

/**
 * One question of the lookup. `from` had named the node that is asked; the gateway's own node names the first. `distance` is
 * by the overlay's metric, `apart` for people.
 * @typedef {{number: number, from: string, to: string, addr: string, distance: string, apart: string, rtt: number | null,
 *   answer: string, words: string}} Hop
 * @typedef {{id: string, addr: string, apart: string}} Replica
 * @typedef {{key: string, text: string, hops: Hop[], replicas: Replica[], outcome: string}} Way
 */

/**
 * Looks a key up, and tells how.
 * @param {string} text the key, or an id
 * @param {boolean} isId
 * @param {{id: string, geometry: string | null}} me the gateway's own node
 * @returns {Promise<Way>}
 */
export async function trace(text, isId, me) {
  const place = isId ? `ids/${text.toLowerCase()}` : `keys/${encodeURIComponent(text)}`;
  const answer = await ask(`/v1/${place}/trace`);
  const far = (id) => apart(me.geometry, answer.key, id);
  const namedBy = new Map();
  const hops = answer.steps.map((step, at) => {
    const from = namedBy.get(step.peer.id) ?? me.id;
    for (const peer of step.named) if (!namedBy.has(peer.id)) namedBy.set(peer.id, step.peer.id);
    return {
      number: at + 1,
      from,
      to: step.peer.id,
      addr: step.peer.addr,
      distance: step.distance,
      apart: far(step.peer.id),
      rtt: step.rtt_ms,
      answer: step.answer,
      words: answered(step),
    };
  });
  const replicas = answer.replicas.map(({ id, addr }) => ({ id, addr, apart: far(id) }));
  return { key: answer.key, text, hops, replicas, outcome: outcome(answer) };
}

/** What the lookup came to, in words. */
function outcome(answer) {
  const found = answer.replicas.length;
  const silence = answer.timeouts > 0 ? `, ${plural(answer.timeouts, "time-out")}` : "";
  const way = `${answer.style} lookup, ${plural(answer.steps.length, "question")}${silence}`;
  if (found === 0) return `No node was found that keeps the key (${way}).`;
  if (answer.steps.length > 0) return `Found ${plural(found, "replica")}; ${way}.`;
  return `The gateway's own node knows the replica set: ${plural(found, "node")}, nobody was asked.`;
}

/** What a step came to, in words. */
function answered(step) {
  const named = step.named.length;
  const first = named > 0 ? short(step.named[0].id) : "";
  switch (step.answer) {
    case "next":
      return named === 0 ? "named nobody nearer" : `named ${plural(named, "nearer node")}, best ${first}`;
    case "root":
      if (named === 0) return "knows the root";
      return step.named[0].id === step.peer.id ? "is the root itself" : `knows the root: ${first}`;
    case "around":
      return `told all it knows around the key: ${plural(named, "node")}`;
    case "stuck":
      return "knows no way on";
    case "slow":
      return "was slow; somebody else was asked as well";
    case "silent":
      return "did not answer";
    case "open":
      return "its answer was not waited for";
    default:
      return step.answer;
  }
}
