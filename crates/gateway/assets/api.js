// Asking the gateway: JSON, or a refusal in words.

/** Longest that the page waits: a little more than the gateway itself waits for its node. */
const PATIENCE_MS = 15_000;

/** An answer that says no, or no answer. `code` is the gateway's, or `unreachable`. */
export class Refused extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {string} [hint]
   */
  constructor(code, message, hint) {
    super(message);
    this.name = "Refused";
    this.code = code;
    this.hint = hint;
  }

  /** Cause and advice, as sentences. */
  get words() {
    return [this.message, this.hint].filter(Boolean).map(sentence).join(" ");
  }
}

/** @param {string} words */
function sentence(words) {
  const end = /[.!?]$/.test(words) ? "" : ".";
  return words[0].toUpperCase() + words.slice(1) + end;
}

/**
 * What `GET path` answers.
 * @param {string} path
 * @throws {Refused}
 */
export async function ask(path) {
  let response;
  try {
    response = await fetch(path, {
      headers: { Accept: "application/json" },
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new Refused("unreachable", `the gateway at ${location.host} does not answer`, "is its node running?");
  }
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Refused("unreadable", `the gateway answered ${path} with status ${response.status} and no JSON`);
  }
  if (response.ok) return answer;
  const { code = "unknown", message = `status ${response.status}`, hint } = answer?.error ?? {};
  throw new Refused(code, message, hint);
}
