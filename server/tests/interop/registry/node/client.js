// @kafkajs/confluent-schema-registry with kafkajs: Avro, JSON Schema and Protobuf, written and read.
'use strict'

const assert = require('node:assert')
const { Kafka } = require('kafkajs')
const { SchemaRegistry, SchemaType } = require('@kafkajs/confluent-schema-registry')

const TOPIC = 'of-node'
const SCHEMAS = {
  AVRO: '{"type":"record","name":"Order","namespace":"node","fields":[{"name":"id","type":"int"}]}',
  JSON: '{"$id":"order.json","type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}',
  PROTOBUF: 'syntax = "proto3";\npackage node;\nmessage Order { int32 id = 1; }',
}

async function write(kafka, registry) {
  const producer = kafka.producer()
  await producer.connect()
  for (const [type, schema] of Object.entries(SCHEMAS)) {
    const { id } = await registry.register({ type: SchemaType[type], schema }, { subject: `node-${type}` })
    const again = await registry.register({ type: SchemaType[type], schema }, { subject: `node-${type}` })
    assert.strictEqual(again.id, id)
    assert.strictEqual(await registry.getLatestSchemaId(`node-${type}`), id)
    await producer.send({ topic: TOPIC, acks: -1, messages: [{ key: type, value: await registry.encode(id, { id: 7 }) }] })
  }
  await producer.disconnect()
  const grown = SCHEMAS.AVRO.replace('"int"}', '"string"}')
  await assert.rejects(registry.register({ type: SchemaType.AVRO, schema: grown }, { subject: 'node-AVRO' }), /incompatible/i)
}

async function read(kafka, registry) {
  const consumer = kafka.consumer({ groupId: 'node' })
  await consumer.connect()
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true })
  const found = new Map()
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`only ${found.size} messages came`)), 60000).unref()
    consumer.run({
      eachMessage: async ({ message }) => {
        const value = await registry.decode(message.value)
        found.set(message.key.toString(), Number(value.id))
        if (found.size === 3) resolve()
      },
    })
  })
  await consumer.disconnect()
  assert.deepStrictEqual(Object.fromEntries(found), { AVRO: 7, JSON: 7, PROTOBUF: 7 })
}

const [phase, bootstrap, host] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [bootstrap], logLevel: 1 })
const registry = new SchemaRegistry({ host })
const phases = { write, read }
phases[phase](kafka, registry).then(() => process.exit(0), error => {
  console.error(error)
  process.exit(1)
})
