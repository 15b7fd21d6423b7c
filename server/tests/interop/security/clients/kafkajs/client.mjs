// kafkajs as talk.mjs wants it.

import { load, main, spec, ssl, token } from '../talk.mjs'

const { default: { Kafka, logLevel, Partitioners } } = await load('kafkajs')

const sasl = spec.user
  ? { mechanism: 'scram-sha-512', username: spec.user, password: spec.password }
  : spec.token_url && { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: await token() }) }

// By default it proves itself again ten seconds before what it has proven ends: at once, where that lasts four.
const reauthenticationThreshold = 1000
const kafka = new Kafka({ reauthenticationThreshold, clientId: 'secured', brokers: [spec.bootstrap], ssl, logLevel: logLevel.NOTHING, ...(sasl && { sasl }) })

const producer = async () => {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  return {
    send: number => producer.send({ topic: spec.topic, messages: [{ value: `${number}` }] }),
    close: () => producer.disconnect()
  }
}

const consumer = async (note, fail) => {
  const consumer = kafka.consumer({ groupId: spec.group, allowAutoTopicCreation: false })
  consumer.on(consumer.events.CRASH, ({ payload }) => fail(payload.error))
  await consumer.connect()
  await consumer.subscribe({ topics: [spec.topic], fromBeginning: true })
  await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => note(Number(message.value)) })
  return {
    commit: offset => consumer.commitOffsets([{ topic: spec.topic, partition: 0, offset: `${offset}` }]),
    committed: async () => {
      const admin = kafka.admin()
      await admin.connect()
      const [{ partitions }] = await admin.fetchOffsets({ groupId: spec.group, topics: [spec.topic] })
      await admin.disconnect()
      return Number(partitions[0].offset)
    }
  }
}

await main({ producer, consumer })
