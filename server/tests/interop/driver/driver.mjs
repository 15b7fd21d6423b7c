// What the Node clients share: driven.py's commands in, replies and events out.

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const installed = createRequire(process.env.INTEROP_CLIENT_DIR + '/')

/** A package as `install` put it. */
export const load = async name => import(pathToFileURL(installed.resolve(name)))

export const bootstrap = process.argv[2]

/** The client has no call for what it was asked. */
export class Cannot extends Error {}

const say = what => process.stdout.write(JSON.stringify(what) + '\n')

export const assigned = (consumer, partitions) => say({ event: 'assigned', consumer, partitions })
export const revoked = (consumer, partitions) => say({ event: 'revoked', consumer, partitions })
export const records = (consumer, records) => say({ event: 'records', consumer, records })
export const trouble = (consumer, error, text) => say({ event: 'error', consumer, error, text: `${text}` })

export const bytes = text => (text === null ? null : Buffer.from(text, 'base64'))
export const text = bytes => bytes?.toString('base64') ?? null

export const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))

/** The answers to records that were sent together, from the offset of the first if all went to one partition. */
export const answers = (records, first) =>
  records.map((_, i) => ({ offset: first === undefined ? null : Number(first) + i, error: null, calls: 1 }))

export const failures = (records, error) => records.map(() => ({ offset: null, error, calls: 1 }))

/**
 * Records by the ways that driven.py knows; `send` takes an array and gives its answers. Both Node clients send arrays and
 * wait for them.
 */
export async function sendAs(how, all, send) {
  if (how === 'forget') {
    send(all)
    return null
  }
  if (how === 'callback') {
    return (await Promise.all(all.map(record => send([record])))).flat()
  }
  const together = how === 'each' ? 1 : 500
  const found = []
  for (let i = 0; i < all.length; i += together) {
    found.push(...(await send(all.slice(i, i + together))))
  }
  return found
}

/** Does what comes until the input ends; `code` gives Kafka's number of an error, or 0. */
export async function serve(name, lacks, run, code, has = []) {
  say({ ready: name, lacks, has })
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      say({ ok: (await run(JSON.parse(line))) ?? null })
    } catch (e) {
      if (!(e instanceof Cannot)) console.error(e)
      say(e instanceof Cannot ? { cannot: e.message } : { error: code(e), text: e.message })
    }
  }
  process.exit(0)
}
