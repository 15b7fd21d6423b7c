// kafkajs as a driver for driven.py, which says what is read and written. Its consumers always join a group, so what others
// assign is a group of its own here.

import { randomUUID } from 'node:crypto'
import { answers, assigned, bootstrap, bytes, Cannot, failures, load, records, revoked, sendAs, serve, text, trouble } from '../../driver/driver.mjs'

const { default: { AssignerProtocol, CompressionCodecs, CompressionTypes, ConfigResourceTypes, ConfigSource, Kafka, Partitioners } } = await load('kafkajs')
const { default: snappy } = await load('kafkajs-snappy')
CompressionCodecs[CompressionTypes.Snappy] = snappy

const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }
const acks = { all: -1, 1: 1, 0: 0 }

const kafka = new Kafka({
  clientId: 'interop',
  brokers: [bootstrap],
  logCreator: () => ({ namespace, log }) => console.error(namespace, JSON.stringify(log))
})
const admin = kafka.admin()
await admin.connect()
const producers = new Map()
const consumers = new Map()

function code (e) {
  return [e, e.cause, ...(e.errors ?? []), ...(e.groups ?? []).map(group => group.error)].find(one => one?.code > 0)?.code ?? 0
}

const protocolError = (number, what) => Object.assign(new Error(what), { code: number })

const pairs = assignment => Object.entries(assignment).flatMap(([topic, partitions]) => partitions.map(p => [topic, p]))

async function run (a) {
  switch (a.do) {
    case 'topics':
      return admin.listTopics()
    case 'describe-topic': {
      const { topics: [topic] } = await admin.fetchTopicMetadata({ topics: [a.topic] })
      const { brokers } = await admin.describeCluster()
      const leader = id => brokers.filter(b => b.nodeId === id).map(b => `${b.host}:${b.port}`)[0]
      return topic.partitions.sort((p, q) => p.partitionId - q.partitionId)
        .map(p => ({ leader: leader(p.leader), replicas: p.replicas.length, isr: p.isr.length }))
    }
    case 'create-topic': {
      const configEntries = Object.entries(a.configs).map(([name, value]) => ({ name, value }))
      const topic = { topic: a.topic, numPartitions: a.partitions, replicationFactor: a.replication, configEntries }
      if (!(await admin.createTopics({ topics: [topic] }))) {
        throw protocolError(36, 'kafkajs says false for a topic that exists')
      }
      return
    }
    case 'delete-topic':
      return admin.deleteTopics({ topics: [a.topic] })
    case 'cluster': {
      const { brokers, controller, clusterId } = await admin.describeCluster()
      const address = b => `${b.host}:${b.port}`
      return { id: clusterId, controller: address(brokers.find(b => b.nodeId === controller)), nodes: brokers.map(address) }
    }
    case 'configs': {
      const { resources: [resource] } = await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: a.topic }] })
      return Object.fromEntries(resource.configEntries.map(c => [c.configName, [c.configValue, c.configSource !== ConfigSource.TOPIC_CONFIG]]))
    }
    case 'offset':
      return [Number(await place(a.topic, a.partition, a.at)), null]
    case 'groups': {
      const { groups } = await admin.listGroups()
      return Object.fromEntries(groups.map(g => [g.groupId, { state: null, type: g.protocolType }]))
    }
    case 'describe-group': {
      const { groups: [group] } = await admin.describeGroups([a.group])
      const members = group.members.map(m => ({
        id: m.memberId,
        client: m.clientId,
        host: m.clientHost,
        partitions: m.memberAssignment.length ? pairs(AssignerProtocol.MemberAssignment.decode(m.memberAssignment).assignment) : []
      }))
      return { state: group.state, protocol: group.protocol, members }
    }
    case 'delete-group':
      return void await admin.deleteGroups([a.group])
    case 'group-offsets': {
      const [topic] = await admin.fetchOffsets({ groupId: a.group, topics: [a.topic] })
      return Object.fromEntries(topic.partitions.filter(p => p.offset !== '-1').map(p => [p.partition, Number(p.offset)]))
    }
    case 'alter-group-offsets': {
      const partitions = Object.entries(a.offsets).map(([partition, offset]) => ({ partition: Number(partition), offset: `${offset}` }))
      return admin.setOffsets({ groupId: a.group, topic: a.topic, partitions })
    }
    case 'delete-group-offset':
      throw new Cannot('kafkajs has no call to delete offsets')
    case 'producer':
      return produce(a)
    case 'send':
      return send(producers.get(a.producer), a)
    case 'transaction':
      return transaction(producers.get(a.producer), a)
    case 'close-producer':
      return producers.get(a.producer).producer.disconnect()
    case 'assign':
    case 'join':
      return consume(a)
  }
  return told(consumers.get(a.consumer), a)
}

async function place (topic, partition, at) {
  if (at === 'max') {
    throw new Cannot('kafkajs does not ask for the largest timestamp')
  }
  if (typeof at === 'number') {
    return at
  }
  const offsets = await (at.time ? admin.fetchTopicOffsetsByTimestamp(topic, at.time) : admin.fetchTopicOffsets(topic))
  const found = offsets.find(o => o.partition === partition)
  return at.time ? found.offset : at === 'earliest' ? found.low : found.high
}

async function produce (a) {
  if (a.codec && !(a.codec in codecs)) {
    throw new Cannot(`kafkajs has no ${a.codec} of its own, and its plug-in for that is a native module for old Nodes`)
  }
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    ...(a.idempotent && { idempotent: true }),
    ...(a.transactional && { transactionalId: a.transactional, transactionTimeout: a.timeout_ms, idempotent: true, maxInFlightRequests: 1 })
  })
  await producer.connect()
  producers.set(a.producer, { producer, acks: acks[a.acks], compression: codecs[a.codec] })
}

const message = r => ({
  key: bytes(r.key),
  value: bytes(r.value),
  partition: r.partition ?? undefined,
  timestamp: r.timestamp === null ? undefined : `${r.timestamp}`,
  headers: r.headers.reduce((all, [name, value]) => ({ ...all, [name]: name in all ? [all[name], bytes(value)].flat() : bytes(value) }), {})
})

/** A producer asks for its id when its first transaction begins. */
async function transaction (p, a) {
  switch (a.step) {
    case 'begin':
      p.transaction = await p.producer.transaction()
      return
    case 'commit':
      return p.transaction.commit()
    case 'abort':
      return p.transaction.abort()
    case 'offsets': {
      const partitions = Object.entries(a.offsets).map(([partition, offset]) => ({ partition: Number(partition), offset: `${offset}` }))
      return void await p.transaction.sendOffsets({ consumerGroupId: a.group, topics: [{ topic: a.topic, partitions }] })
    }
  }
}

const send = ({ producer, transaction, acks, compression }, a) => sendAs(a.how, a.records, async some => {
  try {
    const sent = await (transaction ?? producer).send({ topic: some[0].topic, acks, compression, messages: some.map(message) })
    return answers(some, sent.length === 1 ? sent[0].baseOffset : undefined)
  } catch (e) {
    console.error(e)
    return failures(some, code(e))
  }
})

async function consume (a) {
  if (a.instance) throw new Cannot('kafkajs has no static members')
  if (a.cooperative) throw new Cannot('kafkajs has no cooperative assignor')
  if (a.late) throw new Cannot('kafkajs looks for topics once, when it subscribes')
  if (a.reset_none && typeof a.at === 'number') throw new Cannot('kafkajs always goes to the beginning or the end')
  const groupId = a.group ?? `interop-${randomUUID()}`
  const consumer = kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    metadataMaxAge: 2000,
    readUncommitted: a.isolation === 'read_uncommitted',
    ...(a.fetch_wait_ms && { maxWaitTimeInMs: a.fetch_wait_ms }),
    ...(a.session_ms && { sessionTimeout: a.session_ms, heartbeatInterval: 2000 })
  })
  let owned = []
  const joined = new Promise(resolve => consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    revoked(a.consumer, owned)
    owned = pairs(payload.memberAssignment)
    assigned(a.consumer, owned)
    resolve()
  }))
  consumer.on(consumer.events.REBALANCING, () => {
    revoked(a.consumer, owned)
    owned = []
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => trouble(a.consumer, code(payload.error), payload.error))
  consumers.set(a.consumer, { consumer, groupId })
  await consumer.connect()
  await consumer.subscribe({ topics: a.pattern ? [new RegExp(a.pattern)] : a.topics ?? [a.topic], fromBeginning: (a.reset ?? a.at) === 'earliest' })
  await consumer.run({
    autoCommit: a.do === 'join' && a.commit !== 'none',
    eachBatch: async ({ batch }) => records(a.consumer, batch.messages.map(m => ({
      topic: batch.topic,
      partition: batch.partition,
      offset: Number(m.offset),
      key: text(m.key),
      value: text(m.value),
      timestamp: Number(m.timestamp),
      headers: Object.entries(m.headers).flatMap(([name, value]) => [value].flat().map(one => [name, text(one)]))
    })))
  })
  if (a.do === 'assign') {
    await joined
    for (let partition = 0; partition < a.partitions && !['earliest', 'latest'].includes(a.at); partition++) {
      consumer.seek({ topic: a.topic, partition, offset: `${await place(a.topic, partition, a.at)}` })
    }
  }
}

async function told ({ consumer, groupId }, a) {
  const { topic, partition } = a
  switch (a.do) {
    case 'seek':
      return consumer.seek({ topic, partition, offset: `${await place(topic, partition, a.at)}` })
    case 'pause':
      return consumer.pause([{ topic, partitions: [partition] }])
    case 'resume':
      return consumer.resume([{ topic, partitions: [partition] }])
    case 'commit':
      return consumer.commitOffsets([{ topic, partition, offset: `${a.offset}`, metadata: a.metadata }])
    case 'committed': {
      const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] })
      const found = partitions.find(p => p.partition === partition)
      return [Number(found.offset), found.metadata]
    }
    case 'close':
      return consumer.disconnect()
  }
  throw new Error(`no such command: ${a.do}`)
}

const lacks = {
  'change-topic': 'not written for kafkajs',
  'asked-again': 'kafkajs ends a transaction with the error of a coordinator that starts (14, 16), and does not ask again',
  'null-header': 'kafkajs has no null values in headers',
  'close-in-flight': 'kafkajs, closed with a request in flight, sends it again: all is there twice, in 7 of 8 runs with Kafka'
}
await serve('kafkajs', lacks, run, code)
