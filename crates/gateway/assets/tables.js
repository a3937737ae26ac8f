// The tables beside the drawing: all that it shows, in words.

import { short } from "./ids.js";
import { html, keep, say } from "./keyed.js";
import { count, roundTrip, size } from "./words.js";

/**
 * Every node and what it holds.
 * @param {HTMLTableElement} table
 * @param {import("./network.js").NodeSeen[]} nodes
 * @param {string} me
 * @param {string} picked
 * @param {(id: string) => void} onPick
 */
export function nodeTable(table, nodes, me, picked, onPick) {
  const make = (node) => {
    const button = html("button", "id", short(node.id));
    button.type = "button";
    button.title = node.id;
    button.addEventListener("click", () => onPick(node.id));
    const name = html("th", "", button);
    name.scope = "row";
    return html("tr", "", name, ...cells(["", "", "number", "number", "number", "number"]));
  };
  keep(table.tBodies[0], nodes, (node) => node.id, make, (row, node) => {
    const way = node.member ? "answers" : "joining or leaving";
    const state = node.id === me ? "this node" : node.answered ? way : "silent";
    const shares = node.shares ? `${node.shares.ready} of ${node.shares.count}` : "–";
    const texts = [node.addr, state, count(node.records), size(node.bytes), shares, roundTrip(node.rtt)];
    texts.forEach((text, at) => say(row.cells[at + 1], text));
    row.className = node.id === picked ? "picked" : node.answered ? "" : "silent";
    row.cells[0].firstElementChild.setAttribute("aria-pressed", String(node.id === picked));
  });
}

/**
 * The hops of a lookup.
 * @param {HTMLTableElement} table
 * @param {import("./trace.js").Hop[]} hops
 */
export function hopTable(table, hops) {
  const make = () => html("tr", "", ...cells(["number", "", "", "number", ""]));
  keep(table.tBodies[0], hops, (hop) => String(hop.number), make, (row, hop) => {
    const texts = [String(hop.number), "", hop.apart, roundTrip(hop.rtt), hop.words];
    texts.forEach((text, at) => at !== 1 && say(row.cells[at], text));
    named(row.cells[1], hop.to, hop.addr);
    row.cells[2].title = `${hop.distance} by the overlay's metric`;
    row.className = hop.answer;
  });
}

/**
 * The replica set of a key.
 * @param {HTMLTableElement} table
 * @param {import("./trace.js").Replica[]} replicas root first
 */
export function replicaTable(table, replicas) {
  const make = () => html("tr", "", ...cells(["", "", "", "number"]));
  keep(table.tBodies[0], replicas, (replica) => replica.id, make, (row, replica) => {
    const part = replica === replicas[0] ? "root" : "copy";
    const texts = [part, short(replica.id), replica.addr, replica.apart];
    texts.forEach((text, at) => say(row.cells[at], text));
    row.cells[1].title = replica.id;
  });
}

function named(cell, id, addr) {
  if (cell.title === id) return;
  cell.title = id;
  cell.replaceChildren(html("span", "id", short(id)), html("small", "", addr));
}

/** @param {string[]} classes */
function cells(classes) {
  return classes.map((name) => html("td", name));
}
