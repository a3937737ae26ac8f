// The console: asks the gateway every two seconds how the network is, draws it, and follows keys through it.
//
//   poll ─▶ /v1/node, /v1/network ─▶ drawing, table of nodes
//   search, or ?key=TEXT, ?id=HEX ─▶ .../trace ─▶ drawing hop by hop, table of hops
//
// What it shows is state that it was told; it keeps nothing but the last answers, and writes nothing.

import { ask } from "./api.js";
import { Drawing } from "./drawing.js";
import { isId, short } from "./ids.js";
import { say } from "./keyed.js";
import { survey } from "./network.js";
import { poll } from "./poll.js";
import { hopTable, nodeTable, replicaTable } from "./tables.js";
import { trace } from "./trace.js";
import { condition, plural, size } from "./words.js";

/** Between an answer and the next question, at least; and for each node: every question asks all of them. */
const REST_MS = 2000;
const NODE_REST_MS = 15;
/** Between two hops as they are drawn, and how long all may take together. */
const HOP_MS = 450;
const HOPS_MS_MAX = 4000;

const part = (id) => document.getElementById(id);
const drawing = new Drawing(part("drawing"), pick);

/** What was last told: the gateway's node, its network, the node that the reader picked. */
const last = { me: undefined, network: undefined, picked: "" };
/** Counts searches, so that an answer to an earlier one is dropped. */
let searches = 0;
/** Ends when the network was drawn for the first time: ways are drawn among its nodes. */
let drawn;
const firstDrawn = new Promise((resolve) => (drawn = resolve));

const restMs = () => Math.max(REST_MS, NODE_REST_MS * (last.network?.nodes.length ?? 0));

async function look() {
  try {
    last.me = await ask("/v1/node");
    showState(last.me);
    last.network = await survey(last.me);
    show();
    drawn();
    part("trouble").hidden = true;
    document.body.classList.remove("stale");
  } catch (refused) {
    trouble(refused);
  }
}

/** Tells what is wrong; what was drawn stays, greyed, as the last that is known. */
function trouble(refused) {
  const since = last.network ? " What is shown is the last that was told." : "";
  const words = refused.words ?? `The console failed: ${refused.message}.`;
  say(part("trouble"), `${words}${since} Asking again in ${Math.round(restMs() / 1000)} seconds.`);
  part("trouble").hidden = false;
  document.body.classList.add("stale");
}

function showState(me) {
  const { well, text } = condition(me);
  say(part("state"), `${me.overlay} · ${short(me.id)} at ${me.addr} · ${text} · version ${me.version}`);
  part("state").className = well ? "well" : "ill";
}

function show() {
  const { me, network } = last;
  const silent = network.nodes.filter((node) => !node.answered).length;
  const told = network.nodes.filter((node) => node.records !== null);
  const copies = told.reduce((sum, node) => sum + node.records, 0);
  const bytes = told.reduce((sum, node) => sum + node.bytes, 0);
  const quiet = silent > 0 ? `, ${silent} silent` : "";
  const known = told.length < network.nodes.length ? " that are known of" : "";
  const more = network.complete ? "" : " There are more nodes than are shown.";
  say(
    part("summary"),
    `${plural(network.nodes.length, "node")}${quiet}; ${plural(copies, "copy", "copies")} of records, ${size(bytes)}${known}.${more}`,
  );
  say(part("network-title"), network.geometry === "xor" ? "Network: the XOR tree" : "Network: the ring");
  drawing.show(network, me.id);
  nodeTable(part("nodes"), network.nodes, me.id, last.picked, pick);
}

/** Marks a node in the drawing and in the table; the same once more unmarks it. @param {string} id */
function pick(id) {
  last.picked = last.picked === id ? "" : id;
  drawing.pick(last.picked);
  nodeTable(part("nodes"), last.network.nodes, last.me.id, last.picked, pick);
  document.querySelector("#nodes tr.picked")?.scrollIntoView({ block: "nearest" });
}

/** Follows a key, and draws its way. */
async function follow(text, hex) {
  searches += 1;
  const mine = searches;
  const lookup = part("lookup");
  lookup.dataset.state = "asking";
  part("way").hidden = true;
  drawing.follow(undefined);
  if (hex && !isId(text)) {
    lookup.dataset.state = "refused";
    say(part("outcome"), "An id is 40 hex digits; untick the box for a key that is a text.");
    return;
  }
  say(part("outcome"), `Looking up ${text} …`);
  try {
    await firstDrawn;
    const way = await trace(text, hex, last.me);
    if (mine !== searches) return;
    await draw(way, () => mine === searches);
    if (mine === searches) lookup.dataset.state = "done";
  } catch (refused) {
    if (mine !== searches) return;
    lookup.dataset.state = "refused";
    say(part("outcome"), refused.words ?? `The console failed: ${refused.message}.`);
  }
}

/** Draws a way, hop after hop, as long as `wanted`. @param {import("./trace.js").Way} way */
async function draw(way, wanted) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const rest = calm ? 0 : Math.min(HOP_MS, HOPS_MS_MAX / Math.max(way.hops.length, 1));
  const text = way.text.length > 24 ? `${way.text.slice(0, 23)}…` : way.text;
  part("way").hidden = false;
  replicaTable(part("replicas"), []);
  for (let count = 0; count <= way.hops.length; count += 1) {
    const hops = way.hops.slice(0, count);
    hopTable(part("hops"), hops);
    const all = count === way.hops.length;
    drawing.follow({ key: way.key, text, hops, replicas: all ? way.replicas.map((peer) => peer.id) : [] });
    if (all) break;
    if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    if (!wanted()) return;
  }
  part("hops").parentElement.hidden = way.hops.length === 0;
  replicaTable(part("replicas"), way.replicas);
  say(part("outcome"), way.outcome);
}

/** The key that the address names, so that a way can be linked to. */
function followAddress() {
  const named = new URLSearchParams(location.search);
  const hex = named.has("id");
  const text = named.get("id") ?? named.get("key") ?? "";
  part("key").value = text;
  part("hex").checked = hex;
  if (text !== "") follow(text, hex);
}

part("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const [text, hex] = [part("key").value, part("hex").checked];
  history.pushState(null, "", `/?${new URLSearchParams({ [hex ? "id" : "key"]: text })}`);
  follow(text, hex);
});
addEventListener("popstate", followAddress);

poll(look, restMs);
followAddress();
