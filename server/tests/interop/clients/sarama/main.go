// sarama as a driver for driven.py, which says what is read and written.
package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"strandline/interop/driver"
)

var (
	bootstrap = os.Args[1]
	client    sarama.Client
	admin     sarama.ClusterAdmin
	producers = map[string]*producer{}
	consumers = map[string]consumer{}
)

func main() {
	var err error
	if client, err = sarama.NewClient([]string{bootstrap}, config()); err != nil {
		panic(err)
	}
	if admin, err = sarama.NewClusterAdmin([]string{bootstrap}, config()); err != nil {
		panic(err)
	}
	driver.Serve("sarama", map[string]string{
		"change-topic": "not written for sarama",
		"cluster-id":   "sarama does not tell the cluster's id",
	}, run, code)
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Consumer.Return.Errors = true
	config.Metadata.AllowAutoTopicCreation = false
	config.Metadata.RefreshFrequency = 2 * time.Second
	return config
}

func code(err error) int {
	var known sarama.KError
	if errors.As(err, &known) && known > 0 {
		return int(known)
	}
	return 0
}

func failed(code sarama.KError) error {
	if code == sarama.ErrNoError {
		return nil
	}
	return code
}

func run(a *driver.Args) (any, error) {
	switch a.Do {
	case "topics":
		topics, err := admin.ListTopics()
		found := []string{}
		for topic := range topics {
			found = append(found, topic)
		}
		return found, err
	case "describe-topic":
		return describeTopic(a.Topic)
	case "create-topic":
		configs := map[string]*string{}
		for name, value := range a.Configs {
			configs[name] = &value
		}
		detail := &sarama.TopicDetail{NumPartitions: a.Partitions, ReplicationFactor: a.Replication, ConfigEntries: configs}
		return nil, admin.CreateTopic(a.Topic, detail, false)
	case "delete-topic":
		return nil, admin.DeleteTopic(a.Topic)
	case "cluster":
		return cluster()
	case "configs":
		configs, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: a.Topic})
		found := map[string]any{}
		for _, config := range configs {
			found[config.Name] = []any{config.Value, config.Source != sarama.SourceTopic}
		}
		return found, err
	case "offset":
		return offset(a)
	case "groups":
		groups, err := admin.ListConsumerGroups()
		found := map[string]any{}
		for group, kind := range groups {
			found[group] = map[string]any{"state": nil, "type": kind}
		}
		return found, err
	case "describe-group":
		return describeGroup(a.Group)
	case "delete-group":
		return nil, admin.DeleteConsumerGroup(a.Group)
	case "group-offsets":
		return groupOffsets(a)
	case "alter-group-offsets":
		offsets := map[int32]sarama.OffsetAndMetadata{}
		for partition, offset := range a.Offsets {
			offsets[partition] = sarama.OffsetAndMetadata{Offset: offset, LeaderEpoch: -1}
		}
		response, err := admin.AlterConsumerGroupOffsets(a.Group, map[string]map[int32]sarama.OffsetAndMetadata{a.Topic: offsets}, nil)
		if err != nil {
			return nil, err
		}
		for _, code := range response.Errors[a.Topic] {
			err = errors.Join(err, failed(code))
		}
		return nil, err
	case "delete-group-offset":
		return nil, admin.DeleteConsumerGroupOffset(a.Group, a.Topic, a.Partition)
	case "producer":
		producer, err := newProducer(a)
		producers[a.Producer] = producer
		return nil, err
	case "send":
		return producers[a.Producer].send(a)
	case "transaction":
		return nil, producers[a.Producer].transaction(a)
	case "close-producer":
		producers[a.Producer].async.AsyncClose()
		<-producers[a.Producer].drained
		return nil, nil
	case "assign":
		assigned, err := assign(a)
		consumers[a.Consumer] = assigned
		return nil, err
	case "join":
		if a.Pattern != "" {
			return nil, driver.Cannot("sarama subscribes to names only")
		}
		member, err := join(a)
		consumers[a.Consumer] = member
		return nil, err
	}
	return consumers[a.Consumer].run(a)
}

func describeTopic(topic string) (any, error) {
	topics, err := admin.DescribeTopics([]string{topic})
	if err != nil {
		return nil, err
	}
	if err := failed(topics[0].Err); err != nil {
		return nil, err
	}
	found := make([]any, len(topics[0].Partitions))
	for _, partition := range topics[0].Partitions {
		leader, err := client.Leader(topic, partition.ID)
		if err != nil {
			return nil, err
		}
		found[partition.ID] = map[string]any{"leader": leader.Addr(), "replicas": len(partition.Replicas), "isr": len(partition.Isr)}
	}
	return found, nil
}

func cluster() (any, error) {
	brokers, controller, err := admin.DescribeCluster()
	found := map[string]any{"id": nil}
	nodes := []string{}
	for _, broker := range brokers {
		nodes = append(nodes, broker.Addr())
		if broker.ID() == controller {
			found["controller"] = broker.Addr()
		}
	}
	found["nodes"] = nodes
	return found, err
}

func offset(a *driver.Args) (any, error) {
	at, err := place(a.Topic, a.Partition, a.At)
	if err != nil || at < 0 {
		return nil, err
	}
	return []any{at, nil}, nil
}

// place asks for the offset that is meant; -1 when no record is at or after the time.
func place(topic string, partition int32, at driver.At) (int64, error) {
	switch {
	case at.Time != nil:
		return client.GetOffset(topic, partition, *at.Time)
	case at.Word == "earliest":
		return client.GetOffset(topic, partition, sarama.OffsetOldest)
	case at.Word == "latest":
		return client.GetOffset(topic, partition, sarama.OffsetNewest)
	case at.Word == "max":
		return 0, driver.Cannot("sarama asks for the oldest and the newest offset and for times only")
	}
	return at.Offset, nil
}

func describeGroup(group string) (any, error) {
	groups, err := admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return nil, err
	}
	members := []driver.Member{}
	for _, member := range groups[0].Members {
		told := driver.Member{ID: member.MemberId, Client: member.ClientId, Host: member.ClientHost}
		assignment, err := member.GetMemberAssignment()
		if err != nil {
			return nil, err
		}
		if assignment != nil {
			told.Partitions = driver.Partitions(assignment.Topics)
		}
		members = append(members, told)
	}
	return map[string]any{"state": groups[0].State, "protocol": groups[0].Protocol, "members": members}, failed(groups[0].Err)
}

func groupOffsets(a *driver.Args) (any, error) {
	response, err := admin.ListConsumerGroupOffsets(a.Group, nil)
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	for partition, block := range response.Blocks[a.Topic] {
		found[partition] = block.Offset
	}
	return found, failed(response.Err)
}

// Producing.

type producer struct {
	async   sarama.AsyncProducer
	drained chan struct{}
}

// sending is one record on its way; the producer's two channels answer it.
type sending struct {
	answer *driver.Answer
	done   *sync.WaitGroup
}

// choice takes the partition that a record names, and the client's own choice when it names none.
type choice struct{ sarama.Partitioner }

func (c choice) Partition(message *sarama.ProducerMessage, partitions int32) (int32, error) {
	if message.Partition >= 0 {
		return message.Partition, nil
	}
	return c.Partitioner.Partition(message, partitions)
}

func newProducer(a *driver.Args) (*producer, error) {
	config := config()
	config.Metadata.AllowAutoTopicCreation = true
	config.Producer.Partitioner = func(topic string) sarama.Partitioner { return choice{sarama.NewHashPartitioner(topic)} }
	switch a.Acks {
	case "0":
		config.Producer.RequiredAcks = sarama.NoResponse
	case "1":
		config.Producer.RequiredAcks = sarama.WaitForLocal
	case "all":
		config.Producer.RequiredAcks = sarama.WaitForAll
	}
	if a.Codec != "" {
		if err := config.Producer.Compression.UnmarshalText([]byte(a.Codec)); err != nil {
			return nil, err
		}
	}
	if a.Idempotent != nil && *a.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	if a.RequestBytesMax > 0 {
		config.Producer.MaxMessageBytes = a.RequestBytesMax
	}
	if a.Transactional != "" {
		config.Producer.Transaction.ID = a.Transactional
		config.Producer.Transaction.Timeout = time.Duration(a.TimeoutMs) * time.Millisecond
		config.Producer.RequiredAcks = sarama.WaitForAll
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
		// Of three attempts in 0.3 s none may find the leader of a partition that was created just now.
		config.Producer.Retry.Max = 30
	}
	async, err := sarama.NewAsyncProducer([]string{bootstrap}, config)
	if err != nil {
		return nil, err
	}
	p := &producer{async, make(chan struct{})}
	go p.drain()
	return p, nil
}

func (p *producer) drain() {
	defer close(p.drained)
	successes, failures := p.async.Successes(), p.async.Errors()
	for successes != nil || failures != nil {
		select {
		case message, open := <-successes:
			if !open {
				successes = nil
				continue
			}
			message.Metadata.(sending).answered(&message.Offset, nil)
		case failure, open := <-failures:
			if !open {
				failures = nil
				continue
			}
			code := code(failure.Err)
			failure.Msg.Metadata.(sending).answered(nil, &code)
		}
	}
}

func (s sending) answered(offset *int64, code *int) {
	s.answer.Offset, s.answer.Error = offset, code
	s.answer.Calls++
	if s.answer.Calls == 1 {
		s.done.Done()
	}
}

func (p *producer) send(a *driver.Args) (any, error) {
	answers := make([]driver.Answer, len(a.Records))
	var sent sync.WaitGroup
	for i, r := range a.Records {
		message := &sarama.ProducerMessage{Topic: r.Topic, Partition: -1, Metadata: sending{&answers[i], &sent}}
		if r.Partition != nil {
			message.Partition = *r.Partition
		}
		if r.Key != nil {
			message.Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			message.Value = sarama.ByteEncoder(r.Value)
		}
		if r.Timestamp != nil {
			message.Timestamp = time.UnixMilli(*r.Timestamp)
		}
		for _, header := range r.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
		}
		sent.Add(1)
		p.async.Input() <- message
		if a.How == "each" {
			sent.Wait()
		}
	}
	if a.How == "forget" {
		return nil, nil
	}
	sent.Wait()
	return answers, nil
}

func (p *producer) transaction(a *driver.Args) error {
	switch a.Step {
	case "begin":
		return p.async.BeginTxn()
	case "commit":
		return p.async.CommitTxn()
	case "abort":
		return p.async.AbortTxn()
	}
	offsets := []*sarama.PartitionOffsetMetadata{}
	for partition, offset := range a.Offsets {
		offsets = append(offsets, &sarama.PartitionOffsetMetadata{Partition: partition, Offset: offset, LeaderEpoch: -1})
	}
	return p.async.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{a.Topic: offsets}, a.Group)
}

// Consuming.

type consumer interface {
	run(*driver.Args) (any, error)
}

func consumerConfig(a *driver.Args) *sarama.Config {
	config := config()
	if a.FetchWaitMs > 0 {
		config.Consumer.MaxWaitTime = time.Duration(a.FetchWaitMs) * time.Millisecond
	}
	if a.Isolation == "read_committed" {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	return config
}

func tell(consumer string, message *sarama.ConsumerMessage) {
	headers := []driver.Header{}
	for _, header := range message.Headers {
		headers = append(headers, driver.Header{Name: string(header.Key), Value: header.Value})
	}
	driver.Tell("records", consumer, "records", []driver.Record{{Topic: message.Topic, Partition: &message.Partition, Offset: message.Offset,
		Key: message.Key, Value: message.Value, Headers: headers, Timestamp: driver.Millis(message.Timestamp)}})
}

func trouble(consumer string, failures <-chan *sarama.ConsumerError) {
	for failure := range failures {
		driver.Trouble(consumer, code(failure.Err), failure.Err)
	}
}

// assigned reads partitions outside a group.
type assigned struct {
	name       string
	consumer   sarama.Consumer
	partitions map[int32]sarama.PartitionConsumer
}

func assign(a *driver.Args) (*assigned, error) {
	consumer, err := sarama.NewConsumer([]string{bootstrap}, consumerConfig(a))
	if err != nil {
		return nil, err
	}
	c := &assigned{a.Consumer, consumer, map[int32]sarama.PartitionConsumer{}}
	for partition := range a.Partitions {
		if err := c.start(a.Topic, partition, a.At); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *assigned) start(topic string, partition int32, at driver.At) error {
	offset, err := place(topic, partition, at)
	if err != nil {
		return err
	}
	reader, err := c.consumer.ConsumePartition(topic, partition, offset)
	if err != nil {
		return err
	}
	c.partitions[partition] = reader
	go trouble(c.name, reader.Errors())
	go func() {
		for message := range reader.Messages() {
			tell(c.name, message)
		}
	}()
	return nil
}

func (c *assigned) run(a *driver.Args) (any, error) {
	switch a.Do {
	case "seek":
		if err := c.partitions[a.Partition].Close(); err != nil {
			return nil, err
		}
		return nil, c.start(a.Topic, a.Partition, a.At)
	case "pause":
		c.partitions[a.Partition].Pause()
	case "resume":
		c.partitions[a.Partition].Resume()
	case "close":
		for _, partition := range c.partitions {
			partition.AsyncClose()
		}
		return nil, c.consumer.Close()
	default:
		return nil, errors.New("no such command: " + a.Do)
	}
	return nil, nil
}

// member reads in a group.
type member struct {
	name, groupName, commit string
	group                   sarama.ConsumerGroup
	stop                    context.CancelFunc
	stopped                 chan struct{}
	lock                    sync.Mutex
	session                 sarama.ConsumerGroupSession
}

func join(a *driver.Args) (*member, error) {
	config := consumerConfig(a)
	if a.Reset == "earliest" {
		config.Consumer.Offsets.Initial = sarama.OffsetOldest
	}
	config.Consumer.Offsets.AutoCommit.Enable = a.Commit == "auto"
	config.Consumer.Group.InstanceId = a.Instance
	if a.SessionMs > 0 {
		config.Consumer.Group.Session.Timeout = time.Duration(a.SessionMs) * time.Millisecond
		config.Consumer.Group.Heartbeat.Interval = 2 * time.Second
	}
	if a.Cooperative {
		config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	}
	group, err := sarama.NewConsumerGroup([]string{bootstrap}, a.Group, config)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &member{name: a.Consumer, groupName: a.Group, commit: a.Commit, group: group, stop: stop, stopped: make(chan struct{})}
	go func() {
		for failure := range group.Errors() {
			driver.Trouble(m.name, code(failure), failure)
		}
	}()
	go func() {
		defer close(m.stopped)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, a.Topics, m); err != nil {
				driver.Trouble(m.name, code(err), err)
			}
		}
	}()
	return m, nil
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session = session
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	this := []driver.TopicPartition{{Topic: claim.Topic(), Partition: claim.Partition()}}
	driver.Tell("assigned", m.name, "partitions", this)
	defer driver.Tell("revoked", m.name, "partitions", this)
	for message := range claim.Messages() {
		tell(m.name, message)
		if m.commit != "none" {
			session.MarkMessage(message, "")
		}
		// Commits share the broker's connection with fetches, which wait there: one for all that has come.
		if m.commit == "each" && len(claim.Messages()) == 0 {
			session.Commit()
		}
	}
	return nil
}

func (m *member) run(a *driver.Args) (any, error) {
	switch a.Do {
	case "commit":
		m.lock.Lock()
		defer m.lock.Unlock()
		m.session.MarkOffset(a.Topic, a.Partition, a.Offset, a.Metadata)
		m.session.Commit()
	case "committed":
		response, err := admin.ListConsumerGroupOffsets(m.groupName, map[string][]int32{a.Topic: {a.Partition}})
		if err != nil {
			return nil, err
		}
		block := response.GetBlock(a.Topic, a.Partition)
		return []any{block.Offset, block.Metadata}, failed(block.Err)
	case "close":
		m.stop()
		<-m.stopped
		return nil, m.group.Close()
	default:
		return nil, errors.New("no such command: " + a.Do)
	}
	return nil, nil
}
