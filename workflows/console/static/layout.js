// @ts-check
/**
 * Lay a state machine out. Each scope is laid out by itself, the innermost first, and stands in the one around it as a
 * node of its size: edges never cross the border of a Map or Parallel state, so nothing is lost by it.
 */
import { Graph, layout } from "./vendor/dagre.esm.js";

/** @typedef {{source: string, target: string, kind: string, label: string}} Edge */
/** @typedef {{start: string, nodes: Node[], edges: Edge[], ends: string[]}} Scope */
/** @typedef {{name: string, type: string, comment: string, distributed: boolean, in_children: boolean, inner: Scope[]}} Node */
/** @typedef {{x: number, y: number}} Point */
/** @typedef {{node: Node, x: number, y: number, width: number, height: number, inner: {x: number, y: number, layout: Layout}[]}} PlacedNode */
/** @typedef {{edge: Edge, points: Point[], label: Point | null, text: string}} PlacedEdge */
/** @typedef {{width: number, height: number, nodes: PlacedNode[], edges: PlacedEdge[], terminals: (Point & {text: string})[]}} Layout */

export const NODE_HEIGHT = 48;
export const HEADER = 48;
const PADDING = 14;
const GAP = 16;
const TERMINAL = { width: 54, height: 24 };
const LABEL_CHARACTERS = 26;
const START = "\u0000start";
const END = "\u0000end";

const measuring = document.createElement("canvas").getContext("2d");

/** @param {string} text @param {string} font @returns {number} */
function widthOf(text, font) {
  if (!measuring) return text.length * 7.5;
  measuring.font = font;
  return measuring.measureText(text).width;
}

/** @param {Scope} scope @param {boolean} outermost @returns {Layout} */
export function place(scope, outermost = true) {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", nodesep: 26, ranksep: 34, edgesep: 18, marginx: 8, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  /** @type {Map<string, Omit<PlacedNode, "x" | "y">>} */
  const sized = new Map();
  for (const node of scope.nodes) {
    const box = sizeOf(node);
    sized.set(node.name, box);
    graph.setNode(node.name, { width: box.width, height: box.height });
  }
  scope.edges.forEach((edge, index) => {
    const text = shortened(edge.label);
    const size = text ? { width: widthOf(text, "10.5px system-ui") + 8, height: 14, labelpos: "c" } : {};
    graph.setEdge(edge.source, edge.target, { edge, text, ...size }, String(index));
  });
  if (outermost) {
    graph.setNode(START, { ...TERMINAL });
    if (sized.has(scope.start)) graph.setEdge(START, scope.start, { edge: terminal(START, scope.start), text: "" }, "start");
    graph.setNode(END, { ...TERMINAL });
    for (const name of scope.ends) graph.setEdge(name, END, { edge: terminal(name, END), text: "" }, `end ${name}`);
  }
  layout(graph);
  const size = graph.graph();
  /** @type {PlacedNode[]} */
  const nodes = [];
  for (const [name, box] of sized) {
    const { x, y } = graph.node(name);
    nodes.push({ ...box, x: x - box.width / 2, y: y - box.height / 2 });
  }
  const edges = graph.edges().map((/** @type {any} */ key) => {
    const { edge, text, points, x, y } = graph.edge(key);
    return { edge, points, text, label: text && x !== undefined ? { x, y } : null };
  });
  const terminals = outermost
    ? [START, END].map((name) => ({ ...graph.node(name), text: name === START ? "Start" : "End" }))
    : [];
  return { width: size.width, height: size.height, nodes, edges, terminals };
}

/** @param {string} source @param {string} target @returns {Edge} */
function terminal(source, target) {
  return { source, target, kind: "next", label: "" };
}

/** @param {string} text */
function shortened(text) {
  return text.length > LABEL_CHARACTERS ? `${text.slice(0, LABEL_CHARACTERS - 1)}…` : text;
}

/** @param {Node} node @returns {Omit<PlacedNode, "x" | "y">} */
function sizeOf(node) {
  const title = Math.max(widthOf(node.name, "600 13px system-ui") + 54, 150);
  if (!node.inner.length) return { node, width: title, height: NODE_HEIGHT, inner: [] };
  const inner = [];
  let x = PADDING;
  let height = 0;
  for (const scope of node.inner) {
    const laid = place(scope, false);
    inner.push({ x, y: HEADER, layout: laid });
    x += laid.width + GAP;
    height = Math.max(height, laid.height);
  }
  const width = x - GAP + PADDING;
  const needed = Math.max(width, title, 300);
  for (const each of inner) each.x += (needed - width) / 2;
  return { node, width: needed, height: HEADER + height + PADDING, inner };
}
