// Doing something again and again while somebody looks.

/**
 * Runs `work` at once and again `restMs()` after it ended. While the tab is hidden nothing runs; it goes on when it is shown.
 * @param {() => Promise<void>} work must not throw
 * @param {() => number} restMs
 */
export function poll(work, restMs) {
  let timer = 0;
  let busy = false;

  async function turn() {
    if (busy || document.hidden) return;
    busy = true;
    await work();
    busy = false;
    clearTimeout(timer);
    timer = setTimeout(turn, restMs());
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    turn();
  });
  turn();
}
