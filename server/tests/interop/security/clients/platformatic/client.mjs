// @platformatic/kafka as talk.mjs wants it.

import { load, main, spec, ssl, token } from '../talk.mjs'

const { Admin, Consumer, Producer } = await load('@platformatic/kafka')

const sasl = spec.user
  ? { mechanism: 'SCRAM-SHA-512', username: spec.user, password: spec.password }
  : spec.token_url && { mechanism: 'OAUTHBEARER', token }

const options = { clientId: 'secured', bootstrapBrokers: [spec.bootstrap], tls: ssl, ...(sasl && { sasl }) }

const producer = async () => {
  const producer = new Producer({ ...options, autocreateTopics: false })
  return {
    send: number => producer.send({ acks: -1, messages: [{ topic: spec.topic, value: Buffer.from(`${number}`) }] }),
    close: () => producer.close()
  }
}

const consumer = async (note, fail) => {
  const consumer = new Consumer({ ...options, groupId: spec.group, maxWaitTime: 500 })
  const stream = await consumer.consume({ topics: [spec.topic], mode: 'committed', fallbackMode: 'earliest', autocommit: false })
  stream.on('data', message => note(Number(message.value)))
  stream.on('error', fail)
  return {
    commit: offset => consumer.commit({ offsets: [{ topic: spec.topic, partition: 0, offset: BigInt(offset), leaderEpoch: -1 }] }),
    committed: async () => {
      const [group] = await new Admin(options).listConsumerGroupOffsets({ groups: [spec.group] })
      return Number(group.topics[0].partitions[0].committedOffset)
    }
  }
}

await main({ producer, consumer })
