// A raw origin whose behaviour is chosen by the path of the request, so that the tests of a file share one gateway.

import { type Connection, rawOrigin } from './origin.js';

export type Behaviour = (connection: Connection, head: string) => unknown;

export interface ScriptedOrigin {
  url: string;
  port: number;
  connections: Connection[];
  /** What requests of that path meet; answers may keep the connection for a next one. */
  on(path: string, behaviour: Behaviour): void;
  stop(): Promise<void>;
}

export async function scriptedOrigin(): Promise<ScriptedOrigin> {
  const behaviours = new Map<string, Behaviour>();
  const origin = await rawOrigin(async connection => {
    for (;;) {
      const head = await connection.head();
      const path = head.split(' ', 2)[1] as string;
      const behaviour = behaviours.get(path);
      if (behaviour === undefined) throw new Error(`nothing is scripted for ${path}`);
      await behaviour(connection, head);
    }
  });
  return { ...origin, on: (path, behaviour) => void behaviours.set(path, behaviour) };
}

/** The value of a field of a raw head; undefined when it is not there, values joined when it repeats. */
export function field(head: string, name: string): string | undefined {
  const values = [...head.matchAll(/^([^:\r\n]+):[ \t]*(.*?)[ \t]*\r$/gm)]
    .filter(match => match[1]?.toLowerCase() === name.toLowerCase())
    .map(match => match[2]);
  return values.length > 0 ? values.join(', ') : undefined;
}
