// @platformatic/kafka as a driver for driven.py, which says what is read and written. Its streams always belong to a member
// of a group, so what others assign is a group of its own here.

import { randomUUID } from 'node:crypto'
import { answers, assigned, bootstrap, bytes, Cannot, failures, load, records, revoked, sendAs, serve, sleep, text, trouble } from '../../driver/driver.mjs'

const { Admin, Consumer, Producer } = await load('@platformatic/kafka')

const options = { clientId: 'interop', bootstrapBrokers: [bootstrap] }
const admin = new Admin(options)
const producers = new Map()
const streams = new Map()
const sources = new Map()
const consumers = new Map()

function code (e) {
  if (!e) return 0
  if (e.apiCode > 0) return e.apiCode
  if (e.message?.startsWith('Unknown topic ')) return 3
  return [...(e.errors ?? []), e.cause].map(code).find(one => one > 0) ?? 0
}

const address = broker => broker && `${broker.host}:${broker.port}`

const pairs = assignments => (assignments ?? []).flatMap(({ topic, partitions }) => partitions.map(p => [topic, p]))

async function run (a) {
  switch (a.do) {
    case 'topics':
      return admin.listTopics()
    case 'describe-topic': {
      const { brokers, topics } = await admin.metadata({ topics: [a.topic], forceUpdate: true })
      return topics.get(a.topic).partitions.map(p => ({ leader: address(brokers.get(p.leader)), replicas: p.replicas.length, isr: p.isr.length }))
    }
    case 'create-topic': {
      const configs = Object.entries(a.configs).map(([name, value]) => ({ name, value }))
      return void await admin.createTopics({ topics: [a.topic], partitions: a.partitions, replicas: a.replication, configs })
    }
    case 'delete-topic':
      return admin.deleteTopics({ topics: [a.topic] })
    case 'cluster': {
      const { id, brokers, controllerId } = await admin.metadata({ topics: [], forceUpdate: true })
      return { id, controller: address(brokers.get(controllerId)), nodes: [...brokers.values()].map(address) }
    }
    case 'configs': {
      const [{ configs }] = await admin.describeConfigs({ resources: [{ resourceType: 2, resourceName: a.topic }] })
      return Object.fromEntries(configs.map(c => [c.name, [c.value, c.configSource !== 1]]))
    }
    case 'offset':
      return offset(a.topic, a.partition, a.at)
    case 'groups': {
      const groups = [...(await admin.listGroups({ types: ['classic', 'consumer'] })).values()]
      return Object.fromEntries(groups.map(g => [g.id, { state: stateName(g.state), type: g.protocolType }]))
    }
    case 'describe-group': {
      const group = (await admin.describeGroups({ groups: [a.group] })).get(a.group)
      const members = [...group.members.values()].map(m => ({
        id: m.id, client: m.clientId, host: m.clientHost, partitions: pairs([...(m.assignments?.values() ?? [])])
      }))
      return { state: stateName(group.state), protocol: group.protocol, members }
    }
    case 'delete-group':
      return admin.deleteGroups({ groups: [a.group] })
    case 'group-offsets': {
      const [group] = await admin.listConsumerGroupOffsets({ groups: [a.group] })
      const partitions = group.topics.filter(t => t.name === a.topic).flatMap(t => t.partitions)
      return Object.fromEntries(partitions.map(p => [p.partitionIndex, Number(p.committedOffset)]))
    }
    case 'alter-group-offsets': {
      const partitionOffsets = Object.entries(a.offsets).map(([partition, offset]) => ({ partition: Number(partition), offset: BigInt(offset) }))
      return admin.alterConsumerGroupOffsets({ groupId: a.group, topics: [{ name: a.topic, partitionOffsets }] })
    }
    case 'delete-group-offset':
      return void await admin.deleteConsumerGroupOffsets({ groupId: a.group, topics: [{ name: a.topic, partitionIndexes: [a.partition] }] })
    case 'producer': {
      if (a.codec === 'zstd' && !process.versions.zstd) throw new Cannot('@platformatic/kafka has zstd where Node has it, from 22.15')
      const idempotent = a.idempotent ? { idempotent: true } : {}
      const transactional = a.transactional && ids(a)
      producers.set(a.producer, new Producer({
        ...options, ...idempotent, ...transactional, autocreateTopics: true, ...(a.codec && { compression: a.codec }), ...(a.acks && { acks: { all: -1, 1: 1, 0: 0 }[a.acks] })
      }))
      return
    }
    case 'transaction':
      return transaction(a)
    case 'send':
      return a.how === 'forget' ? forget(a) : send(producers.get(a.producer), a)
    case 'close-producer':
      await Promise.all([...(streams.get(a.producer) ?? [])].map(stream => stream.close()))
      await sources.get(a.producer)?.close()
      return producers.get(a.producer).close()
    case 'assign':
    case 'join':
      consumers.set(a.consumer, new Member(a))
      return consumers.get(a.consumer).start()
  }
  return consumers.get(a.consumer).run(a)
}

// PREPARING_REBALANCE and PreparingRebalance are the same.
const stateName = state => state.toLowerCase().replace(/(^|_)(.)/g, (_, __, letter) => letter.toUpperCase())

async function offset (name, partitionIndex, at) {
  const timestamp = at.time ? BigInt(at.time) : { earliest: -2n, latest: -1n, max: -3n }[at]
  const [topic] = await admin.listOffsets({ topics: [{ name, partitions: [{ partitionIndex, timestamp }] }] })
  const found = topic.partitions[0]
  return found.offset < 0n ? null : [Number(found.offset), found.timestamp < 0n ? null : Number(found.timestamp)]
}

const message = r => ({
  topic: r.topic,
  ...(r.key !== null && { key: bytes(r.key) }),
  ...(r.value !== null && { value: bytes(r.value) }),
  ...(r.partition !== null && { partition: r.partition }),
  ...(r.timestamp !== null && { timestamp: BigInt(r.timestamp) }),
  // A Map of buffers: names may come twice.
  headers: new Map(r.headers.map(([name, value]) => [Buffer.from(name), bytes(value)]))
})

const send = (producer, a) => sendAs(a.how, a.records, async some => {
  try {
    const { offsets } = await (producer.transaction ?? producer).send({ messages: some.map(message) })
    return answers(some, offsets?.length === 1 ? offsets[0].offset : undefined)
  } catch (e) {
    console.error(e)
    return failures(some, code(e))
  }
})

/** By itself the library asks for the id 0, which is a fenced one where it takes over. The time of its requests is that of its transactions. */
const ids = a => ({ idempotent: true, transactionalId: a.transactional, producerId: -1n, producerEpoch: -1, timeout: a.timeout_ms })

async function transaction (a) {
  const producer = producers.get(a.producer)
  switch (a.step) {
    case 'begin':
      return void await producer.beginTransaction()
    case 'commit':
      return producer.transaction.commit()
    case 'abort':
      return producer.transaction.abort()
  }
  if (!sources.has(a.producer)) sources.set(a.producer, new Source(a))
  const { consumer, messages } = sources.get(a.producer)
  for (const [, offset] of Object.entries(a.offsets)) {
    while (!messages[offset - 1]) await sleep(50)
    await producer.transaction.addConsumer(consumer)
    await producer.transaction.addOffset(messages[offset - 1])
  }
}

/** What a transaction takes the offsets from: messages that a member has read, of one partition. */
class Source {
  messages = []

  constructor ({ group, topic }) {
    this.consumer = new Consumer({ ...options, groupId: group, maxWaitTime: 500, isolationLevel: 1 })
    this.reading = this.read(topic)
  }

  async read (topic) {
    this.stream = await this.consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false })
    for await (const m of this.stream) this.messages[m.offset] = m
  }

  async close () {
    await this.stream.close()
    await this.reading
    return this.consumer.close()
  }
}

function forget (a) {
  const stream = producers.get(a.producer).asStream()
  streams.set(a.producer, [...(streams.get(a.producer) ?? []), stream])
  a.records.forEach(record => stream.write(message(record)))
}

class Member {
  constructor (a) {
    if (a.pattern) throw new Cannot('@platformatic/kafka subscribes to names only')
    if (a.cooperative) throw new Cannot('@platformatic/kafka has no cooperative assignor')
    this.a = a
    this.consumer = new Consumer({
      ...options,
      groupId: a.group ?? `interop-${randomUUID()}`,
      ...(a.instance && { groupInstanceId: a.instance }),
      ...(a.protocol && { groupProtocol: a.protocol }),
      ...(a.fetch_wait_ms ? { maxWaitTime: a.fetch_wait_ms } : { maxWaitTime: 500 }),
      ...(a.isolation && { isolationLevel: a.isolation === 'read_committed' ? 1 : 0 }),
      ...(a.session_ms && { sessionTimeout: a.session_ms, heartbeatInterval: 2000, rebalanceTimeout: a.session_ms })
    })
    let owned = []
    const give = () => {
      revoked(a.consumer, owned)
      owned = []
    }
    if (a.protocol === 'consumer') {
      // It tells of no assignment in this protocol.
      this.watching = setInterval(() => {
        const now = pairs(this.consumer.assignments)
        if (JSON.stringify(now) !== JSON.stringify(owned)) {
          give()
          owned = now
          assigned(a.consumer, owned)
        }
      }, 50)
      return
    }
    this.consumer.on('consumer:group:rebalance', give)
    this.consumer.on('consumer:group:join', ({ assignments }) => {
      give()
      owned = pairs(assignments)
      assigned(a.consumer, owned)
    })
  }

  async start () {
    const { topics, topic, partitions, at, reset, commit } = this.a
    if (this.a.do === 'join') {
      return this.consume({ topics, mode: 'committed', fallbackMode: reset, autocommit: commit === 'auto' })
    }
    const places = await Promise.all(Array.from({ length: partitions }, (_, partition) => this.place(topic, partition, at)))
    return this.consume({ topics: [topic], mode: 'manual', offsets: places, autocommit: false })
  }

  async place (topic, partition, at) {
    const place = typeof at === 'number' ? [at] : await offset(topic, partition, at)
    return { topic, partition, offset: BigInt(place[0]) }
  }

  async consume (how) {
    this.stream = await this.consumer.consume({ minBytes: 1, ...how })
    this.reading = this.read(this.stream)
  }

  async read (stream) {
    try {
      for await (const m of stream) {
        const headers = [...m.headers].map(([name, value]) => [name.toString(), text(value)])
        records(this.a.consumer, [{
          topic: m.topic, partition: m.partition, offset: Number(m.offset), key: text(m.key), value: text(m.value), timestamp: Number(m.timestamp), headers
        }])
        if (this.a.commit === 'each') await m.commit()
      }
    } catch (e) {
      trouble(this.a.consumer, code(e), e)
      // A stream ends with its first error that retries do not mend: whoever wants to go on consumes again.
      if (this.a.do === 'join') await this.again()
    }
  }

  async again () {
    while (!this.closing) {
      await sleep(500)
      try {
        return await this.start()
      } catch (e) {
        trouble(this.a.consumer, code(e), e)
      }
    }
  }

  async run (a) {
    const { topic, partition } = a
    switch (a.do) {
      case 'seek':
        await this.stream.close()
        return this.consume({ topics: [topic], mode: 'manual', offsets: [await this.place(topic, partition, a.at)], autocommit: false })
      case 'pause':
      case 'resume':
        throw new Cannot('@platformatic/kafka pauses a stream with all its partitions')
      case 'commit':
        return this.consumer.commit({ offsets: [{ topic, partition, offset: BigInt(a.offset), leaderEpoch: 0 }] })
      case 'committed': {
        const offsets = await this.consumer.listCommittedOffsets({ topics: [{ topic, partitions: [partition] }] })
        return [Number(offsets.get(topic)[partition]), null]
      }
      case 'close':
        this.closing = true
        clearInterval(this.watching)
        await this.stream.close()
        await this.reading
        return this.consumer.close()
    }
    throw new Error(`no such command: ${a.do}`)
  }
}

const lacks = {
  'change-topic': 'not written for @platformatic/kafka',
  'several-aborted': 'of several transactions of one producer that were aborted and come in one fetch, @platformatic/kafka leaves out only the last',
  'fenced-member': '@platformatic/kafka, fenced, goes on with the partition that it had and not with the one that it is given',
  'static-close': '@platformatic/kafka leaves the group when it is closed, also as a static member',
  'clean-handover': '@platformatic/kafka gives out what a fetch brings after its partitions are gone: some are read twice'
}
await serve('platformatic', lacks, run, code, ['consumer-protocol'])
