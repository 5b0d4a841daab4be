/* What both pages build with: elements of the document, and numbers with a real minus sign. */

"use strict";

const byId = (id) => document.getElementById(id);
const minus = (text) => text.replace(/-/g, "−");

/** A new element; attributes that begin with "on" are listeners, and null leaves one out. */
function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
