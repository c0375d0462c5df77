/** The part of @dagrejs/dagre that the console uses, for the type checker; written here, not by the library. */
export interface Size { width: number; height: number }
export interface Point { x: number; y: number }
export interface EdgeKey { v: string; w: string; name?: string }
export class Graph {
  constructor(options?: { multigraph?: boolean });
  setGraph(label: object): this;
  graph(): Size;
  setDefaultEdgeLabel(label: () => object): this;
  setNode(name: string, label: Size): this;
  node(name: string): Size & Point;
  setEdge(source: string, target: string, label: object, name?: string): this;
  edges(): EdgeKey[];
  edge(key: EdgeKey): any;
}
export function layout(graph: Graph): void;
