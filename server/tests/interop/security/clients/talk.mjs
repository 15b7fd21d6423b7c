// What the Node clients of the matrix share; ../clients/talk.py says what they are given and what they tell.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const PAUSE_MS = 200

const installed = createRequire(process.env.INTEROP_CLIENT_DIR + '/')

/** A package as `install` put it. */
export const load = async name => import(pathToFileURL(installed.resolve(name)))

export const spec = JSON.parse(process.argv[2])

export const token = async () => (await (await fetch(spec.token_url)).json()).access_token

export const ssl = {
  ca: [readFileSync(spec.ca, 'utf8')],
  ...(spec.certificate && { cert: readFileSync(spec.certificate, 'utf8'), key: readFileSync(spec.key, 'utf8') })
}

const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))

const say = what => process.stdout.write(JSON.stringify(what) + '\n')

/** The error that has Kafka's number, in what a library wraps it in; else the innermost one. */
function innermost (e) {
  const inside = [e.cause, e.originalError, ...(e.errors ?? []), e.response?.errors && Object.values(e.response.errors)].flat().filter(Boolean)
  const all = [e, ...inside.map(innermost)]
  return all.find(one => one.apiCode > 0 || (typeof one.code === 'number' && one.code > 0)) ?? all[all.length - 1]
}

const late = () => Object.assign(new Error(`neither done nor refused in ${spec.patience} s`), { name: 'nothing' })

const within = async (asked, seconds = spec.patience) => {
  let timer
  const end = new Promise((resolve, reject) => { timer = setTimeout(() => reject(late()), seconds * 1000) })
  return Promise.race([asked, end]).finally(() => clearTimeout(timer))
}

async function attempt (act, run) {
  const began = performance.now()
  try {
    say({ did: act, ...(await run()) })
  } catch (e) {
    console.error(e)
    const inner = innermost(e)
    const code = inner.apiCode ?? (typeof inner.code === 'number' ? inner.code : null)
    const seconds = Math.round((performance.now() - began) / 10) / 100
    say({ refused: act, code: code > 0 ? code : null, name: inner.apiId ?? inner.type ?? inner.code ?? inner.name, text: `${e.message}; ${inner.message}`.slice(0, 500), seconds })
    process.exit(0)
  }
}

async function produce (library) {
  const producer = await within(library.producer())
  for (let number = 0; number < spec.records; number++) await within(producer.send(number))
  await producer.close()
  return { count: spec.records }
}

function reader (library) {
  const found = []
  let fail
  const failed = new Promise((resolve, reject) => { fail = reject })
  failed.catch(() => {})
  const started = library.consumer(number => found.push(number), fail)
  return { found, failed, started: Promise.race([started, failed]) }
}

async function consume (library) {
  const { found, failed, started } = reader(library)
  const consumer = await within(started)
  const all = async () => { while (found.length < spec.records) await sleep(50) }
  await within(Promise.race([all(), failed]))
  if (found.some((number, at) => number !== at)) throw Object.assign(new Error(`${found}`), { name: 'order' })
  await within(consumer.commit(found.length))
  return { count: found.length, committed: await within(consumer.committed()) }
}

async function hold (library) {
  const end = performance.now() + spec.seconds * 1000
  let sent = 0
  const write = async () => {
    const producer = await within(library.producer())
    for (; performance.now() < end; sent++) {
      await within(producer.send(sent))
      await sleep(PAUSE_MS)
    }
    await producer.close()
  }
  const { found, failed, started } = reader(library)
  const read = async () => {
    await started
    while (performance.now() < end || new Set(found).size < sent) await sleep(50)
  }
  await within(Promise.race([Promise.all([write(), read()]), failed]), spec.seconds + spec.patience)
  // Who is cut and connects again may read a record once more.
  if ([...new Set(found)].some((number, at) => number !== at)) throw Object.assign(new Error(`${found}`), { name: 'order' })
  return { count: sent }
}

export async function main (library) {
  // What a library throws on its own is the answer as well.
  process.on('unhandledRejection', e => console.error('unhandled', e))
  if (['produce', 'talk'].includes(spec.do)) await attempt('produce', () => produce(library))
  if (['consume', 'talk'].includes(spec.do)) await attempt('consume', () => consume(library))
  if (spec.do === 'hold') await attempt('hold', () => hold(library))
  process.exit(0)
}
