// The network as the gateway's node finds it: every node with what it holds.

import { ask } from "./api.js";

/** Most nodes that the page asks for and draws: as many as the gateway tells of. */
const NODES_MAX = 1024;

/**
 * A node and what it holds; `null` where that is not known.
 * @typedef {{id: string, addr: string, answered: boolean, member: boolean, records: number | null, bytes: number | null,
 *   shares: {count: number, ready: number} | null, rtt: number | null}} NodeSeen
 * @typedef {{geometry: string | null, nodes: NodeSeen[], complete: boolean}} Network
 */

/**
 * @param {{geometry: string | null}} me what `/v1/node` answered
 * @returns {Promise<Network>} nodes in the order of their ids, the gateway's own among them
 */
export async function survey(me) {
  const { nodes, complete } = await ask(`/v1/network?max=${NODES_MAX}`);
  const seen = nodes.map((node) => ({
    id: node.id,
    addr: node.addr,
    answered: node.answered,
    member: node.member ?? true,
    records: node.records,
    bytes: node.record_bytes,
    shares: node.shares,
    rtt: node.rtt_ms,
  }));
  seen.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { geometry: me.geometry, nodes: seen, complete };
}
