// Keeping elements in step with data without making them anew: what a reader has focused, selected or hovered stays.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An SVG element.
 * @param {string} name
 * @param {Record<string, string | number>} [attributes]
 * @param {(Node | string)[]} children
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, String(value));
  element.append(...children);
  return element;
}

/**
 * An HTML element with a class and content.
 * @param {string} name
 * @param {string} [className]
 * @param {(Node | string)[]} children
 */
export function html(name, className = "", ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** @type {WeakMap<Element, Map<string, Element>>} */
const kept = new WeakMap();

/**
 * One child of `parent` for each item, in the order of the items. A child is made once for a key and updated after.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf different for different items
 * @param {(item: T) => Element} make
 * @param {(child: Element, item: T) => void} update
 */
export function keep(parent, items, keyOf, make, update) {
  const before = kept.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    const key = keyOf(item);
    now.set(key, before.get(key) ?? make(item));
    before.delete(key);
  }
  // First out with the gone: what stays is then moved only if its order changed, and keeps its focus.
  for (const gone of before.values()) gone.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const child = now.get(keyOf(item));
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  kept.set(parent, now);
}

/**
 * Sets a text if it is another one.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
