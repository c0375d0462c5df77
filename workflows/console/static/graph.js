// @ts-check
/** The graph of an execution: the definition drawn, coloured by how each state has gone, and opened state by state. */
import { part, revive } from "./base.js";
import { place } from "./layout.js";

/** @typedef {{total: number, succeeded: number, caught: number, failed: number, aborted: number, running: number, pending: number}} Counts */
/** @typedef {{status: string, counts: Record<string, number>, iterations: Counts | null, retries: number, visit: number | null}} NodeState */
/** @typedef {{nodes: Record<string, NodeState>, taken: [string, string][]}} Progress */

const SVG = "http://www.w3.org/2000/svg";
/** @type {Record<string, string>} */
const MARKS = {
  succeeded: "M-3 0l2 2.3 4-4.6",
  retried: "M-3 0l2 2.3 4-4.6",
  failed: "M-2.4 -2.4l4.8 4.8M2.4 -2.4l-4.8 4.8",
  caught: "M0 -3v3.4M0 2.9v.2",
  aborted: "M-2.6 0h5.2",
  running: "",
  "in-children": "M-2.8 -1.5h5.6M-2.8 1.5h5.6",
  "not-reached": "",
};

const canvas = /** @type {HTMLElement} */ (document.getElementById("graph"));
const panel = /** @type {HTMLElement} */ (document.getElementById("panel"));
/** @type {Map<string, {group: SVGGElement, badge: SVGTextElement, mark: SVGPathElement, dot: SVGCircleElement, x: number, y: number, type: string, inChildren: boolean, distributed: boolean}>} */
const drawn = new Map();
/** @type {{path: SVGPathElement, arrow: SVGPathElement, source: string, target: string}[]} */
const ways = [];
/** @type {Record<string, string>} */
let texts = {};
let selected = "";
let selectedStatus = "";

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string | number>} attributes
 * @param {string} [text]
 * @returns {SVGElementTagNameMap[K]}
 */
function make(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/**
 * @param {import("./layout.js").Layout} laid
 * @param {SVGGElement} into
 * @param {number} left
 * @param {number} top
 */
function draw(laid, into, left, top) {
  for (const { edge, points, label, text } of laid.edges) {
    const path = make("path", { class: `edge ${edge.kind}`, d: curve(points) });
    const arrow = make("path", { class: `arrow ${edge.kind}`, d: head(points) });
    if (edge.label) path.append(make("title", {}, edge.label));
    into.append(path, arrow);
    if (label) into.append(make("text", { class: "edge-label", x: label.x, y: label.y + 4, "text-anchor": "middle" }, text));
    ways.push({ path, arrow, source: edge.source, target: edge.target });
  }
  for (const { x, y, text } of laid.terminals) {
    into.append(
      make("rect", { class: "terminal", x: x - 27, y: y - 12, width: 54, height: 24, rx: 12 }),
      make("text", { class: "terminal-text", x, y: y + 4, "text-anchor": "middle" }, text),
    );
  }
  for (const placed of laid.nodes) drawNode(placed, into, left, top);
}

/**
 * @param {import("./layout.js").PlacedNode} placed
 * @param {SVGGElement} into
 * @param {number} left
 * @param {number} top
 */
function drawNode(placed, into, left, top) {
  const { node, x, y, width, height, inner } = placed;
  const group = make("g", { transform: `translate(${x} ${y})`, role: "button", tabindex: -1, "aria-pressed": "false" });
  group.dataset.state = node.name;
  const dot = make("circle", { class: "dot", cx: 18, cy: 17, r: 6.5 });
  const mark = make("path", { class: "mark", transform: "translate(18 17)" });
  const badge = make("text", { class: "badge", x: width - 12, y: 38, "text-anchor": "end" });
  group.append(
    make("rect", { class: "box", width, height, rx: 8 }),
    dot,
    mark,
    make("text", { class: "title", x: 32, y: 21.5 }, node.name),
    make("text", { class: "kind", x: 32, y: 38 }, node.distributed ? "Distributed Map" : node.type),
    badge,
  );
  if (node.comment) group.append(make("title", {}, node.comment));
  into.append(group);
  drawn.set(node.name, { group, badge, mark, dot, x: left + x + width / 2, y: top + y + 24, type: node.type, inChildren: node.in_children, distributed: node.distributed });
  for (const each of inner) {
    const scope = make("g", { transform: `translate(${each.x} ${each.y})` });
    group.append(scope);
    group.dataset.container = "1";
    draw(each.layout, scope, left + x + each.x, top + y + each.y);
  }
}

/** @param {import("./layout.js").Point[]} points @returns {string} */
function curve(points) {
  const [first, ...rest] = points;
  let path = `M${first.x} ${first.y}`;
  rest.forEach((point, index) => {
    const next = rest[index + 1];
    path += next && index < rest.length - 2
      ? ` Q${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`
      : next ? ` Q${point.x} ${point.y} ${next.x} ${next.y}` : rest.length === 1 ? ` L${point.x} ${point.y}` : "";
  });
  return path;
}

/** @param {import("./layout.js").Point[]} points @returns {string} */
function head(points) {
  const end = points[points.length - 1];
  const before = points[points.length - 2];
  const angle = Math.atan2(end.y - before.y, end.x - before.x);
  /** @param {number} turn @param {number} length */
  const at = (turn, length) => `${end.x - length * Math.cos(angle + turn)} ${end.y - length * Math.sin(angle + turn)}`;
  return `M${end.x} ${end.y}L${at(0.42, 9)}L${at(-0.42, 9)}Z`;
}

/** @param {Progress} progress */
function colour(progress) {
  const taken = new Set(progress.taken.map((pair) => pair.join("\n")));
  for (const [name, { group, badge, mark, dot, type, inChildren, distributed }] of drawn) {
    const state = progress.nodes[name];
    const status = state?.status ?? (inChildren ? "in-children" : "not-reached");
    const container = group.dataset.container ? " container" : "";
    group.setAttribute("class", `node s-${status}${container}`);
    mark.setAttribute("d", MARKS[status] ?? "");
    dot.setAttribute("r", status === "not-reached" ? "3" : "6.5");
    badge.textContent = state ? words(state, distributed) : "";
    group.setAttribute("aria-label", `${name}, ${type}, ${texts[status] ?? status}${badge.textContent ? `, ${badge.textContent}` : ""}`);
  }
  for (const { path, arrow, source, target } of ways) {
    const outer = source.startsWith("\u0000") ? Boolean(progress.nodes[target]) : false;
    const last = target.startsWith("\u0000") && ended(progress.nodes[source]);
    const was = outer || last || taken.has(`${source}\n${target}`);
    path.classList.toggle("taken", was);
    arrow.classList.toggle("taken", was);
  }
  if (selected && progress.nodes[selected] && JSON.stringify(progress.nodes[selected]) !== selectedStatus) {
    selectedStatus = JSON.stringify(progress.nodes[selected]);
    if (!panel.querySelector("details[open]") && panel.dataset.of === selected) void open(selected, false);
  }
}

/** @param {NodeState | undefined} state */
function ended(state) {
  return Boolean(state) && state?.status !== "running";
}

/** @param {NodeState} state @param {boolean} distributed @returns {string} */
function words({ iterations, retries, counts }, distributed) {
  if (iterations) {
    const { total, succeeded, failed, caught, running, aborted, pending } = iterations;
    const done = distributed ? succeeded : succeeded + failed + aborted;
    const parts = [`${done.toLocaleString("en")} of ${total.toLocaleString("en")}${distributed ? " succeeded" : ""}`];
    if (running) parts.push(`${running.toLocaleString("en")} running`);
    if (pending) parts.push(`${pending.toLocaleString("en")} pending`);
    if (caught) parts.push(`${caught.toLocaleString("en")} caught`);
    if (failed) parts.push(`${failed.toLocaleString("en")} failed`);
    if (aborted && distributed) parts.push(`${aborted.toLocaleString("en")} aborted`);
    return parts.join(", ");
  }
  const times = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const parts = times > 1 ? [`${times.toLocaleString("en")}×`] : [];
  if (times > 1 && counts.caught) parts.push(`${counts.caught} caught`);
  if (retries) parts.push(`${retries} ${retries === 1 ? "retry" : "retries"}`);
  return parts.join(", ");
}

/**
 * @param {string} name
 * @param {boolean} move whether the focus goes to the panel
 */
async function open(name, move) {
  for (const [each, { group }] of drawn) group.setAttribute("aria-pressed", String(each === name));
  const was = selected;
  selected = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  const url = (canvas.dataset.states ?? "").replace("STATE", encodeURIComponent(name));
  const text = await part(`${url}?part=1`);
  if (selected !== name) return;
  panel.dataset.of = name;
  panel.innerHTML = text;
  revive(panel);
  if (move) intoPanel();
  else if (name !== was && panel.getBoundingClientRect().top > innerHeight) panel.scrollIntoView({ block: "start" }); // below, on a phone
}

/** Go into the panel without moving the page where it can be seen. */
function intoPanel() {
  panel.scrollTop = 0;
  panel.focus({ preventScroll: true });
  const { top } = panel.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) panel.scrollIntoView({ block: "start" });
}

panel.addEventListener("click", async (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-panel]") : null;
  if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  panel.dataset.of = "";
  panel.innerHTML = await part(`${link.href}?part=1`);
  revive(panel);
  intoPanel();
});

/** @param {string} name */
function focus(name) {
  for (const [each, { group }] of drawn) group.setAttribute("tabindex", each === name ? "0" : "-1");
  const group = drawn.get(name)?.group;
  group?.focus();
  group?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/**
 * The state that lies nearest in a direction: what is off to the side counts three times.
 * @param {string} from
 * @param {[number, number]} direction
 */
function neighbour(from, [dx, dy]) {
  const here = drawn.get(from);
  if (!here) return null;
  let best = null;
  let least = Infinity;
  for (const [name, { x, y }] of drawn) {
    const along = (x - here.x) * dx + (y - here.y) * dy;
    if (name === from || along <= 1) continue;
    const aside = Math.abs((x - here.x) * dy) + Math.abs((y - here.y) * dx);
    const distance = along + 3 * aside;
    if (distance < least) [best, least] = [name, distance];
  }
  return best;
}

/** @param {Event} event @returns {string | null} */
function stateOf(event) {
  const group = event.target instanceof Element ? event.target.closest("g[data-state]") : null;
  return group instanceof SVGGElement ? group.dataset.state ?? null : null;
}

canvas.addEventListener("click", (event) => {
  const name = stateOf(event);
  if (!name) return;
  focus(name);
  void open(name, false);
});
canvas.addEventListener("keydown", (event) => {
  const name = stateOf(event);
  if (!name) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    void open(name, true);
  } else if (event.key in DIRECTIONS) {
    event.preventDefault();
    const next = neighbour(name, DIRECTIONS[event.key]);
    if (next) focus(next);
  }
});
panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selected) focus(selected);
});

/** @param {SVGSVGElement} svg @param {number} width @param {number} height */
function zooming(svg, width, height) {
  let scale = 1;
  /** @param {number} next */
  const zoom = (next) => {
    scale = Math.min(Math.max(next, 0.2), 2.5);
    svg.setAttribute("width", String(width * scale));
    svg.setAttribute("height", String(height * scale));
  };
  const fit = () => zoom(Math.min(1, (canvas.clientWidth - 4) / width, (canvas.clientHeight - 4) / height));
  document.getElementById("zoom-in")?.addEventListener("click", () => zoom(scale * 1.25));
  document.getElementById("zoom-out")?.addEventListener("click", () => zoom(scale / 1.25));
  document.getElementById("zoom-fit")?.addEventListener("click", fit);
  // At first as wide as there is room, but readable; its length is scrolled.
  zoom(Math.max(Math.min(1, (canvas.clientWidth - 4) / width), 0.6));
}

async function begin() {
  const answer = await fetch(canvas.dataset.graph ?? "", { headers: { Accept: "application/json" } });
  const told = await answer.json();
  if (!answer.ok) {
    canvas.innerHTML = "";
    const paragraph = document.createElement("p");
    paragraph.className = "told error";
    paragraph.textContent = told.error;
    canvas.append(paragraph);
    return;
  }
  texts = told.statuses;
  const laid = place(told.scope);
  const svg = make("svg", { viewBox: `0 0 ${laid.width} ${laid.height}`, role: "group", "aria-label": "States" });
  const root = make("g", {});
  svg.append(root);
  draw(laid, root, 0, 0);
  const legend = document.getElementById("legend-children");
  if (legend) legend.hidden = ![...drawn.values()].some(({ inChildren }) => inChildren);
  colour(told);
  canvas.replaceChildren(svg);
  zooming(svg, laid.width, laid.height);
  const wanted = decodeURIComponent(location.hash.slice(1));
  const first = drawn.has(wanted) ? wanted : told.scope.start;
  drawn.get(first)?.group.setAttribute("tabindex", "0");
  if (drawn.has(wanted)) void open(wanted, false);
}

document.addEventListener("live", (event) => {
  const detail = /** @type {CustomEvent<Progress>} */ (event).detail;
  if (detail.nodes) colour(detail);
});

void begin();
